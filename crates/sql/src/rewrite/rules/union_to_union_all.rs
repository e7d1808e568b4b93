//! `UNION` → `UNION ALL`.
//!
//! `UNION` sorts or hashes all rows to remove what is there twice. Where branches have no row in common and none twice
//! there is nothing to remove.

use super::super::dependencies::determines;
use super::super::facts::Proofs;
use super::super::level::{Level, output_columns};
use super::super::normal_form::branches_are_disjoint;
use super::super::tree::{Body, Distinct, Query, SetOp};
use super::super::{Condition, Found, Rule};

pub(super) const RULE: Rule = Rule {
    id: "union-to-union-all",
    title: "UNION becomes UNION ALL",
    sound_if: "branches have no row in common, and a key in each list keeps rows apart",
    find,
};

fn find(level: &Level<'_, '_>) -> Vec<Found> {
    let Body::Set { op: SetOp::Union, all: false, left, right } = &level.query.body else {
        return Vec::new();
    };
    let mut proofs = Proofs::new();
    for side in [left, right] {
        let Some(select) = side.select() else { return Vec::new() };
        if select.distinct == Distinct::All && side.is_bare() {
            continue;
        }
        if !side.is_bare() || select.is_grouped() || select.distinct != Distinct::No {
            return Vec::new();
        }
        match determines(level.scope, &select.from, &select.filter, &output_columns(select)) {
            Ok(found) => proofs.extend(found),
            Err(_) => return Vec::new(),
        }
    }
    if !branches_are_disjoint(level.scope, left, right) {
        return Vec::new();
    }
    let body = Body::Set { op: SetOp::Union, all: true, left: left.clone(), right: right.clone() };
    let disjoint = Proofs::from(["conditions that contradict each other".to_owned()]);
    let conditions = vec![
        Condition::new("no branch gives a row twice", Ok(proofs)),
        Condition::new("branches have no row in common", Ok(disjoint)),
    ];
    vec![Found::new(Query { body, ..level.query.clone() }, conditions)]
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::super::check;

    #[test]
    fn disjoint_branches() {
        check(
            "union-to-union-all",
            "select id, customer_id from orders where customer_id = 1 union select id, customer_id from orders where customer_id = 2 order by id",
            expect![[r#"
                SELECT id, customer_id
                FROM orders
                WHERE customer_id = 1
                UNION ALL
                SELECT id, customer_id
                FROM orders orders_1
                WHERE customer_id = 2
                ORDER BY id
                + no branch gives a row twice: NOT NULL of orders.id, unique index orders_pkey
                + branches have no row in common: conditions that contradict each other
            "#]],
        );
        check(
            "union-to-union-all",
            "select id, 'order' as kind from orders union select id, 'item' from items",
            expect![[r#"
                SELECT id, 'order' AS kind
                FROM orders
                UNION ALL
                SELECT id, 'item'
                FROM items
                + no branch gives a row twice: NOT NULL of items.id, NOT NULL of orders.id, unique index items_pkey, unique index orders_pkey
                + branches have no row in common: conditions that contradict each other
            "#]],
        );
        for sql in [
            "select id from orders where customer_id = 1 union select id from orders where note = 'x'",
            "select note, customer_id from orders where customer_id = 1 union select note, customer_id from orders where customer_id = 2",
            "select id, code from codes, orders where code = 'a' union select id, code from codes, orders where code = 'a '",
        ] {
            check("union-to-union-all", sql, expect![[r#""#]]);
        }
    }
}
