//! Is every declared query what its struct says, on every version?

use std::collections::BTreeSet;
use std::path::Path;

use postgres::CATALOG_QUERIES;
use postgres::catalog_query::{Basis, CatalogQuery, in_schema, version};
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
    assert_eq!(files, declared);
}
