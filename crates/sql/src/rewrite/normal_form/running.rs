//! Windows over a part up to a row, as subqueries that compare: running aggregates, the row before and after, the first
//! one of a part.
//!
//! A frame of the default kind ends with the peers of a row, so `<=` is what it reads; one of rows ends with the row
//! itself, which is the same where none tie. NULLs have a place in an order and none in a comparison, so no key may be
//! NULL. Source: PostgreSQL manual, "Window Function Calls".

use std::collections::BTreeSet;

use super::super::dependencies::determines;
use super::super::facts::Proofs;
use super::super::functions::Volatility;
use super::super::tree::{Call, Column, Constant, Distinct, Expr, Output, Query, SortKey, Window};
use super::super::walk::has_window;
use super::frames::{DEFAULT, ROWS_SO_FAR, WHOLE};
use super::idioms::has_one_order;
use super::joins::apart;
use super::literals::as_value;
use super::top_rows::{again, comes_before, compares, renamed, same_part};
use super::windows::looked_up;
use super::{Normalizer, Role, Site};

/// What a window over a part says of a row.
enum Of {
    /// An aggregate of the rows up to it and its peers.
    SoFar,
    /// A value of the row before or after it.
    Neighbour { after: bool },
    /// A value of the first row of its part.
    First,
}

fn kind(call: &Call, window: &Window) -> Option<Of> {
    let aggregate =
        matches!(call.name.as_str(), "count" | "sum" | "avg" | "min" | "max" | "bool_and" | "bool_or");
    let plain = call.args.len() == 1 && !call.star && !call.distinct && call.filter.is_none();
    let unbound = window.start.is_none() && window.end.is_none();
    match call.name.as_str() {
        _ if aggregate && unbound && (window.frame == DEFAULT || window.frame == ROWS_SO_FAR) => {
            Some(Of::SoFar)
        }
        "lag" if plain => Some(Of::Neighbour { after: false }),
        "lead" if plain => Some(Of::Neighbour { after: true }),
        "first_value" if plain && unbound && matches!(window.frame, DEFAULT | WHOLE | ROWS_SO_FAR) => {
            Some(Of::First)
        }
        _ => None,
    }
}

fn reversed(order: &[SortKey]) -> Vec<SortKey> {
    let turn = |k: &SortKey| SortKey { descending: !k.descending, nulls_first: !k.nulls_first, ..k.clone() };
    order.iter().map(turn).collect()
}

impl Normalizer<'_, '_> {
    /// A window up to a row as a subquery.
    pub(super) fn running(&mut self, site: &Site<'_, '_>) -> Option<Query> {
        let select = site.level.select()?;
        let scope = site.level.scope;
        if select.is_grouped()
            || !select.sets.is_empty()
            || select.from.is_empty()
            || site.role == Role::Exists
            || matches!(select.distinct, Distinct::On(_))
            || scope.volatility(site.level.query) == Volatility::Volatile
        {
            return None;
        }
        let known = scope.not_null_by_filter(select);
        let own: BTreeSet<&str> = select.aliases().into_iter().collect();
        let mut found: Option<(Call, Window, Of, Proofs)> = None;
        for output in &select.outputs {
            output.expr.walk_level(&mut |e| {
                let Expr::Call(call) = e else { return };
                let Some(window) = call.over.as_deref() else { return };
                if found.is_some() || call.schema.is_some() || scope.facts.users.is_of_user(call) {
                    return;
                }
                let Some(of) = kind(call, window) else { return };
                let inside = |e: &Expr| e.has_query() || has_window(e);
                let parts = window.partition.iter().all(|e| !inside(e) && has_one_order(scope, e));
                let Some(mut proofs) = compares(scope, &window.order, &known).filter(|_| parts) else {
                    return;
                };
                // Rows that tie are read in any order.
                let ties = matches!(of, Of::SoFar) && window.frame == DEFAULT;
                if !ties {
                    let keys = window.partition.iter().chain(window.order.iter().map(|k| &k.expr));
                    let given: BTreeSet<Column> = keys
                        .filter_map(|e| if let Expr::Column(c) = e { Some(c.clone()) } else { None })
                        .collect();
                    match determines(scope, &select.from, &select.filter, &given) {
                        Ok(by) => proofs.extend(by),
                        Err(_) => return,
                    }
                }
                // An aggregate of which every column is of a query around is one of that query.
                let mut alone = call.clone();
                alone.over = None;
                let alone = Expr::Call(alone);
                let sources = alone.sources();
                let here = sources.is_empty() || sources.iter().any(|s| own.contains(s));
                if here && !alone.has_query() {
                    found = Some(((**call).clone(), window.clone(), of, proofs));
                }
            });
        }
        let (call, window, of, proofs) = found?;
        let (mut rows, names) = again(site, &select.from, &select.filter);
        let theirs = |e: &Expr| renamed(e, &names);
        let before = |order: &[SortKey], or_with: bool| comes_before(order, &theirs, or_with);
        let inner = rows.select_mut()?;
        inner.filter.extend(same_part(&window.partition, &names));
        let mut alone = call.clone();
        alone.over = None;
        let whole = Expr::Call(Box::new(call));
        let value = match of {
            Of::SoFar => {
                inner.filter.push(before(&window.order, true));
                theirs(&Expr::Call(Box::new(alone)))
            }
            Of::Neighbour { after } => {
                let order = if after { reversed(&window.order) } else { window.order.clone() };
                inner.filter.push(before(&order, false));
                theirs(&as_value(alone.args.first()?))
            }
            Of::First => theirs(&as_value(alone.args.first()?)),
        };
        inner.outputs = vec![Output::new("value", value)];
        if !matches!(of, Of::SoFar) {
            // The row before is the last one of those that come before.
            let backwards = matches!(of, Of::Neighbour { after: false });
            let order = if backwards { reversed(&window.order) } else { window.order.clone() };
            rows.order = order.into_iter().map(|k| SortKey { expr: theirs(&k.expr), ..k }).collect();
            rows.limit = Some(Expr::Constant(Constant::Integer(1)));
        }
        self.used.extend(proofs);
        Some(apart(looked_up(site, &whole, rows)?, site))
    }

    /// `SELECT DISTINCT k, sum(x) OVER (PARTITION BY k)` is `SELECT k, sum(x) … GROUP BY k`.
    pub(super) fn distinct_parts(&mut self, site: &Site<'_, '_>) -> Option<Query> {
        let select = site.level.select()?;
        let scope = site.level.scope;
        if select.distinct != Distinct::All || select.is_grouped() || !select.sets.is_empty() {
            return None;
        }
        let mut partition: Option<BTreeSet<Expr>> = None;
        let mut bad = site.level.query.order.iter().any(|k| has_window(&k.expr));
        for output in &select.outputs {
            output.expr.walk_level(&mut |e| {
                let Expr::Call(call) = e else { return };
                let Some(window) = call.over.as_deref() else { return };
                let aggregate = matches!(
                    call.name.as_str(),
                    "count" | "sum" | "avg" | "min" | "max" | "bool_and" | "bool_or"
                );
                let of: BTreeSet<Expr> = window.partition.iter().cloned().collect();
                bad |= !aggregate
                    || call.schema.is_some()
                    || scope.facts.users.is_of_user(call)
                    || window.frame != WHOLE
                    || !window.order.is_empty()
                    || call.args.iter().any(|a| a.has_query() || has_window(a))
                    || partition.as_ref().is_some_and(|known| *known != of);
                partition.get_or_insert(of);
            });
        }
        let partition = partition?;
        // Which of values that are equal and not the same stands for a group is open.
        let keys = partition.iter().all(|e| matches!(e, Expr::Column(_)) && scope.equal_is_same(e));
        let listed = |e: &Expr| {
            let mut all = true;
            let mut copy = e.clone();
            super::at_this_level(&mut copy, &mut |e| {
                if matches!(e, Expr::Call(call) if call.over.is_some()) {
                    *e = Expr::Constant(Constant::Null);
                }
            });
            copy.walk_level(&mut |e| all &= !matches!(e, Expr::Column(_)) || partition.contains(e));
            all && !copy.has_query()
        };
        let ordered = site.level.query.order.iter().all(|k| listed(&k.expr));
        if bad || !keys || partition.is_empty() || !ordered || !select.outputs.iter().all(|o| listed(&o.expr))
        {
            return None;
        }
        let mut changed = select.clone();
        changed.group = partition.into_iter().collect();
        for output in &mut changed.outputs {
            super::at_this_level(&mut output.expr, &mut |e| {
                if let Expr::Call(call) = e {
                    call.over = None;
                }
            });
        }
        // Where all keys are listed no two groups are alike.
        if super::listed_keys(&changed) {
            changed.distinct = Distinct::No;
        }
        Some(site.level.with(changed))
    }
}
