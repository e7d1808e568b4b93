//! How is a run of `apply` measured, and what is taken back? Shared by `apply` and `verify`.
//!
//! `apply --execute` stores two baselines, named after its run: how it was before the first change,
//! with plans of typical executions, and the counters when it had finished. What happened since is the
//! difference between the latter and now.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use advice::profiling::{Delta, StatementFigures};
use advice::workload::Workload;
use apply::store::{Baseline, BaselinePlan, BaselineRef, Details};
use apply::verify::{Cause, Figures, Measurement, Proof, Slower, TakeBack};
use apply::{ExecuteOptions, UndoTarget};
use model::Snapshot;
use model::snapshot::{Statement, StatementsInfo};
use postgres::{ExplainOptions, SearchPath, SessionOptions, Target};
use serde::Serialize;

use super::Context;
use super::changes::Narrator;
use super::profile::info_of;
use super::undo::refused;
use crate::error::CommandError;
use crate::printer::{one_line, plain};

/// What the names of the two baselines begin with.
const BEFORE: &str = "before ";
const APPLIED: &str = "applied ";

/// The `search_path` of a role that has none of its own.
const DEFAULT_SEARCH_PATH: &str = "\"$user\", public";

/// For how many statements plans are kept, for how many typical executions of each, and how long that
/// may take.
const KEPT_STATEMENTS: usize = 300;
const KEPT_PLANS: usize = 3;
const PLANNING: Duration = Duration::from_secs(20);

/// How many statements that are slower for other reasons are shown.
const OTHERS_SHOWN: usize = 5;

/// Whether a baseline is one that a run left for `verify`.
pub fn is_own_baseline(name: &str) -> bool {
    [BEFORE, APPLIED]
        .iter()
        .any(|prefix| name.strip_prefix(prefix).is_some_and(|rest| rest.parse::<uuid::Uuid>().is_ok()))
}

/// Options of a run that stores how it was before its first change.
pub async fn with_before(context: &Context, target: &Target, options: ExecuteOptions) -> ExecuteOptions {
    let run_id = uuid::Uuid::new_v4();
    // Without pg_stat_statements there is nothing to compare, and what is applied is applied all the same.
    let before = baseline_before(context, target, &run_id).await.ok().map(Arc::new);
    ExecuteOptions { run_id: Some(run_id), before, ..options }
}

async fn baseline_before(
    context: &Context,
    target: &Target,
    run_id: &uuid::Uuid,
) -> Result<Baseline, CommandError> {
    let session = context.connect(target).await?;
    let spinner = context.printer.spinner("reading how it is before");
    let snapshot = postgres::snapshot::read_without_schema(&session, context.settings.lock_timeout).await;
    spinner.finish_and_clear();
    let snapshot = snapshot?;
    if snapshot.statements_info.is_none() {
        return Err(CommandError::new("there are no statement counters to store"));
    }
    let mut baseline = Baseline::of_snapshot(format!("{BEFORE}{run_id}"), &snapshot);
    baseline.details.note = Some("Stored by apply, for verify.".into());
    baseline.plans = typical_plans(context, target, &snapshot).await?;
    Ok(baseline)
}

/// Plans of typical executions, with the schema of every relation; nothing is run.
async fn typical_plans(
    context: &Context,
    target: &Target,
    snapshot: &Snapshot,
) -> Result<Vec<BaselinePlan>, CommandError> {
    let workload = Workload::from_snapshot(snapshot, &BTreeMap::new());
    let session = target.connect(&planning(context, search_path_of(snapshot))).await?;
    let options = ExplainOptions { verbose: true, settings: false, ..ExplainOptions::default() };
    let until = Instant::now() + PLANNING;
    let mut plans: Vec<BaselinePlan> = Vec::new();
    for statement in workload.statements.iter().take(KEPT_STATEMENTS) {
        let mut bindings: Vec<_> = statement.bindings.iter().collect();
        bindings.sort_by(|a, b| b.weight.total_cmp(&a.weight));
        for binding in bindings.into_iter().take(KEPT_PLANS) {
            if Instant::now() > until {
                return Ok(plans);
            }
            for example in &binding.variants {
                if let Ok(explain) = postgres::explain(&session, example, &options).await {
                    plans.push(BaselinePlan {
                        queryid: statement.queryid,
                        example: example.clone(),
                        explain,
                    });
                    break;
                }
            }
        }
    }
    Ok(plans)
}

/// The `search_path` in which the statements of a snapshot were written.
pub fn search_path_of(snapshot: &Snapshot) -> Option<String> {
    snapshot.settings.get("search_path").map(|s| s.setting.clone()).filter(|path| !path.is_empty())
}

/// The same of the statements that a server has counted; `None` when it does not say.
pub async fn search_path(context: &Context, target: &Target) -> Option<String> {
    let session = context.connect(target).await.ok()?;
    postgres::statements::search_path(&session, DEFAULT_SEARCH_PATH)
        .await
        .ok()
        .filter(|path| !path.is_empty())
}

/// Options of a session that plans statements in the `search_path` that they were written for.
pub fn planning(context: &Context, search_path: Option<String>) -> SessionOptions {
    SessionOptions {
        search_path: search_path.map_or(SearchPath::RoleDefault, SearchPath::Set),
        ..context.planning()
    }
}

/// Stores the counters as they are when a run has finished, for a later `verify`.
pub async fn mark_applied(
    context: &Context,
    target: &Target,
    run: &apply::Run,
) -> Result<Option<(Vec<Statement>, StatementsInfo)>, CommandError> {
    let session = context.connect(target).await?;
    let Ok((statements, info)) = postgres::statements::read(&session).await else {
        // Without pg_stat_statements the index is still checked, and times are not compared.
        return Ok(None);
    };
    let baseline = Baseline {
        name: format!("{APPLIED}{}", run.run_id),
        taken_at: chrono::Utc::now(),
        server_version: session.version_num().to_string(),
        details: Details {
            stats_reset: info.stats_reset,
            dealloc: Some(info.dealloc),
            extension_version: Some(info.version.clone()),
            note: Some("Stored by apply, for verify.".into()),
            ..Details::default()
        },
        statements: statements.clone(),
        ..Baseline::default()
    };
    apply::store::save_baseline(target, &baseline).await?;
    Ok(Some((statements, info)))
}

/// The figures of statements, of the same id the one that a client sent.
fn figures<'f>(all: impl Iterator<Item = StatementFigures> + 'f) -> Vec<Figures> {
    let mut by_id: BTreeMap<i64, StatementFigures> = BTreeMap::new();
    for s in all {
        let known = by_id.get(&s.queryid);
        if known.is_none_or(|k| s.toplevel && !k.toplevel) {
            by_id.insert(s.queryid, s);
        }
    }
    by_id
        .into_values()
        .map(|s| {
            let per_call = |counter: i64| if s.calls > 0 { counter as f64 / s.calls as f64 } else { 0.0 };
            Figures {
                queryid: s.queryid,
                calls: s.calls,
                mean: s.mean_exec_time,
                stddev: s.stddev_exec_time,
                rows: per_call(s.rows),
                buffers: per_call(s.shared_blks_hit.saturating_add(s.shared_blks_read)),
                read: per_call(s.shared_blks_read),
                wal_records: per_call(s.wal_records),
                query: s.query,
            }
        })
        .collect()
}

/// What two readings measure, against figures of before.
pub fn measurement_between(
    before: &[Statement],
    applied: (&[Statement], Option<&StatementsInfo>),
    now: (&[Statement], Option<&StatementsInfo>),
) -> Measurement {
    Measurement {
        before: figures(before.iter().map(StatementFigures::from)),
        since: figures(Delta::between(applied, now).statements.into_iter()),
        ..Measurement::default()
    }
}

/// What was measured around a run until now, from the baselines that it has left.
pub async fn measurement(
    context: &Context,
    target: &Target,
    run_id: &uuid::Uuid,
) -> Result<Measurement, CommandError> {
    let load = async |prefix: &str| match apply::store::load(
        target,
        &BaselineRef::Name(format!("{prefix}{run_id}")),
    )
    .await
    {
        Ok(baseline) => Ok(Some(baseline)),
        // Without counters of that moment nothing can be said of times.
        Err(apply::Error::NoBaseline { .. }) => Ok(None),
        Err(e) => Err(CommandError::from(e)),
    };
    let before = load(BEFORE).await?;
    let applied = load(APPLIED).await?;
    let session = context.connect(target).await?;
    let now = postgres::statements::read(&session).await.ok();
    let mut measurement = match (&applied, &now) {
        (Some(applied), Some((statements, info))) => measurement_between(
            before.as_ref().map_or(&[], |b| &b.statements),
            (&applied.statements, info_of(applied).as_ref()),
            (statements, Some(info)),
        ),
        _ => Measurement::default(),
    };
    measurement.search_path = search_path(context, target).await;
    let Some(before) = before else { return Ok(measurement) };
    let sizes = before.details.tables.into_iter();
    measurement.table_bytes_before = sizes.map(|table| (table.name, table.bytes.0)).collect();
    for plan in before.plans {
        measurement.examples.entry(plan.queryid).or_default().push(plan.example);
        measurement.plans_before.entry(plan.queryid).or_default().push(plan.explain);
    }
    Ok(measurement)
}

/// A change that was taken back, or not.
#[derive(Debug, Serialize)]
pub struct TakenBack {
    #[serde(flatten)]
    decided: TakeBack,
    /// The statements that were run.
    sql: Vec<String>,
}

/// Takes back what a proof says is to be taken back and the user has not decided to keep.
///
/// # Errors
/// Fails as `undo` does; what was taken back before stays so.
pub async fn take_back(
    context: &Context,
    target: &Target,
    decided: &[TakeBack],
    options: &ExecuteOptions,
) -> Result<Vec<TakenBack>, CommandError> {
    let mut taken = Vec::new();
    let mut narrator = Narrator::new(&context.printer);
    for one in decided.iter().filter(|t| t.kept_at.is_none()) {
        let wanted = UndoTarget::Step(one.step_id);
        let options =
            ExecuteOptions { reason: Some(format!("Taken back: {}", one.sentence)), ..options.clone() };
        let undo = apply::undo(target, &wanted, &options, &mut |event| narrator.tell(&event)).await;
        narrator.finish();
        let undo = undo.map_err(refused)?.into_result().map_err(refused)?;
        let sql = undo.steps.into_iter().map(|s| s.sql).filter(|sql| !sql.is_empty()).collect();
        if !context.printer.json {
            context.printer.out(&format!(
                "taken back: {}. {}\n",
                plain(&one.object.to_string()),
                plain(&one.sentence)
            ))?;
        }
        taken.push(TakenBack { decided: one.clone(), sql });
    }
    Ok(taken)
}

/// What would be taken back, with the statements that it takes.
///
/// # Errors
/// Fails when the journal cannot be read.
pub async fn take_back_text(target: &Target, decided: &[TakeBack]) -> Result<String, CommandError> {
    let mut out = String::new();
    for one in decided {
        match one.kept_at {
            Some(at) => out.push_str(&format!(
                "{} stays, as was decided at {}. {}\n",
                plain(&one.object.to_string()),
                at.format("%Y-%m-%d %H:%M UTC"),
                plain(&one.sentence)
            )),
            None => {
                out.push_str(&format!("to be taken back: {}\n", plain(&one.sentence)));
                let plan = apply::plan_undo(target, &UndoTarget::Step(one.step_id)).await?;
                for step in &plan.steps {
                    out.push_str(&format!("  {};\n", plain(&step.sql)));
                }
            }
        }
    }
    Ok(out)
}

/// The statements that became slower, in lines.
pub fn slower_text(proof: &Proof) -> String {
    let mut out = String::new();
    let (caused, others): (Vec<&Slower>, Vec<&Slower>) =
        proof.slower.iter().partition(|s| s.cause.is_a_change());
    for slower in &caused {
        out.push_str(&line(slower));
        let goes = proof.take_back.iter().any(|t| slower.steps.contains(&t.step_id));
        if slower.cause == Cause::Upkeep && !goes {
            out.push_str("    It stays: that writes take longer was its price, and it saves more than that costs, or what it \
                          saves is not known yet.\n");
        }
    }
    for slower in others.iter().take(OTHERS_SHOWN) {
        out.push_str(&line(slower));
    }
    if others.len() > OTHERS_SHOWN {
        out.push_str(&format!(
            "{} more statements are slower, not because of what was applied\n",
            others.len() - OTHERS_SHOWN
        ));
    }
    out
}

fn line(slower: &Slower) -> String {
    let because = match slower.cause.is_a_change() {
        true => "slower",
        false => "slower, not because of what was applied",
    };
    format!(
        "{because}: {} → {}, {} calls: {}\n    {}\n",
        slower.mean_before,
        slower.mean_since,
        slower.calls,
        one_line(&slower.query, 70),
        plain(&slower.sentence)
    )
}
