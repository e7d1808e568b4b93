//! Does something need somebody's attention, who is told, and what is told? The conditions of [`monitoring::alerts`],
//! judged by pgwright itself over what [`exporter`] samples. `README.md` tells how it is laid out.
//!
//! - [`Alerts`]: reads, judges and tells; [`Alerts::standing`] is how alerts stand.
//! - [`client`]: asks a running one.
//! - [`rules`]: the conditions as the settings change them.
//! - [`settings`]: `[alerts]` in pgwright.toml.

pub mod client;
#[cfg(test)]
mod differential;
mod error;
mod evaluation;
mod expression;
mod functions;
mod history;
mod judge;
mod labels;
mod message;
mod outbox;
mod receivers;
pub mod rules;
pub mod settings;
mod silences;
mod standing;
mod state_file;
mod template;
mod watch;

pub use error::Error;
pub use judge::Phase;
pub use labels::Labels;
pub use monitoring::alerts::Severity;
pub use receivers::{Outcome, test_receivers};
pub use rules::Definition;
pub use settings::Settings;
pub use silences::Silence;
pub use standing::{Standing, StandingAlert, StandingReceiver};
pub use watch::{Alerts, METRICS, NewSilence};
