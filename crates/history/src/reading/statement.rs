//! What is the history of one statement?

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use postgres::Session;
use postgres::tokio_postgres::types::Type;
use serde::Serialize;

use super::plans::StatementPlan;
use super::sources::{clamped, texts};
use super::{BUCKETS_OF_ONE, Error, Figures, Known, Reader, Spent, ask, get, parameters, union};
use crate::latency::Latency;
use crate::level::{Level, Piece, Window, level_for, pieces};

/// A statement over time.
#[derive(Clone, Debug, Serialize)]
pub struct StatementHistory {
    /// Its identifier.
    pub queryid: i64,
    /// Its text, where it is known.
    pub query: Option<String>,
    /// Its databases.
    pub databases: Vec<String>,
    /// Its users.
    pub users: Vec<String>,
    /// The window, as far as there is history.
    pub window: Window,
    /// In which buckets it was read.
    pub level: Level,
    /// What it used in the whole window.
    pub spent: Spent,
    /// Bucket by bucket, in order; those in which nobody watched are left out.
    pub buckets: Vec<StatementBucket>,
    /// What it waited for in the whole window, most first.
    pub waits: Vec<StatementWait>,
    /// What each user's calls of it used in the whole window, in each database, most first.
    pub by_user: Vec<StatementUser>,
    /// The plans that it had, in order: planned without values of parameters. The first may be older than the window.
    pub plans: Vec<StatementPlan>,
}

/// What a user's calls of a statement used.
#[derive(Clone, Debug, Serialize)]
pub struct StatementUser {
    /// The database.
    pub datname: String,
    /// The user; empty where it is not known.
    pub rolname: String,
    /// What was used.
    #[serde(flatten)]
    pub spent: Spent,
}

/// What a statement used in a bucket.
#[derive(Clone, Debug, Serialize)]
pub struct StatementBucket {
    /// When it begins.
    pub at: DateTime<Utc>,
    /// Its watched seconds.
    pub seconds: f64,
    /// What was used.
    #[serde(flatten)]
    pub spent: Spent,
    /// How many sessions ran it on average, by what they waited for.
    pub active_sessions: BTreeMap<String, f64>,
}

/// How long a statement waited for something.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StatementWait {
    /// What for, as `Lock: transactionid`; `CPU` when for nothing.
    pub event: String,
    /// Samples in which it did.
    pub samples: f64,
    /// Session time in seconds, by samples.
    pub active_seconds: f64,
}

impl Reader {
    /// The history of a statement, in one database or in all.
    ///
    /// # Errors
    /// [`Error::NoStatement`] when nothing is known of it, or when the store cannot be asked.
    pub async fn statement(
        &self,
        queryid: i64,
        datname: Option<&str>,
        window: Window,
    ) -> Result<StatementHistory, Error> {
        let session = self.session().await?;
        let known = self.known(&session).await?;
        let parts = known.parts(&session, queryid, datname).await?;
        if parts.is_empty() {
            return Err(Error::NoStatement { queryid });
        }
        let ids: Vec<i32> = parts.iter().map(|p| p.0).collect();
        let window = clamped(window, &known.extents);
        let level = level_for(&window, BUCKETS_OF_ONE, &known.extents);
        let window = window.widened(level, &known.extents);
        let pieces = pieces(&window, level, &known.extents);
        let watched = known.seconds(&session, &pieces, level).await?;
        let mut by_bucket: BTreeMap<DateTime<Utc>, (Figures, Latency)> = BTreeMap::new();
        let mut whole = (Figures::default(), Latency::default());
        let mut by_user: BTreeMap<(&str, &str), (Figures, Latency)> = BTreeMap::new();
        for row in known.buckets(&session, &ids, &pieces).await? {
            let bucket = by_bucket.entry(level.floor(row.at)).or_default();
            bucket.0.add(&row.figures);
            bucket.1.merge(&row.latency);
            whole.0.add(&row.figures);
            whole.1.merge(&row.latency);
            if let Some((_, datname, rolname)) = parts.iter().find(|part| part.0 == row.statement_id) {
                let user = by_user.entry((datname, rolname)).or_default();
                user.0.add(&row.figures);
                user.1.merge(&row.latency);
            }
        }
        let seconds: f64 = watched.values().sum();
        let mut by_user: Vec<StatementUser> = by_user
            .into_iter()
            .map(|((datname, rolname), (figures, latency))| StatementUser {
                datname: datname.to_owned(),
                rolname: rolname.to_owned(),
                spent: Spent::new(figures, seconds, &latency),
            })
            .collect();
        by_user.sort_by(|a, b| b.spent.seconds_per_hour.total_cmp(&a.spent.seconds_per_hour));
        let plans = known.plans(&session, &[queryid], window.to).await?;
        let mut plans: Vec<StatementPlan> = plans
            .into_iter()
            .filter(|(key, _)| datname.is_none_or(|wanted| wanted == key.datname))
            .flat_map(|(_, plans)| plans)
            .collect();
        plans.sort_by_key(|plan| plan.at);
        let (mut waits_by_bucket, waits) = known.waits_of(&session, &ids, &pieces, level).await?;
        let sampled = known.sampled(&session, &pieces, level).await?;
        let buckets = watched
            .iter()
            .map(|(at, seconds)| {
                let (figures, latency) = by_bucket.remove(at).unwrap_or_default();
                let mut active_sessions = waits_by_bucket.remove(at).unwrap_or_default();
                let looked = sampled.get(at).copied().unwrap_or(*seconds).max(f64::MIN_POSITIVE);
                active_sessions.values_mut().for_each(|value| *value /= looked);
                let spent = Spent::new(figures, *seconds, &latency);
                StatementBucket { at: *at, seconds: *seconds, spent, active_sessions }
            })
            .collect();
        let distinct = |part: fn(&(i32, String, String)) -> &String| {
            let mut names: Vec<String> = parts.iter().map(|p| part(p).clone()).collect();
            names.sort_unstable();
            names.dedup();
            names
        };
        Ok(StatementHistory {
            queryid,
            query: texts(&session, known.source_id, &[queryid]).await?.remove(&queryid),
            databases: distinct(|p| &p.1),
            users: distinct(|p| &p.2),
            window,
            level,
            spent: Spent::new(whole.0, seconds, &whole.1),
            buckets,
            waits,
            by_user,
            plans,
        })
    }
}

/// Session time in seconds that each statement waited for each event.
pub(super) type WaitsByStatement = BTreeMap<i32, BTreeMap<String, f64>>;

type WaitsByBucket = BTreeMap<DateTime<Utc>, BTreeMap<String, f64>>;

impl Known {
    /// What statements waited for, in all of the pieces.
    pub(super) async fn waits_by_statement(
        &self,
        session: &Session,
        ids: &[i32],
        pieces: &[Piece],
    ) -> Result<WaitsByStatement, Error> {
        if pieces.is_empty() {
            return Ok(WaitsByStatement::new());
        }
        let (rows, instants) = union("t.statement_id, t.event_id, t.active_seconds", "wait", pieces, 3);
        let sql = format!(
            "select /* pgwright:history_waits_by_statement */ u.statement_id, e.name, sum(u.active_seconds) as seconds \
             from ({rows}) u join pgwright.history_event e on e.event_id = u.event_id \
             where u.statement_id = any ($2) group by u.statement_id, e.name"
        );
        let ids = (&ids as _, Type::INT4_ARRAY);
        let all = parameters(&self.source_id, &[ids], &instants);
        let mut found = WaitsByStatement::new();
        for row in &ask(session, "history_waits_by_statement", &sql, &all).await? {
            let of = found.entry(get(row, "statement_id")?).or_default();
            of.insert(get(row, "name")?, get(row, "seconds")?);
        }
        Ok(found)
    }

    /// The parts of a statement: number, database and user.
    async fn parts(
        &self,
        session: &Session,
        queryid: i64,
        datname: Option<&str>,
    ) -> Result<Vec<(i32, String, String)>, Error> {
        let rows = ask(
            session,
            "history_parts",
            "select /* pgwright:history_parts */ s.statement_id, s.datname, s.rolname \
             from pgwright.history_statement s \
             where s.source_id = $1 and s.queryid = $2 and ($3::text is null or s.datname = $3)",
            &[(&self.source_id, Type::INT2), (&queryid, Type::INT8), (&datname, Type::TEXT)],
        )
        .await?;
        rows.iter()
            .map(|row| Ok((get(row, "statement_id")?, get(row, "datname")?, get(row, "rolname")?)))
            .collect()
    }

    async fn waits_of(
        &self,
        session: &Session,
        ids: &[i32],
        pieces: &[Piece],
        level: Level,
    ) -> Result<(WaitsByBucket, Vec<StatementWait>), Error> {
        if pieces.is_empty() {
            return Ok(Default::default());
        }
        let columns = "t.statement_id, t.event_id, t.at, t.samples, t.active_seconds";
        let (rows, instants) = union(columns, "wait", pieces, 3);
        let sql = format!(
            "select /* pgwright:history_waits_of */ u.at, e.name, u.samples::float8 as samples, u.active_seconds \
             from ({rows}) u join pgwright.history_event e on e.event_id = u.event_id \
             where u.statement_id = any ($2)"
        );
        let ids = (&ids as _, Type::INT4_ARRAY);
        let rows =
            ask(session, "history_waits_of", &sql, &parameters(&self.source_id, &[ids], &instants)).await?;
        let (mut by_bucket, mut all): (WaitsByBucket, BTreeMap<String, (f64, f64)>) = Default::default();
        for row in &rows {
            let (event, active): (String, f64) = (get(row, "name")?, get(row, "active_seconds")?);
            let bucket = by_bucket.entry(level.floor(get(row, "at")?)).or_default();
            *bucket.entry(event.clone()).or_default() += active;
            let sum = all.entry(event).or_default();
            *sum = (sum.0 + get::<f64>(row, "samples")?, sum.1 + active);
        }
        let mut waits: Vec<StatementWait> = all
            .into_iter()
            .map(|(event, (samples, active_seconds))| StatementWait { event, samples, active_seconds })
            .collect();
        waits.sort_by(|a, b| {
            b.active_seconds.total_cmp(&a.active_seconds).then_with(|| a.event.cmp(&b.event))
        });
        Ok((by_bucket, waits))
    }
}
