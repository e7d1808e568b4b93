//! `pgwright check`: did a statement become worse since a baseline, what changed, and what undoes it? Made for
//! CI: nothing that jitters decides.

mod junit;
mod measuring;
mod text;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use advice::regression::{Measurement, Outcome, Surroundings, Verdict, compare, failed};
use apply::store::{Baseline, BaselinePlan};
use clap::Args as ClapArgs;
use model::Snapshot;
use plan::Plan;
use postgres::Target;
use serde::{Deserialize, Serialize};

use super::baseline::{load, plans_of};
use super::proof::search_path_of;
use super::{Context, duration, read_text, write_text};
use crate::error::{CommandError, CommandResult, Exit};
use crate::printer::plain;
use measuring::{Query, Run, Runner};

/// Arguments.
#[derive(ClapArgs, Debug)]
#[command(
    before_help = "Examples:\n  pgwright baseline save release --measure; …; pgwright check release\n  pgwright baseline save --measure --queries queries.sql --out baseline.json\n  pgwright check baseline.json --queries queries.sql --junit check.xml\n  pgwright check --before postgres://ci@db/main postgres://ci@db/branch --queries queries.sql"
)]
pub struct Args {
    /// The baseline: its name, #number or latest, or a file of "baseline save --measure --out".
    #[arg(default_value = "latest", conflicts_with = "before")]
    baseline: String,
    /// Compare with this database instead of a baseline; both are measured by turns.
    #[arg(long, value_name = "URL", requires = "queries")]
    before: Option<String>,
    /// The statements as they are now; "-- name: x" before a statement names it.
    #[arg(long, value_name = "FILE")]
    queries: Option<PathBuf>,
    /// How often each statement is run, after a run that does not count. Five or more let milliseconds
    /// be compared, which advise only.
    #[arg(long, default_value_t = 2, value_name = "N")]
    runs: usize,
    /// How long a statement may run.
    #[arg(long, default_value = "60s", value_parser = duration)]
    timeout: Duration,
    /// Write the outcome as JUnit XML, which code hosts show.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
}

/// How a baseline is measured.
pub(super) struct How {
    pub runs: usize,
    pub timeout: Duration,
    /// The most expensive statements of the workload, when there is no file.
    pub plans: usize,
    pub queries: Option<PathBuf>,
}

/// What a measured baseline keeps beside its plans.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Measured {
    /// Names of the statements, by the number under which their plans are stored.
    names: BTreeMap<i64, String>,
    /// Milliseconds of the runs that count.
    times_ms: BTreeMap<i64, Vec<f64>>,
    /// What the plans depended on.
    surroundings: Surroundings,
    /// The `search_path` under which they were planned.
    search_path: Option<String>,
}

/// Measures and stores a baseline.
///
/// # Errors
/// Fails when the server cannot be reached, a statement of the file does not parse, or nothing can be measured.
pub(super) async fn save(
    context: &Context,
    target: &Target,
    name: Option<String>,
    note: Option<String>,
    out: Option<&Path>,
    how: &How,
) -> CommandResult {
    let snapshot = read(context, target).await?;
    let search_path = how.queries.is_none().then(|| search_path_of(&snapshot)).flatten();
    let queries = match &how.queries {
        Some(path) => measuring::queries(path, &read_text(path)?)?,
        None => counted(context, target, how.plans).await?,
    };
    if queries.is_empty() {
        return Err(CommandError::new("there are no statements to measure").hint(
            "Name a file of statements with --queries, or run the workload with pg_stat_statements loaded.",
        ));
    }
    let name = name.unwrap_or_else(|| snapshot.taken_at.format("%Y-%m-%d %H:%M:%S").to_string());
    let mut baseline = Baseline::of_snapshot(name, &snapshot);
    baseline.details.note = note;
    let mut measured = Measured {
        surroundings: Surroundings::of_snapshot(&snapshot),
        search_path: search_path.clone(),
        ..Measured::default()
    };
    let runner = Runner::connect(context, target, search_path, how.timeout).await?;
    let bar = context.printer.bar(queries.len() as u64, "measuring");
    let (mut only_planned, mut failed) = (Vec::new(), Vec::new());
    for query in &queries {
        bar.inc(1);
        let run = match runner.measure(&query.text, how.runs).await {
            Ok(run) => run,
            Err(error) => {
                failed.push(format!("{}: {}", query.name, error.message));
                continue;
            }
        };
        if let Some(reason) = &run.not_run {
            only_planned.push(format!("{} was planned and not run: {reason}", query.name));
        }
        measured.names.insert(query.id, query.name.clone());
        measured.times_ms.insert(query.id, run.times_ms);
        baseline.plans.push(BaselinePlan {
            queryid: query.id,
            example: query.text.clone(),
            explain: run.explain,
        });
    }
    bar.finish_and_clear();
    if baseline.plans.is_empty() {
        return Err(
            CommandError::new("no statement could be measured").detail(format!("{}.", failed.join("; ")))
        );
    }
    baseline.details.measured = serde_json::to_value(&measured)
        .map_err(|e| CommandError::new("could not write the baseline as JSON").detail(e.to_string()))?;
    let (statements, stored) = (baseline.plans.len(), baseline.name.clone());
    match out {
        Some(path) => {
            // Counters are of no use to another server, and texts of a workload do not belong into a repository.
            baseline.statements = Vec::new();
            let text = serde_json::to_string_pretty(&baseline).map_err(|e| {
                CommandError::new("could not write the baseline as JSON").detail(e.to_string())
            })?;
            write_text(path, &format!("{text}\n"))?;
        }
        None => drop(apply::store::save_baseline(target, &baseline).await.map_err(super::undo::refused)?),
    }
    if context.printer.json {
        let data = serde_json::json!({ "name": stored, "statements": statements, "only_planned": only_planned,
            "failed": failed, "file": out });
        context.printer.json("baseline-measure", &data)?;
    } else {
        let place = out.map_or_else(|| "in the database".to_owned(), |p| format!("in {}", p.display()));
        context.printer.out(&format!(
            "stored baseline \"{}\" {place}: {statements} statements measured\n",
            plain(&stored)
        ))?;
    }
    for note in only_planned.iter().chain(&failed) {
        context.printer.status(&format!("note: {note}"));
    }
    Ok(Exit::Done)
}

async fn read(context: &Context, target: &Target) -> Result<Snapshot, CommandError> {
    let session = context.connect(target).await?;
    Ok(postgres::snapshot::read_without_schema(&session, context.settings.lock_timeout).await?)
}

/// Typical executions of the most expensive statements that the server counted.
async fn counted(context: &Context, target: &Target, limit: usize) -> Result<Vec<Query>, CommandError> {
    let snapshot = context.snapshot_of(target).await?;
    let plans = plans_of(context, target, &snapshot, limit).await?;
    Ok(plans
        .into_iter()
        .map(|p| Query {
            id: p.queryid,
            name: format!("{} {}", p.queryid, crate::printer::one_line(&p.example, 60)),
            text: p.example,
        })
        .collect())
}

/// Runs the command.
///
/// # Errors
/// Fails when the server cannot be reached, there is no such baseline, or it was not measured.
pub async fn run(context: &Context, args: Args) -> CommandResult {
    let target = context.target()?;
    let now = match &args.queries {
        Some(path) => Some(measuring::queries(path, &read_text(path)?)?),
        None => None,
    };
    let (against, outcomes) = match &args.before {
        Some(url) => {
            let before = Target::parse(Some(url), &context.settings.environment)?;
            (
                before.database().to_owned(),
                by_turns(context, &before, &target, &now.unwrap_or_default(), &args).await?,
            )
        }
        None => {
            let baseline = baseline(&target, &args.baseline).await?;
            let outcomes = since(context, &baseline, &target, now.as_deref(), &args).await?;
            (baseline.name, outcomes)
        }
    };
    if let Some(path) = &args.junit {
        write_text(path, &junit::render(&against, &outcomes))?;
        context.printer.status(&format!("wrote {}", path.display()));
    }
    if context.printer.json {
        context.printer.json("check", &serde_json::json!({ "baseline": against, "outcomes": outcomes }))?;
    } else {
        context.printer.out(&text::answer(&against, &outcomes))?;
    }
    let bad = |o: &Outcome| matches!(o.verdict, Verdict::Worse | Verdict::Fails);
    Ok(if outcomes.iter().any(bad) { Exit::Findings } else { Exit::Done })
}

/// A baseline of a file or of the database.
async fn baseline(target: &Target, name: &str) -> Result<Baseline, CommandError> {
    let path = Path::new(name);
    let baseline = if path.is_file() {
        serde_json::from_str::<Baseline>(&read_text(path)?).map_err(|e| {
            CommandError::new(format!("\"{name}\" is no baseline"))
                .detail(format!("{e}."))
                .hint("Make one with \"pgwright baseline save --measure --out FILE\".")
        })?
    } else {
        load(target, name).await?
    };
    if baseline.details.measured.is_null() {
        return Err(CommandError::new(format!("baseline \"{}\" was not measured", baseline.name))
            .hint("Store one with \"pgwright baseline save --measure\"."));
    }
    Ok(baseline)
}

/// Measures now what a baseline measured then.
async fn since(
    context: &Context,
    baseline: &Baseline,
    target: &Target,
    now: Option<&[Query]>,
    args: &Args,
) -> Result<Vec<Outcome>, CommandError> {
    let measured: Measured = serde_json::from_value(baseline.details.measured.clone()).map_err(|e| {
        CommandError::new(format!("baseline \"{}\" cannot be understood", baseline.name))
            .detail(format!("{e}."))
    })?;
    let surroundings = Surroundings::of_snapshot(&read(context, target).await?);
    let runner = Runner::connect(context, target, measured.search_path.clone(), args.timeout).await?;
    let bar = context.printer.bar(baseline.plans.len() as u64, "measuring");
    let mut outcomes = Vec::new();
    for stored in &baseline.plans {
        bar.inc(1);
        let name = measured.names.get(&stored.queryid).cloned().unwrap_or_else(|| stored.queryid.to_string());
        let text = match now {
            Some(queries) => match queries.iter().find(|q| q.id == stored.queryid) {
                Some(query) => &query.text,
                None => {
                    context.printer.status(&format!("note: {name} is in the baseline and not in the file"));
                    continue;
                }
            },
            None => &stored.example,
        };
        let before = Measurement {
            text: stored.example.clone(),
            plan: Plan::from_json(&stored.explain)?,
            times_ms: measured.times_ms.get(&stored.queryid).cloned().unwrap_or_default(),
        };
        outcomes.push(match runner.measure(text, args.runs).await {
            Ok(run) => {
                let after = measurement(text, &run)?;
                compare(
                    &name,
                    (&before, &after),
                    (&measured.surroundings, &surroundings),
                    &context.settings.gates,
                )
            }
            Err(error) => failed(&name, &before, &error.message),
        });
    }
    bar.finish_and_clear();
    let stored = |q: &&Query| !baseline.plans.iter().any(|p| p.queryid == q.id);
    for query in now.unwrap_or_default().iter().filter(stored) {
        context.printer.status(&format!("note: {} is not in the baseline; store a new one", query.name));
    }
    Ok(outcomes)
}

/// Measures two databases by turns, so that whatever slows the machine slows both.
async fn by_turns(
    context: &Context,
    before: &Target,
    after: &Target,
    queries: &[Query],
    args: &Args,
) -> Result<Vec<Outcome>, CommandError> {
    let old = Surroundings::of_snapshot(&read(context, before).await?);
    let new = Surroundings::of_snapshot(&read(context, after).await?);
    let first = Runner::connect(context, before, None, args.timeout).await?;
    let second = Runner::connect(context, after, None, args.timeout).await?;
    let bar = context.printer.bar(queries.len() as u64, "measuring both");
    let mut outcomes = Vec::new();
    for query in queries {
        bar.inc(1);
        let (a, b) = measuring::by_turns(&first, &second, &query.text, args.runs).await;
        let a = match (a, &b) {
            (Ok(a), _) => measurement(&query.text, &a)?,
            (Err(_), Err(error)) => {
                outcomes.push(failed(&query.name, &Measurement::default(), &error.message));
                continue;
            }
            (Err(error), Ok(_)) => {
                context.printer.status(&format!(
                    "note: {} fails on the side before ({}), so there is nothing to compare it with",
                    query.name, error.message
                ));
                continue;
            }
        };
        outcomes.push(match b {
            Ok(b) => {
                let b = measurement(&query.text, &b)?;
                compare(&query.name, (&a, &b), (&old, &new), &context.settings.gates)
            }
            Err(error) => failed(&query.name, &a, &error.message),
        });
    }
    bar.finish_and_clear();
    Ok(outcomes)
}

fn measurement(text: &str, run: &Run) -> Result<Measurement, CommandError> {
    Ok(Measurement {
        text: text.to_owned(),
        plan: Plan::from_json(&run.explain)?,
        times_ms: run.times_ms.clone(),
    })
}
