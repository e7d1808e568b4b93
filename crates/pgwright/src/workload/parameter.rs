//! Which values do a statement's parameters take, and how do they reach SQL?
//!
//! Source: PostgreSQL manual, "Constants". Values are sent as literals in the text, as most drivers
//! do by default: the planner then sees each value, and pg_stat_statements folds the texts into one.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use model::quote_literal;
use uuid::Uuid;

use super::draw::{Draw, Weights};
use super::template::Reference;

/// A parameter as the file describes it.
#[derive(Clone, Debug)]
pub struct Parameter {
    /// Where its values come from.
    pub source: Source,
    /// The SQL type that its literal is cast to; none leaves the type to the server.
    pub sql_type: Option<String>,
}

/// Where values come from.
#[derive(Clone, Debug)]
pub enum Source {
    /// A list, each with a weight.
    Values(Vec<Literal>, Weights),
    /// Rows that a query returns when the run starts; one row is drawn for each use.
    Query {
        /// The query.
        sql: String,
        /// The column that weights the rows and is no value itself.
        weight_column: Option<String>,
    },
    /// A whole number, both ends included.
    Int {
        /// The least.
        min: i64,
        /// The greatest.
        max: i64,
    },
    /// A number with so many decimals.
    Float {
        /// The least.
        min: f64,
        /// The greatest.
        max: f64,
        /// Decimals.
        decimals: usize,
    },
    /// A rank from 1 to `n` by Zipf's law.
    Zipf(Weights),
    /// A UUID that no run had before.
    Uuid,
    /// An instant between two offsets from the arrival's own time.
    Timestamp {
        /// The earliest.
        from: TimeDelta,
        /// The latest.
        to: TimeDelta,
    },
    /// Letters and digits.
    Text {
        /// How many.
        length: usize,
    },
}

/// A value that is ready to become a literal.
#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    /// `NULL`.
    Null,
    /// `TRUE` or `FALSE`.
    Boolean(bool),
    /// Digits.
    Number(String),
    /// Quoted.
    Text(String),
}

impl Literal {
    /// The literal in SQL, cast where a type is given.
    pub fn to_sql(&self, sql_type: Option<&str>) -> String {
        let bare = match self {
            Self::Null => "NULL".to_owned(),
            Self::Boolean(value) => if *value { "TRUE" } else { "FALSE" }.to_owned(),
            // A minus must not meet another one in the text and start a comment, nor bind less
            // tightly than a cast.
            Self::Number(digits) if digits.starts_with('-') => format!("({digits})"),
            Self::Number(digits) => digits.clone(),
            Self::Text(text) => quote_literal(text),
        };
        match sql_type {
            Some(sql_type) => format!("{bare}::{sql_type}"),
            None => bare,
        }
    }
}

/// The rows that a parameter's query returned.
#[derive(Clone, Debug)]
pub struct Rows {
    /// Names of the value columns.
    pub columns: Vec<String>,
    /// The values, `None` for a null.
    pub rows: Vec<Vec<Option<String>>>,
    /// How likely each row is.
    pub weights: Weights,
}

/// Parameters whose queries have been answered: ready to be drawn from.
#[derive(Clone, Debug)]
pub struct BoundParameters {
    parameters: Arc<BTreeMap<String, Parameter>>,
    rows: Arc<BTreeMap<String, Rows>>,
    /// Makes fresh UUIDs differ from those of an earlier run with the same seed on the same database:
    /// they would be duplicate keys.
    salt: u128,
}

impl BoundParameters {
    /// Puts the parameters and the answers of their queries together.
    pub fn new(parameters: BTreeMap<String, Parameter>, rows: BTreeMap<String, Rows>) -> Self {
        Self { parameters: Arc::new(parameters), rows: Arc::new(rows), salt: Uuid::new_v4().as_u128() }
    }

    /// Draws a value for each reference. Parameters draw in the order of their names, so that the
    /// text of a statement has no influence; all columns of one parameter come from one row.
    ///
    /// References to columns that do not exist are left out; [`Self::missing_column`] finds them
    /// before a run starts.
    pub fn draw<'a>(
        &self,
        references: impl Iterator<Item = &'a Reference>,
        draw: &mut Draw,
        now: DateTime<Utc>,
    ) -> BTreeMap<Reference, String> {
        let mut by_name: BTreeMap<&str, Vec<&Reference>> = BTreeMap::new();
        for reference in references {
            by_name.entry(&reference.name).or_default().push(reference);
        }
        let mut literals = BTreeMap::new();
        for (name, references) in by_name {
            let Some(parameter) = self.parameters.get(name) else { continue };
            let sql_type = parameter.sql_type.as_deref();
            if let Source::Query { .. } = parameter.source {
                let Some(rows) = self.rows.get(name) else { continue };
                let Some(row) = rows.rows.get(rows.weights.pick(draw)) else { continue };
                for reference in references {
                    if let Some(value) = rows.position(reference).and_then(|position| row.get(position)) {
                        let literal =
                            value.as_ref().map_or(Literal::Null, |text| Literal::Text(text.clone()));
                        literals.insert(reference.clone(), literal.to_sql(sql_type));
                    }
                }
            } else {
                let literal = parameter.source.value(draw, now, self.salt).to_sql(sql_type);
                for reference in references {
                    literals.insert(reference.clone(), literal.clone());
                }
            }
        }
        literals
    }

    /// Says what is wrong with a reference, given the columns that the queries really returned.
    pub fn missing_column(&self, reference: &Reference) -> Option<String> {
        let rows = self.rows.get(&reference.name)?;
        if rows.position(reference).is_some() {
            return None;
        }
        Some(match &reference.column {
            Some(column) => format!("its query has no column \"{column}\", only {}", rows.columns.join(", ")),
            None => format!("its query returns several columns ({}); name one", rows.columns.join(", ")),
        })
    }
}

impl Rows {
    fn position(&self, reference: &Reference) -> Option<usize> {
        match &reference.column {
            Some(column) => self.columns.iter().position(|name| name == column),
            None => (self.columns.len() == 1).then_some(0),
        }
    }
}

impl Source {
    /// A value that does not come from the database.
    fn value(&self, draw: &mut Draw, now: DateTime<Utc>, salt: u128) -> Literal {
        match self {
            Self::Values(values, weights) => values.get(weights.pick(draw)).cloned().unwrap_or(Literal::Null),
            Self::Query { .. } => Literal::Null,
            Self::Int { min, max } => Literal::Number(draw.between(*min, *max).to_string()),
            Self::Float { min, max, decimals } => {
                Literal::Number(format!("{:.decimals$}", draw.uniform(*min, *max), decimals = *decimals))
            }
            Self::Zipf(weights) => Literal::Number((weights.pick(draw) + 1).to_string()),
            Self::Uuid => {
                let bytes = (draw.uuid().as_u128() ^ salt).to_be_bytes();
                Literal::Text(uuid::Builder::from_random_bytes(bytes).into_uuid().to_string())
            }
            Self::Timestamp { from, to } => {
                let offset = draw.between(micros(*from), micros(*to));
                let at = now.checked_add_signed(TimeDelta::microseconds(offset)).unwrap_or(now);
                Literal::Text(at.format("%Y-%m-%d %H:%M:%S%.6f+00").to_string())
            }
            Self::Text { length } => {
                let letters = b"abcdefghijklmnopqrstuvwxyz0123456789";
                Literal::Text((0..*length).map(|_| char::from(draw.pick(letters))).collect())
            }
        }
    }
}

fn micros(delta: TimeDelta) -> i64 {
    delta.num_microseconds().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_are_safe_whatever_the_value() {
        let check = |literal: Literal, sql_type: Option<&str>, expected: &str| {
            assert_eq!(literal.to_sql(sql_type), expected);
        };
        check(Literal::Null, Some("uuid"), "NULL::uuid");
        check(Literal::Boolean(true), None, "TRUE");
        check(Literal::Number("-5".into()), None, "(-5)");
        check(Literal::Number("7".into()), Some("bigint"), "7::bigint");
        check(Literal::Text("it's".into()), None, "'it''s'");
        check(
            Literal::Text("a\\'; DROP TABLE t; --".into()),
            Some("text"),
            "E'a\\\\''; DROP TABLE t; --'::text",
        );
    }

    #[test]
    fn columns_of_one_parameter_come_from_one_row() {
        let source = Source::Query { sql: "SELECT 1".into(), weight_column: None };
        let parameters = [("pair".to_owned(), Parameter { source, sql_type: None })].into();
        let rows = Rows {
            columns: vec!["a".into(), "b".into()],
            rows: (0..50).map(|n| vec![Some(format!("{n}")), Some(format!("{n}"))]).collect(),
            weights: Weights::new(vec![1.0; 50]),
        };
        let bound = BoundParameters::new(parameters, [("pair".to_owned(), rows)].into());
        let reference = |column: &str| Reference { name: "pair".into(), column: Some(column.into()) };
        let (a, b) = (reference("a"), reference("b"));
        let mut draw = Draw::new(1, 1);
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..100 {
            let literals = bound.draw([&a, &b].into_iter(), &mut draw, DateTime::UNIX_EPOCH);
            assert_eq!(literals[&a], literals[&b]);
            seen.insert(literals[&a].clone());
        }
        assert!(seen.len() > 20);
        assert_eq!(bound.missing_column(&a), None);
        assert!(bound.missing_column(&reference("c")).is_some());
        assert!(bound.missing_column(&Reference { name: "pair".into(), column: None }).is_some());
    }

    #[test]
    fn fresh_values_differ_from_run_to_run_and_all_others_do_not() {
        let source = |source| Parameter { source, sql_type: None };
        let parameters: BTreeMap<String, Parameter> = [
            ("id".to_owned(), source(Source::Uuid)),
            ("n".to_owned(), source(Source::Int { min: 0, max: 1_000_000_000 })),
        ]
        .into();
        let [id, n] = ["id", "n"].map(|name| Reference { name: name.into(), column: None });
        let run = || {
            let bound = BoundParameters::new(parameters.clone(), BTreeMap::new());
            bound.draw([&id, &n].into_iter(), &mut Draw::new(1, 5), DateTime::UNIX_EPOCH)
        };
        let (one, two) = (run(), run());
        assert_eq!(one[&n], two[&n]);
        assert_ne!(one[&id], two[&id]);
        assert!(one[&id].trim_matches('\'').parse::<Uuid>().is_ok());
    }

    #[test]
    fn times_lie_between_their_offsets() {
        let now = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        let source = Source::Timestamp { from: TimeDelta::hours(-1), to: TimeDelta::zero() };
        let mut draw = Draw::new(1, 1);
        for _ in 0..50 {
            let Literal::Text(text) = source.value(&mut draw, now, 0) else { panic!("not a text") };
            let at = DateTime::parse_from_str(&text, "%Y-%m-%d %H:%M:%S%.f%#z").unwrap();
            assert!(at <= now && at >= now - TimeDelta::hours(1), "{text}");
        }
    }
}
