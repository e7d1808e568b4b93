//! `(SELECT count(*) …) > 0` → `EXISTS (…)`.
//!
//! Counting reads all rows, existence stops at the first. Source: PostgreSQL manual, "EXISTS".

use super::super::facts::{Proofs, Scope};
use super::super::level::{Level, select_one};
use super::super::tree::{Constant, Distinct, Expr, Query};
use super::super::{Condition, Found, Rule};

pub(super) const RULE: Rule = Rule {
    id: "count-to-exists",
    title: "a count compared with nothing becomes EXISTS",
    sound_if: "the counted query has no side effects",
    find,
};

fn find(level: &Level<'_, '_>) -> Vec<Found> {
    let Some(select) = level.select() else { return Vec::new() };
    if !level.is_repeatable() {
        return Vec::new();
    }
    let mut changed = select.clone();
    let mut any = false;
    let mut rewrite = |e: &mut Expr| {
        if let Some(new) = exists(level.scope, e) {
            *e = new;
            any = true;
        }
    };
    // Not into the queries below: they are levels of their own.
    let expressions = changed
        .filter
        .iter_mut()
        .chain(&mut changed.having)
        .chain(changed.outputs.iter_mut().map(|o| &mut o.expr));
    expressions.for_each(|e| e.transform(&mut rewrite));
    if !any {
        return Vec::new();
    }
    let proofs = Proofs::from(["a count is never NULL nor negative".to_owned()]);
    vec![Found::new(level.with(changed), vec![Condition::new("some rows are counted, or none", Ok(proofs))])]
}

/// What a comparison of a count means, when it means existence.
pub(crate) fn exists(scope: &Scope<'_>, expr: &Expr) -> Option<Expr> {
    let Expr::Operator { name, left: Some(left), right } = expr else { return None };
    let (query, operator, bound) = match (&**left, &**right) {
        (Expr::Scalar(query), Expr::Constant(Constant::Integer(bound))) => (query, name.as_str(), *bound),
        (Expr::Constant(Constant::Integer(bound)), Expr::Scalar(query)) => {
            let flipped = match name.as_str() {
                "<" => ">",
                "<=" => ">=",
                ">" => "<",
                ">=" => "<=",
                same => same,
            };
            (query, flipped, *bound)
        }
        _ => return None,
    };
    let found = match (operator, bound) {
        (">", 0) | (">=", 1) | ("<>", 0) => true,
        ("=", 0) | ("<", 1) | ("<=", 0) => false,
        _ => return None,
    };
    let exists = Expr::Exists(Box::new(counted(scope, query)?));
    Some(if found { exists } else { Expr::Not(Box::new(exists)) })
}

/// The rows that a query counts.
fn counted(scope: &Scope<'_>, query: &Query) -> Option<Query> {
    let select = query.select()?;
    if !query.is_bare()
        || !select.group.is_empty()
        || !select.having.is_empty()
        || select.distinct != Distinct::No
    {
        return None;
    }
    let [output] = select.outputs.as_slice() else { return None };
    let Expr::Call(call) = &output.expr else { return None };
    if call.schema.is_some() || call.name != "count" || call.over.is_some() || select.from.is_empty() {
        return None;
    }
    let mut filter = select.filter.clone();
    filter.extend(call.filter.as_deref().cloned());
    match call.args.as_slice() {
        [] if call.star => {}
        // Only values that are not NULL count.
        [arg @ Expr::Column(_)] if scope.is_scalar(arg) => {
            filter.push(Expr::IsNull { inner: Box::new(arg.clone()), negated: true });
        }
        _ => return None,
    }
    Some(select_one(select.from.clone(), filter))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::super::check;

    #[test]
    fn existence() {
        check(
            "count-to-exists",
            "select name from customers c where (select count(*) from orders o where o.customer_id = c.id) > 0 \
             and 0 = (select count(o.note) from orders o where o.customer_id = c.id)",
            expect![[r#"
                SELECT c.name
                FROM customers c
                WHERE
                    EXISTS (
                        SELECT 1
                        FROM orders o
                        WHERE o.customer_id = c.id
                    )
                    AND NOT EXISTS (
                        SELECT 1
                        FROM orders o_1
                        WHERE
                            o_1.customer_id = c.id
                            AND o_1.note IS NOT NULL
                    )
                + some rows are counted, or none: a count is never NULL nor negative
            "#]],
        );
    }

    #[test]
    fn left_alone() {
        for sql in [
            "select name from customers c where (select count(*) from orders o where o.customer_id = c.id) > 1",
            "select name from customers c where (select count(*) from orders o where o.customer_id = c.id group by o.note) > 0",
            "select name from customers c where (select sum(id) from orders o where o.customer_id = c.id) > 0",
        ] {
            check("count-to-exists", sql, expect![[r#""#]]);
        }
    }
}
