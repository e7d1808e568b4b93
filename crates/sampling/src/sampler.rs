//! Which executions do the samples show, and which of them completely?

use std::collections::{BTreeMap, HashMap};

use model::LatencyHistogram;

/// What a session does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    /// It runs a statement.
    Active,
    /// It has ended one, and waits for the client, in a transaction or not.
    Idle,
}

/// A statement as one user calls it in one database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserStatement {
    /// The database's OID.
    pub dbid: u32,
    /// The role's OID. `pg_stat_activity` has the one that signed in, which `SET ROLE` does not change; the counters of
    /// `pg_stat_statements` have the one that it was changed to.
    pub userid: u32,
    /// What the server computes from the statement's tree.
    pub query_id: i64,
}

/// A row of `pg_stat_activity`. Times are microseconds since any one instant on the server's clock.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The process.
    pub pid: i32,
    /// The statement that it runs, or ran last, and whose it is.
    pub statement: UserStatement,
    /// What it does.
    pub activity: Activity,
    /// When that statement began.
    pub query_start_us: i64,
    /// When the session began to do what it does.
    pub state_change_us: i64,
    /// What it waits for, as `IO: DataFileRead`.
    pub wait: Option<String>,
}

/// What was seen of one statement.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// Executions of the interval and longer: all of them.
    pub tail: LatencyHistogram,
    /// Shorter executions, after which the session was idle: a sample.
    pub body: LatencyHistogram,
    /// Shorter executions that were caught while they ran, and whose end was not seen.
    pub caught: u64,
    /// Samples in which it was active.
    pub active: u64,
    /// Those by what it waited for.
    pub waits: BTreeMap<String, u64>,
}

impl Observed {
    /// Adds what was seen of another user, or at another time.
    pub fn merge(&mut self, other: &Self) {
        self.tail.merge(&other.tail);
        self.body.merge(&other.body);
        self.caught += other.caught;
        self.active += other.active;
        for (event, samples) in &other.waits {
            *self.waits.entry(event.clone()).or_default() += samples;
        }
    }
}

/// Which executions a server logs.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Logging {
    /// From this duration on all of them, in milliseconds (`log_min_duration_statement`).
    pub all_from_ms: Option<f64>,
    /// Whether of the others a part is logged whatever their duration (`log_min_duration_sample` of 0 with
    /// `log_statement_sample_rate`).
    pub samples_others: bool,
}

impl Logging {
    /// By the server's settings, with the numbers of `pg_settings`; `None` when it logs no durations that help.
    pub fn of_settings<'s>(setting: impl Fn(&str) -> Option<&'s str>) -> Option<Self> {
        let number = |name: &str| setting(name).and_then(|text| text.parse::<f64>().ok());
        let logging = Self {
            all_from_ms: number("log_min_duration_statement").filter(|ms| *ms >= 0.0),
            samples_others: number("log_min_duration_sample") == Some(0.0)
                && number("log_statement_sample_rate").is_some_and(|rate| rate > 0.0),
        };
        (logging != Self::default()).then_some(logging)
    }
}

impl Observed {
    /// Puts what a log holds of the same time in the place of what it knows better: all executions from a duration on,
    /// when that is shorter than the interval of looks. A part of the shorter ones is one more sample of them.
    pub fn add_log(&mut self, logged: &LatencyHistogram, logging: Logging, interval_ms: f64) {
        let all_from_ms = logging.all_from_ms.filter(|ms| *ms < interval_ms);
        let (others, all) = logged.split(all_from_ms.unwrap_or(interval_ms));
        if let Some(ms) = all_from_ms {
            self.tail = all;
            self.body = self.body.split(ms).0;
        }
        if logging.samples_others {
            self.body.merge(&others);
        }
    }
}

/// The execution that a session was last seen at.
#[derive(Clone, Copy, Debug)]
struct Last {
    statement: UserStatement,
    query_start_us: i64,
    /// When it was last seen active, unless its end is known.
    active_at_us: Option<i64>,
}

/// Takes samples in the order of time.
#[derive(Clone, Debug)]
pub struct Sampler {
    interval_us: i64,
    began_us: Option<i64>,
    last_us: i64,
    /// Looks at the server.
    pub looks: u64,
    /// Those that came late.
    pub late_looks: u64,
    sessions: HashMap<i32, Last>,
    /// What was seen.
    pub statements: HashMap<UserStatement, Observed>,
}

impl Sampler {
    /// Samples are to come every so many microseconds.
    pub fn new(interval_us: i64) -> Self {
        Self {
            interval_us: interval_us.max(1),
            began_us: None,
            last_us: 0,
            looks: 0,
            late_looks: 0,
            sessions: HashMap::new(),
            statements: HashMap::new(),
        }
    }

    /// Seconds from the first look to the last.
    pub fn seconds(&self) -> f64 {
        self.began_us.map_or(0.0, |began| (self.last_us - began) as f64 / 1e6)
    }

    /// How many sessions ran a statement, on average over all looks.
    pub fn active_sessions(&self) -> f64 {
        let active: u64 = self.statements.values().map(|o| o.active).sum();
        if self.looks == 0 { 0.0 } else { active as f64 / self.looks as f64 }
    }

    /// Statements that were running at the last look.
    pub fn running(&self) -> usize {
        self.sessions.values().filter(|s| s.active_at_us == Some(self.last_us)).count()
    }

    /// Sessions that have been idle since before this need not be shown to the next look: whatever they ended was seen.
    /// `None` before the first look, which has to see everything.
    pub fn quiet_before_us(&self) -> Option<i64> {
        // A session tells that it is idle a little after the time that it tells for it.
        const TOLD_WITHIN_US: i64 = 1_000_000;
        self.began_us.map(|_| self.last_us - TOLD_WITHIN_US.max(self.interval_us))
    }

    /// Takes what one look at `now_us` has shown: all sessions but those of [`Self::quiet_before_us`].
    pub fn look(&mut self, now_us: i64, samples: &[Sample]) {
        if now_us < self.last_us && self.looks > 0 {
            // The server's clock was set back: what was seen by the old one cannot be compared with what comes.
            self.sessions.clear();
            self.began_us = self.began_us.map(|began| began + (now_us - self.last_us));
            self.last_us = now_us;
        }
        let began = *self.began_us.get_or_insert(now_us);
        if self.looks > 0 && now_us - self.last_us > self.interval_us * 3 / 2 {
            self.late_looks += 1;
        }
        self.looks += 1;
        let before = std::mem::take(&mut self.sessions);
        for sample in samples {
            let last = before.get(&sample.pid).copied();
            let same = last.filter(|l| l.query_start_us == sample.query_start_us);
            if let Some(last) = last.filter(|_| same.is_none()) {
                // It ended unseen, at the latest when the next one began.
                self.ended_unseen(last, sample.query_start_us.min(now_us));
            }
            let mut next = Last {
                statement: sample.statement,
                query_start_us: sample.query_start_us,
                active_at_us: None,
            };
            match sample.activity {
                Activity::Active => {
                    next.active_at_us = Some(now_us);
                    let observed = self.statements.entry(sample.statement).or_default();
                    observed.active += 1;
                    let wait = sample.wait.clone().unwrap_or_else(|| "CPU".to_owned());
                    *observed.waits.entry(wait).or_default() += 1;
                }
                Activity::Idle => {
                    let known = same.is_some_and(|l| l.active_at_us.is_none());
                    // What ended before the first look is not among the calls that were counted.
                    if !known && sample.state_change_us >= began {
                        self.ended(sample.statement, sample.state_change_us - sample.query_start_us);
                    }
                }
            }
            self.sessions.insert(sample.pid, next);
        }
        for (pid, last) in before {
            if !self.sessions.contains_key(&pid) {
                self.ended_unseen(last, now_us);
            }
        }
        self.last_us = now_us;
    }

    /// The end of an execution was seen, because its session was idle afterwards: whether it was depends on the pause
    /// alone, also where the execution was caught active before.
    fn ended(&mut self, statement: UserStatement, duration_us: i64) {
        let observed = self.statements.entry(statement).or_default();
        let ms = duration_us.max(0) as f64 / 1000.0;
        if duration_us >= self.interval_us { observed.tail.record(ms) } else { observed.body.record(ms) }
    }

    fn ended_unseen(&mut self, last: Last, latest_us: i64) {
        let Some(seen) = last.active_at_us else { return };
        let earliest = seen - last.query_start_us;
        let latest = (latest_us - last.query_start_us).clamp(earliest, earliest + self.interval_us);
        let middle = i64::midpoint(earliest, latest);
        let observed = self.statements.entry(last.statement).or_default();
        if middle >= self.interval_us {
            observed.tail.record(middle as f64 / 1000.0);
        } else {
            observed.caught += 1;
        }
    }
}
