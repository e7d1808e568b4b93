//! Does the twin plan what the types, names and kinds of tables and indexes demand?

use model::QualifiedName;
use model::change::{IndexDefinition, IndexKey, KeyTarget, NullsOrder};
use model::cost_model::{CandidateId, Configuration, CostModel, Registered};
use twin::{Twin, TwinOptions};

use crate::comparison::{cost, error, explain, median, parts_of, rename, shape};
use crate::source::{Source, build, options};

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
CREATE TABLE public.orders (id int NOT NULL, region text NOT NULL, day date NOT NULL, amount int) PARTITION BY LIST (region);
CREATE TABLE public.orders_eu PARTITION OF public.orders FOR VALUES IN ('de', 'fr') PARTITION BY RANGE (day);
CREATE TABLE public.orders_eu_1 PARTITION OF public.orders_eu FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
CREATE TABLE public.orders_eu_2 PARTITION OF public.orders_eu FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
CREATE TABLE public.orders_rest PARTITION OF public.orders DEFAULT PARTITION BY HASH (id);
CREATE TABLE public.orders_rest_0 PARTITION OF public.orders_rest FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE public.orders_rest_1 PARTITION OF public.orders_rest FOR VALUES WITH (MODULUS 2, REMAINDER 1);
ALTER TABLE public.orders ADD CONSTRAINT orders_pkey PRIMARY KEY (id, region, day);
CREATE TABLE public.logs (id int, level text, line text);
CREATE TABLE public.logs_archive (CHECK (id < 30000)) INHERITS (public.logs);
CREATE INDEX logs_archive_id ON public.logs_archive (id);
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
INSERT INTO orders SELECT i, (ARRAY['de', 'fr', 'us', 'jp'])[1 + floor(4 * random() ^ 2)], '2026-01-01'::date + i % 59, 1000 * random() ^ 3
FROM generate_series(1, 60000) AS i;
INSERT INTO logs_archive SELECT i, (ARRAY['info', 'warn', 'error'])[1 + floor(3 * random() ^ 4)], md5(i::text) FROM generate_series(1, 29999) AS i;
INSERT INTO logs SELECT i, (ARRAY['info', 'warn', 'error'])[1 + floor(3 * random() ^ 2)], md5(i::text) FROM generate_series(30000, 40000) AS i;
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
    "SELECT count(*) FROM orders WHERE region = 'de' AND day BETWEEN '2026-01-10' AND '2026-01-12'",
    "SELECT region, sum(amount) FROM orders WHERE amount > 900 GROUP BY region",
    "SELECT * FROM orders WHERE id = 77 AND region = 'jp'",
    "SELECT * FROM orders o JOIN events e ON e.id = o.id WHERE o.day = '2026-02-03' AND o.region IN ('us', 'fr')",
    "SELECT level, count(*) FROM logs WHERE id BETWEEN 20000 AND 31000 GROUP BY level",
    "SELECT * FROM ONLY logs WHERE level = 'error'",
    "SELECT max(created_at), sum(amount) FROM events WHERE amount BETWEEN 10 AND 12.5",
];

/// The database of this file.
pub async fn events(server: &'static cluster::Server) -> Source {
    let settings =
        [("work_mem", "8MB"), ("random_page_cost", "1.7"), ("max_parallel_workers_per_gather", "1")];
    crate::source::source(server, SCHEMA, DATA, &settings).await
}

#[tokio::test]
async fn plans_are_those_of_the_server() {
    for server in testkit::all_servers() {
        let source = events(server).await;
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

/// A key that is an expression.
pub fn expression(text: &str) -> IndexKey {
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
            IndexDefinition::btree(public("orders"), "x_amount_day", vec![IndexKey::column("amount")]),
            "SELECT * FROM orders WHERE amount > 950",
        ),
        (
            IndexDefinition {
                predicate: Some("amount > 500".into()),
                ..IndexDefinition::btree(public("orders"), "x_dear", vec![IndexKey::column("day")])
            },
            "SELECT * FROM orders WHERE amount > 600 AND day = '2026-01-05'",
        ),
        (
            of("brin", IndexDefinition::btree(public("orders"), "x_orders_brin", column("id"))),
            "SELECT count(*) FROM orders WHERE id BETWEEN 2000 AND 3000",
        ),
        (
            IndexDefinition::btree(public("logs"), "x_logs", column("level")),
            "SELECT count(*) FROM logs WHERE level = 'error'",
        ),
        (
            IndexDefinition::btree(public("per_kind"), "x_per_kind", column("n")),
            "SELECT * FROM per_kind WHERE n > 10",
        ),
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
    for server in testkit::all_servers() {
        let source = events(server).await;
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
            // An expression has statistics from the next ANALYZE on; those of the columns stay as they are.
            let analyzes = definition.keys.iter().any(|k| matches!(k.target, KeyTarget::Expression(_)));
            if analyzes {
                let analyze = format!("BEGIN; ANALYZE {}", definition.table);
                source.client.batch_execute(&analyze).await.unwrap();
            }
            let mut real = explain(&source.client, sql).await;
            if analyzes {
                source.client.batch_execute("ROLLBACK").await.unwrap();
            }
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
    let source = events(server).await;
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
    // Each statement with indexes of its own, so that few have the same ones.
    let own: Vec<Configuration> = (0..ids.len())
        .map(|n| ids.iter().skip(n).step_by(3).fold(Configuration::current(), |set, id| set.with(*id)))
        .collect();
    let mixed: Vec<_> = (0..3 * QUERIES.len())
        .map(|n| (QUERIES[n % QUERIES.len()], &own[(n + n / QUERIES.len()) % own.len()]))
        .collect();
    let two = TwinOptions { servers: 2, ..options() };
    let mut pair = Twin::build(&source.snapshot, server.binaries(), two).await.unwrap();
    assert_eq!(pair.register(&definitions).await, twin.register(&definitions).await);
    // A twin that has seen nothing yet, and each statement under one configuration after the other.
    let mut fresh = build(&source).await;
    fresh.register(&definitions).await.unwrap();
    let requests_made = requests.len() + mixed.len();
    for requests in [requests, mixed] {
        let together = twin.plan_many(&requests).await.unwrap();
        let by_two = pair.plan_many(&requests).await.unwrap();
        for ((sql, set), (found, by_two)) in requests.iter().zip(together.into_iter().zip(by_two)) {
            let alone = fresh.plan(sql, set).await;
            assert_eq!(found, alone, "{sql}");
            assert_eq!(by_two, alone, "{sql}");
        }
    }
    assert!(pair.planner_calls() as usize >= requests_made, "{}", pair.planner_calls());
    pair.stop().await.unwrap();
    assert!(twin.plan_many(&[("SELECT 1", &Configuration::current().with(CandidateId(99)))]).await.is_err());
}
