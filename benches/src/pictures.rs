//! What do the pages of `pgwright serve` look like for somebody who has kept history for a day? A shop whose orders lost an index
//! forty minutes ago, for the pictures of `docs/guides/web-page.md`.
//!
//! The past is made: the store gets intervals as pgwright writes them, with real statements and real plans. The present is real:
//! the statements run while pgwright watches.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use apply::history::{HistoryOptions, HistoryWriter};
use chrono::{DateTime, TimeDelta, Utc};
use cluster::{Binaries, Server, ServerOptions};
use history::{Figures, Interval, Latency, PlanSeen, Seen, StatementDelta, StatementName};
use plan::Plan;
use postgres::{Environment, Target};
use tokio_postgres::{Client, NoTls};

use crate::advisor;
use crate::benchmark_server::search;
use crate::exporter::{Ended, free_port};
use crate::web::get;

/// Arguments.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The program whose pages are shown.
    #[arg(long, value_name = "FILE", default_value = "target/release/pgwright")]
    pgwright: PathBuf,
    /// What makes the pictures of an address and the path of a statement.
    #[arg(long, value_name = "FILE", default_value = "scripts/screenshots.sh")]
    script: PathBuf,
}

/// The database, and the name of the server in the store.
const SHOP: &str = "shop";
/// Hours of history.
const HOURS: i64 = 50;
/// How long ago the index was dropped: within the hour that the overview shows, and long enough that most of it is slow.
const DROPPED_MINUTES_AGO: i64 = 40;

const SCHEMA: &str = "create extension pg_stat_statements; \
    create table customer (id int primary key, email text not null, country text not null); \
    create table orders (id int primary key, customer_id int not null, status text not null, placed_at timestamptz not null, total numeric(10,2)); \
    create table order_line (order_id int not null, line int not null, product_id int not null, quantity int not null, primary key (order_id, line)); \
    insert into customer select n, 'customer' || n || '@example.com', (array['DE','FR','GB','US'])[1 + n % 4] from generate_series(1, 20000) n; \
    insert into orders select n, 1 + n * 7919 % 20000, (array['paid','sent','returned'])[1 + n % 3], timestamptz '2026-01-01' + n * interval '3 minutes', n % 500 \
      from generate_series(1, 150000) n; \
    insert into order_line select o, l, 1 + o * l % 5000, l from generate_series(1, 60000) o, generate_series(1, 3) l; \
    create index orders_customer_id on orders (customer_id); create index orders_placed_at on orders (placed_at)";

/// A statement, a value for its parameter, executions a minute, and milliseconds of the median one and of the longest.
struct Made {
    sql: &'static str,
    per_minute: f64,
    median_ms: f64,
    longest_ms: f64,
    waits: &'static str,
}

/// The first is the one that lost its index.
const STATEMENTS: &[Made] = &[
    Made {
        sql: "select id, status, placed_at, total from orders where customer_id = 4711 order by placed_at desc limit 20",
        per_minute: 240.0,
        median_ms: 0.6,
        longest_ms: 9.0,
        waits: "IO: DataFileRead",
    },
    Made {
        sql: "select l.product_id, sum(l.quantity) from orders o join order_line l on l.order_id = o.id \
              where o.placed_at > timestamptz '2026-06-01' group by l.product_id order by 2 desc limit 10",
        per_minute: 3.0,
        median_ms: 140.0,
        longest_ms: 420.0,
        waits: "CPU",
    },
    Made {
        sql: "select email, country from customer where id = 17",
        per_minute: 900.0,
        median_ms: 0.2,
        longest_ms: 3.0,
        waits: "CPU",
    },
    Made {
        sql: "update orders set status = 'sent' where id = 99",
        per_minute: 120.0,
        median_ms: 1.8,
        longest_ms: 60.0,
        waits: "IO: WALSync",
    },
    Made {
        sql: "select country, count(*) from customer group by country",
        per_minute: 6.0,
        median_ms: 7.0,
        longest_ms: 25.0,
        waits: "CPU",
    },
];

/// What the overview says when it says everything: the statement, and the index that it lost.
const FIXED: &[&str] = &["orders where customer_id", "/recommendations#r-"];

/// Makes the store and the pictures.
///
/// # Errors
/// When PostgreSQL is missing, or a page does not answer.
pub async fn run(args: Args) -> Result<()> {
    let binaries = Binaries::for_major(advisor::major(None)?, &search())?;
    let options = ServerOptions { tcp: true, ..ServerOptions::default() }
        .set("shared_preload_libraries", "pg_stat_statements")
        .set("compute_query_id", "on")
        .set("pg_stat_statements.track_utility", "off")
        .set("fsync", "off");
    let server = Server::start(&binaries, options)?;
    let tcp_url = |database: &str| server.tcp_url(database).context("the server does not listen");
    let (client, connection) = tokio_postgres::connect(&tcp_url("postgres")?, NoTls).await?;
    tokio::spawn(connection);
    client.batch_execute(&format!("create database {SHOP}")).await?;
    let url = tcp_url(SHOP)?;
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await?;
    tokio::spawn(connection);
    // What makes the shop is none of its statements.
    client.batch_execute("set pg_stat_statements.track = 'none'").await?;
    client.batch_execute(SCHEMA).await?;
    client.batch_execute("vacuum analyze").await?;
    client.batch_execute("select pg_stat_statements_reset()").await?;
    client.batch_execute("set pg_stat_statements.track = 'top'").await?;
    for made in STATEMENTS {
        client.batch_execute(made.sql).await?;
    }
    client.batch_execute("set pg_stat_statements.track = 'none'").await?;
    let mut queryids = Vec::new();
    for made in STATEMENTS {
        let row = client
            .query_one(
                "select queryid, query from pg_stat_statements where starts_with(query, substr($1, 1, 16))",
                &[&made.sql],
            )
            .await?;
        queryids.push((row.get::<_, i64>(0), row.get::<_, String>(1)));
    }
    let before = generic_plan(&client, &queryids[0].1).await?;
    client.batch_execute("drop index orders_customer_id").await?;
    let after = generic_plan(&client, &queryids[0].1).await?;
    client.batch_execute("set pg_stat_statements.track = 'top'").await?;
    write_past(&url, &queryids, [before, after]).await?;
    let port = free_port()?;
    let _program = Ended(
        Command::new(&args.pgwright)
            .args(["serve", "-q", "--listen", &format!("127.0.0.1:{port}"), "--history", "--source", SHOP])
            .args(["--interval", "statements=5s", "--interval", "plans=10s", "--fixes", "10s"])
            .arg(&url)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("could not start pgwright")?,
    );
    let statement = format!("/statement?database={SHOP}&queryid={}&window=6h", queryids[0].0);
    let began = std::time::Instant::now();
    loop {
        for made in STATEMENTS {
            client.batch_execute(made.sql).await?;
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
        // The overview as it is opened, with the fix that nobody asked for.
        let known = get(port, "/").is_ok_and(|page| FIXED.iter().all(|part| page.contains(part)));
        if known && began.elapsed() > Duration::from_secs(30) {
            break;
        }
        if began.elapsed() > Duration::from_secs(240) {
            bail!("the overview does not say what got slower and what helps");
        }
    }
    let done = Command::new(&args.script)
        .args([&format!("http://127.0.0.1:{port}"), &statement])
        .status()
        .context("could not make pictures")?;
    if !done.success() {
        bail!("pictures were not made");
    }
    Ok(())
}

/// The plan that `serve` keeps of a statement: the one that no value has influenced.
async fn generic_plan(client: &Client, normalized: &str) -> Result<serde_json::Value> {
    client.batch_execute("set plan_cache_mode = force_generic_plan").await?;
    client.batch_execute(&format!("prepare made as {normalized}")).await?;
    let row = client
        .query_one("select cardinality(parameter_types) from pg_prepared_statements where name = 'made'", &[])
        .await?;
    let nulls = vec!["null"; usize::try_from(row.get::<_, i32>(0))?].join(", ");
    let row = client.query_one(&format!("explain (format json) execute made({nulls})"), &[]).await?;
    client.batch_execute("deallocate made; reset plan_cache_mode").await?;
    Ok(row.get(0))
}

fn seen(at: DateTime<Utc>, queryid: i64, json: &serde_json::Value) -> Result<PlanSeen> {
    let plan = Plan::from_json(json)?;
    Ok(PlanSeen {
        at,
        datname: SHOP.into(),
        queryid,
        shape_hash: plan::render::shape_hash(&plan),
        cost: plan::diff::total_figures(&plan).cost,
        plan: json.clone(),
    })
}

/// Writes down what would have been seen until now, a minute at a time.
async fn write_past(
    url: &str,
    queryids: &[(i64, String)],
    [before, after]: [serde_json::Value; 2],
) -> Result<()> {
    let target = Target::parse(Some(url), &Environment::default())?;
    let (mut writer, _) = HistoryWriter::open(&target, HistoryOptions::new(SHOP)).await?;
    let now = Utc::now();
    let dropped = now - TimeDelta::minutes(DROPPED_MINUTES_AGO);
    let step = TimeDelta::minutes(1);
    let mut from = now - TimeDelta::hours(HOURS);
    let mut number = 0_u32;
    let mut plan = None;
    while from + step <= now {
        // Fewer come at night; the same every time it is made.
        let hour = f64::from(number) / 60.0;
        let crowd = 1.0 + 0.5 * (hour * std::f64::consts::TAU / 24.0).sin();
        let slow = from >= dropped;
        let mut statements = HashMap::new();
        let mut waits = HashMap::new();
        for (index, (made, (queryid, _))) in STATEMENTS.iter().zip(queryids).enumerate() {
            let factor = if index == 0 && slow { 24.0 } else { 1.0 };
            let calls = (made.per_minute * crowd).round();
            let mut latency = Latency::default();
            let mut total_ms = 0.0;
            let samples = calls.min(200.0) as u32;
            for n in 0..samples {
                let share = f64::from((n * 37 + number * 11) % 101) / 100.0;
                let ms = factor * (made.median_ms * (0.6 + 0.8 * share) + made.longest_ms * share.powi(24));
                total_ms += ms;
                if ms >= 100.0 { latency.tail.record(ms) } else { latency.body.record(ms) }
            }
            let exec_ms = total_ms / f64::from(samples.max(1)) * calls;
            let name = StatementName {
                datname: SHOP.into(),
                rolname: "postgres".into(),
                queryid: *queryid,
                toplevel: true,
            };
            let figures = Figures {
                calls,
                rows: calls * 10.0,
                exec_ms,
                blocks_hit: calls * factor * 40.0,
                blocks_read: calls * factor,
                ..Figures::default()
            };
            let active_seconds = exec_ms / 1000.0;
            waits.insert(
                (name.clone(), made.waits.into()),
                Seen { samples: (active_seconds * 10.0).ceil() as u64, active_seconds },
            );
            statements.insert(name, StatementDelta { figures, latency });
        }
        let shape = if slow { &after } else { &before };
        let mut plans = Vec::new();
        if plan != Some(slow) {
            plans.push(seen(from, queryids[0].0, shape)?);
            plan = Some(slow);
        }
        let interval = Interval {
            from,
            to: from + step,
            at: from,
            set_back: None,
            set_forward: TimeDelta::zero(),
            seconds: 60.0,
            intervals: 1,
            resets: 0,
            statements,
            waits,
            values: HashMap::new(),
            counters: HashMap::new(),
            gone: HashSet::new(),
            reset_us: None,
            series_counters: HashMap::new(),
            texts: queryids.iter().cloned().collect(),
            plans,
        };
        writer.store(&interval).await?;
        from += step;
        number += 1;
    }
    while !writer.roll_up().await?.1 {}
    Ok(())
}
