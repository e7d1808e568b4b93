//! How does an archived partition come back?
//!
//! The file is read to its end and compared with its manifest before anything is made. Then one transaction makes the
//! table, loads it, reads it again and compares what it adds up to, and attaches it, so a death leaves nothing. Where the
//! partitioned table is still there, the table is made like it: columns that came since get their default. Only the
//! attaching, the last statement, takes a lock that others may notice; it is tried again without loading again.

use std::pin::pin;

use bytes::Bytes;
use futures_util::SinkExt as _;
use model::partition_set::{Division, Interval};
use model::{Millis, QualifiedName, quote_identifier};
use partitioning::{Bound, Trees, kind_of};
use postgres::{Session, Target};
use serde::Serialize;
use tokio_postgres::Client;
use uuid::Uuid;

use super::manifest::Manifest;
use super::store::{Archive, agrees};
use super::subject::{self, column_list};
use super::writing::{copy_options, patiently, tally};
use super::{ArchiveError, EXACT};
use crate::action::{Action, SetChange};
use crate::error::Error;
use crate::event::{Event, OnEvent};
use crate::executor::begin;
use crate::journal::{self, Record, Status};
use crate::options::ExecuteOptions;
use crate::plan::{PlannedRecommendation, PlannedStep};
use crate::recovery::{Recovered, recover_locked, unlock};
use crate::schema;

/// What would be done.
#[derive(Clone, Debug, Serialize)]
pub struct RestorePlan {
    /// The manifest: a path, or `s3://bucket/prefix/name.json`.
    pub manifest: String,
    /// What it says.
    pub archive: Manifest,
    /// The table that the partition is attached to.
    pub attach_to: Option<QualifiedName>,
    /// The statements in order.
    pub statements: Vec<String>,
    /// What to know, in sentences.
    pub notices: Vec<String>,
    /// Statements that make the table.
    #[serde(skip)]
    making: Vec<String>,
    /// Statements that attach it.
    #[serde(skip)]
    attaching: Vec<String>,
}

/// What was done.
#[derive(Clone, Debug, Serialize)]
pub struct Restored {
    /// What was found of earlier runs.
    pub recovered: Vec<Recovered>,
    /// The journal's entry.
    pub entry_id: i64,
    /// The table.
    pub partition: QualifiedName,
    /// The table that it was attached to.
    pub attached_to: Option<QualifiedName>,
    /// Rows, which agree with the manifest.
    pub rows: u64,
    /// How long it took.
    pub elapsed: Millis,
}

/// The CHECK that spares ATTACH its scan.
const BOUND: &str = "pgwright_bound";

/// Looks what is to be done to bring back an archive. Reads only.
///
/// # Errors
/// When the manifest or the server cannot be read, or the table cannot be made.
pub async fn plan_restore(session: &Session, from: &Archive, attach: bool) -> Result<RestorePlan, Error> {
    Ok(planned(session, from, attach).await?)
}

async fn planned(session: &Session, from: &Archive, attach: bool) -> Result<RestorePlan, ArchiveError> {
    let archive = from.read_manifest().await?;
    let name = archive.partition.clone();
    if subject::read(session, &name).await?.is_some() {
        return Err(ArchiveError::Unfit(format!("there is a table {name} already")));
    }
    let columns = column_list(&archive.columns);
    let (mut making, mut attaching, mut notices) = (Vec::new(), Vec::new(), Vec::new());
    if attach {
        let table = &archive.table;
        let version = session.version_num();
        let tables = postgres::catalog::partition_tables(session, version)
            .await
            .map_err(|e| ArchiveError::Unfit(e.to_string()))?;
        let trees = Trees::new(tables);
        let Some(parent) = trees.find(table).filter(|t| t.key.is_some()) else {
            return Err(ArchiveError::Homeless(format!("there is no partitioned table {table} any more")));
        };
        let now = subject::read(session, table).await?;
        let known = now.as_ref().map(|s| s.stored()).unwrap_or_default();
        if let Some(gone) = archive.columns.iter().find(|c| !known.iter().any(|k| k.name == c.name)) {
            let gone = quote_identifier(&gone.name);
            return Err(ArchiveError::Homeless(format!("{table} has no column {gone} any more")));
        }
        for new in known.iter().filter(|k| !archive.columns.iter().any(|c| c.name == k.name)) {
            notices.push(format!(
                "Column {} came after {name} was archived; its rows get the default.",
                quote_identifier(&new.name)
            ));
        }
        making.push(format!(
            "CREATE TABLE {name} (LIKE {table} INCLUDING ALL EXCLUDING IDENTITY EXCLUDING STATISTICS)"
        ));
        let kind = parent.key.as_ref().and_then(kind_of);
        let column = parent.key.as_ref().and_then(|k| k.single()).map_or("", |(column, _)| column);
        let check = kind.and_then(|kind| {
            let division = Division { key: column.to_owned(), kind, interval: Interval::Numbers(1) };
            Bound::parse(&archive.bound, kind)?.check_sql(&division)
        });
        if let Some(check) = &check {
            making.push(format!("ALTER TABLE {name} ADD CONSTRAINT {BOUND} CHECK ({check})"));
        }
        if parent.owner != session.target().user() {
            attaching.push(format!("ALTER TABLE {name} OWNER TO {}", quote_identifier(&parent.owner)));
        }
        attaching.push(format!("ALTER TABLE {table} ATTACH PARTITION {name} {}", archive.bound));
        if check.is_some() {
            attaching.push(format!("ALTER TABLE {name} DROP CONSTRAINT {BOUND}"));
        }
    } else {
        making.extend(archive.schema.iter().cloned());
        if !archive.foreign_keys.is_empty() {
            notices.push("Its foreign keys are not made; the manifest has them.".to_owned());
        }
    }
    let load = load_sql(&archive, &columns);
    let statements = making.iter().cloned().chain([load]).chain(attaching.iter().cloned()).collect();
    Ok(RestorePlan {
        manifest: from.to_string(),
        attach_to: attach.then(|| archive.table.clone()),
        archive,
        statements,
        notices,
        making,
        attaching,
    })
}

fn load_sql(archive: &Manifest, columns: &str) -> String {
    format!("COPY {} ({columns}) FROM STDIN {}", archive.partition, copy_options(&archive.encoding))
}

/// Brings back an archive.
///
/// # Errors
/// When another run is at work, the archive is not what its manifest says, or the server refuses; nothing was changed
/// then.
pub async fn restore(
    target: &Target,
    from: &Archive,
    attach: bool,
    options: &ExecuteOptions,
    on_event: OnEvent<'_>,
) -> Result<Restored, Error> {
    let began = std::time::Instant::now();
    let (session, _) = begin(target).await?;
    on_event(Event::Locked);
    let result = async {
        let recovered = recover_locked(target, &session, options, on_event).await?;
        let plan = planned(&session, from, attach).await?;
        for text in &plan.notices {
            on_event(Event::Notice { text: text.clone() });
        }
        let rows_name = plan.archive.file.as_str();
        if !agrees(&plan.archive, &from.store().read_back(rows_name).await?) {
            return Err(ArchiveError::Differs(format!(
                "\"{}\" is not what its manifest says",
                from.store().shown(rows_name)
            ))
            .into());
        }
        schema::ensure(&session).await?;
        let step = PlannedStep::new(Action::Set(SetChange::RestorePartition {
            partition: plan.archive.partition.clone(),
            manifest: from.to_string(),
            attach: plan.attach_to.clone().map(|table| (table, plan.archive.bound.clone())),
            statements: plan.statements.clone(),
        }));
        let title = format!("restore {} from its archive", plan.archive.partition);
        let planned = PlannedRecommendation::of_steps(
            format!("restore {}", plan.archive.partition),
            title.clone(),
            vec![step.clone()],
        );
        let run_id = options.run_id.unwrap_or_else(Uuid::new_v4);
        let (entry_id, steps) = journal::write_plan(&session, run_id, 0, &planned).await?;
        let step_id = steps.first().copied().unwrap_or_default();
        on_event(Event::Journaled { entry_id, recommendation_id: planned.recommendation_id, title });
        on_event(Event::Started { step_id, sql: step.sql.clone() });
        let worker = postgres_session(target).await?;
        if let Err(error) = load(&worker, (&plan, from), (step_id, options), on_event).await {
            let _ = worker.batch_execute("rollback /* pgwright:restore_end */").await;
            let failure = error.into_step(&step.change);
            journal::advance(&session, step_id, Status::Running, Record::default()).await?;
            journal::advance(&session, step_id, Status::Failed, Record::failure(&failure)?).await?;
            on_event(Event::Failed { step_id });
            return Err(Error::Step(Box::new(failure)));
        }
        let elapsed = Millis(began.elapsed().as_secs_f64() * 1000.0);
        on_event(Event::Finished { step_id, sql: step.sql, elapsed });
        Ok(Restored {
            recovered,
            entry_id,
            partition: plan.archive.partition.clone(),
            attached_to: plan.attach_to,
            rows: plan.archive.rows,
            elapsed,
        })
    }
    .await;
    unlock(&session).await;
    result
}

/// A session for a load that may take hours.
async fn postgres_session(target: &Target) -> Result<Session, Error> {
    let session = crate::worker::open_journal_session(target).await?;
    session.batch_execute(EXACT).await.map_err(ArchiveError::server("prepare to load a table"))?;
    Ok(session)
}

async fn load(
    client: &Client,
    (plan, from): (&RestorePlan, &Archive),
    (step_id, options): (i64, &ExecuteOptions),
    on_event: OnEvent<'_>,
) -> Result<(), ArchiveError> {
    let archive = &plan.archive;
    let timeout_ms = options.lock_timeout.as_millis().max(1);
    let begin = format!("begin /* pgwright:restore_begin */; set local lock_timeout = {timeout_ms}");
    client.batch_execute(&begin).await.map_err(ArchiveError::server("begin"))?;
    for sql in &plan.making {
        client.batch_execute(sql).await.map_err(ArchiveError::server("make the table"))?;
    }
    let columns = column_list(&archive.columns);
    let doing = "load the rows";
    on_event(Event::Sending { step_id, sql: load_sql(archive, &columns), attempt: 1 });
    let sink = client.copy_in::<_, Bytes>(&load_sql(archive, &columns)).await;
    let mut sink = pin!(sink.map_err(ArchiveError::server(doing))?);
    let mut reading = from.store().begin_reading(&archive.file).await?;
    while let Some(piece) = reading.next().await? {
        if options.cancellation.is_cancelled() {
            return Err(ArchiveError::Unfit("it was cancelled".to_owned()));
        }
        sink.send(Bytes::copy_from_slice(piece)).await.map_err(ArchiveError::server(doing))?;
    }
    let rows = sink.finish().await.map_err(ArchiveError::server(doing))?;
    on_event(Event::Answered { step_id });
    let again =
        format!("COPY {} ({columns}) TO STDOUT {}", archive.partition, copy_options(&archive.encoding));
    let total = tally(client, &again, options, None).await?;
    if total.row_sum != archive.row_sum || total.rows != archive.rows || rows != archive.rows {
        return Err(ArchiveError::Differs(format!(
            "what was loaded into {} is not what was archived: {} rows of {}",
            archive.partition, total.rows, archive.rows
        )));
    }
    if !plan.attaching.is_empty() {
        let sql = format!("savepoint loaded; {}", plan.attaching.join("; "));
        patiently(client, &sql, "rollback to savepoint loaded", options, step_id, on_event).await?;
    }
    let end = format!(
        "update /* pgwright:journal_restore */ pgwright.journal_step set status = 'done', attempts = 1, \
           started_at = pg_catalog.transaction_timestamp(), finished_at = pg_catalog.clock_timestamp() \
         where step_id = {step_id} and status = 'planned'; commit /* pgwright:restore_end */"
    );
    client.batch_execute(&end).await.map_err(ArchiveError::server("commit"))
}
