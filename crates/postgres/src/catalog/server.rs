//! What server is it, how is it set up, and which extensions does the database have?
//!
//! Source: `pg_database`, `pg_settings` and `pg_extension`.

use chrono::{DateTime, Utc};
use model::Bytes;
use model::snapshot::{Extension, Server, Setting};

use crate::catalog_query;

catalog_query! {
    /// The server and the database of the session.
    pub struct ServerRow {
        taken_at: DateTime<Utc>,
        version_num: i32,
        version: String,
        database: String,
        user: String,
        in_recovery: bool,
        started_at: Option<DateTime<Utc>>,
        stats_reset: Option<DateTime<Utc>>,
        encoding: String,
        collate: String,
        ctype: String,
        database_bytes: i64,
    }
    name "server"
    server { 13 => "server.sql" }
}

catalog_query! {
    /// A row of `pg_settings`.
    pub struct SettingRow {
        name: String,
        /// NULL for a setting that the server computes and has not computed.
        setting: Option<String>,
        unit: Option<String>,
        vartype: String,
        /// That of `pg_settings`, except for what pgwright has set in its session: `default`, or
        /// `changed` when the server's value is another.
        source: String,
        context: String,
        category: String,
    }
    name "settings"
    server { 13 => "settings.sql" }
}

catalog_query! {
    /// A row of `pg_extension`.
    pub struct ExtensionRow { name: String, version: String, schema: String }
    name "extensions"
    server { 13 => "extensions.sql" }
}

catalog_query! {
    /// A row of `pg_available_extensions` whose extension this database does not have.
    pub struct AvailableExtensionRow { name: String }
    name "available_extensions"
    server { 13 => "available_extensions.sql" }
}

impl From<ServerRow> for Server {
    fn from(row: ServerRow) -> Self {
        Self {
            version_num: row.version_num,
            version: row.version,
            database: row.database,
            user: row.user,
            in_recovery: row.in_recovery,
            started_at: row.started_at,
            stats_reset: row.stats_reset,
            encoding: row.encoding,
            collate: row.collate,
            ctype: row.ctype,
            database_bytes: Bytes(u64::try_from(row.database_bytes).unwrap_or(0)),
        }
    }
}

impl From<SettingRow> for (String, Setting) {
    fn from(row: SettingRow) -> Self {
        let setting = Setting {
            setting: row.setting.unwrap_or_default(),
            unit: row.unit,
            vartype: row.vartype,
            source: row.source,
            context: row.context,
            category: row.category,
        };
        (row.name, setting)
    }
}

impl From<ExtensionRow> for Extension {
    fn from(row: ExtensionRow) -> Self {
        Self { name: row.name, version: row.version, schema: row.schema }
    }
}
