//! How long does each question to history take, and how large is the store? A store with made history: every statement
//! runs in every bucket, so that each level holds as many rows as it can ever hold.
//!
//! Questions are asked warm; the first answer, which reads more from disk, is told beside the median.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use apply::history::{HistoryOptions, HistoryWriter};
use chrono::{DateTime, TimeDelta, Utc};
use cluster::{Binaries, Server, ServerOptions};
use history::{Latency, Level, Reader, Reading, Recorder, Sort, StatementsReading, Window};
use postgres::statistics::StatementCountersRow;
use postgres::{Environment, Target};
use serde_json::{Map, Value, json};
use tokio_postgres::{Client, NoTls};

use crate::benchmark_server::search;

/// Arguments.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Statements.
    #[arg(long, default_value_t = 5000)]
    statements: i32,
    /// Days of history.
    #[arg(long, default_value_t = 30)]
    days: i32,
    /// How often each question is asked.
    #[arg(long, default_value_t = 9)]
    runs: usize,
    /// A server of your own to make the history on, which stays there.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Print nothing but the JSON line.
    #[arg(long)]
    json: bool,
}

/// The name of the server whose history is made.
pub(crate) const SOURCE: &str = "made";
/// Histograms that are made; a row has one of them.
const LATENCIES: i32 = 64;
/// Rows of raw intervals are kept for so many days.
const RAW_DAYS: i32 = 2;
/// Seconds of a raw interval.
const RAW_SECONDS: i32 = 30;

/// Runs the benchmark.
///
/// # Errors
/// When no server can be started, or it refuses.
pub async fn run(args: Args) -> Result<()> {
    let (_server, url) = match &args.url {
        Some(url) => (None, url.clone()),
        None => {
            let server = started()?;
            let url = server.url("postgres");
            (Some(server), url)
        }
    };
    let target = Target::parse(Some(&url), &Environment::default())?;
    // In the middle of an hour, a minute and a day, so that every level has an end that is not complete.
    let now: DateTime<Utc> = "2026-06-30T17:41:30Z".parse()?;
    let Made { interval_ms, hour_ms, rows, seconds, bytes, major } =
        make(&url, args.statements, args.days, now).await?;
    let mut report = Map::new();
    report.insert("statements".into(), json!(args.statements));
    report.insert("days".into(), json!(args.days));
    report.insert("rows".into(), json!(rows));
    report.insert("store_bytes".into(), json!(bytes));
    report.insert("interval_ms".into(), json!(interval_ms));
    report.insert("hour_ms".into(), json!(hour_ms));
    if !args.json {
        println!(
            "{rows} rows in {seconds:.0} s, {:.0} MB with indexes, PostgreSQL {major}",
            bytes as f64 / 1e6,
        );
        println!(
            "writing an interval in which every statement ran: {:.0} ms, rolling up an hour of {} such: {:.0} ms\n",
            interval_ms, INTERVALS, hour_ms
        );
        println!("{:<24}{:>10}{:>12}{:>10}", "question", "first ms", "median ms", "longest");
    }
    let reader = Reader::new(target, Some(SOURCE.into()));
    let mut worst = 0.0_f64;
    for (name, length) in [
        ("1h", TimeDelta::hours(1)),
        ("24h", TimeDelta::hours(24)),
        ("7d", TimeDelta::days(7)),
        ("30d", TimeDelta::days(30)),
    ] {
        let window = Window { from: now - length, to: now };
        for question in QUESTIONS {
            let mut times = Vec::new();
            for _ in 0..args.runs.max(1) {
                let began = Instant::now();
                ask(&reader, question, window).await.with_context(|| format!("{question} of {name}"))?;
                times.push(began.elapsed().as_secs_f64() * 1000.0);
            }
            let first = times[0];
            times.sort_by(f64::total_cmp);
            let (median, longest) = (times[times.len() / 2], times[times.len() - 1]);
            worst = worst.max(median);
            if !args.json {
                println!("{:<24}{first:>10.1}{median:>12.1}{longest:>10.1}", format!("{question} {name}"));
            }
            report.insert(format!("{question}_{name}_ms"), json!((median * 10.0).round() / 10.0));
        }
    }
    report.insert("worst_median_ms".into(), json!((worst * 10.0).round() / 10.0));
    println!("{}", Value::Object(report));
    Ok(())
}

/// A server for a large history.
fn started() -> Result<Server> {
    let binaries = Binaries::discover(&search())
        .into_iter()
        .find(|b| b.major >= 15)
        .context("no PostgreSQL of 15 or later")?;
    let options = ServerOptions::default()
        .throw_away()
        .set("autovacuum", "off")
        .set("fsync", "off")
        .set("synchronous_commit", "off")
        .set("max_wal_size", "4GB")
        .set("shared_buffers", "1GB")
        .set("timezone", "UTC");
    Ok(Server::start(&binaries, options)?)
}

/// What was made, and what it cost.
pub(crate) struct Made {
    interval_ms: f64,
    hour_ms: f64,
    rows: u64,
    seconds: f64,
    bytes: i64,
    major: i32,
}

/// Makes the history of [`SOURCE`] until `now` in a database: `days` of it, in which each of so many statements ran in every bucket.
pub(crate) async fn make(url: &str, statements: i32, days: i32, now: DateTime<Utc>) -> Result<Made> {
    let target = Target::parse(Some(url), &Environment::default())?;
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    let (interval_ms, hour_ms) = write_costs(&target, statements, days, now).await?;
    let began = Instant::now();
    let rows = fill(&client, days, now).await?;
    let seconds = began.elapsed().as_secs_f64();
    let found = client
        .query_one(
            "select sum(pg_total_relation_size(c.oid))::bigint, current_setting('server_version_num')::int / 10000 \
             from pg_class c join pg_namespace n on n.oid = c.relnamespace \
             where n.nspname = 'pgwright' and c.relkind in ('r', 'p')",
            &[],
        )
        .await?;
    Ok(Made { interval_ms, hour_ms, rows, seconds, bytes: found.get(0), major: found.get(1) })
}

const QUESTIONS: [&str; 6] = ["overview", "statements", "statements_p99", "statement", "waits", "series"];

async fn ask(reader: &Reader, question: &str, window: Window) -> Result<(), history::Error> {
    match question {
        "overview" => reader.overview(window, None, 50).await.map(drop),
        "statements" => reader.statements(window, Sort::Time, 50).await.map(drop),
        "statements_p99" => reader.statements(window, Sort::P99, 50).await.map(drop),
        "statement" => reader.statement(7, None, window).await.map(drop),
        "waits" => reader.waits(window).await.map(drop),
        _ => reader.series("transactions_committed", window).await.map(drop),
    }
}

/// Intervals that are written before they are rolled up.
const INTERVALS: u32 = 120;

/// How long it takes to write an interval in which every statement ran, and to roll up an hour of them. It also makes
/// the tables and their partitions, which are emptied afterwards.
async fn write_costs(target: &Target, statements: i32, days: i32, now: DateTime<Utc>) -> Result<(f64, f64)> {
    let options = HistoryOptions::new(SOURCE);
    let (mut writer, resume) = HistoryWriter::open(target, options.clone()).await?;
    let mut recorder = Recorder::new(options.limits);
    recorder.resume(resume);
    let begin = Instant::now();
    let reading = |at: DateTime<Utc>, n: u32| {
        Reading::Statements(Box::new(StatementsReading {
            at,
            instant: begin + Duration::from_secs(u64::from(n) * RAW_SECONDS as u64),
            rows: Some((1..=statements).map(|id| counters(id, f64::from(n))).collect()),
            reset_us: None,
            roles: [(10, "app".to_owned())].into_iter().collect::<std::collections::HashMap<_, _>>().into(),
            own: Default::default(),
            texts: Default::default(),
            databases: Default::default(),
            observed: Default::default(),
            look_seconds: 0.1,
            looks: 0,
            waits: Default::default(),
        }))
    };
    // A day apart, for the partitions of the whole time.
    let mut n = 0;
    for day in (0..=days).rev() {
        if let Some(interval) =
            recorder.take(reading(now - TimeDelta::days(i64::from(day)) - TimeDelta::hours(3), n))
        {
            writer.store(&interval).await?;
            while !writer.roll_up().await?.1 {}
        }
        n += 1;
    }
    let mut times = Vec::new();
    let zero = Level::Hour.floor(now - TimeDelta::hours(2));
    for step in 0..INTERVALS {
        let at = zero + TimeDelta::seconds(i64::from(step) * i64::from(RAW_SECONDS));
        let Some(interval) = recorder.take(reading(at, n)) else { continue };
        let began = Instant::now();
        writer.store(&interval).await?;
        times.push(began.elapsed().as_secs_f64() * 1000.0);
        n += 1;
    }
    let last = recorder.take(reading(zero + TimeDelta::minutes(61), n));
    if let Some(interval) = last {
        writer.store(&interval).await?;
    }
    let began = Instant::now();
    while !writer.roll_up().await?.1 {}
    let hour = began.elapsed().as_secs_f64() * 1000.0;
    times.sort_by(f64::total_cmp);
    Ok((times[times.len() / 2], hour))
}

/// The counters of a statement after so many intervals: those of low number are called often and take long.
fn counters(id: i32, n: f64) -> StatementCountersRow {
    let calls = (60_000.0 / f64::from(id)).ceil() * n;
    StatementCountersRow {
        userid: 10,
        dbid: 5,
        datname: "shop".into(),
        queryid: i64::from(id),
        toplevel: true,
        calls,
        rows: calls,
        exec_seconds: calls * 0.002,
        plan_seconds: 0.0,
        shared_blks_hit: calls * 20.0,
        shared_blks_read: calls,
        shared_blks_dirtied: 0.0,
        shared_blks_written: 0.0,
        temp_blks_read: 0.0,
        temp_blks_written: 0.0,
        read_seconds: 0.0,
        write_seconds: 0.0,
        wal_bytes: calls * 100.0,
        stats_since: None,
    }
}

/// Histograms as the sampler makes them: some long executions, and a sample of short ones.
fn latency(seed: i32) -> Option<Vec<u8>> {
    let mut latency = Latency::default();
    for n in 0..60 {
        latency.body.record(0.5 + f64::from((n * 37 + seed * 11) % 97) * 0.4);
    }
    for n in 0..seed % 4 {
        latency.tail.record(120.0 + f64::from(n * 40 + seed));
    }
    latency.to_bytes()
}

async fn fill(client: &Client, days: i32, now: DateTime<Utc>) -> Result<u64> {
    let kinds = ["interval", "statement", "wait", "value"];
    for level in Level::ALL {
        for kind in kinds {
            client.batch_execute(&format!("truncate pgwright.history_{kind}_{}", level.name())).await?;
        }
    }
    client
        .batch_execute(
            "create temp table made_latency (n int primary key, bytes bytea); \
             insert into pgwright.history_event (name) \
               select case when n = 0 then 'CPU' else 'IO: Event' || n end from generate_series(0, 29) n; \
             insert into pgwright.history_series (source_id, name, label) \
               select 1, 'waits', case when n = 0 then 'CPU' else 'IO: Event' || n end from generate_series(0, 29) n \
               union all select 1, 'transactions_committed', 'shop' || n from generate_series(1, 5) n \
               union all select 1, 'active_sessions', '' \
               union all select 1, 'database_bytes', 'shop' || n from generate_series(1, 30) n on conflict do nothing; \
             insert into pgwright.history_statement (source_id, datname, rolname, queryid, toplevel) \
               values (1, 'shop', '', 0, true) on conflict do nothing; \
             insert into pgwright.history_text select 1, s.queryid, 'select ' || repeat('column_name, ', 25) || s.queryid \
               from pgwright.history_statement s on conflict do nothing; \
             analyze pgwright.history_statement",
        )
        .await?;
    for n in 0..LATENCIES {
        client.execute("insert into made_latency values ($1, $2)", &[&n, &latency(n)]).await?;
    }
    let mut rows = 0;
    let options = HistoryOptions::new(SOURCE);
    for level in Level::ALL {
        let (step, days, kept, pairs) = match level {
            Level::Raw => (RAW_SECONDS, RAW_DAYS.min(days), options.limits.statements, 200),
            Level::Minute => (60, days, options.limits.statements * 3 / 10, 100),
            Level::Hour => (3600, days, options.limits.statements, options.limits.waits),
            Level::Day => (86_400, days, options.limits.statements * 2, options.limits.waits),
        };
        let until = if level == Level::Raw { now } else { level.floor(now) };
        // Hours end where the day is not complete, and so on: what is finer is there for all of it.
        let (from, step, kept, pairs) = (
            level.floor(now - TimeDelta::days(i64::from(days))),
            f64::from(step),
            i32::try_from(kept)?,
            i32::try_from(pairs)?,
        );
        let at = "generate_series($1::timestamptz, $2::timestamptz - interval '1 second', $3 * interval '1 second') at";
        let name = level.name();
        rows += client
            .execute(
                &format!("insert into pgwright.history_interval_{name} select at, $3, 1, 0, 1 from {at}"),
                &[&from, &until, &step],
            )
            .await?;
        rows += client
            .execute(
                &format!(
                    "insert into pgwright.history_statement_{name} \
                     select at, calls, calls * 3, calls * (2 + s.queryid % 7) \
                         * case when s.queryid % 50 = 0 and at > $2::timestamptz - interval '5 hours' then 4 else 1 end, \
                       calls * 20, calls, 0, calls * 100, s.statement_id, 1, l.bytes \
                     from {at}, pgwright.history_statement s \
                     join made_latency l on l.n = s.queryid % {LATENCIES}, \
                       lateral (select ceil(2000 * $3 / greatest(s.queryid, 300))::bigint as calls) c \
                     where s.queryid <= $4::int8"
                ),
                &[&from, &until, &step, &i64::from(kept)],
            )
            .await?;
        rows += client
            .execute(
                &format!(
                    "insert into pgwright.history_wait_{name} \
                     select at, 5, $3 / 10, s.statement_id, e.event_id, 1 \
                     from {at}, pgwright.history_statement s, pgwright.history_event e \
                     where s.queryid between 1 and $4::int8 / 5 and e.event_id <= 5"
                ),
                &[&from, &until, &step, &i64::from(pairs)],
            )
            .await?;
        rows += client
            .execute(
                &format!(
                    "insert into pgwright.history_value_{name} \
                     select at, $3 * s.series_id, $3, s.series_id, s.series_id, 1 from {at}, pgwright.history_series s"
                ),
                &[&from, &until, &step],
            )
            .await?;
        client
            .execute(
                "update pgwright.history_level set kept_from = $1, done_until = $2 where level = $3",
                &[&from, &until, &name],
            )
            .await?;
    }
    client.batch_execute("vacuum analyze").await?;
    Ok(rows)
}
