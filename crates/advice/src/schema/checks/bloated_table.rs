//! Is a table much larger than its rows?
//!
//! Measured with pgstattuple where asked for (`--exact`), else estimated from the statistics: the size of the rows
//! with alignment and NULLs, and how many of them a page holds at the table's fill factor. The space is used again
//! by later rows; it costs scans and cache until then. TOAST is measured only, by rewriting a sample in a local server.

use model::{Change, LockLevel, Severity};

use super::{Check, relation_ref};
use crate::schema::facts::percent;
use crate::schema::{Facts, LintFinding, Remedy, bloat, remedy};

pub(super) const CHECK: Check = Check {
    id: "bloated-table",
    title: "table that is mostly free space",
    severity: Severity::Warning,
    on: true,
    needs_schema_facts: false,
    run,
};

fn run(facts: &Facts<'_>) -> Vec<LintFinding> {
    let mut found = Vec::new();
    for relation in facts.stored() {
        let measured = facts.beside.measured.iter().find(|m| m.name == relation.name);
        let Some(own) = measured.map(|m| m.bloat).or_else(|| bloat::of_table(relation)) else { continue };
        let toast = measured.and_then(|m| m.toast);
        let bloat = toast.map_or(own, |toast| own.plus(toast));
        let wasted = bloat.wasted();
        if bloat.share() < facts.thresholds.bloat_share || wasted.0 < facts.thresholds.bloat_min_bytes {
            continue;
        }
        let dead = relation.activity.as_ref().map_or(0, |a| a.n_dead_tup);
        // Dead rows have to go before anything else helps.
        let many_dead = dead as f64 > 0.2 * relation.reltuples.max(1.0);
        let finding = CHECK
            .finding(
                relation_ref(&relation.name),
                format!("{} of table {} is free space ({wasted})", percent(bloat.share()), relation.name),
                if many_dead {
                    "Many rows are dead: VACUUM makes their space usable. If it does not, an old transaction, a prepared \
                     transaction or a replication slot holds them."
                } else {
                    "Later rows will use it. If they will not come, a rewrite gives it back: VACUUM FULL locks everybody \
                     out; pg_repack and pg_squeeze do the same with a short lock at the end."
                },
            )
            .with("how", measured.map_or("estimated from statistics", |m| m.how.as_str()))
            .with("pages", bloat.pages)
            .with("pages after a rewrite", bloat.fresh_pages)
            .with("dead rows", dead);
        let finding = match toast {
            Some(toast) => {
                finding.with("of these, TOAST", toast.pages).with("TOAST after a rewrite", toast.fresh_pages)
            }
            None => finding,
        };
        found.push(finding.mended_by(if many_dead {
            Remedy::changes(
                facts,
                vec![Change::Vacuum { table: relation.name.clone() }],
                format!(
                    "SHARE UPDATE EXCLUSIVE for about {}: reads and writes go on.",
                    remedy::scan_ms(relation)
                ),
            )
        } else {
            Remedy::sql(
                vec![format!("VACUUM (FULL, ANALYZE) {}", relation.name)],
                LockLevel::AccessExclusive,
                format!(
                    "ACCESS EXCLUSIVE while the table and its indexes are written anew, about {} at 250 MB and a million rows a second: reads \
                     and writes wait.",
                    remedy::rewrite_ms(relation)
                ),
            )
        }));
    }
    found
}
