//! `price + 5 > 20` → `price > 15`.
//!
//! Arithmetic on the column hides it from its index; on the other side it is done once. Only where arithmetic is
//! exact: whole numbers, `numeric`, dates, and timestamps with hours, minutes and seconds. Days and months are not,
//! because their lengths differ. Where the sum overflows the statement failed before and does not any more.

use super::super::facts::Scope;
use super::super::level::Level;
use super::super::reading::binary;
use super::super::tree::{Constant, Expr};
use super::super::{Found, Rule};

pub(super) const RULE: Rule = Rule {
    id: "bare-column",
    title: "arithmetic on a compared column moves to the other side",
    sound_if: "the arithmetic of the type is exact",
    find,
};

fn find(level: &Level<'_, '_>) -> Vec<Found> {
    super::native_type::replaced(level, bare, "the arithmetic of the type is exact")
}

/// The comparison with the column alone on its side.
pub(crate) fn bare(scope: &Scope<'_>, operator: &str, left: &Expr, right: &Expr) -> Option<Expr> {
    if !matches!(operator, "=" | "<>" | "<" | "<=" | ">" | ">=") || !scope.facts.users.operators.is_empty() {
        return None;
    }
    let Expr::Operator { name, left: Some(first), right: second } = left else { return None };
    let (column, moved, inverse) = match (name.as_str(), &**first, &**second) {
        ("+", Expr::Column(_), other) => (&**first, other, "-"),
        ("+", other, Expr::Column(_)) => (&**second, other, "-"),
        ("-", Expr::Column(_), other) => (&**first, other, "+"),
        _ => return None,
    };
    let constant = |e: &Expr| e.columns().is_empty() && !e.has_query() && scope.is_repeatable(e);
    if !constant(moved) || !constant(right) {
        return None;
    }
    match scope.type_of(column)?.as_str() {
        "int2" | "int4" | "int8" => {
            let (Expr::Constant(Constant::Integer(a)), Expr::Constant(Constant::Integer(b))) = (moved, right)
            else {
                return None;
            };
            let number = if inverse == "-" { b.checked_sub(*a)? } else { b.checked_add(*a)? };
            i32::try_from(number).ok()?;
            Some(binary(operator, column.clone(), Expr::Constant(Constant::Integer(number))))
        }
        "numeric" => {
            let plain = |e: &Expr| matches!(e, Expr::Constant(Constant::Integer(_) | Constant::Number(_)));
            if !plain(moved) || !plain(right) {
                return None;
            }
            if let (Expr::Constant(Constant::Integer(a)), Expr::Constant(Constant::Integer(b))) =
                (moved, right)
            {
                let number = if inverse == "-" { b.checked_sub(*a)? } else { b.checked_add(*a)? };
                i32::try_from(number).ok()?;
                return Some(binary(operator, column.clone(), Expr::Constant(Constant::Integer(number))));
            }
            // Two numbers would be subtracted as they are written, which is numeric as soon as one has a fraction.
            let fraction = |e: &Expr| matches!(e, Expr::Constant(Constant::Number(text)) if text.contains('.') && !text.contains(['e', 'E']));
            (fraction(moved) || fraction(right))
                .then(|| binary(operator, column.clone(), binary(inverse, right.clone(), moved.clone())))
        }
        kind @ ("timestamp" | "timestamptz") => {
            let Expr::Cast { inner, to } = moved else { return None };
            let Expr::Constant(Constant::Text(length)) = &**inner else { return None };
            if to.simple() != Some("interval") || !is_exact(length) {
                return None;
            }
            let other = match scope.type_of(right) {
                Some(own) if own == kind => right.clone(),
                None if matches!(right, Expr::Constant(Constant::Text(_))) => Expr::Cast {
                    inner: Box::new(right.clone()),
                    to: super::super::tree::TypeName::plain(kind),
                },
                _ => return None,
            };
            Some(binary(operator, column.clone(), binary(inverse, other, moved.clone())))
        }
        _ => None,
    }
}

/// Hours, minutes and seconds are as long everywhere.
fn is_exact(length: &str) -> bool {
    let mut words = length.split_whitespace();
    match (words.next(), words.next(), words.next()) {
        (Some(number), Some(unit), None) => {
            number.parse::<u32>().is_ok()
                && matches!(
                    unit,
                    "hour"
                        | "hours"
                        | "minute"
                        | "minutes"
                        | "min"
                        | "mins"
                        | "second"
                        | "seconds"
                        | "sec"
                        | "secs"
                )
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::super::check;

    #[test]
    fn moved() {
        check(
            "bare-column",
            "select id from items where quantity + 5 > 20",
            expect![[r#"
            SELECT id
            FROM items
            WHERE quantity > 15
            + the arithmetic of the type is exact: the types of both sides
        "#]],
        );
        check(
            "bare-column",
            "select id from items where 9.5 = price - 1",
            expect![[r#"
            SELECT id
            FROM items
            WHERE price = 9.5 + 1
            + the arithmetic of the type is exact: the types of both sides
        "#]],
        );
        check(
            "bare-column",
            "select id from orders where shipped_at + interval '2 hours' > now()",
            expect![[r#"
                SELECT id
                FROM orders
                WHERE shipped_at > now() - '2 hours'::interval
                + the arithmetic of the type is exact: the types of both sides
            "#]],
        );
    }

    #[test]
    fn left_alone() {
        for sql in [
            "select id from orders where shipped_at + interval '7 days' > now()",
            "select id from orders where weight + 1 > 2",
            "select id from items where quantity + id > 20",
            "select id from items where quantity * 2 > 20",
            "select id from items where 10 - quantity > 2",
        ] {
            check("bare-column", sql, expect![[r#""#]]);
        }
    }
}
