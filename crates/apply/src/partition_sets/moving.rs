//! How do rows leave DEFAULT while others change them? Those that nobody has touched lately first, under row locks only;
//! those that are changed all the time at the end, in the moment in which parent and DEFAULT are locked.
//!
//! A row that is being moved is locked until its partition is attached, and whoever wants to change it waits. A second
//! session looks for such a wait and takes the move back at once; the row counts as busy from then on, and the next try
//! leaves it to the end. Busy is what has been written since the step began, which `xmin` tells, and what somebody has
//! locked. The end is bounded: two locks are taken and two statements need time, each for at most a quarter of `max_lock`. Where rows are changed all over DEFAULT, no row is idle for long, so that every second try from the
//! fourth on moves all rows at the end, if they are few enough for that.
//!
//! Source: PostgreSQL manual, "System Columns", "SELECT" (SKIP LOCKED), "Explicit Locking".

use std::time::Duration;

use model::{QualifiedName, quote_literal};
use postgres::{Session, SessionOptions, Target};

use crate::error::Error;
use crate::options::ExecuteOptions;

/// The transaction from which on a row counts as busy; nothing when all of them do.
const SINCE: &str = "pgwright.busy_since";
/// How long others may have to wait, in milliseconds.
const MAX_LOCK: &str = "pgwright.max_lock_ms";

/// Who wants to change a row that is being moved waits for this transaction, and holds locks on the tables that this one
/// asks for next. That would be a deadlock, and PostgreSQL might end the other. So this one gives way, to be tried again.
pub(crate) const NOBODY_WAITS: &str = "DO LANGUAGE plpgsql 'BEGIN IF EXISTS ( \
    SELECT FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity a ON a.backend_xid = l.transactionid \
    WHERE a.pid = pg_catalog.pg_backend_pid() AND NOT l.granted AND l.locktype = ''transactionid'') THEN \
    RAISE EXCEPTION USING ERRCODE = ''lock_not_available'', \
    MESSAGE = ''somebody waits to change a row that is being moved out of DEFAULT''; END IF; END'";

/// Who begins to wait only now looks for deadlocks after deadlock_timeout; by then this one has given way or is done.
pub(crate) const SHORT_LOCKS: &str = "SELECT pg_catalog.set_config('lock_timeout', least( \
    pg_catalog.date_part('epoch', pg_catalog.current_setting('lock_timeout')::pg_catalog.interval) * 1000, \
    pg_catalog.date_part('epoch', pg_catalog.current_setting('deadlock_timeout')::pg_catalog.interval) * 250, \
    pg_catalog.current_setting('pgwright.max_lock_ms')::pg_catalog.float8 / 4 \
    )::pg_catalog.int4::pg_catalog.text, true), \
    pg_catalog.set_config('statement_timeout', \
    (pg_catalog.current_setting('pgwright.max_lock_ms')::pg_catalog.int4 / 4)::pg_catalog.text, true)";

/// Moves the rows of a partition that nobody has changed lately.
pub(crate) fn of_idle(default: &QualifiedName, name: &QualifiedName, check: &str, columns: &str) -> String {
    format!(
        "WITH idle AS (SELECT ctid FROM ONLY {default} WHERE {check} AND pg_catalog.age(xmin) > \
         (SELECT pg_catalog.age(nullif(pg_catalog.current_setting('{SINCE}'), '')::pg_catalog.xid)) FOR UPDATE SKIP LOCKED), \
         moved AS (DELETE FROM ONLY {default} USING idle WHERE {default}.ctid = idle.ctid RETURNING {columns}) \
         INSERT INTO {name} ({columns}) SELECT {columns} FROM moved"
    )
}

/// Moves all rows of a partition.
pub(crate) fn of_all(default: &QualifiedName, name: &QualifiedName, check: &str, columns: &str) -> String {
    format!(
        "WITH moved AS (DELETE FROM ONLY {default} WHERE {check} RETURNING {columns}) \
         INSERT INTO {name} ({columns}) SELECT {columns} FROM moved"
    )
}

/// Watches the transaction that moves rows.
pub(super) struct Watch {
    session: Session,
    mover: i32,
    since: String,
    max_lock: Duration,
}

impl Watch {
    /// Opens a session that watches another.
    pub async fn over(mover: &Session, target: &Target, options: &ExecuteOptions) -> Result<Self, Error> {
        let doing = || Error::query("look which transactions are open");
        let session =
            SessionOptions { application_name: "pgwright watch".into(), ..SessionOptions::default() };
        let session = target.connect(&session).await?;
        let sql = "select /* pgwright:busy_since */ pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot())\
                   ::pg_catalog.xid::pg_catalog.text";
        let since = session.query_one(sql, &[]).await.and_then(|row| row.try_get(0)).map_err(doing())?;
        Ok(Self { session, mover: mover.backend_pid(), since, max_lock: options.max_lock })
    }

    /// What the transaction of a try (from 1) has to begin with.
    pub fn settings(&self, attempt: u32) -> String {
        let all_at_the_end = attempt >= 4 && attempt.is_multiple_of(2);
        let since = if all_at_the_end { "" } else { self.since.as_str() };
        let max_lock_ms = self.max_lock.as_millis().clamp(4, 3_600_000);
        format!("set local {SINCE} = {}; set local {MAX_LOCK} = {max_lock_ms};", quote_literal(since))
    }

    /// Sends the transaction, and takes it back as soon as somebody waits for one of its rows. Whether it was taken back
    /// stands beside the answer.
    pub async fn send(&self, mover: &Session, script: &str) -> (Result<(), tokio_postgres::Error>, bool) {
        let pause = (self.max_lock / 4).clamp(Duration::from_millis(5), Duration::from_millis(100));
        let mut taken_back = false;
        let mut sent = std::pin::pin!(mover.batch_execute(script));
        loop {
            tokio::select! {
                answer = &mut sent => return (answer, taken_back),
                () = tokio::time::sleep(pause), if !taken_back => {
                    // A watch that fails leaves what was there without it: the move gives way before it asks for locks.
                    let seen = self
                        .session
                        .query_opt(include_str!("../../queries/cancel_move.sql"), &[&self.mover])
                        .await;
                    taken_back = matches!(seen, Ok(Some(_)));
                }
            }
        }
    }
}
