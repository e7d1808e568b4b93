//! What does an index cost every row that is written, and does the advisor's price say so?
//!
//! Two tables hold the same rows; one has one index more. Rows go into both by turns, and what the backend
//! needs of a processor (`/proc/<pid>/schedstat`) is compared turn by turn: the difference is the index. A
//! disk has no part in it. What the machine does besides slows processors down too, through the caches that they
//! share, so only the calmer half of the turns counts. Beside it stands what `advice` charges for the same
//! index, the same rows and the same number of statements.

mod shapes;
mod table;

use std::collections::BTreeMap;
use std::time::Duration;

use advice::what_if::Upkeep;
use anyhow::{Context as _, Result};
use cluster::{Binaries, Server, ServerOptions};
use comfy_table::{CellAlignment, Table, presets};
use model::snapshot::{Statement, StatementsInfo};
use model::{Millis, Snapshot};
use postgres::{Environment, SessionOptions, Target};
use serde::Serialize;
use tokio_postgres::NoTls;

use self::shapes::{SHAPES, Shape};
use self::table::Writer;
use crate::benchmark_server::search;
use crate::peers::PEERS_MAJOR;

/// Arguments.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Rows that are in the tables before anything is measured.
    #[arg(long, default_value_t = 1_000_000)]
    rows: u64,
    /// Turns of each table; the calmer half counts.
    #[arg(long, default_value_t = 40)]
    rounds: usize,
    /// Rows of a turn.
    #[arg(long, default_value_t = 500)]
    batch: u64,
    /// Only the shapes whose name holds this.
    #[arg(long, value_name = "TEXT", default_value = "")]
    only: String,
    /// The major version of PostgreSQL.
    #[arg(long, default_value_t = PEERS_MAJOR)]
    major: u32,
    /// shared_buffers of the server.
    #[arg(long, default_value = "1GB")]
    shared_buffers: String,
    /// A checkpoint before every turn, so that every page that is changed is logged in full.
    #[arg(long)]
    checkpoints: bool,
    /// Milliseconds before each statement of one row, in which caches forget, as on a server that has other
    /// work or none.
    #[arg(long, default_value_t = 0)]
    pause_ms: u64,
    /// Print nothing but the JSON line.
    #[arg(long)]
    json: bool,
}

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Many rows by one `INSERT`.
    Batch,
    /// One row by one `INSERT`.
    Single,
    /// One row by one `UPDATE` that cannot be HOT, because it changes an indexed column or its page is full.
    Update,
}

impl Mode {
    const ALL: [Self; 3] = [Self::Batch, Self::Single, Self::Update];

    fn name(self) -> &'static str {
        match self {
            Self::Batch => "INSERT of many",
            Self::Single => "INSERT of one",
            Self::Update => "UPDATE of one",
        }
    }
}

/// One index and one way of writing.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Measured {
    /// Microseconds of a processor per row without the index.
    pub without_us: f64,
    /// What the index adds: the middle of the turns.
    pub index_us: f64,
    /// A quarter of the turns lies below.
    pub lower_quartile_us: f64,
    /// A quarter of the turns lies above.
    pub upper_quartile_us: f64,
    /// What the advisor charges.
    pub predicted_us: f64,
    /// Write-ahead log that the index adds per row.
    pub wal_bytes: f64,
}

#[derive(Debug, Serialize)]
struct ShapeReport {
    name: &'static str,
    sql: &'static str,
    bytes: u64,
    measured: BTreeMap<Mode, Measured>,
}

/// Runs the benchmark.
///
/// # Errors
/// When the server does not start or refuses something.
pub async fn run(args: Args) -> Result<()> {
    let binaries = Binaries::for_major(args.major, &search())?;
    let server = Server::start(&binaries, settings(&args))?;
    let say = |text: &str| {
        if !args.json {
            eprintln!("{text}");
        }
    };
    let (client, connection) = tokio_postgres::connect(&server.url("postgres"), NoTls).await?;
    let driver = tokio::spawn(connection);
    let mut writer = Writer::new(client, args.rows, Duration::from_millis(args.pause_ms)).await?;
    say(&format!("PostgreSQL {}, {} rows", binaries.version, args.rows));
    let target = Target::parse(Some(&server.url("postgres")), &Environment::default())?;

    let mut reports = Vec::new();
    for shape in SHAPES.iter().filter(|shape| shape.name.contains(&args.only)) {
        let bytes = writer.build(shape).await?;
        let snapshot = snapshot(&target).await?;
        let mut measured = BTreeMap::new();
        for mode in Mode::ALL {
            let predicted_us = predict(&snapshot, mode, args.batch)
                .with_context(|| format!("index \"{}\" is not in the snapshot", shape.name))?;
            let of_mode = measure(&mut writer, &args, shape, mode, predicted_us).await?;
            measured.insert(mode, of_mode);
        }
        writer.drop_index().await?;
        let line: Vec<String> = measured
            .iter()
            .map(|(mode, m)| format!("{} {:.2} ({:.2})", mode.name(), m.index_us, m.predicted_us))
            .collect();
        say(&format!("{}: {}", shape.name, line.join(", ")));
        reports.push(ShapeReport { name: shape.name, sql: shape.sql, bytes, measured });
    }
    drop(writer);
    driver.abort();
    server.stop()?;
    let errors = Mode::ALL.map(|mode| (mode, error(&reports, mode)));
    if !args.json {
        println!("{}", text(&reports));
        for (mode, error) in &errors {
            println!(
                "{}: the advisor's price differs from the measured one by {:.0} % (median), {:.0} % of all shapes \
                 together",
                mode.name(),
                error.median * 100.0,
                error.total * 100.0
            );
        }
    }
    let errors: BTreeMap<Mode, Error> = errors.into_iter().collect();
    println!("{}", serde_json::json!({ "upkeep": reports, "errors": errors }));
    Ok(())
}

fn settings(args: &Args) -> ServerOptions {
    let mut options = ServerOptions::default();
    for (name, value) in [
        ("shared_buffers", args.shared_buffers.as_str()),
        ("shared_preload_libraries", "pg_stat_statements"),
        ("autovacuum", "off"),
        ("fsync", "off"),
        ("synchronous_commit", "off"),
        ("max_wal_size", "16GB"),
        ("checkpoint_timeout", "1h"),
        ("maintenance_work_mem", "256MB"),
        ("max_parallel_workers_per_gather", "0"),
        ("jit", "off"),
        ("timezone", "UTC"),
    ] {
        options = options.set(name, value);
    }
    options
}

/// The database as the advisor sees it, without statements.
async fn snapshot(target: &Target) -> Result<Snapshot> {
    let session = target.connect(&SessionOptions::default()).await?;
    let limit = Duration::from_secs(30);
    let mut snapshot = postgres::snapshot::read_without_schema(&session, limit).await?;
    snapshot.statements.clear();
    Ok(snapshot)
}

/// What the advisor charges per row for the index that stands in the snapshot under the name of the
/// measured one, in microseconds, when a million rows are written.
fn predict(snapshot: &Snapshot, mode: Mode, batch: u64) -> Option<f64> {
    const ROWS: i64 = 1_000_000;
    let (query, calls) = match mode {
        // Two relations: how long it took says nothing about the insertion, so that the advisor's own
        // figures count and not those of this machine's moment.
        // Statements of a hundred rows and more may be loads, which are no upkeep.
        Mode::Batch => (table::INSERT_TEXT, ROWS / i64::try_from(batch.clamp(1, 50)).ok()?),
        Mode::Single => (table::INSERT_TEXT, ROWS),
        Mode::Update => (table::UPDATE_TEXT, ROWS),
    };
    let mut snapshot = snapshot.clone();
    let at = snapshot.indexes.iter().position(|index| index.name.name == table::MEASURED)?;
    let index = snapshot.indexes.remove(at);
    let taken_at = snapshot.taken_at;
    snapshot.statements_info = Some(StatementsInfo {
        version: "1.10".into(),
        dealloc: 0,
        stats_reset: taken_at.checked_sub_signed(chrono::TimeDelta::hours(1)),
        max: 5_000,
        track: "top".into(),
    });
    snapshot.statements = vec![written(query, calls, ROWS)];
    for relation in &mut snapshot.relations {
        // Pages are full.
        if let Some(activity) = &mut relation.activity {
            (activity.n_tup_upd, activity.n_tup_hot_upd) = (ROWS, 0);
        }
    }
    let upkeep = Upkeep::of(&snapshot, &index.definition, index.bytes);
    Some(upkeep.write_ms_per_hour * snapshot.observed_hours() * 1e3 / ROWS as f64)
}

fn written(query: &str, calls: i64, rows: i64) -> Statement {
    let total = Millis(0.02 * rows as f64);
    let mean = Millis(total.0 / calls.max(1) as f64);
    Statement {
        queryid: 1,
        query: query.into(),
        toplevel: true,
        calls,
        plans: 0,
        total_plan_time: Millis(0.0),
        total_exec_time: total,
        min_exec_time: mean,
        max_exec_time: mean,
        mean_exec_time: mean,
        stddev_exec_time: Millis(0.0),
        rows,
        shared_blks_hit: 0,
        shared_blks_read: 0,
        shared_blks_dirtied: 0,
        shared_blks_written: 0,
        temp_blks_read: 0,
        temp_blks_written: 0,
        blk_read_time: Millis(0.0),
        blk_write_time: Millis(0.0),
        wal_records: 0,
        wal_bytes: model::Bytes(0),
        stats_since: None,
    }
}

async fn measure(
    writer: &mut Writer,
    args: &Args,
    shape: &Shape,
    mode: Mode,
    predicted_us: f64,
) -> Result<Measured> {
    // Two turns of each to warm up.
    const WARM_UP: usize = 2;
    let mut rounds = Vec::new();
    for round in 0..args.rounds + WARM_UP {
        if args.checkpoints {
            writer.checkpoint().await?;
        }
        let rows = writer.next_rows(args.batch);
        let mut turns = [table::Turn::default(); 2];
        // Whoever goes second finds the rows in the cache.
        for place in 0..2 {
            let arm = (round + place) % 2;
            turns[arm] = writer.turn(arm, shape, mode, rows).await?;
        }
        if round >= WARM_UP {
            rounds.push(turns);
        }
    }
    rounds.sort_by(|a, b| (a[0].cpu_s + a[1].cpu_s).total_cmp(&(b[0].cpu_s + b[1].cpu_s)));
    rounds.truncate(rounds.len().div_ceil(2));
    let per_row = |pick: fn(&[table::Turn; 2]) -> f64| -> Vec<f64> {
        rounds.iter().map(|turns| pick(turns) / args.batch as f64).collect()
    };
    let mut without = per_row(|turns| turns[0].cpu_s * 1e6);
    let mut added = per_row(|turns| (turns[1].cpu_s - turns[0].cpu_s) * 1e6);
    let mut wal = per_row(|turns| turns[1].wal_bytes - turns[0].wal_bytes);
    Ok(Measured {
        without_us: quantile(&mut without, 0.5),
        index_us: quantile(&mut added, 0.5),
        lower_quartile_us: quantile(&mut added, 0.25),
        upper_quartile_us: quantile(&mut added, 0.75),
        predicted_us,
        wal_bytes: quantile(&mut wal, 0.5),
    })
}

fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let at = (values.len().saturating_sub(1) as f64 * share).round() as usize;
    values.get(at).copied().unwrap_or(f64::NAN)
}

/// How far the advisor's prices are from the truth.
#[derive(Clone, Copy, Debug, Serialize)]
struct Error {
    /// The middle of the shapes, as a share of what was measured; differences below a tenth of a microsecond
    /// count as none.
    median: f64,
    /// Of all shapes together, with its sign.
    total: f64,
}

fn error(reports: &[ShapeReport], mode: Mode) -> Error {
    let measured: Vec<&Measured> = reports.iter().filter_map(|report| report.measured.get(&mode)).collect();
    let mut shares: Vec<f64> = measured
        .iter()
        .map(|m| {
            let difference = (m.predicted_us - m.index_us).abs();
            if difference < 0.1 { 0.0 } else { difference / m.index_us.abs().max(0.1) }
        })
        .collect();
    let sum = |pick: fn(&Measured) -> f64| measured.iter().map(|m| pick(m)).sum::<f64>();
    Error { median: quantile(&mut shares, 0.5), total: sum(|m| m.predicted_us) / sum(|m| m.index_us) - 1.0 }
}

fn text(reports: &[ShapeReport]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY);
    let mut header = vec!["index".to_owned(), "MB".to_owned()];
    for mode in Mode::ALL {
        header.extend([format!("{}: µs", mode.name()), "quartiles".into(), "advisor".into()]);
    }
    header.push("log, bytes".into());
    table.set_header(header);
    for report in reports {
        let mut row = vec![report.name.to_owned(), format!("{:.0}", report.bytes as f64 / 1048576.0)];
        for m in report.measured.values() {
            row.push(format!("{:.2}", m.index_us));
            row.push(format!("{:.2} to {:.2}", m.lower_quartile_us, m.upper_quartile_us));
            row.push(format!("{:.2}", m.predicted_us));
        }
        row.push(
            report.measured.get(&Mode::Batch).map_or_else(String::new, |m| format!("{:.0}", m.wal_bytes)),
        );
        table.add_row(row);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}
