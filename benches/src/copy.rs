//! How do generated rows get into a table? In chunks, straight into `COPY`, nothing on disk between.
//!
//! Source: PostgreSQL manual, "COPY" and "Populating a Database": rows that are copied into a table of the
//! same transaction need no write-ahead log when `wal_level` is `minimal`.

use anyhow::{Context as _, Result};
use bytes::Bytes;
use futures_util::SinkExt as _;
use tokio::sync::mpsc::Receiver;
use tokio_postgres::Client;

/// Bytes that travel at once.
pub const CHUNK: usize = 1 << 20;
/// Chunks that may wait for the server.
pub const CHUNKS_AHEAD: usize = 4;

/// Copies chunks until their sender is gone. `format` is what `COPY` is to know of them.
///
/// # Errors
/// When the server refuses a row.
pub async fn copy(client: &Client, table: &str, format: &str, mut chunks: Receiver<Bytes>) -> Result<()> {
    let table = model::QualifiedName::new("public", table);
    let sink = client.copy_in(&format!("COPY {table} FROM STDIN ({format}, FREEZE)")).await?;
    let mut sink = std::pin::pin!(sink);
    while let Some(chunk) = chunks.recv().await {
        sink.send(chunk).await.with_context(|| format!("copying into {table}"))?;
    }
    sink.as_mut().finish().await.with_context(|| format!("copying into {table}"))?;
    Ok(())
}
