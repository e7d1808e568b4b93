//! Did an update that changes no indexed column write into every index all the same?
//!
//! Fields: a ModifyTable that updates, its own buffers; the columns that the text assigns; from the catalog the indexes, the
//! fill factor and the share of updates that were HOT. Without room in the row's page the new version goes to another page,
//! and then every index gets an entry (README.HOT of the heap's sources).

use model::{Severity, Snapshot};

use super::{Check, Diagnosis, Place, Remedy, Run, Thresholds, subject};
use crate::facts;
use crate::node::Plan;
use crate::render::{count, percent};
use crate::writes;

pub(super) const CHECK: Check = Check {
    id: "updates-not-hot",
    title: "updates find no room in their page and write into every index",
    explains: &[("index-upkeep", Place::Same)],
    remedy: Remedy::FillFactor,
    run: Run::Database(run),
};

fn run(plan: &Plan, thresholds: &Thresholds, database: Option<&Snapshot>) -> Vec<Diagnosis> {
    let Some(database) = database else { return Vec::new() };
    let mut found = Vec::new();
    let updates = |n: &&crate::node::Node| n.is("ModifyTable") && n.operation.as_deref() == Some("Update") && n.executed();
    for node in plan.nodes.iter().filter(updates) {
        let Some(table) = facts::relation_of(database, node) else { continue };
        let Some(assigned) = writes::assigned(plan, table) else { continue };
        let (rows, indexes) = (writes::rows(plan, node), writes::indexes(database, table).count());
        let per_row = node.own.usage.pages() as f64 / rows.max(1.0);
        // A HOT update looks at its page, and no other.
        let elsewhere = plan.has_buffers && per_row > 2.0 + indexes as f64;
        if rows < thresholds.write_min_rows
            || indexes == 0
            || !elsewhere
            || !writes::in_indexes(database, table, &assigned).is_empty()
        {
            continue;
        }
        let columns: Vec<&str> = assigned.iter().map(String::as_str).collect();
        let mut diagnosis = Diagnosis::new(
            node,
            Severity::Warning,
            format!(
                "{} updates of {} change no indexed column, and write into its {indexes} indexes: their pages have no room",
                count(rows),
                subject(node)
            ),
            "A new version of a row that fits into the page of the old one, and changes no column of an index, needs no entry \
             in any index (HOT). In a page that is full it goes elsewhere. A fill factor below 100 leaves room in pages that \
             are filled from now on; fewer rows at a time, with VACUUM between them, use the room of the old versions again.",
        )
        .weighing(plan.own_weight(node))
        .with("changed columns", columns.join(", "))
        .with("buffers per row", format!("{per_row:.1}"))
        .with("fill factor", facts::fill_factor(table));
        if let Some(activity) = table.activity.as_ref().filter(|a| a.n_tup_upd > 0) {
            let share = activity.n_tup_hot_upd as f64 / activity.n_tup_upd as f64;
            diagnosis = diagnosis.with("HOT updates of all so far", percent(share));
        }
        found.push(diagnosis);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    fn summaries(text: &str, hit: u64) -> Vec<String> {
        let mut plan = fixture("17/update_with_cte");
        let id = plan.nodes.iter().position(|n| n.is("ModifyTable")).unwrap();
        let table = plan.nodes[id].relation.clone().unwrap();
        plan.nodes[id].schema = Some("public".into());
        plan.nodes[id].own.usage.shared_hit = hit;
        plan.query_text = Some(text.to_owned());
        let mut database = database("public", &table);
        for name in ["id", "note"] {
            column(&mut database, name, -1.0, &[]);
        }
        database.indexes.push(index("public", &table, "pk", &["id"]));
        let thresholds = Thresholds { write_min_rows: 1.0, ..Thresholds::default() };
        CHECK.diagnose(&plan, &thresholds, Some(&database)).into_iter().map(|d| d.summary).collect()
    }

    #[test]
    fn an_update_that_could_be_hot_and_is_not() {
        assert_eq!(summaries("update t set note = 'x'", 1_000_000).len(), 1);
    }

    #[test]
    fn what_was_hot_or_could_not_be() {
        assert_eq!(summaries("update t set note = 'x'", 0), Vec::<String>::new(), "it touched no other page");
        assert_eq!(summaries("update t set id = 7", 1_000_000), Vec::<String>::new(), "an index has the column");
        assert_eq!(summaries("select 1", 1_000_000), Vec::<String>::new());
    }
}
