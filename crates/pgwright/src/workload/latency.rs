//! How long did it take? Percentiles that can be merged.
//!
//! Source: Gil Tene's HdrHistogram (three significant digits), and his talks on "coordinated
//! omission". Percentiles of two runs cannot be averaged, so the counts themselves are kept and
//! written out: only the buckets that hold something.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Durations at three significant digits, from 1 µs up.
#[derive(Clone, Debug)]
pub struct Latencies {
    histogram: Histogram<u64>,
    /// Exact, as are the two below: a histogram knows them only to three digits.
    sum_us: u128,
    max_us: u64,
}

impl Default for Latencies {
    fn default() -> Self {
        Self { histogram: new_histogram(), sum_us: 0, max_us: 0 }
    }
}

fn new_histogram() -> Histogram<u64> {
    let mut histogram = Histogram::new_with_bounds(1, 2, 3)
        .unwrap_or_else(|_| unreachable!("the bounds are constants that the library accepts"));
    histogram.auto(true);
    histogram
}

impl PartialEq for Latencies {
    fn eq(&self, other: &Self) -> bool {
        (self.sum_us, self.max_us) == (other.sum_us, other.max_us) && self.histogram == other.histogram
    }
}

impl Latencies {
    /// Counts a duration.
    pub fn record(&mut self, duration: Duration) {
        let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX / 4).max(1);
        self.count(us, 1);
        self.sum_us += u128::from(us);
        self.max_us = self.max_us.max(us);
    }

    fn count(&mut self, us: u64, times: u64) {
        // An auto-resizing histogram refuses nothing that fits in memory; saturating is the way out
        // for the rest.
        if self.histogram.record_n(us, times).is_err() {
            self.histogram.saturating_record_n(us, times);
        }
    }

    /// Adds the durations of another.
    pub fn merge(&mut self, other: &Self) {
        for bucket in other.histogram.iter_recorded() {
            self.count(bucket.value_iterated_to(), bucket.count_since_last_iteration());
        }
        self.sum_us += other.sum_us;
        self.max_us = self.max_us.max(other.max_us);
    }

    /// How many durations were counted.
    pub fn len(&self) -> u64 {
        self.histogram.len()
    }

    /// Whether none was counted.
    pub fn is_empty(&self) -> bool {
        self.histogram.is_empty()
    }

    /// The mean in milliseconds; 0 when there is nothing.
    pub fn mean_ms(&self) -> f64 {
        if self.is_empty() { 0.0 } else { self.sum_us as f64 / self.len() as f64 / 1_000.0 }
    }

    /// The value in milliseconds that `percent` of the durations do not exceed; 0 when there is nothing.
    pub fn percentile_ms(&self, percent: f64) -> f64 {
        if self.is_empty() {
            return 0.0;
        }
        self.histogram.value_at_percentile(percent).min(self.max_us) as f64 / 1_000.0
    }

    /// The longest in milliseconds; 0 when there is nothing.
    pub fn max_ms(&self) -> f64 {
        self.max_us as f64 / 1_000.0
    }

    /// How many took longer. What is within a thousandth of the limit does not count as longer.
    pub fn above(&self, limit: Duration) -> u64 {
        let limit = u64::try_from(limit.as_micros()).unwrap_or(u64::MAX);
        self.histogram
            .iter_recorded()
            .filter(|bucket| self.histogram.lowest_equivalent(bucket.value_iterated_to()) > limit)
            .map(|bucket| bucket.count_since_last_iteration())
            .sum()
    }
}

#[derive(Serialize, Deserialize)]
struct Written {
    count: u64,
    mean_ms: f64,
    p50_ms: f64,
    p95_ms: f64,
    p99_ms: f64,
    max_ms: f64,
    sum_us: u64,
    /// Pairs of microseconds and count.
    buckets: Vec<(u64, u64)>,
}

impl Serialize for Latencies {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let buckets = self
            .histogram
            .iter_recorded()
            .map(|bucket| (bucket.value_iterated_to(), bucket.count_since_last_iteration()))
            .collect();
        Written {
            count: self.len(),
            mean_ms: self.mean_ms(),
            p50_ms: self.percentile_ms(50.0),
            p95_ms: self.percentile_ms(95.0),
            p99_ms: self.percentile_ms(99.0),
            max_ms: self.max_ms(),
            sum_us: u64::try_from(self.sum_us).unwrap_or(u64::MAX),
            buckets,
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Latencies {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = Written::deserialize(deserializer)?;
        let mut latencies = Self::default();
        for (us, count) in written.buckets {
            // A number from a file must not make a histogram of any size: an hour of microseconds
            // times a thousand is beyond any run.
            if us > 3_600_000_000_000 {
                return Err(D::Error::custom("a bucket of the histogram is out of range"));
            }
            latencies.count(us, count);
        }
        latencies.sum_us = u128::from(written.sum_us);
        latencies.max_us = (written.max_ms * 1_000.0).round() as u64;
        Ok(latencies)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(milliseconds: impl IntoIterator<Item = u64>) -> Latencies {
        let mut latencies = Latencies::default();
        for ms in milliseconds {
            latencies.record(Duration::from_millis(ms));
        }
        latencies
    }

    fn near(found: f64, expected: f64) {
        assert!((found - expected).abs() <= expected * 0.001 + 1e-9, "{found} is not {expected}");
    }

    #[test]
    fn percentiles_are_those_of_the_values() {
        let latencies = of(1..=1_000);
        near(latencies.percentile_ms(50.0), 500.0);
        near(latencies.percentile_ms(95.0), 950.0);
        near(latencies.percentile_ms(99.0), 990.0);
        near(latencies.mean_ms(), 500.5);
        assert_eq!(latencies.max_ms(), 1_000.0);
        assert_eq!(latencies.len(), 1_000);
        assert_eq!(latencies.above(Duration::from_millis(900)), 100);
    }

    #[test]
    fn one_slow_value_in_a_hundred_is_the_maximum_and_not_the_median() {
        let latencies = of(std::iter::repeat_n(2, 99).chain([30_000]));
        near(latencies.percentile_ms(50.0), 2.0);
        near(latencies.percentile_ms(99.0), 2.0);
        assert_eq!(latencies.max_ms(), 30_000.0);
    }

    #[test]
    fn nothing_is_zero() {
        let latencies = Latencies::default();
        assert_eq!((latencies.mean_ms(), latencies.percentile_ms(99.0), latencies.max_ms()), (0.0, 0.0, 0.0));
    }

    #[test]
    fn merging_is_as_if_counted_together() {
        let mut merged = of((1..500).step_by(2));
        merged.merge(&of((2..500).step_by(2)));
        assert_eq!(merged, of(1..500));
    }

    #[test]
    fn written_and_read_again_it_is_the_same_and_still_merges() {
        let latencies = of([1, 2, 3, 500, 61_234]);
        let text = serde_json::to_string(&latencies).unwrap();
        let read: Latencies = serde_json::from_str(&text).unwrap();
        assert_eq!(read, latencies);
        assert!(
            serde_json::from_str::<Latencies>(&text.replace("[1000,1]", "[99999999999999999,1]")).is_err()
        );
    }
}
