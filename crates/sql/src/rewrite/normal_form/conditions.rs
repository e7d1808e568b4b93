//! One way of writing conditions and values.
//!
//! In a condition only "true" counts, so false and NULL are one; elsewhere all three are kept apart. Types decide
//! what may be done: a negation is an inverse comparison for the ordered types of PostgreSQL, `x > 4` is `x >= 5` for
//! whole numbers only.

use std::collections::BTreeSet;

use super::super::facts::{Proofs, Scope, type_text};
use super::super::reading::{all_of, any_of, binary, equal, split_and, split_or};
use super::super::rules::count_to_exists;
use super::super::tree::{
    Body, Call, Column, Constant, Distinct, Expr, From, LikeKind, Query, Select, Truth,
};
use super::comparisons::{
    absorbed, coalesce_compared, coalesce_less, is_list_of, listed, lists, member, row_comparison,
    values_list,
};
use super::literals::as_value;

/// Whether comparisons of PostgreSQL's own operators on its type are a total order.
pub(super) fn is_of_ordered_type(scope: &Scope<'_>, expr: &Expr) -> bool {
    scope.is_enum(expr)
        || scope.type_of(expr).is_some_and(|name| {
            matches!(
                name.as_str(),
                "int2"
                    | "int4"
                    | "int8"
                    | "numeric"
                    | "float4"
                    | "float8"
                    | "text"
                    | "varchar"
                    | "bpchar"
                    | "date"
                    | "timestamp"
                    | "timestamptz"
                    | "time"
                    | "interval"
                    | "uuid"
                    | "bool"
                    | "bytea"
                    | "oid"
            )
        })
}

/// Simplifies everything at a level; levels within were simplified before.
pub(super) fn simplify_level(scope: &Scope<'_>, query: &mut Query, used: &mut Proofs) {
    let Body::Select(select) = &mut query.body else { return };
    let known = scope.not_null_by_filter(select);
    let grouped = !select.group.is_empty();
    let mut work = Simplify { scope, known, used, nonempty: grouped, select: (**select).clone() };
    select.outputs.iter_mut().for_each(|o| work.value(&mut o.expr));
    query.order.iter_mut().for_each(|k| work.value(&mut k.expr));
    select.group.iter_mut().for_each(|e| work.value(e));
    if let Distinct::On(keys) = &mut select.distinct {
        keys.iter_mut().for_each(|e| work.value(e));
    }
    work.conditions(&mut select.having);
    // What a condition itself rules out must not make it superfluous: each is looked at without what it says.
    let all = std::mem::take(&mut select.filter);
    let mut filter = Vec::new();
    for (i, condition) in all.iter().enumerate() {
        let mut others = select.clone();
        // Of two conditions that rule the same out one stays.
        others.filter = filter.iter().chain(&all[i + 1..]).cloned().collect();
        work.known = scope.not_null_by_filter(&others);
        let mut one = condition.clone();
        work.condition(&mut one);
        filter.extend(split_and(one));
    }
    filter.retain(|e| *e != truth(true));
    super::ranges::merge(scope, &mut filter);
    super::ranges::from_a_bound(scope, &mut filter);
    super::conjunctions::merge(scope, &mut filter, work.used);
    work.ties(&mut filter);
    super::shared::looked_up_together(&mut filter, true);
    select.filter = filter;
    work.known = BTreeSet::new();
    for item in &mut select.from {
        work.joins(item);
    }
}

pub(super) struct Simplify<'s, 'a, 'u> {
    pub(super) scope: &'s Scope<'a>,
    known: BTreeSet<Column>,
    pub(super) used: &'u mut Proofs,
    /// Whether every group has a row, so that a sum of what is never NULL is never NULL.
    pub(super) nonempty: bool,
    pub(super) select: Select,
}

pub(super) fn truth(value: bool) -> Expr {
    Expr::Constant(Constant::Boolean(value))
}

impl Simplify<'_, '_, '_> {
    fn joins(&mut self, item: &mut From) {
        if let From::Join(join) = item {
            self.joins(&mut join.left);
            self.joins(&mut join.right);
            self.conditions(&mut join.on);
        }
    }

    fn conditions(&mut self, list: &mut Vec<Expr>) {
        let mut out = Vec::new();
        for mut condition in std::mem::take(list) {
            self.condition(&mut condition);
            out.extend(split_and(condition));
        }
        out.retain(|e| *e != truth(true));
        *list = out;
    }

    pub(super) fn never_null(&mut self, expr: &Expr) -> bool {
        match self.scope.never_null(expr, &self.known) {
            Ok(proofs) => {
                self.used.extend(proofs);
                true
            }
            Err(_) => false,
        }
    }

    /// An expression of which only "true" counts.
    pub(super) fn condition(&mut self, expr: &mut Expr) {
        match expr {
            Expr::And(list) => {
                let mut parts = Vec::new();
                for mut part in std::mem::take(list).into_iter().flat_map(split_and) {
                    self.condition(&mut part);
                    parts.extend(split_and(part));
                }
                parts.retain(|e| *e != truth(true));
                super::ranges::from_a_bound(self.scope, &mut parts);
                super::conjunctions::merge(self.scope, &mut parts, self.used);
                self.ties(&mut parts);
                super::shared::looked_up_together(&mut parts, true);
                *expr = if parts.contains(&truth(false)) { truth(false) } else { all_of(parts) };
            }
            Expr::Or(list) => {
                let mut parts = Vec::new();
                for mut part in std::mem::take(list).into_iter().flat_map(split_or) {
                    self.condition(&mut part);
                    parts.extend(split_or(part));
                }
                parts.retain(|e| *e != truth(false));
                super::shared::looked_up_together(&mut parts, false);
                let parts = self.without_complements(parts);
                let parts = self.distinct_from(parts);
                *expr = if parts.contains(&truth(true)) || self.is_certain(&parts) {
                    truth(true)
                } else {
                    super::conjunctions::factored(self.scope, lists(self.scope, absorbed(parts)))
                };
            }
            Expr::Is { inner, test: Truth::True } => {
                *expr = (**inner).clone();
                self.condition(expr);
            }
            Expr::Is { inner, test: Truth::False } => {
                *expr = Expr::Not(inner.clone());
                self.condition(expr);
            }
            Expr::Not(inner) => {
                let mut inner = (**inner).clone();
                if let Expr::Quantified { operator, value, query, all: false } = &inner
                    && operator == "="
                    && let Some(exists) = self.not_in(value, query)
                {
                    *expr = exists;
                    return;
                }
                self.value(&mut inner);
                *expr = self.negated(inner);
                if !matches!(expr, Expr::Not(_)) {
                    self.condition(expr);
                }
            }
            Expr::Quantified { .. } if values_list(self.scope, expr).is_some() => self.value(expr),
            Expr::Quantified { operator, value, query, all: true } if operator == "<>" => {
                if let Some(exists) = self.not_in(&value.clone(), &query.clone()) {
                    *expr = exists;
                }
            }
            Expr::Quantified { operator, value, query, all: false } => {
                let values: Vec<Expr> = match &**value {
                    Expr::Row(list) => list.clone(),
                    single => vec![single.clone()],
                };
                if operator != "=" && values.len() > 1 {
                    return;
                }
                if let Some(exists) = member(self.scope, &values, operator, query) {
                    *expr = exists;
                }
            }
            Expr::Coalesce(list) => {
                // Unknown counts as false already.
                if let [first, Expr::Constant(Constant::Boolean(false))] = list.as_slice() {
                    *expr = first.clone();
                    self.condition(expr);
                } else {
                    self.value(expr);
                }
            }
            Expr::Case { subject: None, branches, default } => {
                let nothing = default
                    .as_deref()
                    .is_none_or(|d| matches!(d, Expr::Constant(Constant::Boolean(false) | Constant::Null)));
                if let ([(when, Expr::Constant(Constant::Boolean(true)))], true) =
                    (branches.as_slice(), nothing)
                {
                    *expr = when.clone();
                    self.condition(expr);
                } else if let Some(arms) = super::choices::arms(branches, default.as_deref()) {
                    *expr = arms;
                    self.condition(expr);
                } else {
                    self.value(expr);
                }
            }
            Expr::Operator { name, left: Some(left), right } if name == "=" => {
                let plain = match (&**left, &**right) {
                    (other, Expr::Constant(Constant::Boolean(b)))
                    | (Expr::Constant(Constant::Boolean(b)), other) => Some((other.clone(), *b)),
                    _ => None,
                };
                match plain {
                    Some((other, true)) => {
                        *expr = other;
                        self.condition(expr);
                    }
                    Some((other, false)) => {
                        *expr = Expr::Not(Box::new(other));
                        self.condition(expr);
                    }
                    None => {
                        self.value(expr);
                        self.coalesced(expr);
                    }
                }
            }
            Expr::Distinct { left, right, negated: true } => {
                let (left, right) = ((**left).clone(), (**right).clone());
                // Rows are compared field by field, and fields may be NULL on both sides.
                if let (Expr::Row(left), Expr::Row(right)) = (&left, &right)
                    && left.len() == right.len()
                    && !left.is_empty()
                {
                    let same = |(l, r): (&Expr, &Expr)| Expr::Distinct {
                        left: Box::new(l.clone()),
                        right: Box::new(r.clone()),
                        negated: true,
                    };
                    *expr = all_of(left.iter().zip(right).map(same).collect());
                    self.condition(expr);
                    return;
                }
                if matches!(left, Expr::Row(_)) || matches!(right, Expr::Row(_)) {
                    self.value(expr);
                    return;
                }
                // Equal, or both NULL; a constant is not NULL.
                let constant = |e: &Expr| matches!(e, Expr::Constant(c) if *c != Constant::Null);
                if constant(&left) || constant(&right) || (self.never_null(&left) || self.never_null(&right))
                {
                    *expr = equal(left, right);
                }
                self.value(expr);
            }
            Expr::Operator { name, left: Some(left), right }
                if matches!(name.as_str(), "<" | ">" | "<=" | ">=") =>
            {
                if let (Expr::Row(left), Expr::Row(right)) = (&**left, &**right)
                    && left.len() == right.len()
                {
                    *expr = row_comparison(name, left, right);
                    self.condition(expr);
                } else {
                    self.value(expr);
                    if let Some(new) = coalesce_less(self.scope, expr) {
                        *expr = new;
                    } else if let Some((range, proofs)) = self.time_range(expr) {
                        self.used.extend(proofs);
                        *expr = all_of(range);
                        self.value(expr);
                    }
                }
            }
            _ => {
                self.value(expr);
                if let Some(new) = coalesce_less(self.scope, expr) {
                    *expr = new;
                } else if let Some((range, proofs)) = self.time_range(expr) {
                    self.used.extend(proofs);
                    *expr = all_of(range);
                    self.value(expr);
                }
            }
        }
        if let Some(new) =
            self.only_true(expr).or_else(|| self.bounded(expr)).or_else(|| self.document_holds(expr))
        {
            *expr = new;
            self.condition(expr);
            return;
        }
        if let Some((others, proofs)) = super::super::checks::others(self.scope, expr) {
            self.used.extend(proofs);
            *expr = others;
            self.value(expr);
        }
        if let Some((settled, proofs)) = super::super::checks::settled(self.scope, expr) {
            self.used.extend(proofs);
            *expr = settled;
            self.value(expr);
        }
    }

    /// `COALESCE(c, k) = v` for another constant.
    fn coalesced(&mut self, expr: &mut Expr) {
        if let Some(new) = coalesce_compared(self.scope, expr) {
            *expr = new;
        } else if let Some((range, proofs)) = self.time_range(expr) {
            self.used.extend(proofs);
            *expr = all_of(range);
            self.value(expr);
        }
    }

    fn time_range(&self, expr: &Expr) -> Option<(Vec<Expr>, Proofs)> {
        super::super::rules::time_range::proved_range(self.scope, expr)
    }

    /// `NOT IN` where neither side is NULL.
    fn not_in(&mut self, value: &Expr, query: &Query) -> Option<Expr> {
        let values: Vec<Expr> = match value {
            Expr::Row(list) => list.clone(),
            single => vec![single.clone()],
        };
        let known = self.known.clone();
        let select = query.select()?;
        if !query.is_bare() || select.is_grouped() || matches!(select.distinct, Distinct::On(_)) {
            return None;
        }
        let inside = self.scope.not_null_by_filter(select);
        let mut proofs = Proofs::new();
        for value in &values {
            proofs.extend(self.scope.never_null(value, &known).ok()?);
        }
        for output in &select.outputs {
            proofs.extend(self.scope.never_null(&output.expr, &inside).ok()?);
        }
        let exists = member(self.scope, &values, "=", query)?;
        self.used.extend(proofs);
        Some(Expr::Not(Box::new(exists)))
    }

    /// The negation of a condition, written without NOT where that says the same for NULL as well.
    pub(super) fn negated(&mut self, inner: Expr) -> Expr {
        match inner {
            Expr::Not(inner) => *inner,
            // They leave NULL out, and of nothing both are NULL.
            Expr::Call(call) if self.is_every_or_some(&call) => {
                let name = if call.name == "bool_or" { "bool_and" } else { "bool_or" };
                let args = call.args.iter().map(|e| self.negated(e.clone())).collect();
                Expr::Call(Box::new(Call { name: name.into(), args, ..*call }))
            }
            Expr::And(list) => any_of(list.into_iter().map(|e| self.negated(e)).collect()),
            Expr::Or(list) => all_of(list.into_iter().map(|e| self.negated(e)).collect()),
            Expr::Constant(Constant::Boolean(b)) => truth(!b),
            // A row is neither NULL nor not NULL when only some of its fields are.
            Expr::IsNull { inner, negated } if self.scope.is_scalar(&inner) => {
                Expr::IsNull { inner, negated: !negated }
            }
            Expr::Coalesce(list) if matches!(list.as_slice(), [_, Expr::Constant(Constant::Boolean(_))]) => {
                let default = list[1] == truth(true);
                let test = if default { Truth::False } else { Truth::NotTrue };
                Expr::Is { inner: Box::new(list[0].clone()), test }
            }
            Expr::In { value, list, negated } => Expr::In { value, list, negated: !negated },
            Expr::Like { kind, value, pattern, negated } => {
                Expr::Like { kind, value, pattern, negated: !negated }
            }
            Expr::Distinct { left, right, negated } => Expr::Distinct { left, right, negated: !negated },
            Expr::Is { inner, test } => Expr::Is {
                inner,
                test: match test {
                    Truth::True => Truth::NotTrue,
                    Truth::NotTrue => Truth::True,
                    Truth::False => Truth::NotFalse,
                    Truth::NotFalse => Truth::False,
                    Truth::Unknown => Truth::NotUnknown,
                    Truth::NotUnknown => Truth::Unknown,
                },
            },
            Expr::Operator { name, left: Some(left), right }
                if self.is_ordered(&left) || self.is_ordered(&right) =>
            {
                let inverse = match name.as_str() {
                    "=" => "<>",
                    "<>" => "=",
                    "<" => ">=",
                    "<=" => ">",
                    ">" => "<=",
                    ">=" => "<",
                    _ => return Expr::Not(Box::new(Expr::Operator { name, left: Some(left), right })),
                };
                binary(inverse, *left, *right)
            }
            other => Expr::Not(Box::new(other)),
        }
    }

    /// Whether comparisons of its type are a total order.
    pub(super) fn is_ordered(&self, expr: &Expr) -> bool {
        is_of_ordered_type(self.scope, expr) && self.scope.facts.users.operators.is_empty()
    }

    /// An expression whose value counts.
    pub(super) fn value(&mut self, expr: &mut Expr) {
        expr.children_mut(&mut |child| {
            if let super::super::walk::ChildMut::Expr(e) = child {
                self.value(e);
            }
        });
        // Each rewriting gives something smaller or more ordinary, so this ends.
        for _ in 0..20 {
            match self.once(expr) {
                Some(new) if new != *expr => *expr = new,
                _ => break,
            }
        }
    }

    fn once(&mut self, expr: &Expr) -> Option<Expr> {
        if let Some(exists) = count_to_exists::exists(self.scope, expr) {
            return Some(exists);
        }
        if let Some(new) = self.idiom(expr) {
            return Some(new);
        }
        Some(match expr {
            Expr::And(list) => {
                let parts: Vec<Expr> = list.iter().cloned().flat_map(split_and).collect();
                if parts.contains(&truth(false)) {
                    return Some(truth(false));
                }
                all_of(parts.into_iter().filter(|e| *e != truth(true)).collect())
            }
            Expr::Or(list) => {
                let parts: Vec<Expr> = list.iter().cloned().flat_map(split_or).collect();
                if parts.contains(&truth(true)) {
                    return Some(truth(true));
                }
                any_of(lists(self.scope, parts.into_iter().filter(|e| *e != truth(false)).collect()))
            }
            Expr::Not(inner) => self.negated((**inner).clone()),
            Expr::Between { value, low, high, negated: false, symmetric: false }
                if self.scope.is_repeatable(value) =>
            {
                let ge = binary(">=", (**value).clone(), (**low).clone());
                let le = binary("<=", (**value).clone(), (**high).clone());
                Expr::And(vec![ge, le])
            }
            Expr::Between { value, low, high, negated: true, symmetric: false }
                if self.scope.is_repeatable(value) =>
            {
                let lt = binary("<", (**value).clone(), (**low).clone());
                let gt = binary(">", (**value).clone(), (**high).clone());
                Expr::Or(vec![lt, gt])
            }
            // Rows are compared one by one.
            Expr::In { value, list, negated } if matches!(&**value, Expr::Row(_)) => {
                let Expr::Row(own) = &**value else { return None };
                let rows: Option<Vec<Expr>> = list
                    .iter()
                    .map(|e| match e {
                        Expr::Row(row) if row.len() == own.len() => {
                            let pairs = own.iter().zip(row);
                            Some(all_of(pairs.map(|(l, r)| equal(l.clone(), r.clone())).collect()))
                        }
                        _ => None,
                    })
                    .collect();
                let any = any_of(rows?);
                if *negated { Expr::Not(Box::new(any)) } else { any }
            }
            Expr::In { value, list, negated: true }
                if list.len() > 1
                    && self.scope.is_repeatable(value)
                    && is_list_of(self.scope, value, list) =>
            {
                Expr::And(list.iter().map(|e| binary("<>", (**value).clone(), e.clone())).collect())
            }
            Expr::In { value, list, negated } => match list.as_slice() {
                [only] => binary(if *negated { "<>" } else { "=" }, (**value).clone(), only.clone()),
                _ => {
                    let mut sorted = list.clone();
                    sorted.sort();
                    // A list of one is a comparison, which may be another one.
                    if is_list_of(self.scope, value, &sorted) {
                        sorted.dedup();
                    }
                    Expr::In { value: value.clone(), list: sorted, negated: *negated }
                }
            },
            Expr::AnyOf { .. } => listed(self.scope, expr)?,
            // Where neither side is NULL it is a comparison, and never unknown either.
            Expr::Distinct { left, right, negated }
                if self.is_ordered(left)
                    && !matches!((&**left, &**right), (Expr::Row(_), _) | (_, Expr::Row(_)))
                    && self.never_null(left)
                    && self.never_null(right) =>
            {
                binary(if *negated { "=" } else { "<>" }, (**left).clone(), (**right).clone())
            }
            // Each branch compares by itself.
            Expr::Case { subject: Some(subject), branches, default }
                if self.scope.type_of(subject).is_some()
                    && self.scope.is_repeatable(subject)
                    && !subject.has_query() =>
            {
                let compared =
                    |(when, then): &(Expr, Expr)| (equal((**subject).clone(), when.clone()), then.clone());
                Expr::Case {
                    subject: None,
                    branches: branches.iter().map(compared).collect(),
                    default: default.clone(),
                }
            }
            Expr::IsNull { inner, negated } if self.scope.is_scalar(inner) && self.never_null(inner) => {
                truth(*negated)
            }
            Expr::Quantified { .. } if values_list(self.scope, expr).is_some() => {
                values_list(self.scope, expr)?
            }
            // Where nothing is NULL, IN is never unknown either.
            Expr::Quantified { operator, value, query, all: false } if operator == "=" => {
                match self.not_in(value, query)? {
                    Expr::Not(exists) => *exists,
                    _ => return None,
                }
            }
            Expr::Scalar(query) if query.limit.is_some() => {
                let (extreme, proofs) = super::first_rows::extreme(self.scope, query)?;
                self.used.extend(proofs);
                Expr::Scalar(Box::new(extreme))
            }
            // A query without sources is its expression.
            Expr::Scalar(query)
                if query.is_bare() && query.select().is_some_and(|s| {
                    s.from.is_empty()
                        && s.filter.is_empty()
                        && !s.is_grouped()
                        && matches!(s.outputs.as_slice(), [one] if !super::super::walk::has_window(&one.expr))
                }) =>
            {
                as_value(&query.select()?.outputs.first()?.expr)
            }
            Expr::Is { inner, test: Truth::NotTrue } if self.never_null(inner) => {
                self.negated((**inner).clone())
            }
            Expr::Coalesce(list) => {
                let mut kept: Vec<Expr> = Vec::new();
                for item in list {
                    let nested = match item {
                        Expr::Coalesce(inner) => inner.clone(),
                        other => vec![other.clone()],
                    };
                    for item in nested {
                        if item == Expr::Constant(Constant::Null) || kept.contains(&item) {
                            continue;
                        }
                        kept.push(item);
                    }
                }
                let end = kept.iter().position(|e| self.never_null(e) || self.counts(e));
                if let Some(end) = end {
                    kept.truncate(end + 1);
                }
                // The type of what is left may be another one.
                match kept.len() {
                    0 => return None,
                    _ if !self.same_type(&kept[0], list) => return None,
                    1 => kept.remove(0),
                    _ => Expr::Coalesce(kept),
                }
            }
            Expr::Cast { inner, to } => {
                let own = self.scope.type_of(inner);
                if own.is_some() && own == type_text(to) && to.modifiers.is_empty() {
                    return Some((**inner).clone());
                }
                return None;
            }
            Expr::Call(call) => return self.call(call),
            Expr::Operator { name, left: Some(left), right } => return self.operator(name, left, right),
            Expr::Like { kind: LikeKind::Like, value, pattern, negated } => {
                // A pattern without a wildcard is the text itself.
                match &**pattern {
                    Expr::Constant(Constant::Text(text))
                        if !text.contains(['%', '_', '\\'])
                            && matches!(self.scope.type_of(value).as_deref(), Some("text" | "varchar"))
                            && self.scope.equal_is_same(value) =>
                    {
                        binary(if *negated { "<>" } else { "=" }, (**value).clone(), (**pattern).clone())
                    }
                    _ => return None,
                }
            }
            Expr::Value(name) if name == "current_timestamp" => {
                Expr::Call(Box::new(Call::new("now", Vec::new())))
            }
            _ => return None,
        })
    }

    fn same_type(&self, kept: &Expr, all: &[Expr]) -> bool {
        let own = self.scope.type_of(kept);
        own.is_some()
            && all.iter().all(|e| {
                let other = self.scope.type_of(e);
                other == own
                    || matches!(e, Expr::Constant(Constant::Null | Constant::Text(_)))
                    // A small whole number takes the wider type.
                    || (matches!(e, Expr::Constant(Constant::Integer(_))) && matches!(own.as_deref(), Some("int8" | "numeric")))
            })
    }

    /// A count over rows that are there.
    fn counts(&self, expr: &Expr) -> bool {
        match expr {
            Expr::Call(call) => call.schema.is_none() && call.name == "count" && call.over.is_none(),
            Expr::Scalar(query) => query.select().is_some_and(|s| {
                s.group.is_empty()
                    && s.having.is_empty()
                    && query.is_bare()
                    && matches!(s.outputs.as_slice(), [one] if self.counts(&one.expr))
            }),
            _ => false,
        }
    }
}
