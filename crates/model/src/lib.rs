//! The vocabulary of pgwright: what a server looks like (`Snapshot`), what was seen in it
//! (`Finding`), what should be done (`Recommendation`, made of `Change`s) and at what price.
//!
//! Plain data with serde and nothing else: no I/O, no SQL parsing, no policy. Every other crate
//! speaks in these words, so two crates that never see each other (`advice` and `apply`) still
//! understand one another.

pub mod brin_index;
pub mod btree_index;
pub mod change;
pub mod cost_model;
pub mod estimate;
pub mod finding;
pub mod hash_index;
pub mod latency;
pub mod lock;
pub mod name;
pub mod partition_set;
pub mod partition_tree;
pub mod recommendation;
pub mod schema;
pub mod snapshot;
pub mod statistics;
pub mod units;

pub use change::{Change, IndexDefinition, IndexKey, KeyTarget, NullsOrder, SortOrder};
pub use cost_model::{CandidateId, Configuration, CostError, CostModel, Planned, Registered};
pub use finding::{Evidence, Finding, ObjectRef, Severity};
pub use latency::{LatencyHistogram, Percentile};
pub use lock::LockLevel;
pub use name::{QualifiedName, quote_identifier, quote_literal};
pub use partition_set::{Division, Interval, KeyKind, PartitionSet};
pub use recommendation::{Benefit, Confidence, Price, Recommendation, Rejected, StatementEffect};
pub use snapshot::Snapshot;
pub use statistics::{AutovacuumOption, Number, Parameter, StatisticsDefinition, StatisticsKind};
pub use units::{Bytes, Lsn, Millis};
