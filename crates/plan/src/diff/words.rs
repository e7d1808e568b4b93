//! How is a difference said?

use std::collections::BTreeSet;

use super::matching::{Class, Pair, Side, partitions_of};
use super::{ChangeKind, PlanChange};
use crate::node::{Node, Plan, Relationship};
use crate::render::{count, kilobytes, milliseconds};

/// A number has changed when it is so many times the other …
const FACTOR: f64 = 2.0;
/// … and by so many rows,
const ROWS: f64 = 10.0;
/// pages,
const PAGES: f64 = 20.0;
/// or milliseconds.
const MS: f64 = 1.0;

fn changed(before: f64, after: f64, least: f64) -> bool {
    let (small, large) = if before < after { (before, after) } else { (after, before) };
    large - small >= least && large >= FACTOR * small
}

/// Whether other sets of relations are joined, or the same with the sides changed.
pub(super) fn join_order(old: &Side<'_>, new: &Side<'_>, changes: &mut Vec<PlanChange>) {
    if old.joined_sets() == new.joined_sets() {
        return;
    }
    let (before, after) = (old.join_orders(), new.join_orders());
    for (role, first) in &before {
        let Some(second) = after.get(role).filter(|s| *s != first) else { continue };
        let within = if role.is_empty() { String::new() } else { format!(" in {}", role.trim_end()) };
        changes.push(PlanChange::new(
            ChangeKind::JoinOrder,
            format!("joins in another order{within}: {first} → {second}"),
            (None, None),
        ));
    }
}

pub(super) fn of_pair(old: &Side<'_>, new: &Side<'_>, pair: &Pair, changes: &mut Vec<PlanChange>) {
    let (a, b) = (&old.plan.nodes[pair.before], &new.plan.nodes[pair.after]);
    let what = old.describe(pair.before);
    let at = (Some(a.id), Some(b.id));
    let mut say = |kind, text: String| changes.push(PlanChange::new(kind, text, at));
    match pair.class {
        Class::Leaf => {
            let (first, second) = (access(old.plan, a), access(new.plan, b));
            if first != second {
                let mut change =
                    PlanChange::new(ChangeKind::AccessPath, format!("{what}: {first} → {second}"), at);
                let now = indexes(new.plan, b);
                change.indexes_lost = indexes(old.plan, a).into_iter().filter(|i| !now.contains(i)).collect();
                changes.push(change);
            } else if conditions(old.plan, a) != conditions(new.plan, b) {
                let text =
                    format!("{what}: condition {} → {}", conditions(old.plan, a), conditions(new.plan, b));
                say(ChangeKind::Condition, text);
            }
            let (first, second) = (partitions(old.plan, a), partitions(new.plan, b));
            // Where pruning leaves one partition, it stands without an Append.
            if first.is_some() || second.is_some() {
                let (first, second) = (first.unwrap_or(1), second.unwrap_or(1));
                if first != second {
                    changes.push(PlanChange::new(
                        ChangeKind::Partitions,
                        format!("{what}: partitions read {first} → {second}"),
                        at,
                    ));
                }
            }
        }
        Class::Join => {
            if a.label() != b.label() {
                say(ChangeKind::JoinMethod, format!("{what}: {} → {}", a.label(), b.label()));
            }
        }
        Class::Gather => {
            let workers = |n: &Node| n.workers_launched.or(n.workers_planned).unwrap_or(0);
            if workers(a) != workers(b) {
                say(ChangeKind::Parallelism, format!("{what}: workers {} → {}", workers(a), workers(b)));
            }
        }
        _ => {
            if a.label() != b.label() {
                say(ChangeKind::Method, format!("{what}: {} → {}", a.label(), b.label()));
            }
        }
    }
    spills(a, b, &what, at, changes);
    numbers(old.plan, new.plan, pair, (a, b), &what, changes);
}

fn spills(a: &Node, b: &Node, what: &str, at: (Option<usize>, Option<usize>), changes: &mut Vec<PlanChange>) {
    let disk =
        |n: &Node| n.sort.as_ref().map_or(0, |s| s.disk_kb) + n.hash_agg.as_ref().map_or(0, |h| h.disk_kb);
    let mut say = |text| changes.push(PlanChange::new(ChangeKind::Spill, text, at));
    match (disk(a), disk(b)) {
        (0, 0) => {}
        (0, kb) => say(format!("{what}: spills {} to disk, before it fit into memory", kilobytes(kb))),
        (kb, 0) => say(format!("{what}: fits into memory, before it spilled {} to disk", kilobytes(kb))),
        (x, y) if changed(x as f64, y as f64, 1024.0) => {
            say(format!("{what}: spills {} → {} to disk", kilobytes(x), kilobytes(y)));
        }
        _ => {}
    }
}

/// Rows, estimates, pages and time of a pair. Sums below are left to the nodes that they belong to.
fn numbers(
    before: &Plan,
    after: &Plan,
    pair: &Pair,
    (a, b): (&Node, &Node),
    what: &str,
    changes: &mut Vec<PlanChange>,
) {
    let at = (Some(a.id), Some(b.id));
    let mut say = |kind, text: String| changes.push(PlanChange::new(kind, text, at));
    let measured = a.executed() && b.executed();
    let tells_rows = matches!(pair.class, Class::Leaf | Class::Join | Class::Aggregate);
    if measured && tells_rows {
        // Rows per execution: how often it runs is the business of the join above.
        let (x, y) = (a.rows(), b.rows());
        if changed(x, y, ROWS) {
            say(ChangeKind::Rows, format!("{what}: rows {} → {}", count(x), count(y)));
        }
        let (x, y) = (a.rows_removed(), b.rows_removed());
        if changed(x, y, 100.0) {
            say(ChangeKind::Rows, format!("{what}: rows removed by the filter {} → {}", count(x), count(y)));
        }
    }
    if tells_rows && changed(a.plan_rows, b.plan_rows, ROWS) {
        say(
            ChangeKind::Estimate,
            format!("{what}: estimated rows {} → {}", count(a.plan_rows), count(b.plan_rows)),
        );
    }
    if let (Some(x), Some(y)) = (a.heap_fetches, b.heap_fetches)
        && changed(x, y, 100.0)
    {
        say(ChangeKind::HeapFetches, format!("{what}: heap fetches {} → {}", count(x), count(y)));
    }
    if before.has_buffers && after.has_buffers {
        let pages = |plan: &Plan, n: &Node| match pair.class {
            // Partitions and the parts of a bitmap scan belong to the relation.
            Class::Leaf => leaf_nodes(plan, n).map(|m| m.own.usage.pages()).sum::<u64>() as f64,
            _ => n.own.usage.pages() as f64,
        };
        let (x, y) = (pages(before, a), pages(after, b));
        if changed(x, y, PAGES) {
            say(ChangeKind::Buffers, format!("{what}: buffers {} → {}", count(x), count(y)));
        }
    }
    if let (Some(x), Some(y)) = (a.own.ms, b.own.ms) {
        let (x, y) = match pair.class {
            Class::Leaf => {
                let sum = |plan: &Plan, n| leaf_nodes(plan, n).filter_map(|m| m.own.ms).sum::<f64>();
                (sum(before, a), sum(after, b))
            }
            _ => (x, y),
        };
        if changed(x, y, MS) {
            say(ChangeKind::Time, format!("{what}: self time {} → {}", milliseconds(x), milliseconds(y)));
        }
    }
}

/// The node and its inline descendants.
fn leaf_nodes<'p>(plan: &'p Plan, leaf: &'p Node) -> impl Iterator<Item = &'p Node> {
    plan.subtree(leaf).iter().filter(move |n| {
        n.id == leaf.id
            || matches!(n.relationship, Relationship::Outer | Relationship::Inner | Relationship::Member)
    })
}

/// Nodes that only one plan has.
pub(super) fn unmatched(old: &Side<'_>, new: &Side<'_>, pairs: &[Pair], changes: &mut Vec<PlanChange>) {
    let telling = |class: Option<Class>| !matches!(class, None | Some(Class::Join | Class::Subquery));
    let paired_before: BTreeSet<usize> = pairs.iter().map(|p| p.before).collect();
    let paired_after: BTreeSet<usize> = pairs.iter().map(|p| p.after).collect();
    for node in &old.plan.nodes {
        if telling(old.class(node.id)) && !paired_before.contains(&node.id) {
            let kind = if old.class(node.id) == Some(Class::Gather) {
                ChangeKind::Parallelism
            } else {
                ChangeKind::NodeRemoved
            };
            changes.push(PlanChange::new(
                kind,
                format!("gone: {}", described(old, node)),
                (Some(node.id), None),
            ));
        }
    }
    for node in &new.plan.nodes {
        if telling(new.class(node.id)) && !paired_after.contains(&node.id) {
            let kind = if new.class(node.id) == Some(Class::Gather) {
                ChangeKind::Parallelism
            } else {
                ChangeKind::NodeAdded
            };
            changes.push(PlanChange::new(
                kind,
                format!("new: {}", described(new, node)),
                (None, Some(node.id)),
            ));
        }
    }
}

fn described(side: &Side<'_>, node: &Node) -> String {
    let what = side.describe(node.id);
    match side.class(node.id) {
        Some(Class::Leaf) => format!("{} of {what}", access(side.plan, node)),
        Some(Class::Sort) => format!("{what} by {}", node.sort_key.join(", ")),
        _ => what,
    }
}

pub(super) fn settings(before: &Plan, after: &Plan, changes: &mut Vec<PlanChange>) {
    // A plan that was made without SETTINGS has none, which does not mean that all are at their default.
    if before.settings.is_empty() && after.settings.is_empty() {
        return;
    }
    let names: BTreeSet<&String> = before.settings.keys().chain(after.settings.keys()).collect();
    for name in names {
        let (a, b) = (before.settings.get(name), after.settings.get(name));
        if a != b {
            let show = |v: Option<&String>| v.map_or("default", String::as_str).to_owned();
            changes.push(PlanChange::new(
                ChangeKind::Setting,
                format!("setting {name}: {} → {}", show(a), show(b)),
                (None, None),
            ));
        }
    }
}

/// How a relation is read: `Seq Scan`, `Index Scan using a`, `Bitmap Heap Scan using a and b`.
fn access(plan: &Plan, node: &Node) -> String {
    let used = indexes(plan, node);
    let label = if node.is("Append") || node.is("Merge Append") {
        let kinds: BTreeSet<String> =
            plan.children(node).filter(|c| c.relation.is_some()).map(Node::label).collect();
        kinds.into_iter().collect::<Vec<_>>().join(" and ")
    } else {
        node.label()
    };
    if used.is_empty() || partitions_of(plan, node).is_some() {
        return label;
    }
    let names: Vec<String> = used.iter().map(|i| model::quote_identifier(i)).collect();
    format!("{label} using {}", names.join(" and "))
}

/// The indexes that a node or the bitmap below it reads.
fn indexes(plan: &Plan, node: &Node) -> Vec<String> {
    let mut names: Vec<String> = leaf_nodes(plan, node).filter_map(|n| n.index.clone()).collect();
    names.sort();
    names.dedup();
    names
}

fn conditions(plan: &Plan, node: &Node) -> String {
    let all = leaf_nodes(plan, node).flat_map(|n| n.conditions().map(|(_, text)| text.to_owned()));
    let mut all: Vec<String> = all.collect();
    all.sort();
    all.dedup();
    match all.is_empty() {
        true => "none".into(),
        false => all.join(" and "),
    }
}

/// How many partitions an Append reads.
fn partitions(plan: &Plan, node: &Node) -> Option<usize> {
    partitions_of(plan, node)?;
    Some(plan.children(node).filter(|c| c.relation.is_some() && (!plan.analyzed || c.executed())).count())
}
