//! How is a table written to a file or an object, and how is it known that the file is right before the table goes?

use std::fmt::Write as _;
use std::pin::pin;

use futures_util::TryStreamExt as _;
use model::{Bytes, QualifiedName};
use postgres::{Session, Target};
use tokio_postgres::Client;

use super::digest::{Tally, Total};
use super::manifest::{Manifest, ManifestColumn, VERSION};
use super::store::{Archive, Store, agrees};
use super::stream::Writing;
use super::subject::{self, Subject, column_list};
use super::{ArchiveError, EXACT};
use crate::action::ArchivePlace;
use crate::event::{Event, OnEvent};
use crate::options::ExecuteOptions;
use crate::worker::{lift_timeouts, open_journal_session};

/// A transaction that keeps writers away from an archived table until it is dropped.
pub(crate) struct Hold {
    session: Session,
    partition: QualifiedName,
    /// The archive that was compared.
    pub archive: Archive,
}

/// Keeps writers away from a table, archives it, reads the archive back and compares.
///
/// # Errors
/// When the table is not what the journal says, or the archive cannot be written or trusted.
pub(crate) async fn hold_and_archive(
    target: &Target,
    partition: &QualifiedName,
    place: &ArchivePlace,
    options: &ExecuteOptions,
    step_id: i64,
    on_event: OnEvent<'_>,
) -> Result<Hold, ArchiveError> {
    let session = open_journal_session(target).await.map_err(|e| ArchiveError::Unfit(e.to_string()))?;
    lift_timeouts(&session, &["transaction_timeout"])
        .await
        .map_err(|e| ArchiveError::Unfit(e.to_string()))?;
    session.batch_execute(EXACT).await.map_err(ArchiveError::server("prepare to read a table"))?;
    let lock = format!(
        "begin /* pgwright:archive_begin */; set local lock_timeout = {}; \
         lock /* pgwright:archive_lock */ table {partition} in share mode",
        options.lock_timeout.as_millis().max(1)
    );
    patiently(&session, &lock, "rollback /* pgwright:archive_end */", options, step_id, on_event).await?;
    let subject = subject::read(&session, partition)
        .await?
        .ok_or_else(|| ArchiveError::Unfit(format!("table {partition} is not there any more")))?;
    fit(&subject, partition, place)?;
    let archive = Archive::of(Store::open(&place.folder, &options.object_storage)?, &place.stem);
    archive.store().make()?;
    let rows_name = format!("{}.csv.zst", place.stem);
    let stored = subject.stored();
    let sql = copy_sql(&subject, partition, &stored);
    let rows = count(&session, partition).await?;
    let mut kept = None;
    // An earlier run wrote it and died before it dropped the table.
    if let Some(manifest) = earlier(&archive, partition, place).await {
        let total = tally(&session, &sql, options, None).await?;
        let read = archive.store().read_back(&manifest.file).await;
        if agrees(&manifest, &total) && read.is_ok_and(|t| agrees(&manifest, &t)) {
            kept = Some(manifest);
        }
    }
    let manifest = match kept {
        Some(manifest) => manifest,
        None => {
            archive.remove_manifest().await?;
            let names = (&archive, rows_name.as_str(), sql.as_str());
            write(&session, &subject, (partition, place), names, (options, step_id), on_event).await?
        }
    };
    if manifest.rows != rows {
        archive.remove_manifest().await?;
        return Err(ArchiveError::Differs(format!(
            "the archive of {partition} has {} rows, the table {rows}",
            manifest.rows
        )));
    }
    on_event(Event::Notice {
        text: format!(
            "{rows} rows of {partition} are in {}, {} of {} as CSV; the file was read back and agrees.",
            archive.store().shown(&manifest.file),
            Bytes(manifest.file_bytes),
            Bytes(manifest.csv_bytes)
        ),
    });
    Ok(Hold { session, partition: partition.clone(), archive })
}

/// Whether the table is the one that was detached, and can be archived.
fn fit(subject: &Subject, partition: &QualifiedName, place: &ArchivePlace) -> Result<(), ArchiveError> {
    let wrong = |reason: &str| Err(ArchiveError::Unfit(format!("{partition} is not archived: {reason}")));
    if subject.oid != place.oid {
        return wrong("another table has its name by now");
    }
    if subject.is_partition {
        return wrong("it is a partition again");
    }
    if !matches!(subject.relkind.as_str(), "r" | "p") {
        return wrong("it is a foreign table, whose rows are elsewhere");
    }
    if !subject.is_owner {
        return wrong(&format!("it belongs to role \"{}\"", subject.owner));
    }
    Ok(())
}

/// A whole archive of this very table.
async fn earlier(archive: &Archive, partition: &QualifiedName, place: &ArchivePlace) -> Option<Manifest> {
    let manifest = archive.read_manifest().await.ok()?;
    (manifest.partition == *partition && manifest.oid == place.oid && manifest.bound == place.bound)
        .then_some(manifest)
}

pub(super) fn copy_options(encoding: &str) -> String {
    format!("WITH (FORMAT csv, HEADER true, ENCODING '{encoding}')")
}

fn copy_sql(subject: &Subject, partition: &QualifiedName, stored: &[ManifestColumn]) -> String {
    let columns = column_list(stored);
    // COPY of a table alone reads only that table.
    let what = match subject.relkind.as_str() {
        "p" => format!("(SELECT {columns} FROM {partition})"),
        _ => format!("{partition} ({columns})"),
    };
    format!("COPY /* pgwright:archive */ {what} TO STDOUT {}", copy_options(subject.copy_encoding()))
}

pub(super) async fn count(client: &Client, table: &QualifiedName) -> Result<u64, ArchiveError> {
    let sql = format!("select /* pgwright:archive_count */ pg_catalog.count(*) from {table}");
    let doing = "count rows";
    let row = client.query_one(&sql, &[]).await.map_err(ArchiveError::server(doing))?;
    let rows: i64 = row.try_get(0).map_err(ArchiveError::server(doing))?;
    Ok(u64::try_from(rows).unwrap_or(0))
}

/// What `COPY … TO STDOUT` adds up to; each piece is written.
pub(super) async fn tally(
    client: &Client,
    sql: &str,
    options: &ExecuteOptions,
    mut writing: Option<&mut Writing>,
) -> Result<Total, ArchiveError> {
    let doing = "read a table";
    let mut stream = pin!(client.copy_out(sql).await.map_err(ArchiveError::server(doing))?);
    let mut tally = Tally::new();
    while let Some(piece) = stream.try_next().await.map_err(ArchiveError::server(doing))? {
        if options.cancellation.is_cancelled() {
            return Err(ArchiveError::Unfit("it was cancelled".to_owned()));
        }
        tally.add(&piece);
        if let Some(writing) = &mut writing {
            writing.write(&piece).await?;
        }
    }
    tally.total().ok_or_else(|| ArchiveError::Differs("the server ended in the middle of a row".to_owned()))
}

async fn write(
    client: &Client,
    subject: &Subject,
    (partition, place): (&QualifiedName, &ArchivePlace),
    (archive, rows_name, sql): (&Archive, &str, &str),
    (options, step_id): (&ExecuteOptions, i64),
    on_event: OnEvent<'_>,
) -> Result<Manifest, ArchiveError> {
    on_event(Event::Sending { step_id, sql: sql.to_owned(), attempt: 1 });
    let store = archive.store();
    let mut writing = store.begin_writing(rows_name, subject.table_bytes).await?;
    let total = match tally(client, sql, options, Some(&mut writing)).await {
        Ok(total) => total,
        Err(error) => {
            writing.give_up().await;
            return Err(error);
        }
    };
    let file_bytes = writing.finish().await?;
    let manifest = Manifest {
        pgwright_archive: VERSION,
        file: rows_name.to_owned(),
        format: "csv+zstd".to_owned(),
        encoding: subject.copy_encoding().to_owned(),
        partition: partition.clone(),
        table: place.table.clone(),
        bound: place.bound.clone(),
        oid: subject.oid,
        database: subject.database.clone(),
        server_version: subject.server_version.clone(),
        archived_at: subject.now.clone(),
        columns: subject.stored(),
        schema: subject.schema(partition),
        foreign_keys: subject.foreign_keys(partition),
        rows: total.rows,
        csv_bytes: total.bytes,
        file_bytes,
        csv_sha256: total.sha256.clone(),
        row_sum: total.row_sum.clone(),
    };
    on_event(Event::Answered { step_id });
    let found = store.read_back(rows_name).await?;
    if found != total {
        let mut text = format!("\"{}\" is not what the server sent", store.shown(rows_name));
        let _ =
            write!(text, ": {} rows of {}, {} bytes of {}", found.rows, total.rows, found.bytes, total.bytes);
        return Err(ArchiveError::Differs(text));
    }
    on_event(Event::Answered { step_id });
    archive.write_manifest(&manifest).await?;
    Ok(manifest)
}

/// Sends something until its lock is to be had; `back` takes back a try that failed.
pub(super) async fn patiently(
    client: &Client,
    sql: &str,
    back: &str,
    options: &ExecuteOptions,
    step_id: i64,
    on_event: OnEvent<'_>,
) -> Result<(), ArchiveError> {
    let mut attempt = 1;
    loop {
        let Err(error) = client.batch_execute(sql).await else { return Ok(()) };
        let _ = client.batch_execute(back).await;
        if !options.tries_again(attempt, error.code()) {
            return Err(ArchiveError::server("lock a table, or change it")(error));
        }
        options.back_off(step_id, attempt, error.code(), on_event).await;
        attempt += 1;
    }
}

impl Hold {
    /// Whether it is of this table.
    pub fn is_of(&self, partition: &QualifiedName) -> bool {
        self.partition == *partition
    }

    /// Drops the table in the transaction that has held it, together with the journal's row.
    ///
    /// # Errors
    /// When its lock is not to be had, or something depends on the table.
    pub async fn drop_table(
        self,
        step_id: i64,
        options: &ExecuteOptions,
        on_event: OnEvent<'_>,
    ) -> Result<(), ArchiveError> {
        let sql = format!(
            "savepoint archived /* pgwright:archive_drop */; drop /* pgwright:drop_partition */ table {}",
            self.partition
        );
        let back = "rollback to savepoint archived /* pgwright:archive_drop */";
        on_event(Event::Sending { step_id, sql: format!("DROP TABLE {}", self.partition), attempt: 1 });
        patiently(&self.session, &sql, back, options, step_id, on_event).await?;
        let end = format!(
            "update /* pgwright:journal_drop */ pgwright.journal_step set status = 'done', attempts = 1, \
               started_at = pg_catalog.statement_timestamp(), finished_at = pg_catalog.clock_timestamp() \
             where step_id = {step_id} and status = 'planned'; commit /* pgwright:archive_end */"
        );
        self.session.batch_execute(&end).await.map_err(ArchiveError::server("drop an archived table"))
    }
}
