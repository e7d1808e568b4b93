//! How many pages does a new B-tree take, and how high is it?
//!
//! Source: `nbtsort.c` (`_bt_load`, `_bt_buildadd`: leaves are filled to the fill factor, inner pages to 70 %) and
//! `nbtdedup.c` (posting lists of a tenth of a page at most, six bytes for each row). The planner twin asks it for an index
//! that might be built, lint for one that is rebuilt; each says what the values are like.

/// Bytes of a page.
const PAGE: f64 = 8192.0;
/// A page without its header and special area.
const PAGE_SPACE: f64 = PAGE - 24.0 - 16.0;
/// A line pointer.
const ITEM_ID: f64 = 4.0;
/// `MAXALIGN_DOWN(BLCKSZ * 10 / 100) - sizeof(ItemIdData)`
const POSTING_MAX: f64 = 812.0;
/// A row in a posting list.
const POINTER: f64 = 6.0;
/// An inner page is closed when less than 30 % of it is free.
const INNER_SPACE: f64 = PAGE_SPACE - PAGE * 0.30;
/// The fill factor of an index that has none of its own, in percent.
pub const DEFAULT_FILLFACTOR: f64 = 90.0;

/// A new B-tree.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Built {
    /// Pages of every kind.
    pub pages: f64,
    /// Levels above the leaves.
    pub height: u32,
}

/// The B-tree of `rows` rows of which a tuple takes `tuple` bytes and one in an inner page `pivot`, line pointers left out.
///
/// `bytes` is what all leaf tuples take with their line pointers, equal keys merged; `fillfactor` is in percent.
pub fn built(rows: f64, tuple: f64, pivot: f64, bytes: f64, fillfactor: Option<f64>) -> Built {
    let free = (PAGE * (100.0 - fillfactor.unwrap_or(DEFAULT_FILLFACTOR)) / 100.0).floor();
    let space = PAGE_SPACE - free;
    // The last tuple that fits moves to the next page and stays behind as the high key; of a posting list only the key
    // does, which makes up for it.
    let lost = if bytes < 0.9 * rows * (tuple + ITEM_ID) { 0.0 } else { 0.5 * (tuple + ITEM_ID) };
    let leaves = if rows < 1.0 { 0.0 } else { (bytes / (space - lost)).ceil().max(1.0) };
    let mut pages = 1.0 + leaves;
    let (mut level, mut height) = (leaves, 0);
    while level > 1.0 {
        level = (level / fanout(pivot)).ceil();
        pages += level;
        height += 1;
    }
    Built { pages, height }
}

/// Levels above the leaves of a B-tree of which only the number of pages is known.
pub fn height(pages: f64, pivot: f64) -> u32 {
    let mut level = ((pages - 1.0).max(0.0) * (1.0 - 1.0 / fanout(pivot))).max(1.0);
    let mut height = 0;
    while level > 1.0 {
        level = (level / fanout(pivot)).ceil();
        height += 1;
    }
    height
}

fn fanout(pivot: f64) -> f64 {
    (INNER_SPACE / (pivot + ITEM_ID)).max(2.0)
}

/// Bytes of all tuples of one key that so many rows have, line pointers included, on average over groups of about that
/// size; `base` is what the tuple of one row takes.
pub fn group_bytes(rows: f64, base: f64) -> f64 {
    let (below, above) = (rows.floor(), rows.ceil());
    let part = rows - below;
    (1.0 - part) * whole_group_bytes(below, base) + part * whole_group_bytes(above, base)
}

/// The same for a whole number of rows.
pub fn whole_group_bytes(rows: f64, base: f64) -> f64 {
    let most = ((POSTING_MAX - base) / POINTER).floor().max(1.0);
    let list = |n: f64| match n {
        n if n < 1.0 => 0.0,
        n if n < 2.0 => base + ITEM_ID,
        n => ((base + POINTER * n) / 8.0).ceil() * 8.0 + ITEM_ID,
    };
    let full = (rows / most).floor();
    full * list(most) + list(rows - full * most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_million_numbers_take_what_every_administrator_knows() {
        // CREATE TABLE t AS SELECT generate_series(1, 1000000)::bigint: 2745 pages.
        let tree = built(1e6, 16.0, 16.0, 20e6, None);
        assert!((2700.0..2790.0).contains(&tree.pages), "{tree:?}");
        assert_eq!(tree.height, 2);
        assert_eq!(height(tree.pages, 16.0), 2);
        assert_eq!(built(0.0, 16.0, 16.0, 0.0, None), Built { pages: 1.0, height: 0 });
    }

    #[test]
    fn equal_keys_take_six_bytes_a_row() {
        let bytes = 10.0 * group_bytes(1e5, 16.0);
        assert!((6.0e6..6.6e6).contains(&bytes), "{bytes}");
        assert_eq!(group_bytes(1.0, 16.0), 20.0);
    }
}
