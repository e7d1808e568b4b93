//! Does `advise --max-slowdown` decide whether one statement may pay for the others? TPC-H's Q7 beside look-ups by supplier,
//! on a snapshot that is made a hundred times as large as the database that it was read from.

use model::snapshot::{Snapshot, Statement};
use model::{Bytes, Millis};

use crate::program::User;
use crate::world::World;

const TIMES: i64 = 100;

/// The same tables with more rows, of which keys have as many more values.
fn enlarge(snapshot: &mut Snapshot) {
    let large = |name: &str| !["region", "nation"].contains(&name);
    for relation in snapshot.relations.iter_mut().filter(|r| large(&r.name.name)) {
        relation.reltuples *= TIMES as f64;
        relation.relpages *= TIMES;
        relation.relallvisible *= TIMES;
        relation.pages *= TIMES;
        relation.table_bytes = Bytes(relation.table_bytes.0 * TIMES as u64);
        for column in relation.columns.iter_mut().filter(|c| c.name.ends_with("key")) {
            if let Some(statistics) = &mut column.statistics {
                if !column.name.ends_with("nationkey") && statistics.n_distinct > 0.0 {
                    statistics.n_distinct *= TIMES as f32;
                }
                (statistics.most_common_vals, statistics.most_common_freqs) = (None, None);
            }
        }
    }
}

/// A statement as if it had been called so often.
fn called(like: &Statement, queryid: i64, query: &str, calls: i64, mean_ms: f64) -> Statement {
    let total_ms = calls as f64 * mean_ms;
    Statement {
        queryid,
        query: query.to_owned(),
        calls,
        rows: calls,
        total_exec_time: Millis(total_ms),
        mean_exec_time: Millis(mean_ms),
        ..like.clone()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whether_one_statement_may_pay_for_the_others() {
    let world = World::new().await;
    testkit::tpch::load(&world.client, 0.01).await;
    world.repeat("select count(*) from nation", 2).await;
    let user = User::new();
    user.run(&["snapshot", "save", "small.zst", &world.url]).exits(0);
    let mut snapshot = postgres::snapshot_file::load(&user.file("small.zst")).unwrap();
    enlarge(&mut snapshot);
    for (name, value) in [
        ("random_page_cost", "1.1"),
        ("max_parallel_workers_per_gather", "0"),
        ("effective_cache_size", "1572864"),
        ("work_mem", "65536"),
    ] {
        snapshot.settings.get_mut(name).unwrap().setting = value.into();
    }
    let like = snapshot.statements[0].clone();
    let by_supplier = "SELECT count(*) FROM lineitem WHERE l_suppkey = 5 AND l_receiptdate > l_commitdate";
    snapshot.statements = vec![
        called(&like, 7, testkit::tpch::QUERIES[6], 10, 750.0),
        called(&like, 8, by_supplier, 1_000, 400.0),
    ];
    postgres::snapshot_file::save(&user.file("large.zst"), &snapshot).unwrap();

    let advised = |limit: &[&str]| {
        let line = ["advise", "--snapshot", "large.zst", "--max-bytes", "75MB"];
        let text = user.run(&[&line[..], limit].concat()).exits(0).stdout;
        let json = user.run(&[&line[..], limit, &["--json"]].concat()).exits(0).json("advise");
        let recommendations = json["advice"]["recommendations"].as_array().unwrap().clone();
        let indexes: Vec<String> = recommendations.iter().map(|r| r["sql"].to_string()).collect();
        (text, json["advice"]["findings"].to_string(), indexes.join(" "))
    };
    let slower = "statement 7 is kept from becoming slower";
    let (text, findings, indexes) = advised(&["--max-slowdown", "1.5"]);
    assert!(text.contains(slower) && findings.contains(slower), "{text}");
    // The index that its constants allow keeps it quick.
    assert!(indexes.contains("l_shipdate >= "), "{text}");
    let (text, findings, indexes) = advised(&["--max-slowdown", "off"]);
    assert!(!findings.contains("becoming slower") && !findings.contains("become slower"), "{text}");
    assert!(indexes.contains("l_suppkey") && !indexes.contains("l_shipdate >= "), "{text}");

    for wrong in ["0.9", "0", "-1", "NaN", "none"] {
        let limit = format!("--max-slowdown={wrong}");
        user.run(&["advise", &limit, "--snapshot", "large.zst"])
            .fails(2)
            .tells(&format!("\"{wrong}\" is not a number from 1 on, nor \"off\""));
    }
}
