//! `UNION` → `UNION ALL`.
//!
//! `UNION` sorts or hashes all rows to remove what is there twice. Where branches have no row in common and none twice
//! there is nothing to remove.

use std::collections::BTreeSet;

use super::super::dependencies::determines;
use super::super::facts::{Proofs, Proved, Scope};
use super::super::level::{Level, output_columns, substitute};
use super::super::normal_form::{branches_are_disjoint, contradict, families, listed};
use super::super::tree::{Body, Column, Distinct, Expr, Query, Select, SetOp};
use super::super::{Condition, Found, Rule};

pub(super) const RULE: Rule = Rule {
    id: "union-to-union-all",
    title: "UNION becomes UNION ALL",
    sound_if: "branches have no row in common, and a key in each list keeps rows apart",
    find,
};

/// More branches are not compared two by two.
const MAX_BRANCHES: usize = 20;

/// Why two branches have no row in common.
enum Apart {
    Proved(Proofs),
    /// These two parameters are compared with the same, or are listed in the same place: they have to differ.
    Parameters(u32, u32),
}

fn find(level: &Level<'_, '_>) -> Vec<Found> {
    if !matches!(level.query.body, Body::Set { op: SetOp::Union, all: false, .. }) {
        return Vec::new();
    }
    // What users made of equality is not known.
    if level.scope.facts.users.operators.contains("=") {
        return Vec::new();
    }
    let mut branches = Vec::new();
    collect(&level.query.body, &mut branches);
    if branches.len() > MAX_BRANCHES {
        return Vec::new();
    }
    let families = families(level.scope, &branches);
    let mut once = Proofs::new();
    for branch in &branches {
        match gives_rows_once(level.scope, &families, branch) {
            Ok(found) => once.extend(found),
            Err(_) => return Vec::new(),
        }
    }
    let (mut apart, mut parameters) = (Proofs::new(), BTreeSet::new());
    for (number, first) in branches.iter().enumerate() {
        for second in &branches[number + 1..] {
            match why_apart(level.scope, &families, first, second) {
                Some(Apart::Proved(proofs)) => apart.extend(proofs),
                Some(Apart::Parameters(a, b)) => {
                    parameters.insert((a, b));
                }
                None => return Vec::new(),
            }
        }
    }
    let mut conditions = vec![Condition::new("no branch gives a row twice", Ok(once))];
    if !apart.is_empty() {
        conditions.push(Condition::new("branches have no row in common", Ok(apart)));
    }
    let mut found = Found::new(Query { body: all(&level.query.body), ..level.query.clone() }, Vec::new());
    for (a, b) in parameters {
        conditions.push(Condition::of_parameters(format!("${a} and ${b} are never the same value")));
        found.application.push(format!(
            "Where ${a} and ${b} can be the same value, UNION has to stay: rows would come twice."
        ));
    }
    found.conditions = conditions;
    vec![found]
}

/// The branches of a union, those of unions within it included.
fn collect<'q>(body: &'q Body, branches: &mut Vec<&'q Query>) {
    let Body::Set { op: SetOp::Union, left, right, .. } = body else { return };
    for side in [left, right] {
        match &side.body {
            Body::Set { op: SetOp::Union, .. } if side.is_bare() => collect(&side.body, branches),
            _ => branches.push(side),
        }
    }
}

/// The same union, in which nothing is removed.
fn all(body: &Body) -> Body {
    let Body::Set { op: SetOp::Union, left, right, .. } = body else { return body.clone() };
    let within = |side: &Query| match &side.body {
        Body::Set { op: SetOp::Union, .. } if side.is_bare() => {
            Box::new(Query { body: all(&side.body), ..side.clone() })
        }
        _ => Box::new(side.clone()),
    };
    Body::Set { op: SetOp::Union, all: true, left: within(left), right: within(right) }
}

fn gives_rows_once(scope: &Scope<'_>, families: &[Option<String>], branch: &Query) -> Proved {
    let none = || Err("it is no plain query".to_owned());
    let Some(select) = branch.select().filter(|_| branch.is_bare()) else { return none() };
    match select.distinct {
        Distinct::All if families.iter().all(Option::is_some) => Ok(Proofs::new()),
        Distinct::No if !select.is_grouped() => {
            determines(scope, &select.from, &select.filter, &listed(families, select))
        }
        _ => none(),
    }
}

fn why_apart(scope: &Scope<'_>, families: &[Option<String>], first: &Query, second: &Query) -> Option<Apart> {
    if branches_are_disjoint(scope, families, first, second) {
        return Some(Apart::Proved(Proofs::from(["conditions that contradict each other".to_owned()])));
    }
    let (a, b) = (first.select()?, second.select()?);
    if a.outputs.len() != b.outputs.len() {
        return None;
    }
    for ((x, y), family) in a.outputs.iter().zip(&b.outputs).zip(families) {
        if let (Some(m), Some(n)) = (pinned(a, &x.expr), pinned(b, &y.expr))
            && m != n
            && family.is_some()
            && (x.expr == Expr::Parameter(m)) == (y.expr == Expr::Parameter(n))
            && scope.type_of(&x.expr) == scope.type_of(&y.expr)
        {
            return Some(Apart::Parameters(m, n));
        }
    }
    by_key(scope, families, a, b)
}

/// The parameter that an expression is, or is equal to by a condition.
fn pinned(select: &Select, expr: &Expr) -> Option<u32> {
    let parameter = |e: &Expr| match e {
        Expr::Parameter(number) => Some(*number),
        Expr::Cast { inner, .. } => match **inner {
            Expr::Parameter(number) => Some(number),
            _ => None,
        },
        _ => None,
    };
    parameter(expr).or_else(|| {
        select.filter.iter().find_map(|condition| match condition {
            Expr::Operator { name, left: Some(left), right } if name == "=" && **left == *expr => {
                parameter(right)
            }
            _ => None,
        })
    })
}

/// Both list a key of the same table in the same places, so that what is alike is the same row of it, and no row of it
/// satisfies the conditions of both.
fn by_key(scope: &Scope<'_>, families: &[Option<String>], a: &Select, b: &Select) -> Option<Apart> {
    let aliases = |select: &Select| -> BTreeSet<String> {
        output_columns(select).into_iter().map(|c| c.source).filter(|s| !scope.is_null_extended(s)).collect()
    };
    for x in aliases(a) {
        for y in aliases(b) {
            let (Some(one), Some(other)) = (scope.table(&x), scope.table(&y)) else { continue };
            if one.name != other.name {
                continue;
            }
            // The conditions of both, as if they were on one source.
            let on = |select: &Select, source: &str| -> Vec<Expr> {
                let own = |e: &&Expr| {
                    !e.has_query()
                        && scope.is_repeatable(e)
                        && e.columns().into_iter().all(|c| c.source == source)
                };
                let mut found: Vec<Expr> = select.filter.iter().filter(own).cloned().collect();
                for condition in &mut found {
                    substitute(condition, &|c| {
                        Some(Expr::Column(Column { source: x.clone(), name: c.name.clone() }))
                    });
                }
                found
            };
            let (on_a, on_b) = (on(a, &x), on(b, &y));
            let key = scope
                .keys(&x)
                .into_iter()
                .filter(|key| scope.keys(&y).iter().any(|k| k.by == key.by))
                .find_map(|key| {
                    let mut proofs = Proofs::from([key.by.clone()]);
                    for name in &key.columns {
                        let column = |source: &str| Column { source: source.to_owned(), name: name.clone() };
                        let listed =
                            a.outputs.iter().zip(&b.outputs).zip(families).any(|((o, p), family)| {
                                o.expr == Expr::Column(column(&x))
                                    && p.expr == Expr::Column(column(&y))
                                    && family.is_some()
                            });
                        if !listed {
                            return None;
                        }
                        proofs.extend(scope.stored_not_null(&column(&x)).ok()?);
                    }
                    Some(proofs)
                });
            let Some(mut proofs) = key else { continue };
            if contradict(scope, &on_a, &on_b) {
                proofs.insert("conditions that contradict each other".to_owned());
                return Some(Apart::Proved(proofs));
            }
            let equal = |conditions: &[Expr]| -> Vec<(Expr, u32)> {
                let of = |e: &Expr| match e {
                    Expr::Operator { name, left: Some(left), .. } if name == "=" => {
                        let only = Select { filter: vec![e.clone()], ..Select::default() };
                        Some(((**left).clone(), pinned(&only, left)?))
                    }
                    _ => None,
                };
                conditions.iter().filter_map(of).collect()
            };
            for (left, m) in equal(&on_a) {
                if let Some((_, n)) = equal(&on_b).into_iter().find(|(l, n)| *l == left && *n != m) {
                    return Some(Apart::Parameters(m, n));
                }
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::super::check;

    #[test]
    fn disjoint_branches() {
        check(
            "union-to-union-all",
            "select id, customer_id from orders where customer_id = 1 union select id, customer_id from orders where customer_id = 2 order by id",
            expect![[r#"
                SELECT id, customer_id
                FROM orders
                WHERE customer_id = 1
                UNION ALL
                SELECT id, customer_id
                FROM orders orders_1
                WHERE customer_id = 2
                ORDER BY id
                + no branch gives a row twice: NOT NULL of orders.id, unique index orders_pkey
                + branches have no row in common: conditions that contradict each other
            "#]],
        );
        check(
            "union-to-union-all",
            "select id, 'order' as kind from orders union select id, 'item' from items",
            expect![[r#"
                SELECT id, 'order' AS kind
                FROM orders
                UNION ALL
                SELECT id, 'item'
                FROM items
                + no branch gives a row twice: NOT NULL of items.id, NOT NULL of orders.id, unique index items_pkey, unique index orders_pkey
                + branches have no row in common: conditions that contradict each other
            "#]],
        );
        // A row is known by its key, whatever else is listed.
        check(
            "union-to-union-all",
            "select id, note from orders where customer_id = 1 union select id, note from orders where customer_id = 2 \
             union select id, note from orders where customer_id = 3",
            expect![[r#"
                (
                    SELECT id, note
                    FROM orders
                    WHERE customer_id = 1
                    UNION ALL
                    SELECT id, note
                    FROM orders orders_1
                    WHERE customer_id = 2
                )
                UNION ALL
                SELECT id, note
                FROM orders orders_2
                WHERE customer_id = 3
                + no branch gives a row twice: NOT NULL of orders.id, unique index orders_pkey
                + branches have no row in common: NOT NULL of orders.id, conditions that contradict each other, unique index orders_pkey
                (
                    SELECT id, note
                    FROM orders
                    WHERE customer_id = 1
                    UNION ALL
                    SELECT id, note
                    FROM orders orders_1
                    WHERE customer_id = 2
                )
                UNION
                SELECT id, note
                FROM orders orders_2
                WHERE customer_id = 3
                + no branch gives a row twice: NOT NULL of orders.id, unique index orders_pkey
                + branches have no row in common: NOT NULL of orders.id, conditions that contradict each other, unique index orders_pkey
            "#]],
        );
        // What pg_stat_statements makes of constants, the application knows.
        check(
            "union-to-union-all",
            "select id from orders where customer_id = $1 union select id from orders where customer_id = $2",
            expect![[r#"
                SELECT id
                FROM orders
                WHERE customer_id = $1
                UNION ALL
                SELECT id
                FROM orders orders_1
                WHERE customer_id = $2
                + no branch gives a row twice: NOT NULL of orders.id, unique index orders_pkey
                $ $1 and $2 are never the same value
                ! Where $1 and $2 can be the same value, UNION has to stay: rows would come twice.
            "#]],
        );
        check(
            "union-to-union-all",
            "select id, $1 as kind from orders union select id, $2 from items",
            expect![[r#"
                SELECT id, $1 AS kind
                FROM orders
                UNION ALL
                SELECT id, $2
                FROM items
                + no branch gives a row twice: NOT NULL of items.id, NOT NULL of orders.id, unique index items_pkey, unique index orders_pkey
                $ $1 and $2 are never the same value
                ! Where $1 and $2 can be the same value, UNION has to stay: rows would come twice.
            "#]],
        );
        for sql in [
            "select id from orders where customer_id = 1 union select id from orders where note = 'x'",
            "select id from orders where customer_id = $1 union select id from orders where customer_id = $1",
            "select customer_id from orders where customer_id = 1 union select id from orders where customer_id = 2",
            "select o.id from orders o where customer_id = 1 union select o.id from customers c left join orders o on o.customer_id = c.id where c.id = 2",
            "select note, customer_id from orders where customer_id = 1 union select note, customer_id from orders where customer_id = 2",
            "select id, code from codes, orders where code = 'a' union select id, code from codes, orders where code = 'a '",
        ] {
            check("union-to-union-all", sql, expect![[r#""#]]);
        }
    }
}
