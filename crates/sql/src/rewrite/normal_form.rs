//! When do two queries say the same? When they become the same by steps that each keep the answer, on every
//! database that respects the catalogue.
//!
//! A query is brought into a normal form: subqueries are merged, `IN` becomes `EXISTS`, what is only looked up
//! becomes a semi-join, joins that a key or a foreign key makes superfluous go, conditions are written in one way,
//! sources get names by their place. Two queries with one normal form are equivalent; nothing is concluded from two
//! different ones. Sources: Pirahesh, Hellerstein and Hasan, "Extensible/Rule Based Query Rewrite Optimization in
//! Starburst" (1992); Chu et al., "HoTTSQL" (2017), for what is sound over bags and NULLs.
//!
//! Every step is an equivalence by itself, so their order matters for what is found and not for whether it is right.

mod aggregates;
mod alternatives;
mod asked;
mod bounds;
mod canonical;
mod choices;
mod classes;
mod comparisons;
mod conditions;
mod conjunctions;
mod cuts;
mod documents;
mod exists;
mod first_rows;
mod frames;
mod grouping;
mod grouping_sets;
mod groups;
mod idioms;
mod joins;
mod literals;
mod operators;
mod ranges;
mod running;
mod self_joins;
mod sets;
mod shared;
mod tested_outer;
mod top_rows;
mod unions;
mod windows;

use std::collections::BTreeSet;

pub(crate) use self::comparisons::{coalesce_compared, is_list_of};
pub(crate) use self::conjunctions::part_of_span;
pub(crate) use self::literals::as_value;
pub(crate) use self::sets::{branches_are_disjoint, contradict, families, listed};
use super::facts::{Facts, Proofs, Scope};
use super::functions::{self, Volatility};
use super::level::{Level, column};
use super::tree::{Body, Call, Column, Distinct, Expr, From, Query, Select};
use super::walk::{Child, has_aggregate, has_window};

/// Where a query stands, which says what of its answer counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// The statement: rows, and their order.
    Root,
    /// Only whether there is a row.
    Exists,
    /// Only which values there are.
    Member,
    /// One value.
    Scalar,
    /// A bag of rows.
    Rows,
}

/// What first rows become. What is a subquery of one row for one pair is a join without an earlier row for another, and
/// neither form is made of the other wherever it is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// The first row is looked up by itself.
    Subqueries,
    /// The first row is one before which there is none.
    Rows,
}

/// How many steps a query may take: far more than any needs.
const MAX_STEPS: usize = 300;

pub(crate) struct Normalizer<'f, 'a> {
    facts: &'f Facts<'a>,
    /// What the steps rest on.
    pub used: Proofs,
    style: Style,
    /// Whether the order of the statement's rows counts.
    order_is_asked: bool,
    /// Whether an aggregate, a window or an array depends on the order in which it sees rows.
    order_counts: bool,
}

/// A level with what a step needs to know of it.
struct Site<'s, 'a> {
    level: Level<'s, 'a>,
    role: Role,
}

impl<'f, 'a> Normalizer<'f, 'a> {
    pub fn new(facts: &'f Facts<'a>, style: Style, order_is_asked: bool) -> Self {
        Self { facts, used: Proofs::new(), style, order_is_asked, order_counts: false }
    }

    /// The normal form, or why there is none.
    pub fn normal_form(&mut self, root: &Query) -> Result<Query, String> {
        let mut root = root.clone();
        grouping_sets::expand(&Scope::new(self.facts, &root), &mut root);
        unions::list_elements(self.facts, &mut root);
        if let Some(reason) = super::restrictions::of_statement(&root) {
            return Err(reason.into());
        }
        grouping_sets::type_nulls(&Scope::new(self.facts, &root), &mut root);
        let scope = Scope::new(self.facts, &root);
        if scope.volatility(&root) == Volatility::Volatile {
            return Err("it calls a function that may give something else each time".into());
        }
        let mut shown = None;
        root.walk(&mut |e| {
            shown = shown.take().or_else(|| asks_how(e));
            self.order_counts |= match e {
                Expr::Call(call) => {
                    call.over.is_some() || functions::is_aggregate(call) && depends_on_order(&call.name)
                }
                Expr::ArrayOf(_) => true,
                _ => false,
            };
        });
        if let Some(name) = shown {
            return Err(format!("{name}() tells how a value is written and not which it is"));
        }
        determined(&scope, &root)?;
        let mut root = sets::with_settled_types(&scope, &root);
        root.levels_mut(&mut |query| query.offset = query.offset.take().filter(|o| !is_zero(o)));
        frames::simplify(&mut root);
        sets::inline_ctes(&mut root)?;
        forget_stars(&mut root);
        for _ in 0..MAX_STEPS {
            let simplified = self.simplify(&root);
            match self.step(&simplified) {
                Some(next) => root = next,
                None if simplified == root => {
                    classes::merge(&Scope::new(self.facts, &root), &mut root);
                    return Ok(canonical::canonical(root));
                }
                None => root = simplified,
            }
        }
        Err("it is too complex".into())
    }

    /// Conditions and values written in one way.
    fn simplify(&mut self, root: &Query) -> Query {
        let scope = Scope::new(self.facts, root);
        let mut root = root.clone();
        let mut used = std::mem::take(&mut self.used);
        root.levels_inside_out(&mut |query| conditions::simplify_level(&scope, query, &mut used));
        self.used = used;
        root
    }

    /// One step at one level; `None` when no step is left.
    fn step(&mut self, root: &Query) -> Option<Query> {
        let scope = Scope::new(self.facts, root);
        let mut levels = Vec::new();
        roles(root, Role::Root, &mut levels);
        let names = root.all_names();
        for (number, (query, role)) in levels.iter().enumerate() {
            let level = Level { scope: &scope, query, is_root: number == 0, names: names.clone().into() };
            let site = Site { level, role: *role };
            if let Some(new) = self.at(&site) {
                return Some(super::replaced(root, number, new));
            }
        }
        None
    }

    fn at(&mut self, site: &Site<'_, '_>) -> Option<Query> {
        self.cut_branches(site)
            .or_else(|| self.unordered(site))
            .or_else(|| self.set_operation(site))
            .or_else(|| self.member_of_set(site))
            .or_else(|| self.only_existence(site))
            .or_else(|| self.flattened(site))
            .or_else(|| self.full_to_left(site))
            .or_else(|| self.outer_to_inner(site))
            .or_else(|| self.outer_to_parent(site))
            .or_else(|| self.outer_to_anti(site))
            .or_else(|| self.tested_outer(site))
            .or_else(|| self.unused_outer(site))
            .or_else(|| self.merged_subquery(site))
            .or_else(|| self.joined_to_itself(site))
            .or_else(|| self.cuts(site))
            .or_else(|| self.selected_of_union(site))
            .or_else(|| self.joined_values(site))
            .or_else(|| self.spread_values(site))
            .or_else(|| self.asked(site))
            .or_else(|| self.shared(site))
            .or_else(|| self.top_rows(site))
            .or_else(|| self.aggregate_to_scalar(site))
            .or_else(|| self.looked_up_scalar(site))
            .or_else(|| self.greatest_of(site))
            .or_else(|| self.spared(site))
            .or_else(|| self.hoisted(site))
            .or_else(|| self.merged_exists(site))
            .or_else(|| self.parent_that_exists(site))
            .or_else(|| self.itself_exists(site))
            .or_else(|| self.semi_join(site))
            .or_else(|| self.merged_groups(site))
            .or_else(|| self.grouped_by_key(site))
            .or_else(|| self.plain_grouping(site))
            .or_else(|| self.grouped_row(site))
            .or_else(|| self.groups(site))
            .or_else(|| self.windows(site))
            .or_else(|| self.unused_columns(site))
            .or_else(|| self.no_distinct(site))
            .or_else(|| self.shorter_order(site))
    }

    /// Order counts where the rows are seen in it or cut by it.
    fn unordered(&self, site: &Site<'_, '_>) -> Option<Query> {
        let query = site.level.query;
        let cut = query.limit.is_some() || query.offset.is_some();
        let distinct_on = matches!(query.select().map(|s| &s.distinct), Some(Distinct::On(_)));
        let seen = site.role == Role::Root && self.order_is_asked;
        if query.order.is_empty() || cut || seen || distinct_on {
            return None;
        }
        if site.role == Role::Rows && self.order_counts {
            return None;
        }
        Some(Query { order: Vec::new(), ..query.clone() })
    }

    /// Of what only existence counts, the list, the order and duplicates do not.
    fn only_existence(&self, site: &Site<'_, '_>) -> Option<Query> {
        let query = site.level.query;
        let select = query.select()?;
        if site.role != Role::Exists && site.role != Role::Member {
            return None;
        }
        let mut new = query.clone();
        let uncut = query.limit.as_ref().is_none_or(|l| site.role == Role::Exists && is_positive(l))
            && query.offset.is_none();
        if !uncut {
            return None;
        }
        new.limit = None;
        new.order.clear();
        let changed = new.select_mut()?;
        if changed.distinct == Distinct::All
            || (site.role == Role::Exists && changed.distinct != Distinct::No)
        {
            changed.distinct = Distinct::No;
        }
        if site.role == Role::Exists {
            let whole = select.is_grouped() && select.group.is_empty();
            if !whole {
                if select.having.is_empty() {
                    changed.group.clear();
                }
                changed.outputs = super::level::select_one(Vec::new(), Vec::new()).select()?.outputs.clone();
            }
        }
        (new != *query).then_some(new)
    }

    /// `GROUP BY` without aggregates is `DISTINCT`; keys that others determine are none.
    fn plain_grouping(&mut self, site: &Site<'_, '_>) -> Option<Query> {
        let select = site.level.select()?;
        if select.group.is_empty() {
            return None;
        }
        let mut changed = select.clone();
        // What a condition on groups says of keys only, it says of rows.
        let (rows, groups): (Vec<Expr>, Vec<Expr>) = std::mem::take(&mut changed.having)
            .into_iter()
            .partition(|e| !has_aggregate(e) && !e.has_query());
        changed.filter.extend(rows);
        changed.having = groups;
        // A key of a table determines its other columns.
        let mut dropped = Vec::new();
        let mut one_row: BTreeSet<&str> = BTreeSet::new();
        for alias in select.aliases() {
            let of: BTreeSet<String> = changed
                .group
                .iter()
                .filter_map(|e| match e {
                    Expr::Column(c) if c.source == alias => Some(c.name.clone()),
                    _ => None,
                })
                .collect();
            let key = site.level.scope.keys(alias).into_iter().find(|key| {
                key.columns.iter().all(|name| {
                    let known = Column { source: alias.to_owned(), name: name.clone() };
                    of.contains(name)
                        && site.level.scope.never_null(&Expr::Column(known), &BTreeSet::new()).is_ok()
                })
            });
            let Some(key) = key else { continue };
            one_row.insert(alias);
            if of.len() > key.columns.len() {
                self.used.insert(key.by.clone());
                dropped
                    .extend(of.into_iter().filter(|n| !key.columns.contains(n)).map(|n| column(alias, &n)));
            }
        }
        changed.group.retain(|e| !dropped.contains(e) && !matches!(e, Expr::Constant(_)));
        if changed.group.is_empty() {
            return None;
        }
        let aggregates = changed.outputs.iter().any(|o| has_aggregate(&o.expr))
            || !changed.having.is_empty()
            || site.level.query.order.iter().any(|k| has_aggregate(&k.expr));
        let windows = changed.outputs.iter().any(|o| has_window(&o.expr));
        let listed = changed.group.iter().all(|key| changed.outputs.iter().any(|o| &o.expr == key))
            && changed.outputs.iter().all(|o| {
                let of_a_group = |c: &&Column| one_row.contains(c.source.as_str());
                changed.group.contains(&o.expr)
                    || site.level.scope.is_repeatable(&o.expr)
                        && !o.expr.has_query()
                        && o.expr.columns().iter().all(of_a_group)
            });
        if !aggregates && !windows && listed && !matches!(changed.distinct, Distinct::On(_)) {
            changed.group.clear();
            changed.distinct = Distinct::All;
        } else if listed_keys(&changed) && changed.distinct == Distinct::All && !windows {
            changed.distinct = Distinct::No;
        }
        (changed != *select).then(|| site.level.with(changed))
    }

    /// `DISTINCT` over rows that are distinct.
    fn no_distinct(&mut self, site: &Site<'_, '_>) -> Option<Query> {
        let select = site.level.select()?;
        if select.distinct != Distinct::All
            || select.is_grouped()
            || select.outputs.iter().any(|o| has_window(&o.expr))
        {
            return None;
        }
        let given = super::level::output_columns(select);
        let proofs =
            super::dependencies::determines(site.level.scope, &select.from, &select.filter, &given).ok()?;
        self.used.extend(proofs);
        let mut changed = select.clone();
        changed.distinct = Distinct::No;
        Some(site.level.with(changed))
    }

    /// Keys of the order that earlier ones determine.
    fn shorter_order(&mut self, site: &Site<'_, '_>) -> Option<Query> {
        let query = site.level.query;
        let select = query.select()?;
        let mut order: Vec<super::tree::SortKey> = Vec::new();
        let mut given = BTreeSet::new();
        let mut total = false;
        for key in &query.order {
            let constant = !has_aggregate(&key.expr)
                && (key.expr.columns().is_empty() && !key.expr.has_query() || pinned(select, &key.expr));
            if total || constant || order.iter().any(|k| k.expr == key.expr) {
                continue;
            }
            order.push(key.clone());
            if let Expr::Column(c) = &key.expr {
                given.insert(c.clone());
            }
            if !select.is_grouped()
                && select.distinct == Distinct::No
                && let Ok(proofs) =
                    super::dependencies::determines(site.level.scope, &select.from, &select.filter, &given)
            {
                total = true;
                if order.len() < query.order.len() {
                    self.used.extend(proofs);
                }
            }
        }
        // Where no key is NULL it does not matter where NULLs would stand.
        let known = site.level.scope.not_null_by_filter(select);
        for key in &mut order {
            if key.nulls_first != key.descending
                && let Ok(proofs) = site.level.scope.never_null(&key.expr, &known)
            {
                self.used.extend(proofs);
                key.nulls_first = key.descending;
            }
        }
        (order != query.order).then(|| Query { order, ..query.clone() })
    }
}

/// Whether the text says which rows it gives: what is cut off must be cut off an order that is total.
fn determined(scope: &Scope<'_>, root: &Query) -> Result<(), String> {
    let mut levels = Vec::new();
    roles(root, Role::Root, &mut levels);
    for (query, role) in levels {
        let select = query.select();
        let cut = query.limit.is_some() || query.offset.as_ref().is_some_and(|o| !is_zero(o));
        let first_of = matches!(select.map(|s| &s.distinct), Some(Distinct::On(_)));
        // Ties stay with the last row; those that an offset skips are any of them.
        let with_ties = query.with_ties && query.offset.as_ref().is_none_or(is_zero);
        if (!cut && !first_of) || (role == Role::Exists && query.offset.is_none()) || with_ties {
            continue;
        }
        let unknown =
            || Err("which rows are cut off is not determined, because the order is not total".to_owned());
        let Some(select) = select else {
            let keys: BTreeSet<&Expr> = query.order.iter().map(|k| &k.expr).collect();
            if matches!(query.body, Body::Set { all: false, .. }) && keys.len() == query.output_names().len()
            {
                continue;
            }
            return unknown();
        };
        let has = |e: &Expr| query.order.iter().any(|k| &k.expr == e);
        // Rows that tie on all that is listed are the same row.
        let listed = |e: &Expr| has(e) && scope.equal_is_same(e);
        if !first_of && !select.is_grouped() && select.outputs.iter().all(|o| listed(&o.expr)) {
            continue;
        }
        if select.is_grouped() {
            // A key of a table determines its other columns.
            let keyed = |e: &Expr| {
                let Expr::Column(column) = e else { return false };
                scope.keys(&column.source).iter().any(|key| {
                    key.columns.iter().all(|name| {
                        let part = Column { source: column.source.clone(), name: name.clone() };
                        scope.stored_not_null(&part).is_ok() && has(&Expr::Column(part))
                    })
                })
            };
            if select.sets.is_empty() && select.group.iter().all(|e| has(e) || keyed(e))
                || select.group.iter().all(has)
            {
                continue;
            }
        } else if select.distinct == Distinct::All && select.outputs.iter().all(|o| has(&o.expr)) {
            continue;
        }
        let given: BTreeSet<Column> = query
            .order
            .iter()
            .filter_map(|k| if let Expr::Column(c) = &k.expr { Some(c.clone()) } else { None })
            .collect();
        if select.is_grouped()
            || super::dependencies::determines(scope, &select.from, &select.filter, &given).is_err()
        {
            return unknown();
        }
    }
    Ok(())
}

/// Whether the filter leaves one value of a column: all rows tie on it.
fn pinned(select: &Select, expr: &Expr) -> bool {
    matches!(expr, Expr::Column(_))
        && !select.is_grouped()
        && select.filter.iter().any(|condition| match condition {
            Expr::Operator { name, left: Some(left), right } => {
                name == "=" && **left == *expr && matches!(**right, Expr::Constant(_) | Expr::Parameter(_))
            }
            Expr::Not(inner) => **inner == *expr,
            other => other == expr,
        })
}

/// Whether every group key is listed, so that rows are distinct.
fn listed_keys(select: &Select) -> bool {
    select.group.iter().all(|key| select.outputs.iter().any(|o| &o.expr == key))
}

/// The aggregates whose result follows the order of their input.
fn depends_on_order(name: &str) -> bool {
    matches!(
        name,
        "any_value"
            | "array_agg"
            | "string_agg"
            | "json_agg"
            | "json_agg_strict"
            | "jsonb_agg"
            | "jsonb_agg_strict"
            | "json_object_agg"
            | "json_object_agg_strict"
            | "json_object_agg_unique"
            | "json_object_agg_unique_strict"
            | "jsonb_object_agg"
            | "jsonb_object_agg_strict"
            | "jsonb_object_agg_unique"
            | "jsonb_object_agg_unique_strict"
            | "xmlagg"
    )
}

/// A function whose result depends on the type or the storage of what it is given: values that are the same may differ in it.
fn asks_how(expr: &Expr) -> Option<String> {
    const ABOUT: [&str; 5] =
        ["pg_basetype", "pg_collation_for", "pg_column_compression", "pg_column_size", "pg_typeof"];
    match expr {
        Expr::Call(call) if ABOUT.contains(&call.name.as_str()) => Some(call.name.clone()),
        _ => None,
    }
}

/// Whether an offset skips nothing.
fn is_zero(offset: &Expr) -> bool {
    matches!(offset, Expr::Constant(super::tree::Constant::Integer(0) | super::tree::Constant::Null))
}

fn is_positive(limit: &Expr) -> bool {
    matches!(limit, Expr::Constant(super::tree::Constant::Integer(n)) if *n > 0)
}

fn forget_stars(root: &mut Query) {
    root.levels_mut(&mut |query| {
        if let Body::Select(select) = &mut query.body {
            for output in &mut select.outputs {
                output.star = None;
            }
            forget_views(&mut select.from);
        }
    });
}

fn forget_views(items: &mut [From]) {
    for item in items {
        match item {
            From::Derived(derived) => derived.view = None,
            From::Table(table) => table.schema_written = true,
            From::Join(join) => {
                forget_views(std::slice::from_mut(&mut join.left));
                forget_views(std::slice::from_mut(&mut join.right));
            }
            From::Cte { .. } | From::Function(_) => {}
        }
    }
}

/// Changes the expressions of a level and not those of the queries in it, the inner ones first.
pub(crate) fn at_this_level(expr: &mut Expr, change: &mut dyn FnMut(&mut Expr)) {
    expr.children_mut(&mut |child| {
        if let super::walk::ChildMut::Expr(e) = child {
            at_this_level(e, change);
        }
    });
    change(expr);
}

/// Puts another expression in place of each aggregate of a level; gives whether there was one for all.
fn replace_aggregates(expr: &mut Expr, new: impl Fn(&Call) -> Option<Expr>) -> bool {
    let mut all = true;
    at_this_level(expr, &mut |e| {
        let Expr::Call(call) = e else { return };
        if call.over.is_some() || !functions::is_aggregate(call) {
            return;
        }
        match new(call) {
            Some(new) => *e = new,
            None => all = false,
        }
    });
    all
}

/// Every level in the order of [`Query::levels`], with its role.
fn roles<'q>(query: &'q Query, role: Role, out: &mut Vec<(&'q Query, Role)>) {
    out.push((query, role));
    query.children(&mut |child| match child {
        Child::Query(inner) => roles(inner, Role::Rows, out),
        Child::Expr(expr) => expression_roles(expr, out),
    });
}

fn expression_roles<'q>(expr: &'q Expr, out: &mut Vec<(&'q Query, Role)>) {
    let role = match expr {
        Expr::Exists(_) => Role::Exists,
        Expr::Quantified { .. } => Role::Member,
        Expr::Scalar(_) => Role::Scalar,
        _ => Role::Rows,
    };
    expr.children(&mut |child| match child {
        Child::Query(inner) => roles(inner, role, out),
        Child::Expr(inner) => expression_roles(inner, out),
    });
}

impl Site<'_, '_> {
    /// Whether a row that comes twice changes the answer.
    fn duplicates_count(&self) -> bool {
        let Some(select) = self.level.select() else { return true };
        let query = self.level.query;
        let cut = query.limit.is_some() || query.offset.is_some();
        let windows = select.outputs.iter().any(|o| has_window(&o.expr));
        if select.is_grouped() {
            let mut every = false;
            let mut look = |expr: &Expr| {
                expr.walk_level(&mut |e| {
                    if let Expr::Call(call) = e
                        && call.over.is_none()
                        && functions::is_aggregate(call)
                    {
                        every |= !functions::ignores_duplicates(call);
                    }
                });
            };
            select.outputs.iter().for_each(|o| look(&o.expr));
            select.having.iter().for_each(&mut look);
            query.order.iter().for_each(|k| look(&k.expr));
            return every || windows || (cut && select.distinct != Distinct::All);
        }
        if cut {
            return select.distinct != Distinct::All || windows;
        }
        !(matches!(self.role, Role::Exists | Role::Member) || (select.distinct == Distinct::All && !windows))
    }
}
