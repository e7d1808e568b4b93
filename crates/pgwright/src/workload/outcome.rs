//! What came of a run? Nothing that arrived is missing from it.
//!
//! Source: the rule of open-loop measuring that every arrival is accounted for: answered, failed,
//! timed out, or still unanswered when the run gave up.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::latency::Latencies;

/// The outcome of a run. Two runs of one workload can be merged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The workload file.
    pub workload: String,
    /// What it stands for.
    pub description: String,
    /// When the first arrival was due.
    pub started_at: DateTime<Utc>,
    /// Arrivals per second that were scheduled.
    pub rate: f64,
    /// Sessions.
    pub clients: usize,
    /// The seed of the schedule and the parameters.
    pub seed: u64,
    /// The time over which arrivals were counted, without the warm-up.
    pub seconds: f64,
    /// From the first counted arrival to the last answer.
    pub elapsed_seconds: f64,
    /// Answers per second of `elapsed_seconds`.
    pub achieved_rate: f64,
    /// Whether it was stopped before its time.
    pub interrupted: bool,
    /// All statements together; its name is empty.
    pub overall: StatementOutcome,
    /// Each statement in the order of the file.
    pub statements: Vec<StatementOutcome>,
    /// The longest time by which a request was sent late although a session was free. Beyond some
    /// milliseconds the measuring machine itself was too busy.
    pub generator_lag_ms: f64,
}

/// The outcome of one statement.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StatementOutcome {
    /// Its name in the workload file.
    pub name: String,
    /// How many were due: the sum of answered, failed, timed out and unanswered.
    pub arrivals: u64,
    /// Answered without an error.
    pub answered: u64,
    /// Rows in all answers.
    pub rows: u64,
    /// Failed, time-outs apart.
    pub failed: u64,
    /// Canceled by the server (SQLSTATE 57014): `statement_timeout`.
    pub timeouts: u64,
    /// Without an answer when the run gave up.
    pub unanswered: u64,
    /// Failures and time-outs by SQLSTATE; `connection` where the server sent none.
    pub errors: BTreeMap<String, ErrorCount>,
    /// From the scheduled arrival to the end of the answer. Time-outs and unanswered requests are in
    /// it with the time that they had waited: at least so long. Failures are not.
    pub latency: Latencies,
    /// From sending to the end of the answer, of the answered.
    pub service: Latencies,
}

/// How often an error occurred.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorCount {
    /// How often.
    pub count: u64,
    /// The message of the first.
    pub message: String,
}

/// How one request ended.
#[derive(Clone, Debug)]
pub(super) enum End {
    Answered { rows: u64, service: Duration },
    Failed { sqlstate: String, message: String },
    TimedOut { message: String },
    Unanswered,
}

/// SQLSTATE of a statement that the server canceled.
pub(super) const QUERY_CANCELED: &str = "57014";

impl StatementOutcome {
    pub(super) fn named(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    pub(super) fn record(&mut self, latency: Duration, end: &End) {
        self.arrivals += 1;
        match end {
            End::Answered { rows, service } => {
                self.answered += 1;
                self.rows += rows;
                self.service.record(*service);
                self.latency.record(latency);
            }
            End::Failed { sqlstate, message } => {
                self.failed += 1;
                self.count_error(sqlstate, message);
            }
            End::TimedOut { message } => {
                self.timeouts += 1;
                self.count_error(QUERY_CANCELED, message);
                self.latency.record(latency);
            }
            End::Unanswered => {
                self.unanswered += 1;
                self.latency.record(latency);
            }
        }
    }

    fn count_error(&mut self, sqlstate: &str, message: &str) {
        let error = self.errors.entry(sqlstate.to_owned()).or_default();
        if error.count == 0 {
            error.message = message.to_owned();
        }
        error.count += 1;
    }

    /// Adds the counts of another.
    pub fn merge(&mut self, other: &Self) {
        self.arrivals += other.arrivals;
        self.answered += other.answered;
        self.rows += other.rows;
        self.failed += other.failed;
        self.timeouts += other.timeouts;
        self.unanswered += other.unanswered;
        for (sqlstate, error) in &other.errors {
            let mine = self.errors.entry(sqlstate.clone()).or_default();
            if mine.count == 0 {
                mine.message.clone_from(&error.message);
            }
            mine.count += error.count;
        }
        self.latency.merge(&other.latency);
        self.service.merge(&other.service);
    }
}

impl Outcome {
    /// Adds another run of the same workload: counts, percentiles and times add up.
    pub fn merge(&mut self, other: &Self) {
        self.started_at = self.started_at.min(other.started_at);
        self.seconds += other.seconds;
        self.elapsed_seconds += other.elapsed_seconds;
        self.interrupted |= other.interrupted;
        self.generator_lag_ms = self.generator_lag_ms.max(other.generator_lag_ms);
        self.overall.merge(&other.overall);
        for statement in &other.statements {
            match self.statements.iter_mut().find(|mine| mine.name == statement.name) {
                Some(mine) => mine.merge(statement),
                None => self.statements.push(statement.clone()),
            }
        }
        self.achieved_rate = rate(self.overall.answered, self.elapsed_seconds);
    }

    /// The outcome of a statement by its name.
    pub fn statement(&self, name: &str) -> Option<&StatementOutcome> {
        self.statements.iter().find(|statement| statement.name == name)
    }
}

pub(super) fn rate(count: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { count as f64 / seconds } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_arrival_is_accounted_for() {
        let mut outcome = StatementOutcome::named("q");
        let ms = Duration::from_millis;
        outcome.record(ms(5), &End::Answered { rows: 3, service: ms(2) });
        outcome.record(ms(1), &End::Failed { sqlstate: "23505".into(), message: "first".into() });
        outcome.record(ms(1), &End::Failed { sqlstate: "23505".into(), message: "second".into() });
        outcome.record(ms(900), &End::TimedOut { message: "canceling".into() });
        outcome.record(ms(4_000), &End::Unanswered);
        let sum = outcome.answered + outcome.failed + outcome.timeouts + outcome.unanswered;
        assert_eq!((outcome.arrivals, sum), (5, 5));
        assert_eq!(outcome.errors["23505"], ErrorCount { count: 2, message: "first".into() });
        assert_eq!(outcome.errors[QUERY_CANCELED].count, 1);
        assert_eq!(outcome.latency.len(), 3, "failures are quick and would flatter the percentiles");
        assert_eq!(outcome.latency.max_ms(), 4_000.0);
        assert_eq!((outcome.service.len(), outcome.rows), (1, 3));
    }

    #[test]
    fn merging_adds_up() {
        let mut one = StatementOutcome::named("q");
        one.record(Duration::from_millis(5), &End::Answered { rows: 1, service: Duration::from_millis(5) });
        let mut two = StatementOutcome::named("q");
        two.record(
            Duration::from_millis(7),
            &End::Failed { sqlstate: "40P01".into(), message: "deadlock".into() },
        );
        one.merge(&two);
        assert_eq!((one.arrivals, one.answered, one.failed), (2, 1, 1));
        assert_eq!(one.errors["40P01"].message, "deadlock");
    }
}
