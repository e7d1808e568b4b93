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

/// The names of the corpus's schemas, those of the adversaries last.
pub const SCHEMAS: [&str; 5] = ["registry", "shop", "types", "depot", "clinic"];

/// A schema of the corpus as DDL.
pub fn ddl(schema: &str) -> String {
    match schema {
        "registry" => {
            let folder = "crates/pgwright/src/demo";
            let files = ["registry_tables.sql", "registry_constraints.sql"];
            files.map(|file| read(&format!("{folder}/{file}"))).join("\n")
        }
        "rail" | "ledger" => read(&format!("tests/corpus/rewrites/engineers/{schema}.sql")),
        "desk" | "freight" | "vault" | "ward" | "farm" => {
            read(&format!("tests/corpus/rewrites/unseen/{schema}.sql"))
        }
        "laws" | "neighbours" => read(&format!("tests/corpus/rewrites/neighbours/{schema}.sql")),
        other => read(&format!("tests/corpus/rewrites/{other}.sql")),
    }
}

async fn refuter(schema: &str) -> Refuter {
    start(&ddl(schema)).await
}

/// The pairs of a schema, `wrong` or `valid`.
pub fn pairs(schema: &str, kind: &str) -> Vec<Pair> {
    let folder = match schema {
        "depot" | "clinic" => "adversaries/",
        "rail" | "ledger" => "engineers/",
        "desk" | "freight" | "vault" | "ward" | "farm" => "unseen/",
        "laws" | "neighbours" => "neighbours/",
        _ => "",
    };
    pairs_of(folder, schema, kind)
}

/// The same of the corpus in a folder.
pub fn pairs_of(folder: &str, schema: &str, kind: &str) -> Vec<Pair> {
    let path = format!("tests/corpus/rewrites/{folder}{schema}.{kind}.toml");
    toml::from_str::<Corpus>(&read(&path)).unwrap_or_else(|e| panic!("{path}: {e}")).pair
}

async fn every_wrong_pair_is_refuted(schema: &str) {
    let missed = missed(schema, pairs(schema, "wrong")).await;
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

/// The wrong pairs that are not refuted.
async fn missed(schema: &str, pairs: Vec<Pair>) -> Vec<String> {
    let mut refuter = refuter(schema).await;
    let options = Options { databases: 1000, time_limit: Duration::from_secs(60), ..Options::default() };
    refuter.set_options(options).await.unwrap();
    let mut missed = Vec::new();
    for pair in pairs {
        match refuter.compare(&pair.before, &pair.after).await {
            Ok(Verdict::Refuted(_)) => {}
            other => missed.push(format!("{}: {other:?}", pair.name)),
        }
    }
    missed
}

async fn no_valid_pair_is_refuted(schema: &str, every: usize) {
    let mut refuter = refuter(schema).await;
    refuter.set_options(Options { databases: 60, ..Options::default() }).await.unwrap();
    let mut wrong = Vec::new();
    for pair in pairs(schema, "valid").into_iter().step_by(every) {
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
    no_valid_pair_is_refuted("registry", 1).await;
}

#[tokio::test]
async fn corpus_valid_shop() {
    no_valid_pair_is_refuted("shop", 1).await;
}

#[tokio::test]
async fn corpus_valid_types() {
    no_valid_pair_is_refuted("types", 1).await;
}

#[tokio::test]
async fn wrong_pairs_that_nothing_was_made_for_are_refuted() {
    let mut pairs = pairs_of("held_out/", "company", "wrong");
    // Statements run as the owner of the tables, from whom row security hides nothing.
    pairs.retain(|pair| pair.name != "row-security");
    // A part of them; the example `corpus` takes all.
    let pairs: Vec<Pair> = pairs.into_iter().step_by(5).collect();
    assert!(pairs.len() >= 20, "{}", pairs.len());
    let missed = missed("company", pairs).await;
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

// Of the adversaries a part; the example `corpus` takes all.

#[tokio::test]
async fn wrong_pairs_of_adversaries_are_refuted() {
    let pairs: Vec<Pair> = pairs("depot", "wrong").into_iter().step_by(5).collect();
    assert!(pairs.len() >= 20, "{}", pairs.len());
    let missed = missed("depot", pairs).await;
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

#[tokio::test]
async fn wrong_pairs_of_a_clinic_are_refuted() {
    let pairs: Vec<Pair> = pairs("clinic", "wrong").into_iter().step_by(9).collect();
    assert!(pairs.len() >= 20, "{}", pairs.len());
    let missed = missed("clinic", pairs).await;
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

#[tokio::test]
async fn wrong_pairs_of_engineers_are_refuted() {
    for (schema, numbers) in [("rail", "numeric-scale"), ("ledger", "where-equal-constant")] {
        // A part of them, with one of numbers that are written differently.
        let all = pairs(schema, "wrong").into_iter().enumerate();
        let part = all.filter(|(at, pair)| at % 6 == 0 || pair.name == numbers).map(|(_, pair)| pair);
        let pairs: Vec<Pair> = part.collect();
        assert!(pairs.len() >= 9, "{}", pairs.len());
        let missed = missed(schema, pairs).await;
        assert!(missed.is_empty(), "{}", missed.join("\n"));
    }
}

#[tokio::test]
async fn wrong_pairs_of_a_vault_are_refuted() {
    let pairs: Vec<Pair> = pairs("vault", "wrong").into_iter().step_by(4).collect();
    assert!(pairs.len() >= 30, "{}", pairs.len());
    let missed = missed("vault", pairs).await;
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

#[tokio::test]
async fn wrong_pairs_of_a_desk_are_refuted() {
    let pairs: Vec<Pair> = pairs("desk", "wrong").into_iter().step_by(4).collect();
    assert!(pairs.len() >= 10, "{}", pairs.len());
    let missed = missed("desk", pairs).await;
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

#[tokio::test]
async fn wrong_pairs_of_a_freight_company_and_a_ward_are_refuted() {
    for schema in ["freight", "ward"] {
        let pairs: Vec<Pair> = pairs(schema, "wrong").into_iter().step_by(6).collect();
        assert!(pairs.len() >= 10, "{}", pairs.len());
        let missed = missed(schema, pairs).await;
        assert!(missed.is_empty(), "{}", missed.join("\n"));
    }
}

#[tokio::test]
async fn wrong_neighbours_of_laws_are_refuted() {
    for schema in ["laws", "neighbours"] {
        let pairs: Vec<Pair> = pairs(schema, "wrong").into_iter().step_by(5).collect();
        assert!(pairs.len() >= 8, "{}", pairs.len());
        let missed = missed(schema, pairs).await;
        assert!(missed.is_empty(), "{}", missed.join("\n"));
    }
}

#[tokio::test]
async fn valid_pairs_of_adversaries_are_not_refuted() {
    no_valid_pair_is_refuted("depot", 5).await;
    no_valid_pair_is_refuted("clinic", 9).await;
    no_valid_pair_is_refuted("rail", 5).await;
    no_valid_pair_is_refuted("ledger", 5).await;
    no_valid_pair_is_refuted("desk", 5).await;
    no_valid_pair_is_refuted("vault", 4).await;
    no_valid_pair_is_refuted("freight", 8).await;
    no_valid_pair_is_refuted("ward", 7).await;
    no_valid_pair_is_refuted("farm", 5).await;
}
