//! Dangerous statements are found, their locks are those that PostgreSQL takes, and the safe way is let be and works.

mod cases;

use std::collections::BTreeSet;

use advice::migration::{CHECKS, MigrationFile, Remarks, lint};
use advice::schema::{LintFinding, Report, Settings};
use model::Snapshot;
use tokio_postgres::Client;

use crate::snapshot;
use cases::{BASE, CASES, Case};

pub(crate) fn judge(snapshot: &Snapshot, sql: &str) -> (Report, Remarks) {
    let file = MigrationFile { name: "m.sql".into(), text: sql.to_owned() };
    lint(&[file], snapshot, &Settings::default(), &[], false)
}

pub(crate) fn found<'a>(report: &'a Report, check: &str) -> Vec<&'a LintFinding> {
    report.findings.iter().filter(|f| f.finding.check == check).collect()
}

pub(crate) async fn run(client: &Client, sql: &str, of: &str) {
    client.batch_execute(sql).await.unwrap_or_else(|e| panic!("{of}: {sql}: {e:?}"));
}

/// The domains of a schema as a dump has them.
fn domains_of(schema: &str) -> String {
    format!(
        "CREATE DOMAIN {schema}.word AS text;\n\n\nCREATE DOMAIN {schema}.short AS {schema}.word;\n\n\nCREATE DOMAIN {schema}.positive AS integer\n\t\
         CONSTRAINT positive_check CHECK ((VALUE > 0));\n\n\n"
    )
}

/// The strongest lock that the session holds on a relation.
async fn lock_held(client: &Client, relation: &str) -> String {
    let sql = "select replace(mode, 'Lock', '') from pg_locks l join pg_class c on c.oid = l.relation
         join pg_namespace n on n.oid = c.relnamespace
         where pid = pg_backend_pid() and granted and n.nspname || '.' || c.relname = $1
         order by array_position(array['AccessShareLock', 'RowShareLock', 'RowExclusiveLock', 'ShareUpdateExclusiveLock',
            'ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock'], mode) desc limit 1";
    let rows = client.query(sql, &[&relation]).await.unwrap();
    let mode: String = rows.first().map_or_else(String::new, |row| row.get(0));
    // "ShareRowExclusive" as the manual writes it.
    let mut words = String::new();
    for c in mode.chars() {
        if c.is_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.extend(c.to_uppercase());
    }
    words
}

#[tokio::test(flavor = "multi_thread")]
async fn each_danger_is_found_and_the_safe_way_works() {
    let shown: BTreeSet<&str> = CASES.iter().map(|c| c.check).collect();
    assert_eq!(shown, CHECKS.iter().map(|c| c.id).collect(), "a check without a test");
    for server in testkit::servers() {
        let major = server.binaries().major;
        let database = testkit::database(server).await;
        let client = testkit::connect(&database.url).await;
        let cases: Vec<(usize, &Case)> =
            CASES.iter().enumerate().filter(|(_, c)| c.since <= major && major < c.before).collect();
        // One schema to lock, one for the safe way, one for what is proposed.
        for (number, _) in &cases {
            for kind in ["a", "b", "c"] {
                let schema = format!("case_{kind}{number}");
                run(&client, &format!("create schema {schema}"), "").await;
                run(&client, &BASE.replace('%', &schema), "base").await;
            }
        }
        let mut snapshot = snapshot(&database.url).await;
        for (number, _) in &cases {
            snapshot
                .schema_sql
                .extend(["a", "b", "c"].map(|kind| domains_of(&format!("case_{kind}{number}"))));
        }
        let mut wrong = Vec::new();
        for (number, case) in cases {
            let [locking, safe_in, proposed_in] = ["a", "b", "c"].map(|kind| format!("case_{kind}{number}"));
            let dangerous = case.dangerous.replace('%', &locking);
            let (report, remarks) = judge(&snapshot, &dangerous);
            assert!(remarks.mistakes.is_empty(), "{}: {:?}", case.check, remarks.mistakes);
            let Some(first) = found(&report, case.check).first().copied().cloned() else {
                wrong.push(format!("{}: \"{dangerous}\" is not found", case.check));
                continue;
            };
            // Nothing else is said of it but what holds of every strong lock.
            let others: BTreeSet<&str> = report
                .findings
                .iter()
                .map(|f| f.finding.check.as_str())
                .filter(|c| ![case.check, "missing-lock-timeout"].contains(c))
                .collect();
            if !others.is_empty() && case.check != "validate-in-transaction" {
                wrong.push(format!("{}: \"{dangerous}\" is {others:?} as well", case.check));
            }
            if let Some(table) = case.locked {
                run(&client, "begin", case.check).await;
                run(&client, &dangerous, case.check).await;
                let held = lock_held(&client, &format!("{locking}.{table}")).await;
                run(&client, "rollback", case.check).await;
                let said =
                    first.finding.evidence.iter().find(|e| e.name == "lock").map_or("", |e| e.value.as_str());
                // What renames or drops is not found by its name any more.
                if !held.is_empty() && held != said {
                    wrong.push(format!("{}: says {said}, PostgreSQL holds {held}", case.check));
                }
            }
            let whole = case.safe.join(";\n").replace('%', &safe_in);
            let (report, _) = judge(&snapshot, &whole);
            if let Some(still) = found(&report, case.check).first() {
                wrong.push(format!("{}: the safe way is found: {}", case.check, still.finding.summary));
            }
            for statement in case.safe.iter().flat_map(|s| s.split("; ")) {
                run(&client, &statement.replace('%', &safe_in), case.check).await;
            }
            run(&client, "reset lock_timeout", "").await;
            if case.proposed {
                let (report, _) = judge(&snapshot, &case.dangerous.replace('%', &proposed_in));
                let remedy =
                    found(&report, case.check)[0].remedy.clone().unwrap_or_else(|| panic!("{}", case.check));
                for statement in remedy.sql.iter().filter(|s| !s.starts_with("--")) {
                    run(&client, statement, case.check).await;
                }
                // It is let be by the check that proposed it.
                let (report, _) = judge(&snapshot, &remedy.sql.join(";\n"));
                if !found(&report, case.check).is_empty() && case.check != "rename" {
                    wrong.push(format!("{}: what it proposes is found: {:?}", case.check, remedy.sql));
                }
            }
        }
        assert!(wrong.is_empty(), "on {major}:\n{}", wrong.join("\n"));
    }
}

/// The tables beside it that a drop locks are those that PostgreSQL locks.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_drop_locks_and_takes_along_is_told() {
    for server in testkit::servers() {
        let database = testkit::database(server).await;
        let client = testkit::connect(&database.url).await;
        run(&client, "create schema s; create schema other", "").await;
        run(&client, &BASE.replace('%', "s"), "base").await;
        run(&client, "create table other.x (id int, q int references s.q (a))", "base").await;
        let snapshot = snapshot(&database.url).await;
        for (sql, check, locked, gone) in [
            ("drop table s.q cascade", "drop-table", "other.x, s.r", "x_q_fkey of other.x, r_q_fkey of s.r"),
            ("drop table s.r", "drop-table", "s.q", ""),
            ("drop table s.r, s.q, other.x", "drop-table", "", ""),
            ("drop table s.t", "drop-table", "", ""),
            ("drop schema s cascade", "drop-table", "other.x", "x_q_fkey of other.x"),
            ("alter table s.q drop column a cascade", "drop-column", "other.x", "x_q_fkey of other.x"),
            ("alter table s.r drop column q", "drop-column", "s.q", ""),
            ("alter table s.t drop column a", "drop-column", "", ""),
        ] {
            let (report, _) = judge(&snapshot, sql);
            let told = |name: &str| -> Vec<String> {
                let all = found(&report, check).into_iter().flat_map(|f| &f.finding.evidence);
                let mut values: Vec<String> = all
                    .filter(|e| e.name == name)
                    .flat_map(|e| e.value.split(", ").map(str::to_owned).collect::<Vec<_>>())
                    .collect();
                values.sort();
                values
            };
            let listed = |text: &str| -> Vec<String> {
                let mut all: Vec<String> =
                    text.split(", ").filter(|t| !t.is_empty()).map(str::to_owned).collect();
                all.sort();
                all
            };
            assert_eq!(told("also locked"), listed(locked), "{sql}");
            assert_eq!(told("foreign keys that go with it"), listed(gone), "{sql}");
            // What is still there of the tables that are locked.
            run(&client, "begin", sql).await;
            run(&client, sql, sql).await;
            let held = client
                .query(
                    "select c.oid::regclass::text from pg_locks l join pg_class c on c.oid = l.relation
                     where pid = pg_backend_pid() and mode = 'AccessExclusiveLock' and c.relkind = 'r'
                         and c.relnamespace in (select oid from pg_namespace where nspname in ('s', 'other'))
                         and c.oid <> coalesce(to_regclass($1), 0) order by 1",
                    &[&sql.split_whitespace().nth(2)],
                )
                .await
                .unwrap();
            let held: Vec<String> = held.iter().map(|row| row.get(0)).collect();
            run(&client, "rollback", sql).await;
            assert_eq!(held, listed(locked), "{sql}");
        }
    }
}

#[test]
fn what_the_migration_makes_itself_is_let_be() {
    let nothing = Snapshot::nothing();
    let (report, _) = judge(
        &nothing,
        "create table t (id int); create index on t (id); alter table t add constraint c check (id > 0);
         alter table t add primary key (id); drop table t;",
    );
    assert_eq!(report.findings, Vec::new());
    let (report, _) = judge(&nothing, "alter table t add primary key (id)");
    assert_eq!(report.findings.len(), 2);
    assert!(report.findings[0].finding.detail.contains("is not known here"), "{report:?}");
}

#[test]
fn the_type_that_the_migration_gave_is_the_type() {
    let nothing = Snapshot::nothing();
    let (report, _) = judge(
        &nothing,
        "alter table t add column bio varchar(100); alter table t alter column bio type varchar(200);
         alter table t alter column bio type text; alter table t rename column bio to about;
         alter table t alter column about type varchar;",
    );
    assert_eq!(found(&report, "change-column-type"), Vec::<&LintFinding>::new());
    let (report, _) = judge(
        &nothing,
        "alter table t alter column c type varchar(100); alter table t alter column c type varchar(50);
         alter table t rename column c to d; alter table t alter column d type varchar(60);",
    );
    // From what it was is not known here; what it becomes is.
    let summaries: Vec<&str> =
        found(&report, "change-column-type").iter().map(|f| f.finding.summary.as_str()).collect();
    assert_eq!(
        summaries,
        [
            "changing column c of public.t from its type to character varying(100) writes the table anew",
            "changing column c of public.t from character varying(100) to character varying(50) writes the table anew"
        ]
    );
}

#[test]
fn domains_that_the_migration_makes_or_constrains_are_known() {
    let snapshot = Snapshot { schema_sql: domains_of("public"), ..Snapshot::nothing() };
    let rewritten = |sql: &str| !found(&judge(&snapshot, sql).0, "add-column-rewrite").is_empty();
    assert!(rewritten("create domain small as int check (value < 9); alter table t add column n small"));
    assert!(!rewritten("create domain small as int default 3; alter table t add column n small"));
    assert!(!rewritten("alter table t add column n word"));
    assert!(rewritten(
        "alter domain word add constraint c check (value <> '') not valid; alter table t add column n word"
    ));
    // A table that holds values since the migration gave it the column.
    let (report, _) = judge(
        &snapshot,
        "alter table t add column n word; create table fresh (n word); alter domain word add check (value <> '')",
    );
    let keys: Vec<&str> =
        found(&report, "alter-domain-validating").iter().map(|f| f.finding.key.as_str()).collect();
    assert_eq!(keys, ["alter-domain-validating:m.sql:public.t.word"]);
}

#[test]
fn what_is_of_many_tables_is_told_of_no_single_one() {
    let nothing = Snapshot::nothing();
    let (report, _) = judge(
        &nothing,
        "reindex database \"My Shop\"; reindex schema public; reindex system shop; vacuum full; cluster;
         reindex schema concurrently public;",
    );
    let told: Vec<&str> = report
        .findings
        .iter()
        .filter(|f| f.finding.check != "missing-lock-timeout")
        .map(|f| f.finding.key.trim_start_matches("reindex-blocking:m.sql:"))
        .collect();
    assert_eq!(
        told,
        [
            "database \"My Shop\"",
            "schema public",
            "system shop",
            "rewrite-table:m.sql:every table",
            "rewrite-table:m.sql:every table that was clustered before"
        ]
    );
}

#[test]
fn what_runs_within_a_statement_is_judged_where_it_stands() {
    let nothing = Snapshot::nothing();
    let (report, remarks) = judge(
        &nothing,
        "set lock_timeout = '1s';
do $$
begin
  if not exists (select from pg_class where relname = 'x') then
    truncate t;
  end if;
  execute 'drop table ' || 'u';
  create index concurrently i on t (a);
  execute format('drop table %I', 'v');
end $$;
create function f() returns void language sql as $$ drop table w $$;
create function g() returns void language plpgsql as $$ begin
  perform f();
  perform g();
end $$;
create function never() returns void language sql as $$ drop table never $$;
select g();
call elsewhere();",
    );
    let found: Vec<(&str, String)> =
        report.findings.iter().map(|f| (f.finding.check.as_str(), f.finding.object.to_string())).collect();
    let expected = [
        ("truncate", "m.sql:5:5"),
        ("drop-table", "m.sql:7:3"),
        ("concurrently-in-transaction", "m.sql:8:3"),
        ("drop-table", "m.sql:11:1"),
    ];
    assert_eq!(found, expected.map(|(check, at)| (check, at.to_owned())));
    assert_eq!(
        remarks.notes,
        [
            "m.sql:9: not looked at: EXECUTE of a text that is put together while it runs: format('drop table %I', 'v')",
            "m.sql:18: what procedure elsewhere does is not looked at",
        ]
    );
    // A comment before the block speaks for all of it.
    let text = "-- pgwright: ignore truncate an empty table\ndo $$ begin truncate t; end $$";
    let (report, _) = judge(&nothing, text);
    assert_eq!(report.suppressed.len(), 1, "{report:?}");
}

#[test]
fn comments_and_configuration_let_be() {
    let nothing = Snapshot::nothing();
    let text = "set lock_timeout = '1s';\n-- pgwright: ignore drop-table nobody reads it any more\ndrop table a;\n\
                drop table b; -- pgwright: ignore drop-table\n-- pgwright: ignore truncate why not\nselect 1;\n\
                -- pgwright: ignore drop-tabel typo\n\\echo done\n";
    let (report, remarks) = judge(&nothing, text);
    assert_eq!(report.suppressed.len(), 1);
    assert_eq!(report.suppressed[0].reason, "nobody reads it any more");
    assert_eq!(report.findings.len(), 1);
    assert_eq!(report.findings[0].finding.object.to_string(), "m.sql:4:1");
    let notes = remarks.notes.join("\n");
    for wanted in [
        "without a reason",
        "finds nothing here",
        "no check \"drop-tabel\"",
        "psql is passed over: \\echo done",
    ] {
        assert!(notes.contains(wanted), "{notes}");
    }
    // One key for the same thing said twice, told apart by a number.
    let (report, _) = judge(&nothing, "set lock_timeout = 1000; truncate t; truncate t");
    let keys: Vec<&str> = report.findings.iter().map(|f| f.finding.key.as_str()).collect();
    assert_eq!(keys, ["truncate:m.sql:public.t", "truncate:m.sql:public.t#2"]);
}

/// Statements that change a table `t`, of which some write it anew; the tables that inherit from it with it.
const CHANGES: &[&str] = &[
    "set tablespace pg_default",
    "add column n int",
    "add column n int default 5 not null",
    "add column n timestamptz default now()",
    "add column n timestamptz default clock_timestamp()",
    "add column n uuid default gen_random_uuid()",
    "add column n int generated always as (a + 1) stored",
    "add column n positive",
    "add column n word",
    "add column n word default 'x'",
    "add column n int check (n > 0)",
    "alter column a type bigint",
    "alter column a type positive",
    "alter column v type varchar(50)",
    "alter column v type varchar(30)",
    "alter column v type text",
    "alter column v type word",
    "alter column num type numeric(12,2)",
    "alter column num type numeric(12,3)",
    "alter column num type numeric",
    "alter column c type text",
    "alter column j type jsonb",
    "alter column pos type int",
    "alter column pos type bigint",
    "alter column a set default 4",
    "alter column a set not null",
    "alter column a set statistics 500",
    "set (fillfactor = 80)",
    "set (autovacuum_enabled = off)",
    "add constraint k check (a > 0)",
    "add constraint k unique (a)",
    "drop column v",
    "set unlogged",
    "replica identity full",
    "enable row level security",
    "disable trigger all",
];

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_to_write_a_table_anew_does_and_nothing_else() {
    for server in testkit::servers() {
        let database = testkit::database(server).await;
        let client = testkit::connect(&database.url).await;
        run(
            &client,
            "create domain word as text; create domain positive as int check (value > 0);
             create table t (id int primary key, a int, v varchar(40), num numeric(10,2), c char(5), j json, pos positive);
             create table kid () inherits (t);
             insert into t select n, n, n, n, n, '1', n from generate_series(1, 50) n;
             insert into kid select n, n, n, n, n, '1', n from generate_series(100, 190) n; analyze",
            "base",
        )
        .await;
        let mut snapshot = snapshot(&database.url).await;
        snapshot.schema_sql.push_str(&domains_of("public"));
        let mut wrong = Vec::new();
        for change in CHANGES {
            let statement = format!("alter table t {change}");
            let node = "select pg_relation_filenode('t')::text || ' ' || pg_relation_filenode('kid')::text";
            let before: String = client.query_one(node, &[]).await.unwrap().get(0);
            run(&client, "begin", change).await;
            run(&client, &statement, change).await;
            let after: String = client.query_one(node, &[]).await.unwrap().get(0);
            run(&client, "rollback", change).await;
            let (report, _) = judge(&snapshot, &statement);
            let said = report.findings.iter().find(|f| f.finding.summary.contains("anew"));
            if said.is_some() != (before != after) {
                wrong.push(format!("{change}: {before} {after}, {said:?}"));
            }
            // What inherits is written as well, and counts.
            let rows = said.and_then(|f| f.finding.evidence.iter().find(|e| e.name == "rows"));
            if !change.contains("unlogged") && rows.is_some_and(|e| e.value != "141") {
                wrong.push(format!("{change}: {rows:?}"));
            }
        }
        assert!(wrong.is_empty(), "PostgreSQL {}:\n{}", server.binaries().major, wrong.join("\n"));
        // The other tablespace, and back.
        let moved = |snapshot: &Snapshot, to: &str| {
            let (report, _) = judge(snapshot, &format!("alter table t set tablespace {to}"));
            !found(&report, "rewrite-table").is_empty()
        };
        assert!(moved(&snapshot, "fast") && !moved(&snapshot, "pg_default"));
        for relation in &mut snapshot.relations {
            relation.tablespace = Some("fast".into());
        }
        assert!(!moved(&snapshot, "fast") && moved(&snapshot, "pg_default"));
    }
}
