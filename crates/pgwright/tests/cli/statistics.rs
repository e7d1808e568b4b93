//! What `statistics` and `advise` say of columns that depend on each other, of stale statistics and of the visibility
//! map, and that what they recommend can be applied, helps, and can be undone.

use serde_json::Value;

use crate::program::User;
use crate::world::World;

const DATA: &str = r#"
    create schema "My Schema";
    create table "My Schema"."a""b.c" (id bigint primary key, city text, zip integer, "shoe size" integer, body text);
    insert into "My Schema"."a""b.c"
        select n, 'city ' || n % 300, n % 300 + 10000, abs(hashint4(n)) % 40, repeat('x', 100)
        from generate_series(1, 20000) n;
    create table parted (k integer, at date) partition by range (at);
    create table parted_1 partition of parted for values from ('2026-01-01') to ('2026-02-01');
    insert into parted select n % 50, '2026-01-01'::date + n % 31 from generate_series(1, 5000) n;
    create table log (at timestamptz, level integer);
    create index log_at on log (at, level);
    insert into log select '2026-01-01'::timestamptz + n * interval '1 minute', n % 5 from generate_series(1, 60000) n;
"#;

const TOGETHER: &str =
    "select count(*) from \"My Schema\".\"a\"\"b.c\" where city = 'city 7' and zip = 10007";
const INDEPENDENT: &str =
    "select count(*) from \"My Schema\".\"a\"\"b.c\" where city = 'city 7' and \"shoe size\" = 3";

async fn world() -> World {
    let world = World::new().await;
    world.sql(DATA).await;
    // One after the other: in the transaction that filled them tables look out of date.
    world.sql("analyze \"My Schema\".\"a\"\"b.c\"").await;
    world.sql("analyze parted_1").await;
    world.sql("analyze log").await;
    // Counters come with a delay.
    world.wait_until("select n_tup_ins > 0 from pg_stat_user_tables where relname = 'log'").await;
    world.forget_statements().await;
    world.repeat(TOGETHER, 3).await;
    world.repeat(INDEPENDENT, 2).await;
    world.repeat("select count(*) from parted where at = '2026-01-05' and k = 3", 2).await;
    world.repeat("select count(*) from log where at >= '2026-01-02' and at < '2026-01-20'", 3).await;
    world
}

fn statistics(user: &User, world: &World, more: &[&str]) -> Value {
    let mut arguments = vec!["statistics", world.url.as_str(), "--json"];
    arguments.extend(more);
    user.run(&arguments).exits(0).json("statistics")
}

fn titles(recommendations: &Value) -> Vec<&str> {
    recommendations.as_array().unwrap().iter().map(|r| r["title"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_that_depend_on_each_other_get_statistics_that_help() {
    let (world, user) = (world().await, User::new());
    let before = world.schema_dump().await;
    let json = statistics(&user, &world, &[]);
    let found = &json["statistics"]["recommendations"];
    let titles = titles(found);
    assert!(titles.contains(&"create statistics on city, zip of \"My Schema\".\"a\"\"b.c\""), "{titles:?}");
    assert!(!titles.iter().any(|t| t.contains("shoe size")), "they are independent: {titles:?}");
    assert!(titles.contains(&"analyze public.parted"), "autovacuum never does: {titles:?}");
    let vacuum =
        found.as_array().unwrap().iter().find(|r| r["title"] == "vacuum public.log for index-only scans");
    let vacuum = vacuum.unwrap_or_else(|| panic!("{titles:?}"));
    assert!(vacuum["benefit"]["cost_after"].as_f64() < vacuum["benefit"]["cost_before"].as_f64(), "{vacuum}");
    assert_eq!(vacuum["changes"][0]["parameter"]["option"], "vacuum_insert_scale_factor");
    assert_eq!(world.schema_dump().await, before, "a question changes nothing");

    // What advise keeps, apply makes.
    let advice = user.run(&["advise", &world.url, "--json"]).exits(0).json("advise");
    let recommended = advice["advice"]["recommendations"].as_array().unwrap();
    let statistics = recommended
        .iter()
        .find(|r| r["title"].as_str().unwrap().starts_with("create statistics on city, zip"))
        .unwrap_or_else(|| panic!("{advice}"));
    let id = statistics["id"].as_str().unwrap();
    let estimate = async || {
        let plan: Value = world
            .client
            .query_one(&format!("explain (format json) {}", TOGETHER.replace("count(*)", "1")), &[])
            .await
            .unwrap()
            .get(0);
        plan[0]["Plan"]["Plan Rows"].as_f64().unwrap()
    };
    let was = estimate().await;
    assert!(was < 10.0, "{was} rows of 67 expected");
    user.run(&["apply", id, "--execute", &world.url]).exits(0);
    let is = estimate().await;
    assert!((40.0..100.0).contains(&is), "{is} rows of 67 expected");
    // What is there is not recommended again.
    let json = self::statistics(&user, &world, &[]);
    let again = json["statistics"]["recommendations"].to_string();
    assert!(!again.contains("city, zip"), "{again}");
    user.run(&["undo", id, "--execute", &world.url]).exits(0);
    assert_eq!(world.value("select count(*) from pg_statistic_ext").await, "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idea_of_ones_own_is_tried_and_told_honestly() {
    let (world, user) = (world().await, User::new());
    let url = world.url.as_str();
    let helps = "create statistics (dependencies) on city, zip from \"a\"\"b.c\"";
    let answer = user.run(&["statistics", url, "--try", helps]).exits(0);
    assert!(answer.stdout.contains("it improves "), "\n{answer}");
    assert!(!answer.stdout.contains("it improves nothing"), "\n{answer}");
    // Dependencies do nothing for a range.
    world
        .repeat("select count(*) from \"My Schema\".\"a\"\"b.c\" where city = 'city 1' and id > 19000", 2)
        .await;
    let range = "create statistics (dependencies) on city, id from \"a\"\"b.c\"";
    let answer = user.run(&["statistics", url, "--try", range]).exits(0);
    assert!(answer.stdout.contains("it improves nothing"), "\n{answer}");

    for (text, expected) in [
        ("create statistics on a, b from nowhere", "error: table nowhere does not exist"),
        ("create statistics on city, nothing from \"a\"\"b.c\"", "has no column nothing"),
        ("select 1", "CREATE STATISTICS is expected"),
    ] {
        let answer = user.run(&["statistics", url, "--try", text]).exits(2);
        assert!(answer.stderr.contains(expected), "\n{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_sample_it_says_what_cannot_be_said() {
    let (world, user) = (world().await, User::new());
    let answer = user.run(&["statistics", &world.url, "--no-sample"]).exits(0);
    assert!(answer.stdout.contains("no sample was to be taken (--no-sample)"), "\n{answer}");
    assert!(answer.stdout.contains("analyze public.parted"), "\n{answer}");
    assert!(!answer.stdout.contains("CREATE STATISTICS"), "\n{answer}");
    let file = user.file("a.snapshot.zst");
    let file = file.to_str().unwrap();
    user.run(&["snapshot", "save", file, &world.url]).exits(0);
    let answer = user.run(&["statistics", "--snapshot", file]).exits(0);
    assert!(answer.stdout.contains("a snapshot holds no rows to draw a sample from"), "\n{answer}");
    let answer =
        user.run(&["statistics", "--snapshot", file, "--try", "create statistics on a, b from c"]).exits(2);
    assert!(answer.stderr.contains("cannot be tried on a snapshot file"), "\n{answer}");
}
