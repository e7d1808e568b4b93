//! CASE in one way of writing, and what aggregates say of whether there is a row.

use super::super::reading::{all_of, binary, split_and};
use super::super::tree::{Call, Constant, Expr, Truth};
use super::conditions::Simplify;

const NULL: Expr = Expr::Constant(Constant::Null);

impl Simplify<'_, '_, '_> {
    /// A choice that is written as another expression, or with its branches in another order.
    pub(super) fn choice(&mut self, expr: &Expr) -> Option<Expr> {
        let Expr::Case { subject: None, branches, default } = expr else { return None };
        // A branch is taken where its condition is true; false and NULL are one.
        let mut simpler = branches.clone();
        simpler.iter_mut().for_each(|(when, _)| self.condition(when));
        if simpler != *branches {
            return Some(Expr::Case { subject: None, branches: simpler, default: default.clone() });
        }
        let [(when, then)] = branches.as_slice() else { return None };
        let other = default.as_deref().unwrap_or(&NULL);
        match when {
            Expr::IsNull { inner, negated } => {
                let (shown, instead) = if *negated { (then, other) } else { (other, then) };
                // The type is that of the last branch first where the others have several.
                let plain = **inner == *shown
                    && *instead != NULL
                    && (!*negated || self.alike(shown, instead))
                    && self.scope.is_scalar(inner)
                    && self.scope.is_repeatable(inner)
                    && !inner.has_query();
                plain.then(|| Expr::Coalesce(vec![shown.clone(), instead.clone()]))
            }
            Expr::Operator { name, left: Some(left), right } if name == "=" && *then == NULL => {
                // Other values would be brought to a common type first.
                let number =
                    matches!(self.scope.type_of(left).as_deref(), Some("int2" | "int4" | "int8" | "numeric"))
                        && matches!(**right, Expr::Constant(Constant::Integer(_)));
                let text = self.scope.type_of(left).as_deref() == Some("text")
                    && matches!(**right, Expr::Constant(Constant::Text(_)));
                let plain = number || text;
                let same = plain && **left == *other && matches!(**left, Expr::Column(_));
                same.then(|| Expr::NullIf(left.clone(), right.clone()))
            }
            Expr::Not(inner) if *then != NULL && self.alike(then, other) && self.never_null(inner) => {
                Some(Expr::Case {
                    subject: None,
                    branches: vec![((**inner).clone(), other.clone())],
                    default: Some(Box::new(then.clone())),
                })
            }
            _ => None,
        }
    }

    /// Whether two values are of one type in whichever order they are written.
    fn alike(&self, one: &Expr, other: &Expr) -> bool {
        let untyped = |e: &Expr| matches!(e, Expr::Constant(Constant::Text(_) | Constant::Null));
        let kind = self.scope.type_of(one);
        untyped(one) || untyped(other) || kind.is_some() && kind == self.scope.type_of(other)
    }

    /// Whether a condition is one on rows of the level itself.
    fn is_own(&self, condition: &Expr) -> bool {
        let own = self.select.aliases();
        condition.sources().iter().any(|source| own.contains(source))
    }

    /// `bool_or(p)` asks whether there is a row of which `p` is true, as a count of such rows does.
    pub(super) fn some_row(&mut self, expr: &Expr) -> Option<Expr> {
        let (call, asked) = match expr {
            Expr::Call(call) if call.name == "bool_or" => (call, call.args.first()?.clone()),
            // max(CASE WHEN p THEN 1 ELSE 0 END) = 1
            Expr::Operator { name, left: Some(left), right } if matches!(name.as_str(), "=" | ">=") => {
                let Expr::Call(call) = &**left else { return None };
                let [Expr::Case { subject: None, branches, default: Some(default) }] = call.args.as_slice()
                else {
                    return None;
                };
                let [(when, then)] = branches.as_slice() else { return None };
                let whole = |e: &Expr, n: i64| *e == Expr::Constant(Constant::Integer(n));
                if call.name != "max" || !whole(then, 1) || !whole(default, 0) || !whole(right, 1) {
                    return None;
                }
                (call, when.clone())
            }
            _ => return None,
        };
        let plain = call.schema.is_none()
            && call.over.is_none()
            && !call.star
            && call.args.len() == 1
            && !asked.has_query()
            && !self.scope.facts.users.is_of_user(call)
            && self.scope.facts.users.operators.is_empty();
        // An aggregate without a column of its own level would be one of another.
        if !plain || !self.is_own(&asked) {
            return None;
        }
        let filter = call.filter.as_deref().cloned().into_iter().flat_map(split_and).chain(split_and(asked));
        let mut filter = all_of(filter.collect());
        self.condition(&mut filter);
        let count = Call { star: true, filter: Some(Box::new(filter)), ..Call::new("count", Vec::new()) };
        Some(binary(">=", Expr::Call(Box::new(count)), Expr::Constant(Constant::Integer(1))))
    }

    /// `count(*) - count(x)` counts the rows in which `x` is NULL.
    pub(super) fn rest_of_count(&mut self, expr: &Expr) -> Option<Expr> {
        let Expr::Operator { name, left: Some(left), right } = expr else { return None };
        let (Expr::Call(all), Expr::Call(some)) = (&**left, &**right) else { return None };
        let counts = |call: &Call| {
            call.name == "count"
                && call.schema.is_none()
                && call.star
                && call.over.is_none()
                && !self.scope.facts.users.is_of_user(call)
        };
        let filter = some.filter.as_deref()?;
        if name != "-" || !counts(all) || !counts(some) || all.filter.is_some() {
            return None;
        }
        let own = self.scope.facts.users.operators.contains("-");
        if own || filter.has_query() || !self.is_own(filter) {
            return None;
        }
        let mut rest = Expr::Is { inner: Box::new(filter.clone()), test: Truth::NotTrue };
        self.condition(&mut rest);
        Some(Expr::Call(Box::new(Call { filter: Some(Box::new(rest)), ..(**all).clone() })))
    }
}
