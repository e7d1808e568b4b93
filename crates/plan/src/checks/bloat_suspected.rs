//! Does a scan read far more pages than its rows need?
//!
//! Fields: the node's own pages, and from the catalog rows, average widths, alignment and fill factor. Where
//! the catalog is not at hand, a full sequential scan that found less than two rows on a page: a row of
//! more than a quarter of a page would have been moved out to TOAST.

use model::{Severity, Snapshot};

use super::{Check, Diagnosis, Remedy, Run, Thresholds, subject};
use crate::facts;
use crate::node::{Node, Plan};
use crate::render::count;

pub(super) const CHECK: Check = Check {
    id: "bloat-suspected",
    title: "table takes far more pages than its rows need",
    explains: &[],
    remedy: Remedy::Rebuild,
    run: Run::Database(run),
};

fn run(plan: &Plan, thresholds: &Thresholds, database: Option<&Snapshot>) -> Vec<Diagnosis> {
    let scans = plan.nodes.iter().filter(|n| n.is("Seq Scan"));
    scans
        .filter_map(|node| {
            // Long values that are stored apart are pages of the scan too: where the catalogue knows the table, it tells.
            let known = database.and_then(|d| facts::relation_of(d, node).filter(|r| facts::needed_pages(r).is_some()));
            let (pages, needed) = match (database, known) {
                (Some(database), Some(_)) => by_catalog(database, node, thresholds)?,
                _ => by_density(plan, node, thresholds)?,
            };
            let wasted = 1.0 - needed / pages;
            Some(
                Diagnosis::new(
                    node,
                    Severity::Warning,
                    format!(
                        "{} takes {} pages where its rows need about {}",
                        subject(node),
                        count(pages),
                        count(needed)
                    ),
                    "A scan reads dead and empty space too. VACUUM makes the space of dead rows free for new ones; it \
                     gives pages back only from the end of the table. When the space is not going to be filled again, \
                     rebuild the table (pg_repack while it is used, VACUUM FULL when it may be locked).",
                )
                .weighing(plan.own_weight(node) * wasted)
                .with("pages", count(pages))
                .with("pages needed", count(needed)),
            )
        })
        .collect()
}

/// Pages there are and pages that the rows need.
fn by_catalog(database: &Snapshot, node: &Node, thresholds: &Thresholds) -> Option<(f64, f64)> {
    let relation = facts::relation_of(database, node)?;
    let needed = facts::needed_pages(relation)?;
    let pages = relation.pages as f64;
    let bloated = pages >= thresholds.bloat_min_pages as f64 && pages >= thresholds.bloat_factor * needed;
    bloated.then_some((pages, needed))
}

fn by_density(plan: &Plan, node: &Node, thresholds: &Thresholds) -> Option<(f64, f64)> {
    let pages = node.own.usage.pages() as f64;
    let rows = node.rows() + node.rows_removed();
    let sparse = plan.has_buffers
        && node.executed()
        && !plan.may_stop_early(node)
        && pages >= thresholds.bloat_min_pages as f64
        && rows < thresholds.bloat_rows_per_page * pages;
    // Four rows of the largest kind fit on a page.
    sparse.then_some((pages, (rows / 4.0).ceil().max(1.0)))
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    /// What looks sparse in the plan alone, because the values of its rows are stored apart.
    #[test]
    fn a_table_that_the_catalogue_knows_to_be_dense() {
        let plan = fixture("17/bloated_table");
        let table = plan.nodes.iter().find_map(|n| n.relation.clone()).unwrap();
        let mut known = database("public", &table);
        known.relations[0].reltuples = 0.0;
        assert_eq!(CHECK.diagnose(&plan, &Thresholds::default(), Some(&known)).len(), 1, "nothing is known of its rows");
        column(&mut known, "id", -1.0, &[]);
        (known.relations[0].reltuples, known.relations[0].pages) = (20_000.0, 100);
        assert_eq!(CHECK.diagnose(&plan, &Thresholds::default(), Some(&known)).len(), 0);
    }

    #[test]
    fn a_table_of_which_most_was_deleted() {
        assert_found(&CHECK, MAJORS, "bloated_table", "Seq Scan");
    }

    #[test]
    fn tables_as_they_were_filled() {
        assert_silent(&CHECK, MAJORS, "seq_scan_filter");
        assert_silent(&CHECK, MAJORS, "cold_cache");
        assert_silent(&CHECK, MAJORS, "late_join_filter");
    }
}
