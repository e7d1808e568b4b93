//! `pgwright apply [ID…]`: shows what recommendations would run; makes the changes with `--execute`.

use std::path::PathBuf;
use std::time::Duration;

use apply::{ApplyPlan, ExecuteOptions, Objection};
use clap::Args as ClapArgs;
use model::{Change, LockLevel, Recommendation};

use super::Context;
use super::changes::{Narrator, Patience};
use super::kept_advice::{self, KeptAdvice};
use super::undo::refused;
use super::{proof, verify};
use crate::error::{CommandError, CommandResult, Exit};
use crate::printer::plain;

/// Arguments.
#[derive(ClapArgs, Debug)]
#[command(
    before_help = "Example:\n  pgwright apply                    show what would be run\n  pgwright apply 3f2a91c0 --execute  build that index"
)]
pub struct Args {
    /// The recommendations, by the ids that `advise` showed; all of them by default.
    ids: Vec<String>,
    /// Make the changes instead of showing them.
    #[arg(long)]
    execute: bool,
    /// Take the recommendations from this file instead of the last `advise` on this database.
    #[arg(long, value_name = "FILE")]
    advice: Option<PathBuf>,
    /// Wait so long after the changes, then verify them and take back what made a statement slower.
    #[arg(long, value_name = "DURATION", value_parser = super::duration, requires = "execute")]
    verify_after: Option<Duration>,
    /// With --verify-after: say what is slower, and keep the changes.
    #[arg(long, requires = "verify_after")]
    keep: bool,
    #[command(flatten)]
    patience: Patience,
}

/// Runs the command.
///
/// # Errors
/// Fails when an id is unknown, when a change is refused (exit code 3) or fails (exit code 3; what
/// was done before it stays done and is in the journal).
pub async fn run(context: &Context, args: Args) -> CommandResult {
    let target = context.target()?;
    let name = kept_advice::target_name(&target);
    let kept = kept_advice::read(context, &name, args.advice.as_deref())?;
    if kept.target != name {
        context.printer.status(&format!("note: this advice was given on {}", kept.target));
    }
    let chosen = choose(&kept.recommendations, &args.ids)?;
    if !args.execute {
        let (already, chosen) = split_applied(&target, &kept, chosen).await;
        tell_applied(context, &already);
        return show(context, &target, &apply::plan(&chosen), &already).await;
    }
    let options = args.patience.options(context);
    let mut narrator = Narrator::new(&context.printer);
    // First of all, because what a dead run has finished counts as applied. What keeps this from being
    // done keeps the run from beginning as well, which then says so.
    let recovered =
        apply::recover(&target, &options, &mut |event| narrator.tell(&event)).await.unwrap_or_default();
    let (already, chosen) = split_applied(&target, &kept, chosen).await;
    tell_applied(context, &already);
    let plan = apply::plan(&chosen);
    if plan.is_empty() && !already.is_empty() {
        narrator.finish();
        if context.printer.json {
            let nothing = serde_json::json!({ "executed": true, "recovered": recovered, "already_applied": ids(&already) });
            context.printer.json("apply", &nothing)?;
        }
        context.printer.status("there is nothing to do");
        return Ok(Exit::Done);
    }
    // With the statements that this database takes, which are shown before any of them is run. What
    // keeps it from being asked now keeps the run from beginning, which then says so.
    let plan = apply::preflight(&target, &plan).await.map_or(plan, |preflight| preflight.plan);
    if !context.printer.json {
        context.printer.out(&plan_text(&plan))?;
    }
    let options = proof::with_before(context, &target, options).await;
    let result = apply::execute(&target, &plan, &options, &mut |event| narrator.tell(&event)).await;
    narrator.finish();
    let mut run = result.map_err(refused)?;
    run.recovered.splice(0..0, recovered);
    let marked = proof::mark_applied(context, &target, &run).await?;
    let done = verify::done_entries(&run);
    let mut proof =
        apply::verify(&target, &done, &proof::measurement(context, &target, &run.run_id).await?).await?;
    if !context.printer.json {
        for verification in &proof.verifications {
            context.printer.out(&verify::text(verification))?;
        }
    }
    let mut taken_back = Vec::new();
    if let (Some(duration), true, false) = (args.verify_after, run.failure.is_none(), done.is_empty()) {
        if marked.is_none() {
            context.printer.status("note: without pg_stat_statements nothing can be compared");
        } else if wait(context, duration, &options).await {
            proof = apply::verify(&target, &done, &proof::measurement(context, &target, &run.run_id).await?)
                .await?;
            if !context.printer.json {
                context.printer.out(&verify::proof_text(&proof))?;
            }
            if args.keep {
                if !context.printer.json {
                    context.printer.out(&proof::take_back_text(&target, &proof.take_back).await?)?;
                }
            } else {
                taken_back = proof::take_back(context, &target, &proof.take_back, &options).await?;
            }
        } else {
            context.printer.status("not waited for; \"pgwright verify\" compares later");
        }
    }
    if context.printer.json {
        context.printer.json(
            "apply",
            &serde_json::json!({ "executed": true, "run": run, "already_applied": ids(&already),
                "verifications": proof.verifications, "proof": verify::run_json(&run.run_id, &proof),
                "taken_back": taken_back }),
        )?;
    }
    run.into_result().map_err(refused)?;
    if !taken_back.is_empty() {
        return Ok(Exit::Refused);
    }
    if args.verify_after.is_none() {
        context.printer.status("\"pgwright verify\" says later what was gained");
    }
    context.printer.status("undo with \"pgwright undo ID --execute\"; see \"pgwright journal\"");
    Ok(Exit::Done)
}

/// Waits while the workload runs; `false` when the user does not want to.
async fn wait(context: &Context, duration: Duration, options: &ExecuteOptions) -> bool {
    let spinner = context.printer.spinner("watching the workload");
    let waited = tokio::select! {
        () = tokio::time::sleep(duration) => true,
        () = options.cancellation.cancelled() => false,
    };
    spinner.finish_and_clear();
    waited
}

/// Parts recommendations into those that an earlier run has applied since the advice was given, as an
/// `apply` that was interrupted has with its first ones, and those that are still to be done. An index
/// that was dropped again in the meantime is to be done.
async fn split_applied(
    target: &postgres::Target,
    kept: &KeptAdvice,
    chosen: Vec<Recommendation>,
) -> (Vec<Recommendation>, Vec<Recommendation>) {
    // Whoever cannot read the journal cannot apply either and hears of it there.
    let journal = apply::journal(target).await.unwrap_or_default();
    let (mut already, mut open) = (Vec::new(), Vec::new());
    for recommendation in chosen {
        let done = journal.iter().any(|entry| {
            entry.recommendation_id == recommendation.id
                && entry.created_at >= kept.advised_at
                && entry
                    .forward_steps()
                    .filter(|s| s.status != apply::Status::Retried)
                    .all(|s| s.status == apply::Status::Done)
        });
        if done && is_in_place(target, &recommendation).await {
            already.push(recommendation);
        } else {
            open.push(recommendation);
        }
    }
    (already, open)
}

/// Whether every index that a recommendation creates is there, and every one that it drops is gone.
async fn is_in_place(target: &postgres::Target, recommendation: &Recommendation) -> bool {
    let plan = apply::plan(std::slice::from_ref(recommendation));
    let Ok(preflight) = apply::preflight(target, &plan).await else { return false };
    let in_place = preflight
        .refusals
        .iter()
        .filter(|r| matches!(r.objection, Objection::EqualIndex { .. } | Objection::IndexMissing { .. }))
        .count();
    let changes = recommendation.changes.iter();
    let of_indexes =
        changes.filter(|c| matches!(c, Change::CreateIndex { .. } | Change::DropIndex { .. })).count();
    in_place == of_indexes && preflight.refusals.len() == of_indexes
}

fn tell_applied(context: &Context, already: &[Recommendation]) {
    for recommendation in already {
        context.printer.status(&format!("applied already: {}  {}", recommendation.id, recommendation.title));
    }
}

fn ids(recommendations: &[Recommendation]) -> Vec<&str> {
    recommendations.iter().map(|r| r.id.as_str()).collect()
}

fn choose(recommendations: &[Recommendation], ids: &[String]) -> Result<Vec<Recommendation>, CommandError> {
    if ids.is_empty() {
        return Ok(recommendations.to_vec());
    }
    // In the order of the advice, not of the command line: later ones were judged with the earlier made.
    for id in ids {
        if !recommendations.iter().any(|r| &r.id == id) {
            let known: Vec<_> = recommendations.iter().map(|r| r.id.as_str()).collect();
            return Err(CommandError::new(format!("no recommendation has the id \"{id}\"")).hint(
                if known.is_empty() {
                    "The last advice recommended nothing; run \"pgwright advise\" again.".to_owned()
                } else {
                    format!("The last advice has {}.", known.join(", "))
                },
            ));
        }
    }
    Ok(recommendations.iter().filter(|r| ids.contains(&r.id)).cloned().collect())
}

async fn show(
    context: &Context,
    target: &postgres::Target,
    plan: &ApplyPlan,
    already: &[Recommendation],
) -> CommandResult {
    let preflight = apply::preflight(target, plan).await.map_err(refused)?;
    if context.printer.json {
        context.printer.json(
            "apply",
            &serde_json::json!({ "executed": false, "plan": preflight.plan, "already_applied": ids(already),
                "preflight": preflight }),
        )?;
    } else {
        context.printer.out(&plan_text(&preflight.plan))?;
        for notice in &preflight.notices {
            context.printer.status(&format!("note: {notice}"));
        }
    }
    if !preflight.refusals.is_empty() {
        return Err(refused(apply::Error::Refused(preflight.refusals)));
    }
    context.printer.status(if plan.is_empty() {
        "there is nothing to do"
    } else {
        "nothing was run; add --execute to make these changes"
    });
    Ok(Exit::Done)
}

/// The lock of a statement in a line.
pub(crate) fn lock_text(lock: LockLevel, detail: Option<&str>) -> String {
    match detail {
        Some(detail) => format!("    lock: {lock} {}\n", plain(detail)),
        None => format!("    lock: {lock}\n"),
    }
}

/// What would be run, statement by statement.
fn plan_text(plan: &ApplyPlan) -> String {
    let mut out = String::new();
    for recommendation in &plan.recommendations {
        out.push_str(&format!("{}  {}\n", recommendation.recommendation_id, plain(&recommendation.title)));
        out.push_str(&format!("  lock: {}\n", plain(&recommendation.lock_duration)));
        for step in &recommendation.steps {
            out.push_str(&format!("  {};\n", plain(&step.sql)));
            out.push_str(&lock_text(step.lock, step.lock_detail.as_deref()));
            if let Some(undo) = &step.undo_sql {
                out.push_str(&format!("    undo: {};\n", plain(undo)));
            }
        }
    }
    out
}
