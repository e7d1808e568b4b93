//! Does what "partition advise" says can be had for it, and do the commands that it prints do it as they stand?

use std::path::Path;
use std::process::Command;

use postgres::{Environment, Target};

use crate::program::{Output, User};
use crate::world::World;

/// Runs lines as a person pastes them into a shell in which the database is the usual one.
fn paste(user: &User, world: &World, lines: &[String]) {
    let program = Path::new(env!("CARGO_BIN_EXE_pgwright")).parent().unwrap().to_path_buf();
    let usual = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(std::iter::once(program).chain(std::env::split_paths(&usual))).unwrap();
    let target = Target::parse(Some(&world.url), &Environment::default()).unwrap();
    let surroundings =
        target.libpq_environment().into_iter().filter_map(|(name, value)| Some((name, value?)));
    let surroundings: Vec<(String, String)> = surroundings.collect();
    for line in lines {
        let out = Command::new("sh")
            .args(["-ec", line])
            .env_clear()
            .envs(surroundings.iter().cloned())
            .env("PATH", &path)
            .env("HOME", user.work())
            .current_dir(user.work())
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(out.status.success(), "{line}\n{}\n{}", text(&out.stdout), text(&out.stderr));
    }
}

fn commands(advice: &Output) -> (Vec<String>, String) {
    let table = advice.json("partition_advise")["tables"][0].clone();
    assert_eq!(table["verdict"]["worth"], true, "\n{advice}");
    let commands = table["commands"].as_array().unwrap();
    let commands = commands.iter().map(|c| c.as_str().unwrap().to_owned()).collect();
    (commands, table["settings"].as_str().unwrap().to_owned())
}

const ORDERS: &str = r#"
    create table "Or'ders" (id bigint not null, "Sta""tus" text not null, v float8 not null, note text,
        primary key (id, "Sta""tus"));
    insert into "Or'ders" select n, (array['new', 'it''s paid', 'sent', 'back'])[1 + n % 4], n, repeat('x', 80)
        from generate_series(1, 60000) n"#;

const VISITS: &str = r#"
    create table visits (id bigint primary key, visitor int not null, v float8 not null, note text);
    create table marks (visit bigint references visits);
    insert into visits select n, n % 3000, n, repeat('x', 80) from generate_series(1, 60000) n"#;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_printed_for_a_list_or_hashes_works_as_it_stands() {
    for server in testkit::servers() {
        for (schema, statement, table, by, bounds) in [
            (
                ORDERS,
                r#"select sum(v) from "Or'ders" where "Sta""tus" = 'sent'"#,
                r#""Or'ders""#,
                r#"list("Sta""tus")"#,
                "('back') ('it''s paid') ('new') ('sent')",
            ),
            (VISITS, "select sum(v) from visits where visitor = 77", "visits", "hash(visitor, 16)", ""),
        ] {
            let user = User::with_every_version();
            let world = World::on(server).await;
            world.load(schema).await;
            world.repeat(statement, 10).await;
            let rows = format!("select count(*) || ' ' || sum(v) from {table}");
            let before = world.value(&rows).await;
            let advise = ["partition", "advise", table, "--json", &world.url];
            let (lines, settings) = commands(&user.run(&advise).exits(0));
            let quoted = by.replace('\'', "'\\''");
            assert!(lines.iter().any(|l| l.contains(&format!("--by '{quoted}'"))), "{lines:?}");
            user.write("pgwright.toml", settings);
            paste(&user, &world, &lines);
            assert_eq!(world.value(&rows).await, before);
            let found = world
                .value(&format!(
                    "select string_agg(substr(pg_get_expr(relpartbound, c.oid), 15), ' ' order by pg_get_expr(relpartbound, c.oid)) \
                     from pg_inherits i join pg_class c on c.oid = i.inhrelid where i.inhparent = '{}'::regclass \
                     and pg_get_expr(relpartbound, c.oid) like '% IN %'",
                    table.replace('\'', "''")
                ))
                .await;
            assert_eq!(found, bounds);
            let count = format!(
                "select count(*) from pg_inherits where inhparent = '{}'::regclass",
                table.replace('\'', "''")
            );
            assert_eq!(world.value(&count).await, if bounds.is_empty() { "16" } else { "5" });
            // And the set is one that is looked after.
            user.run(&["partition", "list", &world.url]).exits(0);
            user.run(&["partition", "plan", &world.url]).exits(0);
        }
    }
}

/// States of orders, which change, under two keys that others rely on: the list would leave out three quarters of what
/// each sum reads.
const STATES: &str = r#"
    create table orders (id bigint primary key, code text not null unique, status text not null, v float8 not null,
        note text);
    create table lines (order_id bigint references orders);
    create table parcels (code text references orders (code));
    insert into orders select n, 'c' || n, (array['new', 'paid', 'sent', 'back'])[1 + n % 4], n, repeat('x', 80)
        from generate_series(1, 60000) n"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_takes_keys_away_is_not_worth_what_it_saves() {
    let user = User::new();
    let world = World::new().await;
    world.load(STATES).await;
    world.repeat("select sum(v) from orders where status = 'sent'", 12).await;
    world.repeat("select * from orders where id = 77", 20).await;
    world.repeat("update orders set status = 'paid' where id = 77", 4).await;
    let advice = user
        .run(&["partition", "advise", "orders", &world.url])
        .exits(0)
        .says("  not worth it: ")
        .says("What it takes away weighs more: ")
        .says("50 % whatever the method")
        .says("20 % for rows that stay where they are")
        .says("15 % for the foreign key lines_order_id_fkey of public.lines")
        .says("15 % for the foreign key parcels_code_fkey of public.parcels")
        .says("10 % for orders_code_key (code) unique by itself")
        .says("5 % for orders_pkey (id) unique by itself")
        .says("of the calls as cheap as they are");
    assert!(!advice.stdout.contains("partition convert"), "\n{advice}");
    let json = user.run(&["partition", "advise", "orders", "--json", &world.url]).exits(0);
    let verdict = json.json("partition_advise")["tables"][0]["verdict"].clone();
    assert_eq!(verdict["losses"].as_array().unwrap().len(), 6, "{verdict}");
    assert!(verdict["needed"].as_f64().unwrap() > 1.15, "{verdict}");
    // It is the keys: without them the same sums are reason enough.
    world
        .sql(
            "drop table lines, parcels; alter table orders drop constraint orders_pkey, drop constraint orders_code_key, \
             add primary key (id, status)",
        )
        .await;
    world.sql("analyze orders").await;
    world.forget_statements().await;
    world.repeat("select sum(v) from orders where status = 'sent'", 12).await;
    user.run(&["partition", "advise", "orders", &world.url]).exits(0).says("  worth it: ");
    // What the conversion would refuse is told with the advice, and the way out.
    world.sql("create materialized view sums as select sum(v) from orders").await;
    user.run(&["partition", "advise", "orders", &world.url])
        .exits(0)
        .says("in the way")
        .says("! materialized view public.sums. ")
        .says("Drop it before");
}
