//! `COALESCE(c, k) = v` → `c = v`.
//!
//! The function hides the column from its index, and a NULL that would become `k` is not `v`. Where `v` is `k`, NULL is
//! asked for by name.

use super::super::facts::Proofs;
use super::super::level::Level;
use super::super::normal_form::coalesce_compared;
use super::super::{Condition, Found, Rule};

pub(super) const RULE: Rule = Rule {
    id: "coalesce-value",
    title: "COALESCE(column, k) = v becomes column = v",
    sound_if: "k and v are known constants",
    find,
};

fn find(level: &Level<'_, '_>) -> Vec<Found> {
    let Some(select) = level.select() else { return Vec::new() };
    let mut found = Vec::new();
    for (i, condition) in select.filter.iter().enumerate() {
        let Some(new) = coalesce_compared(level.scope, condition) else { continue };
        let mut changed = select.clone();
        changed.filter[i] = new;
        let proofs = Proofs::from(["both constants".to_owned()]);
        let claim = "NULL counts as the constant that it is replaced by";
        found.push(Found::new(level.with(changed), vec![Condition::new(claim, Ok(proofs))]));
    }
    found
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::super::check;

    #[test]
    fn values() {
        check(
            "coalesce-value",
            "select id from orders where coalesce(note, '') = 'x'",
            expect![[r#"
            SELECT id
            FROM orders
            WHERE note = 'x'
            + NULL counts as the constant that it is replaced by: both constants
        "#]],
        );
        check(
            "coalesce-value",
            "select id from customers where 0 = coalesce(referrer_id, 0)",
            expect![[r#"
                SELECT id
                FROM customers
                WHERE referrer_id = 0 OR referrer_id IS NULL
                + NULL counts as the constant that it is replaced by: both constants
            "#]],
        );
        for sql in [
            "select id from orders where coalesce(note, $1) = 'x'",
            "select id from orders where coalesce(weight, 0) = 1",
            "select code from codes where coalesce(code, 'a') = 'b'",
        ] {
            check("coalesce-value", sql, expect![[r#""#]]);
        }
    }
}
