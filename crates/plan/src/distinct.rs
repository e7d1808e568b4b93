//! How many different keys did a Memoize look up, and how many did the planner believe in?
//!
//! Source: `cost_memoize_rescan()` in costsize.c, which expects `estimate_num_groups()` different keys, for a column its
//! `n_distinct` of `pg_stats`; that is what ANALYZE guessed from a sample, or what `ALTER COLUMN … SET (n_distinct = …)`
//! says. Entries that are still there at the end are different keys; how often others were found again tells, for keys in
//! no order, of how many they are.

use model::Snapshot;
use model::snapshot::{Column, Relation};
use model::{Number, Parameter};

use crate::facts;
use crate::node::{Node, Plan, Relationship};

/// An `n_distinct` below which the keys are more often different.
const WRONG: f64 = 3.0;

/// From this share of the table's rows on its keys tell about all of it.
const WHOLE: f64 = 0.9;

/// A number of different values that is not true.
pub(crate) struct FalseDistinct<'s> {
    pub relation: &'s Relation,
    pub column: &'s Column,
    /// What the planner goes by.
    pub believed: f64,
    /// How many there are at least.
    pub least: f64,
    /// Whether somebody set it by hand.
    pub by_hand: bool,
    /// What it should be, in the terms of `n_distinct`, where all rows were seen.
    pub right: Option<f64>,
}

/// The `n_distinct` on which a Memoize rests, if it is false.
pub(crate) fn false_distinct<'s>(
    plan: &Plan,
    memoize: &Node,
    database: &'s Snapshot,
) -> Option<FalseDistinct<'s>> {
    let cache = memoize.memoize.filter(|c| c.overflows == 0)?;
    let (alias, name) = memoize.cache_key.as_deref()?.split_once('.')?;
    let bare = |text: &str| text.trim_matches('"').to_owned();
    let (alias, name) = (bare(alias), bare(name));
    let join = plan.parent(memoize)?;
    let outer = plan.child(join, Relationship::Outer)?;
    let scan = plan
        .subtree(outer)
        .iter()
        .find(|n| n.relation.is_some() && n.alias.as_ref().or(n.relation.as_ref()) == Some(&alias))?;
    let relation = facts::relation_of(database, scan)?;
    let column = relation.column(&name)?;
    let rows = relation.rows();
    let believed = column.statistics.as_ref()?.distinct(rows);
    // Each process below a Gather has a cache of its own, so a key may be missed by each.
    let processes =
        plan.ancestors(memoize).find_map(|a| a.workers_launched).map_or(1, |w| w.saturating_add(1));
    let kept = cache.misses.saturating_sub(cache.evictions) as f64;
    let least = kept / processes as f64;
    if least < WRONG * believed {
        return None;
    }
    let whole = processes == 1 && scan.rows() >= WHOLE * rows && outer.id == scan.id;
    let lookups = (cache.hits + cache.misses) as f64;
    let found_again = kept * lookups / (cache.hits as f64).max(1.0);
    let about =
        if cache.evictions == 0 { least } else { found_again.min(cache.misses as f64) / processes as f64 };
    let right = whole.then(|| {
        let share = about / rows.max(1.0);
        if share > 0.1 { -(share.min(1.0) * 100.0).round() / 100.0 } else { about.round() }
    });
    let by_hand = column.options.iter().any(|o| o.starts_with("n_distinct="));
    Some(FalseDistinct { relation, column, believed, least, by_hand, right })
}

impl FalseDistinct<'_> {
    /// The column, to be read.
    pub(crate) fn name(&self) -> String {
        format!("{}.{}", self.relation.name, model::quote_identifier(&self.column.name))
    }

    /// What corrects it: what was set by hand is taken back, what ANALYZE guessed is told.
    pub(crate) fn sql(&self) -> Vec<String> {
        let parameter = Parameter::ColumnDistinct { column: self.column.name.clone(), inherited: false };
        let told = self.right.unwrap_or(self.least.round());
        let value = Number::parse(&told.to_string());
        let set = match (self.by_hand, value) {
            (false, Some(value)) => parameter.set_sql(&self.relation.name, Some(&value)),
            _ => parameter.set_sql(&self.relation.name, None),
        };
        vec![set, format!("ANALYZE {}", self.relation.name)]
    }
}
