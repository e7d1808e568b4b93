//! How far can a plan under `LIMIT` be believed?
//!
//! Under a `LIMIT` the planner takes it that matching rows are spread evenly over an index read in the
//! order of `ORDER BY`, and counts only the part of the scan that it expects to need. When the rows that
//! match a condition stand at the other end (new runs have no accuracy yet), the scan reads everything:
//! the best known way in which an index makes a statement a thousand times slower. So a part of what
//! was left out is added: an index that finds the matching rows at once wins against one that hopes to
//! meet them soon, unless it is much dearer.

use std::collections::BTreeMap;

use model::cost_model::Planned;
use model::{IndexKey, KeyTarget};
use serde_json::Value as Json;

use super::decompose::{children, cost, kind};

/// The share of the skipped cost that is counted.
const DOUBT: f64 = 0.2;

/// The plan's cost with doubt about early stops added. `keys` are the key columns of indexes by name.
pub(super) fn robust_cost(planned: &Planned, keys: &BTreeMap<String, Vec<IndexKey>>) -> f64 {
    planned.total_cost + planned.explain.get("Plan").map_or(0.0, |plan| doubt(plan, keys))
}

fn doubt(node: &Json, keys: &BTreeMap<String, Vec<IndexKey>>) -> f64 {
    let mut sum = 0.0;
    for child in children(node) {
        sum += doubt(child, keys);
    }
    if kind(node) == "Limit"
        && let Some(child) = children(node).first()
        && meets_rows_by_chance(child, keys)
    {
        sum += DOUBT * (cost(child) - cost(node)).max(0.0);
    }
    sum
}

/// Whether the rows that are wanted lie scattered in what the scan below reads.
fn meets_rows_by_chance(node: &Json, keys: &BTreeMap<String, Vec<IndexKey>>) -> bool {
    match kind(node) {
        // These read all of their input before the first row.
        "Sort" | "Incremental Sort" | "Aggregate" | "WindowAgg" | "Hash" => false,
        "Index Scan" | "Index Only Scan" => {
            let condition = node.get("Index Cond").and_then(Json::as_str).unwrap_or("");
            let of_index = node.get("Index Name").and_then(Json::as_str).and_then(|name| keys.get(name));
            node.get("Filter").is_some() || of_index.is_some_and(|keys| skips_a_key(condition, keys))
        }
        "Seq Scan" => node.get("Filter").is_some(),
        _ => children(node).first().is_some_and(|first| meets_rows_by_chance(first, keys)),
    }
}

/// Whether a condition restricts a key column after one that it leaves open: such a condition is
/// checked entry by entry and narrows nothing down.
fn skips_a_key(condition: &str, keys: &[IndexKey]) -> bool {
    let mentioned = |key: &IndexKey| match &key.target {
        KeyTarget::Column(name) => {
            let name = model::quote_identifier(name);
            condition.contains(&format!("({name} ")) || condition.contains(&format!("({name})"))
        }
        KeyTarget::Expression(text) => condition.contains(text.as_str()),
    };
    let open = keys.iter().position(|k| !mentioned(k)).unwrap_or(keys.len());
    keys.iter().skip(open).any(mentioned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_scan_that_hopes_for_rows_is_dearer_than_the_planner_says() {
        let keys = BTreeMap::from([("i".to_owned(), ["e", "accuracy", "at"].map(IndexKey::column).to_vec())]);
        let check = |scan: Json, expected: f64| {
            let mut scan = scan;
            scan["Total Cost"] = json!(1000.0);
            scan["Index Name"] = json!("i");
            let explain = json!({"Plan": {"Node Type": "Limit", "Total Cost": 10.0, "Plans": [scan]}});
            assert_eq!(robust_cost(&Planned { total_cost: 10.0, explain }, &keys), expected);
        };
        check(json!({"Node Type": "Index Scan", "Index Cond": "((e = 'x'::text) AND (at > 'y'))"}), 208.0);
        check(
            json!({"Node Type": "Index Scan", "Index Cond": "((e = 'x'::text) AND (accuracy > '1'))"}),
            10.0,
        );
        check(json!({"Node Type": "Index Scan", "Filter": "(b)"}), 208.0);
        check(json!({"Node Type": "Sort", "Plans": [{"Node Type": "Seq Scan", "Filter": "(b)"}]}), 10.0);
        check(
            json!({"Node Type": "Nested Loop", "Plans": [{"Node Type": "Seq Scan", "Filter": "(b)"}]}),
            208.0,
        );
    }
}
