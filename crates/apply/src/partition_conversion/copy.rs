//! How are the rows copied? In ranges of pages, several at once, each range in a transaction with the mark that it is
//! done. A row that moves from page to page meanwhile may be copied twice, or not at all; it has changed, so it is in
//! the log, and folding the log in makes it right.
//!
//! Source: PostgreSQL manual, "System Columns" (ctid), "Row Identity". TID range scans exist since 14; before, all
//! the addresses of the pages are listed.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::Instant;

use futures_util::future::try_join_all;
use postgres::Session;

use super::event::ConversionEvent;
use super::plan::ConversionPlan;
use super::script;
use super::site::{Site, open_session, transact};
use super::state::Step;
use super::throttle;
use crate::error::Error;

/// A range of pages, from the first to before the end.
#[derive(Clone, Copy, Debug)]
struct Batch {
    position: i32,
    first_block: i64,
    end_block: i64,
}

/// How a worker's share ended.
enum Ended {
    Done,
    /// The table's file is another one: its rows have other addresses now.
    Rewritten,
}

/// The most rows that a page of 8 kB can hold.
const MOST_ROWS_PER_PAGE: u32 = 291;

/// The statement that copies a range of pages.
pub(crate) fn statement(plan: &ConversionPlan, first_block: i64, end_block: i64, tid_ranges: bool) -> String {
    let columns = plan.subject.copied_columns();
    let range = if tid_ranges {
        format!("ctid >= '({first_block},0)'::pg_catalog.tid AND ctid < '({end_block},0)'::pg_catalog.tid")
    } else {
        format!(
            "ctid = ANY (ARRAY(SELECT pg_catalog.format('(%s,%s)', b, o)::pg_catalog.tid FROM \
             pg_catalog.generate_series({first_block}::bigint, {}::bigint) b, \
             pg_catalog.generate_series(1, {MOST_ROWS_PER_PAGE}) o))",
            end_block - 1
        )
    };
    format!(
        "INSERT /* pgwright:convert_copy */ INTO {} ({columns}) OVERRIDING SYSTEM VALUE SELECT {columns} FROM ONLY {} \
         WHERE {range}",
        plan.shadow, plan.table
    )
}

/// Copies what is not copied yet.
pub(crate) async fn run(site: &Site<'_>) -> Result<Step, Error> {
    loop {
        let file = prepare(site).await?;
        let (batches, all) = open_batches(site).await?;
        let queue = Mutex::new(VecDeque::from(batches));
        let tally = Tally {
            began: Instant::now(),
            rows: AtomicI64::new(0),
            done: AtomicUsize::new(all - queue.lock().map_or(0, |q| q.len())),
            here: AtomicUsize::new(0),
            all,
        };
        let workers = (0..site.options.workers.max(1)).map(|_| work(site, &queue, &tally, file));
        let ended = try_join_all(workers).await?;
        if ended.iter().all(|e| matches!(e, Ended::Done)) {
            site.advance(&site.session, Vec::new(), Step::Fold).await?;
            return Ok(Step::Fold);
        }
        let text = "The table was rewritten, for instance by VACUUM FULL or CLUSTER; copying begins again.";
        site.teller.tell(ConversionEvent::Notice { text: text.into() });
        let forget = format!(
            "DELETE FROM pgwright.conversion_task WHERE conversion_id = {} AND step = 'copy'",
            site.id
        );
        transact(&site.session, &[format!("TRUNCATE {}", site.plan.shadow), forget])
            .await
            .map_err(|e| site.failed(&e))?;
    }
}

struct Tally {
    began: Instant,
    rows: AtomicI64,
    done: AtomicUsize,
    here: AtomicUsize,
    all: usize,
}

/// Lays out the ranges, once, and gives the number of the file that they belong to.
async fn prepare(site: &Site<'_>) -> Result<i64, Error> {
    let doing = || Error::query("lay out what is to be copied");
    let oid = site.plan.subject.oid;
    let step = site.options.batch_blocks.max(1);
    // Pages that are added from now on hold only rows that are in the log.
    let row = site
        .session
        .query_one(
            "with /* pgwright:conversion_batches */ heap as ( \
               select pg_catalog.pg_relation_filenode($2::oid)::bigint as file, \
                 pg_catalog.pg_relation_size($2::oid) / pg_catalog.current_setting('block_size')::bigint as blocks), \
             known as (select exists (select from pgwright.conversion_task \
                 where conversion_id = $1 and step = 'copy') as laid_out), \
             laid as (insert into pgwright.conversion_task (conversion_id, step, position, first_block, end_block) \
               select $1, 'copy', b / $3, b, b + $3 \
               from heap h, known k, pg_catalog.generate_series(0, h.blocks, $3) b where not k.laid_out returning 1), \
             noted as (update pgwright.conversion v set facts = v.facts || pg_catalog.jsonb_build_object('file', h.file) \
               from heap h, known k where v.conversion_id = $1 and not k.laid_out returning 1) \
             select case when k.laid_out then (select (v.facts ->> 'file')::bigint from pgwright.conversion v \
               where v.conversion_id = $1) else h.file end as file from heap h, known k",
            &[&site.id, &oid, &step],
        )
        .await
        .map_err(doing())?;
    row.try_get("file").map_err(doing())
}

async fn open_batches(site: &Site<'_>) -> Result<(Vec<Batch>, usize), Error> {
    let doing = || Error::query("read what is to be copied");
    let rows = site
        .session
        .query(
            "select /* pgwright:conversion_tasks */ position, first_block, end_block, done_at is not null as done \
             from pgwright.conversion_task where conversion_id = $1 and step = 'copy' order by position",
            &[&site.id],
        )
        .await
        .map_err(doing())?;
    let mut batches = Vec::new();
    for row in &rows {
        let get = || -> Result<(bool, Batch), tokio_postgres::Error> {
            let (position, first_block) = (row.try_get("position")?, row.try_get("first_block")?);
            Ok((row.try_get("done")?, Batch { position, first_block, end_block: row.try_get("end_block")? }))
        };
        let (done, batch) = get().map_err(doing())?;
        if !done {
            batches.push(batch);
        }
    }
    Ok((batches, rows.len()))
}

async fn work(
    site: &Site<'_>,
    queue: &Mutex<VecDeque<Batch>>,
    tally: &Tally,
    file: i64,
) -> Result<Ended, Error> {
    let session = open_session(site.target, site.options).await?;
    // A batch and its mark are lost together or not at all, so a crash of the server may lose the latest.
    session.batch_execute("set synchronous_commit = off").await.map_err(|e| site.failed(&e))?;
    loop {
        site.check_cancelled(Step::Copy)?;
        let next = queue.lock().ok().and_then(|mut q| q.pop_front());
        let Some(batch) = next else { return Ok(Ended::Done) };
        let Some(rows) = copy(site, &session, batch, file).await? else { return Ok(Ended::Rewritten) };
        tally.tell(site, rows);
        throttle::pause(site, &session, commit_latency(site).await?).await?;
    }
}

/// Copies one range; `None` when the table has another file by now.
async fn copy(site: &Site<'_>, session: &Session, batch: Batch, file: i64) -> Result<Option<i64>, Error> {
    let sql = statement(
        &site.plan,
        batch.first_block,
        batch.end_block,
        !site.options.list_rows && site.plan.version_num >= 140_000,
    );
    let result = async {
        session.batch_execute("begin").await?;
        let rows = session.execute(&sql, &[]).await?;
        let rows = i64::try_from(rows).unwrap_or(i64::MAX);
        // The statement's lock keeps the file what it is until the commit.
        let marked = session
            .execute(
                "update /* pgwright:conversion_copied */ pgwright.conversion_task set done_at = \
                 pg_catalog.clock_timestamp(), rows = $3 where conversion_id = $1 and step = 'copy' and position = $2 \
                 and done_at is null and pg_catalog.pg_relation_filenode($4::oid)::bigint = $5",
                &[&site.id, &batch.position, &rows, &site.plan.subject.oid, &file],
            )
            .await?;
        session.batch_execute(if marked == 1 { "commit" } else { "rollback" }).await?;
        Ok((marked == 1).then_some(rows))
    }
    .await;
    result.map_err(|e: tokio_postgres::Error| site.failed(&e))
}

/// How long a small durable commit takes right now.
async fn commit_latency(site: &Site<'_>) -> Result<std::time::Duration, Error> {
    let began = Instant::now();
    site.flush().await?;
    Ok(began.elapsed())
}

impl Tally {
    fn tell(&self, site: &Site<'_>, rows: i64) {
        let rows = self.rows.fetch_add(rows, Ordering::Relaxed) + rows;
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        let here = self.here.fetch_add(1, Ordering::Relaxed) + 1;
        let seconds = self.began.elapsed().as_secs_f64().max(0.001);
        site.teller.tell(ConversionEvent::Copied {
            rows,
            batches_done: done,
            batches: self.all,
            rows_per_second: rows as f64 / seconds,
            seconds_left: seconds * (self.all.saturating_sub(done)) as f64 / here as f64,
        });
    }
}

/// Builds the indexes of the partitions, several at once.
pub(crate) async fn build_indexes(site: &Site<'_>) -> Result<Step, Error> {
    let plan = &site.plan;
    let mut all = Vec::new();
    for partition in &plan.partitions {
        for (number, index) in plan.subject.indexes.iter().enumerate() {
            all.push(script::partition_index(plan, &partition.name, number, index));
        }
    }
    let doing = || Error::query("read which indexes are built");
    let rows = site
        .session
        .query(
            "select /* pgwright:conversion_built */ position from pgwright.conversion_task \
             where conversion_id = $1 and step = 'index' and done_at is not null",
            &[&site.id],
        )
        .await
        .map_err(doing())?;
    let done: Vec<i32> =
        rows.iter().map(|r| r.try_get("position")).collect::<Result<_, _>>().map_err(doing())?;
    let of = all.len();
    let open = (0_i32..).zip(all).filter(|(position, _)| !done.contains(position));
    let queue = Mutex::new(open.collect::<VecDeque<_>>());
    let built = AtomicUsize::new(done.len());
    let build = async || -> Result<(), Error> {
        let session = open_session(site.target, site.options).await?;
        session.batch_execute("set synchronous_commit = off").await.map_err(|e| site.failed(&e))?;
        loop {
            site.check_cancelled(Step::Index)?;
            let next = queue.lock().ok().and_then(|mut q| q.pop_front());
            let Some((position, sql)) = next else { return Ok(()) };
            let mark = format!(
                "INSERT INTO pgwright.conversion_task (conversion_id, step, position, done_at) VALUES ({}, 'index', \
                 {position}, pg_catalog.clock_timestamp())",
                site.id
            );
            transact(&session, &[sql, mark]).await.map_err(|e| site.failed(&e))?;
            let done = built.fetch_add(1, Ordering::Relaxed) + 1;
            site.teller.tell(ConversionEvent::Built { done, of });
        }
    };
    try_join_all((0..site.options.workers.max(1)).map(|_| build())).await?;
    site.advance(&site.session, Vec::new(), Step::ParentIndex).await?;
    Ok(Step::ParentIndex)
}
