//! How near to the client's truth are the percentiles of `pgwright latency`, and what does watching cost?
//!
//! pgbench writes down how long each of its transactions took, without the time that it fell behind its own schedule; each script is one
//! statement. The cost is the CPU time of the program and of its sessions on the server, over the time of watching. A second program watches the
//! same time with the server's log besides, which holds all executions of at least 10 ms and a hundredth of the others.
//! What watching costs the sessions that work is measured after that (`percentiles/cost.rs`).

mod cost;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use cluster::{Binaries, Server, ServerOptions};
use serde_json::Value;

use crate::advisor;
use crate::benchmark_server::search;
use crate::fidelity::median;

/// Arguments.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// How long to watch, in seconds.
    #[arg(long, default_value_t = 120)]
    seconds: u64,
    /// Idle connections beside those that work.
    #[arg(long, default_value_t = 100)]
    idle: u32,
    /// The program that is measured.
    #[arg(long, value_name = "FILE", default_value = "target/release/pgwright")]
    pgwright: PathBuf,
    /// Pairs of slices, one with and one without the program, for what watching costs the sessions that work; 0 for none.
    #[arg(long, default_value_t = 12)]
    pairs: u32,
    /// How long such a slice is.
    #[arg(long, default_value_t = 5)]
    slice_seconds: u64,
    /// Print nothing but the JSON line.
    #[arg(long)]
    json: bool,
}

/// A script of one statement, a part of the statement's text, and how pgbench runs it.
struct Load {
    name: &'static str,
    script: &'static str,
    text: &'static str,
    options: &'static [&'static str],
}

const LOADS: &[Load] = &[
    Load {
        name: "prepared updates",
        script: "\\set a random(1, 500000)\nupdate pgbench_accounts set abalance = abalance + 1 where aid = :a;\n",
        text: "update pgbench_accounts",
        options: &["-c", "10", "-R", "100", "-M", "prepared"],
    },
    Load {
        name: "ranges, simple",
        script: "\\set a random(1, 490000)\n\\set b random_exponential(10, 200000, 5)\nselect count(abalance) from pgbench_accounts where aid between :a and :a + :b;\n",
        text: "count(abalance)",
        options: &["-c", "10", "-R", "40"],
    },
    Load {
        name: "lookups, prepared",
        script: "\\set a random(1, 500000)\nselect abalance from pgbench_accounts where aid = :a;\n",
        text: "select abalance",
        options: &["-c", "10", "-R", "200", "-M", "prepared"],
    },
    Load {
        name: "sleeps",
        script: "\\set a random_exponential(1, 600, 4)\nselect pg_sleep(:a / 1000.0);\n",
        text: "pg_sleep",
        options: &["-c", "12", "-R", "15"],
    },
];

/// Runs the benchmark and prints what it found.
///
/// # Errors
/// When PostgreSQL or `pgbench` is missing.
pub async fn run(args: Args) -> Result<()> {
    let folder = std::env::temp_dir().join(format!("pgwright-percentiles-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let done = measure(&args, &folder);
    std::fs::remove_dir_all(&folder)?;
    done
}

fn measure(args: &Args, folder: &Path) -> Result<()> {
    let binaries = Binaries::for_major(advisor::major(None)?, &search())?;
    // Commits are flushed, because they are a part of the truth.
    let options = ServerOptions::default()
        .set("shared_preload_libraries", "pg_stat_statements")
        .set("compute_query_id", "on")
        .set("log_line_prefix", "%m [%p] %q%u@%d ")
        .set("log_min_duration_statement", "10ms")
        .set("log_min_duration_sample", "0")
        .set("log_statement_sample_rate", "0.01")
        .set("max_connections", (args.idle + 80).to_string());
    let server = Server::start(&binaries, options)?;
    let url = server.url("postgres");
    sql(&url, "create extension pg_stat_statements")?;
    pgbench(folder, &url, &["-q", "-i", "-s", "5"])?.wait()?;
    let more = args.seconds + 4;
    let mut idle = if args.idle > 0 { Some(idle_sessions(folder, &url, args.idle, more)?) } else { None };
    let mut running = Vec::new();
    for (number, load) in (0..).zip(LOADS) {
        let file = format!("load{number}.sql");
        std::fs::write(folder.join(&file), load.script)?;
        let (seconds, prefix) = (more.to_string(), format!("load{number}"));
        let mut arguments = vec!["-n", "-T", &seconds, "-f", &file, "-l", "--log-prefix", &prefix];
        arguments.extend(load.options);
        running.push(pgbench(folder, &url, &arguments)?);
    }
    std::thread::sleep(Duration::from_secs(1));
    let with_log = watch(args, &format!("{url}?application_name={WITH_LOG}"), Some(server.log_file()))?;
    let (report, cpu_seconds) = watched(args, &url)?;
    let (report_with_log, _) = answer(with_log)?;
    for child in running.iter_mut().chain(&mut idle) {
        child.wait()?;
    }
    let cost = if args.pairs > 0 { Some(cost::measure(args, folder, &url)?) } else { None };
    let (mut errors, mut errors_with_log) = (Vec::new(), Vec::new());
    if !args.json {
        println!(
            "{:<20} {:>7}  {:>26}  {:>26}  {:>26}  {:>26}",
            "", "calls", "P50 ms, truth", "P95 ms, truth", "P99 ms, truth", "P99 with the log"
        );
    }
    for (number, load) in (0..).zip(LOADS) {
        let truth = truth(folder, &format!("load{number}."))?;
        let of = |report: &Value| -> Result<Value> {
            let statements = report["statements"].as_array().context("no statements")?;
            let found =
                statements.iter().find(|s| s["query"].as_str().is_some_and(|q| q.contains(load.text)));
            found.cloned().with_context(|| format!("{} were not seen", load.name))
        };
        let (found, found_with_log) = (of(&report)?, of(&report_with_log)?);
        let mut cells = Vec::new();
        for (found, name, share, errors) in [
            (&found, "p50", 0.5, None),
            (&found, "p95", 0.95, None),
            (&found, "p99", 0.99, Some(&mut errors)),
            (&found_with_log, "p99", 0.99, Some(&mut errors_with_log)),
        ] {
            let true_value = truth[((share * truth.len() as f64) as usize).min(truth.len() - 1)];
            let value = found[name]["value"].as_f64();
            if let (Some(value), Some(errors)) = (value, errors) {
                errors.push((value / true_value - 1.0).abs());
            }
            cells.push(value.map_or_else(
                || format!("withheld, {true_value:.2}"),
                |v| format!("{v:.2}, {true_value:.2} ({:+.0} %)", (v / true_value - 1.0) * 100.0),
            ));
        }
        if !args.json {
            println!(
                "{:<20} {:>7}  {:>26}  {:>26}  {:>26}  {:>26}",
                load.name,
                truth.len(),
                cells[0],
                cells[1],
                cells[2],
                cells[3]
            );
        }
    }
    let seconds = report["seconds"].as_f64().unwrap_or(args.seconds as f64);
    let summary = serde_json::json!({
        "p99_error": median(&errors),
        "p99_error_with_log": median(&errors_with_log),
        "overhead": cpu_seconds / seconds,
        "looks": report["looks"],
        "late_looks": report["late_looks"],
        "backend_cpu_share": cost.as_ref().and_then(|c| c.more_per_statement),
        "sampler_backend_share": cost.as_ref().map(|c| c.own_sessions),
        "pairs": cost.as_ref().map_or(0, |c| c.pairs),
    });
    println!("{summary}");
    Ok(())
}

/// What the sessions of the program that reads the log are called.
const WITH_LOG: &str = "with_log";

/// Starts to watch.
fn watch(args: &Args, url: &str, log: Option<&Path>) -> Result<Child> {
    let mut command = Command::new("time");
    command.args(["-f", "cpu %U %S"]).arg(&args.pgwright);
    command.args(["latency", "--json", "-q", "-n", "50", "--for", &format!("{}s", args.seconds), url]);
    if let Some(log) = log {
        command.arg("--log").arg(log);
    }
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().context("could not start \"time\"")
}

/// What a program that watched tells, and its CPU seconds.
fn answer(child: Child) -> Result<(Value, f64)> {
    let output = child.wait_with_output()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        bail!("pgwright latency failed: {errors}");
    }
    let own = errors.lines().rev().find_map(|l| {
        let numbers: Option<Vec<f64>> = l.strip_prefix("cpu ")?.split(' ').map(|n| n.parse().ok()).collect();
        Some(numbers?.iter().sum::<f64>())
    });
    let report = serde_json::from_slice(&output.stdout).context("the answer is no JSON")?;
    Ok((report, own.context("\"time\" told no CPU time")?))
}

/// Watches, and tells the CPU seconds of the program and of its sessions.
fn watched(args: &Args, url: &str) -> Result<(Value, f64)> {
    let child = watch(args, url, None)?;
    std::thread::sleep(Duration::from_secs(args.seconds.saturating_sub(1)));
    // The sessions are gone with the program.
    let pids = sql(
        url,
        &format!(
            "select pid from pg_stat_activity where query like '%pgwright:%' and pid <> pg_backend_pid() \
             and application_name <> '{WITH_LOG}'"
        ),
    )?;
    let backends: f64 = pids.split_whitespace().map(cpu_of).sum::<Result<f64>>()?;
    let (report, own) = answer(child)?;
    Ok((report, backends + own))
}

/// User and system seconds of a process.
fn cpu_of(pid: &str) -> Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let after = stat.rsplit_once(") ").context("no process status")?.1;
    let fields: Vec<&str> = after.split(' ').collect();
    let ticks: f64 = fields[11].parse::<f64>()? + fields[12].parse::<f64>()?;
    Ok(ticks / rustix::param::clock_ticks_per_second() as f64)
}

/// Milliseconds of every transaction that pgbench has written down, ascending.
fn truth(folder: &Path, prefix: &str) -> Result<Vec<f64>> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        if !name.starts_with(prefix) || name.ends_with(".sql") {
            continue;
        }
        for line in std::fs::read_to_string(&path)?.lines() {
            let fields: Vec<&str> = line.split(' ').collect();
            let (Some(took), Some(lag)) = (fields.get(2), fields.get(6)) else { continue };
            all.push((took.parse::<f64>()? - lag.parse::<f64>()?) / 1000.0);
        }
    }
    if all.is_empty() {
        bail!("pgbench wrote nothing down");
    }
    all.sort_by(f64::total_cmp);
    Ok(all)
}

/// Sessions that do nothing but sleep on the client's side.
fn idle_sessions(folder: &Path, url: &str, number: u32, seconds: u64) -> Result<Child> {
    std::fs::write(folder.join("idle.sql"), "select 1;\n\\sleep 30 s\n")?;
    pgbench(folder, url, &["-n", "-c", &number.to_string(), "-T", &seconds.to_string(), "-f", "idle.sql"])
}

fn pgbench(folder: &Path, url: &str, arguments: &[&str]) -> Result<Child> {
    Command::new("pgbench")
        .args(arguments)
        .arg(url)
        .current_dir(folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("could not start pgbench")
}

fn sql(url: &str, sql: &str) -> Result<String> {
    let output =
        Command::new("psql").args(["-XAtq", "-c", sql, url]).output().context("could not start psql")?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout)?)
}
