//! What did a node use of buffers, I/O time and write-ahead log?
//!
//! Source: `show_buffer_usage()` and `show_wal_usage()` in explain.c. All counters of a node include
//! its children; [`crate::Node::own`] holds the difference. I/O times are kept as whole microseconds,
//! the precision in which EXPLAIN prints them, so that sums are exact.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

macro_rules! usage {
    ($($(#[$doc:meta])* $field:ident: $($key:literal)|+ ($scale:literal),)*) => {
        /// Counters of a node: pages of 8 kB, microseconds of I/O, write-ahead log.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        pub struct Usage { $($(#[$doc])* pub $field: u64,)* }

        impl Usage {
            const FIELDS: usize = [$(stringify!($field)),*].len();

            pub(crate) fn counters(&self) -> [u64; Self::FIELDS] { [$(self.$field),*] }

            pub(crate) fn from_counters(counters: [u64; Self::FIELDS]) -> Self {
                let [$($field),*] = counters;
                Self { $($field),* }
            }

            /// Takes the counters out of a node's JSON object. Keys of older and newer majors that
            /// mean the same are alternatives of one field.
            pub(crate) fn take(object: &mut Map<String, Value>) -> Self {
                Self { $($field: 0 $(.max(take_scaled(object, $key, $scale)))+,)* }
            }
        }
    };
}

usage! {
    /// Shared buffers found in the cache.
    shared_hit: "Shared Hit Blocks" (1.0),
    /// Shared buffers that had to be read.
    shared_read: "Shared Read Blocks" (1.0),
    /// Shared buffers made dirty.
    shared_dirtied: "Shared Dirtied Blocks" (1.0),
    /// Shared buffers written out by this backend.
    shared_written: "Shared Written Blocks" (1.0),
    /// Buffers of temporary tables found in the cache.
    local_hit: "Local Hit Blocks" (1.0),
    /// Buffers of temporary tables read.
    local_read: "Local Read Blocks" (1.0),
    /// Buffers of temporary tables made dirty.
    local_dirtied: "Local Dirtied Blocks" (1.0),
    /// Buffers of temporary tables written out.
    local_written: "Local Written Blocks" (1.0),
    /// Pages of temporary files read: spilled sorts, hashes, tuple stores.
    temp_read: "Temp Read Blocks" (1.0),
    /// Pages of temporary files written.
    temp_written: "Temp Written Blocks" (1.0),
    /// Time reading data files; one counter for shared and local buffers before 17.
    shared_read_us: "Shared I/O Read Time" | "I/O Read Time" (1000.0),
    /// Time writing data files; one counter for shared and local buffers before 17.
    shared_write_us: "Shared I/O Write Time" | "I/O Write Time" (1000.0),
    /// Time reading temporary tables, since 17.
    local_read_us: "Local I/O Read Time" (1000.0),
    /// Time writing temporary tables, since 17.
    local_write_us: "Local I/O Write Time" (1000.0),
    /// Time reading temporary files, since 15.
    temp_read_us: "Temp I/O Read Time" (1000.0),
    /// Time writing temporary files, since 15.
    temp_write_us: "Temp I/O Write Time" (1000.0),
    /// Records written to the log.
    wal_records: "WAL Records" (1.0),
    /// Full-page images written to the log.
    wal_fpi: "WAL FPI" (1.0),
    /// Bytes written to the log.
    wal_bytes: "WAL Bytes" (1.0),
    /// Times that the log buffers were full, since 18.
    wal_buffers_full: "WAL Buffers Full" (1.0),
}

/// Removes a non-negative number from an object; leaves anything else where it is.
fn take_scaled(object: &mut Map<String, Value>, key: &str, scale: f64) -> u64 {
    match object.get(key).and_then(Value::as_f64) {
        Some(number) => {
            object.remove(key);
            // A float cast saturates, so a hostile number cannot overflow.
            (number.clamp(0.0, 1e15) * scale).round() as u64
        }
        None => 0,
    }
}

impl Usage {
    /// Shared and local pages that were looked at, cached or not.
    pub fn pages(&self) -> u64 {
        [self.shared_hit, self.shared_read, self.local_hit, self.local_read]
            .into_iter()
            .fold(0, u64::saturating_add)
    }

    /// Pages that had to be read.
    pub fn pages_read(&self) -> u64 {
        self.shared_read.saturating_add(self.local_read)
    }

    /// Pages of temporary files read or written.
    pub fn temp_pages(&self) -> u64 {
        self.temp_read.saturating_add(self.temp_written)
    }

    /// Time spent reading data files, in milliseconds; 0 without `track_io_timing`.
    pub fn read_ms(&self) -> f64 {
        self.shared_read_us.saturating_add(self.local_read_us) as f64 / 1000.0
    }

    /// Whether nothing was counted at all.
    pub fn is_zero(&self) -> bool {
        self.counters().iter().all(|c| *c == 0)
    }

    /// Combines two usages counter by counter.
    #[must_use]
    pub(crate) fn zip(&self, other: &Self, f: impl Fn(u64, u64) -> u64) -> Self {
        let (a, b) = (self.counters(), other.counters());
        Self::from_counters(std::array::from_fn(|i| f(a[i], b[i])))
    }

    /// Adds without overflow.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        self.zip(other, u64::saturating_add)
    }

    /// Subtracts, never below zero.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        self.zip(other, u64::saturating_sub)
    }
}
