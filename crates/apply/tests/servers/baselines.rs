//! Baselines are stored, listed, read back and deleted.

use apply::Error;
use apply::store::{self, Baseline, BaselineIndex, BaselinePlan, BaselineRef};
use chrono::{TimeZone as _, Utc};
use model::snapshot::Statement;
use model::{Bytes, Millis, QualifiedName};

use crate::world::{World, plain_table};

fn baseline(name: &str, day: u32) -> Baseline {
    let statement = |queryid, toplevel, ms| Statement {
        queryid,
        toplevel,
        query: format!("select {queryid} -- it's \\ \"quoted\""),
        calls: 10,
        total_exec_time: Millis(ms),
        mean_exec_time: Millis(ms / 10.0),
        shared_blks_hit: i64::MAX,
        ..Statement::default()
    };
    Baseline {
        name: name.into(),
        taken_at: Utc.with_ymd_and_hms(2026, 11, day, 12, 0, 0).unwrap(),
        server_version: "15.1".into(),
        details: store::Details {
            note: Some("before".into()),
            dealloc: Some(3),
            ..store::Details::default()
        },
        statements: vec![statement(-7, true, 500.0), statement(-7, false, 20.0), statement(8, true, 1.5)],
        plans: vec![BaselinePlan {
            queryid: -7,
            example: "select 1".into(),
            explain: serde_json::json!([{"Plan": {"Node Type": "Result", "Total Cost": 0.01}}]),
        }],
        indexes: vec![BaselineIndex {
            name: QualifiedName::new("public", "a\"b.c"),
            table: plain_table(),
            idx_scan: 4,
            bytes: Bytes(16384),
            definition: "CREATE INDEX …".into(),
        }],
        ..Baseline::default()
    }
}

#[tokio::test]
async fn a_baseline_comes_back_as_it_was_saved() {
    for server in testkit::servers() {
        let world = World::on(server).await;
        assert_eq!(store::list(&world.target).await.unwrap(), []);
        let missing = store::load(&world.target, &BaselineRef::Latest).await.unwrap_err();
        assert!(matches!(missing, Error::NoBaseline { .. }), "{missing}");
        assert_eq!(world.value("to_regnamespace('pgwright')").await, "", "reading makes no schema");

        let id = store::save_baseline(&world.target, &baseline("it's", 2)).await.unwrap();
        let other = store::save_baseline(&world.target, &baseline("earlier", 1)).await.unwrap();
        let taken = store::save_baseline(&world.target, &baseline("it's", 3)).await.unwrap_err();
        assert!(matches!(taken, Error::BaselineExists { .. }), "{taken}");

        let listed = store::list(&world.target).await.unwrap();
        let names: Vec<_> = listed.iter().map(|b| (b.baseline_id, b.name.as_str())).collect();
        assert_eq!(names, [(other, "earlier"), (id, "it's")]);
        assert_eq!((listed[0].statements, listed[0].plans, listed[0].indexes), (3, 1, 1));
        assert_eq!(listed[0].note.as_deref(), Some("before"));

        let expected = Baseline { baseline_id: id, ..baseline("it's", 2) };
        for wanted in [BaselineRef::Latest, BaselineRef::Id(id), BaselineRef::Name("it's".into())] {
            assert_eq!(store::load(&world.target, &wanted).await.unwrap(), expected);
        }
        assert!(expected.statement(-7).unwrap().toplevel);
        assert_eq!(world.value("select max(total_cost) from pgwright.baseline_plan").await, "0.01");

        // A baseline of a version that stored less.
        world
            .sql("update pgwright.baseline_statement set counters = '{\"queryid\": 8}' where queryid = 8")
            .await;
        let old = store::load(&world.target, &BaselineRef::Id(id)).await.unwrap();
        assert_eq!(old.statement(8).unwrap().calls, 0);

        assert_eq!(store::delete(&world.target, &BaselineRef::Name("it's".into())).await.unwrap(), "it's");
        assert_eq!(store::list(&world.target).await.unwrap().len(), 1);
        assert_eq!(world.value("select count(*) from pgwright.baseline_statement").await, "3");
    }
}

#[tokio::test]
async fn two_first_writes_at_once_make_one_schema() {
    let world = World::on(testkit::any_server()).await;
    let names: Vec<Baseline> = (1..=8).map(|n| baseline(&format!("b{n}"), n)).collect();
    let saved =
        futures_util::future::join_all(names.iter().map(|b| store::save_baseline(&world.target, b))).await;
    for id in saved {
        id.unwrap();
    }
    assert_eq!(store::list(&world.target).await.unwrap().len(), 8);
    assert_eq!(
        world.value("select count(*) from pgwright.schema_version").await,
        apply::SCHEMA_VERSION.to_string()
    );
}

#[tokio::test]
async fn a_schema_of_version_1_is_read_as_it_is_and_updated_by_the_first_write() {
    for server in testkit::servers() {
        let world = World::on(server).await;
        let first = include_str!("../../migrations/1.sql");
        world.sql("create schema pgwright").await;
        world.sql(first).await;
        world
            .sql(
                "insert into pgwright.schema_version (version) values (1); \
                 insert into pgwright.journal (run_id, recommendation_id, title, position, pgwright_version, promised) \
                   values ('00000000-0000-0000-0000-000000000001', 'old', 'an old one', 0, '0.1.0', '{}'); \
                 insert into pgwright.journal_step (entry_id, position, change, sql, undo_sql, status) values \
                   (1, 0, '{\"change\": \"analyze\", \"table\": {\"schema\": \"public\", \"name\": \"plain\"}}', \
                    'ANALYZE public.plain', null, 'done')",
            )
            .await;
        let journal = apply::journal(&world.target).await.unwrap();
        assert_eq!((journal[0].status.as_str(), journal[0].kept_at), ("done", None));
        assert_eq!(journal[0].steps[0].undoes, None);
        assert_eq!(world.value("select max(version) from pgwright.schema_version").await, "1");

        apply::verify::keep(&world.target, 1).await.unwrap();
        assert_eq!(
            world.value("select max(version) from pgwright.schema_version").await,
            apply::SCHEMA_VERSION.to_string()
        );
        assert!(apply::journal(&world.target).await.unwrap()[0].kept_at.is_some());
        let nobody = apply::verify::keep(&world.target, 4711).await.unwrap_err();
        assert!(matches!(nobody, Error::NoEntry { .. }), "{nobody}");
        assert!(apply::purge(&world.target, false).await.unwrap());
        assert_eq!(world.value("to_regnamespace('pgwright')").await, "");
    }
}
