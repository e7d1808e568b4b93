//! `pgwright partition schedule --pg-cron`: how do partitions come about while pgwright does not run?

use apply::partition_sets::schedule::{COMMAND, JOB, Schedule, plan_schedule, schedule};
use clap::Args as ClapArgs;

use super::sets::{Wanted, chosen};
use crate::commands::Context;
use crate::commands::changes::{Narrator, Patience};
use crate::commands::undo::refused;
use crate::error::{CommandResult, Exit};
use crate::printer::plain;

/// Arguments.
#[derive(ClapArgs, Debug)]
#[command(
    before_help = "Example:\n  pgwright partition schedule --pg-cron             show what would be installed\n  pgwright partition schedule --pg-cron --execute   install it; pgwright undo takes it away"
)]
pub struct Args {
    #[command(flatten)]
    wanted: Wanted,
    /// Let pg_cron call the procedure; without it, another scheduler has to.
    #[arg(long)]
    pg_cron: bool,
    /// When, as pg_cron writes it.
    #[arg(long, default_value = "7 * * * *", value_name = "CRON", requires = "pg_cron")]
    at: String,
    /// For how many partitions of each set the statements are written down.
    #[arg(long, default_value_t = 1000, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=20000))]
    partitions: u16,
    /// Do it instead of showing it.
    #[arg(long)]
    execute: bool,
    #[command(flatten)]
    patience: Patience,
}

/// Runs the command.
///
/// # Errors
/// Fails when no set grows, pg_cron is not there, or the server refuses.
pub async fn run(context: &Context, args: Args) -> CommandResult {
    let target = context.target()?;
    let session = context.connect(&target).await?;
    let sets = chosen(context, &session, &args.wanted).await?;
    let at_most = usize::from(args.partitions);
    let cron = args.pg_cron.then_some(args.at.as_str());
    let plan = if args.execute {
        drop(session);
        let options = args.patience.options(context);
        let mut narrator = Narrator::new(&context.printer);
        let done =
            schedule(&target, &sets, at_most, cron, &options, &mut |event| narrator.tell(&event)).await;
        narrator.finish();
        done.map_err(refused)?
    } else {
        plan_schedule(&session, &sets, at_most).await.map_err(refused)?
    };
    if context.printer.json {
        let value = serde_json::json!({ "executed": args.execute, "schedule": plan, "cron": cron });
        context.printer.json("partition_schedule", &value)?;
    } else {
        show(context, &plan, cron)?;
    }
    for notice in &plan.notices {
        context.printer.status(&format!("note: {notice}"));
    }
    context.printer.status(if args.execute {
        "the server makes these partitions by itself; \"pgwright undo\" takes that away"
    } else {
        "nothing was run; add --execute to do it"
    });
    Ok(Exit::Done)
}

fn show(context: &Context, plan: &Schedule, cron: Option<&str>) -> Result<(), crate::error::CommandError> {
    let rows: Vec<Vec<String>> = plan
        .sets
        .iter()
        .map(|set| {
            vec![
                set.table.to_string(),
                set.partitions.to_string(),
                set.last.as_ref().map_or_else(|| "-".to_owned(), |name| name.name.clone()),
                set.last_due.clone().unwrap_or_else(|| "-".to_owned()),
            ]
        })
        .collect();
    let mut out = context.printer.table(&["table", ">partitions", "to", "made when keys reach"], &rows);
    out.push_str("\n  CREATE SCHEMA pgwright_cron, with the statements of these partitions and PROCEDURE pgwright_cron.run\n");
    match (cron, &plan.pg_cron) {
        (Some(cron), Some(version)) => out.push_str(&format!(
            "  SELECT cron.schedule('{JOB}', '{}', '{COMMAND}')    pg_cron {}\n",
            plain(cron),
            plain(version)
        )),
        (Some(_), None) => out.push_str("  ! extension pg_cron is not in this database\n"),
        (None, _) => out.push_str(&format!("  No job: some scheduler has to run {COMMAND}.\n")),
    }
    context.printer.out(&out)?;
    Ok(())
}
