//! Are answers told apart by their checksums, and only those that differ?

use std::time::Duration;

use postgres::{ChecksumOptions, Error, Session, SessionOptions, bag_checksums};

use crate::target;

const DATA: &str = "
    CREATE TABLE t (id int PRIMARY KEY, n numeric, f double precision, s text, j json);
    INSERT INTO t VALUES (1, 1.50, 0.1, 'a', '{\"a\": 1}'), (2, 1.5, -0.0, NULL, NULL), (3, 100, 'NaN', '', '[]'),
        (4, NULL, 'Infinity', '(a,b)', '1'), (5, 2, 1e300, '\"', 'null');
    CREATE FUNCTION sneaky() RETURNS int LANGUAGE sql AS 'DELETE FROM t RETURNING id'";

async fn same(session: &Session, before: &str, after: &str) -> bool {
    let (one, other) = bag_checksums(session, before, after, &ChecksumOptions::default())
        .await
        .unwrap_or_else(|e| panic!("{before}\n{after}\n{e}: {:?}", e.detail()));
    one == other
}

#[tokio::test]
async fn equal_bags_have_equal_checksums_and_others_have_not() {
    for server in testkit::servers() {
        let database = testkit::database(server).await;
        let session = target(&database.url).connect(&SessionOptions::for_user_statements()).await.unwrap();
        session.batch_execute(DATA).await.unwrap();
        for (before, after) in [
            ("SELECT * FROM t", "SELECT * FROM t ORDER BY id DESC;  "),
            ("SELECT n FROM t", "SELECT n::numeric(10,4) FROM t -- scale"),
            ("SELECT f FROM t WHERE id = 2", "SELECT 0::float8 AS f"),
            ("SELECT 0.1::float8 + 0.2::float8", "SELECT 0.3::float8"),
            ("SELECT id AS a, id AS a FROM t", "SELECT id, id FROM t"),
            ("SELECT FROM t", "SELECT FROM t"),
            ("SELECT 1 WHERE false", "SELECT 2 WHERE false"),
        ] {
            assert!(same(&session, before, after).await, "{before}\n{after}");
        }
        for (before, after) in [
            ("SELECT id FROM t", "SELECT id FROM t UNION ALL SELECT 1"),
            ("SELECT s FROM t WHERE id = 2", "SELECT s FROM t WHERE id = 3"),
            ("SELECT 'a', 'b,c'", "SELECT 'a,b', 'c'"),
            ("SELECT f FROM t WHERE id = 3", "SELECT f FROM t WHERE id = 4"),
            ("SELECT 1 UNION ALL SELECT 1", "SELECT 1"),
            ("SELECT FROM t", "SELECT FROM t WHERE id > 1"),
        ] {
            assert!(!same(&session, before, after).await, "{before}\n{after}");
        }

        // What writes is refused by the transaction, and what is slow is stopped.
        let options = ChecksumOptions::default();
        let refused = bag_checksums(&session, "SELECT sneaky()", "SELECT 1", &options).await.unwrap_err();
        assert!(matches!(&refused, Error::Query { sqlstate, .. } if sqlstate == "25006"), "{refused:?}");
        let short = ChecksumOptions { statement_timeout: Duration::from_millis(50), ..options };
        let slow = bag_checksums(&session, "SELECT pg_sleep(30)", "SELECT 1", &short).await.unwrap_err();
        assert!(matches!(slow, Error::Timeout { .. }), "{slow:?}");
        let smuggled = bag_checksums(&session, "SELECT 1) AS x; DROP TABLE t; --", "SELECT 1", &short).await;
        assert!(smuggled.is_err());
        assert!(same(&session, "SELECT count(*) FROM t", "SELECT 5::bigint").await, "the session goes on");
    }
}
