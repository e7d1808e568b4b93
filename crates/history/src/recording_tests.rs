//! Do intervals count everything once, over resets, evictions, restarts and clocks that are set?

use super::*;

fn row(queryid: i64, calls: f64, seconds: f64) -> StatementCountersRow {
    StatementCountersRow {
        userid: 10,
        dbid: 5,
        datname: "a\"b.c".into(),
        queryid,
        toplevel: true,
        calls,
        rows: calls * 2.0,
        exec_seconds: seconds,
        plan_seconds: 0.0,
        shared_blks_hit: 0.0,
        shared_blks_read: 0.0,
        shared_blks_dirtied: 0.0,
        shared_blks_written: 0.0,
        temp_blks_read: 1.0,
        temp_blks_written: 2.0,
        read_seconds: 0.0,
        write_seconds: 0.0,
        wal_bytes: 0.0,
        stats_since: None,
    }
}

/// Readings of a server whose clock and whose own clock go alike.
struct Clock {
    begin: Instant,
    zero: DateTime<Utc>,
}

impl Clock {
    fn new() -> Self {
        Self { begin: Instant::now(), zero: "2026-03-01T10:00:00Z".parse().unwrap() }
    }

    fn reading(&self, second: u32, rows: Vec<StatementCountersRow>) -> StatementsReading {
        StatementsReading {
            at: self.zero + TimeDelta::seconds(i64::from(second)),
            instant: self.begin + Duration::from_secs(u64::from(second)),
            rows: Some(rows),
            reset_us: Some(1),
            roles: Arc::new([(10, "app".to_owned())].into()),
            own: HashSet::new(),
            texts: HashMap::new(),
            databases: Arc::new([(5, "a\"b.c".to_owned())].into()),
            observed: HashMap::new(),
            look_seconds: 0.1,
            looks: 0,
            waits: BTreeMap::new(),
        }
    }
}

fn statements(recorder: &mut Recorder, reading: StatementsReading) -> Interval {
    recorder.take(Reading::Statements(Box::new(reading))).unwrap()
}

fn calls(interval: &Interval, queryid: i64) -> f64 {
    let found = interval.statements.iter().filter(|(name, _)| name.queryid == queryid);
    found.map(|(_, delta)| delta.figures.calls).sum()
}

/// What a store that keeps every interval would say.
fn kept(intervals: &[Interval]) -> Resume {
    let mut resume = Resume::default();
    for interval in intervals {
        resume.until = Some(interval.to);
        resume.reset_us = interval.reset_us;
        resume.counters.retain(|_, (name, _)| !interval.gone.contains(name));
        for (name, (key, counted)) in &interval.counters {
            resume.counters.insert(*key, (name.clone(), *counted));
        }
        resume.texts.extend(interval.texts.keys());
    }
    resume
}

#[test]
fn an_interval_is_what_was_added_and_the_first_keeps_where_counters_stand() {
    let (clock, mut recorder) = (Clock::new(), Recorder::new(Limits::default()));
    let first = statements(&mut recorder, clock.reading(0, vec![row(1, 100.0, 5.0), row(2, 7.0, 0.5)]));
    assert_eq!((first.seconds, first.statements.len(), first.counters.len()), (0.0, 0, 2));
    let next = statements(&mut recorder, clock.reading(30, vec![row(1, 110.0, 6.0), row(2, 7.0, 0.5)]));
    assert_eq!((next.seconds, calls(&next, 1), next.counters.len()), (30.0, 10.0, 1));
    assert_eq!(next.at, first.to);
    let name = next.statements.keys().next().unwrap();
    assert_eq!((&*name.datname, &*name.rolname), ("a\"b.c", "app"));
    // Not read is not gone.
    let mut unread = clock.reading(45, Vec::new());
    (unread.rows, unread.reset_us) = (None, None);
    let unread = statements(&mut recorder, unread);
    assert_eq!((unread.statements.len(), unread.gone.len(), unread.reset_us), (0, 0, Some(1)));
    // Evicted, and back with less than before: all of it is new.
    let gone = statements(&mut recorder, clock.reading(60, vec![row(1, 110.0, 6.0)]));
    assert_eq!((gone.statements.len(), gone.gone.len()), (0, 1));
    let back = statements(&mut recorder, clock.reading(90, vec![row(1, 110.0, 6.0), row(2, 9.0, 0.9)]));
    assert_eq!((calls(&back, 2), back.counters.len()), (9.0, 1));
}

#[test]
fn another_process_goes_on_where_the_last_interval_ended() {
    let clock = Clock::new();
    let mut recorder = Recorder::new(Limits::default());
    recorder.resume(Resume::default());
    let mut intervals = vec![
        statements(&mut recorder, clock.reading(0, vec![row(1, 100.0, 5.0), row(2, 7.0, 0.5)])),
        statements(&mut recorder, clock.reading(30, vec![row(1, 110.0, 6.0), row(2, 7.0, 0.5)])),
    ];
    // Killed, and an hour later there is another: once it knows before its first reading, and once only after three.
    let later = |second: u32, more: f64| {
        clock.reading(3600 + second, vec![row(1, 200.0 + more, 10.0), row(3, 4.0, 0.1)])
    };
    let resume = kept(&intervals);
    let mut knowing = Recorder::new(Limits::default());
    assert_eq!(knowing.resume(resume.clone()), None);
    let bridge = statements(&mut knowing, later(0, 0.0));
    assert_eq!((calls(&bridge, 1), calls(&bridge, 3), bridge.gone.len()), (90.0, 4.0, 1));
    assert_eq!((bridge.from, bridge.seconds), (intervals[1].to, 3570.0));
    assert_eq!(bridge.to - bridge.at, TimeDelta::seconds(30));

    let mut learning = Recorder::new(Limits::default());
    let mut pending: Vec<Interval> =
        [(0, 0.0), (30, 1.0), (60, 3.0)].map(|(s, more)| statements(&mut learning, later(s, more))).into();
    let late = learning.resume(resume).unwrap();
    assert_eq!((calls(&late, 1), calls(&late, 3), late.to), (90.0, 4.0, bridge.to));
    pending.insert(0, late);
    let all: f64 = pending.iter().map(|i| calls(i, 1)).sum();
    assert_eq!(all, 93.0);
    // And a third goes on from there.
    intervals.extend(pending);
    let mut third = Recorder::new(Limits::default());
    third.resume(kept(&intervals));
    assert_eq!(calls(&statements(&mut third, later(90, 10.0)), 1), 7.0);
}

#[test]
fn a_reset_is_seen_also_over_a_restart() {
    let (clock, mut recorder) = (Clock::new(), Recorder::new(Limits::default()));
    let first = statements(&mut recorder, clock.reading(0, vec![row(1, 5.0, 1.0)]));
    let mut other = Recorder::new(Limits::default());
    other.resume(kept(&[first]));
    // Reset while nobody watched, and beyond where it was.
    let mut reading = clock.reading(600, vec![row(1, 9.0, 2.0)]);
    reading.reset_us = Some(2);
    let interval = statements(&mut other, reading);
    assert_eq!((calls(&interval, 1), interval.resets), (9.0, 1));
}

#[test]
fn after_a_clock_was_set_back_times_are_true_again() {
    let (clock, mut recorder) = (Clock::new(), Recorder::new(Limits::default()));
    let ahead = TimeDelta::days(10);
    let mut interval = |second: u32, ahead: TimeDelta| {
        let mut reading = clock.reading(second, vec![row(1, f64::from(second), 1.0)]);
        reading.at += ahead;
        statements(&mut recorder, reading)
    };
    let zero = TimeDelta::zero();
    interval(0, zero);
    assert_eq!((interval(30, zero).set_back, interval(60, zero).set_forward), (None, zero));
    let forward = interval(90, ahead);
    assert_eq!((forward.set_forward, forward.seconds, calls(&forward, 1)), (ahead, 30.0, 30.0));
    let wrong = interval(120, ahead);
    let right = interval(150, zero);
    assert_eq!((right.to, right.from), (wrong.to - ahead + TimeDelta::seconds(30), wrong.to - ahead));
    assert_eq!((right.at, right.seconds, calls(&right, 1)), (right.from, 30.0, 30.0));
    // All that was kept meanwhile moves, and nothing else.
    assert_eq!(right.set_back, Some(SetBack { since: forward.at, by: ahead }));
    let next = interval(180, zero);
    assert_eq!((next.from, next.set_back, next.set_forward), (right.to, None, zero));
    // Set back without having been set forward: what lies in the future moves.
    let hour = TimeDelta::hours(1);
    let back = interval(210, -hour);
    assert_eq!(back.set_back, Some(SetBack { since: next.to - hour, by: hour }));
    // A second is no clock that was set.
    let slow = interval(240, -hour - TimeDelta::seconds(1));
    assert_eq!((slow.from, slow.set_back, slow.set_forward), (back.to, None, zero));
}

#[test]
fn another_process_finds_a_store_that_is_ahead() {
    let (clock, mut recorder) = (Clock::new(), Recorder::new(Limits::default()));
    let first = statements(&mut recorder, clock.reading(3600, vec![row(1, 5.0, 1.0)]));
    let mut other = Recorder::new(Limits::default());
    other.resume(kept(std::slice::from_ref(&first)));
    let found = statements(&mut other, clock.reading(0, vec![row(1, 9.0, 2.0)]));
    let at = clock.zero - TimeDelta::milliseconds(1);
    assert_eq!((calls(&found, 1), found.to, found.from), (4.0, clock.zero, at));
    assert_eq!(found.set_back, Some(SetBack { since: at, by: first.to - at }));
}

#[test]
fn what_was_seen_goes_to_who_called_most_and_the_small_are_summed() {
    let clock = Clock::new();
    let mut recorder = Recorder::new(Limits { statements: 2, ..Limits::default() });
    let mine = |calls: f64| StatementCountersRow { userid: 11, ..row(1, calls, calls / 10.0) };
    let rows = |factor: f64| {
        let mut rows: Vec<_> =
            (1..=5).map(|id| row(id, factor * id as f64, factor * 0.001 * id as f64)).collect();
        rows.push(mine(100.0 * factor));
        rows.push(row(9, factor * 50.0, factor * 50.0));
        rows
    };
    let own = |mut reading: StatementsReading| {
        reading.own = [9].into();
        reading
    };
    statements(&mut recorder, own(clock.reading(0, rows(1.0))));
    let mut reading = own(clock.reading(30, rows(2.0)));
    let mut observed = Observed { active: 6, ..Observed::default() };
    observed.tail.record(250.0);
    observed.waits = [("CPU".to_owned(), 2), ("IO: DataFileRead".to_owned(), 4)].into();
    // One session signed in as another role than the one that the counters know: who called most has it.
    let set_role = UserStatement { dbid: 5, userid: 99, query_id: 1 };
    let app = Observed { active: 1, waits: [("CPU".to_owned(), 1)].into(), ..Observed::default() };
    reading.observed = [(set_role, observed), (UserStatement { userid: 10, ..set_role }, app)].into();
    reading.looks = 300;
    reading.waits = [(("IO".into(), "DataFileRead".into()), 4), (("CPU".into(), "CPU".into()), 5)].into();
    reading.texts = [(1, "select 1".into()), (9, "select /* pgwright:x */ 2".into())].into();
    let interval = statements(&mut recorder, reading);
    // 1 of two users, 2 to 5: two are kept, the others are one, and nothing of pgwright itself.
    assert_eq!(interval.statements.len(), 3);
    let all: f64 = interval.statements.values().map(|d| d.figures.calls).sum();
    assert_eq!(all, 115.0);
    // One was seen active for longer than the others were counted.
    assert_eq!(calls(&interval, 0), 2.0 + 3.0 + 4.0 + 5.0);
    let (name, delta) =
        interval.statements.iter().max_by(|a, b| a.1.figures.calls.total_cmp(&b.1.figures.calls)).unwrap();
    assert_eq!((name.queryid, &*name.rolname, delta.latency.tail.samples()), (1, "", 1));
    let io = &interval.waits[&(name.clone(), Arc::from("IO: DataFileRead"))];
    assert_eq!((io.samples, io.active_seconds), (4, 0.4));
    assert_eq!(interval.values[&(WAITS, Arc::from("CPU"))].total, 0.5);
    assert_eq!(interval.values[&(ACTIVE_SESSIONS, Arc::from(""))].high, 0.03);
    assert_eq!(interval.texts.len(), 1);
}

#[test]
fn two_intervals_put_together_are_what_both_were() {
    let (clock, mut recorder) = (Clock::new(), Recorder::new(Limits::default()));
    let readings = [
        vec![row(1, 1.0, 1.0), row(2, 1.0, 1.0)],
        vec![row(1, 3.0, 2.0)],
        vec![row(1, 6.0, 4.0), row(2, 2.0, 1.0)],
    ];
    let mut intervals: Vec<Interval> =
        (0..).zip(readings).map(|(n, rows)| statements(&mut recorder, clock.reading(n * 30, rows))).collect();
    let apart = kept(&intervals);
    let last = intervals.remove(2);
    let mut together = intervals.remove(1);
    together.append(last);
    assert_eq!((calls(&together, 1), calls(&together, 2)), (5.0, 2.0));
    assert_eq!((together.seconds, together.intervals), (60.0, 2));
    intervals.push(together);
    let joined = kept(&intervals);
    assert_eq!((joined.until, joined.counters), (apart.until, apart.counters));
}

#[test]
fn a_hundred_thousand_statements_are_kept_within_bounds_and_none_is_lost() {
    let (clock, mut recorder) = (Clock::new(), Recorder::new(Limits::default()));
    let rows =
        |factor: f64| (1..=100_000).map(|id| row(id, factor * 2.0, factor * id as f64 / 1e6)).collect();
    statements(&mut recorder, clock.reading(0, rows(1.0)));
    let interval = statements(&mut recorder, clock.reading(30, rows(2.0)));
    assert_eq!(interval.statements.len(), Limits::default().statements + 1);
    let all: f64 = interval.statements.values().map(|delta| delta.figures.calls).sum();
    assert_eq!((all, calls(&interval, 0)), (200_000.0, 2.0 * 99_000.0));
}

#[test]
fn a_plan_is_kept_when_it_is_another_and_once_a_day() {
    let (clock, mut recorder) = (Clock::new(), Recorder::new(Limits::default()));
    let plan = |second: i64, shape_hash: &str| PlanSeen {
        at: clock.zero + TimeDelta::seconds(second),
        datname: "d".into(),
        queryid: 1,
        shape_hash: shape_hash.into(),
        cost: 1.0,
        plan: serde_json::Value::Null,
    };
    let looks = [(0, "a"), (300, "a"), (600, "b"), (900, "a"), (900 + 86_399, "a"), (900 + 86_400, "a")];
    for (second, hash) in looks {
        assert_eq!(recorder.take(Reading::Plans(vec![plan(second, hash)])), None);
    }
    let interval = statements(&mut recorder, clock.reading(0, Vec::new()));
    let kept: Vec<(i64, &str)> =
        interval.plans.iter().map(|p| ((p.at - clock.zero).num_seconds(), p.shape_hash.as_str())).collect();
    assert_eq!(kept, [(0, "a"), (600, "b"), (900, "a"), (900 + 86_400, "a")]);
    assert!(statements(&mut recorder, clock.reading(30, Vec::new())).plans.is_empty());
}
