//! Why did a statement become slower, and was it a change that pgwright made? The change is named only
//! when the statement's own plan, or the table that it writes, says so, and when a second witness that
//! does not jitter agrees: pages touched, or WAL written, per call. Whatever else explains it (more
//! rows, more load, a cold cache) is said and leads to nothing.

use std::collections::BTreeSet;

use model::{Millis, QualifiedName};
use serde::{Deserialize, Serialize};

use super::figures::{Figures, is_slower};
use super::plans::PlanFacts;

/// A change that was applied, as far as a statement can feel it.
#[derive(Clone, Debug)]
pub(super) struct AppliedChange {
    pub entry_id: i64,
    /// The step that is undone to take it back.
    pub step_id: i64,
    pub object: QualifiedName,
    pub kind: AppliedKind,
    /// The indexes that appear in plans: its own, or those of partitions.
    pub indexes: BTreeSet<QualifiedName>,
    /// Its table, and partitions.
    pub tables: BTreeSet<QualifiedName>,
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AppliedKind {
    Created,
    Dropped,
    /// ANALYZE or VACUUM: plans may change, and there is no way back.
    Statistics,
}

/// Why a statement is slower.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Its plan now reads an index that was made.
    NewPlan,
    /// Its plan read an index that was dropped.
    LostIndex,
    /// It writes to a table that has an index more.
    Upkeep,
    /// Its plan may have changed with new statistics.
    NewStatistics,
    /// Everything takes longer.
    MoreLoad,
    /// It returns or changes more rows.
    MoreRows,
    /// Its tables have grown by as much as it takes longer.
    TableGrew,
    /// It touches no more pages, but they came from disk.
    ColdCache,
    /// It touches more pages with the indexes that it used before.
    MorePages,
    /// Nothing that was looked at explains it.
    Unknown,
}

impl Cause {
    /// Whether it is a change that pgwright made and can take back.
    pub fn is_a_change(self) -> bool {
        matches!(self, Self::NewPlan | Self::LostIndex | Self::Upkeep)
    }
}

/// A statement that became slower.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Slower {
    /// Its `queryid`.
    pub queryid: i64,
    /// Its text.
    pub query: String,
    /// Calls before.
    pub calls_before: i64,
    /// Calls since.
    pub calls: i64,
    /// Mean execution time before.
    pub mean_before: Millis,
    /// Mean execution time since.
    pub mean_since: Millis,
    /// Pages touched per call before.
    pub buffers_before: f64,
    /// Pages touched per call since.
    pub buffers_since: f64,
    /// Why.
    pub cause: Cause,
    /// The objects of the changes that caused it.
    pub because_of: Vec<QualifiedName>,
    /// The journal's steps that made them.
    pub steps: Vec<i64>,
    /// Why, in a sentence.
    pub sentence: String,
}

impl Slower {
    /// The time that the calls since have cost beyond what they cost before, in milliseconds.
    pub fn lost_ms(&self) -> f64 {
        (self.mean_since.0 - self.mean_before.0) * self.calls as f64
    }
}

/// What is known of a statement that takes longer.
pub(super) struct Suspect<'a> {
    pub before: &'a Figures,
    pub since: &'a Figures,
    /// Its plans before, when they were kept.
    pub plan_before: Option<&'a PlanFacts>,
    /// Its plans now.
    pub plan_now: Option<&'a PlanFacts>,
    /// By which factor the tables of its plans have grown since, at most; 1 when it is not known.
    pub growth: f64,
}

/// How much more of something counts as more.
const MORE: f64 = 1.1;

fn is_more(before: f64, since: f64) -> bool {
    since > before * MORE && since - before >= 0.5
}

/// Finds the cause. `load` is by how much other statements take longer, when enough of them ran.
pub(super) fn find(
    suspect: &Suspect<'_>,
    changes: &[AppliedChange],
    factor: f64,
    load: Option<f64>,
) -> Slower {
    let (before, since) = (suspect.before, suspect.since);
    let verdict = verdict(suspect, changes, factor, load);
    Slower {
        queryid: since.queryid,
        query: since.query.clone(),
        calls_before: before.calls,
        calls: since.calls,
        mean_before: before.mean,
        mean_since: since.mean,
        buffers_before: before.buffers,
        buffers_since: since.buffers,
        cause: verdict.cause,
        because_of: verdict.changes.iter().map(|c| c.object.clone()).collect(),
        steps: verdict.changes.iter().map(|c| c.step_id).collect(),
        sentence: verdict.sentence,
    }
}

struct Verdict<'c> {
    cause: Cause,
    changes: Vec<&'c AppliedChange>,
    sentence: String,
}

fn verdict<'c>(
    suspect: &Suspect<'_>,
    changes: &'c [AppliedChange],
    factor: f64,
    load: Option<f64>,
) -> Verdict<'c> {
    let (before, since) = (suspect.before, suspect.since);
    let other = |cause, sentence: String| Verdict { cause, changes: Vec::new(), sentence };
    if let Some(load) = load
        && !is_slower(before, since, factor, load)
    {
        return other(Cause::MoreLoad, format!("Other statements take {load:.1} times as long as well."));
    }
    // Not all plans take longer with a table, but where it could be that, nothing else is blamed.
    if suspect.growth > 1.0 && !is_slower(before, since, factor, load.unwrap_or(1.0) * suspect.growth) {
        let sentence = format!("Its tables have grown to {:.1} times their size.", suspect.growth);
        return other(Cause::TableGrew, sentence);
    }
    let more_buffers = is_more(before.buffers, since.buffers);
    let more_read = is_more(before.read, since.read);
    let more_wal = is_more(before.wal_records, since.wal_records);
    let slower = since.mean.0 / before.mean.0.max(f64::MIN_POSITIVE);
    let grown_rows = since.rows / before.rows.max(f64::MIN_POSITIVE);
    // As many more rows as it takes longer, and no more pages for each of them.
    let explained_by_rows = is_more(before.rows, since.rows)
        && grown_rows >= 0.8 * slower
        && since.buffers / since.rows.max(1.0) <= before.buffers / before.rows.max(1.0) * MORE;
    let more_rows = || {
        other(
            Cause::MoreRows,
            format!("It returns or changes {:.0} rows per call, {:.0} before.", since.rows, before.rows),
        )
    };
    let cold = || {
        other(
            Cause::ColdCache,
            format!(
                "It touches no more pages than before, but {:.0} of them per call came from disk, {:.0} before.",
                since.read, before.read
            ),
        )
    };
    // A second witness: what it does grew, or nothing else is known to take longer.
    let confirmed = more_buffers || (load.is_some() && !more_read);

    let used = uses(suspect, changes);
    if !used.is_empty() {
        if explained_by_rows {
            return more_rows();
        }
        if !more_buffers && more_read {
            return cold();
        }
        if confirmed {
            let names = names(&used);
            let sentence = format!("Its plan now reads {names}: {}.", pages(before.buffers, since.buffers));
            return Verdict { cause: Cause::NewPlan, changes: used, sentence };
        }
        return other(
            Cause::Unknown,
            format!(
                "Its plan now reads {}, but it touches no more pages, and too few other statements ran to tell \
                 whether everything takes longer.",
                names(&used)
            ),
        );
    }
    let lost = lost(suspect, changes);
    if !lost.is_empty() && confirmed {
        let sentence = format!(
            "Its plan read {}, which was dropped: {}.",
            names(&lost),
            pages(before.buffers, since.buffers)
        );
        return Verdict { cause: Cause::LostIndex, changes: lost, sentence };
    }
    let kept = upkeep(suspect, changes);
    if !kept.is_empty() && (more_wal || more_buffers) && !explained_by_rows {
        let sentence = format!(
            "It writes to a table on which {} has to be kept up: {}, {:.1} WAL records per call instead of {:.1}.",
            names(&kept),
            pages(before.buffers, since.buffers),
            since.wal_records,
            before.wal_records
        );
        return Verdict { cause: Cause::Upkeep, changes: kept, sentence };
    }
    if is_more(before.rows, since.rows) && grown_rows >= 0.8 * slower {
        return more_rows();
    }
    let analyzed = statistics(suspect, changes);
    if !analyzed.is_empty() {
        let sentence = format!(
            "Its plan is another one since {} was analyzed, which cannot be taken back.",
            names(&analyzed)
        );
        return other(Cause::NewStatistics, sentence);
    }
    if more_read && !more_buffers {
        return cold();
    }
    if suspect.plan_now.is_none() {
        return other(Cause::Unknown, "The server would not plan it, so its indexes are not known.".into());
    }
    if more_buffers {
        let sentence = format!(
            "No plan of it uses a change: it touches {}, as it does with other values.",
            pages(before.buffers, since.buffers)
        );
        return other(Cause::MorePages, sentence);
    }
    other(Cause::Unknown, "No plan of it uses a change, and it touches no more pages than before.".into())
}

fn pages(before: f64, since: f64) -> String {
    format!("{since:.0} pages per call instead of {before:.0}")
}

fn names(changes: &[&AppliedChange]) -> String {
    changes.iter().map(|c| c.object.to_string()).collect::<Vec<_>>().join(", ")
}

/// The indexes made that its plan reads now.
fn uses<'c>(suspect: &Suspect<'_>, changes: &'c [AppliedChange]) -> Vec<&'c AppliedChange> {
    let Some(now) = suspect.plan_now else { return Vec::new() };
    of_kind(changes, AppliedKind::Created).filter(|c| !c.indexes.is_disjoint(&now.indexes)).collect()
}

/// The indexes dropped that its plan read before.
fn lost<'c>(suspect: &Suspect<'_>, changes: &'c [AppliedChange]) -> Vec<&'c AppliedChange> {
    let Some(before) = suspect.plan_before else { return Vec::new() };
    of_kind(changes, AppliedKind::Dropped).filter(|c| !c.indexes.is_disjoint(&before.indexes)).collect()
}

/// The indexes made on the tables that it writes.
fn upkeep<'c>(suspect: &Suspect<'_>, changes: &'c [AppliedChange]) -> Vec<&'c AppliedChange> {
    let Some(now) = suspect.plan_now else { return Vec::new() };
    of_kind(changes, AppliedKind::Created).filter(|c| !c.tables.is_disjoint(&now.written)).collect()
}

/// The tables analyzed that it reads with another plan than before.
fn statistics<'c>(suspect: &Suspect<'_>, changes: &'c [AppliedChange]) -> Vec<&'c AppliedChange> {
    let (Some(before), Some(now)) = (suspect.plan_before, suspect.plan_now) else { return Vec::new() };
    if before.indexes == now.indexes {
        return Vec::new();
    }
    of_kind(changes, AppliedKind::Statistics).filter(|c| !c.tables.is_disjoint(&now.read)).collect()
}

fn of_kind(changes: &[AppliedChange], kind: AppliedKind) -> impl Iterator<Item = &AppliedChange> {
    changes.iter().filter(move |c| c.kind == kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> QualifiedName {
        QualifiedName::new("s", text)
    }

    fn set(text: &str) -> BTreeSet<QualifiedName> {
        text.split_whitespace().map(name).collect()
    }

    fn change(kind: AppliedKind, object: &str, indexes: &str) -> AppliedChange {
        AppliedChange {
            entry_id: 1,
            step_id: 7,
            object: name(object),
            kind,
            indexes: set(indexes),
            tables: set("t"),
        }
    }

    fn plan(indexes: &str, written: &str) -> PlanFacts {
        PlanFacts { indexes: set(indexes), read: set("t"), written: set(written) }
    }

    fn before() -> Figures {
        Figures {
            calls: 500,
            mean: Millis(2.0),
            stddev: Some(Millis(0.3)),
            rows: 10.0,
            buffers: 100.0,
            read: 1.0,
            wal_records: 2.0,
            ..Figures::default()
        }
    }

    fn cause_of(
        since: Figures,
        plan_before: &PlanFacts,
        plan_now: &PlanFacts,
        load: Option<f64>,
    ) -> (Cause, Vec<String>, String) {
        let changes = [
            change(AppliedKind::Created, "made", "made part_made"),
            change(AppliedKind::Dropped, "gone", "gone"),
            change(AppliedKind::Statistics, "t", ""),
        ];
        let (before, since) = (before(), Figures { mean: Millis(6.0), ..since });
        let suspect = Suspect {
            before: &before,
            since: &since,
            plan_before: Some(plan_before),
            plan_now: Some(plan_now),
            growth: 1.0,
        };
        let slower = find(&suspect, &changes, 1.2, load);
        assert!(slower.sentence.ends_with('.'), "{}", slower.sentence);
        let because_of = slower.because_of.iter().map(|n| n.name.clone()).collect();
        (slower.cause, because_of, slower.sentence)
    }

    #[test]
    fn a_change_is_named_only_with_two_witnesses() {
        let nothing = plan("", "");
        let more_pages = Figures { buffers: 300.0, ..before() };
        let same_pages = before;
        let from_disk = Figures { read: 80.0, ..before() };
        let more_rows = Figures { rows: 40.0, buffers: 330.0, ..before() };
        let more_wal = Figures { wal_records: 3.0, ..before() };
        for (since, was, is, load, cause, because_of) in [
            (more_pages.clone(), "old", "made", None, Cause::NewPlan, "made"),
            // The index of a partition.
            (more_pages.clone(), "old", "part_made", Some(1.0), Cause::NewPlan, "made"),
            // No more pages: only what others do tells whether it is the plan.
            (same_pages(), "old", "made", Some(1.0), Cause::NewPlan, "made"),
            (same_pages(), "old", "made", None, Cause::Unknown, ""),
            (from_disk.clone(), "old", "made", Some(1.0), Cause::ColdCache, ""),
            (more_rows.clone(), "old", "made", Some(1.0), Cause::MoreRows, ""),
            // Everybody is slower.
            (more_pages.clone(), "old", "made", Some(2.9), Cause::MoreLoad, ""),
            (more_pages.clone(), "gone", "other", None, Cause::LostIndex, "gone"),
            (same_pages(), "gone", "other", None, Cause::NewStatistics, ""),
            (more_pages.clone(), "old", "other", None, Cause::NewStatistics, ""),
            (more_pages.clone(), "old", "old", None, Cause::MorePages, ""),
            (from_disk, "old", "old", None, Cause::ColdCache, ""),
            (more_rows, "old", "old", None, Cause::MoreRows, ""),
            (same_pages(), "old", "old", Some(1.0), Cause::Unknown, ""),
        ] {
            let (found, names, sentence) = cause_of(since, &plan(was, ""), &plan(is, ""), load);
            assert_eq!(
                (found, names.join(" ")),
                (cause, because_of.to_owned()),
                "{was} {is} {load:?}: {sentence}"
            );
        }
        let (found, names, sentence) = cause_of(more_wal, &nothing, &plan("", "t"), None);
        assert_eq!((found, names.join(" ")), (Cause::Upkeep, "made".to_owned()), "{sentence}");
        // It writes, but neither more pages nor more WAL.
        let (found, ..) = cause_of(same_pages(), &nothing, &plan("", "t"), None);
        assert_eq!(found, Cause::Unknown);
    }

    #[test]
    fn what_could_not_be_planned_or_grew_is_not_blamed_on_anything() {
        let (before, since) = (before(), Figures { mean: Millis(9.0), buffers: 900.0, ..before() });
        let suspect = |plan_now, growth| Suspect {
            before: &before,
            since: &since,
            plan_before: None,
            plan_now,
            growth,
        };
        let changes = [change(AppliedKind::Created, "made", "made")];
        let slower = find(&suspect(None, 1.0), &changes, 1.2, Some(1.0));
        assert_eq!((slower.cause, slower.steps.len()), (Cause::Unknown, 0));
        assert!(slower.sentence.contains("would not plan it"));
        // 2 ms have become 9: a table of four times its size explains it, one of twice does not.
        let plan = plan("made", "");
        let grown = find(&suspect(Some(&plan), 4.0), &changes, 1.2, None);
        assert_eq!((grown.cause, grown.steps.len()), (Cause::TableGrew, 0), "{}", grown.sentence);
        let grown = find(&suspect(Some(&plan), 2.0), &changes, 1.2, None);
        assert_eq!((grown.cause, grown.steps.len()), (Cause::NewPlan, 1), "{}", grown.sentence);
    }
}
