//! `pgwright baseline save|list|show|compare|delete`: per-statement numbers, plans and index usage,
//! stored in schema pgwright, to compare with later.

use std::collections::BTreeMap;

use advice::profiling::{
    CompareThresholds, Comparison, Delta, StatementComparison, StatementProfile, compare,
};
use advice::workload::Workload;
use apply::store::{Baseline, BaselinePlan, BaselineRef};
use clap::{Args as ClapArgs, Subcommand};
use model::Snapshot;
use plan::Plan;
use postgres::Target;

use super::Context;
use super::profile::{info_of, read};
use super::proof::{is_own_baseline, planning, search_path, search_path_of};
use crate::error::{CommandError, CommandResult, Exit};
use crate::printer::{one_line, plain};

/// Arguments.
#[derive(ClapArgs, Debug)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// Store the numbers of now. Creates schema pgwright on the first use.
    Save {
        /// Its name; the time by default.
        name: Option<String>,
        /// A note to remember why.
        #[arg(long)]
        note: Option<String>,
        /// The most expensive statements whose plans are stored.
        #[arg(long, default_value_t = 50, value_name = "N")]
        plans: usize,
        /// Run the statements that only read and store what they touch, for "pgwright check".
        #[arg(long)]
        measure: bool,
        /// Measure the statements of this file instead of those that the server counted. "-- name: x"
        /// before a statement names it.
        #[arg(long, value_name = "FILE", requires = "measure")]
        queries: Option<std::path::PathBuf>,
        /// Write the baseline into this file instead of the database.
        #[arg(long, value_name = "FILE", requires = "measure")]
        out: Option<std::path::PathBuf>,
        /// How often each statement is run, after a run that does not count.
        #[arg(long, default_value_t = 2, value_name = "N", requires = "measure")]
        runs: usize,
        /// How long a measured statement may run.
        #[arg(long, default_value = "60s", value_parser = super::duration)]
        timeout: std::time::Duration,
    },
    /// List what is stored.
    List,
    /// Compare a baseline with what happened since, or with a later one.
    ///
    /// Exits with 1 when a statement is worse: its mean time by the given share and at least
    /// `--min-ms`, beyond its scatter, or its buffers, temporary files or plan.
    Compare {
        /// The baseline: its name, #number, or latest.
        #[arg(default_value = "latest")]
        baseline: String,
        /// Compare with this later baseline instead of with now.
        #[arg(long, value_name = "BASELINE")]
        with: Option<String>,
        /// How much slower a statement must be to count as worse; 0.5 is half as slow again.
        #[arg(long, default_value_t = 0.5, value_name = "SHARE")]
        threshold: f64,
        /// How many milliseconds slower it must be at least.
        #[arg(long, default_value_t = 1.0, value_name = "MS")]
        min_ms: f64,
        /// How many calls it must have on both sides.
        #[arg(long, default_value_t = 5, value_name = "N")]
        min_calls: i64,
    },
    /// Delete a baseline.
    Delete {
        /// Its name or #number.
        baseline: String,
    },
}

/// Runs the command.
///
/// # Errors
/// Fails when the server cannot be reached or no baseline goes by that name.
pub async fn run(context: &Context, args: Args) -> CommandResult {
    let target = context.target()?;
    match args.action {
        Action::Save { name, note, plans, measure: false, .. } => {
            save(context, &target, name, note, plans).await
        }
        Action::Save { name, note, plans, queries, out, runs, timeout, .. } => {
            let how = super::check::How { runs, timeout, plans, queries };
            super::check::save(context, &target, name, note, out.as_deref(), &how).await
        }
        Action::List => list(context, &target).await,
        Action::Compare { baseline, with, threshold, min_ms, min_calls } => {
            let thresholds = CompareThresholds {
                min_calls,
                mean_growth: threshold,
                mean_min_ms: min_ms,
                ..Default::default()
            };
            compare_with(context, &target, &baseline, with.as_deref(), &thresholds).await
        }
        Action::Delete { baseline } => {
            let deleted = apply::store::delete(&target, &BaselineRef::parse(&baseline))
                .await
                .map_err(super::undo::refused)?;
            context.printer.status(&format!("deleted baseline \"{deleted}\""));
            Ok(Exit::Done)
        }
    }
}

async fn save(
    context: &Context,
    target: &Target,
    name: Option<String>,
    note: Option<String>,
    plans: usize,
) -> CommandResult {
    let snapshot = context.snapshot_of(target).await?;
    if snapshot.statements_info.is_none() {
        return Err(CommandError::new("there are no statement counters to store")
            .detail(snapshot.notes.join(" "))
            .hint("\"pgwright doctor\" says how to make pg_stat_statements work."));
    }
    let name = name.unwrap_or_else(|| snapshot.taken_at.format("%Y-%m-%d %H:%M:%S").to_string());
    let mut baseline = Baseline::of_snapshot(name, &snapshot);
    baseline.details.note = note;
    baseline.plans = plans_of(context, target, &snapshot, plans).await?;
    let id = apply::store::save_baseline(target, &baseline).await.map_err(super::undo::refused)?;
    if context.printer.json {
        context.printer.json(
            "baseline-save",
            &serde_json::json!({ "baseline_id": id, "name": baseline.name, "taken_at": baseline.taken_at,
                "statements": baseline.statements.len(), "plans": baseline.plans.len(), "indexes": baseline.indexes.len() }),
        )?;
    } else {
        context.printer.out(&format!(
            "stored baseline #{id} \"{}\": {} statements, {} plans, {} indexes\n",
            plain(&baseline.name),
            baseline.statements.len(),
            baseline.plans.len(),
            baseline.indexes.len()
        ))?;
    }
    Ok(Exit::Done)
}

/// Plans of the most expensive statements with typical values; nothing is run.
pub(super) async fn plans_of(
    context: &Context,
    target: &Target,
    snapshot: &Snapshot,
    limit: usize,
) -> Result<Vec<BaselinePlan>, CommandError> {
    let workload = Workload::from_snapshot(snapshot, &BTreeMap::new());
    let session = target.connect(&planning(context, search_path_of(snapshot))).await?;
    let mut plans: Vec<BaselinePlan> = Vec::new();
    for statement in workload.statements.iter().take(limit) {
        let usual = statement.bindings.iter().max_by(|a, b| a.weight.total_cmp(&b.weight));
        for example in usual.into_iter().flat_map(|b| &b.variants) {
            // A text that cannot be planned here has no plan to store; its counters are stored all the same.
            if let Ok(explain) = postgres::explain::explain(&session, example, &Default::default()).await {
                if plans.iter().all(|p| p.queryid != statement.queryid) {
                    plans.push(BaselinePlan {
                        queryid: statement.queryid,
                        example: example.clone(),
                        explain,
                    });
                }
                break;
            }
        }
    }
    Ok(plans)
}

async fn list(context: &Context, target: &Target) -> CommandResult {
    let baselines = apply::store::list(target).await?;
    if context.printer.json {
        context.printer.json("baseline-list", &serde_json::json!({ "baselines": baselines }))?;
        return Ok(Exit::Done);
    }
    let rows: Vec<Vec<String>> = baselines
        .iter()
        .map(|b| {
            vec![
                format!("#{}", b.baseline_id),
                b.name.clone(),
                b.taken_at.format("%Y-%m-%d %H:%M:%S UTC").to_string(),
                b.statements.to_string(),
                b.plans.to_string(),
                b.indexes.to_string(),
                b.note.clone().unwrap_or_default(),
            ]
        })
        .collect();
    context.printer.out(
        &context
            .printer
            .table(&[">id", "name", "taken at", ">statements", ">plans", ">indexes", "note"], &rows),
    )?;
    Ok(Exit::Done)
}

/// Loads a baseline; `latest` leaves out those that `apply` stored for `verify`.
pub(super) async fn load(target: &Target, name: &str) -> Result<Baseline, CommandError> {
    let wanted = match BaselineRef::parse(name) {
        BaselineRef::Latest => apply::store::list(target)
            .await?
            .into_iter()
            .filter(|b| !is_own_baseline(&b.name))
            .max_by_key(|b| (b.taken_at, b.baseline_id))
            .map_or(BaselineRef::Latest, |b| BaselineRef::Id(b.baseline_id)),
        other => other,
    };
    Ok(apply::store::load(target, &wanted).await?)
}

fn profiles(baseline: &Baseline) -> Vec<StatementProfile> {
    let shapes = shapes(&baseline.plans);
    baseline
        .statements
        .iter()
        .map(|s| StatementProfile {
            plan_shape: shapes.get(&s.queryid).cloned(),
            ..StatementProfile::from(s)
        })
        .collect()
}

fn shapes(plans: &[BaselinePlan]) -> BTreeMap<i64, String> {
    plans
        .iter()
        .filter_map(|p| Some((p.queryid, plan::render::shape_hash(&Plan::from_json(&p.explain).ok()?))))
        .collect()
}

async fn compare_with(
    context: &Context,
    target: &Target,
    name: &str,
    with: Option<&str>,
    thresholds: &CompareThresholds,
) -> CommandResult {
    let baseline = load(target, name).await?;
    let (now, gaps, other) = match with {
        Some(other) => {
            let other = load(target, other).await?;
            let delta = Delta::between(
                (&baseline.statements, info_of(&baseline).as_ref()),
                (&other.statements, info_of(&other).as_ref()),
            );
            let shapes = shapes(&other.plans);
            (with_shapes(&delta, &shapes), delta.gaps, format!("baseline \"{}\"", other.name))
        }
        None => {
            let (statements, info) = read(context, target).await?;
            let delta = Delta::between(
                (&baseline.statements, info_of(&baseline).as_ref()),
                (&statements, Some(&info)),
            );
            let shapes = current_shapes(context, target, &baseline).await?;
            (with_shapes(&delta, &shapes), delta.gaps, "now".to_owned())
        }
    };
    let comparison = compare(&profiles(&baseline), &now, thresholds);
    if context.printer.json {
        context.printer.json(
            "baseline-compare",
            &serde_json::json!({ "baseline": baseline.name, "with": other, "gaps": gaps, "comparison": comparison }),
        )?;
    } else {
        context.printer.out(&format!(
            "baseline \"{}\" of {} against {}\n{}",
            plain(&baseline.name),
            baseline.taken_at.format("%Y-%m-%d %H:%M UTC"),
            plain(&other),
            text(&comparison)
        ))?;
        for gap in &gaps {
            context.printer.status(&format!("note: {gap}"));
        }
    }
    Ok(if comparison.is_worse() { Exit::Findings } else { Exit::Done })
}

/// The plans of now for the very texts that the baseline planned.
async fn current_shapes(
    context: &Context,
    target: &Target,
    baseline: &Baseline,
) -> Result<BTreeMap<i64, String>, CommandError> {
    let session = target.connect(&planning(context, search_path(context, target).await)).await?;
    let mut shapes = BTreeMap::new();
    for plan in &baseline.plans {
        if let Ok(explain) = postgres::explain::explain(&session, &plan.example, &Default::default()).await
            && let Ok(parsed) = Plan::from_json(&explain)
        {
            shapes.insert(plan.queryid, plan::render::shape_hash(&parsed));
        }
    }
    Ok(shapes)
}

fn with_shapes(delta: &Delta, shapes: &BTreeMap<i64, String>) -> Vec<StatementProfile> {
    delta
        .statements
        .iter()
        .map(|s| StatementProfile {
            plan_shape: shapes.get(&s.queryid).cloned(),
            ..StatementProfile::from(s)
        })
        .collect()
}

/// A comparison in lines.
pub(super) fn text(comparison: &Comparison) -> String {
    let mut out = String::new();
    for (word, statements) in
        [("worse", &comparison.worse), ("suspect", &comparison.suspect), ("better", &comparison.better)]
    {
        for statement in statements {
            out.push_str(&line(word, statement));
        }
    }
    out.push_str(&format!(
        "{} worse, {} suspect, {} better, {} the same, {} with too few calls, {} new, {} not called since\n",
        comparison.worse.len(),
        comparison.suspect.len(),
        comparison.better.len(),
        comparison.same,
        comparison.too_few_calls.len(),
        comparison.new.len(),
        comparison.gone.len()
    ));
    out
}

fn line(word: &str, s: &StatementComparison) -> String {
    let mut out = format!(
        "{word:<8} {} → {} ({} and {} calls)  {}  {}\n",
        s.mean_before,
        s.mean_after,
        s.calls_before,
        s.calls_after,
        s.queryid,
        one_line(&s.query, 70)
    );
    for difference in &s.differences {
        out.push_str(&format!("           {}\n", plain(&difference.reason)));
    }
    out
}
