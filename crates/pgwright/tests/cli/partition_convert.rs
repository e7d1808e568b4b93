//! A table becomes a partitioned one and back, as a user calls it.

use crate::program::User;
use crate::world::World;

const EVENTS: &str = "create table events (id bigint generated always as identity primary key, \
    created_at timestamptz not null, kind text); \
    insert into events (created_at, kind) select timestamptz '2026-01-10' + g * interval '1 hour', 'k' || g % 7 \
    from generate_series(1, 3000) g; create index on events (kind);";

#[tokio::test(flavor = "multi_thread")]
async fn shown_done_taken_back_and_made_final() {
    let user = User::new();
    let world = World::new().await;
    world.load(EVENTS).await;
    let dump = world.schema_dump().await;
    let rows = "select md5(string_agg(e::text, ',' order by id)) from events e";
    let before = world.value(rows).await;
    let call = |more: &[&str]| {
        let fixed = ["partition", "convert", "events", "--by", "created_at", "--interval", "month"];
        let wait = ["--max-lock", "20s", &world.url];
        let all: Vec<&str> = fixed.iter().chain(more).chain(&wait).copied().collect();
        user.run(&all)
    };
    call(&[])
        .exits(0)
        .says("method: rewrite")
        .says("events_2026_01")
        .says("changed: primary key events_pkey. It becomes (id, created_at)")
        .tells("nothing was run");
    let plan = call(&["--json"]).exits(0).json("partition-convert");
    assert_eq!(plan["executed"], false);
    assert!(plan["plan"]["partitions"].as_array().unwrap().len() > 4);
    assert_eq!(world.schema_dump().await, dump);
    user.run(&["partition", "convert", "status", &world.url]).exits(0).tells("no table has been converted");

    call(&["--execute"]).exits(0).says("public.events is partitioned").tells("takes it back until then");
    assert_eq!(world.value(rows).await, before);
    let status = user.run(&["partition", "convert", "status", "--json", &world.url]).exits(0);
    let status = status.json("partition-convert-status");
    assert_eq!(status["conversions"][0]["step"], "swapped");
    assert_eq!(status["conversions"][0]["rows_copied"], 3000);
    user.run(&["partition", "convert", "status", &world.url]).exits(0).says("converted, can be taken back");
    // Again: there is nothing left to do.
    call(&["--execute"]).exits(0);

    world.sql("insert into events (created_at, kind) values ('2026-02-02', 'late'); delete from events where id = 5").await;
    let after = world.value(rows).await;
    user.run(&["partition", "convert", "revert", "events", &world.url])
        .exits(0)
        .says("2 changes are carried back");
    let revert = ["partition", "convert", "revert", "events", "--execute", "--max-lock", "20s", &world.url];
    user.run(&["journal", &world.url])
        .exits(0)
        .says("conversion 1  applied  partition public.events by the method rewrite")
        .says("  copy\n")
        .says("undo: pgwright partition convert revert public.events --execute");
    user.run(&revert).exits(0).says("taken back");
    let journal = user.run(&["journal", "--json", &world.url]).exits(0).json("journal");
    assert_eq!(journal["conversions"][0]["step"], "reverted");
    assert_eq!(journal["conversions"][0]["passed"][0]["step"], "not_null");
    assert_eq!(world.value(rows).await, after);
    assert_eq!(world.schema_dump().await, dump);
    let error = user.run(&revert).fails(3);
    assert!(error.error().starts_with("error: no conversion of public.events is open"), "\n{error}");

    call(&["--method", "attach", "--execute"]).exits(0).says("is partitioned");
    user.run(&["partition", "convert", "finish", "events", "--execute", "--max-lock", "20s", &world.url])
        .exits(0)
        .says("finished");
    assert_eq!(world.value(rows).await, after);
    let error = call(&[]).fails(3);
    assert!(error.error().contains("is partitioned already"), "\n{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_is_told_with_the_way_out() {
    let user = User::new();
    let world = World::new().await;
    world.load(EVENTS).await;
    world.sql("create materialized view kinds as select kind from events").await;
    let call = ["partition", "convert", "events", "--by", "created_at", "--interval", "month", &world.url];
    user.run(&call)
        .exits(3)
        .says("refused: materialized view public.kinds")
        .tells("has to be dealt with first");
    let execute: Vec<&str> = call.iter().copied().chain(["--execute"]).collect();
    let error = user.run(&execute).fails(3);
    assert!(error.error().contains("error: table public.events cannot be converted as it is"), "\n{error}");
    assert!(error.error().contains("hint: Drop it before"), "\n{error}");
    assert_eq!(world.value("select count(*) from pg_namespace where nspname = 'pgwright'").await, "0");
    for (arguments, says) in [
        (&["nowhere", "--by", "x", "--interval", "month"][..], "table public.nowhere does not exist"),
        (&["events", "--by", "gone", "--interval", "month"][..], "table public.events has no column gone"),
        (&["events", "--by", "id", "--interval", "month"][..], "cannot be divided like that"),
    ] {
        let all: Vec<&str> =
            ["partition", "convert"].iter().chain(arguments).copied().chain([world.url.as_str()]).collect();
        let error = user.run(&all).fails(3);
        assert!(error.error().contains(says), "\n{error}");
    }
    let zone = [&call[..], &["--time-zone", "Mars/Olympus"]].concat();
    assert!(user.run(&zone).fails(3).error().contains("Mars/Olympus"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_written_as_a_shell_takes_it() {
    let user = User::new();
    let world = World::new().await;
    world
        .load(
            r#"create table "a""b.c" (id bigint primary key, "at time" timestamptz not null);
               insert into "a""b.c" select n, timestamptz '2026-01-10' + n * interval '1 day' from generate_series(1, 50) n"#,
        )
        .await;
    let table = r#""a""b.c""#;
    user.run(&[
        "partition",
        "convert",
        table,
        "--by",
        "at time",
        "--interval",
        "month",
        "--method",
        "rewrite",
        "--execute",
        "--max-lock",
        "20s",
        &world.url,
    ])
    .exits(0);
    let journal = user.run(&["journal", &world.url]).exits(0);
    let line = journal.stdout.lines().find_map(|line| line.trim().strip_prefix("undo: ")).unwrap().to_owned();
    assert_eq!(line, r#"pgwright partition convert revert 'public."a""b.c"' --execute"#);
    let name = line.split('\'').nth(1).unwrap();
    user.run(&["partition", "convert", "revert", name, "--execute", "--max-lock", "20s", &world.url])
        .exits(0)
        .says("taken back");
    assert_eq!(world.value(r#"select count(*) from "a""b.c""#).await, "50");
}
