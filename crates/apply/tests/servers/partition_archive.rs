//! Does an archived partition come back with every value as it was, and is nothing dropped before its archive is right?

use std::path::Path;

use apply::partition_archive::{Archive, Manifest, ObjectStorage, Store, plan_restore, restore};
use apply::partition_sets::run;
use apply::{Error, Event, ExecuteOptions, Status, UndoTarget};
use model::partition_set::RetentionAction;
use partitioning::settings::SetSettings;
use postgres::SessionOptions;

use crate::partition_sets::looked_after;
use crate::world::{World, quick, shown};

/// A set with one partition of a thousand rows, which is older than any retention.
pub const OUTDATED: &str = "
    create table r (at date not null, x int) partition by range (at);
    create table r_1 partition of r for values from ('2001-01-01') to ('2001-02-01');
    insert into r select '2001-01-05', n from generate_series(1, 1000) n";

/// Names, types and values that text formats are bad at.
pub const HOSTILE: &str = r#"
    create type "My Schema"."Mood" as enum ('so so', 'it''s "fine"');
    create domain "My Schema".short as varchar(10) check (value <> 'bad');
    create table "My Schema"."a""b.c of" (
        gone int, id bigint generated always as identity, "at time" timestamptz not null,
        twice numeric generated always as (id * 2) stored, f double precision, r real, t text collate "C", b bytea,
        "NULL?" text default 'not given', mood "My Schema"."Mood", d "My Schema".short, arr text[], j jsonb, i interval,
        m money, span tstzrange, n numeric, inet inet, "select" char(5), primary key (id, "at time")
    ) partition by range ("at time");
    alter table "My Schema"."a""b.c of" drop column gone;
    create index on "My Schema"."a""b.c of" (lower(t)) where f > 0;
    create table "My Schema"."a""b.c part" partition of "My Schema"."a""b.c of" for values from ('2001-01-01') to ('2001-02-01');
    insert into "My Schema"."a""b.c of" ("at time", f, r, t, b, "NULL?", mood, d, arr, j, i, m, span, n, inet, "select") values
        ('2001-01-05 12:34:56.789012+03', 0.1::float8 + 0.2, 1.1::real, e'line\nline\r\n\\.\n"quoted", comma', '\x00ff5c', null,
         'it''s "fine"', 'ok', array['', null, 'a,b', '"', e'\\'], '{"a": "\n\\\""}', '-1 mon +2 days -03:04:05.678901', '-1234.56',
         '[2001-01-01,)', 'NaN', '::1/64', 'x '),
        ('2001-01-05', 'Infinity', '-0', '', '', '', null, null, '{}', 'null', '0', null, 'empty', 1e-30, null, null),
        ('2001-01-05', '-Infinity', 'NaN', '\N', '\x5c2e', '\.', 'so so', '\.', null, '[]', null, 0, null, 123456789012345678901234567890.1, null, ''),
        ('2001-01-06', 5e-324, 3.4028235e38, null, null, default, null, null, null, null, null, null, null, null, null, null);
"#;

/// How the storage of a test is reached.
pub fn reached(endpoint: &str) -> ObjectStorage {
    let key = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    ObjectStorage {
        endpoint: Some(endpoint.to_owned()),
        variables: [
            key("AWS_ACCESS_KEY_ID", testkit::ObjectStorage::ACCESS_KEY_ID),
            key("AWS_SECRET_ACCESS_KEY", testkit::ObjectStorage::SECRET_ACCESS_KEY),
        ]
        .into(),
        ..ObjectStorage::default()
    }
}

pub async fn archives_of(location: &str, options: &ExecuteOptions) -> Vec<(Archive, Manifest)> {
    Store::open(location, &options.object_storage).unwrap().list().await.unwrap()
}

async fn list(folder: &Path) -> Vec<(Archive, Manifest)> {
    archives_of(&folder.display().to_string(), &quick()).await
}

pub fn archiving(table: &str, place: impl std::fmt::Display) -> SetSettings {
    SetSettings {
        table: table.into(),
        interval: Some("1 month".into()),
        premake: Some(0),
        retention: Some("12 months".into()),
        then: Some(RetentionAction::Archive),
        archive: Some(place.to_string()),
        ..SetSettings::default()
    }
}

async fn archived(world: &World, set: &SetSettings) -> apply::partition_sets::SetRun {
    looked_after(world, std::slice::from_ref(set), &quick()).await
}

async fn only(folder: &Path) -> Archive {
    let mut found = list(folder).await;
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0).0
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn every_value_comes_back_as_it_was() {
    for server in testkit::servers() {
        let world = World::on(server).await;
        world.sql(HOSTILE).await;
        let folder = tempfile::tempdir().unwrap();
        let rows = |from: &str| format!("select string_agg(x::text, e'\\n' order by id) from {from} x");
        let whole = r#""My Schema"."a""b.c of""#;
        let before = world.value(&rows(whole)).await;
        assert_eq!(before.matches("2001-01-0").count(), 4 + 1);
        let done = archived(&world, &archiving(whole, folder.path().display())).await;
        assert!(done.steps.iter().all(|s| s.status == Status::Done), "{:?}", done.steps);
        assert_eq!(world.value(r#"select to_regclass('"My Schema"."a""b.c part"') is null"#).await, "true");
        assert_eq!(names(folder.path()).len(), 2, "{:?}", names(folder.path()));
        let manifest = only(folder.path()).await;
        let session = world.target.connect(&SessionOptions::default()).await.unwrap();
        let plan = plan_restore(&session, &manifest, true).await.unwrap();
        assert_eq!(plan.archive.rows, 4);
        let restored = restore(&world.target, &manifest, true, &quick(), &mut |_| {})
            .await
            .unwrap_or_else(|e| panic!("{}", shown(&e)));
        assert_eq!(restored.rows, 4);
        assert_eq!(world.value(&rows(whole)).await, before, "on {}", world.major);
        // The index of the whole is there, valid, and part of it.
        let indexes = r#"select count(*) from pg_index where indrelid = '"My Schema"."a""b.c part"'::regclass and indisvalid"#;
        assert_eq!(world.value(indexes).await, "2");
        let checks = "select count(*) from pg_constraint where conname = 'pgwright_bound'";
        assert_eq!(world.value(checks).await, "0");
        let again = restore(&world.target, &manifest, true, &quick(), &mut |_| {}).await.unwrap_err();
        assert!(shown(&again).contains("already"), "{}", shown(&again));
        // Undo detaches it and keeps its rows.
        let undone = apply::undo(&world.target, &UndoTarget::Last, &quick(), &mut |_| {}).await.unwrap();
        undone.into_result().unwrap_or_else(|e| panic!("{}", shown(&e)));
        assert_eq!(world.value(&format!("select count(*) from {whole}")).await, "0");
        // From the manifest alone, when the partitioned table has gone.
        world.sql(r#"drop table "My Schema"."a""b.c part"; drop table "My Schema"."a""b.c of""#).await;
        let refused = restore(&world.target, &manifest, true, &quick(), &mut |_| {}).await.unwrap_err();
        assert!(shown(&refused).contains("--no-attach"), "{}", shown(&refused));
        restore(&world.target, &manifest, false, &quick(), &mut |_| {})
            .await
            .unwrap_or_else(|e| panic!("{}", shown(&e)));
        assert_eq!(world.value(&rows(r#""My Schema"."a""b.c part""#)).await, before, "on {}", world.major);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_that_came_since_get_their_default_and_columns_that_went_are_told_of() {
    let world = World::on(testkit::any_server()).await;
    world
        .sql(
            "create table r (at date not null, x int, y int) partition by range (at); \
             create table r_1 partition of r for values from ('2001-01-01') to ('2001-02-01') partition by list (x); \
             create table r_1_1 partition of r_1 for values in (1); \
             create table r_1_d partition of r_1 default; \
             insert into r values ('2001-01-05', 1, 1), ('2001-01-06', 2, null)",
        )
        .await;
    let folder = tempfile::tempdir().unwrap();
    archived(&world, &archiving("r", folder.path().display())).await;
    world.sql("alter table r add column z text default 'later'").await;
    let manifest = only(folder.path()).await;
    restore(&world.target, &manifest, true, &quick(), &mut |_| {})
        .await
        .unwrap_or_else(|e| panic!("{}", shown(&e)));
    let rows = "select string_agg(r::text, ' ' order by at) from r";
    assert_eq!(world.value(rows).await, "(2001-01-05,1,1,later) (2001-01-06,2,,later)");
    world.sql("drop table r_1; alter table r drop column y").await;
    let refused = restore(&world.target, &manifest, true, &quick(), &mut |_| {}).await.unwrap_err();
    assert!(shown(&refused).contains("has no column y any more"), "{}", shown(&refused));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_dropped_without_an_archive_that_was_compared() {
    let world = World::on(testkit::any_server()).await;
    world.sql(OUTDATED).await;
    let folder = tempfile::tempdir().unwrap();
    // A folder that cannot be made: nothing is even detached.
    let file = folder.path().join("file");
    std::fs::write(&file, "in the way").unwrap();
    let set = archiving("r", file.display());
    let done = run(&world.target, std::slice::from_ref(&set), &quick(), &mut |_| {}).await.unwrap();
    assert_eq!(done.failures.len(), 1);
    assert_eq!(world.value("select count(*) from r").await, "1000");
    // A view depends on the partition: it is archived, and stays.
    world.sql("create view v as select * from r_1").await;
    let set = archiving("r", folder.path().join("a/b").display());
    let done = run(&world.target, std::slice::from_ref(&set), &quick(), &mut |_| {}).await.unwrap();
    let failure = shown(&done.failures[0].1);
    assert!(failure.contains("depend"), "{failure}");
    assert_eq!(world.value("select count(*) from r_1").await, "1000");
    // Somebody writes to the detached table: the next run archives it anew before it drops it.
    world.sql("insert into r_1 values ('2001-01-07', -1); drop view v").await;
    let manifest = only(&folder.path().join("a/b")).await;
    archived(&world, &set).await;
    assert_eq!(world.value("select to_regclass('r_1') is null").await, "true");
    let found = list(&folder.path().join("a/b")).await;
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].0.to_string(), found[0].1.rows), (manifest.to_string(), 1001));
    // A damaged file is not loaded.
    let rows = folder.path().join("a/b").join(&found[0].1.file);
    let good = std::fs::read(&rows).unwrap();
    for damaged in [&good[..good.len() / 2], b"" as &[u8], &[&good[..], &good[..]].concat()] {
        std::fs::write(&rows, damaged).unwrap();
        let error = restore(&world.target, &manifest, true, &quick(), &mut |_| {}).await.unwrap_err();
        assert!(matches!(error, Error::Archive(_)), "{}", shown(&error));
        assert_eq!(world.value("select to_regclass('r_1') is null").await, "true");
    }
    std::fs::write(&rows, &good).unwrap();
    restore(&world.target, &manifest, true, &quick(), &mut |_| {}).await.unwrap();
    assert_eq!(world.value("select count(*) || ' ' || sum(x) from r").await, "1001 500499");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_waits_for_the_archive_and_finds_the_table_gone() {
    let world = World::on(testkit::any_server()).await;
    world
        .sql(
            "create table r (at date not null) partition by range (at); \
             create table r_1 partition of r for values from ('2001-01-01') to ('2001-02-01'); \
             insert into r values ('2001-01-05')",
        )
        .await;
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Some(world.another_client().await);
    let mut writing = None;
    let mut on_event = |event: Event| {
        // The table is held from before it is read.
        if let Event::Sending { sql, .. } = &event
            && sql.starts_with("COPY")
            && let Some(client) = writer.take()
        {
            writing = Some(tokio::spawn(async move {
                client.batch_execute("insert into r_1 values ('2001-01-06')").await.unwrap_err()
            }));
        }
    };
    let set = archiving("r", folder.path().display());
    run(&world.target, std::slice::from_ref(&set), &quick(), &mut on_event).await.unwrap();
    assert_eq!(list(folder.path()).await[0].1.rows, 1);
    let late = writing.unwrap().await.unwrap();
    assert_eq!(late.code().map(|c| c.code()), Some("42P01"), "{late:?}");
}
