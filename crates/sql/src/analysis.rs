//! What an index advisor asks of a statement: which relations, which of their columns, compared how,
//! joined on what, in which order.

use std::collections::{BTreeMap, BTreeSet};

use model::QualifiedName;
use model::change::{NullsOrder, SortOrder};

use crate::expression::{ColumnUse, Expression};

/// The facts of one statement.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Analysis {
    /// One entry per occurrence of a relation, in the order of the text; a self-join has two.
    pub relations: Vec<RelationUse>,
    /// Equalities between columns of two occurrences, correlated subqueries included.
    pub joins: Vec<JoinEquality>,
    /// Where each parameter stands.
    pub parameters: BTreeMap<u32, Vec<ParameterContext>>,
    /// What a data-modifying statement changes.
    pub target: Option<Target>,
    /// Names that the catalog does not know: temporary tables, dropped tables.
    pub unknown_relations: Vec<String>,
    /// Views that were read through to the relations they select from.
    pub views: BTreeSet<QualifiedName>,
    /// Names of the functions it calls, sorted, without schemas.
    pub functions: BTreeSet<String>,
    /// Whether the outermost result is cut by `LIMIT`.
    pub limited: bool,
    /// The outermost `LIMIT` when it is a parameter.
    pub limit_parameter: Option<u32>,
    /// Whether the outermost query aggregates, so that its row count says nothing about predicates.
    pub aggregated: bool,
}

impl Analysis {
    /// The occurrences of one table.
    pub fn uses_of<'a>(&'a self, table: &'a QualifiedName) -> impl Iterator<Item = &'a RelationUse> {
        self.relations.iter().filter(move |r| &r.name == table)
    }

    /// The tables it reads or writes, each once.
    pub fn tables(&self) -> BTreeSet<&QualifiedName> {
        let written = self.target.as_ref().map(|t| &t.table);
        self.relations.iter().map(|r| &r.name).chain(written).collect()
    }
}

/// One occurrence of a relation.
#[derive(Clone, Debug, PartialEq)]
pub struct RelationUse {
    /// The relation.
    pub name: QualifiedName,
    /// The name it goes by in the statement.
    pub alias: String,
    /// Every column of it that the statement touches.
    pub columns: BTreeSet<String>,
    /// How often it touches each of them: a column that only one predicate touches is not wanted by anything
    /// else.
    pub touches: BTreeMap<String, u32>,
    /// Whether the whole row is wanted (`SELECT *`), so that no index covers it.
    pub whole_row: bool,
    /// What restricts it.
    pub predicates: Vec<Predicate>,
    /// Orders in which its rows would be useful.
    pub sorts: Vec<SortNeed>,
    /// What its rows are grouped by, also where no index can hold it.
    pub groups: Vec<Grouping>,
    /// Columns and expressions of which only the smallest or largest value is wanted.
    pub extremes: BTreeSet<KeyExpression>,
    /// Columns of row comparisons, `(a, b) > ($1, $2)`: one stretch of an index in this order.
    pub row_bounds: Vec<Vec<String>>,
    /// Orders by distance of which the first rows are wanted.
    pub nearest: Vec<Nearest>,
    /// Which query level it belongs to.
    pub block: usize,
}

/// The left side of a predicate, a sort key or a group key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyExpression {
    /// A plain column.
    Column(String),
    /// An expression over columns of one relation.
    Expression {
        /// As an index definition would write it; `None` when it holds parameters or functions that
        /// no index can hold.
        sql: Option<String>,
        /// What it is.
        expression: Expression,
    },
}

impl KeyExpression {
    /// The column, if it is one.
    pub fn column(&self) -> Option<&str> {
        match self {
            Self::Column(name) => Some(name),
            Self::Expression { .. } => None,
        }
    }
}

/// How a column is compared.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)] // The names say it.
pub enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Between,
    /// `IN (…)`.
    In,
    /// `= ANY (…)` of an array.
    AnyOf,
    Like {
        case_insensitive: bool,
    },
    IsNull,
    IsNotNull,
    /// A truth value used as it stands, or `IS TRUE`.
    IsTrue,
    /// `NOT column`, or `IS FALSE`.
    IsFalse,
    /// `IS NOT TRUE`: false or NULL.
    IsNotTrue,
    /// `IS NOT FALSE`: true or NULL.
    IsNotFalse,
    /// Any other operator: `@>`, `?`, `&&`, `@@`, `%`, `~`, …
    Other(String),
}

impl Operator {
    /// Whether at most one stretch of a B-tree with one value of the key satisfies it, so that the
    /// columns after it stay in order.
    pub fn is_equality(&self) -> bool {
        matches!(self, Self::Equal | Self::IsNull | Self::IsTrue | Self::IsFalse)
    }

    /// Whether it is an interval of a B-tree.
    pub fn is_range(&self) -> bool {
        matches!(self, Self::Less | Self::LessOrEqual | Self::Greater | Self::GreaterOrEqual | Self::Between)
    }

    /// Whether it can only be true when the key is not NULL.
    pub fn is_strict(&self) -> bool {
        !matches!(self, Self::IsNull | Self::IsNotTrue | Self::IsNotFalse)
    }

    /// From the symbol of a binary operator.
    pub fn from_symbol(symbol: &str) -> Self {
        match symbol {
            "=" => Self::Equal,
            "<>" => Self::NotEqual,
            "<" => Self::Less,
            "<=" => Self::LessOrEqual,
            ">" => Self::Greater,
            ">=" => Self::GreaterOrEqual,
            other => Self::Other(other.into()),
        }
    }

    /// The operator with its sides exchanged, where that is known.
    #[must_use]
    pub fn commuted(&self) -> Option<Self> {
        Some(match self {
            Self::Equal => Self::Equal,
            Self::NotEqual => Self::NotEqual,
            Self::Less => Self::Greater,
            Self::LessOrEqual => Self::GreaterOrEqual,
            Self::Greater => Self::Less,
            Self::GreaterOrEqual => Self::LessOrEqual,
            Self::Other(o) if o == "@>" => Self::Other("<@".into()),
            Self::Other(o) if o == "<@" => Self::Other("@>".into()),
            Self::Other(o) if o == "&&" => Self::Other("&&".into()),
            _ => return None,
        })
    }
}

/// A condition on one relation that an index could answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Predicate {
    /// The compared column or expression.
    pub key: KeyExpression,
    /// How it is compared.
    pub operator: Operator,
    /// With what: one expression, two for `BETWEEN`, any number for `IN`, none for `IS NULL`.
    pub values: Vec<Expression>,
    /// The `OR` it belongs to; `None` when it must hold.
    pub disjunct: Option<Arm>,
    /// Whether it stands in the `ON` of an outer join whose preserved side is another relation.
    pub outer_join: bool,
}

/// A place in an `OR`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Arm {
    /// The number of the `OR`.
    pub disjunction: usize,
    /// The number of its arm, unique in the statement: conditions of one arm hold together.
    pub arm: usize,
}

/// `ORDER BY key <-> value`, answered by an index that walks outwards from the value.
#[derive(Clone, Debug, PartialEq)]
pub struct Nearest {
    /// What lies near.
    pub key: KeyExpression,
    /// The operator, mostly `<->`.
    pub operator: String,
    /// Near what.
    pub value: Expression,
}

/// `a.x = b.y`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct JoinEquality {
    /// One side.
    pub left: ColumnUse,
    /// The other.
    pub right: ColumnUse,
}

/// Why an order is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)] // The names are SQL's own.
pub enum SortOrigin {
    OrderBy,
    GroupBy,
    Distinct,
    DistinctOn,
    Window,
}

/// An order that saves a sort when an index delivers it.
#[derive(Clone, Debug, PartialEq)]
pub struct SortNeed {
    /// Why.
    pub origin: SortOrigin,
    /// The keys, as many leading ones as belong to this relation.
    pub items: Vec<SortItem>,
    /// Whether `items` is all of the order, not only its beginning.
    pub complete: bool,
    /// Whether only the first rows are wanted.
    pub limited: bool,
}

/// `GROUP BY` and `DISTINCT`, as far as one relation is concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grouping {
    /// The keys of this relation.
    pub keys: Vec<KeyExpression>,
    /// Whether there are no others.
    pub complete: bool,
}

/// One key of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SortItem {
    /// The column or expression.
    pub key: KeyExpression,
    /// Its direction.
    pub order: SortOrder,
    /// Where NULLs stand.
    pub nulls: NullsOrder,
}

/// What a data-modifying statement changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The table.
    pub table: QualifiedName,
    /// Columns that `UPDATE`, `ON CONFLICT DO UPDATE` or `MERGE` assign.
    pub assigned: BTreeSet<String>,
    /// Columns that an `INSERT` names.
    pub inserted: BTreeSet<String>,
}

/// Where a parameter stands, which tells what it may look like.
#[derive(Clone, Debug, PartialEq)]
pub enum ParameterContext {
    /// In a predicate on a column: `relation` and `predicate` are numbers in this analysis.
    Predicate {
        /// The relation's number.
        relation: usize,
        /// The predicate's number within the relation.
        predicate: usize,
    },
    /// Cast to a type, or the constant of a type: `interval $1`.
    Cast(String),
    /// The number of rows after `LIMIT`.
    Limit,
    /// The number of rows after `OFFSET`.
    Offset,
    /// Assigned to, inserted into, or compared with a column outside of a predicate.
    ColumnValue {
        /// The table.
        table: QualifiedName,
        /// The unquoted column.
        column: String,
    },
    /// An argument of a function, counted from 0.
    Argument {
        /// The function's name.
        function: String,
        /// The argument's number.
        position: usize,
    },
    /// The key in `json -> key` or `json ->> key`.
    JsonKey {
        /// The column whose documents it is looked up in, at any depth.
        column: Option<ColumnUse>,
    },
    /// The path, an array of keys, in `json #> path` or `json #>> path`.
    JsonPath {
        /// The column whose documents it leads into.
        column: Option<ColumnUse>,
    },
    /// An operand of arithmetic whose other operands are parameters as well.
    Number,
    /// Nothing is known.
    Unknown,
}
