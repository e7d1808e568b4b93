//! How is sampling going? For each database whether it is connected, for each collector when it last succeeded, how
//! long it took and how often it failed for which reason.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::board::Chunk;
use crate::compat;
use crate::exposition::{Kind, label, number, sample};
use crate::process;

/// pgwright's own metrics.
pub(crate) const METRICS: &[(&str, Kind, &str)] = &[
    ("pgwright_build_info", Kind::Gauge, "The version of pgwright, as a label"),
    ("pgwright_collector_duration_seconds", Kind::Gauge, "How long the collector's last run took"),
    ("pgwright_collector_duplicate_rows", Kind::Gauge, "Rows left out because others have the same labels"),
    ("pgwright_collector_failures_total", Kind::Counter, "Runs of the collector that failed, by reason"),
    ("pgwright_collector_last_success_timestamp_seconds", Kind::Gauge, "When the collector last succeeded"),
    ("pgwright_collector_runs_total", Kind::Counter, "Runs of the collector"),
    ("pgwright_collector_summed_rows", Kind::Gauge, "Objects that were summed under \"other\""),
    ("pgwright_collector_up", Kind::Gauge, "Whether the collector's last run succeeded"),
    ("pgwright_connections_failed_total", Kind::Counter, "Attempts to connect that failed"),
    ("pgwright_connections_total", Kind::Counter, "Connections that were established"),
    ("pgwright_name_conflicts_total", Kind::Counter, "Families left out because their name was taken"),
    ("pgwright_process_cpu_seconds_total", Kind::Counter, "User and system time of pgwright"),
    ("pgwright_process_resident_memory_bytes", Kind::Gauge, "Memory of pgwright"),
    ("pgwright_sampling_late_looks_total", Kind::Counter, "Looks at sessions that came late"),
    ("pgwright_sampling_looks_total", Kind::Counter, "Looks at sessions"),
    ("pgwright_scrape_duration_seconds", Kind::Gauge, "How long it took to write out the last scrape"),
    ("pgwright_scrapes_total", Kind::Counter, "Scrapes that were answered"),
    ("pgwright_up", Kind::Gauge, "Whether the database is connected"),
];

#[derive(Clone, Debug, Default)]
struct Collector {
    runs: u64,
    up: bool,
    seconds: f64,
    last_success: Option<f64>,
    failures: BTreeMap<&'static str, u64>,
    duplicates: usize,
    summed: usize,
}

#[derive(Clone, Debug, Default)]
struct Database {
    up: bool,
    connections: u64,
    failed: u64,
    reason: Option<String>,
}

#[derive(Debug, Default)]
struct State {
    databases: BTreeMap<String, Database>,
    collectors: BTreeMap<(String, String), Collector>,
    conflicts: u64,
    looks: u64,
    late_looks: u64,
    scrapes: u64,
    scrape_seconds: f64,
}

/// How sampling is going.
#[derive(Debug)]
pub(crate) struct Health {
    state: Mutex<State>,
}

impl Health {
    pub(crate) fn new(databases: &[String]) -> Self {
        let databases = databases.iter().map(|d| (d.clone(), Database::default())).collect();
        Self { state: Mutex::new(State { databases, ..State::default() }) }
    }

    pub(crate) fn connected(&self, datname: &str) {
        let mut state = self.lock();
        let database = state.databases.entry(datname.to_owned()).or_default();
        (database.up, database.reason) = (true, None);
        database.connections += 1;
    }

    pub(crate) fn unreachable(&self, datname: &str, reason: String) {
        let mut state = self.lock();
        let database = state.databases.entry(datname.to_owned()).or_default();
        (database.up, database.reason) = (false, Some(reason));
        database.failed += 1;
    }

    pub(crate) fn lost(&self, datname: &str, reason: String) {
        let mut state = self.lock();
        let database = state.databases.entry(datname.to_owned()).or_default();
        (database.up, database.reason) = (false, Some(reason));
    }

    pub(crate) fn succeeded(
        &self,
        datname: &str,
        collector: &str,
        took: Duration,
        duplicates: usize,
        summed: usize,
    ) {
        let mut state = self.lock();
        let entry = state.collectors.entry((collector.to_owned(), datname.to_owned())).or_default();
        entry.runs += 1;
        (entry.up, entry.seconds) = (true, took.as_secs_f64());
        (entry.duplicates, entry.summed) = (duplicates, summed);
        entry.last_success =
            SystemTime::now().duration_since(UNIX_EPOCH).ok().map(|d| d.as_millis() as f64 / 1000.0);
        // It had been silent for a while.
        if let Some(database) = state.databases.get_mut(datname) {
            (database.up, database.reason) = (true, None);
        }
    }

    pub(crate) fn failed(&self, datname: &str, collector: &str, took: Duration, reason: &'static str) {
        let mut state = self.lock();
        let entry = state.collectors.entry((collector.to_owned(), datname.to_owned())).or_default();
        entry.runs += 1;
        (entry.up, entry.seconds) = (false, took.as_secs_f64());
        *entry.failures.entry(reason).or_default() += 1;
    }

    pub(crate) fn conflicts(&self, count: usize) {
        self.lock().conflicts += count as u64;
    }

    pub(crate) fn looked(&self, looks: u64, late: u64) {
        let mut state = self.lock();
        state.looks += looks;
        state.late_looks += late;
    }

    pub(crate) fn scraped(&self, took: Duration) {
        let mut state = self.lock();
        state.scrapes += 1;
        state.scrape_seconds = took.as_secs_f64();
    }

    pub(crate) fn ready(&self) -> Result<(), String> {
        let state = self.lock();
        match state.databases.iter().find(|(_, d)| !d.up) {
            None => Ok(()),
            Some((name, database)) => {
                let reason = database.reason.as_deref().unwrap_or("it is not connected yet");
                Err(format!("database \"{name}\": {reason}"))
            }
        }
    }

    /// Everything as samples.
    pub(crate) fn chunks(&self, version: &str) -> Vec<Chunk> {
        let state = self.lock();
        let mut texts: BTreeMap<&'static str, String> =
            METRICS.iter().map(|m| (m.0, String::new())).collect();
        let mut put = |name: &'static str, labels: &[(&str, &str)], value: f64| {
            let mut block = String::new();
            labels.iter().for_each(|(name, value)| label(name, value, &mut block));
            if let Some(text) = texts.get_mut(name) {
                sample(name, &block, &number(value), text);
            }
        };
        put("pgwright_build_info", &[("version", version)], 1.0);
        for (name, database) in &state.databases {
            let labels = [("datname", name.as_str())];
            // Before the first attempt nobody knows.
            if database.connections + database.failed > 0 {
                put("pgwright_up", &labels, f64::from(u8::from(database.up)));
            }
            put("pgwright_connections_total", &labels, database.connections as f64);
            put("pgwright_connections_failed_total", &labels, database.failed as f64);
        }
        for ((collector, datname), entry) in &state.collectors {
            let labels = [("collector", collector.as_str()), ("datname", datname.as_str())];
            put("pgwright_collector_up", &labels, f64::from(u8::from(entry.up)));
            put("pgwright_collector_runs_total", &labels, entry.runs as f64);
            put("pgwright_collector_duration_seconds", &labels, entry.seconds);
            if let Some(at) = entry.last_success {
                put("pgwright_collector_last_success_timestamp_seconds", &labels, at);
            }
            for (reason, count) in &entry.failures {
                let labels = [labels[0], labels[1], ("reason", *reason)];
                put("pgwright_collector_failures_total", &labels, *count as f64);
            }
            if entry.duplicates > 0 {
                put("pgwright_collector_duplicate_rows", &labels, entry.duplicates as f64);
            }
            if entry.summed > 0 {
                put("pgwright_collector_summed_rows", &labels, entry.summed as f64);
            }
        }
        put("pgwright_name_conflicts_total", &[], state.conflicts as f64);
        put("pgwright_sampling_looks_total", &[], state.looks as f64);
        put("pgwright_sampling_late_looks_total", &[], state.late_looks as f64);
        put("pgwright_scrapes_total", &[], state.scrapes as f64);
        if state.scrapes > 0 {
            put("pgwright_scrape_duration_seconds", &[], state.scrape_seconds);
        }
        if let Some(usage) = process::usage() {
            put("pgwright_process_cpu_seconds_total", &[], usage.cpu_seconds);
            put("pgwright_process_resident_memory_bytes", &[], usage.resident_bytes as f64);
        }
        let chunk = |(name, kind, help): &(&'static str, Kind, &'static str)| {
            Chunk::new(*name, *kind, *help, texts.remove(name).unwrap_or_default())
        };
        METRICS.iter().map(chunk).collect()
    }

    /// The same as `postgres_exporter` tells it: of all databases, and of each collector the worst.
    pub(crate) fn compat_chunks(&self) -> Vec<Chunk> {
        let state = self.lock();
        let up = state.databases.values().all(|d| d.up);
        let mut collectors: BTreeMap<&str, (bool, f64)> = BTreeMap::new();
        for ((collector, _), entry) in &state.collectors {
            let worst = collectors.entry(collector).or_insert((true, 0.0));
            *worst = (worst.0 && entry.up, worst.1.max(entry.seconds));
        }
        let collectors: Vec<(String, bool, f64)> =
            collectors.into_iter().map(|(name, (up, seconds))| (name.to_owned(), up, seconds)).collect();
        compat::health(up, state.scrapes, state.scrape_seconds, &collectors)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
