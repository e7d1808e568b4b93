//! How is a partitioned table? Bounds that do not meet, rows that no partition of their own takes, partitions that are
//! missing ahead, indexes that one lacks, a parent that nobody analyzes.

use std::collections::BTreeMap;

use model::partition_tree::{PartitionDetails, PartitionTable};
use model::{KeyKind, QualifiedName};
use serde::Serialize;

use crate::bound::{Bound, Edge, Key, key_words};
use crate::grid::Grid;
use crate::inference::infer;
use crate::tree::{Trees, kind_of};

/// What is to be known of one partitioned table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SetReport {
    /// The partitioned table.
    pub table: QualifiedName,
    /// The table that it is itself a partition of.
    pub parent: Option<QualifiedName>,
    /// Its key in PostgreSQL's words.
    pub key: String,
    /// By which interval its partitions are made, when a rule was found.
    pub interval: Option<String>,
    /// In which zone.
    pub time_zone: Option<String>,
    /// Its partitions in the order of their bounds, DEFAULT last.
    pub partitions: Vec<PartitionReport>,
    /// Estimated rows; `None` when nothing was ever analyzed.
    pub rows: Option<f64>,
    /// Bytes of all partitions without indexes.
    pub table_bytes: i64,
    /// Bytes of all indexes.
    pub index_bytes: i64,
    /// The largest partition by the median of those that hold rows; 1 is even.
    pub skew: Option<f64>,
    /// How many partitions begin after now, for keys that tell the time.
    pub ahead: Option<usize>,
    /// Where the last partition ends.
    pub ends: Option<String>,
    /// What is amiss, the worst first.
    pub remarks: Vec<Remark>,
}

/// One partition.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PartitionReport {
    /// Its name.
    pub name: QualifiedName,
    /// Its bound in the server's words.
    pub bound: String,
    /// The times that the ends of its bound stand for, where they do not show it themselves: of UUIDs.
    pub times: Option<String>,
    /// Whether it is partitioned in turn.
    pub is_partitioned: bool,
    /// Estimated rows, of all partitions below it.
    pub rows: Option<f64>,
    /// Bytes without indexes.
    pub table_bytes: i64,
    /// Bytes of indexes.
    pub index_bytes: i64,
    /// Days since all of its keys have passed; negative while they have not.
    pub age_days: Option<f64>,
}

/// Something amiss with a partitioned table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Remark {
    /// `gap`, `unreachable`, `default_rows`, `ahead`, `skew`, `missing_index`, `invalid_index`, `autovacuum`,
    /// `statistics` or `pending`.
    pub kind: &'static str,
    /// Whether INSERTs fail or plans go wrong because of it.
    pub is_serious: bool,
    /// What it is, in a sentence.
    pub text: String,
}

/// What a report is made from besides the catalog.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings<'a> {
    /// The server's clock, in microseconds since 1970.
    pub now_micros: i64,
    /// The server's `TimeZone`.
    pub zone: &'a str,
    /// What was read of each table, by OID.
    pub details: &'a BTreeMap<u32, PartitionDetails>,
}

/// The largest partition may be so many times the median.
const SKEW: f64 = 5.0;
/// Shown of a list.
const SHOWN: usize = 5;

/// Looks at one partitioned table.
pub fn report(trees: &Trees, parent: &PartitionTable, around: &Surroundings<'_>) -> SetReport {
    let kind = parent.key.as_ref().and_then(kind_of);
    let inferred = infer(trees, parent, around.zone, around.now_micros).ok();
    let mut rows: Vec<(Option<Bound>, PartitionReport)> = trees
        .children(parent)
        .map(|child| {
            let bound = kind.and_then(|kind| child.bound(kind));
            let mut report = partition(trees, child.table, child.text, around);
            report.age_days =
                kind.zip(bound.as_ref()).and_then(|(kind, bound)| age(kind, bound, around.now_micros));
            report.times = kind
                .filter(|kind| *kind == KeyKind::UuidV7)
                .zip(bound.as_ref().and_then(Bound::range))
                .map(|(kind, (from, to))| format!("{} to {}", edge_text(from, kind), edge_text(to, kind)));
            (bound, report)
        })
        .collect();
    // DEFAULT sorts last, what was not understood before it.
    rows.sort_by(|(a, x), (b, y)| {
        let rank = |bound: &Option<Bound>| (*bound == Some(Bound::Default), bound.clone());
        rank(a).cmp(&rank(b)).then_with(|| x.name.cmp(&y.name))
    });
    let bounds: Vec<(Bound, QualifiedName)> =
        rows.iter().filter_map(|(bound, report)| Some((bound.clone()?, report.name.clone()))).collect();
    let partitions: Vec<PartitionReport> = rows.into_iter().map(|(_, report)| report).collect();
    let known: Vec<f64> = partitions.iter().filter_map(|p| p.rows).collect();
    let mut set = SetReport {
        table: parent.name.clone(),
        parent: trees.parent_of(parent).map(|t| t.name.clone()),
        key: parent.key.as_ref().map(|k| k.definition.clone()).unwrap_or_default(),
        interval: inferred.as_ref().map(|i| i.set.division.interval.to_string()),
        time_zone: inferred
            .as_ref()
            .filter(|_| kind.is_some_and(KeyKind::is_time))
            .map(|i| i.set.time_zone.clone()),
        rows: (!known.is_empty()).then(|| known.iter().sum()),
        table_bytes: partitions.iter().map(|p| p.table_bytes).sum(),
        index_bytes: partitions.iter().map(|p| p.index_bytes).sum(),
        skew: skew(&partitions),
        ahead: None,
        ends: None,
        partitions,
        remarks: Vec::new(),
    };
    if let Some(kind) = kind {
        bounds_remarks(&mut set, trees, parent, kind, &bounds);
        let now = inferred.as_ref().and_then(|i| {
            let grid = Grid::new(&i.set.division, &i.set.time_zone, None).ok()?;
            grid.now(around.now_micros).ok().flatten()
        });
        ahead_remarks(&mut set, kind, &bounds, now);
    }
    default_remarks(&mut set, trees, parent, around);
    index_remarks(&mut set, trees, parent, around);
    upkeep_remarks(&mut set, trees, parent, around);
    set.remarks.sort_by_key(|r| !r.is_serious);
    set
}

fn partition(
    trees: &Trees,
    table: &PartitionTable,
    bound: &str,
    around: &Surroundings<'_>,
) -> PartitionReport {
    let leaves = trees.leaves(table);
    let known: Vec<f64> = leaves.iter().filter_map(|t| t.rows).collect();
    let sum = |of: fn(&PartitionDetails) -> i64| {
        leaves.iter().filter_map(|t| around.details.get(&t.oid)).map(of).sum()
    };
    PartitionReport {
        name: table.name.clone(),
        bound: bound.to_owned(),
        times: None,
        is_partitioned: table.key.is_some(),
        rows: (!known.is_empty()).then(|| known.iter().sum()),
        table_bytes: sum(|d| d.table_bytes),
        index_bytes: sum(|d| d.index_bytes),
        age_days: None,
    }
}

fn age(kind: KeyKind, bound: &Bound, now_micros: i64) -> Option<f64> {
    match bound.range()? {
        (_, Edge::At(upper)) if kind.is_time() && upper != i64::MAX => {
            Some((now_micros as f64 - upper as f64) / crate::calendar::MICROS_PER_DAY as f64)
        }
        _ => None,
    }
}

fn skew(partitions: &[PartitionReport]) -> Option<f64> {
    let mut sizes: Vec<i64> = partitions
        .iter()
        .filter(|p| p.bound != "DEFAULT" && p.table_bytes > 8192)
        .map(|p| p.table_bytes)
        .collect();
    sizes.sort_unstable();
    let (largest, median) = (sizes.last()?, sizes.get(sizes.len() / 2)?);
    (sizes.len() >= 3).then(|| *largest as f64 / *median as f64)
}

impl SetReport {
    fn remark(&mut self, kind: &'static str, is_serious: bool, text: String) {
        self.remarks.push(Remark { kind, is_serious, text });
    }
}

fn edge_text(edge: Edge, kind: KeyKind) -> String {
    match edge {
        Edge::Min => "the smallest value".to_owned(),
        Edge::Max => "the largest value".to_owned(),
        Edge::At(key) => key_words(key, kind),
    }
}

fn bounds_remarks(
    set: &mut SetReport,
    trees: &Trees,
    parent: &PartitionTable,
    kind: KeyKind,
    bounds: &[(Bound, QualifiedName)],
) {
    let has_default = bounds.iter().any(|(bound, _)| *bound == Bound::Default);
    let mut gaps = Vec::new();
    let mut end: Option<Edge> = None;
    for (bound, _) in bounds {
        let Some((lower, upper)) = bound.range() else { continue };
        if let Some(end) = end.filter(|end| *end < lower) {
            gaps.push(format!("from {} to {}", edge_text(end, kind), edge_text(lower, kind)));
        }
        end = Some(end.map_or(upper, |end| end.max(upper)));
    }
    if !gaps.is_empty() {
        let rows = if has_default { "rows in it go to DEFAULT" } else { "an INSERT into it fails" };
        let text = format!("There is no partition {}; {rows}.", shown(&gaps));
        set.remark("gap", !has_default, text);
    }
    // Of a table that is itself a range of the same column, what lies outside of that range is never reached.
    let above = trees.parent_of(parent).and_then(|above| {
        let key = above.key.as_ref()?;
        let same =
            key.single().map(|(column, _)| column) == parent.key.as_ref()?.single().map(|(column, _)| column);
        (same && kind_of(key) == Some(kind)).then_some(())?;
        Bound::parse(parent.bound.as_deref()?, kind)
    });
    if let Some((from, to)) = above.as_ref().and_then(Bound::range) {
        let outside: Vec<String> = bounds
            .iter()
            .filter(|(bound, _)| bound.range().is_some_and(|(lower, upper)| lower < from || upper > to))
            .map(|(_, name)| name.to_string())
            .collect();
        if !outside.is_empty() {
            let text = format!(
                "{} reaches beyond the bounds of {}: no row gets there.",
                shown(&outside),
                parent.name
            );
            set.remark("unreachable", false, text);
        }
    }
    if let Some(modulus) = bounds
        .iter()
        .filter_map(|(b, _)| if let Bound::Remainder { modulus, .. } = b { Some(*modulus) } else { None })
        .max()
    {
        let missing: Vec<String> = (0..modulus)
            .filter(|n| !bounds.iter().any(|(b, _)| matches!(b, Bound::Remainder { modulus, remainder } if n % modulus == *remainder)))
            .map(|n| n.to_string())
            .collect();
        if !missing.is_empty() {
            set.remark(
                "gap",
                true,
                format!(
                    "No partition takes remainder {} of {modulus}; an INSERT of such a key fails.",
                    shown(&missing)
                ),
            );
        }
    }
    set.ends = end.map(|end| edge_text(end, kind));
}

fn ahead_remarks(set: &mut SetReport, kind: KeyKind, bounds: &[(Bound, QualifiedName)], now: Option<Key>) {
    let Some(now) = now.filter(|_| kind.is_time()) else { return };
    let ranges: Vec<(Edge, Edge)> = bounds.iter().filter_map(|(bound, _)| bound.range()).collect();
    let ahead = ranges.iter().filter(|(lower, _)| *lower > Edge::At(now)).count();
    set.ahead = Some(ahead);
    let has_now = ranges.iter().any(|(lower, upper)| *lower <= Edge::At(now) && Edge::At(now) < *upper);
    let has_default = bounds.iter().any(|(bound, _)| *bound == Bound::Default);
    let is_open = ranges.iter().any(|(_, upper)| *upper >= Edge::At(i64::MAX));
    if ranges.is_empty() || is_open {
        return;
    }
    if !has_now {
        let rows = if has_default { "they go to DEFAULT" } else { "an INSERT fails" };
        set.remark("ahead", !has_default, format!("No partition takes rows of now; {rows}."));
    } else if ahead == 0 {
        let ends = set.ends.clone().unwrap_or_default();
        set.remark("ahead", true, format!("No partition is made ahead; the last one ends at {ends}."));
    }
}

fn default_remarks(set: &mut SetReport, trees: &Trees, parent: &PartitionTable, around: &Surroundings<'_>) {
    let Some(default) = trees.default_of(parent) else { return };
    let bytes = around.details.get(&default.oid).map_or(0, |d| d.table_bytes);
    if bytes > 8192 || default.rows.is_some_and(|rows| rows > 0.0) {
        let rows = default.rows.map_or_else(|| "rows".to_owned(), |rows| format!("about {rows:.0} rows"));
        let text = format!(
            "DEFAULT {} holds {rows}: no partition of their own takes them, and each new partition reads all of DEFAULT.",
            default.name
        );
        set.remark("default_rows", false, text);
    }
    if let Some(skew) = set.skew.filter(|skew| *skew > SKEW) {
        set.remark("skew", false, format!("The largest partition is {skew:.1} times the median."));
    }
}

fn index_remarks(set: &mut SetReport, trees: &Trees, parent: &PartitionTable, around: &Surroundings<'_>) {
    let leaves: Vec<&PartitionTable> = trees
        .children(parent)
        .filter(|c| c.text != "DEFAULT")
        .map(|c| c.table)
        .filter(|t| t.key.is_none() && t.relkind == 'r')
        .collect();
    let mut holders: BTreeMap<&str, Vec<&PartitionTable>> = BTreeMap::new();
    for leaf in &leaves {
        let Some(details) = around.details.get(&leaf.oid) else { continue };
        for index in &details.indexes {
            holders.entry(index).or_default().push(leaf);
        }
        if !details.invalid_indexes.is_empty() {
            let text = format!("{} has an invalid index: {}.", leaf.name, shown(&details.invalid_indexes));
            set.remarks.push(Remark { kind: "invalid_index", is_serious: true, text });
        }
    }
    for (index, having) in holders {
        // What fewer than half have is meant for those.
        if having.len() == leaves.len() || having.len() * 2 <= leaves.len() {
            continue;
        }
        let lacking: Vec<String> = leaves
            .iter()
            .filter(|leaf| !having.iter().any(|h| h.oid == leaf.oid))
            .map(|leaf| leaf.name.to_string())
            .collect();
        set.remark("missing_index", false, format!("Index {index} is missing on {}.", shown(&lacking)));
    }
    if let Some(details) = around.details.get(&parent.oid).filter(|d| !d.invalid_indexes.is_empty()) {
        let text = format!(
            "Index {} of the whole is not valid: a partition lacks its part.",
            shown(&details.invalid_indexes)
        );
        set.remark("invalid_index", true, text);
    }
}

fn upkeep_remarks(set: &mut SetReport, trees: &Trees, parent: &PartitionTable, around: &Surroundings<'_>) {
    let below = trees.below(parent);
    let off: Vec<String> = below
        .iter()
        .filter(|t| around.details.get(&t.oid).is_some_and(|d| d.autovacuum_off))
        .map(|t| t.name.to_string())
        .collect();
    if !off.is_empty() {
        set.remark("autovacuum", false, format!("Autovacuum is off for {}.", shown(&off)));
    }
    let holds_rows = set.partitions.iter().any(|p| p.table_bytes > 8192);
    if holds_rows && !parent.has_statistics {
        let text = "The table as a whole was never analyzed, and autovacuum does not: plans over several partitions \
                    guess. Run ANALYZE on it, or \"pgwright partition run\"."
            .to_owned();
        set.remark("statistics", true, text);
    } else if let Some((whole, parts)) = trees.outgrown(parent) {
        let text = format!(
            "The table as a whole was analyzed when it had {whole:.0} rows, and its partitions have {parts:.0} by now. \
             Run ANALYZE on it, or \"pgwright partition run\"."
        );
        set.remark("statistics", false, text);
    }
    let pending: Vec<String> =
        trees.children(parent).filter(|c| c.table.detach_pending).map(|c| c.table.name.to_string()).collect();
    if !pending.is_empty() {
        set.remark(
            "pending",
            true,
            format!("{} was left half-detached; finish with DETACH PARTITION … FINALIZE.", shown(&pending)),
        );
    }
}

fn shown(items: &[String]) -> String {
    let first: Vec<&str> = items.iter().take(SHOWN).map(String::as_str).collect();
    match items.len().saturating_sub(SHOWN) {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}
