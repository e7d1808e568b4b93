//! The only writer to a user's database: makes changes without stopping anybody, journals each of
//! them, cleans up after a death, takes them back, and looks whether they held what they promised.
//!
//! - [`plan()`] turns recommendations into statements, [`preflight()`] says whether they can run,
//!   [`execute`] runs them, [`undo`] takes them back, [`recover`] deals with what a dead run left.
//! - [`journal()`] reads what was done; [`store`] keeps baselines beside it.
//! - [`verify`] compares a promise with what was measured afterwards.
//!
//! Everything that pgwright keeps is in schema `pgwright`, made on the first write.

#![warn(missing_docs)]

mod action;
mod cancellation;
mod catalog;
mod error;
mod event;
mod executor;
pub mod history;
mod journal;
mod objection;
pub mod operations;
mod options;
pub mod partition_archive;
pub mod partition_conversion;
pub mod partition_sets;
mod partitions;
mod plan;
mod preflight;
mod recovery;
mod rollback;
mod schema;
pub mod store;
pub mod verify;
mod worker;

pub use action::{
    Action, ArchivePlace, IndexShape, PartitionChange, Renaming, SetChange, TreeIndex, TreePart, TreeRoot,
};
pub use cancellation::Cancellation;
pub use catalog::{Activity, Blocker};
pub use error::{Error, Refusal, StepFailure};
pub use event::{Event, OnEvent};
pub use executor::{Run, RunEntry, RunStep, execute};
pub use journal::{JournalEntry, JournalStep, Promise, Status};
pub use objection::Objection;
pub use options::{ExecuteOptions, Orphans};
pub use plan::{ApplyPlan, PlannedRecommendation, PlannedStep, plan};
pub use preflight::{Preflight, preflight};
pub use recovery::{Recovered, interrupted, recover};
pub use rollback::{PlannedUndo, Undo, UndoPlan, UndoTarget, plan_undo, purge, undo};
pub use schema::SCHEMA_VERSION;
pub use verify::{track_record, verify};

/// Reads the journal, the oldest entry first; nothing when there is none. Works on a standby too.
///
/// # Errors
/// When the server cannot be asked.
pub async fn journal(target: &postgres::Target) -> Result<Vec<JournalEntry>, Error> {
    let session = worker::open_journal_session(target).await?;
    journal::read(&session, None).await
}
