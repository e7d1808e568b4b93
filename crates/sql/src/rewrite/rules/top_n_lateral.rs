//! The first rows of each group by `row_number()` → `LATERAL` with `LIMIT` for each group.
//!
//! A window numbers every row of every group; an index on the group and the order gives the first of each at once. The
//! groups come from the table that the foreign key references, so every group is there and none twice.

use super::super::facts::Proofs;
use super::super::level::{Level, column};
use super::super::reading::equal;
use super::super::tree::{
    Column, Constant, Derived, Distinct, Expr, From, Join, JoinKind, Query, Select, SortKey, Table,
};
use super::super::{Condition, Found, Rule};

pub(super) const RULE: Rule = Rule {
    id: "top-n-lateral",
    title: "the first rows of each group by row_number() become LATERAL with LIMIT",
    sound_if: "the order within a group is total, and a foreign key names the groups",
    find,
};

fn find(level: &Level<'_, '_>) -> Vec<Found> {
    let Some(select) = level.select() else { return Vec::new() };
    let [From::Derived(derived)] = select.from.as_slice() else { return Vec::new() };
    let [condition] = select.filter.as_slice() else { return Vec::new() };
    if select.is_grouped() || select.distinct != Distinct::No || !level.is_repeatable() {
        return Vec::new();
    }
    first_rows(level, select, derived, condition).into_iter().collect()
}

/// How many rows a condition on the number keeps.
fn kept(condition: &Expr, number: &Column) -> Option<i64> {
    let Expr::Operator { name, left: Some(left), right } = condition else { return None };
    let (Expr::Column(c), Expr::Constant(Constant::Integer(n))) = (&**left, &**right) else { return None };
    if c != number {
        return None;
    }
    match (name.as_str(), *n) {
        ("=", 1) => Some(1),
        ("<=", n) if n > 0 => Some(n),
        ("<", n) if n > 1 => Some(n - 1),
        _ => None,
    }
}

fn first_rows(level: &Level<'_, '_>, select: &Select, derived: &Derived, condition: &Expr) -> Option<Found> {
    let inner = derived.query.select()?;
    let [From::Table(table)] = inner.from.as_slice() else { return None };
    if !derived.query.is_bare() || inner.is_grouped() || inner.distinct != Distinct::No || derived.lateral {
        return None;
    }
    let at = inner.outputs.iter().position(|o| matches!(&o.expr, Expr::Call(c) if c.over.is_some()))?;
    let Expr::Call(call) = &inner.outputs[at].expr else { return None };
    let window = call.over.as_deref()?;
    let plain =
        call.name == "row_number" && call.schema.is_none() && call.args.is_empty() && call.filter.is_none();
    let [Expr::Column(key)] = window.partition.as_slice() else { return None };
    let others = inner.outputs.iter().enumerate().all(|(n, o)| n == at || matches!(&o.expr, Expr::Column(_)));
    if !plain || !others {
        return None;
    }
    let number = Column { source: derived.alias.clone(), name: derived.columns.get(at)?.clone() };
    let count = kept(condition, &number)?;
    // The number itself is gone afterwards.
    let seen = select.outputs.iter().map(|o| &o.expr).chain(level.query.order.iter().map(|k| &k.expr));
    if seen.flat_map(|e| e.columns()).any(|c| *c == number) {
        return None;
    }
    // Within a group the order must say which rows come first.
    let mut given: std::collections::BTreeSet<Column> = window
        .order
        .iter()
        .filter_map(|k| if let Expr::Column(c) = &k.expr { Some(c.clone()) } else { None })
        .collect();
    given.insert(key.clone());
    let total = super::super::dependencies::determines(level.scope, &inner.from, &inner.filter, &given);
    let relation = level.scope.table(&table.alias)?;
    let foreign = level.scope.facts.snapshot.constraints.iter().find(|c| {
        c.kind == model::snapshot::ConstraintKind::ForeignKey
            && c.table == relation.name
            && c.columns == [key.name.clone()]
            && c.references.is_some()
    })?;
    let target = foreign.references.as_ref()?;
    let [parent_key] = target.columns.as_slice() else { return None };
    let pairs = [(key.name.clone(), parent_key.clone())];
    let promised = level.scope.facts.foreign_key(&relation.name, &target.table, &pairs);
    let parent = level.scope.facts.snapshot.relation(&target.table)?;
    let unique =
        level.scope.facts.keys(parent, false).into_iter().find(|k| k.columns == [parent_key.clone()])?;
    if parent.row_security || level.scope.keys(&table.alias).is_empty() {
        return None;
    }
    let not_null = level.scope.stored_not_null(key);
    let mut conditions = vec![
        Condition::new(
            "the order within a group is total",
            total.map_err(|why| format!("{why}: which of equal rows come first is not determined")),
        ),
        Condition::new("every group is a row of the parent", promised),
        Condition::new(format!("{} is there once", target.table.name), Ok(Proofs::from([unique.by]))),
    ];
    conditions.push(Condition::new(
        format!("{} is not NULL", level.scope.display(key)),
        not_null.map_err(|why| {
            format!("{why}: rows without a group are a group of the window and none of the parent")
        }),
    ));
    let groups = level.free_name(&target.table.name);
    let mut rows = inner.clone();
    rows.outputs.remove(at);
    rows.filter.push(equal(Expr::Column(key.clone()), column(&groups, parent_key)));
    let order: Vec<SortKey> = window.order.clone();
    let mut columns = derived.columns.clone();
    columns.remove(at);
    let query = Query { order, limit: Some(Expr::Constant(Constant::Integer(count))), ..Query::of(rows) };
    let parent = From::Table(Table {
        table: target.table.clone(),
        schema_written: table.schema_written || target.table.schema != relation.name.schema,
        alias: groups,
        only: false,
    });
    let lateral =
        From::Derived(Derived { lateral: true, query, alias: derived.alias.clone(), columns, view: None });
    let mut changed = select.clone();
    changed.filter.clear();
    changed.from = vec![From::Join(Box::new(Join {
        kind: JoinKind::Inner,
        left: parent,
        right: lateral,
        on: Vec::new(),
    }))];
    for output in &mut changed.outputs {
        output.star = None;
    }
    Some(Found::new(level.with(changed), conditions))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::super::check;

    #[test]
    fn first_of_each() {
        check(
            "top-n-lateral",
            "select customer_id, id from (select customer_id, id, row_number() over (partition by customer_id order by placed_at desc, id) as n from orders where total > 5) w where n <= 2",
            expect![[r#"
                SELECT w.customer_id, w.id
                FROM
                    customers
                    CROSS JOIN LATERAL (
                        SELECT orders.customer_id, orders.id
                        FROM orders
                        WHERE
                            orders.total > 5
                            AND orders.customer_id = customers.id
                        ORDER BY orders.placed_at DESC, id
                        LIMIT 2
                    ) w
                + the order within a group is total: NOT NULL of orders.id, unique index orders_pkey
                + every group is a row of the parent: foreign key orders_customer_id_fkey
                + customers is there once: unique index customers_pkey
                + orders.customer_id is not NULL: NOT NULL of orders.customer_id
            "#]],
        );
        check(
            "top-n-lateral",
            "select id from (select id, row_number() over (partition by customer_id order by placed_at desc) as n from orders) w where n = 1",
            expect![[r#"
                SELECT w.id
                FROM
                    customers
                    CROSS JOIN LATERAL (
                        SELECT orders.id
                        FROM orders
                        WHERE orders.customer_id = customers.id
                        ORDER BY orders.placed_at DESC
                        LIMIT 1
                    ) w
                - the order within a group is total: no key determines the row of orders: which of equal rows come first is not determined
                + every group is a row of the parent: foreign key orders_customer_id_fkey
                + customers is there once: unique index customers_pkey
                + orders.customer_id is not NULL: NOT NULL of orders.customer_id
            "#]],
        );
        for sql in [
            "select id, n from (select id, row_number() over (partition by customer_id order by id) as n from orders) w where n <= 2",
            "select id from (select id, rank() over (partition by customer_id order by id) as n from orders) w where n <= 2",
            "select id from (select id, row_number() over (partition by note order by id) as n from orders) w where n <= 2",
        ] {
            check("top-n-lateral", sql, expect![[r#""#]]);
        }
    }
}
