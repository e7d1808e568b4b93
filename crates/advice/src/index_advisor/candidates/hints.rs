//! What keeps an index from being tried, and what would allow it? A constant that the text no longer shows, an
//! extension that is not installed.

use std::collections::{BTreeMap, BTreeSet};

use model::snapshot::Relation;
use model::{Finding, ObjectRef, QualifiedName, Severity, Snapshot};
use sql::{KeyExpression, Operator};

use crate::tables::Tables;
use crate::workload::{Source, Workload, WorkloadStatement};

/// The share of all execution time from which a statement is worth a line.
const MIN_SHARE: f64 = 0.01;

/// What is said of statements that an index could help if something else were different.
pub(in crate::index_advisor) struct Hints {
    pub(in crate::index_advisor) findings: Vec<Finding>,
    /// The statements that they are of, by `queryid`.
    pub(in crate::index_advisor) statements: BTreeSet<i64>,
}

/// Looks for statements that an index could help if something else were different.
pub(in crate::index_advisor) fn hints(snapshot: &Snapshot, workload: &Workload) -> Hints {
    let tables = Tables::new(snapshot);
    let mut findings = Vec::new();
    let mut statements = BTreeSet::new();
    let mut without_trigrams: BTreeMap<(QualifiedName, String), Vec<i64>> = BTreeMap::new();
    for statement in &workload.statements {
        let share = statement.total_ms / workload.total_ms.max(f64::MIN_POSITIVE);
        if statement.source != Source::Statement || share < MIN_SHARE {
            continue;
        }
        let hidden = hidden_constant(statement, share);
        statements.extend(hidden.iter().map(|_| statement.queryid));
        findings.extend(hidden);
        if !snapshot.extensions.iter().any(|e| e.name == "pg_trgm") {
            for key in searched_within(&tables, statement) {
                without_trigrams.entry(key).or_default().push(statement.queryid);
            }
        }
    }
    for ((relation, column), queryids) in without_trigrams {
        statements.extend(&queryids);
        let summary = format!("{relation}.{column}");
        findings.push(
            Finding::new(
                "missing-extension",
                ObjectRef::Column { relation, column },
                Severity::Info,
                format!("an index that finds parts of {summary} needs the extension pg_trgm, which is not installed"),
                format!(
                    "A pattern that does not begin with the searched text is answered by no B-tree. pg_trgm comes with \
                     PostgreSQL (contrib){} and a database's owner may install it: CREATE EXTENSION pg_trgm. Advise \
                     again after it.",
                    match snapshot.available_extensions.as_slice() {
                        // A file of before did not say.
                        [] => "",
                        names if names.iter().any(|name| name == "pg_trgm") => ", this server has its files,",
                        _ => ", whose package this server does not have,",
                    }
                ),
            )
            .with("statements", queryids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")),
        );
    }
    Hints { findings, statements }
}

/// A statement that searches by an expression of which a constant is not known.
fn hidden_constant(statement: &WorkloadStatement, share: f64) -> Option<Finding> {
    let expressions: Vec<&str> = statement.assumed.unknown.iter().map(String::as_str).collect();
    (!expressions.is_empty()).then(|| {
        Finding::new(
            "hidden-constant",
            ObjectRef::Statement { queryid: statement.queryid },
            Severity::Info,
            format!("no index on {} was tried: its constant is not known", expressions.join(", ")),
            "pg_stat_statements shows no constants, and an index on an expression needs those within it: the key of a \
             document, the unit of date_trunc. Neither the statistics of the column nor the rows of a call tell which \
             it is. The server's logs do: pgwright advise --log FILE.",
        )
        .with("statement", statement.query.split_whitespace().take(12).collect::<Vec<_>>().join(" "))
        .with("share of all execution time, %", format!("{:.1}", 100.0 * share))
    })
}

/// Texts that a statement searches for parts of.
fn searched_within(tables: &Tables<'_>, statement: &WorkloadStatement) -> Vec<(QualifiedName, String)> {
    let mut found = Vec::new();
    for relation_use in &statement.analysis.relations {
        let Some(relation) = tables.relation(&relation_use.name) else { continue };
        for predicate in &relation_use.predicates {
            let within = match &predicate.operator {
                // Of a pattern that the text does not show both kinds are possible.
                Operator::Like { case_insensitive } => {
                    *case_insensitive || !begins_with_text(&predicate.values)
                }
                Operator::Other(name) => matches!(name.as_str(), "~" | "~*"),
                _ => false,
            };
            if let (true, KeyExpression::Column(column)) = (within, &predicate.key)
                && is_text(relation, column)
            {
                found.push((relation.name.clone(), column.clone()));
            }
        }
    }
    found
}

fn begins_with_text(values: &[sql::Expression]) -> bool {
    values.iter().any(|v| match v.without_casts() {
        sql::Expression::Constant(literal) => literal.text().is_some_and(|t| !t.starts_with(['%', '_'])),
        _ => false,
    })
}

fn is_text(relation: &Relation, column: &str) -> bool {
    relation.column(column).is_some_and(|c| matches!(c.base_type.name.as_str(), "text" | "varchar"))
}
