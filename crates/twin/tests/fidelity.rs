//! Does the twin plan as the server does? Asked of every version on this machine, with and without
//! indexes that are then really built.

#![allow(clippy::unwrap_used)] // A test says what it expects by unwrapping.

use std::time::Duration;

use model::QualifiedName;
use model::change::{IndexDefinition, IndexKey, KeyTarget, NullsOrder};
use model::cost_model::{CandidateId, Configuration, CostModel, Registered};
use model::snapshot::Snapshot;
use postgres::{Environment, SessionOptions, SnapshotOptions, Target};
use serde_json::Value;
use tokio_postgres::Client;
use twin::{Clock, Twin, TwinOptions};

/// The schema as `pg_dump` of the same version would write it. There is no `pg_dump` for every
/// version on every machine; where there is one, it is used.
const SCHEMA: &str = r#"
CREATE SCHEMA "My Schema";
CREATE TYPE public.mood AS ENUM ('sad', 'ok', 'happy');
CREATE TABLE public.users (
    id bigint PRIMARY KEY, email text NOT NULL, country varchar(2), created_at timestamptz NOT NULL, mood mood
);
CREATE TABLE public.events (
    id bigint PRIMARY KEY, dropped int, user_id bigint NOT NULL, kind text NOT NULL, status text, payload jsonb NOT NULL,
    tags text[], created_at timestamptz NOT NULL, amount numeric(12, 2), token uuid NOT NULL
);
ALTER TABLE public.events DROP COLUMN dropped;
CREATE INDEX events_token ON public.events (token);
CREATE INDEX events_lower_kind ON public.events (lower(kind));
ALTER TABLE ONLY public.events ADD CONSTRAINT events_user FOREIGN KEY (user_id) REFERENCES public.users (id);
CREATE TABLE "My Schema"."a""b.c" ("Id" int PRIMARY KEY, "we""ird" int, note text);
CREATE TABLE public.readings (sensor int NOT NULL, at timestamptz NOT NULL, value float8) PARTITION BY RANGE (at);
CREATE TABLE public.readings_1 PARTITION OF public.readings FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
CREATE TABLE public.readings_2 PARTITION OF public.readings FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
CREATE INDEX readings_at ON public.readings (at);
CREATE VIEW public.recent AS SELECT * FROM public.events WHERE created_at > now() - interval '1 day';
CREATE MATERIALIZED VIEW public.per_kind AS SELECT kind, count(*) AS n FROM public.events GROUP BY kind WITH NO DATA;
"#;

const DATA: &str = r#"
SELECT setseed(0.42);
INSERT INTO users SELECT i, 'user' || i || '@example.com', (ARRAY['de','fr','us','gb'])[1 + floor(4 * random() ^ 2)],
    now() - i * interval '1 hour', (ARRAY['sad','ok','happy'])[1 + floor(3 * random() ^ 2)]::mood
FROM generate_series(1, 20000) AS i;
INSERT INTO events SELECT i, 1 + floor(20000 * random() ^ 3), (ARRAY['view','click','buy','refund'])[1 + floor(4 * random() ^ 3)],
    CASE WHEN random() < 0.9 THEN 'done' WHEN random() < 0.5 THEN 'open' END,
    jsonb_build_object('page', floor(500 * random()), 'ref', 'r' || floor(40 * random() ^ 2), 'ok', random() < 0.5),
    ARRAY['t' || floor(50 * random() ^ 2), 't' || floor(50 * random())],
    now() - (80000 - i) * interval '1 minute', round((random() * 1000)::numeric, 2), gen_random_uuid()
FROM generate_series(1, 80000) AS i;
INSERT INTO "My Schema"."a""b.c" SELECT i, i % 1000, repeat('x', i % 50) FROM generate_series(1, 60000) AS i;
INSERT INTO readings SELECT i % 100, timestamptz '2026-01-01 00:00Z' + i * interval '100 seconds', random()
FROM generate_series(1, 50000) AS i;
REFRESH MATERIALIZED VIEW per_kind;
VACUUM ANALYZE;
"#;

const QUERIES: &[&str] = &[
    "SELECT * FROM events WHERE id = 4711",
    "SELECT * FROM events WHERE user_id = 42",
    "SELECT * FROM events WHERE token = '7f1b5a3e-0000-4000-8000-000000000000'",
    "SELECT * FROM events WHERE lower(kind) = 'buy'",
    "SELECT * FROM events WHERE created_at > now() - interval '2 days' ORDER BY created_at DESC LIMIT 20",
    "SELECT kind, count(*) FROM events WHERE status = 'open' GROUP BY kind",
    "SELECT count(*) FROM events WHERE payload @> '{\"page\": 17}'",
    "SELECT count(*) FROM events WHERE tags @> ARRAY['t3']",
    "SELECT u.email, count(*) FROM users u JOIN events e ON e.user_id = u.id WHERE u.country = 'gb' GROUP BY u.email",
    "SELECT * FROM users u WHERE EXISTS (SELECT 1 FROM events e WHERE e.user_id = u.id AND e.kind = 'refund')",
    "SELECT e.* FROM events e JOIN users u ON u.id = e.user_id WHERE e.id BETWEEN 1000 AND 1100",
    "SELECT * FROM \"My Schema\".\"a\"\"b.c\" WHERE \"we\"\"ird\" = 7 ORDER BY \"Id\"",
    "SELECT sensor, avg(value) FROM readings WHERE at >= '2026-01-10' AND at < '2026-01-12' GROUP BY sensor",
    "SELECT * FROM readings WHERE sensor = 5 AND at > '2026-02-20'",
    "SELECT count(*) FROM recent WHERE kind = 'click'",
    "SELECT * FROM per_kind WHERE n > 10",
    "SELECT * FROM users WHERE email LIKE 'user12%' AND mood = 'happy'",
    "UPDATE events SET status = 'done' WHERE status = 'open' AND created_at < CURRENT_DATE - 30",
    "SELECT max(created_at), sum(amount) FROM events WHERE amount BETWEEN 10 AND 12.5",
];

/// A database with data, and what a snapshot of it says.
struct Source {
    client: Client,
    snapshot: Snapshot,
    server: &'static cluster::Server,
}

async fn source(server: &'static cluster::Server) -> Source {
    let database = testkit::database(server).await;
    let client = testkit::connect(&database.url).await;
    client.batch_execute(SCHEMA).await.unwrap();
    for statement in DATA.split(";\n").filter(|s| !s.trim().is_empty()) {
        client.batch_execute(statement).await.unwrap();
    }
    client
        .batch_execute(
            "SET work_mem = '8MB'; SET random_page_cost = 1.7; SET max_parallel_workers_per_gather = 1",
        )
        .await
        .unwrap();
    let alter = format!(
        "ALTER DATABASE {0} SET work_mem = '8MB'; ALTER DATABASE {0} SET random_page_cost = 1.7;
         ALTER DATABASE {0} SET max_parallel_workers_per_gather = 1",
        database.name
    );
    client.batch_execute(&alter).await.unwrap();
    let snapshot = snapshot(&database.url, server).await;
    Source { client, snapshot, server }
}

async fn snapshot(url: &str, server: &cluster::Server) -> Snapshot {
    let target = Target::parse(Some(url), &Environment::default()).unwrap();
    let session = target.connect(&SessionOptions::default()).await.unwrap();
    match server.binaries().program("pg_dump") {
        Some(pg_dump) => {
            postgres::snapshot::read(&session, &target, &SnapshotOptions::new(pg_dump)).await.unwrap()
        }
        None => {
            let mut snapshot =
                postgres::snapshot::read_without_schema(&session, Duration::from_secs(5)).await.unwrap();
            snapshot.schema_sql = SCHEMA.into();
            snapshot
        }
    }
}

async fn build(source: &Source) -> Twin {
    let options = TwinOptions {
        template_dir: Some(concat!(env!("CARGO_MANIFEST_DIR"), "/../../.cache/templates").into()),
        ..TwinOptions::default()
    };
    Twin::build(&source.snapshot, source.server.binaries(), options).await.unwrap()
}

async fn explain(client: &Client, sql: &str) -> Value {
    let row = client.query_one(&format!("EXPLAIN (FORMAT JSON) {sql}"), &[]).await.unwrap();
    row.get::<_, Value>(0)[0].clone()
}

fn cost(explain: &Value) -> f64 {
    explain["Plan"]["Total Cost"].as_f64().unwrap()
}

/// Node types with what they read, in order.
fn shape(plan: &Value) -> String {
    let word = |key: &str| plan[key].as_str().map(|s| format!(" {s}")).unwrap_or_default();
    let children: Vec<String> = plan["Plans"].as_array().into_iter().flatten().map(shape).collect();
    format!(
        "{}{}{}({})",
        plan["Node Type"].as_str().unwrap(),
        word("Relation Name"),
        word("Index Name"),
        children.join(", ")
    )
}

/// The names that PostgreSQL gave the indexes of partitions.
async fn parts_of(client: &Client, definition: &IndexDefinition) -> Vec<String> {
    let sql = "SELECT c.relname::text FROM pg_partition_tree($1::text::regclass) AS t JOIN pg_class AS c ON c.oid = t.relid";
    let rows = client.query(sql, &[&definition.qualified_name().to_string()]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

/// The twin shows the parts of a candidate under the candidate's name.
fn rename(plan: &mut Value, parts: &[String], name: &str) {
    match plan {
        Value::Object(members) => {
            for (key, member) in members {
                match member {
                    Value::String(index) if key == "Index Name" && parts.contains(index) => {
                        *index = name.into();
                    }
                    other => rename(other, parts, name),
                }
            }
        }
        Value::Array(elements) => elements.iter_mut().for_each(|e| rename(e, parts, name)),
        _ => {}
    }
}

fn error(expected: f64, found: f64) -> f64 {
    (found - expected).abs() / expected
}

fn median(mut errors: Vec<f64>) -> f64 {
    errors.sort_by(f64::total_cmp);
    errors[errors.len() / 2]
}

#[tokio::test]
async fn plans_are_those_of_the_server() {
    for server in testkit::servers() {
        let source = source(server).await;
        let mut twin = build(&source).await;
        assert_eq!(twin.notes(), Vec::<String>::new());
        let mut errors = Vec::new();
        for sql in QUERIES {
            let real = explain(&source.client, sql).await;
            let planned = twin.plan(sql, &Configuration::current()).await.unwrap();
            let found = error(cost(&real), planned.total_cost);
            eprintln!("{} {found:.5} {sql}\n    {}", server.binaries().major, shape(&real["Plan"]));
            assert_eq!(shape(&planned.explain["Plan"]), shape(&real["Plan"]), "{sql}");
            assert!(found < 0.05, "{sql}: {} instead of {}", planned.total_cost, cost(&real));
            errors.push(found);
        }
        let median = median(errors);
        eprintln!("{} median {median:.6}", server.binaries().major);
        assert!(median < 0.01, "{median}");
        assert_eq!(twin.planner_calls(), QUERIES.len() as u64);
        twin.stop().await.unwrap();
    }
}

fn expression(text: &str) -> IndexKey {
    IndexKey { target: KeyTarget::Expression(text.into()), ..IndexKey::column("") }
}

fn candidates() -> Vec<(IndexDefinition, &'static str)> {
    let public = |name: &str| QualifiedName::new("public", name);
    let events = |name: &str, keys: Vec<IndexKey>| IndexDefinition::btree(public("events"), name, keys);
    let column = |name: &str| vec![IndexKey::column(name)];
    let of = |method: &str, index: IndexDefinition| IndexDefinition { access_method: method.into(), ..index };
    vec![
        (events("x_user", column("user_id")), "SELECT * FROM events WHERE user_id = 42"),
        (
            events("x_created", vec![IndexKey::column("created_at").descending()]),
            "SELECT * FROM events ORDER BY created_at DESC LIMIT 50",
        ),
        (
            events("x_pair", vec![IndexKey::column("kind"), IndexKey::column("created_at")]),
            "SELECT count(*) FROM events WHERE kind = 'buy' AND created_at > now() - interval '5 days'",
        ),
        (
            IndexDefinition { include: vec!["amount".into()], ..events("x_covering", column("user_id")) },
            "SELECT user_id, sum(amount) FROM events WHERE user_id BETWEEN 100 AND 200 GROUP BY user_id",
        ),
        (
            IndexDefinition {
                predicate: Some("status = 'open'".into()),
                ..events("x_partial", column("created_at"))
            },
            "SELECT * FROM events WHERE status = 'open' AND created_at > now() - interval '9 days'",
        ),
        (
            events("x_status", vec![IndexKey { nulls: NullsOrder::First, ..IndexKey::column("status") }]),
            "SELECT count(*) FROM events WHERE status = 'open'",
        ),
        (events("x_amount", column("amount")), "SELECT * FROM events WHERE amount BETWEEN 10 AND 10.5"),
        (
            IndexDefinition::btree(public("users"), "x_email", column("email")),
            "SELECT * FROM users WHERE email = 'user77@example.com'",
        ),
        (
            IndexDefinition::btree(public("users"), "x_lower_email", vec![expression("lower(email)")]),
            "SELECT * FROM users WHERE lower(email) = 'user77@example.com'",
        ),
        (
            IndexDefinition::btree(QualifiedName::new("My Schema", "a\"b.c"), "x \"odd\"", column("we\"ird")),
            "SELECT * FROM \"My Schema\".\"a\"\"b.c\" WHERE \"we\"\"ird\" = 7",
        ),
        (
            of(
                "gin",
                events(
                    "x_payload",
                    vec![IndexKey {
                        opclass: Some(QualifiedName::new("pg_catalog", "jsonb_path_ops")),
                        ..IndexKey::column("payload")
                    }],
                ),
            ),
            "SELECT count(*) FROM events WHERE payload @> '{\"page\": 17}'",
        ),
        (
            of("gin", events("x_tags", column("tags"))),
            "SELECT count(*) FROM events WHERE tags @> ARRAY['t3', 't44']",
        ),
        (
            IndexDefinition {
                with: vec![("pages_per_range".into(), "16".into())],
                ..of("brin", events("x_brin", column("created_at")))
            },
            "SELECT count(*) FROM events WHERE created_at BETWEEN now() - interval '3 days' AND now() - interval '2 days'",
        ),
        // Many descents: what the height of a B-tree costs shows here.
        (
            events("x_join", vec![IndexKey::column("user_id"), IndexKey::column("id")]),
            "SELECT u.id, e.id FROM users u JOIN events e ON e.user_id = u.id WHERE u.id BETWEEN 5000 AND 5300",
        ),
        (of("hash", events("x_hash", column("user_id"))), "SELECT * FROM events WHERE user_id = 4242"),
        (
            IndexDefinition::btree(
                public("readings"),
                "x_sensor",
                vec![IndexKey::column("sensor"), IndexKey::column("at")],
            ),
            "SELECT * FROM readings WHERE sensor = 5 AND at > '2026-02-20'",
        ),
    ]
}

#[tokio::test]
async fn candidates_cost_and_weigh_what_the_built_index_does() {
    for server in testkit::servers() {
        let source = source(server).await;
        let mut twin = build(&source).await;
        let (definitions, queries): (Vec<_>, Vec<_>) = candidates().into_iter().unzip();
        let registered = twin.register(&definitions).await.unwrap();
        let (mut errors, mut failures) = (Vec::new(), Vec::new());
        for ((definition, sql), answer) in definitions.iter().zip(&queries).zip(&registered) {
            let Registered::Ready { id, bytes } = answer else { panic!("{definition:?}: {answer:?}") };
            let before = explain(&source.client, sql).await;
            let twin_before = twin.plan(sql, &Configuration::current()).await.unwrap();
            assert_eq!(shape(&twin_before.explain["Plan"]), shape(&before["Plan"]), "{sql}");

            source.client.batch_execute(&definition.create_sql(false)).await.unwrap();
            let mut real = explain(&source.client, sql).await;
            let parts = parts_of(&source.client, definition).await;
            rename(&mut real, &parts, &definition.name);
            let size: i64 = source
                .client
                .query_one(
                    "SELECT (pg_relation_size($1::text::regclass) + coalesce(sum(pg_relation_size(relid)), 0))::bigint
                     FROM pg_partition_tree($1::text::regclass)",
                    &[&definition.qualified_name().to_string()],
                )
                .await
                .unwrap()
                .get(0);
            source
                .client
                .batch_execute(&format!("DROP INDEX {}", definition.qualified_name()))
                .await
                .unwrap();
            // What building and dropping did to the table's own numbers.
            let planned = twin.plan(sql, &Configuration::current().with(*id)).await.unwrap();

            let (cost_error, size_error) =
                (error(cost(&real), planned.total_cost), error(size as f64, bytes.0 as f64));
            let line = format!(
                "{} {:12} cost {:9.2} -> {:9.2} (twin {:9.2}, {:.4}) pages {:5} (twin {:5}, {:.3}) {}",
                server.binaries().major,
                definition.name,
                cost(&before),
                cost(&real),
                planned.total_cost,
                cost_error,
                size / 8192,
                bytes.0 / 8192,
                size_error,
                shape(&real["Plan"]),
            );
            eprintln!("{line}");
            if shape(&planned.explain["Plan"]) != shape(&real["Plan"])
                || cost_error > 0.05
                || size_error > 0.25
            {
                failures.push(format!("{line}\n      twin: {}", shape(&planned.explain["Plan"])));
            }
            errors.push(cost_error);
            // Off again.
            let after = twin.plan(sql, &Configuration::current()).await.unwrap();
            assert_eq!(after.total_cost, twin_before.total_cost);
        }
        assert!(failures.is_empty(), "{}", failures.join("\n"));
        let median = median(errors);
        assert!(median < 0.01, "{median}");
    }
}

/// Planning many at once, or in another order, gives what planning one by one gives.
#[tokio::test]
async fn many_statements_at_once_have_the_plans_of_each_alone() {
    let server = testkit::any_server();
    let source = source(server).await;
    let mut twin = build(&source).await;
    let (definitions, _): (Vec<_>, Vec<_>) = candidates().into_iter().unzip();
    let ids: Vec<_> = twin
        .register(&definitions)
        .await
        .unwrap()
        .into_iter()
        .map(|answer| match answer {
            Registered::Ready { id, .. } => id,
            Registered::Refused { reason } => panic!("{reason}"),
        })
        .collect();
    let dropped =
        vec![QualifiedName::new("public", "events_token"), QualifiedName::new("public", "readings_at")];
    let sets = [
        Configuration::current(),
        ids.iter().fold(Configuration::current(), |set, id| set.with(*id)),
        Configuration { dropped, ..Configuration::current().with(ids[0]).with(ids[15]) },
    ];
    let requests: Vec<_> = QUERIES
        .iter()
        .chain(&["SELECT nothing"])
        .flat_map(|sql| sets.iter().map(move |s| (*sql, s)))
        .collect();
    let together = twin.plan_many(&requests).await.unwrap();
    // A twin that has seen nothing yet, and each statement under one configuration after the other.
    let mut fresh = build(&source).await;
    fresh.register(&definitions).await.unwrap();
    for ((sql, set), found) in requests.iter().zip(together) {
        assert_eq!(found, fresh.plan(sql, set).await, "{sql}");
    }
    assert!(twin.plan_many(&[("SELECT 1", &Configuration::current().with(CandidateId(99)))]).await.is_err());
}

#[tokio::test]
async fn a_dropped_index_is_gone_and_comes_back() {
    let server = testkit::any_server();
    let source = source(server).await;
    let mut twin = build(&source).await;
    let sql = "SELECT * FROM events WHERE token = '7f1b5a3e-0000-4000-8000-000000000000'";
    let with = twin.plan(sql, &Configuration::current()).await.unwrap();
    let dropped = Configuration {
        dropped: vec![QualifiedName::new("public", "events_token")],
        ..Configuration::current()
    };
    let without = twin.plan(sql, &dropped).await.unwrap();
    assert!(without.total_cost > 10.0 * with.total_cost);
    assert_eq!(twin.plan(sql, &Configuration::current()).await.unwrap(), with);
    // A partitioned index takes its partitions' along.
    let sql = "SELECT * FROM readings WHERE at = '2026-02-20'";
    let with = twin.plan(sql, &Configuration::current()).await.unwrap();
    let dropped = Configuration {
        dropped: vec![QualifiedName::new("public", "readings_at")],
        ..Configuration::current()
    };
    assert!(twin.plan(sql, &dropped).await.unwrap().total_cost > 10.0 * with.total_cost);
    let unknown = Configuration { dropped: vec![QualifiedName::new("public", "nothing")], ..dropped };
    assert!(twin.plan(sql, &unknown).await.is_err());
}

#[tokio::test]
async fn bad_statements_and_bad_candidates_do_no_harm() {
    use model::cost_model::CostError;
    let server = testkit::any_server();
    let source = source(server).await;
    let mut twin = build(&source).await;
    let current = Configuration::current();
    let good = "SELECT * FROM events WHERE user_id = 42";
    let before = twin.plan(good, &current).await.unwrap();
    for (bad, state) in [
        ("SELECT * FROM no_such_table", "42P01"),
        ("SELEC", "42601"),
        ("SELECT 1; DROP TABLE events", "42601"),
        ("SELECT * FROM events WHERE id = $1", "08P01"),
        ("VACUUM", "42601"),
    ] {
        match twin.plan(bad, &current).await {
            Err(CostError::Statement { sqlstate, message }) => {
                assert_eq!(sqlstate.as_deref(), Some(state), "{bad}: {message}");
            }
            other => panic!("{bad}: {other:?}"),
        }
    }
    let table = QualifiedName::new("public", "events");
    let index = |name: &str, key: IndexKey| IndexDefinition::btree(table.clone(), name, vec![key]);
    let definitions = [
        index("same_name", IndexKey::column("user_id")),
        index("refused", IndexKey::column("no_such_column")),
        index("volatile", expression("random()::text")),
        index("injected", expression("1); DROP TABLE events; --")),
        index("same_name", IndexKey::column("amount")),
        index("events_token", IndexKey::column("kind")),
        index("same_name", IndexKey::column("user_id")),
    ];
    let answers = twin.register(&definitions).await.unwrap();
    let ids: Vec<_> = answers
        .iter()
        .map(|a| match a {
            Registered::Ready { id, bytes } => {
                assert!(bytes.0 > 8192);
                Some(*id)
            }
            Registered::Refused { reason } => {
                assert!(!reason.is_empty());
                None
            }
        })
        .collect();
    assert!(ids[0].is_some() && ids[1].is_none() && ids[2].is_none() && ids[3].is_none());
    assert_eq!(ids[0], ids[6]);
    // Registering again makes nothing new, and candidates come in several rounds.
    assert_eq!(twin.register(&definitions[..1]).await.unwrap()[0], answers[0]);
    let more = [index("later", IndexKey::column("created_at"))];
    let Registered::Ready { id: later, .. } = twin.register(&more).await.unwrap()[0] else { panic!() };

    assert_eq!(twin.plan(good, &current).await.unwrap(), before);
    let by_user = twin.plan(good, &current.with(ids[0].unwrap())).await.unwrap();
    assert!(shape(&by_user.explain["Plan"]).contains("same_name"), "{}", by_user.explain);
    assert!(by_user.total_cost < before.total_cost / 2.0);
    let recent = "SELECT * FROM events ORDER BY created_at DESC LIMIT 5";
    let by_time = twin.plan(recent, &current.with(later)).await.unwrap();
    assert!(shape(&by_time.explain["Plan"]).contains("later"), "{}", by_time.explain);
}

#[tokio::test]
async fn time_on_the_twin_is_the_time_of_the_snapshot() {
    let server = testkit::any_server();
    let mut source = source(server).await;
    let sql = "SELECT * FROM recent";
    let real = cost(&explain(&source.client, sql).await);
    let mut twin = build(&source).await;
    assert!(error(real, twin.plan(sql, &Configuration::current()).await.unwrap().total_cost) < 0.01);
    let rows = |planned: &model::cost_model::Planned| planned.explain["Plan"]["Plan Rows"].as_f64().unwrap();
    let at_snapshot = rows(&twin.plan(sql, &Configuration::current()).await.unwrap());

    // Half of the events are younger than the time of the middle one.
    source.snapshot.taken_at -= Duration::from_secs(40_000 * 60);
    let mut earlier = build(&source).await;
    let then = rows(&earlier.plan(sql, &Configuration::current()).await.unwrap());
    assert!(then > 20.0 * at_snapshot, "{then} rows then, {at_snapshot} now");
    let options = TwinOptions { clock: Clock::Wall, ..TwinOptions::default() };
    let mut wall = Twin::build(&source.snapshot, server.binaries(), options).await.unwrap();
    let now = rows(&wall.plan(sql, &Configuration::current()).await.unwrap());
    assert!(error(at_snapshot, now) < 0.05, "{now} rows now, {at_snapshot} at the snapshot");
}

#[tokio::test]
async fn what_the_twin_does_not_have_costs_only_what_uses_it() {
    let server = testkit::any_server();
    let mut source = source(server).await;
    source.snapshot.schema_sql.push_str(
        "CREATE EXTENSION IF NOT EXISTS postgis_of_another_machine WITH SCHEMA public;
         CREATE TABLE public.places (id int, at public.geometry);
         CREATE INDEX places_at ON public.places USING gist (at);
         ALTER TABLE public.users OWNER TO nobody_here;
         GRANT SELECT ON public.users TO nobody_here;
         COPY public.users TO PROGRAM 'touch /tmp/never';
         CREATE FUNCTION public.leak() RETURNS text LANGUAGE sql IMMUTABLE AS
             $$ SELECT pg_read_file('/etc/passwd') $$;",
    );
    let mut twin = build(&source).await;
    let notes = twin.notes().join("\n");
    assert!(
        notes.contains("postgis_of_another_machine") && notes.contains("CREATE TABLE public.places"),
        "{notes}"
    );
    assert!(notes.contains("does not run \"COPY") && !notes.contains("nobody_here"), "{notes}");
    twin.plan("SELECT * FROM users WHERE id = 1", &Configuration::current()).await.unwrap();
    // What a snapshot brings runs without a superuser's powers.
    let error = twin.plan("SELECT 1 WHERE leak() = 'x'", &Configuration::current()).await.unwrap_err();
    assert!(error.to_string().contains("permission denied"), "{error}");
}

/// Statistics are written by the superuser, and their values are read by functions of their types.
#[tokio::test]
async fn values_in_statistics_run_nothing_of_the_snapshot_as_superuser() {
    let server = testkit::any_server();
    let mut source = source(server).await;
    source.snapshot.schema_sql.push_str(
        "CREATE FUNCTION public.climb(text) RETURNS boolean LANGUAGE plpgsql AS
             $$BEGIN CREATE ROLE climber SUPERUSER; RETURN true; END$$;
         CREATE DOMAIN public.ladder AS text CHECK (public.climb(VALUE));
         CREATE TYPE public.step AS (height public.ladder);
         CREATE TABLE public.climbed (a public.step, b public.step[], c public.ladder[], d public.ladder, e int[]);",
    );
    let users = source.snapshot.relations.iter().find(|r| r.name.name == "users").unwrap();
    let mut climbed = users.clone();
    climbed.name = QualifiedName::new("public", "climbed");
    climbed.columns.truncate(5);
    for (column, (name, values)) in climbed.columns.iter_mut().zip([
        ("a", "{(x)}"),
        ("b", "{\"{(x)}\"}"),
        ("c", "{\"{x}\"}"),
        ("d", "{x}"),
        ("e", "{\"{1,2}\"}"),
    ]) {
        column.name = name.into();
        let statistics = column.statistics.as_mut().unwrap();
        statistics.most_common_vals = Some(values.into());
        statistics.most_common_freqs = Some(vec![0.5]);
        statistics.histogram_bounds = None;
    }
    source.snapshot.relations.push(climbed);
    let twin = build(&source).await;
    let notes = twin.notes().join("\n");
    for column in ["a", "b", "c"] {
        assert!(notes.contains(&format!("statistics of public.climbed.{column}: reading")), "{notes}");
    }
    let admin = testkit::connect(&twin.url()).await;
    let sql = "SELECT (SELECT count(*) FROM pg_roles WHERE rolname = 'climber'),
        (SELECT count(*) FROM pg_stats WHERE tablename = 'climbed' AND most_common_vals IS NOT NULL)";
    let row = admin.query_one(sql, &[]).await.unwrap();
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (0, 2), "{notes}");
}

#[tokio::test]
async fn a_locale_of_another_machine_is_replaced_and_told() {
    let server = testkit::any_server();
    let mut source = source(server).await;
    source.snapshot.server.collate = "de_AT.UTF-8".into();
    source.snapshot.server.ctype = "de_AT.UTF-8".into();
    let mut twin = build(&source).await;
    assert!(twin.notes().iter().any(|n| n.contains("de_AT.UTF-8")), "{:?}", twin.notes());
    // Without the order of "C", an index cannot serve a prefix.
    let sql = "SELECT * FROM users WHERE email LIKE 'user123%'";
    let index =
        IndexDefinition::btree(QualifiedName::new("public", "users"), "x", vec![IndexKey::column("email")]);
    let Registered::Ready { id, .. } = twin.register(&[index]).await.unwrap()[0] else { panic!() };
    let planned = twin.plan(sql, &Configuration::current().with(id)).await.unwrap();
    assert_eq!(shape(&planned.explain["Plan"]), "Seq Scan users()");
}

#[test]
fn the_nearest_version_plans_and_another_one_warns() {
    let of = |major: u32| cluster::Binaries { dir: "/".into(), major, version: major.to_string() };
    let snapshot = |major: i32| {
        let text = format!(
            r#"{{"format_version": 1, "taken_at": "2026-01-01T00:00:00Z", "server": {{"version_num": {major}0001,
            "version": "{major}.1", "database": "d", "user": "u", "in_recovery": false, "started_at": null,
            "stats_reset": null, "encoding": "UTF8", "collate": "C", "ctype": "C", "database_bytes": 0}},
            "settings": {{}}, "extensions": [], "schema_sql": "", "relations": [], "indexes": [], "constraints": [],
            "extended_statistics": [], "statements": [], "statements_info": null, "notes": []}}"#
        );
        serde_json::from_str::<Snapshot>(&text).unwrap()
    };
    for (source, available, chosen, warns) in [
        (15, vec![18, 17, 15], 15, false),
        (16, vec![18, 17, 15], 17, true),
        (18, vec![15, 17], 17, true),
        (13, vec![18, 15], 15, true),
    ] {
        let available: Vec<_> = available.into_iter().map(of).collect();
        let (binaries, warning) = Twin::choose_binaries(&snapshot(source), &available).unwrap();
        assert_eq!((binaries.major, warning.is_some()), (chosen, warns), "{source}");
    }
    assert!(Twin::choose_binaries(&snapshot(15), &[]).is_err());
}
