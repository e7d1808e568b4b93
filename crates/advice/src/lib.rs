//! What should be done? Snapshot in, findings and recommendations out; nothing here talks to a server.
//!
//! Peer modules, one per subject. Whoever needs to know what the planner would do asks a
//! [`model::CostModel`], so the same snapshot and the same model give the same advice.

pub mod index_advisor;
pub mod index_semantics;
pub mod migration;
pub mod partitions;
pub mod profiling;
pub mod regression;
pub mod rewriting;
pub mod schema;
pub mod statistics;
pub(crate) mod tables;
pub mod typical_values;
pub mod what_if;
pub mod workload;

#[cfg(test)]
mod fixture;

pub use index_advisor::{
    Advice, AdviceError, Bound, Control, CurvePoint, Options, Progress, SkippedStatement, WeighBy, advise,
    known_combinations, statistics_upkeep,
};
