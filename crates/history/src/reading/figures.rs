//! What did a statement use in a window of time?

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use postgres::Session;
use postgres::tokio_postgres::Row;
use postgres::tokio_postgres::types::Type;
use sampling::{Estimate, Percentiles};
use serde::Serialize;

use super::{Error, Known, ask, get, parameters, union, unreadable};
use crate::latency::Latency;
use crate::level::Piece;

/// A statement of a database. `queryid` 0 is what all that were too small to be kept on their own used.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct StatementKey {
    /// The database.
    pub datname: String,
    /// The identifier that the server computes.
    pub queryid: i64,
}

/// Counts of `pg_stat_statements`, summed over a window, over users and over nesting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Figures {
    /// Executions.
    pub calls: f64,
    /// Rows returned or changed.
    pub rows: f64,
    /// Execution time in milliseconds, without the commit.
    pub exec_ms: f64,
    /// Blocks found in shared buffers.
    pub blocks_hit: f64,
    /// Blocks not found there.
    pub blocks_read: f64,
    /// Blocks of temporary files, read and written.
    pub temp_blocks: f64,
    /// WAL in bytes.
    pub wal_bytes: f64,
}

impl Figures {
    /// Those of a row that has them under their names.
    ///
    /// # Errors
    /// When the row lacks one, or has it in another type.
    pub fn of_row(row: &Row) -> Result<Self, postgres::tokio_postgres::Error> {
        Ok(Self {
            calls: row.try_get("calls")?,
            rows: row.try_get("rows")?,
            exec_ms: row.try_get("exec_ms")?,
            blocks_hit: row.try_get("blocks_hit")?,
            blocks_read: row.try_get("blocks_read")?,
            temp_blocks: row.try_get("temp_blocks")?,
            wal_bytes: row.try_get("wal_bytes")?,
        })
    }

    /// Adds what another window used.
    pub fn add(&mut self, other: &Self) {
        self.calls += other.calls;
        self.rows += other.rows;
        self.exec_ms += other.exec_ms;
        self.blocks_hit += other.blocks_hit;
        self.blocks_read += other.blocks_read;
        self.temp_blocks += other.temp_blocks;
        self.wal_bytes += other.wal_bytes;
    }

    /// The mean execution time.
    pub fn mean_ms(&self) -> Option<f64> {
        (self.calls > 0.0).then(|| self.exec_ms / self.calls)
    }
}

/// What a statement used in a window, as totals and per hour, and how long its executions took.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Spent {
    /// Totals.
    #[serde(flatten)]
    pub figures: Figures,
    /// Executions per hour.
    pub calls_per_hour: f64,
    /// Seconds of execution per hour.
    pub seconds_per_hour: f64,
    /// The mean execution time.
    pub mean_ms: Option<f64>,
    /// P50, P95 and P99 with their intervals, where enough executions were seen.
    #[serde(flatten)]
    pub percentiles: Percentiles,
    /// Executions that were seen.
    pub samples: u64,
    /// Whether percentiles among the short executions are too low.
    pub doubtful: bool,
}

impl Spent {
    /// What was used in so many watched seconds.
    pub fn new(figures: Figures, seconds: f64, latency: &Latency) -> Self {
        let hours = (seconds / 3600.0).max(f64::MIN_POSITIVE);
        let estimate: Estimate = latency.estimate(figures.calls, figures.exec_ms);
        let per_hour = |value: f64| if seconds > 0.0 { value / hours } else { 0.0 };
        Self {
            figures,
            calls_per_hour: per_hour(figures.calls),
            seconds_per_hour: per_hour(figures.exec_ms / 1000.0),
            mean_ms: figures.mean_ms(),
            percentiles: estimate.percentiles,
            samples: estimate.tail_samples + estimate.body_samples,
            doubtful: estimate.doubtful,
        }
    }
}

/// A statement, its parts by user and nesting, and what it used.
#[derive(Clone, Debug)]
pub(super) struct Sum {
    pub key: StatementKey,
    pub ids: Vec<i32>,
    pub figures: Figures,
}

const COLUMNS: &str =
    "t.statement_id, t.calls, t.rows, t.exec_ms, t.blocks_hit, t.blocks_read, t.temp_blocks, t.wal_bytes";

impl Known {
    /// What each statement used, in no order.
    pub(super) async fn sums(&self, session: &Session, pieces: &[Piece]) -> Result<Vec<Sum>, Error> {
        if pieces.is_empty() {
            return Ok(Vec::new());
        }
        let (rows, instants) = union(COLUMNS, "statement", pieces, 2);
        // As doubles: sums of bigint are numeric, and many times slower.
        let sql = format!(
            "select /* pgwright:history_sums */ s.datname, s.queryid, pg_catalog.array_agg(a.statement_id) as ids, \
               pg_catalog.sum(a.calls) as calls, pg_catalog.sum(a.rows) as rows, pg_catalog.sum(a.exec_ms) as exec_ms, \
               pg_catalog.sum(a.blocks_hit) as blocks_hit, pg_catalog.sum(a.blocks_read) as blocks_read, \
               pg_catalog.sum(a.temp_blocks) as temp_blocks, pg_catalog.sum(a.wal_bytes) as wal_bytes \
             from (select u.statement_id, pg_catalog.sum(u.calls::float8) as calls, \
                     pg_catalog.sum(u.rows::float8) as rows, pg_catalog.sum(u.exec_ms) as exec_ms, \
                     pg_catalog.sum(u.blocks_hit::float8) as blocks_hit, \
                     pg_catalog.sum(u.blocks_read::float8) as blocks_read, \
                     pg_catalog.sum(u.temp_blocks::float8) as temp_blocks, \
                     pg_catalog.sum(u.wal_bytes::float8) as wal_bytes \
                   from ({rows}) u group by u.statement_id) a \
             join pgwright.history_statement s on s.statement_id = a.statement_id \
             group by s.datname, s.queryid"
        );
        let rows = ask(session, "history_sums", &sql, &parameters(&self.source_id, &[], &instants)).await?;
        rows.iter()
            .map(|row| {
                Ok(Sum {
                    key: StatementKey { datname: get(row, "datname")?, queryid: get(row, "queryid")? },
                    ids: get(row, "ids")?,
                    figures: Figures::of_row(row).map_err(unreadable)?,
                })
            })
            .collect()
    }

    /// How long the executions of some statements took.
    pub(super) async fn latencies(
        &self,
        session: &Session,
        ids: &[i32],
        pieces: &[Piece],
    ) -> Result<HashMap<i32, Latency>, Error> {
        let mut found: HashMap<i32, Latency> = HashMap::new();
        if pieces.is_empty() || ids.is_empty() {
            return Ok(found);
        }
        let (rows, instants) = union("t.statement_id, t.latency", "statement", pieces, 3);
        let sql = format!(
            "select /* pgwright:history_latencies */ u.statement_id, u.latency \
             from ({rows}) u where u.statement_id = any ($2) and u.latency is not null"
        );
        let ids = (&ids as _, Type::INT4_ARRAY);
        let parameters = parameters(&self.source_id, &[ids], &instants);
        for row in &ask(session, "history_latencies", &sql, &parameters).await? {
            if let Some(latency) = Latency::from_bytes(get(row, "latency")?) {
                found.entry(get(row, "statement_id")?).or_default().merge(&latency);
            }
        }
        Ok(found)
    }

    /// What some statements used, bucket by bucket.
    pub(super) async fn buckets(
        &self,
        session: &Session,
        ids: &[i32],
        pieces: &[Piece],
    ) -> Result<Vec<BucketRow>, Error> {
        if pieces.is_empty() || ids.is_empty() {
            return Ok(Vec::new());
        }
        let columns = format!("{COLUMNS}, t.at, t.latency");
        let (rows, instants) = union(&columns, "statement", pieces, 3);
        let sql = format!(
            "select /* pgwright:history_buckets */ u.statement_id, u.at, u.calls::float8 as calls, \
               u.rows::float8 as rows, u.exec_ms, u.blocks_hit::float8 as blocks_hit, \
               u.blocks_read::float8 as blocks_read, u.temp_blocks::float8 as temp_blocks, \
               u.wal_bytes::float8 as wal_bytes, u.latency \
             from ({rows}) u where u.statement_id = any ($2)"
        );
        let ids = (&ids as _, Type::INT4_ARRAY);
        let rows =
            ask(session, "history_buckets", &sql, &parameters(&self.source_id, &[ids], &instants)).await?;
        rows.iter()
            .map(|row| {
                let latency: Option<&[u8]> = get(row, "latency")?;
                Ok(BucketRow {
                    statement_id: get(row, "statement_id")?,
                    at: get(row, "at")?,
                    figures: Figures::of_row(row).map_err(unreadable)?,
                    // What a later pgwright wrote in another form is left out.
                    latency: latency.and_then(Latency::from_bytes).unwrap_or_default(),
                })
            })
            .collect()
    }
}

/// What one part of a statement used in one bucket.
#[derive(Clone, Debug)]
pub(super) struct BucketRow {
    pub statement_id: i32,
    pub at: DateTime<Utc>,
    pub figures: Figures,
    pub latency: Latency,
}
