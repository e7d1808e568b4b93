//! Do the demo databases hold what they promise, on a real server?

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use postgres::{Environment, Target};
use tokio::sync::mpsc;

use super::copy_format::RowSink;
use super::*;
use crate::workload::{CancellationToken, Options};

const SCALE: f64 = 0.01;

fn target(url: &str) -> Target {
    Target::parse(Some(url), &Environment::default()).unwrap()
}

fn now() -> DateTime<Utc> {
    Utc::now()
}

/// The one value of a query, as text.
async fn value(client: &Client, sql: &str) -> String {
    let rows = client.simple_query(sql).await.unwrap();
    rows.iter()
        .find_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        })
        .unwrap_or_default()
}

async fn check(client: &Client, sql: &str, expected: &str) {
    assert_eq!(value(client, sql).await, expected, "{sql}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_registry_is_loaded_as_described() {
    let database = testkit::database(testkit::any_server()).await;
    let seen = std::sync::Mutex::new(Vec::new());
    let report = load(&target(&database.url), Scenario::Registry, SCALE, 42, now(), &|progress| {
        seen.lock().unwrap().push(progress);
    })
    .await
    .unwrap();
    let client = testkit::connect(&database.url).await;

    for table in &report.tables {
        check(&client, &format!("SELECT count(*) FROM public.{}", table.name), &table.rows.to_string()).await;
        assert!(table.bytes.0 > 0);
    }
    let rows: BTreeMap<&str, u64> = report.tables.iter().map(|t| (t.name.as_str(), t.rows)).collect();
    assert_eq!(rows["training_runs"], 10_000);
    assert_eq!(rows["deployments"], 2_000);

    // Primary keys only; foreign keys are there and valid.
    check(&client, "SELECT count(*) FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid WHERE c.relnamespace = 'public'::regnamespace AND NOT i.indisprimary", "0").await;
    check(
        &client,
        "SELECT count(*) FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND contype = 'p'",
        "6",
    )
    .await;
    check(&client, "SELECT count(*) FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND contype = 'f' AND convalidated", "5").await;
    check(&client, "SELECT count(DISTINCT tablename) FROM pg_stats WHERE schemaname = 'public'", "6").await;

    // The shape.
    check(&client, "SELECT count(version_id) FROM training_runs", "1000").await;
    check(&client, "SELECT count(*) FROM deployments WHERE environment_id = 1 AND status = 'active'", "100")
        .await;
    check(
        &client,
        "SELECT count(*) FROM training_runs WHERE (accuracy IS NOT NULL) <> (status = 'succeeded')",
        "0",
    )
    .await;
    check(
        &client,
        "SELECT count(*) FROM training_runs WHERE (finished_at IS NULL) <> (status IN ('queued', 'running'))",
        "0",
    )
    .await;
    check(&client, "SELECT count(*) FROM training_runs WHERE created_at > now() OR started_at > now() OR finished_at > now()", "0").await;
    check(&client, "SELECT count(*) FROM deployments d JOIN model_versions v USING (version_id) WHERE d.deployed_at < v.registered_at OR d.deployed_at > now()", "0").await;
    check(&client, "SELECT correlation > 0.99 FROM pg_stats WHERE tablename = 'training_runs' AND attname = 'created_at'", "t").await;
    check(&client, "SELECT count(*) > 0 FROM training_runs WHERE experiment_name = 'fraud-exp-001' AND created_at > now() - interval '7 days'", "t").await;
    check(
        &client,
        "SELECT count(*) > 0 FROM training_runs WHERE metrics @> '{\"f1\": 0.8}' OR metrics ? 'f1'",
        "t",
    )
    .await;

    // Progress went to the end, row by row.
    let seen = seen.into_inner().unwrap();
    assert_eq!(seen.last(), Some(&LoadProgress::Finished));
    let total = report.tables.iter().map(|table| table.rows).sum();
    assert!(seen.contains(&LoadProgress::Copying { table: "approvals", rows: total, total }));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_seed_and_time_give_the_same_rows() {
    let at = now();
    let mut sums = Vec::new();
    for seed in [1, 1, 2] {
        let database = testkit::database(testkit::any_server()).await;
        load(&target(&database.url), Scenario::Registry, SCALE, seed, at, &|_| {}).await.unwrap();
        let client = testkit::connect(&database.url).await;
        let mut sum = String::new();
        for table in ["models", "model_versions", "training_runs", "deployments", "approvals"] {
            sum += &value(
                &client,
                &format!("SELECT md5(string_agg(t::text, '|' ORDER BY ctid)) FROM {table} t"),
            )
            .await;
        }
        sums.push(sum);
    }
    assert_eq!(sums[0], sums[1]);
    assert_ne!(sums[0], sums[2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_meters_are_loaded_as_described() {
    let database = testkit::database(testkit::any_server()).await;
    load(&target(&database.url), Scenario::Meters, SCALE, 42, now(), &|_| {}).await.unwrap();
    let client = testkit::connect(&database.url).await;
    check(&client, "SELECT count(*) FROM t_dlpdata", "20000").await;
    // The last day has one reading of each meter.
    check(&client, "SELECT count(*) || ' ' || count(DISTINCT meter_id) FROM t_dlpdata WHERE reading_timestamp > now() - interval '1 day'", "250 250").await;
    check(&client, "SELECT min(kwh_reading) > 0 AND max(kwh_reading) < 1000 FROM t_dlpdata", "t").await;
    check(&client, "SELECT count(*) FROM t_dlpdata a JOIN t_dlpdata b ON b.reading_id = a.reading_id + 1 WHERE b.reading_timestamp < a.reading_timestamp", "0").await;
    // The identity goes on after the rows.
    check(&client, "INSERT INTO t_dlpdata (meter_id, reading_timestamp, kwh_reading) VALUES (1, now(), 1) RETURNING reading_id", "20001").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_readings_are_divided_by_month() {
    let database = testkit::database(testkit::any_server()).await;
    // The first of a month, at which days and months are counted wrong most easily.
    let at: DateTime<Utc> = "2026-03-01T00:30:00Z".parse().unwrap();
    let report =
        load(&target(&database.url), Scenario::MetersPartitioned, SCALE, 42, at, &|_| {}).await.unwrap();
    assert!(report.tables[2].bytes.0 > 1_000_000, "{report:?}");
    let client = testkit::connect(&database.url).await;
    check(&client, "SELECT count(*) FROM t_dlpdata", "20000").await;
    check(
        &client,
        "SELECT string_agg(relid::text, ' ' ORDER BY relid::text) FROM pg_partition_tree('t_dlpdata') WHERE isleaf",
        "t_dlpdata_2025_12 t_dlpdata_2026_01 t_dlpdata_2026_02 t_dlpdata_2026_03 t_dlpdata_2026_04",
    )
    .await;
    check(&client, "SELECT count(*) FROM pg_stats WHERE tablename = 't_dlpdata' AND inherited", "4").await;
    check(
        &client,
        "SELECT count(*) FROM pg_constraint WHERE conrelid = 't_dlpdata'::regclass AND contype IN ('p', 'f')",
        "2",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_load_on_every_version() {
    for server in testkit::servers() {
        for scenario in Scenario::ALL {
            let database = testkit::database(server).await;
            let report = load(&target(&database.url), scenario, 0.001, 1, now(), &|_| {}).await.unwrap();
            assert!(report.bytes.0 > 0);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_has_the_tables_is_refused_and_left_alone() {
    let database = testkit::database(testkit::any_server()).await;
    let client = testkit::connect(&database.url).await;
    client
        .batch_execute("CREATE TABLE public.approvals (mine int); INSERT INTO approvals VALUES (1)")
        .await
        .unwrap();
    let error = load(&target(&database.url), Scenario::Registry, SCALE, 1, now(), &|_| {}).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("relation \"approvals\" exists already in database \"{}\"", database.name)
    );
    assert!(error.hint().is_some());
    check(&client, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'", "1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_leaves_nothing_behind() {
    let server = testkit::any_server();
    let database = testkit::database(server).await;
    let client = testkit::connect(&database.url).await;
    // The last table cannot be made: its row type's name is taken.
    client.batch_execute("CREATE TYPE public.approvals AS ENUM ('taken')").await.unwrap();
    let error = load(&target(&database.url), Scenario::Registry, SCALE, 1, now(), &|_| {}).await.unwrap_err();
    let detail = error.detail().unwrap();
    assert!(detail.contains("creating the tables") && detail.contains("(SQLSTATE 42710)"), "{detail}");
    check(&client, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'", "0").await;
}

#[tokio::test]
async fn a_scale_that_is_no_scale_is_refused() {
    let nowhere = target("postgres://nobody@127.0.0.1:1/none");
    for scale in [0.0, -1.0, f64::NAN, 1e9] {
        let error = load(&nowhere, Scenario::Meters, scale, 1, now(), &|_| {}).await.unwrap_err();
        assert!(matches!(error, DemoError::Scale(_)), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_statement_of_the_workloads_runs_and_the_textbook_applies() {
    for scenario in Scenario::ALL {
        let database = testkit::database(testkit::any_server()).await;
        let target = target(&database.url);
        load(&target, scenario, SCALE, 42, now(), &|_| {}).await.unwrap();
        let file = workload(scenario).unwrap();
        let options = Options {
            rate: 100.0,
            duration: std::time::Duration::from_secs(3),
            grace: std::time::Duration::from_secs(60),
            ..Options::default()
        };
        // Twice with the same seed: what is fresh must not repeat.
        for _ in 0..2 {
            let outcome =
                workload::run(&target, &file, &options, CancellationToken::new(), &|_| {}).await.unwrap();
            assert_eq!(outcome.overall.answered, outcome.overall.arrivals, "{:?}", outcome.overall.errors);
            for statement in &outcome.statements {
                assert!(statement.answered > 0, "{} never ran", statement.name);
            }
        }
        let client = testkit::connect(&database.url).await;
        for statement in textbook_statements(scenario) {
            client.batch_execute(&statement).await.unwrap_or_else(|error| panic!("{statement}: {error:?}"));
        }
        let indexes = if scenario == Scenario::Registry { "18" } else { "5" };
        check(&client, "SELECT count(*) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE c.relname LIKE 'idx\\_%' AND i.indisvalid", indexes).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_encoded_is_what_the_server_reads() {
    let database = testkit::database(testkit::any_server()).await;
    let client = testkit::connect(&database.url).await;
    client
        .batch_execute("CREATE TABLE t (n numeric(20, 4), j jsonb, b boolean, i integer, f float8, at timestamptz, u uuid, s text)")
        .await
        .unwrap();
    let numbers: [u64; 8] = [0, 1, 9_999, 10_000, 10_001, 123_456_789, 100_000_000, 99_999_999_999_999];
    let at = DateTime::from_timestamp(1_700_000_000, 123_456_000).unwrap();
    let (send, mut receive) = mpsc::channel(8);
    let writer = tokio::task::spawn_blocking(move || {
        let mut sink = RowSink::new(send);
        for number in numbers {
            sink.row(8)
                .unwrap()
                .numeric4(number)
                .jsonb(r#"{"a": [1, null]}"#)
                .boolean(number == 1)
                .int4(-7)
                .float8(0.25)
                .timestamptz(copy_format::timestamp(at))
                .uuid(uuid::Uuid::from_u128(number.into()))
                .text("größe");
        }
        sink.finish().unwrap();
    });
    let mut copy = pin!(client.copy_in("COPY t FROM STDIN (FORMAT binary)").await.unwrap());
    while let Some(chunk) = receive.recv().await {
        copy.send(chunk.data).await.unwrap();
    }
    writer.await.unwrap();
    assert_eq!(copy.finish().await.unwrap(), 8);
    check(
        &client,
        "SELECT string_agg(n::text, ' ' ORDER BY n) FROM t",
        "0.0000 0.0001 0.9999 1.0000 1.0001 10000.0000 12345.6789 9999999999.9999",
    )
    .await;
    // Equal also to the index and the sort, not only to the eye.
    check(&client, "SELECT count(*) FROM t WHERE n = n::text::numeric AND n - 1 + 1 = n", "8").await;
    check(
        &client,
        "SET timezone = 'UTC'; SELECT concat_ws(' ', j, b, i, f, at, u, s) FROM t WHERE n = 0.0001",
        r#"{"a": [1, null]} t -7 0.25 2023-11-14 22:13:20.123456+00 00000000-0000-0000-0000-000000000001 größe"#,
    )
    .await;
}
