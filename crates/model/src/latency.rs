//! How long did things take? A log-linear histogram that can be merged, and percentiles that say how sure they are.
//!
//! The buckets are those of Prometheus' native histograms at schema 5: bucket *i* ends at 2^(*i*/32) seconds, so
//! a value is known to within 1.1 %. Source: the OpenMetrics and Prometheus pages on native histograms.

use serde::{Deserialize, Serialize};

use crate::Millis;

#[path = "latency_bytes.rs"]
mod bytes;

/// Buckets per doubling, as a power of two: schema 5.
const BUCKETS_PER_DOUBLING: f64 = 32.0;

/// How many standard deviations of the rank the interval of a percentile reaches to each side: 95 %.
const DEVIATIONS: f64 = 1.96;

/// A histogram of durations.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LatencyHistogram {
    /// Occupied buckets by their number, ascending, with their weights.
    buckets: Vec<(i16, u64)>,
    /// Durations of zero.
    zeros: u64,
    /// How many durations stand for how many.
    samples: u64,
    count: u64,
    /// In nanoseconds: whole numbers add up to the same in any order.
    sum_ns: u64,
    min_ms: f64,
    max_ms: f64,
}

/// A percentile with the interval in which it lies with a probability of 95 %.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Percentile {
    /// The value.
    pub value: Millis,
    /// The lower end of the interval.
    pub lower: Millis,
    /// The upper end of the interval.
    pub upper: Millis,
}

impl LatencyHistogram {
    /// What Prometheus calls the resolution of these buckets: 2 to the power of this for each doubling.
    pub const SCHEMA: i32 = 5;

    /// Adds one duration in milliseconds; what is negative or no number counts as zero.
    pub fn record(&mut self, ms: f64) {
        self.record_weighted(ms, 1);
    }

    /// Adds one duration in milliseconds that stands for `weight` of them, as a sampled one does.
    pub fn record_weighted(&mut self, ms: f64, weight: u64) {
        if weight == 0 {
            return;
        }
        let ms = if ms.is_finite() && ms > 0.0 { ms } else { 0.0 };
        (self.min_ms, self.max_ms) =
            if self.samples == 0 { (ms, ms) } else { (self.min_ms.min(ms), self.max_ms.max(ms)) };
        self.samples += 1;
        self.count += weight;
        self.sum_ns = self.sum_ns.saturating_add(((ms * 1e6).round() as u64).saturating_mul(weight));
        if ms == 0.0 {
            self.zeros += weight;
            return;
        }
        let bucket = bucket_of(ms);
        match self.buckets.binary_search_by_key(&bucket, |b| b.0) {
            Ok(at) => self.buckets[at].1 += weight,
            Err(at) => self.buckets.insert(at, (bucket, weight)),
        }
    }

    /// Adds what another histogram holds.
    pub fn merge(&mut self, other: &Self) {
        if other.samples == 0 {
            return;
        }
        (self.min_ms, self.max_ms) = if self.samples == 0 {
            (other.min_ms, other.max_ms)
        } else {
            (self.min_ms.min(other.min_ms), self.max_ms.max(other.max_ms))
        };
        self.samples += other.samples;
        self.count += other.count;
        self.sum_ns = self.sum_ns.saturating_add(other.sum_ns);
        self.zeros += other.zeros;
        // Histograms of one statement mostly have the same buckets: those are added in place.
        let (mut at, mut missing) = (0, Vec::new());
        for &(bucket, weight) in &other.buckets {
            while self.buckets.get(at).is_some_and(|mine| mine.0 < bucket) {
                at += 1;
            }
            match self.buckets.get_mut(at) {
                Some(mine) if mine.0 == bucket => mine.1 += weight,
                _ => missing.push((bucket, weight)),
            }
        }
        if !missing.is_empty() {
            self.buckets.append(&mut missing);
            self.buckets.sort_unstable_by_key(|entry| entry.0);
        }
    }

    /// What is shorter than a duration, and the rest. It is known to within a bucket which is which, and the sums of both
    /// are as exact as that; the number of recorded durations is split as their weights are.
    pub fn split(&self, ms: f64) -> (Self, Self) {
        let (mut short, mut long) = (Self::default(), Self::default());
        let share = self.samples as f64 / self.count.max(1) as f64;
        let mut add = |value: f64, weight: u64| {
            let part = if value < ms { &mut short } else { &mut long };
            part.record_weighted(value, weight);
            part.samples += ((weight as f64 * share).round() as u64).max(1) - 1;
        };
        if self.zeros > 0 {
            add(0.0, self.zeros);
        }
        for (bucket, weight) in &self.buckets {
            add(self.middle(*bucket), *weight);
        }
        (short, long)
    }

    /// How many durations it stands for.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// How many durations were recorded; fewer than [`Self::count`] when some stand for others.
    pub fn samples(&self) -> u64 {
        self.samples
    }

    /// The sum of all durations.
    pub fn sum(&self) -> Millis {
        Millis(self.sum_ns as f64 / 1e6)
    }

    /// The arithmetic mean, exact to a nanosecond.
    pub fn mean(&self) -> Option<Millis> {
        (self.count > 0).then(|| Millis(self.sum_ns as f64 / 1e6 / self.count as f64))
    }

    /// The longest duration, exact.
    pub fn max(&self) -> Option<Millis> {
        (self.samples > 0).then_some(Millis(self.max_ms))
    }

    /// The shortest duration, exact.
    pub fn min(&self) -> Option<Millis> {
        (self.samples > 0).then_some(Millis(self.min_ms))
    }

    /// The occupied buckets: upper end in seconds and weight, ascending; zeros first, with an end of 0.
    pub fn buckets(&self) -> impl Iterator<Item = (f64, u64)> + '_ {
        let zeros = (self.zeros > 0).then_some((0.0, self.zeros));
        zeros
            .into_iter()
            .chain(self.buckets.iter().map(|(i, n)| ((f64::from(*i) / BUCKETS_PER_DOUBLING).exp2(), *n)))
    }

    /// The occupied buckets by number, ascending, without the zeros: bucket *i* ends at 2^(*i*/32) seconds, as in Prometheus'
    /// native histograms of [`Self::SCHEMA`].
    pub fn numbered_buckets(&self) -> impl Iterator<Item = (i16, u64)> + '_ {
        self.buckets.iter().copied()
    }

    /// How many durations were zero.
    pub fn zeros(&self) -> u64 {
        self.zeros
    }

    /// The duration below which `share` (0 to 1) of all lie, or nothing when the histogram is too small for the upper end
    /// of its interval to lie within what was seen: P50 needs 4 samples, P95 73 and P99 381.
    ///
    /// The interval is that of the order statistics of a binomial distribution, by its normal approximation (Hahn and
    /// Meeker, "Statistical Intervals", chapter 5), widened by the width of a bucket.
    pub fn percentile(&self, share: f64) -> Option<Percentile> {
        let n = self.samples as f64;
        let deviation = DEVIATIONS * (n * share * (1.0 - share)).sqrt();
        if self.samples == 0 || n * share + deviation > n {
            return None;
        }
        let half = (0.5 / BUCKETS_PER_DOUBLING).exp2();
        Some(Percentile {
            value: Millis(self.at_rank(share)),
            lower: Millis((self.at_rank((n * share - deviation) / n) / half).max(self.min_ms)),
            upper: Millis((self.at_rank((n * share + deviation) / n) * half).min(self.max_ms)),
        })
    }

    /// The duration at which `share` (0 to 1) of all is reached, whatever their number; nothing when there is none.
    pub fn quantile(&self, share: f64) -> Option<Millis> {
        (self.samples > 0).then(|| Millis(self.at_rank(share)))
    }

    /// The middle of the bucket in which the given share of all durations is reached.
    fn at_rank(&self, share: f64) -> f64 {
        let rank = (share.max(0.0) * self.count as f64).ceil().max(1.0) as u64;
        let mut seen = self.zeros;
        if rank <= seen {
            return 0.0;
        }
        for (bucket, weight) in &self.buckets {
            seen += weight;
            if rank <= seen {
                return self.middle(*bucket);
            }
        }
        self.max_ms
    }

    /// The middle of a bucket, in milliseconds.
    fn middle(&self, bucket: i16) -> f64 {
        let middle = ((f64::from(bucket) - 0.5) / BUCKETS_PER_DOUBLING).exp2() * 1000.0;
        middle.clamp(self.min_ms, self.max_ms)
    }
}

fn bucket_of(ms: f64) -> i16 {
    let number = ((ms / 1000.0).log2() * BUCKETS_PER_DOUBLING).ceil();
    number.clamp(f64::from(i16::MIN), f64::from(i16::MAX)) as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: impl IntoIterator<Item = f64>) -> LatencyHistogram {
        let mut histogram = LatencyHistogram::default();
        values.into_iter().for_each(|v| histogram.record(v));
        histogram
    }

    #[test]
    fn percentiles_are_within_a_bucket_of_the_truth_and_inside_their_interval() {
        let histogram = of((1..=10_000).map(f64::from));
        for share in [0.5, 0.9, 0.95, 0.99, 0.999] {
            let found = histogram.percentile(share).unwrap();
            let truth = share * 10_000.0;
            assert!((found.value.0 / truth - 1.0).abs() < 0.012, "{share}: {found:?}");
            assert!(found.lower.0 <= truth && truth <= found.upper.0, "{share}: {found:?}");
        }
        assert_eq!(histogram.mean(), Some(Millis(5000.5)));
        assert_eq!(histogram.max(), Some(Millis(10_000.0)));
    }

    #[test]
    fn a_percentile_of_too_few_is_withheld() {
        let enough = |n: u32, share| of((0..n).map(f64::from)).percentile(share).is_some();
        assert!(!enough(0, 0.5) && !enough(3, 0.5) && enough(4, 0.5));
        assert!(!enough(72, 0.95) && enough(74, 0.95));
        assert!(!enough(380, 0.99) && enough(382, 0.99));
    }

    #[test]
    fn parts_merged_are_the_whole() {
        let value = |i: u32| f64::from(i * 7919 % 1000) / 10.0;
        let (mut left, right) = (of((0..500).map(value)), of((500..1000).map(value)));
        left.merge(&right);
        let whole = of((0..1000).map(value));
        assert_eq!(left.percentile(0.95), whole.percentile(0.95));
        assert_eq!((left.count(), left.min(), left.max()), (whole.count(), whole.min(), whole.max()));
        assert_eq!(left.buckets().collect::<Vec<_>>(), whole.buckets().collect::<Vec<_>>());
    }

    #[test]
    fn two_parts_are_the_whole() {
        let whole = of((0..=1000).map(|i| f64::from(i) / 10.0));
        let (short, long) = whole.split(25.0);
        assert!((short.count() as i64 - 250).abs() < 5 && short.count() + long.count() == 1001, "{short:?}");
        assert_eq!((short.samples(), long.samples()), (short.count(), long.count()));
        assert!(short.max().unwrap().0 < 25.0 && long.min().unwrap().0 >= 25.0);
        let mut again = short;
        again.merge(&long);
        assert_eq!(again.buckets().collect::<Vec<_>>(), whole.buckets().collect::<Vec<_>>());
        assert!((again.sum().0 / whole.sum().0 - 1.0).abs() < 0.02);
        assert_eq!(whole.split(0.0).0.count(), 0);
        assert_eq!(whole.split(1e9).1.count(), 0);
    }

    #[test]
    fn a_sampled_duration_stands_for_many_and_does_not_feign_certainty() {
        let mut histogram = of((0..100).map(|_| 100.0));
        histogram.record_weighted(1.0, 900);
        assert_eq!(histogram.count(), 1000);
        assert!((histogram.percentile(0.5).unwrap().value.0 - 1.0).abs() < 0.02);
        assert_eq!(histogram.percentile(0.99), None);
    }

    #[test]
    fn what_is_no_duration_counts_as_zero() {
        let histogram = of([f64::NAN, -1.0, 0.0, f64::INFINITY]);
        assert_eq!((histogram.count(), histogram.max()), (4, Some(Millis(0.0))));
        assert_eq!(histogram.percentile(0.5).map(|p| p.value), Some(Millis(0.0)));
    }
}
