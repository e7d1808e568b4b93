//! What arms of an OR say of each other.

use super::super::reading::{all_of, binary, split_and};
use super::super::tree::{Constant, Expr, Truth};
use super::conditions::Simplify;

impl Simplify<'_, '_, '_> {
    /// `p OR (q AND NOT p)` is `p OR q`, where the negation is true whenever `p` is not.
    pub(super) fn without_complements(&mut self, parts: Vec<Expr>) -> Vec<Expr> {
        let mut out = Vec::new();
        for (i, part) in parts.iter().enumerate() {
            let mut conditions = split_and(part.clone());
            for (j, other) in parts.iter().enumerate() {
                if i == j || matches!(other, Expr::And(_)) || conditions.len() < 2 {
                    continue;
                }
                let negated = self.negated(other.clone());
                let exact = self.never_null(other);
                conditions.retain(|c| {
                    let not_true = matches!(c, Expr::Is { inner, test: Truth::NotTrue } if **inner == *other);
                    // Distinct from a constant is what is not equal to it, NULL included.
                    let distinct = match (c, other) {
                        (
                            Expr::Distinct { left, right, negated: false },
                            Expr::Operator { name, left: Some(l), right: r },
                        ) => {
                            let constant = |e: &Expr| matches!(e, Expr::Constant(c) if *c != Constant::Null);
                            name == "=" && left == l && right == r && (constant(r) || constant(l))
                        }
                        _ => false,
                    };
                    !(not_true || distinct || (exact && *c == negated))
                });
            }
            out.push(all_of(conditions));
        }
        out
    }

    /// Whether one of the arms is true whatever the others are.
    pub(super) fn is_certain(&mut self, parts: &[Expr]) -> bool {
        parts.iter().any(|part| match part {
            Expr::IsNull { inner, negated: false } => {
                let missing = Expr::IsNull { inner: inner.clone(), negated: true };
                self.scope.is_scalar(inner) && parts.contains(&missing)
            }
            other => {
                parts.len() > 1 && self.never_null(other) && parts.contains(&self.negated(other.clone()))
            }
        })
    }

    /// What is not equal to a constant, or NULL, is distinct from it.
    pub(super) fn distinct_from(&mut self, mut parts: Vec<Expr>) -> Vec<Expr> {
        let found = parts.iter().enumerate().find_map(|(at, part)| {
            let Expr::Operator { name, left: Some(left), right } = part else { return None };
            let constant = matches!(&**right, Expr::Constant(c) if *c != Constant::Null);
            if name != "<>" || !constant || !self.scope.is_scalar(left) || !self.is_ordered(left) {
                return None;
            }
            let missing = Expr::IsNull { inner: left.clone(), negated: false };
            let other = parts.iter().position(|p| *p == missing)?;
            Some((at, other, Expr::Distinct { left: left.clone(), right: right.clone(), negated: false }))
        });
        if let Some((at, other, distinct)) = found {
            parts[at] = distinct;
            parts.remove(other);
        }
        // Equal, or both NULL.
        let found = parts.iter().enumerate().find_map(|(at, part)| {
            let Expr::Operator { name, left: Some(left), right } = part else { return None };
            let comparable = self.is_ordered(left) && self.scope.type_of(left) == self.scope.type_of(right);
            if !comparable || !self.scope.is_scalar(left) || !self.scope.is_scalar(right) {
                return None;
            }
            let null = |e: &Expr, negated| Expr::IsNull { inner: Box::new(e.clone()), negated };
            let both = |one: Expr, other: Expr| {
                parts.iter().position(|p| {
                    matches!(p, Expr::And(list) if list.len() == 2 && list.contains(&one) && list.contains(&other))
                })
            };
            let distinct = |negated| Expr::Distinct { left: left.clone(), right: right.clone(), negated };
            match name.as_str() {
                "=" => {
                    let other = both(null(left, false), null(right, false))?;
                    Some((vec![at, other], distinct(true)))
                }
                "<>" => {
                    let apart = binary("<>", null(left, false), null(right, false));
                    let turned = binary("<>", null(right, false), null(left, false));
                    if let Some(other) = parts.iter().position(|p| *p == apart || *p == turned) {
                        return Some((vec![at, other], distinct(false)));
                    }
                    let one = both(null(left, false), null(right, true))?;
                    let two = both(null(left, true), null(right, false))?;
                    Some((vec![at, one, two], distinct(false)))
                }
                _ => None,
            }
        });
        if let Some((places, distinct)) = found {
            let mut at = 0;
            parts.retain(|_| {
                at += 1;
                !places.contains(&(at - 1))
            });
            parts.push(distinct);
        }
        // What does not look like a text, or is NULL, does not truly look like it.
        let found = parts.iter().enumerate().find_map(|(at, part)| {
            let Expr::Like { kind, value, pattern, negated: true } = part else { return None };
            let missing = Expr::IsNull { inner: value.clone(), negated: false };
            let other = parts.iter().position(|p| *p == missing)?;
            let plain = matches!(&**value, Expr::Column(_))
                && matches!(&**pattern, Expr::Constant(Constant::Text(_)))
                && self.scope.is_scalar(value);
            let (kind, value, pattern) = (*kind, value.clone(), pattern.clone());
            let like = Expr::Like { kind, value, pattern, negated: false };
            plain.then(|| (at, other, Expr::Is { inner: Box::new(like), test: Truth::NotTrue }))
        });
        if let Some((at, other, not_true)) = found {
            parts[at] = not_true;
            parts.remove(other);
        }
        // What compares the other way, or is NULL on a side that may be, is not truly compared this way.
        let found = parts.iter().enumerate().find_map(|(at, part)| {
            let Expr::Operator { name, left: Some(left), right } = part else { return None };
            let inverse = match name.as_str() {
                "<" => ">=",
                "<=" => ">",
                ">" => "<=",
                ">=" => "<",
                _ => return None,
            };
            if !self.is_ordered(left) || !matches!(&**left, Expr::Column(_)) {
                return None;
            }
            let mut places = Vec::new();
            for side in [left, right] {
                match &**side {
                    Expr::Column(_) if self.never_null(side) => {}
                    Expr::Column(_) if self.scope.is_scalar(side) => {
                        let missing = Expr::IsNull { inner: side.clone(), negated: false };
                        places.push(parts.iter().position(|p| *p == missing)?);
                    }
                    Expr::Constant(c) if *c != Constant::Null => {}
                    _ => return None,
                }
            }
            let new = binary(inverse, (**left).clone(), (**right).clone());
            (!places.is_empty())
                .then(|| (at, places, Expr::Is { inner: Box::new(new), test: Truth::NotTrue }))
        });
        if let Some((at, places, not_true)) = found {
            parts[at] = not_true;
            let mut place = 0;
            parts.retain(|_| {
                place += 1;
                !places.contains(&(place - 1))
            });
        }
        // What is false or NULL is not true.
        let found = parts.iter().enumerate().find_map(|(at, part)| {
            let Expr::Not(inner) = part else { return None };
            let missing = Expr::IsNull { inner: inner.clone(), negated: false };
            let other = parts.iter().position(|p| *p == missing)?;
            let column =
                matches!(**inner, Expr::Column(_)) && self.scope.type_of(inner).as_deref() == Some("bool");
            column.then(|| (at, other, Expr::Is { inner: inner.clone(), test: Truth::NotTrue }))
        });
        if let Some((at, other, not_true)) = found {
            parts[at] = not_true;
            parts.remove(other);
        }
        parts
    }
}
