//! How is it told what statistics would mend?

use std::fmt::Write as _;

use advice::statistics::{StatisticsAdvice, Verdict, verdict};
use model::estimate::{Errors, Measured};
use model::{Snapshot, StatisticsDefinition};

use super::gathering::sets;
use crate::commands::Context;
use crate::commands::advise::recommendation_text;
use crate::printer::{count, one_line, plain};

/// What is shown.
pub(super) struct Shown<'a> {
    /// Sets whose estimate is right as well.
    pub all: bool,
    /// What somebody wanted to try.
    pub tried: Option<&'a StatisticsDefinition>,
}

/// The whole answer.
pub(super) fn answer(
    context: &Context,
    snapshot: &Snapshot,
    found: &StatisticsAdvice,
    shown: &Shown<'_>,
) -> String {
    let mut out = format!(
        "{} on PostgreSQL {}: {} tried on samples, {}\n",
        plain(&snapshot.server.database),
        plain(&snapshot.server.version),
        sets(found.measured.len()),
        count(found.recommendations.len(), "recommendation"),
    );
    if let Some(tried) = shown.tried {
        let _ = writeln!(out, "\n{};", plain(&tried.create_sql()));
        out.push_str(&own_idea(found));
    } else {
        for (rank, recommendation) in found.recommendations.iter().enumerate() {
            out.push('\n');
            out.push_str(&recommendation_text(context, rank + 1, recommendation, false));
        }
        if found.recommendations.is_empty() {
            out.push_str("\nnothing is recommended\n");
        }
    }
    let (mut right, mut table) = (0, None);
    let mut measured: Vec<&Measured> = found.measured.iter().collect();
    measured.sort_by(|a, b| a.set.table.cmp(&b.set.table));
    for one in measured {
        let judged = verdict(one);
        let is_right =
            matches!(&judged, Verdict::NotWorth { reason } if reason.starts_with("the estimate is right"));
        if is_right && !shown.all {
            right += 1;
            continue;
        }
        if table != Some(&one.set.table) {
            let share = match one.sample.is_whole {
                true => "all of it".to_owned(),
                false => format!("of about {:.0}", one.sample.of_rows),
            };
            let _ = writeln!(
                out,
                "\n{}: a sample of {:.0} rows ({share}, {})",
                plain(&one.set.table.to_string()),
                one.sample.rows,
                model::Bytes(one.sample.bytes)
            );
            table = Some(&one.set.table);
        }
        out.push_str(&set_text(context, one, &judged));
    }
    if right > 0 {
        let verb = if right == 1 { "is" } else { "are" };
        let _ = writeln!(out, "\n{} {verb} estimated right as things are; --all shows each", sets(right));
    }
    out.push_str(&plans_text(found));
    if !found.index_only.is_empty() {
        out.push_str("\nindexes could answer alone\n");
    }
    for scan in &found.index_only {
        let _ = writeln!(
            out,
            "  {}: {} of {} now, {} of {} pages marked all-visible; with all of them cost {:.0} → {:.0} by {}: {}",
            scan.queryid,
            scan.now,
            plain(&scan.table.to_string()),
            scan.all_visible_pages,
            scan.pages,
            scan.cost_before,
            scan.cost_after,
            plain(&scan.index),
            one_line(&scan.query, 60)
        );
    }
    for finding in &found.findings {
        let _ =
            writeln!(out, "\n{}: {}\n  {}", finding.check, plain(&finding.summary), plain(&finding.detail));
    }
    if !found.not_measured.is_empty() {
        let _ = writeln!(out, "\nnot tried");
    }
    for not in &found.not_measured {
        let _ = writeln!(
            out,
            "  {} ({}): {}",
            plain(&not.set.table.to_string()),
            plain(&not.set.label()),
            plain(&not.reason)
        );
    }
    out
}

/// What becomes of plans, each statement in a few lines.
fn plans_text(found: &StatisticsAdvice) -> String {
    let mut out = String::new();
    if !found.plans.is_empty() {
        out.push_str("\nplans with these statistics, on a planner twin that holds them\n");
    }
    for plan in &found.plans {
        let _ = writeln!(
            out,
            "  {}: {}, cost {:.0} → {:.0} by its estimates: {}",
            plan.queryid,
            if plan.becomes_another { "another plan" } else { "the same plan" },
            plan.cost_before,
            plan.cost_after,
            one_line(&plan.example, 100)
        );
        for words in &plan.in_words {
            let _ = writeln!(out, "      {}", plain(words));
        }
    }
    out
}

/// What came of a statement of somebody's own, which is the first attempt on every set.
fn own_idea(found: &StatisticsAdvice) -> String {
    let (mut better, mut all) = (0, 0);
    for one in &found.measured {
        let Some(errors) = one.tried.first().and_then(|t| t.errors.as_ref()) else { continue };
        all += 1;
        better +=
            usize::from(errors.typical * 1.1 < one.before.typical || errors.worst * 1.5 < one.before.worst);
    }
    match (better, all) {
        (_, 0) => "it could not be tried\n".into(),
        (0, 1) => "it improves nothing\n".into(),
        (0, all) => format!("it improves none of {}\n", sets(all)),
        (better, all) => format!("it improves {better} of {}\n", sets(all)),
    }
}

fn set_text(context: &Context, one: &Measured, judged: &Verdict) -> String {
    let who = match one.set.statements.as_slice() {
        [] => "no statement of the workload".to_owned(),
        [only] => format!("statement {only}"),
        many => format!("{} statements", many.len()),
    };
    let mut out = format!("  {}  ({who})\n", plain(&one.set.label()));
    let row = |name: String, errors: &Errors, analyze_ms: f64, planning_ms: f64, mark: &str| {
        vec![
            format!("    {mark} {name}"),
            format!("{:.1}", errors.typical),
            format!("{:.1}", errors.worst),
            errors.absent.map_or_else(|| "-".to_owned(), |a| format!("{a:.1}")),
            model::Millis(analyze_ms).to_string(),
            model::Millis(planning_ms).to_string(),
        ]
    };
    let mut rows = vec![row("as things are".into(), &one.before, one.analyze_ms, one.planning_ms, " ")];
    for (number, tried) in one.tried.iter().enumerate() {
        let chosen = matches!(judged, Verdict::Worth { tried } if *tried == number);
        match (&tried.errors, &tried.refused) {
            (Some(errors), _) => {
                let mark = if chosen { "+" } else { " " };
                rows.push(row(tried.attempt.title(), errors, tried.analyze_ms, tried.planning_ms, mark));
            }
            (None, refused) => rows.push(vec![
                format!("      {}: {}", tried.attempt.title(), refused.as_deref().unwrap_or("not tried")),
                String::new(),
                String::new(),
                String::new(),
                String::new(),
                String::new(),
            ]),
        }
    }
    let headers =
        ["    off by a factor of", ">typically", ">at worst", ">of absent values", ">ANALYZE", ">planning"];
    out.push_str(&context.printer.table(&headers, &rows));
    if let Some(worst) = worst_probe(&one.before) {
        let _ = writeln!(out, "      for instance {}: {}", one_line(&worst.0, 80), worst.1);
    }
    match judged {
        Verdict::Worth { .. } => {}
        Verdict::NotWorth { reason } => {
            let _ = writeln!(out, "      {}", plain(reason));
        }
    }
    out
}

/// The condition that is estimated worst, and how.
fn worst_probe(errors: &Errors) -> Option<(String, String)> {
    let off = |p: &model::estimate::Probe| {
        let (rows, estimate) = (p.rows.max(1.0), p.estimate.max(1.0));
        (rows / estimate).max(estimate / rows)
    };
    let worst = errors.probes.iter().filter(|p| p.rows > 0.0).max_by(|a, b| off(a).total_cmp(&off(b)))?;
    (off(worst) >= 1.5)
        .then(|| (worst.condition.clone(), format!("{:.0} rows, {:.0} expected", worst.rows, worst.estimate)))
}
