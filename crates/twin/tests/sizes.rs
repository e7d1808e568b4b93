//! Does a candidate weigh what the built index does? Asked of every access method, of types of every width,
//! and of values that repeat, lean to one side, are missing, or hang together. On the oldest and the newest
//! version of this machine.
//!
//! `cargo nextest run -p pgwright-twin --test sizes --no-capture` prints each index and the table of the README.

#![allow(clippy::unwrap_used)] // A test says what it expects by unwrapping.

use std::collections::BTreeMap;
use std::time::Duration;

use model::QualifiedName;
use model::change::{IndexDefinition, IndexKey, KeyTarget};
use model::cost_model::{CostModel, Registered};
use postgres::{Environment, SessionOptions, SnapshotOptions, Target};
use twin::{Twin, TwinOptions};

const ROWS: usize = 200_000;
/// As many as ANALYZE looks at, so that what it finds is always the same.
const DOCUMENTS: usize = 30_000;

const SCHEMA: &str = "
CREATE EXTENSION pg_trgm WITH SCHEMA public;
CREATE EXTENSION bloom WITH SCHEMA public;
CREATE EXTENSION btree_gin WITH SCHEMA public;
CREATE EXTENSION citext WITH SCHEMA public;
CREATE TYPE public.mood AS ENUM ('sad', 'ok', 'happy', 'angry');
CREATE COLLATION public.loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TABLE public.scalars (
    id int, big bigint, small smallint, flag boolean, rare boolean, real4 real, real8 double precision,
    price numeric(12, 2), wide numeric, fixed char(12), label text, skewed int, zipf bigint, maybe int,
    mostly_null text, at timestamptz, day date, hour time, span interval, token uuid, mood mood, mail citext,
    address inet, hardware macaddr, digest bytea, spoken text COLLATE public.loose, random_order int, parent int
);
CREATE TABLE public.documents (
    id int, long text, words text, terms tsvector, numbers int[], tags text[], document jsonb, keyed jsonb,
    span tstzrange, whole int4range, place point, area box, link text, title varchar(80)
);";

/// Without these, columns that hang together are taken for independent, and an index on both for up to twice
/// as large as it is.
const STATISTICS: &str = "
CREATE STATISTICS public.parts_and_suppliers (ndistinct) ON l_partkey, l_suppkey FROM public.lineitem;";

const WORDS: &str = "the,a,of,index,table,plan,query,row,page,cost,scan,join,hash,sort,merge,filter,cache,buffer,\
    write,read,lock,commit,abort,replica,primary,vacuum,analyze,statistic,histogram,correlation,selectivity,\
    operator,function,trigger,schema,column,constraint,sequence,partition,cluster,server,client,session,timeout";

fn data() -> String {
    format!(
        "SELECT setseed(0.7);
         INSERT INTO scalars SELECT i, 1000000007 * i::bigint % 1000003, 30000 * random() ^ 4, random() < 0.3, random() < 0.01,
             random(), random() * 1e6, round((random() * 5000)::numeric, 2), (random() * 1e9)::numeric,
             'code ' || i % 700, 'label ' || floor(300 * random() ^ 2), floor(50000 * random() ^ 3),
             floor(1 / (random() + 0.00002)), CASE WHEN random() < 0.6 THEN i % 5000 END,
             CASE WHEN random() < 0.03 THEN 'note ' || i END,
             timestamptz '2026-01-01 00:00Z' + i * interval '20 seconds', '2020-01-01'::date + i / 100,
             '00:00'::time + (i % 1440) * interval '1 minute', (i % 3000) * interval '1 second', gen_random_uuid(),
             (ARRAY['sad', 'ok', 'happy', 'angry'])[1 + floor(4 * random() ^ 2)::int]::mood,
             'User' || i % 40000 || '@Example.com',
             ('10.' || floor(4 * random()) || '.' || floor(256 * random()) || '.' || floor(256 * random()))::inet,
             ('08:00:2b:' || lpad(to_hex(i / 65536), 2, '0') || ':' || lpad(to_hex(i / 256 % 256), 2, '0') || ':' || lpad(to_hex(i % 256), 2, '0'))::macaddr,
             decode(md5((i / 2)::text), 'hex'), 'word ' || i % 2000, (i::bigint * 7919) % {ROWS}, 1 + i / 4
         FROM generate_series(1, {ROWS}) AS i;
         INSERT INTO documents SELECT i,
             'https://example.com/a/rather/long/path/' || md5(floor(20000 * random())::text) || repeat('x', (30 * random())::int),
             w.words, to_tsvector('english', w.words),
             ARRAY[floor(2000 * random() ^ 2)::int, floor(2000 * random())::int, floor(2000 * random())::int],
             ARRAY['t' || floor(300 * random() ^ 2), 't' || floor(300 * random())],
             jsonb_build_object('user', floor(20000 * random()), 'kind', 'k' || floor(10 * random() ^ 2),
                 'nested', jsonb_build_object('page', floor(400 * random()), 'flags', jsonb_build_array('x', 'y'))),
             jsonb_build_object('loss', round(random()::numeric, 6), 'f1', round(random()::numeric, 3), 'id', md5(i::text)),
             tstzrange(now() - i * interval '1 minute', now() - i * interval '1 minute' + random() * interval '2 hours'),
             int4range(i % 1000, i % 1000 + 1 + (20 * random())::int),
             point(random() * 100, random() * 100), box(point(i % 300, i % 700), point(i % 300 + 2, i % 700 + 3)),
             'https://example.com/' || (i / 3), 'Title ' || left(md5((i % 9000)::text), 4 + i % 25)
         FROM generate_series(1, {DOCUMENTS}) AS i
         CROSS JOIN LATERAL (
             SELECT string_agg((string_to_array('{WORDS}', ','))[1 + floor(44 * random() ^ 2)::int + (i - i) * n]
                 || floor(100 * random() ^ 4), ' ') AS words
             FROM generate_series(1, 6 + i % 5) AS n
         ) AS w;
         VACUUM ANALYZE"
    )
}

/// `column`, `column DESC`, `column opclass` or `(expression)`; of a table, by an access method.
fn index(method: &str, table: &str, keys: &[&str]) -> IndexDefinition {
    let key = |text: &&str| match text.strip_prefix('(').and_then(|t| t.strip_suffix(')')) {
        Some(expression) => {
            IndexKey { target: KeyTarget::Expression(expression.into()), ..IndexKey::column("") }
        }
        None => match text.split_once(' ') {
            Some((column, "DESC")) => IndexKey::column(column).descending(),
            Some((column, class)) => {
                let schema = if class.contains("trgm") { "public" } else { "pg_catalog" };
                IndexKey { opclass: Some(QualifiedName::new(schema, class)), ..IndexKey::column(column) }
            }
            None => IndexKey::column(*text),
        },
    };
    let name = format!("{method} {table}({})", keys.join(", "));
    IndexDefinition {
        access_method: method.into(),
        ..IndexDefinition::btree(
            QualifiedName::new("public", table),
            name.chars().take(60).collect::<String>(),
            keys.iter().map(key).collect(),
        )
    }
}

fn with(index: IndexDefinition, name: &str, value: &str) -> IndexDefinition {
    let with = vec![(name.to_owned(), value.to_owned())];
    IndexDefinition { with, name: format!("{} {value}", index.name), ..index }
}

fn covering(index: IndexDefinition, include: &[&str]) -> IndexDefinition {
    let name = format!("{} + {}", index.name, include.join(", "));
    IndexDefinition { include: include.iter().map(|c| (*c).to_owned()).collect(), name, ..index }
}

fn partial(index: IndexDefinition, predicate: &str) -> IndexDefinition {
    let name = format!("{} if {predicate}", index.name).chars().take(63).collect();
    IndexDefinition { predicate: Some(predicate.into()), name, ..index }
}

fn definitions() -> Vec<IndexDefinition> {
    let s = |keys: &[&str]| index("btree", "scalars", keys);
    let d = |method: &str, keys: &[&str]| index(method, "documents", keys);
    let l = |keys: &[&str]| index("btree", "lineitem", keys);
    let mut all: Vec<IndexDefinition> = [
        "id",
        "big",
        "small",
        "flag",
        "rare",
        "real4",
        "real8",
        "price",
        "wide",
        "fixed",
        "label",
        "skewed",
        "zipf",
        "maybe",
        "mostly_null",
        "at",
        "day",
        "hour",
        "span",
        "token",
        "mood",
        "mail",
        "address",
        "hardware",
        "digest",
        "spoken",
        "random_order",
        "parent",
    ]
    .iter()
    .map(|column| s(&[column]))
    .collect();
    all.extend([
        s(&["at DESC"]),
        s(&["label text_pattern_ops"]),
        s(&["flag", "label"]),
        s(&["skewed", "small"]),
        s(&["mood", "flag", "day"]),
        s(&["label", "small", "at"]),
        s(&["maybe", "label"]),
        s(&["parent", "id"]),
        s(&["day", "label"]),
        s(&["fixed", "price", "real8"]),
        with(s(&["id"]), "fillfactor", "60"),
        with(s(&["label"]), "deduplicate_items", "off"),
        covering(s(&["at"]), &["token", "label"]),
        covering(s(&["parent"]), &["mail"]),
        IndexDefinition { unique: true, name: "unique id".into(), ..s(&["id"]) },
        partial(s(&["id"]), "flag AND NOT rare"),
        partial(s(&["at"]), "maybe IS NOT NULL"),
        partial(s(&["skewed"]), "mood = 'angry'"),
        partial(s(&["mostly_null"]), "mostly_null IS NOT NULL"),
        partial(s(&["label"]), "day > '2024-06-01'"),
        s(&["((at AT TIME ZONE 'UTC')::date)"]),
        s(&["(lower(label))"]),
        s(&["(id % 100)"]),
        s(&["(round(price))"]),
        d("btree", &["long"]),
        d("btree", &["title"]),
        d("btree", &["link"]),
        d("btree", &["numbers"]),
        d("btree", &["(upper(split_part(long, '/', 8)))"]),
        d("btree", &["(document ->> 'kind')"]),
        d("btree", &["((document ->> 'user')::int)"]),
        d("btree", &["span"]),
        d("btree", &["tags"]),
    ]);
    all.extend(
        [
            "l_shipdate",
            "l_partkey",
            "l_orderkey",
            "l_suppkey",
            "l_quantity",
            "l_extendedprice",
            "l_discount",
            "l_shipmode",
            "l_comment",
        ]
        .iter()
        .map(|column| l(&[column])),
    );
    all.extend([
        l(&["l_partkey", "l_suppkey"]),
        l(&["l_orderkey", "l_linenumber"]),
        l(&["l_shipdate", "l_discount", "l_quantity"]),
        l(&["l_returnflag", "l_linestatus"]),
        l(&["l_receiptdate", "l_shipmode"]),
        l(&["l_shipdate", "l_commitdate"]),
        covering(l(&["l_partkey"]), &["l_quantity", "l_extendedprice"]),
        covering(l(&["l_shipdate"]), &["l_extendedprice", "l_discount"]),
        partial(l(&["l_shipdate"]), "l_returnflag = 'R'"),
        index("btree", "part", &["p_type"]),
        index("btree", "part", &["p_brand", "p_container"]),
        index("btree", "orders", &["o_orderdate", "o_orderkey"]),
        index("hash", "scalars", &["token"]),
        index("hash", "scalars", &["label"]),
        index("hash", "scalars", &["skewed"]),
        index("hash", "scalars", &["maybe"]),
        index("hash", "lineitem", &["l_orderkey"]),
        d("gin", &["terms"]),
        d("gin", &["numbers"]),
        d("gin", &["tags"]),
        d("gin", &["document"]),
        d("gin", &["document jsonb_path_ops"]),
        d("gin", &["keyed"]),
        d("gin", &["keyed jsonb_path_ops"]),
        d("gin", &["words gin_trgm_ops"]),
        d("gin", &["long gin_trgm_ops"]),
        d("gin", &["title gin_trgm_ops"]),
        d("gin", &["(to_tsvector('english', words))"]),
        d("gin", &["tags", "numbers"]),
        index("gin", "scalars", &["label"]),
        d("gist", &["span"]),
        d("gist", &["whole"]),
        d("gist", &["place"]),
        d("gist", &["area"]),
        d("gist", &["words gist_trgm_ops"]),
        d("gist", &["terms"]),
        d("spgist", &["place"]),
        d("spgist", &["title"]),
        d("spgist", &["link"]),
        d("spgist", &["span"]),
        index("spgist", "scalars", &["address inet_ops"]),
        index("brin", "scalars", &["at"]),
        with(index("brin", "scalars", &["at", "id"]), "pages_per_range", "2"),
        with(index("brin", "lineitem", &["l_shipdate"]), "pages_per_range", "4"),
        index("bloom", "scalars", &["id", "label"]),
    ]);
    all
}

/// The oldest and the newest server of this machine, or the only one.
fn both_ends() -> (&'static cluster::Server, Option<&'static cluster::Server>) {
    let versions = testkit::versions();
    let (oldest, newest) = (versions[0].major, versions[versions.len() - 1].major);
    (testkit::server(oldest), (newest != oldest).then(|| testkit::server(newest)))
}

#[tokio::test(flavor = "multi_thread")]
async fn candidates_weigh_what_the_built_index_does() {
    let (oldest, newest) = both_ends();
    let newest = async {
        match newest {
            Some(server) => weigh(server).await,
            None => Vec::new(),
        }
    };
    let (mut complaints, of_newest) = tokio::join!(weigh(oldest), newest);
    complaints.extend(of_newest);
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

/// Builds every index on one server, and gives a line for each that the twin did not foresee.
async fn weigh(server: &cluster::Server) -> Vec<String> {
    let major = server.binaries().major;
    let database = testkit::database(server).await;
    let client = testkit::connect(&database.url).await;
    client.batch_execute(SCHEMA).await.unwrap();
    for statement in data().split(";\n") {
        client.batch_execute(statement).await.unwrap();
    }
    testkit::tpch::load(&client, 0.05).await;
    client.batch_execute(STATISTICS).await.unwrap();
    client.batch_execute("ANALYZE lineitem").await.unwrap();
    let target = Target::parse(Some(&database.url), &Environment::default()).unwrap();
    let session = target.connect(&SessionOptions::default()).await.unwrap();
    let snapshot = match server.binaries().program("pg_dump") {
        Some(pg_dump) => {
            postgres::snapshot::read(&session, &target, &SnapshotOptions::new(pg_dump)).await.unwrap()
        }
        None => {
            let mut snapshot =
                postgres::snapshot::read_without_schema(&session, Duration::from_secs(5)).await.unwrap();
            snapshot.schema_sql =
                format!("{SCHEMA}{}{}{STATISTICS}", testkit::tpch::SCHEMA, testkit::tpch::KEYS);
            snapshot
        }
    };
    let mut twin = Twin::build(&snapshot, server.binaries(), TwinOptions::default()).await.unwrap();
    assert_eq!(twin.notes(), Vec::<String>::new());

    let definitions = definitions();
    let (mut errors, mut complaints) = (BTreeMap::<String, Vec<f64>>::new(), Vec::new());
    for (definition, answer) in definitions.iter().zip(twin.register(&definitions).await.unwrap()) {
        let Registered::Ready { bytes, .. } = answer else { panic!("{}: {answer:?}", definition.name) };
        let start = std::time::Instant::now();
        client.batch_execute(&definition.create_sql(false)).await.unwrap();
        let real: i64 = client
            .query_one(
                "SELECT pg_relation_size($1::text::regclass)",
                &[&definition.qualified_name().to_string()],
            )
            .await
            .unwrap()
            .get(0);
        client.batch_execute(&format!("DROP INDEX {}", definition.qualified_name())).await.unwrap();
        let (real, predicted) = (real / 8192, bytes.0 / 8192);
        let error = (predicted as f64 - real as f64) / real as f64;
        let line = format!(
            "{major} {:58} {real:6} pages, twin {predicted:6}, {:+6.1} %   {:.1?}",
            definition.name,
            100.0 * error,
            start.elapsed()
        );
        println!("{line}");
        errors.entry(definition.access_method.clone()).or_default().push(error.abs());
        errors.entry("all".into()).or_default().push(error.abs());
        if error.abs() > 0.25 {
            complaints.push(line);
        }
    }
    println!("| PostgreSQL {major} | indexes | median error | worst |");
    for (method, errors) in &mut errors {
        errors.sort_by(f64::total_cmp);
        let worst = errors.last().unwrap();
        let median = errors[errors.len() / 2];
        println!("| {method} | {} | {:.1} % | {:.1} % |", errors.len(), 100.0 * median, 100.0 * worst);
        if median >= 0.1 {
            complaints.push(format!(
                "{major} {method}: half of the indexes are {:.1} % off or more",
                100.0 * median
            ));
        }
    }
    complaints
}
