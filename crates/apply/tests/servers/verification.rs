//! Promises beside what was measured on a real server, and what became slower because of a change.

use apply::verify::{Cause, Figures, Measurement, Verdict, Verification};
use apply::{Error, UndoTarget};
use model::{Change, Millis, QualifiedName, StatementEffect};

use crate::partitions;
use crate::world::{World, create, execute, index, plain_table, plan_of, quick, recommendation};

fn effect(queryid: i64, example: &str, mean: f64, expected: f64) -> StatementEffect {
    StatementEffect {
        queryid,
        query: format!("select {queryid}"),
        calls: 100,
        mean_ms: Millis(mean),
        cost_before: 100.0,
        cost_after: 10.0,
        expected_ms: Millis(expected),
        plan_before: serde_json::Value::Null,
        plan_after: serde_json::Value::Null,
        example: example.into(),
    }
}

/// A statement of so many calls, which take so long and touch so many pages.
fn figures(queryid: i64, calls: i64, mean: f64, buffers: f64) -> Figures {
    Figures {
        queryid,
        query: format!("select {queryid}"),
        calls,
        mean: Millis(mean),
        stddev: Some(Millis(mean / 10.0)),
        rows: 1.0,
        buffers,
        ..Figures::default()
    }
}

async fn verified(world: &World, entry: i64, before: Vec<Figures>, since: Vec<Figures>) -> Verification {
    let measurement = Measurement { before, since, ..Measurement::default() };
    apply::verify(&world.target, &[entry], &measurement).await.unwrap().verifications.remove(0)
}

#[tokio::test]
async fn a_promise_is_compared_with_what_was_measured_and_kept_in_the_journal() {
    for server in testkit::servers() {
        let world = World::on(server).await;
        world
            .sql("insert into plain select n, n, 'z' from generate_series(3000, 60000) n; analyze plain")
            .await;
        let mut useful = recommendation("useful", vec![create(plain_table(), "useful", &["x"])]);
        // Unqualified, as its user writes it.
        useful.statements = vec![effect(7, "select * from plain where x = 4711", 100.0, 1.0)];
        let mut useless =
            recommendation("useless", vec![create(plain_table(), "useless", &["y", "x", "id"])]);
        useless.statements = vec![effect(7, "select count(*) from plain where id + 1 = 2", 100.0, 1.0)];
        let run =
            execute(&world, &apply::plan(&[useful, useless]), &quick()).await.unwrap().into_result().unwrap();
        let (useful, useless) = (run.entries[0].entry_id, run.entries[1].entry_id);
        let before = || vec![figures(7, 10, 100.0, 500.0)];

        let waiting = verified(&world, useful, before(), vec![]).await;
        assert_eq!(waiting.verdict, Verdict::NoCallsYet);
        assert!(waiting.indexes[0].planned && waiting.indexes[0].valid && waiting.indexes[0].bytes.0 > 0);
        assert_eq!(waiting.statements[0].uses_index, Some(true));

        let held = verified(&world, useful, before(), vec![figures(7, 10, 2.0, 4.0)]).await;
        assert_eq!((held.verdict, held.statements[0].mean_after), (Verdict::Held, Some(Millis(2.0))));
        assert!(held.kept_share.unwrap() > 0.98);
        let slower = verified(&world, useful, before(), vec![figures(7, 20, 70.0, 400.0)]).await;
        assert_eq!(slower.verdict, Verdict::SlowerThanPromised, "{}", slower.sentence);
        let stored = apply::journal(&world.target).await.unwrap();
        let stored: Verification = serde_json::from_value(stored[0].measured.clone().unwrap()).unwrap();
        assert_eq!(stored, slower);
        // Another server numbers its statements otherwise; the text is the same.
        let renumbered = |f: Figures| Figures { queryid: -1, ..f };
        let since = vec![renumbered(figures(7, 10, 2.0, 4.0))];
        assert_eq!(verified(&world, useful, vec![], since).await.verdict, Verdict::Held);

        let unused = verified(&world, useless, before(), vec![figures(7, 10, 90.0, 500.0)]).await;
        assert_eq!(unused.verdict, Verdict::NotUsed, "{}", unused.sentence);
        assert_eq!(unused.statements[0].uses_index, Some(false));

        world.sql("drop index useful").await;
        let gone = verified(&world, useful, before(), vec![figures(7, 10, 2.0, 4.0)]).await;
        assert_eq!(gone.verdict, Verdict::NotThere);
        let error = apply::verify(&world.target, &[4711], &Measurement::default()).await.unwrap_err();
        assert!(matches!(error, Error::NoEntry { .. }), "{error}");
    }
}

#[tokio::test]
async fn an_example_that_would_write_or_cannot_be_planned_changes_nothing() {
    let world = World::on(testkit::any_server()).await;
    let mut r = recommendation("r", vec![create(plain_table(), "i", &["x"])]);
    r.statements = vec![
        effect(7, "select 1; drop table plain", 1.0, 0.5),
        effect(8, "select * from nowhere", 1.0, 0.5),
        effect(9, "delete from plain where x = 1", 1.0, 0.5),
    ];
    let run = execute(&world, &apply::plan(&[r]), &quick()).await.unwrap().into_result().unwrap();
    let verification = verified(&world, run.entries[0].entry_id, vec![], vec![]).await;
    let uses: Vec<_> = verification.statements.iter().map(|s| s.uses_index).collect();
    assert_eq!(&uses[..2], [None, None]);
    assert_eq!(world.value("select count(*) from plain").await, "2000");
    assert!(!plan_of("x", vec![]).steps().any(|_| true));
}

#[tokio::test]
async fn examples_are_planned_in_the_search_path_of_those_who_ran_them() {
    let world = World::on(testkit::any_server()).await;
    world
        .sql(
            "create schema app; create table app.orders (id integer, x integer); \
             insert into app.orders select n, n from generate_series(1, 20000) n; analyze app.orders",
        )
        .await;
    let table = QualifiedName::new("app", "orders");
    let mut r = recommendation("r", vec![create(table, "orders_x_idx", &["x"])]);
    r.statements = vec![effect(7, "select * from orders where x = 5", 1.0, 0.5)];
    let run = execute(&world, &apply::plan(&[r]), &quick()).await.unwrap().into_result().unwrap();
    let entry = run.entries[0].entry_id;
    let uses = async |search_path: Option<&str>| {
        let search_path = search_path.map(str::to_owned);
        let measurement = Measurement { search_path, ..Measurement::default() };
        let proof = apply::verify(&world.target, &[entry], &measurement).await.unwrap();
        proof.verifications[0].statements[0].uses_index
    };
    assert_eq!(uses(None).await, None, "the name means nothing to this role");
    assert_eq!(uses(Some("app, public")).await, Some(true));
}

/// A table on which the index misleads the planner into reading nearly all of it page by page.
const MISLEADING: &str = "
    create table m (id integer, x integer, y integer, z text);
    insert into m select n, n % 1000, n % 3, repeat('z', 200) from generate_series(1, 30000) n;
    analyze m";

fn m() -> QualifiedName {
    QualifiedName::new("public", "m")
}

#[tokio::test]
async fn what_a_change_made_slower_is_named_and_nothing_else_is_blamed() {
    for server in testkit::servers() {
        let version = &server.binaries().version;
        let world = World::on(server).await;
        world.sql(MISLEADING).await;
        world.sql("create index m_y_idx on m (y)").await;
        let mut r = recommendation(
            "r",
            vec![
                create(m(), "m_x_idx", &["x"]),
                Change::DropIndex {
                    name: QualifiedName::new("public", "m_y_idx"),
                    table: m(),
                    definition: "CREATE INDEX m_y_idx ON public.m USING btree (y)".into(),
                },
            ],
        );
        r.statements = vec![effect(1, "select * from m where x = 5", 10.0, 1.0)];
        let used_dropped = serde_json::json!({"Plan": {"Node Type": "Index Scan", "Schema": "public",
            "Relation Name": "m", "Index Name": "m_y_idx"}});
        let run = execute(&world, &apply::plan(&[r]), &quick()).await.unwrap().into_result().unwrap();
        let entry = run.entries[0].entry_id;
        let mut measurement = Measurement {
            before: vec![
                figures(1, 100, 10.0, 900.0),
                figures(2, 100, 2.0, 100.0),
                figures(3, 100, 2.0, 100.0),
                figures(4, 100, 2.0, 100.0),
                Figures { wal_records: 1.0, ..figures(5, 100, 0.2, 3.0) },
                figures(6, 3, 2.0, 100.0),
            ],
            since: vec![
                figures(1, 100, 1.0, 5.0),
                figures(2, 50, 6.0, 400.0),
                figures(3, 50, 6.0, 400.0),
                figures(4, 50, 6.0, 400.0),
                Figures {
                    wal_records: 2.0,
                    query: "insert into m values ($1, $2, $3, $4)".into(),
                    ..figures(5, 50, 0.3, 6.0)
                },
                figures(6, 100, 9.0, 400.0),
            ],
            ..Measurement::default()
        };
        measurement.examples.insert(2, vec!["select * from m where x < 3".into()]);
        measurement.examples.insert(3, vec!["select * from m where y = 1 and id < 9".into()]);
        measurement.examples.insert(4, vec!["select * from plain where x = 1".into()]);
        measurement.plans_before.insert(3, vec![used_dropped]);
        let proof = apply::verify(&world.target, &[entry], &measurement).await.unwrap();
        let causes: Vec<(i64, Cause)> = proof.slower.iter().map(|s| (s.queryid, s.cause)).collect();
        assert_eq!(
            causes,
            [(2, Cause::NewPlan), (3, Cause::LostIndex), (4, Cause::MorePages), (5, Cause::Upkeep)],
            "on {version}: {proof:#?}"
        );
        assert_eq!(proof.too_few_calls, 1);
        let back: Vec<(&str, i64)> =
            proof.take_back.iter().map(|t| (t.object.name.as_str(), t.step_id)).collect();
        let steps: Vec<i64> = run.entries[0].steps.iter().map(|s| s.step_id).collect();
        assert_eq!(back, [("m_x_idx", steps[0]), ("m_y_idx", steps[1])], "{proof:#?}");
        assert_eq!(proof.verifications[0].verdict, Verdict::MadeOthersSlower);
        assert_eq!(proof.verifications[0].slower.len(), 3);

        // A table that has grown by as much explains it as well.
        let halves: u64 = world.value("select pg_relation_size('m')").await.parse().unwrap();
        let grown = Measurement { table_bytes_before: [(m(), halves / 4)].into(), ..measurement.clone() };
        let proof = apply::verify(&world.target, &[entry], &grown).await.unwrap();
        let causes: Vec<Cause> = proof.slower.iter().map(|s| s.cause).collect();
        use Cause as C;
        assert_eq!(causes, [C::TableGrew, C::TableGrew, C::MorePages, C::TableGrew], "{proof:#?}");
        assert_eq!(proof.take_back, []);

        // It saves 900 ms and costs 200: who only wants to lose nothing keeps it.
        let weighing = Measurement { only_losing: true, ..measurement.clone() };
        let proof = apply::verify(&world.target, &[entry], &weighing).await.unwrap();
        assert!(proof.take_back.is_empty(), "{:?}", proof.take_back);

        // Exactly that change is taken back.
        apply::undo(&world.target, &UndoTarget::Step(steps[0]), &quick(), &mut |_| {})
            .await
            .unwrap()
            .into_result()
            .unwrap();
        assert_eq!(world.value("select to_regclass('m_x_idx')").await, "");
        assert_eq!(world.value("select to_regclass('m_y_idx')").await, "");
        let proof = apply::verify(&world.target, &[entry], &measurement).await.unwrap();
        let back: Vec<&str> = proof.take_back.iter().map(|t| t.object.name.as_str()).collect();
        assert_eq!(back, ["m_y_idx"], "what is undone is not blamed any more");
    }
}

#[tokio::test]
async fn upkeep_goes_when_it_costs_more_than_is_saved_and_a_decision_to_keep_is_remembered() {
    let world = World::on(testkit::any_server()).await;
    world.sql(MISLEADING).await;
    let mut r = recommendation("r", vec![create(m(), "m_x_idx", &["x"])]);
    r.statements = vec![effect(1, "select * from m where x = 5", 10.0, 1.0)];
    let run = execute(&world, &apply::plan(&[r]), &quick()).await.unwrap().into_result().unwrap();
    let entry = run.entries[0].entry_id;
    let insert = |calls, mean, wal_records| Figures {
        wal_records,
        query: "insert into m values ($1, $2, $3, $4)".into(),
        ..figures(5, calls, mean, 6.0)
    };
    let measured = |reads: i64, writes: i64| Measurement {
        before: vec![figures(1, 100, 10.0, 900.0), insert(1000, 0.2, 1.0)],
        since: vec![figures(1, reads, 1.0, 5.0), insert(writes, 0.4, 2.0)],
        ..Measurement::default()
    };
    let goes = async |measurement: Measurement| {
        let proof = apply::verify(&world.target, &[entry], &measurement).await.unwrap();
        assert_eq!(proof.slower[0].cause, Cause::Upkeep, "{proof:#?}");
        proof.take_back
    };
    assert!(goes(measured(100, 1000)).await.is_empty(), "it saves 900 ms and costs 200");
    assert!(goes(measured(0, 1000)).await.is_empty(), "what it saves is not known yet");
    let back = goes(measured(10, 10_000)).await;
    assert_eq!(back.len(), 1);
    assert!(
        back[0].sentence.contains("has cost 2.00 s") && back[0].kept_at.is_none(),
        "{}",
        back[0].sentence
    );
    apply::verify::keep(&world.target, entry).await.unwrap();
    assert!(goes(measured(10, 10_000)).await[0].kept_at.is_some());
}

#[tokio::test]
async fn the_index_of_a_partitioned_table_is_measured_as_a_whole() {
    for server in testkit::servers() {
        let world = World::on(server).await;
        world.sql(partitions::PARTITIONED).await;
        let example = "select * from \"My Schema\".\"a\"\"b.c p\" where \"Größe\" = 3 and id = 1500";
        let mut r = recommendation("r", vec![partitions::create_whole()]);
        r.price.bytes = model::Bytes(50_000);
        r.price.build_ms = Millis(10.0);
        r.statements = vec![effect(7, example, 10.0, 1.0)];
        let run = execute(&world, &apply::plan(&[r]), &quick()).await.unwrap().into_result().unwrap();
        let entry = run.entries[0].entry_id;
        world.sql(&format!("set enable_seqscan = off; {example}")).await;
        let since = vec![figures(7, 10, 1.5, 4.0)];
        let held = verified(&world, entry, vec![figures(7, 10, 10.0, 50.0)], since).await;
        assert_eq!(held.indexes.len(), 1);
        assert!(held.indexes[0].valid && held.indexes[0].bytes.0 >= 4 * 8192, "{held:?}");
        assert_eq!(held.indexes[0].name, partitions::definition().qualified_name());

        // Slower by the index of a partition: the whole goes.
        let mut measurement = Measurement {
            before: vec![figures(8, 100, 1.0, 10.0)],
            since: vec![figures(8, 100, 5.0, 90.0)],
            ..Measurement::default()
        };
        measurement.examples.insert(8, vec![example.into()]);
        let proof = apply::verify(&world.target, &[entry], &measurement).await.unwrap();
        assert_eq!(proof.slower[0].cause, Cause::NewPlan, "{proof:#?}");
        assert_eq!(proof.take_back[0].step_id, run.entries[0].steps[0].step_id);
    }
}

#[tokio::test]
async fn the_record_is_kept_per_kind_of_index() {
    for server in testkit::servers() {
        let world = World::on(server).await;
        world
            .sql("insert into plain select n, n, 'z' from generate_series(3000, 60000) n; analyze plain")
            .await;
        assert_eq!(apply::track_record(&world.target).await.unwrap(), []);
        let covering = model::IndexDefinition {
            include: vec!["y".into()],
            ..index(plain_table(), "covering_idx", &["x"])
        };
        let mut first = recommendation("first", vec![Change::CreateIndex { index: covering }]);
        first.price.bytes = model::Bytes(2_000_000);
        first.price.build_ms = Millis(20.0);
        first.statements = vec![effect(7, "select x, y from plain where x = 4711", 100.0, 10.0)];
        let run = execute(&world, &apply::plan(&[first]), &quick()).await.unwrap().into_result().unwrap();
        let entry = run.entries[0].entry_id;
        // Right after it was made nothing has run, which says nothing of the gain.
        verified(&world, entry, vec![], vec![]).await;
        assert_eq!(apply::track_record(&world.target).await.unwrap(), []);
        world.sql("insert into plain select n, n, 'z' from generate_series(60001, 100000) n").await;
        verified(&world, entry, vec![], vec![figures(7, 50, 19.0, 4.0)]).await;
        let record = apply::track_record(&world.target).await.unwrap();
        assert_eq!(record.len(), 1);
        assert_eq!((record[0].kind.as_str(), record[0].indexes, record[0].calls), ("covering btree", 1, 50));
        assert!((record[0].share - 0.9).abs() < 1e-9, "{record:?}");
        // Of the size when it was new.
        let size = record[0].size_ratio.unwrap();
        assert!((0.3..1.5).contains(&size), "{size}");
        assert!(record[0].build_ratio.is_some());
        // A later look with fewer calls, after a reset for instance, does not take its place.
        verified(&world, entry, vec![], vec![figures(7, 10, 99.0, 4.0)]).await;
        assert_eq!(apply::track_record(&world.target).await.unwrap(), record);
        // What was undone was measured all the same.
        apply::undo(&world.target, &UndoTarget::Last, &quick(), &mut |_| {})
            .await
            .unwrap()
            .into_result()
            .unwrap();
        assert_eq!(apply::track_record(&world.target).await.unwrap(), record);
        assert!(apply::purge(&world.target, false).await.unwrap());
        assert_eq!(apply::track_record(&world.target).await.unwrap(), []);
    }
}
