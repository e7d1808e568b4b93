//! What does a server do for one new entry of an index? Processor time, from where the entry goes and what
//! is compared on the way.
//!
//! Source: measurements with `pgwright-benches upkeep` (docs/reference/benchmarks.md tells how to repeat them).
//! They say, of everything that is in the cache:
//!
//! - Width is nearly free: included columns cost log, not time.
//! - An entry at the right edge (a growing time or number) costs a sixth of one at a random place:
//!   `_bt_insertonpg` remembers the rightmost leaf (nbtree/README, "Fastpath For Index Insertion").
//! - Elsewhere there is a binary search on every level, so a comparison for each doubling of the index; texts
//!   are dearer to compare, the longer the more, and with a linguistic collation.
//! - On top of it comes what no cache of the processor holds, which grows with the *logarithm of the number of
//!   places* that new entries go to. The places are told by the entropy of the key columns before the first
//!   growing one: few values, or one value nearly always, are few places.
//! - GIN pays for each key of a row, later but not less (`fastupdate`); BRIN for nothing but a look.
//!
//! What is not in the cache costs a read, and what is changed for the first time since a checkpoint is logged
//! as a whole page (`full_page_writes`): both grow with the places, too.

use model::snapshot::{Column, ColumnStatistics, Relation};
use model::{IndexDefinition, IndexKey, KeyTarget, Snapshot};

use crate::tables::{Tables, statistics};

/// Looking at an index at all, once per row: its tuple is formed and its predicate asked.
const LOOK_US: f64 = 0.1;
/// Computing an expression of a key or a predicate.
const EXPRESSION_US: f64 = 0.3;
/// Putting an entry into a leaf that is at hand, with its log record.
const LEAF_US: f64 = 0.4;
/// One more bit of places: what of the path is in no processor cache, and jumps that are not foreseen.
const BIT_US: f64 = 0.1;
/// Comparing two values of fixed length.
const COMPARE_US: f64 = 0.025;
/// Comparing two texts, and for each byte of them.
const COMPARE_TEXT_US: f64 = 0.02;
const COMPARE_BYTE_US: f64 = 0.0012;
/// Bytes of a text beyond which the difference was usually found.
const COMPARED_BYTES: f64 = 100.0;
/// How much dearer a linguistic collation is.
const LINGUISTIC: f64 = 1.5;
/// Comparisons within a leaf: its entries by halves.
const LEAF_COMPARISONS: f64 = 7.5;
/// The same where equal entries are folded into one (de-duplication).
const FOLDED_COMPARISONS: f64 = 3.0;
/// A key column after the first.
const COLUMN_US: f64 = 0.25;
/// A bucket of a hash index: no descent, but two pages at random places.
const HASH_US: f64 = 2.0;
/// A key of a GIN index: first into the pending list, then, sorted, into the tree.
const GIN_KEY_US: f64 = 1.0;
/// Of many keys in one row many are those of other rows in the list, too.
const GIN_FURTHER_KEY_US: f64 = 0.4;
const GIN_FEW_KEYS: f64 = 10.0;
/// A row of a GIN index, whatever it holds.
const GIN_ROW_US: f64 = 0.7;
/// Finding a word of a text (`to_tsvector`).
const WORD_US: f64 = 1.5;
/// Choosing a subtree by penalties at each level, for points and boxes.
const GIST_US: f64 = 6.0;
/// The same for ranges, whose penalty is dearer.
const GIST_RANGE_US: f64 = 13.0;
/// Walking down a tree of space partitions.
const SPGIST_US: f64 = 4.0;
/// Looking whether a range of pages needs a wider summary.
const BRIN_US: f64 = 0.1;
/// Reading a page from the operating system's cache and writing back another in its place.
const READ_US: f64 = 8.0;
/// Logging a whole page: 8 kB are copied and check-summed, and written at commit.
const PAGE_IMAGE_US: f64 = 4.0;

/// The width of a key with its value in a jsonb document.
const JSONB_PAIR_BYTES: f64 = 24.0;
/// The width of a word with the space after it.
const WORD_BYTES: f64 = 7.0;

/// A correlation with the order of the table from which new values are taken to be the largest.
const GROWING: f32 = 0.95;
/// The least share of distinct values that a growing column has.
const GROWING_DISTINCT: f64 = 0.01;

/// What one row does to an index, in microseconds, everything in one statement of many rows.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct EntryCost {
    /// For each row that is written, whether the index holds it or not.
    pub row_us: f64,
    /// For each entry, everything in the caches.
    pub entry_us: f64,
    /// Pages that new entries go to, more or less evenly; 1 at the right edge.
    pub pages: f64,
    /// Pages that an entry changes at a random place.
    pub pages_per_entry: f64,
}

impl EntryCost {
    /// The cost of an index with `bytes` that holds a share of its table's rows.
    pub fn of(
        snapshot: &Snapshot,
        tables: &Tables<'_>,
        index: &IndexDefinition,
        share: f64,
        bytes: u64,
    ) -> Self {
        let mut cost = Self { row_us: LOOK_US, pages: 1.0, pages_per_entry: 1.0, ..Self::default() };
        let Some(relation) = tables.relation(&index.table) else { return cost };
        let keys = Keys { snapshot, tables, relation, rows: tables.extent(relation).rows };
        let expressions = index.keys.iter().filter(|k| matches!(k.target, KeyTarget::Expression(_))).count();
        if index.predicate.is_some() {
            cost.row_us += 0.5 * EXPRESSION_US;
        }
        cost.entry_us = EXPRESSION_US * expressions as f64;
        let index_pages = (bytes as f64 / 8192.0).max(1.0);
        match index.access_method.as_str() {
            "brin" => cost.entry_us += BRIN_US * index.keys.len() as f64,
            "hash" => {
                cost.entry_us += HASH_US;
                cost.pages = index_pages;
            }
            "gin" => {
                let extracted: f64 = index.keys.iter().map(|key| keys.per_row(key)).sum();
                let few = extracted.min(GIN_FEW_KEYS);
                cost.entry_us += GIN_ROW_US + GIN_KEY_US * few + GIN_FURTHER_KEY_US * (extracted - few);
                cost.entry_us += WORD_US * index.keys.iter().map(|key| keys.words(key)).sum::<f64>();
                cost.pages = index_pages;
                // The list is flushed in the order of the keys, so that some share a page.
                cost.pages_per_entry = 0.5 * extracted;
            }
            "gist" => {
                cost.entry_us += index.keys.iter().map(|key| keys.penalty_us(key)).sum::<f64>();
                cost.pages = index_pages;
            }
            "spgist" => {
                cost.entry_us += SPGIST_US;
                cost.pages = index_pages;
            }
            _ => {
                let places = Places::of(&keys, index, share, index_pages);
                cost.entry_us +=
                    LEAF_US + places.search_us + COLUMN_US * index.keys.len().saturating_sub(1) as f64;
                cost.pages = places.bits.exp2().min(index_pages);
            }
        }
        cost
    }

    /// What an entry costs beyond the caches: reads of pages that `shared_buffers` does not hold, and pages
    /// that are logged in full because they were not changed since the last checkpoint.
    pub fn pages_us(&self, server: &ServerMemory, entries_per_second: f64) -> f64 {
        let bytes = self.pages * 8192.0;
        let missing = (1.0 - server.index_cache_bytes / bytes.max(1.0)).max(0.0);
        let mut images = 0.0;
        if let Some(seconds) = server.checkpoint_seconds {
            let changes = entries_per_second * self.pages_per_entry * seconds;
            if changes > 0.0 {
                // Of so many changes at random pages, how many are the first of their page?
                let touched = self.pages * -(-changes / self.pages).exp_m1();
                images = (touched / changes).min(1.0);
            }
        }
        // The right edge is one page that is always there, and new pages are not logged as images.
        if self.pages <= 1.0 {
            return 0.0;
        }
        self.pages_per_entry * (missing * READ_US + images * PAGE_IMAGE_US)
    }
}

/// What the settings say of pages.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct ServerMemory {
    /// The part of `shared_buffers` that the pages of one index may keep.
    pub index_cache_bytes: f64,
    /// Seconds between checkpoints; `None` where pages are not logged in full.
    pub checkpoint_seconds: Option<f64>,
}

impl ServerMemory {
    pub fn of(snapshot: &Snapshot) -> Self {
        let number = |name: &str| snapshot.setting(name).and_then(|text| text.parse::<f64>().ok());
        // In pages; what PostgreSQL starts with is 128 MB.
        let shared_buffers = number("shared_buffers").unwrap_or(16_384.0) * 8192.0;
        let full_page_writes = snapshot.setting("full_page_writes") != Some("off");
        Self {
            // The table and the other indexes want their part.
            index_cache_bytes: 0.5 * shared_buffers,
            checkpoint_seconds: full_page_writes.then(|| number("checkpoint_timeout").unwrap_or(300.0)),
        }
    }
}

/// Where entries of a B-tree go.
struct Places {
    /// The binary logarithm of their number.
    bits: f64,
    /// What finding one of them takes.
    search_us: f64,
}

impl Places {
    fn of(keys: &Keys<'_>, index: &IndexDefinition, share: f64, pages: f64) -> Self {
        let entries = (keys.rows * share).max(2.0);
        let most = entries.log2();
        // What is left of the entries once equal ones are folded: B-trees with INCLUDE and unique ones fold none.
        let folds = index.include.is_empty() && !index.unique;
        let mut places = Self { bits: 0.0, search_us: 0.0 };
        let (mut compared_us, mut distinct) = (0.0, 1.0);
        for key in &index.keys {
            let (statistics, column) = keys.statistics(key);
            let values = statistics.map_or(entries.sqrt(), |s| s.distinct(keys.rows));
            distinct *= values;
            if statistics.is_some_and(|s| grows(s, keys.rows, column)) {
                break;
            }
            let bits = statistics.map_or(0.5 * most, |s| entropy(s, keys.rows)).min(most - places.bits);
            // Later columns are only compared where the earlier ones are equal.
            compared_us += (1.0 - places.bits / most).max(0.0) * keys.compare_us(key, column);
            places.bits += bits;
            if places.bits >= most - 0.1 {
                break;
            }
        }
        if places.bits > 0.0 {
            let folded = folds && distinct * 20.0 < entries;
            let comparisons = pages.log2() + if folded { FOLDED_COMPARISONS } else { LEAF_COMPARISONS };
            // The search takes the same turns again and again where there are few places.
            let foreseen = (places.bits / 4.0).min(1.0);
            places.search_us = foreseen * comparisons * compared_us + places.bits * BIT_US;
        }
        places
    }
}

/// Whether new values are larger than all that are there, as a time or a number from a sequence is.
fn grows(statistics: &ColumnStatistics, rows: f64, column: Option<&Column>) -> bool {
    let ordered = column.is_none_or(|c| c.type_category != 'S');
    ordered
        && statistics.correlation.is_some_and(|c| c >= GROWING)
        && statistics.distinct(rows) >= GROWING_DISTINCT * rows
}

/// How many bits tell the value of a row, on average: the logarithm of the number of values, less where some
/// of them are common or it is mostly NULL.
fn entropy(statistics: &ColumnStatistics, rows: f64) -> f64 {
    let common = statistics.most_common_freqs.as_deref().unwrap_or_default();
    let null = f64::from(statistics.null_frac).clamp(0.0, 1.0);
    let bits = |share: f64| if share > 0.0 { -share * share.log2() } else { 0.0 };
    let mut sum = bits(null);
    let mut rest = 1.0 - null;
    for share in common.iter().map(|f| f64::from(*f)) {
        sum += bits(share);
        rest -= share;
    }
    let others = statistics.distinct(rows) - common.len() as f64;
    if rest > 0.0 && others >= 1.0 {
        sum += bits(rest) + rest * others.log2();
    }
    sum.max(0.0)
}

/// The keys of indexes on one table.
struct Keys<'a> {
    snapshot: &'a Snapshot,
    tables: &'a Tables<'a>,
    relation: &'a Relation,
    rows: f64,
}

impl<'a> Keys<'a> {
    /// The statistics of a key: its column's, or those of an expression that an existing index keeps.
    fn statistics(&self, key: &IndexKey) -> (Option<&'a ColumnStatistics>, Option<&'a Column>) {
        let of = |column: &'a Column| statistics(self.relation, column);
        match &key.target {
            KeyTarget::Column(name) => {
                let column = self.relation.column(name);
                (column.and_then(of), column)
            }
            KeyTarget::Expression(text) => {
                let kept = self.tables.indexes(&self.relation.name).find_map(|existing| {
                    let at = existing.definition.keys.iter().position(|k| k.target == key.target)?;
                    existing.expression_statistics.get(&i16::try_from(at + 1).ok()?)
                });
                // Without any, an expression of one column is taken to tell as much as the column.
                (kept.or_else(|| self.mentioned(text).and_then(of)), None)
            }
        }
    }

    /// The first column that an expression mentions.
    fn mentioned(&self, text: &str) -> Option<&'a Column> {
        self.relation.columns.iter().find(|c| super::mentions(text, &model::quote_identifier(&c.name)))
    }

    /// Comparing two values of a key.
    fn compare_us(&self, key: &IndexKey, column: Option<&Column>) -> f64 {
        let expression = match &key.target {
            KeyTarget::Expression(text) => self.mentioned(text),
            KeyTarget::Column(_) => None,
        };
        let Some(column) = column.or(expression) else { return COMPARE_TEXT_US };
        if column.base_type.name == "numeric" {
            return 2.0 * COMPARE_US;
        }
        if column.type_category != 'S' {
            return COMPARE_US;
        }
        let bytes = f64::from(column.average_width()).min(COMPARED_BYTES);
        let collation = key.collation.as_ref().or(column.collation.as_ref());
        let named = collation.map_or(self.snapshot.server.collate.as_str(), |c| c.name.as_str());
        let bytewise = ["C", "POSIX", "C.UTF-8", "C.utf8", "ucs_basic"].contains(&named);
        (COMPARE_TEXT_US + COMPARE_BYTE_US * bytes) * if bytewise { 1.0 } else { LINGUISTIC }
    }

    /// Choosing a subtree of a GiST index for a key.
    fn penalty_us(&self, key: &IndexKey) -> f64 {
        let (_, column) = self.statistics(key);
        if column.is_some_and(|c| c.type_category == 'R') { GIST_RANGE_US } else { GIST_US }
    }

    /// Words that have to be found in a text before it can be indexed.
    fn words(&self, key: &IndexKey) -> f64 {
        match &key.target {
            KeyTarget::Expression(text) if text.contains("to_tsvector") => self.per_row(key),
            _ => 0.0,
        }
    }

    /// How many keys a GIN index extracts from the value of one row.
    fn per_row(&self, key: &IndexKey) -> f64 {
        let (statistics, column) = self.statistics(key);
        // The last number of the histogram of element counts is their average.
        let counted = statistics.and_then(|s| s.elem_count_histogram.as_ref()?.last().copied());
        if let (Some(counted), KeyTarget::Column(_)) = (counted, &key.target) {
            return f64::from(counted).max(1.0);
        }
        let column = match &key.target {
            KeyTarget::Column(_) => column,
            KeyTarget::Expression(text) => self.mentioned(text),
        };
        let width = column.map_or(32.0, |c| f64::from(c.average_width()));
        let opclass = key.opclass.as_ref().map_or("", |name| name.name.as_str());
        match (opclass, column.map(|c| c.base_type.name.as_str())) {
            // A hash per path with its value; without the operator class the paths and the values are keys.
            ("jsonb_path_ops", _) => (width / JSONB_PAIR_BYTES).max(1.0),
            (_, Some("jsonb")) => (2.0 * width / JSONB_PAIR_BYTES).max(1.0),
            // One trigram begins at nearly every letter.
            ("gin_trgm_ops", _) => width.max(1.0),
            _ => (width / WORD_BYTES).max(1.0),
        }
    }
}
