//! What is asked of a conversion, and how patient is it? With defaults that suit a busy server.

use std::time::Duration;

use model::QualifiedName;
use model::partition_set::Interval;

use super::plan::Method;
use crate::cancellation::Cancellation;

/// What is asked for.
#[derive(Clone, Debug)]
pub struct ConversionRequest {
    /// The table.
    pub table: QualifiedName,
    /// The partition column.
    pub column: String,
    /// Into what it is divided by that column.
    pub by: DividedBy,
    /// The IANA time zone in which days and months begin.
    pub time_zone: String,
    /// The way, or the one that suits.
    pub method: Option<Method>,
    /// How many partitions are made ahead of now.
    pub premake: u32,
    /// Where the first partition begins; rows before it go to the default partition.
    pub from: Option<String>,
    /// Whether unique keys besides the primary one may get the partition column added.
    pub weaken_unique: bool,
}

/// Into what a table is divided by its partition column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DividedBy {
    /// Ranges that reach so far.
    Range(Interval),
    /// The values that the column has, each with a partition of its own.
    List,
    /// So many partitions by the hash of the value.
    Hash(u32),
}

/// How a conversion behaves.
#[derive(Clone, Debug)]
pub struct ConversionOptions {
    /// The longest that writers may be kept waiting, wait for the lock and work under it together.
    pub max_lock: Duration,
    /// How often a lock is tried for before the conversion stops, to be gone on with later.
    pub tries: u32,
    /// The pause after the first failed try; it doubles with each.
    pub backoff: Duration,
    /// The longest pause between tries.
    pub longest_backoff: Duration,
    /// How many sessions copy rows and build indexes.
    pub workers: usize,
    /// Pages of the table that one transaction copies.
    pub batch_blocks: i64,
    /// Name the rows of a page one by one instead of reading a range of pages, as is always done before 14.
    pub list_rows: bool,
    /// Copying pauses while a replica is further behind, in bytes.
    pub max_replication_lag_bytes: i64,
    /// Copying pauses while the oldest snapshot of the server is older, in transactions: what it holds back from
    /// VACUUM grows with what is written meanwhile.
    pub max_horizon_age: i64,
    /// Copying pauses when a small commit takes longer: the disk is busy with others.
    pub max_commit_latency: Duration,
    /// The longest pause for one of these reasons between two pieces.
    pub longest_pause: Duration,
    /// How long transactions with older snapshots are waited for before the swap.
    pub snapshot_wait: Duration,
    /// `maintenance_work_mem` for index builds, in PostgreSQL's notation.
    pub maintenance_work_mem: Option<String>,
    /// The wish to stop.
    pub cancellation: Cancellation,
}

impl Default for ConversionOptions {
    fn default() -> Self {
        Self {
            max_lock: Duration::from_millis(100),
            tries: 60,
            backoff: Duration::from_millis(50),
            longest_backoff: Duration::from_secs(5),
            workers: 2,
            batch_blocks: 1024,
            list_rows: false,
            max_replication_lag_bytes: 256 << 20,
            max_horizon_age: 50_000_000,
            max_commit_latency: Duration::from_millis(50),
            longest_pause: Duration::from_secs(10),
            snapshot_wait: Duration::from_secs(600),
            maintenance_work_mem: None,
            cancellation: Cancellation::default(),
        }
    }
}
