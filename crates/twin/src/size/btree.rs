//! How many pages does a new B-tree take, and how high is it? What its keys are like, for `model::btree_index`.

use model::btree_index::{self, group_bytes, whole_group_bytes};

use super::distribution::{self, Class};
use super::{Heap, ITEM_ID, Shape, Size, tuple_bytes, whole};

pub(super) fn predict(shape: &Shape, heap: Heap<'_>) -> Size {
    let tuple = tuple_bytes(&shape.attributes, heap.relation);
    let pivot = tuple_bytes(shape.keys(), heap.relation);
    let merges = shape.deduplicates
        && !shape.unique
        && shape.attributes.len() == shape.key_count
        && !shape.switched_off("deduplicate_items");
    let bytes = if merges { merged_bytes(shape, heap, tuple) } else { heap.rows * (tuple + ITEM_ID) };
    let tree = btree_index::built(heap.rows, tuple, pivot, bytes, shape.option("fillfactor"));
    Size { pages: whole(tree.pages), height: tree.height }
}

/// The height of a B-tree of which only the number of pages is known.
pub(crate) fn height(shape: &Shape, heap: Heap<'_>, pages: u64) -> u32 {
    btree_index::height(pages as f64, tuple_bytes(shape.keys(), heap.relation))
}

fn merged_bytes(shape: &Shape, heap: Heap<'_>, tuple: f64) -> f64 {
    let table_rows = heap.relation.rows().max(heap.rows);
    let classes = distribution::of_all(&shape.attributes, heap.relation, table_rows);
    let single = shape.attributes.len() == 1;
    // The rows of a partial index are some of each value's, unless the predicate is on the values.
    let thinned = single && shape.attributes.iter().all(|a| a.conditional.is_none());
    let part = if thinned { (heap.rows / table_rows).min(1.0) } else { 1.0 };
    // Combinations are fewer or more than those of independent columns.
    let factor = match heap.combinations_of(shape) {
        Some(known) if known >= heap.rows => return heap.rows * (tuple + ITEM_ID),
        Some(known) => scale_to(known, &classes, heap.rows),
        None => 1.0,
    };
    classes
        .into_iter()
        .map(|Class { probability, values, null, random }| {
            let base = if null { 16.0 } else { tuple };
            let (groups, rows) = (values * factor, heap.rows * probability / factor);
            if random || !single {
                // Of the values that could occur some do, and some more often than others.
                groups * random_group_bytes(rows, base)
            } else {
                let whole = (rows / part).max(1.0);
                heap.rows * probability * values / (whole * part) * some_of_group_bytes(whole, part, base)
            }
        })
        .sum()
}

/// By how much the number of possible values has to be scaled for that many of them to occur.
fn scale_to(known: f64, classes: &[Class], rows: f64) -> f64 {
    let occurring = |factor: f64| -> f64 {
        classes
            .iter()
            .map(|c| distribution::occupied(c.values * factor, rows * c.probability * c.values))
            .sum()
    };
    // More possible values never make fewer occur.
    let exponent = |x: f64| (80.0 * x - 40.0).exp2();
    exponent(distribution::solve(|x| occurring(exponent(x)), known))
}

/// Bytes of what is left of a group of which each row stays with the same probability.
fn some_of_group_bytes(rows: f64, part: f64, base: f64) -> f64 {
    if part > 0.9 || rows > 60.0 {
        return group_bytes(rows * part, base);
    }
    let below = rows.floor();
    let of_whole = |n: f64| {
        let mut probability = (1.0 - part).powf(n);
        let mut bytes = 0.0;
        let mut k = 1.0;
        while k <= n {
            probability *= (n - k + 1.0) / k * part / (1.0 - part);
            bytes += probability * whole_group_bytes(k, base);
            k += 1.0;
        }
        bytes
    };
    (1.0 - (rows - below)) * of_whole(below) + (rows - below) * of_whole(below + 1.0)
}

/// The same for a group whose number of rows is random (Poisson's distribution).
fn random_group_bytes(rows: f64, base: f64) -> f64 {
    if rows > 60.0 {
        return group_bytes(rows, base);
    }
    let mut probability = (-rows).exp();
    let mut bytes = 0.0;
    let mut n = 1.0;
    while n < 20.0 + 3.0 * rows {
        probability *= rows / n;
        bytes += probability * whole_group_bytes(n, base);
        n += 1.0;
    }
    bytes
}
