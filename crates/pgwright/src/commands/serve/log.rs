//! The server's log, read again and again for the durations in it.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use exporter::{LogReader, LoggedStatement};
use logs::{GrowingLog, Prefix, analyze};

use crate::commands::latency::log::{durations_of, open};
use crate::error::CommandError;

/// A log that is followed.
#[derive(Debug)]
pub struct Followed {
    log: Mutex<GrowingLog>,
}

impl Followed {
    /// Follows a log, or the logs in a folder, from here on.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn open(path: &Path) -> Result<Self, CommandError> {
        Ok(Self { log: Mutex::new(open(path)?) })
    }
}

impl LogReader for Followed {
    fn read(&self, line_prefix: &str, database: &str) -> Result<Vec<LoggedStatement>, String> {
        let (grown, options) = {
            let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
            let prefix = Prefix::read(line_prefix).map_err(|error| error.to_string())?;
            (log.written().map_err(|error| error.to_string())?, durations_of(prefix, database, log.path()))
        };
        if grown.inputs.is_empty() {
            return Ok(Vec::new());
        }
        let report = analyze(grown.inputs, &options, &mut |_| {}).map_err(|error| error.to_string())?;
        let with_durations = report.statement_durations.into_iter().filter(|s| s.durations.count() > 0);
        let of = |statement: logs::StatementDurations| LoggedStatement {
            extended: statement.extended > 0,
            text: statement.text,
            durations: statement.durations,
        };
        Ok(with_durations.map(of).collect())
    }
}
