//! Do two indexes hold the same?
//!
//! Same means all that counts: access method, key columns in order and direction, operator classes and their
//! parameters, collations, INCLUDE, predicate, uniqueness and how NULLs count. Invalid ones are not compared. Of two
//! the one stays that implements a constraint, then the one that is scanned more.

use model::snapshot::{Constraint, Index};
use model::{Severity, quote_identifier};

use super::{Check, index_ref};
use crate::index_advisor::upkeep::{is_removable, redundant};
use crate::index_semantics::{Redundancy, redundancy};
use crate::schema::{Facts, LintFinding, Remedy, remedy};

pub(super) const CHECK: Check = Check {
    id: "duplicate-index",
    title: "index that another one repeats",
    severity: Severity::Warning,
    on: true,
    needs_schema_facts: false,
    run,
};

fn run(facts: &Facts<'_>) -> Vec<LintFinding> {
    let redundant = redundant(facts.snapshot);
    let repeated = redundant.iter().filter_map(|(index, by, how)| match how {
        Redundancy::Duplicate => Some((*index, *by)),
        // Where a wider one stands for both, they are alike all the same.
        Redundancy::Prefix => twin(index, &redundant).map(|other| (*index, other)),
    });
    let mut found: Vec<LintFinding> =
        repeated.map(|(index, by)| finding(index, by).mended_by(remedy::drop_index(facts, index))).collect();
    found.extend(constraints(facts));
    found
}

/// The same index under a name that stands before, of those that a wider one makes redundant.
pub(super) fn twin<'s>(index: &Index, redundant: &[(&'s Index, &'s Index, Redundancy)]) -> Option<&'s Index> {
    redundant
        .iter()
        .filter(|(_, _, how)| *how == Redundancy::Prefix)
        .map(|(other, _, _)| *other)
        .find(|other| {
            other.definition.table == index.definition.table
                && other.name < index.name
                && redundancy(index, other) == Some(Redundancy::Duplicate)
        })
}

fn finding(index: &Index, by: &Index) -> LintFinding {
    CHECK
        .finding(
            index_ref(index),
            format!("index {} is the same as {}", index.name, by.name),
            format!("It gives nothing that {} does not give, and costs {} and upkeep at every write.", by.name, index.bytes),
        )
        .with("scans of it", index.idx_scan)
        .with("scans of the other", by.idx_scan)
}

/// Unique constraints that another constraint repeats: their indexes go with the constraint only.
fn constraints(facts: &Facts<'_>) -> Vec<LintFinding> {
    let mut found = Vec::new();
    for (_, index) in facts.designed_indexes() {
        let Some(name) = &index.constraint else { continue };
        if index.primary || index.exclusion || is_removable(facts.snapshot, index) {
            continue;
        }
        let constraint_of = |index: &Index| -> Option<&Constraint> {
            let wanted = index.constraint.as_ref()?;
            facts.constraints(&index.definition.table).iter().copied().find(|c| c.name == *wanted)
        };
        let same = facts.tables.indexes(&index.definition.table).find(|other| {
            // Of two that are alike the one stays that a foreign key depends on.
            let stays = match &other.constraint {
                Some(_) => other.primary || (other.referenced, &index.name) > (index.referenced, &other.name),
                // An index without a constraint that must not go either.
                None => {
                    let kept = index.referenced || index.replica_identity || index.clustered;
                    !kept && !is_removable(facts.snapshot, other)
                }
            };
            stays && redundancy(index, other) == Some(Redundancy::Duplicate)
        });
        let Some(other) = same else { continue };
        let referenced = constraint_of(index).is_some_and(|c| {
            facts.foreign_keys().any(|(_, target)| target.table == c.table && same_columns(&target.columns, &c.columns))
        });
        let mut found_here = finding(index, other).mended_by(Remedy::instant(vec![format!(
            "ALTER TABLE {} DROP CONSTRAINT {}",
            index.definition.table,
            quote_identifier(name)
        )]));
        if referenced {
            found_here = found_here
                .with("foreign keys", "reference these columns; if through this constraint, PostgreSQL refuses to drop it");
        }
        found.push(found_here);
    }
    found
}

fn same_columns(one: &[String], other: &[String]) -> bool {
    one.len() == other.len() && one.iter().all(|c| other.contains(c))
}
