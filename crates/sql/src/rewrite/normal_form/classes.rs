//! Columns that a level takes for one: where a condition says that two columns are equal, and equal is the same,
//! either may stand for the other in whatever the level does with its rows.
//!
//! Source: equivalence classes of PostgreSQL's planner (`src/backend/optimizer/README`, "EquivalenceClasses").

use std::collections::BTreeSet;

use super::super::facts::Scope;
use super::super::level::{select_one, substitute};
use super::super::reading::equal;
use super::super::tree::{Body, Call, Column, Constant, Distinct, Expr, From, Query, Select};
use super::joins::followed;
use super::{Normalizer, Site};

/// The name of what stands for all columns of a class. No function has it.
pub(super) const CLASS: &str = "\u{0}same";

/// Puts for every column that is the same as others all of them. The result is good for comparing only.
pub(super) fn merge(scope: &Scope<'_>, root: &mut Query) {
    root.levels_inside_out(&mut |query| {
        let Some(classes) = query.select().map(|select| classes(scope, select)).filter(|c| !c.is_empty())
        else {
            return;
        };
        let node = |class: &BTreeSet<Column>| {
            Expr::Call(Box::new(Call::new(CLASS, class.iter().cloned().map(Expr::Column).collect())))
        };
        query.transform(&mut |e| match e {
            Expr::Column(column) => {
                if let Some(class) = classes.iter().find(|class| class.contains(column)) {
                    *e = node(class);
                }
            }
            // A class of a level within, of which a member is the same as others here.
            Expr::Call(call) if call.name == CLASS => {
                let members = std::mem::take(&mut call.args).into_iter().flat_map(|arg| match arg {
                    Expr::Call(inner) if inner.name == CLASS => inner.args,
                    other => vec![other],
                });
                call.args = members.collect::<BTreeSet<_>>().into_iter().collect();
            }
            _ => {}
        });
        if let Body::Select(select) = &mut query.body {
            let mut seen: BTreeSet<Expr> = BTreeSet::new();
            select.filter.extend(classes.iter().map(|class| equal(node(class), node(class))));
            select.filter.retain(|e| seen.insert(e.clone()));
        }
    });
}

/// The classes of a level: sets of columns of which its conditions say that they are the same.
fn classes(scope: &Scope<'_>, select: &Select) -> Vec<BTreeSet<Column>> {
    let Some(added) = added(select) else { return Vec::new() };
    let mut classes: Vec<BTreeSet<Column>> = Vec::new();
    let mut unite = |a: &Column, b: &Column| {
        let mut class = BTreeSet::from([a.clone(), b.clone()]);
        classes.retain(|known| {
            let apart = known.is_disjoint(&class);
            if !apart {
                class.extend(known.iter().cloned());
            }
            apart
        });
        classes.push(class);
    };
    let usable = |c: &Column| !added.contains(c.source.as_str());
    let mut pinned: Vec<(&Column, &Expr)> = Vec::new();
    for condition in &select.filter {
        let Some((left, right)) = equated(condition) else { continue };
        match (left, right) {
            (Expr::Column(a), Expr::Column(b)) if usable(a) && usable(b) && same(scope, a, b) => unite(a, b),
            (Expr::Column(a), value) if usable(a) && is_value(value) => pinned.push((a, value)),
            _ => {}
        }
    }
    for (n, (a, value)) in pinned.iter().enumerate() {
        for (b, other) in &pinned[..n] {
            if value == other && a != b && same(scope, a, b) {
                unite(a, b);
            }
        }
    }
    classes.sort();
    classes
}

/// The aliases of what outer joins have added, when each of them follows the rows before it. Conditions of the level hold
/// for those rows, but what they look for was decided before.
fn added(select: &Select) -> Option<BTreeSet<&str>> {
    let mut added = BTreeSet::new();
    for item in &select.from {
        match followed(item) {
            Some((right, _)) => added.extend(right.aliases()),
            None if matches!(item, From::Join(_)) => return None,
            None => {}
        }
    }
    Some(added)
}

fn is_value(expr: &Expr) -> bool {
    matches!(expr, Expr::Parameter(_)) || matches!(expr, Expr::Constant(c) if *c != Constant::Null)
}

fn equated(condition: &Expr) -> Option<(&Expr, &Expr)> {
    match condition {
        Expr::Operator { name, left: Some(left), right } if name == "=" => Some((left, right)),
        _ => None,
    }
}

/// Whether two columns are the same value wherever they are equal, compared in the same way with others.
pub(super) fn same(scope: &Scope<'_>, a: &Column, b: &Column) -> bool {
    let (one, other) = (Expr::Column(a.clone()), Expr::Column(b.clone()));
    let type_name = scope.type_of(&one);
    let collated = matches!(type_name.as_deref(), Some("text" | "varchar" | "name"));
    scope.facts.users.operators.is_empty()
        && type_name == scope.type_of(&other)
        && scope.equal_is_same(&one)
        && scope.equal_is_same(&other)
        && (!collated || scope.has_collation_of(&one, &other))
}

impl Normalizer<'_, '_> {
    /// A source that is looked up by its key, and of which nothing but the key is used, is used no more: what it was
    /// looked up by stands for the key.
    pub(super) fn spared(&self, site: &Site<'_, '_>) -> Option<Query> {
        let select = site.level.select()?;
        let scope = site.level.scope;
        let added = added(select)?;
        for item in &select.from {
            let From::Table(table) = item else { continue };
            for (n, condition) in select.filter.iter().enumerate() {
                let (key, other) = match equated(condition) {
                    Some((Expr::Column(a), Expr::Column(b))) if a.source == table.alias => (a, b),
                    Some((Expr::Column(a), Expr::Column(b))) if b.source == table.alias => (b, a),
                    _ => continue,
                };
                let is_key = |c: &Column| scope.keys(&c.source).iter().any(|k| k.columns == [c.name.clone()]);
                if !is_key(key)
                    || other.source == table.alias
                    || added.contains(other.source.as_str())
                    || !same(scope, key, other)
                {
                    continue;
                }
                let mut rest = site.level.query.clone();
                rest.select_mut()?.filter.remove(n);
                let (mut used, mut only_key, mut needs_other) = (false, true, false);
                rest.walk(&mut |e| {
                    if let Expr::Column(column) = e {
                        if column.source == table.alias {
                            used = true;
                            only_key &= column == key;
                        }
                        needs_other |= column.source == other.source;
                    }
                });
                // Of two that are looked up by each other's key one stays.
                if !used || !only_key || (is_key(other) && !needs_other) {
                    continue;
                }
                // Where rows are made distinct or grouped by the key, what only multiplies them is looked up instead,
                // unless a foreign key promises the row of the key.
                let once = select.is_grouped() || select.distinct != Distinct::No;
                let looked_up = select_one(vec![item.clone()], vec![condition.clone()]);
                if once && !needs_other && self.promised(site, &looked_up).is_none() {
                    continue;
                }
                rest.transform(&mut |e| {
                    if matches!(e, Expr::Column(column) if column == key) {
                        *e = Expr::Column(other.clone());
                    }
                });
                rest.select_mut()?.filter.insert(n, condition.clone());
                return Some(rest);
            }
        }
        None
    }

    /// A condition within `EXISTS` that is one on the level around, once what is the same stands there for what is looked
    /// up, is one of the level around.
    pub(super) fn hoisted(&self, site: &Site<'_, '_>) -> Option<Query> {
        let select = site.level.select()?;
        let scope = site.level.scope;
        for (i, condition) in select.filter.iter().enumerate() {
            let Expr::Exists(inner) = condition else { continue };
            let Some(of) = inner.select() else { continue };
            let plain = inner.is_bare() && !of.is_grouped();
            let joined = of.from.iter().any(|item| matches!(item, From::Join(_)));
            if !plain || joined {
                continue;
            }
            let own: BTreeSet<&str> = of.aliases().into_iter().collect();
            let is_own = |c: &Column| own.contains(c.source.as_str());
            let pairs: Vec<(&Column, &Column)> = of
                .filter
                .iter()
                .filter_map(|condition| match equated(condition)? {
                    (Expr::Column(a), Expr::Column(b)) if is_own(a) && !is_own(b) => Some((a, b)),
                    (Expr::Column(a), Expr::Column(b)) if !is_own(a) && is_own(b) => Some((b, a)),
                    _ => None,
                })
                .filter(|(a, b)| same(scope, a, b))
                .collect();
            for (j, inside) in of.filter.iter().enumerate() {
                if inside.has_query() || !scope.is_repeatable(inside) {
                    continue;
                }
                let mut outside = inside.clone();
                substitute(&mut outside, &|column| {
                    let (_, other) = pairs.iter().find(|(own, _)| *own == column)?;
                    Some(Expr::Column((*other).clone()))
                });
                let columns = outside.columns();
                // The equality that ties both together is equal to itself outside.
                let tie = matches!(equated(&outside), Some((left, right)) if left == right);
                if tie || columns.is_empty() || columns.into_iter().any(is_own) {
                    continue;
                }
                let mut inner = (**inner).clone();
                inner.select_mut()?.filter.remove(j);
                let mut changed = select.clone();
                changed.filter[i] = Expr::Exists(Box::new(inner));
                changed.filter.push(outside);
                return Some(site.level.with(changed));
            }
        }
        None
    }
}
