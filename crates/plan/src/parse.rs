//! How does the output of `EXPLAIN (FORMAT JSON)` become a [`Plan`]?
//!
//! Source: explain.c of 13 to 18. Nothing is taken on trust: a key with a value of the wrong type is
//! left in `extra`, numbers are held between 0 and 1e15, and there is no recursion, so a hostile plan
//! neither panics nor overflows the stack.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::attribution;
use crate::error::PlanError;
use crate::node::{
    Actual, HashAggUsage, HashUsage, Jit, MemoizeUsage, Node, Plan, Relationship, SortUsage, Trigger, Worker,
};
use crate::usage::Usage;

/// More nodes than a plan over thousands of partitions has.
pub(crate) const MAX_NODES: usize = 200_000;

/// More levels than a plan has: every join of a left-deep tree is one or two.
pub(crate) const MAX_DEPTH: usize = 2_000;

/// Before 18, a node type that was switched off had this added to its cost (`disable_cost`).
const DISABLE_COST: f64 = 1e10;

impl Plan {
    /// Reads what `EXPLAIN (FORMAT JSON)` printed, with or without `ANALYZE`, `BUFFERS`, `VERBOSE`,
    /// `WAL` and `SETTINGS`: the array of one object, the object in it, or the bare root node. Of a
    /// statement that rules rewrote into several, the first that has a plan is read.
    ///
    /// # Errors
    /// Fails when the value is anything else.
    pub fn from_json(value: &Value) -> Result<Self, PlanError> {
        let object = match value {
            Value::Array(items) => items
                .iter()
                .find(|i| i.get("Plan").is_some())
                .or(items.first())
                .ok_or_else(|| PlanError::NotExplain { found: "an empty array".into() })?,
            other => other,
        };
        let Value::Object(object) = object else {
            // `EXPLAIN` of a utility statement prints the array ["Utility Statement"].
            return match object.as_str() {
                Some("Utility Statement") => Err(PlanError::Utility),
                _ => Err(PlanError::NotExplain { found: kind_of(object).into() }),
            };
        };
        let (root, mut top) = match object.get("Plan") {
            Some(Value::Object(root)) => (root, shallow(object, "Plan")),
            Some(other) => {
                return Err(PlanError::NotExplain { found: format!("{} under \"Plan\"", kind_of(other)) });
            }
            None if object.contains_key("Node Type") => (object, Map::new()),
            None => return Err(PlanError::NotExplain { found: "an object without \"Plan\"".into() }),
        };
        let mut plan = Self { nodes: read_nodes(root)?, ..Self::default() };
        plan.read_top_level(&mut top);
        plan.extra = top.into_iter().collect();
        plan.analyzed = plan.nodes.iter().any(|n| n.actual.is_some());
        plan.has_buffers = plan.nodes.iter().any(|n| n.usage.pages() > 0 || n.usage.temp_pages() > 0);
        attribution::attribute(&mut plan);
        Ok(plan)
    }

    fn read_top_level(&mut self, top: &mut Map<String, Value>) {
        self.planning_ms = take_number(top, "Planning Time");
        self.execution_ms = take_number(top, "Execution Time");
        if let Some(Value::Object(mut planning)) = top.remove("Planning") {
            self.planning = Usage::take(&mut planning);
        }
        self.query_identifier = top.get("Query Identifier").and_then(Value::as_i64);
        if self.query_identifier.is_some() {
            top.remove("Query Identifier");
        }
        self.query_text = take_text(top, "Query Text");
        if let Some(Value::Object(settings)) = top.remove("Settings") {
            self.settings = settings
                .into_iter()
                .map(|(name, value)| (name, value.as_str().map_or_else(|| value.to_string(), str::to_owned)))
                .collect();
        }
        if let Some(Value::Array(triggers)) = top.remove("Triggers") {
            self.triggers = triggers.into_iter().filter_map(read_trigger).collect();
        }
        if let Some(Value::Object(mut jit)) = top.remove("JIT") {
            let total = jit.get("Timing").and_then(|t| t.get("Total")).and_then(Value::as_f64);
            self.jit = Some(Jit {
                functions: take_count(&mut jit, "Functions").unwrap_or(0),
                total_ms: total.map(hold),
            });
        }
    }
}

impl std::str::FromStr for Plan {
    type Err = PlanError;

    /// Reads the first plan of a text in any form that [`crate::input`] finds.
    fn from_str(text: &str) -> Result<Self, PlanError> {
        match crate::input::find_in(text)?.plans.first() {
            Some(found) => found.plan(),
            None => Err(PlanError::NotExplain { found: "a text without a plan".into() }),
        }
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// A copy of an object without one key: a tree of any depth is never copied as a whole.
fn shallow(object: &Map<String, Value>, without: &str) -> Map<String, Value> {
    object
        .iter()
        .filter(|(key, _)| *key != without)
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

fn read_nodes(root: &Map<String, Value>) -> Result<Vec<Node>, PlanError> {
    let mut nodes: Vec<Node> = Vec::new();
    let mut todo = vec![(root, None::<usize>)];
    while let Some((object, parent)) = todo.pop() {
        if nodes.len() >= MAX_NODES {
            return Err(PlanError::TooLarge { what: "nodes", limit: MAX_NODES });
        }
        let id = nodes.len();
        let mut node = read_node(shallow(object, "Plans"));
        node.id = id;
        node.parent = parent;
        match parent.and_then(|p| nodes.get_mut(p)) {
            Some(above) => {
                above.children.push(id);
                node.depth = above.depth + 1;
                if node.depth > MAX_DEPTH {
                    return Err(PlanError::TooLarge { what: "levels", limit: MAX_DEPTH });
                }
            }
            None => node.relationship = Relationship::Root,
        }
        nodes.push(node);
        let children = object.get("Plans").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        // The stack gives back the last child first.
        todo.extend(children.iter().rev().filter_map(Value::as_object).map(|child| (child, Some(id))));
    }
    for id in (0..nodes.len()).rev() {
        let end = nodes[id].children.last().map_or(id + 1, |last| nodes[*last].end);
        nodes[id].end = end;
    }
    Ok(nodes)
}

fn read_node(mut o: Map<String, Value>) -> Node {
    let o = &mut o;
    let subplan_name = take_text(o, "Subplan Name");
    let relationship = match take_text(o, "Parent Relationship").as_deref() {
        Some("Inner") => Relationship::Inner,
        Some("Member") => Relationship::Member,
        Some("Subquery") => Relationship::Subquery,
        Some("SubPlan") => Relationship::SubPlan,
        Some("InitPlan") if subplan_name.as_deref().is_some_and(|n| n.starts_with("CTE ")) => {
            Relationship::Cte
        }
        Some("InitPlan") => Relationship::InitPlan,
        _ => Relationship::Outer,
    };
    let workers = match o.remove("Workers") {
        Some(Value::Array(workers)) => workers,
        _ => Vec::new(),
    };
    let total_cost = take_number(o, "Total Cost").unwrap_or(0.0);
    let mut node = Node {
        node_type: take_text(o, "Node Type").unwrap_or_else(|| "Unknown".into()),
        relationship,
        subplan_name,
        strategy: take_text(o, "Strategy"),
        partial_mode: take_text(o, "Partial Mode"),
        operation: take_text(o, "Operation"),
        command: take_text(o, "Command"),
        join_type: take_text(o, "Join Type"),
        scan_direction: take_text(o, "Scan Direction"),
        parallel_aware: take_flag(o, "Parallel Aware"),
        inner_unique: take_flag(o, "Inner Unique"),
        schema: take_text(o, "Schema"),
        relation: take_text(o, "Relation Name"),
        alias: take_text(o, "Alias"),
        index: take_text(o, "Index Name"),
        cte: take_text(o, "CTE Name"),
        function: take_text(o, "Function Name"),
        startup_cost: take_number(o, "Startup Cost").unwrap_or(0.0),
        total_cost,
        plan_rows: take_number(o, "Plan Rows").unwrap_or(0.0),
        plan_width: take_number(o, "Plan Width").unwrap_or(0.0),
        disabled: take_flag(o, "Disabled"),
        actual: read_actual(o),
        index_cond: take_text(o, "Index Cond"),
        recheck_cond: take_text(o, "Recheck Cond"),
        filter: take_text(o, "Filter"),
        join_filter: take_text(o, "Join Filter"),
        hash_cond: take_text(o, "Hash Cond"),
        merge_cond: take_text(o, "Merge Cond"),
        one_time_filter: take_text(o, "One-Time Filter"),
        order_by: take_text(o, "Order By"),
        cache_key: take_text(o, "Cache Key"),
        sort_key: take_texts(o, "Sort Key"),
        presorted_key: take_texts(o, "Presorted Key"),
        group_key: take_texts(o, "Group Key"),
        output: take_texts(o, "Output"),
        removed_by_filter: take_number(o, "Rows Removed by Filter").unwrap_or(0.0),
        removed_by_join_filter: take_number(o, "Rows Removed by Join Filter").unwrap_or(0.0),
        removed_by_index_recheck: take_number(o, "Rows Removed by Index Recheck").unwrap_or(0.0),
        heap_fetches: take_number(o, "Heap Fetches"),
        index_searches: take_number(o, "Index Searches"),
        exact_heap_blocks: take_count(o, "Exact Heap Blocks").unwrap_or(0),
        lossy_heap_blocks: take_count(o, "Lossy Heap Blocks").unwrap_or(0),
        sort: read_sort(o),
        hash: read_hash(o),
        memoize: read_memoize(o),
        hash_agg: read_hash_agg(o),
        workers_planned: take_count(o, "Workers Planned"),
        workers_launched: take_count(o, "Workers Launched"),
        subplans_removed: take_count(o, "Subplans Removed"),
        usage: Usage::take(o),
        ..Node::default()
    };
    // With `VERBOSE` a worker's sort, cache and bitmap stand beside the leader's: one total of each.
    for worker in workers {
        let Value::Object(mut w) = worker else { continue };
        if let Some(theirs) = read_sort(&mut w) {
            let ours = node.sort.get_or_insert_with(SortUsage::default);
            ours.memory_kb = ours.memory_kb.max(theirs.memory_kb);
            ours.disk_kb = ours.disk_kb.saturating_add(theirs.disk_kb);
            if ours.method.is_empty() || theirs.disk_kb > 0 {
                ours.method = theirs.method;
            }
        }
        if let Some(theirs) = read_memoize(&mut w) {
            let ours = node.memoize.get_or_insert_with(MemoizeUsage::default);
            ours.hits = ours.hits.saturating_add(theirs.hits);
            ours.misses = ours.misses.saturating_add(theirs.misses);
            ours.evictions = ours.evictions.saturating_add(theirs.evictions);
            ours.overflows = ours.overflows.saturating_add(theirs.overflows);
            ours.peak_memory_kb = ours.peak_memory_kb.max(theirs.peak_memory_kb);
        }
        if let Some(theirs) = read_hash_agg(&mut w) {
            let ours = node.hash_agg.get_or_insert_with(HashAggUsage::default);
            ours.batches = ours.batches.max(theirs.batches);
            ours.peak_memory_kb = ours.peak_memory_kb.max(theirs.peak_memory_kb);
            ours.disk_kb = ours.disk_kb.saturating_add(theirs.disk_kb);
        }
        let exact = take_count(&mut w, "Exact Heap Blocks").unwrap_or(0);
        let lossy = take_count(&mut w, "Lossy Heap Blocks").unwrap_or(0);
        node.exact_heap_blocks = node.exact_heap_blocks.saturating_add(exact);
        node.lossy_heap_blocks = node.lossy_heap_blocks.saturating_add(lossy);
        if let Some(actual) = read_actual(&mut w) {
            node.workers.push(Worker {
                number: take_count(&mut w, "Worker Number").unwrap_or(0),
                total_ms: actual.total_ms,
                rows: actual.rows,
                loops: actual.loops,
            });
        }
    }
    // It is charged before the first row, and adds up along the tree: whether this node started it is decided with its
    // children.
    node.disabled |= node.startup_cost >= DISABLE_COST && is_switchable(&node);
    node.extra = std::mem::take(o).into_iter().collect::<BTreeMap<_, _>>();
    node
}

/// Before 18 every node above a switched-off one has its cost too; only scans, sorts and joins can be
/// switched off at all, and [`attribution`] keeps the lowest.
fn is_switchable(node: &Node) -> bool {
    node.is_join() || node.node_type.ends_with("Scan") || node.is("Sort")
}

fn read_actual(o: &mut Map<String, Value>) -> Option<Actual> {
    let exact = o.get("Actual Rows").is_some_and(|v| v.is_f64());
    Some(Actual {
        loops: take_number(o, "Actual Loops")?,
        rows: take_number(o, "Actual Rows").unwrap_or(0.0),
        startup_ms: take_number(o, "Actual Startup Time"),
        total_ms: take_number(o, "Actual Total Time"),
        exact,
    })
}

fn read_sort(o: &mut Map<String, Value>) -> Option<SortUsage> {
    if let Some(method) = take_text(o, "Sort Method") {
        let kb = take_count(o, "Sort Space Used").unwrap_or(0);
        let on_disk = take_text(o, "Sort Space Type").as_deref() == Some("Disk");
        let (memory_kb, disk_kb) = if on_disk { (0, kb) } else { (kb, 0) };
        return Some(SortUsage { method, memory_kb, disk_kb });
    }
    // Incremental Sort: two kinds of groups, each with its methods and the peaks.
    let mut found = false;
    let mut sort = SortUsage::default();
    for key in ["Full-sort Groups", "Pre-sorted Groups"] {
        let Some(Value::Object(groups)) = o.get(key) else { continue };
        found = true;
        let peak = |space: &str| {
            let kb = groups.get(space).and_then(|s| s.get("Peak Sort Space Used")).and_then(Value::as_f64);
            kb.map_or(0, |kb| hold(kb) as u64)
        };
        sort.memory_kb = sort.memory_kb.max(peak("Sort Space Memory"));
        sort.disk_kb = sort.disk_kb.max(peak("Sort Space Disk"));
        if let Some(Value::Array(methods)) = groups.get("Sort Methods Used") {
            for method in methods.iter().filter_map(Value::as_str) {
                if !sort.method.split(", ").any(|m| m == method) {
                    if !sort.method.is_empty() {
                        sort.method.push_str(", ");
                    }
                    sort.method.push_str(method);
                }
            }
        }
    }
    found.then_some(sort)
}

fn read_hash(o: &mut Map<String, Value>) -> Option<HashUsage> {
    let batches = take_count(o, "Hash Batches")?;
    let buckets = take_count(o, "Hash Buckets").unwrap_or(0);
    Some(HashUsage {
        batches,
        original_batches: take_count(o, "Original Hash Batches").unwrap_or(batches),
        buckets,
        original_buckets: take_count(o, "Original Hash Buckets").unwrap_or(buckets),
        peak_memory_kb: take_count(o, "Peak Memory Usage").unwrap_or(0),
    })
}

fn read_memoize(o: &mut Map<String, Value>) -> Option<MemoizeUsage> {
    Some(MemoizeUsage {
        misses: take_count(o, "Cache Misses")?,
        hits: take_count(o, "Cache Hits").unwrap_or(0),
        evictions: take_count(o, "Cache Evictions").unwrap_or(0),
        overflows: take_count(o, "Cache Overflows").unwrap_or(0),
        peak_memory_kb: take_count(o, "Peak Memory Usage").unwrap_or(0),
    })
}

fn read_hash_agg(o: &mut Map<String, Value>) -> Option<HashAggUsage> {
    Some(HashAggUsage {
        batches: take_count(o, "HashAgg Batches")?,
        planned_partitions: take_count(o, "Planned Partitions").unwrap_or(0),
        peak_memory_kb: take_count(o, "Peak Memory Usage").unwrap_or(0),
        disk_kb: take_count(o, "Disk Usage").unwrap_or(0),
    })
}

fn read_trigger(value: Value) -> Option<Trigger> {
    let Value::Object(mut o) = value else { return None };
    let constraint = take_text(&mut o, "Constraint Name");
    Some(Trigger {
        name: take_text(&mut o, "Trigger Name").or_else(|| constraint.clone())?,
        constraint,
        relation: take_text(&mut o, "Relation"),
        time_ms: take_number(&mut o, "Time"),
        calls: take_number(&mut o, "Calls").unwrap_or(0.0),
    })
}

/// Holds a number between 0 and 1e15, so that products of three stay finite.
fn hold(number: f64) -> f64 {
    number.clamp(0.0, 1e15)
}

fn take_number(o: &mut Map<String, Value>, key: &str) -> Option<f64> {
    let number = o.get(key)?.as_f64()?;
    o.remove(key);
    Some(hold(number))
}

fn take_count(o: &mut Map<String, Value>, key: &str) -> Option<u64> {
    take_number(o, key).map(|n| n as u64)
}

fn take_text(o: &mut Map<String, Value>, key: &str) -> Option<String> {
    match o.get_mut(key)? {
        Value::String(text) => {
            let text = std::mem::take(text);
            o.remove(key);
            Some(text)
        }
        _ => None,
    }
}

fn take_texts(o: &mut Map<String, Value>, key: &str) -> Vec<String> {
    let all_text = matches!(o.get(key), Some(Value::Array(items)) if items.iter().all(Value::is_string));
    match o.remove(key) {
        Some(Value::Array(items)) if all_text => {
            items.into_iter().filter_map(|i| i.as_str().map(str::to_owned)).collect()
        }
        Some(other) => {
            o.insert(key.into(), other);
            Vec::new()
        }
        None => Vec::new(),
    }
}

fn take_flag(o: &mut Map<String, Value>, key: &str) -> bool {
    match o.get(key).and_then(Value::as_bool) {
        Some(flag) => {
            o.remove(key);
            flag
        }
        None => false,
    }
}
