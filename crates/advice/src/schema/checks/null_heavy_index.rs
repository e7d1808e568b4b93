//! Does an index hold mostly NULLs?
//!
//! `null_frac` of the leading column. A comparison never finds a NULL, so a partial index `WHERE column IS NOT NULL`
//! answers the same, and rows without a value cost nothing at INSERT. Left alone: unique and partial indexes, and
//! those of columns that some statement searches by `IS NULL`.

use model::snapshot::{Index, Relation};
use model::{Change, IndexDefinition, KeyTarget, Severity, quote_identifier};
use sql::Operator;

use super::{Check, index_ref};
use crate::index_advisor::upkeep::is_removable;
use crate::schema::facts::percent;
use crate::schema::{Facts, LintFinding, Remedy};

pub(super) const CHECK: Check = Check {
    id: "null-heavy-index",
    title: "index that holds mostly NULLs",
    severity: Severity::Info,
    on: true,
    needs_schema_facts: false,
    run,
};

fn run(facts: &Facts<'_>) -> Vec<LintFinding> {
    facts.designed_indexes().filter_map(|(relation, index)| judge(facts, relation, index)).collect()
}

fn judge(facts: &Facts<'_>, relation: &Relation, index: &Index) -> Option<LintFinding> {
    let definition = &index.definition;
    let KeyTarget::Column(name) = &definition.keys.first()?.target else { return None };
    let ordered = matches!(definition.access_method.as_str(), "btree" | "hash");
    let left_alone = !ordered
        || definition.unique
        || definition.predicate.is_some()
        || !index.valid
        || !is_removable(facts.snapshot, index)
        || index.bytes.0 < facts.thresholds.null_min_bytes;
    // A hash index holds no NULLs anyway.
    if left_alone || definition.access_method == "hash" {
        return None;
    }
    let column = relation.column(name)?;
    let share = f64::from(crate::tables::statistics(relation, column)?.null_frac);
    if share < facts.thresholds.null_share || is_searched_by_null(facts, relation, name) {
        return None;
    }
    let partial = IndexDefinition {
        name: facts.free_name(&definition.table.schema, &format!("{}_not_null", definition.name.chars().take(50).collect::<String>())),
        predicate: Some(format!("{} IS NOT NULL", quote_identifier(name))),
        ..definition.clone()
    };
    let drop = Change::DropIndex {
        name: index.name.clone(),
        table: definition.table.clone(),
        definition: index.indexdef.clone(),
    };
    let finding = CHECK
        .finding(
            index_ref(index),
            format!("{} of the entries of index {} are NULL", percent(share), index.name),
            "No comparison finds them. A partial index on the rows that have a value serves the same queries and is not \
             touched when a row without one is inserted.",
        )
        .with("size", index.bytes)
        .with("scans", index.idx_scan);
    Some(finding.mended_by(Remedy::changes(
        facts,
        vec![Change::CreateIndex { index: partial }, drop],
        "SHARE UPDATE EXCLUSIVE while the table is read twice: reads and writes go on.",
    )))
}

fn is_searched_by_null(facts: &Facts<'_>, relation: &Relation, column: &str) -> bool {
    facts.analyses().iter().any(|analysis| {
        analysis.uses_of(&relation.name).any(|used| {
            let searched = used
                .predicates
                .iter()
                .any(|p| p.operator == Operator::IsNull && p.key.column() == Some(column));
            // An order by the column with few rows wanted may walk the NULLs too.
            searched || used.sorts.iter().any(|s| s.items.iter().any(|i| i.key.column() == Some(column)))
        })
    })
}
