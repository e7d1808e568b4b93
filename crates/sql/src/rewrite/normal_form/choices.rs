//! CASE in one way of writing, and what aggregates say of whether there is a row.

use super::super::reading::{all_of, any_of, binary, split_and};
use super::super::tree::{Call, Constant, Expr, Truth};
use super::conditions::Simplify;

const NULL: Expr = Expr::Constant(Constant::Null);

/// Whether an expression is computed without an error whatever the rows are, so that no choice guards it.
fn cannot_fail(expr: &Expr) -> bool {
    let mut plain = true;
    expr.walk(&mut |e| {
        plain &= match e {
            Expr::Operator { name, left: Some(_), .. } => {
                matches!(name.as_str(), "=" | "<>" | "<" | "<=" | ">" | ">=")
            }
            Expr::Column(_)
            | Expr::Constant(_)
            | Expr::And(_)
            | Expr::Or(_)
            | Expr::Not(_)
            | Expr::In { .. }
            | Expr::Between { .. }
            | Expr::Distinct { .. }
            | Expr::IsNull { .. }
            | Expr::Is { .. } => true,
            _ => false,
        };
    });
    plain
}

/// `CASE WHEN a THEN p ELSE q END` as `a AND p OR a IS NOT TRUE AND q`, of which only "true" counts.
pub(super) fn arms(branches: &[(Expr, Expr)], default: Option<&Expr>) -> Option<Expr> {
    let taken = branches.iter().flat_map(|(when, then)| [when, then]).chain(default);
    if branches.len() > 3 || !taken.into_iter().all(cannot_fail) {
        return None;
    }
    let mut earlier: Vec<Expr> = Vec::new();
    let mut arms = Vec::new();
    for (when, then) in branches {
        let mut parts = earlier.clone();
        parts.extend([when.clone(), then.clone()]);
        arms.push(all_of(parts));
        earlier.push(Expr::Is { inner: Box::new(when.clone()), test: Truth::NotTrue });
    }
    if let Some(default) = default {
        earlier.push(default.clone());
        arms.push(all_of(earlier));
    }
    Some(any_of(arms))
}

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

    /// Whether it is `bool_or(p)` or `bool_and(p)` of PostgreSQL's own.
    pub(super) fn is_every_or_some(&self, call: &Call) -> bool {
        matches!(call.name.as_str(), "bool_or" | "bool_and")
            && call.schema.is_none()
            && !call.star
            && call.args.len() == 1
            && !self.scope.facts.users.is_of_user(call)
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

    /// `bool_and(p)` says that there is no row of which `p` is false, and one of which it is true.
    pub(super) fn every_row(&mut self, expr: &Expr) -> Option<Expr> {
        let one = Expr::Constant(Constant::Integer(1));
        let (call, asked, nulls_pass) = match expr {
            Expr::Call(call) if call.name == "bool_and" => (call, call.args.first()?.clone(), true),
            // min(CASE WHEN p THEN 1 ELSE 0 END) = 1, where NULL is a 0.
            Expr::Operator { name, left: Some(left), right } if name == "=" && **right == one => {
                let Expr::Call(call) = &**left else { return None };
                let [Expr::Case { subject: None, branches, default: Some(default) }] = call.args.as_slice()
                else {
                    return None;
                };
                let [(when, then)] = branches.as_slice() else { return None };
                let zero = Expr::Constant(Constant::Integer(0));
                if call.name != "min" || *then != one || **default != zero {
                    return None;
                }
                (call, when.clone(), false)
            }
            // count(*) = count(*) FILTER (WHERE p)
            Expr::Operator { name, left: Some(left), right } if name == "=" => {
                let (Expr::Call(a), Expr::Call(b)) = (&**left, &**right) else { return None };
                let (all, some) = if a.filter.is_none() { (a, b) } else { (b, a) };
                let counts = |c: &Call| {
                    c.name == "count"
                        && c.star
                        && c.schema.is_none()
                        && c.over.is_none()
                        && !self.scope.facts.users.is_of_user(c)
                };
                let filter = some.filter.as_deref()?;
                let plain = counts(all)
                    && counts(some)
                    && all.filter.is_none()
                    && !filter.has_query()
                    && self.is_own(filter)
                    && self.scope.facts.users.operators.is_empty();
                if !plain {
                    return None;
                }
                let mut rest = Expr::Is { inner: Box::new(filter.clone()), test: Truth::NotTrue };
                self.condition(&mut rest);
                let count = Call { filter: Some(Box::new(rest)), ..(**all).clone() };
                return Some(binary("=", Expr::Call(Box::new(count)), Expr::Constant(Constant::Integer(0))));
            }
            _ => return None,
        };
        let plain = call.schema.is_none()
            && call.over.is_none()
            && !call.star
            && call.args.len() == 1
            && call.filter.is_none()
            && !asked.has_query()
            && !self.scope.facts.users.is_of_user(call)
            && self.scope.facts.users.operators.is_empty();
        if !plain || !self.is_own(&asked) {
            return None;
        }
        let count = |filter: Option<Expr>, name: &str, number: i64| {
            let call = Call { star: true, filter: filter.map(Box::new), ..Call::new("count", Vec::new()) };
            binary(name, Expr::Call(Box::new(call)), Expr::Constant(Constant::Integer(number)))
        };
        let mut against = if nulls_pass {
            Expr::Not(Box::new(asked.clone()))
        } else {
            Expr::Is { inner: Box::new(asked.clone()), test: Truth::NotTrue }
        };
        self.condition(&mut against);
        let none = count(Some(against), "=", 0);
        // A group has a row; where all of it is NULL nothing is true of it.
        if self.nonempty && (!nulls_pass || self.never_null(&asked)) {
            return Some(none);
        }
        let mut asked = asked;
        self.condition(&mut asked);
        let some = count(nulls_pass.then_some(asked), ">=", 1);
        Some(all_of(vec![none, some]))
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
