//! Each check finds its fault, leaves what only looks like it, and what it says mends it.

use std::collections::{BTreeMap, BTreeSet};

use advice::schema::{Beside, CHECKS, LintFinding, Settings, lint};
use model::snapshot::Statement;
use model::{Millis, Snapshot};
use tokio_postgres::Client;

use crate::{eager, place, snapshot};

struct Fault {
    check: &'static str,
    /// Makes the fault, and beside it what must not be found.
    sql: &'static str,
    /// The objects that are found, separated by commas.
    found: &'static str,
    /// Whether running what mends it makes the findings go away.
    mends: bool,
    since: u32,
}

const fn fault(check: &'static str, sql: &'static str, found: &'static str, mends: bool) -> Fault {
    Fault { check, sql, found, mends, since: 13 }
}

const FAULTS: &[Fault] = &[
    fault(
        "alignment-waste",
        "create table t (a bool not null, b bigint not null, c bool not null, d bigint not null, e int not null);
         insert into t select true, n, true, n, n from generate_series(1, 1000) n;
         create table good (b bigint not null, d bigint not null, e int not null, a bool not null, c bool not null);
         insert into good select n, n, n, true, true from generate_series(1, 1000) n",
        "t",
        false,
    ),
    fault(
        "all-nullable-table",
        "create table t (a int, b int); create table good (a int primary key, b int);
         create table m (a int not null) partition by range (a); create table m1 partition of m for values from (0) to (9)",
        "t",
        false,
    ),
    fault(
        "bloated-table",
        "create table t (id int, s text) with (autovacuum_enabled = off);
         insert into t select n, repeat('x', 100) from generate_series(1, 40000) n; delete from t where id % 4 > 0;
         create table good (id int, s text); insert into good select n, repeat('x', 100) from generate_series(1, 40000) n;
         create table filled (id int, s text) with (fillfactor = 50);
         insert into filled select n, repeat('x', 100) from generate_series(1, 40000) n",
        "t",
        false,
    ),
    fault(
        "bloated-index",
        "create table t (id int); insert into t select n from generate_series(1, 200000) n; create index i on t (id);
         delete from t where id % 4 > 0;
         create table good (id int); insert into good select n from generate_series(1, 200000) n; create index on good (id)",
        "i",
        true,
    ),
    fault(
        "boolean-index",
        "create table t (id int primary key, rare bool, even bool, other int);
         insert into t select n, n % 50 = 0, n % 2 = 0, n from generate_series(1, 10000) n;
         create index i_rare on t (rare); create index i_even on t (even); create index i_two on t (even, other);
         create index i_partial on t (even) where other > 5",
        "i_rare, i_even",
        true,
    ),
    fault(
        "btree-on-array",
        "create table t (a int[], j jsonb, n int); create index i on t (a); create index i_j on t (j);
         create unique index i_unique on t (a); create index i_n on t (n);
         create table good (a int[]); create index i_both on good (a); create index i_gin on good using gin (a)",
        "i, i_j",
        true,
    ),
    fault(
        "char-column",
        "create table t (a char(10), b char(1), c varchar(10), d \"char\", e text)",
        "t.a",
        true,
    ),
    fault(
        "circular-foreign-keys",
        "create table a (id int primary key, b int not null); create table b (id int primary key, a int not null);
         alter table a add constraint to_b foreign key (b) references b;
         alter table b add constraint to_a foreign key (a) references a;
         create table tree (id int primary key, parent int references tree);
         create table leaf (a int references a)",
        "a",
        false,
    ),
    fault(
        "definer-search-path",
        "create function f(int, text) returns int language sql security definer as 'select 1';
         create function good(int) returns int language sql security definer set search_path = pg_catalog, pg_temp as 'select 1';
         create function qualified() returns int language sql security definer set search_path = '' as 'select 1';
         create function late() returns int language sql security definer set search_path = public as 'select 1';
         create procedure p() language sql security definer as 'select 1';
         create function plain() returns int language sql as 'select 1'",
        "f, late, p",
        true,
    ),
    fault(
        "duplicate-foreign-key",
        "create table p (id int primary key); create table t (a int, b int, constraint f1 foreign key (a) references p,
         constraint f2 foreign key (a) references p on delete cascade, constraint f3 foreign key (b) references p)",
        "f2",
        true,
    ),
    fault(
        "duplicate-index",
        "create table t (a int, b int); create index i1 on t (a); create index i2 on t (a); create index i3 on t (b)",
        "i2",
        true,
    ),
    fault(
        "empty-table",
        "create table t (a int); create table good (a int); insert into good values (1);
         create table m (a int) partition by range (a); create table m1 partition of m for values from (0) to (9)",
        "t",
        true,
    ),
    fault(
        "foreign-key-type-mismatch",
        "create table p (id bigint primary key); create table n (id numeric primary key);
         create table t (a int constraint f1 references p, b int constraint f2 references n, c bigint constraint f3 references p)",
        "f1, f2",
        true,
    ),
    fault("inheritance", "create table t (a int); create table c () inherits (t); create table good (a int)", "t", false),
    fault(
        "invalid-index",
        "create table t (a int); create index i on t (a); create index good on t (a) where a > 5;
         update pg_index set indisvalid = false where indexrelid = 'i'::regclass",
        "i",
        true,
    ),
    fault(
        "join-type-mismatch",
        "create table a (id int, n numeric, s text, v varchar); create table b (id bigint, n int, s text, c char(3))",
        "a.n, a.s",
        false,
    ),
    fault("json-column", "create table t (a json, b jsonb)", "t.a", true),
    fault("money-column", "create table t (a money, b numeric)", "t.a", true),
    fault(
        "never-vacuumed",
        "create table t (a int); insert into t select generate_series(1, 1000);
         create table small (a int); insert into small values (1)",
        "t",
        true,
    ),
    fault(
        "no-primary-key",
        "create table t (a int); create table named (id int); create table unique_key (a int not null, b int not null);
         create unique index u on unique_key (a, b); create table good (a int primary key);
         create table m (a int primary key) partition by range (a); create table m1 partition of m for values from (0) to (9)",
        "t, named, unique_key",
        true,
    ),
    fault(
        "null-heavy-index",
        "create table t (id int primary key, a int, b int, c int);
         insert into t select n, case when n % 10 = 0 then n end, n, case when n % 10 = 0 then n end from generate_series(1, 5000) n;
         create index i on t (a); create index i_b on t (b); create index i_partial on t (a) where a is not null;
         create unique index i_unique on t (c)",
        "i",
        true,
    ),
    fault(
        "partition-gap",
        "create table t (id int) partition by range (id); create table t1 partition of t for values from (0) to (10);
         create table t3 partition of t for values from (20) to (30);
         create table whole (id int) partition by range (id); create table w1 partition of whole for values from (0) to (10);
         create table w2 partition of whole for values from (10) to (20);
         create table d (id int) partition by range (id); create table d1 partition of d for values from (0) to (10);
         create table d3 partition of d for values from (20) to (30); create table dd partition of d default;
         create table h (id int) partition by hash (id); create table h0 partition of h for values with (modulus 2, remainder 0);
         create table hh (id int) partition by hash (id); create table hh0 partition of hh for values with (modulus 2, remainder 0);
         create table hh1 partition of hh for values with (modulus 4, remainder 1);
         create table hh3 partition of hh for values with (modulus 4, remainder 3);
         create table late (at timestamptz) partition by range (at);
         create table late1 partition of late for values from ('2024-01-01') to ('2024-02-01');
         do $$ begin execute format('create table late2 partition of late for values from (''2024-02-01'') to (%L)',
            now() + interval '1 day'); end $$;
         create table early (at date) partition by range (at);
         do $$ begin execute format('create table early1 partition of early for values from (%L) to (%L)',
            current_date, current_date + 60); end $$",
        "t, h, late",
        false,
    ),
    fault(
        "policy-initplan",
        "create table t (id int, owner text); alter table t enable row level security;
         create policy per_row on t using (owner = current_setting('app.\"user'));
         create policy once on t using (owner = (select current_setting('app.user')));
         create policy plain on t using (owner = current_user) with check (id > 0);
         create policy of_column on t using (current_setting(owner) = 'x')",
        "per_row",
        true,
    ),
    fault(
        "policy-without-row-security",
        "create table t (id int); create policy p on t using (id > 0); create policy q on t using (id < 0);
         create table on_too (id int); alter table on_too enable row level security; create policy p on on_too using (true);
         create table plain (id int)",
        "t",
        true,
    ),
    fault(
        "primary-key-exhaustion",
        "create table t (id serial primary key); select setval('t_id_seq', 2000000000);
         create table good (id bigserial primary key); select setval('good_id_seq', 2000000000);
         create table young (id serial primary key); select setval('young_id_seq', 1000);
         create table filled (id smallint primary key); insert into filled select generate_series(20000, 30000)",
        "t.id, filled.id",
        true,
    ),
    fault(
        "row-security-without-policy",
        "create table t (id int); alter table t enable row level security;
         create table good (id int); alter table good enable row level security; create policy p on good using (true);
         create table plain (id int)",
        "t",
        false,
    ),
    fault(
        "duplicate-index",
        "create table t (a int, b int); create index i1 on t (a); create index i2 on t (a); create index i3 on t (a, b)",
        "i2",
        true,
    ),
    fault(
        "redundant-index",
        "create table t (a int, b int); create index i1 on t (a); create index i2 on t (a, b)",
        "i1",
        true,
    ),
    fault(
        "sequence-overflow",
        "create sequence s as smallint; select setval('s', 30000); create sequence round as smallint cycle;
         select setval('round', 30000); create sequence good; select setval('good', 30000);
         create sequence down as smallint increment -1; select setval('down', -30000);
         create table t (id bigserial primary key, n int default nextval('good')); create sequence feeds;
         alter table t add m int default nextval('feeds'); select setval('feeds', 2000000000)",
        "s, down, feeds",
        false,
    ),
    fault(
        "serial-column",
        "create table t (id serial primary key, n int); insert into t (n) select generate_series(1, 50);
         create table good (id int generated by default as identity primary key);
         create table \"T x\" (\"a\"\"b\" bigserial, n int)",
        "t.id, T x.a\"b",
        true,
    ),
    fault(
        "stale-statistics",
        "create table t (a int); insert into t select generate_series(1, 100); analyze t;
         insert into t select generate_series(1, 100)",
        "t",
        true,
    ),
    fault(
        "timestamp-without-zone",
        "create table t (a timestamp, b timestamptz, c date); insert into t values (now(), now(), now())",
        "t.a",
        true,
    ),
    fault(
        "unindexed-foreign-key",
        "create table p (id int primary key); create table t (a int constraint f references p, \"b\"\"c\" int constraint g references p);
         insert into p values (1); insert into t values (1, 1); create index on t (a)",
        "g",
        true,
    ),
    fault(
        "unlinked-table",
        "create table p (id int primary key); create table t (a int references p); create table alone (a int)",
        "alone",
        false,
    ),
    fault(
        "unused-index",
        "create table p (id int primary key); create table t (id int primary key, a int unique, b int references p, c int);
         insert into t select n, n, null, n from generate_series(1, 100) n;
         create index i_fk on t (b); create index i_c on t (c); create unique index i_u on t (c, id)",
        "i_c",
        true,
    ),
    fault(
        "unvalidated-constraint",
        "create table p (id int primary key); create table t (a int, b int);
         alter table t add constraint f foreign key (a) references p not valid;
         alter table t add constraint c check (b > 0) not valid; alter table t add constraint good check (a > 0)",
        "f, c",
        true,
    ),
    Fault {
        check: "unvalidated-constraint",
        sql: "create table p (id int primary key); create table t (a int);
              alter table t add constraint f foreign key (a) references p not enforced",
        found: "",
        mends: true,
        since: 18,
    },
    fault(
        "useless-predicate",
        "create table t (a int not null, b int); insert into t select n, n from generate_series(1, 20000) n;
         create index i_always on t (b) where a is not null; create index i_most on t (b) where b > 100;
         create index good on t (a) where b > 10000",
        "i_always, i_most",
        true,
    ),
];

/// What cannot be shown by a schema of its own is shown by the tests below, or by no fault at hand.
const ELSEWHERE: &[&str] = &["undocumented", "updates-without-room", "weak-authentication", "wraparound"];

fn of_check<'a>(report: &'a [LintFinding], check: &str, schema: &str) -> Vec<&'a LintFinding> {
    report.iter().filter(|f| f.finding.check == check && place(&f.finding.object).0 == schema).collect()
}

fn names(findings: &[&LintFinding]) -> BTreeSet<String> {
    findings.iter().map(|f| place(&f.finding.object).1).collect()
}

/// Statements that the workload of a snapshot has, which the tests' servers do not keep.
fn with_statements(mut snapshot: Snapshot, schema: &str) -> Snapshot {
    let joins = ["a.id = b.id", "a.n = b.n", "a.s = b.s", "a.v = b.s", "a.s = b.c"];
    snapshot.statements = joins
        .iter()
        .zip(1..)
        .map(|(join, queryid)| Statement {
            queryid,
            query: format!("select * from {schema}.a join {schema}.b on {join} where a.id = $1"),
            calls: 1,
            mean_exec_time: Millis(1.0),
            ..Statement::default()
        })
        .collect();
    snapshot
}

fn all_findings(snapshot: &Snapshot) -> Vec<LintFinding> {
    let settings =
        Settings { thresholds: eager(), enable: vec!["undocumented".into()], ..Settings::default() };
    lint(snapshot, Beside::default(), &settings, &[]).findings
}

async fn run(client: &Client, sql: &str, of: &str) {
    client.batch_execute(sql).await.unwrap_or_else(|e| panic!("{of}: {sql}: {e:?}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_check_finds_its_fault_and_what_it_says_mends_it() {
    let shown: BTreeSet<&str> = FAULTS.iter().map(|f| f.check).chain(ELSEWHERE.iter().copied()).collect();
    assert_eq!(shown, CHECKS.iter().map(|c| c.id).collect(), "a check without a test");
    for server in testkit::servers() {
        let major = server.binaries().major;
        let database = testkit::database(server).await;
        let client = testkit::connect(&database.url).await;
        let faults: Vec<(String, &Fault)> = FAULTS
            .iter()
            .filter(|f| f.since <= major)
            .enumerate()
            .map(|(n, f)| (format!("fault {n}"), f))
            .collect();
        for (schema, fault) in &faults {
            let set = format!("create schema \"{schema}\"; set search_path = \"{schema}\"");
            run(&client, &set, fault.check).await;
            run(&client, fault.sql, fault.check).await;
        }
        // Statistics of all, and of one what was true before.
        let analyze: Vec<String> = faults
            .iter()
            .filter(|(_, f)| f.check != "stale-statistics")
            .map(|(schema, _)| {
                format!(
                    "do $$ declare r regclass; begin for r in select oid from pg_class where relkind in ('r', 'p') and \
                     relnamespace = '\"{schema}\"'::regnamespace loop execute 'analyze ' || r; end loop; end $$"
                )
            })
            .collect();
        run(&client, &analyze.join(";"), "analyze").await;
        run(&client, "select pg_stat_clear_snapshot()", "counters").await;
        wait_for_counters(&client).await;
        let join_schema = |faults: &[(String, &Fault)]| {
            let of = faults.iter().find(|(_, f)| f.check == "join-type-mismatch").unwrap();
            format!("\"{}\"", of.0)
        };
        let before = all_findings(&with_statements(snapshot(&database.url).await, &join_schema(&faults)));
        let mut wrong = Vec::new();
        let mut to_run: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (schema, fault) in &faults {
            let found = of_check(&before, fault.check, schema);
            let expected: BTreeSet<String> =
                fault.found.split(", ").filter(|f| !f.is_empty()).map(str::to_owned).collect();
            if names(&found) != expected {
                wrong.push(format!("{}: found {:?}, expected {expected:?}", fault.check, names(&found)));
            }
            let statements = found.iter().filter_map(|f| f.remedy.as_ref()).flat_map(|r| &r.sql);
            to_run.insert(schema.clone(), statements.filter(|s| !s.starts_with("--")).cloned().collect());
        }
        assert!(wrong.is_empty(), "on {major}:\n{}", wrong.join("\n"));
        for (schema, fault) in &faults {
            // A path that finds nothing: the statements name everything with its schema.
            run(&client, "set search_path = pg_catalog", fault.check).await;
            for statement in &to_run[schema] {
                run(&client, statement, fault.check).await;
            }
        }
        run(&client, "analyze", "analyze").await;
        wait_for_counters(&client).await;
        let after = all_findings(&with_statements(snapshot(&database.url).await, &join_schema(&faults)));
        for (schema, fault) in faults.iter().filter(|(_, f)| f.mends) {
            let left = names(&of_check(&after, fault.check, schema));
            if !left.is_empty() {
                wrong.push(format!("{}: {left:?} is not mended by {:?}", fault.check, to_run[schema]));
            }
        }
        assert!(wrong.is_empty(), "on {major}:\n{}", wrong.join("\n"));
    }
}

/// Counters of this session reach the others at the latest when it says so, before 15 with a delay.
pub(crate) async fn wait_for_counters(client: &Client) {
    let _ = client.batch_execute("select pg_stat_force_next_flush()").await;
    if client
        .batch_execute("select 1 where current_setting('server_version_num')::int >= 150000")
        .await
        .is_ok()
    {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_whole_server_shows() {
    let server = testkit::any_server();
    let database = testkit::database(server).await;
    let client = testkit::connect(&database.url).await;
    run(
        &client,
        "create table t (a int); create table described (a int); comment on table described is 'x'",
        "",
    )
    .await;
    let mut snapshot = snapshot(&database.url).await;
    let settings = Settings { enable: vec!["undocumented".into()], ..Settings::default() };
    let report = lint(&snapshot, Beside::default(), &settings, &["undocumented".into()]);
    assert_eq!(report.findings[0].finding.summary, "1 of 2 tables of schema public have no comment");
    assert_eq!(report.findings[0].remedy.as_ref().unwrap().sql.len(), 1);

    // The tests' servers trust whoever reaches their socket.
    let rules = snapshot.schema.hba_rules.clone().unwrap();
    assert!(rules.iter().any(|r| r.method == "trust"), "{rules:?}");
    let weak = lint(&snapshot, Beside::default(), &settings, &["weak-authentication".into()]);
    assert!(
        weak.findings.iter().any(|f| f.finding.key.starts_with("weak-authentication:pg_hba.conf rule")),
        "{weak:?}"
    );

    // Nobody makes two thousand million transactions for a test; the ages that were read are made older.
    assert!(
        snapshot.schema.ages.iter().any(|a| a.toast_of.is_some()),
        "TOAST tables have an age of their own"
    );
    let wraparound =
        |snapshot: &Snapshot| lint(snapshot, Beside::default(), &settings, &["wraparound".into()]);
    assert!(wraparound(&snapshot).findings.is_empty());
    let table = model::QualifiedName::new("public", "t");
    snapshot.schema.ages.iter_mut().find(|a| a.name == table).unwrap().mxid_age = 1_900_000_000;
    let found = wraparound(&snapshot).findings;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].finding.summary, "table public.t has used 89 % of the multixacts that it can");
    assert_eq!(found[0].finding.severity, model::Severity::Error);
    run(&client, &found[0].remedy.as_ref().unwrap().sql[0], "freeze").await;
}
