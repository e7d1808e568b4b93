//! How long does a twin take, and how close does it come on a table of a million rows?
//!
//! The figures of the README: `cargo run -p pgwright-twin --example measure -- 15 1000000`

#![allow(clippy::unwrap_used)] // A measurement that fails has nothing to tell.

use std::time::{Duration, Instant};

use model::QualifiedName;
use model::change::{IndexDefinition, IndexKey};
use model::cost_model::{Configuration, CostModel, Registered};
use postgres::{Environment, SessionOptions, Target};
use twin::{Twin, TwinOptions};

const SCHEMA: &str = "
CREATE TABLE public.runs (
    id bigint PRIMARY KEY, user_id int NOT NULL, kind text NOT NULL, status text, tags text[],
    payload jsonb NOT NULL, created_at timestamptz NOT NULL, token uuid NOT NULL
);";

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let major = arguments.next().map_or(15, |a| a.parse().unwrap());
    let rows: u64 = arguments.next().map_or(1_000_000, |a| a.parse().unwrap());
    let server = testkit::server(major);
    let database = testkit::database(server).await;
    let client = testkit::connect(&database.url).await;
    client.batch_execute(SCHEMA).await.unwrap();
    let data = format!(
        "INSERT INTO runs SELECT i, 1 + floor(50000 * random() ^ 3), 'kind ' || floor(20 * random() ^ 3),
            CASE WHEN random() < 0.95 THEN 'done' ELSE 'open' END,
            ARRAY['t' || floor(300 * random() ^ 2), 't' || floor(300 * random())],
            jsonb_build_object('model', 'm' || floor(200 * random() ^ 2), 'lr', floor(1000 * random()), 'ok', random() < 0.5),
            timestamptz '2026-01-01 00:00Z' + i * interval '10 seconds', gen_random_uuid()
         FROM generate_series(1, {rows}) AS i"
    );
    client.batch_execute(&data).await.unwrap();
    client.batch_execute("VACUUM ANALYZE runs").await.unwrap();
    let target = Target::parse(Some(&database.url), &Environment::default()).unwrap();
    let session = target.connect(&SessionOptions::default()).await.unwrap();
    let mut snapshot =
        postgres::snapshot::read_without_schema(&session, Duration::from_secs(5)).await.unwrap();
    snapshot.schema_sql = SCHEMA.into();

    let options = TwinOptions {
        template_dir: Some(concat!(env!("CARGO_MANIFEST_DIR"), "/../../.cache/templates").into()),
        ..TwinOptions::default()
    };
    let start = Instant::now();
    let mut twin = Twin::build(&snapshot, server.binaries(), options).await.unwrap();
    println!("build: {:?}", start.elapsed());

    let index = |method: &str, name: &str, columns: &[&str]| IndexDefinition {
        access_method: method.into(),
        ..IndexDefinition::btree(
            QualifiedName::new("public", "runs"),
            name,
            columns.iter().map(|c| IndexKey::column(*c)).collect(),
        )
    };
    let mut path_ops = index("gin", "payload_path", &["payload"]);
    path_ops.keys[0].opclass = Some(QualifiedName::new("pg_catalog", "jsonb_path_ops"));
    let join = "SELECT a.id, b.id FROM runs a JOIN runs b ON b.user_id = a.user_id WHERE a.id < 2000";
    let candidates = [
        (index("btree", "user", &["user_id"]), join),
        (index("btree", "user_created", &["user_id", "created_at"]), join),
        (
            index("btree", "token", &["token"]),
            "SELECT * FROM runs WHERE token = '7f1b5a3e-0000-4000-8000-000000000000'",
        ),
        (
            IndexDefinition {
                include: vec!["kind".into()],
                ..index("btree", "created_kind", &["created_at"])
            },
            "SELECT kind FROM runs WHERE created_at < '2026-02-01'",
        ),
        (
            index("hash", "token_hash", &["token"]),
            "SELECT * FROM runs WHERE token = '7f1b5a3e-0000-4000-8000-000000000000'",
        ),
        (path_ops, "SELECT count(*) FROM runs WHERE payload @> '{\"lr\": 17}'"),
        (index("gin", "payload", &["payload"]), "SELECT count(*) FROM runs WHERE payload @> '{\"lr\": 17}'"),
        (index("gin", "tags", &["tags"]), "SELECT count(*) FROM runs WHERE tags @> '{t250,t3}'"),
        (
            index("brin", "created_brin", &["created_at"]),
            "SELECT count(*) FROM runs WHERE created_at < '2026-01-03'",
        ),
    ];
    let definitions: Vec<_> = candidates.iter().map(|(d, _)| d.clone()).collect();
    let start = Instant::now();
    let answers = twin.register(&definitions).await.unwrap();
    println!("register {}: {:?}", definitions.len(), start.elapsed());
    for ((definition, sql), answer) in candidates.iter().zip(answers) {
        let Registered::Ready { id, bytes } = answer else { panic!("{answer:?}") };
        let planned = twin.plan(sql, &Configuration::current().with(id)).await.unwrap();
        let start = Instant::now();
        client.batch_execute(&definition.create_sql(false)).await.unwrap();
        let built = start.elapsed();
        let row = client.query_one(&format!("EXPLAIN (FORMAT JSON) {sql}"), &[]).await.unwrap();
        let real = row.get::<_, serde_json::Value>(0)[0]["Plan"]["Total Cost"].as_f64().unwrap();
        let size: i64 = client
            .query_one(
                "SELECT pg_relation_size($1::text::regclass)",
                &[&definition.qualified_name().to_string()],
            )
            .await
            .unwrap()
            .get(0);
        client.batch_execute(&format!("DROP INDEX {}", definition.qualified_name())).await.unwrap();
        println!(
            "{:14} built in {built:9.2?}: cost {real:11.2}, twin {:11.2} ({:+.2} %); pages {:6}, twin {:6} ({:+.1} %)",
            definition.name,
            planned.total_cost,
            100.0 * (planned.total_cost / real - 1.0),
            size / 8192,
            bytes.0 / 8192,
            100.0 * (bytes.0 as f64 / size as f64 - 1.0),
        );
    }
    let start = Instant::now();
    for i in 0..500 {
        let configuration = match i % 2 {
            0 => Configuration::current(),
            _ => Configuration::current().with(model::cost_model::CandidateId(i % 9)),
        };
        twin.plan(join, &configuration).await.unwrap();
    }
    println!("plan, switching an index each time: {:?} each", start.elapsed() / 500);
}
