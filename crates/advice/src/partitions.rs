//! Do the statements of the workload read the partitions that they need, or all of them? Which tables deserve partitions?
//!
//! Snapshot and cost model in, judgement out. Source: PostgreSQL manual, "Partition Pruning"; `partprune.c`.

mod advise;
mod causes;
mod check;
mod findings;
mod intervals;
mod layout;
mod losses;
mod reading;
mod sets;
mod trial;

pub use advise::{AdviseOptions, Candidate, DeletesByAge, Proposal, TableFacts, Verdict, candidates, judge};
pub use causes::{Cause, PruningCause};
pub use check::{
    CheckOptions, GenericPlan, Pruning, PruningReport, PruningRewrite, SetUse, StatementPruning, check,
};
pub use findings::findings;
pub use intervals::{TriedInterval, judge_intervals, neighbours};
pub use layout::{Divided, LostReference, WidenedKey, divide};
pub use losses::Loss;
pub use sets::{SetOfPartitions, partitioned_sets, trees};
pub use trial::{Trial, WorseStatement, touching, trial};
