//! Expressions with their names resolved: what is left of a parse tree when only the questions of an
//! index advisor are asked.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use model::{quote_identifier, quote_literal};

use crate::builtins::{Kind, Volatility, builtin};

/// A column of one of the statement's relations.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ColumnUse {
    /// The number of the relation in [`crate::Analysis::relations`].
    pub relation: usize,
    /// The unquoted column name.
    pub column: String,
}

/// A constant in the text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Literal {
    /// A string constant, its quotes removed.
    Text(String),
    /// A number, as written.
    Number(String),
    /// A truth value.
    Boolean(bool),
    /// `NULL`.
    Null,
}

impl Literal {
    /// The constant as SQL.
    pub fn sql(&self) -> String {
        match self {
            Self::Text(text) => quote_literal(text),
            Self::Number(text) => text.clone(),
            Self::Boolean(value) => value.to_string(),
            Self::Null => "NULL".into(),
        }
    }

    /// The text form of the value, `None` for NULL.
    pub fn text(&self) -> Option<String> {
        match self {
            Self::Text(text) | Self::Number(text) => Some(text.clone()),
            Self::Boolean(value) => Some(if *value { "t".into() } else { "f".into() }),
            Self::Null => None,
        }
    }
}

/// An expression.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Expression {
    /// A column of a relation of this statement.
    Column(ColumnUse),
    /// A parameter by its number.
    Parameter(u32),
    /// A constant.
    Constant(Literal),
    /// `now()` and its relatives.
    Now,
    /// A cast; also `interval '1 day'`, which is the cast of a constant.
    Cast {
        /// The type as written, without `pg_catalog`.
        to: String,
        /// What is cast.
        inner: Box<Expression>,
    },
    /// A function call.
    Function {
        /// The schema, where the text gives one other than `pg_catalog`.
        schema: Option<String>,
        /// The name without its schema, in lower case as the parser folds it.
        name: String,
        /// The arguments.
        args: Vec<Expression>,
        /// Whether it is written as an aggregate or window function (`*`, `DISTINCT`, `FILTER`,
        /// `OVER`, `ORDER BY`): never a key of an index.
        special: bool,
    },
    /// An operator; `left` is `None` for a prefix operator.
    Operator {
        /// The operator, for instance `->>`.
        name: String,
        /// Its left side.
        left: Option<Box<Expression>>,
        /// Its right side.
        right: Box<Expression>,
    },
    /// `coalesce(…)`.
    Coalesce(Vec<Expression>),
    /// `expression COLLATE …`.
    Collate {
        /// What is compared.
        inner: Box<Expression>,
        /// The collation as SQL.
        collation: String,
    },
    /// `ARRAY[…]` and lists.
    List(Vec<Expression>),
    /// A column of a set operation: what it is in each of the branches.
    Either(Vec<Expression>),
    /// A form of its own (`CASE`, `AND`, `IS NULL`, `LIKE`, `GREATEST`, …): what is inside, with the text before, between and
    /// after the parts, one more than there are parts.
    Form {
        /// Key words and parentheses.
        texts: Vec<&'static str>,
        /// What stands between them.
        parts: Vec<Expression>,
    },
    /// Anything else; what is inside was still looked at.
    Other(Vec<Expression>),
}

impl Expression {
    /// Visits this expression and everything in it.
    pub fn visit<'a>(&'a self, see: &mut dyn FnMut(&'a Self)) {
        see(self);
        match self {
            Self::Cast { inner, .. } | Self::Collate { inner, .. } => inner.visit(see),
            Self::Function { args, .. } => args.iter().for_each(|a| a.visit(see)),
            Self::Operator { left, right, .. } => {
                if let Some(left) = left {
                    left.visit(see);
                }
                right.visit(see);
            }
            Self::Coalesce(items)
            | Self::List(items)
            | Self::Either(items)
            | Self::Form { parts: items, .. }
            | Self::Other(items) => items.iter().for_each(|a| a.visit(see)),
            Self::Column(_) | Self::Parameter(_) | Self::Constant(_) | Self::Now => {}
        }
    }

    /// The columns in it.
    pub fn columns(&self) -> BTreeSet<&ColumnUse> {
        let mut found = BTreeSet::new();
        self.visit(&mut |e| {
            if let Self::Column(column) = e {
                found.insert(column);
            }
        });
        found
    }

    /// The parameters in it.
    pub fn parameters(&self) -> BTreeSet<u32> {
        let mut found = BTreeSet::new();
        self.visit(&mut |e| {
            if let Self::Parameter(number) = e {
                found.insert(*number);
            }
        });
        found
    }

    /// The number of the one relation whose columns are in it; `None` for none or several.
    pub fn only_relation(&self) -> Option<usize> {
        let mut relations = self.columns().into_iter().map(|c| c.relation).collect::<BTreeSet<_>>();
        match (relations.pop_first(), relations.pop_first()) {
            (Some(only), None) => Some(only),
            _ => None,
        }
    }

    /// Casts taken off: `$1::text` gives `$1`.
    pub fn without_casts(&self) -> &Self {
        match self {
            Self::Cast { inner, .. } => inner.without_casts(),
            other => other,
        }
    }

    /// Whether an index could hold it: built from columns and constants with operators and functions that
    /// are not known to be volatile or stable. PostgreSQL has the last word.
    pub fn is_indexable(&self) -> bool {
        match self {
            Self::Column(_) => true,
            Self::Constant(_) => true,
            Self::Parameter(_) | Self::Now | Self::List(_) | Self::Either(_) | Self::Other(_) => false,
            Self::Cast { inner, .. } | Self::Collate { inner, .. } => inner.is_indexable(),
            Self::Function { name, args, special, .. } => {
                !special && !is_never_immutable(name) && args.iter().all(Self::is_indexable)
            }
            Self::Operator { left, right, .. } => {
                left.as_ref().is_none_or(|l| l.is_indexable()) && right.is_indexable()
            }
            Self::Coalesce(items) | Self::Form { parts: items, .. } => items.iter().all(Self::is_indexable),
        }
    }

    /// The same expression with constants in place of parameters; those without a constant stay.
    #[must_use]
    pub fn with_constants(&self, constants: &BTreeMap<u32, Literal>) -> Self {
        let all = |items: &[Self]| items.iter().map(|i| i.with_constants(constants)).collect();
        match self {
            Self::Parameter(number) => match constants.get(number) {
                Some(constant) => Self::Constant(constant.clone()),
                None => self.clone(),
            },
            Self::Cast { to, inner } => {
                Self::Cast { to: to.clone(), inner: Box::new(inner.with_constants(constants)) }
            }
            Self::Collate { inner, collation } => Self::Collate {
                inner: Box::new(inner.with_constants(constants)),
                collation: collation.clone(),
            },
            Self::Function { schema, name, args, special } => Self::Function {
                schema: schema.clone(),
                name: name.clone(),
                args: all(args),
                special: *special,
            },
            Self::Operator { name, left, right } => Self::Operator {
                name: name.clone(),
                left: left.as_ref().map(|l| Box::new(l.with_constants(constants))),
                right: Box::new(right.with_constants(constants)),
            },
            Self::Coalesce(items) => Self::Coalesce(all(items)),
            Self::List(items) => Self::List(all(items)),
            Self::Either(items) => Self::Either(all(items)),
            Self::Form { texts, parts } => Self::Form { texts: texts.clone(), parts: all(parts) },
            Self::Other(items) => Self::Other(all(items)),
            Self::Column(_) | Self::Constant(_) | Self::Now => self.clone(),
        }
    }

    /// The expression as SQL with unqualified column names, as an index definition writes it.
    /// `None` when it holds something that an index cannot.
    pub fn index_sql(&self) -> Option<String> {
        self.sql_with(&|column| Some(quote_identifier(&column.column)))
    }

    /// The expression as SQL with other SQL in place of its columns. `None` when there is none for a column,
    /// or when it holds what cannot be written without its statement.
    pub fn sql_with(&self, column: &dyn Fn(&ColumnUse) -> Option<String>) -> Option<String> {
        let mut out = String::new();
        self.write_sql(column, &mut out).then_some(out)
    }

    fn write_sql(&self, column: &dyn Fn(&ColumnUse) -> Option<String>, out: &mut String) -> bool {
        let list = |items: &[Self], out: &mut String| {
            items.iter().enumerate().all(|(i, item)| {
                out.push_str(if i > 0 { ", " } else { "" });
                item.write_sql(column, out)
            })
        };
        match self {
            Self::Column(used) => match column(used) {
                Some(sql) => out.push_str(&sql),
                None => return false,
            },
            Self::Constant(literal) => out.push_str(&literal.sql()),
            Self::Cast { to, inner } => {
                let simple = matches!(**inner, Self::Column(_) | Self::Constant(_) | Self::Function { .. });
                out.push_str(if simple { "" } else { "(" });
                if !inner.write_sql(column, out) {
                    return false;
                }
                out.push_str(if simple { "" } else { ")" });
                let _ = write!(out, "::{to}");
            }
            Self::Collate { inner, collation } => {
                if !inner.write_sql(column, out) {
                    return false;
                }
                let _ = write!(out, " COLLATE {collation}");
            }
            Self::Function { schema: None, name, args, special: false } if name == "extract" => {
                // The grammar knows it in its own form only.
                let [field, from] = args.as_slice() else { return false };
                out.push_str("EXTRACT(");
                if !field.write_sql(column, out) {
                    return false;
                }
                out.push_str(" FROM ");
                if !from.write_sql(column, out) {
                    return false;
                }
                out.push(')');
            }
            Self::Function { schema, name, args, special: false } => {
                if let Some(schema) = schema {
                    let _ = write!(out, "{}.", quote_identifier(schema));
                }
                out.push_str(&quote_identifier(name));
                out.push('(');
                if !list(args, out) {
                    return false;
                }
                out.push(')');
            }
            Self::Coalesce(items) => {
                out.push_str("COALESCE(");
                if !list(items, out) {
                    return false;
                }
                out.push(')');
            }
            Self::Operator { name, left, right } => {
                out.push('(');
                if let Some(left) = left {
                    if !left.write_sql(column, out) {
                        return false;
                    }
                    out.push(' ');
                }
                out.push_str(name);
                out.push(' ');
                if !right.write_sql(column, out) {
                    return false;
                }
                out.push(')');
            }
            Self::Form { texts, parts } => {
                for (at, text) in texts.iter().enumerate() {
                    out.push_str(text);
                    if parts.get(at).is_some_and(|part| !part.write_sql(column, out)) {
                        return false;
                    }
                }
            }
            Self::Parameter(_)
            | Self::Now
            | Self::List(_)
            | Self::Either(_)
            | Self::Other(_)
            | Self::Function { .. } => {
                return false;
            }
        }
        true
    }
}

/// Whether no index can hold what a function gives, because it depends on the moment, the session or chance, or is a set
/// of rows. What is not known is tried, because functions of users may be immutable.
fn is_never_immutable(name: &str) -> bool {
    builtin(name)
        .is_some_and(|b| b.kind == Kind::Set || b.volatility != Volatility::Immutable && !b.varies_by_type)
}
