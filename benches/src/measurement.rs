//! What do the queries cost, and what do they take when they run?
//!
//! Cost is what `EXPLAIN` says of the root node. Time is the processor time of the backend
//! (`/proc/<pid>/schedstat`), which a machine's other work disturbs least; everything is cached and
//! nothing runs in parallel, so a user would wait about as long.

use std::time::Instant;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio_postgres::{Client, SimpleQueryMessage};

use crate::cpu;
use crate::workload::Query;

/// The plan of each query as the server makes it: the object under `[0]`.
///
/// # Errors
/// When a query cannot be planned.
pub async fn explain(client: &Client, queries: &[Query]) -> Result<Vec<Value>> {
    let mut plans = Vec::with_capacity(queries.len());
    for query in queries {
        let row = client.query_one(&format!("EXPLAIN (FORMAT JSON) {}", query.sql), &[]).await?;
        let mut value: Value = row.try_get(0)?;
        plans.push(
            value.get_mut(0).map(Value::take).with_context(|| format!("{} has no plan", query.name()))?,
        );
    }
    Ok(plans)
}

/// The total cost of a plan.
pub fn cost(plan: &Value) -> f64 {
    plan.pointer("/Plan/Total Cost").and_then(Value::as_f64).unwrap_or(f64::NAN)
}

/// One execution of a query.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Execution {
    /// Processor time of the backend in seconds.
    pub cpu_s: f64,
    /// Time that the client waited, in seconds.
    pub elapsed_s: f64,
    /// Whether it came to its end before the time-out.
    pub finished: bool,
}

impl Execution {
    /// The one in the middle by processor time.
    fn median(mut executions: Vec<Self>) -> Option<Self> {
        executions.sort_by(|a, b| a.cpu_s.total_cmp(&b.cpu_s));
        executions.get(executions.len() / 2).copied()
    }
}

/// Rows as text.
pub type Rows = Vec<Vec<Option<String>>>;

/// A session that runs queries and is watched.
pub struct Stopwatch {
    client: Client,
    pid: u32,
}

impl Stopwatch {
    /// Watches a session; queries end after `timeout_s` seconds.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn new(client: Client, timeout_s: u32) -> Result<Self> {
        client.batch_execute(&format!("SET statement_timeout = '{timeout_s}s'")).await?;
        let pid: i32 = client.query_one("SELECT pg_catalog.pg_backend_pid()", &[]).await?.try_get(0)?;
        Ok(Self { client, pid: u32::try_from(pid)? })
    }

    /// The session.
    pub fn client(&self) -> &Client {
        &self.client
    }

    fn cpu(&self) -> Result<f64> {
        cpu::of_process(self.pid).context("the processor time of the backend cannot be read from /proc")
    }

    /// Runs a query once; its rows are there when it came to its end.
    ///
    /// # Errors
    /// When the query fails for another reason than the time-out.
    pub async fn run(&self, sql: &str) -> Result<(Execution, Option<Rows>)> {
        let (cpu, start) = (self.cpu()?, Instant::now());
        let answer = self.client.simple_query(sql).await;
        let (elapsed_s, cpu_s) = (start.elapsed().as_secs_f64(), self.cpu()? - cpu);
        match answer {
            Ok(messages) => {
                let rows = messages.iter().filter_map(|message| match message {
                    SimpleQueryMessage::Row(row) => {
                        Some((0..row.len()).map(|i| row.get(i).map(str::to_owned)).collect())
                    }
                    _ => None,
                });
                Ok((Execution { cpu_s, elapsed_s, finished: true }, Some(rows.collect())))
            }
            Err(error) if error.code() == Some(&tokio_postgres::error::SqlState::QUERY_CANCELED) => {
                Ok((Execution { cpu_s, elapsed_s, finished: false }, None))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Runs a query `runs` times and takes the median. One that reaches the time-out is not run again.
    ///
    /// # Errors
    /// When it fails.
    pub async fn run_repeatedly(&self, sql: &str, runs: usize) -> Result<(Execution, Option<Rows>)> {
        let mut executions = Vec::with_capacity(runs);
        let mut last_rows = None;
        for _ in 0..runs.max(1) {
            let (execution, rows) = self.run(sql).await?;
            executions.push(execution);
            last_rows = rows;
            if !execution.finished {
                return Ok((execution, None));
            }
        }
        Ok((Execution::median(executions).context("nothing was run")?, last_rows))
    }

    /// Switches indexes on and off for the planner.
    async fn switch(&self, indexes: &[String], on: bool) -> Result<()> {
        self.client
            .execute(
                "UPDATE pg_catalog.pg_index SET indisvalid = $2
                 WHERE indexrelid = ANY (SELECT name::pg_catalog.regclass FROM pg_catalog.unnest($1::text[]) AS name)",
                &[&indexes, &on],
            )
            .await?;
        Ok(())
    }

    /// Is a query slower with these indexes than without? It is run with and without by turns, so that
    /// what disturbs the machine disturbs both.
    ///
    /// # Errors
    /// When it fails.
    pub async fn with_and_without(
        &self,
        sql: &str,
        indexes: &[String],
        rounds: usize,
    ) -> Result<WithAndWithout> {
        let (mut with, mut without) = (Vec::new(), Vec::new());
        for _ in 0..rounds.max(1) {
            self.switch(indexes, false).await?;
            let before = self.run(sql).await;
            self.switch(indexes, true).await?;
            without.push(before?.0);
            with.push(self.run(sql).await?.0);
        }
        Ok(WithAndWithout::of(with, without))
    }
}

/// A query with and without indexes, run by turns.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct WithAndWithout {
    /// Median processor time with the indexes.
    pub with_s: f64,
    /// Median processor time without.
    pub without_s: f64,
    /// In how many rounds it took longer with them.
    pub slower_in: usize,
    /// How many rounds there were.
    pub rounds: usize,
}

/// From which ratio a statement counts as slower.
pub const SLOWER: f64 = 1.2;
/// From which ratio of single runs it is looked at again.
pub const SUSPICIOUS: f64 = 1.1;
/// What is shorter is not looked at again: a processor's clock alone moves by as much.
pub const NOISE_S: f64 = 0.005;

impl WithAndWithout {
    /// Sums up runs by turns.
    pub fn of(with: Vec<Execution>, without: Vec<Execution>) -> Self {
        Self {
            slower_in: with.iter().zip(&without).filter(|(w, o)| w.cpu_s > o.cpu_s).count(),
            rounds: with.len().min(without.len()),
            with_s: Execution::median(with).map_or(f64::NAN, |e| e.cpu_s),
            without_s: Execution::median(without).map_or(f64::NAN, |e| e.cpu_s),
        }
    }

    /// Whether it became slower, and not by chance: by the medians, and in all rounds but one.
    pub fn is_slower(&self) -> bool {
        self.with_s > SLOWER * self.without_s
            && self.with_s - self.without_s > NOISE_S
            && self.slower_in + 1 >= self.rounds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slower_is_more_than_a_fifth_and_not_by_chance() {
        let sure = WithAndWithout { with_s: 1.3, without_s: 1.0, slower_in: 5, rounds: 5 };
        assert!(sure.is_slower());
        assert!(!WithAndWithout { with_s: 1.15, ..sure }.is_slower());
        assert!(!WithAndWithout { slower_in: 3, ..sure }.is_slower());
        assert!(!WithAndWithout { with_s: 0.004, without_s: 0.001, ..sure }.is_slower());
    }
}
