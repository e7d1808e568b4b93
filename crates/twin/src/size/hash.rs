//! How many pages does a new hash index take? What the values of its keys are like, for `model::hash_index`.

use super::distribution;
use super::{Heap, Shape};

pub(super) fn pages(shape: &Shape, heap: Heap<'_>) -> f64 {
    // The build estimates the rows of the table, before the predicate.
    let table_rows = heap.relation.rows().max(heap.rows);
    let classes: Vec<(f64, f64)> = distribution::of_all(shape.keys(), heap.relation, table_rows)
        .iter()
        .filter(|c| !c.null)
        .map(|c| (c.probability, c.values))
        .collect();
    model::hash_index::pages(heap.rows, table_rows, shape.option("fillfactor"), &classes)
}
