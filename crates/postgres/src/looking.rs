//! Who looks at sessions many times a second, without costing more than what is looked at? A thread that sleeps between looks: the
//! timers of an asynchronous runtime wake it more often than there are looks, and every look would go from one thread to
//! another and back.

use std::task::Poll;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use tokio::runtime::{Builder, Runtime};

use crate::catalog::{SessionLook, SessionLooks};
use crate::error::Error;
use crate::session::{Session, SessionOptions};
use crate::target::Target;

/// A session that looks at the others. It belongs to the thread that made it, which is none of a runtime.
pub struct Looker {
    looks: SessionLooks,
    // Before the runtime, which drives it.
    session: Session,
    runtime: Runtime,
    limit: Duration,
}

impl std::fmt::Debug for Looker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Looker").field("session", &self.session).finish_non_exhaustive()
    }
}

impl Looker {
    /// Connects, and gets ready to look. Nothing takes longer than `limit`, but connecting, which has a limit of its own.
    ///
    /// # Errors
    /// When the server is away, or does not take the query.
    pub fn connect(target: &Target, options: &SessionOptions, limit: Duration) -> Result<Self, Error> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Error::Conninfo { message: format!("no thread can be had for it: {error}") })?;
        let session = runtime.block_on(target.connect(options))?;
        let looks = runtime.block_on(within(limit, SessionLooks::through(&session)))?;
        Ok(Self { looks, session, runtime, limit })
    }

    /// The session's database.
    pub fn datid(&self) -> Option<u32> {
        self.looks.datid
    }

    /// As [`SessionLooks::look`].
    ///
    /// # Errors
    /// When the query fails, or takes too long.
    pub fn look(&self, quiet_before: Option<DateTime<Utc>>) -> Result<SessionLook, Error> {
        self.runtime.block_on(within(self.limit, self.looks.look(&self.session, quiet_before)))
    }

    /// As [`Self::look`], with `wait` between asking and taking the answer: who takes it when the next look is due is not woken
    /// for it in between, which costs as much as the rest of a look. The answer tells the time of the look.
    ///
    /// # Errors
    /// As [`Self::look`]; the limit begins after `wait`.
    pub fn look_over(
        &self,
        quiet_before: Option<DateTime<Utc>>,
        wait: impl FnOnce(),
    ) -> Result<SessionLook, Error> {
        self.runtime.block_on(async {
            let mut look = std::pin::pin!(self.looks.look(&self.session, quiet_before));
            let asked = futures_util::poll!(look.as_mut());
            // The task that holds the connection sends what was asked.
            tokio::task::yield_now().await;
            // Nothing else is to go on in this thread meanwhile.
            wait();
            match asked {
                Poll::Ready(answer) => answer,
                Poll::Pending => within(self.limit, look).await,
            }
        })
    }
}

async fn within<T>(limit: Duration, query: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    tokio::time::timeout(limit, query).await.unwrap_or_else(|_| {
        Err(Error::Timeout {
            name: "session_samples".into(),
            sqlstate: "57014".into(),
            message: "the server did not answer in time".into(),
        })
    })
}

/// When the next look is due.
#[derive(Debug)]
pub struct Ticks {
    every: Duration,
    due: Instant,
}

/// Who waits for a look that is far off sees within this time that it is to stop.
const NOTICED_WITHIN: Duration = Duration::from_millis(100);

/// Intervals up to this are short enough for an answer to be taken when the next look is due.
const SHORT: Duration = Duration::from_secs(1);

impl Ticks {
    /// Whether the answer of a look can wait until the next one is due.
    pub fn are_short(&self) -> bool {
        self.every <= SHORT
    }

    /// The first is due at once.
    pub fn new(every: Duration) -> Self {
        Self { every, due: Instant::now() }
    }

    /// Waits for the next, or until `stopped`; whether there is one.
    pub fn wait(&mut self, stopped: impl Fn() -> bool) -> bool {
        loop {
            if stopped() {
                return false;
            }
            let now = Instant::now();
            let left = self.due.saturating_duration_since(now);
            if left.is_zero() {
                // A look that came late is not made up for: two at once show the same.
                let next = self.due + self.every;
                self.due = if next <= now { now + self.every } else { next };
                return true;
            }
            // A wait of one interval of usual length is not taken apart.
            std::thread::sleep(if left < NOTICED_WITHIN * 2 { left } else { NOTICED_WITHIN });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_look_is_not_made_up_for_and_who_stops_waits_for_none() {
        let mut ticks = Ticks::new(Duration::from_secs(3600));
        assert!(ticks.wait(|| false), "the first is due at once");
        let asked = std::cell::Cell::new(0);
        let stopped = ticks.wait(|| {
            asked.set(asked.get() + 1);
            asked.get() > 2
        });
        assert_eq!((stopped, asked.get()), (false, 3), "an hour is not waited for");
        let mut late = Ticks { every: Duration::from_secs(60), due: Instant::now() };
        late.due = late.due.checked_sub(Duration::from_secs(600)).unwrap();
        assert!(late.wait(|| false));
        assert!(late.due > Instant::now(), "ten looks were missed, and are not made now");
    }
}
