//! Which columns, in which order? The key lists of B-tree candidates.

use std::collections::{BTreeMap, BTreeSet};

use model::change::{NullsOrder, SortOrder};
use model::{IndexKey, KeyTarget, quote_identifier, quote_literal};
use sql::{KeyExpression, Operator, Predicate, SortNeed, SortOrigin};

use super::{Occasion, constant_of};

/// A key list with the predicate of a partial index, if it has one.
type Sequence = (Vec<IndexKey>, Option<String>);

/// What an occurrence asks of an index, sorted by role.
#[derive(Clone, Default)]
struct Roles {
    equal: Vec<IndexKey>,
    listed: Vec<IndexKey>,
    ranges: Vec<IndexKey>,
    likes: Vec<IndexKey>,
    arms: Vec<IndexKey>,
    /// Join columns, by the number of the other side.
    joins: BTreeMap<usize, Vec<IndexKey>>,
    sorts: Vec<Vec<IndexKey>>,
    groups: Vec<Vec<IndexKey>>,
    extremes: Vec<IndexKey>,
    /// Conditions that the text states with constants: a partial index could carry them.
    fixed: Vec<(IndexKey, String)>,
}

/// All key lists that are worth a thought for one occurrence of a table.
pub(super) fn sequences(occasion: &Occasion<'_>) -> BTreeSet<Sequence> {
    let roles = roles(occasion);
    let width = occasion.options.max_key_columns;
    let mut out: BTreeSet<Sequence> = BTreeSet::new();
    arrange(&roles, None, width, &mut out);
    // The same without the columns that a partial index's predicate pins.
    let fixed: Vec<&(IndexKey, String)> = roles.fixed.iter().take(3).collect();
    for mask in 1..(1_u32 << fixed.len()) {
        let chosen: Vec<_> =
            fixed.iter().enumerate().filter(|(i, _)| mask & (1 << i) != 0).map(|(_, f)| *f).collect();
        let pinned: Vec<&IndexKey> = chosen.iter().map(|f| &f.0).collect();
        let predicate = chosen.iter().map(|f| f.1.as_str()).collect::<Vec<_>>().join(" AND ");
        let mut reduced = Roles { arms: Vec::new(), fixed: Vec::new(), ..roles.clone() };
        reduced.equal.retain(|k| !pinned.contains(&k));
        arrange(&reduced, Some(&predicate), width, &mut out);
        // An index of nothing but the predicate still needs a key: the pinned column serves.
        if let Some(first) = pinned.first() {
            out.insert((vec![(*first).clone()], Some(predicate)));
        }
    }
    out
}

fn arrange(roles: &Roles, predicate: Option<&str>, width: usize, out: &mut BTreeSet<Sequence>) {
    let mut add = |parts: &[&[IndexKey]]| {
        let mut keys: Vec<IndexKey> = Vec::new();
        for key in parts.iter().copied().flatten() {
            // A column once: a second time it orders nothing.
            if !keys.iter().any(|k| k.target == key.target) {
                keys.push(key.clone());
            }
        }
        if !keys.is_empty() && keys.len() <= width {
            out.insert((keys, predicate.map(str::to_owned)));
        }
    };
    let one = std::slice::from_ref::<IndexKey>;
    let mut prefixes: Vec<Vec<IndexKey>> = vec![Vec::new()];
    prefixes.extend(orders(&roles.equal));
    for key in &roles.equal {
        prefixes.push(vec![key.clone()]);
    }
    for joined in roles.joins.values() {
        prefixes.push(joined.clone());
        for order in orders(&roles.equal) {
            prefixes.push([joined.clone(), order.clone()].concat());
            prefixes.push([order, joined.clone()].concat());
        }
    }
    prefixes.sort();
    prefixes.dedup();
    for prefix in &prefixes {
        add(&[prefix]);
        for list in &roles.listed {
            add(&[prefix, one(list)]);
            add(&[one(list), prefix]);
        }
        for range in roles.ranges.iter().chain(&roles.likes) {
            add(&[prefix, one(range)]);
            for list in &roles.listed {
                add(&[prefix, one(list), one(range)]);
            }
        }
        for sort in &roles.sorts {
            add(&[prefix, sort]);
            for range in &roles.ranges {
                // Read in order, the range checked in the index before the table is visited.
                add(&[prefix, sort, one(range)]);
            }
        }
        for group in &roles.groups {
            add(&[prefix, group]);
        }
        for extreme in &roles.extremes {
            add(&[prefix, one(extreme)]);
        }
    }
    for arm in &roles.arms {
        add(&[one(arm)]);
    }
}

/// The orders of up to three equality columns; beyond that the given order, which is by the number of
/// distinct values. Which order is best depends on what else begins with the same columns, so the
/// costs decide.
fn orders(keys: &[IndexKey]) -> Vec<Vec<IndexKey>> {
    match keys {
        [] => Vec::new(),
        [a] => vec![vec![a.clone()]],
        [a, b] => vec![vec![a.clone(), b.clone()], vec![b.clone(), a.clone()]],
        [a, b, c] => [[a, b, c], [a, c, b], [b, a, c], [b, c, a], [c, a, b], [c, b, a]]
            .into_iter()
            .map(|order| order.into_iter().cloned().collect())
            .collect(),
        many => vec![many.to_vec()],
    }
}

fn roles(occasion: &Occasion<'_>) -> Roles {
    let mut roles = Roles::default();
    let mut all_arms: Vec<IndexKey> = Vec::new();
    for predicate in &occasion.relation_use.predicates {
        let Some(key) = key_of(occasion, &predicate.key) else { continue };
        if predicate.disjunct.is_some() {
            let searchable = predicate.operator.is_equality()
                || predicate.operator == Operator::In
                || predicate.operator.is_range();
            if searchable {
                push(&mut roles.arms, key.clone());
            }
            all_arms.push(key);
            continue;
        }
        if let Some(condition) = fixed_condition(occasion, predicate) {
            roles.fixed.push((key.clone(), condition));
        }
        match &predicate.operator {
            o if o.is_equality() => push(&mut roles.equal, key),
            Operator::In => push(&mut roles.listed, key),
            o if o.is_range() => push(&mut roles.ranges, key),
            Operator::Like { case_insensitive: false } => {
                push(&mut roles.likes, pattern_key(occasion, key));
            }
            _ => {}
        }
    }
    // An OR of conditions on one column is a list.
    if let ([first], true) = (roles.arms.as_slice(), all_arms.len() > 1)
        && all_arms.iter().all(|k| k == first)
    {
        let first = first.clone();
        roles.arms.clear();
        push(&mut roles.listed, first);
    }
    let distinct = |key: &IndexKey| -> f64 {
        match &key.target {
            KeyTarget::Column(name) => occasion
                .relation
                .column(name)
                .and_then(|c| c.statistics.as_ref())
                .map_or(1.0, |s| s.distinct(occasion.relation.rows())),
            KeyTarget::Expression(_) => f64::INFINITY,
        }
    };
    roles.equal.sort_by(|a, b| distinct(b).total_cmp(&distinct(a)).then_with(|| a.cmp(b)));
    for join in &occasion.analysis.joins {
        for (this, other) in [(&join.left, &join.right), (&join.right, &join.left)] {
            if this.relation == occasion.number
                && let Some(key) = column_key(occasion, &this.column)
            {
                push(roles.joins.entry(other.relation).or_default(), key);
            }
        }
    }
    for need in &occasion.relation_use.sorts {
        let Some(keys) = sort_keys(occasion, need) else { continue };
        match need.origin {
            SortOrigin::OrderBy | SortOrigin::DistinctOn | SortOrigin::Window => roles.sorts.push(keys),
            SortOrigin::GroupBy | SortOrigin::Distinct if need.complete => roles.groups.push(keys),
            SortOrigin::GroupBy | SortOrigin::Distinct => {}
        }
    }
    for name in &occasion.relation_use.extremes {
        roles.extremes.extend(column_key(occasion, name));
    }
    roles
}

fn push(keys: &mut Vec<IndexKey>, key: IndexKey) {
    if !keys.iter().any(|k| k.target == key.target) {
        keys.push(key);
    }
}

fn column_key(occasion: &Occasion<'_>, name: &str) -> Option<IndexKey> {
    let column = occasion.relation.column(name)?;
    column.has_btree_opclass.then(|| IndexKey::column(name))
}

fn key_of(occasion: &Occasion<'_>, key: &KeyExpression) -> Option<IndexKey> {
    match key {
        KeyExpression::Column(name) => column_key(occasion, name),
        KeyExpression::Expression { sql, .. } => {
            let sql = sql.as_ref()?;
            Some(IndexKey { target: KeyTarget::Expression(sql.clone()), ..IndexKey::column("") })
        }
    }
}

/// A LIKE with a fixed beginning is a range only in the byte order of the `C` collation, or with the
/// pattern operator class.
fn pattern_key(occasion: &Occasion<'_>, key: IndexKey) -> IndexKey {
    let column = match &key.target {
        KeyTarget::Column(name) => occasion.relation.column(name),
        KeyTarget::Expression(_) => None,
    };
    let own = column.and_then(|c| c.collation.as_ref()).map(|c| c.name.as_str());
    let collation = own.unwrap_or(occasion.snapshot.server.collate.as_str());
    if matches!(collation, "C" | "POSIX" | "ucs_basic") {
        return key;
    }
    let opclass = match column.map(|c| c.base_type.name.as_str()) {
        Some("bpchar") => "bpchar_pattern_ops",
        Some("varchar") => "varchar_pattern_ops",
        _ => "text_pattern_ops",
    };
    IndexKey { opclass: Some(model::QualifiedName::new("pg_catalog", opclass)), ..key }
}

/// The keys of an order. An order that is all descending is read backwards from a plain index.
fn sort_keys(occasion: &Occasion<'_>, need: &SortNeed) -> Option<Vec<IndexKey>> {
    let keys: Option<Vec<IndexKey>> = need
        .items
        .iter()
        .map(|item| {
            let key = key_of(occasion, &item.key)?;
            Some(IndexKey { order: item.order, nulls: item.nulls, ..key })
        })
        .collect();
    let mut keys = keys.filter(|k| !k.is_empty())?;
    for key in &mut keys {
        // NULLS LAST on an ascending key is the default spelt out, and so is NULLS FIRST on a descending.
        let spelt_out = matches!(
            (key.order, key.nulls),
            (SortOrder::Asc, NullsOrder::Last) | (SortOrder::Desc, NullsOrder::First)
        );
        if spelt_out {
            key.nulls = NullsOrder::Default;
        }
    }
    let backwards = keys.iter().all(|k| k.order == SortOrder::Desc && k.nulls == NullsOrder::Default);
    if backwards {
        for key in &mut keys {
            key.order = SortOrder::Asc;
        }
    }
    Some(keys)
}

/// The condition of a partial index, when the statement states one with constants and it leaves most
/// rows out.
fn fixed_condition(occasion: &Occasion<'_>, predicate: &Predicate) -> Option<String> {
    let name = predicate.key.column()?;
    let column = occasion.relation.column(name)?;
    let statistics = column.statistics.as_ref().or(column.inherited_statistics.as_ref())?;
    let quoted = quote_identifier(name);
    let distinct = statistics.distinct(occasion.relation.rows());
    let frequency = |wanted: &str| {
        let common = statistics.common_values();
        common.iter().find(|(v, _)| v == wanted).map_or(1.0 / distinct, |(_, f)| f64::from(*f))
    };
    let (condition, share) = match &predicate.operator {
        Operator::IsTrue => (quoted, frequency("t")),
        Operator::IsFalse => (format!("NOT {quoted}"), frequency("f")),
        Operator::IsNull => (format!("{quoted} IS NULL"), f64::from(statistics.null_frac)),
        Operator::Equal => {
            let value = constant_of(occasion.statement, predicate)?;
            (format!("{quoted} = {}", quote_literal(&value)), frequency(&value))
        }
        _ => return None,
    };
    // A value of its own among thousands is a key, not a predicate.
    let worth_it = share <= occasion.options.max_partial_fraction
        && (distinct <= 100.0 || predicate.operator == Operator::IsNull);
    worth_it.then_some(condition)
}
