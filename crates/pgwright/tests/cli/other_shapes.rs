//! Does everything work on databases of other shapes than the demo's? Nothing may crash, and nothing may
//! be recommended that is nonsense: what is recommended can be applied, is used, and can be undone.

use crate::program::{Output, User};
use crate::world::World;

/// Every command that reads, on a database that may be of any shape.
fn read_everything(user: &User, url: &str) {
    user.run(&["doctor", url]).exits(0);
    user.run(&["profile", url]).exits(0);
    user.run(&["snapshot", "save", "s.zst", url]).exits(0);
    user.run(&["report", url]).exits(0);
    user.run(&["report", "--no-advice", "--format", "html", "--snapshot", "s.zst"]).exits(0);
    user.run(&["baseline", "save", "x", url]).exits(0);
    user.run(&["baseline", "compare", url]).exits(0);
}

/// Advice, which is then applied and taken back; gives what was advised.
async fn advise_and_apply(user: &User, world: &World) -> Output {
    let url = world.url.as_str();
    let before = world.schema_dump().await;
    let advice = user.run(&["advise", "--rejected", "--plans", url]).exits(0);
    let given = user.run(&["advise", "--json", url]).exits(0).json("advise");
    let count = given["advice"]["recommendations"].as_array().unwrap().len();
    user.run(&["apply", url]).exits(0);
    user.run(&["apply", "--execute", url]).exits(0);
    // The same advice is not given twice.
    let again = user.run(&["advise", url]).exits(0);
    assert!(!again.stdout.contains("CREATE INDEX"), "\nfirst {advice}\nthen {again}");
    for _ in 0..count {
        let undo = user.run(&["undo", "--execute", url]);
        if undo.code != Some(0) {
            undo.fails(2).tells("journal has no change to undo");
        }
    }
    assert_eq!(world.schema_dump().await, before, "\n{advice}");
    advice
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_database() {
    let world = World::new().await;
    world.forget_statements().await;
    let user = User::new();
    let url = world.url.as_str();
    read_everything(&user, url);
    let advice = user.run(&["advise", url]);
    assert!(!advice.stdout.contains("CREATE INDEX"), "\n{advice}");
    // The journal's tables, which the baseline brought, are nobody's slow statements.
    let profile = user.run(&["profile", url]).exits(0);
    assert!(!profile.stdout.contains("pgwright."), "\n{profile}");
    user.run(&["explain", "select 1", url]).exits(0).says("Result");
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_and_materialized_views() {
    let world = World::new().await;
    world
        .load(
            "create table events (id bigint not null, at timestamptz not null, device int not null, kind text not null, \
               primary key (id, at, kind)) partition by range (at); \
             create table events_2025 partition of events for values from ('2025-01-01') to ('2026-01-01'); \
             create table events_2026 partition of events for values from ('2026-01-01') to ('2027-01-01') \
               partition by list (kind); \
             create table events_2026_a partition of events_2026 for values in ('a'); \
             create table events_2026_rest partition of events_2026 default; \
             insert into events select g, '2025-01-01'::timestamptz + g * interval '9 minutes', g % 3000, \
               case when g % 3 = 0 then 'a' else 'b' end from generate_series(1, 90000) g; \
             create materialized view per_device as \
               select id % 40000 as slot, device, count(*) as n from events group by 1, 2; \
             create view recent as select * from events where at > '2026-01-01'; \
             create table parent (id int primary key); \
             create table child () inherits (parent)",
        )
        .await;
    world.repeat("select * from events where device = 17", 20).await;
    world.repeat("select * from recent where device = 23 and kind = 'a'", 20).await;
    world.repeat("select * from per_device where slot = 5", 20).await;
    world.repeat("select count(*) from parent", 5).await;
    let user = User::new();
    read_everything(&user, &world.url);
    let advice = advise_and_apply(&user, &world).await;
    // CREATE INDEX CONCURRENTLY is not possible on a partitioned table.
    assert!(!advice.stdout.contains("CONCURRENTLY events_device_idx ON public.events "), "\n{advice}");
    let matview =
        advice.stdout.lines().find(|l| l.contains("CREATE INDEX CONCURRENTLY") && l.contains("per_device"));
    assert!(matview.is_some_and(|l| l.contains("(slot)")), "\n{advice}");
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_keys_without_an_index() {
    let world = World::new().await;
    world
        .load(
            "create table customers (id int primary key, name text); \
             create table orders (id int primary key, customer int not null references customers on delete cascade, \
               total numeric); \
             insert into customers select g, 'c' || g from generate_series(1, 5000) g; \
             insert into orders select g, g % 4000 + 1, g from generate_series(1, 80000) g",
        )
        .await;
    for id in 4500..4530 {
        world.sql(&format!("delete from customers where id = {id}")).await;
    }
    let user = User::new();
    read_everything(&user, &world.url);
    let advice = advise_and_apply(&user, &world).await;
    assert!(advice.stdout.contains("ON public.orders USING btree (customer)"), "\n{advice}");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_tables_and_rare_objects() {
    let world = World::new().await;
    world
        .load(
            r#"do $$ begin for n in 1..150 loop
                 execute format('create table many_%s (id int primary key, a int, b text)', n);
               end loop; end $$;
               create type mood as enum ('sad', 'happy'); create domain positive as int check (value > 0);
               create type pair as (a int, b int);
               create collation "Folded" (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
               create function upper_name(text) returns text immutable language sql as 'select upper($1)';
               create function noise(int) returns int volatile language plpgsql as 'begin return $1; end';
               create table rare (
                 id int generated by default as identity primary key, m mood default 'happy', p positive default 1, q pair,
                 j jsonb default '{}', a int[] default '{1,2}', r int4range, t tsvector, n text collate "Folded", u uuid,
                 doubled int generated always as (p * 2) stored, during tstzrange, x xml, i inet, b bytea,
                 exclude using gist (during with &&), check (id > 0));
               insert into rare (p, j, a, r, t, n, u, i)
                 select g, jsonb_build_object('k', g % 2000), array[g % 50, g % 70], int4range(g, g + 5),
                   to_tsvector('simple', 'word' || g % 900), 'Name ' || g % 5000, gen_random_uuid(), '10.0.0.1'
                 from generate_series(1, 60000) g;
               create unlogged table fast (id int); create table toast_me (t text);
               create index on rare (upper_name(n)); create index partial on rare (p) where m = 'sad';
               create index on rare using gin (j); create index dup1 on rare (u); create index dup2 on rare (u);
               create table quiet (like rare including all);
               create rule keep as on delete to fast do instead nothing;
               create function touched() returns trigger language plpgsql as 'begin return new; end';
               create trigger touch before update on rare for each row execute function touched();
               alter table rare enable row level security; create policy all_of_it on rare using (true);
               create statistics stats_mp on m, p from rare;
               create foreign data wrapper nowhere; create server nowhere foreign data wrapper nowhere;
               create foreign table far (id int) server nowhere;
               create publication pub for table rare;
               create function et() returns event_trigger language plpgsql as 'begin end';
               create event trigger et on ddl_command_end execute function et()"#,
        )
        .await;
    for statement in [
        "select * from rare where j @> '{\"k\": 7}'",
        "select * from rare where j ->> 'k' = '9'",
        "select * from rare where a && array[3]",
        "select * from rare where r @> 77",
        "select * from rare where t @@ to_tsquery('simple', 'word8')",
        "select * from rare where n = 'NAME 17'",
        "select * from rare where upper_name(n) = 'NAME 5'",
        "select * from rare where doubled = 400",
        "select * from rare where p = 12 or doubled = 14",
        "select * from rare where n like 'Name 1%' collate \"C\"",
        "select * from rare where i << '10.0.0.0/8' and p = 3",
        "select * from rare where noise(p) = 4",
        "select * from rare where (q).a = 4",
        "select * from rare tablesample system (1)",
        "select * from rare where p in (1, 2, 3, 4, 5, 6, 7, 8) order by doubled limit 3",
        "with recursive r as (select 1 as n union all select n + 1 from r where n < 10) select * from rare join r on rare.p = r.n",
        "select m, count(*) from rare group by grouping sets ((m), ()) having count(*) > 1",
        "select distinct on (m) * from rare order by m, p desc",
        "select p, lag(p) over (partition by m order by p) from rare limit 5",
        "select * from rare where ctid = '(0,1)'",
        "select * from generate_series(1, 5) g, lateral (select * from rare where rare.p = g limit 1) l",
        "update rare set p = p + 1 where doubled = 12",
        "insert into rare (p) values (1) on conflict (id) do update set p = excluded.p",
        "select * from many_1 join many_2 using (id) join many_3 using (id)",
        "select xmin, * from rare where u = '00000000-0000-0000-0000-000000000000'",
        "values (1), (2)",
        "table many_7",
        "begin; declare c cursor for select * from rare; fetch 2 from c; commit",
        "prepare p as select * from rare where p = $1; execute p(3); deallocate p",
        "create temp table scratch as select 1 as a; select * from scratch; drop table scratch",
        "copy (select 1) to stdout",
    ] {
        for _ in 0..6 {
            // COPY TO STDOUT is refused by this kind of call after it was counted.
            let _ = world.client.batch_execute(statement).await;
        }
    }
    let user = User::new();
    read_everything(&user, &world.url);
    let advice = advise_and_apply(&user, &world).await;
    // One of two equal indexes can go. A constraint's index stays, and a partial one, which finds its few
    // rows among themselves.
    let drops: Vec<&str> =
        advice.stdout.lines().map(str::trim).filter(|l| l.starts_with("DROP INDEX CONCURRENTLY")).collect();
    assert_eq!(
        drops,
        ["DROP INDEX CONCURRENTLY public.dup1;", "DROP INDEX CONCURRENTLY public.quiet_u_idx1;"],
        "\n{advice}"
    );
    let made = advice.stdout.lines().filter(|l| l.trim().starts_with("CREATE INDEX CONCURRENTLY")).count();
    assert!((1..=9).contains(&made), "\n{advice}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_demo_schema() {
    let world = World::new().await;
    world
        .load(
            "create table m_customerinfo (customer_id bigint primary key, name text, region text); \
             create table m_meterinfo (meter_id bigint primary key, customer_id bigint, installed date); \
             create table t_dlpdata (id bigint primary key, meter_id bigint, read_at timestamptz, kwh numeric); \
             insert into m_customerinfo select g, 'n' || g, 'r' || g % 20 from generate_series(1, 2000) g; \
             insert into m_meterinfo select g, g % 2000 + 1, '2024-01-01' from generate_series(1, 3000) g; \
             insert into t_dlpdata select g, g % 3000 + 1, '2025-01-01'::timestamptz + g * interval '5 min', g % 50 \
               from generate_series(1, 120000) g",
        )
        .await;
    for customer in 1..25 {
        world
            .sql(&format!(
                "select c.name, sum(d.kwh) from m_customerinfo c join m_meterinfo m on m.customer_id = c.customer_id \
                 join t_dlpdata d on d.meter_id = m.meter_id where c.customer_id = {customer} \
                 and d.read_at >= '2025-06-01' and d.read_at < '2025-07-01' group by c.name"
            ))
            .await;
    }
    let user = User::new();
    let advice = advise_and_apply(&user, &world).await;
    assert!(advice.stdout.contains("ON public.t_dlpdata USING btree (meter_id"), "\n{advice}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_path_of_the_applications_role() {
    let world = World::new().await;
    let role = format!("{}_app", world.name);
    world
        .load(&format!(
            "create schema app; create schema other; create schema late; \
             create table app.orders (id int, customer int, total numeric); \
             create table other.orders (id int, customer int, total numeric); \
             create table late.events (id int, kind text, body jsonb, words text); \
             insert into app.orders select g, g % 9000, g from generate_series(1, 60000) g; \
             insert into late.events select g, md5(g::text), jsonb_build_object('to', 'user ' || g % 4000), \
               'word' || g from generate_series(1, 60000) g; \
             create function app.twice(int) returns int immutable language sql as 'select $1 * 2'; \
             create role {role} login; grant usage on schema app, late to {role}; \
             grant select on all tables in schema app, late to {role}; \
             alter role {role} set search_path = app"
        ))
        .await;
    let application = testkit::connect(&world.url_as(&role)).await;
    for _ in 0..20 {
        application.batch_execute("select * from orders where customer = twice(21)").await.unwrap();
    }
    // A path that the session made for itself stands in no catalog.
    application.batch_execute("set search_path = late").await.unwrap();
    for _ in 0..20 {
        application.batch_execute("select * from events where kind = 'x'").await.unwrap();
        application.batch_execute("select id from events where body->>'to' = 'user 7'").await.unwrap();
        let words =
            "select id from events where to_tsvector('english', words) @@ to_tsquery('english', 'word7')";
        application.batch_execute(words).await.unwrap();
    }
    let user = User::new();
    let advice = advise_and_apply(&user, &world).await;
    for sql in ["ON app.orders USING btree (customer)", "ON late.events USING btree (kind)"] {
        assert!(advice.stdout.contains(sql), "{sql}\n{advice}");
    }
    for refusal in ["the planner refuses it", "is not in the snapshot"] {
        assert!(!advice.stdout.contains(refusal), "\n{advice}");
    }
    let queryid = world
        .value("select queryid from pg_stat_statements where query like 'select * from orders%' limit 1")
        .await;
    user.run(&["explain", &world.url, "--", &queryid]).exits(0).says("Seq Scan on app.orders");
    drop(application);
    world.sql(&format!("drop owned by {role}; drop role {role}")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn statistics_behind_row_security() {
    let world = World::new().await;
    let role = format!("{}_reader", world.name);
    world
        .load(&format!(
            "create table secret (id int, tenant int); \
             insert into secret select g, g % 50 from generate_series(1, 40000) g; \
             alter table secret enable row level security; \
             create role {role} login; grant pg_monitor, pg_read_all_data to {role}"
        ))
        .await;
    world
        .wait_until("select last_analyze is not null from pg_stat_user_tables where relname = 'secret'")
        .await;
    world.repeat("select * from secret where id = 7", 20).await;
    let user = User::new();
    let hidden = user.run(&["advise", &world.url_as(&role)]).exits(0);
    assert!(!hidden.stdout.contains("analyze public.secret"), "an ANALYZE shows nothing more\n{hidden}");
    hidden.says("hidden-statistics: row security hides the statistics of public.secret");
    let seen = user.run(&["advise", &world.url]).exits(0);
    assert!(!seen.stdout.contains("hidden-statistics"), "\n{seen}");
    world.sql(&format!("drop owned by {role}; drop role {role}")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_of_the_application_and_a_queue() {
    let world = World::new().await;
    world
        .load(
            "create schema shop; \
             create function compact(t text) returns text language plpgsql immutable \
               as $$ begin return lower(replace(t, ' ', '')); end $$; \
             create function shop.is_rare(n int) returns boolean language plpgsql immutable \
               as $$ begin return n % 500 = 0; end $$; \
             create table things (id int primary key, name text, n int); \
             create table outbox (id bigint primary key, body text, attempts int not null, sent_at timestamptz); \
             insert into things select g, 'Thing ' || g, g from generate_series(1, 40000) g; \
             insert into outbox select g, repeat('x', 60), greatest(g % 40 - 36, 0), \
               case when g < 79700 then '2026-01-01'::timestamptz end from generate_series(1, 80000) g",
        )
        .await;
    world.repeat("select id from things where compact(name) = compact('Thing 77')", 20).await;
    world.repeat("select name from things where shop.is_rare(n)", 20).await;
    world
        .repeat("select id, body from outbox where sent_at is null and attempts < 3 order by id limit 20", 20)
        .await;
    let user = User::new();
    read_everything(&user, &world.url);
    let advice = advise_and_apply(&user, &world).await;
    // What the search_path of whoever builds the index does not reach is written with its schema.
    assert!(advice.stdout.contains("(public.compact(name))"), "\n{advice}");
    assert!(advice.stdout.contains("shop.is_rare(n)"), "\n{advice}");
    // Beside the primary key, which begins with rows that were sent long ago.
    assert!(advice.stdout.contains("ON public.outbox USING btree (id) WHERE sent_at IS NULL"), "\n{advice}");
}
