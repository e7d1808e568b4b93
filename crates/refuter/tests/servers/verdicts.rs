//! What is the verdict on single pairs of statements?

use refuter::{Difference, Error, Options, Refuter, Side, Verdict, Witness, ddl_snapshot};

use crate::world::{start, start_on};

const SCHEMA: &str = "
CREATE TABLE public.customers (id integer NOT NULL PRIMARY KEY, name text, country text);
CREATE TABLE public.orders (id integer NOT NULL PRIMARY KEY, customer_id integer REFERENCES public.customers (id),
    total numeric(10,2) NOT NULL CHECK (total >= 0), placed_at timestamp with time zone NOT NULL);
CREATE TABLE public.\"a\"\"b.c\" (\"x\"\"y\" integer, z text);
CREATE TABLE public.coins (x double precision, y numeric);
CREATE VIEW public.named AS SELECT id, name FROM public.customers WHERE name IS NOT NULL;
";

async fn refuted(refuter: &mut Refuter, before: &str, after: &str) -> Witness {
    match refuter.compare(before, after).await.unwrap() {
        Verdict::Refuted(witness) => *witness,
        other => panic!("{before}\n{after}\n{other:?}"),
    }
}

async fn reason(refuter: &mut Refuter, before: &str, after: &str) -> String {
    match refuter.compare(before, after).await.unwrap() {
        Verdict::NotComparable { reason } => reason,
        other => panic!("{before}\n{after}\n{other:?}"),
    }
}

#[tokio::test]
async fn verdicts_on_single_pairs() {
    let mut refuter = start(SCHEMA).await;

    // A NULL breaks NOT IN; the witness is as small as it can be.
    let not_in = "select name from customers where id not in (select customer_id from orders)";
    let not_exists =
        "select name from customers c where not exists (select 1 from orders o where o.customer_id = c.id)";
    let witness = refuted(&mut refuter, not_in, not_exists).await;
    assert_eq!(
        witness.inserts,
        [
            "INSERT INTO public.customers (id, name) VALUES (1, 'a');",
            "INSERT INTO public.orders (id, customer_id, total, placed_at) VALUES (1, NULL, 1, '2024-01-15 00:00:00+00');"
        ]
    );
    assert_eq!(witness.explanation, "The first statement gives 0 rows, the second 1 row.");
    assert_eq!(witness.after.rows, [[Some("a".to_owned())]]);
    assert_eq!(witness, refuted(&mut refuter, not_in, not_exists).await, "the same seed finds the same");

    // The same statement in other words.
    let within = "select name from customers where id in (select customer_id from orders)";
    let exists =
        "select name from customers c where exists (select 1 from orders o where o.customer_id = c.id)";
    let verdict = refuter.compare(within, exists).await.unwrap();
    let Verdict::Tested { databases: 400, with_rows, .. } = verdict else { panic!("{verdict:?}") };
    assert!(with_rows > 100, "{with_rows}");

    // Columns.
    let witness = refuted(&mut refuter, "select id from orders", "select id as order_id from orders").await;
    assert_eq!(witness.difference, Difference::Columns);
    let witness = refuted(&mut refuter, "select sum(id) from orders", "select sum(total) from orders").await;
    assert!(witness.explanation.contains("of type bigint"), "{}", witness.explanation);

    // Order.
    let witness = refuted(
        &mut refuter,
        "select id, total from orders order by total desc",
        "select id, total from orders order by id",
    )
    .await;
    assert_eq!(witness.difference, Difference::Order);
    let verdict = refuter
        .compare("select id from orders order by total", "select id from orders order by total, id desc")
        .await
        .unwrap();
    assert!(matches!(verdict, Verdict::Tested { .. }), "{verdict:?}");

    // Numbers that are equal and written differently, where the first statement says how.
    let unscaled = "select o.id, o.total::numeric * 10 / x.n as p from orders o cross join (select 10 as n) x where o.total = 2";
    let witness =
        refuted(&mut refuter, unscaled, "select id, 2::numeric as p from orders where total = 2").await;
    assert_eq!(witness.difference, Difference::Text, "{witness:?}");
    assert_eq!(witness.inserts.len(), 1, "{witness:?}");
    let witness = refuted(
        &mut refuter,
        "select c.x, c.y from coins c where c.x = 0",
        "select c.x, c.x::numeric as y from coins c where c.x = 0 and c.y = 0 \
         union all select c.x, c.y from coins c where c.x = 0 and c.y is distinct from 0",
    )
    .await;
    assert_eq!(witness.difference, Difference::Text, "{witness:?}");
    for (before, after) in [
        // Which of several equal ones is shown, none of these says; branches of UNION come in either order.
        ("select distinct y from coins", "select y from coins group by y"),
        (
            "select max(y) from coins",
            "select (select y from coins where y is not null order by y desc limit 1) as max",
        ),
        (
            "select y from coins union select total from orders",
            "select total as y from orders union select y from coins",
        ),
        // The last digits of sums depend on their order.
        (
            "select sum(x) from coins",
            "select sum(s) as sum from (select sum(x) as s from coins group by y) z",
        ),
    ] {
        let verdict = refuter.compare(before, after).await.unwrap();
        assert!(matches!(verdict, Verdict::Tested { .. }), "{before}\n{verdict:?}");
    }

    // An error where there was none.
    let witness = refuted(
        &mut refuter,
        "select id from orders where total > 0 and 10 / total > 1",
        "select id from orders where 10 / total > 1",
    )
    .await;
    assert_eq!(witness.difference, Difference::Error);
    assert_eq!(witness.after.error.as_deref(), Some("division by zero (SQLSTATE 22012)"));

    // The session's time zone.
    let witness = refuted(
        &mut refuter,
        "select id from orders where placed_at::date = '2024-05-01'",
        "select id from orders where placed_at >= '2024-05-01 00:00+00' and placed_at < '2024-05-02 00:00+00'",
    )
    .await;
    assert_eq!(witness.settings.len(), 1, "{witness:?}");
    let in_utc = Options { pinned: [("TimeZone".to_owned(), "UTC".to_owned())].into(), ..Options::default() };

    // Parameters, views, hostile names.
    let witness = refuted(
        &mut refuter,
        "select id from orders where total >= $1 and customer_id = $2",
        "select id from orders where total > $1 and customer_id = $2",
    )
    .await;
    assert_eq!(witness.parameters.len(), 2);
    refuted(&mut refuter, "select count(*) from named", "select count(*) from customers").await;
    let witness = refuted(
        &mut refuter,
        "select z from \"a\"\"b.c\" where \"x\"\"y\" = 5",
        "select z from \"a\"\"b.c\" where \"x\"\"y\" >= 5",
    )
    .await;
    assert!(witness.inserts[0].starts_with("INSERT INTO public.\"a\"\"b.c\" (\"x\"\"y\""), "{witness:?}");

    // With the time zone pinned, the half-open range is right.
    refuter.set_options(in_utc).await.unwrap();
    let verdict = refuter
        .compare(
            "select id from orders where placed_at::date = '2024-05-01'",
            "select id from orders where placed_at >= '2024-05-01' and placed_at < '2024-05-02'",
        )
        .await
        .unwrap();
    assert!(matches!(verdict, Verdict::Tested { .. }), "{verdict:?}");
}

#[tokio::test]
async fn what_cannot_be_compared_is_told_with_its_reason() {
    let mut refuter = start(SCHEMA).await;
    let same = "select id from customers";
    let last = "select id from (select id from customers order by id desc) c limit 1";
    let why = reason(&mut refuter, "select id from customers limit 1", last).await;
    assert!(why.contains("is not determined"), "{why}");
    let why = reason(&mut refuter, "select id from customers where random() < 0.5", same).await;
    assert!(why.contains("volatile function random()"), "{why}");
    let why = reason(&mut refuter, "delete from customers returning id", same).await;
    assert!(why.contains("deletes rows"), "{why}");
    let why = reason(&mut refuter, "select oid::int as id from pg_class", same).await;
    assert!(why.contains("pg_catalog.pg_class"), "{why}");
    let why = reason(&mut refuter, same, "select id from customers where id = $1").await;
    assert!(why.contains("parameter $1"), "{why}");
    let why = reason(&mut refuter, "select 1 / 0", "select 2 / 0").await;
    assert!(why.contains("fail on every database: division by zero"), "{why}");

    let error = refuter.compare(same, "select id from nobody").await.unwrap_err();
    let Error::Statement { side, sqlstate, position, .. } = &error else { panic!("{error:?}") };
    assert_eq!((*side, sqlstate.as_str(), *position), (Side::After, "42P01", Some(16)));
    assert!(matches!(refuter.compare("select id frm", "select").await, Err(Error::Statement { .. })));
    assert!(matches!(refuter.compare("select 1; select 2", same).await, Err(Error::Text { .. })));

    // A statement that the schema cannot have is told, and the others are there.
    let binaries = testkit::versions().into_iter().next().unwrap();
    let ddl = "CREATE TABLE a (x int); CREATE TABLE b (y missing_type); COPY a FROM '/etc/passwd';";
    let broken = Refuter::start(&ddl_snapshot(ddl, &binaries), &binaries, Options::default()).await.unwrap();
    let notes = broken.notes().join("\n");
    assert!(notes.contains("missing_type") && notes.contains("does not run \"COPY"), "{notes}");
}

/// What every constraint of a schema can get in the way of: a circle of foreign keys, deferred ones, exclusion,
/// inheritance, a materialized view, sub-partitions with a default, checks over several columns, a key over an
/// expression, composite keys that share a column.
const CONSTRAINED: &str = "
CREATE TABLE public.parent (a integer NOT NULL, b integer NOT NULL, name text, PRIMARY KEY (a, b));
CREATE TABLE public.child (id integer PRIMARY KEY, a integer NOT NULL, b integer, c integer,
    CHECK (c IS NULL OR c > a), FOREIGN KEY (a, b) REFERENCES public.parent (a, b));
CREATE UNIQUE INDEX child_key ON public.child (lower(id::text), coalesce(b, 0));
CREATE TABLE public.hen (id integer PRIMARY KEY, egg integer);
CREATE TABLE public.egg (id integer PRIMARY KEY, hen integer NOT NULL REFERENCES public.hen (id));
ALTER TABLE public.hen ADD FOREIGN KEY (egg) REFERENCES public.egg (id) DEFERRABLE INITIALLY DEFERRED;
CREATE TABLE public.slot (room integer, during int4range, EXCLUDE USING gist (during WITH &&));
CREATE TABLE public.animal (id integer, legs integer CHECK (legs % 2 = 0));
CREATE TABLE public.dog (breed text) INHERITS (public.animal);
CREATE MATERIALIZED VIEW public.breeds AS SELECT breed, count(*) AS n FROM public.dog GROUP BY breed;
CREATE TABLE public.log (region text NOT NULL, day date NOT NULL, n integer UNIQUE DEFERRABLE)
    WITH (autovacuum_enabled = off);
CREATE TABLE public.part (region text NOT NULL, day date NOT NULL, n integer) PARTITION BY LIST (region);
CREATE TABLE public.part_eu PARTITION OF public.part FOR VALUES IN ('eu', 'uk') PARTITION BY RANGE (day);
CREATE TABLE public.part_eu_1 PARTITION OF public.part_eu FOR VALUES FROM ('2024-01-01') TO ('2024-02-01');
CREATE TABLE public.part_rest PARTITION OF public.part DEFAULT;
CREATE FUNCTION public.half(integer) RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT $1 / 2';
";

#[tokio::test]
async fn databases_respect_the_schema_on_every_version() {
    for binaries in testkit::versions() {
        let mut refuter = start_on(&binaries, CONSTRAINED).await;
        refuter.set_options(Options { databases: 120, ..Options::default() }).await.unwrap();
        // What the constraints guarantee is never refuted, and the tables are not just empty.
        for (before, after) in [
            ("select id from child where c <= a", "select id from child where false"),
            (
                "select c.id from child c where b is not null",
                "select c.id from child c join parent p on p.a = c.a and p.b = c.b",
            ),
            ("select e.id from egg e", "select e.id from egg e join hen h on h.id = e.hen"),
            (
                "select count(*) from slot a join slot b on a.during && b.during",
                "select count(*) from slot a where not isempty(during)",
            ),
            ("select id from animal where legs % 2 = 0", "select id from animal where legs is not null"),
            ("select coalesce(sum(n), 0) as n from breeds", "select count(*)::numeric as n from dog"),
            (
                "select n, count(*) as c from log where n is not null group by n",
                "select n, 1::bigint as c from log where n is not null",
            ),
            ("select n from part where region in ('eu', 'uk')", "select n from part_eu_1"),
            (
                "select half(n) as h from part_rest",
                "select half(n) as h from part where region not in ('eu', 'uk')",
            ),
        ] {
            let verdict = refuter.compare(before, after).await.unwrap_or_else(|e| panic!("{before}: {e}"));
            let Verdict::Tested { with_rows, .. } = verdict else {
                panic!("{} {before}\n{after}\n{verdict:#?}", binaries.version)
            };
            assert!(with_rows > 10 || after.contains("false"), "{}: {before}: {with_rows}", binaries.version);
        }
        // And what they do not guarantee is.
        for (before, after) in [
            ("select id from child", "select c.id from child c join parent p on p.a = c.a and p.b = c.b"),
            ("select h.id from hen h", "select h.id from hen h join egg e on e.id = h.egg"),
            ("select id from animal", "select id from only animal"),
            ("select count(*) from breeds", "select count(*) from dog"),
            ("select n from part", "select n from part_eu"),
        ] {
            refuted(&mut refuter, before, after).await;
        }
    }
}

#[tokio::test]
async fn circles_of_foreign_keys_are_filled() {
    let mut refuter = start(
        "CREATE TABLE team (id integer PRIMARY KEY, captain integer NOT NULL UNIQUE, deputy integer);
         CREATE TABLE player (id integer PRIMARY KEY, team_id integer NOT NULL REFERENCES team);
         ALTER TABLE team ADD CONSTRAINT captain_key FOREIGN KEY (captain) REFERENCES player (id);
         ALTER TABLE team ADD FOREIGN KEY (deputy) REFERENCES player (id);",
    )
    .await;
    let witness = refuted(
        &mut refuter,
        "select t.id from team t",
        "select t.id from team t join player p on p.id = t.captain and p.team_id = t.id",
    )
    .await;
    // Keys are looked up when a statement ends, so one statement it is.
    let [insert] = witness.inserts.as_slice() else { panic!("{witness:?}") };
    let client = testkit::connect(&refuter.url()).await;
    client.batch_execute("BEGIN").await.unwrap();
    client.batch_execute(insert).await.unwrap();
    assert_eq!(client.query("SELECT FROM public.team", &[]).await.unwrap().len(), witness.before.rows.len());
    client.batch_execute("ROLLBACK").await.unwrap();

    let within = "select p.id from player p where exists (select 1 from team t where t.captain = p.id)";
    let joined = "select p.id from player p join team t on t.captain = p.id";
    let verdict = refuter.compare(within, joined).await.unwrap();
    let Verdict::Tested { with_rows, .. } = verdict else { panic!("{verdict:?}") };
    assert!(with_rows > 100, "{with_rows}");
}

#[tokio::test]
async fn what_no_constraint_forbids_is_tried() {
    let mut refuter = start(
        "CREATE TABLE place (region integer, spot integer, PRIMARY KEY (region, spot));
         CREATE TABLE visit (id integer PRIMARY KEY, region integer, spot integer, amount numeric, level integer);
         ALTER TABLE visit ADD FOREIGN KEY (region, spot) REFERENCES place (region, spot);
         CREATE TABLE visitor (id integer PRIMARY KEY);
         ALTER TABLE visit ADD CONSTRAINT later FOREIGN KEY (id) REFERENCES visitor (id) NOT VALID;
         ALTER TABLE visit ADD CONSTRAINT \"as \"\"well\" CHECK (level > 0) NOT VALID;
         CREATE TABLE whole (id integer PRIMARY KEY, region integer, spot integer,
             FOREIGN KEY (region, spot) REFERENCES place (region, spot) MATCH FULL);",
    )
    .await;
    for (before, after) in [
        // One column of a key that is NULL frees the other one.
        (
            "select v.id from visit v join place p on p.region = v.region and p.spot = v.spot",
            "select id from visit where region is not null",
        ),
        // Rows that were there before a constraint that was not validated.
        ("select v.id from visit v", "select v.id from visit v join visitor r on r.id = v.id"),
        ("select id from visit where level is not null", "select id from visit where level > 0"),
        // Between 0 and -1.
        (
            "select id from visit where trunc(amount) = 0",
            "select id from visit where amount >= 0 and amount < 1",
        ),
    ] {
        refuted(&mut refuter, before, after).await;
    }
    let verdict = refuter
        .compare(
            "select w.id from whole w join place p on p.region = w.region and p.spot = w.spot",
            "select id from whole where region is not null",
        )
        .await
        .unwrap();
    assert!(matches!(verdict, Verdict::Tested { with_rows: 100.., .. }), "{verdict:?}");
}
