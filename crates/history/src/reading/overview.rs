//! What became slower, since when, and what does it cost per hour?
//!
//! The time that a statement takes per hour is its calls per hour times its mean. The difference to another window is
//! split into what is due to longer executions (the difference of means, at the calls of now) and what is due to more
//! of them (the difference of calls, at the mean of before); the two add up to all of it.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::figures::{BucketRow, Sum};
use super::plans::StatementPlan;
use super::sources::{clamped, texts};
use super::statement::WaitsByStatement;
use super::{BUCKETS_OF_ALL, Error, Figures, Known, Reader, Spent, StatementKey};
use crate::latency::Latency;
use crate::level::{Level, Piece, Window, level_for, pieces};

/// A change of the mean below this share is none that a moment is looked for.
const CHANGED_BY: f64 = 0.1;

/// How statements changed from one window to another.
#[derive(Clone, Debug, Serialize)]
pub struct Overview {
    /// The window, as far as there is history.
    pub window: Window,
    /// Its watched seconds.
    pub seconds: f64,
    /// What it is compared with.
    pub reference: Window,
    /// Its watched seconds; 0 when there was nothing.
    pub reference_seconds: f64,
    /// In which buckets it was read.
    pub level: Level,
    /// How many statements there are in either.
    pub statements_total: usize,
    /// Seconds of execution per hour of all statements in the window.
    pub seconds_per_hour: f64,
    /// The same in the reference.
    pub reference_seconds_per_hour: f64,
    /// The statements, those with the largest change first.
    pub statements: Vec<StatementChange>,
}

/// How one statement changed.
#[derive(Clone, Debug, Serialize)]
pub struct StatementChange {
    /// The statement.
    #[serde(flatten)]
    pub key: StatementKey,
    /// Its text, where it is known.
    pub query: Option<String>,
    /// What it used in the window.
    pub now: Spent,
    /// What it used in the reference; nothing when it was not called.
    pub before: Option<Spent>,
    /// Seconds per hour lost to longer executions; negative when they became shorter. For a statement that was not
    /// called before there is no telling, and it is nothing.
    pub slower_seconds_per_hour: Option<f64>,
    /// Seconds per hour due to more calls; negative for fewer. All of it for a statement that was not called before.
    pub more_calls_seconds_per_hour: f64,
    /// Since when executions are longer or shorter, to a bucket.
    pub since: Option<DateTime<Utc>>,
    /// What it waits for, most first.
    pub waits: Vec<WaitChange>,
    /// The plans that it had in both windows, in order, and the one before; planned without values of parameters.
    pub plans: Vec<StatementPlan>,
}

/// How long a statement waits for something.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WaitChange {
    /// What for, as `Lock: transactionid`; `CPU` when for nothing.
    pub event: String,
    /// Session time in seconds per hour, by samples.
    pub seconds_per_hour: f64,
    /// The same in the reference.
    pub reference_seconds_per_hour: f64,
}

impl StatementChange {
    /// What it is ranked by: seconds per hour lost or gained by longer or shorter executions, or all of what a
    /// statement takes that is new.
    pub fn rank_seconds_per_hour(&self) -> f64 {
        self.slower_seconds_per_hour.unwrap_or(self.more_calls_seconds_per_hour).abs()
    }
}

/// A statement in both windows.
#[derive(Default)]
struct Both {
    ids: Vec<i32>,
    now: Figures,
    before: Figures,
}

impl Reader {
    /// How statements changed from `reference`, or else the window of the same length before, to `window`: at most
    /// `limit` of them, those first that lost or gained most.
    ///
    /// # Errors
    /// When the store cannot be asked, or holds no history.
    pub async fn overview(
        &self,
        window: Window,
        reference: Option<Window>,
        limit: usize,
    ) -> Result<Overview, Error> {
        let session = self.session().await?;
        let known = self.known(&session).await?;
        let asked = reference.unwrap_or_else(|| window.before());
        let window = clamped(window, &known.extents);
        let level = level_for(&window, BUCKETS_OF_ALL, &known.extents);
        let window = window.widened(level, &known.extents);
        let reference_level = level_for(&asked, BUCKETS_OF_ALL, &known.extents).max(level);
        let mut reference = clamped(asked, &known.extents).widened(reference_level, &known.extents);
        reference.to = reference.to.min(window.from).max(reference.from);
        let (here, there) =
            (pieces(&window, level, &known.extents), pieces(&reference, reference_level, &known.extents));
        let seconds: f64 = known.seconds(&session, &here, level).await?.values().sum();
        let reference_seconds: f64 = known.seconds(&session, &there, reference_level).await?.values().sum();
        let both = joined(known.sums(&session, &here).await?, known.sums(&session, &there).await?);
        let mut found: Vec<(StatementKey, Both, StatementChange)> = both
            .into_iter()
            .map(|(key, both)| {
                let change = change_of(&key, &both, seconds, reference_seconds);
                (key, both, change)
            })
            .collect();
        // What was only seen and never counted failed, or is under way: there is nothing to compare.
        found.retain(|(_, _, change)| change.now.figures.calls > 0.0 || change.before.is_some());
        let total = found.len();
        let sum = |part: fn(&StatementChange) -> f64| found.iter().map(|(_, _, c)| part(c)).sum::<f64>();
        let seconds_per_hour = sum(|c| c.now.seconds_per_hour);
        let reference_seconds_per_hour =
            sum(|c| c.before.as_ref().map_or(0.0, |before| before.seconds_per_hour));
        found.sort_by(|a, b| {
            let by_rank = b.2.rank_seconds_per_hour().total_cmp(&a.2.rank_seconds_per_hour());
            by_rank.then_with(|| a.0.cmp(&b.0))
        });
        found.truncate(limit);
        known
            .add_details(
                &session,
                &mut found,
                &here,
                &there,
                level.max(reference_level),
                (seconds, reference_seconds),
            )
            .await?;
        Ok(Overview {
            window,
            seconds,
            reference,
            reference_seconds,
            level,
            statements_total: total,
            seconds_per_hour,
            reference_seconds_per_hour,
            statements: found.into_iter().map(|(_, _, change)| change).collect(),
        })
    }
}

impl Known {
    /// Percentiles, texts and the moment of the change, for those that are shown.
    async fn add_details(
        &self,
        session: &postgres::Session,
        found: &mut [(StatementKey, Both, StatementChange)],
        here: &[Piece],
        there: &[Piece],
        level: Level,
        (seconds, reference_seconds): (f64, f64),
    ) -> Result<(), Error> {
        let ids: Vec<i32> = found.iter().flat_map(|(_, both, _)| both.ids.iter().copied()).collect();
        let queryids: Vec<i64> = found.iter().map(|(key, ..)| key.queryid).collect();
        let mut texts = texts(session, self.source_id, &queryids).await?;
        let begin = there.iter().chain(here).map(|piece| piece.window.from).min();
        let end = there.iter().chain(here).map(|piece| piece.window.to).max();
        let mut plans = match end {
            Some(end) => self.plans(session, &queryids, end).await?,
            None => BTreeMap::new(),
        };
        let waits = self.waits_by_statement(session, &ids, here).await?;
        let waits_before = self.waits_by_statement(session, &ids, there).await?;
        let now = by_statement(self.buckets(session, &ids, here).await?);
        let before = by_statement(self.buckets(session, &ids, there).await?);
        for (key, both, change) in found {
            let (now, before) = (latency_of(&both.ids, &now), (latency_of(&both.ids, &before)));
            change.query = texts.remove(&key.queryid).or_else(|| change.query.take());
            change.now = Spent::new(both.now, seconds, &now.0);
            change.waits = waits_of(&both.ids, (&waits, seconds), (&waits_before, reference_seconds));
            change.plans = plans.remove(key).unwrap_or_default();
            let older = change.plans.iter().filter(|plan| begin.is_some_and(|begin| plan.at < begin)).count();
            change.plans.drain(..older.saturating_sub(1));
            if change.before.is_some() {
                change.before = Some(Spent::new(both.before, reference_seconds, &before.0));
                change.since = moment(&before.1, &now.1, level);
            }
        }
        Ok(())
    }
}

fn joined(now: Vec<Sum>, before: Vec<Sum>) -> BTreeMap<StatementKey, Both> {
    let mut both: BTreeMap<StatementKey, Both> = BTreeMap::new();
    for sum in now {
        let entry = both.entry(sum.key).or_default();
        (entry.ids, entry.now) = (sum.ids, sum.figures);
    }
    for sum in before {
        let entry = both.entry(sum.key).or_default();
        entry.ids.extend(sum.ids);
        entry.ids.sort_unstable();
        entry.ids.dedup();
        entry.before = sum.figures;
    }
    both
}

fn change_of(key: &StatementKey, both: &Both, seconds: f64, reference_seconds: f64) -> StatementChange {
    let none = Latency::default();
    let now = Spent::new(both.now, seconds, &none);
    let before = (both.before.calls > 0.0).then(|| Spent::new(both.before, reference_seconds, &none));
    let (slower, more) = match (&before, before.as_ref().and_then(|b| b.mean_ms)) {
        (Some(before), Some(mean_before)) => {
            let slower = now.mean_ms.map_or(0.0, |mean| (mean - mean_before) / 1000.0 * now.calls_per_hour);
            (Some(slower), now.seconds_per_hour - before.seconds_per_hour - slower)
        }
        _ => (None, now.seconds_per_hour),
    };
    StatementChange {
        key: key.clone(),
        query: None,
        now,
        before,
        slower_seconds_per_hour: slower,
        more_calls_seconds_per_hour: more,
        since: None,
        waits: Vec::new(),
        plans: Vec::new(),
    }
}

/// What a statement waits for, by its parts and in both windows.
fn waits_of(
    ids: &[i32],
    (now, seconds): (&WaitsByStatement, f64),
    (before, reference_seconds): (&WaitsByStatement, f64),
) -> Vec<WaitChange> {
    let mut both: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
    for id in ids {
        for (event, waited) in now.get(id).into_iter().flatten() {
            both.entry(event).or_default().0 += waited;
        }
        for (event, waited) in before.get(id).into_iter().flatten() {
            both.entry(event).or_default().1 += waited;
        }
    }
    let per_hour = |waited: f64, seconds: f64| if seconds > 0.0 { waited * 3600.0 / seconds } else { 0.0 };
    let mut waits: Vec<WaitChange> = both
        .into_iter()
        .map(|(event, (now, before))| WaitChange {
            event: event.to_owned(),
            seconds_per_hour: per_hour(now, seconds),
            reference_seconds_per_hour: per_hour(before, reference_seconds),
        })
        .collect();
    waits.sort_by(|a, b| {
        b.seconds_per_hour.total_cmp(&a.seconds_per_hour).then_with(|| a.event.cmp(&b.event))
    });
    waits
}

type ByStatement = HashMap<i32, Vec<BucketRow>>;

fn by_statement(rows: Vec<BucketRow>) -> ByStatement {
    let mut found = ByStatement::new();
    for row in rows {
        found.entry(row.statement_id).or_default().push(row);
    }
    found
}

/// The executions of all parts of a statement, and its calls and time by bucket.
fn latency_of(ids: &[i32], rows: &ByStatement) -> (Latency, BTreeMap<DateTime<Utc>, Figures>) {
    let (mut latency, mut buckets) = (Latency::default(), BTreeMap::new());
    for row in ids.iter().filter_map(|id| rows.get(id)).flatten() {
        latency.merge(&row.latency);
        buckets.entry(row.at).or_insert_with(Figures::default).add(&row.figures);
    }
    (latency, buckets)
}

/// When the mean changed: the bucket before which and from which means differ most, weighted by calls. Nothing when it
/// hardly changed from one window to the other.
fn moment(
    before: &BTreeMap<DateTime<Utc>, Figures>,
    now: &BTreeMap<DateTime<Utc>, Figures>,
    level: Level,
) -> Option<DateTime<Utc>> {
    let mean = |buckets: &BTreeMap<DateTime<Utc>, Figures>| {
        let (calls, ms) = buckets.values().fold((0.0, 0.0), |(c, m), f| (c + f.calls, m + f.exec_ms));
        (calls > 0.0).then(|| ms / calls)
    };
    let (was, is) = (mean(before)?, mean(now)?);
    if (is - was).abs() < CHANGED_BY * was {
        return None;
    }
    let mut all: BTreeMap<DateTime<Utc>, (f64, f64)> = BTreeMap::new();
    for (at, figures) in before.iter().chain(now) {
        let entry = all.entry(level.floor(*at)).or_default();
        (entry.0, entry.1) = (entry.0 + figures.calls, entry.1 + figures.exec_ms);
    }
    let (calls, ms) = all.values().fold((0.0, 0.0), |(c, m), (calls, ms)| (c + calls, m + ms));
    let (mut calls_so_far, mut ms_so_far, mut best) = (0.0, 0.0, (0.0, None));
    for (at, (here_calls, here_ms)) in &all {
        let (calls_after, ms_after) = (calls - calls_so_far, ms - ms_so_far);
        if calls_so_far > 0.0 && calls_after > 0.0 {
            let distance = ms_after / calls_after - ms_so_far / calls_so_far;
            let between = distance * distance * calls_so_far * calls_after;
            // In the same direction as the windows, or it explains nothing.
            if (distance > 0.0) == (is > was) && between > best.0 {
                best = (between, Some(*at));
            }
        }
        calls_so_far += here_calls;
        ms_so_far += here_ms;
    }
    best.1
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    fn figures(calls: f64, mean_ms: f64) -> Figures {
        Figures { calls, exec_ms: calls * mean_ms, ..Figures::default() }
    }

    #[test]
    fn what_is_lost_to_longer_executions_and_to_more_of_them_is_all_of_it() {
        let key = StatementKey { datname: "shop".into(), queryid: 1 };
        let both = Both { ids: vec![1], now: figures(200.0, 30.0), before: figures(100.0, 10.0) };
        let change = change_of(&key, &both, 3600.0, 3600.0);
        // 200 calls, each 20 ms longer; 100 calls more, at 10 ms.
        assert!((change.slower_seconds_per_hour.unwrap() - 4.0).abs() < 1e-9);
        assert!((change.more_calls_seconds_per_hour - 1.0).abs() < 1e-9);
        // A new statement has no before, and one that is gone costs nothing now.
        let new = change_of(&key, &Both { before: Figures::default(), ..both }, 3600.0, 3600.0);
        assert_eq!((new.slower_seconds_per_hour, new.more_calls_seconds_per_hour), (None, 6.0));
        let gone = Both { ids: vec![1], now: Figures::default(), before: figures(100.0, 10.0) };
        let gone = change_of(&key, &gone, 3600.0, 3600.0);
        assert_eq!((gone.slower_seconds_per_hour, gone.more_calls_seconds_per_hour), (Some(0.0), -1.0));
    }

    #[test]
    fn the_moment_of_a_change_is_found_within_either_window() {
        let begin: DateTime<Utc> = "2026-01-01T00:00:00Z".parse().unwrap();
        let hour = |n: i64| begin + TimeDelta::hours(n);
        let slow_from = |from: i64| {
            let at = |n: i64| figures(100.0, if n >= from { 25.0 } else { 10.0 + (n % 3) as f64 });
            let before = (0..24).map(|n| (hour(n), at(n))).collect();
            let now = (24..48).map(|n| (hour(n), at(n))).collect();
            moment(&before, &now, Level::Hour)
        };
        assert_eq!(slow_from(30), Some(hour(30)));
        assert_eq!(slow_from(20), Some(hour(20)));
        assert_eq!(slow_from(24), Some(hour(24)));
        assert_eq!(slow_from(100), None);
    }
}
