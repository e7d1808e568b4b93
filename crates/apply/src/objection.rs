//! Why must a change not be made? Every reason that preflight knows, with what can be done about it.
//!
//! Source: PostgreSQL manual, "CREATE INDEX", section "Building Indexes Concurrently", and
//! "DROP INDEX".

use model::{QualifiedName, quote_identifier};
use serde::Serialize;

/// A reason not to make a change.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "objection")]
#[allow(missing_docs)] // The fields are named after what the message says of them.
pub enum Objection {
    /// The server replays WAL and takes no writes.
    Standby,
    /// Transactions are read-only by setting.
    ReadOnly,
    /// Session state does not survive between statements.
    TransactionPooler,
    /// The schema `pgwright`, which holds the journal, cannot be created or written.
    NoJournal { role: String, reason: String },
    /// The table is gone.
    TableMissing { table: QualifiedName },
    /// The name belongs to something that cannot be indexed or analyzed.
    WrongKind { relation: QualifiedName, kind: String },
    /// The table has become partitioned since the plan was made.
    Partitioned { table: QualifiedName, reason: String },
    /// A unique index is wanted where some partitions are foreign tables.
    ForeignPartitions { index: QualifiedName, partitions: Vec<QualifiedName> },
    /// A unique index is wanted that does not hold the whole partition key.
    UniqueWithoutKey {
        index: QualifiedName,
        table: QualifiedName,
        columns: Vec<String>,
        missing: Vec<String>,
    },
    /// Columns are gone or were renamed.
    ColumnsMissing { table: QualifiedName, columns: Vec<String> },
    /// Another relation has the name.
    NameTaken { name: QualifiedName, kind: String },
    /// Two steps of one plan want the same name.
    NameTwice { name: QualifiedName },
    /// The name is longer than PostgreSQL keeps and would be cut.
    NameTooLong { name: String, bytes: usize },
    /// An index of the same shape is there already.
    EqualIndex { wanted: QualifiedName, existing: QualifiedName },
    /// Someone else is building or dropping the index right now.
    Busy { index: QualifiedName, pid: i32 },
    /// The index to drop is gone.
    IndexMissing { index: QualifiedName },
    /// The index to drop is not what the recommendation was made for.
    IndexChanged { index: QualifiedName, expected: String, found: String },
    /// The index belongs to a constraint.
    ConstraintIndex { index: QualifiedName, constraint: String },
    /// The index identifies rows for logical replication.
    ReplicaIdentity { index: QualifiedName },
    /// The index is one part of a partitioned index.
    AttachedIndex { index: QualifiedName, parent: QualifiedName },
    /// The role does not own the table.
    NotOwner { table: QualifiedName, owner: String, role: String },
    /// The role may not create in the schema.
    NoCreate { schema: String, role: String },
    /// A statistics object has the name.
    StatisticsTaken { name: QualifiedName, found: String, equal: bool },
    /// The statistics object is gone.
    StatisticsMissing { name: QualifiedName },
    /// The statistics object is not what pgwright made.
    StatisticsChanged { name: QualifiedName, expected: String, found: String },
    /// A parameter is not what it was when the advice was given.
    ParameterChanged { table: QualifiedName, expected: String, found: String },
    /// PostgreSQL itself refused the definition on an empty copy of the table.
    Refused { name: QualifiedName, sqlstate: String, message: String },
}

impl Objection {
    /// One factual lower-case line without a full stop.
    pub fn message(&self) -> String {
        use Objection as O;
        match self {
            O::Standby => "server is a standby and takes no changes".into(),
            O::ReadOnly => "transactions are read-only on this server".into(),
            O::TransactionPooler => "connection goes through a transaction pooler".into(),
            O::NoJournal { .. } => "journal cannot be written".into(),
            O::TableMissing { table } => format!("table {table} does not exist"),
            O::WrongKind { relation, kind } => format!("{relation} is {}", with_article(kind)),
            O::Partitioned { table, .. } => format!("table {table} is partitioned"),
            O::ForeignPartitions { index, .. } => {
                format!("index {index} cannot be unique over foreign partitions")
            }
            O::UniqueWithoutKey { index, table, .. } => {
                format!("index {index} cannot be unique over the partitions of {table}")
            }
            O::ColumnsMissing { table, columns } => {
                format!("table {table} has no column {}", list(columns))
            }
            O::NameTaken { name, kind } => format!("name {name} is taken by {}", with_article(kind)),
            O::NameTwice { name } => format!("name {name} is used twice in this plan"),
            O::NameTooLong { name, .. } => format!("name {} is too long", quote_identifier(name)),
            O::EqualIndex { existing, .. } => format!("index {existing} is equal to the new one"),
            O::Busy { index, .. } => format!("index {index} is being built or dropped by another session"),
            O::IndexMissing { index } => format!("index {index} does not exist"),
            O::IndexChanged { index, .. } => format!("index {index} is not the one that was advised on"),
            O::ConstraintIndex { index, .. } => format!("index {index} belongs to a constraint"),
            O::ReplicaIdentity { index } => format!("index {index} is the replica identity of its table"),
            O::AttachedIndex { index, .. } => format!("index {index} is part of a partitioned index"),
            O::NotOwner { table, role, .. } => {
                format!("role {} does not own table {table}", quote_identifier(role))
            }
            O::NoCreate { schema, role } => format!(
                "role {} may not create in schema {}",
                quote_identifier(role),
                quote_identifier(schema)
            ),
            O::StatisticsTaken { name, equal: true, .. } => format!("statistics {name} are there already"),
            O::StatisticsTaken { name, .. } => format!("name {name} is taken by other statistics"),
            O::StatisticsMissing { name } => format!("statistics {name} do not exist"),
            O::StatisticsChanged { name, .. } => format!("statistics {name} are not what pgwright made"),
            O::ParameterChanged { table, .. } => {
                format!("a parameter of {table} is not what it was when the advice was given")
            }
            O::Refused { name, .. } => format!("PostgreSQL refuses the definition of {name}"),
        }
    }

    /// What was found, in a sentence.
    pub fn detail(&self) -> Option<String> {
        use Objection as O;
        Some(match self {
            O::Standby => "pg_is_in_recovery() is true.".into(),
            O::ReadOnly => "default_transaction_read_only is on for this session.".into(),
            O::TransactionPooler => "Session settings, advisory locks and the wait for old transactions of \
                CREATE INDEX CONCURRENTLY need one server connection for the whole run."
                .into(),
            O::NoJournal { reason, .. } => reason.clone(),
            O::TableMissing { .. } => {
                "It may have been dropped or renamed since the advice was given.".into()
            }
            O::WrongKind { kind, .. } => format!("This is not possible with {}.", with_article(kind)),
            O::Partitioned { reason, .. } => reason.clone(),
            O::ForeignPartitions { partitions, .. } => {
                let names: Vec<String> = partitions.iter().map(ToString::to_string).collect();
                format!("These partitions are foreign tables, which have no indexes: {}.", names.join(", "))
            }
            O::UniqueWithoutKey { missing, .. } => format!(
                "A unique index is kept partition by partition, so it has to hold the whole partition key; it lacks {}.",
                missing.join(", ")
            ),
            O::ColumnsMissing { .. } => "The table may have been changed since the advice was given.".into(),
            O::NameTaken { .. } => "Indexes, tables, views and sequences of a schema share one space of \
                names."
                .into(),
            O::NameTwice { .. } => "Each step needs a name of its own.".into(),
            O::NameTooLong { bytes, .. } => {
                format!("It has {bytes} bytes; PostgreSQL keeps 63 and would cut the rest.")
            }
            O::EqualIndex { wanted, existing } => {
                format!("{wanted} would have the same access method, keys and predicate as {existing}.")
            }
            O::Busy { pid, .. } => format!("The session has process ID {pid}."),
            O::IndexMissing { .. } => "It may have been dropped since the advice was given.".into(),
            O::StatisticsTaken { found, .. } => format!("They are \"{found}\"."),
            O::StatisticsMissing { .. } => "They may have been dropped since the advice was given.".into(),
            O::IndexChanged { expected, found, .. }
            | O::StatisticsChanged { expected, found, .. }
            | O::ParameterChanged { expected, found, .. } => {
                format!("It was \"{expected}\" and is now \"{found}\".")
            }
            O::ConstraintIndex { constraint, .. } => {
                format!("Constraint {} needs it.", quote_identifier(constraint))
            }
            O::ReplicaIdentity { .. } => {
                "Without it UPDATE and DELETE on a published table would fail.".into()
            }
            O::AttachedIndex { parent, .. } => format!("It belongs to {parent}."),
            O::NotOwner { owner, .. } => format!("The owner is {}.", quote_identifier(owner)),
            O::NoCreate { .. } => "An index is created in the schema of its table, which needs the \
                privilege CREATE on that schema."
                .into(),
            O::Refused { sqlstate, message, .. } => {
                format!("On an empty copy of the table the server answered: {message} ({sqlstate}).")
            }
        })
    }

    /// What to do about it, in a sentence.
    pub fn hint(&self) -> Option<String> {
        use Objection as O;
        Some(match self {
            O::Standby => "Connect to the primary; its changes reach this server by replication.".into(),
            O::ReadOnly => "Connect with a role whose default_transaction_read_only is off.".into(),
            O::TransactionPooler => "Connect to the server itself, past the pooler.".into(),
            O::NoJournal { role, .. } => format!(
                "Grant it with: GRANT CREATE ON DATABASE … TO {}; or let the owner of schema pgwright apply.",
                quote_identifier(role)
            ),
            O::TableMissing { .. }
            | O::ColumnsMissing { .. }
            | O::IndexMissing { .. }
            | O::StatisticsMissing { .. }
            | O::StatisticsChanged { .. }
            | O::ParameterChanged { .. }
            | O::IndexChanged { .. } => "Run \"pgwright advise\" again.".into(),
            O::UniqueWithoutKey { columns, missing, .. } => format!(
                "Make it on ({}), which allows equal values in different partitions; keep the values in a table of their \
                 own that is not partitioned, with a unique index, and write both in one transaction; or make the index \
                 without UNIQUE where a sequence or random UUIDs keep them apart.",
                columns.iter().chain(missing).map(String::as_str).collect::<Vec<_>>().join(", ")
            ),
            O::NameTaken { name, .. } => {
                format!("Rename the other relation, or advise again so that {name} gets another name.")
            }
            O::EqualIndex { .. } => "Nothing needs to be done.".into(),
            O::StatisticsTaken { equal: true, name, .. } => {
                format!("Nothing needs to be done; ANALYZE fills {name} when it runs.")
            }
            O::StatisticsTaken { .. } => "Rename the other statistics with ALTER STATISTICS.".into(),
            O::Busy { .. } => "Wait until it has finished, then try again.".into(),
            O::NotOwner { owner, role, .. } => format!(
                "Connect as {0}, or run: GRANT {0} TO {1};",
                quote_identifier(owner),
                quote_identifier(role)
            ),
            O::NoCreate { schema, role } => format!(
                "Run: GRANT CREATE ON SCHEMA {} TO {};",
                quote_identifier(schema),
                quote_identifier(role)
            ),
            O::ConstraintIndex { .. } => "Drop the constraint if it is not needed.".into(),
            O::ReplicaIdentity { index } => {
                format!("Choose another replica identity with ALTER TABLE before dropping {index}.")
            }
            O::AttachedIndex { parent, .. } => format!("Drop {parent} as a whole."),
            O::WrongKind { .. }
            | O::ForeignPartitions { .. }
            | O::Partitioned { .. }
            | O::NameTwice { .. }
            | O::NameTooLong { .. }
            | O::Refused { .. } => return None,
        })
    }
}

fn with_article(kind: &str) -> String {
    let article = if kind.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
    format!("{article} {kind}")
}

fn list(columns: &[String]) -> String {
    columns.iter().map(|c| quote_identifier(c)).collect::<Vec<_>>().join(", ")
}
