//! Has a foreign key no index on the referencing side?
//!
//! PostgreSQL indexes the referenced side only. Deleting or updating a referenced row then reads the whole referencing
//! table, row by row. What supports it: a valid B-tree, GiST or (for one column) hash or SP-GiST index whose first keys are the
//! columns in any order, whole or partial on `IS NOT NULL` of them. GIN does for arrays and, with
//! btree_gin, for scalar types. What does not: other partial indexes, BRIN, GIN of documents, another
//! collation, an index with another column first. A partitioned table needs one on every partition.

use model::snapshot::{Constraint, ForeignKeyTarget, Relation};
use model::{Change, IndexDefinition, IndexKey, KeyTarget, Severity};

use super::{Check, constraint_ref};
use crate::index_semantics::covers_foreign_key;
use crate::schema::{Facts, LintFinding, Remedy};

pub(super) const CHECK: Check = Check {
    id: "unindexed-foreign-key",
    title: "foreign key without an index",
    severity: Severity::Warning,
    on: true,
    needs_schema_facts: false,
    run,
};

fn run(facts: &Facts<'_>) -> Vec<LintFinding> {
    facts.foreign_keys().filter_map(|(key, target)| judge(facts, key, target)).collect()
}

fn judge(facts: &Facts<'_>, key: &Constraint, target: &ForeignKeyTarget) -> Option<LintFinding> {
    let relation = facts.tables.relation(&key.table).filter(|r| r.extension.is_none())?;
    let covered = |table: &Relation| {
        let mut indexes = facts.tables.indexes(&table.name);
        indexes.any(|i| covers_foreign_key(i, &key.columns, Some(table)))
    };
    let leaves = facts.leaves(relation);
    if covered(relation) || (!leaves.is_empty() && leaves.iter().all(|leaf| covered(leaf))) {
        return None;
    }
    let rows = facts.rows(relation);
    let referenced = facts.tables.relation(&target.table).and_then(|r| r.activity.as_ref());
    let deleted = referenced.map_or(0, |a| a.n_tup_del);
    let columns = key.columns.iter().map(|c| model::quote_identifier(c)).collect::<Vec<_>>().join(", ");
    let finding = CHECK
        .finding(
            constraint_ref(key),
            format!("foreign key {} on {} ({columns}) has no index", model::quote_identifier(&key.name), key.table),
            format!(
                "Each row of {} that is deleted, or whose key is updated, is looked for in all of the {rows:.0} rows of \
                 {}. Joins from one to the other miss the index as well.",
                target.table, key.table
            ),
        )
        .severity(if rows >= facts.thresholds.foreign_key_min_rows { Severity::Warning } else { Severity::Info })
        .with("rows of the referencing table", format!("{rows:.0}"))
        .with("rows of the referenced table deleted since the counters were reset", deleted);
    // Something that nearly does is worth naming.
    let near = facts.tables.indexes(&key.table).find_map(|i| near_miss(i, &key.columns));
    let finding = match near {
        Some(near) => finding.with("index that does not support it", near),
        None => finding,
    };
    let keys: Vec<IndexKey> = key.columns.iter().map(IndexKey::column).collect();
    let base = format!("{}_{}_idx", key.table.name, key.columns.join("_"));
    let index = IndexDefinition::btree(key.table.clone(), facts.free_name(&key.table.schema, &base), keys);
    let remedy = Remedy::changes(
        facts,
        vec![Change::CreateIndex { index }],
        format!(
            "SHARE UPDATE EXCLUSIVE on {} while it is read twice, about {}: reads and writes go on.",
            key.table,
            model::Millis(
                leaves.iter().map(|l| crate::schema::scan_ms(l).0 + crate::schema::build_ms(l).0).sum::<f64>()
            )
        ),
    );
    Some(finding.mended_by(remedy))
}

fn near_miss(index: &model::snapshot::Index, columns: &[String]) -> Option<String> {
    let first = index.definition.keys.first()?;
    let KeyTarget::Column(name) = &first.target else { return None };
    if !columns.contains(name) {
        return None;
    }
    let why = if !index.valid {
        "is not valid"
    } else if index.definition.predicate.is_some() {
        "is partial"
    } else if matches!(index.definition.access_method.as_str(), "brin" | "gin") {
        "is of a method that does not find single rows"
    } else if first.collation.is_some() {
        "has another collation"
    } else {
        "does not begin with all of its columns"
    };
    Some(format!("{} {why}", index.name))
}
