//! Does a twin in which a table is divided plan as a server on which it really is?

use std::collections::BTreeSet;

use advice::partitions::{AdviseOptions, candidates, divide, judge, trial};
use model::cost_model::{Configuration, CostModel as _};
use model::{Bytes, Division, Interval, KeyKind, QualifiedName, Snapshot};

use crate::world::{twin, used};

/// Readings of two years, 60,000 of them, in the order of time, read by day and by device.
const PLAIN: &str = r#"
CREATE EXTENSION pg_stat_statements;
CREATE TABLE devices (id int PRIMARY KEY, place text NOT NULL);
INSERT INTO devices SELECT n, 'place ' || n % 20 FROM generate_series(1, 300) n;
CREATE TABLE "r x" (id bigint NOT NULL PRIMARY KEY, at timestamptz NOT NULL, device int NOT NULL REFERENCES devices,
    v float8, kind text NOT NULL, CHECK (v >= 0)) WITH (fillfactor = 90);
CREATE UNIQUE INDEX rx_device_at ON "r x" (device, at);
CREATE TABLE notes (reading bigint REFERENCES "r x", note text);
INSERT INTO "r x" SELECT n, timestamptz '2024-12-01 00:00+00' + n * interval '17 minutes 31 seconds', 1 + n % 300, n,
    (ARRAY['a', 'b', 'c'])[1 + n % 3] FROM generate_series(1, 60000) n;
"#;

/// The same, really divided.
const DIVIDED: &str = r#"
CREATE TABLE old AS TABLE "r x";
DROP TABLE "r x" CASCADE;
CREATE TABLE "r x" (id bigint NOT NULL, at timestamptz NOT NULL, device int NOT NULL, v float8, kind text NOT NULL,
    CHECK (v >= 0), PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE d PARTITION OF "r x" DEFAULT;
DO $$ BEGIN
    FOR i IN 0..27 LOOP
        EXECUTE format('CREATE TABLE p%s PARTITION OF "r x" FOR VALUES FROM (%L) TO (%L) WITH (fillfactor = 90)', i,
            timestamptz '2024-12-01 00:00+00' + i * interval '1 month',
            timestamptz '2024-12-01 00:00+00' + (i + 1) * interval '1 month');
    END LOOP;
END $$;
CREATE UNIQUE INDEX rx_device_at ON "r x" (device, at);
INSERT INTO "r x" SELECT * FROM old ORDER BY id;
DROP TABLE old;
ANALYZE;
"#;

const READS: [&str; 6] = [
    r#"SELECT sum(v) FROM "r x" WHERE at >= '2026-03-03 00:00+00' AND at < '2026-03-10 00:00+00'"#,
    r#"SELECT * FROM "r x" WHERE device = 7 AND at >= '2026-03-03 00:00+00' AND at < '2026-03-30 00:00+00'"#,
    r#"SELECT kind, count(*) FROM "r x" GROUP BY kind"#,
    r#"SELECT * FROM "r x" WHERE id = 4711"#,
    r#"SELECT d.place, avg(r.v) FROM "r x" r JOIN devices d ON d.id = r.device WHERE r.at >= '2026-05-01 00:00+00' AND r.at < '2026-06-01 00:00+00' GROUP BY d.place"#,
    r#"SELECT count(*) FROM "r x" WHERE at >= '2026-05-01 00:00+00' AND kind = 'a'"#,
];

fn table() -> QualifiedName {
    QualifiedName::new("public", "r x")
}

fn by_month() -> Division {
    Division { key: "at".into(), kind: KeyKind::TimestampTz, interval: "1 month".parse().unwrap() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_twin_that_is_divided_plans_as_a_server_that_is() {
    for server in testkit::servers() {
        let major = server.binaries().major;
        let (client, snapshot) = used(server, PLAIN, &READS).await;
        let divided = divide(&snapshot, &table(), &by_month(), "UTC", 4).unwrap();
        let rows: f64 = divided.partitions.iter().map(|(_, share)| share).sum();
        assert!((rows - 1.0).abs() < 1e-6, "{:?}", divided.partitions);
        let widened: Vec<&str> = divided.widened.iter().map(|w| w.name.as_str()).collect();
        assert_eq!(widened, ["r x_pkey"]);
        let lost: Vec<&str> = divided.lost_references.iter().map(|l| l.table.name.as_str()).collect();
        assert_eq!(lost, ["notes"]);
        let mut twin = twin(server, &divided.snapshot).await;
        assert!(twin.notes().is_empty(), "{major}: {:?}", twin.notes());
        client.batch_execute(DIVIDED).await.unwrap();
        for sql in READS {
            let planned = twin.plan(sql, &Configuration::current()).await.unwrap();
            let row = client.query_one(&format!("EXPLAIN (FORMAT JSON) {sql}"), &[]).await.unwrap();
            let real: serde_json::Value = row.get(0);
            let real_cost = real[0]["Plan"]["Total Cost"].as_f64().unwrap();
            let ratio = planned.total_cost / real_cost;
            assert!((0.75..1.33).contains(&ratio), "{major}: {sql}: {ratio}\n{planned:#?}\n{real:#}");
            let scans = |plan: &serde_json::Value| plan.to_string().matches("\"Relation Name\"").count();
            assert_eq!(scans(&planned.explain), scans(&real[0]), "{major}: {sql}");
        }
        twin.stop().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_divided_is_divided_anew() {
    let server = testkit::any_server();
    let schema = format!("{PLAIN}{DIVIDED}");
    let (_client, snapshot) = used(server, &schema, &READS).await;
    let quarters = Division { interval: "1 quarter".parse().unwrap(), ..by_month() };
    let divided = divide(&snapshot, &table(), &quarters, "UTC", 0).unwrap();
    // Two years that begin in December, and DEFAULT.
    assert_eq!(divided.partitions.len(), 9 + 1);
    // What the indexes of the partitions weighed together is divided, not what the one of the whole weighs: nothing.
    let pages = |snapshot: &Snapshot| -> i64 {
        let of_parts =
            snapshot.indexes.iter().filter(|i| i.parent.as_ref().is_some_and(|p| p.name == "rx_device_at"));
        of_parts.map(|i| i.pages).sum()
    };
    let (before, after) = (pages(&snapshot), pages(&divided.snapshot));
    assert!(
        before > 100 && (before..before + 10).contains(&after),
        "{before} pages, {after} when divided anew"
    );
    assert!(divided.widened.is_empty());
    let mut as_it_is = twin(server, &snapshot).await;
    let mut as_divided = twin(server, &divided.snapshot).await;
    assert!(as_divided.notes().is_empty(), "{:?}", as_divided.notes());
    let tried = trial(&snapshot, &table(), "quarters".into(), &divided, &mut as_it_is, &mut as_divided)
        .await
        .unwrap();
    assert_eq!((tried.statements, tried.partitions), (6, 10));
    assert!(tried.pruning >= 3, "{tried:#?}");
    assert!(tried.planning_before.is_some() && tried.planning_after.is_some());
    assert!(tried.index_bytes_after.0 > 0);
    as_it_is.stop().await.unwrap();
    as_divided.stop().await.unwrap();
}

fn options(min_bytes: u64) -> AdviseOptions {
    AdviseOptions { tables: BTreeSet::new(), min_bytes: Bytes(min_bytes), time_zone: "UTC".into() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_read_by_time_and_whose_old_rows_go_deserves_it() {
    let server = testkit::any_server();
    let heavy = r#"SELECT kind, sum(v) FROM "r x" WHERE at >= '2026-03-01 00:00+00' AND at < '2026-04-01 00:00+00' GROUP BY kind"#;
    let mut statements = vec![heavy; 20];
    statements.push(r#"DELETE FROM "r x" WHERE at < '2024-12-02 00:00+00'"#);
    let schema = format!("{PLAIN}DROP INDEX rx_device_at; DROP TABLE notes;");
    let (_client, snapshot) = used(server, &schema, &statements).await;
    assert!(candidates(&snapshot, &options(1 << 40)).is_empty());
    let found = candidates(&snapshot, &options(1 << 20));
    let [candidate] = found.as_slice() else { panic!("{found:#?}") };
    assert_eq!(candidate.facts.deletes_by_age.as_ref().unwrap().column, "at");
    let month = candidate
        .proposals
        .iter()
        .find(|p| p.division == by_month())
        .unwrap_or_else(|| panic!("{candidate:#?}"));
    let divided = divide(&snapshot, &table(), &month.division, "UTC", 4).unwrap();
    let mut as_it_is = twin(server, &snapshot).await;
    let mut as_divided = twin(server, &divided.snapshot).await;
    let tried =
        trial(&snapshot, &table(), "months".into(), &divided, &mut as_it_is, &mut as_divided).await.unwrap();
    assert_eq!(tried.pruning, 2, "{tried:#?}");
    assert!(tried.saved_ms > 0.5 * tried.total_ms, "{tried:#?}");
    let verdict = judge(&candidate.facts, &[tried]);
    assert!(verdict.worth, "{verdict:#?}");
    as_it_is.stop().await.unwrap();
    as_divided.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_whose_indexes_find_everything_does_not() {
    let server = testkit::any_server();
    let by_device = [READS[1], READS[3]];
    let (_client, snapshot) = used(server, PLAIN, &by_device).await;
    let found = candidates(&snapshot, &options(1 << 20));
    let candidate = found.iter().find(|c| c.facts.table == table()).unwrap();
    let proposal = candidate.proposals.first().unwrap_or_else(|| panic!("{candidate:#?}"));
    let divided = divide(&snapshot, &table(), &proposal.division, "UTC", 4).unwrap();
    let mut as_it_is = twin(server, &snapshot).await;
    let mut as_divided = twin(server, &divided.snapshot).await;
    let tried =
        trial(&snapshot, &table(), "tried".into(), &divided, &mut as_it_is, &mut as_divided).await.unwrap();
    let verdict = judge(&candidate.facts, &[tried]);
    assert!(!verdict.worth, "{verdict:#?}");
    as_it_is.stop().await.unwrap();
    as_divided.stop().await.unwrap();
    // What nothing divides is said so, and what cannot be divided too.
    let by_nothing = used(server, PLAIN, &[READS[2]]).await.1;
    let found = candidates(&by_nothing, &options(1 << 20));
    assert!(found.iter().all(|c| c.proposals.is_empty() && c.why_none.is_some()), "{found:#?}");
    let missing = Division { key: "nothing".into(), ..by_month() };
    assert!(divide(&snapshot, &table(), &missing, "UTC", 4).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_and_hashes_are_tried_where_nothing_tells_the_time() {
    let server = testkit::any_server();
    let by_kind = r#"SELECT sum(v) FROM "r x" WHERE kind = 'a'"#;
    let (_client, snapshot) = used(server, PLAIN, &[by_kind, by_kind]).await;
    let found = candidates(&snapshot, &options(1 << 20));
    let candidate = found.iter().find(|c| c.facts.table == table()).unwrap();
    let [list] = candidate.proposals.as_slice() else { panic!("{candidate:#?}") };
    assert_eq!((list.division.key.as_str(), list.division.kind), ("kind", KeyKind::List));
    let hash = Division { key: "device".into(), kind: KeyKind::Hash, interval: Interval::Remainders(16) };
    let by_device = r#"SELECT sum(v) FROM "r x" WHERE device = 7"#;
    // Of a list those that ask for one value read one of its parts; DEFAULT takes what no part does.
    for (division, sql, parts) in [(&list.division, by_kind, 3 + 1), (&hash, by_device, 16)] {
        let divided = divide(&snapshot, &table(), division, "UTC", 4).unwrap();
        assert_eq!(divided.partitions.len(), parts);
        let rows: f64 = divided.partitions.iter().map(|(_, share)| share).sum();
        assert!((rows - 1.0).abs() < 0.01, "{:?}", divided.partitions);
        let mut twin = twin(server, &divided.snapshot).await;
        assert!(twin.notes().is_empty(), "{:?}", twin.notes());
        let planned = twin.plan(sql, &Configuration::current()).await.unwrap();
        assert_eq!(planned.explain.to_string().matches("\"Relation Name\"").count(), 1, "{planned:#?}");
        twin.stop().await.unwrap();
    }
}
