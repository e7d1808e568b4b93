//! Do the statements of the workload read the partitions that they need, or all of them?
//!
//! Snapshot and cost model in, judgement out. Source: PostgreSQL manual, "Partition Pruning"; `partprune.c`.

mod causes;
mod check;
mod findings;
mod reading;
mod sets;

pub use causes::{Cause, PruningCause};
pub use check::{
    CheckOptions, GenericPlan, Pruning, PruningReport, PruningRewrite, SetUse, StatementPruning, check,
};
pub use findings::findings;
pub use sets::{SetOfPartitions, partitioned_sets, trees};
