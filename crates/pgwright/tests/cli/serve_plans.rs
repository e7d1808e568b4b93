//! Is it seen when a statement gets another plan, and told with time, cost and what is other about it?

use std::time::{Duration, Instant};

use crate::program::User;
use crate::serve::{Answer, Serving};
use crate::world::World;

const ARGUMENTS: [&str; 5] = ["--history", "--interval", "statements=300ms", "--interval", "plans=300ms"];

/// The statement that gets another plan, in a schema whose name has to be quoted.
const STATEMENT: &str = "select count(*) as flipping from \"a\"\"b.c\".t where k = 5";

fn until(serving: &Serving, path: &str, text: &str) -> Answer {
    let began = Instant::now();
    loop {
        let answer = serving.get(path, &[]);
        if answer.body.contains(text) {
            return answer;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "{path} never has {text}:\n{}", answer.body);
        std::thread::sleep(Duration::from_millis(100));
    }
}

async fn queryid(world: &World) -> String {
    let sql = "select queryid::text from pg_stat_statements where query like '%as flipping%' and dbid = \
               (select oid from pg_database where datname = current_database()) limit 1";
    world.client.query_one(sql, &[]).await.unwrap().get(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_changes_is_counted_kept_and_shown() {
    let versions = testkit::versions();
    for major in [versions[0].major, versions[versions.len() - 1].major] {
        let server = testkit::server(major);
        let world = World::on(server).await;
        world
            .load(
                "create schema \"a\"\"b.c\"; create table \"a\"\"b.c\".t as select n as k, repeat('x', 100) as v \
                 from generate_series(1, 20000) n; create index t_k on \"a\"\"b.c\".t (k); analyze \"a\"\"b.c\".t",
            )
            .await;
        let user = User::new();
        let serving = Serving::start(&user, &world.url, &ARGUMENTS);
        world.repeat(STATEMENT, 5).await;
        let queryid = queryid(&world).await;
        let of_it = format!("queryid=\"{queryid}\"");
        let (changes, cost) = ("postgres_statement_plan_changes_total", "postgres_statement_plan_cost");
        let before = serving.wait_for("planned", |m| m.value(changes, &of_it) == Some(0.0));
        world.sql("drop index \"a\"\"b.c\".t_k").await;
        world.repeat(STATEMENT, 5).await;
        let after = serving.wait_for("another plan", |m| m.value(changes, &of_it) == Some(1.0));
        assert!(after.value(cost, &of_it) > before.value(cost, &of_it), "{}", after.0);
        let page = format!("/statement?database={}&queryid={queryid}&window=15m", world.name);
        let shown = until(&serving, &page, "Another plan since").body;
        for text in ["Index Only Scan", "t_k", "Both shapes", "Seq Scan", "The plan now, cost"] {
            assert!(shown.contains(text), "{text} is not in {shown}");
        }
        until(&serving, "/?window=15m&compare=before", "<td data-label=\"Plan\">changed <time");
        serving.stop();
        // What changed while nobody watched is seen by who watches next, and counted by nobody.
        world.sql("create index t_k2 on \"a\"\"b.c\".t (k)").await;
        let serving = Serving::start(&user, &world.url, &ARGUMENTS);
        world.repeat(STATEMENT, 5).await;
        until(&serving, &page, "It changed 2 times");
        assert_eq!(serving.metrics().value(changes, &of_it), Some(0.0));
        serving.stop();
        user.run(&["history", "--statement", &queryid, &world.url]).says("another plan since").says("t_k2");
        // Each shape once, however often it was looked at.
        let kept: i64 = world
            .client
            .query_one("select count(*) from pgwright.history_plan where queryid::text = $1", &[&queryid])
            .await
            .unwrap()
            .get(0);
        assert_eq!(kept, 3);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_read_the_tables_is_told_so_and_changes_nothing() {
    let world = World::on(testkit::any_server()).await;
    world.load("create table t as select n as k from generate_series(1, 100) n").await;
    let role = format!("{}_watcher", world.name);
    world
        .load(&format!(
            "create role {role} login; grant pg_monitor to {role}; grant usage on schema public to {role}"
        ))
        .await;
    let user = User::new();
    let url = world.url_as(&role);
    let serving =
        Serving::start(&user, &url, &["--interval", "statements=300ms", "--interval", "plans=300ms"]);
    world.repeat("insert into t select 1 as denied", 5).await;
    let denied = serving
        .wait_for("denied", |m| m.value("pgwright_statements_planned", "result=\"denied\"") >= Some(1.0));
    assert_eq!(denied.value("pgwright_collector_up", "collector=\"plans\""), Some(1.0));
    let rows: i64 = world.client.query_one("select count(*) from t", &[]).await.unwrap().get(0);
    assert_eq!(rows, 105);
    serving.stop();
    world.load(&format!("drop owned by {role}; drop role {role}")).await;
}
