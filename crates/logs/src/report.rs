//! What does a log say in the end? Plain data, ordered, for any front end.

use std::path::PathBuf;

use model::{Bytes, LatencyHistogram, Millis, Percentile};
use serde::Serialize;

use crate::analysis::Options;
use crate::entry::{text, write_time};
use crate::format::FormatName;
use crate::tally::{Example, Execution, Hour, StatementTally, Tally};

/// Longest text of a statement in a report.
const MAX_BYTES: usize = 8 * 1024;

/// What logs say.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The logs.
    pub files: Vec<FileReport>,
    /// When the first entry was written, on the log's own clock.
    pub first: Option<String>,
    /// When the last one was written.
    pub last: Option<String>,
    /// Seconds between both.
    pub seconds: f64,
    /// The time zone as the log names it.
    pub time_zone: String,
    /// Entries that were counted.
    pub entries: u64,
    /// Entries that the filter left out.
    pub left_out: u64,
    /// Lines that belong to no entry.
    pub unread_lines: u64,
    /// The first of them.
    pub first_unread_line: Option<String>,
    /// Entries by severity.
    pub severities: Vec<(&'static str, u64)>,
    /// Durations of all statements.
    pub durations: LatencyReport,
    /// Different statements.
    pub statements_told_apart: usize,
    /// Statements that were logged without a duration.
    pub unmeasured: u64,
    /// Durations without a statement (`log_duration` without `log_statement`).
    pub unnamed: LatencyReport,
    /// Statements that were counted together because there were too many.
    pub beyond: u64,
    /// What those took.
    pub beyond_durations: LatencyReport,
    /// The statements that took the most time, then those that were only counted, most first.
    pub statements: Vec<StatementReport>,
    /// The slowest executions.
    pub slowest: Vec<ExecutionReport>,
    /// Examples of every statement, where they were asked for; values, which no report shows.
    #[serde(skip)]
    pub examples: Vec<Vec<StatementExample>>,
    /// The durations of every statement, where they were asked for.
    #[serde(skip)]
    pub statement_durations: Vec<StatementDurations>,
    /// What failed, most frequent first.
    pub errors: Vec<ErrorReport>,
    /// Errors of further classes.
    pub errors_beyond: u64,
    /// Checkpoints and restartpoints.
    pub checkpoints: CheckpointReport,
    /// Connections.
    pub connections: ConnectionReport,
    /// Waits for locks (`log_lock_waits`).
    pub locks: Vec<LockReport>,
    /// Temporary files (`log_temp_files`).
    pub temporary_files: TemporaryReport,
    /// What autovacuum did, by table, the most time first (`log_autovacuum_min_duration`).
    pub autovacuum: Vec<UpkeepReport>,
    /// Starts, stops and crashes.
    pub events: Vec<Event>,
    /// Hour by hour.
    pub hours: Vec<HourReport>,
}

/// One log.
#[derive(Clone, Debug, Serialize)]
pub struct FileReport {
    /// Its name.
    pub path: PathBuf,
    /// Bytes, uncompressed.
    pub bytes: u64,
    /// Its format; nothing for an empty file.
    pub format: Option<FormatName>,
    /// `log_line_prefix`, where it is known.
    pub log_line_prefix: Option<String>,
    /// Whether its compressed data end before their end, as in a copy that was cut off; what comes before counts.
    pub cut_off: bool,
    /// Whether messages at its beginning are in another language than English, of which nothing is understood.
    pub other_language: bool,
}

/// How long something took.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct LatencyReport {
    /// How often; where short statements were sampled, an estimate.
    pub calls: u64,
    /// Durations in the log.
    pub samples: u64,
    /// All together.
    pub total_ms: Millis,
    /// Per call.
    pub mean_ms: Option<Millis>,
    /// The median; percentiles of too few are left out.
    pub p50: Option<Percentile>,
    /// Exceeded by one in twenty.
    pub p95: Option<Percentile>,
    /// Exceeded by one in a hundred.
    pub p99: Option<Percentile>,
    /// The longest.
    pub max_ms: Option<Millis>,
}

/// One statement.
#[derive(Clone, Debug, Serialize)]
pub struct StatementReport {
    /// A stable name: 16 hexadecimal digits of a hash of the text.
    pub id: String,
    /// The normalised text.
    pub text: String,
    /// How long it took.
    pub durations: LatencyReport,
    /// How often it was logged without a duration.
    pub unmeasured: u64,
    /// Parsing it, within the total where an execution followed.
    pub parse_ms: Millis,
    /// Binding and planning it, within the total likewise.
    pub bind_ms: Millis,
    /// Databases and how often it ran there.
    pub databases: Vec<(String, u64)>,
    /// How often it failed.
    pub errors: u64,
    /// Its temporary files.
    pub temporary_files: u64,
    /// Their size.
    pub temporary_bytes: Bytes,
    /// How often it waited for a lock.
    pub lock_waits: u64,
    /// For how long.
    pub lock_wait_ms: Millis,
    /// The slowest execution.
    pub slowest: Option<ExecutionReport>,
    /// The slowest plan of auto_explain.
    pub plan: Option<LoggedPlan>,
}

/// All durations of a statement.
#[derive(Clone, Debug)]
pub struct StatementDurations {
    /// The normalised text.
    pub text: String,
    /// How long executions took.
    pub durations: LatencyHistogram,
    /// How many of them were steps of the extended protocol, whose durations do not hold the commit that followed.
    pub extended: u64,
}

/// A text as clients sent it.
#[derive(Clone, Debug, PartialEq)]
pub struct StatementExample {
    /// The text.
    pub text: String,
    /// DETAIL: the values of its parameters, as the server writes them.
    pub parameters: String,
    /// The database; empty where the log does not tell.
    pub database: String,
    /// How often it was logged.
    pub times: u64,
}

/// A plan of auto_explain.
#[derive(Clone, Debug, Serialize)]
pub struct LoggedPlan {
    /// How long the execution took.
    pub duration_ms: Millis,
    /// Plans of the statement in the log.
    pub plans: u64,
    /// The plan with the statement, as it was logged.
    pub text: String,
}

/// One execution.
#[derive(Clone, Debug, Serialize)]
pub struct ExecutionReport {
    /// The statement's name.
    pub id: String,
    /// When it ended.
    pub at: Option<String>,
    /// How long it took.
    pub duration_ms: Millis,
    /// The database.
    pub database: String,
    /// The role.
    pub user: String,
    /// `application_name`.
    pub application: String,
    /// The client.
    pub host: String,
    /// The text with its values, cut.
    pub text: String,
    /// The parameters, as they were logged.
    pub parameters: String,
}

/// A class of errors.
#[derive(Clone, Debug, Serialize)]
pub struct ErrorReport {
    /// ERROR, FATAL, PANIC or WARNING.
    pub severity: &'static str,
    /// SQLSTATE, where the log has it.
    pub sqlstate: String,
    /// The message without names and numbers.
    pub class: String,
    /// How often.
    pub count: u64,
    /// The first time.
    pub first: Option<String>,
    /// The last time.
    pub last: Option<String>,
    /// The first message.
    pub message: String,
    /// Its DETAIL.
    pub detail: String,
    /// Its HINT.
    pub hint: String,
    /// Its CONTEXT: the functions that it came out of.
    pub context: String,
    /// Its STATEMENT.
    pub statement: String,
    /// Its database.
    pub database: String,
}

/// Checkpoints and restartpoints.
#[derive(Clone, Debug, Default, Serialize)]
pub struct CheckpointReport {
    /// How many were completed.
    pub completed: u64,
    /// Why they started, most frequent first: `time`, `wal`, `immediate force wait`, …
    pub causes: Vec<(String, u64)>,
    /// "checkpoints are occurring too frequently".
    pub too_frequent: u64,
    /// Buffers written.
    pub buffers: u64,
    /// Seconds of writing.
    pub write_seconds: f64,
    /// Seconds of syncing.
    pub sync_seconds: f64,
    /// Seconds in all.
    pub total_seconds: f64,
    /// The longest, in seconds.
    pub longest_seconds: f64,
    /// WAL between checkpoints.
    pub distance: Bytes,
    /// WAL files.
    pub wal_files_added: u64,
    /// WAL files.
    pub wal_files_removed: u64,
    /// WAL files.
    pub wal_files_recycled: u64,
}

/// Connections.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ConnectionReport {
    /// Attempts.
    pub received: u64,
    /// Successful ones.
    pub authorized: u64,
    /// Ends of sessions.
    pub disconnections: u64,
    /// How long sessions lasted.
    pub sessions: LatencyReport,
    /// By role and database, most frequent first.
    pub by: Vec<(String, String, u64)>,
}

/// Waits for one kind of lock.
#[derive(Clone, Debug, Serialize)]
pub struct LockReport {
    /// The lock, as `ShareLock`.
    pub mode: String,
    /// What is locked: transaction, relation, tuple, …
    pub object: String,
    /// Waits that ended with the lock.
    pub waits: LatencyReport,
    /// Reports that a wait goes on.
    pub reports: u64,
}

/// Temporary files.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct TemporaryReport {
    /// How many.
    pub files: u64,
    /// All together.
    pub bytes: Bytes,
    /// The largest.
    pub largest: Bytes,
}

/// What autovacuum did to a table.
#[derive(Clone, Debug, Serialize)]
pub struct UpkeepReport {
    /// `database.schema.table`.
    pub table: String,
    /// Vacuums.
    pub vacuums: u64,
    /// Analyzes.
    pub analyzes: u64,
    /// Seconds of vacuums.
    pub vacuum_seconds: f64,
    /// Seconds of analyzes.
    pub analyze_seconds: f64,
    /// The longest vacuum, in seconds.
    pub longest_vacuum_seconds: f64,
    /// Rows removed.
    pub tuples_removed: u64,
    /// Pages given back.
    pub pages_removed: u64,
    /// Dead rows that the last vacuum had to leave: a transaction still sees them.
    pub tuples_not_removable: u64,
    /// Vacuums against wraparound.
    pub against_wraparound: u64,
}

/// A start, a stop or a crash.
#[derive(Clone, Debug, Serialize)]
pub struct Event {
    /// When.
    pub at: Option<String>,
    /// The message.
    pub message: String,
}

/// One hour.
#[derive(Clone, Debug, Serialize)]
pub struct HourReport {
    /// When it began.
    pub hour: String,
    /// Statements.
    pub durations: LatencyReport,
    /// Errors of severity ERROR and above.
    pub errors: u64,
    /// Connections.
    pub connections: u64,
    /// Size of temporary files.
    pub temporary_bytes: Bytes,
    /// Waits for locks.
    pub lock_waits: u64,
    /// Checkpoints.
    pub checkpoints: u64,
}

impl From<&LatencyHistogram> for LatencyReport {
    fn from(of: &LatencyHistogram) -> Self {
        Self {
            calls: of.count(),
            samples: of.samples(),
            total_ms: of.sum(),
            mean_ms: of.mean(),
            p50: of.percentile(0.5),
            p95: of.percentile(0.95),
            p99: of.percentile(0.99),
            max_ms: of.max(),
        }
    }
}

impl Report {
    pub(crate) fn of(tally: Tally, files: Vec<FileReport>, options: &Options) -> Self {
        let top = options.top;
        let at = |time: Option<i64>| time.map(write_time);
        let statements = tally.statements;
        let mut ranked: Vec<(&u128, &StatementTally)> = statements.by_key.iter().collect();
        // A statement that only auto_explain logged has its time from there.
        let time = |s: &StatementTally| {
            if s.durations.count() > 0 { s.durations.sum().0 } else { s.planned.sum().0 }
        };
        ranked.sort_by(|a, b| {
            time(b.1)
                .total_cmp(&time(a.1))
                .then(b.1.unmeasured.cmp(&a.1.unmeasured))
                .then(b.1.errors.cmp(&a.1.errors))
                .then(a.0.cmp(b.0))
        });
        let mut errors: Vec<ErrorReport> = tally
            .errors
            .classes
            .into_iter()
            .map(|((severity, sqlstate, class), of)| ErrorReport {
                severity: severity.as_str(),
                sqlstate: text(&sqlstate, 5),
                class: text(&class, MAX_BYTES),
                count: of.count,
                first: at(of.first_ms),
                last: at(of.last_ms),
                message: of.message,
                detail: of.detail,
                hint: of.hint,
                context: of.context,
                statement: of.statement,
                database: of.database,
            })
            .collect();
        errors.sort_by(|a, b| {
            b.count
                .cmp(&a.count)
                .then_with(|| (a.severity, &a.sqlstate, &a.class).cmp(&(b.severity, &b.sqlstate, &b.class)))
        });
        let errors_listed = top.max(1) * 2;
        let errors_beyond =
            tally.errors.beyond + errors.iter().skip(errors_listed).map(|e| e.count).sum::<u64>();
        errors.truncate(errors_listed);
        let server = tally.server;
        let mut connections_by: Vec<_> =
            server.connections_by.iter().map(|((u, d), n)| (text(u, 64), text(d, 64), *n)).collect();
        connections_by.sort_by(|a, b| b.2.cmp(&a.2).then_with(|| (&a.0, &a.1).cmp(&(&b.0, &b.1))));
        connections_by.truncate(top);
        let mut causes: Vec<_> = server.checkpoint_causes.into_iter().collect();
        causes.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        let mut locks: Vec<_> = server
            .locks
            .iter()
            .map(|((mode, object), of)| LockReport {
                mode: mode.clone(),
                object: object.clone(),
                waits: (&of.waited).into(),
                reports: of.reports,
            })
            .collect();
        locks.sort_by(|a, b| {
            b.waits.total_ms.0.total_cmp(&a.waits.total_ms.0).then_with(|| a.mode.cmp(&b.mode))
        });
        let mut autovacuum: Vec<_> = server
            .upkeep
            .iter()
            .map(|(table, of)| UpkeepReport {
                table: text(table, 200),
                vacuums: of.vacuums,
                analyzes: of.analyzes,
                vacuum_seconds: of.vacuum_s,
                analyze_seconds: of.analyze_s,
                longest_vacuum_seconds: of.longest_vacuum_s,
                tuples_removed: of.tuples_removed,
                pages_removed: of.pages_removed,
                tuples_not_removable: of.tuples_not_removable,
                against_wraparound: of.against_wraparound,
            })
            .collect();
        autovacuum.sort_by(|a, b| {
            let seconds = |u: &UpkeepReport| u.vacuum_seconds + u.analyze_seconds;
            seconds(b).total_cmp(&seconds(a)).then_with(|| a.table.cmp(&b.table))
        });
        autovacuum.truncate(top);
        Self {
            files,
            first: at(tally.first_ms),
            last: at(tally.last_ms),
            seconds: match (tally.first_ms, tally.last_ms) {
                (Some(first), Some(last)) => (last - first) as f64 / 1000.0,
                _ => 0.0,
            },
            time_zone: text(&tally.zone, 40),
            entries: tally.entries,
            left_out: tally.left_out,
            unread_lines: tally.lines.unread,
            first_unread_line: tally.lines.first_unread,
            severities: tally.severities.iter().rev().map(|(s, n)| (s.as_str(), *n)).collect(),
            durations: (&statements.all).into(),
            statements_told_apart: statements.by_key.len(),
            unmeasured: statements.by_key.values().map(|s| s.unmeasured).sum(),
            unnamed: (&statements.unnamed).into(),
            beyond: statements.beyond,
            beyond_durations: (&statements.beyond_durations).into(),
            statements: ranked.iter().take(top).map(|(key, of)| statement(**key, of)).collect(),
            slowest: statements.slowest.iter().map(|(key, e)| execution(*key, e)).collect(),
            examples: ranked.iter().map(|(_, of)| examples(of)).filter(|e| !e.is_empty()).collect(),
            statement_durations: match options.durations {
                true => ranked.iter().map(|(_, of)| durations(of)).collect(),
                false => Vec::new(),
            },
            errors,
            errors_beyond,
            checkpoints: CheckpointReport {
                completed: server.checkpoints,
                causes,
                too_frequent: server.checkpoints_too_frequent,
                buffers: server.buffers,
                write_seconds: server.write_s,
                sync_seconds: server.sync_s,
                total_seconds: server.total_s,
                longest_seconds: server.longest_checkpoint_s,
                distance: Bytes(server.distance_kb * 1024),
                wal_files_added: server.wal_files_added,
                wal_files_removed: server.wal_files_removed,
                wal_files_recycled: server.wal_files_recycled,
            },
            connections: ConnectionReport {
                received: server.connections_received,
                authorized: server.connections_authorized,
                disconnections: server.disconnections,
                sessions: (&server.sessions).into(),
                by: connections_by,
            },
            locks,
            temporary_files: TemporaryReport {
                files: server.temporary_files,
                bytes: Bytes(server.temporary_bytes),
                largest: Bytes(server.largest_temporary_bytes),
            },
            autovacuum,
            events: server
                .events
                .into_iter()
                .map(|(time, message)| Event { at: at(time), message })
                .collect(),
            hours: tally.hours.iter().map(|(hour, of)| hour_report(*hour, of)).collect(),
        }
    }
}

fn statement(key: u128, of: &StatementTally) -> StatementReport {
    let durations = if of.durations.count() > 0 { &of.durations } else { &of.planned };
    let mut databases: Vec<_> = of.databases.iter().map(|(name, n)| (text(name, 64), *n)).collect();
    databases.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    StatementReport {
        id: id(key),
        text: text(&of.text, MAX_BYTES),
        durations: durations.into(),
        unmeasured: of.unmeasured,
        parse_ms: Millis(of.parse_us as f64 / 1000.0),
        bind_ms: Millis(of.bind_us as f64 / 1000.0),
        databases,
        errors: of.errors,
        temporary_files: of.temporary_files,
        temporary_bytes: Bytes(of.temporary_bytes),
        lock_waits: of.lock_waits,
        lock_wait_ms: Millis(of.lock_wait_us as f64 / 1000.0),
        slowest: of.slowest.as_ref().map(|e| execution(key, e)),
        plan: of.plan.as_ref().map(|(ms, plan)| LoggedPlan {
            duration_ms: Millis(*ms),
            plans: of.planned.count(),
            text: text(plan, usize::MAX).trim_start().to_owned(),
        }),
    }
}

fn durations(of: &StatementTally) -> StatementDurations {
    StatementDurations {
        text: text(&of.text, usize::MAX),
        durations: of.durations.clone(),
        extended: of.extended,
    }
}

/// At most 16 texts that differ, picked by chance from all.
fn examples(of: &StatementTally) -> Vec<StatementExample> {
    let example = |e: &Example| StatementExample {
        text: text(&e.text, usize::MAX),
        parameters: text(&e.parameters, usize::MAX),
        database: text(&e.database, usize::MAX),
        times: e.times,
    };
    of.examples.values().map(example).collect()
}

fn execution(key: u128, of: &Execution<'_>) -> ExecutionReport {
    ExecutionReport {
        id: id(key),
        at: of.time_ms.map(write_time),
        duration_ms: Millis(of.ms),
        database: text(&of.database, 64),
        user: text(&of.user, 64),
        application: text(&of.application, 64),
        host: text(&of.host, 100),
        text: text(&of.text, MAX_BYTES),
        parameters: text(&of.parameters, MAX_BYTES),
    }
}

fn hour_report(hour: i64, of: &Hour) -> HourReport {
    let mut begin = write_time(hour * 3_600_000);
    begin.truncate("2026-03-01 10:00".len());
    HourReport {
        hour: begin,
        durations: (&of.durations).into(),
        errors: of.errors,
        connections: of.connections,
        temporary_bytes: Bytes(of.temporary_bytes),
        lock_waits: of.lock_waits,
        checkpoints: of.checkpoints,
    }
}

fn id(key: u128) -> String {
    format!("{:016x}", (key >> 64) as u64)
}
