//! What does the server's log say of the executions that were watched? Only what is written to it meanwhile is read.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

use advice::profiling::StatementFigures;
use exporter::{KnownStatements, LoggedStatement};
use logs::{Filter, GrowingLog, Options, Prefix, Report};
use model::LatencyHistogram;
use postgres::{Capabilities, Session};
use sampling::Logging;

use crate::commands::Context;
use crate::error::CommandError;

/// A log that grows.
pub struct Log {
    log: GrowingLog,
    logging: Logging,
    prefix: Prefix,
    database: String,
}

/// What was read of it.
#[derive(Default)]
pub struct Logged {
    /// Which executions the server logs.
    pub logging: Logging,
    /// Durations that hold what a client waits for, by `queryid`.
    pub durations: BTreeMap<i64, LatencyHistogram>,
    /// Statements that write and came by the extended protocol: their durations do not hold the commit.
    pub without_commit: usize,
    /// Why nothing is known from the log.
    pub problem: Option<String>,
}

impl Log {
    /// Remembers how far the log, or every file of a folder of logs, is written, and what the server logs.
    ///
    /// # Errors
    /// When the log cannot be read, or the server logs no durations that help.
    pub async fn begin(path: &Path, session: &Session) -> Result<Self, CommandError> {
        let server = Capabilities::read(session).await?;
        let Some(logging) = Logging::of_settings(|name| server.setting(name)) else {
            return Err(CommandError::new("the server logs no durations that help")
                .detail(
                    "It would log all of at least log_min_duration_statement, which is -1, and a part of the \
                     others if log_min_duration_sample were 0.",
                )
                .hint("ALTER SYSTEM SET log_min_duration_statement = '10ms'; SELECT pg_reload_conf();"));
        };
        let prefix = Prefix::read(server.setting("log_line_prefix").unwrap_or_default())?;
        let log = open(path)?;
        let database = session.target().database().to_owned();
        Ok(Self { log, logging, prefix, database })
    }

    /// Reads what was written since. What was watched is not lost when the log cannot be read any more.
    pub fn end(self, context: &Context, figures: &[StatementFigures]) -> Logged {
        let logging = self.logging;
        self.read(context, figures).unwrap_or_else(|problem| Logged {
            logging,
            problem: Some(problem),
            ..Logged::default()
        })
    }

    fn read(mut self, context: &Context, figures: &[StatementFigures]) -> Result<Logged, String> {
        let grown = self.log.written().map_err(|error| error.to_string())?;
        let options = Options {
            jobs: crate::commands::logs::usual_jobs(),
            ..durations_of(self.prefix, &self.database, self.log.path())
        };
        let mut logged = Logged { logging: self.logging, ..Logged::default() };
        if grown.inputs.is_empty() {
            return Ok(logged);
        }
        let report = crate::commands::logs::read(context, grown.inputs, grown.bytes, &options)
            .map_err(|error| CommandError::from(error).to_string())?;
        let mut known = KnownStatements::default();
        for figure in figures.iter().filter(|f| f.toplevel && f.calls > 0) {
            known.learn(figure.queryid, &figure.query);
        }
        for (queryid, durations) in known.durations(&with_durations(report), |_| true) {
            match durations {
                Some(durations) => _ = logged.durations.insert(queryid, durations),
                None => logged.without_commit += 1,
            }
        }
        Ok(logged)
    }
}

/// The statements of a log that ended.
pub fn with_durations(report: Report) -> Vec<LoggedStatement> {
    let of = |statement: logs::StatementDurations| LoggedStatement {
        extended: statement.extended > 0,
        text: statement.text,
        durations: statement.durations,
    };
    report.statement_durations.into_iter().filter(|s| s.durations.count() > 0).map(of).collect()
}

/// The log at this path from here on, or those of the folder.
///
/// # Errors
/// When it cannot be read.
pub fn open(path: &Path) -> Result<GrowingLog, CommandError> {
    GrowingLog::from_its_end(path).map_err(|error| {
        let hint = match error.kind() {
            ErrorKind::PermissionDenied => "log_file_mode says who else may read the server's logs.",
            _ => "\"SELECT pg_current_logfile();\" tells where the server writes its log.",
        };
        CommandError::new(format!("could not read the log {}", path.display()))
            .detail(error.to_string())
            .hint(hint)
    })
}

/// How the durations of statements of a database are read from a log with this `log_line_prefix`.
pub fn durations_of(prefix: Prefix, database: &str, path: &Path) -> Options {
    // Other formats than stderr always name the database.
    let names_database = prefix.setting().is_none_or(|setting| setting.contains("%d"))
        || path.extension().is_some_and(|extension| extension == "csv" || extension == "json");
    let databases = if names_database { vec![database.to_owned()] } else { Vec::new() };
    Options {
        prefix: Some(prefix),
        filter: Filter { databases, ..Filter::default() },
        sampled: None,
        jobs: 1,
        top: 0,
        examples: false,
        durations: true,
    }
}
