//! When does something count as wrong? Every number that the checks compare with, in one place.
//!
//! The defaults are starting points that were tried on an ML registry of 500,000 runs; each can be set
//! in the configuration under its name.

use serde::{Deserialize, Serialize};

/// The numbers that the checks compare with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Thresholds {
    /// Ids of checks that are not run.
    pub disabled: Vec<String>,
    /// A diagnosis that concerns less than this share of execution time (of cost without `ANALYZE`) is
    /// not reported. 0.05.
    pub min_share: f64,
    /// A sequential scan reads too much when its filter removes more than this share of rows. 0.9.
    pub seq_scan_removed_share: f64,
    /// … and it touched more pages than this. 100, under a megabyte.
    pub seq_scan_min_pages: u64,
    /// … or, without `BUFFERS`, removed more rows than this. 10,000.
    pub seq_scan_min_rows: f64,
    /// A filter does too much when it removes this many times the rows that it keeps. 10.
    pub removed_per_row: f64,
    /// … and at least this many rows in all. 1,000.
    pub removed_min_rows: f64,
    /// A row estimate is wrong when it is off by this factor. 10.
    pub misestimate_factor: f64,
    /// … and every input is off by less than this, so that the error begins here. 3.
    pub misestimate_child_factor: f64,
    /// … and by at least this many rows. 100.
    pub misestimate_min_rows: f64,
    /// A bitmap is lossy when more than this share of its pages is. 0.05.
    pub lossy_share: f64,
    /// An index-only scan fetches too much when it visits the table for more than this share of
    /// rows. 0.1.
    pub heap_fetch_share: f64,
    /// … and at least this often. 100.
    pub heap_fetch_min: f64,
    /// A nested loop may have gone wrong when its inner side ran more often than this. 1,000.
    pub nested_loop_min_loops: f64,
    /// … and its outer side returned this many times the rows planned. 10.
    pub nested_loop_outer_factor: f64,
    /// A Memoize is judged after this many look-ups. 100.
    pub memoize_min_lookups: u64,
    /// A subquery is worth rewriting when it ran more often than this. 100.
    pub subplan_min_loops: f64,
    /// OFFSET is large when this many times the returned rows were thrown away. 10.
    pub offset_factor: f64,
    /// … and at least this many. 1,000.
    pub offset_min_rows: f64,
    /// Partitions are worth a word when at least this many were scanned. 4.
    pub pruning_min_partitions: usize,
    /// … and at least this share of them held nothing. 0.5.
    pub pruning_empty_share: f64,
    /// Workers are uneven when the busiest took this many times the mean. 2.
    pub worker_skew: f64,
    /// … and this many milliseconds more than it: starting a process alone makes small queries
    /// uneven. 20.
    pub worker_skew_min_ms: f64,
    /// Compilation costs too much above this share of execution time. 0.2.
    pub jit_share: f64,
    /// Triggers cost too much above this share of execution time. 0.2.
    pub trigger_share: f64,
    /// Indexes are many for a write from this number on. 3.
    pub write_min_indexes: usize,
    /// … and when at least this many rows were written. 1,000.
    pub write_min_rows: f64,
    /// Wide values are what a table is about when this share of its pages is out of line. 0.5.
    pub toast_share: f64,
    /// A statement may have waited for a lock when it took this many milliseconds that nothing accounts for. 500.
    pub lock_wait_min_ms: f64,
    /// Planning dominates when it took this many times the execution. 1.
    pub planning_factor: f64,
    /// … and at least this many milliseconds. 1.
    pub planning_min_ms: f64,
    /// The cache was cold when more than this share of pages was read. 0.5.
    pub cold_share: f64,
    /// … and at least this many. 100.
    pub cold_min_pages: u64,
    /// An index scan searches too often above this many descents per loop. 100.
    pub index_searches_per_loop: f64,
    /// A table is bloated when it takes this many times the pages that its rows need. 2.
    pub bloat_factor: f64,
    /// … and at least this many pages. 200.
    pub bloat_min_pages: u64,
    /// … or, where the rows' width is not known, when a full scan found fewer rows per page than this. 2.
    pub bloat_rows_per_page: f64,
    /// Statistics are stale when more than this share of the table changed since ANALYZE. 0.1.
    pub stale_share: f64,
    /// … and at least this many rows. 1,000.
    pub stale_min_rows: f64,
    /// VACUUM is what an index-only scan misses when less than this share of pages is marked all-visible. 0.8.
    pub visible_share: f64,
    /// … of a table of at least this many pages. 100.
    pub visible_min_pages: i64,
    /// A foreign key needs an index when its table has at least this many pages. 10.
    pub foreign_key_min_pages: u64,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            disabled: Vec::new(),
            min_share: 0.05,
            seq_scan_removed_share: 0.9,
            seq_scan_min_pages: 100,
            seq_scan_min_rows: 10_000.0,
            removed_per_row: 10.0,
            removed_min_rows: 1_000.0,
            misestimate_factor: 10.0,
            misestimate_child_factor: 3.0,
            misestimate_min_rows: 100.0,
            lossy_share: 0.05,
            heap_fetch_share: 0.1,
            heap_fetch_min: 100.0,
            nested_loop_min_loops: 1_000.0,
            nested_loop_outer_factor: 10.0,
            memoize_min_lookups: 100,
            subplan_min_loops: 100.0,
            offset_factor: 10.0,
            offset_min_rows: 1_000.0,
            pruning_min_partitions: 4,
            pruning_empty_share: 0.5,
            worker_skew: 2.0,
            worker_skew_min_ms: 20.0,
            jit_share: 0.2,
            trigger_share: 0.2,
            write_min_indexes: 3,
            write_min_rows: 1_000.0,
            toast_share: 0.5,
            lock_wait_min_ms: 500.0,
            planning_factor: 1.0,
            planning_min_ms: 1.0,
            cold_share: 0.5,
            cold_min_pages: 100,
            index_searches_per_loop: 100.0,
            bloat_factor: 2.0,
            bloat_min_pages: 200,
            bloat_rows_per_page: 2.0,
            stale_share: 0.1,
            stale_min_rows: 1_000.0,
            visible_share: 0.8,
            visible_min_pages: 100,
            foreign_key_min_pages: 10,
        }
    }
}
