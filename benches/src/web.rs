//! How long does each page of `serve` take? A server with many tables, indexes and statements, and every page asked for again
//! and again over one connection each, as a browser that was just opened does.
//!
//! With `--url` and `--serve` it is a database and a store of your own: for history, one that was kept for long.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use cluster::{Binaries, Server, ServerOptions};

use crate::advisor;
use crate::benchmark_server::search;
use crate::exporter::{Ended, fill, free_port};
use crate::history;

/// Arguments.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// A database of your own instead of one that is made.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// An option for "pgwright serve", as in --serve=--history. Can be repeated.
    #[arg(long = "serve", value_name = "OPTION", allow_hyphen_values = true)]
    serve: Vec<String>,
    /// Tables of the one that is made.
    #[arg(long, default_value_t = 1000)]
    tables: u32,
    /// Indexes on each, its primary key among them.
    #[arg(long, default_value_t = 5)]
    indexes: u32,
    /// Statements in pg_stat_statements.
    #[arg(long, default_value_t = 5000)]
    statements: u32,
    /// Days of history that are made in a database of the same server, as many statements in it; some gigabytes.
    #[arg(long, value_name = "N", conflicts_with = "url")]
    history: Option<i32>,
    /// How often each page is asked for.
    #[arg(long, default_value_t = 21)]
    times: usize,
    /// The program that is measured.
    #[arg(long, value_name = "FILE", default_value = "target/release/pgwright")]
    pgwright: PathBuf,
    /// Print nothing but the JSON line.
    #[arg(long)]
    json: bool,
}

/// The pages, and those of one statement and one table, which are found by links.
const PAGES: &[&str] = &[
    "/",
    "/?window=24h&compare=week",
    "/?window=30d",
    "/statements",
    "/statements?window=30d",
    "/statements?sort=p99&order=desc&window=24h",
    "/statements?sort=p99&order=desc&window=30d",
    "/tables",
    "/tables?sort=seq&order=desc&page=3",
    "/indexes",
    "/indexes?only=unused",
    "/locks",
    "/recommendations",
    "/journal",
    "/maintenance",
    "/partitions",
    "/replication",
    "/catalogue",
];
/// How long samples may take to be complete.
const SAMPLED: Duration = Duration::from_secs(120);

struct Page {
    path: String,
    median_ms: f64,
    longest_ms: f64,
    bytes: usize,
}

/// Runs the benchmark and prints what it found.
///
/// # Errors
/// When PostgreSQL is missing, or a page does not answer.
pub async fn run(args: Args) -> Result<()> {
    let (server, url) = match &args.url {
        Some(url) => (None, url.clone()),
        None => {
            let server = started(&args)?;
            let url = server.url("postgres");
            fill(args.tables, args.indexes, args.statements, &url).await?;
            (Some(server), url)
        }
    };
    let mut options = args.serve.clone();
    if let (Some(days), Some(server)) = (args.history, &server) {
        let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await?;
        tokio::spawn(connection);
        client.batch_execute("create database history").await?;
        let store = server.url("history");
        history::make(&store, i32::try_from(args.statements)?, days, chrono::Utc::now()).await?;
        options
            .extend(["--history", "--store", store.as_str(), "--source", history::SOURCE].map(str::to_owned));
    }
    let port = free_port()?;
    let mut command = Command::new(&args.pgwright);
    command.args(["serve", "-q", "--listen", &format!("127.0.0.1:{port}")]).args(&options).arg(&url);
    let _program = Ended(
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().context("could not start pgwright")?,
    );
    let (statement, table) = sampled(port)?;
    let paths = PAGES.iter().map(|p| (*p).to_owned()).chain([
        statement.clone(),
        format!("{statement}&window=30d"),
        table,
    ]);
    let mut pages = Vec::new();
    for path in paths {
        pages.push(measured(port, path, args.times)?);
    }
    if !args.json {
        println!("{:<46} {:>10} {:>11} {:>8}", "page", "median ms", "longest ms", "kB");
        for page in &pages {
            let path: String = page.path.chars().take(46).collect();
            println!(
                "{path:<46} {:>10.1} {:>11.1} {:>8.1}",
                page.median_ms,
                page.longest_ms,
                page.bytes as f64 / 1024.0
            );
        }
    }
    let slowest = pages.iter().map(|p| p.median_ms).fold(0.0, f64::max);
    let all: serde_json::Map<String, serde_json::Value> =
        pages.iter().map(|p| (p.path.clone(), (p.median_ms * 10.0).round().into())).collect();
    println!("{}", serde_json::json!({ "slowest_median_ms": slowest, "tenths_of_ms": all }));
    Ok(())
}

fn started(args: &Args) -> Result<Server> {
    let binaries = Binaries::for_major(advisor::major(None)?, &search())?;
    let options = ServerOptions::default()
        .set("shared_preload_libraries", "pg_stat_statements")
        .set("pg_stat_statements.max", (args.statements + 2000).to_string())
        .set("compute_query_id", "on")
        .set("fsync", "off")
        .set("autovacuum", "off")
        .set("shared_buffers", "1GB")
        .set("max_wal_size", "4GB")
        .set("max_locks_per_transaction", "1000");
    Ok(Server::start(&binaries, options)?)
}

/// Waits until everything was sampled; gives the addresses of a statement and of a table.
fn sampled(port: u16) -> Result<(String, String)> {
    let began = Instant::now();
    loop {
        let pages = ["/statements", "/tables", "/indexes"].map(|path| get(port, path).unwrap_or_default());
        let linked = |page: &str, start: &str| {
            let rest = page.split(&format!("href=\"{start}?")).nth(1)?;
            Some(format!("{start}?{}", rest.split('"').next()?.replace("&amp;", "&")))
        };
        let found =
            (linked(&pages[0], "/statement"), linked(&pages[1], "/table"), linked(&pages[2], "/table"));
        if let (Some(statement), Some(table), Some(_)) = found {
            return Ok((statement, table));
        }
        if began.elapsed() > SAMPLED {
            bail!("statements, tables and indexes were not sampled within {} s", SAMPLED.as_secs());
        }
        std::thread::sleep(Duration::from_millis(500));
    }
}

fn measured(port: u16, path: String, times: usize) -> Result<Page> {
    let mut took = Vec::with_capacity(times);
    let mut bytes = 0;
    for _ in 0..times.max(1) {
        let began = Instant::now();
        bytes = get(port, &path)?.len();
        took.push(began.elapsed().as_secs_f64() * 1000.0);
    }
    took.sort_by(f64::total_cmp);
    let longest_ms = took.last().copied().unwrap_or(0.0);
    Ok(Page { path, median_ms: took[took.len() / 2], longest_ms, bytes })
}

pub(crate) fn get(port: u16, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let (head, body) = text.split_once("\r\n\r\n").context("no answer")?;
    if !head.contains(" 200 ") {
        bail!("{path}: {}", head.lines().next().unwrap_or_default());
    }
    Ok(body.to_owned())
}
