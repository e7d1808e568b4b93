//! What stands around a table that is converted: tablespaces and defaults of the database, event triggers, prepared
//! transactions, readers of the tables that it references, and what newer servers know.

use std::time::Duration;

use apply::partition_conversion::{
    self as conversion, ConversionEvent, ConversionOptions, ConversionRequest, Fate, Method, Step,
};
use model::QualifiedName;

use crate::conversion::{convert, finish, monthly, patient, revert, rows};
use crate::conversion_oddities::meanwhile;
use crate::world::{World, shown, target};

const TABLE: &str = "create table t (id bigint primary key, at timestamptz not null, o text); \
     insert into t select g, timestamptz '2026-01-05' + g * interval '1 day', 'x' from generate_series(1, 100) g;";

fn table() -> QualifiedName {
    QualifiedName::new("public", "t")
}

fn request(method: Method) -> ConversionRequest {
    ConversionRequest { column: "at".into(), ..monthly(table(), method) }
}

/// Makes a tablespace without a folder of its own.
async fn tablespace(world: &World, name: &str) {
    world.sql("set allow_in_place_tablespaces = on").await;
    let made = world.client.batch_execute(&format!("create tablespace {name} location ''")).await;
    assert!(made.is_ok() || format!("{made:?}").contains("already exists"), "{made:?}");
}

/// Where the table, its partitions and their indexes are, and by which method of access, each once.
async fn places(world: &World) -> String {
    world
        .value(
            "with all_of as (select relid from pg_partition_tree('t') union select 't'::regclass) \
             select string_agg(distinct concat_ws(' ', c.relkind, coalesce(s.spcname, 'default'), a.amname), ', ') \
             from pg_class c left join pg_tablespace s on s.oid = c.reltablespace left join pg_am a on a.oid = c.relam \
             where c.relkind in ('r', 'i') and (c.oid in (table all_of) or c.oid in (select indexrelid from pg_index \
             where indrelid in (table all_of)))",
        )
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_stays_where_it_is_whatever_the_defaults_are() {
    for server in testkit::servers() {
        for method in [Method::Rewrite, Method::Attach] {
            let world = World::on(server).await;
            let at = format!("{method:?} on {}", world.major);
            tablespace(&world, "elsewhere").await;
            world.sql(TABLE).await;
            world.sql("create index on t (o); create access method heaped type table handler heap_tableam_handler").await;
            let before = (places(&world).await, world.schema_dump().await);
            assert_eq!(before.0, "i default btree, r default heap", "{at}");
            world
                .sql(
                    "do $$ begin execute format('alter database %I set default_tablespace = elsewhere', current_database()); \
                     execute format('alter database %I set default_table_access_method = heaped', current_database()); end $$",
                )
                .await;
            convert(&world.target, &request(method)).await.unwrap_or_else(|e| panic!("{at}: {}", shown(&e)));
            assert_eq!(places(&world).await, before.0, "{at}");
            revert(&world.target, &table()).await.unwrap_or_else(|e| panic!("{at}: {}", shown(&e)));
            assert_eq!(places(&world).await, before.0, "{at}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tablespaces_are_carried_and_a_predicate_that_reads_like_a_clause_stays_whole() {
    let server = testkit::any_server();
    for method in [Method::Rewrite, Method::Attach] {
        let world = World::on(server).await;
        tablespace(&world, "fast").await;
        tablespace(&world, "slow").await;
        world.sql("create schema pgwright").await;
        world
            .sql(
                "create table t (id bigint primary key using index tablespace slow, at timestamptz not null, o text) \
                 tablespace fast; create index i on t (o) tablespace slow where o like ' WHERE (%'; \
                 create index j on t (at) tablespace slow; \
                 insert into t select g, timestamptz '2026-01-05' + g * interval '1 day', 'x' from generate_series(1, 100) g",
            )
            .await;
        let (before, dump) = (places(&world).await, world.schema_dump().await);
        assert_eq!(before, "i slow btree, r fast heap");
        convert(&world.target, &request(method))
            .await
            .unwrap_or_else(|e| panic!("{method:?}: {}", shown(&e)));
        assert_eq!(places(&world).await, before, "{method:?}");
        let predicates = "select string_agg(distinct pg_get_expr(indpred, indrelid), '; ') from pg_index where indpred is not null \
             and indrelid in (select relid from pg_partition_tree('t'))";
        assert_eq!(world.value(predicates).await, "(o ~~ ' WHERE (%'::text)", "{method:?}");
        revert(&world.target, &table()).await.unwrap_or_else(|e| panic!("{method:?}: {}", shown(&e)));
        assert_eq!(world.schema_dump().await, dump, "{method:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tablespace_in_which_the_role_may_not_create_is_refused_at_the_beginning() {
    let world = World::on(testkit::any_server()).await;
    tablespace(&world, "closed").await;
    world
        .sql(
            "do $$ begin create role spaceless login; exception when duplicate_object then null; end $$; \
             create table t (id bigint primary key, at timestamptz not null) tablespace closed; alter table t owner to spaceless; \
             do $$ begin execute format('grant create, temporary on database %I to spaceless', current_database()); end $$; \
             grant all on schema public to spaceless",
        )
        .await;
    let poor = target(&world.url.replacen("postgres@", "spaceless@", 1));
    let error = convert(&poor, &request(Method::Rewrite)).await.unwrap_err();
    assert!(error.is_refusal() && shown(&error).contains("Tablespace closed"), "{}", shown(&error));
    assert!(shown(&error).contains("GRANT CREATE ON TABLESPACE closed"), "{}", shown(&error));
    world.sql("grant create on tablespace closed to spaceless").await;
    convert(&poor, &request(Method::Rewrite)).await.unwrap_or_else(|e| panic!("{}", shown(&e)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prepared_transaction_in_the_way_is_named() {
    let world = World::on(testkit::any_server()).await;
    world.sql(TABLE).await;
    let name = format!("stalled {}", table());
    world.sql(&format!("begin; insert into t values (-1, '2026-02-02'); prepare transaction '{name}'")).await;
    let options = ConversionOptions { max_lock: Duration::from_millis(400), tries: 2, ..patient() };
    let stopped = conversion::convert(&world.target, &request(Method::Rewrite), &options, &mut |_| {}).await;
    let error = stopped.unwrap_err();
    let says = format!("prepared transaction {name} (postgres), open for");
    assert!(error.detail().unwrap_or_default().contains(&says), "{}", shown(&error));
    world.sql(&format!("commit prepared '{name}'")).await;
    convert(&world.target, &request(Method::Rewrite)).await.unwrap_or_else(|e| panic!("{}", shown(&e)));
    assert_eq!(world.value("select count(*) from t where id = -1").await, "1");
}

/// DROP TABLE locks what the dropped table references. Whoever reads that must not make everybody else wait for it.
#[tokio::test(flavor = "multi_thread")]
async fn the_way_back_waits_for_no_reader_of_a_referenced_table() {
    for method in [Method::Rewrite, Method::Attach] {
        let world = World::on(testkit::any_server()).await;
        world.sql(TABLE).await;
        world
            .sql("create table owners (id int primary key); alter table t add owner int references owners")
            .await;
        convert(&world.target, &request(method))
            .await
            .unwrap_or_else(|e| panic!("{method:?}: {}", shown(&e)));
        let reader = world.another_client().await;
        reader.batch_execute("begin; select count(*) from owners").await.unwrap();
        let options = ConversionOptions { max_lock: Duration::from_millis(400), tries: 2, ..patient() };
        let (to, quiet) = (table(), &mut |_| {});
        let back = conversion::revert_conversion(&world.target, &to, &options, quiet);
        let stopped = tokio::time::timeout(Duration::from_secs(60), back).await;
        let error = stopped.expect("it gives way").unwrap_err();
        assert!(error.to_string().contains("could not get a lock on public.owners"), "{}", shown(&error));
        assert!(error.detail().unwrap().contains("idle in transaction"), "{}", shown(&error));
        world.sql("set lock_timeout = '10s'; insert into owners values (1)").await;
        reader.batch_execute("commit").await.unwrap();
        revert(&world.target, &table()).await.unwrap_or_else(|e| panic!("{method:?}: {}", shown(&e)));
        assert_eq!(world.value("select count(*) from pg_class where relname ~ 'pgwright_new'").await, "0");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_trigger_that_refuses_is_told_before_and_stops_nothing_for_good() {
    let world = World::on(testkit::any_server()).await;
    world.sql(TABLE).await;
    world.sql("create table u (id bigint primary key, at timestamptz not null)").await;
    let other = ConversionRequest { table: QualifiedName::new("public", "u"), ..request(Method::Rewrite) };
    convert(&world.target, &other).await.unwrap();
    let dump = world.schema_dump().await;
    world
        .sql(
            "create function refuse() returns event_trigger language plpgsql as 'begin raise ''not today''; end'; \
             create event trigger guard on ddl_command_start when tag in ('ALTER TABLE', 'DROP TABLE') execute function refuse()",
        )
        .await;
    let plan = conversion::plan_conversion(&world.target, &request(Method::Rewrite)).await.unwrap();
    assert!(plan.notices.iter().any(|n| n.contains("guard")), "{:?}", plan.notices);
    let error = convert(&world.target, &request(Method::Rewrite)).await.unwrap_err();
    assert!(shown(&error).contains("Not today"), "{}", shown(&error));
    let error = revert(&world.target, &table()).await.unwrap_err();
    assert!(shown(&error).contains("Not today"), "{}", shown(&error));
    world.sql("drop event trigger guard; drop function refuse()").await;
    revert(&world.target, &table()).await.unwrap_or_else(|e| panic!("{}", shown(&e)));
    assert_eq!(world.schema_dump().await, dump);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attached_table_ends_with_names_like_those_of_its_siblings() {
    let world = World::on(testkit::any_server()).await;
    world.sql(TABLE).await;
    world
        .sql("create index t_o on t (o); create index by_day on t (at); create statistics pair on id, o from t; \
              create table taken (id int); create index t_history_o on taken (id)")
        .await;
    let before = rows(&world, &table()).await;
    convert(&world.target, &request(Method::Attach)).await.unwrap_or_else(|e| panic!("{}", shown(&e)));
    finish(&world.target, &table()).await.unwrap_or_else(|e| panic!("{}", shown(&e)));
    let names = "select string_agg(c.relname, ' ' order by c.relname) from pg_index i join pg_class c on c.oid = i.indexrelid \
         where i.indrelid = 't_history'::regclass";
    // A name that somebody else bears is left.
    assert_eq!(world.value(names).await, "t_history_by_day t_history_pkey t_o_unpartitioned");
    let key = "select conname from pg_constraint where conrelid = 't_history'::regclass and contype = 'p'";
    assert_eq!(world.value(key).await, "t_history_pkey");
    let statistics = "select stxname from pg_statistic_ext where stxrelid = 't_history'::regclass";
    assert_eq!(world.value(statistics).await, "pair_history");
    assert_eq!(rows(&world, &table()).await, before);
}

/// A load that gives all rows one moment, of which no statistics know yet, must not be looked up by the index on moments.
#[tokio::test(flavor = "multi_thread")]
async fn rows_of_one_moment_are_looked_up_by_their_key() {
    for server in testkit::servers() {
        for key in ["id, at", "at, id"] {
            looked_up(server, key).await;
        }
    }
}

async fn looked_up(server: &cluster::Server, key: &str) {
    const LOADED: i64 = 3000;
    let world = World::on(server).await;
    world
        .sql(&format!(
            "create table t (id bigint, at timestamptz not null, n int not null default 0, primary key ({key})); \
             create index moments on t (at); \
             insert into t (id, at) select g, timestamptz '2026-01-05' + g * interval '1 minute' from generate_series(1, 20000) g; \
             analyze t"
        ))
        .await;
    let url = world.url.clone();
    let mut loaded = false;
    let mut on_event = |event: ConversionEvent| {
        if event == (ConversionEvent::Began { step: Step::CatchUp }) {
            loaded = true;
            meanwhile(
                &url,
                &format!(
                    "insert into t (id, at) select g, '2026-01-09' from generate_series(100001, {}) g",
                    100_000 + LOADED
                ),
            );
        }
    };
    let request = request(Method::Rewrite);
    let done = conversion::convert(&world.target, &request, &patient(), &mut on_event).await;
    done.unwrap_or_else(|e| panic!("{}", shown(&e)));
    assert!(loaded);
    assert_eq!(world.value("select count(*) from t").await, (20_000 + LOADED).to_string());
    // Entries of indexes that were read, and pages of them: entries that do not fit are counted by their pages alone.
    // What a session has counted is there when it has ended.
    let sessions = "select count(*) from pg_stat_activity where datname = current_database() and application_name ~ '^pgwright'";
    while world.value(sessions).await != "0" {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for table in ["t", "t_unpartitioned"] {
        let of = format!(
            "(select relid from pg_partition_tree('{table}') where isleaf union select '{table}'::regclass)"
        );
        let read =
            format!("select coalesce(sum(idx_tup_read), 0) from pg_stat_user_indexes where relid in {of}");
        let read: i64 = world.value(&read).await.parse().unwrap();
        assert!(read < LOADED * LOADED / 10, "{table}, key ({key}), {}: {read} entries", world.major);
        let pages = format!(
            "select coalesce(sum(idx_blks_read + idx_blks_hit), 0) from pg_statio_user_tables where relid in {of}"
        );
        let pages: i64 = world.value(&pages).await.parse().unwrap();
        assert!(pages < LOADED * 40, "{table}, key ({key}), {}: {pages} pages", world.major);
    }
}

/// Writers that add as much in the time of each turn of carrying over as the turn takes off do not keep it from its end.
#[tokio::test(flavor = "multi_thread")]
async fn carrying_over_ends_where_writers_keep_up_with_it() {
    const ADDED: i64 = 150;
    const MANY_TURNS: i64 = 40;
    let world = World::on(testkit::any_server()).await;
    world.sql(TABLE).await;
    let before: i64 = world.value("select count(*) from t").await.parse().unwrap();
    let url = world.url.clone();
    let (mut step, mut turns) = (Step::NotNull, 0);
    let mut on_event = |event: ConversionEvent| {
        if let ConversionEvent::Began { step: began } = event {
            step = began;
        }
        let turn = event == (ConversionEvent::Began { step: Step::CatchUp })
            || matches!(event, ConversionEvent::Drained { .. });
        if turn && step == Step::CatchUp && turns < MANY_TURNS {
            turns += 1;
            let first = 1_000_000 + turns * ADDED;
            let last = first + ADDED - 1;
            meanwhile(
                &url,
                &format!("insert into t select g, '2026-02-02' from generate_series({first}, {last}) g"),
            );
        }
    };
    let done = conversion::convert(&world.target, &request(Method::Rewrite), &patient(), &mut on_event).await;
    done.unwrap_or_else(|e| panic!("{}", shown(&e)));
    assert!((3..MANY_TURNS).contains(&turns), "{turns} turns");
    // What the last turn left is carried over by the swap.
    assert_eq!(world.value("select relkind from pg_class where oid = 't'::regclass").await, "p");
    assert_eq!(world.value("select count(*) from t").await, (before + turns * ADDED).to_string());
}

/// What only newer servers have: what makes it, what it is called when it is refused; nothing when it is carried.
const NEWER: &[(u32, &str, Option<&str>)] = &[
    (18, "alter table t add constraint x check (id > 0) not enforced", None),
    (
        18,
        "alter table t alter o set not null; alter table t rename constraint t_o_not_null to x; comment on constraint x on t is 'c'",
        None,
    ),
    (18, "alter table t add x text generated always as (o || 'y') virtual", None),
    (
        18,
        "alter table t add unique (id, at); create table r (id bigint, at timestamptz, constraint x foreign key (id, at) \
          references t (id, at)) partition by range (id); create table r1 partition of r for values from (0) to (9); \
          insert into r select id, at from t where id < 9",
        None,
    ),
    (
        18,
        "create table o (id int4range, during tstzrange, primary key (id, during without overlaps)); \
          alter table t add o_id int4range, add during tstzrange, add foreign key (o_id, period during) references o",
        None,
    ),
    (18, "alter table t add constraint x not null o not valid", Some("The NOT NULL constraint is NOT VALID")),
    (
        18,
        "create table o (id bigint primary key); alter table t add constraint x foreign key (id) references o not enforced",
        Some("The constraint is NOT ENFORCED"),
    ),
    (
        18,
        "alter table t add r int4range, add during tstzrange, add constraint x unique (r, during without overlaps)",
        Some("A temporal key (WITHOUT OVERLAPS)"),
    ),
    (
        13,
        "create view x as select id, at, o from t group by id",
        Some("It groups by the columns of t_pkey alone"),
    ),
    (
        14,
        "create function x() returns bigint language sql begin atomic select count(*) from t; end",
        Some("It is tied by OID"),
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn what_newer_servers_know_is_carried_or_refused_at_the_beginning() {
    for server in testkit::servers() {
        for (since, sql, refused) in NEWER.iter().filter(|(since, ..)| *since <= server.binaries().major) {
            for method in [Method::Rewrite, Method::Attach] {
                let world = World::on(server).await;
                let at = format!("{since}, {method:?} on {}: {sql}", world.major);
                world.sql(TABLE).await;
                world.sql("create schema pgwright").await;
                world.sql(sql).await;
                let dump = world.schema_dump().await;
                let held = rows(&world, &table()).await;
                let plan = conversion::plan_conversion(&world.target, &request(method)).await;
                let plan = plan.unwrap_or_else(|e| panic!("{at}: {}", shown(&e)));
                let reasons: Vec<String> = plan
                    .refusals()
                    .filter_map(|r| match &r.fate {
                        Fate::Refused { reason, .. } => Some(reason.clone()),
                        _ => None,
                    })
                    .collect();
                match refused {
                    Some(says) => {
                        assert!(
                            matches!(reasons.as_slice(), [one] if one.contains(says)),
                            "{at}: {reasons:?}"
                        );
                        let error = convert(&world.target, &request(method)).await.unwrap_err();
                        assert!(error.is_refusal(), "{at}: {}", shown(&error));
                    }
                    None => {
                        assert_eq!(reasons, [""; 0], "{at}");
                        let there = convert(&world.target, &request(method)).await;
                        there.unwrap_or_else(|e| panic!("{at}: {}", shown(&e)));
                        assert_eq!(rows(&world, &table()).await, held, "{at}");
                        let back = revert(&world.target, &table()).await;
                        back.unwrap_or_else(|e| panic!("{at}: {}", shown(&e)));
                    }
                }
                assert_eq!(rows(&world, &table()).await, held, "{at}");
                assert_eq!(world.schema_dump().await, dump, "{at}");
            }
        }
    }
}
