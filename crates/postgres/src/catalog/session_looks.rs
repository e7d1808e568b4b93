//! What does every session do, asked many times a second for as little as possible?
//!
//! Source: PostgreSQL manual, "pg_stat_activity" (28.2.3), and "Binary Format" of the types (`int4send` and its like).

use chrono::{DateTime, Utc};

use crate::catalog::activity::{HadMemoryRow, OwnDatabaseRow, SessionSamplesRow};
use crate::catalog_query::{CatalogRow as _, Repeated, read};
use crate::error::Error;
use crate::session::Session;

/// What a session does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionState {
    /// It runs a statement.
    Active,
    /// It has ended one, and waits for the client, in a transaction or not.
    Idle,
    /// Its transaction has failed, or it does not tell.
    Other,
    /// The role may not see it.
    Hidden,
}

/// What a session does or did last.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionSample {
    /// The process.
    pub pid: i32,
    /// Its database.
    pub datid: u32,
    /// The role that signed in.
    pub usesysid: u32,
    /// The statement, where it says so.
    pub query_id: Option<i64>,
    /// What it does.
    pub state: SessionState,
    /// When the statement began, in microseconds since 1970.
    pub query_start_us: Option<i64>,
    /// When the session began to do what it does, in the same.
    pub state_change_us: Option<i64>,
    /// What an active one waits for, as `IO: DataFileRead`.
    pub wait: Option<String>,
}

/// What one look has shown.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionLook {
    /// When it was, by the server's clock.
    pub now: DateTime<Utc>,
    /// The sessions.
    pub sessions: Vec<SessionSample>,
}

/// Microseconds from 1970, where this program counts from, to 2000, where the server does.
const EPOCH_US: i64 = 946_684_800_000_000;

impl TryFrom<SessionSamplesRow> for SessionLook {
    type Error = Error;

    fn try_from(row: SessionSamplesRow) -> Result<Self, Error> {
        let pieces = row.sessions.unwrap_or_default();
        let mut rest = pieces.as_slice();
        let mut sessions = Vec::new();
        while !rest.is_empty() {
            let Some(sample) = sample(&mut rest) else {
                return Err(Error::Decode {
                    query: SessionSamplesRow::QUERY.name.into(),
                    column: "sessions".into(),
                    reason: format!("{} bytes end within a session", pieces.len()),
                });
            };
            sessions.push(sample);
        }
        Ok(Self { now: row.now, sessions })
    }
}

/// Takes a session off the front.
fn sample(rest: &mut &[u8]) -> Option<SessionSample> {
    let mut sample = SessionSample {
        pid: i32::from_be_bytes(next(rest)?),
        datid: u32::from_be_bytes(next(rest)?),
        usesysid: u32::from_be_bytes(next(rest)?),
        // The server has no statement of this number.
        query_id: Some(i64::from_be_bytes(next(rest)?)).filter(|id| *id != 0),
        query_start_us: instant(next(rest)?),
        state_change_us: instant(next(rest)?),
        state: match next(rest)? {
            [b'a'] => SessionState::Active,
            [b'i'] => SessionState::Idle,
            [b'h'] => SessionState::Hidden,
            [_] => SessionState::Other,
        },
        wait: None,
    };
    if sample.state == SessionState::Active {
        let length = rest.iter().position(|byte| *byte == 0)?;
        let wait = rest.split_off(..length)?;
        let [0] = next(rest)? else { return None };
        sample.wait = (length > 0).then(|| String::from_utf8_lossy(wait).into_owned());
    }
    Some(sample)
}

fn next<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    rest.split_off(..N)?.try_into().ok()
}

/// An instant; `None` for what never was.
fn instant(sent: [u8; 8]) -> Option<i64> {
    i64::from_be_bytes(sent).checked_add(EPOCH_US).filter(|us| *us > 0)
}

/// Looks at sessions, again and again.
pub struct SessionLooks {
    query: Repeated<SessionSamplesRow>,
    /// The session's database.
    pub datid: Option<u32>,
}

impl SessionLooks {
    /// Gets ready to look through a session.
    ///
    /// # Errors
    /// When the server does not take the query.
    pub async fn through(session: &Session) -> Result<Self, Error> {
        let own: Vec<OwnDatabaseRow> = read(session, session.version_num(), &[]).await?;
        let datid = own.first().and_then(|row| row.datid);
        if !session.behind_transaction_pooler() {
            // Before each look the server copies what all sessions tell into memory that it gives back after it, and the
            // system has to clear it anew: a quarter of what a look takes. The C library keeps as much as twice the
            // largest piece that it was ever given back.
            let _: Vec<HadMemoryRow> = read(session, session.version_num(), &[]).await?;
        }
        let looks = Self { query: Repeated::prepare(session).await?, datid };
        // The server keeps what it has read of its catalogs about the query, and can look when they are locked.
        looks.look(session, None).await?;
        Ok(looks)
    }

    /// What every client session but the own one does, in whichever database; those left out that have been idle since
    /// before `quiet_before`. `session` is the one that this was made for.
    ///
    /// # Errors
    /// When the query fails.
    pub async fn look(
        &self,
        session: &Session,
        quiet_before: Option<DateTime<Utc>>,
    ) -> Result<SessionLook, Error> {
        let row = self.query.read(session, &[&quiet_before]).await?.pop();
        row.ok_or_else(|| Error::Decode {
            query: SessionSamplesRow::QUERY.name.into(),
            column: "now".into(),
            reason: "there is no row".into(),
        })?
        .try_into()
    }
}
