//! What does one statement of a run change? A [`Change`] that was recommended, or one part of a change
//! to the index of a partitioned table, which takes a statement for each partition.
//!
//! Source: PostgreSQL manual, "Partitioning" (Partition Maintenance) and "ALTER INDEX … ATTACH
//! PARTITION". That is stored in the journal as JSON with the tag `change`, which is the id of the
//! operation.

use model::{Change, IndexDefinition, KeyTarget, LockLevel, QualifiedName, quote_identifier};
use partitioning::planning::NewPartition;
use serde::{Deserialize, Serialize};

use crate::partition_sets::UnreadDefault;
use serde_json::Value;

/// What one statement changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Action {
    /// A change as it was recommended.
    Change(Change),
    /// A part of a change to the index of a partitioned table.
    Partition(PartitionChange),
    /// A partition that a set gains or loses.
    Set(SetChange),
}

/// One partition that a set gains or loses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "change")]
#[allow(clippy::large_enum_variant)] // Few are held at a time, and most are creations.
pub enum SetChange {
    /// Make a partition apart and attach it, in one transaction.
    CreatePartition {
        /// The partitioned table.
        table: QualifiedName,
        /// The partition.
        partition: NewPartition,
        /// DEFAULT, when rows of it are moved, and the quoted columns that are written.
        from_default: Option<(QualifiedName, Vec<String>)>,
        /// DEFAULT, when it is so large that it must not be read while it is locked.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        unread_default: Option<UnreadDefault>,
        /// Storage parameters.
        storage: Vec<(String, String)>,
        /// A tablespace other than the parent's.
        tablespace: Option<String>,
        /// Its owner, when that is not the role that makes it.
        owner: Option<String>,
    },
    /// Make a partition a table of its own.
    DetachPartition {
        /// The partitioned table.
        table: QualifiedName,
        /// The partition.
        partition: QualifiedName,
        /// Its bound, to attach it again.
        bound: String,
        /// Without stopping readers; not possible beside a DEFAULT partition, nor before 14.
        concurrently: bool,
    },
    /// Drop a table that was detached.
    DropPartition {
        /// The table.
        partition: QualifiedName,
        /// Where it is archived before; nothing is dropped whose archive was not read back and compared.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        archive: Option<ArchivePlace>,
    },
    /// Write a table that was detached to a file, read the file back and compare.
    ArchivePartition {
        /// The table.
        partition: QualifiedName,
        /// Where to, and what it was a partition of.
        archive: ArchivePlace,
    },
    /// Let the server itself make partitions ahead.
    ScheduleCreation {
        /// The procedure that makes them.
        procedure: QualifiedName,
        /// The partitioned tables.
        tables: Vec<QualifiedName>,
        /// When pg_cron calls it; without it, nobody does.
        schedule: Option<String>,
    },
    /// Make a table from its archive, and a partition of it again.
    RestorePartition {
        /// The table.
        partition: QualifiedName,
        /// The manifest of its archive.
        manifest: String,
        /// The partitioned table and the bound, when it is attached.
        attach: Option<(QualifiedName, String)>,
        /// What is run, for people: the rows come from the file.
        statements: Vec<String>,
    },
    /// Put a partition into another tablespace.
    MovePartition {
        /// The partition.
        partition: QualifiedName,
        /// Where to.
        tablespace: String,
    },
}

/// Where a partition is archived, and what it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchivePlace {
    /// The folder.
    pub folder: String,
    /// The name of its files without what follows the last dot.
    pub stem: String,
    /// The partitioned table.
    pub table: QualifiedName,
    /// Its bound, as SQL.
    pub bound: String,
    /// Its OID, which tells it from another table of its name.
    pub oid: u32,
}

/// The index of a partitioned table as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreeRoot {
    /// The index of the partitioned table.
    pub index: QualifiedName,
    /// The partitioned table.
    pub table: QualifiedName,
}

/// The index of one table of a partition tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreeIndex {
    /// Its name.
    pub name: QualifiedName,
    /// Its table.
    pub table: QualifiedName,
    /// What it holds.
    pub shape: IndexShape,
}

/// An index of a tree of indexes with its place in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreePart {
    /// The index.
    pub index: TreeIndex,
    /// The index that it is attached to; the root has none.
    pub parent: Option<QualifiedName>,
    /// Whether its table is partitioned.
    pub is_partitioned: bool,
}

/// What an index holds, whatever its name and table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexShape {
    /// Whether it enforces uniqueness.
    pub unique: bool,
    /// The access method.
    pub access_method: String,
    /// How many of the columns are keys.
    pub key_count: usize,
    /// The columns, quoted, keys first; an expression has none.
    pub columns: Vec<Option<String>>,
    /// Whether it has a predicate.
    pub partial: bool,
    /// The definition from `USING` on.
    pub text: String,
}

/// One part of a change to the index of a partitioned table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "change")]
pub enum PartitionChange {
    /// `CREATE INDEX … ON ONLY`: the index of a partitioned table without those of its partitions. It
    /// is invalid until each of them has been attached.
    CreateParentIndex {
        /// The whole.
        root: TreeRoot,
        /// The index, which is the root itself or that of a partition that is partitioned in turn.
        index: TreeIndex,
    },
    /// `CREATE INDEX CONCURRENTLY` on one partition.
    CreatePartitionIndex {
        /// The whole.
        root: TreeRoot,
        /// The index.
        index: TreeIndex,
    },
    /// `ALTER INDEX … ATTACH PARTITION`.
    AttachIndex {
        /// The whole.
        root: TreeRoot,
        /// The index to attach to.
        parent: QualifiedName,
        /// The index to attach.
        index: QualifiedName,
        /// Its table.
        table: QualifiedName,
        /// The definition of an index that was there before and is used rather than built again.
        adopted: Option<String>,
        /// Attached already: done once more, because PostgreSQL looks only then whether the parent
        /// has become valid.
        again: bool,
    },
    /// `CREATE INDEX` on a partitioned table whose partitions have the index already. PostgreSQL
    /// attaches those and passes over foreign tables, with which an index made `ON ONLY` could never
    /// become valid.
    CreateOverPartitions {
        /// The whole.
        root: TreeRoot,
        /// The index.
        index: TreeIndex,
        /// Indexes that were there before and will be part of it.
        adopted: Vec<QualifiedName>,
    },
    /// `DROP INDEX` of the index of a partitioned table, which takes those of the partitions along.
    DropPartitionedIndex {
        /// The whole.
        root: TreeRoot,
        /// `pg_get_indexdef()` of it.
        definition: String,
        /// The indexes that go with it, the parents before the children.
        parts: Vec<TreePart>,
        /// Names that are given to indexes in the same transaction.
        renames: Vec<Renaming>,
    },
}

/// An index that gets another name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Renaming {
    /// Its name before.
    pub from: QualifiedName,
    /// Its name after, within the same schema.
    pub to: String,
}

impl Action {
    /// Reads what the journal holds.
    pub(crate) fn from_json(value: Value) -> Result<Self, serde_json::Error> {
        match value.get("change").and_then(Value::as_str) {
            Some(tag) if PartitionChange::TAGS.contains(&tag) => {
                serde_json::from_value(value).map(Self::Partition)
            }
            Some(tag) if SetChange::TAGS.contains(&tag) => serde_json::from_value(value).map(Self::Set),
            _ => serde_json::from_value(value).map(Self::Change),
        }
    }

    /// The object that it is about.
    pub fn object(&self) -> QualifiedName {
        use PartitionChange as P;
        match self {
            Self::Change(change) => change.object(),
            Self::Partition(
                P::CreateParentIndex { index, .. }
                | P::CreatePartitionIndex { index, .. }
                | P::CreateOverPartitions { index, .. },
            ) => index.name.clone(),
            Self::Partition(P::AttachIndex { index, .. }) => index.clone(),
            Self::Partition(P::DropPartitionedIndex { root, .. }) => root.index.clone(),
            Self::Set(change) => change.partition().clone(),
        }
    }

    /// The table whose readers and writers could notice.
    pub fn table(&self) -> &QualifiedName {
        use PartitionChange as P;
        match self {
            Self::Change(change) => change.table(),
            Self::Partition(
                P::CreateParentIndex { index, .. }
                | P::CreatePartitionIndex { index, .. }
                | P::CreateOverPartitions { index, .. },
            ) => &index.table,
            Self::Partition(P::AttachIndex { table, .. }) => table,
            Self::Partition(P::DropPartitionedIndex { root, .. }) => &root.table,
            Self::Set(change) => change.table(),
        }
    }

    /// The index of a partitioned table that it is a part of.
    pub fn root(&self) -> Option<&TreeRoot> {
        use PartitionChange as P;
        match self {
            Self::Change(_) | Self::Set(_) => None,
            Self::Partition(
                P::CreateParentIndex { root, .. }
                | P::CreatePartitionIndex { root, .. }
                | P::AttachIndex { root, .. }
                | P::CreateOverPartitions { root, .. }
                | P::DropPartitionedIndex { root, .. },
            ) => Some(root),
        }
    }

    /// The strongest lock that it takes.
    pub fn lock_level(&self) -> LockLevel {
        use PartitionChange as P;
        match self {
            Self::Change(change) => change.lock_level(),
            Self::Partition(P::CreatePartitionIndex { .. }) => LockLevel::ShareUpdateExclusive,
            Self::Partition(P::CreateParentIndex { .. } | P::CreateOverPartitions { .. }) => LockLevel::Share,
            Self::Partition(P::AttachIndex { .. } | P::DropPartitionedIndex { .. }) => {
                LockLevel::AccessExclusive
            }
            Self::Set(change) => change.lock_level(),
        }
    }

    /// On what that lock is taken and who waits, when it is not the usual lock on the table itself.
    pub fn lock_detail(&self) -> Option<String> {
        use PartitionChange as P;
        let part = match self {
            Self::Change(_) | Self::Partition(P::CreatePartitionIndex { .. }) => return None,
            Self::Partition(part) => part,
            Self::Set(change) => return change.lock_detail(),
        };
        Some(match part {
            P::CreateParentIndex { index, .. } => {
                format!("on {} for an instant; whoever writes through it waits", index.table)
            }
            P::AttachIndex { index, table, .. } => {
                format!("on {index} for an instant; whoever reads or writes {table} waits")
            }
            P::CreateOverPartitions { index, .. } => {
                format!("on {} and its partitions for an instant; whoever writes waits", index.table)
            }
            P::DropPartitionedIndex { root, .. } => {
                format!("on {} and its partitions for an instant; whoever reads or writes waits", root.table)
            }
            P::CreatePartitionIndex { .. } => String::new(),
        })
    }
}

impl From<Change> for Action {
    fn from(change: Change) -> Self {
        Self::Change(change)
    }
}

impl PartitionChange {
    /// The tags under which the variants are stored.
    const TAGS: [&str; 5] = [
        "create_parent_index",
        "create_partition_index",
        "attach_index",
        "create_over_partitions",
        "drop_partitioned_index",
    ];
}

impl SetChange {
    /// The tags under which the variants are stored.
    const TAGS: [&str; 7] = [
        "create_partition",
        "detach_partition",
        "drop_partition",
        "move_partition",
        "archive_partition",
        "restore_partition",
        "schedule_creation",
    ];

    /// The partition that it is about.
    pub fn partition(&self) -> &QualifiedName {
        match self {
            Self::CreatePartition { partition, .. } => &partition.name,
            Self::DetachPartition { partition, .. }
            | Self::DropPartition { partition, .. }
            | Self::ArchivePartition { partition, .. }
            | Self::RestorePartition { partition, .. }
            | Self::MovePartition { partition, .. } => partition,
            Self::ScheduleCreation { procedure, .. } => procedure,
        }
    }

    fn table(&self) -> &QualifiedName {
        match self {
            Self::CreatePartition { table, .. } | Self::DetachPartition { table, .. } => table,
            Self::RestorePartition { attach: Some((table, _)), .. } => table,
            Self::DropPartition { partition, .. }
            | Self::ArchivePartition { partition, .. }
            | Self::RestorePartition { partition, .. }
            | Self::MovePartition { partition, .. } => partition,
            Self::ScheduleCreation { procedure, tables, .. } => tables.first().unwrap_or(procedure),
        }
    }

    fn lock_level(&self) -> LockLevel {
        match self {
            Self::CreatePartition { from_default: None, unread_default: None, .. } => {
                LockLevel::ShareUpdateExclusive
            }
            Self::CreatePartition { .. } => LockLevel::AccessExclusive,
            Self::DetachPartition { concurrently: true, .. } | Self::RestorePartition { .. } => {
                LockLevel::ShareUpdateExclusive
            }
            Self::ArchivePartition { .. } => LockLevel::Share,
            Self::ScheduleCreation { .. } => LockLevel::AccessShare,
            Self::DetachPartition { .. } | Self::DropPartition { .. } | Self::MovePartition { .. } => {
                LockLevel::AccessExclusive
            }
        }
    }

    fn lock_detail(&self) -> Option<String> {
        match self {
            Self::CreatePartition { table, from_default, unread_default: Some(default), .. } => Some(format!(
                "on {} at the end, for as long as an index on the key takes to show that no row of it is left; {} is \
                 read before that, while others read and write",
                match from_default {
                    Some(_) => format!("{table} and {}", default.name),
                    None => default.name.to_string(),
                },
                default.name
            )),
            Self::CreatePartition { table, from_default: None, .. } => Some(format!(
                "on {table} for an instant; reads and writes go on, but wait for DEFAULT where there is one"
            )),
            Self::CreatePartition { table, from_default: Some((default, _)), .. } => Some(format!(
                "on {table} and {default} at the end, while {default} is read once; whoever reads or writes waits"
            )),
            Self::DetachPartition { table, concurrently: false, .. } => {
                Some(format!("on {table} for an instant; whoever reads or writes it waits"))
            }
            Self::DetachPartition { .. } => None,
            Self::ArchivePartition { partition, .. } => Some(format!(
                "on {partition}, which belongs to no table any more; whoever writes to it waits until it is dropped"
            )),
            Self::ScheduleCreation { .. } => Some("on nothing that is there already".to_owned()),
            Self::RestorePartition { attach, .. } => attach.as_ref().map(|(table, _)| {
                format!("on {table} for an instant; reads and writes go on, but wait for DEFAULT where there is one")
            }),
            Self::DropPartition { partition, .. } => {
                Some(format!("on {partition}, which belongs to no table any more"))
            }
            Self::MovePartition { partition, .. } => Some(format!("on {partition} while it is copied")),
        }
    }
}

impl TreeIndex {
    /// The `CREATE INDEX` statement; `head` stands before the name and `only` after `ON`.
    pub(crate) fn create_sql(&self, concurrently: bool, only: bool) -> String {
        format!(
            "CREATE {}INDEX {}{} ON {}{} {}",
            if self.shape.unique { "UNIQUE " } else { "" },
            if concurrently { "CONCURRENTLY " } else { "" },
            quote_identifier(&self.name.name),
            if only { "ONLY " } else { "" },
            self.table,
            self.shape.text
        )
    }
}

impl IndexShape {
    /// What a definition asks for.
    pub fn of(definition: &IndexDefinition) -> Self {
        let sql = definition.create_sql(false);
        let unique = if definition.unique { "UNIQUE " } else { "" };
        let head =
            format!("CREATE {unique}INDEX {} ON {} ", quote_identifier(&definition.name), definition.table);
        let keys = definition.keys.iter().map(|key| match &key.target {
            KeyTarget::Column(name) => Some(quote_identifier(name)),
            KeyTarget::Expression(_) => None,
        });
        Self {
            unique: definition.unique,
            access_method: definition.access_method.clone(),
            key_count: definition.keys.len(),
            columns: keys.chain(definition.include.iter().map(|name| Some(quote_identifier(name)))).collect(),
            partial: definition.predicate.is_some(),
            text: sql.strip_prefix(&head).unwrap_or(&sql).to_owned(),
        }
    }

    /// The unquoted-as-printed names of its plain columns.
    pub(crate) fn plain_columns(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().flatten().map(String::as_str)
    }

    /// Whether the text is the one that PostgreSQL prints: no expression and no predicate, which it
    /// puts into words of its own.
    pub(crate) fn is_verbatim(&self) -> bool {
        !self.partial && self.columns.iter().all(Option::is_some)
    }
}

#[cfg(test)]
mod tests {
    use model::IndexKey;

    use super::*;

    fn tree_index() -> TreeIndex {
        let table = QualifiedName::new("My Schema", "a\"b.c");
        let definition = IndexDefinition {
            include: vec!["x".into()],
            predicate: Some("y > 1".into()),
            ..IndexDefinition::btree(table.clone(), "i", vec![IndexKey::column("Größe").descending()])
        };
        TreeIndex { name: definition.qualified_name(), table, shape: IndexShape::of(&definition) }
    }

    #[test]
    fn the_shape_of_a_definition_is_rendered_under_any_name_and_table() {
        let index = tree_index();
        assert_eq!(index.shape.text, "USING btree (\"Größe\" DESC) INCLUDE (x) WHERE y > 1");
        assert_eq!(index.shape.columns, [Some("\"Größe\"".to_owned()), Some("x".to_owned())]);
        let other = TreeIndex { name: QualifiedName::new("s", "select"), ..index };
        assert_eq!(
            other.create_sql(false, true),
            "CREATE INDEX \"select\" ON ONLY \"My Schema\".\"a\"\"b.c\" USING btree (\"Größe\" DESC) INCLUDE (x) \
             WHERE y > 1"
        );
        assert!(other.create_sql(true, false).starts_with("CREATE INDEX CONCURRENTLY \"select\" ON \"My "));
    }

    #[test]
    fn what_the_journal_holds_is_read_as_it_was_written() {
        let index = tree_index();
        let root = TreeRoot { index: index.name.clone(), table: index.table.clone() };
        let parts = [
            PartitionChange::CreateParentIndex { root: root.clone(), index: index.clone() },
            PartitionChange::CreatePartitionIndex { root: root.clone(), index: index.clone() },
            PartitionChange::AttachIndex {
                root: root.clone(),
                parent: root.index.clone(),
                index: index.name.clone(),
                table: index.table.clone(),
                adopted: Some("CREATE INDEX".into()),
                again: false,
            },
            PartitionChange::CreateOverPartitions { root: root.clone(), index, adopted: Vec::new() },
            PartitionChange::DropPartitionedIndex {
                root: root.clone(),
                definition: "CREATE INDEX".into(),
                parts: Vec::new(),
                renames: vec![Renaming { from: root.index.clone(), to: "b".into() }],
            },
        ];
        for (part, tag) in parts.into_iter().zip(PartitionChange::TAGS) {
            let action = Action::Partition(part);
            let json = serde_json::to_value(&action).unwrap();
            assert_eq!(json["change"], tag);
            assert_eq!(Action::from_json(json).unwrap(), action);
            assert_eq!(action.root(), Some(&root));
        }
        let change = Action::Change(Change::Analyze { table: root.table });
        assert_eq!(Action::from_json(serde_json::to_value(&change).unwrap()).unwrap(), change);
        assert!(Action::from_json(serde_json::json!({ "change": "of_the_future" })).is_err());
    }
}
