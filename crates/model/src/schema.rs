//! What else is in a database beside tables and indexes: sequences, policies, functions, comments, ages, and who may
//! log in. Lint asks for it; advice on indexes does not.
//!
//! Fields carry the names of the catalog columns that they were read from.

use serde::{Deserialize, Serialize};

use crate::name::QualifiedName;

/// Part of a [`crate::Snapshot`]; empty in files that were written before it was read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SchemaFacts {
    /// Whether it was read at all.
    pub read: bool,
    /// Sequences of user schemas, by name.
    pub sequences: Vec<Sequence>,
    /// Row-security policies, by table and name.
    pub policies: Vec<Policy>,
    /// Functions and procedures that run as their owner (`SECURITY DEFINER`), by name and arguments; those of
    /// extensions are left out.
    pub definer_functions: Vec<DefinerFunction>,
    /// Relations that have a comment, by name.
    pub commented: Vec<QualifiedName>,
    /// How old the oldest row version of a table may be, the oldest tables first, at most 500.
    pub ages: Vec<RelationAge>,
    /// The same of every database of the server.
    pub database_ages: Vec<DatabaseAge>,
    /// `pg_hba_file_rules`; `None` when the role may not read it.
    pub hba_rules: Option<Vec<HbaRule>>,
}

/// A row of `pg_sequence`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sequence {
    /// Its name.
    pub name: QualifiedName,
    /// `format_type(seqtypid)`: `smallint`, `integer` or `bigint`.
    pub data_type: String,
    /// `seqincrement`.
    pub increment: i64,
    /// `seqmin`.
    pub min_value: i64,
    /// `seqmax`.
    pub max_value: i64,
    /// `seqcycle`.
    pub cycle: bool,
    /// `pg_sequence_last_value()`; `None` when it was never used or may not be read.
    pub last_value: Option<i64>,
    /// The table whose column it feeds.
    pub table: Option<QualifiedName>,
    /// The unquoted name of that column.
    pub column: Option<String>,
    /// Whether it belongs to the column (`OWNED BY`, `serial` or identity), so that it goes with it.
    pub owned: bool,
    /// Whether the column is an identity column.
    pub identity: bool,
}

/// A row of `pg_policy`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// The unquoted name.
    pub name: String,
    /// Its table.
    pub table: QualifiedName,
    /// `ALL`, `SELECT`, `INSERT`, `UPDATE` or `DELETE`.
    pub command: String,
    /// The `USING` expression.
    pub using: Option<String>,
    /// The `WITH CHECK` expression.
    pub check: Option<String>,
}

/// A function or procedure that runs as its owner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DefinerFunction {
    /// Its name.
    pub name: QualifiedName,
    /// `pg_get_function_identity_arguments()`, as SQL.
    pub arguments: String,
    /// Whether it is a procedure.
    pub procedure: bool,
    /// The unquoted name of its owner.
    pub owner: String,
    /// Whether the owner is a superuser.
    pub owner_is_superuser: bool,
    /// The value of `search_path` that it sets for itself.
    pub search_path: Option<String>,
    /// Whether everybody may call it.
    pub public: bool,
}

/// How old the unfrozen rows of a table are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelationAge {
    /// The table, materialized view or TOAST table.
    pub name: QualifiedName,
    /// The table whose TOAST table it is.
    pub toast_of: Option<QualifiedName>,
    /// `age(relfrozenxid)`, in transactions.
    pub xid_age: i64,
    /// `mxid_age(relminmxid)`, in multixacts.
    pub mxid_age: i64,
}

/// How old the unfrozen rows of a database are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseAge {
    /// Its unquoted name.
    pub name: String,
    /// `age(datfrozenxid)`, in transactions.
    pub xid_age: i64,
    /// `mxid_age(datminmxid)`, in multixacts.
    pub mxid_age: i64,
}

/// A row of `pg_hba_file_rules`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HbaRule {
    /// `line_number`.
    pub line: i32,
    /// `local`, `host`, `hostssl`, …
    pub kind: String,
    /// The databases that it is for.
    pub databases: Vec<String>,
    /// The roles that it is for.
    pub users: Vec<String>,
    /// The address, with the mask after a slash where it has one.
    pub address: Option<String>,
    /// `scram-sha-256`, `md5`, `trust`, …
    pub method: String,
}
