//! What does a server count, and under which names is it published? One declaration per collector: the query with its
//! variants by version, the columns that become labels, and the metric of each other column.
//!
//! Names follow Prometheus' "Metric and label naming": base units, the unit last, `_total` for what only grows.

mod compat;
mod objects;
mod server;

use tokio_postgres::{Client, SimpleQueryMessage, SimpleQueryRow};

use crate::catalog_query::{Variant, version};
use crate::error::Error;

pub use compat::{COMPAT_QUERIES, COMPAT_SETTINGS};

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// Only grows, until it is reset.
    Counter,
    /// Goes up and down.
    Gauge,
}

/// Whether one session sees it for the whole server, or one of each database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Any session sees it.
    Server,
    /// Only a session of the database; `datname` is added to the labels.
    Database,
}

/// How often it is worth reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Cheap, and changes by the second.
    Often,
    /// Costs something with many objects.
    Seldom,
    /// Looks at files or at everything.
    Rarely,
}

/// A column that becomes a metric.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// The column.
    pub column: &'static str,
    /// The metric.
    pub name: &'static str,
    /// What it is.
    pub kind: MetricKind,
    /// What it says, as a sentence without a full stop.
    pub help: &'static str,
}

/// A query whose rows become metrics.
#[derive(Clone, Copy, Debug)]
pub struct MetricQuery {
    /// The collector's name; the query's comment is `/* pgwright:metrics_<name> */`.
    pub name: &'static str,
    /// Whose facts they are.
    pub scope: Scope,
    /// How often they are read.
    pub pace: Pace,
    /// The extension without which there is nothing to read.
    pub extension: Option<&'static str>,
    /// The variants by major version of the server, oldest first; before the first there is nothing to read.
    pub variants: &'static [Variant],
    /// Columns that become labels, in the order of the query. Together they are unique.
    pub labels: &'static [&'static str],
    /// Columns that become metrics, in the order of the query. Where one is NULL there is no series.
    pub metrics: &'static [Metric],
}

impl MetricQuery {
    /// The text for a server; `None` when it is older than the first variant.
    pub fn sql(&self, version_num: i32) -> Option<&'static str> {
        let found = [u32::try_from(version_num / 10_000).unwrap_or(0), 0];
        self.variants.iter().rev().find(|v| version(v.since) <= found).map(|v| v.sql)
    }
}

/// Every collector.
pub const METRIC_QUERIES: &[MetricQuery] = &[
    server::SERVER,
    server::CONNECTIONS,
    server::TRANSACTIONS,
    server::LOCKS,
    server::DATABASES,
    server::CHECKPOINTS,
    server::WAL,
    server::ARCHIVER,
    server::REPLICATION,
    server::STANDBY,
    server::SLOTS,
    server::VACUUM_PROGRESS,
    server::AUTOVACUUM_WORKERS,
    server::IO,
    server::DATABASE_SIZES,
    server::WAL_FILES,
    server::SETTINGS,
    objects::TABLES,
    objects::INDEXES,
    objects::INDEX_FAULTS,
    objects::PARTITIONS,
    objects::SEQUENCES,
    objects::JOBS,
];

/// Runs a query in the simple protocol: values come as text, which is what they become.
///
/// # Errors
/// Those of [`Error::from_query`].
pub async fn read_text(client: &Client, name: &str, sql: &str) -> Result<Vec<SimpleQueryRow>, Error> {
    let messages = client.simple_query(sql).await.map_err(|error| Error::from_query(name, &error))?;
    let rows = messages.into_iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    Ok(rows.collect())
}

/// Declares the variants of a query.
macro_rules! variants {
    ($($since:literal => $file:literal),+ $(,)?) => {
        &[$($crate::catalog_query::Variant {
            since: stringify!($since),
            file: $file,
            sql: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/queries/", $file)),
        }),+]
    };
}
use variants;

const fn counter(column: &'static str, name: &'static str, help: &'static str) -> Metric {
    Metric { column, name, kind: MetricKind::Counter, help }
}

const fn gauge(column: &'static str, name: &'static str, help: &'static str) -> Metric {
    Metric { column, name, kind: MetricKind::Gauge, help }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_end_as_their_kind_wants() {
        let mut names = BTreeSet::new();
        for metric in METRIC_QUERIES.iter().flat_map(|q| q.metrics) {
            assert!(names.insert(metric.name), "{} is declared twice", metric.name);
            assert!(metric.name.starts_with("postgres_"), "{}", metric.name);
            assert_eq!(
                metric.name.ends_with("_total"),
                metric.kind == MetricKind::Counter,
                "{} ends as another kind",
                metric.name
            );
            assert!(!metric.help.is_empty() && !metric.help.ends_with('.'), "{}", metric.name);
            for unit in ["_ms", "_kb", "_mb", "_pages", "_percent", "_minutes"] {
                assert!(!metric.name.contains(unit), "{} is not in a base unit", metric.name);
            }
        }
        let collectors: BTreeSet<&str> = METRIC_QUERIES.iter().map(|q| q.name).collect();
        assert_eq!(collectors.len(), METRIC_QUERIES.len());
    }
}
