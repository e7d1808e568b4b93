//! What becomes of readings while the store is there, and while it is away? They become intervals, which wait in memory
//! for the store, within a bound: beyond it neighbours are joined, so that less is known of when, and nothing is lost.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use history::{Interval, Reading, Recorder, Resume, Status};
use postgres::Target;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, sleep, timeout};

use super::{HistoryOptions, HistoryWriter};
use crate::error::Error;

/// The first pause after the store failed, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// How long an interval may take to be written before its session is given up.
const WRITING: Duration = Duration::from_secs(90);
/// After this time it is told that the store takes long.
const SLOW: Duration = Duration::from_secs(5);
/// The same as [`WRITING`] for one before which all that was kept by a clock that was ahead is moved.
const MOVING: Duration = Duration::from_secs(1800);
/// How long is written on when it is to end.
const ENDING: Duration = Duration::from_secs(5);
/// How often it is looked for what is too old.
const RETIRING: Duration = Duration::from_secs(3600);

/// What the two halves share: one takes readings, the other writes.
struct Shared {
    state: Mutex<State>,
    news: Notify,
    waiting: usize,
    status: Arc<Status>,
}

struct State {
    recorder: Recorder,
    waiting: VecDeque<Interval>,
    ended: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts an interval behind those that wait, or before them.
    fn put(&self, interval: Interval, first: bool) {
        let mut state = self.lock();
        if first {
            state.waiting.push_front(interval);
        } else {
            state.waiting.push_back(interval);
        }
        let mut joined = 0;
        while state.waiting.len() > self.waiting.max(2) && join_shortest(&mut state.waiting) {
            joined += 1;
        }
        let waiting = state.waiting.len();
        drop(state);
        self.status.change(|kept| {
            kept.waiting = waiting;
            kept.joined += joined;
        });
        self.news.notify_one();
    }
}

/// Joins the two neighbours that are shortest together, the earlier where several are; whether there were any.
fn join_shortest(waiting: &mut VecDeque<Interval>) -> bool {
    let length = |at: usize| waiting[at].seconds + waiting[at + 1].seconds;
    let at = (0..waiting.len().saturating_sub(1))
        // Before such a one the store moves all that it has, which ends with its neighbour.
        .filter(|at| waiting[at + 1].set_back.is_none())
        .min_by(|a, b| length(*a).total_cmp(&length(*b)));
    if let Some(at) = at
        && let Some(next) = waiting.remove(at + 1)
        && let Some(here) = waiting.get_mut(at)
    {
        here.append(next);
        return true;
    }
    false
}

/// Keeps the history of one server until `stop` becomes true: takes readings, and writes intervals. A store that is
/// away is tried again and again; how that is going is in `status`. Beside the store may stand what opening it gave.
pub async fn keep(
    (store, opened): (Target, Option<(HistoryWriter, Resume)>),
    options: HistoryOptions,
    mut readings: mpsc::Receiver<Reading>,
    status: Arc<Status>,
    mut stop: watch::Receiver<bool>,
) {
    let shared = Shared {
        state: Mutex::new(State {
            recorder: Recorder::new(options.limits),
            waiting: VecDeque::new(),
            ended: false,
        }),
        news: Notify::new(),
        waiting: options.waiting,
        status,
    };
    let taking = async {
        loop {
            let reading = tokio::select! {
                reading = readings.recv() => reading,
                // Who asked is gone: the same as being told.
                _ = stop.wait_for(|stop| *stop) => None,
            };
            let Some(reading) = reading else { break };
            let interval = shared.lock().recorder.take(reading);
            if let Some(interval) = interval {
                shared.put(interval, false);
            }
        }
        shared.lock().ended = true;
        shared.news.notify_one();
    };
    tokio::join!(taking, write(&shared, &store, &options, opened));
}

async fn write(
    shared: &Shared,
    store: &Target,
    options: &HistoryOptions,
    opened: Option<(HistoryWriter, Resume)>,
) {
    let mut pause = PAUSES.0;
    // What was last seen to be kept; nothing before the store was opened for the first time.
    let mut until: Option<Option<DateTime<Utc>>> = None;
    let mut writer = opened.map(|opened| begin(shared, opened, &mut until));
    let mut retired: Option<Instant> = None;
    let mut deadline: Option<Instant> = None;
    loop {
        let (ended, idle) = {
            let state = shared.lock();
            (state.ended, state.waiting.is_empty())
        };
        if ended {
            let deadline = *deadline.get_or_insert_with(|| Instant::now() + ENDING);
            if (idle && (writer.is_some() || until.is_some())) || Instant::now() >= deadline {
                return;
            }
        } else if idle && writer.is_some() {
            shared.news.notified().await;
            continue;
        }
        let done = match writer.as_mut() {
            None => open(shared, store, options, &mut until).await.map(|opened| writer = Some(opened)),
            Some(writer) => {
                let stored = store_one(shared, writer).await;
                until = Some(writer.until());
                match stored {
                    Ok(()) if shared.lock().waiting.is_empty() => upkeep(shared, writer, &mut retired).await,
                    other => other,
                }
            }
        };
        match done {
            Ok(()) => pause = PAUSES.0,
            Err(error) => {
                // A session in which something failed is not trusted with more.
                writer = None;
                let reason = match error.detail() {
                    Some(detail) => format!("{error}: {detail}"),
                    None => error.to_string(),
                };
                shared.status.change(|kept| {
                    kept.up = false;
                    kept.failures += 1;
                    kept.reason = Some(reason);
                });
                let limit =
                    deadline.map_or(pause, |d| pause.min(d.saturating_duration_since(Instant::now())));
                tokio::select! {
                    () = sleep(limit) => {}
                    () = ending(shared) => {}
                }
                pause = (pause * 2).min(PAUSES.1);
            }
        }
    }
}

/// Waits until it is to end; for ever when it is ending already.
async fn ending(shared: &Shared) {
    if shared.lock().ended {
        std::future::pending::<()>().await;
    }
    loop {
        shared.news.notified().await;
        if shared.lock().ended {
            return;
        }
    }
}

/// Gives the store so much time; long before that is over, it is told that it takes long.
async fn within<T>(
    shared: &Shared,
    limit: Duration,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let mut work = std::pin::pin!(work);
    if let Ok(done) = timeout(SLOW, &mut work).await {
        return done;
    }
    let slow = Error::HistorySlow { seconds: SLOW.as_secs() }.to_string();
    shared.status.change(|kept| (kept.up, kept.reason) = (false, Some(slow)));
    match timeout(limit.saturating_sub(SLOW), work).await {
        Ok(done) => {
            if done.is_ok() {
                shared.status.change(|kept| (kept.up, kept.reason) = (true, None));
            }
            done
        }
        Err(_) => Err(Error::HistorySlow { seconds: limit.as_secs() }),
    }
}

async fn open(
    shared: &Shared,
    store: &Target,
    options: &HistoryOptions,
    until: &mut Option<Option<DateTime<Utc>>>,
) -> Result<HistoryWriter, Error> {
    Ok(begin(shared, within(shared, WRITING, HistoryWriter::open(store, options.clone())).await?, until))
}

/// Goes on from where the store says that an earlier process left off, or this one.
fn begin(
    shared: &Shared,
    (writer, resume): (HistoryWriter, Resume),
    until: &mut Option<Option<DateTime<Utc>>>,
) -> HistoryWriter {
    match until {
        None => {
            let bridge = shared.lock().recorder.resume(resume);
            if let Some(bridge) = bridge {
                shared.put(bridge, true);
            }
        }
        Some(known) => drop_overlapping(shared, *known, &resume),
    }
    *until = Some(writer.until());
    writer
}

/// When another process has written meanwhile, what overlaps with that was counted by it.
fn drop_overlapping(shared: &Shared, known: Option<DateTime<Utc>>, resume: &Resume) {
    let Some(there) = resume.until.filter(|there| Some(*there) != known) else { return };
    let mut state = shared.lock();
    // It is this process' own when the answer to a commit was lost.
    if !state.waiting.iter().any(|interval| interval.to == there) {
        state.waiting.retain(|interval| interval.from >= there);
    }
}

/// Writes the first interval that waits.
async fn store_one(shared: &Shared, writer: &mut HistoryWriter) -> Result<(), Error> {
    let Some(interval) = shared.lock().waiting.pop_front() else { return Ok(()) };
    let began = Instant::now();
    let (rows, partitions) = (writer.rows_written, writer.partitions_made);
    let limit = if interval.set_back.is_some() { MOVING } else { WRITING };
    match within(shared, limit, writer.store(&interval)).await {
        Ok(()) => {
            let waiting = shared.lock().waiting.len();
            shared.status.change(|kept| {
                (kept.up, kept.reason, kept.waiting) = (true, None, waiting);
                kept.intervals += 1;
                kept.rows += writer.rows_written - rows;
                kept.partitions_made += writer.partitions_made - partitions;
                kept.seconds = began.elapsed().as_secs_f64();
                kept.until = Some(interval.to);
            });
            Ok(())
        }
        Err(error) => {
            shared.put(interval, true);
            Err(error)
        }
    }
}

/// Rolls up what is complete, and drops what is too old.
async fn upkeep(
    shared: &Shared,
    writer: &mut HistoryWriter,
    retired: &mut Option<Instant>,
) -> Result<(), Error> {
    let (rows, partitions) = (writer.rows_written, writer.partitions_made);
    let (made, all) = within(shared, WRITING, writer.roll_up()).await?;
    let mut dropped = 0;
    if all && retired.is_none_or(|at| at.elapsed() >= RETIRING) {
        dropped = within(shared, WRITING, writer.retire()).await?;
        *retired = Some(Instant::now());
    }
    shared.status.change(|kept| {
        kept.rolled_up += made;
        kept.rows += writer.rows_written - rows;
        kept.partitions_made += writer.partitions_made - partitions;
        kept.partitions_dropped += dropped;
    });
    Ok(())
}
