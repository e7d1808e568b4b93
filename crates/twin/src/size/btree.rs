//! How many pages does a new B-tree take, and how high is it?
//!
//! Source: `nbtsort.c` (`_bt_load`, `_bt_buildadd`: leaves are filled to the fill factor, inner pages
//! to 70 %) and `nbtdedup.c` (posting lists of a tenth of a page at most, six bytes for each row).

use super::distribution::{self, Class};
use super::{Heap, ITEM_ID, PAGE, PAGE_SPACE, Shape, Size, max_align, tuple_bytes, whole};

/// `MAXALIGN_DOWN(BLCKSZ * 10 / 100) - sizeof(ItemIdData)`
const POSTING_MAX: f64 = 812.0;
const POINTER: f64 = 6.0;
/// An inner page is closed when less than 30 % of it is free.
const INNER_SPACE: f64 = PAGE_SPACE - PAGE * 0.30;
const DEFAULT_FILLFACTOR: f64 = 90.0;

pub(super) fn predict(shape: &Shape, heap: Heap<'_>) -> Size {
    let tuple = tuple_bytes(&shape.attributes, heap.relation);
    let pivot = tuple_bytes(shape.keys(), heap.relation);
    let merges = shape.deduplicates
        && !shape.unique
        && shape.attributes.len() == shape.key_count
        && !shape.switched_off("deduplicate_items");
    let bytes = if merges { merged_bytes(shape, heap, tuple) } else { heap.rows * (tuple + ITEM_ID) };
    let fillfactor = shape.option("fillfactor").unwrap_or(DEFAULT_FILLFACTOR);
    let space = PAGE_SPACE - (PAGE * (100.0 - fillfactor) / 100.0).floor();
    // The last tuple that fits is moved to the next page and stays behind as the high key; a
    // posting list leaves only its key behind, which makes up for it.
    let lost = if bytes < 0.9 * heap.rows * (tuple + ITEM_ID) { 0.0 } else { 0.5 * (tuple + ITEM_ID) };
    let mut leaves = (bytes / (space - lost)).ceil().max(1.0);
    if heap.rows < 1.0 {
        leaves = 0.0;
    }
    let mut pages = 1.0 + leaves;
    let mut level = leaves;
    let mut height = 0;
    while level > 1.0 {
        level = (level / fanout(pivot)).ceil();
        pages += level;
        height += 1;
    }
    Size { pages: whole(pages), height }
}

/// The height of a B-tree of which only the number of pages is known.
pub(crate) fn height(shape: &Shape, heap: Heap<'_>, pages: u64) -> u32 {
    let fanout = fanout(tuple_bytes(shape.keys(), heap.relation));
    let mut level = (pages.saturating_sub(1) as f64 * (1.0 - 1.0 / fanout)).max(1.0);
    let mut height = 0;
    while level > 1.0 {
        level = (level / fanout).ceil();
        height += 1;
    }
    height
}

fn fanout(pivot: f64) -> f64 {
    (INNER_SPACE / (pivot + ITEM_ID)).max(2.0)
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
            bytes += probability * exact_group_bytes(k, base);
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
        bytes += probability * exact_group_bytes(n, base);
        n += 1.0;
    }
    bytes
}

/// Bytes of all tuples of one key that `rows` rows have, on average over groups of about that size.
fn group_bytes(rows: f64, base: f64) -> f64 {
    let (below, above) = (rows.floor(), rows.ceil());
    let part = rows - below;
    (1.0 - part) * exact_group_bytes(below, base) + part * exact_group_bytes(above, base)
}

fn exact_group_bytes(rows: f64, base: f64) -> f64 {
    let most = ((POSTING_MAX - base) / POINTER).floor().max(1.0);
    let list = |n: f64| match n {
        n if n < 1.0 => 0.0,
        n if n < 2.0 => base + ITEM_ID,
        n => max_align(base + POINTER * n) + ITEM_ID,
    };
    let full = (rows / most).floor();
    full * list(most) + list(rows - full * most)
}
