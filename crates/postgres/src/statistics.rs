//! What has been counted and sampled: column statistics and statement counters.

mod column_statistics;
pub mod counters;
pub mod differences;
pub(crate) mod extended_statistics;
pub mod space;
pub mod statements;

pub use column_statistics::ColumnStatisticsRow;
pub use counters::{
    DatabaseNameRow, RoleNameRow, StatementCountersRow, StatementTextRow, StatementsResetRow,
};
pub use extended_statistics::{ExtendedStatisticsDataRow, ExtendedStatisticsExpressionRow};
pub use space::{HeapSpaceRow, IndexSpaceRow};
pub use statements::{SearchPathRow, StatementRow, StatementsInfoRow};
