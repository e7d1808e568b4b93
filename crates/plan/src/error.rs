//! What can be wrong with a text that should be the output of `EXPLAIN (FORMAT JSON)`?

/// Why a plan could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// The text is not JSON.
    #[error("plan is not valid JSON")]
    Json(#[from] serde_json::Error),
    /// The JSON is something else than EXPLAIN prints.
    #[error("JSON is not the output of EXPLAIN (FORMAT JSON)")]
    NotExplain {
        /// What was found where.
        found: String,
    },
    /// `EXPLAIN` of a utility statement, which has no plan.
    #[error("statement has no plan")]
    Utility,
    /// More nodes or levels than any real plan has.
    #[error("plan has more than {limit} {what}")]
    TooLarge {
        /// What there is too much of: `nodes` or `levels`.
        what: &'static str,
        /// How many are read.
        limit: usize,
    },
}

impl PlanError {
    /// A sentence with the particulars.
    pub fn detail(&self) -> Option<String> {
        match self {
            Self::Json(error) => Some(format!("The JSON parser said: {error}.")),
            Self::NotExplain { found } => Some(format!("Found {found}.")),
            Self::Utility => Some(
                "PostgreSQL plans SELECT, INSERT, UPDATE, DELETE, MERGE and CREATE TABLE AS only.".into(),
            ),
            Self::TooLarge { .. } => None,
        }
    }

    /// A sentence that says what to do.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Json(_) | Self::NotExplain { .. } => Some(
                "Use the output of EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON), unaligned: psql -XAt.".into(),
            ),
            Self::Utility | Self::TooLarge { .. } => None,
        }
    }
}
