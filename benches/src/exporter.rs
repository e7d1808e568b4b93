//! What does a scrape cost, beside `postgres_exporter`? A server with many tables, indexes and statements; both programs
//! give the same figures of all of them, newly read for each scrape, one program after the other in turns.
//!
//! CPU time is user and system time of the program, and of the server's processes while it is scraped.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use cluster::{Binaries, Server, ServerOptions};
use tokio_postgres::NoTls;

use crate::advisor;
use crate::benchmark_server::search;

/// Arguments.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Tables.
    #[arg(long, default_value_t = 1000)]
    tables: u32,
    /// Indexes on each, its primary key among them.
    #[arg(long, default_value_t = 5)]
    indexes: u32,
    /// Statements in pg_stat_statements.
    #[arg(long, default_value_t = 5000)]
    statements: u32,
    /// Scrapes of each program in each round.
    #[arg(long, default_value_t = 10)]
    scrapes: u32,
    /// Rounds.
    #[arg(long, default_value_t = 2)]
    rounds: u32,
    /// Seconds between scrapes; every collector of pgwright runs as often.
    #[arg(long, default_value_t = 2)]
    every: u64,
    /// Servers of a fleet whose memory is measured, each as large as the one; 1 for none.
    #[arg(long, default_value_t = 5)]
    fleet: u32,
    /// The program that is measured.
    #[arg(long, value_name = "FILE", default_value = "target/release/pgwright")]
    pgwright: PathBuf,
    /// Print nothing but the JSON line.
    #[arg(long)]
    json: bool,
}

/// The same figures as pgwright gives, for `postgres_exporter`: tables, indexes and the statements with most time.
const QUERIES: &str = r#"
bench_tables:
  query: |
    SELECT s.schemaname, s.relname, c.reltuples, pg_table_size(c.oid) AS size, n_live_tup, n_dead_tup, n_mod_since_analyze,
      seq_scan, seq_tup_read, idx_scan, idx_tup_fetch, n_tup_ins, n_tup_upd, n_tup_del, n_tup_hot_upd, heap_blks_read,
      heap_blks_hit, vacuum_count, autovacuum_count, analyze_count + autoanalyze_count AS analyzes,
      extract(epoch FROM greatest(last_vacuum, last_autovacuum)) AS last_vacuum,
      extract(epoch FROM greatest(last_analyze, last_autoanalyze)) AS last_analyze, age(c.relfrozenxid) AS xid_age
    FROM pg_stat_user_tables s JOIN pg_statio_user_tables i USING (relid) JOIN pg_class c ON c.oid = s.relid
  metrics:
LABELS schemaname relname
GAUGES reltuples size n_live_tup n_dead_tup n_mod_since_analyze last_vacuum last_analyze xid_age
COUNTERS seq_scan seq_tup_read idx_scan idx_tup_fetch n_tup_ins n_tup_upd n_tup_del n_tup_hot_upd heap_blks_read heap_blks_hit vacuum_count autovacuum_count analyzes
bench_indexes:
  query: |
    SELECT s.schemaname, s.relname, s.indexrelname, pg_relation_size(s.indexrelid) AS size, idx_scan, idx_tup_read,
      idx_tup_fetch, idx_blks_read, idx_blks_hit
    FROM pg_stat_user_indexes s JOIN pg_statio_user_indexes i USING (indexrelid)
  metrics:
LABELS schemaname relname indexrelname
GAUGES size
COUNTERS idx_scan idx_tup_read idx_tup_fetch idx_blks_read idx_blks_hit
bench_statements:
  query: |
    SELECT d.datname, queryid, sum(calls) AS calls, sum(rows) AS rows, sum(total_exec_time) / 1000 AS exec_seconds,
      sum(total_plan_time) / 1000 AS plan_seconds, sum(shared_blks_hit) AS hit, sum(shared_blks_read) AS read,
      sum(shared_blks_dirtied) AS dirtied, sum(shared_blks_written) AS written, sum(temp_blks_read) AS temp_read,
      sum(temp_blks_written) AS temp_written, sum(wal_bytes) AS wal_bytes
    FROM pg_stat_statements(false) s JOIN pg_database d ON d.oid = s.dbid
    GROUP BY d.datname, queryid ORDER BY sum(total_exec_time) DESC LIMIT 100
  metrics:
LABELS datname queryid
GAUGES
COUNTERS calls rows exec_seconds plan_seconds hit read dirtied written temp_read temp_written wal_bytes
"#;

/// What a program took.
#[derive(Debug, Default)]
struct Taken {
    scrapes: u32,
    cpu_seconds: f64,
    server_cpu_seconds: f64,
    peak_mb: f64,
    series: usize,
    bytes: usize,
    scrape_ms: Vec<f64>,
}

impl Taken {
    fn per_scrape(&self) -> (f64, f64) {
        let scrapes = f64::from(self.scrapes.max(1));
        (self.cpu_seconds * 1000.0 / scrapes, self.server_cpu_seconds * 1000.0 / scrapes)
    }

    fn median_ms(&self) -> f64 {
        let mut sorted = self.scrape_ms.clone();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)
    }
}

/// Runs the benchmark and prints what it found.
///
/// # Errors
/// When PostgreSQL or `prometheus-postgres-exporter` is missing.
pub async fn run(args: Args) -> Result<()> {
    let binaries = Binaries::for_major(advisor::major(None)?, &search())?;
    let options = ServerOptions::default()
        .set("shared_preload_libraries", "pg_stat_statements")
        .set("pg_stat_statements.max", (args.statements + 2000).to_string())
        .set("compute_query_id", "on")
        .set("fsync", "off")
        .set("autovacuum", "off")
        .set("max_locks_per_transaction", "1000");
    let server = Server::start(&binaries, options)?;
    let url = server.url("postgres");
    fill(args.tables, args.indexes, args.statements, &url).await?;
    let folder = std::env::temp_dir().join(format!("pgwright-exporter-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let measured = measure(&args, &server, &url, &folder);
    std::fs::remove_dir_all(&folder)?;
    let Measured { ours, looking, compat, theirs, fleet_mb } = measured?;
    let (own, own_server) = ours.per_scrape();
    let (their, their_server) = theirs.per_scrape();
    if !args.json {
        println!(
            "{:<34} {:>8} {:>8} {:>8} {:>8} {:>8} {:>9}",
            "per scrape", "CPU ms", "server", "series", "MB", "peak MB", "median ms"
        );
        for (name, taken) in [
            ("postgres_exporter", &theirs),
            ("pgwright, the same figures", &ours),
            ("pgwright, looking at 10 Hz as well", &looking),
            ("pgwright --compat", &compat),
        ] {
            let (cpu, server) = taken.per_scrape();
            println!(
                "{name:<34} {cpu:>8.1} {server:>8.1} {:>8} {:>8.2} {:>8.1} {:>9.1}",
                taken.series,
                taken.bytes as f64 / 1e6,
                taken.peak_mb,
                taken.median_ms()
            );
        }
    }
    let (looking_own, looking_server) = looking.per_scrape();
    let mb_per_server = (fleet_mb.1 - fleet_mb.0) / f64::from(args.fleet.max(2) - 1);
    if !args.json && args.fleet > 1 {
        println!(
            "a fleet of {}: {:.1} MB, of one: {:.1} MB, so {mb_per_server:.1} MB for each server of this size",
            args.fleet, fleet_mb.1, fleet_mb.0
        );
    }
    let summary = serde_json::json!({
        "cpu_ratio": own / their,
        "cpu_ratio_with_server": (own + own_server) / (their + their_server),
        "cpu_ratio_with_server_and_sampling": (looking_own + looking_server) / (their + their_server),
        "peak_mb": looking.peak_mb.max(ours.peak_mb),
        "series": ours.series,
        "compat_cpu_ratio": compat.per_scrape().0 / their,
        "compat_peak_mb": compat.peak_mb,
        "compat_series": compat.series,
        "fleet_mb_per_server": (args.fleet > 1).then_some(mb_per_server),
        "scrape_ms": ours.median_ms(),
    });
    println!("{summary}");
    Ok(())
}

/// Makes tables, indexes and statements.
pub async fn fill(tables: u32, indexes: u32, statements: u32, url: &str) -> Result<()> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    client.batch_execute("create extension pg_stat_statements").await?;
    for table in 0..tables {
        let mut sql = format!(
            "create table t{table} (id int primary key, a int, b text, c timestamptz); \
             insert into t{table} select i, i, i::text, now() from generate_series(1, 100) i;"
        );
        for index in 1..indexes {
            let column = ["a", "b", "c"][(index as usize - 1) % 3];
            sql.push_str(&format!("create index t{table}_i{index} on t{table} ({column});"));
        }
        client.batch_execute(&sql).await?;
    }
    client.batch_execute("analyze; select pg_stat_statements_reset()").await?;
    for statement in 0..statements {
        // Another table and another form each: each is a statement of its own.
        let table = statement % tables.max(1);
        let form = statement / tables.max(1);
        let columns = vec!["a"; form as usize + 1].join(", ");
        client.batch_execute(&format!("select {columns} from t{table} where id = {statement}")).await?;
    }
    Ok(())
}

/// What all took, and the memory of a fleet of one server and of several, in MB.
#[derive(Debug, Default)]
struct Measured {
    ours: Taken,
    looking: Taken,
    compat: Taken,
    theirs: Taken,
    fleet_mb: (f64, f64),
}

fn measure(args: &Args, server: &Server, url: &str, folder: &Path) -> Result<Measured> {
    let queries = folder.join("queries.yaml");
    std::fs::write(&queries, queries_file())?;
    let mut measured = Measured::default();
    for _ in 0..args.rounds {
        let port = free_port()?;
        let mut command = Command::new("prometheus-postgres-exporter");
        command
            .env(
                "DATA_SOURCE_NAME",
                format!(
                    "host={} port={} user=postgres dbname=postgres sslmode=disable",
                    server.socket_dir().display(),
                    server.port()
                ),
            )
            .args([
                &format!("--web.listen-address=127.0.0.1:{port}"),
                &format!("--extend.query-path={}", queries.display()),
            ]);
        scraped(args, server, command, port, &mut measured.theirs).context("prometheus-postgres-exporter")?;
        for (more, taken) in [
            (&["--sampling", "0"][..], &mut measured.ours),
            (&["--sampling", "100ms"], &mut measured.looking),
            (&["--sampling", "0", "--compat"], &mut measured.compat),
        ] {
            let port = free_port()?;
            let mut command = Command::new(&args.pgwright);
            command.args(["serve", "-q", "--listen", &format!("127.0.0.1:{port}")]).args(more);
            for collector in collectors(&args.pgwright, more)? {
                command.arg("--interval").arg(format!("{collector}={}s", args.every));
            }
            command.arg(url);
            scraped(args, server, command, port, taken).context("pgwright")?;
        }
    }
    if args.fleet > 1 {
        measured.fleet_mb = (fleet(args, url, folder, 1)?, fleet(args, url, folder, args.fleet)?);
    }
    Ok(measured)
}

/// The most memory of one program that watches so many servers, in MB: each of them is the same one.
fn fleet(args: &Args, url: &str, folder: &Path, servers: u32) -> Result<f64> {
    let file = folder.join("servers.yml");
    let entries = (1..=servers).map(|n| format!("- targets: [ '{url}' ]\n  labels: {{ server: s{n} }}\n"));
    std::fs::write(&file, entries.collect::<String>())?;
    let port = free_port()?;
    let mut command = Command::new(&args.pgwright);
    command.args(["serve", "-q", "--listen", &format!("127.0.0.1:{port}"), "--servers"]).arg(&file);
    for collector in collectors(&args.pgwright, &[])? {
        command.arg("--interval").arg(format!("{collector}={}s", args.every));
    }
    let child = Ended(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?);
    let (began, mut complete) = (Instant::now(), 0);
    while complete < 3 {
        std::thread::sleep(Duration::from_secs(args.every));
        // All have told of their indexes, which come last.
        let body = get(port).unwrap_or_default();
        let told =
            (1..=servers).all(|n| body.contains(&format!("postgres_index_size_bytes{{server=\"s{n}\"")));
        complete += u32::from(told);
        if began.elapsed() > Duration::from_secs(120) {
            bail!("a fleet of {servers} servers is not watched within 120 s");
        }
    }
    peak_mb(child.0.id())
}

/// The collectors, as the program names them when it is asked for one that does not exist; without the one that asks
/// the planner, which the other program has nothing like.
fn collectors(program: &Path, more: &[&str]) -> Result<Vec<String>> {
    let output = Command::new(program)
        .args(["serve", "--without", "-", "--url", "postgres://postgres@127.0.0.1:1/x"])
        .args(more)
        .output()
        .context("could not start pgwright")?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let list = text.split("There are ").nth(1).context("pgwright named no collectors")?;
    let names = list.trim().trim_end_matches('.').split(", ").filter(|name| *name != "plans");
    Ok(names.map(str::to_owned).collect())
}

/// Starts a program and scrapes it.
fn scraped(args: &Args, server: &Server, mut command: Command, port: u16, taken: &mut Taken) -> Result<()> {
    let mut child = Ended(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?);
    let began = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        if began.elapsed() > Duration::from_secs(20) || child.0.try_wait()?.is_some() {
            bail!("it does not listen");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    // The first reads everything for the first time, texts among it.
    get(port)?;
    std::thread::sleep(Duration::from_secs(args.every * 2));
    get(port)?;
    let postmaster = server.pid().context("the server is gone")?;
    let (before, server_before) = (cpu_of(child.0.id())?, cpu_of_server(postmaster)?);
    for _ in 0..args.scrapes {
        std::thread::sleep(Duration::from_secs(args.every));
        let asked = Instant::now();
        let body = get(port)?;
        taken.scrape_ms.push(asked.elapsed().as_secs_f64() * 1000.0);
        taken.series = body.lines().filter(|line| !line.starts_with('#')).count();
        taken.bytes = body.len();
    }
    taken.cpu_seconds += cpu_of(child.0.id())? - before;
    taken.server_cpu_seconds += cpu_of_server(postmaster)? - server_before;
    taken.scrapes += args.scrapes;
    taken.peak_mb = taken.peak_mb.max(peak_mb(child.0.id())?);
    Ok(())
}

/// Ends a program with its value.
pub struct Ended(pub Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn get(port: u16) -> Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.write_all(b"GET /metrics HTTP/1.0\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let (head, body) = text.split_once("\r\n\r\n").context("no answer")?;
    if !head.contains(" 200 ") {
        bail!("{}", head.lines().next().unwrap_or_default());
    }
    Ok(body.to_owned())
}

/// A port of this machine that nobody listens on.
pub fn free_port() -> Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Replaces the lines of words by what the format of the exporter wants.
fn queries_file() -> String {
    let mut out = String::new();
    for line in QUERIES.lines() {
        let usage = match line.split(' ').next() {
            Some("LABELS") => "LABEL",
            Some("GAUGES") => "GAUGE",
            Some("COUNTERS") => "COUNTER",
            _ => {
                out.push_str(line);
                out.push('\n');
                continue;
            }
        };
        for column in line.split(' ').skip(1) {
            out.push_str(&format!("    - {column}: {{ usage: \"{usage}\", description: \"{column}\" }}\n"));
        }
    }
    out
}

/// User and system seconds of a process with all its threads, and of its children that have ended.
fn cpu_of(pid: u32) -> Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let after = stat.rsplit_once(") ").context("no process status")?.1;
    let fields: Vec<&str> = after.split(' ').collect();
    let ticks: f64 = fields[11..15].iter().filter_map(|f| f.parse::<f64>().ok()).sum();
    Ok(ticks / rustix::param::clock_ticks_per_second() as f64)
}

/// The same of a server and its processes.
fn cpu_of_server(postmaster: u32) -> Result<f64> {
    let mut sum = cpu_of(postmaster)?;
    for entry in std::fs::read_dir("/proc")?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse::<u32>().ok()) else { continue };
        let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
        let parent = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1)?.parse::<u32>().ok());
        if parent == Some(postmaster) {
            sum += cpu_of(pid).unwrap_or(0.0);
        }
    }
    Ok(sum)
}

/// The most memory that a process has had.
fn peak_mb(pid: u32) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find(|l| l.starts_with("VmHWM:")).context("no VmHWM")?;
    let kb: f64 = line.split_whitespace().nth(1).context("no VmHWM")?.parse()?;
    Ok(kb / 1024.0)
}
