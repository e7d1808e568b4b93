//! Do the fixtures give what they promise, on every version?

#![allow(clippy::unwrap_used)] // A test says what it expects by unwrapping.

#[tokio::test]
async fn every_version_has_databases_apart_from_one_another() {
    for server in testkit::servers() {
        let (one, two) = (testkit::database(server).await, testkit::database(server).await);
        assert_ne!(one.url, two.url);
        let client = testkit::connect(&one.url).await;
        client
            .batch_execute(
                "CREATE TABLE only_here (); CREATE EXTENSION pg_stat_statements; LOAD 'auto_explain';
                 SELECT pg_stat_statements_reset();",
            )
            .await
            .unwrap();
        let seen: i64 =
            client.query_one("SELECT count(*) FROM pg_stat_statements", &[]).await.unwrap().get(0);
        assert!(seen > 0);
        let other = testkit::connect(&two.url).await;
        let there: bool =
            other.query_one("SELECT to_regclass('only_here') IS NOT NULL", &[]).await.unwrap().get(0);
        assert!(!there);
        let major: String = other.query_one("SHOW server_version_num", &[]).await.unwrap().get(0);
        assert_eq!(major.parse::<u32>().unwrap() / 10_000, server.binaries().major);
        assert_eq!(testkit::server(server.binaries().major).pid(), server.pid());
    }
}
