//! The first row of an order: joined laterally or looked up by itself, and the least or greatest value.

use super::super::facts::{Proofs, Scope};
use super::super::level::select_one;
use super::super::tree::{Call, Column, Constant, Derived, Distinct, Expr, Output, Query};
use super::super::walk::has_window;
use super::Site;
use super::joins::apart;
use super::literals::as_value;

fn is_one(limit: Option<&Expr>) -> bool {
    limit == Some(&Expr::Constant(Constant::Integer(1)))
}

/// The first of some rows is one row or none: its columns are scalar subqueries.
pub(super) fn joined(
    site: &Site<'_, '_>,
    n: usize,
    derived: &Derived,
    on: &[Expr],
    outer: bool,
) -> Option<Query> {
    let inner = derived.query.select()?;
    let first = is_one(derived.query.limit.as_ref())
        && derived.query.offset.is_none()
        && !derived.query.with_ties
        && derived.query.ctes.is_empty()
        && inner.distinct == Distinct::No
        && !inner.is_grouped()
        && !inner.outputs.iter().any(|o| has_window(&o.expr) || o.expr.has_query());
    if !first || (outer && !on.is_empty()) {
        return None;
    }
    let mut query = site.level.query.clone();
    query.select_mut()?.from.remove(n);
    if query.select()?.from.is_empty() {
        return None;
    }
    if !outer {
        let some = Expr::Exists(Box::new(select_one(inner.from.clone(), inner.filter.clone())));
        query.select_mut()?.filter.push(some);
    }
    let with = |column: &Column| {
        if column.source != derived.alias {
            return None;
        }
        let at = derived.columns.iter().position(|name| name == &column.name)?;
        let mut of = derived.query.clone();
        let mut output = inner.outputs.get(at)?.clone();
        output.expr = as_value(&output.expr);
        output.name = "value".into();
        of.select_mut()?.outputs = vec![output];
        Some(Expr::Scalar(Box::new(of)))
    };
    query.transform(&mut |e| {
        if let Expr::Column(column) = e
            && let Some(new) = with(column)
        {
            *e = new;
        }
    });
    Some(apart(query, site))
}

/// `SELECT x … ORDER BY x LIMIT 1` as the least `x`, which NULL is only where there is nothing else. `query` stands for
/// one value.
pub(super) fn extreme(scope: &Scope<'_>, query: &Query) -> Option<(Query, Proofs)> {
    let select = query.select()?;
    let [output] = select.outputs.as_slice() else { return None };
    let key = query.order.first()?;
    let plain = is_one(query.limit.as_ref())
        && query.offset.is_none()
        && !query.with_ties
        && query.ctes.is_empty()
        && select.distinct == Distinct::No
        && !select.is_grouped()
        && !select.from.is_empty()
        && !has_window(&output.expr)
        && !output.expr.has_query();
    // Types of which there is a least value in every version, and of which equal values are the same.
    let ordered = scope.equal_is_same(&output.expr)
        && scope.type_of(&output.expr).is_some_and(|name| {
            matches!(
                name.as_str(),
                "int2" | "int4" | "int8" | "oid" | "date" | "time" | "timestamp" | "timestamptz" | "text"
            )
        });
    if !plain || !ordered || key.expr != output.expr || !scope.facts.users.operators.is_empty() {
        return None;
    }
    let mut proofs = Proofs::new();
    if key.nulls_first {
        proofs = scope.never_null(&output.expr, &scope.not_null_by_filter(select)).ok()?;
    }
    let name = if key.descending { "max" } else { "min" };
    let call = Call::new(name, vec![output.expr.clone()]);
    if scope.facts.users.is_of_user(&call) {
        return None;
    }
    let mut of = select.clone();
    of.outputs = vec![Output::new("value", Expr::Call(Box::new(call)))];
    Some((Query::of(of), proofs))
}
