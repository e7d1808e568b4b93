//! Which nodes of two plans do the same work?

use std::collections::{BTreeMap, BTreeSet};

use crate::node::{Node, Plan, Relationship};

/// A plan seen as work: what each node is for.
pub(super) struct Side<'a> {
    pub(super) plan: &'a Plan,
    /// For every node: the relations below it, by the names under which they are matched.
    sets: Vec<BTreeSet<String>>,
    /// For every node: which query of the statement it belongs to.
    roles: Vec<String>,
    classes: Vec<Option<Class>>,
}

/// What a node is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Class {
    /// It reads a relation, a function, a `WITH` query; or all partitions of a table.
    Leaf,
    /// It joins.
    Join,
    Sort,
    Aggregate,
    Limit,
    Unique,
    Window,
    Gather,
    Materialize,
    Memoize,
    SetOperation,
    Append,
    Modify,
    Lock,
    Subquery,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) before: usize,
    pub(super) after: usize,
    pub(super) class: Class,
}

impl<'a> Side<'a> {
    pub(super) fn new(plan: &'a Plan) -> Self {
        let count = plan.nodes.len();
        let mut roles = vec![String::new(); count];
        let mut inside_leaf = vec![false; count];
        let mut leaf_names: Vec<Option<String>> = vec![None; count];
        let mut names: BTreeMap<String, usize> = BTreeMap::new();
        for node in &plan.nodes {
            let parent = plan.parent(node);
            roles[node.id] = match node.relationship {
                Relationship::Cte => node.subplan_name.clone().unwrap_or_default(),
                Relationship::InitPlan => format!("{}InitPlan ", parent.map_or("", |p| &roles[p.id])),
                Relationship::SubPlan => format!("{}SubPlan ", parent.map_or("", |p| &roles[p.id])),
                _ => parent.map_or_else(String::new, |p| roles[p.id].clone()),
            };
            let inline = !matches!(
                node.relationship,
                Relationship::Cte | Relationship::InitPlan | Relationship::SubPlan
            );
            inside_leaf[node.id] =
                inline && parent.is_some_and(|p| inside_leaf[p.id] || leaf_names[p.id].is_some());
            if !inside_leaf[node.id] {
                leaf_names[node.id] = leaf_name(plan, node);
                if let Some(name) = &leaf_names[node.id] {
                    *names.entry(name.clone()).or_default() += 1;
                }
            }
        }
        // A table that is read several times is told apart by its aliases.
        for node in &plan.nodes {
            if let Some(name) = leaf_names[node.id].as_mut().filter(|n| names.get(*n).is_some_and(|c| *c > 1))
                && let Some(alias) = node.alias.as_ref().filter(|a| *a != name)
            {
                *name = format!("{name} {alias}");
            }
        }
        let mut sets: Vec<BTreeSet<String>> = vec![BTreeSet::new(); count];
        for node in plan.nodes.iter().rev() {
            if let Some(name) = &leaf_names[node.id] {
                sets[node.id].insert(name.clone());
            }
            let inline = !matches!(
                node.relationship,
                Relationship::Cte | Relationship::InitPlan | Relationship::SubPlan
            );
            if let (Some(parent), true) = (node.parent, inline && !inside_leaf[node.id]) {
                let own = sets[node.id].clone();
                // The relations of a very wide plan need not all be known to match its nodes.
                if sets[parent].len() < 500 {
                    sets[parent].extend(own);
                }
            }
        }
        let classes = plan
            .nodes
            .iter()
            .map(|n| if inside_leaf[n.id] { None } else { class(n, leaf_names[n.id].is_some()) })
            .collect();
        Self { plan, sets, roles, classes }
    }

    pub(super) fn class(&self, id: usize) -> Option<Class> {
        self.classes.get(id).copied().flatten()
    }

    /// The names of the relations below a node.
    pub(super) fn set(&self, id: usize) -> &BTreeSet<String> {
        &self.sets[id]
    }

    /// The query of the statement that a node belongs to, for a sentence.
    pub(super) fn role(&self, id: usize) -> &str {
        self.roles[id].trim_end()
    }

    /// What a node is, in a few words.
    pub(super) fn describe(&self, id: usize) -> String {
        let names: Vec<&str> = self.sets[id].iter().map(String::as_str).collect();
        let within = match self.role(id) {
            "" => String::new(),
            role => format!(" in {role}"),
        };
        let list = match names.as_slice() {
            [] => "nothing".to_owned(),
            [one] => (*one).to_owned(),
            [rest @ .., last] if rest.len() < 5 => format!("{} and {last}", rest.join(", ")),
            many => format!("{} relations", many.len()),
        };
        match self.class(id) {
            Some(Class::Leaf) => format!("{list}{within}"),
            Some(Class::Join) => format!("join of {list}{within}"),
            _ => format!("{} of {list}{within}", self.plan.nodes[id].label()),
        }
    }

    /// How relations are joined: `((a × b) × c)`; one entry for each query of the statement.
    pub(super) fn join_orders(&self) -> BTreeMap<String, String> {
        let mut orders = BTreeMap::new();
        for node in &self.plan.nodes {
            let top = self.class(node.id) == Some(Class::Join)
                && !self
                    .plan
                    .ancestors(node)
                    .take_while(|a| self.roles[a.id] == self.roles[node.id])
                    .any(|a| self.class(a.id) == Some(Class::Join));
            if top {
                orders.insert(self.roles[node.id].clone(), self.join_order(node));
            }
        }
        orders
    }

    /// Joins are commutative in their result but not in their work: the outer side stands first.
    fn join_order(&self, top: &Node) -> String {
        let mut texts: BTreeMap<usize, String> = BTreeMap::new();
        // From the last descendant up, so that no recursion is needed.
        for node in self.plan.subtree(top).iter().rev() {
            let parts: Vec<String> = self
                .plan
                .children(node)
                .filter(|c| {
                    !matches!(
                        c.relationship,
                        Relationship::Cte | Relationship::InitPlan | Relationship::SubPlan
                    )
                })
                .filter_map(|c| texts.get(&c.id).cloned())
                .collect();
            let text = match self.class(node.id) {
                Some(Class::Leaf) => self.sets[node.id].iter().next().cloned(),
                Some(Class::Join) => Some(format!("({})", parts.join(" × "))),
                _ if !parts.is_empty() => Some(parts.join(", ")),
                _ => None,
            };
            if let Some(text) = text {
                texts.insert(node.id, text);
            }
        }
        texts.remove(&top.id).unwrap_or_default()
    }

    /// The set of joined sets: equal when the joins are the same, whichever side is the outer one.
    pub(super) fn joined_sets(&self) -> BTreeSet<(&str, &BTreeSet<String>)> {
        let joins = self.plan.nodes.iter().filter(|n| self.class(n.id) == Some(Class::Join));
        joins.map(|n| (self.role(n.id), &self.sets[n.id])).collect()
    }
}

/// By which name a node that reads something is matched.
fn leaf_name(plan: &Plan, node: &Node) -> Option<String> {
    if node.is("Append") || node.is("Merge Append") {
        return partitions_of(plan, node);
    }
    let reads =
        node.node_type.ends_with("Scan") && !node.is("Bitmap Index Scan") && !node.is("Subquery Scan");
    let named =
        node.relation.as_ref().or(node.function.as_ref()).or(node.cte.as_ref()).or(node.alias.as_ref());
    reads.then(|| named.cloned().unwrap_or_else(|| node.label()))
}

/// The table of which all inputs are partitions: their aliases are `t_1`, `t_2`, …
pub(super) fn partitions_of(plan: &Plan, node: &Node) -> Option<String> {
    let mut stem: Option<&str> = None;
    for child in plan.children(node) {
        if child.relationship != Relationship::Member {
            continue;
        }
        child.relation.as_ref()?;
        let alias = child.alias.as_deref()?;
        let this = alias.trim_end_matches(|c: char| c.is_ascii_digit()).strip_suffix('_')?;
        if *stem.get_or_insert(this) != this {
            return None;
        }
    }
    stem.map(str::to_owned)
}

fn class(node: &Node, leaf: bool) -> Option<Class> {
    if leaf {
        return Some(Class::Leaf);
    }
    Some(match node.node_type.as_str() {
        "Nested Loop" | "Hash Join" | "Merge Join" => Class::Join,
        "Sort" | "Incremental Sort" => Class::Sort,
        "Aggregate" | "Group" => Class::Aggregate,
        "Limit" => Class::Limit,
        "Unique" => Class::Unique,
        "WindowAgg" => Class::Window,
        "Gather" | "Gather Merge" => Class::Gather,
        "Materialize" => Class::Materialize,
        "Memoize" => Class::Memoize,
        "SetOp" | "Recursive Union" => Class::SetOperation,
        "Append" | "Merge Append" => Class::Append,
        "ModifyTable" => Class::Modify,
        "LockRows" => Class::Lock,
        "Subquery Scan" => Class::Subquery,
        _ => return None,
    })
}

/// Pairs of nodes that do the same work, in the order of the first plan.
pub(super) fn pair(old: &Side<'_>, new: &Side<'_>) -> Vec<Pair> {
    type Key<'k> = (&'k str, Class, &'k BTreeSet<String>);
    let mut waiting: BTreeMap<Key<'_>, Vec<usize>> = BTreeMap::new();
    for node in new.plan.nodes.iter().rev() {
        if let Some(class) = new.class(node.id) {
            waiting.entry((new.role(node.id), class, new.set(node.id))).or_default().push(node.id);
        }
    }
    let mut pairs = Vec::new();
    let mut left = Vec::new();
    for node in &old.plan.nodes {
        let Some(class) = old.class(node.id) else { continue };
        match waiting.get_mut(&(old.role(node.id), class, old.set(node.id))).and_then(Vec::pop) {
            Some(after) => pairs.push(Pair { before: node.id, after, class }),
            None if class == Class::Leaf => left.push(node.id),
            None => {}
        }
    }
    // A relation whose alias or surroundings changed is still that relation; and the one partition that is left
    // after pruning bears the alias of the table.
    let mut free: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for id in waiting.values().flatten().filter(|id| new.class(**id) == Some(Class::Leaf)) {
        for name in names_of(new, *id) {
            free.entry(name).or_default().push(*id);
        }
    }
    free.values_mut().for_each(|ids| ids.sort_unstable_by(|a, b| b.cmp(a)));
    let mut taken = BTreeSet::new();
    for id in left {
        let found = names_of(old, id).into_iter().find_map(|name| {
            let ids = free.get_mut(name)?;
            while let Some(after) = ids.pop() {
                if taken.insert(after) {
                    return Some(after);
                }
            }
            None
        });
        if let Some(after) = found {
            pairs.push(Pair { before: id, after, class: Class::Leaf });
        }
    }
    pairs.sort_by_key(|p| p.before);
    pairs
}

/// The names under which a leaf may be known to the other plan: that of the relation, and the alias.
fn names_of<'s>(side: &'s Side<'_>, id: usize) -> Vec<&'s str> {
    let name = side.set(id).iter().next().map_or("", String::as_str);
    let base = name.split(' ').next().unwrap_or(name);
    let alias = side.plan.nodes[id].alias.as_deref().filter(|a| *a != base);
    std::iter::once(base).chain(alias).collect()
}
