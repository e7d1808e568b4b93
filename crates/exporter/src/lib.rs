//! What does a running pgwright know of a server, and how is it told to Prometheus? `README.md` tells how it is
//! laid out.
//!
//! - [`Exporter`]: samples databases on a schedule, and answers a scrape from the last samples.
//! - [`board`]: the last samples of everything.
//! - [`exposition`]: the formats.
//! - [`custom`]: queries of the user's own, in the format of `postgres_exporter`.

mod bloat;
pub mod board;
mod chunk;
mod compat;
pub mod custom;
mod error;
pub mod exposition;
mod families;
pub mod fleet;
mod fusion;
mod health;
mod keeping;
mod latency;
mod log;
mod options;
mod plans;
mod process;
mod protobuf;
mod ranking;
mod reading;
mod statements;
mod watch;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch as signal;
use tokio::task::JoinSet;

pub use bloat::{BloatEstimate, BloatEstimator};
pub use board::{Beside, Board, Chunk, NativeHistogram};
pub use error::Error;
pub use exposition::Format;
pub use latency::sample_of;
pub use log::{KnownStatements, LogReader, LoggedStatement};
pub use options::{HistoryTap, Options, Paces};
pub use reading::Sample;

use health::Health;

/// Samples one server and answers scrapes.
#[derive(Debug)]
pub struct Exporter {
    options: Arc<Options>,
    board: Arc<Board>,
    health: Arc<Health>,
}

impl Exporter {
    /// Puts it together; nothing is connected yet.
    pub fn new(options: Options) -> Self {
        let databases = options.databases();
        Self {
            health: Arc::new(Health::new(&databases)),
            options: Arc::new(options),
            board: Arc::new(Board::default()),
        }
    }

    /// Samples until `stop` becomes true. A server that is away is tried again and again.
    pub async fn run(&self, stop: signal::Receiver<bool>) {
        let mut tasks = JoinSet::new();
        let sampler = latency::shared(self.options.sampling_interval);
        let leading = plans::Leading::default();
        for (number, database) in self.options.databases().into_iter().enumerate() {
            let target = self.options.target.with_database(&database);
            let shared = watch::Shared {
                options: self.options.clone(),
                board: self.board.clone(),
                health: self.health.clone(),
                sampler: sampler.clone(),
                leading: leading.clone(),
            };
            if number == 0 && self.options.sampling_interval.is_some() {
                tasks.spawn(latency::sample(shared.clone(), target.clone(), stop.clone()));
            }
            tasks.spawn(watch::watch(shared, target, database, number == 0, stop.clone()));
        }
        while tasks.join_next().await.is_some() {}
    }

    /// What a scrape gets: the last samples, and how sampling is going.
    pub fn scrape(&self, format: Format) -> Vec<u8> {
        let began = Instant::now();
        if format == Format::Protobuf {
            let mut families = families::Families::default();
            self.families(|name, kind, help, text, native| {
                // The board comes first: what is on it has its name.
                if let Some(family) = families.of_kind(name, kind, help) {
                    family.text.push_str(text);
                    family.native.extend_from_slice(native);
                }
            });
            let bytes = families.write(format);
            self.health.scraped(began.elapsed());
            return bytes;
        }
        let mut own = self.health.chunks(&self.options.version);
        own.extend(self.options.history.iter().flat_map(|tap| keeping::chunks(&tap.status.now())));
        if self.options.compat {
            own.extend(self.health.compat_chunks());
        }
        let mut text = self.board.render(format, &own);
        self.health.scraped(began.elapsed());
        exposition::end(format, &mut text);
        text.into_bytes()
    }

    /// The last samples of a metric, those of pgwright's own among them. Of a histogram the name ends in `_bucket`,
    /// `_sum` or `_count`. Nothing where nothing is known, or not any more.
    pub fn samples(&self, name: &str) -> Vec<Sample> {
        if name.starts_with("pgwright_") {
            let mut found = Vec::new();
            for chunk in self.health.chunks(&self.options.version).iter().filter(|c| c.name == name) {
                reading::read(name, &chunk.text, &mut found);
            }
            return found;
        }
        self.board.samples(name)
    }

    /// Every family that something is known of, pgwright's own among them, with its kind, what it says, and samples of it;
    /// a family may come in several parts.
    pub(crate) fn families(
        &self,
        mut each: impl FnMut(&str, exposition::Kind, &str, &str, &[NativeHistogram]),
    ) {
        self.board.families(&mut each);
        let mut own = self.health.chunks(&self.options.version);
        own.extend(self.options.history.iter().flat_map(|tap| keeping::chunks(&tap.status.now())));
        if self.options.compat {
            own.extend(self.health.compat_chunks());
        }
        for chunk in own.iter().filter(|chunk| !chunk.text.is_empty()) {
            each(&chunk.name, chunk.kind, &chunk.help, &chunk.text, &chunk.native);
        }
    }

    /// What is sampled, and how often.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Hands the last samples of the families that are wanted to `each`, as lines of an exposition without head.
    pub fn read(&self, wanted: impl Fn(&str) -> bool, mut each: impl FnMut(&str)) {
        self.board.read(&wanted, &mut each);
        let own = self.health.chunks(&self.options.version);
        own.iter().filter(|chunk| wanted(&chunk.name)).for_each(|chunk| each(&chunk.text));
    }

    /// Puts up what another part of the program tells, in place of what it put up before; it is handed out for `keep`.
    pub fn put_up(&self, part: Beside, chunks: Vec<Chunk>, keep: Duration) {
        self.board.publish(part.source(), chunks, keep);
    }

    /// Whether there may be samples of this name: of a metric that pgwright gives, or of a query of the user's own.
    pub fn gives(&self, sample: &str) -> bool {
        gives(sample)
            || self.options.compat_queries().iter().flat_map(|q| q.metrics).any(|m| m.name == sample)
            || self.options.custom.iter().any(|query| {
                sample.strip_prefix(query.name.as_str()).is_some_and(|rest| rest.starts_with('_'))
            })
    }

    /// The server, as it is told of: host and port.
    pub fn instance(&self) -> String {
        let target = &self.options.target;
        match target.host() {
            host if host.contains(':') => format!("[{host}]:{}", target.port()),
            host => format!("{host}:{}", target.port()),
        }
    }

    /// Whether every database is connected, and why not.
    pub fn ready(&self) -> Result<(), String> {
        self.health.ready()
    }

    /// Every metric that pgwright can give, with its kind and what it says, ordered by name: those of the server and
    /// pgwright's own.
    pub fn metrics() -> Vec<(&'static str, exposition::Kind, &'static str)> {
        let mut all: Vec<_> = postgres::METRIC_QUERIES
            .iter()
            .flat_map(|q| q.metrics)
            .map(|m| (m.name, exposition::Kind::from(m.kind), m.help))
            .chain(statements::METRICS.iter().copied())
            .chain(latency::METRICS.iter().copied())
            .chain(log::METRICS.iter().copied())
            .chain(bloat::METRICS.iter().copied())
            .chain(plans::METRICS.iter().copied())
            .chain(health::METRICS.iter().copied())
            .chain(keeping::METRICS.iter().copied())
            .collect();
        all.sort_unstable_by_key(|m| m.0);
        all
    }
}

/// Whether a metric that pgwright gives has samples of this name; those of histograms have suffixes.
pub fn gives(sample: &str) -> bool {
    Exporter::metrics().iter().any(|(name, kind, _)| match kind {
        exposition::Kind::Histogram => {
            sample.strip_prefix(name).is_some_and(|suffix| matches!(suffix, "_bucket" | "_sum" | "_count"))
        }
        _ => sample == *name,
    })
}
