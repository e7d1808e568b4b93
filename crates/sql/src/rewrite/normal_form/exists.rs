//! What is only looked up: semi-joins in one form, and parents that a foreign key promises.

use std::collections::{BTreeMap, BTreeSet};

use super::super::dependencies::determines_sources;
use super::super::facts::Proofs;
use super::super::level::select_one;
use super::super::reading::all_of;
use super::super::tree::{Column, Constant, Distinct, Expr, From, Query, Select};
use super::super::walk::has_window;
use super::{Normalizer, Role, Site};

impl Normalizer<'_, '_> {
    /// `EXISTS` within a conjunction of something of which duplicates do not count joins its sources.
    pub(super) fn merged_exists(&mut self, site: &Site<'_, '_>) -> Option<Query> {
        let select = site.level.select()?;
        let query = site.level.query;
        let merges = site.role == Role::Exists
            && query.is_bare()
            && !select.is_grouped()
            && select.distinct == Distinct::No;
        if !merges {
            return None;
        }
        for (i, condition) in select.filter.iter().enumerate() {
            let Expr::Exists(inner) = condition else { continue };
            let Some(of) = inner.select() else { continue };
            if !inner.is_bare() || of.is_grouped() || of.distinct != Distinct::No {
                continue;
            }
            let mut changed = select.clone();
            changed.filter.remove(i);
            changed.filter.extend(of.filter.iter().cloned());
            let joins: Vec<From> = of.from.clone();
            changed.from.extend(joins);
            return Some(site.level.with(changed));
        }
        None
    }

    /// `EXISTS (SELECT … FROM parent WHERE parent.id = child.parent_id)` is true for every child that has one.
    pub(super) fn parent_that_exists(&mut self, site: &Site<'_, '_>) -> Option<Query> {
        let select = site.level.select()?;
        for (i, condition) in select.filter.iter().enumerate() {
            let Expr::Exists(inner) = condition else { continue };
            let Some((columns, proofs)) = self.promised(site, inner) else { continue };
            let mut changed = select.clone();
            changed.filter.remove(i);
            for column in columns {
                // A NULL references nothing.
                changed.filter.push(Expr::IsNull { inner: Box::new(Expr::Column(column)), negated: true });
            }
            self.used.extend(proofs);
            return Some(site.level.with(changed));
        }
        // Within EXISTS a parent is joined and not nested.
        if site.role == Role::Exists && site.level.query.is_bare() && !select.is_grouped() {
            return self.joined_parent(site, select);
        }
        None
    }

    /// `EXISTS (SELECT … FROM t k WHERE k.part = t.part)` is true of every row of `t`, which is there itself.
    pub(super) fn itself_exists(&self, site: &Site<'_, '_>) -> Option<Query> {
        let select = site.level.select()?;
        for (i, condition) in select.filter.iter().enumerate() {
            let Expr::Exists(inner) = condition else { continue };
            let Some(of) = inner.select() else { continue };
            let [From::Table(again)] = of.from.as_slice() else { continue };
            if !inner.is_bare() || of.is_grouped() || site.level.scope.facts.users.operators.contains("=") {
                continue;
            }
            let own = select.from.iter().find_map(|item| match item {
                From::Table(own) if own.table == again.table && own.only == again.only => Some(own),
                _ => None,
            });
            let Some(own) = own else { continue };
            let same = |condition: &Expr| {
                let Expr::Operator { name, left: Some(left), right } = condition else { return None };
                let (Expr::Column(left), Expr::Column(right)) = (&**left, &**right) else { return None };
                let (theirs, ours) = if left.source == again.alias { (left, right) } else { (right, left) };
                let itself = name == "="
                    && theirs.source == again.alias
                    && ours.source == own.alias
                    && theirs.name == ours.name;
                itself.then(|| Expr::IsNull { inner: Box::new(Expr::Column(ours.clone())), negated: true })
            };
            let Some(filled) = of.filter.iter().map(same).collect::<Option<Vec<Expr>>>() else { continue };
            let mut changed = select.clone();
            changed.filter.remove(i);
            changed.filter.extend(filled);
            return Some(site.level.with(changed));
        }
        None
    }

    fn joined_parent(&mut self, site: &Site<'_, '_>, select: &Select) -> Option<Query> {
        for (n, item) in select.from.iter().enumerate() {
            let From::Table(table) = item else { continue };
            let of = |e: &Expr| e.sources().contains(table.alias.as_str());
            let joined = select.from.iter().any(|f| super::super::level::conditions(f).into_iter().any(of))
                || select.outputs.iter().any(|o| of(&o.expr));
            let (own, rest): (Vec<Expr>, Vec<Expr>) = select.filter.iter().cloned().partition(of);
            if joined || select.from.len() < 2 {
                continue;
            }
            let (own, more) = self.of_children(site, &table.alias, own);
            let rest = [rest, more].concat();
            let alone = select_one(vec![item.clone()], own);
            let Some((columns, proofs)) = self.promised(site, &alone) else { continue };
            let mut changed = select.clone();
            changed.from.remove(n);
            changed.filter = rest;
            for column in columns {
                changed.filter.push(Expr::IsNull { inner: Box::new(Expr::Column(column)), negated: true });
            }
            self.used.extend(proofs);
            return Some(site.level.with(changed));
        }
        None
    }

    /// Conditions on a parent that are ones on its child, once the columns that the child has stand there.
    fn of_children(&self, site: &Site<'_, '_>, parent: &str, own: Vec<Expr>) -> (Vec<Expr>, Vec<Expr>) {
        let scope = site.level.scope;
        let pair = |condition: &Expr| {
            let Expr::Operator { name, left: Some(left), right } = condition else { return None };
            let (Expr::Column(left), Expr::Column(right)) = (&**left, &**right) else { return None };
            let (theirs, child) = if left.source == parent { (left, right) } else { (right, left) };
            let apart = name == "=" && theirs.source == parent && child.source != parent;
            (apart && scope.table(&child.source).is_some()).then(|| (theirs.clone(), child.clone()))
        };
        // The child that is compared with most columns of the parent.
        let pairs: Vec<(Column, Column)> = own.iter().filter_map(pair).collect();
        let of = |source: &str| pairs.iter().filter(|(_, child)| child.source == source).count();
        let inside: BTreeSet<String> = site
            .level
            .query
            .select()
            .map(Select::aliases)
            .unwrap_or_default()
            .into_iter()
            .map(str::to_owned)
            .collect();
        let Some((_, child)) = pairs
            .iter()
            .filter(|(_, child)| inside.contains(&child.source))
            .max_by_key(|(_, child)| (of(&child.source), child.source.clone()))
        else {
            return (own, Vec::new());
        };
        let child = child.source.clone();
        let (tied, rest): (Vec<Expr>, Vec<Expr>) =
            own.iter().cloned().partition(|e| pair(e).is_some_and(|(_, c)| c.source == child));
        let mut moved = Vec::new();
        for mut condition in rest {
            super::super::level::substitute(&mut condition, &|c| {
                let (theirs, ours) =
                    pairs.iter().find(|(theirs, ours)| theirs == c && ours.source == child)?;
                super::classes::same(scope, theirs, ours).then(|| Expr::Column(ours.clone()))
            });
            if condition.sources().contains(parent) {
                return (own, Vec::new());
            }
            moved.push(condition);
        }
        (tied, moved)
    }

    /// The child's columns, when a foreign key promises what a subquery looks for.
    pub(super) fn promised(&self, site: &Site<'_, '_>, inner: &Query) -> Option<(Vec<Column>, Proofs)> {
        let of = inner.select()?;
        let [From::Table(parent)] = of.from.as_slice() else { return None };
        if !inner.is_bare() || of.is_grouped() || parent.only {
            return None;
        }
        let scope = site.level.scope;
        let relation = scope.table(&parent.alias)?;
        let mut child: Option<String> = None;
        let mut pairs = Vec::new();
        let mut columns = Vec::new();
        for condition in &of.filter {
            let Expr::Operator { name, left: Some(left), right } = condition else { return None };
            let (Expr::Column(left), Expr::Column(right)) = (&**left, &**right) else { return None };
            let (theirs, own) = if left.source == parent.alias { (left, right) } else { (right, left) };
            if name != "=" || theirs.source != parent.alias || own.source == parent.alias {
                return None;
            }
            if child.get_or_insert_with(|| own.source.clone()) != &own.source {
                return None;
            }
            pairs.push((own.name.clone(), theirs.name.clone()));
            columns.push(own.clone());
        }
        let child = child?;
        let table = scope.table(&child)?;
        if relation.row_security {
            return None;
        }
        let proofs = scope.facts.foreign_key(&table.name, &relation.name, &pairs).ok()?;
        // Rows of children that inherit are bound by no foreign key of their parent.
        let whole = !scope.keys(&child).is_empty();
        whole.then_some((columns, proofs))
    }

    /// Sources of which nothing is listed are only looked up, when they give one row or duplicates do not count.
    pub(super) fn semi_join(&mut self, site: &Site<'_, '_>) -> Option<Query> {
        let select = site.level.select()?;
        if site.role == Role::Exists || select.from.len() < 2 {
            return None;
        }
        let windows = select.outputs.iter().any(|o| has_window(&o.expr));
        let base: Vec<&From> = select.from.iter().filter(|f| !matches!(f, From::Join(_))).collect();
        let mut needed: BTreeSet<String> = BTreeSet::new();
        let mut need = |e: &Expr| needed.extend(e.sources().into_iter().map(str::to_owned));
        select.outputs.iter().for_each(|o| need(&o.expr));
        select.group.iter().for_each(&mut need);
        select.having.iter().for_each(&mut need);
        site.level.query.order.iter().for_each(|k| need(&k.expr));
        if let Distinct::On(keys) = &select.distinct {
            keys.iter().for_each(&mut need);
        }
        select.from.iter().flat_map(super::super::level::conditions).for_each(&mut need);
        for leaf in select.leaves() {
            if let From::Derived(d) = leaf {
                needed.extend(d.query.outer_columns().into_iter().map(|c| c.source.clone()));
            }
        }
        let movable: Vec<String> = base
            .iter()
            .filter(|f| !matches!(f, From::Derived(d) if d.lateral))
            .flat_map(|f| f.aliases())
            .filter(|a| !needed.contains(*a))
            .map(str::to_owned)
            .collect();
        if movable.is_empty() || movable.len() == base.len() {
            return None;
        }
        let free = !site.duplicates_count() && !windows;
        let sets: Vec<BTreeSet<String>> = if free {
            vec![movable.into_iter().collect()]
        } else {
            let all: BTreeSet<String> = movable.iter().cloned().collect();
            std::iter::once(all).chain(movable.into_iter().map(|a| BTreeSet::from([a]))).collect()
        };
        for set in sets {
            let mut proofs = Proofs::new();
            if !free {
                let given: BTreeSet<Column> = select
                    .aliases()
                    .into_iter()
                    .filter(|a| !set.contains(*a))
                    .flat_map(|a| {
                        site.level
                            .scope
                            .column_names(a)
                            .into_iter()
                            .map(|name| Column { source: a.to_owned(), name })
                    })
                    .collect();
                let plain: Vec<From> = base.iter().map(|f| (*f).clone()).collect();
                match determines_sources(site.level.scope, &plain, &select.filter, &given, &set) {
                    Ok(found) => proofs = found,
                    Err(_) => continue,
                }
            }
            self.used.extend(proofs);
            return Some(moved(site, select, &set));
        }
        None
    }
}

/// The level with sources looked up, each connected group of them by itself.
fn moved(site: &Site<'_, '_>, select: &Select, set: &BTreeSet<String>) -> Query {
    let mut group_of: BTreeMap<String, usize> =
        set.iter().cloned().enumerate().map(|(n, a)| (a, n)).collect();
    let touched = |e: &Expr| -> Vec<String> {
        e.sources().into_iter().filter(|s| set.contains(*s)).map(str::to_owned).collect()
    };
    for condition in &select.filter {
        let together = touched(condition);
        if let Some(first) = together.first().and_then(|a| group_of.get(a)).copied() {
            let others: Vec<usize> = together.iter().filter_map(|a| group_of.get(a).copied()).collect();
            for group in group_of.values_mut() {
                if others.contains(group) {
                    *group = first;
                }
            }
        }
    }
    let mut changed = select.clone();
    changed.from.retain(|f| !f.aliases().iter().any(|a| set.contains(*a)) || matches!(f, From::Join(_)));
    let (inside, outside): (Vec<Expr>, Vec<Expr>) =
        select.filter.iter().cloned().partition(|e| !touched(e).is_empty());
    changed.filter = outside;
    let groups: BTreeSet<usize> = group_of.values().copied().collect();
    for group in groups {
        let of = |alias: &str| group_of.get(alias) == Some(&group);
        let from: Vec<From> = select
            .from
            .iter()
            .filter(|f| !matches!(f, From::Join(_)) && f.aliases().iter().any(|a| of(a)))
            .cloned()
            .collect();
        let filter: Vec<Expr> =
            inside.iter().filter(|e| touched(e).first().is_some_and(|a| of(a))).cloned().collect();
        changed.filter.push(Expr::Exists(Box::new(select_one(from, filter))));
    }
    if changed.filter.is_empty() {
        changed.filter.push(all_of(vec![Expr::Constant(Constant::Boolean(true))]));
    }
    site.level.with(changed)
}
