//! `pgwright verify [ID]`: did applied recommendations hold what they promised?
//!
//! `apply` stores a baseline when it has finished, named after its run; this command compares the
//! counters of `pg_stat_statements` with it, and asks the planner whether the indexes are used.

use std::collections::BTreeMap;

use apply::store::{Baseline, BaselineRef, Details};
use apply::verify::{Counters, Measurement, Verdict, Verification};
use clap::Args as ClapArgs;
use model::snapshot::Statement;
use postgres::Target;

use super::Context;
use crate::error::{CommandError, CommandResult, Exit};
use crate::printer::{one_line, plain};

/// Arguments.
#[derive(ClapArgs, Debug)]
#[command(before_help = "Example:\n  pgwright verify --url postgres://app@db.example.com/shop")]
pub struct Args {
    /// The id of a recommendation; everything applied by default.
    id: Option<String>,
}

/// Runs the command.
///
/// # Errors
/// Fails when the server cannot be reached or nothing was applied. Exits with 1 when a promise was
/// not held.
pub async fn run(context: &Context, args: Args) -> CommandResult {
    let target = context.target()?;
    let entries: Vec<_> = apply::journal(&target)
        .await?
        .into_iter()
        .filter(|e| args.id.as_ref().is_none_or(|id| &e.recommendation_id == id))
        .filter(|e| e.steps.iter().any(|s| s.status == apply::Status::Done))
        .collect();
    if entries.is_empty() {
        return Err(CommandError::new("nothing that was applied can be verified")
            .hint("\"pgwright journal\" lists what was done."));
    }
    let session = context.connect(&target).await?;
    let now = Counters::of(&postgres::statements::read(&session).await?.0);
    let mut verifications = Vec::new();
    for entry in &entries {
        let at_apply =
            match apply::store::load(&target, &BaselineRef::Name(baseline_name(&entry.run_id))).await {
                Ok(baseline) => Counters::of(&baseline.statements),
                // Without counters of that moment nothing can be said of times since.
                Err(apply::Error::NoBaseline { .. }) => now.clone(),
                Err(e) => return Err(e.into()),
            };
        let measurement = Measurement { mean_before: BTreeMap::new(), at_apply, now: now.clone() };
        verifications.push(apply::verify(&target, entry.entry_id, &measurement).await?);
    }
    if context.printer.json {
        context.printer.json("verify", &serde_json::json!({ "verifications": verifications }))?;
    } else {
        for verification in &verifications {
            context.printer.out(&text(verification))?;
        }
    }
    let broken = verifications.iter().any(|v| !matches!(v.verdict, Verdict::Held | Verdict::NoCallsYet));
    Ok(if broken { Exit::Findings } else { Exit::Done })
}

/// The name of the baseline that a run leaves when it has finished.
pub(super) fn baseline_name(run_id: &impl std::fmt::Display) -> String {
    format!("{OWN_PREFIX}{run_id}")
}

const OWN_PREFIX: &str = "applied ";

/// Whether a baseline is one that a run left for `verify`.
pub(super) fn is_own_baseline(name: &str) -> bool {
    name.starts_with(OWN_PREFIX)
}

/// Stores the counters as they are when a run has finished, for a later `verify`.
pub(super) async fn mark_applied(
    context: &Context,
    target: &Target,
    run: &apply::Run,
) -> Result<Vec<Statement>, CommandError> {
    let session = context.connect(target).await?;
    let Ok((statements, info)) = postgres::statements::read(&session).await else {
        // Without pg_stat_statements the index is still checked, and times are not compared.
        return Ok(Vec::new());
    };
    let baseline = Baseline {
        baseline_id: 0,
        name: baseline_name(&run.run_id),
        taken_at: chrono::Utc::now(),
        server_version: session.version_num().to_string(),
        details: Details {
            stats_reset: info.stats_reset,
            dealloc: Some(info.dealloc),
            extension_version: Some(info.version),
            note: Some("Stored by apply, for verify.".into()),
            ..Details::default()
        },
        statements: statements.clone(),
        plans: Vec::new(),
        indexes: Vec::new(),
    };
    apply::store::save_baseline(target, &baseline).await?;
    Ok(statements)
}

/// Verifies every entry of a run between two readings of the counters, against means measured before.
pub(super) async fn verify_run(
    target: &Target,
    run: &apply::Run,
    before: &[Statement],
    at_apply: &[Statement],
    now: &[Statement],
) -> Result<Vec<Verification>, CommandError> {
    let mean_before = before.iter().filter(|s| s.toplevel).map(|s| (s.queryid, s.mean_exec_time)).collect();
    let measurement = Measurement { mean_before, at_apply: Counters::of(at_apply), now: Counters::of(now) };
    let mut verifications = Vec::new();
    for entry in &run.entries {
        if entry.steps.iter().any(|s| s.status == apply::Status::Done) {
            verifications.push(apply::verify(target, entry.entry_id, &measurement).await?);
        }
    }
    Ok(verifications)
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
        Verdict::NotUsed => "not used",
        Verdict::NoCallsYet => "no calls yet",
        Verdict::NotThere => "index not there",
    }
}
