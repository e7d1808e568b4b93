//! Does compiling the expressions cost more than it can save?
//!
//! Fields: `JIT.Timing.Total` against `Execution Time`.

use model::Severity;

use super::{Check, Diagnosis, Remedy, Run, Thresholds};
use crate::node::Plan;
use crate::render::{milliseconds, percent};

pub(super) const CHECK: Check =
    Check { id: "jit-dominates", title: "JIT compilation takes much of the time", explains: &[], remedy: Remedy::NoJit, run: Run::Plan(run) };

fn run(plan: &Plan, thresholds: &Thresholds) -> Vec<Diagnosis> {
    let (Some(root), Some(jit), Some(execution)) = (plan.root(), plan.jit, plan.execution_ms) else {
        return Vec::new();
    };
    let total = jit.total_ms.unwrap_or(0.0);
    if execution <= 0.0 || total <= thresholds.jit_share * execution {
        return Vec::new();
    }
    vec![
        Diagnosis::new(
            root,
            Severity::Warning,
            format!("JIT compilation took {} of the execution time", percent((total / execution).min(1.0))),
            "Expressions were compiled for a statement that is not expensive enough to win it back, often because \
             its cost is overestimated. Raise jit_above_cost, or switch jit off for the role or database.",
        )
        .weighing(total)
        .with("compilation", milliseconds(total))
        .with("functions", jit.functions),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    #[test]
    fn compilation_of_a_short_query() {
        // Of the servers that the fixtures come from, Debian's is built with LLVM.
        assert_found(&CHECK, &[15], "jit", "Aggregate");
    }

    #[test]
    fn no_compilation() {
        assert_silent(&CHECK, MAJORS, "parallel_aggregate");
    }
}
