//! How far off is the planner's estimate of columns that are looked at together, and what would mend it?
//!
//! `advice` says which sets of columns a workload compares or groups together, `trial` measures estimates of them
//! on a sample, and `advice` judges what was measured; they meet here. An error is the factor by which an estimate
//! is off in either direction, the q-error of Moerkotte, Neumann and Steidl, "Preventing Bad Plans by Bounding the
//! Impact of Cardinality Estimation Errors" (VLDB 2009).

use serde::{Deserialize, Serialize};

use crate::name::{QualifiedName, quote_identifier};
use crate::snapshot::{ColumnStatistics, ExtendedStatisticsData};
use crate::statistics::StatisticsKind;

/// How a column or expression is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)] // The names say it.
pub enum Comparison {
    Equal,
    /// `IN` and `= ANY`.
    List,
    Above,
    Below,
    Between,
    IsNull,
    IsNotNull,
    IsTrue,
    IsFalse,
    /// `GROUP BY` and `DISTINCT`.
    Grouped,
}

impl Comparison {
    /// Whether functional dependencies say anything about it: equalities only (`dependencies.c`).
    pub fn is_equality(self) -> bool {
        matches!(self, Self::Equal | Self::List | Self::IsTrue | Self::IsFalse)
    }

    /// The comparison in SQL's signs, after the column.
    pub fn sign(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::List => "IN",
            Self::Above => ">",
            Self::Below => "<",
            Self::Between => "BETWEEN",
            Self::IsNull => "IS NULL",
            Self::IsNotNull => "IS NOT NULL",
            Self::IsTrue => "IS TRUE",
            Self::IsFalse => "IS FALSE",
            Self::Grouped => "grouped",
        }
    }
}

/// A column or expression of a set.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Member {
    /// The quoted column, or the expression.
    pub sql: String,
    /// The unquoted column; `None` for an expression.
    pub column: Option<String>,
    /// The unquoted columns that it is computed from.
    pub columns: Vec<String>,
    /// How it is looked at.
    pub comparison: Comparison,
}

impl Member {
    /// A plain column.
    pub fn column(name: impl Into<String>, comparison: Comparison) -> Self {
        let name = name.into();
        Self { sql: quote_identifier(&name), column: Some(name.clone()), columns: vec![name], comparison }
    }
}

/// Columns and expressions of one table that a workload looks at together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ColumnSet {
    /// The table.
    pub table: QualifiedName,
    /// What is looked at, sorted.
    pub members: Vec<Member>,
    /// The `queryid`s of the statements that do so, the most time first; empty when somebody asks for it.
    pub statements: Vec<i64>,
    /// Execution time of those statements in milliseconds.
    pub total_ms: f64,
}

impl ColumnSet {
    /// Whether it is grouped by and not compared.
    pub fn is_grouped(&self) -> bool {
        self.members.iter().any(|m| m.comparison == Comparison::Grouped)
    }

    /// The unquoted columns that are members themselves.
    pub fn plain_columns(&self) -> Vec<String> {
        self.members.iter().filter_map(|m| m.column.clone()).collect()
    }

    /// The expressions.
    pub fn expressions(&self) -> Vec<String> {
        self.members.iter().filter(|m| m.column.is_none()).map(|m| m.sql.clone()).collect()
    }

    /// Every column that a sample must have.
    pub fn needed_columns(&self) -> std::collections::BTreeSet<String> {
        self.members.iter().flat_map(|m| m.columns.iter().cloned()).collect()
    }

    /// `city =, created_at >` or `GROUP BY a, b`.
    pub fn label(&self) -> String {
        let names: Vec<String> = self
            .members
            .iter()
            .map(|m| match m.comparison {
                Comparison::Grouped => m.sql.clone(),
                other => format!("{} {}", m.sql, other.sign()),
            })
            .collect();
        let names = names.join(", ");
        if self.is_grouped() { format!("GROUP BY {names}") } else { names }
    }
}

/// Something that might mend an estimate.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "attempt")]
pub enum Attempt {
    /// Statistics of the members together.
    Extended {
        /// What they hold; empty for a single expression.
        kinds: Vec<StatisticsKind>,
        /// Unquoted columns.
        columns: Vec<String>,
        /// Expressions.
        expressions: Vec<String>,
        /// Their target; `None` leaves that of the columns.
        target: Option<i32>,
    },
    /// More room for common values of one column.
    Target {
        /// The unquoted column.
        column: String,
        /// The target.
        target: i32,
    },
    /// How many different values a column has, as counted in the sample.
    Distinct {
        /// The unquoted column.
        column: String,
    },
}

impl Attempt {
    /// In a few words.
    pub fn title(&self) -> String {
        match self {
            Self::Extended { kinds, target, .. } => {
                let kinds: Vec<&str> = kinds.iter().map(|k| k.as_str()).collect();
                let kinds = if kinds.is_empty() { "expression".to_owned() } else { kinds.join(", ") };
                match target {
                    Some(target) => format!("{kinds}, target {target}"),
                    None => kinds,
                }
            }
            Self::Target { target, .. } => format!("column target {target}"),
            Self::Distinct { .. } => "n_distinct".into(),
        }
    }
}

/// A condition whose rows were counted and estimated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Probe {
    /// The condition as SQL, or the list that is grouped by.
    pub condition: String,
    /// Rows of the sample, or groups in it.
    pub rows: f64,
    /// What the planner expects.
    pub estimate: f64,
}

/// How far off estimates are.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Errors {
    /// The geometric mean of the errors over conditions that some rows fulfil; 1 is exact.
    pub typical: f64,
    /// The largest of them.
    pub worst: f64,
    /// The geometric mean over combinations of values that do not occur; `None` when there are none.
    pub absent: Option<f64>,
    /// What they were measured on.
    pub probes: Vec<Probe>,
}

impl Errors {
    /// From what was counted and estimated. Below `floor` rows a difference tells nothing: in a small sample few rows
    /// are there by chance.
    pub fn of(probes: Vec<Probe>, floor: f64) -> Self {
        let error = |p: &Probe| {
            let (rows, estimate) = (p.rows.max(floor), p.estimate.max(floor));
            (rows / estimate).max(estimate / rows)
        };
        let mean = |errors: &[f64]| {
            let sum: f64 = errors.iter().map(|e| e.ln()).sum();
            (sum / errors.len().max(1) as f64).exp()
        };
        let (present, absent): (Vec<&Probe>, Vec<&Probe>) = probes.iter().partition(|p| p.rows > 0.0);
        let present: Vec<f64> = present.into_iter().map(error).collect();
        let absent: Vec<f64> = absent.into_iter().map(error).collect();
        Self {
            typical: mean(&present),
            worst: present.iter().copied().fold(1.0, f64::max),
            absent: (!absent.is_empty()).then(|| mean(&absent)),
            probes,
        }
    }
}

/// What ANALYZE of the sample collected, as a snapshot holds it: by the attribute numbers of the table.
#[derive(Clone, Debug, PartialEq)]
pub enum Collected {
    /// Of several columns or of expressions.
    Extended(Box<ExtendedStatisticsData>),
    /// Of one column.
    Column(Box<ColumnStatistics>),
}

/// What came of an attempt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tried {
    /// What was tried.
    pub attempt: Attempt,
    /// How far off estimates are with it; `None` when PostgreSQL refused it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub errors: Option<Errors>,
    /// PostgreSQL's message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// The value of `n_distinct` that was tried, for the whole table.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub n_distinct: Option<f64>,
    /// Its expressions in PostgreSQL's own words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expressions: Vec<String>,
    /// Milliseconds of ANALYZE of the sample with it.
    pub analyze_ms: f64,
    /// Milliseconds of planning one condition with it.
    pub planning_ms: f64,
    /// The statistics themselves, with which whole statements can be planned elsewhere.
    #[serde(skip)]
    pub collected: Option<Collected>,
}

/// A sample that was measured on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SampleFacts {
    /// Rows in it.
    pub rows: f64,
    /// Rows of the table, as the planner sees it.
    pub of_rows: f64,
    /// Bytes that were copied.
    pub bytes: u64,
    /// Whether it is all of the table.
    pub is_whole: bool,
}

/// A set of columns with everything that was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// The columns.
    pub set: ColumnSet,
    /// The sample.
    pub sample: SampleFacts,
    /// How far off estimates are as things are.
    pub before: Errors,
    /// Milliseconds of ANALYZE of the sample as things are.
    pub analyze_ms: f64,
    /// Milliseconds of planning one condition as things are.
    pub planning_ms: f64,
    /// What was tried, in that order.
    pub tried: Vec<Tried>,
    /// Combinations that occur, in the order of the members and common ones first, with `None` where a member is
    /// not compared with a value.
    #[serde(skip)]
    pub occurring: Vec<Vec<Option<String>>>,
}

/// A set of columns of which nothing was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NotMeasured {
    /// The columns.
    pub set: ColumnSet,
    /// Why, in words that follow "because".
    pub reason: String,
}

/// What became of all sets.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Trials {
    /// Measured ones.
    pub measured: Vec<Measured>,
    /// The others.
    pub not_measured: Vec<NotMeasured>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_a_factor_in_either_direction() {
        let probe = |rows: f64, estimate: f64| Probe { condition: String::new(), rows, estimate };
        let errors = Errors::of(vec![probe(100.0, 10.0), probe(10.0, 100.0), probe(0.0, 40.0)], 1.0);
        assert!((errors.typical - 10.0).abs() < 1e-9 && (errors.worst - 10.0).abs() < 1e-9);
        assert!((errors.absent.unwrap() - 40.0).abs() < 1e-9);
        // Of few rows of a sample nothing is said.
        let few = Errors::of(vec![probe(4.0, 1.0)], 5.0);
        assert!((few.typical - 1.0).abs() < 1e-9);
    }

    #[test]
    fn a_set_says_what_it_needs() {
        let set = ColumnSet {
            table: QualifiedName::new("public", "t"),
            members: vec![
                Member::column("City", Comparison::Equal),
                Member {
                    sql: "lower(name)".into(),
                    column: None,
                    columns: vec!["name".into()],
                    comparison: Comparison::Equal,
                },
            ],
            statements: Vec::new(),
            total_ms: 0.0,
        };
        assert_eq!(set.label(), "\"City\" =, lower(name) =");
        assert_eq!(set.needed_columns().into_iter().collect::<Vec<_>>(), ["City", "name"]);
        assert_eq!((set.plain_columns().len(), set.expressions().len()), (1, 1));
    }
}
