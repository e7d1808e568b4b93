//! Are two answers the same? As bags, or as sequences of ties where an order was asked for.
//!
//! Numbers are compared by value first, `1.0` and `1.00` are equal in SQL, and then as they are written. Sums of
//! floating-point numbers depend on the order of addition, so these are compared to ten digits.

use std::collections::BTreeMap;

use crate::verdict::Difference;

/// The answer of a statement on one database.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Outcome {
    Rows(Vec<Vec<Option<String>>>),
    Failed {
        sqlstate: String,
        message: String,
    },
    /// It took too long, gave too many rows, or ran out of memory: nothing is known.
    Unanswered,
}

/// How the values of a column are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    Text,
    Numeric,
    Float,
    /// As [`Comparison::Float`], and `-0` is not `0`.
    SignedFloat,
}

/// Where the ties of the first statement's answer are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ties {
    /// No order was asked for.
    Unordered,
    /// Rows with equal values in these columns tie.
    Columns(Vec<usize>),
    /// Rows with an equal value in an additional last column tie.
    Last,
    /// An order was asked for, and the ties are not known: every row is taken for its own.
    Unknown,
}

/// How answers are compared.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    pub(crate) columns: Vec<Comparison>,
    pub(crate) ties: Ties,
}

type Row = Vec<Option<String>>;

impl Shape {
    /// The same for what an application reads: numbers that are equal and written differently differ.
    pub(crate) fn as_written(&self) -> Self {
        let written = |how: &Comparison| match how {
            Comparison::Numeric => Comparison::Text,
            Comparison::Float => Comparison::SignedFloat,
            other => *other,
        };
        Self { columns: self.columns.iter().map(written).collect(), ties: self.ties.clone() }
    }

    /// What differs, if anything does. `before` has the column of [`Ties::Last`].
    pub(crate) fn difference(&self, before: &Outcome, after: &Outcome) -> Option<Difference> {
        match (before, after) {
            (Outcome::Rows(before), Outcome::Rows(after)) => self.rows_differ(before, after),
            (Outcome::Failed { .. }, Outcome::Rows(_)) | (Outcome::Rows(_), Outcome::Failed { .. }) => {
                Some(Difference::Error)
            }
            _ => None,
        }
    }

    fn rows_differ(&self, before: &[Row], after: &[Row]) -> Option<Difference> {
        let before: Vec<(Row, &Row)> = before.iter().map(|row| (self.normal(row), row)).collect();
        let after: Vec<Row> = after.iter().map(|row| self.normal(row)).collect();
        let mut bag: BTreeMap<&Row, i64> = BTreeMap::new();
        for (row, _) in &before {
            *bag.entry(row).or_default() += 1;
        }
        for row in &after {
            *bag.entry(row).or_default() -= 1;
        }
        if bag.values().any(|count| *count != 0) {
            return Some(Difference::Rows);
        }
        if self.ties == Ties::Unordered {
            return None;
        }
        let mut at = 0;
        while at < before.len() {
            let key = self.tie(&before[at]);
            let length = match &key {
                Some(key) => {
                    before[at..].iter().take_while(|row| self.tie(row).as_ref() == Some(key)).count()
                }
                None => 1,
            };
            let mut ours: Vec<&Row> = before[at..at + length].iter().map(|(row, _)| row).collect();
            let mut theirs: Vec<&Row> = after[at..at + length].iter().collect();
            ours.sort();
            theirs.sort();
            if ours != theirs {
                return Some(Difference::Order);
            }
            at += length;
        }
        None
    }

    fn tie(&self, (normal, row): &(Row, &Row)) -> Option<Vec<Option<String>>> {
        match &self.ties {
            Ties::Columns(columns) => {
                Some(columns.iter().map(|c| normal.get(*c).cloned().flatten()).collect())
            }
            Ties::Last => Some(vec![row.last().cloned().flatten()]),
            Ties::Unordered | Ties::Unknown => None,
        }
    }

    /// A row with equal values as equal texts, without the column of ties.
    pub(crate) fn normal(&self, row: &Row) -> Row {
        row.iter().zip(&self.columns).map(|(value, how)| value.as_deref().map(|v| how.normal(v))).collect()
    }

    /// The values of each column as a sorted list.
    pub(crate) fn columns_of(&self, rows: &[Row]) -> Vec<Row> {
        let rows: Vec<Row> = rows.iter().map(|row| self.normal(row)).collect();
        (0..self.columns.len())
            .map(|column| {
                let mut values: Row = rows.iter().map(|row| row.get(column).cloned().flatten()).collect();
                values.sort();
                values
            })
            .collect()
    }
}

impl Comparison {
    fn normal(self, text: &str) -> String {
        match self {
            Self::Text => text.to_owned(),
            Self::Numeric if text.contains('.') => {
                let short = text.trim_end_matches('0').trim_end_matches('.');
                if short == "-0" { "0".into() } else { short.to_owned() }
            }
            Self::Numeric => text.to_owned(),
            Self::SignedFloat if text == "-0" => text.to_owned(),
            Self::Float | Self::SignedFloat => match text.parse::<f64>() {
                Ok(value) if value.is_finite() && value.abs() < 1e-12 => "0".into(),
                Ok(value) if value.is_finite() => format!("{value:.9e}"),
                _ => text.to_owned(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(list: &[&str]) -> Outcome {
        Outcome::Rows(
            list.iter().map(|r| r.split(',').map(|v| (v != "-").then(|| v.to_owned())).collect()).collect(),
        )
    }

    #[test]
    fn bags_count_duplicates_and_ignore_order() {
        let shape = Shape { columns: vec![Comparison::Text], ties: Ties::Unordered };
        assert_eq!(shape.difference(&rows(&["a", "b", "a"]), &rows(&["b", "a", "a"])), None);
        assert_eq!(shape.difference(&rows(&["a", "a"]), &rows(&["a"])), Some(Difference::Rows));
        assert_eq!(shape.difference(&rows(&["-"]), &rows(&["a"])), Some(Difference::Rows));
    }

    #[test]
    fn within_a_tie_any_order_is_right() {
        let shape = Shape { columns: vec![Comparison::Text], ties: Ties::Last };
        let before = rows(&["a,1", "b,1", "c,2"]);
        assert_eq!(shape.difference(&before, &rows(&["b", "a", "c"])), None);
        assert_eq!(shape.difference(&before, &rows(&["a", "c", "b"])), Some(Difference::Order));
        let shape = Shape { columns: vec![Comparison::Text, Comparison::Text], ties: Ties::Columns(vec![1]) };
        assert_eq!(shape.difference(&rows(&["a,1", "b,1"]), &rows(&["b,1", "a,1"])), None);
        let strict = Shape { ties: Ties::Unknown, ..shape };
        assert_eq!(
            strict.difference(&rows(&["a,1", "b,1"]), &rows(&["b,1", "a,1"])),
            Some(Difference::Order)
        );
    }

    #[test]
    fn numbers_are_compared_by_value() {
        let shape = Shape { columns: vec![Comparison::Numeric, Comparison::Float], ties: Ties::Unordered };
        assert_eq!(shape.difference(&rows(&["1.50,0.30000000000000004"]), &rows(&["1.5,0.3"])), None);
        assert_eq!(shape.difference(&rows(&["100,NaN"]), &rows(&["100.00,NaN"])), None);
        assert_eq!(shape.difference(&rows(&["10,1"]), &rows(&["1,1"])), Some(Difference::Rows));
        let written = shape.as_written();
        assert_eq!(written.difference(&rows(&["1.50,0.1"]), &rows(&["1.5,0.1"])), Some(Difference::Rows));
        assert_eq!(written.difference(&rows(&["1,0"]), &rows(&["1,-0"])), Some(Difference::Rows));
        // The last digits depend on the order of addition.
        assert_eq!(written.difference(&rows(&["1,0.30000000000000004"]), &rows(&["1,0.3"])), None);
    }

    #[test]
    fn an_error_differs_from_an_answer_and_not_from_an_error() {
        let shape = Shape { columns: Vec::new(), ties: Ties::Unordered };
        let failed = Outcome::Failed { sqlstate: "22012".into(), message: "division by zero".into() };
        assert_eq!(shape.difference(&failed, &Outcome::Rows(Vec::new())), Some(Difference::Error));
        assert_eq!(shape.difference(&failed, &failed), None);
        assert_eq!(shape.difference(&failed, &Outcome::Unanswered), None);
    }
}
