//! How long does the planner twin of a large schema take, how much memory, and how long a candidate and a plan
//! on it?
//!
//! A database of that many tables, and one with a table of that many partitions, are made on a server of this
//! benchmark's own; then each is read as a snapshot, written, read again, and built into twins.

mod schemas;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use cluster::{Binaries, Server, ServerOptions};
use comfy_table::{CellAlignment, Table, presets};
use model::Snapshot;
use model::cost_model::{CandidateId, Configuration, CostModel as _, Registered};
use postgres::{Environment, SessionOptions, SnapshotOptions, Target};
use serde::Serialize;
use tokio_postgres::{Client, NoTls};
use twin::{Twin, TwinOptions};

use self::schemas::Schema;
use crate::benchmark_server::{repository, search};
use crate::cpu;
use crate::peers::PEERS_MAJOR;

/// Arguments.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Tables of the first database; 0 leaves it out.
    #[arg(long, default_value_t = 1000)]
    tables: usize,
    /// Partitions of the table in the second one; 0 leaves it out.
    #[arg(long, default_value_t = 10_000)]
    partitions: usize,
    /// How many twins are built of each; the median counts.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// The major version of PostgreSQL.
    #[arg(long, default_value_t = PEERS_MAJOR)]
    major: u32,
    /// Print nothing but the JSON line.
    #[arg(long)]
    json: bool,
}

/// What was measured of one database.
#[derive(Debug, Serialize)]
struct Measured {
    schema: &'static str,
    relations: usize,
    indexes: usize,
    /// Reading the snapshot, `pg_dump` included.
    snapshot_s: f64,
    file_bytes: u64,
    unpacked_bytes: u64,
    /// Reading the file.
    load_s: f64,
    /// Building the twin: the median, of twins whose cluster is copied from a template.
    build_s: f64,
    /// One twin whose cluster is made by `initdb`, as for a user.
    first_build_s: f64,
    /// Registering one candidate, when all are registered together.
    candidate_ms: f64,
    /// A plan that the session meets for the first time, and again.
    first_plan_ms: f64,
    plan_ms: f64,
    /// Memory of the twin's processes after that, shared pages counted once.
    twin_bytes: u64,
    /// What the twin's files take.
    directory_bytes: u64,
}

/// Runs the benchmark.
///
/// # Errors
/// When a server does not start or refuses something.
pub async fn run(args: Args) -> Result<()> {
    let binaries = Binaries::for_major(args.major, &search())?;
    let server = Server::start(&binaries, settings())?;
    let say = |text: &str| {
        if !args.json {
            eprintln!("{text}");
        }
    };
    say(&format!("PostgreSQL {}", binaries.version));
    let mut measured = Vec::new();
    for schema in [Schema::Tables(args.tables), Schema::Partitions(args.partitions)] {
        if schema.count() > 0 {
            say(&format!("making {} {}", schema.count(), schema.name()));
            measured.push(measure(&server, schema, &args).await?);
        }
    }
    server.stop()?;
    let peak = cpu::peak_memory().unwrap_or_default();
    if !args.json {
        println!("{}", text(&measured));
        println!("most memory of this process: {:.0} MB", megabytes(peak));
    }
    println!("{}", serde_json::json!({ "twin_build": measured, "peak_bytes": peak }));
    Ok(())
}

fn settings() -> ServerOptions {
    ServerOptions::default()
        .throw_away()
        .set("autovacuum", "off")
        .set("max_locks_per_transaction", "4096")
        .set("maintenance_work_mem", "256MB")
        .set("shared_buffers", "1GB")
        .set("timezone", "UTC")
}

async fn connect(url: &str) -> Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

async fn measure(server: &Server, schema: Schema, args: &Args) -> Result<Measured> {
    let admin = connect(&server.url("postgres")).await?;
    admin.batch_execute(&format!("CREATE DATABASE {} TEMPLATE template0", schema.name())).await?;
    let url = server.url(schema.name());
    schema.make(&connect(&url).await?).await?;

    let start = Instant::now();
    let snapshot = read(&url, server.binaries()).await?;
    let snapshot_s = start.elapsed().as_secs_f64();
    admin.batch_execute(&format!("DROP DATABASE {}", schema.name())).await?;
    let folder = std::env::temp_dir().join(format!("pgwright-twin-build-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let file = folder.join("s.snapshot.zst");
    postgres::snapshot_file::save(&file, &snapshot)?;
    let file_bytes = std::fs::metadata(&file)?.len();
    let start = Instant::now();
    let snapshot_again = postgres::snapshot_file::load(&file)?;
    let load_s = start.elapsed().as_secs_f64();
    std::fs::remove_dir_all(&folder)?;
    drop(snapshot_again);

    // A plan of every partition takes longer than a user would wait for it.
    let patient = TwinOptions { statement_timeout: Duration::from_secs(60), ..TwinOptions::default() };
    let first = patient.clone();
    let kept = TwinOptions { template_dir: Some(repository().join(".cache/templates")), ..patient };
    let start = Instant::now();
    Twin::build(&snapshot, server.binaries(), first).await?.stop().await?;
    let first_build_s = start.elapsed().as_secs_f64();
    let mut builds = Vec::new();
    let mut twin = None;
    for _ in 0..args.rounds.max(1) {
        drop(twin.take());
        let start = Instant::now();
        twin = Some(Twin::build(&snapshot, server.binaries(), kept.clone()).await?);
        builds.push(start.elapsed().as_secs_f64());
    }
    builds.sort_by(f64::total_cmp);
    let mut twin = twin.context("no twin was built")?;
    if let Some(note) = twin.notes().first() {
        anyhow::bail!("the twin lacks something: {note}");
    }

    let definitions = schema.candidates();
    let start = Instant::now();
    let mut ids: Vec<CandidateId> = Vec::new();
    for answer in twin.register(&definitions).await? {
        match answer {
            Registered::Ready { id, .. } => ids.push(id),
            Registered::Refused { reason } => anyhow::bail!("a candidate was refused: {reason}"),
        }
    }
    let candidate_ms = milliseconds(start.elapsed(), definitions.len());
    let statements = schema.statements();
    let mut plans = Vec::new();
    for _ in 0..2 {
        let start = Instant::now();
        for (n, sql) in statements.iter().enumerate() {
            twin.plan(sql, &Configuration::current().with(ids[n % ids.len()])).await?;
        }
        plans.push(milliseconds(start.elapsed(), statements.len()));
    }
    let (twin_bytes, directory_bytes) = memory(&connect(&twin.url()).await?).await?;
    twin.stop().await?;
    Ok(Measured {
        schema: schema.name(),
        relations: snapshot.relations.len(),
        indexes: snapshot.indexes.len(),
        snapshot_s,
        file_bytes,
        unpacked_bytes: serde_json::to_vec(&snapshot)?.len() as u64,
        load_s,
        build_s: builds[builds.len() / 2],
        first_build_s,
        candidate_ms,
        first_plan_ms: plans[0],
        plan_ms: plans[1],
        twin_bytes,
        directory_bytes,
    })
}

async fn read(url: &str, binaries: &Binaries) -> Result<Snapshot> {
    let target = Target::parse(Some(url), &Environment::default())?;
    let session = target.connect(&SessionOptions::default()).await?;
    let newest = Binaries::discover(&search()).into_iter().find_map(|b| b.program("pg_dump"));
    let pg_dump = binaries.program("pg_dump").or(newest).context("could not find pg_dump")?;
    Ok(postgres::snapshot::read(&session, &target, &SnapshotOptions::new(pg_dump)).await?)
}

/// Proportional memory of all processes of a server, and bytes of its files.
async fn memory(client: &Client) -> Result<(u64, u64)> {
    let row = client
        .query_one("SELECT pg_catalog.current_setting('data_directory'), pg_catalog.pg_backend_pid()", &[])
        .await?;
    let directory: String = row.try_get(0)?;
    let backend: i32 = row.try_get(1)?;
    let parent_of = |pid: u64| -> Option<u64> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
    };
    let postmaster = parent_of(u64::try_from(backend)?).context("reading the server's processes")?;
    let pids = std::fs::read_dir("/proc")?.flatten().filter_map(|e| e.file_name().to_str()?.parse().ok());
    let of_server = pids.filter(|pid: &u64| *pid == postmaster || parent_of(*pid) == Some(postmaster));
    let proportional = |pid: u64| -> Option<u64> {
        let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
        let line = text.lines().find_map(|l| l.strip_prefix("Pss:"))?;
        line.split_whitespace().next()?.parse::<u64>().ok().map(|kb| kb * 1024)
    };
    Ok((of_server.filter_map(proportional).sum(), bytes_below(Path::new(&directory))?))
}

/// Bytes that files take, holes not counted.
fn bytes_below(directory: &Path) -> Result<u64> {
    use std::os::unix::fs::MetadataExt as _;
    let mut bytes = 0;
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += metadata.blocks() * 512;
        if metadata.is_dir() {
            bytes += bytes_below(&entry.path())?;
        }
    }
    Ok(bytes)
}

fn milliseconds(elapsed: Duration, count: usize) -> f64 {
    elapsed.as_secs_f64() * 1e3 / count.max(1) as f64
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn text(measured: &[Measured]) -> String {
    let mut table = Table::new();
    table.load_preset(presets::ASCII_MARKDOWN);
    table.set_header([
        "",
        "relations",
        "snapshot s",
        "file MB",
        "unpacked MB",
        "load s",
        "build s",
        "first build s",
        "candidate ms",
        "first plan ms",
        "plan ms",
        "twin MB",
        "files MB",
    ]);
    for m in measured {
        table.add_row([
            m.schema.to_owned(),
            m.relations.to_string(),
            format!("{:.2}", m.snapshot_s),
            format!("{:.1}", megabytes(m.file_bytes)),
            format!("{:.1}", megabytes(m.unpacked_bytes)),
            format!("{:.2}", m.load_s),
            format!("{:.2}", m.build_s),
            format!("{:.2}", m.first_build_s),
            format!("{:.2}", m.candidate_ms),
            format!("{:.2}", m.first_plan_ms),
            format!("{:.2}", m.plan_ms),
            format!("{:.0}", megabytes(m.twin_bytes)),
            format!("{:.0}", megabytes(m.directory_bytes)),
        ]);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.to_string()
}
