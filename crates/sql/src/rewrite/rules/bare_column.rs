//! `price + 5 > 20` → `price > 15`.
//!
//! Arithmetic on the column hides it from its index; on the other side it is done once. Only where arithmetic is
//! exact: whole numbers, `numeric`, dates with days, and timestamps with hours, minutes and seconds, without a time zone
//! with days too. Months are not, and days of a time zone, because their lengths differ. Where the sum overflows the statement
//! failed before and does not any more.

use super::super::facts::Scope;
use super::super::level::Level;
use super::super::reading::binary;
use super::super::tree::{Constant, Expr};
use super::super::{Found, Rule};
use crate::predicate::commuted;

pub(super) const RULE: Rule = Rule {
    id: "bare-column",
    title: "arithmetic on a compared column moves to the other side",
    sound_if: "the arithmetic of the type is exact",
    find,
};

/// More days would leave the type's range from a date of four digits.
const MAX_DAYS: i64 = 100_000;
/// Numbers of more digits are left alone.
const MAX_DIGITS: usize = 15;

fn find(level: &Level<'_, '_>) -> Vec<Found> {
    super::native_type::replaced(level, bare, "the arithmetic of the type is exact")
}

/// The comparison with the column alone on its side.
pub(crate) fn bare(scope: &Scope<'_>, operator: &str, left: &Expr, right: &Expr) -> Option<Expr> {
    if !matches!(operator, "=" | "<>" | "<" | "<=" | ">" | ">=") || !scope.facts.users.operators.is_empty() {
        return None;
    }
    let Expr::Operator { name, left: Some(first), right: second } = left else { return None };
    let (column, moved) = match (&**first, &**second) {
        (Expr::Column(_), other) => (&**first, other),
        (other, Expr::Column(_)) => (&**second, other),
        _ => return None,
    };
    let constant = |e: &Expr| e.columns().is_empty() && !e.has_query() && scope.is_repeatable(e);
    if !constant(moved) || !constant(right) {
        return None;
    }
    let kind = scope.type_of(column)?;
    let from_column = std::ptr::eq(column, &**first);
    match (name.as_str(), from_column) {
        ("+", _) => shifted(scope, operator, column, &kind, right, moved, "-"),
        ("-", true) => shifted(scope, operator, column, &kind, right, moved, "+")
            .or_else(|| since(scope, operator, column, &kind, moved, right, "+")),
        ("-", false) => subtracted(operator, column, &kind, moved, right)
            .or_else(|| since(scope, commuted(operator)?, column, &kind, moved, right, "-")),
        ("*", _) => multiplied(operator, column, &kind, moved, right),
        _ => None,
    }
}

fn integer(expr: &Expr) -> Option<i64> {
    if let Expr::Constant(Constant::Integer(number)) = expr { Some(*number) } else { None }
}

/// An `integer` constant, where it is one.
fn small(number: i64) -> Option<Expr> {
    i32::try_from(number).ok().map(|_| Expr::Constant(Constant::Integer(number)))
}

/// `column + moved ~ right` and `column - moved ~ right`.
fn shifted(
    scope: &Scope<'_>,
    operator: &str,
    column: &Expr,
    kind: &str,
    right: &Expr,
    moved: &Expr,
    inverse: &str,
) -> Option<Expr> {
    let calculated = |a: i64, b: i64| if inverse == "-" { b.checked_sub(a) } else { b.checked_add(a) };
    match kind {
        "int2" | "int4" | "int8" => {
            let number = calculated(integer(moved)?, integer(right)?)?;
            Some(binary(operator, column.clone(), small(number)?))
        }
        "numeric" => {
            let plain = |e: &Expr| matches!(e, Expr::Constant(Constant::Integer(_) | Constant::Number(_)));
            if !plain(moved) || !plain(right) {
                return None;
            }
            if let (Some(a), Some(b)) = (integer(moved), integer(right)) {
                return Some(binary(operator, column.clone(), small(calculated(a, b)?)?));
            }
            // Two numbers would be subtracted as they are written, which is numeric as soon as one has a fraction.
            let fraction = |e: &Expr| matches!(e, Expr::Constant(Constant::Number(text)) if text.contains('.') && !text.contains(['e', 'E']));
            (fraction(moved) || fraction(right))
                .then(|| binary(operator, column.clone(), binary(inverse, right.clone(), moved.clone())))
        }
        "date" => {
            integer(moved).filter(|days| days.abs() < MAX_DAYS)?;
            let other = moment(scope, kind, right)?;
            Some(binary(operator, column.clone(), binary(inverse, other, moved.clone())))
        }
        "timestamp" | "timestamptz" => {
            interval(moved, kind)?;
            let other = moment(scope, kind, right)?;
            Some(binary(operator, column.clone(), binary(inverse, other, moved.clone())))
        }
        _ => None,
    }
}

/// `moved - column ~ right`. NaN is greater than every number on both sides, so of `numeric` only what is equal.
fn subtracted(operator: &str, column: &Expr, kind: &str, moved: &Expr, right: &Expr) -> Option<Expr> {
    let exact = match kind {
        "int2" | "int4" | "int8" => true,
        "numeric" => matches!(operator, "=" | "<>"),
        _ => false,
    };
    let number = integer(moved)?.checked_sub(integer(right)?)?;
    exact.then_some(())?;
    Some(binary(commuted(operator)?, column.clone(), small(number)?))
}

/// `column - moment ~ length` and `moment - column ~ length`: the column is compared with the moment `inverse` the length.
///
/// Source: `timestamp_mi()` in timestamp.c, whose days have 24 hours as `interval_cmp_value()` counts them, and `date_mi()`
/// in date.c.
fn since(
    scope: &Scope<'_>,
    operator: &str,
    column: &Expr,
    kind: &str,
    from: &Expr,
    length: &Expr,
    inverse: &str,
) -> Option<Expr> {
    match kind {
        "date" => {
            integer(length).filter(|days| days.abs() < MAX_DAYS)?;
        }
        "timestamp" | "timestamptz" => interval(length, kind)?,
        _ => return None,
    }
    let typed = scope.type_of(from).is_some_and(|own| own == kind);
    let from = typed.then(|| moment(scope, kind, from))??;
    Some(binary(operator, column.clone(), binary(inverse, from, length.clone())))
}

/// `column * moved ~ right`.
fn multiplied(operator: &str, column: &Expr, kind: &str, moved: &Expr, right: &Expr) -> Option<Expr> {
    match kind {
        "int2" | "int4" | "int8" => {
            let (factor, product) = (integer(moved)?, integer(right)?);
            let (operator, factor, product) = match factor {
                0 => return None,
                1.. => (operator, factor, product),
                _ => (commuted(operator)?, factor.checked_neg()?, product.checked_neg()?),
            };
            let (below, exact) = (product.div_euclid(factor), product.rem_euclid(factor) == 0);
            let number = match operator {
                ">" | "<=" => below,
                "<" | ">=" => below + i64::from(!exact),
                _ => exact.then_some(below)?,
            };
            Some(binary(operator, column.clone(), small(number)?))
        }
        // NaN keeps its place with a factor above zero.
        "numeric" => {
            let quotient = quotient(decimal(right)?, decimal(moved)?)?;
            Some(binary(operator, column.clone(), quotient))
        }
        _ => None,
    }
}

/// A number as whole number and count of digits behind the point.
fn decimal(expr: &Expr) -> Option<(i128, u32)> {
    match expr {
        Expr::Constant(Constant::Integer(number)) => Some((i128::from(*number), 0)),
        Expr::Constant(Constant::Number(text)) if text.len() <= MAX_DIGITS => {
            let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
            let number = format!("{whole}{fraction}").parse().ok()?;
            Some((number, u32::try_from(fraction.len()).ok()?))
        }
        _ => None,
    }
}

/// What a number divided by one above zero is, where it can be written with few digits.
fn quotient((number, scale): (i128, u32), (by, by_scale): (i128, u32)) -> Option<Expr> {
    if by <= 0 {
        return None;
    }
    let mut number = number.checked_mul(10_i128.checked_pow(by_scale)?)?;
    let by = by.checked_mul(10_i128.checked_pow(scale)?)?;
    let mut digits = 0;
    while number % by != 0 {
        (number, digits) = (number.checked_mul(10)?, digits + 1);
        if digits > MAX_DIGITS {
            return None;
        }
    }
    let number = number / by;
    if digits == 0 {
        return small(i64::try_from(number).ok()?);
    }
    let text = format!("{:0>1$}", number.unsigned_abs(), digits + 1);
    let (whole, fraction) = text.split_at(text.len() - digits);
    let sign = if number < 0 { "-" } else { "" };
    let text = format!("{sign}{whole}.{fraction}");
    (text.len() <= MAX_DIGITS).then_some(Expr::Constant(Constant::Number(text)))
}

/// A moment of the column's type, far from the ends of what the type holds.
fn moment(scope: &Scope<'_>, kind: &str, expr: &Expr) -> Option<Expr> {
    let text = match expr {
        Expr::Constant(Constant::Text(text)) => Some(text),
        Expr::Cast { inner, .. } => match &**inner {
            Expr::Constant(Constant::Text(text)) => Some(text),
            _ => None,
        },
        _ => None,
    };
    if kind == "date" && text.is_some_and(|text| text.len() > "2024-12-31".len()) {
        return None;
    }
    match (scope.type_of(expr), expr) {
        (Some(own), _) if own == kind => Some(expr.clone()),
        (None, Expr::Constant(Constant::Text(_))) => {
            Some(Expr::Cast { inner: Box::new(expr.clone()), to: super::super::tree::TypeName::plain(kind) })
        }
        _ => None,
    }
}

/// A length of time that is as long everywhere: hours, minutes and seconds; without a time zone days and weeks too.
fn interval(expr: &Expr, kind: &str) -> Option<()> {
    let Expr::Cast { inner, to } = expr else { return None };
    let Expr::Constant(Constant::Text(length)) = &**inner else { return None };
    let mut words = length.split_whitespace();
    let (Some(number), Some(unit), None) = (words.next(), words.next(), words.next()) else { return None };
    let whole_days = matches!(unit, "day" | "days" | "week" | "weeks");
    let unit_is_exact = whole_days && kind == "timestamp"
        || matches!(
            unit,
            "hour" | "hours" | "minute" | "minutes" | "min" | "mins" | "second" | "seconds" | "sec" | "secs"
        );
    (to.simple() == Some("interval") && unit_is_exact && number.parse::<u32>().is_ok()).then_some(())
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

    #[track_caller]
    fn becomes(before: &str, after: &str) {
        let snapshot = super::super::super::fixture::snapshot(
            "create table t (id int primary key, n int not null, price numeric(12, 2), d date, at timestamptz, plain timestamp);",
        );
        let sql = format!("select id from t where {before}");
        let found = super::super::super::Rewriter::new(&snapshot).rewrites(&sql).unwrap();
        let texts: Vec<String> = found
            .iter()
            .filter(|r| r.rule == "bare-column")
            .filter_map(|r| Some(r.sql.as_deref()?.split_whitespace().collect::<Vec<_>>().join(" ")))
            .collect();
        assert_eq!(texts, [format!("SELECT id FROM t WHERE {after}")], "{before}");
    }

    #[test]
    fn factors_and_what_is_subtracted_from() {
        becomes("n * 2 > 21", "n > 10");
        becomes("n * 2 >= 21", "n >= 11");
        becomes("2 * n < 21", "n < 11");
        becomes("n * 2 <= -21", "n <= -11");
        becomes("n * -3 > 10", "n < -3");
        becomes("n * -3 >= -10", "n <= 3");
        becomes("n * 5 = 20", "n = 4");
        becomes("10 - n > 2", "n < 8");
        becomes("10 - price = 2", "price = 8");
        becomes("price * 2 > 665", "price > 332.5");
        becomes("price * 1.25 <= -0.1", "price <= -0.08");
        becomes("price * 0.5 <> 4", "price <> 8");
    }

    #[test]
    fn moments_and_lengths() {
        becomes("now() - at < interval '1 hour'", "at > now() - '1 hour'::interval");
        becomes("at - now() < interval '90 minutes'", "at < now() + '90 minutes'::interval");
        becomes(
            "localtimestamp - plain >= interval '7 days'",
            "plain <= localtimestamp - '7 days'::interval",
        );
        becomes("plain + interval '7 days' > localtimestamp", "plain > localtimestamp - '7 days'::interval");
        becomes("d + 7 > current_date", "d > current_date - 7");
        becomes("current_date - d > 30", "d < current_date - 30");
        becomes("d - date '2024-01-01' = 3", "d = '2024-01-01'::date + 3");
    }

    #[test]
    fn left_alone() {
        for sql in [
            "select id from orders where shipped_at + interval '7 days' > now()",
            "select id from orders where weight + 1 > 2",
            "select id from items where quantity + id > 20",
            "select id from items where 10 - price > 2",
            "select id from items where price * -2 > 20",
            "select id from items where price * 3 = 10",
            "select id from items where quantity * 0 = 0",
            "select id from items where quantity * 2 = 21",
            "select id from orders where now() - shipped_at > interval '1 day'",
            "select id from orders where now() - shipped_at > interval '1 month'",
            "select id from orders where localtimestamp - shipped_at > interval '1 hour'",
        ] {
            check("bare-column", sql, expect![[r#""#]]);
        }
    }
}
