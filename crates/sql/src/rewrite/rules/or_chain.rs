//! `x = 1 OR x = 2 OR …` → `x IN (1, 2, …)`.
//!
//! PostgreSQL before 18 plans a chain of `OR` arm by arm, a list as one look-up or one hashed comparison. Source:
//! PostgreSQL 18 release notes ("Convert OR clauses to arrays"), and 14 for hashed lists.

use super::super::facts::Proofs;
use super::super::level::Level;
use super::super::normal_form::is_list_of;
use super::super::reading::{any_of, split_or};
use super::super::tree::{Constant, Expr};
use super::super::{Condition, Found, Rule};

pub(super) const RULE: Rule = Rule {
    id: "or-chain",
    title: "OR over one column becomes a list",
    sound_if: "all arms compare the same expression with values of one type, which the list keeps",
    find,
};

fn find(level: &Level<'_, '_>) -> Vec<Found> {
    let Some(select) = level.select() else { return Vec::new() };
    let mut changed = select.clone();
    let mut any = false;
    let mut rewrite = |e: &mut Expr| {
        if let Expr::Or(_) = e {
            let arms = split_or(e.clone());
            let before = arms.len();
            let merged = merge(level, arms);
            if merged.len() < before {
                *e = any_of(merged);
                any = true;
            }
        }
    };
    changed.filter.iter_mut().for_each(|e| e.transform(&mut rewrite));
    changed.having.iter_mut().for_each(|e| e.transform(&mut rewrite));
    if !any {
        return Vec::new();
    }
    let proofs = Proofs::from(["what IN means".to_owned()]);
    vec![Found::new(level.with(changed), vec![Condition::new("x = a OR x = b is x IN (a, b)", Ok(proofs))])]
}

/// The compared expression and its values.
fn compared(arm: &Expr) -> Option<(&Expr, Vec<&Expr>)> {
    match arm {
        Expr::Operator { name, left: Some(left), right } if name == "=" => {
            match (is_value(left), is_value(right)) {
                (false, true) => Some((left, vec![right])),
                (true, false) => Some((right, vec![left])),
                _ => None,
            }
        }
        Expr::In { value, list, negated: false } => {
            list.iter().all(is_value).then(|| (&**value, list.iter().collect()))
        }
        _ => None,
    }
}

fn is_value(expr: &Expr) -> bool {
    match expr {
        Expr::Constant(Constant::Text(_) | Constant::Integer(_) | Constant::Number(_))
        | Expr::Parameter(_) => true,
        Expr::Cast { inner, .. } => is_value(inner),
        _ => false,
    }
}

fn merge(level: &Level<'_, '_>, arms: Vec<Expr>) -> Vec<Expr> {
    let mut merged: Vec<Expr> = Vec::new();
    for arm in arms {
        let joined = compared(&arm).and_then(|(value, list)| {
            if !level.scope.is_repeatable(value) {
                return None;
            }
            let at = merged.iter().position(|known| {
                compared(known).is_some_and(|(known, others)| {
                    let all: Vec<Expr> = others.iter().chain(&list).map(|e| (*e).clone()).collect();
                    known == value && is_list_of(level.scope, value, &all)
                })
            })?;
            let (known, mut all) = compared(&merged[at])?;
            for new in list {
                if !all.contains(&new) {
                    all.push(new);
                }
            }
            let list = all.into_iter().cloned().collect();
            Some((at, Expr::In { value: Box::new(known.clone()), list, negated: false }))
        });
        match joined {
            Some((at, list)) => merged[at] = list,
            None => merged.push(arm),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::super::check;

    #[test]
    fn chains_become_lists() {
        check(
            "or-chain",
            "select * from orders where (customer_id = 1 or customer_id = 2 or 3 = customer_id or customer_id in (3, 4)) and note = 'x'",
            expect![[r#"
                SELECT *
                FROM orders
                WHERE
                    customer_id IN (1, 2, 3, 4)
                    AND note = 'x'
                + x = a OR x = b is x IN (a, b): what IN means
            "#]],
        );
        check(
            "or-chain",
            "select id from orders where note = $1 or note = $2 or total = 5",
            expect![[r#"
                SELECT id
                FROM orders
                WHERE note IN ($1, $2) OR total = 5
                + x = a OR x = b is x IN (a, b): what IN means
            "#]],
        );
    }

    #[test]
    fn left_alone() {
        for sql in [
            "select id from orders where customer_id = 1 or note = 'x'",
            "select id from orders where total = 1 or total = 2.5",
            "select id from orders where customer_id = 1 or customer_id = id",
        ] {
            check("or-chain", sql, expect![[r#""#]]);
        }
    }
}
