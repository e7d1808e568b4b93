//! How many rows per second go in? A closed loop, because here the server's limit is the question.
//!
//! Source: the `[ingest]` section of docs/reference/workload-file.md. Every index makes each insert
//! and most updates dearer (PostgreSQL manual, "Indexes: Introduction"); this is the price that a
//! recommendation has to show. Each transaction inserts a batch of rows by one statement and then
//! changes rows of the transaction before, as a run is first recorded and later completed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use postgres::tokio_postgres::{self, SimpleQueryMessage};
use postgres::{SearchPath, Session, SessionOptions, Target};
use tokio_util::sync::CancellationToken;

use super::bind::bind;
use super::error::WorkloadError;
use super::file::{Ingest, WorkloadFile};
use super::parameter::{BoundParameters, Literal};
use super::schedule::parameter_draw;
use super::template::{Reference, Template};

/// How ingestion is measured.
#[derive(Clone, Debug)]
pub struct IngestOptions {
    /// Sessions.
    pub clients: usize,
    /// Decides the rows.
    pub seed: u64,
    /// The time that drawn timestamps are relative to.
    pub now: DateTime<Utc>,
    /// Remove the rows again at the end.
    pub clean_up: bool,
}

impl Default for IngestOptions {
    fn default() -> Self {
        Self { clients: 2, seed: 1, now: Utc::now(), clean_up: true }
    }
}

/// What went in during one turn.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Turn {
    /// Rows inserted and committed.
    pub rows: u64,
    /// Rows changed and committed.
    pub updates: u64,
    /// Transactions committed.
    pub transactions: u64,
    /// How long it took, until the last session had committed.
    pub seconds: f64,
    /// Write-ahead log written by the whole server meanwhile.
    pub wal_bytes: f64,
}

/// Execution time in the server, from `pg_stat_statements`, since it was last reset.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct StatementTimes {
    pub insert_ms: f64,
    pub update_ms: f64,
}

/// Sessions that are ready to write to one database, turn after turn.
pub(super) struct Ingestion {
    shared: Arc<Shared>,
    control: Session,
    writers: Vec<Writer>,
}

impl Ingestion {
    /// Reads the parameters' values and opens the sessions.
    pub async fn prepare(
        target: &Target,
        file: &WorkloadFile,
        options: &IngestOptions,
        cancel: CancellationToken,
    ) -> Result<Self, WorkloadError> {
        let Some(ingest) = &file.ingest else { return Err(WorkloadError::NoIngest(file.name.clone())) };
        if options.clients == 0 {
            return Err(WorkloadError::Options("ingestion needs a client".into()));
        }
        let session_options = SessionOptions {
            application_name: "pgwright ingest".into(),
            search_path: SearchPath::RoleDefault,
            ..SessionOptions::default()
        };
        let parameters = bind(target, file, &session_options).await?;
        let control = connect(target, &session_options).await?;
        let mut writers = Vec::new();
        for position in 0..options.clients {
            let session = connect(target, &session_options).await?;
            let next = position as u64;
            writers.push(Writer { session, next, earlier: Vec::new(), keys: Vec::new() });
        }
        let shared = Shared { ingest: ingest.clone(), parameters, options: options.clone(), cancel };
        Ok(Self { shared: Arc::new(shared), control, writers })
    }

    /// Writes for a while.
    ///
    /// # Errors
    /// The first statement that fails ends the turn; what was committed stays until [`Self::clean_up`].
    pub async fn turn(&mut self, duration: Duration) -> Result<Turn, WorkloadError> {
        let wal_before = wal_position(&self.control).await?;
        let started = Instant::now();
        let tasks: Vec<_> = std::mem::take(&mut self.writers)
            .into_iter()
            .map(|writer| tokio::spawn(writer.write(Arc::clone(&self.shared), started, duration)))
            .collect();
        let mut turn = Turn::default();
        let mut failure = None;
        for task in tasks {
            // A task that panicked takes its session along; the others go on.
            let Ok((writer, written, failed)) = task.await else { continue };
            self.writers.push(writer);
            turn.rows += written.rows;
            turn.updates += written.updates;
            turn.transactions += written.transactions;
            failure = failure.or(failed);
        }
        turn.seconds = started.elapsed().as_secs_f64();
        turn.wal_bytes = (wal_position(&self.control).await? - wal_before).max(0.0);
        match failure {
            Some(error) => Err(WorkloadError::Ingest(Box::new(error))),
            None => Ok(turn),
        }
    }

    /// What the statements have taken in the server so far; `None` where `pg_stat_statements` cannot be
    /// read.
    pub async fn statement_times(&self) -> Option<StatementTimes> {
        let (statements, _) = postgres::statements::read(&self.control).await.ok()?;
        let mut times = StatementTimes::default();
        for statement in statements {
            let word = statement.query.trim_start().get(..6).map(str::to_ascii_lowercase);
            match word.as_deref() {
                Some("insert") => times.insert_ms += statement.total_exec_time.0,
                Some("update") => times.update_ms += statement.total_exec_time.0,
                _ => {}
            }
        }
        Some(times)
    }

    /// How many sessions write.
    pub fn sessions(&self) -> usize {
        self.writers.len()
    }

    /// Deletes the rows again, when the options ask for it.
    pub async fn clean_up(&mut self) -> Result<(), WorkloadError> {
        for writer in &mut self.writers {
            let keys = std::mem::take(&mut writer.keys);
            writer.earlier.clear();
            self.shared.clean_up(&self.control, &keys).await?;
        }
        Ok(())
    }
}

struct Shared {
    ingest: Ingest,
    parameters: BoundParameters,
    options: IngestOptions,
    cancel: CancellationToken,
}

/// One session and what it remembers from turn to turn.
struct Writer {
    session: Session,
    /// The stream of random numbers of its next transaction; each transaction has one of its own.
    next: u64,
    /// The literals of the keys that its last transaction inserted.
    earlier: Vec<String>,
    /// The literals of all keys that are to be cleaned up.
    keys: Vec<String>,
}

impl Writer {
    async fn write(
        mut self,
        shared: Arc<Shared>,
        started: Instant,
        duration: Duration,
    ) -> (Self, Turn, Option<postgres::Error>) {
        let mut turn = Turn::default();
        while started.elapsed() < duration && !shared.cancel.is_cancelled() {
            let (sql, keys) = shared.transaction(self.next, &self.earlier);
            let messages = match self.session.simple_query(&sql).await {
                Ok(messages) => messages,
                Err(error) => {
                    let error = postgres::Error::from_query("workload_ingest", &error);
                    return (self, turn, Some(error));
                }
            };
            self.next += shared.options.clients as u64;
            turn.transactions += 1;
            turn.rows += shared.ingest.rows as u64;
            turn.updates += self.earlier.len() as u64;
            let keys = if shared.ingest.returning.is_some() { returned(&messages) } else { keys };
            if shared.options.clean_up {
                self.keys.extend_from_slice(&keys);
            }
            self.earlier = keys;
            self.earlier.truncate(shared.ingest.updates);
        }
        (self, turn, None)
    }
}

/// The literals of the keys that the server gave the inserted rows.
fn returned(messages: &[SimpleQueryMessage]) -> Vec<String> {
    messages
        .iter()
        .filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(Literal::Text(row.get(0)?.to_owned()).to_sql(None)),
            _ => None,
        })
        .collect()
}

impl Shared {
    /// The text of one transaction, and the keys that it inserts where they are known before.
    fn transaction(&self, stream: u64, earlier: &[String]) -> (String, Vec<String>) {
        let mut draw = parameter_draw(self.options.seed, stream);
        let key = self.key();
        let mut sql = format!("BEGIN; {} ", self.ingest.insert);
        let mut keys = Vec::with_capacity(self.ingest.rows);
        for position in 0..self.ingest.rows {
            let literals = self.parameters.draw(self.ingest.row.references(), &mut draw, self.options.now);
            if let Some(literal) = literals.get(&key) {
                keys.push(literal.clone());
            }
            sql.push_str(if position > 0 { ", " } else { "" });
            sql.push_str(&self.ingest.row.render(&literals).unwrap_or_default());
        }
        if let Some(column) = &self.ingest.returning {
            sql.push_str(" RETURNING ");
            sql.push_str(column);
        }
        for literal in earlier {
            sql.push_str("; ");
            sql.push_str(&self.with_key(&self.ingest.update, literal, &mut draw));
        }
        sql.push_str("; COMMIT");
        (sql, keys)
    }

    fn key(&self) -> Reference {
        Reference { name: self.ingest.key.clone(), column: None }
    }

    fn with_key(&self, template: &Template, literal: &str, draw: &mut super::draw::Draw) -> String {
        let mut literals: BTreeMap<Reference, String> =
            self.parameters.draw(template.references(), draw, self.options.now);
        literals.insert(self.key(), literal.to_owned());
        template.render(&literals).unwrap_or_default()
    }

    async fn clean_up(&self, session: &Session, keys: &[String]) -> Result<(), WorkloadError> {
        let mut draw = parameter_draw(self.options.seed, 0);
        for batch in keys.chunks(500) {
            let statements: Vec<String> =
                batch.iter().map(|literal| self.with_key(&self.ingest.cleanup, literal, &mut draw)).collect();
            let sql = format!("BEGIN; {}; COMMIT", statements.join("; "));
            session.batch_execute(&sql).await.map_err(|error| failed(&error))?;
        }
        Ok(())
    }
}

async fn connect(target: &Target, options: &SessionOptions) -> Result<Session, WorkloadError> {
    target.connect(options).await.map_err(WorkloadError::connect)
}

fn failed(error: &tokio_postgres::Error) -> WorkloadError {
    WorkloadError::ingest(error)
}

/// Bytes of write-ahead log since the beginning.
async fn wal_position(session: &Session) -> Result<f64, WorkloadError> {
    let sql = "SELECT /* pgwright:workload_ingest */ \
               pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), '0/0')";
    let messages = session.simple_query(sql).await.map_err(|error| failed(&error))?;
    let text = messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    Ok(text.and_then(|text| text.parse().ok()).unwrap_or(0.0))
}
