//! How is each kind of change made, undone, and found half-done? One file per variant of
//! [`model::Change`], one registry, so that the executor, rollback and recovery know no variant.

mod analyze;
mod create_index;
mod drop_index;
mod index_rules;
mod vacuum;

use futures_util::future::BoxFuture;
use model::Change;
use tokio_postgres::Client;

use crate::catalog::SessionFacts;
use crate::error::Error;
use crate::objection::Objection;

/// Every operation, in the order of the variants of [`model::Change`].
pub const OPERATIONS: &[&dyn Operation] =
    &[&create_index::CreateIndex, &drop_index::DropIndex, &analyze::Analyze, &vacuum::Vacuum];

/// What preflight looks through.
pub struct Site<'a> {
    /// A session that only reads, except for a rehearsal in a transaction that is rolled back.
    pub(crate) client: &'a Client,
    /// Its role and server.
    pub(crate) facts: &'a SessionFacts,
    /// Whether the definition may be tried on an empty temporary copy of the table.
    pub(crate) rehearse: bool,
}

/// What preflight found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Inspection {
    /// Reasons not to begin.
    pub objections: Vec<Objection>,
    /// What the user should know, in sentences.
    pub notices: Vec<String>,
    /// Why there is nothing to do any more, in a sentence.
    pub already: Option<String>,
}

impl Inspection {
    pub(crate) fn object_to(&mut self, objection: Objection) {
        self.objections.push(objection);
    }
}

/// What the catalog says of a change, whoever made it.
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    /// Not done, and no trace of it.
    NotDone,
    /// Half-done by a session that still works on it.
    Busy {
        /// Its process ID.
        pid: i32,
    },
    /// Half-done by a session that has ended.
    HalfDone {
        /// The statement that ends this state, after which the change is done or not done.
        mend: String,
        /// What was found, for instance `invalid index public.a`.
        found: String,
    },
    /// Done.
    Done {
        /// The object made, when one was: its OID and its definition in PostgreSQL's words.
        made: Option<(u32, String)>,
    },
    /// Something else stands in its place.
    Foreign {
        /// What, in PostgreSQL's words.
        found: String,
    },
}

/// How one kind of change is made.
pub trait Operation: Send + Sync {
    /// The name of the variant, as in `pgwright.journal_step.change`.
    fn id(&self) -> &'static str;

    /// What it does, in words that follow "could not".
    fn action(&self) -> &'static str;

    /// What undoing it does, in words that follow "could not".
    fn undo_action(&self) -> &'static str;

    /// Whether a change is of this kind.
    fn accepts(&self, change: &Change) -> bool;

    /// The statement that makes the change.
    fn statement(&self, change: &Change) -> String;

    /// The statement that undoes it; `None` when there is nothing to undo.
    fn undo_statement(&self, change: &Change) -> Option<String>;

    /// Whether it changes the schema, so that undoing it means something.
    fn changes_schema(&self) -> bool;

    /// Whether the statement waits for older transactions to end, holding no lock that stops others.
    fn waits_for_transactions(&self) -> bool {
        self.changes_schema()
    }

    /// Reads the catalog for reasons not to begin.
    fn preflight<'a>(
        &'a self,
        site: &'a Site<'a>,
        change: &'a Change,
    ) -> BoxFuture<'a, Result<Inspection, Error>>;

    /// Reads the catalog for reasons not to undo the change. `made` is what it made, by OID and in
    /// PostgreSQL's words.
    fn undo_preflight<'a>(
        &'a self,
        site: &'a Site<'a>,
        change: &'a Change,
        made: Option<(u32, &'a str)>,
    ) -> BoxFuture<'a, Result<Inspection, Error>>;

    /// Reads the catalog for what became of the change.
    fn inspect<'a>(
        &'a self,
        client: &'a Client,
        change: &'a Change,
    ) -> BoxFuture<'a, Result<Condition, Error>>;
}

/// The operation of a change.
pub fn operation_of(change: &Change) -> &'static dyn Operation {
    // Exhaustive, so that a new variant does not compile without an operation.
    match change {
        Change::CreateIndex { .. } => &create_index::CreateIndex,
        Change::DropIndex { .. } => &drop_index::DropIndex,
        Change::Analyze { .. } => &analyze::Analyze,
        Change::Vacuum { .. } => &vacuum::Vacuum,
    }
}

/// A statement with pgwright's mark after its first keyword, so that pgwright leaves it out of what
/// it measures.
pub(crate) fn marked(name: &str, statement: &str) -> String {
    match statement.split_once(' ') {
        Some((first, rest)) => format!("{first} /* pgwright:{name} */ {rest}"),
        None => format!("{statement} /* pgwright:{name} */"),
    }
}

#[cfg(test)]
mod tests {
    use model::{IndexDefinition, IndexKey, QualifiedName};

    use super::*;

    fn one_of_each() -> Vec<Change> {
        let table = QualifiedName::new("s", "a\"b.c");
        vec![
            Change::CreateIndex {
                index: IndexDefinition::btree(table.clone(), "i", vec![IndexKey::column("Größe")]),
            },
            Change::DropIndex {
                name: QualifiedName::new("s", "i"),
                table: table.clone(),
                definition: "CREATE UNIQUE INDEX i ON s.\"a\"\"b.c\" USING btree (x)".into(),
            },
            Change::Analyze { table: table.clone() },
            Change::Vacuum { table },
        ]
    }

    #[test]
    fn the_registry_holds_every_change_once_and_in_order() {
        let changes = one_of_each();
        assert_eq!(changes.len(), OPERATIONS.len());
        for (change, operation) in changes.iter().zip(OPERATIONS) {
            assert_eq!(operation_of(change).id(), operation.id());
            assert_eq!(OPERATIONS.iter().filter(|o| o.accepts(change)).count(), 1);
            // The id is the tag under which the change is stored.
            assert_eq!(serde_json::to_value(change).unwrap()["change"], operation.id());
        }
    }

    #[test]
    fn statements_and_their_opposites_quote_every_name() {
        let rendered: Vec<_> = one_of_each()
            .iter()
            .map(|c| (operation_of(c).statement(c), operation_of(c).undo_statement(c).unwrap_or_default()))
            .collect();
        let expected = [
            (
                "CREATE INDEX CONCURRENTLY i ON s.\"a\"\"b.c\" USING btree (\"Größe\")",
                "DROP INDEX CONCURRENTLY s.i",
            ),
            (
                "DROP INDEX CONCURRENTLY s.i",
                "CREATE UNIQUE INDEX CONCURRENTLY i ON s.\"a\"\"b.c\" USING btree (x)",
            ),
            ("ANALYZE s.\"a\"\"b.c\"", ""),
            ("VACUUM (ANALYZE) s.\"a\"\"b.c\"", ""),
        ];
        for ((sql, undo), (want_sql, want_undo)) in rendered.iter().zip(expected) {
            assert_eq!((sql.as_str(), undo.as_str()), (want_sql, want_undo));
        }
    }

    #[test]
    fn the_mark_stands_after_the_first_keyword() {
        assert_eq!(marked("analyze", "ANALYZE public.t"), "ANALYZE /* pgwright:analyze */ public.t");
    }
}
