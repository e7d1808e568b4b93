//! What does the server look like right now, as far as a change is concerned? Read anew before and
//! after every step, because the snapshot that advice was given on is old by then.
//!
//! Source: PostgreSQL manual, "System Catalogs" and "Progress Reporting".

use std::fmt;

use chrono::{DateTime, Utc};
use model::{Parameter, QualifiedName, StatisticsDefinition, quote_identifier};
use serde::{Deserialize, Serialize};
use tokio_postgres::{Client, Row};

use crate::action::IndexShape;
use crate::error::Error;

/// The session that a client is connected to.
#[derive(Clone, Debug)]
pub(crate) struct SessionFacts {
    pub pid: i32,
    pub backend_start: Option<DateTime<Utc>>,
    pub role: String,
    pub in_recovery: bool,
    pub read_only: bool,
    pub may_create_schema: bool,
    pub may_create_temp: bool,
    pub schema_exists: bool,
    pub schema_owner: Option<String>,
    pub may_use_schema: bool,
}

/// Reads the facts of a session and its role.
pub(crate) async fn session_facts(client: &Client) -> Result<SessionFacts, Error> {
    let read = || Error::query("read the session's privileges");
    let row = client.query_one(include_str!("../queries/session_facts.sql"), &[]).await.map_err(read())?;
    let facts = || -> Result<SessionFacts, tokio_postgres::Error> {
        Ok(SessionFacts {
            pid: row.try_get("pid")?,
            backend_start: row.try_get("backend_start")?,
            role: row.try_get("role")?,
            in_recovery: row.try_get("in_recovery")?,
            read_only: row.try_get("read_only")?,
            may_create_schema: row.try_get("may_create_schema")?,
            may_create_temp: row.try_get("may_create_temp")?,
            schema_exists: row.try_get::<_, Option<u32>>("schema_oid")?.is_some(),
            schema_owner: row.try_get("schema_owner")?,
            may_use_schema: row.try_get("may_use_schema")?,
        })
    };
    facts().map_err(read())
}

/// A relation that is to be indexed, analyzed or vacuumed.
#[derive(Clone, Debug)]
pub(crate) struct TableFacts {
    pub oid: u32,
    pub relkind: char,
    pub owner: String,
    pub is_owner: bool,
    pub may_create: bool,
    pub is_database_owner: bool,
    pub may_maintain: bool,
    pub columns: Vec<String>,
}

/// Reads a relation by name, `None` when there is none.
pub(crate) async fn table_facts(client: &Client, table: &QualifiedName) -> Result<Option<TableFacts>, Error> {
    let read = || Error::query("read a table's catalog entry");
    let row = client
        .query_opt(include_str!("../queries/table_facts.sql"), &[&table.schema, &table.name])
        .await
        .map_err(read())?;
    let facts = |row: Row| -> Result<TableFacts, tokio_postgres::Error> {
        Ok(TableFacts {
            oid: row.try_get("oid")?,
            relkind: relkind(&row)?,
            owner: row.try_get("owner")?,
            is_owner: row.try_get("is_owner")?,
            may_create: row.try_get("may_create")?,
            is_database_owner: row.try_get("is_database_owner")?,
            may_maintain: row.try_get("may_maintain")?,
            columns: row.try_get("columns")?,
        })
    };
    row.map(facts).transpose().map_err(read())
}

fn relkind(row: &Row) -> Result<char, tokio_postgres::Error> {
    Ok(row.try_get::<_, String>("relkind")?.chars().next().unwrap_or(' '))
}

/// What `pg_class.relkind` stands for.
pub(crate) fn kind_name(relkind: char) -> String {
    match relkind {
        'r' => "table",
        'p' => "partitioned table",
        'i' => "index",
        'I' => "partitioned index",
        'v' => "view",
        'm' => "materialized view",
        'S' => "sequence",
        'f' => "foreign table",
        'c' => "composite type",
        't' => "TOAST table",
        _ => "relation of an unknown kind",
    }
    .to_owned()
}

/// A relation under the name of an index, with what `pg_index` says of it.
#[derive(Clone, Debug)]
pub(crate) struct IndexState {
    pub oid: u32,
    pub relkind: char,
    pub name: QualifiedName,
    pub table: Option<QualifiedName>,
    pub valid: bool,
    pub unique: bool,
    pub replica_identity: bool,
    pub key_count: i32,
    pub column_count: i32,
    pub partial: bool,
    pub access_method: Option<String>,
    pub definition: Option<String>,
    pub columns: Vec<Option<String>>,
    pub constraint: Option<String>,
    pub parent: Option<QualifiedName>,
    pub busy_pid: Option<i32>,
}

impl IndexState {
    /// Whether it is an index at all.
    pub fn is_index(&self) -> bool {
        matches!(self.relkind, 'i' | 'I')
    }

    /// Whether it could be what a `CREATE INDEX` of this shape left behind: the same table, access
    /// method, uniqueness, number of columns and plain columns. Expressions and predicates are printed
    /// by the server in words of its own, so of them only the presence is compared.
    pub fn resembles(&self, table: &QualifiedName, wanted: &IndexShape) -> bool {
        self.is_index()
            && self.table.as_ref() == Some(table)
            && self.access_method.as_deref() == Some(wanted.access_method.as_str())
            && self.unique == wanted.unique
            && usize::try_from(self.key_count) == Ok(wanted.key_count)
            && usize::try_from(self.column_count) == Ok(wanted.columns.len())
            && self.partial == wanted.partial
            && wanted.columns.iter().zip(&self.columns).all(|(w, f)| w.is_none() || w == f)
    }
}

/// Reads what stands under the name of an index.
pub(crate) async fn index_state(client: &Client, name: &QualifiedName) -> Result<Option<IndexState>, Error> {
    read_index(client, Some(name), None).await
}

/// Reads an index by OID, whatever its name is by now.
pub(crate) async fn index_state_by_oid(client: &Client, oid: u32) -> Result<Option<IndexState>, Error> {
    read_index(client, None, Some(oid)).await
}

async fn read_index(
    client: &Client,
    name: Option<&QualifiedName>,
    oid: Option<u32>,
) -> Result<Option<IndexState>, Error> {
    let read = || Error::query("read an index's catalog entry");
    let schema = name.map(|n| n.schema.as_str());
    let relation = name.map(|n| n.name.as_str());
    let row = client
        .query_opt(include_str!("../queries/index_state.sql"), &[&schema, &relation, &oid])
        .await
        .map_err(read())?;
    let pair =
        |row: &Row, schema: &str, name: &str| -> Result<Option<QualifiedName>, tokio_postgres::Error> {
            let schema: Option<String> = row.try_get(schema)?;
            let name: Option<String> = row.try_get(name)?;
            Ok(schema.zip(name).map(|(s, n)| QualifiedName::new(s, n)))
        };
    let state = |row: Row| -> Result<IndexState, tokio_postgres::Error> {
        Ok(IndexState {
            oid: row.try_get("oid")?,
            relkind: relkind(&row)?,
            name: QualifiedName::new(row.try_get::<_, String>("schema")?, row.try_get::<_, String>("name")?),
            table: pair(&row, "table_schema", "table_name")?,
            valid: row.try_get("valid")?,
            unique: row.try_get("is_unique")?,
            replica_identity: row.try_get("replica_identity")?,
            key_count: row.try_get("key_count")?,
            column_count: row.try_get("column_count")?,
            partial: row.try_get("is_partial")?,
            access_method: row.try_get("access_method")?,
            definition: row.try_get("definition")?,
            columns: row.try_get("columns")?,
            constraint: row.try_get("constraint_name")?,
            parent: pair(&row, "parent_schema", "parent_name")?,
            busy_pid: row.try_get("busy_pid")?,
        })
    };
    row.map(state).transpose().map_err(read())
}

/// One index of a table, for the comparison with a new one.
#[derive(Clone, Debug)]
pub(crate) struct ExistingIndex {
    pub name: QualifiedName,
    pub valid: bool,
    pub unique: bool,
    pub definition: String,
}

/// Reads the indexes of a table.
pub(crate) async fn table_indexes(client: &Client, table_oid: u32) -> Result<Vec<ExistingIndex>, Error> {
    let read = || Error::query("read a table's indexes");
    let rows =
        client.query(include_str!("../queries/table_indexes.sql"), &[&table_oid]).await.map_err(read())?;
    rows.iter()
        .map(|row| {
            Ok(ExistingIndex {
                name: QualifiedName::new(
                    row.try_get::<_, String>("schema")?,
                    row.try_get::<_, String>("name")?,
                ),
                valid: row.try_get("valid")?,
                unique: row.try_get("is_unique")?,
                definition: row.try_get("definition")?,
            })
        })
        .collect::<Result<_, tokio_postgres::Error>>()
        .map_err(read())
}

/// The part of `pg_get_indexdef()` that tells what an index holds: from `USING` on. The head, which
/// names the index and its table, is cut off by its known length, because a name may hold any word.
pub(crate) fn shape_of<'a>(
    definition: &'a str,
    unique: bool,
    index: &str,
    table: &QualifiedName,
) -> Option<&'a str> {
    let head = format!("CREATE {}INDEX {} ON ", if unique { "UNIQUE " } else { "" }, quote_identifier(index));
    let rest = definition.strip_prefix(&head)?;
    let rest = rest.strip_prefix("ONLY ").unwrap_or(rest);
    rest.strip_prefix(&format!("{table} "))
}

/// A statistics object.
#[derive(Clone, Debug)]
pub(crate) struct StatisticsState {
    pub oid: u32,
    pub table: QualifiedName,
    pub definition: String,
    /// Letters of `stxkind`, sorted.
    pub kinds: Vec<String>,
    /// Sorted.
    pub columns: Vec<String>,
    pub target: Option<String>,
    pub owner: String,
    pub is_owner: bool,
}

impl StatisticsState {
    /// Whether it could be what a `CREATE STATISTICS` made. Expressions are printed by the server in words of its
    /// own, so of them only the presence is compared.
    pub fn resembles(&self, wanted: &StatisticsDefinition) -> bool {
        let mut columns = wanted.columns.clone();
        columns.sort();
        let mut kinds: Vec<String> = wanted.kinds.iter().map(|k| k.letter().to_string()).collect();
        if !wanted.expressions.is_empty() {
            kinds.push("e".into());
        }
        kinds.sort();
        self.table == wanted.table && self.columns == columns && self.kinds == kinds
    }
}

/// Reads a statistics object by name, or by OID, whatever its name is by now.
pub(crate) async fn statistics_state(
    client: &Client,
    name: &QualifiedName,
    oid: Option<u32>,
) -> Result<Option<StatisticsState>, Error> {
    let read = || Error::query("read a statistics object's catalog entry");
    let rows = client
        .query(include_str!("../queries/statistics_state.sql"), &[&name.schema, &name.name, &oid])
        .await
        .map_err(read())?;
    let state = |row: &Row| -> Result<(QualifiedName, StatisticsState), tokio_postgres::Error> {
        let found =
            QualifiedName::new(row.try_get::<_, String>("schema")?, row.try_get::<_, String>("name")?);
        let table = QualifiedName::new(
            row.try_get::<_, String>("table_schema")?,
            row.try_get::<_, String>("table_name")?,
        );
        Ok((
            found,
            StatisticsState {
                oid: row.try_get("oid")?,
                table,
                definition: row.try_get("definition")?,
                kinds: row.try_get("kinds")?,
                columns: row.try_get("columns")?,
                target: row.try_get("target")?,
                owner: row.try_get("owner")?,
                is_owner: row.try_get("is_owner")?,
            },
        ))
    };
    let mut states = rows.iter().map(state).collect::<Result<Vec<_>, _>>().map_err(read())?;
    // Of a renamed object and another one under its name the latter counts.
    states.sort_by_key(|(found, _)| found != name);
    Ok(states.into_iter().next().map(|(_, state)| state))
}

/// What a parameter is right now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Current {
    /// Its value, `None` when it is not set.
    Value(Option<String>),
    NoTable,
    NoColumn,
    NoStatistics,
}

/// Reads a parameter.
pub(crate) async fn parameter(
    client: &Client,
    table: &QualifiedName,
    parameter: &Parameter,
) -> Result<Current, Error> {
    let column = match parameter {
        Parameter::ObjectTarget { statistics } => {
            let state = statistics_state(client, statistics, None).await?;
            return Ok(state.map_or(Current::NoStatistics, |s| Current::Value(s.target)));
        }
        Parameter::ColumnTarget { column } | Parameter::ColumnDistinct { column, .. } => {
            Some(column.as_str())
        }
        Parameter::Autovacuum { .. } => None,
    };
    let read = || Error::query("read a table's parameters");
    let row = client
        .query_opt(include_str!("../queries/table_parameters.sql"), &[&table.schema, &table.name, &column])
        .await
        .map_err(read())?;
    let Some(row) = row else { return Ok(Current::NoTable) };
    let option = |options: &str, name: &str| -> Result<Option<String>, tokio_postgres::Error> {
        let options: Vec<String> = row.try_get(options)?;
        let pairs = options.iter().filter_map(|o| o.split_once('='));
        Ok(pairs.filter(|(found, _)| *found == name).map(|(_, value)| value.to_owned()).next())
    };
    let current = || -> Result<Current, tokio_postgres::Error> {
        if column.is_some() && !row.try_get::<_, bool>("column_exists")? {
            return Ok(Current::NoColumn);
        }
        Ok(Current::Value(match parameter {
            Parameter::ColumnTarget { .. } => row.try_get("column_target")?,
            Parameter::ColumnDistinct { inherited: true, .. } => {
                option("column_options", "n_distinct_inherited")?
            }
            Parameter::ColumnDistinct { .. } => option("column_options", "n_distinct")?,
            Parameter::Autovacuum { option: which } => option("options", which.as_str())?,
            Parameter::ObjectTarget { .. } => None,
        }))
    };
    current().map_err(read())
}

/// A session that stands in the way of another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Blocker {
    /// Its process ID; 0 stands for a prepared transaction.
    pub pid: i32,
    /// Its role.
    pub user: Option<String>,
    /// Its `application_name`; the name of a prepared transaction.
    pub application_name: Option<String>,
    /// Its state, for instance `idle in transaction`.
    pub state: Option<String>,
    /// For how long its transaction has been open, in seconds.
    pub open_seconds: Option<f64>,
}

impl fmt::Display for Blocker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let session = self.pid != 0;
        match (session, &self.application_name) {
            (true, _) => write!(f, "pid {}", self.pid)?,
            (false, Some(name)) => write!(f, "prepared transaction {}", printable(name))?,
            (false, None) => f.write_str("a prepared transaction")?,
        }
        match (&self.user, self.application_name.as_ref().filter(|_| session)) {
            (Some(user), Some(app)) => write!(f, " ({user}, {})", printable(app))?,
            (Some(only), None) => write!(f, " ({only})")?,
            (None, Some(app)) => write!(f, " ({})", printable(app))?,
            (None, None) => {}
        }
        if let Some(state) = &self.state {
            write!(f, ", {state}")?;
        }
        if let Some(seconds) = self.open_seconds {
            write!(f, ", open for {seconds:.0} s")?;
        }
        Ok(())
    }
}

/// `application_name` is chosen by the client, so it must not steer a terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// Who blocks a session, the longest transaction first.
pub(crate) async fn blockers(client: &Client, pid: i32) -> Result<Vec<Blocker>, Error> {
    let rows = client.query(include_str!("../queries/blockers.sql"), &[&pid]).await;
    blocker_rows(&rows.map_err(Error::query("read who blocks a session"))?)
}

/// Who holds a lock on a table that a change would have to wait for.
pub(crate) async fn table_lockers(client: &Client, table: &QualifiedName) -> Result<Vec<Blocker>, Error> {
    let rows =
        client.query(include_str!("../queries/table_lockers.sql"), &[&table.schema, &table.name]).await;
    blocker_rows(&rows.map_err(Error::query("read who locks a table"))?)
}

/// Who holds any lock on one of some tables, written as in a statement; the longest transaction first.
pub(crate) async fn table_holders(client: &Client, tables: &[&str]) -> Result<Vec<Blocker>, Error> {
    let rows = client.query(include_str!("../queries/table_holders.sql"), &[&tables]).await;
    blocker_rows(&rows.map_err(Error::query("read who locks a table"))?)
}

fn blocker_rows(rows: &[Row]) -> Result<Vec<Blocker>, Error> {
    rows.iter()
        .map(|row| {
            Ok(Blocker {
                pid: row.try_get("pid")?,
                user: row.try_get("role")?,
                application_name: row.try_get("application_name")?,
                state: row.try_get("state")?,
                open_seconds: row.try_get("open_seconds")?,
            })
        })
        .collect::<Result<_, tokio_postgres::Error>>()
        .map_err(Error::query("read who blocks a session"))
}

/// What a working session does at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Activity {
    /// The phase that PostgreSQL reports, for instance `building index: scanning table`.
    pub phase: Option<String>,
    /// Blocks done in this phase.
    pub blocks_done: Option<i64>,
    /// Blocks of this phase.
    pub blocks_total: Option<i64>,
    /// Tuples done in this phase.
    pub tuples_done: Option<i64>,
    /// Tuples of this phase.
    pub tuples_total: Option<i64>,
    /// Transactions waited for so far in this phase.
    pub lockers_done: Option<i64>,
    /// Transactions to wait for in this phase.
    pub lockers_total: Option<i64>,
    /// Who is waited for; empty when the session works.
    pub waiting_for: Vec<Blocker>,
}

impl Activity {
    /// How much of the phase is done, from 0 to 1, when PostgreSQL counts it.
    pub fn fraction(&self) -> Option<f64> {
        let part = |done: Option<i64>, total: Option<i64>| match (done, total) {
            (Some(done), Some(total)) if total > 0 => Some((done as f64 / total as f64).clamp(0.0, 1.0)),
            _ => None,
        };
        part(self.blocks_done, self.blocks_total).or_else(|| part(self.tuples_done, self.tuples_total))
    }
}

/// Reads what a session does, `None` when it is gone or idle.
pub(crate) async fn worker_activity(
    client: &Client,
    pid: i32,
    backend_start: Option<DateTime<Utc>>,
) -> Result<Option<Activity>, Error> {
    let read = || Error::query("read the progress of a session");
    let Some(row) = client
        .query_opt(include_str!("../queries/worker_activity.sql"), &[&pid, &backend_start])
        .await
        .map_err(read())?
    else {
        return Ok(None);
    };
    let activity = || -> Result<(Option<String>, Option<String>, Activity), tokio_postgres::Error> {
        Ok((
            row.try_get("state")?,
            row.try_get("wait_event_type")?,
            Activity {
                phase: row.try_get("phase")?,
                blocks_done: row.try_get("blocks_done")?,
                blocks_total: row.try_get("blocks_total")?,
                tuples_done: row.try_get("tuples_done")?,
                tuples_total: row.try_get("tuples_total")?,
                lockers_done: row.try_get("lockers_done")?,
                lockers_total: row.try_get("lockers_total")?,
                waiting_for: Vec::new(),
            },
        ))
    };
    let (state, wait_event_type, mut activity) = activity().map_err(read())?;
    // The state is hidden from a role without pg_read_all_stats; a hidden session counts as working.
    if state.as_deref().is_some_and(|s| s.starts_with("idle")) {
        return Ok(None);
    }
    // pg_blocking_pids() briefly locks the lock manager, so it is asked only when there is a wait.
    if wait_event_type.as_deref().is_none_or(|t| t == "Lock") {
        activity.waiting_for = blockers(client, pid).await?;
    }
    Ok(Some(activity))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shape_of_an_index_is_found_behind_hostile_names() {
        let table = QualifiedName::new("My Schema", "t USING btree (x)");
        let definition =
            "CREATE UNIQUE INDEX \"i ON y\" ON \"My Schema\".\"t USING btree (x)\" USING btree (a)";
        assert_eq!(shape_of(definition, true, "i ON y", &table), Some("USING btree (a)"));
        assert_eq!(shape_of(definition, false, "i ON y", &table), None);
        let only = "CREATE INDEX i ON ONLY public.t USING btree (a)";
        assert_eq!(shape_of(only, false, "i", &QualifiedName::new("public", "t")), Some("USING btree (a)"));
    }

    #[test]
    fn an_application_name_cannot_steer_a_terminal() {
        let blocker = Blocker {
            pid: 7,
            user: Some("app".into()),
            application_name: Some("\u{1b}[2Jx".into()),
            state: None,
            open_seconds: None,
        };
        assert_eq!(blocker.to_string(), "pid 7 (app, ?[2Jx)");
        let prepared = Blocker { pid: 0, open_seconds: Some(7.0), ..blocker };
        assert_eq!(prepared.to_string(), "prepared transaction ?[2Jx (app), open for 7 s");
        let unnamed = Blocker { user: None, application_name: None, ..prepared };
        assert_eq!(unnamed.to_string(), "a prepared transaction, open for 7 s");
    }
}
