//! Is every declared query what its struct says, on every version?

use std::collections::BTreeSet;
use std::path::Path;

use postgres::catalog_query::{Basis, CatalogQuery, in_schema, version};
use postgres::metrics::COMPAT_QUERIES;
use postgres::{CATALOG_QUERIES, METRIC_QUERIES};
use tokio_postgres::Client;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

/// NULL of any type.
#[derive(Debug)]
struct Null;

impl ToSql for Null {
    fn to_sql(
        &self,
        _: &Type,
        _: &mut bytes::BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        Ok(IsNull::Yes)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// Prepares one variant and compares names, order, types and parameters.
async fn check(client: &Client, query: &CatalogQuery, sql: &str, found: &str) {
    let prepared = client
        .prepare_typed(sql, query.parameters)
        .await
        .unwrap_or_else(|e| panic!("{} on {found}: {e:?}", query.name));
    assert_eq!(prepared.params(), query.parameters, "parameters of {} on {found}", query.name);
    let names: Vec<&str> = prepared.columns().iter().map(|c| c.name()).collect();
    let expected: Vec<&str> = query.columns.iter().map(|c| c.name).collect();
    assert_eq!(names, expected, "columns of {} on {found}", query.name);
    for (column, spec) in prepared.columns().iter().zip(query.columns) {
        let accepted = (spec.accepts)(column.type_());
        assert!(accepted, "{}.{} on {found} is of type {}", query.name, spec.name, column.type_());
    }
    // That it runs as well, with NULL for each parameter.
    let parameters: Vec<_> =
        query.parameters.iter().map(|t| (&Null as &(dyn ToSql + Sync), t.clone())).collect();
    client.query_typed(sql, &parameters).await.unwrap_or_else(|e| panic!("{} on {found}: {e:?}", query.name));
}

#[tokio::test]
async fn every_server_query_gives_the_columns_of_its_struct_on_every_version() {
    let mut prepared = BTreeSet::new();
    for server in testkit::servers() {
        let major = server.binaries().major.to_string();
        let database = testkit::database(server).await;
        let client = testkit::connect(&database.url).await;
        client.batch_execute("SET search_path = pg_catalog").await.unwrap();
        for query in CATALOG_QUERIES.iter().filter(|q| q.basis == Basis::Server) {
            // Older variants still run on newer servers, so none goes untested where the oldest
            // server of this machine is newer than it.
            for variant in query.variants.iter().filter(|v| version(v.since) <= version(&major)) {
                check(&client, query, variant.sql, &major).await;
                prepared.insert(variant.file);
            }
        }
    }
    let declared = CATALOG_QUERIES.iter().filter(|q| q.basis == Basis::Server);
    let declared: BTreeSet<&str> = declared.flat_map(|q| q.variants.iter().map(|v| v.file)).collect();
    assert_eq!(prepared, declared, "a variant was prepared on no server");
}

#[tokio::test]
async fn every_extension_query_gives_the_columns_of_its_struct_on_every_version() {
    let mut prepared = BTreeSet::new();
    for server in testkit::servers() {
        // An old version of the extension stays after an upgrade, so each can meet each server.
        for installed in ["1.8", "1.9", "1.10", "1.11", "1.12"] {
            let database = testkit::database(server).await;
            let client = testkit::connect(&database.url).await;
            let create = format!(
                "CREATE SCHEMA \"Odd Schema\"; \
                 CREATE EXTENSION pg_stat_statements SCHEMA \"Odd Schema\" VERSION '{installed}'"
            );
            if client.batch_execute(&create).await.is_err() {
                continue; // This server is older than that version of the extension.
            }
            client.batch_execute("SET search_path = pg_catalog").await.unwrap();
            let of_statements =
                CATALOG_QUERIES.iter().filter(|q| q.basis == Basis::Extension("pg_stat_statements"));
            for query in of_statements {
                let variant = query.variant(installed).unwrap();
                let found = format!("{} with extension {installed}", server.binaries().major);
                check(&client, query, &in_schema(variant.sql, "Odd Schema"), &found).await;
                prepared.insert(variant.file);
            }
        }
    }
    for server in testkit::servers() {
        let database = testkit::database(server).await;
        let client = testkit::connect(&database.url).await;
        client
            .batch_execute("CREATE SCHEMA \"Odd Schema\"; CREATE EXTENSION pgstattuple SCHEMA \"Odd Schema\"")
            .await
            .unwrap();
        client.batch_execute("SET search_path = pg_catalog").await.unwrap();
        for query in CATALOG_QUERIES.iter().filter(|q| q.basis == Basis::Extension("pgstattuple")) {
            let variant = query.variant("1.5").unwrap();
            check(&client, query, &in_schema(variant.sql, "Odd Schema"), "pgstattuple 1.5").await;
            prepared.insert(variant.file);
        }
    }
    let declared = CATALOG_QUERIES.iter().filter(|q| q.basis != Basis::Server);
    let declared: BTreeSet<&str> = declared.flat_map(|q| q.variants.iter().map(|v| v.file)).collect();
    assert_eq!(prepared, declared, "a variant was prepared on no server");
}

#[test]
fn every_file_is_declared_once_and_carries_its_name() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("queries");
    let files: BTreeSet<String> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let mut declared = BTreeSet::from(["probe.sql".to_owned()]);
    for query in CATALOG_QUERIES {
        let since: Vec<_> = query.variants.iter().map(|v| version(v.since)).collect();
        assert!(since.is_sorted(), "variants of {}", query.name);
        for variant in query.variants {
            assert!(declared.insert(variant.file.to_owned()), "{} is declared twice", variant.file);
            let (keyword, rest) = variant.sql.split_once(' ').unwrap();
            assert!(["SELECT", "WITH"].contains(&keyword), "{}", variant.file);
            let tag = format!("/* pgwright:{} */", query.name);
            assert!(rest.starts_with(&tag), "{} does not carry {tag}", variant.file);
        }
    }
    for query in METRIC_QUERIES.iter().chain(COMPAT_QUERIES) {
        for variant in query.variants {
            assert!(declared.insert(variant.file.to_owned()), "{} is declared twice", variant.file);
            let tag = format!("/* pgwright:metrics_{} */", query.name);
            let (_, rest) = variant.sql.split_once(' ').unwrap();
            assert!(rest.starts_with(&tag), "{} does not carry {tag}", variant.file);
        }
    }
    assert_eq!(files, declared);
}

#[tokio::test]
async fn every_metric_query_runs_on_every_version_and_gives_the_declared_columns() {
    let mut prepared = BTreeSet::new();
    for server in testkit::all_servers() {
        let major = server.binaries().major.to_string();
        let database = testkit::database(server).await;
        let client = testkit::connect(&database.url).await;
        client
            .batch_execute(
                "CREATE TABLE \"a\"\"b.c\" (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, at timestamptz); \
                 INSERT INTO \"a\"\"b.c\" (at) SELECT now() FROM generate_series(1, 10); \
                 CREATE TABLE parted (at timestamptz) PARTITION BY RANGE (at); \
                 CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM ('2030-01-01') TO ('2031-01-01'); \
                 SET search_path = pg_catalog",
            )
            .await
            .unwrap();
        for query in METRIC_QUERIES.iter().chain(COMPAT_QUERIES).filter(|q| q.extension.is_none()) {
            for variant in query.variants.iter().filter(|v| version(v.since) <= version(&major)) {
                let found = format!("{} on {major}", variant.file);
                let statement = match client.prepare(variant.sql).await {
                    Ok(statement) => statement,
                    // Columns of statistics views are renamed; the variant in use must run.
                    Err(_) if query.variants.last().map(|v| v.file) != Some(variant.file) => continue,
                    Err(e) => panic!("{found}: {e:?}"),
                };
                let names: Vec<&str> = statement.columns().iter().map(|c| c.name()).collect();
                let labels = query.labels.iter().copied();
                let declared: Vec<&str> = labels.chain(query.metrics.iter().map(|m| m.column)).collect();
                assert_eq!(names, declared, "columns of {found}");
                for (at, column) in statement.columns().iter().enumerate() {
                    let text = matches!(*column.type_(), Type::TEXT | Type::NAME);
                    let number =
                        matches!(*column.type_(), Type::INT4 | Type::INT8 | Type::FLOAT8 | Type::NUMERIC);
                    let fits = if at < query.labels.len() { text } else { number };
                    assert!(fits, "{} of {found} is of type {}", column.name(), column.type_());
                }
                let rows = postgres::metrics::read_text(&client, query.name, variant.sql).await.unwrap();
                assert!(rows.iter().all(|r| r.len() == declared.len()), "{found}");
                prepared.insert(variant.file);
            }
            let sql = query.sql(server.binaries().major as i32 * 10_000);
            if let Some(sql) = sql {
                client.prepare(sql).await.unwrap_or_else(|e| panic!("{} on {major}: {e:?}", query.name));
            }
        }
    }
    let declared = METRIC_QUERIES.iter().chain(COMPAT_QUERIES).filter(|q| q.extension.is_none());
    let declared: BTreeSet<&str> = declared.flat_map(|q| q.variants.iter().map(|v| v.file)).collect();
    assert_eq!(prepared, declared, "a variant was prepared on no server");
}
