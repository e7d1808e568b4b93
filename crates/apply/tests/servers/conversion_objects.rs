//! Is everything that hangs on a table carried over or refused, and nothing forgotten? A case of each kind.

use std::collections::BTreeSet;

use apply::partition_conversion::{self as conversion, ConversionRequest, DividedBy, Fate, KINDS, Method};
use model::QualifiedName;

use crate::conversion::{convert, monthly, revert};
use crate::world::{World, shown};

/// Everything that is carried, on one table.
const CARRIED: &str = r#"
    do $$ begin create role reader; exception when duplicate_object then null; end $$;
    create table owners (id int primary key);
    insert into owners select generate_series(1, 10);
    create table t (
        id bigint generated always as identity (start with 100 increment by 5),
        at timestamptz not null,
        owner int constraint t_owner references owners on delete cascade,
        name text default 'none',
        twice int generated always as (2 * 21) stored,
        counter serial,
        constraint t_pkey primary key (id, at),
        constraint t_name_at unique (name, at) deferrable,
        constraint name_is_short check (length(name) < 100)
    ) with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, toast.autovacuum_enabled = false);
    insert into t (at, owner, name) select timestamptz '2026-01-01' + g * interval '1 day', 1 + g % 10, 'n' || g
        from generate_series(1, 90) g;
    create index t_owner_idx on t (owner) where owner > 2;
    comment on table t is 'it''s a table'; comment on column t.name is 'a name';
    comment on index t_owner_idx is 'an index'; comment on constraint t_owner on t is 'a key';
    comment on constraint t_pkey on t is 'the key';
    alter table t alter name set statistics 500, alter owner set (n_distinct = 10), alter name set storage external;
    create statistics t_stats (ndistinct) on owner, name from t; alter statistics t_stats set statistics 300;
    comment on statistics t_stats is 'together';
    create table kids (id bigint, at timestamptz, constraint kids_t foreign key (id, at) references t on update cascade);
    insert into kids select id, at from t limit 5;
    create view v with (security_barrier) as select id, at, name from t where owner > 1; grant select on v to reader;
    create view vv as select count(*) as n from v;
    create table log (line text);
    create function note() returns trigger language plpgsql as
        $$ begin insert into log values (tg_op || ' ' || tg_table_name); return new; end $$;
    create trigger noted after update on t for each row execute function note();
    create trigger before_it before insert on t for each row when (new.name is null) execute function note();
    create trigger off after delete on t for each row execute function note(); alter table t disable trigger off;
    create trigger whole after update on t for each statement execute function note();
    comment on trigger noted on t is 'a trigger';
    alter table t enable row level security; alter table t force row level security;
    create policy mine on t as restrictive for update to reader using (owner = 3) with check (name <> 'x');
    create policy seen on t using (owner > 0); comment on policy mine on t is 'a policy';
    grant select, insert on t to reader; grant update (name) on t to reader with grant option;
    grant usage on sequence t_id_seq to reader;
    alter table t replica identity using index t_pkey;
    create publication pub for table t with (publish_via_partition_root = true);
    analyze t;
"#;

/// A name in the catalog without what tells a partition or an old table from the whole.
async fn hanging(world: &World) -> String {
    world
        .value(
            "select string_agg(line, E'\\n' order by line) from (
                select concat('column ', a.attname, ' ', format_type(atttypid, atttypmod), ' ', attnotnull, attidentity, attgenerated, attstorage, coalesce(pg_get_expr(adbin, adrelid), ''), coalesce(attacl::text, ''), coalesce(attoptions::text, ''), coalesce(col_description(attrelid, attnum), '')) as line from pg_attribute a left join pg_attrdef on adrelid = attrelid and adnum = attnum
                    where attrelid = 't'::regclass and attnum > 0
                union all select concat('constraint ', conname, ' ', pg_get_constraintdef(oid), convalidated, coalesce(obj_description(oid, 'pg_constraint'), ''))
                    from pg_constraint where (conrelid = 't'::regclass or conrelid = 'kids'::regclass and conparentid = 0) and contype <> 'n'
                    and contype <> 't'
                union all select concat('index ', replace(pg_get_indexdef(indexrelid), ' ONLY', ''), indisvalid, coalesce(obj_description(indexrelid, 'pg_class'), '')) from pg_index where indrelid = 't'::regclass
                union all select concat('trigger ', pg_get_triggerdef(t.oid), tgenabled, coalesce(obj_description(t.oid, 'pg_trigger'), ''))
                    from pg_trigger t join pg_proc f on f.oid = tgfoid where tgrelid = 't'::regclass and not tgisinternal
                    and pronamespace <> 'pgwright'::regnamespace
                union all select concat('policy ', p::text) from pg_policies p where tablename = 't'
                union all select concat('policy comment ', obj_description(oid, 'pg_policy')) from pg_policy where polrelid = 't'::regclass
                union all select concat('grant ', relacl::text, relrowsecurity, relforcerowsecurity, relreplident, pg_get_userbyid(relowner), obj_description(oid, 'pg_class')) from pg_class where oid = 't'::regclass
                union all select concat('grant on sequence ', coalesce(relacl::text, ''), relname)
                    from pg_class where oid = pg_get_serial_sequence('t', 'id')::regclass
                union all select concat('serial ', pg_get_serial_sequence('t', 'counter'))
                union all select concat('statistics ', pg_get_statisticsobjdef(oid), (to_jsonb(s) ->> 'stxstattarget'), obj_description(oid, 'pg_statistic_ext')) from pg_statistic_ext s where stxrelid = 't'::regclass
                union all select concat('view ', pg_get_viewdef('v'), (select reloptions::text || relacl::text from pg_class where relname = 'v'))
                union all select concat('nested ', n > 0) from vv
                union all select concat('publication ', pubname) from pg_publication_tables where tablename = 't'
                union all select concat('target ', attname, ' ', (to_jsonb(a) ->> 'attstattarget')) from pg_attribute a
                    where attrelid = 't'::regclass and attname = 'name'
            ) x",
        )
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_hangs_on_a_table_is_there_afterwards_and_after_the_way_back() {
    for server in testkit::servers() {
        for method in [Method::Rewrite, Method::Attach] {
            let world = World::on(server).await;
            world.sql(CARRIED).await;
            world.sql("create schema pgwright").await;
            let at = format!("{method:?} on {}", world.major);
            let (before, dump) = (hanging(&world).await, world.schema_dump().await);
            let table = QualifiedName::new("public", "t");
            let request = ConversionRequest { column: "at".into(), ..monthly(table.clone(), method) };
            convert(&world.target, &request).await.unwrap_or_else(|e| panic!("{at}: {}", shown(&e)));
            let after = hanging(&world).await;
            let lines = |text: &str| text.lines().map(str::to_owned).collect::<BTreeSet<_>>();
            let (was, is) = (lines(&before), lines(&after));
            let (lost, new): (Vec<_>, Vec<_>) =
                (was.difference(&is).collect(), is.difference(&was).collect());
            assert!(lost.is_empty() && new.is_empty(), "{at}\nlost: {lost:#?}\nnew: {new:#?}");
            // Storage options belong to partitions.
            let options = "select count(*) from pg_partition_tree('t') join pg_class c on c.oid = relid where isleaf and \
                reloptions::text not like '%fillfactor=80%'";
            assert_eq!(world.value(options).await, "0", "{at}");
            // The triggers fire, once; the identity goes on; what is referenced stays.
            world.sql("delete from log; insert into t (at, owner) values ('2026-03-03', 4)").await;
            assert_eq!(world.value("select max(id) from t").await, "550", "{at}");
            assert_eq!(world.value("select max(counter) from t").await, "91", "{at}");
            world.sql("update t set name = 'other' where id = 100").await;
            assert_eq!(world.value("select count(*) from log").await, "2", "{at}");
            assert!(
                world.client.batch_execute("insert into t (at, owner) values (now(), 77)").await.is_err(),
                "{at}"
            );
            assert!(
                world
                    .client
                    .batch_execute("delete from t where id = (select min(id) from kids)")
                    .await
                    .is_err(),
                "{at}"
            );
            world.sql("delete from owners where id = 9").await;
            assert_eq!(world.value("select count(*) from t where owner = 9").await, "0", "{at}");
            if method == Method::Rewrite {
                let refused = world.client.batch_execute("truncate t, kids").await.unwrap_err();
                assert!(format!("{refused:?}").contains("cannot truncate"), "{refused:?}");
            }
            revert(&world.target, &table).await.unwrap_or_else(|e| panic!("{at}: {}", shown(&e)));
            assert_eq!(hanging(&world).await, before, "{at}");
            assert_eq!(world.schema_dump().await, dump, "{at}");
            assert_eq!(world.value("select count(*) from t where owner = 9").await, "0", "{at}");
        }
    }
}

/// What is refused: its kind, and what makes it.
const REFUSED: &[(&str, &str)] = &[
    ("unique constraint", "alter table r add unique (name)"),
    ("unique constraint", "create unique index on r (lower(name))"),
    ("exclusion constraint", "alter table r add exclude using gist (box(point(n, n), point(n, n)) with &&)"),
    ("check", "alter table r add check (n > 0) not valid"),
    ("check", "alter table r add check (n > 0) no inherit"),
    ("foreign key", "alter table r add parent int references r"),
    ("referencing foreign key", "create table kid (r int references r)"),
    (
        "trigger",
        "create function f() returns trigger language plpgsql as 'begin return null; end'; \
         create trigger x after insert on r referencing new table as new_rows for each row execute function f()",
    ),
    ("rule", "create rule x as on delete to r do instead nothing"),
    ("materialized view", "create materialized view m as select id from r"),
    ("publication", "create publication p for table r"),
    ("publication", "create publication p for all tables"),
    ("inheritance", "create table child () inherits (r)"),
    ("inheritance", "create table parent (id int); alter table r inherit parent"),
    ("other", "create function g(r) returns int language sql as 'select 1'"),
    ("other", "create table holder (x r)"),
    ("other", "create table source (id int); create rule x as on delete to source do also delete from r"),
];

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_carried_is_refused_before_anything_is_started() {
    let server = testkit::any_server();
    for (kind, sql) in REFUSED {
        let world = World::on(server).await;
        world
            .sql("create table r (id int not null primary key, at timestamptz not null, name text, n int)")
            .await;
        // With an index that did not finish beside it now and then, nothing else changes.
        world.sql(sql).await;
        let dump = world.schema_dump().await;
        let request = ConversionRequest {
            column: "at".into(),
            ..monthly(QualifiedName::new("public", "r"), Method::Rewrite)
        };
        let plan = conversion::plan_conversion(&world.target, &request).await;
        let plan = plan.unwrap_or_else(|e| panic!("{sql}: {}", shown(&e)));
        let refused: Vec<_> = plan.refusals().collect();
        assert_eq!(refused.iter().map(|r| r.kind.as_str()).collect::<Vec<_>>(), [*kind], "{sql}");
        for refusal in &refused {
            assert!(KINDS.iter().any(|(k, _)| *k == refusal.kind));
            let Fate::Refused { reason, alternative } = &refusal.fate else { unreachable!() };
            assert!(reason.ends_with('.') && alternative.ends_with('.'), "{reason} {alternative}");
        }
        let error = convert(&world.target, &request).await.unwrap_err();
        assert!(error.is_refusal(), "{sql}: {}", shown(&error));
        assert_eq!(world.schema_dump().await, dump, "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_cannot_be_divided_is_told_why() {
    let world = World::on(testkit::any_server()).await;
    world
        .sql(
            "create table nokey (at timestamptz not null); create table nulls (id int primary key, at timestamptz); \
             insert into nulls values (1, null); create table parts (at date) partition by range (at); \
             create unlogged table loose (id int primary key, at date not null); \
             create table words (id int primary key, at text not null); create view eye as select 1 as at;",
        )
        .await;
    for (name, column, interval, says) in [
        ("nokey", "at", "month", "has no key that tells its rows apart"),
        ("nulls", "at", "month", "holds nulls"),
        ("parts", "at", "month", "is partitioned already"),
        ("loose", "at", "month", "is not logged or temporary"),
        ("words", "at", "month", "cannot divide"),
        ("eye", "at", "month", "is no table"),
        ("gone", "at", "month", "does not exist"),
        ("nulls", "gone", "month", "has no column gone"),
        ("nulls", "id", "month", "cannot be divided like that"),
    ] {
        let request = ConversionRequest {
            column: column.into(),
            by: DividedBy::Range(interval.parse().unwrap()),
            ..monthly(QualifiedName::new("public", name), Method::Rewrite)
        };
        let error = conversion::plan_conversion(&world.target, &request).await.unwrap_err();
        assert!(error.to_string().contains(says), "{name}: {}", shown(&error));
        assert!(error.is_refusal());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_changed_meanwhile_is_not_exchanged() {
    let world = World::on(testkit::any_server()).await;
    world
        .sql("create table r (id int primary key, at timestamptz); insert into r select g, now() from generate_series(1, 100) g")
        .await;
    let request = ConversionRequest {
        column: "at".into(),
        ..monthly(QualifiedName::new("public", "r"), Method::Rewrite)
    };
    for change in [
        "create index on r (at)",
        "alter table r add more int",
        "grant select on r to public",
        "alter table r disable trigger all; alter table r enable trigger all",
    ] {
        let url = world.url.clone();
        let mut on_event = move |event: conversion::ConversionEvent| {
            if event == (conversion::ConversionEvent::Began { step: conversion::Step::Swap }) {
                let url = url.clone();
                let changing =
                    async move { testkit::connect(&url).await.batch_execute(change).await.unwrap() };
                std::thread::spawn(move || tokio::runtime::Runtime::new().unwrap().block_on(changing))
                    .join()
                    .unwrap();
            }
        };
        let options = crate::conversion::patient();
        let error = conversion::convert(&world.target, &request, &options, &mut on_event).await.unwrap_err();
        assert!(
            error.to_string().contains("was changed while it was converted"),
            "{change}: {}",
            shown(&error)
        );
        revert(&world.target, &request.table).await.unwrap();
        assert_eq!(world.value("select count(*) from r").await, "100");
        assert_eq!(
            world
                .value(
                    "select attnotnull from pg_attribute where attrelid = 'r'::regclass and attname = 'at'"
                )
                .await,
            "false"
        );
    }
}
