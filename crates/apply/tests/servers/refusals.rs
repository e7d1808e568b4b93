//! Everything that preflight must see before anything is changed.

use apply::{Error, Objection, Status, UndoTarget};
use model::{Change, IndexDefinition, IndexKey, KeyTarget, QualifiedName};

use crate::world::{
    World, create, drop_plain_y, execute, index, plain_table, plan_of, quick, recommendation, shown, target,
};

/// What execute objects to; nothing may have been written.
async fn objections(world: &World, changes: Vec<Change>) -> Vec<String> {
    let plan = plan_of("r", changes);
    let before = world.schema_dump().await;
    let error = execute(world, &plan, &quick()).await.unwrap_err();
    assert!(error.is_refusal(), "{}", shown(&error));
    assert_eq!(world.schema_dump().await, before);
    assert_eq!(world.value("to_regnamespace('pgwright')").await, "");
    match error {
        Error::Refused(refusals) => refusals.iter().map(|r| r.objection.message()).collect(),
        other => panic!("{}", shown(&other)),
    }
}

fn public(name: &str) -> QualifiedName {
    QualifiedName::new("public", name)
}

#[tokio::test]
async fn what_does_not_fit_the_catalog_any_more_is_refused() {
    for server in testkit::servers() {
        let world = World::on(server).await;
        world
            .sql(
                "create view a_view as select * from plain; \
                 create table parted (id integer, x integer) partition by range (id); \
                 create index parted_x_idx on parted (x); \
                 create table part partition of parted default; \
                 create table keyed (id integer primary key) partition by range (id); \
                 create table taken (id integer); \
                 create table points (p point); \
                 alter table plain replica identity using index plain_pkey",
            )
            .await;
        let parted_idx = "CREATE INDEX parted_x_idx ON ONLY public.parted USING btree (x)";
        let drop = |name: &str, table: &str, definition: &str| Change::DropIndex {
            name: public(name),
            table: public(table),
            definition: definition.into(),
        };
        let expression = |text: &str| {
            let key = IndexKey { target: KeyTarget::Expression(text.into()), ..IndexKey::column("") };
            Change::CreateIndex { index: IndexDefinition::btree(plain_table(), "e", vec![key]) }
        };
        for (changes, expected) in [
            (vec![create(public("gone"), "i", &["x"])], vec!["table public.gone does not exist"]),
            (
                vec![create(plain_table(), "i", &["x", "Nope", "x y"])],
                vec!["table public.plain has no column \"Nope\", \"x y\""],
            ),
            (vec![create(plain_table(), "taken", &["x"])], vec!["name public.taken is taken by a table"]),
            (
                vec![create(plain_table(), "plain_y_idx", &["x"])],
                vec!["name public.plain_y_idx is taken by an index"],
            ),
            (
                vec![create(plain_table(), "other_name", &["y"])],
                vec!["index public.plain_y_idx is equal to the new one"],
            ),
            (
                vec![create(plain_table(), "plain_y_idx", &["y"])],
                vec!["index public.plain_y_idx is equal to the new one"],
            ),
            (vec![create(public("a_view"), "i", &["x"])], vec!["public.a_view is a view"]),
            (
                vec![create(public("parted"), "i", &["x"])],
                vec!["index public.parted_x_idx is equal to the new one"],
            ),
            (vec![create(public("parted"), "taken", &["id"])], vec!["name public.taken is taken by a table"]),
            (vec![create(public("parted"), "i", &["gone"])], vec!["table public.parted has no column gone"]),
            (
                vec![create(public("points"), "i", &["p"])],
                vec!["PostgreSQL refuses the definition of public.i"],
            ),
            (vec![expression("random()")], vec!["PostgreSQL refuses the definition of public.e"]),
            (
                vec![expression("1); DROP TABLE public.taken; --")],
                vec!["PostgreSQL refuses the definition of public.e"],
            ),
            (
                vec![create(plain_table(), "i", &["x"]), create(plain_table(), "i", &["y", "x"])],
                vec!["name public.i is used twice in this plan"],
            ),
            (
                vec![drop("nowhere", "plain", "CREATE INDEX nowhere ON public.plain USING btree (x)")],
                vec!["index public.nowhere does not exist"],
            ),
            (
                vec![drop(
                    "plain_y_idx",
                    "plain",
                    "CREATE INDEX plain_y_idx ON public.plain USING btree (x)",
                )],
                vec!["index public.plain_y_idx is not the one that was advised on"],
            ),
            (
                vec![drop("parted_x_idx", "parted", &parted_idx.replace("(x)", "(id)"))],
                vec!["index public.parted_x_idx is not the one that was advised on"],
            ),
            (
                vec![drop(
                    "keyed_pkey",
                    "keyed",
                    "CREATE UNIQUE INDEX keyed_pkey ON ONLY public.keyed USING btree (id)",
                )],
                vec!["index public.keyed_pkey belongs to a constraint"],
            ),
            (
                vec![drop("part_x_idx", "part", "CREATE INDEX part_x_idx ON public.part USING btree (x)")],
                vec!["index public.part_x_idx is part of a partitioned index"],
            ),
            (
                vec![drop(
                    "plain_pkey",
                    "plain",
                    "CREATE UNIQUE INDEX plain_pkey ON public.plain USING btree (id)",
                )],
                vec![
                    "index public.plain_pkey belongs to a constraint",
                    "index public.plain_pkey is the replica identity of its table",
                ],
            ),
            (vec![Change::Analyze { table: public("gone") }], vec!["table public.gone does not exist"]),
            (vec![Change::Vacuum { table: public("a_view") }], vec!["public.a_view is a view"]),
        ] {
            assert_eq!(objections(&world, changes).await, expected, "{}", server.binaries().version);
        }
        let long = "x".repeat(64);
        assert_eq!(
            objections(&world, vec![create(plain_table(), &long, &["x"])]).await,
            [format!("name {long} is too long")]
        );
        // Two reasons of two steps are told together, and the second step is not begun without the first.
        let both = vec![create(public("gone"), "i", &["x"]), create(plain_table(), "taken", &["x"])];
        assert_eq!(objections(&world, both).await.len(), 2);
    }
}

#[tokio::test]
async fn a_table_dropped_between_check_and_step_stops_the_run() {
    let world = World::on(testkit::any_server()).await;
    let other = World::on(testkit::any_server()).await;
    world.sql("create table second (x integer)").await;
    let second = public("second");
    let plan = apply::plan(&[
        recommendation("a", vec![create(plain_table(), "i", &["x"])]),
        recommendation("b", vec![create(second, "j", &["x"])]),
        recommendation("c", vec![create(plain_table(), "k", &["y", "x"])]),
    ]);
    // The callback runs inside the run, so the drop is done by a program of its own.
    let url = world.url.clone();
    let run = apply::execute(&world.target, &plan, &quick(), &mut |event| {
        if matches!(event, apply::Event::Finished { .. }) {
            let url = url.clone();
            std::thread::spawn(move || {
                tokio::runtime::Runtime::new().unwrap().block_on(async {
                    testkit::connect(&url).await.batch_execute("drop table if exists second").await.unwrap();
                });
            })
            .join()
            .unwrap();
        }
    })
    .await
    .unwrap();
    let statuses: Vec<_> = run.entries.iter().flat_map(|e| &e.steps).map(|s| s.status).collect();
    assert_eq!(statuses, [Status::Done, Status::Skipped, Status::Skipped]);
    let error = run.into_result().unwrap_err();
    assert_eq!(
        shown(&error),
        "error: table public.second does not exist\n  detail: It may have been dropped or \
        renamed since the advice was given.\n  hint: Run \"pgwright advise\" again."
    );
    let statuses: Vec<String> =
        apply::journal(&world.target).await.unwrap().into_iter().map(|e| e.status).collect();
    assert_eq!(statuses, ["done", "skipped", "skipped"]);
    // Another database knows nothing of it.
    assert_eq!(apply::journal(&other.target).await.unwrap(), []);
}

#[tokio::test]
async fn an_invalid_leftover_of_the_same_index_is_replaced() {
    for server in testkit::servers() {
        let world = World::on(server).await;
        // A failed unique build leaves its index; made non-unique by hand it would be another one.
        world.sql("insert into plain values (-1, 0, 'twice'), (-2, 0, 'twice')").await;
        let client = world.another_client().await;
        client.batch_execute("create unique index concurrently u on plain (y)").await.unwrap_err();
        assert!(world.indexes().await.contains("INVALID CREATE UNIQUE INDEX u "));
        // Under the same name but of another shape it is somebody else's.
        let error = execute(&world, &plan_of("r", vec![create(plain_table(), "u", &["y"])]), &quick())
            .await
            .unwrap_err();
        assert_eq!(error.to_string(), "name public.u is taken by an index");
        // Beside another new index it is only mentioned.
        let asked = apply::preflight(&world.target, &plan_of("r", vec![create(plain_table(), "v", &["x"])]))
            .await
            .unwrap();
        assert_eq!(asked.refusals, []);
        assert!(
            asked.notices[0].starts_with("Index public.u is invalid: it costs writes"),
            "{:?}",
            asked.notices
        );

        world.sql("delete from plain where id < 0").await;
        let unique = IndexDefinition { unique: true, ..index(plain_table(), "u", &["y"]) };
        let plan = plan_of("r", vec![Change::CreateIndex { index: unique }]);
        let run = execute(&world, &plan, &quick()).await.unwrap().into_result().unwrap();
        assert!(run.notices[0].contains("left by a build that did not finish"), "{:?}", run.notices);
        let indexes = world.indexes().await;
        assert!(indexes.contains("CREATE UNIQUE INDEX u ") && !indexes.contains("INVALID"));
    }
}

#[tokio::test]
async fn a_role_without_privileges_is_told_which_are_missing() {
    for server in testkit::servers() {
        let world = World::on(server).await;
        let role = format!("limited_{}", world.value("select current_database()").await);
        world.sql(&format!("create role {role} login; grant usage on schema public to {role}; grant select on plain to {role}")).await;
        let target = target(&world.url.replacen("postgres@", &format!("{role}@"), 1));
        let plan = plan_of("r", vec![create(plain_table(), "i", &["x"])]);
        let refused = async || {
            let error = apply::execute(&target, &plan, &quick(), &mut |_| {}).await.unwrap_err();
            match &error {
                Error::Refused(refusals) => refusals.iter().map(|r| r.objection.clone()).collect::<Vec<_>>(),
                other => panic!("{}", shown(other)),
            }
        };
        let found = refused().await;
        assert!(matches!(&found[..], [Objection::NoJournal { .. }]), "{found:?}");
        world.sql(&format!("create schema pgwright authorization {role}")).await;
        let found = refused().await;
        let major = server.binaries().major;
        assert!(matches!(&found[0], Objection::NotOwner { owner, .. } if owner == "postgres"), "{found:?}");
        // Since 15 not everybody may create in schema public.
        assert_eq!(found.iter().any(|o| matches!(o, Objection::NoCreate { .. })), major >= 15, "{found:?}");
        world
            .sql(&format!("alter table plain owner to {role}; grant create on schema public to {role}"))
            .await;
        apply::execute(&target, &plan, &quick(), &mut |_| {}).await.unwrap().into_result().unwrap();
        apply::undo(&target, &UndoTarget::Last, &quick(), &mut |_| {}).await.unwrap().into_result().unwrap();
        // Without the privilege ANALYZE would only warn and do nothing.
        world.sql("alter table plain owner to postgres").await;
        let analyze = plan_of("r", vec![Change::Analyze { table: plain_table() }]);
        let error = apply::execute(&target, &analyze, &quick(), &mut |_| {}).await.unwrap_err();
        assert!(error.to_string().ends_with("does not own table public.plain"), "{error}");
        world.sql(&format!("drop owned by {role}; drop role {role}")).await;
    }
}

#[tokio::test]
async fn a_standby_and_a_read_only_server_take_no_changes() {
    let major = testkit::versions().first().unwrap().major;
    let mut server = testkit::server_with(major, &[]);
    let world = World::on(&server).await;
    execute(&world, &plan_of("r", vec![create(plain_table(), "i", &["x"])]), &quick())
        .await
        .unwrap()
        .into_result()
        .unwrap();
    let name = world.value("select current_database()").await;
    world.sql(&format!("alter database {name} set default_transaction_read_only = on")).await;
    let plan = plan_of("s", vec![create(plain_table(), "j", &["y", "x"])]);
    let error = execute(&world, &plan, &quick()).await.unwrap_err();
    assert_eq!(error.to_string(), "transactions are read-only on this server");

    // A server that was told to stand by and has nobody to follow replays what it has and waits.
    std::fs::write(server.data_dir().join("standby.signal"), "").unwrap();
    // It must not have fewer of these than it had as a primary.
    let settings = [
        ("fsync", "off"),
        ("max_connections", "50"),
        ("max_prepared_transactions", "5"),
        ("wal_level", "logical"),
    ];
    server.restart(&settings.map(|(name, value)| (name.to_owned(), value.to_owned()))).unwrap();
    for error in [
        execute(&world, &plan, &quick()).await.unwrap_err(),
        apply::undo(&world.target, &UndoTarget::Last, &quick(), &mut |_| {}).await.unwrap_err(),
        apply::purge(&world.target, true).await.unwrap_err(),
    ] {
        assert!(
            matches!(&error, Error::Refused(r) if r[0].objection == Objection::Standby),
            "{}",
            shown(&error)
        );
    }
    // Reading is possible.
    assert_eq!(apply::journal(&world.target).await.unwrap()[0].status, "done");
    assert_eq!(apply::recover(&world.target, &quick(), &mut |_| {}).await.unwrap(), []);
}

#[tokio::test]
async fn a_schema_of_somebody_else_or_of_a_newer_version_is_left_alone() {
    let world = World::on(testkit::any_server()).await;
    let plan = plan_of("r", vec![create(plain_table(), "i", &["x"]), drop_plain_y()]);
    world.sql("create schema pgwright; create table pgwright.mine (x integer)").await;
    let error = execute(&world, &plan, &quick()).await.unwrap_err();
    assert!(matches!(error, Error::ForeignSchema), "{error}");
    world.sql("drop schema pgwright cascade").await;
    execute(&world, &plan, &quick()).await.unwrap().into_result().unwrap();
    apply::undo(&world.target, &UndoTarget::Last, &quick(), &mut |_| {})
        .await
        .unwrap()
        .into_result()
        .unwrap();
    // What somebody keeps there stops the purge as a whole.
    world.sql("create table pgwright.mine (x integer)").await;
    let error = apply::purge(&world.target, false).await.unwrap_err();
    assert_eq!(error.sqlstate().as_deref(), Some("2BP01"), "{}", shown(&error));
    assert_eq!(apply::journal(&world.target).await.unwrap().len(), 1);
    world.sql("insert into pgwright.schema_version (version) values (99)").await;
    let error = execute(&world, &plan, &quick()).await.unwrap_err();
    assert!(matches!(error, Error::SchemaTooNew { found: 99, known: apply::SCHEMA_VERSION }), "{error}");
}
