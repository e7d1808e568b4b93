//! What does a query say, in a form that rules can take apart and put together? A tree in which every column
//! carries the source that it belongs to, every source has a name of its own in the whole statement, and `*`
//! and positions are resolved.
//!
//! The grammar is that of PostgreSQL's `SelectStmt`; what is not in this tree (row locks, samples, …) is not rewritten
//! and not proved, with the reason. At a level with functions in `FROM`, grouping sets or recursion only conditions
//! are rewritten, and nothing is proved.

use model::QualifiedName;

/// A query: a body, with what orders and cuts its rows.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Query {
    pub ctes: Vec<Cte>,
    pub body: Body,
    pub order: Vec<SortKey>,
    pub limit: Option<Expr>,
    pub offset: Option<Expr>,
    pub with_ties: bool,
}

/// A common table expression.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Cte {
    pub name: String,
    pub columns: Vec<String>,
    pub query: Query,
    /// It reads itself.
    pub recursive: bool,
    /// `MATERIALIZED` is written: whoever wrote it wants the fence.
    pub materialized: bool,
}

/// What gives rows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Body {
    Select(Box<Select>),
    Set { op: SetOp, all: bool, left: Box<Query>, right: Box<Query> },
    Values(Vec<Vec<Expr>>),
}

impl Default for Body {
    fn default() -> Self {
        Self::Select(Box::default())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum SetOp {
    Union,
    Intersect,
    Except,
}

/// One query level.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Select {
    pub distinct: Distinct,
    pub outputs: Vec<Output>,
    pub from: Vec<From>,
    /// Conditions that all hold.
    pub filter: Vec<Expr>,
    pub group: Vec<Expr>,
    /// Grouping sets beside the plain keys; with them, keys are NULL in some groups.
    pub sets: Vec<GroupingSet>,
    pub having: Vec<Expr>,
}

/// `()`, `(a, b)`, `ROLLUP (…)`, `CUBE (…)` or `GROUPING SETS (…)`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum GroupingSet {
    Keys(Vec<Expr>),
    Of(SetsOf, Vec<GroupingSet>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum SetsOf {
    Rollup,
    Cube,
    Sets,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Distinct {
    #[default]
    No,
    All,
    On(Vec<Expr>),
}

/// One column of the result.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Output {
    pub name: String,
    pub expr: Expr,
    /// The `*` it came from, so that it can be written as `*` again.
    pub star: Option<Star>,
}

impl Output {
    pub fn new(name: impl Into<String>, expr: Expr) -> Self {
        Self { name: name.into(), expr, star: None }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Star {
    pub position: usize,
    pub of: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
// A statement has few sources, and rules take them apart by pattern.
#[allow(clippy::large_enum_variant)]
pub(crate) enum From {
    Table(Table),
    Derived(Derived),
    Cte { name: String, alias: String, columns: Vec<String> },
    Function(Function),
    Join(Box<Join>),
}

/// A set-returning function of PostgreSQL. It sees the sources before it, as if `LATERAL` were written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Function {
    pub name: String,
    pub args: Vec<Expr>,
    pub ordinality: bool,
    pub alias: String,
    pub columns: Vec<String>,
    /// Whether the names of the columns have to be written.
    pub renamed: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Table {
    pub table: QualifiedName,
    /// Whether the statement names the schema.
    pub schema_written: bool,
    pub alias: String,
    pub only: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Derived {
    pub lateral: bool,
    pub query: Query,
    pub alias: String,
    /// The names of its columns as the level around it sees them.
    pub columns: Vec<String>,
    /// The view whose definition this is, which the statement names instead of the query.
    pub view: Option<Box<ViewName>>,
}

/// A view, and what it selects: as long as the query is that, the name is written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ViewName {
    pub name: QualifiedName,
    pub schema_written: bool,
    pub definition: Query,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum JoinKind {
    Inner,
    Left,
    Full,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Join {
    pub kind: JoinKind,
    pub left: From,
    pub right: From,
    pub on: Vec<Expr>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SortKey {
    pub expr: Expr,
    pub descending: bool,
    pub nulls_first: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Column {
    /// The alias of the source, unique in the statement.
    pub source: String,
    pub name: String,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Constant {
    Text(String),
    Integer(i64),
    /// With a fraction, an exponent or more digits than an `integer` has; as written.
    Number(String),
    Boolean(bool),
    Bits(String),
    Null,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct TypeName {
    /// Without `pg_catalog`.
    pub names: Vec<String>,
    pub modifiers: Vec<i64>,
    pub array_bounds: Vec<i32>,
}

impl TypeName {
    pub fn plain(name: &str) -> Self {
        Self { names: vec![name.to_owned()], modifiers: Vec::new(), array_bounds: Vec::new() }
    }

    /// The name of a type of PostgreSQL itself, without modifiers.
    pub fn simple(&self) -> Option<&str> {
        match (self.names.as_slice(), self.array_bounds.is_empty()) {
            ([name], true) => Some(name),
            _ => None,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Call {
    /// Other than `pg_catalog`.
    pub schema: Option<String>,
    pub name: String,
    pub args: Vec<Expr>,
    /// `count(*)`.
    pub star: bool,
    pub distinct: bool,
    pub order: Vec<SortKey>,
    pub filter: Option<Box<Expr>>,
    pub over: Option<Box<Window>>,
    pub within_group: bool,
    pub variadic: bool,
    /// Written in a form of its own: `extract(… from …)`, `x at time zone y`, `substring(… from …)`.
    pub syntax: bool,
}

impl Call {
    pub fn new(name: &str, args: Vec<Expr>) -> Self {
        Self {
            schema: None,
            name: name.to_owned(),
            args,
            star: false,
            distinct: false,
            order: Vec::new(),
            filter: None,
            over: None,
            within_group: false,
            variadic: false,
            syntax: false,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Window {
    pub partition: Vec<Expr>,
    pub order: Vec<SortKey>,
    /// `WindowDef.frame_options`.
    pub frame: i32,
    pub start: Option<Expr>,
    pub end: Option<Expr>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum LikeKind {
    Like,
    Ilike,
    Similar,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Truth {
    True,
    NotTrue,
    False,
    NotFalse,
    Unknown,
    NotUnknown,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Expr {
    Column(Column),
    Parameter(u32),
    Constant(Constant),
    /// `current_timestamp` and the like, as written in lower case.
    Value(String),
    Cast {
        inner: Box<Expr>,
        to: TypeName,
    },
    Call(Box<Call>),
    /// `left` is `None` for a prefix operator.
    Operator {
        name: String,
        left: Option<Box<Expr>>,
        right: Box<Expr>,
    },
    And(Vec<Expr>),
    Or(Vec<Expr>),
    Not(Box<Expr>),
    In {
        value: Box<Expr>,
        list: Vec<Expr>,
        negated: bool,
    },
    Between {
        value: Box<Expr>,
        low: Box<Expr>,
        high: Box<Expr>,
        negated: bool,
        symmetric: bool,
    },
    Like {
        kind: LikeKind,
        value: Box<Expr>,
        pattern: Box<Expr>,
        negated: bool,
    },
    /// `value operator ANY (array)`.
    AnyOf {
        operator: String,
        value: Box<Expr>,
        array: Box<Expr>,
        all: bool,
    },
    Distinct {
        left: Box<Expr>,
        right: Box<Expr>,
        negated: bool,
    },
    NullIf(Box<Expr>, Box<Expr>),
    IsNull {
        inner: Box<Expr>,
        negated: bool,
    },
    Is {
        inner: Box<Expr>,
        test: Truth,
    },
    Coalesce(Vec<Expr>),
    Greatest(Vec<Expr>),
    Least(Vec<Expr>),
    Case {
        subject: Option<Box<Expr>>,
        branches: Vec<(Expr, Expr)>,
        default: Option<Box<Expr>>,
    },
    Exists(Box<Query>),
    /// `value operator ANY (query)`; `IN` is `= ANY`.
    Quantified {
        operator: String,
        value: Box<Expr>,
        query: Box<Query>,
        all: bool,
    },
    Scalar(Box<Query>),
    ArrayOf(Box<Query>),
    Array(Vec<Expr>),
    Row(Vec<Expr>),
    Collate {
        inner: Box<Expr>,
        collation: Vec<String>,
    },
    Named {
        name: String,
        inner: Box<Expr>,
    },
}
