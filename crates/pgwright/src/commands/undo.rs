//! `pgwright undo ID`: takes back what `apply` did, as the journal tells it.

use apply::UndoTarget;
use clap::Args as ClapArgs;

use super::Context;
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
        let (entry, steps) = apply::plan_undo(&target, &wanted).await?;
        let sql: Vec<_> = steps.iter().filter_map(|s| s.undo_sql.clone()).collect();
        if context.printer.json {
            context.printer.json(
                "undo",
                &serde_json::json!({ "executed": false, "entry_id": entry.entry_id,
                "recommendation_id": entry.recommendation_id, "title": entry.title, "sql": sql }),
            )?;
        } else {
            context.printer.out(&format!(
                "{}  {}\n",
                plain(&entry.recommendation_id),
                plain(&entry.title)
            ))?;
            for statement in &sql {
                context.printer.out(&format!("  {};\n", plain(statement)))?;
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
