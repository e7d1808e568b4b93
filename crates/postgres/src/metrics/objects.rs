//! What is counted of the tables, indexes, sequences, partitions and jobs of one database?
//!
//! Source: PostgreSQL manual, "The Cumulative Statistics System" (27.2), "pg_class" (53.11); the README of `pg_cron`.

use super::{MetricQuery, Pace, Scope, counter, gauge, variants};

pub(super) const TABLES: MetricQuery = MetricQuery {
    name: "tables",
    scope: Scope::Database,
    pace: Pace::Seldom,
    extension: None,
    variants: variants! { 13 => "metrics_tables.sql" },
    labels: &["schema", "table"],
    metrics: &[
        gauge(
            "rows",
            "postgres_table_estimated_rows",
            "Rows as the planner estimates them; -1 when never analyzed",
        ),
        gauge("size", "postgres_table_size_bytes", "Size with TOAST and maps, without indexes"),
        gauge("live", "postgres_table_live_rows", "Live rows as the statistics count them"),
        gauge("dead", "postgres_table_dead_rows", "Dead rows as the statistics count them"),
        gauge(
            "trigger",
            "postgres_table_autovacuum_trigger_rows",
            "Dead rows from which on autovacuum comes, by the server's settings",
        ),
        gauge(
            "mod_since_analyze",
            "postgres_table_rows_modified_since_analyze",
            "Rows modified since ANALYZE",
        ),
        counter("seq_scan", "postgres_table_sequential_scans_total", "Sequential scans"),
        counter(
            "seq_tup_read",
            "postgres_table_sequential_rows_read_total",
            "Live rows read by sequential scans",
        ),
        counter("idx_scan", "postgres_table_index_scans_total", "Scans of the table's indexes"),
        counter(
            "idx_tup_fetch",
            "postgres_table_index_rows_fetched_total",
            "Live rows fetched by index scans",
        ),
        counter("inserted", "postgres_table_rows_inserted_total", "Rows inserted"),
        counter("updated", "postgres_table_rows_updated_total", "Rows updated"),
        counter("deleted", "postgres_table_rows_deleted_total", "Rows deleted"),
        counter(
            "hot_updated",
            "postgres_table_rows_hot_updated_total",
            "Rows updated without touching an index",
        ),
        counter(
            "blks_read",
            "postgres_table_blocks_read_total",
            "Blocks of the heap not found in shared buffers",
        ),
        counter("blks_hit", "postgres_table_blocks_hit_total", "Blocks of the heap found in shared buffers"),
        counter("vacuums", "postgres_table_vacuums_total", "Times VACUUM was run by hand"),
        counter("autovacuums", "postgres_table_autovacuums_total", "Times autovacuum vacuumed"),
        counter(
            "analyzes",
            "postgres_table_analyzes_total",
            "Times ANALYZE was run, by hand or by autovacuum",
        ),
        gauge(
            "last_vacuum",
            "postgres_table_last_vacuum_timestamp_seconds",
            "When it was last vacuumed; absent if never",
        ),
        gauge(
            "last_analyze",
            "postgres_table_last_analyze_timestamp_seconds",
            "When it was last analyzed; absent if never",
        ),
        gauge(
            "xid_age",
            "postgres_table_frozen_xid_age_transactions",
            "Transactions since the oldest that is not frozen",
        ),
    ],
};

pub(super) const INDEXES: MetricQuery = MetricQuery {
    name: "indexes",
    scope: Scope::Database,
    pace: Pace::Rarely,
    extension: None,
    variants: variants! { 13 => "metrics_indexes.sql" },
    labels: &["schema", "table", "index"],
    metrics: &[
        gauge("size", "postgres_index_size_bytes", "Size of the index"),
        counter("idx_scan", "postgres_index_scans_total", "Scans of the index"),
        counter("idx_tup_read", "postgres_index_rows_read_total", "Entries that scans returned"),
        counter(
            "idx_tup_fetch",
            "postgres_index_rows_fetched_total",
            "Live rows fetched by simple scans of the index",
        ),
        counter("blks_read", "postgres_index_blocks_read_total", "Blocks not found in shared buffers"),
        counter("blks_hit", "postgres_index_blocks_hit_total", "Blocks found in shared buffers"),
    ],
};

pub(super) const INDEX_FAULTS: MetricQuery = MetricQuery {
    name: "index_faults",
    scope: Scope::Database,
    pace: Pace::Seldom,
    extension: None,
    variants: variants! { 13 => "metrics_index_faults.sql" },
    labels: &[],
    metrics: &[
        gauge("invalid", "postgres_invalid_indexes", "Indexes left invalid, and not being built just now"),
        gauge(
            "not_valid",
            "postgres_not_valid_indexes",
            "Indexes that are not valid, those being built among them",
        ),
    ],
};

pub(super) const SEQUENCES: MetricQuery = MetricQuery {
    name: "sequences",
    scope: Scope::Database,
    pace: Pace::Rarely,
    extension: None,
    variants: variants! { 13 => "metrics_sequences.sql" },
    labels: &["schema", "sequence"],
    metrics: &[gauge(
        "used",
        "postgres_sequence_used_ratio",
        "How much of what the sequence and its column can hold is used up, of the 50 fullest",
    )],
};

pub(super) const PARTITIONS: MetricQuery = MetricQuery {
    name: "partitions",
    scope: Scope::Database,
    pace: Pace::Rarely,
    extension: None,
    variants: variants! { 13 => "metrics_partitions.sql" },
    labels: &["schema", "table"],
    metrics: &[
        gauge("partitions", "postgres_partitions", "Partitions of the table, of the first level"),
        gauge("rows", "postgres_partitions_estimated_rows", "Rows in them as the planner estimates them"),
        gauge(
            "size",
            "postgres_partitions_size_bytes",
            "Their size at the last VACUUM or ANALYZE, without TOAST",
        ),
        gauge("default_rows", "postgres_partition_default_rows", "Estimated rows in the default partition"),
        gauge(
            "covered_until",
            "postgres_partitions_covered_until_timestamp_seconds",
            "Up to when there are partitions, where the key is one column of time",
        ),
    ],
};

pub(super) const JOBS: MetricQuery = MetricQuery {
    name: "jobs",
    scope: Scope::Database,
    pace: Pace::Seldom,
    extension: Some("pg_cron"),
    variants: variants! { 13 => "metrics_jobs.sql" },
    labels: &["jobid", "job_name"],
    metrics: &[
        gauge("active", "postgres_job_active", "Whether the job of pg_cron is scheduled"),
        gauge(
            "last_succeeded",
            "postgres_job_last_run_succeeded",
            "Whether its last completed run succeeded",
        ),
        gauge("last_start", "postgres_job_last_start_timestamp_seconds", "When its last completed run began"),
        gauge("last_duration", "postgres_job_last_duration_seconds", "How long that run took"),
        gauge("recent_failures", "postgres_job_failures_last_day", "Its runs that failed within a day"),
    ],
};
