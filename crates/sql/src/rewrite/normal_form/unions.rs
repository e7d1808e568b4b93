//! What is selected of a union is a union of selections, and a list of constants that is joined is a list.

use super::super::facts::Facts;
use super::super::level::{by_names, substitute};
use super::super::reading::equal;
use super::super::tree::{
    Body, Call, Column, Constant, Derived, Distinct, Expr, From, Query, Select, SetOp, SortKey,
};
use super::super::walk::has_window;
use super::literals::as_value;
use super::{Normalizer, Site, is_list_of};

/// The branches of `UNION ALL`.
fn branches(query: &Query) -> Option<Vec<&Select>> {
    if !query.is_bare() {
        return None;
    }
    match &query.body {
        Body::Select(select) => Some(vec![select]),
        Body::Set { op: SetOp::Union, all: true, left, right } => {
            Some([branches(left)?, branches(right)?].concat())
        }
        _ => None,
    }
}

/// A union of branches in place of a query, cut as that is.
pub(super) fn union_all(
    query: &Query,
    order: Vec<SortKey>,
    mut branches: impl Iterator<Item = Query>,
) -> Option<Query> {
    let first = branches.next()?;
    let union = branches.fold(first, |left, right| Query {
        body: Body::Set { op: SetOp::Union, all: true, left: Box::new(left), right: Box::new(right) },
        ..Query::default()
    });
    Some(Query {
        order,
        limit: query.limit.clone(),
        offset: query.offset.clone(),
        with_ties: query.with_ties,
        ..union
    })
}

impl Normalizer<'_, '_> {
    /// `SELECT … FROM (a UNION ALL b) WHERE …` asks of `a` and `b` what it asks of both.
    pub(super) fn selected_of_union(&self, site: &Site<'_, '_>) -> Option<Query> {
        let query = site.level.query;
        let select = site.level.select()?;
        let scope = site.level.scope;
        let [From::Derived(Derived { lateral: false, query: union, alias, columns, .. })] =
            select.from.as_slice()
        else {
            return None;
        };
        let list = branches(union).filter(|list| list.len() > 1)?;
        let inside = |e: &Expr| has_window(e) || e.has_query();
        let plain = !select.is_grouped()
            && select.sets.is_empty()
            && select.distinct == Distinct::No
            && !select.outputs.iter().any(|o| inside(&o.expr))
            && !select.filter.iter().any(inside);
        let simple = list.iter().all(|branch| {
            !branch.is_grouped()
                && branch.sets.is_empty()
                && branch.distinct == Distinct::No
                && branch.outputs.len() == columns.len()
                && !branch.outputs.iter().any(|o| inside(&o.expr))
        });
        // Values of other types are brought to one before anything is asked of them.
        let typed = (0..columns.len()).all(|at| {
            let mut types = list.iter().map(|branch| scope.type_of(&branch.outputs[at].expr));
            let first = types.next().flatten();
            let same = list.iter().all(|branch| scope.is_deterministic(&branch.outputs[at].expr));
            same && first.is_some() && types.all(|other| other == first)
        });
        if !plain || !simple || !typed {
            return None;
        }
        let order = by_names(&query.order, &select.outputs)?;
        let new = list.into_iter().map(|branch| {
            let with = |c: &Column| {
                let at = (c.source == *alias)
                    .then(|| columns.iter().position(|name| name == &c.name))
                    .flatten()?;
                branch.outputs.get(at).map(|o| as_value(&o.expr))
            };
            let mut of = branch.clone();
            of.outputs = select.outputs.clone();
            of.outputs.iter_mut().for_each(|o| substitute(&mut o.expr, &with));
            let mut filter = select.filter.clone();
            filter.iter_mut().for_each(|e| substitute(e, &with));
            of.filter.extend(filter);
            Query::of(of)
        });
        union_all(query, order, new)
    }

    /// Of a union of which the first rows are taken, the first rows of each branch are enough: an order by the same columns,
    /// and at least as many rows.
    pub(super) fn cut_branches(&self, site: &Site<'_, '_>) -> Option<Query> {
        let query = site.level.query;
        let select = site.level.select()?;
        let scope = site.level.scope;
        let number = |e: &Option<Expr>| match e {
            Some(Expr::Constant(Constant::Integer(n))) if *n >= 0 => Some(*n),
            _ => None,
        };
        let wanted = number(&query.limit)?;
        let wanted = wanted.checked_add(if query.offset.is_none() { 0 } else { number(&query.offset)? })?;
        let [From::Derived(Derived { lateral: false, query: union, alias, columns, .. })] =
            select.from.as_slice()
        else {
            return None;
        };
        let inside = |e: &Expr| has_window(e) || e.has_query();
        let plain = !query.with_ties
            && !query.order.is_empty()
            && select.filter.is_empty()
            && !select.is_grouped()
            && select.sets.is_empty()
            && select.distinct == Distinct::No
            && !select.outputs.iter().any(|o| inside(&o.expr));
        let mut list = Vec::new();
        if !plain || !cut_list(union, true, &mut list) || list.len() < 2 {
            return None;
        }
        let place = |key: &SortKey| match &key.expr {
            Expr::Column(c) if c.source == *alias => columns.iter().position(|name| *name == c.name),
            _ => None,
        };
        let places: Vec<usize> = query.order.iter().map(place).collect::<Option<_>>()?;
        let first = list.first()?.select()?;
        let mut cut = false;
        for branch in &list {
            let of = branch.select()?;
            let listed = |at: usize| of.outputs.get(at).map(|o| &o.expr);
            // Values of another type or collation have another order.
            let alike = |at: usize| {
                let (Some(one), Some(other)) = (first.outputs.get(at).map(|o| &o.expr), listed(at)) else {
                    return false;
                };
                let kind = scope.type_of(one);
                let collated = matches!(kind.as_deref(), Some("text" | "varchar" | "bpchar" | "name"));
                kind.is_some()
                    && kind == scope.type_of(other)
                    && (one == other || !collated || scope.has_collation_of(one, other))
            };
            if !places.iter().all(|at| alike(*at)) {
                return None;
            }
            if branch.limit.is_none() && branch.order.is_empty() {
                continue;
            }
            let same = branch.order.len() == places.len()
                && branch.order.iter().zip(&query.order).zip(&places).all(|((own, key), at)| {
                    listed(*at) == Some(&own.expr)
                        && own.descending == key.descending
                        && own.nulls_first == key.nulls_first
                });
            if !same || number(&branch.limit).is_none_or(|own| own < wanted) {
                return None;
            }
            cut = true;
        }
        if !cut {
            return None;
        }
        let mut changed = select.clone();
        let From::Derived(derived) = changed.from.first_mut()? else { return None };
        uncut(&mut derived.query);
        Some(site.level.with(changed))
    }

    /// `FROM t CROSS JOIN LATERAL (VALUES (t.a), (t.b)) v (x)` is a union of what each row of the list gives.
    pub(super) fn spread_values(&self, site: &Site<'_, '_>) -> Option<Query> {
        let query = site.level.query;
        let select = site.level.select()?;
        let scope = site.level.scope;
        let inside = |e: &Expr| has_window(e) || e.has_query();
        let plain = matches!(site.role, super::Role::Root | super::Role::Rows)
            && query.ctes.is_empty()
            && !select.is_grouped()
            && select.sets.is_empty()
            && select.distinct == Distinct::No
            && select.from.len() > 1
            && select.from.iter().all(|f| matches!(f, From::Table(_) | From::Derived(_)))
            && !select.outputs.iter().any(|o| inside(&o.expr))
            && !select.filter.iter().any(inside);
        if !plain {
            return None;
        }
        let order = by_names(&query.order, &select.outputs)?;
        let (at, derived, rows) = select.from.iter().enumerate().find_map(|(at, item)| {
            let From::Derived(derived) = item else { return None };
            let Body::Values(rows) = &derived.query.body else { return None };
            let of_others = rows.iter().flatten().any(|e| matches!(e, Expr::Column(_)));
            (derived.lateral && derived.query.is_bare() && of_others && rows.len() < 10)
                .then_some((at, derived, rows))
        })?;
        // Nobody else looks at the list from within a subquery.
        let seen = select.from.iter().any(|item| {
            matches!(item, From::Derived(d) if d.query.outer_columns().iter().any(|c| c.source == derived.alias))
        });
        if seen {
            return None;
        }
        // A list is brought to one type and one collation.
        let first = rows.first()?;
        let alike = |one: &Expr, other: &Expr| {
            let kind = scope.type_of(one);
            kind.is_some()
                && kind == scope.type_of(other)
                && scope.is_deterministic(one)
                && scope.is_deterministic(other)
                && !one.has_query()
                && !other.has_query()
        };
        if !rows.iter().all(|row| row.len() == first.len() && first.iter().zip(row).all(|(a, b)| alike(a, b)))
        {
            return None;
        }
        let mut branches = Vec::new();
        for row in rows {
            let with = |c: &Column| {
                let at = (c.source == derived.alias)
                    .then(|| derived.columns.iter().position(|name| name == &c.name))
                    .flatten()?;
                row.get(at).cloned()
            };
            let mut of = select.clone();
            of.from.remove(at);
            of.outputs.iter_mut().for_each(|o| substitute(&mut o.expr, &with));
            of.filter.iter_mut().for_each(|e| substitute(e, &with));
            let mut branch = Query::of(of);
            if !branches.is_empty() {
                let own = branch.all_names().into_iter().map(|name| {
                    let free = site.level.free_name(&name);
                    (name, free)
                });
                let own = own.collect();
                branch.rename(&own);
            }
            branches.push(branch);
        }
        union_all(query, order, branches.into_iter())
    }

    /// `JOIN (VALUES (1), (2)) v (n) ON v.n = t.n`, of which nothing else is used, is `t.n IN (1, 2)`.
    pub(super) fn joined_values(&self, site: &Site<'_, '_>) -> Option<Query> {
        let select = site.level.select()?;
        let scope = site.level.scope;
        if select.from.len() < 2 || scope.facts.users.operators.contains("=") {
            return None;
        }
        for (n, item) in select.from.iter().enumerate() {
            let From::Derived(derived) = item else { continue };
            let Some(list) = constants(&derived.query) else { continue };
            let mut distinct = list.clone();
            distinct.sort();
            distinct.dedup();
            // A value that is listed twice gives its rows twice.
            if distinct.len() != list.len() && site.duplicates_count() {
                continue;
            }
            let own = |e: &Expr| matches!(e, Expr::Column(c) if c.source == derived.alias);
            let found = select.filter.iter().enumerate().find_map(|(i, condition)| {
                let Expr::Operator { name, left: Some(left), right } = condition else { return None };
                let value = match (own(left), own(right)) {
                    (true, false) => right,
                    (false, true) => left,
                    _ => return None,
                };
                (name == "=").then(|| (i, (**value).clone()))
            });
            let Some((at, value)) = found else { continue };
            let fits = match (scope.type_of(&value).as_deref(), &list[0]) {
                (Some("int2" | "int4" | "int8"), Constant::Integer(_)) => true,
                (Some("text" | "varchar"), Constant::Text(_)) => scope.equal_is_same(&value),
                _ => false,
            };
            let mut uses = 0;
            site.level.query.walk(&mut |e| {
                uses += usize::from(matches!(e, Expr::Column(c) if c.source == derived.alias));
            });
            let list: Vec<Expr> = distinct.into_iter().map(Expr::Constant).collect();
            if !fits || uses != 1 || !is_list_of(scope, &value, &list) {
                continue;
            }
            let mut changed = select.clone();
            changed.filter[at] = match list.as_slice() {
                [only] => equal(value, only.clone()),
                _ => Expr::In { value: Box::new(value), list, negated: false },
            };
            changed.from.remove(n);
            return Some(site.level.with(changed));
        }
        None
    }
}

/// The branches of `UNION ALL`, each of which may be cut; whether there are no others.
fn cut_list<'q>(query: &'q Query, whole: bool, list: &mut Vec<&'q Query>) -> bool {
    match &query.body {
        Body::Set { op: SetOp::Union, all: true, left, right } if query.is_bare() => {
            cut_list(left, false, list) && cut_list(right, false, list)
        }
        Body::Select(_) if !whole && query.ctes.is_empty() && query.offset.is_none() && !query.with_ties => {
            list.push(query);
            true
        }
        _ => false,
    }
}

/// Takes the cuts from the branches of a union.
fn uncut(query: &mut Query) {
    match &mut query.body {
        Body::Set { left, right, .. } => {
            uncut(left);
            uncut(right);
        }
        _ => {
            query.limit = None;
            query.order.clear();
        }
    }
}

/// `FROM unnest(ARRAY[1, 2]) u (n)` as a list of rows, where the elements are constants of one kind.
pub(super) fn list_elements(facts: &Facts<'_>, root: &mut Query) {
    root.levels_mut(&mut |query| {
        if let Some(select) = query.select_mut() {
            select.from.iter_mut().for_each(|item| elements(facts, item));
        }
    });
    // x IN (SELECT unnest('{1,2}'::int[])): of an array that is there, the elements are what ANY compares with.
    root.transform(&mut |e| {
        let Expr::Quantified { operator, value, query, all } = e else { return };
        let Some(select) = query.select().filter(|s| query.is_bare() && s.from.is_empty()) else { return };
        let [output] = select.outputs.as_slice() else { return };
        let Expr::Call(call) = &output.expr else { return };
        let [array] = call.args.as_slice() else { return };
        let written = match array {
            Expr::Cast { inner, .. } => {
                matches!(&**inner, Expr::Array(_) | Expr::Constant(Constant::Text(_)))
            }
            other => matches!(other, Expr::Array(_)),
        };
        let plain = written
            && array.columns().is_empty()
            && !array.has_query()
            && call.name == "unnest"
            && call.schema.is_none()
            && call.filter.is_none()
            && call.over.is_none()
            && select.filter.is_empty()
            && !select.is_grouped()
            && select.sets.is_empty()
            && select.distinct == Distinct::No
            && !matches!(&**value, Expr::Row(_))
            && !facts.users.is_of_user(call);
        if plain {
            let (operator, value, all) = (operator.clone(), value.clone(), *all);
            *e = Expr::AnyOf { operator, value, array: Box::new(array.clone()), all };
        }
    });
}

fn elements(facts: &Facts<'_>, item: &mut From) {
    match item {
        From::Join(join) => {
            elements(facts, &mut join.left);
            elements(facts, &mut join.right);
        }
        From::Function(function) => {
            let [Expr::Array(list)] = function.args.as_slice() else { return };
            let of = |e: &Expr| match e {
                Expr::Constant(Constant::Integer(_)) => Some(false),
                Expr::Constant(Constant::Text(_)) => Some(true),
                _ => None,
            };
            let kind = list.first().and_then(of);
            let plain = function.name == "unnest"
                && !function.ordinality
                && function.columns.len() == 1
                && kind.is_some()
                && list.iter().all(|e| of(e) == kind)
                && !facts.users.is_of_user(&Call::new("unnest", Vec::new()));
            if plain {
                let rows = list.iter().map(|e| vec![e.clone()]).collect();
                *item = From::Derived(Derived {
                    lateral: false,
                    query: Query { body: Body::Values(rows), ..Query::default() },
                    alias: function.alias.clone(),
                    columns: function.columns.clone(),
                    view: None,
                });
            }
        }
        _ => {}
    }
}

/// The constants of one kind that a subquery lists, each as a row of one column.
fn constants(query: &Query) -> Option<Vec<Constant>> {
    let Body::Values(rows) = &query.body else { return None };
    if !query.is_bare() {
        return None;
    }
    let one = |row: &Vec<Expr>| match row.as_slice() {
        [Expr::Constant(c @ (Constant::Integer(_) | Constant::Text(_)))] => Some(c.clone()),
        _ => None,
    };
    let list: Vec<Constant> = rows.iter().map(one).collect::<Option<_>>()?;
    let alike =
        list.windows(2).all(|pair| std::mem::discriminant(&pair[0]) == std::mem::discriminant(&pair[1]));
    (alike && !list.is_empty()).then_some(list)
}

#[cfg(test)]
mod tests {
    use super::super::super::Rewriter;
    use super::super::super::fixture::snapshot;

    #[test]
    fn branches_of_other_types_are_asked_after_the_union() {
        let snapshot = snapshot("create table a (id int, x text); create table b (id int, x char(3));");
        let rewriter = Rewriter::new(&snapshot);
        let of = |one: &str, other: &str| {
            // As char(3) the value is the one with two blanks; as a text it is not.
            let before = format!(
                "select id from (select id, x from {one} union all select id, x from {other}) u where x = 'k '"
            );
            let after = format!(
                "select id from {one} where x = 'k ' union all select id from {other} where x = 'k '"
            );
            rewriter.prove(&before, &after).unwrap().is_some()
        };
        assert!(of("a", "a"));
        assert!(!of("a", "b"));
    }
}
