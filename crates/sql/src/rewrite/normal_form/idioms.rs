//! Expressions that are written in two ways: with NULLIF, with `array_agg`, with the greatest of some rows.

use super::super::facts::Scope;
use super::super::level::select_one;
use super::super::reading::{binary, equal};
use super::super::tree::{Call, Constant, Distinct, Expr, Output, Query, Select};
use super::super::walk::{has_aggregate, has_window};
use super::comparisons::{begins_with, is_list_of};
use super::conditions::{Simplify, is_of_ordered_type, truth};
use super::joins::apart;
use super::{Normalizer, Site};

fn is_null(expr: &Expr) -> bool {
    match expr {
        Expr::Constant(Constant::Null) => true,
        Expr::Cast { inner, .. } => is_null(inner),
        _ => false,
    }
}

fn is_comparison(name: &str) -> bool {
    matches!(name, "=" | "<>" | "<" | "<=" | ">" | ">=")
}

impl Simplify<'_, '_, '_> {
    /// What has the same value, NULL included.
    pub(super) fn idiom(&mut self, expr: &Expr) -> Option<Expr> {
        match expr {
            // What no branch says is NULL.
            Expr::Case { subject, branches, default: Some(default) }
                if **default == Expr::Constant(Constant::Null) =>
            {
                Some(Expr::Case { subject: subject.clone(), branches: branches.clone(), default: None })
            }
            Expr::Case { .. } => self.choice(expr),
            Expr::Operator { name, .. } if name == "-" => self.rest_of_count(expr),
            Expr::Call(call) => self.starts(call),
            Expr::Coalesce(list) => {
                let [Expr::Scalar(query), Expr::Constant(Constant::Text(empty))] = list.as_slice() else {
                    return None;
                };
                if empty == "{}" { self.collected(query) } else { None }
            }
            // NULL is NULLIF where both are the same, or the first is NULL itself.
            Expr::IsNull { inner, negated } => {
                let Expr::NullIf(value, other) = &**inner else { return None };
                let constant = matches!(&**other, Expr::Constant(c) if *c != Constant::Null);
                let own = self.scope.facts.users.operators.contains("=");
                if !constant || own || !self.is_ordered(value) || !self.scope.is_repeatable(value) {
                    return None;
                }
                let missing = |negated| Expr::IsNull { inner: value.clone(), negated };
                let compared = |name| binary(name, (**value).clone(), (**other).clone());
                Some(if *negated {
                    Expr::And(vec![compared("<>"), missing(true)])
                } else {
                    Expr::Or(vec![compared("="), missing(false)])
                })
            }
            _ => None,
        }
    }

    /// `starts_with(text, 'abc')` as `text LIKE 'abc%'`.
    fn starts(&self, call: &Call) -> Option<Expr> {
        let [value, Expr::Constant(Constant::Text(text))] = call.args.as_slice() else { return None };
        let plain =
            call.name == "starts_with" && call.schema.is_none() && !self.scope.facts.users.is_of_user(call);
        if plain { begins_with(self.scope, value, text) } else { None }
    }

    /// `COALESCE((SELECT array_agg(x ORDER BY y) FROM …), '{}')` as `ARRAY (SELECT x FROM … ORDER BY y)`.
    fn collected(&self, query: &Query) -> Option<Expr> {
        let select = query.select()?;
        let [output] = select.outputs.as_slice() else { return None };
        let Expr::Call(call) = &output.expr else { return None };
        let [value] = call.args.as_slice() else { return None };
        let plain = query.is_bare()
            && call.name == "array_agg"
            && call.schema.is_none()
            && call.over.is_none()
            && !call.distinct
            && !call.within_group
            && !self.scope.facts.users.is_of_user(call)
            && select.group.is_empty()
            && select.sets.is_empty()
            && select.having.is_empty()
            && select.distinct == Distinct::No
            && !select.from.is_empty()
            && !has_window(value)
            && !has_aggregate(value);
        // Arrays of arrays have to be of one size, and none is put together of a record.
        let element = self.scope.type_of(value)?;
        let own: Vec<&str> = select.aliases();
        let here = value.sources().iter().any(|s| own.contains(s));
        if !plain || !here || element.starts_with('_') || element.contains('.') {
            return None;
        }
        let mut of = select.clone();
        of.outputs = vec![Output::new("value", value.clone())];
        of.filter.extend(call.filter.as_deref().cloned());
        Some(Expr::ArrayOf(Box::new(Query { order: call.order.clone(), ..Query::of(of) })))
    }

    /// What is true of the same rows; false and NULL are one.
    pub(super) fn only_true(&mut self, expr: &Expr) -> Option<Expr> {
        if let Some(new) = self.some_row(expr).or_else(|| self.every_row(expr)) {
            return Some(new);
        }
        let users = &self.scope.facts.users.operators;
        match expr {
            // What is compared with itself is equal, unless it is NULL.
            Expr::Operator { name, left: Some(left), right }
                if left == right
                    && is_comparison(name)
                    && matches!(**left, Expr::Column(_))
                    && self.is_ordered(left)
                    && self.scope.is_scalar(left) =>
            {
                Some(if matches!(name.as_str(), "=" | "<=" | ">=") {
                    Expr::IsNull { inner: left.clone(), negated: true }
                } else {
                    truth(false)
                })
            }
            // Nothing compares with NULL.
            Expr::Operator { name, left: Some(left), right } if is_comparison(name) && users.is_empty() => {
                (is_null(left) || is_null(right)).then(|| truth(false))
            }
            Expr::In { list, negated: true, .. } if users.is_empty() && list.iter().any(is_null) => {
                Some(truth(false))
            }
            Expr::In { value, list, negated: false } if users.is_empty() => {
                let untyped = Expr::Constant(Constant::Null);
                let rest: Vec<Expr> = list.iter().filter(|e| **e != untyped).cloned().collect();
                // A list is brought to one type, which a single value need not be.
                if rest.len() == list.len() || !rest.is_empty() && !is_list_of(self.scope, value, &rest) {
                    return None;
                }
                Some(match rest.as_slice() {
                    [] => truth(false),
                    [only] => equal((**value).clone(), only.clone()),
                    _ => Expr::In { value: value.clone(), list: rest, negated: false },
                })
            }
            Expr::Quantified { operator, value, query, all: true } if users.is_empty() => {
                self.none_beyond(operator, value, query)
            }
            _ => None,
        }
    }

    /// `v >= ALL (SELECT c …)` as: there is no greater one. Where one side is NULL it is not true.
    fn none_beyond(&mut self, operator: &str, value: &Expr, query: &Query) -> Option<Expr> {
        let inverse = match operator {
            ">=" => ">",
            "<=" => "<",
            ">" => ">=",
            "<" => "<=",
            _ => return None,
        };
        let select = query.select()?;
        let [output] = select.outputs.as_slice() else { return None };
        let inside = self.scope.not_null_by_filter(select);
        let compared = &output.expr;
        if !simple(query, select)
            || !(of_one_order(self.scope, compared, value) || is_number_beside(self.scope, compared, value))
            || value.has_query()
            || !self.never_null(value)
        {
            return None;
        }
        let proofs = self.scope.never_null(compared, &inside).ok()?;
        self.used.extend(proofs);
        let beyond = binary(inverse, compared.clone(), value.clone());
        let filter = select.filter.iter().cloned().chain([beyond]).collect();
        Some(Expr::Not(Box::new(Expr::Exists(Box::new(select_one(select.from.clone(), filter))))))
    }
}

impl Normalizer<'_, '_> {
    /// A condition that a value is the greatest of some rows.
    pub(super) fn greatest_of(&self, site: &Site<'_, '_>) -> Option<Query> {
        let select = site.level.select()?;
        let scope = site.level.scope;
        if !scope.facts.users.operators.is_empty() {
            return None;
        }
        let (at, new) = select.filter.iter().enumerate().find_map(|(at, condition)| {
            let Expr::Operator { name, left: Some(left), right } = condition else { return None };
            let new =
                (name == "=").then(|| greatest(scope, left, right).or_else(|| greatest(scope, right, left)));
            Some((at, new??))
        })?;
        let mut changed = select.clone();
        changed.filter.splice(at..=at, new);
        Some(apart(site.level.with(changed), site))
    }
}

/// A subquery that only selects.
fn simple(query: &Query, select: &Select) -> bool {
    query.is_bare()
        && !select.is_grouped()
        && !matches!(select.distinct, Distinct::On(_))
        && !select.from.is_empty()
        && !select.outputs.iter().any(|o| has_window(&o.expr) || o.expr.has_query())
}

/// Whether comparing values of an expression orders them as `ORDER BY` does, and equal ones are peers.
pub(super) fn has_one_order(scope: &Scope<'_>, expr: &Expr) -> bool {
    scope.is_deterministic(expr) && is_of_ordered_type(scope, expr)
}

/// Whether two expressions are compared in one order, which is that of `max()` and `min()`.
fn of_one_order(scope: &Scope<'_>, one: &Expr, other: &Expr) -> bool {
    let Some(kind) = scope.type_of(one) else { return false };
    let known = matches!(
        kind.as_str(),
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
    );
    let text = kind == "text" && scope.is_deterministic(one) && scope.has_collation_of(one, other);
    (known || text) && scope.type_of(other).as_deref() == Some(&*kind)
}

/// Whether `one` is a number, and the other a constant that is compared with it exactly.
fn is_number_beside(scope: &Scope<'_>, one: &Expr, constant: &Expr) -> bool {
    matches!(constant, Expr::Constant(Constant::Integer(_)))
        && matches!(scope.type_of(one).as_deref(), Some("int2" | "int4" | "int8" | "numeric"))
}

/// `v = (SELECT max(c) FROM …)` as: there is one that is `v`, and none is greater.
fn greatest(scope: &Scope<'_>, value: &Expr, of: &Expr) -> Option<[Expr; 2]> {
    let Expr::Scalar(query) = of else { return None };
    let select = query.select()?;
    let [output] = select.outputs.as_slice() else { return None };
    let Expr::Call(call) = &output.expr else { return None };
    let [compared] = call.args.as_slice() else { return None };
    let beyond = match call.name.as_str() {
        "max" => ">",
        "min" => "<",
        _ => return None,
    };
    let own: Vec<&str> = select.aliases();
    let here = compared.sources().iter().any(|s| own.contains(s));
    let plain = query.is_bare()
        && call.schema.is_none()
        && call.over.is_none()
        && call.order.is_empty()
        && !scope.facts.users.is_of_user(call)
        && select.group.is_empty()
        && select.sets.is_empty()
        && select.having.is_empty()
        && select.distinct == Distinct::No
        && !select.from.is_empty();
    if !plain
        || !here
        || has_aggregate(compared)
        || compared.has_query()
        || value.has_query()
        || has_aggregate(value)
        || has_window(value)
        || !scope.is_repeatable(value)
        || !of_one_order(scope, compared, value)
    {
        return None;
    }
    let rows = |condition: Expr| {
        let more = call.filter.as_deref().cloned().into_iter().chain([condition]);
        let filter = select.filter.iter().cloned().chain(more).collect();
        Expr::Exists(Box::new(select_one(select.from.clone(), filter)))
    };
    let is_it = rows(equal(compared.clone(), value.clone()));
    let none = Expr::Not(Box::new(rows(binary(beyond, compared.clone(), value.clone()))));
    Some([is_it, none])
}
