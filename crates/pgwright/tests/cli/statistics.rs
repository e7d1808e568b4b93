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

/// A model is of one maker; readings are of devices.
const DEVICES: &str = "
    create table devices (id int primary key, model text not null, maker text not null, email text not null, meta jsonb);
    insert into devices select n, 'model ' || n % 40, 'maker ' || n % 40 % 10, 'User' || n % 9000 || '@Example.org',
        jsonb_build_object('tier', 'tier ' || n % 7, 'serial', md5(n::text)) from generate_series(1, 40000) n;
    create index devices_model on devices (model);
    create table readings (device_id int not null, at timestamptz not null, value int not null, note text not null);
    insert into readings select 1 + (n::bigint * 7919) % 40000, '2026-01-01'::timestamptz + n * interval '2 minutes', n % 100,
        repeat('n', 100) from generate_series(1, 100000) n;
    create index readings_device on readings (device_id);";

const JOIN: &str = "select sum(value) from devices d join readings r on r.device_id = d.id \
                    where d.model = 'model 7' and d.maker = 'maker 7'";

/// The nodes of a plan, as far as tests compare them.
fn nodes(plan: &Value) -> Vec<String> {
    let mut found = vec![format!("{} {}", plan["Node Type"], plan["Relation Name"])];
    for child in plan["Plans"].as_array().into_iter().flatten() {
        found.extend(nodes(child));
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_becomes_another_is_told_and_comes_true() {
    let (world, user) = (World::new().await, User::new());
    world.load(DEVICES).await;
    world.repeat(JOIN, 4).await;
    let json = statistics(&user, &world, &[]);
    let found = json["statistics"]["recommendations"].as_array().unwrap();
    let recommended = found
        .iter()
        .find(|r| r["title"].as_str().unwrap().starts_with("create statistics on maker, model"))
        .unwrap_or_else(|| panic!("{json:#}"));
    let id = recommended["id"].as_str().unwrap();
    let plan = &json["statistics"]["plans"][0];
    assert_eq!(plan["recommendations"], serde_json::json!([id]), "{plan:#}");
    assert_eq!(plan["becomes_another"], true, "{plan:#}");
    assert!(!plan["in_words"].as_array().unwrap().is_empty(), "{plan:#}");
    assert!(
        recommended["rationale"].as_str().unwrap().contains("its statement gets another plan"),
        "{recommended:#}"
    );
    let effect = &recommended["statements"][0];
    assert_eq!(effect["expected_ms"], effect["mean_ms"], "no time is promised: {effect:#}");
    assert_eq!(recommended["benefit"]["saved_ms_per_hour"], 0.0);
    // The values are of rows, so that they occur together.
    let count: Value = world
        .client
        .query_one(
            &format!("explain (format json, analyze, timing off) {}", effect["example"].as_str().unwrap()),
            &[],
        )
        .await
        .unwrap()
        .get(0);
    assert!(!count.to_string().contains("\"Actual Rows\":0"), "{count:#}");
    let answer = user.run(&["statistics", &world.url]).exits(0);
    assert!(
        answer.stdout.contains("plans with these statistics, on a planner twin that holds them"),
        "\n{answer}"
    );
    assert!(answer.stdout.contains("by which it plans 1 statement otherwise"), "\n{answer}");

    // The server itself then plans as the twin said, and what was asked is measured.
    user.run(&["advise", &world.url]).exits(0);
    user.run(&["apply", id, "--execute", &world.url]).exits(0);
    let planned: Value = world
        .client
        .query_one(&format!("explain (format json) {}", effect["example"].as_str().unwrap()), &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(nodes(&planned[0]["Plan"]), nodes(&effect["plan_after"]["Plan"]), "{planned:#}");
    assert_ne!(nodes(&planned[0]["Plan"]), nodes(&effect["plan_before"]["Plan"]), "{planned:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn expressions_whose_constants_are_hidden_get_statistics() {
    let (world, user) = (World::new().await, User::new());
    world.load(DEVICES).await;
    // pg_stat_statements takes 'day' and 'tier' out of these.
    for statement in [
        "select date_trunc('day', at), count(*) from readings group by 1",
        "select meta->>'tier', maker, count(*) from devices group by 1, 2",
        "select * from devices where lower(email) = 'user7@example.org'",
        "select * from devices where lower(email) = 'user7@example.org' and maker = 'maker 7'",
        "select * from devices where meta->>'tier' = 'tier 3'",
    ] {
        world.repeat(statement, 4).await;
    }
    let json = statistics(&user, &world, &[]);
    let titles = titles(&json["statistics"]["recommendations"]);
    for expected in ["date_trunc('day', at) of public.readings", "lower(email) of public.devices"] {
        assert!(titles.iter().any(|t| t.ends_with(expected)), "{expected}: {titles:?}");
    }
    let all = json["statistics"]["recommendations"].to_string();
    assert!(all.contains("->> 'tier'"), "{titles:?}");
    assert!(all.contains("(ndistinct) ON maker, ((meta ->> 'tier'"), "groups of both together: {all}");
    // They can be made, and the estimate becomes true.
    user.run(&["statistics", &world.url, "--out", "advice.json"]).exits(0);
    user.run(&["apply", "--advice", "advice.json", "--execute", &world.url]).exits(0);
    let rows = async |statement: &str| {
        let plan: Value =
            world.client.query_one(&format!("explain (format json) {statement}"), &[]).await.unwrap().get(0);
        plan[0]["Plan"]["Plan Rows"].as_f64().unwrap()
    };
    let days = rows("select date_trunc('day', at), count(*) from readings group by 1").await;
    assert!((100.0..180.0).contains(&days), "{days} of 139");
    let users = rows("select * from devices where lower(email) = 'user7@example.org'").await;
    assert!((2.0..10.0).contains(&users), "{users} of 4");
    let tiers = rows("select * from devices where meta->>'tier' = 'tier 3'").await;
    assert!((5_000.0..6_500.0).contains(&tiers), "{tiers} of 5714");
}

/// Two statistics that a widely read tutorial recommends for a registry of training runs. What they improve is said,
/// and what else would.
#[tokio::test(flavor = "multi_thread")]
async fn statistics_of_a_tutorial_are_judged_by_what_they_do() {
    let (world, user) = (World::new().await, User::new());
    world
        .load(
            "create table training_runs (run_id bigint primary key, experiment_name text not null, created_at timestamptz not null);
             insert into training_runs select n, 'experiment ' || n / 2000, '2026-01-01'::timestamptz + n * interval '3 minutes'
                 from generate_series(1, 60000) n;
             create table deployments (deployment_id bigint primary key, environment_id int not null, status text not null);
             insert into deployments select n, n % 4, case when n % 10 < 8 then 'active' else 'failed' end
                 from generate_series(1, 30000) n;",
        )
        .await;
    world
        .repeat(
            "select count(*) from training_runs where experiment_name = 'experiment 9' and created_at >= '2026-02-07' and created_at < '2026-02-09'",
            3,
        )
        .await;
    world.repeat("select count(*) from deployments where environment_id = 2 and status = 'active'", 3).await;
    let first = "CREATE STATISTICS training_runs_exp_created_stats (dependencies) ON experiment_name, created_at FROM training_runs";
    let second = "CREATE STATISTICS deployments_env_status_stats (dependencies) ON environment_id, status FROM deployments";
    for (wanted, why) in [
        // An experiment runs for days, so the columns do depend on each other, but a range is no equality.
        (first, "functional dependencies say nothing about ranges"),
        // They are independent, and the estimate is right.
        (second, "the estimate is right without it"),
    ] {
        let answer = user.run(&["statistics", &world.url, "--try", wanted]).exits(0);
        assert!(answer.stdout.contains("it improves nothing"), "{wanted}\n{answer}");
        if wanted == second {
            assert!(answer.stdout.contains(why), "{wanted}\n{answer}");
        } else {
            let tried = answer.stdout.lines().find(|l| l.trim_start().starts_with("dependencies")).unwrap();
            let before = answer.stdout.lines().find(|l| l.trim_start().starts_with("as things are")).unwrap();
            let typical = |line: &str| line.split_whitespace().find_map(|w| w.parse::<f64>().ok()).unwrap();
            assert!((typical(tried) - typical(before)).abs() < 0.2 * typical(before), "{why}\n{answer}");
        }
    }
}
