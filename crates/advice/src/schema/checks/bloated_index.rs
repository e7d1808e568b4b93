//! Is an index much larger than its entries?
//!
//! Measured where asked for (`--exact`): B-trees with pgstattuple, by the density of the leaves and deleted pages; GIN,
//! GiST and SP-GiST by building the index on a sample in a local server. Else estimated from the statistics: B-trees by
//! entries with alignment and NULLs, equal keys merged, the index's fill factor; hash indexes by buckets and the pages
//! that frequent values add to them.

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
            let measured = facts.beside.measured.iter().find(|m| m.name == index.name);
            let estimate = || bloat::of_index(index, relation, &facts.snapshot.extended_statistics);
            let Some(bloat) = measured.map(|m| m.bloat).or_else(estimate) else { continue };
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
                .with("how", measured.map_or("estimated from statistics", |m| m.how.as_str()))
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
