//! What was seen: one vocabulary for everything that pgwright tells a user.

use serde::{Deserialize, Serialize};

use crate::name::QualifiedName;

/// How much a finding matters. Ordered, so that `--fail-on warning` is a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing; nothing is wrong.
    Info,
    /// Costs time or space, or will.
    Warning,
    /// Does not work, or is about to stop working.
    Error,
}

/// What a finding is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum ObjectRef {
    /// The whole server.
    Server,
    /// One database.
    Database {
        /// Its unquoted name.
        name: String,
    },
    /// A table, partitioned table, materialized view or foreign table.
    Relation {
        /// Its name.
        name: QualifiedName,
    },
    /// A column of a relation.
    Column {
        /// The relation.
        relation: QualifiedName,
        /// The unquoted column name.
        column: String,
    },
    /// An index.
    Index {
        /// Its name.
        name: QualifiedName,
    },
    /// A statement of `pg_stat_statements`.
    Statement {
        /// Its `queryid`.
        queryid: i64,
    },
    /// A node of an execution plan.
    PlanNode {
        /// The node's number in depth-first order, the root being 0.
        node: usize,
    },
    /// A configuration parameter.
    Setting {
        /// Its name in `pg_settings`.
        name: String,
    },
    /// An extension.
    Extension {
        /// Its name.
        name: String,
    },
    /// A role.
    Role {
        /// Its unquoted name.
        name: String,
    },
    /// A schema.
    Schema {
        /// Its unquoted name.
        name: String,
    },
    /// A constraint of a table.
    Constraint {
        /// The table.
        relation: QualifiedName,
        /// The unquoted name of the constraint.
        name: String,
    },
    /// A sequence.
    Sequence {
        /// Its name.
        name: QualifiedName,
    },
    /// A function or procedure.
    Function {
        /// Its name.
        name: QualifiedName,
        /// The types of its arguments as SQL.
        arguments: String,
    },
    /// A row-security policy of a table.
    Policy {
        /// The table.
        relation: QualifiedName,
        /// The unquoted name of the policy.
        name: String,
    },
    /// A rule of `pg_hba.conf`.
    HbaRule {
        /// The rule, its parts separated by a space.
        rule: String,
    },
    /// A place in a file of SQL.
    Source {
        /// The file as it was named.
        file: String,
        /// The line, from 1.
        line: usize,
        /// The column in characters, from 1.
        column: usize,
    },
}

impl std::fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        use crate::name::quote_identifier as q;
        match self {
            Self::Server => f.write_str("server"),
            Self::Database { name } => write!(f, "database {}", q(name)),
            Self::Relation { name } => write!(f, "table {name}"),
            Self::Column { relation, column } => write!(f, "column {relation}.{}", q(column)),
            Self::Index { name } => write!(f, "index {name}"),
            Self::Statement { queryid } => write!(f, "statement {queryid}"),
            Self::PlanNode { node } => write!(f, "plan node {node}"),
            Self::Setting { name } => write!(f, "setting {name}"),
            Self::Extension { name } => write!(f, "extension {}", q(name)),
            Self::Role { name } => write!(f, "role {}", q(name)),
            Self::Schema { name } => write!(f, "schema {}", q(name)),
            Self::Constraint { relation, name } => write!(f, "constraint {} on {relation}", q(name)),
            Self::Sequence { name } => write!(f, "sequence {name}"),
            Self::Function { name, arguments } => write!(f, "function {name}({arguments})"),
            Self::Policy { relation, name } => write!(f, "policy {} on {relation}", q(name)),
            Self::HbaRule { rule } => write!(f, "pg_hba.conf rule {rule}"),
            Self::Source { file, line, column } => write!(f, "{file}:{line}:{column}"),
        }
    }
}

/// One number or fact that a finding rests on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// What it is, in a few words, with its unit.
    pub name: String,
    /// Its value as text.
    pub value: String,
}

impl Evidence {
    /// Pairs a name with anything that can be shown.
    pub fn new(name: impl Into<String>, value: impl std::fmt::Display) -> Self {
        Self { name: name.into(), value: value.to_string() }
    }
}

/// Something that was seen in a snapshot, a plan or a server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// The id of the check that saw it: kebab-case, permanent, the name of its file.
    pub check: String,
    /// What it is about.
    pub object: ObjectRef,
    /// How much it matters.
    pub severity: Severity,
    /// One factual lower-case line without a full stop.
    pub summary: String,
    /// Why it matters and what can be done, in sentences.
    pub detail: String,
    /// What it rests on.
    pub evidence: Vec<Evidence>,
    /// Stable between runs: `check:object`. Suppression, history and "is it solved?" share it.
    pub key: String,
}

impl Finding {
    /// Makes a finding without evidence; the key follows from the check and the object.
    pub fn new(
        check: impl Into<String>,
        object: ObjectRef,
        severity: Severity,
        summary: impl Into<String>,
        detail: impl Into<String>,
    ) -> Self {
        let check = check.into();
        let key = format!("{check}:{object}");
        Self {
            check,
            object,
            severity,
            summary: summary.into(),
            detail: detail.into(),
            evidence: Vec::new(),
            key,
        }
    }

    /// Adds one piece of evidence.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl std::fmt::Display) -> Self {
        self.evidence.push(Evidence::new(name, value));
        self
    }
}
