//! What can be wrong with what an exporter is given?

/// A file of queries that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is no YAML, or not of the known form.
    #[error("could not understand the queries of \"{file}\"")]
    Queries {
        /// The file.
        file: String,
        /// Why.
        reason: String,
    },
}

impl Error {
    /// What is known beyond the message.
    pub fn detail(&self) -> Option<String> {
        match self {
            Self::Queries { reason, .. } => Some(reason.clone()),
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Queries { .. } => Some(
                "The format is that of postgres_exporter; docs/reference/commands/serve.md shows it.".into(),
            ),
        }
    }
}
