//! Does one `serve` watch several servers, each on its own, and follow the file that names them?

use std::collections::{HashMap, HashSet};

use apply::history::{HistoryOptions, HistoryWriter};
use history::{Figures, Interval, StatementDelta, StatementName};
use postgres::{Environment, Target};

use crate::program::User;
use crate::serve::{Metrics, Serving};
use crate::world::World;

/// A file that names servers.
fn servers(user: &User, named: &[(&str, &str)]) -> String {
    let text: String = named
        .iter()
        .map(|(name, url)| format!("- targets: [ '{url}' ]\n  labels: {{ server: {name} }}\n"))
        .collect();
    // In its place at once, as who writes such a file should.
    let new = user.write("servers.new", text);
    let file = user.file("servers.yml");
    std::fs::rename(new, &file).unwrap();
    file.display().to_string()
}

fn up(metrics: &Metrics, server: &str) -> Option<f64> {
    metrics.value("pgwright_up", &format!("server=\"{server}\""))
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_come_and_go_and_one_that_is_away_takes_no_other_along() {
    let major = testkit::versions()[0].major;
    let mut server = testkit::server_with(major, &[]);
    let (one, two, three) = (World::on(&server).await, World::new().await, World::new().await);
    let user = User::new();
    user.write(
        "pgwright.toml",
        "[alerts]\ninterval = \"200ms\"\ndisable = [\"PostgresRestarted\"]\nstate_file = \"alerts.json\"\n[alerts.change.PostgresDown]\nfor = \"1s\"\n",
    );
    let file = servers(&user, &[("one", &one.url), ("two.2", &two.url)]);
    let serving = Serving::of(
        &user,
        &["--listen", "127.0.0.1:0", "--servers", &file, "--interval", "statements=300ms"],
    );
    let metrics = serving.wait_for("both", |m| {
        let read = |server: &str| {
            let of_server = format!("server=\"{server}\"");
            m.of("postgres_connections").keys().any(|labels| labels.contains(&of_server))
        };
        up(m, "one") == Some(1.0) && up(m, "two.2") == Some(1.0) && read("one") && read("two.2")
    });
    assert_eq!(metrics.value("pgwright_servers", ""), Some(2.0));
    assert_eq!(metrics.value("pgwright_servers_file_valid", ""), Some(1.0));
    // Each family stands there once, and what is of pgwright itself as well.
    assert_eq!(metrics.0.matches("# TYPE postgres_connections gauge").count(), 1);
    assert_eq!(metrics.of("pgwright_process_resident_memory_bytes").len(), 1);
    assert_eq!(serving.get("/healthz", &[]).status, 200);
    let page = serving.get("/", &[]);
    assert_eq!(page.status, 200);
    assert!(
        page.body.contains("href=\"/s/one/\"") && page.body.contains("href=\"/s/two.2/\""),
        "{}",
        page.body
    );
    assert_eq!(page.body.matches(">connected<").count(), 2, "{}", page.body);
    // Their own pages, with links among themselves and back.
    let page = serving.get("/s/one/statements?sort=calls", &[]);
    assert_eq!(page.status, 200, "{}", page.body);
    assert!(
        page.body.contains(" href=\"/s/one/tables\"") && page.body.contains(" href=\"/servers\""),
        "{}",
        page.body
    );
    assert!(!page.body.contains(" href=\"/tables\""), "{}", page.body);
    assert!(page.body.contains(&one.name) && !page.body.contains(&two.name));
    let moved = serving.get("/s/one", &[]);
    assert!(moved.status == 303 && moved.head.contains("location: /s/one/"), "{}", moved.head);
    assert_eq!(serving.get("/s/one/nonsense", &[]).status, 404);
    assert_eq!(serving.get("/s/one/api/alerts", &[]).status, 200);
    // One of them restarts: it is found again, and the other has not noticed.
    let settings = [("shared_preload_libraries".to_owned(), "pg_stat_statements".to_owned())];
    server.restart(&settings).unwrap();
    let connections = |m: &Metrics, server: &str| {
        m.value("pgwright_connections_total", &format!("server=\"{server}\"")).unwrap_or(0.0)
    };
    let metrics = serving.wait_for("again", |m| connections(m, "one") >= 2.0 && up(m, "one") == Some(1.0));
    assert_eq!(connections(&metrics, "two.2"), 1.0);
    // One is away for good.
    server.stop().unwrap();
    let metrics = serving.wait_for("away", |m| up(m, "one") == Some(0.0));
    assert_eq!(up(&metrics, "two.2"), Some(1.0));
    assert_eq!(serving.get("/healthz", &[]).status, 503);
    let began = std::time::Instant::now();
    let fired = loop {
        let told = serving.get("/", &[]).body;
        if told.contains("href=\"/s/one/alerts\"") || began.elapsed().as_secs() > 20 {
            break told;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    };
    assert!(fired.contains("href=\"/s/one/alerts\"") && fired.contains("not connected"), "{fired}");
    assert!(!fired.contains("href=\"/s/two.2/alerts\""), "{fired}");
    let alerts = serving.get("/s/one/api/alerts", &[]).body;
    assert!(alerts.contains("PostgresDown") && alerts.contains("\"server\":\"one\""), "{alerts}");
    let overview = serving.get("/s/one/", &[]).body;
    assert!(overview.contains("critical: "), "{overview}");
    // One is added, one is taken away.
    servers(&user, &[("one", &one.url), ("three", &three.url)]);
    let metrics = serving.wait_for("another", |m| up(m, "three") == Some(1.0) && up(m, "two.2").is_none());
    assert!(!metrics.0.contains("server=\"two.2\""), "{}", metrics.0);
    let gone = serving.get("/s/two.2/", &[]);
    assert!(gone.status == 303 && gone.head.contains("location: /servers"), "{}", gone.head);
    // A file with a mistake changes nothing, and it is said.
    user.write("servers.yml", "- targets: [ 'postgres://x/y' ]\n  labels: { server: '../x' }\n");
    let metrics = serving.wait_for("noticed", |m| m.value("pgwright_servers_file_valid", "") == Some(0.0));
    assert_eq!(up(&metrics, "three"), Some(1.0));
    assert!(serving.get("/", &[]).body.contains("../x"));
    servers(&user, &[("three", &three.url)]);
    serving.wait_for("mended", |m| {
        m.value("pgwright_servers_file_valid", "") == Some(1.0)
            && m.value("pgwright_servers", "") == Some(1.0)
    });
    serving.stop();
    assert!(user.file("alerts.json.one").is_file());
}

#[tokio::test(flavor = "multi_thread")]
async fn each_server_has_its_own_log_and_one_that_cannot_be_read_costs_nothing_else() {
    let server = crate::world::server_that_logs(&[]);
    let url = server.url("postgres");
    let client = testkit::connect(&url).await;
    client.batch_execute("create extension pg_stat_statements; select pg_sleep(0.01)").await.unwrap();
    let user = User::new();
    let (log, later) = (server.log_file().display().to_string(), user.file("later.log"));
    let entry = |name: &str, log: &str| {
        format!("- targets: [ '{url}' ]\n  labels: {{ server: {name}, log: '{log}' }}\n")
    };
    let file = user.write("servers.yml", entry("one", &log) + &entry("two", &later.display().to_string()));
    let serving = Serving::of(
        &user,
        &["--listen", "127.0.0.1:0", "--servers", file.to_str().unwrap(), "--interval", "statements=500ms"],
    );
    let of = |m: &Metrics, name: &str, server: &str| {
        m.value(&format!("pgwright_log_{name}_total"), &format!("server=\"{server}\"")).unwrap_or(0.0)
    };
    let metrics =
        serving.wait_for("read", |m| of(m, "readings", "one") >= 2.0 && of(m, "failures", "two") >= 2.0);
    assert_eq!((up(&metrics, "one"), up(&metrics, "two")), (Some(1.0), Some(1.0)));
    assert_eq!(of(&metrics, "failures", "one"), 0.0);
    client.batch_execute("select pg_sleep(0.02)").await.unwrap();
    let metrics = serving.wait_for("told by one log", |m| of(m, "executions", "one") == 1.0);
    assert_eq!(of(&metrics, "executions", "two"), 0.0);
    // From when it can be read, the other is followed too.
    std::os::unix::fs::symlink(&log, &later).unwrap();
    let so_far = of(&metrics, "readings", "two");
    serving.wait_for("followed", |m| of(m, "readings", "two") >= so_far + 2.0);
    client.batch_execute("select pg_sleep(0.02)").await.unwrap();
    serving
        .wait_for("told by both", |m| of(m, "executions", "one") == 2.0 && of(m, "executions", "two") == 1.0);
    serving.stop();
    let asleep = user.run(&["serve", "--servers", file.to_str().unwrap(), "--sampling", "0"]);
    asleep.fails(2).tells("the log of server \"one\" needs sampling");
}

#[test]
fn a_file_of_servers_that_cannot_be_used_is_refused() {
    let user = User::new();
    let refused = |text: &str, message: &str| {
        user.write("servers.yml", text);
        user.run(&["serve", "--listen", "127.0.0.1:0", "--servers", "servers.yml"])
            .fails(2)
            .tells("could not use \"servers.yml\"")
            .tells(message);
    };
    refused("- targets: [a]\n", "labels");
    refused("- targets: ['postgres://a:b:c/']\n  labels: { server: a }\n", "Server \"a\"");
    user.run(&["serve", "--servers", "missing.yml"]).fails(2).tells("missing.yml");
    user.write("servers.yml", "");
    user.run(&["serve", "--servers", "servers.yml", "--history", "--source", "x"]).fails(2).tells("--source");
}

/// Two hours in which the calls of one statement took 1 ms, and 40 ms from the middle on.
async fn write_past(world: &World, server: &str) {
    let target = Target::parse(Some(&world.url), &Environment::default()).unwrap();
    let (mut writer, _) = HistoryWriter::open(&target, HistoryOptions::new(server)).await.unwrap();
    let name = StatementName {
        datname: world.name.as_str().into(),
        rolname: "app".into(),
        queryid: 7,
        toplevel: true,
    };
    let step = chrono::TimeDelta::minutes(5);
    let begin = chrono::Utc::now() - step * 24;
    for number in 0..24 {
        let figures = Figures {
            calls: 3000.0,
            rows: 3000.0,
            exec_ms: if number < 12 { 3000.0 } else { 120_000.0 },
            ..Figures::default()
        };
        let from = begin + step * number;
        let interval = Interval {
            from,
            to: from + step,
            at: from,
            set_back: None,
            set_forward: chrono::TimeDelta::zero(),
            seconds: 300.0,
            intervals: 1,
            resets: 0,
            statements: [(name.clone(), StatementDelta { figures, ..StatementDelta::default() })].into(),
            waits: HashMap::new(),
            values: HashMap::new(),
            counters: HashMap::new(),
            gone: HashSet::new(),
            reset_us: None,
            series_counters: HashMap::new(),
            texts: [(7, "select v from \"a\"\"b.c\" where slowed = $1".to_owned())].into(),
            plans: Vec::new(),
        };
        writer.store(&interval).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_server_has_a_history_and_the_page_says_what_got_slower() {
    let (one, two) = (World::new().await, World::new().await);
    write_past(&one, "one").await;
    let user = User::new();
    let file = servers(&user, &[("one", &one.url), ("two", &two.url)]);
    let serving = Serving::of(
        &user,
        &["--listen", "127.0.0.1:0", "--servers", &file, "--history", "--interval", "statements=300ms"],
    );
    for server in ["one", "two"] {
        let of_server = format!("server=\"{server}\"");
        serving.wait_for("kept", |m| m.value("pgwright_history_intervals_total", &of_server) >= Some(2.0));
    }
    // 36,000 calls an hour, each 39 ms longer.
    let page = serving.get("/", &[]).body;
    let row = page.split("<tr>").find(|row| row.contains("href=\"/s/one/\"")).unwrap();
    assert!(row.contains(" per hour: ") && row.contains("where slowed = $1"), "{row}");
    let lost = row.split(" per hour: ").next().and_then(|r| r.rsplit('>').next()).unwrap();
    assert!(lost.contains("min"), "{lost}");
    let other = page.split("<tr>").find(|row| row.contains("href=\"/s/two/\"")).unwrap();
    assert!(!other.contains("slowed"), "{other}");
    let overview = serving.get("/s/one/?window=1h", &[]).body;
    assert!(overview.contains("where slowed = $1") && overview.contains("What got slower"), "{overview}");
    serving.stop();
    // Each is kept under its own name, in its own database.
    for (world, server) in [(&one, "one"), (&two, "two")] {
        assert_eq!(world.value("select string_agg(name, ',') from pgwright.history_source").await, server);
    }
    user.run(&["history", "--source", "one", "--last", "1h", &one.url]).exits(0).says("where slowed");
}
