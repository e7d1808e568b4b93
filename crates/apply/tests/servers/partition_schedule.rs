//! Does the server by itself make the very partitions that pgwright would, and does all of it go away again?

use apply::partition_sets::schedule::{COMMAND, plan_schedule, schedule};
use apply::partition_sets::survey;
use apply::{Status, UndoTarget};
use partitioning::planning::{Seen, Step, plan};
use partitioning::settings::{SetSettings, SubSettings};
use partitioning::{Grid, Trees};
use postgres::SessionOptions;

use crate::world::{World, quick, shown, target};

fn sets() -> Vec<SetSettings> {
    let set = |table: &str, interval: &str, zone: &str| SetSettings {
        table: table.into(),
        interval: Some(interval.into()),
        time_zone: Some(zone.into()),
        premake: Some(2),
        ..SetSettings::default()
    };
    vec![
        set("\"My Schema\".\"hou\"\"r.s\"", "1 hour", "Europe/Zurich"),
        set("days", "1 day", "America/St_Johns"),
        set("weeks", "week", "Australia/Lord_Howe"),
        set("months", "month", "Europe/Zurich"),
        set("quarters", "quarter", "Pacific/Apia"),
        set("years", "year", "UTC"),
        set("clock", "5 hours", "America/New_York"),
        set("uuids", "day", "Europe/Zurich"),
        SetSettings { time_zone: None, ..set("ids", "100", "UTC") },
        SetSettings {
            sub: Some(SubSettings { key: "host".into(), partitions: Some(2), ..SubSettings::default() }),
            ..set("subs", "month", "UTC")
        },
    ]
}

const TABLES: &str = r#"
    create table "My Schema"."hou""r.s" (id int, "at time" timestamptz not null, primary key (id, "at time")) partition by range ("at time");
    create table days (at timestamptz not null) partition by range (at);
    create table weeks (at timestamptz not null) partition by range (at);
    create table months (at timestamptz not null) partition by range (at);
    create table quarters (at date not null) partition by range (at);
    create table years (at date not null) partition by range (at);
    create table clock (at timestamp not null) partition by range (at);
    create table uuids (id uuid primary key) partition by range (id);
    create table ids (id int primary key) partition by range (id);
    create table subs (at timestamptz not null, host text not null) partition by range (at);
"#;

/// What pgwright would make at a time, were it asked then.
async fn missing(world: &World, sets: &[SetSettings], at: &str) -> Vec<String> {
    let session = world.target.connect(&SessionOptions::default()).await.unwrap();
    let version = session.version_num();
    let trees = Trees::new(postgres::catalog::partition_tables(&session, version).await.unwrap());
    let micros = format!("select (extract(epoch from timestamptz '{at}') * 1000000)::bigint");
    let now_micros: i64 = world.value(&micros).await.parse().unwrap();
    let mut missing = Vec::new();
    for settings in sets {
        let parent = trees.find(&settings.table_name().unwrap()).unwrap();
        let set = settings.resolve(parent).unwrap();
        if set.division.kind.is_number() {
            continue;
        }
        let grid = Grid::new(&set.division, &set.time_zone, None).unwrap();
        let here = grid.now(now_micros).unwrap().unwrap();
        let planned = plan(&set, &trees, parent, &Seen { now_micros, ..Seen::default() }).unwrap();
        for step in planned.steps {
            if let Step::Create(new) = step {
                // The days between, which nobody asked the server for, are gaps.
                let bound = partitioning::Bound::parse(&new.bound, set.division.kind).unwrap();
                let ahead = bound.range().is_some_and(|(_, upper)| upper > partitioning::Edge::At(here));
                missing.extend(ahead.then(|| format!("{} {}", new.name, new.bound)));
            }
        }
    }
    missing
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_makes_what_pgwright_would() {
    for server in testkit::servers() {
        let world = World::on(server).await;
        world.sql(TABLES).await;
        schedule(&world.target, &sets(), 1500, None, &quick(), &mut |_| {})
            .await
            .unwrap_or_else(|e| panic!("{}", shown(&e)));
        world.sql("set timezone = 'Asia/Kolkata'; set datestyle = 'German'").await;
        world.sql(COMMAND).await;
        let now =
            world.value("select to_char(now() at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS') || '+00'").await;
        assert_eq!(missing(&world, &sets(), &now).await, [] as [String; 0], "on {}", world.major);
        let count = "select count(*) from pg_partition_tree('days') where isleaf";
        assert_eq!(world.value(count).await, "3");
        world.sql(COMMAND).await;
        assert_eq!(world.value(count).await, "3");
        let hourless: Vec<SetSettings> =
            sets().into_iter().filter(|s| s.interval.as_ref().is_some_and(|i| !i.contains("hour"))).collect();
        world.sql("delete from pgwright_cron.partition_set where table_name ~ 'My Schema|clock'").await;
        // Each change of the clock, and a leap day, of the years to come; hours reach two months ahead only.
        for at in [
            "2027-03-27 23:30:00+00",
            "2027-10-31 00:30:00+00",
            "2028-02-28 23:59:00+00",
            "2028-02-29 12:00:00+00",
        ] {
            // Of the days between, nothing is asked: the server was off.
            let between = format!(
                "delete from pgwright_cron.ahead where table_name in ('public.days', 'public.uuids') \
                 and due < extract(epoch from timestamptz '{at}' - interval '5 days') * 1000000"
            );
            world.sql(&between).await;
            world.sql(&format!("call pgwright_cron.run('{at}')")).await;
            assert_eq!(missing(&world, &hourless, at).await, [] as [String; 0], "at {at} on {}", world.major);
        }
        // Numbers grow with the largest.
        let ids = "select string_agg(relid::text, ' ' order by relid::text) from pg_partition_tree('ids') where isleaf";
        assert_eq!(world.value(ids).await, "ids_0 ids_100 ids_200");
        world.sql("insert into ids values (250)").await;
        world.sql(COMMAND).await;
        assert_eq!(world.value(ids).await, "ids_0 ids_100 ids_200 ids_300 ids_400");
        let session = world.target.connect(&SessionOptions::default()).await.unwrap();
        let of_ids: Vec<SetSettings> = sets().into_iter().filter(|s| s.table == "ids").collect();
        let survey = survey(&session, &of_ids).await.unwrap();
        assert!(
            survey.sets[0].steps.iter().all(|s| s.sql.starts_with("ANALYZE")),
            "{:?}",
            survey.sets[0].steps
        );
        // Undo takes the schema away and leaves the partitions.
        let undone = apply::undo(&world.target, &UndoTarget::Last, &quick(), &mut |_| {}).await.unwrap();
        undone.into_result().unwrap_or_else(|e| panic!("{}", shown(&e)));
        assert_eq!(world.value("select to_regnamespace('pgwright_cron') is null").await, "true");
        assert_eq!(world.value(ids).await, "ids_0 ids_100 ids_200 ids_300 ids_400");
        let entry = &apply::journal(&world.target).await.unwrap()[0];
        assert_eq!(entry.steps[0].status, Status::Undone);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_is_waited_for_shortly_and_a_failure_is_told_and_tried_again() {
    let world = World::on(testkit::any_server()).await;
    world
        .sql(
            "create table r (at timestamptz not null) partition by range (at); \
             create table r_d partition of r default; insert into r values (now() + interval '1 month')",
        )
        .await;
    let set = SetSettings {
        table: "r".into(),
        interval: Some("month".into()),
        premake: Some(1),
        ..SetSettings::default()
    };
    let sets = [set];
    schedule(&world.target, &sets, 10, None, &quick(), &mut |_| {}).await.unwrap();
    let holder = world.another_client().await;
    holder.batch_execute("begin; lock table r in access exclusive mode").await.unwrap();
    world.sql("call pgwright_cron.run(now(), 20, 2)").await;
    let count = "select count(*) from pg_partition_tree('r') where isleaf";
    holder.batch_execute("rollback").await.unwrap();
    assert_eq!(world.value(count).await, "1");
    world.sql("call pgwright_cron.run(now(), 20, 2)").await;
    // The next month stands in DEFAULT; only "partition run" moves rows.
    assert_eq!(world.value(count).await, "2");
    let session = world.target.connect(&SessionOptions::default()).await.unwrap();
    let told = plan_schedule(&session, &sets, 10).await.unwrap().notices;
    assert!(told.len() == 1 && told[0].contains("default partition"), "{told:?}");
    world.sql("delete from r").await;
    world.sql("call pgwright_cron.run(now(), 20, 2)").await;
    assert_eq!(world.value(count).await, "3");
    assert!(plan_schedule(&session, &sets, 10).await.unwrap().notices.is_empty());
    // Again: what was scheduled is replaced.
    schedule(&world.target, &sets, 5, None, &quick(), &mut |_| {}).await.unwrap();
    assert_eq!(world.value("select count(*) from pgwright_cron.ahead").await, "3");
}

/// Some 20 MB of the past in DEFAULT.
const LARGE: &str = r#"
    create table "My Schema"."lar'ge" (id int, "at time" timestamptz, note text) partition by range ("at time");
    create table "My Schema"."la""rest" partition of "My Schema"."lar'ge" default;
    insert into "My Schema"."lar'ge" select n, '2001-01-01', repeat('a note of some length ', 10) from generate_series(1, 75000) n"#;

fn large() -> SetSettings {
    SetSettings {
        table: r#""My Schema"."lar'ge""#.into(),
        interval: Some("month".into()),
        premake: Some(1),
        ..SetSettings::default()
    }
}

/// The server makes partitions beside a large DEFAULT, with a job of pg_cron when `cron` says when.
async fn beside_a_large_default(world: &World, server: &cluster::Server, cron: Option<&str>) {
    world.sql(LARGE).await;
    let on = format!("on {}", world.major);
    // What ATTACH does with DEFAULT stands in the log.
    let database = world.value("select current_database()").await;
    world.sql(&format!("alter database \"{database}\" set log_min_messages = debug1")).await;
    let count = r#"select count(*) from pg_partition_tree('"My Schema"."lar''ge"') where isleaf"#;
    // Without an index on the key it would be read while it is locked.
    let plan = schedule(&world.target, &[large()], 10, cron, &quick(), &mut |_| {})
        .await
        .unwrap_or_else(|e| panic!("{}", shown(&e)));
    let spares = "an index on \"at time\" spares that";
    assert!(plan.notices.iter().any(|n| n.contains(spares)), "{:?}", plan.notices);
    let caller = world.another_client().await;
    caller.batch_execute(COMMAND).await.unwrap();
    assert_eq!(world.value(count).await, "1", "{on}");
    let session = world.target.connect(&SessionOptions::default()).await.unwrap();
    let told = plan_schedule(&session, &[large()], 10).await.unwrap().notices.join(" ");
    assert!(told.contains("MB and would be read while it is locked"), "{told}");
    // What a death has left is taken away. Of the next month there is a row, which only "partition run" moves.
    world
        .sql(
            r#"create index on "My Schema"."lar'ge" ("at time");
               create function pgwright_cron.in_default_0() returns boolean immutable language sql as 'select true';
               alter table "My Schema"."la""rest" add constraint pgwright_cron_elsewhere check (pgwright_cron.in_default_0());
               insert into "My Schema"."lar'ge"
                   values (0, date_trunc('month', now() at time zone 'UTC') + interval '1 month 2 days')"#,
        )
        .await;
    caller.batch_execute(COMMAND).await.unwrap();
    assert_eq!(world.value(count).await, "2", "{on}");
    let told = plan_schedule(&session, &[large()], 10).await.unwrap().notices.join(" ");
    assert!(told.contains("holds rows of it") && told.contains("partition run"), "{told}");
    world.sql(r#"delete from "My Schema"."lar'ge" where id = 0"#).await;
    // Somebody writes meanwhile, and nothing of it is refused.
    let writer = world.another_client().await;
    let writing = tokio::spawn(async move {
        for n in 0..50 {
            let sql = format!(
                r#"insert into "My Schema"."lar'ge" values ({n}, now() + interval '{n} days', 'while')"#
            );
            writer.batch_execute(&sql).await.unwrap_or_else(|e| panic!("{sql}: {e:?}"));
        }
    });
    caller.batch_execute(COMMAND).await.unwrap();
    writing.await.unwrap();
    let written = r#"select count(*) from "My Schema"."lar'ge" where note = 'while'"#;
    assert_eq!(world.value(written).await, "50", "{on}");
    world.sql(r#"delete from "My Schema"."lar'ge" where note = 'while'"#).await;
    caller.batch_execute(COMMAND).await.unwrap();
    assert_eq!(world.value(count).await, "3", "{on}");
    let log = std::fs::read_to_string(server.log_file()).unwrap();
    let implied =
        "updated partition constraint for default partition \"la\"rest\" is implied by existing constraints";
    assert!(log.matches(implied).count() >= 2, "DEFAULT was read while it was locked, {on}");
    let left = "select (select count(*) from pg_constraint where conname ~ '^pgwright') \
                + (select count(*) from pg_proc where proname ~ '^in_default_[1-9]')";
    assert_eq!(world.value(left).await, "0", "{on}");
    // What is left of a death does not keep the schedule from being taken away.
    world
        .sql(r#"alter table "My Schema"."la""rest" add constraint pgwright_cron_elsewhere check (pgwright_cron.in_default_0())"#)
        .await;
    let undone = apply::undo(&world.target, &UndoTarget::Last, &quick(), &mut |_| {}).await.unwrap();
    undone.into_result().unwrap_or_else(|e| panic!("{}", shown(&e)));
    assert_eq!(world.value("select to_regnamespace('pgwright_cron') is null").await, "true");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_does_not_read_a_large_default_while_it_is_locked() {
    for server in testkit::servers() {
        beside_a_large_default(&World::on(server).await, server, None).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pg_cron_is_told_where_it_is_there() {
    let world = World::on(testkit::any_server()).await;
    world.sql("create table r (at date not null) partition by range (at)").await;
    let set = SetSettings { table: "r".into(), interval: Some("month".into()), ..SetSettings::default() };
    let refused =
        schedule(&world.target, std::slice::from_ref(&set), 10, Some("7 * * * *"), &quick(), &mut |_| {})
            .await;
    assert!(shown(&refused.unwrap_err()).contains("pg_cron is not in this database"));
    // Debian's PostgreSQL 15 comes with it.
    if !testkit::versions().iter().any(|b| b.major == 15) {
        return;
    }
    let preload = [("shared_preload_libraries", "pg_cron"), ("cron.database_name", "cron_db")];
    let server = testkit::server_with(15, &preload);
    let admin = testkit::connect(&server.url("postgres")).await;
    admin.batch_execute("create database cron_db template template0").await.unwrap();
    let client = testkit::connect(&server.url("cron_db")).await;
    client
        .batch_execute("create extension pg_cron; create table r (at date not null) partition by range (at)")
        .await
        .unwrap();
    let there = target(&server.url("cron_db"));
    let bad =
        schedule(&there, std::slice::from_ref(&set), 10, Some("now and then"), &quick(), &mut |_| {}).await;
    assert!(shown(&bad.unwrap_err()).contains("now and then"));
    for _ in 0..2 {
        schedule(&there, std::slice::from_ref(&set), 10, Some("7 * * * *"), &quick(), &mut |_| {})
            .await
            .unwrap_or_else(|e| panic!("{}", shown(&e)));
    }
    let jobs = "select string_agg(format('%s|%s|%s', jobname, schedule, command), ',') from cron.job";
    let found: String = client.query_one(jobs, &[]).await.unwrap().get(0);
    assert_eq!(found, format!("pgwright partitions|7 * * * *|{COMMAND}"));
    client.batch_execute(COMMAND).await.unwrap();
    let count = "select count(*) from pg_partition_tree('r') where isleaf";
    assert_eq!(client.query_one(count, &[]).await.unwrap().get::<_, i64>(0), 5);
    let undone = apply::undo(&there, &UndoTarget::Last, &quick(), &mut |_| {}).await.unwrap();
    undone.into_result().unwrap_or_else(|e| panic!("{}", shown(&e)));
    assert!(client.query_one(jobs, &[]).await.unwrap().get::<_, Option<String>>(0).is_none());
    let world = World {
        url: server.url("cron_db"),
        target: there,
        client: testkit::connect(&server.url("cron_db")).await,
        major: 15,
        server_program: None,
    };
    world.sql("create schema \"My Schema\"").await;
    beside_a_large_default(&world, &server, Some("7 * * * *")).await;
}
