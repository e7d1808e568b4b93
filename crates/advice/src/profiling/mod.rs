//! Which statements cost the most, what happened between two readings, and what became worse?
//!
//! Source: PostgreSQL manual, "pg_stat_statements". Pure: readings in, figures out.
//!
//! - [`rank`] orders the statements of one reading, or of an interval.
//! - [`Delta::between`] subtracts two readings, and says what resets and evictions took away.
//! - [`compare`] sets statements against a baseline and tells worse from noise.

mod compare;
mod delta;
mod figures;
mod rank;

pub use compare::{
    CompareThresholds, Comparison, Difference, Metric, StatementComparison, StatementProfile, Verdict,
    compare,
};
pub use delta::{Delta, Gap};
pub use figures::{StatementFigures, is_own};
pub use rank::{RankedStatement, Sort, rank, rank_figures};
