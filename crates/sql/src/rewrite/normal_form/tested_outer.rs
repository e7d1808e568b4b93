//! An outer join that finds one row at most, of which nothing is used but a condition that is true where no row is found:
//! `LEFT JOIN l ON l.id = a.id WHERE l.n IS NULL OR l.n <= 5` leaves out the rows that find one which refutes it, as
//! `NOT EXISTS (SELECT 1 FROM l WHERE l.id = a.id AND l.n > 5)` does.

use std::collections::BTreeSet;

use super::super::dependencies::determines_sources;
use super::super::facts::Scope;
use super::super::level::select_one;
use super::super::tree::{Column, Constant, Expr, From, Query, Truth};
use super::joins::{followed, used_elsewhere};
use super::{Normalizer, Site};

/// Whether a condition is true when all columns that `missing` names are NULL, whatever the others are.
fn is_true_of_nothing(scope: &Scope<'_>, condition: &Expr, missing: &dyn Fn(&Column) -> bool) -> bool {
    match condition {
        Expr::Constant(Constant::Boolean(value)) => *value,
        Expr::IsNull { inner, negated: false } => scope.null_on_null(inner, missing),
        Expr::Is { inner, test: Truth::NotTrue | Truth::NotFalse | Truth::Unknown } => {
            scope.null_on_null(inner, missing)
        }
        Expr::Or(list) => list.iter().any(|e| is_true_of_nothing(scope, e, missing)),
        Expr::And(list) => list.iter().all(|e| is_true_of_nothing(scope, e, missing)),
        _ => false,
    }
}

/// Conditions that are true together where `condition` is not true.
fn refused(scope: &Scope<'_>, condition: &Expr) -> Vec<Expr> {
    match condition {
        Expr::Or(list) => list.iter().flat_map(|e| refused(scope, e)).collect(),
        Expr::IsNull { inner, negated } if scope.is_scalar(inner) => {
            vec![Expr::IsNull { inner: inner.clone(), negated: !negated }]
        }
        other => vec![Expr::Is { inner: Box::new(other.clone()), test: Truth::NotTrue }],
    }
}

impl Normalizer<'_, '_> {
    pub(super) fn tested_outer(&mut self, site: &Site<'_, '_>) -> Option<Query> {
        let select = site.level.select()?;
        let scope = site.level.scope;
        for (n, item) in select.from.iter().enumerate() {
            let Some((right, on)) = followed(item) else { continue };
            if matches!(right, From::Join(_)) {
                continue;
            }
            let aliases: BTreeSet<String> = right.aliases().into_iter().map(str::to_owned).collect();
            let of = |e: &Expr| e.sources().iter().any(|source| aliases.contains(*source));
            let mut using = select.filter.iter().enumerate().filter(|(_, e)| of(e));
            let (Some((i, condition)), None) = (using.next(), using.next()) else { continue };
            let missing = |c: &Column| aliases.contains(&c.source);
            if condition.has_query()
                || !scope.is_repeatable(condition)
                || !is_true_of_nothing(scope, condition, &missing)
                || aliases.iter().any(|a| used_elsewhere(&site.level, select, a, n, Some(i)))
            {
                continue;
            }
            let outside: BTreeSet<Column> =
                on.iter().flat_map(Expr::columns).filter(|c| !missing(c)).cloned().collect();
            let one = determines_sources(scope, std::slice::from_ref(right), on, &outside, &aliases);
            let Ok(proofs) = one else { continue };
            self.used.extend(proofs);
            let mut changed = select.clone();
            changed.from.remove(n);
            let filter = on.iter().cloned().chain(refused(scope, condition)).collect();
            changed.filter[i] =
                Expr::Not(Box::new(Expr::Exists(Box::new(select_one(vec![right.clone()], filter)))));
            return Some(site.level.with(changed));
        }
        None
    }
}
