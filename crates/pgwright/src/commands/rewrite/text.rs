//! How are rewrites written for a person? The text to use first, then how sure it is, what it costs, and what else
//! has to change.

use std::fmt::Write as _;

use advice::rewriting::Worth;
use model::Millis;
use sql::Standing;

use super::measure::Measured;
use super::{ShownRewrite, ShownStatement, State};
use crate::printer::{count, one_line, plain};

/// The whole answer. `asked` for one statement, everything is said of it.
pub(super) fn answer(shown: &[ShownStatement], asked: bool, limit: usize, width: usize) -> String {
    let mut out = String::new();
    let worth: Vec<&ShownStatement> =
        shown.iter().filter(|s| asked || !s.rewrites.is_empty() || !s.pointers.is_empty()).collect();
    for statement in worth.iter().take(limit) {
        out.push_str(&statement_text(statement, asked, width));
    }
    if worth.len() > limit {
        let _ = writeln!(out, "and {} more; --limit shows them", worth.len() - limit);
    }
    if !asked {
        let rest = shown.len() - worth.len();
        if worth.is_empty() {
            let _ = writeln!(out, "no rewrite of {} is cheaper", count(shown.len(), "statement"));
        } else if rest > 0 {
            let _ = writeln!(out, "{} of {} with nothing to rewrite", rest, count(shown.len(), "statement"));
        }
    }
    out
}

fn statement_text(statement: &ShownStatement, asked: bool, width: usize) -> String {
    let mut out = String::new();
    if statement.queryid != 0 {
        let _ = writeln!(
            out,
            "statement {}: {}, {} mean",
            statement.queryid,
            count(usize::try_from(statement.calls).unwrap_or(0), "call"),
            Millis(statement.mean_ms)
        );
    }
    let _ = writeln!(out, "  {}", one_line(&statement.query, width.saturating_sub(4).max(60)));
    if let Some(reason) = &statement.passed_over {
        let _ = writeln!(out, "  not rewritten: {}", plain(reason));
    } else if statement.rewrites.is_empty() && statement.pointers.is_empty() && asked {
        out.push_str("  no rule gives a text with another, cheaper plan\n");
    }
    for (number, rewrite) in statement.rewrites.iter().enumerate() {
        out.push('\n');
        out.push_str(&rewrite_text(number + 1, rewrite));
    }
    for pointer in &statement.pointers {
        let _ = writeln!(out, "\n  {}: {}", pointer.rule, plain(&pointer.advice));
    }
    out.push('\n');
    out
}

fn rewrite_text(number: usize, shown: &ShownRewrite) -> String {
    let rewrite = &shown.rewrite;
    let mut out = format!("  {number}. {}: {}\n", rewrite.rules.join(", then "), state_text(shown));
    let _ = writeln!(
        out,
        "     cost {} → {}{}",
        cost(rewrite.cost_before),
        cost(rewrite.cost_after),
        match rewrite.worth {
            Worth::Cheaper => format!(", {} less", percent(1.0 - rewrite.ratio())),
            Worth::CheaperWithIndexes => " as things are".to_owned(),
            Worth::NotCheaper => ", not cheaper".to_owned(),
        }
    );
    if let (Some(before), Some(after)) = (&rewrite.before_with_indexes, &rewrite.after_with_indexes)
        && after.cost < 0.9 * rewrite.cost_after
    {
        let _ = writeln!(
            out,
            "     with the best indexes for each text: cost {} → {}; for this one ({})",
            cost(before.cost),
            cost(after.cost),
            after.bytes
        );
        for index in &after.indexes {
            let _ = writeln!(out, "       {};", plain(index));
        }
    }
    match &shown.measured {
        Some(measured) => out.push_str(&measured_text(measured)),
        None if matches!(shown.state, State::Proved { .. }) && rewrite.worth != Worth::NotCheaper => {
            out.push_str(
                "     the planner's estimate; --measure runs both texts by turns before one is recommended\n",
            );
        }
        None => {}
    }
    out.push('\n');
    for line in rewrite.sql.lines() {
        let _ = writeln!(out, "       {}", plain(line));
    }
    out.push('\n');
    for condition in &rewrite.conditions {
        let _ = match &condition.standing {
            Standing::Proved { by } if by.is_empty() => writeln!(out, "     + {}", plain(&condition.claim)),
            Standing::Proved { by } => {
                writeln!(out, "     + {}: {}", plain(&condition.claim), plain(&by.join(", ")))
            }
            Standing::OfParameters => {
                writeln!(out, "     ? {}, which the application knows", plain(&condition.claim))
            }
            Standing::Rounding => writeln!(out, "     ~ {}", plain(&condition.claim)),
            Standing::Open { why } => writeln!(out, "     - {}: {}", plain(&condition.claim), plain(why)),
        };
    }
    if let State::Refuted { witness, .. } = &shown.state {
        let _ = writeln!(out, "     x {}", plain(&witness.explanation));
        for insert in &witness.inserts {
            let _ = writeln!(out, "         {}", plain(insert));
        }
        for (number, value) in &witness.parameters {
            let _ = writeln!(out, "         -- ${number} is {}", plain(value));
        }
    }
    for change in &rewrite.application {
        let _ = writeln!(out, "     ! {}", plain(change));
    }
    out
}

fn state_text(shown: &ShownRewrite) -> String {
    match &shown.state {
        State::Proved { .. } if !shown.rewrite.application.is_empty() => {
            "proved, and the application must change with it".into()
        }
        State::Proved { .. } if shown.rewrite.conditions.iter().any(|c| c.standing == Standing::Rounding) => {
            "proved up to rounding".into()
        }
        State::Proved { .. } => "proved".into(),
        State::Tested { reasons, databases } => format!(
            "tested on {} and not proved: {}",
            count(*databases as usize, "tiny database"),
            plain(&reasons.join("; "))
        ),
        State::Refuted { reasons, .. } => {
            format!("refused, it gives other rows: {}", plain(&reasons.join("; ")))
        }
        State::Refused { reasons } => format!("refused: {}", plain(&reasons.join("; "))),
    }
}

fn measured_text(measured: &Measured) -> String {
    let at_least = if measured.before_timed_out { "more than " } else { "" };
    let verdict = if measured.is_faster() { "" } else { ": not faster, so it is not recommended" };
    format!(
        "     measured {at_least}{} → {}, buffers {} → {} (medians of {} runs by turns){verdict}\n",
        Millis(measured.before_ms),
        Millis(measured.after_ms),
        measured.before_buffers,
        measured.after_buffers,
        measured.runs
    )
}

fn percent(share: f64) -> String {
    let percent = 100.0 * share;
    if percent >= 99.0 { format!("{percent:.1} %") } else { format!("{percent:.0} %") }
}

fn cost(cost: f64) -> String {
    if cost < 100.0 { format!("{cost:.2}") } else { format!("{cost:.0}") }
}
