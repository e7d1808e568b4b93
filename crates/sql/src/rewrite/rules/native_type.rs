//! `id::text = '42'` and `id = 42.0` → `id = 42`.
//!
//! A cast of the column hides it from its index; so does a numeric constant, for which PostgreSQL casts an integer
//! column. The literal must be what the cast would print: `'042'` is the text of no number. Source: PostgreSQL manual,
//! "Value Expressions: Type Casts" and "Operator Type Resolution".

use super::super::facts::{Proofs, Scope};
use super::super::level::Level;
use super::super::reading::binary;
use super::super::tree::{Constant, Expr};
use super::super::{Condition, Found, Rule};

pub(super) const RULE: Rule = Rule {
    id: "native-type",
    title: "a column compared as another type is compared as what it is",
    sound_if: "the literal is what a value of the column's type is printed as",
    find,
};

fn find(level: &Level<'_, '_>) -> Vec<Found> {
    replaced(level, native, "the literal round-trips through the column's type")
}

/// A rule that changes comparisons one by one.
pub(super) fn replaced(
    level: &Level<'_, '_>,
    change: impl Fn(&Scope<'_>, &str, &Expr, &Expr) -> Option<Expr>,
    claim: &str,
) -> Vec<Found> {
    let Some(select) = level.select() else { return Vec::new() };
    let mut found = Vec::new();
    for (i, condition) in select.filter.iter().enumerate() {
        let Expr::Operator { name, left: Some(left), right } = condition else { continue };
        let new = change(level.scope, name, left, right)
            .or_else(|| change(level.scope, crate::predicate::commuted(name)?, right, left));
        let Some(new) = new else { continue };
        let mut changed = select.clone();
        changed.filter[i] = new;
        let proofs = Proofs::from(["the types of both sides".to_owned()]);
        found.push(Found::new(level.with(changed), vec![Condition::new(claim, Ok(proofs))]));
    }
    found
}

/// The comparison without the detour over another type.
pub(crate) fn native(scope: &Scope<'_>, operator: &str, left: &Expr, right: &Expr) -> Option<Expr> {
    if !scope.facts.users.operators.is_empty() {
        return None;
    }
    match (left, right) {
        (Expr::Cast { inner, to }, Expr::Constant(Constant::Text(text)))
            if matches!(to.simple(), Some("text" | "varchar")) && to.modifiers.is_empty() =>
        {
            let Expr::Column(_) = &**inner else { return None };
            if !matches!(operator, "=" | "<>") {
                return None;
            }
            let value = match scope.type_of(inner)?.as_str() {
                kind @ ("int2" | "int4" | "int8") => {
                    let number: i64 = text.parse().ok()?;
                    let fits = match kind {
                        "int2" => i16::try_from(number).is_ok(),
                        "int4" => i32::try_from(number).is_ok(),
                        _ => true,
                    };
                    if number.to_string() != *text || !fits {
                        return None;
                    }
                    match i32::try_from(number) {
                        Ok(_) => Constant::Integer(number),
                        Err(_) => Constant::Number(text.clone()),
                    }
                }
                "uuid" if is_uuid(text) => Constant::Text(text.clone()),
                _ => return None,
            };
            Some(binary(operator, (**inner).clone(), Expr::Constant(value)))
        }
        (Expr::Column(_), Expr::Constant(Constant::Number(text))) => {
            if !matches!(scope.type_of(left)?.as_str(), "int2" | "int4" | "int8") {
                return None;
            }
            let (whole, fraction) = text.split_once('.')?;
            let number: i64 = whole.parse().ok()?;
            i32::try_from(number).ok()?;
            if !fraction.bytes().all(|b| b == b'0') {
                return None;
            }
            Some(binary(operator, left.clone(), Expr::Constant(Constant::Integer(number))))
        }
        _ => None,
    }
}

/// In the form in which PostgreSQL prints it.
fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.char_indices().all(|(i, c)| match i {
            8 | 13 | 18 | 23 => c == '-',
            _ => c.is_ascii_digit() || ('a'..='f').contains(&c),
        })
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::super::check;

    #[test]
    fn detours() {
        check(
            "native-type",
            "select id from orders where id::text = '42'",
            expect![[r#"
            SELECT id
            FROM orders
            WHERE id = 42
            + the literal round-trips through the column's type: the types of both sides
        "#]],
        );
        check(
            "native-type",
            "select id from orders where 42.00 = customer_id",
            expect![[r#"
            SELECT id
            FROM orders
            WHERE customer_id = 42
            + the literal round-trips through the column's type: the types of both sides
        "#]],
        );
        check(
            "native-type",
            "select code from codes where token::text = '00000000-0000-0000-0000-00000000000a'",
            expect![[r#"
                SELECT code
                FROM codes
                WHERE token = '00000000-0000-0000-0000-00000000000a'
                + the literal round-trips through the column's type: the types of both sides
            "#]],
        );
    }

    #[test]
    fn left_alone() {
        for sql in [
            "select id from orders where id::text = '042'",
            "select id from orders where id::text > '42'",
            "select id from orders where customer_id = 42.5",
            "select id from orders where customer_id::text = '99999999999'",
            "select id from orders where total::text = '42'",
            "select code from codes where token::text = '00000000-0000-0000-0000-00000000000A'",
            "select id from orders where id::varchar(1) = '4'",
        ] {
            check("native-type", sql, expect![[r#""#]]);
        }
    }
}
