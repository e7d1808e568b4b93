//! Which indexes could keep a statement from becoming slower?
//!
//! An index on a join column that serves other statements well lets the planner visit a large table row by row, and most
//! of the rows that it visits fail a condition that no index knows. So the condition goes into the index: as a key behind
//! the join columns, or, where the text states a range with constants, as the predicate of a partial index, which is
//! a fraction as large. For gain alone nobody should build an index on a range that a text happens to name, so these are
//! candidates only where a statement would become slower without them.

use std::collections::BTreeSet;

use model::{IndexDefinition, IndexKey, QualifiedName, Snapshot};

use super::{
    Candidate, Occasion, Shape, begins_with_unique_key, keys, missing_columns, occasions, unique_keys,
};
use crate::index_advisor::Options;
use crate::index_advisor::naming::Names;
use crate::index_semantics;
use crate::tables::Tables;
use crate::workload::Workload;

/// Candidates for these statements that are not there yet.
pub(in super::super) fn mending<'d>(
    snapshot: &Snapshot,
    workload: &Workload,
    options: &Options,
    statements: &BTreeSet<usize>,
    known: impl Iterator<Item = &'d IndexDefinition>,
) -> Vec<Candidate> {
    let tables = Tables::new(snapshot);
    let mut names = Names::across_schemas(snapshot);
    let mut definitions: BTreeSet<IndexDefinition> = BTreeSet::new();
    for definition in known {
        names.take(&QualifiedName::new("", definition.name.clone()));
        definitions.insert(IndexDefinition { name: String::new(), ..definition.clone() });
    }
    let mut candidates: Vec<Candidate> = Vec::new();
    for s in statements {
        let Some(statement) = workload.statements.get(*s) else { continue };
        for occasion in occasions(statement, snapshot, &tables, options).into_iter().flatten() {
            let table = &occasion.relation.name;
            for shape in shapes(&occasion) {
                let mut definition = shape.definition(table);
                let given = |i: &&model::snapshot::Index| {
                    i.valid && index_semantics::gives(&i.definition, &definition)
                };
                if tables.indexes(table).any(|i| given(&i)) {
                    continue;
                }
                if definitions.insert(definition.clone()) {
                    definition.name = names.choose(&definition);
                    candidates.push(Candidate { definition, statements: BTreeSet::from([*s]) });
                }
            }
        }
    }
    candidates
}

fn shapes(occasion: &Occasion<'_>) -> BTreeSet<Shape> {
    let mut shapes = BTreeSet::new();
    let ranges = keys::ranges(occasion);
    if ranges.is_empty() {
        return shapes;
    }
    let unique_keys = unique_keys(occasion);
    let mut add = |shape: Shape, implied: &BTreeSet<String>| {
        if let Some(include) = missing_columns(occasion, &shape, implied) {
            shapes.insert(Shape { include, ..shape.clone() });
        }
        shapes.insert(shape);
    };
    for joined in keys::join_keys(occasion) {
        for column in ranges.keys() {
            let key = IndexKey::column(column);
            let keys: Vec<IndexKey> = joined.iter().cloned().chain([key]).collect();
            let fits = keys.len() <= occasion.options.max_key_columns
                && !joined.iter().any(|k| k.target == keys[keys.len() - 1].target);
            if fits && !begins_with_unique_key(&keys, &unique_keys) {
                add(Shape::btree(keys), &BTreeSet::new());
            }
        }
        let fixed =
            ranges.iter().filter_map(|(column, condition)| Some((column.clone(), condition.clone()?)));
        let (implied, conditions): (BTreeSet<String>, Vec<String>) = fixed.unzip();
        if !conditions.is_empty() {
            let predicate = Some(conditions.join(" AND "));
            add(Shape { predicate, ..Shape::btree(joined) }, &implied);
        }
    }
    shapes
}
