//! Do logs that real servers wrote add up to what was done on them?

use std::time::Duration;

use serde_json::Value;

use crate::program::User;
use crate::world::World;

const SETTINGS: &[(&str, &str)] = &[
    ("logging_collector", "on"),
    ("log_destination", "stderr,csvlog,jsonlog"),
    ("log_directory", "log"),
    ("log_filename", "server.log"),
    ("log_line_prefix", "%m [%p] %q%u@%d "),
    ("log_min_duration_statement", "0"),
    ("log_checkpoints", "on"),
    ("log_connections", "on"),
    ("log_disconnections", "on"),
    ("log_lock_waits", "on"),
    ("deadlock_timeout", "50ms"),
    ("log_temp_files", "0"),
    ("shared_preload_libraries", "pg_stat_statements,auto_explain"),
    ("auto_explain.log_min_duration", "0"),
];

/// What is done on each server; what its log must say is in [`check`].
async fn live(world: &World) {
    world.sql("create table \"a\"\"b.c\" (id int primary key, v text)").await;
    world.sql("insert into \"a\"\"b.c\" select g, 'x' from generate_series(1, 1000) g").await;
    for i in 0..400 {
        world.sql(&format!("select v from \"a\"\"b.c\" where id = {i}")).await;
    }
    for i in 0..50_i32 {
        world
            .client
            .query("select v from \"a\"\"b.c\" where id > $1 order by v limit 1", &[&i])
            .await
            .unwrap();
    }
    for i in 0..3 {
        world.client.batch_execute(&format!("select * from missing_{i}")).await.unwrap_err();
    }
    world.sql("set work_mem = '64kB'; select count(*) from (select g from generate_series(1, 50000) g order by g desc) s").await;
    let holder = testkit::connect(&world.url).await;
    holder.batch_execute("begin; update \"a\"\"b.c\" set v = 'y' where id = 1").await.unwrap();
    let waiter = testkit::connect(&world.url).await;
    let wait =
        tokio::spawn(
            async move { waiter.batch_execute("update \"a\"\"b.c\" set v = 'z' where id = 1").await },
        );
    tokio::time::sleep(Duration::from_millis(300)).await;
    holder.batch_execute("commit").await.unwrap();
    wait.await.unwrap().unwrap();
    world.sql("checkpoint").await;
}

fn statement<'a>(report: &'a Value, text: &str) -> &'a Value {
    let statements = report["statements"].as_array().unwrap();
    statements.iter().find(|s| s["text"] == text).unwrap_or_else(|| panic!("{text} is not in {report:#}"))
}

fn check(report: &Value) {
    let looked_up = statement(report, "select v from \"a\"\"b.c\" where id = $1");
    assert_eq!(looked_up["durations"]["calls"], 400);
    assert!(looked_up["durations"]["p99"]["value"].as_f64().unwrap() > 0.0);
    assert_eq!(looked_up["plan"]["plans"], 400);
    // A statement of the extended protocol is one, though it is logged in three steps.
    let sorted = statement(report, "select v from \"a\"\"b.c\" where id > $1 order by v limit $2");
    assert_eq!(sorted["durations"]["calls"], 50);
    assert!(sorted["durations"]["p99"].is_null(), "50 executions are too few");
    assert!(sorted["parse_ms"].as_f64().unwrap() > 0.0 && sorted["bind_ms"].as_f64().unwrap() > 0.0);
    let missing = report["errors"]
        .as_array()
        .unwrap()
        .iter()
        .find(|e| e["class"].as_str().unwrap().starts_with("relation"))
        .unwrap();
    assert_eq!((&missing["severity"], &missing["count"]), (&"ERROR".into(), &3.into()));
    assert_eq!(missing["statement"], "select * from missing_0");
    assert!(report["temporary_files"]["files"].as_u64().unwrap() >= 1);
    let waited = report["locks"].as_array().unwrap().iter().find(|l| l["object"] == "transaction").unwrap();
    assert_eq!((&waited["mode"], &waited["waits"]["calls"]), (&"ShareLock".into(), &1.into()));
    let update = statement(report, "update \"a\"\"b.c\" set v = $1 where id = $2");
    assert_eq!(update["lock_waits"], 1);
    assert!(update["durations"]["max_ms"].as_f64().unwrap() >= 50.0);
    assert!(report["checkpoints"]["completed"].as_u64().unwrap() >= 1);
    assert!(report["connections"]["authorized"].as_u64().unwrap() >= 3);
    assert_eq!(report["unread_lines"], 0, "{}", report["first_unread_line"]);
}

/// The answer but for what names the file.
fn analyzed(user: &User, arguments: &[&str]) -> Value {
    let output = user.run(&[&["logs", "analyze", "--json", "--limit", "100"], arguments].concat());
    assert_eq!(output.code, Some(0), "{output}");
    let mut report: Value = serde_json::from_str(&output.stdout).unwrap();
    report["files"] = Value::Null;
    report
}

/// Waits until a log holds a text: the collector writes behind the server's back.
async fn until_written(path: &std::path::Path, text: &str) {
    for _ in 0..200 {
        if std::fs::read_to_string(path).is_ok_and(|log| log.contains(text)) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("\"{text}\" was not written to {}", path.display());
}

async fn logs_say_what_was_done(major: u32) {
    let server = testkit::server_with(major, SETTINGS);
    let world = World::on(&server).await;
    live(&world).await;
    let written = server.data_dir().join("log/server.log");
    // All three logs end with the same entry.
    until_written(&written, "checkpoint complete").await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let user = User::new();
    let log = user.file("server.log");
    for ending in ["log", "csv", "json"] {
        std::fs::copy(written.with_extension(ending), log.with_extension(ending)).unwrap();
    }
    let path = |ending: &str| log.with_extension(ending).display().to_string();
    let stderr = analyzed(&user, &[&path("log")]);
    check(&stderr);
    let csv = analyzed(&user, &[&path("csv")]);
    check(&csv);
    // Only these two name the class.
    assert_eq!(csv["errors"][0]["sqlstate"], "42P01");
    let json = analyzed(&user, &[&path("json")]);
    assert_eq!(json, csv, "the formats of one log differ");
    // stderr logs leave out the client and the class, and say the rest.
    for part in
        ["durations", "severities", "checkpoints", "temporary_files", "locks", "hours", "first", "last"]
    {
        assert_eq!(stderr[part], csv[part], "{part}");
    }
    // Compressed and through a pipe it is the same log.
    let packed = zstd::encode_all(&std::fs::read(&log).unwrap()[..], 1).unwrap();
    let packed = user.write("log.zst", packed);
    assert_eq!(analyzed(&user, &[packed.to_str().unwrap()]), stderr);
    let piped = user.run_with_input(
        &["logs", "analyze", "-", "--json", "-n", "100"],
        &std::fs::read_to_string(&log).unwrap(),
    );
    let mut piped: Value = serde_json::from_str(&piped.stdout).unwrap();
    piped["files"] = Value::Null;
    assert_eq!(piped, stderr);
}

#[tokio::test]
async fn logs_say_what_was_done_on_15() {
    logs_say_what_was_done(15).await;
}

#[tokio::test]
async fn logs_say_what_was_done_on_18() {
    logs_say_what_was_done(18).await;
}

const LOG: &str = "2026-03-01 10:00:00.000 UTC [1] bob@shop LOG:  duration: 1.000 ms  statement: select 1\n\
                   2026-03-01 11:00:00.000 UTC [1] bob@shop ERROR:  no \x1b[2J<script>\n";

#[test]
fn text_pages_and_data_say_the_same() {
    let user = User::new();
    user.write("server.log", LOG);
    let text = user.run(&["logs", "analyze", "server.log"]);
    assert_eq!(text.code, Some(0), "{text}");
    assert!(text.stdout.contains("select $1") && text.stdout.contains("no \\u{1b}[2J<script>"), "{text}");
    for (name, expected) in [
        ("out.html", "no \\u{1b}[2J&lt;script&gt;"),
        ("out.md", "select $1"),
        ("out.json", "\"pgwright.logs\""),
    ] {
        let output = user.run(&["logs", "analyze", "server.log", "--out", name]);
        assert_eq!(output.code, Some(0), "{output}");
        let page = std::fs::read_to_string(user.file(name)).unwrap();
        assert!(page.contains(expected), "{name}: {page}");
    }
    let later = user.run(&["logs", "analyze", "server.log", "--from", "2026-03-01 10:30"]);
    assert!(!later.stdout.contains("select $1") && later.stdout.contains("1 entry left out"), "{later}");
}

#[test]
fn what_cannot_be_analyzed_is_said() {
    let user = User::new();
    user.write("novel.txt", "It was a dark and stormy night.\n");
    user.write("server.log", LOG);
    for (arguments, expected) in [
        (&["nowhere.log"][..], "could not read \"nowhere.log\""),
        (&["novel.txt"], "no entry of a PostgreSQL log was found in \"novel.txt\""),
        (&["server.log", "--log-line-prefix", "%z"], "\"%z\" is no escape"),
        (&["server.log", "--from", "2026-03-02", "--to", "2026-03-01"], "--from is not before --to"),
        (&["server.log", "--from", "noon"], "is not a time such as"),
        (&["server.log", "--sampled-below", "10ms"], "--sample-rate"),
        (&["server.log", "--sampled-below", "10ms", "--sample-rate", "2"], "is not a rate"),
    ] {
        let output = user.run(&[&["logs", "analyze"], arguments].concat());
        assert_eq!(output.code, Some(2), "{output}");
        assert!(output.stderr.contains(expected), "{output}");
    }
}
