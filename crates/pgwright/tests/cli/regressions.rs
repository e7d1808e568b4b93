//! Does `check` find every regression and say what it is, and does it say nothing when nothing happened?

use serde_json::Value;

use crate::program::User;
use crate::world::World;

const TABLES: &str = "
    create table customers (id int primary key, region int not null, name text not null);
    insert into customers select n, n % 20, 'customer ' || n from generate_series(1, 20000) n;
    create table orders (id int primary key, customer_id int not null, placed_at timestamptz not null, total int not null,
        note text not null) with (autovacuum_enabled = off);
    insert into orders select n, 1 + n % 2000, '2026-01-01'::timestamptz + n * interval '1 minute', n % 997,
        repeat('x', 60) from generate_series(1, 40000) n;
    create index orders_customer_id_idx on orders (customer_id);
    create index orders_placed_at_idx on orders (placed_at);
    create table events (at date not null, kind int not null, note text) partition by range (at);
    create table events_1 partition of events for values from ('2026-01-01') to ('2026-02-01');
    create table events_2 partition of events for values from ('2026-02-01') to ('2026-03-01');
    create table events_3 partition of events for values from ('2026-03-01') to ('2026-04-01');
    create table events_4 partition of events for values from ('2026-04-01') to ('2026-05-01');
    insert into events select '2026-01-01'::date + n % 120, n % 7, repeat('y', 40) from generate_series(1, 20000) n";

const QUERIES: &str = "\
-- name: orders of a customer
select * from orders where customer_id = 77;
-- name: orders of a day
select count(*), sum(total) from orders where placed_at >= '2026-01-10' and placed_at < '2026-01-11';
-- name: totals by region
select c.region, sum(o.total) from orders o join customers c on c.id = o.customer_id group by c.region order by 1;
-- name: dearest orders
select id, note, total from orders order by total desc, id limit 20;
-- name: sorted notes
select note, id from orders order by note, id desc;
-- name: order numbers
select count(*) from orders where customer_id between 10 and 400;
-- name: events of a month
select count(*) from events where at >= '2026-02-01' and at < '2026-03-01';
-- name: busiest customers
select c.name, count(*) from customers c join orders o on o.customer_id = c.id where c.region = 3 group by c.name
    order by 2 desc, 1 limit 5;
-- name: customer by number
select name from customers where id = 1234;
-- name: customers without orders
select count(*) from customers c where not exists (select from orders o where o.customer_id = c.id);
";

struct Shop {
    world: World,
    user: User,
}

/// Statistics and visibility as they are when nothing has happened for a while.
async fn settle(world: &World) {
    for table in ["customers", "orders", "events"] {
        world.sql(&format!("vacuum (analyze, freeze) {table}")).await;
    }
    // A session that looked on keeps rows from being visible to all.
    let visible = "select bool_and(relallvisible = relpages) from pg_class where relname in ('customers', 'orders', 'events_1')";
    for _ in 0..50 {
        if world.value(visible).await == "true" {
            return;
        }
        world.sql("vacuum (freeze) customers").await;
        world.sql("vacuum (freeze) orders").await;
        world.sql("vacuum (freeze) events").await;
    }
    panic!("{}", world.value("select string_agg(relname || ' ' || relallvisible || ' ' || relpages, ', ') from pg_class where relname in ('customers', 'orders', 'events_1')").await);
}

impl Shop {
    /// A database with a baseline in a file.
    async fn new() -> Self {
        let world = World::new().await;
        world.load(TABLES).await;
        settle(&world).await;
        let user = User::new();
        user.write("queries.sql", QUERIES);
        let shop = Self { world, user };
        shop.store("base.json");
        shop
    }

    fn store(&self, file: &str) {
        self.user
            .run(&[
                "baseline",
                "save",
                "base",
                "--measure",
                "--queries",
                "queries.sql",
                "--out",
                file,
                &self.world.url,
            ])
            .exits(0)
            .says("10 statements measured");
    }

    /// What a check of now says, and its exit code.
    fn check(&self, url: &str) -> (Value, i32) {
        let output =
            self.user.run(&["check", "base.json", "--queries", "queries.sql", "--json", "--quiet", url]);
        let code = output.code.unwrap();
        (output.json("check"), code)
    }

    /// Asserts that the check fails, for this statement, with a cause of this kind.
    #[track_caller]
    fn finds(&self, what: &str, statement: &str, kind: &str) {
        self.finds_at(&self.world.url, what, statement, kind);
    }

    #[track_caller]
    fn finds_at(&self, url: &str, what: &str, statement: &str, kind: &str) {
        let (value, code) = self.check(url);
        assert_eq!(code, 1, "{what} was not found: {value:#}");
        let outcome = value["outcomes"].as_array().unwrap().iter().find(|o| o["name"] == statement).unwrap();
        assert!(matches!(outcome["verdict"].as_str(), Some("worse" | "fails")), "{what}: {outcome:#}");
        if kind.is_empty() {
            return;
        }
        let causes: Vec<&str> =
            outcome["causes"].as_array().unwrap().iter().filter_map(|c| c["kind"].as_str()).collect();
        assert!(causes.contains(&kind), "{what}: no cause {kind} in {outcome:#}");
        assert!(
            outcome["causes"].as_array().unwrap().iter().all(|c| !c["undo"].as_str().unwrap().is_empty())
        );
    }

    #[track_caller]
    fn finds_nothing(&self) {
        let (value, code) = self.check(&self.world.url);
        assert_eq!(code, 0, "{value:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_happened_a_hundred_times() {
    let shop = Shop::new().await;
    // Ten statements ten times: a hundred comparisons of two runs each.
    for _ in 0..10 {
        let (value, code) = shop.check(&shop.world.url);
        assert_eq!(code, 0, "{value:#}");
        for outcome in value["outcomes"].as_array().unwrap() {
            assert_eq!(outcome["verdict"], "same", "{outcome:#}");
        }
    }
    // Nor when statistics were collected again, or counters reset.
    shop.world.sql("analyze").await;
    shop.finds_nothing();
}

#[tokio::test(flavor = "multi_thread")]
async fn injected_regressions_of_schema_and_settings_are_found_and_explained() {
    let shop = Shop::new().await;
    let world = &shop.world;
    let with = |options: &str| {
        format!("{}{}options={options}", world.url, if world.url.contains('?') { "&" } else { "?" })
    };
    // 1, 2: a dropped index, for a look-up and for a range.
    world.sql("drop index orders_customer_id_idx").await;
    shop.finds("a dropped index", "orders of a customer", "index_gone");
    world.sql("create index orders_customer_id_idx on orders (customer_id)").await;
    world.sql("drop index orders_placed_at_idx").await;
    shop.finds("a dropped index", "orders of a day", "index_gone");
    // 3: an index that is no longer valid for the look-up.
    world
        .sql(
            "create index orders_placed_at_idx on orders ((date_trunc('day', placed_at at time zone 'UTC')))",
        )
        .await;
    shop.finds("an index on another expression", "orders of a day", "index_gone");
    world
        .sql("drop index orders_placed_at_idx; create index orders_placed_at_idx on orders (placed_at)")
        .await;
    // 4: a primary key that was dropped.
    world.sql("alter table customers drop constraint customers_pkey").await;
    shop.finds("a dropped primary key", "customer by number", "index_gone");
    world.sql("alter table customers add primary key (id)").await;
    settle(world).await;
    shop.finds_nothing();
    // 5: an index that a failed build left invalid.
    world
        .sql("update pg_index set indisvalid = false where indexrelid = 'orders_customer_id_idx'::regclass")
        .await;
    shop.finds("an invalid index", "orders of a customer", "index_gone");
    world
        .sql("update pg_index set indisvalid = true where indexrelid = 'orders_customer_id_idx'::regclass")
        .await;
    // 6 to 11: settings.
    for (setting, statement) in [
        ("-c%20work_mem%3D64kB", "sorted notes"),
        ("-c%20enable_indexscan%3Doff%20-c%20enable_bitmapscan%3Doff", "orders of a customer"),
        (
            "-c%20enable_indexscan%3Doff%20-c%20enable_bitmapscan%3Doff%20-c%20enable_indexonlyscan%3Doff",
            "customer by number",
        ),
        (
            "-c%20enable_hashjoin%3Doff%20-c%20enable_mergejoin%3Doff%20-c%20enable_memoize%3Doff%20-c%20enable_material%3Doff",
            "totals by region",
        ),
        ("-c%20enable_partition_pruning%3Doff%20-c%20constraint_exclusion%3Doff", "events of a month"),
        ("-c%20random_page_cost%3D1000000", "orders of a customer"),
    ] {
        shop.finds_at(&with(setting), setting, statement, "setting_changed");
    }
    // 12: a partition's bounds that no longer help.
    shop.finds_at(
        &with("-c%20enable_partition_pruning%3Doff%20-c%20constraint_exclusion%3Doff"),
        "lost pruning",
        "events of a month",
        "pruning_lost",
    );
    // 13: a column that is gone.
    world.sql("alter table customers rename column name to full_name").await;
    shop.finds("a renamed column", "customer by number", "");
    world.sql("alter table customers rename column full_name to name").await;
    shop.finds_nothing();
}

#[tokio::test(flavor = "multi_thread")]
async fn injected_regressions_of_data_and_statements_are_found_and_explained() {
    let shop = Shop::new().await;
    let world = &shop.world;
    // 14: a worse way to write the statement.
    let worse = QUERIES.replace(
        "where placed_at >= '2026-01-10' and placed_at < '2026-01-11'",
        "where placed_at::date = '2026-01-10'",
    );
    shop.user.write("queries.sql", &worse);
    shop.finds("a worse statement", "orders of a day", "statement_changed");
    // 15: a condition that lost its partition key.
    let worse = QUERIES.replace(
        "where at >= '2026-02-01' and at < '2026-03-01'",
        "where to_char(at, 'YYYY-MM') = '2026-02'",
    );
    shop.user.write("queries.sql", &worse);
    shop.finds("a function around the partition key", "events of a month", "pruning_lost");
    // 16: a result that nobody bounds any more.
    shop.user
        .write("queries.sql", QUERIES.replace("order by total desc, id limit 20", "order by total desc, id"));
    shop.finds("a lost LIMIT", "dearest orders", "statement_changed");
    shop.user.write("queries.sql", QUERIES);
    shop.finds_nothing();
    // 17: rows updated since VACUUM: an index-only scan has to visit the table.
    world.sql("update orders set total = total where customer_id between 10 and 400").await;
    shop.finds("a visibility map out of date", "order numbers", "not_vacuumed");
    settle(world).await;
    // 18: bloat.
    world.sql("update orders set total = total; update orders set total = total; update orders set total = total").await;
    world.sql("vacuum (analyze, freeze) orders").await;
    shop.finds("bloat", "dearest orders", "bloat");
    world.sql("vacuum (full, freeze) orders").await;
    settle(world).await;
    shop.finds_nothing();
    // 19: more rows, analyzed.
    world
        .sql("insert into orders select n, 1 + n % 2000, '2026-01-01'::timestamptz + n * interval '1 minute', n % 997, repeat('x', 60) \
              from generate_series(40001, 80000) n")
        .await;
    world.sql("vacuum (analyze, freeze) orders").await;
    shop.finds("more rows", "totals by region", "more_rows");
    world.sql("delete from orders where id > 40000").await;
    world.sql("vacuum (full, freeze) orders").await;
    settle(world).await;
    // 20: statistics of before a bulk load.
    world
        .sql("insert into orders select n, 77, '2026-01-01'::timestamptz + n * interval '1 minute', n % 997, repeat('x', 60) \
              from generate_series(100001, 130000) n")
        .await;
    // Counters arrive with a delay.
    world
        .wait_until("select n_mod_since_analyze > 10000 from pg_stat_user_tables where relname = 'orders'")
        .await;
    shop.finds("stale statistics", "orders of a customer", "statistics_stale");
    world.sql("vacuum (analyze, freeze) orders").await;
    shop.finds("more rows of one customer", "orders of a customer", "more_rows");
}

#[tokio::test(flavor = "multi_thread")]
async fn outputs_of_a_check() {
    let shop = Shop::new().await;
    let url = shop.world.url.as_str();
    shop.world.sql("drop index orders_customer_id_idx").await;
    let output = shop
        .user
        .run(&["check", "base.json", "--junit", "check.xml", url])
        .exits(1)
        .says("worse    orders of a customer")
        .says("cause: index public.orders_customer_id_idx, which the plan used, is gone or no longer valid")
        .says("undo:  CREATE INDEX orders_customer_id_idx ON public.orders USING btree (customer_id)")
        .tells("wrote check.xml");
    assert!(output.stdout.contains("plan:  orders: "), "{output}");
    let xml = std::fs::read_to_string(shop.user.file("check.xml")).unwrap();
    assert!(
        xml.starts_with("<?xml")
            && xml.contains("<testcase classname=\"pgwright.check\" name=\"orders of a customer\">"),
        "{xml}"
    );
    assert!(xml.contains("<failure message=\"touches ") && xml.matches("<testcase").count() == 10, "{xml}");
    // The same against a database that has the index, measured by turns.
    let other = World::new().await;
    other.load(TABLES).await;
    settle(&other).await;
    shop.user
        .run(&["check", "--before", &other.url, "--queries", "queries.sql", "--runs", "5", url])
        .exits(1)
        .says("worse    orders of a customer")
        .says("index public.orders_customer_id_idx");
    shop.user.run(&["check", "--before", &other.url, "--queries", "queries.sql", &other.url]).exits(0);
    // Statements that only one side has are told; one that fails on both sides fails.
    shop.user.write(
        "other.sql",
        "-- name: customer by number\nselect name from customers where id = 1234;\n-- name: fresh\nselect 1",
    );
    shop.user
        .run(&["check", "base.json", "--queries", "other.sql", url])
        .exits(0)
        .tells("fresh is not in the baseline")
        .tells("totals by region is in the baseline and not in the file");
    shop.user.write("fails.sql", "-- name: nowhere\nselect * from nowhere");
    shop.user
        .run(&["check", "--before", &other.url, "--queries", "fails.sql", url])
        .exits(1)
        .says("fails    nowhere")
        .says("relation \"nowhere\" does not exist");
    // In the database itself, and what cannot be used.
    shop.user.run(&["baseline", "save", "kept", "--measure", "--queries", "queries.sql", url]).exits(0);
    shop.user.run(&["check", "kept", url]).exits(0).says("0 worse");
    shop.user.run(&["check", url]).exits(0);
    shop.user.run(&["check", "nope", url]).fails(2);
    shop.user.write("letter.json", "{\"dear\": 1");
    shop.user.run(&["check", "letter.json", url]).fails(2);
    shop.user.write("bad.sql", "select 1;\nselekt 2;");
    let error = shop.user.run(&["check", "base.json", "--queries", "bad.sql", url]).fails(2);
    assert!(error.error().contains("bad.sql: syntax error at or near \"selekt\" in line 2"), "{error}");
}

/// What writes is planned and never run.
#[tokio::test(flavor = "multi_thread")]
async fn statements_that_write_are_planned_only() {
    let shop = Shop::new().await;
    let url = shop.world.url.as_str();
    shop.user.write(
        "writes.sql",
        "-- name: gone\ndelete from orders where customer_id = 5;\n-- name: next\nselect nextval('s');\n-- name: read\nselect 1",
    );
    shop.world.sql("create sequence s").await;
    shop.user
        .run(&["baseline", "save", "--measure", "--queries", "writes.sql", "--out", "writes.json", url])
        .exits(0)
        .tells("gone was planned and not run: it deletes rows")
        .tells("next was planned and not run: it calls nextval");
    shop.world.sql("drop index orders_customer_id_idx").await;
    shop.user.run(&["check", "writes.json", url]).exits(1).says("worse    gone").says("is planned at cost");
    assert_eq!(shop.world.value("select count(*) from orders").await, "40000");
    assert_eq!(shop.world.value("select is_called from s").await, "false");
}
