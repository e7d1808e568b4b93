//! `pgwright undo ID`: takes back what `apply` did, as the journal tells it.

use apply::{UndoPlan, UndoTarget};
use clap::Args as ClapArgs;

use super::Context;
use super::apply::lock_text;
use super::changes::{Narrator, Patience};
use crate::error::{CommandError, CommandResult, Exit};
use crate::printer::plain;

/// Arguments.
#[derive(ClapArgs, Debug)]
#[command(before_help = "Example:\n  pgwright undo 3f2a91c0 --execute")]
pub struct Args {
    /// The id of a recommendation, or the number of a journal entry; the last applied by default.
    id: Option<String>,
    /// Make the changes instead of showing them.
    #[arg(long)]
    execute: bool,
    #[command(flatten)]
    patience: Patience,
}

/// Runs the command.
///
/// # Errors
/// Fails when nothing goes by that id, or an object was changed since.
pub async fn run(context: &Context, args: Args) -> CommandResult {
    let target = context.target()?;
    let wanted = match args.id {
        None => UndoTarget::Last,
        Some(id) => match wanted_entry(&target, &id).await? {
            Some(entry) => UndoTarget::Entry(entry),
            None => UndoTarget::Recommendation(id),
        },
    };
    if !args.execute {
        let plan = apply::plan_undo(&target, &wanted).await?;
        if context.printer.json {
            let sql: Vec<_> = plan.steps.iter().map(|s| &s.sql).collect();
            context.printer.json(
                "undo",
                &serde_json::json!({ "executed": false, "entry_id": plan.entry_id, "notices": plan.notices,
                "recommendation_id": plan.recommendation_id, "title": plan.title, "sql": sql, "steps": plan.steps }),
            )?;
        } else {
            context.printer.out(&plan_text(&plan))?;
            for notice in &plan.notices {
                context.printer.status(&format!("note: {}", plain(notice)));
            }
            context.printer.status("nothing was run; add --execute to undo");
        }
        return Ok(Exit::Done);
    }
    let options = args.patience.options(context);
    let mut narrator = Narrator::new(&context.printer);
    let result = apply::undo(&target, &wanted, &options, &mut |event| narrator.tell(&event)).await;
    narrator.finish();
    let undone = result.map_err(refused)?;
    if context.printer.json {
        context.printer.json("undo", &serde_json::json!({ "executed": true, "undo": undone }))?;
    } else {
        for notice in &undone.notices {
            context.printer.status(&format!("note: {notice}"));
        }
    }
    let undone = undone.into_result().map_err(refused)?;
    if !context.printer.json {
        context.printer.out(&format!("undone: {}\n", plain(&undone.title)))?;
    }
    Ok(Exit::Done)
}

/// What would be run, statement by statement.
pub(super) fn plan_text(plan: &UndoPlan) -> String {
    let mut out = format!("{}  {}\n", plain(&plan.recommendation_id), plain(&plan.title));
    for step in &plan.steps {
        out.push_str(&format!("  {};\n", plain(&step.sql)));
        // The lock of a concurrent statement stops nobody.
        if step.lock_detail.is_some() {
            out.push_str(&lock_text(step.lock, step.lock_detail.as_deref()));
        }
    }
    out
}

/// A journal entry of that number, unless a recommendation goes by the same text: an id of eight hex
/// digits can consist of digits only.
async fn wanted_entry(target: &postgres::Target, id: &str) -> Result<Option<i64>, CommandError> {
    let Ok(number) = id.parse::<i64>() else { return Ok(None) };
    let journal = apply::journal(target).await?;
    let is_recommendation = journal.iter().any(|e| e.recommendation_id == id);
    Ok((!is_recommendation).then_some(number))
}

/// A refusal of `apply` exits with 3, any other failure after something ran as well.
pub(super) fn refused(error: apply::Error) -> CommandError {
    let refusal =
        error.is_refusal() || matches!(error, apply::Error::Step(_) | apply::Error::ChangedSince { .. });
    let error = CommandError::from(error);
    if refusal { error.refused() } else { error }
}
