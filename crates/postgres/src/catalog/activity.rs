//! Who does what right now: the progress of an index build, who blocks whom, and which transactions
//! a `CREATE INDEX CONCURRENTLY` has to wait for.
//!
//! Source: PostgreSQL manual, "CREATE INDEX Progress Reporting" (27.4.2), `pg_blocking_pids()` (9.27)
//! and "Building Indexes Concurrently" (CREATE INDEX).

use chrono::{DateTime, Utc};
use tokio_postgres::Client;

use crate::catalog_query;
use crate::catalog_query::read;
use crate::error::Error;

catalog_query! {
    /// A session that another one waits for.
    pub struct BlockerRow {
        pid: i32,
        user: Option<String>,
        application_name: Option<String>,
        state: Option<String>,
        xact_start: Option<DateTime<Utc>>,
        query_start: Option<DateTime<Utc>>,
        query: Option<String>,
    }
    name "blockers"
    server { 13 => "blockers.sql" }
    parameters [INT4]
}

catalog_query! {
    /// The schemas in which a session looks for names without one, in their order.
    pub struct CurrentSchemasRow {
        schemas: Vec<String>,
    }
    name "current_schemas"
    server { 13 => "current_schemas.sql" }
    parameters []
}

catalog_query! {
    /// What a session is doing or waiting for.
    pub struct SessionWaitRow {
        state: Option<String>,
        wait_event_type: Option<String>,
        wait_event: Option<String>,
        blockers: Option<i32>,
    }
    name "session_wait"
    server { 13 => "session_wait.sql" }
    parameters [INT4]
}

catalog_query! {
    /// What all sessions do or did last, in one row: [`SessionLook`] takes it apart.
    pub struct SessionSamplesRow {
        now: DateTime<Utc>,
        sessions: Option<Vec<u8>>,
    }
    name "session_samples"
    server { 13 => "session_samples.sql", 14 => "session_samples.since_14.sql" }
    parameters [TIMESTAMPTZ]
}

catalog_query! {
    /// The database of the session.
    pub struct OwnDatabaseRow {
        datid: Option<u32>,
    }
    name "own_database"
    server { 13 => "own_database.sql" }
}

catalog_query! {
    /// What the server's process has had, and given back.
    pub struct HadMemoryRow {
        bytes: i32,
    }
    name "had_memory"
    server { 13 => "had_memory.sql" }
}

/// The schemas in which the session of `client` looks for names without one, in their order.
///
/// # Errors
/// When the query fails.
pub async fn current_schemas(client: &Client, version_num: i32) -> Result<Vec<String>, Error> {
    let rows: Vec<CurrentSchemasRow> = read(client, version_num, &[]).await?;
    Ok(rows.into_iter().flat_map(|row| row.schemas).collect())
}

/// What the process `pid` waits for; `None` when there is no such process.
///
/// # Errors
/// When the query fails.
pub async fn session_wait(
    client: &Client,
    version_num: i32,
    pid: i32,
) -> Result<Option<SessionWaitRow>, Error> {
    Ok(read(client, version_num, &[&pid]).await?.into_iter().next())
}

catalog_query! {
    /// How far an index build is; see the manual for the phases.
    pub struct CreateIndexProgressRow {
        pid: i32,
        table_oid: u32,
        index_oid: Option<u32>,
        command: String,
        phase: String,
        lockers_total: i64,
        lockers_done: i64,
        current_locker_pid: i64,
        blocks_total: i64,
        blocks_done: i64,
        tuples_total: i64,
        tuples_done: i64,
        partitions_total: i64,
        partitions_done: i64,
    }
    name "create_index_progress"
    server { 13 => "create_index_progress.sql" }
    parameters [INT4]
}

catalog_query! {
    /// A transaction of this database that holds a snapshot or has written, the oldest first.
    pub struct OldTransactionRow {
        pid: i32,
        user: Option<String>,
        database: Option<String>,
        application_name: Option<String>,
        state: Option<String>,
        xact_start: Option<DateTime<Utc>>,
        state_change: Option<DateTime<Utc>>,
        backend_xid: Option<String>,
        backend_xmin: Option<String>,
        xmin_age: Option<i32>,
        query: Option<String>,
    }
    name "old_transactions"
    server { 13 => "old_transactions.sql" }
}

/// The sessions that the process `pid` waits for.
///
/// # Errors
/// When the query fails.
pub async fn blockers(client: &Client, version_num: i32, pid: i32) -> Result<Vec<BlockerRow>, Error> {
    read(client, version_num, &[&pid]).await
}

/// The progress of the index build that the process `pid` is at, if it is at one.
///
/// # Errors
/// When the query fails.
pub async fn create_index_progress(
    client: &Client,
    version_num: i32,
    pid: i32,
) -> Result<Option<CreateIndexProgressRow>, Error> {
    Ok(read(client, version_num, &[&pid]).await?.pop())
}

/// The transactions that an index build started now would have to wait for, the oldest first.
///
/// # Errors
/// When the query fails.
pub async fn old_transactions(client: &Client, version_num: i32) -> Result<Vec<OldTransactionRow>, Error> {
    read(client, version_num, &[]).await
}
