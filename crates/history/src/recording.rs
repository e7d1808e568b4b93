//! How do readings of a server become intervals that lose nothing and count nothing twice? An interval is what was added
//! between two readings of the statements' counters; figures that are read more often are summed up until then.
//!
//! A new process goes on from where the counters stood at the end of the last interval that is kept. When the store
//! says so only after the first readings, what happened in between becomes an interval of its own.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use postgres::statistics::StatementCountersRow;
use postgres::statistics::differences::{
    BLOCKS_HIT, BLOCKS_READ, CALLS, Differences, EXEC_SECONDS, EntryKey, ROWS, TEMP_READ, TEMP_WRITTEN,
    WAL_BYTES,
};
use postgres::tokio_postgres::SimpleQueryRow;
use sampling::{Observed, UserStatement};

use crate::interval::{
    Interval, PlanSeen, Resume, SeriesName, SetBack, StatementDelta, StatementName, Value,
};
use crate::latency::{Latency, Origin};
use crate::reading::Figures;
use crate::series::{ACTIVE_SESSIONS, Kind, SERIES, SeriesDefinition, WAITS};

/// What was read of a server.
#[derive(Debug)]
pub enum Reading {
    /// The counters of statements, and what sessions were seen to do.
    Statements(Box<StatementsReading>),
    /// The rows of a collector of [`postgres::METRIC_QUERIES`].
    Metrics {
        /// Its name.
        collector: &'static str,
        /// When they were read.
        at: DateTime<Utc>,
        /// The rows.
        rows: Vec<SimpleQueryRow>,
    },
    /// Plans of statements.
    Plans(Vec<PlanSeen>),
}

/// The counters of statements, and what sessions were seen to do since the last reading.
#[derive(Clone, Debug)]
pub struct StatementsReading {
    /// When they were read, by a clock that may be set.
    pub at: DateTime<Utc>,
    /// The same by one that may not.
    pub instant: Instant,
    /// The counters; nothing where they could not be read, which is not the same as none.
    pub rows: Option<Vec<StatementCountersRow>>,
    /// When all of them began, in microseconds since 1970, where the server says so.
    pub reset_us: Option<i64>,
    /// The names of roles.
    pub roles: Arc<HashMap<u32, String>>,
    /// Statements of pgwright itself, which are left out.
    pub own: HashSet<i64>,
    /// Texts of statements that are new.
    pub texts: HashMap<i64, String>,
    /// The names of databases.
    pub databases: Arc<HashMap<u32, String>>,
    /// What was seen of whom.
    pub observed: HashMap<UserStatement, Observed>,
    /// How often they are looked at, in seconds between looks.
    pub look_seconds: f64,
    /// Looks at sessions since the process began.
    pub looks: u64,
    /// Samples of active sessions by what they waited for, since the process began.
    pub waits: BTreeMap<(String, String), u64>,
}

/// How long intervals are, and how much of one is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The usual length of an interval.
    pub interval: Duration,
    /// How many statements, those with most time; the others are summed by database.
    pub statements: usize,
    /// How many pairs of a statement and what it waited for, those that did most.
    pub waits: usize,
    /// How many characters of a text.
    pub text_chars: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { interval: Duration::from_secs(30), statements: 1000, waits: 500, text_chars: 20_000 }
    }
}

/// An interval that is so many times longer than usual bridges a time in which nobody watched.
const BRIDGES_FROM: i32 = 3;
/// A clock that goes so much faster or slower than the other between two readings was set.
const SET_FROM: TimeDelta = TimeDelta::seconds(2);
/// After how long a plan is kept again that has not changed.
const PLAN_TOLD_AGAIN: TimeDelta = TimeDelta::days(1);

#[derive(Clone, Copy, Debug, Default)]
struct Gauge {
    sum: f64,
    readings: f64,
    high: f64,
}

#[derive(Clone, Copy, Debug)]
struct Counter {
    value: f64,
    at: DateTime<Utc>,
}

/// Makes intervals out of readings.
#[derive(Debug)]
pub struct Recorder {
    limits: Limits,
    differences: Differences,
    /// The end of the last interval, by both clocks; the second is nothing for one of another process.
    last: Option<(DateTime<Utc>, Option<Instant>)>,
    /// Since when the clock has been ahead, as it tells it, and how far, when it was set forward while this process watched.
    ahead: Option<(DateTime<Utc>, TimeDelta)>,
    /// The first reading, as long as the store has not said where an earlier process left off.
    first: Option<Box<StatementsReading>>,
    resumed: bool,
    reset_us: Option<i64>,
    /// Names of entries whose counters are, or are about to be, kept.
    names: HashMap<EntryKey, StatementName>,
    texts_known: HashSet<i64>,
    looks: u64,
    waits: BTreeMap<(String, String), u64>,
    plans: Vec<PlanSeen>,
    /// The plan of each statement that was given to be kept last, and when.
    plans_given: HashMap<(Arc<str>, i64), (String, DateTime<Utc>)>,
    gauges: HashMap<SeriesName, Gauge>,
    counters: HashMap<SeriesName, Counter>,
    /// Counters as they were when the last interval ended.
    counters_before: HashMap<SeriesName, Counter>,
    /// Counters as they were first, as long as it is not known where an earlier process left off.
    counters_first: HashMap<SeriesName, Counter>,
}

impl Recorder {
    /// Nothing was read yet.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            differences: Differences::default(),
            last: None,
            ahead: None,
            first: None,
            resumed: false,
            reset_us: None,
            names: HashMap::new(),
            texts_known: HashSet::new(),
            looks: 0,
            waits: BTreeMap::new(),
            plans: Vec::new(),
            plans_given: HashMap::new(),
            gauges: HashMap::new(),
            counters: HashMap::new(),
            counters_before: HashMap::new(),
            counters_first: HashMap::new(),
        }
    }

    /// Goes on from where an earlier process left off. When there were readings already, what happened between is an
    /// interval, which comes before all others. Only the first call counts.
    pub fn resume(&mut self, resume: Resume) -> Option<Interval> {
        if std::mem::replace(&mut self.resumed, true) {
            return None;
        }
        let series = resume.series_counters.into_iter().filter_map(|((name, label), (value, at))| {
            let definition = SERIES.iter().find(|s| s.name == name)?;
            Some(((definition.name, Arc::from(label)), Counter { value, at }))
        });
        let series: HashMap<SeriesName, Counter> = series.collect();
        let counters_first = std::mem::take(&mut self.counters_first);
        for (name, counter) in &series {
            self.counters_before.entry(name.clone()).or_insert(*counter);
        }
        self.texts_known.extend(resume.texts);
        let first = self.first.take();
        let until = resume.until?;
        let mut names = HashMap::new();
        let mut counted = HashMap::new();
        for (key, (name, counters)) in resume.counters {
            names.insert(key, name);
            counted.insert(key, counters);
        }
        let earlier = Differences::resumed(counted, resume.reset_us);
        match first {
            None => {
                (self.differences, self.names, self.reset_us) = (earlier, names, resume.reset_us);
                self.last = Some((until, None));
                None
            }
            Some(first) => {
                // As another recorder would have done it that knew from the beginning.
                let mut before = Self::new(self.limits);
                (before.differences, before.names, before.reset_us) = (earlier, names, resume.reset_us);
                before.last = Some((until, None));
                (before.counters_before, before.counters) = (series, counters_first);
                before.statements(&first, HashMap::new())
            }
        }
    }

    /// Takes a reading, which may end an interval.
    pub fn take(&mut self, reading: Reading) -> Option<Interval> {
        match reading {
            Reading::Metrics { collector, at, rows } => {
                for definition in SERIES.iter().filter(|s| s.collector == Some(collector)) {
                    self.metric(definition, at, &rows);
                }
                None
            }
            Reading::Plans(plans) => {
                plans.into_iter().for_each(|plan| self.plan(plan));
                None
            }
            Reading::Statements(mut reading) => {
                let texts = std::mem::take(&mut reading.texts);
                let interval = self.statements(&reading, texts);
                if self.first.is_none() && !self.resumed {
                    // What was seen is in the interval that it ended.
                    let mut first = reading;
                    (first.observed, first.looks, first.waits) = (HashMap::new(), 0, BTreeMap::new());
                    self.first = Some(first);
                }
                interval
            }
        }
    }

    /// A plan is kept when it is another than before, and once a day to say that it still is the plan.
    fn plan(&mut self, plan: PlanSeen) {
        let statement = (plan.datname.clone(), plan.queryid);
        let given = self.plans_given.get(&statement);
        if given.is_none_or(|(hash, at)| *hash != plan.shape_hash || plan.at - *at >= PLAN_TOLD_AGAIN) {
            self.plans_given.insert(statement, (plan.shape_hash.clone(), plan.at));
            self.plans.push(PlanSeen { at: micros(plan.at), ..plan });
        }
    }

    fn metric(&mut self, definition: &'static SeriesDefinition, at: DateTime<Utc>, rows: &[SimpleQueryRow]) {
        let mut by_label: BTreeMap<&str, f64> = BTreeMap::new();
        for row in rows {
            let value = row.try_get(definition.column).ok().flatten().and_then(|v| v.parse::<f64>().ok());
            let label = match definition.label {
                Some(column) => row.try_get(column).ok().flatten().unwrap_or(""),
                None => "",
            };
            if let Some(value) = value.filter(|v| v.is_finite()) {
                *by_label.entry(label).or_default() += value;
            }
        }
        for (label, value) in by_label {
            let name = (definition.name, Arc::from(label));
            match definition.kind {
                Kind::Gauge => {
                    let gauge = self.gauges.entry(name).or_default();
                    gauge.high = if gauge.readings == 0.0 { value } else { gauge.high.max(value) };
                    gauge.sum += value;
                    gauge.readings += 1.0;
                }
                Kind::Counter => {
                    let counter = Counter { value, at };
                    if !self.resumed {
                        self.counters_first.entry(name.clone()).or_insert(counter);
                    }
                    self.counters.insert(name, counter);
                }
            }
        }
    }

    /// Ends an interval. The first reading of all ends one of no length, which keeps where the counters stand.
    fn statements(&mut self, reading: &StatementsReading, texts: HashMap<i64, String>) -> Option<Interval> {
        let to = micros(reading.at);
        // The first of all is as short as one can be told from the next.
        let shortest = TimeDelta::milliseconds(1);
        let (last, began) = self.last.unwrap_or((to - shortest, Some(reading.instant)));
        let passed = began.map(|began| reading.instant.saturating_duration_since(began));
        let passed = passed.and_then(|passed| TimeDelta::from_std(passed).ok());
        let is_back = to <= last && self.last.is_some();
        // As long as it was by the clock that is not set; where another process began it, that cannot be known.
        let from = if is_back { to - passed.unwrap_or(shortest).max(shortest) } else { last };
        let from = micros(from);
        let set_back = is_back.then(|| self.set_back(last, from));
        let seconds = passed.unwrap_or(to - from).num_microseconds().map_or(0.0, |us| us as f64 / 1e6);
        let usual = TimeDelta::from_std(self.limits.interval).unwrap_or(TimeDelta::zero());
        let at = if to - from > usual * BRIDGES_FROM { to - usual } else { from };
        let forward = passed.map_or(TimeDelta::zero(), |passed| to - from - passed);
        let set_forward = if forward > SET_FROM { forward } else { TimeDelta::zero() };
        if forward.abs() > SET_FROM {
            self.clock_was_set(forward, to);
        }
        if !set_forward.is_zero() {
            self.ahead = Some((if at > from { at } else { to }, set_forward));
        }
        let mut interval = Interval {
            from,
            to,
            at,
            set_back,
            set_forward,
            seconds,
            intervals: 1,
            resets: 0,
            statements: HashMap::new(),
            waits: HashMap::new(),
            values: HashMap::new(),
            counters: HashMap::new(),
            gone: HashSet::new(),
            reset_us: reading.reset_us,
            series_counters: HashMap::new(),
            texts: HashMap::new(),
            plans: std::mem::take(&mut self.plans),
        };
        self.count(reading, &mut interval);
        self.see(reading, &mut interval);
        self.values(&mut interval);
        self.learn(texts, &reading.own, &mut interval);
        self.last = Some((to, Some(reading.instant)));
        Some(interval)
    }

    /// What is to be moved when the clock, which was at `last`, is at `from` at the same time.
    fn set_back(&mut self, last: DateTime<Utc>, from: DateTime<Utc>) -> SetBack {
        let by = last - from;
        self.clock_was_set(-by, from);
        // Set forward and back again: what was kept in between is older than it says, all of it.
        let ahead = self.ahead.take().filter(|(_, ahead)| (*ahead - by).abs() < SET_FROM);
        SetBack { since: ahead.map_or(from, |(since, _)| since), by }
    }

    /// Times that were taken before the clock was set become what it would have told then.
    fn clock_was_set(&mut self, forward: TimeDelta, now: DateTime<Utc>) {
        // Of those that were taken since the last reading some may be later than that.
        let set = |at: &mut DateTime<Utc>| {
            if (*at + forward - now).abs() < (*at - now).abs() {
                *at += forward;
            }
        };
        self.counters.values_mut().for_each(|counter| set(&mut counter.at));
        self.plans.iter_mut().for_each(|plan| set(&mut plan.at));
        self.counters_before.values_mut().for_each(|counter| counter.at += forward);
        self.plans_given.values_mut().for_each(|(_, at)| set(at));
    }

    /// What statements have added to their counters.
    fn count(&mut self, reading: &StatementsReading, interval: &mut Interval) {
        let Some(rows) = &reading.rows else {
            interval.reset_us = self.reset_us;
            return;
        };
        if reading.reset_us != self.reset_us && self.reset_us.is_some() {
            interval.resets = 1;
        }
        self.reset_us = reading.reset_us;
        let before = self.differences.readings();
        let changed: Vec<bool> =
            rows.iter().map(|row| before.get(&row.key()) != Some(&row.counted())).collect();
        let differences = self.differences.take(rows, reading.reset_us);
        let mut interned: HashMap<&str, Arc<str>> = HashMap::new();
        let mut present = HashSet::with_capacity(rows.len());
        let rows = rows.iter().zip(changed).filter(|(row, _)| !reading.own.contains(&row.queryid));
        for (row, changed) in rows {
            let key = row.key();
            present.insert(key);
            let intern = |text: &str| match interned.get(text) {
                Some(known) => known.clone(),
                None => Arc::from(text),
            };
            let known = self.names.get(&key);
            let name = match known {
                Some(name) => name.clone(),
                None => StatementName {
                    datname: intern(&row.datname),
                    rolname: intern(reading.roles.get(&row.userid).map_or("", String::as_str)),
                    queryid: row.queryid,
                    toplevel: row.toplevel,
                },
            };
            if known.is_none() || changed {
                interval.counters.insert(name.clone(), (key, row.counted()));
            }
            if known.is_none() {
                interned.entry(row.datname.as_str()).or_insert_with(|| name.datname.clone());
                self.names.insert(key, name);
            }
        }
        let gone: Vec<EntryKey> = self.names.keys().filter(|key| !present.contains(*key)).copied().collect();
        for name in gone.iter().filter_map(|key| self.names.remove(key)) {
            // Another entry may have taken its name, as after a database was made again.
            if !interval.counters.contains_key(&name) {
                interval.gone.insert(name);
            }
        }
        for (key, added) in differences {
            let Some(name) = self.names.get(&key) else { continue };
            let figures = Figures {
                calls: added[CALLS],
                rows: added[ROWS],
                exec_ms: added[EXEC_SECONDS] * 1000.0,
                blocks_hit: added[BLOCKS_HIT],
                blocks_read: added[BLOCKS_READ],
                temp_blocks: added[TEMP_READ] + added[TEMP_WRITTEN],
                wal_bytes: added[WAL_BYTES],
            };
            interval.statements.entry(name.clone()).or_default().figures.add(&figures);
        }
    }

    /// What sessions were seen to do.
    fn see(&mut self, reading: &StatementsReading, interval: &mut Interval) {
        let looks = reading.looks.saturating_sub(std::mem::replace(&mut self.looks, reading.looks));
        let waits_before = std::mem::replace(&mut self.waits, reading.waits.clone());
        // Looks that were missed were like those that were not; but none stand for a time in which nobody looked.
        let seconds = interval.seconds.min(looks as f64 * reading.look_seconds * f64::from(BRIDGES_FROM));
        let each = if looks > 0 { seconds / looks as f64 } else { 0.0 };
        if looks > 0 {
            let mut all = 0.0;
            let value = |added: f64| Value { total: added * each, seconds, high: added / looks as f64 };
            for ((kind, event), samples) in &reading.waits {
                let before = waits_before.get(&(kind.clone(), event.clone())).copied().unwrap_or(0);
                let added = samples.saturating_sub(before) as f64;
                if added > 0.0 {
                    all += added;
                    interval.values.insert((WAITS, Arc::from(event_name(kind, event))), value(added));
                }
            }
            interval.values.insert((ACTIVE_SESSIONS, Arc::from("")), value(all));
        }
        let mut active_ms: HashMap<StatementName, f64> = HashMap::new();
        let callers = callers(&self.names, &interval.statements);
        for (of, observed) in reading.observed.iter().filter(|(of, _)| !reading.own.contains(&of.query_id)) {
            let counted = EntryKey { userid: of.userid, dbid: of.dbid, queryid: of.query_id, toplevel: true };
            let name = self.names.get(&counted).or_else(|| callers.get(&(of.dbid, of.query_id)).map(|c| c.1));
            let name = name.cloned().unwrap_or_else(|| StatementName {
                datname: Arc::from(reading.databases.get(&of.dbid).map_or("", String::as_str)),
                rolname: Arc::from(reading.roles.get(&of.userid).map_or("", String::as_str)),
                queryid: of.query_id,
                toplevel: true,
            });
            for (event, samples) in &observed.waits {
                let seen = interval.waits.entry((name.clone(), Arc::from(event.as_str()))).or_default();
                seen.samples += samples;
                seen.active_seconds += *samples as f64 * each;
            }
            *active_ms.entry(name.clone()).or_default() += observed.active as f64 * each * 1000.0;
            let latency =
                Latency { origin: Origin::Sampler, tail: observed.tail.clone(), body: observed.body.clone() };
            if !latency.is_empty() {
                interval.statements.entry(name).or_default().latency.merge(&latency);
            }
        }
        cut_statements(&mut interval.statements, &active_ms, self.limits.statements);
        cut_waits(interval, self.limits.waits);
    }

    /// Figures of the server since the last interval.
    fn values(&mut self, interval: &mut Interval) {
        for (name, gauge) in self.gauges.drain() {
            let mean = gauge.sum / gauge.readings;
            let value = Value { total: mean * interval.seconds, seconds: interval.seconds, high: gauge.high };
            interval.values.insert(name, value);
        }
        for (name, counter) in &self.counters {
            let Some(before) = self.counters_before.get(name) else { continue };
            let seconds = (counter.at - before.at).num_microseconds().map_or(0.0, |us| us as f64 / 1e6);
            if seconds <= 0.0 {
                continue;
            }
            let grown = if counter.value < before.value {
                interval.resets = 1;
                counter.value
            } else {
                counter.value - before.value
            };
            let value = Value { total: grown, seconds, high: grown / seconds };
            interval.values.insert(name.clone(), value);
        }
        for (name, counter) in std::mem::take(&mut self.counters) {
            interval.series_counters.insert(name.clone(), (counter.value, micros(counter.at)));
            self.counters_before.insert(name, counter);
        }
    }

    fn learn(&mut self, texts: HashMap<i64, String>, own: &HashSet<i64>, interval: &mut Interval) {
        for (queryid, mut text) in texts {
            if own.contains(&queryid) || !self.texts_known.insert(queryid) {
                continue;
            }
            if let Some((at, _)) = text.char_indices().nth(self.limits.text_chars) {
                text.truncate(at);
                text.push('…');
            }
            // A text in PostgreSQL cannot hold it, whatever the other server's encoding was.
            text.retain(|c| c != '\0');
            interval.texts.insert(queryid, text);
        }
    }
}

/// As precisely as PostgreSQL keeps it.
fn micros(at: DateTime<Utc>) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(at.timestamp_micros()).unwrap_or(at)
}

fn event_name(kind: &str, event: &str) -> String {
    if kind == event { event.to_owned() } else { format!("{kind}: {event}") }
}

/// Who called each statement of a database most often: to them executions are put down of sessions whose own role has no
/// counters of it, as after `SET ROLE`.
fn callers<'a>(
    names: &'a HashMap<EntryKey, StatementName>,
    statements: &HashMap<StatementName, StatementDelta>,
) -> HashMap<(u32, i64), (f64, &'a StatementName)> {
    let mut found: HashMap<(u32, i64), (f64, &StatementName)> = HashMap::new();
    for (key, name) in names.iter().filter(|(key, _)| key.toplevel) {
        let calls = statements.get(name).map_or(0.0, |delta| delta.figures.calls);
        let best = found.entry((key.dbid, key.queryid)).or_insert((calls, name));
        if (calls, name) > *best {
            *best = (calls, name);
        }
    }
    found
}

/// Keeps those that took most time, or were active longest, and sums the others by database.
fn cut_statements(
    statements: &mut HashMap<StatementName, StatementDelta>,
    active_ms: &HashMap<StatementName, f64>,
    kept: usize,
) {
    if statements.len() <= kept {
        return;
    }
    let mut order: Vec<(f64, StatementName)> = statements
        .iter()
        .map(|(name, delta)| {
            let active = active_ms.get(name).copied().unwrap_or(0.0);
            (delta.figures.exec_ms.max(active), name.clone())
        })
        .collect();
    order.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    for (_, name) in order.into_iter().skip(kept) {
        let Some(delta) = statements.remove(&name) else { continue };
        let other = StatementName { rolname: Arc::from(""), queryid: 0, toplevel: true, ..name };
        let sum = statements.entry(other).or_default();
        sum.figures.add(&delta.figures);
        sum.latency.merge(&delta.latency);
    }
}

fn cut_waits(interval: &mut Interval, kept: usize) {
    if interval.waits.len() <= kept {
        return;
    }
    let mut order: Vec<_> = interval.waits.iter().map(|(name, seen)| (seen.samples, name.clone())).collect();
    order.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    for (_, name) in order.into_iter().skip(kept) {
        let Some(seen) = interval.waits.remove(&name) else { continue };
        let other = StatementName { rolname: Arc::from(""), queryid: 0, toplevel: true, ..name.0 };
        let sum = interval.waits.entry((other, name.1)).or_default();
        sum.samples += seen.samples;
        sum.active_seconds += seen.active_seconds;
    }
}

#[cfg(test)]
#[path = "recording_tests.rs"]
mod tests;
