//! Series under which each alert fires, and series under which it keeps quiet, in the notation of `promtool`.
//!
//! Prometheus and pgwright are asked about the same.

/// Cases of more minutes have a sample every ten minutes, the others every minute.
pub const SHORT: u32 = 200;

/// An alert, with series under which it fires, and series under which it does not, and the minute of which that holds.
pub struct Case {
    pub alert: &'static str,
    pub minutes: u32,
    pub fires: &'static [(&'static str, &'static str)],
    pub quiet: &'static [(&'static str, &'static str)],
}

const fn case(
    alert: &'static str,
    minutes: u32,
    fires: &'static [(&'static str, &'static str)],
    quiet: &'static [(&'static str, &'static str)],
) -> Case {
    Case { alert, minutes, fires, quiet }
}

const FAST: (&str, &str) =
    ("postgres_statement_latency_seconds_bucket{datname=\"d\",queryid=\"1\",le=\"0.1\"}", "0+600x400");
const FAST_ALL: (&str, &str) =
    ("postgres_statement_latency_seconds_bucket{datname=\"d\",queryid=\"1\",le=\"+Inf\"}", "0+600x400");
const CALLS: (&str, &str) =
    ("postgres_statement_latency_seconds_count{datname=\"d\",queryid=\"1\"}", "0+600x400");

pub const CASES: &[Case] = &[
    case(
        "PostgresDown",
        5,
        &[("pgwright_up{datname=\"d\"}", "0x10")],
        &[("pgwright_up{datname=\"d\"}", "1x10")],
    ),
    case(
        "PostgresRestarted",
        10,
        &[("postgres_server_start_timestamp_seconds{version=\"15\"}", "500x10")],
        &[("postgres_server_start_timestamp_seconds{version=\"15\"}", "100x10")],
    ),
    case(
        "PostgresChecksumFailures",
        60,
        &[("postgres_database_checksum_failures_total{datname=\"d\"}", "0x30 1x40")],
        &[("postgres_database_checksum_failures_total{datname=\"d\"}", "3x70")],
    ),
    case(
        "PgwrightCollectorFails",
        30,
        &[
            ("pgwright_collector_up{collector=\"jobs\",datname=\"d\"}", "0x40"),
            ("pgwright_up{datname=\"d\"}", "1x40"),
        ],
        &[
            ("pgwright_collector_up{collector=\"jobs\",datname=\"d\"}", "0x40"),
            ("pgwright_up{datname=\"d\"}", "0x40"),
        ],
    ),
    case(
        "PostgresLatencyHigh",
        30,
        &[
            ("postgres_statement_latency_seconds_bucket{datname=\"d\",queryid=\"1\",le=\"1\"}", "0+10x40"),
            ("postgres_statement_latency_seconds_bucket{datname=\"d\",queryid=\"1\",le=\"2\"}", "0+600x40"),
            (
                "postgres_statement_latency_seconds_bucket{datname=\"d\",queryid=\"1\",le=\"+Inf\"}",
                "0+600x40",
            ),
        ],
        &[FAST, FAST_ALL],
    ),
    case(
        "PostgresStatementSlower",
        1600,
        &[
            (
                "postgres_statement_latency_seconds_bucket{datname=\"d\",queryid=\"1\",le=\"0.1\"}",
                "0+6000x150 900000+0x20",
            ),
            (
                "postgres_statement_latency_seconds_bucket{datname=\"d\",queryid=\"1\",le=\"0.4\"}",
                "0+6000x150 906000+6000x20",
            ),
            (
                "postgres_statement_latency_seconds_bucket{datname=\"d\",queryid=\"1\",le=\"+Inf\"}",
                "0+6000x150 906000+6000x20",
            ),
            CALLS,
        ],
        &[FAST, FAST_ALL, CALLS],
    ),
    case(
        "PostgresPlanChangedSlower",
        90,
        &[
            ("postgres_statement_plan_changes_total{datname=\"d\",queryid=\"1\"}", "0x60 1x60"),
            ("postgres_statement_calls_total{datname=\"d\",queryid=\"1\"}", "0+600x120"),
            ("postgres_statement_execution_seconds_total{datname=\"d\",queryid=\"1\"}", "0+6x60 380+20x60"),
        ],
        &[
            // One became slower with the plan that it had, one got another plan that is as fast.
            ("postgres_statement_plan_changes_total{datname=\"d\",queryid=\"1\"}", "1x120"),
            ("postgres_statement_calls_total{datname=\"d\",queryid=\"1\"}", "0+600x120"),
            ("postgres_statement_execution_seconds_total{datname=\"d\",queryid=\"1\"}", "0+6x60 380+20x60"),
            ("postgres_statement_plan_changes_total{datname=\"d\",queryid=\"2\"}", "0x60 1x60"),
            ("postgres_statement_calls_total{datname=\"d\",queryid=\"2\"}", "0+600x120"),
            ("postgres_statement_execution_seconds_total{datname=\"d\",queryid=\"2\"}", "0+6x120"),
        ],
    ),
    case(
        "PostgresCacheHitRatioLow",
        60,
        &[
            ("postgres_database_blocks_hit_total{datname=\"d\"}", "0+100000x70"),
            ("postgres_database_blocks_read_total{datname=\"d\"}", "0+100000x70"),
        ],
        &[
            ("postgres_database_blocks_hit_total{datname=\"d\"}", "0+10x70"),
            ("postgres_database_blocks_read_total{datname=\"d\"}", "0+10x70"),
        ],
    ),
    case(
        "PostgresTemporaryFiles",
        60,
        &[("postgres_database_temp_bytes_total{datname=\"d\"}", "0+6000000000x70")],
        &[("postgres_database_temp_bytes_total{datname=\"d\"}", "0+1000000x70")],
    ),
    case(
        "PostgresRollbacks",
        60,
        &[
            ("postgres_database_rollbacks_total{datname=\"d\"}", "0+600x70"),
            ("postgres_database_commits_total{datname=\"d\"}", "0+600x70"),
        ],
        &[
            ("postgres_database_rollbacks_total{datname=\"d\"}", "0+600x70"),
            ("postgres_database_commits_total{datname=\"d\"}", "0+6000x70"),
        ],
    ),
    case(
        "PostgresConnectionsHigh",
        20,
        &[
            ("postgres_connections{datname=\"d\",state=\"idle\"}", "50x30"),
            ("postgres_connections{datname=\"d\",state=\"active\"}", "35x30"),
            ("postgres_server_connections_allowed{version=\"15\"}", "100x30"),
            ("postgres_server_connections_reserved{version=\"15\"}", "3x30"),
        ],
        &[
            ("postgres_connections{datname=\"d\",state=\"idle\"}", "50x30"),
            ("postgres_server_connections_allowed{version=\"15\"}", "100x30"),
            ("postgres_server_connections_reserved{version=\"15\"}", "3x30"),
        ],
    ),
    case(
        "PostgresConnectionsExhausted",
        20,
        &[
            ("postgres_connections{datname=\"d\",state=\"idle\"}", "96x30"),
            ("postgres_server_connections_allowed{version=\"15\"}", "100x30"),
            ("postgres_server_connections_reserved{version=\"15\"}", "3x30"),
        ],
        &[
            ("postgres_connections{datname=\"d\",state=\"idle\"}", "90x30"),
            ("postgres_server_connections_allowed{version=\"15\"}", "100x30"),
            ("postgres_server_connections_reserved{version=\"15\"}", "3x30"),
        ],
    ),
    case(
        "PostgresDeadlocks",
        20,
        &[("postgres_database_deadlocks_total{datname=\"d\"}", "2x15 3x10")],
        &[("postgres_database_deadlocks_total{datname=\"d\"}", "2x30")],
    ),
    case(
        "PostgresSessionsBlocked",
        20,
        &[
            ("postgres_longest_blocked_statement_seconds{datname=\"d\"}", "90x30"),
            ("postgres_blocked_sessions{datname=\"d\"}", "1x30"),
        ],
        &[
            ("postgres_longest_blocked_statement_seconds{datname=\"d\"}", "5x30"),
            ("postgres_blocked_sessions{datname=\"d\"}", "9x30"),
        ],
    ),
    case(
        "PostgresIdleInTransaction",
        20,
        &[("postgres_longest_idle_in_transaction_seconds{datname=\"d\"}", "601x30")],
        &[("postgres_longest_idle_in_transaction_seconds{datname=\"d\"}", "60x30")],
    ),
    case(
        "PostgresLongTransaction",
        20,
        &[("postgres_longest_transaction_seconds{datname=\"d\"}", "4000x30")],
        &[("postgres_longest_transaction_seconds{datname=\"d\"}", "3000x30")],
    ),
    case(
        "PostgresLockWaits",
        20,
        &[(
            "postgres_wait_seconds_total{datname=\"d\",wait_event_type=\"Lock\",wait_event=\"tuple\"}",
            "0+400x30",
        )],
        &[(
            "postgres_wait_seconds_total{datname=\"d\",wait_event_type=\"IO\",wait_event=\"DataFileRead\"}",
            "0+400x30",
        )],
    ),
    case(
        "PostgresAutovacuumOff",
        30,
        &[("postgres_server_autovacuum_enabled{version=\"15\"}", "0x40")],
        &[("postgres_server_autovacuum_enabled{version=\"15\"}", "1x40")],
    ),
    case(
        "PostgresAutovacuumBehind",
        90,
        &[
            ("postgres_table_dead_rows{datname=\"d\",schema=\"s\",table=\"t\"}", "50000x100"),
            ("postgres_table_autovacuum_trigger_rows{datname=\"d\",schema=\"s\",table=\"t\"}", "20000x100"),
        ],
        &[
            ("postgres_table_dead_rows{datname=\"d\",schema=\"s\",table=\"t\"}", "9000x100"),
            ("postgres_table_autovacuum_trigger_rows{datname=\"d\",schema=\"s\",table=\"t\"}", "50x100"),
        ],
    ),
    case(
        "PostgresOldSnapshot",
        30,
        &[("postgres_oldest_snapshot_age_transactions{datname=\"d\"}", "200000000x40")],
        &[("postgres_oldest_snapshot_age_transactions{datname=\"d\"}", "2000x40")],
    ),
    case(
        "PostgresWraparound",
        30,
        &[("postgres_database_frozen_multixact_age_transactions{datname=\"d\"}", "1100000000x40")],
        &[("postgres_database_frozen_xid_age_transactions{datname=\"d\"}", "200000000x40")],
    ),
    case(
        "PostgresWraparoundNear",
        30,
        &[("postgres_database_frozen_xid_age_transactions{datname=\"d\"}", "1900000000x40")],
        &[("postgres_database_frozen_xid_age_transactions{datname=\"d\"}", "1100000000x40")],
    ),
    case(
        "PostgresInvalidIndexes",
        60,
        &[("postgres_invalid_indexes{datname=\"d\"}", "1x70")],
        &[("postgres_invalid_indexes{datname=\"d\"}", "0x50 1x20")],
    ),
    case(
        "PostgresSequenceRunsOut",
        90,
        &[("postgres_sequence_used_ratio{datname=\"d\",schema=\"s\",sequence=\"q\"}", "0.9x100")],
        &[("postgres_sequence_used_ratio{datname=\"d\",schema=\"s\",sequence=\"q\"}", "0.7x100")],
    ),
    case(
        "PostgresJobFailed",
        20,
        &[("postgres_job_last_run_succeeded{datname=\"d\",jobid=\"1\",job_name=\"x\"}", "0x30")],
        &[("postgres_job_last_run_succeeded{datname=\"d\",jobid=\"1\",job_name=\"x\"}", "1x30")],
    ),
    case(
        "PostgresPartitionsRunOut",
        90,
        &[(
            "postgres_partitions_covered_until_timestamp_seconds{datname=\"d\",schema=\"s\",table=\"t\"}",
            "100000x100",
        )],
        &[(
            "postgres_partitions_covered_until_timestamp_seconds{datname=\"d\",schema=\"s\",table=\"t\"}",
            "2000000x100",
        )],
    ),
    case(
        "PostgresDefaultPartitionFills",
        90,
        &[("postgres_partition_default_rows{datname=\"d\",schema=\"s\",table=\"t\"}", "10x100")],
        &[("postgres_partition_default_rows{datname=\"d\",schema=\"s\",table=\"t\"}", "0x100")],
    ),
    case(
        "PostgresSettingsPendingRestart",
        1500,
        &[("postgres_server_settings_pending_restart{version=\"15\"}", "1x160")],
        &[("postgres_server_settings_pending_restart{version=\"15\"}", "0x100 1x60")],
    ),
    case(
        "PostgresCheckpointsTooOften",
        100,
        &[("postgres_checkpoints_requested_total", "0+1x110"), ("postgres_checkpoints_timed_total", "5x110")],
        &[("postgres_checkpoints_requested_total", "5x110"), ("postgres_checkpoints_timed_total", "0+1x110")],
    ),
    case(
        "PostgresArchiverFails",
        60,
        &[("postgres_archiver_failed_total", "0+1x70"), ("postgres_archiver_archived_total", "9x70")],
        &[("postgres_archiver_failed_total", "0+1x70"), ("postgres_archiver_archived_total", "0+1x70")],
    ),
    case(
        "PostgresReplicationLag",
        30,
        &[(
            "postgres_replication_unreplayed_bytes{application_name=\"a\",client_addr=\"1\"}",
            "2000000000x40",
        )],
        &[("postgres_replication_replay_lag_seconds{application_name=\"a\",client_addr=\"1\"}", "0.2x40")],
    ),
    case(
        "PostgresStandbyLag",
        30,
        &[("postgres_standby_lag_seconds", "400x40")],
        &[("postgres_standby_lag_seconds", "4x40")],
    ),
    case(
        "PostgresStandbyNotReceiving",
        30,
        &[("postgres_standby_receiving", "0x40")],
        &[("postgres_standby_receiving", "1x40")],
    ),
    case(
        "PostgresSlotRetainsWal",
        30,
        &[("postgres_replication_slot_retained_bytes{slot=\"s\",slot_type=\"physical\"}", "20000000000x40")],
        &[("postgres_replication_slot_retained_bytes{slot=\"s\",slot_type=\"physical\"}", "2000000x40")],
    ),
    case(
        "PostgresSlotInactive",
        60,
        &[("postgres_replication_slot_active{slot=\"s\",slot_type=\"physical\"}", "0x70")],
        &[("postgres_replication_slot_active{slot=\"s\",slot_type=\"physical\"}", "1x70")],
    ),
    case(
        "PostgresSlotLost",
        10,
        &[("postgres_replication_slot_lost{slot=\"s\",slot_type=\"physical\"}", "1x20")],
        &[("postgres_replication_slot_lost{slot=\"s\",slot_type=\"physical\"}", "0x20")],
    ),
];

/// A series with the labels that Prometheus adds.
pub fn scraped(series: &str) -> String {
    match series.split_once('{') {
        Some((name, rest)) => format!("{name}{{job=\"pgwright\",instance=\"i\",{rest}"),
        None => format!("{series}{{job=\"pgwright\",instance=\"i\"}}"),
    }
}
