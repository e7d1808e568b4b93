//! Is there a table that never held a row?
//!
//! `pg_class` and the counters agree that there is nothing in it and that nothing was written since the counters were
//! reset: left over, or not in use yet. Partitions are left out, because those to come are empty.

use model::Severity;
use model::snapshot::RelationKind;

use super::{Check, relation_ref};
use crate::schema::{Facts, LintFinding, Remedy};

pub(super) const CHECK: Check = Check {
    id: "empty-table",
    title: "table without rows",
    severity: Severity::Info,
    on: true,
    needs_schema_facts: false,
    run,
};

fn run(facts: &Facts<'_>) -> Vec<LintFinding> {
    let empty = facts.designed().filter(|r| {
        let written = r.activity.as_ref().is_some_and(|a| a.n_tup_ins + a.n_tup_upd + a.n_tup_del > 0);
        let inherited = !facts.tables.children(&r.name).is_empty();
        r.kind == RelationKind::Table && r.pages == 0 && r.reltuples <= 0.0 && !written && !inherited
    });
    empty
        .map(|r| {
            let referenced = facts.foreign_keys().filter(|(_, target)| target.table == r.name).count();
            let scans = r.activity.as_ref().map_or(0, |a| a.seq_scan + a.idx_scan);
            CHECK
                .finding(
                    relation_ref(&r.name),
                    format!("table {} is empty and nothing was written to it", r.name),
                    "If nothing will use it, drop it; a table that is not there cannot be read by mistake.",
                )
                .with("scans since the counters were reset", scans)
                .with("foreign keys that reference it", referenced)
                .mended_by(Remedy::instant(vec![format!("DROP TABLE {}", r.name)]))
        })
        .collect()
}
