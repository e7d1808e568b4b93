//! What does advice on a very large database take? 5,000 distinct statements on 2,000 tables.
//!
//! No server is needed: schema, statistics and counters are generated (`scale/schema.rs`,
//! `scale/statements.rs`), always the same, and the twin is built of them. Memory is what counts on a machine:
//! the peak of this process, and of the twin's server the proportional set size of all its processes with the
//! files that it keeps in memory.

mod schema;
mod statements;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use advice::{Advice, Options};
use anyhow::{Context as _, Result};
use cluster::Binaries;
use model::{Change, Snapshot};
use tokio_postgres::NoTls;
use twin::{Twin, TwinOptions};

use crate::benchmark_server::search;
use crate::{advisor, cpu, progress};

/// Arguments.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// How many distinct statements.
    #[arg(long, default_value_t = 5_000)]
    statements: usize,
    /// How many tables.
    #[arg(long, default_value_t = 2_000)]
    tables: usize,
    /// The major version of PostgreSQL; 15 where it is here, or else the newest.
    #[arg(long)]
    major: Option<u32>,
    /// End the search after so many seconds, as Ctrl-C does, and show the best until then.
    #[arg(long, value_name = "SECONDS")]
    stop_after: Option<u64>,
    /// Print nothing but the JSON line.
    #[arg(long)]
    json: bool,
    /// Write the snapshot into this file as well, for other commands to try.
    #[arg(long, value_name = "FILE")]
    snapshot: Option<std::path::PathBuf>,
}

/// How often memory is looked at.
const LOOK: Duration = Duration::from_millis(200);

/// Runs the benchmark and prints what it found.
///
/// # Errors
/// When there is no PostgreSQL, or the advisor fails.
pub async fn run(args: Args) -> Result<()> {
    let snapshot = generate(args.tables, args.statements)?;
    if let Some(path) = &args.snapshot {
        postgres::snapshot_file::save(path, &snapshot)?;
    }
    let binaries = Binaries::for_major(advisor::major(args.major)?, &search())?;
    let measured = measure(&args, &snapshot, &binaries).await?;
    if !args.json {
        print!("{}", measured.text());
    }
    println!("{}", measured.summary());
    Ok(())
}

/// A database of so many tables and distinct statements.
fn generate(tables: usize, statements: usize) -> Result<Snapshot> {
    let mut snapshot = schema::generate(tables);
    snapshot.statements = statements::generate(&snapshot, statements)?;
    Ok(snapshot)
}

/// What was found.
struct Measured {
    tables: usize,
    statements: usize,
    version: String,
    twin_s: f64,
    advise_s: f64,
    cpu_s: f64,
    own_peak_bytes: u64,
    server_peak_bytes: u64,
    advice: Advice,
}

async fn measure(args: &Args, snapshot: &Snapshot, binaries: &Binaries) -> Result<Measured> {
    let (cpu_before, start) = (cpu::of_this_tree(None), Instant::now());
    let twin_options = TwinOptions::default();
    let mut twin = Twin::build(snapshot, binaries, twin_options).await?;
    let twin_s = start.elapsed().as_secs_f64();
    for note in twin.notes() {
        eprintln!("note: {note}");
    }
    let directory = data_directory(&twin).await?;
    let watch = MemoryWatch::begin(directory);

    let start = Instant::now();
    let control = progress::control(!args.json);
    if let Some(seconds) = args.stop_after {
        let control = control.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            control.stop();
        });
    }
    // The search computes between its planner calls, and a task beside it has to come to run.
    let advice = advice::advise(snapshot, &mut twin, &Options { control, ..Options::default() }).await?;
    let advise_s = start.elapsed().as_secs_f64();
    let server_peak_bytes = watch.end();
    twin.stop().await?;
    Ok(Measured {
        tables: snapshot.relations.len(),
        statements: snapshot.statements.len(),
        version: binaries.version.clone(),
        twin_s,
        advise_s,
        cpu_s: cpu::of_this_tree(None) - cpu_before,
        own_peak_bytes: cpu::peak_memory().unwrap_or_default(),
        server_peak_bytes,
        advice,
    })
}

/// Where the twin's server keeps its files.
async fn data_directory(twin: &Twin) -> Result<std::path::PathBuf> {
    let (client, connection) = tokio_postgres::connect(&twin.url(), NoTls).await?;
    let task = tokio::spawn(connection);
    let row = client.query_one("SELECT pg_catalog.current_setting('data_directory')", &[]).await?;
    let path: String = row.try_get(0).context("the twin has no data directory")?;
    task.abort();
    Ok(path.into())
}

/// Looks at the memory of the processes below this one, in a thread of its own.
struct MemoryWatch {
    ended: Arc<AtomicBool>,
    peak: Arc<AtomicU64>,
    thread: std::thread::JoinHandle<()>,
}

impl MemoryWatch {
    fn begin(directory: std::path::PathBuf) -> Self {
        let (ended, peak) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let thread = {
            let (ended, peak) = (ended.clone(), peak.clone());
            let in_memory = cluster::memory_dir(0).is_some_and(|memory| directory.starts_with(memory));
            std::thread::spawn(move || {
                // Files change little once the candidates are there.
                let (mut files, mut looks) = (0, 0_u32);
                while !ended.load(Ordering::Relaxed) {
                    if in_memory && looks % 25 == 0 {
                        files = used_by_files(&directory);
                    }
                    looks += 1;
                    peak.fetch_max(cpu::memory_of_descendants() + files, Ordering::Relaxed);
                    std::thread::sleep(LOOK);
                }
                if in_memory {
                    files = used_by_files(&directory);
                }
                peak.fetch_max(cpu::memory_of_descendants() + files, Ordering::Relaxed);
            })
        };
        Self { ended, peak, thread }
    }

    fn end(self) -> u64 {
        self.ended.store(true, Ordering::Relaxed);
        // A watch that failed has told what it saw until then.
        let _ = self.thread.join();
        self.peak.load(Ordering::Relaxed)
    }
}

/// Bytes that files below a folder really take, which for sparse files is little.
fn used_by_files(directory: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let metadata = entry.path().symlink_metadata().ok()?;
            Some(if metadata.is_dir() { used_by_files(&entry.path()) } else { 512 * metadata.blocks() })
        })
        .sum()
}

impl Measured {
    fn indexes(&self) -> usize {
        let changes = self.advice.recommendations.iter().flat_map(|r| &r.changes);
        changes.filter(|change| matches!(change, Change::CreateIndex { .. })).count()
    }

    fn share_saved(&self) -> f64 {
        1.0 - self.advice.workload_cost_after / self.advice.workload_cost_before
    }

    fn text(&self) -> String {
        let mb = |bytes: u64| bytes as f64 / advisor::MB as f64;
        format!(
            "{} statements on {} tables, PostgreSQL {}\n\
             twin {:.1} s, advice {:.1} s, processor {:.1} s{}\n\
             {} planner calls for {} candidates; {} new indexes, which save {:.1} % of the planner cost; bound gap {}\n\
             {} statements were left out\n\
             memory at its peak: pgwright {:.0} MB, the twin's server {:.0} MB\n",
            self.statements,
            self.tables,
            self.version,
            self.twin_s,
            self.advise_s,
            self.cpu_s,
            if self.advice.stopped_early { ", stopped early" } else { "" },
            self.advice.planner_calls,
            self.advice.candidates,
            self.indexes(),
            100.0 * self.share_saved(),
            self.advice.bound.map_or_else(|| "unknown".to_owned(), |b| format!("{:.2} %", 100.0 * b.gap)),
            self.advice.skipped.len(),
            mb(self.own_peak_bytes),
            mb(self.server_peak_bytes),
        )
    }

    fn summary(&self) -> String {
        let mb = |bytes: u64| (bytes as f64 / advisor::MB as f64).round();
        let round = |seconds: f64| (seconds * 10.0).round() / 10.0;
        serde_json::json!({
            "statements": self.statements,
            "tables": self.tables,
            "seconds": round(self.twin_s + self.advise_s),
            "twin_seconds": round(self.twin_s),
            "cpu_seconds": round(self.cpu_s),
            "peak_memory_mb": mb(self.own_peak_bytes + self.server_peak_bytes),
            "own_memory_mb": mb(self.own_peak_bytes),
            "server_memory_mb": mb(self.server_peak_bytes),
            "planner_calls": self.advice.planner_calls,
            "candidates": self.advice.candidates,
            "indexes": self.indexes(),
            "share_saved": (self.share_saved() * 1e4).round() / 1e4,
            "bound_gap": self.advice.bound.map(|b| (b.gap * 1e4).round() / 1e4),
            "skipped": self.advice.skipped.len(),
            "stopped_early": self.advice.stopped_early,
        })
        .to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_small_one_is_advised_on_to_the_end_and_can_be_stopped() {
        let binaries = Binaries::for_major(advisor::major(None).unwrap(), &search()).unwrap();
        let snapshot = generate(20, 60).unwrap();
        assert!(generate(20, 61).is_err());
        assert_eq!((snapshot.relations.len(), snapshot.statements.len()), (20, 60));
        let texts: std::collections::BTreeSet<&str> =
            snapshot.statements.iter().map(|s| s.query.as_str()).collect();
        assert_eq!(texts.len(), 60, "every statement is another one");
        let mut args =
            Args { statements: 60, tables: 20, major: None, stop_after: None, json: true, snapshot: None };
        let measured = measure(&args, &snapshot, &binaries).await.unwrap();
        let refused: Vec<&str> = measured
            .advice
            .skipped
            .iter()
            .map(|s| s.reason.as_str())
            .filter(|reason| reason.contains("the planner refuses it"))
            .collect();
        assert!(refused.is_empty(), "{refused:?}");
        assert!(measured.indexes() > 0 && measured.share_saved() > 0.5, "{}", measured.text());
        assert!(measured.server_peak_bytes > 1 << 20 && measured.own_peak_bytes > 1 << 20);
        args.stop_after = Some(0);
        let stopped = measure(&args, &snapshot, &binaries).await.unwrap();
        assert!(stopped.advice.planner_calls <= measured.advice.planner_calls);
    }
}
