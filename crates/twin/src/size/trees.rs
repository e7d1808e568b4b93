//! How many pages do new BRIN, GiST, SP-GiST and bloom indexes take?
//!
//! What is common to the pages of BRIN is in `model::brin_index`. Source: `gistbuild.c` and `gistproc.c`; `spgist_private.h`;
//! `contrib/bloom/bloom.h`. Trees that are built by inserting are two thirds full, as random inserts
//! leave any balanced tree (Yao, "On random 2-3 trees", 1978).

use super::{
    Attribute, Heap, ITEM_ID, PAGE, PAGE_SPACE, Shape, TUPLE_HEADER, average, max_align, tuple_bytes,
};

const INSERTED_FILL: f64 = 0.67;
pub(super) fn brin_pages(shape: &Shape, heap: Heap<'_>) -> f64 {
    let per_range =
        shape.option("pages_per_range").unwrap_or(model::brin_index::DEFAULT_PAGES_PER_RANGE).max(1.0);
    let values: f64 = shape
        .keys()
        .iter()
        .map(|a| {
            let width = average(a, heap.relation);
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
    model::brin_index::pages(heap.pages, Some(per_range), values)
}

pub(super) fn gist_pages(shape: &Shape, heap: Heap<'_>) -> f64 {
    let tuple = shape
        .keys()
        .iter()
        .find_map(|a| match a.type_name.as_str() {
            // In a leaf all trigrams, about as many as letters.
            "gtrgm" => Some(TUPLE_HEADER + 5.0 + 3.0 * heap_width(shape, heap)),
            // A hash of four bytes for each word, or a signature instead of very many.
            "gtsvector" => Some(TUPLE_HEADER + 8.0 + (4.0 * words(a, heap)).min(508.0)),
            _ => None,
        })
        .map_or_else(|| tuple_bytes(&shape.attributes, heap.relation), max_align);
    let fill = match shape.keys().first() {
        Some(key) if key.type_name.ends_with("range") => range_fill(key, heap),
        _ => INSERTED_FILL,
    };
    let leaves = (heap.rows * (tuple + ITEM_ID) / (PAGE_SPACE * fill)).ceil().max(1.0);
    let fanout = (PAGE_SPACE * fill / (tuple + ITEM_ID)).max(2.0);
    leaves + (leaves / (fanout - 1.0)).ceil()
}

/// Ranges of time come in order, and what comes in order is split in halves that stay so. Since 18 a build
/// sorts them first and divides four pages at a time, which leaves between half and all of a page full.
fn range_fill(key: &Attribute, heap: Heap<'_>) -> f64 {
    match key.type_name.as_str() {
        _ if heap.major < 18 => 0.57,
        "int4range" | "int8range" | "daterange" => 0.70,
        _ => 0.62,
    }
}

/// The width of the column, where the index stores something else.
fn heap_width(shape: &Shape, heap: Heap<'_>) -> f64 {
    shape.keys().first().and_then(|a| a.column(heap.relation)).map_or(32.0, |c| f64::from(c.average_width()))
}

/// The average number of words of a `tsvector`.
fn words(attribute: &Attribute, heap: Heap<'_>) -> f64 {
    let Some(statistics) = attribute.statistics(heap.relation) else { return 10.0 };
    let freqs = statistics.most_common_elem_freqs.as_deref().unwrap_or_default();
    // The frequencies of all words add up to their number; two or three more numbers stand behind them.
    let common: f32 = freqs.iter().take(freqs.len().saturating_sub(2)).sum();
    match attribute.column(heap.relation) {
        Some(column) if column.base_type.name == "tsvector" => f64::from(common).max(1.0),
        // Of a text: six or seven letters each, some left out.
        _ => (f64::from(statistics.avg_width) / 9.0).max(1.0),
    }
}

/// Source of the fills: `spgdoinsert.c`. Whole groups of leaves are moved to where there is room, so how much
/// stays free depends on how a type divides its values.
pub(super) fn spgist_pages(shape: &Shape, heap: Heap<'_>) -> f64 {
    let Some(key) = shape.keys().first() else { return 3.0 };
    let whole = average(key, heap.relation);
    let (stored, fill) = match key.opclass.as_str() {
        // The tree holds the beginning that texts have in common; alignment adds half of a word to the rest.
        "text_ops" => ((whole - common_prefix(key, heap)).max(1.0) + 3.5, 0.80),
        "range_ops" => (max_align(whole), 0.53),
        "inet_ops" => (max_align(whole), 0.65),
        _ => (max_align(whole), 0.78),
    };
    let included: f64 = shape.attributes.iter().skip(1).map(|a| average(a, heap.relation)).sum();
    // SpGistLeafTupleData is 12 bytes, aligned to 16.
    let leaf = 16.0 + stored + included + ITEM_ID;
    3.0 + (heap.rows * leaf / (PAGE_SPACE * fill)).ceil()
}

/// How many bytes the texts of a page have in common: about as many as two neighbours in the histogram.
fn common_prefix(attribute: &Attribute, heap: Heap<'_>) -> f64 {
    let bounds = attribute.statistics(heap.relation).map(|s| s.histogram()).unwrap_or_default();
    let pairs = bounds.windows(2).map(|b| b[0].bytes().zip(b[1].bytes()).take_while(|(a, b)| a == b).count());
    pairs.sum::<usize>() as f64 / bounds.len().saturating_sub(1).max(1) as f64
}

pub(super) fn bloom_pages(shape: &Shape, heap: Heap<'_>) -> f64 {
    // BloomTuple: a heap pointer and a signature of 16-bit words.
    let words = (shape.option("length").unwrap_or(80.0) / 16.0).ceil();
    1.0 + (heap.rows / ((PAGE - 24.0 - 8.0) / (6.0 + 2.0 * words)).floor()).ceil()
}
