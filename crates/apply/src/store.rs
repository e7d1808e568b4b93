//! How was it before? Baselines: the statements' counters, their plans, and the use of the indexes
//! at one moment, stored in schema `pgwright` under a name.
//!
//! What a query needs to sort by stands in columns of its own; the rest is JSON, read with every
//! field that a stored value lacks taken from the type's default, so that baselines of an older
//! pgwright stay readable.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use model::snapshot::Statement;
use model::{Bytes, QualifiedName, Snapshot};
use postgres::Target;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Row};

use crate::error::Error;
use crate::executor::begin_writing;
use crate::schema::{self, Presence};
use crate::worker::open_journal_session;

/// A database at one moment, as far as a later comparison needs it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Baseline {
    /// Its number; 0 before it was saved.
    pub baseline_id: i64,
    /// Its name.
    pub name: String,
    /// The server's clock when the counters were read.
    pub taken_at: DateTime<Utc>,
    /// `server_version`.
    pub server_version: String,
    /// What concerns all statements.
    pub details: Details,
    /// The statements, the most expensive first.
    pub statements: Vec<Statement>,
    /// Plans of typical executions.
    pub plans: Vec<BaselinePlan>,
    /// The indexes by name.
    pub indexes: Vec<BaselineIndex>,
}

/// What concerns a baseline as a whole.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Details {
    /// When the statements' counters were last reset.
    pub stats_reset: Option<DateTime<Utc>>,
    /// How many entries `pg_stat_statements` had thrown out.
    pub dealloc: Option<i64>,
    /// The extension's version.
    pub extension_version: Option<String>,
    /// When the server was started.
    pub started_at: Option<DateTime<Utc>>,
    /// The size of the database.
    pub database_bytes: Bytes,
    /// The sizes of the tables without their indexes.
    pub tables: Vec<BaselineTable>,
    /// What a workload run measured at the same time, in its own words.
    pub workload: Value,
    /// Settings that bear on plans, by name.
    pub settings: BTreeMap<String, String>,
    /// How its plans were measured, and under which statistics, for a later `check`; in its own words.
    pub measured: Value,
    /// What the user wants to remember.
    pub note: Option<String>,
}

/// The size of one table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BaselineTable {
    /// Its name.
    pub name: QualifiedName,
    /// Its size without indexes.
    pub bytes: Bytes,
}

/// A plan of one typical execution of a statement.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BaselinePlan {
    /// The statement's `queryid`.
    pub queryid: i64,
    /// The statement with values in place of its parameters.
    pub example: String,
    /// `EXPLAIN (FORMAT JSON)`.
    pub explain: Value,
}

impl BaselinePlan {
    /// The total cost of the root node.
    pub fn total_cost(&self) -> Option<f64> {
        let root = self.explain.get(0).unwrap_or(&self.explain);
        root.get("Plan")?.get("Total Cost")?.as_f64()
    }
}

/// The use of one index.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BaselineIndex {
    /// Its name.
    pub name: QualifiedName,
    /// Its table.
    pub table: QualifiedName,
    /// `pg_stat_all_indexes.idx_scan`.
    pub idx_scan: i64,
    /// Its size.
    pub bytes: Bytes,
    /// `pg_get_indexdef()`.
    pub definition: String,
}

/// A stored baseline without its contents.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BaselineSummary {
    /// Its number.
    pub baseline_id: i64,
    /// Its name.
    pub name: String,
    /// The server's clock when the counters were read.
    pub taken_at: DateTime<Utc>,
    /// `server_version`.
    pub server_version: String,
    /// How many statements it holds.
    pub statements: i64,
    /// How many plans it holds.
    pub plans: i64,
    /// How many indexes it holds.
    pub indexes: i64,
    /// What the user wanted to remember.
    pub note: Option<String>,
}

/// Which baseline is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BaselineRef {
    /// By its number.
    Id(i64),
    /// By its name.
    Name(String),
    /// The one taken last.
    Latest,
}

impl BaselineRef {
    /// What a person types: `latest`, `#3`, or a name.
    pub fn parse(text: &str) -> Self {
        match text.strip_prefix('#').map(str::parse) {
            Some(Ok(id)) => Self::Id(id),
            _ if text == "latest" => Self::Latest,
            _ => Self::Name(text.to_owned()),
        }
    }
}

impl std::fmt::Display for BaselineRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Id(id) => write!(f, "#{id}"),
            Self::Name(name) => write!(f, "\"{name}\""),
            Self::Latest => f.write_str("yet"),
        }
    }
}

impl Baseline {
    /// What a snapshot holds of a baseline; plans and a workload's figures are the caller's to add.
    pub fn of_snapshot(name: impl Into<String>, snapshot: &Snapshot) -> Self {
        let info = snapshot.statements_info.as_ref();
        let bears_on_plans = |category: &str| {
            category.starts_with("Query Tuning") || category.starts_with("Resource Usage / Memory")
        };
        let settings = snapshot
            .settings
            .iter()
            .filter(|(_, s)| bears_on_plans(&s.category))
            .map(|(name, s)| (name.clone(), s.setting.clone()))
            .collect();
        Self {
            baseline_id: 0,
            name: name.into(),
            taken_at: snapshot.taken_at,
            server_version: snapshot.server.version.clone(),
            details: Details {
                stats_reset: info.and_then(|i| i.stats_reset),
                dealloc: info.map(|i| i.dealloc),
                extension_version: info.map(|i| i.version.clone()),
                started_at: snapshot.server.started_at,
                database_bytes: snapshot.server.database_bytes,
                tables: snapshot
                    .relations
                    .iter()
                    .map(|r| BaselineTable { name: r.name.clone(), bytes: r.table_bytes })
                    .collect(),
                workload: Value::Null,
                settings,
                measured: Value::Null,
                note: None,
            },
            statements: snapshot.statements.clone(),
            plans: Vec::new(),
            indexes: snapshot
                .indexes
                .iter()
                .map(|i| BaselineIndex {
                    name: i.name.clone(),
                    table: i.definition.table.clone(),
                    idx_scan: i.idx_scan,
                    bytes: i.bytes,
                    definition: i.indexdef.clone(),
                })
                .collect(),
        }
    }

    /// Finds a statement; of the top-level and the nested entry of one id, the top-level one.
    pub fn statement(&self, queryid: i64) -> Option<&Statement> {
        self.statements.iter().filter(|s| s.queryid == queryid).max_by_key(|s| s.toplevel)
    }
}

/// Stores a baseline and returns its number.
///
/// # Errors
/// [`Error::BaselineExists`] when the name is taken, [`Error::Refused`] when the server takes no
/// writes.
pub async fn save_baseline(target: &Target, baseline: &Baseline) -> Result<i64, Error> {
    let session = begin_writing(target).await?;
    schema::ensure(&session).await?;
    save_on(&session, baseline).await
}

/// The same in a session whose schema is there.
pub(crate) async fn save_on(session: &Client, baseline: &Baseline) -> Result<i64, Error> {
    let doing = || Error::query("store a baseline");
    session.batch_execute("begin /* pgwright:baseline_begin */").await.map_err(doing())?;
    let written = write(session, baseline).await;
    let end = if written.is_ok() { "commit /* pgwright:baseline_end */" } else { "rollback" };
    let ended = session.batch_execute(end).await.map_err(doing());
    match written {
        Err(Error::Query { source, .. }) if source.code() == Some(&SqlState::UNIQUE_VIOLATION) => {
            Err(Error::BaselineExists { name: baseline.name.clone() })
        }
        written => written.and_then(|id| ended.map(|()| id)),
    }
}

async fn write(client: &Client, baseline: &Baseline) -> Result<i64, Error> {
    let doing = || Error::query("store a baseline");
    let json = || Error::json("store a baseline");
    let details = serde_json::to_value(&baseline.details).map_err(json())?;
    let id: i64 = client
        .query_one(
            "insert /* pgwright:baseline */ into pgwright.baseline (name, taken_at, server_version, details) \
             values ($1, $2, $3, $4) returning baseline_id",
            &[&baseline.name, &baseline.taken_at, &baseline.server_version, &details],
        )
        .await
        .and_then(|row| row.try_get(0))
        .map_err(doing())?;
    let counters: Vec<Value> = baseline
        .statements
        .iter()
        .map(|s| serde_json::to_value(s).map_err(json()))
        .collect::<Result<_, _>>()?;
    // Statements are merged by user in a snapshot, so their key is unique; should a hand-made
    // baseline hold one twice, the first counts.
    client
        .execute(
            "insert /* pgwright:baseline_statement */ into pgwright.baseline_statement \
               (baseline_id, queryid, toplevel, query, calls, total_exec_ms, mean_exec_ms, counters) \
             select $1, (s ->> 'queryid')::bigint, (s ->> 'toplevel')::boolean, s ->> 'query', \
               (s ->> 'calls')::bigint, (s ->> 'total_exec_time')::double precision, \
               (s ->> 'mean_exec_time')::double precision, s - 'query' \
             from pg_catalog.jsonb_array_elements($2) s on conflict do nothing",
            &[&id, &Value::Array(counters)],
        )
        .await
        .map_err(doing())?;
    for (position, plan) in (0_i32..).zip(&baseline.plans) {
        // Of one statement there may be several plans, at different places.
        client
            .execute(
                "insert /* pgwright:baseline_plan */ into pgwright.baseline_plan \
                   (baseline_id, queryid, position, example, total_cost, explain) \
                 values ($1, $2, $3, $4, $5, $6)",
                &[&id, &plan.queryid, &position, &plan.example, &plan.total_cost(), &plan.explain],
            )
            .await
            .map_err(doing())?;
    }
    for index in &baseline.indexes {
        client
            .execute(
                "insert /* pgwright:baseline_index */ into pgwright.baseline_index \
                   (baseline_id, schema_name, index_name, table_schema, table_name, idx_scan, bytes, definition) \
                 values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict do nothing",
                &[
                    &id,
                    &index.name.schema,
                    &index.name.name,
                    &index.table.schema,
                    &index.table.name,
                    &index.idx_scan,
                    &i64::try_from(index.bytes.0).unwrap_or(i64::MAX),
                    &index.definition,
                ],
            )
            .await
            .map_err(doing())?;
    }
    Ok(id)
}

/// The stored baselines, the oldest first; nothing when there are none.
///
/// # Errors
/// When the server cannot be asked.
pub async fn list(target: &Target) -> Result<Vec<BaselineSummary>, Error> {
    let session = open_journal_session(target).await?;
    if schema::presence(&session).await? == Presence::Absent {
        return Ok(Vec::new());
    }
    let doing = || Error::query("read the baselines");
    let rows = session.query(include_str!("../queries/baseline_list.sql"), &[]).await.map_err(doing())?;
    rows.iter()
        .map(|row| {
            Ok(BaselineSummary {
                baseline_id: row.try_get("baseline_id")?,
                name: row.try_get("name")?,
                taken_at: row.try_get("taken_at")?,
                server_version: row.try_get("server_version")?,
                statements: row.try_get("statements")?,
                plans: row.try_get("plans")?,
                indexes: row.try_get("indexes")?,
                note: row.try_get("note")?,
            })
        })
        .collect::<Result<_, tokio_postgres::Error>>()
        .map_err(doing())
}

/// Reads a baseline.
///
/// # Errors
/// [`Error::NoBaseline`] when there is none of that name.
pub async fn load(target: &Target, wanted: &BaselineRef) -> Result<Baseline, Error> {
    let session = open_journal_session(target).await?;
    let Some(mut baseline) = find(&session, wanted).await? else {
        return Err(Error::NoBaseline { wanted: wanted.to_string() });
    };
    let doing = || Error::query("read a baseline");
    let id = baseline.baseline_id;
    let statements = session
        .query(
            "select /* pgwright:baseline_statements */ query, counters from pgwright.baseline_statement \
             where baseline_id = $1 order by total_exec_ms desc, queryid, toplevel",
            &[&id],
        )
        .await
        .map_err(doing())?;
    for row in &statements {
        let mut statement: Statement = tolerant(row.try_get("counters").map_err(doing())?)?;
        statement.query = row.try_get("query").map_err(doing())?;
        baseline.statements.push(statement);
    }
    let plans = session
        .query(
            "select /* pgwright:baseline_plans */ queryid, example, explain from pgwright.baseline_plan \
             where baseline_id = $1 order by position",
            &[&id],
        )
        .await
        .map_err(doing())?;
    let plan = |row: &Row| {
        Ok(BaselinePlan {
            queryid: row.try_get("queryid")?,
            example: row.try_get("example")?,
            explain: row.try_get("explain")?,
        })
    };
    baseline.plans = plans.iter().map(plan).collect::<Result<_, tokio_postgres::Error>>().map_err(doing())?;
    let indexes = session
        .query(
            "select /* pgwright:baseline_indexes */ schema_name, index_name, table_schema, table_name, \
               idx_scan, bytes, definition from pgwright.baseline_index \
             where baseline_id = $1 order by schema_name collate \"C\", index_name collate \"C\"",
            &[&id],
        )
        .await
        .map_err(doing())?;
    let text = |row: &Row, column: &str| row.try_get::<_, String>(column);
    let index = |row: &Row| {
        Ok(BaselineIndex {
            name: QualifiedName::new(text(row, "schema_name")?, text(row, "index_name")?),
            table: QualifiedName::new(text(row, "table_schema")?, text(row, "table_name")?),
            idx_scan: row.try_get("idx_scan")?,
            bytes: Bytes(u64::try_from(row.try_get::<_, i64>("bytes")?).unwrap_or(0)),
            definition: row.try_get("definition")?,
        })
    };
    baseline.indexes =
        indexes.iter().map(index).collect::<Result<_, tokio_postgres::Error>>().map_err(doing())?;
    Ok(baseline)
}

/// Deletes a baseline and returns its name.
///
/// # Errors
/// [`Error::NoBaseline`] when there is none of that name.
pub async fn delete(target: &Target, wanted: &BaselineRef) -> Result<String, Error> {
    let session = begin_writing(target).await?;
    let Some(baseline) = find(&session, wanted).await? else {
        return Err(Error::NoBaseline { wanted: wanted.to_string() });
    };
    session
        .execute(
            "delete /* pgwright:baseline_delete */ from pgwright.baseline where baseline_id = $1",
            &[&baseline.baseline_id],
        )
        .await
        .map_err(Error::query("delete a baseline"))?;
    Ok(baseline.name)
}

/// The head of a baseline.
async fn find(client: &Client, wanted: &BaselineRef) -> Result<Option<Baseline>, Error> {
    if schema::presence(client).await? == Presence::Absent {
        return Ok(None);
    }
    let doing = || Error::query("read a baseline");
    let (id, name) = match wanted {
        BaselineRef::Id(id) => (Some(*id), None),
        BaselineRef::Name(name) => (None, Some(name.as_str())),
        BaselineRef::Latest => (None, None),
    };
    let row = client
        .query_opt(
            "select /* pgwright:baseline_find */ baseline_id, name, taken_at, server_version, details \
             from pgwright.baseline \
             where ($1::bigint is null or baseline_id = $1) and ($2::text is null or name = $2) \
             order by taken_at desc, baseline_id desc limit 1",
            &[&id, &name],
        )
        .await
        .map_err(doing())?;
    let Some(row) = row else { return Ok(None) };
    let head = || {
        Ok((
            row.try_get("baseline_id")?,
            row.try_get("name")?,
            row.try_get("taken_at")?,
            row.try_get("server_version")?,
        ))
    };
    let (baseline_id, name, taken_at, server_version) = head().map_err(doing())?;
    let details: Details = tolerant(row.try_get("details").map_err(doing())?)?;
    Ok(Some(Baseline { baseline_id, name, taken_at, server_version, details, ..Baseline::default() }))
}

/// Reads stored JSON over the type's default, so that what an older version did not store is there.
fn tolerant<T: Default + Serialize + DeserializeOwned>(stored: Value) -> Result<T, Error> {
    let json = || Error::json("read a baseline");
    let mut whole = serde_json::to_value(T::default()).map_err(json())?;
    match (&mut whole, stored) {
        (Value::Object(whole), Value::Object(stored)) => whole.extend(stored),
        (whole, stored) => *whole = stored,
    }
    serde_json::from_value(whole).map_err(json())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_of_an_older_version_is_read() {
        let statement: Statement =
            tolerant(serde_json::json!({"queryid": 7, "calls": 3, "of_a_later_version": true})).unwrap();
        assert_eq!((statement.queryid, statement.calls, statement.wal_records), (7, 3, 0));
        let details: Details = tolerant(serde_json::json!({})).unwrap();
        assert_eq!(details, Details::default());
    }

    #[test]
    fn references_are_read_as_a_person_types_them() {
        assert_eq!(BaselineRef::parse("latest"), BaselineRef::Latest);
        assert_eq!(BaselineRef::parse("#12"), BaselineRef::Id(12));
        assert_eq!(BaselineRef::parse("#before"), BaselineRef::Name("#before".into()));
        assert_eq!(BaselineRef::parse("before"), BaselineRef::Name("before".into()));
    }
}
