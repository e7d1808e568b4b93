//! How is the answer to "what if" written for a person? The changes with their price, the sum, then who
//! wins, who loses and who does not care.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use advice::SkippedStatement;
use advice::what_if::{Effect, StatementOutcome, Upkeep, WhatIf};
use model::{Millis, Snapshot};

use super::plans::{PlanChange, drawn};
use super::{ChangeEffect, SHOWN_EFFECTS, Shown, TriedChange};
use crate::printer::{count, one_line, plain};

/// The whole answer.
pub(super) fn answer(
    snapshot: &Snapshot,
    changes: &[TriedChange],
    what_if: &WhatIf,
    comparable: bool,
    planner_calls: u64,
    shown: &Shown,
) -> String {
    let mut out = format!(
        "{} on PostgreSQL {}: {} of {} planned before and after with {}\n\n",
        plain(&snapshot.server.database),
        plain(&snapshot.server.version),
        what_if.statements.len(),
        count(snapshot.statements.len(), "statement"),
        count(usize::try_from(planner_calls).unwrap_or(usize::MAX), "planner call"),
    );
    for change in changes {
        out.push_str(&change_text(change));
    }
    out.push('\n');
    out.push_str(&sum(changes, what_if, comparable));
    for effect in SHOWN_EFFECTS {
        out.push_str(&statements_text(what_if, effect, comparable, shown));
    }
    out.push_str(&unchanged_text(what_if, shown));
    out.push_str(&skipped_text(&what_if.skipped, shown));
    out
}

fn change_text(change: &TriedChange) -> String {
    let sign = match change.effect {
        ChangeEffect::CreateIndex { .. } => '+',
        ChangeEffect::DropIndex { .. } => '-',
        ChangeEffect::Set { .. } => '=',
        ChangeEffect::Nothing => ' ',
    };
    let mut out = format!("{sign} {}\n", plain(&change.sql));
    match &change.effect {
        ChangeEffect::CreateIndex { bytes, upkeep, used_by, .. } => {
            let build = if upkeep.build_ms >= 1.0 {
                format!(", about {} to build", Millis(upkeep.build_ms))
            } else {
                String::new()
            };
            let _ = writeln!(
                out,
                "    {bytes} predicted{build}; {}",
                match used_by.len() {
                    0 => "no plan uses it".to_owned(),
                    users => format!("in the plans of {}", count(users, "statement")),
                }
            );
            out.push_str(&upkeep_text(upkeep, "more"));
        }
        ChangeEffect::DropIndex { freed, upkeep, used_by, .. } => {
            let _ = writeln!(
                out,
                "    frees {freed}; {}",
                match used_by.len() {
                    0 => "no plan used it".to_owned(),
                    users => format!("was in the plans of {}", count(users, "statement")),
                }
            );
            // Updates that it keeps from being HOT now are not known one by one.
            out.push_str(&upkeep_text(&Upkeep { hot_updates_lost_per_hour: 0.0, ..*upkeep }, "less"));
        }
        ChangeEffect::Set { before, .. } => {
            let _ = writeln!(out, "    was {}", plain(before));
        }
        ChangeEffect::Nothing => {}
    }
    for note in &change.notes {
        let _ = writeln!(out, "    {}", plain(note));
    }
    out
}

fn upkeep_text(upkeep: &Upkeep, word: &str) -> String {
    let mut parts = Vec::new();
    if upkeep.write_ms_per_hour >= 0.01 {
        parts.push(format!("{} per hour {word}", Millis(upkeep.write_ms_per_hour)));
    }
    if upkeep.hot_updates_lost_per_hour >= 1.0 {
        parts.push(format!("{:.0} updates per hour no longer HOT", upkeep.hot_updates_lost_per_hour));
    }
    if parts.is_empty() {
        return String::new();
    }
    format!("    writes: about {}\n", parts.join(", "))
}

/// What all changes together do to the time of the workload.
fn sum(changes: &[TriedChange], what_if: &WhatIf, comparable: bool) -> String {
    if !comparable {
        return "costs before and after are in different units, so statements are judged by their plans and no times are \
                expected\n"
            .into();
    }
    let saved = what_if.saved_ms();
    let share = 100.0 * saved.abs() / what_if.total_ms.max(f64::MIN_POSITIVE);
    let mut out = if share < 0.05 {
        "the workload takes the same time\n".to_owned()
    } else {
        format!(
            "the workload takes {share:.1} % {} time: {} per hour\n",
            if saved > 0.0 { "less" } else { "more" },
            Millis(saved.abs() / what_if.hours)
        )
    };
    let writes: f64 = changes
        .iter()
        .map(|change| match &change.effect {
            ChangeEffect::CreateIndex { upkeep, .. } => upkeep.write_ms_per_hour,
            ChangeEffect::DropIndex { upkeep, .. } => -upkeep.write_ms_per_hour,
            _ => 0.0,
        })
        .sum();
    if writes.abs() >= 0.01 {
        let word = if writes > 0.0 { "more" } else { "less" };
        let _ = writeln!(out, "writes take about {} per hour {word}", Millis(writes.abs()));
    }
    out
}

fn heading(effect: Effect) -> &'static str {
    match effect {
        Effect::Faster => "faster",
        Effect::Slower => "slower",
        Effect::Changed => "with another plan",
        Effect::Refused => "that cannot be planned any more",
        Effect::Unchanged => "unchanged",
    }
}

/// The statements with one effect, each with what became of its plan.
pub(super) fn statements_text(what_if: &WhatIf, effect: Effect, times: bool, shown: &Shown) -> String {
    let found = what_if.with_effect(effect);
    if found.is_empty() {
        return String::new();
    }
    let mut out = format!("\n{} {}\n", count(found.len(), "statement"), heading(effect));
    for statement in found.iter().take(shown.limit) {
        out.push_str(&statement_text(statement, times, shown));
    }
    out.push_str(&more(found.len(), shown.limit));
    out
}

fn more(found: usize, limit: usize) -> String {
    match found.checked_sub(limit) {
        Some(hidden) if hidden > 0 => format!("  and {hidden} more; --limit shows them\n"),
        _ => String::new(),
    }
}

pub(super) fn statement_text(statement: &StatementOutcome, times: bool, shown: &Shown) -> String {
    let mut out = String::from("  ");
    if times && statement.effect != Effect::Refused {
        let _ = write!(out, "{} → {} expected, ", Millis(statement.mean_ms), Millis(statement.expected_ms));
    } else {
        let _ = write!(out, "{} mean, ", Millis(statement.mean_ms));
    }
    let _ = writeln!(
        out,
        "cost {} → {}, {}, queryid {}",
        cost(statement.cost_before),
        if statement.effect == Effect::Refused { "-".to_owned() } else { cost(statement.cost_after) },
        count(usize::try_from(statement.calls).unwrap_or(0), "call"),
        statement.queryid
    );
    if let Some(constraint) = &statement.foreign_key {
        let _ = writeln!(out, "    look-up of foreign key {}", plain(constraint));
    }
    let _ = writeln!(out, "    {}", one_line(&statement.query, shown.width.saturating_sub(6).max(40)));
    if let Some(refusal) = &statement.refusal {
        let _ = writeln!(out, "    PostgreSQL says: {}", plain(refusal));
        return out;
    }
    let changes = plan_changes(statement);
    for (words, share) in &changes {
        let share =
            if *share < 0.995 { format!(" ({:.0} % of the calls)", 100.0 * share) } else { String::new() };
        let _ = writeln!(out, "    {words}{share}");
    }
    if changes.is_empty() && statement.effect != Effect::Unchanged {
        out.push_str("    the plan has the same nodes\n");
    }
    if shown.plans {
        for execution in &statement.executions {
            let _ = writeln!(
                out,
                "    {:.0} % of the calls: {}",
                100.0 * execution.weight,
                one_line(&execution.sql, 2_000)
            );
            if execution.plan_before == execution.plan_after {
                let _ =
                    writeln!(out, "    before and after\n{}", drawn(&execution.plan_after, shown.width, 6));
                continue;
            }
            let _ = writeln!(out, "    before\n{}", drawn(&execution.plan_before, shown.width, 6));
            let _ = writeln!(out, "    after\n{}", drawn(&execution.plan_after, shown.width, 6));
        }
    }
    out
}

/// What became of the statement's plans, each with its share of the calls.
fn plan_changes(statement: &StatementOutcome) -> Vec<(String, f64)> {
    let mut changes: Vec<(String, f64)> = Vec::new();
    for execution in &statement.executions {
        let change = PlanChange::between(&execution.plan_before, &execution.plan_after);
        let Some(words) = change.in_words() else { continue };
        match changes.iter_mut().find(|(known, _)| *known == words) {
            Some((_, share)) => *share += execution.weight,
            None => changes.push((words, execution.weight)),
        }
    }
    changes
}

/// A cost with as many decimals as tell something.
fn cost(cost: f64) -> String {
    if cost < 100.0 { format!("{cost:.2}") } else { format!("{cost:.0}") }
}

/// Statements that stay as they are: one line each.
pub(super) fn unchanged_text(what_if: &WhatIf, shown: &Shown) -> String {
    let found = what_if.with_effect(Effect::Unchanged);
    if found.is_empty() {
        return String::new();
    }
    let mut out = format!("\n{} {}\n", count(found.len(), "statement"), heading(Effect::Unchanged));
    if shown.plans && found.len() == 1 && what_if.statements.len() == 1 {
        out.push_str(&statement_text(found[0], true, shown));
        return out;
    }
    for statement in found.iter().take(shown.limit) {
        let _ = writeln!(
            out,
            "  {:>10} mean, {:>8} calls, {}",
            Millis(statement.mean_ms),
            statement.calls,
            one_line(&statement.query, shown.width.saturating_sub(36).max(40))
        );
    }
    out.push_str(&more(found.len(), shown.limit));
    out
}

/// Statements that were left out: how many for which reason, and when there are few, which.
pub(super) fn skipped_text(skipped: &[SkippedStatement], shown: &Shown) -> String {
    if skipped.is_empty() {
        return String::new();
    }
    let mut reasons: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
    for statement in skipped {
        reasons.entry(statement.reason.as_str()).or_default().push(statement.queryid);
    }
    let verb = if skipped.len() == 1 { "was" } else { "were" };
    let mut out = format!("\n{} {verb} left out\n", count(skipped.len(), "statement"));
    for (reason, queryids) in reasons {
        let ids: Vec<String> = queryids.iter().take(3).map(ToString::to_string).collect();
        let rest = if queryids.len() > 3 { ", …" } else { "" };
        let line =
            format!("{}: {}", queryids.len(), one_line(reason, shown.width.saturating_sub(20).max(60)));
        let _ = writeln!(out, "  {line} (queryid {}{rest})", ids.join(", "));
    }
    out
}
