//! Which plans did a statement have, when did they change, and what is other about them? In the words of
//! `pgwright explain --diff`.

use chrono::{DateTime, Utc};
use history::StatementPlan;
use maud::{Markup, html};
use plan::Plan;
use plan::diff::{PlanDiff, diff};
use plan::render::{Style, shape, tree};

use super::figures::{count, written};

/// Changes that are shown, the latest first.
const SHOWN: usize = 10;

/// One plan in place of another.
pub(super) struct Flip {
    /// When it was seen.
    pub at: DateTime<Utc>,
    pub before: Shown,
    pub now: Shown,
    pub diff: PlanDiff,
}

/// A plan, and what it was expected to cost.
pub(super) struct Shown {
    pub plan: Plan,
    pub cost: f64,
}

fn shown(seen: &StatementPlan) -> Option<Shown> {
    // What another version of pgwright kept may be more than this one reads.
    Some(Shown { plan: Plan::from_json(&seen.plan).ok()?, cost: seen.cost })
}

/// The changes among plans that follow each other, in order, from an instant on.
pub(super) fn flips(plans: &[StatementPlan], from: DateTime<Utc>) -> Vec<Flip> {
    plans
        .windows(2)
        .filter(|pair| pair[1].at >= from && pair[0].shape_hash != pair[1].shape_hash)
        .filter_map(|pair| {
            let (before, now) = (shown(&pair[0])?, shown(&pair[1])?);
            let diff = diff(&before.plan, &now.plan);
            Some(Flip { at: pair[1].at, before, now, diff })
        })
        .collect()
}

impl Flip {
    /// The most telling of what is other, in a sentence without a full stop.
    pub fn words(&self) -> String {
        match self.diff.changes.first() {
            Some(change) => change.text.clone(),
            None => "the same work in another order".into(),
        }
    }

    fn costs(&self) -> String {
        format!("{} → {}", count(self.before.cost), count(self.now.cost))
    }
}

/// What is known of the plans of a statement.
pub(super) fn section(plans: &[StatementPlan]) -> Markup {
    let Some(last) = plans.last() else {
        return html! {
            h2 { "Plans" }
            p.dim {
                "No plan was seen of it: pgwright looks at those of the statements that take most time, every five minutes, \
                 as far as its role may read their tables."
            }
        };
    };
    let flips = flips(plans, DateTime::<Utc>::MIN_UTC);
    html! {
        h2 { "Plans" }
        p.dim {
            "As the planner makes them without values of parameters. "
            @if flips.is_empty() { "It has had one plan since " (written(last.at)) "." }
            @else if flips.len() == 1 { "It changed once." }
            @else { "It changed " (flips.len()) " times; the latest first." }
        }
        @for flip in flips.iter().rev().take(SHOWN) {
            section.flip {
                h3 { "Another plan since " time datetime=(flip.at.to_rfc3339()) { (written(flip.at)) } }
                p { "Cost " (flip.costs()) ", in the planner's units." }
                ul { @for line in flip.diff.lines().into_iter().skip(1) { li { (line) } } }
                details {
                    summary { "Both shapes" }
                    div.sides {
                        div { h4 { "Before" } pre tabindex="0" { code { (shape(&flip.before.plan)) } } }
                        div { h4 { "Since then" } pre tabindex="0" { code { (shape(&flip.now.plan)) } } }
                    }
                }
            }
        }
        @if let Some(now) = shown(last) {
            details open[flips.is_empty()] {
                summary { "The plan now, cost " (count(now.cost)) }
                pre tabindex="0" { code { (tree(&now.plan, &Style::default())) } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(minute: i64, node: serde_json::Value, cost: f64) -> StatementPlan {
        let plan = serde_json::json!({ "Plan": node });
        StatementPlan {
            at: DateTime::from_timestamp(minute * 60, 0).unwrap(),
            cost,
            shape_hash: plan::render::shape_hash(&Plan::from_json(&plan).unwrap()),
            plan,
        }
    }

    #[test]
    fn a_plan_that_changed_is_told_with_time_cost_and_words() {
        let scan = |kind: &str, cost: f64| {
            serde_json::json!({ "Node Type": kind, "Relation Name": "a<b>", "Alias": "a<b>", "Index Name": "i",
                "Startup Cost": 0.0, "Total Cost": cost, "Plan Rows": 1, "Plan Width": 8 })
        };
        let plans = [
            seen(1, scan("Index Scan", 8.0), 8.0),
            seen(7, scan("Seq Scan", 4000.0), 4000.0),
            seen(9, scan("Seq Scan", 4100.0), 4100.0),
        ];
        let found = flips(&plans, DateTime::<Utc>::MIN_UTC);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].at.timestamp(), 420);
        assert!(found[0].words().contains("a<b>"), "{}", found[0].words());
        assert!(flips(&plans, plans[2].at).is_empty());
        let html = section(&plans).into_string();
        assert!(html.contains("1970-01-01 00:07") && html.contains("8 → 4\u{202f}000"), "{html}");
        assert!(html.contains("Both shapes") && !html.contains("<b>\""), "{html}");
        assert!(section(&[]).into_string().contains("No plan was seen"));
    }
}
