//! `pgwright workload run FILE`: plays a workload in an open loop and shows true percentiles.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as ClapArgs, Subcommand};
use postgres::Target;

use super::{Context, duration};
use crate::error::{CommandError, CommandResult, Exit};
use crate::workload::{self, CancellationToken, Options, Outcome, WorkloadFile};

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
}

/// Runs the command.
///
/// # Errors
/// Fails when the file cannot be understood or the server cannot be reached. Errors of statements are
/// counted in the outcome.
pub async fn run(context: &Context, args: Args) -> CommandResult {
    let Action::Run { file, rate, duration, warm_up, clients, seed, timeout } = args.action;
    let workload = WorkloadFile::read(&file)?;
    let target = context.target()?;
    let options =
        Options { rate, duration, warm_up, clients, seed, statement_timeout: timeout, ..Options::default() };
    let outcome = play(context, &target, &workload, &options, "workload").await?;
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
    let cancel = CancellationToken::new();
    let on_interrupt = tokio::spawn({
        let cancel = cancel.clone();
        async move {
            if tokio::signal::ctrl_c().await.is_ok() {
                cancel.cancel();
            }
        }
    });
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
