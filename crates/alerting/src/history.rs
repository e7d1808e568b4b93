//! What were the values lately? Only of the metrics that conditions name, and only as far back as they look.
//!
//! All samples of a reading share its time. A series is kept as runs of readings with the same value, 16 bytes each,
//! so that what seldom changes costs nothing. What lies further back than the windows that end now is kept at fewer times.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use crate::expression::Need;
use crate::labels::Labels;

/// How many runs are kept at most, over all metrics: 16 MB.
const MOST_RUNS: usize = 1_000_000;
/// How many series at most, over all metrics.
const MOST_SERIES: usize = 50_000;
/// After how long the last reading no longer tells how things are: Prometheus' lookback.
pub(crate) const LOOKBACK_MS: i64 = 300_000;

/// Readings in a row with the same value.
#[derive(Clone, Copy, Debug)]
struct Run {
    /// The number of the first reading, and of the last.
    first: u32,
    last: u32,
    value: f64,
}

/// The values of a series.
#[derive(Debug)]
pub(crate) struct Series {
    pub labels: Labels,
    runs: VecDeque<Run>,
}

/// Readings at some times.
#[derive(Debug, Default)]
struct Tier {
    /// How far back it reaches, and how far apart readings are; 0 for all.
    reach_ms: i64,
    step_ms: i64,
    /// The number of the first reading that is kept.
    first: u32,
    times_ms: VecDeque<i64>,
    series: HashMap<Arc<str>, Series>,
}

#[derive(Debug)]
struct Metric {
    recent: Tier,
    older: Option<Tier>,
}

/// The past of some metrics.
#[derive(Debug)]
pub(crate) struct History {
    metrics: BTreeMap<String, Metric>,
    most_runs: usize,
    most_series: usize,
    /// Labels that say where samples were read.
    target: Vec<(String, String)>,
    /// Samples for which there was no room, since the beginning, and readings that were dropped before their time.
    pub left_out: u64,
    pub cut_short: u64,
}

/// A sample in a window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Sample {
    pub at_ms: i64,
    pub value: f64,
}

impl History {
    pub fn new(needs: &BTreeMap<String, Need>, target: Vec<(String, String)>) -> Self {
        let metric = |need: &Need| Metric {
            recent: Tier { reach_ms: need.recent_ms, ..Tier::default() },
            older: (need.older_ms > 0).then(|| Tier {
                reach_ms: need.older_ms + need.step_ms,
                step_ms: need.step_ms,
                ..Tier::default()
            }),
        };
        Self {
            metrics: needs.iter().map(|(name, need)| (name.clone(), metric(need))).collect(),
            most_runs: MOST_RUNS,
            most_series: MOST_SERIES,
            target,
            left_out: 0,
            cut_short: 0,
        }
    }

    /// Whether a family of an exposition holds something that is needed.
    pub fn wants(&self, family: &str) -> bool {
        self.metrics.keys().any(|name| {
            name.strip_prefix(family)
                .is_some_and(|suffix| matches!(suffix, "" | "_bucket" | "_count" | "_sum"))
        })
    }

    /// Begins a reading. Times only grow.
    pub fn begin(&mut self, at_ms: i64) {
        for metric in self.metrics.values_mut() {
            metric.recent.begin(at_ms);
            if let Some(older) = &mut metric.older {
                older.begin(at_ms);
            }
        }
        while self.runs() > self.most_runs && self.drop_oldest() {
            self.cut_short += 1;
        }
    }

    /// Adds the samples of a family to the reading.
    pub fn add(&mut self, text: &str) {
        let room = self.most_series.saturating_sub(self.series_kept());
        let mut added = 0;
        for line in text.lines() {
            let Some((series, value)) = line.rsplit_once(' ') else { continue };
            let (name, block) = match series.split_once('{') {
                Some((name, rest)) => (name, rest.strip_suffix('}').unwrap_or(rest)),
                None => (series, ""),
            };
            let Some(metric) = self.metrics.get_mut(name) else { continue };
            let Some(value) = number(value) else { continue };
            let known = metric
                .recent
                .series
                .get_key_value(block)
                .map(|(key, series)| (key.clone(), series.labels.clone()));
            let known = known.or_else(|| {
                let older = metric.older.as_ref()?.series.get_key_value(block)?;
                Some((older.0.clone(), older.1.labels.clone()))
            });
            let (key, labels) = match known {
                Some(known) => known,
                None if added >= room => {
                    self.left_out += 1;
                    continue;
                }
                None => match Labels::of_sample(block, &self.target) {
                    Some(labels) => (Arc::from(block), labels),
                    None => continue,
                },
            };
            for tier in [Some(&mut metric.recent), metric.older.as_mut()].into_iter().flatten() {
                added += usize::from(tier.add(&key, &labels, value));
            }
        }
    }

    /// The series of a metric that have samples in a window, which ends `offset_ms` before `now_ms` and is open at its
    /// beginning, each with them.
    pub fn windows<'a>(
        &'a self,
        metric: &str,
        now_ms: i64,
        offset_ms: i64,
        range_ms: i64,
    ) -> impl Iterator<Item = (&'a Labels, Vec<Sample>)> {
        let to_ms = now_ms - offset_ms;
        let tier = self.tier(metric, offset_ms);
        tier.into_iter().flat_map(move |tier| {
            let numbers = tier.numbers(to_ms - range_ms, to_ms);
            tier.series.values().filter_map(move |series| {
                let samples = tier.samples(series, numbers.clone());
                (!samples.is_empty()).then_some((&series.labels, samples))
            })
        })
    }

    /// The values of a metric at an instant, `offset_ms` before `now_ms`: those of the last reading up to then.
    pub fn instants<'a>(
        &'a self,
        metric: &str,
        now_ms: i64,
        offset_ms: i64,
    ) -> impl Iterator<Item = (&'a Labels, f64)> {
        let to_ms = now_ms - offset_ms;
        self.tier(metric, offset_ms).into_iter().flat_map(move |tier| {
            let last = tier.numbers(to_ms - LOOKBACK_MS, to_ms).last();
            tier.series.values().filter_map(move |series| {
                let last = last?;
                let run = series.runs.iter().rev().find(|run| run.first <= last)?;
                (run.last >= last).then_some((&series.labels, run.value))
            })
        })
    }

    fn tier(&self, metric: &str, offset_ms: i64) -> Option<&Tier> {
        let metric = self.metrics.get(metric)?;
        if offset_ms > 0 { metric.older.as_ref() } else { Some(&metric.recent) }
    }

    /// How many runs are kept.
    pub fn runs(&self) -> usize {
        self.tiers().map(|tier| tier.series.values().map(|s| s.runs.len()).sum::<usize>()).sum()
    }

    /// How many series are kept; one that is kept at two distances counts twice.
    pub fn series_kept(&self) -> usize {
        self.tiers().map(|tier| tier.series.len()).sum()
    }

    fn tiers(&self) -> impl Iterator<Item = &Tier> {
        self.metrics.values().flat_map(|metric| std::iter::once(&metric.recent).chain(metric.older.as_ref()))
    }

    /// Drops the oldest tenth of the readings of the fullest tier; `false` when there is none to drop.
    fn drop_oldest(&mut self) -> bool {
        let fullest = self
            .metrics
            .values_mut()
            .flat_map(|metric| std::iter::once(&mut metric.recent).chain(metric.older.as_mut()))
            .max_by_key(|tier| tier.series.values().map(|s| s.runs.len()).sum::<usize>());
        match fullest {
            Some(tier) if tier.times_ms.len() > 1 => {
                (0..tier.times_ms.len().div_ceil(10)).for_each(|_| tier.forget_first());
                tier.forget_runs();
                true
            }
            _ => false,
        }
    }

    #[cfg(test)]
    fn bounded(mut self, most_runs: usize, most_series: usize) -> Self {
        (self.most_runs, self.most_series) = (most_runs, most_series);
        self
    }
}

fn number(text: &str) -> Option<f64> {
    match text {
        "+Inf" => Some(f64::INFINITY),
        "-Inf" => Some(f64::NEG_INFINITY),
        "NaN" => Some(f64::NAN),
        text => text.parse().ok(),
    }
}

impl Tier {
    fn begin(&mut self, at_ms: i64) {
        if let Some(last) = self.times_ms.back()
            && self.step_ms > 0
            && at_ms.div_euclid(self.step_ms) == last.div_euclid(self.step_ms)
        {
            return;
        }
        self.times_ms.push_back(at_ms);
        // The last one stays, whatever its age.
        let mut forgotten = false;
        while self.times_ms.len() > 1 && self.times_ms.front().is_some_and(|t| *t <= at_ms - self.reach_ms) {
            self.forget_first();
            forgotten = true;
        }
        if forgotten {
            self.forget_runs();
        }
    }

    fn forget_first(&mut self) {
        self.times_ms.pop_front();
        self.first = self.first.wrapping_add(1);
    }

    /// Drops runs that ended before what is kept, and series without one.
    fn forget_runs(&mut self) {
        let first = self.first;
        self.series.retain(|_, series| {
            while series.runs.front().is_some_and(|run| run.last < first) {
                series.runs.pop_front();
            }
            !series.runs.is_empty()
        });
    }

    /// Adds a sample to the last reading, if it is of this tier; whether its series is new.
    fn add(&mut self, key: &Arc<str>, labels: &Labels, value: f64) -> bool {
        let now = self.last();
        let new = !self.series.contains_key(key);
        let series = self
            .series
            .entry(key.clone())
            .or_insert_with(|| Series { labels: labels.clone(), runs: VecDeque::with_capacity(1) });
        match series.runs.back_mut() {
            // Already there: a later reading within the same step, or the same series twice.
            Some(run) if run.last == now => {}
            Some(run) if run.last + 1 == now && run.value.to_bits() == value.to_bits() => run.last = now,
            _ => series.runs.push_back(Run { first: now, last: now, value }),
        }
        new
    }

    fn last(&self) -> u32 {
        (self.first + self.times_ms.len() as u32).saturating_sub(1)
    }

    /// The numbers of the readings after one time and up to another.
    fn numbers(&self, after_ms: i64, to_ms: i64) -> std::ops::Range<u32> {
        let number = |limit: i64| self.first + self.times_ms.partition_point(|t| *t <= limit) as u32;
        number(after_ms)..number(to_ms)
    }

    fn samples(&self, series: &Series, numbers: std::ops::Range<u32>) -> Vec<Sample> {
        let begin = series.runs.partition_point(|run| run.last < numbers.start);
        let mut samples = Vec::new();
        for run in series.runs.range(begin..).take_while(|run| run.first < numbers.end) {
            for at in run.first.max(numbers.start)..(run.last + 1).min(numbers.end) {
                if let Some(at_ms) = self.times_ms.get((at - self.first) as usize) {
                    samples.push(Sample { at_ms: *at_ms, value: run.value });
                }
            }
        }
        samples
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000;

    fn history(need: Need) -> History {
        History::new(&[("a".to_owned(), need)].into(), Vec::new())
    }

    fn values(history: &History, now: i64, offset: i64, range: i64) -> Vec<(i64, f64)> {
        let mut found = history.windows("a", now * MINUTE, offset * MINUTE, range * MINUTE);
        let samples = found.next().map(|(_, samples)| samples).unwrap_or_default();
        assert!(found.next().is_none());
        samples.iter().map(|s| (s.at_ms / MINUTE, s.value)).collect()
    }

    #[test]
    fn a_window_holds_what_was_read_in_it_and_what_is_older_goes() {
        let mut history = history(Need { recent_ms: 5 * MINUTE, ..Need::default() });
        for minute in 0..20 {
            history.begin(minute * MINUTE);
            history.add(&format!("a{{x=\"1\"}} {}\nother 3\n", minute / 4));
        }
        let expected = [(15, 3.0), (16, 4.0), (17, 4.0), (18, 4.0), (19, 4.0)];
        assert_eq!(values(&history, 19, 0, 5), expected);
        assert_eq!(values(&history, 19, 0, 2), expected[3..]);
        assert_eq!(history.runs(), 2);
        // Absent from a reading: no value now, but still a past.
        history.begin(20 * MINUTE);
        assert_eq!(history.instants("a", 20 * MINUTE, 0).count(), 0);
        assert_eq!(values(&history, 20, 0, 5), expected[1..]);
        history.begin(40 * MINUTE);
        assert_eq!(history.series_kept(), 0);
    }

    #[test]
    fn the_further_past_has_fewer_readings() {
        let need = Need { recent_ms: 5 * MINUTE, older_ms: 60 * MINUTE, step_ms: 10 * MINUTE };
        let mut history = history(need);
        for minute in 0..200 {
            history.begin(minute * MINUTE);
            history.add(&format!("a {minute}\n"));
        }
        assert_eq!(values(&history, 199, 30, 30), [(140, 140.0), (150, 150.0), (160, 160.0)]);
        assert_eq!(values(&history, 199, 0, 2), [(198, 198.0), (199, 199.0)]);
        assert_eq!(history.runs(), 5 + 7);
    }

    #[test]
    fn there_is_room_for_so_much_and_it_says_what_had_none() {
        let need = Need { recent_ms: 100 * MINUTE, ..Need::default() };
        let mut history = history(need).bounded(50, 3);
        for minute in 0..100 {
            history.begin(minute * MINUTE);
            let text: String = (0..5).map(|x| format!("a{{x=\"{x}\"}} {minute}\n")).collect();
            history.add(&text);
        }
        assert_eq!((history.series_kept(), history.left_out), (3, 200));
        assert!(history.runs() <= 53 && history.cut_short > 0);
        assert_eq!(history.instants("a", 99 * MINUTE, 0).count(), 3);
    }
}
