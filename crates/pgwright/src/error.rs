//! How does a failure reach the user? As one factual line, a detail and a hint, with an exit code.
//!
//! Exit codes: 0 done, 1 findings at the `--fail-on` level, 2 error, 3 a change was refused or
//! rolled back, 4 statements were tested and nothing was proved.

use std::fmt;

/// What the process exits with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Everything that was asked for is done.
    Done,
    /// Done, and something at or above the asked level was found.
    Findings,
    /// Nothing was changed because of an error.
    Error,
    /// A change was refused or rolled back.
    Refused,
    /// Two statements were compared, and nothing was proved either way.
    Tested,
}

impl Exit {
    /// The number for the operating system.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Findings => 1,
            Self::Error => 2,
            Self::Refused => 3,
            Self::Tested => 4,
        }
    }
}

/// An error as the user reads it.
#[derive(Clone, Debug)]
pub struct CommandError {
    /// The exit code.
    pub exit: Exit,
    /// One factual lower-case line without a full stop.
    pub message: String,
    /// What is known beyond it, in sentences.
    pub detail: Option<String>,
    /// What to do, in sentences.
    pub hint: Option<String>,
}

impl CommandError {
    /// An error with its primary message only.
    pub fn new(message: impl Into<String>) -> Self {
        Self { exit: Exit::Error, message: message.into(), detail: None, hint: None }
    }

    /// Adds what is known beyond the message.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Adds what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Marks it as a change that was refused or rolled back.
    #[must_use]
    pub fn refused(mut self) -> Self {
        self.exit = Exit::Refused;
        self
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", crate::printer::plain(&self.message))?;
        if let Some(detail) = &self.detail {
            write!(f, "\n  detail: {}", crate::printer::plain(detail))?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\n  hint: {}", crate::printer::plain(hint))?;
        }
        Ok(())
    }
}

impl std::error::Error for CommandError {}

/// Library errors carry a message, a detail and a hint of their own.
macro_rules! from_library_errors {
    ($($error:ty),* $(,)?) => {$(
        impl From<$error> for CommandError {
            fn from(error: $error) -> Self {
                Self { exit: Exit::Error, message: error.to_string(), detail: error.detail(), hint: error.hint() }
            }
        }
    )*};
}

from_library_errors!(
    advice::AdviceError,
    alerting::Error,
    alerting::client::Refusal,
    apply::Error,
    cluster::Error,
    exporter::Error,
    history::Error,
    crate::demo::DemoError,
    crate::workload::FileError,
    crate::workload::WorkloadError,
    plan::PlanError,
    postgres::Error,
    refuter::Error,
    sql::SqlError,
    trial::Error,
    twin::Error,
    web::Error,
);

impl From<sql::InputError> for CommandError {
    fn from(error: sql::InputError) -> Self {
        let detail = match &error {
            sql::InputError::Syntax { place, .. } => Some(underlined(place)),
            other => other.detail(),
        };
        Self { exit: Exit::Error, message: error.to_string(), detail, hint: error.hint() }
    }
}

/// A place in a statement, below a line that says which.
pub fn underlined(place: &sql::Place) -> String {
    let lines: Vec<String> = place.underlined().lines().map(|l| format!("    {l}")).collect();
    format!("Line {}:\n{}", place.line, lines.join("\n"))
}

impl From<model::CostError> for CommandError {
    fn from(error: model::CostError) -> Self {
        Self::new(error.to_string())
    }
}

/// What a command gives back.
pub type CommandResult = Result<Exit, CommandError>;
