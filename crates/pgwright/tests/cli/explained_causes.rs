//! Does `explain` name the cause that the plan alone does not tell: a generic plan, a missing VACUUM, a list that is not
//! hashed, a false `n_distinct`?

use serde_json::Value;

use crate::program::User;
use crate::world::World;

fn checks(value: &Value) -> Vec<&str> {
    value["findings"].as_array().unwrap().iter().filter_map(|f| f["check"].as_str()).collect()
}

fn remedy<'v>(value: &'v Value, kind: &str) -> &'v Value {
    let found = value["remedies"].as_array().unwrap().iter().find(|r| r["kind"] == kind);
    found.unwrap_or_else(|| panic!("no {kind} in {value:#}"))
}

fn notes(value: &Value) -> String {
    value["notes"].as_array().unwrap().iter().filter_map(Value::as_str).collect::<Vec<_>>().join("\n")
}

/// A filter that drops out for NULL: a plan for any value reads the whole table, one for a value looks it up.
#[tokio::test(flavor = "multi_thread")]
async fn a_generic_plan_is_executed_and_compared_with_one_for_the_values() {
    let world = World::new().await;
    world
        .load(
            "create table jobs (id int primary key, note text not null);
             insert into jobs select n, repeat('x', 60) from generate_series(1, 200000) n",
        )
        .await;
    let user = User::new();
    let url = world.url.as_str();
    let sql = "select sum(length(note)) from jobs where $1::int is null or id = $1";
    let generic = ["explain", "--json", "--analyze", "--generic", "--param"];
    let found = user.run(&[&generic[..], &["77", sql, url]].concat()).exits(0).json("explain");
    assert_eq!(checks(&found)[0], "generic-plan", "{found:#}");
    assert!(!checks(&found).contains(&"row-misestimate"), "{found:#}");
    let custom = remedy(&found, "custom_plan");
    assert_eq!(custom["sql"][0], "SET plan_cache_mode = 'force_custom_plan'");
    assert!(custom["title"].as_str().unwrap().contains("a plan for these values takes "), "{custom:#}");
    assert!(found["explain"].to_string().contains("(id = $1)"), "{found:#}");
    // Where a plan for the value is the same, nothing is wrong.
    let same = "select sum(length(note)) from jobs where id = $1";
    let same = user.run(&[&generic[..], &["77", same, url]].concat()).exits(0).json("explain");
    assert_eq!(checks(&same), Vec::<&str>::new(), "{same:#}");
    assert!(notes(&same).contains("a plan for these values is the same"), "{same:#}");
    // Without the word, the note tells what a prepared statement gets; under force_generic_plan it is shown unasked.
    let told =
        user.run(&["explain", "--json", "--analyze", "--param", "77", sql, url]).exits(0).json("explain");
    assert!(notes(&told).contains("get another plan after five executions"), "{told:#}");
    assert!(!told["explain"].to_string().contains("$1"), "{told:#}");
    world
        .sql("do $$ begin execute format('alter database %I set plan_cache_mode = force_generic_plan', current_database()); end $$")
        .await;
    let forced =
        user.run(&["explain", "--json", "--analyze", "--param", "77", sql, url]).exits(0).json("explain");
    assert_eq!(checks(&forced)[0], "generic-plan", "{forced:#}");
    user.run(&["explain", "--param", "1", "--param", "2", sql, url])
        .fails(2)
        .tells("has 1 parameters and not 2");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vacuum_that_makes_a_scan_index_only_is_confirmed_by_the_twin() {
    let world = World::new().await;
    world
        .sql(
            "create table visits (id int, user_id int not null, at timestamptz not null, page text not null)
                 with (autovacuum_enabled = off);
             insert into visits select n, n * 7919 % 5000, '2026-01-01'::timestamptz + n * interval '10 s', repeat('p', 120)
                 from generate_series(1, 100000) n;
             create index visits_user_id_at_idx on visits (user_id, at)",
        )
        .await;
    world.sql("analyze visits").await;
    let user = User::new();
    let url = world.url.as_str();
    let sql = "select count(*), max(at) from visits where user_id between 10 and 400";
    let before = user.run(&["explain", "--json", "--analyze", sql, url]).exits(0).json("explain");
    assert_eq!(checks(&before)[0], "vacuum-for-index-only", "{before:#}");
    let vacuum = remedy(&before, "vacuum");
    assert_eq!(vacuum["sql"][0], "VACUUM public.visits");
    let cost = |key: &str| vacuum["estimate"][key].as_f64().unwrap_or_else(|| panic!("{vacuum:#}"));
    assert!(cost("cost_after") < 0.5 * cost("cost_before"), "{vacuum:#}");
    // A column that the index has not is read from the table after a VACUUM too.
    let other = "select count(*), max(page) from visits where user_id between 10 and 400";
    let other = user.run(&["explain", "--json", "--analyze", other, url]).exits(0).json("explain");
    assert!(!checks(&other).contains(&"vacuum-for-index-only"), "{other:#}");
    world.sql("vacuum visits").await;
    let after = user.run(&["explain", "--json", "--analyze", sql, url]).exits(0).json("explain");
    assert_eq!(checks(&after), Vec::<&str>::new(), "{after:#}");
    assert!(after["explain"].to_string().contains("Index Only Scan"), "{after:#}");
}

/// Ten thousand million comparisons do not end in time; what is wrong is seen all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_does_not_end_in_time_is_judged_by_its_estimates() {
    let world = World::new().await;
    world
        .load(
            "create table a (id int primary key, x int not null);
             insert into a select n, n from generate_series(1, 100000) n;
             create table b (a_id int not null, k int);
             insert into b select n * 7919::bigint % 400000, n from generate_series(1, 300000) n",
        )
        .await;
    let user = User::new();
    let url = world.url.as_str();
    let sql = "select count(*) from a where id not in (select a_id from b)";
    let value =
        user.run(&["explain", "--json", "--analyze", "--timeout", "1s", sql, url]).exits(0).json("explain");
    assert_eq!(value["analyzed"], false);
    assert_eq!(checks(&value)[0], "not-in-blow-up", "{value:#}");
    assert!(notes(&value).contains("did not end within 1 s"), "{value:#}");
    for kind in ["rewrite", "work_mem"] {
        let estimate = &remedy(&value, kind)["estimate"];
        let cost = |key: &str| estimate[key].as_f64().unwrap_or_else(|| panic!("{kind}: {value:#}"));
        assert!(cost("cost_after") < 0.01 * cost("cost_before"), "{kind}: {value:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_memoize_that_rests_on_a_false_number_of_values() {
    let world = World::new().await;
    world
        .load(
            "create table items (id int primary key, name text);
             insert into items select n, 'item ' || n from generate_series(1, 120000) n;
             create table lines (id int primary key, item_id int not null);
             insert into lines select n, 1 + n * 7919::bigint % 120000 from generate_series(1, 100000) n;
             alter table lines alter column item_id set (n_distinct = 100)",
        )
        .await;
    let user = User::new();
    let url = world.url.as_str();
    let sql = "select count(i.name) from lines l join items i on i.id = l.item_id";
    let before = user.run(&["explain", "--json", "--analyze", sql, url]).exits(0).json("explain");
    assert_eq!(checks(&before)[0], "useless-memoize", "{before:#}");
    let first = &before["remedies"][0];
    assert_eq!(first["kind"], "distinct", "{before:#}");
    for statement in first["sql"].as_array().unwrap() {
        world.sql(statement.as_str().unwrap()).await;
    }
    let after = user.run(&["explain", "--json", "--analyze", sql, url]).exits(0).json("explain");
    assert!(!after["explain"].to_string().contains("Memoize"), "{after:#}");
}
