//! Does HypoPG answer as a cost model, without running or leaving anything on the user's server?

use std::time::Duration;

use cluster::Server;
use model::cost_model::{Configuration, CostError, CostModel, Registered};
use model::{IndexDefinition, IndexKey, KeyTarget, QualifiedName};
use postgres::{Error, HypoPg, HypoPgOptions, SearchPath};
use testkit::Database;
use tokio_postgres::Client;

use crate::target;

/// A server of this machine that has the extension's files.
async fn server() -> &'static Server {
    for server in testkit::servers() {
        let client = testkit::connect(&server.url("postgres")).await;
        let found = client
            .query_one("SELECT count(*) FROM pg_available_extensions WHERE name = 'hypopg'", &[])
            .await
            .unwrap();
        if found.get::<_, i64>(0) > 0 {
            return server;
        }
    }
    panic!("no server of this machine has HypoPG; scripts/setup.sh test gets it");
}

async fn world(sql: &str) -> (Database, Client) {
    let database = testkit::database(server().await).await;
    let client = testkit::connect(&database.url).await;
    client.batch_execute("CREATE SCHEMA tools; CREATE EXTENSION hypopg SCHEMA tools").await.unwrap();
    client.batch_execute(sql).await.unwrap();
    client.batch_execute("ANALYZE").await.unwrap();
    (database, client)
}

const TABLES: &str = r#"
    CREATE SCHEMA "My Schema";
    CREATE TABLE "My Schema"."a""b.c" (id int PRIMARY KEY, "we""ird" int, note text, doc jsonb);
    INSERT INTO "My Schema"."a""b.c" SELECT g, g % 5000, 'note ' || g, '{}' FROM generate_series(1, 50000) g"#;

const STATEMENT: &str = "SELECT * FROM \"My Schema\".\"a\"\"b.c\" WHERE \"we\"\"ird\" = 7";

fn index(name: &str, keys: Vec<IndexKey>) -> IndexDefinition {
    IndexDefinition::btree(QualifiedName::new("My Schema", "a\"b.c"), name, keys)
}

async fn connect(database: &Database) -> HypoPg {
    HypoPg::connect(&target(&database.url), &HypoPgOptions::default()).await.unwrap()
}

async fn ready(model: &mut HypoPg, definition: &IndexDefinition) -> (model::CandidateId, u64) {
    match model.register(std::slice::from_ref(definition)).await.unwrap().remove(0) {
        Registered::Ready { id, bytes } => (id, bytes.0),
        Registered::Refused { reason } => panic!("{}: {reason}", definition.create_sql(false)),
    }
}

fn refused(error: CostError) -> (String, String) {
    match error {
        CostError::Statement { message, sqlstate } => (sqlstate.unwrap_or_default(), message),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn plans_under_hypothetical_indexes_as_under_real_ones() {
    let (database, client) = world(TABLES).await;
    let mut model = connect(&database).await;
    let lower = IndexKey {
        target: KeyTarget::Expression("pg_catalog.lower(note)".into()),
        opclass: Some(QualifiedName::new("pg_catalog", "text_pattern_ops")),
        ..IndexKey::column("")
    };
    let partial = IndexDefinition {
        predicate: Some("note IS NOT NULL".into()),
        include: vec!["note".into()],
        ..index("partial", vec![IndexKey::column("we\"ird").descending()])
    };
    let hash = IndexDefinition { access_method: "hash".into(), ..index("h", vec![IndexKey::column("note")]) };
    let cases = [
        (index("odd \"name\"", vec![IndexKey::column("we\"ird")]), STATEMENT),
        (
            index("lower", vec![lower]),
            "SELECT * FROM \"My Schema\".\"a\"\"b.c\" WHERE lower(note) LIKE 'note 17%'",
        ),
        (partial, "SELECT note FROM \"My Schema\".\"a\"\"b.c\" WHERE \"we\"\"ird\" < 3 AND note IS NOT NULL"),
        (hash, "SELECT * FROM \"My Schema\".\"a\"\"b.c\" WHERE note = 'note 4711'"),
    ];
    for (definition, sql) in &cases {
        let before = model.plan(sql, &Configuration::current()).await.unwrap();
        let (id, bytes) = ready(&mut model, definition).await;
        assert_eq!(ready(&mut model, definition).await.0, id, "the same index twice is one candidate");
        let with = Configuration::current().with(id);
        let hypothetical = model.plan(sql, &with).await.unwrap();
        let text = hypothetical.explain.to_string();
        assert!(text.contains(&serde_json::to_string(&definition.name).unwrap()), "{text}");
        assert!(hypothetical.total_cost < before.total_cost / 2.0, "{definition:?}: {text}");
        // Off again, it is as if it had never been.
        assert_eq!(model.plan(sql, &Configuration::current()).await.unwrap(), before);

        client.batch_execute(&definition.create_sql(false)).await.unwrap();
        let row = client.query_one(&format!("EXPLAIN (FORMAT JSON) {sql}"), &[]).await.unwrap();
        let real = row.get::<_, serde_json::Value>(0)[0]["Plan"]["Total Cost"].as_f64().unwrap();
        let name = definition.qualified_name().to_string();
        let size: i64 =
            client.query_one("SELECT pg_relation_size($1::text::regclass)", &[&name]).await.unwrap().get(0);
        client.batch_execute(&format!("DROP INDEX {name}")).await.unwrap();
        let error = (hypothetical.total_cost / real - 1.0).abs();
        assert!(error < 0.15, "{name}: hypothetical {}, real {real}", hypothetical.total_cost);
        let factor = bytes as f64 / size as f64;
        assert!((0.3..4.0).contains(&factor), "{name}: predicted {bytes}, real {size}");
    }
    // Before, with and without the index; the real one was planned by the other session.
    assert_eq!(model.planner_calls(), 3 * cases.len() as u64);
}

#[tokio::test]
async fn what_hypopg_cannot_do_is_said_and_harms_nothing_else() {
    let (database, _client) = world(TABLES).await;
    let mut model = connect(&database).await;
    let gin = IndexDefinition { access_method: "gin".into(), ..index("g", vec![IndexKey::column("doc")]) };
    let missing = index("m", vec![IndexKey::column("nothing")]);
    let good = index("good", vec![IndexKey::column("we\"ird")]);
    let answers = model.register(&[gin, missing, good]).await.unwrap();
    let reasons: Vec<String> = answers
        .iter()
        .map(|a| match a {
            Registered::Refused { reason } => reason.clone(),
            Registered::Ready { .. } => "ready".into(),
        })
        .collect();
    assert_eq!(
        reasons,
        [
            "hypopg: access method \"gin\" is not supported",
            "hypopg: column \"nothing\" does not exist",
            "ready"
        ]
    );
    let dropped = Configuration {
        dropped: vec![QualifiedName::new("My Schema", "a\"b.c_pkey")],
        ..Configuration::current()
    };
    let by_key = "SELECT * FROM \"My Schema\".\"a\"\"b.c\" WHERE id = 7";
    if model.hides_indexes() {
        let without = model.plan(by_key, &dropped).await.unwrap();
        assert_eq!(without.explain["Plan"]["Node Type"], "Seq Scan");
    } else {
        let error = model.plan(by_key, &dropped).await.unwrap_err();
        assert!(matches!(&error, CostError::Model { message } if message.contains("cannot hide")), "{error}");
        assert!(model.notes().iter().any(|n| n.contains("cannot hide an index")), "{:?}", model.notes());
    }
    let with = model.plan(by_key, &Configuration::current()).await.unwrap();
    assert_eq!(with.explain["Plan"]["Index Name"], "a\"b.c_pkey");
}

#[tokio::test]
async fn nothing_is_run_and_nothing_is_left() {
    let (database, client) = world(TABLES).await;
    client
        .batch_execute(
            "CREATE TABLE log (n int);
             CREATE FUNCTION writes() RETURNS int LANGUAGE sql AS
                 'INSERT INTO public.log VALUES (1) RETURNING n';
             CREATE FUNCTION sneaky() RETURNS int IMMUTABLE LANGUAGE plpgsql AS
                 'BEGIN PERFORM public.writes(); RETURN 7; END'",
        )
        .await
        .unwrap();
    let mut model = connect(&database).await;
    let current = Configuration::current();
    let (id, _) = ready(&mut model, &index("i", vec![IndexKey::column("we\"ird")])).await;
    let with = Configuration::current().with(id);
    // It would take a minute to run.
    model.plan("SELECT pg_sleep(60)", &with).await.unwrap();
    model.plan("DELETE FROM \"My Schema\".\"a\"\"b.c\"", &with).await.unwrap();
    for sql in ["ANALYZE SELECT 1", "(ANALYZE) SELECT 1", "SELECT 1; DELETE FROM log", "nonsense", ""] {
        let (sqlstate, message) = refused(model.plan(sql, &current).await.unwrap_err());
        assert_eq!(sqlstate, "42601", "{sql}: {message}");
    }
    // The planner evaluates what is called immutable; the session may not write.
    let (sqlstate, _) =
        refused(model.plan("SELECT * FROM log WHERE n = sneaky()", &current).await.unwrap_err());
    assert_eq!(sqlstate, "25006");
    // The session goes on, and nobody else sees its indexes.
    assert!(model.plan(STATEMENT, &with).await.unwrap().explain.to_string().contains("\"i\""));
    let others: i64 = client.query_one("SELECT count(*) FROM tools.hypopg()", &[]).await.unwrap().get(0);
    assert_eq!(others, 0);
    let rows: i64 =
        client.query_one("SELECT count(*) FROM \"My Schema\".\"a\"\"b.c\"", &[]).await.unwrap().get(0);
    assert_eq!(rows, 50_000);
    let logged: i64 = client.query_one("SELECT count(*) FROM log", &[]).await.unwrap().get(0);
    assert_eq!(logged, 0);
}

#[tokio::test]
async fn a_locked_table_is_not_waited_for() {
    let (database, client) = world(TABLES).await;
    let options = HypoPgOptions { lock_timeout: Duration::from_millis(100), ..HypoPgOptions::default() };
    let mut model = HypoPg::connect(&target(&database.url), &options).await.unwrap();
    client.batch_execute("BEGIN; LOCK TABLE \"My Schema\".\"a\"\"b.c\"").await.unwrap();
    let (sqlstate, _) = refused(model.plan(STATEMENT, &Configuration::current()).await.unwrap_err());
    assert_eq!(sqlstate, "55P03");
    client.batch_execute("ROLLBACK").await.unwrap();
    model.plan(STATEMENT, &Configuration::current()).await.unwrap();
}

#[tokio::test]
async fn names_and_settings_of_the_session() {
    let (database, client) = world(TABLES).await;
    client.batch_execute("CREATE EXTENSION pg_trgm SCHEMA tools").await.unwrap();
    let options = HypoPgOptions {
        search_path: SearchPath::Set("\"My Schema\", tools".into()),
        ..HypoPgOptions::default()
    };
    let mut model = HypoPg::connect(&target(&database.url), &options).await.unwrap();
    let opclass = |method: &'static str, name: &'static str| model.operator_class(method, name);
    assert_eq!(
        opclass("btree", "text_pattern_ops").await.unwrap(),
        Some(QualifiedName::new("pg_catalog", "text_pattern_ops"))
    );
    assert_eq!(
        opclass("gin", "gin_trgm_ops").await.unwrap(),
        Some(QualifiedName::new("tools", "gin_trgm_ops"))
    );
    assert_eq!(opclass("btree", "gin_trgm_ops").await.unwrap(), None);
    assert_eq!(model.collation("C").await.unwrap(), Some(QualifiedName::new("pg_catalog", "C")));
    assert_eq!(model.collation("nothing").await.unwrap(), None);
    let sql = "SELECT * FROM \"a\"\"b.c\" WHERE id = 7";
    let before = model.plan(sql, &Configuration::current()).await.unwrap();
    assert_eq!(model.set_planner_setting("random_page_cost", "400").await.unwrap(), "4");
    assert!(model.plan(sql, &Configuration::current()).await.unwrap().total_cost > before.total_cost * 10.0);
    assert_eq!(model.set_planner_setting("random_page_cost", "4").await.unwrap(), "400");
    assert_eq!(model.plan(sql, &Configuration::current()).await.unwrap(), before);
    let (sqlstate, message) =
        refused(model.set_planner_setting("random_page_cost", "much").await.unwrap_err());
    assert_eq!(sqlstate, "22023", "{message}");
    refused(model.set_planner_setting("no_such_setting", "1").await.unwrap_err());
}

#[tokio::test]
async fn without_the_extension_it_says_so() {
    for server in testkit::servers() {
        let database = testkit::database(server).await;
        let error = HypoPg::connect(&target(&database.url), &HypoPgOptions::default()).await.unwrap_err();
        assert!(matches!(&error, Error::ExtensionMissing { name, .. } if name == "hypopg"), "{error:?}");
        assert!(error.hint().unwrap().contains("CREATE EXTENSION hypopg"));
    }
}
