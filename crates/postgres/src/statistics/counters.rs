//! What have statements used so far, and what is the text of those that are new? For who reads often: counters come
//! without texts, which would be read from a file each time.
//!
//! Source: PostgreSQL manual, "pg_stat_statements" (F.32): `pg_stat_statements(showtext boolean)`.

use std::collections::HashMap;

use chrono::{DateTime, Utc};

use super::statements::installed;
use crate::catalog_query;
use crate::catalog_query::{read as read_catalog, read_extension, read_extension_each};
use crate::error::Error;
use crate::password_mask;
use crate::session::Session;

catalog_query! {
    /// An entry of `pg_stat_statements`, of any database. Times are in seconds.
    pub struct StatementCountersRow {
        userid: u32,
        dbid: u32,
        datname: String,
        queryid: i64,
        toplevel: bool,
        calls: f64,
        rows: f64,
        exec_seconds: f64,
        plan_seconds: f64,
        shared_blks_hit: f64,
        shared_blks_read: f64,
        shared_blks_dirtied: f64,
        shared_blks_written: f64,
        temp_blks_read: f64,
        temp_blks_written: f64,
        read_seconds: f64,
        write_seconds: f64,
        wal_bytes: f64,
        stats_since: Option<DateTime<Utc>>,
    }
    name "statement_counters"
    extension "pg_stat_statements" {
        1.8 => "statement_counters.sql",
        1.9 => "statement_counters.since_1_9.sql",
        1.11 => "statement_counters.since_1_11.sql",
    }
}

catalog_query! {
    /// The text of a statement.
    pub struct StatementTextRow {
        queryid: i64,
        query: String,
    }
    name "statement_texts"
    extension "pg_stat_statements" { 1.8 => "statement_texts.sql" }
    parameters [INT8_ARRAY]
}

catalog_query! {
    /// When all entries were last thrown away, and how many were for want of room.
    pub struct StatementsResetRow {
        dealloc: Option<i64>,
        stats_reset: Option<DateTime<Utc>>,
    }
    name "statements_reset"
    extension "pg_stat_statements" {
        1.8 => "statements_reset.sql",
        1.9 => "statements_reset.since_1_9.sql",
    }
}

catalog_query! {
    /// The name of a role.
    pub struct RoleNameRow {
        oid: u32,
        rolname: String,
    }
    name "role_names"
    server { 13 => "role_names.sql" }
}

catalog_query! {
    /// The name of a database.
    pub struct DatabaseNameRow {
        oid: u32,
        datname: String,
    }
    name "database_names"
    server { 13 => "database_names.sql" }
}

/// The counters of every entry whose identity the role may see.
///
/// # Errors
/// [`Error::ExtensionMissing`], [`Error::NotPreloaded`], [`Error::PrivilegeDenied`] or another error of the query.
pub async fn counters(session: &Session) -> Result<Vec<StatementCountersRow>, Error> {
    let extension = installed(session).await?;
    let mut rows = Vec::new();
    let found = (extension.version.as_str(), extension.schema.as_str());
    read_extension_each(session, found, &[], |row| rows.push(row)).await?;
    rows.shrink_to_fit();
    Ok(rows)
}

/// Tells the texts of statements with their `queryid`, one after the other, passwords masked.
///
/// # Errors
/// As [`counters`].
pub async fn texts(
    session: &Session,
    queryids: &[i64],
    mut each: impl FnMut(i64, String),
) -> Result<(), Error> {
    let extension = installed(session).await?;
    let found = (extension.version.as_str(), extension.schema.as_str());
    read_extension_each(session, found, &[&queryids], |row: StatementTextRow| {
        each(row.queryid, password_mask::mask(&row.query));
    })
    .await
}

/// When all entries were last thrown away; nothing before version 1.9 of the extension, which does not say.
///
/// # Errors
/// As [`counters`].
pub async fn reset_at(session: &Session) -> Result<Option<DateTime<Utc>>, Error> {
    let extension = installed(session).await?;
    let rows: Vec<StatementsResetRow> =
        read_extension(session, &extension.version, &extension.schema, &[]).await?;
    Ok(rows.into_iter().next().and_then(|row| row.stats_reset))
}

/// The names of roles by their number.
///
/// # Errors
/// When the server cannot be asked.
pub async fn role_names(session: &Session) -> Result<HashMap<u32, String>, Error> {
    let rows: Vec<RoleNameRow> = read_catalog(session, session.version_num(), &[]).await?;
    Ok(rows.into_iter().map(|row| (row.oid, row.rolname)).collect())
}

/// The names of databases by their OID.
///
/// # Errors
/// When the query fails.
pub async fn database_names(session: &Session) -> Result<HashMap<u32, String>, Error> {
    let rows: Vec<DatabaseNameRow> = read_catalog(session, session.version_num(), &[]).await?;
    Ok(rows.into_iter().map(|row| (row.oid, row.datname)).collect())
}
