//! Is an index much larger than its entries?
//!
//! Measured with pgstattuple where asked for (`--exact`: density of the leaves plus deleted pages), else estimated
//! from the statistics for B-trees: entries with alignment and NULLs, equal keys merged, the index's fill factor.

use model::{LockLevel, Millis, Severity};

use super::{Check, index_ref};
use crate::schema::facts::percent;
use crate::schema::{Facts, LintFinding, Remedy, bloat, remedy};

pub(super) const CHECK: Check = Check {
    id: "bloated-index",
    title: "index that is mostly free space",
    severity: Severity::Warning,
    on: true,
    needs_schema_facts: false,
    run,
};

fn run(facts: &Facts<'_>) -> Vec<LintFinding> {
    let mut found = Vec::new();
    for relation in facts.stored() {
        for index in facts.tables.indexes(&relation.name).filter(|i| i.valid) {
            let measured = facts.beside.measured.iter().find(|m| m.name == index.name).map(|m| m.bloat);
            let Some(bloat) = measured.or_else(|| bloat::of_index(index, relation)) else { continue };
            let wasted = bloat.wasted();
            if bloat.share() < facts.thresholds.bloat_share || wasted.0 < facts.thresholds.bloat_min_bytes {
                continue;
            }
            let build = Millis(remedy::scan_ms(relation).0 + remedy::build_ms(relation).0);
            let finding = CHECK
                .finding(
                    index_ref(index),
                    format!("{} of index {} is free space ({wasted})", percent(bloat.share()), index.name),
                    "Scans read and the cache holds pages that are nearly empty. Building it anew gives the space back.",
                )
                .with("how", if measured.is_some() { "measured" } else { "estimated from statistics" })
                .with("pages", bloat.pages)
                .with("pages after a rewrite", bloat.fresh_pages);
            found.push(finding.mended_by(Remedy::sql(
                vec![format!("REINDEX INDEX CONCURRENTLY {}", index.name)],
                LockLevel::ShareUpdateExclusive,
                format!(
                    "SHARE UPDATE EXCLUSIVE on {} while it is read twice, about {build}: reads and writes go on. Space for \
                     a second index is needed meanwhile.",
                    relation.name
                ),
            )));
        }
    }
    found
}
