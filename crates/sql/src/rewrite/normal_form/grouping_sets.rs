//! Grouping sets as a union of groupings, of which each gives NULL for the keys that it leaves out.
//!
//! Source: PostgreSQL manual, "GROUPING SETS, CUBE, and ROLLUP". Sets that are written twice give their groups twice, as
//! `UNION ALL` does; the empty set is one group also where there are no rows, as an aggregate without `GROUP BY` is.

use std::collections::{BTreeMap, BTreeSet};

use super::super::facts::Scope;
use super::super::functions::is_aggregate;
use super::super::level::by_names;
use super::super::tree::{
    Body, Column, Constant, Distinct, Expr, GroupingSet, Query, Select, SetsOf, TypeName,
};
use super::super::walk::{ChildMut, has_aggregate, has_window};
use super::unions::union_all;

/// More sets than a person writes.
const MAX_SETS: usize = 32;

/// Puts unions in place of grouping sets, where the list says of every group what it is.
pub(super) fn expand(scope: &Scope<'_>, root: &mut Query) {
    let mut number = 0_usize;
    root.levels_mut(&mut |query| {
        if let Some(new) = expanded(scope, query, &mut number) {
            *query = new;
        }
    });
}

/// The sets that are written, each as its keys.
fn sets_of(set: &GroupingSet) -> Vec<Vec<Expr>> {
    let (kind, list) = match set {
        GroupingSet::Keys(keys) => return vec![keys.clone()],
        GroupingSet::Of(kind, list) => (kind, list),
    };
    let keys = |set: &GroupingSet| match set {
        GroupingSet::Keys(keys) => keys.clone(),
        GroupingSet::Of(..) => sets_of(set).concat(),
    };
    match kind {
        SetsOf::Sets => list.iter().flat_map(sets_of).collect(),
        SetsOf::Rollup => (0..=list.len()).rev().map(|n| list[..n].iter().flat_map(keys).collect()).collect(),
        SetsOf::Cube if list.len() <= 5 => (0..1_usize << list.len())
            .map(|bits| {
                let chosen = list.iter().enumerate().filter(|(n, _)| bits & (1 << n) != 0);
                chosen.flat_map(|(_, set)| keys(set)).collect()
            })
            .collect(),
        SetsOf::Cube => Vec::new(),
    }
}

fn expanded(scope: &Scope<'_>, query: &Query, number: &mut usize) -> Option<Query> {
    let select = query.select()?;
    if select.sets.is_empty() || select.distinct != Distinct::No || !query.ctes.is_empty() {
        return None;
    }
    let mut all: Vec<Vec<Expr>> = vec![select.group.clone()];
    for set in &select.sets {
        let own = sets_of(set);
        let each = |keys: &Vec<Expr>| -> Vec<Vec<Expr>> {
            own.iter().map(|more| [keys.as_slice(), more].concat()).collect()
        };
        all = all.iter().flat_map(each).collect();
        if all.is_empty() || all.len() > MAX_SETS {
            return None;
        }
    }
    let keys: BTreeSet<&Expr> = all.iter().flatten().collect();
    // NULL of a type that is known stands for a key that is left out.
    let mut types: BTreeMap<Column, String> = BTreeMap::new();
    for key in keys {
        let Expr::Column(column) = key else { return None };
        let known = scope.type_of(key).filter(|name| !name.contains('.') && !name.starts_with('_'))?;
        types.insert(column.clone(), known);
    }
    let told = |e: &Expr| tells_groups(e, &types);
    if !select.outputs.iter().all(|o| told(&o.expr)) || !select.having.iter().all(told) {
        return None;
    }
    let aggregates = select.outputs.iter().any(|o| has_aggregate(&o.expr));
    if all.iter().any(Vec::is_empty) && !aggregates {
        return None;
    }
    let order = by_names(&query.order, &select.outputs)?;
    if all.len() == 1 && !query.order.is_empty() {
        return None;
    }
    let branches = all.into_iter().map(|keys| {
        let missing: BTreeMap<&Column, &String> =
            types.iter().filter(|(c, _)| !keys.contains(&Expr::Column((*c).clone()))).collect();
        let mut of: Select = (*select).clone();
        of.sets.clear();
        of.group.clear();
        for key in keys {
            if !of.group.contains(&key) {
                of.group.push(key);
            }
        }
        of.outputs.iter_mut().for_each(|o| leave_out(&mut o.expr, &missing));
        of.having.iter_mut().for_each(|e| leave_out(e, &missing));
        *number += 1;
        let mut branch = Query::of(of);
        let names =
            branch.all_names().into_iter().map(|n| (n.clone(), format!("{n}\u{0}s{number}"))).collect();
        branch.rename(&names);
        branch
    });
    union_all(query, order, branches)
}

/// Whether an expression is made of keys and aggregates.
fn tells_groups(expr: &Expr, keys: &BTreeMap<Column, String>) -> bool {
    let mut told = !expr.has_query() && !has_window(expr);
    outside_aggregates(&mut expr.clone(), &mut |e| {
        told &= match e {
            Expr::Column(column) => keys.contains_key(column),
            Expr::Call(call) => call.name != "grouping",
            _ => true,
        };
    });
    told
}

fn leave_out(expr: &mut Expr, missing: &BTreeMap<&Column, &String>) {
    outside_aggregates(expr, &mut |e| {
        if let Expr::Column(column) = e
            && let Some(name) = missing.get(column)
        {
            *e = null_of(name);
        }
    });
}

fn null_of(name: &str) -> Expr {
    Expr::Cast { inner: Box::new(Expr::Constant(Constant::Null)), to: TypeName::plain(name) }
}

fn outside_aggregates(expr: &mut Expr, change: &mut dyn FnMut(&mut Expr)) {
    if matches!(expr, Expr::Call(call) if call.over.is_none() && is_aggregate(call)) {
        return;
    }
    expr.children_mut(&mut |child| {
        if let ChildMut::Expr(e) = child {
            outside_aggregates(e, change);
        }
    });
    change(expr);
}

/// A NULL without a type in one branch of a union has that of the other branch.
pub(super) fn type_nulls(scope: &Scope<'_>, root: &mut Query) {
    root.levels_mut(&mut |query| {
        let Body::Set { left, right, .. } = &mut query.body else { return };
        let (one, other) = (places(scope, left), places(scope, right));
        for (to, known) in [(left, other), (right, one)] {
            let Some(select) = to.select_mut() else { continue };
            for (output, place) in select.outputs.iter_mut().zip(known) {
                if output.expr == Expr::Constant(Constant::Null)
                    && let Place::Of(name) = place
                {
                    output.expr = null_of(&name);
                }
            }
        }
    });
}

/// What stands at a place of a list.
#[derive(Clone, PartialEq, Eq)]
enum Place {
    Null,
    Of(String),
    Unknown,
}

fn places(scope: &Scope<'_>, query: &Query) -> Vec<Place> {
    match &query.body {
        Body::Select(select) => select
            .outputs
            .iter()
            .map(|o| match &o.expr {
                Expr::Constant(Constant::Null) => Place::Null,
                other => match scope.type_of(other) {
                    Some(name) if !name.contains('.') && !name.starts_with('_') => Place::Of(name),
                    _ => Place::Unknown,
                },
            })
            .collect(),
        Body::Set { left, right, .. } => places(scope, left)
            .into_iter()
            .zip(places(scope, right))
            .map(|(l, r)| match (l, r) {
                (Place::Null, other) | (other, Place::Null) => other,
                (l, r) if l == r => l,
                _ => Place::Unknown,
            })
            .collect(),
        Body::Values(_) => Vec::new(),
    }
}
