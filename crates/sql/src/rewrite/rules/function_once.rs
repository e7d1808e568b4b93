//! `column = f()` → `column = (SELECT f())`.
//!
//! A `STABLE` function without columns in its arguments gives the same for every row; in a filter that no index answers
//! PostgreSQL calls it for every row all the same. As a subquery it runs once. This is what row security policies with
//! `auth.uid()` suffer from. Source: PostgreSQL manual, "Function Volatility Categories".

use super::super::facts::Proofs;
use super::super::functions::Volatility;
use super::super::level::Level;
use super::super::normal_form::at_this_level;
use super::super::tree::{Expr, Output, Query, Select};
use super::super::{Condition, Found, Rule};

pub(super) const RULE: Rule = Rule {
    id: "function-once",
    title: "a function that gives the same for every row is called once",
    sound_if: "it is STABLE or IMMUTABLE and takes no column",
    find,
};

fn find(level: &Level<'_, '_>) -> Vec<Found> {
    let Some(select) = level.select() else { return Vec::new() };
    let mut changed = select.clone();
    let mut names = Proofs::new();
    for condition in &mut changed.filter {
        at_this_level(condition, &mut |e| {
            let Expr::Call(call) = e else { return };
            // What PostgreSQL brings is folded or cheap.
            let of_user = level.scope.facts.users.is_of_user(call);
            if !of_user || call.over.is_some() || !e.columns().is_empty() || e.has_query() {
                return;
            }
            if level.scope.facts.users.of(e) == Volatility::Volatile {
                return;
            }
            names.insert(format!("{} is not volatile", super::super::writing::figure_name(e)));
            let output = Output::new(super::super::writing::figure_name(e), e.clone());
            *e = Expr::Scalar(Box::new(Query::of(Select { outputs: vec![output], ..Select::default() })));
        });
    }
    if names.is_empty() || select.from.is_empty() {
        return Vec::new();
    }
    vec![Found::new(level.with(changed), vec![Condition::new("it gives the same for every row", Ok(names))])]
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::super::check;

    #[test]
    fn once() {
        check(
            "function-once",
            "select id from orders where customer_id = tenant() and total > 5",
            expect![[r#"
                SELECT orders.id
                FROM orders
                WHERE
                    orders.customer_id = (
                        SELECT tenant()
                    )
                    AND orders.total > 5
                + it gives the same for every row: tenant is not volatile
            "#]],
        );
        for sql in [
            "select id from orders where placed_at > now()",
            "select id from orders where total > random()",
            "select id from orders where customer_id = (select tenant())",
        ] {
            check("function-once", sql, expect![[r#""#]]);
        }
    }
}
