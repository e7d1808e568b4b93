//! Does `pgwright check` ever cry wolf? The demo's statements are measured once as a baseline and checked again and
//! again, while every core of the machine is kept busy; the database does not change, so every verdict but "the same"
//! is a false alarm.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::rewrites::{Demo, Pgwright, demo_statements};

/// Arguments.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The scale of the demo's data.
    #[arg(long, default_value_t = 0.05)]
    scale: f64,
    /// How often is checked.
    #[arg(long, default_value_t = 100)]
    rounds: u32,
    /// The pgwright that is measured; the one beside this program unless given.
    #[arg(long, value_name = "PATH")]
    pgwright: Option<PathBuf>,
    /// Print nothing but the JSON line.
    #[arg(long)]
    json: bool,
}

/// Threads that compute until they are dropped.
struct Load(Arc<AtomicBool>);

impl Load {
    fn on_every_core() -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        for _ in 0..std::thread::available_parallelism()?.get() {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || {
                let mut number = 1_u64;
                while !stop.load(Ordering::Relaxed) {
                    for _ in 0..10_000 {
                        number = std::hint::black_box(number.wrapping_mul(6_364_136_223_846_793_005));
                    }
                }
            });
        }
        Ok(Self(stop))
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs the benchmark and prints what it found.
///
/// # Errors
/// When the demo does not start, or `baseline` or `check` fails.
pub async fn run(args: Args) -> Result<()> {
    let pgwright = Pgwright::find(args.pgwright.clone())?;
    if !args.json {
        eprintln!("loading the demo; its own report is not looked at");
    }
    let demo = Demo::start(&pgwright, args.scale).await?;
    let folder = std::env::temp_dir().join(format!("pgwright-check-{}", std::process::id()));
    let found = check(&args, &pgwright, &demo.url, &folder).await;
    let _ = std::fs::remove_dir_all(&folder);
    demo.stop()?;
    println!("{}", found?);
    Ok(())
}

async fn check(args: &Args, pgwright: &Pgwright, url: &str, folder: &Path) -> Result<Value> {
    std::fs::create_dir_all(folder)?;
    let statements = demo_statements();
    let texts: Vec<String> =
        statements.iter().map(|s| format!("-- name: {}\n{};\n", s.name, s.sql)).collect();
    let file = |name: &str| folder.join(name).display().to_string();
    let (queries, baseline) = (file("queries.sql"), file("baseline.json"));
    std::fs::write(&queries, texts.concat())?;
    let save =
        ["baseline", "save", "bench", "--measure", "--queries", &queries, "--out", &baseline, "--url", url];
    pgwright.run(&save).await?;
    let _load = Load::on_every_core()?;
    let mut verdicts: BTreeMap<String, u32> = BTreeMap::new();
    let mut others = Vec::new();
    for round in 1..=args.rounds {
        let (text, code) = pgwright
            .run_to_code(&["check", &baseline, "--queries", &queries, "--url", url, "--json"])
            .await?;
        let answer: Value = serde_json::from_str(&text).context("check printed no JSON")?;
        for outcome in answer["outcomes"].as_array().context("check has no outcomes")? {
            let verdict = outcome["verdict"].as_str().unwrap_or_default();
            *verdicts.entry(verdict.to_owned()).or_default() += 1;
            if verdict != "same" {
                others.push(json!({
                    "round": round,
                    "statement": outcome["name"],
                    "verdict": verdict,
                    "reasons": outcome["reasons"],
                }));
            }
        }
        if !args.json {
            eprintln!("round {round}: exit code {code}, {} verdicts so far are not \"same\"", others.len());
        }
    }
    Ok(json!({
        "benchmark": "check",
        "scale": args.scale,
        "statements": statements.len(),
        "rounds": args.rounds,
        "verdicts": verdicts,
        "not_the_same": others,
    }))
}
