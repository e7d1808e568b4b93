//! `x = (SELECT max(x) … WHERE same group)` → a window over the group.
//!
//! The subquery runs once per row; a window looks at each group once. Ties are kept, and NULLs are left out as the
//! comparison leaves them out. Source: Zuzarte et al., "WinMagic" (SIGMOD 2003).

use super::super::facts::Proofs;
use super::super::level::{Level, column};
use super::super::reading::equal;
use super::super::tree::{Call, Derived, Distinct, Expr, From, Output, Query, Select, Table, Window};
use super::super::{Condition, Found, Rule};

pub(super) const RULE: Rule = Rule {
    id: "extreme-to-window",
    title: "a column compared with the extreme of its group becomes a window",
    sound_if: "the subquery reads the same table, correlated by the columns of the group",
    find,
};

fn find(level: &Level<'_, '_>) -> Vec<Found> {
    let Some(select) = level.select() else { return Vec::new() };
    let mut found = Vec::new();
    for (i, condition) in select.filter.iter().enumerate() {
        let Expr::Operator { name, left: Some(left), right } = condition else { continue };
        if name != "=" || !level.is_repeatable() {
            continue;
        }
        let (value, query) = match (&**left, &**right) {
            (value @ Expr::Column(_), Expr::Scalar(query))
            | (Expr::Scalar(query), value @ Expr::Column(_)) => (value, query),
            _ => continue,
        };
        if let Some(new) = window(level, select, i, value, query) {
            found.push(new);
        }
    }
    found
}

fn window(level: &Level<'_, '_>, select: &Select, at: usize, value: &Expr, query: &Query) -> Option<Found> {
    let Expr::Column(compared) = value else { return None };
    let inner = query.select()?;
    let [From::Table(theirs)] = inner.from.as_slice() else { return None };
    let [output] = inner.outputs.as_slice() else { return None };
    let Expr::Call(call) = &output.expr else { return None };
    let plain = query.is_bare()
        && inner.group.is_empty()
        && inner.having.is_empty()
        && inner.distinct == Distinct::No
        && call.schema.is_none()
        && matches!(call.name.as_str(), "max" | "min")
        && call.filter.is_none()
        && call.over.is_none();
    let own = select.from.iter().position(|f| matches!(f, From::Table(t) if t.alias == compared.source))?;
    let From::Table(ours) = &select.from[own] else { return None };
    if !plain || ours.table != theirs.table || ours.only != theirs.only {
        return None;
    }
    let [Expr::Column(extreme)] = call.args.as_slice() else { return None };
    if extreme.source != theirs.alias || extreme.name != compared.name {
        return None;
    }
    // Every condition ties a column of the group to itself.
    let mut keys = Vec::new();
    for condition in &inner.filter {
        let Expr::Operator { name, left: Some(left), right } = condition else { return None };
        let (Expr::Column(left), Expr::Column(right)) = (&**left, &**right) else { return None };
        let (a, b) = if left.source == theirs.alias { (left, right) } else { (right, left) };
        if name != "=" || a.source != theirs.alias || b.source != ours.alias || a.name != b.name {
            return None;
        }
        keys.push(b.name.clone());
    }
    if keys.is_empty() {
        return None;
    }
    let inside = level.free_name(&ours.table.name);
    let names = level.scope.column_names(&ours.alias);
    let group = format!("group_{}", call.name);
    if names.contains(&group) {
        return None;
    }
    let mut used: Vec<String> = Vec::new();
    let mut note = |e: &Expr| {
        for c in e.columns() {
            if c.source == ours.alias && !used.contains(&c.name) {
                used.push(c.name.clone());
            }
        }
    };
    level.query.walk(&mut |e| note(e));
    used.sort_by_key(|name| names.iter().position(|n| n == name));
    let mut outputs: Vec<Output> =
        used.iter().map(|name| Output::new(name.clone(), column(&inside, name))).collect();
    let over = Window {
        partition: keys.iter().map(|name| column(&inside, name)).collect(),
        order: Vec::new(),
        // The default frame: RANGE UNBOUNDED PRECEDING.
        frame: 0x2 | 0x20 | 0x400,
        start: None,
        end: None,
    };
    let best =
        Call { over: Some(Box::new(over)), ..Call::new(&call.name, vec![column(&inside, &compared.name)]) };
    outputs.push(Output::new(group.clone(), Expr::Call(Box::new(best))));
    let columns = outputs.iter().map(|o| o.name.clone()).collect();
    let table = Table { alias: inside.clone(), ..ours.clone() };
    let windowed = Select { outputs, from: vec![From::Table(table)], ..Select::default() };
    let mut changed = select.clone();
    changed.from[own] = From::Derived(Derived {
        lateral: false,
        query: Query::of(windowed),
        alias: ours.alias.clone(),
        columns,
        view: None,
    });
    for output in &mut changed.outputs {
        output.star = None;
    }
    changed.filter[at] = equal(value.clone(), column(&ours.alias, &group));
    let mut proofs = Proofs::new();
    let known = level.scope.not_null_by_filter(select);
    for name in &keys {
        let key = column(&ours.alias, name);
        match level.scope.never_null(&key, &known) {
            Ok(more) => proofs.extend(more),
            // NULLs are one group of a window and none of an equality.
            Err(_) => changed.filter.push(Expr::IsNull { inner: Box::new(key), negated: true }),
        }
    }
    let condition =
        Condition::new("rows of the group are those with equal keys, none of them NULL", Ok(proofs));
    Some(Found::new(level.with(changed), vec![condition]))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::super::check;

    #[test]
    fn windows() {
        check(
            "extreme-to-window",
            "select i.order_id, i.sku from items i where i.price = (select min(x.price) from items x where x.order_id = i.order_id) and i.quantity > 1",
            expect![[r#"
                SELECT i.order_id, i.sku
                FROM
                    (
                        SELECT
                            order_id, sku, price, quantity,
                            min(price) OVER (
                                PARTITION BY order_id
                            ) AS group_min
                        FROM items
                    ) i
                WHERE
                    i.price = i.group_min
                    AND i.quantity > 1
                + rows of the group are those with equal keys, none of them NULL: NOT NULL of items.order_id
            "#]],
        );
        check(
            "extreme-to-window",
            "select o.id from orders o where o.total = (select max(p.total) from orders p where p.note = o.note)",
            expect![[r#"
                SELECT o.id
                FROM
                    (
                        SELECT
                            id, note, total,
                            max(total) OVER (
                                PARTITION BY note
                            ) AS group_max
                        FROM orders
                    ) o
                WHERE
                    o.total = o.group_max
                    AND o.note IS NOT NULL
                + rows of the group are those with equal keys, none of them NULL: 
            "#]],
        );
        for sql in [
            "select i.id from items i where i.price = (select min(x.price) from items x where x.order_id = i.order_id and x.quantity > 1)",
            "select i.id from items i where i.price = (select min(x.price) from items x where x.order_id = i.id)",
            "select i.id from items i where i.price = (select avg(x.price) from items x where x.order_id = i.order_id)",
            "select i.id from items i where i.price >= (select min(x.price) from items x where x.order_id = i.order_id)",
        ] {
            check("extreme-to-window", sql, expect![[r#""#]]);
        }
    }
}
