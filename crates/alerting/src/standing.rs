//! How do alerts stand? Plain data, for pages, for commands and for other programs.

use monitoring::alerts::Severity;
use serde::{Deserialize, Serialize};

use crate::judge::Phase;
use crate::labels::Labels;
use crate::silences::Silence;

/// How alerts stand at one moment.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Standing {
    /// When conditions were evaluated last, as RFC 3339; nothing before the first time.
    pub evaluated: Option<String>,
    /// How many conditions are evaluated.
    pub conditions: usize,
    /// The alerts: firing ones first, then pending ones, then those that are over; the worst first in each.
    pub alerts: Vec<StandingAlert>,
    /// What is not told.
    pub silences: Vec<Silence>,
    /// Who is told.
    pub receivers: Vec<StandingReceiver>,
    /// What keeps conditions from being evaluated in full.
    pub notes: Vec<String>,
}

/// An alert of a series.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StandingAlert {
    /// The alert.
    pub alert: String,
    /// What it is about.
    pub group: String,
    /// `info`, `warning` or `critical`.
    pub severity: Severity,
    /// How it stands.
    pub state: Phase,
    /// Since when the condition has held, as RFC 3339.
    pub since: String,
    /// Since when it has fired.
    pub fired: Option<String>,
    /// When it was over.
    pub resolved: Option<String>,
    /// What the condition gave last; nothing when it is no number.
    pub value: Option<f64>,
    /// Its labels.
    pub labels: Labels,
    /// What tells it from all others where it is shown.
    #[serde(default)]
    pub anchor: String,
    /// The page that shows what is wrong in detail.
    #[serde(default)]
    pub page: String,
    /// What is the case.
    pub summary: String,
    /// Why it matters.
    pub meaning: String,
    /// What to do.
    pub action: String,
    /// The check of `pgwright lint` that finds the same.
    pub lint_check: Option<String>,
    /// The page with the procedure.
    pub runbook_url: Option<String>,
    /// The silence that covers it.
    pub silenced_by: Option<String>,
    /// The alert that makes it superfluous.
    pub inhibited_by: Option<String>,
    /// Whether it is as it last was, because nothing is known of it now.
    pub kept: bool,
}

/// A receiver.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StandingReceiver {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: String,
    /// Messages that arrived.
    pub sent: u64,
    /// Attempts that failed.
    pub failed: u64,
    /// When the last message arrived, as RFC 3339.
    pub last_sent: Option<String>,
    /// Why the last attempt failed, if it did.
    pub failure: Option<String>,
}
