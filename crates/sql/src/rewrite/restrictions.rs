//! What may be rewritten at a level that holds a function in `FROM`, grouping sets, or recursion?
//!
//! Rules know tables, subqueries and plain groups. Beside anything else a level keeps its sources and its list, and only
//! its conditions change, which are true of the same rows before and after. Of what a recursive expression reads from
//! itself PostgreSQL wants a certain form, which a condition cannot break.

use std::collections::BTreeSet;

use super::facts::Facts;
use super::tree::{Call, From, Query, Select};

/// What a rule may change at a level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    Everything,
    Conditions,
    Nothing,
}

fn has_sets(query: &Query) -> bool {
    query.select().is_some_and(|s| !s.sets.is_empty())
}

fn functions(query: &Query) -> Vec<&str> {
    let leaves = query.select().map(Select::leaves).unwrap_or_default();
    let of = leaves.into_iter();
    of.filter_map(|leaf| if let From::Function(f) = leaf { Some(f.name.as_str()) } else { None }).collect()
}

/// Why nothing is proved of a statement, whatever it is compared with.
pub(crate) fn of_statement(root: &Query) -> Option<&'static str> {
    let mut reason = None;
    root.levels(&mut |level| {
        if level.ctes.iter().any(|cte| cte.recursive) {
            reason = Some("it is recursive");
        } else if has_sets(level) {
            reason = Some("it has grouping sets");
        } else if !functions(level).is_empty() {
            reason = Some("a function stands in its FROM");
        }
    });
    reason
}

/// A function in `FROM` that may be one of the user's.
pub(crate) fn shadowed<'q>(root: &'q Query, facts: &Facts<'_>) -> Option<&'q str> {
    let mut found = None;
    root.levels(&mut |level| {
        let of_user = |name: &&str| facts.users.is_of_user(&Call::new(name, Vec::new()));
        found = found.or_else(|| functions(level).into_iter().find(of_user));
    });
    found
}

/// What may be changed at each of the levels, which stand in the order of [`Query::levels`].
pub(crate) fn reach(levels: &[&Query]) -> Vec<Reach> {
    let mut recursing: BTreeSet<*const Query> = BTreeSet::new();
    for cte in levels.iter().flat_map(|level| &level.ctes).filter(|cte| cte.recursive) {
        cte.query.levels(&mut |level| {
            recursing.insert(std::ptr::from_ref(level));
        });
    }
    let of = |query: &Query| {
        let mut sets_inside = false;
        query.levels(&mut |level| sets_inside |= !std::ptr::eq(level, query) && has_sets(level));
        let here =
            has_sets(query) || !functions(query).is_empty() || recursing.contains(&std::ptr::from_ref(query));
        match (sets_inside, here) {
            (true, _) => Reach::Nothing,
            (false, true) => Reach::Conditions,
            (false, false) => Reach::Everything,
        }
    };
    levels.iter().map(|query| of(query)).collect()
}

/// Whether a level became another one by its conditions only.
pub(crate) fn only_conditions(before: &Query, after: &Query) -> bool {
    let mut same = after.clone();
    match (before.select(), same.select_mut()) {
        (Some(before), Some(select)) => select.filter.clone_from(&before.filter),
        _ => return false,
    }
    same == *before
}

#[cfg(test)]
mod tests {
    use super::super::Rewriter;
    use super::super::fixture::{self, check};

    #[test]
    fn conditions_beside_a_function_are_rewritten() {
        check(
            "select o.id, g from orders o, generate_series(1, 3) g where o.id::text = '42' and o.note in (select sku from products)",
            &[
                "native-type: SELECT o.id, g.g FROM orders o, generate_series(1, 3) g WHERE o.id = 42 AND o.note IN ( SELECT sku FROM products )",
            ],
        );
        // Its customers are not dropped: the function could need them.
        check(
            "select o.id from orders o join customers c on c.id = o.customer_id, generate_series(1, c.id) g",
            &[],
        );
        check(
            "select e.key from customers c, jsonb_each(c.settings) e where c.id = 1 or c.id = 2",
            &["or-chain: SELECT e.key FROM customers c, jsonb_each(c.settings) e WHERE c.id IN (1, 2)"],
        );
    }

    #[test]
    fn conditions_of_a_recursion_are_rewritten_and_its_form_stays() {
        check(
            "with recursive tree as (select id, referrer_id from customers where id::text = '1' union all \
             select c.id, c.referrer_id from customers c join tree t on t.id = c.referrer_id) select id from tree",
            &[
                "native-type: WITH RECURSIVE tree AS ( SELECT id, referrer_id FROM customers WHERE id = 1 UNION ALL \
               SELECT c.id, c.referrer_id FROM customers c JOIN tree t ON t.id = c.referrer_id ) SELECT tree.id FROM tree",
            ],
        );
    }

    #[test]
    fn conditions_below_grouping_sets_are_rewritten() {
        check(
            "select customer_id, note, count(*) from orders where id::text = '42' group by rollup (customer_id, note)",
            &[
                "native-type: SELECT customer_id, note, count(*) FROM orders WHERE id = 42 GROUP BY ROLLUP (customer_id, note)",
            ],
        );
        // A count over grouping sets has more rows than one.
        check(
            "select id from customers where (select count(*) from orders group by grouping sets ((), (note))) > 0",
            &[],
        );
    }

    #[test]
    fn what_is_not_known_is_refused_with_the_reason() {
        let snapshot = fixture::shop();
        let rewriter = Rewriter::new(&snapshot);
        for (sql, reason) in [
            ("select * from tenant() t", "tenant() stands in its FROM, of which no more is known here"),
            (
                "select * from unnest(array[1], array[2]) u",
                "unnest() stands in its FROM, of which no more is known here",
            ),
            ("select * from s.f(1) t", "s.f() stands in its FROM"),
            ("select * from rows from (now(), now()) t", "a function stands in its FROM in an unusual way"),
            ("select note from orders group by distinct rollup (note)", "it has distinct grouping sets"),
        ] {
            let refused = rewriter.rewrites(sql).unwrap_err();
            assert_eq!(refused, super::super::RewriteError::Unsupported { reason: reason.into() }, "{sql}");
        }
        let series = "select n from generate_series(1, 3) g (n)";
        assert_eq!(rewriter.prove(series, series), Ok(None));
    }
}
