//! How good is pgwright, in figures that can be measured again? Each subcommand is one benchmark; its table
//! stands beside what peers reached, and its last line is JSON.

mod advisor;
mod benchmark_server;
mod check;
mod convert;
mod copy;
mod cpu;
mod default_rows;
mod exporter;
mod fidelity;
mod history;
mod logs;
mod measurement;
mod movies;
mod partitions;
mod peers;
mod percentiles;
mod pictures;
mod progress;
mod report;
mod rewrites;
mod scale;
mod tpcds;
mod tpch;
mod twin_build;
mod upkeep;
mod web;
mod workload;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(version, about = "Measures pgwright beside published figures of its peers")]
struct Arguments {
    #[command(subcommand)]
    benchmark: Benchmark,
}

#[derive(Subcommand)]
enum Benchmark {
    /// Index advice under budgets of real bytes, for TPC-H or TPC-DS.
    Advisor(advisor::Args),
    /// How long a twin of many tables or partitions takes, and how much memory.
    Twin(twin_build::Args),
    /// What an index costs every row that is written, and what the advisor charges for it.
    Upkeep(upkeep::Args),
    /// How fast logs are read, beside pgBadger.
    Logs(logs::Args),
    /// What a scrape costs, beside postgres_exporter: CPU, memory, series.
    Exporter(exporter::Args),
    /// How long each page of serve takes.
    Web(web::Args),
    /// How near percentiles of samples are to the client's truth, and what they cost.
    Percentiles(percentiles::Args),
    /// Advice on thousands of statements and tables: seconds, memory, planner calls.
    Scale(scale::Args),
    /// Whether a recommended rewrite is ever slower, or another answer: TPC-H, or the demo.
    Rewrites(rewrites::Args),
    /// Whether `check` ever finds a regression where there is none, with every core busy.
    Check(check::Args),
    /// A table that is written to becomes a partitioned one: seconds, waits, lost writes.
    Convert(convert::Args),
    /// How long it takes to look after many partition sets.
    Partitions(partitions::Args),
    /// What writers notice while rows that they change are moved out of DEFAULT, beside pg_partman.
    DefaultRows(default_rows::Args),
    /// How long questions to 30 days of history take, and how large the store is.
    History(history::Args),
    /// The pictures of the web page, of a server with a past.
    Pictures(pictures::Args),
}

#[tokio::main]
async fn main() -> std::process::ExitCode {
    let done = match Arguments::parse().benchmark {
        Benchmark::Advisor(args) => advisor::run(args).await,
        Benchmark::Twin(args) => twin_build::run(args).await,
        Benchmark::Upkeep(args) => upkeep::run(args).await,
        Benchmark::Logs(args) => logs::run(args).await,
        Benchmark::Exporter(args) => exporter::run(args).await,
        Benchmark::Web(args) => web::run(args).await,
        Benchmark::Percentiles(args) => percentiles::run(args).await,
        Benchmark::Scale(args) => scale::run(args).await,
        Benchmark::Rewrites(args) => rewrites::run(args).await,
        Benchmark::Check(args) => check::run(args).await,
        Benchmark::Convert(args) => convert::run(args).await,
        Benchmark::Partitions(args) => partitions::run(args).await,
        Benchmark::DefaultRows(args) => default_rows::run(args).await,
        Benchmark::History(args) => history::run(args).await,
        Benchmark::Pictures(args) => pictures::run(args).await,
    };
    match done {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            std::process::ExitCode::from(2)
        }
    }
}
