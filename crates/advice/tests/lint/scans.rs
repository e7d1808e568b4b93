//! Indexes that nobody scans, and what that says of them: counters have an age, a place and blind spots.

use std::collections::BTreeSet;

use advice::schema::{Beside, Settings, lint};
use chrono::Duration;
use model::Snapshot;

use crate::{eager, place, snapshot};

/// Everything that is made has no scan, except `scanned` and `m_scanned`.
const SCHEMA: &str = "
    create table p (id int primary key); insert into p select generate_series(1, 100);
    create table t (id int primary key, a int, b int, c int, d int, e int, f int, g int not null, h int, r int4range);
    insert into t select n, n, n, n, n, n, n % 100 + 1, n, n, int4range(n, n + 1) from generate_series(1, 5000) n;
    create index plain on t (a);
    create index scanned on t (b);
    alter table t add constraint unique_constraint unique (c);
    create unique index unique_index on t (d);
    create index clustered on t (e); cluster t using clustered;
    alter table t add constraint to_p foreign key (f) references p;
    create index needed on t (f);
    create unique index identity on t (g); alter table t replica identity using index identity;
    alter table t add constraint apart exclude using gist (r with &&);
    create index failed on t (h); update pg_index set indisvalid = false where indexrelid = 'failed'::regclass;
    create index of_expression on t ((a + b));
    create table twice (id int, x int references p); create index twice_1 on twice (x); create index twice_2 on twice (x, id);
    create table m (id int, a int, b int, c int constraint m_to_p references p) partition by range (id);
    create table m1 partition of m for values from (0) to (100); create table m2 partition of m for values from (100) to (200);
    insert into m select n, n, n, 1 from generate_series(0, 199) n;
    create index m_unused on m (a); create index m_scanned on m (b);
    create index m1_needed on m1 (c); create index m2_needed on m2 (c);
    analyze;
    set enable_seqscan = off; set enable_bitmapscan = off;
    select count(*) from t where b = 7; select count(*) from m2 where b = 150;
";

fn unused(snapshot: &Snapshot, replicas: &[Snapshot], min_days: f64) -> BTreeSet<String> {
    let thresholds = advice::schema::Thresholds { unused_min_days: min_days, ..eager() };
    let settings = Settings { thresholds, ..Settings::default() };
    let beside = Beside { replicas, ..Beside::default() };
    let found = lint(snapshot, beside, &settings, &["unused-index".into()]).findings;
    found.iter().map(|f| place(&f.finding.object).1).collect()
}

fn names(list: &[&str]) -> BTreeSet<String> {
    list.iter().map(|n| (*n).to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_is_unused_only_where_the_counters_can_tell() {
    for server in testkit::servers() {
        let major = server.binaries().major;
        let database = testkit::database(server).await;
        let client = testkit::connect(&database.url).await;
        client.batch_execute(SCHEMA).await.unwrap_or_else(|e| panic!("on {major}: {e:?}"));
        crate::faults::wait_for_counters(&client).await;
        let mut primary = snapshot(&database.url).await;
        let all = names(&["plain", "of_expression", "twice_1", "twice_2", "m_unused"]);
        assert_eq!(unused(&primary, &[], 0.0), all, "on {major}");

        // Counters of an hour tell nothing, those of a week do.
        primary.server.stats_reset = Some(primary.taken_at - Duration::hours(1));
        assert_eq!(unused(&primary, &[], 7.0), names(&[]));
        primary.server.stats_reset = Some(primary.taken_at - Duration::days(8));
        assert_eq!(unused(&primary, &[], 7.0), all);
        // Without a reset what is known for sure is the time since the start.
        primary.server.stats_reset = None;
        primary.server.started_at = Some(primary.taken_at - Duration::days(1));
        assert_eq!(unused(&primary, &[], 7.0), names(&[]));
        primary.server.stats_reset = Some(primary.taken_at - Duration::days(8));

        // A replica, or one of several, scans some of them; of a partitioned one it is a part that is scanned.
        let mut replica = primary.clone();
        replica.server.in_recovery = true;
        for index in &mut replica.indexes {
            if ["plain", "m1_a_idx"].contains(&index.name.name.as_str()) {
                index.idx_scan = 3;
            }
        }
        let quiet = Snapshot { server: replica.server.clone(), ..primary.clone() };
        let left = names(&["of_expression", "twice_1", "twice_2"]);
        assert_eq!(unused(&primary, &[quiet.clone(), replica.clone()], 7.0), left);
        // On a standby alone the primary's scans are not seen; beside another's they are.
        assert_eq!(unused(&quiet, &[], 7.0), names(&[]));
        assert_eq!(unused(&quiet, std::slice::from_ref(&replica), 7.0), left);

        // Small ones cost next to nothing.
        let settings = Settings::default();
        let found = lint(&primary, Beside::default(), &settings, &["unused-index".into()]).findings;
        assert!(found.is_empty(), "{found:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_is_being_built_is_no_fault() {
    let server = testkit::any_server();
    let database = testkit::database(server).await;
    let client = testkit::connect(&database.url).await;
    client
        .batch_execute("create table t (a int); insert into t select generate_series(1, 100)")
        .await
        .unwrap();
    // A concurrent build waits for the transactions that could have missed the index.
    let holder = testkit::connect(&database.url).await;
    holder.batch_execute("begin; lock table t in row exclusive mode").await.unwrap();
    let builder = testkit::connect(&database.url).await;
    let cancel = builder.cancel_token();
    let build =
        tokio::spawn(async move { builder.batch_execute("create index concurrently i on t (a)").await });
    let mut seen = None;
    for _ in 0..500 {
        let snapshot = snapshot(&database.url).await;
        if let Some(index) = snapshot.indexes.first() {
            seen = Some((index.valid, index.building));
            assert!(crate::findings(&snapshot, &["invalid-index"]).is_empty());
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(seen, Some((false, true)));
    cancel.cancel_query(tokio_postgres::NoTls).await.unwrap();
    assert!(build.await.unwrap().is_err());
    holder.batch_execute("rollback").await.unwrap();
    let left = snapshot(&database.url).await;
    assert_eq!(crate::findings(&left, &["invalid-index"]).len(), 1);
}
