//! What does somebody want to see who looks at a server? Boards of panels, each with its expressions.

/// How a panel draws.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drawing {
    /// Lines over time.
    Lines,
    /// Areas over time, one on the other.
    Stacked,
    /// One number.
    Number,
    /// Rows, one for each series, as they are now.
    Table,
}

/// One panel.
#[derive(Clone, Copy, Debug)]
pub struct Panel {
    /// Its title.
    pub title: &'static str,
    /// What it tells, and what to look for.
    pub description: &'static str,
    /// How it draws.
    pub drawing: Drawing,
    /// The unit, by Grafana's name.
    pub unit: &'static str,
    /// Width in columns of 24.
    pub width: u32,
    /// Expressions, each with the template of its legend.
    pub targets: &'static [(&'static str, &'static str)],
}

/// One board.
#[derive(Clone, Copy, Debug)]
pub struct Dashboard {
    /// Its identity, and the name of its file.
    pub uid: &'static str,
    /// Its title.
    pub title: &'static str,
    /// Rows of panels, each with a title.
    pub rows: &'static [(&'static str, &'static [Panel])],
}

/// All boards.
pub fn dashboards() -> &'static [Dashboard] {
    &[OVERVIEW, STATEMENTS, OBJECTS]
}

const fn lines(
    title: &'static str,
    description: &'static str,
    unit: &'static str,
    targets: &'static [(&'static str, &'static str)],
) -> Panel {
    Panel { title, description, drawing: Drawing::Lines, unit, width: 8, targets }
}

const fn stacked(
    title: &'static str,
    description: &'static str,
    unit: &'static str,
    targets: &'static [(&'static str, &'static str)],
) -> Panel {
    Panel { title, description, drawing: Drawing::Stacked, unit, width: 8, targets }
}

const fn number(
    title: &'static str,
    description: &'static str,
    unit: &'static str,
    targets: &'static [(&'static str, &'static str)],
) -> Panel {
    Panel { title, description, drawing: Drawing::Number, unit, width: 4, targets }
}

const fn table(
    title: &'static str,
    description: &'static str,
    unit: &'static str,
    targets: &'static [(&'static str, &'static str)],
) -> Panel {
    Panel { title, description, drawing: Drawing::Table, unit, width: 12, targets }
}

const OVERVIEW: Dashboard = Dashboard {
    uid: "pgwright-overview",
    title: "PostgreSQL: overview",
    rows: &[
        (
            "Now",
            &[
                number(
                    "Databases connected",
                    "Of those that pgwright watches.",
                    "short",
                    &[("sum(pgwright_up{instance=~\"$instance\"})", "")],
                ),
                number(
                    "P99 latency",
                    "Of all statements, their commits included, by samples.",
                    "s",
                    &[(
                        "histogram_quantile(0.99, sum by (le) (rate(postgres_statement_latency_seconds_bucket{instance=~\"$instance\"}[$__rate_interval])))",
                        "",
                    )],
                ),
                number(
                    "Connections in use",
                    "Of those that the server allows.",
                    "percentunit",
                    &[(
                        "sum(postgres_connections{instance=~\"$instance\"}) / sum(postgres_server_connections_allowed{instance=~\"$instance\"} - postgres_server_connections_reserved{instance=~\"$instance\"})",
                        "",
                    )],
                ),
                number(
                    "Slow statements",
                    "Statements whose mean execution time is above 100 ms.",
                    "short",
                    &[("sum(postgres_statements_slow{instance=~\"$instance\"})", "")],
                ),
                number(
                    "Database size",
                    "All databases on disk.",
                    "bytes",
                    &[("sum(postgres_database_size_bytes{instance=~\"$instance\"})", "")],
                ),
                number(
                    "Oldest transaction not frozen",
                    "At two thousand million the server stops.",
                    "short",
                    &[("max(postgres_database_frozen_xid_age_transactions{instance=~\"$instance\"})", "")],
                ),
            ],
        ),
        (
            "Work",
            &[
                lines(
                    "Latency of statements",
                    "True percentiles over all statements, the commit included.",
                    "s",
                    &[
                        (
                            "histogram_quantile(0.50, sum by (le) (rate(postgres_statement_latency_seconds_bucket{instance=~\"$instance\"}[$__rate_interval])))",
                            "P50",
                        ),
                        (
                            "histogram_quantile(0.95, sum by (le) (rate(postgres_statement_latency_seconds_bucket{instance=~\"$instance\"}[$__rate_interval])))",
                            "P95",
                        ),
                        (
                            "histogram_quantile(0.99, sum by (le) (rate(postgres_statement_latency_seconds_bucket{instance=~\"$instance\"}[$__rate_interval])))",
                            "P99",
                        ),
                    ],
                ),
                lines(
                    "Transactions",
                    "Committed and rolled back, per second.",
                    "ops",
                    &[
                        (
                            "sum(rate(postgres_database_commits_total{instance=~\"$instance\"}[$__rate_interval]))",
                            "committed",
                        ),
                        (
                            "sum(rate(postgres_database_rollbacks_total{instance=~\"$instance\"}[$__rate_interval]))",
                            "rolled back",
                        ),
                    ],
                ),
                stacked(
                    "Active sessions by what they wait for",
                    "On average; CPU stands for waiting for nothing.",
                    "short",
                    &[(
                        "sum by (wait_event_type, wait_event) (rate(postgres_wait_seconds_total{instance=~\"$instance\"}[$__rate_interval]))",
                        "{{wait_event_type}}: {{wait_event}}",
                    )],
                ),
                lines(
                    "Cache hit ratio",
                    "Blocks found in shared buffers; the others may still come from the file cache.",
                    "percentunit",
                    &[(
                        "sum by (datname) (rate(postgres_database_blocks_hit_total{instance=~\"$instance\"}[$__rate_interval])) / (sum by (datname) (rate(postgres_database_blocks_hit_total{instance=~\"$instance\"}[$__rate_interval])) + sum by (datname) (rate(postgres_database_blocks_read_total{instance=~\"$instance\"}[$__rate_interval])))",
                        "{{datname}}",
                    )],
                ),
                lines(
                    "Rows",
                    "Changed and fetched, per second.",
                    "ops",
                    &[
                        (
                            "sum(rate(postgres_database_rows_inserted_total{instance=~\"$instance\"}[$__rate_interval]))",
                            "inserted",
                        ),
                        (
                            "sum(rate(postgres_database_rows_updated_total{instance=~\"$instance\"}[$__rate_interval]))",
                            "updated",
                        ),
                        (
                            "sum(rate(postgres_database_rows_deleted_total{instance=~\"$instance\"}[$__rate_interval]))",
                            "deleted",
                        ),
                        (
                            "sum(rate(postgres_database_rows_fetched_total{instance=~\"$instance\"}[$__rate_interval]))",
                            "fetched by index",
                        ),
                    ],
                ),
                lines(
                    "Temporary files",
                    "Bytes per second that sorts and hashes write because work_mem is too small for them.",
                    "Bps",
                    &[(
                        "sum by (datname) (rate(postgres_database_temp_bytes_total{instance=~\"$instance\"}[$__rate_interval]))",
                        "{{datname}}",
                    )],
                ),
            ],
        ),
        (
            "Sessions",
            &[
                stacked(
                    "Connections by state",
                    "Sessions of clients.",
                    "short",
                    &[("sum by (state) (postgres_connections{instance=~\"$instance\"})", "{{state}}")],
                ),
                lines(
                    "Oldest",
                    "Transactions and statements that have been open longest.",
                    "s",
                    &[
                        ("max(postgres_longest_transaction_seconds{instance=~\"$instance\"})", "transaction"),
                        ("max(postgres_longest_statement_seconds{instance=~\"$instance\"})", "statement"),
                        (
                            "max(postgres_longest_idle_in_transaction_seconds{instance=~\"$instance\"})",
                            "idle in transaction",
                        ),
                    ],
                ),
                lines(
                    "Blocked sessions and deadlocks",
                    "Sessions that wait for a lock; deadlocks per minute.",
                    "short",
                    &[
                        ("sum(postgres_blocked_sessions{instance=~\"$instance\"})", "blocked"),
                        (
                            "sum(rate(postgres_database_deadlocks_total{instance=~\"$instance\"}[$__rate_interval])) * 60",
                            "deadlocks per minute",
                        ),
                    ],
                ),
            ],
        ),
        (
            "Storage",
            &[
                lines(
                    "Database size",
                    "On disk.",
                    "bytes",
                    &[("postgres_database_size_bytes{instance=~\"$instance\"}", "{{datname}}")],
                ),
                lines(
                    "WAL",
                    "Bytes per second.",
                    "Bps",
                    &[(
                        "rate(postgres_wal_position_bytes_total{instance=~\"$instance\"}[$__rate_interval])",
                        "{{instance}}",
                    )],
                ),
                lines(
                    "Checkpoints",
                    "Per hour. Requested ones come because max_wal_size was reached.",
                    "short",
                    &[
                        (
                            "rate(postgres_checkpoints_timed_total{instance=~\"$instance\"}[1h]) * 3600",
                            "by time",
                        ),
                        (
                            "rate(postgres_checkpoints_requested_total{instance=~\"$instance\"}[1h]) * 3600",
                            "requested",
                        ),
                    ],
                ),
            ],
        ),
    ],
};

const STATEMENTS: Dashboard = Dashboard {
    uid: "pgwright-statements",
    title: "PostgreSQL: statements",
    rows: &[
        (
            "Where time goes",
            &[
                stacked(
                    "Execution time by statement",
                    "Seconds per second; the ten that take most.",
                    "short",
                    &[(
                        "topk(10, sum by (datname, queryid) (rate(postgres_statement_execution_seconds_total{instance=~\"$instance\"}[$__rate_interval])))",
                        "{{datname}} {{queryid}}",
                    )],
                ),
                lines(
                    "P99 by statement",
                    "The ten slowest, the commit included.",
                    "s",
                    &[(
                        "topk(10, histogram_quantile(0.99, sum by (le, datname, queryid) (rate(postgres_statement_latency_seconds_bucket{instance=~\"$instance\"}[$__rate_interval]))))",
                        "{{datname}} {{queryid}}",
                    )],
                ),
                lines(
                    "Calls by statement",
                    "Per second; the ten that are called most.",
                    "ops",
                    &[(
                        "topk(10, sum by (datname, queryid) (rate(postgres_statement_calls_total{instance=~\"$instance\"}[$__rate_interval])))",
                        "{{datname}} {{queryid}}",
                    )],
                ),
            ],
        ),
        (
            "Texts",
            &[Panel {
                title: "Statements by time",
                description: "The twenty that took most time in the last hour; seconds per second.",
                drawing: Drawing::Table,
                unit: "short",
                width: 24,
                targets: &[(
                    "topk(20, sum by (instance, server, datname, queryid) (rate(postgres_statement_execution_seconds_total{instance=~\"$instance\"}[1h]))) * on (instance, server, datname, queryid) group_left (query) postgres_statement_info{instance=~\"$instance\"}",
                    "",
                )],
            }],
        ),
        (
            "Blocks",
            &[
                lines(
                    "Blocks read by statement",
                    "From outside shared buffers, per second.",
                    "ops",
                    &[(
                        "topk(10, sum by (datname, queryid) (rate(postgres_statement_blocks_read_total{instance=~\"$instance\"}[$__rate_interval])))",
                        "{{datname}} {{queryid}}",
                    )],
                ),
                lines(
                    "Temporary blocks by statement",
                    "Written because work_mem is too small, per second.",
                    "ops",
                    &[(
                        "topk(10, sum by (datname, queryid) (rate(postgres_statement_temp_blocks_written_total{instance=~\"$instance\"}[$__rate_interval])))",
                        "{{datname}} {{queryid}}",
                    )],
                ),
                lines(
                    "WAL by statement",
                    "Bytes per second.",
                    "Bps",
                    &[(
                        "topk(10, sum by (datname, queryid) (rate(postgres_statement_wal_bytes_total{instance=~\"$instance\"}[$__rate_interval])))",
                        "{{datname}} {{queryid}}",
                    )],
                ),
            ],
        ),
    ],
};

const OBJECTS: Dashboard = Dashboard {
    uid: "pgwright-objects",
    title: "PostgreSQL: tables, indexes, maintenance",
    rows: &[
        (
            "Tables",
            &[
                table(
                    "Largest tables",
                    "With TOAST, without indexes.",
                    "bytes",
                    &[("topk(20, postgres_table_size_bytes{instance=~\"$instance\"})", "")],
                ),
                table(
                    "Dead rows",
                    "Rows that VACUUM would clean up.",
                    "short",
                    &[("topk(20, postgres_table_dead_rows{instance=~\"$instance\"})", "")],
                ),
                lines(
                    "Sequential scans",
                    "Rows per second that sequential scans go over; the ten largest.",
                    "ops",
                    &[(
                        "topk(10, rate(postgres_table_sequential_rows_read_total{instance=~\"$instance\"}[$__rate_interval]))",
                        "{{schema}}.{{table}}",
                    )],
                ),
                lines(
                    "HOT updates",
                    "The share of updates that touched no index.",
                    "percentunit",
                    &[(
                        "sum by (schema, table) (rate(postgres_table_rows_hot_updated_total{instance=~\"$instance\"}[1h])) / (sum by (schema, table) (rate(postgres_table_rows_updated_total{instance=~\"$instance\"}[1h])) > 0)",
                        "{{schema}}.{{table}}",
                    )],
                ),
                lines(
                    "Dead rows by what autovacuum comes at",
                    "Above 1, autovacuum is due.",
                    "short",
                    &[(
                        "topk(10, postgres_table_dead_rows{instance=~\"$instance\"} / (postgres_table_autovacuum_trigger_rows{instance=~\"$instance\"} > 0))",
                        "{{schema}}.{{table}}",
                    )],
                ),
            ],
        ),
        (
            "Indexes",
            &[
                table(
                    "Largest indexes",
                    "On disk.",
                    "bytes",
                    &[("topk(20, postgres_index_size_bytes{instance=~\"$instance\"})", "")],
                ),
                table(
                    "Indexes that nobody has scanned",
                    "Since the statistics were reset; those that keep a constraint count too.",
                    "bytes",
                    &[(
                        "topk(20, postgres_index_size_bytes{instance=~\"$instance\"} and on (instance, server, datname, schema, table, index) postgres_index_scans_total{instance=~\"$instance\"} == 0)",
                        "",
                    )],
                ),
            ],
        ),
        (
            "Maintenance",
            &[
                lines(
                    "Autovacuum",
                    "Workers at work and allowed.",
                    "short",
                    &[
                        ("postgres_autovacuum_workers{instance=~\"$instance\"}", "at work"),
                        ("postgres_autovacuum_workers_allowed{instance=~\"$instance\"}", "allowed"),
                    ],
                ),
                lines(
                    "Transactions not frozen",
                    "By database.",
                    "short",
                    &[(
                        "postgres_database_frozen_xid_age_transactions{instance=~\"$instance\"}",
                        "{{datname}}",
                    )],
                ),
                lines(
                    "Oldest snapshot",
                    "In transactions; VACUUM keeps what it can see.",
                    "short",
                    &[(
                        "max by (datname) (postgres_oldest_snapshot_age_transactions{instance=~\"$instance\"})",
                        "{{datname}}",
                    )],
                ),
            ],
        ),
        (
            "pgwright",
            &[
                lines(
                    "CPU of pgwright",
                    "Cores.",
                    "short",
                    &[(
                        "rate(pgwright_process_cpu_seconds_total{instance=~\"$instance\"}[$__rate_interval])",
                        "{{instance}}",
                    )],
                ),
                lines(
                    "Memory of pgwright",
                    "Resident.",
                    "bytes",
                    &[("pgwright_process_resident_memory_bytes{instance=~\"$instance\"}", "{{instance}}")],
                ),
                lines(
                    "Collectors",
                    "How long each took last.",
                    "s",
                    &[(
                        "max by (collector) (pgwright_collector_duration_seconds{instance=~\"$instance\"})",
                        "{{collector}}",
                    )],
                ),
            ],
        ),
    ],
};
