//! Does `serve` tell what the server counts, to whom it may, and does it go on whatever happens to the server?

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::program::{Running, User};
use crate::world::World;

/// A `serve` that is at work, and where it listens.
pub struct Serving {
    program: Running,
    pub address: String,
}

/// An answer: its status, its head and its body.
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

/// Asks for a page; an answer in one piece.
pub fn get(address: &str, path: &str, headers: &[(&str, &str)]) -> std::io::Result<Answer> {
    let mut stream = TcpStream::connect(address)?;
    // HTTP/1.0 gets its answer in one piece.
    let mut request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\nConnection: close\r\n");
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.write_all(format!("{request}\r\n").as_bytes())?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let (head, body) = text.split_once("\r\n\r\n").ok_or(std::io::ErrorKind::UnexpectedEof)?;
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
    Ok(Answer { status, head: head.to_ascii_lowercase(), body: body.to_owned() })
}

impl Serving {
    pub fn start(user: &User, url: &str, arguments: &[&str]) -> Self {
        let mut all = vec!["--listen", "127.0.0.1:0"];
        all.extend(arguments);
        all.push(url);
        Self::of(user, &all)
    }

    /// One that is told nothing else.
    pub fn of(user: &User, arguments: &[&str]) -> Self {
        let all: Vec<&str> = ["serve"].iter().chain(arguments).copied().collect();
        let mut program = user.start(&all);
        program.wait_to_tell("; stop with Ctrl-C");
        let told = program.told();
        let address = told.split("http://").nth(1).and_then(|t| t.split('/').next()).unwrap().to_owned();
        Self { program, address }
    }

    pub fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        get(&self.address, path, headers).unwrap()
    }

    pub fn metrics(&self) -> Metrics {
        let answer = self.get("/metrics", &[]);
        assert_eq!(answer.status, 200, "{}", answer.body);
        Metrics(answer.body)
    }

    /// Waits until the metrics are as wanted.
    pub fn wait_for(&self, what: &str, condition: impl Fn(&Metrics) -> bool) -> Metrics {
        let began = Instant::now();
        loop {
            let metrics = self.metrics();
            if condition(&metrics) {
                return metrics;
            }
            assert!(began.elapsed() < Duration::from_secs(30), "never {what}:\n{}", metrics.0);
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Ends it as nobody can expect.
    pub fn kill(self) {
        self.program.signal("KILL");
        self.program.wait();
    }

    pub fn stop(self) {
        self.program.signal("TERM");
        let output = self.program.wait();
        assert_eq!(output.code, Some(0), "{output}");
    }
}

/// Samples as text.
pub struct Metrics(pub String);

impl Metrics {
    /// The values of a metric by its labels.
    pub fn of(&self, name: &str) -> BTreeMap<String, f64> {
        let lines = self.0.lines().filter_map(|line| {
            let rest = line.strip_prefix(name)?;
            let (labels, value) = rest.rsplit_once(' ')?;
            (labels.is_empty() || labels.starts_with('{'))
                .then(|| (labels.to_owned(), value.parse().unwrap()))
        });
        lines.collect()
    }

    /// The only value of a metric whose labels hold a text.
    pub fn value(&self, name: &str, labels: &str) -> Option<f64> {
        let found: Vec<f64> =
            self.of(name).into_iter().filter(|(l, _)| l.contains(labels)).map(|(_, v)| v).collect();
        assert!(found.len() <= 1, "{name} {labels}: {found:?}");
        found.first().copied()
    }

    pub fn sum(&self, name: &str) -> f64 {
        self.of(name).values().sum()
    }
}

/// Every collector has run.
pub fn complete(metrics: &Metrics) -> bool {
    metrics.of("pgwright_collector_runs_total").len() >= 20
}

#[tokio::test(flavor = "multi_thread")]
async fn every_version_tells_what_it_counts() {
    let user = User::new();
    for server in testkit::servers() {
        let major = server.binaries().major;
        let world = World::on(server).await;
        world.load("create table \"a\"\"b.c\" (id int primary key); insert into \"a\"\"b.c\" select generate_series(1, 10)").await;
        let serving = Serving::start(&user, &world.url, &["--interval", "tables=300ms"]);
        let labels = format!("{{datname=\"{}\",schema=\"public\",table=\"a\\\"b.c\"}}", world.name);
        // The server's statistics lag, by up to ten seconds.
        if major >= 15 {
            world.sql("select pg_stat_force_next_flush()").await;
        }
        let inserted = "postgres_table_rows_inserted_total";
        let metrics =
            serving.wait_for("complete", |m| complete(m) && m.value(inserted, &labels) == Some(10.0));
        assert_eq!(serving.get("/healthz", &[]).status, 200);
        assert!(metrics.of("pgwright_collector_up").values().all(|up| *up == 1.0), "{major}: {}", metrics.0);
        assert!(metrics.value("postgres_index_size_bytes", "a\\\"b.c_pkey").unwrap() >= 8192.0);
        let datname = format!("datname=\"{}\"", world.name);
        for name in [
            "postgres_database_size_bytes",
            "postgres_database_deadlocks_total",
            "postgres_database_blocks_hit_total",
            "postgres_longest_transaction_seconds",
        ] {
            assert!(metrics.value(name, &datname).is_some(), "{name} on {major}");
        }
        assert!(metrics.value("postgres_connections", &format!("{datname},state=\"idle\"")).unwrap() >= 1.0);
        assert!(metrics.value("postgres_setting", "shared_buffers").unwrap() > 1e5);
        assert!(metrics.value("postgres_checkpoints_timed_total", "").is_some());
        assert_eq!(metrics.of("postgres_io_hits_total").is_empty(), major < 16);
        assert_eq!(metrics.value("postgres_standby_lag_seconds", ""), None);
        let open = serving.get("/metrics", &[("Accept", "application/openmetrics-text;version=1.0.0")]);
        assert!(open.head.contains("content-type: application/openmetrics-text"), "{}", open.head);
        assert!(
            open.body.ends_with("# EOF\n")
                && open.body.contains("# TYPE postgres_database_deadlocks counter\n")
        );
        assert!(open.head.contains("content-security-policy: default-src 'none'"), "{}", open.head);
        serving.stop();
    }
}

/// By how much counters have grown, as Prometheus sees it: a series that begins anew begins at zero.
#[derive(Default)]
struct Increase {
    last: BTreeMap<String, f64>,
    sum: f64,
}

impl Increase {
    /// Looks at the calls of statements of a database, without those of pgwright.
    fn add(&mut self, metrics: &Metrics, database: &str) {
        let mut now = metrics.of("postgres_statement_calls_total");
        now.retain(|labels, _| labels.contains(database) && !labels.contains("\"pgwright\""));
        for (labels, value) in &now {
            let before = self.last.get(labels).copied().filter(|b| b <= value).unwrap_or(0.0);
            self.sum += value - before;
        }
        self.last = now;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_statements_without_a_place_did_is_summed_and_nothing_is_lost() {
    let world = World::new().await;
    let user = User::new();
    let serving = Serving::start(&user, &world.url, &["--statements", "3", "--interval", "statements=200ms"]);
    let run = "pgwright_collector_runs_total";
    serving.wait_for("begun", |m| m.value(run, "\"statements\"").is_some());
    let counted = std::cell::RefCell::new(Increase::default());
    for round in 0..10 {
        counted.borrow_mut().add(&serving.metrics(), &format!("datname=\"{}\"", world.name));
        for column in 1..=12 {
            world.sql(&format!("select {}", vec!["1"; column].join(", "))).await;
        }
        if round == 5 {
            // What was counted before stays counted.
            serving.wait_for("counted before the reset", |m| {
                counted.borrow_mut().add(m, &format!("datname=\"{}\"", world.name));
                counted.borrow().sum >= 72.0
            });
            world.forget_statements().await;
        }
    }
    let calls = "postgres_statement_calls_total";
    let own = format!("datname=\"{}\"", world.name);
    let metrics = serving.wait_for("counted", |m| {
        counted.borrow_mut().add(m, &own);
        // 120 selects and the reset itself.
        counted.borrow().sum >= 121.0
    });
    assert_eq!(counted.borrow().sum, 121.0, "{}", metrics.0);
    let mut places = metrics.of(calls);
    places.retain(|labels, _| !labels.contains("\"other\"") && !labels.contains("\"pgwright\""));
    assert_eq!(places.len(), 3, "{places:?}");
    assert!(metrics.value(calls, &format!("{own},queryid=\"pgwright\"")).unwrap() > 0.0);
    serving.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn histograms_hold_what_clients_measure() {
    let server = testkit::any_server();
    let world = World::on(server).await;
    let user = User::new();
    // Known before, so that it has a place from the beginning.
    world.sql("select pg_sleep(0.0)").await;
    let serving = Serving::start(&user, &world.url, &["--interval", "statements=300ms"]);
    serving.wait_for("begun", |m| m.value("pgwright_collector_runs_total", "\"statements\"").is_some());
    for _ in 0..6 {
        world.sql("select pg_sleep(0.2)").await;
        tokio::time::sleep(Duration::from_millis(130)).await;
    }
    let info = serving.metrics();
    let labels = info.of("postgres_statement_info").into_keys().find(|l| l.contains("pg_sleep($1)")).unwrap();
    let queryid = labels.split(',').nth(1).unwrap().to_owned();
    let count = "postgres_statement_latency_seconds_count";
    let calls = "postgres_statement_calls_total";
    // A look that comes late can miss one of them.
    let metrics = serving.wait_for("counted", |m| {
        m.value(calls, &queryid) == Some(6.0) && m.value(count, &queryid).is_some_and(|n| n >= 4.0)
    });
    let found = metrics.value(count, &queryid).unwrap();
    let bucket = |le: &str| {
        metrics.value("postgres_statement_latency_seconds_bucket", &format!("{queryid},le=\"{le}\"")).unwrap()
    };
    assert!(found <= 6.0, "{}", metrics.0);
    assert_eq!((bucket("0.1"), bucket("1.0"), bucket("+Inf")), (0.0, found, found));
    let sum = metrics.value("postgres_statement_latency_seconds_sum", &queryid).unwrap();
    assert!(sum >= 0.2 * found && sum < 0.5 * found, "{sum} {found}");
    assert!(metrics.value("postgres_wait_seconds_total", "PgSleep").unwrap() > 0.5);
    assert!(metrics.value("postgres_statement_active_seconds_total", &queryid).unwrap() > 0.5);
    serving.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn it_goes_on_when_the_server_was_away() {
    let major = testkit::versions()[0].major;
    let mut server = testkit::server_with(major, &[]);
    let world = World::on(&server).await;
    let user = User::new();
    let serving = Serving::start(&user, &world.url, &["--interval", "statements=200ms"]);
    serving.wait_for("complete", complete);
    world.sql("select 'before'").await;
    let calls = "postgres_statement_calls_total";
    let before = serving.wait_for("counted", |m| m.sum(calls) > 0.0).sum(calls);
    let settings = [("shared_preload_libraries".to_owned(), "pg_stat_statements".to_owned())];
    server.restart(&settings).unwrap();
    let up = "pgwright_connections_total";
    let metrics = serving.wait_for("connected again", |m| m.sum(up) == 2.0 && m.sum("pgwright_up") == 1.0);
    assert!(!metrics.of("pgwright_collector_failures_total").is_empty(), "{}", metrics.0);
    let metrics = serving.wait_for("complete again", |m| !m.of(calls).is_empty() && complete(m));
    // What it acknowledged is still counted.
    assert!(metrics.sum(calls) >= before, "{}", metrics.0);
    server.stop().unwrap();
    serving.wait_for("down", |m| m.sum("pgwright_up") == 0.0 && m.of("postgres_connections").is_empty());
    let health = serving.get("/healthz", &[]);
    assert_eq!((health.status, health.body.as_str()), (503, "a database is not connected\n"));
    serving.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_fails_or_takes_long_takes_nothing_down() {
    let world = World::new().await;
    let user = User::new();
    let role = format!("watcher_{}", world.name);
    world.sql(&format!("create role {role} login")).await;
    let queries = user.write(
        "queries.yaml",
        "pg_slow:\n  query: select pg_sleep(60)::text as x, 1 as y\n  metrics: [{y: {usage: GAUGE}}]\n\
         pg_wrong:\n  query: select nonsense\n  metrics: []\n\
         pg_twice:\n  query: select 'a' as l, 1 as v union all select 'a', 2\n  metrics: [{l: {usage: LABEL}}, {v: {usage: GAUGE}}]\n\
         postgres_wal:\n  query: select 1 as files\n  metrics: [{files: {usage: GAUGE}}]\n\
         pg_database_size:\n  query: SELECT pg_database_size(current_database()) as bytes\n  metrics: [{bytes: {usage: GAUGE, description: Size}}]\n",
    );
    let queries = queries.display().to_string();
    let arguments = ["--queries", &queries, "--timeout", "pg_slow=300ms", "--interval", "connections=500ms"];
    let serving = Serving::start(&user, &world.url_as(&role), &arguments);
    let failures = "pgwright_collector_failures_total";
    let metrics = serving.wait_for("through", |m| complete(m) && m.of(failures).len() >= 3);
    for (collector, reason) in [("wal_files", "privilege"), ("pg_slow", "timeout"), ("pg_wrong", "error")] {
        let labels = format!("collector=\"{collector}\",datname=\"{}\",reason=\"{reason}\"", world.name);
        assert!(metrics.value(failures, &labels).is_some(), "{labels}: {}", metrics.0);
    }
    assert!(metrics.value("pg_database_size_bytes", "").unwrap() > 1e6);
    assert_eq!(metrics.value("pg_twice_v", "l=\"a\""), Some(1.0));
    assert_eq!(metrics.value("pgwright_collector_duplicate_rows", "pg_twice"), Some(1.0));
    // The name of a built-in metric cannot be taken.
    assert!(metrics.of("postgres_wal_files").len() <= 1);
    let runs = |m: &Metrics| m.value("pgwright_collector_runs_total", "\"connections\"").unwrap();
    let before = runs(&metrics);
    serving.wait_for("going on", |m| runs(m) > before + 1.0);
    serving.stop();
    world.sql(&format!("drop role {role}")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn others_are_asked_who_they_are() {
    let world = World::new().await;
    let user = User::new();
    user.run(&["serve", "--listen", "0.0.0.0:0", &world.url])
        .fails(2)
        .tells("error: refusing to listen on 0.0.0.0:0 without authentication")
        .tells("hint: Name a file with a token");
    let hash = user.run_with_input(&["serve", "--hash-password"], "secret words\n").exits(0).stdout;
    let users = user.write("users", format!("ada:{hash}")).display().to_string();
    let token = user.write("token", "0123456789abcdef0123\n").display().to_string();
    let serving = Serving::start(&user, &world.url, &["--token-file", &token, "--users-file", &users]);
    let refused = serving.get("/metrics", &[]);
    assert_eq!(refused.status, 401);
    assert!(refused.head.contains("www-authenticate: basic") && !refused.body.contains("pgwright_up"));
    let bearer = ("Authorization", "Bearer 0123456789abcdef0123");
    assert_eq!(serving.get("/metrics", &[bearer]).status, 200);
    // ada:secret words
    let basic = ("Authorization", "Basic YWRhOnNlY3JldCB3b3Jkcw==");
    assert_eq!(serving.get("/metrics", &[basic]).status, 200);
    assert_eq!(serving.get("/metrics", &[("Authorization", "Basic YWRhOndyb25n")]).status, 401);
    // Says no more than whether it is well.
    assert!([200, 503].contains(&serving.get("/healthz", &[]).status));
    serving.stop();
    // A proxy is believed when it comes from where it is.
    let arguments = ["--proxy-header", "X-Forwarded-User", "--proxy-address", "127.0.0.1"];
    let serving = Serving::start(&user, &world.url, &arguments);
    assert_eq!(serving.get("/metrics", &[]).status, 401);
    assert_eq!(serving.get("/metrics", &[("X-Forwarded-User", "ada")]).status, 200);
    serving.stop();
    let elsewhere = ["--proxy-header", "X-Forwarded-User", "--proxy-address", "127.0.0.2"];
    let serving = Serving::start(&user, &world.url, &elsewhere);
    assert_eq!(serving.get("/metrics", &[("X-Forwarded-User", "ada")]).status, 401);
    serving.stop();
    let weak = user.write("weak", "short").display().to_string();
    user.run(&["serve", "--token-file", &weak, &world.url]).fails(2).tells("shorter than 16 characters");
}

#[test]
fn what_cannot_be_used_is_said() {
    let user = User::new();
    let broken = user.write("broken.yaml", "a: [").display().to_string();
    let url = "postgres://postgres@127.0.0.1:1/x";
    user.run(&["serve", "--queries", &broken, url]).fails(2).tells("could not understand the queries of");
    user.run(&["serve", "--without", "tabels", url]).fails(2).tells("there is no collector \"tabels\"");
    user.run(&["serve", "--interval", "tables=1ms", url]).fails(2).tells("shorter than 100ms");
    user.run(&["serve", "--sampling", "1ms", url]).fails(2).tells("--sampling is out of range");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    user.run(&["serve", "--listen", &address, url]).fails(2).tells("could not listen on");
    user.run(&["serve", "--tls-cert", &broken, "--tls-key", &broken, url]).fails(2).tells("for TLS");
    user.run(&["serve", "--tls-cert", &broken, url]).fails(2).tells("--tls-key");
    let proxy = ["--proxy-address", "10.0.0.5", "--proxy-header"];
    user.run(&[&["serve"], &proxy[..], &["a b", url]].concat()).fails(2).tells("is no name of a header");
    user.run(&["serve", "--proxy-header", "X-User", url]).fails(2).tells("--proxy-address");
    let listed = user.run(&["serve", "--list"]).exits(0);
    assert!(listed.stdout.contains("postgres_statement_latency_seconds"), "{listed}");
}

#[test]
fn the_page_of_metrics_is_what_is_listed() {
    let listed = User::new().run(&["serve", "--list", "--json"]).exits(0).json("metrics");
    let text = |row: &serde_json::Value, key: &str| row[key].as_str().unwrap().to_owned();
    let rows: Vec<String> = listed["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| format!("| `{}` | {} | {} |", text(row, "name"), text(row, "type"), text(row, "help")))
        .collect();
    let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/metrics.md");
    let page = std::fs::read_to_string(page).unwrap();
    let written: Vec<&str> = page.lines().filter(|l| l.starts_with("| `")).collect();
    assert_eq!(written, rows);
}

#[tokio::test(flavor = "multi_thread")]
async fn free_space_in_tables_and_indexes_is_estimated() {
    let world = World::new().await;
    let user = User::new();
    world
        .sql(
            "create table \"loose.t\" (id int primary key, t text); create table tight (id int primary key, t text); \
             insert into \"loose.t\" select i, repeat('x', 100) from generate_series(1, 20000) i; \
             insert into tight select i, repeat('x', 100) from generate_series(1, 20000) i; \
             delete from \"loose.t\" where id % 10 <> 0",
        )
        .await;
    world.sql("vacuum \"loose.t\"").await;
    world.load("select 1").await;
    let serving = Serving::start(&user, &world.url, &["--interval", "bloat=300ms"]);
    let (tables, indexes) = ("postgres_table_bloat_bytes", "postgres_index_bloat_bytes");
    let metrics = serving.wait_for("estimated", |m| !m.of(tables).is_empty() && !m.of(indexes).is_empty());
    let size = metrics.value("postgres_table_size_bytes", "table=\"loose.t\"").unwrap_or(2.8e6);
    let (loose, tight) =
        (metrics.value(tables, "\"loose.t\"").unwrap(), metrics.value(tables, "\"tight\"").unwrap());
    // Nine rows of ten are gone.
    assert!((0.8 * size..size).contains(&loose), "{loose} of {size}");
    assert!(tight < 0.05 * size, "{tight} of {size}");
    assert!(metrics.value(indexes, "index=\"loose.t_pkey\"").unwrap() > 200_000.0, "{}", metrics.0);
    assert!(metrics.value(indexes, "index=\"tight_pkey\"").unwrap() < 50_000.0, "{}", metrics.0);
    serving.stop();
    // Of the largest alone, and the rest as a sum: together as much as before.
    let serving = Serving::start(&user, &world.url, &["--interval", "bloat=300ms", "--objects", "1"]);
    let metrics = serving.wait_for("estimated", |m| !m.of(tables).is_empty());
    assert_eq!(metrics.of(tables).len(), 2, "{}", metrics.0);
    assert!((metrics.sum(tables) - loose - tight).abs() < 1.0, "{}", metrics.0);
    serving.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn options_stand_in_the_configuration_as_well() {
    let world = World::new().await;
    let user = User::new();
    user.write(
        "pgwright.toml",
        format!(
            "url = \"{}\"\n[serve]\nlisten = \"127.0.0.1:0\"\nwithout = [\"jobs\"]\nstatements = 3\ncompat = true\n\
             [serve.interval]\ntables = \"400ms\"\n",
            world.url
        ),
    );
    let serving = Serving::of(&user, &[]);
    let tables = "collector=\"tables\"";
    let metrics = serving.wait_for("as configured", |m| {
        m.value("pgwright_collector_runs_total", tables).is_some_and(|runs| runs > 2.0)
            && m.0.contains("\npg_up 1")
    });
    assert_eq!(metrics.value("pgwright_collector_runs_total", "collector=\"jobs\""), None);
    serving.stop();
    // The command line comes first.
    let serving = Serving::of(&user, &["--without", "tables"]);
    let metrics = serving.wait_for("through", |m| {
        m.value("pgwright_collector_runs_total", "\"jobs\"").is_some() || complete(m)
    });
    assert_eq!(metrics.value("pgwright_collector_runs_total", tables), None);
    serving.stop();
    for (text, message) in [
        ("[serve]\nlistn = \"127.0.0.1:0\"\n", "listn"),
        ("[serve]\nsampling = \"soon\"\n", "soon"),
        ("[serve.keep]\nraw = \"1m\"\n", "too short"),
    ] {
        user.write("pgwright.toml", text);
        user.run(&["serve"]).fails(2).tells(message).tells("configuration.md");
    }
    user.write("pgwright.toml", "[serve]\ntls_cert = \"cert.pem\"\n");
    user.run(&["serve"]).fails(2).tells("--tls-cert needs --tls-key");
}

/// Statements that follow each other without a pause: no look sees their sessions idle, and all are shorter than its interval.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_tells_of_statements_that_no_look_sees_end() {
    let server = crate::world::server_that_logs(&[]);
    let url = server.url("postgres");
    let client = testkit::connect(&url).await;
    client.batch_execute("create extension pg_stat_statements; create table t (id int)").await.unwrap();
    client.batch_execute("select pg_sleep(0.01)").await.unwrap();
    let log = server.log_file().to_str().unwrap().to_owned();
    let user = User::new();
    let missing = user.run(&["serve", "--listen", "127.0.0.1:0", "--log", "/nowhere/server.log", &url]);
    assert_eq!(missing.code, Some(2), "{missing}");
    assert!(missing.stderr.contains("could not read the log /nowhere/server.log"), "{missing}");
    let asleep = user.run(&["serve", "--listen", "127.0.0.1:0", "--log", &log, "--sampling", "0", &url]);
    assert!(asleep.code == Some(2) && asleep.stderr.contains("--log needs sampling"), "{asleep}");

    let serving = Serving::start(&user, &url, &["--interval", "statements=500ms", "--log", &log]);
    serving.wait_for("read", |m| m.of("pgwright_log_readings_total").values().sum::<f64>() >= 2.0);
    let sleeps = [0.02, 0.03, 0.07].repeat(20);
    for seconds in &sleeps {
        client.batch_execute(&format!("select pg_sleep({seconds})")).await.unwrap();
    }
    let queryid: String = client
        .query_one("select queryid::text from pg_stat_statements where query like 'select pg_sleep%'", &[])
        .await
        .unwrap()
        .get(0);
    let counted = |metrics: &Metrics, end: &str| -> f64 {
        let buckets = metrics.of("postgres_statement_latency_seconds_bucket");
        let is_it = |labels: &String| labels.contains(&queryid) && labels.contains(&format!("le=\"{end}\""));
        buckets.iter().filter(|(labels, _)| is_it(labels)).map(|(_, n)| n).sum()
    };
    let metrics = serving.wait_for("all of them counted", |m| counted(m, "+Inf") >= 60.0);
    // The server takes longer than it was told to sleep, and much longer on a busy machine: its log says how long.
    let logged = std::fs::read_to_string(&log).unwrap();
    let took = |line: &str| line.split_once("duration: ")?.1.split_once(" ms")?.0.parse::<f64>().ok();
    let took: Vec<f64> =
        logged.lines().filter(|l| l.contains("select pg_sleep(0.0")).filter_map(took).collect();
    assert_eq!(took.len(), 61, "{logged}");
    let truly = |ms: f64| took.iter().skip(1).filter(|t| **t <= ms).count() as f64;
    assert_eq!(counted(&metrics, "0.01"), 0.0);
    // Buckets are some 3 % wide, and one that an end lies in may go to either side.
    for (end, ms) in [("0.025", 25.0), ("0.05", 50.0)] {
        let told = counted(&metrics, end);
        assert!((truly(ms * 0.95)..=truly(ms * 1.05)).contains(&told), "{end}: {told} {took:?}");
    }
    assert!(counted(&metrics, "+Inf") <= 61.0, "{}", metrics.0);
    assert_eq!(metrics.of("pgwright_log_executions_total")[""], 60.0);
    assert_eq!(metrics.of("pgwright_log_failures_total")[""], 0.0);

    // Without a log to read it goes on with what looks tell, and says so.
    std::fs::rename(&log, format!("{log}.away")).unwrap();
    let metrics = serving.wait_for("failed", |m| m.of("pgwright_log_failures_total")[""] > 0.0);
    assert!(metrics.of("pgwright_collector_up").iter().all(|(_, up)| *up == 1.0), "{}", metrics.0);
    serving.stop();

    let list = user.write("servers.json", "[]");
    let many = user.run(&["serve", "--servers", list.to_str().unwrap(), "--log", &log]);
    assert!(many.code == Some(2) && many.stderr.contains("--log goes with one server"), "{many}");
}
