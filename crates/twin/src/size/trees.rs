//! How many pages do new BRIN, GiST, SP-GiST and bloom indexes take?
//!
//! Source: `brin_tuple.c` and `brin_revmap.c`; `gistbuild.c` and `gistproc.c`; `spgist_private.h`;
//! `contrib/bloom/bloom.h`. Trees that are built by inserting are two thirds full, as random inserts
//! leave any balanced tree (Yao, "On random 2-3 trees", 1978).

use super::{Heap, ITEM_ID, PAGE, PAGE_SPACE, Shape, TUPLE_HEADER, max_align, tuple_bytes};

/// `REVMAP_PAGE_MAXITEMS`
const REVMAP_ITEMS: f64 = 1360.0;
const INSERTED_FILL: f64 = 0.67;
/// SP-GiST moves whole groups of leaves to where there is room, and inner tuples take a little.
const SPGIST_FILL: f64 = 0.80;

pub(super) fn brin_pages(shape: &Shape, heap: Heap<'_>) -> f64 {
    let per_range = shape.option("pages_per_range").unwrap_or(128.0).max(1.0);
    let ranges = (heap.pages / per_range).ceil().max(1.0);
    let values: f64 = shape
        .keys()
        .iter()
        .map(|a| {
            let width = a.width(heap.relation);
            if a.opclass.contains("bloom") {
                // At most a tenth of the rows of a range are distinct, 1 % false positives: 9.6 bits each.
                let rows = (heap.relation.rows() / heap.pages.max(1.0) * per_range).max(16.0);
                (rows * 0.1 * 9.6 / 8.0).max(32.0)
            } else if a.opclass.contains("minmax_multi") {
                32.0 * width
            } else if a.opclass.contains("inclusion") {
                width + 2.0
            } else {
                2.0 * width
            }
        })
        .sum();
    let tuple = max_align(8.0 + values) + ITEM_ID;
    1.0 + (ranges / REVMAP_ITEMS).ceil() + (ranges * tuple / (PAGE_SPACE + 8.0)).ceil()
}

pub(super) fn gist_pages(shape: &Shape, heap: Heap<'_>) -> f64 {
    let tuple = shape
        .keys()
        .iter()
        .find_map(|a| match a.type_name.as_str() {
            // In a leaf all trigrams, about as many as letters.
            "gtrgm" => Some(TUPLE_HEADER + 5.0 + 3.0 * heap_width(shape, heap)),
            // A signature, or up to as many bytes of hashes.
            "gtsvector" => Some(8.0 + 8.0 + 124.0_f64.min(4.0 * heap_width(shape, heap) / 8.0)),
            _ => None,
        })
        .map_or_else(|| tuple_bytes(&shape.attributes, heap.relation), max_align);
    let leaves = (heap.rows * (tuple + ITEM_ID) / (PAGE_SPACE * INSERTED_FILL)).ceil().max(1.0);
    let fanout = (PAGE_SPACE * INSERTED_FILL / (tuple + ITEM_ID)).max(2.0);
    leaves + (leaves / (fanout - 1.0)).ceil()
}

/// The width of the column, where the index stores something else.
fn heap_width(shape: &Shape, heap: Heap<'_>) -> f64 {
    shape.keys().first().and_then(|a| a.column(heap.relation)).map_or(32.0, |c| f64::from(c.average_width()))
}

pub(super) fn spgist_pages(shape: &Shape, heap: Heap<'_>) -> f64 {
    // SpGistLeafTupleData is 12 bytes; inner tuples add a little.
    let width: f64 = shape.attributes.iter().map(|a| a.width(heap.relation)).sum();
    let leaf = max_align(12.0 + width) + ITEM_ID;
    3.0 + (heap.rows * leaf / (PAGE_SPACE * SPGIST_FILL)).ceil()
}

pub(super) fn bloom_pages(shape: &Shape, heap: Heap<'_>) -> f64 {
    // BloomTuple: a heap pointer and a signature of 16-bit words.
    let words = (shape.option("length").unwrap_or(80.0) / 16.0).ceil();
    1.0 + (heap.rows / ((PAGE - 24.0 - 8.0) / (6.0 + 2.0 * words)).floor()).ceil()
}
