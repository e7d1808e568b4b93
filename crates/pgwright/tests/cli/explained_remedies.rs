//! Does each cause come with what to do about it, and with a figure where one can be had: foreign keys, triggers, locks,
//! indexes that are only written, fresh statistics, logged values?

use serde_json::Value;
use tokio::time::{Duration, sleep};

use crate::program::User;
use crate::world::World;

fn checks(value: &Value) -> Vec<&str> {
    value["findings"].as_array().unwrap().iter().filter_map(|f| f["check"].as_str()).collect()
}

#[track_caller]
fn remedy<'v>(value: &'v Value, kind: &str) -> &'v Value {
    let found = value["remedies"].as_array().unwrap().iter().find(|r| r["kind"] == kind);
    found.unwrap_or_else(|| panic!("no {kind} in {:#} {:#}", value["findings"], value["remedies"]))
}

#[track_caller]
fn costs(remedy: &Value) -> (f64, f64) {
    let cost = |key: &str| remedy["estimate"][key].as_f64().unwrap_or_else(|| panic!("{remedy:#}"));
    (cost("cost_before"), cost("cost_after"))
}

/// A cascade that deletes rows whose own references have no index; the plan names the first foreign key alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_cascade_is_followed_to_the_index_that_is_missing() {
    let world = World::new().await;
    world
        .load(
            "create table orders (id int primary key, note text);
             insert into orders select n, 'x' from generate_series(1, 3000) n;
             create table lines (id int primary key, order_id int not null references orders on delete cascade);
             insert into lines select n, 1 + n % 3000 from generate_series(1, 9000) n;
             create index on lines (order_id);
             create table parts (id int primary key, line_id int not null references lines on delete cascade, pad text);
             insert into parts select n, 1 + n % 9000, repeat('p', 90) from generate_series(1, 60000) n;
             analyze",
        )
        .await;
    let user = User::new();
    let sql = "delete from orders where id <= 60";
    let value = user
        .run(&["explain", "--json", "--analyze", "--allow-writes", sql, &world.url])
        .exits(0)
        .json("explain");
    assert_eq!(checks(&value)[0], "triggers-dominate", "{:#}", value["findings"]);
    let index = remedy(&value, "foreign_key_index");
    assert_eq!(index["sql"][0], "CREATE INDEX CONCURRENTLY ON public.parts (line_id)", "{index:#}");
    let (before, after) = costs(index);
    assert!(after < 0.05 * before, "{index:#}");
    world.sql("create index on parts (line_id)").await;
    let value = user
        .run(&["explain", "--json", "--analyze", "--allow-writes", sql, &world.url])
        .exits(0)
        .json("explain");
    let still = value["remedies"].as_array().unwrap().iter().any(|r| r["kind"] == "foreign_key_index");
    assert!(!still, "{:#}", value["remedies"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_of_the_user_is_looked_into() {
    let world = World::new().await;
    world
        .load(
            "create table t (id int primary key, v int);
             insert into t select n, n from generate_series(1, 2000) n;
             create function slow() returns trigger language plpgsql as
                 $$ begin perform count(*) from generate_series(1, 2000); return null; end $$;
             create trigger audit after update on t for each row execute function slow()",
        )
        .await;
    let user = User::new();
    let sql = "update t set v = v + 1 where id <= 500";
    let value = user
        .run(&["explain", "--json", "--analyze", "--allow-writes", sql, &world.url])
        .exits(0)
        .json("explain");
    assert_eq!(checks(&value)[0], "triggers-dominate", "{:#}", value["findings"]);
    let trigger = remedy(&value, "trigger");
    let title = trigger["title"].as_str().unwrap();
    assert!(title.contains("trigger audit on t, called 500 times"), "{title}");
    assert!(trigger["sql"].to_string().contains("log_nested_statements"), "{trigger:#}");
}

/// A lock that is granted is a cause; one that is not granted in time is an error; both name who holds it.
#[tokio::test(flavor = "multi_thread")]
async fn who_holds_a_lock_is_named() {
    let world = World::new().await;
    world
        .load("create table jobs (id int primary key, state text); insert into jobs values (1, 'new')")
        .await;
    let user = User::new();
    user.write("pgwright.toml", "lock_timeout_ms = 6000\n");
    let holder = testkit::connect(&world.url).await;
    // By itself, or it is rolled back as well.
    holder.batch_execute("set application_name = 'billing'").await.unwrap();
    holder.batch_execute("begin; update jobs set state = 'held'").await.unwrap();
    let sql = "update jobs set state = 'done' where id = 1";
    let arguments =
        ["explain", "--json", "--analyze", "--allow-writes", sql, world.url.as_str()].map(str::to_owned);
    let waiting = tokio::task::spawn_blocking({
        let arguments = arguments.clone();
        move || {
            let output = user.run(&arguments);
            (user, output)
        }
    });
    world.wait_until("select count(*) > 0 from pg_locks where not granted").await;
    sleep(Duration::from_millis(1_500)).await;
    holder.batch_execute("rollback").await.unwrap();
    let (user, output) = waiting.await.unwrap();
    let value = output.exits(0).json("explain");
    assert_eq!(checks(&value)[0], "lock-wait", "{:#}", value["findings"]);
    let finding = &value["findings"][0];
    assert!(finding["summary"].as_str().unwrap().contains("billing of"), "{finding:#}");
    assert!(finding["evidence"].to_string().contains("idle in transaction"), "{finding:#}");
    assert!(remedy(&value, "blocker")["title"].as_str().unwrap().contains("billing"), "{value:#}");
    // A table that is locked is waited for before there is a plan.
    user.write("pgwright.toml", "lock_timeout_ms = 1500\n");
    holder.batch_execute("begin; lock table jobs").await.unwrap();
    let refused =
        tokio::task::block_in_place(|| user.run(&["explain", "select * from jobs", &world.url])).fails(2);
    assert!(refused.error().contains("The lock is held by process"), "{refused}");
    assert!(
        refused.error().contains("billing of") && refused.error().contains("lock table jobs"),
        "{refused}"
    );
    holder.batch_execute("rollback").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_that_writes_into_indexes_that_nobody_scans() {
    let world = World::new().await;
    world
        .load(
            "create table stock (id int primary key, amount int not null, a text, b text, c text, note text);
             insert into stock select n, n, md5(n::text), md5((n + 1)::text), md5((n + 2)::text), 'x'
                 from generate_series(1, 20000) n;
             create index stock_amount on stock (amount); create index stock_a on stock (a);
             create index stock_b on stock (b); create unique index stock_c on stock (c)",
        )
        .await;
    let user = User::new();
    let explain = |sql: &str| {
        user.run(&["explain", "--json", "--analyze", "--allow-writes", sql, &world.url])
            .exits(0)
            .json("explain")
    };
    let value = explain("update stock set amount = amount + 1");
    assert_eq!(checks(&value)[0], "index-upkeep", "{:#}", value["findings"]);
    let finding = &value["findings"][0];
    assert!(finding["summary"].as_str().unwrap().contains("into 5 indexes"), "{finding:#}");
    for wanted in ["buffers per row", "WAL per row", "changed column in an index"] {
        assert!(finding["evidence"].to_string().contains(wanted), "{wanted}: {finding:#}");
    }
    let drops = remedy(&value, "fewer_indexes")["sql"].to_string();
    for (index, dropped) in [("stock_a", true), ("stock_b", true), ("stock_c", false), ("stock_pkey", false)]
    {
        assert_eq!(drops.contains(&format!("public.{index}\"")), dropped, "{index}: {drops}");
    }
    // No index has the note: what is missing is room in the pages.
    let value = explain("update stock set note = 'y'");
    assert_eq!(checks(&value)[0], "updates-not-hot", "{:#}", value["findings"]);
    let sql = remedy(&value, "fill_factor")["sql"][0].as_str().unwrap().to_owned();
    assert!(sql.starts_with("ALTER TABLE public.stock SET (fillfactor = "), "{sql}");
    world.sql("alter table stock set (fillfactor = 45)").await;
    world.sql("vacuum full stock").await;
    let value = explain("update stock set note = 'y'");
    assert!(!checks(&value).contains(&"updates-not-hot"), "{:#}", value["findings"]);
}

/// Statistics of before a load: ANALYZE is advised with what it makes of the plan.
#[tokio::test(flavor = "multi_thread")]
async fn fresh_statistics_are_tried_with_a_sample() {
    let world = World::new().await;
    world
        .load(
            "create table events (id int primary key, kind text not null, ref int not null) with (autovacuum_enabled = off);
             insert into events select n, 'old', n from generate_series(1, 1000) n;
             create index events_kind on events (kind); create index events_ref on events (ref)",
        )
        .await;
    world.sql("analyze events").await;
    world.sql("insert into events select n, 'new', n from generate_series(1001, 200000) n").await;
    world
        .wait_until("select n_mod_since_analyze > 100000 from pg_stat_user_tables where relname = 'events'")
        .await;
    let user = User::new();
    let sql = "select count(*) from events a join events b on b.ref = a.id where a.kind = 'new'";
    let value = user.run(&["explain", "--json", "--analyze", sql, &world.url]).exits(0).json("explain");
    assert_eq!(checks(&value)[0], "stale-statistics", "{:#}", value["findings"]);
    let analyze = remedy(&value, "analyze");
    let title = analyze["title"].as_str().unwrap();
    assert!(title.contains("the plan becomes another"), "{title}");
    let (before, after) = costs(analyze);
    assert!(before > 0.0 && after > 0.0 && analyze["estimate"]["rests_on_other_rows"] == true, "{analyze:#}");
}

/// Two tables of one name: what is said is of the one that was read.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_in_two_schemas_means_the_one_of_the_search_path() {
    let world = World::new().await;
    world
        .load(
            "create schema attic; create schema app;
             create table attic.visits (id int primary key, at timestamptz);
             create table app.visits (id int primary key, at timestamptz not null);
             insert into app.visits select n, '2026-01-01'::timestamptz + n * interval '1 minute'
                 from generate_series(1, 90000) n;
             create index visits_at on app.visits (at)",
        )
        .await;
    world.sql("vacuum analyze app.visits").await;
    let database = world.value("select current_database()").await;
    world.sql(&format!("alter database {database} set search_path = app, attic")).await;
    let user = User::new();
    let sql = "select count(*) from visits where date_trunc('day', at) = '2026-01-05+00'";
    let value = user.run(&["explain", "--json", "--analyze", sql, &world.url]).exits(0).json("explain");
    assert_eq!(checks(&value)[0], "function-blocks-index", "{:#}", value["findings"]);
    assert!(value["findings"][0]["evidence"].to_string().contains("visits_at"), "{:#}", value["findings"]);
    // Its own index serves the half-open range.
    assert!(remedy(&value, "rewrite")["title"].as_str().unwrap().len() > 10, "{:#}", value["remedies"]);
}

/// A prepared statement from a log of 16 and later, with its values beside it.
#[tokio::test(flavor = "multi_thread")]
async fn logged_values_of_a_plan_are_planned_with() {
    let world = World::new().await;
    world
        .load(
            "create table jobs (id int primary key, state text not null, pad text);
             insert into jobs select n, case when n % 2000 = 0 then 'new' else 'done' end, repeat('p', 80)
                 from generate_series(1, 100000) n;
             create index jobs_state on jobs (state)",
        )
        .await;
    world.sql("analyze jobs").await;
    let user = User::new();
    user.run(&["snapshot", "save", "jobs.zst", &world.url]).exits(0);
    user.write(
        "plan.txt",
        "Query Text: select count(pad) from jobs where state = $1\nQuery Parameters: $1 = 'new'\n\
         Aggregate  (cost=3000.00..3000.01 rows=1 width=8) (actual time=30.1..30.1 rows=1 loops=1)\n  \
         ->  Seq Scan on jobs  (cost=0.00..2800.00 rows=50000 width=81) (actual time=0.1..29.0 rows=50 loops=1)\n        \
         Filter: (state = $1)\n        Rows Removed by Filter: 99950\n\
         Planning Time: 0.1 ms\nExecution Time: 30.5 ms\n",
    );
    let value =
        user.run(&["explain", "--json", "plan.txt", "--snapshot", "jobs.zst"]).exits(0).json("explain");
    assert_eq!(value["sql"], "select count(pad) from jobs where state = 'new'");
    assert_eq!(checks(&value)[0], "generic-plan", "{:#}", value["findings"]);
    let (generic, custom) = costs(remedy(&value, "custom_plan"));
    assert!(custom < 0.5 * generic, "{generic} {custom}");
}
