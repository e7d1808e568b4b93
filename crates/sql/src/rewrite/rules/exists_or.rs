//! `EXISTS (…) OR EXISTS (…)` → `x IN (SELECT … UNION ALL SELECT …)`.
//!
//! PostgreSQL makes a semi-join of an `EXISTS` that stands alone in a conjunction and none of one under `OR`, which
//! it then runs for every row. One `IN` over both is a semi-join again.

use super::super::facts::Proofs;
use super::super::level::Level;
use super::super::reading::split_or;
use super::super::tree::{Body, Distinct, Expr, Output, Query, Select, SetOp};
use super::super::{Condition, Found, Rule};

pub(super) const RULE: Rule = Rule {
    id: "exists-or",
    title: "EXISTS OR EXISTS becomes IN over a UNION ALL",
    sound_if: "it stands in a condition where only true counts, and all compare the same value",
    find,
};

fn find(level: &Level<'_, '_>) -> Vec<Found> {
    let Some(select) = level.select() else { return Vec::new() };
    let mut found = Vec::new();
    for (i, condition) in select.filter.iter().enumerate() {
        let Expr::Or(_) = condition else { continue };
        let arms: Option<Vec<(Expr, Query)>> =
            split_or(condition.clone()).iter().map(|arm| values(level, arm)).collect();
        let Some(arms) = arms.filter(|a| a.len() > 1) else { continue };
        let value = arms[0].0.clone();
        if arms.iter().any(|(v, _)| *v != value) || !level.is_repeatable() {
            continue;
        }
        let types: Vec<Option<String>> = arms
            .iter()
            .map(|(_, q)| {
                q.select().and_then(|s| s.outputs.first()).and_then(|o| level.scope.type_of(&o.expr))
            })
            .collect();
        // Of different types a common one would be made first.
        if types[0].is_none() || types.iter().any(|t| *t != types[0]) {
            continue;
        }
        let mut queries = arms.into_iter().map(|(_, q)| q);
        let Some(first) = queries.next() else { continue };
        let union = queries.fold(first, |left, right| Query {
            body: Body::Set { op: SetOp::Union, all: true, left: Box::new(left), right: Box::new(right) },
            ..Query::default()
        });
        let mut changed = select.clone();
        changed.filter[i] = Expr::Quantified {
            operator: "=".into(),
            value: Box::new(value),
            query: Box::new(union),
            all: false,
        };
        let proofs = Proofs::from(["a conjunction, in which NULL and false are one".to_owned()]);
        let claim = "only whether it is true counts";
        found.push(Found::new(level.with(changed), vec![Condition::new(claim, Ok(proofs))]));
    }
    found
}

/// The value of the level that an arm looks for, and the query that gives what it may be.
fn values(level: &Level<'_, '_>, arm: &Expr) -> Option<(Expr, Query)> {
    match arm {
        Expr::Quantified { operator, value, query, all: false } if operator == "=" => {
            let plain = query.is_bare()
                && query.outer_columns().is_empty()
                && query.select().is_some_and(|s| !s.is_grouped());
            (plain && !value.has_query() && !matches!(**value, Expr::Row(_)))
                .then(|| ((**value).clone(), (**query).clone()))
        }
        Expr::Exists(query) => {
            let inner = query.select()?;
            if !query.is_bare() || inner.is_grouped() || matches!(inner.distinct, Distinct::On(_)) {
                return None;
            }
            let own = query.all_names();
            let is_own = |e: &Expr| !e.columns().is_empty() && e.sources().iter().all(|s| own.contains(*s));
            let outside = |e: &Expr| !e.columns().is_empty() && e.sources().iter().all(|s| !own.contains(*s));
            let mut tie = None;
            let mut rest = Vec::new();
            for condition in &inner.filter {
                if condition.sources().iter().all(|s| own.contains(*s)) {
                    rest.push(condition.clone());
                    continue;
                }
                let Expr::Operator { name, left: Some(left), right } = condition else { return None };
                let pair = if is_own(left) && outside(right) {
                    ((**left).clone(), (**right).clone())
                } else if is_own(right) && outside(left) {
                    ((**right).clone(), (**left).clone())
                } else {
                    return None;
                };
                if name != "=" || tie.replace(pair).is_some() {
                    return None;
                }
            }
            let (listed, value) = tie?;
            let of_level = level.select()?.aliases();
            if !value.sources().iter().all(|s| of_level.contains(s)) {
                return None;
            }
            let name = super::super::writing::figure_name(&listed);
            let select = Select {
                outputs: vec![Output::new(name, listed)],
                from: inner.from.clone(),
                filter: rest,
                ..Select::default()
            };
            let query = Query::of(select);
            query.outer_columns().is_empty().then_some((value, query))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::super::check;

    #[test]
    fn one_semi_join() {
        check(
            "exists-or",
            "select o.id from orders o where exists (select 1 from items i where i.order_id = o.id and i.quantity > 5) \
             or exists (select 1 from reviews r where o.id = r.order_id)",
            expect![[r#"
                SELECT o.id
                FROM orders o
                WHERE
                    o.id IN (
                        SELECT order_id
                        FROM items i
                        WHERE quantity > 5
                        UNION ALL
                        SELECT order_id
                        FROM reviews r
                    )
                + only whether it is true counts: a conjunction, in which NULL and false are one
            "#]],
        );
        for sql in [
            "select o.id from orders o where not (exists (select 1 from items i where i.order_id = o.id) or exists (select 1 from reviews r where o.id = r.order_id))",
            "select o.id from orders o where exists (select 1 from items i where i.order_id = o.id) or o.total > 5",
            "select o.id from orders o where exists (select 1 from items i where i.order_id = o.id) or exists (select 1 from reviews r where r.customer_id = o.customer_id)",
            "select o.id from orders o where exists (select 1 from items i where i.order_id = o.id) or exists (select 1 from reviews r where r.stars = o.id)",
        ] {
            check("exists-or", sql, expect![[r#""#]]);
        }
    }
}
