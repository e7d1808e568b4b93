//! Are tables converted that nobody shaped for it? Keys of odd types, names that are cut alike, privileges that were
//! taken away, policies that read their own table: with writes in the middle, there and back.

use apply::partition_conversion::{self as conversion, ConversionEvent, ConversionRequest, Method, Step};
use model::QualifiedName;

use crate::conversion::{convert, finish, monthly, patient, revert, rows};
use crate::world::{World, shown, target};

/// A table that is not what one expects.
struct Oddity {
    name: &'static str,
    /// Makes table `t`.
    sql: &'static str,
    /// Fills it.
    rows: &'static str,
    /// Changes its rows while it is converted.
    write: &'static str,
    /// Queries that have to give the same before, after, and when it has been taken back.
    same: &'static [&'static str],
}

/// A row for each of a hundred days.
const ROWS: &str = "insert into t (id, at) select g, timestamptz '2026-01-05' + g * interval '1 day' from generate_series(1, 100) g";

const ODDITIES: &[Oddity] = &[
    Oddity {
        name: "a key whose domain takes no nulls",
        sql: "create domain did as bigint not null check (value > 0); create domain deeper as did; \
              create table t (id deeper primary key, at timestamptz not null)",
        rows: ROWS,
        write: "insert into t values (500, '2026-02-02'); update t set at = at + interval '40 days' where id = 3; \
                delete from t where id = 4",
        same: &[],
    },
    Oddity {
        name: "a key whose values are equal without being the same",
        sql: "create collation ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false); \
              create table t (id text collate ci primary key, at timestamptz not null)",
        rows: ROWS,
        write: "insert into t values ('Z', '2026-02-02'); update t set id = 'z' where id = 'Z'; \
                update t set id = '007' where id = '7'; update t set id = 'Zz' where id = 'z'",
        same: &[],
    },
    Oddity {
        name: "a key that is an array",
        sql: "create table t (id int[] primary key, at timestamptz not null)",
        rows: "insert into t select array[g], timestamptz '2026-01-05' + g * interval '1 day' from generate_series(1, 100) g",
        write: "insert into t values ('{5000,null}', '2026-02-02'); delete from t where id = '{5}'",
        same: &[],
    },
    Oddity {
        name: "a key that is composite and may be empty inside",
        sql: "create type pair as (a bigint, b text); create table t (id pair primary key, at timestamptz not null)",
        rows: "insert into t select row(g, 'x')::pair, timestamptz '2026-01-05' + g * interval '1 day' from generate_series(1, 100) g",
        write: "insert into t values (row(null, null), '2026-02-02'), (row(7000, null), '2026-03-03'); \
                update t set at = at + interval '33 days' where id = row(null, null)::pair",
        same: &[],
    },
    Oddity {
        name: "names that are cut alike, or that partitions would share",
        sql: "create table t (id bigint primary key, at timestamptz not null, a int, b int); \
              create index nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn1 on t (a); \
              create index nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn2 on t (b); \
              create statistics ssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssss1 on a, b from t; \
              create statistics ssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssss2 on id, b from t; \
              create index t_shared on t (a); create index shared on t (b); create index _shared on t (a, b)",
        rows: ROWS,
        write: "insert into t values (500, '2026-02-02')",
        same: &[],
    },
    Oddity {
        name: "privileges that were taken away, and others by default",
        sql: "do $$ begin create role odd; exception when duplicate_object then null; end $$; \
              create table t (id bigint generated always as identity, at timestamptz not null, counter serial); \
              create unique index t_id on t (id, at); revoke delete, truncate on t from current_user; \
              grant usage on sequence t_id_seq to odd; revoke usage on sequence t_id_seq from odd; \
              alter default privileges in schema public grant all on tables to odd; \
              alter default privileges in schema public grant all on sequences to public",
        rows: "insert into t (at) select timestamptz '2026-01-05' + g * interval '1 day' from generate_series(1, 100) g",
        write: "insert into t (at) values ('2026-02-02')",
        same: &[
            "select array_agg(a order by a) from (select (aclexplode(relacl))::text as a from pg_class where oid = 't'::regclass) x",
            // Partitions are no way around the privileges of the whole.
            "select has_table_privilege('odd', 't', 'select') or exists (select from pg_class where relname ~ '^t_2' \
             and relkind = 'r' and has_table_privilege('odd', oid, 'select'))",
            "select has_sequence_privilege('odd', pg_get_serial_sequence('t', 'id'), 'usage')",
        ],
    },
    Oddity {
        name: "many rows of one moment, of which no statistics know",
        sql: "create table t (id bigint, at timestamptz not null, n int default 0, primary key (id, at)); create index on t (at)",
        rows: ROWS,
        write: "analyze t; insert into t select g, '2026-02-02' from generate_series(1000, 6000) g; \
                update t set n = 1 where id between 2000 and 4000",
        same: &[],
    },
    Oddity {
        name: "a key that begins with the partition column",
        sql: "create table t (id bigint, at timestamptz not null, n int default 0, primary key (at, id)); create index on t (id)",
        rows: ROWS,
        write: "insert into t select g, '2026-02-02' from generate_series(1000, 1200) g; delete from t where id = 1100; \
                update t set at = '2026-03-03' where id between 1000 and 1100",
        same: &[],
    },
    Oddity {
        name: "a policy that reads its own table",
        sql: "create table t (id bigint primary key, at timestamptz not null); alter table t enable row level security; \
              create policy own on t using (exists (select from t x where x.id = 1)); comment on policy own on t is 'own'",
        rows: ROWS,
        write: "update t set at = at + interval '40 days' where id = 1",
        same: &[
            "select (pg_get_expr(polqual, polrelid), obj_description(oid, 'pg_policy')) from pg_policy where polrelid = 't'::regclass",
        ],
    },
    Oddity {
        name: "a foreign key to a partitioned table",
        sql: "create table p (id int primary key) partition by range (id); create table p1 partition of p for values from (0) to (50); \
              create table p2 partition of p for values from (50) to (200); insert into p select generate_series(1, 150); \
              create table t (id bigint primary key, at timestamptz not null, p int default 1 constraint to_p references p on delete cascade)",
        rows: ROWS,
        write: "insert into t values (500, '2026-02-02', 77); delete from p where id = 77",
        same: &[
            "select string_agg(pg_get_constraintdef(oid), ';') from pg_constraint where conrelid = 't'::regclass and contype = 'f' \
                 and conname = 'to_p'",
        ],
    },
    Oddity {
        name: "options of keys, targets of expressions, the index of CLUSTER",
        sql: "create table t (id bigint, at timestamptz not null, a int, constraint key primary key (id) with (fillfactor = 71), \
              constraint duo unique (a, at) with (fillfactor = 72)); create index expression on t ((a + 1)); \
              alter index expression alter column 1 set statistics 321; alter table t cluster on duo",
        rows: ROWS,
        write: "insert into t values (500, '2026-02-02')",
        same: &[
            "select string_agg(c.relname || c.reloptions::text, ' ' order by c.relname) from pg_index i join pg_class c on c.oid = indexrelid \
             where indrelid = 't'::regclass",
            "select to_jsonb(a) ->> 'attstattarget' from pg_attribute a where attrelid = 'expression'::regclass",
            // Of every partition.
            "select coalesce(bool_and(exists (select from pg_index i where i.indrelid = p.relid and i.indisclustered)), true) \
             from pg_partition_tree('t') p where isleaf",
        ],
    },
    Oddity {
        name: "an identity of another type than its column",
        sql: "create table t (id bigint primary key, at timestamptz not null, n int generated by default as identity)",
        rows: ROWS,
        write: "insert into t (id, at) values (500, '2026-02-02')",
        same: &[
            "select seqtypid::regtype from pg_sequence where seqrelid = pg_get_serial_sequence('t', 'n')::regclass",
        ],
    },
];

/// Statements of somebody else, at a moment at which the conversion waits for its listener.
pub fn meanwhile(url: &str, sql: &str) {
    let (url, sql) = (url.to_owned(), sql.to_owned());
    let writing = async move { testkit::connect(&url).await.batch_execute(&sql).await.unwrap() };
    std::thread::spawn(move || tokio::runtime::Runtime::new().unwrap().block_on(writing)).join().unwrap();
}

async fn answers(world: &World, oddity: &Oddity) -> Vec<String> {
    let mut all = Vec::new();
    for query in oddity.same {
        all.push(world.value(query).await);
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_that_nobody_shaped_for_it_are_converted_and_taken_back() {
    let server = testkit::any_server();
    for oddity in ODDITIES {
        for method in [Method::Rewrite, Method::Attach] {
            let at = format!("{}, {method:?}", oddity.name);
            let world = World::on(server).await;
            world.sql("create schema pgwright").await;
            world.sql(oddity.sql).await;
            world.sql(oddity.rows).await;
            let (dump, before) = (world.schema_dump().await, answers(&world, oddity).await);
            let table = QualifiedName::new("public", "t");
            let request = ConversionRequest { column: "at".into(), ..monthly(table.clone(), method) };
            let url = world.url.clone();
            let mut written = false;
            let mut on_event = |event: ConversionEvent| {
                if matches!(event, ConversionEvent::Began { step: Step::Fold | Step::Swap }) && !written {
                    written = true;
                    meanwhile(&url, oddity.write);
                }
            };
            conversion::convert(&world.target, &request, &patient(), &mut on_event)
                .await
                .unwrap_or_else(|e| panic!("{at}: {}", shown(&e)));
            assert!(written, "{at}");
            if method == Method::Rewrite {
                let old = QualifiedName::new("public", "t_unpartitioned");
                assert_eq!(rows(&world, &table).await, rows(&world, &old).await, "{at}");
            }
            assert_eq!(answers(&world, oddity).await, before, "{at}");
            let held = rows(&world, &table).await;
            revert(&world.target, &table).await.unwrap_or_else(|e| panic!("{at}: {}", shown(&e)));
            assert_eq!(rows(&world, &table).await, held, "{at}");
            assert_eq!(world.schema_dump().await, dump, "{at}");
            assert_eq!(answers(&world, oddity).await, before, "{at}");
            if method == Method::Attach {
                continue;
            }
            // Nothing depends on the old table, so that it can go.
            convert(&world.target, &request).await.unwrap_or_else(|e| panic!("{at}: {}", shown(&e)));
            finish(&world.target, &table).await.unwrap_or_else(|e| panic!("{at}: {}", shown(&e)));
            assert_eq!(rows(&world, &table).await, held, "{at}");
            assert_eq!(answers(&world, oddity).await, before, "{at}");
        }
    }
}

/// What is refused, and by which words.
const REFUSED: &[(&str, Method, &str)] = &[
    (
        "create table t (id bigint generated by default as identity primary key, at timestamptz not null); \
         create table other (id bigint default nextval('t_id_seq'))",
        Method::Rewrite,
        "column id of table public.other",
    ),
    (
        "create table o (id int primary key); create table t (id bigint primary key, at timestamptz not null, o int references o); \
         alter table t disable trigger all",
        Method::Rewrite,
        "Its triggers are disabled",
    ),
    (
        "create table t (id bigint primary key, at timestamptz not null); create function f() returns trigger language plpgsql \
         as 'begin new.at := now(); return new; end'; create trigger x before insert on t for each row execute function f()",
        Method::Rewrite,
        "sets NEW.at",
    ),
    (
        "create table t (id bigint primary key, at date not null); insert into t values (1, 'infinity')",
        Method::Attach,
        "rows far in the future",
    ),
    (
        "create table t (id bigint primary key, at timestamptz not null); create type t_default as enum ('x')",
        Method::Rewrite,
        "t_default",
    ),
    (
        "create table t (id bigint primary key, at timestamptz not null); create table x (); alter table x add column y int; \
         create index t_pkey_unpartitioned on x (y)",
        Method::Rewrite,
        "t_pkey_unpartitioned",
    ),
    // The owner, from whom its own rows are hidden.
    (
        "create table t (id bigint primary key, at timestamptz not null, o text); insert into t values (1, now(), 'a'); \
         create policy p on t using (o = 'b'); alter table t enable row level security, force row level security; \
         do $$ begin create role forced login; exception when duplicate_object then null; end $$; \
         do $$ begin execute format('grant create, temporary on database %I to forced', current_database()); end $$; \
         grant all on schema public to forced; alter table t owner to forced",
        Method::Rewrite,
        "row-level security hides rows",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn what_would_break_later_is_refused_at_the_beginning() {
    let server = testkit::any_server();
    for (sql, method, says) in REFUSED {
        let world = World::on(server).await;
        world.sql(sql).await;
        let dump = world.schema_dump().await;
        let table = QualifiedName::new("public", "t");
        let request = ConversionRequest { column: "at".into(), ..monthly(table, *method) };
        let role = if sql.contains("owner to forced") { "forced" } else { "postgres" };
        let target = target(&world.url.replacen("postgres@", &format!("{role}@"), 1));
        let error = convert(&target, &request).await.unwrap_err();
        assert!(error.is_refusal() && shown(&error).contains(says), "{sql}: {}", shown(&error));
        assert_eq!(world.schema_dump().await, dump, "{sql}");
    }
}
