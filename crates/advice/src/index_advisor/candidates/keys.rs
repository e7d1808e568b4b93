//! Which columns, in which order? The key lists of B-tree candidates.
//!
//! A list is what one scan could use: columns that are compared for equality or joined, in front; then a list, a range,
//! a pattern or the columns of an order, a group or a row comparison; then a range that is checked in the index while
//! it is read in order. Lists are ranked by the share of the table that they leave and by the sort that they save,
//! and only the first of the ranking become candidates: what is decided here is which dozen lists of hundreds the
//! planner is asked about, never which is built.

use std::collections::{BTreeMap, BTreeSet};

use model::change::{NullsOrder, SortOrder};
use model::snapshot::ColumnStatistics;
use model::{IndexKey, KeyTarget, quote_identifier, quote_literal};
use sql::{KeyExpression, Operator, Predicate, SortNeed, SortOrigin};

use super::{Occasion, constant, constant_of};
use crate::workload::Source;

/// A key list.
#[derive(Clone, Debug)]
pub(super) struct Sequence {
    pub keys: Vec<IndexKey>,
    /// The predicate of a partial index, if it has one.
    pub predicate: Option<String>,
    /// Columns whose conditions the predicate implies.
    pub implied: BTreeSet<String>,
    /// Whether the predicate keeps few rows, whose order is wanted.
    pub queue: bool,
    /// Whether it leaves so much of the table that only reading nothing but the index could help.
    pub keeps_most: bool,
    /// How promising it is; only the order counts.
    score: f64,
}

/// What a key does for a scan.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Use {
    /// One value of it: keeps this share of the rows, and what follows stays in order.
    One(f64),
    /// A stretch or several stretches of it: keeps this share, and ends the order.
    Stretch(f64),
    /// Part of an order that is wanted, this much.
    Order(f64),
}

type Part = (IndexKey, Use);

/// A condition that the text states with constants: a partial index could carry it.
#[derive(Clone, Debug)]
struct Fixed {
    key: IndexKey,
    /// The column that it is on, where it is on the column itself.
    column: Option<String>,
    /// The columns that it is computed from, where it is.
    columns: BTreeSet<String>,
    condition: String,
    share: f64,
}

/// What an occurrence asks of an index, sorted by role.
#[derive(Clone, Default)]
struct Roles {
    equal: Vec<Part>,
    listed: Vec<Part>,
    ranges: Vec<Part>,
    /// Arms of an `OR`, each with the conditions that hold together.
    arms: Vec<Vec<Part>>,
    /// Join columns, by the number of the other side.
    joins: BTreeMap<usize, Vec<Part>>,
    /// Orders, groups, extremes and row comparisons.
    orders: Vec<Vec<Part>>,
    fixed: Vec<Fixed>,
}

/// How many of the best key lists stand before the lists of one key, which other statements may share.
const BEST: usize = 16;

/// The share of rows up to which a partial index is made beside one of all rows with the same keys, whose order is wanted:
/// a queue. One row is found by its key in either, and is looked at once.
const FEW: f64 = 0.1;
/// The share of rows of which an expression is taken to be true, or false: nothing tells before the planner does.
const FEW_TRUE: f64 = 0.1;

/// Where an index leaves more than this share of the rows, spread over the table, a scan visits every page just the
/// same.
const MOST: f64 = 0.3;

/// All key lists that are worth a thought for one occurrence of a table, the most promising first.
pub(super) fn sequences(occasion: &Occasion<'_>) -> Vec<Sequence> {
    let roles = roles(occasion);
    let mut out: BTreeMap<(Vec<IndexKey>, Option<String>), Sequence> = BTreeMap::new();
    arrange(&roles, &[], occasion.options.max_key_columns, &mut out);
    // The same without the columns that a partial index's predicate pins: by each condition, and by all.
    let all: Vec<&Fixed> = roles.fixed.iter().take(3).collect();
    let mut sets: Vec<Vec<&Fixed>> = all.iter().map(|one| vec![*one]).collect();
    if all.len() > 1 {
        sets.push(all);
    }
    for set in sets {
        let mut reduced = Roles { arms: Vec::new(), fixed: Vec::new(), ..roles.clone() };
        let free = |(key, _): &Part| set.iter().all(|f| f.key.target != key.target);
        reduced.equal.retain(free);
        reduced.ranges.retain(free);
        arrange(&reduced, &set, occasion.options.max_key_columns, &mut out);
        // An index of nothing but the predicate still needs a key: the pinned column serves.
        let first = set.iter().take(1);
        let pinned: Vec<Part> = first.map(|f| (pinned_key(occasion, f), Use::One(1.0))).collect();
        add(&[&pinned], &set, 1, &mut out);
    }
    let mut ranked: Vec<Sequence> = out.into_values().collect();
    // The sort is stable: equal ones stay in the order of their keys.
    ranked.sort_by(|a, b| b.score.total_cmp(&a.score));
    let (mut first, mut rest) = (Vec::new(), Vec::new());
    for (rank, sequence) in ranked.into_iter().enumerate() {
        let shared = sequence.keys.len() == 1 && sequence.predicate.is_none();
        if rank < BEST || shared { first.push(sequence) } else { rest.push(sequence) }
    }
    first.extend(rest);
    first
}

/// The columns by which other tables are joined, each list of them together and each column alone.
pub(super) fn join_keys(occasion: &Occasion<'_>) -> BTreeSet<Vec<IndexKey>> {
    let roles = roles(occasion);
    let lists = roles.joins.values().map(|list| list.iter().map(|(key, _)| key.clone()).collect());
    let singles = roles.joins.values().flatten().map(|(key, _)| vec![key.clone()]);
    lists.chain(singles).filter(|keys: &Vec<_>| keys.len() <= occasion.options.max_key_columns).collect()
}

/// The columns that the statement asks for in a range, each with what it asks as the predicate of a partial index
/// where the text states it with constants.
pub(super) fn ranges(occasion: &Occasion<'_>) -> BTreeMap<String, Option<String>> {
    let mut ranges: BTreeMap<String, Option<Vec<String>>> = BTreeMap::new();
    let predicates = occasion.relation_use.predicates.iter();
    for predicate in predicates.filter(|p| p.disjunct.is_none() && p.operator.is_range()) {
        let Some(column) = predicate.key.column().filter(|c| column_key(occasion, c).is_some()) else {
            continue;
        };
        let name = quote_identifier(column);
        let constants: Option<Vec<String>> =
            predicate.values.iter().map(|v| Some(quote_literal(&constant(occasion.statement, v)?))).collect();
        let condition = match (&predicate.operator, constants.as_deref()) {
            (Operator::Between, Some([low, high])) => Some(format!("{name} >= {low} AND {name} <= {high}")),
            (Operator::Less, Some([value])) => Some(format!("{name} < {value}")),
            (Operator::LessOrEqual, Some([value])) => Some(format!("{name} <= {value}")),
            (Operator::Greater, Some([value])) => Some(format!("{name} > {value}")),
            (Operator::GreaterOrEqual, Some([value])) => Some(format!("{name} >= {value}")),
            _ => None,
        };
        let known = ranges.entry(column.to_owned()).or_insert_with(|| Some(Vec::new()));
        match (known.as_mut(), condition) {
            (Some(conditions), Some(condition)) => conditions.push(condition),
            _ => *known = None,
        }
    }
    ranges.into_iter().map(|(column, conditions)| (column, conditions.map(|c| c.join(" AND ")))).collect()
}

/// Puts parts together, each column once, and scores what comes out.
fn add(
    parts: &[&[Part]],
    fixed: &[&Fixed],
    width: usize,
    out: &mut BTreeMap<(Vec<IndexKey>, Option<String>), Sequence>,
) {
    let mut keys: Vec<IndexKey> = Vec::new();
    let kept: f64 = fixed.iter().map(|f| f.share).product();
    let mut share = kept;
    let mut saved_sort = 0.0;
    let (mut in_order, mut searching) = (true, true);
    for (key, used) in parts.iter().copied().flatten() {
        // A column once: a second time it orders nothing.
        if keys.iter().any(|k| k.target == key.target) {
            continue;
        }
        match used {
            Use::One(kept) | Use::Stretch(kept) if searching => share *= kept,
            // Checked in the index, after all entries were read.
            Use::One(kept) | Use::Stretch(kept) => share *= kept.sqrt(),
            Use::Order(worth) if in_order => saved_sort += worth,
            Use::Order(_) => {}
        }
        match used {
            Use::One(_) => {}
            Use::Stretch(_) => (in_order, searching) = (false, false),
            Use::Order(_) => searching = false,
        }
        keys.push(key.clone());
    }
    if keys.is_empty() || keys.len() > width {
        return;
    }
    let predicate: Vec<&str> = fixed.iter().map(|f| f.condition.as_str()).collect();
    let predicate = (!predicate.is_empty()).then(|| predicate.join(" AND "));
    let score = saved_sort - share.max(1e-9).ln() - 0.3 * keys.len() as f64;
    let implied = fixed.iter().filter_map(|f| f.column.clone()).collect();
    let keeps_most = share > MOST && saved_sort == 0.0;
    let sequence = Sequence {
        keys: keys.clone(),
        predicate: predicate.clone(),
        implied,
        queue: kept <= FEW && saved_sort > 0.0,
        keeps_most,
        score,
    };
    match out.entry((keys, predicate)) {
        std::collections::btree_map::Entry::Vacant(free) => drop(free.insert(sequence)),
        std::collections::btree_map::Entry::Occupied(mut known) => {
            if known.get().score < score {
                known.insert(sequence);
            }
        }
    }
}

fn arrange(
    roles: &Roles,
    fixed: &[&Fixed],
    width: usize,
    out: &mut BTreeMap<(Vec<IndexKey>, Option<String>), Sequence>,
) {
    let one = std::slice::from_ref::<Part>;
    let equal = roles.equal.as_slice();
    let mut prefixes: Vec<Vec<Part>> = vec![Vec::new()];
    prefixes.extend(rotations(equal));
    prefixes.extend(equal.iter().map(|part| vec![part.clone()]));
    let joins: Vec<&Vec<Part>> = roles.joins.values().collect();
    for joined in &joins {
        prefixes.push((*joined).clone());
        if joined.len() > 1 {
            prefixes.extend(joined.iter().map(|part| vec![part.clone()]));
            prefixes.extend(rotations(joined));
        }
        if !equal.is_empty() {
            prefixes.push([joined.as_slice(), equal].concat());
            prefixes.push([equal, joined.as_slice()].concat());
            for part in equal {
                prefixes.push([joined.as_slice(), one(part)].concat());
                prefixes.push([one(part), joined.as_slice()].concat());
            }
        }
        // A table between two others: a row of each is known.
        for other in joins.iter().filter(|other| other != &joined).take(3) {
            prefixes.push([joined.as_slice(), other.as_slice()].concat());
        }
    }
    for arm in &roles.arms {
        add(&[arm], fixed, width, out);
        add(&[equal, arm], fixed, width, out);
    }
    for prefix in &prefixes {
        add(&[prefix], fixed, width, out);
        for list in &roles.listed {
            add(&[prefix, one(list)], fixed, width, out);
            add(&[one(list), prefix], fixed, width, out);
            for other in roles.listed.iter().filter(|other| other.0 != list.0) {
                add(&[prefix, one(list), one(other)], fixed, width, out);
            }
        }
        for range in &roles.ranges {
            add(&[prefix, one(range)], fixed, width, out);
            for list in &roles.listed {
                add(&[prefix, one(list), one(range)], fixed, width, out);
            }
            for other in roles.ranges.iter().filter(|other| other.0 != range.0).take(2) {
                // The second is checked in the index.
                add(&[prefix, one(range), one(other)], fixed, width, out);
            }
        }
        for order in &roles.orders {
            add(&[prefix, order], fixed, width, out);
            for checked in roles.ranges.iter().chain(&roles.listed) {
                // Read in order, the condition checked in the index before the table is visited.
                add(&[prefix, order, one(checked)], fixed, width, out);
            }
        }
    }
}

/// Each column in front of the others, which stay in the given order. Which is best depends on what else begins with
/// the same column; the order of the rest tells the planner nothing.
fn rotations(parts: &[Part]) -> Vec<Vec<Part>> {
    (0..parts.len())
        .filter(|first| !keeps_usual(&parts[*first].1) || parts.iter().all(|(_, used)| keeps_usual(used)))
        .map(|first| {
            let rest = parts.iter().enumerate().filter(|(i, _)| *i != first).map(|(_, p)| p.clone());
            std::iter::once(parts[first].clone()).chain(rest).collect()
        })
        .collect()
}

/// Whether a condition keeps what most rows are, like `deleted_at IS NULL`. In front of other keys it finds nothing that they
/// do not find without it, and an index that begins with it serves no statement that does not say it.
fn keeps_usual(used: &Use) -> bool {
    matches!(used, Use::One(kept) if *kept > 0.5)
}

fn roles(occasion: &Occasion<'_>) -> Roles {
    let mut roles = Roles::default();
    let mut arms: BTreeMap<usize, Vec<Part>> = BTreeMap::new();
    for predicate in &occasion.relation_use.predicates {
        let Some(key) = key_of(occasion, &predicate.key) else { continue };
        let used = match &predicate.operator {
            o if o.is_equality() => Use::One(kept(occasion, predicate, &key)),
            Operator::In => Use::Stretch(list_kept(occasion, &key, predicate.values.len())),
            Operator::AnyOf => Use::Stretch(list_kept(occasion, &key, 5)),
            o if o.is_range() => Use::Stretch(0.05),
            Operator::IsNotNull => Use::Stretch(kept(occasion, predicate, &key)),
            Operator::Like { case_insensitive: false } => Use::Stretch(0.01),
            Operator::Other(o) if o == "^@" => Use::Stretch(0.01),
            // No scan looks for two values at once, NULL one of them: only a predicate can say it.
            Operator::IsNotTrue | Operator::IsNotFalse => {
                roles.fixed.extend(fixed(occasion, predicate, &key));
                continue;
            }
            _ => continue,
        };
        let pattern = matches!(&predicate.operator, Operator::Like { .. } | Operator::Other(_));
        let key = if pattern { pattern_key(occasion, key) } else { key };
        if let Some(arm) = predicate.disjunct {
            push(arms.entry(arm.arm).or_default(), (key, used));
            continue;
        }
        roles.fixed.extend(fixed(occasion, predicate, &key));
        match (&predicate.operator, used) {
            (_, Use::One(_)) => push(&mut roles.equal, (key, used)),
            (Operator::In | Operator::AnyOf, _) => push(&mut roles.listed, (key, used)),
            _ => push(&mut roles.ranges, (key, used)),
        }
    }
    roles.fixed.extend(left_out(occasion));
    roles.fixed.sort_by(|a, b| a.share.total_cmp(&b.share));
    // Columns with many values first; what is in front decides how much is read of each page of the index.
    let selective = |parts: &mut Vec<Part>| {
        parts.sort_by(|a, b| {
            occasion
                .distinct(&b.0.target)
                .total_cmp(&occasion.distinct(&a.0.target))
                .then_with(|| a.0.cmp(&b.0))
        });
    };
    selective(&mut roles.equal);
    // What most rows are narrows nothing down, however many values the others have.
    roles.equal.sort_by_key(|(_, used)| keeps_usual(used));
    let mut arms: Vec<Vec<Part>> = arms.into_values().collect();
    for arm in &mut arms {
        // Equalities in front, then one stretch.
        arm.sort_by_key(|(_, used)| !matches!(used, Use::One(_)));
    }
    arms.dedup_by(|a, b| a == b);
    match arms.as_slice() {
        // An OR of conditions on one column is a list.
        [only] if only.len() == 1 => push(&mut roles.listed, only[0].clone()),
        _ => roles.arms = arms,
    }
    for join in &occasion.analysis.joins {
        for (this, other) in [(&join.left, &join.right), (&join.right, &join.left)] {
            if this.relation == occasion.number
                && let Some(key) = column_key(occasion, &this.column)
            {
                let kept = 1.0 / occasion.distinct(&key.target).max(1.0);
                push(roles.joins.entry(other.relation).or_default(), (key, Use::One(kept)));
            }
        }
    }
    roles.joins.values_mut().for_each(selective);
    for need in &occasion.relation_use.sorts {
        let Some(keys) = sort_keys(occasion, need) else { continue };
        let worth = match need.origin {
            SortOrigin::OrderBy if need.limited => 4.0,
            SortOrigin::OrderBy | SortOrigin::DistinctOn | SortOrigin::Window => 2.0,
            SortOrigin::GroupBy | SortOrigin::Distinct if need.complete => 1.0,
            SortOrigin::GroupBy | SortOrigin::Distinct => continue,
        };
        let worth = worth / keys.len() as f64;
        roles.orders.push(keys.into_iter().map(|key| (key, Use::Order(worth))).collect());
    }
    for wanted in &occasion.relation_use.extremes {
        roles.orders.extend(key_of(occasion, wanted).map(|key| vec![(key, Use::Order(4.0))]));
    }
    for row in &occasion.relation_use.row_bounds {
        let keys: Option<Vec<Part>> =
            row.iter().map(|name| Some((column_key(occasion, name)?, Use::Order(1.0)))).collect();
        roles.orders.extend(keys);
    }
    roles.orders.dedup();
    roles
}

fn push(parts: &mut Vec<Part>, part: Part) {
    if !parts.iter().any(|(key, _)| key.target == part.0.target) {
        parts.push(part);
    }
}

/// The share of rows that an equality or a test for NULL keeps.
fn kept(occasion: &Occasion<'_>, predicate: &Predicate, key: &IndexKey) -> f64 {
    let KeyTarget::Column(name) = &key.target else {
        let truth = matches!(predicate.operator, Operator::IsTrue | Operator::IsFalse);
        return if truth { FEW_TRUE } else { 0.005 };
    };
    let Some(statistics) = occasion.statistics(name) else { return 0.005 };
    let nulls = f64::from(statistics.null_frac);
    match &predicate.operator {
        Operator::IsNull => nulls,
        Operator::IsNotNull => 1.0 - nulls,
        Operator::IsTrue => true_or_false(statistics, "t"),
        Operator::IsFalse => true_or_false(statistics, "f"),
        _ => (1.0 - nulls) / occasion.distinct(&key.target).max(1.0),
    }
}

/// The share of rows with a truth value. What is so rare that no sample meets it is the rest.
fn true_or_false(statistics: &ColumnStatistics, wanted: &str) -> f64 {
    let common = statistics.common_values();
    let frequency = |is_wanted: bool| {
        common.iter().find(|(value, _)| (value == wanted) == is_wanted).map(|(_, f)| f64::from(*f))
    };
    let rest = |other: f64| (1.0 - f64::from(statistics.null_frac) - other).max(0.0);
    frequency(true).or_else(|| frequency(false).map(rest)).unwrap_or(0.5)
}

fn list_kept(occasion: &Occasion<'_>, key: &IndexKey, values: usize) -> f64 {
    let distinct = match &key.target {
        KeyTarget::Column(_) => occasion.distinct(&key.target),
        KeyTarget::Expression(_) => 200.0,
    };
    (values.max(1) as f64 / distinct.max(1.0)).min(1.0)
}

fn column_key(occasion: &Occasion<'_>, name: &str) -> Option<IndexKey> {
    let column = occasion.relation.column(name)?;
    column.has_btree_opclass.then(|| IndexKey::column(name))
}

fn key_of(occasion: &Occasion<'_>, key: &KeyExpression) -> Option<IndexKey> {
    match key {
        KeyExpression::Column(name) => column_key(occasion, name),
        KeyExpression::Expression { .. } => {
            Some(IndexKey { target: occasion.target(key)?, ..IndexKey::column("") })
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

/// Conditions of partial indexes on what a statement leaves out: `state <> 'done'`, of each column all of them.
fn left_out(occasion: &Occasion<'_>) -> Vec<Fixed> {
    let mut of_columns: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    let predicates = occasion.relation_use.predicates.iter();
    for predicate in predicates.filter(|p| p.disjunct.is_none() && p.operator == Operator::NotEqual) {
        if let (Some(column), Some(value)) =
            (predicate.key.column(), constant_of(occasion.statement, predicate))
        {
            of_columns.entry(column).or_default().insert(value);
        }
    }
    let fixed = |(column, values): (&str, BTreeSet<String>)| {
        let statistics = occasion.statistics(column)?;
        let common = statistics.common_values();
        let usual = common.iter().filter(|(value, _)| values.contains(value));
        let usual: f64 = usual.map(|(_, frequency)| f64::from(*frequency)).sum();
        let share = (1.0 - usual - f64::from(statistics.null_frac)).max(0.0);
        let quoted = quote_identifier(column);
        let conditions: Vec<String> =
            values.iter().map(|value| format!("{quoted} <> {}", quote_literal(value))).collect();
        let (key, condition) = (column_key(occasion, column)?, conditions.join(" AND "));
        let worth_it = share <= occasion.options.max_partial_fraction;
        worth_it.then(|| Fixed {
            key,
            column: Some(column.to_owned()),
            columns: BTreeSet::new(),
            condition,
            share,
        })
    };
    of_columns.into_iter().filter_map(fixed).collect()
}

/// The key of an index of nothing but a predicate: the column that it is on. Where it is computed, the narrowest that the
/// statement wants beside what it is computed from, so that the table need not be visited for it, or the narrowest at all.
fn pinned_key(occasion: &Occasion<'_>, fixed: &Fixed) -> IndexKey {
    if fixed.column.is_some() {
        return fixed.key.clone();
    }
    let wanted =
        |name: &String| occasion.relation_use.columns.contains(name) && !fixed.columns.contains(name);
    let columns = occasion.relation.columns.iter().filter(|c| c.has_btree_opclass);
    let narrowest = columns.min_by_key(|c| (!wanted(&c.name), c.average_width(), c.attnum));
    narrowest.map_or_else(|| fixed.key.clone(), |c| IndexKey::column(&c.name))
}

/// What the predicate of a partial index could say of a condition that always holds.
fn fixed(occasion: &Occasion<'_>, predicate: &Predicate, key: &IndexKey) -> Option<Fixed> {
    if predicate.disjunct.is_some() {
        return None;
    }
    let (condition, share) = match &key.target {
        KeyTarget::Column(_) => fixed_condition(occasion, predicate)?,
        KeyTarget::Expression(text) => (truth(&predicate.operator, text)?, FEW_TRUE),
    };
    let column = predicate.key.column().map(str::to_owned);
    let columns = match &predicate.key {
        KeyExpression::Column(_) => BTreeSet::new(),
        KeyExpression::Expression { expression, .. } => {
            expression.columns().into_iter().map(|c| c.column.clone()).collect()
        }
    };
    Some(Fixed { key: key.clone(), column, columns, condition, share })
}

/// A truth value that is computed, as a condition.
fn truth(operator: &Operator, text: &str) -> Option<String> {
    match operator {
        Operator::IsTrue => Some(format!("({text})")),
        Operator::IsFalse => Some(format!("NOT ({text})")),
        Operator::IsNotTrue => Some(format!("({text}) IS NOT TRUE")),
        Operator::IsNotFalse => Some(format!("({text}) IS NOT FALSE")),
        _ => None,
    }
}

/// The condition of a partial index and the share of rows that it keeps, when the statement states one with constants
/// and it leaves most rows out.
fn fixed_condition(occasion: &Occasion<'_>, predicate: &Predicate) -> Option<(String, f64)> {
    let name = predicate.key.column()?;
    let statistics = occasion.statistics(name)?;
    let quoted = quote_identifier(name);
    let distinct = statistics.distinct(occasion.extent.rows);
    let nulls = f64::from(statistics.null_frac);
    let frequency = |wanted: &str| {
        let common = statistics.common_values();
        common.iter().find(|(v, _)| v == wanted).map_or(1.0 / distinct, |(_, f)| f64::from(*f))
    };
    let (condition, share) = match &predicate.operator {
        Operator::IsTrue => (quoted, true_or_false(statistics, "t")),
        Operator::IsFalse => (format!("NOT {quoted}"), true_or_false(statistics, "f")),
        Operator::IsNotTrue => (format!("{quoted} IS NOT TRUE"), nulls + true_or_false(statistics, "f")),
        Operator::IsNotFalse => (format!("{quoted} IS NOT FALSE"), nulls + true_or_false(statistics, "t")),
        Operator::IsNull => (format!("{quoted} IS NULL"), nulls),
        Operator::IsNotNull => (format!("{quoted} IS NOT NULL"), 1.0 - nulls),
        // A look-up of a foreign key asks for another value each time, though its text was made with one.
        Operator::Equal if occasion.statement.source == Source::Statement => {
            let value = constant_of(occasion.statement, predicate)?;
            (format!("{quoted} = {}", quote_literal(&value)), frequency(&value))
        }
        _ => return None,
    };
    // A value of its own among thousands is a key, not a predicate.
    let test_for_null = matches!(predicate.operator, Operator::IsNull | Operator::IsNotNull);
    let worth_it = share <= occasion.options.max_partial_fraction && (distinct <= 100.0 || test_for_null);
    worth_it.then_some((condition, share))
}
