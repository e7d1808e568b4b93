//! Conditions on one column that others imply, or contradict.

use super::super::checks::{compared, long_number};
use super::super::facts::Scope;
use super::super::reading::{all_of, binary, equal, split_and};
use super::super::tree::{Constant, Expr};
use super::super::writing;

/// Leaves out comparisons of a number with constants that another one of the list implies; `false` alone is left when
/// two of them contradict each other. All of the list has to be true.
pub(super) fn merge(scope: &Scope<'_>, list: &mut Vec<Expr>) {
    let mut at = 0;
    while at < list.len() {
        let mut dropped = false;
        if let Some(one) = text(scope, &list[at]) {
            for (other_at, other) in list.iter().enumerate() {
                if other_at == at || compared(other) != compared(&list[at]) {
                    continue;
                }
                let Some(other) = text(scope, other) else { continue };
                if crate::implies(&other, &format!("NOT ({one})")) {
                    *list = vec![Expr::Constant(Constant::Boolean(false))];
                    return;
                }
                // Of two that imply each other the first one stays.
                if crate::implies(&other, &one) && (other_at < at || !crate::implies(&one, &other)) {
                    dropped = true;
                    break;
                }
            }
        }
        if dropped {
            list.remove(at);
        } else {
            at += 1;
        }
    }
}

/// `a >= x AND (a > x OR b)` is `a > x OR (a = x AND b)`. All of the list has to be true.
pub(super) fn from_a_bound(scope: &Scope<'_>, list: &mut Vec<Expr>) {
    let compared = |e: &Expr, wanted: [&'static str; 2]| match e {
        Expr::Operator { name, left: Some(left), right } => {
            let name = wanted.into_iter().find(|w| w == name)?;
            Some((name, (**left).clone(), (**right).clone()))
        }
        _ => None,
    };
    for bound in 0..list.len() {
        let Some((operator, left, right)) = compared(&list[bound], [">=", "<="]) else { continue };
        let plain = |e: &Expr| !e.has_query() && scope.is_repeatable(e);
        if !plain(&left) || !plain(&right) || !scope.facts.users.operators.is_empty() {
            continue;
        }
        let strict = operator.trim_end_matches('=');
        // Of whole numbers `a > 5` is written as `a >= 6`.
        let beyond = match (&right, scope.type_of(&left).as_deref()) {
            (Expr::Constant(Constant::Integer(n)), Some("int2" | "int4" | "int8")) => {
                let next = if strict == ">" { n + 1 } else { n - 1 };
                binary(operator, left.clone(), Expr::Constant(Constant::Integer(next)))
            }
            _ => binary(strict, left.clone(), right.clone()),
        };
        let found = list.iter().position(|e| matches!(e, Expr::Or(arms) if arms.contains(&beyond)));
        let Some(at) = found else { continue };
        let Expr::Or(arms) = list[at].clone() else { continue };
        let tied = |arm: Expr| {
            if arm == beyond {
                return arm;
            }
            let mut parts = vec![equal(left.clone(), right.clone())];
            parts.extend(split_and(arm));
            all_of(parts)
        };
        list[at] = Expr::Or(arms.into_iter().map(tied).collect());
        list.remove(bound);
        return;
    }
}

/// A comparison of a number as a text.
fn text(scope: &Scope<'_>, condition: &Expr) -> Option<String> {
    let column = compared(condition)?;
    let type_name = scope.type_of(&Expr::Column(column.clone()))?;
    if !matches!(type_name.as_str(), "int2" | "int4" | "int8" | "numeric") {
        return None;
    }
    Some(writing::expression(condition)).filter(|text| !long_number(text))
}
