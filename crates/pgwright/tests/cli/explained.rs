//! Does `explain` read what people have, say what to do with the twin's figure, and run only what reads?

use std::time::{Duration, Instant};

use crate::program::User;
use crate::world::World;

const TABLES: &str = "
    create table orders (id int primary key, customer_id int not null, placed_at timestamptz not null, note text not null);
    insert into orders select n, 1 + n % 5000, '2026-01-01'::timestamptz + n * interval '1 minute', repeat('x', 80)
        from generate_series(1, 60000) n;
    create sequence s";

const SLOW: &str = "select * from orders where customer_id = 77 order by placed_at desc limit 5";

fn fixture(name: &str) -> String {
    let path = format!("{}/../../tests/fixtures/plans/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"))
}

#[test]
fn plans_come_in_any_form() {
    let user = User::new();
    let text = fixture("17/hash_join.txt");
    let json = fixture("17/hash_join.json");
    user.write("plan.txt", &text);
    user.write("plan.json", &json);
    let framed: String = text.lines().map(|l| format!(" {l}\n")).collect();
    user.write("psql.txt", format!("      QUERY PLAN\n--------------------\n{framed}(9 rows)\n"));
    for file in ["plan.txt", "plan.json", "psql.txt"] {
        user.run(&["explain", file]).exits(0).says("Hash Join").says("self time");
    }
    user.run_with_input(&["explain", "-"], &text).exits(0).says("Hash Join");
    let log = |n: usize| {
        format!(
            "2026-11-26 10:00:00 UTC [7] LOG:  duration: {n}.250 ms  plan:\n\tQuery Text: SELECT {n}\n\t{}\n",
            text.trim_end().replace('\n', "\n\t")
        )
    };
    user.write("server.log", [log(7), log(4000), log(90)].concat());
    let listed = user.run(&["explain", "server.log"]).exits(0).says("SELECT 4000").tells("--number").stdout;
    assert!(listed.find("4000").unwrap() < listed.find("SELECT 90").unwrap(), "{listed}");
    assert_eq!(
        user.run(&["explain", "server.log", "--json"]).exits(0).json("explain-list")["plans"][0]["duration_ms"],
        4000.25
    );
    let chosen = user.run(&["explain", "server.log", "--number", "2", "--json"]).exits(0).json("explain");
    assert_eq!(chosen["sql"], "SELECT 90");
    user.run(&["explain", "server.log", "--number", "4"]).fails(2);
    user.write("cut.txt", text.lines().take(3).collect::<Vec<_>>().join("\n"));
    let cut = user.run(&["explain", "cut.txt"]).fails(2);
    assert!(cut.error().starts_with("error: plan is cut off at line 3"), "{cut}");
    user.write("plan.xml", "<explain xmlns=\"http://www.postgresql.org/2009/explain\">");
    let xml = user.run(&["explain", "plan.xml"]).fails(2);
    assert!(xml.error().contains("plan is in XML") && xml.error().contains("FORMAT JSON"), "{xml}");
}

#[test]
fn a_page_and_a_comparison_need_no_server() {
    let user = User::new();
    user.write("before.txt", fixture("17/index_scan.txt"));
    user.write("after.json", fixture("17/seq_scan_filter.json"));
    user.run(&["explain", "before.txt", "--html", "plan.html"]).exits(0).tells("wrote plan.html");
    let page = std::fs::read_to_string(user.file("plan.html")).unwrap();
    assert!(page.starts_with("<!DOCTYPE html>") && page.contains("Index Scan"), "{page}");
    user.run(&["explain", "--diff", "before.txt", "after.json"]).exits(0).says("planner cost: ").says(" → ");
    let same = user.run(&["explain", "--diff", "before.txt", "before.txt"]).exits(0);
    assert!(same.stdout.contains("the plans are the same"), "{same}");
    let value =
        user.run(&["explain", "--diff", "before.txt", "after.json", "--json"]).exits(0).json("explain-diff");
    assert_eq!(value["same_shape"], false);
    user.run(&["explain", "--diff", "before.txt", "select 1"]).fails(2);
    user.run(&["explain", "--diff", "before.txt"]).fails(2);
}

#[test]
fn thresholds_come_from_the_configuration() {
    let user = User::new();
    user.write("plan.json", fixture("17/seq_scan_filter.json"));
    user.run(&["explain", "plan.json"]).exits(0).says("seq-scan-reads-too-much").says("what to do");
    user.write("pgwright.toml", "[checks]\ndisabled = [\"seq-scan-reads-too-much\"]\n");
    let quiet = user.run(&["explain", "plan.json"]).exits(0);
    assert!(!quiet.stdout.contains("seq-scan-reads-too-much"), "{quiet}");
    user.write("pgwright.toml", "[checks]\nseq_scan_min_pages = 1000000\n");
    let quiet = user.run(&["explain", "plan.json"]).exits(0);
    assert!(!quiet.stdout.contains("seq-scan-reads-too-much"), "{quiet}");
    user.write("pgwright.toml", "[checks]\ndisabled = [\"seq-scan\"]\n");
    let wrong = user.run(&["explain", "plan.json"]).fails(2);
    assert!(wrong.error().contains("there is no check \"seq-scan\""), "{wrong}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_remedy_carries_the_figure_of_the_twin() {
    let world = World::new().await;
    world.load(TABLES).await;
    let user = User::new();
    let url = world.url.as_str();
    let output = user.run(&["explain", "--analyze", SLOW, url]).exits(0);
    assert!(output.stdout.contains("CREATE INDEX CONCURRENTLY"), "{output}");
    assert!(output.stdout.contains(" on the planner twin"), "{output}");
    let value = user.run(&["explain", "--json", SLOW, url]).exits(0).json("explain");
    let remedy = &value["remedies"][0];
    if value["findings"].as_array().is_some_and(|f| !f.is_empty()) {
        assert!(remedy["resolves"].as_array().is_some_and(|r| !r.is_empty()), "{value:#}");
    }
    let quick = user.run(&["explain", "--analyze", "--quick", SLOW, url]).exits(0);
    assert!(!quick.stdout.contains("planner twin"), "{quick}");
    // The same without a server, from a snapshot and a plan that names its statement.
    user.run(&["snapshot", "save", "shop.zst", url]).exits(0);
    let analyzed =
        user.run(&["explain", "--analyze", "--quick", "--json", SLOW, url]).exits(0).json("explain");
    let mut plan = analyzed["explain"].clone();
    plan["Query Text"] = SLOW.into();
    user.write("plan.json", plan.to_string());
    let offline = user.run(&["explain", "plan.json", "--snapshot", "shop.zst"]).exits(0);
    assert!(offline.stdout.contains(" on the planner twin"), "{offline}");
    // What changed since a baseline.
    user.run(&["baseline", "save", "before", url]).exits(0);
    world.repeat(SLOW, 3).await;
    user.run(&["baseline", "save", "with", url]).exits(0);
    let queryid = world
        .value(
            "select queryid from pg_stat_statements where query like 'select * from orders where%' limit 1",
        )
        .await;
    world.sql("create index orders_customer_id_idx on orders (customer_id)").await;
    user.run(&["explain", "--baseline", "with", "--", &queryid]).fails(2);
    user.run(&["explain", "--baseline", "with", "--url", url, "--", &queryid])
        .exits(0)
        .says("orders_customer_id_idx");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_statement_of_several_and_mistakes_in_their_place() {
    let world = World::new().await;
    world.load(TABLES).await;
    let user = User::new();
    let url = world.url.as_str();
    user.write("two.sql", "select 1;\nselect id from orders where id = 7;\n");
    let error = user.run(&["explain", "two.sql", url]).fails(2);
    assert!(error.error().contains("Choose one with --number"), "{error}");
    user.run(&["explain", "two.sql", "--number", "2", url]).exits(0).says("orders_pkey");
    user.write("meta.sql", "\\timing on\nselect 1;\n");
    let error = user.run(&["explain", "meta.sql", url]).fails(2);
    assert!(error.error().contains("line 1 is a command of psql, not SQL"), "{error}");
    let error = user.run(&["explain", "select id,\n  nothing from orders", url]).fails(2);
    assert!(error.error().contains("Line 2:\n      nothing from orders\n      ^^^^^^^"), "{error}");
}

/// Nothing that could do more than read is run, however it is hidden.
#[tokio::test(flavor = "multi_thread")]
async fn what_hides_a_deed_is_not_run() {
    let world = World::new().await;
    world.load(TABLES).await;
    world
        .sql(
            "create table log (n int);
             create function writes(n int) returns int language sql volatile as 'insert into log values (n) returning n';
             create function lies(n int) returns int immutable language plpgsql as
                 'begin perform pg_terminate_backend(0); return n; end';
             create function deep(n int) returns int stable language sql as 'select lies(n)';
             create function dynamic(n int) returns int immutable language plpgsql as 'begin execute ''select 1''; return n; end';
             create function fine(n int) returns int immutable language sql as 'select abs(n) + 1';
             create view v as select id, writes(id) as w from orders where id < 3;
             create view vv as select * from v;
             create table guarded (id int, check (id > 0));
             create policy p on guarded using (deep(id) > 0);
             alter table guarded enable row level security;
             create table defaulted (id int default nextval('s'))",
        )
        .await;
    let user = User::new();
    let url = world.url.as_str();
    for (statement, reason) in [
        ("with x as (delete from orders returning 1) select count(*) from x", "it deletes rows"),
        ("with x as (insert into defaulted default values returning 1) select * from x", "it inserts rows"),
        ("select * from v", "writes"),
        ("select count(*) from vv where w > 0", "writes"),
        ("select lies(1)", "lies"),
        ("select deep(1)", "pg_terminate_backend"),
        ("select dynamic(1)", "its body has EXECUTE"),
        ("select * from guarded", "pg_terminate_backend"),
        ("select * into copied from orders", "it creates a table"),
        ("select * from orders for update", "it locks rows"),
        ("select set_config('work_mem', '1GB', false)", "set_config"),
        ("select nextval('s')", "nextval"),
        ("select pg_terminate_backend(1)", "pg_terminate_backend"),
        ("select lo_import('/etc/passwd')", "lo_import"),
        ("select pg_advisory_lock(1)", "pg_advisory_lock"),
        ("select pg_notify('a', 'b')", "pg_notify"),
        ("select id from orders where id = (select max(writes(1)) from orders)", "writes"),
    ] {
        let error = user.run(&["explain", "--analyze", "--quick", statement, url]).fails(3);
        assert!(error.error().contains(reason), "{statement}: {error}");
    }
    for statement in [
        "do $$ begin end $$",
        "copy orders to stdout",
        "execute p",
        "explain analyze delete from orders",
        "call f()",
        "prepare p as select 1",
    ] {
        let error = user.run(&["explain", "--analyze", "--quick", statement, url]).fails(2);
        assert!(error.error().contains("a utility statement has no plan"), "{statement}: {error}");
    }
    user.run(&["explain", "--analyze", "--quick", "select fine(1), lower('A'), count(*) from orders", url])
        .exits(0);
    // With leave it is run, and rolled back.
    user.run(&["explain", "--analyze", "--quick", "--allow-writes", "delete from orders where id < 10", url])
        .exits(0)
        .says("Delete on orders")
        .tells("rolled back");
    assert_eq!(world.value("select count(*) from orders").await, "60000");
    assert_eq!(world.value("select count(*) from log").await, "0");
    assert_eq!(world.value("select is_called from s").await, "false");
    assert_eq!(world.value("select to_regclass('copied') is null").await, "true");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupt_stops_the_statement_on_the_server() {
    let world = World::new().await;
    world.load(TABLES).await;
    let user = User::new();
    let endless = "select count(*) from orders a, orders b, orders c where a.id + b.id + c.id = -1";
    let mut running = user.start(&["explain", "--analyze", "--quick", endless, world.url.as_str()]);
    let active = "select count(*) = 1 from pg_stat_activity where state = 'active' and query like 'EXPLAIN%ANALYZE ON%orders c%' \
                  and datname = current_database() and pid <> pg_backend_pid()";
    world.wait_until(active).await;
    // It says how long it has run, of how long at most, against what the planner expected, and what it does.
    running.wait_to_tell("running for ");
    running.wait_to_tell(" s of at most 60 s, planner cost ");
    let began = Instant::now();
    running.signal("INT");
    let output = running.wait().fails(2);
    assert!(output.error().starts_with("error: measuring was interrupted"), "{output}");
    assert!(output.error().contains("The server has stopped the statement"), "{output}");
    // Without the request the statement would go on until its time limit of a minute.
    assert!(began.elapsed() < Duration::from_secs(30), "{output}");
    world
        .wait_until(
            "select count(*) = 0 from pg_stat_activity where state = 'active' and query like 'EXPLAIN%orders c%' \
             and datname = current_database() and pid <> pg_backend_pid()",
        )
        .await;
}

/// What is no plan does not fill the memory: with 200,000 nodes, or more bytes than any plan, reading ends. What a large
/// plan may take of memory is bounded here too.
#[test]
fn a_plan_larger_than_any_is_refused() {
    let user = User::new();
    let wide = |nodes: usize| {
        let child = "  ->  Seq Scan on t  (cost=0.00..1.00 rows=1 width=4)\n";
        format!("Append  (cost=0.00..1.00 rows=1 width=4)\n{}", child.repeat(nodes))
    };
    user.write("nodes.txt", wide(200_001));
    let error = user.run(&["explain", "nodes.txt"]).fails(2);
    assert_eq!(error.error(), "error: plan has more than 200000 nodes");
    // Zeroes that take no room on the disk.
    std::fs::File::create(user.file("zeroes")).unwrap().set_len((256 << 20) + 1).unwrap();
    let error = user.run(&["explain", "zeroes"]).fails(2);
    assert_eq!(error.error(), "error: plan has more than 268435456 bytes");
    user.write("wide.txt", wide(5_000));
    let script = format!("ulimit -v 2000000; exec {} explain wide.txt", env!("CARGO_BIN_EXE_pgwright"));
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", &script]).env_clear().env("PATH", "/usr/bin:/bin").env("HOME", user.work());
    shell.current_dir(user.work()).stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    crate::program::finish(&mut shell).exits(0).says("Append").says("Seq Scan on t");
}
