//! What of a workload's way with partitions deserves to be told as a finding?

use model::{Finding, ObjectRef, Severity};

use super::causes::PruningCause;
use super::check::{Pruning, PruningReport, StatementPruning};

/// From this share of the workload's time on, a statement that reads every partition is a warning.
const MATTERS: f64 = 0.01;
/// From this share of a statement's time on, planning is told.
const MUCH_PLANNING: f64 = 0.2;

/// A constant has to make planning that much shorter to be advised.
const HALF: f64 = 0.5;

/// Findings, the most time first.
pub fn findings(report: &PruningReport) -> Vec<Finding> {
    report.statements.iter().flat_map(|s| of_statement(report, s)).collect()
}

fn of_statement(report: &PruningReport, statement: &StatementPruning) -> Vec<Finding> {
    let object = || ObjectRef::Statement { queryid: statement.queryid };
    let share = statement.total_ms / report.total_ms.max(f64::MIN_POSITIVE);
    let weight = if share >= MATTERS { Severity::Warning } else { Severity::Info };
    let mut found = Vec::new();
    let unpruned = statement.uses.iter().filter(|u| u.pruning == Pruning::None);
    for set in unpruned {
        let Some(cause) = &set.cause else { continue };
        let harmless = matches!(cause.kind, PruningCause::AllWanted | PruningCause::StopsAtLimit);
        let severity = if harmless { Severity::Info } else { weight };
        let mut detail = cause.remedy.clone();
        if let Some(rewrite) = &statement.rewrite {
            detail.push_str(&format!(
                " \"pgwright rewrite\" knows a text that reads {:.0} of them (rule {}).",
                rewrite.read,
                rewrite.rules.join(", ")
            ));
        }
        found.push(
            Finding::new(
                "unpruned-statement",
                object(),
                severity,
                format!("reads all {} partitions of {}: {}", set.partitions, set.table, cause.seen),
                detail,
            )
            .with("share of the workload's time", format!("{:.1} %", 100.0 * share))
            .with("calls", statement.calls),
        );
    }
    let prunes = statement.uses.iter().all(|u| u.pruning != Pruning::None);
    if let Some(generic) = statement.generic.as_ref().filter(|g| g.is_chosen && !g.prunes && prunes) {
        found.push(
            Finding::new(
                "unpruned-generic-plan",
                object(),
                weight,
                format!("reads all {} partitions once its plan is made for all values", generic.planned),
                "From the sixth execution of a prepared statement on, PostgreSQL takes the plan for all values, which is \
                 not dearer by its estimate. SET plan_cache_mode = force_custom_plan for the role keeps plans that \
                 leave partitions out.",
            )
            .with("cost for all values", format!("{:.0}", generic.cost))
            .with("cost for given values and planning", format!("{:.0}", generic.custom_cost)),
        );
    }
    if let (Some(planning), Some(constant)) = (&statement.planning, &statement.planning_with_constant)
        && planning.again.0 - constant.again.0 > MUCH_PLANNING * statement.mean_ms
        && constant.again.0 < HALF * planning.again.0
    {
        let all =
            statement.uses.iter().filter(|u| u.pruning == Pruning::Start).map(|u| u.planned).sum::<f64>();
        found.push(
            Finding::new(
                "planned-for-all-partitions",
                object(),
                weight,
                format!("is planned for {all:.0} partitions and reads few: they are left out when it is started"),
                "The time of now is not known while a plan is made. A constant computed by the application leaves \
                 partitions out while planning.",
            )
            .with("planning", planning.again)
            .with("planning with a constant", constant.again)
            .with("mean execution time, ms", format!("{:.3}", statement.mean_ms)),
        );
    }
    found
}
