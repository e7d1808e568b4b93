//! How is it written for a person which tables deserve partitions?

use std::fmt::Write as _;

use advice::partitions::{TableFacts, Trial};
use model::partition_set::{Division, Interval};
use model::{Bytes, KeyKind, Millis, quote_identifier};

use super::{Advised, Tried};
use crate::printer::{Printer, count, one_line, plain};

/// The whole answer.
pub(super) fn answer(printer: &Printer, advised: &[Advised]) -> String {
    let texts: Vec<String> = advised.iter().map(|a| table_text(printer, a)).collect();
    texts.join("\n")
}

/// A division in words.
pub(crate) fn division(division: &Division, time_zone: &str) -> String {
    let key = quote_identifier(&division.key);
    match (&division.interval, division.kind) {
        (Interval::Values(parts), _) => format!("LIST ({key}), {}", count(parts.len(), "value")),
        (Interval::Remainders(n), _) => format!("HASH ({key}), {n} parts"),
        (interval, kind) if kind.is_time() && kind != KeyKind::Timestamp => {
            format!("RANGE ({key}), each {interval} in {time_zone}")
        }
        (interval, _) => format!("RANGE ({key}), each {interval}"),
    }
}

fn table_text(printer: &Printer, advised: &Advised) -> String {
    let mut out = plain(&facts_text(&advised.candidate.facts));
    let word = if advised.verdict.worth { "worth it" } else { "not worth it" };
    let _ = writeln!(out, "  {word}: {}", plain(&advised.verdict.reasons.join(" ")));
    if !advised.tried.is_empty() {
        out.push('\n');
        let rows: Vec<Vec<String>> = advised
            .tried
            .iter()
            .enumerate()
            .filter_map(|(at, t)| Some(trial_row(t.trial.as_ref()?, advised.verdict.best == Some(at))))
            .collect();
        let headers = [
            "",
            "tried on the twin",
            ">partitions",
            ">largest",
            ">prune",
            ">time",
            ">planning",
            ">first",
            ">indexes",
        ];
        let table = printer.table(&headers, &rows);
        out.extend(table.lines().map(|line| format!("  {line}\n")));
        for tried in &advised.tried {
            if let Some(problem) = &tried.problem {
                let _ = writeln!(out, "  {}: {}", plain(&division(&tried.division, "UTC")), plain(problem));
            }
        }
    }
    if let Some(best) = advised.verdict.best.and_then(|at| advised.tried.get(at)) {
        out.push_str(&best_text(printer, best));
    }
    if !advised.in_the_way.is_empty() {
        out.push_str("\n  in the way, so that it would be refused until that is dealt with:\n");
        for obstacle in &advised.in_the_way {
            let _ = writeln!(out, "  ! {}", plain(obstacle));
        }
    }
    if !advised.commands.is_empty() {
        out.push_str("\n  what would do it:\n");
        for command in &advised.commands {
            let _ = writeln!(out, "    {}", plain(command));
        }
    }
    if let Some(settings) = &advised.settings {
        out.push_str("\n  pgwright.toml:\n");
        for line in settings.lines() {
            let _ = writeln!(out, "    {}", plain(line));
        }
    }
    out
}

fn facts_text(facts: &TableFacts) -> String {
    let mut out = format!(
        "{}: {:.0} rows, {} and {} of indexes; {:.1} % of the workload's time",
        facts.table,
        facts.rows,
        facts.table_bytes,
        facts.index_bytes,
        100.0 * facts.workload_share
    );
    // What came in within hours is more often a load than growth.
    if facts.inserted_per_day >= 1.0 && facts.counted_days >= 1.0 {
        let _ = write!(
            out,
            "; {:.0} rows a day came in over {:.0} days",
            facts.inserted_per_day, facts.counted_days
        );
    }
    out.push('\n');
    out
}

fn trial_row(trial: &Trial, is_best: bool) -> Vec<String> {
    let planning = |times: Option<model::cost_model::PlanningTimes>, first: bool| {
        times
            .map_or_else(|| "-".to_owned(), |t| if first { t.first.to_string() } else { t.again.to_string() })
    };
    let both = |first: bool| {
        format!("{} → {}", planning(trial.planning_before, first), planning(trial.planning_after, first))
    };
    vec![
        if is_best { "*".to_owned() } else { String::new() },
        trial.division.clone(),
        trial.partitions.to_string(),
        format!(
            "{:.0} rows, {}",
            trial.largest_rows,
            Bytes::from_pages(u64::try_from(trial.largest_pages).unwrap_or(0))
        ),
        format!("{} of {}", trial.pruning, trial.statements),
        format!("{:+.1} %", -100.0 * trial.net_share()),
        both(false),
        both(true),
        format!("{} → {}", trial.index_bytes_before, trial.index_bytes_after),
    ]
}

/// What the best way asks for.
fn best_text(printer: &Printer, tried: &Tried) -> String {
    let mut out = String::new();
    let Some(trial) = &tried.trial else { return out };
    let _ = writeln!(out, "  * {}", plain(&tried.why));
    for key in &trial.widened {
        let what = if key.primary { "the primary key" } else { "the unique key" };
        let columns: Vec<String> = key.columns.iter().map(|c| quote_identifier(c)).collect();
        let line = format!(
            "{what} {} ({}) needs {} in it: {} alone is not kept unique any more, and ON CONFLICT has to name both",
            quote_identifier(&key.name),
            columns.join(", "),
            quote_identifier(&key.with),
            columns.join(", "),
        );
        let _ = writeln!(out, "  ! {}", plain(&line));
    }
    for lost in &trial.lost_references {
        let columns: Vec<String> = lost.columns.iter().map(|c| quote_identifier(c)).collect();
        let line = format!(
            "foreign key {} of {} references {}, which is not unique alone any more: it goes, or a table of its own keeps \
             those keys",
            quote_identifier(&lost.constraint),
            lost.table,
            columns.join(", ")
        );
        let _ = writeln!(out, "  ! {}", plain(&line));
    }
    for worse in trial.worse.iter().take(5) {
        match &worse.refusal {
            Some(refusal) => {
                let _ = writeln!(out, "  ! {} cannot be run any more: {}", worse.queryid, plain(refusal));
            }
            None => {
                let _ = writeln!(out, "  - {} costs {:.1} times as much", worse.queryid, worse.factor);
            }
        }
        let _ = writeln!(out, "      {}", one_line(&worse.query, printer.width.saturating_sub(6)));
    }
    let saved = trial.saved_ms;
    let _ = writeln!(
        out,
        "  time of its statements as counted: {}, {} {} by the planner's costs, planning {} {}",
        Millis(trial.total_ms),
        Millis(saved.abs()),
        if saved >= 0.0 { "less" } else { "more" },
        Millis(trial.planning_ms.abs()),
        if trial.planning_ms >= 0.0 { "more" } else { "less" },
    );
    out
}
