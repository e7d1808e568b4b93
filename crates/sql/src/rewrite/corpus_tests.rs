//! The corpus of pairs: no wrong one may be proved, and most valid ones must be.

use serde::Deserialize;

use super::Rewriter;

#[derive(Deserialize)]
struct Corpus {
    pair: Vec<Pair>,
}

#[derive(Deserialize)]
struct Pair {
    name: String,
    before: String,
    after: String,
}

fn read(path: &str) -> String {
    let path = format!("{}/../../{path}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"))
}

fn ddl(schema: &str) -> String {
    match schema {
        "registry" => ["registry_tables.sql", "registry_constraints.sql"]
            .map(|file| read(&format!("crates/pgwright/src/demo/{file}")))
            .join("\n"),
        "rail" | "ledger" => read(&format!("tests/corpus/rewrites/engineers/{schema}.sql")),
        "desk" | "freight" | "vault" | "ward" | "farm" => {
            read(&format!("tests/corpus/rewrites/unseen/{schema}.sql"))
        }
        other => read(&format!("tests/corpus/rewrites/{other}.sql")),
    }
}

/// The names of the pairs that are proved, and of those that are not.
fn judged(schema: &str, kind: &str) -> (Vec<String>, Vec<String>) {
    judged_of("", schema, kind)
}

/// The same of the corpus in a folder.
fn judged_of(folder: &str, schema: &str, kind: &str) -> (Vec<String>, Vec<String>) {
    let snapshot = super::fixture::snapshot(&ddl(schema));
    let rewriter = Rewriter::new(&snapshot);
    let corpus: Corpus =
        toml::from_str(&read(&format!("tests/corpus/rewrites/{folder}{schema}.{kind}.toml"))).unwrap();
    let (mut proved, mut open) = (Vec::new(), Vec::new());
    for pair in corpus.pair {
        // What cannot be read is not proved.
        match rewriter.prove(&pair.before, &pair.after) {
            Ok(Some(_)) => proved.push(pair.name),
            Ok(None) => open.push(pair.name),
            Err(error) => open.push(format!("{} ({error:?})", pair.name)),
        }
    }
    (proved, open)
}

/// Every text of a schema's corpus.
pub(super) fn texts(schema: &str) -> Vec<String> {
    let of = |kind: &str| -> Corpus {
        toml::from_str(&read(&format!("tests/corpus/rewrites/{schema}.{kind}.toml"))).unwrap()
    };
    let pairs = [of("wrong"), of("valid")].into_iter().flat_map(|c| c.pair);
    pairs.flat_map(|p| [p.before, p.after]).collect()
}

const SCHEMAS: [&str; 3] = ["registry", "shop", "types"];

#[test]
fn no_wrong_pair_is_proved() {
    let proved: Vec<String> = SCHEMAS.into_iter().flat_map(|schema| judged(schema, "wrong").0).collect();
    assert!(proved.is_empty(), "{proved:#?}");
}

#[test]
fn most_valid_pairs_are_proved() {
    let (mut proved, mut open) = (Vec::new(), Vec::new());
    for schema in SCHEMAS {
        let (p, o) = judged(schema, "valid");
        proved.extend(p);
        open.extend(o);
    }
    let share = proved.len() as f64 / (proved.len() + open.len()) as f64;
    assert!(share >= 0.8, "{:.0} % of {}: {open:#?}", 100.0 * share, proved.len() + open.len());
}

#[test]
fn pairs_that_nothing_was_made_for_are_judged_as_well() {
    for schema in ["shop", "types", "company"] {
        let (proved, open) = judged_of("held_out/", schema, "wrong");
        assert!(proved.is_empty(), "{proved:#?}");
        assert!(open.len() > 10, "{}", open.len());
    }
    for schema in ["shop", "company"] {
        let (proved, open) = judged_of("held_out/", schema, "valid");
        let share = proved.len() as f64 / (proved.len() + open.len()) as f64;
        assert!(share >= 0.8, "{schema}, {:.0} % of {}: {open:#?}", 100.0 * share, proved.len() + open.len());
    }
}

#[test]
fn pairs_of_a_mill_are_judged_as_well() {
    let (proved, open) = judged_of("adversaries/", "mill", "wrong");
    assert!(proved.is_empty(), "{proved:#?}");
    assert!(open.len() > 200, "{}", open.len());
    let (proved, open) = judged_of("adversaries/", "mill", "valid");
    let share = proved.len() as f64 / (proved.len() + open.len()) as f64;
    assert!(share >= 0.88, "{:.0} % of {}: {open:#?}", 100.0 * share, proved.len() + open.len());
}

#[test]
fn pairs_of_engineers_are_judged_as_well() {
    let (mut valid, mut not_proved) = (Vec::new(), Vec::new());
    for (schema, at_least) in [("rail", 124), ("ledger", 64)] {
        let (proved, open) = judged_of("engineers/", schema, "wrong");
        assert!(proved.is_empty(), "{proved:#?}");
        assert!(open.len() >= at_least, "{}", open.len());
        let (proved, open) = judged_of("engineers/", schema, "valid");
        valid.extend(proved);
        not_proved.extend(open);
    }
    let share = valid.len() as f64 / (valid.len() + not_proved.len()) as f64;
    assert!(share >= 0.93, "{:.0} %: {not_proved:#?}", 100.0 * share);
}

#[test]
fn pairs_that_were_written_before_the_laws_are_judged_as_well() {
    for (schema, at_least) in [("desk", 42), ("freight", 73), ("vault", 130), ("ward", 125), ("farm", 31)] {
        let (proved, open) = judged_of("unseen/", schema, "wrong");
        assert!(proved.is_empty(), "{proved:#?}");
        assert!(open.len() >= at_least, "{}", open.len());
        let (proved, open) = judged_of("unseen/", schema, "valid");
        let share = proved.len() as f64 / (proved.len() + open.len()) as f64;
        assert!(share >= 0.9, "{schema}, {:.0} % of {}: {open:#?}", 100.0 * share, proved.len() + open.len());
    }
}
