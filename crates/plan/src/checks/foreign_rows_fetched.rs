//! Are rows fetched from another server that are then joined, filtered or counted here?
//!
//! Fields: a Foreign Scan, its rows, and its `Filter`, which is what postgres_fdw could not send: conditions that are not
//! immutable, or whose functions and operators are not built in or of an extension in the server's `extensions`.

use model::Severity;

use super::{Check, Diagnosis, Place, Remedy, Run, Thresholds, subject};
use crate::node::Plan;
use crate::render::count;

pub(super) const CHECK: Check = Check {
    id: "foreign-rows-fetched",
    title: "rows are fetched from another server and thrown away or joined here",
    explains: &[("row-misestimate", Place::Same)],
    remedy: Remedy::Foreign,
    run: Run::Plan(run),
};

fn run(plan: &Plan, thresholds: &Thresholds) -> Vec<Diagnosis> {
    let mut found = Vec::new();
    for node in plan.nodes.iter().filter(|n| n.is("Foreign Scan") && n.relation.is_some() && n.executed()) {
        let fetched = node.rows() + node.rows_removed();
        let wanted = plan.ancestors(node).map(|a| a.rows()).fold(node.rows(), f64::min);
        if fetched < thresholds.removed_min_rows || fetched <= thresholds.removed_per_row * wanted {
            continue;
        }
        let filtered = node.filter.is_some();
        let detail = if filtered {
            "The filter is evaluated here: what is not immutable, or not built in and of no extension that the foreign server's \
             option \"extensions\" names, is not sent. Write it with operators that can be sent, or make it a view there. \
             With use_remote_estimate the other server says how many rows come, and a larger fetch_size saves round trips."
        } else {
            "The join, the grouping or the limit above is done here. It is sent only when all of its tables are of the same \
             foreign server: fetch the few rows of this side first and compare with their keys (= ANY), or keep a copy of \
             the small table there. With use_remote_estimate the other server says how many rows come."
        };
        found.push(
            Diagnosis::new(
                node,
                Severity::Warning,
                format!("{} rows of {} were fetched from another server, of which {} were wanted", count(fetched), subject(node), count(wanted)),
                detail,
            )
            .weighing(plan.own_weight(node))
            .with("filter", node.filter.as_deref().unwrap_or("none"))
            .with("rows fetched", count(fetched)),
        );
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    #[test]
    fn a_filter_that_is_not_sent() {
        assert_found(&CHECK, MAJORS, "foreign_filter_here", "Foreign Scan");
    }

    #[test]
    fn what_the_other_server_does_itself() {
        for silent in ["foreign_scan", "foreign_join", "foreign_update"] {
            assert_silent(&CHECK, MAJORS, silent);
        }
    }
}
