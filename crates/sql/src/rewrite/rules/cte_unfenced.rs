//! A common table expression that is computed apart → a subquery that conditions reach into.
//!
//! `MATERIALIZED`, and a name that is used twice, keep PostgreSQL from pushing conditions into the expression and from
//! using its indexes. Source: PostgreSQL manual, "Common Table Expression Materialization".

use std::collections::BTreeMap;

use super::super::facts::Proofs;
use super::super::level::Level;
use super::super::tree::{Body, Derived, From, Query};
use super::super::{Condition, Found, Rule};

pub(super) const RULE: Rule = Rule {
    id: "cte-unfenced",
    title: "a materialized common table expression becomes a subquery",
    sound_if: "it calls nothing volatile and writes nothing",
    find,
};

fn find(level: &Level<'_, '_>) -> Vec<Found> {
    let mut found = Vec::new();
    for (n, cte) in level.query.ctes.iter().enumerate() {
        let mut uses = 0;
        level.query.levels(&mut |query| {
            if let Some(select) = query.select() {
                uses += select
                    .leaves()
                    .iter()
                    .filter(|f| matches!(f, From::Cte { name, .. } if *name == cte.name))
                    .count();
            }
        });
        // Used once and not fenced it is merged already.
        let fenced = cte.materialized || uses > 1;
        if cte.recursive || !fenced || uses == 0 || uses > 3 || !level.is_repeatable() {
            continue;
        }
        let mut query = level.query.clone();
        query.ctes.remove(n);
        query.levels_mut(&mut |q| {
            if let Body::Select(select) = &mut q.body {
                for item in &mut select.from {
                    inline(level, item, &cte.name, &cte.columns, &cte.query);
                }
            }
        });
        let proofs = Proofs::from(["nothing in it is volatile".to_owned()]);
        let claim = "it gives the same rows each time it is computed";
        found.push(Found::new(query, vec![Condition::new(claim, Ok(proofs))]));
    }
    found
}

fn inline(level: &Level<'_, '_>, item: &mut From, wanted: &str, columns: &[String], query: &Query) {
    match item {
        From::Join(join) => {
            inline(level, &mut join.left, wanted, columns, query);
            inline(level, &mut join.right, wanted, columns, query);
        }
        From::Cte { name, alias, .. } if name == wanted => {
            let mut query = query.clone();
            let names: BTreeMap<String, String> = query
                .all_names()
                .into_iter()
                .map(|n| {
                    let free = level.free_name(&n);
                    (n, free)
                })
                .collect();
            query.rename(&names);
            *item = From::Derived(Derived {
                lateral: false,
                query,
                alias: alias.clone(),
                columns: columns.to_vec(),
                view: None,
            });
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::super::check;

    #[test]
    fn fences() {
        check(
            "cte-unfenced",
            "with recent as materialized (select * from orders where placed_at > now() - interval '7 days') select id from recent where note = 'x'",
            expect![[r#"
                SELECT recent.id
                FROM
                    (
                        SELECT *
                        FROM orders orders_1
                        WHERE placed_at > now() - '7 days'::interval
                    ) recent
                WHERE recent.note = 'x'
                + it gives the same rows each time it is computed: nothing in it is volatile
            "#]],
        );
        for sql in [
            "with recent as (select * from orders where note = 'y') select id from recent where id = 5",
            "with drawn as materialized (select id, random() as r from orders) select id from drawn where r < 0.5",
        ] {
            check("cte-unfenced", sql, expect![[r#""#]]);
        }
    }
}
