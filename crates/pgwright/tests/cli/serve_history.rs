//! Does `serve --history` lose nothing and count nothing twice, whoever is killed, and does `history` show it?

use std::time::{Duration, Instant};

use crate::program::User;
use crate::serve::Serving;
use crate::world::World;

const ARGUMENTS: [&str; 5] = ["--history", "--interval", "statements=300ms", "--interval", "databases=300ms"];

/// What history knows of the marked statement.
const CALLS: &str = "coalesce(sum(r.calls), 0) from pgwright.history_statement_raw r \
    join pgwright.history_statement s on s.statement_id = r.statement_id \
    join pgwright.history_text t on t.source_id = s.source_id and t.queryid = s.queryid \
    where t.query like '%marked%' and t.query not like '%history%'";

/// Calls the marked statement, with a session of its own.
async fn call(world: &World, times: u32) {
    let client = testkit::connect(&world.url).await;
    for _ in 0..times {
        client.query("select 1 as marked", &[]).await.unwrap();
    }
}

/// Waits until the marked statement is known to have been called so often.
async fn known(world: &World, calls: u32) {
    let began = Instant::now();
    loop {
        let client = testkit::connect(&world.url).await;
        let found: f64 =
            client.query_one(&format!("select (select {CALLS})::float8"), &[]).await.unwrap().get(0);
        assert!(found <= f64::from(calls), "{found} calls, where there were {calls}");
        if found == f64::from(calls) {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "{found} calls, where there were {calls}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_counted_twice_whoever_is_killed() {
    let versions = testkit::versions();
    for major in [versions[0].major, versions[versions.len() - 1].major] {
        let mut server = testkit::server_with(major, &[]);
        let world = World::on(&server).await;
        let user = User::new();
        let serving = Serving::start(&user, &world.url, &ARGUMENTS);
        let kept = "pgwright_history_intervals_total";
        serving.wait_for("kept", |m| m.sum(kept) >= 2.0);
        call(&world, 5).await;
        known(&world, 5).await;
        serving.kill();
        call(&world, 7).await;
        let serving = Serving::start(&user, &world.url, &ARGUMENTS);
        known(&world, 12).await;
        world.forget_statements().await;
        call(&world, 3).await;
        known(&world, 15).await;
        let settings = [("shared_preload_libraries".to_owned(), "pg_stat_statements".to_owned())];
        server.restart(&settings).unwrap();
        call(&world, 4).await;
        known(&world, 19).await;
        // A crash of the server: its counters are gone.
        let client = testkit::connect(&world.url).await;
        let pid: i32 = client.query_one("select pg_backend_pid()", &[]).await.unwrap().get(0);
        let witness = testkit::connect(&world.url).await;
        let killed = std::process::Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap();
        assert!(killed.success());
        let began = Instant::now();
        // Until the server notices it lets others in, and then throws everybody out.
        while !witness.is_closed() {
            assert!(began.elapsed() < Duration::from_secs(30), "the server did not notice the crash");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        while tokio_postgres::connect(&world.url, tokio_postgres::NoTls).await.is_err() {
            assert!(began.elapsed() < Duration::from_secs(30), "the server did not recover");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        call(&world, 2).await;
        known(&world, 21).await;
        let metrics = serving.metrics();
        assert_eq!(metrics.sum("pgwright_history_readings_dropped_total"), 0.0, "{}", metrics.0);
        serving.stop();

        let shown = user.run(&["history", "--last", "1h", "--json", &world.url]).exits(0).json("history");
        let statements = shown["statements"].as_array().unwrap();
        let marked = statements.iter().find(|s| s["query"].as_str().is_some_and(|q| q.contains("marked")));
        let marked = marked.unwrap_or_else(|| panic!("{shown}"));
        assert_eq!(
            (&marked["now"]["calls"], &marked["datname"]),
            (&21.0.into(), &world.name.as_str().into())
        );
        let queryid = marked["queryid"].to_string();
        user.run(&["history", "--last", "1h", "--statement", &queryid, &world.url])
            .exits(0)
            .says("select $1 as marked")
            .says("postgres");
        user.run(&["history", "--last", "1h", &world.url]).exits(0).says("new");
        user.run(&["history", "--statements", "calls", &world.url]).exits(0).says("as marked");
        user.run(&["history", "--waits", &world.url]).exits(0).says("active sessions");
        user.run(&["history", "--series", "transactions_committed", &world.url]).exits(0).says(&world.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_becomes_a_standby_and_is_promoted_again_is_watched_all_the_time() {
    let versions = testkit::versions();
    for major in [versions[0].major, versions[versions.len() - 1].major] {
        let mut server = testkit::server_with(major, &[]);
        let world = World::on(&server).await;
        let user = User::new();
        let serving = Serving::start(&user, &world.url, &ARGUMENTS);
        let (kept, waiting) = ("pgwright_history_intervals_total", "pgwright_history_intervals_waiting");
        serving.wait_for("kept", |m| m.sum(kept) >= 2.0);
        call(&world, 5).await;
        known(&world, 5).await;
        // A standby wants no less of these than the server had that wrote its WAL.
        let settings =
            [("shared_preload_libraries", "pg_stat_statements"), ("max_prepared_transactions", "5")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()));
        std::fs::write(server.data_dir().join("standby.signal"), "").unwrap();
        server.restart(&settings).unwrap();
        // It takes no writes: what is seen waits, which is told, and everything else goes on.
        call(&world, 7).await;
        let metrics = serving.wait_for("waiting", |m| {
            m.sum("pgwright_up") == 1.0 && m.sum("pgwright_history_up") == 0.0 && m.sum(waiting) >= 2.0
        });
        assert!(metrics.sum("pgwright_history_failures_total") >= 1.0, "{}", metrics.0);
        serving.wait_for("a standby", |m| m.sum("postgres_server_in_recovery") == 1.0);
        assert!(serving.get("/replication", &[]).body.contains("<strong>standby</strong>"));
        testkit::connect(&world.url).await.batch_execute("select pg_promote()").await.unwrap();
        call(&world, 3).await;
        known(&world, 15).await;
        let metrics =
            serving.wait_for("kept again", |m| m.sum("pgwright_history_up") == 1.0 && m.sum(waiting) == 0.0);
        assert_eq!(metrics.sum("pgwright_history_readings_dropped_total"), 0.0, "{}", metrics.0);
        serving.stop();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn history_is_only_written_where_it_was_asked_for() {
    let world = World::new().await;
    let user = User::new();
    user.run(&["history", &world.url])
        .fails(2)
        .tells("error: there is no history in database")
        .tells("--history");
    user.run(&["serve", "--source", "x", &world.url]).fails(2).tells("error: no history is to be kept");
    user.run(&["serve", "--history", "--keep", "minute=1h", &world.url]).fails(2).tells("at least 1d");
    user.run(&["history", "--statements", "size", &world.url]).fails(2).tells("is not an order");
    let serving = Serving::start(&user, &world.url, &["--interval", "statements=200ms"]);
    let run = "pgwright_collector_runs_total";
    let metrics = serving.wait_for("run", |m| m.value(run, "\"statements\"").is_some_and(|n| n > 2.0));
    assert!(metrics.of("pgwright_history_up").is_empty(), "{}", metrics.0);
    serving.stop();
    let client = testkit::connect(&world.url).await;
    let there: bool =
        client.query_one("select to_regnamespace('pgwright') is not null", &[]).await.unwrap().get(0);
    assert!(!there);
    // In another database, with a name that has to be quoted, and of a server that is away.
    let other = testkit::database(testkit::any_server()).await;
    let away = "postgres://postgres@127.0.0.1:1/x";
    let serving = Serving::start(&user, away, &["--store", &other.url, "--source", "a\"b.c"]);
    serving.stop();
    user.run(&["history", "--store", &other.url, "--source", "nobody"]).fails(2).tells("a\"b.c");
}

/// Stops processes of a server, and lets them go on when dropped.
struct Frozen(Vec<u32>);

impl Frozen {
    /// The main process, so that it lets nobody in.
    fn of(server: &cluster::Server) -> Self {
        Self(vec![server.pid().unwrap()]).stopped()
    }

    /// All of them, so that nothing is answered.
    fn whole(server: &cluster::Server) -> Self {
        let main = server.pid().unwrap();
        let children = std::fs::read_to_string(format!("/proc/{main}/task/{main}/children")).unwrap();
        let children = children.split_whitespace().map(|pid| pid.parse().unwrap());
        Self([main].into_iter().chain(children).collect()).stopped()
    }

    fn stopped(self) -> Self {
        self.signal("-STOP");
        self
    }

    fn signal(&self, signal: &str) {
        for pid in &self.0 {
            // One of the children may have ended.
            let _ = std::process::Command::new("kill").args([signal, &pid.to_string()]).status().unwrap();
        }
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        self.signal("-CONT");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_hangs_is_told_and_keeps_nobody_waiting() {
    let server = testkit::server_with(testkit::versions()[0].major, &[]);
    let (world, store) = (World::new().await, testkit::database(&server).await);
    let user = User::new();
    let serving = Serving::start(
        &user,
        &world.url,
        &[&["--store", &store.url, "--source", "shop"], &ARGUMENTS[1..]].concat(),
    );
    serving.wait_for("kept", |m| m.sum("pgwright_history_intervals_total") >= 2.0);
    let frozen = Frozen::whole(&server);
    let (up, waiting) = ("pgwright_history_up", "pgwright_history_intervals_waiting");
    serving.wait_for("told", |m| m.sum(up) == 0.0 && m.sum(waiting) > 0.0);
    let answer = serving.get("/statements", &[]);
    assert!(answer.status == 503 && answer.body.contains("does not answer"), "{}", answer.body);
    assert_eq!(serving.get("/", &[]).status, 200);
    assert_eq!(serving.metrics().sum("pgwright_up"), 1.0, "the watched server is there");
    drop(frozen);
    serving.wait_for("kept again", |m| m.sum(up) == 1.0 && m.sum(waiting) == 0.0);
    serving.stop();
    let client = testkit::connect(&store.url).await;
    let whole = "select abs(sum(seconds) - extract(epoch from max(at) - min(at))::float8 \
                   - (array_agg(seconds order by at desc))[1]) < 0.5 \
                 from pgwright.history_interval_raw";
    assert!(client.query_one(whole, &[]).await.unwrap().get::<_, bool>(0), "a second is missing");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_overview_answers_while_the_watched_server_hangs() {
    let server = testkit::server_with(testkit::versions()[0].major, &[]);
    let world = World::on(&server).await;
    let store = testkit::database(testkit::any_server()).await;
    let user = User::new();
    let serving = Serving::start(
        &user,
        &world.url,
        &[&["--store", &store.url, "--source", "shop"], &ARGUMENTS[1..]].concat(),
    );
    serving.wait_for("kept", |m| m.sum("pgwright_history_intervals_total") >= 2.0);
    let frozen = Frozen::of(&server);
    let began = Instant::now();
    let answer = serving.get("/", &[]);
    // A new session of the watched server is waited for ten seconds.
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    drop(frozen);
    assert!(answer.body.contains("Over time"), "{}", answer.body);
    let metrics = serving.metrics();
    assert_eq!(metrics.sum("pgwright_history_ahead_seconds"), 0.0, "{}", metrics.0);
    serving.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watched_server_that_hangs_is_told_before_a_collector_knows() {
    let server = testkit::server_with(testkit::versions()[0].major, &[]);
    let world = World::on(&server).await;
    let user = User::new();
    let names = postgres::METRIC_QUERIES.iter().map(|q| q.name).chain(["statements", "plans"]);
    let timeouts: Vec<String> = names.map(|name| format!("{name}=10m")).collect();
    let arguments: Vec<&str> = timeouts.iter().flat_map(|timeout| ["--timeout", timeout]).collect();
    let serving = Serving::start(&user, &world.url, &arguments);
    serving.wait_for("up", |m| m.sum("pgwright_up") == 1.0 && m.sum("pgwright_sampling_looks_total") > 2.0);
    let frozen = Frozen::whole(&server);
    serving.wait_for("told", |m| m.of("pgwright_up").len() == 1 && m.sum("pgwright_up") == 0.0);
    drop(frozen);
    serving.wait_for("up again", |m| m.sum("pgwright_up") == 1.0);
    serving.stop();
}
