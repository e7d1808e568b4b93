//! The server's log, read again and again for the durations in it.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use exporter::{LogReader, LoggedStatement};
use logs::{GrowingLog, Prefix, analyze};

use crate::commands::latency::log::{durations_of, open, with_durations};
use crate::error::CommandError;

/// A log that is followed.
#[derive(Debug)]
pub struct Followed {
    path: PathBuf,
    /// Nothing until it can be read.
    log: Mutex<Option<GrowingLog>>,
}

impl Followed {
    /// Follows a log, or the logs in a folder, from here on.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn open(path: &Path) -> Result<Self, CommandError> {
        Ok(Self { path: path.to_owned(), log: Mutex::new(Some(open(path)?)) })
    }

    /// Follows a log from when it can be read; until then every reading fails.
    pub fn once_readable(path: &Path) -> Self {
        let log = open(path).ok();
        Self { path: path.to_owned(), log: Mutex::new(log) }
    }
}

impl LogReader for Followed {
    fn read(&self, line_prefix: &str, database: &str) -> Result<Vec<LoggedStatement>, String> {
        let (grown, options) = {
            let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
            let prefix = Prefix::read(line_prefix).map_err(|error| error.to_string())?;
            let log = match &mut *log {
                Some(log) => log,
                log => log.insert(open(&self.path).map_err(|error| error.message)?),
            };
            (log.written().map_err(|error| error.to_string())?, durations_of(prefix, database, log.path()))
        };
        if grown.inputs.is_empty() {
            return Ok(Vec::new());
        }
        let report = analyze(grown.inputs, &options, &mut |_| {}).map_err(|error| error.to_string())?;
        Ok(with_durations(report))
    }
}
