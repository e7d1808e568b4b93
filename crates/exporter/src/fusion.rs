//! How do samples and counts become the buckets of a histogram that only grows? Executions as long as the interval of
//! sampling were all seen and count once; the others are as many as the server counted beyond those, spread as the seen
//! short ones are. `crates/sampling/README.md` has the reasoning.

use std::collections::BTreeMap;

use model::LatencyHistogram;

/// The upper ends of the buckets, in seconds; one more has no end.
pub(crate) const BOUNDS: [f64; 18] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
    30.0, 60.0,
];
const BUCKETS: usize = BOUNDS.len() + 1;

/// Counts by bucket, not cumulated.
pub(crate) type Counts = [u64; BUCKETS];

/// A histogram that only grows.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Latencies {
    pub counts: Counts,
    pub sum_seconds: f64,
}

impl Latencies {
    pub fn add(&mut self, other: &Self) {
        self.counts.iter_mut().zip(other.counts).for_each(|(sum, n)| *sum += n);
        self.sum_seconds += other.sum_seconds;
    }
}

/// How short executions of a statement were spread lately.
#[derive(Clone, Debug, Default)]
struct Shape {
    weights: [f64; BUCKETS],
    samples: f64,
    sum_seconds: f64,
    /// Calls that wait for a sample to tell how long they took.
    pending: u64,
    /// Long executions that were seen before the server counted them, and are in the buckets already.
    ahead: u64,
    idle_rounds: u32,
}

/// How much older samples count beside those of an interval.
const OLDER: f64 = 0.5;
/// After how many intervals without a call a statement's samples are dropped.
const FORGOTTEN_AFTER: u32 = 120;

/// What is remembered of statements from interval to interval.
#[derive(Debug, Default)]
pub(crate) struct Fusion {
    shapes: BTreeMap<i64, Shape>,
}

impl Fusion {
    /// The executions of a statement in an interval, as far as samples say how long they took.
    pub fn fuse(
        &mut self,
        queryid: i64,
        calls: u64,
        tail: &LatencyHistogram,
        body: &LatencyHistogram,
    ) -> Latencies {
        let shape = self.shapes.entry(queryid).or_default();
        shape.idle_rounds = 0;
        if body.samples() > 0 {
            shape.weights.iter_mut().for_each(|w| *w *= OLDER);
            shape.samples *= OLDER;
            shape.sum_seconds *= OLDER;
            let counts = by_bound(body);
            shape.weights.iter_mut().zip(counts).for_each(|(w, n)| *w += n as f64);
            shape.samples += body.samples() as f64;
            shape.sum_seconds += body.sum().0 / 1000.0;
        }
        let mut found = Latencies { counts: by_bound(tail), sum_seconds: tail.sum().0 / 1000.0 };
        let calls = calls - std::mem::take(&mut shape.ahead).min(calls);
        shape.ahead = tail.samples().saturating_sub(calls);
        let short = calls.saturating_sub(tail.samples()) + std::mem::take(&mut shape.pending);
        if shape.samples <= 0.0 {
            shape.pending = short;
            return found;
        }
        // Rounding what is cumulated keeps the sum exact.
        let (mut so_far, mut given) = (0.0, 0);
        for (count, weight) in found.counts.iter_mut().zip(shape.weights) {
            so_far += weight;
            let upto = (so_far / shape.samples * short as f64).round().min(short as f64) as u64;
            *count += upto.saturating_sub(given);
            given = given.max(upto);
        }
        found.counts[BUCKETS - 1] += short - given;
        found.sum_seconds += shape.sum_seconds / shape.samples * short as f64;
        found
    }

    /// Ends an interval: forgets statements that were not called for long.
    pub fn end_interval(&mut self) {
        self.shapes.retain(|_, shape| {
            shape.idle_rounds += 1;
            if shape.idle_rounds > 2 {
                // What is not counted by now failed, and never will be.
                shape.ahead = 0;
            }
            shape.idle_rounds <= FORGOTTEN_AFTER
        });
    }
}

fn by_bound(histogram: &LatencyHistogram) -> Counts {
    let mut counts = [0; BUCKETS];
    for (end, count) in histogram.buckets() {
        // The buckets are much finer; the middle of one tells where most of it belongs.
        let middle = end * 0.989;
        counts[BOUNDS.partition_point(|bound| *bound < middle)] += count;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values_ms: &[f64]) -> LatencyHistogram {
        let mut histogram = LatencyHistogram::default();
        values_ms.iter().for_each(|v| histogram.record(*v));
        histogram
    }

    #[test]
    fn short_executions_are_spread_as_the_seen_ones_and_long_ones_count_once() {
        let mut fusion = Fusion::default();
        let found = fusion.fuse(1, 1002, &of(&[200.0, 3000.0]), &of(&[0.2, 0.2, 0.2, 20.0]));
        assert_eq!(found.counts.iter().sum::<u64>(), 1002);
        let at = |seconds: f64| found.counts[BOUNDS.iter().position(|b| *b == seconds).unwrap()];
        assert_eq!((at(0.00025), at(0.025), at(0.25), at(5.0)), (750, 250, 1, 1));
        let expected = 0.2 + 3.0 + 1000.0 * (0.0002 * 3.0 + 0.02) / 4.0;
        assert!((found.sum_seconds - expected).abs() < 1e-6, "{found:?}");
    }

    #[test]
    fn calls_without_a_sample_wait_for_one() {
        let mut fusion = Fusion::default();
        let none = LatencyHistogram::default();
        assert_eq!(fusion.fuse(1, 50, &none, &none), Latencies::default());
        let found = fusion.fuse(1, 50, &none, &of(&[2.0]));
        assert_eq!(found.counts.iter().sum::<u64>(), 100);
        // And the next interval without one is spread as the last.
        assert_eq!(fusion.fuse(1, 7, &none, &none).counts.iter().sum::<u64>(), 7);
    }

    #[test]
    fn what_is_seen_before_it_is_counted_counts_once() {
        let mut fusion = Fusion::default();
        let sum = |found: Latencies| found.counts.iter().sum::<u64>();
        assert_eq!(sum(fusion.fuse(1, 1, &of(&[200.0, 300.0]), &of(&[1.0]))), 2);
        assert_eq!(sum(fusion.fuse(1, 3, &of(&[]), &of(&[]))), 2);
        assert_eq!(sum(fusion.fuse(1, 3, &of(&[]), &of(&[]))), 3);
    }

    #[test]
    fn statements_that_are_no_longer_called_are_forgotten() {
        let mut fusion = Fusion::default();
        fusion.fuse(1, 1, &of(&[]), &of(&[1.0]));
        (0..=FORGOTTEN_AFTER).for_each(|_| fusion.end_interval());
        assert!(fusion.shapes.is_empty());
    }
}
