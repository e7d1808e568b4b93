//! A subquery that aggregates for each row → one grouped subquery that is joined.
//!
//! PostgreSQL runs a correlated scalar subquery once per row. Grouped by what it is correlated with, it runs once.
//! Source: Dayal, "Of Nests and Trees" (1987); the outer join and the `coalesce` are what Kim's method of 1982 got
//! wrong ("the COUNT bug").

use std::collections::BTreeMap;

use super::super::dependencies::pins;
use super::super::facts::Proofs;
use super::super::functions::is_aggregate;
use super::super::level::{Level, column};
use super::super::normal_form::at_this_level;
use super::super::reading::equal;
use super::super::tree::{
    Call, Constant, Derived, Distinct, Expr, From, Join, JoinKind, Output, Query, Select,
};
use super::super::{Condition, Found, Rule};

pub(super) const RULE: Rule = Rule {
    id: "correlated-aggregate",
    title: "a subquery that aggregates for each row becomes a joined grouped subquery",
    sound_if: "it is correlated by equalities only, and an empty group counts as zero",
    find,
};

/// A grouped subquery that scalar ones become.
struct Grouped {
    alias: String,
    keys: Vec<(Expr, Expr)>,
    select: Select,
}

fn find(level: &Level<'_, '_>) -> Vec<Found> {
    let Some(select) = level.select() else { return Vec::new() };
    if select.is_grouped() || select.from.is_empty() || !level.is_repeatable() {
        return Vec::new();
    }
    let mut changed = select.clone();
    let mut order = level.query.order.clone();
    let mut grouped: Vec<Grouped> = Vec::new();
    {
        let mut replace = |e: &mut Expr| {
            if let Expr::Scalar(query) = e
                && let Some(new) = decorrelate(level, query, &mut grouped)
            {
                *e = new;
            }
        };
        let expressions = changed
            .outputs
            .iter_mut()
            .map(|o| &mut o.expr)
            .chain(&mut changed.filter)
            .chain(order.iter_mut().map(|k| &mut k.expr));
        expressions.for_each(|e| at_this_level(e, &mut replace));
    }
    if grouped.is_empty() {
        return Vec::new();
    }
    let mut items = std::mem::take(&mut changed.from).into_iter();
    let Some(first) = items.next() else { return Vec::new() };
    let mut tree = items.fold(first, |left, right| {
        From::Join(Box::new(Join { kind: JoinKind::Inner, left, right, on: Vec::new() }))
    });
    for group in grouped {
        let mut select = group.select;
        let mut on = Vec::new();
        for (i, (own, outer)) in group.keys.into_iter().enumerate() {
            let wanted = match &own {
                Expr::Column(c) => c.name.clone(),
                _ => format!("key_{}", i + 1),
            };
            let taken = select.outputs.iter().any(|o| o.name == wanted);
            let name = if taken { format!("key_{}", i + 1) } else { wanted };
            on.push(equal(column(&group.alias, &name), outer));
            select.group.push(own.clone());
            select.outputs.insert(i, Output::new(name, own));
        }
        let columns = select.outputs.iter().map(|o| o.name.clone()).collect();
        let query = Query::of(select);
        let right = From::Derived(Derived { lateral: false, query, alias: group.alias, columns, view: None });
        tree = From::Join(Box::new(Join { kind: JoinKind::Left, left: tree, right, on }));
    }
    changed.from = vec![tree];
    let query = Query { order, ..level.with(changed) };
    let proofs = Proofs::from(["GROUP BY".to_owned()]);
    vec![Found::new(
        query,
        vec![Condition::new("a row has one group at most, and no group is an empty one", Ok(proofs))],
    )]
}

/// What the scalar subquery is over a grouped one.
fn decorrelate(level: &Level<'_, '_>, query: &Query, grouped: &mut Vec<Grouped>) -> Option<Expr> {
    let select = query.select()?;
    let [output] = select.outputs.as_slice() else { return None };
    let plain = query.is_bare()
        && select.group.is_empty()
        && select.having.is_empty()
        && select.distinct == Distinct::No
        && super::super::walk::has_aggregate(&output.expr);
    if !plain || output.expr.has_query() {
        return None;
    }
    let own: std::collections::BTreeSet<&str> = select.aliases().into_iter().collect();
    let inside = |e: &Expr| e.sources().iter().all(|s| own.contains(s));
    let outside = |e: &Expr| !e.columns().is_empty() && e.sources().iter().all(|s| !own.contains(s));
    let (mut keys, mut rest) = (Vec::new(), Vec::new());
    for condition in &select.filter {
        if condition.has_query() {
            return None;
        }
        match condition {
            c if inside(c) => rest.push(c.clone()),
            Expr::Operator { name, left: Some(left), right } if name == "=" => {
                if inside(left) && !left.columns().is_empty() && outside(right) {
                    keys.push(((**left).clone(), (**right).clone()));
                } else if inside(right) && !right.columns().is_empty() && outside(left) {
                    keys.push(((**right).clone(), (**left).clone()));
                } else {
                    return None;
                }
            }
            _ => return None,
        }
    }
    let around: std::collections::BTreeSet<&str> = level.select()?.aliases().into_iter().collect();
    let near = keys.iter().all(|(_, outer)| outer.sources().iter().all(|s| around.contains(s)));
    let tied = select.from.iter().any(|f| {
        super::super::level::conditions(f).into_iter().any(|e| !inside(e))
            || f.leaves().iter().any(|l| matches!(l, From::Derived(d) if d.query.outer_columns().iter().any(|c| !own.contains(c.source.as_str()))))
    });
    // With another equality a row could find several groups.
    let one_group = keys.iter().all(|(own, outer)| pins(level.scope, own, outer));
    if keys.is_empty() || !near || !one_group || tied || !inside(&output.expr) {
        return None;
    }
    let body = Select { outputs: Vec::new(), from: select.from.clone(), filter: rest, ..Select::default() };
    let at = match same_group(grouped, &keys, &body) {
        Some((at, names)) => {
            let mut expr = output.expr.clone();
            rename(&mut expr, &names);
            return take(&mut grouped[at], &expr);
        }
        None => {
            let table = select.leaves().first().and_then(|l| l.aliases().first().map(|a| (*a).to_owned()))?;
            let by = match &keys[0].0 {
                Expr::Column(c) => c.name.clone(),
                _ => "key".into(),
            };
            let alias = level.free_name(&format!("{table}_by_{by}"));
            grouped.push(Grouped { alias, keys, select: body });
            grouped.len() - 1
        }
    };
    take(&mut grouped[at], &output.expr)
}

/// The expression with columns of the grouped subquery in place of its aggregates.
fn take(group: &mut Grouped, expr: &Expr) -> Option<Expr> {
    let mut new = expr.clone();
    let mut bad = false;
    let alias = group.alias.clone();
    let outputs = &mut group.select.outputs;
    at_this_level(&mut new, &mut |e| {
        let Expr::Call(call) = e else { return };
        if call.over.is_some() {
            bad = true;
        }
        if !is_aggregate(call) {
            return;
        }
        let name = named(outputs, call);
        let value = column(&alias, &name);
        // An empty group counts zero; every other aggregate gives NULL for it.
        *e = if call.schema.is_none() && call.name == "count" {
            Expr::Coalesce(vec![value, Expr::Constant(Constant::Integer(0))])
        } else {
            value
        };
    });
    // A column outside of an aggregate would not be grouped.
    let left = new.sources().iter().any(|s| *s != alias);
    (!bad && !left).then_some(new)
}

fn named(outputs: &mut Vec<Output>, call: &Call) -> String {
    let expr = Expr::Call(Box::new(call.clone()));
    if let Some(known) = outputs.iter().find(|o| o.expr == expr) {
        return known.name.clone();
    }
    let wanted = match call.args.first() {
        Some(Expr::Column(c)) => format!("{}_{}", call.name, c.name),
        _ => call.name.clone(),
    };
    let same =
        outputs.iter().filter(|o| o.name == wanted || o.name.starts_with(&format!("{wanted}_"))).count();
    let name = if same == 0 { wanted } else { format!("{wanted}_{}", same + 1) };
    outputs.push(Output::new(name.clone(), expr));
    name
}

/// A group over the same rows by the same keys, and the names that its sources have there.
fn same_group(
    grouped: &[Grouped],
    keys: &[(Expr, Expr)],
    body: &Select,
) -> Option<(usize, BTreeMap<String, String>)> {
    grouped.iter().enumerate().find_map(|(at, group)| {
        let known = group.select.aliases();
        let names: BTreeMap<String, String> =
            body.aliases().into_iter().map(str::to_owned).zip(known.into_iter().map(str::to_owned)).collect();
        let mut query = Query::of(body.clone());
        query.rename(&names);
        let renamed = query.select()?;
        let mut keys = keys.to_vec();
        keys.iter_mut().for_each(|(own, _)| rename(own, &names));
        (renamed.from == group.select.from && renamed.filter == group.select.filter && keys == group.keys)
            .then_some((at, names))
    })
}

fn rename(expr: &mut Expr, names: &BTreeMap<String, String>) {
    expr.transform(&mut |e| {
        if let Expr::Column(c) = e
            && let Some(new) = names.get(&c.source)
        {
            c.source.clone_from(new);
        }
    });
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::super::check;

    #[test]
    fn one_group_for_several_aggregates() {
        check(
            "correlated-aggregate",
            "select c.name, (select count(*) from orders o where o.customer_id = c.id) as orders, \
             (select coalesce(sum(o.total), 0) / count(*) from orders o where o.customer_id = c.id) as mean, \
             (select max(r.stars) from reviews r where r.customer_id = c.id and r.stars < 5) from customers c \
             where c.active order by orders desc",
            expect![[r#"
                SELECT
                    c.name, COALESCE(o_by_customer_id.count, 0) AS orders,
                    COALESCE(o_by_customer_id.sum_total, 0) / COALESCE(o_by_customer_id.count, 0) AS mean,
                    r_by_customer_id.max_stars AS max
                FROM
                    customers c
                    LEFT JOIN (
                        SELECT customer_id, count(*), sum(total) AS sum_total
                        FROM orders o
                        GROUP BY customer_id
                    ) o_by_customer_id ON o_by_customer_id.customer_id = c.id
                    LEFT JOIN (
                        SELECT customer_id, max(stars) AS max_stars
                        FROM reviews r
                        WHERE stars < 5
                        GROUP BY customer_id
                    ) r_by_customer_id ON r_by_customer_id.customer_id = c.id
                WHERE c.active
                ORDER BY orders DESC
                + a row has one group at most, and no group is an empty one: GROUP BY
            "#]],
        );
    }

    #[test]
    fn in_a_condition() {
        check(
            "correlated-aggregate",
            "select o.id from orders o where o.total > (select avg(p.total) from orders p where p.customer_id = o.customer_id)",
            expect![[r#"
                SELECT o.id
                FROM
                    orders o
                    LEFT JOIN (
                        SELECT customer_id, avg(total) AS avg_total
                        FROM orders p
                        GROUP BY customer_id
                    ) p_by_customer_id ON p_by_customer_id.customer_id = o.customer_id
                WHERE o.total > p_by_customer_id.avg_total
                + a row has one group at most, and no group is an empty one: GROUP BY
            "#]],
        );
    }

    #[test]
    fn left_alone() {
        for sql in [
            "select c.name, (select count(*) from orders o where o.total > c.id) from customers c",
            "select c.name, (select o.note from orders o where o.customer_id = c.id limit 1) from customers c",
            "select c.name, (select count(*) from orders) from customers c",
            "select c.name, (select count(*) from orders o where o.customer_id = c.id group by o.note) from customers c",
            "select c.name, (select count(*) + c.id from orders o where o.customer_id = c.id) from customers c",
        ] {
            check("correlated-aggregate", sql, expect![[r#""#]]);
        }
    }
}
