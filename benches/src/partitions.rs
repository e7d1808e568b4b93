//! How long does it take to look after many partition sets, with nothing to do and with one partition more each?
//!
//! A database of that many sets is made on a server of this benchmark's own, and one set of very many partitions; then
//! each is looked after by the same calls as `pgwright partition run` makes.

use std::time::Instant;

use anyhow::{Context as _, Result};
use apply::ExecuteOptions;
use apply::partition_sets::run as look_after;
use cluster::{Binaries, Server, ServerOptions};
use partitioning::settings::SetSettings;
use postgres::{Environment, Target};
use serde::Serialize;
use tokio_postgres::{Client, NoTls};

use crate::benchmark_server::search;
use crate::peers::PEERS_MAJOR;

/// Arguments.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// How many sets.
    #[arg(long, default_value_t = 1000)]
    sets: usize,
    /// Partitions of each.
    #[arg(long, default_value_t = 60)]
    partitions: u32,
    /// Partitions of the one large set; 0 leaves it out.
    #[arg(long, default_value_t = 10_000)]
    large: u32,
    /// How often nothing is done; the median counts.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// The major version of PostgreSQL.
    #[arg(long, default_value_t = PEERS_MAJOR)]
    major: u32,
}

#[derive(Debug, Serialize)]
struct Measured {
    sets: usize,
    partitions: u32,
    idle_s: f64,
    one_more_s: f64,
    made: usize,
}

/// Runs the benchmark.
///
/// # Errors
/// When a server does not start or refuses something.
pub async fn run(args: Args) -> Result<()> {
    let binaries = Binaries::for_major(args.major, &search())?;
    let options = ServerOptions::default()
        .throw_away()
        .set("autovacuum", "off")
        .set("max_locks_per_transaction", "4096")
        .set("shared_buffers", "1GB")
        .set("timezone", "UTC");
    let server = Server::start(&binaries, options)?;
    eprintln!("PostgreSQL {}", binaries.version);
    let mut measured = vec![measure(&server, "sets", args.sets, args.partitions, args.rounds).await?];
    if args.large > 0 {
        measured.push(measure(&server, "large", 1, args.large, args.rounds).await?);
    }
    server.stop()?;
    println!("{:>6} {:>11} {:>14} {:>18}", "sets", "partitions", "nothing to do", "one more for each");
    for m in &measured {
        println!("{:>6} {:>11} {:>12.2} s {:>16.2} s", m.sets, m.partitions, m.idle_s, m.one_more_s);
    }
    println!("{}", serde_json::json!({ "partitions": measured }));
    Ok(())
}

async fn measure(
    server: &Server,
    name: &str,
    sets: usize,
    partitions: u32,
    rounds: usize,
) -> Result<Measured> {
    let client = connect(&server.url("postgres")).await?;
    client.batch_execute(&format!("create database {name}")).await?;
    let url = server.url(name);
    let client = connect(&url).await?;
    eprintln!("making {sets} sets of {partitions} partitions");
    // Days up to and with today, and none ahead.
    for set in 1..=sets {
        client
            .batch_execute(&format!(
                "do $$ begin \
                   create table t{set} (at timestamptz not null, x int, primary key (at, x)) partition by range (at); \
                   for n in 0..{last} loop \
                     execute format('create table %I partition of t{set} for values from (%L) to (%L)', \
                       't{set}_' || to_char(current_date - n, 'YYYY_MM_DD'), current_date - n, current_date - n + 1); \
                   end loop; end $$",
                last = partitions - 1
            ))
            .await?;
    }
    client
        .batch_execute(
            "vacuum analyze pg_catalog.pg_class, pg_catalog.pg_inherits, pg_catalog.pg_partitioned_table",
        )
        .await?;
    let target = Target::parse(Some(&url), &Environment::default())?;
    let settings = |premake: u32| -> Vec<SetSettings> {
        (1..=sets)
            .map(|set| SetSettings {
                table: format!("t{set}"),
                interval: Some("1 day".to_owned()),
                premake: Some(premake),
                ..SetSettings::default()
            })
            .collect()
    };
    let options = ExecuteOptions::default();
    let mut idle = Vec::new();
    for _ in 0..rounds.max(1) {
        let began = Instant::now();
        let run = look_after(&target, &settings(0), &options, &mut |_| {})
            .await
            .context("looking after the sets")?;
        anyhow::ensure!(run.steps.is_empty(), "there was something to do: {:?}", run.steps.first());
        idle.push(began.elapsed().as_secs_f64());
    }
    idle.sort_by(f64::total_cmp);
    let began = Instant::now();
    let run = look_after(&target, &settings(1), &options, &mut |_| {}).await.context("making partitions")?;
    let one_more_s = began.elapsed().as_secs_f64();
    anyhow::ensure!(
        run.failures.is_empty() && run.steps.len() == sets,
        "{} partitions were made",
        run.steps.len()
    );
    Ok(Measured { sets, partitions, idle_s: idle[idle.len() / 2], one_more_s, made: run.steps.len() })
}

async fn connect(url: &str) -> Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}
