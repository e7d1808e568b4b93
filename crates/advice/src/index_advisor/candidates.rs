//! Which indexes could help? From the facts of each statement to a deduplicated list of definitions.
//!
//! Syntactic candidates as in AutoAdmin (Chaudhuri and Narasayya 1997): equality, range, sort, join and
//! group columns of every occurrence of a table. They are generous; costs decide. Two things are decided
//! here because no cost can: what an existing index already gives, and what PostgreSQL could not use.

mod hints;
mod keys;
mod mending;
mod methods;

use std::collections::{BTreeMap, BTreeSet};

use model::snapshot::{ColumnStatistics, Relation, RelationKind};
use model::{IndexDefinition, IndexKey, KeyTarget, QualifiedName, Snapshot, quote_identifier};
use sql::{Analysis, Expression, KeyExpression, Operator, RelationUse};

pub(super) use self::hints::{Hints, hints};
pub(super) use self::mending::mending;
use super::Options;
use super::naming::Names;
use crate::index_semantics;
use crate::tables::{self, Extent, Tables};
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
    /// The table that an index would be on: the one that the statement names, or one that inherits from it.
    pub relation: &'a Relation,
    pub extent: Extent,
    pub snapshot: &'a Snapshot,
    pub tables: &'a Tables<'a>,
    pub options: &'a Options,
    pub statement: &'a WorkloadStatement,
}

impl Occasion<'_> {
    fn statistics(&self, column: &str) -> Option<&ColumnStatistics> {
        tables::statistics(self.relation, self.relation.column(column)?)
    }

    /// How many different values a key has.
    fn distinct(&self, key: &KeyTarget) -> f64 {
        match key {
            KeyTarget::Column(name) => self.statistics(name).map_or(1.0, |s| s.distinct(self.extent.rows)),
            KeyTarget::Expression(_) => f64::INFINITY,
        }
    }

    /// A key as an index definition writes it, assumed constants in place.
    fn target(&self, key: &KeyExpression) -> Option<KeyTarget> {
        match key {
            KeyExpression::Column(name) => Some(KeyTarget::Column(name.clone())),
            KeyExpression::Expression { sql: Some(sql), .. } => Some(KeyTarget::Expression(sql.clone())),
            KeyExpression::Expression { expression, .. } => {
                let expression = expression.with_constants(&self.statement.assumed.constants);
                let sql = if expression.is_indexable() { expression.index_sql() } else { None };
                sql.map(KeyTarget::Expression)
            }
        }
    }
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

/// The most tables below a parent by inheritance that get indexes of their own.
const MAX_CHILDREN: usize = 64;

/// Generates the candidates of a workload.
pub(super) fn generate(snapshot: &Snapshot, workload: &Workload, options: &Options) -> Candidates {
    let tables = Tables::new(snapshot);
    let mut result = Candidates::default();
    let mut shapes: BTreeMap<QualifiedName, Shapes> = BTreeMap::new();
    let mut queues: BTreeSet<(QualifiedName, String)> = BTreeSet::new();
    for (s, statement) in workload.statements.iter().enumerate() {
        let breadth = Breadth::of(statement, workload);
        for occasion in occasions(statement, snapshot, &tables, options) {
            match occasion {
                Ok(occasion) => {
                    let of_table = shapes.entry(occasion.relation.name.clone()).or_default();
                    for shape in of_occasion(&occasion, breadth, &mut queues) {
                        of_table.entry(shape).or_default().insert(s);
                    }
                }
                Err((table, reason)) => {
                    result.passed_over.insert(table.clone(), reason);
                }
            }
        }
    }
    let mut names = Names::across_schemas(snapshot);
    for (table, mut shapes) in shapes {
        merge(&mut shapes, options);
        widen(&mut shapes, &tables, &table, options);
        for (shape, statements) in shapes {
            let mut definition = shape.definition(&table);
            definition.name = names.choose(&definition);
            // An index of all rows serves the same statements, and as well but for the few rows of a queue.
            let queue = shape.predicate.is_some_and(|p| queues.contains(&(table.clone(), p)));
            let stands_for = if queue { index_semantics::replaces } else { index_semantics::gives };
            let existing = tables.indexes(&table).find(|i| i.valid && stands_for(&i.definition, &definition));
            if let Some(existing) = existing {
                let reason = format!("the existing index {} gives the same", existing.name);
                result.ruled_out.push(RuledOut { definition, statements, reason });
            } else {
                result.list.push(Candidate { definition, statements });
            }
        }
    }
    result
}

/// The shapes of one table, each with the statements that brought it.
type Shapes = BTreeMap<Shape, BTreeSet<usize>>;

/// The tables whose indexes serve scans of a table: itself, and those that inherit from it, which have indexes of
/// their own. An index of a partitioned table is one of all its partitions.
fn indexed_tables<'a>(tables: &Tables<'a>, name: &QualifiedName) -> Vec<&'a Relation> {
    let Some(relation) = tables.relation(name) else { return Vec::new() };
    let mut all = vec![relation];
    let mut next = 0;
    while let Some(parent) = all.get(next).copied() {
        next += 1;
        if parent.kind != RelationKind::PartitionedTable {
            let heirs = tables.children(&parent.name).iter().copied().filter(|c| c.partition_bound.is_none());
            all.extend(heirs.take(MAX_CHILDREN.saturating_sub(all.len())));
        }
    }
    all
}

/// Every use that a statement makes of a table which an index could be on, or why none is made for that table.
fn occasions<'a>(
    statement: &'a WorkloadStatement,
    snapshot: &'a Snapshot,
    tables: &'a Tables<'a>,
    options: &'a Options,
) -> Vec<Result<Occasion<'a>, (&'a QualifiedName, String)>> {
    let analysis = &statement.analysis;
    let mut found = Vec::new();
    for (number, relation_use) in analysis.relations.iter().enumerate() {
        for relation in indexed_tables(tables, &relation_use.name) {
            let extent = tables.extent(relation);
            found.push(match passed_over(relation, extent, options) {
                Some(reason) => Err((&relation.name, reason)),
                None => Ok(Occasion {
                    analysis,
                    number,
                    relation_use,
                    relation,
                    extent,
                    snapshot,
                    tables,
                    options,
                    statement,
                }),
            });
        }
    }
    found
}

/// Why a table gets no index from here.
fn passed_over(relation: &Relation, extent: Extent, options: &Options) -> Option<String> {
    match relation.kind {
        RelationKind::Table | RelationKind::MaterializedView | RelationKind::PartitionedTable => {}
        RelationKind::ForeignTable => return Some("it is a foreign table".into()),
    }
    if let Some(extension) = &relation.extension {
        return Some(format!("it belongs to the extension {extension}"));
    }
    (extent.pages < options.min_table_pages).then(|| {
        format!("it has {} pages, which a sequential scan reads faster than an index helps", extent.pages)
    })
}

/// How many B-tree key lists of one occurrence of a table are tried, and how many of them with `INCLUDE` as well.
#[derive(Clone, Copy, Debug)]
struct Breadth {
    sequences: usize,
    covering: usize,
}

impl Breadth {
    /// Each candidate costs a millisecond to make known, so among thousands of statements those that hardly count get
    /// only their best.
    fn of(statement: &WorkloadStatement, workload: &Workload) -> Self {
        let count = workload.statements.len();
        let share = statement.total_ms / workload.total_ms.max(f64::MIN_POSITIVE);
        match () {
            () if count <= 300 || share >= 0.002 => Self { sequences: 28, covering: 14 },
            () if count <= 2_000 || share >= 0.000_5 => Self { sequences: 10, covering: 5 },
            () => Self { sequences: 3, covering: 1 },
        }
    }
}

/// The shapes that a statement wants on a table; the predicates of queues go to `queues`.
fn of_occasion(
    occasion: &Occasion<'_>,
    breadth: Breadth,
    queues: &mut BTreeSet<(QualifiedName, String)>,
) -> BTreeSet<Shape> {
    let mut shapes = BTreeSet::new();
    let unique_keys = unique_keys(occasion);
    if finds_one_row(occasion, &unique_keys) {
        return shapes;
    }
    let useful = |sequence: &&keys::Sequence| {
        sequence.predicate.is_some() || !begins_with_unique_key(&sequence.keys, &unique_keys)
    };
    let sequences = keys::sequences(occasion);
    for (rank, sequence) in sequences.iter().filter(useful).take(breadth.sequences).enumerate() {
        let plain = Shape { predicate: sequence.predicate.clone(), ..Shape::btree(sequence.keys.clone()) };
        let predicate = sequence.predicate.iter().filter(|_| sequence.queue);
        queues.extend(predicate.map(|p| (occasion.relation.name.clone(), p.clone())));
        let mut variants = vec![(plain.clone(), sequence.implied.clone())];
        if plain.predicate.is_none()
            && let Some(predicate) = mostly_null_predicate(occasion, &plain.keys)
        {
            variants.push((Shape { predicate: Some(predicate), ..plain }, BTreeSet::new()));
        }
        for (shape, implied) in variants {
            let missing = missing_columns(occasion, &shape, &implied);
            // All that is wanted are keys, so it covers as it is.
            let covers = missing.as_ref().is_some_and(Vec::is_empty);
            if rank < breadth.covering
                && let Some(include) = missing
                && !include.is_empty()
            {
                shapes.insert(Shape { include, ..shape.clone() });
            }
            if covers || !sequence.keeps_most || is_clustered(occasion, &shape.keys) {
                shapes.insert(shape);
            }
        }
    }
    shapes.extend(methods::other_access_methods(occasion));
    shapes
}

/// Column lists of the table's unique, unconditional indexes.
fn unique_keys(occasion: &Occasion<'_>) -> Vec<BTreeSet<String>> {
    occasion
        .tables
        .indexes(&occasion.relation.name)
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
        let statistics = occasion.statistics(name)?;
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
/// sense: few, narrow, none of them TOASTed as a rule. All of them or none: an index that lacks one column of a scan
/// saves no visit of the table. What the predicate of a partial index implies needs no column
/// (`check_index_only()`).
fn missing_columns(
    occasion: &Occasion<'_>,
    shape: &Shape,
    implied: &BTreeSet<String>,
) -> Option<Vec<String>> {
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
    let only_implied = |column: &String| {
        let predicates = wanted.predicates.iter().filter(|p| p.key.column() == Some(column)).count();
        implied.contains(column) && wanted.touches.get(column).is_some_and(|n| *n as usize <= predicates)
    };
    let rest: Vec<String> =
        wanted.columns.iter().filter(|c| !keyed.contains(c.as_str()) && !only_implied(c)).cloned().collect();
    if rest.len() > occasion.options.max_include_columns {
        return None;
    }
    let mut width = 0;
    for name in &rest {
        let column = occasion.relation.column(name)?;
        width += column.average_width();
    }
    (width <= occasion.options.max_include_width).then_some(rest)
}

/// Whether rows of equal leading keys lie together, so that a large share of the rows is as large a share of the pages.
fn is_clustered(occasion: &Occasion<'_>, keys: &[IndexKey]) -> bool {
    let Some(KeyTarget::Column(name)) = keys.first().map(|k| &k.target) else { return false };
    occasion.statistics(name).and_then(|s| s.correlation).is_some_and(|c| c.abs() > 0.9)
}

/// The columns of two `INCLUDE` lists, without those that are keys.
fn united(keys: &[IndexKey], a: &[String], b: &[String]) -> Vec<String> {
    let all: BTreeSet<&String> = a.iter().chain(b).collect();
    let is_key = |c: &&String| keys.iter().any(|k| k.target == KeyTarget::Column((*c).clone()));
    all.into_iter().filter(|c| !is_key(c)).cloned().collect()
}

/// Adds indexes that serve two statements at once: one candidate's keys continue another's, or two
/// with the same keys carry different columns.
fn merge(shapes: &mut Shapes, options: &Options) {
    let btrees: Vec<(Shape, BTreeSet<usize>)> = shapes
        .iter()
        .filter(|(shape, _)| shape.access_method == "btree")
        .map(|(shape, statements)| (shape.clone(), statements.clone()))
        .collect();
    let mut made = 0;
    for (position, (short, of_short)) in btrees.iter().enumerate() {
        // In the order of the keys, what begins with a list stands right behind it.
        let longer = btrees[position + 1..].iter().take_while(|(long, _)| long.keys.starts_with(&short.keys));
        for (long, of_long) in longer {
            let pointless = short.include.is_empty() && long.include.is_empty();
            if long.predicate != short.predicate || pointless {
                continue;
            }
            let include = united(&long.keys, &long.include, &short.include);
            if include.len() > options.max_include_columns || include == long.include {
                continue;
            }
            let merged = Shape { include, ..long.clone() };
            made += usize::from(!shapes.contains_key(&merged));
            shapes.entry(merged).or_default().extend(of_long.union(of_short));
            if made >= options.max_merged {
                return;
            }
        }
    }
}

/// Adds what an existing index would be with more columns, so that it can be replaced instead of standing beside a
/// new one.
fn widen(shapes: &mut Shapes, tables: &Tables<'_>, table: &QualifiedName, options: &Options) {
    let existing = tables.indexes(table).filter(|i| {
        i.valid
            && !i.primary
            && i.constraint.is_none()
            && !i.definition.unique
            && i.definition.access_method == "btree"
    });
    let mut wider: Vec<(Shape, BTreeSet<usize>)> = Vec::new();
    for index in existing {
        let existing = &index.definition;
        for (shape, statements) in shapes.iter() {
            if shape.access_method != "btree" || shape.predicate != existing.predicate {
                continue;
            }
            let keys = match () {
                () if existing.keys.starts_with(&shape.keys) => &existing.keys,
                () if shape.keys.starts_with(&existing.keys) => &shape.keys,
                () => continue,
            };
            let include = united(keys, &shape.include, &existing.include);
            if include.len() <= options.max_include_columns {
                wider.push((Shape { keys: keys.clone(), include, ..shape.clone() }, statements.clone()));
            }
        }
    }
    for (shape, statements) in wider.into_iter().take(options.max_merged) {
        shapes.entry(shape).or_default().extend(statements);
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

/// The constant on the right side of a predicate, when there is one in the text, or one was observed or is assumed.
pub(super) fn constant_of(statement: &WorkloadStatement, predicate: &sql::Predicate) -> Option<String> {
    constant(statement, predicate.values.first()?)
}

/// A value that is in the text, or that a parameter was always observed to have.
fn constant(statement: &WorkloadStatement, value: &Expression) -> Option<String> {
    match value.without_casts() {
        Expression::Constant(literal) => literal.text(),
        Expression::Parameter(number) => observed_constant(statement, *number)
            .or_else(|| statement.assumed.constants.get(number).and_then(sql::Literal::text)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
