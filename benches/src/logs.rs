//! How fast are logs read, and do the counts agree with pgBadger's?
//!
//! A server of its own writes a log of `pgbench` (simple, extended and prepared statements, sorts on disk, errors, checkpoints); the log is
//! repeated up to the wanted size, and both programs read that one file. pgBadger's counts come from its JSON output.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use cluster::{Binaries, Server, ServerOptions};
use serde_json::Value;

use crate::advisor;
use crate::benchmark_server::search;

/// Arguments.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The size of the log in MB.
    #[arg(long, default_value_t = 200)]
    megabytes: u64,
    /// Read this log instead of writing one.
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// The program that is measured.
    #[arg(long, value_name = "FILE", default_value = "target/release/pgwright")]
    pgwright: PathBuf,
    /// Leave pgBadger out: it needs minutes for each 100 MB.
    #[arg(long)]
    alone: bool,
    /// How often pgwright reads the log; the median counts.
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Print nothing but the JSON line.
    #[arg(long)]
    json: bool,
}

/// The prefix that pgBadger's manual asks for.
const PREFIX: &str = "%t [%p]: [%l-1] user=%u,db=%d,app=%a,client=%h ";

/// The phases of the extended protocol under which pgBadger sums durations.
const PHASES: [&str; 3] = ["prepare", "bind", "execute"];

/// What one program took.
struct Taken {
    seconds: f64,
    peak_mb: f64,
    counts: Counts,
}

/// What both programs count.
#[derive(Debug)]
struct Counts {
    statements: u64,
    temporary_files: u64,
    temporary_bytes: u64,
    connections: u64,
    total_ms: u64,
}

impl Counts {
    /// Equal; the time in all to within a ten-thousandth, as either adds up fractions of milliseconds in its own order.
    fn agree(&self, other: &Self) -> bool {
        let whole = |c: &Self| (c.statements, c.temporary_files, c.temporary_bytes, c.connections);
        whole(self) == whole(other) && self.total_ms.abs_diff(other.total_ms) <= self.total_ms / 10_000
    }
}

/// Runs the benchmark and prints what it found.
///
/// # Errors
/// When PostgreSQL, `pgbench` or pgBadger is missing.
pub async fn run(args: Args) -> Result<()> {
    let folder = std::env::temp_dir().join(format!("pgwright-logs-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let done = measure(&args, &folder);
    std::fs::remove_dir_all(&folder)?;
    done
}

fn measure(args: &Args, folder: &Path) -> Result<()> {
    let log = match &args.log {
        Some(log) => log.clone(),
        None => repeated(&written(folder)?, &folder.join("large.log"), args.megabytes << 20)?,
    };
    let megabytes = std::fs::metadata(&log)?.len() as f64 / 1e6;
    let mut ours: Vec<Taken> =
        (0..args.runs.max(1)).map(|_| pgwright(&args.pgwright, &log)).collect::<Result<_>>()?;
    ours.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
    let ours = &ours[ours.len() / 2];
    let peer = if args.alone { None } else { Some(pgbadger(&log, folder)?) };
    if !args.json {
        println!("{megabytes:.0} MB\n{:<10} {:>9} {:>9} {:>9}  counts", "", "seconds", "MB/s", "peak MB");
        for (name, taken) in [("pgwright", Some(ours)), ("pgBadger", peer.as_ref())] {
            if let Some(t) = taken {
                let rate = megabytes / t.seconds;
                println!("{name:<10} {:>9.2} {rate:>9.1} {:>9.0}  {:?}", t.seconds, t.peak_mb, t.counts);
            }
        }
    }
    let summary = serde_json::json!({
        "speed_ratio": peer.as_ref().map(|p| p.seconds / ours.seconds),
        "peak_mb": ours.peak_mb,
        "counts_equal": peer.as_ref().map(|p| p.counts.agree(&ours.counts)),
        "seconds": ours.seconds,
        "megabytes": megabytes,
    });
    println!("{summary}");
    Ok(())
}

/// A log that a server wrote in half a minute.
fn written(folder: &Path) -> Result<PathBuf> {
    let binaries = Binaries::for_major(advisor::major(None)?, &search())?;
    let mut options = ServerOptions::default().throw_away();
    for (name, value) in [
        ("log_min_duration_statement", "0"),
        ("log_line_prefix", PREFIX),
        ("log_checkpoints", "on"),
        ("log_connections", "on"),
        ("log_disconnections", "on"),
        ("log_lock_waits", "on"),
        ("log_temp_files", "0"),
        ("log_autovacuum_min_duration", "0"),
        ("lc_messages", "C"),
    ] {
        options = options.set(name, value);
    }
    let server = Server::start(&binaries, options)?;
    let url = server.url("postgres");
    let scripts = [
        (
            "mix.sql",
            "\\set a random(1, 500000)\nselect abalance, filler from pgbench_accounts where aid = :a;\nselect count(*) from (select * from pgbench_branches b join pgbench_tellers t using (bid) where t.tid in (:a, 3, 4) order by tbalance) s;\n",
        ),
        (
            "sort.sql",
            "set work_mem = '64kB';\nselect count(*) from (select aid from pgbench_accounts where aid < 5000 order by filler, aid desc) s;\n",
        ),
    ];
    for (name, text) in scripts {
        std::fs::write(folder.join(name), text)?;
    }
    let pgbench = |arguments: &[&str]| -> Result<std::process::Child> {
        Command::new("pgbench")
            .args(arguments)
            .arg(&url)
            .current_dir(folder)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("could not start pgbench")
    };
    pgbench(&["-q", "-i", "-s", "5"])?.wait()?;
    let running = [
        pgbench(&["-n", "-c", "4", "-T", "20"])?,
        pgbench(&["-n", "-c", "2", "-T", "20", "-M", "extended", "-f", "mix.sql"])?,
        pgbench(&["-n", "-c", "2", "-T", "20", "-M", "prepared", "-f", "mix.sql"])?,
        pgbench(&["-n", "-c", "1", "-T", "20", "-R", "5", "-f", "sort.sql"])?,
    ];
    for mut child in running {
        if !child.wait()?.success() {
            bail!("pgbench failed");
        }
    }
    let log = folder.join("server.log");
    std::fs::copy(server.log_file(), &log)?;
    server.stop()?;
    Ok(log)
}

/// The same entries again and again, up to a size.
fn repeated(log: &Path, into: &Path, bytes: u64) -> Result<PathBuf> {
    use std::io::Write as _;
    let once = std::fs::read(log)?;
    if once.is_empty() {
        bail!("the server wrote no log");
    }
    let mut out = std::io::BufWriter::new(std::fs::File::create(into)?);
    let mut written = 0;
    while written < bytes {
        out.write_all(&once)?;
        written += once.len() as u64;
    }
    out.flush()?;
    Ok(into.to_owned())
}

fn pgwright(program: &Path, log: &Path) -> Result<Taken> {
    let mut command = Command::new(program);
    command.args(["logs", "analyze", "--json", "-q"]).arg(log);
    let (seconds, peak_mb, output) = timed(&mut command)?;
    let report: Value = serde_json::from_slice(&output).context("pgwright's answer is no JSON")?;
    let number = |path: &str| report.pointer(path).and_then(Value::as_u64).unwrap_or(0);
    Ok(Taken {
        seconds,
        peak_mb,
        counts: Counts {
            statements: number("/durations/calls") + number("/unmeasured"),
            temporary_files: number("/temporary_files/files"),
            temporary_bytes: number("/temporary_files/bytes"),
            connections: number("/connections/received"),
            total_ms: report.pointer("/durations/total_ms").and_then(Value::as_f64).unwrap_or(0.0).round()
                as u64,
        },
    })
}

fn pgbadger(log: &Path, folder: &Path) -> Result<Taken> {
    let out = folder.join("badger.json");
    let mut command = Command::new("pgbadger");
    command.args(["-q", "-f", "stderr", "-j", "2", "-p", PREFIX, "-x", "json", "-o"]).arg(&out).arg(log);
    let (seconds, peak_mb, _) = timed(&mut command)?;
    let report: Value =
        serde_json::from_slice(&std::fs::read(&out)?).context("pgBadger's answer is no JSON")?;
    let number = |value: Option<&Value>| {
        value.map_or(0.0, |v| v.as_f64().or_else(|| v.as_str()?.parse().ok()).unwrap_or(0.0))
    };
    let sum = |path: &str, name: &str| {
        let groups = report.pointer(path).and_then(Value::as_object);
        groups.map_or(0.0, |g| g.values().map(|v| number(v.get(name))).sum::<f64>())
    };
    let total = report.pointer("/overall_stat").and_then(Value::as_object).map_or(0.0, |g| {
        let durations = g.values().filter_map(|v| v.get("queries_duration")).filter_map(Value::as_object);
        durations.map(|d| PHASES.iter().map(|p| number(d.get(*p))).sum::<f64>()).sum::<f64>()
    });
    Ok(Taken {
        seconds,
        peak_mb,
        counts: Counts {
            statements: number(report.pointer("/overall_stat/queries_number")) as u64,
            temporary_files: sum("/tempfile_info", "count") as u64,
            temporary_bytes: sum("/tempfile_info", "size") as u64,
            connections: sum("/connection_info", "count") as u64,
            total_ms: total.round() as u64,
        },
    })
}

/// Runs a program under `time`, which knows the peak of its memory: seconds, MB and what it wrote.
fn timed(command: &mut Command) -> Result<(f64, f64, Vec<u8>)> {
    let mut timer = Command::new("time");
    timer.args(["-f", "peak %M"]).arg(command.get_program()).args(command.get_args());
    let started = Instant::now();
    let output = timer.output().context("could not start \"time\" (the Debian package is called time)")?;
    let seconds = started.elapsed().as_secs_f64();
    let errors = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        bail!("{:?} failed: {errors}", command.get_program());
    }
    let peak = errors.lines().rev().find_map(|l| l.strip_prefix("peak ")?.trim().parse::<f64>().ok());
    Ok((seconds, peak.context("\"time\" told no peak")? / 1024.0, output.stdout))
}
