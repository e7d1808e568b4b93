//! Was a table with many rows never vacuumed?
//!
//! Neither VACUUM nor autovacuum in the counters, and no page marked all-visible: index-only scans visit the table for
//! every row, dead rows stay, and the freeze that is not avoidable comes all at once. A reset of the counters forgets
//! when it was, but not the marks.

use model::{Change, Severity};

use super::{Check, relation_ref};
use crate::schema::{Facts, LintFinding, Remedy, remedy};

pub(super) const CHECK: Check = Check {
    id: "never-vacuumed",
    title: "table that was never vacuumed",
    severity: Severity::Warning,
    on: true,
    needs_schema_facts: false,
    run,
};

fn run(facts: &Facts<'_>) -> Vec<LintFinding> {
    let mut found = Vec::new();
    for relation in facts.stored() {
        let Some(activity) = &relation.activity else { continue };
        let rows = relation.rows();
        let vacuumed = activity.last_vacuum.is_some() || activity.last_autovacuum.is_some();
        if vacuumed || relation.relallvisible > 0 || rows < facts.thresholds.vacuum_min_rows || relation.pages == 0 {
            continue;
        }
        let off = relation.options.iter().any(|o| o == "autovacuum_enabled=false" || o == "autovacuum_enabled=off");
        let off_everywhere = facts.snapshot.setting("autovacuum") == Some("off");
        let why = match (off, off_everywhere) {
            (true, _) => "Autovacuum is switched off for it (autovacuum_enabled).",
            (_, true) => "Autovacuum is switched off on this server.",
            _ => "Autovacuum has not come to it yet, or something keeps it away: see its log and the workers.",
        };
        found.push(
            CHECK
                .finding(
                    relation_ref(&relation.name),
                    format!("table {} was never vacuumed", relation.name),
                    format!(
                        "Index-only scans visit the table for every row, and dead rows are not reclaimed. {why}"
                    ),
                )
                .with("rows", format!("{rows:.0}"))
                .with("dead rows", activity.n_dead_tup)
                .mended_by(Remedy::changes(
                    facts,
                    vec![Change::Vacuum { table: relation.name.clone() }],
                    format!("SHARE UPDATE EXCLUSIVE for about {}: reads and writes go on.", remedy::scan_ms(relation)),
                )),
        );
    }
    found
}
