//! Aggregates and functions in one way of writing.

use std::collections::BTreeSet;

use super::super::dependencies::determines;
use super::super::reading::{all_of, split_and};
use super::super::tree::{Call, Constant, Expr};
use super::conditions::{Simplify, truth};

impl Simplify<'_, '_, '_> {
    pub(super) fn call(&mut self, call: &Call) -> Option<Expr> {
        if call.schema.is_some() || call.over.is_some() || self.scope.facts.users.is_of_user(call) {
            return None;
        }
        let again = |call: Call| Some(Expr::Call(Box::new(call)));
        match (call.name.as_str(), call.args.as_slice()) {
            ("lower" | "upper", [Expr::Constant(Constant::Text(text))]) => {
                // Which letter goes with i and I depends on the language.
                let known = text.is_ascii() && !text.contains(['i', 'I']);
                let new = if call.name == "lower" { text.to_lowercase() } else { text.to_uppercase() };
                known.then(|| Expr::Cast {
                    inner: Box::new(Expr::Constant(Constant::Text(new))),
                    to: super::super::tree::TypeName::plain("text"),
                })
            }
            ("transaction_timestamp", []) => again(Call::new("now", Vec::new())),
            ("date", [inner]) if !call.syntax => Some(Expr::Cast {
                inner: Box::new(inner.clone()),
                to: super::super::tree::TypeName::plain("date"),
            }),
            ("min" | "max" | "bool_and" | "bool_or" | "every", _) if call.distinct => {
                again(Call { distinct: false, ..call.clone() })
            }
            ("every", _) => again(Call { name: "bool_and".into(), ..call.clone() }),
            ("count", [arg]) if !call.star && !call.distinct => {
                let rows =
                    |filter: Option<Box<Expr>>| Call { star: true, args: Vec::new(), filter, ..call.clone() };
                if self.never_null(arg) {
                    return again(rows(call.filter.clone()));
                }
                // Only values that are not NULL count.
                let condition = match arg {
                    Expr::Case { subject: None, branches, default: None } => match branches.as_slice() {
                        [(when, then)] if self.never_null(then) => when.clone(),
                        _ => return None,
                    },
                    other if self.scope.is_scalar(other) => {
                        Expr::IsNull { inner: Box::new(other.clone()), negated: true }
                    }
                    _ => return None,
                };
                let mut parts: Vec<Expr> =
                    call.filter.as_deref().cloned().into_iter().flat_map(split_and).collect();
                parts.push(condition);
                let mut filter = all_of(parts);
                self.condition(&mut filter);
                again(rows(Some(Box::new(filter))))
            }
            ("count", [Expr::Column(column)]) if call.distinct => {
                // A key that comes once is counted as the row it is.
                let given = BTreeSet::from([column.clone()]);
                let proofs = determines(self.scope, &self.select.from, &self.select.filter, &given).ok()?;
                self.used.extend(proofs);
                again(Call { distinct: false, ..call.clone() })
            }
            // These pass over NULL, so rows for which no branch holds are none.
            ("sum" | "avg" | "min" | "max", [Expr::Case { subject: None, branches, default }])
                if default.as_deref().is_none_or(|d| *d == Expr::Constant(Constant::Null))
                    && branches.len() == 1 =>
            {
                let (when, then) = branches.first()?;
                let mut parts: Vec<Expr> =
                    call.filter.as_deref().cloned().into_iter().flat_map(split_and).collect();
                parts.push(when.clone());
                let mut filter = all_of(parts);
                self.condition(&mut filter);
                again(Call { args: vec![then.clone()], filter: Some(Box::new(filter)), ..call.clone() })
            }
            ("sum", [Expr::Case { subject: None, branches, default: Some(default) }])
                if !call.distinct && self.nonempty && call.filter.is_none() =>
            {
                match (branches.as_slice(), &**default) {
                    (
                        [(when, Expr::Constant(Constant::Integer(1)))],
                        Expr::Constant(Constant::Integer(0)),
                    ) => {
                        let mut filter = when.clone();
                        self.condition(&mut filter);
                        again(Call {
                            star: true,
                            args: Vec::new(),
                            name: "count".into(),
                            filter: Some(Box::new(filter)),
                            ..call.clone()
                        })
                    }
                    // A zero adds nothing, and of no row that counts it is the sum. Beside `-0` it would show.
                    ([(when, then)], zero @ Expr::Constant(Constant::Integer(0)))
                        if matches!(
                            self.scope.type_of(then).as_deref(),
                            Some("int2" | "int4" | "int8" | "numeric")
                        ) && matches!(then, Expr::Column(_))
                            && self.never_null(then) =>
                    {
                        let mut filter = when.clone();
                        self.condition(&mut filter);
                        let args = vec![then.clone()];
                        let sum = Call { args, filter: Some(Box::new(filter)), ..call.clone() };
                        Some(Expr::Coalesce(vec![Expr::Call(Box::new(sum)), zero.clone()]))
                    }
                    _ => None,
                }
            }
            _ => {
                if let Some(filter) = &call.filter {
                    let mut new = (**filter).clone();
                    self.condition(&mut new);
                    if new == truth(true) {
                        return again(Call { filter: None, ..call.clone() });
                    }
                    if new != **filter {
                        return again(Call { filter: Some(Box::new(new)), ..call.clone() });
                    }
                }
                None
            }
        }
    }
}
