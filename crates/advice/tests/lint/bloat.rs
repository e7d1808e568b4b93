//! Is the estimate of bloat within five points of what a rewrite gives back?
//!
//! Tables and indexes of many kinds are made, aged, analyzed and estimated; pgstattuple measures them; then they are
//! rewritten, and what is gone is the truth.

use advice::schema::bloat;
use postgres::statistics::space::{heap_space, index_space};
use postgres::{Environment, SessionOptions, Target};
use tokio_postgres::Client;

use crate::snapshot;

/// In percentage points.
const TOLERANCE: f64 = 5.0;

struct Case {
    name: &'static str,
    /// Makes table `t_<name>` and ages it. Its indexes are judged too.
    sql: &'static str,
}

const fn case(name: &'static str, sql: &'static str) -> Case {
    Case { name, sql }
}

const CASES: &[Case] = &[
    case("fresh", "create table t (id int primary key, n bigint); insert into t select n, n from generate_series(1, 30000) n"),
    case(
        "alignment",
        "create table t (a bool, b bigint, c bool, d timestamptz, e smallint, f bigint);
         insert into t select true, n, false, now(), 1, n from generate_series(1, 40000) n; delete from t where b % 3 = 0;
         create index on t (a, b); create index on t (e, d, c)",
    ),
    case(
        "nulls",
        "create table t (id int, a bigint, b text, c timestamptz, d int);
         insert into t select n, case when n % 2 = 0 then n end, case when n % 5 = 0 then md5(n::text) end,
            case when n % 3 = 0 then now() end, null from generate_series(1, 40000) n;
         create index on t (a); create index on t (b); create index on t (c, id); delete from t where id % 4 = 1",
    ),
    case(
        "many_nulls",
        "create table t (id int, a int, b int, c int, d int, e int, f int, g int, h int, i int);
         insert into t (id) select generate_series(1, 40000); delete from t where id % 2 = 0",
    ),
    case(
        "fill_factor",
        "create table t (id int, s text) with (fillfactor = 60);
         insert into t select n, repeat('x', 20 + n % 60) from generate_series(1, 30000) n;
         create index on t (id) with (fillfactor = 50); create index on t (s) with (fillfactor = 70);
         delete from t where id % 3 = 0",
    ),
    case(
        "texts",
        "create table t (id int, s text, u text);
         insert into t select n, repeat('y', (n * 7919) % 200), 'user' || n from generate_series(1, 30000) n;
         create index on t (u); create index on t (s); delete from t where id % 10 < 7",
    ),
    case(
        "duplicates",
        "create table t (id int, kind int, status text, flag bool);
         insert into t select n, n % 20, (array['active', 'retired', 'failed'])[1 + n % 3], n % 100 = 0
            from generate_series(1, 60000) n;
         create index on t (kind); create index on t (status); create index on t (flag); create index on t (status, kind);
         delete from t where id % 5 < 3",
    ),
    case(
        "few_duplicates",
        "create table t (id int, k int); insert into t select n, n / 4 from generate_series(1, 60000) n;
         create index on t (k); delete from t where id % 2 = 0",
    ),
    case(
        "not_merged",
        "create table t (id int, n numeric, k int); insert into t select n, n % 50, n % 50 from generate_series(1, 50000) n;
         create index on t (n); create index on t (k) with (deduplicate_items = off); delete from t where id % 2 = 0",
    ),
    case(
        "deleted_pages",
        "create table t (id int, k int); insert into t select n, n from generate_series(1, 100000) n;
         create index on t (k); delete from t where id between 10000 and 90000",
    ),
    case(
        "queue",
        "create table t (id int primary key, s text);
         insert into t select n, 'job ' || n from generate_series(1, 20000) n; delete from t where id < 18000; vacuum t;
         insert into t select n, 'job ' || n from generate_series(20001, 40000) n; delete from t where id < 38000",
    ),
    case(
        "random_inserts",
        "create table t (k uuid); insert into t select md5(n::text)::uuid from generate_series(1, 20000) n;
         create index on t (k); insert into t select md5(n::text)::uuid from generate_series(20001, 60000) n",
    ),
    case(
        "updates",
        "create table t (id int primary key, n int, s text); create index on t (n);
         insert into t select n, n, 'value ' || n from generate_series(1, 20000) n;
         update t set n = n + 1000000; update t set n = n + 1000000; update t set s = s || '!'",
    ),
    case(
        "partial_and_included",
        "create table t (id int, a int, b bigint, s text);
         insert into t select n, n % 1000, n, 'note ' || n from generate_series(1, 50000) n;
         create index on t (a) include (b); create index on t (b) where a < 500; create index on t (lower(s));
         delete from t where id % 3 > 0",
    ),
    case("wide", "create table t (id int, s text); alter table t alter s set storage plain;
         insert into t select n, repeat('z', 1500) from generate_series(1, 4000) n; delete from t where id % 2 = 0"),
];

async fn value(client: &Client, sql: &str) -> i64 {
    client.query_one(sql, &[]).await.unwrap_or_else(|e| panic!("{sql}: {e:?}")).get(0)
}

/// What a rewrite took away, in percent of the pages before.
async fn truth(client: &Client, relation: &str, before: f64, rewrite: &str) -> f64 {
    client.batch_execute(rewrite).await.unwrap_or_else(|e| panic!("{rewrite}: {e:?}"));
    let after = value(client, &format!("select pg_relation_size('{relation}') / 8192")).await as f64;
    (1.0 - after / before).max(0.0) * 100.0
}

#[tokio::test(flavor = "multi_thread")]
async fn the_estimate_is_within_five_points_of_a_rewrite() {
    let server = testkit::any_server();
    let database = testkit::database(server).await;
    let client = testkit::connect(&database.url).await;
    client.batch_execute("create extension pgstattuple").await.unwrap();
    for case in CASES {
        let schema = format!("create schema {0}; set search_path = {0}, public", case.name);
        client.batch_execute(&schema).await.unwrap();
        // One by one: VACUUM does not run within several.
        for statement in case.sql.split(';') {
            client
                .batch_execute(statement)
                .await
                .unwrap_or_else(|e| panic!("{}: {statement}: {e:?}", case.name));
        }
        // What this session counted reaches the statistics before they are reset.
        client.batch_execute("select pg_stat_force_next_flush()").await.unwrap();
        client.batch_execute("vacuum (analyze) t").await.unwrap();
    }
    let snapshot = snapshot(&database.url).await;
    let extension = snapshot.extensions.iter().find(|e| e.name == "pgstattuple").unwrap();
    let target = Target::parse(Some(&database.url), &Environment::default()).unwrap();
    let session = target.connect(&SessionOptions::default()).await.unwrap();
    let mut wrong = Vec::new();
    let mut judged = 0;
    let mut judge = |name: String, way: &str, said: f64, truth: f64| {
        judged += 1;
        println!("{name:60} {way:10} {said:5.1} {truth:5.1} {:+5.1}", said - truth);
        if (said - truth).abs() > TOLERANCE {
            wrong.push(format!("{name} {way}: {said:.1} against {truth:.1}"));
        }
    };
    for relation in &snapshot.relations {
        let estimate = bloat::of_table(relation).unwrap();
        let space = heap_space(&session, extension, relation.oid).await.unwrap().unwrap();
        let measured = bloat::from_heap_figures(
            space.table_len as f64 / 8192.0,
            space.tuple_count as f64,
            space.tuple_len as f64,
            relation,
        );
        for index in snapshot.indexes_of(&relation.name) {
            let estimate = bloat::of_index(index, relation).unwrap();
            let space = index_space(&session, extension, index.oid).await.unwrap().unwrap();
            let measured = bloat::from_index_figures(
                space.index_size as f64 / 8192.0,
                space.leaf_pages as f64,
                space.avg_leaf_density,
                space.internal_pages as f64,
                index,
            );
            let name = index.name.to_string();
            let truth = truth(&client, &name, index.pages as f64, &format!("reindex index {name}")).await;
            judge(name.clone(), "estimated", estimate.share() * 100.0, truth);
            judge(name, "measured", measured.share() * 100.0, truth);
        }
        let name = relation.name.to_string();
        let truth = truth(&client, &name, relation.pages as f64, &format!("vacuum full {name}")).await;
        judge(name.clone(), "estimated", estimate.share() * 100.0, truth);
        judge(name, "measured", measured.share() * 100.0, truth);
    }
    assert!(judged > 60, "{judged}");
    assert!(wrong.is_empty(), "{} of {judged}:\n{}", wrong.len(), wrong.join("\n"));
}
