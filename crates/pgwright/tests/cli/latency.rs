//! Does `latency` see how long statements take? The truth is what the clients of the test measured.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::program::User;
use crate::world::World;

/// Clients that sleep in the server for `ms` on average, 8 at a time, and pause; gives what each call took, in ms. They go on until
/// who watches them has ended: on a busy machine that begins late.
async fn sleepers(url: String, ms: u64, ended: Arc<AtomicBool>) -> Vec<f64> {
    let clients = (0..8_u64).map(|n| {
        let (url, ended) = (url.clone(), ended.clone());
        tokio::spawn(async move {
            let client = testkit::connect(&url).await;
            let mut took = Vec::new();
            let mut i = n;
            while !ended.load(Ordering::Relaxed) {
                // From half to one and a half times the mean, in an order that has no rhythm.
                let this = ms / 2 + i * 47 % ms;
                i += 1;
                let began = Instant::now();
                client.batch_execute(&format!("select pg_sleep({})", this as f64 / 1000.0)).await.unwrap();
                took.push(began.elapsed().as_secs_f64() * 1000.0);
                tokio::time::sleep(Duration::from_millis(20 + i * 17 % 40)).await;
            }
            took
        })
    });
    let mut all = Vec::new();
    for client in clients.collect::<Vec<_>>() {
        all.extend(client.await.unwrap());
    }
    all.sort_by(f64::total_cmp);
    all
}

fn sleep(report: &Value) -> &Value {
    let statements = report["statements"].as_array().unwrap();
    statements
        .iter()
        .find(|s| s["query"].as_str().unwrap().contains("pg_sleep"))
        .unwrap_or_else(|| panic!("{report:#}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn percentiles_are_those_that_clients_measure() {
    let world = World::new().await;
    let user = User::new();
    let ended = Arc::new(AtomicBool::new(false));
    let clients = tokio::spawn(sleepers(world.url.clone(), 120, ended.clone()));
    let url = world.url.clone();
    let output = tokio::task::spawn_blocking(move || user.run(&["latency", "--for", "6s", "--json", &url]))
        .await
        .unwrap();
    ended.store(true, Ordering::Relaxed);
    let truth = clients.await.unwrap();
    assert_eq!(output.code, Some(0), "{output}");
    let report: Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(report["schema"], "pgwright.latency");
    let found = sleep(&report);
    // Executions from 60 to 180 ms: those of 100 ms and more are all seen, of the others some.
    assert!(
        found["tail_samples"].as_u64().unwrap() > 50 && found["body_samples"].as_u64().unwrap() > 10,
        "{found:#}"
    );
    for (name, share, asked) in [("p50", 0.5, 120.0), ("p95", 0.95, 174.0), ("p99", 0.99, 178.8)] {
        let value = found[name]["value"].as_f64().unwrap_or_else(|| panic!("{name}: {found:#}"));
        // The server sleeps at least as long as it was told to, and where others keep the machine busy its clients wait longer than that.
        let waited = truth[(share * truth.len() as f64) as usize];
        assert!((asked * 0.85..waited * 1.2).contains(&value), "{name}: {value} {waited} {found:#}");
    }
    assert_eq!(found["doubtful"], false);
    assert_eq!(found["waits"][0]["event"], "Timeout: PgSleep");
    assert!(found["active_sessions"].as_f64().unwrap() > 3.0, "{found:#}");
    // What pgwright itself does is left out.
    assert!(!output.stdout.contains("pgwright:"), "{output}");
}

#[tokio::test]
async fn a_quiet_database_and_bad_arguments_are_said() {
    let world = World::new().await;
    let user = User::new();
    let quiet = user.run(&["latency", "--for", "300ms", &world.url]);
    assert_eq!(quiet.code, Some(0), "{quiet}");
    assert!(quiet.stdout.contains("0.00 sessions active on average"), "{quiet}");
    for arguments in [["--interval", "1ms"], ["--interval", "2m"]] {
        let output = user.run(&["latency", arguments[0], arguments[1], &world.url]);
        assert_eq!(output.code, Some(2), "{output}");
        assert!(output.stderr.contains("--interval is out of range"), "{output}");
    }
    let absent = user.run(&["latency", "--for", "300ms", "postgres://postgres@/?host=/nowhere"]);
    assert_eq!(absent.code, Some(2), "{absent}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_tells_what_looks_see_only_a_part_of() {
    let sampled = [("log_min_duration_sample", "0"), ("log_statement_sample_rate", "0.2")];
    let server = crate::world::server_that_logs(&sampled);
    let url = server.url("postgres");
    let client = testkit::connect(&url).await;
    client.batch_execute("create extension pg_stat_statements; create table t (id int)").await.unwrap();
    let log = server.log_file().to_str().unwrap().to_owned();
    let ended = Arc::new(AtomicBool::new(false));
    let clients = tokio::spawn(sleepers(url.clone(), 16, ended.clone()));
    let writes_on = ended.clone();
    let writer = tokio::spawn(async move {
        while !writes_on.load(Ordering::Relaxed) {
            client.execute("insert into t values ($1)", &[&1]).await.unwrap();
        }
    });
    let (of_program, path) = (url.clone(), log.clone());
    let user = User::new();
    let output = tokio::task::spawn_blocking(move || {
        user.run(&["latency", "--for", "6s", "--json", "--log", &path, &of_program])
    })
    .await
    .unwrap();
    ended.store(true, Ordering::Relaxed);
    let truth = clients.await.unwrap();
    writer.await.unwrap();
    assert_eq!(output.code, Some(0), "{output}");
    let report: Value = serde_json::from_str(&output.stdout).unwrap();
    let found = sleep(&report);
    let (calls, logged) = (found["calls"].as_u64().unwrap(), found["logged"].as_u64().unwrap());
    // From 8 to 24 ms: seven of eight are logged for their duration, and a fifth of the others.
    assert!(logged > calls / 2 && logged < calls, "{logged} of {calls}");
    let value = |name: &str| found[name]["value"].as_f64().unwrap_or_else(|| panic!("{name}: {found:#}"));
    for (name, share, asked) in [("p50", 0.5, 16.0), ("p95", 0.95, 23.2), ("p99", 0.99, 23.8)] {
        // The server sleeps at least as long as it was told to, and where others keep the machine busy its clients wait longer than that.
        let waited = truth[(share * truth.len() as f64) as usize];
        assert!((asked * 0.85..waited * 1.2).contains(&value(name)), "{name}: {} {waited}", value(name));
    }
    let insert = report["statements"].as_array().unwrap().iter().find(|s| {
        let text = s["query"].as_str().unwrap();
        text.starts_with("insert into t")
    });
    assert_eq!(insert.unwrap()["logged"], 0, "its log has no commits");
    let notes = report["notes"].to_string();
    assert!(notes.contains("does not hold the commit"), "{notes}");

    // What cannot help is said before anybody waits.
    let user = User::new();
    let client = testkit::connect(&url).await;
    client.batch_execute("alter database postgres set log_min_duration_statement = -1").await.unwrap();
    client.batch_execute("alter database postgres set log_min_duration_sample = -1").await.unwrap();
    let refused = user.run(&["latency", "--for", "1h", "--log", &log, &url]);
    assert_eq!(refused.code, Some(2), "{refused}");
    assert!(refused.stderr.contains("logs no durations that help"), "{refused}");
    client.batch_execute("alter database postgres reset all").await.unwrap();
    let missing = user.run(&["latency", "--for", "1h", "--log", "/nowhere/server.log", &url]);
    assert_eq!(missing.code, Some(2), "{missing}");
    assert!(missing.stderr.contains("could not read the log /nowhere/server.log"), "{missing}");
}
