//! What can go wrong with reading logs?

use std::path::PathBuf;

/// Why a log could not be read.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// A file could not be opened or read, or its compressed data are damaged.
    #[error("could not read \"{}\": {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Nothing in a file reads like an entry.
    #[error("no entry of a PostgreSQL log was found in \"{}\"", path.display())]
    NoEntry {
        /// The file.
        path: PathBuf,
    },
    /// Nothing in a file reads like an entry in English.
    #[error("the messages in \"{}\" are not in English", path.display())]
    OtherLanguage {
        /// The file.
        path: PathBuf,
    },
    /// `log_line_prefix` has an unknown escape.
    #[error("log_line_prefix \"{setting}\" has an escape that PostgreSQL does not know: \"{escape}\"")]
    Prefix {
        /// The setting.
        setting: String,
        /// The escape.
        escape: String,
    },
}
