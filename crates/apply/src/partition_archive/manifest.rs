//! What does the manifest of an archive say?

use model::QualifiedName;
use serde::{Deserialize, Serialize};

/// The version that this program writes.
pub(super) const VERSION: u32 = 1;

/// What a table was, and what its rows add up to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The form of this file; 1.
    pub pgwright_archive: u32,
    /// The file with the rows, beside this one.
    pub file: String,
    /// How it is written: `csv+zstd`, with a heading.
    pub format: String,
    /// The encoding of its text, by PostgreSQL's name.
    pub encoding: String,
    /// The table.
    pub partition: QualifiedName,
    /// What it was a partition of.
    pub table: QualifiedName,
    /// Its bound, as SQL, with times in UTC.
    pub bound: String,
    /// Its OID at the time.
    pub oid: u32,
    /// The database.
    pub database: String,
    /// The version of the server.
    pub server_version: String,
    /// When it was archived, by the server's clock, ISO 8601 in UTC.
    pub archived_at: String,
    /// The columns that the file has, in order.
    pub columns: Vec<ManifestColumn>,
    /// Statements that make the table again when what it was a partition of has gone, foreign keys left out.
    pub schema: Vec<String>,
    /// Its foreign keys, for people: the partitioned table gives them back.
    #[serde(default)]
    pub foreign_keys: Vec<String>,
    /// Rows, as the server counted them and as the file has them.
    pub rows: u64,
    /// Bytes of the CSV before it is compressed.
    pub csv_bytes: u64,
    /// Bytes of the file.
    pub file_bytes: u64,
    /// SHA-256 of the CSV before it is compressed.
    pub csv_sha256: String,
    /// The sum of the records' XXH3-128 without their line ends, modulo 2^128; it does not depend on their order.
    pub row_sum: String,
}

/// A column of an archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestColumn {
    /// Its name.
    pub name: String,
    /// Its type as `format_type()` prints it.
    pub type_name: String,
}
