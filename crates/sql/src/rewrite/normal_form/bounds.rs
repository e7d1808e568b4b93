//! Functions of a value that are compared with something, as comparisons of the value itself: rounding, the greatest and
//! the least of several, the first that is not NULL, and what arrays hold. Only "true" counts here.
//!
//! Source: PostgreSQL manual, "Mathematical Functions", "Conditional Expressions" and "Array Functions and Operators".

use super::super::facts::Scope;
use super::super::reading::{all_of, any_of, binary};
use super::super::tree::{Call, Constant, Expr};
use super::conditions::{Simplify, is_of_ordered_type};
use super::literals::array_literal;
use crate::predicate::commuted;

/// Numbers beyond it are not written exactly by every type.
const LARGEST: i64 = 1_000_000_000_000;

fn whole(number: i64) -> Expr {
    Expr::Constant(Constant::Integer(number))
}

/// A call by its bare name, with no more than its arguments.
fn plain<'e>(scope: &Scope<'_>, expr: &'e Expr) -> Option<&'e Call> {
    let Expr::Call(call) = expr else { return None };
    let bare = call.schema.is_none() && call.over.is_none() && call.filter.is_none() && !call.star;
    (bare && !scope.facts.users.is_of_user(call)).then_some(call)
}

/// How whole numbers come of others.
#[derive(Clone, Copy)]
enum Rounded {
    Down,
    Up,
    /// Towards zero.
    Off,
    /// To the nearest one, a half away from zero.
    Nearest,
}

/// The condition on `value` that says that it is rounded to `number` or more.
fn at_least(value: &Expr, rounded: Rounded, number: i64) -> Expr {
    let half = |number: i64| Expr::Constant(Constant::Number(format!("{number}.5")));
    match rounded {
        Rounded::Down => binary(">=", value.clone(), whole(number)),
        Rounded::Off if number > 0 => binary(">=", value.clone(), whole(number)),
        Rounded::Up | Rounded::Off => binary(">", value.clone(), whole(number - 1)),
        Rounded::Nearest if number > 0 => binary(">=", value.clone(), half(number - 1)),
        Rounded::Nearest if number == 0 => {
            binary(">", value.clone(), Expr::Constant(Constant::Number("-0.5".into())))
        }
        Rounded::Nearest => binary(">", value.clone(), half(number)),
    }
}

/// The opposite of [`at_least`].
fn below(value: &Expr, rounded: Rounded, number: i64) -> Expr {
    match at_least(value, rounded, number) {
        Expr::Operator { name, left: Some(left), right } => {
            binary(if name == ">=" { "<" } else { "<=" }, *left, *right)
        }
        other => Expr::Not(Box::new(other)),
    }
}

/// `floor(x) = 3` as `x >= 3 AND x < 4`.
fn rounding(scope: &Scope<'_>, name: &str, left: &Expr, right: &Expr) -> Option<Expr> {
    let Expr::Constant(Constant::Integer(number)) = right else { return None };
    let call = plain(scope, left)?;
    let [value @ Expr::Column(_)] = call.args.as_slice() else { return None };
    let exact = match scope.type_of(value)?.as_str() {
        "numeric" => true,
        "float8" => false,
        _ => return None,
    };
    let rounded = match call.name.as_str() {
        "floor" => Rounded::Down,
        "ceil" | "ceiling" => Rounded::Up,
        "trunc" => Rounded::Off,
        // Halves of `double precision` go to the even neighbour.
        "round" if exact => Rounded::Nearest,
        _ => return None,
    };
    if number.abs() > LARGEST {
        return None;
    }
    let (from, next) = (*number, number + 1);
    Some(match name {
        "=" => Expr::And(vec![at_least(value, rounded, from), below(value, rounded, next)]),
        "<>" => Expr::Or(vec![below(value, rounded, from), at_least(value, rounded, next)]),
        ">=" => at_least(value, rounded, from),
        ">" => at_least(value, rounded, next),
        "<" => below(value, rounded, from),
        "<=" => below(value, rounded, next),
        _ => return None,
    })
}

/// Whether a value is compared with others of the type of `expr` by that type's own order, whatever collations are.
fn of_plain_order(scope: &Scope<'_>, expr: &Expr, other: &Expr) -> bool {
    let Some(kind) = scope.type_of(expr) else { return false };
    let fits = match other {
        Expr::Constant(Constant::Integer(_)) => matches!(kind.as_str(), "int2" | "int4" | "int8" | "numeric"),
        Expr::Constant(Constant::Text(_)) | Expr::Parameter(_) => true,
        other => scope.type_of(other).as_deref() == Some(&*kind),
    };
    fits && is_of_ordered_type(scope, expr) && !matches!(kind.as_str(), "text" | "varchar" | "bpchar")
}

/// What a list of alternatives is compared with, where each of them can be compared with it by itself.
fn alternatives<'e>(scope: &Scope<'_>, list: &'e [Expr], other: &Expr) -> Option<&'e [Expr]> {
    let first = scope.type_of(list.first()?)?;
    let alike = |e: &Expr| {
        scope.type_of(e).as_deref() == Some(&*first)
            && matches!(e, Expr::Column(_))
            && of_plain_order(scope, e, other)
    };
    let simple = matches!(other, Expr::Constant(_) | Expr::Parameter(_) | Expr::Column(_));
    (simple && list.iter().all(alike)).then_some(list)
}

impl Simplify<'_, '_, '_> {
    /// A comparison of the value itself that is true of the same rows.
    pub(super) fn bounded(&mut self, expr: &Expr) -> Option<Expr> {
        if !self.scope.facts.users.operators.is_empty() {
            return None;
        }
        match expr {
            Expr::Operator { name, left: Some(left), right } => {
                if let Some(new) = self.compared(name, left, right) {
                    return Some(new);
                }
                let name = commuted(name)?;
                self.compared(name, right, left)
            }
            Expr::IsNull { inner, negated } => {
                let array = first_length(self.scope, inner)?;
                let empty =
                    |name: &str| binary(name, array.clone(), Expr::Constant(Constant::Text("{}".into())));
                Some(if *negated {
                    empty("<>")
                } else {
                    Expr::Or(vec![
                        Expr::IsNull { inner: Box::new(array.clone()), negated: false },
                        empty("="),
                    ])
                })
            }
            _ => None,
        }
    }

    fn compared(&mut self, name: &str, left: &Expr, right: &Expr) -> Option<Expr> {
        let scope = self.scope;
        let each = |list: &[Expr]| list.iter().map(|e| binary(name, e.clone(), right.clone())).collect();
        match left {
            Expr::Call(_) => rounding(scope, name, left, right).or_else(|| filled(scope, name, left, right)),
            // NULL is left out: what is greater than the greatest is greater than all that are there.
            Expr::Greatest(list) if matches!(name, ">" | ">=") => {
                Some(any_of(each(alternatives(scope, list, right)?)))
            }
            Expr::Least(list) if matches!(name, "<" | "<=") => {
                Some(any_of(each(alternatives(scope, list, right)?)))
            }
            Expr::Greatest(list) | Expr::Least(list) => {
                let towards = if matches!(left, Expr::Greatest(_)) { ["<", "<="] } else { [">", ">="] };
                let list = alternatives(scope, list, right).filter(|_| towards.contains(&name))?;
                list.iter().all(|e| self.never_null(e)).then(|| all_of(each(list)))
            }
            Expr::Coalesce(list) if matches!(name, "=" | "<>" | "<" | "<=" | ">" | ">=") => {
                let [first, second] = alternatives(scope, list, right)? else { return None };
                let absent = Expr::IsNull { inner: Box::new(first.clone()), negated: false };
                let instead = all_of(vec![absent, binary(name, second.clone(), right.clone())]);
                Some(Expr::Or(vec![binary(name, first.clone(), right.clone()), instead]))
            }
            Expr::Column(_) => held(scope, name, left, right),
            Expr::Operator { name: joined, left: Some(first), right: second }
                if joined == "||" && name == "=" =>
            {
                appended(scope, first, second, right)
            }
            _ => None,
        }
    }
}

fn is_array(scope: &Scope<'_>, expr: &Expr) -> bool {
    matches!(expr, Expr::Column(_)) && scope.type_of(expr).is_some_and(|name| name.starts_with('_'))
}

/// The array of `array_length(array, 1)`, which is NULL for an empty one.
fn first_length<'e>(scope: &Scope<'_>, expr: &'e Expr) -> Option<&'e Expr> {
    let call = plain(scope, expr)?;
    match call.args.as_slice() {
        [array, Expr::Constant(Constant::Integer(1))] if call.name == "array_length" => {
            is_array(scope, array).then_some(array)
        }
        _ => None,
    }
}

/// `cardinality(array) > 0` as `array <> '{}'`.
fn filled(scope: &Scope<'_>, name: &str, left: &Expr, right: &Expr) -> Option<Expr> {
    let Expr::Constant(Constant::Integer(number)) = right else { return None };
    let has_elements = match (name, number) {
        (">" | "<>", 0) | (">=", 1) => true,
        ("=" | "<=", 0) | ("<", 1) => false,
        _ => return None,
    };
    let array = match first_length(scope, left) {
        // No length is 0.
        Some(array) => has_elements.then_some(array)?,
        None => {
            let call = plain(scope, left).filter(|call| call.name == "cardinality")?;
            let [array] = call.args.as_slice() else { return None };
            is_array(scope, array).then_some(array)?
        }
    };
    let empty = Expr::Constant(Constant::Text("{}".into()));
    Some(binary(if has_elements { "<>" } else { "=" }, array.clone(), empty))
}

/// `array @> ARRAY['a']` as `'a' = ANY (array)`, and `&&` as any of its elements.
fn held(scope: &Scope<'_>, name: &str, array: &Expr, right: &Expr) -> Option<Expr> {
    if !matches!(name, "@>" | "&&") || !is_array(scope, array) {
        return None;
    }
    let kind = scope.type_of(array)?;
    let written;
    let (list, typed) = match right {
        // Elements that are NULL are in no array.
        Expr::Constant(Constant::Text(text)) => {
            written = array_literal(kind.strip_prefix('_')?, text)?;
            (&written, true)
        }
        Expr::Array(list) => (list, false),
        Expr::Cast { inner, .. } if scope.type_of(right).as_deref() == Some(&*kind) => match &**inner {
            Expr::Array(list) => (list, true),
            _ => return None,
        },
        _ => return None,
    };
    // An array of constants has a type of its own, and one of another type would be an error.
    let fits = |e: &Expr| match e {
        Expr::Constant(Constant::Text(_)) => kind == "_text" || (typed && kind == "_varchar"),
        Expr::Constant(Constant::Integer(n)) => kind == "_int4" && i32::try_from(*n).is_ok(),
        _ => false,
    };
    if list.is_empty() || !list.iter().all(fits) {
        return None;
    }
    let any = |element: &Expr| Expr::AnyOf {
        operator: "=".into(),
        value: Box::new(element.clone()),
        array: Box::new(array.clone()),
        all: false,
    };
    let each = list.iter().map(any).collect();
    Some(if name == "@>" { all_of(each) } else { any_of(each) })
}

/// `name || ' ' = 'Ann '` as `name = 'Ann'`.
fn appended(scope: &Scope<'_>, first: &Expr, second: &Expr, whole: &Expr) -> Option<Expr> {
    let Expr::Constant(Constant::Text(whole)) = whole else { return None };
    let (column, rest) = match (first, second) {
        (column @ Expr::Column(_), Expr::Constant(Constant::Text(end))) => {
            (column, whole.strip_suffix(end.as_str()))
        }
        (Expr::Constant(Constant::Text(start)), column @ Expr::Column(_)) => {
            (column, whole.strip_prefix(start.as_str()))
        }
        _ => return None,
    };
    // What a collation takes for one may begin and end otherwise.
    let plain =
        matches!(scope.type_of(column).as_deref(), Some("text" | "varchar")) && scope.equal_is_same(column);
    plain.then(|| match rest {
        Some(rest) => binary("=", column.clone(), Expr::Constant(Constant::Text(rest.to_owned()))),
        None => Expr::Constant(Constant::Boolean(false)),
    })
}

impl Simplify<'_, '_, '_> {
    /// `a >= x AND (a > x OR rest)` as `a > x OR a = x AND rest`.
    pub(super) fn ties(&mut self, list: &mut Vec<Expr>) {
        if !self.scope.facts.users.operators.is_empty() || !list.iter().any(|e| matches!(e, Expr::Or(_))) {
            return;
        }
        for n in 0..list.len() {
            let Expr::Operator { name, left: Some(left), right } = &list[n] else { continue };
            let strict = match name.as_str() {
                ">=" => ">",
                "<=" => "<",
                _ => continue,
            };
            if !is_of_ordered_type(self.scope, left) {
                continue;
            }
            let mut beyond = binary(strict, (**left).clone(), (**right).clone());
            let mut equal = binary("=", (**left).clone(), (**right).clone());
            // As they are written by now: of whole numbers `a > 4` is `a >= 5`.
            self.value(&mut beyond);
            self.value(&mut equal);
            let found = list.iter().enumerate().find_map(|(at, other)| match other {
                Expr::Or(arms) if arms.contains(&beyond) => Some((at, arms)),
                _ => None,
            });
            if let Some((at, arms)) = found {
                let rest = any_of(arms.iter().filter(|arm| **arm != beyond).cloned().collect());
                list[at] = Expr::Or(vec![beyond, all_of(vec![equal, rest])]);
                list.remove(n);
                return;
            }
        }
    }
}
