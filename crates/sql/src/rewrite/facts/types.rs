//! Of which type is an expression, and what does "equal" mean for it?
//!
//! Sources: PostgreSQL manual, "Type Conversion" and "Collation Support".

use std::collections::BTreeSet;

use model::snapshot::Column as CatalogColumn;

use super::super::functions;
use super::super::tree::{Column, Constant, Expr, TypeName};
use super::{Scope, Source};
use crate::builtins::tells_the_time;

/// The internal name of a type of a column; arrays begin with an underscore.
fn type_of_column(column: &CatalogColumn) -> String {
    if column.base_type.schema == "pg_catalog" {
        column.base_type.name.clone()
    } else {
        column.base_type.to_string()
    }
}

impl Scope<'_> {
    /// The internal name of the type of an expression, where it is certain.
    pub fn type_of(&self, expr: &Expr) -> Option<String> {
        let named = |name: &str| Some(name.to_owned());
        match expr {
            Expr::Column(column) => match self.sources.get(&column.source)? {
                Source::Table { relation, .. } => relation.column(&column.name).map(type_of_column),
                Source::Derived { columns, .. } => {
                    columns.iter().find(|c| c.name == column.name)?.type_name.clone()
                }
            },
            Expr::Cast { to, .. } => type_text(to),
            Expr::Constant(Constant::Integer(_)) => named("int4"),
            // What is too long for a `bigint` is `numeric`.
            Expr::Constant(Constant::Number(text)) => {
                named(if text.parse::<i64>().is_ok() { "int8" } else { "numeric" })
            }
            Expr::Constant(Constant::Boolean(_)) => named("bool"),
            Expr::Exists(_)
            | Expr::IsNull { .. }
            | Expr::Is { .. }
            | Expr::And(_)
            | Expr::Or(_)
            | Expr::Not(_) => named("bool"),
            Expr::In { .. } | Expr::Between { .. } | Expr::Like { .. } | Expr::Distinct { .. } => {
                named("bool")
            }
            Expr::Value(name) => named(match name.as_str() {
                "current_date" => "date",
                "current_timestamp" => "timestamptz",
                "localtimestamp" => "timestamp",
                _ => return None,
            }),
            Expr::Call(call) if self.facts.users.is_of_user(call) => None,
            Expr::Call(call) if call.schema.is_none() => match (call.name.as_str(), call.args.as_slice()) {
                ("count" | "row_number" | "rank" | "dense_rank", _) => named("int8"),
                (name, []) if tells_the_time(name) => named("timestamptz"),
                // Of `varchar` and `name` there is none: they are taken as texts, and `cidr` as `inet`.
                ("min" | "max", [arg]) => self.type_of(arg).map(|own| match own.as_str() {
                    "varchar" | "name" => "text".to_owned(),
                    "cidr" => "inet".to_owned(),
                    _ => own,
                }),
                ("md5", _) => named("text"),
                ("lower" | "upper", [arg]) => {
                    let text = |name: &str| matches!(name, "text" | "varchar" | "bpchar" | "name");
                    let of_texts = |e: &Expr| {
                        let columns = e.columns();
                        !columns.is_empty()
                            && columns.into_iter().all(|c| {
                                self.type_of(&Expr::Column(c.clone())).is_some_and(|name| text(&name))
                            })
                    };
                    let known = match self.type_of(arg) {
                        Some(name) => text(&name),
                        None => matches!(arg, Expr::Constant(_) | Expr::Parameter(_)) || of_texts(arg),
                    };
                    if known { named("text") } else { None }
                }
                ("date", [_]) => named("date"),
                ("timezone", [_, time]) => match self.type_of(time)?.as_str() {
                    "timestamptz" => named("timestamp"),
                    "timestamp" => named("timestamptz"),
                    _ => None,
                },
                ("date_trunc", [_, time]) => self.type_of(time).filter(|t| t.starts_with("timestamp")),
                _ => None,
            },
            Expr::Operator { name, left: Some(left), right }
                if matches!(name.as_str(), "+" | "-" | "*") && self.facts.users.operators.is_empty() =>
            {
                let (one, other) = (self.type_of(left)?, self.type_of(right)?);
                let (one, other) = (one.as_str(), other.as_str());
                let whole = |name: &str| matches!(name, "int2" | "int4" | "int8");
                match name.as_str() {
                    _ if one == other && (whole(one) || matches!(one, "numeric" | "float8")) => named(one),
                    _ if whole(one) && whole(other) => {
                        named(if "int8" == one || "int8" == other { "int8" } else { "int4" })
                    }
                    "+" | "-" if one == "date" && other == "int4" => named("date"),
                    _ => None,
                }
            }
            Expr::Coalesce(list) => {
                let types: Option<BTreeSet<String>> = list.iter().map(|e| self.type_of(e)).collect();
                let types = types?;
                if types.len() == 1 { types.into_iter().next() } else { None }
            }
            _ => None,
        }
    }

    /// Whether an expression is a column of an enum, whose values are its labels in the order of their declaration.
    pub fn is_enum(&self, expr: &Expr) -> bool {
        matches!(expr, Expr::Column(column) if self.catalog_column(column).is_some_and(|c| c.type_category == 'E'))
    }

    /// The labels of an enum that a column is of, from its definition in the schema.
    pub fn labels(&self, column: &Column) -> Option<Vec<String>> {
        let found = self.catalog_column(column).filter(|c| c.type_category == 'E')?;
        let head = format!("CREATE TYPE {} AS ENUM (", found.base_type);
        let schema = &self.facts.snapshot.schema_sql;
        let at = schema.find(&head)?;
        let mut rest = schema.get(at + head.len()..)?;
        let mut labels = Vec::new();
        loop {
            rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == ',');
            if rest.starts_with(')') {
                return Some(labels);
            }
            rest = rest.strip_prefix('\'')?;
            let mut label = String::new();
            loop {
                let end = rest.find('\'')?;
                label.push_str(rest.get(..end)?);
                rest = rest.get(end + 1..)?;
                let Some(more) = rest.strip_prefix('\'') else { break };
                label.push('\'');
                rest = more;
            }
            labels.push(label);
        }
    }

    /// Whether an expression is certain to be no composite value: of a row `IS NULL` and `IS NOT NULL` are no
    /// opposites, and a row of NULLs is both a value and NULL.
    pub fn is_scalar(&self, expr: &Expr) -> bool {
        match expr {
            Expr::Column(column) => match self.catalog_column(column) {
                Some(c) => {
                    c.base_type.schema == "pg_catalog" && c.base_type.name != "record"
                        || c.type_category == 'E'
                }
                None => self.type_of(expr).is_some_and(|name| !name.contains('.') && name != "record"),
            },
            Expr::Constant(_) | Expr::Value(_) | Expr::Exists(_) => true,
            Expr::Operator { name, .. } => functions::operator_null_only_for_null(name),
            Expr::Call(call) => functions::null_only_for_null(call) || self.type_of(expr).is_some(),
            other => self.type_of(other).is_some_and(|name| !name.contains('.') && name != "record"),
        }
    }

    /// Whether equal values of an expression are the same value in every respect, so that one may stand for
    /// the other: not `1.0` and `1.00`, not `-0` and `0`, not texts of a non-deterministic collation.
    pub fn equal_is_same(&self, expr: &Expr) -> bool {
        self.is_enum(expr)
            || self.is_deterministic(expr)
                && self.type_of(expr).is_some_and(|name| {
                    matches!(
                        name.as_str(),
                        "int2"
                            | "int4"
                            | "int8"
                            | "oid"
                            | "uuid"
                            | "bool"
                            | "date"
                            | "timestamp"
                            | "timestamptz"
                            | "time"
                            | "bytea"
                            | "text"
                            | "varchar"
                            | "name"
                    )
                })
    }

    /// Whether a comparison of two columns uses the collation of the first.
    pub fn has_collation_of(&self, own: &Expr, other: &Expr) -> bool {
        let collation = |e: &Expr| match e {
            Expr::Column(column) => self.catalog_column(column).map(|c| c.collation.clone()),
            _ => None,
        };
        collation(own).is_some_and(|own| collation(other) == Some(own))
    }

    /// Whether no collation of the user's, which may take different texts for equal, decides how an expression is
    /// compared.
    pub fn is_deterministic(&self, expr: &Expr) -> bool {
        let mut own = true;
        expr.walk(&mut |e| match e {
            Expr::Collate { .. } => own = false,
            Expr::Column(column) => {
                own &= match self.sources.get(&column.source) {
                    Some(Source::Table { relation, .. }) => relation.column(&column.name).is_some_and(|c| {
                        c.collation.as_ref().is_none_or(|collation| collation.schema == "pg_catalog")
                    }),
                    Some(Source::Derived { columns, .. }) => {
                        columns.iter().any(|c| c.name == column.name && c.deterministic)
                    }
                    None => false,
                };
            }
            _ => {}
        });
        own
    }
}

/// The internal name of a written type, modifiers left out.
pub(crate) fn type_text(to: &TypeName) -> Option<String> {
    match (to.names.as_slice(), to.array_bounds.is_empty()) {
        ([name], true) => Some(name.clone()),
        ([name], false) => Some(format!("_{name}")),
        _ => None,
    }
}
