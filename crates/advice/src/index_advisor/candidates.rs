//! Which indexes could help? From the facts of each statement to a deduplicated list of definitions.
//!
//! Syntactic candidates as in AutoAdmin (Chaudhuri and Narasayya 1997): equality, range, sort, join and
//! group columns of every occurrence of a table. They are generous; costs decide. Two things are decided
//! here because no cost can: what an existing index already gives, and what PostgreSQL could not use.

mod keys;
mod methods;

use std::collections::{BTreeMap, BTreeSet};

use model::snapshot::{Relation, RelationKind};
use model::{IndexDefinition, IndexKey, KeyTarget, QualifiedName, Snapshot, quote_identifier};
use sql::{Analysis, Expression, Operator, RelationUse};

use super::Options;
use super::naming::Names;
use crate::index_semantics;
use crate::workload::{Workload, WorkloadStatement};

/// An index that could be built.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    /// What it is; its name is unique among candidates and existing relations.
    pub definition: IndexDefinition,
    /// Numbers of the statements whose facts it comes from.
    pub statements: BTreeSet<usize>,
}

/// A candidate that never reached the planner, or that the planner refused.
#[derive(Clone, Debug)]
pub(super) struct RuledOut {
    /// What it would have been.
    pub definition: IndexDefinition,
    /// For which statements.
    pub statements: BTreeSet<usize>,
    /// Why not.
    pub reason: String,
}

/// Everything that was thought of.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    /// What is worth planning with, in a fixed order.
    pub list: Vec<Candidate>,
    /// What was ruled out before any planning.
    pub ruled_out: Vec<RuledOut>,
    /// Tables that were not considered, with the reason.
    pub passed_over: BTreeMap<QualifiedName, String>,
}

/// What one occurrence of a table offers.
pub(super) struct Occasion<'a> {
    pub analysis: &'a Analysis,
    pub number: usize,
    pub relation_use: &'a RelationUse,
    pub relation: &'a Relation,
    pub snapshot: &'a Snapshot,
    pub options: &'a Options,
    pub statement: &'a WorkloadStatement,
}

/// An index without a name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Shape {
    pub access_method: String,
    pub keys: Vec<IndexKey>,
    pub include: Vec<String>,
    pub predicate: Option<String>,
    pub with: Vec<(String, String)>,
}

impl Shape {
    fn btree(keys: Vec<IndexKey>) -> Self {
        Self { access_method: "btree".into(), keys, include: Vec::new(), predicate: None, with: Vec::new() }
    }

    fn definition(&self, table: &QualifiedName) -> IndexDefinition {
        IndexDefinition {
            table: table.clone(),
            name: String::new(),
            access_method: self.access_method.clone(),
            unique: false,
            keys: self.keys.clone(),
            include: self.include.clone(),
            predicate: self.predicate.clone(),
            with: self.with.clone(),
        }
    }
}

/// Generates the candidates of a workload.
pub(super) fn generate(snapshot: &Snapshot, workload: &Workload, options: &Options) -> Candidates {
    let mut result = Candidates::default();
    let mut shapes: BTreeMap<(QualifiedName, Shape), BTreeSet<usize>> = BTreeMap::new();
    for (s, statement) in workload.statements.iter().enumerate() {
        for (number, relation_use) in statement.analysis.relations.iter().enumerate() {
            let Some(relation) = snapshot.relation(&relation_use.name) else { continue };
            if let Some(reason) = passed_over(relation, options) {
                result.passed_over.insert(relation.name.clone(), reason);
                continue;
            }
            let occasion = Occasion {
                analysis: &statement.analysis,
                number,
                relation_use,
                relation,
                snapshot,
                options,
                statement,
            };
            for shape in of_occasion(&occasion) {
                shapes.entry((relation.name.clone(), shape)).or_default().insert(s);
            }
        }
    }
    merge(&mut shapes, options);
    let mut names = Names::across_schemas(snapshot);
    for ((table, shape), statements) in shapes {
        let mut definition = shape.definition(&table);
        definition.name = names.choose(&definition);
        let existing = snapshot
            .indexes_of(&table)
            .find(|i| i.valid && index_semantics::gives(&i.definition, &definition));
        if let Some(existing) = existing {
            let reason = format!("the existing index {} gives the same", existing.name);
            result.ruled_out.push(RuledOut { definition, statements, reason });
        } else {
            result.list.push(Candidate { definition, statements });
        }
    }
    result
}

/// Why a table gets no index from here.
fn passed_over(relation: &Relation, options: &Options) -> Option<String> {
    match relation.kind {
        RelationKind::Table | RelationKind::MaterializedView => {}
        RelationKind::PartitionedTable => {
            return Some(
                "it is partitioned, and CREATE INDEX CONCURRENTLY has to run on each partition".into(),
            );
        }
        RelationKind::ForeignTable => return Some("it is a foreign table".into()),
    }
    if let Some(extension) = &relation.extension {
        return Some(format!("it belongs to the extension {extension}"));
    }
    let pages = relation.pages.max(relation.relpages);
    (pages < options.min_table_pages)
        .then(|| format!("it has {pages} pages, which a sequential scan reads faster than an index helps"))
}

fn of_occasion(occasion: &Occasion<'_>) -> BTreeSet<Shape> {
    let mut shapes = BTreeSet::new();
    let unique_keys = unique_keys(occasion);
    if finds_one_row(occasion, &unique_keys) {
        return shapes;
    }
    for (keys, predicate) in keys::sequences(occasion) {
        if keys.is_empty() || begins_with_unique_key(&keys, &unique_keys) {
            continue;
        }
        let plain = Shape { predicate, ..Shape::btree(keys) };
        let mut with_partial = vec![plain.clone()];
        if plain.predicate.is_none()
            && let Some(predicate) = mostly_null_predicate(occasion, &plain.keys)
        {
            with_partial.push(Shape { predicate: Some(predicate), ..plain });
        }
        for shape in with_partial {
            if let Some(include) = covering_columns(occasion, &shape) {
                shapes.insert(Shape { include, ..shape.clone() });
            }
            shapes.insert(shape);
        }
    }
    shapes.extend(methods::other_access_methods(occasion));
    shapes
}

/// Column lists of the table's unique, unconditional indexes.
fn unique_keys(occasion: &Occasion<'_>) -> Vec<BTreeSet<String>> {
    occasion
        .snapshot
        .indexes_of(&occasion.relation.name)
        .filter(|i| i.valid && i.definition.unique && i.definition.predicate.is_none())
        .filter_map(|i| {
            i.definition
                .keys
                .iter()
                .map(|k| match &k.target {
                    KeyTarget::Column(c) => Some(c.clone()),
                    KeyTarget::Expression(_) => None,
                })
                .collect()
        })
        .collect()
}

/// Whether the statement names a whole unique key: its index finds the one row already.
fn finds_one_row(occasion: &Occasion<'_>, unique_keys: &[BTreeSet<String>]) -> bool {
    let given: BTreeSet<&str> = occasion
        .relation_use
        .predicates
        .iter()
        .filter(|p| p.disjunct.is_none() && p.operator == Operator::Equal)
        .filter_map(|p| p.key.column())
        .collect();
    unique_keys.iter().any(|unique| unique.iter().all(|column| given.contains(column.as_str())))
}

/// Whether an index would begin with all columns of a unique key: each look-up finds one row already,
/// and the unique index stays in any case.
fn begins_with_unique_key(keys: &[IndexKey], unique_keys: &[BTreeSet<String>]) -> bool {
    unique_keys.iter().any(|unique| {
        let front: BTreeSet<String> = keys
            .iter()
            .take(unique.len())
            .filter_map(|k| match &k.target {
                KeyTarget::Column(c) => Some(c.clone()),
                KeyTarget::Expression(_) => None,
            })
            .collect();
        front == *unique
    })
}

/// `column IS NOT NULL` when a key column is mostly NULL and the statement can only be looking for
/// values: a comparison or a join is never true for NULL, and the planner draws that conclusion.
fn mostly_null_predicate(occasion: &Occasion<'_>, keys: &[IndexKey]) -> Option<String> {
    keys.iter().find_map(|key| {
        let KeyTarget::Column(name) = &key.target else { return None };
        let column = occasion.relation.column(name)?;
        let statistics = column.statistics.as_ref().or(column.inherited_statistics.as_ref())?;
        let worth_it = f64::from(statistics.null_frac) >= occasion.options.min_null_fraction;
        let compared =
            occasion.relation_use.predicates.iter().any(|p| {
                p.disjunct.is_none() && p.operator.is_strict() && p.key.column() == Some(name.as_str())
            });
        let joined = occasion.analysis.joins.iter().any(|j| {
            [&j.left, &j.right].iter().any(|side| side.relation == occasion.number && side.column == *name)
        });
        (worth_it && (compared || joined)).then(|| format!("{} IS NOT NULL", quote_identifier(name)))
    })
}

/// The columns that the statement wants beside the keys, when an index of their width still makes
/// sense: few, narrow, none of them TOASTed as a rule.
fn covering_columns(occasion: &Occasion<'_>, shape: &Shape) -> Option<Vec<String>> {
    let wanted = occasion.relation_use;
    if wanted.whole_row {
        return None;
    }
    let keyed: BTreeSet<&str> = shape
        .keys
        .iter()
        .filter_map(|k| match &k.target {
            KeyTarget::Column(c) => Some(c.as_str()),
            KeyTarget::Expression(_) => None,
        })
        .collect();
    let rest: Vec<String> = wanted.columns.iter().filter(|c| !keyed.contains(c.as_str())).cloned().collect();
    if rest.is_empty() || rest.len() > occasion.options.max_include_columns {
        return None;
    }
    let mut width = 0;
    for name in &rest {
        let column = occasion.relation.column(name)?;
        width += column.average_width();
    }
    (width <= occasion.options.max_include_width).then_some(rest)
}

/// Adds indexes that serve two statements at once: one candidate's keys continue another's, or two
/// with the same keys carry different columns.
fn merge(shapes: &mut BTreeMap<(QualifiedName, Shape), BTreeSet<usize>>, options: &Options) {
    let originals: Vec<((QualifiedName, Shape), BTreeSet<usize>)> =
        shapes.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
    let mut made = 0;
    for ((table, long), of_long) in &originals {
        for ((other_table, short), of_short) in &originals {
            let mergeable = table == other_table
                && long != short
                && long.access_method == "btree"
                && short.access_method == "btree"
                && long.predicate == short.predicate
                && long.keys.starts_with(&short.keys)
                && !(short.include.is_empty() && long.include.is_empty());
            if !mergeable {
                continue;
            }
            let mut include: Vec<String> = long.include.iter().chain(&short.include).cloned().collect();
            include.sort();
            include.dedup();
            include.retain(|c| !long.keys.iter().any(|k| k.target == KeyTarget::Column(c.clone())));
            if include.len() > options.max_include_columns || include == long.include {
                continue;
            }
            let merged = Shape { include, ..long.clone() };
            let statements = of_long.union(of_short).copied().collect::<BTreeSet<_>>();
            shapes.entry((table.clone(), merged)).or_default().extend(statements);
            made += 1;
            if made >= options.max_merged {
                return;
            }
        }
    }
}

/// A value that a parameter always has, as far as observed executions tell.
pub(super) fn observed_constant(statement: &WorkloadStatement, number: u32) -> Option<String> {
    let all: u64 = statement.observed.iter().map(|o| o.times).sum();
    let mut times: BTreeMap<&str, u64> = BTreeMap::new();
    for seen in &statement.observed {
        if let Some(Some(value)) = seen.values.get(&number) {
            *times.entry(value.as_str()).or_default() += seen.times;
        }
    }
    let (value, most) = times.into_iter().max_by_key(|(_, n)| *n)?;
    // A partial index that serves nineteen calls of twenty leaves the twentieth as it was.
    (all >= 20 && most as f64 >= 0.95 * all as f64).then(|| value.to_owned())
}

/// The constant on the right side of an equality, when there is one in the text or one was observed.
pub(super) fn constant_of(statement: &WorkloadStatement, predicate: &sql::Predicate) -> Option<String> {
    if predicate.operator != Operator::Equal {
        return None;
    }
    match predicate.values.first()?.without_casts() {
        Expression::Constant(literal) => literal.text(),
        Expression::Parameter(number) => observed_constant(statement, *number),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
