//! Conditions on one column that others imply, or contradict.

use super::super::checks::{compared, long_number};
use super::super::facts::Scope;
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

/// A comparison of a number as a text.
fn text(scope: &Scope<'_>, condition: &Expr) -> Option<String> {
    let column = compared(condition)?;
    let type_name = scope.type_of(&Expr::Column(column.clone()))?;
    if !matches!(type_name.as_str(), "int2" | "int4" | "int8" | "numeric") {
        return None;
    }
    Some(writing::expression(condition)).filter(|text| !long_number(text))
}
