//! How do samples and counts become the buckets of a histogram that only grows? Executions as long as the interval of
//! sampling were all seen and count once; the others are as many as the server counted beyond those, spread as the seen
//! short ones are. `crates/sampling/README.md` has the reasoning.

use std::collections::BTreeMap;

use model::LatencyHistogram;
use sampling::UserStatement;

/// The upper ends of the classic buckets, in seconds; one more has no end.
pub(crate) const BOUNDS: [f64; 18] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
    30.0, 60.0,
];
const BUCKETS: usize = BOUNDS.len() + 1;

/// Counts by classic bucket, not cumulated.
pub(crate) type Counts = [u64; BUCKETS];

/// A bucket of [`LatencyHistogram`] by its number; nothing is the one of what took no time, which comes first.
type Fine = Option<i16>;

/// A histogram that only grows.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Latencies {
    /// Counts by fine bucket, not cumulated.
    pub counts: BTreeMap<Fine, u64>,
    pub sum_seconds: f64,
}

impl Latencies {
    pub fn add(&mut self, other: &Self) {
        for (bucket, count) in &other.counts {
            *self.counts.entry(*bucket).or_default() += count;
        }
        self.sum_seconds += other.sum_seconds;
    }

    /// The same in classic buckets.
    pub fn classic(&self) -> Counts {
        let mut counts = [0; BUCKETS];
        for (bucket, count) in &self.counts {
            // The fine buckets are much finer; the middle of one tells where most of it belongs.
            let middle = bucket.map_or(0.0, |number| {
                ((f64::from(number) - 0.5) / f64::from(1 << LatencyHistogram::SCHEMA)).exp2()
            });
            counts[BOUNDS.partition_point(|bound| *bound < middle)] += count;
        }
        counts
    }
}

/// How short executions were spread lately.
#[derive(Clone, Debug, Default)]
struct Spread {
    weights: BTreeMap<Fine, f64>,
    samples: f64,
    sum_seconds: f64,
}

impl Spread {
    fn learn(&mut self, body: &LatencyHistogram) {
        if body.samples() == 0 {
            return;
        }
        self.weights.values_mut().for_each(|w| *w *= OLDER);
        self.samples *= OLDER;
        self.sum_seconds *= OLDER;
        for (bucket, count) in buckets(body) {
            *self.weights.entry(bucket).or_default() += count as f64;
        }
        self.samples += body.samples() as f64;
        self.sum_seconds += body.sum().0 / 1000.0;
        // What is older than a few intervals weighs nothing, and would be remembered for ever.
        let least = self.samples * 1e-4;
        self.weights.retain(|_, weight| *weight > least);
    }
}

/// What is remembered of a statement of one user.
#[derive(Clone, Debug, Default)]
struct Known {
    spread: Spread,
    /// Parts of executions that each bucket is still to get, or got too many of: so that what is seldom is rounded away
    /// in one interval and comes back in another.
    owed: BTreeMap<Fine, f64>,
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
    of_users: BTreeMap<UserStatement, Known>,
    /// The same of all users of a statement, by its database and identifier, for who was not seen at it.
    of_all: BTreeMap<(u32, i64), (Spread, u32)>,
}

impl Fusion {
    /// The executions of a statement by a user in an interval, as far as samples say how long they took.
    pub fn fuse(
        &mut self,
        of: UserStatement,
        calls: u64,
        tail: &LatencyHistogram,
        body: &LatencyHistogram,
    ) -> Latencies {
        let (of_all, idle_rounds) = self.of_all.entry((of.dbid, of.query_id)).or_default();
        of_all.learn(body);
        *idle_rounds = 0;
        let known = self.of_users.entry(of).or_default();
        known.spread.learn(body);
        known.idle_rounds = 0;
        let mut found = Latencies { counts: buckets(tail).collect(), sum_seconds: tail.sum().0 / 1000.0 };
        let calls = calls - std::mem::take(&mut known.ahead).min(calls);
        known.ahead = tail.samples().saturating_sub(calls);
        let short = calls.saturating_sub(tail.samples()) + std::mem::take(&mut known.pending);
        let spread = if known.spread.samples > 0.0 { &known.spread } else { &*of_all };
        if spread.samples <= 0.0 {
            known.pending = short;
            return found;
        }
        let weights: f64 = spread.weights.values().sum();
        for (bucket, weight) in &spread.weights {
            *known.owed.entry(*bucket).or_default() += weight / weights * short as f64;
        }
        // Rounding what is cumulated keeps the sum exact.
        let (mut so_far, mut given) = (0.0, 0);
        let last = known.owed.len().saturating_sub(1);
        for (at, (bucket, owed)) in known.owed.iter_mut().enumerate() {
            so_far += *owed;
            let upto = if at == last { short } else { (so_far.round().max(0.0) as u64).clamp(given, short) };
            if upto > given {
                *found.counts.entry(*bucket).or_default() += upto - given;
                *owed -= (upto - given) as f64;
            }
            given = upto;
        }
        known.owed.retain(|bucket, owed| owed.abs() > 1e-6 || spread.weights.contains_key(bucket));
        found.sum_seconds += spread.sum_seconds / spread.samples * short as f64;
        found
    }

    /// Ends an interval: forgets statements that were not called for long.
    pub fn end_interval(&mut self) {
        self.of_users.retain(|_, known| {
            known.idle_rounds += 1;
            if known.idle_rounds > 2 {
                // What is not counted by now failed, and never will be.
                known.ahead = 0;
            }
            known.idle_rounds <= FORGOTTEN_AFTER
        });
        self.of_all.retain(|_, (_, idle_rounds)| {
            *idle_rounds += 1;
            *idle_rounds <= FORGOTTEN_AFTER
        });
    }
}

fn buckets(histogram: &LatencyHistogram) -> impl Iterator<Item = (Fine, u64)> + '_ {
    let zeros = (histogram.zeros() > 0).then(|| (None, histogram.zeros()));
    zeros.into_iter().chain(histogram.numbered_buckets().map(|(number, count)| (Some(number), count)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values_ms: &[f64]) -> LatencyHistogram {
        let mut histogram = LatencyHistogram::default();
        values_ms.iter().for_each(|v| histogram.record(*v));
        histogram
    }

    const ONE: UserStatement = UserStatement { dbid: 5, userid: 10, query_id: 1 };

    fn sum(found: &Latencies) -> u64 {
        found.counts.values().sum()
    }

    #[test]
    fn short_executions_are_spread_as_the_seen_ones_and_long_ones_count_once() {
        let mut fusion = Fusion::default();
        let found = fusion.fuse(ONE, 1002, &of(&[200.0, 3000.0]), &of(&[0.2, 0.2, 0.2, 20.0]));
        let classic = found.classic();
        assert_eq!((sum(&found), classic.iter().sum::<u64>()), (1002, 1002));
        let at = |seconds: f64| classic[BOUNDS.iter().position(|b| *b == seconds).unwrap()];
        assert_eq!((at(0.00025), at(0.025), at(0.25), at(5.0)), (750, 250, 1, 1));
        let expected = 0.2 + 3.0 + 1000.0 * (0.0002 * 3.0 + 0.02) / 4.0;
        assert!((found.sum_seconds - expected).abs() < 1e-6, "{found:?}");
    }

    #[test]
    fn calls_without_a_sample_wait_for_one() {
        let mut fusion = Fusion::default();
        let none = LatencyHistogram::default();
        assert_eq!(fusion.fuse(ONE, 50, &none, &none), Latencies::default());
        let found = fusion.fuse(ONE, 50, &none, &of(&[2.0]));
        assert_eq!(sum(&found), 100);
        // And the next interval without one is spread as the last.
        assert_eq!(sum(&fusion.fuse(ONE, 7, &none, &none)), 7);
        // Another user's are spread as those that were seen, as long as he was not seen himself.
        let other = UserStatement { userid: 11, ..ONE };
        assert_eq!(sum(&fusion.fuse(other, 3, &none, &none)), 3);
    }

    #[test]
    fn what_is_seldom_is_not_rounded_away_for_ever() {
        let mut fusion = Fusion::default();
        let seen: Vec<f64> = (0..20).map(|n| if n == 0 { 50.0 } else { 1.0 }).collect();
        let mut all = Latencies::default();
        for round in 0..100 {
            let body = if round == 0 { of(&seen) } else { LatencyHistogram::default() };
            all.add(&fusion.fuse(ONE, 3, &LatencyHistogram::default(), &body));
        }
        let classic = all.classic();
        assert_eq!(sum(&all), 300);
        assert_eq!(classic[BOUNDS.iter().position(|b| *b == 0.05).unwrap()], 15, "{classic:?}");
    }

    #[test]
    fn what_is_seen_before_it_is_counted_counts_once() {
        let mut fusion = Fusion::default();
        assert_eq!(sum(&fusion.fuse(ONE, 1, &of(&[200.0, 300.0]), &of(&[1.0]))), 2);
        assert_eq!(sum(&fusion.fuse(ONE, 3, &of(&[]), &of(&[]))), 2);
        assert_eq!(sum(&fusion.fuse(ONE, 3, &of(&[]), &of(&[]))), 3);
    }

    #[test]
    fn statements_that_are_no_longer_called_are_forgotten() {
        let mut fusion = Fusion::default();
        fusion.fuse(ONE, 1, &of(&[]), &of(&[1.0]));
        (0..=FORGOTTEN_AFTER).for_each(|_| fusion.end_interval());
        assert!(fusion.of_users.is_empty() && fusion.of_all.is_empty());
    }
}
