//! How do the rows of TPC-H get into a database? Generated in one thread and streamed into `COPY`.

use std::fmt::{Display, Write as _};

use anyhow::Result;
use tokio::sync::mpsc;
use tokio_postgres::Client;
use tpchgen::generators::{
    CustomerGenerator, LineItemGenerator, NationGenerator, OrderGenerator, PartGenerator, PartSuppGenerator,
    RegionGenerator, SupplierGenerator,
};

use crate::copy::{self, CHUNK, CHUNKS_AHEAD};

/// Makes the tables and their rows.
///
/// # Errors
/// When the server refuses something.
pub async fn load(client: &Client, scale: f64) -> Result<()> {
    client.batch_execute(super::SCHEMA).await?;
    copy(client, "region", RegionGenerator::new(scale, 1, 1).into_iter()).await?;
    copy(client, "nation", NationGenerator::new(scale, 1, 1).into_iter()).await?;
    copy(client, "part", PartGenerator::new(scale, 1, 1).into_iter()).await?;
    copy(client, "supplier", SupplierGenerator::new(scale, 1, 1).into_iter()).await?;
    copy(client, "partsupp", PartSuppGenerator::new(scale, 1, 1).into_iter()).await?;
    copy(client, "customer", CustomerGenerator::new(scale, 1, 1).into_iter()).await?;
    copy(client, "orders", OrderGenerator::new(scale, 1, 1).into_iter()).await?;
    copy(client, "lineitem", LineItemGenerator::new(scale, 1, 1).into_iter()).await
}

async fn copy<R>(client: &Client, table: &'static str, rows: R) -> Result<()>
where
    R: Iterator + Send + 'static,
    R::Item: Display,
{
    let (sender, receiver) = mpsc::channel(CHUNKS_AHEAD);
    let generator = tokio::task::spawn_blocking(move || {
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
                if sender.blocking_send(full.into()).is_err() {
                    // The server refused; its own error is reported.
                    return;
                }
            }
        }
        let _ = sender.blocking_send(chunk.into());
    });
    copy::copy(client, table, "FORMAT text, DELIMITER '|'", receiver).await?;
    Ok(generator.await?)
}
