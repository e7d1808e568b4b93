//! `a LEFT JOIN b … ORDER BY a.x LIMIT n` → the first `n` rows of `a`, then the join.
//!
//! PostgreSQL joins all rows before it sorts and cuts them. Where each row of `a` finds one row at most (and, in an inner
//! join, one at least) the cut can come first. Source: Carey and Kossmann, "On Saying Enough Already! in SQL" (1997).

use std::collections::BTreeSet;

use super::super::dependencies::determines_sources;
use super::super::facts::Proofs;
use super::super::level::{Level, column, substitute};
use super::super::tree::{Column, Derived, Distinct, Expr, From, Join, JoinKind, Output, Query, Select};
use super::super::walk::has_window;
use super::super::{Condition, Found, Rule};

pub(super) const RULE: Rule = Rule {
    id: "limit-below-join",
    title: "LIMIT is applied before the tables that only add columns are joined",
    sound_if: "each row finds one row at most, and exactly one where the join is inner",
    find,
};

fn find(level: &Level<'_, '_>) -> Vec<Found> {
    let query = level.query;
    let Some(select) = level.select() else { return Vec::new() };
    let [from @ From::Join(_)] = select.from.as_slice() else { return Vec::new() };
    let plain = query.limit.is_some()
        && !query.order.is_empty()
        && !query.with_ties
        && select.distinct == Distinct::No
        && !select.is_grouped()
        && !select.outputs.iter().any(|o| has_window(&o.expr))
        && level.is_repeatable();
    if !plain {
        return Vec::new();
    }
    // The table at the bottom left, and the joins above it.
    let mut joins: Vec<&Join> = Vec::new();
    let mut at = from;
    while let From::Join(join) = at {
        joins.push(join);
        at = &join.left;
    }
    joins.reverse();
    let From::Table(driver) = at else { return Vec::new() };
    let of_driver = |e: &Expr| e.sources().iter().all(|s| *s == driver.alias) && !e.has_query();
    if !select.filter.iter().all(of_driver) || !query.order.iter().all(|k| of_driver(&k.expr)) {
        return Vec::new();
    }
    let mut conditions = Vec::new();
    for join in &joins {
        let Some(condition) = one_partner(level, join) else { return Vec::new() };
        conditions.extend(condition);
    }
    let inside = level.free_name(&driver.table.name);
    let names = level.scope.column_names(&driver.alias);
    let mut used: BTreeSet<&str> = BTreeSet::new();
    let mut note = |e: &Expr| {
        for c in e.columns() {
            if c.source == driver.alias
                && let Some(name) = names.iter().find(|n| **n == c.name)
            {
                used.insert(name);
            }
        }
    };
    select.outputs.iter().for_each(|o| note(&o.expr));
    query.order.iter().for_each(|k| note(&k.expr));
    joins.iter().flat_map(|j| &j.on).for_each(&mut note);
    let outputs: Vec<Output> = names
        .iter()
        .filter(|n| used.contains(n.as_str()))
        .map(|name| Output::new(name.clone(), column(&inside, name)))
        .collect();
    let renamed = |c: &Column| (c.source == driver.alias).then(|| column(&inside, &c.name));
    let mut filter = select.filter.clone();
    filter.iter_mut().for_each(|e| substitute(e, &renamed));
    let mut order = query.order.clone();
    order.iter_mut().for_each(|k| substitute(&mut k.expr, &renamed));
    let table = super::super::tree::Table { alias: inside, ..driver.clone() };
    let columns = outputs.iter().map(|o| o.name.clone()).collect();
    let cut = Query {
        order,
        limit: query.limit.clone(),
        offset: query.offset.clone(),
        ..Query::of(Select { outputs, from: vec![From::Table(table)], filter, ..Select::default() })
    };
    let mut tree = From::Derived(Derived {
        lateral: false,
        query: cut,
        alias: driver.alias.clone(),
        columns,
        view: None,
    });
    for join in joins {
        tree = From::Join(Box::new(Join { left: tree, ..join.clone() }));
    }
    let mut changed = select.clone();
    changed.from = vec![tree];
    changed.filter.clear();
    for output in &mut changed.outputs {
        output.star = None;
    }
    let new = Query { limit: None, offset: None, ..level.with(changed) };
    vec![Found::new(new, conditions)]
}

/// That a row finds one partner at most, and one at least where the join is inner.
fn one_partner(level: &Level<'_, '_>, join: &Join) -> Option<Vec<Condition>> {
    let From::Table(table) = &join.right else { return None };
    if join.on.iter().any(Expr::has_query) {
        return None;
    }
    let alias = BTreeSet::from([table.alias.clone()]);
    let outside: BTreeSet<Column> =
        join.on.iter().flat_map(|e| e.columns()).filter(|c| c.source != table.alias).cloned().collect();
    let proofs =
        determines_sources(level.scope, std::slice::from_ref(&join.right), &join.on, &outside, &alias)
            .ok()?;
    let mut conditions =
        vec![Condition::new(format!("a row finds one row of {} at most", table.table.name), Ok(proofs))];
    match join.kind {
        JoinKind::Left => {}
        JoinKind::Full => return None,
        JoinKind::Inner => {
            let mut pairs = Vec::new();
            let mut child: Option<&str> = None;
            let mut proofs = Proofs::new();
            for condition in &join.on {
                let Expr::Operator { name, left: Some(left), right } = condition else { return None };
                let (Expr::Column(left), Expr::Column(right)) = (&**left, &**right) else { return None };
                let (theirs, own) = if left.source == table.alias { (left, right) } else { (right, left) };
                if name != "="
                    || theirs.source != table.alias
                    || *child.get_or_insert(&own.source) != own.source
                {
                    return None;
                }
                proofs.extend(level.scope.never_null(&Expr::Column(own.clone()), &BTreeSet::new()).ok()?);
                pairs.push((own.name.clone(), theirs.name.clone()));
            }
            let of = level.scope.table(child?)?;
            let relation = level.scope.table(&table.alias)?;
            if relation.row_security || table.only || level.scope.reads_children(child?) {
                return None;
            }
            proofs.extend(level.scope.facts.foreign_key(&of.name, &relation.name, &pairs).ok()?);
            conditions.push(Condition::new(
                format!("a row finds one row of {} at least", table.table.name),
                Ok(proofs),
            ));
        }
    }
    Some(conditions)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::super::check;

    #[test]
    fn cut_first() {
        check(
            "limit-below-join",
            "select o.id, c.name, i.sku from orders o join customers c on c.id = o.customer_id left join items i on i.order_id = o.id and i.sku = 'x' \
             where o.total > 5 order by o.placed_at desc, o.id limit 10",
            expect![[r#"
                SELECT o.id, c.name, i.sku
                FROM
                    (
                        SELECT id, customer_id, placed_at
                        FROM orders
                        WHERE total > 5
                        ORDER BY placed_at DESC, id
                        LIMIT 10
                    ) o
                    JOIN customers c ON c.id = o.customer_id
                    LEFT JOIN items i ON i.order_id = o.id
                    AND i.sku = 'x'
                ORDER BY o.placed_at DESC, id
                + a row finds one row of customers at most: unique index customers_pkey
                + a row finds one row of customers at least: NOT NULL of orders.customer_id, foreign key orders_customer_id_fkey
                + a row finds one row of items at most: unique index items_order_id_sku_key
            "#]],
        );
        for sql in [
            "select o.id, i.sku from orders o left join items i on i.order_id = o.id order by o.id limit 10",
            "select i.id, p.title from items i join products p on p.sku = i.sku order by i.id limit 10",
            "select o.id, c.name from orders o join customers c on c.id = o.customer_id order by c.name limit 10",
            "select o.id, c.name from orders o join customers c on c.id = o.customer_id where c.active order by o.id limit 10",
        ] {
            check("limit-below-join", sql, expect![[r#""#]]);
        }
    }
}
