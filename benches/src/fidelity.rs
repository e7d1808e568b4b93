//! Does the twin plan the queries as the server does, and does it know what indexes will weigh?

use anyhow::{Context as _, Result, bail};
use cluster::Binaries;
use model::change::IndexDefinition;
use model::cost_model::{Configuration, CostModel as _, Registered};
use model::{Bytes, Snapshot};
use plan::Plan;
use plan::render::{shape, shape_hash};
use serde::Serialize;
use serde_json::Value;
use twin::{Twin, TwinOptions};

use crate::measurement::cost;
use crate::workload::Query;

/// What the twin says of a set of indexes.
#[derive(Clone, Debug)]
pub struct Promise {
    /// The plan of each query with the set.
    pub plans: Vec<Value>,
    /// What each index would weigh.
    pub bytes: Vec<Bytes>,
}

impl Promise {
    /// Sum of the costs.
    pub fn cost(&self) -> f64 {
        self.plans.iter().map(cost).sum()
    }
}

/// Asks a fresh twin what a set of indexes would do.
///
/// # Errors
/// When the twin does not start, or refuses an index or a query.
pub async fn promise(
    snapshot: &Snapshot,
    binaries: &Binaries,
    indexes: &[IndexDefinition],
    queries: &[Query],
) -> Result<Promise> {
    let mut twin = Twin::build(snapshot, binaries, TwinOptions::default()).await?;
    twin.learn_combinations(&advice::known_combinations(snapshot));
    let mut configuration = Configuration::current();
    let mut sizes = Vec::with_capacity(indexes.len());
    for (answer, index) in twin.register(indexes).await?.into_iter().zip(indexes) {
        match answer {
            Registered::Ready { id, bytes } => {
                configuration = configuration.with(id);
                sizes.push(bytes);
            }
            Registered::Refused { reason } => bail!("the twin refuses {}: {reason}", index.create_sql(false)),
        }
    }
    let mut plans = Vec::with_capacity(queries.len());
    for query in queries {
        let planned = twin.plan(&query.sql, &configuration).await;
        plans.push(planned.with_context(|| format!("planning {}", query.name()))?.explain);
    }
    twin.stop().await?;
    Ok(Promise { plans, bytes: sizes })
}

/// A query that the twin plans otherwise than the server.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// The query.
    pub query: String,
    /// With which indexes.
    pub set: String,
    /// What the twin's plan costs.
    pub twin_cost: f64,
    /// What the server's plan costs.
    pub real_cost: f64,
    /// The twin's plan, one node per line.
    pub twin_shape: String,
    /// The server's plan.
    pub real_shape: String,
}

/// What was compared so far.
#[derive(Clone, Debug, Default)]
pub struct Fidelity {
    cost_errors: Vec<f64>,
    same_shape: usize,
    size_errors: Vec<f64>,
    /// Queries whose plans differ, and under which indexes.
    pub differences: Vec<Difference>,
}

impl Fidelity {
    /// Compares plans of the twin with those of the server.
    ///
    /// # Errors
    /// When a plan cannot be read.
    pub fn compare(&mut self, set: &str, queries: &[Query], twin: &[Value], server: &[Value]) -> Result<()> {
        for ((query, twin), server) in queries.iter().zip(twin).zip(server) {
            let (twin_cost, real_cost) = (cost(twin), cost(server));
            self.cost_errors.push((twin_cost / real_cost - 1.0).abs());
            let (twin, server) = (Plan::from_json(twin)?, Plan::from_json(server)?);
            if shape_hash(&twin) == shape_hash(&server) {
                self.same_shape += 1;
                continue;
            }
            self.differences.push(Difference {
                query: query.name(),
                set: set.to_owned(),
                twin_cost,
                real_cost,
                twin_shape: shape(&twin),
                real_shape: shape(&server),
            });
        }
        Ok(())
    }

    /// Compares a predicted size with the real one.
    pub fn compare_size(&mut self, predicted: Bytes, real: Bytes) {
        self.size_errors.push((predicted.0 as f64 / real.0.max(1) as f64 - 1.0).abs());
    }

    /// Half of the costs are off by less, as a share.
    pub fn median_cost_error(&self) -> Option<f64> {
        median(&self.cost_errors)
    }

    /// Share of the plans that are the server's.
    pub fn plan_shape_equal(&self) -> Option<f64> {
        let all = self.cost_errors.len();
        (all > 0).then(|| self.same_shape as f64 / all as f64)
    }

    /// How many plans were compared.
    pub fn compared(&self) -> usize {
        self.cost_errors.len()
    }

    /// Half of the sizes are off by less, as a share.
    pub fn size_error_median(&self) -> Option<f64> {
        median(&self.size_errors)
    }
}

/// The value in the middle; of an even number, the mean of the two in the middle.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    Some(if sorted.len() % 2 == 1 { upper } else { f64::midpoint(sorted[middle - 1], upper) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_are_compared_by_cost_and_by_shape() {
        let plan = |node: &str, cost: f64| {
            serde_json::json!({ "Plan": { "Node Type": node, "Relation Name": "t", "Alias": "t",
                "Startup Cost": 0.0, "Total Cost": cost, "Plan Rows": 1, "Plan Width": 8 } })
        };
        let queries = &crate::tpch::queries()[..2];
        let mut fidelity = Fidelity::default();
        let server = [plan("Seq Scan", 100.0), plan("Seq Scan", 100.0)];
        let twin = [plan("Seq Scan", 102.0), plan("Tid Scan", 100.0)];
        fidelity.compare("without indexes", queries, &twin, &server).unwrap();
        assert_eq!(fidelity.plan_shape_equal(), Some(0.5));
        assert!((fidelity.median_cost_error().unwrap() - 0.01).abs() < 1e-9);
        let different: Vec<_> = fidelity.differences.iter().map(|d| d.query.as_str()).collect();
        assert_eq!(different, ["Q2"]);
        assert_eq!(fidelity.size_error_median(), None);
    }
}
