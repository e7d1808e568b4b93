//! Is anything refuted that was proved? Rules and proofs of `sql` and the refuter know nothing of each other, so
//! each checks the other: on what the rules make of every statement of the corpus, and on small changes of
//! its pairs, most of which are wrong.
//!
//! That takes ten minutes, so a part of them is tried; `PGWRIGHT_TEST_PROOFS=all` tries all, on more databases.

use std::collections::BTreeMap;

use model::Snapshot;
use postgres::{Environment, SessionOptions, Target};
use refuter::{Options, Refuter, Verdict};
use sql::{Rewriter, Standing};

use crate::corpus::{Pair, SCHEMAS, ddl, pairs};
use crate::world::start;

/// Every how many things one is tried, and on how many databases.
fn effort(every: usize) -> (usize, Options) {
    let all = std::env::var("PGWRIGHT_TEST_PROOFS").is_ok_and(|value| value == "all");
    let (every, databases) = if all { (1, 200) } else { (every, 40) };
    (every, Options { databases, ..Options::default() })
}

/// What the server made of the schema; without a time zone, so that no proof may rest on one.
pub async fn snapshot_of(refuter: &Refuter, schema: &str) -> Snapshot {
    snapshot_of_ddl(refuter, &ddl(schema)).await
}

/// The same of a schema that is no file of the corpus.
pub async fn snapshot_of_ddl(refuter: &Refuter, ddl: &str) -> Snapshot {
    let target = Target::parse(Some(&refuter.url()), &Environment::default()).unwrap();
    let session = target.connect(&SessionOptions::default()).await.unwrap();
    let timeout = std::time::Duration::from_secs(10);
    let mut read = postgres::snapshot::read_without_schema(&session, timeout).await.unwrap();
    read.schema_sql = sql::dumped_definitions(ddl);
    read.settings.remove("TimeZone");
    read
}

#[tokio::test]
async fn no_wrong_pair_of_adversaries_is_proved_and_most_valid_ones_are() {
    for schema in ["depot", "clinic"] {
        let refuter = start(&ddl(schema)).await;
        let snapshot = snapshot_of(&refuter, schema).await;
        let rewriter = Rewriter::new(&snapshot);
        let of = |kind: &str, proved: bool| -> Vec<String> {
            let all = pairs(schema, kind).into_iter();
            let is_proved = |p: &Pair| matches!(rewriter.prove(&p.before, &p.after), Ok(Some(_)));
            all.filter(|pair| is_proved(pair) == proved).map(|pair| pair.name).collect()
        };
        assert_eq!(of("wrong", true), Vec::<String>::new());
        assert!(of("wrong", false).len() >= 120);
        let (proved, open) = (of("valid", true), of("valid", false));
        assert!(proved.len() >= 50 && open.len() * 7 <= proved.len(), "{open:#?}");
    }
}

/// Every statement of the corpus, by its text.
fn statements(schema: &str) -> BTreeMap<String, String> {
    let all = ["wrong", "valid"].into_iter().flat_map(|kind| pairs(schema, kind));
    all.flat_map(|pair| [(pair.before, pair.name.clone()), (pair.after, pair.name)]).collect()
}

#[tokio::test]
async fn no_proved_rewrite_is_refuted() {
    let mut wrong = Vec::new();
    let (mut found, mut tried) = (0, 0);
    let (every, options) = effort(4);
    for schema in SCHEMAS {
        let mut refuter = start(&ddl(schema)).await;
        let snapshot = snapshot_of(&refuter, schema).await;
        refuter.set_options(options.clone()).await.unwrap();
        let rewriter = Rewriter::new(&snapshot);
        for (statement, name) in statements(schema) {
            for rewrite in rewriter.rewrites(&statement).unwrap_or_default() {
                let open = rewrite.conditions.iter().any(|c| !matches!(c.standing, Standing::Proved { .. }));
                let Some(text) = rewrite.sql.filter(|_| !open && rewrite.application.is_empty()) else {
                    continue;
                };
                found += 1;
                if found % every != 0 {
                    continue;
                }
                tried += 1;
                match refuter.compare(&statement, &text).await {
                    Ok(Verdict::Tested { .. } | Verdict::NotComparable { .. }) => {}
                    other => wrong.push(format!("{schema} {name}, {}: {text}\n{other:#?}", rewrite.rule)),
                }
            }
        }
    }
    println!("{tried} of {found} proved rewrites tried");
    assert!(wrong.is_empty(), "{} of {tried}\n{}", wrong.len(), wrong.join("\n"));
    assert!(found > 100, "{found}");
}

/// Small changes of a text, each of which a person could make by mistake.
const CHANGES: &[(&str, &str)] = &[
    (" = ", " <> "),
    (" > ", " >= "),
    (" >= ", " > "),
    (" < ", " <= "),
    (" <= ", " < "),
    (" AND ", " OR "),
    (" OR ", " AND "),
    ("LEFT JOIN", "JOIN"),
    (" JOIN ", " LEFT JOIN "),
    ("UNION ALL", "UNION"),
    ("UNION SELECT", "UNION ALL SELECT"),
    ("NOT EXISTS", "EXISTS"),
    ("NOT IN", "IN"),
    (" EXISTS", " NOT EXISTS"),
    ("count(*)", "count(DISTINCT id)"),
    ("count(DISTINCT ", "count("),
    ("max(", "min("),
    ("SELECT DISTINCT ", "SELECT "),
    ("SELECT ", "SELECT DISTINCT "),
    (" DESC", ""),
    ("LIMIT 2", "LIMIT 3"),
    ("ANY (", "ALL ("),
    ("IS NULL", "IS NOT NULL"),
    ("IS NOT NULL", "IS NULL"),
    ("coalesce(", "nullif("),
    (", 0)", ", 1)"),
    ("rank()", "dense_rank()"),
    ("rank()", "row_number()"),
    ("'2024-05-06'", "'2024-05-07'"),
    ("2025-01-01", "2024-12-31"),
    (" 10", " 11"),
    (" 5", " 6"),
    ("HAVING count(*) > 0", ""),
    (" FILTER (WHERE status = 'paid')", ""),
    ("'paid'", "'new'"),
    ("PARTITION BY customer_id ", ""),
];

/// The texts that one change makes, at each place where it applies.
fn changed(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (from, to) in CHANGES {
        for (at, _) in text.match_indices(from) {
            found.push(format!("{}{to}{}", &text[..at], &text[at + from.len()..]));
        }
    }
    found
}

#[tokio::test]
async fn no_proved_change_is_refuted() {
    let mut wrong = Vec::new();
    let (mut proved, mut asked) = (0, 0);
    let (every, options) = effort(29);
    for schema in SCHEMAS {
        let mut refuter = start(&ddl(schema)).await;
        let snapshot = snapshot_of(&refuter, schema).await;
        refuter.set_options(options.clone()).await.unwrap();
        let rewriter = Rewriter::new(&snapshot);
        for pair in ["wrong", "valid"].into_iter().flat_map(|kind| pairs(schema, kind)) {
            let sides =
                [(&pair.before, &pair.after), (&pair.before, &pair.before), (&pair.after, &pair.after)];
            for (one, other) in sides {
                for text in changed(other) {
                    asked += 1;
                    if asked % every != 0 {
                        continue;
                    }
                    if !matches!(rewriter.prove(one, &text), Ok(Some(_))) {
                        continue;
                    }
                    proved += 1;
                    match refuter.compare(one, &text).await {
                        Ok(Verdict::Tested { .. } | Verdict::NotComparable { .. }) => {}
                        // A proof is about statements that PostgreSQL accepts.
                        Err(refuter::Error::Statement { .. }) => {}
                        other => wrong.push(format!("{schema} {}\n{one}\n{text}\n{other:#?}", pair.name)),
                    }
                }
            }
        }
    }
    println!("one in {every} of {asked} changed pairs, {proved} proved");
    assert!(wrong.is_empty(), "{} of {proved}\n{}", wrong.len(), wrong.join("\n"));
    assert!(asked > 1000, "{asked}");
}
