//! A large DEFAULT that is written to: is it emptied without being read under a lock, without a lost write, and without
//! a transaction of others that fails?

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use apply::partition_sets::{run, survey};
use apply::{Event, ExecuteOptions, Status};
use partitioning::settings::SetSettings;
use postgres::SessionOptions;
use tokio_postgres::Client;

use crate::partition_sets::looked_after;
use crate::world::{World, quick, shown};

/// Some 20 MB of two months in DEFAULT, and rows that stay there.
const LARGE: &str = r#"
    create table "My Schema"."big ""q" (id bigint not null, "at time" timestamptz, note text) partition by range ("at time");
    create table "My Schema"."big rest" partition of "My Schema"."big ""q" default;
    create index on "My Schema"."big ""q" ("at time");
    create index on "My Schema"."big ""q" (id);
    insert into "My Schema"."big ""q"
        select n, now() - n * interval '1 minute', repeat('a note of some length ', 10) || n from generate_series(1, 75000) n;
    insert into "My Schema"."big ""q" ("at time", id) values ('2099-07-01', -1), ('infinity', -2), (null, -3)"#;

fn large() -> SetSettings {
    SetSettings {
        table: r#""My Schema"."big ""q""#.into(),
        interval: Some("1 month".into()),
        premake: Some(1),
        ..SetSettings::default()
    }
}

/// Inserts rows all over DEFAULT until told to stop; the ids of those that were acknowledged.
async fn write(client: Client, stop: Arc<AtomicBool>) -> Vec<i64> {
    let mut ledger = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let id = 1_000_000 + ledger.len() as i64;
        let back = id * 37 % 75_000;
        let sql = format!(
            r#"insert into "My Schema"."big ""q" values ({id}, now() - {back} * interval '1 minute', 'written')"#
        );
        assert_eq!(client.execute(&sql, &[]).await.unwrap(), 1, "{sql}");
        ledger.push(id);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    ledger
}

/// Changes and deletes rows of DEFAULT a moment after a partition has begun to take them. Each has to find its row.
async fn change(client: Client, nth: i64) {
    tokio::time::sleep(Duration::from_millis(30)).await;
    for k in 0..20 {
        let id = nth * 1000 + k * 3000 + 1;
        let sql = match k % 2 {
            0 => format!(r#"update "My Schema"."big ""q" set note = 'changed' where id = {id}"#),
            _ => format!(r#"delete from "My Schema"."big ""q" where id = {id}"#),
        };
        assert_eq!(client.execute(&sql, &[]).await.unwrap_or_else(|e| panic!("{sql}: {e:?}")), 1, "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_default_is_emptied_while_others_write_and_never_read_while_it_is_locked() {
    for server in testkit::servers() {
        let world = World::on(server).await;
        world.sql(LARGE).await;
        let database = world.value("select current_database()").await;
        // What ATTACH does with DEFAULT stands in the log.
        world.sql(&format!("alter database \"{database}\" set log_min_messages = debug1")).await;
        let stop = Arc::new(AtomicBool::new(false));
        let writing = tokio::spawn(write(world.another_client().await, Arc::clone(&stop)));
        let (told, reader) = (Arc::clone(&stop), world.another_client().await);
        let reading = tokio::spawn(async move {
            while !told.load(Ordering::Relaxed) {
                let sql = r#"select count(*) from "My Schema"."big ""q" where id < 0"#;
                let seen: i64 = reader.query_one(sql, &[]).await.unwrap().get(0);
                assert_eq!(seen, 3, "a row was out of sight or seen twice");
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        // Three times somebody changes rows that are being moved.
        let (mut others, mut changing) = (Vec::new(), Vec::new());
        for _ in 0..3 {
            others.push(world.another_client().await);
        }
        let mut on_event = |event: Event| {
            if matches!(&event, Event::Sending { sql, .. } if sql.contains("WITH moved"))
                && let Some(client) = others.pop()
            {
                changing.push(tokio::spawn(change(client, others.len() as i64)));
            }
        };
        let options = ExecuteOptions { tries: 50, ..quick() };
        let done = run(&world.target, &[large()], &options, &mut on_event).await.unwrap();
        stop.store(true, Ordering::Relaxed);
        if let Some((_, error)) = done.failures.first() {
            panic!("on {}: {}", world.major, shown(error));
        }
        reading.await.unwrap();
        assert_eq!(changing.len(), 3);
        for change in changing {
            change.await.unwrap();
        }
        let made =
            done.steps.iter().filter(|s| s.status == Status::Done && s.sql.contains(" ATTACH ")).count();
        assert!(made >= 3, "{:?}", done.steps.len());
        let ledger = writing.await.unwrap();
        assert!(ledger.len() > 10, "the writer came to nothing");
        let written = r#"select count(*) || ' ' || count(distinct id) from "My Schema"."big ""q" where note = 'written'"#;
        assert_eq!(world.value(written).await, format!("{0} {0}", ledger.len()), "on {}", world.major);
        let changed = r#"select count(*) from "My Schema"."big ""q" where note = 'changed'"#;
        assert_eq!(world.value(changed).await, "30");
        let expected = 75_000 + 3 + ledger.len() - 30;
        let count = r#"select count(*) from "My Schema"."big ""q""#;
        assert_eq!(world.value(count).await, expected.to_string());
        // Each partition was attached by what the CHECK said. Small ones were not: DEFAULT is never read under its lock.
        let log = std::fs::read_to_string(server.log_file()).unwrap();
        let implied = log
            .matches("updated partition constraint for default partition \"big rest\" is implied by existing constraints")
            .count();
        assert!(implied >= made, "{implied} of {made}");
        // Nothing of it is left.
        let left = "select (select count(*) from pg_constraint where conname ~ '^pgwright') \
                    + (select count(*) from pg_proc where proname ~ '^in_default')";
        assert_eq!(world.value(left).await, "0");
        let rest = r#"select string_agg(id::text, ' ' order by id) from only "My Schema"."big rest""#;
        assert_eq!(world.value(rest).await, "-3 -2 -1");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_default_is_not_taken_for_empty_when_it_is_not() {
    let world = World::on(testkit::any_server()).await;
    world.sql(LARGE).await;
    world.sql(r#"delete from "My Schema"."big ""q" where "at time" > now() - interval '40 days'"#).await;
    let session = world.target.connect(&SessionOptions::default()).await.unwrap();
    let seen = survey(&session, &[large()]).await.unwrap();
    assert!(seen.sets[0].notices.iter().all(|n| !n.contains("spares")), "{:?}", seen.sets[0].notices);
    // A row of the next month comes after the survey has looked, from somebody who waits for the locks of the first
    // partition. The next one is refused, and is made by the next run with the row.
    let late = world.another_client().await;
    let insert = r#"insert into "My Schema"."big rest" values (5, date_trunc('month', now()) + interval '1 month 1 day')"#;
    let mut on_event = |event: Event| {
        if let Event::Started { sql, .. } = &event
            && sql.contains(" ADD CONSTRAINT pgwright_elsewhere ")
        {
            tokio::task::block_in_place(|| {
                tokio::runtime::Handle::current().block_on(late.execute(insert, &[])).unwrap()
            });
        }
    };
    let done = run(&world.target, &[large()], &quick(), &mut on_event).await.unwrap();
    let failure = done.failures.first().map(|(_, error)| shown(error)).unwrap_or_default();
    assert!(failure.contains("have come into DEFAULT"), "{failure}");
    let left = "select (select count(*) from pg_constraint where conname ~ '^pgwright') \
                + (select count(*) from pg_proc where proname ~ '^in_default')";
    assert_eq!(world.value(left).await, "0", "what was prepared is taken away");
    looked_after(&world, &[large()], &quick()).await;
    let of_default = r#"select count(*) from only "My Schema"."big rest" where id > 0"#;
    assert_eq!(world.value(of_default).await, "0");

    // A death after the preparation leaves a CHECK that refuses nothing, and the next run takes it away.
    world
        .sql(
            r#"create function pgwright.in_default_0() returns boolean immutable language sql as 'select true';
               alter table "My Schema"."big rest" add constraint pgwright_elsewhere check (pgwright.in_default_0())"#,
        )
        .await;
    let further = SetSettings { premake: Some(3), ..large() };
    // The constraint goes, and its function, which is not of this table, stays out of the way.
    looked_after(&world, &[further], &quick()).await;
    assert_eq!(world.value("select count(*) from pg_constraint where conname ~ '^pgwright'").await, "0");

    // Without an index on the key it is read as before, and the plan says so.
    world
        .sql(
            r#"create table slow (id bigint, at date not null, note text) partition by range (at);
               create table slow_rest partition of slow default;
               insert into slow select n, '2020-01-01', repeat('x', 100) from generate_series(1, 150000) n"#,
        )
        .await;
    let slow =
        SetSettings { table: "slow".into(), interval: Some("day".into()), premake: Some(0), ..large() };
    let seen = survey(&session, std::slice::from_ref(&slow)).await.unwrap();
    assert!(
        seen.sets[0].notices.iter().any(|n| n.contains("an index on at spares that")),
        "{:?}",
        seen.sets[0].notices
    );
    world.sql("create index on slow_rest (at)").await;
    let seen = survey(&session, &[slow]).await.unwrap();
    assert!(seen.sets[0].notices.iter().all(|n| !n.contains("spares")), "{:?}", seen.sets[0].notices);
    assert!(seen.sets[0].steps.iter().any(|s| s.sql.contains("in_default_")), "{:?}", seen.sets[0].steps);
}

/// Changes rows of DEFAULT without a pause until told to stop, and keeps a ledger: how often each was counted up.
async fn count_up(
    client: Client,
    stop: Arc<AtomicBool>,
    (first, step, rows): (i64, i64, i64),
) -> Vec<(i64, i64)> {
    let mut ledger = vec![0; usize::try_from(rows).unwrap()];
    let sql = r#"update "My Schema"."bu'sy" set hits = hits + 1 where id = $1"#;
    let sql = client.prepare(sql).await.unwrap();
    let mut n = 0;
    while !stop.load(Ordering::Relaxed) {
        let row = n * 7 % rows;
        assert_eq!(
            client.execute(&sql, &[&(first + row * step)]).await.unwrap(),
            1,
            "a row was out of sight"
        );
        ledger[usize::try_from(row).unwrap()] += 1;
        n += 1;
    }
    ledger.into_iter().zip(0..).map(|(hits, row)| (first + row * step, hits)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_are_changed_without_a_pause_leave_default_too() {
    for server in testkit::servers() {
        // A few rows among many, and all rows of a few.
        for (rows, few) in [(20_000, 40), (300, 300)] {
            let world = World::on(server).await;
            world
                .sql(&format!(
                    r#"create table "My Schema"."bu'sy" (id bigint, "at time" timestamptz, hits bigint not null default 0,
                           twice bigint generated always as (hits * 2) stored, primary key (id, "at time"))
                           partition by range ("at time");
                       create table "My Schema"."r""est" partition of "My Schema"."bu'sy" default;
                       create index on "My Schema"."bu'sy" ("at time");
                       insert into "My Schema"."bu'sy"
                           select n, now() - n * interval '{} seconds' from generate_series(1, {rows}) n"#,
                    // Two months, so that two partitions take them.
                    3_000_000 / rows
                ))
                .await;
            let stop = Arc::new(AtomicBool::new(false));
            let mut writers = Vec::new();
            for part in 0..2 {
                let which = (part * (rows / 2) + 1, rows / few, few / 2);
                let client = world.another_client().await;
                writers.push(tokio::spawn(count_up(client, Arc::clone(&stop), which)));
            }
            let settings = SetSettings {
                table: r#""My Schema"."bu'sy""#.into(),
                interval: Some("1 month".into()),
                premake: Some(1),
                ..SetSettings::default()
            };
            let options = ExecuteOptions { tries: 50, ..quick() };
            let done = run(&world.target, &[settings], &options, &mut |_| {}).await.unwrap();
            // What is written afterwards goes to the partitions.
            let of_default = r#"select count(*) from only "My Schema"."r""est""#;
            let left = world.value(of_default).await;
            stop.store(true, Ordering::Relaxed);
            if let Some((_, error)) = done.failures.first() {
                panic!("on {}: {}", world.major, shown(error));
            }
            assert_eq!(left, "0", "on {}", world.major);
            let mut all = 0;
            for writer in writers {
                for (id, hits) in writer.await.unwrap() {
                    let found =
                        format!(r#"select hits || ' ' || twice from "My Schema"."bu'sy" where id = {id}"#);
                    assert_eq!(
                        world.value(&found).await,
                        format!("{hits} {}", hits * 2),
                        "row {id} on {}",
                        world.major
                    );
                    all += hits;
                }
            }
            assert!(all > few, "the writers came to nothing");
            let sums = r#"select count(*) || ' ' || count(distinct id) || ' ' || sum(hits) from "My Schema"."bu'sy""#;
            assert_eq!(world.value(sums).await, format!("{rows} {rows} {all}"), "on {}", world.major);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_would_be_too_long_is_given_up_and_told_of() {
    let world = World::on(testkit::any_server()).await;
    // Without an index on the key, all of DEFAULT is read while it is locked.
    world
        .sql(
            "create table wide (id bigint, at date not null) partition by range (at); \
             create table wide_rest partition of wide default; \
             insert into wide select n, '2020-01-01' from generate_series(1, 300000) n; \
             insert into wide values (0, now())",
        )
        .await;
    let settings = SetSettings {
        table: "wide".into(),
        interval: Some("month".into()),
        premake: Some(0),
        retention: Some("1 year".into()),
        ..SetSettings::default()
    };
    let options = ExecuteOptions { max_lock: Duration::from_millis(4), tries: 2, ..quick() };
    let done = run(&world.target, std::slice::from_ref(&settings), &options, &mut |_| {}).await.unwrap();
    let failure = done.failures.first().map(|(_, error)| shown(error)).unwrap_or_default();
    assert!(failure.contains("longer than max_lock (4 ms)") && failure.contains("--max-lock"), "{failure}");
    assert_eq!(world.value("select count(*) from only wide_rest").await, "300001");
    looked_after(&world, &[settings], &quick()).await;
    assert_eq!(world.value("select count(*) from only wide_rest").await, "300000");
}
