//! Is every text that `pg_stat_statements` can hold either planned or left out with a reason? On the oldest and the
//! newest server that this machine has.

#![allow(clippy::unwrap_used)] // A test that cannot go on fails.

use std::time::Duration;

use advice::{Options, advise};
use postgres::{Environment, SessionOptions, Target};
use twin::{Twin, TwinOptions};

/// The schema as a dump has it, and what fills it.
const SCHEMA: &str = "
CREATE EXTENSION citext WITH SCHEMA public;
CREATE TABLE public.t (id int PRIMARY KEY, n int NOT NULL, at timestamptz NOT NULL, day date NOT NULL, s text NOT NULL, amount numeric NOT NULL);
CREATE TABLE public.marked (id int, label public.citext);
CREATE VIEW public.recent AS SELECT t.id, t.n, t.at FROM public.t WHERE t.at > '2026-01-10'::timestamptz;
";
const ROWS: &str = "
CREATE EXTENSION pg_stat_statements;
INSERT INTO t SELECT n, n % 5000, '2026-01-01'::timestamptz + n * interval '1 minute', '2026-01-01'::date + n % 300, md5(n::text), n % 977
    FROM generate_series(1, 30000) n;
INSERT INTO marked SELECT n, 'Label ' || n FROM generate_series(1, 5000) n;
CREATE TABLE gone (id int, x int);
INSERT INTO gone SELECT n, n FROM generate_series(1, 5000) n;
CREATE TEMPORARY TABLE passing AS SELECT 1 AS x;
";

/// Statements that can be planned from their normalised text.
const PLANNED: [&str; 14] = [
    "SELECT count(*) FROM t WHERE at > now() - interval '7 days'",
    "SELECT count(*) FROM t WHERE day >= date '2026-02-01' AND day < date '2026-02-01' + interval '1 month'",
    "SELECT count(*) FROM t WHERE extract(year FROM day) = 2026 AND n = 5",
    "SELECT count(*) FROM t WHERE n IN (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12)",
    "SELECT count(*) FROM t WHERE n = ANY (ARRAY[1, 2, 3])",
    "SELECT count(*) FROM t WHERE at AT TIME ZONE 'UTC' > timestamp '2026-01-15 00:00'",
    "SELECT sum(amount * (1 - 0.05) * 2 - -1) FROM t WHERE amount BETWEEN 0.06 - 0.01 AND 0.06 + 0.01",
    "SELECT substring(s FROM 1 FOR 2), count(*) FROM t GROUP BY 1 ORDER BY 2 DESC LIMIT 3",
    "SELECT CASE WHEN n > 5 THEN 'a' ELSE 'b' END, count(*) FROM t WHERE s LIKE 'ab%' ESCAPE '!' GROUP BY 1",
    "SELECT id FROM recent WHERE n = 77",
    "SELECT id FROM marked WHERE label = 'label 77'",
    "SELECT 1 FROM t WHERE (n, id) > (4000, 17) ORDER BY n, id FETCH FIRST 3 ROWS ONLY",
    "UPDATE t SET s = 'x' WHERE n = 4711",
    "WITH a AS MATERIALIZED (SELECT n FROM t WHERE s = 'x') SELECT count(*) FROM a JOIN t USING (n)",
];

/// Statements that are left out, each with a part of the reason.
const LEFT_OUT: [(&str, &str); 6] = [
    ("SELECT count(*) FROM passing WHERE x = 3", "passing is not in the snapshot"),
    ("SELECT count(*) FROM gone WHERE x = 3", "gone is not in the snapshot"),
    ("SELECT count(*) FROM t JOIN gone ON gone.id = t.id WHERE gone.x = 7", "gone"),
    ("SELECT relname FROM pg_class WHERE oid = 1", "system catalogs"),
    ("INSERT INTO t VALUES (-1, 1, now(), current_date, 'x', 1)", "inserts given rows"),
    ("SET work_mem = '5MB'", "utility"),
];

#[tokio::test]
async fn every_text_is_planned_or_left_out_with_a_reason() {
    let versions = testkit::versions();
    let ends = [versions.first().unwrap().major, versions.last().unwrap().major];
    for major in ends {
        let server = testkit::server(major);
        let database = testkit::database(server).await;
        let client = testkit::connect(&database.url).await;
        client.batch_execute(SCHEMA).await.unwrap();
        client.batch_execute(ROWS).await.unwrap();
        client.batch_execute("ANALYZE").await.unwrap();
        client.batch_execute("SELECT pg_stat_statements_reset()").await.unwrap();
        for statement in PLANNED.iter().copied().chain(LEFT_OUT.iter().map(|(sql, _)| *sql)) {
            client.simple_query(statement).await.unwrap_or_else(|e| panic!("{statement}: {e:?}"));
        }
        // More than a megabyte of text, on 18 squashed to a line.
        let numbers: Vec<String> = (1..=160_000).map(|n| n.to_string()).collect();
        let long = format!("SELECT count(*) FROM t WHERE n IN ({})", numbers.join(", "));
        client.simple_query(&long).await.unwrap();
        let columns: Vec<String> =
            (1..=600).map(|n| format!("n + {n} AS c{n}, length(s || 'text {n}')")).collect();
        client.simple_query(&format!("SELECT {} FROM t WHERE n = 77", columns.join(", "))).await.unwrap();
        client.batch_execute("DROP TABLE gone").await.unwrap();

        let target = Target::parse(Some(&database.url), &Environment::default()).unwrap();
        let session = target.connect(&SessionOptions::default()).await.unwrap();
        let mut snapshot =
            postgres::snapshot::read_without_schema(&session, Duration::from_secs(5)).await.unwrap();
        snapshot.schema_sql = SCHEMA.into();
        // Cut off in the middle of a word and of a string, as a lost text file leaves them.
        for (n, text) in ["SELECT count(*) FROM t WHERE n =", "SELECT 'x", "", "/* only */", "FETCH 3 FROM c"]
            .iter()
            .enumerate()
        {
            let mut cut = snapshot.statements[0].clone();
            (cut.queryid, cut.query) = (n as i64 + 1, (*text).to_owned());
            snapshot.statements.push(cut);
        }
        let mut twin = Twin::build(&snapshot, server.binaries(), TwinOptions::default()).await.unwrap();
        let advice = advise(&snapshot, &mut twin, &Options::default()).await.unwrap();
        twin.stop().await.unwrap();
        // Nothing else is left out: what has no place in the lists is a statement that should have been planned.
        let known: Vec<&str> = LEFT_OUT.iter().map(|(_, part)| *part).collect();
        let own = ["reads no table", "truncated", "is empty"];
        for skipped in &advice.skipped {
            let expected = known.iter().chain(&own).any(|part| skipped.reason.contains(part));
            assert!(expected, "{major}: {}", skipped.reason);
        }
        for (sql, part) in LEFT_OUT {
            assert!(
                advice.skipped.iter().any(|s| s.reason.contains(part)),
                "{major}: {sql}: {:#?}",
                advice.skipped
            );
        }
        for n in 1..=5 {
            assert!(advice.skipped.iter().any(|s| s.queryid == n && !s.reason.is_empty()), "{major}: {n}");
        }
        assert!(advice.recommendations.iter().any(|r| r.title.contains("on public.t")), "{major}");
    }
}
