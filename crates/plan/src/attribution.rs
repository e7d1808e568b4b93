//! What did each node do itself? Inclusive figures are split so that the parts sum to the root.
//!
//! Source: `InstrStopNode()` in instrument.c, `ExplainNode()` in explain.c, `ExecSetParamPlan()` in
//! nodeSubplan.c, `ExecParallelRetrieveInstrumentation()` in execParallel.c. See `README.md` of this
//! crate for the reasoning; in short:
//!
//! - an inline child (input, `SubPlan`) is part of its parent's figures: subtract it;
//! - an InitPlan runs inside the node that needs its value first, a `WITH` query inside the `CTE Scan`s
//!   that read it: subtract it there, once;
//! - times of a node below a Gather are summed over processes that ran side by side: divide;
//! - counters are exact whole numbers, times are rounded averages: where children exceed their parent,
//!   the parent's counters grow and the children's times shrink.

use crate::node::{Node, Plan, Relationship};
use crate::usage::Usage;

/// Fills in `own`, `total_ms` and the plan's `outside` figures.
pub(crate) fn attribute(plan: &mut Plan) {
    keep_lowest_disabled(plan);
    let hosts = hosts(plan);
    attribute_usage(plan, &hosts);
    attribute_time(plan, &hosts);
    attribute_cost(plan);
}

/// For every InitPlan and `WITH` query: the nodes in which it can have run, the likeliest first.
fn hosts(plan: &Plan) -> Vec<(usize, Vec<usize>)> {
    let mut hosts = Vec::new();
    for node in plan.nodes.iter().filter(|n| n.relationship.is_deferred()) {
        let Some(parent) = plan.parent(node) else { continue };
        let inside = |n: &&Node| !(node.id..node.end).contains(&n.id);
        let mut list: Vec<usize> = Vec::new();
        if node.relationship == Relationship::Cte {
            let readers = plan.subtree(parent).iter().filter(|n| n.is("CTE Scan"));
            list.extend(readers.filter(|n| plan.cte_of(n).is_some_and(|c| c.id == node.id)).map(|n| n.id));
        } else {
            let names = parameter_names(node.subplan_name.as_deref().unwrap_or_default());
            for mention in plan.subtree(parent).iter().filter(inside).filter(|n| mentions(n, &names)) {
                // Values are handed to workers when they start, so a Gather on the way evaluates them.
                let gather =
                    plan.ancestors(mention).take_while(|a| a.id >= parent.id).filter(|a| is_gather(a)).last();
                list.push(gather.map_or(mention.id, |g| g.id));
            }
            list.push(parent.id);
            list.extend(plan.subtree(parent).iter().filter(inside).filter(|n| n.executed()).map(|n| n.id));
        }
        hosts.push((node.id, list));
    }
    hosts
}

/// How expressions refer to an InitPlan: `$0` up to 16, `(InitPlan 1).col1` since 17.
fn parameter_names(subplan_name: &str) -> Vec<String> {
    let mut names = Vec::new();
    if let Some((_, list)) = subplan_name.split_once("(returns ") {
        names.extend(list.trim_end_matches(')').split(',').map(|p| p.trim().to_owned()));
    } else if !subplan_name.is_empty() {
        names.push(format!("({subplan_name})"));
    }
    names.retain(|n| n.len() > 1);
    names
}

fn mentions(node: &Node, names: &[String]) -> bool {
    let keys = node.sort_key.iter().chain(&node.group_key).chain(&node.output).map(String::as_str);
    let extra = node.extra.values().filter_map(serde_json::Value::as_str);
    let mut texts = node.conditions().map(|(_, text)| text).chain(keys).chain(extra);
    texts.any(|text| names.iter().any(|name| contains_token(text, name)))
}

/// Whether the text holds the name and no digit follows it: `$1` is not in `$12`.
fn contains_token(text: &str, name: &str) -> bool {
    text.match_indices(name).any(|(at, _)| !text[at + name.len()..].starts_with(|c: char| c.is_ascii_digit()))
}

fn is_gather(node: &Node) -> bool {
    matches!(node.node_type.as_str(), "Gather" | "Gather Merge")
}

fn attribute_usage(plan: &mut Plan, hosts: &[(usize, Vec<usize>)]) {
    let count = plan.nodes.len();
    let mut total: Vec<Usage> = plan.nodes.iter().map(|n| n.usage).collect();
    let mut own = vec![Usage::default(); count];
    // Children have larger numbers than their parent, so going down the numbers goes up the tree.
    for id in (0..count).rev() {
        let inline = plan.children(&plan.nodes[id]).filter(|c| !c.relationship.is_deferred());
        let below = inline.fold(Usage::default(), |sum, c| sum.plus(&total[c.id]));
        total[id] = total[id].zip(&below, u64::max);
        own[id] = total[id].minus(&below);
    }
    let mut outside = Usage::default();
    for (deferred, list) in hosts {
        let mut left = total[*deferred];
        // One node that can hold all of it is better than pieces in several.
        let whole = list.iter().find(|h| left.minus(&own[**h]).is_zero());
        for host in whole.into_iter().chain(list) {
            let taken = left.zip(&own[*host], u64::min);
            own[*host] = own[*host].minus(&taken);
            left = left.minus(&taken);
        }
        outside = outside.plus(&left);
    }
    for (node, own) in plan.nodes.iter_mut().zip(own) {
        node.own.usage = own;
    }
    plan.outside = outside;
}

fn attribute_time(plan: &mut Plan, hosts: &[(usize, Vec<usize>)]) {
    let Some(reported) = plan.nodes.iter().map(|n| wall_ms(plan, n)).collect::<Option<Vec<f64>>>() else {
        return;
    };
    let mut assigned = reported.clone();
    let mut own = vec![0.0; plan.nodes.len()];
    for id in 0..plan.nodes.len() {
        let node = &plan.nodes[id];
        let shrink = ratio(assigned[id], reported[id]);
        let inline: Vec<usize> =
            plan.children(node).filter(|c| !c.relationship.is_deferred()).map(|c| c.id).collect();
        let shares = fit(assigned[id], inline.iter().map(|c| reported[*c] * shrink).collect());
        own[id] = (assigned[id] - shares.iter().sum::<f64>()).max(0.0);
        for (child, share) in inline.into_iter().zip(shares) {
            assigned[child] = share;
        }
    }
    let mut outside = 0.0;
    for (deferred, list) in hosts {
        let mut left = assigned[*deferred];
        let whole = list.iter().find(|h| own[**h] >= left);
        for host in whole.into_iter().chain(list) {
            let taken = left.min(own[*host]);
            own[*host] -= taken;
            left -= taken;
        }
        outside += left;
    }
    for (id, node) in plan.nodes.iter_mut().enumerate() {
        node.own.ms = Some(own[id]);
        node.total_ms = Some(assigned[id]);
    }
    plan.outside_ms = outside;
}

/// Milliseconds of wall-clock time over all loops.
fn wall_ms(plan: &Plan, node: &Node) -> Option<f64> {
    let actual = node.actual?;
    let total = if actual.loops > 0.0 { actual.total_ms? } else { 0.0 } * actual.loops;
    Some(total / processes(plan, node))
}

/// How many processes ran a node side by side: below a Gather, its child's loops per loop of its own.
/// This counts the leader exactly when it took part, which no setting in the plan tells.
fn processes(plan: &Plan, node: &Node) -> f64 {
    let mut below = node;
    for above in plan.ancestors(node) {
        if below.relationship.is_deferred() {
            return 1.0;
        }
        if is_gather(above) {
            return ratio(below.loops(), above.loops()).max(1.0);
        }
        below = above;
    }
    1.0
}

fn attribute_cost(plan: &mut Plan) {
    let count = plan.nodes.len();
    let mut assigned: Vec<f64> = plan.nodes.iter().map(|n| n.total_cost).collect();
    let mut own = vec![0.0; count];
    for id in 0..count {
        let node = &plan.nodes[id];
        // How often, and how much of it, the planner counted this node.
        let executions = ratio(assigned[id], node.total_cost);
        let loops: Vec<f64> = plan.children(node).map(|c| planned_loops(plan, node, c)).collect();
        // What runs once costs what it says. How often the others run is known only about, so they share what is left.
        let wanted = |once: bool| {
            let each = plan.children(node).zip(&loops);
            each.map(|(c, n)| if (*n == 1.0) == once { c.total_cost * executions * n } else { 0.0 }).collect()
        };
        let once = fit(assigned[id], wanted(true));
        let left = (assigned[id] - once.iter().sum::<f64>()).max(0.0);
        let again = fit(left, wanted(false));
        let shares: Vec<f64> = once.iter().zip(again).map(|(a, b)| a + b).collect();
        own[id] = (assigned[id] - shares.iter().sum::<f64>()).max(0.0);
        for (child, share) in plan.nodes[id].children.clone().into_iter().zip(shares) {
            assigned[child] = share;
        }
    }
    for (node, own) in plan.nodes.iter_mut().zip(own) {
        node.own.cost = own;
    }
}

/// How often the planner expects a child to run for each run of its parent.
fn planned_loops(plan: &Plan, parent: &Node, child: &Node) -> f64 {
    // A tuple store is filled once, however often it is read.
    if child.is("Materialize") {
        return 1.0;
    }
    match child.relationship {
        Relationship::Inner if parent.is("Nested Loop") => {
            plan.child(parent, Relationship::Outer).map_or(1.0, |outer| outer.plan_rows.max(1.0))
        }
        Relationship::SubPlan => {
            let hashed = child.subplan_name.as_deref().is_some_and(|name| {
                let name = format!("hashed {name}");
                parent.conditions().any(|(_, text)| contains_token(text, &name))
                    || parent.output.iter().any(|text| contains_token(text, &name))
            });
            if hashed { 1.0 } else { parent.plan_rows.max(1.0) }
        }
        _ => 1.0,
    }
}

/// Shrinks the wanted shares in proportion when they are more than there is.
fn fit(available: f64, mut wanted: Vec<f64>) -> Vec<f64> {
    let sum: f64 = wanted.iter().sum();
    if sum > available {
        let factor = ratio(available, sum);
        wanted.iter_mut().for_each(|w| *w *= factor);
    }
    wanted
}

/// A quotient that is 0 where there is nothing to divide by.
fn ratio(a: f64, b: f64) -> f64 {
    if b > 0.0 { a / b } else { 0.0 }
}

/// Before 18 a switched-off node is seen by its cost, which every node above it has too: the mark
/// stays where no node below costs as much, be it that one is switched off or that there is so much to do.
fn keep_lowest_disabled(plan: &mut Plan) {
    for id in (0..plan.nodes.len()).rev() {
        let node = &plan.nodes[id];
        if node.disabled && node.total_cost >= 1e10 {
            let below = plan.nodes.get(id + 1..node.end).unwrap_or(&[]).iter().any(|n| n.total_cost >= 1e10);
            if below {
                plan.nodes[id].disabled = false;
            }
        }
    }
}
