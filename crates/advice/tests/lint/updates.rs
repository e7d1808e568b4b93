//! Updates that could be HOT and find no room: told apart from those that change an indexed column, and mended.

use model::Millis;
use model::snapshot::Statement;
use tokio_postgres::Client;

use crate::{findings, place, snapshot};

/// Every row is updated once, by two transactions that find their rows in all pages.
async fn update(client: &Client, table: &str, column: &str) {
    // A rewrite that puts the rows of both into each page again.
    client.batch_execute(&format!("cluster {table} using {table}_pkey")).await.unwrap();
    let reset = format!("select pg_stat_reset_single_table_counters('{table}'::regclass)");
    client.batch_execute(&reset).await.unwrap();
    for part in 0..2 {
        let sql = format!("update {table} set {column} = {column} + 1 where id % 2 = {part}");
        client.batch_execute(&sql).await.unwrap();
    }
}

async fn hot_share(client: &Client, table: &str) -> f64 {
    crate::faults::wait_for_counters(client).await;
    let sql =
        "select n_tup_hot_upd::float8 / nullif(n_tup_upd, 0) from pg_stat_user_tables where relname = $1";
    client.query_one(sql, &[&table]).await.unwrap().get(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fill_factor_is_recommended_where_room_is_what_is_missing() {
    for server in testkit::servers() {
        let major = server.binaries().major;
        let database = testkit::database(server).await;
        let client = testkit::connect(&database.url).await;
        for (table, fillfactor) in [("crowded", 100), ("roomy", 50), ("indexed", 100)] {
            let sql = format!(
                "create table {table} (id int primary key, n int not null, k int not null, s text)
                     with (fillfactor = {fillfactor}, autovacuum_enabled = off);
                 insert into {table} select n, n, n, repeat('x', 60) from generate_series(1, 20000) n;
                 create index on {table} (k)"
            );
            client.batch_execute(&sql).await.unwrap();
        }
        for (table, column) in [("crowded", "n"), ("roomy", "n"), ("indexed", "k")] {
            update(&client, table, column).await;
        }
        client.batch_execute("analyze").await.unwrap();
        let crowded = hot_share(&client, "crowded").await;
        assert!(crowded < 0.7, "on {major}: {crowded}");
        let mut snapshot = snapshot(&database.url).await;
        snapshot.statements = [("crowded", "n"), ("roomy", "n"), ("indexed", "k")]
            .iter()
            .zip(1..)
            .map(|((table, column), queryid)| Statement {
                queryid,
                query: format!("update {table} set {column} = {column} + $1 where id % $2 = $3"),
                calls: 2,
                rows: 20_000,
                mean_exec_time: Millis(1.0),
                total_exec_time: Millis(20.0),
                toplevel: true,
                ..Statement::default()
            })
            .collect();
        let found = findings(&snapshot, &["updates-without-room"]);
        let names: Vec<String> = found.iter().map(|f| place(&f.finding.object).1).collect();
        assert_eq!(names, ["crowded"], "on {major}: {found:#?}");
        for statement in &found[0].remedy.as_ref().unwrap().sql {
            client.batch_execute(statement).await.unwrap();
        }
        // As long as somebody may see them, old versions make no room.
        let others =
            "select count(*) from pg_stat_activity where backend_xmin is not null and pid <> pg_backend_pid()
                      and datname = current_database()";
        while client.query_one(others, &[]).await.unwrap().get::<_, i64>(0) > 0 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        update(&client, "crowded", "n").await;
        let mended = hot_share(&client, "crowded").await;
        assert!(mended > 0.9, "on {major}: {crowded} to {mended}");
    }
}
