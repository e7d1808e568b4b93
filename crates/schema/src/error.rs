//! Why could a schema not be restored?

/// A local server refused something that it must not refuse, or went away.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} failed")]
pub struct Error {
    /// What was being done.
    pub what: &'static str,
    /// PostgreSQL's message.
    pub message: String,
    /// Its SQLSTATE, when there is one.
    pub sqlstate: Option<String>,
}

impl Error {
    /// Says what was being done when a statement failed.
    pub fn sql(what: &'static str) -> impl FnOnce(tokio_postgres::Error) -> Self {
        move |e| {
            let (message, sqlstate) = explain(&e);
            Self { what, message, sqlstate }
        }
    }

    /// More about what happened, in sentences.
    pub fn detail(&self) -> Option<String> {
        Some(match &self.sqlstate {
            Some(state) => format!("PostgreSQL said: {} (SQLSTATE {state}).", self.message),
            None => format!("PostgreSQL said: {}.", self.message),
        })
    }
}

/// The server's message and SQLSTATE, or the client's own message.
pub fn explain(error: &tokio_postgres::Error) -> (String, Option<String>) {
    match error.as_db_error() {
        Some(db) => (db.message().to_owned(), Some(db.code().code().to_owned())),
        None => (error.to_string(), None),
    }
}
