//! What kind of statement is a text, and how is it parsed?

use std::collections::{BTreeMap, BTreeSet};

use pg_query::NodeEnum;
use serde::{Deserialize, Serialize};

use crate::analysis::Analysis;
use crate::catalog::Catalog;
use crate::error::SqlError;
use crate::text::{self, Marks, Value};

/// What a statement does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)] // The names are SQL's own.
pub enum StatementKind {
    Select,
    Insert,
    Update,
    Delete,
    Merge,
    /// Everything that the planner never sees: DDL, `SET`, `COPY`, `BEGIN`, …
    Utility,
}

/// A statement that PostgreSQL's grammar accepts, after repair where needed.
#[derive(Clone, Debug)]
pub struct ParsedStatement {
    text: String,
    marks: Marks,
    kind: StatementKind,
    node: NodeEnum,
}

impl ParsedStatement {
    /// Parses one statement.
    ///
    /// # Errors
    /// [`SqlError`] says why the text is not one statement; utility statements are parsed too.
    pub fn parse(statement: &str) -> Result<Self, SqlError> {
        let tokens = text::scan(statement)?;
        let marks = text::mark(statement, &tokens);
        let repaired = marks.repair(statement);
        let mut parsed = pg_query::parse(&repaired, pg_query::ParserOptions::DEFAULT)?.protobuf;
        let count = parsed.stmts.len();
        if count > 1 {
            return Err(SqlError::Several { count });
        }
        let node = parsed
            .stmts
            .pop()
            .and_then(|raw| raw.stmt)
            .and_then(|boxed| boxed.node)
            .ok_or(SqlError::Empty)?;
        let kind = match &node {
            NodeEnum::SelectStmt(_) => StatementKind::Select,
            NodeEnum::InsertStmt(_) => StatementKind::Insert,
            NodeEnum::UpdateStmt(_) => StatementKind::Update,
            NodeEnum::DeleteStmt(_) => StatementKind::Delete,
            NodeEnum::MergeStmt(_) => StatementKind::Merge,
            _ => StatementKind::Utility,
        };
        Ok(Self { text: statement.to_owned(), marks, kind, node })
    }

    /// The text as it was given.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What it does.
    pub fn kind(&self) -> StatementKind {
        self.kind
    }

    /// The numbers of its parameters.
    pub fn parameters(&self) -> BTreeSet<u32> {
        self.marks.parameters()
    }

    /// Whether a parameter stands for a list of constants that PostgreSQL 18 squashed into one.
    pub fn is_squashed_list(&self, parameter: u32) -> bool {
        self.marks.is_squashed(parameter)
    }

    /// Resolves names and collects what an index advisor asks for.
    pub fn analyze(&self, catalog: &dyn Catalog) -> Analysis {
        crate::lowering::analyze(&self.node, catalog)
    }

    /// The statement's text with values in place of its parameters. Parameters without a value stay.
    ///
    /// `now` (a timestamp in text form) stops the clock: `now()`, `current_timestamp` and
    /// `current_date` become constants, so that a snapshot is planned at its own time.
    pub fn bind(&self, values: &BTreeMap<u32, Value>, now: Option<&str>) -> String {
        self.marks.bind(&self.text, values, now)
    }

    pub(crate) fn node(&self) -> &NodeEnum {
        &self.node
    }
}

/// What is longer is not laid out.
const LAID_OUT_BYTES: usize = 32 << 10;

/// A statement over several lines with indentation, for a person to read; `None` when the grammar does not take the text
/// as it is, or when what would be written says something else.
pub fn laid_out(statement: &str) -> Option<String> {
    if statement.len() > LAID_OUT_BYTES {
        return None;
    }
    let parsed = pg_query::parse(statement, pg_query::ParserOptions::DEFAULT).ok()?;
    if parsed.protobuf.stmts.len() != 1 {
        return None;
    }
    let options = pg_query::DeparseOptions { pretty_print: true, indent_size: 2, ..Default::default() };
    let text = parsed.deparse(options).ok()?;
    (fingerprint(statement).ok()? == fingerprint(&text).ok()?).then_some(text)
}

/// The fingerprint of a statement: equal for texts that differ in constants and spacing only.
///
/// # Errors
/// [`SqlError`] when the text cannot be parsed even after repair.
pub fn fingerprint(statement: &str) -> Result<String, SqlError> {
    let tokens = text::scan(statement)?;
    let repaired = text::mark(statement, &tokens).repair(statement);
    Ok(pg_query::fingerprint(
        &repaired,
        pg_query::ParserOptions::DEFAULT,
        pg_query::FingerprintOptions::FULL_RELNAME,
    )?
    .hex)
}

/// Whether a text is a utility statement, judged by its first word, so that texts that do not parse
/// and dialects of other versions are recognised as well.
pub fn is_utility(statement: &str) -> bool {
    let Ok(tokens) = text::scan(statement) else { return false };
    match text::first_word(statement, &tokens) {
        Some(word) => !matches!(
            word.as_str(),
            "SELECT" | "INSERT" | "UPDATE" | "DELETE" | "MERGE" | "WITH" | "VALUES" | "TABLE"
        ),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_laid_out_over_lines_and_says_the_same() {
        let text =
            laid_out("select a, \"b.C\" from t join u on t.id = u.id where a = $1 order by 2 limit $2")
                .unwrap();
        assert!(text.lines().count() > 3 && text.contains("\"b.C\""), "{text}");
        for (what, statement) in [
            ("not of the grammar", "select a where from t"),
            ("two", "select 1; select 2"),
            ("cut off", "select a from"),
            ("long", &format!("select {}1", "1 + ".repeat(20_000))),
        ] {
            assert_eq!(laid_out(statement), None, "{what}");
        }
    }
}
