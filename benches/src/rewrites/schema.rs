//! Which statements are looked at, and over which tables?

use std::path::PathBuf;

use anyhow::Result;
use tokio_postgres::Client;

use crate::advisor::major;
use crate::benchmark_server::{BenchmarkServer, Cache, repository};
use crate::tpch;
use crate::workload::Workload;

/// Foreign keys and indexes beside TPC-H's primary keys.
const TPCH_SCHEMA: &str = include_str!("tpch_schema.sql");
const TPCH_STATEMENTS: &str = include_str!("tpch.sql");
const DEMO_STATEMENTS: &str = include_str!("demo.sql");
/// Those of the exercise, which the demo itself runs too.
const EXERCISE: &str = include_str!("../../../crates/pgwright/src/demo/registry_exercise.sql");
const DATABASE: &str = "tpch_rewrites";

/// A statement with a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Its name.
    pub name: String,
    /// Its text without a semicolon.
    pub sql: String,
}

/// The 22 queries and what people should not write over their tables.
pub fn tpch_statements() -> Vec<Named> {
    let queries = tpch::queries().into_iter().map(|q| Named { name: q.name(), sql: q.sql });
    queries.chain(named(TPCH_STATEMENTS)).collect()
}

/// The demo's statements and what people should not write over its tables.
pub fn demo_statements() -> Vec<Named> {
    [named(EXERCISE), named(DEMO_STATEMENTS)].concat()
}

/// Statements of a file: a line `-- name: what it is`, and the text up to a semicolon at a line's end.
fn named(file: &str) -> Vec<Named> {
    let mut found = Vec::new();
    let mut name = None;
    let mut sql = String::new();
    for line in file.lines() {
        if let Some(comment) = line.strip_prefix("-- ") {
            name = comment.split_once(':').map(|(name, _)| name.to_owned());
        } else if let Some(last) = line.strip_suffix(';') {
            sql.push_str(last);
            if let Some(name) = name.take() {
                found.push(Named { name, sql: std::mem::take(&mut sql) });
            }
        } else if !line.trim().is_empty() {
            sql.push_str(line);
            sql.push('\n');
        }
    }
    found
}

/// A copy of the loaded TPC-H with foreign keys and indexes, in a database of its own.
pub struct TpchSchema {
    server: BenchmarkServer,
}

impl TpchSchema {
    /// Starts the server and makes the copy.
    ///
    /// # Errors
    /// When the server refuses something.
    pub async fn start(
        cache: &Option<PathBuf>,
        scale: f64,
        wanted: Option<u32>,
        say: &dyn Fn(&str),
    ) -> Result<Self> {
        let root = cache.clone().unwrap_or_else(|| repository().join(".cache/benchmarks"));
        let cache = Cache::new(root, Workload::Tpch, scale, major(wanted)?);
        let server = BenchmarkServer::start(cache, say).await?;
        say("copying the tables, with foreign keys and their indexes");
        let this = Self { server };
        match this.copy().await {
            Ok(()) => Ok(this),
            Err(error) => {
                this.stop().await?;
                Err(error)
            }
        }
    }

    /// Where the copy is.
    pub fn url(&self) -> String {
        self.server.url(DATABASE)
    }

    async fn copy(&self) -> Result<()> {
        let client = self.server.connect_to("postgres").await?;
        drop_copy(&client).await?;
        client.batch_execute(&format!("CREATE DATABASE {DATABASE} TEMPLATE {}", Workload::Tpch.id())).await?;
        let copy = self.server.connect_to(DATABASE).await?;
        copy.batch_execute(TPCH_SCHEMA).await?;
        copy.batch_execute("VACUUM (ANALYZE)").await?;
        Ok(())
    }

    /// Drops the copy and stops the server.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn stop(self) -> Result<()> {
        let dropped = async {
            let client = self.server.connect_to("postgres").await?;
            drop_copy(&client).await
        }
        .await;
        self.server.stop()?;
        dropped
    }
}

async fn drop_copy(client: &Client) -> Result<()> {
    Ok(client.batch_execute(&format!("DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_statement_has_a_name_of_its_own() {
        for (statements, at_least) in [(tpch_statements(), 22 + 30), (demo_statements(), 30)] {
            let mut names: Vec<&str> = statements.iter().map(|s| s.name.as_str()).collect();
            assert!(names.len() >= at_least, "{}", names.len());
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), statements.len());
            assert!(statements.iter().all(|s| !s.sql.contains(';') && !s.sql.trim().is_empty()));
        }
        let statements = named("-- a: first\nSELECT 1,\n  2;\n\n-- b: second\nSELECT 3;\n");
        assert_eq!(statements[0], Named { name: "a".into(), sql: "SELECT 1,\n  2".into() });
        assert_eq!(statements[1], Named { name: "b".into(), sql: "SELECT 3".into() });
    }
}
