//! Dangerous statements are found, their locks are those that PostgreSQL takes, and the safe way is let be and works.

use std::collections::BTreeSet;

use advice::migration::{CHECKS, MigrationFile, Remarks, lint};
use advice::schema::{LintFinding, Report, Settings};
use model::Snapshot;
use tokio_postgres::Client;

use crate::snapshot;

struct Case {
    check: &'static str,
    /// With `%` for the schema.
    dangerous: &'static str,
    /// Statements that do the same and that the check lets be; run one by one.
    safe: &'static [&'static str],
    /// The table whose lock is looked at while the dangerous statement's transaction is open.
    locked: Option<&'static str>,
    /// Whether the sequence that the finding proposes is run as well.
    proposed: bool,
    since: u32,
}

const fn case(check: &'static str, dangerous: &'static str, safe: &'static [&'static str]) -> Case {
    Case { check, dangerous, safe, locked: Some("t"), proposed: true, since: 13 }
}

const fn unlocked(case: Case) -> Case {
    Case { locked: None, ..case }
}

const fn unproposed(case: Case) -> Case {
    Case { proposed: false, ..case }
}

const CASES: &[Case] = &[
    case(
        "add-check-validating",
        "alter table %.t add constraint c check (a >= 0)",
        &[
            "alter table %.t add constraint c check (a >= 0) not valid",
            "alter table %.t validate constraint c",
        ],
    ),
    case(
        "add-check-validating",
        "alter table %.t add column n int check (n > 0)",
        &[
            "alter table %.t add column n int",
            "alter table %.t add constraint c check (n > 0) not valid",
            "alter table %.t validate constraint c",
        ],
    ),
    // The sequence that is proposed has a gap that a person fills.
    unproposed(unlocked(case(
        "add-column-not-null",
        "alter table %.t add column n int not null",
        &["alter table %.t add column n int not null default 0"],
    ))),
    unproposed(case(
        "add-column-rewrite",
        "alter table %.t add column n float default random()",
        &[
            "alter table %.t add column n timestamptz default now()",
            "alter table %.t add column m int default 7",
        ],
    )),
    unproposed(case(
        "add-column-rewrite",
        "alter table %.t add column n %.positive",
        &["alter table %.t add column n %.word"],
    )),
    unproposed(case(
        "add-column-rewrite",
        "alter table %.t add column n bigserial",
        &["alter table %.t add column n bigint"],
    )),
    unproposed(case(
        "add-column-rewrite",
        "alter table %.t add column n int generated always as (a + 1) stored",
        &["alter table %.t add column n int"],
    )),
    case(
        "add-foreign-key-validating",
        "alter table %.t add constraint f foreign key (a) references %.p",
        &[
            "alter table %.t add constraint f foreign key (a) references %.p not valid",
            "alter table %.t validate constraint f",
        ],
    ),
    Case {
        locked: Some("p"),
        ..case(
            "add-foreign-key-validating",
            "alter table %.t add constraint f foreign key (a) references %.p (id)",
            &["alter table %.t add column p int references %.p"],
        )
    },
    case(
        "add-key-blocking",
        "alter table %.t add constraint k unique (id)",
        &[
            "create unique index concurrently k on %.t (id)",
            "alter table %.t add constraint k unique using index k",
        ],
    ),
    case(
        "add-key-blocking",
        "alter table %.t add primary key (id)",
        &["create unique index concurrently k on %.t (id)", "alter table %.t add primary key using index k"],
    ),
    Case {
        locked: Some("new"),
        ..case(
            "attach-partition-scan",
            "alter table %.m attach partition %.new for values from (100) to (200)",
            &[
                "alter table %.new add constraint c check (id is not null and id >= 100 and id < 200) not valid",
                "alter table %.new validate constraint c",
                "alter table %.m attach partition %.new for values from (100) to (200)",
            ],
        )
    },
    unproposed(case(
        "change-column-type",
        "alter table %.t alter column a type bigint",
        &["alter table %.t alter column v type varchar(80)", "alter table %.t alter column v type text"],
    )),
    unproposed(case(
        "change-column-type",
        "alter table %.t alter column a type %.positive",
        &["alter table %.t alter column v type %.word", "alter table %.d alter column x type int"],
    )),
    unproposed(unlocked(case(
        "concurrently-in-transaction",
        "begin; create index concurrently i on %.t (a); commit",
        &["create index concurrently i on %.t (a)"],
    ))),
    case("create-index-blocking", "create index i on %.t (a)", &["create index concurrently i on %.t (a)"]),
    unproposed(Case {
        locked: Some("m"),
        ..case(
            "create-partition-of",
            "create table %.m2 partition of %.m for values from (200) to (300)",
            &[
                "create table %.m2 (like %.m including defaults)",
                "alter table %.m attach partition %.m2 for values from (200) to (300)",
            ],
        )
    }),
    Case {
        locked: Some("m"),
        since: 14,
        ..case(
            "detach-partition-blocking",
            "alter table %.m detach partition %.m1",
            &["alter table %.m detach partition %.m1 concurrently"],
        )
    },
    unproposed(case(
        "drop-column",
        "alter table %.t drop column a",
        &["alter table %.t alter column a drop default"],
    )),
    unproposed(Case {
        locked: Some("r"),
        ..case(
            "drop-constraint-cascade",
            "alter table %.q drop constraint q_pkey cascade",
            &[
                "alter table %.q drop constraint q_a_key cascade",
                "alter table %.r drop constraint r_q_fkey cascade",
                "alter table %.q drop constraint q_pkey",
            ],
        )
    }),
    case("drop-index-blocking", "drop index %.t_v", &["drop index concurrently %.t_v"]),
    unproposed(case(
        "drop-table",
        "drop schema % cascade",
        &["drop schema if exists nothing_of_the_kind cascade"],
    )),
    unproposed(case("drop-table", "drop table %.t", &["drop index concurrently %.t_v"])),
    unproposed(case(
        "lock-table",
        "lock table %.t in share row exclusive mode",
        &["begin; lock table %.t in access share mode; commit"],
    )),
    unproposed(case(
        "missing-lock-timeout",
        "alter table %.t alter column a set default 1",
        &[
            "set lock_timeout = '2s'; alter table %.t alter column a set default 1",
            "begin; set local lock_timeout = '1s'; alter table %.t alter column a set default 2; commit",
            "alter table %.t alter column a set statistics 500",
        ],
    )),
    Case {
        locked: Some("view"),
        ..case(
            "refresh-blocking",
            "refresh materialized view %.view",
            &["refresh materialized view concurrently %.view"],
        )
    },
    case("reindex-blocking", "reindex table %.t", &["reindex table concurrently %.t"]),
    case("reindex-blocking", "reindex index %.t_v", &["reindex index concurrently %.t_v"]),
    case("rename", "alter table %.t rename to u", &["alter index %.t_v rename to t_w"]),
    unproposed(case("rename", "alter table %.t rename column a to b", &["alter table %.t add column b int"])),
    unproposed(case(
        "rewrite-table",
        "alter table %.t set unlogged",
        &["alter table %.t set (fillfactor = 90)"],
    )),
    unproposed(case("rewrite-table", "alter table %.t set unlogged", &["alter table %.t set logged"])),
    Case {
        since: 15,
        ..unproposed(case(
            "rewrite-table",
            "alter table %.t set unlogged",
            &["alter table %.t set access method heap"],
        ))
    },
    unproposed(unlocked(case("rewrite-table", "vacuum full %.t", &["vacuum %.t"]))),
    unproposed(case("rewrite-table", "cluster %.t using t_v", &["vacuum %.t"])),
    case(
        "set-not-null",
        "alter table %.t alter column a set not null",
        &[
            "alter table %.t add constraint c check (a is not null) not valid",
            "alter table %.t validate constraint c",
            "alter table %.t alter column a set not null",
            "alter table %.t drop constraint c",
        ],
    ),
    unproposed(case("truncate", "truncate %.t", &["delete from %.t where id < 10"])),
    unproposed(unlocked(case(
        "unbatched-change",
        "update %.big set a = a + 1",
        &["update %.t set a = a + 1", "delete from %.t"],
    ))),
    unproposed(unlocked(case(
        "validate-in-transaction",
        "begin; alter table %.t add constraint c check (a >= 0) not valid; alter table %.t validate constraint c; commit",
        &[
            "begin; alter table %.t add constraint c check (a >= 0) not valid; commit; alter table %.t validate constraint c",
        ],
    ))),
];

const BASE: &str = "
    create table %.p (id int primary key);
    create table %.t (id int not null, a int, v varchar(40));
    create index t_v on %.t (v);
    create table %.m (id int not null) partition by range (id);
    create table %.m1 partition of %.m for values from (0) to (100);
    create table %.new (id int not null);
    create table %.big (a int);
    create domain %.word as text;
    create domain %.positive as int check (value > 0);
    create table %.d (x %.positive);
    create table %.q (id int primary key, a int unique);
    create table %.r (q int references %.q);
    insert into %.p select generate_series(1, 100);
    insert into %.t select n, mod(n, 100) + 1, n from generate_series(1, 200) n;
    insert into %.new select generate_series(100, 199);
    create materialized view %.view as select id from %.p;
    create unique index on %.view (id);
    analyze %.p; analyze %.t; analyze %.new; analyze %.view;
    -- As if it were large: its size is all that is asked.
    update pg_class set reltuples = 1e6, relpages = 0 where oid = '%.big'::regclass;
";

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
        "CREATE DOMAIN {schema}.word AS text;\n\n\nCREATE DOMAIN {schema}.positive AS integer\n\t\
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
        let cases: Vec<(usize, &Case)> = CASES.iter().enumerate().filter(|(_, c)| c.since <= major).collect();
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
    }
}
