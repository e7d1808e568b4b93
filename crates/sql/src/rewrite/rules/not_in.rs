//! `x NOT IN (SELECT y …)` → `NOT EXISTS (SELECT … WHERE y = x)`.
//!
//! `NOT IN` is neither true nor false once a NULL is involved, so PostgreSQL cannot make an anti-join of it: a
//! subquery that does not fit into memory is read again for every row. Source: PostgreSQL manual, "Subquery
//! Expressions", and `convert_ANY_sublink_to_join()`, which leaves it alone.

use super::super::level::{Level, column, select_one};
use super::super::normal_form::as_value;
use super::super::reading::equal;
use super::super::tree::{Derived, Distinct, Expr, From, Query};
use super::super::{Condition, Found, Rule};

pub(super) const RULE: Rule = Rule {
    id: "not-in",
    title: "NOT IN (SELECT …) becomes NOT EXISTS",
    sound_if: "neither side can be NULL",
    find,
};

/// The value and the query of `NOT IN`.
fn not_in(expr: &Expr) -> Option<(&Expr, &Query)> {
    match expr {
        Expr::Not(inner) => match &**inner {
            Expr::Quantified { operator, value, query, all: false } if operator == "=" => {
                Some((value, query))
            }
            _ => None,
        },
        Expr::Quantified { operator, value, query, all: true } if operator == "<>" => Some((value, query)),
        _ => None,
    }
}

fn find(level: &Level<'_, '_>) -> Vec<Found> {
    let Some(select) = level.select() else { return Vec::new() };
    let known = level.scope.not_null_by_filter(select);
    let mut found = Vec::new();
    for (i, condition) in select.filter.iter().enumerate() {
        let Some((value, query)) = not_in(condition) else { continue };
        let values: Vec<&Expr> = match value {
            Expr::Row(list) => list.iter().collect(),
            single => vec![single],
        };
        if value.has_query() || query.output_names().len() != values.len() || !level.is_repeatable() {
            continue;
        }
        let (exists, inner) = anti_join(level, query, &values);
        let mut conditions = Vec::new();
        for value in &values {
            let mut proved = level.scope.never_null(value, &known);
            if let Err(why) = &mut proved {
                why.push_str(
                    "; NOT IN leaves such rows out unless the subquery is empty, NOT EXISTS keeps them",
                );
            }
            conditions.push(Condition::new("the value on the left is not NULL", proved));
        }
        for mut proved in inner {
            if let Err(why) = &mut proved {
                why.push_str("; one such row and NOT IN gives no rows at all");
            }
            conditions.push(Condition::new("the subquery gives no NULL", proved));
        }
        let mut changed = select.clone();
        changed.filter[i] = Expr::Not(Box::new(Expr::Exists(Box::new(exists))));
        found.push(Found::new(level.with(changed), conditions));
    }
    found
}

/// The subquery with the comparison in it, and for each of its columns whether it is never NULL.
fn anti_join(
    level: &Level<'_, '_>,
    query: &Query,
    values: &[&Expr],
) -> (Query, Vec<super::super::facts::Proved>) {
    let scope = level.scope;
    if let (Some(inner), true) = (query.select(), query.is_bare())
        && !inner.is_grouped()
        && !matches!(inner.distinct, Distinct::On(_))
        && !inner.outputs.iter().any(|o| super::super::walk::has_window(&o.expr))
    {
        let known = scope.not_null_by_filter(inner);
        let proved = inner.outputs.iter().map(|o| scope.never_null(&o.expr, &known)).collect();
        let compared =
            inner.outputs.iter().zip(values).map(|(o, value)| equal(as_value(&o.expr), (*value).clone()));
        let filter = inner.filter.iter().cloned().chain(compared).collect();
        return (select_one(inner.from.clone(), filter), proved);
    }
    let alias = level.free_name("excluded");
    let columns = query.output_names();
    let derived = From::Derived(Derived {
        lateral: false,
        query: query.clone(),
        alias: alias.clone(),
        columns: columns.clone(),
        view: None,
    });
    // Looked at as if it were a source of its own.
    let around = Query::of(super::super::tree::Select { from: vec![derived.clone()], ..Default::default() });
    let inner = super::super::facts::Scope::new(scope.facts, &around);
    let of = |name: &String| super::super::tree::Column { source: alias.clone(), name: name.clone() };
    let proved = columns.iter().map(|name| inner.stored_not_null(&of(name))).collect();
    let filter = columns
        .iter()
        .zip(values)
        .map(|(name, value)| equal(column(&alias, name), (*value).clone()))
        .collect();
    (select_one(vec![derived], filter), proved)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::super::check;

    #[test]
    fn proved_by_not_null_on_both_sides() {
        check(
            "not-in",
            "select * from customers where id not in (select customer_id from orders where total > 5)",
            expect![[r#"
                SELECT *
                FROM customers
                WHERE
                    NOT EXISTS (
                        SELECT 1
                        FROM orders
                        WHERE
                            orders.total > 5
                            AND orders.customer_id = customers.id
                    )
                + the value on the left is not NULL: NOT NULL of customers.id
                + the subquery gives no NULL: NOT NULL of orders.customer_id
            "#]],
        );
        check(
            "not-in",
            "select id from orders where id not in (select order_id from items union all select id from orders)",
            expect![[r#"
                SELECT orders.id
                FROM orders
                WHERE
                    NOT EXISTS (
                        SELECT 1
                        FROM
                            (
                                SELECT order_id
                                FROM items
                                UNION ALL
                                SELECT id
                                FROM orders orders_1
                            ) excluded
                        WHERE excluded.order_id = orders.id
                    )
                + the value on the left is not NULL: NOT NULL of orders.id
                + the subquery gives no NULL: NOT NULL of items.order_id, NOT NULL of orders.id
            "#]],
        );
    }

    #[test]
    fn a_null_on_either_side_is_told() {
        check(
            "not-in",
            "select id from customers where id not in (select referrer_id from customers)",
            expect![[r#"
                SELECT customers.id
                FROM customers
                WHERE
                    NOT EXISTS (
                        SELECT 1
                        FROM customers customers_1
                        WHERE customers_1.referrer_id = customers.id
                    )
                + the value on the left is not NULL: NOT NULL of customers.id
                - the subquery gives no NULL: customers.referrer_id may be NULL; one such row and NOT IN gives no rows at all
            "#]],
        );
        check(
            "not-in",
            "select id from customers where referrer_id <> all (select customer_id from orders)",
            expect![[r#"
                SELECT customers.id
                FROM customers
                WHERE
                    NOT EXISTS (
                        SELECT 1
                        FROM orders
                        WHERE orders.customer_id = customers.referrer_id
                    )
                - the value on the left is not NULL: customers.referrer_id may be NULL; NOT IN leaves such rows out unless the subquery is empty, NOT EXISTS keeps them
                + the subquery gives no NULL: NOT NULL of orders.customer_id
            "#]],
        );
        // A condition of the subquery keeps NULLs out.
        check(
            "not-in",
            "select id from customers where id not in (select referrer_id from customers c where referrer_id is not null)",
            expect![[r#"
                SELECT customers.id
                FROM customers
                WHERE
                    NOT EXISTS (
                        SELECT 1
                        FROM customers c
                        WHERE
                            c.referrer_id IS NOT NULL
                            AND c.referrer_id = customers.id
                    )
                + the value on the left is not NULL: NOT NULL of customers.id
                + the subquery gives no NULL: 
            "#]],
        );
    }

    #[test]
    fn left_alone() {
        for sql in [
            "select id from customers where id in (select customer_id from orders)",
            "select id from customers where not (id in (select customer_id from orders) and name = 'x')",
            "select id from customers where id not in (1, 2, 3)",
            "select id from customers where id not in (select customer_id from orders where random() < 0.5)",
        ] {
            check("not-in", sql, expect![[r#""#]]);
        }
    }
}
