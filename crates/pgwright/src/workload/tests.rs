//! Is every arrival accounted for, and does waiting count, on a real server?

use std::time::Duration;

use postgres::{Environment, Target, tokio_postgres};
use testkit::Database;

use super::run::Progress;
use super::schedule::Arrivals;
use super::*;

fn target(url: &str) -> Target {
    Target::parse(Some(url), &Environment::default()).unwrap()
}

async fn database() -> Database {
    testkit::database(testkit::any_server()).await
}

fn file(text: &str) -> WorkloadFile {
    WorkloadFile::parse("test.toml", &format!("format = 1\n{text}")).unwrap()
}

fn one(sql: &str) -> WorkloadFile {
    file(&format!("[[statement]]\nname = \"one\"\nweight = 1\nsql = '''{sql}'''"))
}

fn options(rate: f64, milliseconds: u64, clients: usize) -> Options {
    Options {
        rate,
        duration: Duration::from_millis(milliseconds),
        grace: Duration::from_secs(30),
        clients,
        arrivals: Arrivals::Fixed,
        ..Options::default()
    }
}

async fn run_quietly(target: &Target, file: &WorkloadFile, options: &Options) -> Outcome {
    run(target, file, options, CancellationToken::new(), &|_| {}).await.unwrap()
}

fn accounted(outcome: &Outcome) {
    let all = &outcome.overall;
    assert_eq!(all.arrivals, all.answered + all.failed + all.timeouts + all.unanswered);
    assert_eq!(all.arrivals, outcome.statements.iter().map(|statement| statement.arrivals).sum::<u64>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stall_of_one_statement_shows_in_the_latency_of_all_that_waited() {
    let database = database().await;
    let target = target(&database.url);
    let locker = testkit::connect(&database.url).await;
    locker.batch_execute("CREATE TABLE t ()").await.unwrap();
    locker.batch_execute("BEGIN; LOCK TABLE t").await.unwrap();
    let stall = tokio::spawn(async move {
        // The one session waits here from the first request on, for a second and more.
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        locker.batch_execute("COMMIT").await.unwrap();
    });
    let started = std::time::Instant::now();
    let outcome = run_quietly(&target, &one("SELECT * FROM t"), &options(50.0, 2_000, 1)).await;
    stall.await.unwrap();
    accounted(&outcome);
    assert_eq!((outcome.overall.arrivals, outcome.overall.answered), (100, 100));

    // Connecting took part of the stall: only what is left of it made requests wait.
    let setup = started.elapsed().saturating_sub(Duration::from_secs_f64(outcome.elapsed_seconds));
    let stalled = Duration::from_millis(1_500).saturating_sub(setup);
    let half = stalled / 2;
    let waited = (half.as_secs_f64() * 50.0) as u64;
    assert!(outcome.overall.latency.above(half) + 2 >= waited, "{stalled:?} {:?}", outcome.overall.latency);
    // The server itself was slow once; a closed loop would report no more than that.
    assert!(outcome.overall.service.above(half) * 5 <= outcome.overall.latency.above(half));
    assert!(outcome.overall.latency.percentile_ms(50.0) > outcome.overall.service.percentile_ms(50.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn time_outs_and_failures_are_told_apart() {
    let database = database().await;
    let workload = file(
        "[[statement]]\nname = \"slow\"\nweight = 1\nsql = 'SELECT pg_sleep(60)'\n\
         [[statement]]\nname = \"broken\"\nweight = 1\nsql = 'BEGIN; SELECT 1/0'\n\
         [[statement]]\nname = \"good\"\nweight = 1\nsql = 'SELECT generate_series(1, 3)'",
    );
    let options = Options { statement_timeout: Some(Duration::from_millis(200)), ..options(30.0, 1_000, 4) };
    let outcome = run_quietly(&target(&database.url), &workload, &options).await;
    accounted(&outcome);
    let [slow, broken, good] = outcome.statements.as_slice() else { panic!("three statements") };
    assert!(slow.arrivals > 0 && broken.arrivals > 0 && good.arrivals > 0);
    assert_eq!((slow.timeouts, slow.errors["57014"].count), (slow.arrivals, slow.arrivals));
    assert!(slow.latency.percentile_ms(1.0) >= 199.0, "a time-out counts with the time that it took");
    assert_eq!((broken.failed, broken.errors["22012"].count), (broken.arrivals, broken.arrivals));
    assert!(broken.errors["22012"].message.contains("division by zero"));
    assert_eq!(good.answered, good.arrivals, "an open transaction of another statement spoils nothing");
    assert_eq!(good.rows, 3 * good.answered);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_never_answered_is_counted_and_canceled() {
    let database = database().await;
    let options = Options { grace: Duration::from_millis(200), ..options(20.0, 500, 2) };
    let outcome = run_quietly(&target(&database.url), &one("SELECT pg_sleep(600)"), &options).await;
    accounted(&outcome);
    assert_eq!((outcome.overall.arrivals, outcome.overall.unanswered), (10, 10));
    assert_eq!(outcome.overall.latency.len(), 10);
    assert!(
        outcome.overall.latency.max_ms() >= 690.0,
        "the first waited from the start to the end of the grace"
    );
    let client = testkit::connect(&database.url).await;
    let running = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(600)%' AND state = 'active' AND pid <> pg_backend_pid()";
    for attempt in 0.. {
        let count: i64 = client.query_one(running, &[]).await.unwrap().get(0);
        if count == 0 {
            break;
        }
        assert!(attempt < 100, "the statements still run on the server");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_run_returns_what_it_has() {
    let database = database().await;
    let cancel = CancellationToken::new();
    let canceler = cancel.clone();
    let progress = std::sync::Mutex::new(Progress::default());
    let outcome = run(
        &target(&database.url),
        &one("SELECT 1"),
        &options(100.0, 3_600_000, 2),
        cancel,
        &|now: Progress| {
            *progress.lock().unwrap() = now;
            if now.ended > 20 {
                canceler.cancel();
            }
        },
    )
    .await
    .unwrap();
    assert!(outcome.interrupted);
    accounted(&outcome);
    assert!(outcome.overall.answered > 20);
    assert!(outcome.seconds < 3_000.0);
    let progress = progress.into_inner().unwrap();
    assert_eq!(progress.due, outcome.overall.arrivals);
    assert_eq!(progress.ended, outcome.overall.arrivals);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_seed_sends_the_same_values_in_the_same_search_path() {
    let database = database().await;
    let client = testkit::connect(&database.url).await;
    client
        .batch_execute(&format!(
            "CREATE SCHEMA app; CREATE TABLE app.log (n int, word text, id int, at timestamptz, nothing text); \
             CREATE TABLE app.source (id int, weight int, word text); \
             INSERT INTO app.source VALUES (1, 0, 'it''s'), (2, 5, 'b\\c'), (3, 1, NULL); \
             ALTER DATABASE {} SET search_path = app",
            database.name
        ))
        .await
        .unwrap();
    let workload = file(
        r#"
[[statement]]
name = "log"
weight = 1
sql = "INSERT INTO log VALUES (0-:n, :pair.word, :pair.id, :at, :none)"
[parameter.n]
int = { min = -1000000, max = 1000000 }
[parameter.none]
text = { length = 3 }
[parameter.at]
timestamp = { from = "-1 hour", to = "now" }
type = "timestamptz"
[parameter.pair]
query = "SELECT id, weight, word FROM source ORDER BY id"
weight_column = "weight"
"#,
    );
    let target = target(&database.url);
    let now = chrono::Utc::now();
    let mut logs = Vec::new();
    for seed in [5, 5, 6] {
        let options = Options { seed, now, ..options(100.0, 500, 3) };
        let outcome = run_quietly(&target, &workload, &options).await;
        assert_eq!(outcome.overall.answered, 50, "{:?}", outcome.overall.errors);
        let log: String = client
            .query_one("SELECT string_agg(l::text, '|' ORDER BY n, word, id) FROM app.log l", &[])
            .await
            .unwrap()
            .get(0);
        let bad: i64 = client
            .query_one("SELECT count(*) FROM app.log l WHERE NOT EXISTS (SELECT FROM app.source s WHERE s.id = l.id AND s.word IS NOT DISTINCT FROM l.word AND s.weight > 0)", &[])
            .await
            .unwrap()
            .get(0);
        assert_eq!(bad, 0, "columns of one parameter come from one row, and weight 0 is never drawn");
        client.batch_execute("TRUNCATE app.log").await.unwrap();
        logs.push(log);
    }
    assert_eq!(logs[0], logs[1]);
    assert_ne!(logs[0], logs[2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn pg_stat_statements_folds_the_literals_into_one_entry() {
    let database = database().await;
    let client = testkit::connect(&database.url).await;
    client
        .batch_execute("CREATE EXTENSION pg_stat_statements; CREATE TABLE t (id uuid, n int)")
        .await
        .unwrap();
    let workload = file(
        "[[statement]]\nname = \"q\"\nweight = 1\nsql = 'SELECT FROM t WHERE id = :id AND n = :n'\n\
         [parameter.id]\nuuid = \"fresh\"\ntype = \"uuid\"\n[parameter.n]\nzipf = { n = 100 }",
    );
    let outcome = run_quietly(&target(&database.url), &workload, &options(100.0, 300, 2)).await;
    assert_eq!(outcome.overall.answered, 30);
    let rows = client
        .query("SELECT query, calls FROM pg_stat_statements WHERE query LIKE 'SELECT FROM t%' AND dbid = (SELECT oid FROM pg_database WHERE datname = current_database())", &[])
        .await
        .unwrap();
    let found: Vec<(String, i64)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(found, [("SELECT FROM t WHERE id = $1::uuid AND n = $2".to_owned(), 30)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_session_is_opened_again() {
    let database = database().await;
    let killer = testkit::connect(&database.url).await;
    let kill = tokio::spawn(async move {
        let sql = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                   WHERE application_name = 'pgwright workload' AND datname = current_database() \
                   AND query LIKE 'SELECT pg_sleep%'";
        // Not while it is being set up: it is the running session that must come back.
        loop {
            let count: i64 = killer.query_one(sql, &[]).await.unwrap().get(0);
            if count > 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    let options = options(50.0, 3_000, 1);
    let outcome = run_quietly(&target(&database.url), &one("SELECT pg_sleep(0.005)"), &options).await;
    kill.await.unwrap();
    accounted(&outcome);
    assert!(outcome.overall.failed <= 2, "{:?}", outcome.overall.errors);
    assert!(outcome.overall.answered >= 148, "{:?}", outcome.overall.errors);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_drawn_is_said_before_the_first_request() {
    let database = database().await;
    let target = target(&database.url);
    let check = async |query: &str, sql: &str, expected: &str| {
        let workload = file(&format!(
            "[[statement]]\nname = \"q\"\nweight = 1\nsql = '{sql}'\n[parameter.p]\nquery = '''{query}'''"
        ));
        let error = run(&target, &workload, &options(10.0, 100, 1), CancellationToken::new(), &|_| {})
            .await
            .unwrap_err();
        assert_eq!(error.to_string(), expected);
        error
    };
    check("SELECT 1 WHERE false", "SELECT :p", "parameter \"p\" has no values: its query returns no rows")
        .await;
    check(
        "SELECT",
        "SELECT :p",
        "parameter \"p\" has no values: its query returns nothing that can be drawn",
    )
    .await;
    check(
        "SELECT 1 AS a",
        "SELECT :p.b",
        "statement \"q\" cannot use :p.b: its query has no column \"b\", only a",
    )
    .await;
    check(
        "SELECT 1 AS a, 2 AS b",
        "SELECT :p",
        "statement \"q\" cannot use :p: its query returns several columns (a, b); name one",
    )
    .await;
    let error = check("SELECT * FROM nowhere", "SELECT :p", "query of parameter \"p\" failed").await;
    assert!(error.detail().unwrap().contains("nowhere"), "{error:?}");
    assert!(error.detail().unwrap().contains("(SQLSTATE 42P01)"), "{error:?}");

    let fails = async |options: Options| {
        run(&target, &one("SELECT 1"), &options, CancellationToken::new(), &|_| {})
            .await
            .unwrap_err()
            .to_string()
    };
    assert_eq!(fails(options(0.0, 100, 1)).await, "rate 0 is not between 0 and 1000000 per second");
    assert_eq!(fails(options(1.0, 100, 0)).await, "0 clients cannot run a workload");
    assert_eq!(fails(options(1.0, 0, 1)).await, "a run of no duration measures nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_survives_json_and_merges() {
    let database = database().await;
    let outcome = run_quietly(&target(&database.url), &one("SELECT 1"), &options(100.0, 300, 2)).await;
    let mut read: Outcome = serde_json::from_str(&serde_json::to_string(&outcome).unwrap()).unwrap();
    assert_eq!(read, outcome);
    read.merge(&outcome);
    assert_eq!(read.overall.arrivals, 60);
    assert_eq!(read.statement("one").unwrap().latency.len(), 60);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_warm_up_is_sent_and_not_counted() {
    let database = database().await;
    let client = testkit::connect(&database.url).await;
    client.batch_execute("CREATE TABLE t ()").await.unwrap();
    let options = Options { warm_up: Duration::from_millis(500), ..options(40.0, 500, 2) };
    let outcome = run_quietly(&target(&database.url), &one("INSERT INTO t DEFAULT VALUES"), &options).await;
    assert_eq!(outcome.overall.arrivals, 20);
    let sent: i64 = client.query_one("SELECT count(*) FROM t", &[]).await.unwrap().get(0);
    assert_eq!(sent, 40);
}

#[tokio::test(flavor = "multi_thread")]
async fn capacity_is_what_the_server_can_answer() {
    let database = database().await;
    // Two sessions that sleep 50 ms for each request cannot answer more than 40 per second.
    let options = options(1.0, 1_000, 2);
    let found =
        capacity(&target(&database.url), &one("SELECT pg_sleep(0.05)"), &options, CancellationToken::new())
            .await
            .unwrap();
    assert!(found > 0.0 && found <= 40.0, "{found}");
}

const INGEST: &str = r#"
[[statement]]
name = "q"
weight = 1
sql = "SELECT :n"
[parameter.id]
uuid = "fresh"
type = "uuid"
[parameter.n]
int = { min = 1, max = 9 }
[ingest]
key = "id"
insert = "INSERT INTO t (id, n) VALUES"
row = "(:id, :n)"
update = "UPDATE t SET n = n + 100 WHERE id = :id"
cleanup = "DELETE FROM t WHERE id = :id"
"#;

const RETURNED: &str = r#"
[[statement]]
name = "q"
weight = 1
sql = "SELECT :n"
[parameter.n]
int = { min = 1, max = 9 }
[ingest]
key = "id"
returning = "id"
rows = 7
updates = 2
insert = "INSERT INTO t (n) VALUES"
row = "(:n)"
update = "UPDATE t SET n = n + 100 WHERE id = :id"
cleanup = "DELETE FROM t WHERE id = :id"
"#;

fn rounds(count: usize) -> Rounds {
    Rounds { warm_up: Duration::from_millis(100), turn: Duration::from_millis(150), count }
}

async fn ingest(
    targets: &[&Target],
    file: &WorkloadFile,
    options: &IngestOptions,
    rounds: &Rounds,
) -> Result<Vec<IngestOutcome>, WorkloadError> {
    ingest_rates(targets, file, options, rounds, CancellationToken::new(), &|_| {}).await
}

async fn count(client: &tokio_postgres::Client, sql: &str) -> u64 {
    let count: i64 = client.query_one(sql, &[]).await.unwrap().get(0);
    count.unsigned_abs()
}

#[tokio::test(flavor = "multi_thread")]
async fn ingestion_commits_what_it_counts_and_cleans_up() {
    let database = database().await;
    let client = testkit::connect(&database.url).await;
    client
        .batch_execute(
            "CREATE TABLE t (id uuid PRIMARY KEY, n int); INSERT INTO t VALUES (gen_random_uuid(), 1)",
        )
        .await
        .unwrap();
    let target = target(&database.url);
    let workload = file(INGEST);
    let options = IngestOptions { clean_up: false, ..IngestOptions::default() };
    let without_warm_up = Rounds { warm_up: Duration::ZERO, ..rounds(3) };
    let outcomes = ingest(&[&target], &workload, &options, &without_warm_up).await.unwrap();
    let [outcome] = outcomes.as_slice() else { panic!("{outcomes:?}") };
    assert!(outcome.rows_per_second > 0.0 && outcome.wal_bytes_per_row > 0.0, "{outcome:?}");
    assert_eq!((outcome.turns.len(), outcome.to_first), (3, None));
    assert_eq!(outcome.rows, outcome.transactions * 50);
    assert_eq!(count(&client, "SELECT count(*) FROM t").await, outcome.rows + 1);
    assert_eq!(count(&client, "SELECT count(*) FROM t WHERE n > 100").await, outcome.updates);

    // With the same seed again, and this time nothing stays.
    client.batch_execute("DELETE FROM t WHERE n <> 1").await.unwrap();
    let before = count(&client, "SELECT count(*) FROM t").await;
    let options = IngestOptions { clean_up: true, ..options };
    let outcomes = ingest(&[&target], &workload, &options, &rounds(1)).await.unwrap();
    assert!(outcomes[0].rows > 0);
    assert_eq!(count(&client, "SELECT count(*) FROM t").await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_database_is_compared_with_the_first_and_the_time_is_told_apart() {
    let (slow, fast) = (database().await, database().await);
    let mut clients = Vec::new();
    for database in [&slow, &fast] {
        let client = testkit::connect(&database.url).await;
        client
            .batch_execute(
                "CREATE EXTENSION pg_stat_statements; \
                 CREATE TABLE t (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, n int)",
            )
            .await
            .unwrap();
        clients.push(client);
    }
    clients[0]
        .batch_execute(
            "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS \
             $$ BEGIN PERFORM pg_sleep(0.02); RETURN NULL; END $$; \
             CREATE TRIGGER wait AFTER INSERT ON t FOR EACH STATEMENT EXECUTE FUNCTION wait()",
        )
        .await
        .unwrap();
    let (slow, fast) = (target(&slow.url), target(&fast.url));
    let outcomes =
        ingest(&[&fast, &slow], &file(RETURNED), &IngestOptions::default(), &rounds(2)).await.unwrap();
    let [first, second] = outcomes.as_slice() else { panic!("{outcomes:?}") };
    assert_eq!(first.to_first, None);
    let ratio = second.to_first.unwrap();
    assert!(ratio.median > 0.0 && ratio.rounds == 2, "{ratio:?}");
    assert!(ratio.lower_quartile <= ratio.median && ratio.median <= ratio.upper_quartile, "{ratio:?}");
    let time = second.time_per_row.unwrap();
    assert!(time.insert_us > 20_000.0 / 7.0 && time.update_us > 0.0 && time.other_us > 0.0, "{time:?}");
    assert_eq!(second.rows, second.transactions * 7);
    // Only the first transaction of the warm-up of each session had none before it to change.
    assert_eq!(second.updates, second.transactions * 2);
    for client in &clients {
        assert_eq!(count(client, "SELECT count(*) FROM t").await, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ingestion_that_fails_says_so_and_leaves_nothing() {
    let database = database().await;
    let client = testkit::connect(&database.url).await;
    client.batch_execute("CREATE TABLE t (id uuid, n int CHECK (n < 100))").await.unwrap();
    let target = target(&database.url);
    let options = IngestOptions::default();
    let error = ingest(&[&target], &file(INGEST), &options, &rounds(5)).await.unwrap_err();
    assert!(error.detail().unwrap().contains("(SQLSTATE 23514)"), "{error:?}");
    assert_eq!(count(&client, "SELECT count(*) FROM t").await, 0);
    let error = ingest(&[&target], &one("SELECT 1"), &options, &rounds(1)).await.unwrap_err();
    assert_eq!(error.to_string(), "workload file \"test.toml\" has no [ingest]");
    let error = ingest(&[&target], &file(INGEST), &options, &rounds(0)).await.unwrap_err();
    assert_eq!(error.to_string(), "ingestion needs a database, a round and a duration");
}
