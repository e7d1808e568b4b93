//! `a < x OR (a = x AND b < y)` → `(a, b) < (x, y)`.
//!
//! A row comparison is one stretch of an index on `(a, b)`; PostgreSQL does not see that in the `OR`. Source: PostgreSQL
//! manual, "Row Constructor Comparison".

use super::super::facts::Proofs;
use super::super::level::Level;
use super::super::reading::{binary, split_and, split_or};
use super::super::tree::Expr;
use super::super::{Condition, Found, Rule};

pub(super) const RULE: Rule = Rule {
    id: "keyset-row",
    title: "a keyset condition with OR becomes a row comparison",
    sound_if: "both columns are compared in the same direction",
    find,
};

fn find(level: &Level<'_, '_>) -> Vec<Found> {
    let Some(select) = level.select() else { return Vec::new() };
    let mut found = Vec::new();
    for (i, condition) in select.filter.iter().enumerate() {
        let Some(new) = row(condition) else { continue };
        let mut changed = select.clone();
        changed.filter[i] = new;
        let proofs = Proofs::from(["what a row comparison means".to_owned()]);
        let claim = "the first columns that differ decide, in one direction";
        found.push(Found::new(level.with(changed), vec![Condition::new(claim, Ok(proofs))]));
    }
    found
}

fn row(condition: &Expr) -> Option<Expr> {
    let arms = match condition {
        Expr::Or(_) => split_or(condition.clone()),
        _ => return None,
    };
    let [a, b] = arms.as_slice() else { return None };
    let parts = |e: &Expr| split_and(e.clone());
    let (first, second) = if parts(a).len() == 1 { (a, parts(b)) } else { (b, parts(a)) };
    let [one, two] = second.as_slice() else { return None };
    let compared = |e: &Expr| match e {
        Expr::Operator { name, left: Some(left), right } if matches!(**left, Expr::Column(_)) => {
            Some((name.clone(), (**left).clone(), (**right).clone()))
        }
        _ => None,
    };
    let (direction, column, value) = compared(first)?;
    if !matches!(direction.as_str(), "<" | ">") {
        return None;
    }
    let (tie, last) = if compared(one)?.0 == "=" {
        (compared(one)?, compared(two)?)
    } else {
        (compared(two)?, compared(one)?)
    };
    let same = tie.0 == "=" && tie.1 == column && tie.2 == value && last.1 != column;
    let (operator, other, bound) = last;
    if !same
        || operator.trim_end_matches('=') != direction
        || !value.columns().is_empty()
        || !bound.columns().is_empty()
    {
        return None;
    }
    Some(binary(&operator, Expr::Row(vec![column, other]), Expr::Row(vec![value, bound])))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::super::check;

    #[test]
    fn rows() {
        check(
            "keyset-row",
            "select id from orders where placed_at < $1 or (placed_at = $1 and id < $2) order by placed_at desc, id desc limit 10",
            expect![[r#"
                SELECT id
                FROM orders
                WHERE ROW(placed_at, id) < ROW($1, $2)
                ORDER BY placed_at DESC, id DESC
                LIMIT 10
                + the first columns that differ decide, in one direction: what a row comparison means
            "#]],
        );
        for sql in [
            "select id from orders where placed_at < $1 or (placed_at = $1 and id > $2)",
            "select id from orders where placed_at < $1 or (placed_at = $3 and id < $2)",
            "select id from orders where placed_at <= $1 or (placed_at = $1 and id < $2)",
        ] {
            check("keyset-row", sql, expect![[r#""#]]);
        }
    }
}
