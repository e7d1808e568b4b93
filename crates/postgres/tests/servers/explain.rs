//! Does EXPLAIN plan what it is given, and can it be made to write?

use std::time::Duration;

use postgres::{Error, ExplainOptions, Session, SessionOptions, explain};

use crate::target;

async fn user_session(url: &str) -> Session {
    target(url).connect(&SessionOptions::for_user_statements()).await.unwrap()
}

async fn count(session: &Session) -> i64 {
    session.query_one("SELECT count(*) FROM public.t", &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn plans_come_back_and_nothing_is_written() {
    for server in testkit::servers() {
        let database = testkit::database(server).await;
        let session = user_session(&database.url).await;
        session
            .batch_execute(
                "CREATE TABLE t (id int PRIMARY KEY, a text); INSERT INTO t SELECT g, 'x' FROM generate_series(1, 1000) g; \
                 ANALYZE t; CREATE SEQUENCE s; \
                 CREATE FUNCTION sneaky() RETURNS int LANGUAGE sql AS 'INSERT INTO t VALUES (-1) RETURNING id'",
            )
            .await
            .unwrap();

        let plan =
            explain(&session, "SELECT * FROM t WHERE id = 7;", &ExplainOptions::default()).await.unwrap();
        assert_eq!(plan["Plan"]["Node Type"], "Index Scan");
        assert!(plan["Plan"].get("Actual Rows").is_none());

        let plan =
            explain(&session, "SELECT * FROM t WHERE id < 11", &ExplainOptions::analyze()).await.unwrap();
        assert_eq!(plan["Plan"]["Actual Rows"].as_f64(), Some(10.0));
        assert!(plan["Plan"]["Shared Hit Blocks"].as_i64().unwrap() > 0);

        // One that writes can be planned, and not analyzed.
        let plan = explain(&session, "DELETE FROM t", &ExplainOptions::default()).await.unwrap();
        assert_eq!(plan["Plan"]["Operation"], "Delete");
        for sql in ["DELETE FROM t", "SELECT sneaky()", "SELECT nextval('s')"] {
            let error = explain(&session, sql, &ExplainOptions::analyze()).await.unwrap_err();
            assert_eq!(error.sqlstate(), Some("25006"), "{sql}: {error:?}");
        }
        // PostgreSQL lets this one pass in a transaction that only reads; it is rolled back.
        explain(&session, "CREATE TABLE u AS SELECT 1", &ExplainOptions::analyze()).await.unwrap();
        for sql in [
            "SELECT 1; DELETE FROM t",
            "SELECT 1; COMMIT; DELETE FROM t",
            "ROLLBACK",
            "(ANALYZE) DELETE FROM t",
            "nonsense",
            "",
        ] {
            for options in [ExplainOptions::default(), ExplainOptions::analyze(), ExplainOptions::generic()] {
                let error = explain(&session, sql, &options).await.unwrap_err();
                assert_eq!(error.sqlstate(), Some("42601"), "{sql}: {error:?}");
            }
        }
        assert_eq!(count(&session).await, 1000);
        assert!(
            session
                .query_one("SELECT to_regclass('u')::text", &[])
                .await
                .unwrap()
                .get::<_, Option<String>>(0)
                .is_none()
        );
    }
}

#[tokio::test]
async fn a_generic_plan_needs_no_values() {
    for server in testkit::servers() {
        let database = testkit::database(server).await;
        let session = user_session(&database.url).await;
        session.batch_execute("CREATE TABLE t (id int PRIMARY KEY, a text)").await.unwrap();
        for _ in 0..2 {
            let sql = "SELECT * FROM t WHERE id = $1 AND a LIKE $2";
            let plan = explain(&session, sql, &ExplainOptions::generic()).await.unwrap();
            let text = plan.to_string();
            assert!(text.contains("(id = $1)") && text.contains("~~ $2"), "{text}");
        }
        let plan = explain(&session, "SELECT 1", &ExplainOptions::generic()).await.unwrap();
        assert_eq!(plan["Plan"]["Node Type"], "Result");
        let both = ExplainOptions { analyze: true, ..ExplainOptions::generic() };
        let error = explain(&session, "SELECT 1", &both).await.unwrap_err();
        assert!(matches!(error, Error::Refused { .. }), "{error:?}");
        // With values it is executed, and stays the plan for any value.
        session.batch_execute("INSERT INTO t SELECT n, 'x' FROM generate_series(1, 100) n").await.unwrap();
        let arguments = vec!["'7'".to_owned(), "'x'".to_owned()];
        let measured = ExplainOptions { arguments, ..both };
        let sql = "SELECT * FROM t WHERE id = $1 AND a LIKE $2";
        let plan = explain(&session, sql, &measured).await.unwrap();
        assert_eq!(plan["Plan"]["Actual Rows"].as_f64(), Some(1.0), "{plan}");
        assert!(plan.to_string().contains("(id = $1)"), "{plan}");
        let error = explain(&session, "SELECT * FROM t WHERE id = $1", &measured).await.unwrap_err();
        assert!(error.to_string().contains("has 1 parameters and not 2"), "{error}");
        let left =
            session.query("SELECT name FROM pg_prepared_statements WHERE name LIKE 'pgwright%'", &[]).await;
        assert!(left.unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_statement_that_takes_too_long_is_stopped() {
    for server in testkit::servers() {
        let database = testkit::database(server).await;
        let session = user_session(&database.url).await;
        let options =
            ExplainOptions { statement_timeout: Duration::from_millis(150), ..ExplainOptions::analyze() };
        let error = explain(&session, "SELECT pg_sleep(20)", &options).await.unwrap_err();
        assert!(matches!(&error, Error::Timeout { sqlstate, .. } if sqlstate == "57014"), "{error:?}");
        // The session is as it was.
        assert!(explain(&session, "SELECT 1", &ExplainOptions::default()).await.is_ok());

        session.batch_execute("CREATE TABLE locked (id int)").await.unwrap();
        let holder = testkit::connect(&database.url).await;
        holder.batch_execute("BEGIN; LOCK TABLE locked").await.unwrap();
        let options =
            ExplainOptions { lock_timeout: Duration::from_millis(150), ..ExplainOptions::default() };
        let error = explain(&session, "SELECT * FROM locked", &options).await.unwrap_err();
        assert!(matches!(&error, Error::Timeout { sqlstate, .. } if sqlstate == "55P03"), "{error:?}");
        assert!(error.hint().unwrap().contains("lock"));
    }
}

#[tokio::test]
async fn a_plan_that_is_too_deep_is_said_to_be() {
    let server = testkit::servers().next().unwrap();
    let database = testkit::database(server).await;
    let session = user_session(&database.url).await;
    session.batch_execute("CREATE TABLE t (id int)").await.unwrap();
    // Each subquery is a node that nothing merges.
    let nested = |depth: usize| {
        format!("SELECT * FROM {}t{}", "(SELECT * FROM ".repeat(depth), " LIMIT 10) t".repeat(depth))
    };
    assert!(explain(&session, &nested(20), &ExplainOptions::default()).await.is_ok());
    let error = explain(&session, &nested(100), &ExplainOptions::default()).await.unwrap_err();
    assert_eq!(error.to_string(), "the plan is nested deeper than 128 levels of JSON");
    assert!(error.hint().is_some_and(|hint| hint.contains("pgwright explain FILE")));
}
