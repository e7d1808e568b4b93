//! Why could a workload not be run? Errors of single statements are not here: they are counted.

use postgres::tokio_postgres;

/// Why a workload could not be run, or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum WorkloadError {
    /// The server was not reached or refused a session.
    #[error("{0}")]
    Connect(Box<postgres::Error>),
    /// The options make no run.
    #[error("{0}")]
    Options(String),
    /// A parameter's query failed.
    #[error("query of parameter \"{parameter}\" failed")]
    ParameterQuery {
        /// The parameter.
        parameter: String,
        /// The error, with the SQLSTATE.
        source: Box<postgres::Error>,
    },
    /// A parameter has no values to draw from.
    #[error("parameter \"{parameter}\" has no values: {reason}")]
    NoValues {
        /// The parameter.
        parameter: String,
        /// Why.
        reason: String,
    },
    /// A statement uses a column that its parameter's query does not return.
    #[error("{statement} cannot use {reference}: {reason}")]
    Column {
        /// The statement, as `statement "name"`.
        statement: String,
        /// As written.
        reference: String,
        /// Why.
        reason: String,
    },
    /// The workload does not say how to measure ingestion.
    #[error("workload file \"{0}\" has no [ingest]")]
    NoIngest(String),
    /// A statement of the ingestion failed, which makes its rate worthless.
    #[error("ingestion failed")]
    Ingest(Box<postgres::Error>),
}

impl WorkloadError {
    /// What else is known, in a sentence.
    pub fn detail(&self) -> Option<String> {
        match self {
            Self::Connect(error) => error.detail(),
            Self::Ingest(error) | Self::ParameterQuery { source: error, .. } => {
                let more = error.detail().map(|detail| format!(" {detail}")).unwrap_or_default();
                let sqlstate = error.sqlstate().map(|code| format!(" (SQLSTATE {code})")).unwrap_or_default();
                Some(format!("The error was: {error}{sqlstate}.{more}"))
            }
            Self::Options(_) | Self::NoValues { .. } | Self::Column { .. } | Self::NoIngest(_) => None,
        }
    }

    /// What to do about it, in a sentence.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Connect(error) | Self::Ingest(error) => error.hint(),
            Self::ParameterQuery { source, .. } => source
                .hint()
                .or_else(|| Some("Run the query by hand with the same role and search_path.".into())),
            Self::NoValues { .. } => {
                Some("Is the database the one that the workload was written for?".into())
            }
            Self::NoIngest(_) => {
                Some("Add a section [ingest] with key, insert, row, update and cleanup.".into())
            }
            Self::Options(_) | Self::Column { .. } => None,
        }
    }
}

impl WorkloadError {
    /// A session could not be had.
    pub(super) fn connect(error: postgres::Error) -> Self {
        Self::Connect(Box::new(error))
    }

    /// A statement of the ingestion failed.
    pub(super) fn ingest(error: &tokio_postgres::Error) -> Self {
        Self::Ingest(Box::new(postgres::Error::from_query("workload_ingest", error)))
    }
}
