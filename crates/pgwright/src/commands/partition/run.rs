//! `pgwright partition plan` shows what is to be done for the sets; `pgwright partition run --execute` does it.

use std::time::{Duration, Instant};

use apply::Error;
use apply::partition_sets::{Surveyed, run as run_sets, survey};
use clap::Args as ClapArgs;
use postgres::Target;

use super::sets::{Wanted, chosen};
use crate::commands::Context;
use crate::commands::apply::lock_text;
use crate::commands::changes::{Narrator, Patience};
use crate::commands::undo::refused;
use crate::error::{CommandError, CommandResult, Exit};
use crate::printer::plain;

/// Arguments of `plan`.
#[derive(ClapArgs, Debug)]
#[command(
    before_help = "Example:\n  pgwright partition plan                                   all sets of pgwright.toml\n  pgwright partition plan training_runs --interval month    one that is described here"
)]
pub struct PlanArgs {
    #[command(flatten)]
    wanted: Wanted,
}

/// Arguments of `run`.
#[derive(ClapArgs, Debug)]
#[command(
    before_help = "Example:\n  pgwright partition run --execute    every hour, from cron: make what is missing, retire what is old"
)]
pub struct RunArgs {
    #[command(flatten)]
    wanted: Wanted,
    /// Do it instead of showing it.
    #[arg(long)]
    execute: bool,
    /// How long to wait for another pgwright that changes this database.
    #[arg(long, default_value = "60s", value_name = "DURATION", value_parser = crate::commands::duration)]
    wait: Duration,
    /// How long others may have to wait for a DEFAULT partition that rows are moved out of.
    #[arg(long, default_value = "100ms", value_name = "DURATION", value_parser = crate::commands::duration)]
    max_lock: Duration,
    #[command(flatten)]
    patience: Patience,
}

/// Shows what is to be done.
///
/// # Errors
/// Fails when the server cannot be asked, or a set cannot be understood.
pub async fn plan(context: &Context, args: PlanArgs) -> CommandResult {
    let target = context.target()?;
    show(context, &target, &args.wanted).await
}

/// Does it, with `--execute`.
///
/// # Errors
/// Fails when a set cannot be understood or a step fails; the other sets are looked after all the same.
pub async fn run(context: &Context, args: RunArgs) -> CommandResult {
    let target = context.target()?;
    if !args.execute {
        let exit = show(context, &target, &args.wanted).await?;
        context.printer.status("nothing was run; add --execute to do it");
        return Ok(exit);
    }
    let session = context.connect(&target).await?;
    let sets = chosen(context, &session, &args.wanted).await?;
    drop(session);
    let options = apply::ExecuteOptions {
        object_storage: context.settings.object_storage()?,
        max_lock: args.max_lock,
        ..args.patience.options(context)
    };
    let mut narrator = Narrator::new(&context.printer);
    let began = Instant::now();
    let result = loop {
        let result = run_sets(&target, &sets, &options, &mut |event| narrator.tell(&event)).await;
        // Two runs at once are an ordinary case: the second finds nothing left to do.
        match result {
            Err(Error::Locked { .. })
                if began.elapsed() < args.wait && !options.cancellation.is_cancelled() =>
            {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            result => break result,
        }
    };
    narrator.finish();
    let run = result.map_err(refused)?;
    if context.printer.json {
        context.printer.json("partition_run", &serde_json::json!({ "executed": true, "run": run }))?;
    }
    tell(context, &run.survey.sets);
    let done = run.steps.iter().filter(|s| s.status == apply::Status::Done).count();
    context.printer.status(&format!(
        "{}, {done} of {} steps done",
        match run.survey.sets.len() {
            1 => "1 set".to_owned(),
            n => format!("{n} sets"),
        },
        run.steps.len()
    ));
    let several = run.failures.len();
    if let Some((table, error)) = run.failures.into_iter().next() {
        let mut error = refused(error);
        if several > 1 {
            error.message = format!("{} ({table}, the first of {several} sets that failed)", error.message);
        }
        return Err(error);
    }
    problems(&run.survey.sets)
}

async fn show(context: &Context, target: &Target, wanted: &Wanted) -> CommandResult {
    let session = context.connect(target).await?;
    let sets = chosen(context, &session, wanted).await?;
    let survey = survey(&session, &sets).await.map_err(refused)?;
    if context.printer.json {
        context
            .printer
            .json("partition_run", &serde_json::json!({ "executed": false, "sets": survey.sets }))?;
    } else {
        let mut out = String::new();
        for set in survey.sets.iter().filter(|s| !s.steps.is_empty()) {
            out.push_str(&format!("{}\n", plain(&set.table)));
            for step in &set.steps {
                out.push_str(&format!("  {};\n", plain(&step.sql)));
                out.push_str(&lock_text(step.lock, step.lock_detail.as_deref()));
                if let Some(undo) = &step.undo_sql {
                    out.push_str(&format!("    undo: {};\n", plain(undo)));
                }
            }
        }
        context.printer.out(&out)?;
    }
    tell(context, &survey.sets);
    if survey.sets.iter().all(|s| s.steps.is_empty() && s.problem.is_none()) {
        context.printer.status("there is nothing to do");
    }
    problems(&survey.sets)
}

fn tell(context: &Context, sets: &[Surveyed]) {
    for set in sets {
        for notice in &set.notices {
            context.printer.status(&format!("note: {}: {notice}", set.table));
        }
    }
}

/// What could not be understood, when all else is done.
fn problems(sets: &[Surveyed]) -> CommandResult {
    let wrong: Vec<&Surveyed> = sets.iter().filter(|s| s.problem.is_some()).collect();
    match wrong.as_slice() {
        [] => Ok(Exit::Done),
        [first, ..] => {
            let reason = first.problem.as_deref().unwrap_or_default();
            let others =
                if wrong.len() > 1 { format!(" So are {} others.", wrong.len() - 1) } else { String::new() };
            Err(CommandError::new(format!("the partition set of {} cannot be looked after", first.table))
                .detail(format!("It is left alone: {reason}.{others}"))
                .hint("The keys of a set are in docs/reference/configuration.md."))
        }
    }
}
