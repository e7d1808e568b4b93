//! Does a snapshot hold the database as it is, whatever its tables are called?

use std::time::{Duration, Instant};

use model::snapshot::{ConstraintKind, RelationKind};
use model::{KeyTarget, NullsOrder, QualifiedName, Snapshot, SortOrder};
use postgres::{Error, SnapshotOptions, snapshot, snapshot_file};
use tokio_postgres::Client;

use crate::{newest_pg_dump, session, target};

const LOCK_TIMEOUT: Duration = Duration::from_secs(5);

const SCHEMA: &str = r#"
CREATE EXTENSION pg_stat_statements;
CREATE SCHEMA "My Schema";
CREATE SCHEMA pgwright;
CREATE TABLE pgwright.journal (id int PRIMARY KEY);
CREATE TEMPORARY TABLE gone (id int PRIMARY KEY);
CREATE DOMAIN public.code AS varchar(8);
CREATE DOMAIN public.short_code AS public.code;
CREATE TYPE public.mood AS ENUM ('sad', 'glad');
CREATE TABLE "My Schema"."a""b.c" (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    "größe" text COLLATE "C",
    name varchar(40) NOT NULL DEFAULT 'none',
    tags text[],
    data jsonb,
    point point,
    code public.short_code,
    mood public.mood,
    at timestamptz,
    doubled int GENERATED ALWAYS AS (length(name) * 2) STORED,
    dropped int,
    CONSTRAINT "Häkchen" UNIQUE (name, id),
    CONSTRAINT positive CHECK (id > 0)
);
ALTER TABLE "My Schema"."a""b.c" DROP COLUMN dropped;
ALTER TABLE "My Schema"."a""b.c" ALTER COLUMN name SET STATISTICS 500;
INSERT INTO "My Schema"."a""b.c" ("größe", name, tags, data, at)
    SELECT CASE WHEN g % 10 = 0 THEN NULL ELSE 'v' || g % 7 END, 'n"' || g % 5 || ',x',
        ARRAY['t' || g % 3, 'common'], jsonb_build_object('k', g), timestamptz '2026-01-01 00:00:00+02' + g * interval '1 hour'
    FROM generate_series(1, 2000) g;
CREATE INDEX plain ON "My Schema"."a""b.c" (at DESC NULLS LAST, name NULLS FIRST, id DESC) INCLUDE (data) WITH (fillfactor = 80);
CREATE INDEX odd ON "My Schema"."a""b.c" (lower(name), (("größe" || '(') || name) COLLATE "POSIX", "größe" text_pattern_ops)
    WHERE (name <> ')') AND ("größe" IS NOT NULL);
CREATE INDEX gin ON "My Schema"."a""b.c" USING gin (data jsonb_path_ops, tags);
CREATE INDEX "Brin Index" ON "My Schema"."a""b.c" USING brin (at) WITH (pages_per_range = 16);
CREATE INDEX collated ON "My Schema"."a""b.c" ("größe" COLLATE "POSIX");
CREATE STATISTICS "My Schema"."st ats" (dependencies, ndistinct) ON name, "größe" FROM "My Schema"."a""b.c";
CREATE TABLE public.part (id int, day date, ref bigint REFERENCES "My Schema"."a""b.c" (id), PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
CREATE TABLE public.part_2026 PARTITION OF public.part FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE INDEX part_ref ON public.part (ref);
CREATE TABLE public.points_at (id int, day date, FOREIGN KEY (id, day) REFERENCES public.part (id, day));
ALTER TABLE public.points_at ADD CONSTRAINT late FOREIGN KEY (id) REFERENCES "My Schema"."a""b.c" (id) NOT VALID;
INSERT INTO public.part SELECT g, '2026-01-01'::date + g % 300, g FROM generate_series(1, 500) g;
CREATE MATERIALIZED VIEW public.summary AS SELECT name, count(*) AS n FROM "My Schema"."a""b.c" GROUP BY name;
CREATE UNIQUE INDEX summary_name ON public.summary (name);
CREATE UNLOGGED TABLE public.parent (id int);
CREATE TABLE public.child () INHERITS (public.parent);
INSERT INTO public.child SELECT g % 4 FROM generate_series(1, 100) g;
CREATE TABLE public.never_analyzed (id int, t text) WITH (autovacuum_enabled = off);
ALTER TABLE public.never_analyzed ENABLE ROW LEVEL SECURITY;
CREATE VIEW public.view AS SELECT 1 AS one;
"#;

fn name(schema: &str, name: &str) -> QualifiedName {
    QualifiedName::new(schema, name)
}

async fn create(url: &str) -> Client {
    let client = testkit::connect(url).await;
    client.batch_execute(SCHEMA).await.unwrap();
    flush_counters(&client).await;
    client
        .batch_execute(
            "ANALYZE \"My Schema\".\"a\"\"b.c\", public.part, public.summary, public.parent, public.child",
        )
        .await
        .unwrap();
    flush_counters(&client).await;
    client
}

/// Counters are flushed at most once a second, or when asked to since 15.
async fn flush_counters(client: &Client) {
    if client.batch_execute("SELECT pg_stat_force_next_flush()").await.is_err() {
        tokio::time::sleep(Duration::from_millis(1200)).await;
        client.batch_execute("SELECT 1").await.unwrap();
    }
}

#[tokio::test]
async fn a_snapshot_holds_what_is_there_and_nothing_else() {
    for server in testkit::servers() {
        let database = testkit::database(server).await;
        let client = create(&database.url).await;
        let set = format!("ALTER DATABASE {} SET IntervalStyle = 'sql_standard'", database.name);
        client.batch_execute(&set).await.unwrap();
        let open = session(&database.url).await;
        let s = snapshot::read_without_schema(&open, LOCK_TIMEOUT).await.unwrap();

        let names: Vec<String> = s.relations.iter().map(|r| r.name.to_string()).collect();
        assert_eq!(
            names,
            [
                "\"My Schema\".\"a\"\"b.c\"",
                "public.child",
                "public.never_analyzed",
                "public.parent",
                "public.part",
                "public.part_2026",
                "public.points_at",
                "public.summary"
            ]
        );
        check_server(&s, server.binaries().major, &database.name);
        check_odd_table(&s);
        check_indexes(&s, server.binaries().major);
        check_partitions_and_kinds(&s);
        check_constraints(&s);
        let ext = &s.extended_statistics[..];
        assert_eq!(ext.len(), 1);
        assert_eq!(ext[0].name, name("My Schema", "st ats"));
        let mut columns = ext[0].columns.clone();
        columns.sort();
        assert_eq!(columns, ["größe", "name"]);
        assert!(
            ext[0].kinds.contains(&'d') && ext[0].kinds.contains(&'f') && ext[0].definition.contains("FROM")
        );

        // The same database gives the same snapshot, except for time.
        let mut again = snapshot::read_without_schema(&open, LOCK_TIMEOUT).await.unwrap();
        again.taken_at = s.taken_at;
        again.statements.clone_from(&s.statements);
        assert_eq!(again, s);
    }
}

fn check_server(s: &Snapshot, major: u32, database: &str) {
    assert_eq!(s.server.major(), major);
    assert_eq!((s.server.database.as_str(), s.server.user.as_str()), (database, "postgres"));
    assert_eq!(s.server.encoding, "UTF8");
    assert!(s.server.database_bytes.0 > 1_000_000 && s.server.started_at.is_some() && !s.server.in_recovery);
    assert_eq!(s.setting("random_page_cost"), Some("4"));
    assert_eq!(s.settings["work_mem"].unit.as_deref(), Some("kB"));
    // Those of the role, not those that pgwright's session has pinned.
    for (setting, expected) in [
        ("jit", "on"),
        // That of those who ran the statements.
        ("search_path", "postgres, public"),
        ("lock_timeout", "0"),
        ("IntervalStyle", "sql_standard"),
        ("transaction_isolation", "read committed"),
        ("transaction_read_only", "off"),
    ] {
        assert_eq!(s.setting(setting), Some(expected), "{setting}");
    }
    assert!(s.extensions.iter().any(|e| e.name == "pg_stat_statements" && e.schema == "public"));
}

fn check_odd_table(s: &Snapshot) {
    let odd = s.relation(&name("My Schema", "a\"b.c")).unwrap();
    assert_eq!((odd.kind, odd.reltuples), (RelationKind::Table, 2000.0));
    assert!(odd.pages > 10 && odd.pages == odd.relpages);
    assert!(odd.table_bytes.0 >= u64::try_from(odd.pages).unwrap() * 8192 && odd.indexes_bytes.0 > 0);
    let columns: Vec<&str> = odd.columns.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(columns, ["id", "größe", "name", "tags", "data", "point", "code", "mood", "at", "doubled"]);
    let column = |n: &str| odd.column(n).unwrap();
    assert_eq!(column("größe").collation, Some(name("pg_catalog", "C")));
    let varchar = column("name");
    assert_eq!((varchar.type_name.as_str(), varchar.statistics_target), ("character varying(40)", Some(500)));
    assert_eq!(varchar.base_type, name("pg_catalog", "varchar"));
    assert_eq!(varchar.default.as_deref(), Some("'none'::character varying"));
    assert!(varchar.not_null && varchar.has_btree_opclass && varchar.collation.is_none());
    assert_eq!(column("code").base_type, name("pg_catalog", "varchar"));
    assert_eq!(column("tags").type_category, 'A');
    for (n, btree) in
        [("tags", true), ("data", true), ("point", false), ("mood", true), ("code", true), ("at", true)]
    {
        assert_eq!(column(n).has_btree_opclass, btree, "{n}");
    }
    assert!(column("doubled").generated && column("doubled").default.is_some() && !column("id").generated);
    assert_eq!((column("id").type_length, column("id").type_align), (8, 'd'));

    let st = column("größe").statistics.as_ref().unwrap();
    assert!((st.null_frac - 0.1).abs() < 0.001 && st.n_distinct == 7.0);
    assert_eq!(st.common_values().len(), 7);
    let quoted = column("name").statistics.as_ref().unwrap().common_values();
    assert!(quoted.iter().any(|(value, frequency)| value == "n\"3,x" && (*frequency - 0.2).abs() < 0.01));
    let tags = column("tags").statistics.as_ref().unwrap();
    assert_eq!(tags.most_common_elems.as_deref(), Some("{common,t0,t1,t2}"));
    assert!(tags.elem_count_histogram.is_some() && tags.most_common_elem_freqs.is_some());
    let at = column("at").statistics.as_ref().unwrap();
    // In UTC, whatever the server's or the role's zone.
    assert_eq!(at.histogram().first().map(String::as_str), Some("2025-12-31 23:00:00+00"));
    assert!(column("at").inherited_statistics.is_none());
    let activity = odd.activity.as_ref().unwrap();
    assert_eq!((activity.n_tup_ins, activity.n_mod_since_analyze), (2000, 0));
    assert!(activity.last_analyze.is_some() && activity.last_vacuum.is_none() && activity.seq_scan > 0);
}

fn check_indexes(s: &Snapshot, major: u32) {
    let index = |n: &str| s.index(&name("My Schema", n)).unwrap_or_else(|| panic!("index {n}"));
    assert!(s.indexes.is_sorted_by_key(|i| &i.name));
    assert!(s.indexes.iter().all(|i| i.name.schema != "pgwright"));
    // What was read column by column, rendered again, is what the server makes of it.
    for i in &s.indexes {
        assert_eq!(i.definition.name, i.name.name);
        assert_eq!(i.definition.unique, i.indexdef.starts_with("CREATE UNIQUE"));
    }
    let plain = &index("plain").definition;
    let orders: Vec<_> = plain.keys.iter().map(|k| (k.order, k.nulls)).collect();
    assert_eq!(
        orders,
        [
            (SortOrder::Desc, NullsOrder::Last),
            (SortOrder::Asc, NullsOrder::First),
            (SortOrder::Desc, NullsOrder::Default)
        ]
    );
    assert_eq!(
        (plain.include.as_slice(), plain.with.as_slice()),
        (&["data".to_owned()][..], &[("fillfactor".into(), "80".into())][..])
    );
    assert!(plain.keys.iter().all(|k| k.opclass.is_none() && k.collation.is_none()));

    let odd = index("odd");
    let target = |text: &str| KeyTarget::Expression(text.into());
    assert_eq!(odd.definition.keys[0].target, target("lower((name)::text)"));
    assert_eq!(odd.definition.keys[1].target, target("(\"größe\" || '('::text) || (name)::text"));
    assert_eq!(odd.definition.keys[1].collation, Some(name("pg_catalog", "POSIX")));
    assert_eq!(odd.definition.keys[2].opclass, Some(name("pg_catalog", "text_pattern_ops")));
    assert_eq!(odd.definition.keys[2].collation, None);
    assert_eq!(
        odd.definition.predicate.as_deref(),
        Some("((name)::text <> ')'::text) AND (\"größe\" IS NOT NULL)")
    );
    assert_eq!(odd.expression_statistics.keys().copied().collect::<Vec<_>>(), [1, 2]);
    assert_eq!(odd.expression_statistics[&1].n_distinct, 5.0);

    let gin = &index("gin").definition;
    assert_eq!(gin.keys[0].opclass, Some(name("pg_catalog", "jsonb_path_ops")));
    assert_eq!((gin.access_method.as_str(), gin.keys[1].opclass.as_ref()), ("gin", None));
    assert_eq!(index("Brin Index").definition.with, [("pages_per_range".to_owned(), "16".to_owned())]);
    assert_eq!(index("collated").definition.keys[0].collation, Some(name("pg_catalog", "POSIX")));
    let unique = index("Häkchen");
    assert_eq!(unique.constraint.as_deref(), Some("Häkchen"));
    assert!(unique.definition.unique && !unique.primary && unique.valid);
    assert!(index("a\"b.c_pkey").primary && index("a\"b.c_pkey").pages > 0);
    assert!(index("plain").last_idx_scan.is_none() && major >= 13);

    let child = s.index(&name("public", "part_2026_ref_idx")).unwrap();
    assert_eq!(child.parent, Some(name("public", "part_ref")));
    assert_eq!(s.index(&name("public", "part_ref")).unwrap().pages, 0);
    assert!(s.index(&name("public", "summary_name")).is_some());
}

fn check_partitions_and_kinds(s: &Snapshot) {
    let relation = |n: &str| s.relation(&name("public", n)).unwrap();
    let part = relation("part");
    assert_eq!((part.kind, part.pages), (RelationKind::PartitionedTable, 0));
    assert_eq!(part.partition_key.as_deref(), Some("RANGE (day)"));
    assert!(part.column("ref").unwrap().inherited_statistics.is_some());
    let leaf = relation("part_2026");
    assert_eq!(leaf.parent, Some(name("public", "part")));
    assert_eq!(leaf.partition_bound.as_deref(), Some("FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')"));
    assert_eq!(relation("summary").kind, RelationKind::MaterializedView);
    assert_eq!([&part.access_method, &leaf.access_method], [&None, &Some("heap".into())]);
    let parent = relation("parent");
    assert!(parent.unlogged && relation("child").parent == Some(name("public", "parent")));
    // Empty itself, but its children have rows.
    assert!(parent.column("id").unwrap().statistics.is_none());
    assert_eq!(parent.column("id").unwrap().inherited_statistics.as_ref().unwrap().n_distinct, 4.0);
    let fresh = relation("never_analyzed");
    assert_eq!(fresh.options, ["autovacuum_enabled=off"]);
    assert!(fresh.row_security && fresh.reltuples < 1.0 && fresh.columns[1].statistics.is_none());
}

fn check_constraints(s: &Snapshot) {
    let found: Vec<(String, ConstraintKind)> =
        s.constraints.iter().map(|c| (format!("{}/{}", c.table, c.name), c.kind)).collect();
    let count = |kind| found.iter().filter(|(_, k)| *k == kind).count();
    assert_eq!(count(ConstraintKind::PrimaryKey), 3, "{found:?}");
    assert_eq!(count(ConstraintKind::Unique), 1);
    assert_eq!(count(ConstraintKind::Check), 1);
    // part → odd, its copy on the partition, and two of points_at, without bookkeeping rows.
    assert_eq!(count(ConstraintKind::ForeignKey), 4, "{found:?}");
    let foreign = |table: &str, constraint: &str| {
        let table = name("public", table);
        s.constraints.iter().find(|c| c.table == table && c.name == constraint).unwrap()
    };
    let own = foreign("part", "part_ref_fkey");
    let references = own.references.as_ref().unwrap();
    assert_eq!(own.columns, ["ref"]);
    assert_eq!(references.table, name("My Schema", "a\"b.c"));
    assert!(references.enforced_here && own.validated);
    assert!(!foreign("part_2026", "part_ref_fkey").references.as_ref().unwrap().enforced_here);
    let late = foreign("points_at", "late");
    assert!(!late.validated && late.definition.ends_with("NOT VALID"));
    let pair = foreign("points_at", "points_at_id_day_fkey");
    assert!(pair.validated);
    assert_eq!(pair.references.as_ref().unwrap().columns, ["id", "day"]);
}

#[tokio::test]
async fn rendered_definitions_make_the_same_indexes() {
    for server in testkit::servers() {
        let database = testkit::database(server).await;
        let client = create(&database.url).await;
        let open = session(&database.url).await;
        let before = snapshot::read_without_schema(&open, LOCK_TIMEOUT).await.unwrap();
        for index in before.indexes.iter().filter(|i| i.constraint.is_none() && i.parent.is_none()) {
            client.batch_execute(&format!("DROP INDEX {}", index.name)).await.unwrap();
            client.batch_execute(&index.definition.create_sql(false)).await.unwrap();
        }
        let after = snapshot::read_without_schema(&open, LOCK_TIMEOUT).await.unwrap();
        let definitions = |s: &Snapshot| -> Vec<_> {
            s.indexes.iter().map(|i| (i.indexdef.clone(), i.definition.clone())).collect()
        };
        assert_eq!(definitions(&before), definitions(&after));
    }
}

#[tokio::test]
async fn the_schema_is_dumped_and_can_be_restored() {
    let (pg_dump_major, pg_dump) = newest_pg_dump();
    for server in testkit::servers() {
        let database = testkit::database(server).await;
        let _client = create(&database.url).await;
        let open = session(&database.url).await;
        let options = SnapshotOptions::new(&pg_dump);
        let result = snapshot::read(&open, &target(&database.url), &options).await;
        if pg_dump_major < server.binaries().major {
            let error = result.unwrap_err();
            assert!(matches!(&error, Error::PgDumpTooOld { .. }), "{error:?}");
            let message = error.to_string();
            assert!(message.contains(&format!("pg_dump {pg_dump_major}.")), "{message}");
            assert!(message.contains(&format!("version {}.", server.binaries().major)), "{message}");
            assert!(
                error.hint().unwrap().contains(&format!("postgresql-client-{}", server.binaries().major))
            );
            continue;
        }
        let s = result.unwrap();
        assert!(!s.schema_sql.contains("journal") && !s.schema_sql.contains("\\restrict"));
        assert_eq!(s.notes, Vec::<String>::new());
        let copy = testkit::database(server).await;
        let client = testkit::connect(&copy.url).await;
        client.batch_execute(&s.schema_sql).await.unwrap();
        let restored = session(&copy.url).await;
        let restored = snapshot::read_without_schema(&restored, LOCK_TIMEOUT).await.unwrap();
        let shape = |s: &Snapshot| {
            let indexes: Vec<_> = s.indexes.iter().map(|i| i.definition.clone()).collect();
            let columns: Vec<_> = s
                .relations
                .iter()
                .flat_map(|r| r.columns.iter().map(|c| (r.name.clone(), c.name.clone(), c.type_name.clone())))
                .collect();
            (indexes, columns, s.constraints.clone())
        };
        assert_eq!(shape(&s), shape(&restored));
        // pg_dump's own queries are not taken for the user's.
        let (statements, _) = postgres::statements::read(&open).await.unwrap();
        assert!(statements.iter().all(|s| !s.query.contains("pg_catalog.pg_class c")), "{statements:#?}");

        let missing = SnapshotOptions::new("/nonexistent/pg_dump");
        let error = snapshot::read(&open, &target(&database.url), &missing).await.unwrap_err();
        assert!(matches!(&error, Error::PgDumpMissing { .. }), "{error:?}");
        assert!(error.hint().is_some());

        // A role that may not read a table cannot have it dumped, and is told what to grant.
        let role = format!("blind_{}", database.name);
        let admin = testkit::connect(&database.url).await;
        admin.batch_execute(&format!("CREATE ROLE {role} LOGIN IN ROLE pg_monitor")).await.unwrap();
        let url = database.url.replace("postgres@", &format!("{role}@"));
        let blind = session(&url).await;
        let error = snapshot::read(&blind, &target(&url), &options).await.unwrap_err();
        assert!(matches!(&error, Error::PrivilegeDenied { .. }), "{error:?}");
        assert!(error.hint().unwrap().contains("pg_read_all_data"), "{error:?}");
        let s = snapshot::read_without_schema(&blind, LOCK_TIMEOUT).await.unwrap();
        assert!(s.notes.iter().any(|n| n.contains("Column statistics of")), "{:?}", s.notes);
    }
}

#[tokio::test]
async fn statements_are_the_users_own_and_hold_no_passwords() {
    for server in testkit::servers() {
        let database = testkit::database(server).await;
        let other = testkit::database(server).await;
        let client = testkit::connect(&database.url).await;
        let role = format!("r_{}", database.name);
        client.batch_execute("CREATE EXTENSION pg_stat_statements; CREATE TABLE t (id int)").await.unwrap();
        client
            .batch_execute(&format!("CREATE ROLE {role} LOGIN PASSWORD 'geheim'; GRANT ALL ON t TO {role}"))
            .await
            .unwrap();
        testkit::connect(&other.url).await.batch_execute("SELECT 'of another database' AS x").await.unwrap();
        let second = testkit::connect(&database.url.replace("postgres@", &format!("{role}@"))).await;
        for (client, times) in [(&client, 3), (&second, 2)] {
            for _ in 0..times {
                client.query("SELECT count(*) FROM t WHERE id = $1", &[&1]).await.unwrap();
            }
        }
        let open = session(&database.url).await;
        snapshot::read_without_schema(&open, LOCK_TIMEOUT).await.unwrap();
        let s = snapshot::read_without_schema(&open, LOCK_TIMEOUT).await.unwrap();
        let counted: Vec<_> = s.statements.iter().filter(|s| s.query.contains("FROM t WHERE")).collect();
        assert_eq!(counted.len(), 1, "{:#?}", s.statements);
        assert_eq!(counted[0].calls, 5);
        assert!(counted[0].toplevel && counted[0].total_exec_time.0 > 0.0);
        let mean = counted[0].total_exec_time.0 / 5.0;
        assert!((counted[0].mean_exec_time.0 - mean).abs() < 1e-9);
        assert!(counted[0].min_exec_time.0 <= mean && mean <= counted[0].max_exec_time.0);
        assert!(counted[0].stddev_exec_time.0 <= counted[0].max_exec_time.0);
        let texts: Vec<&str> = s.statements.iter().map(|s| s.query.as_str()).collect();
        assert!(texts.iter().all(|t| !t.contains("geheim") && !t.contains("another database")), "{texts:#?}");
        assert!(texts.iter().any(|t| t.contains("PASSWORD '***'")), "{texts:#?}");
        assert!(texts.iter().all(|t| !t.contains("pgwright")), "{texts:#?}");
        let times: Vec<f64> = s.statements.iter().map(|s| s.total_exec_time.0).collect();
        assert!(times.is_sorted_by(|a, b| a >= b));
        let info = s.statements_info.unwrap();
        assert_eq!((info.max, info.track.as_str()), (5000, "top"));
        assert!(info.stats_reset.is_some() || server.binaries().major < 14);

        // Without the extension there is a note instead.
        client.batch_execute("DROP EXTENSION pg_stat_statements").await.unwrap();
        let s = snapshot::read_without_schema(&open, LOCK_TIMEOUT).await.unwrap();
        assert!(s.statements.is_empty() && s.statements_info.is_none());
        assert!(s.notes[0].contains("CREATE EXTENSION pg_stat_statements"), "{:?}", s.notes);
    }
}

#[tokio::test]
async fn a_thousand_tables_take_about_a_second() {
    for server in testkit::servers() {
        let database = testkit::database(server).await;
        let client = testkit::connect(&database.url).await;
        // In batches: a transaction may hold a lock on each table it makes.
        for batch in 0..6 {
            let sql = format!(
                "DO $$ BEGIN FOR i IN {from}..{to} LOOP EXECUTE format('CREATE TABLE t%s (id int PRIMARY KEY, a text, \
                 b int, c timestamptz, d numeric, e uuid, f jsonb, g text, h bool, i int)', i); \
                 EXECUTE format('CREATE INDEX ON t%s (a, b)', i); EXECUTE format('CREATE INDEX ON t%s (c)', i); \
                 EXECUTE format('INSERT INTO t%s SELECT x, x::text, x FROM generate_series(1, 20) x', i); \
                 END LOOP; END $$",
                from = batch * 200 + 1,
                to = batch * 200 + 200
            );
            client.batch_execute(&sql).await.unwrap();
        }
        client.batch_execute("ANALYZE").await.unwrap();
        let open = session(&database.url).await;
        let started = Instant::now();
        let s = snapshot::read_without_schema(&open, LOCK_TIMEOUT).await.unwrap();
        let elapsed = started.elapsed();
        println!("{}: {elapsed:?}", server.binaries().major);
        assert_eq!((s.relations.len(), s.indexes.len()), (1200, 3600));
        assert!(s.relations.iter().all(|r| r.columns.len() == 10 && r.columns[1].statistics.is_some()));
        // Generous to a machine that is busy with other tests; a query per table takes far longer.
        assert!(elapsed < Duration::from_secs(6), "{elapsed:?}");
    }
}

#[tokio::test]
async fn concurrent_ddl_does_not_spoil_a_snapshot() {
    let server = testkit::any_server();
    let database = testkit::database(server).await;
    let client = testkit::connect(&database.url).await;
    let churn = tokio::spawn(async move {
        loop {
            let sql =
                "CREATE TABLE x (id int PRIMARY KEY, a text); CREATE INDEX ON x (lower(a)); DROP TABLE x";
            client.batch_execute(sql).await.unwrap();
        }
    });
    let open = session(&database.url).await;
    for _ in 0..30 {
        snapshot::read_without_schema(&open, LOCK_TIMEOUT).await.unwrap();
    }
    churn.abort();
}

#[tokio::test]
async fn a_file_gives_the_snapshot_back() {
    let server = testkit::any_server();
    let database = testkit::database(server).await;
    let _client = create(&database.url).await;
    let open = session(&database.url).await;
    let s = snapshot::read_without_schema(&open, LOCK_TIMEOUT).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.snapshot.zst");
    snapshot_file::save(&path, &s).unwrap();
    snapshot_file::save(&path, &s).unwrap();
    assert_eq!(snapshot_file::load(&path).unwrap(), s);
    let left: Vec<_> = std::fs::read_dir(directory.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "nothing temporary stays");

    let bytes = std::fs::read(&path).unwrap();
    for cut in [bytes.len() - 1, bytes.len() / 2, 100] {
        std::fs::write(&path, &bytes[..cut]).unwrap();
        let error = snapshot_file::load(&path).unwrap_err();
        assert!(error.to_string().ends_with("is cut off or damaged"), "{cut}: {error}");
    }
    let mut damaged = bytes.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 0x55;
    std::fs::write(&path, damaged).unwrap();
    assert!(snapshot_file::load(&path).is_err());
    let error = snapshot_file::save(&directory.path().join("missing/x"), &s).unwrap_err();
    assert!(error.to_string().ends_with("could not be written"), "{error}");
}

/// Since 18 a NOT NULL can be added without a look at the rows that are there.
#[tokio::test]
async fn not_null_that_was_not_validated_promises_nothing() {
    for server in testkit::servers().filter(|s| s.binaries().major >= 18) {
        let database = testkit::database(server).await;
        let client = testkit::connect(&database.url).await;
        let sql = "CREATE TABLE t (a int, b int NOT NULL); INSERT INTO t VALUES (NULL, 1); \
                   ALTER TABLE t ADD CONSTRAINT a_is_there NOT NULL a NOT VALID";
        client.batch_execute(sql).await.unwrap();
        let open = session(&database.url).await;
        let read = snapshot::read_without_schema(&open, LOCK_TIMEOUT).await.unwrap();
        let columns = &read.relation(&name("public", "t")).unwrap().columns;
        assert!(!columns[0].not_null && columns[1].not_null, "{columns:?}");
    }
}
