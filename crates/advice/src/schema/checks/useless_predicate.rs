//! Does the predicate of a partial index leave anything out?
//!
//! Either it holds for every row by the table's own constraints (`IS NOT NULL` of a NOT NULL column, what a validated CHECK
//! of such columns says), or the index
//! holds nearly as many rows as the table (`pg_class.reltuples` of both) and is not unique. Queries that do not repeat the predicate
//! cannot use the index, for nothing.

use model::snapshot::{Index, Relation};
use model::{Change, IndexDefinition, Severity};

use super::{Check, index_ref};
use crate::index_advisor::upkeep::is_removable;
use crate::schema::facts::percent;
use crate::schema::{Facts, LintFinding, Remedy};

pub(super) const CHECK: Check = Check {
    id: "useless-predicate",
    title: "predicate of an index that leaves nothing out",
    severity: Severity::Info,
    on: true,
    needs_schema_facts: false,
    run,
};

fn run(facts: &Facts<'_>) -> Vec<LintFinding> {
    facts.designed_indexes().filter_map(|(relation, index)| judge(facts, relation, index)).collect()
}

/// Whether a CHECK says of every row what a predicate asks. Comparisons of columns that are NOT NULL are true or false;
/// a function might give NULL, which a CHECK lets pass.
fn holds_by_check(facts: &Facts<'_>, relation: &Relation, predicate: &str, not_null: &[&str]) -> bool {
    let calls = predicate.as_bytes().windows(2).any(|pair| {
        pair[1] == b'(' && (pair[0].is_ascii_alphanumeric() || matches!(pair[0], b'_' | b'"'))
    });
    !calls
        && facts.constraints(&relation.name).iter().any(|constraint| {
            constraint.validated
                && constraint.check_condition().is_some_and(|check| {
                    let columns = sql::expression_ingredients(check.expression).columns;
                    !columns.is_empty()
                        && columns.iter().all(|c| not_null.contains(&c.as_str()))
                        && sql::implies(check.expression, predicate)
                })
        })
}

fn judge(facts: &Facts<'_>, relation: &Relation, index: &Index) -> Option<LintFinding> {
    let definition = &index.definition;
    let predicate = definition.predicate.as_deref()?;
    if !index.valid {
        return None;
    }
    let not_null: Vec<&str> = relation.columns.iter().filter(|c| c.not_null).map(|c| c.name.as_str()).collect();
    let always = sql::always_true(predicate, &not_null) || holds_by_check(facts, relation, predicate, &not_null);
    // Both counts come from the same ANALYZE or VACUUM; without one there is no telling.
    let known = relation.reltuples >= 10_000.0 && index.reltuples > 0.0;
    let share = if known { index.reltuples / relation.reltuples } else { 0.0 };
    // Of a unique index the predicate says which rows must differ, however many they are.
    if !always && (definition.unique || share < facts.thresholds.predicate_share) {
        return None;
    }
    let finding = CHECK
        .finding(
            index_ref(index),
            format!("the predicate of index {} leaves nothing out", index.name),
            if always {
                "It holds for every row, by the constraints of the table. Only queries that repeat it can use the index.".into()
            } else {
                format!(
                    "The index holds {} of the rows. Only queries that imply the predicate can use it, and it saves \
                     next to nothing.",
                    percent(share.min(1.0))
                )
            },
        )
        .with("predicate", predicate);
    if !is_removable(facts.snapshot, index) {
        return Some(finding);
    }
    let full = IndexDefinition {
        name: facts.free_name(&definition.table.schema, &format!("{}_full", definition.name.chars().take(50).collect::<String>())),
        predicate: None,
        ..definition.clone()
    };
    let drop = Change::DropIndex {
        name: index.name.clone(),
        table: definition.table.clone(),
        definition: index.indexdef.clone(),
    };
    Some(finding.mended_by(Remedy::changes(
        facts,
        vec![Change::CreateIndex { index: full }, drop],
        "SHARE UPDATE EXCLUSIVE while the table is read twice: reads and writes go on.",
    )))
}
