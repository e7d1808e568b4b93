//! Promises beside what was measured on a real server.

use std::collections::BTreeMap;

use apply::Error;
use apply::verify::{Counters, Measurement, Verdict};
use model::{Millis, StatementEffect};

use crate::world::{World, create, execute, plain_table, plan_of, quick, recommendation};

fn effect(queryid: i64, example: &str, mean: f64, expected: f64) -> StatementEffect {
    StatementEffect {
        queryid,
        query: "select * from plain where x = $1".into(),
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

fn counters(calls: i64, ms: f64) -> Vec<Counters> {
    vec![Counters { queryid: 7, calls, total_exec_time: Millis(ms) }]
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
        let verify = async |entry, at_apply, now| {
            let measurement = Measurement { mean_before: BTreeMap::new(), at_apply, now };
            apply::verify(&world.target, entry, &measurement).await.unwrap()
        };

        let waiting = verify(useful, counters(10, 1000.0), counters(10, 1000.0)).await;
        assert_eq!(waiting.verdict, Verdict::NoCallsYet);
        assert!(waiting.indexes[0].planned && waiting.indexes[0].valid && waiting.indexes[0].bytes.0 > 0);
        assert_eq!(waiting.statements[0].uses_index, Some(true));

        let held = verify(useful, counters(10, 1000.0), counters(20, 1020.0)).await;
        assert_eq!((held.verdict, held.statements[0].mean_after), (Verdict::Held, Some(Millis(2.0))));
        assert!(held.kept_share.unwrap() > 0.98);
        let slower = verify(useful, counters(10, 1000.0), counters(20, 1700.0)).await;
        assert_eq!(slower.verdict, Verdict::SlowerThanPromised, "{}", slower.sentence);
        let stored = apply::journal(&world.target).await.unwrap();
        let stored: apply::verify::Verification =
            serde_json::from_value(stored[0].measured.clone().unwrap()).unwrap();
        assert_eq!(stored, slower);

        let unused = verify(useless, counters(10, 1000.0), counters(20, 1900.0)).await;
        assert_eq!(unused.verdict, Verdict::NotUsed, "{}", unused.sentence);
        assert_eq!(unused.statements[0].uses_index, Some(false));

        world.sql("drop index useful").await;
        let gone = verify(useful, counters(10, 1000.0), counters(20, 1020.0)).await;
        assert_eq!(gone.verdict, Verdict::NotThere);
        let error = apply::verify(&world.target, 4711, &Measurement::default()).await.unwrap_err();
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
    let verification =
        apply::verify(&world.target, run.entries[0].entry_id, &Measurement::default()).await.unwrap();
    let uses: Vec<_> = verification.statements.iter().map(|s| s.uses_index).collect();
    assert_eq!(&uses[..2], [None, None]);
    assert_eq!(world.value("select count(*) from plain").await, "2000");
    assert!(!plan_of("x", vec![]).steps().any(|_| true));
}
