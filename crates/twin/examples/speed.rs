//! How long does a twin of many tables or partitions take, and how long a candidate and a plan on it?
//!
//! The figures of the README: `cargo run --release -p pgwright-twin --example speed -- 15 tables 1000`,
//! `… -- 15 partitions 10000`, and `… -- 15 tpch 300`, where the number is that of candidates.

#![allow(clippy::unwrap_used)] // A measurement that fails has nothing to tell.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use model::QualifiedName;
use model::change::{IndexDefinition, IndexKey};
use model::cost_model::{CandidateId, Configuration, CostModel, Registered};
use postgres::{Environment, SessionOptions, SnapshotOptions, Target};
use tokio_postgres::Client;
use twin::{Twin, TwinOptions};

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let major = arguments.next().map_or(15, |a| a.parse().unwrap());
    let what = arguments.next().unwrap_or_else(|| "tables".into());
    let count: usize = arguments.next().map_or(1000, |a| a.parse().unwrap());
    let server = testkit::server_with(major, &[("max_locks_per_transaction", "1024")]);
    let database = testkit::database(&server).await;
    let client = testkit::connect(&database.url).await;
    let schema = match what.as_str() {
        "tables" => tables(&client, count).await,
        "partitions" => partitions(&client, count).await,
        "tpch" => {
            testkit::tpch::load(&client, 0.05).await;
            format!("{}{}", testkit::tpch::SCHEMA, testkit::tpch::KEYS)
        }
        other => panic!("there is nothing to measure for {other}"),
    };
    let target = Target::parse(Some(&database.url), &Environment::default()).unwrap();
    let session = target.connect(&SessionOptions::default()).await.unwrap();
    let start = Instant::now();
    let snapshot = match server.binaries().program("pg_dump") {
        Some(pg_dump) => {
            postgres::snapshot::read(&session, &target, &SnapshotOptions::new(pg_dump)).await.unwrap()
        }
        None => {
            let mut snapshot =
                postgres::snapshot::read_without_schema(&session, Duration::from_secs(5)).await.unwrap();
            snapshot.schema_sql = schema;
            snapshot
        }
    };
    println!(
        "snapshot of {} relations, {} indexes, {} kB of schema: {:.2?}",
        snapshot.relations.len(),
        snapshot.indexes.len(),
        snapshot.schema_sql.len() / 1024,
        start.elapsed()
    );
    drop(session);

    let options = TwinOptions {
        template_dir: Some(concat!(env!("CARGO_MANIFEST_DIR"), "/../../.cache/templates").into()),
        ..TwinOptions::default()
    };
    let mut twin = None;
    for _ in 0..3 {
        let start = Instant::now();
        twin = Some(Twin::build(&snapshot, server.binaries(), options.clone()).await.unwrap());
        println!("build: {:.2?}", start.elapsed());
    }
    let mut twin = twin.unwrap();
    assert_eq!(twin.notes(), Vec::<String>::new());

    let (definitions, statements) = match what.as_str() {
        "tables" => (one_each(count), (0..count).map(one_table).collect::<Vec<_>>()),
        "tpch" => (pairs_of_columns(&snapshot, count), testkit::tpch::QUERIES.map(String::from).to_vec()),
        _ => (on_the_parent(), of_partitions(count)),
    };
    let start = Instant::now();
    let answers = twin.register(&definitions).await.unwrap();
    println!("register {} candidates: {:.2?}", definitions.len(), start.elapsed());
    let ids: Vec<CandidateId> = answers
        .into_iter()
        .map(|answer| match answer {
            Registered::Ready { id, .. } => id,
            Registered::Refused { reason } => panic!("{reason}"),
        })
        .collect();
    for round in ["first", "second"] {
        let start = Instant::now();
        for sql in &statements {
            twin.plan(sql, &Configuration::current()).await.unwrap();
        }
        println!("plan, {round} time: {:.2?} each", start.elapsed() / statements.len() as u32);
    }
    let start = Instant::now();
    for (i, sql) in statements.iter().enumerate() {
        let configuration = Configuration::current().with(ids[i % ids.len()]);
        twin.plan(sql, &configuration).await.unwrap();
    }
    println!("plan, switching a candidate each time: {:.2?} each", start.elapsed() / statements.len() as u32);
    // As an advisor does: a set of a dozen, and all statements under it; then another set.
    let sets: Vec<Configuration> = (0..ids.len())
        .step_by(ids.len().div_ceil(20))
        .map(|first| {
            let dozen = (0..12.min(ids.len())).map(|n| ids[(first + n * 7) % ids.len()]);
            dozen.fold(Configuration::current(), |set, id| set.with(id))
        })
        .collect();
    let statements: Vec<&str> = statements.iter().take(50).map(String::as_str).collect();
    let plans = u32::try_from(sets.len() * statements.len()).unwrap();
    let start = Instant::now();
    for set in &sets {
        for sql in &statements {
            twin.plan(sql, set).await.unwrap();
        }
    }
    println!("plan, a dozen candidates for all statements: {:.2?} each", start.elapsed() / plans);
    let start = Instant::now();
    for set in &sets {
        let requests: Vec<_> = statements.iter().map(|sql| (*sql, set)).collect();
        for planned in twin.plan_many(&requests).await.unwrap() {
            planned.unwrap();
        }
    }
    println!("plan_many, the same: {:.2?} each", start.elapsed() / plans);
    let start = Instant::now();
    twin.stop().await.unwrap();
    println!("stop: {:.2?}", start.elapsed());
}

/// Tables as an application has them, each with 2,000 rows.
async fn tables(client: &Client, count: usize) -> String {
    let mut schema = String::new();
    for i in 0..count {
        let _ = write!(
            schema,
            "CREATE TABLE public.table_{i} (
                 id bigint NOT NULL, parent_id bigint NOT NULL, kind text NOT NULL, status character varying(20),
                 amount numeric(12,2) NOT NULL, payload jsonb, created_at timestamp with time zone NOT NULL,
                 flag boolean DEFAULT false NOT NULL, CONSTRAINT c_{i} CHECK ((amount >= (0)::numeric))
             );
             ALTER TABLE ONLY public.table_{i} ADD CONSTRAINT table_{i}_pkey PRIMARY KEY (id);
             CREATE INDEX table_{i}_kind ON public.table_{i} USING btree (kind, created_at);
             ALTER TABLE ONLY public.table_{i} ADD CONSTRAINT table_{i}_parent
                 FOREIGN KEY (parent_id) REFERENCES public.table_{}(id);",
            i / 2
        );
    }
    client.batch_execute(&schema).await.unwrap();
    let rows = "
        -- The keys are right; checking them takes a minute.
        SET session_replication_role = replica;
        CREATE TEMP TABLE source AS SELECT i AS id, 1 + i / 3 AS parent_id, 'kind ' || (i % 50) AS kind,
            (ARRAY['open', 'done', 'late'])[1 + i % 3] AS status, (i * 7919 % 10000)::numeric / 100 AS amount,
            jsonb_build_object('n', i % 100, 'kind', 'k' || i % 10) AS payload,
            timestamptz '2026-01-01 00:00Z' + i * interval '1 minute' AS created_at, i % 10 = 0 AS flag
        FROM generate_series(1, 2000) AS i";
    client.batch_execute(rows).await.unwrap();
    for i in 0..count {
        client.batch_execute(&format!("INSERT INTO table_{i} SELECT * FROM source")).await.unwrap();
    }
    client.batch_execute("VACUUM ANALYZE").await.unwrap();
    schema
}

/// A table with that many partitions of 20 rows each.
async fn partitions(client: &Client, count: usize) -> String {
    let mut schema = String::from(
        "CREATE TABLE public.readings (sensor int NOT NULL, at int NOT NULL, value float8) PARTITION BY RANGE (at);",
    );
    for i in 0..count {
        let _ = write!(
            schema,
            "CREATE TABLE public.readings_{i} (sensor int NOT NULL, at int NOT NULL, value float8);
             ALTER TABLE ONLY public.readings ATTACH PARTITION public.readings_{i} FOR VALUES FROM ({i}) TO ({});",
            i + 1
        );
    }
    schema.push_str("CREATE INDEX readings_at ON public.readings USING btree (at);");
    // Locks of one transaction would be too many for one batch.
    for statements in schema.split(';').filter(|s| !s.trim().is_empty()).collect::<Vec<_>>().chunks(1000) {
        client.batch_execute(&statements.join(";")).await.unwrap();
    }
    let rows = format!(
        "INSERT INTO readings SELECT i % 100, i % {count}, random() FROM generate_series(1, {count} * 20) AS i"
    );
    client.batch_execute(&rows).await.unwrap();
    client.batch_execute("VACUUM ANALYZE").await.unwrap();
    schema
}

fn one_each(count: usize) -> Vec<IndexDefinition> {
    let index = |i: usize| {
        let table = QualifiedName::new("public", format!("table_{i}"));
        let keys = match i % 3 {
            0 => vec![IndexKey::column("parent_id")],
            1 => vec![IndexKey::column("status"), IndexKey::column("amount")],
            _ => vec![IndexKey::column("created_at")],
        };
        let index = IndexDefinition::btree(table, format!("x_{i}"), keys);
        match i % 10 {
            9 => IndexDefinition { predicate: Some("status = 'open'".into()), ..index },
            _ => index,
        }
    };
    (0..count).map(index).collect()
}

fn one_table(i: usize) -> String {
    format!(
        "SELECT t.kind, p.amount FROM table_{i} t JOIN table_{} p ON p.id = t.parent_id
         WHERE t.status = 'open' AND t.amount > 10 ORDER BY t.created_at DESC LIMIT 10",
        i / 2
    )
}

/// Indexes on one and two columns, of all tables in turn.
fn pairs_of_columns(snapshot: &model::Snapshot, count: usize) -> Vec<IndexDefinition> {
    let mut all = Vec::new();
    for relation in &snapshot.relations {
        let names: Vec<&str> = relation.columns.iter().map(|c| c.name.as_str()).collect();
        let ones = names.iter().map(|a| vec![*a]);
        let twos =
            names.iter().flat_map(|a| names.iter().filter(move |b| a != *b).map(move |b| vec![*a, *b]));
        for (n, columns) in ones.chain(twos).enumerate() {
            let keys = columns.into_iter().map(IndexKey::column).collect();
            let name = format!("x_{}_{n}", relation.name.name);
            all.push((n, IndexDefinition::btree(relation.name.clone(), name, keys)));
        }
    }
    all.sort_by_key(|(n, _)| *n);
    all.into_iter().take(count).map(|(_, index)| index).collect()
}

fn on_the_parent() -> Vec<IndexDefinition> {
    let table = QualifiedName::new("public", "readings");
    vec![
        IndexDefinition::btree(
            table.clone(),
            "x_sensor",
            vec![IndexKey::column("sensor"), IndexKey::column("at")],
        ),
        IndexDefinition {
            access_method: "brin".into(),
            ..IndexDefinition::btree(table, "x_brin", vec![IndexKey::column("at")])
        },
    ]
}

fn of_partitions(count: usize) -> Vec<String> {
    let mut statements: Vec<String> = (0..20)
        .map(|i| format!("SELECT * FROM readings WHERE at = {} AND sensor = 5", i * count / 20))
        .collect();
    statements.push("SELECT sensor, avg(value) FROM readings GROUP BY sensor".into());
    statements
}
