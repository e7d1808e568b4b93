//! Do statements join columns of two types?
//!
//! Equalities between columns in the statements of `pg_stat_statements`. Where the types share no family of B-tree
//! operators (`integer` and `numeric`, `text` and `char(n)`), one side is cast and its index is not used for the join.

use std::collections::BTreeMap;

use model::snapshot::{Column, Relation};
use model::{QualifiedName, Severity};

use super::{Check, column_ref};
use crate::schema::facts::{column_name, family};
use crate::schema::{Facts, LintFinding};

pub(super) const CHECK: Check = Check {
    id: "join-type-mismatch",
    title: "join of columns of two types",
    severity: Severity::Warning,
    on: true,
    needs_schema_facts: false,
    run,
};

type Side = (QualifiedName, String);

fn run(facts: &Facts<'_>) -> Vec<LintFinding> {
    let mut pairs: BTreeMap<(Side, Side), usize> = BTreeMap::new();
    for analysis in facts.analyses() {
        for join in &analysis.joins {
            let side = |used: &sql::ColumnUse| -> Option<Side> {
                Some((analysis.relations.get(used.relation)?.name.clone(), used.column.clone()))
            };
            let (Some(left), Some(right)) = (side(&join.left), side(&join.right)) else { continue };
            let pair = if left <= right { (left, right) } else { (right, left) };
            *pairs.entry(pair).or_default() += 1;
        }
    }
    let column = |side: &Side| -> Option<(&Relation, &Column)> {
        let relation = facts.tables.relation(&side.0)?;
        Some((relation, relation.column(&side.1)?))
    };
    let mut found = Vec::new();
    for ((left, right), statements) in &pairs {
        let (Some((_, one)), Some((_, other))) = (column(left), column(right)) else { continue };
        if one.base_type == other.base_type || family(one) == family(other) {
            continue;
        }
        let (left_name, right_name) = (column_name(&left.0, &left.1), column_name(&right.0, &right.1));
        let mut finding = CHECK.finding(
            column_ref(&left.0, &left.1),
            format!("{left_name} ({}) is joined with {right_name} ({})", one.type_name, other.type_name),
            "One of the two is cast for every row, and an index on that one is not used for the join. Give both the same \
             type.",
        );
        finding.finding.key = format!("{}={right_name}", finding.finding.key);
        found.push(finding.with("statements", statements));
    }
    found
}
