//! Joins in one form: what is inner is a list of sources, outer joins follow one by one, subqueries that only
//! select are merged, and outer joins that are none are inner, anti-joins or nothing.

use std::collections::BTreeSet;

use super::super::dependencies::{determines_sources, pins};
use super::super::functions;
use super::super::level::{Level, conditions, select_one, substitute};
use super::super::tree::{
    Call, Column, Constant, Derived, Distinct, Expr, From, Join, JoinKind, Query, Select,
};
use super::super::walk::{has_aggregate, has_window};
use super::literals::as_value;
use super::{Normalizer, Role, Site, Style};

/// Stands on the left of an outer join for all sources before it.
fn before() -> From {
    From::Cte { name: String::new(), alias: String::new(), columns: Vec::new() }
}

/// An outer join that follows the other sources.
pub(super) fn following(right: From, on: Vec<Expr>) -> From {
    From::Join(Box::new(Join { kind: JoinKind::Left, left: before(), right, on }))
}

/// The parts of an outer join that follows the other sources.
pub(super) fn followed(item: &From) -> Option<(&From, &Vec<Expr>)> {
    match item {
        From::Join(join) if join.kind == JoinKind::Left && join.left == before() => {
            Some((&join.right, &join.on))
        }
        _ => None,
    }
}

/// A subquery in `FROM`, and what it is joined on where it is an outer join that follows.
pub(super) fn subquery_of(item: &From) -> Option<(&Derived, Option<&Vec<Expr>>)> {
    match item {
        From::Derived(derived) => Some((derived, None)),
        other => match followed(other)? {
            (From::Derived(derived), on) => Some((derived, Some(on))),
            _ => None,
        },
    }
}

impl Normalizer<'_, '_> {
    /// `a JOIN b ON … LEFT JOIN c ON …` as sources, conditions and outer joins that follow.
    pub(super) fn flattened(&self, site: &Site<'_, '_>) -> Option<Query> {
        let select = site.level.select()?;
        let flat = select.from.iter().all(|f| !matches!(f, From::Join(_)) || followed(f).is_some());
        let full = select.from.iter().any(has_full);
        if flat || full {
            return None;
        }
        let mut changed = select.clone();
        changed.from.clear();
        let mut joins = Vec::new();
        for item in &select.from {
            take_apart(item, &mut changed.from, &mut joins, &mut changed.filter);
        }
        changed.from.extend(joins);
        Some(site.level.with(changed))
    }

    /// An outer join whose missing rows a condition throws away.
    pub(super) fn outer_to_inner(&self, site: &Site<'_, '_>) -> Option<Query> {
        let select = site.level.select()?;
        for (n, item) in select.from.iter().enumerate() {
            let Some((right, on)) = followed(item) else { continue };
            let aliases: BTreeSet<&str> = right.aliases().into_iter().collect();
            let missing = |c: &Column| aliases.contains(c.source.as_str());
            if !select.filter.iter().any(|e| site.level.scope.rejects_null(e, &missing)) {
                continue;
            }
            if has_full(right) {
                continue;
            }
            let mut changed = select.clone();
            changed.from.remove(n);
            let (mut base, mut joins) = (Vec::new(), Vec::new());
            take_apart(right, &mut base, &mut joins, &mut changed.filter);
            changed.filter.extend(on.iter().cloned());
            // Sources first, outer joins behind them.
            let at =
                changed.from.iter().position(|f| matches!(f, From::Join(_))).unwrap_or(changed.from.len());
            changed.from.splice(at..at, base);
            changed.from.extend(joins);
            return Some(site.level.with(changed));
        }
        None
    }

    /// A full join of which rows without one of its sides are not wanted.
    pub(super) fn full_to_left(&self, site: &Site<'_, '_>) -> Option<Query> {
        let select = site.level.select()?;
        for (n, item) in select.from.iter().enumerate() {
            let From::Join(join) = item else { continue };
            if join.kind != JoinKind::Full {
                continue;
            }
            let wanted = |side: &From| {
                let aliases: BTreeSet<&str> = side.aliases().into_iter().collect();
                let missing = |c: &Column| aliases.contains(c.source.as_str());
                select.filter.iter().any(|e| site.level.scope.rejects_null(e, &missing))
            };
            let mut changed = (**join).clone();
            changed.kind = JoinKind::Left;
            if wanted(&join.right) && !wanted(&join.left) {
                std::mem::swap(&mut changed.left, &mut changed.right);
            } else if !wanted(&join.left) {
                continue;
            }
            let mut select = select.clone();
            select.from[n] = From::Join(Box::new(changed));
            return Some(site.level.with(select));
        }
        None
    }

    /// An outer join of which only the missing rows are wanted.
    pub(super) fn outer_to_anti(&mut self, site: &Site<'_, '_>) -> Option<Query> {
        let select = site.level.select()?;
        let scope = site.level.scope;
        for (i, condition) in select.filter.iter().enumerate() {
            let Expr::IsNull { inner, negated: false } = condition else { continue };
            let Expr::Column(tested) = &**inner else { continue };
            if !scope.is_scalar(inner) {
                continue;
            }
            for (n, item) in select.from.iter().enumerate() {
                let Some((right, on)) = followed(item) else { continue };
                if matches!(right, From::Join(_)) || right.aliases() != [tested.source.as_str()] {
                    continue;
                }
                let only = |c: &Column| c == tested;
                let proved = if on.iter().any(|e| scope.rejects_null(e, &only)) {
                    Ok(Default::default())
                } else {
                    scope.stored_not_null(tested)
                };
                let Ok(proofs) = proved else { continue };
                if used_elsewhere(&site.level, select, &tested.source, n, Some(i)) {
                    continue;
                }
                self.used.extend(proofs);
                let mut changed = select.clone();
                changed.from.remove(n);
                changed.filter[i] =
                    Expr::Not(Box::new(Expr::Exists(Box::new(select_one(vec![right.clone()], on.clone())))));
                return Some(site.level.with(changed));
            }
        }
        None
    }

    /// An outer join of which nothing is used, and that finds one row at most.
    pub(super) fn unused_outer(&mut self, site: &Site<'_, '_>) -> Option<Query> {
        let select = site.level.select()?;
        for (n, item) in select.from.iter().enumerate() {
            let Some((right, on)) = followed(item) else { continue };
            let aliases: BTreeSet<String> = right.aliases().into_iter().map(str::to_owned).collect();
            if aliases.iter().any(|a| used_elsewhere(&site.level, select, a, n, None)) {
                continue;
            }
            if site.duplicates_count() {
                let outside: BTreeSet<Column> = on
                    .iter()
                    .flat_map(Expr::columns)
                    .filter(|c| !aliases.contains(&c.source))
                    .cloned()
                    .collect();
                let one =
                    determines_sources(site.level.scope, std::slice::from_ref(right), on, &outside, &aliases);
                let Ok(proofs) = one else { continue };
                self.used.extend(proofs);
            }
            let mut changed = select.clone();
            changed.from.remove(n);
            return Some(site.level.with(changed));
        }
        None
    }

    /// A subquery in `FROM` that only selects is part of the level.
    pub(super) fn merged_subquery(&self, site: &Site<'_, '_>) -> Option<Query> {
        let select = site.level.select()?;
        for (n, item) in select.from.iter().enumerate() {
            let Some((derived, on)) = subquery_of(item) else { continue };
            let Some(inner) = derived.query.select() else { continue };
            let plain = derived.query.is_bare()
                && inner.distinct == Distinct::No
                && !inner.is_grouped()
                && !inner.outputs.iter().any(|o| has_window(&o.expr) || on.is_some() && o.expr.has_query());
            if !plain || inner.from.is_empty() {
                continue;
            }
            let mut changed = select.clone();
            if on.is_some() {
                // Where no row is found its columns are NULL, which a plain column of a source is as well.
                let columns = inner.outputs.iter().all(
                    |o| matches!(&o.expr, Expr::Column(c) if inner.aliases().contains(&c.source.as_str())),
                );
                let simple = inner.from.iter().all(|f| !matches!(f, From::Join(_)));
                let asks = inner.filter.iter().any(Expr::has_query) && self.style == Style::Subqueries;
                if !columns || !simple || asks {
                    continue;
                }
                let mut sources = inner.from.iter().cloned();
                let Some(first) = sources.next() else { continue };
                let right = sources.fold(first, |left, right| {
                    From::Join(Box::new(Join { kind: JoinKind::Inner, left, right, on: Vec::new() }))
                });
                let on = on.into_iter().flatten().chain(&inner.filter).cloned().collect();
                changed.from[n] = following(right, on);
            } else {
                changed.from.splice(n..=n, inner.from.iter().cloned());
                changed.filter.extend(inner.filter.iter().cloned());
                let (base, joins): (Vec<From>, Vec<From>) =
                    changed.from.into_iter().partition(|f| !matches!(f, From::Join(_)));
                changed.from = [base, joins].concat();
            }
            let mut query = site.level.with(changed);
            let with = |column: &Column| {
                if column.source != derived.alias {
                    return None;
                }
                let at = derived.columns.iter().position(|name| name == &column.name)?;
                inner.outputs.get(at).map(|o| as_value(&o.expr))
            };
            query.children_mut(&mut |child| match child {
                super::super::walk::ChildMut::Expr(e) => substitute(e, &with),
                super::super::walk::ChildMut::Query(q) => q.transform(&mut |e| {
                    if let Expr::Column(column) = e
                        && let Some(new) = with(column)
                    {
                        *e = new;
                    }
                }),
            });
            // What was listed once may now stand at several places.
            let listed_queries = inner.outputs.iter().any(|o| o.expr.has_query());
            return Some(if listed_queries { apart(query, site) } else { query });
        }
        None
    }

    /// A subquery that aggregates is what each of its values is by itself: one scalar subquery per value.
    pub(super) fn aggregate_to_scalar(&self, site: &Site<'_, '_>) -> Option<Query> {
        let select = site.level.select()?;
        if select.is_grouped() {
            return None;
        }
        for (n, item) in select.from.iter().enumerate() {
            let (derived, on, outer) = match item {
                From::Derived(derived) => (derived, &select.filter, false),
                other => match followed(other) {
                    Some((From::Derived(derived), on)) => (derived, on, true),
                    _ => continue,
                },
            };
            let Some(inner) = derived.query.select() else { continue };
            if let Some(found) = super::first_rows::joined(site, n, derived, on, outer) {
                return Some(found);
            }
            let plain = derived.query.is_bare()
                && inner.distinct == Distinct::No
                && inner.is_grouped()
                && !inner.outputs.iter().any(|o| has_window(&o.expr) || o.expr.has_query());
            if !plain {
                continue;
            }
            let found = if inner.group.is_empty() {
                one_row(site, n, derived, inner, on, outer)
            } else if !inner.having.is_empty() {
                None
            } else {
                grouped(site, select, n, derived, inner, on, outer)
            };
            if found.is_some() {
                return found;
            }
        }
        None
    }

    /// A scalar subquery that looks one row up is an outer join.
    pub(super) fn looked_up_scalar(&mut self, site: &Site<'_, '_>) -> Option<Query> {
        let select = site.level.select()?;
        if select.is_grouped() || select.from.is_empty() || site.role == Role::Exists {
            return None;
        }
        let mut wanted: Option<Query> = None;
        let mut look = |expr: &Expr| {
            expr.walk_level(&mut |e| {
                if let Expr::Scalar(query) = e
                    && wanted.is_none()
                    && lookup(query).is_some()
                {
                    wanted = Some((**query).clone());
                }
            });
        };
        select.outputs.iter().for_each(|o| look(&o.expr));
        select.filter.iter().for_each(&mut look);
        site.level.query.order.iter().for_each(|k| look(&k.expr));
        let query = wanted?;
        let inner = query.select()?;
        let aliases: BTreeSet<String> = inner.aliases().into_iter().map(str::to_owned).collect();
        let outside: BTreeSet<Column> = query.outer_columns().into_iter().cloned().collect();
        let own: BTreeSet<&str> = select.aliases().into_iter().collect();
        if outside.iter().any(|c| !own.contains(c.source.as_str())) {
            return None;
        }
        let proofs =
            determines_sources(site.level.scope, &inner.from, &inner.filter, &outside, &aliases).ok()?;
        self.used.extend(proofs);
        let mut sources = inner.from.iter().cloned();
        let first = sources.next()?;
        let right = sources.fold(first, |left, right| {
            From::Join(Box::new(Join { kind: JoinKind::Inner, left, right, on: Vec::new() }))
        });
        let value = inner.outputs.first()?.expr.clone();
        let mut changed = site.level.query.clone();
        changed.transform(&mut |e| {
            if matches!(e, Expr::Scalar(q) if **q == query) {
                *e = value.clone();
            }
        });
        changed.select_mut()?.from.push(following(right, inner.filter.clone()));
        Some(changed)
    }
}

/// A scalar subquery that gives a column of a row.
fn lookup(query: &Query) -> Option<&Column> {
    let select = query.select()?;
    let plain = query.is_bare()
        && select.distinct == Distinct::No
        && !select.is_grouped()
        && !select.from.is_empty()
        && select.from.iter().all(|f| matches!(f, From::Table(_)))
        && !select.filter.iter().any(Expr::has_query);
    match select.outputs.as_slice() {
        [one] if plain => match &one.expr {
            Expr::Column(c) if select.aliases().contains(&c.source.as_str()) => Some(c),
            _ => None,
        },
        _ => None,
    }
}

/// An aggregate over all rows is one row: its columns are scalar subqueries.
fn one_row(
    site: &Site<'_, '_>,
    n: usize,
    derived: &Derived,
    inner: &Select,
    on: &[Expr],
    outer: bool,
) -> Option<Query> {
    if outer && !on.is_empty() {
        return None;
    }
    // The row is there when some rows are counted.
    let mut exists = None;
    let mut inner = inner.clone();
    match std::mem::take(&mut inner.having).as_slice() {
        [] => {}
        [Expr::Operator { name, left: Some(left), right }] if !outer => {
            let counts =
                matches!(&**left, Expr::Call(call) if is_count(call) && call.star && call.filter.is_none());
            let some = matches!(
                (name.as_str(), &**right),
                (">", Expr::Constant(Constant::Integer(0))) | (">=", Expr::Constant(Constant::Integer(1)))
            );
            if !counts || !some {
                return None;
            }
            exists = Some(Expr::Exists(Box::new(select_one(inner.from.clone(), inner.filter.clone()))));
        }
        _ => return None,
    }
    let inner = &inner;
    let mut query = site.level.query.clone();
    query.select_mut()?.from.remove(n);
    query.select_mut()?.filter.extend(exists);
    if query.select()?.from.is_empty() {
        return None;
    }
    let with = |column: &Column| {
        if column.source != derived.alias {
            return None;
        }
        let at = derived.columns.iter().position(|name| name == &column.name)?;
        let output = inner.outputs.get(at)?.clone();
        // Without an aggregate in its list it would give a row for each of its rows.
        if !has_aggregate(&output.expr) {
            return Some(as_value(&output.expr));
        }
        let of = Select {
            outputs: vec![super::super::tree::Output { name: "value".into(), ..output }],
            ..inner.clone()
        };
        Some(Expr::Scalar(Box::new(Query::of(of))))
    };
    query.transform(&mut |e| {
        if let Expr::Column(column) = e
            && let Some(new) = with(column)
        {
            *e = new;
        }
    });
    Some(apart(query, site))
}

/// A grouped subquery whose keys are all compared with something is an aggregate over one group.
fn grouped(
    site: &Site<'_, '_>,
    select: &Select,
    n: usize,
    derived: &Derived,
    inner: &Select,
    on: &[Expr],
    outer: bool,
) -> Option<Query> {
    if derived.lateral {
        return None;
    }
    let key_at = |column: &Column| -> Option<usize> {
        if column.source != derived.alias {
            return None;
        }
        let at = derived.columns.iter().position(|name| name == &column.name)?;
        inner.group.iter().position(|key| Some(key) == inner.outputs.get(at).map(|o| &o.expr))
    };
    let mut values: Vec<Option<Expr>> = vec![None; inner.group.len()];
    let mut compared = Vec::new();
    for (i, condition) in on.iter().enumerate() {
        if !condition.sources().contains(derived.alias.as_str()) {
            if outer {
                return None;
            }
            continue;
        }
        let pair = match condition {
            Expr::Operator { name, left: Some(left), right } if name == "=" => match (&**left, &**right) {
                (Expr::Column(c), other)
                    if key_at(c).is_some() && !other.sources().contains(derived.alias.as_str()) =>
                {
                    Some((key_at(c)?, other.clone()))
                }
                (other, Expr::Column(c))
                    if key_at(c).is_some() && !other.sources().contains(derived.alias.as_str()) =>
                {
                    Some((key_at(c)?, other.clone()))
                }
                _ => None,
            },
            _ => None,
        };
        match pair {
            Some((key, value)) if values[key].is_none() => {
                // A group of values that are equal and not the same has one of them as its key.
                if !site.level.scope.equal_is_same(&inner.group[key])
                    || !pins(site.level.scope, &inner.group[key], &value)
                {
                    return None;
                }
                values[key] = Some(value);
                compared.push(i);
            }
            _ if outer => return None,
            _ => {}
        }
    }
    let values: Vec<Expr> = values.into_iter().collect::<Option<_>>()?;
    let mut rows = inner.clone();
    rows.group.clear();
    rows.filter.extend(
        inner.group.iter().zip(&values).map(|(k, v)| super::super::reading::equal(k.clone(), v.clone())),
    );
    let mut changed = select.clone();
    changed.from.remove(n);
    if changed.from.is_empty() {
        return None;
    }
    if !outer {
        let mut i = 0;
        changed.filter.retain(|_| {
            i += 1;
            !compared.contains(&(i - 1))
        });
        // An inner join finds a row where the group has one.
        changed.filter.push(Expr::Exists(Box::new(select_one(rows.from.clone(), rows.filter.clone()))));
    }
    let mut query = site.level.with(changed);
    let mut bad = false;
    query.transform(&mut |e| {
        // A count that is missing and one that is zero are told apart only by COALESCE.
        if let Expr::Coalesce(list) = e
            && let [inner_value, Expr::Constant(Constant::Integer(0))] = list.as_slice()
            && let Expr::Scalar(q) = inner_value
            && let Some(marked) = q.select().and_then(|s| s.outputs.first())
            && marked.name == "\u{0}count"
        {
            let mut q = (**q).clone();
            if let Some(o) = q.select_mut().and_then(|s| s.outputs.first_mut()) {
                o.name = "value".into();
            }
            *e = Expr::Scalar(Box::new(q));
            return;
        }
        let Expr::Column(column) = e else { return };
        if column.source != derived.alias {
            return;
        }
        let Some(at) = derived.columns.iter().position(|name| name == &column.name) else {
            bad = true;
            return;
        };
        let Some(output) = inner.outputs.get(at) else {
            bad = true;
            return;
        };
        if !has_aggregate(&output.expr) {
            bad = true;
            return;
        }
        let counts = matches!(&output.expr, Expr::Call(call) if is_count(call));
        let nothing = matches!(&output.expr, Expr::Call(call) if is_null_of_nothing(call));
        if outer && !counts && !nothing {
            bad = true;
            return;
        }
        let name = if outer && counts { "\u{0}count" } else { "value" };
        let of = Select {
            outputs: vec![super::super::tree::Output::new(name, output.expr.clone())],
            ..rows.clone()
        };
        *e = Expr::Scalar(Box::new(Query::of(of)));
    });
    // A count that was used without COALESCE.
    query.walk(&mut |e| {
        if let Expr::Scalar(q) = e {
            bad |= q.select().and_then(|s| s.outputs.first()).is_some_and(|o| o.name == "\u{0}count");
        }
    });
    if bad {
        return None;
    }
    Some(apart(query, site))
}

fn is_count(call: &Call) -> bool {
    call.schema.is_none() && call.name == "count" && call.over.is_none()
}

/// Aggregates that give NULL for no rows.
fn is_null_of_nothing(call: &Call) -> bool {
    const LIST: [&str; 16] = [
        "array_agg",
        "avg",
        "bool_and",
        "bool_or",
        "every",
        "max",
        "min",
        "stddev",
        "stddev_pop",
        "stddev_samp",
        "string_agg",
        "sum",
        "var_pop",
        "var_samp",
        "variance",
        "bit_or",
    ];
    functions::is_aggregate(call)
        && call.schema.is_none()
        && call.over.is_none()
        && LIST.contains(&call.name.as_str())
}

/// Copies of one subquery get sources of their own.
pub(super) fn apart(mut query: Query, site: &Site<'_, '_>) -> Query {
    let mut seen: BTreeSet<String> = BTreeSet::new();
    query.transform(&mut |e| {
        let q = match e {
            Expr::Scalar(q) | Expr::Exists(q) => q,
            _ => return,
        };
        let names: std::collections::BTreeMap<String, String> = q
            .all_names()
            .into_iter()
            .filter(|name| !seen.insert(name.clone()))
            .map(|name| {
                let free = site.level.free_name(&name);
                (name, free)
            })
            .collect();
        q.rename(&names);
        seen.extend(names.into_values());
    });
    query
}

fn has_full(item: &From) -> bool {
    match item {
        From::Join(join) => join.kind == JoinKind::Full || has_full(&join.left) || has_full(&join.right),
        _ => false,
    }
}

/// Takes an item of `FROM` apart. The conditions of inner joins hold for all rows; an outer join may follow all sources,
/// because what an inner join adds to its left side does not change what it finds.
fn take_apart(item: &From, base: &mut Vec<From>, joins: &mut Vec<From>, filter: &mut Vec<Expr>) {
    match item {
        From::Join(_) if followed(item).is_some() => joins.push(item.clone()),
        From::Join(join) => {
            take_apart(&join.left, base, joins, filter);
            match join.kind {
                JoinKind::Inner => {
                    take_apart(&join.right, base, joins, filter);
                    filter.extend(join.on.iter().cloned());
                }
                _ => joins.push(following(join.right.clone(), join.on.clone())),
            }
        }
        leaf => base.push(leaf.clone()),
    }
}

/// Whether a level uses columns of a source outside of the join that brings it and of one condition.
pub(super) fn used_elsewhere(
    level: &Level<'_, '_>,
    select: &Select,
    alias: &str,
    item: usize,
    condition: Option<usize>,
) -> bool {
    let of = |e: &Expr| e.sources().contains(alias);
    select.outputs.iter().any(|o| of(&o.expr))
        || select.filter.iter().enumerate().any(|(i, e)| Some(i) != condition && of(e))
        || select.group.iter().chain(&select.having).any(of)
        || matches!(&select.distinct, Distinct::On(keys) if keys.iter().any(of))
        || level.query.order.iter().any(|k| of(&k.expr))
        || select.from.iter().enumerate().any(|(n, f)| {
            n != item
                && (conditions(f).into_iter().any(of)
                    || f.leaves().iter().any(
                        |l| matches!(l, From::Derived(d) if d.query.outer_columns().iter().any(|c| c.source == alias)),
                    ))
        })
}
