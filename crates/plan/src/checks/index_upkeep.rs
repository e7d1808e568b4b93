//! Is a write slow because every row gets an entry in many indexes?
//!
//! Fields: a ModifyTable that inserts or updates, its own buffers and WAL (`WAL`); from the catalog the table's indexes
//! and, where the text of the statement tells the assigned columns, whether an index has one of them: an update of a column
//! that no index has can be HOT and writes no entry (heapam.c, `HeapDetermineColumnsInfo()`).

use model::{Severity, Snapshot};

use super::{Check, Diagnosis, Remedy, Run, Thresholds, subject};
use crate::facts;
use crate::node::Plan;
use crate::render::count;
use crate::writes;

pub(super) const CHECK: Check = Check {
    id: "index-upkeep",
    title: "each row that is written is written into many indexes",
    explains: &[],
    remedy: Remedy::FewerIndexes,
    run: Run::Database(run),
};

fn run(plan: &Plan, thresholds: &Thresholds, database: Option<&Snapshot>) -> Vec<Diagnosis> {
    let Some(database) = database else { return Vec::new() };
    let mut found = Vec::new();
    for node in plan.nodes.iter().filter(|n| n.is("ModifyTable") && n.executed()) {
        let updates = match node.operation.as_deref() {
            Some("Insert") => false,
            Some("Update" | "Merge") => true,
            _ => continue,
        };
        let Some(table) = facts::relation_of(database, node) else { continue };
        let rows = writes::rows(plan, node);
        let indexes = writes::indexes(database, table).count();
        if rows < thresholds.write_min_rows || indexes < thresholds.write_min_indexes {
            continue;
        }
        let assigned = if updates { writes::assigned(plan, table) } else { None };
        let indexed = assigned.as_ref().map(|columns| writes::in_indexes(database, table, columns));
        // Each entry takes a page of its index at least; what touches fewer was HOT.
        let per_row = node.own.usage.pages() as f64 / rows;
        if indexed.as_ref().is_some_and(Vec::is_empty) || (plan.has_buffers && per_row < indexes as f64) {
            continue;
        }
        let name = subject(node);
        let mut diagnosis = Diagnosis::new(
            node,
            Severity::Warning,
            format!("each of {} rows is written into {indexes} indexes of {name} as well", count(rows)),
            if updates {
                "A new version of a row gets an entry in every index of its table when a column of any index changes: then the \
                 update cannot be HOT. Each entry is a descent, a page to change and a record in the log."
            } else {
                "A row gets an entry in every index of its table: a descent, a page to change and a record in the log each. \
                 Rows in the order of an index find its pages in the cache; random keys (UUID, hashes) do not."
            },
        )
        .weighing(plan.own_weight(node))
        .with("indexes", indexes);
        if plan.has_buffers {
            diagnosis = diagnosis.with("buffers per row", format!("{per_row:.1}"));
        }
        if node.own.usage.wal_bytes > 0 {
            diagnosis = diagnosis.with("WAL per row", format!("{:.0} bytes", node.own.usage.wal_bytes as f64 / rows));
        }
        if let Some(indexed) = indexed {
            diagnosis = diagnosis.with("changed column in an index", indexed.join(", "));
        }
        if let Some(activity) = table.activity.as_ref().filter(|a| updates && a.n_tup_upd > 0) {
            diagnosis = diagnosis.with("HOT updates of all", format!("{} of {}", activity.n_tup_hot_upd, activity.n_tup_upd));
        }
        found.push(diagnosis);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;
    use crate::remedy::remedies;

    #[test]
    fn an_insert_into_a_table_with_many_indexes() {
        let table = fixture("17/insert_with_wal").nodes[0].relation.clone().unwrap();
        let mut plan = fixture("17/insert_with_wal");
        plan.nodes[0].own.usage.shared_hit = 1_000_000;
        let mut database = database("public", &table);
        plan.nodes[0].schema = Some("public".into());
        for number in 0..3 {
            database.indexes.push(index("public", &table, &format!("i{number}"), &["a"]));
        }
        let thresholds = Thresholds { write_min_rows: 1.0, ..Thresholds::default() };
        let found = CHECK.diagnose(&plan, &thresholds, Some(&database));
        assert_eq!(found.len(), 1);
        assert!(found[0].summary.contains("3 indexes") && found[0].evidence.iter().any(|e| e.name == "WAL per row"));
        plan.nodes[0].own.usage.shared_hit = 0;
        (plan.nodes[0].own.usage.shared_read, plan.nodes[0].own.usage.shared_dirtied) = (0, 0);
        assert!(CHECK.diagnose(&plan, &thresholds, Some(&database)).is_empty(), "fewer buffers than entries");
        plan.nodes[0].own.usage.shared_hit = 1_000_000;
        database.indexes.pop();
        assert!(CHECK.diagnose(&plan, &thresholds, Some(&database)).is_empty(), "two indexes are not many");
    }

    /// Summaries, and what is dropped, of an update with so many indexes on (a, b), of which the first was never scanned.
    fn judged(indexes: usize, text: &str) -> (Vec<String>, Vec<String>) {
        let mut plan = fixture("17/update_with_cte");
        let table = plan.nodes[0].relation.clone().unwrap();
        plan.nodes[0].schema = Some("public".into());
        plan.nodes[0].own.usage.shared_hit = 1_000_000;
        plan.query_text = Some(text.to_owned());
        let mut database = database("public", &table);
        for name in ["id", "a", "b"] {
            column(&mut database, name, -1.0, &[]);
        }
        for number in 0..indexes {
            let mut index = index("public", &table, &format!("i{number}"), &["a", "b"]);
            index.idx_scan = if number == 0 { 0 } else { 3 };
            database.indexes.push(index);
        }
        let thresholds = Thresholds { min_share: 0.0, write_min_rows: 1.0, ..Thresholds::default() };
        let findings = super::super::run_on(&plan, &thresholds, Some(&database));
        let own: Vec<_> = findings.iter().filter(|f| f.check == CHECK.id).collect();
        let advised = remedies(&plan, &findings, Some(&database));
        let dropped = advised.iter().filter(|r| own.iter().any(|f| r.resolves.contains(&f.key)));
        (own.iter().map(|f| f.summary.clone()).collect(), dropped.flat_map(|r| r.sql.clone()).collect())
    }

    #[test]
    fn an_update_of_a_column_that_indexes_have() {
        let (found, dropped) = judged(4, "update experiments set a = 1 where id = 2");
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(dropped, ["DROP INDEX CONCURRENTLY public.i0"]);
        assert_eq!(judged(4, "update experiments set id = 1 where a = 2").0, Vec::<String>::new(), "no index has it");
        assert_eq!(judged(2, "update experiments set a = 1").0, Vec::<String>::new(), "two are not many");
    }
}
