//! How many databases does the refuter need for each wrong pair of the corpus, how fast is it, and which pairs are
//! proved?
//!
//! `cargo run -p pgwright-refuter --example corpus -- [DATABASES] [SEED] [FOLDER] [NAME]`; the folder holds
//! SCHEMA.wrong.toml and SCHEMA.valid.toml, and SCHEMA.sql where the schema is none of the corpus; with a name only pairs
//! whose name contains it, and the witness.

use std::path::Path;
use std::time::{Duration, Instant};

use refuter::{Options, Refuter, Verdict, ddl_snapshot};

#[derive(serde::Deserialize)]
struct Corpus {
    pair: Vec<Pair>,
}

#[derive(serde::Deserialize)]
struct Pair {
    name: String,
    before: String,
    after: String,
}

/// What the server made of the schema; without a time zone, so that no proof may rest on one.
async fn snapshot_of(refuter: &Refuter, ddl: &str) -> model::Snapshot {
    let target =
        postgres::Target::parse(Some(&refuter.url()), &postgres::Environment::default()).expect("a URL");
    let session = target.connect(&postgres::SessionOptions::default()).await.expect("a session");
    let timeout = Duration::from_secs(10);
    let mut read = postgres::snapshot::read_without_schema(&session, timeout).await.expect("a snapshot");
    read.schema_sql = sql::dumped_definitions(ddl);
    read.settings.remove("TimeZone");
    read
}

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let databases: u32 = arguments.next().and_then(|a| a.parse().ok()).unwrap_or(400);
    let seed: u64 = arguments.next().and_then(|a| a.parse().ok()).unwrap_or(1);
    let folder = arguments.next().unwrap_or_else(|| "tests/corpus/rewrites".into());
    let wanted = arguments.next();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let read =
        |path: &str| std::fs::read_to_string(root.join(path)).unwrap_or_else(|e| panic!("{path}: {e}"));
    let binaries = testkit::versions().into_iter().next().expect("a PostgreSQL");
    let demo = "crates/pgwright/src/demo";
    let registry = ["registry_tables.sql", "registry_constraints.sql"].map(|f| read(&format!("{demo}/{f}")));
    let mut schemas = vec![("registry".to_owned(), registry.join("\n"))];
    for from in ["tests/corpus/rewrites", folder.as_str()] {
        let mut files: Vec<_> = std::fs::read_dir(root.join(from))
            .unwrap_or_else(|e| panic!("{from}: {e}"))
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "sql"))
            .collect();
        files.sort();
        for path in files {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            if !schemas.iter().any(|(known, _)| *known == name) {
                schemas.push((name, std::fs::read_to_string(&path).expect("a readable schema")));
            }
        }
    }
    let mut needed: Vec<u32> = Vec::new();
    let (mut missed, mut refuted_valid, mut not_compared) = (Vec::new(), Vec::new(), Vec::new());
    let (mut proved_wrong, mut not_proved) = (Vec::new(), Vec::new());
    let (mut tried, mut spent, mut valid, mut wrong_time) = (0_u32, Duration::ZERO, 0, Duration::ZERO);
    for (schema, ddl) in schemas {
        if !["wrong", "valid"]
            .iter()
            .any(|kind| root.join(&folder).join(format!("{schema}.{kind}.toml")).exists())
        {
            continue;
        }
        let options = Options { databases, seed, time_limit: Duration::from_secs(120), ..Options::default() };
        let mut refuter = Refuter::start(&ddl_snapshot(&ddl, &binaries), &binaries, options)
            .await
            .unwrap_or_else(|e| panic!("{e}: {:?}", e.detail()));
        let snapshot = snapshot_of(&refuter, &ddl).await;
        let rewriter = sql::Rewriter::new(&snapshot);
        for kind in ["wrong", "valid"] {
            let path = root.join(&folder).join(format!("{schema}.{kind}.toml"));
            let Ok(text) = std::fs::read_to_string(&path) else { continue };
            let corpus: Corpus =
                toml::from_str(&text).unwrap_or_else(|e| panic!("{schema}.{kind}.toml: {e}"));
            for pair in corpus.pair {
                let name = format!("{schema}.{kind} {}", pair.name);
                if wanted.as_ref().is_some_and(|w| !name.contains(w.as_str())) {
                    continue;
                }
                match (kind, rewriter.prove(&pair.before, &pair.after)) {
                    ("wrong", Ok(Some(proof))) => proved_wrong.push(format!("{name}: {proof:?}")),
                    ("valid", Ok(None)) => not_proved.push(name.clone()),
                    ("valid", Err(error)) => not_proved.push(format!("{name}: {error}")),
                    _ => {}
                }
                if databases == 0 {
                    continue;
                }
                let began = Instant::now();
                let verdict = refuter.compare(&pair.before, &pair.after).await;
                let took = began.elapsed();
                if wanted.is_some() {
                    println!("{name}: {verdict:#?}");
                }
                match (kind, verdict) {
                    ("wrong", Ok(Verdict::Refuted(witness))) => {
                        println!("{name}: {} databases, {:.0?}", witness.databases, took);
                        needed.push(witness.databases);
                        wrong_time += took;
                    }
                    ("wrong", other) => missed.push(format!("{name}: {other:?}")),
                    (_, Ok(Verdict::Tested { databases, with_rows, .. })) => {
                        println!("{name}: tested on {databases}, {with_rows} with rows, {took:.0?}");
                        valid += 1;
                        tried += databases;
                        spent += took;
                    }
                    (_, Ok(Verdict::Refuted(witness))) => refuted_valid.push(format!("{name}: {witness:#?}")),
                    (_, other) => not_compared.push(format!("{name}: {other:?}")),
                }
            }
        }
    }
    needed.sort_unstable();
    println!();
    for (what, list) in [
        ("wrong, proved", proved_wrong),
        ("valid, not proved", not_proved),
        ("missed", missed),
        ("valid, refuted", refuted_valid),
        ("not compared", not_compared),
    ] {
        println!("{what}: {}", list.len());
        list.iter().for_each(|line| println!("  {line}"));
    }
    println!(
        "wrong pairs refuted: {}; databases to the witness: median {:?}, 90 % {:?}, worst {:?}; {:.0} ms each with the witness shrunk",
        needed.len(),
        needed.get(needed.len() / 2),
        needed.get(needed.len() * 9 / 10),
        needed.last(),
        wrong_time.as_millis() as f64 / needed.len().max(1) as f64,
    );
    println!(
        "valid pairs tested: {valid}, {tried} databases in {:.1} s: {:.0} per second",
        spent.as_secs_f64(),
        f64::from(tried) / spent.as_secs_f64().max(f64::MIN_POSITIVE)
    );
}
