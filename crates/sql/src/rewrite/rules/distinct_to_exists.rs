//! `SELECT DISTINCT a.… FROM a JOIN b …` → `SELECT a.… FROM a WHERE EXISTS (SELECT … FROM b …)`.
//!
//! Joining multiplies rows that `DISTINCT` then sorts away; a semi-join stops at the first partner. Source: Pirahesh,
//! Leung and Hasan, "A Rule Engine for Query Transformation" (1997), DISTINCT pull-up.

use std::collections::BTreeSet;

use super::super::dependencies::determines;
use super::super::level::{Level, conditions, output_columns, select_one};
use super::super::tree::{Distinct, Expr, From, JoinKind};
use super::super::{Condition, Found, Rule};

pub(super) const RULE: Rule = Rule {
    id: "distinct-to-exists",
    title: "DISTINCT over a join becomes EXISTS",
    sound_if: "the list holds a key of the tables that stay",
    find,
};

fn find(level: &Level<'_, '_>) -> Vec<Found> {
    let Some(select) = level.select() else { return Vec::new() };
    let windowed = select.outputs.iter().any(|o| super::super::walk::has_window(&o.expr));
    if select.distinct != Distinct::All || select.is_grouped() || windowed || !level.is_repeatable() {
        return Vec::new();
    }
    // Everything as one list of inner joins, or nothing.
    let Some((leaves, mut on)) = flat(&select.from) else { return Vec::new() };
    on.extend(select.filter.iter().cloned());
    let wanted: BTreeSet<String> = select
        .outputs
        .iter()
        .map(|o| &o.expr)
        .chain(level.query.order.iter().map(|k| &k.expr))
        .flat_map(|e| e.sources().into_iter().map(str::to_owned).collect::<Vec<_>>())
        .collect();
    let (stay, go): (Vec<From>, Vec<From>) =
        leaves.into_iter().partition(|leaf| leaf.aliases().iter().any(|a| wanted.contains(*a)));
    if go.is_empty() || stay.is_empty() || stay.iter().chain(&go).any(is_lateral) {
        return Vec::new();
    }
    let gone: BTreeSet<&str> = go.iter().flat_map(From::aliases).collect();
    let (inside, outside): (Vec<Expr>, Vec<Expr>) =
        on.into_iter().partition(|e| e.sources().iter().any(|s| gone.contains(s)));
    let proved = determines(level.scope, &stay, &outside, &output_columns(select));
    let mut changed = select.clone();
    changed.distinct = if proved.is_ok() { Distinct::No } else { Distinct::All };
    let mut filter = outside;
    // Sources that nothing ties together are looked up apart.
    filter.push(Expr::Exists(Box::new(select_one(go, inside))));
    changed.from = stay;
    changed.filter = filter;
    let condition = match proved {
        Ok(proofs) => Condition::new("the list holds a key of the tables that stay", Ok(proofs)),
        Err(_) => Condition::new("DISTINCT stays", Ok(Default::default())),
    };
    vec![Found::new(level.with(changed), vec![condition])]
}

fn is_lateral(from: &From) -> bool {
    matches!(from, From::Derived(derived) if derived.lateral)
}

/// The leaves and conditions of inner joins; `None` when there is another join.
pub(crate) fn flat(from: &[From]) -> Option<(Vec<From>, Vec<Expr>)> {
    let mut leaves = Vec::new();
    let mut on = Vec::new();
    for item in from {
        if !only_inner(item) {
            return None;
        }
        leaves.extend(item.leaves().into_iter().cloned());
        on.extend(conditions(item).into_iter().cloned());
    }
    Some((leaves, on))
}

fn only_inner(from: &From) -> bool {
    match from {
        From::Join(join) => join.kind == JoinKind::Inner && only_inner(&join.left) && only_inner(&join.right),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::super::check;

    #[test]
    fn semi_joins() {
        check(
            "distinct-to-exists",
            "select distinct c.id, c.name from customers c join orders o on o.customer_id = c.id join items i on i.order_id = o.id \
             where i.sku = 'x' and c.name like 'a%' order by c.name",
            expect![[r#"
                SELECT c.id, c.name
                FROM customers c
                WHERE
                    c.name LIKE 'a%'
                    AND EXISTS (
                        SELECT 1
                        FROM
                            orders o,
                            items i
                        WHERE
                            o.customer_id = c.id
                            AND i.order_id = o.id
                            AND i.sku = 'x'
                    )
                ORDER BY name
                + the list holds a key of the tables that stay: NOT NULL of customers.id, unique index customers_pkey
            "#]],
        );
        check(
            "distinct-to-exists",
            "select distinct c.name from customers c, orders o where o.customer_id = c.id",
            expect![[r#"
                SELECT
                    DISTINCT
                    c.name
                FROM customers c
                WHERE
                    EXISTS (
                        SELECT 1
                        FROM orders o
                        WHERE o.customer_id = c.id
                    )
                + DISTINCT stays: 
            "#]],
        );
    }

    #[test]
    fn left_alone() {
        for sql in [
            "select distinct c.id, o.note from customers c join orders o on o.customer_id = c.id",
            "select distinct c.id from customers c left join orders o on o.customer_id = c.id",
            "select distinct on (c.id) c.id from customers c join orders o on o.customer_id = c.id",
        ] {
            check("distinct-to-exists", sql, expect![[r#""#]]);
        }
    }
}
