//! What arms of an OR say of each other.

use super::super::reading::{all_of, split_and};
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
    pub(super) fn distinct_from(&self, mut parts: Vec<Expr>) -> Vec<Expr> {
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
