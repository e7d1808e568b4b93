//! When is something wrong enough to tell somebody? Each condition says what it means and what to do.
//!
//! Source: PostgreSQL manual, "Monitoring Database Activity", "Routine Vacuuming", "Continuous Archiving",
//! "Replication"; Prometheus documentation, "Alerting rules".

use serde::{Deserialize, Serialize};

/// How soon somebody has to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// When there is time.
    Info,
    /// Today.
    Warning,
    /// Now.
    Critical,
}

impl Severity {
    /// As it stands in labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// A condition that somebody is told of.
#[derive(Clone, Debug, Serialize)]
pub struct Alert {
    /// Its name, unique.
    pub name: &'static str,
    /// What it is about: the name of its group.
    pub group: &'static str,
    /// How soon somebody has to look.
    pub severity: Severity,
    /// For how long the condition must have held, in Prometheus' notation.
    pub hold: &'static str,
    /// The condition, in PromQL.
    pub expression: &'static str,
    /// What is the case, in one line; a template of Prometheus.
    pub summary: &'static str,
    /// Why it matters.
    pub meaning: &'static str,
    /// What to do.
    pub action: &'static str,
}

/// A page of `pgwright serve`: its path, and the parameters that labels give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// The path.
    pub path: &'static str,
    /// Names of parameters, each with the label whose value it takes.
    pub parameters: &'static [(&'static str, &'static str)],
}

const STATEMENT: Page =
    Page { path: "/statement", parameters: &[("database", "datname"), ("queryid", "queryid")] };
const TABLE: Page =
    Page { path: "/table", parameters: &[("database", "datname"), ("schema", "schema"), ("name", "table")] };

/// The page that shows what an alert is about in detail.
pub fn page(name: &str, group: &str, has_label: impl Fn(&str) -> bool) -> Page {
    let has = |page: Page| page.parameters.iter().all(|(_, label)| has_label(label));
    let alone = |path| Page { path, parameters: &[] };
    match (name, group) {
        _ if has(STATEMENT) => STATEMENT,
        _ if has(TABLE) => TABLE,
        ("PostgresInvalidIndexes", _) => alone("/indexes?only=invalid"),
        ("PostgresPartitionsRunOut" | "PostgresDefaultPartitionFills", _) => alone("/partitions"),
        (_, "statements") => alone("/statements"),
        (_, "sessions") => alone("/locks"),
        ("PostgresArchiverFails", _) | (_, "replication") => alone("/replication"),
        (_, "maintenance") => alone("/maintenance"),
        _ => alone("/"),
    }
}

impl Alert {
    /// The page that shows it in detail, as far as the condition tells which labels there are.
    pub fn page(&self) -> Page {
        page(self.name, self.group, |label| match label {
            "datname" => true,
            "queryid" => self.is_of_statement(),
            "schema" | "table" => self.name == "PostgresAutovacuumBehind",
            _ => false,
        })
    }

    fn is_of_statement(&self) -> bool {
        self.expression.contains("datname, queryid")
    }

    /// Where what is wrong stands in detail: a template of Prometheus.
    pub fn finding(&self) -> Option<String> {
        match self.lint_check() {
            Some(check) => Some(format!("pgwright lint, check {check}")),
            None => self
                .is_of_statement()
                .then(|| "pgwright history --statement {{ $labels.queryid }}".to_owned()),
        }
    }

    /// The check of `pgwright lint` that finds the same, with the objects and what mends them.
    pub fn lint_check(&self) -> Option<&'static str> {
        match self.name {
            "PostgresAutovacuumBehind" => Some("bloated-table"),
            "PostgresInvalidIndexes" => Some("invalid-index"),
            "PostgresPartitionsRunOut" => Some("partition-gap"),
            "PostgresSequenceRunsOut" => Some("sequence-overflow"),
            "PostgresWraparound" | "PostgresWraparoundNear" => Some("wraparound"),
            _ => None,
        }
    }
}

/// All alerts, in the order of their groups.
pub fn alerts() -> &'static [Alert] {
    ALERTS
}

const ALERTS: &[Alert] = &[
    Alert {
        name: "PostgresDown",
        group: "availability",
        severity: Severity::Critical,
        hold: "1m",
        expression: "pgwright_up == 0",
        summary: "pgwright cannot connect to database {{ $labels.datname }} of {{ $labels.instance }}",
        meaning: "The server is down, unreachable, out of connections, or refuses the role of pgwright.",
        action: "Run \"pgwright doctor\": it tells at which step connecting fails. Look at the end of the server's log.",
    },
    Alert {
        name: "PostgresRestarted",
        group: "availability",
        severity: Severity::Info,
        hold: "0m",
        expression: "time() - postgres_server_start_timestamp_seconds < 300",
        summary: "{{ $labels.instance }} was started in the last five minutes",
        meaning: "Caches are cold, and whatever was under way was rolled back.",
        action: "If nobody restarted it, look in the server's log for \"terminated by signal\" or a PANIC.",
    },
    Alert {
        name: "PostgresChecksumFailures",
        group: "availability",
        severity: Severity::Critical,
        hold: "0m",
        expression: "increase(postgres_database_checksum_failures_total[1h]) > 0",
        summary: "pages of database {{ $labels.datname }} on {{ $labels.instance }} have wrong checksums",
        meaning: "The storage gave back something else than was written; data are damaged.",
        action: "Stop writing, copy the data directory, check the storage, and restore from a backup taken before.",
    },
    Alert {
        name: "PgwrightCollectorFails",
        group: "availability",
        severity: Severity::Warning,
        hold: "15m",
        expression: "pgwright_collector_up == 0 and on (job, instance, server, datname) pgwright_up == 1",
        summary: "collector {{ $labels.collector }} of {{ $labels.instance }} has failed for 15 minutes",
        meaning: "What it collects is out of date; alerts on it are silent.",
        action: "pgwright_collector_failures_total has the reason as a label: privilege, timeout or error. Grant pg_monitor, or \
                 give it longer with --timeout.",
    },
    Alert {
        name: "PostgresLatencyHigh",
        group: "statements",
        severity: Severity::Warning,
        hold: "5m",
        expression: "histogram_quantile(0.99, sum by (job, instance, server, datname, le) \
                     (rate(postgres_statement_latency_seconds_bucket[5m]))) > 1",
        summary: "the P99 of statements in {{ $labels.datname }} on {{ $labels.instance }} is {{ $value | \
                  humanizeDuration }}",
        meaning: "One statement in a hundred takes longer than a second, its commit included.",
        action: "The dashboard's \"P99 by statement\" names the statement. Run \"pgwright explain\" on it, and \"pgwright advise\" \
                 on the workload.",
    },
    Alert {
        name: "PostgresStatementSlower",
        group: "statements",
        severity: Severity::Warning,
        hold: "15m",
        expression: "histogram_quantile(0.99, sum by (job, instance, server, datname, queryid, le) \
                     (rate(postgres_statement_latency_seconds_bucket[30m]))) > 2 * histogram_quantile(0.99, sum by (job, \
                     instance, server, datname, queryid, le) (rate(postgres_statement_latency_seconds_bucket[30m] offset 1d))) and \
                     histogram_quantile(0.99, sum by (job, instance, server, datname, queryid, le) \
                     (rate(postgres_statement_latency_seconds_bucket[30m]))) > 0.05 and sum by (job, instance, server, datname, \
                     queryid) (rate(postgres_statement_latency_seconds_count[30m])) > 0.1",
        summary: "statement {{ $labels.queryid }} in {{ $labels.datname }} has a P99 of {{ $value | humanizeDuration }}, more \
                  than twice that of yesterday",
        meaning: "A statement that is called often takes more than twice as long as at the same time of yesterday.",
        action: "Run \"pgwright check\" against the baseline: it tells whether the plan, the rows or the buffers changed, and why.",
    },
    Alert {
        name: "PostgresPlanChangedSlower",
        group: "statements",
        severity: Severity::Warning,
        hold: "5m",
        expression: "sum by (job, instance, server, datname, queryid) (rate(postgres_statement_execution_seconds_total[10m])) / sum by \
                     (job, instance, server, datname, queryid) (rate(postgres_statement_calls_total[10m])) > 2 * sum by (job, instance, server, \
                     datname, queryid) (rate(postgres_statement_execution_seconds_total[10m] offset 1h)) / sum by (job, instance, server, \
                     datname, queryid) (rate(postgres_statement_calls_total[10m] offset 1h)) and on (job, instance, server, datname, \
                     queryid) sum by (job, instance, server, datname, queryid) (increase(postgres_statement_plan_changes_total[1h])) > 0 \
                     and on (job, instance, server, datname, queryid) sum by (job, instance, server, datname, queryid) \
                     (rate(postgres_statement_execution_seconds_total[10m])) > 0.01",
        summary: "statement {{ $labels.queryid }} in {{ $labels.datname }} takes {{ $value | humanizeDuration }} on average since \
                  its plan changed, more than twice as long as an hour ago",
        meaning: "The planner chose another plan within the last hour, and executions take more than twice the time. Statistics, a \
                  setting, an index or the size of a table changed.",
        action: "The statement's page, or \"pgwright history --statement\", shows both plans and what differs: bring back the index \
                 that went, or ANALYZE the tables that grew. \"pgwright advise\" looks for an index that makes up for it.",
    },
    Alert {
        name: "PostgresCacheHitRatioLow",
        group: "statements",
        severity: Severity::Warning,
        hold: "15m",
        expression: "rate(postgres_database_blocks_hit_total[15m]) / (rate(postgres_database_blocks_hit_total[15m]) + \
                     rate(postgres_database_blocks_read_total[15m])) < 0.85 and \
                     rate(postgres_database_blocks_read_total[15m]) > 1000",
        summary: "only {{ $value | humanizePercentage }} of the blocks of {{ $labels.datname }} on {{ $labels.instance }} are found \
                  in shared buffers",
        meaning: "More than a thousand blocks a second come from outside shared buffers; blocks in the file cache of the operating \
                  system count as read.",
        action: "\"pgwright profile\" names the statements that read most; an index often helps more than memory.",
    },
    Alert {
        name: "PostgresTemporaryFiles",
        group: "statements",
        severity: Severity::Warning,
        hold: "15m",
        expression: "rate(postgres_database_temp_bytes_total[15m]) > 50 * 1024 * 1024",
        summary: "{{ $value | humanize1024 }}B a second go to temporary files in {{ $labels.datname }} on {{ $labels.instance }}",
        meaning: "Sorts and hashes do not fit into work_mem.",
        action: "postgres_statement_temp_blocks_written_total names the statements. Run \"pgwright explain\" on them: an index that \
                 gives the order, or work_mem for that role.",
    },
    Alert {
        name: "PostgresRollbacks",
        group: "statements",
        severity: Severity::Info,
        hold: "15m",
        expression: "rate(postgres_database_rollbacks_total[15m]) / (rate(postgres_database_rollbacks_total[15m]) + \
                     rate(postgres_database_commits_total[15m])) > 0.2 and \
                     rate(postgres_database_rollbacks_total[15m]) > 1",
        summary: "{{ $value | humanizePercentage }} of the transactions of {{ $labels.datname }} on {{ $labels.instance }} are rolled \
                  back",
        meaning: "Applications meet errors, or give up.",
        action: "\"pgwright logs analyze\" counts errors by class and statement.",
    },
    Alert {
        name: "PostgresConnectionsHigh",
        group: "sessions",
        severity: Severity::Warning,
        hold: "5m",
        expression: "sum by (job, instance, server) (postgres_connections) / on (job, instance, server) (postgres_server_connections_allowed \
                     - postgres_server_connections_reserved) > 0.8",
        summary: "{{ $value | humanizePercentage }} of the connections that {{ $labels.instance }} allows are in use",
        meaning: "When all are in use, clients are refused.",
        action: "Put a pooler such as PgBouncer in transaction mode between, or find who keeps idle sessions \
                 (postgres_connections by state).",
    },
    Alert {
        name: "PostgresConnectionsExhausted",
        group: "sessions",
        severity: Severity::Critical,
        hold: "1m",
        expression: "sum by (job, instance, server) (postgres_connections) / on (job, instance, server) (postgres_server_connections_allowed \
                     - postgres_server_connections_reserved) > 0.95",
        summary: "{{ $value | humanizePercentage }} of the connections that {{ $labels.instance }} allows are in use",
        meaning: "Clients are refused, or will be at any moment.",
        action: "End idle sessions (pg_terminate_backend), then find out which application opened them.",
    },
    Alert {
        name: "PostgresDeadlocks",
        group: "sessions",
        severity: Severity::Warning,
        hold: "0m",
        expression: "increase(postgres_database_deadlocks_total[10m]) > 0",
        summary: "there were deadlocks in {{ $labels.datname }} on {{ $labels.instance }}",
        meaning: "Transactions waited for each other in a circle, and one was ended with an error.",
        action: "The server's log names the statements (\"pgwright logs analyze\"). Let transactions lock rows in the same order.",
    },
    Alert {
        name: "PostgresSessionsBlocked",
        group: "sessions",
        severity: Severity::Warning,
        hold: "1m",
        expression: "postgres_longest_blocked_statement_seconds > 60 and on (job, instance, server, datname) \
                     postgres_blocked_sessions > 0",
        summary: "a statement in {{ $labels.datname }} on {{ $labels.instance }} has waited for a lock for {{ $value | \
                  humanizeDuration }}",
        meaning: "Somebody holds a lock that others need; behind a waiting ACCESS EXCLUSIVE lock everybody else waits too.",
        action: "pg_blocking_pids() names the session that blocks. Set lock_timeout for schema changes.",
    },
    Alert {
        name: "PostgresIdleInTransaction",
        group: "sessions",
        severity: Severity::Warning,
        hold: "1m",
        expression: "postgres_longest_idle_in_transaction_seconds > 600",
        summary: "a session in {{ $labels.datname }} on {{ $labels.instance }} has been idle within a transaction for {{ $value | \
                  humanizeDuration }}",
        meaning: "It holds its locks, and VACUUM keeps every row that it can see.",
        action: "End it, and set idle_in_transaction_session_timeout for its role.",
    },
    Alert {
        name: "PostgresLongTransaction",
        group: "sessions",
        severity: Severity::Warning,
        hold: "1m",
        expression: "postgres_longest_transaction_seconds > 3600",
        summary: "a transaction in {{ $labels.datname }} on {{ $labels.instance }} has been open for {{ $value | \
                  humanizeDuration }}",
        meaning: "VACUUM keeps every row that it can see, in all tables.",
        action: "Let long reads run on a standby, and long writes in portions.",
    },
    Alert {
        name: "PostgresLockWaits",
        group: "sessions",
        severity: Severity::Warning,
        hold: "5m",
        expression: "sum by (job, instance, server, datname) (rate(postgres_wait_seconds_total{wait_event_type=\"Lock\"}[5m])) > 5",
        summary: "{{ $value | humanize }} sessions of {{ $labels.datname }} on {{ $labels.instance }} wait for locks on average",
        meaning: "Work stands in a queue for the same rows or tables.",
        action: "postgres_wait_seconds_total by wait_event tells whether for rows (transactionid, tuple) or tables (relation).",
    },
    Alert {
        name: "PostgresAutovacuumOff",
        group: "maintenance",
        severity: Severity::Warning,
        hold: "15m",
        expression: "postgres_server_autovacuum_enabled == 0",
        summary: "autovacuum is switched off on {{ $labels.instance }}",
        meaning: "Tables swell, statistics grow old, and in the end the server stops to protect transaction ids.",
        action: "ALTER SYSTEM SET autovacuum = on; SELECT pg_reload_conf();",
    },
    Alert {
        name: "PostgresAutovacuumBehind",
        group: "maintenance",
        severity: Severity::Warning,
        hold: "1h",
        expression: "postgres_table_dead_rows > 2 * postgres_table_autovacuum_trigger_rows and postgres_table_dead_rows > 10000",
        summary: "table {{ $labels.schema }}.{{ $labels.table }} in {{ $labels.datname }} has {{ $value | humanize }} dead rows, and \
                  autovacuum has not come",
        meaning: "Dead rows are more than twice what autovacuum should have come at: its workers are busy elsewhere, are cancelled by \
                  locks, or an old snapshot keeps the rows.",
        action: "See PostgresOldSnapshot first. Then VACUUM it, and lower its autovacuum_vacuum_scale_factor.",
    },
    Alert {
        name: "PostgresOldSnapshot",
        group: "maintenance",
        severity: Severity::Warning,
        hold: "15m",
        expression: "postgres_oldest_snapshot_age_transactions > 100000000",
        summary: "the oldest snapshot in {{ $labels.datname }} on {{ $labels.instance }} is {{ $value | humanize }} transactions old",
        meaning: "VACUUM keeps every row version that the snapshot can see.",
        action: "Find the session by backend_xmin in pg_stat_activity, or the prepared transaction in pg_prepared_xacts, and end it.",
    },
    Alert {
        name: "PostgresWraparound",
        group: "maintenance",
        severity: Severity::Warning,
        hold: "15m",
        expression: "postgres_database_frozen_xid_age_transactions > 1000000000 or \
                     postgres_database_frozen_multixact_age_transactions > 1000000000",
        summary: "database {{ $labels.datname }} of {{ $labels.instance }} has {{ $value | humanize }} transactions that are not frozen",
        meaning: "At two thousand million the server refuses writes. Autovacuum should have frozen them at autovacuum_freeze_max_age.",
        action: "postgres_table_frozen_xid_age_transactions names the table. VACUUM (FREEZE) it; look for what keeps VACUUM \
                 from finishing.",
    },
    Alert {
        name: "PostgresWraparoundNear",
        group: "maintenance",
        severity: Severity::Critical,
        hold: "1m",
        expression: "postgres_database_frozen_xid_age_transactions > 1800000000 or \
                     postgres_database_frozen_multixact_age_transactions > 1800000000",
        summary: "database {{ $labels.datname }} of {{ $labels.instance }} has {{ $value | humanize }} transactions that are not frozen",
        meaning: "The server refuses writes soon.",
        action: "End old transactions, drop slots that nobody uses, and VACUUM the oldest tables now, with vacuum_cost_delay = 0.",
    },
    Alert {
        name: "PostgresInvalidIndexes",
        group: "maintenance",
        severity: Severity::Warning,
        hold: "30m",
        expression: "postgres_invalid_indexes > 0",
        summary: "{{ $value }} indexes of {{ $labels.datname }} on {{ $labels.instance }} are invalid",
        meaning: "CREATE or REINDEX CONCURRENTLY failed. Such an index costs every write and serves no read.",
        action: "\"pgwright lint\" names them with the statement: DROP INDEX CONCURRENTLY or REINDEX INDEX CONCURRENTLY.",
    },
    Alert {
        name: "PostgresSequenceRunsOut",
        group: "maintenance",
        severity: Severity::Warning,
        hold: "1h",
        expression: "postgres_sequence_used_ratio > 0.8",
        summary: "sequence {{ $labels.schema }}.{{ $labels.sequence }} in {{ $labels.datname }} is used up to {{ $value | \
                  humanizePercentage }}",
        meaning: "When it is used up, inserts fail.",
        action: "Make the column bigint; \"pgwright lint --migration\" shows the safe sequence of statements.",
    },
    Alert {
        name: "PostgresJobFailed",
        group: "maintenance",
        severity: Severity::Warning,
        hold: "5m",
        expression: "postgres_job_last_run_succeeded == 0",
        summary: "the last run of job {{ $labels.job_name }} of pg_cron on {{ $labels.instance }} failed",
        meaning: "What the job looks after is not looked after.",
        action: "cron.job_run_details has the message.",
    },
    Alert {
        name: "PostgresPartitionsRunOut",
        group: "maintenance",
        severity: Severity::Warning,
        hold: "1h",
        expression: "postgres_partitions_covered_until_timestamp_seconds - time() < 3 * 86400 and \
                     postgres_partitions_covered_until_timestamp_seconds - time() > -30 * 86400",
        summary: "the partitions of {{ $labels.schema }}.{{ $labels.table }} in {{ $labels.datname }} reach {{ $value | \
                  humanizeDuration }} into the future",
        meaning: "After that, rows are refused or fall into the default partition. Sets that ended a month ago are not told of.",
        action: "\"pgwright partition plan\" shows what is missing, \"pgwright partition run --execute\" makes it.",
    },
    Alert {
        name: "PostgresDefaultPartitionFills",
        group: "maintenance",
        severity: Severity::Info,
        hold: "1h",
        expression: "postgres_partition_default_rows > 0",
        summary: "about {{ $value | humanize }} rows are in the default partition of {{ $labels.schema }}.{{ $labels.table }}",
        meaning: "They have no partition of their own; attaching one for them has to look at all of them under a lock.",
        action: "\"pgwright partition run --execute\" makes the partitions and moves the rows.",
    },
    Alert {
        name: "PostgresSettingsPendingRestart",
        group: "maintenance",
        severity: Severity::Info,
        hold: "1d",
        expression: "postgres_server_settings_pending_restart > 0",
        summary: "{{ $value }} settings of {{ $labels.instance }} wait for a restart",
        meaning: "What is in force is not what is written in the configuration.",
        action: "SELECT name FROM pg_settings WHERE pending_restart; restart when it suits.",
    },
    Alert {
        name: "PostgresCheckpointsTooOften",
        group: "storage",
        severity: Severity::Warning,
        hold: "30m",
        expression: "increase(postgres_checkpoints_requested_total[30m]) > increase(postgres_checkpoints_timed_total[30m]) and \
                     increase(postgres_checkpoints_requested_total[30m]) > 3",
        summary: "{{ $value | humanize }} checkpoints of {{ $labels.instance }} in half an hour were requested, because WAL filled up",
        meaning: "Checkpoints that come before checkpoint_timeout write the same pages again and again, and their first changes in full.",
        action: "Raise max_wal_size until checkpoints come by time.",
    },
    Alert {
        name: "PostgresArchiverFails",
        group: "storage",
        severity: Severity::Critical,
        hold: "15m",
        expression: "increase(postgres_archiver_failed_total[15m]) > 0 and increase(postgres_archiver_archived_total[15m]) == 0",
        summary: "{{ $labels.instance }} has not archived a WAL file for 15 minutes, and tries",
        meaning: "Point-in-time recovery ends at the last archived file, and pg_wal grows until the disk is full.",
        action: "The server's log has the message of archive_command.",
    },
    Alert {
        name: "PostgresReplicationLag",
        group: "replication",
        severity: Severity::Warning,
        hold: "5m",
        expression: "postgres_replication_replay_lag_seconds > 60 or postgres_replication_unreplayed_bytes > 1024 * 1024 * 1024",
        summary: "{{ $labels.application_name }} is behind {{ $labels.instance }}",
        meaning: "Reads on the standby are old, and after a failover what is missing is lost if commits do not wait for it.",
        action: "Compare unsent, unflushed and unreplayed bytes: the network, the standby's disk, or a conflict with its reads.",
    },
    Alert {
        name: "PostgresStandbyLag",
        group: "replication",
        severity: Severity::Warning,
        hold: "5m",
        expression: "postgres_standby_lag_seconds > 300",
        summary: "standby {{ $labels.instance }} is {{ $value | humanizeDuration }} behind",
        meaning: "Reads on it are old.",
        action: "Long reads hold back replay up to max_standby_streaming_delay; see whether replay is paused.",
    },
    Alert {
        name: "PostgresStandbyNotReceiving",
        group: "replication",
        severity: Severity::Critical,
        hold: "10m",
        expression: "postgres_standby_receiving == 0",
        summary: "standby {{ $labels.instance }} does not stream WAL",
        meaning: "It falls further behind with every commit. A standby that restores from an archive is meant not to stream.",
        action: "Its log tells why: the primary is away, the role is refused, or the WAL is gone (then build it anew).",
    },
    Alert {
        name: "PostgresSlotRetainsWal",
        group: "replication",
        severity: Severity::Warning,
        hold: "10m",
        expression: "postgres_replication_slot_retained_bytes > 10 * 1024 * 1024 * 1024",
        summary: "slot {{ $labels.slot }} of {{ $labels.instance }} keeps {{ $value | humanize1024 }}B of WAL",
        meaning: "Its reader is away or slow; pg_wal grows until the disk is full.",
        action: "Mend the reader, or drop the slot; set max_slot_wal_keep_size.",
    },
    Alert {
        name: "PostgresSlotInactive",
        group: "replication",
        severity: Severity::Warning,
        hold: "30m",
        expression: "postgres_replication_slot_active == 0",
        summary: "nobody reads from slot {{ $labels.slot }} of {{ $labels.instance }}",
        meaning: "It keeps WAL, and a logical one keeps rows of the catalog from VACUUM.",
        action: "Drop it if its reader will not come back.",
    },
    Alert {
        name: "PostgresSlotLost",
        group: "replication",
        severity: Severity::Critical,
        hold: "0m",
        expression: "postgres_replication_slot_lost == 1",
        summary: "WAL that slot {{ $labels.slot }} of {{ $labels.instance }} needs is gone",
        meaning: "Its reader cannot go on.",
        action: "Build the standby or subscription anew.",
    },
];
