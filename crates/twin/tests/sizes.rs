//! Does a candidate weigh what the built index does? Asked of access methods, types and
//! distributions that `fidelity.rs` does not have. On one version: builds differ little.

#![allow(clippy::unwrap_used)] // A test says what it expects by unwrapping.

use std::time::Duration;

use model::QualifiedName;
use model::change::{IndexDefinition, IndexKey, KeyTarget};
use model::cost_model::{CostModel, Registered};
use postgres::{Environment, SessionOptions, Target};
use twin::{Twin, TwinOptions};

const ROWS: usize = 60_000;

const SCHEMA: &str = "
CREATE EXTENSION pg_trgm WITH SCHEMA public;
CREATE EXTENSION bloom WITH SCHEMA public;
CREATE TABLE public.t (
    id int, uuid uuid, flag boolean, small smallint, maybe bigint, label text, long text, address inet,
    words text, terms tsvector, numbers int[], document jsonb, span tstzrange, place point, at timestamptz
);";

const WORDS: &str = "the,a,of,index,table,plan,query,row,page,cost,scan,join,hash,sort,merge,filter,cache,buffer,\
    write,read,lock,commit,abort,replica,primary,vacuum,analyze,statistic,histogram,correlation,selectivity,\
    operator,function,trigger,schema,column,constraint,sequence,partition,cluster,server,client,session,timeout";

fn data() -> String {
    format!(
        "SELECT setseed(0.7);
         INSERT INTO t SELECT i, gen_random_uuid(), random() < 0.02, 30000 * random() ^ 4,
             CASE WHEN random() < 0.1 THEN i END,
             'label ' || floor(300 * random() ^ 2),
             'https://example.com/a/rather/long/path/' || md5(floor(5000 * random())::text) || repeat('x', (30 * random())::int),
             ('10.' || floor(4 * random()) || '.' || floor(256 * random()) || '.' || floor(256 * random()))::inet,
             w.words, to_tsvector('english', w.words),
             ARRAY[floor(2000 * random() ^ 2)::int, floor(2000 * random())::int, floor(2000 * random())::int],
             jsonb_build_object('user', floor(20000 * random()), 'kind', 'k' || floor(10 * random() ^ 2),
                 'nested', jsonb_build_object('page', floor(400 * random()), 'flags', jsonb_build_array('x', 'y'))),
             tstzrange(now() - i * interval '1 minute', now() - i * interval '1 minute' + random() * interval '2 hours'),
             point(random() * 100, random() * 100),
             timestamptz '2026-01-01 00:00Z' + i * interval '20 seconds'
         FROM generate_series(1, {ROWS}) AS i
         CROSS JOIN LATERAL (
             SELECT string_agg((string_to_array('{WORDS}', ','))[1 + floor(44 * random() ^ 2)::int + (i - i) * n]
                 || floor(100 * random() ^ 4), ' ') AS words
             FROM generate_series(1, 6 + i % 5) AS n
         ) AS w;
         VACUUM ANALYZE t;"
    )
}

fn definitions() -> Vec<IndexDefinition> {
    let table = QualifiedName::new("public", "t");
    let with = |method: &str, name: &str, keys: Vec<IndexKey>, options: &[(&str, &str)]| IndexDefinition {
        access_method: method.into(),
        with: options.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(),
        ..IndexDefinition::btree(table.clone(), format!("{method}_{name}"), keys)
    };
    let columns = |names: &[&str]| names.iter().map(|n| IndexKey::column(*n)).collect::<Vec<_>>();
    let of = |method: &str, names: &[&str]| with(method, &names.join("_"), columns(names), &[]);
    let opclass = |method: &str, column: &str, schema: &str, opclass: &str| {
        let key = IndexKey { opclass: Some(QualifiedName::new(schema, opclass)), ..IndexKey::column(column) };
        with(method, &format!("{column}_{opclass}"), vec![key], &[])
    };
    let expression = |method: &str, name: &str, text: &str| {
        let key = IndexKey { target: KeyTarget::Expression(text.into()), ..IndexKey::column("") };
        with(method, name, vec![key], &[])
    };
    vec![
        of("btree", &["uuid"]),
        of("btree", &["flag"]),
        of("btree", &["small"]),
        of("btree", &["maybe"]),
        of("btree", &["label"]),
        of("btree", &["long"]),
        of("btree", &["address"]),
        of("btree", &["flag", "label"]),
        of("btree", &["label", "small", "at"]),
        of("btree", &["maybe", "label"]),
        of("btree", &["numbers"]),
        with("btree", "loose", columns(&["id"]), &[("fillfactor", "60")]),
        with("btree", "apart", columns(&["label"]), &[("deduplicate_items", "off")]),
        expression("btree", "day", "(at AT TIME ZONE 'UTC')::date"),
        IndexDefinition {
            include: vec!["uuid".into(), "label".into()],
            ..with("btree", "include", columns(&["at"]), &[])
        },
        IndexDefinition {
            predicate: Some("maybe IS NOT NULL AND flag".into()),
            ..with("btree", "part", columns(&["id"]), &[])
        },
        of("hash", &["uuid"]),
        of("hash", &["label"]),
        of("gin", &["terms"]),
        of("gin", &["numbers"]),
        of("gin", &["document"]),
        opclass("gin", "document", "pg_catalog", "jsonb_path_ops"),
        opclass("gin", "words", "public", "gin_trgm_ops"),
        expression("gin", "tsvector", "to_tsvector('english', words)"),
        of("gist", &["span"]),
        of("gist", &["place"]),
        opclass("gist", "words", "public", "gist_trgm_ops"),
        of("spgist", &["place"]),
        of("spgist", &["label"]),
        opclass("spgist", "address", "pg_catalog", "inet_ops"),
        of("brin", &["at"]),
        with("brin", "fine", columns(&["at", "id"]), &[("pages_per_range", "2")]),
        of("bloom", &["id", "label"]),
        expression("btree", "host", "upper(split_part(long, '/', 8))"),
        expression("btree", "kind", "document ->> 'kind'"),
    ]
}

#[tokio::test]
async fn every_access_method_is_weighed() {
    let server = testkit::any_server();
    let database = testkit::database(server).await;
    let client = testkit::connect(&database.url).await;
    client.batch_execute(SCHEMA).await.unwrap();
    for statement in data().split(";\n") {
        client.batch_execute(statement).await.unwrap();
    }
    let target = Target::parse(Some(&database.url), &Environment::default()).unwrap();
    let session = target.connect(&SessionOptions::default()).await.unwrap();
    let mut snapshot =
        postgres::snapshot::read_without_schema(&session, Duration::from_secs(5)).await.unwrap();
    snapshot.schema_sql = SCHEMA.into();
    let mut twin = Twin::build(&snapshot, server.binaries(), TwinOptions::default()).await.unwrap();
    assert_eq!(twin.notes(), Vec::<String>::new());

    let definitions = definitions();
    let mut failures = Vec::new();
    for (definition, answer) in definitions.iter().zip(twin.register(&definitions).await.unwrap()) {
        let Registered::Ready { bytes, .. } = answer else { panic!("{}: {answer:?}", definition.name) };
        client.batch_execute(&definition.create_sql(false)).await.unwrap();
        let real: i64 = client
            .query_one(
                "SELECT pg_relation_size($1::text::regclass)",
                &[&definition.qualified_name().to_string()],
            )
            .await
            .unwrap()
            .get(0);
        let (real, predicted) = (real / 8192, bytes.0 / 8192);
        let error = (predicted as f64 - real as f64) / real as f64;
        let line =
            format!("{:32} {real:6} pages, twin {predicted:6}, {:+6.1} %", definition.name, 100.0 * error);
        eprintln!("{line}");
        if error.abs() > 0.25 {
            failures.push(line);
        }
    }
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}
