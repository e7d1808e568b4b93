//! What would a statement cost if …? A local PostgreSQL that holds the schema, the sizes, the
//! statistics and the settings of a snapshot, and no rows, answers as the snapshot's server would.
//!
//! Source: PostgreSQL's `src/backend/optimizer/util/plancat.c` (what the planner reads of a table
//! and an index), `src/include/catalog/pg_statistic.h` and the manual's "How the Planner Uses
//! Statistics". The planner knows a table through its catalog rows, `pg_class.reltuples`,
//! `relpages` and `relallvisible`, `pg_statistic`, the settings, and the length of the relation's
//! file; all of these can be given to an empty table, its file being sparse.
//!
//! [`Twin::build`] makes the twin, and [`model::cost_model::CostModel`] is how it is asked. What
//! could not be carried over is told in [`Twin::notes`]. The README beside this file tells how
//! candidates are created and how their sizes are predicted.

mod build;
mod candidates;
mod clock;
mod error;
mod expressions;
mod extended;
mod files;
mod index_facts;
mod names;
mod preparing;
mod session;
mod sharing;
mod size;
mod spelling;
mod statistics;
mod switching;
#[path = "twin.rs"]
mod the_twin;

pub use clock::Clock;
pub use error::Error;
pub use the_twin::{Twin, TwinOptions};
