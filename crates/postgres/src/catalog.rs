//! What do the system catalogs say? One file per part of the schema, each row a struct.
//!
//! Source: PostgreSQL manual, "System Catalogs" (52) and "System Views" (53).

mod access;
mod activity;
mod functions;
mod indexes;
mod inspection;
mod partitions;
mod relations;
mod schema;
mod server;
mod session_looks;

pub use access::AccessRow;
pub use activity::{
    BlockerRow, CreateIndexProgressRow, CurrentSchemasRow, HadMemoryRow, OldTransactionRow, OwnDatabaseRow,
    SessionSamplesRow, SessionWaitRow, blockers, create_index_progress, current_schemas, old_transactions,
    session_wait,
};
pub use functions::{
    FunctionFactsRow, FunctionVolatilityRow, HiddenExpressionRow, function_facts, hidden_expressions,
    volatile_functions,
};
pub use indexes::IndexRow;
pub use inspection::{
    CatalogueRow, IndexFactsRow, LockWaitRow, TableColumnRow, TableConstraintRow, TableFactsRow,
    TableIndexRow, TableInspection, catalogue, index_facts, inspect_table, lock_waits,
};
pub use partitions::{
    ClockRow, PartitionDetailsRow, PartitionTableRow, PartmanSet, PgsliceSet, PgsliceSetRow, clock,
    partition_details, partition_tables, partman_sets, pgslice_sets,
};
pub use relations::{ColumnRow, ConstraintRow, ExtendedStatisticsRow, RelationRow};
pub(crate) use schema::schema_facts;
pub use schema::{
    CommentedRelationRow, DatabaseAgeRow, DefinerFunctionRow, HbaAccessRow, HbaRuleRow, PolicyRow,
    RelationAgeRow, SequenceRow,
};
pub use server::{AvailableExtensionRow, ExtensionRow, ServerRow, SettingRow};
pub use session_looks::{SessionLook, SessionLooks, SessionSample, SessionState};

use crate::catalog_query::{CatalogQuery, CatalogRow};
use crate::statistics::{
    ColumnStatisticsRow, DatabaseNameRow, ExtendedStatisticsDataRow, ExtendedStatisticsExpressionRow,
    HeapSpaceRow, IndexSpaceRow, RoleNameRow, SearchPathRow, StatementCountersRow, StatementRow,
    StatementTextRow, StatementsInfoRow, StatementsResetRow,
};

/// Every declared query. The tests prepare each of them on each version.
pub const CATALOG_QUERIES: &[CatalogQuery] = &[
    AccessRow::QUERY,
    AvailableExtensionRow::QUERY,
    BlockerRow::QUERY,
    ColumnRow::QUERY,
    ColumnStatisticsRow::QUERY,
    ConstraintRow::QUERY,
    CreateIndexProgressRow::QUERY,
    DatabaseNameRow::QUERY,
    ExtendedStatisticsDataRow::QUERY,
    ExtendedStatisticsExpressionRow::QUERY,
    ExtendedStatisticsRow::QUERY,
    ExtensionRow::QUERY,
    FunctionFactsRow::QUERY,
    FunctionVolatilityRow::QUERY,
    HiddenExpressionRow::QUERY,
    IndexRow::QUERY,
    OldTransactionRow::QUERY,
    ClockRow::QUERY,
    PartitionDetailsRow::QUERY,
    PartitionTableRow::QUERY,
    PgsliceSetRow::QUERY,
    RelationRow::QUERY,
    ServerRow::QUERY,
    SessionSamplesRow::QUERY,
    OwnDatabaseRow::QUERY,
    HadMemoryRow::QUERY,
    SessionWaitRow::QUERY,
    CurrentSchemasRow::QUERY,
    SettingRow::QUERY,
    StatementRow::QUERY,
    RoleNameRow::QUERY,
    StatementCountersRow::QUERY,
    StatementsResetRow::QUERY,
    StatementTextRow::QUERY,
    StatementsInfoRow::QUERY,
    SearchPathRow::QUERY,
    CommentedRelationRow::QUERY,
    DatabaseAgeRow::QUERY,
    DefinerFunctionRow::QUERY,
    HbaAccessRow::QUERY,
    HbaRuleRow::QUERY,
    PolicyRow::QUERY,
    RelationAgeRow::QUERY,
    SequenceRow::QUERY,
    HeapSpaceRow::QUERY,
    IndexSpaceRow::QUERY,
    IndexFactsRow::QUERY,
    CatalogueRow::QUERY,
    LockWaitRow::QUERY,
    TableFactsRow::QUERY,
    TableColumnRow::QUERY,
    TableIndexRow::QUERY,
    TableConstraintRow::QUERY,
];
