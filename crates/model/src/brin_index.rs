//! How many pages does a new BRIN index take?
//!
//! Source: `brin_tuple.c` (`brin_form_tuple`: one tuple for each range of pages) and `brin_page.h` (how many ranges a page
//! of the range map points at). The planner twin asks it for an index that might be built, lint for one that is rebuilt.

/// A page without its header and special area of 8 bytes.
const PAGE_SPACE: f64 = 8192.0 - 24.0 - 8.0;
/// `REVMAP_PAGE_MAXITEMS`
const REVMAP_ITEMS: f64 = 1360.0;
/// `BrinTuple`, aligned, with room for the bits of NULLs.
const TUPLE_HEADER: f64 = 8.0;
/// A line pointer.
const ITEM_ID: f64 = 4.0;
/// Pages of the table for each range, where the index does not say.
pub const DEFAULT_PAGES_PER_RANGE: f64 = 128.0;

/// Pages of a new BRIN index on a table of `heap_pages`, of which each range is summed up in `value_bytes` (two values of
/// each column for the minimum and maximum).
pub fn pages(heap_pages: f64, pages_per_range: Option<f64>, value_bytes: f64) -> f64 {
    let per_range = pages_per_range.unwrap_or(DEFAULT_PAGES_PER_RANGE).max(1.0);
    let ranges = (heap_pages / per_range).ceil().max(1.0);
    let tuple = ((TUPLE_HEADER + value_bytes) / 8.0).ceil() * 8.0 + ITEM_ID;
    let per_page = (PAGE_SPACE / tuple).floor().max(1.0);
    1.0 + (ranges / REVMAP_ITEMS).ceil() + (ranges / per_page).ceil()
}

#[cfg(test)]
mod tests {
    use super::pages;

    #[test]
    fn small_tables_and_large_ones() {
        // The metapage, one of the range map, one of tuples; two of tuples for 782 ranges.
        assert_eq!(pages(0.0, None, 8.0), 3.0);
        assert_eq!(pages(100_000.0, None, 8.0), 4.0);
        // 408 tuples of 20 bytes a page.
        assert_eq!(pages(4080.0, Some(1.0), 8.0), 1.0 + 3.0 + 10.0);
    }
}
