//! Does `--max-slowdown` decide whether a statement may pay for the others, and is it said which one does?

#[path = "../../../advice/tests/slower/enlarged.rs"]
mod enlarged;

use model::Snapshot;
use serde_json::Value;

use crate::program::User;
use crate::world::World;
use enlarged::{BY_SUPPLIER, enlarge_all, statement};

/// Q7 is kept as fast as it is by an index that knows its dates.
fn knows_the_dates(advice: &Value) -> bool {
    let recommendations = advice["recommendations"].as_array().unwrap().iter();
    let sql = recommendations.flat_map(|r| r["sql"].as_array().unwrap());
    sql.filter_map(Value::as_str).any(|sql| sql.contains("WHERE") && sql.contains("l_shipdate"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_pays_for_the_others_only_when_it_may() {
    let world = World::new().await;
    testkit::tpch::load(&world.client, 0.01).await;
    let user = User::new();
    user.run(&["snapshot", "save", "small.zst", &world.url]).exits(0);
    let file = std::fs::File::open(user.file("small.zst")).unwrap();
    let mut snapshot: Snapshot = serde_json::from_reader(zstd::Decoder::new(file).unwrap()).unwrap();
    enlarge_all(&mut snapshot);
    snapshot.statements =
        vec![statement(7, testkit::tpch::QUERIES[6], 10, 750.0), statement(8, BY_SUPPLIER, 1_000, 400.0)];
    user.write("large.zst", zstd::encode_all(&*serde_json::to_vec(&snapshot).unwrap(), 1).unwrap());

    let advise = |slowdown: &str, form: &[&str]| {
        let limits = ["advise", "--snapshot", "large.zst", "--max-bytes", "75MB", "--max-slowdown", slowdown];
        user.run(&[&limits[..], form].concat()).exits(0)
    };
    let of = |slowdown: &str| advise(slowdown, &["--json"]).json("advise")["advice"].take();
    let slower = |advice: &Value| {
        let findings = advice["findings"].as_array().unwrap().iter();
        findings.filter(|f| f["check"] == "slower-statement").cloned().collect::<Vec<Value>>()
    };
    let careless = of("off");
    assert_eq!(slower(&careless), Vec::<Value>::new());
    assert!(!knows_the_dates(&careless), "{:#}", careless["recommendations"]);
    let careful = of("1.5");
    let told = slower(&careful);
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(knows_the_dates(&careful), "{:#}", careful["recommendations"]);
    // So much that nothing reaches it is as good as no limit.
    assert!(!knows_the_dates(&of("1000")));
    advise("1.5", &[]).says("statement 7 is kept from becoming slower").says("--max-slowdown off");
}
