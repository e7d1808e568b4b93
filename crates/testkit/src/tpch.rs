//! How does a test get a database of joins, aggregates and subqueries that everybody knows? TPC-H, small.
//!
//! Source: TPC Benchmark H, revision 3.0.1; rows come from the crate `tpchgen`, whose output is that of
//! `dbgen`. Tables, keys and queries are those that `benches/` measures at scale factor 1.

use std::fmt::{Display, Write as _};
use std::pin::pin;

use bytes::Bytes;
use futures_util::SinkExt as _;
use tokio_postgres::Client;
use tpchgen::generators::{
    CustomerGenerator, LineItemGenerator, NationGenerator, OrderGenerator, PartGenerator, PartSuppGenerator,
    RegionGenerator, SupplierGenerator,
};

/// Creates the tables.
pub const SCHEMA: &str = include_str!("../../../benches/src/tpch/schema.sql");
/// Adds the primary keys.
pub const KEYS: &str = include_str!("../../../benches/src/tpch/keys.sql");
/// The 22 queries with the values of the specification's query validation.
pub const QUERIES: [&str; 22] = [
    include_str!("../../../benches/src/tpch/queries/q01.sql"),
    include_str!("../../../benches/src/tpch/queries/q02.sql"),
    include_str!("../../../benches/src/tpch/queries/q03.sql"),
    include_str!("../../../benches/src/tpch/queries/q04.sql"),
    include_str!("../../../benches/src/tpch/queries/q05.sql"),
    include_str!("../../../benches/src/tpch/queries/q06.sql"),
    include_str!("../../../benches/src/tpch/queries/q07.sql"),
    include_str!("../../../benches/src/tpch/queries/q08.sql"),
    include_str!("../../../benches/src/tpch/queries/q09.sql"),
    include_str!("../../../benches/src/tpch/queries/q10.sql"),
    include_str!("../../../benches/src/tpch/queries/q11.sql"),
    include_str!("../../../benches/src/tpch/queries/q12.sql"),
    include_str!("../../../benches/src/tpch/queries/q13.sql"),
    include_str!("../../../benches/src/tpch/queries/q14.sql"),
    include_str!("../../../benches/src/tpch/queries/q15.sql"),
    include_str!("../../../benches/src/tpch/queries/q16.sql"),
    include_str!("../../../benches/src/tpch/queries/q17.sql"),
    include_str!("../../../benches/src/tpch/queries/q18.sql"),
    include_str!("../../../benches/src/tpch/queries/q19.sql"),
    include_str!("../../../benches/src/tpch/queries/q20.sql"),
    include_str!("../../../benches/src/tpch/queries/q21.sql"),
    include_str!("../../../benches/src/tpch/queries/q22.sql"),
];

/// Makes the tables, their rows and keys, and their statistics. Scale 0.05 has 300,000 rows in the largest.
///
/// # Panics
/// When the server refuses.
pub async fn load(client: &Client, scale: f64) {
    client.batch_execute(SCHEMA).await.unwrap_or_else(|e| panic!("{e:?}"));
    copy(client, "region", RegionGenerator::new(scale, 1, 1).into_iter()).await;
    copy(client, "nation", NationGenerator::new(scale, 1, 1).into_iter()).await;
    copy(client, "part", PartGenerator::new(scale, 1, 1).into_iter()).await;
    copy(client, "supplier", SupplierGenerator::new(scale, 1, 1).into_iter()).await;
    copy(client, "partsupp", PartSuppGenerator::new(scale, 1, 1).into_iter()).await;
    copy(client, "customer", CustomerGenerator::new(scale, 1, 1).into_iter()).await;
    copy(client, "orders", OrderGenerator::new(scale, 1, 1).into_iter()).await;
    copy(client, "lineitem", LineItemGenerator::new(scale, 1, 1).into_iter()).await;
    client.batch_execute(KEYS).await.unwrap_or_else(|e| panic!("{e:?}"));
    client.batch_execute("VACUUM (FREEZE, ANALYZE)").await.unwrap_or_else(|e| panic!("{e:?}"));
}

async fn copy<R>(client: &Client, table: &str, rows: R)
where
    R: Iterator,
    R::Item: Display,
{
    const CHUNK: usize = 1 << 18;
    let sql = format!("COPY {table} FROM STDIN WITH (FORMAT text, DELIMITER '|')");
    let sink = client.copy_in::<_, Bytes>(&sql).await.unwrap_or_else(|e| panic!("{table}: {e:?}"));
    let mut sink = pin!(sink);
    let mut chunk = String::with_capacity(CHUNK + 1024);
    for row in rows {
        // Writing into a string does not fail.
        let _ = write!(chunk, "{row}");
        // A row ends with a delimiter, which COPY would take for one column more.
        if chunk.ends_with('|') {
            chunk.pop();
        }
        chunk.push('\n');
        if chunk.len() >= CHUNK {
            let full = std::mem::replace(&mut chunk, String::with_capacity(CHUNK + 1024));
            sink.send(full.into()).await.unwrap_or_else(|e| panic!("{table}: {e:?}"));
        }
    }
    sink.send(chunk.into()).await.unwrap_or_else(|e| panic!("{table}: {e:?}"));
    sink.finish().await.unwrap_or_else(|e| panic!("{table}: {e:?}"));
}
