//! One file per command. A command resolves its options, calls the libraries and prints; what it
//! computes, other front ends can compute by the same calls.

mod advise;
mod alerts;
mod apply;
mod baseline;
mod check;
mod demo;
mod demo_exercise;
mod demo_measure;
mod demo_report;
mod doctor;
mod explain;
mod history;
mod journal;
mod latency;
mod lint;
mod logged_values;
mod logs;
mod monitoring;
mod partition;
mod profile;
mod report;
mod rewrite;
pub mod serve;
mod snapshot;
mod statistics;
mod undo;
mod verify;
mod what_if;
mod workload;

mod changes;
mod context;
mod cost_model;
mod history_store;
mod kept_advice;
mod proof;
mod track_record;

use clap::Subcommand;

use crate::error::{CommandError, CommandResult};
use crate::settings::{GlobalArgs, Settings};

pub use context::Context;

/// The commands.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Can pgwright work here? Says what is missing and how to mend it.
    Doctor(doctor::Args),
    /// Write everything that advice needs into one file.
    Snapshot(snapshot::Args),
    /// Rank statements by the time they take.
    Profile(profile::Args),
    /// How long do statements take, in true percentiles, and what do they wait for? Watches for a while.
    Latency(latency::Args),
    /// Show a plan as a tree: where time, rows and buffers go, and what is wrong.
    Explain(explain::Args),
    /// Recommend indexes, tried on the planner twin.
    Advise(advise::Args),
    /// What would become of every statement with an index, without one, or with another setting?
    WhatIf(what_if::Args),
    /// Which other text of a statement gives the same rows for less, and how sure is that?
    Rewrite(rewrite::Args),
    /// Which statistics would let the planner estimate truly? Tried on samples.
    Statistics(statistics::Args),
    /// Find what is wrong with a schema, its indexes and its upkeep, or with a migration.
    Lint(lint::Args),
    /// Show what a recommendation would run; make the changes with --execute.
    Apply(apply::Args),
    /// Take back what apply did.
    Undo(undo::Args),
    /// Did applied recommendations hold what they promised?
    Verify(verify::Args),
    /// Show what was done, step by step.
    Journal(journal::Args),
    /// Store per-statement numbers, and compare with them later.
    Baseline(baseline::Args),
    /// Did a statement become worse? For CI: exit 1 when one did.
    Check(check::Args),
    /// Partitioned tables: what they are like, and what keeps them so.
    Partition(partition::Args),
    /// Play a workload file against a database, in an open loop.
    Workload(workload::Args),
    /// What do the server's logs say? Slow statements with percentiles, errors, locks, checkpoints.
    Logs(logs::Args),
    /// Watch a server, and answer Prometheus: metrics, latency histograms, waits.
    Serve(Box<serve::Args>),
    /// What became slower, since when, and how did it go over time? Reads what serve --history keeps.
    History(history::Args),
    /// Alerts and dashboards over what serve tells, as files for Prometheus and Grafana.
    Monitoring(monitoring::Args),
    /// Which conditions does serve judge, how do they stand, what is silenced?
    Alerts(alerts::Args),
    /// Write what was found and done as Markdown, HTML or JSON.
    Report(report::Args),
    /// Generate a slow database, make it fast, and prove it.
    Demo(demo::Args),
}

impl Command {
    /// What runs what is asynchronous. A command that runs beside a server for ever has one thread for it: each more costs
    /// memory, and cores that the server could use. One that only looks again and again has no other thread, because each
    /// look would go from one to the other and back.
    pub fn runtime(&self) -> tokio::runtime::Builder {
        match self {
            Self::Latency(_) => tokio::runtime::Builder::new_current_thread(),
            Self::Serve(_) => {
                let mut runtime = tokio::runtime::Builder::new_multi_thread();
                runtime.worker_threads(1);
                runtime
            }
            _ => tokio::runtime::Builder::new_multi_thread(),
        }
    }
}

/// Runs one command.
///
/// # Errors
/// Fails as the command does.
pub async fn run(command: Command, global: &GlobalArgs) -> CommandResult {
    let context = Context::new(Settings::resolve(global)?, global);
    match command {
        Command::Doctor(args) => doctor::run(&context, args).await,
        Command::Snapshot(args) => snapshot::run(&context, args).await,
        Command::Profile(args) => profile::run(&context, args).await,
        Command::Latency(args) => latency::run(&context, args).await,
        Command::Explain(args) => explain::run(&context, args).await,
        Command::Advise(args) => advise::run(&context, args).await,
        Command::WhatIf(args) => what_if::run(&context, args).await,
        Command::Rewrite(args) => rewrite::run(&context, args).await,
        Command::Statistics(args) => statistics::run(&context, args).await,
        Command::Lint(args) => lint::run(&context, args).await,
        Command::Apply(args) => apply::run(&context, args).await,
        Command::Undo(args) => undo::run(&context, args).await,
        Command::Verify(args) => verify::run(&context, args).await,
        Command::Journal(args) => journal::run(&context, args).await,
        Command::Baseline(args) => baseline::run(&context, args).await,
        Command::Check(args) => check::run(&context, args).await,
        Command::Partition(args) => partition::run(&context, args, global.config.clone()).await,
        Command::Workload(args) => workload::run(&context, args).await,
        Command::Logs(args) => logs::run(&context, args),
        Command::Serve(args) => serve::run(&context, *args).await,
        Command::History(args) => history::run(&context, args).await,
        Command::Monitoring(args) => monitoring::run(&context, args),
        Command::Alerts(args) => alerts::run(&context, args).await,
        Command::Report(args) => report::run(&context, args).await,
        Command::Demo(args) => demo::run(&context, args).await,
    }
}

/// Parses `30s`, `5m`, `250ms`, `1h`, `2d` or a bare number of seconds.
pub fn duration(text: &str) -> Result<std::time::Duration, String> {
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let value: f64 = number.parse().map_err(|_| format!("\"{text}\" is not a duration such as 30s or 5m"))?;
    let seconds = match unit {
        "ms" => value / 1000.0,
        "" | "s" => value,
        "m" | "min" => value * 60.0,
        "h" => value * 3600.0,
        "d" => value * 86_400.0,
        _ => return Err(format!("\"{unit}\" is not a unit; use ms, s, m, h or d")),
    };
    std::time::Duration::try_from_secs_f64(seconds).map_err(|_| format!("\"{text}\" is out of range"))
}

/// Reads a file, with an error that names it.
pub(crate) fn read_text(path: &std::path::Path) -> Result<String, CommandError> {
    std::fs::read_to_string(path).map_err(|e| {
        CommandError::new(format!("could not read \"{}\"", path.display())).detail(format!("{e}."))
    })
}

/// Writes a file, with an error that names it.
pub(crate) fn write_text(path: &std::path::Path, text: &str) -> Result<(), CommandError> {
    std::fs::write(path, text).map_err(|e| {
        CommandError::new(format!("could not write \"{}\"", path.display())).detail(format!("{e}."))
    })
}

#[cfg(test)]
mod tests {
    use super::duration;

    #[test]
    fn durations_carry_their_unit() {
        assert_eq!(duration("30s").map(|d| d.as_secs()), Ok(30));
        assert_eq!(duration("250ms").map(|d| d.as_millis()), Ok(250));
        assert_eq!(duration("2d").map(|d| d.as_secs()), Ok(172_800));
        assert_eq!(duration("1.5m").map(|d| d.as_secs()), Ok(90));
        assert!(duration("soon").is_err());
        assert!(duration("5 parsecs").is_err());
    }
}
