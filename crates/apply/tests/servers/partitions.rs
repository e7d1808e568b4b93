//! Indexes of partitioned tables: made, found half-made, made whole, dropped and taken back on every
//! version, while others write.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use apply::{Action, Error, Event, PartitionChange, Status, UndoTarget};
use model::{Change, IndexDefinition, IndexKey, KeyTarget, QualifiedName};

use crate::world::{World, execute, index, plan_of, quick, shown};

/// Two levels, another schema, names of all kinds, a default partition, and a partition whose index is
/// there already.
pub const PARTITIONED: &str = r#"
    create schema "Other";
    create table "My Schema"."a""b.c p" (id bigint not null, "Größe" integer, y text) partition by range (id);
    create table "My Schema"."p;1" partition of "My Schema"."a""b.c p" for values from (0) to (1000);
    create table "Other"."a""b.c p" partition of "My Schema"."a""b.c p"
        for values from (1000) to (3000) partition by range (id);
    create table "Other"."p 2" partition of "Other"."a""b.c p" for values from (1000) to (2000);
    create table "Other"."p;1" partition of "Other"."a""b.c p" for values from (2000) to (3000);
    create table "My Schema"."rest" partition of "My Schema"."a""b.c p" default;
    insert into "My Schema"."a""b.c p" select n, n % 7, 'y' || n from generate_series(0, 3999) n;
    create index "there ""before""" on "Other"."p 2" ("Größe");
    analyze "My Schema"."a""b.c p";
"#;

pub fn table() -> QualifiedName {
    QualifiedName::new("My Schema", "a\"b.c p")
}

pub fn definition() -> IndexDefinition {
    index(table(), "by \"Größe\"", &["Größe"])
}

pub fn create_whole() -> Change {
    Change::CreateIndex { index: definition() }
}

fn of(table: QualifiedName, name: &str, columns: &[&str]) -> Change {
    Change::CreateIndex { index: index(table, name, columns) }
}

fn public(name: &str) -> QualifiedName {
    QualifiedName::new("public", name)
}

/// The indexes with what they are attached to.
pub async fn attached(world: &World) -> String {
    world
        .value(
            "select string_agg(format('%s%s -> %s', case when indisvalid then '' else 'INVALID ' end, \
               indexrelid::regclass, inhparent::regclass), E'\\n' order by indexrelid::regclass::text) \
             from pg_index i left join pg_inherits on inhrelid = indexrelid \
             join pg_class c on c.oid = indexrelid join pg_namespace n on n.oid = c.relnamespace \
             where nspname in ('public', 'My Schema', 'Other') and indexrelid::regclass::text !~ '(pkey|plain_y_idx)'",
        )
        .await
}

async fn applied(world: &World, changes: Vec<Change>) -> apply::Run {
    let run = execute(world, &plan_of("r", changes), &quick()).await;
    run.unwrap_or_else(|e| panic!("{}", shown(&e))).into_result().unwrap_or_else(|e| panic!("{}", shown(&e)))
}

async fn undone(world: &World) -> apply::Undo {
    let undo = apply::undo(&world.target, &UndoTarget::Last, &quick(), &mut |_| {}).await;
    undo.unwrap_or_else(|e| panic!("{}", shown(&e))).into_result().unwrap_or_else(|e| panic!("{}", shown(&e)))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_partition_gets_the_index_and_undo_leaves_what_was_there_before() {
    for server in testkit::servers() {
        let version = &server.binaries().version;
        let world = World::on(server).await;
        world.sql(PARTITIONED).await;
        let before = world.schema_dump().await;
        let plan = plan_of("r", vec![create_whole()]);
        let asked = apply::preflight(&world.target, &plan).await.unwrap();
        assert_eq!(asked.refusals, []);
        let expected = [
            r#"CREATE INDEX "by ""Größe""" ON ONLY "My Schema"."a""b.c p" USING btree ("Größe")"#,
            r#"CREATE INDEX "a""b.c p_by ""Größe""" ON ONLY "Other"."a""b.c p" USING btree ("Größe")"#,
            r#"CREATE INDEX CONCURRENTLY "p;1_by ""Größe""" ON "My Schema"."p;1" USING btree ("Größe")"#,
            r#"CREATE INDEX CONCURRENTLY "rest_by ""Größe""" ON "My Schema".rest USING btree ("Größe")"#,
            r#"CREATE INDEX CONCURRENTLY "p;1_by ""Größe""" ON "Other"."p;1" USING btree ("Größe")"#,
            r#"ALTER INDEX "Other"."a""b.c p_by ""Größe""" ATTACH PARTITION "Other"."p 2""#,
            r#"ALTER INDEX "Other"."a""b.c p_by ""Größe""" ATTACH PARTITION "Other"."p;1_by ""Größe""""#,
            r#"ALTER INDEX "My Schema"."by ""Größe""" ATTACH PARTITION "My Schema"."p;1_by ""Größe""""#,
            r#"ALTER INDEX "My Schema"."by ""Größe""" ATTACH PARTITION "My Schema"."rest_by ""Größe""""#,
            r#"ALTER INDEX "My Schema"."by ""Größe""" ATTACH PARTITION "Other"."a""b.c p_by ""Größe""""#,
        ];
        let shown: Vec<&str> = asked.plan.steps().map(|(_, s)| s.sql.as_str()).collect();
        let adopted =
            r#"ALTER INDEX "Other"."a""b.c p_by ""Größe""" ATTACH PARTITION "Other"."there ""before""""#;
        let expected: Vec<&str> =
            expected.iter().map(|sql| if sql.ends_with("p 2\"") { adopted } else { sql }).collect();
        assert_eq!(shown, expected);
        assert!(
            asked.notices.iter().any(|n| n.contains(r#"become part of "My Schema"."by"#)),
            "{:?}",
            asked.notices
        );
        assert_eq!(world.schema_dump().await, before, "preflight writes nothing");

        let mut sent = Vec::new();
        let run = apply::execute(&world.target, &plan, &quick(), &mut |event| match event {
            Event::Sending { sql, .. } => sent.push(sql),
            Event::Replanned { statements } => assert_eq!(statements, expected),
            _ => {}
        })
        .await
        .unwrap()
        .into_result()
        .unwrap();
        assert_eq!(sent, expected, "what is run is what was shown, on {version}");
        assert!(run.entries[0].steps.iter().all(|s| s.status == Status::Done));
        let indexes = attached(&world).await;
        assert!(!indexes.contains("INVALID"), "{indexes}");
        assert!(
            indexes.contains(r#""Other"."there ""before""" -> "Other"."a""b.c p_by ""Größe""""#),
            "{indexes}"
        );
        // A partition that is made from now on gets the index from PostgreSQL.
        world
            .sql(r#"create table late partition of "My Schema"."a""b.c p" for values from (5000) to (6000)"#)
            .await;
        assert!(attached(&world).await.contains(r#"-> "My Schema"."by ""Größe""""#));
        let again = apply::preflight(&world.target, &plan).await.unwrap();
        let reasons: Vec<_> = again.refusals.iter().map(|r| r.objection.message()).collect();
        assert_eq!(reasons, [r#"index "My Schema"."by ""Größe""" is equal to the new one"#]);
        world.sql("drop table late").await;

        let plan = apply::plan_undo(&world.target, &UndoTarget::Last).await.unwrap();
        let statements: Vec<&str> = plan.steps.iter().map(|s| s.sql.as_str()).collect();
        assert_eq!(
            statements,
            [
                r#"CREATE INDEX CONCURRENTLY "there ""before""_undo" ON "Other"."p 2" USING btree ("Größe")"#,
                r#"DROP INDEX "My Schema"."by ""Größe"""; ALTER INDEX "Other"."there ""before""_undo" RENAME TO "there ""before""""#,
            ]
        );
        assert!(plan.steps[1].lock_detail.as_ref().unwrap().contains("its partitions for an instant"));
        let undo = undone(&world).await;
        assert!(undo.steps.iter().all(|s| s.status == Status::Done), "{:?}", undo.steps);
        assert_eq!(world.schema_dump().await, before, "undo restores the schema on {version}");
        let journal = apply::journal(&world.target).await.unwrap();
        assert_eq!(journal[0].status, "undone");
        assert!(journal[0].forward_steps().all(|s| s.status == Status::Undone));
        assert_eq!(journal[0].steps.iter().filter(|s| s.undoes.is_some()).count(), 2);
        assert!(apply::purge(&world.target, false).await.unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partitioned_index_is_dropped_whole_and_made_again_under_its_names() {
    for server in testkit::servers() {
        let world = World::on(server).await;
        world.sql(PARTITIONED).await;
        world
            .sql(r#"create index "whole" on "My Schema"."a""b.c p" (lower(y) desc, "Größe") where "Größe" > 1"#)
            .await;
        let before = world.schema_dump().await;
        let (tree, name) = (attached(&world).await, QualifiedName::new("My Schema", "whole"));
        let definition = world.value("pg_get_indexdef('\"My Schema\".whole'::regclass)").await;
        let drop = Change::DropIndex { name, table: table(), definition };
        let run = applied(&world, vec![drop]).await;
        let sql: Vec<_> = run.entries[0].steps.iter().map(|s| s.sql.as_str()).collect();
        assert_eq!(sql, [r#"DROP INDEX "My Schema".whole"#]);
        assert_eq!(attached(&world).await, r#""Other"."there ""before""" -> "#);

        let plan = apply::plan_undo(&world.target, &UndoTarget::Last).await.unwrap();
        let journaled = apply::journal(&world.target).await.unwrap()[0].steps[0].undo_sql.clone().unwrap();
        let mut journaled: Vec<_> = journaled.split("; ").collect();
        let mut statements: Vec<_> = plan.steps.iter().map(|s| s.sql.as_str()).collect();
        journaled.sort_unstable();
        statements.sort_unstable();
        assert_eq!(statements, journaled, "what was shown before the drop is what undoes it");
        // A partition that came meanwhile gets one, too.
        world
            .sql(r#"create table late partition of "My Schema"."a""b.c p" for values from (5000) to (6000)"#)
            .await;
        undone(&world).await;
        let with_late = attached(&world).await;
        assert!(!with_late.contains("INVALID") && with_late.contains("late_"), "{with_late}");
        world.sql("drop table late").await;
        assert_eq!(attached(&world).await, tree);
        assert_eq!(world.schema_dump().await, before, "on {}", server.binaries().version);
        assert!(apply::purge(&world.target, false).await.unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_and_readers_go_on_meanwhile() {
    for server in testkit::servers() {
        let world = World::on(server).await;
        world.sql(PARTITIONED).await;
        let before = world.schema_dump().await;
        let (stop, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let mut clients = Vec::new();
        for n in 0..4_i64 {
            let client = world.another_client().await;
            let (stop, written) = (Arc::clone(&stop), Arc::clone(&written));
            clients.push(tokio::spawn(async move {
                let mut id = n;
                while !stop.load(Ordering::Relaxed) {
                    id = (id + 7919) % 4000;
                    let insert = r#"insert into "My Schema"."a""b.c p" values ($1, $2, 'w')"#;
                    client.execute(insert, &[&id, &((id % 7) as i32)]).await.unwrap();
                    let read = r#"select count(*) from "My Schema"."a""b.c p" where "Größe" = 3 and id = $1"#;
                    client.query_one(read, &[&id]).await.unwrap();
                    written.fetch_add(1, Ordering::Relaxed);
                }
            }));
        }
        applied(&world, vec![create_whole()]).await;
        assert!(!attached(&world).await.contains("INVALID"));
        undone(&world).await;
        stop.store(true, Ordering::Relaxed);
        for client in clients {
            client.await.unwrap();
        }
        assert!(written.load(Ordering::Relaxed) > 0);
        assert_eq!(world.schema_dump().await, before, "on {}", server.binaries().version);
        // The index holds what was written while it was built.
        applied(&world, vec![create_whole()]).await;
        let counts = "select (select count(*) from \"My Schema\".\"a\"\"b.c p\" where \"Größe\" = 3) || ' ' || \
            (select sum(case when \"Größe\" = 3 then 1 end) from \"My Schema\".\"a\"\"b.c p\")";
        let counts = world.value(counts).await;
        let (by_index, by_scan) = counts.split_once(' ').unwrap();
        assert_eq!(by_index, by_scan);
    }
}

/// Runs a plan and does something when a statement that contains a text is about to be sent.
async fn meddle(
    world: &World,
    changes: Vec<Change>,
    at: &str,
    sql: &'static str,
) -> (apply::Run, Vec<String>) {
    let (send, mut receive) = tokio::sync::mpsc::unbounded_channel::<std::sync::mpsc::Sender<()>>();
    let meddler = world.another_client().await;
    let task = tokio::spawn(async move {
        while let Some(done) = receive.recv().await {
            meddler.batch_execute(sql).await.unwrap();
            done.send(()).unwrap();
        }
    });
    let mut replanned = Vec::new();
    let mut meddled = false;
    let plan = apply::preflight(&world.target, &plan_of("r", changes)).await.unwrap().plan;
    let run = apply::execute(&world.target, &plan, &quick(), &mut |event| match event {
        Event::Sending { sql, .. } if sql.contains(at) && !meddled => {
            meddled = true;
            let (done, finished) = std::sync::mpsc::channel();
            send.send(done).unwrap();
            tokio::task::block_in_place(|| finished.recv_timeout(Duration::from_secs(20))).unwrap();
        }
        Event::Replanned { statements } => replanned.extend(statements),
        _ => {}
    })
    .await
    .unwrap();
    drop(send);
    task.await.unwrap();
    assert!(meddled, "no statement contained {at}");
    (run, replanned)
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_that_come_and_go_meanwhile_are_seen() {
    for server in testkit::servers() {
        let version = &server.binaries().version;
        let world = World::on(server).await;
        world
            .sql(
                "create table p (id integer, x integer) partition by range (id); \
                 create table p1 partition of p for values from (0) to (10); \
                 create table p2 partition of p for values from (10) to (20); \
                 create table p3 partition of p for values from (20) to (30); \
                 create table apart (id integer, x integer); insert into apart values (42, 1)",
            )
            .await;
        let whole = || vec![of(public("p"), "p_x_idx", &["x"])];
        let before = world.schema_dump().await;

        // Between the plan and the first statement: nobody gives this one the index but the re-check.
        let attach = "alter table p attach partition apart for values from (40) to (50)";
        let (run, more) = meddle(&world, whole(), "ON ONLY", attach).await;
        let run = run.into_result().unwrap_or_else(|e| panic!("{}", shown(&e)));
        assert_eq!(
            more,
            [
                "CREATE INDEX CONCURRENTLY apart_x_idx ON public.apart USING btree (x)",
                "ALTER INDEX public.p_x_idx ATTACH PARTITION public.apart_x_idx"
            ],
            "on {version}"
        );
        assert_eq!(run.entries[0].steps.len(), 9);
        assert!(attached(&world).await.contains("apart_x_idx -> p_x_idx"));
        assert!(!attached(&world).await.contains("INVALID"));
        undone(&world).await;
        world.sql("alter table p detach partition apart").await;
        assert_eq!(world.schema_dump().await, before);

        // Afterwards PostgreSQL does it, and undo says what goes along.
        let (run, more) = meddle(&world, whole(), "ON public.p1", attach).await;
        run.into_result().unwrap();
        assert_eq!(more, [""; 0]);
        let plan = apply::plan_undo(&world.target, &UndoTarget::Last).await.unwrap();
        assert_eq!(plan.notices, ["Indexes of partitions that came later go with it: public.apart_x_idx."]);
        undone(&world).await;
        world.sql("alter table p detach partition apart").await;
        assert_eq!(world.schema_dump().await, before);

        // The last partition without the index goes, and with it whoever would have made the whole
        // valid: one that is attached is attached once more.
        let (run, more) =
            meddle(&world, whole(), "ATTACH PARTITION public.p3", "alter table p detach partition p3").await;
        run.into_result().unwrap_or_else(|e| panic!("{}", shown(&e)));
        assert_eq!(more, ["ALTER INDEX public.p_x_idx ATTACH PARTITION public.p1_x_idx"], "on {version}");
        assert_eq!(
            attached(&world).await,
            "p1_x_idx -> p_x_idx\np2_x_idx -> p_x_idx\np3_x_idx -> \np_x_idx -> "
        );
        undone(&world).await;
        assert_eq!(
            attached(&world).await,
            "",
            "an index that was detached with its table was made by pgwright"
        );

        // One goes before its turn.
        let (run, _) = meddle(&world, whole(), "ON public.p1", "drop table p2").await;
        let run = run.into_result().unwrap_or_else(|e| panic!("{}", shown(&e)));
        assert!(run.entries[0].steps.iter().all(|s| s.status == Status::Done));
        assert_eq!(attached(&world).await, "p1_x_idx -> p_x_idx\np_x_idx -> ");
        let notes: Vec<_> = apply::journal(&world.target).await.unwrap().pop().unwrap().steps;
        let notes: Vec<_> = notes.iter().filter_map(|s| s.note.as_deref()).collect();
        assert_eq!(notes, ["Table public.p2 is no partition of public.p any more."; 2]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_partitions_are_passed_over_as_postgresql_does() {
    for server in testkit::servers() {
        let world = World::on(server).await;
        if world.value("select count(*) from pg_available_extensions where name = 'postgres_fdw'").await
            == "0"
        {
            continue;
        }
        world
            .sql(
                "create extension postgres_fdw; create server far foreign data wrapper postgres_fdw; \
                 create table f (id integer, x integer, y integer) partition by range (id); \
                 create table f1 partition of f for values from (0) to (10); \
                 create table f2 partition of f for values from (10) to (20) partition by range (id); \
                 create table f21 partition of f2 for values from (10) to (15); \
                 create foreign table f22 partition of f2 for values from (15) to (20) server far; \
                 create foreign table f3 partition of f for values from (20) to (30) server far; \
                 create index f1_before on f1 (x)",
            )
            .await;
        let before = world.schema_dump().await;
        let run = applied(&world, vec![of(public("f"), "f_x_idx", &["x"])]).await;
        assert!(
            run.notices.iter().any(|n| n == "Foreign partitions get no index: public.f3, public.f22."),
            "{:?}",
            run.notices
        );
        let sql: Vec<_> = run.entries[0].steps.iter().map(|s| s.sql.as_str()).collect();
        assert_eq!(
            sql,
            [
                "CREATE INDEX CONCURRENTLY f21_x_idx ON public.f21 USING btree (x)",
                "CREATE INDEX f_x_idx ON public.f USING btree (x)"
            ]
        );
        let indexes = attached(&world).await;
        assert_eq!(indexes, "f1_before -> f_x_idx\nf21_x_idx -> f2_x_idx\nf2_x_idx -> f_x_idx\nf_x_idx -> ");
        undone(&world).await;
        assert_eq!(world.schema_dump().await, before, "on {}", server.binaries().version);

        let unique = IndexDefinition { unique: true, ..index(public("f"), "f_u", &["id"]) };
        let error = execute(&world, &plan_of("u", vec![Change::CreateIndex { index: unique }]), &quick())
            .await
            .unwrap_err();
        assert_eq!(error.to_string(), "index public.f_u cannot be unique over foreign partitions");
        assert!(error.detail().unwrap().contains("public.f3, public.f22"), "{}", shown(&error));
        assert_eq!(world.schema_dump().await, before);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unique_keys_without_the_partition_key_are_refused_with_the_ways_out() {
    for server in testkit::servers() {
        let world = World::on(server).await;
        world
            .sql(
                "create table \"u.t\" (id integer, \"a\"\"t\" integer, part integer) partition by range (\"a\"\"t\"); \
                 create table u1 partition of \"u.t\" for values from (0) to (10); \
                 create table u2 partition of \"u.t\" for values from (10) to (20) partition by list (part); \
                 create table u21 partition of u2 for values in (1)",
            )
            .await;
        let before = world.schema_dump().await;
        let on = |columns: &[&str]| {
            let index = IndexDefinition { unique: true, ..index(public("u.t"), "u_id", columns) };
            plan_of("u", vec![Change::CreateIndex { index }])
        };
        let error = execute(&world, &on(&["id"]), &quick()).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "index public.u_id cannot be unique over the partitions of public.\"u.t\""
        );
        assert!(error.detail().unwrap().contains("it lacks \"a\"\"t\", part."), "{}", shown(&error));
        assert!(error.hint().unwrap().contains("Make it on (id, \"a\"\"t\", part)"), "{}", shown(&error));
        assert_eq!(world.schema_dump().await, before);
        // What the hint says can be done.
        execute(&world, &on(&["id", "a\"t", "part"]), &quick()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_undo_can_restore_is_used_rather_than_built() {
    for server in testkit::servers() {
        let world = World::on(server).await;
        world
            .sql(
                "create table q (id integer, x integer, y text) partition by range (id); \
                 create table q1 partition of q for values from (0) to (10); \
                 create table q2 partition of q for values from (10) to (20); \
                 create table q3 partition of q for values from (20) to (30); \
                 create table q4 partition of q for values from (30) to (40) partition by range (id); \
                 create table q41 partition of q4 for values from (30) to (35); \
                 create table q42 partition of q4 for values from (35) to (40); \
                 create index q1_commented on q1 (lower(y)) where x > 1; \
                 comment on index q1_commented is 'a word'; \
                 create index q2_equal on q2 (lower(y)) with (fillfactor = 70) where x > 1; \
                 create index q3_other_order on q3 (lower(y) desc) where x > 1; \
                 create index q4_equal on q4 (lower(y)) where x > 1",
            )
            .await;
        let before = world.schema_dump().await;
        let on_expression = IndexDefinition {
            predicate: Some("x > 1".into()),
            ..IndexDefinition::btree(
                public("q"),
                "q_lower_idx",
                vec![IndexKey { target: KeyTarget::Expression("lower(y)".into()), ..IndexKey::column("") }],
            )
        };
        let plan = plan_of("r", vec![Change::CreateIndex { index: on_expression }]);
        // Before anything is run the server's words for the expression are not known.
        let asked = apply::preflight(&world.target, &plan).await.unwrap();
        assert!(
            asked.notices.iter().any(|n| n.contains("may have an equal index already")),
            "{:?}",
            asked.notices
        );
        let mut replanned = Vec::new();
        let run = apply::execute(&world.target, &plan, &quick(), &mut |event| {
            if let Event::Replanned { statements } = event {
                replanned = statements;
            }
        })
        .await
        .unwrap()
        .into_result()
        .unwrap_or_else(|e| panic!("{}", shown(&e)));
        let sql: Vec<_> = run.entries[0].steps.iter().map(|s| s.sql.clone()).collect();
        assert_eq!(sql, replanned, "what is run is what was shown");
        assert_eq!(
            attached(&world).await,
            "q1_commented -> \nq1_lower_idx -> q_lower_idx\nq2_equal -> q_lower_idx\nq3_lower_idx -> q_lower_idx\n\
             q3_other_order -> \nq41_lower_idx -> q4_equal\nq42_lower_idx -> q4_equal\nq4_equal -> q_lower_idx\n\
             q_lower_idx -> "
        );
        undone(&world).await;
        assert_eq!(world.schema_dump().await, before, "on {}", server.binaries().version);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn long_names_and_taken_names_give_each_partition_a_name_of_its_own() {
    let world = World::on(testkit::any_server()).await;
    let long = "t".repeat(60);
    world
        .sql(&format!(
            "create table {long} (id integer, \"{col}\" integer) partition by range (id); \
             create table {long}_a partition of {long} for values from (0) to (10); \
             create table {long}_b partition of {long} for values from (10) to (20); \
             create table m (id integer, x integer) partition by range (id); \
             create table m1 partition of m for values from (0) to (10); \
             create table m1_x_idx (id integer); create table m1_x_idx1 (id integer)",
            col = "ü".repeat(30)
        ))
        .await;
    let name = "i".repeat(63);
    let run = applied(&world, vec![of(public(&long), &name, &["ü".repeat(30).as_str()])]).await;
    assert_eq!(run.entries[0].steps.len(), 5);
    let run = applied(&world, vec![of(public("m"), "m_x_idx", &["x"])]).await;
    assert!(
        run.entries[0].steps[1].sql.contains("CONCURRENTLY m1_x_idx2 ON"),
        "{:?}",
        run.entries[0].steps[1]
    );
    let indexes = attached(&world).await;
    assert!(!indexes.contains("INVALID"), "{indexes}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_in_the_way_of_an_attachment_is_named_and_the_rest_can_be_done_later() {
    for server in testkit::servers() {
        let world = World::on(server).await;
        world.sql(PARTITIONED).await;
        let before = world.schema_dump().await;
        let reader = world.another_client().await;
        // Reads the partition once its index is there, and keeps the transaction open.
        let (send, mut receive) = tokio::sync::mpsc::unbounded_channel::<std::sync::mpsc::Sender<()>>();
        let task = tokio::spawn(async move {
            while let Some(done) = receive.recv().await {
                reader.batch_execute("begin; select count(*) from \"My Schema\".rest").await.unwrap();
                done.send(()).unwrap();
            }
            reader
        });
        let plan = plan_of("r", vec![create_whole()]);
        let mut met = false;
        let run = apply::execute(&world.target, &plan, &quick(), &mut |event| {
            if let Event::Sending { sql, .. } = &event
                && sql.contains("ATTACH PARTITION \"Other\".\"there")
                && !met
            {
                met = true;
                let (done, finished) = std::sync::mpsc::channel();
                send.send(done).unwrap();
                tokio::task::block_in_place(|| finished.recv_timeout(Duration::from_secs(20))).unwrap();
            }
        })
        .await
        .unwrap();
        let error = run.into_result().unwrap_err();
        assert!(met && error.to_string().starts_with("could not attach index"), "{}", shown(&error));
        assert_eq!(error.sqlstate().as_deref(), Some("55P03"), "{}", shown(&error));
        assert!(error.detail().unwrap().contains("idle in transaction"), "{}", shown(&error));
        assert!(attached(&world).await.contains("INVALID \"My Schema\".\"by"));
        drop(send);
        let reader = task.await.unwrap();
        reader.batch_execute("rollback").await.unwrap();

        // The same plan goes on where the other stopped, in the same entry.
        let asked = apply::preflight(&world.target, &plan).await.unwrap();
        assert!(
            asked.notices.iter().any(|n| n.contains("Entry 1 of the journal was interrupted")),
            "{:?}",
            asked.notices
        );
        let left: Vec<_> = asked.plan.steps().map(|(_, s)| s.sql.as_str()).collect();
        assert!(left.iter().all(|sql| sql.starts_with("ALTER INDEX")) && left.len() == 2, "{left:?}");
        let run = execute(&world, &plan, &quick()).await.unwrap().into_result().unwrap();
        assert_eq!((run.entries[0].entry_id, run.entries[0].steps.len()), (1, 2));
        assert!(!attached(&world).await.contains("INVALID"));
        let journal = apply::journal(&world.target).await.unwrap();
        assert_eq!((journal.len(), journal[0].status.as_str(), journal[0].run_id), (1, "done", run.run_id));
        assert!(journal[0].steps.iter().any(|s| s.status == Status::Retried));
        undone(&world).await;
        assert_eq!(world.schema_dump().await, before, "on {}", server.binaries().version);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_half_made_index_is_taken_back_without_the_strong_lock_on_partitions_apart() {
    for server in testkit::servers() {
        let world = World::on(server).await;
        world.sql(PARTITIONED).await;
        let before = world.schema_dump().await;
        // The third build fails on its data.
        world.sql("insert into \"My Schema\".\"a\"\"b.c p\" values (2500, 1, 'x'), (2500, 1, 'x')").await;
        let unique = IndexDefinition { unique: true, ..index(table(), "u", &["id"]) };
        let plan = plan_of("r", vec![Change::CreateIndex { index: unique }]);
        let run = execute(&world, &plan, &quick()).await.unwrap();
        assert!(
            run.notices.iter().any(|n| n.contains("Entry 1 of the journal is not finished")),
            "{:?}",
            run.notices
        );
        let error = run.into_result().unwrap_err();
        assert_eq!(error.sqlstate().as_deref(), Some("23505"), "{}", shown(&error));
        let plan = apply::plan_undo(&world.target, &UndoTarget::Last).await.unwrap();
        let sql: Vec<_> = plan.steps.iter().map(|s| s.sql.as_str()).collect();
        assert!(sql[..sql.len() - 2].iter().all(|s| s.starts_with("DROP INDEX CONCURRENTLY")), "{sql:?}");
        assert_eq!(sql[sql.len() - 1], "DROP INDEX \"My Schema\".u");
        undone(&world).await;
        assert_eq!(world.schema_dump().await, before, "on {}", server.binaries().version);
        let nothing = apply::undo(&world.target, &UndoTarget::Last, &quick(), &mut |_| {}).await.unwrap_err();
        assert!(matches!(nothing, Error::NoEntry { .. }), "{nothing}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_changed_is_not_taken_back() {
    let world = World::on(testkit::any_server()).await;
    world.sql(PARTITIONED).await;
    let run = applied(&world, vec![create_whole()]).await;
    assert!(matches!(
        run.entries[0].steps[0].change,
        Action::Partition(PartitionChange::CreateParentIndex { .. })
    ));
    world.sql("alter index \"My Schema\".\"by \"\"Größe\"\"\" rename to mine").await;
    let error = apply::undo(&world.target, &UndoTarget::Last, &quick(), &mut |_| {}).await.unwrap_err();
    assert!(matches!(error, Error::ChangedSince { .. }), "{}", shown(&error));
    world.sql("alter index \"My Schema\".mine rename to \"by \"\"Größe\"\"\"").await;
    // One of its steps alone: the whole goes, since no part can.
    let step = run.entries[0].steps[3].step_id;
    apply::undo(&world.target, &UndoTarget::Step(step), &quick(), &mut |_| {})
        .await
        .unwrap()
        .into_result()
        .unwrap();
    assert_eq!(attached(&world).await, r#""Other"."there ""before""" -> "#);
    assert_eq!(apply::journal(&world.target).await.unwrap()[0].status, "undone");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_index_every_partition_is_told_before_anything_is_done() {
    let world = World::on(testkit::any_server()).await;
    world.sql(PARTITIONED).await;
    let role = format!("part_owner_{}", std::process::id());
    world
        .sql(&format!(
            "create role {role} login; grant create on database {db} to {role}; \
             grant all on schema \"My Schema\", public to {role}; \
             alter table \"My Schema\".\"a\"\"b.c p\" owner to {role}; alter table \"My Schema\".\"p;1\" owner to {role}",
            db = world.value("current_database()").await
        ))
        .await;
    let target = crate::world::target(&world.url.replacen("postgres@", &format!("{role}@"), 1));
    let error = apply::execute(&target, &plan_of("r", vec![create_whole()]), &quick(), &mut |_| {})
        .await
        .unwrap_err();
    let Error::Refused(refusals) = &error else { panic!("{}", shown(&error)) };
    let reasons: Vec<_> = refusals.iter().map(|r| r.objection.message()).collect();
    assert!(reasons.contains(&format!("role {role} does not own table \"My Schema\".rest")), "{reasons:?}");
    assert!(reasons.contains(&format!("role {role} may not create in schema \"Other\"")), "{reasons:?}");
    assert_eq!(world.value("to_regnamespace('pgwright')").await, "");
    world.sql(&format!("reassign owned by {role} to postgres; drop owned by {role}; drop role {role}")).await;
}
