//! A table that is joined to itself by a key is the same row twice, and an outer join to a parent that a foreign key
//! promises is an inner one.

use std::collections::{BTreeMap, BTreeSet};

use super::super::facts::Proofs;
use super::super::level::select_one;
use super::super::tree::{Column, Expr, From, Query};
use super::joins::followed;
use super::{Normalizer, Site};

impl Normalizer<'_, '_> {
    /// `FROM t a JOIN t b ON b.id = a.id` reads one row of `t`.
    pub(super) fn joined_to_itself(&mut self, site: &Site<'_, '_>) -> Option<Query> {
        let select = site.level.select()?;
        if site.level.scope.facts.users.operators.contains("=") {
            return None;
        }
        for (n, item) in select.from.iter().enumerate() {
            let From::Table(second) = item else { continue };
            for other in &select.from[..n] {
                let From::Table(first) = other else { continue };
                if first.table != second.table || first.only != second.only {
                    continue;
                }
                let column = |alias: &str, name: &str| {
                    Box::new(Expr::Column(Column { source: alias.to_owned(), name: name.to_owned() }))
                };
                let equal = |condition: &Expr, name: &str| {
                    let (one, two) = (column(&first.alias, name), column(&second.alias, name));
                    matches!(condition, Expr::Operator { name, left: Some(left), right }
                        if name == "=" && (*left == one && *right == two || *left == two && *right == one))
                };
                // What both are looked up by, where it is the same as the key of either.
                let by = |alias: &str, name: &str| -> Vec<Column> {
                    let own = Column { source: alias.to_owned(), name: name.to_owned() };
                    let others = select.filter.iter().filter_map(|condition| match condition {
                        Expr::Operator { name, left: Some(left), right } if name == "=" => {
                            match (&**left, &**right) {
                                (Expr::Column(a), Expr::Column(b)) if *a == own => Some(b.clone()),
                                (Expr::Column(a), Expr::Column(b)) if *b == own => Some(a.clone()),
                                _ => None,
                            }
                        }
                        _ => None,
                    });
                    others.filter(|other| super::classes::same(site.level.scope, &own, other)).collect()
                };
                let alike = |name: &str| {
                    let (one, two) = (by(&first.alias, name), by(&second.alias, name));
                    one.iter().any(|c| two.contains(c))
                };
                let keys = site.level.scope.keys(&second.alias);
                let Some(key) = keys.into_iter().find(|key| {
                    key.columns.iter().all(|name| select.filter.iter().any(|c| equal(c, name)) || alike(name))
                }) else {
                    continue;
                };
                let mut changed = select.clone();
                changed.from.remove(n);
                for condition in &mut changed.filter {
                    // Equal to itself is whatever is not NULL.
                    if let Some(name) = key.columns.iter().find(|name| equal(condition, name)) {
                        *condition = Expr::IsNull { inner: column(&first.alias, name), negated: true };
                    }
                }
                let mut query = site.level.with(changed);
                query.rename(&BTreeMap::from([(second.alias.clone(), first.alias.clone())]));
                let mut seen: BTreeSet<Expr> = BTreeSet::new();
                query.select_mut()?.filter.retain(|e| seen.insert(e.clone()));
                self.used.insert(key.by);
                return Some(query);
            }
        }
        None
    }

    /// `FROM child LEFT JOIN parent ON parent.id = child.parent_id` finds the parent of every child that has one.
    pub(super) fn outer_to_parent(&mut self, site: &Site<'_, '_>) -> Option<Query> {
        let select = site.level.select()?;
        for (n, item) in select.from.iter().enumerate() {
            let Some((right @ From::Table(_), on)) = followed(item) else { continue };
            let looked_up = select_one(vec![right.clone()], on.clone());
            let Some((columns, mut proofs)) = self.promised(site, &looked_up) else { continue };
            let filled: Option<Vec<Proofs>> = columns
                .iter()
                .map(|c| site.level.scope.never_null(&Expr::Column(c.clone()), &BTreeSet::new()).ok())
                .collect();
            let Some(filled) = filled else { continue };
            proofs.extend(filled.into_iter().flatten());
            let mut changed = select.clone();
            changed.from.remove(n);
            let at =
                changed.from.iter().position(|f| matches!(f, From::Join(_))).unwrap_or(changed.from.len());
            changed.from.insert(at, right.clone());
            changed.filter.extend(on.iter().cloned());
            self.used.extend(proofs);
            return Some(site.level.with(changed));
        }
        None
    }
}
