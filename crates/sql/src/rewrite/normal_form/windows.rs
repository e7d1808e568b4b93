//! Windows in one form: conditions on what rows are divided by are conditions on the rows, the first row of each part is
//! the one with number one, and an aggregate over a whole part is a subquery of its own.
//!
//! Sources: PostgreSQL manual, "Window Functions" and "DISTINCT Clause"; `check_and_push_window_quals()` and
//! `qual_is_pushdown_safe()` of its planner for what may be asked below a window; Zuzarte et al., "WinMagic" (2003),
//! read backwards.

use std::collections::{BTreeMap, BTreeSet};

use super::super::dependencies::determines;
use super::super::facts::{Proofs, Scope};
use super::super::functions::Volatility;
use super::super::level::{column, substitute};
use super::super::reading::{binary, equal};
use super::super::tree::{
    Call, Column, Constant, Derived, Distinct, Expr, From, JoinKind, Output, Query, Select, SortKey, Window,
};
use super::super::walk::has_window;
use super::frames::{DEFAULT, WHOLE};
use super::joins::followed;
use super::literals::as_value;
use super::{Normalizer, Role, Site, pinned};

const ONE: Expr = Expr::Constant(Constant::Integer(1));

/// The window calls of an expression's own level.
fn windows(expr: &Expr) -> Vec<(&Call, &Window)> {
    let mut found = Vec::new();
    expr.walk_level(&mut |e| {
        if let Expr::Call(call) = e
            && let Some(window) = &call.over
        {
            found.push((&**call, &**window));
        }
    });
    found
}

/// A subquery in `FROM` that computes windows over rows and does nothing with them.
fn windowed(item: &From) -> Option<(&Derived, &Select)> {
    let From::Derived(derived) = item else { return None };
    let inner = derived.query.select()?;
    let plain = derived.query.is_bare()
        && inner.distinct == Distinct::No
        && !inner.is_grouped()
        && inner.outputs.iter().any(|o| has_window(&o.expr))
        && !inner.outputs.iter().any(|o| o.expr.has_query());
    plain.then_some((derived, inner))
}

/// What a subquery lists under a name.
fn listed<'d>(derived: &Derived, inner: &'d Select, column: &Column) -> Option<&'d Expr> {
    let at = (column.source == derived.alias)
        .then(|| derived.columns.iter().position(|name| name == &column.name))
        .flatten()?;
    inner.outputs.get(at).map(|o| &o.expr)
}

/// Whether a call numbers or ranks rows.
fn counts_rows(scope: &Scope<'_>, expr: &Expr, names: &[&str]) -> bool {
    matches!(expr, Expr::Call(call) if call.schema.is_none()
        && call.over.is_some()
        && call.args.is_empty()
        && call.filter.is_none()
        && names.contains(&call.name.as_str())
        && !scope.facts.users.is_of_user(call))
}

/// Whether a window gives the same however rows that tie are read: it does not tell them apart, or none tie.
fn is_determined(scope: &Scope<'_>, inner: &Select, call: &Call, window: &Window) -> bool {
    let of_peers = matches!(
        call.name.as_str(),
        "count"
            | "sum"
            | "avg"
            | "min"
            | "max"
            | "bool_and"
            | "bool_or"
            | "rank"
            | "dense_rank"
            | "percent_rank"
            | "cume_dist"
    );
    if call.schema.is_none() && of_peers && (window.frame == DEFAULT || window.frame == WHOLE) {
        return true;
    }
    let keys = window.partition.iter().chain(window.order.iter().map(|k| &k.expr));
    let given: BTreeSet<Column> =
        keys.filter_map(|e| if let Expr::Column(c) = e { Some(c.clone()) } else { None }).collect();
    determines(scope, &inner.from, &inner.filter, &given).is_ok()
}

/// The query of a level with a subquery in place of each window that is `whole`.
pub(super) fn looked_up(site: &Site<'_, '_>, whole: &Expr, rows: Query) -> Option<Query> {
    let mut query = site.level.query.clone();
    let scalar = Expr::Scalar(Box::new(rows));
    let put = |expr: &mut Expr| {
        super::at_this_level(expr, &mut |e| {
            if e == whole {
                *e = scalar.clone();
            }
        });
    };
    query.order.iter_mut().for_each(|k| put(&mut k.expr));
    query.select_mut()?.outputs.iter_mut().for_each(|o| put(&mut o.expr));
    Some(query)
}

impl Normalizer<'_, '_> {
    pub(super) fn windows(&mut self, site: &Site<'_, '_>) -> Option<Query> {
        self.first_of_each(site)
            .or_else(|| self.first_number(site))
            .or_else(|| self.below_windows(site))
            .or_else(|| self.constant_parts(site))
            .or_else(|| self.rank_of_one(site))
            .or_else(|| self.first_rank(site))
            .or_else(|| self.merged_windows(site))
            .or_else(|| self.distinct_parts(site))
            .or_else(|| self.whole_parts(site))
            .or_else(|| self.running(site))
    }

    /// `DISTINCT ON` keeps the row with number one of each part.
    fn first_of_each(&self, site: &Site<'_, '_>) -> Option<Query> {
        let query = site.level.query;
        let select = query.select()?;
        let Distinct::On(keys) = &select.distinct else { return None };
        let inside = |e: &Expr| has_window(e) || e.has_query();
        if select.is_grouped()
            || select.from.is_empty()
            || select.outputs.iter().any(|o| inside(&o.expr))
            || query.order.iter().any(|k| inside(&k.expr))
        {
            return None;
        }
        let leading = query.order.iter().take_while(|k| keys.contains(&k.expr)).count();
        let (leading, within) = query.order.split_at(leading);
        let alias = site.level.free_name("first");
        let mut outputs: Vec<Output> = Vec::new();
        let mut place = |expr: &Expr| {
            let at = outputs.iter().position(|o| o.expr == *expr).unwrap_or_else(|| {
                outputs.push(Output::new(format!("c{}", outputs.len()), expr.clone()));
                outputs.len() - 1
            });
            column(&alias, &format!("c{at}"))
        };
        let shown = select.outputs.iter().map(|o| Output::new(&o.name, place(&as_value(&o.expr)))).collect();
        let order = leading.iter().map(|k| SortKey { expr: place(&k.expr), ..k.clone() }).collect();
        let mut number = Call::new("row_number", Vec::new());
        number.over = Some(Box::new(Window {
            partition: keys.clone(),
            order: within.to_vec(),
            frame: DEFAULT,
            start: None,
            end: None,
        }));
        outputs.push(Output::new("n", Expr::Call(Box::new(number))));
        let columns = outputs.iter().map(|o| o.name.clone()).collect();
        let inner = Query::of(Select {
            outputs,
            from: select.from.clone(),
            filter: select.filter.clone(),
            ..Select::default()
        });
        let derived = Derived { lateral: false, query: inner, alias: alias.clone(), columns, view: None };
        let outer = Select {
            outputs: shown,
            from: vec![From::Derived(derived)],
            filter: vec![equal(column(&alias, "n"), ONE)],
            ..Select::default()
        };
        Some(Query { order, ..site.level.with(outer) })
    }

    /// No number is less than one: at most one is one.
    fn first_number(&self, site: &Site<'_, '_>) -> Option<Query> {
        let select = site.level.select()?;
        let numbers = |e: &Expr| {
            let Expr::Column(column) = e else { return false };
            let items = select.from.iter().map(|item| followed(item).map_or(item, |(right, _)| right));
            let found = items.filter_map(windowed).find_map(|(d, s)| listed(d, s, column));
            found.is_some_and(|e| counts_rows(site.level.scope, e, &["row_number", "rank", "dense_rank"]))
        };
        let first = |condition: &Expr| {
            matches!(condition, Expr::Operator { name, left: Some(left), right }
                if name == "<=" && **right == ONE && numbers(left))
        };
        let mut changed = select.clone();
        let joined = changed.from.iter_mut().flat_map(|item| match item {
            From::Join(join) if join.kind == JoinKind::Left => join.on.as_mut_slice(),
            _ => &mut [],
        });
        let condition = changed.filter.iter_mut().chain(joined).find(|e| first(e))?;
        if let Expr::Operator { name, .. } = condition {
            *name = "=".into();
        }
        Some(site.level.with(changed))
    }

    /// A condition on what every window divides the rows by takes whole parts away, before or after.
    fn below_windows(&self, site: &Site<'_, '_>) -> Option<Query> {
        let select = site.level.select()?;
        let scope = site.level.scope;
        for (n, item) in select.from.iter().enumerate() {
            let Some((derived, inner)) = windowed(item) else { continue };
            let computed: Vec<(&Call, &Window)> =
                inner.outputs.iter().flat_map(|o| windows(&o.expr)).collect();
            if !computed.iter().all(|(call, window)| is_determined(scope, inner, call, window)) {
                continue;
            }
            let parts: Vec<&Window> = computed.into_iter().map(|(_, window)| window).collect();
            let others: Vec<&str> =
                select.aliases().into_iter().filter(|alias| *alias != derived.alias).collect();
            let divides = |column: &Column| {
                // Of values that are equal and not the same, which make one part, some may satisfy a condition.
                listed(derived, inner, column).is_some_and(|e| {
                    matches!(e, Expr::Column(_))
                        && scope.equal_is_same(e)
                        && parts.iter().all(|w| w.partition.contains(e))
                })
            };
            let movable = |condition: &Expr| {
                let mut own = 0;
                let mut columns = condition.columns().into_iter();
                columns.all(|c| {
                    own += usize::from(c.source == derived.alias);
                    c.source != derived.alias || divides(c)
                }) && own > 0
                    && !others.iter().any(|alias| condition.sources().contains(alias))
                    && scope.is_repeatable(condition)
            };
            let Some(at) = select.filter.iter().position(movable) else { continue };
            let mut changed = select.clone();
            let mut condition = changed.filter.remove(at);
            substitute(&mut condition, &|c| listed(derived, inner, c).cloned());
            let From::Derived(below) = &mut changed.from[n] else { continue };
            below.query.select_mut()?.filter.push(condition);
            return Some(site.level.with(changed));
        }
        None
    }

    /// Where no rows tie, their rank is their number.
    fn rank_of_one(&mut self, site: &Site<'_, '_>) -> Option<Query> {
        let select = site.level.select()?;
        let scope = site.level.scope;
        if select.is_grouped() || select.from.is_empty() {
            return None;
        }
        let mut query = site.level.query.clone();
        let mut proofs = Proofs::new();
        let mut any = false;
        for output in &mut query.select_mut()?.outputs {
            super::at_this_level(&mut output.expr, &mut |e| {
                if !counts_rows(scope, e, &["rank", "dense_rank"]) {
                    return;
                }
                let Expr::Call(call) = e else { return };
                let Some(window) = &call.over else { return };
                let keys = window.partition.iter().chain(window.order.iter().map(|k| &k.expr));
                let given: BTreeSet<Column> = keys
                    .filter_map(|e| if let Expr::Column(c) = e { Some(c.clone()) } else { None })
                    .collect();
                if let Ok(by) = determines(scope, &select.from, &select.filter, &given) {
                    proofs.extend(by);
                    call.name = "row_number".into();
                    any = true;
                }
            });
        }
        self.used.extend(any.then_some(proofs).into_iter().flatten());
        any.then_some(query)
    }

    /// What all rows have alike divides and orders nothing.
    fn constant_parts(&self, site: &Site<'_, '_>) -> Option<Query> {
        let select = site.level.select()?;
        let mut query = site.level.query.clone();
        let mut any = false;
        let mut shorten = |expr: &mut Expr| {
            super::at_this_level(expr, &mut |e| {
                let Expr::Call(call) = e else { return };
                let Some(window) = &mut call.over else { return };
                let alike = |e: &Expr| pinned(select, e) || matches!(e, Expr::Constant(_));
                let before = (window.partition.len(), window.order.len());
                window.partition.sort();
                window.partition.dedup();
                window.partition.retain(|e| !alike(e));
                // An offset of a frame counts along its one key.
                if window.frame == DEFAULT || window.frame == WHOLE {
                    let partition = &window.partition;
                    window.order.retain(|k| !alike(&k.expr) && !partition.contains(&k.expr));
                    // Rows without an order are all peers; a number of rows has no frame.
                    let framed = !matches!(
                        call.name.as_str(),
                        "row_number"
                            | "rank"
                            | "dense_rank"
                            | "percent_rank"
                            | "cume_dist"
                            | "ntile"
                            | "lag"
                            | "lead"
                    );
                    if window.order.is_empty() && framed {
                        window.frame = WHOLE;
                    }
                }
                any |= before != (window.partition.len(), window.order.len());
            });
        };
        query.order.iter_mut().for_each(|k| shorten(&mut k.expr));
        query.select_mut()?.outputs.iter_mut().for_each(|o| shorten(&mut o.expr));
        any.then_some(query)
    }

    /// Of rank one are the rows with the least or greatest value.
    fn first_rank(&mut self, site: &Site<'_, '_>) -> Option<Query> {
        let select = site.level.select()?;
        let scope = site.level.scope;
        for (n, item) in select.from.iter().enumerate() {
            let Some((derived, inner)) = windowed(item) else { continue };
            for (i, condition) in select.filter.iter().enumerate() {
                let Expr::Operator { name, left: Some(left), right } = condition else { continue };
                let Expr::Column(rank) = &**left else { continue };
                let Some(ranked) = listed(derived, inner, rank) else { continue };
                let Expr::Call(call) = ranked else { continue };
                let Some(window) = &call.over else { continue };
                let [key] = window.order.as_slice() else { continue };
                if name != "=" || **right != ONE || !counts_rows(scope, ranked, &["rank", "dense_rank"]) {
                    continue;
                }
                let extreme = Call::new(if key.descending { "max" } else { "min" }, vec![key.expr.clone()]);
                let ordered = scope.type_of(&key.expr).is_some_and(|name| {
                    matches!(
                        name.as_str(),
                        "int2"
                            | "int4"
                            | "int8"
                            | "numeric"
                            | "float4"
                            | "float8"
                            | "date"
                            | "time"
                            | "timestamp"
                            | "timestamptz"
                            | "text"
                    )
                });
                let mut uses = 0;
                site.level
                    .query
                    .walk(&mut |e| uses += usize::from(matches!(e, Expr::Column(c) if c == rank)));
                if uses > 1
                    || !ordered
                    || !scope.facts.users.operators.is_empty()
                    || scope.facts.users.is_of_user(&extreme)
                {
                    continue;
                }
                // The rank of NULL is one where NULLs come first, and the extreme passes them over.
                let known = scope.not_null_by_filter(inner);
                let Ok(proofs) = scope.never_null(&key.expr, &known) else { continue };
                let whole = Window {
                    partition: window.partition.clone(),
                    order: Vec::new(),
                    frame: WHOLE,
                    start: None,
                    end: None,
                };
                let mut extreme = extreme;
                extreme.over = Some(Box::new(whole));
                let mut changed = select.clone();
                let From::Derived(new) = &mut changed.from[n] else { continue };
                let at = derived.columns.iter().position(|name| name == &rank.name)?;
                let outputs = &mut new.query.select_mut()?.outputs;
                outputs[at].expr = Expr::Call(Box::new(extreme));
                let own = outputs.iter().position(|o| o.expr == key.expr);
                let own = own.unwrap_or_else(|| {
                    let mut free = "key".to_owned();
                    while new.columns.contains(&free) {
                        free.push('_');
                    }
                    outputs.push(Output::new(&free, key.expr.clone()));
                    new.columns.push(free);
                    outputs.len() - 1
                });
                let value = column(&derived.alias, &new.columns[own]);
                changed.filter[i] = equal(value, Expr::Column(rank.clone()));
                self.used.extend(proofs);
                return Some(site.level.with(changed));
            }
        }
        None
    }

    /// Windows over all that a level selects from are the level's own.
    fn merged_windows(&self, site: &Site<'_, '_>) -> Option<Query> {
        let select = site.level.select()?;
        let [item] = select.from.as_slice() else { return None };
        let (derived, inner) = windowed(item)?;
        let inside = |e: &Expr| has_window(e) || e.has_query();
        if !select.filter.is_empty()
            || select.is_grouped()
            || matches!(select.distinct, Distinct::On(_))
            || select.outputs.iter().any(|o| inside(&o.expr))
            || site.level.query.order.iter().any(|k| inside(&k.expr))
        {
            return None;
        }
        let with = |c: &Column| listed(derived, inner, c).map(as_value);
        let mut query = site.level.query.clone();
        query.order.iter_mut().for_each(|k| substitute(&mut k.expr, &with));
        let changed = query.select_mut()?;
        changed.outputs.iter_mut().for_each(|o| substitute(&mut o.expr, &with));
        changed.from.clone_from(&inner.from);
        changed.filter.clone_from(&inner.filter);
        Some(query)
    }

    /// An aggregate over a whole part is one over the rows that have the same part.
    fn whole_parts(&mut self, site: &Site<'_, '_>) -> Option<Query> {
        let select = site.level.select()?;
        let scope = site.level.scope;
        if select.is_grouped()
            || select.from.is_empty()
            || site.role == Role::Exists
            || scope.volatility(site.level.query) == Volatility::Volatile
            || !scope.facts.users.operators.is_empty()
        {
            return None;
        }
        let known = scope.not_null_by_filter(select);
        let outputs = select.outputs.iter().map(|o| &o.expr);
        let (call, window) = outputs.flat_map(windows).find(|(call, window)| {
            let aggregate = matches!(
                call.name.as_str(),
                "count" | "sum" | "avg" | "min" | "max" | "bool_and" | "bool_or"
            );
            aggregate
                && call.schema.is_none()
                && !scope.facts.users.is_of_user(call)
                && window.order.is_empty()
                && window.frame == WHOLE
                && window.start.is_none()
                && window.end.is_none()
                && window.partition.iter().all(|e| {
                    // Of a type of an extension "=" may be another operator than the one that divides.
                    let own = scope.type_of(e).is_some_and(|name| !name.contains('.'));
                    own && matches!(e, Expr::Column(_)) && scope.never_null(e, &known).is_ok()
                })
        })?;
        let mut alone = call.clone();
        alone.over = None;
        let value = Expr::Call(Box::new(alone));
        // An aggregate of which every column is of a query around is one of that query.
        let own: BTreeSet<&str> = select.aliases().into_iter().collect();
        let sources = value.sources();
        if value.has_query() || !sources.is_empty() && !sources.iter().any(|s| own.contains(s)) {
            return None;
        }
        for key in &window.partition {
            self.used.extend(scope.never_null(key, &known).ok()?);
        }
        let rows = Select {
            outputs: vec![Output::new("value", value)],
            from: select.from.clone(),
            filter: select.filter.clone(),
            ..Select::default()
        };
        let mut rows = Query::of(rows);
        let names: BTreeMap<String, String> =
            rows.all_names().into_iter().map(|name| (name.clone(), site.level.free_name(&name))).collect();
        rows.rename(&names);
        for key in &window.partition {
            let Expr::Column(theirs) = key else { continue };
            let source = names.get(&theirs.source).unwrap_or(&theirs.source).clone();
            let same = binary("=", Expr::Column(Column { source, name: theirs.name.clone() }), key.clone());
            rows.select_mut()?.filter.push(same);
        }
        let whole = Expr::Call(Box::new(call.clone()));
        Some(super::joins::apart(looked_up(site, &whole, rows)?, site))
    }
}
