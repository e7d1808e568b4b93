//! What can ANALYZE be told to collect, and by which statement? Statistics of several columns together, how much
//! is kept of a column, and how many different values it has.
//!
//! Source: PostgreSQL manual, "CREATE STATISTICS", "ALTER STATISTICS", "ALTER TABLE" (`SET STATISTICS`,
//! `n_distinct`, storage parameters).

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::lock::LockLevel;
use crate::name::{QualifiedName, quote_identifier};

/// What statistics of several columns together can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StatisticsKind {
    /// How many combinations of values there are: for GROUP BY.
    Ndistinct,
    /// How far the value of one column follows from that of others: for equalities.
    Dependencies,
    /// The most common combinations: for any condition.
    Mcv,
}

impl StatisticsKind {
    /// The word of `CREATE STATISTICS`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ndistinct => "ndistinct",
            Self::Dependencies => "dependencies",
            Self::Mcv => "mcv",
        }
    }

    /// The letter in `pg_statistic_ext.stxkind`.
    pub fn letter(self) -> char {
        match self {
            Self::Ndistinct => 'd',
            Self::Dependencies => 'f',
            Self::Mcv => 'm',
        }
    }
}

/// A statistics object that exists or could.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StatisticsDefinition {
    /// The table, partitioned table or materialized view.
    pub table: QualifiedName,
    /// Its own name.
    pub name: QualifiedName,
    /// What it holds, sorted; empty for those of a single expression, which have no kind.
    pub kinds: Vec<StatisticsKind>,
    /// The unquoted columns.
    #[serde(default)]
    pub columns: Vec<String>,
    /// Expressions as SQL text; since 14.
    #[serde(default)]
    pub expressions: Vec<String>,
}

impl StatisticsDefinition {
    /// Columns and expressions as `CREATE STATISTICS` wants them.
    pub fn members(&self) -> Vec<String> {
        let columns = self.columns.iter().map(|c| quote_identifier(c));
        columns.chain(self.expressions.iter().map(|e| format!("({e})"))).collect()
    }

    /// The `CREATE STATISTICS` statement, without a semicolon.
    pub fn create_sql(&self) -> String {
        let kinds: Vec<&str> = self.kinds.iter().map(|k| k.as_str()).collect();
        let kinds = if kinds.is_empty() { String::new() } else { format!(" ({})", kinds.join(", ")) };
        format!("CREATE STATISTICS {}{kinds} ON {} FROM {}", self.name, self.members().join(", "), self.table)
    }

    /// The name that PostgreSQL itself chooses where none is written, which it does from 16 on: `table_columns_stat`,
    /// at most 63 bytes (`ChooseExtendedStatisticName`).
    pub fn usual_name<'a>(table: &QualifiedName, members: impl Iterator<Item = &'a str>) -> QualifiedName {
        let members: Vec<&str> = members.collect();
        let stem = format!("{}_{}", table.name, members.join("_"));
        let mut end = stem.len().min(58);
        while !stem.is_char_boundary(end) {
            end -= 1;
        }
        QualifiedName::new(table.schema.clone(), format!("{}_stat", &stem[..end]))
    }

    /// The `DROP STATISTICS` statement, without a semicolon.
    pub fn drop_sql(&self) -> String {
        format!("DROP STATISTICS {}", self.name)
    }
}

/// A number as PostgreSQL reads it in a setting. Nothing else gets into one, so that a file of advice that somebody
/// edited cannot bring other SQL along.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Number(String);

impl Number {
    /// Takes text that is a finite number in plain or scientific notation.
    pub fn parse(text: &str) -> Option<Self> {
        let plain = text.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | '-' | '+' | 'e' | 'E'));
        let finite = text.parse::<f64>().is_ok_and(f64::is_finite);
        (plain && finite).then(|| Self(text.to_owned()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether both are the same number, however they are written.
    pub fn equals(&self, other: &str) -> bool {
        self.0 == other || self.0.parse::<f64>().ok() == other.parse::<f64>().ok()
    }
}

impl From<i32> for Number {
    fn from(number: i32) -> Self {
        Self(number.to_string())
    }
}

impl TryFrom<String> for Number {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).ok_or_else(|| format!("\"{text}\" is not a number"))
    }
}

impl From<Number> for String {
    fn from(number: Number) -> Self {
        number.0
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A number that belongs to a table and that ANALYZE or autovacuum goes by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "parameter")]
pub enum Parameter {
    /// `attstattarget`: for how many common values and histogram bounds of a column there is room.
    ColumnTarget {
        /// The unquoted column.
        column: String,
    },
    /// `n_distinct`: how many different values a column has, negative as minus the share of the rows.
    ColumnDistinct {
        /// The unquoted column.
        column: String,
        /// `n_distinct_inherited`, which counts for a table together with its children.
        inherited: bool,
    },
    /// `stxstattarget`: for how many combinations a statistics object has room.
    ObjectTarget {
        /// The statistics object.
        statistics: QualifiedName,
    },
    /// A storage parameter of autovacuum.
    Autovacuum {
        /// Which.
        option: AutovacuumOption,
    },
}

/// A storage parameter of autovacuum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AutovacuumOption {
    /// `autovacuum_vacuum_insert_scale_factor`
    VacuumInsertScaleFactor,
    /// `autovacuum_analyze_scale_factor`
    AnalyzeScaleFactor,
}

impl AutovacuumOption {
    /// Its name in `reloptions`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::VacuumInsertScaleFactor => "autovacuum_vacuum_insert_scale_factor",
            Self::AnalyzeScaleFactor => "autovacuum_analyze_scale_factor",
        }
    }
}

impl Parameter {
    /// The statement that gives it a value, or with `None` its default.
    pub fn set_sql(&self, table: &QualifiedName, value: Option<&Number>) -> String {
        // Neither reaches partitions, whose own values stay as they are.
        let option = |place: &str, name: &str| match value {
            Some(value) => format!("ALTER TABLE ONLY {table} {place}SET ({name} = {value})"),
            None => format!("ALTER TABLE ONLY {table} {place}RESET ({name})"),
        };
        let target = value.map_or("-1", Number::as_str);
        match self {
            Self::ColumnTarget { column } => {
                format!(
                    "ALTER TABLE ONLY {table} ALTER COLUMN {} SET STATISTICS {target}",
                    quote_identifier(column)
                )
            }
            Self::ColumnDistinct { column, inherited } => option(
                &format!("ALTER COLUMN {} ", quote_identifier(column)),
                if *inherited { "n_distinct_inherited" } else { "n_distinct" },
            ),
            Self::ObjectTarget { statistics } => {
                format!("ALTER STATISTICS {statistics} SET STATISTICS {target}")
            }
            Self::Autovacuum { option: which } => option("", which.as_str()),
        }
    }

    /// What it is, in words that follow "the".
    pub fn title(&self) -> String {
        match self {
            Self::ColumnTarget { column } => {
                format!("statistics target of column {}", quote_identifier(column))
            }
            Self::ColumnDistinct { column, .. } => {
                format!("n_distinct of column {}", quote_identifier(column))
            }
            Self::ObjectTarget { statistics } => format!("statistics target of {statistics}"),
            Self::Autovacuum { option } => option.as_str().to_owned(),
        }
    }

    /// Whether its value is felt at the next ANALYZE only.
    pub fn needs_analyze(&self) -> bool {
        !matches!(self, Self::Autovacuum { .. })
    }

    /// The lock that setting it takes on the table; that of a statistics object locks no table.
    pub fn lock_level(&self) -> LockLevel {
        match self {
            Self::ObjectTarget { .. } => LockLevel::AccessShare,
            _ => LockLevel::ShareUpdateExclusive,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_quote_every_name() {
        let table = QualifiedName::new("My Schema", "a\"b.c");
        let definition = StatisticsDefinition {
            table: table.clone(),
            name: QualifiedName::new("My Schema", "s"),
            kinds: vec![StatisticsKind::Dependencies, StatisticsKind::Mcv],
            columns: vec!["select".into(), "x".into()],
            expressions: vec!["lower(y)".into()],
        };
        assert_eq!(
            definition.create_sql(),
            "CREATE STATISTICS \"My Schema\".s (dependencies, mcv) ON \"select\", x, (lower(y)) FROM \"My Schema\".\"a\"\"b.c\""
        );
        assert_eq!(definition.drop_sql(), "DROP STATISTICS \"My Schema\".s");
        let one = StatisticsDefinition { kinds: Vec::new(), columns: Vec::new(), ..definition };
        assert!(one.create_sql().starts_with("CREATE STATISTICS \"My Schema\".s ON (lower(y)) FROM"));

        let number = Number::parse("-0.25");
        let set = |p: Parameter| (p.set_sql(&table, number.as_ref()), p.set_sql(&table, None));
        assert_eq!(
            set(Parameter::ColumnDistinct { column: "select".into(), inherited: false }),
            (
                "ALTER TABLE ONLY \"My Schema\".\"a\"\"b.c\" ALTER COLUMN \"select\" SET (n_distinct = -0.25)".into(),
                "ALTER TABLE ONLY \"My Schema\".\"a\"\"b.c\" ALTER COLUMN \"select\" RESET (n_distinct)".into()
            )
        );
        let option = AutovacuumOption::VacuumInsertScaleFactor;
        assert_eq!(
            set(Parameter::Autovacuum { option }).1,
            "ALTER TABLE ONLY \"My Schema\".\"a\"\"b.c\" RESET (autovacuum_vacuum_insert_scale_factor)"
        );
    }

    #[test]
    fn a_number_brings_no_sql_along() {
        for bad in ["", "1; drop table t", "inf", "nan", "1e999", "0x10", "1 "] {
            assert_eq!(Number::parse(bad), None, "{bad}");
            assert!(serde_json::from_value::<Number>(serde_json::json!(bad)).is_err(), "{bad}");
        }
        let number = Number::parse("-1e-2").unwrap();
        assert!(number.equals("-0.01") && !number.equals("-0.02"));
    }
}
