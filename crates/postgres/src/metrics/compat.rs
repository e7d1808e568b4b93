//! What does `postgres_exporter` tell that pgwright's own collectors do not read in that form? Read only when its names
//! are asked for.
//!
//! Source: postgres_exporter, its names and labels as it publishes them; PostgreSQL manual, "pg_stat_database",
//! "pg_stat_activity", "pg_locks", "pg_settings". Units are those that it has, milliseconds among them.

use super::{MetricQuery, Pace, Scope, counter, gauge, variants};

/// The collectors of names that are compatible with `postgres_exporter`.
pub const COMPAT_QUERIES: &[MetricQuery] = &[
    MetricQuery {
        name: "compat_databases",
        scope: Scope::Server,
        pace: Pace::Often,
        extension: None,
        variants: variants! {
            13 => "metrics_compat_databases.sql",
            14 => "metrics_compat_databases.since_14.sql",
        },
        labels: &["datid", "datname"],
        metrics: &[
            gauge(
                "numbackends",
                "pg_stat_database_numbackends",
                "Server processes connected to the database",
            ),
            counter("xact_commit", "pg_stat_database_xact_commit", "Transactions that were committed"),
            counter("xact_rollback", "pg_stat_database_xact_rollback", "Transactions that were rolled back"),
            counter("blks_read", "pg_stat_database_blks_read", "Blocks that were not in shared buffers"),
            counter("blks_hit", "pg_stat_database_blks_hit", "Blocks that were found in shared buffers"),
            counter("tup_returned", "pg_stat_database_tup_returned", "Live rows that scans went over"),
            counter("tup_fetched", "pg_stat_database_tup_fetched", "Live rows fetched by index scans"),
            counter("tup_inserted", "pg_stat_database_tup_inserted", "Rows inserted"),
            counter("tup_updated", "pg_stat_database_tup_updated", "Rows updated"),
            counter("tup_deleted", "pg_stat_database_tup_deleted", "Rows deleted"),
            counter("conflicts", "pg_stat_database_conflicts", "Statements cancelled because of recovery"),
            counter("temp_files", "pg_stat_database_temp_files", "Temporary files created by statements"),
            counter("temp_bytes", "pg_stat_database_temp_bytes", "Bytes written to temporary files"),
            counter("deadlocks", "pg_stat_database_deadlocks", "Deadlocks detected"),
            counter(
                "checksum_failures",
                "pg_stat_database_checksum_failures",
                "Pages whose checksum was wrong",
            ),
            counter("blk_read_time", "pg_stat_database_blk_read_time", "Milliseconds spent reading blocks"),
            counter("blk_write_time", "pg_stat_database_blk_write_time", "Milliseconds spent writing blocks"),
            gauge("stats_reset", "pg_stat_database_stats_reset", "When the counters were last reset"),
            counter(
                "confl_tablespace",
                "pg_stat_database_conflicts_confl_tablespace",
                "Statements cancelled because of dropped tablespaces",
            ),
            counter(
                "confl_lock",
                "pg_stat_database_conflicts_confl_lock",
                "Statements cancelled because of lock timeouts",
            ),
            counter(
                "confl_snapshot",
                "pg_stat_database_conflicts_confl_snapshot",
                "Statements cancelled because of old snapshots",
            ),
            counter(
                "confl_bufferpin",
                "pg_stat_database_conflicts_confl_bufferpin",
                "Statements cancelled because of pinned buffers",
            ),
            counter(
                "confl_deadlock",
                "pg_stat_database_conflicts_confl_deadlock",
                "Statements cancelled because of deadlocks with replay",
            ),
            counter("session_time", "pg_stat_database_session_time", "Milliseconds spent in sessions"),
            counter("active_time", "pg_stat_database_active_time", "Milliseconds spent executing statements"),
            counter(
                "idle_in_transaction_time",
                "pg_stat_database_idle_in_transaction_time",
                "Milliseconds spent idle within transactions",
            ),
            counter("sessions", "pg_stat_database_sessions", "Sessions that were established"),
            counter(
                "sessions_abandoned",
                "pg_stat_database_sessions_abandoned",
                "Sessions whose client vanished",
            ),
            counter("sessions_fatal", "pg_stat_database_sessions_fatal", "Sessions that ended by an error"),
            counter("sessions_killed", "pg_stat_database_sessions_killed", "Sessions that an operator ended"),
            counter(
                "active_seconds",
                "pg_stat_database_active_time_seconds_total",
                "Seconds spent executing statements",
            ),
        ],
    },
    MetricQuery {
        name: "compat_locks",
        scope: Scope::Server,
        pace: Pace::Often,
        extension: None,
        variants: variants! { 13 => "metrics_compat_locks.sql" },
        labels: &["datname", "mode"],
        metrics: &[gauge("locks", "pg_locks_count", "Locks held and waited for, by mode")],
    },
    MetricQuery {
        name: "compat_activity",
        scope: Scope::Server,
        pace: Pace::Often,
        extension: None,
        variants: variants! { 13 => "metrics_compat_activity.sql" },
        labels: &[
            "datname",
            "state",
            "usename",
            "application_name",
            "backend_type",
            "wait_event_type",
            "wait_event",
        ],
        metrics: &[
            gauge("sessions", "pg_stat_activity_count", "Sessions in this state"),
            gauge(
                "longest",
                "pg_stat_activity_max_tx_duration",
                "Seconds for which a transaction of these sessions has been open, at most",
            ),
        ],
    },
    MetricQuery {
        name: "compat_replication",
        scope: Scope::Server,
        pace: Pace::Often,
        extension: None,
        variants: variants! { 13 => "metrics_compat_replication.sql" },
        labels: &[],
        metrics: &[
            gauge("lag", "pg_replication_lag_seconds", "How far a standby is behind; 0 on a primary"),
            gauge("is_replica", "pg_replication_is_replica", "1 on a standby, 0 on a primary"),
            gauge(
                "last_replay",
                "pg_replication_last_replay_seconds",
                "Age of the last transaction that a standby replayed",
            ),
        ],
    },
    MetricQuery {
        name: "compat_server",
        scope: Scope::Server,
        pace: Pace::Rarely,
        extension: None,
        variants: variants! { 13 => "metrics_compat_server.sql" },
        labels: &["short_version", "version"],
        metrics: &[gauge("one", "pg_static", "The server's version, as labels")],
    },
    MetricQuery {
        name: "compat_slots",
        scope: Scope::Server,
        pace: Pace::Often,
        extension: None,
        variants: variants! { 13 => "metrics_compat_slots.sql" },
        labels: &["slot_name", "database"],
        metrics: &[
            gauge("active", "pg_replication_slots_active", "Whether somebody uses the slot"),
            gauge("lsn_diff", "pg_replication_slots_pg_wal_lsn_diff", "WAL that the slot keeps, in bytes"),
        ],
    },
    MetricQuery {
        name: "compat_slot_positions",
        scope: Scope::Server,
        pace: Pace::Often,
        extension: None,
        variants: variants! { 13 => "metrics_compat_slot_positions.sql" },
        labels: &["slot_name", "slot_type"],
        metrics: &[
            gauge("active", "pg_replication_slot_slot_is_active", "Whether somebody uses the slot"),
            gauge("current", "pg_replication_slot_slot_current_wal_lsn", "Where in the WAL the server is"),
            gauge(
                "confirmed",
                "pg_replication_slot_slot_confirmed_flush_lsn",
                "Up to where in the WAL the slot's user has confirmed",
            ),
            gauge(
                "safe",
                "pg_replication_slot_safe_wal_size_bytes",
                "WAL that can be written before the slot is lost",
            ),
            gauge("active_20", "pg_replication_slots_slot_is_active", "Whether somebody uses the slot"),
            gauge(
                "current_20",
                "pg_replication_slots_slot_current_wal_lsn",
                "Where in the WAL the server is",
            ),
            gauge(
                "confirmed_20",
                "pg_replication_slots_slot_confirmed_flush_lsn",
                "Up to where in the WAL the slot's user has confirmed",
            ),
            gauge(
                "safe_20",
                "pg_replication_slots_safe_wal_size_bytes",
                "WAL that can be written before the slot is lost",
            ),
        ],
    },
    MetricQuery {
        name: "compat_replicas",
        scope: Scope::Server,
        pace: Pace::Often,
        extension: None,
        variants: variants! { 13 => "metrics_compat_replicas.sql" },
        labels: &["application_name", "client_addr", "state", "slot_name"],
        metrics: &[
            gauge(
                "current",
                "pg_stat_replication_pg_current_wal_lsn_bytes",
                "Where in the WAL the server is, in bytes",
            ),
            gauge(
                "lsn_diff",
                "pg_stat_replication_pg_wal_lsn_diff",
                "WAL not yet replayed at the other side, in bytes",
            ),
        ],
    },
    MetricQuery {
        name: "compat_tables",
        scope: Scope::Database,
        pace: Pace::Seldom,
        extension: None,
        variants: variants! { 13 => "metrics_compat_tables.sql" },
        labels: &["schemaname", "relname"],
        metrics: &[
            gauge(
                "last_vacuum",
                "pg_stat_user_tables_last_vacuum",
                "When it was last vacuumed by hand; 0 for never",
            ),
            gauge(
                "last_autovacuum",
                "pg_stat_user_tables_last_autovacuum",
                "When autovacuum last vacuumed it; 0 for never",
            ),
            gauge(
                "last_analyze",
                "pg_stat_user_tables_last_analyze",
                "When it was last analyzed by hand; 0 for never",
            ),
            gauge(
                "last_autoanalyze",
                "pg_stat_user_tables_last_autoanalyze",
                "When autovacuum last analyzed it; 0 for never",
            ),
            counter("analyze_count", "pg_stat_user_tables_analyze_count", "Times it was analyzed by hand"),
            counter(
                "autoanalyze_count",
                "pg_stat_user_tables_autoanalyze_count",
                "Times autovacuum analyzed it",
            ),
            gauge("index_size", "pg_stat_user_tables_index_size_bytes", "Size of its indexes"),
            counter(
                "idx_blks_read",
                "pg_statio_user_tables_idx_blocks_read",
                "Blocks of its indexes that were read",
            ),
            counter(
                "idx_blks_hit",
                "pg_statio_user_tables_idx_blocks_hit",
                "Blocks of its indexes found in a buffer",
            ),
            counter(
                "toast_blks_read",
                "pg_statio_user_tables_toast_blocks_read",
                "Blocks of its TOAST that were read",
            ),
            counter(
                "toast_blks_hit",
                "pg_statio_user_tables_toast_blocks_hit",
                "Blocks of its TOAST found in a buffer",
            ),
            counter(
                "tidx_blks_read",
                "pg_statio_user_tables_tidx_blocks_read",
                "Blocks of its TOAST's index that were read",
            ),
            counter(
                "tidx_blks_hit",
                "pg_statio_user_tables_tidx_blocks_hit",
                "Blocks of its TOAST's index found in a buffer",
            ),
        ],
    },
    MetricQuery {
        name: "compat_roles",
        scope: Scope::Server,
        pace: Pace::Rarely,
        extension: None,
        variants: variants! { 13 => "metrics_compat_roles.sql" },
        labels: &["rolname"],
        metrics: &[gauge(
            "connection_limit",
            "pg_roles_connection_limit",
            "Connections that the role is allowed; -1 for any",
        )],
    },
    MetricQuery {
        name: "compat_facts",
        scope: Scope::Server,
        pace: Pace::Often,
        extension: None,
        variants: variants! { 13 => "metrics_compat_facts.sql" },
        labels: &[],
        metrics: &[
            gauge(
                "archive_age",
                "pg_stat_archiver_last_archive_age",
                "Seconds since a WAL file was archived",
            ),
            counter(
                "bgwriter_reset",
                "pg_stat_bgwriter_stats_reset_total",
                "When the counters of the background writer were last reset",
            ),
            gauge("transactions", "pg_long_running_transactions", "Transactions that are open"),
            gauge(
                "oldest",
                "pg_long_running_transactions_oldest_timestamp_seconds",
                "For how many seconds the oldest of them has been open",
            ),
        ],
    },
    MetricQuery {
        name: COMPAT_SETTINGS,
        scope: Scope::Server,
        pace: Pace::Rarely,
        extension: None,
        variants: variants! { 13 => "metrics_compat_settings.sql" },
        labels: &["name"],
        metrics: &[gauge("value", "pg_settings", "A setting, in seconds, bytes or as a plain number")],
    },
];

/// The collector whose label `name` becomes part of the metric's name.
pub const COMPAT_SETTINGS: &str = "compat_settings";
