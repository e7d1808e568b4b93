//! How is a prepared statement planned for all values at once, and how long does planning take?
//!
//! Source: PostgreSQL's `src/backend/utils/cache/plancache.c`; manual, "PREPARE" and "EXPLAIN" (`SUMMARY`).

use model::Millis;
use model::cost_model::{CostError, Planned, PlanningTimes};
use serde_json::Value;
use tokio_postgres::Client;

use crate::error::Error;
use crate::the_twin::Twin;

/// The name of the statement that is prepared in the planning session.
const NAME: &str = "pgwright_prepared";
/// In how many new sessions a statement is planned.
const SESSIONS: usize = 3;
/// How often it is planned again in one session.
const TIMES: usize = 7;

/// The generic plan of a statement with parameters, which are NULL.
pub(crate) async fn plan_generic(twin: &mut Twin, sql: &str) -> Result<Planned, CostError> {
    twin.with_existing_indexes().await?;
    twin.reopen_planner().await?;
    twin.calls += 1;
    // The extended protocol takes one statement only.
    let prepare = format!("PREPARE {NAME} AS {sql}");
    if let Err(refused) = twin.planner.query_typed(&prepare, &[]).await {
        return twin.read_plan(Err(refused));
    }
    let explained = explain_prepared(&twin.planner).await;
    let forgotten = twin.planner.batch_execute(&format!("DEALLOCATE {NAME}")).await;
    let planned = twin.read_plan(explained);
    forgotten.map_err(Error::sql("forgetting a prepared statement"))?;
    planned
}

async fn explain_prepared(planner: &Client) -> Result<Vec<tokio_postgres::Row>, tokio_postgres::Error> {
    let parameters: i32 = planner
        .query_one(
            "SELECT /* pgwright:twin_prepared */ pg_catalog.cardinality(p.parameter_types)
             FROM pg_catalog.pg_prepared_statements AS p WHERE p.name = $1",
            &[&NAME],
        )
        .await?
        .try_get(0)?;
    let nulls = vec!["NULL"; usize::try_from(parameters).unwrap_or(0)].join(", ");
    let call = if nulls.is_empty() { NAME.to_owned() } else { format!("{NAME}({nulls})") };
    planner.batch_execute("SET plan_cache_mode = force_generic_plan").await?;
    let explained = planner.query_typed(&format!("EXPLAIN (FORMAT JSON) EXECUTE {call}"), &[]).await;
    planner.batch_execute("RESET plan_cache_mode").await?;
    explained
}

/// How long planning takes in a new session, and again in the same one.
pub(crate) async fn time_planning(twin: &mut Twin, sql: &str) -> Result<PlanningTimes, CostError> {
    twin.with_existing_indexes().await?;
    let explain = format!("EXPLAIN (FORMAT JSON, SUMMARY ON) {sql}");
    let (mut first, mut again) = (Vec::new(), Vec::new());
    for session in 0..SESSIONS {
        let (client, _) = Twin::connect_planner(&twin.server, &twin.settings, &twin.options).await?;
        first.push(planning_ms(twin, &client, &explain).await?);
        if session + 1 == SESSIONS {
            for _ in 0..TIMES {
                again.push(planning_ms(twin, &client, &explain).await?);
            }
        }
    }
    Ok(PlanningTimes { first: median(first), again: median(again) })
}

async fn planning_ms(twin: &mut Twin, client: &Client, explain: &str) -> Result<f64, CostError> {
    twin.calls += 1;
    let planned = twin.read_plan(client.query_typed(explain, &[]).await)?;
    planned.explain.get("Planning Time").and_then(Value::as_f64).ok_or_else(|| CostError::Statement {
        message: "its plan tells no planning time".into(),
        sqlstate: None,
    })
}

fn median(mut values: Vec<f64>) -> Millis {
    values.sort_by(f64::total_cmp);
    Millis(values.get(values.len() / 2).copied().unwrap_or_default())
}

impl Twin {
    /// Switches to the indexes that the database has, which other sessions and prepared statements see.
    async fn with_existing_indexes(&mut self) -> Result<(), CostError> {
        let change = self.switches.flipped();
        if change.is_empty() {
            return Ok(());
        }
        self.reopen_planner().await?;
        let sql = self.switches.sql(&change);
        self.planner.batch_execute(&sql).await.map_err(Error::sql("switching indexes"))?;
        self.switches.switched(&change);
        Ok(())
    }
}
