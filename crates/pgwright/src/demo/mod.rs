//! What does the demo load? Two databases that behave like real ones, the same from the same seed.
//!
//! Source: the performance-tuning exercise (model registry) and the maintenance tutorial (smart
//! meters) that pgwright re-enacts. Loading is one transaction: tables are created and filled in it,
//! so that `COPY … FREEZE` applies (PostgreSQL manual, "COPY") and a failure leaves nothing behind.

mod copy_format;
mod exercise;
mod meters;
mod progress;
mod registry;
mod registry_plan;
#[cfg(test)]
mod tests;
mod textbook;

use std::fmt;
use std::pin::pin;
use std::str::FromStr;
use std::time::Instant;

use chrono::{DateTime, Utc};
use futures_util::SinkExt;
use model::{Bytes, quote_literal};
use postgres::tokio_postgres::{self, Client};
use postgres::{SessionOptions, Target};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::workload::{self, WorkloadFile};
use copy_format::{Chunk, RowSink, Stopped};
pub use exercise::exercise;
pub use progress::terminal_progress;
pub use textbook::statements as textbook_statements;

/// A demo database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scenario {
    /// The ML model registry: models, versions, training runs, deployments, approvals.
    Registry,
    /// Smart meters: customers, meters, daily load profiles.
    Meters,
    /// The same meters, the readings in a partition per month.
    MetersPartitioned,
}

impl Scenario {
    /// All of them, for `--help` and tests.
    pub const ALL: [Self; 3] = [Self::Registry, Self::Meters, Self::MetersPartitioned];

    /// The name on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Registry => "registry",
            Self::Meters => "meters",
            Self::MetersPartitioned => "meters-partitioned",
        }
    }

    fn tables_sql(self, now: DateTime<Utc>) -> String {
        match self {
            Self::Registry => include_str!("registry_tables.sql").to_owned(),
            Self::Meters => meters::tables_sql(None),
            Self::MetersPartitioned => meters::tables_sql(Some(now)),
        }
    }

    fn constraints_sql(self) -> String {
        match self {
            Self::Registry => include_str!("registry_constraints.sql").to_owned(),
            Self::Meters => include_str!("meters_constraints.sql").to_owned(),
            // The key of a partitioned table must hold what it is partitioned by.
            Self::MetersPartitioned => include_str!("meters_constraints.sql")
                .replace("KEY (reading_id)", "KEY (reading_id, reading_timestamp)"),
        }
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Scenario {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|scenario| scenario.as_str() == name).ok_or_else(|| {
            let known: Vec<&str> = Self::ALL.iter().map(|scenario| scenario.as_str()).collect();
            format!("there is no scenario \"{name}\", only {}", known.join(" and "))
        })
    }
}

/// The workload of a scenario, as shipped with the program.
///
/// # Errors
/// Only when the shipped file is at fault, which a test excludes.
pub fn workload(scenario: Scenario) -> Result<WorkloadFile, workload::FileError> {
    let (name, text) = workload_text(scenario);
    WorkloadFile::parse(name, text)
}

/// The name and the text of a scenario's workload file, to be copied and changed by a user.
pub fn workload_text(scenario: Scenario) -> (&'static str, &'static str) {
    match scenario {
        Scenario::Registry => ("registry.workload.toml", include_str!("registry.workload.toml")),
        Scenario::Meters | Scenario::MetersPartitioned => {
            ("meters.workload.toml", include_str!("meters.workload.toml"))
        }
    }
}

/// What writing a table's rows returns.
type TableRows = Result<(), Stopped>;

/// A table to be filled.
struct Table {
    name: &'static str,
    /// The columns in the order in which rows give them.
    columns: &'static str,
    rows: u64,
    /// Whether it is partitioned; `COPY` can freeze the rows of other tables only.
    partitioned: bool,
    generate: Box<dyn FnOnce(&mut RowSink) -> TableRows + Send>,
}

/// How far loading is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadProgress {
    /// Rows are being copied.
    Copying {
        /// The table.
        table: &'static str,
        /// Rows copied so far, over all tables.
        rows: u64,
        /// Rows to copy, over all tables.
        total: u64,
    },
    /// Primary and foreign keys are being added.
    AddingKeys,
    /// The tables are being vacuumed and analyzed.
    Analyzing,
    /// All done.
    Finished,
}

/// What was loaded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoadReport {
    /// The scenario.
    pub scenario: Scenario,
    /// Each table in loading order.
    pub tables: Vec<LoadedTable>,
    /// The size of all tables with their indexes and TOAST.
    pub bytes: Bytes,
    /// How long it took, from the first statement to the end of the last ANALYZE.
    pub seconds: f64,
}

/// A loaded table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoadedTable {
    /// Its name in the schema `public`.
    pub name: String,
    /// Its rows.
    pub rows: u64,
    /// Its size with indexes and TOAST.
    pub bytes: Bytes,
}

/// Why a demo database could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The server was not reached or refused the session.
    #[error("{0}")]
    Connect(postgres::Error),
    /// A table of that name is there already.
    #[error("relation \"{relation}\" exists already in database \"{database}\"")]
    NotEmpty {
        /// The table.
        relation: String,
        /// The database.
        database: String,
    },
    /// The scale is not a number that tables can be made of.
    #[error("scale {0} is out of range")]
    Scale(f64),
    /// The server refused a statement.
    #[error("could not load the demo data")]
    Server {
        /// What was being done.
        doing: String,
        /// The error, with the SQLSTATE.
        source: postgres::Error,
    },
    /// The rows could not be made: the generator ended early.
    #[error("the rows of table \"{0}\" ended early")]
    Generator(&'static str),
}

impl DemoError {
    /// What else is known, in a sentence.
    pub fn detail(&self) -> Option<String> {
        match self {
            Self::Connect(error) => error.detail(),
            Self::NotEmpty { .. } => {
                Some("The demo only writes to databases that hold none of its tables.".into())
            }
            Self::Scale(_) => Some(format!("A scale is a number above 0 and at most {MAX_SCALE}.")),
            Self::Server { doing, source } => {
                let more = source.detail().map(|detail| format!(" {detail}")).unwrap_or_default();
                let sqlstate =
                    source.sqlstate().map(|code| format!(" (SQLSTATE {code})")).unwrap_or_default();
                Some(format!("While {doing}: {source}{sqlstate}.{more}"))
            }
            Self::Generator(_) => None,
        }
    }

    /// What to do about it, in a sentence.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Connect(error) => error.hint(),
            Self::NotEmpty { .. } => Some("Name an empty database, or let the demo create its own.".into()),
            Self::Scale(_) => None,
            Self::Server { source, .. } => source.hint().or_else(|| match source.sqlstate() {
                Some("53100") => Some("Free some disk space, or choose a smaller scale.".into()),
                Some("42501") => {
                    Some("The role must be allowed to create tables in schema \"public\".".into())
                }
                _ => None,
            }),
            Self::Generator(_) => None,
        }
    }
}

/// Beyond this the connections between the tables do not fit a small machine's memory.
const MAX_SCALE: f64 = 100.0;

/// Loads a scenario into the target's database, in which none of its tables may exist.
///
/// The same `scenario`, `scale`, `seed` and `now` give the same rows. Scale 1 of the registry is a
/// million training runs. All times lie before `now`. On an error nothing stays behind.
///
/// # Errors
/// [`DemoError`], with the server's SQLSTATE where there is one.
pub async fn load(
    target: &Target,
    scenario: Scenario,
    scale: f64,
    seed: u64,
    now: DateTime<Utc>,
    progress: &(dyn Fn(LoadProgress) + Sync),
) -> Result<LoadReport, DemoError> {
    if !(scale > 0.0 && scale <= MAX_SCALE) {
        return Err(DemoError::Scale(scale));
    }
    let started = Instant::now();
    let tables_sql = scenario.tables_sql(now);
    let now = copy_format::timestamp(now);
    let session = target.connect(&SessionOptions::default()).await.map_err(DemoError::Connect)?;
    let client: &Client = &session;

    let tables = match scenario {
        Scenario::Registry => registry::tables(scale, seed, now),
        Scenario::Meters => meters::tables(scale, seed, now, false),
        Scenario::MetersPartitioned => meters::tables(scale, seed, now, true),
    };
    refuse_existing(client, &tables, target.database()).await?;

    let names: Vec<(&'static str, u64)> = tables.iter().map(|table| (table.name, table.rows)).collect();
    let total = names.iter().map(|(_, rows)| rows).sum();
    execute(client, "starting", "BEGIN /* pgwright:demo_load */").await?;
    execute(client, "starting", "SET /* pgwright:demo_load */ LOCAL maintenance_work_mem = '256MB'").await?;
    execute(client, "creating the tables", &tables_sql).await?;
    let mut done = 0;
    for table in tables {
        let rows = table.rows;
        copy(client, table, done, total, progress).await?;
        done += rows;
    }
    progress(LoadProgress::AddingKeys);
    execute(client, "adding the keys", &scenario.constraints_sql()).await?;
    execute(client, "committing", "COMMIT /* pgwright:demo_load */").await?;

    progress(LoadProgress::Analyzing);
    let mut report = LoadReport { scenario, tables: Vec::new(), bytes: Bytes(0), seconds: 0.0 };
    for (name, rows) in names {
        let vacuum = format!("VACUUM /* pgwright:demo_load */ (ANALYZE) public.{name}");
        execute(client, "vacuuming", &vacuum).await?;
        let bytes = total_size(client, name).await?;
        report.tables.push(LoadedTable { name: name.to_owned(), rows, bytes });
    }
    report.bytes = report.tables.iter().map(|table| table.bytes).sum();
    report.seconds = started.elapsed().as_secs_f64();
    progress(LoadProgress::Finished);
    Ok(report)
}

async fn refuse_existing(client: &Client, tables: &[Table], database: &str) -> Result<(), DemoError> {
    for table in tables {
        let query = format!(
            "SELECT /* pgwright:demo_load */ pg_catalog.to_regclass({}) IS NOT NULL",
            quote_literal(&format!("public.{}", table.name))
        );
        let row = client.query_one(&query, &[]).await.map_err(server("looking for its tables"))?;
        if row.try_get(0).map_err(server("looking for its tables"))? {
            return Err(DemoError::NotEmpty {
                relation: table.name.to_owned(),
                database: database.to_owned(),
            });
        }
    }
    Ok(())
}

async fn copy(
    client: &Client,
    table: Table,
    done: u64,
    total: u64,
    progress: &(dyn Fn(LoadProgress) + Sync),
) -> Result<(), DemoError> {
    let name = table.name;
    let doing = format!("copying table \"{name}\"");
    // Rows are made on a thread of its own, a few chunks ahead of the server.
    let (send, mut chunks) = mpsc::channel::<Chunk>(8);
    let generator = tokio::task::spawn_blocking(move || {
        let mut sink = RowSink::new(send);
        (table.generate)(&mut sink).and_then(|()| sink.finish()).is_ok()
    });
    let statement = format!(
        "COPY /* pgwright:demo_load */ public.{name} ({}) FROM STDIN (FORMAT binary{})",
        table.columns,
        if table.partitioned { "" } else { ", FREEZE" }
    );
    let mut copy = pin!(client.copy_in(&statement).await.map_err(server(&doing))?);
    while let Some(chunk) = chunks.recv().await {
        copy.send(chunk.data).await.map_err(server(&doing))?;
        progress(LoadProgress::Copying { table: name, rows: done + chunk.rows, total });
    }
    if !generator.await.unwrap_or(false) {
        return Err(DemoError::Generator(name));
    }
    let copied = copy.finish().await.map_err(server(&doing))?;
    if copied == table.rows { Ok(()) } else { Err(DemoError::Generator(name)) }
}

async fn total_size(client: &Client, table: &str) -> Result<Bytes, DemoError> {
    let name = quote_literal(&format!("public.{table}"));
    // The tree of a table that is not partitioned is empty.
    let query = format!(
        "SELECT /* pgwright:demo_load */ coalesce(pg_catalog.sum(pg_catalog.pg_total_relation_size(relid)), \
         pg_catalog.pg_total_relation_size({name}::pg_catalog.regclass))::pg_catalog.int8 \
         FROM pg_catalog.pg_partition_tree({name}::pg_catalog.regclass)"
    );
    let row = client.query_one(&query, &[]).await.map_err(server("reading the sizes"))?;
    let bytes: i64 = row.try_get(0).map_err(server("reading the sizes"))?;
    Ok(Bytes(bytes.unsigned_abs()))
}

async fn execute(client: &Client, doing: &str, sql: &str) -> Result<(), DemoError> {
    client.batch_execute(sql).await.map_err(server(doing))
}

fn server(doing: &str) -> impl FnOnce(tokio_postgres::Error) -> DemoError + use<> {
    let doing = doing.to_owned();
    move |error| DemoError::Server { doing, source: postgres::Error::from_query("demo_load", &error) }
}
