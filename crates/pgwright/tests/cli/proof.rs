//! Is a change that made a statement slower named and taken back, and nothing else? On every version,
//! with statements that really run.

use model::{
    Benefit, Change, Confidence, IndexDefinition, IndexKey, LockLevel, Millis, Price, QualifiedName,
    Recommendation, StatementEffect,
};

use crate::program::User;
use crate::world::World;

/// The rows that have `a = 1` come last in the order of `b`, which the statistics do not tell: with an
/// index on `b` the planner expects to find ten of them soon and reads all the others first.
const TRAP: &str = "
    create table t (id integer primary key, a integer, b integer, filler text);
    insert into t select n, case when n > 98000 then 1 else 2 + n % 90 end, n, repeat('f', 150)
        from generate_series(1, 100000) n order by (n * 7919::bigint) % 100003;
    create table other (id integer primary key, x integer);
    insert into other select n, n % 100 from generate_series(1, 20000) n";

const TRAPPED: &str = "select id, filler from t where a = 1 order by b limit 10";

/// Statements that have nothing to do with the change.
const OTHERS: [&str; 6] = [
    "select count(*) from other where x = 5",
    "select max(id) from other where x < 7",
    "select x, count(*) from other group by x order by x",
    "select sum(x) from other where id > 100",
    "select min(x), max(x) from other where id < 15000",
    "select avg(id) from other where x between 3 and 60",
];

async fn trapped(times: usize, world: &World) {
    for _ in 0..times {
        world.sql(TRAPPED).await;
        for other in OTHERS {
            world.sql(other).await;
        }
    }
}

/// Advice to make the index, as `advise --out` would have written it, for a database.
fn advice() -> String {
    let table = QualifiedName::new("public", "t");
    let index = IndexDefinition::btree(table, "t_b_idx", vec![IndexKey::column("b")]);
    let effect = StatementEffect {
        queryid: 1,
        query: "select id from t where b = $1".into(),
        calls: 100,
        mean_ms: Millis(9.0),
        cost_before: 2700.0,
        cost_after: 8.0,
        expected_ms: Millis(0.1),
        plan_before: serde_json::Value::Null,
        plan_after: serde_json::Value::Null,
        example: "select id from t where b = 5".into(),
    };
    let recommendation = Recommendation {
        id: "0123abcd".into(),
        title: "create index t_b_idx on public.t".into(),
        resolves: Vec::new(),
        changes: vec![Change::CreateIndex { index }],
        sql: Vec::new(),
        undo_sql: Vec::new(),
        benefit: Benefit::default(),
        price: Price::default(),
        lock: LockLevel::ShareUpdateExclusive,
        lock_duration: "while it is built".into(),
        reversible: true,
        confidence: Confidence::High,
        rationale: String::new(),
        verification: String::new(),
        statements: vec![effect],
        rejected: Vec::new(),
    };
    serde_json::json!({ "target": "a file", "advised_at": "2026-11-20T00:00:00Z",
        "recommendations": [recommendation] })
    .to_string()
}

async fn applied(user: &User, world: &World) {
    world.load(TRAP).await;
    // Every page in the cache and every plan made, so that before and after are alike.
    trapped(2, world).await;
    world.forget_statements().await;
    trapped(25, world).await;
    user.write("advice.json", advice());
    user.run(&["apply", "--advice", "advice.json", "--execute", &world.url]).exits(0).says("no calls yet");
    assert!(world.indexes().await.contains("t_b_idx"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_made_a_statement_slower_is_named_and_taken_back() {
    for binaries in testkit::versions() {
        let user = User::new();
        let world = World::on(testkit::server(binaries.major)).await;
        applied(&user, &world).await;
        let url = world.url.as_str();
        trapped(25, &world).await;

        let shown = user.run(&["verify", url]).exits(1);
        shown
            .clone()
            .says("slower: ")
            .says("Its plan now reads public.t_b_idx: ")
            .says("to be taken back: Statement ")
            .says("  DROP INDEX CONCURRENTLY public.t_b_idx;")
            .tells("nothing was taken back; add --execute to do it, or --keep");
        assert!(world.indexes().await.contains("t_b_idx"), "without --execute nothing is done");
        let json = user.run(&["verify", "--json", url]).exits(1).json("verify");
        let run = &json["runs"][0];
        assert_eq!(run["slower"][0]["cause"], "new_plan", "{json:#}");
        assert_eq!(run["take_back"][0]["object"]["name"], "t_b_idx", "{json:#}");
        assert_eq!(json["verifications"][0]["verdict"], "made_others_slower", "{json:#}");
        assert_eq!(json["taken_back"], serde_json::json!([]));

        let taken = user.run(&["verify", "--execute", url]).exits(3);
        taken.says("taken back: public.t_b_idx. Statement ");
        assert!(!world.indexes().await.contains("t_b_idx"));
        user.run(&["journal", url]).exits(0).says("undone").says("note: Taken back: Statement ");
        user.run(&["verify", url]).fails(2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_user_decides_to_keep_stays() {
    let user = User::new();
    let world = World::new().await;
    applied(&user, &world).await;
    let url = world.url.as_str();
    trapped(25, &world).await;
    user.run(&["verify", "--keep", "--execute", url]).exits(2);
    user.run(&["verify", "0123abcd", "--keep", url])
        .exits(1)
        .says("public.t_b_idx stays, as was decided at ")
        .tells("kept, whatever is measured");
    user.run(&["verify", "--execute", url]).exits(1).says("slower: ");
    assert!(world.indexes().await.contains("t_b_idx"), "the decision is remembered");
    user.run(&["undo", "--execute", url]).exits(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn apply_can_wait_and_look_itself() {
    let user = User::new();
    let world = World::new().await;
    world.load(TRAP).await;
    trapped(2, &world).await;
    world.forget_statements().await;
    trapped(25, &world).await;
    user.write("advice.json", advice());
    let url = world.url.as_str();
    user.run(&["apply", "--verify-after", "1s", url]).exits(2);
    let mut apply =
        user.start(&["apply", "--advice", "advice.json", "--execute", "--verify-after", "8s", url]);
    apply.wait_to_tell("done in");
    // The counters of that moment are stored right after.
    world.wait_until("select count(*) > 0 from pgwright.baseline where name like 'applied %'").await;
    trapped(25, &world).await;
    apply.wait().exits(3).says("slower: ").says("taken back: public.t_b_idx. ");
    assert!(!world.indexes().await.contains("t_b_idx"));

    // Whoever does not want to wait need not.
    let mut apply =
        user.start(&["apply", "--advice", "advice.json", "--execute", "--verify-after", "1h", url]);
    apply.wait_to_tell("done in");
    world.wait_until("select count(*) > 1 from pgwright.baseline where name like 'applied %'").await;
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    apply.signal("INT");
    apply.wait().exits(0).tells("not waited for; \"pgwright verify\" compares later");
    assert!(world.indexes().await.contains("t_b_idx"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_slower_for_another_reason_leads_to_nothing() {
    let user = User::new();
    let world = World::new().await;
    applied(&user, &world).await;
    let url = world.url.as_str();
    // A table that has nothing to do with it has grown.
    world.sql("insert into other select n, n % 100 from generate_series(20001, 200000) n").await;
    for _ in 0..25 {
        for other in OTHERS {
            world.sql(other).await;
        }
    }
    let verified = user.run(&["verify", url]).exits(0);
    verified.clone().says("slower, not because of what was applied: ");
    assert!(!verified.stdout.contains("to be taken back"), "\n{verified}");
    user.run(&["verify", "--execute", url]).exits(0);
    assert!(world.indexes().await.contains("t_b_idx"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_measured_is_told_beside_new_advice() {
    let user = User::new();
    let world = World::new().await;
    applied(&user, &world).await;
    let url = world.url.as_str();
    let before = user.run(&["advise", url]).exits(0);
    assert!(!before.stdout.contains("measured so far"), "\n{before}");
    // With another queryid than the advice's, as after an upgrade.
    for n in 0..20_i32 {
        world.client.query("select id from t where b = $1", &[&n]).await.unwrap();
    }
    user.run(&["verify", url]).exits(0).says("held: ");
    user.run(&["advise", url])
        .exits(0)
        .says("measured so far on this database")
        .says("  btree index: ")
        .says(" % of the promised gain (n = 1, 20 calls)");
    let json = user.run(&["advise", "--json", url]).exits(0).json("advise");
    assert_eq!(json["measured"][0]["kind"], "btree", "{json:#}");
    assert!(json["measured"][0]["share"].as_f64().unwrap() > 0.7, "{json:#}");
}
