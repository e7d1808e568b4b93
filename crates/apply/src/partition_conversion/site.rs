//! Where does a conversion work? Its sessions, its transactions, and the short locks: one statement that waits for
//! the lock, works under it and is cut off by the server itself when both together take too long.

use std::time::{Duration, Instant};

use model::{Millis, QualifiedName, quote_literal};
use postgres::{Session, SessionOptions, Target};
use rand::Rng as _;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::event::{ConversionEvent, Teller};
use super::failure;
use super::options::ConversionOptions;
use super::plan::ConversionPlan;
use super::state::{Step, to_step};
use crate::catalog;
use crate::error::{Error, describe};
use crate::executor::begin_writing;
use crate::worker::lift_timeouts;

/// A conversion at work.
pub(crate) struct Site<'a> {
    pub target: &'a Target,
    pub options: &'a ConversionOptions,
    pub teller: Teller<'a>,
    /// The session that holds pgwright's lock on the conversion and writes its state.
    pub session: Session,
    pub id: i64,
    pub plan: ConversionPlan,
}

/// What is done under a short lock.
pub(crate) struct Brief {
    /// During which step.
    pub step: Step,
    /// The tables that are locked, each with its mode; the one that others use most comes first.
    pub locks: Vec<(String, &'static str)>,
    /// The statements, of PL/pgSQL.
    pub statements: Vec<String>,
}

/// How a failed try ended.
enum Tried {
    Done(Duration),
    Again(String),
}

/// What a statement does not say stays what the table has, whatever the role's or the database's defaults are.
const SAME_PLACE: &str = "set default_tablespace = ''; set default_table_access_method = heap";

/// The session that holds pgwright's lock on a conversion and writes its state.
pub(crate) async fn writing_session(target: &Target) -> Result<Session, Error> {
    let session = begin_writing(target).await?;
    session.batch_execute(SAME_PLACE).await.map_err(Error::query("set up a session"))?;
    Ok(session)
}

/// Opens a session for work that takes long.
pub(crate) async fn open_session(target: &Target, options: &ConversionOptions) -> Result<Session, Error> {
    let session_options =
        SessionOptions { application_name: "pgwright convert".into(), ..SessionOptions::default() };
    let session = target.connect(&session_options).await?;
    lift_timeouts(
        &session,
        &[
            "statement_timeout",
            "lock_timeout",
            "transaction_timeout",
            "idle_session_timeout",
            "idle_in_transaction_session_timeout",
        ],
    )
    .await?;
    // Rows that row-level security hides would be lost: better to fail.
    let mut settings = format!("{SAME_PLACE}; set row_security = off");
    if let Some(memory) = &options.maintenance_work_mem {
        settings.push_str(&format!("; set maintenance_work_mem = {}", quote_literal(memory)));
    }
    session.batch_execute(&settings).await.map_err(Error::query("set up a session"))?;
    // Autovacuum gives way to whoever has waited for it as long as `deadlock_timeout`, a second by default, and that is
    // longer than others may wait for this session. Not every role may say so.
    let half = options.max_lock.mul_f64(0.25).as_millis().max(1);
    match session.batch_execute(&format!("set deadlock_timeout = '{half}ms'")).await {
        Err(error) if error.code() != Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {
            Err(Error::query("set up a session")(error))
        }
        _ => Ok(session),
    }
}

/// Runs statements in one transaction.
pub(crate) async fn transact(client: &Client, statements: &[String]) -> Result<(), tokio_postgres::Error> {
    let sql = format!("begin; {}; commit", statements.join("; "));
    let result = client.batch_execute(&sql).await;
    if result.is_err() {
        // Whatever failed, the session is to be used again; a broken connection says so at its next use.
        let _ = client.batch_execute("rollback").await;
    }
    result
}

impl Site<'_> {
    /// Runs statements and records that the conversion has come to a step, in one transaction.
    pub async fn advance(&self, client: &Client, mut statements: Vec<String>, to: Step) -> Result<(), Error> {
        statements.extend(to_step(self.id, to));
        transact(client, &statements).await.map_err(|e| self.failed(&e))
    }

    /// A failure of a statement of the conversion.
    pub fn failed(&self, error: &tokio_postgres::Error) -> Error {
        failure::statement(&self.plan.table, error)
    }

    /// Stops when the user wants to.
    pub fn check_cancelled(&self, next: Step) -> Result<(), Error> {
        if self.options.cancellation.is_cancelled() {
            return Err(Error::Cancelled { next: next.as_str().replace('_', " ") });
        }
        Ok(())
    }

    /// Does something under a lock that others wait for, within the longest time that they may. Tries again, after a
    /// pause in which `between` is done.
    pub async fn briefly(
        &self,
        client: &Client,
        brief: &Brief,
        mut between: impl AsyncFnMut() -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut attempt = 1;
        loop {
            self.check_cancelled(brief.step)?;
            self.flush().await?;
            let sqlstate = match self.try_briefly(client, brief).await? {
                Tried::Done(time) => {
                    self.flush().await?;
                    self.teller.tell(ConversionEvent::Held { step: brief.step, time: millis(time) });
                    return Ok(());
                }
                Tried::Again(sqlstate) => sqlstate,
            };
            let tables: Vec<&str> = brief.locks.iter().map(|(t, _)| t.trim_start_matches("ONLY ")).collect();
            let blockers = catalog::table_holders(&self.session, &tables).await.unwrap_or_default();
            if attempt >= self.options.tries {
                return Err(failure::no_lock(self, &tables, attempt, &sqlstate, &blockers));
            }
            let pause = self.pause_after(attempt);
            self.teller.tell(ConversionEvent::Retrying {
                attempt,
                of: self.options.tries,
                sqlstate,
                pause: millis(pause),
                blockers,
            });
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.options.cancellation.cancelled() => {}
            }
            between().await?;
            attempt += 1;
        }
    }

    /// Commits something and waits until it is durable, without a lock that anybody waits for. A COMMIT under a lock finds
    /// little left to write then, and what it did is safe afterwards.
    pub async fn flush(&self) -> Result<(), Error> {
        let touch = format!(
            "update /* pgwright:conversion_flush */ pgwright.conversion set changed_at = pg_catalog.clock_timestamp() \
             where conversion_id = {}",
            self.id
        );
        self.session.batch_execute(&touch).await.map_err(|e| self.failed(&e))
    }

    async fn try_briefly(&self, client: &Client, brief: &Brief) -> Result<Tried, Error> {
        // Half for the wait, and a tenth is left for the commit.
        let whole = self.options.max_lock.mul_f64(0.9).as_millis().max(2);
        let wait = self.options.max_lock.mul_f64(0.5).as_millis().max(1);
        let locks = brief.locks.iter().map(|(table, mode)| format!("LOCK TABLE {table} IN {mode} MODE;\n"));
        let body: String = locks.chain(brief.statements.iter().map(|s| format!("{s};\n"))).collect();
        // No statement_timeout ends a COMMIT that waits for the disk or for a standby, with the locks held. Whatever is
        // committed behind this transaction and made durable makes it durable too.
        let sql = format!(
            "begin; set local synchronous_commit = off; set local lock_timeout = '{wait}ms'; set local statement_timeout = '{whole}ms'; do {}; commit",
            quote_literal(&format!("BEGIN\n{body}END"))
        );
        let began = Instant::now();
        let Err(error) = client.batch_execute(&sql).await else { return Ok(Tried::Done(began.elapsed())) };
        let _ = client.batch_execute("rollback").await;
        let code = error.code().cloned();
        match code {
            Some(code)
                if code == SqlState::LOCK_NOT_AVAILABLE
                    || code == SqlState::QUERY_CANCELED
                    || code == SqlState::T_R_DEADLOCK_DETECTED =>
            {
                Ok(Tried::Again(code.code().to_owned()))
            }
            _ => Err(self.failed(&error)),
        }
    }

    fn pause_after(&self, attempt: u32) -> Duration {
        let doubled = self.options.backoff.saturating_mul(2_u32.saturating_pow(attempt.saturating_sub(1)));
        doubled.min(self.options.longest_backoff).mul_f64(0.5 + rand::rng().random::<f64>() / 2.0)
    }

    /// The leaf partitions that a partitioned table has now.
    pub async fn partitions_of(&self, table: &QualifiedName) -> Result<Vec<QualifiedName>, Error> {
        let doing = || Error::query("read the partitions");
        let rows = self
            .session
            .query(include_str!("../../queries/conversion_partitions.sql"), &[&table.schema, &table.name])
            .await
            .map_err(doing())?;
        let name = |row: &tokio_postgres::Row| {
            Ok(QualifiedName::new(row.try_get::<_, String>("schema")?, row.try_get::<_, String>("name")?))
        };
        rows.iter().map(name).collect::<Result<_, tokio_postgres::Error>>().map_err(doing())
    }

    /// A query that gives one text, for instance of a condition.
    pub async fn text(&self, sql: &str) -> Result<Option<String>, Error> {
        let doing = || Error::query("read the state of the table");
        let row = self.session.query_opt(sql, &[]).await.map_err(doing())?;
        row.map(|row| row.try_get(0)).transpose().map(Option::flatten).map_err(doing())
    }
}

/// A time for messages.
pub(crate) fn millis(time: Duration) -> Millis {
    Millis(time.as_secs_f64() * 1000.0)
}

/// A server's words for a failure, for messages.
pub(crate) fn words(error: &tokio_postgres::Error) -> String {
    describe(error)
}
