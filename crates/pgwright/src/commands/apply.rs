//! `pgwright apply [ID…]`: shows what recommendations would run; makes the changes with `--execute`.

use std::path::PathBuf;

use apply::ApplyPlan;
use clap::Args as ClapArgs;
use model::Recommendation;

use super::Context;
use super::changes::{Narrator, Patience, recovered_line};
use super::undo::refused;
use super::{kept_advice, verify};
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
    let chosen = choose(&kept.recommendations, &args.ids)?;
    let plan = apply::plan(&chosen);
    if !args.execute {
        return show(context, &target, &plan).await;
    }
    let options = args.patience.options(context);
    let mut narrator = Narrator::new(&context.printer);
    if !context.printer.json {
        context.printer.out(&plan_text(&plan))?;
    }
    let result = apply::execute(&target, &plan, &options, &mut |event| narrator.tell(&event)).await;
    narrator.finish();
    let run = result.map_err(refused)?;
    let marked = verify::mark_applied(context, &target, &run).await?;
    let verifications = verify::verify_run(&target, &run, &[], &marked, &marked).await?;
    if context.printer.json {
        context.printer.json("apply", &serde_json::json!({ "executed": true, "run": run, "verifications": verifications }))?;
    } else {
        for recovered in &run.recovered {
            context.printer.out(&format!("{}\n", plain(&recovered_line(recovered))))?;
        }
        for verification in &verifications {
            context.printer.out(&verify::text(verification))?;
        }
    }
    run.into_result().map_err(refused)?;
    context.printer.status("\"pgwright verify\" says later what was gained");
    context.printer.status("undo with \"pgwright undo ID --execute\"; see \"pgwright journal\"");
    Ok(Exit::Done)
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

async fn show(context: &Context, target: &postgres::Target, plan: &ApplyPlan) -> CommandResult {
    let preflight = apply::preflight(target, plan).await.map_err(refused)?;
    if context.printer.json {
        context
            .printer
            .json("apply", &serde_json::json!({ "executed": false, "plan": plan, "preflight": preflight }))?;
    } else {
        context.printer.out(&plan_text(plan))?;
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

/// What would be run, statement by statement.
fn plan_text(plan: &ApplyPlan) -> String {
    let mut out = String::new();
    for recommendation in &plan.recommendations {
        out.push_str(&format!("{}  {}\n", recommendation.recommendation_id, plain(&recommendation.title)));
        for step in &recommendation.steps {
            out.push_str(&format!("  {};\n", plain(&step.sql)));
            out.push_str(&format!("    lock: {}. {}\n", step.lock, plain(&recommendation.lock_duration)));
            if let Some(undo) = &step.undo_sql {
                out.push_str(&format!("    undo: {};\n", plain(undo)));
            }
        }
    }
    out
}
