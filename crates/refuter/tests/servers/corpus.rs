//! Is every wrong pair of the corpus refuted, and no valid one?

use std::path::{Path, PathBuf};
use std::time::Duration;

use refuter::{Options, Refuter, Verdict};

use crate::world::start;

#[derive(serde::Deserialize)]
struct Corpus {
    pair: Vec<Pair>,
}

#[derive(serde::Deserialize)]
pub struct Pair {
    pub name: String,
    pub before: String,
    pub after: String,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// The names of the corpus's schemas.
pub const SCHEMAS: [&str; 3] = ["registry", "shop", "types"];

/// A schema of the corpus as DDL.
pub fn ddl(schema: &str) -> String {
    match schema {
        "registry" => {
            let folder = "crates/pgwright/src/demo";
            let files = ["registry_tables.sql", "registry_constraints.sql"];
            files.map(|file| read(&format!("{folder}/{file}"))).join("\n")
        }
        other => read(&format!("tests/corpus/rewrites/{other}.sql")),
    }
}

async fn refuter(schema: &str) -> Refuter {
    start(&ddl(schema)).await
}

/// The pairs of a schema, `wrong` or `valid`.
pub fn pairs(schema: &str, kind: &str) -> Vec<Pair> {
    let path = format!("tests/corpus/rewrites/{schema}.{kind}.toml");
    toml::from_str::<Corpus>(&read(&path)).unwrap_or_else(|e| panic!("{path}: {e}")).pair
}

async fn every_wrong_pair_is_refuted(schema: &str) {
    let mut refuter = refuter(schema).await;
    let options = Options { databases: 1000, time_limit: Duration::from_secs(60), ..Options::default() };
    refuter.set_options(options).await.unwrap();
    let mut missed = Vec::new();
    for pair in pairs(schema, "wrong") {
        match refuter.compare(&pair.before, &pair.after).await {
            Ok(Verdict::Refuted(_)) => {}
            other => missed.push(format!("{}: {other:?}", pair.name)),
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

async fn no_valid_pair_is_refuted(schema: &str) {
    let mut refuter = refuter(schema).await;
    refuter.set_options(Options { databases: 60, ..Options::default() }).await.unwrap();
    let mut wrong = Vec::new();
    for pair in pairs(schema, "valid") {
        match refuter.compare(&pair.before, &pair.after).await {
            // A statement that has no rows anywhere was not tested.
            Ok(Verdict::Tested { with_rows, .. }) if with_rows > 0 || pair.after.contains("WHERE false") => {}
            other => wrong.push(format!("{}: {other:?}", pair.name)),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn corpus_wrong_registry() {
    every_wrong_pair_is_refuted("registry").await;
}

#[tokio::test]
async fn corpus_wrong_shop() {
    every_wrong_pair_is_refuted("shop").await;
}

#[tokio::test]
async fn corpus_wrong_types() {
    every_wrong_pair_is_refuted("types").await;
}

#[tokio::test]
async fn corpus_valid_registry() {
    no_valid_pair_is_refuted("registry").await;
}

#[tokio::test]
async fn corpus_valid_shop() {
    no_valid_pair_is_refuted("shop").await;
}

#[tokio::test]
async fn corpus_valid_types() {
    no_valid_pair_is_refuted("types").await;
}
