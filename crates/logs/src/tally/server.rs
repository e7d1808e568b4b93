//! What did the server itself report? Checkpoints, connections, locks, temporary files, autovacuum, starts and crashes.

use std::collections::{BTreeMap, HashMap};

use model::LatencyHistogram;

use crate::entry::{find, text};
use crate::message::{Checkpoint, Upkeep};

/// Names that are told apart in a listing.
const MAX_NAMES: usize = 10_000;

/// Starts, stops and crashes that are kept.
const MAX_EVENTS: usize = 200;

/// What autovacuum did to one table.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct UpkeepTally {
    pub vacuums: u64,
    pub analyzes: u64,
    pub vacuum_s: f64,
    pub analyze_s: f64,
    pub longest_vacuum_s: f64,
    pub tuples_removed: u64,
    pub pages_removed: u64,
    /// Of the last vacuum.
    pub tuples_not_removable: u64,
    pub against_wraparound: u64,
}

/// Waits for one kind of lock.
#[derive(Clone, Debug, Default)]
pub(crate) struct LockTally {
    /// Waits that ended with the lock.
    pub waited: LatencyHistogram,
    /// Reports that a wait goes on.
    pub reports: u64,
}

/// All of it.
#[derive(Default)]
pub(crate) struct Server {
    pub checkpoints: u64,
    pub checkpoint_causes: BTreeMap<String, u64>,
    pub checkpoints_too_frequent: u64,
    pub buffers: u64,
    pub write_s: f64,
    pub sync_s: f64,
    pub total_s: f64,
    pub longest_checkpoint_s: f64,
    pub distance_kb: u64,
    pub wal_files_added: u64,
    pub wal_files_removed: u64,
    pub wal_files_recycled: u64,
    pub connections_received: u64,
    pub connections_authorized: u64,
    pub connections_by: HashMap<(Vec<u8>, Vec<u8>), u64>,
    pub disconnections: u64,
    pub sessions: LatencyHistogram,
    pub temporary_files: u64,
    pub temporary_bytes: u64,
    pub largest_temporary_bytes: u64,
    /// By mode and kind of object.
    pub locks: BTreeMap<(String, String), LockTally>,
    pub upkeep: HashMap<Vec<u8>, UpkeepTally>,
    pub events: Vec<(Option<i64>, String)>,
    pub others: u64,
}

impl Server {
    pub(crate) fn checkpoint_starting(&mut self, cause: &[u8]) {
        let cause = text(cause, 60);
        if self.checkpoint_causes.len() < 100 || self.checkpoint_causes.contains_key(&cause) {
            *self.checkpoint_causes.entry(cause).or_default() += 1;
        }
    }

    pub(crate) fn checkpoint(&mut self, of: Checkpoint) {
        self.checkpoints += 1;
        self.buffers += of.buffers;
        self.write_s += of.write_s;
        self.sync_s += of.sync_s;
        self.total_s += of.total_s;
        self.longest_checkpoint_s = self.longest_checkpoint_s.max(of.total_s);
        self.distance_kb += of.distance_kb;
        self.wal_files_added += of.wal_files_added;
        self.wal_files_removed += of.wal_files_removed;
        self.wal_files_recycled += of.wal_files_recycled;
    }

    pub(crate) fn connection_authorized(&mut self, message: &[u8]) {
        self.connections_authorized += 1;
        let named = |name: &[u8]| {
            find(message, name).map_or(&[][..], |at| {
                let rest = &message[at + name.len()..];
                &rest[..rest.iter().position(|b| matches!(b, b' ' | b'\n')).unwrap_or(rest.len())]
            })
        };
        let key = (named(b"user=").to_vec(), named(b"database=").to_vec());
        if self.connections_by.len() < MAX_NAMES || self.connections_by.contains_key(&key) {
            *self.connections_by.entry(key).or_default() += 1;
        }
    }

    pub(crate) fn lock_wait(&mut self, ended: bool, ms: f64, mode: &[u8], object: &[u8]) {
        // "transaction 12", "tuple (0,1) of relation 5 of database 6", "relation 16384 of database 5".
        let kind = object.split(|b| *b == b' ').next().unwrap_or_default();
        let key = (text(mode, 40), text(kind, 40));
        if self.locks.len() >= 200 && !self.locks.contains_key(&key) {
            return;
        }
        let lock = self.locks.entry(key).or_default();
        if ended {
            lock.waited.record(ms);
        } else {
            lock.reports += 1;
        }
    }

    pub(crate) fn upkeep(&mut self, of: &Upkeep<'_>, is_analyze: bool) {
        if self.upkeep.len() >= MAX_NAMES && !self.upkeep.contains_key(of.table) {
            return;
        }
        let table = self.upkeep.entry(of.table.to_vec()).or_default();
        if is_analyze {
            table.analyzes += 1;
            table.analyze_s += of.elapsed_s;
            return;
        }
        table.vacuums += 1;
        table.vacuum_s += of.elapsed_s;
        table.longest_vacuum_s = table.longest_vacuum_s.max(of.elapsed_s);
        table.tuples_removed += of.tuples_removed;
        table.pages_removed += of.pages_removed;
        table.tuples_not_removable = of.tuples_not_removable;
        table.against_wraparound += u64::from(of.against_wraparound);
    }

    pub(crate) fn event(&mut self, time_ms: Option<i64>, message: &[u8]) {
        if self.events.len() < MAX_EVENTS {
            self.events.push((time_ms, text(message, 300)));
        }
    }

    pub(crate) fn merge(&mut self, later: Self) {
        self.checkpoints += later.checkpoints;
        for (cause, count) in later.checkpoint_causes {
            *self.checkpoint_causes.entry(cause).or_default() += count;
        }
        self.checkpoints_too_frequent += later.checkpoints_too_frequent;
        self.buffers += later.buffers;
        self.write_s += later.write_s;
        self.sync_s += later.sync_s;
        self.total_s += later.total_s;
        self.longest_checkpoint_s = self.longest_checkpoint_s.max(later.longest_checkpoint_s);
        self.distance_kb += later.distance_kb;
        self.wal_files_added += later.wal_files_added;
        self.wal_files_removed += later.wal_files_removed;
        self.wal_files_recycled += later.wal_files_recycled;
        self.connections_received += later.connections_received;
        self.connections_authorized += later.connections_authorized;
        for (key, count) in later.connections_by {
            if self.connections_by.len() < MAX_NAMES || self.connections_by.contains_key(&key) {
                *self.connections_by.entry(key).or_default() += count;
            }
        }
        self.disconnections += later.disconnections;
        self.sessions.merge(&later.sessions);
        self.temporary_files += later.temporary_files;
        self.temporary_bytes += later.temporary_bytes;
        self.largest_temporary_bytes = self.largest_temporary_bytes.max(later.largest_temporary_bytes);
        for (key, other) in later.locks {
            let lock = self.locks.entry(key).or_default();
            lock.waited.merge(&other.waited);
            lock.reports += other.reports;
        }
        for (table, other) in later.upkeep {
            if self.upkeep.len() >= MAX_NAMES && !self.upkeep.contains_key(&table) {
                continue;
            }
            let known = self.upkeep.entry(table).or_default();
            known.vacuums += other.vacuums;
            known.analyzes += other.analyzes;
            known.vacuum_s += other.vacuum_s;
            known.analyze_s += other.analyze_s;
            known.longest_vacuum_s = known.longest_vacuum_s.max(other.longest_vacuum_s);
            known.tuples_removed += other.tuples_removed;
            known.pages_removed += other.pages_removed;
            if other.vacuums > 0 {
                known.tuples_not_removable = other.tuples_not_removable;
            }
            known.against_wraparound += other.against_wraparound;
        }
        self.events.extend(later.events);
        self.events.truncate(MAX_EVENTS);
        self.others += later.others;
    }
}
