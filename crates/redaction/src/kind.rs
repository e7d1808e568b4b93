//! What does the text of a value mean? Kinds of values that can be equal to each other share their stand-ins.
//!
//! Source: PostgreSQL manual, "Data Types"; names are those of `pg_type.typname` and of `format_type()`.

use model::QualifiedName;
use model::snapshot::Column;

use crate::numbers::{self, Magnitude};

/// By which rule texts stand in order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TextOrder {
    /// The collation of the database.
    Database,
    /// Byte by byte, as `C` has it.
    Bytes,
    /// `citext`: in lower case, by the collation of the database.
    Folded,
    /// Another collation.
    Collation(QualifiedName),
}

/// What a value is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Says nothing about anybody: booleans and enums.
    Kept,
    /// A number no larger than this.
    Number(Option<Magnitude>),
    /// A date or a point in time.
    Time,
    TimeOfDay,
    Interval,
    Text(TextOrder),
    /// `character(n)`, which ends in blanks that do not count.
    Padded(TextOrder),
    /// The key of a JSON object or a word of a text: shorter ones first, then byte by byte.
    Word,
    Uuid,
    Address,
    Mac,
    Bytes,
    Json,
    Array(Box<Kind>),
    Range(Box<Kind>),
    Multirange(Box<Kind>),
    /// Has no values, but words as elements.
    Lexemes,
    Unknown,
}

impl Kind {
    pub(crate) fn text() -> Self {
        Self::Text(TextOrder::Database)
    }

    /// What the elements are, of which statistics are kept apart.
    pub(crate) fn elements(&self) -> Self {
        match self {
            Self::Array(inner) => (**inner).clone(),
            Self::Lexemes => Self::Word,
            _ => Self::Unknown,
        }
    }

    /// What a column holds. `enums` are the names of enumerated types.
    pub(crate) fn of_column(column: &Column, enums: &dyn Fn(&str) -> bool) -> Self {
        if column.type_category == 'E' {
            return Self::Kept;
        }
        let order = match &column.collation {
            None => TextOrder::Database,
            Some(c) if ["C", "POSIX", "ucs_basic"].contains(&c.name.as_str()) => TextOrder::Bytes,
            Some(c) => TextOrder::Collation(c.clone()),
        };
        let limit = numeric_limit(&column.type_name);
        Self::of_type(&column.base_type.name, order, limit, enums)
    }

    /// What a type holds, by its name in the catalog or as SQL prints it, without modifiers.
    pub(crate) fn of_type(
        name: &str,
        order: TextOrder,
        limit: Option<Magnitude>,
        enums: &dyn Fn(&str) -> bool,
    ) -> Self {
        if let Some(element) = name.strip_prefix('_').or_else(|| name.strip_suffix("[]")) {
            return Self::Array(Box::new(Self::of_type(element, order, limit, enums)));
        }
        let integer = |largest: i128| Self::Number(Some(numbers::whole(largest)));
        let range = |inner: Self| Self::Range(Box::new(inner));
        let multirange = |inner: Self| Self::Multirange(Box::new(inner));
        match name {
            "bool" | "boolean" => Self::Kept,
            "int2" | "smallint" => integer(i128::from(i16::MAX)),
            "int4" | "int" | "integer" => integer(i128::from(i32::MAX)),
            "int8" | "bigint" => integer(i128::from(i64::MAX)),
            "oid" => integer(i128::from(u32::MAX)),
            "numeric" | "decimal" => Self::Number(limit),
            "float4" | "float8" | "real" | "double precision" => Self::Number(None),
            "date"
            | "timestamp"
            | "timestamptz"
            | "timestamp with time zone"
            | "timestamp without time zone" => Self::Time,
            "time" | "time without time zone" => Self::TimeOfDay,
            "interval" => Self::Interval,
            "text" | "varchar" | "character varying" => Self::Text(order),
            "bpchar" | "character" => Self::Padded(order),
            "name" => Self::Text(TextOrder::Bytes),
            "citext" => Self::Text(TextOrder::Folded),
            "uuid" => Self::Uuid,
            "inet" | "cidr" => Self::Address,
            "macaddr" | "macaddr8" => Self::Mac,
            "bytea" => Self::Bytes,
            "json" | "jsonb" => Self::Json,
            "tsvector" => Self::Lexemes,
            "int4range" => range(integer(i128::from(i32::MAX))),
            "int8range" => range(integer(i128::from(i64::MAX))),
            "numrange" => range(Self::Number(None)),
            "daterange" | "tsrange" | "tstzrange" => range(Self::Time),
            "int4multirange" => multirange(integer(i128::from(i32::MAX))),
            "int8multirange" => multirange(integer(i128::from(i64::MAX))),
            "nummultirange" => multirange(Self::Number(None)),
            "datemultirange" | "tsmultirange" | "tstzmultirange" => multirange(Self::Time),
            other if enums(other) => Self::Kept,
            _ => Self::Unknown,
        }
    }
}

/// The largest number of `numeric(8,2)`.
fn numeric_limit(type_name: &str) -> Option<Magnitude> {
    let modifiers = type_name.strip_prefix("numeric(")?.strip_suffix(')')?;
    let (precision, scale) = modifiers.split_once(',')?;
    let (precision, scale): (usize, usize) = (precision.parse().ok()?, scale.parse().ok()?);
    let whole = precision.checked_sub(scale)?;
    numbers::parse(&format!("{}.{}", "9".repeat(whole.max(1)), "9".repeat(scale))).map(|n| n.magnitude)
}
