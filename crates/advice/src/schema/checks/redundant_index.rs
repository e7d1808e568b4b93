//! Does a wider index begin with this one?
//!
//! An index on (a, b) answers what one on (a) answers, when all else that counts is the same. Not redundant: a unique
//! index beside a wider one, a partial one beside a full one, (a DESC, b) beside (a, b), another collation, operator
//! class or access method, hash beside B-tree. The narrower index is smaller, so scans of it may become a little
//! slower; that is the price.

use model::Severity;

use super::{Check, duplicate_index, index_ref};
use crate::index_advisor::upkeep::redundant;
use crate::index_semantics::Redundancy;
use crate::schema::{Facts, LintFinding, remedy};

pub(super) const CHECK: Check = Check {
    id: "redundant-index",
    title: "index that a wider one begins with",
    severity: Severity::Info,
    on: true,
    needs_schema_facts: false,
    run,
};

fn run(facts: &Facts<'_>) -> Vec<LintFinding> {
    let all = redundant(facts.snapshot);
    all.iter()
        // The second of two that are alike is called a duplicate.
        .filter(|(index, _, how)| *how == Redundancy::Prefix && duplicate_index::twin(index, &all).is_none())
        .map(|(index, by, _)| {
            CHECK
                .finding(
                    index_ref(index),
                    if index.definition.keys.len() == by.definition.keys.len() {
                        format!("index {} gives nothing that {} does not give", index.name, by.name)
                    } else {
                        format!("index {} is the beginning of {}", index.name, by.name)
                    },
                    format!(
                        "Every query that it serves can be served by {}, which is {} against {}; it costs upkeep at \
                         every write.",
                        by.name, by.bytes, index.bytes
                    ),
                )
                .with("scans of it", index.idx_scan)
                .with("scans of the wider", by.idx_scan)
                .mended_by(remedy::drop_index(facts, index))
        })
        .collect()
}
