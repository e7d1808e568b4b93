//! How is advice written for a person? Each recommendation with its gain, its price, its lock and why; the
//! budget curve; what was left out and what lost.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use advice::Advice;
use model::{Change, Millis, Price, Recommendation, Snapshot};

use crate::commands::Context;
use crate::printer::{count, one_line, plain};

/// What is shown besides the recommendations.
pub(super) struct Shown {
    pub(super) plans: bool,
    pub(super) rejected: bool,
    pub(super) skipped: bool,
}

/// The whole answer.
pub(super) fn answer(context: &Context, snapshot: &Snapshot, advice: &Advice, shown: &Shown) -> String {
    let mut out = format!(
        "{} on PostgreSQL {}: {}, {}, {}\n",
        plain(&snapshot.server.database),
        plain(&snapshot.server.version),
        count(snapshot.statements.len(), "statement"),
        count(advice.recommendations.len(), "recommendation"),
        count(usize::try_from(advice.planner_calls).unwrap_or(usize::MAX), "planner call"),
    );
    if let Some(text) = bound_text(advice) {
        let _ = writeln!(out, "{text}");
    }
    for (rank, recommendation) in advice.recommendations.iter().enumerate() {
        out.push('\n');
        out.push_str(&recommendation_text(context, rank + 1, recommendation, shown.plans));
    }
    if advice.recommendations.is_empty() {
        out.push_str("\nnothing is recommended\n");
    }
    out.push_str(&curve_text(context, advice));
    if !advice.findings.is_empty() {
        out.push_str("\nfindings\n");
        for finding in &advice.findings {
            let _ = writeln!(
                out,
                "  {}: {}\n    {}",
                finding.check,
                plain(&finding.summary),
                plain(&finding.detail)
            );
        }
    }
    out.push_str(&skipped_text(context, snapshot, advice, shown.skipped));
    if shown.rejected {
        out.push_str("\nnot recommended\n");
        for candidate in &advice.rejected {
            let _ = writeln!(out, "  {}\n    {}", plain(&candidate.candidate), plain(&candidate.reason));
        }
    } else if !advice.rejected.is_empty() {
        let _ = writeln!(
            out,
            "\n{} considered; --rejected shows why not",
            match advice.rejected.len() {
                1 => "1 other candidate was".to_owned(),
                number => format!("{number} other candidates were"),
            }
        );
    }
    out
}

/// How near to the optimum the recommended set is; `None` when nothing is known of that.
pub fn bound_text(advice: &Advice) -> Option<String> {
    let gap = 100.0 * advice.bound.as_ref()?.gap;
    if !gap.is_finite() {
        return None;
    }
    // Below the twentieth of a percent the digits tell nothing.
    let within = if gap < 0.05 { "0.1 %".to_owned() } else { format!("{gap:.1} %") };
    let candidates = count(advice.candidates, "candidate");
    Some(format!("the recommended set is within {within} of the best possible over {candidates}"))
}

/// What a recommendation brings. Not everything saves time that can be promised.
pub fn benefit_text(r: &Recommendation) -> String {
    let share = r.benefit.share_of_total * 100.0;
    let per_hour = Millis(r.benefit.saved_ms_per_hour);
    let only = |of: fn(&Change) -> bool| !r.changes.is_empty() && r.changes.iter().all(of);
    if share >= 0.05 {
        return format!("saves {share:.1} % of all execution time ({per_hour} per hour)");
    }
    if is_of_statistics(r) {
        return match r.statements.len() {
            0 => "gives the planner true estimates; how much time that saves is not promised".into(),
            number => format!(
                "gives the planner true estimates, by which it plans {} otherwise; how much time that saves is not \
                 promised",
                count(number, "statement")
            ),
        };
    }
    if only(|c| matches!(c, Change::Vacuum { .. })) {
        return "lets index-only scans leave the table alone; how much time that saves is not promised"
            .into();
    }
    if only(|c| matches!(c, Change::DropIndex { .. })) {
        return if r.benefit.saved_ms_per_hour >= 0.01 {
            format!("frees {} and saves {per_hour} per hour at writes", r.price.freed)
        } else {
            format!("frees {}", r.price.freed)
        };
    }
    format!("saves less than 0.1 % of all execution time ({per_hour} per hour)")
}

/// Whether it changes nothing but what the planner knows.
fn is_of_statistics(r: &Recommendation) -> bool {
    let of_statistics = |c: &Change| {
        matches!(c, Change::Analyze { .. } | Change::CreateStatistics { .. })
            || matches!(c, Change::SetParameter { parameter, .. } if parameter.needs_analyze())
    };
    !r.changes.is_empty() && r.changes.iter().all(of_statistics)
}

fn curve_text(context: &Context, advice: &Advice) -> String {
    if advice.curve.is_empty() {
        return String::new();
    }
    let rows: Vec<Vec<String>> = advice
        .curve
        .iter()
        .map(|point| {
            vec![
                point.max_bytes.to_string(),
                point.bytes.to_string(),
                point.indexes.to_string(),
                format!("{:.1} %", 100.0 * point.share_saved),
                "█".repeat((30.0 * point.share_saved.clamp(0.0, 1.0)).round() as usize),
            ]
        })
        .collect();
    let table = context.printer.table(&[">budget", ">used", ">indexes", ">saves", ""], &rows);
    let lines: String = table.lines().map(|line| format!("  {line}\n")).collect();
    format!("\nthe best set within each budget\n{lines}")
}

fn skipped_text(context: &Context, snapshot: &Snapshot, advice: &Advice, each: bool) -> String {
    if advice.skipped.is_empty() {
        return String::new();
    }
    let verb = if advice.skipped.len() == 1 { "was" } else { "were" };
    let mut out = format!("\n{} {verb} left out", count(advice.skipped.len(), "statement"));
    if each {
        out.push('\n');
        for skipped in &advice.skipped {
            let text = snapshot.statements.iter().find(|s| s.queryid == skipped.queryid);
            let width = context.printer.width.saturating_sub(28).max(40);
            let _ = writeln!(
                out,
                "  {:>20}  {}\n{:22}  {}",
                skipped.queryid,
                one_line(&skipped.reason, width),
                "",
                text.map_or_else(String::new, |s| one_line(&s.query, width)),
            );
        }
        return out;
    }
    out.push_str("; --skipped shows each\n");
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for skipped in &advice.skipped {
        *reasons.entry(skipped.reason.as_str()).or_default() += 1;
    }
    for (reason, number) in reasons {
        let _ = writeln!(out, "  {number}: {}", plain(reason));
    }
    out
}

/// What a recommendation costs, in a list; `None` when it costs nothing worth a word.
pub fn price_text(price: &Price) -> Option<String> {
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

/// One recommendation, in lines.
pub fn recommendation_text(context: &Context, rank: usize, r: &Recommendation, plans: bool) -> String {
    let mut out = format!("{rank}. {}  {}\n", r.id, plain(&r.title));
    for sql in &r.sql {
        out.push_str(&format!("   {};\n", plain(sql)));
    }
    out.push_str(&format!(
        "   {}; confidence {}\n",
        benefit_text(r),
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
        if is_of_statistics(r) {
            // Two costs by different estimates are no gain.
            out.push_str(&format!(
                "   another plan, cost {:.0} → {:.0} by its estimates, {} now, {} calls: {}\n",
                effect.cost_before,
                effect.cost_after,
                effect.mean_ms,
                effect.calls,
                one_line(&effect.query, context.printer.width.saturating_sub(60).max(40))
            ));
        } else {
            let now = match effect.is_faster_before() {
                true => format!(" ({} now)", effect.mean_ms),
                false => String::new(),
            };
            out.push_str(&format!(
                "   {}{now} → {} expected, cost {:.0} → {:.0}, {} calls: {}\n",
                effect.before_ms(),
                effect.expected_ms,
                effect.cost_before,
                effect.cost_after,
                effect.calls,
                one_line(&effect.query, context.printer.width.saturating_sub(60).max(40))
            ));
        }
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
    use serde_json::json;

    use super::*;

    fn recommendation(change: serde_json::Value, share: f64, freed: u64) -> Recommendation {
        serde_json::from_value(json!({
            "id": "x", "title": "", "resolves": [], "changes": [change], "sql": [], "undo_sql": [],
            "benefit": {"saved_ms_per_hour": share * 1000.0, "share_of_total": share, "cost_before": 0.0, "cost_after": 0.0},
            "price": {"bytes": 0, "freed": freed, "write_cost_per_hour": 0.0, "hot_updates_lost_per_hour": 0.0, "build_ms": 0.0},
            "lock": "share_update_exclusive", "lock_duration": "", "reversible": true, "confidence": "high",
            "rationale": "", "verification": "", "statements": [], "rejected": []
        }))
        .unwrap()
    }

    #[test]
    fn what_saves_no_time_says_what_it_does_instead() {
        let table = json!({"schema": "public", "name": "t"});
        let analyze = json!({"change": "analyze", "table": table});
        let vacuum = json!({"change": "vacuum", "table": table});
        let drop = json!({"change": "drop_index", "name": table, "table": table, "definition": ""});
        for (change, share, expected) in [
            (&analyze, 0.25, "saves 25.0 % of all execution time (250.0 ms per hour)"),
            (&analyze, 0.0, "gives the planner true estimates; how much time that saves is not promised"),
            (
                &vacuum,
                0.0,
                "lets index-only scans leave the table alone; how much time that saves is not promised",
            ),
            (&drop, 0.0001, "frees 12.0 MB and saves 0.10 ms per hour at writes"),
            (&drop, 0.0, "frees 12.0 MB"),
        ] {
            assert_eq!(benefit_text(&recommendation(change.clone(), share, 12 << 20)), expected);
        }
    }

    #[test]
    fn the_distance_to_the_best_set_is_never_less_than_it_can_be_told() {
        let advice = |gap: f64| Advice {
            bound: Some(advice::Bound { reached_ms: 1.0, limit_ms: 1.0, gap }),
            candidates: 1,
            ..Advice::default()
        };
        for (gap, expected) in [
            (0.0, Some("the recommended set is within 0.1 % of the best possible over 1 candidate")),
            (0.0204, Some("the recommended set is within 2.0 % of the best possible over 1 candidate")),
            (f64::INFINITY, None),
        ] {
            assert_eq!(bound_text(&advice(gap)).as_deref(), expected);
        }
        assert_eq!(bound_text(&Advice::default()), None);
    }
}
