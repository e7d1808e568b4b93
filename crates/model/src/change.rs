//! What can be done to a database: typed changes, never SQL text that somebody assembled.
//!
//! The SQL of an index is rendered here, and only here, because three rooms need the same words:
//! `advice` shows it, `twin` tries it, `apply` runs it.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::lock::LockLevel;
use crate::name::{QualifiedName, quote_identifier};
use crate::statistics::{Number, Parameter, StatisticsDefinition};

/// What one key column of an index holds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyTarget {
    /// A column, by its unquoted name.
    Column(String),
    /// An expression as SQL text that PostgreSQL or libpg_query printed.
    Expression(String),
}

/// The direction of a key column.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)] // The names are SQL's own.
pub enum SortOrder {
    #[default]
    Asc,
    Desc,
}

/// Where NULLs stand in a key column. `Default` is last for ascending and first for descending.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)] // The names are SQL's own.
pub enum NullsOrder {
    #[default]
    Default,
    First,
    Last,
}

/// One key column of an index.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct IndexKey {
    /// The column or expression.
    pub target: KeyTarget,
    /// A collation other than the column's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collation: Option<QualifiedName>,
    /// An operator class other than the type's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opclass: Option<QualifiedName>,
    /// Parameters of the operator class, for instance `("siglen", "32")`; only with an operator class.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub opclass_options: Vec<(String, String)>,
    /// Ascending or descending; ignored by access methods without order.
    #[serde(default)]
    pub order: SortOrder,
    /// Where NULLs stand.
    #[serde(default)]
    pub nulls: NullsOrder,
}

impl IndexKey {
    /// An ascending key on a column.
    pub fn column(name: impl Into<String>) -> Self {
        Self {
            target: KeyTarget::Column(name.into()),
            collation: None,
            opclass: None,
            opclass_options: Vec::new(),
            order: SortOrder::Asc,
            nulls: NullsOrder::Default,
        }
    }

    /// The same key in descending order, NULLs first (the default of `DESC`).
    #[must_use]
    pub fn descending(mut self) -> Self {
        self.order = SortOrder::Desc;
        self
    }

    /// Whether NULLs really stand first, the default resolved.
    pub fn nulls_first(&self) -> bool {
        match self.nulls {
            NullsOrder::First => true,
            NullsOrder::Last => false,
            NullsOrder::Default => self.order == SortOrder::Desc,
        }
    }

    fn render(&self, out: &mut String) {
        match &self.target {
            KeyTarget::Column(name) => out.push_str(&quote_identifier(name)),
            KeyTarget::Expression(text) => {
                let _ = write!(out, "({text})");
            }
        }
        if let Some(collation) = &self.collation {
            let _ = write!(out, " COLLATE {collation}");
        }
        if let Some(opclass) = &self.opclass {
            let _ = write!(out, " {opclass}");
            if !self.opclass_options.is_empty() {
                let _ = write!(out, " ({})", render_options(&self.opclass_options));
            }
        }
        if self.order == SortOrder::Desc {
            out.push_str(" DESC");
        }
        match (self.nulls, self.order) {
            (NullsOrder::First, SortOrder::Asc) => out.push_str(" NULLS FIRST"),
            (NullsOrder::Last, SortOrder::Desc) => out.push_str(" NULLS LAST"),
            _ => {}
        }
    }
}

/// `name = 'value', …` of storage parameters and of those of an operator class.
fn render_options(options: &[(String, String)]) -> String {
    let parts: Vec<_> = options
        .iter()
        .map(|(name, value)| format!("{} = {}", quote_identifier(name), crate::quote_literal(value)))
        .collect();
    parts.join(", ")
}

/// An index that exists or could.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct IndexDefinition {
    /// The table or materialized view.
    pub table: QualifiedName,
    /// The unquoted index name; an index lives in the schema of its table.
    pub name: String,
    /// The access method: `btree`, `hash`, `gin`, `gist`, `spgist`, `brin`, …
    pub access_method: String,
    /// Whether it enforces uniqueness.
    #[serde(default)]
    pub unique: bool,
    /// The key columns in order.
    pub keys: Vec<IndexKey>,
    /// Unquoted names of the `INCLUDE` columns.
    #[serde(default)]
    pub include: Vec<String>,
    /// The predicate of a partial index, as SQL text without `WHERE`.
    #[serde(default)]
    pub predicate: Option<String>,
    /// Storage parameters, for instance `("pages_per_range", "32")`.
    #[serde(default)]
    pub with: Vec<(String, String)>,
}

impl IndexDefinition {
    /// A plain B-tree index on columns.
    pub fn btree(table: QualifiedName, name: impl Into<String>, keys: Vec<IndexKey>) -> Self {
        Self {
            table,
            name: name.into(),
            access_method: "btree".into(),
            unique: false,
            keys,
            include: Vec::new(),
            predicate: None,
            with: Vec::new(),
        }
    }

    /// The index's own qualified name.
    pub fn qualified_name(&self) -> QualifiedName {
        QualifiedName::new(self.table.schema.clone(), self.name.clone())
    }

    /// Whether two definitions describe the same index under different names.
    pub fn same_shape(&self, other: &Self) -> bool {
        Self { name: String::new(), ..self.clone() } == Self { name: String::new(), ..other.clone() }
    }

    /// The `CREATE INDEX` statement, without a semicolon.
    pub fn create_sql(&self, concurrently: bool) -> String {
        let mut sql = String::from("CREATE ");
        if self.unique {
            sql.push_str("UNIQUE ");
        }
        sql.push_str("INDEX ");
        if concurrently {
            sql.push_str("CONCURRENTLY ");
        }
        let _ = write!(sql, "{} ON {}", quote_identifier(&self.name), self.table);
        let _ = write!(sql, " USING {} (", quote_identifier(&self.access_method));
        for (i, key) in self.keys.iter().enumerate() {
            if i > 0 {
                sql.push_str(", ");
            }
            key.render(&mut sql);
        }
        sql.push(')');
        if !self.include.is_empty() {
            let columns: Vec<_> = self.include.iter().map(|c| quote_identifier(c)).collect();
            let _ = write!(sql, " INCLUDE ({})", columns.join(", "));
        }
        if !self.with.is_empty() {
            let _ = write!(sql, " WITH ({})", render_options(&self.with));
        }
        if let Some(predicate) = &self.predicate {
            let _ = write!(sql, " WHERE {predicate}");
        }
        sql
    }
}

/// One change to a database. `apply` has one operation per variant.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "change")]
pub enum Change {
    /// Build an index without blocking writes.
    CreateIndex {
        /// What to build.
        index: IndexDefinition,
    },
    /// Drop an index without blocking writes.
    DropIndex {
        /// The index.
        name: QualifiedName,
        /// Its table.
        table: QualifiedName,
        /// The `CREATE INDEX` statement of `pg_get_indexdef`, which undoes the drop.
        definition: String,
    },
    /// Refresh the statistics of a table.
    Analyze {
        /// The table.
        table: QualifiedName,
    },
    /// Vacuum a table: dead tuples, visibility map, statistics.
    Vacuum {
        /// The table.
        table: QualifiedName,
    },
    /// Let ANALYZE collect statistics of several columns together, or of an expression.
    CreateStatistics {
        /// What to collect.
        statistics: StatisticsDefinition,
    },
    /// Change a number that ANALYZE or autovacuum goes by.
    SetParameter {
        /// The table.
        table: QualifiedName,
        /// Which number.
        parameter: Parameter,
        /// What it shall be.
        value: Number,
        /// What it is; `None` when it is not set.
        former: Option<Number>,
    },
}

impl Change {
    /// The object that the change is about.
    pub fn object(&self) -> QualifiedName {
        match self {
            Self::CreateIndex { index } => index.qualified_name(),
            Self::DropIndex { name, .. } => name.clone(),
            Self::Analyze { table } | Self::Vacuum { table } => table.clone(),
            Self::CreateStatistics { statistics } => statistics.name.clone(),
            Self::SetParameter { parameter: Parameter::ObjectTarget { statistics }, .. } => {
                statistics.clone()
            }
            Self::SetParameter { table, .. } => table.clone(),
        }
    }

    /// The table whose readers and writers could notice.
    pub fn table(&self) -> &QualifiedName {
        match self {
            Self::CreateIndex { index } => &index.table,
            Self::DropIndex { table, .. }
            | Self::Analyze { table }
            | Self::Vacuum { table }
            | Self::SetParameter { table, .. } => table,
            Self::CreateStatistics { statistics } => &statistics.table,
        }
    }

    /// The strongest table-level lock that is held for more than an instant.
    pub fn lock_level(&self) -> LockLevel {
        match self {
            Self::CreateIndex { .. }
            | Self::DropIndex { .. }
            | Self::Analyze { .. }
            | Self::Vacuum { .. }
            | Self::CreateStatistics { .. } => LockLevel::ShareUpdateExclusive,
            Self::SetParameter { parameter, .. } => parameter.lock_level(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_clause_of_create_index_is_rendered() {
        let index = IndexDefinition {
            include: vec!["Weird \"col".into()],
            predicate: Some("status = 'active'".into()),
            with: vec![("fillfactor".into(), "90".into())],
            ..IndexDefinition::btree(
                QualifiedName::new("My Schema", "a\"b.c"),
                "idx",
                vec![
                    IndexKey::column("order").descending(),
                    IndexKey { nulls: NullsOrder::Last, ..IndexKey::column("x").descending() },
                    IndexKey {
                        opclass: Some(QualifiedName::new("public", "gist_trgm_ops")),
                        opclass_options: vec![("siglen".into(), "32".into())],
                        ..IndexKey::column("y")
                    },
                    IndexKey { target: KeyTarget::Expression("lower(name)".into()), ..IndexKey::column("") },
                ],
            )
        };
        assert_eq!(
            index.create_sql(true),
            "CREATE INDEX CONCURRENTLY idx ON \"My Schema\".\"a\"\"b.c\" USING btree (\"order\" DESC, \
             x DESC NULLS LAST, y public.gist_trgm_ops (siglen = '32'), (lower(name))) INCLUDE (\"Weird \"\"col\") WITH (fillfactor = '90') \
             WHERE status = 'active'"
        );
    }
}
