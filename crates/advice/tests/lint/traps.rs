//! Indexes and foreign keys that are easily misjudged, and what is true of them.

mod foreign_keys;
mod indexes;

use std::collections::{BTreeMap, BTreeSet};

use crate::{findings, place, snapshot};

struct Trap {
    /// What is easily got wrong.
    name: &'static str,
    sql: &'static str,
    /// `check object`, separated by commas; empty when nothing is wrong.
    expected: &'static str,
    /// The first version that has what the trap is made of.
    since: u32,
}

const fn trap(name: &'static str, sql: &'static str, expected: &'static str) -> Trap {
    Trap { name, sql, expected, since: 13 }
}

const CHECKS: &[&str] = &[
    "btree-on-array",
    "duplicate-foreign-key",
    "duplicate-index",
    "foreign-key-type-mismatch",
    "invalid-index",
    "redundant-index",
    "unindexed-foreign-key",
    "unvalidated-constraint",
    "useless-predicate",
];

const BASE: &str = "
    create table p (id int primary key);
    create table p2 (x int, y int, primary key (x, y));
    create table t (id int primary key, a int, b int, c int, s text, j jsonb, arr int[], p point, r int4range, v tsvector);
    insert into p select generate_series(0, 99);
    insert into p2 select n, n % 10 from generate_series(0, 99) n union select n % 10, n from generate_series(0, 99) n;
    insert into t (id, a, b) select n, n, n % 10 from generate_series(0, 99) n;
";

#[tokio::test(flavor = "multi_thread")]
async fn every_trap_is_judged_right() {
    for server in testkit::servers() {
        let database = testkit::database(server).await;
        let client = testkit::connect(&database.url).await;
        let traps: Vec<&Trap> = [indexes::TRAPS, foreign_keys::TRAPS]
            .into_iter()
            .flatten()
            .filter(|t| t.since <= server.binaries().major)
            .collect();
        for (number, trap) in traps.iter().enumerate() {
            let sql = match trap.name {
                // Its own names are the point.
                "names in two schemas" => format!(
                    "create schema other_{number}; create table other_{number}.u (b int); \
                     create index u_a on other_{number}.u (b); \
                     create table trap_{number}.u (b int); create index u_a on trap_{number}.u (b)"
                ),
                _ => trap.sql.to_owned(),
            };
            client
                .batch_execute(&format!(
                    "create schema trap_{number}; set search_path = trap_{number}; {BASE}; {sql};"
                ))
                .await
                .unwrap_or_else(|e| panic!("{}: {e:?}", trap.name));
        }
        client.batch_execute("analyze").await.unwrap();
        let snapshot = snapshot(&database.url).await;
        let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for finding in findings(&snapshot, CHECKS) {
            let (schema, name) = place(&finding.finding.object);
            found.entry(schema).or_default().insert(format!("{} {name}", finding.finding.check));
        }
        let mut wrong = Vec::new();
        for (number, trap) in traps.iter().enumerate() {
            let expected: BTreeSet<String> =
                trap.expected.split(", ").filter(|e| !e.is_empty()).map(str::to_owned).collect();
            let found = found.remove(&format!("trap_{number}")).unwrap_or_default();
            if found != expected {
                wrong.push(format!("{}: found {found:?}, expected {expected:?}", trap.name));
            }
        }
        assert!(wrong.is_empty(), "on {}:\n{}", server.binaries().major, wrong.join("\n"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_of_migration_tools_are_let_be() {
    let database = testkit::database(testkit::any_server()).await;
    let client = testkit::connect(&database.url).await;
    let tool = "create table schema_migrations (version varchar primary key);
        create table ar_internal_metadata (key varchar primary key, value varchar, created_at timestamp not null);
        create table \"SequelizeMeta\" (name varchar);";
    client.batch_execute(&format!("{BASE}; create table linked (p int references p); {tool}")).await.unwrap();
    let read = snapshot(&database.url).await;
    let design =
        ["all-nullable-table", "empty-table", "no-primary-key", "timestamp-without-zone", "unlinked-table"];
    let found: BTreeSet<String> =
        findings(&read, &design).iter().map(|f| place(&f.finding.object).1).collect();
    // What a person made is judged all the same.
    assert_eq!(found, BTreeSet::from(["linked", "p2", "t"].map(str::to_owned)));
}
