//! What did the comparison of two statements find?

use serde::{Deserialize, Serialize};

/// What was found out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// The statements are not equivalent: here is a database on which their answers differ.
    Refuted(Box<Witness>),
    /// No database was found on which the answers differ. Not a proof.
    Tested {
        /// On how many databases both answered, and alike.
        databases: u32,
        /// On how many of these the answer had rows.
        with_rows: u32,
        /// The seed that makes the same databases again.
        seed: u64,
    },
    /// The question has no answer.
    NotComparable {
        /// Why, as a sentence.
        reason: String,
    },
}

/// A smallest database on which two statements give different answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Witness {
    /// What differs.
    pub difference: Difference,
    /// The same in a sentence.
    pub explanation: String,
    /// Settings without which the answers would not differ.
    pub settings: Vec<(String, String)>,
    /// The values of parameters as SQL, by number.
    pub parameters: Vec<(u32, String)>,
    /// The rows, as statements that insert them. All other tables are empty.
    pub inserts: Vec<String>,
    /// The first statement's answer.
    pub before: Answer,
    /// The second statement's answer.
    pub after: Answer,
    /// How many databases were tried until the answers differed.
    pub databases: u32,
    /// The seed that makes the same databases again.
    pub seed: u64,
}

/// What differs between two answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Difference {
    /// Number, names or types of the columns; no rows are needed to see it.
    Columns,
    /// The rows.
    Rows,
    /// The rows are the same, and their order is not the one that was asked for.
    Order,
    /// The rows are equal, and numbers in them are written differently: `1.5` and `1.50`, `0` and `-0`.
    Text,
    /// One statement fails and the other one does not.
    Error,
}

/// What a statement answered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Names of the columns.
    pub columns: Vec<String>,
    /// Types of the columns, as PostgreSQL prints them.
    pub types: Vec<String>,
    /// The rows as texts; `None` is NULL.
    pub rows: Vec<Vec<Option<String>>>,
    /// The error with which it failed instead.
    pub error: Option<String>,
}
