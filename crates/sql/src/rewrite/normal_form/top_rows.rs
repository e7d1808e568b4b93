//! The first rows of each part: joined laterally with a limit, numbered by a window, or those before which there is none.
//!
//! A window divides rows by the equality of their type and takes NULLs as one part; a lateral subquery finds by `=`, which
//! NULL never satisfies. So one is the other where a part is given by equalities that tell the same values apart. A first
//! row is one before which there is none only if no key of the order is NULL and none tie.

use std::collections::{BTreeMap, BTreeSet};

use super::super::dependencies::{determines, pins};
use super::super::facts::{Proofs, Scope};
use super::super::functions::Volatility;
use super::super::level::{column, select_one};
use super::super::reading::{all_of, any_of, binary, equal};
use super::super::tree::{
    Call, Column, Constant, Derived, Distinct, Expr, From, Join, JoinKind, Query, Select, SortKey, Window,
};
use super::super::walk::has_window;
use super::cuts::listed_as;
use super::frames::DEFAULT;
use super::idioms::has_one_order;
use super::joins::{following, subquery_of};
use super::{Normalizer, Role, Site, Style};

/// A lateral subquery that gives the first rows of an order, and how many.
fn first_rows(item: &From) -> Option<(&Derived, &Select, i64, Option<&Vec<Expr>>)> {
    let (derived, on) = subquery_of(item)?;
    let inner = derived.query.select()?;
    let Some(Expr::Constant(Constant::Integer(limit @ 1..))) = derived.query.limit else { return None };
    let inside = |e: &Expr| has_window(e) || e.has_query();
    let plain = derived.lateral
        && derived.query.offset.is_none()
        && !derived.query.with_ties
        && derived.query.ctes.is_empty()
        && !derived.query.order.is_empty()
        && !inner.is_grouped()
        && inner.sets.is_empty()
        && inner.distinct == Distinct::No
        && !inner.from.is_empty()
        && inner.from.iter().all(|f| matches!(f, From::Table(_)))
        && !inner.outputs.iter().any(|o| inside(&o.expr))
        && !inner.filter.iter().any(Expr::has_query)
        && !derived.query.order.iter().any(|k| inside(&k.expr))
        && inner.outputs.len() == derived.columns.len();
    plain.then_some((derived, inner, limit, on))
}

/// Whether one row comes before another in an order without NULLs; with `or_with` also where they tie.
pub(super) fn comes_before(order: &[SortKey], of: &dyn Fn(&Expr) -> Expr, or_with: bool) -> Expr {
    let mut arms = Vec::new();
    for (i, key) in order.iter().enumerate() {
        let mut parts: Vec<Expr> = order[..i].iter().map(|k| equal(of(&k.expr), k.expr.clone())).collect();
        let operator = match (key.descending, or_with && i + 1 == order.len()) {
            (false, false) => "<",
            (false, true) => "<=",
            (true, false) => ">",
            (true, true) => ">=",
        };
        parts.push(binary(operator, of(&key.expr), key.expr.clone()));
        arms.push(all_of(parts));
    }
    any_of(arms)
}

/// Proves that no key of an order is NULL and that comparing them orders as the order does.
pub(super) fn compares(scope: &Scope<'_>, order: &[SortKey], known: &BTreeSet<Column>) -> Option<Proofs> {
    let mut proofs = Proofs::new();
    for key in order {
        if key.expr.has_query() || has_window(&key.expr) || !has_one_order(scope, &key.expr) {
            return None;
        }
        proofs.extend(scope.never_null(&key.expr, known).ok()?);
    }
    (!order.is_empty() && scope.facts.users.operators.is_empty()).then_some(proofs)
}

/// The rows of a level once more, under names of their own.
pub(super) fn again(
    site: &Site<'_, '_>,
    from: &[From],
    filter: &[Expr],
) -> (Query, BTreeMap<String, String>) {
    let mut rows = select_one(from.to_vec(), filter.to_vec());
    let names: BTreeMap<String, String> =
        rows.all_names().into_iter().map(|name| (name.clone(), site.level.free_name(&name))).collect();
    rows.rename(&names);
    (rows, names)
}

/// An expression of those rows.
pub(super) fn renamed(expr: &Expr, names: &BTreeMap<String, String>) -> Expr {
    let mut new = expr.clone();
    super::super::level::substitute(&mut new, &|c| {
        let source = names.get(&c.source)?.clone();
        Some(Expr::Column(Column { source, name: c.name.clone() }))
    });
    new
}

/// What a window divides rows by, as a condition between two rows; NULLs are in one part.
pub(super) fn same_part(partition: &[Expr], names: &BTreeMap<String, String>) -> Vec<Expr> {
    let same = |key: &Expr| Expr::Distinct {
        left: Box::new(renamed(key, names)),
        right: Box::new(key.clone()),
        negated: true,
    };
    partition.iter().map(same).collect()
}

/// The conditions of rows once more, beside an outer join that asks the same: what is compared with the rows around is
/// compared with the row that is joined, which is equal to them.
fn beside(scope: &Scope<'_>, inner: &Select, names: &BTreeMap<String, String>) -> Vec<Expr> {
    let own: BTreeSet<&str> = inner.aliases().into_iter().collect();
    let here = |e: &Expr| matches!(e, Expr::Column(c) if own.contains(c.source.as_str()));
    let elsewhere = |e: &Expr| !e.sources().iter().any(|s| own.contains(s)) && !e.has_query();
    let again = |condition: &Expr| {
        if let Expr::Operator { name, left: Some(left), right } = condition
            && name == "="
        {
            for (key, value) in [(left, right), (right, left)] {
                if here(key) && elsewhere(value) && has_one_order(scope, key) && pins(scope, key, value) {
                    return same_part(std::slice::from_ref(key), names).remove(0);
                }
            }
        }
        renamed(condition, names)
    };
    inner.filter.iter().map(again).collect()
}

impl Normalizer<'_, '_> {
    pub(super) fn top_rows(&mut self, site: &Site<'_, '_>) -> Option<Query> {
        self.none_before(site)
            .or_else(|| self.numbered(site))
            .or_else(|| self.number_one(site))
            .or_else(|| self.first_value_joined(site))
    }

    /// A column of a first row is that of an outer join with the row before which there is none.
    fn first_value_joined(&mut self, site: &Site<'_, '_>) -> Option<Query> {
        let select = site.level.select()?;
        if self.style == Style::Subqueries
            || select.is_grouped()
            || !select.sets.is_empty()
            || select.from.is_empty()
            || site.role == Role::Exists
        {
            return None;
        }
        let mut wanted: Option<Query> = None;
        let mut look = |expr: &Expr| {
            expr.walk_level(&mut |e| {
                if let Expr::Scalar(query) = e
                    && wanted.is_none()
                    && query.limit == Some(Expr::Constant(Constant::Integer(1)))
                {
                    wanted = Some((**query).clone());
                }
            });
        };
        select.outputs.iter().for_each(|o| look(&o.expr));
        let query = wanted?;
        let inner = query.select()?;
        let [output] = inner.outputs.as_slice() else { return None };
        let inside = |e: &Expr| has_window(e) || e.has_query();
        let own: BTreeSet<&str> = inner.aliases().into_iter().collect();
        let around: BTreeSet<&str> = select.aliases().into_iter().collect();
        let plain = query.offset.is_none()
            && !query.with_ties
            && query.ctes.is_empty()
            && !inner.is_grouped()
            && inner.sets.is_empty()
            && inner.distinct == Distinct::No
            && matches!(inner.from.as_slice(), [From::Table(_)])
            && matches!(&output.expr, Expr::Column(c) if own.contains(c.source.as_str()))
            && !inner.filter.iter().any(inside)
            && query.outer_columns().iter().all(|c| around.contains(c.source.as_str()));
        if !plain {
            return None;
        }
        let known = site.level.scope.not_null_by_filter(inner);
        let mut proofs = compares(site.level.scope, &query.order, &known)?;
        let given: BTreeSet<Column> = query
            .order
            .iter()
            .filter_map(|k| if let Expr::Column(c) = &k.expr { Some(c.clone()) } else { None })
            .collect();
        proofs.extend(determines(site.level.scope, &inner.from, &inner.filter, &given).ok()?);
        let (mut rows, names) = again(site, &inner.from, &[]);
        let filter = &mut rows.select_mut()?.filter;
        filter.extend(beside(site.level.scope, inner, &names));
        filter.push(comes_before(&query.order, &|e| renamed(e, &names), false));
        let none = Expr::Not(Box::new(Expr::Exists(Box::new(rows))));
        let on = inner.filter.iter().cloned().chain([none]).collect();
        let mut changed = site.level.query.clone();
        let value = output.expr.clone();
        let put = |expr: &mut Expr| {
            super::at_this_level(expr, &mut |e| {
                if matches!(e, Expr::Scalar(q) if **q == query) {
                    *e = value.clone();
                }
            });
        };
        changed.order.iter_mut().for_each(|k| put(&mut k.expr));
        let level = changed.select_mut()?;
        level.outputs.iter_mut().for_each(|o| put(&mut o.expr));
        level.from.push(following(inner.from.first()?.clone(), on));
        self.used.extend(proofs);
        Some(changed)
    }

    /// `LATERAL (SELECT … WHERE k = outer.x ORDER BY o LIMIT n)` as rows of number `n` at most in the part of `k`.
    fn numbered(&mut self, site: &Site<'_, '_>) -> Option<Query> {
        let select = site.level.select()?;
        let scope = site.level.scope;
        if scope.facts.users.operators.contains("=") {
            return None;
        }
        for (n, item) in select.from.iter().enumerate() {
            let Some((derived, inner, limit, on)) = first_rows(item) else { continue };
            if limit == 1 && self.style == Style::Subqueries {
                continue;
            }
            let own: BTreeSet<&str> = inner.aliases().into_iter().collect();
            let here = |e: &Expr| e.sources().iter().all(|s| own.contains(s));
            let elsewhere = |e: &Expr| !e.sources().iter().any(|s| own.contains(s));
            let (local, correlated): (Vec<Expr>, Vec<Expr>) = inner.filter.iter().cloned().partition(here);
            let given: Option<Vec<(Expr, Expr)>> = correlated
                .iter()
                .map(|condition| {
                    let Expr::Operator { name, left: Some(left), right } = condition else { return None };
                    let pair = |key: &Expr, value: &Expr| {
                        let fits = matches!(key, Expr::Column(_))
                            && here(key)
                            && elsewhere(value)
                            && !value.has_query()
                            && scope.is_repeatable(value)
                            && pins(scope, key, value);
                        fits.then(|| (key.clone(), value.clone()))
                    };
                    (name == "=").then(|| pair(left, right).or_else(|| pair(right, left)))?
                })
                .collect();
            let Some(given) = given else { continue };
            let keys: BTreeSet<&Expr> = given.iter().map(|(key, _)| key).collect();
            let plain = inner.outputs.iter().all(|o| here(&o.expr))
                && derived.query.order.iter().all(|k| here(&k.expr))
                && keys.len() == given.len()
                && !given.is_empty();
            if !plain {
                continue;
            }
            let mut number = Call::new("row_number", Vec::new());
            number.over = Some(Box::new(Window {
                partition: given.iter().map(|(key, _)| key.clone()).collect(),
                order: derived.query.order.clone(),
                frame: DEFAULT,
                start: None,
                end: None,
            }));
            let mut new = derived.clone();
            new.lateral = false;
            new.query = Query::of(Select { filter: local, ..inner.clone() });
            let mut conditions = Vec::new();
            for (key, value) in given {
                let name = listed_as(&mut new, &key)?;
                conditions.push(equal(column(&new.alias, &name), value));
            }
            let name = listed_as(&mut new, &Expr::Call(Box::new(number)))?;
            let limit = Expr::Constant(Constant::Integer(limit));
            conditions.push(binary("<=", column(&new.alias, &name), limit));
            let mut changed = select.clone();
            match on {
                None => {
                    changed.from[n] = From::Derived(new);
                    changed.filter.extend(conditions);
                }
                Some(on) => {
                    conditions.extend(on.iter().cloned());
                    changed.from[n] = following(From::Derived(new), conditions);
                }
            }
            return Some(site.level.with(changed));
        }
        None
    }

    /// `LATERAL (SELECT … ORDER BY o LIMIT 1)` as the row before which there is none.
    fn none_before(&mut self, site: &Site<'_, '_>) -> Option<Query> {
        let select = site.level.select()?;
        let scope = site.level.scope;
        if self.style == Style::Subqueries {
            return None;
        }
        for (n, item) in select.from.iter().enumerate() {
            let Some((derived, inner, 1, on)) = first_rows(item) else { continue };
            let known = scope.not_null_by_filter(inner);
            let order = &derived.query.order;
            let Some(mut proofs) = compares(scope, order, &known) else { continue };
            let given: BTreeSet<Column> = order
                .iter()
                .filter_map(|k| if let Expr::Column(c) = &k.expr { Some(c.clone()) } else { None })
                .collect();
            let Ok(by) = determines(scope, &inner.from, &inner.filter, &given) else { continue };
            proofs.extend(by);
            let (mut rows, names) = again(site, &inner.from, &[]);
            let filter = &mut rows.select_mut()?.filter;
            match on {
                None => filter.extend(inner.filter.iter().map(|e| renamed(e, &names))),
                Some(_) => filter.extend(beside(scope, inner, &names)),
            }
            filter.push(comes_before(order, &|e| renamed(e, &names), false));
            let none = Expr::Not(Box::new(Expr::Exists(Box::new(rows))));
            let mut changed = select.clone();
            // The sources stand where the subquery stood; what it listed is named by what it is.
            match on {
                None => {
                    changed.from.splice(n..=n, inner.from.iter().cloned());
                    changed.filter.extend(inner.filter.iter().cloned().chain([none]));
                }
                Some(on) => {
                    let shown = |o: &Expr| matches!(o, Expr::Column(c) if names.contains_key(&c.source));
                    if !inner.outputs.iter().all(|o| shown(&o.expr)) {
                        continue;
                    }
                    let mut sources = inner.from.iter().cloned();
                    let first = sources.next()?;
                    let right = sources.fold(first, |left, right| {
                        From::Join(Box::new(Join { kind: JoinKind::Inner, left, right, on: Vec::new() }))
                    });
                    let on = inner.filter.iter().chain(on).cloned().chain([none]).collect();
                    changed.from[n] = following(right, on);
                }
            }
            let mut query = site.level.with(changed);
            query.transform(&mut |e| {
                if let Expr::Column(c) = e
                    && c.source == derived.alias
                    && let Some(at) = derived.columns.iter().position(|name| name == &c.name)
                    && let Some(output) = inner.outputs.get(at)
                {
                    *e = super::literals::as_value(&output.expr);
                }
            });
            self.used.extend(proofs);
            return Some(query);
        }
        None
    }

    /// The row with number one is the row of its part before which there is none.
    fn number_one(&mut self, site: &Site<'_, '_>) -> Option<Query> {
        let select = site.level.select()?;
        let scope = site.level.scope;
        if self.style == Style::Subqueries || scope.volatility(site.level.query) == Volatility::Volatile {
            return None;
        }
        for (n, item) in select.from.iter().enumerate() {
            let Some((derived, on)) = subquery_of(item) else { continue };
            let Some(inner) = derived.query.select() else { continue };
            let plain = derived.query.is_bare()
                && !derived.lateral
                && !inner.is_grouped()
                && inner.sets.is_empty()
                && inner.distinct == Distinct::No
                && !inner.outputs.iter().any(|o| o.expr.has_query())
                && inner.outputs.len() == derived.columns.len()
                && inner.outputs.iter().filter(|o| has_window(&o.expr)).count() == 1;
            let Some(at) = inner.outputs.iter().position(|o| has_window(&o.expr)).filter(|_| plain) else {
                continue;
            };
            let Expr::Call(call) = &inner.outputs[at].expr else { continue };
            let Some(window) = call.over.as_deref() else { continue };
            let number = column(&derived.alias, &derived.columns[at]);
            let mut uses = 0;
            site.level.query.walk(&mut |e| uses += usize::from(*e == number));
            let wanted = equal(number, Expr::Constant(Constant::Integer(1)));
            let conditions = on.unwrap_or(&select.filter);
            let Some(condition) = conditions.iter().position(|e| *e == wanted) else { continue };
            let keys = window.partition.iter().chain(window.order.iter().map(|k| &k.expr));
            let given: BTreeSet<Column> =
                keys.filter_map(|e| if let Expr::Column(c) = e { Some(c.clone()) } else { None }).collect();
            if call.name != "row_number"
                || call.schema.is_some()
                || call.filter.is_some()
                || scope.facts.users.is_of_user(call)
                || uses != 1
                || !window.partition.iter().all(|e| has_one_order(scope, e))
            {
                continue;
            }
            let known = scope.not_null_by_filter(inner);
            let Some(mut proofs) = compares(scope, &window.order, &known) else { continue };
            let Ok(by) = determines(scope, &inner.from, &inner.filter, &given) else { continue };
            proofs.extend(by);
            let (mut rows, names) = again(site, &inner.from, &inner.filter);
            let filter = &mut rows.select_mut()?.filter;
            filter.extend(same_part(&window.partition, &names));
            filter.push(comes_before(&window.order, &|e| renamed(e, &names), false));
            let mut new = derived.clone();
            new.columns.remove(at);
            let inside = new.query.select_mut()?;
            inside.outputs.remove(at);
            inside.filter.push(Expr::Not(Box::new(Expr::Exists(Box::new(rows)))));
            let mut changed = select.clone();
            let mut rest = conditions.clone();
            rest.remove(condition);
            match on {
                None => {
                    changed.filter = rest;
                    changed.from[n] = From::Derived(new);
                }
                Some(_) => changed.from[n] = following(From::Derived(new), rest),
            }
            self.used.extend(proofs);
            return Some(site.level.with(changed));
        }
        None
    }
}
