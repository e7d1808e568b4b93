//! What `explain --analyze` prescribes for each kind of cause, with the planner twin's figure where it can have one.

use serde_json::Value;

use crate::program::User;
use crate::world::World;

/// Cities have one country, so two conditions say what one says; a log that grew after ANALYZE; documents; a queue
/// that was updated after VACUUM.
const TABLES: &str = "
    create table places (id int primary key, city text not null, country text not null, note text not null);
    insert into places select n, 'city ' || n % 300, 'country ' || n % 300 % 30, repeat('x', 60) from generate_series(1, 60000) n;
    create index places_city on places (city);
    create table visits (place_id int not null, at timestamptz not null, seconds int not null);
    insert into visits select 1 + (n::bigint * 7919) % 60000, '2026-01-01'::timestamptz + n * interval '2 minutes', n % 600
        from generate_series(1, 120000) n;
    create index visits_place on visits (place_id);
    create table grown (id int primary key, state text not null);
    insert into grown select n, 'old' from generate_series(1, 2000) n;
    create table queue (id int primary key, state int not null) with (autovacuum_enabled = off);
    insert into queue select n, n % 9 from generate_series(1, 40000) n;
    create table owners (id int primary key, vip bool not null);
    insert into owners select n, n <= 20 from generate_series(1, 4000) n;
    create table orders (id int primary key, owner_id int not null);
    insert into orders select n, case when n % 2 = 0 then 1 + n % 20 else 21 + n % 3980 end from generate_series(1, 80000) n;";

async fn world() -> World {
    let world = World::new().await;
    world.load(TABLES).await;
    // What a session inserted it reports up to a second later.
    world.wait_until("select n_tup_ins > 0 from pg_stat_user_tables where relname = 'orders'").await;
    world.sql("analyze").await;
    world
}

fn explained(user: &User, world: &World, statement: &str) -> Value {
    user.run(&["explain", "--analyze", "--json", statement, &world.url]).exits(0).json("explain")
}

/// The remedy for a check.
#[track_caller]
fn remedy<'v>(value: &'v Value, check: &str) -> &'v Value {
    let all = value["remedies"].as_array().unwrap();
    let mends = |r: &&Value| r["resolves"].to_string().contains(&format!("\"{check}:"));
    all.iter()
        .find(mends)
        .unwrap_or_else(|| panic!("{check}: {:#} {:#}", value["findings"], value["remedies"]))
}

#[track_caller]
fn has_figure(remedy: &Value) {
    let (before, after) = (&remedy["estimate"]["cost_before"], &remedy["estimate"]["cost_after"]);
    assert!(before.is_number() && after.is_number(), "{remedy:#}");
    assert_eq!(remedy["estimate"]["by"], "planner twin");
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_that_depend_on_each_other_get_extended_statistics() {
    let (world, user) = (world().await, User::new());
    let statement = "select count(*), sum(seconds) from places p join visits v on v.place_id = p.id \
                     where p.city = 'city 7' and p.country = 'country 7'";
    let value = explained(&user, &world, statement);
    let found = remedy(&value, "row-misestimate");
    assert_eq!(found["kind"], "statistics", "{found:#}");
    let (title, sql) = (found["title"].as_str().unwrap(), found["sql"][0].as_str().unwrap());
    assert!(sql.starts_with("CREATE STATISTICS public.places_city_country_stat ("), "{found:#}");
    assert!(title.contains("takes for independent of each other: city =, country ="), "{title}");
    assert!(title.contains("On a planner twin that holds them"), "{title}");
    has_figure(found);
    assert_eq!(found["estimate"]["rests_on_other_rows"], true);
    // The same for a person, and on the page.
    let page = ["explain", "--analyze", statement, &world.url, "--html", "plan.html"];
    user.run(&page).exits(0).tells("wrote plan.html");
    let page = std::fs::read_to_string(user.file("plan.html")).unwrap();
    assert!(page.contains("CREATE STATISTICS public.places_city_country_stat"), "{page}");
    assert!(page.contains("no measure of a gain"), "{page}");
    // Without rows it stays a guess and says so.
    user.run(&["explain", "--analyze", "--no-sample", statement, &world.url])
        .exits(0)
        .says("should ANALYZE alone not help; \"pgwright statistics\" tries that on a sample");
}

#[tokio::test(flavor = "multi_thread")]
async fn expressions_and_groups_get_statistics_of_their_own() {
    let (world, user) = (world().await, User::new());
    for (statement, expected) in [
        ("select date_trunc('day', at), count(*) from visits group by 1", "date_trunc('day'"),
        ("select city, country, count(*) from places group by city, country", "(ndistinct) ON city, country"),
        ("select * from places where upper(note) = 'NOTHING' or upper(city) = 'CITY 7'", ""),
    ] {
        let value = explained(&user, &world, statement);
        if expected.is_empty() {
            // Of conditions under OR nothing is tried, and nothing promised.
            assert!(!value["remedies"].to_string().contains("recommendation "), "{statement}: {value:#}");
            continue;
        }
        let found = remedy(&value, "row-misestimate");
        assert!(found["sql"][0].as_str().unwrap().contains(expected), "{statement}: {found:#}");
        assert!(found["title"].as_str().unwrap().contains("(recommendation "), "{statement}: {found:#}");
        has_figure(found);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_join_no_statistics_are_promised() {
    let (world, user) = (world().await, User::new());
    // Twenty owners of four thousand have half of the orders: each side is estimated well, the join is not.
    let statement = "select count(*) from owners o join orders r on r.owner_id = o.id where o.vip";
    let value = explained(&user, &world, statement);
    let found = remedy(&value, "row-misestimate");
    let title = found["title"].as_str().unwrap();
    assert!(title.starts_with("no statistics mend it for sure"), "{title}");
    assert!(title.contains("owners") && title.contains("orders"), "{title}");
    assert_eq!(found["sql"], serde_json::json!([]));
    world.repeat(statement, 5).await;
    let advised = user.run(&["statistics", &world.url, "--json"]).exits(0).json("statistics");
    let recommended = advised["statistics"]["recommendations"].to_string();
    assert!(!recommended.contains("CREATE STATISTICS"), "{recommended}");
}

#[tokio::test(flavor = "multi_thread")]
async fn statistics_of_another_time_get_an_analyze_and_pages_a_vacuum() {
    let (world, user) = (world().await, User::new());
    world.sql("insert into grown select n, 'new' from generate_series(2001, 40000) n").await;
    world
        .wait_until("select n_mod_since_analyze > 30000 from pg_stat_user_tables where relname = 'grown'")
        .await;
    let value = explained(&user, &world, "select * from grown where state = 'new'");
    let found = remedy(&value, "stale-statistics");
    assert_eq!(found["sql"], serde_json::json!(["ANALYZE public.grown"]), "{found:#}");
    // A consequence is no cause of its own.
    assert!(!value["findings"].to_string().contains("\"row-misestimate\""), "{value:#}");
    // Little changed, but it is just what is asked for.
    world.sql("insert into queue select n, 99 from generate_series(40001, 42500) n").await;
    world
        .wait_until("select n_mod_since_analyze between 2500 and 3000 from pg_stat_user_tables where relname = 'queue'")
        .await;
    let value = explained(&user, &world, "select * from queue where state = 99");
    let found = remedy(&value, "stale-statistics");
    assert_eq!(found["sql"], serde_json::json!(["ANALYZE public.queue"]), "{found:#}");
    assert!(
        value["findings"]
            .to_string()
            .contains("queue has rows with state = '99' that its statistics do not know"),
        "{value:#}"
    );

    world.sql("vacuum (analyze) queue").await;
    world.sql("update queue set state = state + 1 where id % 3 = 0").await;
    let value = explained(&user, &world, "select count(id) from queue where id between 100 and 20000");
    let found = remedy(&value, "heap-fetches");
    assert_eq!(found["sql"], serde_json::json!(["VACUUM public.queue"]), "{found:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_spills_gets_memory_and_what_is_written_badly_another_text() {
    let (world, user) = (world().await, User::new());
    world.sql(&format!("alter database \"{}\" set work_mem = '64kB'", world.name)).await;
    let value = explained(&user, &world, "select * from places order by note, city, id");
    let found = remedy(&value, "sort-on-disk");
    assert_eq!(found["kind"], "work_mem", "{found:#}");
    assert!(found["sql"][0].as_str().unwrap().starts_with("SET work_mem = '"), "{found:#}");
    has_figure(found);

    let slow = "select p.id, (select max(v.seconds) from visits v where v.place_id = p.id) from places p where p.id <= 5000";
    let value = explained(&user, &world, slow);
    let found = remedy(&value, "correlated-subplan");
    assert_eq!(found["kind"], "rewrite", "{found:#}");
    assert!(found["title"].as_str().unwrap().contains("pgwright rewrite"), "{found:#}");

    let value = explained(&user, &world, "select * from places where note = 'nothing'");
    let found = remedy(&value, "seq-scan-reads-too-much");
    assert!(found["sql"][0].as_str().unwrap().starts_with("CREATE INDEX CONCURRENTLY"), "{found:#}");
    has_figure(found);
}

/// What keeps an index from being used is named with that index, and mended by another text or by an index of its own,
/// whose cost is near that of the index really built.
#[tokio::test(flavor = "multi_thread")]
async fn calculations_around_a_column_get_another_text_or_an_index() {
    let (world, user) = (World::new().await, User::new());
    world
        .load(
            "create table calls (id int primary key, at timestamptz not null, doc jsonb not null);
             insert into calls select n, now() - n * interval '1 minute', jsonb_build_object('kind', 'k' || n % 2000, 'n', n)
                 from generate_series(1, 80000) n;
             create index calls_at on calls (at); analyze calls;",
        )
        .await;
    for (statement, sql) in [
        ("select * from calls where id + 1 = 78", "id = 77"),
        (
            "select count(*) from calls where now() - at < interval '1 hour'",
            "at > now() - '1 hour'::interval",
        ),
    ] {
        let value = explained(&user, &world, statement);
        let found = remedy(&value, "arithmetic-blocks-index");
        assert!(found["sql"][0].as_str().unwrap().contains(sql), "{found:#}");
        has_figure(found);
        let index = if statement.contains("now()") { "calls_at" } else { "calls_pkey" };
        assert!(value["findings"].to_string().contains(index), "{:#}", value["findings"]);
    }
    // Forty rows have a value, of which the statistics of the column show one at most.
    let statement = "select * from calls where doc ->> 'kind' = 'k77'";
    let value = explained(&user, &world, statement);
    let found = remedy(&value, "operator-blocks-index");
    assert!(found["sql"][0].as_str().unwrap().contains("((doc ->> 'kind'))"), "{found:#}");
    let promised = found["estimate"]["cost_after"].as_f64().unwrap();
    world.load("create index calls_kind on calls ((doc ->> 'kind')); analyze calls;").await;
    let plan = user.run(&["explain", "--json", statement, &world.url]).exits(0).json("explain");
    let built = plan["explain"]["Plan"]["Total Cost"].as_f64().unwrap_or_else(|| panic!("{plan:#}"));
    assert!((0.5..2.0).contains(&(promised / built)), "promised {promised}, with the index {built}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_keeps_indexes_from_use_is_said_first() {
    let (world, user) = (world().await, User::new());
    // No index serves it as things are, and why.
    let value = explained(&user, &world, "select id from places where note like '%zz%'");
    let found = remedy(&value, "seq-scan-reads-too-much");
    assert_eq!(
        found["title"],
        "an index that finds parts of public.places.note needs the extension pg_trgm, which is not installed"
    );
    // An index of which the statistics know nothing is used for what has become a large part of the table.
    world.sql("create index grown_state on grown (state)").await;
    world.sql("insert into grown select n, 'new' from generate_series(2001, 40000) n").await;
    world
        .wait_until("select n_mod_since_analyze > 30000 from pg_stat_user_tables where relname = 'grown'")
        .await;
    let value = explained(&user, &world, "select * from grown where state = 'new' and id % 100 = 1");
    assert_eq!(value["findings"][0]["check"], "stale-statistics", "{:#}", value["findings"]);
    // Somebody switched indexes off.
    world
        .sql(
            "do $$ begin execute format('alter database %I set enable_indexscan = off', current_database());
             execute format('alter database %I set enable_bitmapscan = off', current_database()); end $$",
        )
        .await;
    let value = explained(&user, &world, "select * from places where id = 77");
    let first = &value["findings"][0];
    assert_eq!(first["check"], "disabled-node", "{:#}", value["findings"]);
    assert_eq!(
        first["summary"],
        "places was read in whole while enable_bitmapscan, enable_indexscan are off"
    );
    let found = remedy(&value, "disabled-node");
    let switched_on = serde_json::json!(["SET enable_bitmapscan = 'on'", "SET enable_indexscan = 'on'"]);
    assert_eq!(found["sql"], switched_on, "{found:#}");
    has_figure(found);
    let estimate = &found["estimate"];
    assert!(estimate["cost_after"].as_f64() < estimate["cost_before"].as_f64(), "{found:#}");
}
