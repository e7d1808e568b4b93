//! Correlated columns that dependencies mend, rare combinations that need a target of 1000, groups that ndistinct
//! mends, expressions, sets that nothing helps; and tables with hostile names, with policies, with no rows, with
//! generated columns, with partitions and with huge texts.

use cluster::Server;
use model::estimate::{Attempt, ColumnSet, Comparison, Measured, Member, NotMeasured, SampleFacts, Tried};
use model::{QualifiedName, Snapshot, StatisticsKind};
use postgres::sample::{SampleLimits, SampleSource};
use postgres::{Environment, Session, SessionOptions, Target};
use tokio_postgres::Client;
use trial::{Source, Trial, TrialOptions};

struct World {
    client: Client,
    url: String,
    session: Session,
    snapshot: Snapshot,
    trial: Trial,
}

async fn world(server: &'static Server, script: &str) -> World {
    let database = testkit::database(server).await;
    let client = testkit::connect(&database.url).await;
    client.batch_execute(script).await.unwrap_or_else(|e| panic!("{script}: {e:?}"));
    let session = open(&database.url).await;
    let mut snapshot =
        postgres::snapshot::read_without_schema(&session, std::time::Duration::from_secs(2)).await.unwrap();
    // Statements that fill tables are no schema.
    snapshot.schema_sql = script.split("-- data").next().unwrap_or_default().to_owned();
    let templates = concat!(env!("CARGO_MANIFEST_DIR"), "/../../.cache/templates");
    let options = TrialOptions { template_dir: Some(templates.into()), ..TrialOptions::default() };
    let trial = Trial::start(&snapshot, server.binaries(), options).await.unwrap();
    World { client, url: database.url, session, snapshot, trial }
}

async fn open(url: &str) -> Session {
    let target = Target::parse(Some(url), &Environment::default()).unwrap();
    target.connect(&SessionOptions { read_only: true, ..SessionOptions::default() }).await.unwrap()
}

fn extended(set: &ColumnSet, kind: StatisticsKind, target: Option<i32>) -> Attempt {
    Attempt::Extended {
        kinds: vec![kind],
        columns: set.plain_columns(),
        expressions: set.expressions(),
        target,
    }
}

fn set(table: &str, members: Vec<Member>) -> ColumnSet {
    ColumnSet { table: QualifiedName::new("public", table), members, statements: vec![1], total_ms: 1.0 }
}

fn columns(table: &str, names: &[&str], comparison: Comparison) -> ColumnSet {
    set(table, names.iter().map(|n| Member::column(*n, comparison)).collect())
}

fn expression(sql: &str, column: &str, comparison: Comparison) -> Member {
    Member { sql: sql.into(), column: None, columns: vec![column.into()], comparison }
}

impl World {
    async fn measure(
        &mut self,
        set: &ColumnSet,
        attempts: Vec<Attempt>,
        limits: &SampleLimits,
    ) -> Result<Measured, String> {
        let relation = self.snapshot.relation(&set.table).unwrap();
        let columns: Vec<String> = set.needed_columns().into_iter().collect();
        let source = SampleSource {
            table: &set.table,
            columns: &columns,
            with_children: relation.partition_key.is_some(),
            rows: relation.rows(),
            pages: relation.pages as u64,
            row_bytes: 16,
        };
        let sample = postgres::sample::read(&self.session, &source, limits)
            .await
            .map_err(|e| format!("{e}: {e:?}"))?;
        let facts = SampleFacts {
            rows: sample.rows as f64,
            of_rows: relation.rows().max(sample.rows as f64),
            bytes: sample.bytes,
            is_whole: sample.is_whole,
        };
        let source = Source { relation, columns: &columns, data: sample.data, facts, existing: Vec::new() };
        let (mut measured, not): (Vec<Measured>, Vec<NotMeasured>) =
            self.trial.measure(&source, &[(set.clone(), attempts)]).await.unwrap();
        match not.first() {
            Some(not) => Err(not.reason.clone()),
            None => Ok(measured.remove(0)),
        }
    }

    async fn all(&mut self, set: &ColumnSet, attempts: Vec<Attempt>) -> Measured {
        self.measure(set, attempts, &SampleLimits::default()).await.unwrap()
    }
}

fn typical(tried: &Tried) -> f64 {
    tried.errors.as_ref().unwrap_or_else(|| panic!("{tried:?}")).typical
}

const TABLES: &str = r#"
    create table places (city text, zip integer, "shoe size" integer, note text);
    create table pairs (a integer, b integer);
    create table "a""b.c" ("select" text, "x y" text, doubled integer generated always as (length("select") * 2) stored);
    create table people (email text, seen timestamptz);
    create table rare (kind integer, part integer);
    create table none (a integer, b integer);
    -- data
    insert into places select 'city ' || n % 300, n % 300 + 10000, abs(hashint4(n)) % 40, repeat('x', 20) from generate_series(1, 20000) n;
    insert into pairs select g % 100, (g * 7) % 200 / 100 + g % 60 * 2 from (select (n * 7919) % 200 as g from generate_series(1, 24000) n) s;
    insert into "a""b.c" select 'v' || n % 150, 'w' || n % 150 from generate_series(1, 9000) n;
    insert into people select 'User' || n % 3000 || '@Example.org', '2026-01-01'::timestamptz + n % 200 * interval '1 day' + n * interval '1 second' from generate_series(1, 12000) n;
    insert into rare select n % 700, n % 700 % 350 from generate_series(1, 70000) n;
    analyze;
"#;

#[tokio::test]
async fn what_helps_is_told_from_what_does_not() {
    for server in testkit::servers() {
        let mut world = world(server, TABLES).await;
        let version = &server.binaries().version;

        // A city has one zip code: each equality is taken for a filter of its own.
        let dependent = columns("places", &["city", "zip"], Comparison::Equal);
        let dependencies = extended(&dependent, StatisticsKind::Dependencies, None);
        let found = world.all(&dependent, vec![dependencies]).await;
        assert!(found.sample.is_whole && found.sample.rows == 20_000.0, "{:?}", found.sample);
        assert!(found.before.typical > 20.0, "{version}: {:?}", found.before);
        assert!(typical(&found.tried[0]) < 1.5, "{version}: {:?}", found.tried);
        // They take contradictory values for possible ones.
        let absent = found.tried[0].errors.as_ref().unwrap().absent.unwrap();
        assert!(absent > 10.0, "{version}: {absent}");

        // Independent columns: right as things are.
        let independent = columns("places", &["city", "shoe size"], Comparison::Equal);
        let dependencies = extended(&independent, StatisticsKind::Dependencies, None);
        let found = world.all(&independent, vec![dependencies]).await;
        assert!(found.before.typical < 2.0, "{version}: {:?}", found.before);

        // Functional dependencies say nothing about ranges.
        let range = set(
            "places",
            vec![Member::column("city", Comparison::Equal), Member::column("zip", Comparison::Above)],
        );
        let dependencies = extended(&range, StatisticsKind::Dependencies, None);
        let found = world.all(&range, vec![dependencies]).await;
        let (before, after) = (found.before.typical, typical(&found.tried[0]));
        assert!((before - after).abs() < 0.2 * before, "{version}: {before} {after}");

        // 700 combinations of 0.14 % each: a list of 100 has no room for them.
        let rare = columns("rare", &["kind", "part"], Comparison::Equal);
        let lists: Vec<Attempt> =
            [None, Some(1000)].iter().map(|t| extended(&rare, StatisticsKind::Mcv, *t)).collect();
        let found = world.all(&rare, lists).await;
        let (small, large) = (typical(&found.tried[0]), typical(&found.tried[1]));
        assert!(small > 2.0 * large && large < 1.6, "{version}: {} {small} {large}", found.before.typical);

        // 200 groups, and the product of both columns is taken for their number.
        let groups = columns("pairs", &["a", "b"], Comparison::Grouped);
        let found = world.all(&groups, vec![extended(&groups, StatisticsKind::Ndistinct, None)]).await;
        let probe = &found.before.probes[0];
        assert!(probe.rows == 200.0 && probe.estimate > 2_000.0, "{version}: {probe:?}");
        assert!(typical(&found.tried[0]) < 1.1, "{version}: {:?}", found.tried);

        // A target of its own, and the number of different values.
        let one = columns("rare", &["kind"], Comparison::Equal);
        let attempts = vec![
            Attempt::Target { column: "kind".into(), target: 1000 },
            Attempt::Distinct { column: "kind".into() },
        ];
        let found = world.all(&one, attempts).await;
        let distinct = found.tried.last().unwrap().n_distinct;
        assert_eq!(distinct, Some(700.0), "{version}: {:?}", found.tried);
        world.trial.stop().await.unwrap();
    }
}

#[tokio::test]
async fn expressions_have_statistics_of_their_own() {
    for server in testkit::servers() {
        let mut world = world(server, TABLES).await;
        let by_day = set("people", vec![expression("date_trunc('day', seen)", "seen", Comparison::Grouped)]);
        let lower = set("people", vec![expression("lower(email)", "email", Comparison::Equal)]);
        for set in [by_day, lower] {
            let attempt = Attempt::Extended {
                kinds: Vec::new(),
                columns: Vec::new(),
                expressions: set.expressions(),
                target: None,
            };
            let found = world.all(&set, vec![attempt]).await;
            let tried = &found.tried[0];
            if server.binaries().major < 14 {
                assert!(tried.refused.is_some(), "{tried:?}");
                continue;
            }
            assert!(found.before.typical > 2.0 * typical(tried), "{:?} {:?}", found.before, tried);
            assert!(typical(tried) < 1.6, "{tried:?}");
            assert!(
                tried.expressions[0].contains("seen)") || tried.expressions == ["lower(email)"],
                "{tried:?}"
            );
        }
    }
}

#[tokio::test]
async fn names_are_quoted_and_little_is_said_of_few_rows() {
    let mut world = world(testkit::any_server(), TABLES).await;
    let hostile = set(
        "a\"b.c",
        vec![Member::column("select", Comparison::Equal), Member::column("x y", Comparison::Equal)],
    );
    let found = world.all(&hostile, vec![extended(&hostile, StatisticsKind::Dependencies, None)]).await;
    assert!(found.before.typical > 20.0 && typical(&found.tried[0]) < 1.5, "{found:?}");
    // A generated column is one like any other in the sample.
    let generated = set(
        "a\"b.c",
        vec![Member::column("select", Comparison::Equal), Member::column("doubled", Comparison::List)],
    );
    let found = world.all(&generated, vec![extended(&generated, StatisticsKind::Mcv, None)]).await;
    assert!(found.tried[0].refused.is_none(), "{:?}", found.tried);
    let empty = columns("none", &["a", "b"], Comparison::Equal);
    let reason = world.measure(&empty, Vec::new(), &SampleLimits::default()).await.unwrap_err();
    assert_eq!(reason, "0 rows are too few to tell");
    // What PostgreSQL refuses is said in its words.
    let unknown = columns("places", &["city", "zip"], Comparison::Equal);
    let attempt = Attempt::Extended {
        kinds: vec![StatisticsKind::Mcv],
        columns: vec!["city".into(), "nothing".into()],
        expressions: Vec::new(),
        target: None,
    };
    let found = world.all(&unknown, vec![attempt]).await;
    assert!(found.tried[0].refused.as_ref().unwrap().contains("nothing"), "{:?}", found.tried);
    let directory = world.trial.directory().to_owned();
    assert!(directory.exists());
    world.trial.stop().await.unwrap();
    assert!(!directory.exists(), "nothing of a sample stays");
}

#[tokio::test]
async fn a_sample_is_bounded_and_respects_privileges_and_policies() {
    for server in testkit::servers() {
        let mut world = world(
            server,
            "create table wide (k integer, body text);
             create table secret (k integer, part integer);
             create table split (k integer, part integer) partition by list (part);
             create table split_0 partition of split for values in (0);
             create table split_1 partition of split for values in (1);
             -- data
             alter table secret enable row level security;
             insert into wide select n, repeat(md5(n::text), 3000) from generate_series(1, 400) n;
             insert into secret select n % 50, n % 50 from generate_series(1, 2000) n;
             insert into split select n % 2, n % 2 from generate_series(1, 4000) n;
             analyze;",
        )
        .await;
        let wide = columns("wide", &["body"], Comparison::Equal);
        let narrow = ["body".to_owned()];
        let source = SampleSource {
            table: &wide.table,
            columns: &narrow,
            with_children: false,
            rows: 400.0,
            pages: 10,
            row_bytes: 8,
        };
        let limits = SampleLimits { bytes: 1 << 20, ..SampleLimits::default() };
        let cut = postgres::sample::read(&world.session, &source, &limits).await.unwrap();
        assert!(cut.is_cut && !cut.is_whole && cut.bytes <= 1 << 20, "{}", cut.bytes);
        // The session is as good as before.
        let again = postgres::sample::read(&world.session, &source, &SampleLimits::default()).await.unwrap();
        assert!(again.is_whole && again.rows == 400, "{}", again.rows);

        let parted = columns("split", &["k", "part"], Comparison::Equal);
        let found = world.all(&parted, vec![extended(&parted, StatisticsKind::Mcv, None)]).await;
        assert_eq!(found.sample.rows, 4000.0, "rows of partitions are rows of the table");
        assert!(found.before.typical > 1.5 && typical(&found.tried[0]) < 1.1, "{found:?}");

        let role = format!(
            "reader_{}",
            world.url.rsplit('/').next().unwrap().replace(|c: char| !c.is_ascii_alphanumeric(), "_")
        );
        world
            .client
            .batch_execute(&format!(
                "drop role if exists {role}; create role {role} login; grant select on secret to {role}"
            ))
            .await
            .unwrap();
        let separator = if world.url.contains('?') { '&' } else { '?' };
        world.session = open(&format!("{}{separator}user={role}", world.url)).await;
        let secret = columns("secret", &["k", "part"], Comparison::Equal);
        let refused = world.measure(&secret, Vec::new(), &SampleLimits::default()).await.unwrap_err();
        assert!(refused.contains("row-level security"), "{refused}");
        let refused = world.measure(&parted, Vec::new(), &SampleLimits::default()).await.unwrap_err();
        assert!(refused.contains("permission denied"), "{refused}");
        // Nothing is left open in the session.
        let state =
            "select count(*) from pg_locks where pid = pg_backend_pid() and relation = 'split'::regclass";
        assert_eq!(world.session.query_one(state, &[]).await.map(|r| r.get::<_, i64>(0)).unwrap_or(0), 0);
        world.client.batch_execute(&format!("drop owned by {role}; drop role {role}")).await.unwrap();
    }
}
