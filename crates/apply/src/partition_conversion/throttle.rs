//! When should copying pause? While replicas fall behind, while an old snapshot keeps VACUUM from cleaning up, and
//! while commits take long because the disk is busy with others.
//!
//! Source: PostgreSQL manual, "The Cumulative Statistics System" (`pg_stat_replication`, `pg_stat_activity`).

use std::time::{Duration, Instant};

use model::Bytes;
use postgres::Session;

use super::event::ConversionEvent;
use super::site::{Site, millis};
use crate::error::Error;

/// Pauses while there is a reason to, for as long as the options say at most.
pub(crate) async fn pause(site: &Site<'_>, session: &Session, commit: Duration) -> Result<(), Error> {
    let began = Instant::now();
    let mut nap = Duration::from_millis(100);
    let mut slow = (commit > site.options.max_commit_latency).then_some(commit);
    while let Some(reason) = reason(site, session, slow.take()).await? {
        let left = site.options.longest_pause.saturating_sub(began.elapsed());
        if left.is_zero() || site.options.cancellation.is_cancelled() {
            return Ok(());
        }
        site.teller.tell(ConversionEvent::Paused { reason });
        tokio::time::sleep(nap.min(left)).await;
        nap = nap.saturating_mul(2);
    }
    Ok(())
}

async fn reason(site: &Site<'_>, session: &Session, slow: Option<Duration>) -> Result<Option<String>, Error> {
    if let Some(commit) = slow {
        return Ok(Some(format!("A commit took {}.", millis(commit))));
    }
    let doing = || Error::query("look how far replicas are behind");
    let row =
        session.query_one(include_str!("../../queries/conversion_load.sql"), &[]).await.map_err(doing())?;
    let lag: i64 = row.try_get("lag_bytes").map_err(doing())?;
    if lag > site.options.max_replication_lag_bytes {
        let bytes = Bytes(u64::try_from(lag).unwrap_or(0));
        return Ok(Some(format!("A replica is {bytes} behind.")));
    }
    let age: i64 = row.try_get("horizon_age").map_err(doing())?;
    if age > site.options.max_horizon_age {
        return Ok(Some(format!("The oldest snapshot of the server is {age} transactions old.")));
    }
    Ok(None)
}
