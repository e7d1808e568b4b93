//! Are wide values compressed and written out of line for each row?
//!
//! Fields: a ModifyTable that inserts or updates, its WAL per row (`WAL`); from the catalog how much of the table is in its
//! TOAST table, and, where the text tells the assigned columns, whether one of them can be that wide. An update that leaves
//! a wide value as it is does not write it again (heaptoast.c, `heap_toast_insert_or_update()`).

use model::{Severity, Snapshot};

use super::{Check, Diagnosis, Place, Remedy, Run, Thresholds, subject};
use crate::facts;
use crate::node::Plan;
use crate::render::{count, percent};
use crate::writes;

pub(super) const CHECK: Check = Check {
    id: "wide-values-written",
    title: "wide values are compressed and written out of line",
    explains: &[("index-upkeep", Place::Same), ("updates-not-hot", Place::Same)],
    remedy: Remedy::Compression,
    run: Run::Database(run),
};

/// A row of which more is written to the log has values that were moved out: the page holds four rows of this size.
const WIDE: f64 = 2_048.0;

fn run(plan: &Plan, thresholds: &Thresholds, database: Option<&Snapshot>) -> Vec<Diagnosis> {
    let Some(database) = database else { return Vec::new() };
    let mut found = Vec::new();
    for node in plan.nodes.iter().filter(|n| n.is("ModifyTable") && n.executed()) {
        if !matches!(node.operation.as_deref(), Some("Insert" | "Update" | "Merge")) {
            continue;
        }
        let Some(table) = facts::relation_of(database, node) else { continue };
        let share = table.toast_pages as f64 / (table.toast_pages + table.pages).max(1) as f64;
        let rows = writes::rows(plan, node);
        let per_row = node.own.usage.wal_bytes as f64 / rows.max(1.0);
        let columns = writes::assigned(plan, table);
        let wide: Vec<&str> = table
            .columns
            .iter()
            .filter(|c| c.type_length == -1 && columns.as_ref().is_none_or(|assigned| assigned.contains(&c.name)))
            .map(|c| c.name.as_str())
            .collect();
        if share < thresholds.toast_share || per_row < WIDE || rows < 1.0 || wide.is_empty() {
            continue;
        }
        found.push(
            Diagnosis::new(
                node,
                Severity::Warning,
                format!(
                    "each of {} rows of {} writes {:.1} kB of log: wide values are compressed and written out of line",
                    count(rows),
                    subject(node),
                    per_row / 1024.0
                ),
                "A value that does not fit into its row is compressed and cut into pieces of 2 kB in the TOAST table, which has \
                 an index of its own. That is done again for every new value: keep what changes often apart from what is wide, \
                 change a document in its parts, or choose a faster compression.",
            )
            .weighing(plan.own_weight(node))
            .with("pages out of line", percent(share))
            .with("WAL per row", format!("{per_row:.0} bytes"))
            .with("columns that can be wide", wide.join(", ")),
        );
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    #[test]
    fn an_insert_of_wide_values() {
        let mut plan = fixture("17/insert_with_wal");
        plan.nodes[0].schema = Some("public".into());
        let table = plan.nodes[0].relation.clone().unwrap();
        let mut database = database("public", &table);
        column(&mut database, "body", -1.0, &[]);
        database.relations[0].columns[0].type_length = -1;
        let found = |plan: &Plan, database: &Snapshot| CHECK.diagnose(plan, &Thresholds::default(), Some(database)).len();
        database.relations[0].toast_pages = 900;
        assert_eq!(found(&plan, &database), 0, "little is written for a row");
        plan.nodes[0].own.usage.wal_bytes = 1 << 30;
        assert_eq!(found(&plan, &database), 1);
        database.relations[0].toast_pages = 0;
        assert_eq!(found(&plan, &database), 0, "nothing is out of line");
    }
}
