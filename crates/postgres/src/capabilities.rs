//! What can pgwright do on this server? Everything that `doctor` reports and that other code branches
//! on: what the server *can*, never a version number in the middle of the code.

use std::collections::BTreeMap;

use model::snapshot::{Extension, Setting};

use crate::catalog::{AccessRow, ExtensionRow, SettingRow};
use crate::catalog_query::read as read_catalog;
use crate::error::Error;
use crate::session::Session;
use crate::statistics::statements;

/// The oldest major version whose catalogs the queries read.
pub const OLDEST_SUPPORTED: u32 = 13;

/// What a session can do.
#[derive(Clone, Debug)]
pub struct Capabilities {
    /// `server_version_num`.
    pub version_num: i32,
    /// `server_version`.
    pub version: String,
    /// `current_user`.
    pub user: String,
    /// The role is superuser.
    pub superuser: bool,
    /// The role has the privileges of `pg_monitor`.
    pub pg_monitor: bool,
    /// The role has the privileges of `pg_read_all_stats`.
    pub pg_read_all_stats: bool,
    /// The role has the privileges of `pg_read_all_data`; false before 14, which has no such role.
    pub pg_read_all_data: bool,
    /// The server is a standby.
    pub in_recovery: bool,
    /// A pooler in transaction mode stands in between.
    pub behind_transaction_pooler: bool,
    /// Any pooler stands in between.
    pub behind_pooler: bool,
    /// The role may create a schema in this database.
    pub can_create_in_database: bool,
    /// The connection of the server process is encrypted.
    pub encrypted: bool,
    /// Installed extensions, by name.
    pub extensions: Vec<Extension>,
    /// What is known of `pg_stat_statements`.
    pub pg_stat_statements: StatementsCapability,
    /// `auto_explain` is loaded in this session.
    pub auto_explain_loaded: bool,
    /// `shared_preload_libraries`; empty when the role may not see it.
    pub shared_preload_libraries: String,
    /// `session_preload_libraries`; empty when the role may not see it.
    pub session_preload_libraries: String,
    /// Every row of `pg_settings` that the role may see, by name.
    pub settings: BTreeMap<String, Setting>,
}

/// What can be had from `pg_stat_statements`.
#[derive(Clone, Debug)]
pub struct StatementsCapability {
    /// The server has the files of the extension.
    pub available: bool,
    /// The version and schema that are installed in this database.
    pub installed: Option<Extension>,
    /// The library was loaded when the server started.
    pub preloaded: bool,
    /// Why the statements could not be read; `None` when they can.
    pub unreadable: Option<Unreadable>,
    /// Texts of other roles' statements are visible.
    pub others_visible: bool,
    /// How many entries of other roles are hidden.
    pub hidden: i64,
}

/// An error, with the words for it kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// The primary message.
    pub message: String,
    /// SQLSTATE.
    pub sqlstate: Option<String>,
    /// What to do about it.
    pub hint: Option<String>,
}

impl StatementsCapability {
    /// Whether statements can be read at all.
    pub fn readable(&self) -> bool {
        self.unreadable.is_none()
    }
}

impl Capabilities {
    /// Asks the server. Nothing that is missing is an error.
    ///
    /// # Errors
    /// When a catalog query fails, or the server is older than [`OLDEST_SUPPORTED`].
    pub async fn read(session: &Session) -> Result<Self, Error> {
        let version_num = session.version_num();
        let (access, extensions, settings) = tokio::try_join!(
            read_catalog::<AccessRow>(session, version_num, &[]),
            read_catalog::<ExtensionRow>(session, version_num, &[]),
            read_catalog::<SettingRow>(session, version_num, &[]),
        )?;
        let access = access.into_iter().next().ok_or_else(|| Error::Decode {
            query: "access".into(),
            column: "user".into(),
            reason: "the query returned no row".into(),
        })?;
        let extensions: Vec<Extension> = extensions.into_iter().map(Into::into).collect();
        let settings: BTreeMap<String, Setting> = settings.into_iter().map(Into::into).collect();
        let reading = statements::read_info(session).await;
        let (unreadable, hidden) = match reading {
            Ok(info) => (None, info.hidden),
            Err(error @ Error::ConnectionLost { .. }) => return Err(error),
            Err(error) => {
                let unreadable = Unreadable {
                    message: error.to_string(),
                    sqlstate: error.sqlstate().map(str::to_owned),
                    hint: error.hint(),
                };
                (Some(unreadable), 0)
            }
        };
        Ok(Self {
            version_num,
            version: settings.get("server_version").map(|s| s.setting.clone()).unwrap_or_default(),
            user: access.user,
            superuser: access.superuser,
            pg_monitor: access.pg_monitor,
            pg_read_all_stats: access.pg_read_all_stats,
            pg_read_all_data: access.pg_read_all_data,
            in_recovery: access.in_recovery,
            behind_transaction_pooler: session.behind_transaction_pooler(),
            behind_pooler: session.behind_pooler(),
            can_create_in_database: access.can_create_in_database,
            encrypted: access.encrypted,
            pg_stat_statements: StatementsCapability {
                available: access.pg_stat_statements_available,
                installed: extensions.iter().find(|e| e.name == "pg_stat_statements").cloned(),
                preloaded: access.pg_stat_statements_loaded,
                unreadable,
                others_visible: access.superuser || access.pg_read_all_stats,
                hidden,
            },
            auto_explain_loaded: access.auto_explain_loaded,
            shared_preload_libraries: access.shared_preload_libraries,
            session_preload_libraries: access.session_preload_libraries,
            extensions,
            settings,
        })
    }

    /// The major version.
    pub fn major(&self) -> u32 {
        u32::try_from(self.version_num / 10_000).unwrap_or(0)
    }

    /// The value of a setting.
    pub fn setting(&self, name: &str) -> Option<&str> {
        self.settings.get(name).map(|s| s.setting.as_str())
    }

    /// Whether an extension is installed in this database.
    pub fn has_extension(&self, name: &str) -> bool {
        self.extensions.iter().any(|e| e.name == name)
    }
}
