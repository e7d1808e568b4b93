//! What is kept of an interval: what was added to each counter, what sessions were seen to do, and where the counters
//! stood at its end, from which the next interval is measured. All of it is kept in one transaction, or none.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use postgres::statistics::differences::{Counted, EntryKey};

use crate::latency::Latency;
use crate::reading::Figures;

/// A statement of a database and a user, by names, which outlive a dump and a restore.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StatementName {
    /// The database.
    pub datname: Arc<str>,
    /// The user; empty where it is not known, as for executions that were seen and never counted.
    pub rolname: Arc<str>,
    /// The identifier that the server computes; 0 for what those did that were too small to be kept on their own.
    pub queryid: i64,
    /// Whether it was called by a client and not by a function.
    pub toplevel: bool,
}

/// What a statement did in an interval.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StatementDelta {
    /// What was counted.
    pub figures: Figures,
    /// The executions that were seen.
    pub latency: Latency,
}

/// How often sessions were seen at something.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Seen {
    /// In how many samples.
    pub samples: u64,
    /// Session time that those stand for.
    pub active_seconds: f64,
}

/// A figure of the server in an interval.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Value {
    /// The growth of a counter, or the integral of a gauge over time.
    pub total: f64,
    /// Seconds that it stands for.
    pub seconds: f64,
    /// The highest rate, or the highest value.
    pub high: f64,
}

/// A figure's name, and what it is of.
pub type SeriesName = (&'static str, Arc<str>);

/// A statement and what it waited for.
pub type WaitName = (StatementName, Arc<str>);

/// A plan that a statement was seen to have.
#[derive(Clone, Debug, PartialEq)]
pub struct PlanSeen {
    /// When.
    pub at: DateTime<Utc>,
    /// The database.
    pub datname: Arc<str>,
    /// The statement.
    pub queryid: i64,
    /// Of what the plan does, without estimates.
    pub shape_hash: String,
    /// What the planner expects it to cost, in its own units.
    pub cost: f64,
    /// What `EXPLAIN (FORMAT JSON)` says.
    pub plan: serde_json::Value,
}

/// What a clock that was set back makes of what is kept: what was kept by the clock as it was before lies in the future
/// now, or may be there twice once that time comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetBack {
    /// What began then or later, by the clock as it was, ...
    pub since: DateTime<Utc>,
    /// ... began so much earlier.
    pub by: TimeDelta,
}

/// What is kept of an interval.
#[derive(Clone, Debug, PartialEq)]
pub struct Interval {
    /// When it began: the end of the one before.
    pub from: DateTime<Utc>,
    /// When it ended.
    pub to: DateTime<Utc>,
    /// The instant by which it is found: its beginning, or for one that bridges a time in which nobody watched, the
    /// beginning of the last interval of usual length in it.
    pub at: DateTime<Utc>,
    /// Before this interval the clock was set back: what is kept is moved first.
    pub set_back: Option<SetBack>,
    /// How far the clock was set forward in it.
    pub set_forward: TimeDelta,
    /// Its length in seconds, by a clock that is not set.
    pub seconds: f64,
    /// Out of how many it was put together, for want of room.
    pub intervals: u32,
    /// How often counters began again in it.
    pub resets: u32,
    /// What statements did.
    pub statements: HashMap<StatementName, StatementDelta>,
    /// What they waited for.
    pub waits: HashMap<WaitName, Seen>,
    /// Figures of the server.
    pub values: HashMap<SeriesName, Value>,
    /// Counters of statements that changed, as they stood at the end.
    pub counters: HashMap<StatementName, (EntryKey, Counted)>,
    /// Entries that are no more.
    pub gone: HashSet<StatementName>,
    /// When all counters of statements began, as the server says.
    pub reset_us: Option<i64>,
    /// Counters of the server that changed, as they stood when they were last read.
    pub series_counters: HashMap<SeriesName, (f64, DateTime<Utc>)>,
    /// Texts of statements that are new.
    pub texts: HashMap<i64, String>,
    /// Plans that are other than before, or were not kept lately, in order.
    pub plans: Vec<PlanSeen>,
}

impl Interval {
    /// Adds the interval that follows, when there is no room for both: less fine, and nothing lost. One before which the
    /// clock was set back follows on nothing.
    pub fn append(&mut self, next: Self) {
        self.to = next.to;
        self.set_forward += next.set_forward;
        self.seconds += next.seconds;
        self.intervals += next.intervals;
        self.resets += next.resets;
        for (name, delta) in next.statements {
            let here = self.statements.entry(name).or_default();
            here.figures.add(&delta.figures);
            here.latency.merge(&delta.latency);
        }
        for (name, seen) in next.waits {
            let here = self.waits.entry(name).or_default();
            here.samples += seen.samples;
            here.active_seconds += seen.active_seconds;
        }
        for (name, value) in next.values {
            let here = self.values.entry(name).or_default();
            here.total += value.total;
            here.seconds += value.seconds;
            here.high = here.high.max(value.high);
        }
        for name in &next.gone {
            self.counters.remove(name);
        }
        for name in next.counters.keys() {
            self.gone.remove(name);
        }
        self.gone.extend(next.gone);
        self.counters.extend(next.counters);
        self.reset_us = next.reset_us;
        self.series_counters.extend(next.series_counters);
        self.texts.extend(next.texts);
        self.plans.extend(next.plans);
    }
}

/// Where an earlier process left off.
#[derive(Clone, Debug, Default)]
pub struct Resume {
    /// The end of the last interval that is kept; nothing when there is none.
    pub until: Option<DateTime<Utc>>,
    /// When all counters of statements began, as the server said.
    pub reset_us: Option<i64>,
    /// Counters of statements, as they stood then.
    pub counters: HashMap<EntryKey, (StatementName, Counted)>,
    /// Counters of the server by name and label, and when they were read.
    pub series_counters: HashMap<(String, String), (f64, DateTime<Utc>)>,
    /// Statements whose text is kept.
    pub texts: HashSet<i64>,
}
