//! How do intervals become minutes, hours and days? Bucket by bucket, each in one transaction with the mark of how far
//! the level reaches, so that none is made twice. What is small is summed with its like again, so that a coarser level
//! is not larger for being made of more.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use history::{Figures, Latency, Level, Window};
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

use super::writing::{HistoryWriter, doing, get, run, transaction};
use crate::error::Error;

/// At most so many buckets are made in one go; the others follow after the next interval.
const BUCKETS_AT_ONCE: u64 = 120;
/// How many days a statement that was not seen in any bucket is remembered beyond those.
const REMEMBERED_DAYS: i64 = 7;

/// After this time a clock that was set forward is believed.
pub(super) const SET_BACK_WITHIN: Duration = Duration::from_secs(86_400);

/// What level a level is made of: hours of raw intervals, because minutes hold fewer statements.
fn made_of(level: Level) -> Option<Level> {
    match level {
        Level::Raw => None,
        Level::Minute | Level::Hour => Some(Level::Raw),
        Level::Day => Some(Level::Hour),
    }
}

struct StatementSum {
    id: i32,
    datname: String,
    is_other: bool,
    figures: Figures,
    latency: Latency,
}

impl HistoryWriter {
    /// Makes the buckets that are complete. Given is how many, and whether that is all.
    ///
    /// # Errors
    /// What the server says; buckets that were made stay.
    pub async fn roll_up(&mut self) -> Result<(u64, bool), Error> {
        let mut made = 0;
        for level in Level::ALL {
            let Some(source) = made_of(level) else { continue };
            let extents = (self.extents.get(&level).copied(), self.extents.get(&source).copied());
            let (Some(extent), Some(from)) = extents else { continue };
            let target = level.floor(from.done_until);
            let mut done = extent.done_until;
            while done < target {
                if made == BUCKETS_AT_ONCE {
                    return Ok((made, false));
                }
                done = match self.next_bucket(source, level, Window { from: done, to: target }).await? {
                    Some(bucket) => {
                        self.partitions_made +=
                            self.partitions.ensure(&self.session, level, bucket.from).await?;
                        let rows = transaction(&self.session, self.fill(source, level, bucket)).await?;
                        self.rows_written += rows;
                        made += 1;
                        bucket.to
                    }
                    None => {
                        self.mark(level, target).await?;
                        target
                    }
                };
                if let Some(extent) = self.extents.get_mut(&level) {
                    extent.done_until = done;
                }
            }
        }
        Ok((made, true))
    }

    /// The rows of a statement about this source from `$2` to `$3`.
    async fn of_source(&self, sql: &str, window: Window) -> Result<Vec<Row>, Error> {
        let parameters: [(&(dyn ToSql + Sync), Type); 3] = [
            (&self.source_id, Type::INT2),
            (&window.from, Type::TIMESTAMPTZ),
            (&window.to, Type::TIMESTAMPTZ),
        ];
        run(&self.session, sql, &parameters).await
    }

    /// The first bucket of a window in which somebody watched.
    async fn next_bucket(
        &self,
        source: Level,
        level: Level,
        window: Window,
    ) -> Result<Option<Window>, Error> {
        let sql = format!(
            "select /* pgwright:history_next */ pg_catalog.min(at) as at from pgwright.history_interval_{} \
             where source_id = $1 and at >= $2 and at < $3",
            source.name()
        );
        let rows = self.of_source(&sql, window).await?;
        let at: Option<DateTime<Utc>> = rows.first().map(|row| get(row, "at")).transpose()?.flatten();
        Ok(at.map(|at| {
            let from = level.floor(at);
            Window { from, to: from + TimeDelta::seconds(level.seconds()) }
        }))
    }

    async fn mark(&self, level: Level, done: DateTime<Utc>) -> Result<(), Error> {
        run(
            &self.session,
            "update /* pgwright:history_mark */ pgwright.history_level set done_until = $3 \
             where source_id = $1 and level = $2",
            &[(&self.source_id, Type::INT2), (&level.name(), Type::TEXT), (&done, Type::TIMESTAMPTZ)],
        )
        .await
        .map(drop)
    }

    async fn fill(&self, source: Level, level: Level, bucket: Window) -> Result<u64, Error> {
        let parameters = [
            (&self.source_id as _, Type::INT2),
            (&bucket.from as _, Type::TIMESTAMPTZ),
            (&bucket.to as _, Type::TIMESTAMPTZ),
        ];
        let (from, to) = (source.name(), level.name());
        run(
            &self.session,
            &format!(
                "insert /* pgwright:history_roll_intervals */ into pgwright.history_interval_{to} \
                   (source_id, at, seconds, intervals, resets) \
                 select $1, $2, pg_catalog.sum(t.seconds), pg_catalog.sum(t.intervals), pg_catalog.sum(t.resets) \
                 from pgwright.history_interval_{from} t where t.source_id = $1 and t.at >= $2 and t.at < $3"
            ),
            &parameters,
        )
        .await?;
        run(
            &self.session,
            &format!(
                "insert /* pgwright:history_roll_values */ into pgwright.history_value_{to} \
                   (source_id, series_id, at, total, seconds, high) \
                 select $1, t.series_id, $2, pg_catalog.sum(t.total), pg_catalog.sum(t.seconds), pg_catalog.max(t.high) \
                 from pgwright.history_value_{from} t where t.source_id = $1 and t.at >= $2 and t.at < $3 \
                 group by t.series_id"
            ),
            &parameters,
        )
        .await?;
        let rows = self.fill_statements(source, level, bucket).await?;
        let rows = rows + self.fill_waits(source, level, bucket).await?;
        self.mark(level, bucket.to).await?;
        Ok(rows + 1)
    }

    async fn fill_statements(&self, source: Level, level: Level, bucket: Window) -> Result<u64, Error> {
        let sql = format!(
            "select /* pgwright:history_roll_statements */ t.statement_id, s.datname, s.queryid, \
               pg_catalog.sum(t.calls::float8) as calls, pg_catalog.sum(t.rows::float8) as rows, \
               pg_catalog.sum(t.exec_ms) as exec_ms, pg_catalog.sum(t.blocks_hit::float8) as blocks_hit, \
               pg_catalog.sum(t.blocks_read::float8) as blocks_read, \
               pg_catalog.sum(t.temp_blocks::float8) as temp_blocks, \
               pg_catalog.sum(t.wal_bytes::float8) as wal_bytes, \
               pg_catalog.array_agg(t.latency) filter (where t.latency is not null) as latencies \
             from pgwright.history_statement_{} t \
             join pgwright.history_statement s on s.statement_id = t.statement_id \
             where t.source_id = $1 and t.at >= $2 and t.at < $3 group by t.statement_id, s.datname, s.queryid",
            source.name()
        );
        let rows = self.of_source(&sql, bucket).await?;
        let mut sums = Vec::with_capacity(rows.len());
        for row in &rows {
            let latencies: Option<Vec<Vec<u8>>> = get(row, "latencies")?;
            let mut latency = Latency::default();
            latencies
                .iter()
                .flatten()
                .filter_map(|bytes| Latency::from_bytes(bytes))
                .for_each(|l| latency.merge(&l));
            sums.push(StatementSum {
                id: get(row, "statement_id")?,
                datname: get(row, "datname")?,
                is_other: get::<i64>(row, "queryid")? == 0,
                figures: Figures::of_row(row).map_err(doing())?,
                latency,
            });
        }
        sums.sort_by(|a, b| b.figures.exec_ms.total_cmp(&a.figures.exec_ms).then(a.id.cmp(&b.id)));
        let mut kept: Vec<(i32, Figures, Latency)> = Vec::new();
        // By database, with the number of their row where there is one already.
        let mut others: BTreeMap<String, (Option<i32>, Figures, Latency)> = BTreeMap::new();
        for sum in sums {
            if !sum.is_other && kept.len() < self.options.statements(level) {
                kept.push((sum.id, sum.figures, sum.latency));
                continue;
            }
            let other = others.entry(sum.datname).or_default();
            other.0 = other.0.or(sum.is_other.then_some(sum.id));
            other.1.add(&sum.figures);
            other.2.merge(&sum.latency);
        }
        for (datname, (id, figures, latency)) in others {
            let id = match id {
                Some(id) => id,
                None => self.find_other(&datname).await?,
            };
            kept.push((id, figures, latency));
        }
        if level == Level::Day {
            self.seen(&kept.iter().map(|k| k.0).collect::<Vec<i32>>(), bucket.to).await?;
        }
        self.insert_statements(level, bucket.from, &kept).await
    }

    /// Notes that statements are still there, so that they are remembered.
    async fn seen(&self, ids: &[i32], at: DateTime<Utc>) -> Result<(), Error> {
        run(
            &self.session,
            "update /* pgwright:history_seen */ pgwright.history_statement set seen_at = $2 \
             where statement_id = any ($1) and seen_at < $2",
            &[(&ids, Type::INT4_ARRAY), (&at, Type::TIMESTAMPTZ)],
        )
        .await
        .map(drop)
    }

    async fn fill_waits(&self, source: Level, level: Level, bucket: Window) -> Result<u64, Error> {
        let sql = format!(
            "select /* pgwright:history_roll_waits */ t.statement_id, t.event_id, s.datname, \
               pg_catalog.sum(t.samples::float8) as samples, pg_catalog.sum(t.active_seconds) as active_seconds \
             from pgwright.history_wait_{} t \
             join pgwright.history_statement s on s.statement_id = t.statement_id \
             where t.source_id = $1 and t.at >= $2 and t.at < $3 group by t.statement_id, t.event_id, s.datname \
             order by samples desc, t.statement_id, t.event_id",
            source.name()
        );
        let rows = self.of_source(&sql, bucket).await?;
        let most = self.options.limits.waits;
        let mut kept: BTreeMap<(i32, i32), (f64, f64)> = BTreeMap::new();
        let mut others: BTreeMap<String, i32> = BTreeMap::new();
        for (position, row) in rows.iter().enumerate() {
            let id = if position < most {
                get(row, "statement_id")?
            } else {
                let datname: String = get(row, "datname")?;
                match others.get(&datname) {
                    Some(id) => *id,
                    None => {
                        let id = self.find_other(&datname).await?;
                        others.insert(datname, id);
                        id
                    }
                }
            };
            let sum = kept.entry((id, get(row, "event_id")?)).or_default();
            sum.0 += get::<f64>(row, "samples")?;
            sum.1 += get::<f64>(row, "active_seconds")?;
        }
        let waits: Vec<(i32, i32, f64, f64)> =
            kept.into_iter().map(|((id, event), (samples, seconds))| (id, event, samples, seconds)).collect();
        self.insert_waits(level, bucket.from, &waits).await
    }

    /// Drops what is older than it is to be kept. Given is how many partitions were.
    ///
    /// # Errors
    /// What the server says.
    pub async fn retire(&mut self) -> Result<u64, Error> {
        let Some(until) = self.until() else { return Ok(0) };
        // A clock that was set forward may be set back: nothing is too old because of it for a day.
        if self.set_forward.is_some_and(|at| at.elapsed() < SET_BACK_WITHIN) {
            return Ok(0);
        }
        // Where either clock goes wrong, the earlier one keeps more.
        let rows = run(
            &self.session,
            "select /* pgwright:history_now */ least(pg_catalog.clock_timestamp(), $1) as now",
            &[(&until, Type::TIMESTAMPTZ)],
        )
        .await?;
        let now: DateTime<Utc> = rows.first().map(|row| get(row, "now")).transpose()?.unwrap_or(until);
        let mut dropped = 0;
        for level in Level::ALL {
            let keep = self.options.retention.of(level);
            dropped += self.partitions.retire(&self.session, level, now, keep).await?;
        }
        if dropped > 0 {
            self.forget(now).await?;
        }
        Ok(dropped)
    }

    /// Removes the names and texts of statements of which nothing is kept any more.
    async fn forget(&mut self, now: DateTime<Utc>) -> Result<(), Error> {
        let kept = TimeDelta::from_std(self.options.retention.of(Level::Day)).unwrap_or(TimeDelta::MAX);
        let kept = kept.checked_add(&TimeDelta::days(REMEMBERED_DAYS));
        let Some(before) = kept.and_then(|kept| now.checked_sub_signed(kept)) else { return Ok(()) };
        run(
            &self.session,
            "delete /* pgwright:history_forget */ from pgwright.history_statement s \
             where s.source_id = $1 and s.seen_at < $2 and s.queryid <> 0 \
               and not exists (select from pgwright.history_counter c where c.statement_id = s.statement_id)",
            &[(&self.source_id, Type::INT2), (&before, Type::TIMESTAMPTZ)],
        )
        .await?;
        run(
            &self.session,
            "delete /* pgwright:history_forget_texts */ from pgwright.history_text t \
             where t.source_id = $1 and not exists (select from pgwright.history_statement s \
               where s.source_id = t.source_id and s.queryid = t.queryid)",
            &[(&self.source_id, Type::INT2)],
        )
        .await?;
        run(
            &self.session,
            "delete /* pgwright:history_forget_plans */ from pgwright.history_plan p \
             where p.source_id = $1 and p.seen_at < $2 \
               and not exists (select from pgwright.history_plan_day d where d.plan_id = p.plan_id)",
            &[(&self.source_id, Type::INT2), (&before, Type::TIMESTAMPTZ)],
        )
        .await?;
        self.forget_statements();
        Ok(())
    }
}
