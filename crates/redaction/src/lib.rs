//! How does a snapshot lose the data that it holds and still plan as before? Values are replaced by
//! stand-ins of the same type and width that stand in the same order; what cannot be replaced is dropped
//! and said.
//!
//! Source of what has to stay: `src/backend/utils/adt/selfuncs.c`. The planner compares constants with most
//! common values (equal values must stay equal), looks up where they stand among histogram bounds (order),
//! and interpolates between two bounds (distances, nearly). So the values of a whole snapshot are gathered
//! first, by the kinds that can meet in a comparison, sorted, and given stand-ins in that order.
//!
//! Stand-ins follow from the values and a secret [`Key`] that is kept nowhere. The README of this crate tells
//! how each kind is replaced and what that does not hide.

mod bits;
mod gather;
mod json;
mod key;
mod kind;
mod literals;
mod mapping;
mod numbers;
mod schema;
mod statistics;
mod texts;
mod times;
mod values;
mod walk;
mod words;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use model::Snapshot;

pub use key::Key;
pub use kind::TextOrder;

/// The texts of a snapshot, sorted, by the order that they stand in. What is missing is sorted by bytes.
pub type SortedTexts = BTreeMap<TextOrder, Vec<String>>;

/// The texts that [`redact`] has to have in order. Only the server knows the order of its collations.
pub fn texts(snapshot: &Snapshot) -> BTreeMap<TextOrder, BTreeSet<String>> {
    gather::gather(snapshot).texts
}

/// A snapshot with stand-ins in place of data. What was dropped is told in its notes.
pub fn redact(snapshot: &Snapshot, key: &Key, sorted: &SortedTexts) -> Snapshot {
    let mut mapping = mapping::Mapping::new(gather::gather(snapshot), key, sorted);
    let mut new = walk::replaced(snapshot, &mut mapping);
    move_times(&mut new, mapping.shift_days());
    new.notes.push(NOTE.into());
    let dropped: Vec<String> = mapping.take_dropped().into_iter().collect();
    let more = dropped.len().saturating_sub(DROPPED_MAX);
    if !dropped.is_empty() {
        let mut told = dropped[..dropped.len() - more].join("; ");
        if more > 0 {
            told.push_str(&format!("; and {more} more"));
        }
        new.notes.push(format!("Redaction dropped what has no stand-ins: {told}."));
    }
    new
}

/// What the notes of a redacted snapshot begin with.
pub const NOTE: &str = "This snapshot is redacted: constants, most common values and histogram bounds are stand-ins, \
     and all times lie some years before the real ones.";

/// How many dropped things are named.
const DROPPED_MAX: usize = 20;

/// The snapshot's own times move as those in its statistics do.
fn move_times(snapshot: &mut Snapshot, days: i64) {
    let move_one = |time: &mut Option<DateTime<Utc>>| {
        if let Some(time) = time {
            *time = times::moved(*time, days);
        }
    };
    snapshot.taken_at = times::moved(snapshot.taken_at, days);
    move_one(&mut snapshot.server.started_at);
    move_one(&mut snapshot.server.stats_reset);
    for activity in snapshot.relations.iter_mut().filter_map(|r| r.activity.as_mut()) {
        for time in [
            &mut activity.last_vacuum,
            &mut activity.last_autovacuum,
            &mut activity.last_analyze,
            &mut activity.last_autoanalyze,
        ] {
            move_one(time);
        }
    }
    snapshot.indexes.iter_mut().for_each(|i| move_one(&mut i.last_idx_scan));
    snapshot.statements.iter_mut().for_each(|s| move_one(&mut s.stats_since));
    if let Some(info) = &mut snapshot.statements_info {
        move_one(&mut info.stats_reset);
    }
}
