//! How many of a table's rows does each partition take, and what do its columns hold?

use model::KeyKind;
use model::snapshot::ColumnStatistics;
use partitioning::{Bound, Edge, Grid, Key, Part as Cell, key_text};

/// A partition to be.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Part {
    /// Its place on the grid; `None` of the default partition.
    pub cell: Option<Cell>,
    /// What it takes.
    pub bound: Bound,
    /// Its share of the rows.
    pub share: f64,
    /// The shares of the rows below it and up to its end, in the order of the key.
    pub stretch: (f64, f64),
}

/// What is known of the key's values.
pub(super) struct KeyValues<'a> {
    column: String,
    kind: KeyKind,
    statistics: &'a ColumnStatistics,
    /// Most common values that are finite keys, in order.
    common: Vec<(Key, f64)>,
    /// Bounds of the histogram that are finite keys.
    histogram: Vec<Key>,
    /// The share of rows that the histogram stands for.
    rest: f64,
}

impl<'a> KeyValues<'a> {
    pub fn new(statistics: &'a ColumnStatistics, grid: &Grid) -> Self {
        let division = grid.division();
        let mut common: Vec<(Key, f64)> = statistics
            .common_values()
            .iter()
            .filter_map(|(value, share)| Some((grid.key(value).ok()?, f64::from(*share))))
            .collect();
        common.sort_by_key(|(key, _)| *key);
        let histogram: Vec<Key> = statistics.histogram().iter().filter_map(|v| grid.key(v).ok()).collect();
        let in_common: f64 = statistics.most_common_freqs.iter().flatten().map(|f| f64::from(*f)).sum();
        let rest = (1.0 - f64::from(statistics.null_frac) - in_common).max(0.0);
        Self { column: division.key.clone(), kind: division.kind, statistics, common, histogram, rest }
    }

    pub fn is_key(&self, column: &str) -> bool {
        column == self.column
    }

    /// The partitions that take all rows, so many ahead of the last, and a default one.
    ///
    /// # Errors
    /// When nothing is known of the values, or there would be too many.
    pub fn parts(&self, grid: &Grid, premake: u32, at_most: usize) -> Result<Vec<Part>, String> {
        let too_many = |e: partitioning::Error| format!("{e}.");
        let mut parts = Vec::new();
        match self.kind {
            KeyKind::List | KeyKind::Hash => {
                for cell in grid.covering(0, 0, at_most).map_err(too_many)? {
                    let share = self.share_of_cell(&cell.bound);
                    parts.push(Part {
                        bound: cell.bound.clone(),
                        cell: Some(cell),
                        share,
                        stretch: (0.0, 1.0),
                    });
                }
            }
            _ => {
                let keys = || self.common.iter().map(|(k, _)| k).chain(&self.histogram).copied();
                let (Some(min), Some(max)) = (keys().min(), keys().max()) else {
                    return Err("the values of the key are not known.".into());
                };
                let mut cells = grid.covering(min, max, at_most).map_err(too_many)?;
                for _ in 0..premake {
                    let Some(last) = cells.last() else { break };
                    match grid.after(last).map_err(too_many)? {
                        Some(next) => cells.push(next),
                        None => break,
                    }
                }
                for cell in cells {
                    let stretch = match cell.bound.range() {
                        Some((lower, upper)) => (self.below(lower), self.below(upper)),
                        None => (0.0, 0.0),
                    };
                    let share = (stretch.1 - stretch.0).max(0.0);
                    parts.push(Part { bound: cell.bound.clone(), cell: Some(cell), share, stretch });
                }
            }
        }
        if self.kind != KeyKind::Hash {
            let taken: f64 = parts.iter().map(|p| p.share).sum();
            let left = (1.0 - taken).max(0.0);
            let share = if left < 1e-6 { 0.0 } else { left };
            parts.push(Part { cell: None, bound: Bound::Default, share, stretch: (0.0, 1.0) });
        }
        Ok(parts)
    }

    fn share_of_cell(&self, bound: &Bound) -> f64 {
        match bound {
            Bound::Remainder { modulus, .. } => 1.0 / f64::from((*modulus).max(1)),
            Bound::Values(values) => {
                let common = self.statistics.common_values();
                values
                    .iter()
                    .map(|value| match value {
                        Some(value) => common
                            .iter()
                            .find(|(v, _)| v == value)
                            .map_or(0.0, |(_, share)| f64::from(*share)),
                        None => f64::from(self.statistics.null_frac),
                    })
                    .sum()
            }
            _ => 0.0,
        }
    }

    /// The share of the rows whose key is smaller.
    fn below(&self, edge: Edge) -> f64 {
        let key = match edge {
            Edge::Min => return 0.0,
            Edge::Max => return 1.0 - f64::from(self.statistics.null_frac),
            Edge::At(key) => key,
        };
        let common: f64 = self.common.iter().filter(|(k, _)| *k < key).map(|(_, share)| share).sum();
        common + self.rest * self.histogram_below(key)
    }

    /// The share of the histogram below a key, even within each of its stretches.
    fn histogram_below(&self, key: Key) -> f64 {
        let (Some(first), Some(last)) = (self.histogram.first(), self.histogram.last()) else {
            // Without a histogram the common values are all there are.
            return 0.0;
        };
        if key <= *first {
            return 0.0;
        }
        if key > *last {
            return 1.0;
        }
        let at = self.histogram.partition_point(|bound| *bound < key);
        let (Some(from), Some(to)) = (self.histogram.get(at.saturating_sub(1)), self.histogram.get(at))
        else {
            return 1.0;
        };
        let within = if to > from { (key - from) as f64 / (to - from) as f64 } else { 0.0 };
        (at as f64 - 1.0 + within) / (self.histogram.len() as f64 - 1.0)
    }

    /// The statistics of the key within a partition of so many rows in the whole.
    pub fn within(&self, whole: &ColumnStatistics, part: &Part, rows: f64) -> ColumnStatistics {
        match &part.bound {
            Bound::Range { lower, upper } => {
                let inside = |key: &Key| Edge::At(*key) >= *lower && Edge::At(*key) < *upper;
                let common: Vec<(Key, f64)> =
                    self.common.iter().filter(|(k, _)| inside(k)).copied().collect();
                let mut bounds: Vec<Key> = self.histogram.iter().filter(|k| inside(k)).copied().collect();
                // A partition within one stretch of the histogram is filled from end to end.
                let ends = (self.histogram.first(), self.histogram.last());
                if let (Edge::At(lower), Edge::At(upper), (Some(first), Some(last))) = (*lower, *upper, ends)
                {
                    let (from, to) = (lower.max(*first), upper.saturating_sub(1).min(*last));
                    if from <= to && *first <= to && from <= *last {
                        bounds.insert(0, from);
                        bounds.push(to);
                        bounds.dedup();
                    }
                }
                let text = |key: Key| key_text(key, self.kind);
                let mut statistics = thinned(whole, part.share, rows);
                statistics.null_frac = 0.0;
                set_common(
                    &mut statistics,
                    common.iter().map(|(k, f)| (text(*k), *f / part.share)).collect(),
                );
                set_histogram(&mut statistics, bounds.iter().map(|k| text(*k)).collect());
                statistics
            }
            Bound::Values(values) => {
                let mut statistics = thinned(whole, part.share, rows);
                let common = whole.common_values();
                let kept: Vec<(String, f64)> = common
                    .into_iter()
                    .filter(|(v, _)| values.contains(&Some(v.clone())))
                    .map(|(v, f)| (v, f64::from(f) / part.share))
                    .collect();
                statistics.null_frac = if values.contains(&None) {
                    (f64::from(whole.null_frac) / part.share) as f32
                } else {
                    0.0
                };
                statistics.n_distinct = values.len().max(1) as f32;
                set_common(&mut statistics, kept);
                statistics.histogram_bounds = None;
                statistics
            }
            Bound::Remainder { .. } | Bound::Default => thinned(whole, part.share, rows),
        }
    }
}

/// The statistics of a column whose values lie in the order of the key, within a partition.
pub(super) fn slice(whole: &ColumnStatistics, part: &Part, rows: f64) -> ColumnStatistics {
    let mut statistics = thinned(whole, part.share, rows);
    let bounds = whole.histogram();
    if part.cell.is_some() && bounds.len() > 2 && whole.most_common_freqs.is_none() {
        let place = |share: f64| (share * (bounds.len() - 1) as f64).clamp(0.0, (bounds.len() - 1) as f64);
        let (from, to) = (place(part.stretch.0).floor() as usize, place(part.stretch.1).ceil() as usize);
        let kept: Vec<String> = bounds.get(from..=to.max(from)).map(<[String]>::to_vec).unwrap_or_default();
        set_histogram(&mut statistics, kept);
    }
    statistics
}

/// The statistics of a column within a share of the rows that was taken without looking at it.
pub(super) fn thinned(whole: &ColumnStatistics, share: f64, rows: f64) -> ColumnStatistics {
    let mut statistics = whole.clone();
    let distinct = f64::from(whole.n_distinct);
    if distinct > 0.0 && rows > 0.0 {
        // How many of d values are met in a share of the rows, when each value has rows / d of them.
        let met = distinct * (1.0 - (1.0 - share.clamp(0.0, 1.0)).powf(rows / distinct));
        statistics.n_distinct = met.round().max(1.0) as f32;
    }
    statistics
}

fn set_common(statistics: &mut ColumnStatistics, values: Vec<(String, f64)>) {
    let some = !values.is_empty();
    statistics.most_common_freqs = some.then(|| values.iter().map(|(_, f)| f.min(1.0) as f32).collect());
    statistics.most_common_vals = some.then(|| array(values.iter().map(|(v, _)| v.as_str())));
}

fn set_histogram(statistics: &mut ColumnStatistics, bounds: Vec<String>) {
    statistics.histogram_bounds = (bounds.len() >= 2).then(|| array(bounds.iter().map(String::as_str)));
}

/// Values in the text of an array.
fn array<'v>(values: impl Iterator<Item = &'v str>) -> String {
    let quoted: Vec<String> =
        values.map(|v| format!("\"{}\"", v.replace('\\', "\\\\").replace('"', "\\\""))).collect();
    format!("{{{}}}", quoted.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Division;

    fn grid(interval: &str) -> Grid {
        let division =
            Division { key: "id".into(), kind: KeyKind::BigInt, interval: interval.parse().unwrap() };
        Grid::new(&division, "UTC", None).unwrap()
    }

    #[test]
    fn rows_are_shared_out_by_the_histogram_and_the_common_values() {
        let statistics = ColumnStatistics {
            n_distinct: -1.0,
            histogram_bounds: Some("{0,100,200,400}".into()),
            most_common_vals: Some("{150}".into()),
            most_common_freqs: Some(vec![0.4]),
            ..ColumnStatistics::default()
        };
        let grid = grid("100");
        let values = KeyValues::new(&statistics, &grid);
        let parts = values.parts(&grid, 1, 100).unwrap();
        let shares: Vec<f64> = parts.iter().map(|p| (p.share * 1000.0).round() / 1000.0).collect();
        // Each third of the histogram has 0.2; 400 itself, the one ahead and DEFAULT have nothing.
        assert_eq!(shares, [0.2, 0.6, 0.1, 0.1, 0.0, 0.0, 0.0]);
        let second = values.within(&statistics, &parts[1], 1000.0);
        assert_eq!(second.common_values(), [("150".to_owned(), 0.666_666_7)]);
        assert_eq!(second.histogram_bounds.as_deref(), Some("{\"100\",\"199\"}"));
        assert!(values.parts(&grid, 0, 2).is_err());
        let nothing = ColumnStatistics::default();
        assert!(KeyValues::new(&nothing, &grid).parts(&grid, 0, 10).is_err());
    }

    #[test]
    fn values_get_fewer_as_rows_do() {
        let of = |n_distinct: f32| ColumnStatistics { n_distinct, ..ColumnStatistics::default() };
        assert!((thinned(&of(-0.5), 0.01, 1e6).n_distinct + 0.5).abs() < f32::EPSILON);
        assert!((thinned(&of(3.0), 0.01, 1e6).n_distinct - 3.0).abs() < f32::EPSILON);
        let few = thinned(&of(500_000.0), 0.01, 1e6).n_distinct;
        assert!((9_000.0..=10_000.0).contains(&few), "{few}");
    }
}
