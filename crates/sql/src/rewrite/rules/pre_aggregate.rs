//! `COUNT(DISTINCT …)` over a fan-out → each branch aggregated before it is joined.
//!
//! Two tables that hang off one row multiply each other: a version with 10 runs and 10 deployments becomes 100 rows,
//! which `DISTINCT` then takes apart again. Aggregated first, each branch is one row per version. Aggregates that
//! see every copy (`sum`, `avg`, `count`) are weighed by the rows of the other branches, so that they stay what they
//! were. Source: Yan and Larson, "Eager Aggregation and Lazy Aggregation" (1995).

use std::collections::BTreeSet;

use super::super::dependencies::{determines, pins};
use super::super::facts::{Proofs, Proved};
use super::super::functions::is_aggregate;
use super::super::level::{Level, column, conditions, without_leaf};
use super::super::reading::{all_of, binary, equal};
use super::super::tree::{
    Call, Column, Constant, Derived, Distinct, Expr, From, Join, JoinKind, Output, Query, Select, TypeName,
};
use super::super::{Condition, Found, Rule, Standing};

pub(super) const RULE: Rule = Rule {
    id: "pre-aggregate",
    title: "tables that multiply one another are aggregated before they are joined",
    sound_if: "what is counted as distinct is a key, and its row belongs to one row of the others",
    find,
};

/// A table that hangs off the others and is only aggregated.
struct Branch {
    leaf: From,
    kind: JoinKind,
    /// What its rows are found by: its own expression, and that of the others.
    keys: Vec<(Expr, Expr)>,
    /// Conditions on it alone, and on the others alone.
    local: Vec<Expr>,
    outside: Vec<Expr>,
    alias: String,
    /// The name of the aggregated branch.
    name: String,
    outputs: Vec<Output>,
}

fn find(level: &Level<'_, '_>) -> Vec<Found> {
    let Some(select) = level.select() else { return Vec::new() };
    if !select.is_grouped() || select.distinct != Distinct::No || !level.is_repeatable() {
        return Vec::new();
    }
    [false, true].into_iter().filter_map(|lateral| rewrite(level, select, lateral)).collect()
}

fn rewrite(level: &Level<'_, '_>, select: &Select, lateral: bool) -> Option<Found> {
    let [from] = select.from.as_slice() else { return None };
    let (hub, mut branches) = branches(level, select, from);
    let calls = aggregates(level, select);
    let distinct = calls.iter().any(|c| c.distinct && c.name == "count");
    if branches.is_empty() || (branches.len() < 2 && !distinct) {
        return None;
    }
    if lateral && branches.iter().any(|b| b.kind == JoinKind::Inner) {
        return None;
    }
    let mut conditions = Vec::new();
    let mut plan =
        Plan { level, select, hub: &hub, lateral, conditions: &mut conditions, weights: BTreeSet::new() };
    let mut changed = select.clone();
    let mut order = level.query.order.clone();
    let mut failed = false;
    {
        let mut replace = |e: &mut Expr| {
            if let Expr::Call(call) = e
                && call.over.is_none()
                && is_aggregate(call)
            {
                match plan.call(call, &mut branches) {
                    Some(new) => *e = new,
                    None => failed = true,
                }
            }
        };
        changed.outputs.iter_mut().for_each(|o| o.expr.transform(&mut replace));
        changed.having.iter_mut().for_each(|e| e.transform(&mut replace));
        order.iter_mut().for_each(|k| k.expr.transform(&mut replace));
    }
    let weights = plan.weights;
    if failed {
        return None;
    }
    for n in weights {
        let count = Expr::Call(Box::new(Call { star: true, ..Call::new("count", Vec::new()) }));
        branches[n].outputs.push(Output::new("row_count", count));
    }
    let mut tree = hub;
    for branch in branches {
        // A branch of which nothing is left to take only multiplied.
        let kind = branch.kind;
        if branch.outputs.is_empty() && kind == JoinKind::Left {
            continue;
        }
        let (right, on) = branch.derived(level, lateral);
        tree = From::Join(Box::new(Join { kind, left: tree, right, on }));
    }
    changed.from = vec![tree];
    let query = Query { order, ..level.with(changed) };
    Some(Found::new(query, conditions))
}

/// Takes the branches off, those furthest out first.
fn branches(level: &Level<'_, '_>, select: &Select, from: &From) -> (From, Vec<Branch>) {
    let mut hub = from.clone();
    let mut branches: Vec<Branch> = Vec::new();
    let aliases: Vec<String> = from.aliases().into_iter().map(str::to_owned).collect();
    for alias in aliases.iter().rev() {
        for kind in [JoinKind::Left, JoinKind::Inner] {
            let Some((rest, leaf, on)) = without_leaf(&hub, alias, kind) else { continue };
            // What a branch hangs off is no branch itself.
            let carries = branches.iter().any(|b| {
                b.keys
                    .iter()
                    .map(|(_, other)| other)
                    .chain(&b.outside)
                    .any(|e| e.sources().contains(alias.as_str()))
            });
            if carries {
                break;
            }
            if let Some(branch) = branch(level, select, &rest, leaf, on, kind, alias) {
                hub = rest;
                branches.push(branch);
                break;
            }
        }
    }
    branches.reverse();
    (hub, branches)
}

fn branch(
    level: &Level<'_, '_>,
    select: &Select,
    rest: &From,
    leaf: From,
    on: Vec<Expr>,
    kind: JoinKind,
    alias: &str,
) -> Option<Branch> {
    if matches!(&leaf, From::Derived(d) if d.lateral) {
        return None;
    }
    // Used in its own condition and in aggregates only.
    let outside_aggregates = |e: &Expr| {
        let mut used = false;
        look(e, &mut |column| used |= column.source == alias);
        used
    };
    let elsewhere = select.filter.iter().chain(&select.group).any(|e| e.sources().contains(alias))
        || conditions(rest).into_iter().any(|e| e.sources().contains(alias))
        || select.outputs.iter().any(|o| outside_aggregates(&o.expr))
        || select.having.iter().any(outside_aggregates)
        || level.query.order.iter().any(|k| outside_aggregates(&k.expr));
    let lateral_use = rest.leaves().iter().any(
        |leaf| matches!(leaf, From::Derived(d) if d.query.outer_columns().iter().any(|c| c.source == alias)),
    );
    if elsewhere || lateral_use {
        return None;
    }
    let (mut keys, mut local, mut outside) = (Vec::new(), Vec::new(), Vec::new());
    for condition in on {
        let of = condition.sources().contains(alias);
        let others = condition.sources().iter().any(|s| *s != alias);
        match (of, others, &condition) {
            (false, ..) => outside.push(condition),
            (true, false, _) => local.push(condition),
            (true, true, Expr::Operator { name, left: Some(left), right }) if name == "=" => {
                let (l, r) = (left.sources(), right.sources());
                let of_branch = |s: &BTreeSet<&str>| s.len() == 1 && s.contains(alias);
                match (of_branch(&l), of_branch(&r)) {
                    (true, false) if !r.contains(alias) => keys.push(((**left).clone(), (**right).clone())),
                    (false, true) if !l.contains(alias) => keys.push(((**right).clone(), (**left).clone())),
                    _ => return None,
                }
            }
            _ => return None,
        }
    }
    let taken_by_query = keys.iter().any(|(a, b)| a.has_query() || b.has_query());
    // With another equality a row could find several groups.
    let one_group = keys.iter().all(|(own, other)| pins(level.scope, own, other));
    if keys.is_empty() || !one_group || taken_by_query || local.iter().chain(&outside).any(Expr::has_query) {
        return None;
    }
    // What has one row per key multiplies nothing.
    let found_by: BTreeSet<&str> = keys
        .iter()
        .filter_map(|(own, _)| if let Expr::Column(c) = own { Some(c.name.as_str()) } else { None })
        .collect();
    if level.scope.keys(alias).iter().any(|key| key.columns.iter().all(|c| found_by.contains(c.as_str()))) {
        return None;
    }
    let name = level.free_name(&format!("{alias}_stats"));
    Some(Branch { leaf, kind, keys, local, outside, alias: alias.to_owned(), name, outputs: Vec::new() })
}

/// Visits the columns outside of aggregates.
fn look(expr: &Expr, see: &mut dyn FnMut(&Column)) {
    match expr {
        Expr::Call(call) if call.over.is_none() && is_aggregate(call) => {}
        Expr::Column(column) => see(column),
        other => other.children(&mut |child| match child {
            super::super::walk::Child::Expr(e) => look(e, see),
            super::super::walk::Child::Query(q) => q.walk(&mut |e| {
                if let Expr::Column(column) = e {
                    see(column);
                }
            }),
        }),
    }
}

fn aggregates<'e>(level: &Level<'e, '_>, select: &'e Select) -> Vec<&'e Call> {
    let mut calls = Vec::new();
    let mut see = |e: &'e Expr| {
        if let Expr::Call(call) = e
            && call.over.is_none()
            && is_aggregate(call)
        {
            calls.push(&**call);
        }
    };
    select.outputs.iter().for_each(|o| o.expr.walk_level(&mut see));
    select.having.iter().for_each(|e| e.walk_level(&mut see));
    level.query.order.iter().for_each(|k| k.expr.walk_level(&mut see));
    calls
}

struct Plan<'p, 's, 'a> {
    level: &'p Level<'s, 'a>,
    select: &'p Select,
    hub: &'p From,
    lateral: bool,
    conditions: &'p mut Vec<Condition>,
    /// The branches whose row counts weigh what others aggregate.
    weights: BTreeSet<usize>,
}

impl Plan<'_, '_, '_> {
    fn note(&mut self, condition: Condition) {
        if !self.conditions.contains(&condition) {
            self.conditions.push(condition);
        }
    }

    /// What becomes of an aggregate.
    fn call(&mut self, call: &Call, branches: &mut [Branch]) -> Option<Expr> {
        if call.schema.is_some() || !call.order.is_empty() || call.within_group || call.variadic {
            return None;
        }
        let whole = Expr::Call(Box::new(call.clone()));
        if whole.has_query() {
            return None;
        }
        let sources = whole.sources();
        let of: Vec<usize> =
            (0..branches.len()).filter(|n| sources.contains(branches[*n].alias.as_str())).collect();
        match of.as_slice() {
            [] => self.of_hub(call, branches),
            [n] if sources.len() == 1 => self.of_branch(call, *n, branches),
            _ => None,
        }
    }

    /// The product of the row counts of all branches but one.
    fn weight(&mut self, except: Option<usize>, branches: &[Branch]) -> Option<Expr> {
        let mut product: Option<Expr> = None;
        for (n, branch) in branches.iter().enumerate().filter(|(n, _)| Some(*n) != except) {
            self.weights.insert(n);
            let rows = column(&branch.name, "row_count");
            let one = Expr::Constant(Constant::Integer(1));
            // A row without partners is there once.
            let rows = match (branch.kind, self.lateral) {
                (JoinKind::Inner, _) => rows,
                (_, true) => Expr::Greatest(vec![rows, one]),
                (_, false) => Expr::Coalesce(vec![rows, one]),
            };
            product = Some(match product {
                Some(before) => binary("*", before, rows),
                None => rows,
            });
        }
        product
    }

    fn of_hub(&mut self, call: &Call, branches: &[Branch]) -> Option<Expr> {
        if let ("count", true, [Expr::Column(counted)]) =
            (call.name.as_str(), call.distinct, call.args.as_slice())
            && self.comes_once(counted)
        {
            return Some(Expr::Call(Box::new(Call { distinct: false, ..call.clone() })));
        }
        if super::super::functions::ignores_duplicates(call) {
            return Some(Expr::Call(Box::new(call.clone())));
        }
        if call.name != "count" {
            return None;
        }
        let weight = self.weight(None, branches)?;
        let mut filter: Vec<Expr> = call.filter.as_deref().cloned().into_iter().collect();
        for arg in &call.args {
            filter.push(Expr::IsNull { inner: Box::new(arg.clone()), negated: true });
        }
        let filter = (!filter.is_empty()).then(|| Box::new(all_of(filter)));
        let sum = Call { filter, ..Call::new("sum", vec![weight]) };
        Some(whole_number(Expr::Call(Box::new(sum))))
    }

    /// Whether no value of a column of the others comes twice once every branch is one row per key.
    fn comes_once(&mut self, counted: &Column) -> bool {
        let mut found = self.hub.clone();
        made_inner(&mut found, &BTreeSet::from([counted.source.clone()]));
        let given = BTreeSet::from([counted.clone()]);
        match determines(self.level.scope, &[found], &self.select.filter, &given) {
            Ok(proofs) => {
                let claim = format!("{} comes once", self.level.scope.display(counted));
                self.note(Condition::new(claim, Ok(proofs)));
                true
            }
            Err(_) => false,
        }
    }

    fn of_branch(&mut self, call: &Call, n: usize, branches: &mut [Branch]) -> Option<Expr> {
        let arg = call.args.first();
        match (call.name.as_str(), call.distinct, arg) {
            ("count", true, Some(Expr::Column(counted))) => {
                self.key_of_one_row(counted, &branches[n])?;
                let count = Call { star: true, args: Vec::new(), distinct: false, ..call.clone() };
                let per_row = branches[n].output("count", count);
                Some(whole_number(sum(per_row)))
            }
            ("min" | "max" | "bool_and" | "bool_or" | "every", _, Some(_)) => {
                let inner = Call { distinct: false, ..call.clone() };
                let per_row = branches[n].output(&call.name, inner);
                Some(Expr::Call(Box::new(Call::new(&call.name, vec![per_row]))))
            }
            ("count", false, _) => {
                let per_row = branches[n].output("count", call.clone());
                let weighed = self.weighed(per_row, n, branches);
                Some(whole_number(sum(weighed)))
            }
            ("sum" | "avg", false, Some(arg)) => {
                let type_name = self.level.scope.type_of(arg)?;
                let float = matches!(type_name.as_str(), "float4" | "float8");
                if !float && !matches!(type_name.as_str(), "int2" | "int4" | "int8" | "numeric") {
                    return None;
                }
                // The sum of single precision would be rounded to it before it is weighed.
                if type_name == "float4" {
                    return None;
                }
                if float {
                    self.note(Condition {
                        claim: "sums of double precision are the same up to rounding".into(),
                        standing: Standing::Rounding,
                    });
                }
                let total = branches[n].output("sum", Call { name: "sum".into(), ..call.clone() });
                let total = sum(self.weighed(total, n, branches));
                if call.name == "sum" {
                    let whole = matches!(type_name.as_str(), "int2" | "int4");
                    return Some(if whole { cast(total, "int8") } else { total });
                }
                let count = branches[n].output("count", Call { name: "count".into(), ..call.clone() });
                let count = sum(self.weighed(count, n, branches));
                let count = if float { cast(count, "float8") } else { count };
                let none = Expr::Constant(Constant::Integer(0));
                Some(binary("/", total, Expr::NullIf(Box::new(count), Box::new(none))))
            }
            _ => None,
        }
    }

    fn weighed(&mut self, value: Expr, n: usize, branches: &[Branch]) -> Expr {
        match self.weight(Some(n), branches) {
            Some(weight) => binary("*", value, weight),
            None => value,
        }
    }

    /// What is counted as distinct must be a key of its table, and its row must come with one row of the others.
    fn key_of_one_row(&mut self, counted: &Column, branch: &Branch) -> Option<()> {
        let scope = self.level.scope;
        let key = scope.keys(&branch.alias).into_iter().find(|k| k.columns == [counted.name.clone()])?;
        let not_null = scope.stored_not_null(counted).ok()?;
        let mut proofs = Proofs::from([key.by]);
        proofs.extend(not_null);
        self.note(Condition::new(format!("{} is a key", scope.display(counted)), Ok(proofs)));
        let given: BTreeSet<Column> =
            branch.keys.iter().flat_map(|(_, hub)| hub.columns().into_iter().cloned()).collect();
        // The comparison keeps NULLs out, so outer joins found a row wherever a partner is.
        let mut found = self.hub.clone();
        let sources: BTreeSet<String> = given.iter().map(|c| c.source.clone()).collect();
        made_inner(&mut found, &sources);
        let proved: Proved = determines(scope, &[found], &self.select.filter, &given);
        let Ok(proofs) = proved else { return None };
        self.note(Condition::new(
            format!(
                "a row of {} comes with one row of the other tables",
                scope.display(counted).split('.').next().unwrap_or_default()
            ),
            Ok(proofs),
        ));
        Some(())
    }
}

/// Left joins whose right side holds one of the sources become inner ones.
pub(crate) fn made_inner(from: &mut From, sources: &BTreeSet<String>) {
    if let From::Join(join) = from {
        if join.kind == JoinKind::Left && join.right.aliases().iter().any(|a| sources.contains(*a)) {
            join.kind = JoinKind::Inner;
        }
        made_inner(&mut join.left, sources);
        made_inner(&mut join.right, sources);
    }
}

impl Branch {
    /// A column of the aggregated branch.
    fn output(&mut self, wanted: &str, call: Call) -> Expr {
        let expr = Expr::Call(Box::new(call));
        if let Some(known) = self.outputs.iter().find(|o| o.expr == expr) {
            return column(&self.name, &known.name);
        }
        let of = match &expr {
            Expr::Call(call) => match call.args.first() {
                Some(Expr::Column(c)) => format!("{wanted}_{}", c.name),
                _ => format!("{wanted}_rows"),
            },
            _ => wanted.to_owned(),
        };
        let same =
            self.outputs.iter().filter(|o| o.name == of || o.name.starts_with(&format!("{of}_"))).count();
        let name = if same == 0 { of } else { format!("{of}_{}", same + 1) };
        self.outputs.push(Output::new(name.clone(), expr));
        column(&self.name, &name)
    }

    /// The aggregated branch as a source, and what it is joined by.
    fn derived(self, level: &Level<'_, '_>, lateral: bool) -> (From, Vec<Expr>) {
        let mut select = Select { from: vec![self.leaf], filter: self.local, ..Select::default() };
        let mut on = self.outside;
        if lateral {
            select.filter.extend(self.keys.iter().map(|(own, hub)| equal(own.clone(), hub.clone())));
        } else {
            for (i, (own, hub)) in self.keys.iter().enumerate() {
                let name = match own {
                    Expr::Column(c) => c.name.clone(),
                    _ => format!("key_{}", i + 1),
                };
                if let Expr::Column(c) = own
                    && level.scope.stored_not_null(c).is_err()
                {
                    select.filter.push(Expr::IsNull { inner: Box::new(own.clone()), negated: true });
                }
                on.push(equal(column(&self.name, &name), hub.clone()));
                select.group.push(own.clone());
                select.outputs.push(Output::new(name, own.clone()));
            }
        }
        select.outputs.extend(self.outputs);
        let columns = select.outputs.iter().map(|o| o.name.clone()).collect();
        let query = Query::of(select);
        (From::Derived(Derived { lateral, query, alias: self.name, columns, view: None }), on)
    }
}

fn sum(arg: Expr) -> Expr {
    Expr::Call(Box::new(Call::new("sum", vec![arg])))
}

fn cast(inner: Expr, to: &str) -> Expr {
    Expr::Cast { inner: Box::new(inner), to: TypeName::plain(to) }
}

/// A sum of counts as a count: zero where there is nothing, and a `bigint`.
fn whole_number(sum: Expr) -> Expr {
    cast(Expr::Coalesce(vec![sum, Expr::Constant(Constant::Integer(0))]), "int8")
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::super::check;

    #[test]
    fn distinct_counts_of_two_branches() {
        check(
            "pre-aggregate",
            "select c.name, count(distinct o.id) as orders, count(distinct i.id) as items, max(i.price), count(distinct r.id) filter (where r.stars > 3) as good \
             from customers c left join orders o on o.customer_id = c.id \
             left join items i on i.order_id = o.id left join reviews r on r.order_id = o.id and r.stars > 0 \
             where c.active group by c.id, c.name having count(distinct i.id) > 0 order by items desc",
            expect![[r#"
                SELECT
                    c.name, count(o.id) AS orders,
                    COALESCE(sum(i_stats.count_rows), 0)::bigint AS items,
                    max(i_stats.max_price), COALESCE(sum(r_stats.count_rows), 0)::bigint AS good
                FROM
                    customers c
                    LEFT JOIN orders o ON o.customer_id = c.id
                    LEFT JOIN (
                        SELECT order_id, count(*) AS count_rows, max(price) AS max_price
                        FROM items i
                        GROUP BY order_id
                    ) i_stats ON i_stats.order_id = o.id
                    LEFT JOIN (
                        SELECT order_id, count(*) FILTER (WHERE stars > 3) AS count_rows
                        FROM reviews r
                        WHERE stars > 0
                        GROUP BY order_id
                    ) r_stats ON r_stats.order_id = o.id
                WHERE c.active
                GROUP BY c.id, c.name
                HAVING COALESCE(sum(i_stats.count_rows), 0)::bigint > 0
                ORDER BY items DESC
                + orders.id comes once: NOT NULL of orders.id, unique index customers_pkey, unique index orders_pkey
                + items.id is a key: NOT NULL of items.id, unique index items_pkey
                + a row of items comes with one row of the other tables: NOT NULL of orders.id, unique index customers_pkey, unique index orders_pkey
                + reviews.id is a key: NOT NULL of reviews.id, unique index reviews_pkey
                + a row of reviews comes with one row of the other tables: NOT NULL of orders.id, unique index customers_pkey, unique index orders_pkey
                SELECT
                    c.name, count(o.id) AS orders,
                    COALESCE(sum(i_stats_1.count_rows), 0)::bigint AS items,
                    max(i_stats_1.max_price),
                    COALESCE(sum(r_stats_1.count_rows), 0)::bigint AS good
                FROM
                    customers c
                    LEFT JOIN orders o ON o.customer_id = c.id
                    LEFT JOIN LATERAL (
                        SELECT count(*) AS count_rows, max(i.price) AS max_price
                        FROM items i
                        WHERE i.order_id = o.id
                    ) i_stats_1 ON true
                    LEFT JOIN LATERAL (
                        SELECT count(*) FILTER (WHERE r.stars > 3) AS count_rows
                        FROM reviews r
                        WHERE
                            r.stars > 0
                            AND r.order_id = o.id
                    ) r_stats_1 ON true
                WHERE c.active
                GROUP BY c.id, c.name
                HAVING COALESCE(sum(i_stats_1.count_rows), 0)::bigint > 0
                ORDER BY items DESC
                + orders.id comes once: NOT NULL of orders.id, unique index customers_pkey, unique index orders_pkey
                + items.id is a key: NOT NULL of items.id, unique index items_pkey
                + a row of items comes with one row of the other tables: NOT NULL of orders.id, unique index customers_pkey, unique index orders_pkey
                + reviews.id is a key: NOT NULL of reviews.id, unique index reviews_pkey
                + a row of reviews comes with one row of the other tables: NOT NULL of orders.id, unique index customers_pkey, unique index orders_pkey
            "#]],
        );
    }

    #[test]
    fn a_table_that_only_multiplies() {
        check(
            "pre-aggregate",
            "select c.active, count(distinct o.id) from customers c join customers d on d.name = c.name \
             left join orders o on o.customer_id = c.id group by c.active",
            expect![[r#"
                SELECT c.active, COALESCE(sum(o_stats.count_rows), 0)::bigint AS count
                FROM
                    customers c
                    JOIN (
                        SELECT name
                        FROM customers d
                        GROUP BY name
                    ) d_stats ON d_stats.name = c.name
                    LEFT JOIN (
                        SELECT customer_id, count(*) AS count_rows
                        FROM orders o
                        GROUP BY customer_id
                    ) o_stats ON o_stats.customer_id = c.id
                GROUP BY c.active
                + orders.id is a key: NOT NULL of orders.id, unique index orders_pkey
                + a row of orders comes with one row of the other tables: NOT NULL of customers.id, unique index customers_pkey
            "#]],
        );
    }

    #[test]
    fn weighed_by_the_other_branches() {
        check(
            "pre-aggregate",
            "select o.id, avg(r.stars), sum(i.price), count(*), count(o.note), count(distinct i.id) from orders o \
             left join items i on i.order_id = o.id join reviews r on r.order_id = o.id group by o.id",
            expect![[r#"
                SELECT
                    o.id,
                    sum(r_stats.sum_stars * COALESCE(i_stats.row_count, 1)) / NULLIF(sum(r_stats.count_stars * COALESCE(i_stats.row_count, 1)), 0) AS avg,
                    sum(i_stats.sum_price * r_stats.row_count),
                    COALESCE(sum(COALESCE(i_stats.row_count, 1) * r_stats.row_count), 0)::bigint AS count,
                    COALESCE(sum(COALESCE(i_stats.row_count, 1) * r_stats.row_count) FILTER (WHERE o.note IS NOT NULL), 0)::bigint AS count,
                    COALESCE(sum(i_stats.count_rows), 0)::bigint AS count
                FROM
                    orders o
                    LEFT JOIN (
                        SELECT
                            order_id, sum(price) AS sum_price, count(*) AS count_rows,
                            count(*) AS row_count
                        FROM items i
                        GROUP BY order_id
                    ) i_stats ON i_stats.order_id = o.id
                    JOIN (
                        SELECT
                            order_id, sum(stars) AS sum_stars, count(stars) AS count_stars,
                            count(*) AS row_count
                        FROM reviews r
                        GROUP BY order_id
                    ) r_stats ON r_stats.order_id = o.id
                GROUP BY o.id
                + items.id is a key: NOT NULL of items.id, unique index items_pkey
                + a row of items comes with one row of the other tables: NOT NULL of orders.id, unique index orders_pkey
            "#]],
        );
    }

    #[test]
    fn left_alone() {
        for sql in [
            // What is counted is no key.
            "select c.id, count(distinct o.note) from customers c left join orders o on o.customer_id = c.id group by c.id",
            // A row of the branch comes with several rows of the others.
            "select c.active, count(distinct o.id) from customers c join reviews r on r.customer_id = c.id left join orders o on o.customer_id = c.id where r.stars > 3 group by c.active",
            "select c.id, string_agg(o.note, ',') , count(distinct o.id) from customers c left join orders o on o.customer_id = c.id group by c.id",
            "select c.id, o.note, count(distinct o.id) from customers c left join orders o on o.customer_id = c.id group by c.id, o.note",
        ] {
            check("pre-aggregate", sql, expect![[r#""#]]);
        }
    }
}
