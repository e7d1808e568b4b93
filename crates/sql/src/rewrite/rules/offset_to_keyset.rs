//! `ORDER BY … LIMIT n OFFSET m` → the page after a row that the application remembers.
//!
//! `OFFSET` reads and throws away what it skips; the rows after the last row of the page before are one look-up in
//! an index. The order must be total, or rows with equal keys are lost or come twice. Source: Winand, "SQL
//! Performance Explained", and PostgreSQL manual, "Row Constructor Comparison".

use std::collections::BTreeSet;

use super::super::dependencies::determines;
use super::super::facts::Proved;
use super::super::level::Level;
use super::super::reading::{all_of, any_of, binary, equal};
use super::super::tree::{Column, Distinct, Expr, From, Output, Query, SortKey, TypeName};
use super::super::{Condition, Found, Rule};

pub(super) const RULE: Rule = Rule {
    id: "offset-to-keyset",
    title: "OFFSET becomes the page after a remembered row",
    sound_if: "the order is total and without NULLs, and the application passes the keys of the last row",
    find,
};

fn find(level: &Level<'_, '_>) -> Vec<Found> {
    let query = level.query;
    let Some(select) = level.select() else { return Vec::new() };
    if !level.is_root
        || query.offset.is_none()
        || query.limit.is_none()
        || query.with_ties
        || query.order.is_empty()
        || select.distinct != Distinct::No
        || select.is_grouped()
    {
        return Vec::new();
    }
    let mut order = query.order.clone();
    let mut conditions = Vec::new();
    let mut application = Vec::new();
    let keys = |order: &[SortKey]| -> BTreeSet<Column> {
        order
            .iter()
            .filter_map(|k| if let Expr::Column(c) = &k.expr { Some(c.clone()) } else { None })
            .collect()
    };
    let mut total = determines(level.scope, &select.from, &select.filter, &keys(&order));
    if total.is_err()
        && let Some(more) = tie_breaker(level, &select.from, order.last())
    {
        let names: Vec<String> = more
            .iter()
            .filter_map(|k| if let Expr::Column(c) = &k.expr { Some(c.name.clone()) } else { None })
            .collect();
        application.push(format!(
            "Rows with equal keys came in any order and are now ordered by {}: with OFFSET such rows can be missed or come \
             twice.",
            names.join(", ")
        ));
        order.extend(more);
        total = determines(level.scope, &select.from, &select.filter, &keys(&order));
    }
    conditions.push(Condition::new("the order is total", total));
    let known = level.scope.not_null_by_filter(select);
    let mut proved: Proved = Ok(Default::default());
    for key in &order {
        proved = super::super::facts::both(proved, level.scope.never_null(&key.expr, &known));
    }
    let proved =
        proved.map_err(|why| format!("{why}; a comparison with NULL is never true, so those rows are lost"));
    conditions.push(Condition::new("no key of the order is NULL", proved));
    conditions.push(Condition::of_parameters("the parameters are the keys of a row that was shown"));

    let mut first = 0;
    query.walk(&mut |e| {
        if let Expr::Parameter(number) = e {
            first = first.max(*number);
        }
    });
    // Parameters of the page itself are counted too.
    for expr in query.offset.iter().chain(&query.limit) {
        if let Expr::Parameter(number) = expr {
            first = first.max(*number);
        }
    }
    let values: Vec<Expr> = order
        .iter()
        .enumerate()
        .map(|(i, key)| {
            let number = first + 1 + u32::try_from(i).unwrap_or(0);
            match level.scope.type_of(&key.expr) {
                Some(name) => {
                    Expr::Cast { inner: Box::new(Expr::Parameter(number)), to: TypeName::plain(&name) }
                }
                None => Expr::Parameter(number),
            }
        })
        .collect();
    let mut changed = select.clone();
    changed.filter.push(after(&order, &values));
    let mut passed = Vec::new();
    for (key, value) in order.iter().zip(&values) {
        let name = match changed.outputs.iter().find(|o| o.expr == key.expr) {
            Some(output) => output.name.clone(),
            None => {
                let name = super::super::writing::figure_name(&key.expr);
                changed.outputs.push(Output::new(name.clone(), key.expr.clone()));
                application.push(format!("The list has {name} in addition, which the next page needs."));
                name
            }
        };
        if let Expr::Cast { inner, .. } = value
            && let Expr::Parameter(number) = &**inner
        {
            passed.push(format!("${number} = {name}"));
        }
    }
    application.insert(
        0,
        format!(
            "Pass the keys of the last row of the page before ({}) in place of the offset; the first page goes without the \
             condition. Jumping to a page by its number is not possible any more.",
            passed.join(", ")
        ),
    );
    let query = Query { order, offset: None, ..level.with(changed) };
    vec![Found { application, ..Found::new(query, conditions) }]
}

/// The rows after a row: as a row comparison where all keys go the same way.
fn after(order: &[SortKey], values: &[Expr]) -> Expr {
    let operator = |key: &SortKey| if key.descending { "<" } else { ">" };
    let same = order.iter().all(|k| k.descending == order[0].descending);
    if let ([key], [value]) = (order, values) {
        return binary(operator(key), key.expr.clone(), value.clone());
    }
    if same {
        let keys = Expr::Row(order.iter().map(|k| k.expr.clone()).collect());
        return binary(operator(&order[0]), keys, Expr::Row(values.to_vec()));
    }
    let mut arms = Vec::new();
    for (i, (key, value)) in order.iter().zip(values).enumerate() {
        let mut parts: Vec<Expr> =
            order[..i].iter().zip(values).map(|(k, v)| equal(k.expr.clone(), v.clone())).collect();
        parts.push(binary(operator(key), key.expr.clone(), value.clone()));
        arms.push(all_of(parts));
    }
    any_of(arms)
}

/// The key of the only table that makes an order total, in the direction of its last key.
fn tie_breaker(level: &Level<'_, '_>, from: &[From], last: Option<&SortKey>) -> Option<Vec<SortKey>> {
    let last = last?;
    // Of a join the key of the table whose row determines the others would do; the one with the key of the order.
    let alias = match (&last.expr, from) {
        (_, [From::Table(table)]) => table.alias.clone(),
        (Expr::Column(column), _) => column.source.clone(),
        _ => return None,
    };
    let key = level.scope.keys(&alias).into_iter().find(|key| {
        key.columns.iter().all(|name| {
            level.scope.stored_not_null(&Column { source: alias.clone(), name: name.clone() }).is_ok()
        })
    })?;
    Some(
        key.columns
            .into_iter()
            .map(|name| SortKey {
                expr: super::super::level::column(&alias, &name),
                descending: last.descending,
                nulls_first: last.descending,
            })
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::super::check;

    #[test]
    fn pages() {
        check(
            "offset-to-keyset",
            "select * from orders order by id limit 20 offset 10000",
            expect![[r#"
                SELECT *
                FROM orders
                WHERE id > $1::bigint
                ORDER BY id
                LIMIT 20
                + the order is total: NOT NULL of orders.id, unique index orders_pkey
                + no key of the order is NULL: NOT NULL of orders.id
                $ the parameters are the keys of a row that was shown
                ! Pass the keys of the last row of the page before ($1 = id) in place of the offset; the first page goes without the condition. Jumping to a page by its number is not possible any more.
            "#]],
        );
        check(
            "offset-to-keyset",
            "select note from orders where customer_id = $1 order by placed_at desc limit $2 offset $3",
            expect![[r#"
                SELECT note, placed_at, id
                FROM orders
                WHERE
                    customer_id = $1
                    AND ROW(placed_at, id) < ROW($4::timestamp, $5::bigint)
                ORDER BY placed_at DESC, id DESC
                LIMIT $2
                + the order is total: NOT NULL of orders.id, unique index orders_pkey
                + no key of the order is NULL: NOT NULL of orders.id, NOT NULL of orders.placed_at
                $ the parameters are the keys of a row that was shown
                ! Pass the keys of the last row of the page before ($4 = placed_at, $5 = id) in place of the offset; the first page goes without the condition. Jumping to a page by its number is not possible any more.
                ! Rows with equal keys came in any order and are now ordered by id: with OFFSET such rows can be missed or come twice.
                ! The list has placed_at in addition, which the next page needs.
                ! The list has id in addition, which the next page needs.
            "#]],
        );
        check(
            "offset-to-keyset",
            "select id, total, placed_at from orders order by placed_at desc, id asc limit 10 offset 50",
            expect![[r#"
                SELECT id, total, placed_at
                FROM orders
                WHERE
                    placed_at < $1::timestamp OR (placed_at = $1::timestamp
                    AND id > $2::bigint)
                ORDER BY placed_at DESC, id
                LIMIT 10
                + the order is total: NOT NULL of orders.id, unique index orders_pkey
                + no key of the order is NULL: NOT NULL of orders.id, NOT NULL of orders.placed_at
                $ the parameters are the keys of a row that was shown
                ! Pass the keys of the last row of the page before ($1 = placed_at, $2 = id) in place of the offset; the first page goes without the condition. Jumping to a page by its number is not possible any more.
            "#]],
        );
        check(
            "offset-to-keyset",
            "select id, shipped_at from orders order by shipped_at, id limit 10 offset 50",
            expect![[r#"
                SELECT id, shipped_at
                FROM orders
                WHERE ROW(shipped_at, id) > ROW($1::timestamptz, $2::bigint)
                ORDER BY shipped_at, id
                LIMIT 10
                + the order is total: NOT NULL of orders.id, unique index orders_pkey
                - no key of the order is NULL: orders.shipped_at may be NULL; a comparison with NULL is never true, so those rows are lost
                $ the parameters are the keys of a row that was shown
                ! Pass the keys of the last row of the page before ($1 = shipped_at, $2 = id) in place of the offset; the first page goes without the condition. Jumping to a page by its number is not possible any more.
            "#]],
        );
    }

    #[test]
    fn left_alone() {
        for sql in [
            "select id from orders order by id limit 20",
            "select id from orders limit 20 offset 10",
            "select distinct note from orders order by note limit 20 offset 10",
            "select note, count(*) from orders group by note order by note limit 20 offset 10",
        ] {
            check("offset-to-keyset", sql, expect![[r#""#]]);
        }
    }
}
