//! Do TOAST tables and indexes of GIN, GiST and SP-GiST shrink as a rewritten sample says, whole and in part?

use model::estimate::SampleFacts;
use model::snapshot::{Index, Relation};
use postgres::sample::{SampleLimits, SampleSource};
use postgres::{Environment, Session, SessionOptions, Target};
use tokio_postgres::Client;
use trial::{Rewritten, Source, Trial, TrialOptions};

/// In percentage points, for a sample that is the whole table, and for half of one: SP-GiST divides at random.
const TOLERANCE: f64 = 5.0;
const TOLERANCE_OF_HALF: f64 = 8.0;

const SCHEMA: &str = "
    create table arrays (id int primary key, tags text[], numbers int[]);
    create index arrays_tags on arrays using gin (tags); create index arrays_numbers on arrays using gin (numbers);
    create index arrays_some on arrays using gin (numbers) where id < 9000;
    create table documents (id int primary key, doc jsonb, words tsvector) with (autovacuum_enabled = off);
    create index documents_doc on documents using gin (doc);
    create index documents_paths on documents using gin (doc jsonb_path_ops);
    create index documents_words on documents using gin (words);
    create index documents_signatures on documents using gist (words tsvector_ops (siglen = 64));
    create table places (id int primary key, at point, during tstzrange, span int4range, name text, address inet);
    create index places_at on places using gist (at); create index places_during on places using gist (during);
    create index places_span on places using gist (span);
    create index places_quad on places using spgist (at); create index places_kd on places using spgist (at kd_point_ops);
    create index places_name on places using spgist (name); create index places_inside on places using spgist (span);
    create table \"To\"\"ast\" (id int primary key, \"a b\" text, gone int, packed text, small text) with (toast_tuple_target = 256);
    alter table \"To\"\"ast\" alter \"a b\" set storage external; alter table \"To\"\"ast\" drop column gone;
";

/// Statements one by one: VACUUM does not run within several.
const AGED: &[&str] = &[
    "insert into arrays select n, array['tag ' || n % 17, 'tag ' || n % 1999, 'own ' || n],
        array[n % 300, n % 7000, n] from generate_series(1, 16000) n",
    "update arrays set tags = tags || ('more ' || id)",
    "delete from arrays where id % 3 = 0",
    "insert into documents select n, jsonb_build_object('user', n % 1300, 'kind', 'k' || n % 9, 'id', md5(n::text),
        'nested', jsonb_build_object('page', n % 211)), to_tsvector('simple', md5((n % 977)::text) || ' common word' || n % 37)
        from generate_series(1, 12000) n",
    "update documents set doc = doc || '{\"seen\": true}' where id % 2 = 0",
    "delete from documents where id between 3000 and 7000",
    "insert into places select n, point((n * 7919) % 1000, (n * 104) % 997), tstzrange(now() + n * interval '1 minute',
        now() + (n + n % 90) * interval '1 minute'), int4range(n % 5000, n % 5000 + n % 40), 'place ' || md5((n / 3)::text)
        from generate_series(1, 24000) n",
    "update places set at = point(at[1], at[0]), name = name || '!' where id % 2 = 0",
    "delete from places where id % 5 < 2",
    "insert into \"To\"\"ast\" select n, repeat(md5(n::text), 30 + n % 170), string_agg(md5((n * i)::text), ''), 'small'
        from generate_series(1, 1500) n, generate_series(1, 60) i group by n",
    "update \"To\"\"ast\" set \"a b\" = \"a b\" || 'x' where id % 2 = 0",
    "delete from \"To\"\"ast\" where id % 3 = 0",
    "vacuum (analyze) arrays",
    "vacuum (analyze) documents",
    "vacuum (analyze) places",
    "vacuum (analyze) \"To\"\"ast\"",
];

async fn pages(client: &Client, relation: &str) -> f64 {
    let sql = format!("select pg_relation_size({}) / 8192", model::quote_literal(relation));
    client.query_one(&sql, &[]).await.unwrap_or_else(|e| panic!("{sql}: {e:?}")).get::<_, i64>(0) as f64
}

/// What was said of one relation.
struct Said {
    name: String,
    of_toast: bool,
    before: f64,
    whole: f64,
    /// `None` where the sample's index is too small.
    part: Option<f64>,
}

/// What samples of at most so many rows say.
async fn rewrite(
    trial: &mut Trial,
    session: &Session,
    relation: &Relation,
    indexes: &[&Index],
    rows: u64,
) -> Rewritten {
    let columns: Vec<String> = relation.columns.iter().map(|c| c.name.clone()).collect();
    let source = SampleSource {
        table: &relation.name,
        columns: &columns,
        with_children: false,
        rows: relation.reltuples,
        pages: relation.pages as u64,
        row_bytes: relation.table_bytes.0 / relation.reltuples as u64,
    };
    let limits = SampleLimits { rows, ..SampleLimits::default() };
    let sample = postgres::sample::read(session, &source, &limits).await.unwrap();
    assert!(!sample.is_cut && sample.is_whole == (relation.reltuples < rows as f64));
    let facts = SampleFacts {
        rows: sample.rows as f64,
        of_rows: relation.reltuples,
        bytes: sample.bytes,
        is_whole: sample.is_whole,
    };
    let source = Source { relation, columns: &columns, data: sample.data, facts, existing: Vec::new() };
    let definitions: Vec<_> = indexes.iter().map(|i| i.definition.clone()).collect();
    trial.rewrite(&source, &definitions).await.unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rewritten_sample_tells_what_a_rewrite_gives_back() {
    let server = testkit::any_server();
    let database = testkit::database(server).await;
    let client = testkit::connect(&database.url).await;
    client.batch_execute(SCHEMA).await.unwrap();
    for statement in AGED {
        client.batch_execute(statement).await.unwrap_or_else(|e| panic!("{statement}: {e:?}"));
    }
    let target = Target::parse(Some(&database.url), &Environment::default()).unwrap();
    let session =
        target.connect(&SessionOptions { read_only: true, ..SessionOptions::default() }).await.unwrap();
    let mut snapshot =
        postgres::snapshot::read_without_schema(&session, std::time::Duration::from_secs(5)).await.unwrap();
    SCHEMA.clone_into(&mut snapshot.schema_sql);
    let templates = concat!(env!("CARGO_MANIFEST_DIR"), "/../../.cache/templates");
    let options = TrialOptions {
        template_dir: Some(templates.into()),
        statement_timeout: std::time::Duration::from_secs(60),
        ..TrialOptions::default()
    };
    let mut trial = Trial::start(&snapshot, server.binaries(), options).await.unwrap();
    let mut said = Vec::new();
    for relation in &snapshot.relations {
        let indexes: Vec<_> =
            snapshot.indexes_of(&relation.name).filter(|i| i.definition.access_method != "btree").collect();
        let whole = rewrite(&mut trial, &session, relation, &indexes, 100_000).await;
        let half = (relation.reltuples / 2.0) as u64;
        let part = rewrite(&mut trial, &session, relation, &indexes, half).await;
        for ((index, whole), part) in indexes.iter().zip(whole.indexes).zip(part.indexes) {
            let (before, whole) = (index.pages as f64, whole.unwrap());
            said.push(Said { name: index.name.to_string(), of_toast: false, before, whole, part: part.ok() });
        }
        if relation.toast_pages > 0 {
            let (before, whole, part) =
                (relation.toast_pages as f64, whole.toast_pages, Some(part.toast_pages));
            said.push(Said { name: relation.name.to_string(), of_toast: true, before, whole, part });
        }
    }
    trial.stop().await.unwrap();
    assert_eq!(said.len(), 15);
    assert!(said.iter().filter(|s| s.part.is_some()).count() > 12);
    let (mut wrong, mut worst) = (Vec::new(), (0.0_f64, 0.0_f64));
    for said in &said {
        let name = &said.name;
        let mut relation = name.clone();
        if said.of_toast {
            client.batch_execute(&format!("vacuum full {name}")).await.unwrap();
            let toast =
                format!("select reltoastrelid::regclass::text from pg_class where oid = '{name}'::regclass");
            relation = client.query_one(&toast, &[]).await.unwrap().get(0);
        } else {
            client.batch_execute(&format!("reindex index {name}")).await.unwrap();
        }
        let after = pages(&client, &relation).await;
        let share = |pages: f64| 100.0 * (1.0 - pages / said.before).max(0.0);
        let (whole, part, truth) = (share(said.whole), said.part.map(share), share(after));
        println!(
            "{name:30} {:6.0} pages, {after:6.0} after: {whole:5.1}, {part:5.1?} against {truth:5.1}",
            said.before
        );
        worst.0 = worst.0.max((whole - truth).abs());
        worst.1 = worst.1.max(part.map_or(0.0, |part| (part - truth).abs()));
        if (whole - truth).abs() > TOLERANCE
            || part.is_some_and(|part| (part - truth).abs() > TOLERANCE_OF_HALF)
        {
            wrong.push(name);
        }
    }
    println!("worst of whole tables {:.1}, of halves {:.1} points", worst.0, worst.1);
    assert!(wrong.is_empty(), "{wrong:#?}");
}
