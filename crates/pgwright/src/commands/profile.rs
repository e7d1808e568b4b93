//! `pgwright profile`: which statements take the time?
//!
//! Over the life of the counters, since a stored baseline, or over the next seconds. pgwright's own
//! queries are left out.

use std::time::Duration;

use advice::profiling::{Delta, RankedStatement, Sort, rank, rank_figures};
use apply::store::BaselineRef;
use clap::Args as ClapArgs;
use model::snapshot::{Statement, StatementsInfo};

use super::context::SnapshotSource;
use super::{Context, duration};
use crate::error::{CommandError, CommandResult, Exit};
use crate::printer::one_line;

/// Arguments.
#[derive(ClapArgs, Debug)]
#[command(
    before_help = "Examples:\n  pgwright profile\n  pgwright profile --for 30s --sort mean\n  pgwright profile --since before-release"
)]
pub struct Args {
    #[command(flatten)]
    source: SnapshotSource,
    /// Only what happened since this baseline: its name, #number, or latest.
    #[arg(long, value_name = "BASELINE", conflicts_with_all = ["window", "snapshot"])]
    since: Option<String>,
    /// Only what happens within this time from now.
    #[arg(long = "for", value_name = "DURATION", value_parser = duration, conflicts_with = "snapshot")]
    window: Option<Duration>,
    /// The order.
    #[arg(long, value_enum, default_value = "total")]
    sort: SortName,
    /// How many statements are shown.
    #[arg(long, short = 'n', default_value_t = 20)]
    limit: usize,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum SortName {
    Total,
    Mean,
    Max,
    Calls,
    Rows,
    Reads,
    Temp,
    Wal,
}

impl From<SortName> for Sort {
    fn from(name: SortName) -> Self {
        match name {
            SortName::Total => Self::Total,
            SortName::Mean => Self::Mean,
            SortName::Max => Self::Max,
            SortName::Calls => Self::Calls,
            SortName::Rows => Self::Rows,
            SortName::Reads => Self::Reads,
            SortName::Temp => Self::Temp,
            SortName::Wal => Self::Wal,
        }
    }
}

/// Runs the command.
///
/// # Errors
/// Fails when the server or the baseline cannot be read.
pub async fn run(context: &Context, args: Args) -> CommandResult {
    let sort = Sort::from(args.sort);
    let (ranked, period, gaps) = if args.source.snapshot.is_some() {
        let snapshot = context.snapshot(&args.source).await?;
        (
            rank(&snapshot.statements, sort, args.limit),
            period_of(snapshot.statements_info.as_ref()),
            Vec::new(),
        )
    } else {
        let target = context.target()?;
        let session = context.connect(&target).await?;
        let read = match (&args.since, args.window) {
            (Some(name), _) => {
                let baseline = apply::store::load(&target, &BaselineRef::parse(name)).await?;
                let then = info_of(&baseline);
                let (now, info) = postgres::statements::read(&session).await?;
                let delta = Delta::between((&baseline.statements, then.as_ref()), (&now, Some(&info)));
                let period = format!(
                    "since baseline \"{}\" of {}",
                    baseline.name,
                    baseline.taken_at.format("%Y-%m-%d %H:%M UTC")
                );
                (rank_figures(&delta.statements, sort, args.limit), period, delta.gaps)
            }
            (None, Some(window)) => {
                let (before, info_before) = postgres::statements::read(&session).await?;
                wait(context, window).await;
                let (after, info_after) = postgres::statements::read(&session).await?;
                let delta = Delta::between((&before, Some(&info_before)), (&after, Some(&info_after)));
                (
                    rank_figures(&delta.statements, sort, args.limit),
                    format!("over {} s", window.as_secs_f64()),
                    delta.gaps,
                )
            }
            (None, None) => {
                let (statements, info) = postgres::statements::read(&session).await?;
                (rank(&statements, sort, args.limit), period_of(Some(&info)), Vec::new())
            }
        };
        let hidden = postgres::statements::hidden(&session).await?;
        if hidden > 0 {
            context.printer.status(&format!(
                "note: {hidden} statements of other roles are hidden; GRANT pg_read_all_stats TO the role shows them"
            ));
        }
        read
    };
    if context.printer.json {
        context
            .printer
            .json("profile", &serde_json::json!({ "period": period, "statements": ranked, "gaps": gaps }))?;
    } else {
        context.printer.out(&format!("statements {period}\n\n{}", table(context, &ranked)))?;
        for gap in &gaps {
            context.printer.status(&format!("note: {gap}"));
        }
    }
    Ok(Exit::Done)
}

/// What a baseline knows of the state of `pg_stat_statements` when it was taken.
pub(super) fn info_of(baseline: &apply::store::Baseline) -> Option<StatementsInfo> {
    Some(StatementsInfo {
        version: baseline.details.extension_version.clone()?,
        dealloc: baseline.details.dealloc?,
        stats_reset: baseline.details.stats_reset,
        max: 0,
        track: String::new(),
    })
}

fn period_of(info: Option<&StatementsInfo>) -> String {
    match info.and_then(|i| i.stats_reset) {
        Some(at) => format!("since the counters were reset at {}", at.format("%Y-%m-%d %H:%M UTC")),
        None => "since the counters were reset".into(),
    }
}

async fn wait(context: &Context, window: Duration) {
    let total = u64::try_from(window.as_millis()).unwrap_or(u64::MAX);
    let bar = context.printer.bar(total, "watching");
    let started = tokio::time::Instant::now();
    while started.elapsed() < window {
        tokio::time::sleep(Duration::from_millis(100).min(window.saturating_sub(started.elapsed()))).await;
        bar.set_position(u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX));
    }
    bar.finish_and_clear();
}

/// The profile as a table.
pub(super) fn table(context: &Context, ranked: &[RankedStatement]) -> String {
    let optional = |v: Option<model::Millis>| v.map_or_else(|| "-".into(), |v| v.to_string());
    let rows: Vec<Vec<String>> = ranked
        .iter()
        .map(|s| {
            vec![
                s.queryid.to_string(),
                format!("{:.1} %", s.share_of_time * 100.0),
                s.total_ms.to_string(),
                s.calls.to_string(),
                s.mean_ms.to_string(),
                optional(s.max_ms),
                optional(s.stddev_ms),
                s.rows.to_string(),
                s.cache_hit_ratio.map_or_else(|| "-".into(), |r| format!("{:.1} %", r * 100.0)),
                s.temp_bytes.to_string(),
                s.wal_bytes.to_string(),
                one_line(&s.query, context.printer.width.saturating_sub(118).max(50)),
            ]
        })
        .collect();
    context.printer.table(
        &[
            ">queryid",
            ">share",
            ">total",
            ">calls",
            ">mean",
            ">max",
            ">stddev",
            ">rows",
            ">cache hits",
            ">temp",
            ">WAL",
            "statement",
        ],
        &rows,
    )
}

/// The statements of a server, with an error that says what `doctor` mends.
pub(super) async fn read(
    context: &Context,
    target: &postgres::Target,
) -> Result<(Vec<Statement>, StatementsInfo), CommandError> {
    let session = context.connect(target).await?;
    Ok(postgres::statements::read(&session).await?)
}
