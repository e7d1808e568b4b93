//! Are the percentiles those of what happened? Sessions are played with known durations and looked at as a server would be.

#![allow(clippy::unwrap_used)] // A test that cannot go on fails.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sampling::{Activity, Calls, Estimate, Sample, Sampler, UserStatement, estimate};

const INTERVAL_US: i64 = 100_000;

fn of(query_id: i64) -> UserStatement {
    UserStatement { dbid: 5, userid: 10, query_id }
}

/// What one session did: statement, begin, end.
type Session = Vec<(i64, i64, i64)>;

/// Plays sessions: `duration` and `pause` in microseconds, for so many seconds.
fn play(
    sessions: usize,
    seconds: i64,
    seed: u64,
    mut duration: impl FnMut(&mut ChaCha8Rng) -> (i64, i64),
    mut pause: impl FnMut(&mut ChaCha8Rng) -> i64,
) -> Vec<Session> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..sessions)
        .map(|_| {
            let mut at = rng.random_range(0..INTERVAL_US);
            let mut done = Vec::new();
            while at < seconds * 1_000_000 {
                let (query_id, lasts) = duration(&mut rng);
                done.push((query_id, at, at + lasts));
                at += lasts + pause(&mut rng);
            }
            done
        })
        .collect()
}

/// Looks at them as often as the interval says, at sessions that are idle for long only when they come to be.
fn looked_at(played: &[Session], seconds: i64) -> Sampler {
    look_at(played, seconds, true)
}

fn look_at(played: &[Session], seconds: i64, leave_out_quiet: bool) -> Sampler {
    let mut sampler = Sampler::new(INTERVAL_US);
    for look in 0..seconds * 10 {
        let now = look * INTERVAL_US;
        let quiet_before = sampler.quiet_before_us().filter(|_| leave_out_quiet);
        let samples: Vec<Sample> = played
            .iter()
            .zip(1..)
            .filter_map(|(session, pid)| {
                let begun = session.partition_point(|s| s.1 <= now);
                let (query_id, begin, end) = *session.get(begun.checked_sub(1)?)?;
                let (activity, state_change_us) =
                    if now < end { (Activity::Active, begin) } else { (Activity::Idle, end) };
                Some(Sample {
                    pid,
                    statement: of(query_id),
                    activity,
                    query_start_us: begin,
                    state_change_us,
                    wait: None,
                })
            })
            .filter(|s| {
                s.activity == Activity::Active || quiet_before.is_none_or(|us| s.state_change_us >= us)
            })
            .collect();
        sampler.look(now, &samples);
    }
    sampler
}

#[test]
fn sessions_that_are_quiet_for_long_need_not_be_looked_at() {
    let played = play(
        40,
        60,
        5,
        |rng| (rng.random_range(1..4), exponential(rng, 60_000.0)),
        |rng| exponential(rng, 900_000.0),
    );
    let (few, all) = (look_at(&played, 60, true), look_at(&played, 60, false));
    assert!(all.statements[&of(1)].body.count() > 100);
    assert_eq!(few.statements, all.statements);
}

/// The truth of one statement within the time that was looked at, in ms, ascending.
fn truth(played: &[Session], query_id: i64, seconds: i64) -> Vec<f64> {
    let end = (seconds * 10 - 1) * INTERVAL_US;
    let mut all: Vec<f64> = played
        .iter()
        .flatten()
        .filter(|s| s.0 == query_id && s.2 <= end)
        .map(|s| (s.2 - s.1) as f64 / 1000.0)
        .collect();
    all.sort_by(f64::total_cmp);
    all
}

fn estimated(sampler: &Sampler, truth: &[f64], query_id: i64) -> Estimate {
    let mean_ms = truth.iter().sum::<f64>() / truth.len() as f64;
    let counted = Calls { calls: truth.len() as u64, mean_ms };
    estimate(&sampler.statements[&of(query_id)], counted, sampler.looks)
}

fn at(truth: &[f64], share: f64) -> f64 {
    truth[((share * truth.len() as f64).ceil() as usize).clamp(1, truth.len()) - 1]
}

fn exponential(rng: &mut ChaCha8Rng, mean: f64) -> i64 {
    (-mean * (1.0 - rng.random::<f64>()).ln()) as i64 + 1
}

#[test]
fn percentiles_are_near_the_truth() {
    // Short statements, long ones, and a mixture with a rare slow one; pauses of 30 ms on average.
    let played = play(
        20,
        300,
        1,
        |rng| match rng.random_range(0..10) {
            0 => (2, exponential(rng, 250_000.0)),
            1..=3 => (
                3,
                if rng.random_range(0..30) == 0 {
                    exponential(rng, 400_000.0)
                } else {
                    exponential(rng, 8_000.0)
                },
            ),
            _ => (1, exponential(rng, 5_000.0)),
        },
        |rng| exponential(rng, 30_000.0),
    );
    let sampler = looked_at(&played, 300);
    for query_id in 1..=3 {
        let truth = truth(&played, query_id, 300);
        let found = estimated(&sampler, &truth, query_id);
        assert!(!found.doubtful, "{found:?}");
        for (share, quantile) in
            [(0.5, found.percentiles.p50), (0.95, found.percentiles.p95), (0.99, found.percentiles.p99)]
        {
            let (value, true_value) = (quantile.unwrap().percentile.value.0, at(&truth, share));
            assert!(
                (value / true_value - 1.0).abs() < 0.12,
                "{query_id} {share}: {value} {true_value} {found:?}"
            );
        }
    }
    let busy: i64 = played.iter().flatten().map(|s| s.2.min(299_900_000) - s.1.min(299_900_000)).sum();
    assert!((sampler.active_sessions() / (busy as f64 / 299.9e6) - 1.0).abs() < 0.05);
}

#[test]
fn being_caught_before_makes_no_difference_to_the_body() {
    // Nearly as long as the interval, with pauses longer than it: each is seen idle, most of them active before.
    let played = play(
        10,
        120,
        4,
        |rng| (1, rng.random_range(1_000..99_000)),
        |rng| rng.random_range(100_000..400_000),
    );
    let sampler = looked_at(&played, 120);
    let truth = truth(&played, 1, 120);
    let found = estimated(&sampler, &truth, 1);
    assert!(found.body_samples as f64 > 0.98 * truth.len() as f64, "{found:?}");
    let median = found.percentiles.p50.unwrap().percentile.value.0;
    assert!((median / at(&truth, 0.5) - 1.0).abs() < 0.02, "{median} {}", at(&truth, 0.5));
    assert_eq!(sampler.late_looks, 0);
}

#[test]
fn every_long_execution_is_seen_once() {
    let played =
        play(7, 120, 2, |rng| (1, rng.random_range(100_000..2_000_000)), |rng| rng.random_range(0..50_000));
    let sampler = looked_at(&played, 120);
    let truth = truth(&played, 1, 120);
    let seen = &sampler.statements[&of(1)];
    assert_eq!(seen.body.samples(), 0);
    // Those whose end was not seen may fall below the interval by half of it.
    let difference = seen.tail.samples().abs_diff(truth.len() as u64);
    assert!(difference <= truth.len() as u64 / 50, "{difference} of {}", truth.len());
    let mean = truth.iter().sum::<f64>() / truth.len() as f64;
    assert!((seen.tail.mean().unwrap().0 / mean - 1.0).abs() < 0.03);
}

#[test]
fn statements_without_pauses_have_no_percentile_that_nobody_saw() {
    // Ten short statements follow each other within a transaction; only the last one is followed by a pause.
    let mut n = 0_i64;
    let played = play(
        4,
        60,
        3,
        |rng| {
            n += 1;
            (n % 10, exponential(rng, 2_000.0))
        },
        |_| 0,
    );
    let sampler = looked_at(&played, 60);
    let truth = truth(&played, 5, 60);
    let counted = Calls { calls: truth.len() as u64, mean_ms: 2.0 };
    if let Some(observed) = sampler.statements.get(&of(5)) {
        let found = estimate(observed, counted, sampler.looks);
        assert_eq!(found.percentiles.p99, None, "{found:?}");
        assert_eq!(found.body_samples, 0);
    }
}

#[test]
fn what_was_seen_but_is_too_short_is_doubtful() {
    let mut sampler = Sampler::new(INTERVAL_US);
    sampler.look(0, &[]);
    for look in 1..200 {
        let now = look * INTERVAL_US;
        let idle = Sample {
            pid: 1,
            statement: of(1),
            activity: Activity::Idle,
            query_start_us: now - 2_000,
            state_change_us: now - 1_000,
            wait: None,
        };
        sampler.look(now, &[idle]);
    }
    let found = estimate(&sampler.statements[&of(1)], Calls { calls: 100_000, mean_ms: 20.0 }, sampler.looks);
    assert!(found.doubtful && found.percentiles.p50.is_some());
    assert!(
        !estimate(&sampler.statements[&of(1)], Calls { calls: 100_000, mean_ms: 1.0 }, sampler.looks)
            .doubtful
    );
}

#[test]
fn what_ended_before_the_first_look_does_not_count() {
    let mut sampler = Sampler::new(INTERVAL_US);
    let old = Sample {
        pid: 1,
        statement: of(1),
        activity: Activity::Idle,
        query_start_us: -900_000,
        state_change_us: -1,
        wait: None,
    };
    sampler.look(0, std::slice::from_ref(&old));
    sampler.look(INTERVAL_US, &[old]);
    assert!(sampler.statements.is_empty());
}

#[test]
fn a_clock_that_is_set_back_stops_nothing() {
    let mut sampler = Sampler::new(INTERVAL_US);
    let hour = 3_600_000_000;
    let idle = |now: i64| Sample {
        pid: 1,
        statement: of(1),
        activity: Activity::Idle,
        query_start_us: now - 20_000,
        state_change_us: now - 10_000,
        wait: None,
    };
    for look in 0..10 {
        sampler.look(hour + look * INTERVAL_US, &[idle(hour + look * INTERVAL_US)]);
    }
    for look in 1..=10 {
        sampler.look(look * INTERVAL_US, &[idle(look * INTERVAL_US)]);
    }
    let seen = &sampler.statements[&of(1)];
    // All but what had ended before the first look.
    assert_eq!((seen.body.samples(), seen.tail.samples()), (19, 0));
    assert!((sampler.seconds() - 1.8).abs() < 0.11, "{}", sampler.seconds());
}
