//! What is known of a statement over some time: since its counters began, or over an interval?

use chrono::{DateTime, Utc};
use model::snapshot::Statement;
use model::{Bytes, Millis};
use serde::{Deserialize, Serialize};

/// Counters of a statement over some time. Of an interval the extremes are not always known.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)] // The names are those of pg_stat_statements.
pub struct StatementFigures {
    pub queryid: i64,
    pub query: String,
    pub toplevel: bool,
    pub calls: i64,
    pub total_plan_time: Millis,
    pub total_exec_time: Millis,
    pub mean_exec_time: Millis,
    /// `None` where two readings do not tell it.
    pub min_exec_time: Option<Millis>,
    /// `None` where two readings do not tell it.
    pub max_exec_time: Option<Millis>,
    /// `None` where two readings do not tell it.
    pub stddev_exec_time: Option<Millis>,
    pub rows: i64,
    pub shared_blks_hit: i64,
    pub shared_blks_read: i64,
    pub shared_blks_dirtied: i64,
    pub shared_blks_written: i64,
    pub temp_blks_read: i64,
    pub temp_blks_written: i64,
    pub blk_read_time: Millis,
    pub blk_write_time: Millis,
    pub wal_records: i64,
    pub wal_bytes: Bytes,
    pub stats_since: Option<DateTime<Utc>>,
}

impl From<&Statement> for StatementFigures {
    fn from(s: &Statement) -> Self {
        Self {
            queryid: s.queryid,
            query: s.query.clone(),
            toplevel: s.toplevel,
            calls: s.calls,
            total_plan_time: s.total_plan_time,
            total_exec_time: s.total_exec_time,
            mean_exec_time: s.mean_exec_time,
            min_exec_time: Some(s.min_exec_time),
            max_exec_time: Some(s.max_exec_time),
            stddev_exec_time: Some(s.stddev_exec_time),
            rows: s.rows,
            shared_blks_hit: s.shared_blks_hit,
            shared_blks_read: s.shared_blks_read,
            shared_blks_dirtied: s.shared_blks_dirtied,
            shared_blks_written: s.shared_blks_written,
            temp_blks_read: s.temp_blks_read,
            temp_blks_written: s.temp_blks_written,
            blk_read_time: s.blk_read_time,
            blk_write_time: s.blk_write_time,
            wal_records: s.wal_records,
            wal_bytes: s.wal_bytes,
            stats_since: s.stats_since,
        }
    }
}

impl StatementFigures {
    /// Shared-buffer hits as a share of all accesses, `None` when it touched nothing.
    pub fn cache_hit_ratio(&self) -> Option<f64> {
        let all = self.shared_blks_hit.saturating_add(self.shared_blks_read);
        (all > 0).then(|| self.shared_blks_hit as f64 / all as f64)
    }

    /// A counter divided by the calls; 0 when there were none.
    pub(crate) fn per_call(&self, counter: i64) -> f64 {
        if self.calls > 0 { counter as f64 / self.calls as f64 } else { 0.0 }
    }

    /// What was read from and written to temporary files.
    pub(crate) fn temp_blocks(&self) -> i64 {
        self.temp_blks_read.saturating_add(self.temp_blks_written)
    }
}

/// Whether it is one of pgwright's own queries, which carry `/* pgwright:name */` after their first
/// key word. A text that merely contains these words further on is somebody else's.
pub fn is_own(query: &str) -> bool {
    let after_word = query.trim_start().trim_start_matches(|c: char| c.is_ascii_alphabetic());
    after_word.trim_start().starts_with("/* pgwright:")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_queries_are_known_by_the_comment_after_the_first_word() {
        assert!(is_own("SELECT /* pgwright:relations */ c.oid FROM pg_catalog.pg_class c"));
        assert!(is_own("  with/* pgwright:x */ a as (select 1) select 1"));
        assert!(!is_own("SELECT 1 /* pgwright:relations */"));
        assert!(!is_own("SELECT '/* pgwright:relations */'"));
    }
}
