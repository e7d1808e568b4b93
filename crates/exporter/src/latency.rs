//! Who does what, ten times a second? A session of its own looks at `pg_stat_activity`, so that no collector delays it.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::DateTime;
use postgres::Target;
use postgres::catalog::{SessionSample, SessionState};
use postgres::looking::{Looker, Ticks};
use sampling::{Activity, Observed, Sample, Sampler, UserStatement};
use tokio::sync::{oneshot, watch as signal};

use crate::board::{Chunk, NativeHistogram};
use crate::exposition::{Kind, label, number, sample as write_sample};
use crate::fusion::{BOUNDS, Latencies};
use crate::watch::{Backoff, Shared, stopped};

/// What samples become.
pub(crate) const METRICS: &[(&str, Kind, &str)] = &[
    (
        LATENCY,
        Kind::Histogram,
        "How long executions of the statement took, the commit included, since pgwright began",
    ),
    (
        USER_LATENCY,
        Kind::Histogram,
        "How long executions of all statements of the user took, the commit included, since pgwright began",
    ),
    (ACTIVE, Kind::Counter, "Session time in which the statement ran, by samples"),
    (
        WAITS,
        Kind::Counter,
        "Session time of active sessions by what they waited for, by samples; CPU for nothing",
    ),
];
const LATENCY: &str = "postgres_statement_latency_seconds";
const USER_LATENCY: &str = "postgres_user_latency_seconds";
const ACTIVE: &str = "postgres_statement_active_seconds_total";
const WAITS: &str = "postgres_wait_seconds_total";

/// What was seen and not yet taken.
#[derive(Debug)]
pub(crate) struct Watching {
    interval: Duration,
    sampler: Sampler,
    counted_looks: (u64, u64),
    /// Looks since pgwright began.
    looks: u64,
    /// Samples of active sessions by database and by what they waited for, since pgwright began.
    waits: BTreeMap<(u32, String, String), u64>,
}

/// A server that does not answer a look within this time hangs: collectors would find out much later.
const ANSWERED_WITHIN: Duration = Duration::from_secs(5);

/// How long the thread that looks may take to end.
const ENDING: Duration = Duration::from_millis(500);

/// Shared by the thread that looks and the collector that takes.
pub(crate) type SharedWatching = Option<Arc<Mutex<Watching>>>;

pub(crate) fn shared(every: Option<Duration>) -> SharedWatching {
    every.map(|every| {
        Arc::new(Mutex::new(Watching {
            interval: every,
            sampler: new_sampler(every),
            counted_looks: (0, 0),
            looks: 0,
            waits: BTreeMap::new(),
        }))
    })
}

fn new_sampler(every: Duration) -> Sampler {
    Sampler::new(i64::try_from(every.as_micros()).unwrap_or(i64::MAX))
}

fn lock(watching: &Mutex<Watching>) -> MutexGuard<'_, Watching> {
    watching.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Looks at sessions until `stop`; a server that is away is tried again and again.
pub(crate) async fn sample(shared: Shared, target: Target, mut stop: signal::Receiver<bool>) {
    let Some(watching) = shared.sampler.clone() else { return };
    let (end, mut ended) = oneshot::channel::<()>();
    let stopping = stop.clone();
    let looking = std::thread::Builder::new().name("sessions".into()).spawn(move || {
        // It is told by being dropped.
        let _end = end;
        let mut backoff = Backoff::default();
        while !*stopping.borrow() {
            let limit = shared.options.timeout.min(ANSWERED_WITHIN);
            if let Ok(looker) = Looker::connect(&target, &shared.options.session, limit) {
                let connected = Instant::now();
                if let Err(error) = look_again_and_again(&looker, &shared, &watching, &stopping)
                    && matches!(error, postgres::Error::Timeout { .. })
                {
                    shared.health.lost(target.database(), error.to_string());
                }
                backoff.ended_after(connected.elapsed());
            }
            // Whom it saw before is gone: a process of that number may be another.
            let every = lock(&watching).interval;
            let seen = std::mem::replace(&mut lock(&watching).sampler, new_sampler(every));
            lock(&watching).sampler.statements = seen.statements;
            lock(&watching).counted_looks = (0, 0);
            let mut pause = Ticks::new(backoff.next());
            let _ = pause.wait(|| false) && pause.wait(|| *stopping.borrow());
        }
    });
    if looking.is_err() {
        return;
    }
    tokio::select! {
        _ = &mut ended => {}
        () = stopped(&mut stop) => {
            // A server that does not answer holds up nobody.
            let _ = tokio::time::timeout(ENDING, &mut ended).await;
        }
    }
}

fn look_again_and_again(
    looker: &Looker,
    shared: &Shared,
    watching: &Mutex<Watching>,
    stopping: &signal::Receiver<bool>,
) -> Result<(), postgres::Error> {
    let mut ticks = Ticks::new(lock(watching).interval);
    let mut goes_on = ticks.wait(|| *stopping.borrow());
    while goes_on {
        let quiet = lock(watching).sampler.quiet_before_us().and_then(DateTime::from_timestamp_micros);
        let looked = if ticks.are_short() {
            looker.look_over(quiet, || goes_on = ticks.wait(|| *stopping.borrow()))
        } else {
            looker.look(quiet)
        };
        let seen = looked?;
        let mut watching = lock(watching);
        let now = seen.now.timestamp_micros();
        let mut samples = Vec::with_capacity(seen.sessions.len());
        for session in seen.sessions {
            if session.state == SessionState::Active {
                let (kind, event) =
                    session.wait.as_deref().and_then(|wait| wait.split_once(": ")).unwrap_or(("CPU", "CPU"));
                let wait = (session.datid, kind.to_owned(), event.to_owned());
                *watching.waits.entry(wait).or_default() += 1;
            }
            samples.extend(sample_of(session));
        }
        watching.sampler.look(now, &samples);
        let (looks, late) = (watching.sampler.looks, watching.sampler.late_looks);
        let (looks_before, late_before) = std::mem::replace(&mut watching.counted_looks, (looks, late));
        watching.looks += looks - looks_before;
        shared.health.looked(looks - looks_before, late - late_before);
        drop(watching);
        if !ticks.are_short() {
            goes_on = ticks.wait(|| *stopping.borrow());
        }
    }
    Ok(())
}

/// What a look has shown of a session, as percentiles are made of it; `None` for what has no statement, as an aborted
/// transaction: its last one failed, and is no call.
pub fn sample_of(session: SessionSample) -> Option<Sample> {
    Some(Sample {
        pid: session.pid,
        statement: UserStatement {
            dbid: session.datid,
            userid: session.usesysid,
            query_id: session.query_id?,
        },
        activity: match session.state {
            SessionState::Active => Activity::Active,
            SessionState::Idle => Activity::Idle,
            SessionState::Other | SessionState::Hidden => return None,
        },
        query_start_us: session.query_start_us?,
        state_change_us: session.state_change_us?,
        wait: session.wait,
    })
}

/// How often sessions are looked at in seconds, how often they were, and what they waited for, since pgwright began.
pub(crate) fn totals(watching: &Mutex<Watching>) -> (f64, u64, BTreeMap<(String, String), u64>) {
    let watching = lock(watching);
    let mut waits = BTreeMap::new();
    for ((_, kind, event), samples) in &watching.waits {
        *waits.entry((kind.clone(), event.clone())).or_default() += samples;
    }
    (watching.interval.as_secs_f64(), watching.looks, waits)
}

/// What was seen since it was last asked for, and the interval in seconds.
pub(crate) fn take(watching: &Mutex<Watching>) -> (HashMap<UserStatement, Observed>, f64) {
    let mut watching = lock(watching);
    (std::mem::take(&mut watching.sampler.statements), watching.interval.as_secs_f64())
}

/// The histograms and the active time of statements by database and `queryid`, and the histograms of users by database
/// and name.
pub(crate) fn latency_chunks(
    statements: &BTreeMap<(String, String), (Latencies, f64)>,
    users: &BTreeMap<(String, String), Latencies>,
) -> Vec<Chunk> {
    let mut active = String::new();
    for ((datname, queryid), (_, active_seconds)) in statements {
        write_sample(
            ACTIVE,
            &block([("datname", datname), ("queryid", queryid)]),
            &number(*active_seconds),
            &mut active,
        );
    }
    let statements = statements.iter().map(|((datname, queryid), (latencies, _))| {
        (block([("datname", datname), ("queryid", queryid)]), latencies)
    });
    let users = users
        .iter()
        .map(|((datname, user), latencies)| (block([("datname", datname), ("usename", user)]), latencies));
    vec![histograms(LATENCY, statements), histograms(USER_LATENCY, users), chunk(ACTIVE, active)]
}

fn block<const N: usize>(labels: [(&str, &str); N]) -> String {
    let mut block = String::new();
    labels.iter().for_each(|(name, value)| label(name, value, &mut block));
    block
}

/// A family of histograms: classic buckets in the text, and the fine ones beside it.
fn histograms<'a>(name: &str, series: impl Iterator<Item = (String, &'a Latencies)>) -> Chunk {
    let (bucket, sum, count) = (format!("{name}_bucket"), format!("{name}_sum"), format!("{name}_count"));
    let ends: Vec<String> = BOUNDS
        .iter()
        // OpenMetrics wants a point in each.
        .map(|b| if b.fract() == 0.0 { format!("{b:.1}") } else { number(*b) })
        .chain(["+Inf".into()])
        .collect();
    let mut text = String::new();
    let mut native = Vec::new();
    for (labels, latencies) in series {
        let mut so_far = 0;
        for (end, n) in ends.iter().zip(latencies.classic()) {
            so_far += n;
            let mut of_bucket = labels.clone();
            label("le", end, &mut of_bucket);
            write_sample(&bucket, &of_bucket, &so_far.to_string(), &mut text);
        }
        write_sample(&sum, &labels, &number(latencies.sum_seconds), &mut text);
        write_sample(&count, &labels, &so_far.to_string(), &mut text);
        native.push(NativeHistogram {
            labels,
            buckets: latencies.counts.iter().filter_map(|(number, n)| Some(((*number)?, *n))).collect(),
            zeros: latencies.counts.get(&None).copied().unwrap_or(0),
        });
    }
    Chunk { native, ..chunk(name, text) }
}

/// What active sessions waited for, in databases whose names are known.
pub(crate) fn wait_chunk(databases: &HashMap<u32, String>, watching: &Mutex<Watching>) -> Chunk {
    let watching = lock(watching);
    let mut text = String::new();
    for ((dbid, kind, event), samples) in &watching.waits {
        let Some(datname) = databases.get(dbid) else { continue };
        let labels = block([("datname", datname), ("wait_event_type", kind), ("wait_event", event)]);
        write_sample(WAITS, &labels, &number(*samples as f64 * watching.interval.as_secs_f64()), &mut text);
    }
    chunk(WAITS, text)
}

fn chunk(name: &str, text: String) -> Chunk {
    let (kind, help) = METRICS.iter().find(|m| m.0 == name).map_or((Kind::Untyped, ""), |m| (m.1, m.2));
    Chunk::new(name, kind, help, text)
}
