//! How do samples of many metrics become rows? By the labels that they share.

use std::collections::BTreeMap;

use exporter::Exporter;

/// Figures of objects, by the labels that name them.
#[derive(Debug, Default)]
pub(crate) struct Rows<const KEYS: usize, const FIGURES: usize> {
    pub rows: BTreeMap<[String; KEYS], [f64; FIGURES]>,
}

impl<const KEYS: usize, const FIGURES: usize> Rows<KEYS, FIGURES> {
    /// Reads metrics; where an object has no sample its figure is NaN.
    pub fn read(exporter: &Exporter, keys: [&str; KEYS], metrics: [&str; FIGURES]) -> Self {
        let mut rows: BTreeMap<[String; KEYS], [f64; FIGURES]> = BTreeMap::new();
        for (at, metric) in metrics.iter().enumerate() {
            for sample in exporter.samples(metric) {
                let key = keys.map(|name| sample.label(name).to_owned());
                rows.entry(key).or_insert([f64::NAN; FIGURES])[at] = sample.value;
            }
        }
        Self { rows }
    }
}

/// The only value of a metric among those of a database, or of the server.
pub(crate) fn value(exporter: &Exporter, metric: &str, datname: Option<&str>) -> Option<f64> {
    let samples = exporter.samples(metric);
    samples.iter().find(|s| datname.is_none_or(|d| s.label("datname") == d)).map(|s| s.value)
}

/// The sum of a metric over everything.
pub(crate) fn sum(exporter: &Exporter, metric: &str) -> f64 {
    exporter.samples(metric).iter().map(|s| s.value).sum()
}

/// A histogram of Prometheus: upper bounds with how many are below, by bound.
#[derive(Clone, Debug, Default)]
pub(crate) struct Histogram {
    buckets: Vec<(f64, f64)>,
}

impl Histogram {
    /// Adds a bucket; bounds come in their order.
    pub fn push(&mut self, bound: f64, below: f64) {
        self.buckets.push((bound, below));
    }

    /// How many are in it.
    pub fn total(&self) -> f64 {
        self.buckets.last().map_or(0.0, |b| b.1)
    }

    /// A quantile, evenly within its bucket as Prometheus has it; NaN where too few were counted to tell.
    pub fn quantile(&self, quantile: f64) -> f64 {
        let total = self.total();
        // With fewer above it than this, the quantile is a matter of luck.
        if total * (1.0 - quantile) < 1.0 {
            return f64::NAN;
        }
        let rank = total * quantile;
        let mut before = (0.0, 0.0);
        for (bound, below) in &self.buckets {
            if *below >= rank {
                if bound.is_infinite() {
                    return before.0;
                }
                let within = if *below > before.1 { (rank - before.1) / (below - before.1) } else { 1.0 };
                return before.0 + within * (bound - before.0);
            }
            before = (*bound, *below);
        }
        f64::NAN
    }
}

/// The latency histograms of statements, by database and `queryid`.
pub(crate) fn histograms(exporter: &Exporter) -> BTreeMap<[String; 2], Histogram> {
    let mut found: BTreeMap<[String; 2], Histogram> = BTreeMap::new();
    for sample in exporter.samples("postgres_statement_latency_seconds_bucket") {
        let bound = match sample.label("le") {
            "+Inf" => f64::INFINITY,
            text => text.parse().unwrap_or(f64::NAN),
        };
        let key = [sample.label("datname").to_owned(), sample.label("queryid").to_owned()];
        found.entry(key).or_default().push(bound, sample.value);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::Histogram;

    #[test]
    fn every_metric_that_pages_read_is_one_that_is_sampled() {
        let known: Vec<&str> = exporter::Exporter::metrics().iter().map(|m| m.0).collect();
        let pages = [
            include_str!("../lib.rs"),
            include_str!("indexes.rs"),
            include_str!("locks.rs"),
            include_str!("maintenance.rs"),
            include_str!("overview.rs"),
            include_str!("partitions.rs"),
            include_str!("replication.rs"),
            include_str!("samples.rs"),
            include_str!("statements.rs"),
            include_str!("tables.rs"),
        ];
        let words = pages.iter().flat_map(|page| page.split('"'));
        let read: Vec<&str> = words
            .filter(|word| word.starts_with("postgres_") || word.starts_with("pgwright_"))
            .map(|word| word.strip_suffix("_bucket").unwrap_or(word))
            .collect();
        assert!(read.len() > 50, "{read:?}");
        let unknown: Vec<&&str> =
            read.iter().filter(|name| name.len() > 9 && !known.contains(name)).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
    }

    #[test]
    fn quantiles_lie_within_their_bucket_and_need_enough() {
        let mut histogram = Histogram::default();
        for (bound, below) in [(0.1, 0.0), (0.2, 100.0), (f64::INFINITY, 200.0)] {
            histogram.push(bound, below);
        }
        assert!((histogram.quantile(0.25) - 0.15).abs() < 1e-9);
        assert!((histogram.quantile(0.99) - 0.2).abs() < 1e-9);
        assert!(histogram.quantile(0.999).is_nan() && Histogram::default().quantile(0.5).is_nan());
    }
}
