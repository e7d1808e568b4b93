//! Does `rewrite` give texts that return the same rows, say what proves them, and refuse what nothing does?

use serde_json::Value;

use crate::program::{Output, User};
use crate::world::World;

const TABLES: &str = r#"
    create schema "My Schema";
    create table customers (id int primary key, name text not null, referrer_id int references customers);
    insert into customers select g, 'name ' || g, nullif(g % 7, 0) from generate_series(1, 3000) g;
    create table "My Schema"."a""b.c" (
        id bigint primary key, customer_id int not null references customers, "we""ird" int, placed_at timestamp not null);
    insert into "My Schema"."a""b.c"
        select g, 1 + g % 2000, g % 50, '2026-01-01'::timestamp + g * interval '5 minutes' from generate_series(1, 40000) g;
    create index on "My Schema"."a""b.c" (placed_at);
    create index on "My Schema"."a""b.c" (customer_id)"#;

const BY_DAY: &str = r#"select id from "My Schema"."a""b.c" where date(placed_at) = '2026-02-03'"#;
const PER_CUSTOMER: &str = r#"select c.name, (select count(*) from "My Schema"."a""b.c" o where o."we""ird" = c.id) as n from customers c order by n desc, c.name"#;
const REFERRERS: &str = "select name from customers where id not in (select referrer_id from customers)";

async fn world() -> World {
    let world = World::new().await;
    world.load(TABLES).await;
    world.sql("vacuum analyze").await;
    world
}

fn rewrite(user: &User, url: &str, arguments: &[&str]) -> Output {
    user.run(&[&["rewrite"], arguments, &["--url", url]].concat())
}

fn first<'a>(json: &'a Value, rule: &str) -> &'a Value {
    let rewrites = json["statements"][0]["rewrites"].as_array().unwrap();
    let found = rewrites.iter().find(|r| r["rules"][0] == rule);
    found.unwrap_or_else(|| panic!("no {rule} in {json:#}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn rewrites_return_the_same_rows_for_less() {
    let world = world().await;
    let user = User::new();
    let before = world.schema_dump().await;
    for (sql, rule) in [(BY_DAY, "time-range"), (PER_CUSTOMER, "correlated-aggregate")] {
        let json = rewrite(&user, &world.url, &[sql, "--measure", "--json"]).exits(0).json("rewrite");
        let found = first(&json, rule);
        assert_eq!(found["state"], "proved", "{found:#}");
        assert_eq!(found["worth"], "cheaper", "{found:#}");
        let measured = &found["measured"];
        assert!(measured["after_buffers"].as_u64() < measured["before_buffers"].as_u64(), "{measured}");
        let rows = |sql: &str| {
            let sql = format!("select string_agg(t::text, ';' order by t::text) from ({sql}) t");
            let world = &world;
            async move { world.value(&sql).await }
        };
        assert_eq!(rows(sql).await, rows(found["sql"].as_str().unwrap()).await, "{found:#}");
    }
    assert_eq!(world.schema_dump().await, before, "a question changes nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nothing_proves_is_refused_with_the_reason() {
    let world = world().await;
    let user = User::new();
    let json = rewrite(&user, &world.url, &[REFERRERS, "--all", "--json"]).exits(0).json("rewrite");
    let found = first(&json, "not-in");
    assert_eq!(found["state"], "refuted", "{found:#}");
    assert!(found["reasons"][0].as_str().unwrap().contains("customers.referrer_id may be NULL"), "{found:#}");
    assert_eq!(found["recommended"], false);
    let answer = rewrite(&user, &world.url, &[REFERRERS, "--all"]).exits(0);
    assert!(
        answer.stdout.contains("refused, it gives other rows: customers.referrer_id may be NULL"),
        "\n{answer}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_workload_the_most_time_saved_first() {
    let world = world().await;
    let user = User::new();
    world.forget_statements().await;
    world.repeat(PER_CUSTOMER, 3).await;
    world.repeat(BY_DAY, 5).await;
    world.repeat("select name from customers where id = 5", 3).await;
    let answer = rewrite(&user, &world.url, &[]).exits(0);
    for part in [
        "correlated-aggregate: proved",
        "time-range: proved",
        "with nothing to rewrite",
        "\"My Schema\".\"a\"\"b.c\"",
    ] {
        assert!(answer.stdout.contains(part), "stdout lacks {part:?}\n{answer}");
    }
    let json = rewrite(&user, &world.url, &["--json"]).exits(0).json("rewrite");
    let saved: Vec<f64> =
        json["statements"].as_array().unwrap().iter().map(|s| s["saved_ms"].as_f64().unwrap()).collect();
    assert!(saved.is_sorted_by(|a, b| a >= b), "{saved:?}");
    // One statement by its number; from a file, with a snapshot in place of the server.
    let queryid = json["statements"][0]["queryid"].to_string();
    rewrite(&user, &world.url, &[&queryid]).exits(0);
    user.write("slow.sql", format!("{BY_DAY};\n"));
    user.run(&["snapshot", "save", "s.zst", &world.url]).exits(0);
    user.run(&["rewrite", "slow.sql", "--snapshot", "s.zst"]).exits(0).says("time-range: proved");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_rewritten_is_said() {
    let world = world().await;
    let user = User::new();
    let url = world.url.as_str();
    for (text, part) in [
        ("", "there is no statement to rewrite"),
        ("select from\n  where a", "Line 2:\n      where a\n      ^^^^^"),
        ("\\d orders", "\\d orders"),
        ("select 1; select 2", "text holds 2 statements instead of one"),
        ("vacuum", "a utility statement cannot be rewritten"),
        ("12345", "no statement has the queryid 12345"),
        ("select * from nobody", "the statement cannot be planned"),
    ] {
        let answer = rewrite(&user, url, &[text]).exits(2);
        assert!(answer.stderr.contains(part), "stderr lacks {part:?}\n{answer}");
    }
    rewrite(&user, url, &["select * from customers for update"])
        .exits(0)
        .says("not rewritten: it locks rows");
    rewrite(&user, url, &["delete from customers"])
        .exits(0)
        .says("not rewritten: it writes, and no query is a part of it");
    user.run(&["rewrite", "--list"]).exits(0).says("not-in").says("neither side can be NULL");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_report_shows_texts_that_are_proved_and_cheaper() {
    let world = world().await;
    let user = User::new();
    world.forget_statements().await;
    world.repeat(BY_DAY, 20).await;
    world.repeat(REFERRERS, 3).await;
    let report = user.run(&["report", "--url", &world.url]).exits(0);
    for part in ["## Rewrites", ": time-range", "placed_at >= ", "Cost "] {
        assert!(report.stdout.contains(part), "no {part:?} in {report}");
    }
    // Nothing proves that nobody's referrer is NULL, so the report has no other text of it.
    assert!(!report.stdout.contains("NOT EXISTS"), "{report}");
    let json: Value =
        serde_json::from_str(&user.run(&["report", "--format", "json", "--url", &world.url]).exits(0).stdout)
            .unwrap();
    let rewrites = json["rewrites"].as_array().unwrap();
    assert_eq!(rewrites[0]["rewrites"][0]["rules"][0], "time-range", "{json:#}");
    assert_eq!(rewrites[0]["rewrites"][0]["state"], "proved", "{json:#}");
}
