//! Why could nothing be tried?

/// Why a trial could not be started or went wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The local server could not be started.
    #[error("could not start a server for samples: {0}")]
    Cluster(#[from] cluster::Error),
    /// The local server failed.
    #[error("server for samples: {0}")]
    Server(#[from] schema::Error),
    /// There is no PostgreSQL on this machine.
    #[error("no PostgreSQL server programs for a server with samples")]
    NoBinaries,
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
            Self::NoBinaries => None,
        }
    }

    /// What to do about it, in sentences.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Cluster(e) => e.hint(),
            Self::Server(_) => None,
            Self::NoBinaries => Some(
                "Install a PostgreSQL server package (for instance \"apt install postgresql\"); it need not run."
                    .into(),
            ),
        }
    }
}
