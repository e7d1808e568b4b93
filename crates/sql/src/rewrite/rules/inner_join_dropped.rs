//! A parent that is joined and not used → no join.
//!
//! PostgreSQL drops an unused outer join and never an inner one, because it does not use foreign keys for it: a
//! validated one says that the parent's row exists. Source: "Join removal" in PostgreSQL's optimizer README.

use super::super::facts::Proved;
use super::super::level::{Level, without_leaf};
use super::super::tree::{Column, Expr, From, JoinKind};
use super::super::{Condition, Found, Rule};

pub(super) const RULE: Rule = Rule {
    id: "inner-join-dropped",
    title: "an inner join with an unused parent is dropped",
    sound_if: "a validated foreign key says that the parent exists, and nothing of it is used",
    find,
};

fn find(level: &Level<'_, '_>) -> Vec<Found> {
    let Some(select) = level.select() else { return Vec::new() };
    let mut found = Vec::new();
    for (n, from) in select.from.iter().enumerate() {
        for leaf in from.leaves() {
            let From::Table(parent) = leaf else { continue };
            let Some((rest, _, on)) = without_leaf(from, &parent.alias, JoinKind::Inner) else { continue };
            let own: Vec<&Expr> =
                super::super::level::conditions(from).into_iter().filter(|e| on.contains(e)).collect();
            if level.uses_outside(&parent.alias, &own) {
                continue;
            }
            let Some((pairs, child)) = pairs(&parent.alias, &on) else { continue };
            let (Some(child_table), Some(relation)) =
                (level.scope.table(&child), level.scope.table(&parent.alias))
            else {
                continue;
            };
            // A child that is the optional side of a join has no parent where it has no row.
            if level.scope.is_null_extended(&child) || parent.only {
                continue;
            }
            // Rows of tables that inherit are read as well: of the child no foreign key binds them, and one of the parent
            // may have the same key.
            if level.scope.reads_children(&child) || level.scope.reads_children(&parent.alias) {
                continue;
            }
            let mut proved = level.scope.facts.foreign_key(&child_table.name, &relation.name, &pairs);
            if matches!(&proved, Err(why) if why.starts_with("no foreign key")) {
                continue;
            }
            if proved.is_ok() && relation.row_security {
                proved = Err(format!("row security may hide rows of {}", relation.name));
            }
            let mut conditions = vec![Condition::new("each child has its parent", proved)];
            let mut changed = select.clone();
            changed.from[n] = rest;
            for (own, _) in &pairs {
                let column = Column { source: child.clone(), name: own.clone() };
                let not_null: Proved = if filter_alone(level, select, &column) {
                    Ok(["a condition that keeps NULL out".to_owned()].into())
                } else {
                    level.scope.stored_not_null(&column)
                };
                match not_null {
                    Ok(proofs) => {
                        conditions.push(Condition::new(
                            format!("{} is not NULL", level.scope.display(&column)),
                            Ok(proofs),
                        ));
                    }
                    // The join left such rows out; so does this.
                    Err(_) => changed
                        .filter
                        .push(Expr::IsNull { inner: Box::new(Expr::Column(column)), negated: true }),
                }
            }
            found.push(Found::new(level.with(changed), conditions));
        }
    }
    found
}

/// Whether a condition other than the join keeps a column from being NULL.
fn filter_alone(level: &Level<'_, '_>, select: &super::super::tree::Select, column: &Column) -> bool {
    let only = |c: &Column| c == column;
    select.filter.iter().any(|e| level.scope.rejects_null(e, &only))
}

/// The pairs of columns, of the child first, when a condition is nothing but equalities with one child.
fn pairs(parent: &str, on: &[Expr]) -> Option<(Vec<(String, String)>, String)> {
    let mut pairs = Vec::new();
    let mut child: Option<String> = None;
    for condition in on {
        let Expr::Operator { name, left: Some(left), right } = condition else { return None };
        let (Expr::Column(left), Expr::Column(right)) = (&**left, &**right) else { return None };
        let (of_child, of_parent) = if left.source == parent { (right, left) } else { (left, right) };
        if name != "=" || of_parent.source != parent || of_child.source == parent {
            return None;
        }
        if child.get_or_insert_with(|| of_child.source.clone()) != &of_child.source {
            return None;
        }
        pairs.push((of_child.name.clone(), of_parent.name.clone()));
    }
    Some((pairs, child?))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::super::check;

    #[test]
    fn parents_that_exist() {
        check(
            "inner-join-dropped",
            "select o.id, o.note from orders o join customers c on c.id = o.customer_id where o.total > 5",
            expect![[r#"
                SELECT id, note
                FROM orders o
                WHERE total > 5
                + each child has its parent: foreign key orders_customer_id_fkey
                + orders.customer_id is not NULL: NOT NULL of orders.customer_id
            "#]],
        );
        check(
            "inner-join-dropped",
            "select c.name from customers c join customers r on c.referrer_id = r.id",
            expect![[r#"
                SELECT name
                FROM customers c
                WHERE referrer_id IS NOT NULL
                + each child has its parent: foreign key customers_referrer_id_fkey
            "#]],
        );
        check(
            "inner-join-dropped",
            "select i.sku from items i join products p on p.sku = i.sku",
            expect![[r#"
                SELECT sku
                FROM items i
                WHERE sku IS NOT NULL
                + each child has its parent: foreign key items_sku_fkey
            "#]],
        );
    }

    #[test]
    fn left_alone() {
        for sql in [
            "select o.id, c.name from orders o join customers c on c.id = o.customer_id",
            "select o.id from orders o join customers c on c.id = o.customer_id and c.name = 'x'",
            "select c.id from orders o join customers c on c.id = o.customer_id",
        ] {
            check("inner-join-dropped", sql, expect![[r#""#]]);
        }
    }
}
