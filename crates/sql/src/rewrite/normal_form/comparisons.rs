//! Comparisons in one way of writing: of rows, with COALESCE, in lists, with what a subquery gives.

use std::collections::BTreeSet;

use super::super::facts::Scope;
use super::super::level::select_one;
use super::super::reading::{all_of, any_of, binary, equal, split_and};
use super::super::tree::{Body, Constant, Distinct, Expr, Query};

/// A row comparison as what it means, in a place where only "true" counts.
pub(super) fn row_comparison(name: &str, left: &[Expr], right: &[Expr]) -> Expr {
    let strict = name.trim_end_matches('=');
    let mut arms = Vec::new();
    for i in 0..left.len() {
        let last = i + 1 == left.len();
        let mut parts: Vec<Expr> =
            left[..i].iter().zip(right).map(|(l, r)| equal(l.clone(), r.clone())).collect();
        parts.push(binary(if last { name } else { strict }, left[i].clone(), right[i].clone()));
        arms.push(all_of(parts));
    }
    any_of(arms)
}

/// `COALESCE(column, k) = v`: another constant than `k` is a value of the column, `k` itself or none.
pub(crate) fn coalesce_compared(scope: &Scope<'_>, expr: &Expr) -> Option<Expr> {
    let Expr::Operator { name, left: Some(left), right } = expr else { return None };
    let (list, value) = match (&**left, &**right) {
        (Expr::Coalesce(list), value) | (value, Expr::Coalesce(list)) => (list, value),
        _ => return None,
    };
    let [inner @ Expr::Column(_), Expr::Constant(default)] = list.as_slice() else { return None };
    let Expr::Constant(value_constant) = value else { return None };
    let plain = match (scope.type_of(inner).as_deref(), default, value_constant) {
        (Some("int2" | "int4" | "int8"), Constant::Integer(_), Constant::Integer(_)) => true,
        (Some("text" | "varchar"), Constant::Text(_), Constant::Text(_)) => scope.equal_is_same(inner),
        (Some("bool"), Constant::Boolean(_), Constant::Boolean(_)) => true,
        _ => false,
    };
    if name != "=" || !plain {
        return None;
    }
    let compared = equal(inner.clone(), value.clone());
    Some(if default == value_constant {
        Expr::Or(vec![compared, Expr::IsNull { inner: Box::new(inner.clone()), negated: false }])
    } else {
        compared
    })
}

/// `COALESCE(column, k) < v` of whole numbers: what it is for NULL is known.
pub(super) fn coalesce_less(scope: &Scope<'_>, expr: &Expr) -> Option<Expr> {
    let Expr::Operator { name, left: Some(left), right } = expr else { return None };
    let (Expr::Coalesce(list), Expr::Constant(Constant::Integer(bound))) = (&**left, &**right) else {
        return None;
    };
    let [inner @ Expr::Column(_), Expr::Constant(Constant::Integer(default))] = list.as_slice() else {
        return None;
    };
    if !matches!(scope.type_of(inner).as_deref(), Some("int2" | "int4" | "int8")) {
        return None;
    }
    let of_null = match name.as_str() {
        "<" => default < bound,
        "<=" => default <= bound,
        ">" => default > bound,
        ">=" => default >= bound,
        "<>" => default != bound,
        _ => return None,
    };
    let compared = binary(name, inner.clone(), (**right).clone());
    Some(if of_null {
        Expr::Or(vec![compared, Expr::IsNull { inner: Box::new(inner.clone()), negated: false }])
    } else {
        compared
    })
}

/// Arms of an OR that another arm implies.
pub(super) fn absorbed(parts: Vec<Expr>) -> Vec<Expr> {
    let sets: Vec<BTreeSet<Expr>> =
        parts.iter().map(|p| split_and(p.clone()).into_iter().collect()).collect();
    parts
        .into_iter()
        .enumerate()
        .filter(|(i, _)| {
            !sets.iter().enumerate().any(|(j, other)| {
                j != *i && other.is_subset(&sets[*i]) && (other.len() < sets[*i].len() || j < *i)
            })
        })
        .map(|(_, part)| part)
        .collect()
}

/// Equalities of one expression with constants as one list.
pub(super) fn lists(parts: Vec<Expr>) -> Vec<Expr> {
    let mut out: Vec<Expr> = Vec::new();
    for part in parts {
        let (value, list) = match &part {
            Expr::Operator { name, left: Some(left), right }
                if name == "="
                    && !left.columns().is_empty()
                    && right.columns().is_empty()
                    && !right.has_query() =>
            {
                (left.clone(), vec![(**right).clone()])
            }
            Expr::In { value, list, negated: false } => (value.clone(), list.clone()),
            _ => {
                out.push(part);
                continue;
            }
        };
        let kind = |e: &Expr| match e {
            Expr::Constant(c) => std::mem::discriminant(c) == std::mem::discriminant(&Constant::Integer(0)),
            _ => false,
        };
        let known = out.iter_mut().find_map(|e| match e {
            Expr::In { value: known, list: all, negated: false }
                if *known == value && all.iter().chain(&list).all(|v| kind(v) == kind(&list[0])) =>
            {
                Some(all)
            }
            _ => None,
        });
        match known {
            Some(all) => all.extend(list),
            None => out.push(Expr::In { value, list, negated: false }),
        }
    }
    for part in &mut out {
        if let Expr::In { value, list, negated: false } = part {
            list.sort();
            list.dedup();
            if let [only] = list.as_slice() {
                *part = equal((**value).clone(), only.clone());
            }
        }
    }
    out
}

/// `value operator ANY (query)` as EXISTS, in a place where only "true" counts.
pub(super) fn member(scope: &Scope<'_>, values: &[Expr], operator: &str, query: &Query) -> Option<Expr> {
    if let Body::Set { op: super::super::tree::SetOp::Union, left, right, .. } = &query.body
        && query.is_bare()
    {
        // Branches of other types would be converted to a common one first.
        let types = |q: &Query| -> Option<Vec<String>> {
            q.select()?.outputs.iter().map(|o| scope.type_of(&o.expr)).collect()
        };
        if types(left).is_none() || types(left) != types(right) {
            return None;
        }
        return Some(any_of(vec![
            member(scope, values, operator, left)?,
            member(scope, values, operator, right)?,
        ]));
    }
    let select = query.select()?;
    let windows = select.outputs.iter().any(|o| super::super::walk::has_window(&o.expr));
    let plain = query.is_bare() && !matches!(select.distinct, Distinct::On(_)) && !windows;
    if !plain || values.len() != select.outputs.len() || values.iter().any(Expr::has_query) {
        return None;
    }
    let compared =
        values.iter().zip(&select.outputs).map(|(v, o)| binary(operator, v.clone(), o.expr.clone()));
    let mut inner = select.clone();
    if select.is_grouped() {
        if select.group.is_empty() {
            return None;
        }
        inner.having.extend(compared);
        inner.distinct = Distinct::No;
        return Some(Expr::Exists(Box::new(Query::of(inner))));
    }
    let filter = inner.filter.into_iter().chain(compared).collect();
    Some(Expr::Exists(Box::new(select_one(inner.from, filter))))
}
