//! Does the advisor find the index that an expert would build, construct by construct, and nothing where nothing helps?
//!
//! Every case of `cases.rs` and `needless.rs` really runs on a server with `pg_stat_statements`, is read back in its normalised form with
//! a snapshot, and is advised alone through the planner twin. Then the recommended and the ideal indexes are really
//! built, each in a transaction that is rolled back, and the server's own planner says what the statement costs with
//! the user's values. A case's score is its share of the ideal gain. At the end all cases are advised as one workload.
//!
//! `cargo test -p pgwright-advice --test constructs -- --nocapture` prints the table.

#![allow(clippy::unwrap_used)] // A test that cannot go on fails.

mod cases;
mod needless;

use std::path::PathBuf;

use advice::{Advice, Options, WeighBy, advise};
use model::{Change, Snapshot};
use postgres::{Environment, SessionOptions, SnapshotOptions, Target};
use tokio_postgres::Client;
use twin::{Twin, TwinOptions};

use crate::cases::{CASES, Case};
use crate::needless::NONE;

/// The share of the ideal gain that the cases must reach together.
const GOAL: f64 = 0.9;
/// The share that each case must reach on average when all are one workload, in which some hardly count.
const GOAL_TOGETHER: f64 = 0.85;

fn pg_dump() -> PathBuf {
    let from_path = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).collect::<Vec<_>>();
    let installed = testkit::SUPPORTED.rev().map(|m| PathBuf::from(format!("/usr/lib/postgresql/{m}/bin")));
    installed.chain(from_path).map(|d| d.join("pg_dump")).find(|p| p.is_file()).expect("pg_dump is installed")
}

async fn snapshot(url: &str) -> Snapshot {
    let target = Target::parse(Some(url), &Environment::default()).unwrap();
    let session = target.connect(&SessionOptions::default()).await.unwrap();
    postgres::snapshot::read(&session, &target, &SnapshotOptions::new(pg_dump())).await.unwrap()
}

/// A comment by which the statements of a case are found again in `pg_stat_statements`.
fn mark(case: &Case) -> String {
    format!("/* case: {} */", case.name)
}

fn marked(case: &Case, sql: &str) -> String {
    let (first, rest) = sql.split_once(' ').unwrap();
    format!("{first} {} {rest}", mark(case))
}

/// Runs a case as its user would. Changes are rolled back: the next case finds the same rows.
async fn run(client: &Client, case: &Case) {
    client.batch_execute("BEGIN").await.unwrap();
    for _ in 0..case.times {
        match &case.prepared {
            Some(prepared) => {
                let values = (prepared.values)();
                let values: Vec<&(dyn tokio_postgres::types::ToSql + Sync)> =
                    values.iter().map(|v| v.as_ref()).collect();
                client.query(&marked(case, prepared.sql), &values).await.unwrap();
            }
            None => {
                client
                    .simple_query(&marked(case, case.sql))
                    .await
                    .unwrap_or_else(|e| panic!("{}: {e:?}", case.name));
            }
        }
    }
    for (statement, times) in case.beside {
        let statement = marked(case, statement);
        for _ in 0..*times {
            client.simple_query(&statement).await.unwrap();
        }
    }
    client.batch_execute("ROLLBACK").await.unwrap();
}

fn alone(snapshot: &Snapshot, case: &Case) -> Snapshot {
    let mark = mark(case);
    let mut alone = snapshot.clone();
    alone.statements.retain(|s| s.query.contains(&mark));
    assert!(!alone.statements.is_empty(), "{} was not recorded", case.name);
    alone
}

fn creates(advice: &Advice) -> Vec<String> {
    advice
        .recommendations
        .iter()
        .flat_map(|r| &r.changes)
        .filter_map(|c| match c {
            Change::CreateIndex { index } => Some(index.create_sql(false)),
            _ => None,
        })
        .collect()
}

/// `CREATE INDEX name ON public.t USING btree (a)` without what all have in common.
fn short(index: &str) -> String {
    let (_, rest) = index.split_once(" ON ").unwrap();
    rest.replace("public.", "").replace("pg_catalog.", "").replace(" USING btree", "")
}

/// The statement whose cost counts.
fn measured(case: &Case) -> &'static str {
    case.measured.unwrap_or(case.sql)
}

async fn explained(client: &Client, sql: &str) -> f64 {
    let row = client.query_one(&format!("EXPLAIN (FORMAT JSON) {sql}"), &[]).await.unwrap();
    let plan: serde_json::Value = row.get(0);
    plan[0]["Plan"]["Total Cost"].as_f64().unwrap()
}

fn table_of(index: &str) -> String {
    let (_, rest) = index.split_once(" ON ").unwrap();
    rest.split([' ', '(']).next().unwrap().to_owned()
}

/// What statements cost with indexes really built.
async fn built(client: &Client, indexes: &[String], statements: &[&str]) -> Vec<f64> {
    client.batch_execute("BEGIN").await.unwrap();
    let mut tables = Vec::new();
    for index in indexes {
        client.batch_execute(index).await.unwrap_or_else(|e| panic!("{index}: {e:?}"));
        // An expression has statistics only after an ANALYZE.
        let expression = index.split_once(" ON ").is_some_and(|(_, rest)| rest.matches('(').count() > 1);
        if expression && !tables.contains(&table_of(index)) {
            tables.push(table_of(index));
        }
    }
    for table in tables {
        client.batch_execute(&format!("ANALYZE {table}")).await.unwrap();
    }
    let mut costs = Vec::new();
    for statement in statements {
        costs.push(explained(client, statement).await);
    }
    client.batch_execute("ROLLBACK").await.unwrap();
    costs
}

/// What statements cost without and with indexes, with the same statistics: ANALYZE draws another sample each time.
async fn before_and_after(client: &Client, indexes: &[String], statements: &[&str]) -> Vec<(f64, f64)> {
    client.batch_execute("BEGIN").await.unwrap();
    for index in indexes {
        client.batch_execute(index).await.unwrap_or_else(|e| panic!("{index}: {e:?}"));
    }
    client.batch_execute("ANALYZE").await.unwrap();
    let mut after = Vec::new();
    for statement in statements {
        after.push(explained(client, statement).await);
    }
    for index in indexes {
        let name = index.split(' ').nth(2).unwrap();
        client.batch_execute(&format!("DROP INDEX {name}")).await.unwrap();
    }
    let mut costs = Vec::new();
    for (statement, after) in statements.iter().zip(after) {
        costs.push((explained(client, statement).await, after));
    }
    client.batch_execute("ROLLBACK").await.unwrap();
    costs
}

#[tokio::test]
async fn constructs_get_their_index() {
    let server = testkit::server_with(
        15,
        &[
            ("random_page_cost", "1.1"),
            ("maintenance_work_mem", "256MB"),
            ("jit", "off"),
            ("max_parallel_maintenance_workers", "0"),
        ],
    );
    let database = testkit::database(&server).await;
    let client = testkit::connect(&database.url).await;
    client.batch_execute(include_str!("schema.sql")).await.unwrap();
    // Left behind by a CREATE INDEX CONCURRENTLY that failed.
    client
        .batch_execute(
            "CREATE INDEX logins_user_id_idx ON logins (user_id);
             UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'logins_user_id_idx'::regclass;
             CREATE TEMPORARY TABLE mine AS SELECT n AS x FROM generate_series(1, 5000) n",
        )
        .await
        .unwrap();
    client.batch_execute("CHECKPOINT").await.unwrap();
    client.batch_execute("VACUUM (ANALYZE)").await.unwrap();
    client.batch_execute("SELECT pg_stat_statements_reset()").await.unwrap();
    for case in CASES.iter().chain(NONE) {
        run(&client, case).await;
    }
    // What was rolled back leaves dead rows; the sizes are to be those of before.
    client.batch_execute("VACUUM").await.unwrap();
    let all = snapshot(&database.url).await;
    let binaries = testkit::versions().into_iter().find(|b| b.major == 15).unwrap();
    let mut twin = Twin::build(&all, &binaries, TwinOptions::default()).await.unwrap();

    let mut sum = 0.0;
    let mut failures = Vec::new();
    let (mut bases, mut ideals) = (Vec::new(), Vec::new());
    for case in CASES {
        let advice = advise(&alone(&all, case), &mut twin, &Options::default()).await.unwrap();
        let indexes = creates(&advice);
        let measured = measured(case);
        let base = built(&client, &[], &[measured]).await[0];
        let ideal: Vec<String> = case.ideal.iter().map(|i| (*i).to_owned()).collect();
        let ideal = built(&client, &ideal, &[measured]).await[0];
        let got = if indexes.is_empty() { base } else { built(&client, &indexes, &[measured]).await[0] };
        assert!(ideal < 0.95 * base, "{}: the ideal index brings {base} to {ideal}", case.name);
        let score = ((base - got) / (base - ideal)).min(1.0);
        sum += score;
        bases.push(base);
        ideals.push(ideal);
        let list: Vec<String> = indexes.iter().map(|i| short(i)).collect();
        println!(
            "{:4.0} %  {:32} {base:10.1} {ideal:10.1} {got:10.1}  calls {:4} cand {:3}  {}",
            100.0 * score,
            case.name,
            advice.planner_calls,
            advice.candidates,
            list.join("; ")
        );
        if score < 0.9 {
            let statement = &alone(&all, case).statements[0];
            println!("        {}", statement.query.split_whitespace().collect::<Vec<_>>().join(" "));
            for skipped in &advice.skipped {
                println!("        skipped: {}", skipped.reason);
            }
            for rejected in advice.rejected.iter().take(4) {
                println!("        rejected: {}: {}", short(&rejected.candidate), rejected.reason);
            }
        }
    }
    let mean = sum / CASES.len() as f64;
    println!("mean share of the ideal gain over {} constructs: {:.1} %", CASES.len(), 100.0 * mean);

    for case in NONE {
        let workload = alone(&all, case);
        let advice = advise(&workload, &mut twin, &Options::default()).await.unwrap();
        let indexes = creates(&advice);
        let verdict = if indexes.is_empty() { "none" } else { "FALSE" };
        let list: Vec<String> = indexes.iter().map(|i| short(i)).collect();
        println!(
            "{verdict:6}  {:32} calls {:4} cand {:3}  {}",
            case.name,
            advice.planner_calls,
            advice.candidates,
            list.join("; ")
        );
        if !indexes.is_empty() {
            let base = built(&client, &[], &[case.sql]).await[0];
            let got = built(&client, &indexes, &[case.sql]).await[0];
            println!("        {base:.1} becomes {got:.1}");
        }
        if !indexes.is_empty() {
            failures.push(format!("{} needs no index but got {}", case.name, list.join("; ")));
        }
    }

    // All cases as one workload: what is best for each must not be bought with what is worse for another.
    let mut together = all.clone();
    together.statements.retain(|s| s.query.contains("/* case: "));
    let started = std::time::Instant::now();
    // Execution times of a test are noise.
    let options = Options { weigh_by: WeighBy::PlannerCost, ..Options::default() };
    let advice = advise(&together, &mut twin, &options).await.unwrap();
    let seconds = started.elapsed().as_secs_f64();
    let indexes = creates(&advice);
    let statements: Vec<&str> = CASES.iter().chain(NONE).map(measured).collect();
    let costs = before_and_after(&client, &indexes, &statements).await;
    for (statement, (before, after)) in statements.iter().zip(&costs) {
        if *after > 1.02 * before {
            failures.push(format!("together, {statement} becomes worse: {before} to {after}"));
        }
    }
    let possible: f64 = bases.iter().zip(&ideals).map(|(base, ideal)| base - ideal).sum();
    let gained: Vec<f64> = ideals
        .iter()
        .zip(&costs)
        .map(|(ideal, (before, after))| (before - after).min(before - ideal))
        .collect();
    let share = gained.iter().sum::<f64>() / possible;
    let shares = gained.iter().zip(&bases).zip(&ideals).map(|((g, b), i)| g / (b - i));
    let usual = shares.clone().sum::<f64>() / shares.len() as f64;
    println!(
        "together: {:.1} % of the ideal gain, mean of the statements {:.1} %, {} indexes for {} statements, {} candidates, {} planner calls, {:.1} s",
        100.0 * share,
        100.0 * usual,
        indexes.len(),
        together.statements.len(),
        advice.candidates,
        advice.planner_calls,
        seconds
    );
    for (case, share) in CASES.iter().zip(shares).filter(|(_, share)| *share < 0.8) {
        println!("        {:4.0} %  {}", 100.0 * share, case.name);
    }
    twin.stop().await.unwrap();
    assert!(share >= GOAL, "together the cases reach {:.1} % of the ideal gain", 100.0 * share);
    // Beside a statement that takes more time than all others together, these are not given up.
    assert!(usual >= GOAL_TOGETHER, "together each case reaches {:.1} % of its ideal gain", 100.0 * usual);
    assert!(failures.is_empty(), "{failures:#?}");
    assert!(mean >= GOAL, "the cases reach {:.1} % of the ideal gain", 100.0 * mean);
}

#[tokio::test]
async fn patterns_without_the_extension() {
    let server = testkit::servers().next().unwrap();
    let database = testkit::database(server).await;
    let client = testkit::connect(&database.url).await;
    client
        .batch_execute(
            "CREATE EXTENSION pg_stat_statements;
             CREATE TABLE titles (id int PRIMARY KEY, title text NOT NULL);
             INSERT INTO titles SELECT n, md5(n::text) || ' ' || md5((n * 7)::text) FROM generate_series(1, 20000) n;
             ANALYZE",
        )
        .await
        .unwrap_or_else(|e| panic!("{e:?}"));
    client.batch_execute("SELECT pg_stat_statements_reset()").await.unwrap();
    for _ in 0..3 {
        client.simple_query("SELECT id FROM titles WHERE title ILIKE '%ABCDE%'").await.unwrap();
    }
    let snapshot = snapshot(&database.url).await;
    let mut twin = Twin::build(&snapshot, server.binaries(), TwinOptions::default()).await.unwrap();
    let advice = advise(&snapshot, &mut twin, &Options::default()).await.unwrap();
    twin.stop().await.unwrap();
    assert_eq!(creates(&advice), Vec::<String>::new());
    let found = advice.findings.iter().find(|f| f.check == "missing-extension").unwrap();
    assert!(found.summary.contains("public.titles.title") && found.summary.contains("pg_trgm"), "{found:?}");
}
