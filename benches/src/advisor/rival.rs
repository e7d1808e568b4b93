//! What would a published advisor recommend for the same queries on the same server? Extend, which the
//! comparison of Kossmann et al. (*Magic Mirror in My Hand, Which Is the Best in the Land?*, VLDB 2020) found
//! the best for its time, with HypoPG as its what-if.
//!
//! Source: Schlosser, Kossmann, Boissier: *Efficient Scalable Multi-attribute Index Selection Using Recursive
//! Strategies*, ICDE 2019, with the choices of the authors' implementation: candidates are all columns that a
//! query names; each step adds a column as an index or appends it to a chosen one, whichever brings most per
//! byte; a step has to bring 0.3 %; costs are kept by query and by the indexes that have a column of it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Instant;

use anyhow::{Context as _, Result};
use model::change::{IndexDefinition, IndexKey};
use model::{Bytes, QualifiedName, Snapshot};
use serde_json::Value;
use tokio_postgres::Client;

use crate::measurement;
use crate::workload::Query;

/// A step has to make the workload cheaper by this factor.
const MIN_IMPROVEMENT: f64 = 1.003;

/// A table and the columns of an index in order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Columns {
    table: QualifiedName,
    columns: Vec<String>,
}

impl Columns {
    fn definition(&self) -> IndexDefinition {
        let name = format!("rival_{}_{}", self.table.name, self.columns.join("_"));
        // PostgreSQL cuts names at 63 bytes; these are ASCII.
        let name: String = name.chars().take(63).collect();
        let keys = self.columns.iter().map(IndexKey::column).collect();
        IndexDefinition::btree(self.table.clone(), name, keys)
    }
}

/// A set of indexes, and what it took to find it.
pub struct RivalSet {
    /// The indexes.
    pub indexes: Vec<IndexDefinition>,
    /// What HypoPG thinks they weigh.
    pub bytes: Vec<Bytes>,
    /// The plans of the queries with them, as HypoPG makes believe.
    pub plans: Vec<Value>,
    /// How often the planner was called.
    pub planner_calls: u64,
    /// How long it took.
    pub seconds: f64,
}

/// Chooses indexes of at most `width` columns, within a budget of HypoPG's bytes.
///
/// # Errors
/// When HypoPG is not installed on the machine, or the server refuses something.
pub async fn extend(
    client: Client,
    snapshot: &Snapshot,
    queries: &[Query],
    width: usize,
    budget: Bytes,
) -> Result<RivalSet> {
    client
        .batch_execute("CREATE EXTENSION IF NOT EXISTS hypopg")
        .await
        .context("the rival needs HypoPG (Debian's package postgresql-15-hypopg)")?;
    let start = Instant::now();
    let mut model = WhatIf::new(&client, queries);
    let attributes = attributes(snapshot, &model.words);
    let mut singles = attributes.clone();
    let mut chosen: Vec<Columns> = Vec::new();
    let mut current = model.cost(&chosen).await?;
    loop {
        let mut best: Option<Step> = None;
        for options in [added(&chosen, &singles), extended(&chosen, &attributes, width)] {
            for option in options {
                let cost = model.cost(&option).await?;
                if cost * MIN_IMPROVEMENT >= current {
                    continue;
                }
                let bytes = model.bytes(&option).await?;
                if bytes > budget.0 {
                    continue;
                }
                let more = bytes.saturating_sub(model.bytes(&chosen).await?).max(1);
                let ratio = (current - cost) / more as f64;
                if best.as_ref().is_none_or(|b| ratio > b.ratio) {
                    best = Some(Step { option, cost, ratio });
                }
            }
        }
        let Some(step) = best else { break };
        singles.retain(|single| !step.option.contains(single));
        (chosen, current) = (step.option, step.cost);
    }
    model.switch(&chosen).await?;
    let plans = measurement::explain(&client, queries).await?;
    let mut bytes = Vec::with_capacity(chosen.len());
    for index in &chosen {
        bytes.push(Bytes(model.bytes(std::slice::from_ref(index)).await?));
    }
    let (planner_calls, seconds) = (model.planner_calls, start.elapsed().as_secs_f64());
    // Hypothetical indexes end with the session; the extension would show in a snapshot.
    client.batch_execute("DROP EXTENSION hypopg").await?;
    let indexes = chosen.iter().map(Columns::definition).collect();
    Ok(RivalSet { indexes, bytes, plans, planner_calls, seconds })
}

/// The best step so far.
struct Step {
    option: Vec<Columns>,
    cost: f64,
    ratio: f64,
}

/// The set with one index of one column more.
fn added(chosen: &[Columns], singles: &[Columns]) -> Vec<Vec<Columns>> {
    let new = singles.iter().filter(|single| !chosen.contains(single));
    new.map(|single| chosen.iter().chain([single]).cloned().collect()).collect()
}

/// The set with one index made one column longer.
fn extended(chosen: &[Columns], attributes: &[Columns], width: usize) -> Vec<Vec<Columns>> {
    let mut options = Vec::new();
    for (at, index) in chosen.iter().enumerate().filter(|(_, index)| index.columns.len() < width) {
        for attribute in attributes.iter().filter(|a| a.table == index.table) {
            if attribute.columns.iter().any(|column| index.columns.contains(column)) {
                continue;
            }
            let columns = index.columns.iter().chain(&attribute.columns).cloned().collect();
            let longer = Columns { table: index.table.clone(), columns };
            if !chosen.contains(&longer) {
                let mut option = chosen.to_vec();
                option[at] = longer;
                options.push(option);
            }
        }
    }
    options
}

/// Every column that a query names, as an index.
fn attributes(snapshot: &Snapshot, words: &[BTreeSet<String>]) -> Vec<Columns> {
    let named = |column: &str| words.iter().any(|words| words.contains(column));
    let mut attributes = Vec::new();
    for relation in &snapshot.relations {
        for column in relation.columns.iter().filter(|c| named(&c.name)) {
            attributes.push(Columns { table: relation.name.clone(), columns: vec![column.name.clone()] });
        }
    }
    attributes
}

/// HypoPG in one session, and what it was asked before.
struct WhatIf<'a> {
    client: &'a Client,
    queries: &'a [Query],
    /// The words of each query.
    words: Vec<BTreeSet<String>>,
    /// The hypothetical indexes that are there.
    on: BTreeMap<Columns, u32>,
    sizes: HashMap<Columns, u64>,
    costs: HashMap<(usize, Vec<Columns>), f64>,
    planner_calls: u64,
}

impl<'a> WhatIf<'a> {
    fn new(client: &'a Client, queries: &'a [Query]) -> Self {
        let words = |query: &Query| {
            let words = query.sql.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            words.map(str::to_ascii_lowercase).collect()
        };
        Self {
            client,
            queries,
            words: queries.iter().map(words).collect(),
            on: BTreeMap::new(),
            sizes: HashMap::new(),
            costs: HashMap::new(),
            planner_calls: 0,
        }
    }

    /// Makes exactly these indexes exist.
    async fn switch(&mut self, indexes: &[Columns]) -> Result<()> {
        let gone: Vec<Columns> = self.on.keys().filter(|on| !indexes.contains(on)).cloned().collect();
        for index in gone {
            if let Some(oid) = self.on.remove(&index) {
                self.client.execute("SELECT hypopg_drop_index($1)", &[&oid]).await?;
            }
        }
        for index in indexes {
            if !self.on.contains_key(index) {
                let sql = index.definition().create_sql(false);
                let row =
                    self.client.query_one("SELECT indexrelid FROM hypopg_create_index($1)", &[&sql]).await?;
                let oid: u32 = row.try_get(0)?;
                let row = self.client.query_one("SELECT hypopg_relation_size($1)", &[&oid]).await?;
                self.sizes.insert(index.clone(), u64::try_from(row.try_get::<_, i64>(0)?)?);
                self.on.insert(index.clone(), oid);
            }
        }
        Ok(())
    }

    /// What a set weighs. Its indexes have existed before, because its cost was asked for.
    async fn bytes(&mut self, indexes: &[Columns]) -> Result<u64> {
        if indexes.iter().any(|index| !self.sizes.contains_key(index)) {
            self.switch(indexes).await?;
        }
        Ok(indexes.iter().filter_map(|index| self.sizes.get(index)).sum())
    }

    /// What the workload costs with a set.
    async fn cost(&mut self, indexes: &[Columns]) -> Result<f64> {
        let mut sum = 0.0;
        for number in 0..self.queries.len() {
            let words = &self.words[number];
            let relevant = indexes.iter().filter(|i| i.columns.iter().any(|c| words.contains(c)));
            let mut relevant: Vec<Columns> = relevant.cloned().collect();
            relevant.sort();
            let key = (number, relevant);
            let cost = match self.costs.get(&key) {
                Some(known) => *known,
                None => {
                    self.switch(indexes).await?;
                    let plans = measurement::explain(self.client, &self.queries[number..=number]).await?;
                    self.planner_calls += 1;
                    let cost = plans.first().map_or(f64::NAN, measurement::cost);
                    self.costs.insert(key, cost);
                    cost
                }
            };
            sum += cost;
        }
        Ok(sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(table: &str, columns: &[&str]) -> Columns {
        let columns = columns.iter().map(|c| (*c).to_owned()).collect();
        Columns { table: QualifiedName::new("public", table), columns }
    }

    #[test]
    fn a_step_adds_a_column_or_makes_an_index_longer() {
        let attributes = [columns("t", &["a"]), columns("t", &["b"]), columns("u", &["c"])];
        let chosen = [columns("t", &["a"])];
        assert_eq!(
            added(&chosen, &attributes),
            [
                vec![columns("t", &["a"]), columns("t", &["b"])],
                vec![columns("t", &["a"]), columns("u", &["c"])]
            ]
        );
        assert_eq!(extended(&chosen, &attributes, 2), [vec![columns("t", &["a", "b"])]]);
        assert!(extended(&chosen, &attributes, 1).is_empty());
    }
}
