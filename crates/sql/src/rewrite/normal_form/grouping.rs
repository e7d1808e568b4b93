//! Aggregates that belong to one row of others, and groups that the level around only selects from.

use std::collections::BTreeSet;

use super::super::dependencies::determines;
use super::super::functions::ignores_duplicates;
use super::super::level::substitute;
use super::super::tree::{Call, Column, Distinct, Expr, From, Output, Query, Select};
use super::super::walk::{has_aggregate, has_window};
use super::classes::same;
use super::joins::followed;
use super::literals::as_value;
use super::{Normalizer, Site, at_this_level, replace_aggregates};

impl Normalizer<'_, '_> {
    /// `SELECT a.id, max(b.x) FROM a LEFT JOIN b … GROUP BY a.id`: where the keys are one row of `a`, each aggregate over
    /// `b` is a scalar subquery.
    pub(super) fn grouped_row(&mut self, site: &Site<'_, '_>) -> Option<Query> {
        let select = site.level.select()?;
        if select.group.is_empty() || select.distinct != Distinct::No {
            return None;
        }
        let joins: Vec<(&From, &Vec<Expr>)> = select.from.iter().filter_map(followed).collect();
        let base: Vec<From> = select.from.iter().filter(|f| !matches!(f, From::Join(_))).cloned().collect();
        let plain = joins.len() + base.len() == select.from.len()
            && !base.is_empty()
            && joins
                .iter()
                .all(|(right, on)| matches!(right, From::Table(_)) && !on.iter().any(Expr::has_query));
        let own: BTreeSet<&str> = base.iter().flat_map(From::aliases).collect();
        let of_base = |e: &Expr| e.sources().iter().all(|s| own.contains(s));
        if !plain
            || joins.is_empty()
            || !select.filter.iter().all(of_base)
            || !select.group.iter().all(of_base)
        {
            return None;
        }
        let keys: BTreeSet<Column> = select
            .group
            .iter()
            .filter_map(|e| if let Expr::Column(c) = e { Some(c.clone()) } else { None })
            .collect();
        let proofs = determines(site.level.scope, &base, &select.filter, &keys).ok()?;
        let mut work = Row { site, joins: &joins, own: &own, bad: false };
        let mut query = site.level.query.clone();
        {
            let changed = query.select_mut()?;
            changed.outputs.iter_mut().for_each(|o| work.replace(&mut o.expr));
            changed.having.iter_mut().for_each(|e| work.replace(e));
            changed.filter.append(&mut changed.having);
            changed.group.clear();
            changed.from = base.clone();
        }
        query.order.iter_mut().for_each(|k| work.replace(&mut k.expr));
        if work.bad {
            return None;
        }
        // What is left must be of the base alone.
        let rest = query.select()?;
        let left = |e: &Expr| {
            let mut outside = false;
            e.walk_level(&mut |e| {
                outside |= matches!(e, Expr::Column(c) if !own.contains(c.source.as_str()));
            });
            outside || has_aggregate(e) || has_window(e)
        };
        if rest.outputs.iter().any(|o| left(&o.expr)) || rest.filter.iter().any(left) {
            return None;
        }
        self.used.extend(proofs);
        Some(super::joins::apart(query, site))
    }

    /// A grouped subquery that is all a level selects from is the level itself: conditions on groups.
    pub(super) fn merged_groups(&mut self, site: &Site<'_, '_>) -> Option<Query> {
        let select = site.level.select()?;
        let [From::Derived(derived)] = select.from.as_slice() else { return None };
        let inner = derived.query.select()?;
        let plain = derived.query.is_bare()
            && inner.is_grouped()
            && inner.distinct == Distinct::No
            && !derived.lateral
            && !inner.outputs.iter().any(|o| has_window(&o.expr) || o.expr.has_query());
        // Windows of the level around are computed over the groups that are left, as its own would be.
        if !plain || select.is_grouped() || select.distinct != Distinct::No {
            return None;
        }
        let nested = select.outputs.iter().map(|o| &o.expr).chain(&select.filter).any(Expr::has_query);
        if nested {
            return None;
        }
        let mut query = site.level.query.clone();
        let with = |column: &Column| {
            let at = (column.source == derived.alias)
                .then(|| derived.columns.iter().position(|name| name == &column.name))
                .flatten()?;
            inner.outputs.get(at).map(|o| as_value(&o.expr))
        };
        let changed = query.select_mut()?;
        changed.outputs.iter_mut().for_each(|o| substitute(&mut o.expr, &with));
        changed.filter.iter_mut().for_each(|e| substitute(e, &with));
        let having = inner.having.iter().cloned().chain(std::mem::take(&mut changed.filter)).collect();
        *changed = Select {
            outputs: std::mem::take(&mut changed.outputs),
            from: inner.from.clone(),
            filter: inner.filter.clone(),
            group: inner.group.clone(),
            sets: Vec::new(),
            having,
            distinct: Distinct::No,
        };
        // Without keys and without an aggregate in the list it would not be grouped any more.
        if !query.select()?.is_grouped() {
            return None;
        }
        query.order.iter_mut().for_each(|k| substitute(&mut k.expr, &with));
        Some(query)
    }

    /// A group by what is the same as the key of a table, and by other columns of that table, is one by the key; and the
    /// greatest of the values of one row is that value.
    pub(super) fn grouped_by_key(&mut self, site: &Site<'_, '_>) -> Option<Query> {
        let select = site.level.select()?;
        let scope = site.level.scope;
        if select.group.is_empty() || !select.sets.is_empty() || !scope.facts.users.operators.is_empty() {
            return None;
        }
        let is_key = |c: &Column| {
            let key = scope.keys(&c.source).into_iter().find(|k| k.columns == [c.name.clone()])?;
            let mut by = scope.stored_not_null(c).ok()?;
            by.insert(key.by);
            Some(by)
        };
        for condition in &select.filter {
            let Expr::Operator { name, left: Some(left), right } = condition else { continue };
            let (Expr::Column(a), Expr::Column(b)) = (&**left, &**right) else { continue };
            for (key, other) in [(a, b), (b, a)] {
                let grouped = |c: &Column| select.group.contains(&Expr::Column(c.clone()));
                let beside = select
                    .group
                    .iter()
                    .any(|e| matches!(e, Expr::Column(c) if c.source == key.source && c.name != key.name));
                if name != "=" || grouped(key) || !grouped(other) || !beside || !same(scope, key, other) {
                    continue;
                }
                let Some(by) = is_key(key) else { continue };
                let put = |e: &mut Expr| {
                    at_this_level(e, &mut |e| {
                        if matches!(e, Expr::Column(c) if c == other) {
                            *e = Expr::Column(key.clone());
                        }
                    });
                };
                let mut query = site.level.query.clone();
                query.order.iter_mut().for_each(|k| put(&mut k.expr));
                let changed = query.select_mut()?;
                changed.group.iter_mut().for_each(put);
                changed.outputs.iter_mut().for_each(|o| put(&mut o.expr));
                changed.having.iter_mut().for_each(put);
                self.used.extend(by);
                return Some(query);
            }
        }
        let mut by = BTreeSet::new();
        let mut one = |e: &mut Expr| {
            at_this_level(e, &mut |e| {
                let Expr::Call(call) = e else { return };
                let [value @ Expr::Column(column)] = call.args.as_slice() else { return };
                let plain = matches!(call.name.as_str(), "min" | "max")
                    && call.schema.is_none()
                    && call.filter.is_none()
                    && call.over.is_none()
                    && !scope.facts.users.is_of_user(call);
                // Of some types it gives another one.
                let kind =
                    scope.type_of(value).filter(|kind| !matches!(kind.as_str(), "varchar" | "name" | "cidr"));
                let key = select.group.iter().find_map(|e| match e {
                    Expr::Column(c) if c.source == column.source => is_key(c),
                    _ => None,
                });
                if let (true, Some(_), Some(key)) = (plain, kind, key) {
                    by.extend(key);
                    *e = value.clone();
                }
            });
        };
        let mut query = site.level.query.clone();
        query.order.iter_mut().for_each(|k| one(&mut k.expr));
        let changed = query.select_mut()?;
        changed.outputs.iter_mut().for_each(|o| one(&mut o.expr));
        changed.having.iter_mut().for_each(&mut one);
        if query == *site.level.query {
            return None;
        }
        self.used.extend(by);
        Some(query)
    }

    /// Columns of a subquery that nobody looks at.
    pub(super) fn unused_columns(&mut self, site: &Site<'_, '_>) -> Option<Query> {
        let select = site.level.select()?;
        for (n, item) in select.from.iter().enumerate() {
            let (derived, outer) = match item {
                From::Derived(derived) => (derived, None),
                other => match followed(other) {
                    Some((From::Derived(derived), on)) => (derived, Some(on)),
                    _ => continue,
                },
            };
            let Some(inner) = derived.query.select() else { continue };
            if inner.distinct != Distinct::No || inner.outputs.len() != derived.columns.len() {
                continue;
            }
            let mut used: BTreeSet<String> = BTreeSet::new();
            site.level.query.walk(&mut |e| {
                if let Expr::Column(c) = e
                    && c.source == derived.alias
                {
                    used.insert(c.name.clone());
                }
            });
            let mut kept: Vec<(Output, String)> = inner
                .outputs
                .iter()
                .cloned()
                .zip(derived.columns.iter().cloned())
                .filter(|(_, name)| used.contains(name))
                .collect();
            // An aggregate in the list is what makes one row of many.
            let grouped = inner.group.is_empty() && inner.is_grouped();
            if kept.is_empty() || grouped && !kept.iter().any(|(o, _)| has_aggregate(&o.expr)) {
                continue;
            }
            kept.sort_by(|a, b| a.0.expr.cmp(&b.0.expr));
            if kept.iter().map(|(o, _)| &o.expr).eq(inner.outputs.iter().map(|o| &o.expr)) {
                continue;
            }
            let mut new = derived.clone();
            new.columns = kept.iter().map(|(_, name)| name.clone()).collect();
            new.query.select_mut()?.outputs = kept.into_iter().map(|(o, _)| o).collect();
            let mut changed = select.clone();
            changed.from[n] = match outer {
                None => From::Derived(new),
                Some(on) => super::joins::following(From::Derived(new), on.clone()),
            };
            return Some(site.level.with(changed));
        }
        None
    }
}

/// Aggregates over what hangs off one row.
struct Row<'r, 's, 'a> {
    site: &'r Site<'s, 'a>,
    joins: &'r [(&'r From, &'r Vec<Expr>)],
    own: &'r BTreeSet<&'r str>,
    bad: bool,
}

impl Row<'_, '_, '_> {
    fn replace(&mut self, expr: &mut Expr) {
        let all = replace_aggregates(expr, |call| self.scalar(call));
        self.bad |= !all;
    }

    /// The column of a joined table that a filter asks not to be NULL.
    fn not_null_in<'f>(&self, filter: &'f Expr) -> Option<&'f Column> {
        let parts = match filter {
            Expr::And(parts) => parts.as_slice(),
            one => std::slice::from_ref(one),
        };
        parts.iter().find_map(|part| match part {
            Expr::IsNull { inner, negated: true } => match &**inner {
                Expr::Column(c) if !self.own.contains(c.source.as_str()) => Some(c),
                _ => None,
            },
            _ => None,
        })
    }

    /// The aggregate as a subquery over the joins that its argument needs.
    fn scalar(&self, call: &Call) -> Option<Expr> {
        let whole = Expr::Call(Box::new(call.clone()));
        // Rows that an outer join adds are passed over: the argument is NULL for them.
        let counted = match call.args.as_slice() {
            [Expr::Column(counted)] => counted,
            [] if call.star => self.not_null_in(call.filter.as_deref()?)?,
            _ => return None,
        };
        let known =
            matches!(call.name.as_str(), "count" | "sum" | "avg" | "min" | "max") && call.schema.is_none();
        if !known || whole.has_query() || self.own.contains(counted.source.as_str()) {
            return None;
        }
        let mut needed: BTreeSet<String> = BTreeSet::from([counted.source.clone()]);
        needed.extend(whole.sources().into_iter().filter(|s| !self.own.contains(s)).map(str::to_owned));
        let (mut from, mut filter) = (Vec::new(), Vec::new());
        // From the last join back to those that it needs.
        let mut used = 0;
        for (right, on) in self.joins.iter().rev() {
            let alias = right.aliases().first().map(|a| (*a).to_owned())?;
            if !needed.contains(&alias) {
                continue;
            }
            used += 1;
            needed.extend(
                on.iter()
                    .flat_map(Expr::sources)
                    .filter(|s| !self.own.contains(s))
                    .map(str::to_owned)
                    .collect::<Vec<_>>(),
            );
            from.insert(0, (*right).clone());
            filter.extend(on.iter().cloned());
            // A row of this join is only there where those before found one: the condition must say so.
            let strict = on
                .iter()
                .flat_map(Expr::columns)
                .filter(|c| !self.own.contains(c.source.as_str()) && c.source != alias)
                .all(|c| {
                    let only = |other: &Column| other == c;
                    on.iter().any(|e| self.site.level.scope.rejects_null(e, &only))
                });
            if !strict {
                return None;
            }
        }
        // Other joins multiply rows, which only some aggregates do not see.
        if used < self.joins.len() && !ignores_duplicates(call) {
            return None;
        }
        let select = Select { outputs: vec![Output::new("value", whole)], from, filter, ..Select::default() };
        Some(Expr::Scalar(Box::new(Query::of(select))))
    }
}
