//! What would help the statements that got slower most? Computed ahead of who asks, so that the overview has it.
//!
//! While history is kept it is looked every minute which statements of the database got slower most. For those of them of
//! which nothing is known yet, or that changed since, advice is computed: a handful at a time, not more often than
//! `--fixes` says, for no longer than a few minutes, one server of a fleet after the other. What fails is tried again after
//! pauses that double.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use apply::Status;
use chrono::{DateTime, TimeDelta, Utc};
use exporter::exposition::{Kind, label, number, sample};
use exporter::{Beside, Chunk};
use history::{Overview, StatementChange};
use model::Recommendation;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::pages::changed::{self, Compared};
use crate::workshop::Advised;
use crate::{Failure, Site};

/// Statements of a pass.
pub(crate) const WORST: usize = 5;
/// How often it is looked what got slower.
const LOOK: Duration = Duration::from_secs(60);
/// How long a pass may take.
const PASS: Duration = Duration::from_secs(180);
/// A statement that loses less than this, in seconds per hour, is left alone.
const LOST: f64 = 0.05;
/// Executions that much longer or shorter than when its fix was computed are a change.
const OTHER_MEAN: f64 = 1.5;
/// Of so many statements what was computed is kept.
const KEPT: usize = 100;
/// The longest pause after failures.
const LONGEST_PAUSE: TimeDelta = TimeDelta::hours(24);

/// Servers of a fleet take turns: each pass runs a planner of its own.
static TURN: Semaphore = Semaphore::const_new(1);

/// What is told of it.
pub const METRICS: &[(&str, Kind, &str)] = &[
    (
        "pgwright_fix_passes_total",
        Kind::Counter,
        "Passes that computed what would help statements that got slower, by how they ended",
    ),
    ("pgwright_fix_seconds_total", Kind::Counter, "Time that these passes took"),
    ("pgwright_fix_statements", Kind::Gauge, "Statements that got slower, by what is known of their fix"),
    (
        "pgwright_fix_last_success_timestamp_seconds",
        Kind::Gauge,
        "When what would help statements that got slower was computed last",
    ),
];

/// A statement that got slower, and what has to be other before its fix is computed again.
#[derive(Clone, Debug, PartialEq)]
struct Slower {
    queryid: i64,
    mean_ms: f64,
    /// The plan that was seen last.
    shape: Option<String>,
}

impl Slower {
    fn of(change: &StatementChange) -> Self {
        Self {
            queryid: change.key.queryid,
            mean_ms: change.now.mean_ms.unwrap_or(0.0),
            shape: change.plans.last().map(|plan| plan.shape_hash.clone()),
        }
    }

    /// Whether it is no more what it was.
    fn differs(&self, earlier: &Self) -> bool {
        let times = self.mean_ms.max(f64::MIN_POSITIVE) / earlier.mean_ms.max(f64::MIN_POSITIVE);
        // A plan that was not seen before may have been the plan all the time.
        let replanned = self.shape.is_some() && earlier.shape.is_some() && self.shape != earlier.shape;
        replanned || !(1.0 / OTHER_MEAN..=OTHER_MEAN).contains(&times)
    }
}

/// What is known of the fix of a statement.
#[derive(Clone, Debug)]
struct Known {
    of: Slower,
    at: DateTime<Utc>,
    outcome: Result<Advised, String>,
    /// How often in a row it failed.
    failures: u32,
}

impl Known {
    /// Whether it has to be computed again.
    fn is_stale(
        &self,
        of: &Slower,
        every: Duration,
        changed_at: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> bool {
        if self.outcome.is_err() {
            let every = TimeDelta::from_std(every).unwrap_or(LONGEST_PAUSE);
            let pause = every * 2_i32.saturating_pow(self.failures.min(16));
            return now - self.at >= pause.min(LONGEST_PAUSE);
        }
        of.differs(&self.of) || changed_at.is_some_and(|at| at > self.at)
    }
}

#[derive(Debug, Default)]
struct State {
    known: BTreeMap<i64, Known>,
    /// The worst at the last look.
    worst: Vec<i64>,
    succeeded: u64,
    failed: u64,
    seconds: f64,
    last_success: Option<DateTime<Utc>>,
}

/// The fixes of one server.
#[derive(Debug)]
pub(crate) struct Fixes {
    every: Option<Duration>,
    state: Mutex<State>,
}

/// What a page says of the fix of a statement.
#[derive(Clone, Debug)]
pub(crate) enum Told {
    /// This helps it.
    Found(Vec<Recommendation>),
    /// Nothing does.
    Nothing(DateTime<Utc>),
    /// It could not be computed, and why.
    Failed(String),
    /// It is being computed, or its turn comes.
    Awaited,
    /// Nobody asked for it.
    Unasked,
}

impl Fixes {
    pub fn new(every: Option<Duration>) -> Self {
        Self { every, state: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of a statement of the database.
    pub fn of(&self, queryid: i64) -> Told {
        let state = self.lock();
        match state.known.get(&queryid).map(|known| (&known.outcome, known.at)) {
            Some((Ok(advised), at)) if advised.recommendations.is_empty() => Told::Nothing(at),
            Some((Ok(advised), _)) => Told::Found(advised.recommendations.clone()),
            Some((Err(reason), _)) => Told::Failed(reason.clone()),
            None if self.every.is_some() && state.worst.contains(&queryid) => Told::Awaited,
            None => Told::Unasked,
        }
    }

    /// Everything that was found, as advice; nothing where nothing was.
    pub fn advised(&self) -> Option<Advised> {
        let state = self.lock();
        let all = state.known.values().filter_map(|known| known.outcome.as_ref().ok());
        let mut all = all.filter(|advised| !advised.recommendations.is_empty());
        let mut merged = all.next()?.clone();
        for more in all {
            merged.add(more);
        }
        Some(merged)
    }

    /// Those that have to be computed; `changed_at` is when pgwright changed something last.
    fn due(&self, worst: &[Slower], changed_at: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Vec<Slower> {
        let every = self.every.unwrap_or(LOOK);
        let mut state = self.lock();
        state.worst = worst.iter().map(|slower| slower.queryid).collect();
        let stale = |slower: &&Slower| {
            state
                .known
                .get(&slower.queryid)
                .is_none_or(|known| known.is_stale(slower, every, changed_at, now))
        };
        worst.iter().filter(stale).cloned().collect()
    }

    fn end(&self, of: Vec<Slower>, outcome: Result<Advised, Failure>, took: Duration, now: DateTime<Utc>) {
        let mut state = self.lock();
        state.seconds += took.as_secs_f64();
        match &outcome {
            Ok(_) => (state.succeeded, state.last_success) = (state.succeeded + 1, Some(now)),
            Err(_) => state.failed += 1,
        }
        for slower in of {
            let failures = state.known.get(&slower.queryid).map_or(0, |known| known.failures);
            let (outcome, failures) = match &outcome {
                Ok(advised) => (Ok(advised.for_statement(slower.queryid)), 0),
                Err(failure) => {
                    let detail = failure.detail.as_deref().unwrap_or_default();
                    (Err(format!("{}. {detail}", failure.message).trim_end().to_owned()), failures + 1)
                }
            };
            state.known.insert(slower.queryid, Known { of: slower, at: now, outcome, failures });
        }
        while state.known.len() > KEPT {
            let oldest = state.known.iter().min_by_key(|(_, known)| known.at).map(|(queryid, _)| *queryid);
            oldest.and_then(|queryid| state.known.remove(&queryid));
        }
    }

    fn chunks(&self) -> Vec<Chunk> {
        let state = self.lock();
        let mut texts: Vec<String> = vec![String::new(); METRICS.len()];
        let mut put = |at: usize, labels: &[(&str, &str)], value: f64| {
            let mut block = String::new();
            labels.iter().for_each(|(name, value)| label(name, value, &mut block));
            sample(METRICS[at].0, &block, &number(value), &mut texts[at]);
        };
        put(0, &[("result", "succeeded")], state.succeeded as f64);
        put(0, &[("result", "failed")], state.failed as f64);
        put(1, &[], state.seconds);
        let count =
            |which: fn(&Known) -> bool| state.known.values().filter(|known| which(known)).count() as f64;
        let helps =
            |known: &Known| known.outcome.as_ref().is_ok_and(|advised| !advised.recommendations.is_empty());
        put(2, &[("fix", "found")], count(helps));
        put(
            2,
            &[("fix", "none")],
            count(|known| known.outcome.as_ref().is_ok_and(|advised| advised.recommendations.is_empty())),
        );
        put(2, &[("fix", "failed")], count(|known| known.outcome.is_err()));
        let awaited = state.worst.iter().filter(|queryid| !state.known.contains_key(queryid)).count();
        put(2, &[("fix", "awaited")], awaited as f64);
        if let Some(at) = state.last_success {
            put(3, &[], at.timestamp_millis() as f64 / 1000.0);
        }
        METRICS
            .iter()
            .zip(texts)
            .map(|((name, kind, help), text)| Chunk::new(*name, *kind, *help, text))
            .collect()
    }
}

/// The statements of a database that got slower most, or that are new and take time.
fn worst(overview: &Overview, datname: &str) -> Vec<Slower> {
    let loses = |change: &&StatementChange| {
        overview.reference_seconds > 0.0
            && change.key.datname == datname
            && change.key.queryid != 0
            && change.query.is_some()
            && change.now.figures.calls > 0.0
            && change.slower_seconds_per_hour.unwrap_or(change.more_calls_seconds_per_hour) >= LOST
    };
    overview.statements.iter().filter(loses).take(WORST).map(Slower::of).collect()
}

/// Looks and computes until the site ends.
pub(crate) async fn keep_up(site: Arc<Site>) {
    let Some(every) = site.fixes.every else { return };
    let mut stop = site.stop.clone();
    tokio::select! {
        () = again_and_again(&site, every) => {}
        _ = stop.wait_for(|stop| *stop) => {}
    }
}

async fn again_and_again(site: &Site, every: Duration) {
    let look = LOOK.min(every);
    loop {
        let keep = look.max(every) * 3 + PASS;
        site.app.exporter.put_up(Beside::Fixes, site.fixes.chunks(), keep);
        tokio::time::sleep(look).await;
        let due = due(site).await;
        site.app.exporter.put_up(Beside::Fixes, site.fixes.chunks(), keep);
        if due.is_empty() {
            continue;
        }
        // The semaphore is never closed.
        let turn = TURN.acquire().await;
        let began = Instant::now();
        let queryids = due.iter().map(|slower| slower.queryid).collect();
        let pass = site.app.workshop.advise_on(queryids, PASS);
        // A task of its own, so that a panic ends the pass only.
        let outcome = tokio::spawn(pass).await.unwrap_or_else(|error| {
            Err(Failure::new("the computation ended unexpectedly").detail(error.to_string()))
        });
        drop(turn);
        site.fixes.end(due, outcome, began.elapsed(), Utc::now());
        site.app.exporter.put_up(Beside::Fixes, site.fixes.chunks(), keep);
        tokio::time::sleep(every.saturating_sub(look)).await;
    }
}

/// What got slower of which nothing is known. Where history cannot be read nothing is, and the pages say so.
async fn due(site: &Site) -> Vec<Slower> {
    let Ok(Some(Compared { overview, .. })) = changed::usual(site).await else { return Vec::new() };
    let worst = worst(&overview, site.app.exporter.options().target.database());
    if worst.is_empty() {
        return site.fixes.due(&worst, None, Utc::now());
    }
    let journal = apply::journal(&site.app.exporter.options().target).await.unwrap_or_default();
    let changes =
        |entry: &&apply::JournalEntry| entry.forward_steps().any(|step| step.status == Status::Done);
    let changed_at = journal.iter().filter(changes).map(|entry| entry.created_at).max();
    site.fixes.due(&worst, changed_at, Utc::now())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slower(queryid: i64, mean_ms: f64, shape: Option<&str>) -> Slower {
        Slower { queryid, mean_ms, shape: shape.map(str::to_owned) }
    }

    fn nothing(at: DateTime<Utc>) -> Advised {
        Advised { advised_at: at, recommendations: Vec::new(), findings: Vec::new(), notes: Vec::new() }
    }

    #[test]
    fn a_statement_is_computed_again_only_when_something_changed() {
        let every = Duration::from_secs(900);
        let fixes = Fixes::new(Some(every));
        let now: DateTime<Utc> = "2026-01-10T00:00:00Z".parse().unwrap();
        let later = now + TimeDelta::days(30);
        let first = [slower(1, 10.0, Some("a")), slower(2, 5.0, None)];
        assert_eq!(fixes.due(&first, None, now), first);
        assert!(matches!(fixes.of(1), Told::Awaited) && matches!(fixes.of(3), Told::Unasked));
        fixes.end(first.to_vec(), Ok(nothing(now)), Duration::from_secs(1), now);
        assert!(matches!(fixes.of(1), Told::Nothing(_)));
        assert_eq!(fixes.due(&first, Some(now), later), []);
        // The mean wobbles, and a plan is seen that was not seen before.
        assert_eq!(fixes.due(&[slower(1, 14.0, Some("a")), slower(2, 5.0, Some("b"))], None, later), []);
        for changed in [slower(1, 16.0, Some("a")), slower(1, 6.0, Some("a")), slower(1, 10.0, Some("b"))] {
            assert_eq!(fixes.due(std::slice::from_ref(&changed), None, later), [changed]);
        }
        // Something was changed in the database.
        assert_eq!(fixes.due(&first, Some(now + TimeDelta::seconds(1)), later).len(), 2);
    }

    #[test]
    fn what_fails_is_tried_again_after_pauses_that_double() {
        let fixes = Fixes::new(Some(Duration::from_secs(600)));
        let now: DateTime<Utc> = "2026-01-10T00:00:00Z".parse().unwrap();
        let one = [slower(1, 10.0, None)];
        let fail = |at| {
            let failure = Failure::new("no server programs were found").detail("None.");
            fixes.end(one.to_vec(), Err(failure), Duration::ZERO, at);
        };
        fail(now);
        assert!(
            matches!(fixes.of(1), Told::Failed(reason) if reason == "no server programs were found. None.")
        );
        let due = |minutes| !fixes.due(&one, None, now + TimeDelta::minutes(minutes)).is_empty();
        assert_eq!((due(19), due(20)), (false, true));
        fail(now);
        assert_eq!((due(39), due(40)), (false, true));
        (0..40).for_each(|_| fail(now));
        assert_eq!((due(24 * 60 - 1), due(24 * 60)), (false, true));
        let texts: String = fixes.chunks().iter().map(|chunk| chunk.text.clone()).collect();
        assert!(texts.contains("pgwright_fix_passes_total{result=\"failed\"} 42"), "{texts}");
        assert!(texts.contains("pgwright_fix_statements{fix=\"failed\"} 1"), "{texts}");
    }

    #[test]
    fn of_how_many_statements_something_is_kept_is_bounded() {
        let fixes = Fixes::new(None);
        let now = Utc::now();
        for number in 0..(KEPT as i64 + 20) {
            let at = now + TimeDelta::seconds(number);
            fixes.end(vec![slower(number, 1.0, None)], Ok(nothing(at)), Duration::ZERO, at);
        }
        assert_eq!(fixes.lock().known.len(), KEPT);
        assert!(matches!(fixes.of(0), Told::Unasked) && matches!(fixes.of(KEPT as i64), Told::Nothing(_)));
    }
}
