//! `WHERE a.x = 1 OR b.y = 2` → a `UNION` of the branches.
//!
//! No index answers an `OR` whose arms look at different tables, and one arm without an index spoils an `OR` on one
//! table. Each branch alone can use its own. With a key in the list `UNION` removes exactly the rows that satisfy
//! several arms; without one the later branches leave out what earlier ones gave.

use std::collections::BTreeSet;

use super::super::dependencies::determines;
use super::super::facts::Proofs;
use super::super::level::{Level, by_names, output_columns};
use super::super::reading::split_or;
use super::super::tree::{Body, Column, Distinct, Expr, Query, Select, SetOp, Truth};
use super::super::{Condition, Found, Rule};

pub(super) const RULE: Rule = Rule {
    id: "or-to-union",
    title: "OR over different columns becomes a UNION of branches",
    sound_if: "the list holds a key, or later branches leave out the rows of earlier ones",
    find,
};

fn find(level: &Level<'_, '_>) -> Vec<Found> {
    let Some(select) = level.select() else { return Vec::new() };
    let plain = select.distinct == Distinct::No
        && !select.is_grouped()
        && !select.outputs.iter().any(|o| super::super::walk::has_window(&o.expr));
    // `FETCH … WITH TIES` and the like order what they cut by what a set operation cannot.
    if !plain || select.from.is_empty() || level.query.with_ties || !level.is_repeatable() {
        return Vec::new();
    }
    let Some(order) = by_names(&level.query.order, &select.outputs) else { return Vec::new() };
    let mut found = Vec::new();
    for (i, condition) in select.filter.iter().enumerate() {
        let Expr::Or(_) = condition else { continue };
        let arms = split_or(condition.clone());
        if arms.len() > 4 || !worthwhile(&arms) {
            continue;
        }
        let branch = |conditions: Vec<Expr>| {
            let mut branch = select.clone();
            branch.filter.splice(i..=i, conditions);
            branch
        };
        if comparable(level, select) {
            let proved = determines(level.scope, &select.from, &select.filter, &output_columns(select));
            if let Ok(proofs) = proved {
                let branches = arms.iter().map(|arm| branch(vec![arm.clone()])).collect();
                let claim = "the list holds a key, so UNION removes only rows that satisfy several arms";
                let query = union(level, branches, false, order.clone());
                found.push(Found::new(query, vec![Condition::new(claim, Ok(proofs))]));
            }
        }
        let branches = arms
            .iter()
            .enumerate()
            .map(|(n, arm)| {
                let mut conditions = vec![arm.clone()];
                conditions.extend(
                    arms[..n].iter().map(|e| Expr::Is { inner: Box::new(e.clone()), test: Truth::NotTrue }),
                );
                branch(conditions)
            })
            .collect();
        let claim = "no branch gives a row of an earlier one";
        let query = union(level, branches, true, order.clone());
        let proofs = Proofs::from(["the conditions IS NOT TRUE".to_owned()]);
        found.push(Found::new(query, vec![Condition::new(claim, Ok(proofs))]));
    }
    found
}

/// Whether the arms look at different columns: what looks at one column only is a list.
fn worthwhile(arms: &[Expr]) -> bool {
    let columns: Vec<BTreeSet<&Column>> = arms.iter().map(Expr::columns).collect();
    let first = columns.first().cloned().unwrap_or_default();
    columns.iter().all(|c| !c.is_empty()) && columns.iter().any(|c| *c != first)
}

/// Whether rows of the list can be compared at all, which `UNION` does and `json` cannot.
fn comparable(level: &Level<'_, '_>, select: &Select) -> bool {
    select.outputs.iter().all(|output| match &output.expr {
        Expr::Column(column) => level.scope.catalog_column(column).is_some_and(|c| c.has_btree_opclass),
        Expr::Constant(_) => false,
        other => level.scope.type_of(other).is_some(),
    })
}

fn union(
    level: &Level<'_, '_>,
    branches: Vec<Select>,
    all: bool,
    order: Vec<super::super::tree::SortKey>,
) -> Query {
    let mut branches = branches.into_iter().map(Query::of);
    let first = branches.next().unwrap_or_default();
    let united = branches.fold(first, |left, right| Query {
        body: Body::Set { op: SetOp::Union, all, left: Box::new(left), right: Box::new(right) },
        ..Query::default()
    });
    Query { body: united.body, order, ..level.query.clone() }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::super::check;

    #[test]
    fn with_a_key_and_without() {
        check(
            "or-to-union",
            "select o.id, c.name from orders o join customers c on c.id = o.customer_id \
             where (c.email = 'a' or o.note = 'b') and o.total > 5 order by o.id desc limit 3",
            expect![[r#"
                SELECT o.id, c.name
                FROM
                    orders o
                    JOIN customers c ON c.id = o.customer_id
                WHERE
                    c.email = 'a'
                    AND o.total > 5
                UNION
                SELECT o.id, c.name
                FROM
                    orders o
                    JOIN customers c ON c.id = o.customer_id
                WHERE
                    o.note = 'b'
                    AND o.total > 5
                ORDER BY id DESC
                LIMIT 3
                + the list holds a key, so UNION removes only rows that satisfy several arms: NOT NULL of orders.id, unique index customers_pkey, unique index orders_pkey
                SELECT o.id, c.name
                FROM
                    orders o
                    JOIN customers c ON c.id = o.customer_id
                WHERE
                    c.email = 'a'
                    AND o.total > 5
                UNION ALL
                SELECT o.id, c.name
                FROM
                    orders o
                    JOIN customers c ON c.id = o.customer_id
                WHERE
                    o.note = 'b'
                    AND c.email = 'a' IS NOT TRUE
                    AND o.total > 5
                ORDER BY id DESC
                LIMIT 3
                + no branch gives a row of an earlier one: the conditions IS NOT TRUE
            "#]],
        );
        check(
            "or-to-union",
            "select note from orders where customer_id = 5 or note = 'b'",
            expect![[r#"
            SELECT note
            FROM orders
            WHERE customer_id = 5
            UNION ALL
            SELECT note
            FROM orders
            WHERE
                note = 'b'
                AND customer_id = 5 IS NOT TRUE
            + no branch gives a row of an earlier one: the conditions IS NOT TRUE
        "#]],
        );
    }

    #[test]
    fn left_alone() {
        for sql in [
            "select id from orders where customer_id = 5 or customer_id = 6",
            "select count(*) from orders where customer_id = 5 or note = 'x'",
            "select distinct note from orders where customer_id = 5 or note = 'x'",
            "select id from orders where customer_id = 5 or note = 'x' order by total",
            "select id, random() from orders where customer_id = 5 or note = 'x'",
        ] {
            check("or-to-union", sql, expect![[r#""#]]);
        }
    }
}
