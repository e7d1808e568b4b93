//! What do entries add up to? Counts that can be merged in the order of the log, so that blocks of it are read side by side.

mod errors;
mod server;
mod statements;

use std::collections::BTreeMap;

use model::LatencyHistogram;

pub(crate) use errors::Errors;
pub(crate) use server::Server;
pub(crate) use statements::{Example, Execution, StatementTally, Statements};

use crate::analysis::{Filter, Sampled};
use crate::entry::{Entry, Severity};
use crate::fingerprint::Normalizer;
use crate::format::Lines;
use crate::message::{Message, Step, read};

/// Hours that are told apart; a year has 8,760.
const MAX_HOURS: usize = 50_000;

/// All that a log adds up to.
#[derive(Default)]
pub(crate) struct Tally {
    pub lines: Lines,
    pub entries: u64,
    pub left_out: u64,
    pub first_ms: Option<i64>,
    pub last_ms: Option<i64>,
    pub zone: Vec<u8>,
    pub severities: BTreeMap<Severity, u64>,
    pub statements: Statements,
    pub errors: Errors,
    pub server: Server,
    /// By hours since 1970 on the log's clock.
    pub hours: BTreeMap<i64, Hour>,
}

/// One hour.
#[derive(Clone, Default)]
pub(crate) struct Hour {
    pub durations: LatencyHistogram,
    pub errors: u64,
    pub connections: u64,
    pub temporary_bytes: u64,
    pub lock_waits: u64,
    pub checkpoints: u64,
}

/// How entries are counted.
pub(crate) struct Counting<'a> {
    pub filter: &'a Filter,
    pub sampled: Option<Sampled>,
    /// Slowest executions that are kept.
    pub slowest: usize,
    /// Whether examples of statements are kept.
    pub examples: bool,
}

impl Tally {
    /// Counts one entry.
    pub(crate) fn add(&mut self, entry: &Entry<'_>, counting: &Counting<'_>, normalizer: &mut Normalizer) {
        if !counting.filter.takes(entry) {
            self.left_out += 1;
            return;
        }
        self.entries += 1;
        let time = entry.origin.time_ms;
        if let Some(time) = time {
            self.first_ms = Some(self.first_ms.map_or(time, |t| t.min(time)));
            self.last_ms = Some(self.last_ms.map_or(time, |t| t.max(time)));
            if self.zone.is_empty() {
                self.zone = entry.origin.zone.to_vec();
            }
        }
        *self.severities.entry(entry.severity).or_default() += 1;
        match entry.severity {
            Severity::Log => self.add_log(entry, counting, normalizer),
            Severity::Warning | Severity::Error | Severity::Fatal | Severity::Panic => {
                self.errors.add(entry);
                if entry.severity >= Severity::Error {
                    if let Some(hour) = self.hour(time) {
                        hour.errors += 1;
                    }
                    if let Some(statement) = self.statements.of_entry(entry, normalizer) {
                        statement.errors += 1;
                    }
                }
            }
            _ => {}
        }
    }

    fn add_log(&mut self, entry: &Entry<'_>, counting: &Counting<'_>, normalizer: &mut Normalizer) {
        let time = entry.origin.time_ms;
        let backend = entry.origin.backend();
        let message = read(&entry.message);
        // A duration behind an announcement has no text, and what was bound is executed.
        let sent = match message {
            Message::Duration { step: Step::Statement | Step::Execute, text, .. }
            | Message::Statement(text) => Some(text),
            _ => None,
        };
        if let Some(text) = sent.filter(|_| counting.examples) {
            self.statements.example(entry, text, normalizer);
        }
        match message {
            Message::Duration { ms, step, text } => {
                let weight = counting.sampled.map_or(1, |s| s.weight(ms));
                let mut execution = Execution::of(entry, text, ms, weight);
                execution.extended = step == Step::Execute;
                if step == Step::Unnamed {
                    if let Some((key, execution)) = self.statements.claim(backend, execution) {
                        self.record(key, &execution, counting.slowest);
                    }
                    return;
                }
                let key = self.statements.key_of(text, normalizer);
                match step {
                    Step::Statement => {
                        self.statements.see(backend);
                        self.record(key, &execution, counting.slowest);
                    }
                    Step::Execute => {
                        if let Some(execution) = self.statements.complete(backend, key, execution) {
                            self.record(key, &execution, counting.slowest);
                        }
                    }
                    Step::Parse | Step::Bind => self.statements.prepare(backend, key, step, ms, weight),
                    Step::Unnamed => {}
                }
            }
            Message::Statement(text) => self.statements.announce(backend, entry, text, normalizer),
            Message::Plan { ms, text } => self.statements.plan(ms, text, entry, normalizer),
            Message::TemporaryFile { bytes } => {
                self.server.temporary_files += 1;
                self.server.temporary_bytes += bytes;
                self.server.largest_temporary_bytes = self.server.largest_temporary_bytes.max(bytes);
                if let Some(hour) = self.hour(time) {
                    hour.temporary_bytes += bytes;
                }
                if let Some(statement) = self.statements.of_entry(entry, normalizer) {
                    statement.temporary_files += 1;
                    statement.temporary_bytes += bytes;
                }
            }
            Message::LockWait { ended, ms, mode, object } => {
                self.server.lock_wait(ended, ms, mode, object);
                if ended {
                    if let Some(hour) = self.hour(time) {
                        hour.lock_waits += 1;
                    }
                    if let Some(statement) = self.statements.of_entry(entry, normalizer) {
                        statement.lock_waits += 1;
                        statement.lock_wait_us += (ms * 1000.0).round() as u64;
                    }
                }
            }
            Message::ConnectionReceived => self.server.connections_received += 1,
            Message::ConnectionAuthorized => {
                self.server.connection_authorized(&entry.message);
                if let Some(hour) = self.hour(time) {
                    hour.connections += 1;
                }
            }
            Message::Disconnection { session_ms } => {
                self.server.disconnections += 1;
                if let Some(ms) = session_ms {
                    self.server.sessions.record(ms);
                }
                self.statements.forget(backend);
            }
            Message::CheckpointStarting { cause } => self.server.checkpoint_starting(cause),
            Message::CheckpointComplete(checkpoint) => {
                self.server.checkpoint(checkpoint);
                if let Some(hour) = self.hour(time) {
                    hour.checkpoints += 1;
                }
            }
            Message::CheckpointsTooFrequent => self.server.checkpoints_too_frequent += 1,
            Message::Vacuum(upkeep) => self.server.upkeep(&upkeep, false),
            Message::Analyze(upkeep) => self.server.upkeep(&upkeep, true),
            Message::Server => self.server.event(time, &entry.message),
            Message::Other => self.server.others += 1,
        }
    }

    fn record(&mut self, key: u128, execution: &Execution<'_>, slowest: usize) {
        if let Some(hour) = self.hour(execution.time_ms) {
            hour.durations.record_weighted(execution.ms, execution.weight);
        }
        self.statements.record(key, execution, slowest);
    }

    fn hour(&mut self, time_ms: Option<i64>) -> Option<&mut Hour> {
        let hour = time_ms?.div_euclid(3_600_000);
        if self.hours.len() >= MAX_HOURS && !self.hours.contains_key(&hour) {
            return None;
        }
        Some(self.hours.entry(hour).or_default())
    }

    /// Adds what the next part of the log adds up to.
    pub(crate) fn merge(&mut self, later: Self, slowest: usize) {
        self.lines.merge(later.lines);
        self.entries += later.entries;
        self.left_out += later.left_out;
        self.first_ms = [self.first_ms, later.first_ms].into_iter().flatten().min();
        self.last_ms = [self.last_ms, later.last_ms].into_iter().flatten().max();
        if self.zone.is_empty() {
            self.zone = later.zone;
        }
        for (severity, count) in later.severities {
            *self.severities.entry(severity).or_default() += count;
        }
        self.errors.merge(later.errors);
        self.server.merge(later.server);
        for (hour, other) in later.hours {
            if let Some(hour) = self.hour(Some(hour * 3_600_000)) {
                hour.durations.merge(&other.durations);
                hour.errors += other.errors;
                hour.connections += other.connections;
                hour.temporary_bytes += other.temporary_bytes;
                hour.lock_waits += other.lock_waits;
                hour.checkpoints += other.checkpoints;
            }
        }
        for (key, execution) in self.statements.merge(later.statements, slowest) {
            self.record(key, &execution, slowest);
        }
    }

    /// Counts what waited for a part of the log that did not come.
    pub(crate) fn finish(&mut self, slowest: usize) {
        for (key, execution) in self.statements.finish() {
            self.record(key, &execution, slowest);
        }
    }
}
