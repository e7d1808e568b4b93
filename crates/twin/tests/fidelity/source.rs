//! How does a test get a database, a snapshot of it and a twin?

use std::time::Duration;

use model::snapshot::Snapshot;
use postgres::{Environment, SessionOptions, SnapshotOptions, Target};
use tokio_postgres::Client;
use twin::{Twin, TwinOptions};

/// A database with data, and what a snapshot of it says.
pub struct Source {
    pub client: Client,
    pub snapshot: Snapshot,
    pub server: &'static cluster::Server,
}

/// Makes a database. `schema` stands for the dump where there is no `pg_dump` of the server's version;
/// `data` are statements after it, and `settings` those of the database.
pub async fn source(
    server: &'static cluster::Server,
    schema: &str,
    data: &str,
    settings: &[(&str, &str)],
) -> Source {
    let database = testkit::database(server).await;
    let client = testkit::connect(&database.url).await;
    client.batch_execute(schema).await.unwrap();
    for statement in data.split(";\n").filter(|s| !s.trim().is_empty()) {
        client.batch_execute(statement).await.unwrap_or_else(|e| panic!("{statement}: {e:?}"));
    }
    for (name, value) in settings {
        let value = model::quote_literal(value);
        let alter = format!("ALTER DATABASE {} SET {name} = {value}; SET {name} = {value}", database.name);
        client.batch_execute(&alter).await.unwrap();
    }
    let snapshot = snapshot(&database.url, server, schema).await;
    Source { client, snapshot, server }
}

/// Reads a snapshot.
pub async fn snapshot(url: &str, server: &cluster::Server, schema: &str) -> Snapshot {
    let target = Target::parse(Some(url), &Environment::default()).unwrap();
    let session = target.connect(&SessionOptions::default()).await.unwrap();
    match server.binaries().program("pg_dump") {
        Some(pg_dump) => {
            postgres::snapshot::read(&session, &target, &SnapshotOptions::new(pg_dump)).await.unwrap()
        }
        None => {
            let mut snapshot =
                postgres::snapshot::read_without_schema(&session, Duration::from_secs(5)).await.unwrap();
            snapshot.schema_sql = schema.into();
            snapshot
        }
    }
}

/// Where clusters made by `initdb` are kept.
pub fn options() -> TwinOptions {
    TwinOptions {
        template_dir: Some(concat!(env!("CARGO_MANIFEST_DIR"), "/../../.cache/templates").into()),
        ..TwinOptions::default()
    }
}

/// Builds the twin of a source, of its own version.
pub async fn build(source: &Source) -> Twin {
    Twin::build(&source.snapshot, source.server.binaries(), options()).await.unwrap()
}
