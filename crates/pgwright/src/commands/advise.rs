//! `pgwright advise`: ranked recommendations, each tried on the planner twin.

use std::collections::BTreeMap;
use std::path::PathBuf;

use advice::{Advice, Options};
use clap::Args as ClapArgs;
use cluster::Binaries;
use model::{Bytes, Price, Recommendation, Snapshot};
use twin::{Twin, TwinOptions};

use super::Context;
use super::context::SnapshotSource;
use super::kept_advice::{self, KeptAdvice};
use crate::error::{CommandError, CommandResult, Exit};
use crate::printer::{one_line, plain};

/// Arguments.
#[derive(ClapArgs, Debug)]
#[command(
    before_help = "Examples:\n  pgwright advise postgres://app@db.example.com/shop\n  pgwright advise --snapshot shop.snapshot.zst --max-bytes 500MB"
)]
pub struct Args {
    #[command(flatten)]
    source: SnapshotSource,
    #[command(flatten)]
    limits: Limits,
    /// Write the recommendations into this file, for `apply --advice`.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Show plans before and after for each statement.
    #[arg(long)]
    plans: bool,
    /// Show every candidate that was considered and why it was not recommended.
    #[arg(long)]
    rejected: bool,
    /// Exit with 1 when something is recommended.
    #[arg(long)]
    fail_on_recommendation: bool,
}

/// Limits of the advice.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Limits {
    /// No more than this many bytes of new indexes: 500MB, 2GB.
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub max_bytes: Option<Bytes>,
    /// No more than this many new indexes.
    #[arg(long, value_name = "N")]
    pub max_indexes: Option<usize>,
}

/// Parses `500MB`, `2GB` or a number of bytes, in PostgreSQL's units of 1024.
fn size(text: &str) -> Result<Bytes, String> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number: u64 = number.parse().map_err(|_| format!("\"{text}\" is not a size such as 500MB"))?;
    let factor: u64 = match unit.trim() {
        "" | "B" => 1,
        "kB" | "KB" => 1 << 10,
        "MB" => 1 << 20,
        "GB" => 1 << 30,
        "TB" => 1 << 40,
        other => return Err(format!("\"{other}\" is not a unit; use kB, MB, GB or TB")),
    };
    number.checked_mul(factor).map(Bytes).ok_or_else(|| format!("\"{text}\" is out of range"))
}

/// Runs the command.
///
/// # Errors
/// Fails when the snapshot cannot be read or the twin cannot be built.
pub async fn run(context: &Context, args: Args) -> CommandResult {
    let (snapshot, target_name) = match &args.source.snapshot {
        Some(_) => (context.snapshot(&args.source).await?, None),
        None => {
            let target = context.target()?;
            (context.snapshot_of(&target).await?, Some(kept_advice::target_name(&target)))
        }
    };
    let advice = match compute(context, &snapshot, &args.limits).await {
        Ok(advice) => advice,
        Err(error) => {
            // What could not be read may be the very reason.
            for note in &snapshot.notes {
                context.printer.status(&format!("note: {note}"));
            }
            return Err(error);
        }
    };
    let kept = KeptAdvice {
        target: target_name.clone().unwrap_or_else(|| snapshot.server.database.clone()),
        advised_at: snapshot.taken_at,
        recommendations: advice.recommendations.clone(),
    };
    if let Some(path) = &args.out {
        kept_advice::write(path, &kept)?;
    }
    if target_name.is_some() {
        kept_advice::keep(context, &kept)?;
    }
    if context.printer.json {
        context.printer.json("advise", &serde_json::json!({ "notes": snapshot.notes, "advice": advice }))?;
    } else {
        context.printer.out(&text(context, &snapshot, &advice, args.plans, args.rejected))?;
        for note in &snapshot.notes {
            context.printer.status(&format!("note: {note}"));
        }
    }
    if !advice.recommendations.is_empty() && target_name.is_some() {
        context.printer.status(
            "show the exact changes with \"pgwright apply\", make them with \"pgwright apply --execute\"",
        );
    }
    Ok(if args.fail_on_recommendation && !advice.recommendations.is_empty() {
        Exit::Findings
    } else {
        Exit::Done
    })
}

/// Builds the twin of a snapshot and asks the advisor.
///
/// # Errors
/// Fails when no server programs are there or the twin does not start.
pub async fn compute(
    context: &Context,
    snapshot: &Snapshot,
    limits: &Limits,
) -> Result<Advice, CommandError> {
    let spinner = context.printer.spinner("building the planner twin");
    let found = Binaries::discover(&context.search());
    let (binaries, warning) = Twin::choose_binaries(snapshot, &found)?;
    if let Some(warning) = warning {
        context.printer.status(&format!("warning: {warning}"));
    }
    let mut twin = Twin::build(snapshot, &binaries, TwinOptions::default()).await?;
    for note in twin.notes() {
        context.printer.status(&format!("note: {note}"));
    }
    spinner.set_message("trying candidates on the planner twin");
    let options =
        Options { max_bytes: limits.max_bytes, max_count: limits.max_indexes, ..Options::default() };
    let advice = advice::advise(snapshot, &mut twin, &options).await;
    spinner.finish_and_clear();
    Ok(advice?)
}

fn text(context: &Context, snapshot: &Snapshot, advice: &Advice, plans: bool, rejected: bool) -> String {
    let mut out = format!(
        "{} on PostgreSQL {}: {} statements, {} recommendations, {} planner calls\n",
        plain(&snapshot.server.database),
        plain(&snapshot.server.version),
        snapshot.statements.len(),
        advice.recommendations.len(),
        advice.planner_calls
    );
    for (rank, recommendation) in advice.recommendations.iter().enumerate() {
        out.push('\n');
        out.push_str(&recommendation_text(context, rank + 1, recommendation, plans));
    }
    if advice.recommendations.is_empty() {
        out.push_str("\nnothing is recommended\n");
    }
    if !advice.findings.is_empty() {
        out.push_str("\nfindings\n");
        for finding in &advice.findings {
            out.push_str(&format!(
                "  {}: {}\n    {}\n",
                finding.check,
                plain(&finding.summary),
                plain(&finding.detail)
            ));
        }
    }
    if !advice.skipped.is_empty() {
        let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
        for skipped in &advice.skipped {
            *reasons.entry(skipped.reason.as_str()).or_default() += 1;
        }
        out.push_str(&format!("\n{} statements were left out\n", advice.skipped.len()));
        for (reason, count) in reasons {
            out.push_str(&format!("  {count}: {}\n", plain(reason)));
        }
    }
    if rejected {
        out.push_str("\nnot recommended\n");
        for candidate in &advice.rejected {
            out.push_str(&format!("  {}\n    {}\n", plain(&candidate.candidate), plain(&candidate.reason)));
        }
    } else if !advice.rejected.is_empty() {
        out.push_str(&format!(
            "\n{} other candidates were considered; --rejected shows why not\n",
            advice.rejected.len()
        ));
    }
    out
}

/// What a recommendation costs, in a list; `None` when it costs nothing worth a word.
pub(super) fn price_text(price: &Price) -> Option<String> {
    let mut parts = Vec::new();
    if price.bytes.0 > 0 {
        parts.push(price.bytes.to_string());
    }
    if price.freed.0 > 0 {
        parts.push(format!("frees {}", price.freed));
    }
    if price.write_cost_per_hour >= 1.0 {
        parts.push(format!("{:.0} planner cost units per hour for writes", price.write_cost_per_hour));
    }
    if price.hot_updates_lost_per_hour >= 1.0 {
        parts.push(format!("{:.0} updates per hour no longer HOT", price.hot_updates_lost_per_hour));
    }
    if price.build_ms.0 > 0.0 {
        parts.push(format!("about {} to build", price.build_ms));
    }
    (!parts.is_empty()).then(|| parts.join(", "))
}

fn recommendation_text(context: &Context, rank: usize, r: &Recommendation, plans: bool) -> String {
    let mut out = format!("{rank}. {}  {}\n", r.id, plain(&r.title));
    for sql in &r.sql {
        out.push_str(&format!("   {};\n", plain(sql)));
    }
    out.push_str(&format!(
        "   saves {:.1} % of all execution time ({} per hour); confidence {}\n",
        r.benefit.share_of_total * 100.0,
        model::Millis(r.benefit.saved_ms_per_hour),
        match r.confidence {
            model::Confidence::Low => "low",
            model::Confidence::Medium => "medium",
            model::Confidence::High => "high",
        }
    ));
    if let Some(price) = price_text(&r.price) {
        out.push_str(&format!("   price: {price}\n"));
    }
    out.push_str(&format!("   lock: {}\n", plain(&r.lock_duration)));
    out.push_str(&format!("   why: {}\n", plain(&r.rationale)));
    for effect in &r.statements {
        out.push_str(&format!(
            "   {} → {} expected, cost {:.0} → {:.0}, {} calls: {}\n",
            effect.mean_ms,
            effect.expected_ms,
            effect.cost_before,
            effect.cost_after,
            effect.calls,
            one_line(&effect.query, context.printer.width.saturating_sub(60).max(40))
        ));
        if plans {
            for (word, value) in [("before", &effect.plan_before), ("after", &effect.plan_after)] {
                if let Ok(plan) = plan::Plan::from_json(value) {
                    let style =
                        plan::render::Style { width: context.printer.width.clamp(60, 140), color: false };
                    out.push_str(&format!("   {word}\n{}\n", indent(&plan::render::tree(&plan, &style), 6)));
                }
            }
        }
    }
    if !r.undo_sql.is_empty() {
        out.push_str(&format!("   undo: {}\n", plain(&r.undo_sql.join("; "))));
    }
    for lost in r.rejected.iter().take(3) {
        out.push_str(&format!("   rather than {}: {}\n", plain(&lost.candidate), plain(&lost.reason)));
    }
    out
}

fn indent(text: &str, by: usize) -> String {
    let pad = " ".repeat(by);
    text.lines().map(|l| format!("{pad}{l}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::size;

    #[test]
    fn sizes_have_units_of_1024() {
        assert_eq!(size("2GB").map(|b| b.0), Ok(2 << 30));
        assert_eq!(size("8192").map(|b| b.0), Ok(8192));
        assert!(size("many").is_err());
        assert!(size("5 furlongs").is_err());
    }
}
