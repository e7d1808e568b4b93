//! Is the time spent in triggers, foreign keys among them?
//!
//! Fields: the sum of `Triggers[].Time` against `Execution Time`. The trigger of a foreign key looks up the
//! referencing rows of every deleted or updated row: without an index there, by a sequential scan each.

use model::Severity;

use super::{Check, Diagnosis, Remedy, Run, Thresholds};
use crate::node::Plan;
use crate::render::{count, milliseconds, percent};

pub(super) const CHECK: Check =
    Check { id: "triggers-dominate", title: "triggers take much of the time", explains: &[], remedy: Remedy::Trigger, run: Run::Plan(run) };

fn run(plan: &Plan, thresholds: &Thresholds) -> Vec<Diagnosis> {
    let (Some(root), Some(execution)) = (plan.root(), plan.execution_ms) else { return Vec::new() };
    let total: f64 = plan.triggers.iter().filter_map(|t| t.time_ms).sum();
    if execution <= 0.0 || total <= thresholds.trigger_share * execution {
        return Vec::new();
    }
    let detail = if plan.triggers.iter().any(|t| t.constraint.is_some()) {
        "A foreign key looks for referencing rows once for each deleted or updated row. PostgreSQL indexes the \
         referenced side only: an index on the referencing columns turns each of these scans into a look-up."
    } else {
        "The triggers do more work than the statement itself. EXPLAIN does not look inside: use auto_explain with \
         log_nested_statements, or a statement-level trigger with transition tables."
    };
    let share = percent((total / execution).min(1.0));
    let diagnosis =
        Diagnosis::new(root, Severity::Warning, format!("triggers took {share} of the execution time"), detail);
    let mut triggers: Vec<_> = plan.triggers.iter().collect();
    triggers.sort_by(|a, b| b.time_ms.unwrap_or(0.0).total_cmp(&a.time_ms.unwrap_or(0.0)));
    vec![triggers.iter().take(5).fold(diagnosis.weighing(total), |d, t| {
        let name = t.constraint.as_deref().unwrap_or(&t.name);
        let time = milliseconds(t.time_ms.unwrap_or(0.0));
        d.with(&format!("trigger {name}"), format!("{} calls, {time}", count(t.calls)))
    })]
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    #[test]
    fn a_foreign_key_without_an_index() {
        assert_found(&CHECK, MAJORS, "foreign_key_trigger", "ModifyTable");
    }

    #[test]
    fn no_triggers() {
        assert_silent(&CHECK, MAJORS, "insert_with_wal");
    }
}
