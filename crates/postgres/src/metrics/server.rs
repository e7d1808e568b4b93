//! What does the server as a whole count?
//!
//! Source: PostgreSQL manual, "The Cumulative Statistics System" (27.2), "System Views" (53).

use super::{MetricQuery, Pace, Scope, counter, gauge, variants};

pub(super) const SERVER: MetricQuery = MetricQuery {
    name: "server",
    scope: Scope::Server,
    pace: Pace::Often,
    extension: None,
    variants: variants! { 13 => "metrics_server.sql" },
    labels: &["version"],
    metrics: &[
        gauge("info", "postgres_server_info", "The server's version, as a label"),
        gauge("start_time", "postgres_server_start_timestamp_seconds", "When the server was started"),
        gauge(
            "conf_load_time",
            "postgres_server_configuration_load_timestamp_seconds",
            "When the configuration was last loaded",
        ),
        gauge("in_recovery", "postgres_server_in_recovery", "1 on a standby, 0 on a primary"),
        gauge(
            "pending_restart",
            "postgres_server_settings_pending_restart",
            "Settings that were changed and need a restart to take effect",
        ),
        gauge("max_connections", "postgres_server_connections_allowed", "The setting max_connections"),
        gauge(
            "reserved_connections",
            "postgres_server_connections_reserved",
            "The setting superuser_reserved_connections",
        ),
        gauge(
            "freeze_max_age",
            "postgres_server_freeze_max_age_transactions",
            "The setting autovacuum_freeze_max_age",
        ),
        gauge("autovacuum", "postgres_server_autovacuum_enabled", "The setting autovacuum"),
    ],
};

pub(super) const SETTINGS: MetricQuery = MetricQuery {
    name: "settings",
    scope: Scope::Server,
    pace: Pace::Rarely,
    extension: None,
    variants: variants! { 13 => "metrics_settings.sql" },
    labels: &["name"],
    metrics: &[gauge(
        "setting",
        "postgres_setting",
        "Settings for memory, checkpoints, autovacuum and limits, in bytes, seconds or plain numbers",
    )],
};

pub(super) const CONNECTIONS: MetricQuery = MetricQuery {
    name: "connections",
    scope: Scope::Server,
    pace: Pace::Often,
    extension: None,
    variants: variants! { 13 => "metrics_connections.sql" },
    labels: &["datname", "state"],
    metrics: &[gauge(
        "sessions",
        "postgres_connections",
        "Client sessions by state; hidden where the role may not see it",
    )],
};

pub(super) const TRANSACTIONS: MetricQuery = MetricQuery {
    name: "transactions",
    scope: Scope::Server,
    pace: Pace::Often,
    extension: None,
    variants: variants! { 13 => "metrics_transactions.sql" },
    labels: &["datname"],
    metrics: &[
        gauge(
            "longest_transaction",
            "postgres_longest_transaction_seconds",
            "For how long the oldest open transaction has been open",
        ),
        gauge(
            "longest_idle",
            "postgres_longest_idle_in_transaction_seconds",
            "For how long a session has been idle within a transaction, at most",
        ),
        gauge(
            "longest_statement",
            "postgres_longest_statement_seconds",
            "For how long the oldest running statement has been running",
        ),
        gauge(
            "oldest_xmin_age",
            "postgres_oldest_snapshot_age_transactions",
            "How many transactions ago the oldest snapshot of a session was taken; VACUUM keeps what it can see",
        ),
        gauge("waiting", "postgres_blocked_sessions", "Sessions that wait for a lock"),
        gauge(
            "longest_waiting",
            "postgres_longest_blocked_statement_seconds",
            "For how long a statement that waits for a lock has been running, at most",
        ),
    ],
};

pub(super) const LOCKS: MetricQuery = MetricQuery {
    name: "locks",
    scope: Scope::Server,
    pace: Pace::Often,
    extension: None,
    variants: variants! { 13 => "metrics_locks.sql" },
    labels: &["datname", "mode"],
    metrics: &[
        gauge("held", "postgres_locks_held", "Locks on objects of the database that are held, by mode"),
        gauge("awaited", "postgres_locks_awaited", "Locks on objects of the database that are waited for"),
    ],
};

pub(super) const DATABASES: MetricQuery = MetricQuery {
    name: "databases",
    scope: Scope::Server,
    pace: Pace::Often,
    extension: None,
    variants: variants! { 13 => "metrics_databases.sql", 14 => "metrics_databases.since_14.sql" },
    labels: &["datname"],
    metrics: &[
        gauge("numbackends", "postgres_database_backends", "Server processes connected to the database"),
        counter("xact_commit", "postgres_database_commits_total", "Transactions that were committed"),
        counter("xact_rollback", "postgres_database_rollbacks_total", "Transactions that were rolled back"),
        counter("blks_read", "postgres_database_blocks_read_total", "Blocks that were not in shared buffers"),
        counter("blks_hit", "postgres_database_blocks_hit_total", "Blocks that were found in shared buffers"),
        counter("tup_returned", "postgres_database_rows_returned_total", "Live rows that scans went over"),
        counter("tup_fetched", "postgres_database_rows_fetched_total", "Live rows fetched by index scans"),
        counter("tup_inserted", "postgres_database_rows_inserted_total", "Rows inserted"),
        counter("tup_updated", "postgres_database_rows_updated_total", "Rows updated"),
        counter("tup_deleted", "postgres_database_rows_deleted_total", "Rows deleted"),
        counter(
            "conflicts",
            "postgres_database_conflicts_total",
            "Statements cancelled because of recovery, on a standby",
        ),
        counter("temp_files", "postgres_database_temp_files_total", "Temporary files created by statements"),
        counter("temp_bytes", "postgres_database_temp_bytes_total", "Bytes written to temporary files"),
        counter("deadlocks", "postgres_database_deadlocks_total", "Deadlocks detected"),
        counter(
            "checksum_failures",
            "postgres_database_checksum_failures_total",
            "Pages whose checksum was wrong; absent where checksums are off",
        ),
        counter(
            "blk_read_time",
            "postgres_database_block_read_seconds_total",
            "Time spent reading blocks; 0 unless track_io_timing is on",
        ),
        counter(
            "blk_write_time",
            "postgres_database_block_write_seconds_total",
            "Time spent writing blocks; 0 unless track_io_timing is on",
        ),
        counter("session_time", "postgres_database_session_seconds_total", "Time of sessions, since 14"),
        counter("active_time", "postgres_database_active_seconds_total", "Time in statements, since 14"),
        counter(
            "idle_in_transaction_time",
            "postgres_database_idle_in_transaction_seconds_total",
            "Time idle within a transaction, since 14",
        ),
        counter("sessions", "postgres_database_sessions_total", "Sessions established, since 14"),
        counter(
            "sessions_abandoned",
            "postgres_database_sessions_abandoned_total",
            "Sessions that lost their client, since 14",
        ),
        counter(
            "sessions_fatal",
            "postgres_database_sessions_fatal_total",
            "Sessions ended by a fatal error, since 14",
        ),
        counter(
            "sessions_killed",
            "postgres_database_sessions_killed_total",
            "Sessions ended by an operator, since 14",
        ),
        gauge(
            "stats_reset",
            "postgres_database_statistics_reset_timestamp_seconds",
            "When the counters of the database were last reset",
        ),
        gauge(
            "xid_age",
            "postgres_database_frozen_xid_age_transactions",
            "Transactions since the oldest one that is not frozen; at 2 billion the server stops",
        ),
        gauge(
            "mxid_age",
            "postgres_database_frozen_multixact_age_transactions",
            "Multixacts since the oldest one that is not frozen",
        ),
        gauge(
            "connection_limit",
            "postgres_database_connection_limit",
            "Sessions allowed to the database; -1 for no limit of its own",
        ),
    ],
};

pub(super) const DATABASE_SIZES: MetricQuery = MetricQuery {
    name: "database_sizes",
    scope: Scope::Server,
    pace: Pace::Seldom,
    extension: None,
    variants: variants! { 13 => "metrics_database_sizes.sql" },
    labels: &["datname"],
    metrics: &[gauge("size", "postgres_database_size_bytes", "Size of the database on disk")],
};

pub(super) const CHECKPOINTS: MetricQuery = MetricQuery {
    name: "checkpoints",
    scope: Scope::Server,
    pace: Pace::Often,
    extension: None,
    variants: variants! {
        13 => "metrics_checkpoints.sql",
        17 => "metrics_checkpoints.since_17.sql",
        18 => "metrics_checkpoints.since_18.sql",
    },
    labels: &[],
    metrics: &[
        counter(
            "timed",
            "postgres_checkpoints_timed_total",
            "Checkpoints begun because of checkpoint_timeout",
        ),
        counter(
            "requested",
            "postgres_checkpoints_requested_total",
            "Checkpoints requested, by WAL or by hand",
        ),
        counter("done", "postgres_checkpoints_done_total", "Checkpoints completed, since 18"),
        counter(
            "write_time",
            "postgres_checkpoint_write_seconds_total",
            "Time checkpoints spent writing files",
        ),
        counter(
            "sync_time",
            "postgres_checkpoint_sync_seconds_total",
            "Time checkpoints spent flushing files",
        ),
        counter(
            "buffers_checkpoint",
            "postgres_checkpoint_buffers_written_total",
            "Buffers checkpoints wrote",
        ),
        counter(
            "buffers_clean",
            "postgres_bgwriter_buffers_written_total",
            "Buffers the background writer wrote",
        ),
        counter(
            "maxwritten_clean",
            "postgres_bgwriter_max_written_total",
            "Rounds of the background writer that ended at bgwriter_lru_maxpages",
        ),
        counter(
            "buffers_backend",
            "postgres_backend_buffers_written_total",
            "Buffers that backends wrote themselves, before 17",
        ),
        counter(
            "buffers_backend_fsync",
            "postgres_backend_fsyncs_total",
            "Files that backends flushed themselves, before 17",
        ),
        counter("buffers_alloc", "postgres_buffers_allocated_total", "Buffers allocated"),
        gauge(
            "stats_reset",
            "postgres_checkpoints_statistics_reset_timestamp_seconds",
            "When these counters were last reset",
        ),
    ],
};

pub(super) const WAL: MetricQuery = MetricQuery {
    name: "wal",
    scope: Scope::Server,
    pace: Pace::Often,
    extension: None,
    variants: variants! { 13 => "metrics_wal.sql", 14 => "metrics_wal.since_14.sql" },
    labels: &[],
    metrics: &[
        counter("position", "postgres_wal_position_bytes_total", "Where in the WAL the server is"),
        counter("records", "postgres_wal_records_total", "WAL records written, since 14"),
        counter("full_page_images", "postgres_wal_full_page_images_total", "Full pages in the WAL, since 14"),
        counter("bytes", "postgres_wal_written_bytes_total", "WAL written, since 14"),
        counter(
            "buffers_full",
            "postgres_wal_buffers_full_total",
            "Writes because wal_buffers was full, since 14",
        ),
    ],
};

pub(super) const WAL_FILES: MetricQuery = MetricQuery {
    name: "wal_files",
    scope: Scope::Server,
    pace: Pace::Rarely,
    extension: None,
    variants: variants! { 13 => "metrics_wal_files.sql" },
    labels: &[],
    metrics: &[
        gauge("files", "postgres_wal_files", "Files in pg_wal"),
        gauge("bytes", "postgres_wal_size_bytes", "Size of pg_wal"),
    ],
};

pub(super) const ARCHIVER: MetricQuery = MetricQuery {
    name: "archiver",
    scope: Scope::Server,
    pace: Pace::Often,
    extension: None,
    variants: variants! { 13 => "metrics_archiver.sql" },
    labels: &[],
    metrics: &[
        counter("archived_count", "postgres_archiver_archived_total", "WAL files archived"),
        counter(
            "failed_count",
            "postgres_archiver_failed_total",
            "Attempts to archive a WAL file that failed",
        ),
        gauge(
            "last_archived",
            "postgres_archiver_last_archived_timestamp_seconds",
            "When a file was last archived",
        ),
        gauge("last_failed", "postgres_archiver_last_failed_timestamp_seconds", "When archiving last failed"),
        gauge("archiving", "postgres_archiver_enabled", "Whether archive_mode is on"),
    ],
};

pub(super) const REPLICATION: MetricQuery = MetricQuery {
    name: "replication",
    scope: Scope::Server,
    pace: Pace::Often,
    extension: None,
    variants: variants! { 13 => "metrics_replication.sql" },
    labels: &["application_name", "client_addr"],
    metrics: &[
        gauge("connections", "postgres_replication_connections", "Connections of the standby or receiver"),
        gauge("streaming", "postgres_replication_streaming", "Those of them that stream"),
        gauge("unsent", "postgres_replication_unsent_bytes", "WAL not yet sent"),
        gauge("unflushed", "postgres_replication_unflushed_bytes", "WAL not yet flushed at the other side"),
        gauge(
            "unreplayed",
            "postgres_replication_unreplayed_bytes",
            "WAL not yet replayed at the other side",
        ),
        gauge(
            "flush_lag",
            "postgres_replication_flush_lag_seconds",
            "How late WAL is flushed; absent when idle",
        ),
        gauge(
            "replay_lag",
            "postgres_replication_replay_lag_seconds",
            "How late WAL is replayed; absent when idle",
        ),
    ],
};

pub(super) const STANDBY: MetricQuery = MetricQuery {
    name: "standby",
    scope: Scope::Server,
    pace: Pace::Often,
    extension: None,
    variants: variants! { 13 => "metrics_standby.sql" },
    labels: &[],
    metrics: &[
        gauge("unreplayed", "postgres_standby_unreplayed_bytes", "WAL received and not yet replayed"),
        gauge(
            "lag",
            "postgres_standby_lag_seconds",
            "Age of the last replayed commit while something is left to replay, else 0",
        ),
        gauge("paused", "postgres_standby_replay_paused", "Whether replay is paused"),
        gauge("receiving", "postgres_standby_receiving", "Whether WAL is being streamed to this standby"),
    ],
};

pub(super) const SLOTS: MetricQuery = MetricQuery {
    name: "slots",
    scope: Scope::Server,
    pace: Pace::Often,
    extension: None,
    variants: variants! { 13 => "metrics_slots.sql" },
    labels: &["slot", "slot_type"],
    metrics: &[
        gauge("active", "postgres_replication_slot_active", "Whether somebody uses the slot"),
        gauge("retained", "postgres_replication_slot_retained_bytes", "WAL that the slot keeps"),
        gauge(
            "safe_wal_size",
            "postgres_replication_slot_safe_bytes",
            "WAL that can be written before the slot is lost; absent without max_slot_wal_keep_size",
        ),
        gauge("lost", "postgres_replication_slot_lost", "Whether WAL that the slot needs is gone"),
        gauge(
            "xmin_age",
            "postgres_replication_slot_snapshot_age_transactions",
            "How many transactions ago the slot's snapshot was taken; VACUUM keeps what it can see",
        ),
    ],
};

pub(super) const VACUUM_PROGRESS: MetricQuery = MetricQuery {
    name: "vacuum_progress",
    scope: Scope::Server,
    pace: Pace::Often,
    extension: None,
    variants: variants! { 13 => "metrics_vacuum_progress.sql" },
    labels: &["datname", "pid", "relid", "phase"],
    metrics: &[
        gauge("heap_blks_total", "postgres_vacuum_heap_blocks", "Blocks of the table that is being vacuumed"),
        gauge("heap_blks_scanned", "postgres_vacuum_heap_blocks_scanned", "Those of them that were scanned"),
        gauge(
            "heap_blks_vacuumed",
            "postgres_vacuum_heap_blocks_vacuumed",
            "Those of them that were vacuumed",
        ),
        gauge("index_vacuum_count", "postgres_vacuum_index_passes", "Passes over the indexes so far"),
    ],
};

pub(super) const AUTOVACUUM_WORKERS: MetricQuery = MetricQuery {
    name: "autovacuum_workers",
    scope: Scope::Server,
    pace: Pace::Often,
    extension: None,
    variants: variants! { 13 => "metrics_autovacuum_workers.sql" },
    labels: &[],
    metrics: &[
        gauge("workers", "postgres_autovacuum_workers", "Autovacuum workers that are running"),
        gauge("allowed", "postgres_autovacuum_workers_allowed", "The setting autovacuum_max_workers"),
    ],
};

pub(super) const IO: MetricQuery = MetricQuery {
    name: "io",
    scope: Scope::Server,
    pace: Pace::Often,
    extension: None,
    variants: variants! { 16 => "metrics_io.since_16.sql", 18 => "metrics_io.since_18.sql" },
    labels: &["backend_type", "object", "context"],
    metrics: &[
        counter("reads", "postgres_io_reads_total", "Reads, since 16"),
        counter("read_bytes", "postgres_io_read_bytes_total", "Bytes read, since 16"),
        counter(
            "read_time",
            "postgres_io_read_seconds_total",
            "Time in reads, with track_io_timing, since 16",
        ),
        counter("writes", "postgres_io_writes_total", "Writes, since 16"),
        counter("write_bytes", "postgres_io_written_bytes_total", "Bytes written, since 16"),
        counter(
            "write_time",
            "postgres_io_write_seconds_total",
            "Time in writes, with track_io_timing, since 16",
        ),
        counter("extends", "postgres_io_extends_total", "Extensions of relations, since 16"),
        counter(
            "extend_time",
            "postgres_io_extend_seconds_total",
            "Time in them, with track_io_timing, since 16",
        ),
        counter("hits", "postgres_io_hits_total", "Blocks found in a buffer, since 16"),
        counter("evictions", "postgres_io_evictions_total", "Blocks evicted from a buffer, since 16"),
        counter("reuses", "postgres_io_reuses_total", "Buffers of a ring used again, since 16"),
        counter("fsyncs", "postgres_io_fsyncs_total", "Flushes, since 16"),
        counter(
            "fsync_time",
            "postgres_io_fsync_seconds_total",
            "Time in flushes, with track_io_timing, since 16",
        ),
    ],
};
