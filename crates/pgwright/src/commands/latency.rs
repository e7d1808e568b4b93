//! `pgwright latency`: how long do statements take, in percentiles, and what do they wait for?
//!
//! `crates/sampling/README.md` tells how percentiles come out of samples and counts.

pub(super) mod log;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use advice::profiling::{Delta, StatementFigures};
use chrono::DateTime;
use clap::Args as ClapArgs;
use exporter::sample_of;
use indicatif::ProgressBar;
use model::{LatencyHistogram, Millis};
use postgres::Target;
use postgres::catalog::SessionState;
use postgres::looking::{Looker, Ticks};
use sampling::{Calls, Estimate, Place, Quantile, Sampler, estimate};
use serde::Serialize;

use self::log::{Log, Logged};
use super::{Context, duration};
use crate::error::{CommandError, CommandResult, Exit};
use crate::printer::one_line;

/// The first version whose sessions say which statement they run.
const SINCE: i32 = 140_000;
/// Of so many looks the time of one is taken.
const TIMED: u64 = 16;
/// How long a look may take.
const LOOK_LIMIT: Duration = Duration::from_secs(30);

/// Arguments.
#[derive(ClapArgs, Debug)]
#[command(before_help = "Examples:\n  pgwright latency\n  pgwright latency --for 10m --json")]
pub struct Args {
    /// How long to watch. Ctrl-C ends it early and shows what was seen.
    #[arg(long = "for", value_name = "DURATION", value_parser = duration, default_value = "60s")]
    window: Duration,
    /// How often to look, at least 10ms apart. Executions that take longer than this are all seen.
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "100ms")]
    interval: Duration,
    /// Take executions from this log too, or from the logs in this folder: what the server writes there while it is watched
    #[arg(long, value_name = "PATH")]
    log: Option<PathBuf>,
    /// How many statements are shown.
    #[arg(long, short = 'n', default_value_t = 20)]
    limit: usize,
}

#[derive(Serialize)]
struct Output {
    seconds: f64,
    looks: u64,
    late_looks: u64,
    /// Median and longest time of a look, as the client saw it, of one look of sixteen.
    look_ms: Option<Millis>,
    longest_look_ms: Option<Millis>,
    active_sessions: f64,
    running_at_the_end: usize,
    hidden_sessions: usize,
    statements: Vec<StatementLatency>,
    notes: Vec<String>,
}

#[derive(Serialize)]
struct StatementLatency {
    queryid: i64,
    query: String,
    /// The mean that the server counted, without the commit.
    counted_mean_ms: Millis,
    /// Executions that the log told.
    logged: u64,
    #[serde(flatten)]
    estimate: Estimate,
}

/// Runs the command.
///
/// # Errors
/// Fails when the server cannot be read, or does not say which statement a session runs.
pub async fn run(context: &Context, args: Args) -> CommandResult {
    if args.interval < Duration::from_millis(10) || args.interval > args.window {
        return Err(CommandError::new("--interval is out of range")
            .detail("It is at least 10 ms, and not longer than --for."));
    }
    let target = context.target()?;
    let counters = context.connect(&target).await?;
    if counters.version_num() < SINCE {
        return Err(CommandError::new("this server does not say which statement a session runs")
            .detail("pg_stat_activity has query_id since PostgreSQL 14.")
            .hint("\"pgwright logs analyze\" gives percentiles from the server's logs."));
    }
    let log = match &args.log {
        Some(path) => Some(Log::begin(path, &counters).await?),
        None => None,
    };
    let before = postgres::statements::read(&counters).await?;
    // Another session looks, so that reading the counters delays no look.
    let watched = watch(context, &target, &args).await?;
    let after = postgres::statements::read(&counters).await?;
    let delta = Delta::between((&before.0, Some(&before.1)), (&after.0, Some(&after.1)));
    let logged = match log {
        Some(log) => {
            // The server hands its log to another process, which writes it a little later.
            tokio::time::sleep(Duration::from_millis(200)).await;
            Some(log.end(context, &delta.statements))
        }
        None => None,
    };
    let interval_ms = args.interval.as_secs_f64() * 1000.0;
    let mut output = output(watched, &delta.statements, logged.as_ref(), interval_ms);
    output.notes.extend(delta.gaps.iter().map(ToString::to_string));
    output.statements.truncate(args.limit);
    if context.printer.json {
        context.printer.json("latency", &output)?;
        return Ok(Exit::Done);
    }
    context.printer.out(&text(context, &output))?;
    for note in &output.notes {
        context.printer.status(&format!("note: {note}"));
    }
    Ok(Exit::Done)
}

/// What was seen.
struct Watched {
    sampler: Sampler,
    looks: LatencyHistogram,
    hidden_sessions: usize,
    /// Samples of active sessions without a statement, as while one is parsed.
    without_id: u64,
}

/// Looks until the time is over or somebody interrupts it.
async fn watch(context: &Context, target: &Target, args: &Args) -> Result<Watched, CommandError> {
    let (target, options) = (target.clone(), context.reading());
    let (interval, window) = (args.interval, args.window);
    let bar = context.printer.bar(window.as_secs().max(1), "watching");
    let interrupted = Arc::new(AtomicBool::new(false));
    let stop = interrupted.clone();
    let mut looking = tokio::task::spawn_blocking(move || {
        let looker = Looker::connect(&target, &options, LOOK_LIMIT.max(interval))?;
        let watched = look_again_and_again(&looker, interval, window, &stop, &bar);
        bar.finish_and_clear();
        watched
    });
    let ended = tokio::select! {
        ended = &mut looking => ended,
        _ = tokio::signal::ctrl_c() => {
            interrupted.store(true, Ordering::Relaxed);
            looking.await
        }
    };
    let watched = ended.map_err(|e| CommandError::new("watching failed").detail(format!("{e}.")))?;
    Ok(watched?)
}

fn look_again_and_again(
    looker: &Looker,
    interval: Duration,
    window: Duration,
    stop: &AtomicBool,
    bar: &ProgressBar,
) -> Result<Watched, postgres::Error> {
    let mut watched = Watched {
        sampler: Sampler::new(i64::try_from(interval.as_micros()).unwrap_or(i64::MAX)),
        looks: LatencyHistogram::default(),
        hidden_sessions: 0,
        without_id: 0,
    };
    let began = Instant::now();
    let mut shown = 0;
    let mut ticks = Ticks::new(interval);
    let mut goes_on = ticks.wait(|| stop.load(Ordering::Relaxed));
    while goes_on {
        let is_last = began.elapsed() >= window;
        let quiet = watched.sampler.quiet_before_us().and_then(DateTime::from_timestamp_micros);
        // How long a look takes is only seen by who waits for it.
        let is_timed = is_last || !ticks.are_short() || watched.sampler.looks.is_multiple_of(TIMED);
        let seen = if is_timed {
            let looked = Instant::now();
            let seen = looker.look(quiet)?;
            watched.looks.record(looked.elapsed().as_secs_f64() * 1000.0);
            seen
        } else {
            looker.look_over(quiet, || goes_on = ticks.wait(|| stop.load(Ordering::Relaxed)))?
        };
        let now = seen.now.timestamp_micros();
        let own = looker.datid();
        let mut hidden = 0;
        let mut samples = Vec::with_capacity(seen.sessions.len());
        for session in seen.sessions.into_iter().filter(|session| Some(session.datid) == own) {
            hidden += usize::from(session.state == SessionState::Hidden);
            watched.without_id +=
                u64::from(session.state == SessionState::Active && session.query_id.is_none());
            samples.extend(sample_of(session));
        }
        watched.hidden_sessions = watched.hidden_sessions.max(hidden);
        watched.sampler.look(now, &samples);
        let seconds = began.elapsed().as_secs();
        if std::mem::replace(&mut shown, seconds) != seconds {
            bar.set_position(seconds);
        }
        if is_last {
            break;
        }
        if is_timed {
            goes_on = ticks.wait(|| stop.load(Ordering::Relaxed));
        }
    }
    Ok(watched)
}

fn output(
    watched: Watched,
    figures: &[StatementFigures],
    logged: Option<&Logged>,
    interval_ms: f64,
) -> Output {
    let sampler = watched.sampler;
    let mut counted: BTreeMap<i64, (&str, Calls)> = BTreeMap::new();
    // Inside of functions nobody sees statements begin and end.
    for figure in figures.iter().filter(|f| f.toplevel && f.calls > 0) {
        let calls = Calls {
            calls: u64::try_from(figure.calls).unwrap_or(0),
            mean_ms: figure.total_exec_time.0 / figure.calls as f64,
        };
        counted.insert(figure.queryid, (&figure.query, calls));
    }
    let mut observed: BTreeMap<i64, sampling::Observed> = BTreeMap::new();
    for (of, seen) in &sampler.statements {
        observed.entry(of.query_id).or_default().merge(seen);
    }
    let mut statements: Vec<StatementLatency> = counted
        .iter()
        .map(|(queryid, (query, calls))| {
            let mut seen = observed.get(queryid).cloned().unwrap_or_default();
            let told = logged.and_then(|log| Some((log.durations.get(queryid)?, log.logging)));
            if let Some((durations, logging)) = told {
                seen.add_log(durations, logging, interval_ms);
            }
            StatementLatency {
                queryid: *queryid,
                query: (*query).to_owned(),
                counted_mean_ms: Millis(calls.mean_ms),
                logged: told.map_or(0, |(durations, _)| durations.samples()),
                estimate: estimate(&seen, *calls, sampler.looks),
            }
        })
        .collect();
    let time = |s: &StatementLatency| {
        s.estimate.calls as f64
            * s.estimate.mean_ms.map_or(s.counted_mean_ms.0, |m| m.0.max(s.counted_mean_ms.0))
    };
    statements.sort_by(|a, b| time(b).total_cmp(&time(a)).then(a.queryid.cmp(&b.queryid)));
    let mut notes = Vec::new();
    if let Some(logged) = logged {
        let executions: u64 = logged.durations.values().map(LatencyHistogram::samples).sum();
        let left_out = match logged.without_commit {
            0 => String::new(),
            n => format!(
                "; {n} that write are left to the looks, because the log of the extended protocol does not hold the commit"
            ),
        };
        notes.push(match &logged.problem {
            Some(problem) => format!("the log could not be used: {problem}"),
            None => format!(
                "the log told {executions} executions of {} statements{left_out}",
                logged.durations.len()
            ),
        });
    }
    let unknown = observed.keys().filter(|id| !counted.contains_key(*id)).count();
    if unknown > 0 {
        notes.push(format!(
            "{unknown} statements were seen that pg_stat_statements did not count: they still run, failed, or were thrown out"
        ));
    }
    if watched.hidden_sessions > 0 {
        notes.push(format!(
            "{} sessions of other roles are hidden; GRANT pg_read_all_stats TO the role shows them",
            watched.hidden_sessions
        ));
    }
    let with_id: u64 = observed.values().map(|o| o.active).sum();
    if watched.without_id > with_id / 5 {
        notes.push(
            "active sessions often do not say which statement they run: is compute_query_id off for some?"
                .into(),
        );
    }
    if sampler.late_looks > 0 {
        notes.push(format!(
            "{} of {} looks came late; longer executions may have been missed in between",
            sampler.late_looks, sampler.looks
        ));
    }
    Output {
        seconds: sampler.seconds(),
        looks: sampler.looks,
        late_looks: sampler.late_looks,
        look_ms: watched.looks.quantile(0.5),
        longest_look_ms: watched.looks.max(),
        active_sessions: sampler.active_sessions(),
        running_at_the_end: sampler.running(),
        hidden_sessions: watched.hidden_sessions,
        statements,
        notes,
    }
}

fn text(context: &Context, output: &Output) -> String {
    let quantile = |of: Option<Quantile>, doubtful: bool| {
        of.map_or_else(
            || "-".into(),
            |q| {
                format!(
                    "{}{}",
                    q.percentile.value,
                    if doubtful && q.place == Place::Body { " ?" } else { "" }
                )
            },
        )
    };
    let rows: Vec<Vec<String>> = output
        .statements
        .iter()
        .map(|s| {
            let e = &s.estimate;
            let waits: Vec<String> =
                e.waits.iter().take(2).map(|w| format!("{} {:.0} %", w.event, w.share * 100.0)).collect();
            vec![
                s.queryid.to_string(),
                e.calls.to_string(),
                s.counted_mean_ms.to_string(),
                quantile(e.percentiles.p50, e.doubtful),
                quantile(e.percentiles.p95, e.doubtful),
                quantile(e.percentiles.p99, e.doubtful),
                e.longest_ms.map_or_else(|| "-".into(), |m| m.to_string()),
                format!("{} + {}", e.tail_samples, e.body_samples),
                format!("{:.2}", e.active_sessions),
                waits.join(", "),
                one_line(&s.query, context.printer.width.saturating_sub(130).max(50)),
            ]
        })
        .collect();
    let table = context.printer.table(
        &[
            ">queryid",
            ">calls",
            ">mean",
            ">P50",
            ">P95",
            ">P99",
            ">longest seen",
            ">long + short seen",
            ">active",
            "waits",
            "statement",
        ],
        &rows,
    );
    let doubtful = output.statements.iter().any(|s| s.estimate.doubtful);
    format!(
        "statements over {:.1} s, {} looks, {:.2} sessions active on average\n\n{table}\n\"mean\" is the server's, without commits; \
         percentiles hold them. Percentiles of too few samples are left out.{}\n",
        output.seconds,
        output.looks,
        output.active_sessions,
        if doubtful {
            " \"?\": what was seen is shorter than what the server counted; the percentile is too low."
        } else {
            ""
        }
    )
}
