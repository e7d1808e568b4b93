//! Which plans would change with an upgrade? The workload planned by the server's own major version and
//! by another one, both on twins of the same snapshot.

use advice::what_if::{Before, Effect, NOTICEABLE, StatementOutcome, Wanted};
use cluster::Binaries;
use model::Snapshot;
use model::cost_model::{Configuration, CostModel as _};
use serde::Serialize;
use serde_json::Value as Json;

use super::plans::alike;
use super::{Shown, json, move_bar, text};
use crate::commands::Context;
use crate::error::{CommandError, CommandResult, Exit};
use crate::printer::{count, plain};

#[derive(Serialize)]
struct Output<'a> {
    notes: &'a [String],
    major_before: u32,
    major_after: u32,
    version_before: &'a str,
    version_after: &'a str,
    planner_calls: u64,
    #[serde(flatten)]
    what_if: Json,
}

/// Runs `what-if --major`.
///
/// # Errors
/// Fails when one of the two versions is not installed on this machine.
pub(super) async fn run(
    context: &Context,
    snapshot: &Snapshot,
    major: u32,
    wanted: Wanted<'_>,
    shown: &Shown,
) -> CommandResult {
    let own = snapshot.server.major();
    if major == own {
        return Err(CommandError::new(format!("the server is PostgreSQL {own} already"))
            .hint("Name another major version: --major tells which plans it would change."));
    }
    // Two installations are needed, so --bin-dir adds one instead of being the only one.
    let mut search = context.search();
    search.extra.extend(search.explicit.take());
    let found = Binaries::discover(&search);
    let old = installed(&found, own, "the server's own version, whose plans are compared with,")?;
    let new = installed(&found, major, "the version that was asked for")?;
    let current = Configuration::current();

    let mut twin = context.build_twin(snapshot, old).await?;
    let bar = context.printer.bar(0, &format!("planning on PostgreSQL {own}"));
    let before = Before::plan(snapshot, &mut twin, &current, wanted, &mut move_bar(&bar)).await?;
    bar.finish_and_clear();
    let calls = twin.planner_calls();
    twin.stop().await?;

    let mut twin = context.build_twin(snapshot, new).await?;
    let bar = context.printer.bar(0, &format!("planning on PostgreSQL {major}"));
    let mut what_if = before.compare(&mut twin, &current, &mut move_bar(&bar)).await?;
    bar.finish_and_clear();
    let calls = calls + twin.planner_calls();
    twin.stop().await?;
    what_if.judge_by_plans(alike);

    if context.printer.json {
        let output = Output {
            notes: &snapshot.notes,
            major_before: own,
            major_after: major,
            version_before: &old.version,
            version_after: &new.version,
            planner_calls: calls,
            what_if: json(&what_if, shown.plans)?,
        };
        context.printer.json("what-if-major", &output)?;
        return Ok(Exit::Done);
    }
    let mut out = format!(
        "{} on PostgreSQL {}: {} of {} planned by {} and by {}\n",
        plain(&snapshot.server.database),
        plain(&snapshot.server.version),
        what_if.statements.len(),
        count(snapshot.statements.len(), "statement"),
        plain(&old.version),
        plain(&new.version),
    );
    for effect in [Effect::Refused, Effect::Changed] {
        out.push_str(&text::statements_text(&what_if, effect, false, shown));
    }
    let same = what_if.with_effect(Effect::Unchanged);
    let (dearer, alike): (Vec<_>, Vec<_>) = same.into_iter().partition(|s| costs_otherwise(s));
    if !dearer.is_empty() {
        out.push_str(&format!("\n{} with the same plan at another cost\n", count(dearer.len(), "statement")));
        for statement in dearer.iter().take(shown.limit) {
            out.push_str(&text::statement_text(statement, false, &Shown { plans: false, ..*shown }));
        }
    }
    out.push_str(&format!("\n{} with the same plan at the same cost\n", count(alike.len(), "statement")));
    out.push_str(&text::skipped_text(&what_if.skipped, shown));
    context.printer.out(&out)?;
    context.printer.status(
        "note: costs of two versions are estimates by two planners; what a changed plan does to time is measured \
         with \"pgwright explain --analyze\" on a copy that was upgraded",
    );
    for note in &snapshot.notes {
        context.printer.status(&format!("note: {note}"));
    }
    Ok(Exit::Done)
}

/// Whether the same plan costs noticeably more or less.
fn costs_otherwise(statement: &StatementOutcome) -> bool {
    (statement.cost_after / statement.cost_before.max(f64::MIN_POSITIVE) - 1.0).abs() > NOTICEABLE
}

/// The programs of one major version.
fn installed<'a>(found: &'a [Binaries], major: u32, why: &str) -> Result<&'a Binaries, CommandError> {
    found.iter().find(|b| b.major == major).ok_or_else(|| {
        let mut versions: Vec<&str> = found.iter().map(|b| b.version.as_str()).collect();
        versions.dedup();
        let there = if versions.is_empty() { "none".to_owned() } else { versions.join(", ") };
        CommandError::new(format!("PostgreSQL {major} is not installed on this machine"))
            .detail(format!("It is {why}; server programs are needed of both. This machine has: {there}."))
            .hint(format!(
                "Install the server package of PostgreSQL {major} (on Debian: apt install postgresql-{major}); it \
                 need not run. Programs in another folder are named with --bin-dir."
            ))
    })
}
