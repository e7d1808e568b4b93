//! What hangs on the table that is to be converted? All of it, read in one query, because a swap by name
//! leaves behind whatever PostgreSQL ties to the table's OID.
//!
//! Source: PostgreSQL manual, "System Catalogs" and "Dependency Tracking".

use model::{QualifiedName, quote_identifier};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio_postgres::Client;

use crate::error::Error;

/// A table and everything that hangs on it.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Subject {
    pub oid: u32,
    pub table: QualifiedName,
    pub kind: String,
    pub persistence: String,
    pub file: i64,
    pub bytes: i64,
    pub heap_bytes: i64,
    pub rows_estimate: i64,
    pub owner: String,
    pub is_owner: bool,
    pub may_create: bool,
    pub may_create_temp: bool,
    pub tablespace: Option<String>,
    pub options: Vec<String>,
    pub toast_options: Vec<String>,
    pub access_method: Option<String>,
    pub row_security: bool,
    pub force_row_security: bool,
    pub bypasses_row_security: bool,
    pub replica_identity: String,
    pub typed: bool,
    pub comment: Option<String>,
    pub columns: Vec<Column>,
    pub indexes: Vec<Index>,
    pub checks: Vec<CheckConstraint>,
    pub foreign_keys: Vec<ForeignKey>,
    pub referencing: Vec<Referencing>,
    pub triggers: Vec<Trigger>,
    pub policies: Vec<Policy>,
    pub views: Vec<View>,
    pub statistics: Vec<Statistics>,
    pub sequences: Vec<Sequence>,
    pub publications: Vec<Publication>,
    pub subscribed: bool,
    pub grants: Vec<Grant>,
    pub owner_grants_changed: bool,
    /// The privileges that the owner has, when they are not all of them.
    pub owner_grants: Vec<Grant>,
    /// Foreign keys, of both directions, whose triggers do not fire.
    pub disabled_keys: Vec<String>,
    /// NOT NULL constraints that are not validated.
    #[serde(default)]
    pub unproven_not_nulls: Vec<String>,
    /// Tablespaces of the table and its indexes in which the role may not create anything.
    #[serde(default)]
    pub closed_tablespaces: Vec<String>,
    /// Those of the database, which fire for the conversion's statements too.
    #[serde(default)]
    pub event_triggers: Vec<String>,
    pub parents: Vec<String>,
    pub children: Vec<String>,
    pub security_labels: i64,
    pub rules: Vec<String>,
    pub others: Vec<String>,
}

/// A column.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Column {
    pub number: i16,
    pub name: String,
    #[serde(rename = "type")]
    pub type_name: String,
    pub type_oid: u32,
    pub not_null: bool,
    /// `a` always, `d` by default, empty for none.
    pub identity: String,
    /// `s` stored, `v` virtual, empty for none.
    pub generated: String,
    pub statistics_target: Option<i32>,
    pub options: Vec<String>,
    /// The type behind a domain, and the collation: a domain may refuse the nulls of a log.
    pub plain_type: String,
    /// Whether equality of the type is an operator of `pg_catalog`, as pgwright's sessions see no other.
    pub equality_is_builtin: bool,
}

/// An index, of a constraint or not.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[allow(clippy::struct_excessive_bools)] // The columns of pg_index.
pub(crate) struct Index {
    pub name: String,
    pub definition: String,
    pub unique: bool,
    pub primary: bool,
    pub exclusion: bool,
    pub valid: bool,
    pub partial: bool,
    pub nulls_not_distinct: bool,
    pub replica_identity: bool,
    pub clustered: bool,
    /// `name=value` each.
    pub options: Vec<String>,
    /// Numbers of columns with their statistics targets.
    pub statistics_targets: Vec<(i16, i32)>,
    /// Names of the key columns; an expression has none.
    pub keys: Vec<Option<String>>,
    pub included: Vec<String>,
    pub plain_keys: bool,
    pub constraint: Option<String>,
    pub deferrable: bool,
    /// Initially deferred.
    pub deferred: bool,
    pub without_overlaps: bool,
    pub tablespace: Option<String>,
    pub comment: Option<String>,
}

/// A CHECK constraint.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct CheckConstraint {
    pub name: String,
    pub definition: String,
    pub validated: bool,
    #[serde(default = "yes")]
    pub enforced: bool,
    pub no_inherit: bool,
}

/// A foreign key of the table.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[allow(clippy::struct_excessive_bools)]
pub(crate) struct ForeignKey {
    pub name: String,
    pub definition: String,
    pub table: QualifiedName,
    pub validated: bool,
    #[serde(default = "yes")]
    pub enforced: bool,
    pub comment: Option<String>,
    pub to_itself: bool,
    pub to_partitioned: bool,
    pub may_reference: bool,
}

/// A foreign key of another table that references this one.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Referencing {
    pub name: String,
    pub definition: String,
    pub table: QualifiedName,
    pub validated: bool,
    pub comment: Option<String>,
    pub partitioned: bool,
    pub is_owner: bool,
    pub columns: Vec<String>,
}

/// A trigger.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Trigger {
    pub name: String,
    pub definition: String,
    /// `pg_trigger.tgenabled`.
    pub enabled: String,
    pub for_each_row: bool,
    pub before: bool,
    /// The text of its function.
    pub source: String,
    pub transition_tables: bool,
    pub comment: Option<String>,
}

/// A policy of row-level security.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Policy {
    pub name: String,
    pub command: String,
    pub permissive: bool,
    /// Quoted already.
    pub roles: Vec<String>,
    pub using: Option<String>,
    pub check: Option<String>,
    pub comment: Option<String>,
}

/// A view that reads the table.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct View {
    pub name: QualifiedName,
    pub kind: String,
    pub is_owner: bool,
    pub owner: String,
    pub options: Vec<String>,
    /// The table's constraints by whose columns it groups.
    #[serde(default)]
    pub keys: Vec<String>,
    pub definition: String,
}

/// An object of extended statistics.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Statistics {
    pub name: QualifiedName,
    pub definition: String,
    pub target: Option<i32>,
    pub comment: Option<String>,
}

/// A sequence that a column owns.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Sequence {
    pub name: QualifiedName,
    pub column: String,
    pub identity: bool,
    pub persistence: String,
    #[serde(rename = "type")]
    pub type_name: String,
    pub comment: Option<String>,
    pub grants: Vec<Grant>,
}

/// A publication that the table is in.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Publication {
    pub name: String,
    pub is_owner: bool,
    pub through_root: bool,
    pub whole: bool,
    /// Which rows it publishes, when not all.
    pub filter: Option<String>,
    /// Which columns it publishes, when not all.
    pub columns: Option<Vec<String>>,
}

/// A privilege that somebody other than the owner has.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Grant {
    pub privilege: String,
    /// Quoted already, or `PUBLIC`.
    pub role: String,
    pub grantable: bool,
    pub column: Option<String>,
}

/// Before PostgreSQL 18 every constraint is enforced.
fn yes() -> bool {
    true
}

/// Reads a table and everything that hangs on it; `None` when it is gone.
pub(crate) async fn read(client: &Client, oid: u32) -> Result<Option<Subject>, Error> {
    let doing = || Error::query("read what hangs on the table");
    let row = client
        .query_opt(include_str!("../../queries/conversion_subject.sql"), &[&oid])
        .await
        .map_err(doing())?;
    let Some(row) = row else { return Ok(None) };
    let value: Value = row.try_get("subject").map_err(doing())?;
    serde_json::from_value(value).map(Some).map_err(Error::json("read what hangs on the table"))
}

impl Subject {
    /// A column by name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|c| c.name == name)
    }

    /// The columns that are written when rows are copied, quoted: generated ones make themselves.
    pub fn copied_columns(&self) -> String {
        let written = self.columns.iter().filter(|c| c.generated.is_empty());
        written.map(|c| quote_identifier(&c.name)).collect::<Vec<_>>().join(", ")
    }

    /// Whether the partition column may be null: it becomes part of every unique key, and of a primary key it may not.
    pub fn takes_null_keys(&self) -> bool {
        !self.indexes.iter().any(|i| i.primary)
    }

    /// The key that tells rows apart: the primary key, or else the narrowest unique index on columns that
    /// cannot be null.
    pub fn key(&self) -> Option<&Index> {
        let suits = |i: &&Index| {
            i.unique
                && i.valid
                && !i.partial
                && !i.exclusion
                && i.plain_keys
                && !i.without_overlaps
                && i.keys.iter().flatten().all(|k| self.column(k).is_some_and(|c| c.not_null))
        };
        let candidates: Vec<&Index> = self.indexes.iter().filter(suits).collect();
        let primary = candidates.iter().find(|i| i.primary);
        primary.or_else(|| candidates.iter().min_by_key(|i| i.keys.len())).copied()
    }
}

impl Index {
    /// Names of the key columns, without expressions.
    pub fn key_columns(&self) -> Vec<String> {
        self.keys.iter().flatten().cloned().collect()
    }

    /// Whether the key holds a column.
    pub fn has_key(&self, column: &str) -> bool {
        self.keys.iter().flatten().any(|k| k == column)
    }
}
