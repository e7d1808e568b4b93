//! What is asked of the server when a page is looked at? One session for all pages, with short time limits, and answers
//! that are kept for a moment, so that many readers cost the server no more than one.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use exporter::Exporter;
use postgres::{Session, SessionOptions};
use tokio::sync::{MappedMutexGuard, MutexGuard};

use crate::Failure;

/// How long a query of a page may run, and how long it may wait for a lock.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(5);
const LOCK_TIMEOUT: Duration = Duration::from_millis(500);
/// How long connecting may take.
const CONNECTING: Duration = Duration::from_secs(5);

/// The session of the pages.
pub(crate) struct Live {
    session: tokio::sync::Mutex<Option<Session>>,
}

impl Live {
    pub fn new() -> Self {
        Self { session: tokio::sync::Mutex::new(None) }
    }

    /// The session, connected where it is not; others wait until it is given back.
    ///
    /// # Errors
    /// When the server cannot be reached.
    pub async fn session(&self, exporter: &Exporter) -> Result<MappedMutexGuard<'_, Session>, Failure> {
        let mut kept = self.session.lock().await;
        if kept.as_ref().is_none_or(|session| session.is_closed()) {
            // The exporter tries again and again, and knows why it cannot.
            exporter.ready().map_err(|reason| Failure::new("the server is not connected").detail(reason))?;
            let options = exporter.options();
            let session_options = SessionOptions {
                statement_timeout: Some(STATEMENT_TIMEOUT),
                lock_timeout: Some(LOCK_TIMEOUT),
                read_only: true,
                ..options.session.clone()
            };
            let connecting = tokio::time::timeout(CONNECTING, options.target.connect(&session_options)).await;
            *kept = Some(connecting.map_err(|_| Failure::new("connecting to the server took too long"))??);
        }
        MutexGuard::try_map(kept, Option::as_mut).map_err(|_| Failure::new("the server is not connected"))
    }
}

impl std::fmt::Debug for Live {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Live").finish_non_exhaustive()
    }
}

/// An answer that is good for a while.
#[derive(Debug)]
pub(crate) struct Kept<T> {
    lasts: Duration,
    last: Mutex<Option<(Instant, T)>>,
}

impl<T: Clone> Kept<T> {
    pub const fn new(lasts: Duration) -> Self {
        Self { lasts, last: Mutex::new(None) }
    }

    /// What is kept and still good.
    pub fn get(&self) -> Option<T> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().filter(|(at, _)| at.elapsed() < self.lasts).map(|(_, value)| value.clone())
    }

    /// Keeps an answer.
    pub fn put(&self, value: T) -> T {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), value.clone()));
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_kept_for_its_time() {
        let kept = Kept::new(Duration::from_secs(600));
        assert_eq!(kept.get(), None);
        assert_eq!((kept.put(1), kept.get()), (1, Some(1)));
        let short = Kept::new(Duration::ZERO);
        short.put(1);
        assert_eq!(short.get(), None);
    }
}
