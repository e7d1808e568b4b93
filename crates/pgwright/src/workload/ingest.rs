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
use postgres::tokio_postgres::SimpleQueryMessage;
use postgres::{SearchPath, Session, SessionOptions, Target};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::bind::bind;
use super::error::WorkloadError;
use super::file::{Ingest, WorkloadFile};
use super::outcome::rate;
use super::parameter::BoundParameters;
use super::schedule::parameter_draw;
use super::template::{Reference, Template};

/// How ingestion is measured.
#[derive(Clone, Debug)]
pub struct IngestOptions {
    /// How long.
    pub duration: Duration,
    /// Sessions.
    pub clients: usize,
    /// Rows inserted by each transaction.
    pub rows_per_transaction: usize,
    /// Rows of the transaction before that each transaction changes.
    pub updates_per_transaction: usize,
    /// Decides the rows.
    pub seed: u64,
    /// The time that drawn timestamps are relative to.
    pub now: DateTime<Utc>,
    /// Remove the rows again at the end.
    pub clean_up: bool,
}

impl Default for IngestOptions {
    fn default() -> Self {
        Self {
            duration: Duration::from_secs(10),
            clients: 2,
            rows_per_transaction: 50,
            updates_per_transaction: 25,
            seed: 1,
            now: Utc::now(),
            clean_up: true,
        }
    }
}

/// What was measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct IngestOutcome {
    /// Rows inserted and committed.
    pub rows: u64,
    /// Rows changed and committed.
    pub updates: u64,
    /// Transactions committed.
    pub transactions: u64,
    /// How long it took.
    pub seconds: f64,
    /// Rows inserted per second.
    pub rows_per_second: f64,
    /// Write-ahead log written by the whole server meanwhile, per row inserted. Unlike the rate it
    /// does not depend on how busy the machine is.
    pub wal_bytes_per_row: f64,
}

/// Measures how many rows per second the `[ingest]` section of a workload gets in.
///
/// The rows are committed, since that is what costs. With `clean_up` they are deleted afterwards, which
/// leaves dead tuples to autovacuum, so a clone of the database is the better place to measure.
///
/// # Errors
/// [`WorkloadError`]; any failing statement ends the measurement, and rows that were committed before
/// are still cleaned up.
pub async fn ingest_rate(
    target: &Target,
    file: &WorkloadFile,
    options: &IngestOptions,
    cancel: CancellationToken,
) -> Result<IngestOutcome, WorkloadError> {
    let Some(ingest) = &file.ingest else { return Err(WorkloadError::NoIngest(file.name.clone())) };
    if options.clients == 0 || options.rows_per_transaction == 0 || options.duration.is_zero() {
        return Err(WorkloadError::Options("ingestion needs clients, rows and a duration".into()));
    }
    let session_options = SessionOptions {
        application_name: "pgwright ingest".into(),
        search_path: SearchPath::RoleDefault,
        ..SessionOptions::default()
    };
    let parameters = bind(target, file, &session_options).await?;
    let control = connect(target, &session_options).await?;
    let mut sessions = Vec::new();
    for _ in 0..options.clients {
        sessions.push(connect(target, &session_options).await?);
    }
    let shared = Arc::new(Shared { ingest: ingest.clone(), parameters, options: options.clone(), cancel });

    let wal_before = wal_position(&control).await?;
    let started = Instant::now();
    let workers: Vec<_> = sessions
        .into_iter()
        .enumerate()
        .map(|(position, session)| tokio::spawn(work(Arc::clone(&shared), session, position, started)))
        .collect();
    let mut outcome = IngestOutcome::default();
    let mut keys = Vec::new();
    let mut failure = None;
    for worker in workers {
        if let Ok(worker) = worker.await {
            outcome.transactions += worker.transactions;
            outcome.updates += worker.updates;
            keys.extend(worker.keys);
            failure = failure.or(worker.failure);
        }
    }
    outcome.seconds = started.elapsed().as_secs_f64();
    let wal_after = wal_position(&control).await?;
    outcome.rows = keys.len() as u64;
    outcome.rows_per_second = rate(outcome.rows, outcome.seconds);
    if outcome.rows > 0 {
        outcome.wal_bytes_per_row = (wal_after - wal_before).max(0.0) / outcome.rows as f64;
    }
    if options.clean_up {
        shared.clean_up(&control, &keys).await?;
    }
    match failure {
        Some(error) => Err(WorkloadError::Ingest(Box::new(error))),
        None => Ok(outcome),
    }
}

struct Shared {
    ingest: Ingest,
    parameters: BoundParameters,
    options: IngestOptions,
    cancel: CancellationToken,
}

#[derive(Default)]
struct Worker {
    transactions: u64,
    updates: u64,
    /// The literals of the keys that were committed.
    keys: Vec<String>,
    failure: Option<postgres::Error>,
}

async fn work(shared: Arc<Shared>, session: Session, position: usize, started: Instant) -> Worker {
    let mut worker = Worker::default();
    let options = &shared.options;
    let mut earlier: Vec<String> = Vec::new();
    while started.elapsed() < options.duration && !shared.cancel.is_cancelled() {
        // Each transaction of each session draws from a stream of its own.
        let stream = worker.transactions * options.clients as u64 + position as u64;
        let (sql, keys) = shared.transaction(stream, &earlier);
        if let Err(error) = session.batch_execute(&sql).await {
            worker.failure = Some(postgres::Error::from_query("workload_ingest", &error));
            break;
        }
        worker.transactions += 1;
        worker.updates += earlier.len() as u64;
        worker.keys.extend_from_slice(&keys);
        earlier = keys;
        earlier.truncate(options.updates_per_transaction);
    }
    worker
}

impl Shared {
    /// The text of one transaction, and the keys that it inserts.
    fn transaction(&self, stream: u64, earlier: &[String]) -> (String, Vec<String>) {
        let mut draw = parameter_draw(self.options.seed, stream);
        let key = self.key();
        let mut sql = format!("BEGIN; {} ", self.ingest.insert);
        let mut keys = Vec::with_capacity(self.options.rows_per_transaction);
        for position in 0..self.options.rows_per_transaction {
            let literals = self.parameters.draw(self.ingest.row.references(), &mut draw, self.options.now);
            if let Some(literal) = literals.get(&key) {
                keys.push(literal.clone());
            }
            sql.push_str(if position > 0 { ", " } else { "" });
            sql.push_str(&self.ingest.row.render(&literals).unwrap_or_default());
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
            execute(session, &format!("BEGIN; {}; COMMIT", statements.join("; "))).await?;
        }
        Ok(())
    }
}

async fn connect(target: &Target, options: &SessionOptions) -> Result<Session, WorkloadError> {
    target.connect(options).await.map_err(WorkloadError::connect)
}

async fn execute(session: &Session, sql: &str) -> Result<(), WorkloadError> {
    session.batch_execute(sql).await.map_err(|error| WorkloadError::ingest(&error))
}

/// Bytes of write-ahead log since the beginning.
async fn wal_position(session: &Session) -> Result<f64, WorkloadError> {
    let sql = "SELECT /* pgwright:workload_ingest */ \
               pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), '0/0')";
    let messages = session.simple_query(sql).await.map_err(|error| WorkloadError::ingest(&error))?;
    let text = messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    Ok(text.and_then(|text| text.parse().ok()).unwrap_or(0.0))
}
