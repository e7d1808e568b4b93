//! What is sampled, and how often?

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use postgres::metrics::Pace;
use postgres::{SessionOptions, Target};
use tokio::sync::mpsc;

use crate::bloat::{self, BloatEstimator};
use crate::custom::CustomQuery;
use crate::log::LogReader;
use crate::plans;

/// How often collectors of each pace run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paces {
    /// The cheap ones.
    pub often: Duration,
    /// Those that cost something with many objects.
    pub seldom: Duration,
    /// Those that look at files or at everything.
    pub rarely: Duration,
}

impl Default for Paces {
    fn default() -> Self {
        Self {
            often: Duration::from_secs(10),
            seldom: Duration::from_secs(30),
            rarely: Duration::from_secs(120),
        }
    }
}

/// Where readings go, to be kept as history, and how that is going.
#[derive(Clone, Debug)]
pub struct HistoryTap {
    /// Takes readings; those that it has no room for are dropped and counted.
    pub readings: mpsc::Sender<history::Reading>,
    /// How the keeping is going, for the metrics.
    pub status: Arc<history::Status>,
}

impl HistoryTap {
    pub(crate) fn send(&self, reading: history::Reading) {
        if self.readings.try_send(reading).is_err() {
            self.status.change(|kept| kept.readings_dropped += 1);
        }
    }
}

/// Everything that an exporter needs to know.
#[derive(Clone, Debug)]
pub struct Options {
    /// The server's name where it is one of several.
    pub server: Option<String>,
    /// The server, and the database whose statements are sampled.
    pub target: Target,
    /// How sessions behave.
    pub session: SessionOptions,
    /// Databases whose tables and indexes are read, beside the target's.
    pub more_databases: Vec<String>,
    /// How often collectors run.
    pub paces: Paces,
    /// How often single collectors run, by name.
    pub intervals: BTreeMap<String, Duration>,
    /// How long a collector may take.
    pub timeout: Duration,
    /// How long single collectors may take, by name.
    pub timeouts: BTreeMap<String, Duration>,
    /// Collectors that do not run, by name.
    pub disabled: Vec<String>,
    /// How many statements have series of their own.
    pub statements: usize,
    /// Of how many statements, those that take most time, the plan is looked at; 0 for none.
    pub plans: usize,
    /// How many tables, indexes and other objects of a collector have series of their own.
    pub objects: usize,
    /// How often sessions are looked at; `None` for no sampling.
    pub sampling_interval: Option<Duration>,
    /// Who reads the server's log, for how long statements of the target's database took; beside sampling.
    pub log: Option<Arc<dyn LogReader>>,
    /// Whether everything is told under the names of `postgres_exporter` as well.
    pub compat: bool,
    /// Who estimates free space in tables and indexes; `None` for no estimates.
    pub bloat: Option<BloatEstimator>,
    /// The user's own queries.
    pub custom: Vec<CustomQuery>,
    /// Who keeps what is read.
    pub history: Option<HistoryTap>,
    /// The version of the program, for the label.
    pub version: String,
}

impl Options {
    /// Options for a server, everything else as usual.
    pub fn new(target: Target, session: SessionOptions) -> Self {
        Self {
            server: None,
            target,
            session,
            more_databases: Vec::new(),
            paces: Paces::default(),
            intervals: BTreeMap::new(),
            timeout: Duration::from_secs(10),
            timeouts: BTreeMap::new(),
            disabled: Vec::new(),
            statements: 100,
            plans: 20,
            objects: 10_000,
            sampling_interval: Some(Duration::from_millis(100)),
            log: None,
            compat: false,
            bloat: None,
            custom: Vec::new(),
            history: None,
            version: env!("CARGO_PKG_VERSION").into(),
        }
    }

    /// The databases, the target's first.
    pub fn databases(&self) -> Vec<String> {
        let first = self.target.database().to_owned();
        let more = self.more_databases.iter().filter(|d| **d != first).cloned();
        std::iter::once(first.clone()).chain(more).collect()
    }

    /// How often a collector runs.
    pub fn interval(&self, collector: &str, pace: Pace) -> Duration {
        self.intervals.get(collector).copied().unwrap_or(match pace {
            Pace::Often => self.paces.often,
            Pace::Seldom => self.paces.seldom,
            Pace::Rarely => self.paces.rarely,
        })
    }

    /// How long a collector may take.
    pub fn timeout(&self, collector: &str) -> Duration {
        self.timeouts.get(collector).copied().unwrap_or(self.timeout)
    }

    /// What is read for the names of `postgres_exporter` alone.
    pub(crate) fn compat_queries(&self) -> &'static [postgres::metrics::MetricQuery] {
        if self.compat { postgres::metrics::COMPAT_QUERIES } else { &[] }
    }

    /// The names of all collectors, those of the user's own queries among them.
    pub fn collectors(&self) -> Vec<String> {
        postgres::METRIC_QUERIES
            .iter()
            .map(|q| q.name)
            .chain(["statements"])
            .chain(self.bloat.map(|_| bloat::COLLECTOR))
            .chain((self.plans > 0).then_some(plans::COLLECTOR))
            .chain(self.compat_queries().iter().map(|q| q.name))
            .map(str::to_owned)
            .chain(self.custom.iter().map(|c| c.name.clone()))
            .collect()
    }
}
