//! What was added to the counters of statements between two readings? Resets, evictions and new entries told apart.
//!
//! Source: PostgreSQL manual, "pg_stat_statements" (F.32): `stats_since` since version 1.11, `stats_reset` of
//! `pg_stat_statements_info` since 1.9, and `pg_stat_statements.max` for evictions.

use std::collections::{HashMap, HashSet};

use super::counters::StatementCountersRow;

/// How many figures a statement has.
pub const FIGURES: usize = 13;
/// The place of the number of calls among them.
pub const CALLS: usize = 0;
/// The place of the rows.
pub const ROWS: usize = 1;
/// The place of the execution time.
pub const EXEC_SECONDS: usize = 2;
/// The place of the blocks found in shared buffers.
pub const BLOCKS_HIT: usize = 4;
/// The place of the blocks not found there.
pub const BLOCKS_READ: usize = 5;
/// The place of the blocks read from temporary files.
pub const TEMP_READ: usize = 8;
/// The place of the blocks written to temporary files.
pub const TEMP_WRITTEN: usize = 9;
/// The place of the bytes of WAL.
pub const WAL_BYTES: usize = 12;

/// The counters of a statement.
pub type Figures = [f64; FIGURES];

/// An entry of `pg_stat_statements`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EntryKey {
    /// The role.
    pub userid: u32,
    /// The database.
    pub dbid: u32,
    /// The identifier that the server computes.
    pub queryid: i64,
    /// Whether it was called by a client and not by a function.
    pub toplevel: bool,
}

/// Counters as they were read, and since when they count, in microseconds since 1970, where the extension says so.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Counted {
    /// The counters.
    pub figures: Figures,
    /// Since when.
    pub since_us: Option<i64>,
}

impl StatementCountersRow {
    /// Which entry it is.
    pub fn key(&self) -> EntryKey {
        EntryKey { userid: self.userid, dbid: self.dbid, queryid: self.queryid, toplevel: self.toplevel }
    }

    /// Its counters.
    pub fn counted(&self) -> Counted {
        let figures = [
            self.calls,
            self.rows,
            self.exec_seconds,
            self.plan_seconds,
            self.shared_blks_hit,
            self.shared_blks_read,
            self.shared_blks_dirtied,
            self.shared_blks_written,
            self.temp_blks_read,
            self.temp_blks_written,
            self.read_seconds,
            self.write_seconds,
            self.wal_bytes,
        ];
        Counted { figures, since_us: self.stats_since.map(|s| s.timestamp_micros()) }
    }
}

/// The difference between two readings.
#[derive(Debug, Default)]
pub struct Differences {
    readings: HashMap<EntryKey, Counted>,
    reset_us: Option<i64>,
    read_before: bool,
}

impl Differences {
    /// Goes on from an earlier reading, of another process.
    pub fn resumed(readings: HashMap<EntryKey, Counted>, reset_us: Option<i64>) -> Self {
        Self { readings, reset_us, read_before: true }
    }

    /// What was added since the last reading. The first reading gives nothing.
    ///
    /// An entry that was not there before has begun since; one that says that it began at another time, or counts less
    /// than before, was reset, or thrown out and made again; and all have begun since when the server says that
    /// everything was reset (`reset_us`) at another time than before.
    pub fn take(&mut self, rows: &[StatementCountersRow], reset_us: Option<i64>) -> Vec<(EntryKey, Figures)> {
        self.take_counted(rows.iter().map(|row| (row.key(), row.counted())), reset_us)
    }

    fn take_counted(
        &mut self,
        entries: impl Iterator<Item = (EntryKey, Counted)> + Clone,
        reset_us: Option<i64>,
    ) -> Vec<(EntryKey, Figures)> {
        let all_begun_again = reset_us != self.reset_us && self.reset_us.is_some();
        let mut differences = Vec::new();
        let mut present = 0;
        // There may be a hundred thousand: they take the place of those before.
        for (key, counted) in entries.clone() {
            present += 1;
            let before = self.readings.insert(key, counted);
            if self.read_before {
                let figures = counted.figures;
                let goes_on = |before: &Counted| {
                    !all_begun_again
                        && before.since_us == counted.since_us
                        && before.figures[CALLS] <= figures[CALLS]
                        && before.figures[EXEC_SECONDS] <= figures[EXEC_SECONDS]
                };
                let added = match before.filter(goes_on) {
                    Some(before) => std::array::from_fn(|at| (figures[at] - before.figures[at]).max(0.0)),
                    None => figures,
                };
                if added[CALLS] > 0.0 || added[EXEC_SECONDS] > 0.0 {
                    differences.push((key, added));
                }
            }
        }
        if self.readings.len() > present {
            let present: HashSet<EntryKey> = entries.map(|(key, _)| key).collect();
            self.readings.retain(|key, _| present.contains(key));
        }
        self.read_before = true;
        self.reset_us = reset_us;
        differences
    }

    /// The last reading.
    pub fn readings(&self) -> &HashMap<EntryKey, Counted> {
        &self.readings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(calls: f64, seconds: f64) -> Figures {
        let mut figures = [0.0; FIGURES];
        (figures[CALLS], figures[EXEC_SECONDS]) = (calls, seconds);
        figures
    }

    fn key(queryid: i64) -> EntryKey {
        EntryKey { userid: 10, dbid: 1, queryid, toplevel: true }
    }

    fn entry(queryid: i64, calls: f64, seconds: f64, since_us: Option<i64>) -> (EntryKey, Counted) {
        (key(queryid), Counted { figures: figures(calls, seconds), since_us })
    }

    #[test]
    fn resets_evictions_and_new_entries_are_told_apart() {
        let mut differences = Differences::default();
        let mut take =
            |entries: &[(EntryKey, Counted)]| differences.take_counted(entries.iter().copied(), None);
        assert!(take(&[entry(1, 100.0, 10.0, None)]).is_empty());
        assert_eq!(take(&[entry(1, 110.0, 11.0, None)]), [(key(1), figures(10.0, 1.0))]);
        // New since the last reading.
        let both = [entry(1, 110.0, 11.0, None), entry(2, 3.0, 0.5, None)];
        assert_eq!(take(&both), [(key(2), figures(3.0, 0.5))]);
        // Reset: what is there was counted since.
        assert_eq!(take(&[entry(1, 4.0, 0.25, Some(7))]), [(key(1), figures(4.0, 0.25))]);
        // Thrown out and made again, and already beyond where it was: the extension knows.
        assert_eq!(take(&[entry(1, 9.0, 1.0, Some(8))]), [(key(1), figures(9.0, 1.0))]);
    }

    #[test]
    fn after_a_reset_of_everything_nothing_is_taken_for_growth() {
        let before = [entry(1, 5.0, 1.0, None)].into_iter().collect();
        let mut differences = Differences::resumed(before, Some(100));
        let grown = differences.take_counted([entry(1, 8.0, 2.0, None)].into_iter(), Some(100));
        assert_eq!(grown, [(key(1), figures(3.0, 1.0))]);
        // Reset, and already beyond where it was.
        let again = differences.take_counted([entry(1, 9.0, 2.5, None)].into_iter(), Some(200));
        assert_eq!(again, [(key(1), figures(9.0, 2.5))]);
    }
}
