//! Set operations and common table expressions in one form: branches over the same rows are one condition.

use std::collections::{BTreeMap, BTreeSet};

use super::super::checks::compared;
use super::super::dependencies::determines;
use super::super::facts::{Proofs, Scope};
use super::super::reading::{all_of, any_of};
use super::super::tree::{
    Body, Column, Constant, Derived, Distinct, Expr, From, Output, Query, Select, SetOp, SortKey, Truth,
    TypeName,
};
use super::super::walk::has_window;
use super::comparisons::member;
use super::{Normalizer, Site};

/// Puts the queries of common table expressions where their names stand. Nothing in them is volatile, so how often they
/// are computed makes no difference.
pub(super) fn inline_ctes(root: &mut Query) -> Result<(), String> {
    let mut known: BTreeMap<String, (Vec<String>, Query)> = BTreeMap::new();
    root.levels_mut(&mut |query| {
        for cte in std::mem::take(&mut query.ctes) {
            known.insert(cte.name, (cte.columns, cte.query));
        }
    });
    // Those that were taken out may hold others.
    loop {
        let mut more = Vec::new();
        for (_, query) in known.values_mut() {
            query.levels_mut(&mut |q| more.extend(std::mem::take(&mut q.ctes)));
        }
        if more.is_empty() {
            break;
        }
        for cte in more {
            known.insert(cte.name, (cte.columns, cte.query));
        }
    }
    let mut number = 0_usize;
    for _ in 0..100 {
        let mut any = false;
        root.levels_mut(&mut |query| {
            if let Body::Select(select) = &mut query.body {
                for item in &mut select.from {
                    any |= inline(item, &known, &mut number);
                }
            }
        });
        if number > 200 {
            return Err("its common table expressions multiply".into());
        }
        if !any {
            return Ok(());
        }
    }
    Err("its common table expressions are nested too deeply".into())
}

fn inline(item: &mut From, known: &BTreeMap<String, (Vec<String>, Query)>, number: &mut usize) -> bool {
    match item {
        From::Join(join) => inline(&mut join.left, known, number) | inline(&mut join.right, known, number),
        From::Cte { name, alias, .. } => {
            let Some((columns, query)) = known.get(name) else { return false };
            *number += 1;
            let mut query = query.clone();
            let names =
                query.all_names().into_iter().map(|n| (n.clone(), format!("{n}\u{0}{number}"))).collect();
            query.rename(&names);
            *item = From::Derived(Derived {
                lateral: false,
                query,
                alias: alias.clone(),
                columns: columns.clone(),
                view: None,
            });
            true
        }
        _ => false,
    }
}

/// The branches of a union, those of unions within it included.
fn branches(query: &Query, all: bool, out: &mut Vec<Query>) {
    match &query.body {
        Body::Set { op: SetOp::Union, all: inner, left, right } if query.is_bare() && (*inner || !all) => {
            branches(left, all, out);
            branches(right, all, out);
        }
        _ => out.push(query.clone()),
    }
}

/// The branches of a union. A literal without a type takes that of the branch it is united with first, so where it
/// stands beside values of a type, unions within keep their place.
fn leaves(left: &Query, right: &Query, all: bool) -> Vec<Query> {
    let mut list = Vec::new();
    branches(left, all, &mut list);
    branches(right, all, &mut list);
    let untyped = |o: &Output| {
        matches!(o.expr, Expr::Constant(Constant::Text(_) | Constant::Null) | Expr::Parameter(_))
    };
    let width = list.first().and_then(Query::select).map_or(0, |s| s.outputs.len());
    let mixed = (0..width).any(|n| {
        let of = |q: &Query| q.select().and_then(|s| s.outputs.get(n)).is_some_and(untyped);
        list.iter().any(of) && !list.iter().all(of)
    });
    if list.len() > 2 && mixed { vec![left.clone(), right.clone()] } else { list }
}

fn united(mut list: Vec<Query>, all: bool) -> Option<Body> {
    if list.is_empty() {
        return None;
    }
    let first = list.remove(0);
    let query = list.into_iter().fold(first, |left, right| Query {
        body: Body::Set { op: SetOp::Union, all, left: Box::new(left), right: Box::new(right) },
        ..Query::default()
    });
    Some(query.body)
}

/// The branches of unions in an order of their own.
pub(super) fn sort_branches(query: &mut Query) {
    if let Body::Set { op: SetOp::Union, all, left, right } = &query.body {
        let all = *all;
        let mut list = leaves(left, right, all);
        list.sort();
        if let Some(body) = united(list, all) {
            query.body = body;
        }
    }
}

impl Normalizer<'_, '_> {
    pub(super) fn set_operation(&mut self, site: &Site<'_, '_>) -> Option<Query> {
        let query = site.level.query;
        let Body::Set { op: SetOp::Union, all, left, right } = &query.body else { return None };
        let all = *all;
        let mut list = leaves(left, right, all);
        let before = list.len();
        if !all {
            for branch in &mut list {
                if let Some(select) = branch.select_mut()
                    && select.distinct == Distinct::All
                    && !select.outputs.iter().any(|o| has_window(&o.expr))
                {
                    select.distinct = Distinct::No;
                    return Some(Query { body: united(list, all)?, ..query.clone() });
                }
            }
        }
        let scope = site.level.scope;
        for i in 0..list.len() {
            for j in i + 1..list.len() {
                if let Some(merged) = merged(scope, &list[i], &list[j], all) {
                    list[i] = merged;
                    list.remove(j);
                    if list.len() == 1 {
                        return alone(query, list.remove(0), all);
                    }
                    return Some(Query { body: united(list, all)?, ..query.clone() });
                }
            }
        }
        if !all {
            let families = families(scope, &list.iter().collect::<Vec<_>>());
            let once: Option<Vec<Proofs>> = list
                .iter()
                .map(|branch| {
                    let select = branch
                        .select()
                        .filter(|s| branch.is_bare() && !s.is_grouped() && s.distinct == Distinct::No)?;
                    determines(scope, &select.from, &select.filter, &listed(&families, select)).ok()
                })
                .collect();
            let apart = |i: usize, j: usize| disjoint(scope, &families, &list[i], &list[j]);
            if let Some(proofs) = once
                && (0..list.len()).all(|i| (i + 1..list.len()).all(|j| apart(i, j)))
            {
                self.used.extend(proofs.into_iter().flatten());
                return Some(Query { body: united(list, true)?, ..query.clone() });
            }
        }
        debug_assert_eq!(before, list.len());
        None
    }
}

impl Normalizer<'_, '_> {
    /// `EXCEPT` and `INTERSECT` of values of which one side is never NULL: rows of the first branch that the second one has not,
    /// or has.
    pub(super) fn member_of_set(&mut self, site: &Site<'_, '_>) -> Option<Query> {
        let query = site.level.query;
        let Body::Set { op: op @ (SetOp::Except | SetOp::Intersect), all: false, left, right } = &query.body
        else {
            return None;
        };
        let scope = site.level.scope;
        let (first, second) = (left.select()?, right.select()?);
        let plain = |q: &Query, s: &Select| {
            q.is_bare()
                && !s.is_grouped()
                && !matches!(s.distinct, Distinct::On(_))
                && !s.outputs.iter().any(|o| has_window(&o.expr))
        };
        let types = |s: &Select| -> Option<Vec<String>> {
            s.outputs.iter().map(|o| scope.type_of(&o.expr)).collect()
        };
        if !plain(left, first) || !plain(right, second) || types(first)? != types(second)? {
            return None;
        }
        // Which of values that are equal and not the same an intersection gives is open.
        if *op == SetOp::Intersect && !first.outputs.iter().all(|o| scope.equal_is_same(&o.expr)) {
            return None;
        }
        // Two NULLs are one value to a set operation and none to a comparison; one of both sides has none.
        let (known, others) = (scope.not_null_by_filter(first), scope.not_null_by_filter(second));
        for (own, other) in first.outputs.iter().zip(&second.outputs) {
            let by = scope.never_null(&own.expr, &known);
            self.used.extend(by.or_else(|_| scope.never_null(&other.expr, &others)).ok()?);
        }
        let values: Vec<Expr> = first.outputs.iter().map(|o| o.expr.clone()).collect();
        let exists = member(scope, &values, "=", right)?;
        let mut select = first.clone();
        select.distinct = Distinct::All;
        select.filter.push(if *op == SetOp::Except { Expr::Not(Box::new(exists)) } else { exists });
        alone(query, Query::of(select), true)
    }
}

/// A union that has one branch only.
fn alone(query: &Query, mut branch: Query, all: bool) -> Option<Query> {
    let names = query.output_names();
    let select = branch.select_mut()?;
    if !all {
        select.distinct = Distinct::All;
    }
    for (output, name) in select.outputs.iter_mut().zip(&names) {
        output.name.clone_from(name);
    }
    let order = query
        .order
        .iter()
        .map(|key| {
            let Expr::Column(Column { source, name }) = &key.expr else { return None };
            if !source.is_empty() {
                return None;
            }
            let output = select.outputs.iter().find(|o| &o.name == name)?;
            Some(SortKey { expr: output.expr.clone(), ..key.clone() })
        })
        .collect::<Option<Vec<_>>>()?;
    Some(Query {
        order,
        limit: query.limit.clone(),
        offset: query.offset.clone(),
        with_ties: query.with_ties,
        ..branch
    })
}

/// Two branches over the same sources as one: rows that satisfy the one or the other.
fn merged(scope: &Scope<'_>, first: &Query, second: &Query, all: bool) -> Option<Query> {
    let (a, b) = (first.select()?, second.select()?);
    let plain = |q: &Query, s: &Select| {
        q.is_bare()
            && s.distinct == Distinct::No
            && !s.is_grouped()
            && !s.outputs.iter().any(|o| has_window(&o.expr))
            && !s.from.is_empty()
    };
    if !plain(first, a) || !plain(second, b) || a.aliases().len() != b.aliases().len() {
        return None;
    }
    let names: BTreeMap<String, String> =
        b.aliases().into_iter().map(str::to_owned).zip(a.aliases().into_iter().map(str::to_owned)).collect();
    let mut renamed = second.clone();
    renamed.rename(&names);
    let b = renamed.select()?;
    let same_outputs = a.outputs.iter().map(|o| &o.expr).eq(b.outputs.iter().map(|o| &o.expr));
    if a.from != b.from || !same_outputs {
        return None;
    }
    let (one, other): (BTreeSet<Expr>, BTreeSet<Expr>) =
        (a.filter.iter().cloned().collect(), b.filter.iter().cloned().collect());
    let common: Vec<Expr> = one.intersection(&other).cloned().collect();
    let only_one: Vec<Expr> = one.difference(&other).cloned().collect();
    let only_other: Vec<Expr> = other.difference(&one).cloned().collect();
    if all && !contradict(scope, &only_one, &only_other) {
        return None;
    }
    let mut select = a.clone();
    select.filter = common;
    if !only_one.is_empty() && !only_other.is_empty() {
        select.filter.push(any_of(vec![all_of(only_one), all_of(only_other)]));
    }
    Some(Query::of(select))
}

/// Whether no row can satisfy both lists of conditions.
pub(crate) fn contradict(scope: &Scope<'_>, one: &[Expr], other: &[Expr]) -> bool {
    one.iter().any(|p| other.iter().any(|q| opposite(scope, p, q) || opposite(scope, q, p)))
}

/// Whether one condition being true keeps the other from being true.
fn opposite(scope: &Scope<'_>, p: &Expr, q: &Expr) -> bool {
    match (p, q) {
        (p, Expr::Is { inner, test: Truth::NotTrue | Truth::False }) if **inner == *p => true,
        (p, Expr::Not(inner)) if **inner == *p => true,
        (
            Expr::Operator { name: a, left: Some(l), right: r },
            Expr::Operator { name: b, left: Some(m), right: s },
        ) if l == m => {
            let negation = r == s
                && matches!(
                    (a.as_str(), b.as_str()),
                    ("=", "<>") | ("<", ">=") | ("<=", ">") | ("=", "<") | ("=", ">") | ("<", ">")
                );
            let differ = a == "=" && b == "=" && different(scope, l, r, s);
            let ranges = matches!((a.as_str(), b.as_str()), ("<=", ">="))
                && matches!(
                    (&**r, &**s, scope.type_of(l).as_deref()),
                    (
                        Expr::Constant(Constant::Integer(high)),
                        Expr::Constant(Constant::Integer(low)),
                        Some("int2" | "int4" | "int8"),
                    ) if high < low
                );
            negation || differ || ranges
        }
        (Expr::In { value, list, negated: false }, Expr::Operator { name, left: Some(l), right })
            if name == "=" && value == l =>
        {
            list.iter().all(|e| different(scope, l, e, right))
        }
        (
            Expr::Operator { name, left: Some(l), right: r },
            Expr::Distinct { left, right, negated: false },
        ) => name == "=" && l == left && r == right,
        (Expr::IsNull { inner, negated: a }, Expr::IsNull { inner: other, negated: b }) => {
            inner == other && a != b
        }
        _ => false,
    }
}

/// Whether two constants are different values of the type of an expression.
fn different(scope: &Scope<'_>, of: &Expr, a: &Expr, b: &Expr) -> bool {
    let (Expr::Constant(a), Expr::Constant(b)) = (a, b) else { return false };
    match (scope.type_of(of).as_deref(), a, b) {
        (Some("int2" | "int4" | "int8"), Constant::Integer(a), Constant::Integer(b)) => a != b,
        (Some("text" | "varchar"), Constant::Text(a), Constant::Text(b)) => a != b && scope.equal_is_same(of),
        (Some("bool"), Constant::Boolean(a), Constant::Boolean(b)) => a != b,
        (Some("numeric"), Constant::Integer(a), Constant::Integer(b)) => a != b,
        (_, Constant::Text(a), Constant::Text(b)) => a != b && scope.is_enum(of),
        _ => false,
    }
}

/// The kind of values that all branches of a union list at each place, where what differs in one branch differs in the
/// union as well: values of other types are brought to one, as whole numbers to `real`, in which several are the same.
pub(crate) fn families(scope: &Scope<'_>, branches: &[&Query]) -> Vec<Option<String>> {
    let selects: Option<Vec<&Select>> = branches.iter().map(|b| b.select()).collect();
    let Some(selects) = selects else { return Vec::new() };
    let width = selects.iter().map(|s| s.outputs.len()).min().unwrap_or(0);
    let untyped =
        |e: &Expr| matches!(e, Expr::Constant(Constant::Text(_) | Constant::Null) | Expr::Parameter(_));
    let at = |place: usize| {
        let exprs: Vec<&Expr> = selects.iter().map(|s| &s.outputs[place].expr).collect();
        let mut found: Option<String> = None;
        for expr in exprs.iter().filter(|e| !untyped(e)) {
            let family = match scope.type_of(expr)?.as_str() {
                "int2" | "int4" | "int8" | "numeric" => "number".to_owned(),
                "text" | "varchar" => "text".to_owned(),
                other => other.to_owned(),
            };
            if !scope.is_deterministic(expr) || found.as_ref().is_some_and(|f| f != &family) {
                return None;
            }
            found = Some(family);
        }
        Some(found.unwrap_or_else(|| "text".to_owned()))
    };
    (0..width).map(at).collect()
}

/// The columns of a branch at places where the union tells them apart as the branch does.
pub(crate) fn listed(families: &[Option<String>], select: &Select) -> BTreeSet<Column> {
    let places = select.outputs.iter().zip(families);
    places
        .filter_map(|(output, family)| match (&output.expr, family) {
            (Expr::Column(column), Some(_)) => Some(column.clone()),
            _ => None,
        })
        .collect()
}

/// Whether no row of one branch equals one of the other.
pub(crate) fn branches_are_disjoint(
    scope: &Scope<'_>,
    families: &[Option<String>],
    first: &Query,
    second: &Query,
) -> bool {
    if disjoint(scope, families, first, second) {
        return true;
    }
    // Conditions that contradict each other on columns that both list at the same place.
    let (Some(a), Some(b)) = (first.select(), second.select()) else { return false };
    a.outputs.iter().zip(&b.outputs).zip(families).any(|((x, y), family)| {
        let (Expr::Column(x), Expr::Column(y), Some(_)) = (&x.expr, &y.expr, family) else { return false };
        let on = |s: &Select, column: &Column| -> Vec<Expr> {
            // What is computed from values that are equal and not the same, as 1.0 and 1.00, may differ.
            let same = scope.equal_is_same(&Expr::Column(column.clone()));
            let of = |e: &&Expr| {
                e.columns().into_iter().all(|c| c == column) && (same || compared(e) == Some(column))
            };
            let mut found: Vec<Expr> = s.filter.iter().filter(of).cloned().collect();
            for e in &mut found {
                super::super::level::substitute(e, &|_| Some(Expr::Column(x.clone())));
            }
            found
        };
        let same_type = scope.type_of(&Expr::Column(x.clone())) == scope.type_of(&Expr::Column(y.clone()));
        same_type && contradict(scope, &on(a, x), &on(b, y))
    })
}

/// Whether no row of one branch equals one of the other: a column of both is pinned to different constants.
fn disjoint(scope: &Scope<'_>, families: &[Option<String>], first: &Query, second: &Query) -> bool {
    let (Some(a), Some(b)) = (first.select(), second.select()) else { return false };
    if a.outputs.len() != b.outputs.len() {
        return false;
    }
    let pinned = |s: &Select, e: &Expr| -> Option<Constant> {
        if let Expr::Constant(c) = e {
            return Some(c.clone());
        }
        s.filter.iter().find_map(|f| match f {
            Expr::Operator { name, left: Some(l), right } if name == "=" && **l == *e => match &**right {
                Expr::Constant(c) => Some(c.clone()),
                _ => None,
            },
            _ => None,
        })
    };
    let mut places = a.outputs.iter().zip(&b.outputs).zip(families);
    places.any(|((x, y), family)| {
        let Some(family) = family else { return false };
        match (pinned(a, &x.expr), pinned(b, &y.expr)) {
            (Some(Constant::Integer(m)), Some(Constant::Integer(n))) => m != n && family == "number",
            // Texts that differ are different texts and different labels; they may be one date.
            (Some(Constant::Text(m)), Some(Constant::Text(n))) => {
                m != n && (family == "text" || scope.is_enum(&x.expr) || scope.is_enum(&y.expr))
            }
            _ => false,
        }
    })
}

/// Within a branch of a set operation a literal by which duplicates are removed, or rows are grouped or sorted, is a `text`;
/// elsewhere it takes the type of the other branches. Source: `addTargetToGroupList()` in `src/backend/parser/parse_clause.c`.
pub(super) fn with_settled_types(scope: &Scope<'_>, root: &Query) -> Query {
    fn branches<'q>(query: &'q Query, found: &mut Vec<&'q Query>) {
        match &query.body {
            Body::Set { left, right, .. } => [left, right].into_iter().for_each(|side| branches(side, found)),
            _ => found.push(query),
        }
    }
    fn settle(query: &mut Query, places: &[usize]) {
        let sorted: Vec<Expr> = query.order.iter().map(|key| key.expr.clone()).collect();
        match &mut query.body {
            Body::Set { left, right, .. } => [left, right].into_iter().for_each(|side| settle(side, places)),
            Body::Select(select) => {
                for place in places {
                    let Some(output) = select.outputs.get_mut(*place) else { continue };
                    let compared = select.distinct == Distinct::All
                        || select.group.contains(&output.expr)
                        || sorted.contains(&output.expr);
                    if compared && is_untyped(&output.expr) {
                        let inner = Box::new(output.expr.clone());
                        output.expr = Expr::Cast { inner, to: TypeName::plain("text") };
                    }
                }
            }
            Body::Values(_) => {}
        }
    }
    let mut new = root.clone();
    new.levels_mut(&mut |query| {
        if !matches!(query.body, Body::Set { .. }) {
            return;
        }
        let mut all = Vec::new();
        branches(query, &mut all);
        let lists: Option<Vec<&Select>> = all.iter().map(|branch| branch.select()).collect();
        let Some(lists) = lists else { return };
        let width = lists.iter().map(|select| select.outputs.len()).min().unwrap_or(0);
        let text = |e: &Expr| is_untyped(e) || scope.type_of(e).as_deref() == Some("text");
        let places: Vec<usize> = (0..width)
            .filter(|place| !lists.iter().all(|select| text(&select.outputs[*place].expr)))
            .collect();
        settle(query, &places);
    });
    new
}

fn is_untyped(expr: &Expr) -> bool {
    matches!(expr, Expr::Constant(Constant::Text(_) | Constant::Null))
}
