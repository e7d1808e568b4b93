//! Databases that were used, as snapshots and twins.

use std::path::PathBuf;

use model::Snapshot;
use postgres::{Environment, SessionOptions, SnapshotOptions, Target};
use tokio_postgres::Client;
use twin::{Twin, TwinOptions};

/// Readings of two years, a partition per month, under names that need quotes.
pub const EVENTS: &str = r#"
CREATE EXTENSION pg_stat_statements;
CREATE SCHEMA "S x";
CREATE TABLE meters (id int PRIMARY KEY, since timestamptz NOT NULL, city text NOT NULL);
CREATE TABLE "S x"."e""v.t" (id bigint NOT NULL, "at" timestamptz NOT NULL, meter_id int NOT NULL, kind text NOT NULL,
    v float8, PRIMARY KEY (id, "at")) PARTITION BY RANGE ("at");
DO $$ BEGIN
    FOR i IN 0..23 LOOP
        EXECUTE format('CREATE TABLE "S x".p%s PARTITION OF "S x"."e""v.t" FOR VALUES FROM (%L) TO (%L)', i,
            timestamptz '2024-12-01 00:00+00' + i * interval '1 month',
            timestamptz '2024-12-01 00:00+00' + (i + 1) * interval '1 month');
    END LOOP;
END $$;
CREATE INDEX ON "S x"."e""v.t" (meter_id, "at");
INSERT INTO meters SELECT n, timestamptz '2024-12-01 00:00+00' + n * interval '1 hour', 'city ' || n % 50
    FROM generate_series(1, 500) n;
INSERT INTO "S x"."e""v.t" SELECT n, timestamptz '2024-12-01 00:00+00' + n * interval '42 minutes', 1 + n % 500,
    (ARRAY['a', 'b', 'c'])[1 + n % 3], n FROM generate_series(1, 24000) n;
"#;

fn pg_dump() -> PathBuf {
    let folders = testkit::program_folders().into_iter().rev();
    let installed = testkit::SUPPORTED.rev().map(|m| PathBuf::from(format!("/usr/lib/postgresql/{m}/bin")));
    folders.chain(installed).map(|d| d.join("pg_dump")).find(|p| p.is_file()).expect("pg_dump is installed")
}

/// A database with a schema, in which statements have just run so many times.
pub async fn used(server: &cluster::Server, schema: &str, statements: &[&str]) -> (Client, Snapshot) {
    let database = testkit::database(server).await;
    let client = testkit::connect(&database.url).await;
    client.batch_execute(schema).await.unwrap();
    client.batch_execute("ANALYZE").await.unwrap();
    // Only what this database counted: other tests share the server.
    let own =
        "SELECT pg_stat_statements_reset(0, oid, 0) FROM pg_database WHERE datname = current_database()";
    client.batch_execute(own).await.unwrap();
    for statement in statements {
        client.batch_execute(statement).await.unwrap_or_else(|e| panic!("{statement}: {e:?}"));
    }
    let target = Target::parse(Some(&database.url), &Environment::default()).unwrap();
    let session = target.connect(&SessionOptions::default()).await.unwrap();
    let snapshot =
        postgres::snapshot::read(&session, &target, &SnapshotOptions::new(pg_dump())).await.unwrap();
    (client, snapshot)
}

pub async fn twin(server: &cluster::Server, snapshot: &Snapshot) -> Twin {
    Twin::build(snapshot, server.binaries(), TwinOptions::default()).await.unwrap()
}
