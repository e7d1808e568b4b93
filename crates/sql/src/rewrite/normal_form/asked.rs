//! What is asked of a group or of how many rows there are, as what is asked of rows: that one is there, or another one.

use super::super::level::{column, select_one};
use super::super::reading::{binary, split_and};
use super::super::tree::{Call, Column, Constant, Distinct, Expr, From, Query, Select};
use super::super::walk::{has_aggregate, has_window};
use super::joins::apart;
use super::{Normalizer, Site};

const ONE: Expr = Expr::Constant(Constant::Integer(1));
const TWO: Expr = Expr::Constant(Constant::Integer(2));

/// What a count of at least so many rows counts.
fn counted<'e>(condition: &'e Expr, at_least: &Expr) -> Option<&'e Call> {
    let Expr::Operator { name, left: Some(left), right } = condition else { return None };
    let Expr::Call(call) = &**left else { return None };
    let counts = name == ">="
        && **right == *at_least
        && call.name == "count"
        && call.schema.is_none()
        && call.star
        && call.over.is_none();
    counts.then_some(call)
}

impl Normalizer<'_, '_> {
    pub(super) fn asked(&mut self, site: &Site<'_, '_>) -> Option<Query> {
        self.groups_with_rows(site).or_else(|| self.another_row(site))
    }

    /// A group by keys has a row; one of which some row satisfies a condition is one of the rows that do.
    fn groups_with_rows(&self, site: &Site<'_, '_>) -> Option<Query> {
        let select = site.level.select()?;
        let users = &site.level.scope.facts.users;
        if select.group.is_empty() || !select.sets.is_empty() || !users.operators.is_empty() {
            return None;
        }
        let found = select.having.iter().enumerate().find_map(|(n, e)| Some((n, counted(e, &ONE)?)));
        let (at, call) = found.filter(|(_, call)| !users.is_of_user(call))?;
        // Which of values that are equal and not the same stands for a group depends on how its rows are read.
        if !select.group.iter().all(|e| site.level.scope.equal_is_same(e)) {
            return None;
        }
        let mut changed = select.clone();
        changed.having.remove(at);
        if let Some(filter) = &call.filter {
            // Whatever else is computed of the groups needs all of their rows.
            let of_all = |e: &Expr| has_aggregate(e) || has_window(e);
            let alone = changed.having.iter().all(|e| !of_all(e))
                && !changed.outputs.iter().any(|o| of_all(&o.expr))
                && !site.level.query.order.iter().any(|k| of_all(&k.expr));
            if !alone {
                return None;
            }
            changed.filter.extend(split_and((**filter).clone()));
        }
        Some(site.level.with(changed))
    }

    /// Of the rows that are like a row in some columns there are two where there is one with another key. A row with NULL in
    /// one of the columns is like none, itself included.
    fn another_row(&mut self, site: &Site<'_, '_>) -> Option<Query> {
        let select = site.level.select()?;
        let scope = site.level.scope;
        if !scope.facts.users.operators.is_empty() {
            return None;
        }
        for (i, condition) in select.filter.iter().enumerate() {
            let Expr::Operator { name, left: Some(left), right } = condition else { continue };
            let Expr::Scalar(query) = &**left else { continue };
            let Some(inner) = query.select() else { continue };
            let ([From::Table(again)], [output]) = (inner.from.as_slice(), inner.outputs.as_slice()) else {
                continue;
            };
            let of = binary(">=", output.expr.clone(), TWO);
            let counts = name == ">="
                && **right == TWO
                && counted(&of, &TWO)
                    .is_some_and(|call| call.filter.is_none() && !scope.facts.users.is_of_user(call));
            let plain = query.is_bare()
                && inner.group.is_empty()
                && inner.sets.is_empty()
                && inner.having.is_empty()
                && inner.distinct == Distinct::No;
            if !counts || !plain {
                continue;
            }
            let Some((other, by)) = select.from.iter().find_map(|item| {
                let From::Table(own) = item else { return None };
                let same = own.table == again.table && own.only == again.only && !inner.filter.is_empty();
                let like = |condition: &Expr| is_like(condition, &own.alias, &again.alias);
                if !same || !inner.filter.iter().all(like) {
                    return None;
                }
                let key = scope.keys(&own.alias).into_iter().find(|key| {
                    let column = |name: &String| Column { source: own.alias.clone(), name: name.clone() };
                    key.columns.len() == 1
                        && key.columns.iter().all(|name| scope.stored_not_null(&column(name)).is_ok())
                })?;
                let name = key.columns.first()?;
                let mut by =
                    scope.stored_not_null(&Column { source: own.alias.clone(), name: name.clone() }).ok()?;
                by.insert(key.by.clone());
                Some((binary("<>", column(&again.alias, name), column(&own.alias, name)), by))
            }) else {
                continue;
            };
            let filter = inner.filter.iter().cloned().chain([other]).collect();
            let mut changed: Select = select.clone();
            changed.filter[i] = Expr::Exists(Box::new(select_one(inner.from.clone(), filter)));
            self.used.extend(by);
            return Some(apart(site.level.with(changed), site));
        }
        None
    }
}

/// Whether a condition says that two rows of a table are equal in a column.
fn is_like(condition: &Expr, own: &str, again: &str) -> bool {
    let Expr::Operator { name, left: Some(left), right } = condition else { return false };
    let (Expr::Column(left), Expr::Column(right)) = (&**left, &**right) else { return false };
    name == "="
        && left.name == right.name
        && (left.source == own && right.source == again || left.source == again && right.source == own)
}
