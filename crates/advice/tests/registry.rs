//! Is the advice right on a real server? The queries of the tuning exercise on a small model registry,
//! advised through the planner twin, then really built and planned again.

#![allow(clippy::unwrap_used)] // A test that cannot go on fails.

use std::path::PathBuf;

use advice::typical_values::ObservedValues;
use advice::{Advice, Options, WeighBy, advise};
use model::{Change, Snapshot};
use postgres::{Environment, SessionOptions, SnapshotOptions, Target};
use tokio_postgres::Client;
use twin::{Twin, TwinOptions};

const SCHEMA: &str = "
CREATE EXTENSION pg_stat_statements;
CREATE TABLE environments (environment_id int PRIMARY KEY, name text NOT NULL);
CREATE TABLE models (model_id uuid PRIMARY KEY, model_name text NOT NULL, is_active boolean NOT NULL,
    created_at timestamptz NOT NULL);
CREATE TABLE model_versions (version_id uuid PRIMARY KEY, model_id uuid NOT NULL REFERENCES models, semver text NOT NULL);
CREATE TABLE training_runs (run_id uuid PRIMARY KEY, version_id uuid REFERENCES model_versions, model_name text NOT NULL,
    experiment_name text NOT NULL, status text NOT NULL, accuracy float8, created_at timestamptz NOT NULL,
    hyperparameters jsonb NOT NULL);
CREATE TABLE deployments (deployment_id uuid PRIMARY KEY, version_id uuid NOT NULL REFERENCES model_versions,
    environment_id int NOT NULL REFERENCES environments, status text NOT NULL, deployed_at timestamptz NOT NULL,
    deployed_by text NOT NULL, replicas int NOT NULL);
SELECT setseed(0.5);
CREATE FUNCTION id(kind text, n int) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT md5(kind || n)::uuid $$;
INSERT INTO environments SELECT n, 'environment ' || n FROM generate_series(1, 4) n;
INSERT INTO models SELECT id('m', n), 'model-' || n, n % 10 <> 0, now() - random() * interval '730 days'
    FROM generate_series(1, 600) n;
INSERT INTO model_versions SELECT id('v', n), id('m', 1 + n % 600), '1.' || n FROM generate_series(1, 6000) n;
INSERT INTO training_runs
    SELECT id('r', n), CASE WHEN n % 40 = 0 THEN id('v', 1 + n % 6000) END, 'model-' || 1 + n % 600,
        CASE WHEN random() < 0.15 THEN 'fraud-exp-001' ELSE 'experiment-' || (random() * random() * 500)::int END,
        (ARRAY['succeeded', 'succeeded', 'succeeded', 'failed', 'running'])[1 + n % 5],
        CASE WHEN n % 5 < 3 THEN random() END, now() - (200000 - n) * interval '5 minutes',
        jsonb_build_object('learning_rate', random(), 'batch_size', 2 ^ (n % 8), 'note', repeat('x', 60))
    FROM generate_series(1, 200000) n;
INSERT INTO deployments
    SELECT id('d', n), id('v', 1 + n % 6000), 1 + n % 4,
        CASE WHEN n % 20 = 0 THEN 'active' ELSE (ARRAY['retired', 'failed'])[1 + n % 2] END,
        now() - (60000 - n) * interval '15 minutes', 'user-' || n % 50, 1 + n % 5
    FROM generate_series(1, 60000) n;
";

const READS: [&str; 5] = [
    "SELECT m.model_name, mv.semver, d.environment_id, d.status, d.deployed_at, d.deployed_by FROM deployments d
     INNER JOIN model_versions mv ON d.version_id = mv.version_id INNER JOIN models m ON mv.model_id = m.model_id
     WHERE d.deployed_at > NOW() - INTERVAL '30 days' ORDER BY d.deployed_at DESC LIMIT 50",
    "SELECT run_id, model_name, status, accuracy, created_at FROM training_runs
     WHERE experiment_name = 'fraud-exp-001' AND created_at > NOW() - INTERVAL '7 days'
     ORDER BY accuracy DESC NULLS LAST LIMIT 20",
    "SELECT m.model_name, COUNT(DISTINCT mv.version_id) AS version_count, COUNT(DISTINCT tr.run_id) AS training_runs,
        MAX(tr.accuracy) AS best_accuracy
     FROM models m LEFT JOIN model_versions mv ON m.model_id = mv.model_id
     LEFT JOIN training_runs tr ON tr.version_id = mv.version_id
     WHERE m.is_active = true GROUP BY m.model_id, m.model_name ORDER BY training_runs DESC",
    "SELECT m.model_name, mv.semver, d.status, d.replicas, d.deployed_at FROM deployments d
     INNER JOIN model_versions mv ON d.version_id = mv.version_id INNER JOIN models m ON mv.model_id = m.model_id
     WHERE d.environment_id = 1 AND d.status = 'active' ORDER BY d.deployed_at DESC",
    "SELECT m.model_name, COUNT(DISTINCT tr.run_id) AS total_runs,
        AVG(tr.accuracy) FILTER (WHERE tr.status = 'succeeded') AS avg_accuracy
     FROM models m LEFT JOIN model_versions mv ON m.model_id = mv.model_id
     LEFT JOIN training_runs tr ON mv.version_id = tr.version_id
     WHERE m.created_at > NOW() - INTERVAL '30 days' GROUP BY m.model_id, m.model_name
     HAVING COUNT(DISTINCT tr.run_id) > 0 ORDER BY total_runs DESC",
];

fn pg_dump() -> PathBuf {
    let from_path = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).collect::<Vec<_>>();
    let installed = testkit::SUPPORTED.rev().map(|m| PathBuf::from(format!("/usr/lib/postgresql/{m}/bin")));
    installed.chain(from_path).map(|d| d.join("pg_dump")).find(|p| p.is_file()).expect("pg_dump is installed")
}

async fn snapshot(url: &str) -> Snapshot {
    let target = Target::parse(Some(url), &Environment::default()).unwrap();
    let session = target.connect(&SessionOptions::default()).await.unwrap();
    postgres::snapshot::read(&session, &target, &SnapshotOptions::new(pg_dump())).await.unwrap()
}

/// A database with this schema and one in which these statements have just run.
async fn run(client: &Client, schema: &str, statements: &[&str], times: usize) {
    client.batch_execute(schema).await.unwrap();
    // Without a flush the commit record may not be on disk, and VACUUM marks no page all-visible.
    client.batch_execute("CHECKPOINT").await.unwrap();
    client.batch_execute("VACUUM (ANALYZE)").await.unwrap();
    // Only what this database counted: other tests share the server.
    let own =
        "SELECT pg_stat_statements_reset(0, oid, 0) FROM pg_database WHERE datname = current_database()";
    client.batch_execute(own).await.unwrap();
    for _ in 0..times {
        for statement in statements {
            client.simple_query(statement).await.unwrap();
        }
    }
}

async fn advised(snapshot: &Snapshot, options: &Options) -> Advice {
    let binaries = testkit::versions().remove(0);
    let mut twin = Twin::build(snapshot, &binaries, TwinOptions::default()).await.unwrap();
    let advice = advise(snapshot, &mut twin, options).await.unwrap();
    twin.stop().await.unwrap();
    advice
}

fn creates(advice: &Advice) -> Vec<String> {
    advice
        .recommendations
        .iter()
        .flat_map(|r| &r.changes)
        .filter_map(|c| match c {
            Change::CreateIndex { index } => Some(index.create_sql(false)),
            _ => None,
        })
        .collect()
}

async fn real_cost(client: &Client, sql: &str) -> f64 {
    let row = client.query_one(&format!("EXPLAIN (FORMAT JSON) {sql}"), &[]).await.unwrap();
    let plan: serde_json::Value = row.get(0);
    plan[0]["Plan"]["Total Cost"].as_f64().unwrap()
}

#[tokio::test]
async fn the_registry_becomes_fast_with_few_small_indexes() {
    let server = testkit::servers().next().unwrap();
    let database = testkit::database(server).await;
    let client = testkit::connect(&database.url).await;
    let insert = "INSERT INTO training_runs VALUES (gen_random_uuid(), NULL, 'model-1', 'experiment-1', 'running', NULL, now(), '{}')";
    let update = "UPDATE deployments SET status = 'retired' WHERE deployment_id = md5('d' || 7)::uuid";
    let statements: Vec<&str> = READS.iter().copied().chain([insert, update]).collect();
    run(&client, SCHEMA, &statements, 5).await;
    let snapshot = snapshot(&database.url).await;
    let advice = advised(&snapshot, &Options::default()).await;

    let indexes = creates(&advice);
    assert!(
        indexes.iter().any(|i| i.contains("ON public.deployments USING btree (deployed_at)")),
        "{indexes:#?}"
    );
    // The planner takes (experiment_name, created_at) to be scattered over the table and (created_at) not to be, so
    // which of the two is cheaper rests on the values.
    let of_experiments = ["(experiment_name, created_at", "(created_at"];
    assert!(
        indexes.iter().any(|i| of_experiments
            .iter()
            .any(|k| i.contains(&format!("ON public.training_runs USING btree {k}")))),
        "{indexes:#?}"
    );
    let joined =
        indexes.iter().find(|i| i.contains("ON public.training_runs USING btree (version_id)")).unwrap();
    assert!(joined.contains("INCLUDE (accuracy, run_id"), "{joined}");
    assert!(joined.contains("WHERE version_id IS NOT NULL"), "{joined}");
    assert!(advice.planner_calls < 1_000, "{} planner calls", advice.planner_calls);
    assert!(advice.workload_cost_after < 0.5 * advice.workload_cost_before);

    // What was promised holds when the indexes are real.
    let mut before = Vec::new();
    for read in READS {
        before.push(real_cost(&client, read).await);
    }
    for index in &indexes {
        client.batch_execute(index).await.unwrap();
    }
    client.batch_execute("VACUUM (ANALYZE)").await.unwrap();
    for (read, before) in READS.iter().zip(before) {
        let after = real_cost(&client, read).await;
        assert!(after <= before * 1.01, "{read}: {before} became {after}");
    }
    for promised in advice.recommendations.iter().flat_map(|r| &r.statements) {
        if promised.example.is_empty() || promised.plan_after.is_null() {
            continue;
        }
        let real = real_cost(&client, &promised.example).await;
        let last = advice.recommendations.iter().rev().flat_map(|r| &r.statements);
        let cost =
            last.clone().find(|e| e.queryid == promised.queryid).unwrap().plan_after["Plan"]["Total Cost"]
                .as_f64()
                .unwrap();
        // A handful of pages more or less in a small plan is no broken promise.
        assert!(
            (real / cost).ln().abs() < 0.25 || (real - cost).abs() < 25.0,
            "{}: promised {cost}, is {real}",
            promised.example
        );
    }
    for recommendation in &advice.recommendations {
        for change in &recommendation.changes {
            if let Change::CreateIndex { index } = change {
                assert!(index.name.ends_with("_idx") || index.name.ends_with("_idx1"), "{}", index.name);
            }
        }
        assert_eq!(recommendation.id.len(), 8);
        assert!(!recommendation.undo_sql.is_empty());
    }
    // The same advice again: nothing depends on chance.
    let again = advised(&snapshot, &Options::default()).await;
    assert_eq!(serde_json::to_value(&again).unwrap(), serde_json::to_value(&advice).unwrap());
}

#[tokio::test]
async fn odd_names_foreign_keys_and_duplicates() {
    const ODD: &str = r#"
        CREATE EXTENSION pg_stat_statements;
        CREATE SCHEMA "My Schema";
        CREATE TABLE "My Schema"."a""b.c" ("Key" int PRIMARY KEY, "größe" text, "order" int, filler text);
        INSERT INTO "My Schema"."a""b.c" SELECT n, 'x' || n % 5000, n % 100, repeat('f', 80) FROM generate_series(1, 80000) n;
        CREATE TABLE parent (id int PRIMARY KEY, name text);
        CREATE TABLE child (id int PRIMARY KEY, parent_id int REFERENCES parent, x int, y int, filler text);
        INSERT INTO parent SELECT n, 'p' || n FROM generate_series(1, 2000) n;
        INSERT INTO child SELECT n, 101 + n % 1900, n % 700, n % 90, repeat('f', 60) FROM generate_series(1, 80000) n;
        CREATE INDEX child_x_1 ON child (x);
        CREATE INDEX child_x_2 ON child (x);
        CREATE INDEX child_x_y ON child (x, y);
        CREATE TABLE tiny (id int, name text);
        INSERT INTO tiny SELECT n, 't' || n FROM generate_series(1, 100) n;
        CREATE TABLE split (id int, at timestamptz, v int) PARTITION BY RANGE (at);
        CREATE TABLE split_1 PARTITION OF split FOR VALUES FROM ('2020-01-01') TO ('2030-01-01');
        INSERT INTO split SELECT n, '2025-01-01'::timestamptz + n * interval '1 minute', n FROM generate_series(1, 50000) n;
        CREATE VIEW seen AS SELECT * FROM child WHERE y > 5;
    "#;
    let server = testkit::servers().next().unwrap();
    let database = testkit::database(server).await;
    let client = testkit::connect(&database.url).await;
    let mut statements = vec![
        r#"SELECT * FROM "My Schema"."a""b.c" WHERE "größe" = 'x17' AND "order" > 3"#.to_owned(),
        "SELECT * FROM tiny WHERE name = 't5'".to_owned(),
        "SELECT * FROM split WHERE v = 77".to_owned(),
        "SELECT count(*) FROM seen WHERE filler LIKE 'zz%'".to_owned(),
        "SELECT sum(id) FROM child WHERE id > 100".to_owned(),
    ];
    statements.extend((1..=40).map(|n| format!("DELETE FROM parent WHERE id = {n}")));
    let statements: Vec<&str> = statements.iter().map(String::as_str).collect();
    run(&client, ODD, &statements, 1).await;
    let snapshot = snapshot(&database.url).await;
    let advice = advised(&snapshot, &Options::default()).await;
    let indexes = creates(&advice);
    assert!(
        indexes.iter().any(|i| i.starts_with(r#"CREATE INDEX "a""b.c_größe"#)
            && i.contains(r#" ON "My Schema"."a""b.c" USING btree ("größe""#)),
        "{indexes:#?}"
    );
    assert!(indexes.iter().any(|i| i.contains("ON public.child USING btree (parent_id)")), "{indexes:#?}");
    assert!(!indexes.iter().any(|i| i.contains("tiny")), "{indexes:#?}");
    assert!(indexes.iter().any(|i| i.contains("ON public.split USING btree (v)")), "{indexes:#?}");
    // The view is seen through.
    assert!(
        indexes.iter().any(|i| i.contains("ON public.child USING") && i.contains("filler")),
        "{indexes:#?}"
    );
    let dropped: Vec<String> = advice
        .recommendations
        .iter()
        .flat_map(|r| &r.changes)
        .filter_map(|c| match c {
            Change::DropIndex { name, .. } => Some(name.to_string()),
            _ => None,
        })
        .collect();
    assert_eq!(dropped, ["public.child_x_1", "public.child_x_2"]);
    // Every statement of every recommendation runs, and is undone.
    for recommendation in &advice.recommendations {
        for sql in recommendation.sql.iter().chain(&recommendation.undo_sql) {
            // A partitioned table takes no CONCURRENTLY: what applies the change goes partition by partition.
            let sql = if sql.contains("split") { sql.replace(" CONCURRENTLY", "") } else { sql.clone() };
            let sql = sql.as_str();
            client.batch_execute(sql).await.unwrap_or_else(|e| panic!("{sql}: {e:?}"));
        }
    }
    // A budget is kept.
    let small = advised(&snapshot, &Options { max_count: Some(1), ..Options::default() }).await;
    assert_eq!(creates(&small).len(), 1);
    assert!(small.rejected.iter().any(|r| r.reason.contains("do not fit the budget")));
}

#[tokio::test]
async fn two_indexes_take_the_place_of_five() {
    const FIVE: &str = "
        CREATE EXTENSION pg_stat_statements;
        CREATE TABLE t (id int PRIMARY KEY, a int NOT NULL, b int NOT NULL, c int NOT NULL, d int NOT NULL, e int NOT NULL, filler text);
        INSERT INTO t SELECT n, n % 50, n / 50 % 20, n % 101, hashint4(n) & 3, hashint4(n + 7) & 15, repeat('f', 60)
            FROM generate_series(1, 100000) n;
        CREATE INDEX t_a ON t (a);
        CREATE INDEX t_a_b ON t (a, b);
        CREATE INDEX t_a_b_again ON t (a, b);
        CREATE INDEX t_c ON t (c);
        CREATE INDEX t_c_again ON t (c);
        CREATE UNIQUE INDEX t_kept ON t (c, id);
    ";
    let server = testkit::servers().next().unwrap();
    let database = testkit::database(server).await;
    let client = testkit::connect(&database.url).await;
    let statements = [
        "SELECT * FROM t WHERE a = 7 AND b = 3 AND d = 1",
        "SELECT * FROM t WHERE c = 7 AND e > 13",
        "SELECT count(*) FROM t WHERE a = 9",
    ];
    run(&client, FIVE, &statements, 20).await;
    let snapshot = snapshot(&database.url).await;
    // The times of three small statements in a test are noise.
    let advice = advised(&snapshot, &Options { weigh_by: WeighBy::PlannerCost, ..Options::default() }).await;
    let indexes = creates(&advice);
    assert_eq!(indexes.len(), 2, "{indexes:#?}");
    let of = |keys: &str| indexes.iter().any(|i| i.contains(keys));
    assert!(of("(a, b, d") && of("(c, e"), "{indexes:#?}");
    let changes = advice.recommendations.iter().flat_map(|r| &r.changes);
    let mut dropped: Vec<String> = changes
        .filter_map(|c| match c {
            Change::DropIndex { name, .. } => Some(name.name.clone()),
            _ => None,
        })
        .collect();
    dropped.sort();
    // What enforces something stays.
    assert_eq!(dropped, ["t_a", "t_a_b", "t_a_b_again", "t_c", "t_c_again"]);
    let freed: u64 = advice.recommendations.iter().map(|r| r.price.freed.0).sum();
    let bytes: u64 = advice.recommendations.iter().map(|r| r.price.bytes.0).sum();
    assert!(freed > bytes, "{freed} bytes are freed for {bytes}");
}

#[tokio::test]
async fn a_key_that_finds_one_row_needs_no_further_column() {
    const USERS: &str = "
        CREATE EXTENSION pg_stat_statements;
        CREATE TABLE users (id int PRIMARY KEY, email varchar(255) NOT NULL, deleted_at date, filler text);
        INSERT INTO users SELECT n, 'User' || n || '@Example.com', CASE WHEN n % 30 = 0 THEN '2026-01-01'::date END, repeat('f', 60)
            FROM generate_series(1, 60000) n;
    ";
    let server = testkit::servers().next().unwrap();
    let database = testkit::database(server).await;
    let client = testkit::connect(&database.url).await;
    let statements = [
        "SELECT * FROM users WHERE lower(email) = 'user7@example.com' AND deleted_at IS NULL",
        "SELECT * FROM users WHERE lower(email) = 'user8@example.com'",
    ];
    run(&client, USERS, &statements, 20).await;
    let snapshot = snapshot(&database.url).await;
    let advice = advised(&snapshot, &Options::default()).await;
    let indexes = creates(&advice);
    assert_eq!(indexes, ["CREATE INDEX users_lower_idx ON public.users USING btree ((lower(email)))"]);
}

#[tokio::test]
async fn a_scan_that_hopes_to_meet_its_row_soon_is_not_believed() {
    const EVENTS: &str = "
        CREATE EXTENSION pg_stat_statements;
        CREATE TABLE events (id int, tenant int NOT NULL, kind text NOT NULL, at timestamptz NOT NULL, doc json NOT NULL);
        INSERT INTO events SELECT n, n % 400, 'k' || n % 4, '2026-01-01'::timestamptz + n * interval '20 seconds',
            json_build_object('ip', '10.0.0.' || n % 255, 'n', n) FROM generate_series(1, 100000) n;
    ";
    let server = testkit::servers().next().unwrap();
    let database = testkit::database(server).await;
    let client = testkit::connect(&database.url).await;
    // Nothing is known of what is in a json column: the planner takes half a percent of the rows for a match.
    let statements = [
        "SELECT * FROM events WHERE doc ->> 'n' = '99999' LIMIT 1",
        "SELECT kind, count(*) FROM events WHERE at >= '2026-01-20' AND tenant = 7 GROUP BY kind",
        "SELECT count(*) FROM events WHERE tenant = 9 AND kind = 'k1'",
    ];
    run(&client, EVENTS, &statements, 20).await;
    let snapshot = snapshot(&database.url).await;
    let hidden = snapshot.statements.iter().find(|s| s.query.contains("->>")).unwrap();
    let values = [(1, "n"), (2, "99999"), (3, "1")].map(|(n, v)| (n, Some(v.to_owned())));
    let observed = ObservedValues { values: values.into(), times: 20 };
    let options =
        Options { observed_values: [(hidden.queryid, vec![observed])].into(), ..Options::default() };
    let advice = advised(&snapshot, &options).await;
    let indexes = creates(&advice).join("\n");
    assert!(indexes.contains("((doc ->> 'n'))"), "{indexes}");
    let bound = advice.bound.unwrap();
    assert!(bound.gap < 0.05, "{bound:?}");
}
