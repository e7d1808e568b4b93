//! What is asked of history, and how is it answered quickly? One session that only reads; each answer reads a bounded
//! number of buckets, because the length of the window chooses how long those are.

mod figures;
mod overview;
mod plans;
mod sources;
mod statement;
mod statements;
mod values;

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use postgres::tokio_postgres::Row;
use postgres::tokio_postgres::types::{FromSql, ToSql, Type};
use postgres::{Session, SessionOptions, Target};
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::level::{Extents, Piece};

pub use figures::{Figures, Spent, StatementKey};
pub use overview::{Overview, StatementChange, WaitChange};
pub use plans::StatementPlan;
pub use sources::Source;
pub use statement::{StatementBucket, StatementHistory, StatementUser, StatementWait};
pub use statements::{Sort, Statements};
pub use values::{Line, Point, Series, WaitBucket, Waits};

/// At most so many buckets are summed for a list of all statements, each of which has a row in each.
const BUCKETS_OF_ALL: f64 = 96.0;
/// At most so many buckets make up a line.
const BUCKETS_OF_ONE: f64 = 750.0;

/// Why nothing was answered.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store could not be asked.
    #[error(transparent)]
    Store(#[from] postgres::Error),
    /// Nobody keeps history there.
    #[error("there is no history in {store}")]
    NoHistory {
        /// Where it was looked for.
        store: String,
    },
    /// That server is not watched.
    #[error("there is no history of \"{wanted}\"")]
    NoSource {
        /// The name that was asked for.
        wanted: String,
        /// Those that there are.
        known: Vec<String>,
    },
    /// History of several servers, and none was chosen.
    #[error("there is history of several servers")]
    SeveralSources {
        /// Their names.
        known: Vec<String>,
    },
    /// No such figure.
    #[error("there is no series \"{name}\"")]
    NoSeries {
        /// What was asked for.
        name: String,
    },
    /// No such statement.
    #[error("there is no history of statement {queryid}")]
    NoStatement {
        /// What was asked for.
        queryid: i64,
    },
}

impl Error {
    /// What is known beyond the message.
    pub fn detail(&self) -> Option<String> {
        match self {
            Self::Store(error) => error.detail(),
            Self::NoSource { known, .. } if known.is_empty() => Some("No server is watched yet.".into()),
            Self::NoSource { known, .. } | Self::SeveralSources { known } => {
                Some(format!("There are {}.", known.join(", ")))
            }
            Self::NoSeries { .. } => {
                let names: Vec<&str> = crate::series::SERIES.iter().map(|s| s.name).collect();
                Some(format!("There are {}.", names.join(", ")))
            }
            Self::NoHistory { .. } | Self::NoStatement { .. } => None,
        }
    }

    /// What to do.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Store(error) => error.hint(),
            Self::NoHistory { .. } => Some("Run \"pgwright serve --history\" beside the server.".into()),
            Self::SeveralSources { .. } => Some("Choose one with --source.".into()),
            Self::NoSource { .. } => Some("Name one of them with --source.".into()),
            Self::NoSeries { .. } => None,
            Self::NoStatement { .. } => Some(
                "It was never among those that took most time, or has not run since the history began."
                    .into(),
            ),
        }
    }
}

/// A source, and how far its levels reach.
#[derive(Clone, Debug)]
struct Known {
    source_id: i16,
    extents: Extents,
}

/// Answers what is asked of the history of one server.
#[derive(Debug)]
pub struct Reader {
    store: Target,
    source: Option<String>,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    session: Option<Arc<Session>>,
    /// When the store last answered.
    answered: Option<Instant>,
    /// When it last did not.
    silent: Option<Instant>,
}

/// How long a store may take to answer when it is asked whether it is there, and to take a connection.
const THERE: Duration = Duration::from_secs(2);
/// After this time without an answer it is asked again whether it is there.
const BELIEVED: Duration = Duration::from_secs(1);
/// So long after it did not answer nobody asks, and who wants an answer has it at once that there is none.
const SILENT: Duration = Duration::from_secs(5);
/// How long a query may take; the server ends it before, unless it hangs.
const ANSWERING: Duration = Duration::from_secs(12);

impl Reader {
    /// A reader of the history that is kept in `store`, of the named source or else of the only one. Nothing is
    /// connected yet, and a lost connection is made again.
    pub fn new(store: Target, source: Option<String>) -> Self {
        Self { store, source, held: Mutex::default() }
    }

    /// A session with a store that answers: one that hangs, or is out of reach, would keep everybody waiting.
    async fn session(&self) -> Result<Arc<Session>, Error> {
        let mut held = self.held.lock().await;
        if held.silent.is_some_and(|at| at.elapsed() < SILENT) {
            return Err(silent("connect"));
        }
        if let Some(session) = held.session.clone().filter(|s| !s.is_closed()) {
            if held.answered.is_some_and(|at| at.elapsed() < BELIEVED) {
                return Ok(session);
            }
            match timeout(THERE, session.simple_query("select /* pgwright:history_there */")).await {
                Ok(Ok(_)) => {
                    held.answered = Some(Instant::now());
                    return Ok(session);
                }
                Ok(Err(_)) => {}
                Err(_) => {
                    *held = Held { silent: Some(Instant::now()), ..Held::default() };
                    return Err(silent("connect"));
                }
            }
        }
        let options = SessionOptions {
            application_name: "pgwright history".into(),
            statement_timeout: Some(Duration::from_secs(10)),
            lock_timeout: Some(Duration::from_secs(2)),
            read_only: true,
            ..SessionOptions::default()
        };
        *held = Held::default();
        let Ok(connected) = timeout(THERE, self.store.connect(&options)).await else {
            held.silent = Some(Instant::now());
            return Err(silent("connect"));
        };
        let session = Arc::new(connected?);
        (held.session, held.answered) = (Some(session.clone()), Some(Instant::now()));
        Ok(session)
    }
}

fn silent(name: &str) -> Error {
    Error::Store(postgres::Error::Timeout {
        name: name.into(),
        sqlstate: "57014".into(),
        message: "the store does not answer".into(),
    })
}

/// Runs a query of the store.
async fn ask(
    session: &Session,
    name: &str,
    sql: &str,
    parameters: &[(&(dyn ToSql + Sync), Type)],
) -> Result<Vec<Row>, Error> {
    let answer = timeout(ANSWERING, session.query_typed(sql, parameters)).await;
    answer.map_err(|_| silent(name))?.map_err(|e| Error::Store(postgres::Error::from_query(name, &e)))
}

/// A row that is not as this version of pgwright writes it.
fn unreadable(error: postgres::tokio_postgres::Error) -> Error {
    Error::Store(postgres::Error::from_query("history", &error))
}

/// A column of a row.
fn get<'a, T: FromSql<'a>>(row: &'a Row, column: &str) -> Result<T, Error> {
    row.try_get(column).map_err(unreadable)
}

/// `select … union all select …` over the tables of the pieces, and the instants that are its parameters, the first of
/// them `$first`. `$1` is the source.
fn union(columns: &str, kind: &str, pieces: &[Piece], first: usize) -> (String, Vec<DateTime<Utc>>) {
    let (mut sql, mut instants) = (String::new(), Vec::new());
    for piece in pieces {
        if !sql.is_empty() {
            sql.push_str(" union all ");
        }
        let (from, to) = (first + instants.len(), first + instants.len() + 1);
        // Writing to a string cannot fail.
        let _ = write!(
            sql,
            "select {columns} from pgwright.history_{kind}_{} t where t.source_id = $1 and t.at >= ${from} and t.at < ${to}",
            piece.level.name()
        );
        instants.extend([piece.window.from, piece.window.to]);
    }
    (sql, instants)
}

/// The parameters of a query over a [`union`]: the source, others, and the instants.
fn parameters<'a>(
    source_id: &'a i16,
    others: &[(&'a (dyn ToSql + Sync), Type)],
    instants: &'a [DateTime<Utc>],
) -> Vec<(&'a (dyn ToSql + Sync), Type)> {
    let mut all: Vec<(&'a (dyn ToSql + Sync), Type)> = vec![(source_id, Type::INT2)];
    all.extend(others.iter().cloned());
    all.extend(instants.iter().map(|at| (at as &(dyn ToSql + Sync), Type::TIMESTAMPTZ)));
    all
}
