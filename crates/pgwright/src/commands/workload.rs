//! `pgwright workload run FILE`: plays a workload in an open loop and shows true percentiles.
//! `pgwright workload ingest FILE`: how many rows per second go in, and what indexes take of it.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as ClapArgs, Subcommand};
use postgres::Target;

use super::{Context, duration};
use crate::error::{CommandError, CommandResult, Exit};
use crate::workload::{
    self, CancellationToken, IngestOptions, IngestOutcome, Options, Outcome, Rounds, WorkloadFile,
};

/// Arguments.
#[derive(ClapArgs, Debug)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// Send the statements of a file at a fixed rate and measure how long clients wait.
    ///
    /// The file is described in docs/reference/workload-file.md. Its statements may write: point it at
    /// a database in which that is meant.
    Run {
        /// The workload file.
        file: PathBuf,
        /// Arrivals per second; they do not wait for answers.
        #[arg(long, default_value_t = 10.0)]
        rate: f64,
        /// How long arrivals are counted: 60s, 5m.
        #[arg(long, default_value = "60s", value_parser = duration)]
        duration: Duration,
        /// How long it runs before it counts.
        #[arg(long, default_value = "0s", value_parser = duration)]
        warm_up: Duration,
        /// Sessions that send the statements.
        #[arg(long, default_value_t = 8)]
        clients: usize,
        /// The same seed gives the same arrivals and parameters.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// `statement_timeout` of the sessions.
        #[arg(long, value_parser = duration)]
        timeout: Option<Duration>,
    },
    /// Measure how many rows per second go in, and with --against what other indexes would let in.
    ///
    /// Rows are committed and deleted again at the end: point it at copies of a database.
    Ingest {
        /// The workload file; its section [ingest] tells the rows.
        file: PathBuf,
        /// Another database to write to, by turns: a copy with other indexes. May be given several times.
        #[arg(long, value_name = "URL")]
        against: Vec<String>,
        /// How often each database has a turn.
        #[arg(long, default_value_t = 12)]
        rounds: usize,
        /// How long a turn is.
        #[arg(long, default_value = "1s", value_parser = duration)]
        turn: Duration,
        /// How long each database is written to before it counts.
        #[arg(long, default_value = "2s", value_parser = duration)]
        warm_up: Duration,
        /// Sessions that write.
        #[arg(long, default_value_t = 2)]
        clients: usize,
        /// The same seed gives the same rows.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Leave the rows in.
        #[arg(long)]
        keep_rows: bool,
    },
}

/// Runs the command.
///
/// # Errors
/// Fails when the file cannot be understood or the server cannot be reached. Errors of statements are
/// counted in the outcome.
pub async fn run(context: &Context, args: Args) -> CommandResult {
    match args.action {
        Action::Run { file, rate, duration, warm_up, clients, seed, timeout } => {
            let workload = WorkloadFile::read(&file)?;
            let options = Options {
                rate,
                duration,
                warm_up,
                clients,
                seed,
                statement_timeout: timeout,
                ..Options::default()
            };
            run_file(context, &workload, &options).await
        }
        Action::Ingest { file, against, rounds, turn, warm_up, clients, seed, keep_rows } => {
            let workload = WorkloadFile::read(&file)?;
            let options = IngestOptions { clients, seed, clean_up: !keep_rows, ..IngestOptions::default() };
            ingest(context, &workload, &against, &options, &Rounds { warm_up, turn, count: rounds }).await
        }
    }
}

async fn run_file(context: &Context, workload: &WorkloadFile, options: &Options) -> CommandResult {
    let target = context.target()?;
    let outcome = play(context, &target, workload, options, "workload").await?;
    if context.printer.json {
        context.printer.json("workload", &outcome)?;
    } else {
        context.printer.out(&table(context, &outcome))?;
    }
    Ok(if outcome.overall.failed + outcome.overall.timeouts + outcome.overall.unanswered > 0 {
        context.printer.status("warning: not every request was answered");
        Exit::Findings
    } else {
        Exit::Done
    })
}

async fn ingest(
    context: &Context,
    workload: &WorkloadFile,
    against: &[String],
    options: &IngestOptions,
    rounds: &Rounds,
) -> CommandResult {
    let mut targets = Vec::new();
    // What the others are compared with comes first.
    for url in against {
        targets.push(Target::parse(Some(url), &context.settings.environment)?);
    }
    targets.push(context.target()?);
    let turns = u32::try_from(rounds.count).unwrap_or(u32::MAX).saturating_mul(targets.len() as u32);
    let total = (rounds.warm_up * targets.len() as u32).saturating_add(rounds.turn.saturating_mul(turns));
    let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let bar = context.printer.bar(millis(total), "ingestion");
    let (cancel, on_interrupt) = cancel_on_interrupt();
    let references: Vec<&Target> = targets.iter().collect();
    let outcomes = workload::ingest_rates(&references, workload, options, rounds, cancel, &|elapsed| {
        bar.set_position(millis(elapsed));
    })
    .await;
    on_interrupt.abort();
    bar.finish_and_clear();
    let outcomes = outcomes?;
    if context.printer.json {
        let databases: Vec<_> = targets
            .iter()
            .zip(&outcomes)
            .map(|(target, outcome)| serde_json::json!({ "database": target.database(), "outcome": outcome }))
            .collect();
        context.printer.json("ingest", &serde_json::json!({ "databases": databases }))?;
    } else {
        context.printer.out(&ingest_table(context, &targets, &outcomes))?;
    }
    Ok(Exit::Done)
}

/// The ingestion as a table, a row per database.
fn ingest_table(context: &Context, targets: &[Target], outcomes: &[IngestOutcome]) -> String {
    let percent = |share: f64| format!("{:.1} %", share * 100.0);
    let micros = |value: Option<f64>| value.map_or_else(|| "-".into(), |v| format!("{v:.1} µs"));
    let rows: Vec<Vec<String>> = targets
        .iter()
        .zip(outcomes)
        .map(|(target, outcome)| {
            let (ratio, time) = (outcome.to_first, outcome.time_per_row);
            vec![
                crate::printer::plain(target.database()),
                format!("{:.0}", outcome.rows_per_second),
                ratio.map_or_else(|| "-".into(), |r| percent(r.median)),
                ratio.map_or_else(
                    || "-".into(),
                    |r| format!("{} to {}", percent(r.lower_quartile), percent(r.upper_quartile)),
                ),
                micros(time.map(|t| t.insert_us)),
                micros(time.map(|t| t.update_us)),
                micros(time.map(|t| t.other_us)),
                format!("{:.0} bytes", outcome.wal_bytes_per_row),
            ]
        })
        .collect();
    let headers =
        ["database", ">rows/s", ">of the first", ">quartiles", ">INSERT", ">UPDATE", ">the rest", ">log"];
    let rounds = outcomes.first().map_or(0, |outcome| outcome.turns.len());
    format!(
        "{rounds} rounds of one turn per database; times and log are per inserted row\n\n{}",
        context.printer.table(&headers, &rows)
    )
}

/// Cancels at Ctrl-C; the task is to be aborted when nothing is left to cancel.
fn cancel_on_interrupt() -> (CancellationToken, tokio::task::JoinHandle<()>) {
    let cancel = CancellationToken::new();
    let task = tokio::spawn({
        let cancel = cancel.clone();
        async move {
            if tokio::signal::ctrl_c().await.is_ok() {
                cancel.cancel();
            }
        }
    });
    (cancel, task)
}

/// Runs a workload with a progress bar; Ctrl-C ends it early and keeps what was measured.
///
/// # Errors
/// Fails as [`workload::run`] does.
pub(super) async fn play(
    context: &Context,
    target: &Target,
    file: &WorkloadFile,
    options: &Options,
    message: &str,
) -> Result<Outcome, CommandError> {
    let total = options.warm_up + options.duration;
    let bar = context.printer.bar(u64::try_from(total.as_millis()).unwrap_or(u64::MAX), message);
    let (cancel, on_interrupt) = cancel_on_interrupt();
    let result = workload::run(target, file, options, cancel, &|progress| {
        bar.set_position(u64::try_from(progress.elapsed.as_millis()).unwrap_or(u64::MAX));
    })
    .await;
    on_interrupt.abort();
    bar.finish_and_clear();
    Ok(result?)
}

/// The outcome as a table: each statement, then all together.
pub(super) fn table(context: &Context, outcome: &Outcome) -> String {
    let ms = |v: f64| model::Millis(v).to_string();
    let rows: Vec<Vec<String>> = outcome
        .statements
        .iter()
        .chain([&outcome.overall])
        .map(|s| {
            vec![
                if s.name.is_empty() { "all".into() } else { s.name.clone() },
                s.arrivals.to_string(),
                ms(s.latency.mean_ms()),
                ms(s.latency.percentile_ms(50.0)),
                ms(s.latency.percentile_ms(95.0)),
                ms(s.latency.percentile_ms(99.0)),
                ms(s.latency.max_ms()),
                s.failed.to_string(),
                s.timeouts.to_string(),
                s.unanswered.to_string(),
            ]
        })
        .collect();
    let mut text = format!(
        "{:.0} arrivals per second for {:.0} s, {} sessions; {:.1} answered per second\nlatency from arrival to answer, waiting included\n\n",
        outcome.rate, outcome.seconds, outcome.clients, outcome.achieved_rate
    );
    text.push_str(&context.printer.table(
        &[
            "statement",
            ">arrivals",
            ">mean",
            ">P50",
            ">P95",
            ">P99",
            ">max",
            ">failed",
            ">timed out",
            ">unanswered",
        ],
        &rows,
    ));
    for statement in &outcome.statements {
        for (sqlstate, error) in &statement.errors {
            text.push_str(&format!(
                "\n{}: {} × SQLSTATE {}: {}\n",
                statement.name,
                error.count,
                sqlstate,
                crate::printer::plain(&error.message)
            ));
        }
    }
    text
}
