//! How do the rows of TPC-H get into a database? Generated in one thread and streamed into `COPY`, nothing
//! on disk between.
//!
//! Source: PostgreSQL manual, "Populating a Database": rows that are copied into a table of the same
//! transaction need no write-ahead log when `wal_level` is `minimal`, and keys are built afterwards.

use std::fmt::{Display, Write as _};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use futures_util::SinkExt as _;
use tokio::sync::mpsc;
use tokio_postgres::Client;
use tpchgen::generators::{
    CustomerGenerator, LineItemGenerator, NationGenerator, OrderGenerator, PartGenerator, PartSuppGenerator,
    RegionGenerator, SupplierGenerator,
};

use super::{KEYS, SCHEMA};

/// Bytes that travel at once.
const CHUNK: usize = 1 << 20;
/// Chunks that may wait for the server.
const CHUNKS_AHEAD: usize = 4;

/// Makes tables, rows, keys and statistics in an empty database.
///
/// # Errors
/// When the server refuses something.
pub async fn load(client: &Client, scale: f64) -> Result<()> {
    client.batch_execute("BEGIN").await?;
    client.batch_execute(SCHEMA).await?;
    copy(client, "region", RegionGenerator::new(scale, 1, 1).into_iter()).await?;
    copy(client, "nation", NationGenerator::new(scale, 1, 1).into_iter()).await?;
    copy(client, "part", PartGenerator::new(scale, 1, 1).into_iter()).await?;
    copy(client, "supplier", SupplierGenerator::new(scale, 1, 1).into_iter()).await?;
    copy(client, "partsupp", PartSuppGenerator::new(scale, 1, 1).into_iter()).await?;
    copy(client, "customer", CustomerGenerator::new(scale, 1, 1).into_iter()).await?;
    copy(client, "orders", OrderGenerator::new(scale, 1, 1).into_iter()).await?;
    copy(client, "lineitem", LineItemGenerator::new(scale, 1, 1).into_iter()).await?;
    client.batch_execute("COMMIT").await?;
    client.batch_execute(KEYS).await?;
    client.batch_execute("VACUUM (FREEZE, ANALYZE)").await?;
    Ok(())
}

async fn copy<R>(client: &Client, table: &'static str, rows: R) -> Result<()>
where
    R: Iterator + Send + 'static,
    R::Item: Display,
{
    let (sender, mut receiver) = mpsc::channel::<Bytes>(CHUNKS_AHEAD);
    let generator = tokio::task::spawn_blocking(move || {
        let mut chunk = String::with_capacity(CHUNK + 1024);
        for row in rows {
            // A row ends with a delimiter, which COPY would take for one column more.
            let _ = write!(chunk, "{row}");
            if chunk.ends_with('|') {
                chunk.pop();
            }
            chunk.push('\n');
            if chunk.len() >= CHUNK {
                let full = std::mem::replace(&mut chunk, String::with_capacity(CHUNK + 1024));
                if sender.blocking_send(full.into()).is_err() {
                    // The server refused; its own error is reported.
                    return;
                }
            }
        }
        let _ = sender.blocking_send(chunk.into());
    });
    let sql = format!("COPY public.{table} FROM STDIN (FORMAT text, DELIMITER '|', FREEZE)");
    let sink = client.copy_in(&sql).await?;
    let mut sink = std::pin::pin!(sink);
    while let Some(chunk) = receiver.recv().await {
        sink.send(chunk).await.with_context(|| format!("copying into {table}"))?;
    }
    sink.as_mut().finish().await.with_context(|| format!("copying into {table}"))?;
    generator.await?;
    Ok(())
}
