//! What is a plan made of? Nodes numbered depth-first, with EXPLAIN's own words as fields.
//!
//! Source: `ExplainNode()` in explain.c of 13 to 18. Keys that this file does not know stay in
//! [`Node::extra`], so that a plan of a later major loses nothing.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::usage::Usage;

/// A parsed plan. `nodes[0]` is the root and a node's number is its place in `nodes`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// All nodes in depth-first order; children stand after their parent.
    pub nodes: Vec<Node>,
    /// Whether the statement was executed (`ANALYZE`).
    pub analyzed: bool,
    /// Whether buffers were counted.
    pub has_buffers: bool,
    /// Planning time in milliseconds.
    pub planning_ms: Option<f64>,
    /// Buffers that planning touched.
    pub planning: Usage,
    /// Execution time in milliseconds: nodes, triggers, start-up and shutdown.
    pub execution_ms: Option<f64>,
    /// Triggers that fired, foreign keys among them.
    pub triggers: Vec<Trigger>,
    /// Just-in-time compilation.
    pub jit: Option<Jit>,
    /// Settings that differ from their default (`SETTINGS`).
    pub settings: BTreeMap<String, String>,
    /// `Query Identifier`, the `queryid` of `pg_stat_statements`.
    pub query_identifier: Option<i64>,
    /// `Query Text`, which auto_explain writes.
    pub query_text: Option<String>,
    /// Time of deferred plans that no node of the main tree includes, in milliseconds: what a
    /// data-modifying `WITH` does after the main query has ended.
    pub outside_ms: f64,
    /// The same for counters.
    pub outside: Usage,
    /// Who was seen to hold a lock that the statement waited for while it ran; a plan does not tell.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waits: Vec<LockWait>,
    /// Top-level keys not known here.
    pub extra: BTreeMap<String, Value>,
}

/// Somebody who was waited for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LockWait {
    /// The session: `process 4711 (app of billing)`.
    pub blocker: String,
    /// What it does, and since when its transaction is open.
    pub doing: String,
    /// For about how long it was waited for, in milliseconds.
    pub ms: f64,
}

/// How a node belongs to its parent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Relationship {
    /// It is the root.
    Root,
    /// First or only input.
    #[default]
    Outer,
    /// Second input of a join.
    Inner,
    /// One of many inputs: `Append`, `BitmapAnd`, …
    Member,
    /// The query of a `Subquery Scan`.
    Subquery,
    /// Evaluated at most once, when its value is first needed, by whichever node needs it.
    InitPlan,
    /// A `WITH` query, read by one or more `CTE Scan`s.
    Cte,
    /// Evaluated inside an expression of the parent.
    SubPlan,
}

impl Relationship {
    /// Whether the work is done inside some other node than the parent by right.
    pub fn is_deferred(self) -> bool {
        matches!(self, Self::InitPlan | Self::Cte)
    }
}

/// What was measured at a node: averages per loop, as EXPLAIN prints them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Actual {
    /// Milliseconds until the first row, per loop; `None` with `TIMING OFF`.
    pub startup_ms: Option<f64>,
    /// Milliseconds until the last row, per loop; `None` with `TIMING OFF`.
    pub total_ms: Option<f64>,
    /// Rows per loop; whole numbers before 18, so the total is off by up to half a row per loop.
    pub rows: f64,
    /// How many times the node was executed, over all processes; 0 is "never executed".
    pub loops: f64,
    /// Whether `rows` was printed with decimals (since 18).
    pub exact: bool,
}

/// A worker's part in a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)] // As in `Actual`.
pub struct Worker {
    pub number: u64,
    pub total_ms: Option<f64>,
    pub rows: f64,
    pub loops: f64,
}

/// How a sort was done.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SortUsage {
    /// `quicksort`, `top-N heapsort`, `external merge`, …
    pub method: String,
    /// Memory at the peak in kB, the largest process or group.
    pub memory_kb: u64,
    /// Disk space in kB, summed over processes.
    pub disk_kb: u64,
}

/// How the hash table of a join was built.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // The names are EXPLAIN's own.
pub struct HashUsage {
    pub buckets: u64,
    pub original_buckets: u64,
    pub batches: u64,
    pub original_batches: u64,
    /// In kB.
    pub peak_memory_kb: u64,
}

/// How a hashed aggregate used memory and disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // The names are EXPLAIN's own.
pub struct HashAggUsage {
    pub planned_partitions: u64,
    pub batches: u64,
    /// In kB.
    pub peak_memory_kb: u64,
    /// In kB, summed over processes.
    pub disk_kb: u64,
}

/// How a Memoize node's cache did, summed over processes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // The names are EXPLAIN's own.
pub struct MemoizeUsage {
    pub hits: u64,
    pub misses: u64,
    pub evictions: u64,
    pub overflows: u64,
    /// In kB.
    pub peak_memory_kb: u64,
}

/// A trigger that fired.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Trigger {
    /// Its name.
    pub name: String,
    /// The constraint that it enforces, when it is one of a foreign key.
    pub constraint: Option<String>,
    /// Its table.
    pub relation: Option<String>,
    /// Milliseconds in all; `None` with `TIMING OFF`.
    pub time_ms: Option<f64>,
    /// How often it was called.
    pub calls: f64,
}

/// What just-in-time compilation cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Jit {
    /// Functions compiled.
    pub functions: u64,
    /// Milliseconds in all, over all processes.
    pub total_ms: Option<f64>,
}

/// What a node itself did, its children taken away. Filled in when a plan is parsed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Own {
    /// Wall-clock milliseconds; `None` without `ANALYZE` or with `TIMING OFF`.
    pub ms: Option<f64>,
    /// Planner cost units, all executions counted.
    pub cost: f64,
    /// Buffers, I/O time, write-ahead log.
    pub usage: Usage,
}

/// A node of a plan.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)] // Fields without a line of their own are EXPLAIN's keys.
pub struct Node {
    /// Its number in depth-first order; the root is 0.
    pub id: usize,
    pub parent: Option<usize>,
    pub children: Vec<usize>,
    /// How many nodes stand above it.
    pub depth: usize,
    /// One past the number of its last descendant.
    pub end: usize,
    pub node_type: String,
    pub relationship: Relationship,
    pub subplan_name: Option<String>,
    pub strategy: Option<String>,
    pub partial_mode: Option<String>,
    pub operation: Option<String>,
    pub command: Option<String>,
    pub join_type: Option<String>,
    pub scan_direction: Option<String>,
    pub parallel_aware: bool,
    pub inner_unique: bool,
    pub schema: Option<String>,
    pub relation: Option<String>,
    pub alias: Option<String>,
    pub index: Option<String>,
    pub cte: Option<String>,
    pub function: Option<String>,
    pub startup_cost: f64,
    pub total_cost: f64,
    pub plan_rows: f64,
    pub plan_width: f64,
    /// Whether the node is of a kind that was switched off (`enable_…`) and had no alternative;
    /// printed since 18, seen by the cost of 1e10 before.
    pub disabled: bool,
    pub actual: Option<Actual>,
    pub index_cond: Option<String>,
    pub recheck_cond: Option<String>,
    pub filter: Option<String>,
    pub join_filter: Option<String>,
    pub hash_cond: Option<String>,
    pub merge_cond: Option<String>,
    pub one_time_filter: Option<String>,
    pub order_by: Option<String>,
    pub cache_key: Option<String>,
    pub sort_key: Vec<String>,
    pub presorted_key: Vec<String>,
    pub group_key: Vec<String>,
    pub output: Vec<String>,
    /// Per loop, as printed.
    pub removed_by_filter: f64,
    /// Per loop, as printed.
    pub removed_by_join_filter: f64,
    /// Per loop, as printed.
    pub removed_by_index_recheck: f64,
    /// In all.
    pub heap_fetches: Option<f64>,
    /// In all, since 18.
    pub index_searches: Option<f64>,
    pub exact_heap_blocks: u64,
    pub lossy_heap_blocks: u64,
    pub sort: Option<SortUsage>,
    pub hash: Option<HashUsage>,
    pub hash_agg: Option<HashAggUsage>,
    pub memoize: Option<MemoizeUsage>,
    pub workers_planned: Option<u64>,
    pub workers_launched: Option<u64>,
    pub workers: Vec<Worker>,
    pub subplans_removed: Option<u64>,
    /// Counters of this node and everything below it.
    pub usage: Usage,
    /// What the node itself did.
    pub own: Own,
    /// Wall-clock milliseconds of the node and everything below it, over all loops; parallel
    /// processes run side by side, so their sum is divided by their number.
    pub total_ms: Option<f64>,
    /// Keys not known here.
    pub extra: BTreeMap<String, Value>,
}

impl Node {
    /// Whether it is of this `Node Type`.
    pub fn is(&self, node_type: &str) -> bool {
        self.node_type == node_type
    }

    /// How many times it was executed, over all processes; 0 without `ANALYZE`.
    pub fn loops(&self) -> f64 {
        self.actual.map_or(0.0, |a| a.loops)
    }

    /// Rows that it returned in all.
    pub fn rows(&self) -> f64 {
        self.actual.map_or(0.0, |a| a.rows * a.loops)
    }

    /// The least and the most rows that it can have returned: before 18 EXPLAIN rounds the average
    /// per loop to a whole number.
    pub fn rows_range(&self) -> (f64, f64) {
        match self.actual {
            None => (0.0, 0.0),
            Some(a) => {
                let slack = if a.exact { 0.005 } else { 0.5 };
                if a.loops <= 1.0 {
                    (a.rows * a.loops, a.rows * a.loops)
                } else {
                    ((a.rows - slack).max(0.0) * a.loops, (a.rows + slack) * a.loops)
                }
            }
        }
    }

    /// Rows that were planned, times the loops that really happened; per loop without `ANALYZE`.
    pub fn planned_rows(&self) -> f64 {
        self.plan_rows * self.actual.map_or(1.0, |a| a.loops)
    }

    /// Rows that its filter threw away, in all.
    pub fn rows_removed(&self) -> f64 {
        self.removed_by_filter * self.loops()
    }

    /// Rows that its join filter threw away, in all.
    pub fn rows_removed_by_join(&self) -> f64 {
        self.removed_by_join_filter * self.loops()
    }

    /// Whether it was executed at least once.
    pub fn executed(&self) -> bool {
        self.loops() > 0.0
    }

    /// Whether it joins two inputs.
    pub fn is_join(&self) -> bool {
        matches!(self.node_type.as_str(), "Nested Loop" | "Hash Join" | "Merge Join")
    }

    /// Whether it reads an index and then, perhaps, the table.
    pub fn is_index_scan(&self) -> bool {
        matches!(self.node_type.as_str(), "Index Scan" | "Index Only Scan")
    }

    /// The relation with its schema, where EXPLAIN printed one (`VERBOSE`).
    pub fn relation_name(&self) -> Option<String> {
        let relation = model::quote_identifier(self.relation.as_ref()?);
        Some(match &self.schema {
            Some(schema) => format!("{}.{relation}", model::quote_identifier(schema)),
            None => relation,
        })
    }

    /// Conditions with the name that EXPLAIN gives them.
    pub fn conditions(&self) -> impl Iterator<Item = (&'static str, &str)> {
        [
            ("Index Cond", &self.index_cond),
            ("Recheck Cond", &self.recheck_cond),
            ("Hash Cond", &self.hash_cond),
            ("Merge Cond", &self.merge_cond),
            ("Join Filter", &self.join_filter),
            ("Filter", &self.filter),
            ("One-Time Filter", &self.one_time_filter),
            ("Order By", &self.order_by),
            ("Cache Key", &self.cache_key),
        ]
        .into_iter()
        .filter_map(|(name, text)| text.as_deref().map(|t| (name, t)))
    }

    /// The name that EXPLAIN's text format gives the node: `Parallel Hash Left Join`,
    /// `Partial HashAggregate`, `Index Scan Backward`.
    pub fn label(&self) -> String {
        let mut label = String::new();
        if let Some(mode @ ("Partial" | "Finalize")) = self.partial_mode.as_deref() {
            label.push_str(mode);
            label.push(' ');
        }
        if self.parallel_aware {
            label.push_str("Parallel ");
        }
        match (self.node_type.as_str(), self.strategy.as_deref()) {
            ("Aggregate", Some("Sorted")) => label.push_str("GroupAggregate"),
            ("Aggregate", Some("Hashed")) => label.push_str("HashAggregate"),
            ("Aggregate", Some("Mixed")) => label.push_str("MixedAggregate"),
            ("SetOp", Some("Hashed")) => label.push_str("HashSetOp"),
            ("ModifyTable", _) => label.push_str(self.operation.as_deref().unwrap_or("ModifyTable")),
            ("Nested Loop" | "Hash Join" | "Merge Join", _) => {
                let base = self.node_type.trim_end_matches(" Join");
                label.push_str(base);
                match self.join_type.as_deref() {
                    Some("Inner") | None if self.is("Nested Loop") => {}
                    Some("Inner") | None => label.push_str(" Join"),
                    Some(kind) => {
                        label.push(' ');
                        label.push_str(kind);
                        label.push_str(" Join");
                    }
                }
            }
            (other, _) => label.push_str(other),
        }
        if self.scan_direction.as_deref() == Some("Backward") {
            label.push_str(" Backward");
        }
        if let (Some(command), true) = (&self.command, self.is("SetOp")) {
            label.push(' ');
            label.push_str(command);
        }
        label
    }
}

impl Plan {
    /// The root, when there is one; a parsed plan has one.
    pub fn root(&self) -> Option<&Node> {
        self.nodes.first()
    }

    /// The children of a node of this plan.
    pub fn children<'a>(&'a self, node: &Node) -> impl DoubleEndedIterator<Item = &'a Node> + use<'a> {
        let ids = self.nodes.get(node.id).map_or(&[][..], |own| &own.children);
        ids.iter().filter_map(|id| self.nodes.get(*id))
    }

    /// The parent of a node.
    pub fn parent(&self, node: &Node) -> Option<&Node> {
        node.parent.and_then(|id| self.nodes.get(id))
    }

    /// The child with this relationship.
    pub fn child(&self, node: &Node, relationship: Relationship) -> Option<&Node> {
        self.children(node).find(|c| c.relationship == relationship)
    }

    /// The nodes above a node, the nearest first.
    pub fn ancestors<'a>(&'a self, node: &Node) -> impl Iterator<Item = &'a Node> + use<'a> {
        std::iter::successors(self.parent(node), |n| self.parent(n))
    }

    /// A node and everything below it.
    pub fn subtree(&self, node: &Node) -> &[Node] {
        self.nodes.get(node.id..node.end).unwrap_or(&[])
    }

    /// Whether nodes were timed.
    pub fn timed(&self) -> bool {
        self.root().is_some_and(|r| r.total_ms.is_some())
    }

    /// What all nodes together took: milliseconds when timed, planner cost units otherwise.
    pub fn total_weight(&self) -> f64 {
        match self.root() {
            Some(root) => root.total_ms.map_or(root.total_cost, |ms| ms + self.outside_ms),
            None => 0.0,
        }
    }

    /// What a node itself took, in the unit of [`Plan::total_weight`].
    pub fn own_weight(&self, node: &Node) -> f64 {
        if self.timed() { node.own.ms.unwrap_or(0.0) } else { node.own.cost }
    }

    /// What a node and everything below it took, in the unit of [`Plan::total_weight`].
    pub fn subtree_weight(&self, node: &Node) -> f64 {
        self.subtree(node).iter().map(|n| self.own_weight(n)).sum()
    }

    /// A weight as a share of the whole, 0 to 1.
    pub fn share(&self, weight: f64) -> f64 {
        let total = self.total_weight();
        if total > 0.0 { (weight / total).clamp(0.0, 1.0) } else { 0.0 }
    }

    /// The plan of the `WITH` query that a `CTE Scan` reads: the nearest one of that name outwards,
    /// beginning with the scan itself, which declares it when it is the root of its query.
    pub fn cte_of(&self, scan: &Node) -> Option<&Node> {
        let name = format!("CTE {}", scan.cte.as_deref()?);
        std::iter::once(scan).chain(self.ancestors(scan)).find_map(|ancestor| {
            self.children(ancestor).find(|c| {
                c.relationship == Relationship::Cte && c.subplan_name.as_deref() == Some(name.as_str())
            })
        })
    }

    /// Whether something above the node may stop asking it for rows, so that fewer rows than planned
    /// say nothing about the estimate: LIMIT, EXISTS, semi and anti joins, merge joins.
    pub fn may_stop_early(&self, node: &Node) -> bool {
        let mut current = node;
        // Every step goes to a node with a smaller number, except from a WITH query to its reader;
        // the bound keeps a malformed plan from going round.
        for _ in 0..=self.nodes.len() {
            match current.relationship {
                Relationship::SubPlan | Relationship::InitPlan => return true,
                Relationship::Cte => {
                    let reader = self
                        .nodes
                        .iter()
                        .find(|n| n.is("CTE Scan") && self.cte_of(n).is_some_and(|c| c.id == current.id));
                    match reader {
                        Some(reader) => {
                            current = reader;
                            continue;
                        }
                        None => return false,
                    }
                }
                _ => {}
            }
            let Some(parent) = self.parent(current) else { return false };
            let inner = current.relationship == Relationship::Inner;
            match parent.node_type.as_str() {
                "Limit" | "Merge Join" => return true,
                "Nested Loop" | "Hash Join" => {
                    let stops = matches!(parent.join_type.as_deref(), Some("Semi" | "Anti" | "Right Semi"));
                    if inner && parent.is("Nested Loop") && (stops || parent.inner_unique) {
                        return true;
                    }
                    // A hash join with an empty table does not read its other side to the end.
                    if !inner
                        && parent.is("Hash Join")
                        && self.child(parent, Relationship::Inner).is_some_and(|i| i.rows() == 0.0)
                    {
                        return true;
                    }
                }
                "Sort" | "Hash" | "ModifyTable" | "Bitmap Heap Scan" | "Bitmap Index Scan" => return false,
                "Aggregate" if parent.strategy.as_deref() != Some("Sorted") => return false,
                "SetOp" if parent.strategy.as_deref() == Some("Hashed") => return false,
                _ => {}
            }
            current = parent;
        }
        false
    }
}
