//! How fast does a table become a partitioned one while it is written to, and what do writers notice?
//!
//! In one run, on one server: a plain `INSERT … SELECT` with the index builds, nobody writing, as the reference; the
//! conversion with writers who keep a ledger of what was acknowledged; and a conversion that is killed while it
//! copies and gone on with. The table and the peers' figures are those of `docs/reference/benchmarks.md`.

mod attach;
pub(crate) mod ledger;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use apply::partition_conversion::{
    ConversionEvent, ConversionOptions, ConversionRequest, DividedBy, Method, Step, conversions, convert,
    finish_conversion, revert_conversion,
};
use cluster::{Binaries, Server, ServerOptions};
use comfy_table::{CellAlignment, Table, presets};
use model::QualifiedName;
use postgres::{Environment, Target};
use serde::Serialize;
use tokio_postgres::{Client, NoTls};

use self::ledger::{Account, Crew};
use crate::benchmark_server::search;
use crate::peers::PEERS_MAJOR;

/// Arguments.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// Rows of the table.
    #[arg(long, default_value_t = 5_000_000)]
    rows: u64,
    /// Months that they are spread over.
    #[arg(long, default_value_t = 24)]
    months: u32,
    /// Sessions that write all the time.
    #[arg(long, default_value_t = 3)]
    writers: u32,
    /// Transactions per second of each.
    #[arg(long, default_value_t = 70)]
    rate: u32,
    /// Sessions that copy.
    #[arg(long, default_value_t = 2)]
    workers: usize,
    /// The longest that writers may wait.
    #[arg(long, default_value_t = 100)]
    max_lock_ms: u64,
    /// The major version of PostgreSQL.
    #[arg(long, default_value_t = PEERS_MAJOR)]
    major: u32,
    /// Print nothing but the JSON line.
    #[arg(long)]
    json: bool,
    /// Make the table the first partition, at two sizes, and copy nothing.
    #[arg(long)]
    attach: bool,
    /// Convert the table of this database and end: the process that is killed.
    #[arg(long, hide = true)]
    child: Option<String>,
}

#[derive(Debug, Serialize)]
struct Line {
    max_wait_ms: f64,
    lost_writes: usize,
    failed_transactions: usize,
    speed_ratio: f64,
    resumed_after_kill: bool,
}

fn table() -> QualifiedName {
    QualifiedName::new("public", "runs")
}

fn request() -> Result<ConversionRequest> {
    Ok(ConversionRequest {
        table: table(),
        column: "created_at".into(),
        by: DividedBy::Range("month".parse().map_err(anyhow::Error::msg)?),
        time_zone: "UTC".into(),
        method: Some(Method::Rewrite),
        premake: 2,
        from: None,
        weaken_unique: false,
    })
}

fn options(args: &Args) -> ConversionOptions {
    ConversionOptions {
        workers: args.workers,
        max_lock: Duration::from_millis(args.max_lock_ms),
        tries: 1000,
        ..ConversionOptions::default()
    }
}

/// Runs the benchmark.
pub async fn run(args: Args) -> Result<()> {
    if let Some(url) = &args.child {
        let target = Target::parse(Some(url), &Environment::default())?;
        convert(&target, &request()?, &options(&args), &mut |_| {}).await.map_err(said)?;
        return Ok(());
    }
    let say = |text: &str| {
        if !args.json {
            eprintln!("{text}");
        }
    };
    let binaries = Binaries::for_major(args.major, &search())?;
    let server = Server::start(
        &binaries,
        ServerOptions::default()
            .set("shared_buffers", "512MB")
            .set("max_wal_size", "8GB")
            .set("maintenance_work_mem", "256MB")
            .set("checkpoint_timeout", "30min"),
    )?;
    if args.attach {
        attach::run(&args, &server).await?;
        server.stop()?;
        return Ok(());
    }
    let url = server.url("postgres");
    let client = connect(&url).await?;
    say(&format!("PostgreSQL {}: filling {} rows over {} months", args.major, args.rows, args.months));
    fill(&client, &args).await?;
    let reference = reference(&client, &args).await?;
    say(&format!("INSERT … SELECT and index builds, nobody writing: {:.1} s", reference.as_secs_f64()));

    let target = Target::parse(Some(&url), &Environment::default())?;
    let crew = Crew::begin(&url, &args).await?;
    let began = Instant::now();
    let mut steps: Vec<(String, Instant)> = Vec::new();
    let mut held = Vec::new();
    let mut on_event = |event: ConversionEvent| match event {
        ConversionEvent::Done { step, .. } => steps.push((named(step), Instant::now())),
        ConversionEvent::Held { step, time } => held.push((named(step), time.0)),
        _ => {}
    };
    convert(&target, &request()?, &options(&args), &mut on_event).await.map_err(said)?;
    let seconds = began.elapsed().as_secs_f64();
    say(&format!("conversion with {} writers: {seconds:.1} s", args.writers));
    tokio::time::sleep(Duration::from_secs(1)).await;
    revert_conversion(&target, &table(), &options(&args), &mut |_| {}).await.map_err(said)?;
    steps.push(("(taken back)".into(), Instant::now()));
    say("taken back, with what was written since");
    // As before the first conversion, so that files of the WAL are there to be used again, as on a server that has run
    // for a while; making one holds every commit.
    client.batch_execute("checkpoint").await?;
    let resumed_after_kill = killed_and_resumed(&args, &target, &url, &mut steps).await?;
    finish_conversion(&target, &table(), &options(&args), &mut |_| {}).await.map_err(said)?;
    steps.push(("(finished)".into(), Instant::now()));
    let Account { mut lost, failed, waits } = crew.end(&client).await?;
    lost += untouched_are_missing(&client, &args).await?;
    if !args.json {
        let mut table = Table::new();
        table.load_preset(presets::NOTHING).set_header([
            "step",
            "seconds",
            "lock held at most, ms",
            "longest transaction of a writer, ms",
        ]);
        let mut from = began;
        for (step, to) in &steps {
            let lock = held.iter().filter(|(s, _)| s == step).map(|(_, t)| *t).fold(0.0, f64::max);
            table.add_row([
                step.clone(),
                format!("{:.2}", (*to - from).as_secs_f64()),
                if lock > 0.0 { format!("{lock:.1}") } else { String::new() },
                format!("{:.1}", waits.longest_between(from, *to)),
            ]);
            from = *to;
        }
        for number in [1, 2, 3] {
            if let Some(column) = table.column_mut(number) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        println!("{table}");
        println!(
            "{} transactions of writers: P50 {:.2} ms, P99 {:.1} ms, longest {:.1} ms",
            waits.count(),
            waits.percentile(0.5),
            waits.percentile(0.99),
            waits.longest()
        );
    }
    let line = Line {
        max_wait_ms: (waits.longest() * 10.0).round() / 10.0,
        lost_writes: lost,
        failed_transactions: failed,
        speed_ratio: (reference.as_secs_f64() / seconds * 100.0).round() / 100.0,
        resumed_after_kill,
    };
    println!("{}", serde_json::to_string(&line)?);
    server.stop()?;
    Ok(())
}

fn named(step: Step) -> String {
    step.as_str().replace('_', " ")
}

/// An error of the library with what it says beyond its first line.
fn said(error: apply::Error) -> anyhow::Error {
    let more: Vec<String> = error.detail().into_iter().chain(error.hint()).collect();
    anyhow::anyhow!("{error}: {}", more.join(" "))
}

/// Connects to a server of a benchmark.
pub(crate) async fn connect(url: &str) -> Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

async fn fill(client: &Client, args: &Args) -> Result<()> {
    client
        .batch_execute(&format!(
            "create table runs (id bigint primary key, created_at timestamptz not null, model_id int not null, \
               status text not null, accuracy double precision, notes text);
             insert into runs select g, date_trunc('month', now()) - interval '{months} months' \
               + (g::float8 / {rows} * {months}) * interval '30 days', g % 1000, \
               (array['done', 'failed', 'running'])[1 + g % 3], random(), md5(g::text) || md5((g + 1)::text) \
               from generate_series(1, {rows}) g;
             create index runs_created_at_idx on runs (created_at);
             create index runs_model_idx on runs (model_id, created_at);",
            months = args.months,
            rows = args.rows
        ))
        .await?;
    client.batch_execute("vacuum analyze runs").await?;
    client.batch_execute("checkpoint").await?;
    Ok(())
}

/// What somebody does at night: the same partitions filled by one statement, and their indexes built.
async fn reference(client: &Client, args: &Args) -> Result<Duration> {
    client
        .batch_execute(
            "create table plain (like runs) partition by range (created_at);
             create table plain_rest partition of plain default;",
        )
        .await?;
    for month in 0..args.months + 1 {
        let bound = |m: u32| {
            format!(
                "date_trunc('month', now()) - interval '{} months'",
                i64::from(args.months) - i64::from(m)
            )
        };
        let row = client
            .query_one(&format!("select ({})::text, ({})::text", bound(month), bound(month + 1)), &[])
            .await?;
        let (from, to): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        client
            .batch_execute(&format!(
                "create table plain_{month} partition of plain for values from ('{from}') to ('{to}')"
            ))
            .await?;
    }
    let began = Instant::now();
    client.batch_execute("insert into plain select * from runs").await?;
    client.batch_execute("alter table plain add primary key (id, created_at)").await?;
    client.batch_execute("create index on plain (created_at)").await?;
    client.batch_execute("create index on plain (model_id, created_at)").await?;
    let time = began.elapsed();
    client.batch_execute("drop table plain").await?;
    client.batch_execute("checkpoint").await?;
    Ok(time)
}

/// Converts in a process of its own, kills it while it copies, and goes on.
async fn killed_and_resumed(
    args: &Args,
    target: &Target,
    url: &str,
    steps: &mut Vec<(String, Instant)>,
) -> Result<bool> {
    let mut child = Command::new(std::env::current_exe()?)
        .args(["convert", "--child", url, "--workers", &args.workers.to_string()])
        .stdout(Stdio::null())
        .spawn()
        .context("could not start the process that is killed")?;
    let began = Instant::now();
    loop {
        let open = conversions(target).await.map_err(said)?.into_iter().find(|c| c.ended_at.is_none());
        if open.is_some_and(|c| c.batches > 0 && c.batches_done * 3 > c.batches) {
            break;
        }
        if began.elapsed() > Duration::from_secs(600) || child.try_wait()?.is_some() {
            bail!("the process that was to be killed did not get to copying");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    child.kill()?;
    child.wait()?;
    steps.push(("(killed while it copies)".into(), Instant::now()));
    let mut on_event = |event: ConversionEvent| {
        if let ConversionEvent::Done { step, .. } = event {
            steps.push((format!("again: {}", named(step)), Instant::now()));
        }
    };
    // Its lock goes when the server notices.
    loop {
        match convert(target, &request()?, &options(args), &mut on_event).await {
            Ok(done) => return Ok(done.resumed && done.step == Step::Swapped),
            Err(error)
                if error.to_string().contains("another pgwright")
                    && began.elapsed() < Duration::from_secs(600) =>
            {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            Err(error) => return Err(said(error)),
        }
    }
}

/// Rows that nobody wrote to and that are not there any more, or are there twice.
async fn untouched_are_missing(client: &Client, args: &Args) -> Result<usize> {
    let row = client
        .query_one(
            "select count(*) as rows, count(distinct id) as ids from runs where id between 1 and $1 and model_id >= 0",
            &[&i64::try_from(args.rows)?],
        )
        .await?;
    let (rows, ids): (i64, i64) = (row.try_get("rows")?, row.try_get("ids")?);
    let expected = i64::try_from(args.rows)?;
    Ok(usize::try_from((expected - rows).abs().max(expected - ids)).unwrap_or(usize::MAX))
}
