//! What is a workload with more tables, more skew and longer queries than TPC-H? TPC-DS: 24 tables with
//! primary keys only, and 99 queries.
//!
//! Source: TPC Benchmark DS. Rows and queries come from DuckDB's wheel on PyPI, whose version 1.0 holds the
//! generator and the query texts, so that nothing else has to be fetched; types are DuckDB's (`varchar` where
//! the specification says `char(n)`), keys are the specification's.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use bytes::{Bytes, BytesMut};
use serde::Deserialize;
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;
use tokio::sync::mpsc;
use tokio_postgres::Client;

use crate::copy::{self, CHUNK, CHUNKS_AHEAD};
use crate::workload::Query;

/// Adds the primary keys.
pub const KEYS: &str = include_str!("keys.sql");
/// The program that runs in DuckDB's Python.
pub const EXPORT: &str = include_str!("export.py");
/// The last version whose wheel holds TPC-DS.
const WHEEL: &str = "duckdb==1.0.0";

#[derive(Deserialize)]
struct TableText {
    name: String,
    ddl: String,
}

#[derive(Deserialize)]
struct QueryText {
    number: u32,
    sql: String,
}

/// DuckDB with its generator, in a virtual environment of its own.
pub struct Generator {
    python: PathBuf,
    program: PathBuf,
    root: PathBuf,
}

impl Generator {
    /// Installs what is missing below a folder.
    ///
    /// # Errors
    /// When there is no Python, or the wheel cannot be fetched.
    pub async fn install(root: &Path) -> Result<Self> {
        let environment = root.join("duckdb");
        let python = environment.join("bin/python");
        if !environment.join("installed").is_file() {
            run(Command::new("python3").args(["-m", "venv"]).arg(&environment)).await?;
            run(Command::new(&python).args(["-m", "pip", "install", "--quiet", WHEEL])).await?;
            std::fs::write(environment.join("installed"), WHEEL)?;
        }
        let program = environment.join("export.py");
        std::fs::write(&program, EXPORT)?;
        Ok(Self { python, program, root: root.to_owned() })
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.python);
        command.arg(&self.program).args(arguments).kill_on_drop(true);
        command
    }

    /// The 99 queries.
    ///
    /// # Errors
    /// When the generator fails.
    pub async fn queries(&self) -> Result<Vec<Query>> {
        let json = run(&mut self.command(&["queries", ":memory:"])).await?;
        let texts: Vec<QueryText> = serde_json::from_slice(&json)?;
        Ok(texts.into_iter().map(|q| Query { number: q.number, sql: q.sql }).collect())
    }

    /// Makes the tables and their rows.
    ///
    /// # Errors
    /// When the generator fails or the server refuses something.
    pub async fn load(&self, client: &Client, scale: f64) -> Result<()> {
        let file = self.root.join("tpcds-generated.duckdb");
        let path = file.to_str().context("the path of the cache is not UTF-8")?.to_owned();
        let remove = || if file.exists() { std::fs::remove_file(&file) } else { Ok(()) };
        remove()?;
        run(&mut self.command(&["make", &path, &scale.to_string()])).await?;
        let json = run(&mut self.command(&["tables", &path])).await?;
        for table in serde_json::from_slice::<Vec<TableText>>(&json)? {
            client.batch_execute(&table.ddl).await.with_context(|| format!("creating {}", table.name))?;
            self.copy(client, &path, &table.name).await?;
        }
        remove()?;
        Ok(())
    }

    async fn copy(&self, client: &Client, database: &str, table: &str) -> Result<()> {
        let mut child = self.command(&["rows", database, table]).stdout(Stdio::piped()).spawn()?;
        let mut output = child.stdout.take().context("the generator has no output")?;
        let (sender, receiver) = mpsc::channel::<Bytes>(CHUNKS_AHEAD);
        let reader = tokio::spawn(async move {
            loop {
                let mut chunk = BytesMut::with_capacity(CHUNK);
                while chunk.len() < CHUNK && output.read_buf(&mut chunk).await? > 0 {}
                if chunk.is_empty() || sender.send(chunk.freeze()).await.is_err() {
                    return std::io::Result::Ok(());
                }
            }
        });
        copy::copy(client, table, "FORMAT csv", receiver).await?;
        reader.await??;
        ensure!(child.wait().await?.success(), "the generator failed at {table}");
        Ok(())
    }
}

/// Runs a program to its end and takes what it prints.
async fn run(command: &mut Command) -> Result<Vec<u8>> {
    let name = command.as_std().get_program().to_string_lossy().into_owned();
    let output = command.output().await.with_context(|| format!("starting {name}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{name} failed: {}", said.trim());
    Ok(output.stdout)
}
