//! What do writers notice while the rows that they change are moved out of DEFAULT into new partitions?
//!
//! In one run, on one server: `pgwright partition run`, and pg_partman's `partition_data_proc` on a table of the same
//! shape where that extension is installed. Writers add to counters of rows in DEFAULT and insert new ones; they know
//! what was acknowledged, so the sum of the counters and the number of rows afterwards show whether any write was lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use apply::ExecuteOptions;
use apply::partition_sets::run as look_after;
use cluster::{Binaries, Server, ServerOptions};
use comfy_table::{CellAlignment, Table, presets};
use partitioning::settings::SetSettings;
use postgres::{Environment, Target};
use serde::Serialize;
use tokio::task::JoinHandle;
use tokio_postgres::Client;

use crate::benchmark_server::search;
use crate::convert::connect;
use crate::convert::ledger::Waits;
use crate::peers::PEERS_MAJOR;

/// Arguments.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// Rows in DEFAULT.
    #[arg(long, default_value_t = 300_000)]
    rows: i64,
    /// Months that they are spread over.
    #[arg(long, default_value_t = 3)]
    months: i64,
    /// Rows of each month that are changed all the time.
    #[arg(long, default_value_t = 50)]
    busy: i64,
    /// Sessions that write all the time.
    #[arg(long, default_value_t = 3)]
    writers: i64,
    /// Transactions per second of each.
    #[arg(long, default_value_t = 70)]
    rate: u32,
    /// The longest that others may wait for DEFAULT.
    #[arg(long, default_value_t = 100)]
    max_lock_ms: u64,
    /// The major version of PostgreSQL.
    #[arg(long, default_value_t = PEERS_MAJOR)]
    major: u32,
}

/// What was seen of one way.
#[derive(Debug, Serialize)]
struct Measured {
    way: &'static str,
    seconds: f64,
    left_in_default: i64,
    transactions: usize,
    p99_wait_ms: f64,
    max_wait_ms: f64,
    failed_transactions: usize,
    lost_writes: i64,
}

/// Runs the benchmark.
///
/// # Errors
/// When a server does not start or refuses something.
pub async fn run(args: Args) -> Result<()> {
    let binaries = Binaries::for_major(args.major, &search())?;
    let options = ServerOptions::default().set("shared_buffers", "512MB").set("max_wal_size", "8GB");
    let server = Server::start(&binaries, options.set("timezone", "UTC"))?;
    eprintln!("PostgreSQL {}: {} rows in DEFAULT, {} writers", binaries.version, args.rows, args.writers);
    let mut measured = vec![pgwright(&args, &server).await?];
    match pg_partman(&args, &server).await? {
        Some(peer) => measured.push(peer),
        None => eprintln!("pg_partman is not installed for this server; it is left out"),
    }
    server.stop()?;
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header([
        "way",
        "seconds",
        "left in DEFAULT",
        "transactions",
        "P99 wait, ms",
        "max wait, ms",
        "failed",
        "lost",
    ]);
    for m in &measured {
        table.add_row([
            m.way.to_owned(),
            format!("{:.1}", m.seconds),
            m.left_in_default.to_string(),
            m.transactions.to_string(),
            format!("{:.1}", m.p99_wait_ms),
            format!("{:.1}", m.max_wait_ms),
            m.failed_transactions.to_string(),
            m.lost_writes.to_string(),
        ]);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    println!("{table}");
    println!("{}", serde_json::json!({ "default_rows": measured }));
    Ok(())
}

/// `pgwright partition run --execute`, until nothing is left that it would move.
async fn pgwright(args: &Args, server: &Server) -> Result<Measured> {
    let (url, client) = database(server, "by_pgwright").await?;
    client
        .batch_execute(
            "do $$ begin execute format('create table runs_now partition of runs for values from (%L) to (%L)', \
             date_trunc('month', now()) - interval '1 month', date_trunc('month', now()) + interval '2 months'); end $$; \
             create table runs_default partition of runs default",
        )
        .await?;
    fill(&client, args).await?;
    let target = Target::parse(Some(&url), &Environment::default())?;
    let set = SetSettings {
        table: "runs".to_owned(),
        interval: Some("1 month".to_owned()),
        premake: Some(1),
        ..SetSettings::default()
    };
    let options =
        ExecuteOptions { max_lock: Duration::from_millis(args.max_lock_ms), ..ExecuteOptions::default() };
    measure("pgwright partition run", args, &url, &client, async || {
        // A step that was given up after its tries is taken up by the next run, as a schedule does.
        for _ in 0..20 {
            look_after(&target, std::slice::from_ref(&set), &options, &mut |_| {}).await?;
            if left(&client).await? == 0 {
                break;
            }
        }
        Ok(())
    })
    .await
}

/// `partition_data_proc`, an interval per transaction as by default; `None` when it is not installed.
async fn pg_partman(args: &Args, server: &Server) -> Result<Option<Measured>> {
    let (url, client) = database(server, "by_pg_partman").await?;
    let there = client
        .query_one(
            "select exists (select from pg_available_extensions where name = 'pg_partman') as there",
            &[],
        )
        .await?;
    if !there.try_get::<_, bool>("there")? {
        return Ok(None);
    }
    client
        .batch_execute(
            "create schema partman; create extension pg_partman schema partman; \
             select partman.create_parent('public.runs', 'created_at', 'native', 'monthly', p_premake := 1)",
        )
        .await
        .context("giving the table to pg_partman")?;
    fill(&client, args).await?;
    let worker = connect(&url).await?;
    let measured = measure("pg_partman partition_data_proc", args, &url, &client, async || {
        // What fails, for instance of a deadlock, is called again.
        for _ in 0..20 {
            if let Err(error) = worker.batch_execute("call partman.partition_data_proc('public.runs')").await
            {
                eprintln!("pg_partman: {error}");
            }
            if left(&client).await? == 0 {
                break;
            }
        }
        Ok(())
    });
    Ok(Some(measured.await?))
}

async fn database(server: &Server, name: &str) -> Result<(String, Client)> {
    connect(&server.url("postgres")).await?.batch_execute(&format!("create database {name}")).await?;
    let url = server.url(name);
    let client = connect(&url).await?;
    client
        .batch_execute(
            "create table runs (id bigint not null, created_at timestamptz not null, hits bigint not null default 0, \
             text text not null default 'a run', primary key (id, created_at)) partition by range (created_at); \
             create index on runs (created_at)",
        )
        .await?;
    Ok((url, client))
}

/// Row `id` is of the month that is `4 + id % months` months ago.
fn month(args: &Args, id: &str) -> String {
    format!(
        "date_trunc('month', now()) - interval '1 month' * (4 + {id} % {}) + interval '3 days'",
        args.months.max(1)
    )
}

async fn fill(client: &Client, args: &Args) -> Result<()> {
    client
        .batch_execute(&format!(
            "insert into runs (id, created_at) select g, {} from generate_series(1, {}) g",
            month(args, "g"),
            args.rows
        ))
        .await?;
    // VACUUM is a transaction of its own.
    for sql in ["vacuum analyze runs", "checkpoint"] {
        client.batch_execute(sql).await?;
    }
    anyhow::ensure!(left(client).await? == args.rows, "the rows are not in DEFAULT");
    Ok(())
}

async fn left(client: &Client) -> Result<i64> {
    Ok(client.query_one("select count(*) as n from only runs_default", &[]).await?.try_get("n")?)
}

/// Lets sessions write while something is done, and compares what was acknowledged with what is there.
async fn measure(
    way: &'static str,
    args: &Args,
    url: &str,
    client: &Client,
    work: impl AsyncFnOnce() -> Result<()>,
) -> Result<Measured> {
    let stop = Arc::new(AtomicBool::new(false));
    let mut writers: Vec<JoinHandle<Writer>> = Vec::new();
    for number in 0..args.writers {
        let writer = Writer::new(connect(url).await?, number, args.clone());
        writers.push(tokio::spawn(writer.go(stop.clone())));
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let began = Instant::now();
    let done = work().await;
    let seconds = began.elapsed().as_secs_f64();
    // Whoever waits still is to be counted.
    tokio::time::sleep(Duration::from_secs(1)).await;
    stop.store(true, Ordering::Relaxed);
    let (mut waits, mut failed, mut hits, mut inserted) = (Waits::default(), 0, 0, 0);
    for writer in writers {
        let writer = writer.await?;
        waits.add(&writer.waits);
        failed += writer.failed;
        hits += writer.hits;
        inserted += writer.inserted;
    }
    done?;
    let there = client
        .query_one(
            "select sum(hits)::bigint as hits, count(*) as rows, count(distinct id) as ids from runs",
            &[],
        )
        .await?;
    let (found, rows, ids): (i64, i64, i64) =
        (there.try_get("hits")?, there.try_get("rows")?, there.try_get("ids")?);
    let lost = (found - hits).abs() + (rows - args.rows - inserted).abs() + (rows - ids);
    Ok(Measured {
        way,
        seconds,
        left_in_default: left(client).await?,
        transactions: waits.count(),
        p99_wait_ms: waits.percentile(0.99),
        max_wait_ms: waits.longest(),
        failed_transactions: failed,
        lost_writes: lost,
    })
}

/// A session that writes, and knows what was acknowledged.
struct Writer {
    client: Client,
    number: i64,
    args: Args,
    waits: Waits,
    failed: usize,
    /// Additions to counters that met their row.
    hits: i64,
    inserted: i64,
}

impl Writer {
    fn new(client: Client, number: i64, args: Args) -> Self {
        Self { client, number, args, waits: Waits::default(), failed: 0, hits: 0, inserted: 0 }
    }

    async fn go(mut self, stop: Arc<AtomicBool>) -> Self {
        let pause = Duration::from_secs_f64(1.0 / f64::from(self.args.rate.max(1)));
        let mut due = Instant::now();
        let mut turn = 0;
        while !stop.load(Ordering::Relaxed) {
            turn += 1;
            due = (due + pause).max(Instant::now());
            tokio::time::sleep(due.saturating_duration_since(Instant::now())).await;
            self.write(turn).await;
        }
        self
    }

    async fn write(&mut self, turn: i64) {
        let inserts = turn % 5 == 0;
        let sql = if inserts {
            let id = 1_000_000_000 * (self.number + 1) + turn;
            format!("insert into runs (id, created_at) values ({id}, {})", month(&self.args, &id.to_string()))
        } else {
            // Few rows of each month, so that each is changed again and again.
            let id = 1 + turn * 7 % (self.args.busy * self.args.months).max(1);
            format!("update runs set hits = hits + 1 where id = {id}")
        };
        let began = Instant::now();
        let done = self.client.execute(&sql, &[]).await;
        self.waits.note(began);
        match done {
            // An update that does not find its row is a lost one: the row is there all the time.
            Ok(_) if !inserts => self.hits += 1,
            Ok(_) => self.inserted += 1,
            Err(_) => self.failed += 1,
        }
    }
}
