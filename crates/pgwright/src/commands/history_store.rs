//! Where is history kept, of which server, and for how long? Options that `serve` and `history` share.

use std::sync::Arc;
use std::time::Duration;

use apply::history::{HistoryOptions, HistoryWriter, Retention};
use clap::Args as ClapArgs;
use exporter::HistoryTap;
use postgres::Target;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::{Context, duration};
use crate::error::CommandError;

/// Readings that may wait to be taken.
const READINGS: usize = 256;

/// Where history is.
#[derive(ClapArgs, Clone, Debug)]
pub struct StoreArgs {
    /// The database that keeps history in schema pgwright, as a connection string; the watched one itself without it.
    #[arg(long, value_name = "URL")]
    pub store: Option<String>,
    /// The name of the watched server in the store; host:port without it.
    #[arg(long, value_name = "NAME")]
    pub source: Option<String>,
}

/// What is kept.
#[derive(ClapArgs, Clone, Debug)]
pub struct KeepingArgs {
    /// Keep history in schema pgwright of the database, or of --store. Without either, nothing is written.
    #[arg(long)]
    pub history: bool,
    #[command(flatten)]
    pub at: StoreArgs,
    /// For how long to keep raw intervals, minutes, hours and days, as in minute=14d. Can be repeated.
    #[arg(long, value_name = "LEVEL=DURATION", value_parser = retention)]
    pub keep: Vec<(history::Level, Duration)>,
}

/// What is to be kept for how long, as in `minute=14d`.
pub fn retention(text: &str) -> Result<(history::Level, Duration), String> {
    let (name, value) = text.split_once('=').ok_or_else(|| format!("\"{text}\" is not LEVEL=DURATION"))?;
    let level = history::Level::of_name(name)
        .ok_or_else(|| format!("\"{name}\" is not a level; there are raw, minute, hour and day"))?;
    let value = duration(value)?;
    let shortest = match level {
        history::Level::Raw => Retention::SHORTEST_RAW,
        _ => Duration::from_secs(86_400),
    };
    if value < shortest {
        let least = if level == history::Level::Raw { "2h" } else { "1d" };
        return Err(format!("\"{text}\" is too short; it is at least {least}"));
    }
    Ok((level, value))
}

impl KeepingArgs {
    /// What reads the history that is kept; nothing where none is.
    ///
    /// # Errors
    /// When a connection string cannot be understood.
    pub fn reader(&self, context: &Context) -> Result<Option<history::Reader>, CommandError> {
        if !self.is_asked() {
            return Ok(None);
        }
        let source = self.at.source(&context.target()?);
        Ok(Some(history::Reader::new(self.at.target(context)?, Some(source))))
    }

    /// Whether history is to be kept.
    pub fn is_asked(&self) -> bool {
        self.history || self.at.store.is_some()
    }
}

impl StoreArgs {
    /// The database that keeps history.
    ///
    /// # Errors
    /// When a connection string cannot be understood.
    pub fn target(&self, context: &Context) -> Result<Target, CommandError> {
        match &self.store {
            Some(url) => context.settings.target_of(url),
            None => context.target(),
        }
    }

    /// The name of the watched server.
    fn source(&self, watched: &Target) -> String {
        self.source.clone().unwrap_or_else(|| source_of(watched))
    }
}

/// The name of a server that has been given none.
pub fn source_of(target: &Target) -> String {
    format!("{}:{}", target.host(), target.port())
}

/// Begins to keep history, where that is asked for: where readings are to go, and the task that ends when everything
/// is written.
///
/// # Errors
/// When the store answers, and takes no history. One that is away is no error.
pub async fn begin(
    context: &Context,
    args: &KeepingArgs,
    watched: &Target,
    interval: Duration,
    stop: watch::Receiver<bool>,
) -> Result<Option<(HistoryTap, JoinHandle<()>)>, CommandError> {
    if !args.is_asked() {
        if args.at.source.is_some() || !args.keep.is_empty() {
            return Err(CommandError::new("no history is to be kept")
                .detail("--source and --keep are about history.")
                .hint("Add --history, or name a database with --store."));
        }
        return Ok(None);
    }
    let store = args.at.target(context)?;
    let mut options = HistoryOptions::new(args.at.source(watched));
    options.limits.interval = interval;
    for (level, keep) in &args.keep {
        match level {
            history::Level::Raw => options.retention.raw = *keep,
            history::Level::Minute => options.retention.minute = *keep,
            history::Level::Hour => options.retention.hour = *keep,
            history::Level::Day => options.retention.day = *keep,
        }
    }
    // What will never work is told at once.
    let opened = match HistoryWriter::open(&store, options.clone()).await {
        Ok(opened) => Some(opened),
        Err(apply::Error::Connect(postgres::Error::Unreachable { .. })) => None,
        Err(error @ apply::Error::HistoryTaken { .. }) => {
            context.printer.status(&format!("warning: {error}; it is tried again and again"));
            None
        }
        Err(error @ apply::Error::Refused(_)) => {
            let mut error = CommandError::from(error);
            let hint = "Name a database that takes writes with --store.";
            error.hint = Some(error.hint.map_or_else(|| hint.into(), |own| format!("{own} {hint}")));
            return Err(error);
        }
        Err(error) => return Err(error.into()),
    };
    let (sender, receiver) = mpsc::channel(READINGS);
    let status = Arc::new(history::Status::default());
    context.printer.status(&format!("keeping the history of \"{}\" in {store}", options.source));
    let task = tokio::spawn(apply::history::keep((store, opened), options, receiver, status.clone(), stop));
    Ok(Some((HistoryTap { readings: sender, status }, task)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_long_to_keep_is_a_level_and_a_duration() {
        assert_eq!(retention("minute=14d"), Ok((history::Level::Minute, Duration::from_secs(14 * 86_400))));
        assert!(retention("minutes=14d").is_err());
        assert!(retention("raw=1h").is_err_and(|e| e.contains("at least 2h")));
    }
}
