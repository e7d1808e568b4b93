//! How much of a table or an index would a rewrite give back?
//!
//! The estimate needs nothing but statistics: how large the rows are that are there, how many of them a fresh page
//! holds, how many pages that makes. Sources: `heap_compute_data_size` and `heap_form_tuple` (`heaptuple.c`) for
//! rows, `raw_heap_insert` (`rewriteheap.c`) for how `VACUUM FULL` fills pages; how `REINDEX` fills a B-tree is in
//! `model::btree_index`. Alignment and NULLs are counted column by column, because both decide where the next
//! column begins; equal keys of a B-tree are merged into lists of six bytes a row, as deduplication does. Hash and BRIN indexes
//! are what `model::hash_index` and `model::brin_index` say of their values.
//!
//! The exact way reads the relation with the extension pgstattuple; [`from_heap_figures`] and [`from_index_figures`]
//! turn its figures into the same answer. For TOAST, GIN, GiST and SP-GiST a sample is rewritten in a local server
//! (`trial`).

use std::collections::{BTreeMap, BTreeSet};

use model::btree_index::{self, group_bytes};
use model::snapshot::{Column, ColumnStatistics, ExtendedStatistics, Index, Relation, RelationKind};
use model::{Bytes, KeyTarget, QualifiedName};
use serde::{Deserialize, Serialize};

/// Bytes of a page.
const PAGE: f64 = 8192.0;
/// A page of a table without its header.
const HEAP_SPACE: f64 = PAGE - 24.0;
/// A line pointer.
const ITEM_ID: f64 = 4.0;
/// `sizeof(IndexTupleData)`.
const INDEX_TUPLE_HEADER: f64 = 8.0;
/// The longest varlena value whose header takes one byte, header included.
const SHORT_MAX: f64 = 127.0;

/// What a rewrite would make of a relation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bloat {
    /// Pages now.
    pub pages: f64,
    /// Pages after a rewrite.
    pub fresh_pages: f64,
}

impl Bloat {
    /// The share of the pages that a rewrite gives back, 0 to 1.
    pub fn share(&self) -> f64 {
        if self.pages <= 0.0 { 0.0 } else { (1.0 - self.fresh_pages / self.pages).clamp(0.0, 1.0) }
    }

    /// Of two together.
    #[must_use]
    pub fn plus(&self, other: Self) -> Self {
        Self { pages: self.pages + other.pages, fresh_pages: self.fresh_pages + other.fresh_pages }
    }

    /// What a rewrite gives back.
    pub fn wasted(&self) -> Bytes {
        Bytes::from_pages((self.pages - self.fresh_pages).max(0.0) as u64)
    }
}

/// Bloat of one relation as it was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// The table or index.
    pub name: QualifiedName,
    /// What was measured.
    pub bloat: Bloat,
    /// That of the table's TOAST, where it was measured.
    pub toast: Option<Bloat>,
    /// By what, in a few words.
    pub how: String,
}

/// A value that is somewhere in a row: its bytes as stored, and whether it begins at a multiple of its alignment.
#[derive(Clone, Debug)]
struct Values {
    /// Lengths with their shares, which add up to 1.
    lengths: Vec<(f64, f64)>,
    align: f64,
    varlena: bool,
    null_share: f64,
}

/// The estimate for a table or materialized view; `None` when its statistics say nothing.
pub fn of_table(relation: &Relation) -> Option<Bloat> {
    if !matches!(relation.kind, RelationKind::Table | RelationKind::MaterializedView)
        || relation.reltuples < 0.0
    {
        return None;
    }
    let rows = live_rows(relation);
    let (tuple, fixed) = row_bytes(relation)?;
    let fillfactor = fillfactor(relation);
    let fresh_pages = heap_pages(rows, tuple, fixed, fillfactor);
    Some(Bloat { pages: relation.pages.max(0) as f64, fresh_pages })
}

/// Average bytes of a row without its line pointer, and whether all are of one length. `None` when a column has no
/// statistics: it was added, or is hidden, and its width would be a guess.
fn row_bytes(relation: &Relation) -> Option<(f64, bool)> {
    let known =
        |c: &Column| c.statistics.is_some() || c.statistics_target == Some(0) || relation.reltuples == 0.0;
    if !relation.columns.iter().all(known) {
        return None;
    }
    let values: Vec<Values> = relation.columns.iter().map(values_of_column).collect();
    // Dropped columns keep their bit in the bitmap, and a rewrite makes them NULL.
    let attributes = relation.columns.iter().map(|c| c.attnum).max().unwrap_or(0);
    let dropped = usize::try_from(attributes).is_ok_and(|last| last > relation.columns.len());
    Some(tuple_bytes(&values, |any_null| {
        let bitmap = if any_null || dropped { (f64::from(attributes) / 8.0).ceil() } else { 0.0 };
        align_up(23.0 + bitmap, 8.0)
    }))
}

/// Live rows: the counters' when they have seen changes since the statistics, else the statistics'.
fn live_rows(relation: &Relation) -> f64 {
    match &relation.activity {
        Some(a) if a.n_mod_since_analyze > 0 && a.n_live_tup > 0 => a.n_live_tup as f64,
        _ => relation.reltuples.max(0.0),
    }
}

/// How full `INSERT` makes the pages of a table, in percent.
pub(crate) fn fillfactor(relation: &Relation) -> f64 {
    option(&relation.options, "fillfactor").unwrap_or(100.0)
}

fn heap_pages(rows: f64, tuple: f64, fixed: bool, fillfactor: f64) -> f64 {
    let space = HEAP_SPACE - (PAGE * (100.0 - fillfactor) / 100.0).floor();
    let item = tuple + ITEM_ID;
    if fixed {
        return (rows / (space / item).floor().max(1.0)).ceil();
    }
    // A page is closed by the first row that does not fit: half a row is left on average.
    (rows * item / (space - item / 2.0).max(item)).ceil()
}

/// The estimate for a B-tree, hash or BRIN index; `None` for other methods, or when statistics are missing or do not tell.
///
/// `extended` are the statistics objects of the database: how many combinations of several columns there are decides
/// how much of an index on them is merged.
pub fn of_index(index: &Index, relation: &Relation, extended: &[ExtendedStatistics]) -> Option<Bloat> {
    let definition = &index.definition;
    match definition.access_method.as_str() {
        "btree" => {}
        "hash" => return of_hash(index, relation),
        "brin" => return of_brin(index, relation),
        _ => return None,
    }
    if !index.valid || index.reltuples < 0.0 || relation.reltuples < 0.0 {
        return None;
    }
    let rows = match definition.predicate {
        Some(_) => index.reltuples,
        None => live_rows(relation),
    };
    let mut values = Vec::new();
    for (key, position) in definition.keys.iter().zip(1_i16..) {
        values.push(match &key.target {
            KeyTarget::Column(name) => values_of_column(relation.column(name)?),
            KeyTarget::Expression(_) => values_of_expression(index.expression_statistics.get(&position)?),
        });
    }
    let keys = values.len();
    for name in &definition.include {
        values.push(values_of_column(relation.column(name)?));
    }
    let header = |any_null: bool| if any_null { 2.0 * INDEX_TUPLE_HEADER } else { INDEX_TUPLE_HEADER };
    let (tuple, _) = tuple_bytes(&values, header);
    let (pivot, _) = tuple_bytes(&values[..keys], header);
    let (present, _) = tuple_bytes(&without_nulls(&values), header);
    let merged = deduplicates(index, relation)
        .then(|| merged_bytes(index, relation, extended, rows, present))
        .flatten();
    let fresh_pages = btree_pages(rows, tuple, pivot, merged, parameter(index, "fillfactor"));
    // Columns that hang together have fewer combinations, and those are merged: there is no telling how many.
    let together = keys > 1 && known_combinations(index, relation, extended).is_none();
    if together && deduplicates(index, relation) && fresh_pages > 1.02 * index.pages as f64 {
        return None;
    }
    Some(Bloat { pages: index.pages.max(0) as f64, fresh_pages })
}

/// The estimate for a hash index.
fn of_hash(index: &Index, relation: &Relation) -> Option<Bloat> {
    if !index.valid || index.reltuples < 0.0 || relation.reltuples < 0.0 {
        return None;
    }
    let statistics = match &index.definition.keys.first()?.target {
        KeyTarget::Column(name) => crate::tables::statistics(relation, relation.column(name)?)?,
        KeyTarget::Expression(_) => index.expression_statistics.get(&1)?,
    };
    let rows = match index.definition.predicate {
        Some(_) => index.reltuples,
        None => live_rows(relation),
    };
    let common = statistics.common_values();
    let mut classes: Vec<(f64, f64)> =
        common.iter().map(|(_, frequency)| (f64::from(*frequency), 1.0)).collect();
    let others = (statistics.distinct(relation.reltuples.max(1.0)) - common.len() as f64).max(1.0);
    let common_share: f64 = classes.iter().map(|(share, _)| share).sum();
    let rest = (1.0 - f64::from(statistics.null_frac) - common_share).max(0.0);
    classes.push((rest / others, others));
    let fresh_pages = model::hash_index::pages(
        rows,
        live_rows(relation).max(rows),
        parameter(index, "fillfactor"),
        &classes,
    );
    Some(Bloat { pages: index.pages.max(0) as f64, fresh_pages: fresh_pages.ceil() })
}

fn btree_pages(rows: f64, tuple: f64, pivot: f64, merged: Option<f64>, fillfactor: Option<f64>) -> f64 {
    let plain = rows * (tuple + ITEM_ID);
    btree_index::built(rows, tuple, pivot, merged.map_or(plain, |m| m.min(plain)), fillfactor).pages
}

/// The estimate for a BRIN index: each range of the table's pages is summed up in a tuple.
fn of_brin(index: &Index, relation: &Relation) -> Option<Bloat> {
    if !index.valid || relation.reltuples < 0.0 {
        return None;
    }
    let mut bytes = 0.0;
    for (key, position) in index.definition.keys.iter().zip(1_i16..) {
        let (values, merges) = match &key.target {
            KeyTarget::Column(name) => {
                let column = relation.column(name)?;
                let merged = column.type_category == 'R'
                    || matches!(column.base_type.name.as_str(), "box" | "inet" | "cidr");
                (values_of_column(column), merged)
            }
            KeyTarget::Expression(_) => {
                (values_of_expression(index.expression_statistics.get(&position)?), false)
            }
        };
        let width: f64 = values.lengths.iter().map(|(length, share)| length * share).sum();
        let class = key.opclass.as_ref().map_or("", |c| c.name.as_str());
        // Of a filter or of many ranges the size follows the values, and statistics do not tell it.
        if class.contains("bloom") || class.contains("multi") {
            return None;
        }
        let minmax = !merges || class.contains("minmax");
        let one = if values.varlena { width } else { align_up(width, values.align) };
        bytes += if minmax { 2.0 * one } else { width + 2.0 };
    }
    let fresh_pages =
        model::brin_index::pages(relation.pages.max(0) as f64, parameter(index, "pages_per_range"), bytes);
    Some(Bloat { pages: index.pages.max(0) as f64, fresh_pages })
}

fn parameter(index: &Index, name: &str) -> Option<f64> {
    index.definition.with.iter().find(|(n, _)| n == name).and_then(|(_, v)| v.parse().ok())
}

fn option(options: &[String], name: &str) -> Option<f64> {
    options
        .iter()
        .find_map(|o| o.split_once('=').filter(|(n, _)| *n == name))
        .and_then(|(_, v)| v.parse().ok())
}

/// Whether a B-tree merges equal keys: not a unique one, not one with INCLUDE, not of types whose equal values can
/// be different bytes (no `btequalimage`, support function 4).
fn deduplicates(index: &Index, relation: &Relation) -> bool {
    let definition = &index.definition;
    let switched_off = definition
        .with
        .iter()
        .any(|(n, v)| n == "deduplicate_items" && ["off", "false", "no", "0"].contains(&v.as_str()));
    let alike = definition.keys.iter().all(|key| match &key.target {
        KeyTarget::Column(name) => relation.column(name).is_some_and(|c| {
            let apart = ["numeric", "float4", "float8", "jsonb", "interval", "record", "tsvector", "tsquery"];
            c.type_category != 'A' && c.type_category != 'R' && !apart.contains(&c.base_type.name.as_str())
        }),
        KeyTarget::Expression(_) => true,
    });
    !definition.unique && definition.include.is_empty() && !switched_off && alike
}

/// Bytes of all leaf tuples when equal keys are merged; `None` when keys do not repeat. `tuple` is what one without
/// NULLs takes.
fn merged_bytes(
    index: &Index,
    relation: &Relation,
    extended: &[ExtendedStatistics],
    rows: f64,
    tuple: f64,
) -> Option<f64> {
    let of_key = |position: usize| -> Option<&ColumnStatistics> {
        match &index.definition.keys.get(position)?.target {
            KeyTarget::Column(name) => crate::tables::statistics(relation, relation.column(name)?),
            KeyTarget::Expression(_) => index.expression_statistics.get(&i16::try_from(position + 1).ok()?),
        }
    };
    let table_rows = relation.reltuples.max(1.0);
    if index.definition.keys.len() == 1 {
        let statistics = of_key(0)?;
        let null_share = f64::from(statistics.null_frac);
        let common: Vec<f64> =
            statistics.common_values().iter().map(|(_, frequency)| f64::from(*frequency)).collect();
        let common_share: f64 = common.iter().sum();
        let others = (statistics.distinct(table_rows) - common.len() as f64).max(0.0);
        let other_rows = (rows * (1.0 - null_share - common_share)).max(0.0);
        let mut bytes: f64 = common.iter().map(|share| group_bytes(rows * share, tuple)).sum();
        // A NULL has a bitmap and no value.
        bytes += group_bytes(rows * null_share, 2.0 * INDEX_TUPLE_HEADER);
        if other_rows > 0.0 {
            let groups = others.clamp(1.0, other_rows.max(1.0));
            bytes += groups * group_bytes(other_rows / groups, tuple);
        }
        return Some(bytes);
    }
    let combinations = (0..index.definition.keys.len())
        .map(|position| {
            of_key(position).map(|s| s.distinct(table_rows) + if s.null_frac > 0.0 { 1.0 } else { 0.0 })
        })
        .try_fold(1.0_f64, |product, distinct| Some((product * distinct?).min(1e15)))?;
    let known = known_combinations(index, relation, extended);
    if let Some(groups) = known.filter(|groups| *groups < 0.95 * rows) {
        return Some(groups * group_bytes(rows / groups.max(1.0), tuple));
    }
    let groups = known.unwrap_or(combinations);
    // Of the combinations that could occur, those that do when rows are spread over them at random.
    let occupied = groups * -(-rows / groups.max(1.0)).exp_m1();
    (occupied < 0.95 * rows).then(|| occupied * group_bytes(rows / occupied.max(1.0), tuple))
}

/// How many combinations of the keys there are, where that is known: with a unique column among them every one occurs
/// once, else extended statistics may tell.
fn known_combinations(index: &Index, relation: &Relation, extended: &[ExtendedStatistics]) -> Option<f64> {
    let unique = index.definition.keys.iter().any(|key| match &key.target {
        KeyTarget::Column(name) => relation
            .column(name)
            .and_then(|c| crate::tables::statistics(relation, c))
            .is_some_and(|s| s.n_distinct == -1.0 && s.null_frac == 0.0),
        KeyTarget::Expression(_) => false,
    });
    if unique {
        return Some(1e15);
    }
    let number = |key: &model::IndexKey| match &key.target {
        KeyTarget::Column(name) => relation.column(name).map(|c| c.attnum),
        KeyTarget::Expression(_) => None,
    };
    let keys: Option<BTreeSet<i16>> = index.definition.keys.iter().map(number).collect();
    let keys = keys?;
    let of_table = extended.iter().filter(|s| s.table == relation.name).flat_map(|s| &s.data);
    of_table.filter(|data| !data.inherited).find_map(|data| {
        let counted: BTreeMap<String, f64> = serde_json::from_str(data.n_distinct.as_deref()?).ok()?;
        counted.into_iter().find_map(|(columns, distinct)| {
            let columns: Option<BTreeSet<i16>> = columns.split(',').map(|c| c.trim().parse().ok()).collect();
            (columns? == keys).then_some(distinct)
        })
    })
}

fn align_up(bytes: f64, to: f64) -> f64 {
    (bytes / to).ceil() * to
}

/// Average bytes of a row or an index tuple without its line pointer, and whether all are of one length.
///
/// `header` gives the bytes before the data, with and without a NULL; both are multiples of 8.
fn tuple_bytes(values: &[Values], header: impl Fn(bool) -> f64) -> (f64, bool) {
    // Where the data ends modulo 8 and whether there was a NULL, with the share of the rows and their mean length.
    let mut ends: BTreeMap<(u8, bool), (f64, f64)> = BTreeMap::from([((0, false), (1.0, 0.0))]);
    let mut fixed = true;
    for value in values {
        let mut next: BTreeMap<(u8, bool), (f64, f64)> = BTreeMap::new();
        let mut add = |key: (u8, bool), share: f64, length: f64| {
            if share > 0.0 {
                let (known, mean) = next.entry(key).or_insert((0.0, 0.0));
                *mean = (*mean * *known + length * share) / (*known + share);
                *known += share;
            }
        };
        for ((residue, any_null), (share, mean)) in ends {
            add((residue, true), share * value.null_share, mean);
            for (length, part) in &value.lengths {
                let padded = if value.varlena && *length <= SHORT_MAX {
                    f64::from(residue)
                } else {
                    align_up(f64::from(residue), value.align)
                };
                let end = padded + length;
                let grown = end - f64::from(residue);
                add(((end % 8.0) as u8, any_null), share * (1.0 - value.null_share) * part, mean + grown);
            }
        }
        fixed &= value.lengths.len() == 1 && (value.null_share <= 0.0 || value.null_share >= 1.0);
        ends = next;
    }
    let bytes = ends
        .into_iter()
        .map(|((residue, any_null), (share, mean))| {
            let rest = (8.0 - f64::from(residue)) % 8.0;
            share * (header(any_null) + mean + rest)
        })
        .sum();
    (bytes, fixed)
}

/// The same for rows that have every value.
fn without_nulls(values: &[Values]) -> Vec<Values> {
    values.iter().map(|v| Values { null_share: 0.0, ..v.clone() }).collect()
}

fn alignment(kind: char) -> f64 {
    match kind {
        'd' => 8.0,
        's' => 2.0,
        'c' => 1.0,
        _ => 4.0,
    }
}

fn values_of_column(column: &Column) -> Values {
    let statistics = column.statistics.as_ref().or(column.inherited_statistics.as_ref());
    let null_share = statistics.map_or(0.0, |s| f64::from(s.null_frac).clamp(0.0, 1.0));
    if column.type_length > 0 {
        return Values {
            lengths: vec![(f64::from(column.type_length), 1.0)],
            align: alignment(column.type_align),
            varlena: false,
            null_share,
        };
    }
    let mean = f64::from(column.average_width());
    let measured: Option<fn(&str) -> f64> = match column.base_type.name.as_str() {
        "text" | "varchar" | "bpchar" | "citext" => Some(|v| with_header(v.len() as f64)),
        "bytea" => Some(|v| with_header((v.len() as f64 - 2.0).max(0.0) / 2.0)),
        "numeric" => Some(numeric_length),
        _ => None,
    };
    let sampled = statistics.zip(measured).map(|(s, length)| sampled_lengths(s, length)).unwrap_or_default();
    Values { lengths: around(mean, sampled), align: alignment(column.type_align), varlena: true, null_share }
}

/// Of an expression the type is not known, only its width and often its values.
fn values_of_expression(statistics: &ColumnStatistics) -> Values {
    let mean = f64::from(statistics.avg_width.max(1));
    let null_share = f64::from(statistics.null_frac).clamp(0.0, 1.0);
    let is_text = |v: &str| with_header(v.len() as f64);
    let sampled = sampled_lengths(statistics, is_text);
    let about: f64 = sampled.iter().map(|(l, w)| l * w).sum();
    // Widths of 1, 2, 4 and 8 that do not fit the texts are those of types of fixed length.
    if [1.0, 2.0, 4.0, 8.0].contains(&mean) && !(mean - 1.0..mean + 2.0).contains(&about) {
        return Values { lengths: vec![(mean, 1.0)], align: mean, varlena: false, null_share };
    }
    // A computed text has a header of four bytes that the index shortens.
    let mean = if mean <= SHORT_MAX + 3.0 { (mean - 3.0).max(1.0) } else { mean };
    Values { lengths: around(mean, sampled), align: 4.0, varlena: true, null_share }
}

fn with_header(bytes: f64) -> f64 {
    if bytes + 1.0 <= SHORT_MAX { bytes + 1.0 } else { bytes + 4.0 }
}

/// `numeric` holds four decimal digits in two bytes, after a varlena header of one byte and a header of two.
fn numeric_length(text: &str) -> f64 {
    let digits = text.trim_start_matches('-');
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let whole = whole.trim_start_matches('0').len().div_ceil(4);
    let fraction = fraction.trim_end_matches('0').len().div_ceil(4);
    (3 + 2 * (whole + fraction)) as f64
}

/// Lengths of the values that stand in the statistics, with shares that add up to 1.
fn sampled_lengths(statistics: &ColumnStatistics, length: impl Fn(&str) -> f64) -> Vec<(f64, f64)> {
    let common = statistics.common_values();
    let common_share: f64 = common.iter().map(|(_, f)| f64::from(*f)).sum();
    let histogram = statistics.histogram();
    let rest = (1.0 - f64::from(statistics.null_frac) - common_share).max(0.0);
    let mut lengths: BTreeMap<u64, f64> = BTreeMap::new();
    let mut add =
        |value: &str, weight: f64| *lengths.entry(length(value).round() as u64).or_default() += weight;
    for (value, frequency) in &common {
        add(value, f64::from(*frequency));
    }
    for value in &histogram {
        add(value, rest / histogram.len() as f64);
    }
    let total: f64 = lengths.values().sum();
    if total <= 0.0 {
        return Vec::new();
    }
    lengths.into_iter().map(|(length, weight)| (length as f64, weight / total)).collect()
}

/// The sampled lengths moved so that their mean is the statistics'; without samples any remainder is as likely as
/// another.
fn around(mean: f64, sampled: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    if sampled.is_empty() {
        return (0..8).map(|n| ((mean - 3.0 + f64::from(n)).max(1.0), 0.125)).collect();
    }
    let about: f64 = sampled.iter().map(|(length, weight)| length * weight).sum();
    // The average of the statistics was cut to a whole number.
    if (mean - 0.5..mean + 1.5).contains(&about) {
        return sampled;
    }
    let shift = (mean + 0.5 - about).round();
    sampled.into_iter().map(|(length, weight)| ((length + shift).max(1.0), weight)).collect()
}

/// What `pgstattuple` says of a table: its pages, its live rows and their bytes.
///
/// The bytes are those of rows without what alignment adds at their end, so the length of a row is taken from the
/// statistics where there are some.
pub fn from_heap_figures(pages: f64, rows: f64, bytes: f64, relation: &Relation) -> Bloat {
    let fillfactor = fillfactor(relation);
    let (tuple, fixed) = row_bytes(relation).unwrap_or_else(|| {
        // Of any remainder as likely as another, 3.5 bytes are missing to a multiple of 8.
        let mean = if rows > 0.0 { bytes / rows + 3.5 } else { 0.0 };
        (mean, false)
    });
    Bloat { pages, fresh_pages: heap_pages(rows, tuple, fixed, fillfactor).min(pages) }
}

/// What `pgstatindex` says of a B-tree: leaf pages, their density in percent, and pages of every kind.
///
/// A rewrite also merges lists of equal keys that have become short, which density does not show: where the estimate
/// has fewer pages it counts, within a quarter, because what was read is sure.
pub fn from_index_figures(
    pages: f64,
    leaf_pages: f64,
    density: f64,
    internal_pages: f64,
    index: &Index,
    estimate: Option<Bloat>,
) -> Bloat {
    let fillfactor = parameter(index, "fillfactor").unwrap_or(btree_index::DEFAULT_FILLFACTOR);
    // Pages that are deleted or empty are not leaf pages: a rewrite leaves all of them out.
    let leaves = if density.is_finite() { (leaf_pages * density / fillfactor).ceil() } else { 0.0 };
    let inner = if leaf_pages > 0.0 { (internal_pages * leaves / leaf_pages).ceil() } else { 0.0 };
    let read = (1.0 + leaves + inner).min(pages);
    let fresh_pages = estimate.map_or(read, |e| read.min(e.fresh_pages.max(0.75 * read)));
    Bloat { pages, fresh_pages }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixed(length: f64, align: f64, null_share: f64) -> Values {
        Values { lengths: vec![(length, 1.0)], align, varlena: false, null_share }
    }

    fn heap_header(any_null: bool) -> f64 {
        align_up(if any_null { 24.0 } else { 23.0 }, 8.0)
    }

    #[test]
    fn rows_are_aligned_column_by_column() {
        let text = Values { lengths: vec![(4.0, 1.0)], align: 4.0, varlena: true, null_share: 0.0 };
        for (values, bytes, is_fixed) in [
            (vec![fixed(8.0, 8.0, 0.0)], 32.0, true),
            // int, bigint: four bytes of padding between.
            (vec![fixed(4.0, 4.0, 0.0), fixed(8.0, 8.0, 0.0)], 40.0, true),
            (vec![fixed(8.0, 8.0, 0.0), fixed(4.0, 4.0, 0.0)], 40.0, true),
            (vec![fixed(4.0, 4.0, 0.0), fixed(4.0, 4.0, 0.0), fixed(8.0, 8.0, 0.0)], 40.0, true),
            // A short text needs no alignment.
            (vec![fixed(1.0, 1.0, 0.0), text], 32.0, true),
            // Half of the rows lack the second column and its padding.
            (vec![fixed(4.0, 4.0, 0.0), fixed(8.0, 8.0, 0.5)], 36.0, false),
        ] {
            assert_eq!(tuple_bytes(&values, heap_header), (bytes, is_fixed), "{values:?}");
        }
    }

    #[test]
    fn a_bigint_key_takes_the_pages_that_reindex_gives_it() {
        // create table t as select generate_series(1, 1000000)::bigint id: 4425 pages, its primary key 2745.
        assert_eq!(heap_pages(1e6, 32.0, true, 100.0), 4425.0);
        assert!((btree_pages(1e6, 16.0, 16.0, None, None) - 2745.0).abs() < 10.0);
        // Ten values in a million rows: 846 pages on 15.
        let merged = 10.0 * group_bytes(1e5, 16.0);
        let pages = btree_pages(1e6, 16.0, 16.0, Some(merged), None);
        assert!((pages - 846.0).abs() < 30.0, "{pages}");
    }

    #[test]
    fn numeric_values_are_as_long_as_they_are_stored() {
        for (text, length) in [("0", 3.0), ("1", 5.0), ("12345", 7.0), ("-1.5", 7.0), ("0.0001", 5.0)] {
            assert_eq!(numeric_length(text), length, "{text}");
        }
    }
}
