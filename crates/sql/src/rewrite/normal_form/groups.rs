//! Groups in one form: where a group belongs to one row, each aggregate over it is a subquery of that row, and what is asked
//! of a group is a condition on that subquery.
//!
//! Source: Galindo-Legaria and Joshi, "Orthogonal Optimization of Subqueries and Aggregation" (2001), read backwards: an
//! aggregate of a join, an aggregated subquery that is joined and a correlated one are the same.

use std::collections::BTreeSet;

use super::super::dependencies::{determines, pins};
use super::super::functions::is_aggregate;
use super::super::level::{column, select_one, substitute};
use super::super::tree::{Call, Column, Distinct, Expr, From, Output, Query, Select};
use super::super::walk::{ChildMut, has_aggregate, has_window};
use super::joins::apart;
use super::literals::as_value;
use super::{Normalizer, Role, Site, at_this_level, replace_aggregates};

/// The sources of groups, and who names columns of them.
struct Rows<'r> {
    from: &'r [From],
    filter: &'r [Expr],
    bad: bool,
}

impl Rows<'_> {
    fn own(&self) -> BTreeSet<&str> {
        self.from.iter().flat_map(From::aliases).collect()
    }

    /// Puts a subquery over the rows in place of each aggregate.
    fn replace(&mut self, expr: &mut Expr) {
        let all = replace_aggregates(expr, |call| self.scalar(call));
        self.bad |= !all;
    }

    fn scalar(&self, call: &Call) -> Option<Expr> {
        let known = matches!(
            call.name.as_str(),
            "count" | "sum" | "avg" | "min" | "max" | "bool_and" | "bool_or" | "every"
        );
        let whole = Expr::Call(Box::new(call.clone()));
        let sources = whole.sources();
        // An aggregate of which every column is of a query around is one of that query.
        let here = sources.is_empty() || sources.iter().any(|s| self.own().contains(s));
        if !known || call.schema.is_some() || whole.has_query() || !here {
            return None;
        }
        let select = Select {
            outputs: vec![Output::new("value", whole)],
            from: self.from.to_vec(),
            filter: self.filter.to_vec(),
            ..Select::default()
        };
        Some(Expr::Scalar(Box::new(Query::of(select))))
    }

    /// Whether an expression still names a column of the rows at its own level.
    fn is_left_in(&self, expr: &Expr) -> bool {
        let own = self.own();
        let mut left = has_aggregate(expr);
        expr.walk_level(&mut |e| left |= matches!(e, Expr::Column(c) if own.contains(c.source.as_str())));
        left
    }
}

impl Normalizer<'_, '_> {
    pub(super) fn groups(&mut self, site: &Site<'_, '_>) -> Option<Query> {
        self.one_value(site)
            .or_else(|| self.passed_over(site))
            .or_else(|| self.counted_distinct(site))
            .or_else(|| self.asked_of_groups(site))
            .or_else(|| self.group_that_exists(site))
            .or_else(|| self.joined_groups(site))
    }

    /// `SELECT (SELECT max(x) FROM t)` is `SELECT max(x) FROM t`.
    fn one_value(&self, site: &Site<'_, '_>) -> Option<Query> {
        let query = site.level.query;
        let select = query.select()?;
        let [output] = select.outputs.as_slice() else { return None };
        let Expr::Scalar(of) = &output.expr else { return None };
        let inner = of.select()?;
        let [value] = inner.outputs.as_slice() else { return None };
        let alone = select.from.is_empty()
            && select.filter.is_empty()
            && !select.is_grouped()
            && select.distinct == Distinct::No
            && query.is_bare()
            && matches!(site.role, Role::Root | Role::Rows | Role::Scalar);
        let one_row = of.is_bare()
            && !inner.from.is_empty()
            && inner.group.is_empty()
            && inner.sets.is_empty()
            && inner.having.is_empty()
            && inner.distinct == Distinct::No
            && has_aggregate(&value.expr)
            && !has_window(&value.expr);
        if !alone || !one_row {
            return None;
        }
        let mut of = (**of).clone();
        of.select_mut()?.outputs[0].name.clone_from(&output.name);
        Some(of)
    }

    /// Rows that every aggregate passes over need not be left out.
    fn passed_over(&self, site: &Site<'_, '_>) -> Option<Query> {
        let select = site.level.select()?;
        if !select.group.is_empty() || !select.sets.is_empty() || !select.is_grouped() {
            return None;
        }
        let at = select.filter.iter().position(|condition| {
            let Expr::IsNull { inner, negated: true } = condition else { return false };
            let mut every = matches!(**inner, Expr::Column(_));
            let mut look = |expr: &Expr| {
                expr.walk_level(&mut |e| {
                    let Expr::Call(call) = e else { return };
                    if call.over.is_none() && is_aggregate(call) {
                        let known = matches!(
                            call.name.as_str(),
                            "count" | "sum" | "avg" | "min" | "max" | "bool_and" | "bool_or"
                        );
                        every &= known && call.schema.is_none() && call.args == [(**inner).clone()];
                    }
                });
            };
            select.outputs.iter().for_each(|o| look(&o.expr));
            select.having.iter().for_each(&mut look);
            site.level.query.order.iter().for_each(|k| look(&k.expr));
            every
        })?;
        let mut changed = select.clone();
        changed.filter.remove(at);
        Some(site.level.with(changed))
    }

    /// Values that a subquery makes distinct may as well be counted as distinct ones.
    fn counted_distinct(&mut self, site: &Site<'_, '_>) -> Option<Query> {
        let select = site.level.select()?;
        let [From::Derived(derived)] = select.from.as_slice() else { return None };
        let inner = derived.query.select()?;
        let inside = |e: &Expr| has_window(e) || e.has_query();
        let plain = derived.query.is_bare()
            && !derived.lateral
            && inner.distinct == Distinct::All
            && !inner.is_grouped()
            && !inner.from.is_empty()
            && !inner.outputs.iter().any(|o| inside(&o.expr));
        if !plain
            || !select.is_grouped()
            || !select.filter.is_empty()
            || !select.sets.is_empty()
            || select.distinct != Distinct::No
            || select.outputs.iter().any(|o| inside(&o.expr))
            || select.having.iter().any(inside)
            || site.level.query.order.iter().any(|k| inside(&k.expr))
        {
            return None;
        }
        let listed = |c: &Column| {
            let at = (c.source == derived.alias)
                .then(|| derived.columns.iter().position(|name| name == &c.name))
                .flatten()?;
            inner.outputs.get(at).map(|o| as_value(&o.expr))
        };
        let all: BTreeSet<Expr> = inner.outputs.iter().map(|o| as_value(&o.expr)).collect();
        let keys: BTreeSet<Expr> = select
            .group
            .iter()
            .map(|e| if let Expr::Column(c) = e { listed(c) } else { None })
            .collect::<Option<_>>()?;
        let mut rest = all.difference(&keys);
        let (value, None) = (rest.next()?.clone(), rest.next()) else { return None };
        let filled = site.level.scope.never_null(&value, &site.level.scope.not_null_by_filter(inner));
        let mut proofs = super::super::facts::Proofs::new();
        let mut bad = false;
        let mut count = |expr: &mut Expr| {
            at_this_level(expr, &mut |e| {
                let Expr::Call(call) = e else { return };
                if !is_aggregate(call) {
                    return;
                }
                let plain = call.name == "count" && call.schema.is_none() && call.order.is_empty();
                // A count of a column is written as one of the rows in which it is not NULL.
                let filled_only = match call.filter.as_deref() {
                    Some(Expr::IsNull { inner, negated: true }) => {
                        matches!(&**inner, Expr::Column(c) if listed(c).as_ref() == Some(&value))
                    }
                    _ => false,
                };
                bad |= call.filter.is_some() && !(call.star && filled_only);
                let counted = match call.args.as_slice() {
                    [] if call.star && filled_only => true,
                    [] if call.star && filled.is_ok() => {
                        proofs.extend(filled.iter().flatten().cloned());
                        true
                    }
                    [Expr::Column(c)] => listed(c).as_ref() == Some(&value),
                    _ => false,
                };
                bad |= !plain || !counted;
                let mut distinct = Call::new("count", vec![value.clone()]);
                distinct.distinct = true;
                *e = Expr::Call(Box::new(distinct));
            });
            substitute(expr, &listed);
        };
        let mut query = site.level.query.clone();
        query.order.iter_mut().for_each(|k| count(&mut k.expr));
        let changed = query.select_mut()?;
        changed.outputs.iter_mut().for_each(|o| count(&mut o.expr));
        changed.having.iter_mut().for_each(&mut count);
        changed.group.iter_mut().for_each(|e| substitute(e, &listed));
        changed.from.clone_from(&inner.from);
        changed.filter.clone_from(&inner.filter);
        if bad {
            return None;
        }
        self.used.extend(proofs);
        Some(query)
    }

    /// A condition on the groups of a subquery that is joined is one on what it lists.
    fn asked_of_groups(&self, site: &Site<'_, '_>) -> Option<Query> {
        let select = site.level.select()?;
        if select.from.len() < 2 {
            return None;
        }
        for (n, item) in select.from.iter().enumerate() {
            let From::Derived(derived) = item else { continue };
            let Some(inner) = derived.query.select() else { continue };
            let plain = derived.query.is_bare()
                && !derived.lateral
                && !inner.group.is_empty()
                && inner.sets.is_empty()
                && !inner.having.is_empty()
                && inner.distinct == Distinct::No
                && !inner.having.iter().any(|e| e.has_query() || has_window(e))
                && !inner.outputs.iter().any(|o| o.expr.has_query() || has_window(&o.expr));
            if !plain {
                continue;
            }
            let mut new = derived.clone();
            let mut asked = std::mem::take(&mut new.query.select_mut()?.having);
            let mut lift = Lift { inner, derived: &mut new };
            asked.iter_mut().for_each(|e| lift.lift(e));
            let mut changed = select.clone();
            changed.from[n] = From::Derived(new);
            changed.filter.extend(asked);
            return Some(site.level.with(changed));
        }
        None
    }

    /// `EXISTS` over groups of which the keys are given: the group has rows, and what is asked of it holds.
    fn group_that_exists(&self, site: &Site<'_, '_>) -> Option<Query> {
        let select = site.level.select()?;
        let scope = site.level.scope;
        for (i, condition) in select.filter.iter().enumerate() {
            let Expr::Exists(query) = condition else { continue };
            let Some(inner) = query.select() else { continue };
            let own: BTreeSet<&str> = inner.aliases().into_iter().collect();
            let outside = |e: &Expr| !e.sources().iter().any(|s| own.contains(s));
            let given = |key: &Expr| {
                inner.filter.iter().any(|condition| {
                    let Expr::Operator { name, left: Some(left), right } = condition else { return false };
                    let of = |own: &Expr, value: &Expr| {
                        own == key && outside(value) && scope.equal_is_same(key) && pins(scope, key, value)
                    };
                    name == "=" && (of(left, right) || of(right, left))
                })
            };
            let plain = query.is_bare()
                && !inner.group.is_empty()
                && inner.sets.is_empty()
                && !matches!(inner.distinct, Distinct::On(_))
                && !inner.filter.iter().chain(&inner.having).any(Expr::has_query)
                && inner.group.iter().all(given);
            if !plain || inner.having.is_empty() {
                continue;
            }
            let mut rows = Rows { from: &inner.from, filter: &inner.filter, bad: false };
            let mut asked = inner.having.clone();
            asked.iter_mut().for_each(|e| rows.replace(e));
            if rows.bad || asked.iter().any(|e| rows.is_left_in(e)) {
                continue;
            }
            let mut changed = select.clone();
            changed.filter[i] = Expr::Exists(Box::new(select_one(inner.from.clone(), inner.filter.clone())));
            changed.filter.extend(asked);
            return Some(apart(site.level.with(changed), site));
        }
        None
    }

    /// `SELECT a.id, max(b.x) FROM a JOIN b ON … GROUP BY a.id`: where the keys are one row of `a`, each aggregate over `b`
    /// is a scalar subquery, and there is a row of `b`.
    fn joined_groups(&mut self, site: &Site<'_, '_>) -> Option<Query> {
        let select = site.level.select()?;
        let plain = !select.group.is_empty()
            && select.sets.is_empty()
            && select.distinct == Distinct::No
            && !select.from.iter().any(|f| match f {
                From::Table(_) => false,
                From::Derived(d) => d.lateral,
                _ => true,
            })
            && !select.outputs.iter().any(|o| has_window(&o.expr) || o.expr.has_query())
            && !select.having.iter().any(Expr::has_query);
        if !plain {
            return None;
        }
        let keyed: BTreeSet<&str> = select.group.iter().flat_map(Expr::sources).collect();
        let of_keys = |f: &From| f.aliases().iter().all(|a| keyed.contains(a));
        let (base, from): (Vec<From>, Vec<From>) = select.from.iter().cloned().partition(of_keys);
        if base.is_empty() || from.is_empty() {
            return None;
        }
        let away: BTreeSet<&str> = from.iter().flat_map(From::aliases).collect();
        let (inside, outside): (Vec<Expr>, Vec<Expr>) =
            select.filter.iter().cloned().partition(|e| e.sources().iter().any(|s| away.contains(s)));
        let keys: BTreeSet<Column> = select
            .group
            .iter()
            .filter_map(|e| if let Expr::Column(c) = e { Some(c.clone()) } else { None })
            .collect();
        let proofs = determines(site.level.scope, &base, &outside, &keys).ok()?;
        let mut rows = Rows { from: &from, filter: &inside, bad: false };
        let mut query = site.level.query.clone();
        query.order.iter_mut().for_each(|k| rows.replace(&mut k.expr));
        let changed = query.select_mut()?;
        changed.outputs.iter_mut().for_each(|o| rows.replace(&mut o.expr));
        changed.having.iter_mut().for_each(|e| rows.replace(e));
        changed.filter = outside;
        changed.filter.append(&mut changed.having);
        changed.group.clear();
        changed.from = base;
        let rest = query.select()?;
        if rows.bad
            || rest.outputs.iter().any(|o| rows.is_left_in(&o.expr))
            || rest.filter.iter().any(|e| rows.is_left_in(e))
            || query.order.iter().any(|k| rows.is_left_in(&k.expr))
        {
            return None;
        }
        let some = Expr::Exists(Box::new(select_one(from.clone(), inside.clone())));
        query.select_mut()?.filter.push(some);
        self.used.extend(proofs);
        Some(apart(query, site))
    }
}

/// Makes of what is asked of groups what is asked of the columns that a subquery lists.
struct Lift<'l> {
    inner: &'l Select,
    derived: &'l mut super::super::tree::Derived,
}

impl Lift<'_> {
    fn lift(&mut self, expr: &mut Expr) {
        let aggregate = matches!(expr, Expr::Call(call) if call.over.is_none() && is_aggregate(call));
        if aggregate || self.inner.group.contains(expr) {
            *expr = self.listed(expr);
            return;
        }
        expr.children_mut(&mut |child| {
            if let ChildMut::Expr(e) = child {
                self.lift(e);
            }
        });
    }

    fn listed(&mut self, expr: &Expr) -> Expr {
        let derived = &mut *self.derived;
        let outputs = derived.query.select().map(|s| s.outputs.clone()).unwrap_or_default();
        let at = outputs.iter().position(|o| o.expr == *expr).unwrap_or_else(|| {
            let mut free = "asked".to_owned();
            while derived.columns.contains(&free) {
                free.push('_');
            }
            if let Some(select) = derived.query.select_mut() {
                select.outputs.push(Output::new(&free, expr.clone()));
            }
            derived.columns.push(free);
            outputs.len()
        });
        column(&derived.alias, &derived.columns[at])
    }
}
