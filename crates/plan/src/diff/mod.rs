//! What changed between two plans of one statement? In words: join order, access paths, estimates, and what
//! each part cost and touched.
//!
//! Nodes are matched by what they are for and not by where they stand: a scan by its relation, a join by the
//! set of relations that it joins, anything else by its kind above such a set; partitions of one table
//! count as one. A query inside of the statement (`WITH`, SubPlan, InitPlan) is a world of its own.

mod matching;
mod words;

use serde::Serialize;

use crate::node::{Node, Plan};
use crate::render::{count, milliseconds};
use matching::Side;

/// What changed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PlanDiff {
    /// Whether both plans do the same things in the same order.
    pub same_shape: bool,
    /// What the whole plan cost and touched.
    pub totals: Totals,
    /// What changed, the most telling first.
    pub changes: Vec<PlanChange>,
    /// The nodes that stand for the same work on both sides.
    pub matched: Vec<Matched>,
}

/// Sums of both plans.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[allow(missing_docs)] // One on each side.
pub struct Totals {
    pub before: Figures,
    pub after: Figures,
}

/// What a plan or a node cost, with everything below it for a plan and by itself for a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Figures {
    /// Planner cost units.
    pub cost: f64,
    /// Rows that were planned.
    pub estimated_rows: f64,
    /// Rows that came out, in all loops; `None` when it was not executed.
    pub rows: Option<f64>,
    /// Milliseconds; `None` when not timed.
    pub ms: Option<f64>,
    /// Shared and local pages touched; `None` when not counted.
    pub buffers: Option<u64>,
    /// Pages of temporary files read or written.
    pub temp_pages: u64,
}

/// Two nodes that do the same work.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[allow(missing_docs)] // Each on both sides.
pub struct Matched {
    /// What it is, for a person: `public.orders`, `join of orders and customers`.
    pub what: String,
    pub node_before: usize,
    pub node_after: usize,
    pub label_before: String,
    pub label_after: String,
    pub before: Figures,
    pub after: Figures,
}

/// What kind of change it is; the order is that in which changes are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)] // The names say it.
pub enum ChangeKind {
    AccessPath,
    JoinOrder,
    JoinMethod,
    Partitions,
    NodeAdded,
    NodeRemoved,
    Method,
    Parallelism,
    Spill,
    Condition,
    Rows,
    Estimate,
    HeapFetches,
    Buffers,
    Time,
    Setting,
}

/// One thing that changed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PlanChange {
    /// Its kind.
    pub kind: ChangeKind,
    /// In a sentence without a full stop.
    pub text: String,
    /// The node of the first plan that it is about.
    pub node_before: Option<usize>,
    /// The node of the second plan.
    pub node_after: Option<usize>,
    /// Indexes that were used before and are not now.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub indexes_lost: Vec<String>,
}

impl PlanChange {
    fn new(kind: ChangeKind, text: String, pair: (Option<usize>, Option<usize>)) -> Self {
        Self { kind, text, node_before: pair.0, node_after: pair.1, indexes_lost: Vec::new() }
    }
}

/// Compares two plans of one statement.
pub fn diff(before: &Plan, after: &Plan) -> PlanDiff {
    let (old, new) = (Side::new(before), Side::new(after));
    let pairs = matching::pair(&old, &new);
    let mut changes = Vec::new();
    words::join_order(&old, &new, &mut changes);
    for pair in &pairs {
        words::of_pair(&old, &new, pair, &mut changes);
    }
    words::unmatched(&old, &new, &pairs, &mut changes);
    words::settings(before, after, &mut changes);
    // Of equal kinds those first that stand higher in the plan; the sort is stable.
    changes.sort_by_key(|c| c.kind);
    let matched = pairs
        .iter()
        .map(|pair| {
            let (a, b) = (&before.nodes[pair.before], &after.nodes[pair.after]);
            Matched {
                what: old.describe(pair.before),
                node_before: a.id,
                node_after: b.id,
                label_before: a.label(),
                label_after: b.label(),
                before: own_figures(before, a),
                after: own_figures(after, b),
            }
        })
        .collect();
    PlanDiff {
        same_shape: crate::render::shape(before) == crate::render::shape(after),
        totals: Totals { before: total_figures(before), after: total_figures(after) },
        changes,
        matched,
    }
}

fn own_figures(plan: &Plan, node: &Node) -> Figures {
    Figures {
        cost: node.own.cost,
        estimated_rows: node.planned_rows(),
        rows: node.actual.map(|_| node.rows()),
        ms: node.own.ms,
        buffers: plan.has_buffers.then(|| node.own.usage.pages()),
        temp_pages: node.own.usage.temp_pages(),
    }
}

/// Of the whole plan.
pub fn total_figures(plan: &Plan) -> Figures {
    let Some(root) = plan.root() else { return Figures::default() };
    let usage = root.usage.plus(&plan.outside);
    Figures {
        cost: root.total_cost,
        estimated_rows: root.plan_rows,
        rows: root.actual.map(|_| root.rows()),
        ms: plan.execution_ms.or(root.total_ms),
        buffers: plan.has_buffers.then(|| usage.pages()),
        temp_pages: usage.temp_pages(),
    }
}

impl PlanDiff {
    /// Indexes that the first plan used and the second does not.
    pub fn indexes_lost(&self) -> impl Iterator<Item = &str> {
        self.changes.iter().flat_map(|c| c.indexes_lost.iter().map(String::as_str))
    }

    /// The changes of a kind.
    pub fn of_kind(&self, kind: ChangeKind) -> impl Iterator<Item = &PlanChange> {
        self.changes.iter().filter(move |c| c.kind == kind)
    }

    /// The comparison as lines: totals first, then what changed.
    pub fn lines(&self) -> Vec<String> {
        let (before, after) = (&self.totals.before, &self.totals.after);
        let mut lines = vec![ratio_line("planner cost", before.cost, after.cost, |c| format!("{c:.0}"))];
        if let (Some(a), Some(b)) = (before.ms, after.ms) {
            lines.push(ratio_line("time", a, b, milliseconds));
        }
        if let (Some(a), Some(b)) = (before.buffers, after.buffers) {
            lines.push(ratio_line("buffers", a as f64, b as f64, count));
        }
        if before.temp_pages + after.temp_pages > 0 {
            lines.push(ratio_line(
                "temporary pages",
                before.temp_pages as f64,
                after.temp_pages as f64,
                count,
            ));
        }
        if let (Some(a), Some(b)) = (before.rows, after.rows) {
            lines.push(ratio_line("rows", a, b, count));
        }
        if self.changes.is_empty() {
            lines.push(if self.same_shape {
                "the plans are the same".into()
            } else {
                "the plans differ in details only".into()
            });
        } else {
            lines.extend(self.changes.iter().map(|c| c.text.clone()));
        }
        lines
    }
}

fn ratio_line(what: &str, before: f64, after: f64, show: impl Fn(f64) -> String) -> String {
    let change = if before == after {
        "the same".to_owned()
    } else if before <= 0.0 {
        "more".to_owned()
    } else {
        let ratio = after / before;
        if ratio > 1.0 && ratio < 1.995 {
            format!("{:.0} % more", (ratio - 1.0) * 100.0)
        } else if ratio >= 1.995 {
            format!("{} as much", crate::render::factor(ratio))
        } else {
            format!("{} less", percent_less(ratio))
        }
    };
    format!("{what}: {} → {} ({change})", show(before), show(after))
}

fn percent_less(ratio: f64) -> String {
    let less = (1.0 - ratio) * 100.0;
    if less > 99.0 { format!("{less:.2} %") } else { format!("{less:.0} %") }
}
