//! How does a table become a partitioned one while it is written to, without a lost write or a wait that anyone
//! notices?
//!
//! Two ways. *Attach*: the table becomes one partition of a new one and no row is copied. *Rewrite*: the rows are
//! copied into the partitions of a new table while triggers write down what changes, what changed is carried over,
//! both tables are compared and change names under a lock of at most 100 ms. The old table is kept, and what is
//! written from then on is written down as well, so that the conversion can be taken back until it is finished.
//!
//! [`plan_conversion`] decides and shows, [`convert`] does it and goes on after an interruption,
//! [`finish_conversion`] and [`revert_conversion`] end it. Why no write is lost: `docs/concepts/partition-conversion.md`.

mod attach;
mod attachments;
mod capture;
mod compare;
mod copy;
mod decide;
mod divide;
mod drain;
mod event;
mod failure;
mod not_null;
mod options;
mod plan;
mod revert;
mod run;
mod script;
mod site;
mod state;
mod subject;
mod swap;
mod throttle;

pub use attachments::{Attachment, Fate, KINDS};
pub use decide::{obstacles, plan_conversion};
pub use event::{ConversionEvent, OnConversionEvent};
pub use failure::ConversionFailure;
pub use options::{ConversionOptions, ConversionRequest, DividedBy};
pub use plan::{ConversionPlan, ConversionStep, Method, NewPartition};
pub use run::{Converted, convert, finish_conversion, revert_conversion};
pub(crate) use state::none_is_open;
pub use state::{Conversion, PassedStep, Step, conversions};
