//! Comparisons in one way of writing: of rows, with COALESCE, in lists, with what a subquery gives.

use std::collections::BTreeSet;

use super::super::calendar;
use super::super::facts::{Scope, type_text};
use super::super::level::select_one;
use super::super::reading::{all_of, any_of, binary, equal, split_and};
use super::super::tree::{Body, Constant, Distinct, Expr, LikeKind, Query, TypeName};
use super::literals::{array_literal, as_value};

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
        (Some("int2" | "int4" | "int8" | "numeric"), Constant::Integer(_), Constant::Integer(_)) => true,
        (Some("date"), Constant::Text(a), Constant::Text(b)) => {
            [a, b].into_iter().all(|day| calendar::date(day).is_some())
        }
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

/// `COALESCE(column, k) <> v` of texts.
fn coalesce_differs(scope: &Scope<'_>, name: &str, left: &Expr, right: &Expr) -> Option<Expr> {
    let (Expr::Coalesce(list), Expr::Constant(Constant::Text(value))) = (left, right) else { return None };
    let [inner @ Expr::Column(_), Expr::Constant(Constant::Text(default))] = list.as_slice() else {
        return None;
    };
    // Of a collation that takes texts for one, those that are written differently may be equal.
    let plain =
        matches!(scope.type_of(inner).as_deref(), Some("text" | "varchar")) && scope.equal_is_same(inner);
    if name != "<>" || !plain || scope.facts.users.operators.contains("<>") {
        return None;
    }
    let compared = binary(name, inner.clone(), right.clone());
    Some(if default == value {
        compared
    } else {
        Expr::Or(vec![compared, Expr::IsNull { inner: Box::new(inner.clone()), negated: false }])
    })
}

/// `COALESCE(day, '9999-12-31') > '2024-01-01'`: days that are written as ISO 8601 has them are ordered as their texts are.
fn coalesce_day(scope: &Scope<'_>, name: &str, left: &Expr, right: &Expr) -> Option<Expr> {
    let day = |e: &Expr| match e {
        Expr::Constant(Constant::Text(text)) => calendar::date(text).map(|_| text.clone()),
        Expr::Cast { inner, to } if to.simple() == Some("date") => match &**inner {
            Expr::Constant(Constant::Text(text)) => calendar::date(text).map(|_| text.clone()),
            _ => None,
        },
        _ => None,
    };
    let (Expr::Coalesce(list), Some(bound)) = (left, day(right)) else { return None };
    let [inner @ Expr::Column(_), default] = list.as_slice() else { return None };
    let default = day(default).filter(|_| scope.type_of(inner).as_deref() == Some("date"))?;
    let of_null = match name {
        "<" => default < bound,
        "<=" => default <= bound,
        ">" => default > bound,
        ">=" => default >= bound,
        "<>" => default != bound,
        _ => return None,
    };
    let compared = binary(name, inner.clone(), right.clone());
    Some(if of_null {
        Expr::Or(vec![compared, Expr::IsNull { inner: Box::new(inner.clone()), negated: false }])
    } else {
        compared
    })
}

/// `COALESCE(column, k) < v` of numbers: what it is for NULL is known.
pub(super) fn coalesce_less(scope: &Scope<'_>, expr: &Expr) -> Option<Expr> {
    let Expr::Operator { name, left: Some(left), right } = expr else { return None };
    if let Some(new) = coalesce_differs(scope, name, left, right) {
        return Some(new);
    }
    if let Some(new) = coalesce_day(scope, name, left, right) {
        return Some(new);
    }
    let (Expr::Coalesce(list), Expr::Constant(Constant::Integer(bound))) = (&**left, &**right) else {
        return None;
    };
    let [inner @ Expr::Column(_), Expr::Constant(Constant::Integer(default))] = list.as_slice() else {
        return None;
    };
    if !matches!(scope.type_of(inner).as_deref(), Some("int2" | "int4" | "int8" | "numeric")) {
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

/// How a value of a list is written, which decides whether the list has the type of what is compared with it.
#[derive(PartialEq, Eq)]
enum Kind {
    Untyped,
    Integer,
    Number,
    Boolean,
    Cast(TypeName),
}

fn kind(value: &Expr) -> Option<Kind> {
    match value {
        Expr::Constant(Constant::Text(_)) | Expr::Parameter(_) => Some(Kind::Untyped),
        Expr::Constant(Constant::Integer(_)) => Some(Kind::Integer),
        Expr::Constant(Constant::Number(_)) => Some(Kind::Number),
        Expr::Constant(Constant::Boolean(_)) => Some(Kind::Boolean),
        Expr::Cast { inner, to } => {
            kind(inner)?;
            Some(Kind::Cast(to.clone()))
        }
        _ => None,
    }
}

/// Whether `value IN (list)` is what comparing one by one is. A list is brought to one type: a number is then compared
/// with `real` as `real`, and with `double precision` when it stands alone; a text in it makes all of it texts.
pub(crate) fn is_list_of(scope: &Scope<'_>, value: &Expr, list: &[Expr]) -> bool {
    let Some(first) = list.first().and_then(kind) else { return false };
    list.iter().all(|e| kind(e).as_ref() == Some(&first))
        && match &first {
            Kind::Untyped | Kind::Boolean => true,
            Kind::Integer | Kind::Number => !may_be_real(scope, value),
            Kind::Cast(to) => to.modifiers.is_empty() && type_text(to) == scope.type_of(value),
        }
}

/// Whether `value = ANY (ARRAY[…])` is `value IN (…)`: the elements of an array have a type without the value.
fn is_array_of(scope: &Scope<'_>, value: &Expr, list: &[Expr]) -> bool {
    let own = scope.type_of(value);
    let text = matches!(own.as_deref(), Some("text" | "varchar"));
    is_list_of(scope, value, list)
        && list.first().and_then(kind).is_some_and(|kind| match kind {
            Kind::Untyped => text,
            Kind::Integer | Kind::Number => {
                matches!(own.as_deref(), Some("int2" | "int4" | "int8" | "numeric" | "float8"))
            }
            Kind::Boolean | Kind::Cast(_) => true,
        })
}

/// `value IN (VALUES (1), (2))` as `value IN (1, 2)`: the rows have a type without the value, as an array has.
pub(super) fn values_list(scope: &Scope<'_>, expr: &Expr) -> Option<Expr> {
    let (value, query, negated) = match expr {
        Expr::Quantified { operator, value, query, all: false } if operator == "=" => (value, query, false),
        Expr::Quantified { operator, value, query, all: true } if operator == "<>" => (value, query, true),
        _ => return None,
    };
    let Body::Values(rows) = &query.body else { return None };
    let single = |row: &Vec<Expr>| if let [only] = row.as_slice() { Some(only.clone()) } else { None };
    let list: Vec<Expr> = rows.iter().map(single).collect::<Option<_>>()?;
    let fits = query.is_bare() && !list.is_empty() && is_array_of(scope, value, &list);
    fits.then(|| Expr::In { value: value.clone(), list, negated })
}

/// `value = ANY (array)` as `value IN (list)`, where the elements are written out.
pub(super) fn listed(scope: &Scope<'_>, expr: &Expr) -> Option<Expr> {
    let Expr::AnyOf { operator, value, array, all } = expr else { return None };
    let one_of = matches!((operator.as_str(), all), ("=", false) | ("<>", true));
    let list = match &**array {
        Expr::Array(list) if one_of && is_array_of(scope, value, list) => list.clone(),
        Expr::Constant(Constant::Text(text)) if one_of => array_literal(&scope.type_of(value)?, text)?,
        Expr::Cast { inner, to }
            if one_of
                && scope.is_enum(value)
                && to.array_bounds.len() == 1
                && is_named_like(scope, value, to) =>
        {
            match &**inner {
                Expr::Constant(Constant::Text(text)) => array_literal("text", text)?,
                Expr::Array(list) if list.iter().all(|e| matches!(e, Expr::Constant(Constant::Text(_)))) => {
                    list.clone()
                }
                _ => return None,
            }
        }
        // Elements of a type that is compared with the value as the value's own are.
        Expr::Cast { inner, to } if is_cast_for(scope, value, inner, to) => {
            let array = inner.clone();
            return Some(Expr::AnyOf { operator: operator.clone(), value: value.clone(), array, all: *all });
        }
        _ => return None,
    };
    Some(Expr::In { value: value.clone(), list, negated: *all })
}

/// Whether a type has the name of the enum that a value has, of which it is one or an array.
pub(super) fn is_named_like(scope: &Scope<'_>, value: &Expr, to: &TypeName) -> bool {
    let (Some(own), Some(name)) = (scope.type_of(value), to.names.last()) else { return false };
    to.modifiers.is_empty() && own.rsplit('.').next().is_some_and(|own| own.trim_matches('"') == name)
}

/// Whether an array is brought to a type whose elements are compared with the value as they would be without.
fn is_cast_for(scope: &Scope<'_>, value: &Expr, array: &Expr, to: &TypeName) -> bool {
    let Some(own) = scope.type_of(value) else { return false };
    let Some(to) = type_text(to).filter(|_| to.modifiers.is_empty()) else { return false };
    match own.as_str() {
        "int2" | "int4" | "int8" => {
            let whole = |e: &Expr| matches!(e, Expr::Constant(Constant::Integer(_)));
            let fits = match array {
                Expr::Array(list) => list.iter().all(whole),
                other => matches!(other, Expr::Constant(Constant::Text(_))),
            };
            fits && matches!(to.as_str(), "_int4" | "_int8")
        }
        "text" | "varchar" => {
            let text = |e: &Expr| matches!(e, Expr::Constant(Constant::Text(_)));
            let fits = match array {
                Expr::Array(list) => list.iter().all(text),
                other => text(other),
            };
            fits && matches!(to.as_str(), "_text" | "_varchar")
        }
        _ => false,
    }
}

/// `left(text, 3) = 'abc'`, or `substr(text, 1, 3)`, as `text LIKE 'abc%'`.
pub(super) fn beginning(scope: &Scope<'_>, left: &Expr, right: &Expr) -> Option<Expr> {
    let (Expr::Call(call), Expr::Constant(Constant::Text(text))) = (left, right) else { return None };
    let (value, length, known) = match call.args.as_slice() {
        [value, Expr::Constant(Constant::Integer(length))] => (value, length, "left"),
        // From the first character on.
        [value, Expr::Constant(Constant::Integer(1)), Expr::Constant(Constant::Integer(length))] => {
            (value, length, if call.name == "substr" { "substr" } else { "substring" })
        }
        _ => return None,
    };
    let plain = call.name == known
        && call.schema.is_none()
        && !scope.facts.users.is_of_user(call)
        && matches!(scope.type_of(value).as_deref(), Some("text" | "varchar"))
        && scope.equal_is_same(value)
        && !text.contains(['%', '_', '\\'])
        && !text.is_empty()
        && usize::try_from(*length).is_ok_and(|n| n == text.chars().count());
    plain.then(|| Expr::Like {
        kind: LikeKind::Like,
        value: Box::new(value.clone()),
        pattern: Box::new(Expr::Constant(Constant::Text(format!("{text}%")))),
        negated: false,
    })
}

/// `position('ab' IN text) = 1`, or `strpos(text, 'ab') = 1`, as `text LIKE 'ab%'`.
pub(super) fn found_first(scope: &Scope<'_>, left: &Expr, right: &Expr) -> Option<Expr> {
    let Expr::Call(call) = left else { return None };
    let [value, Expr::Constant(Constant::Text(text))] = call.args.as_slice() else { return None };
    let plain = *right == Expr::Constant(Constant::Integer(1))
        && matches!(call.name.as_str(), "position" | "strpos")
        && call.schema.is_none()
        && !scope.facts.users.is_of_user(call);
    if plain { begins_with(scope, value, text) } else { None }
}

/// `text ~ '^ab'` as `text LIKE 'ab%'`, of letters and digits, which mean themselves.
pub(super) fn anchored(scope: &Scope<'_>, name: &str, left: &Expr, right: &Expr) -> Option<Expr> {
    let Expr::Constant(Constant::Text(pattern)) = right else { return None };
    let text = pattern.strip_prefix('^')?;
    let plain = name == "~"
        && scope.facts.users.operators.is_empty()
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == ' ');
    if plain { begins_with(scope, left, text) } else { None }
}

/// That a text begins with another one, as a pattern.
pub(super) fn begins_with(scope: &Scope<'_>, value: &Expr, text: &str) -> Option<Expr> {
    let plain = matches!(scope.type_of(value).as_deref(), Some("text" | "varchar"))
        && scope.equal_is_same(value)
        && !text.contains(['%', '_', '\\'])
        && !text.is_empty();
    plain.then(|| Expr::Like {
        kind: LikeKind::Like,
        value: Box::new(value.clone()),
        pattern: Box::new(Expr::Constant(Constant::Text(format!("{text}%")))),
        negated: false,
    })
}

/// Whether an expression may be of type `real`.
fn may_be_real(scope: &Scope<'_>, value: &Expr) -> bool {
    if let Some(known) = scope.type_of(value) {
        return known == "float4";
    }
    let mut may = false;
    value.walk(&mut |e| match e {
        Expr::Column(_) => may |= scope.type_of(e).is_none_or(|name| name == "float4"),
        Expr::Cast { to, .. } => may |= type_text(to).is_none_or(|name| name == "float4"),
        Expr::Call(call) => may |= scope.facts.users.is_of_user(call),
        _ => {}
    });
    may
}

/// Equalities of one expression with constants as one list.
pub(super) fn lists(scope: &Scope<'_>, parts: Vec<Expr>) -> Vec<Expr> {
    let mut out: Vec<Expr> = Vec::new();
    for part in parts {
        let (value, list) = match &part {
            Expr::Operator { name, left: Some(left), right }
                if name == "="
                    && !left.columns().is_empty()
                    && is_list_of(scope, left, std::slice::from_ref(&**right)) =>
            {
                (left.clone(), vec![(**right).clone()])
            }
            Expr::In { value, list, negated: false } if is_list_of(scope, value, list) => {
                (value.clone(), list.clone())
            }
            _ => {
                out.push(part);
                continue;
            }
        };
        let known = out.iter_mut().find_map(|e| match e {
            Expr::In { value: known, list: all, negated: false }
                if *known == value && kind(&all[0]) == kind(&list[0]) =>
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
        if let Expr::In { value, list, negated: false } = part
            && is_list_of(scope, value, list)
        {
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
        values.iter().zip(&select.outputs).map(|(v, o)| binary(operator, v.clone(), as_value(&o.expr)));
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
