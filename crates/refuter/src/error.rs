//! Why could two statements not be compared at all?

use serde::{Deserialize, Serialize};
use sql::SqlError;

/// Which of the two statements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)] // The names say it.
pub enum Side {
    Before,
    After,
}

impl std::fmt::Display for Side {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Before => "first",
            Self::After => "second",
        })
    }
}

/// Why a refuter could not be started or asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The local server could not be started.
    #[error("could not start a server for tiny databases: {0}")]
    Cluster(#[from] cluster::Error),
    /// The local server failed.
    #[error("server for tiny databases: {0}")]
    Server(#[from] schema::Error),
    /// There is no PostgreSQL on this machine.
    #[error("no PostgreSQL server programs for tiny databases")]
    NoBinaries,
    /// A text is not one statement.
    #[error("{side} statement: {error}")]
    Text {
        /// Whose.
        side: Side,
        /// Why.
        error: SqlError,
    },
    /// PostgreSQL refuses a statement on this schema.
    #[error("{side} statement is refused: {message}")]
    Statement {
        /// Which.
        side: Side,
        /// PostgreSQL's message.
        message: String,
        /// Its SQLSTATE.
        sqlstate: String,
        /// Where in the text, in characters from 1.
        position: Option<usize>,
        /// PostgreSQL's own hint.
        server_hint: Option<String>,
    },
}

impl Error {
    pub(crate) fn sql(what: &'static str) -> impl FnOnce(tokio_postgres::Error) -> Self {
        move |e| Self::Server(schema::Error::sql(what)(e))
    }

    /// More about what happened, in sentences.
    pub fn detail(&self) -> Option<String> {
        match self {
            Self::Cluster(e) => e.detail(),
            Self::Server(e) => e.detail(),
            Self::Text { error, .. } => error.detail(),
            Self::Statement { sqlstate, .. } => Some(format!("SQLSTATE {sqlstate}.")),
            Self::NoBinaries => None,
        }
    }

    /// What to do about it, in sentences.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Cluster(e) => e.hint(),
            Self::Server(_) => None,
            Self::Text { error, .. } => error.hint(),
            Self::Statement { server_hint, .. } => server_hint.clone(),
            Self::NoBinaries => Some(
                "Install a PostgreSQL server package (for instance \"apt install postgresql\"); it need not run.".into(),
            ),
        }
    }
}
