//! Does `--max-slowdown` change the answer? An index that look-ups want makes TPC-H's Q7 slower, whose nested loop the planner
//! finds cheaper than it is.

use model::Bytes;
use model::snapshot::{Relation, Snapshot, Statement};
use serde_json::Value;

use crate::program::User;
use crate::world::World;

const TIMES: i64 = 100;
const LOOK_UP: &str = "SELECT count(*) FROM lineitem WHERE l_suppkey = 5 AND l_receiptdate > l_commitdate";

/// As many more rows, and of keys as many more values.
fn enlarge(relation: &mut Relation) {
    relation.reltuples *= TIMES as f64;
    for pages in [&mut relation.relpages, &mut relation.relallvisible, &mut relation.pages] {
        *pages *= TIMES;
    }
    relation.table_bytes = Bytes(relation.table_bytes.0 * TIMES as u64);
    let keys = relation.columns.iter_mut().filter(|c| c.name.ends_with("key"));
    for statistics in keys.filter_map(|c| c.statistics.as_mut()) {
        statistics.n_distinct *= if statistics.n_distinct > 25.0 { TIMES as f32 } else { 1.0 };
        (statistics.most_common_vals, statistics.most_common_freqs) = (None, None);
    }
}

/// Two statements, and settings of a server with memory and quick disks.
fn with_statements(snapshot: &mut Snapshot) {
    let like = snapshot.statements[0].clone();
    let statement = |queryid, query: &str, calls: i64, ms: f64| Statement {
        queryid,
        query: query.into(),
        calls,
        rows: calls,
        total_exec_time: model::Millis(calls as f64 * ms),
        mean_exec_time: model::Millis(ms),
        stddev_exec_time: model::Millis(0.0),
        ..like.clone()
    };
    let q7 = testkit::tpch::QUERIES[6];
    snapshot.statements = vec![statement(7, q7, 10, 750.0), statement(8, LOOK_UP, 1_000, 400.0)];
    for (name, value) in [
        ("random_page_cost", "1.1"),
        ("max_parallel_workers_per_gather", "0"),
        ("effective_cache_size", "1572864"),
        ("work_mem", "65536"),
    ] {
        snapshot.settings.get_mut(name).unwrap().setting = value.into();
    }
}

fn findings(advice: &Value) -> Vec<&str> {
    let findings = advice["advice"]["findings"].as_array().unwrap().iter();
    findings.filter(|f| f["check"] == "slower-statement").map(|f| f["summary"].as_str().unwrap()).collect()
}

/// What is to be run, one below the other.
fn indexes(advice: &Value) -> String {
    let recommendations = advice["advice"]["recommendations"].as_array().unwrap().iter();
    let sql = recommendations.flat_map(|r| r["sql"].as_array().unwrap());
    sql.map(|s| s.as_str().unwrap()).collect::<Vec<_>>().join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_is_kept_from_becoming_slower_or_not_as_the_user_says() {
    let world = World::new().await;
    testkit::tpch::load(&testkit::connect(&world.url).await, 0.01).await;
    let user = User::new();
    user.run(&["snapshot", "save", "small.zst", "--url", &world.url]).exits(0);
    let mut snapshot = postgres::snapshot_file::load(&user.file("small.zst")).unwrap();
    let grown = |r: &&mut Relation| !["region", "nation"].contains(&r.name.name.as_str());
    snapshot.relations.iter_mut().filter(grown).for_each(enlarge);
    with_statements(&mut snapshot);
    postgres::snapshot_file::save(&user.file("large.zst"), &snapshot).unwrap();

    let advise = |limit: &str| {
        let arguments =
            ["advise", "--snapshot", "large.zst", "--max-bytes", "75MB", "--json", "--max-slowdown", limit];
        user.run(&arguments).exits(0).json("advise")
    };
    let (careful, believing) = (advise("1.5"), advise("off"));
    assert_eq!(findings(&believing), Vec::<&str>::new());
    assert!(
        findings(&careful).iter().any(|f| f.starts_with("statement 7 is kept from becoming slower")),
        "{careful:#}"
    );
    let (of_careful, of_believing) = (indexes(&careful), indexes(&believing));
    assert!(
        of_careful.contains("l_shipdate >= ") && !of_believing.contains("l_shipdate >= "),
        "{of_careful}\n{of_believing}"
    );
    assert!(
        of_careful.contains("(l_suppkey") && of_believing.contains("(l_suppkey"),
        "{of_careful}\n{of_believing}"
    );
}
