//! Which statements has the server run, and what did they cost?
//!
//! Source: PostgreSQL manual, "pg_stat_statements" (F.32). The extension's version decides what its
//! columns are called, not the server's: after `pg_upgrade` an old one stays until
//! `ALTER EXTENSION … UPDATE`.

use chrono::{DateTime, Utc};
use model::snapshot::{Statement, StatementsInfo};
use model::{Bytes, Millis};

use crate::catalog::ExtensionRow;
use crate::catalog_query;
use crate::catalog_query::{read as read_catalog, read_extension};
use crate::error::Error;
use crate::password_mask;
use crate::session::Session;

const EXTENSION: &str = "pg_stat_statements";

catalog_query! {
    /// A statement of this database, summed over users.
    pub struct StatementRow {
        queryid: i64,
        query: String,
        toplevel: bool,
        calls: i64,
        plans: i64,
        total_plan_time: f64,
        total_exec_time: f64,
        min_exec_time: f64,
        max_exec_time: f64,
        mean_exec_time: f64,
        stddev_exec_time: f64,
        rows: i64,
        shared_blks_hit: i64,
        shared_blks_read: i64,
        shared_blks_dirtied: i64,
        shared_blks_written: i64,
        temp_blks_read: i64,
        temp_blks_written: i64,
        blk_read_time: f64,
        blk_write_time: f64,
        wal_records: i64,
        wal_bytes: i64,
        stats_since: Option<DateTime<Utc>>,
    }
    name "statements"
    extension "pg_stat_statements" {
        1.8 => "statements.sql",
        1.9 => "statements.since_1_9.sql",
        1.11 => "statements.since_1_11.sql",
    }
}

catalog_query! {
    /// The state of the extension.
    pub struct StatementsInfoRow {
        dealloc: i64,
        stats_reset: Option<DateTime<Utc>>,
        max: String,
        track: String,
        /// Entries of this database whose identity and text the role may not see.
        hidden: i64,
    }
    name "statements_info"
    extension "pg_stat_statements" {
        1.8 => "statements_info.sql",
        1.9 => "statements_info.since_1_9.sql",
    }
}

catalog_query! {
    /// A role that has run statements in this database, the one with the most time first.
    pub struct SearchPathRow {
        role: String,
        /// The `search_path` that `ALTER ROLE` or `ALTER DATABASE` gave it.
        search_path: Option<String>,
    }
    name "search_paths"
    extension "pg_stat_statements" {
        1.8 => "search_paths.sql",
    }
}

/// What was read of `pg_stat_statements`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Reading {
    pub statements: Vec<Statement>,
    pub info: StatementsInfo,
    pub hidden: i64,
    pub search_paths: Vec<SearchPathRow>,
}

/// Reads the statements of the session's database, the most expensive first, passwords masked and
/// pgwright's own left out, with the state of the extension.
///
/// # Errors
/// [`Error::ExtensionMissing`], [`Error::NotPreloaded`], [`Error::PrivilegeDenied`] or another error
/// of the query.
pub async fn read(session: &Session) -> Result<(Vec<Statement>, StatementsInfo), Error> {
    let reading = read_with_hidden(session).await?;
    Ok((reading.statements, reading.info))
}

/// How many entries of other roles the session's role may not see.
///
/// # Errors
/// Those of [`read`].
pub async fn hidden(session: &Session) -> Result<i64, Error> {
    Ok(read_info(session).await?.hidden)
}

/// The `search_path` under which the statements mean what they meant to the roles that ran them. `default`
/// is that of a role without one of its own.
///
/// # Errors
/// Those of [`read`].
pub async fn search_path(session: &Session, default: &str) -> Result<String, Error> {
    let extension = installed(session).await?;
    let rows = read_extension(session, &extension.version, &extension.schema, &[]).await?;
    Ok(joined_search_path(&rows, default))
}

pub(crate) async fn read_with_hidden(session: &Session) -> Result<Reading, Error> {
    let extension = installed(session).await?;
    let (version, schema) = (&extension.version, &extension.schema);
    let (rows, info, search_paths) = tokio::try_join!(
        read_extension::<StatementRow>(session, version, schema, &[]),
        read_extension::<StatementsInfoRow>(session, version, schema, &[]),
        read_extension::<SearchPathRow>(session, version, schema, &[]),
    )?;
    let info = only(info)?;
    Ok(Reading {
        statements: rows.into_iter().map(Statement::from).collect(),
        info: StatementsInfo {
            version: extension.version,
            dealloc: info.dealloc,
            stats_reset: info.stats_reset,
            max: info.max.parse().unwrap_or(0),
            track: info.track,
        },
        hidden: info.hidden,
        search_paths,
    })
}

/// The `search_path` that finds what the statements name: those of the roles that ran them, one after the
/// other, the role with the most time first. `default` is that of roles without one of their own.
///
/// A name that two roles mean differently is found where the busier one means it.
pub(crate) fn joined_search_path(rows: &[SearchPathRow], default: &str) -> String {
    let mut joined: Vec<String> = Vec::new();
    for row in rows {
        for schema in schemas(row.search_path.as_deref().unwrap_or(default)) {
            let schema = if schema == "$user" { row.role.clone() } else { schema };
            if !joined.contains(&schema) {
                joined.push(schema);
            }
        }
    }
    joined.iter().map(|schema| model::quote_identifier(schema)).collect::<Vec<_>>().join(", ")
}

/// The schemas of a `search_path`, out of their quotes.
fn schemas(path: &str) -> Vec<String> {
    let (mut found, mut part, mut quoted) = (Vec::new(), String::new(), false);
    let mut letters = path.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => part.extend(letters.next()),
            '"' => quoted = !quoted,
            ',' if !quoted => found.push(std::mem::take(&mut part)),
            c if c.is_whitespace() && !quoted => {}
            c => part.push(c),
        }
    }
    found.push(part);
    found.retain(|schema| !schema.is_empty());
    found
}

/// Reads the state of the extension without the statements.
pub(crate) async fn read_info(session: &Session) -> Result<StatementsInfoRow, Error> {
    let extension = installed(session).await?;
    only(read_extension(session, &extension.version, &extension.schema, &[]).await?)
}

pub(super) async fn installed(session: &Session) -> Result<ExtensionRow, Error> {
    let extensions: Vec<ExtensionRow> = read_catalog(session, session.version_num(), &[]).await?;
    extensions.into_iter().find(|e| e.name == EXTENSION).ok_or_else(|| Error::ExtensionMissing {
        name: EXTENSION.into(),
        database: session.target().database().to_owned(),
    })
}

fn only(rows: Vec<StatementsInfoRow>) -> Result<StatementsInfoRow, Error> {
    rows.into_iter().next().ok_or_else(|| Error::Decode {
        query: "statements_info".into(),
        column: "dealloc".into(),
        reason: "the query returned no row".into(),
    })
}

impl From<StatementRow> for Statement {
    fn from(row: StatementRow) -> Self {
        Self {
            queryid: row.queryid,
            query: password_mask::mask(&row.query),
            toplevel: row.toplevel,
            calls: row.calls,
            plans: row.plans,
            total_plan_time: Millis(row.total_plan_time),
            total_exec_time: Millis(row.total_exec_time),
            min_exec_time: Millis(row.min_exec_time),
            max_exec_time: Millis(row.max_exec_time),
            mean_exec_time: Millis(row.mean_exec_time),
            stddev_exec_time: Millis(row.stddev_exec_time),
            rows: row.rows,
            shared_blks_hit: row.shared_blks_hit,
            shared_blks_read: row.shared_blks_read,
            shared_blks_dirtied: row.shared_blks_dirtied,
            shared_blks_written: row.shared_blks_written,
            temp_blks_read: row.temp_blks_read,
            temp_blks_written: row.temp_blks_written,
            blk_read_time: Millis(row.blk_read_time),
            blk_write_time: Millis(row.blk_write_time),
            wal_records: row.wal_records,
            wal_bytes: Bytes(u64::try_from(row.wal_bytes).unwrap_or(0)),
            stats_since: row.stats_since,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_paths_of_all_roles_are_joined() {
        let row = |role: &str, path: Option<&str>| SearchPathRow {
            role: role.into(),
            search_path: path.map(str::to_owned),
        };
        let rows = [row("shop", Some("app, \"$user\", public")), row("Ops", None)];
        assert_eq!(joined_search_path(&rows, "\"$user\", public"), "app, shop, public, \"Ops\"");
        assert_eq!(joined_search_path(&[], "public"), "");
        assert_eq!(schemas("\"a, \"\"b\" , c,\"\""), ["a, \"b", "c"]);
    }
}
