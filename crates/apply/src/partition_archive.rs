//! Where do old partitions go before they are dropped, and how do they come back?
//!
//! An archive is two files in a folder, or two objects in a bucket of S3-compatible storage: `….csv.zst`, what `COPY … TO STDOUT` says in CSV, compressed by zstd; and
//! `….json`, the [`Manifest`]: what the table was, how many rows it had, and what they add up to. The manifest is
//! written last, so an archive without one is none. `folder` and `bucket` say how each comes about whole or not at all.
//!
//! A partition is dropped only in the transaction that has kept writers away from it since before it was read, after the
//! file was read back from the disk and agreed with what the server had sent, byte by byte, and with the server's own
//! count. All of it is a stream: memory does not grow with the table.
//!
//! Source: PostgreSQL manual, "COPY" (CSV tells NULL from the empty string, and quotes line ends).

mod bucket;
mod digest;
mod folder;
mod manifest;
mod restore;
mod store;
mod stream;
mod subject;
mod writing;

pub use bucket::ObjectStorage;
pub use manifest::{Manifest, ManifestColumn};
pub use restore::{RestorePlan, Restored, plan_restore, restore};
pub use store::{Archive, Store};

pub(crate) use store::stem;
pub(crate) use writing::{Hold, hold_and_archive};

use crate::action::Action;
use crate::error::{Error, StepFailure};

/// Settings under which what is written is read again as the same value, whoever reads it.
const EXACT: &str = "set /* pgwright:archive_settings */ extra_float_digits = 3; set datestyle = 'ISO, YMD'; \
    set intervalstyle = 'postgres'; set timezone = 'UTC'; set bytea_output = 'hex'; set xmloption = 'content'; \
    set lc_monetary = 'C'; set row_security = off; set synchronize_seqscans = off; set statement_timeout = 0; \
    set idle_in_transaction_session_timeout = 0";

/// Why an archive could not be written, read or trusted.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// A file could not be read or written.
    #[error("could not {doing} \"{path}\"")]
    File {
        /// What was done, as an infinitive without "to".
        doing: &'static str,
        /// Which file or folder.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The storage refused.
    #[error("could not {doing} \"{place}\"")]
    Bucket {
        /// What was done.
        doing: &'static str,
        /// Which object.
        place: String,
        /// Why.
        #[source]
        source: Box<object_store::Error>,
    },
    /// The server refused.
    #[error("could not {doing}")]
    Server {
        /// What was done.
        doing: &'static str,
        /// Its words.
        #[source]
        source: Box<tokio_postgres::Error>,
    },
    /// A file is no manifest, or one of a later pgwright.
    #[error("\"{path}\" is no manifest of an archive")]
    NoManifest {
        /// Which file.
        path: String,
        /// Why.
        reason: String,
    },
    /// What was read is not what was written.
    #[error("{0}")]
    Differs(String),
    /// It cannot be done, for a reason in a sentence fragment.
    #[error("{0}")]
    Unfit(String),
    /// It cannot become a partition again, for a reason in a sentence fragment.
    #[error("{0}")]
    Homeless(String),
}

impl ArchiveError {
    fn file(doing: &'static str, path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.display().to_string();
        move |source| Self::File { doing, path, source }
    }

    fn server(doing: &'static str) -> impl FnOnce(tokio_postgres::Error) -> Self {
        move |source| Self::Server { doing, source: Box::new(source) }
    }

    /// The SQLSTATE, when the server gave one.
    fn code(&self) -> Option<&tokio_postgres::error::SqlState> {
        match self {
            Self::Server { source, .. } => source.code(),
            _ => None,
        }
    }

    /// What is behind the message, in a sentence.
    pub fn reason(&self) -> Option<String> {
        match self {
            Self::File { source, .. } => Some(source.to_string()),
            Self::Bucket { source, .. } => Some(bucket::reason_of(source)),
            Self::Server { source, .. } => {
                Some(source.as_db_error().map_or_else(|| source.to_string(), |d| d.message().to_owned()))
            }
            Self::NoManifest { reason, .. } => Some(reason.clone()),
            Self::Differs(_) | Self::Unfit(_) | Self::Homeless(_) => None,
        }
    }

    /// What to do about it, in a sentence.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Differs(_) => {
                Some("Nothing was dropped or made; look at the storage and the file.".to_owned())
            }
            Self::Bucket { source, .. } => Some(bucket::hint_of(source).to_owned()),
            Self::Homeless(_) => {
                Some("With --no-attach it becomes a table of its own, as it was.".to_owned())
            }
            _ => None,
        }
    }

    pub(crate) fn into_step(self, action: &Action) -> StepFailure {
        let message = match self.reason() {
            Some(reason) => format!("{self}: {reason}"),
            None => self.to_string(),
        };
        StepFailure {
            sqlstate: self.code().map(|code| code.code().to_owned()),
            attempts: 1,
            ..StepFailure::of(action, message)
        }
    }
}

impl From<ArchiveError> for Error {
    fn from(error: ArchiveError) -> Self {
        Self::Archive(Box::new(error))
    }
}
