//! When does which collector run? One session per database works through what is due, the cheap ones often and the dear
//! ones seldom. A collector that fails or takes too long costs nothing but its own samples.

use std::sync::Arc;
use std::time::Duration;

use postgres::catalog_query::read as read_catalog;
use postgres::metrics::{COMPAT_SETTINGS, MetricQuery, Pace, Scope, read_text};
use postgres::{Error, METRIC_QUERIES, Session, Target};
use tokio::sync::watch as signal;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::bloat::{self, BloatEstimator};
use crate::board::{Board, Chunk};
use crate::chunk::{Places, render};
use crate::compat;
use crate::custom::CustomQuery;
use crate::health::Health;
use crate::latency::SharedWatching;
use crate::options::Options;
use crate::plans::{self, Leading, PlanCollector};
use crate::statements::StatementCollector;

/// What all tasks of an exporter share.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    pub options: Arc<Options>,
    pub board: Arc<Board>,
    pub health: Arc<Health>,
    pub sampler: SharedWatching,
    pub leading: Leading,
}

/// For how many intervals samples are handed out, and how long at least.
const KEPT_FOR: u32 = 3;
const KEPT_AT_LEAST: Duration = Duration::from_secs(30);
/// How long a cancelled query may take to end.
const CANCELLING: Duration = Duration::from_secs(5);
/// A collector that takes too long runs at most so many times less often.
const SLOWED_DOWN_TO: u32 = 16;

/// How long to wait before connecting again.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { next: Self::FIRST }
    }
}

impl Backoff {
    const FIRST: Duration = Duration::from_millis(500);
    const LONGEST: Duration = Duration::from_secs(15);

    pub fn next(&mut self) -> Duration {
        let now = self.next;
        self.next = (now * 2).min(Self::LONGEST);
        now
    }

    /// A connection that held is a good sign.
    pub fn ended_after(&mut self, held: Duration) {
        if held > Self::LONGEST {
            *self = Self::default();
        }
    }
}

/// Waits until the exporter is to stop.
pub(crate) async fn stopped(stop: &mut signal::Receiver<bool>) {
    // Who asked is gone: the same as being told.
    let _ = stop.wait_for(|stop| *stop).await;
}

enum Work {
    Query(&'static MetricQuery, Places),
    Custom(CustomQuery),
    Statements(Box<StatementCollector>),
    Bloat(BloatEstimator),
    Plans(Box<PlanCollector>),
}

struct Collector {
    name: String,
    /// The number of its source on the board.
    number: usize,
    interval: Duration,
    timeout: Duration,
    due: Instant,
    slowed_down: u32,
    work: Work,
}

impl Collector {
    /// For how long its samples are handed out.
    fn keep(&self) -> Duration {
        (self.interval * KEPT_FOR).max(KEPT_AT_LEAST)
    }
}

/// Watches one database until `stop`; a server that is away is tried again and again.
pub(crate) async fn watch(
    shared: Shared,
    target: Target,
    datname: String,
    first: bool,
    mut stop: signal::Receiver<bool>,
) {
    let number = shared.options.databases().iter().position(|d| *d == datname).unwrap_or(0);
    let mut collectors = collectors(&shared, first);
    let mut backoff = Backoff::default();
    loop {
        let connecting = target.connect(&shared.options.session);
        let connected = tokio::select! {
            connected = connecting => connected,
            () = stopped(&mut stop) => return,
        };
        match connected {
            Ok(session) => {
                shared.health.connected(&datname);
                let since = Instant::now();
                let ended = tokio::select! {
                    ended = work_off(&session, &shared, &datname, number, &mut collectors) => ended,
                    () = stopped(&mut stop) => {
                        // What is running there need not go on.
                        let _ = timeout(CANCELLING, session.cancel_token().cancel()).await;
                        return;
                    }
                };
                shared.health.lost(&datname, ended);
                shared.board.forget(number);
                backoff.ended_after(since.elapsed());
            }
            Err(error) => shared.health.unreachable(&datname, reason_of(&error)),
        }
        tokio::select! {
            () = sleep(backoff.next()) => {}
            () = stopped(&mut stop) => return,
        }
    }
}

fn reason_of(error: &Error) -> String {
    match error.detail() {
        Some(detail) => format!("{error}: {detail}"),
        None => error.to_string(),
    }
}

fn collectors(shared: &Shared, first: bool) -> Vec<Collector> {
    let options: &Options = &shared.options;
    let mut found = Vec::new();
    let mut add = |name: &str, number: usize, interval: Duration, work: Work| {
        if options.disabled.iter().all(|d| d != name) {
            found.push(Collector {
                name: name.to_owned(),
                number,
                interval,
                timeout: options.timeout(name),
                due: Instant::now(),
                slowed_down: 1,
                work,
            });
        }
    };
    for (number, query) in METRIC_QUERIES.iter().enumerate() {
        if first || query.scope == Scope::Database {
            let interval = options.interval(query.name, query.pace);
            add(query.name, number, interval, Work::Query(query, Places::default()));
        }
    }
    if let Some(estimator) = options.bloat {
        let number = METRIC_QUERIES.len() + 1;
        let interval = options.intervals.get(bloat::COLLECTOR).copied().unwrap_or(bloat::INTERVAL);
        add(bloat::COLLECTOR, number, interval, Work::Bloat(estimator));
    }
    if first {
        let number = METRIC_QUERIES.len();
        let work =
            Work::Statements(Box::new(StatementCollector::new(options.statements, options.log.clone())));
        add("statements", number, options.interval("statements", Pace::Seldom), work);
        for (at, query) in options.custom.iter().enumerate() {
            let usual = query.interval.unwrap_or(options.paces.often);
            let interval = options.intervals.get(&query.name).copied().unwrap_or(usual);
            add(&query.name, number + 2 + at, interval, Work::Custom(query.clone()));
        }
        let number = number + 2 + options.custom.len();
        for (at, query) in options.compat_queries().iter().enumerate() {
            let interval = options.interval(query.name, query.pace);
            add(query.name, number + at, interval, Work::Query(query, Places::default()));
        }
        if options.plans > 0 {
            let number = number + options.compat_queries().len();
            let interval = options.intervals.get(plans::COLLECTOR).copied().unwrap_or(plans::INTERVAL);
            let work = PlanCollector::new(shared.leading.clone(), options.plans);
            add(plans::COLLECTOR, number, interval, Work::Plans(Box::new(work)));
        }
    }
    found
}

/// Works off what is due until the connection is lost, and says why.
async fn work_off(
    session: &Session,
    shared: &Shared,
    datname: &str,
    database: usize,
    collectors: &mut [Collector],
) -> String {
    let mut extensions = match extensions(session).await {
        Ok(extensions) => extensions,
        Err(error) => return reason_of(&error),
    };
    let mut extensions_read = Instant::now();
    for collector in collectors.iter_mut() {
        collector.due = Instant::now();
        collector.due += match collector.work {
            Work::Bloat(_) => bloat::FIRST_AFTER.min(collector.interval),
            Work::Plans(_) => plans::FIRST_AFTER.min(collector.interval),
            _ => Duration::ZERO,
        };
    }
    loop {
        let Some(collector) = collectors.iter_mut().min_by_key(|c| c.due) else {
            return "there is no collector".into();
        };
        sleep_until(collector.due).await;
        let began = Instant::now();
        if extensions_read.elapsed() > shared.options.paces.rarely {
            match self::extensions(session).await {
                Ok(found) => (extensions, extensions_read) = (found, Instant::now()),
                Err(error) => return reason_of(&error),
            }
        }
        let ran = run(collector, session, shared, datname, database, &extensions).await;
        let took = began.elapsed();
        let mut interval = collector.interval;
        match ran {
            Ok(None) => {}
            Ok(Some(mut done)) => {
                if shared.options.compat {
                    done.chunks.extend(compat::told_again(&done.chunks));
                }
                collector.slowed_down = 1;
                shared.health.succeeded(datname, &collector.name, took, done.duplicates, done.summed);
                let source = (database, collector.number);
                shared.health.conflicts(shared.board.publish(source, done.chunks, collector.keep()));
            }
            Err(Failure::Lost(reason)) => {
                shared.health.failed(datname, &collector.name, took, "connection");
                return reason;
            }
            Err(Failure::Failed(reason)) => {
                if reason == "timeout" {
                    collector.slowed_down = (collector.slowed_down * 2).min(SLOWED_DOWN_TO);
                }
                interval *= collector.slowed_down;
                shared.health.failed(datname, &collector.name, took, reason);
            }
        }
        collector.due = (collector.due + interval).max(Instant::now());
    }
}

async fn extensions(session: &Session) -> Result<Vec<String>, Error> {
    let rows: Vec<postgres::catalog::ExtensionRow> =
        read_catalog(session, session.version_num(), &[]).await?;
    Ok(rows.into_iter().map(|r| r.name).collect())
}

struct Done {
    chunks: Vec<Chunk>,
    duplicates: usize,
    summed: usize,
}

enum Failure {
    Lost(String),
    Failed(&'static str),
}

/// Runs a collector; nothing when the server has not what it reads.
async fn run(
    collector: &mut Collector,
    session: &Session,
    shared: &Shared,
    datname: &str,
    database: usize,
    extensions: &[String],
) -> Result<Option<Done>, Failure> {
    let limit = shared.options.objects;
    let version = session.version_num();
    let done = match &mut collector.work {
        Work::Query(query, places) => {
            let there = query.extension.is_none_or(|name| extensions.iter().any(|e| e == name));
            let Some(sql) = query.sql(version).filter(|_| there) else { return Ok(None) };
            let rows = within(session, collector.timeout, read_text(session, query.name, sql)).await?;
            let mut rendered = render(query, datname, &rows, limit, places);
            if query.name == COMPAT_SETTINGS {
                rendered.chunks = compat::settings(rendered.chunks);
            }
            // Facts of the server as a whole, each once.
            if let Some(tap) = shared.options.history.as_ref().filter(|_| query.scope == Scope::Server) {
                let at = chrono::Utc::now();
                tap.send(history::Reading::Metrics { collector: query.name, at, rows });
            }
            Done { chunks: rendered.chunks, duplicates: rendered.duplicates, summed: rendered.summed }
        }
        Work::Bloat(estimator) => {
            let collecting = bloat::collect(session, *estimator, datname, limit);
            let (chunks, summed) = within(session, collector.timeout, collecting).await?;
            Done { chunks, duplicates: 0, summed }
        }
        Work::Plans(plans) => {
            let there = extensions.iter().any(|e| e == "pg_stat_statements");
            if !there {
                return Ok(None);
            }
            let collecting = plans.collect(session, shared.options.history.as_ref());
            let chunks = within(session, collector.timeout, collecting).await?;
            Done { chunks, duplicates: 0, summed: 0 }
        }
        Work::Custom(query) => {
            if !query.is_for(version) {
                return Ok(None);
            }
            let sql = query.statement();
            let rows = within(session, collector.timeout, read_text(session, &query.name, &sql)).await?;
            let (chunks, duplicates) = query.render(&rows);
            Done { chunks, duplicates, summed: 0 }
        }
        Work::Statements(statements) => {
            let collecting = statements.collect(session, &shared.sampler, shared.options.history.as_ref());
            let collected = within(session, collector.timeout, collecting).await;
            let mut chunks = match collected {
                Ok(chunks) => chunks,
                Err(failure) => {
                    // What sessions wait for is known without the extension.
                    let waits = match &failure {
                        Failure::Failed("missing") => {
                            let tap = shared.options.history.as_ref();
                            let collecting = statements.collect_uncounted(session, &shared.sampler, tap);
                            within(session, collector.timeout, collecting).await?
                        }
                        _ => statements.waits(&shared.sampler).into_iter().collect(),
                    };
                    let source = (database, collector.number);
                    shared.board.publish(source, waits, (collector.interval * KEPT_FOR).max(KEPT_AT_LEAST));
                    return Err(failure);
                }
            };
            chunks.extend(statements.waits(&shared.sampler));
            shared.leading.put(statements.leading(datname));
            Done { chunks, duplicates: 0, summed: 0 }
        }
    };
    Ok(Some(done))
}

/// Waits for an answer, and cancels the query when it takes too long.
async fn within<T>(
    session: &Session,
    limit: Duration,
    query: impl Future<Output = Result<T, Error>>,
) -> Result<T, Failure> {
    tokio::pin!(query);
    let answer = match timeout(limit, &mut query).await {
        Ok(answer) => answer,
        Err(_) => {
            let _ = timeout(CANCELLING, session.cancel_token().cancel()).await;
            return match timeout(CANCELLING, &mut query).await {
                Ok(Err(error @ Error::ConnectionLost { .. })) => Err(Failure::Lost(reason_of(&error))),
                Ok(_) => Err(Failure::Failed("timeout")),
                // It does not even end when asked to; another session may do better.
                Err(_) => {
                    Err(Failure::Lost("the server did not answer, and did not cancel the query".into()))
                }
            };
        }
    };
    answer.map_err(|error| match &error {
        Error::ConnectionLost { .. } => Failure::Lost(reason_of(&error)),
        Error::Timeout { .. } => Failure::Failed("timeout"),
        Error::PrivilegeDenied { .. } => Failure::Failed("privilege"),
        Error::ExtensionMissing { .. } | Error::NotPreloaded { .. } => Failure::Failed("missing"),
        _ => Failure::Failed("error"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_grows_to_a_bound_and_begins_anew_after_a_connection_that_held() {
        let mut backoff = Backoff::default();
        let waits: Vec<u128> = (0..7).map(|_| backoff.next().as_millis()).collect();
        assert_eq!(waits, [500, 1000, 2000, 4000, 8000, 15000, 15000]);
        backoff.ended_after(Duration::from_secs(1));
        assert_eq!(backoff.next(), Backoff::LONGEST);
        backoff.ended_after(Duration::from_secs(60));
        assert_eq!(backoff.next(), Backoff::FIRST);
    }
}
