//! What plan does the server make for a statement, and what did it do when it ran?
//!
//! Source: PostgreSQL manual, "EXPLAIN", "PREPARE" and `plan_cache_mode` (20.7.4). Everything happens
//! in a READ ONLY transaction that is rolled back, so a statement that writes fails under ANALYZE, or
//! leaves nothing behind. The statement travels by the extended protocol, which takes one command, so
//! nothing can be smuggled in behind a semicolon.

use std::time::Duration;

use tokio_postgres::error::ErrorPosition;
use tokio_postgres::types::Type;

use crate::error::Error;
use crate::session::Session;

/// What `EXPLAIN` is asked for.
#[derive(Clone, Debug)]
pub struct ExplainOptions {
    /// Run the statement. It must read only.
    pub analyze: bool,
    /// Count buffers.
    pub buffers: bool,
    /// Output columns and qualified names.
    pub verbose: bool,
    /// Planner settings that differ from their defaults.
    pub settings: bool,
    /// Measure each node's time, which slows some machines down; only with `analyze`.
    pub timing: bool,
    /// Plan without values for the parameters `$1`, …; together with `analyze` it needs `arguments`.
    pub generic: bool,
    /// Values that a generic plan is executed with, as SQL literals in the order of the parameters.
    pub arguments: Vec<String>,
    /// Run it in a transaction that may write. It is rolled back all the same, but what does not obey
    /// transactions stays: sequences, and whatever functions do outside of the database.
    pub may_write: bool,
    /// How long planning and running may take.
    pub statement_timeout: Duration,
    /// How long to wait for a lock.
    pub lock_timeout: Duration,
    /// The `search_path` by which names are resolved; `None` for that of the session.
    pub search_path: Option<String>,
}

impl Default for ExplainOptions {
    fn default() -> Self {
        Self {
            analyze: false,
            buffers: false,
            verbose: false,
            settings: true,
            timing: true,
            generic: false,
            arguments: Vec::new(),
            may_write: false,
            statement_timeout: Duration::from_secs(30),
            lock_timeout: Duration::from_secs(2),
            search_path: None,
        }
    }
}

impl ExplainOptions {
    /// `ANALYZE` with buffers.
    pub fn analyze() -> Self {
        Self { analyze: true, buffers: true, ..Self::default() }
    }

    /// A plan that no value of a parameter has influenced; `arguments` let it be executed all the same.
    pub fn generic() -> Self {
        Self { generic: true, ..Self::default() }
    }

    /// The list in parentheses. Timing may only be named together with ANALYZE.
    fn list(&self) -> String {
        let on_off = |on: bool| if on { "ON" } else { "OFF" };
        let mut list = format!(
            "FORMAT JSON, ANALYZE {}, BUFFERS {}, VERBOSE {}, SETTINGS {}",
            on_off(self.analyze),
            on_off(self.buffers),
            on_off(self.verbose),
            on_off(self.settings)
        );
        if self.analyze {
            list.push_str(", TIMING ");
            list.push_str(on_off(self.timing));
            if self.may_write {
                list.push_str(", WAL ON");
            }
        }
        list
    }
}

/// The name of the prepared statement of a generic plan.
const PREPARED: &str = "pgwright_explain";

/// Returns the object under `[0]` of `EXPLAIN (FORMAT JSON)`: `{"Plan": …, "Settings": …}`.
///
/// The session should have been opened with
/// [`SessionOptions::for_user_statements`](crate::SessionOptions::for_user_statements), so that
/// unqualified names mean what they mean to the user. It must not be within a transaction.
///
/// # Errors
/// [`Error::Refused`] when options contradict each other; [`Error::Timeout`]; [`Error::Query`] with
/// SQLSTATE 25006 when an analyzed statement writes, 42601 when it is not SQL or not one statement.
pub async fn explain(
    session: &Session,
    sql: &str,
    options: &ExplainOptions,
) -> Result<serde_json::Value, Error> {
    if options.analyze && options.generic && options.arguments.is_empty() {
        return Err(Error::Refused {
            message: "a generic plan cannot be analyzed without values for its parameters".into(),
            hint: Some("Give values for the parameters, or leave ANALYZE out.".into()),
        });
    }
    if options.generic && session.behind_transaction_pooler() {
        return Err(Error::Refused {
            message: "a generic plan needs a session of its own".into(),
            hint: Some("Connect to the PostgreSQL server itself, past the pooler.".into()),
        });
    }
    let setting = |name: &str, value: &str| {
        format!(
            "pg_catalog.set_config({}, {}, true)",
            model::quote_literal(name),
            model::quote_literal(value)
        )
    };
    let mut settings = vec![
        setting("statement_timeout", &format!("{}ms", options.statement_timeout.as_millis().max(1))),
        setting("lock_timeout", &format!("{}ms", options.lock_timeout.as_millis().max(1))),
    ];
    if let Some(path) = &options.search_path {
        settings.push(setting("search_path", path));
    }
    if options.generic {
        settings.push(setting("plan_cache_mode", "force_generic_plan"));
    }
    let mode = if options.may_write { "READ WRITE" } else { "READ ONLY" };
    batch(session, &format!("BEGIN /* pgwright:explain */ {mode}")).await?;
    let planned = async {
        batch(session, &format!("SELECT /* pgwright:explain */ {}", settings.join(", "))).await?;
        let sql = sql.trim().trim_end_matches(';');
        if options.generic {
            generic_plan(session, sql, options).await
        } else {
            plan(session, sql, options).await
        }
    }
    .await;
    let end = batch(session, "ROLLBACK /* pgwright:explain */").await;
    if options.generic {
        // A prepared statement outlives its transaction. When PREPARE failed there is none.
        let _ = batch(session, &format!("DEALLOCATE /* pgwright:explain */ {PREPARED}")).await;
    }
    let planned = planned?;
    end?;
    Ok(planned)
}

async fn batch(session: &Session, sql: &str) -> Result<(), Error> {
    session.batch_execute(sql).await.map_err(|error| Error::from_query("explain", &error))
}

/// Plans by way of PREPARE, which finds the types of the parameters on every version; the option
/// GENERIC_PLAN exists since 16 only, and under the extended protocol it wants values.
async fn generic_plan(
    session: &Session,
    sql: &str,
    options: &ExplainOptions,
) -> Result<serde_json::Value, Error> {
    let failed = |error: tokio_postgres::Error| Error::from_query("explain", &error);
    let prepare = format!("PREPARE /* pgwright:explain */ {PREPARED} AS {sql}");
    session.query_typed(&prepare, &[]).await.map_err(failed)?;
    let count = session
        .query_typed(
            "SELECT /* pgwright:explain */ pg_catalog.cardinality(p.parameter_types) \
             FROM pg_catalog.pg_prepared_statements AS p WHERE p.name = $1",
            &[(&PREPARED, Type::TEXT)],
        )
        .await
        .map_err(failed)?;
    let count: i32 = match count.first() {
        Some(row) => crate::catalog_query::column(row, 0, "explain", "cardinality")?,
        None => 0,
    };
    let count = usize::try_from(count).unwrap_or(0);
    let arguments = match options.arguments.len() {
        0 => vec!["NULL"; count].join(", "),
        given if given == count => options.arguments.join(", "),
        given => {
            return Err(Error::Refused {
                message: format!("the statement has {count} parameters and not {given}"),
                hint: None,
            });
        }
    };
    let execute =
        if count > 0 { format!("EXECUTE {PREPARED} ({arguments})") } else { format!("EXECUTE {PREPARED}") };
    plan(session, &execute, options).await
}

/// An error that is about a place of the user's statement, which begins after so many characters.
fn in_statement(error: &tokio_postgres::Error, before: usize) -> Error {
    let position = error.as_db_error().and_then(|db| match db.position() {
        Some(ErrorPosition::Original(position)) => usize::try_from(*position).ok()?.checked_sub(before),
        _ => None,
    });
    match (Error::from_query("explain", error), position.filter(|p| *p > 0)) {
        (Error::Query { sqlstate, message, detail, hint, .. }, Some(position)) => {
            Error::Statement { sqlstate, message, position, detail, hint }
        }
        (other, _) => other,
    }
}

async fn plan(session: &Session, sql: &str, options: &ExplainOptions) -> Result<serde_json::Value, Error> {
    let explain = format!("EXPLAIN /* pgwright:explain */ ({}) {sql}", options.list());
    let before = explain.chars().count() - sql.chars().count();
    let rows = session.query_typed(&explain, &[]).await.map_err(|error| in_statement(&error, before))?;
    let undecodable = |reason: &str| Error::Decode {
        query: "explain".into(),
        column: "QUERY PLAN".into(),
        reason: reason.into(),
    };
    let row = rows.first().ok_or_else(|| undecodable("the server returned no plan"))?;
    let value: serde_json::Value =
        crate::catalog_query::column(row, 0, "explain", "QUERY PLAN").map_err(|error| match error {
            Error::Decode { reason, .. } if reason.contains("recursion limit") => Error::Refused {
                message: "the plan is nested deeper than 128 levels of JSON".into(),
                hint: Some(
                    "Save what EXPLAIN prints, as text or JSON, and read that: \"pgwright explain FILE\" takes any depth.".into(),
                ),
            },
            other => other,
        })?;
    match value {
        serde_json::Value::Array(mut plans) if plans.len() == 1 => Ok(plans.remove(0)),
        // A rule can turn one statement into several, or into none.
        serde_json::Value::Array(plans) => {
            Err(undecodable(&format!("the statement was rewritten into {} statements", plans.len())))
        }
        _ => Err(undecodable("the plan is not an array")),
    }
}
