//! Apply, look at the journal, undo, purge: on every version.

use apply::{Error, Status, UndoTarget};
use model::{Change, IndexDefinition, IndexKey, KeyTarget};

use crate::world::{
    World, create, drop_plain_y, execute, hostile_table, index, kind, plain_table, plan_of, quick,
    recommendation,
};

#[tokio::test]
async fn what_is_applied_is_journaled_and_undone_to_the_same_dump() {
    for server in testkit::servers() {
        let world = World::on(server).await;
        let before = world.schema_dump().await;
        let covering = IndexDefinition {
            include: vec!["stamp".into()],
            predicate: Some("\"select\" <> 'it''s'".into()),
            with: vec![("fillfactor".into(), "80".into())],
            ..index(hostile_table(), "Weird \"name\".idx", &["Größe", "select"])
        };
        let on_expression = IndexDefinition::btree(
            plain_table(),
            "plain_lower_idx",
            vec![
                IndexKey { target: KeyTarget::Expression("lower(y)".into()), ..IndexKey::column("") }
                    .descending(),
            ],
        );
        let plan = apply::plan(&[
            recommendation("first", vec![Change::CreateIndex { index: covering }]),
            recommendation(
                "second",
                vec![
                    Change::CreateIndex { index: on_expression },
                    drop_plain_y(),
                    Change::Vacuum { table: hostile_table() },
                ],
            ),
        ]);
        let asked = apply::preflight(&world.target, &plan).await.unwrap();
        assert_eq!(asked.refusals, []);
        assert_eq!(world.schema_dump().await, before, "preflight writes nothing");
        assert_eq!(world.value("to_regnamespace('pgwright')").await, "", "not even a schema");

        let mut kinds = Vec::new();
        let run = apply::execute(&world.target, &plan, &quick(), &mut |e| kinds.push(kind(&e)))
            .await
            .unwrap()
            .into_result()
            .unwrap();
        kinds.retain(|k| k != "progress");
        let step = ["started", "sending", "answered", "finished"];
        let expected: Vec<&str> =
            ["locked", "journaled", "journaled"].into_iter().chain((0..5).flat_map(|_| step)).collect();
        assert_eq!(kinds, expected);
        assert_eq!(run.entries.len(), 2);

        let indexes = world.indexes().await;
        assert!(
            indexes.contains(
                "CREATE INDEX \"Weird \"\"name\"\".idx\" ON \"My Schema\".\"a\"\"b.c\" USING btree (\"Größe\", \
                 \"select\") INCLUDE (stamp) WITH (fillfactor='80') WHERE (\"select\" <> 'it''s'::text)"
            ),
            "{indexes}"
        );
        assert!(indexes.contains("plain_lower_idx") && !indexes.contains("plain_y_idx"), "{indexes}");
        assert!(!indexes.contains("INVALID"));
        // The index on an expression was followed by ANALYZE.
        let analyzed = "select count(*) from pg_stats where tablename = 'plain_lower_idx'";
        assert_eq!(world.value(analyzed).await, "1");

        let journal = apply::journal(&world.target).await.unwrap();
        let statuses: Vec<_> =
            journal.iter().map(|e| (e.recommendation_id.as_str(), e.status.as_str())).collect();
        assert_eq!(statuses, [("first", "done"), ("second", "done")]);
        let made = &journal[0].steps[0];
        assert!(made.made_definition.as_ref().unwrap().contains("\"a\"\"b.c\""));
        assert!(made.made_oid.is_some() && made.worker_backend_start.is_some() && made.attempts == 1);
        assert!(made.started_at.unwrap() <= made.finished_at.unwrap());
        assert_eq!(journal[1].steps.len(), 4);
        assert_eq!(journal[0].promised.resolves, ["check:first"]);

        // Purging now would forget how to undo.
        let refused = apply::purge(&world.target, false).await.unwrap_err();
        assert!(matches!(refused, Error::StillApplied { entries: 2 }), "{refused}");

        let undone = apply::undo(&world.target, &UndoTarget::Last, &quick(), &mut |_| {})
            .await
            .unwrap()
            .into_result()
            .unwrap();
        assert_eq!(undone.recommendation_id, "second");
        assert!(undone.steps.iter().all(|s| s.status == Status::Undone));
        let first = UndoTarget::Recommendation("first".into());
        apply::undo(&world.target, &first, &quick(), &mut |_| {}).await.unwrap().into_result().unwrap();
        assert_eq!(
            world.schema_dump().await,
            before,
            "undo restores the schema on {}",
            server.binaries().version
        );

        let again = apply::undo(&world.target, &first, &quick(), &mut |_| {}).await.unwrap_err();
        assert!(matches!(again, Error::NothingToUndo { .. }), "{again}");
        let nothing = apply::undo(&world.target, &UndoTarget::Last, &quick(), &mut |_| {}).await.unwrap_err();
        assert!(matches!(nothing, Error::NoEntry { .. }), "{nothing}");

        assert!(apply::purge(&world.target, false).await.unwrap());
        assert_eq!(world.value("to_regnamespace('pgwright')").await, "");
        assert!(!apply::purge(&world.target, false).await.unwrap());
        assert_eq!(apply::journal(&world.target).await.unwrap(), []);
    }
}

#[tokio::test]
async fn one_step_can_be_undone_alone_and_the_entry_says_so() {
    let world = World::on(testkit::any_server()).await;
    let plan =
        plan_of("r", vec![create(plain_table(), "one", &["x"]), create(plain_table(), "two", &["x", "y"])]);
    let run = execute(&world, &plan, &quick()).await.unwrap().into_result().unwrap();
    let step = run.entries[0].steps[0].step_id;
    apply::undo(&world.target, &UndoTarget::Step(step), &quick(), &mut |_| {})
        .await
        .unwrap()
        .into_result()
        .unwrap();
    let indexes = world.indexes().await;
    assert!(indexes.contains("INDEX two ") && !indexes.contains("INDEX one "));
    assert_eq!(apply::journal(&world.target).await.unwrap()[0].status, "partly undone");
    let entry = UndoTarget::Entry(run.entries[0].entry_id);
    apply::undo(&world.target, &entry, &quick(), &mut |_| {}).await.unwrap().into_result().unwrap();
    assert_eq!(apply::journal(&world.target).await.unwrap()[0].status, "undone");
}

#[tokio::test]
async fn what_somebody_changed_is_not_undone() {
    let world = World::on(testkit::any_server()).await;
    let undo_last = async || apply::undo(&world.target, &UndoTarget::Last, &quick(), &mut |_| {}).await;
    let run = async |name: &str| {
        execute(&world, &plan_of("r", vec![create(plain_table(), name, &["x"])]), &quick())
            .await
            .unwrap()
            .into_result()
            .unwrap()
    };

    run("replaced").await;
    world.sql("drop index replaced; create index replaced on plain (x, y)").await;
    let error = undo_last().await.unwrap_err();
    assert!(matches!(&error, Error::ChangedSince { found, .. } if found.contains("(x, y)")), "{error}");
    assert!(world.indexes().await.contains("replaced"));
    world.sql("drop index replaced").await;
    // Gone by somebody else's hand: nothing to do, and the journal says so.
    let undone = undo_last().await.unwrap().into_result().unwrap();
    assert_eq!(undone.notices, ["Index public.replaced had already been dropped by somebody else."]);

    run("renamed").await;
    world.sql("alter index renamed rename to renamed_by_hand").await;
    let error = undo_last().await.unwrap_err();
    assert!(
        matches!(&error, Error::ChangedSince { found, .. } if found.contains("renamed_by_hand")),
        "{error}"
    );
    world.sql("alter index renamed_by_hand rename to renamed").await;
    // A rebuilt index has another OID and is still the same index.
    world.sql("reindex index concurrently renamed").await;
    undo_last().await.unwrap().into_result().unwrap();
    assert!(!world.indexes().await.contains("renamed"));

    execute(
        &world,
        &plan_of(
            "u",
            vec![Change::CreateIndex {
                index: IndexDefinition { unique: true, ..index(plain_table(), "used", &["id", "x"]) },
            }],
        ),
        &quick(),
    )
    .await
    .unwrap()
    .into_result()
    .unwrap();
    world.sql("alter table plain add constraint used unique using index used").await;
    let error = undo_last().await.unwrap_err();
    assert_eq!(error.to_string(), "index public.used belongs to a constraint");
}

#[tokio::test]
async fn an_interrupted_recommendation_goes_on_where_it_stopped() {
    for server in testkit::servers() {
        let world = World::on(server).await;
        let before = world.schema_dump().await;
        let unique = IndexDefinition { unique: true, ..index(plain_table(), "third", &["x"]) };
        let plan = plan_of(
            "r",
            vec![
                create(plain_table(), "first", &["x"]),
                Change::Analyze { table: plain_table() },
                Change::CreateIndex { index: unique },
                drop_plain_y(),
            ],
        );
        // The values of x are not unique, until somebody has mended them.
        let error = execute(&world, &plan, &quick()).await.unwrap().into_result().unwrap_err();
        assert_eq!(error.sqlstate().as_deref(), Some("23505"));
        world.sql("update plain set x = id").await;
        let asked = apply::preflight(&world.target, &plan).await.unwrap();
        assert_eq!(asked.refusals, []);
        let left: Vec<_> = asked.plan.steps().map(|(_, s)| s.change.object().name).collect();
        assert_eq!(left, ["third", "plain_y_idx"]);
        assert_eq!(asked.plan.recommendations[0].resumes, Some(1));
        let run = execute(&world, &plan, &quick()).await.unwrap().into_result().unwrap();
        assert_eq!((run.entries[0].entry_id, run.entries[0].steps.len()), (1, 2));

        let journal = apply::journal(&world.target).await.unwrap();
        let statuses: Vec<_> = journal[0].steps.iter().map(|s| s.status).collect();
        use Status as S;
        assert_eq!(statuses, [S::Done, S::Done, S::Retried, S::Retried, S::Done, S::Done]);
        assert_eq!((journal.len(), journal[0].status.as_str()), (1, "done"));
        apply::undo(&world.target, &UndoTarget::Last, &quick(), &mut |_| {})
            .await
            .unwrap()
            .into_result()
            .unwrap();
        assert_eq!(world.schema_dump().await, before, "on {}", server.binaries().version);
        assert_eq!(apply::journal(&world.target).await.unwrap()[0].status, "undone");
        // Once it is undone the same plan begins anew.
        execute(&world, &plan, &quick()).await.unwrap().into_result().unwrap();
        assert_eq!(apply::journal(&world.target).await.unwrap().len(), 2);
    }
}
