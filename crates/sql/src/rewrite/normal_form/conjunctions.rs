//! Conditions that all hold, read together: what lists have in common, a month of a year; and what arms of an OR have in
//! common.

use std::collections::BTreeSet;

use super::super::calendar;
use super::super::facts::{Proofs, Scope};
use super::super::reading::{all_of, any_of, binary, split_and};
use super::super::rules::time_range::clocks;
use super::super::tree::{Call, Column, Constant, Expr, LikeKind};
use super::comparisons::{absorbed, lists};
use super::conditions::truth;

/// Reads conditions together that all have to be true.
pub(super) fn merge(scope: &Scope<'_>, list: &mut Vec<Expr>, used: &mut Proofs) {
    common_values(scope, list);
    prefixes(list);
    common_arms(list);
    while let Some(proofs) = years(scope, list).or_else(|| part_of_span(scope, list)) {
        used.extend(proofs);
    }
}

/// `extract(year from t) BETWEEN 2022 AND 2023`. With one bound alone infinity, which has a year since 17, would count.
fn years(scope: &Scope<'_>, list: &mut [Expr]) -> Option<Proofs> {
    let year = |e: &Expr, wanted: [&str; 2]| {
        let Expr::Operator { name, left: Some(left), right } = e else { return None };
        let equal = binary("=", (**left).clone(), (**right).clone());
        let (column, field, number) = part(&equal)?;
        let column = (field == "year" && wanted.contains(&name.as_str())).then_some(column)?;
        // A year after one is at least the next.
        let number = if matches!(name.as_str(), ">" | "<=") { number + 1 } else { number };
        (1..=9999).contains(&number).then_some((column, number))
    };
    let (low, (column, from)) =
        list.iter().enumerate().find_map(|(n, e)| Some((n, year(e, [">=", ">"])?)))?;
    let (high, (_, to)) = list.iter().enumerate().find_map(|(n, e)| {
        let found = year(e, ["<=", "<"])?;
        (found.0 == column).then_some((n, found))
    })?;
    let zoned = match scope.type_of(&Expr::Column(column.clone())).as_deref() {
        Some("date" | "timestamp") => false,
        Some("timestamptz") => true,
        _ => return None,
    };
    let shadowed = ["extract", "date_part"]
        .into_iter()
        .any(|name| scope.facts.users.is_of_user(&Call::new(name, Vec::new())));
    if shadowed || !scope.facts.users.operators.is_empty() {
        return None;
    }
    let proofs = clocks(scope, zoned).ok()?;
    let at = |name: &str, year: i64| {
        let text = format!("{year:04}-01-01");
        binary(name, Expr::Column(column.clone()), Expr::Constant(Constant::Text(text)))
    };
    (list[low], list[high]) = (at(">=", from), at("<", to));
    Some(if zoned { proofs } else { Proofs::new() })
}

/// Arms of an OR: what each of them asks is asked of all.
pub(super) fn factored(scope: &Scope<'_>, arms: Vec<Expr>) -> Expr {
    let split: Vec<Vec<Expr>> = arms.iter().cloned().map(split_and).collect();
    let Some((first, others)) = split.split_first() else { return any_of(arms) };
    let common: Vec<Expr> =
        first.iter().filter(|e| others.iter().all(|other| other.contains(e))).cloned().collect();
    if others.is_empty() || common.is_empty() {
        return any_of(arms);
    }
    let rest = split.into_iter().map(|arm| all_of(arm.into_iter().filter(|e| !common.contains(e)).collect()));
    let rest: Vec<Expr> = rest.collect();
    // An arm that asks nothing more makes the others superfluous.
    if rest.contains(&truth(true)) {
        return all_of(common);
    }
    let mut parts = common;
    parts.push(any_of(lists(scope, absorbed(rest))));
    all_of(parts)
}

/// `c LIKE 'ab%' AND c LIKE 'abc%'` is the longer one.
fn prefixes(list: &mut Vec<Expr>) {
    let prefix = |e: &Expr| {
        let Expr::Like { kind: LikeKind::Like, value, pattern, negated: false } = e else { return None };
        let Expr::Constant(Constant::Text(text)) = &**pattern else { return None };
        let text = text.strip_suffix('%').filter(|t| !t.contains(['%', '_', '\\']))?;
        Some(((**value).clone(), text.to_owned()))
    };
    let known: Vec<_> = list.iter().map(prefix).collect();
    let mut at = 0;
    list.retain(|_| {
        at += 1;
        let Some((value, text)) = &known[at - 1] else { return true };
        !known
            .iter()
            .flatten()
            .any(|(v, t)| v == value && t.len() > text.len() && t.starts_with(text.as_str()))
    });
}

/// `(a OR b) AND (a OR c)` is `a OR (b AND c)`.
fn common_arms(list: &mut Vec<Expr>) {
    for second in 1..list.len() {
        for first in 0..second {
            let (Expr::Or(one), Expr::Or(other)) = (&list[first], &list[second]) else { continue };
            let (common, rest): (Vec<Expr>, Vec<Expr>) = one.iter().cloned().partition(|e| other.contains(e));
            let more: Vec<Expr> = other.iter().filter(|e| !common.contains(e)).cloned().collect();
            if common.is_empty() {
                continue;
            }
            let mut arms = common;
            if !rest.is_empty() && !more.is_empty() {
                arms.push(all_of(vec![any_of(rest), any_of(more)]));
            }
            list[first] = any_of(arms);
            list.remove(second);
            return;
        }
    }
}

/// The values that a column may have by a condition, of types whose constants are equal only when they are written alike.
fn allowed(scope: &Scope<'_>, condition: &Expr) -> Option<(Column, BTreeSet<Constant>)> {
    let (value, list) = match condition {
        Expr::In { value, list, negated: false } => (value, list.as_slice()),
        Expr::Operator { name, left: Some(left), right } if name == "=" => {
            (left, std::slice::from_ref(&**right))
        }
        _ => return None,
    };
    let Expr::Column(column) = &**value else { return None };
    let kind = scope.type_of(value)?;
    let whole = matches!(kind.as_str(), "int2" | "int4" | "int8");
    let text = matches!(kind.as_str(), "text" | "varchar") && scope.equal_is_same(value);
    let constant = |e: &Expr| match e {
        Expr::Constant(c @ Constant::Integer(_)) if whole => Some(c.clone()),
        Expr::Constant(c @ Constant::Text(_)) if text => Some(c.clone()),
        _ => None,
    };
    let values = list.iter().map(constant).collect::<Option<BTreeSet<Constant>>>()?;
    let own = scope.facts.users.operators.contains("=");
    (!own && !values.is_empty()).then(|| (column.clone(), values))
}

/// `c IN (1, 2) AND c IN (2, 3)` is `c = 2`.
fn common_values(scope: &Scope<'_>, list: &mut Vec<Expr>) {
    let mut at = 0;
    while at < list.len() {
        let merged = allowed(scope, &list[at]).and_then(|(column, values)| {
            let other =
                list[..at].iter().position(|e| allowed(scope, e).is_some_and(|(c, _)| c == column))?;
            let (_, more) = allowed(scope, &list[other])?;
            let both: Vec<Expr> = values.intersection(&more).cloned().map(Expr::Constant).collect();
            let value = Expr::Column(column);
            Some((
                other,
                match both.as_slice() {
                    [] => truth(false),
                    [only] => binary("=", value, only.clone()),
                    _ => Expr::In { value: Box::new(value), list: both, negated: false },
                },
            ))
        });
        match merged {
            Some((other, new)) => {
                list[other] = new;
                list.remove(at);
            }
            None => at += 1,
        }
    }
    if list.contains(&truth(false)) {
        *list = vec![truth(false)];
    }
}

/// `extract(month from t) = 3` beside a range of `t` that is one year.
pub(crate) fn part_of_span(scope: &Scope<'_>, list: &mut Vec<Expr>) -> Option<Proofs> {
    for at in 0..list.len() {
        let Some((column, field, number)) = part(&list[at]) else { continue };
        let shadowed = ["extract", "date_part"]
            .into_iter()
            .any(|name| scope.facts.users.is_of_user(&Call::new(name, Vec::new())));
        let zoned = match scope.type_of(&Expr::Column(column.clone())).as_deref() {
            Some("date" | "timestamp") => false,
            Some("timestamptz") => true,
            _ => continue,
        };
        let bound = |wanted: &str| {
            list.iter().enumerate().find_map(|(i, e)| {
                let (of, name, day) = bound(e)?;
                (of == column && name == wanted).then(|| (i, day.to_owned()))
            })
        };
        let (Some((low, from)), Some((high, to))) = (bound(">="), bound("<")) else { continue };
        let Some((start, end)) = narrowed(&from, &to, field, number) else { continue };
        if shadowed || !scope.facts.users.operators.is_empty() {
            continue;
        }
        let Ok(proofs) = clocks(scope, zoned) else { continue };
        let value = Expr::Column(column);
        let day = |text: String| Expr::Constant(Constant::Text(text));
        list[low] = binary(">=", value.clone(), day(start));
        list[high] = binary("<", value, day(end));
        list.remove(at);
        return Some(if zoned { proofs } else { Proofs::new() });
    }
    None
}

/// `extract(field from column) = number`.
fn part(condition: &Expr) -> Option<(Column, &str, i64)> {
    let Expr::Operator { name, left: Some(left), right } = condition else { return None };
    let (Expr::Call(call), Expr::Constant(Constant::Integer(number))) = (&**left, &**right) else {
        return None;
    };
    let [Expr::Constant(Constant::Text(field)), Expr::Column(column)] = call.args.as_slice() else {
        return None;
    };
    let of = name == "=" && call.schema.is_none() && matches!(call.name.as_str(), "extract" | "date_part");
    of.then(|| (column.clone(), field.as_str(), *number))
}

/// `column >= '2024-01-01'`.
fn bound(condition: &Expr) -> Option<(Column, &str, &str)> {
    let Expr::Operator { name, left: Some(left), right } = condition else { return None };
    let Expr::Column(column) = &**left else { return None };
    let text = match &**right {
        Expr::Constant(Constant::Text(text)) => text,
        Expr::Cast { inner, to } if to.simple() == Some("date") => match &**inner {
            Expr::Constant(Constant::Text(text)) => text,
            _ => return None,
        },
        _ => return None,
    };
    calendar::date(text).map(|_| (column.clone(), name.as_str(), text.as_str()))
}

/// The part of a whole year or month that a field says.
fn narrowed(from: &str, to: &str, field: &str, number: i64) -> Option<(String, String)> {
    let (months, days) = match field {
        "month" | "quarter" => (12, 0),
        "day" => (1, 0),
        _ => return None,
    };
    let (_, month, day) = calendar::date(from)?;
    let begins = day == 1 && (field == "day" || month == 1);
    if !begins || calendar::later(from, months, days)? != to {
        return None;
    }
    let (start, end) = match field {
        "month" if (1..=12).contains(&number) => {
            let start = calendar::later(from, number - 1, 0)?;
            (start.clone(), calendar::later(&start, 1, 0)?)
        }
        "quarter" if (1..=4).contains(&number) => {
            let start = calendar::later(from, 3 * (number - 1), 0)?;
            (start.clone(), calendar::later(&start, 3, 0)?)
        }
        "day" if (1..=31).contains(&number) => {
            let start = calendar::later(from, 0, number - 1)?;
            (start.clone(), calendar::later(&start, 0, 1)?)
        }
        _ => return None,
    };
    // A day that the month does not have is in the next one.
    (start.as_str() < to).then_some((start, end))
}
