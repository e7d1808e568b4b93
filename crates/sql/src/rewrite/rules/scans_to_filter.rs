//! Several aggregates over one table, each in a subquery of its own → one scan with `FILTER`.
//!
//! Source: PostgreSQL manual, "Aggregate Expressions", `FILTER`.

use std::collections::BTreeMap;

use super::super::facts::Proofs;
use super::super::level::Level;
use super::super::reading::all_of;
use super::super::tree::{Distinct, Expr, From, Output, Query, Select};
use super::super::{Condition, Found, Rule};

pub(super) const RULE: Rule = Rule {
    id: "scans-to-filter",
    title: "several aggregates over one table become one scan with FILTER",
    sound_if: "all read the same source",
    find,
};

fn find(level: &Level<'_, '_>) -> Vec<Found> {
    let Some(select) = level.select() else { return Vec::new() };
    let plain = select.from.is_empty()
        && select.filter.is_empty()
        && !select.is_grouped()
        && select.distinct == Distinct::No
        && select.outputs.len() > 1
        && level.query.order.is_empty()
        && level.is_repeatable();
    if !plain {
        return Vec::new();
    }
    let mut source: Option<Vec<From>> = None;
    let mut shared: Option<Vec<Expr>> = None;
    let mut parts = Vec::new();
    for output in &select.outputs {
        let Expr::Scalar(query) = &output.expr else { return Vec::new() };
        let Some((from, filter, value)) = part(query, &source) else { return Vec::new() };
        source.get_or_insert(from);
        // What all ask for stays a condition of the scan.
        shared = Some(match shared {
            None => filter.clone(),
            Some(known) => known.into_iter().filter(|e| filter.contains(e)).collect(),
        });
        parts.push((output.name.clone(), value, filter));
    }
    let (Some(from), Some(shared)) = (source, shared) else { return Vec::new() };
    let outputs = parts
        .into_iter()
        .map(|(name, mut value, filter)| {
            if let Expr::Call(call) = &mut value {
                let mut own: Vec<Expr> = filter.into_iter().filter(|e| !shared.contains(e)).collect();
                own.extend(call.filter.take().map(|f| *f));
                call.filter = (!own.is_empty()).then(|| Box::new(all_of(own)));
            }
            Output::new(name, value)
        })
        .collect();
    let changed = Select { outputs, from, filter: shared, ..Select::default() };
    let proofs = Proofs::from(["the same source in each".to_owned()]);
    vec![Found::new(level.with(changed), vec![Condition::new("all aggregate the same rows", Ok(proofs))])]
}

/// The source, the conditions and the aggregate of a subquery, its sources named as in those before.
fn part(query: &Query, known: &Option<Vec<From>>) -> Option<(Vec<From>, Vec<Expr>, Expr)> {
    let mut query = query.clone();
    if let Some(known) = known {
        let own: Vec<String> = query.select()?.aliases().into_iter().map(str::to_owned).collect();
        let theirs: Vec<String> = known.iter().flat_map(From::aliases).map(str::to_owned).collect();
        if own.len() != theirs.len() {
            return None;
        }
        let names: BTreeMap<String, String> = own.into_iter().zip(theirs).collect();
        query.rename(&names);
    }
    let select = query.select()?;
    let plain = query.is_bare()
        && select.group.is_empty()
        && select.having.is_empty()
        && select.distinct == Distinct::No;
    let [output] = select.outputs.as_slice() else { return None };
    let Expr::Call(call) = &output.expr else { return None };
    let aggregate = super::super::functions::is_aggregate(call) && call.over.is_none() && !call.within_group;
    if !plain || !aggregate || select.from.is_empty() || select.filter.iter().any(Expr::has_query) {
        return None;
    }
    if known.as_ref().is_some_and(|known| *known != select.from) || !query.outer_columns().is_empty() {
        return None;
    }
    Some((select.from.clone(), select.filter.clone(), output.expr.clone()))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::super::check;

    #[test]
    fn one_scan() {
        check(
            "scans-to-filter",
            "select (select count(*) from orders where note = 'a' and total > 5) as a, (select max(total) from orders o where o.note = 'b' and o.total > 5) as b",
            expect![[r#"
                SELECT
                    count(*) FILTER (WHERE note = 'a') AS a,
                    max(total) FILTER (WHERE note = 'b') AS b
                FROM orders
                WHERE total > 5
                + all aggregate the same rows: the same source in each
            "#]],
        );
        for sql in [
            "select (select count(*) from orders) as a, (select count(*) from items) as b",
            "select (select count(*) from orders) as a, (select note from orders limit 1) as b",
        ] {
            check("scans-to-filter", sql, expect![[r#""#]]);
        }
    }
}
