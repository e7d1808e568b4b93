//! Do foreign keys go round in a circle?
//!
//! Tables that reference each other cannot be filled, emptied or restored one after the other. A table that references
//! itself is a tree and no fault, and a column that may be NULL, or a key that is DEFERRABLE, lets the circle be closed
//! later. Strongly connected components (Tarjan).

use std::collections::BTreeMap;

use model::snapshot::Constraint;
use model::{QualifiedName, Severity, quote_identifier};

use super::{Check, relation_ref};
use crate::schema::{Facts, LintFinding, Remedy};

pub(super) const CHECK: Check = Check {
    id: "circular-foreign-keys",
    title: "foreign keys in a circle",
    severity: Severity::Info,
    on: true,
    needs_schema_facts: false,
    run,
};

fn run(facts: &Facts<'_>) -> Vec<LintFinding> {
    let mut edges: BTreeMap<&QualifiedName, Vec<(&QualifiedName, &Constraint)>> = BTreeMap::new();
    for (constraint, target) in facts.foreign_keys().filter(|(c, t)| c.table != t.table) {
        edges.entry(&constraint.table).or_default().push((&target.table, constraint));
        edges.entry(&target.table).or_default();
    }
    circles(&edges)
        .into_iter()
        .map(|tables| {
            let within: Vec<&Constraint> = tables
                .iter()
                .flat_map(|t| edges.get(t).into_iter().flatten())
                .filter(|(to, _)| tables.contains(to))
                .map(|(_, constraint)| *constraint)
                .collect();
            let opens = within.iter().copied().find(|c| is_open(facts, c));
            let names: Vec<String> = tables.iter().map(ToString::to_string).collect();
            let keys: Vec<String> =
                within.iter().map(|c| format!("{} on {}", quote_identifier(&c.name), c.table)).collect();
            let first = tables.first().map_or_else(|| QualifiedName::new("", ""), |t| (*t).clone());
            let finding = CHECK
                .finding(
                    relation_ref(&first),
                    format!("the foreign keys of {} go round in a circle", names.join(", ")),
                    match opens {
                        Some(_) => {
                            "Rows can be inserted because one key may be NULL or is checked at the end, but restoring data \
                             only, truncating and deleting need care."
                        }
                        None => {
                            "No row can be inserted into any of them first. Make one key DEFERRABLE, or its column \
                             nullable."
                        }
                    },
                )
                .severity(if opens.is_some() { Severity::Info } else { Severity::Warning })
                .with("foreign keys", keys.join(", "));
            match (opens, within.first()) {
                (None, Some(key)) => finding.mended_by(Remedy::instant(vec![format!(
                    "ALTER TABLE {} ALTER CONSTRAINT {} DEFERRABLE INITIALLY DEFERRED",
                    key.table,
                    quote_identifier(&key.name)
                )])),
                _ => finding,
            }
        })
        .collect()
}

/// Whether a row can be inserted before the row that it references.
fn is_open(facts: &Facts<'_>, key: &Constraint) -> bool {
    let relation = facts.tables.relation(&key.table);
    let nullable = key.columns.iter().any(|c| {
        relation.and_then(|r| r.column(c)).is_some_and(|column| !column.not_null)
    });
    nullable || (key.definition.contains(" DEFERRABLE") && !key.definition.contains("NOT DEFERRABLE"))
}

type Edges<'a> = BTreeMap<&'a QualifiedName, Vec<(&'a QualifiedName, &'a Constraint)>>;

/// Components of more than one table, each sorted by name. Without recursion: chains of tables can be long.
fn circles<'a>(edges: &Edges<'a>) -> Vec<Vec<&'a QualifiedName>> {
    let nodes: Vec<&QualifiedName> = edges.keys().copied().collect();
    let number: BTreeMap<&QualifiedName, usize> = nodes.iter().enumerate().map(|(n, name)| (*name, n)).collect();
    let targets: Vec<Vec<usize>> = nodes
        .iter()
        .map(|name| edges[name].iter().filter_map(|(to, _)| number.get(to).copied()).collect())
        .collect();
    const UNSEEN: usize = usize::MAX;
    let mut index = vec![UNSEEN; nodes.len()];
    let mut low = vec![0; nodes.len()];
    let mut on_stack = vec![false; nodes.len()];
    let mut stack = Vec::new();
    let mut next = 0;
    let mut found = Vec::new();
    for root in 0..nodes.len() {
        if index[root] != UNSEEN {
            continue;
        }
        let mut work = vec![(root, 0)];
        while let Some((node, edge)) = work.pop() {
            if edge == 0 {
                index[node] = next;
                low[node] = next;
                next += 1;
                stack.push(node);
                on_stack[node] = true;
            }
            if let Some(target) = targets[node].get(edge).copied() {
                work.push((node, edge + 1));
                if index[target] == UNSEEN {
                    work.push((target, 0));
                } else if on_stack[target] {
                    low[node] = low[node].min(index[target]);
                }
                continue;
            }
            if let Some((parent, _)) = work.last() {
                low[*parent] = low[*parent].min(low[node]);
            }
            if low[node] == index[node] {
                let mut component = Vec::new();
                while let Some(member) = stack.pop() {
                    on_stack[member] = false;
                    component.push(nodes[member]);
                    if member == node {
                        break;
                    }
                }
                if component.len() > 1 {
                    component.sort();
                    found.push(component);
                }
            }
        }
    }
    found.sort();
    found
}
