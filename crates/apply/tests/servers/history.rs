//! Is history kept once and whole, rolled up truly, dropped on age, and does it go on while its store is away?

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use apply::Error;
use apply::history::{HistoryOptions, HistoryWriter, keep};
use chrono::{DateTime, TimeDelta, Utc};
use history::{Level, Reader, Reading, Recorder, Sort, StatementsReading, Status, Window};
use postgres::statistics::StatementCountersRow;
use sampling::{Observed, UserStatement};

use crate::world::World;

/// A server of which only counters exist: statement `n` is called `n` times a second for `n` milliseconds each, and
/// statement 3 three times as long from an instant on.
struct Watched {
    zero: DateTime<Utc>,
    slow_from: f64,
    instant: Instant,
}

const STATEMENTS: i64 = 6;
const DATABASE: &str = "a\"b.c";

impl Watched {
    fn since(zero: &str, slow_from: f64) -> Self {
        Self { zero: zero.parse().unwrap(), slow_from, instant: Instant::now() }
    }

    fn at(&self, seconds: f64) -> DateTime<Utc> {
        self.zero + TimeDelta::milliseconds((seconds * 1000.0) as i64)
    }

    fn reading(&self, seconds: f64) -> StatementsReading {
        let row = |queryid: i64| {
            let calls = queryid as f64 * seconds;
            let slower = if queryid == 3 { 2.0 * 3.0 * (seconds - self.slow_from).max(0.0) } else { 0.0 };
            StatementCountersRow {
                userid: 10,
                dbid: 5,
                datname: DATABASE.into(),
                queryid,
                toplevel: true,
                calls,
                rows: calls,
                exec_seconds: (calls + slower) * queryid as f64 / 1000.0,
                plan_seconds: 0.0,
                shared_blks_hit: calls * 2.0,
                shared_blks_read: calls,
                shared_blks_dirtied: 0.0,
                shared_blks_written: 0.0,
                temp_blks_read: 0.0,
                temp_blks_written: 0.0,
                read_seconds: 0.0,
                write_seconds: 0.0,
                wal_bytes: 0.0,
                stats_since: None,
            }
        };
        let mut observed = Observed { active: 10, ..Observed::default() };
        (0..40).for_each(|n| observed.body.record(2.0 + f64::from(n) / 10.0));
        observed.tail.record(350.0);
        observed.waits = [("CPU".to_owned(), 6), ("IO: DataFileRead".to_owned(), 4)].into();
        StatementsReading {
            at: self.at(seconds),
            instant: self.instant + Duration::from_secs_f64(seconds),
            rows: Some((1..=STATEMENTS).map(row).collect()),
            reset_us: Some(1),
            roles: Arc::new([(10, "app".to_owned())].into()),
            own: HashSet::new(),
            texts: [(3, "select * from orders where x = $1".to_owned())].into(),
            databases: Arc::new([(5, DATABASE.to_owned())].into()),
            observed: HashMap::from([(UserStatement { dbid: 5, userid: 10, query_id: 3 }, observed)]),
            look_seconds: 0.1,
            looks: (seconds * 10.0) as u64,
            waits: BTreeMap::from([
                (("CPU".to_owned(), "CPU".to_owned()), (seconds * 6.0) as u64),
                (("IO".to_owned(), "DataFileRead".to_owned()), (seconds * 4.0) as u64),
            ]),
        }
    }
}

fn statements(reading: StatementsReading) -> Reading {
    Reading::Statements(Box::new(reading))
}

fn options(interval: f64) -> HistoryOptions {
    let mut options = HistoryOptions::new("db.example.com:5432");
    options.limits.interval = Duration::from_secs_f64(interval);
    options
}

fn close(found: f64, expected: f64) -> bool {
    (found - expected).abs() < 1e-6 * expected.abs().max(1.0)
}

#[tokio::test]
async fn what_is_rolled_up_is_what_was_kept_and_can_be_asked_for() {
    let majors: BTreeMap<u32, _> = testkit::servers().map(|s| (s.binaries().major, s)).collect();
    for server in [majors.values().next(), majors.values().last()].into_iter().flatten() {
        let world = World::on(server).await;
        let reader = Reader::new(world.target.clone(), None);
        assert!(matches!(reader.sources().await, Err(history::Error::NoHistory { .. })));
        let (hour, end) = (3600.0, 27.5 * 3600.0);
        let watched = Watched::since("2026-03-01T21:10:00Z", 20.0 * hour);
        let mut options = options(1800.0);
        // Five of them in minutes.
        options.limits.statements = 17;
        let (mut writer, resume) = HistoryWriter::open(&world.target, options.clone()).await.unwrap();
        let mut recorder = Recorder::new(options.limits);
        assert_eq!(recorder.resume(resume), None);
        let mut seconds = 0.0;
        while seconds <= end {
            let interval = recorder.take(statements(watched.reading(seconds))).unwrap();
            writer.store(&interval).await.unwrap();
            if seconds == hour {
                // The answer was lost: it is not kept twice.
                writer.store(&interval).await.unwrap();
            }
            while !writer.roll_up().await.unwrap().1 {}
            seconds += 1800.0;
        }
        for level in Level::ALL {
            let calls = world
                .value(&format!(
                    "select sum(calls) from pgwright.history_statement_{} t where at >= '2026-03-02' and at < '2026-03-03'",
                    level.name()
                ))
                .await;
            // Of each bucket the intervals that begin in it.
            let expected: i64 = (1..=STATEMENTS).sum::<i64>() * 86_400;
            assert_eq!(calls, expected.to_string(), "{}", level.name());
        }
        let window = Window { from: watched.at(0.0), to: watched.at(end + 1e5) };
        let all = reader.statements(window, Sort::Calls, 100).await.unwrap();
        assert!(close(all.seconds, end), "{}", all.seconds);
        let calls: f64 = all.statements.iter().map(|(_, _, spent)| spent.figures.calls).sum();
        assert!(close(calls, 21.0 * end), "{calls}");
        let slow = all.statements.iter().find(|(key, ..)| key.queryid == 3).unwrap();
        assert_eq!(
            (slow.0.datname.as_str(), slow.1.as_deref()),
            (DATABASE, Some("select * from orders where x = $1"))
        );
        assert!(close(slow.2.calls_per_hour, 3.0 * hour));
        // The smallest of six, in minutes.
        assert!(all.statements.iter().any(|(key, ..)| key.queryid == 0));

        let last = Window { from: watched.at(end - 4.0 * hour), to: watched.at(end) };
        let before = Window { from: watched.at(end - 12.0 * hour), to: watched.at(end - 4.0 * hour) };
        let overview = reader.overview(last, Some(before), 3).await.unwrap();
        let change = &overview.statements[0];
        assert_eq!((change.key.queryid, change.query.is_some()), (3, true), "{overview:?}");
        // 3 calls a second, 9 ms instead of 3; three of the reference's eight hours were slow already, and it was
        // 5.25 ms there.
        assert!(change.slower_seconds_per_hour.is_some_and(|lost| close(lost, 40.5)), "{change:?}");
        assert_eq!(change.since, Some(Level::Hour.floor(watched.at(20.0 * hour))), "{change:?}");
        assert!(change.now.percentiles.p50.is_some() && change.before.is_some(), "{change:?}");

        let one = reader.statement(3, Some(DATABASE), window).await.unwrap();
        assert_eq!((one.level, one.users.as_slice()), (Level::Hour, &["app".to_owned()][..]));
        assert_eq!(one.buckets.len(), 28);
        assert!(close(one.buckets.iter().map(|b| b.spent.figures.calls).sum(), 3.0 * end));
        assert_eq!(
            one.waits.iter().map(|w| w.event.as_str()).collect::<Vec<_>>(),
            ["CPU", "IO: DataFileRead"]
        );
        assert!(one.buckets[3].spent.percentiles.p95.is_some());
        assert!(matches!(reader.statement(99, None, window).await, Err(history::Error::NoStatement { .. })));
        let waits = reader.waits(window).await.unwrap();
        assert_eq!(waits.events, ["CPU", "IO: DataFileRead"]);
        assert!(waits.buckets.iter().all(|b| close(b.active_sessions[0], 0.6)), "{waits:?}");
        let active = reader.series("active_sessions", window).await.unwrap();
        assert!(active.lines[0].points.iter().all(|p| close(p.value, 1.0)), "{active:?}");
        assert!(matches!(reader.series("x", window).await, Err(history::Error::NoSeries { .. })));
    }
}

#[tokio::test]
async fn a_second_writer_is_refused_and_old_partitions_are_dropped() {
    let world = World::on(testkit::any_server()).await;
    let watched = Watched::since("2026-01-04T00:00:00Z", f64::MAX);
    let (mut writer, resume) = HistoryWriter::open(&world.target, options(30.0)).await.unwrap();
    let taken = HistoryWriter::open(&world.target, options(30.0)).await.unwrap_err();
    assert!(matches!(taken, Error::HistoryTaken { .. }), "{taken}");
    // Another server may be in the same store.
    let mut other = options(30.0);
    other.source = "replica".into();
    drop(HistoryWriter::open(&world.target, other).await.unwrap());
    let mut recorder = Recorder::new(options(30.0).limits);
    recorder.resume(resume);
    let days = |n: f64| n * 86_400.0;
    for seconds in [0.0, 30.0, days(1.0), days(4.0), days(40.0), days(40.0) + 30.0] {
        let interval = recorder.take(statements(watched.reading(seconds))).unwrap();
        writer.store(&interval).await.unwrap();
        while !writer.roll_up().await.unwrap().1 {}
    }
    assert!(writer.retire().await.unwrap() > 0);
    let oldest = |table: &str| format!("select min(at)::date from pgwright.history_{table}");
    for (table, date) in [
        ("statement_raw", "2026-02-12"),
        ("statement_minute", "2026-02-12"),
        ("statement_hour", "2026-01-03"),
        ("statement_day", "2026-01-03"),
        ("interval_raw", "2026-02-12"),
    ] {
        // The first interval is a thousandth of a second before the first reading.
        let found = world.value(&oldest(table)).await;
        assert!(found.as_str() >= date, "{table}: {found}");
    }
    // What was counted while nobody watched is all there.
    assert_eq!(
        world.value("select sum(calls) from pgwright.history_statement_day").await,
        world.value("select sum(calls) from pgwright.history_statement_hour").await
    );
    let reader = Reader::new(world.target.clone(), Some("db.example.com:5432".into()));
    let window = Window { from: watched.at(0.0), to: watched.at(days(41.0)) };
    let all = reader.statements(window, Sort::Time, 10).await.unwrap();
    let calls: f64 = all.statements.iter().map(|(_, _, spent)| spent.figures.calls).sum();
    assert!(close(calls, 21.0 * (days(40.0) + 30.0)), "{calls}");
    assert!(matches!(Reader::new(world.target.clone(), None).sources().await.map(|s| s.len()), Ok(2)));
    let several = Reader::new(world.target.clone(), None).waits(window).await.unwrap_err();
    assert!(several.detail().is_some_and(|d| d.contains("replica")), "{several}");
}

/// How long something may take to come true.
const PATIENCE: Duration = Duration::from_secs(30);

async fn wait_until(status: &Status, what: &str, condition: impl Fn(&history::Kept) -> bool) {
    let began = Instant::now();
    while !condition(&status.now()) {
        assert!(began.elapsed() < PATIENCE, "never {what}: {:?}", status.now());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_store_that_is_away_or_full_costs_nothing_but_time() {
    let world = World::on(testkit::any_server()).await;
    let admin = testkit::connect(&testkit::any_server().url("postgres")).await;
    let name = world.value("current_database()").await;
    let watched = Watched::since("2026-03-01T10:00:00Z", f64::MAX);
    let mut options = options(30.0);
    options.waiting = 4;
    let status = Arc::new(Status::default());
    let (readings, receiver) = tokio::sync::mpsc::channel(64);
    let (stop, stopping) = tokio::sync::watch::channel(false);
    let keeping =
        tokio::spawn(keep((world.target.clone(), None), options, receiver, status.clone(), stopping));
    let mut now = 0.0;
    let mut go_on = async |count: u32| {
        for _ in 0..count {
            readings.send(statements(watched.reading(now))).await.unwrap();
            now += 30.0;
        }
    };
    go_on(3).await;
    wait_until(&status, "kept", |kept| kept.intervals == 3).await;
    // Full: the transaction of an interval fails in its middle.
    world
        .sql(
            "create function full_disk() returns trigger language plpgsql as \
               $$ begin raise exception 'no space left' using errcode = '53100'; end $$; \
             create trigger full_disk before insert on pgwright.history_series_counter \
               for each statement execute function full_disk()",
        )
        .await;
    go_on(2).await;
    wait_until(&status, "told that it is full", |kept| {
        !kept.up && kept.waiting == 2 && kept.reason.as_ref().is_some_and(|r| r.contains("No space left"))
    })
    .await;
    assert_eq!(world.value("select count(*) from pgwright.history_interval_raw").await, "3");
    world.sql("drop trigger full_disk on pgwright.history_series_counter").await;
    wait_until(&status, "kept after that", |kept| kept.up && kept.intervals == 5).await;
    // Away, for longer than there is room.
    admin.batch_execute(&format!("alter database {name} allow_connections false")).await.unwrap();
    let end = "select pg_terminate_backend(pid) from pg_stat_activity where datname = $1 and application_name = 'pgwright history'";
    admin.query(end, &[&name]).await.unwrap();
    go_on(9).await;
    wait_until(&status, "told that it is away", |kept| !kept.up && kept.joined >= 5).await;
    admin.batch_execute(&format!("alter database {name} allow_connections true")).await.unwrap();
    wait_until(&status, "kept at last", |kept| kept.up && kept.waiting == 0).await;
    let _ = stop.send(true);
    keeping.await.unwrap();
    let total = 21.0 * 30.0 * 13.0;
    assert_eq!(world.value("select sum(calls) from pgwright.history_statement_raw").await, total.to_string());
    assert_eq!(world.value("select sum(intervals) from pgwright.history_interval_raw").await, "14");
    // Another process goes on from there, as far as it was counted.
    let (_, resume) = HistoryWriter::open(&world.target, self::options(30.0)).await.unwrap();
    assert_eq!(resume.until, Some(watched.at(13.0 * 30.0)));
    assert_eq!(resume.counters.len(), STATEMENTS as usize);
    assert!(resume.texts.contains(&3));
}

#[tokio::test]
async fn what_was_kept_by_a_clock_that_was_ahead_is_found_where_it_belongs() {
    let majors: BTreeMap<u32, _> = testkit::servers().map(|s| (s.binaries().major, s)).collect();
    for server in [majors.values().next(), majors.values().last()].into_iter().flatten() {
        let world = World::on(server).await;
        let watched = Watched::since("2026-03-01T21:10:00Z", f64::MAX);
        let (step, hour) = (600.0, 3600.0);
        let options = options(step);
        let (mut writer, resume) = HistoryWriter::open(&world.target, options.clone()).await.unwrap();
        let mut recorder = Recorder::new(options.limits);
        recorder.resume(resume);
        // Three hours by a clock that is right, three by one that is ten days ahead, and three more.
        let (ahead, back, end) = (3.0 * hour, 6.0 * hour, 9.0 * hour);
        let mut seconds = 0.0;
        while seconds <= end {
            let mut reading = watched.reading(seconds);
            if seconds > ahead && seconds <= back {
                reading.at += TimeDelta::days(10);
            }
            let interval = recorder.take(statements(reading)).unwrap();
            writer.store(&interval).await.unwrap();
            if interval.set_back.is_some() {
                // The answer was lost: nothing moves twice.
                writer.store(&interval).await.unwrap();
                drop(writer);
                writer = HistoryWriter::open(&world.target, options.clone()).await.unwrap().0;
                writer.store(&interval).await.unwrap();
            }
            while !writer.roll_up().await.unwrap().1 {}
            seconds += step;
        }
        assert_eq!(writer.until(), Some(watched.at(end)));
        let reader = Reader::new(world.target.clone(), None);
        assert_eq!(reader.sources().await.unwrap()[0].to, Some(watched.at(end)));
        let window = Window { from: watched.at(0.0), to: watched.at(end) };
        let one = reader.statement(3, Some(DATABASE), window).await.unwrap();
        assert!(one.buckets.windows(2).all(|b| b[0].at < b[1].at), "{one:?}");
        for bucket in &one.buckets {
            assert!(close(bucket.spent.calls_per_hour, 3.0 * hour), "{bucket:?}");
        }
        for level in Level::ALL {
            let table = |kind: &str| format!("pgwright.history_{kind}_{}", level.name());
            let last = world
                .value(&format!("select max(at) <= '{}' from {}", watched.at(end), table("interval")))
                .await;
            assert_eq!(last, "true", "{}", level.name());
            // Whole hours, which begin at 22:00.
            let (from, to) = ("2026-03-01 22:00Z", "2026-03-02 06:00Z");
            let sum = |what: &str, kind: &str| {
                format!("select round(sum({what})) from {} where at >= '{from}' and at < '{to}'", table(kind))
            };
            if level != Level::Day {
                assert_eq!(
                    world.value(&sum("calls", "statement")).await,
                    (21 * 8 * 3600).to_string(),
                    "{}",
                    level.name()
                );
                assert_eq!(
                    world.value(&sum("seconds", "interval")).await,
                    (8 * 3600).to_string(),
                    "{}",
                    level.name()
                );
                let waits = world.value(&sum("samples", "wait")).await;
                assert_eq!(waits, (8 * 6 * 10).to_string(), "{}", level.name());
                let series = world
                    .value(&format!("select count(*) from {} where at >= '2026-03-03'", table("value")))
                    .await;
                assert_eq!(series, "0");
            }
        }
        let days = "select sum(calls) from pgwright.history_statement_day";
        assert_eq!(world.value(days).await, (21 * (2 * 3600 + 50 * 60)).to_string());
    }
}

#[tokio::test]
async fn a_process_that_begins_while_the_clock_is_ahead_takes_nothing_for_too_old() {
    let world = World::on(testkit::any_server()).await;
    let watched = Watched::since("2026-03-01T10:00:00Z", f64::MAX);
    let (step, hour) = (600.0, 3600.0);
    let options = options(step);
    let (mut writer, resume) = HistoryWriter::open(&world.target, options.clone()).await.unwrap();
    let mut recorder = Recorder::new(options.limits);
    recorder.resume(resume);
    let mut seconds = 0.0;
    let mut keep_until = async |writer: &mut HistoryWriter, end: f64| {
        while seconds <= end {
            let mut reading = watched.reading(seconds);
            if seconds > hour {
                reading.at += TimeDelta::days(10);
            }
            writer.store(&recorder.take(statements(reading)).unwrap()).await.unwrap();
            seconds += step;
        }
        while !writer.roll_up().await.unwrap().1 {}
    };
    let kept = "select count(*) from pgwright.history_interval_raw where at < '2026-03-02'";
    keep_until(&mut writer, 2.0 * hour).await;
    let before = world.value(kept).await;
    for _ in 0..2 {
        drop(writer);
        writer = HistoryWriter::open(&world.target, options.clone()).await.unwrap().0;
        assert_eq!((writer.retire().await.unwrap(), world.value(kept).await), (0, before.clone()));
    }
    // A clock that is still not set back after a day is believed.
    keep_until(&mut writer, 27.0 * hour).await;
    drop(writer);
    writer = HistoryWriter::open(&world.target, options).await.unwrap().0;
    assert!(writer.retire().await.unwrap() > 0);
    assert_eq!(world.value(kept).await, "0");
}
