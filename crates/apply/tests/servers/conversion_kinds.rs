//! Is a table divided by the values that it has, or by hashes, as well as by ranges?

use apply::partition_conversion::{self as conversion, ConversionRequest, DividedBy, Method, Step};
use model::QualifiedName;

use crate::conversion::{convert, finish, monthly, revert, rows};
use crate::world::{World, shown};

const ORDERS: &str = r#"
    create schema "S x";
    create type "S x".size as enum ('small', 'BIG', 'it''s');
    create table "S x"."a""b.c" (
        id bigint generated always as identity primary key,
        "Sta""tus" text,
        size "S x".size not null default 'small',
        paid boolean not null default false,
        price numeric(10, 2));
    insert into "S x"."a""b.c" ("Sta""tus", size, paid, price)
        select (array['new', 'it''s paid', E'back\\slash', ''])[1 + g % 4], (enum_range(null::"S x".size))[1 + g % 3], g % 2 = 0, g % 7
        from generate_series(1, 3000) g;
    create index on "S x"."a""b.c" ("Sta""tus");
    create index on "S x"."a""b.c" (price) where paid;
"#;

fn orders() -> QualifiedName {
    QualifiedName::new("S x", "a\"b.c")
}

fn request(column: &str, by: DividedBy) -> ConversionRequest {
    ConversionRequest {
        column: column.into(),
        by,
        method: None,
        weaken_unique: true,
        ..monthly(orders(), Method::Rewrite)
    }
}

/// The bounds of the partitions with how many rows each has.
async fn partitions(world: &World, table: &QualifiedName) -> String {
    world
        .sql(
            "create or replace function pg_temp.rows_of(t regclass) returns bigint language plpgsql as \
             'declare n bigint; begin execute format(''select count(*) from %s'', t) into n; return n; end'",
        )
        .await;
    world
        .value(&format!(
            "select string_agg(relname || ' ' || pg_get_expr(relpartbound, c.oid) || ': ' || pg_temp.rows_of(c.oid), E'\n' \
             order by relname) from pg_inherits i join pg_class c on c.oid = i.inhrelid where i.inhparent = '{table}'::regclass"
        ))
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn by_the_values_that_are_there_or_by_hashes_and_back() {
    for server in testkit::servers() {
        for (column, by) in [
            ("Sta\"tus", DividedBy::List),
            ("size", DividedBy::List),
            ("paid", DividedBy::List),
            ("price", DividedBy::List),
            ("id", DividedBy::Hash(3)),
            ("price", DividedBy::Hash(4)),
        ] {
            let world = World::on(server).await;
            world.sql(ORDERS).await;
            let at = format!("{column} {by:?} on {}", world.major);
            let failed = |e: apply::Error| panic!("{at}: {}", shown(&e));
            if column == "price" {
                world.sql(r#"update "S x"."a""b.c" set price = 1 where id % 7 = 0"#).await;
            }
            let (before, dump) = (rows(&world, &orders()).await, world.schema_dump().await);
            let asked = request(column, by.clone());
            let done = convert(&world.target, &asked).await.unwrap_or_else(failed);
            assert_eq!(done.step, Step::Swapped);
            assert_eq!(rows(&world, &orders()).await, before, "{at}");
            let found = partitions(&world, &orders()).await;
            match (column, &by) {
                ("Sta\"tus", _) => {
                    assert_eq!(found.lines().count(), 5, "{at}: {found}");
                    assert!(found.contains("FOR VALUES IN ('it''s paid'): 750"), "{at}: {found}");
                    assert!(found.contains("a\"b.c_default DEFAULT: 0"), "{at}: {found}");
                }
                ("size", _) => {
                    assert!(found.contains("a\"b.c_big FOR VALUES IN ('BIG'): 1000"), "{at}: {found}");
                }
                (_, DividedBy::Hash(n)) => {
                    assert_eq!(found.lines().count(), usize::try_from(*n).unwrap(), "{at}: {found}");
                    assert!(!found.contains("DEFAULT"), "{at}: {found}");
                }
                _ => assert!(found.lines().count() > 2, "{at}: {found}"),
            }
            // Rows that move, of values that are in no list too.
            world
                .sql(
                    r#"update "S x"."a""b.c" set "Sta""tus" = 'never seen', size = 'BIG', paid = not paid, price = -1 where id % 10 = 0;
                       delete from "S x"."a""b.c" where id % 10 = 1;
                       insert into "S x"."a""b.c" ("Sta""tus", price) values ('new', 2), ('other', 3)"#,
                )
                .await;
            let after = rows(&world, &orders()).await;
            revert(&world.target, &orders()).await.unwrap_or_else(failed);
            assert_eq!(rows(&world, &orders()).await, after, "{at}");
            assert_eq!(world.schema_dump().await, dump, "{at}");
            convert(&world.target, &asked).await.unwrap_or_else(failed);
            finish(&world.target, &orders()).await.unwrap_or_else(failed);
            assert_eq!(rows(&world, &orders()).await, after, "{at}");
        }
    }
}

/// A primary key cannot hold a null, a unique key can; a list gives nulls a partition, hashes take them like any value.
#[tokio::test(flavor = "multi_thread")]
async fn rows_without_a_value_have_a_partition_where_no_primary_key_forbids_it() {
    for server in testkit::servers() {
        for by in [DividedBy::List, DividedBy::Hash(3)] {
            let world = World::on(server).await;
            let at = format!("{by:?} on {}", world.major);
            let failed = |e: apply::Error| panic!("{at}: {}", shown(&e));
            world
                .sql(
                    "create table t (id int not null, kind text); create unique index on t (id); \
                     insert into t select g, (array['a', 'b', null])[1 + g % 3] from generate_series(1, 900) g",
                )
                .await;
            let table = QualifiedName::new("public", "t");
            let asked = ConversionRequest { table: table.clone(), ..request("kind", by.clone()) };
            let dump = world.schema_dump().await;
            convert(&world.target, &asked).await.unwrap_or_else(failed);
            if by == DividedBy::List {
                let found = partitions(&world, &table).await;
                assert!(found.contains("t_null FOR VALUES IN (NULL): 300"), "{at}: {found}");
            }
            world
                .sql(
                    "update t set kind = null where id % 6 = 1; update t set kind = 'b' where id % 6 = 2; \
                     delete from t where id % 6 = 5; insert into t values (901, null), (902, 'c')",
                )
                .await;
            let after = rows(&world, &table).await;
            revert(&world.target, &table).await.unwrap_or_else(failed);
            assert_eq!(rows(&world, &table).await, after, "{at}");
            assert_eq!(world.schema_dump().await, dump, "{at}");
            // Of a primary key the column becomes a part.
            world.sql("alter table t add primary key (id)").await;
            let error = convert(&world.target, &asked).await.unwrap_err();
            assert!(error.to_string().contains("holds nulls"), "{at}: {}", shown(&error));
            world.sql("update t set kind = 'none' where kind is null").await;
            let plan = conversion::plan_conversion(&world.target, &asked).await.unwrap();
            assert!(plan.notices.iter().any(|n| n.contains("becomes NOT NULL")), "{at}: {:?}", plan.notices);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_a_list_or_hashes_is_told_at_the_beginning() {
    let world = World::on(testkit::any_server()).await;
    world
        .sql(
            "create table t (id int primary key, kind text, doc json, cost money, made int generated always as (id) stored); \
             insert into t select g, 'k' || g, '{}', 1 from generate_series(1, 300) g; \
             create table empty (id int primary key, kind text)",
        )
        .await;
    let dump = world.schema_dump().await;
    let asked = |table: &str, column: &str, by: DividedBy| ConversionRequest {
        table: QualifiedName::new("public", table),
        ..request(column, by)
    };
    for (asked, says, instead) in [
        (asked("t", "kind", DividedBy::List), "has too many values for a list", "hash(kind, 16)"),
        (
            asked("empty", "kind", DividedBy::List),
            "has no values that could become partitions",
            "Load the rows",
        ),
        (
            asked("t", "doc", DividedBy::List),
            "column doc cannot divide public.t by its values",
            "built-in type",
        ),
        (asked("t", "cost", DividedBy::Hash(4)), "column cost cannot divide public.t by hash", ""),
        (asked("t", "made", DividedBy::Hash(4)), "column made is generated", ""),
        (asked("t", "id", DividedBy::Hash(1)), "into 1 partitions by hash", "from 2 to 2000"),
        (
            ConversionRequest { method: Some(Method::Attach), ..asked("t", "id", DividedBy::Hash(4)) },
            "cannot become one partition",
            "Leave --method out",
        ),
        (
            ConversionRequest { from: Some("1".into()), ..asked("t", "id", DividedBy::Hash(4)) },
            "has no first partition",
            "Leave --from out",
        ),
    ] {
        let error = conversion::plan_conversion(&world.target, &asked).await.unwrap_err();
        assert!(error.is_refusal(), "{}", shown(&error));
        assert!(error.to_string().contains(says), "{says}: {}", shown(&error));
        assert!(shown(&error).contains(instead), "{says}: {}", shown(&error));
    }
    assert_eq!(world.schema_dump().await, dump);
}

/// The index t_b_idx on the partition t_a and t_idx on t_a_b would bear one name.
#[tokio::test(flavor = "multi_thread")]
async fn values_that_would_make_one_name_of_two_become_numbers() {
    let world = World::on(testkit::any_server()).await;
    world
        .sql(
            "create table t (id int primary key, kind text not null, b int); create index t_b_idx on t (b); \
             create index t_idx on t (kind, b); \
             insert into t select g, (array['a', 'a_b'])[1 + g % 2], g from generate_series(1, 50) g",
        )
        .await;
    let table = QualifiedName::new("public", "t");
    let asked = ConversionRequest { table: table.clone(), ..request("kind", DividedBy::List) };
    convert(&world.target, &asked).await.unwrap_or_else(|e| panic!("{}", shown(&e)));
    let found = partitions(&world, &table).await;
    assert!(found.starts_with("t_1 FOR VALUES IN ('a'): 25\nt_2 FOR VALUES IN ('a_b'): 25"), "{found}");
}
