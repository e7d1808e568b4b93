//! `a LEFT JOIN b ON … WHERE b.y IS NULL` → `NOT EXISTS (SELECT … FROM b WHERE …)`.
//!
//! PostgreSQL makes an anti-join of it itself where it sees that `b.y` cannot be NULL in a row that was found,
//! which it does for columns of the join condition and not for others. Source: `reduce_outer_joins()`.

use super::super::level::{Level, select_one, without_leaf};
use super::super::tree::{Column, Expr, JoinKind};
use super::super::{Condition, Found, Rule};

pub(super) const RULE: Rule = Rule {
    id: "left-join-is-null",
    title: "LEFT JOIN … WHERE column IS NULL becomes NOT EXISTS",
    sound_if: "the tested column is not NULL in the rows that the join finds, and nothing else of them is used",
    find,
};

fn find(level: &Level<'_, '_>) -> Vec<Found> {
    let Some(select) = level.select() else { return Vec::new() };
    let mut found = Vec::new();
    for (i, condition) in select.filter.iter().enumerate() {
        let Expr::IsNull { inner, negated: false } = condition else { continue };
        let Expr::Column(tested) = &**inner else { continue };
        let alias = tested.source.as_str();
        if !level.scope.is_scalar(inner) {
            continue;
        }
        for (n, from) in select.from.iter().enumerate() {
            let Some((rest, leaf, on)) = without_leaf(from, alias, JoinKind::Left) else { continue };
            // Those of its own join may use it; `without_leaf` says which these are.
            let own: Vec<&Expr> =
                super::super::level::conditions(from).into_iter().filter(|e| on.contains(e)).collect();
            let except: Vec<&Expr> = own.into_iter().chain([condition]).collect();
            if level.uses_outside(alias, &except) || on.iter().any(|e| !level.scope.is_repeatable(e)) {
                continue;
            }
            let only = |c: &Column| c == tested;
            let by_condition = on.iter().any(|e| level.scope.rejects_null(e, &only));
            let proved = if by_condition {
                Ok(["the join condition, which no NULL satisfies".to_owned()].into())
            } else {
                level.scope.stored_not_null(tested)
            };
            let proved = proved.map_err(|why| {
                format!(
                    "{why}; the join keeps rows whose partner has such a NULL, NOT EXISTS leaves them out"
                )
            });
            let mut changed = select.clone();
            changed.from[n] = rest;
            changed.filter[i] = Expr::Not(Box::new(Expr::Exists(Box::new(select_one(vec![leaf], on)))));
            let claim = format!("{} is not NULL in rows that were found", level.scope.display(tested));
            found.push(Found::new(level.with(changed), vec![Condition::new(claim, proved)]));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::super::check;

    #[test]
    fn anti_joins() {
        check(
            "left-join-is-null",
            "select c.* from customers c left join orders o on o.customer_id = c.id and o.total > 10 where o.id is null",
            expect![[r#"
                SELECT *
                FROM customers c
                WHERE
                    NOT EXISTS (
                        SELECT 1
                        FROM orders o
                        WHERE
                            o.customer_id = c.id
                            AND o.total > 10
                    )
                + orders.id is not NULL in rows that were found: NOT NULL of orders.id
            "#]],
        );
        check(
            "left-join-is-null",
            "select c.name from customers c left join orders o on o.customer_id = c.id where o.note is null",
            expect![[r#"
                SELECT c.name
                FROM customers c
                WHERE
                    NOT EXISTS (
                        SELECT 1
                        FROM orders o
                        WHERE o.customer_id = c.id
                    )
                - orders.note is not NULL in rows that were found: orders.note may be NULL; the join keeps rows whose partner has such a NULL, NOT EXISTS leaves them out
            "#]],
        );
    }

    #[test]
    fn left_alone_where_the_partner_is_used() {
        for sql in [
            "select c.name, o.note from customers c left join orders o on o.customer_id = c.id where o.id is null",
            "select c.name from customers c left join orders o on o.customer_id = c.id left join items i on i.order_id = o.id where o.id is null",
            "select c.name from customers c join orders o on o.customer_id = c.id where o.note is null",
        ] {
            check("left-join-is-null", sql, expect![[r#""#]]);
        }
    }
}
