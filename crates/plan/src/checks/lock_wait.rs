//! Did the statement wait for a lock?
//!
//! Fields: what a second session saw while the statement ran (`pg_blocking_pids`), where there was one. Of a plan alone: a
//! LockRows or ModifyTable whose own time is out of all proportion to its rows and pages, because a row lock is waited for
//! inside of it; and an `Execution Time` far above that of its nodes and triggers. EXPLAIN does not tell a wait from work.

use model::Severity;

use super::{Check, Diagnosis, Place, Remedy, Run, Thresholds, subject};
use crate::node::{Node, Plan};
use crate::render::{count, milliseconds};
use crate::writes;

pub(super) const CHECK: Check = Check {
    id: "lock-wait",
    title: "the statement waited for a lock",
    explains: &[
        ("index-upkeep", Place::Same),
        ("updates-not-hot", Place::Same),
        ("wide-values-written", Place::Same),
        ("cold-cache", Place::Same),
        ("triggers-dominate", Place::Line),
    ],
    remedy: Remedy::Blocker,
    run: Run::Plan(run),
};

/// What a written or locked row takes at most without a wait, in milliseconds; and a page in memory, and one from a disk.
const ROW_MS: f64 = 0.2;
const HIT_MS: f64 = 0.02;
const READ_MS: f64 = 10.0;
/// How many times that it must have taken.
const OUT_OF_PROPORTION: f64 = 10.0;

const DETAIL: &str = "A row or table that another transaction changed or locked stays locked until that transaction ends. Keep \
     transactions short, change rows in one order everywhere, take rows of a queue with FOR UPDATE SKIP LOCKED, and set \
     lock_timeout; idle_in_transaction_session_timeout ends sessions that forget theirs. log_lock_waits writes down who waits \
     for whom.";

fn run(plan: &Plan, thresholds: &Thresholds) -> Vec<Diagnosis> {
    let Some(root) = plan.root() else { return Vec::new() };
    if !plan.waits.is_empty() {
        return vec![seen(plan, root)];
    }
    let mut found: Vec<Diagnosis> = plan.nodes.iter().filter_map(|node| of_node(plan, node, thresholds)).collect();
    found.extend(outside(plan, root, thresholds));
    found
}

/// What was seen while it ran.
fn seen(plan: &Plan, root: &Node) -> Diagnosis {
    let total: f64 = plan.waits.iter().map(|w| w.ms).sum();
    let who: Vec<&str> = plan.waits.iter().map(|w| w.blocker.as_str()).collect();
    let node = plan.nodes.iter().filter(|n| waits_for_rows(n)).max_by(|a, b| plan.own_weight(a).total_cmp(&plan.own_weight(b)));
    let summary = format!("for about {} it waited for a lock that {} held", milliseconds(total), who.join(" and "));
    let mut diagnosis =
        Diagnosis::new(node.unwrap_or(root), Severity::Warning, summary, DETAIL).weighing(if plan.timed() { total } else { plan.total_weight() });
    for wait in &plan.waits {
        diagnosis = diagnosis.with("held by", format!("{}: {}", wait.blocker, wait.doing));
    }
    diagnosis
}

/// Whether row locks are taken inside of a node.
fn waits_for_rows(node: &Node) -> bool {
    node.is("LockRows") || node.is("ModifyTable")
}

/// A node that took far longer than what it did can take.
fn of_node(plan: &Plan, node: &Node, thresholds: &Thresholds) -> Option<Diagnosis> {
    let own = node.own.ms.filter(|_| waits_for_rows(node) && node.executed())?;
    let usage = &node.own.usage;
    let io_ms = (usage.shared_read_us + usage.shared_write_us) as f64 / 1000.0;
    let read_ms = if io_ms > 0.0 { io_ms } else { READ_MS * usage.shared_read as f64 };
    // Triggers before the row, and what is compiled, run inside of the node.
    let triggers: f64 = plan.triggers.iter().filter_map(|t| t.time_ms).sum();
    let jit = plan.jit.and_then(|j| j.total_ms).unwrap_or(0.0);
    let rows = if node.is("LockRows") { node.rows() } else { writes::rows(plan, node) };
    let work = ROW_MS * rows.max(1.0) + HIT_MS * usage.shared_hit as f64 + read_ms;
    let waited = own - triggers - jit - read_ms;
    if !plan.has_buffers || waited < thresholds.lock_wait_min_ms || waited < OUT_OF_PROPORTION * work {
        return None;
    }
    let what = if node.is("LockRows") { "locking".to_owned() } else { format!("the {} of", node.label().to_lowercase()) };
    let of = node.relation_name().map(|_| format!(" in {}", subject(node))).unwrap_or_default();
    Some(
        Diagnosis::new(
            node,
            Severity::Warning,
            format!(
                "{what} {} rows{of} took {} and touched {} pages: it will have waited for a lock",
                count(rows),
                milliseconds(own),
                count(usage.pages() as f64)
            ),
            DETAIL,
        )
        .weighing(waited),
    )
}

/// Time that neither nodes nor triggers account for.
fn outside(plan: &Plan, root: &Node, thresholds: &Thresholds) -> Option<Diagnosis> {
    let (execution, nodes) = (plan.execution_ms?, root.total_ms?);
    let triggers: f64 = plan.triggers.iter().filter_map(|t| t.time_ms).sum();
    let jit = plan.jit.and_then(|j| j.total_ms).unwrap_or(0.0);
    let rest = execution - nodes - plan.outside_ms - triggers - jit;
    if rest < thresholds.lock_wait_min_ms || rest < 0.5 * execution {
        return None;
    }
    Some(
        Diagnosis::new(
            root,
            Severity::Warning,
            format!("{} of {} passed outside of the plan's nodes", milliseconds(rest), milliseconds(execution)),
            "Before its first row and after its last one a plan opens and closes its tables, which waits for locks on them, for \
             thousands of partitions, and for temporary files that are removed. If it happens again, look for who blocks it: \
             log_lock_waits, or pg_blocking_pids() while it runs.",
        )
        .weighing(rest),
    )
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;
    use crate::node::LockWait;

    #[test]
    fn rows_that_took_long_to_lock_and_none_that_did_not() {
        assert_silent(&CHECK, MAJORS, "lock_rows");
        assert_silent(&CHECK, MAJORS, "insert_with_wal");
        for major in MAJORS {
            let mut plan = fixture(&format!("{major}/lock_rows"));
            plan.nodes[0].own.ms = Some(4_000.0);
            let found = CHECK.diagnose(&plan, &Thresholds::default(), None);
            assert_eq!(found.len(), 1, "{major}");
            assert!(found[0].summary.starts_with("locking 31 rows took 4"), "{}", found[0].summary);
            // Reading from a slow disk is no wait for a lock.
            plan.nodes[0].own.usage.shared_read = 500;
            assert!(CHECK.diagnose(&plan, &Thresholds::default(), None).is_empty(), "{major}");
        }
    }

    #[test]
    fn time_outside_of_the_nodes() {
        let mut plan = fixture("17/index_scan");
        plan.execution_ms = plan.execution_ms.map(|ms| ms + 3_000.0);
        let found = super::super::run(&plan, &Thresholds::default());
        assert_eq!(found[0].check, "lock-wait", "{found:?}");
        assert!(found[0].summary.contains("outside of the plan's nodes"), "{found:?}");
    }

    #[test]
    fn who_was_seen_to_hold_it() {
        let mut plan = fixture("17/lock_rows");
        plan.waits = vec![LockWait { blocker: "process 77".into(), doing: "idle in transaction".into(), ms: 3_000.0 }];
        let found = super::super::run(&plan, &Thresholds::default());
        assert_eq!(found[0].check, "lock-wait");
        assert!(found[0].summary.contains("process 77"), "{found:?}");
    }
}
