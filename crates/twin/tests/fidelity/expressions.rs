//! Does a candidate on an expression bring the statistics that ANALYZE would make of it?

use model::change::IndexDefinition;
use model::cost_model::{Configuration, CostModel, Registered};
use model::{IndexKey, QualifiedName};

use crate::comparison::{cost, explain};
use crate::events::expression;
use crate::source::{build, source};

const SCHEMA: &str = r#"
CREATE TABLE public."Odd.people" (
    id int, "E-mail" varchar(255), placed timestamp, state text, doc jsonb, gone date, amount numeric(8, 2), tags text[]
);"#;

/// As many rows as ANALYZE looks at, so that it always finds the same.
const DATA: &str = r#"
INSERT INTO "Odd.people"
SELECT i, 'User' || (i * 7919) % 30000 || '@Example' || i % 100 || '.com', '2024-01-01'::timestamp + i * interval '26 minutes 17 seconds',
    CASE WHEN i % 10 = 0 THEN 'Open' WHEN i % 3 = 0 THEN 'Paid' ELSE 'Sent' END,
    jsonb_build_object('kind', i % 7, 'n', i), CASE WHEN i % 50 = 0 THEN '2025-01-01'::date + i % 30 END, i % 1000 / 7.0,
    ARRAY['t' || i % 20]
FROM generate_series(1, 30000) AS i;
VACUUM ANALYZE"#;

/// An expression as an index has it, and a condition on it.
const CASES: &[(&str, &str)] = &[
    (r#"lower("E-mail")"#, r#"lower("E-mail") = 'user7919@example1.com'"#),
    (r#"lower("E-mail")"#, r#"lower("E-mail") BETWEEN 'user2' AND 'user3'"#),
    (r#"("left"("E-mail", 6))"#, r#"left("E-mail", 6) = 'User12'"#),
    ("date(placed)", "date(placed) = '2024-06-05'"),
    ("date(placed)", "date(placed) >= '2025-04-05'"),
    ("date_trunc('month', placed)", "date_trunc('month', placed) = '2024-06-01'"),
    ("date_trunc('hour', placed)", "date_trunc('hour', placed) = '2024-06-01 10:00'"),
    ("(EXTRACT(hour FROM placed))", "extract(hour FROM placed) = 7"),
    ("upper(state)", "upper(state) = 'OPEN'"),
    ("upper(state)", "upper(state) <> 'SENT'"),
    ("((doc ->> 'kind'))", "doc ->> 'kind' = '3'"),
    ("((doc ->> 'n'))", "doc ->> 'n' = '39'"),
    ("coalesce(gone, 'infinity')", "coalesce(gone, 'infinity') = 'infinity'"),
    ("coalesce(gone, 'infinity')", "coalesce(gone, 'infinity') = '2025-01-11'"),
    ("round(amount)", "round(amount) = 12"),
];

fn on_people(name: &str, key: &str) -> IndexDefinition {
    IndexDefinition::btree(QualifiedName::new("public", "Odd.people"), name, vec![expression(key)])
}

#[tokio::test]
async fn an_expression_is_estimated_as_after_analyze() {
    for server in testkit::all_servers() {
        let major = server.binaries().major;
        let source = source(server, SCHEMA, DATA, &[]).await;
        let mut twin = build(&source).await;
        let rows = |plan: &serde_json::Value| plan["Plan"]["Plan Rows"].as_f64().unwrap();
        let mut better = 0;
        for (n, (key, condition)) in CASES.iter().enumerate() {
            let sql = format!(r#"SELECT * FROM "Odd.people" WHERE {condition}"#);
            let before = explain(&source.client, &sql).await;
            let definition = on_people(&format!("x{n}"), key);
            let registered = twin.register(std::slice::from_ref(&definition)).await.unwrap();
            let Registered::Ready { id, .. } = registered[0] else { panic!("{key}: {registered:?}") };
            let planned = twin
                .plan(&sql, &Configuration { added: vec![id], ..Configuration::current() })
                .await
                .unwrap();
            let create = definition.create_sql(false);
            source.client.batch_execute(&create).await.unwrap();
            source.client.batch_execute(r#"ANALYZE "Odd.people""#).await.unwrap();
            let real = explain(&source.client, &sql).await;
            source.client.batch_execute(&format!("DROP INDEX x{n}")).await.unwrap();
            let factor = |a: f64, b: f64| ((a + 1.0) / (b + 1.0)).max((b + 1.0) / (a + 1.0));
            let (off, was_off) =
                (factor(rows(&planned.explain), rows(&real)), factor(rows(&before), rows(&real)));
            println!(
                "{major} {} rows without, {} with, twin {}, cost {:.1}, twin {:.1}: {condition}",
                rows(&before),
                rows(&real),
                rows(&planned.explain),
                cost(&real),
                planned.total_cost
            );
            assert!(off < 2.0, "{major} {condition}: {off:.2}");
            better += usize::from(was_off > 2.0);
            // Switched off it lends nothing.
            let without = twin.plan(&sql, &Configuration::current()).await.unwrap();
            assert_eq!(rows(&without.explain), rows(&before), "{major} {condition}");
        }
        assert!(better > CASES.len() / 2, "without statistics the estimates must be others: {better}");
        twin.stop().await.unwrap();
    }
}

#[tokio::test]
async fn what_is_partial_or_of_elements_lends_no_statistics() {
    let server = testkit::any_server();
    let source = source(server, SCHEMA, DATA, &[]).await;
    let mut twin = build(&source).await;
    let mut partial = on_people("partial", r#"lower("E-mail")"#);
    partial.predicate = Some("gone IS NULL".into());
    let elements = on_people("elements", "array_remove(tags, 't1')");
    let registered = twin.register(&[partial, elements]).await.unwrap();
    let ids: Vec<_> = registered
        .iter()
        .map(|r| match r {
            Registered::Ready { id, .. } => *id,
            Registered::Refused { reason } => panic!("{reason}"),
        })
        .collect();
    for (id, condition) in [
        (ids[0], r#"lower("E-mail") = 'user7919@example1.com' AND gone IS NULL"#),
        (ids[1], "array_remove(tags, 't1') = '{t2}'"),
    ] {
        let sql = format!(r#"SELECT * FROM "Odd.people" WHERE {condition}"#);
        let without = twin.plan(&sql, &Configuration::current()).await.unwrap();
        let with =
            twin.plan(&sql, &Configuration { added: vec![id], ..Configuration::current() }).await.unwrap();
        assert_eq!(with.explain["Plan"]["Plan Rows"], without.explain["Plan"]["Plan Rows"], "{condition}");
        assert!(with.total_cost < without.total_cost, "{condition}");
    }
    twin.stop().await.unwrap();
}

const NAMED: &str = r#"
CREATE SCHEMA "Odd";
CREATE TYPE "Odd".mood AS ENUM ('good', 'bad');
CREATE FUNCTION "Odd".norm(t text) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT lower(t) $$;
CREATE FUNCTION "Odd".same(a text, b text) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$ SELECT lower(a) = lower(b) $$;
CREATE OPERATOR "Odd".=== (LEFTARG = text, RIGHTARG = text, FUNCTION = "Odd".same);
CREATE TABLE public.people (id int, name text, mood "Odd".mood);"#;

#[tokio::test]
async fn what_another_schema_holds_is_spelt_out() {
    let server = testkit::any_server();
    let data = r#"
        INSERT INTO people SELECT i, 'Name ' || i, 'good' FROM generate_series(1, 3000) AS i;
        ANALYZE;
        DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = public, "Odd"', current_database()); END $$;
        SET search_path = public, "Odd""#;
    let source = source(server, NAMED, data, &[]).await;
    let mut twin = build(&source).await;
    let on = |name: &str, key: IndexKey, predicate: Option<&str>| IndexDefinition {
        predicate: predicate.map(str::to_owned),
        ..IndexDefinition::btree(QualifiedName::new("public", "people"), name, vec![key])
    };
    let definitions = [
        on("a", expression("norm(name)"), None),
        on("b", IndexKey::column("id"), Some("mood = 'bad'::mood AND name === 'x'")),
        on("c", expression("(norm(name) || name)"), Some("same(name, 'x')")),
        on("d", expression("lower(name)"), Some("id > 3")),
        on("e", IndexKey::column("id"), None),
    ];
    let registered = twin.register(&definitions).await.unwrap();
    let ids: Vec<_> = registered
        .iter()
        .map(|answer| match answer {
            Registered::Ready { id, .. } => *id,
            Registered::Refused { reason } => panic!("{reason}"),
        })
        .collect();
    let spelt_out = twin.spelt_out(&ids).await.unwrap();
    let changed: Vec<bool> = spelt_out.iter().map(Option::is_some).collect();
    assert_eq!(changed, [true, true, true, false, false]);
    // What is spelt out can be built by a session that searches nothing, and is the same index.
    for (definition, spelt) in definitions.iter().zip(&spelt_out) {
        let Some(spelt) = spelt else { continue };
        let shown = async |path: &str, definition: &IndexDefinition| -> String {
            let set = format!("SET search_path = {path}");
            source.client.batch_execute(&format!("{set}; {}", definition.create_sql(false))).await.unwrap();
            let show = format!("SELECT pg_get_indexdef('public.{}'::regclass)", definition.name);
            let text = source.client.query_one(&show, &[]).await.unwrap().get(0);
            source.client.batch_execute(&format!("DROP INDEX public.{}", definition.name)).await.unwrap();
            text
        };
        let meant = shown(r#"public, "Odd""#, definition).await;
        let built = shown("pg_catalog", spelt).await;
        source.client.batch_execute(r#"SET search_path = public, "Odd""#).await.unwrap();
        assert_eq!(
            meant.replace("\"Odd\".", ""),
            built.replace("\"Odd\".", "").replace("OPERATOR(===)", "===")
        );
        assert!(built.contains("\"Odd\"."), "{built}");
    }
    twin.stop().await.unwrap();
}
