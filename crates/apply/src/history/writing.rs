//! How does an interval get into the store? In one transaction, with one statement per table whatever the number of
//! rows; and nothing that is there already is written again.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use chrono::{DateTime, Utc};
use history::{Extent, Extents, Figures, Interval, Latency, Level, Resume, StatementName};
use postgres::statistics::differences::{Counted, EntryKey, FIGURES};
use postgres::{Session, Target};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row};

use super::HistoryOptions;
use super::partitions::Partitions;
use super::plans;
use crate::error::Error;
use crate::executor::begin_writing;
use crate::schema::{self, LOCK_CLASS};

/// The second key of the lock that keeps two writers of a source apart, plus the source's number: "HI" in ASCII.
const WRITER_LOCK: i32 = 0x4849_0000;
/// More names than these are not remembered.
const NAMES_REMEMBERED: usize = 50_000;

/// Writes the history of one server into a store.
#[derive(Debug)]
pub struct HistoryWriter {
    pub(super) session: Session,
    pub(super) options: HistoryOptions,
    pub(super) source_id: i16,
    pub(super) extents: Extents,
    pub(super) partitions: Partitions,
    pub(super) rows_written: u64,
    pub(super) partitions_made: u64,
    /// When it was seen last that the clock was set forward.
    pub(super) set_forward: Option<Instant>,
    statements: HashMap<StatementName, i32>,
    events: HashMap<String, i32>,
    series: HashMap<(String, String), i32>,
}

pub(super) fn doing() -> impl FnOnce(tokio_postgres::Error) -> Error {
    Error::query("keep history")
}

/// Runs a statement whose parameters have these types.
pub(super) async fn run(
    client: &Client,
    sql: &str,
    parameters: &[(&(dyn ToSql + Sync), Type)],
) -> Result<Vec<Row>, Error> {
    client.query_typed(sql, parameters).await.map_err(doing())
}

pub(super) fn get<'a, T: tokio_postgres::types::FromSql<'a>>(row: &'a Row, column: &str) -> Result<T, Error> {
    row.try_get(column).map_err(doing())
}

/// Runs something in a transaction.
pub(super) async fn transaction<T>(
    client: &Client,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    client.batch_execute("begin /* pgwright:history_begin */").await.map_err(doing())?;
    let done = work.await;
    let end = if done.is_ok() { "commit /* pgwright:history_end */" } else { "rollback" };
    let ended = client.batch_execute(end).await.map_err(doing());
    done.and_then(|value| ended.map(|()| value))
}

impl HistoryWriter {
    /// Opens the store, makes what is missing of it, and says where an earlier writer left off.
    ///
    /// # Errors
    /// [`Error::Refused`] when it takes no writes, [`Error::HistoryTaken`] when another process writes the history of
    /// the same server, or what the server says.
    pub async fn open(store: &Target, options: HistoryOptions) -> Result<(Self, Resume), Error> {
        let session = begin_writing(store).await?;
        run(
            &session,
            "select /* pgwright:history_session */ \
               pg_catalog.set_config('application_name', 'pgwright history', false), \
               pg_catalog.set_config('idle_in_transaction_session_timeout', '60s', false)",
            &[],
        )
        .await?;
        schema::ensure(&session).await?;
        let source = [(&options.source as &(dyn ToSql + Sync), Type::TEXT)];
        run(
            &session,
            "insert /* pgwright:history_source */ into pgwright.history_source (name) values ($1) on conflict do nothing",
            &source,
        )
        .await?;
        let rows = run(
            &session,
            "select /* pgwright:history_source_of */ source_id, statements_reset \
             from pgwright.history_source where name = $1",
            &source,
        )
        .await?;
        let row = rows.first().ok_or_else(|| Error::HistoryTaken { source_name: options.source.clone() })?;
        let source_id: i16 = get(row, "source_id")?;
        let reset: Option<DateTime<Utc>> = get(row, "statements_reset")?;
        let locked = run(
            &session,
            "select /* pgwright:history_lock */ pg_catalog.pg_try_advisory_lock($1, $2) as locked",
            &[(&LOCK_CLASS, Type::INT4), (&(WRITER_LOCK | i32::from(source_id)), Type::INT4)],
        )
        .await?;
        if !locked.first().map(|row| get(row, "locked")).transpose()?.unwrap_or(false) {
            return Err(Error::HistoryTaken { source_name: options.source });
        }
        let partitions = Partitions::read(&session).await?;
        let mut writer = Self {
            session,
            options,
            source_id,
            extents: Extents::new(),
            partitions,
            rows_written: 0,
            partitions_made: 0,
            set_forward: None,
            statements: HashMap::new(),
            events: HashMap::new(),
            series: HashMap::new(),
        };
        let resume = writer.read_resume(reset).await?;
        writer.set_forward = writer.was_set_forward().await?.then(Instant::now);
        Ok((writer, resume))
    }

    /// The end of the last interval that is kept.
    pub fn until(&self) -> Option<DateTime<Utc>> {
        self.extents.get(&Level::Raw).map(|extent| extent.done_until)
    }

    async fn read_resume(&mut self, reset: Option<DateTime<Utc>>) -> Result<Resume, Error> {
        self.read_extents().await?;
        let source = [(&self.source_id as &(dyn ToSql + Sync), Type::INT2)];
        let mut resume = Resume {
            until: self.until(),
            reset_us: reset.map(|at| at.timestamp_micros()),
            ..Resume::default()
        };
        let counters = run(
            &self.session,
            "select /* pgwright:history_counters */ s.statement_id, s.datname, s.rolname, s.queryid, s.toplevel, \
               c.userid, c.dbid, c.since, c.figures \
             from pgwright.history_counter c join pgwright.history_statement s using (statement_id) \
             where s.source_id = $1",
            &source,
        )
        .await?;
        for row in &counters {
            let name = name_of(row)?;
            let key = EntryKey {
                userid: get(row, "userid")?,
                dbid: get(row, "dbid")?,
                queryid: name.queryid,
                toplevel: name.toplevel,
            };
            let figures: Vec<f64> = get(row, "figures")?;
            // A later pgwright may count more; what is not understood counts from now on.
            let Ok(figures) = <[f64; FIGURES]>::try_from(figures) else { continue };
            let since: Option<DateTime<Utc>> = get(row, "since")?;
            let counted = Counted { figures, since_us: since.map(|at| at.timestamp_micros()) };
            self.statements.insert(name.clone(), get(row, "statement_id")?);
            resume.counters.insert(key, (name, counted));
        }
        let series = run(
            &self.session,
            "select /* pgwright:history_series_counters */ s.name, s.label, c.value, c.at \
             from pgwright.history_series_counter c join pgwright.history_series s using (series_id) \
             where s.source_id = $1",
            &source,
        )
        .await?;
        for row in &series {
            let name = (get(row, "name")?, get(row, "label")?);
            resume.series_counters.insert(name, (get(row, "value")?, get(row, "at")?));
        }
        let texts = run(
            &self.session,
            "select /* pgwright:history_texts_known */ queryid from pgwright.history_text where source_id = $1",
            &source,
        )
        .await?;
        for row in &texts {
            resume.texts.insert(get(row, "queryid")?);
        }
        Ok(resume)
    }

    /// Keeps an interval. One that is kept already, because the answer to an earlier try was lost, is not kept twice.
    ///
    /// # Errors
    /// What the server says; nothing of the interval is kept then, or all of it.
    pub async fn store(&mut self, interval: &Interval) -> Result<(), Error> {
        let is_kept = |until: DateTime<Utc>| match interval.set_back {
            Some(_) => until == interval.to,
            None => interval.to <= until,
        };
        if self.until().is_some_and(is_kept) {
            return Ok(());
        }
        if let Some(set_back) = interval.set_back {
            self.partitions_made += self.make_room(set_back, interval).await?;
        }
        if !interval.set_forward.is_zero() {
            self.set_forward = Some(Instant::now());
        }
        self.partitions_made += self.partitions.ensure(&self.session, Level::Raw, interval.at).await?;
        for plan in &interval.plans {
            self.partitions_made += self.partitions.ensure(&self.session, Level::Day, plan.at).await?;
        }
        if self.statements.len() > NAMES_REMEMBERED {
            self.statements.clear();
        }
        let mut found = Found::default();
        let session = &self.session;
        let rows = transaction(session, async {
            if let Some(set_back) = interval.set_back {
                self.move_back(set_back).await?;
            }
            self.write(interval, &mut found).await
        })
        .await?;
        if interval.set_back.is_some() {
            self.set_forward = None;
            self.read_extents().await?;
        }
        // Numbers that a transaction gave out are good when it is committed.
        self.rows_written += rows;
        self.statements.extend(found.statements);
        self.events.extend(found.events);
        self.series.extend(found.series);
        for level in Level::ALL {
            let first = level.floor(interval.at);
            let extent =
                self.extents.entry(level).or_insert(Extent { kept_from: interval.at, done_until: first });
            if level == Level::Raw {
                extent.done_until = interval.to;
            }
        }
        Ok(())
    }

    async fn write(&self, interval: &Interval, found: &mut Found) -> Result<u64, Error> {
        let (at, mut rows) = (interval.at, 1);
        let names: Vec<&StatementName> = interval
            .statements
            .keys()
            .chain(interval.waits.keys().map(|(name, _)| name))
            .chain(interval.counters.keys())
            .chain(&interval.gone)
            .collect();
        self.find_statements(&names, found).await?;
        self.find_events(interval.waits.keys().map(|(_, event)| &**event), found).await?;
        let wanted = interval.values.keys().chain(interval.series_counters.keys());
        self.find_series(wanted.map(|(name, label)| (*name, &**label)), found).await?;
        let found = &*found;
        let id = |name: &StatementName| {
            self.statements.get(name).or_else(|| found.statements.get(name)).copied().unwrap_or(0)
        };
        run(
            &self.session,
            "insert /* pgwright:history_interval */ into pgwright.history_interval_raw \
               (at, seconds, intervals, resets, source_id) values ($1, $2, $3, $4, $5)",
            &[
                (&at, Type::TIMESTAMPTZ),
                (&interval.seconds, Type::FLOAT8),
                (&whole32(interval.intervals), Type::INT4),
                (&whole32(interval.resets), Type::INT4),
                (&self.source_id, Type::INT2),
            ],
        )
        .await?;
        let statements: Vec<(i32, Figures, Latency)> = interval
            .statements
            .iter()
            .map(|(name, delta)| (id(name), delta.figures, delta.latency.clone()))
            .collect();
        rows += self.insert_statements(Level::Raw, at, &statements).await?;
        let event =
            |name: &str| self.events.get(name).or_else(|| found.events.get(name)).copied().unwrap_or(0);
        let waits: Vec<(i32, i32, f64, f64)> = interval
            .waits
            .iter()
            .map(|((name, what), seen)| (id(name), event(what), seen.samples as f64, seen.active_seconds))
            .collect();
        rows += self.insert_waits(Level::Raw, at, &waits).await?;
        let series = |name: &(&'static str, std::sync::Arc<str>)| {
            let name = (name.0.to_owned(), name.1.to_string());
            self.series.get(&name).or_else(|| found.series.get(&name)).copied().unwrap_or(0)
        };
        let ids: Vec<i32> = interval.values.keys().map(series).collect();
        let part =
            |part: fn(&history::Value) -> f64| -> Vec<f64> { interval.values.values().map(part).collect() };
        let (totals, seconds, highs) = (part(|v| v.total), part(|v| v.seconds), part(|v| v.high));
        run(
            &self.session,
            "insert /* pgwright:history_values */ into pgwright.history_value_raw \
               (at, source_id, series_id, total, seconds, high) \
             select $1, $2, u.* from rows from (pg_catalog.unnest($3), pg_catalog.unnest($4), pg_catalog.unnest($5), \
               pg_catalog.unnest($6)) u",
            &[
                (&at, Type::TIMESTAMPTZ),
                (&self.source_id, Type::INT2),
                (&ids, Type::INT4_ARRAY),
                (&totals, Type::FLOAT8_ARRAY),
                (&seconds, Type::FLOAT8_ARRAY),
                (&highs, Type::FLOAT8_ARRAY),
            ],
        )
        .await?;
        rows += ids.len() as u64;
        self.write_counters(interval, &id).await?;
        let ids: Vec<i32> = interval.series_counters.keys().map(series).collect();
        let (values, times): (Vec<f64>, Vec<DateTime<Utc>>) =
            interval.series_counters.values().copied().unzip();
        run(
            &self.session,
            "insert /* pgwright:history_series_counter */ into pgwright.history_series_counter (series_id, value, at) \
             select u.* from rows from (pg_catalog.unnest($1), pg_catalog.unnest($2), pg_catalog.unnest($3)) u \
             on conflict (series_id) do update set value = excluded.value, at = excluded.at",
            &[(&ids, Type::INT4_ARRAY), (&values, Type::FLOAT8_ARRAY), (&times, Type::TIMESTAMPTZ_ARRAY)],
        )
        .await?;
        self.write_texts(interval).await?;
        plans::write(&self.session, self.source_id, &interval.plans).await?;
        self.write_marks(interval).await?;
        Ok(rows)
    }

    /// Where counters stand, for those that changed.
    async fn write_counters(
        &self,
        interval: &Interval,
        id: &impl Fn(&StatementName) -> i32,
    ) -> Result<(), Error> {
        if !interval.gone.is_empty() {
            let gone: Vec<i32> = interval.gone.iter().map(id).collect();
            run(
                &self.session,
                "delete /* pgwright:history_gone */ from pgwright.history_counter where statement_id = any ($1)",
                &[(&gone, Type::INT4_ARRAY)],
            )
            .await?;
        }
        let (mut ids, mut users, mut databases) = (Vec::new(), Vec::new(), Vec::new());
        let (mut times, mut figures) = (Vec::new(), Vec::new());
        for (name, (key, counted)) in &interval.counters {
            ids.push(id(name));
            users.push(key.userid);
            databases.push(key.dbid);
            times.push(counted.since_us.and_then(DateTime::from_timestamp_micros));
            // Arrays of arrays come apart in unnest(), so each is written out.
            let written: Vec<String> = counted.figures.iter().map(f64::to_string).collect();
            figures.push(format!("{{{}}}", written.join(",")));
        }
        run(
            &self.session,
            "insert /* pgwright:history_counter */ into pgwright.history_counter \
               (statement_id, userid, dbid, since, figures) \
             select u.id, u.userid, u.dbid, u.since, u.figures::float8[] \
             from rows from (pg_catalog.unnest($1), pg_catalog.unnest($2), pg_catalog.unnest($3), pg_catalog.unnest($4), \
               pg_catalog.unnest($5)) u (id, userid, dbid, since, figures) \
             on conflict (statement_id) do update set userid = excluded.userid, dbid = excluded.dbid, \
               since = excluded.since, figures = excluded.figures",
            &[
                (&ids, Type::INT4_ARRAY),
                (&users, Type::OID_ARRAY),
                (&databases, Type::OID_ARRAY),
                (&times, Type::TIMESTAMPTZ_ARRAY),
                (&figures, Type::TEXT_ARRAY),
            ],
        )
        .await?;
        Ok(())
    }

    async fn write_texts(&self, interval: &Interval) -> Result<(), Error> {
        if interval.texts.is_empty() {
            return Ok(());
        }
        let (ids, texts): (Vec<i64>, Vec<&str>) =
            interval.texts.iter().map(|(id, text)| (*id, text.as_str())).unzip();
        run(
            &self.session,
            "insert /* pgwright:history_text */ into pgwright.history_text (source_id, queryid, query) \
             select $1, u.* from rows from (pg_catalog.unnest($2), pg_catalog.unnest($3)) u on conflict do nothing",
            &[(&self.source_id, Type::INT2), (&ids, Type::INT8_ARRAY), (&texts, Type::TEXT_ARRAY)],
        )
        .await?;
        Ok(())
    }

    /// How far each level reaches.
    async fn write_marks(&self, interval: &Interval) -> Result<(), Error> {
        let names: Vec<&str> = Level::ALL.iter().map(|level| level.name()).collect();
        let done: Vec<DateTime<Utc>> = Level::ALL
            .iter()
            .map(|level| if *level == Level::Raw { interval.to } else { level.floor(interval.at) })
            .collect();
        run(
            &self.session,
            "insert /* pgwright:history_level */ into pgwright.history_level (source_id, level, done_until, kept_from) \
             select $1, u.level, u.done, $4 \
             from rows from (pg_catalog.unnest($2), pg_catalog.unnest($3)) u (level, done) \
             on conflict (source_id, level) do update set done_until = excluded.done_until \
             where history_level.level = 'raw'",
            &[
                (&self.source_id, Type::INT2),
                (&names, Type::TEXT_ARRAY),
                (&done, Type::TIMESTAMPTZ_ARRAY),
                (&interval.at, Type::TIMESTAMPTZ),
            ],
        )
        .await?;
        let reset = interval.reset_us.and_then(DateTime::from_timestamp_micros);
        run(
            &self.session,
            "update /* pgwright:history_reset */ pgwright.history_source set statements_reset = $2 \
             where source_id = $1 and statements_reset is distinct from $2",
            &[(&self.source_id, Type::INT2), (&reset, Type::TIMESTAMPTZ)],
        )
        .await?;
        Ok(())
    }

    /// Rows of statements in a bucket.
    pub(super) async fn insert_statements(
        &self,
        level: Level,
        at: DateTime<Utc>,
        statements: &[(i32, Figures, Latency)],
    ) -> Result<u64, Error> {
        let ids: Vec<i32> = statements.iter().map(|s| s.0).collect();
        let count = |part: fn(&Figures) -> f64| -> Vec<i64> {
            statements.iter().map(|s| part(&s.1).round() as i64).collect()
        };
        let ms: Vec<f64> = statements.iter().map(|s| s.1.exec_ms).collect();
        let latencies: Vec<Option<Vec<u8>>> = statements.iter().map(|s| s.2.to_bytes()).collect();
        let sql = format!(
            "insert /* pgwright:history_statements */ into pgwright.history_statement_{} \
               (at, source_id, statement_id, calls, rows, exec_ms, blocks_hit, blocks_read, temp_blocks, wal_bytes, latency) \
             select $1, $2, u.* from rows from (pg_catalog.unnest($3), pg_catalog.unnest($4), pg_catalog.unnest($5), \
               pg_catalog.unnest($6), pg_catalog.unnest($7), pg_catalog.unnest($8), pg_catalog.unnest($9), \
               pg_catalog.unnest($10), pg_catalog.unnest($11)) u",
            level.name()
        );
        let parameters: [(&(dyn ToSql + Sync), Type); 11] = [
            (&at, Type::TIMESTAMPTZ),
            (&self.source_id, Type::INT2),
            (&ids, Type::INT4_ARRAY),
            (&count(|f| f.calls), Type::INT8_ARRAY),
            (&count(|f| f.rows), Type::INT8_ARRAY),
            (&ms, Type::FLOAT8_ARRAY),
            (&count(|f| f.blocks_hit), Type::INT8_ARRAY),
            (&count(|f| f.blocks_read), Type::INT8_ARRAY),
            (&count(|f| f.temp_blocks), Type::INT8_ARRAY),
            (&count(|f| f.wal_bytes), Type::INT8_ARRAY),
            (&latencies, Type::BYTEA_ARRAY),
        ];
        run(&self.session, &sql, &parameters).await?;
        Ok(ids.len() as u64)
    }

    /// Rows of waits in a bucket: statement, event, samples and active seconds.
    pub(super) async fn insert_waits(
        &self,
        level: Level,
        at: DateTime<Utc>,
        waits: &[(i32, i32, f64, f64)],
    ) -> Result<u64, Error> {
        let (ids, events): (Vec<i32>, Vec<i32>) = waits.iter().map(|w| (w.0, w.1)).unzip();
        let samples: Vec<i64> = waits.iter().map(|w| w.2.round() as i64).collect();
        let seconds: Vec<f64> = waits.iter().map(|w| w.3).collect();
        let sql = format!(
            "insert /* pgwright:history_waits */ into pgwright.history_wait_{} \
               (at, source_id, statement_id, event_id, samples, active_seconds) \
             select $1, $2, u.* from rows from (pg_catalog.unnest($3), pg_catalog.unnest($4), pg_catalog.unnest($5), \
               pg_catalog.unnest($6)) u",
            level.name()
        );
        let parameters: [(&(dyn ToSql + Sync), Type); 6] = [
            (&at, Type::TIMESTAMPTZ),
            (&self.source_id, Type::INT2),
            (&ids, Type::INT4_ARRAY),
            (&events, Type::INT4_ARRAY),
            (&samples, Type::INT8_ARRAY),
            (&seconds, Type::FLOAT8_ARRAY),
        ];
        run(&self.session, &sql, &parameters).await?;
        Ok(ids.len() as u64)
    }

    /// The numbers of statements, given to those that have none.
    async fn find_statements(&self, names: &[&StatementName], found: &mut Found) -> Result<(), Error> {
        let mut unknown: Vec<&StatementName> =
            names.iter().copied().filter(|name| !self.statements.contains_key(*name)).collect();
        unknown.sort_unstable();
        unknown.dedup();
        if unknown.is_empty() {
            return Ok(());
        }
        let databases: Vec<&str> = unknown.iter().map(|n| &*n.datname).collect();
        let users: Vec<&str> = unknown.iter().map(|n| &*n.rolname).collect();
        let ids: Vec<i64> = unknown.iter().map(|n| n.queryid).collect();
        let toplevel: Vec<bool> = unknown.iter().map(|n| n.toplevel).collect();
        let rows = run(
            &self.session,
            "insert /* pgwright:history_statement */ into pgwright.history_statement \
               (source_id, datname, rolname, queryid, toplevel) \
             select $1, u.* from rows from (pg_catalog.unnest($2), pg_catalog.unnest($3), pg_catalog.unnest($4), \
               pg_catalog.unnest($5)) u \
             on conflict (source_id, queryid, datname, rolname, toplevel) do update \
               set seen_at = pg_catalog.clock_timestamp() \
             returning statement_id, datname, rolname, queryid, toplevel",
            &[
                (&self.source_id, Type::INT2),
                (&databases, Type::TEXT_ARRAY),
                (&users, Type::TEXT_ARRAY),
                (&ids, Type::INT8_ARRAY),
                (&toplevel, Type::BOOL_ARRAY),
            ],
        )
        .await?;
        for row in &rows {
            found.statements.insert(name_of(row)?, get(row, "statement_id")?);
        }
        Ok(())
    }

    /// The number of what is too small in a database.
    pub(super) async fn find_other(&self, datname: &str) -> Result<i32, Error> {
        let (rolname, empty) = (std::sync::Arc::from(""), Found::default());
        let name = StatementName { datname: datname.into(), rolname, queryid: 0, toplevel: true };
        if let Some(id) = self.statements.get(&name) {
            return Ok(*id);
        }
        let mut found = empty;
        self.find_statements(&[&name], &mut found).await?;
        Ok(found.statements.get(&name).copied().unwrap_or(0))
    }

    async fn find_events(&self, names: impl Iterator<Item = &str>, found: &mut Found) -> Result<(), Error> {
        let mut unknown: Vec<&str> = names.filter(|name| !self.events.contains_key(*name)).collect();
        unknown.sort_unstable();
        unknown.dedup();
        if unknown.is_empty() {
            return Ok(());
        }
        let rows = run(
            &self.session,
            "insert /* pgwright:history_event */ into pgwright.history_event as e (name) \
             select * from pg_catalog.unnest($1) on conflict (name) do update set name = e.name \
             returning event_id, name",
            &[(&unknown, Type::TEXT_ARRAY)],
        )
        .await?;
        for row in &rows {
            found.events.insert(get(row, "name")?, get(row, "event_id")?);
        }
        Ok(())
    }

    async fn find_series(
        &self,
        names: impl Iterator<Item = (&str, &str)>,
        found: &mut Found,
    ) -> Result<(), Error> {
        let owned = |(name, label): (&str, &str)| (name.to_owned(), label.to_owned());
        let unknown: BTreeMap<(String, String), ()> =
            names.map(owned).filter(|name| !self.series.contains_key(name)).map(|name| (name, ())).collect();
        if unknown.is_empty() {
            return Ok(());
        }
        let (names, labels): (Vec<&str>, Vec<&str>) =
            unknown.keys().map(|(name, label)| (name.as_str(), label.as_str())).unzip();
        let rows = run(
            &self.session,
            "insert /* pgwright:history_series */ into pgwright.history_series as s (source_id, name, label) \
             select $1, u.* from rows from (pg_catalog.unnest($2), pg_catalog.unnest($3)) u \
             on conflict (source_id, name, label) do update set label = s.label \
             returning series_id, name, label",
            &[(&self.source_id, Type::INT2), (&names, Type::TEXT_ARRAY), (&labels, Type::TEXT_ARRAY)],
        )
        .await?;
        for row in &rows {
            found.series.insert((get(row, "name")?, get(row, "label")?), get(row, "series_id")?);
        }
        Ok(())
    }

    /// Forgets the numbers of statements, after some of them were removed.
    pub(super) fn forget_statements(&mut self) {
        self.statements.clear();
    }
}

/// Numbers that a transaction gave out.
#[derive(Default)]
struct Found {
    statements: HashMap<StatementName, i32>,
    events: HashMap<String, i32>,
    series: HashMap<(String, String), i32>,
}

fn name_of(row: &Row) -> Result<StatementName, Error> {
    let text = |column: &str| Ok::<std::sync::Arc<str>, Error>(get::<&str>(row, column)?.into());
    Ok(StatementName {
        datname: text("datname")?,
        rolname: text("rolname")?,
        queryid: get(row, "queryid")?,
        toplevel: get(row, "toplevel")?,
    })
}

fn whole32(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}
