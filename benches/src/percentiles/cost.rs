//! What does being watched cost the sessions that work? The same load goes on while the program that watches is stopped
//! and continued in turn; processor time per statement with it is compared with that without, slice by slice.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::{Args, LOADS, pgbench, sql};
use crate::cpu::of_process;
use crate::fidelity::median;

/// What was found.
pub(super) struct Cost {
    /// Processor time per statement with the program, beyond that without, as a share of that without.
    pub more_per_statement: Option<f64>,
    /// Processor time of the program's own sessions, as a share of that of the sessions that work.
    pub own_sessions: f64,
    pub pairs: usize,
}

/// Of a slice: processor seconds of the sessions that work, their statements, and processor seconds of the program's
/// sessions.
struct Slice {
    working: f64,
    statements: f64,
    watching: f64,
}

/// Measures pairs of slices, one with the program that watches and one without.
pub(super) fn measure(args: &Args, folder: &Path, url: &str) -> Result<Cost> {
    let slice = Duration::from_secs(args.slice_seconds.max(1));
    let seconds = 2 * u64::from(args.pairs) * (args.slice_seconds.max(1) + 1) + 10;
    let mut loads = Vec::new();
    for (number, load) in (0..).zip(LOADS) {
        let (file, seconds) = (format!("load{number}.sql"), seconds.to_string());
        let mut arguments = vec!["-n", "-T", &seconds, "-f", &file];
        arguments.extend(load.options);
        loads.push(pgbench(folder, url, &arguments)?);
    }
    let mut watching = Command::new(&args.pgwright)
        .args(["latency", "--json", "-q", "--for", &format!("{seconds}s"), url])
        .stdout(Stdio::null())
        .spawn()
        .context("could not start pgwright")?;
    std::thread::sleep(Duration::from_secs(3));
    let measured = pairs(args, url, &watching, slice);
    for child in loads.iter_mut().chain([&mut watching]) {
        child.kill()?;
        child.wait()?;
    }
    let pairs = measured?;
    let per_statement = |s: &Slice| s.working / s.statements.max(1.0);
    let more: Vec<f64> = pairs.iter().map(|(on, off)| per_statement(on) / per_statement(off) - 1.0).collect();
    let sum = |part: fn(&Slice) -> f64| pairs.iter().map(|(on, _)| part(on)).sum::<f64>();
    Ok(Cost {
        more_per_statement: median(&more),
        own_sessions: sum(|s| s.watching) / sum(|s| s.working),
        pairs: pairs.len(),
    })
}

fn pairs(args: &Args, url: &str, watching: &Child, slice: Duration) -> Result<Vec<(Slice, Slice)>> {
    let working = processes(url, "application_name = 'pgbench'")?;
    let own = processes(url, "query like '%pgwright:%' and pid <> pg_backend_pid()")?;
    if working.is_empty() || own.is_empty() {
        bail!("{} sessions work and {} watch", working.len(), own.len());
    }
    let mut pairs = Vec::new();
    for number in 0..args.pairs {
        // What drifts is in both halves of a pair alike.
        let with_first = number % 2 == 0;
        let first = one(url, watching, with_first, slice, (&working, &own))?;
        let second = one(url, watching, !with_first, slice, (&working, &own))?;
        pairs.push(if with_first { (first, second) } else { (second, first) });
    }
    Ok(pairs)
}

fn one(
    url: &str,
    watching: &Child,
    with: bool,
    slice: Duration,
    (working, own): (&[u32], &[u32]),
) -> Result<Slice> {
    signal(watching, if with { "CONT" } else { "STOP" })?;
    std::thread::sleep(Duration::from_millis(300));
    let seconds = |pids: &[u32]| pids.iter().filter_map(|pid| of_process(*pid)).sum::<f64>();
    let reading = || -> Result<(f64, f64, f64)> { Ok((seconds(working), statements(url)?, seconds(own))) };
    let before = reading()?;
    std::thread::sleep(slice);
    let after = reading()?;
    Ok(Slice { working: after.0 - before.0, statements: after.1 - before.1, watching: after.2 - before.2 })
}

fn processes(url: &str, condition: &str) -> Result<Vec<u32>> {
    let pids = sql(url, &format!("select pid from pg_stat_activity where {condition}"))?;
    Ok(pids.split_whitespace().filter_map(|pid| pid.parse().ok()).collect())
}

/// Statements that the sessions of pgbench have run.
fn statements(url: &str) -> Result<f64> {
    let conditions: Vec<String> = LOADS.iter().map(|load| format!("query ilike '%{}%'", load.text)).collect();
    let calls = sql(
        url,
        &format!("select coalesce(sum(calls), 0) from pg_stat_statements where {}", conditions.join(" or ")),
    )?;
    calls.trim().parse().context("the number of calls is none")
}

fn signal(child: &Child, name: &str) -> Result<()> {
    let status = Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status()?;
    if !status.success() {
        bail!("the program that watches has ended");
    }
    Ok(())
}
