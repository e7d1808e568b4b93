//! A grouped subquery that is joined by its key → `LATERAL`, which groups the rows of one key.
//!
//! PostgreSQL groups all rows of the subquery, or of the view, whichever few the join asks for: a condition is pushed into
//! it where it is a constant, and not where it is a column beside it. Within `LATERAL` an index on the key finds the rows.

use std::collections::BTreeSet;

use super::super::dependencies::pins;
use super::super::facts::{Proofs, Scope};
use super::super::level::Level;
use super::super::reading::equal;
use super::super::tree::{Derived, Distinct, Expr, From, JoinKind};
use super::super::walk::{has_aggregate, has_window};
use super::super::{Condition, Found, Rule};

pub(super) const RULE: Rule = Rule {
    id: "grouped-lateral",
    title: "a grouped subquery that is joined by its key becomes LATERAL",
    sound_if: "the join compares a key of the groups, by the equality that makes them",
    find,
};

fn find(level: &Level<'_, '_>) -> Vec<Found> {
    let Some(select) = level.select() else { return Vec::new() };
    if !level.is_repeatable() {
        return Vec::new();
    }
    let mut changed = select.clone();
    let mut visible: BTreeSet<String> = BTreeSet::new();
    let mut done = false;
    for item in &mut changed.from {
        let before = visible.clone();
        visible.extend(item.aliases().into_iter().map(str::to_owned));
        done = match item {
            From::Derived(derived) => looked_up(level.scope, derived, &before, &mut changed.filter),
            join => within(level.scope, join, &before, &mut changed.filter),
        };
        if done {
            break;
        }
    }
    if !done {
        return Vec::new();
    }
    for output in &mut changed.outputs {
        output.star = None;
    }
    let by = Ok(Proofs::from(["GROUP BY".to_owned()]));
    let condition =
        Condition::new("the join asks for one group, whose rows have the key that is asked for", by);
    vec![Found::new(level.with(changed), vec![condition])]
}

/// Looks for such a subquery in a join; `filter` is what holds for every row of it.
fn within(scope: &Scope<'_>, item: &mut From, before: &BTreeSet<String>, filter: &mut Vec<Expr>) -> bool {
    let From::Join(join) = item else { return false };
    if join.kind == JoinKind::Full {
        return false;
    }
    if join.kind == JoinKind::Inner
        && matches!(join.left, From::Derived(_))
        && !matches!(join.right, From::Derived(_) | From::Join(_) | From::Function(_))
    {
        std::mem::swap(&mut join.left, &mut join.right);
    }
    let mut visible = before.clone();
    visible.extend(join.left.aliases().into_iter().map(str::to_owned));
    if let From::Derived(derived) = &mut join.right
        && (looked_up(scope, derived, &visible, &mut join.on)
            || join.kind == JoinKind::Inner && looked_up(scope, derived, &visible, filter))
    {
        return true;
    }
    within(scope, &mut join.left, before, filter)
}

/// Moves the comparisons of the keys of a grouped subquery into it.
fn looked_up(
    scope: &Scope<'_>,
    derived: &mut Derived,
    visible: &BTreeSet<String>,
    conditions: &mut Vec<Expr>,
) -> bool {
    let Some(inner) = derived.query.select() else { return false };
    let plain = derived.query.is_bare()
        && !derived.lateral
        && !inner.group.is_empty()
        && inner.sets.is_empty()
        && inner.distinct == Distinct::No
        && inner.outputs.len() == derived.columns.len()
        && !inner.outputs.iter().any(|o| has_window(&o.expr));
    if !plain || !scope.facts.users.operators.is_empty() {
        return false;
    }
    let key = |e: &Expr| {
        let Expr::Column(c) = e else { return None };
        let at = (c.source == derived.alias)
            .then(|| derived.columns.iter().position(|name| *name == c.name))
            .flatten()?;
        let key = &inner.outputs.get(at)?.expr;
        (matches!(key, Expr::Column(_)) && inner.group.contains(key)).then(|| key.clone())
    };
    let outside = |e: &Expr| {
        let sources = e.sources();
        !sources.is_empty()
            && sources.iter().all(|s| visible.contains(*s))
            && !e.has_query()
            && !has_aggregate(e)
    };
    let moved = |condition: &Expr| {
        let Expr::Operator { name, left: Some(left), right } = condition else { return None };
        let pair = match (key(left), key(right)) {
            (Some(own), None) if outside(right) => (own, (**right).clone()),
            (None, Some(own)) if outside(left) => (own, (**left).clone()),
            _ => return None,
        };
        (name == "=" && pins(scope, &pair.0, &pair.1)).then(|| equal(pair.0, pair.1))
    };
    let (mut inside, mut rest) = (Vec::new(), Vec::new());
    for condition in conditions.iter() {
        match moved(condition) {
            Some(new) => inside.push(new),
            None => rest.push(condition.clone()),
        }
    }
    if inside.is_empty() {
        return false;
    }
    let Some(inner) = derived.query.select_mut() else { return false };
    inner.filter.extend(inside);
    derived.lateral = true;
    derived.view = None;
    *conditions = rest;
    true
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::super::check;

    #[test]
    fn groups_of_a_key() {
        check(
            "grouped-lateral",
            "select c.name, o.n, o.s from customers c join (select customer_id, count(*) as n, sum(total) as s from orders group by customer_id) o on o.customer_id = c.id where c.name = 'a'",
            expect![[r#"
                SELECT c.name, o.n, o.s
                FROM
                    customers c
                    CROSS JOIN LATERAL (
                        SELECT orders.customer_id, count(*) AS n, sum(orders.total) AS s
                        FROM orders
                        WHERE orders.customer_id = c.id
                        GROUP BY orders.customer_id
                    ) o
                WHERE c.name = 'a'
                + the join asks for one group, whose rows have the key that is asked for: GROUP BY
            "#]],
        );
        check(
            "grouped-lateral",
            "select c.name, o.n from customers c left join (select customer_id, count(*) as n from orders group by customer_id) o on o.customer_id = c.id and o.n > 2 where c.name = 'a'",
            expect![[r#"
                SELECT c.name, o.n
                FROM
                    customers c
                    LEFT JOIN LATERAL (
                        SELECT orders.customer_id, count(*) AS n
                        FROM orders
                        WHERE orders.customer_id = c.id
                        GROUP BY orders.customer_id
                    ) o ON o.n > 2
                WHERE c.name = 'a'
                + the join asks for one group, whose rows have the key that is asked for: GROUP BY
            "#]],
        );
        check(
            "grouped-lateral",
            "select c.name, o.n from (select customer_id, count(*) as n from orders group by customer_id) o, customers c where o.customer_id = c.id",
            expect![[r#""#]],
        );
        check(
            "grouped-lateral",
            "select c.name, o.n from (select customer_id, count(*) as n from orders group by customer_id) o join customers c on o.customer_id = c.id",
            expect![[r#"
                SELECT c.name, o.n
                FROM
                    customers c
                    CROSS JOIN LATERAL (
                        SELECT orders.customer_id, count(*) AS n
                        FROM orders
                        WHERE orders.customer_id = c.id
                        GROUP BY orders.customer_id
                    ) o
                + the join asks for one group, whose rows have the key that is asked for: GROUP BY
            "#]],
        );
    }

    #[test]
    fn what_is_no_key_of_the_groups() {
        for sql in [
            // A condition on an aggregate is one on groups.
            "select c.name, o.n from customers c join (select customer_id, count(*) as n from orders group by customer_id) o on o.n = c.id",
            "select c.name, o.n from customers c join (select customer_id, count(*) as n from orders group by customer_id) o on o.customer_id > c.id",
            "select c.name, o.n from customers c full join (select customer_id, count(*) as n from orders group by customer_id) o on o.customer_id = c.id",
            "select c.name, o.n from customers c join (select customer_id, count(*) as n from orders group by customer_id order by 2 limit 5) o on o.customer_id = c.id",
            "select c.name, o.n from customers c join (select max(customer_id) as m, count(*) as n from orders) o on o.m = c.id",
            // Numbers of another kind may be equal to keys of several groups.
            "select c.name, o.n from customers c join (select customer_id, count(*) as n from orders group by customer_id) o on o.customer_id = c.id::real",
        ] {
            check("grouped-lateral", sql, expect![[r#""#]]);
        }
    }
}
