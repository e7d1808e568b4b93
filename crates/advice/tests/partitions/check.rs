//! Which partitions do statements read, why not fewer, and which text would?

use std::collections::BTreeSet;

use advice::partitions::{
    CheckOptions, Pruning, PruningCause, PruningReport, StatementPruning, check, divide, findings,
    neighbours, trial,
};
use model::{Division, KeyKind, QualifiedName, Severity};

use crate::world::{EVENTS, twin, used};

const T: &str = r#""S x"."e""v.t""#;

/// Statements with what is expected of each occurrence of the set, and why.
fn cases() -> Vec<(String, Vec<Pruning>, Option<PruningCause>)> {
    use Pruning as P;
    use PruningCause as C;
    [
        ("SELECT count(*) FROM T WHERE at >= '2026-10-01 00:00+00' AND at < '2026-10-08 00:00+00'", vec![P::Planning], None),
        ("SELECT count(*), 1 FROM T WHERE at > now() - interval '400 days'", vec![P::Start], None),
        ("SELECT count(*) FROM T WHERE date(at) = '2026-10-05'", vec![P::None], Some(C::FunctionOnKey)),
        ("SELECT kind FROM T WHERE at::date = '2026-10-05'", vec![P::None], Some(C::CastOfKey)),
        ("SELECT count(*) FROM T WHERE at > clock_timestamp() - interval '1 day'", vec![P::None], Some(C::VolatileValue)),
        ("SELECT count(*) FROM T WHERE at > '2026-10-01 00:00+00' OR kind = 'z'", vec![P::None], Some(C::OneArmOfOr)),
        ("SELECT * FROM T WHERE meter_id = 5 ORDER BY at DESC LIMIT 10", vec![P::None], Some(C::StopsAtLimit)),
        ("SELECT v, kind FROM T WHERE meter_id = 5", vec![P::None], Some(C::KeyNotCompared)),
        ("SELECT id FROM T WHERE (at, id) > ('2026-10-01 00:00+00', 5)", vec![P::None], Some(C::RowComparison)),
        ("SELECT count(*) FROM T e JOIN meters m ON m.id = e.meter_id WHERE m.city = 'city 7'", vec![P::None], Some(C::JoinWithoutKey)),
        ("SELECT v FROM T WHERE at = (SELECT since FROM meters WHERE id = 10) AND meter_id = 10", vec![P::Subquery], None),
        ("SELECT count(*) FROM T WHERE at IS NOT NULL AND kind = 'a'", vec![P::None], Some(C::AllWanted)),
        ("DELETE FROM T WHERE at < '2024-12-01 00:10+00'", vec![P::Planning], None),
        ("SELECT count(*) FROM T a JOIN T b ON a.id = b.id WHERE a.at >= '2026-10-01 00:00+00' AND a.at < '2026-10-02 00:00+00' AND b.at >= '2026-10-01 00:00+00'", vec![P::Planning, P::Planning], None),
        // Values of both bounds that were the same would leave no row, and every partition out.
        ("SELECT sum(v) FROM T WHERE at AT TIME ZONE 'UTC' >= '2026-10-01' AND at AT TIME ZONE 'UTC' < '2026-10-02'", vec![P::None], Some(C::FunctionOnKey)),
        // A zone, a unit and seconds are no values of the key.
        ("SELECT max(v) FROM T WHERE at >= timestamp '2026-10-01' AT TIME ZONE 'UTC' AND at < timestamp '2026-10-02' AT TIME ZONE 'UTC'", vec![P::Planning], None),
        ("SELECT min(v) FROM T WHERE at >= to_timestamp(1790000000)", vec![P::Planning], None),
    ]
    .into_iter()
    .map(|(sql, pruning, cause)| (sql.replace(" T ", &format!(" {T} ")), pruning, cause))
    .collect()
}

/// The statement of the report that was run as this text.
fn of<'r>(report: &'r PruningReport, sql: &str) -> &'r StatementPruning {
    let fingerprint = sql::fingerprint(sql).unwrap();
    report
        .statements
        .iter()
        .find(|s| sql::fingerprint(&s.query).unwrap() == fingerprint)
        .unwrap_or_else(|| panic!("{sql} is not in the report: {:?}", report.skipped))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_of_pruning_is_told_with_its_cause() {
    for server in testkit::servers() {
        let major = server.binaries().major;
        let cases = cases();
        let statements: Vec<&str> = cases.iter().map(|(sql, ..)| sql.as_str()).collect();
        let (client, snapshot) = used(server, EVENTS, &statements).await;
        let mut twin = twin(server, &snapshot).await;
        let options = CheckOptions { tables: BTreeSet::new(), timed: 1 };
        let report = check(&snapshot, &mut twin, &options, &mut |_, _| {}).await.unwrap();
        assert_eq!(report.sets.len(), 1);
        assert_eq!(report.sets[0].partitions.len(), 24);
        for (sql, pruning, cause) in &cases {
            let found = of(&report, sql);
            let ways: Vec<Pruning> = found.uses.iter().map(|u| u.pruning).collect();
            assert_eq!(&ways, pruning, "{major}: {sql}: {:#?}", found.uses);
            let causes: Vec<PruningCause> =
                found.uses.iter().filter_map(|u| u.cause.as_ref()).map(|c| c.kind).collect();
            assert_eq!(causes, cause.iter().copied().collect::<Vec<_>>(), "{major}: {sql}");
            // What the twin leaves out, the server leaves out.
            let rows = client.query(&format!("EXPLAIN (FORMAT JSON) {}", found.typical), &[]).await.unwrap();
            let plan: serde_json::Value = rows[0].get(0);
            let scans = plan.to_string().matches("\"Relation Name\":\"p").count();
            let read: f64 = found.uses.iter().map(|u| u.read).sum();
            if found
                .uses
                .iter()
                .all(|u| matches!(u.pruning, Pruning::None | Pruning::Subquery | Pruning::RowByRow))
            {
                assert_eq!(scans as f64, read, "{major}: {sql}");
            }
        }
        // A day is one partition, and the text that says so is proved and leaves the others out.
        let day = of(&report, &cases[2].0);
        let rewrite = day.rewrite.as_ref().unwrap();
        assert_eq!((rewrite.rules.as_slice(), rewrite.is_proved), (&["time-range"][..], true));
        assert!(rewrite.read <= 2.0, "{rewrite:?}");
        // Nothing is rewritten where everything is wanted.
        assert!(of(&report, &cases[11].0).rewrite.is_none());
        // A range is left out of the plan for all values when it is started; a function of the key is not.
        let range = of(&report, &cases[0].0).generic.as_ref().unwrap();
        assert!(range.prunes && !range.is_chosen && range.planned == 24, "{range:?}");
        let function = day.generic.as_ref().unwrap();
        assert!(!function.prunes && function.is_chosen, "{function:?}");
        let timed = report.statements.iter().filter(|s| s.planning.is_some()).count();
        assert_eq!(timed, 1);

        let findings = findings(&report);
        let warned = findings.iter().filter(|f| f.severity == Severity::Warning).count();
        assert!(warned >= 1, "{findings:#?}");
        assert!(findings.iter().all(|f| f.check == "unpruned-statement"), "{findings:#?}");
        let only = CheckOptions { tables: BTreeSet::from([QualifiedName::new("public", "x")]), timed: 0 };
        assert!(check(&snapshot, &mut twin, &only, &mut |_, _| {}).await.unwrap().statements.is_empty());
        twin.stop().await.unwrap();
    }
}

/// Three years of days, of which a few are asked for.
const DAYS: &str = r#"
CREATE EXTENSION pg_stat_statements;
CREATE TABLE logs (at timestamptz NOT NULL, host int NOT NULL) PARTITION BY RANGE (at);
DO $$ BEGIN
    FOR i IN 0..599 LOOP
        EXECUTE format('CREATE TABLE %I PARTITION OF logs FOR VALUES FROM (%L) TO (%L)',
            'logs_' || to_char(date '2025-01-01' + i, 'YYYY_MM_DD'),
            to_char(date '2025-01-01' + i, 'YYYY-MM-DD') || ' 00:00+00',
            to_char(date '2025-01-01' + i + 1, 'YYYY-MM-DD') || ' 00:00+00');
    END LOOP;
END $$;
INSERT INTO logs SELECT timestamptz '2025-01-01 00:00+00' + n * interval '1 hour', n % 50 FROM generate_series(1, 14300) n;
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_set_of_many_partitions_is_tried_with_longer_ones() {
    let server = testkit::any_server();
    let often = vec!["SELECT count(*) FROM logs WHERE host = 7 AND at > now() - interval '700 days'"; 5];
    let (_client, snapshot) = used(server, DAYS, &often).await;
    let table = QualifiedName::new("public", "logs");
    let (longer, shorter) = neighbours(&"1 day".parse().unwrap(), KeyKind::TimestampTz);
    assert_eq!(shorter, "1 hour".parse().ok());
    let division = |interval| Division { key: "at".into(), kind: KeyKind::TimestampTz, interval };
    let weeks = division(longer.unwrap());
    // Hours would be more than anybody wants.
    assert!(divide(&snapshot, &table, &division(shorter.unwrap()), "UTC", 0).is_err());
    let divided = divide(&snapshot, &table, &weeks, "UTC", 0).unwrap();
    let mut as_it_is = twin(server, &snapshot).await;
    let mut as_divided = twin(server, &divided.snapshot).await;
    let tried =
        trial(&snapshot, &table, "weeks".into(), &divided, &mut as_it_is, &mut as_divided).await.unwrap();
    // How long planning takes is the machine's affair; that it was measured, and counted, is not.
    assert!(tried.planning_before.is_some() && tried.planning_after.is_some(), "{tried:#?}");
    assert!(tried.planning_now_ms > 0.0 && tried.net_share() <= 1.0, "{tried:#?}");
    assert_eq!((tried.statements, tried.pruning), (1, 1));
    assert!((86..=88).contains(&tried.partitions), "{}", tried.partitions);
    as_it_is.stop().await.unwrap();
    as_divided.stop().await.unwrap();
}
