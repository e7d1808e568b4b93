//! What may this session do, and what has the server loaded?
//!
//! Source: PostgreSQL manual, "Predefined Roles" (22.5) and "System Information Functions" (9.27).

use crate::catalog_query;

catalog_query! {
    /// Privileges of the session's role and libraries of the server.
    pub struct AccessRow {
        user: String,
        superuser: bool,
        pg_monitor: bool,
        pg_read_all_stats: bool,
        pg_read_all_data: bool,
        in_recovery: bool,
        can_create_in_database: bool,
        encrypted: bool,
        /// Empty when the role may not see it.
        shared_preload_libraries: String,
        session_preload_libraries: String,
        pg_stat_statements_loaded: bool,
        auto_explain_loaded: bool,
        pg_stat_statements_available: bool,
    }
    name "access"
    server { 13 => "access.sql" }
}
