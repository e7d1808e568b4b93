//! `pgwright journal`: what was done to this database, step by step.

use apply::JournalEntry;
use apply::partition_conversion::{Conversion, Step, conversions};
use chrono::{DateTime, Utc};
use clap::Args as ClapArgs;

use super::Context;
use crate::error::{CommandResult, Exit};
use crate::printer::plain;

/// Arguments.
#[derive(ClapArgs, Debug)]
#[command(before_help = "Example:\n  pgwright journal --url postgres://app@db.example.com/shop")]
pub struct Args {
    /// Only the entries of this recommendation.
    id: Option<String>,
    /// Remove schema pgwright, the journal and the baselines with it. Shown first; needs --execute.
    #[arg(long)]
    purge: bool,
    /// Do it.
    #[arg(long, requires = "purge")]
    execute: bool,
}

/// Runs the command.
///
/// # Errors
/// Fails when the server cannot be reached, or when applied changes would lose their undo.
pub async fn run(context: &Context, args: Args) -> CommandResult {
    let target = context.target()?;
    if args.purge {
        if !args.execute {
            context.printer.out("DROP SCHEMA pgwright CASCADE;\n")?;
            context.printer.status("nothing was run; add --execute to remove the journal and the baselines");
            return Ok(Exit::Done);
        }
        let purged = apply::purge(&target, false).await.map_err(super::undo::refused)?;
        context.printer.status(if purged {
            "schema pgwright removed"
        } else {
            "there is no schema pgwright"
        });
        return Ok(Exit::Done);
    }
    let entries: Vec<JournalEntry> = apply::journal(&target)
        .await?
        .into_iter()
        .filter(|e| args.id.as_ref().is_none_or(|id| &e.recommendation_id == id))
        .collect();
    let mut converted = match &args.id {
        None => conversions(&target).await?,
        Some(_) => Vec::new(),
    };
    converted.sort_by_key(|c| c.created_at);
    if context.printer.json {
        let output = serde_json::json!({ "entries": entries, "conversions": converted });
        context.printer.json("journal", &output)?;
        return Ok(Exit::Done);
    }
    if entries.is_empty() && converted.is_empty() {
        context.printer.status("the journal is empty");
    }
    // Both in the order of time.
    let mut lines: Vec<(DateTime<Utc>, String)> = entries.iter().map(|e| (e.created_at, text(e))).collect();
    lines.extend(converted.iter().map(|c| (c.created_at, conversion_text(c))));
    lines.sort_by_key(|(at, _)| *at);
    for (_, text) in &lines {
        context.printer.out(text)?;
    }
    if apply::interrupted(&target).await? {
        context.printer.status(
            "note: a run was interrupted; the next \"pgwright apply --execute\" or \"pgwright undo --execute\" finds out \
             what it left and cleans up",
        );
    }
    Ok(Exit::Done)
}

/// A conversion of a table, step by step with the time that each took.
fn conversion_text(conversion: &Conversion) -> String {
    let state = match conversion.step {
        Step::Swapped => "applied",
        Step::Finished => "finished",
        Step::Reverted => "undone",
        _ if conversion.running => "running",
        _ => "interrupted",
    };
    let mut out = format!(
        "   -  {}  conversion {}  {state}  partition {} by the method {}\n",
        conversion.created_at.format("%Y-%m-%d %H:%M:%S UTC"),
        conversion.conversion_id,
        plain(&conversion.table.to_string()),
        conversion.method.as_str()
    );
    let ends = conversion.passed.iter().skip(1).map(|p| Some(p.began_at)).chain([conversion.ended_at]);
    for (passed, ended_at) in conversion.passed.iter().zip(ends) {
        if matches!(passed.step, Step::Swapped | Step::Finished | Step::Reverted) {
            continue;
        }
        let elapsed = ended_at.map_or_else(
            || "-".to_owned(),
            |end| model::Millis((end - passed.began_at).num_milliseconds() as f64).to_string(),
        );
        let done = if ended_at.is_some() { "done" } else { "running" };
        out.push_str(&format!("      {done:<8} {elapsed:>9}  {}\n", passed.step.as_str().replace('_', " ")));
    }
    if matches!(conversion.step, Step::Swapped) {
        out.push_str(&format!(
            "      undo: pgwright partition convert revert {} --execute\n",
            plain(&super::partition::shell(&conversion.table.to_string()))
        ));
    }
    out
}

fn text(entry: &JournalEntry) -> String {
    let mut out = format!(
        "{:>4}  {}  {}  {}  {}\n",
        entry.entry_id,
        entry.created_at.format("%Y-%m-%d %H:%M:%S UTC"),
        plain(&entry.recommendation_id),
        entry.status,
        plain(&entry.title)
    );
    for step in &entry.steps {
        let elapsed = match (step.started_at, step.finished_at) {
            (Some(a), Some(b)) => model::Millis((b - a).num_milliseconds() as f64).to_string(),
            _ => "-".into(),
        };
        let mark = if step.undoes.is_some() { "to undo: " } else { "" };
        out.push_str(&format!(
            "      {:<8} {elapsed:>9}  {mark}{};\n",
            step.status.as_str(),
            plain(&step.sql)
        ));
        if let Some(undo) = &step.undo_sql {
            out.push_str(&format!("      undo: {};\n", plain(undo)));
        }
        if let Some(note) = &step.note {
            out.push_str(&format!("      note: {}\n", plain(note)));
        }
        if let Some(error) = &step.error {
            out.push_str(&format!("      error: {}\n", plain(&error.to_string())));
        }
    }
    out
}
