//! Which partitioned tables are there, and what are their partitions? Rows of the catalog as plain data, read in one
//! pass over all of them.

use serde::{Deserialize, Serialize};

use crate::name::QualifiedName;

/// A partitioned table or a partition, or both.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PartitionTable {
    /// Its OID.
    pub oid: u32,
    /// Its name.
    pub name: QualifiedName,
    /// The OID of the table that it is a partition of.
    pub parent_oid: Option<u32>,
    /// `pg_class.relkind`: `p` for a partitioned table, `r` for a table, `f` for a foreign one.
    pub relkind: char,
    /// Its partition key, when it is partitioned.
    pub key: Option<PartitionKey>,
    /// `FOR VALUES …` or `DEFAULT`, with times in UTC, when it is a partition.
    pub bound: Option<String>,
    /// Whether it is being detached.
    pub detach_pending: bool,
    /// Its owner.
    pub owner: String,
    /// Whether the session's role has the owner's rights.
    pub is_owner: bool,
    /// Estimated rows; `None` when never analyzed or vacuumed.
    pub rows: Option<f64>,
    /// Length of its main file in bytes: only of DEFAULT partitions, without a look into them.
    pub default_bytes: Option<i64>,
    /// Its tablespace, unless the database's.
    pub tablespace: Option<String>,
    /// Whether the table as a whole has statistics, without those of its partitions.
    pub has_statistics: bool,
}

/// By what a table is partitioned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionKey {
    /// `r` range, `l` list, `h` hash.
    pub strategy: char,
    /// Its columns; `None` for an expression.
    pub columns: Vec<Option<String>>,
    /// The types of its columns as `format_type()` prints them; of an expression, nothing.
    pub types: Vec<Option<String>>,
    /// `pg_get_partkeydef()`.
    pub definition: String,
}

impl PartitionKey {
    /// The key's only column and its type, when it is one column.
    pub fn single(&self) -> Option<(&str, &str)> {
        match (self.columns.as_slice(), self.types.as_slice()) {
            ([Some(column)], [Some(type_name)]) => Some((column, type_name)),
            _ => None,
        }
    }
}

/// What a table of a tree occupies and when it was looked after.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PartitionDetails {
    /// Its OID.
    pub oid: u32,
    /// The table without its indexes, with TOAST.
    pub table_bytes: i64,
    /// Its indexes.
    pub index_bytes: i64,
    /// When it was last analyzed, in microseconds since 1970.
    pub analyzed_at_micros: Option<i64>,
    /// When it was last vacuumed.
    pub vacuumed_at_micros: Option<i64>,
    /// Rows changed since it was last analyzed.
    pub changed_rows: i64,
    /// Whether `autovacuum_enabled` is off for it.
    pub autovacuum_off: bool,
    /// What its valid indexes hold, whatever they are called.
    pub indexes: Vec<String>,
    /// Its indexes that are not valid.
    pub invalid_indexes: Vec<String>,
}
