//! `pgwright verify [ID]`: did applied recommendations hold what they promised, and did anything become
//! slower because of them? Takes back what did, with `--execute`.

use apply::verify::{Proof, Verdict, Verification};
use clap::Args as ClapArgs;
use model::snapshot::Statement;
use postgres::Target;

use super::Context;
use super::changes::Patience;
use super::proof::{self, measurement_between};
use crate::error::{CommandError, CommandResult, Exit};
use crate::printer::{one_line, plain};

/// Arguments.
#[derive(ClapArgs, Debug)]
#[command(
    before_help = "Examples:\n  pgwright verify             what was promised and what was measured\n  pgwright verify --execute   take back what made a statement slower"
)]
pub struct Args {
    /// The id of a recommendation; everything applied by default.
    id: Option<String>,
    /// Take back the changes that made a statement more than 1.2 times slower.
    #[arg(long)]
    execute: bool,
    /// Keep what was applied whatever is measured, now and in later runs; the journal remembers it.
    #[arg(long, conflicts_with = "execute")]
    keep: bool,
    /// Count a change as to be taken back only when it costs more time than it saves.
    #[arg(long)]
    only_losing: bool,
    #[command(flatten)]
    patience: Patience,
}

/// Runs the command.
///
/// # Errors
/// Fails when the server cannot be reached or nothing was applied. Exits with 1 when a promise was
/// not held, and with 3 when something was taken back.
pub async fn run(context: &Context, args: Args) -> CommandResult {
    let target = context.target()?;
    let is_applied = |e: &apply::JournalEntry| e.forward_steps().any(|s| s.status == apply::Status::Done);
    let journal: Vec<_> = apply::journal(&target).await?.into_iter().filter(is_applied).collect();
    let wanted: Vec<i64> = journal
        .iter()
        .filter(|e| args.id.as_ref().is_none_or(|id| &e.recommendation_id == id))
        .map(|e| e.entry_id)
        .collect();
    if wanted.is_empty() {
        return Err(CommandError::new("nothing that was applied can be verified")
            .hint("\"pgwright journal\" lists what was done."));
    }
    if args.keep {
        for entry_id in &wanted {
            apply::verify::keep(&target, *entry_id).await.map_err(super::undo::refused)?;
        }
        context.printer.status("kept, whatever is measured; \"pgwright undo\" takes it back all the same");
    }
    let mut run_ids: Vec<uuid::Uuid> = Vec::new();
    for entry in journal.iter().filter(|e| wanted.contains(&e.entry_id)) {
        if !run_ids.contains(&entry.run_id) {
            run_ids.push(entry.run_id);
        }
    }
    let mut all = Vec::new();
    for run_id in run_ids {
        let mut measurement = proof::measurement(context, &target, &run_id).await?;
        measurement.only_losing = args.only_losing;
        // What one change of a run does, another of the same run may be the cause of.
        let entries: Vec<i64> = journal.iter().filter(|e| e.run_id == run_id).map(|e| e.entry_id).collect();
        let mut proof = apply::verify(&target, &entries, &measurement).await?;
        proof.verifications.retain(|v| wanted.contains(&v.entry_id));
        proof.take_back.retain(|t| wanted.contains(&t.entry_id));
        all.push((run_id, proof));
    }
    if !context.printer.json {
        for (_, proof) in &all {
            context.printer.out(&proof_text(proof))?;
            if !args.execute {
                context.printer.out(&proof::take_back_text(&target, &proof.take_back).await?)?;
            }
        }
    }
    let mut taken_back = Vec::new();
    if args.execute {
        let options = args.patience.options(context);
        for (_, proof) in &all {
            taken_back.extend(proof::take_back(context, &target, &proof.take_back, &options).await?);
        }
    }
    if context.printer.json {
        let verifications: Vec<&Verification> = all.iter().flat_map(|(_, p)| &p.verifications).collect();
        let runs: Vec<_> = all.iter().map(|(run_id, proof)| run_json(run_id, proof)).collect();
        context.printer.json(
            "verify",
            &serde_json::json!({ "verifications": verifications, "runs": runs, "executed": args.execute,
                "taken_back": taken_back }),
        )?;
    }
    if !taken_back.is_empty() {
        return Ok(Exit::Refused);
    }
    let open = all.iter().flat_map(|(_, p)| &p.take_back).any(|t| t.kept_at.is_none());
    if open && !args.execute {
        context.printer.status(
            "nothing was taken back; add --execute to do it, or --keep to keep what was applied whatever is measured",
        );
    }
    let verdicts = all.iter().flat_map(|(_, p)| &p.verifications);
    let broken = verdicts.into_iter().any(|v| !matches!(v.verdict, Verdict::Held | Verdict::NoCallsYet));
    Ok(if broken || open { Exit::Findings } else { Exit::Done })
}

/// What concerns a run as a whole.
pub(super) fn run_json(run_id: &uuid::Uuid, proof: &Proof) -> serde_json::Value {
    serde_json::json!({ "run_id": run_id, "load": proof.load, "too_few_calls": proof.too_few_calls,
        "slower": proof.slower, "take_back": proof.take_back })
}

/// A proof in lines.
pub(super) fn proof_text(proof: &Proof) -> String {
    let mut out: String = proof.verifications.iter().map(text).collect();
    if let Some(load) = proof.load.filter(|load| *load >= 1.1) {
        out.push_str(&format!(
            "statements that have nothing to do with it take {load:.1} times as long as before\n"
        ));
    }
    out.push_str(&proof::slower_text(proof));
    out
}

/// Verifies every entry of a run between two readings of the counters, against figures of before.
pub(super) async fn verify_run(
    target: &Target,
    run: &apply::Run,
    before: &[Statement],
    at_apply: &[Statement],
    now: &[Statement],
) -> Result<Vec<Verification>, CommandError> {
    let measurement = measurement_between(before, (at_apply, None), (now, None));
    Ok(apply::verify(target, &done_entries(run), &measurement).await?.verifications)
}

/// The entries of a run of which something was done.
pub(super) fn done_entries(run: &apply::Run) -> Vec<i64> {
    let is_done = |e: &&apply::RunEntry| e.steps.iter().any(|s| s.status == apply::Status::Done);
    run.entries.iter().filter(is_done).map(|e| e.entry_id).collect()
}

/// A verification in lines.
pub(super) fn text(verification: &Verification) -> String {
    let mut out = format!(
        "{}  {}: {}\n",
        plain(&verification.recommendation_id),
        verdict_words(verification.verdict),
        plain(&verification.sentence)
    );
    for index in &verification.indexes {
        out.push_str(&format!(
            "  {}: {}, {}, {} scans\n",
            plain(&index.name.to_string()),
            if index.valid { "valid" } else { "not valid" },
            index.bytes,
            index.idx_scan
        ));
    }
    for statement in &verification.statements {
        let after = statement.mean_after.map_or_else(|| "no calls yet".into(), |m| m.to_string());
        out.push_str(&format!(
            "  {} → {} (promised {}), {} calls: {}\n",
            statement.mean_before,
            after,
            statement.promised,
            statement.calls,
            one_line(&statement.query, 70)
        ));
    }
    out
}

/// A verdict in words.
pub(super) fn verdict_words(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Held => "held",
        Verdict::SlowerThanPromised => "gained less than promised",
        Verdict::SlowerThanBefore => "slower than before",
        Verdict::MadeOthersSlower => "made a statement slower",
        Verdict::NotUsed => "not used",
        Verdict::NoCallsYet => "no calls yet",
        Verdict::NotThere => "index not there",
    }
}
