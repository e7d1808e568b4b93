//! Was the time of a statement measured before an index was there?
//!
//! Counters of statements go back further than indexes that were just built: for a while the measured time is one
//! that the statement does not take any more. Taken for what today's plan costs, it would make every cost unit of
//! that plan too dear, and the next index too welcome. How often an index was scanned tells how many calls can have
//! had it, at most: where these are fewer than the statement's, the rest of the time was measured without.
//!
//! Indexes of constraints are as old as their tables, or nearly so, and stay out of it; so does everything when the
//! scans were counted anew after the statements were.

use std::collections::BTreeSet;

use model::{QualifiedName, Snapshot};

/// An index that may be younger than the counters of statements.
#[derive(Clone, Debug)]
struct Index {
    name: QualifiedName,
    scans: f64,
}

/// Indexes by how often they were scanned.
#[derive(Clone, Debug, Default)]
pub(super) struct Scans {
    indexes: Vec<Index>,
}

/// The share of a statement's calls that can have used the indexes of its plan, and what to plan without to see what
/// the others did.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Before {
    pub share_with: f64,
    pub without: Vec<QualifiedName>,
}

impl Scans {
    pub fn of(snapshot: &Snapshot) -> Self {
        let statements_reset = snapshot.statements_info.as_ref().and_then(|info| info.stats_reset);
        let counted_as_long = match (snapshot.server.stats_reset, statements_reset) {
            (None, _) => true,
            (Some(scans), Some(statements)) => scans <= statements,
            (Some(_), None) => false,
        };
        if !counted_as_long {
            return Self::default();
        }
        let indexes = snapshot
            .indexes
            .iter()
            .filter(|index| index.valid && !index.primary && !index.exclusion && index.constraint.is_none())
            .map(|index| Index { name: index.name.clone(), scans: index.idx_scan.max(0) as f64 })
            .collect();
        Self { indexes }
    }

    /// `None` when all calls can have used the indexes that the plan uses, which are given by their names alone.
    pub fn before(&self, used: &BTreeSet<String>, calls: i64) -> Option<Before> {
        let calls = calls.max(1) as f64;
        let rare: Vec<&Index> = self.indexes.iter().filter(|index| index.scans < calls).collect();
        let least = rare
            .iter()
            .filter(|index| used.contains(&index.name.name))
            .map(|index| index.scans)
            .min_by(f64::total_cmp)?;
        let mut without: Vec<QualifiedName> = rare.iter().map(|index| index.name.clone()).collect();
        without.sort();
        Some(Before { share_with: least / calls, without })
    }
}

impl Before {
    /// What a measured time has to be multiplied with to be that of the plan that costs `now`.
    pub fn correction(&self, now: f64, without: f64) -> f64 {
        let measured = self.share_with * now + (1.0 - self.share_with) * without;
        if measured > 0.0 { (now / measured).clamp(0.0, 1.0) } else { 1.0 }
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use model::snapshot::StatementsInfo;

    use super::*;
    use crate::fixture::{index, name, snapshot, table};

    fn scanned(scans: i64) -> Snapshot {
        let mut snapshot = snapshot();
        snapshot.relations = vec![table("runs", 1e6, &["id int", "at timestamptz"])];
        snapshot.indexes =
            vec![index("runs", "runs_pkey", &["id"], true), index("runs", "runs_at_idx", &["at"], false)];
        snapshot.indexes[0].primary = true;
        snapshot.indexes[1].idx_scan = scans;
        snapshot
    }

    fn before(snapshot: &Snapshot, used: &str) -> Option<Before> {
        Scans::of(snapshot).before(&BTreeSet::from([used.to_owned()]), 100)
    }

    #[test]
    fn calls_beyond_the_scans_had_no_index() {
        let never = before(&scanned(0), "runs_at_idx").unwrap();
        assert_eq!(never, Before { share_with: 0.0, without: vec![name("runs_at_idx")] });
        assert_eq!(never.correction(5.0, 1000.0), 0.005);
        let lately = before(&scanned(50), "runs_at_idx").unwrap();
        assert_eq!(lately.correction(5.0, 995.0), 0.01);
        assert_eq!(before(&scanned(100), "runs_at_idx"), None);
        // A plan that does not use it is what was measured.
        assert_eq!(before(&scanned(0), "runs_pkey"), None);
    }

    #[test]
    fn scans_that_were_forgotten_tell_nothing() {
        let mut snapshot = scanned(0);
        let reset = |minutes| Some(snapshot.taken_at - TimeDelta::minutes(minutes));
        let (early, late) = (reset(50), reset(10));
        let statements = |stats_reset| {
            Some(StatementsInfo {
                version: "1.10".into(),
                dealloc: 0,
                stats_reset,
                max: 5_000,
                track: "top".into(),
            })
        };
        (snapshot.server.stats_reset, snapshot.statements_info) = (late, statements(early));
        assert_eq!(before(&snapshot, "runs_at_idx"), None);
        (snapshot.server.stats_reset, snapshot.statements_info) = (early, statements(late));
        assert!(before(&snapshot, "runs_at_idx").is_some());
    }
}
