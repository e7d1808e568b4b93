//! `pgwright history`: what became slower, since when, and how did it go over time? Reads what `serve --history` keeps.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use clap::Args as ClapArgs;
use history::{
    Level, Overview, Reader, Series, Sort, Spent, StatementChange, StatementHistory, Statements, Waits,
    Window,
};
use model::Millis;
use sampling::{Place, Quantile};

use super::history_store::{StoreArgs, source_of};
use super::{Context, duration};
use crate::error::{CommandError, CommandResult, Exit};
use crate::printer::one_line;

/// Arguments.
#[derive(ClapArgs, Debug)]
#[command(
    before_help = "Examples:\n  pgwright history --last 24h --ago 7d\n  pgwright history --statements p99 --last 1h\n  pgwright history --statement 2635370773390382812"
)]
pub struct Args {
    #[command(flatten)]
    at: StoreArgs,
    /// How far back the window reaches.
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "24h")]
    last: Duration,
    /// When the window ends, as 2026-03-01T12:00:00Z; now without it.
    #[arg(long, value_name = "TIME")]
    until: Option<DateTime<Utc>>,
    /// Compare with the window that ended so long before, as 7d for the same day of last week; without it, with the
    /// window just before.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    ago: Option<Duration>,
    /// Show statements by time, calls, mean, rows, read, temp, wal or p99 instead.
    #[arg(long, value_name = "ORDER", value_parser = sort, num_args = 0..=1, default_missing_value = "time", group = "what")]
    statements: Option<Sort>,
    /// Show one statement over time instead.
    #[arg(long, value_name = "QUERYID", allow_negative_numbers = true, group = "what")]
    statement: Option<i64>,
    /// Show what active sessions waited for instead.
    #[arg(long, group = "what")]
    waits: bool,
    /// Show a figure of the server over time instead, as transactions_committed.
    #[arg(long, value_name = "NAME", group = "what")]
    series: Option<String>,
    /// How many rows are shown.
    #[arg(long, short = 'n', value_name = "N", default_value_t = 20)]
    limit: usize,
}

fn sort(text: &str) -> Result<Sort, String> {
    Sort::of_name(text).ok_or_else(|| {
        let names: Vec<&str> = Sort::ALL.iter().map(|sort| sort.name()).collect();
        format!("\"{text}\" is not an order; there are {}", names.join(", "))
    })
}

/// Runs the command.
///
/// # Errors
/// Fails when the store cannot be read, holds no history, or not what was asked for.
pub async fn run(context: &Context, args: Args) -> CommandResult {
    let store = args.at.target(context)?;
    // In a store of its own there may be several servers; in its own database it is the watched one's.
    let source = match (&args.at.source, &args.at.store) {
        (Some(name), _) => Some(name.clone()),
        (None, Some(_)) => {
            context.settings.url.is_some().then(|| context.target().map(|t| source_of(&t))).transpose()?
        }
        (None, None) => None,
    };
    let reader = Reader::new(store, source);
    let window = window(&args)?;
    let printer = &context.printer;
    if let Some(order) = args.statements {
        let found = reader.statements(window, order, args.limit).await?;
        return show(context, "history-statements", &found, statements_text);
    }
    if let Some(queryid) = args.statement {
        let found = reader.statement(queryid, None, window).await?;
        return show(context, "history-statement", &found, statement_text);
    }
    if args.waits {
        let found = reader.waits(window).await?;
        return show(context, "history-waits", &found, waits_text);
    }
    if let Some(name) = &args.series {
        let found = reader.series(name, window).await?;
        return show(context, "history-series", &found, series_text);
    }
    let reference = args.ago.map(|ago| shifted(window, ago)).transpose()?;
    let found = reader.overview(window, reference, args.limit).await?;
    show(context, "history", &found, overview_text)?;
    if found.reference_seconds <= 0.0 && !printer.json {
        printer.status("note: there is nothing to compare with yet; history begins with the window");
    }
    Ok(Exit::Done)
}

fn show<T: serde::Serialize>(
    context: &Context,
    schema: &str,
    found: &T,
    text: fn(&Context, &T) -> String,
) -> CommandResult {
    if context.printer.json {
        context.printer.json(schema, found)?;
    } else {
        context.printer.out(&text(context, found))?;
    }
    Ok(Exit::Done)
}

fn out_of_range(option: &str) -> CommandError {
    CommandError::new(format!("{option} is out of range"))
}

fn window(args: &Args) -> Result<Window, CommandError> {
    let to = args.until.unwrap_or_else(Utc::now);
    let last = TimeDelta::from_std(args.last).ok().filter(|last| *last > TimeDelta::zero());
    let from = last.and_then(|last| to.checked_sub_signed(last)).ok_or_else(|| out_of_range("--last"))?;
    Ok(Window { from, to })
}

fn shifted(window: Window, ago: Duration) -> Result<Window, CommandError> {
    let ago = TimeDelta::from_std(ago).map_err(|_| out_of_range("--ago"))?;
    let back = |at: DateTime<Utc>| at.checked_sub_signed(ago).ok_or_else(|| out_of_range("--ago"));
    Ok(Window { from: back(window.from)?, to: back(window.to)? })
}

fn time(at: DateTime<Utc>) -> String {
    at.format("%F %H:%M").to_string()
}

fn span(window: &Window) -> String {
    format!("{} to {} UTC", time(window.from), time(window.to))
}

fn ms(value: Option<f64>) -> String {
    value.map_or_else(|| "-".into(), |ms| Millis(ms).to_string())
}

fn quantile(of: Option<Quantile>, doubtful: bool) -> String {
    of.map_or_else(
        || "-".into(),
        |q| format!("{}{}", q.percentile.value, if doubtful && q.place == Place::Body { " ?" } else { "" }),
    )
}

/// Seconds per hour with a sign.
fn seconds(value: f64) -> String {
    if value.abs() < 0.005 { "0".into() } else { format!("{value:+.2}") }
}

/// From one value to another; one alone where both are the same.
fn change(before: Option<String>, now: String) -> String {
    match before {
        Some(before) if before != now => format!("{before} → {now}"),
        _ => now,
    }
}

fn queryid(id: i64) -> String {
    if id == 0 { "others".into() } else { id.to_string() }
}

fn text_of(context: &Context, query: Option<&str>, used: usize) -> String {
    one_line(query.unwrap_or(""), context.printer.width.saturating_sub(used).max(40))
}

fn overview_text(context: &Context, found: &Overview) -> String {
    let row = |c: &StatementChange| {
        let before = |part: fn(&Spent) -> String| c.before.as_ref().map(part);
        vec![
            queryid(c.key.queryid),
            c.key.datname.clone(),
            c.slower_seconds_per_hour.map_or_else(|| "new".into(), seconds),
            seconds(c.more_calls_seconds_per_hour),
            format!("{:.2}", c.now.seconds_per_hour),
            change(before(|s| ms(s.mean_ms)), ms(c.now.mean_ms)),
            change(
                before(|s| quantile(s.percentiles.p50, s.doubtful)),
                quantile(c.now.percentiles.p50, c.now.doubtful),
            ),
            change(
                before(|s| quantile(s.percentiles.p99, s.doubtful)),
                quantile(c.now.percentiles.p99, c.now.doubtful),
            ),
            c.since.map_or_else(|| "-".into(), |at| bucket_time(found.level, at)),
            text_of(context, c.query.as_deref(), 150),
        ]
    };
    let rows: Vec<Vec<String>> = found.statements.iter().map(row).collect();
    let table = context.printer.table(
        &[
            ">queryid",
            "database",
            ">slower s/h",
            ">more calls s/h",
            ">s/h",
            ">mean",
            ">P50",
            ">P99",
            "since",
            "statement",
        ],
        &rows,
    );
    let compared = if found.reference_seconds > 0.0 {
        format!(
            "compared with {}: {:.1} s of execution per hour, before {:.1} s",
            span(&found.reference),
            found.seconds_per_hour,
            found.reference_seconds_per_hour
        )
    } else {
        format!("{:.1} s of execution per hour", found.seconds_per_hour)
    };
    format!(
        "{}, {compared}\n\n{table}\n\"slower s/h\": seconds per hour lost to longer executions at the calls of now, negative when \
         gained; \"more calls s/h\": the rest of the change. {} of {} statements, by {}.\n",
        span(&found.window),
        found.statements.len(),
        found.statements_total,
        found.level.name()
    )
}

fn statements_text(context: &Context, found: &Statements) -> String {
    let rows: Vec<Vec<String>> = found
        .statements
        .iter()
        .map(|(key, query, spent)| {
            vec![
                queryid(key.queryid),
                key.datname.clone(),
                format!("{:.2}", spent.seconds_per_hour),
                format!("{:.0}", spent.calls_per_hour),
                ms(spent.mean_ms),
                quantile(spent.percentiles.p50, spent.doubtful),
                quantile(spent.percentiles.p95, spent.doubtful),
                quantile(spent.percentiles.p99, spent.doubtful),
                format!("{:.0}", spent.figures.blocks_read),
                format!("{:.0}", spent.figures.temp_blocks),
                text_of(context, query.as_deref(), 120),
            ]
        })
        .collect();
    let headers = [
        ">queryid",
        "database",
        ">s/h",
        ">calls/h",
        ">mean",
        ">P50",
        ">P95",
        ">P99",
        ">blocks read",
        ">temp blocks",
        "statement",
    ];
    format!(
        "{}, {:.0} s watched, {} of {} statements\n\n{}\n",
        span(&found.window),
        found.seconds,
        found.statements.len(),
        found.statements_total,
        context.printer.table(&headers, &rows)
    )
}

fn statement_text(context: &Context, found: &StatementHistory) -> String {
    let rows: Vec<Vec<String>> = found
        .buckets
        .iter()
        .filter(|b| b.spent.figures.calls > 0.0 || !b.active_sessions.is_empty())
        .map(|b| {
            let mut waits: Vec<(&String, &f64)> = b.active_sessions.iter().collect();
            waits.sort_by(|a, b| b.1.total_cmp(a.1).then_with(|| a.0.cmp(b.0)));
            let waits: Vec<String> =
                waits.into_iter().take(2).map(|(event, n)| format!("{event} {n:.2}")).collect();
            vec![
                bucket_time(found.level, b.at),
                format!("{:.0}", b.spent.figures.calls),
                format!("{:.2}", b.spent.seconds_per_hour),
                ms(b.spent.mean_ms),
                quantile(b.spent.percentiles.p50, b.spent.doubtful),
                quantile(b.spent.percentiles.p95, b.spent.doubtful),
                quantile(b.spent.percentiles.p99, b.spent.doubtful),
                waits.join(", "),
            ]
        })
        .collect();
    let headers = ["UTC", ">calls", ">s/h", ">mean", ">P50", ">P95", ">P99", "active sessions"];
    format!(
        "{}\n{}; databases {}; users {}\n\n{}\n{}",
        text_of(context, found.query.as_deref(), 0),
        span(&found.window),
        found.databases.join(", "),
        found.users.join(", "),
        context.printer.table(&headers, &rows),
        plans_text(found)
    )
}

/// When its plan changed, and what is other about it.
fn plans_text(found: &StatementHistory) -> String {
    let mut text = String::new();
    for pair in found.plans.windows(2).filter(|pair| pair[0].shape_hash != pair[1].shape_hash) {
        let (Ok(before), Ok(now)) =
            (plan::Plan::from_json(&pair[0].plan), plan::Plan::from_json(&pair[1].plan))
        else {
            continue;
        };
        text.push_str(&format!(
            "\nanother plan since {}, cost {:.0} → {:.0}\n",
            pair[1].at.format("%F %T"),
            pair[0].cost,
            pair[1].cost
        ));
        for line in plan::diff::diff(&before, &now).lines().into_iter().skip(1) {
            text.push_str(&format!("  {line}\n"));
        }
    }
    text
}

fn bucket_time(level: Level, at: DateTime<Utc>) -> String {
    match level {
        Level::Raw => at.format("%F %T").to_string(),
        Level::Minute | Level::Hour => time(at),
        Level::Day => at.format("%F").to_string(),
    }
}

/// How many waits have columns of their own.
const WAITS_SHOWN: usize = 6;

fn waits_text(context: &Context, found: &Waits) -> String {
    let shown = found.events.len().min(WAITS_SHOWN);
    let mut headers: Vec<String> = vec!["UTC".into(), ">sessions".into()];
    headers.extend(found.events.iter().take(shown).map(|event| format!(">{event}")));
    if found.events.len() > shown {
        headers.push(">others".into());
    }
    let rows: Vec<Vec<String>> = found
        .buckets
        .iter()
        .map(|b| {
            let sum = |of: &[f64]| format!("{:.2}", of.iter().sum::<f64>());
            let mut row = vec![bucket_time(found.level, b.at), sum(&b.active_sessions)];
            row.extend(b.active_sessions.iter().take(shown).map(|n| format!("{n:.2}")));
            if found.events.len() > shown {
                row.push(sum(b.active_sessions.get(shown..).unwrap_or_default()));
            }
            row
        })
        .collect();
    let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
    format!("active sessions, {}\n\n{}\n", span(&found.window), context.printer.table(&headers, &rows))
}

fn series_text(context: &Context, found: &Series) -> String {
    let unit = match found.kind {
        history::series::Kind::Counter => format!("{} per second", found.unit),
        history::series::Kind::Gauge => found.unit.to_owned(),
    };
    let mut rows = Vec::new();
    for line in &found.lines {
        for point in &line.points {
            rows.push(vec![
                bucket_time(found.level, point.at),
                line.label.clone(),
                format!("{:.2}", point.value),
                format!("{:.2}", point.high),
            ]);
        }
    }
    format!(
        "{} ({unit}), {}\n\n{}\n",
        found.help,
        span(&found.window),
        context.printer.table(&["UTC", "of", ">mean", ">highest"], &rows)
    )
}
