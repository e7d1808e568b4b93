//! Why a twin could not be built.

use model::cost_model::CostError;
use schema::explain;

/// Why a twin could not be built.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The local server could not be started.
    #[error("could not start the planner twin: {0}")]
    Cluster(#[from] cluster::Error),
    /// The local server refused something that it must not refuse.
    #[error("could not build the planner twin: {what} failed")]
    Sql {
        /// What was being done.
        what: &'static str,
        /// PostgreSQL's message.
        message: String,
        /// Its SQLSTATE, when there is one.
        sqlstate: Option<String>,
    },
    /// A file of the local server could not be extended.
    #[error("could not give the planner twin's relation {pages} pages")]
    File {
        /// How long it should have become.
        pages: u64,
        /// Why it did not.
        source: std::io::Error,
    },
    /// The source's pages have another size.
    #[error("source has pages of {found} bytes")]
    BlockSize {
        /// The source's `block_size`.
        found: String,
    },
    /// There is no PostgreSQL on this machine.
    #[error("no PostgreSQL server programs for a planner twin")]
    NoBinaries,
}

impl Error {
    pub(crate) fn sql(what: &'static str) -> impl FnOnce(tokio_postgres::Error) -> Self {
        move |e| {
            let (message, sqlstate) = explain(&e);
            Self::Sql { what, message, sqlstate }
        }
    }

    /// More about what happened, in sentences.
    pub fn detail(&self) -> Option<String> {
        match self {
            Self::Cluster(e) => e.detail(),
            Self::Sql { message, sqlstate, .. } => Some(match sqlstate {
                Some(state) => format!("PostgreSQL said: {message} (SQLSTATE {state})."),
                None => format!("PostgreSQL said: {message}."),
            }),
            Self::File { source, .. } => Some(format!("The system said: {source}.")),
            Self::BlockSize { .. } => {
                Some("Server programs as packages have them use pages of 8192 bytes.".into())
            }
            Self::NoBinaries => None,
        }
    }

    /// What to do about it, in sentences.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Cluster(e) => e.hint(),
            Self::Sql { .. } => None,
            Self::File { .. } => Some("The file system must support sparse files of 1 GB.".into()),
            Self::BlockSize { .. } => Some("Costs under hypothetical indexes are not available for this server.".into()),
            Self::NoBinaries => Some(
                "Install a PostgreSQL server package (for instance \"apt install postgresql\"); it need not run.".into(),
            ),
        }
    }
}

impl From<Error> for CostError {
    fn from(error: Error) -> Self {
        let message = match error.detail() {
            Some(detail) => format!("{error}: {detail}"),
            None => error.to_string(),
        };
        Self::Model { message }
    }
}

impl From<schema::Error> for Error {
    fn from(error: schema::Error) -> Self {
        Self::Sql { what: error.what, message: error.message, sqlstate: error.sqlstate }
    }
}
