//! How is each kind of change made, undone, and found half-done? One operation per variant of
//! [`model::Change`] and of [`PartitionChange`], one registry, so that the executor, rollback and
//! recovery know no variant.

mod attach_index;
mod create_index;
mod create_over_partitions;
mod create_parent_index;
mod create_partition_index;
mod create_statistics;
mod drop_index;
mod drop_partitioned_index;
mod index_rules;
mod maintenance;
mod rehearsal;
mod set_parameter;
mod set_partition;

use futures_util::future::BoxFuture;
use model::Change;
use tokio_postgres::Client;

use crate::action::{Action, PartitionChange, SetChange};
use crate::catalog::SessionFacts;
use crate::error::Error;
use crate::objection::Objection;

pub(crate) use index_rules::found;
pub(crate) use rehearsal::{Rehearsed, rehearse};
pub(crate) use set_partition::{is_still_detached, preparation};

/// Every operation: in the order of the variants of [`model::Change`], then of [`PartitionChange`].
pub const OPERATIONS: &[&dyn Operation] = &[
    &create_index::CreateIndex,
    &drop_index::DropIndex,
    &maintenance::ANALYZE,
    &maintenance::VACUUM,
    &create_statistics::CreateStatistics,
    &set_parameter::SetParameter,
    &create_parent_index::CreateParentIndex,
    &create_partition_index::CreatePartitionIndex,
    &attach_index::AttachIndex,
    &create_over_partitions::CreateOverPartitions,
    &drop_partitioned_index::DropPartitionedIndex,
    &set_partition::CREATE,
    &set_partition::DETACH,
    &set_partition::DROP,
    &set_partition::MOVE,
    &set_partition::ARCHIVE,
    &set_partition::RESTORE,
    &set_partition::SCHEDULE,
];

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
    /// The tag of the variant in `pgwright.journal_step.change`.
    fn id(&self) -> &'static str;

    /// What it does, in words that follow "could not".
    fn action(&self) -> &'static str;

    /// What undoing it does, in words that follow "could not".
    fn undo_action(&self) -> &'static str;

    /// Whether a change is of this kind.
    fn accepts(&self, action: &Action) -> bool;

    /// The statement that makes the change; several, with semicolons between them, where
    /// [`Self::statements`] says so.
    fn statement(&self, action: &Action) -> String;

    /// What is sent in one transaction: the statement, unless there are several.
    fn statements(&self, action: &Action) -> Vec<String> {
        vec![self.statement(action)]
    }

    /// The statement that undoes it; `None` when there is nothing to undo.
    fn undo_statement(&self, action: &Action) -> Option<String>;

    /// Whether it changes the schema, so that undoing it means something.
    fn changes_schema(&self) -> bool;

    /// Whether the statement waits for older transactions to end, holding no lock that stops others.
    fn waits_for_transactions(&self) -> bool {
        self.changes_schema()
    }

    /// Whether it makes or drops an object under its name, which only one step of a plan may do.
    fn takes_name(&self) -> bool {
        self.changes_schema()
    }

    /// Whether it locks many tables at once, so that all of it must not take longer than the wait for
    /// a lock may.
    fn is_bounded(&self) -> bool {
        false
    }

    /// Reads the catalog for reasons not to begin, or for why there is nothing to do any more.
    fn preflight<'a>(
        &'a self,
        site: &'a Site<'a>,
        action: &'a Action,
    ) -> BoxFuture<'a, Result<Inspection, Error>>;

    /// Reads the catalog for reasons not to undo the change. `made` is what it made, by OID and in
    /// PostgreSQL's words.
    fn undo_preflight<'a>(
        &'a self,
        site: &'a Site<'a>,
        action: &'a Action,
        made: Option<(u32, &'a str)>,
    ) -> BoxFuture<'a, Result<Inspection, Error>>;

    /// Reads the catalog for what became of the change.
    fn inspect<'a>(
        &'a self,
        client: &'a Client,
        action: &'a Action,
    ) -> BoxFuture<'a, Result<Condition, Error>>;
}

/// The operation of an action.
pub fn operation_of(action: &Action) -> &'static dyn Operation {
    use PartitionChange as P;
    // Exhaustive, so that a new variant does not compile without an operation.
    match action {
        Action::Change(Change::CreateIndex { .. }) => &create_index::CreateIndex,
        Action::Change(Change::DropIndex { .. }) => &drop_index::DropIndex,
        Action::Change(Change::Analyze { .. }) => &maintenance::ANALYZE,
        Action::Change(Change::Vacuum { .. }) => &maintenance::VACUUM,
        Action::Change(Change::CreateStatistics { .. }) => &create_statistics::CreateStatistics,
        Action::Change(Change::SetParameter { .. }) => &set_parameter::SetParameter,
        Action::Partition(P::CreateParentIndex { .. }) => &create_parent_index::CreateParentIndex,
        Action::Partition(P::CreatePartitionIndex { .. }) => &create_partition_index::CreatePartitionIndex,
        Action::Partition(P::AttachIndex { .. }) => &attach_index::AttachIndex,
        Action::Partition(P::CreateOverPartitions { .. }) => &create_over_partitions::CreateOverPartitions,
        Action::Partition(P::DropPartitionedIndex { .. }) => &drop_partitioned_index::DropPartitionedIndex,
        Action::Set(SetChange::CreatePartition { .. }) => &set_partition::CREATE,
        Action::Set(SetChange::DetachPartition { .. }) => &set_partition::DETACH,
        Action::Set(SetChange::DropPartition { .. }) => &set_partition::DROP,
        Action::Set(SetChange::MovePartition { .. }) => &set_partition::MOVE,
        Action::Set(SetChange::ArchivePartition { .. }) => &set_partition::ARCHIVE,
        Action::Set(SetChange::RestorePartition { .. }) => &set_partition::RESTORE,
        Action::Set(SetChange::ScheduleCreation { .. }) => &set_partition::SCHEDULE,
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
    use model::{
        IndexDefinition, IndexKey, Number, Parameter, QualifiedName, StatisticsDefinition, StatisticsKind,
    };

    use super::*;
    use crate::action::{IndexShape, Renaming, TreeIndex, TreePart, TreeRoot};

    fn one_of_each() -> Vec<Action> {
        let table = QualifiedName::new("s", "a\"b.c");
        let definition = IndexDefinition::btree(table.clone(), "i", vec![IndexKey::column("Größe")]);
        let root = TreeRoot { index: QualifiedName::new("s", "i"), table: table.clone() };
        let whole =
            TreeIndex { name: root.index.clone(), table: table.clone(), shape: IndexShape::of(&definition) };
        let part = TreeIndex {
            name: QualifiedName::new("P", "p\"i"),
            table: QualifiedName::new("P", "p\"1"),
            ..whole.clone()
        };
        let changes = vec![
            Change::CreateIndex { index: definition },
            Change::DropIndex {
                name: QualifiedName::new("s", "i"),
                table: table.clone(),
                definition: "CREATE UNIQUE INDEX i ON s.\"a\"\"b.c\" USING btree (x)".into(),
            },
            Change::Analyze { table: table.clone() },
            Change::Vacuum { table: table.clone() },
            Change::CreateStatistics {
                statistics: StatisticsDefinition {
                    table: table.clone(),
                    name: QualifiedName::new("s", "st\"at"),
                    kinds: vec![StatisticsKind::Mcv],
                    columns: vec!["Größe".into(), "x".into()],
                    expressions: Vec::new(),
                },
            },
            Change::SetParameter {
                table,
                parameter: Parameter::ColumnTarget { column: "Größe".into() },
                value: Number::from(1000),
                former: None,
            },
        ];
        let parts = vec![
            PartitionChange::CreateParentIndex { root: root.clone(), index: whole.clone() },
            PartitionChange::CreatePartitionIndex { root: root.clone(), index: part.clone() },
            PartitionChange::AttachIndex {
                root: root.clone(),
                parent: root.index.clone(),
                index: part.name.clone(),
                table: part.table.clone(),
                adopted: None,
                again: false,
            },
            PartitionChange::CreateOverPartitions {
                root: root.clone(),
                index: whole.clone(),
                adopted: Vec::new(),
            },
            PartitionChange::DropPartitionedIndex {
                root,
                definition: "CREATE INDEX i ON ONLY s.\"a\"\"b.c\" USING btree (\"Größe\")".into(),
                parts: vec![
                    TreePart { index: whole.clone(), parent: None, is_partitioned: true },
                    TreePart { index: part, parent: Some(whole.name), is_partitioned: false },
                ],
                renames: vec![Renaming { from: QualifiedName::new("P", "x_undo"), to: "X".into() }],
            },
        ];
        let (set, name) = (QualifiedName::new("s", "a\"b.c"), QualifiedName::new("s", "a\"b.c_2024"));
        let new = partitioning::planning::NewPartition {
            name: name.clone(),
            bound: "FOR VALUES FROM ('1') TO ('2')".into(),
            check: Some("\"Größe\" IS NOT NULL".into()),
            takes_from_default: true,
            partition_by: None,
            parts: Vec::new(),
        };
        let sets = vec![
            SetChange::CreatePartition {
                table: set.clone(),
                partition: new,
                from_default: Some((QualifiedName::new("s", "d"), vec!["\"Größe\"".into()])),
                unread_default: None,
                storage: vec![("fillfactor".into(), "90".into())],
                tablespace: None,
                owner: Some("O'Neil".into()),
            },
            SetChange::DetachPartition {
                table: set,
                partition: name.clone(),
                bound: "FOR VALUES FROM ('1') TO ('2')".into(),
                concurrently: true,
            },
            SetChange::DropPartition { partition: name.clone(), archive: None },
            SetChange::MovePartition { partition: name.clone(), tablespace: "cold store".into() },
            SetChange::ArchivePartition {
                partition: name.clone(),
                archive: crate::action::ArchivePlace {
                    folder: "/srv".into(),
                    stem: "a".into(),
                    table: QualifiedName::new("s", "a\"b.c"),
                    bound: "FOR VALUES FROM ('1') TO ('2')".into(),
                    oid: 1,
                },
            },
            SetChange::RestorePartition {
                partition: name.clone(),
                manifest: "/srv/a.json".into(),
                attach: Some((QualifiedName::new("s", "a\"b.c"), "FOR VALUES FROM ('1') TO ('2')".into())),
                statements: vec![format!("ALTER TABLE s.\"a\"\"b.c\" ATTACH PARTITION {name}")],
            },
            SetChange::ScheduleCreation {
                procedure: QualifiedName::new("pgwright_cron", "run"),
                tables: vec![QualifiedName::new("s", "a\"b.c")],
                schedule: None,
            },
        ];
        let changes = changes.into_iter().map(Action::Change);
        let parts = parts.into_iter().map(Action::Partition);
        changes.chain(parts).chain(sets.into_iter().map(Action::Set)).collect()
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
            (
                "CREATE STATISTICS s.\"st\"\"at\" (mcv) ON \"Größe\", x FROM s.\"a\"\"b.c\"",
                "DROP STATISTICS s.\"st\"\"at\"",
            ),
            (
                "ALTER TABLE ONLY s.\"a\"\"b.c\" ALTER COLUMN \"Größe\" SET STATISTICS 1000",
                "ALTER TABLE ONLY s.\"a\"\"b.c\" ALTER COLUMN \"Größe\" SET STATISTICS -1",
            ),
            ("CREATE INDEX i ON ONLY s.\"a\"\"b.c\" USING btree (\"Größe\")", "DROP INDEX s.i"),
            ("CREATE INDEX CONCURRENTLY \"p\"\"i\" ON \"P\".\"p\"\"1\" USING btree (\"Größe\")", ""),
            ("ALTER INDEX s.i ATTACH PARTITION \"P\".\"p\"\"i\"", ""),
            ("CREATE INDEX i ON s.\"a\"\"b.c\" USING btree (\"Größe\")", "DROP INDEX s.i"),
            (
                "DROP INDEX s.i; ALTER INDEX \"P\".x_undo RENAME TO \"X\"",
                "CREATE INDEX i ON ONLY s.\"a\"\"b.c\" USING btree (\"Größe\"); \
                 CREATE INDEX CONCURRENTLY \"p\"\"i\" ON \"P\".\"p\"\"1\" USING btree (\"Größe\"); \
                 ALTER INDEX s.i ATTACH PARTITION \"P\".\"p\"\"i\"",
            ),
            (
                "CREATE TABLE s.\"a\"\"b.c_2024\" (LIKE s.\"a\"\"b.c\" INCLUDING ALL EXCLUDING IDENTITY EXCLUDING STATISTICS) \
                 WITH (fillfactor = '90'); \
                 ALTER TABLE s.\"a\"\"b.c_2024\" OWNER TO \"O'Neil\"; \
                 ALTER TABLE s.\"a\"\"b.c_2024\" ADD CONSTRAINT pgwright_bound CHECK (\"Größe\" IS NOT NULL); \
                 WITH idle AS (SELECT ctid FROM ONLY s.d WHERE \"Größe\" IS NOT NULL AND pg_catalog.age(xmin) > \
                 (SELECT pg_catalog.age(nullif(pg_catalog.current_setting('pgwright.busy_since'), '')::pg_catalog.xid)) \
                 FOR UPDATE SKIP LOCKED), \
                 moved AS (DELETE FROM ONLY s.d USING idle WHERE s.d.ctid = idle.ctid RETURNING \"Größe\") \
                 INSERT INTO s.\"a\"\"b.c_2024\" (\"Größe\") SELECT \"Größe\" FROM moved; \
                 DO …; SELECT …; \
                 LOCK TABLE ONLY s.\"a\"\"b.c\" IN ACCESS EXCLUSIVE MODE; \
                 LOCK TABLE ONLY s.d IN ACCESS EXCLUSIVE MODE; \
                 WITH moved AS (DELETE FROM ONLY s.d WHERE \"Größe\" IS NOT NULL RETURNING \"Größe\") \
                 INSERT INTO s.\"a\"\"b.c_2024\" (\"Größe\") SELECT \"Größe\" FROM moved; \
                 ALTER TABLE s.\"a\"\"b.c\" ATTACH PARTITION s.\"a\"\"b.c_2024\" FOR VALUES FROM ('1') TO ('2'); \
                 ALTER TABLE s.\"a\"\"b.c_2024\" DROP CONSTRAINT pgwright_bound",
                "",
            ),
            (
                "ALTER TABLE s.\"a\"\"b.c\" DETACH PARTITION s.\"a\"\"b.c_2024\" CONCURRENTLY",
                "ALTER TABLE s.\"a\"\"b.c\" ATTACH PARTITION s.\"a\"\"b.c_2024\" FOR VALUES FROM ('1') TO ('2')",
            ),
            ("DROP TABLE s.\"a\"\"b.c_2024\"", ""),
            ("ALTER TABLE s.\"a\"\"b.c_2024\" SET TABLESPACE \"cold store\"", ""),
            ("COPY s.\"a\"\"b.c_2024\" TO STDOUT WITH (FORMAT csv, HEADER true) > /srv/a.csv.zst", ""),
            (
                "ALTER TABLE s.\"a\"\"b.c\" ATTACH PARTITION s.\"a\"\"b.c_2024\"",
                "ALTER TABLE s.\"a\"\"b.c\" DETACH PARTITION s.\"a\"\"b.c_2024\"",
            ),
            (
                "CREATE SCHEMA pgwright_cron; CREATE PROCEDURE pgwright_cron.run(…)",
                "DO $undo$ DECLARE v_left regprocedure; BEGIN FOR v_left IN SELECT oid FROM pg_catalog.pg_proc \
                 WHERE pronamespace = 'pgwright_cron'::pg_catalog.regnamespace AND proname ~ '^in_default_[0-9]+$' \
                 LOOP EXECUTE 'DROP FUNCTION ' || v_left || ' CASCADE'; END LOOP; DROP PROCEDURE pgwright_cron.run(timestamptz, integer, integer); \
                 DROP TABLE pgwright_cron.ahead, pgwright_cron.partition_set; DROP SCHEMA pgwright_cron; END $undo$",
            ),
        ];
        for ((sql, undo), (want_sql, want_undo)) in rendered.iter().zip(expected) {
            let sql = sql
                .replace(crate::partition_sets::moving::NOBODY_WAITS, "DO …")
                .replace(crate::partition_sets::moving::SHORT_LOCKS, "SELECT …");
            assert_eq!((sql.as_str(), undo.as_str()), (want_sql, want_undo));
        }
    }

    #[test]
    fn beside_a_large_default_the_function_is_false_only_where_it_is_locked_and_looked_at() {
        let mut action = one_of_each()
            .into_iter()
            .find(|a| matches!(a, Action::Set(SetChange::CreatePartition { .. })))
            .unwrap();
        if let Action::Set(SetChange::CreatePartition { unread_default, .. }) = &mut action {
            let name = QualifiedName::new("s", "d'\"e");
            *unread_default = Some(crate::partition_sets::UnreadDefault { name, oid: 7 });
        }
        let Action::Set(change) = &action else { panic!("{action:?}") };
        let before = preparation(change).unwrap();
        let sql = operation_of(&action).statements(&action);
        assert!(!before.iter().any(|s| s.contains("select false")));
        let at = |what: &str| {
            sql.iter().position(|s| s.contains(what)).unwrap_or_else(|| panic!("{what}: {sql:#?}"))
        };
        let order = [
            "enable_seqscan",
            "row_security",
            "LOCK TABLE ONLY s.d IN",
            "BEGIN IF EXISTS (SELECT FROM ONLY s.\"d''\"\"e\" WHERE",
            "select false",
            "ATTACH PARTITION",
            "DROP CONSTRAINT IF EXISTS pgwright_elsewhere",
            "DROP FUNCTION IF EXISTS pgwright.in_default_7()",
        ];
        let order = order.map(at);
        assert!(order.is_sorted(), "{order:?}");
        let shown = operation_of(&action).statement(&action);
        assert_eq!(shown, before.into_iter().chain(sql).collect::<Vec<_>>().join("; "));
    }

    #[test]
    fn what_is_shown_is_what_is_sent() {
        for action in one_of_each() {
            let operation = operation_of(&action);
            assert_eq!(operation.statements(&action).join("; "), operation.statement(&action));
        }
    }

    #[test]
    fn the_mark_stands_after_the_first_keyword() {
        assert_eq!(marked("analyze", "ANALYZE public.t"), "ANALYZE /* pgwright:analyze */ public.t");
    }
}
