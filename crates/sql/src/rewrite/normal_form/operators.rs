//! Operators with two operands in one way of writing.

use super::super::calendar;
use super::super::facts::Scope;
use super::super::reading::{all_of, binary, equal};
use super::super::rules::time_range::is_utc;
use super::super::rules::{bare_column, native_type};
use super::super::tree::{Constant, Expr};
use super::comparisons::{anchored, beginning, found_first, is_named_like};
use super::conditions::{Simplify, truth};
use super::literals::{later_literal, literal, moved_bound};

/// `n / 10 = 3` of whole numbers as `n BETWEEN 30 AND 39`: the remainder is cut off, towards zero.
fn divided(scope: &Scope<'_>, name: &str, left: &Expr, right: &Expr) -> Option<Expr> {
    let Expr::Operator { name: by, left: Some(value), right: divisor } = left else { return None };
    let (Expr::Constant(Constant::Integer(divisor)), Expr::Constant(Constant::Integer(result))) =
        (&**divisor, right)
    else {
        return None;
    };
    let whole = matches!(scope.type_of(value).as_deref(), Some("int2" | "int4" | "int8"));
    if by != "/" || name != "=" || !whole || *divisor < 1 || !matches!(**value, Expr::Column(_)) {
        return None;
    }
    let (first, last) = (divisor.checked_mul(*result)?, divisor - 1);
    let (low, high) = match result.signum() {
        0 => (-last, last),
        1 => (first, first.checked_add(last)?),
        _ => (first.checked_sub(last)?, first),
    };
    let fits = [low, high].into_iter().all(|n| i32::try_from(n).is_ok());
    let bound = |name: &str, n: i64| binary(name, (**value).clone(), Expr::Constant(Constant::Integer(n)));
    fits.then(|| Expr::And(vec![bound(">=", low), bound("<=", high)]))
}

impl Simplify<'_, '_, '_> {
    pub(super) fn operator(&mut self, name: &str, left: &Expr, right: &Expr) -> Option<Expr> {
        if let Some(new) = native_type::native(self.scope, name, left, right)
            .or_else(|| bare_column::bare(self.scope, name, left, right))
        {
            return Some(new);
        }
        if let Some(new) = self.document(name, left, right) {
            return Some(new);
        }
        if let Some(like) = anchored(self.scope, name, left, right) {
            return Some(like);
        }
        if !matches!(name, "=" | "<>" | "<" | "<=" | ">" | ">=" | "+" | "-")
            || !self.scope.facts.users.operators.is_empty()
        {
            return None;
        }
        if let (Expr::Row(left), Expr::Row(right), "=") = (left, right, name)
            && left.len() == right.len()
        {
            let parts = left.iter().zip(right).map(|(l, r)| equal(l.clone(), r.clone())).collect();
            return Some(all_of(parts));
        }
        let zone = self.scope.facts.snapshot.setting("TimeZone").unwrap_or_default();
        if let Some(day) = later_literal(name, left, right, calendar::is_fixed(zone)) {
            return Some(day);
        }
        if let (Expr::Constant(Constant::Integer(a)), Expr::Constant(Constant::Integer(b))) = (left, right) {
            let result = match name {
                "+" => a.checked_add(*b),
                "-" => a.checked_sub(*b),
                "=" => return Some(truth(a == b)),
                "<>" => return Some(truth(a != b)),
                "<" => return Some(truth(a < b)),
                "<=" => return Some(truth(a <= b)),
                ">" => return Some(truth(a > b)),
                _ => return Some(truth(a >= b)),
            };
            return result
                .filter(|r| i32::try_from(*r).is_ok())
                .map(|r| Expr::Constant(Constant::Integer(r)));
        }
        if matches!(name, "+" | "-") {
            return None;
        }
        if let (Expr::Constant(Constant::Boolean(truth)), "=" | "<>") = (right, name)
            && self.scope.type_of(left).as_deref() == Some("bool")
        {
            let same = *truth == (name == "=");
            return Some(if same { left.clone() } else { Expr::Not(Box::new(left.clone())) });
        }
        if let Some(range) = divided(self.scope, name, left, right) {
            return Some(range);
        }
        if name == "="
            && let Some(like) =
                beginning(self.scope, left, right).or_else(|| found_first(self.scope, left, right))
        {
            return Some(like);
        }
        // The constant stands on the right.
        let constant = |e: &Expr| e.columns().is_empty() && !e.has_query();
        if constant(left) && !constant(right) {
            let flipped = crate::predicate::commuted(name).unwrap_or(name);
            return Some(binary(flipped, right.clone(), left.clone()));
        }
        // What clocks of UTC show is the moment written with its distance from it.
        if let (Expr::Call(call), Expr::Constant(Constant::Text(text))) = (left, right)
            && call.name == "timezone"
            && call.schema.is_none()
            && !self.scope.facts.users.is_of_user(call)
            && let [zone, moment] = call.args.as_slice()
            && is_utc(zone)
            && self.scope.type_of(moment).as_deref() == Some("timestamptz")
            && let Some((day, (hour, minute, second))) = calendar::moment(text)
        {
            let text = format!("{day} {hour:02}:{minute:02}:{second:02}+00");
            return Some(binary(name, moment.clone(), Expr::Constant(Constant::Text(text))));
        }
        // A label is one of the enum it is compared with: enums have no operators with others.
        if let Expr::Cast { inner, to } = right
            && self.scope.is_enum(left)
            && matches!(**inner, Expr::Constant(Constant::Text(_)))
            && is_named_like(self.scope, left, to)
        {
            return Some(binary(name, left.clone(), (**inner).clone()));
        }
        let own = self.scope.type_of(left);
        if let Some(own) = own.as_deref() {
            if matches!(own, "int2" | "int4" | "int8")
                && let Expr::Constant(Constant::Integer(n)) = right
            {
                match name {
                    ">" => {
                        return Some(binary(
                            ">=",
                            left.clone(),
                            Expr::Constant(Constant::Integer(n.checked_add(1)?)),
                        ));
                    }
                    "<" => {
                        return Some(binary(
                            "<=",
                            left.clone(),
                            Expr::Constant(Constant::Integer(n.checked_sub(1)?)),
                        ));
                    }
                    _ => {}
                }
            }
            if let Some(new) = literal(own, right) {
                return Some(binary(name, left.clone(), new));
            }
            if let Some((name, bound)) = moved_bound(own, name, right) {
                return Some(binary(name, left.clone(), bound));
            }
        }
        None
    }
}
