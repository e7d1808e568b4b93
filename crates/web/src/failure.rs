//! What is told when something cannot be shown or done? A line, a detail and a hint, as everywhere in pgwright.

/// Why something failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// One factual lower-case line.
    pub message: String,
    /// What is known beyond it, in sentences.
    pub detail: Option<String>,
    /// What to do about it, in sentences.
    pub hint: Option<String>,
}

impl Failure {
    /// A failure without detail and hint.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), detail: None, hint: None }
    }

    /// With a detail.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// With a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl From<postgres::Error> for Failure {
    fn from(error: postgres::Error) -> Self {
        Self { message: error.to_string(), detail: error.detail(), hint: error.hint() }
    }
}

impl From<apply::Error> for Failure {
    fn from(error: apply::Error) -> Self {
        Self { message: error.to_string(), detail: error.detail(), hint: error.hint() }
    }
}

impl From<history::Error> for Failure {
    fn from(error: history::Error) -> Self {
        Self { message: error.to_string(), detail: error.detail(), hint: error.hint() }
    }
}
