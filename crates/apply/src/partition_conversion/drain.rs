//! Who carries over what the log holds? A session of its own, because what PostgreSQL plans for a log of a million
//! entries and for one of ten differs, and a session keeps its plans.

use postgres::Session;

use super::capture::Capture;
use super::event::ConversionEvent;
use super::site::{Site, open_session};
use super::state::{Step, to_step};
use crate::error::Error;

/// With so few entries left the log counts as empty, because writers add to it all the time.
const FEW: i64 = 100;

/// After so many turns in a row that took off no fewer than one before, no end is in sight.
const MOST_IN_VAIN: u32 = 5;

/// A session that drains a log.
pub(crate) struct Drainer<'a> {
    session: Session,
    capture: Capture<'a>,
}

impl<'a> Drainer<'a> {
    /// Opens the session. `indexed` tells whether the target has its key, by which few rows are found at once.
    pub async fn open(site: &Site<'_>, capture: Capture<'a>, indexed: bool) -> Result<Self, Error> {
        let session = open_session(site.target, site.options).await?;
        let mut settings = capture.session_objects();
        settings.push_str("; set work_mem = '64MB'; set synchronous_commit = off");
        if indexed {
            settings.push_str(
                "; set enable_seqscan = off; set enable_hashjoin = off; set enable_mergejoin = off",
            );
        }
        session.batch_execute(&settings).await.map_err(|e| site.failed(&e))?;
        Ok(Self { session, capture })
    }

    /// The session, for a swap that drains under its lock.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Carries over every entry that the snapshot sees, and records a step in the same transaction. A part of them
    /// would not do: a row could meet a value of another unique key that a row of a later part still has.
    pub async fn drain(&self, site: &Site<'_>, to: Option<Step>) -> Result<i64, Error> {
        let failed = |e: tokio_postgres::Error| site.failed(&e);
        let result = async {
            self.session.batch_execute("begin isolation level repeatable read").await?;
            let sql = format!("select /* pgwright:convert_drain */ {}() as entries", self.capture.drain());
            let row = self.session.query_one(&sql, &[]).await?;
            let entries: i64 = row.try_get("entries")?;
            let mut end = to.map(|step| to_step(site.id, step)).unwrap_or_default();
            end.push("commit".into());
            self.session.batch_execute(&end.join("; ")).await?;
            Ok(entries)
        }
        .await;
        match result {
            Ok(entries) => {
                site.teller.tell(ConversionEvent::Drained { entries });
                Ok(entries)
            }
            Err(error) => {
                let _ = self.session.batch_execute("rollback").await;
                Err(failed(error))
            }
        }
    }

    /// Carries over until few entries are left, or as few as writers leave: where they add as many in the time of one
    /// turn as the turn takes off, more turns would go on for ever.
    pub async fn catch_up(&self, site: &Site<'_>, step: Step) -> Result<(), Error> {
        let (mut least, mut in_vain) = (i64::MAX, 0);
        loop {
            site.check_cancelled(step)?;
            let entries = self.drain(site, None).await?;
            if entries < FEW || in_vain == MOST_IN_VAIN {
                return Ok(());
            }
            in_vain = if entries < least { 0 } else { in_vain + 1 };
            least = least.min(entries);
        }
    }
}
