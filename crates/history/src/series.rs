//! Which figures of the server are kept beside those of statements? One declaration each: from which collector and
//! column it comes, what it is of, and whether it is a rate or a level.

use serde::Serialize;

/// What a figure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Only grows until it is reset: what is told is its growth per second.
    Counter,
    /// Goes up and down: what is told is its mean.
    Gauge,
}

/// A figure that is kept.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct SeriesDefinition {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// In what it is told, for counters per second.
    pub unit: &'static str,
    /// What it says, as a sentence without a full stop.
    pub help: &'static str,
    /// The collector that reads it; nothing for what comes from samples of sessions.
    #[serde(skip)]
    pub collector: Option<&'static str>,
    /// The column.
    #[serde(skip)]
    pub column: &'static str,
    /// The column that says what it is of. Rows of one label are added up.
    #[serde(skip)]
    pub label: Option<&'static str>,
}

/// Sessions that were active, on average.
pub const ACTIVE_SESSIONS: &str = "active_sessions";
/// Active sessions by what they waited for.
pub const WAITS: &str = "waits";

const fn of_database(
    name: &'static str,
    column: &'static str,
    unit: &'static str,
    help: &'static str,
) -> SeriesDefinition {
    let label = Some("datname");
    SeriesDefinition { name, kind: Kind::Counter, unit, help, collector: Some("databases"), column, label }
}

const fn of_server(
    name: &'static str,
    kind: Kind,
    (collector, column, label): (&'static str, &'static str, Option<&'static str>),
    unit: &'static str,
    help: &'static str,
) -> SeriesDefinition {
    SeriesDefinition { name, kind, unit, help, collector: Some(collector), column, label }
}

const fn of_samples(name: &'static str, help: &'static str, label: Option<&'static str>) -> SeriesDefinition {
    SeriesDefinition { name, kind: Kind::Gauge, unit: "sessions", help, collector: None, column: "", label }
}

/// Every figure.
pub const SERIES: &[SeriesDefinition] = &[
    of_samples(ACTIVE_SESSIONS, "Sessions that ran a statement, by samples", None),
    of_samples(WAITS, "Active sessions by what they waited for, by samples", Some("event")),
    of_database("transactions_committed", "xact_commit", "transactions", "Transactions committed"),
    of_database("transactions_rolled_back", "xact_rollback", "transactions", "Transactions rolled back"),
    of_database("blocks_hit", "blks_hit", "blocks", "Blocks found in shared buffers"),
    of_database("blocks_read", "blks_read", "blocks", "Blocks not found in shared buffers"),
    of_database("rows_fetched", "tup_fetched", "rows", "Rows fetched by index scans"),
    of_database("rows_returned", "tup_returned", "rows", "Rows read by scans"),
    of_database("rows_inserted", "tup_inserted", "rows", "Rows inserted"),
    of_database("rows_updated", "tup_updated", "rows", "Rows updated"),
    of_database("rows_deleted", "tup_deleted", "rows", "Rows deleted"),
    of_database("temp_bytes", "temp_bytes", "bytes", "Written to temporary files"),
    of_database("temp_files", "temp_files", "files", "Temporary files made"),
    of_database("deadlocks", "deadlocks", "deadlocks", "Deadlocks"),
    of_database("conflicts", "conflicts", "queries", "Queries cancelled by recovery conflicts"),
    of_server(
        "connections",
        Kind::Gauge,
        ("connections", "sessions", Some("state")),
        "sessions",
        "Client sessions by state",
    ),
    of_server("wal_bytes", Kind::Counter, ("wal", "position", None), "bytes", "WAL written or replayed"),
    of_server(
        "checkpoints_timed",
        Kind::Counter,
        ("checkpoints", "timed", None),
        "checkpoints",
        "Checkpoints by time",
    ),
    of_server(
        "checkpoints_requested",
        Kind::Counter,
        ("checkpoints", "requested", None),
        "checkpoints",
        "Checkpoints by request, as by the amount of WAL",
    ),
    of_server(
        "checkpoint_blocks",
        Kind::Counter,
        ("checkpoints", "buffers_checkpoint", None),
        "blocks",
        "Blocks written by checkpoints",
    ),
    of_server(
        "replication_lag_bytes",
        Kind::Gauge,
        ("replication", "unreplayed", Some("application_name")),
        "bytes",
        "WAL that the standby has not replayed",
    ),
    of_server(
        "replication_lag_seconds",
        Kind::Gauge,
        ("replication", "replay_lag", Some("application_name")),
        "seconds",
        "How far behind the standby replays",
    ),
    of_server(
        "standby_lag_seconds",
        Kind::Gauge,
        ("standby", "lag", None),
        "seconds",
        "How far behind this server replays",
    ),
    of_server(
        "database_bytes",
        Kind::Gauge,
        ("database_sizes", "size", Some("datname")),
        "bytes",
        "Size of the database",
    ),
    of_server(
        "xid_age",
        Kind::Gauge,
        ("databases", "xid_age", Some("datname")),
        "transactions",
        "Age of the oldest transaction that is not frozen",
    ),
];

/// The figure of that name.
pub fn definition(name: &str) -> Option<&'static SeriesDefinition> {
    SERIES.iter().find(|s| s.name == name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_figure_is_read_by_a_collector_that_exists() {
        let mut names = BTreeSet::new();
        for series in SERIES {
            assert!(names.insert(series.name), "{} is declared twice", series.name);
            let Some(collector) = series.collector else { continue };
            let query = postgres::METRIC_QUERIES.iter().find(|q| q.name == collector);
            let query = query.unwrap_or_else(|| panic!("{}: no collector {collector}", series.name));
            assert!(query.metrics.iter().any(|m| m.column == series.column), "{}", series.name);
            assert!(series.label.is_none_or(|label| query.labels.contains(&label)), "{}", series.name);
        }
    }
}
