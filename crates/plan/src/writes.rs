//! What does a statement that writes do to a table besides its rows?
//!
//! Source: `ExecInsertIndexTuples()` in execIndexing.c, which writes an entry into every index of the table;
//! `heap_update()` in heapam.c for HOT, which writes none when no column of an index changes and the page has room; an
//! index that summarizes (BRIN) does not stand in its way since 16.

use std::collections::BTreeSet;

use model::snapshot::{Index, Relation};
use model::{KeyTarget, Snapshot};

use crate::node::{Node, Plan, Relationship};

/// How many rows a ModifyTable was given; without `ANALYZE` how many were expected.
pub(crate) fn rows(plan: &Plan, node: &Node) -> f64 {
    let input = plan.child(node, Relationship::Outer).or_else(|| plan.children(node).next());
    input.map_or(0.0, |n| if plan.analyzed { n.rows() } else { n.plan_rows })
}

/// The indexes that get an entry.
pub(crate) fn indexes<'s>(database: &'s Snapshot, table: &'s Relation) -> impl Iterator<Item = &'s Index> {
    // One that is not valid is kept up as well.
    database.indexes_of(&table.name)
}

/// Indexes that were never scanned, and that nothing but scans is there for.
pub(crate) fn unused<'s>(database: &'s Snapshot, table: &'s Relation) -> Vec<&'s Index> {
    indexes(database, table)
        .filter(|index| {
            index.idx_scan == 0
                && !index.primary
                && !index.exclusion
                && !index.definition.unique
                && index.constraint.is_none()
                && !index.replica_identity
                && !index.referenced
                && !index.building
                && index.parent.is_none()
        })
        .collect()
}

/// The columns that the statement's `SET` assigns, where its text tells: those of the one UPDATE in it.
pub(crate) fn assigned(plan: &Plan, table: &Relation) -> Option<BTreeSet<String>> {
    let text = plan.query_text.as_deref()?.to_lowercase();
    let mut starts = text.match_indices("set").filter(|(at, _)| {
        let apart = |c: Option<char>| c.is_none_or(|c| !(c.is_alphanumeric() || c == '_'));
        apart(text[..*at].chars().next_back()) && apart(text[at + 3..].chars().next())
    });
    let (at, _) = starts.next()?;
    // A second one is another statement, or a name.
    if starts.next().is_some() {
        return None;
    }
    let rest = &text[at + 3..];
    let mut columns = BTreeSet::new();
    let (mut depth, mut quoted) = (0_i32, false);
    let mut start = 0;
    let bytes = rest.as_bytes();
    let ends = |at: usize| {
        ["where", "from", "returning", "when"].iter().any(|word| {
            rest[at..].starts_with(word)
                && bytes.get(at + word.len()).is_none_or(|c| !(c.is_ascii_alphanumeric() || *c == b'_'))
                && at
                    .checked_sub(1)
                    .and_then(|b| bytes.get(b))
                    .is_some_and(|c| !(c.is_ascii_alphanumeric() || *c == b'_'))
        })
    };
    let mut items = Vec::new();
    let mut end = rest.len();
    for (at, c) in rest.char_indices() {
        match c {
            '\'' => quoted = !quoted,
            _ if quoted => {}
            '(' | '[' => depth += 1,
            ')' | ']' => depth -= 1,
            ',' if depth == 0 => {
                items.push(&rest[start..at]);
                start = at + 1;
            }
            _ if depth == 0 && ends(at) => {
                end = at;
                break;
            }
            _ => {}
        }
    }
    items.push(&rest[start..end]);
    for item in items {
        let target = item.split('=').next()?;
        for name in target.trim().trim_matches(['(', ')']).split(',') {
            // `list[3]` and `part.field` change the column too.
            let name = name.trim().split(['[', '.']).next()?.trim_matches('"');
            let column = table.columns.iter().find(|c| c.name.to_lowercase() == name)?;
            columns.insert(column.name.clone());
        }
    }
    Some(columns)
}

/// Those of some columns that stand in an index, in an expression or a predicate of one.
pub(crate) fn in_indexes(database: &Snapshot, table: &Relation, columns: &BTreeSet<String>) -> Vec<String> {
    let summarizes =
        |index: &Index| index.definition.access_method == "brin" && database.server.version_num >= 160_000;
    let holds = |index: &Index, column: &str| {
        let definition = &index.definition;
        let words =
            |text: &str| text.split(|c: char| !(c.is_alphanumeric() || c == '_')).any(|word| word == column);
        definition.include.iter().any(|c| c == column)
            || definition.predicate.as_deref().is_some_and(words)
            || definition.keys.iter().any(|key| match &key.target {
                KeyTarget::Column(name) => name == column,
                KeyTarget::Expression(text) => words(text),
            })
    };
    let found = columns
        .iter()
        .filter(|column| indexes(database, table).any(|index| !summarizes(index) && holds(index, column)));
    found.cloned().collect()
}

#[cfg(test)]
mod tests {
    use crate::checks::testing::*;

    use super::*;

    #[test]
    fn assigned_columns_are_read_out_of_the_text() {
        let mut database = database("public", "t");
        for name in ["a", "b", "Odd", "list"] {
            column(&mut database, name, -1.0, &[]);
        }
        let table = &database.relations[0];
        let of = |text: &str| {
            let plan = Plan { query_text: Some(text.into()), ..Plan::default() };
            assigned(&plan, table).map(|found| found.into_iter().collect::<Vec<_>>().join(" "))
        };
        assert_eq!(of("UPDATE t SET a = b + 1, b = coalesce(b, 2) WHERE list = 3").unwrap(), "a b");
        assert_eq!(of("update t set (a, \"Odd\") = (1, 2) from x where t.b = x.b").unwrap(), "Odd a");
        assert_eq!(of("update t set a = 'set, where b = 1' where b = 2"), None, "the word occurs twice");
        assert_eq!(of("update t set list[2] = 7 returning a").unwrap(), "list");
        assert_eq!(of("update t set nothing = 7"), None);
        assert_eq!(of("insert into t values (1)"), None);
    }
}
