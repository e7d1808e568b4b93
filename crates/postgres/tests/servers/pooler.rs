//! Is a pooler noticed, and told apart by its mode? PgBouncer itself, in front of a real server.

use std::time::Duration;

use postgres::catalog::SessionLooks;
use postgres::{Capabilities, Error, SessionOptions, snapshot, statements};

use testkit::PgBouncer;

use crate::{oldest_server, session, target};

#[tokio::test]
async fn transaction_mode_is_refused_and_nothing_is_left_in_its_connections() {
    for server in testkit::servers() {
        let database = testkit::database(server).await;
        for pool_size in [1, 5] {
            let pooler = PgBouncer::start(server, "transaction", pool_size).await;
            let url = pooler.url(&database.name);
            for _ in 0..3 {
                let error = target(&url).connect(&SessionOptions::default()).await.unwrap_err();
                assert!(matches!(&error, Error::Pooler { port: 6432, .. }), "{error:?}");
                assert!(error.hint().unwrap().contains("past the pooler"));
            }
            // What another client of the pool would find.
            let other = testkit::connect(&format!("{url}?application_name=other")).await;
            let rows = other.simple_query("SHOW search_path").await.unwrap();
            let path = rows.iter().find_map(|m| match m {
                tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
                _ => None,
            });
            assert_eq!(path.as_deref(), Some("\"$user\", public"));
        }
    }
}

#[tokio::test]
async fn a_busy_pool_is_still_recognized() {
    let server = oldest_server();
    let database = testkit::database(server).await;
    let pooler = PgBouncer::start(server, "transaction", 8).await;
    let url = pooler.url(&database.name);
    let mut others = Vec::new();
    for _ in 0..6 {
        let client = testkit::connect(&url).await;
        others.push(tokio::spawn(async move {
            loop {
                let _ = client.simple_query("SELECT pg_sleep(0.002)").await;
            }
        }));
    }
    for _ in 0..10 {
        let error = target(&url).connect(&SessionOptions::default()).await.unwrap_err();
        assert!(matches!(&error, Error::Pooler { .. }), "{error:?}");
    }
    for other in others {
        other.abort();
    }
}

#[tokio::test]
async fn what_only_reads_catalogs_works_through_transaction_mode() {
    for server in testkit::servers() {
        let database = testkit::database(server).await;
        let admin = testkit::connect(&database.url).await;
        admin
            .batch_execute("CREATE EXTENSION pg_stat_statements; CREATE TABLE t (id int PRIMARY KEY, a text)")
            .await
            .unwrap();
        let pooler = PgBouncer::start(server, "transaction", 3).await;
        let options = SessionOptions { allow_transaction_pooler: true, ..SessionOptions::default() };
        let pooled = target(&pooler.url(&database.name)).connect(&options).await.unwrap();
        assert!(pooled.behind_transaction_pooler());
        let looks = SessionLooks::through(&pooled).await.unwrap();
        for _ in 0..5 {
            assert!(!looks.look(&pooled, None).await.unwrap().sessions.is_empty());
            let capabilities = Capabilities::read(&pooled).await.unwrap();
            assert!(capabilities.behind_transaction_pooler);
            assert!(capabilities.pg_stat_statements.readable());
            statements::read(&pooled).await.unwrap();
            let through = snapshot::read_without_schema(&pooled, Duration::from_secs(1)).await.unwrap();
            assert_eq!(through.relations.len(), 1);
        }
        let direct = session(&database.url).await;
        let direct = snapshot::read_without_schema(&direct, Duration::from_secs(1)).await.unwrap();
        let through = snapshot::read_without_schema(&pooled, Duration::from_secs(1)).await.unwrap();
        assert_eq!(direct.indexes, through.indexes);
    }
}

#[tokio::test]
async fn session_mode_is_as_good_as_a_server() {
    let server = oldest_server();
    let database = testkit::database(server).await;
    let pooler = PgBouncer::start(server, "session", 5).await;
    let open = session(&pooler.url(&database.name)).await;
    assert!(open.behind_pooler() && !open.behind_transaction_pooler());
    let path = open.query_one("SHOW search_path", &[]).await.unwrap();
    assert_eq!(path.get::<_, String>(0), "pg_catalog");
    assert!(Capabilities::read(&open).await.unwrap().behind_pooler);
}

#[tokio::test]
async fn statement_mode_and_refused_options_are_poolers_too() {
    let server = oldest_server();
    let database = testkit::database(server).await;
    let pooler = PgBouncer::start(server, "statement", 5).await;
    let url = pooler.url(&database.name);
    let error = target(&url).connect(&SessionOptions::default()).await.unwrap_err();
    assert!(matches!(&error, Error::Pooler { .. }), "{error:?}");
    let error = target(&format!("{url}?options=-c%20geqo%3Doff"))
        .connect(&SessionOptions::default())
        .await
        .unwrap_err();
    assert!(matches!(&error, Error::Pooler { reason, .. } if reason.contains("options")), "{error:?}");
}
