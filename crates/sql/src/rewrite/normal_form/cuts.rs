//! Rows that are cut off an order: what is joined to them one to one may be joined before or after, and a row that is
//! looked up again by its key is the row that was cut.
//!
//! Source: "Deferred join", as in Schwartz, Zaitsev and Tkachenko, "High Performance MySQL" (2012), chapter 6; PostgreSQL
//! manual, "LIMIT Clause", for `WITH TIES`.

use std::collections::{BTreeMap, BTreeSet};

use super::super::dependencies::{determines, determines_sources, pins};
use super::super::facts::Proofs;
use super::super::level::{column, output_columns, select_one};
use super::super::reading::{binary, equal};
use super::super::tree::{
    Call, Column, Constant, Derived, Distinct, Expr, From, Output, Query, Select, SortKey, Window,
};
use super::super::walk::has_window;
use super::frames::DEFAULT;
use super::joins::followed;
use super::literals::as_value;
use super::{Normalizer, Role, Site};

/// The name under which a subquery lists an expression; it is added where it is not listed yet.
pub(super) fn listed_as(derived: &mut Derived, expr: &Expr) -> Option<String> {
    let outputs = &derived.query.select()?.outputs;
    if let Some(at) = outputs.iter().position(|o| o.expr == *expr) {
        return derived.columns.get(at).cloned();
    }
    let mut free = "more".to_owned();
    while derived.columns.contains(&free) {
        free.push('_');
    }
    derived.query.select_mut()?.outputs.push(Output::new(&free, expr.clone()));
    derived.columns.push(free.clone());
    Some(free)
}

fn is_cut(query: &Query) -> bool {
    query.limit.is_some() || query.offset.is_some()
}

/// A subquery that cuts rows of tables, and does nothing else with them.
fn cut(item: &From) -> Option<(&Derived, &Select)> {
    let From::Derived(derived) = item else { return None };
    let inner = derived.query.select()?;
    let plain = is_cut(&derived.query)
        && !derived.lateral
        && derived.query.ctes.is_empty()
        && !inner.is_grouped()
        && inner.sets.is_empty()
        && inner.distinct == Distinct::No
        && !inner.outputs.iter().any(|o| has_window(&o.expr) || o.expr.has_query());
    plain.then_some((derived, inner))
}

impl Normalizer<'_, '_> {
    pub(super) fn cuts(&mut self, site: &Site<'_, '_>) -> Option<Query> {
        self.looked_up_again(site)
            .or_else(|| self.merged_cut(site))
            .or_else(|| self.member_of_cut(site))
            .or_else(|| self.ties(site))
    }

    /// `FROM (SELECT t.id FROM t … LIMIT 5) k JOIN t b ON b.id = k.id`: the row of `b` is the one that was cut. Of a key
    /// there is one row with a value; a table that is read with others that inherit from it has none.
    fn looked_up_again(&mut self, site: &Site<'_, '_>) -> Option<Query> {
        let select = site.level.select()?;
        let scope = site.level.scope;
        if scope.facts.users.operators.contains("=") {
            return None;
        }
        for (n, item) in select.from.iter().enumerate() {
            let From::Derived(derived) = item else { continue };
            let Some(inner) = derived.query.select() else { continue };
            if derived.lateral
                || inner.is_grouped()
                || !inner.sets.is_empty()
                || inner.distinct == Distinct::All
                || inner.outputs.len() != derived.columns.len()
            {
                continue;
            }
            for (m, other) in select.from.iter().enumerate() {
                let From::Table(again) = other else { continue };
                for source in &inner.from {
                    let From::Table(first) = source else { continue };
                    if first.table != again.table || first.only != again.only {
                        continue;
                    }
                    let listed = |name: &String| {
                        let own = column(&first.alias, name);
                        let at = inner.outputs.iter().position(|o| o.expr == own)?;
                        Some((column(&again.alias, name), column(&derived.alias, &derived.columns[at])))
                    };
                    let equates = |condition: &Expr, name: &String| {
                        let Some((one, two)) = listed(name) else { return false };
                        matches!(condition, Expr::Operator { name, left: Some(left), right }
                            if name == "=" && (**left == one && **right == two || **left == two && **right == one))
                    };
                    let keys = scope.keys(&again.alias);
                    let Some(key) = keys.into_iter().find(|key| {
                        key.columns.iter().all(|name| select.filter.iter().any(|c| equates(c, name)))
                    }) else {
                        continue;
                    };
                    let mut derived = derived.clone();
                    let mut used: BTreeSet<String> = BTreeSet::new();
                    site.level.query.walk(&mut |e| {
                        if let Expr::Column(c) = e
                            && c.source == again.alias
                        {
                            used.insert(c.name.clone());
                        }
                    });
                    let mut names: BTreeMap<String, String> = BTreeMap::new();
                    for name in used {
                        let own = column(&first.alias, &name);
                        names.insert(name, listed_as(&mut derived, &own)?);
                    }
                    let mut changed = select.clone();
                    for condition in &mut changed.filter {
                        // Equal to itself is whatever is not NULL.
                        if let Some(name) = key.columns.iter().find(|name| equates(condition, name)) {
                            let (_, own) = listed(name)?;
                            *condition = Expr::IsNull { inner: Box::new(own), negated: true };
                        }
                    }
                    let alias = derived.alias.clone();
                    changed.from[n] = From::Derived(derived);
                    changed.from.remove(m);
                    let mut query = site.level.with(changed);
                    query.transform(&mut |e| {
                        if let Expr::Column(c) = e
                            && c.source == again.alias
                            && let Some(new) = names.get(&c.name)
                        {
                            *c = Column { source: alias.clone(), name: new.clone() };
                        }
                    });
                    self.used.insert(key.by);
                    return Some(query);
                }
            }
        }
        None
    }

    /// A level over rows that are cut, with nothing beside them but what each of them has one row of, and shown in the
    /// order of the cut, is the cut itself: parents that a foreign key promises, and outer joins by a key.
    fn merged_cut(&mut self, site: &Site<'_, '_>) -> Option<Query> {
        let query = site.level.query;
        let select = site.level.select()?;
        let inside = |e: &Expr| has_window(e);
        if is_cut(query)
            || select.is_grouped()
            || !select.sets.is_empty()
            || select.distinct != Distinct::No
            || select.outputs.iter().any(|o| inside(&o.expr))
            || query.order.iter().any(|k| inside(&k.expr))
        {
            return None;
        }
        let at = select.from.iter().position(|item| cut(item).is_some())?;
        let (derived, inner) = cut(&select.from[at])?;
        let with = |c: &Column| {
            let at = (c.source == derived.alias)
                .then(|| derived.columns.iter().position(|name| name == &c.name))
                .flatten()?;
            inner.outputs.get(at).map(|o| as_value(&o.expr))
        };
        let mut level = query.clone();
        level.transform(&mut |e| {
            if let Expr::Column(c) = e
                && let Some(new) = with(c)
            {
                *e = new;
            }
        });
        // The rows come in the order of the cut, or in none that counts.
        let same_order = level.order == derived.query.order
            || !derived.query.with_ties && level.order.starts_with(&derived.query.order);
        let no_order = level.order.is_empty() && (site.role != Role::Root || !self.order_is_asked);
        if !(same_order && !derived.query.order.is_empty() || no_order) {
            return None;
        }
        let mut proofs = Proofs::new();
        let changed = level.select_mut()?;
        changed.from.remove(at);
        let known = site.level.scope.not_null_by_filter(inner);
        let mut joined: Vec<Expr> = Vec::new();
        // Parents from the last one back to those that are children of none.
        let mut open: Vec<From> =
            changed.from.iter().filter(|item| !matches!(item, From::Join(_))).cloned().collect();
        while !open.is_empty() {
            let (n, of) = open.iter().enumerate().find_map(|(n, item)| {
                let alias = item.aliases().first().map(|a| (*a).to_owned())?;
                let (own, rest): (Vec<Expr>, Vec<Expr>) =
                    changed.filter.iter().cloned().partition(|e| e.sources().contains(alias.as_str()));
                let (columns, mut by) = self.promised(site, &select_one(vec![item.clone()], own.clone()))?;
                for column in columns {
                    by.extend(site.level.scope.never_null(&Expr::Column(column), &known).ok()?);
                }
                Some((n, (own, rest, by)))
            })?;
            let (own, rest, by) = of;
            joined.extend(own);
            changed.filter = rest;
            proofs.extend(by);
            open.remove(n);
        }
        // Conditions on what is shown of the rows come after the cut.
        if !changed.filter.is_empty() {
            return None;
        }
        for item in changed.from.iter().filter(|item| matches!(item, From::Join(_))) {
            let (right @ From::Table(table), on) = followed(item)? else { return None };
            let outside: BTreeSet<Column> =
                on.iter().flat_map(Expr::columns).filter(|c| c.source != table.alias).cloned().collect();
            let wanted = BTreeSet::from([table.alias.clone()]);
            if on.iter().any(Expr::has_query) {
                return None;
            }
            let found =
                determines_sources(site.level.scope, std::slice::from_ref(right), on, &outside, &wanted);
            proofs.extend(found.ok()?);
        }
        let (base, outer): (Vec<From>, Vec<From>) =
            inner.from.iter().chain(&changed.from).cloned().partition(|item| !matches!(item, From::Join(_)));
        changed.from = [base, outer].concat();
        changed.filter = inner.filter.iter().cloned().chain(joined).collect();
        self.used.extend(proofs);
        Some(Query {
            order: derived.query.order.clone(),
            limit: derived.query.limit.clone(),
            offset: derived.query.offset.clone(),
            with_ties: derived.query.with_ties,
            ..level
        })
    }

    /// `id IN (SELECT id FROM … LIMIT 5)`, where nothing comes twice, is a join.
    fn member_of_cut(&mut self, site: &Site<'_, '_>) -> Option<Query> {
        let select = site.level.select()?;
        let scope = site.level.scope;
        if scope.facts.users.operators.contains("=") || select.from.is_empty() {
            return None;
        }
        for (i, condition) in select.filter.iter().enumerate() {
            let Expr::Quantified { operator, value, query, all: false } = condition else { continue };
            let Some(inner) = query.select() else { continue };
            let values: Vec<Expr> = match &**value {
                Expr::Row(list) => list.clone(),
                single => vec![single.clone()],
            };
            let plain = operator == "="
                && is_cut(query)
                && query.ctes.is_empty()
                && query.outer_columns().is_empty()
                && !inner.is_grouped()
                && inner.sets.is_empty()
                && !matches!(inner.distinct, Distinct::On(_))
                && values.len() == inner.outputs.len()
                && !values.iter().any(Expr::has_query)
                && inner.outputs.iter().all(|o| matches!(o.expr, Expr::Column(_)))
                && values.iter().zip(&inner.outputs).all(|(v, o)| pins(scope, &o.expr, v));
            if !plain {
                continue;
            }
            let Ok(proofs) = determines(scope, &inner.from, &inner.filter, &output_columns(inner)) else {
                continue;
            };
            let alias = site.level.free_name("cut");
            let columns: Vec<String> = (0..values.len()).map(|n| format!("c{n}")).collect();
            let mut changed = select.clone();
            changed.filter.remove(i);
            let same = values.into_iter().zip(&columns).map(|(v, name)| equal(v, column(&alias, name)));
            changed.filter.extend(same);
            let derived = Derived {
                lateral: false,
                query: (**query).clone(),
                alias: alias.clone(),
                columns,
                view: None,
            };
            // Sources first, outer joins behind them.
            let at =
                changed.from.iter().position(|f| matches!(f, From::Join(_))).unwrap_or(changed.from.len());
            changed.from.insert(at, From::Derived(derived));
            self.used.extend(proofs);
            return Some(site.level.with(changed));
        }
        None
    }

    /// `FETCH FIRST 5 ROWS WITH TIES` gives the rows whose rank is five at most.
    fn ties(&self, site: &Site<'_, '_>) -> Option<Query> {
        let query = site.level.query;
        let select = query.select()?;
        let Some(limit @ Expr::Constant(Constant::Integer(0..))) = &query.limit else { return None };
        let inside = |e: &Expr| has_window(e) || e.has_query();
        if !query.with_ties
            || query.offset.is_some()
            || query.order.is_empty()
            || select.is_grouped()
            || !select.sets.is_empty()
            || select.from.is_empty()
            || select.distinct != Distinct::No
            || select.outputs.iter().any(|o| inside(&o.expr))
            || query.order.iter().any(|k| inside(&k.expr))
        {
            return None;
        }
        let alias = site.level.free_name("ranked");
        let inner = Select {
            outputs: Vec::new(),
            from: select.from.clone(),
            filter: select.filter.clone(),
            ..Select::default()
        };
        let mut derived = Derived {
            lateral: false,
            query: Query::of(inner),
            alias: alias.clone(),
            columns: Vec::new(),
            view: None,
        };
        let mut rank = Call::new("rank", Vec::new());
        rank.over = Some(Box::new(Window {
            partition: Vec::new(),
            order: query.order.clone(),
            frame: DEFAULT,
            start: None,
            end: None,
        }));
        let number = listed_as(&mut derived, &Expr::Call(Box::new(rank)))?;
        let mut place = |expr: &Expr| Some(column(&alias, &listed_as(&mut derived, expr)?));
        let outputs: Option<Vec<Output>> =
            select.outputs.iter().map(|o| Some(Output::new(&o.name, place(&as_value(&o.expr))?))).collect();
        let order: Option<Vec<SortKey>> =
            query.order.iter().map(|k| Some(SortKey { expr: place(&k.expr)?, ..k.clone() })).collect();
        let outer = Select {
            outputs: outputs?,
            from: vec![From::Derived(derived)],
            filter: vec![binary("<=", column(&alias, &number), limit.clone())],
            ..Select::default()
        };
        Some(Query { order: order?, ..Query::of(outer) })
    }
}
