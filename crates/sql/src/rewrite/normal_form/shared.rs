//! What is asked twice of the same rows: filters that all aggregates share, rows that two subqueries look for, groups of
//! which no row satisfies a condition, and keys that are compared with one constant.

use std::collections::{BTreeMap, BTreeSet};

use super::super::dependencies::determines;
use super::super::facts::Proofs;
use super::super::functions::is_aggregate;
use super::super::level::{column, select_one, substitute};
use super::super::reading::{all_of, any_of, equal, split_and};
use super::super::tree::{Call, Column, Constant, Distinct, Expr, From, Query, Select};
use super::super::walk::{has_aggregate, has_window};
use super::joins::apart;
use super::top_rows::{again, renamed, same_part};
use super::{Normalizer, Role, Site, at_this_level};

const ZERO: Expr = Expr::Constant(Constant::Integer(0));

/// The table and the conditions of a subquery that only looks for a row of it.
fn looked_for(query: &Query) -> Option<(&super::super::tree::Table, &Select)> {
    let select = query.select()?;
    match select.from.as_slice() {
        [From::Table(table)] if only_looks(query, select) => Some((table, select)),
        _ => None,
    }
}

/// Whether a subquery only says that there is a row.
fn only_looks(query: &Query, select: &Select) -> bool {
    query.is_bare()
        && !select.is_grouped()
        && select.sets.is_empty()
        && select.distinct == Distinct::No
        && !select.outputs.iter().any(|o| has_window(&o.expr) || o.expr.has_query())
}

/// `EXISTS (… a AND p) OR EXISTS (… a AND q)` of one table is `EXISTS (… a AND (p OR q))`.
fn either(one: &Query, other: &Query) -> Option<Query> {
    let (table, first) = looked_for(one)?;
    let (again, _) = looked_for(other)?;
    if table.table != again.table || table.only != again.only || table.alias == again.alias {
        return None;
    }
    let mut second = other.clone();
    second.rename(&BTreeMap::from([(again.alias.clone(), table.alias.clone())]));
    let second = second.select()?.filter.clone();
    let (common, one): (Vec<Expr>, Vec<Expr>) =
        first.filter.iter().cloned().partition(|e| second.contains(e));
    let other: Vec<Expr> = second.into_iter().filter(|e| !common.contains(e)).collect();
    let mut filter = common;
    // Where one asks nothing more, the other one finds nothing else.
    if !one.is_empty() && !other.is_empty() {
        filter.push(any_of(vec![all_of(one), all_of(other)]));
    }
    Some(select_one(first.from.clone(), filter))
}

/// Subqueries among arms of an OR, or negated among conditions that all hold, that look for rows of one table.
pub(super) fn looked_up_together(parts: &mut Vec<Expr>, negated: bool) {
    let of = |e: &Expr| match e {
        Expr::Exists(query) if !negated => Some((**query).clone()),
        Expr::Not(inner) if negated => match &**inner {
            Expr::Exists(query) => Some((**query).clone()),
            _ => None,
        },
        _ => None,
    };
    let mut at = 0;
    while at < parts.len() {
        let found = of(&parts[at])
            .and_then(|query| (0..at).find_map(|other| Some((other, either(&of(&parts[other])?, &query)?))));
        match found {
            Some((other, merged)) => {
                let exists = Expr::Exists(Box::new(merged));
                parts[other] = if negated { Expr::Not(Box::new(exists)) } else { exists };
                parts.remove(at);
            }
            None => at += 1,
        }
    }
}

impl Normalizer<'_, '_> {
    pub(super) fn shared(&mut self, site: &Site<'_, '_>) -> Option<Query> {
        self.shared_filter(site)
            .or_else(|| self.groups_without_rows(site))
            .or_else(|| self.groups_with_every_value(site))
            .or_else(|| self.parents_of_children(site))
            .or_else(|| self.tied_by_constant(site))
    }

    /// What every aggregate over all rows leaves out, the level leaves out: there is one row in either case.
    fn shared_filter(&self, site: &Site<'_, '_>) -> Option<Query> {
        let query = site.level.query;
        let select = site.level.select()?;
        let users = &site.level.scope.facts.users;
        if !select.group.is_empty() || !select.sets.is_empty() || !select.is_grouped() {
            return None;
        }
        let exprs = || {
            let outputs = select.outputs.iter().map(|o| &o.expr);
            outputs.chain(&select.having).chain(query.order.iter().map(|k| &k.expr))
        };
        let own: BTreeSet<&str> = select.aliases().into_iter().collect();
        // An aggregate belongs to the level whose columns it names.
        let is_own = |e: &Expr| e.sources().iter().any(|s| own.contains(s));
        let plain = |call: &Call| {
            call.schema.is_none()
                && !users.is_of_user(call)
                && call
                    .args
                    .iter()
                    .chain(call.order.iter().map(|k| &k.expr))
                    .all(|e| e.columns().is_empty() || is_own(e))
        };
        let mut common: Option<Vec<Expr>> = None;
        let mut bad = exprs().any(|e| e.has_query() || has_window(e));
        for expr in exprs() {
            expr.walk_level(&mut |e| {
                let Expr::Call(call) = e else { return };
                if call.over.is_some() || !is_aggregate(call) {
                    return;
                }
                let parts: Vec<Expr> =
                    call.filter.as_deref().cloned().into_iter().flat_map(split_and).collect();
                bad |= !plain(call) || !parts.iter().all(is_own);
                common = Some(match common.take() {
                    None => parts,
                    Some(known) => known.into_iter().filter(|e| parts.contains(e)).collect(),
                });
            });
        }
        let common = common.filter(|list| !list.is_empty() && !bad)?;
        let mut new = query.clone();
        let without = |expr: &mut Expr| {
            at_this_level(expr, &mut |e| {
                let Expr::Call(call) = e else { return };
                if let Some(filter) = call.filter.take() {
                    let rest: Vec<Expr> =
                        split_and(*filter).into_iter().filter(|e| !common.contains(e)).collect();
                    call.filter = (!rest.is_empty()).then(|| Box::new(all_of(rest)));
                }
            });
        };
        new.order.iter_mut().for_each(|k| without(&mut k.expr));
        let changed = new.select_mut()?;
        changed.outputs.iter_mut().for_each(|o| without(&mut o.expr));
        changed.having.iter_mut().for_each(without);
        changed.filter.extend(common.iter().cloned());
        Some(new)
    }

    /// Groups of which no row satisfies a condition are those of rows beside which there is none that does.
    fn groups_without_rows(&self, site: &Site<'_, '_>) -> Option<Query> {
        let select = site.level.select()?;
        let users = &site.level.scope.facts.users;
        let tables = select.from.iter().all(|item| matches!(item, From::Table(_)));
        if select.group.is_empty() || !select.sets.is_empty() || !users.operators.is_empty() || !tables {
            return None;
        }
        let (at, filter) = select.having.iter().enumerate().find_map(|(at, condition)| {
            let Expr::Operator { name, left: Some(left), right } = condition else { return None };
            let Expr::Call(call) = &**left else { return None };
            let counts = name == "="
                && **right == ZERO
                && call.name == "count"
                && call.schema.is_none()
                && call.star
                && call.over.is_none()
                && !users.is_of_user(call);
            counts.then(|| Some((at, call.filter.as_deref()?.clone())))?
        })?;
        // A count of which nothing is of this level would be one of another.
        let own = select.aliases();
        let here = filter.sources().iter().any(|s| own.contains(s));
        let plain = |e: &Expr| {
            here && !e.has_query() && matches!(e, Expr::Column(_)) && site.level.scope.is_deterministic(e)
        };
        if filter.has_query() || !select.group.iter().all(plain) {
            return None;
        }
        let (mut rows, names) = again(site, &select.from, &select.filter);
        let more = same_part(&select.group, &names).into_iter().chain([renamed(&filter, &names)]);
        rows.select_mut()?.filter.extend(more);
        let mut changed = select.clone();
        changed.having.remove(at);
        changed.filter.push(Expr::Not(Box::new(Expr::Exists(Box::new(rows)))));
        Some(apart(site.level.with(changed), site))
    }

    /// Groups in which a column has as many values as a list names are those of rows with the first value beside which there
    /// is one with each of the others.
    fn groups_with_every_value(&mut self, site: &Site<'_, '_>) -> Option<Query> {
        let select = site.level.select()?;
        let scope = site.level.scope;
        let users = &scope.facts.users;
        let [From::Table(table)] = select.from.as_slice() else { return None };
        let [condition] = select.having.as_slice() else { return None };
        let plain = !select.group.is_empty()
            && select.sets.is_empty()
            && users.operators.is_empty()
            && select.group.iter().all(|e| matches!(e, Expr::Column(_)) && scope.equal_is_same(e))
            && !select
                .outputs
                .iter()
                .any(|o| has_aggregate(&o.expr) || has_window(&o.expr) || o.expr.has_query())
            && !site.level.query.order.iter().any(|k| has_aggregate(&k.expr))
            && !select.filter.iter().any(Expr::has_query);
        let Expr::Operator { name, left: Some(left), right } = condition else { return None };
        let (Expr::Call(call), Expr::Constant(Constant::Integer(number))) = (&**left, &**right) else {
            return None;
        };
        let counts = name == "="
            && call.name == "count"
            && call.schema.is_none()
            && call.filter.is_none()
            && call.over.is_none()
            && !users.is_of_user(call);
        if !plain || !counts {
            return None;
        }
        let (at, value, list) = select.filter.iter().enumerate().find_map(|(at, e)| {
            let Expr::In { value, list, negated: false } = e else { return None };
            let Expr::Column(column) = &**value else { return None };
            let fits = |e: &Expr| match (scope.type_of(value).as_deref(), e) {
                (Some("int2" | "int4" | "int8"), Expr::Constant(Constant::Integer(_))) => true,
                (Some("text" | "varchar"), Expr::Constant(Constant::Text(_))) => scope.equal_is_same(value),
                _ => false,
            };
            let different: BTreeSet<&Expr> = list.iter().collect();
            let own = column.source == table.alias
                && list.iter().all(fits)
                && different.len() == list.len()
                && i64::try_from(list.len()).ok() == Some(*number);
            own.then(|| (at, (**value).clone(), list.clone()))
        })?;
        let by = if call.distinct {
            (call.args.as_slice() == [value.clone()]).then(Proofs::new)?
        } else {
            // Each value comes once in a group.
            if !call.star {
                return None;
            }
            let of = |e: &Expr| if let Expr::Column(c) = e { Some(c.clone()) } else { None };
            let given = select.group.iter().chain([&value]).filter_map(of).collect();
            determines(scope, &select.from, &select.filter, &given).ok()?
        };
        let mut changed = select.clone();
        changed.having.clear();
        let (first, others) = list.split_first()?;
        changed.filter[at] = equal(value.clone(), first.clone());
        for other in others {
            let mut filter = select.filter.clone();
            filter[at] = equal(value.clone(), other.clone());
            let (mut rows, names) = again(site, &select.from, &filter);
            rows.select_mut()?.filter.extend(same_part(&select.group, &names));
            changed.filter.push(Expr::Exists(Box::new(rows)));
        }
        self.used.extend(by);
        Some(apart(site.level.with(changed), site))
    }

    /// The keys of parents that have such a child are the references of such children, each once.
    fn parents_of_children(&mut self, site: &Site<'_, '_>) -> Option<Query> {
        let select = site.level.select()?;
        let scope = site.level.scope;
        let [From::Table(parent)] = select.from.as_slice() else { return None };
        let (exists, rest): (Vec<Expr>, Vec<Expr>) =
            select.filter.iter().cloned().partition(|e| matches!(e, Expr::Exists(_)));
        let [Expr::Exists(inner)] = exists.as_slice() else { return None };
        let of = inner.select().filter(|of| only_looks(inner, of))?;
        if !of.from.iter().all(|item| matches!(item, From::Table(_))) {
            return None;
        }
        let children = of.aliases();
        let rows = matches!(site.role, Role::Root | Role::Rows);
        if !rows || select.is_grouped() || !matches!(select.distinct, Distinct::No | Distinct::All) {
            return None;
        }
        let (at, key, own) = of.filter.iter().enumerate().find_map(|(at, condition)| {
            let Expr::Operator { name, left: Some(left), right } = condition else { return None };
            let (Expr::Column(a), Expr::Column(b)) = (&**left, &**right) else { return None };
            let (key, own) = if a.source == parent.alias { (a, b) } else { (b, a) };
            let tied = name == "=" && key.source == parent.alias && children.contains(&own.source.as_str());
            (tied && super::classes::same(scope, key, own)).then(|| (at, key.clone(), own.clone()))
        })?;
        let unique = scope.keys(&parent.alias).into_iter().find(|k| k.columns == [key.name.clone()])?;
        // Nothing else of the parent is used, and its key is all that is listed.
        let is_key = |e: &Expr| matches!(e, Expr::Column(c) if *c == key);
        let mut others = false;
        let mut query = site.level.query.clone();
        query.walk(&mut |e| {
            others |= matches!(e, Expr::Column(c) if c.source == parent.alias && *c != key);
        });
        let listed = matches!(select.outputs.as_slice(), [one] if is_key(&one.expr))
            && query.order.iter().all(|k| is_key(&k.expr));
        let tie = select_one(vec![From::Table(parent.clone())], vec![of.filter[at].clone()]);
        if others || !listed || rest.iter().any(Expr::has_query) {
            return None;
        }
        let (_, proofs) = self.promised(site, &tie)?;
        let new = Expr::Column(own.clone());
        query.order.iter_mut().for_each(|k| k.expr = new.clone());
        let changed = query.select_mut()?;
        changed.outputs[0].expr = new.clone();
        changed.distinct = Distinct::All;
        changed.from.clone_from(&of.from);
        changed.filter.clone_from(&of.filter);
        changed.filter[at] = Expr::IsNull { inner: Box::new(new.clone()), negated: true };
        changed.filter.extend(rest);
        // Its reference stands for the key wherever else that is named.
        for condition in &mut changed.filter {
            substitute(condition, &|c| (*c == key).then(|| new.clone()));
        }
        self.used.extend(proofs);
        self.used.insert(unique.by);
        Some(query)
    }

    /// A child whose reference is compared with the constant that its parent's key is compared with, is a child of that
    /// parent.
    fn tied_by_constant(&self, site: &Site<'_, '_>) -> Option<Query> {
        let select = site.level.select()?;
        let scope = site.level.scope;
        let pinned = |condition: &Expr| match condition {
            Expr::Operator { name, left: Some(left), right } if name == "=" => match (&**left, &**right) {
                (Expr::Column(column), value @ (Expr::Constant(_) | Expr::Parameter(_))) => {
                    Some((column.clone(), value.clone()))
                }
                _ => None,
            },
            _ => None,
        };
        let all: Vec<(usize, Column, Expr)> = select
            .filter
            .iter()
            .enumerate()
            .filter_map(|(n, e)| pinned(e).map(|(column, value)| (n, column, value)))
            .collect();
        for (n, parent, value) in &all {
            for (_, child, other) in &all {
                if value != other
                    || parent.source == child.source
                    || !super::classes::same(scope, parent, child)
                {
                    continue;
                }
                let tie = equal(column(&parent.source, &parent.name), column(&child.source, &child.name));
                let looked_up = select.from.iter().find(|item| item.aliases() == [parent.source.as_str()]);
                let looked_up = select_one(vec![looked_up?.clone()], vec![tie.clone()]);
                if self.promised(site, &looked_up).is_none() {
                    continue;
                }
                let mut changed = select.clone();
                changed.filter[*n] = tie;
                return Some(site.level.with(changed));
            }
        }
        None
    }
}
