//! Is a user told which statements read every partition, and can a build fail because of it?

use crate::program::User;
use crate::world::World;

const EVENTS: &str = r#"
    create schema "s.x";
    create table "s.x"."a""b.c" (id bigint, at timestamptz not null, kind text) partition by range (at);
    create table "s.x".p1 partition of "s.x"."a""b.c" for values from ('2026-01-01 00:00+00') to ('2026-02-01 00:00+00');
    create table "s.x".p2 partition of "s.x"."a""b.c" for values from ('2026-02-01 00:00+00') to ('2026-03-01 00:00+00');
    create table "s.x".p3 partition of "s.x"."a""b.c" default;
    insert into "s.x"."a""b.c" select n, timestamptz '2026-01-01 00:00+00' + n * interval '1 minute', 'k' || n % 9
        from generate_series(1, 80000) n"#;

#[tokio::test(flavor = "multi_thread")]
async fn statements_that_read_every_partition_are_named_with_the_text_that_would_not() {
    let user = User::new();
    let world = World::new().await;
    let url = world.url.as_str();
    user.run(&["partition", "check", url]).exits(0).tells("no table is partitioned");
    world.load(EVENTS).await;
    user.run(&["partition", "check", url]).exits(0).says("no statement that was counted touches");
    let day = r#"select count(*) from "s.x"."a""b.c" where date(at) = '2026-02-03'"#;
    let range = r#"select max(kind) from "s.x"."a""b.c" where at >= '2026-02-03' and at < '2026-02-04'"#;
    world.repeat(range, 1).await;
    // What prunes is nothing to fail for.
    user.run(&["partition", "check", "--fail-on", "info", url])
        .exits(0)
        .says("1 of 3 partitions, the others left out while planning");
    world.repeat(day, 3).await;
    user.run(&["partition", "check", "a\"b.c", "--fail-on", "warning", url])
        .fails(2)
        .tells("name of a table");
    let table = r#""a""b.c""#;
    let found = user
        .run(&["partition", "check", table, "--fail-on", "warning", url])
        .exits(1)
        .says(r#""s.x"."a""b.c" by RANGE (at): 3 partitions, 80000 rows"#)
        .says("! reads all 3 partitions")
        .says("rewrite (time-range, proved): reads ");
    assert!(found.stdout.contains("at >= $1::date"), "{}", found.stdout);
    let json = user.run(&["partition", "check", table, "--json", url]).exits(0).json("partition_check");
    assert_eq!(json["findings"][0]["check"], "unpruned-statement");
    let worst = json["statements"].as_array().unwrap().iter().find(|s| s["rewrite"].is_object()).unwrap();
    assert_eq!(worst["uses"][0]["pruning"], "none");
    assert_eq!(worst["uses"][0]["cause"]["kind"], "function-on-key");
    // What it says of its own text is true of it.
    world.forget_statements().await;
    let better = worst["rewrite"]["sql"].as_str().unwrap().replace("$1", "'2026-02-03'");
    world.repeat(&better, 1).await;
    user.run(&["partition", "check", table, "--fail-on", "info", url]).exits(0);

    // A file tells the same.
    user.run(&["snapshot", "save", "s.zst", url]).exits(0);
    user.run(&["partition", "check", "--snapshot", "s.zst"]).exits(0).says("left out at the start");
    user.run(&["partition", "check", "nothing", "--snapshot", "s.zst"])
        .fails(2)
        .tells("no partitioned table is called \"nothing\"");
}

const READINGS: &str = r#"
    create table "r x" (id bigint primary key, at timestamptz not null, device int not null, v float8);
    insert into "r x" select n, timestamptz '2024-12-01 00:00+00' + n * interval '17 minutes', n % 300, n
        from generate_series(1, 60000) n;
    create table small (id int primary key, at timestamptz)"#;

#[tokio::test(flavor = "multi_thread")]
async fn which_tables_deserve_partitions_is_tried_before_anything_is_changed() {
    let user = User::new();
    let world = World::new().await;
    let url = world.url.as_str();
    world.load(READINGS).await;
    let before = world.schema_dump().await;
    world.repeat(r#"select * from "r x" where id = 7"#, 2).await;
    user.run(&["partition", "advise", url])
        .exits(0)
        .tells("no table that is not partitioned occupies 100 MB");
    // By its key it is found at once: there is nothing to gain.
    let not = user.run(&["partition", "advise", "\"r x\"", "small", url]).exits(0).says("not worth it: ");
    not.says("It has 0 rows");
    let by_time = r#"select sum(v) from "r x" where at >= '2026-03-01' and at < '2026-04-01'"#;
    world.forget_statements().await;
    world.repeat(by_time, 10).await;
    world.sql(r#"delete from "r x" where at < '2024-12-01 01:00+00'"#).await;
    let found = user
        .run(&["partition", "advise", "\"r x\"", url])
        .exits(0)
        .says("public.\"r x\": ")
        .says("  worth it: ")
        .says("the primary key \"r x_pkey\" (id) needs at in it")
        .says("pgwright partition convert 'public.\"r x\"' --by at --interval '1 ");
    assert!(found.stdout.contains("[[partition_set]]"), "{}", found.stdout);
    let json = user.run(&["partition", "advise", "\"r x\"", "--json", url]).exits(0).json("partition_advise");
    let table = &json["tables"][0];
    assert_eq!(table["verdict"]["worth"], true);
    assert_eq!(table["facts"]["deletes_by_age"]["column"], "at");
    let settings = table["settings"].as_str().unwrap();
    let interval = settings.split("interval = \"").nth(1).and_then(|s| s.split('"').next()).unwrap();
    assert_eq!(world.schema_dump().await, before);

    // What it says can be done, is done, and is looked after from then on.
    user.write("pgwright.toml", settings);
    let convert =
        ["partition", "convert", "public.\"r x\"", "--by", "at", "--interval", interval, "--execute", url];
    user.run(&[&convert[..], &["--max-lock", "20s"]].concat()).exits(0).says("is partitioned");
    user.run(&["partition", "plan", url]).exits(0);
    user.run(&["partition", "check", url]).exits(0);
    user.run(&["partition", "advise", "nothing", url]).fails(2).tells("no table is called \"nothing\"");
}
