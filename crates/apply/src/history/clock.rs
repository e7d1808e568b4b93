//! What becomes of history when the clock was set back? What was kept by the clock as it was would lie in the future, and
//! stand there twice when that time comes. It is moved to when it was by the clock as it is now, and what was rolled up of
//! it is made anew.

use chrono::{DateTime, TimeDelta, Utc};
use history::{Extent, Interval, Level, SetBack};
use tokio_postgres::types::{ToSql, Type};

use super::roll_up::SET_BACK_WITHIN;
use super::writing::{HistoryWriter, get, run};
use crate::error::Error;

/// The tables of a level, and their columns beside the time.
const TABLES: &[(&str, &str)] = &[
    ("interval", "seconds, intervals, resets, source_id"),
    (
        "statement",
        "calls, rows, exec_ms, blocks_hit, blocks_read, temp_blocks, wal_bytes, statement_id, source_id, latency",
    ),
    ("wait", "samples, active_seconds, statement_id, event_id, source_id"),
    ("value", "total, seconds, high, series_id, source_id"),
];
/// So often another moment is tried where one is taken already.
const TRIES: u32 = 1000;
/// A clock that is ahead by less makes nothing too old.
const OFF_BY_SECONDS: f64 = 60.0;
/// How many days may be moved.
const MOST_DAYS: i64 = 4000;

impl HistoryWriter {
    /// Makes the partitions for what is moved before an interval. Given is how many were made.
    pub(super) async fn make_room(&mut self, set_back: SetBack, interval: &Interval) -> Result<u64, Error> {
        let (mut at, mut made) = (set_back.since - set_back.by, 0);
        for _ in 0..MOST_DAYS {
            for level in Level::ALL {
                made += self.partitions.ensure(&self.session, level, at).await?;
            }
            at += TimeDelta::days(1);
            if at > interval.to {
                break;
            }
        }
        Ok(made)
    }

    /// Moves what is kept.
    pub(super) async fn move_back(&self, set_back: SetBack) -> Result<(), Error> {
        let since = self.first(set_back.since).await?;
        let by = self.free(SetBack { since, ..set_back }).await?;
        for (kind, columns) in TABLES {
            self.shift(&format!("history_{kind}_raw"), columns, since, by).await?;
        }
        self.shift("history_plan_day", "cost, plan_id, source_id", since, by).await?;
        self.set(
            "update /* pgwright:history_back_plans */ pgwright.history_plan \
             set seen_at = seen_at - $3 * interval '1 microsecond' where source_id = $1 and seen_at >= $2",
            since,
            by,
        )
        .await?;
        self.set(
            "update /* pgwright:history_back_counters */ pgwright.history_series_counter c \
             set at = c.at - $3 * interval '1 microsecond' from pgwright.history_series s \
             where s.series_id = c.series_id and s.source_id = $1 and c.at >= $2",
            since,
            by,
        )
        .await?;
        for level in Level::ALL {
            self.set_mark(level, since, by).await?;
        }
        Ok(())
    }

    /// Runs a statement about this source whose `$2` is since when, and whose `$3` is by how many microseconds.
    async fn set(&self, sql: &str, since: DateTime<Utc>, by: TimeDelta) -> Result<(), Error> {
        let by = by.num_microseconds().unwrap_or(i64::MAX) as f64;
        let parameters: [(&(dyn ToSql + Sync), Type); 3] =
            [(&self.source_id, Type::INT2), (&since, Type::TIMESTAMPTZ), (&by, Type::FLOAT8)];
        run(&self.session, sql, &parameters).await.map(drop)
    }

    /// The first moment that moves.
    async fn first(&self, since: DateTime<Utc>) -> Result<DateTime<Utc>, Error> {
        let rows = run(
            &self.session,
            "select /* pgwright:history_back_first */ pg_catalog.min(at) as at from pgwright.history_interval_raw \
             where source_id = $1 and at >= $2",
            &[(&self.source_id, Type::INT2), (&since, Type::TIMESTAMPTZ)],
        )
        .await?;
        let at: Option<DateTime<Utc>> = rows.first().map(|row| get(row, "at")).transpose()?.flatten();
        Ok(at.unwrap_or(since))
    }

    /// How far everything is moved: as far as the clock was, or a little further where an interval began at that moment.
    async fn free(&self, set_back: SetBack) -> Result<TimeDelta, Error> {
        let mut by = set_back.by;
        for _ in 0..TRIES {
            let micros = by.num_microseconds().unwrap_or(i64::MAX) as f64;
            let taken = run(
                &self.session,
                "select /* pgwright:history_back_taken */ from pgwright.history_interval_raw here \
                 join pgwright.history_interval_raw there on there.source_id = here.source_id and there.at < $2 \
                   and there.at = here.at - $3 * interval '1 microsecond' \
                 where here.source_id = $1 and here.at >= $2 limit 1",
                &[
                    (&self.source_id, Type::INT2),
                    (&set_back.since, Type::TIMESTAMPTZ),
                    (&micros, Type::FLOAT8),
                ],
            )
            .await?;
            if taken.is_empty() {
                break;
            }
            by += TimeDelta::microseconds(1);
        }
        Ok(by)
    }

    /// Moves the rows of a table. They are taken out before the first is put back, because those that move may take the
    /// place of others that do: sorting needs all of them.
    async fn shift(
        &self,
        table: &str,
        columns: &str,
        since: DateTime<Utc>,
        by: TimeDelta,
    ) -> Result<(), Error> {
        let sql = format!(
            "with /* pgwright:history_back */ moved as ( \
               delete from pgwright.{table} where source_id = $1 and at >= $2 returning at, {columns}) \
             insert into pgwright.{table} (at, {columns}) \
             select at - $3 * interval '1 microsecond', {columns} from moved order by moved.at on conflict do nothing"
        );
        self.set(&sql, since, by).await
    }

    /// What was rolled up of what was moved is made anew, as far as what it is made of is there; buckets of which it is no
    /// more move as they are.
    async fn set_mark(&self, level: Level, since: DateTime<Utc>, by: TimeDelta) -> Result<(), Error> {
        let Some(extent) = self.extents.get(&level) else { return Ok(()) };
        let moved = |at: DateTime<Utc>| if at >= since { at - by } else { at };
        let kept_from = moved(extent.kept_from);
        let mut done = moved(extent.done_until);
        if level != Level::Raw {
            let raw = self.extents.get(&Level::Raw).map_or(extent.kept_from, |raw| raw.kept_from);
            let is_whole = moved(raw) <= since - by;
            done =
                if is_whole { level.floor(since - by).max(level.floor(raw)) } else { level.ceil(moved(raw)) };
            for (kind, columns) in TABLES {
                self.rolled_up((kind, columns), level, since, by, done).await?;
            }
        }
        run(
            &self.session,
            "update /* pgwright:history_back_mark */ pgwright.history_level set kept_from = $3, done_until = $4 \
             where source_id = $1 and level = $2",
            &[
                (&self.source_id, Type::INT2),
                (&level.name(), Type::TEXT),
                (&kept_from, Type::TIMESTAMPTZ),
                (&done, Type::TIMESTAMPTZ),
            ],
        )
        .await
        .map(drop)
    }

    async fn rolled_up(
        &self,
        (kind, columns): (&str, &str),
        level: Level,
        since: DateTime<Utc>,
        by: TimeDelta,
        done: DateTime<Utc>,
    ) -> Result<(), Error> {
        let table = format!("pgwright.history_{kind}_{}", level.name());
        let (unit, micros) = (level.seconds() as f64, by.num_microseconds().unwrap_or(i64::MAX) as f64);
        let moved = "pg_catalog.to_timestamp( \
            pg_catalog.floor(extract(epoch from at - $3 * interval '1 microsecond') / $4) * $4)";
        let sql = format!(
            "with /* pgwright:history_back_rolled */ gone as ( \
               delete from {table} where source_id = $1 and (at >= $2 or at >= $5) returning at, {columns}) \
             insert into {table} (at, {columns}) select {moved}, {columns} from gone \
             where at >= $2 and {moved} < $5 order by gone.at on conflict do nothing"
        );
        let parameters: [(&(dyn ToSql + Sync), Type); 5] = [
            (&self.source_id, Type::INT2),
            (&since, Type::TIMESTAMPTZ),
            (&micros, Type::FLOAT8),
            (&unit, Type::FLOAT8),
            (&done, Type::TIMESTAMPTZ),
        ];
        run(&self.session, &sql, &parameters).await.map(drop)
    }

    /// Whether an earlier process saw the clock being set forward, less than a day before the end of what it kept: an interval
    /// that begins later than the one before it ended, and is not as long as what lies between. One that was made by a
    /// process which had not seen the one before is.
    pub(super) async fn was_set_forward(&self) -> Result<bool, Error> {
        let Some(until) = self.until() else { return Ok(false) };
        let day_before = until - TimeDelta::from_std(SET_BACK_WITHIN).unwrap_or(TimeDelta::zero());
        let rows = run(
            &self.session,
            "with /* pgwright:history_set_forward */ near as ( \
               select at, seconds from pgwright.history_interval_raw where source_id = $1 and at > $2 \
               union all (select at, seconds from pgwright.history_interval_raw where source_id = $1 and at <= $2 \
                 order by at desc limit 1)), \
             pairs as ( \
               select at, seconds, pg_catalog.lag(at + seconds * interval '1 second') over (order by at) as ended from near) \
             select exists (select from pairs where at > $2 and extract(epoch from at - ended) > seconds + $3) as is_set",
            &[
                (&self.source_id, Type::INT2),
                (&day_before, Type::TIMESTAMPTZ),
                (&OFF_BY_SECONDS, Type::FLOAT8),
            ],
        )
        .await?;
        rows.first().map_or(Ok(false), |row| get(row, "is_set"))
    }

    /// How far the levels reach, as the store says.
    pub(super) async fn read_extents(&mut self) -> Result<(), Error> {
        let levels = run(
            &self.session,
            "select /* pgwright:history_levels */ level, kept_from, done_until from pgwright.history_level \
             where source_id = $1",
            &[(&self.source_id, Type::INT2)],
        )
        .await?;
        for row in &levels {
            if let Some(level) = Level::of_name(get(row, "level")?) {
                let extent =
                    Extent { kept_from: get(row, "kept_from")?, done_until: get(row, "done_until")? };
                self.extents.insert(level, extent);
            }
        }
        Ok(())
    }
}
