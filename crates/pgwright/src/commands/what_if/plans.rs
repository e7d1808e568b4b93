//! What is different between two plans of a statement? The nodes that went and those that came, by the
//! plans' shapes: estimates do not count.

use plan::Plan;
use plan::render::{Style, shape, tree};
use serde::Serialize;
use serde_json::Value as Json;
use similar::{Algorithm, ChangeTag, TextDiff};

/// So many nodes of a side are named.
const MOST: usize = 5;

/// The difference between two plans.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PlanChange {
    /// Nodes that the plan after does not have.
    pub gone: Vec<String>,
    /// Nodes that the plan before does not have.
    pub new: Vec<String>,
}

impl PlanChange {
    /// Compares two plans.
    pub fn between(before: &Json, after: &Json) -> Self {
        let (before, after) = (shape_of(before), shape_of(after));
        let mut change = Self::default();
        let diff = TextDiff::configure().algorithm(Algorithm::Patience).diff_lines(&before, &after);
        for line in diff.iter_all_changes() {
            let node = line.value().trim().to_owned();
            match line.tag() {
                ChangeTag::Delete => change.gone.push(node),
                ChangeTag::Insert => change.new.push(node),
                ChangeTag::Equal => {}
            }
        }
        // A node that only stands at another depth has not changed.
        for node in std::mem::take(&mut change.new) {
            match change.gone.iter().position(|gone| *gone == node) {
                Some(same) => drop(change.gone.remove(same)),
                None => change.new.push(node),
            }
        }
        change
    }

    /// `Seq Scan on t → Index Scan using i on t`.
    pub fn in_words(&self) -> Option<String> {
        let side = |nodes: &[String]| {
            // How tables are reached says more than how rows are joined then.
            let (scans, others): (Vec<&str>, Vec<&str>) =
                nodes.iter().map(String::as_str).partition(|node| node.contains(" on "));
            let ordered = [scans, others].concat();
            match ordered.len() {
                0 => "(nothing)".to_owned(),
                1..=MOST => ordered.join(" + "),
                all => format!("{} + {} more", ordered[..MOST - 1].join(" + "), all - (MOST - 1)),
            }
        };
        let same = self.gone.is_empty() && self.new.is_empty();
        (!same).then(|| format!("{} → {}", side(&self.gone), side(&self.new)))
    }
}

/// Whether two plans do the same in the same order.
pub fn alike(before: &Json, after: &Json) -> bool {
    shape_of(before) == shape_of(after)
}

fn shape_of(explain: &Json) -> String {
    Plan::from_json(explain).map(|plan| shape(&plan)).unwrap_or_default()
}

/// A plan as a tree, indented.
pub fn drawn(explain: &Json, width: usize, indent: usize) -> String {
    let style = Style { width: width.clamp(60, 140), color: false };
    let text = Plan::from_json(explain).map(|plan| tree(&plan, &style)).unwrap_or_default();
    let pad = " ".repeat(indent);
    text.lines().map(|line| format!("{}\n", format!("{pad}{line}").trim_end())).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn scan(index: &str) -> Json {
        json!({"Node Type": "Index Scan", "Index Name": index, "Relation Name": "t", "Alias": "t",
            "Startup Cost": 0.0, "Total Cost": 1.0, "Plan Rows": 1, "Plan Width": 4})
    }

    fn explain(plan: Json) -> Json {
        json!({ "Plan": plan })
    }

    fn above(node: &str, child: Json) -> Json {
        let mut child = child;
        child["Parent Relationship"] = "Outer".into();
        json!({"Node Type": node, "Startup Cost": 0.0, "Total Cost": 1.0, "Plan Rows": 1, "Plan Width": 4, "Plans": [child]})
    }

    #[test]
    fn only_nodes_that_went_or_came_are_named() {
        let change = PlanChange::between(&explain(above("Sort", scan("a"))), &explain(scan("b")));
        assert_eq!(
            change.in_words().as_deref(),
            Some("Index Scan using a on t + Sort → Index Scan using b on t")
        );
        let change = PlanChange::between(&explain(above("Limit", scan("a"))), &explain(scan("a")));
        assert_eq!(change.in_words().as_deref(), Some("Limit → (nothing)"));
        assert_eq!(PlanChange::between(&explain(scan("a")), &explain(scan("a"))).in_words(), None);
        assert!(alike(&explain(scan("a")), &explain(scan("a"))));
        assert!(!alike(&explain(scan("a")), &explain(above("Limit", scan("a")))));
    }
}
