//! What changed between two plans of one statement: two files, or a baseline and now?

use plan::Plan;
use plan::diff::{PlanDiff, diff};

use super::Args;
use super::subject::{self, Subject};
use crate::commands::Context;
use crate::commands::baseline::load;
use crate::commands::proof::planning;
use crate::error::{CommandError, CommandResult, Exit};
use crate::printer::plain;

/// Compares two plans from files or texts.
pub(super) async fn of_two(context: &Context, before: &str, after: &str) -> CommandResult {
    let read = |what: &str| -> Result<Plan, CommandError> {
        match subject::read(what)? {
            Subject::Plans(found) => match found.plans.as_slice() {
                [one] => Ok(one.plan()?),
                many => Err(CommandError::new(format!("\"{what}\" holds {} plans instead of one", many.len()))
                    .hint("Write the two plans into files of their own: explain FILE --number N --json has \"explain\".")),
            },
            _ => Err(CommandError::new(format!("\"{what}\" is no plan"))
                .hint("Give two files with what EXPLAIN printed, as text or JSON.")),
        }
    };
    show(context, &diff(&read(before)?, &read(after)?))
}

/// Compares the plan of now with the one that a baseline stored for a statement.
pub(super) async fn with_baseline(context: &Context, args: &Args, what: &str, name: &str) -> CommandResult {
    let Subject::QueryId(queryid) = subject::read(what)? else {
        return Err(CommandError::new("a baseline knows statements by their queryid")
            .hint("\"pgwright profile\" lists the queryids."));
    };
    let target = context.target()?;
    let baseline = load(&target, name).await?;
    let stored = baseline.plans.iter().find(|p| p.queryid == queryid).ok_or_else(|| {
        CommandError::new(format!("baseline \"{}\" holds no plan of the statement {queryid}", baseline.name))
            .hint("It holds those of the most expensive statements; \"baseline save --plans\" says how many.")
    })?;
    let path = crate::commands::proof::search_path(context, &target).await;
    let session = target.connect(&planning(context, path)).await?;
    let options = postgres::ExplainOptions { statement_timeout: args.timeout, ..Default::default() };
    let now = postgres::explain::explain(&session, &stored.example, &options).await?;
    show(context, &diff(&Plan::from_json(&stored.explain)?, &Plan::from_json(&now)?))
}

fn show(context: &Context, found: &PlanDiff) -> CommandResult {
    if context.printer.json {
        context.printer.json("explain-diff", found)?;
    } else {
        for line in found.lines() {
            context.printer.out(&format!("{}\n", plain(&line)))?;
        }
    }
    Ok(Exit::Done)
}
