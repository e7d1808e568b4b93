//! What of a plan's cost is access to each table, and what is the rest?
//!
//! A plan is split into the scans at its leaves and what stands above them, the internal plan. Another
//! index that gives the same rows of the same table in the order that the internal plan asks for can take
//! a leaf's place, and the cost changes by the difference of the two scans. So a few plans tell the
//! cost of many sets of indexes without another call of the planner (INUM; Papadomanolakis, Dash and
//! Ailamaki 2007).
//!
//! A leaf counts as often as it is executed: the inner side of a nested loop once per outer row, less
//! what the planner expects Memoize and early ends to save; a subplan as often as it fits into what its
//! node costs beyond its inputs. A scan whose condition holds a subplan, and partitions by the hundred,
//! are left inside: the plan then stands only for sets that hold the indexes used there.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use super::heap_visits::{Grouped, Heaps, Order, Visits};

/// Beyond this many children an Append is not taken apart.
const MAX_APPENDED: usize = 8;

/// One scan at a leaf, as a place where another access could stand.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Slot {
    /// The table's alias in the plan, unique in it.
    pub alias: String,
    /// Aliases of the tables whose rows the scan is given, sorted.
    pub given: Vec<String>,
    /// Rows expected of one execution.
    pub rows: u64,
    /// How often its cost counts in the total.
    pub times: f64,
    /// Whether what stands above needs its order.
    pub ordered: bool,
    /// What a hash aggregate right above puts its rows into.
    pub grouped: Option<Grouped>,
    /// What stands there now.
    pub access: Access,
}

/// One way to read a table.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Access {
    /// Names of the indexes it uses, sorted; none for a sequential scan.
    pub indexes: Vec<String>,
    /// Cost of one execution.
    pub cost: f64,
    /// What one execution does to the table.
    pub visits: Option<Visits>,
    /// The order in which rows come.
    pub order: Order,
}

/// A plan taken apart.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Parts {
    pub slots: Vec<Slot>,
    /// Names of indexes that stand where nothing can be exchanged.
    pub fixed: BTreeSet<String>,
    /// The cost of everything but the slots.
    pub internal: f64,
    /// What visits of tables cost beyond what the planner says where nothing can be exchanged.
    pub fixed_visits: f64,
}

/// How often a node is executed, and whether scans below it can be exchanged.
#[derive(Clone, Copy)]
struct Times {
    count: f64,
    open: bool,
}

impl Slot {
    /// What the visits of an access in this place cost beyond what the planner says.
    pub fn visits(&self, access: &Access) -> f64 {
        let visits = access.visits.map_or(0.0, |visits| visits.not_charged(self.times));
        visits + self.grouped.as_ref().map_or(0.0, |grouped| grouped.not_charged(&access.order, self.times))
    }
}

impl Parts {
    /// What visits of tables cost beyond what the planner says.
    pub fn visits(&self) -> f64 {
        self.fixed_visits + self.slots.iter().map(|slot| slot.visits(&slot.access)).sum::<f64>()
    }

    /// The same at this cost with nothing that can be exchanged.
    pub fn closed(mut self, cost: f64) -> Self {
        let slots = std::mem::take(&mut self.slots);
        self.fixed_visits += slots.iter().map(|slot| slot.visits(&slot.access)).sum::<f64>();
        self.fixed.extend(slots.into_iter().flat_map(|s| s.access.indexes));
        self.internal = cost;
        self
    }
}

/// Takes a plan apart. `ordered` tells whether the statement asks for an order.
pub(super) fn decompose(explain: &Json, ordered: bool, heaps: &Heaps) -> Parts {
    let mut parts = Parts::default();
    let Some(plan) = explain.get("Plan") else { return parts };
    visit(plan, Times { count: 1.0, open: true }, (ordered, None), heaps, &mut parts);
    let in_slots: f64 = parts.slots.iter().map(|s| s.times * s.access.cost).sum();
    parts.internal = cost(plan) - in_slots;
    if parts.internal < -1e-6 * cost(plan) {
        // Something ends early in a way that is not understood here: nothing can be exchanged.
        parts = parts.closed(cost(plan));
    }
    parts
}

fn visit(
    node: &Json,
    times: Times,
    (ordered, above): (bool, Option<&Json>),
    heaps: &Heaps,
    parts: &mut Parts,
) {
    let kind = kind(node);
    if let Some(alias) = text(node, "Alias").filter(|_| is_scan(kind)) {
        let mut indexes = BTreeSet::new();
        for child in children(node).iter().filter(|c| self::kind(c).starts_with("Bitmap")) {
            index_names(child, &mut indexes);
        }
        indexes.extend(text(node, "Index Name").map(str::to_owned));
        let simple = !children(node).iter().any(|c| relationship(c) == "SubPlan");
        let slot = Slot {
            alias: alias.to_owned(),
            given: given(node, alias),
            rows: number(node, "Plan Rows").unwrap_or(1.0) as u64,
            times: times.count,
            ordered: ordered && matches!(kind, "Index Scan" | "Index Only Scan"),
            grouped: above.and_then(|above| heaps.grouped(above, node)),
            access: Access {
                indexes: indexes.into_iter().collect(),
                cost: cost(node),
                visits: heaps.visits(node),
                order: heaps.order(node),
            },
        };
        if times.open && simple {
            parts.slots.push(slot);
        } else {
            parts.fixed_visits += slot.visits(&slot.access);
            parts.fixed.extend(slot.access.indexes);
        }
        for child in children(node).iter().filter(|c| !self::kind(c).starts_with("Bitmap")) {
            let times = Times { count: times.count * share(node, kind, child), ..times };
            visit(child, times, (false, None), heaps, parts);
        }
        return;
    }
    let many = matches!(kind, "Append" | "Merge Append") && children(node).len() > MAX_APPENDED;
    // A merge join that runs out of rows on one side does not read the other to its end.
    let inputs: f64 = children(node).iter().filter(|c| relationship(c) != "SubPlan").map(cost).sum();
    let ends_early = kind == "Merge Join" && cost(node) < inputs;
    for child in children(node) {
        let open = times.open && !many && !ends_early;
        let times = Times { count: times.count * share(node, kind, child), open };
        visit(child, times, (asks_order(node, kind, child, ordered), Some(node)), heaps, parts);
    }
}

/// How often a child's total cost counts in its parent's.
fn share(node: &Json, kind: &str, child: &Json) -> f64 {
    let of_child = cost(child).max(f64::MIN_POSITIVE);
    match relationship(child) {
        "InitPlan" => return 1.0,
        "SubPlan" => {
            let (mut inputs, mut subplans) = (0.0, 0.0);
            for other in children(node) {
                match relationship(other) {
                    "SubPlan" => subplans += cost(other),
                    "InitPlan" => inputs += cost(other),
                    _ if is_scan(kind) => {}
                    _ => inputs += share(node, kind, other) * cost(other),
                }
            }
            return ((cost(node) - inputs) / f64::max(subplans, f64::MIN_POSITIVE)).max(0.0);
        }
        _ => {}
    }
    match (kind, relationship(child)) {
        ("Limit", _) => (cost(node) / of_child).min(1.0),
        ("Nested Loop", "Inner") => {
            let Some(outer) = children(node).iter().find(|c| relationship(c) == "Outer") else { return 1.0 };
            let rows = outer.get("Plan Rows").and_then(Json::as_f64).unwrap_or(1.0).max(1.0);
            if self::kind(child) == "Materialize" {
                // What is below is run once and kept.
                return 1.0;
            }
            ((cost(node) - cost(outer)) / of_child).clamp(0.0, rows)
        }
        _ => 1.0,
    }
}

/// Whether a child has to deliver its rows in order.
fn asks_order(node: &Json, kind: &str, child: &Json, ordered: bool) -> bool {
    match kind {
        "Sort" | "Hash" | "Hash Join" | "Gather" | "ModifyTable" => false,
        "Incremental Sort" | "Merge Join" | "Unique" | "Group" | "WindowAgg" | "Merge Append"
        | "Gather Merge" => true,
        "SetOp" => text(node, "Strategy") == Some("Sorted"),
        "Aggregate" => matches!(text(node, "Strategy"), Some("Sorted" | "Mixed")),
        "Nested Loop" => ordered && relationship(child) != "Inner",
        // The first row that max() or min() takes, which no text calls an order.
        "Limit" if relationship(node) == "InitPlan" => true,
        _ => ordered,
    }
}

/// The aliases of other tables that a scan's conditions speak of.
fn given(node: &Json, own: &str) -> Vec<String> {
    let mut found = BTreeSet::new();
    conditions(node, own, &mut found);
    found.into_iter().collect()
}

fn conditions(node: &Json, own: &str, found: &mut BTreeSet<String>) {
    for name in ["Index Cond", "Recheck Cond", "Filter", "Order By", "TID Cond"] {
        if let Some(condition) = text(node, name) {
            qualifiers(condition, own, found);
        }
    }
    for child in children(node).iter().filter(|c| kind(c).starts_with("Bitmap")) {
        conditions(child, own, found);
    }
}

/// Names that stand before a dot outside of string literals: `p.p_partkey` is of `p`.
fn qualifiers(condition: &str, own: &str, found: &mut BTreeSet<String>) {
    let (mut word, mut quoted, mut literal) = (String::new(), false, false);
    for c in condition.chars() {
        match c {
            '\'' if !quoted => {
                literal = !literal;
                word.clear();
            }
            _ if literal => {}
            '"' => quoted = !quoted,
            '.' if !quoted => {
                let starts = word.chars().next().is_some_and(|c| c.is_alphabetic() || c == '_');
                if starts && word != own {
                    found.insert(std::mem::take(&mut word));
                }
                word.clear();
            }
            c if quoted || c.is_alphanumeric() || c == '_' || c == '$' => word.push(c),
            _ => word.clear(),
        }
    }
}

fn is_scan(kind: &str) -> bool {
    matches!(
        kind,
        "Seq Scan"
            | "Sample Scan"
            | "Index Scan"
            | "Index Only Scan"
            | "Bitmap Heap Scan"
            | "Tid Scan"
            | "Tid Range Scan"
    )
}

/// The names of all indexes in a plan.
pub(super) fn index_names(value: &Json, names: &mut BTreeSet<String>) {
    match value {
        Json::Object(map) => {
            if let Some(name) = map.get("Index Name").and_then(Json::as_str) {
                names.insert(name.to_owned());
            }
            map.values().for_each(|v| index_names(v, names));
        }
        Json::Array(items) => items.iter().for_each(|v| index_names(v, names)),
        _ => {}
    }
}

fn relationship(node: &Json) -> &str {
    text(node, "Parent Relationship").unwrap_or("")
}

pub(super) fn kind(node: &Json) -> &str {
    text(node, "Node Type").unwrap_or("")
}

pub(super) fn text<'j>(node: &'j Json, name: &str) -> Option<&'j str> {
    node.get(name).and_then(Json::as_str)
}

pub(super) fn cost(node: &Json) -> f64 {
    number(node, "Total Cost").unwrap_or(0.0)
}

pub(super) fn number(node: &Json, name: &str) -> Option<f64> {
    node.get(name).and_then(Json::as_f64)
}

pub(super) fn children(node: &Json) -> &[Json] {
    node.get("Plans").and_then(Json::as_array).map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn taken_apart(explain: &Json, ordered: bool) -> Parts {
        decompose(explain, ordered, &Heaps::of(&crate::fixture::snapshot()))
    }

    #[test]
    fn a_nested_loop_counts_its_inner_side_per_outer_row() {
        let plan = json!({"Plan": {"Node Type": "Sort", "Total Cost": 1010.0, "Plans": [
            {"Node Type": "Nested Loop", "Total Cost": 1000.0, "Parent Relationship": "Outer", "Plans": [
                {"Node Type": "Seq Scan", "Alias": "p", "Total Cost": 100.0, "Plan Rows": 90, "Parent Relationship": "Outer"},
                {"Node Type": "Index Scan", "Alias": "l_1", "Index Name": "i", "Total Cost": 9.0, "Plan Rows": 30,
                 "Index Cond": "(l_partkey = p.p_partkey)", "Filter": "(note = 'a.b'::text)", "Parent Relationship": "Inner"}
            ]}
        ]}});
        let parts = taken_apart(&plan, true);
        assert_eq!(parts.slots.len(), 2);
        assert_eq!((parts.slots[0].times, parts.slots[0].ordered), (1.0, false));
        assert_eq!((parts.slots[1].times, parts.slots[1].ordered), (90.0, false));
        assert_eq!(parts.slots[1].given, ["p"]);
        assert_eq!(parts.slots[1].access.indexes, ["i"]);
        assert_eq!(parts.internal, 1010.0 - 100.0 - 90.0 * 9.0);
    }

    #[test]
    fn what_an_order_rests_on_is_known() {
        let scan = json!({"Node Type": "Index Scan", "Alias": "t", "Index Name": "i", "Total Cost": 50.0, "Plan Rows": 1000});
        let limit = json!({"Plan": {"Node Type": "Limit", "Total Cost": 5.0, "Plans": [scan.clone()]}});
        let parts = taken_apart(&limit, true);
        assert!(parts.slots[0].ordered);
        assert!((parts.slots[0].times - 0.1).abs() < 1e-9);
        assert!(!taken_apart(&limit, false).slots[0].ordered);
        let first = json!({"Node Type": "Limit", "Total Cost": 5.0, "Parent Relationship": "InitPlan", "Plans": [scan.clone()]});
        let largest = json!({"Plan": {"Node Type": "Result", "Total Cost": 5.1, "Plans": [first]}});
        assert!(taken_apart(&largest, false).slots[0].ordered);
        let merge = json!({"Plan": {"Node Type": "Merge Join", "Total Cost": 70.0, "Plans": [scan]}});
        assert!(taken_apart(&merge, false).slots[0].ordered);
    }

    #[test]
    fn a_subplan_is_run_as_often_as_its_node_pays_for() {
        let plan = json!({"Plan": {"Node Type": "Seq Scan", "Alias": "o", "Total Cost": 500.0, "Plans": [
            {"Node Type": "Index Scan", "Alias": "t", "Index Name": "i", "Total Cost": 5.0, "Parent Relationship": "SubPlan"}
        ]}});
        let parts = taken_apart(&plan, false);
        assert_eq!(parts.slots.len(), 1, "the scan that runs the subplan stays inside");
        assert_eq!((parts.slots[0].alias.as_str(), parts.slots[0].times), ("t", 100.0));
        assert_eq!(parts.internal, 0.0);
    }

    #[test]
    fn many_partitions_stay_inside() {
        let scans: Vec<Json> = (0..9)
            .map(|n| json!({"Node Type": "Index Scan", "Alias": format!("t_{n}"), "Index Name": "i", "Total Cost": 5.0}))
            .collect();
        let parts =
            taken_apart(&json!({"Plan": {"Node Type": "Append", "Total Cost": 50.0, "Plans": scans}}), false);
        assert!(parts.slots.is_empty());
        assert_eq!(parts.fixed, BTreeSet::from(["i".to_owned()]));
        assert_eq!(parts.internal, 50.0);
    }
}
