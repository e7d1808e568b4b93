//! What was last seen? The text of each family by the collector that it came from, ready to be handed out.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::exposition::{Format, Kind, head};
use crate::reading::{self, Sample};

/// Where samples come from: the database by its number, and the collector by its.
pub type Source = (usize, usize);

/// What is told beside the samples of databases.
#[derive(Clone, Copy, Debug)]
pub enum Beside {
    /// How alerts stand.
    Alerts,
    /// What was computed for statements that got slower.
    Fixes,
}

impl Beside {
    pub(crate) fn source(self) -> Source {
        (usize::MAX, usize::MAX - self as usize)
    }
}

/// The samples of one family from one source.
#[derive(Clone, Debug, PartialEq)]
pub struct Chunk {
    /// The family.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// What it says.
    pub help: String,
    /// Its samples, as text.
    pub text: String,
    /// Of histograms, the fine buckets of the same series.
    pub native: Vec<NativeHistogram>,
}

/// The fine buckets of one series: those of Prometheus' native histograms, which a text has no words for.
#[derive(Clone, Debug, PartialEq)]
pub struct NativeHistogram {
    /// Its labels, as they stand within the braces.
    pub labels: String,
    /// Counts by the number of the bucket as [`model::LatencyHistogram`] numbers them, ascending.
    pub buckets: Vec<(i16, u64)>,
    /// Those that took no time.
    pub zeros: u64,
}

impl Chunk {
    /// Samples without fine buckets.
    pub fn new(name: impl Into<String>, kind: Kind, help: impl Into<String>, text: String) -> Self {
        Self { name: name.into(), kind, help: help.into(), text, native: Vec::new() }
    }
}

/// What one source has put up of a family, and until when it is valid.
#[derive(Debug)]
struct Part {
    until: Instant,
    text: String,
    native: Vec<NativeHistogram>,
}

#[derive(Debug)]
struct Family {
    kind: Kind,
    help: String,
    parts: BTreeMap<Source, Part>,
}

/// The last samples of everything.
#[derive(Debug, Default)]
pub struct Board {
    families: Mutex<BTreeMap<String, Family>>,
}

impl Board {
    /// Puts up what a source has seen, valid for `keep`, in place of what it put up before. Families that another
    /// source has put up are left out; given is how many.
    pub fn publish(&self, source: Source, chunks: Vec<Chunk>, keep: Duration) -> usize {
        let until = Instant::now() + keep;
        let mut families = self.lock();
        for family in families.values_mut() {
            family.parts.remove(&source);
        }
        let mut conflicts = 0;
        for chunk in chunks {
            let family = families.entry(chunk.name).or_insert_with_key(|_| Family {
                kind: chunk.kind,
                help: chunk.help,
                parts: BTreeMap::new(),
            });
            // What the same collector sees in another database is the same family; another collector's would have
            // the same series twice, and cost the whole scrape.
            if family.kind == chunk.kind && family.parts.keys().all(|s| s.1 == source.1) {
                family.parts.insert(source, Part { until, text: chunk.text, native: chunk.native });
            } else {
                conflicts += 1;
            }
        }
        families.retain(|_, family| !family.parts.is_empty());
        conflicts
    }

    /// Takes down what a database's collectors have put up.
    pub fn forget(&self, database: usize) {
        let mut families = self.lock();
        for family in families.values_mut() {
            family.parts.retain(|source, _| source.0 != database);
        }
        families.retain(|_, family| !family.parts.is_empty());
    }

    /// Hands the text of every wanted family that is still valid to `each`.
    pub fn read(&self, wanted: &impl Fn(&str) -> bool, each: &mut impl FnMut(&str)) {
        let now = Instant::now();
        for (_, family) in self.lock().iter().filter(|(name, _)| wanted(name)) {
            family.parts.values().filter(|part| part.until >= now).for_each(|part| each(&part.text));
        }
    }

    /// Everything that is still valid: the family, what it is, what it says, a text, and the fine buckets beside it.
    pub fn families(&self, each: &mut impl FnMut(&str, Kind, &str, &str, &[NativeHistogram])) {
        let now = Instant::now();
        for (name, family) in self.lock().iter() {
            for part in family.parts.values() {
                if part.until >= now && !part.text.is_empty() {
                    each(name, family.kind, &family.help, &part.text, &part.native);
                }
            }
        }
    }

    /// Everything that is still valid, with `own` beside it.
    pub fn render(&self, format: Format, own: &[Chunk]) -> String {
        let now = Instant::now();
        let families = self.lock();
        let length: usize = families
            .values()
            .map(|f| f.parts.values().map(|part| part.text.len()).sum::<usize>() + 300)
            .chain(own.iter().map(|c| c.text.len() + 300))
            .sum();
        let mut out = String::with_capacity(length);
        for (name, family) in families.iter() {
            let mut headed = false;
            for part in family.parts.values() {
                if part.until < now || part.text.is_empty() {
                    continue;
                }
                if !headed {
                    head(format, name, family.kind, &family.help, &mut out);
                    headed = true;
                }
                out.push_str(&part.text);
            }
        }
        for chunk in own.iter().filter(|c| !families.contains_key(&c.name) && !c.text.is_empty()) {
            head(format, &chunk.name, chunk.kind, &chunk.help, &mut out);
            out.push_str(&chunk.text);
        }
        out
    }

    /// What is still valid of a metric; see [`crate::Exporter::samples`].
    pub fn samples(&self, name: &str) -> Vec<Sample> {
        let now = Instant::now();
        let families = self.lock();
        let of_histogram = ["_bucket", "_sum", "_count"].iter().find_map(|part| name.strip_suffix(part));
        let family = families.get(name).or_else(|| {
            let family = families.get(of_histogram?)?;
            (family.kind == Kind::Histogram).then_some(family)
        });
        let mut found = Vec::new();
        for part in family.into_iter().flat_map(|f| f.parts.values()) {
            if part.until >= now {
                reading::read(name, &part.text, &mut found);
            }
        }
        found
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Family>> {
        self.families.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(name: &str, kind: Kind, text: &str) -> Chunk {
        Chunk::new(name, kind, "What it is", text.into())
    }

    const LONG: Duration = Duration::from_secs(600);

    #[test]
    fn a_family_of_two_databases_has_one_head_and_one_source_replaces_only_its_own() {
        let board = Board::default();
        board.publish((0, 3), vec![chunk("b", Kind::Gauge, "b{d=\"1\"} 1\n")], LONG);
        board.publish((1, 3), vec![chunk("b", Kind::Gauge, "b{d=\"2\"} 1\n")], LONG);
        board.publish((0, 3), vec![chunk("b", Kind::Gauge, "b{d=\"1\"} 5\n")], LONG);
        let own = [chunk("own", Kind::Gauge, "own 1\n")];
        let expected = "# HELP b What it is\n# TYPE b gauge\nb{d=\"1\"} 5\nb{d=\"2\"} 1\n# HELP own What it is\n# TYPE own gauge\nown 1\n";
        assert_eq!(board.render(Format::Prometheus, &own), expected);
        board.forget(0);
        assert!(!board.render(Format::Prometheus, &[]).contains("d=\"1\""));
    }

    #[test]
    fn a_name_that_is_taken_is_left_out_and_said() {
        let board = Board::default();
        assert_eq!(board.publish((0, 1), vec![chunk("a", Kind::Gauge, "a 1\n")], LONG), 0);
        assert_eq!(board.publish((0, 2), vec![chunk("a", Kind::Gauge, "a 2\n")], LONG), 1);
        assert_eq!(board.publish((1, 1), vec![chunk("a", Kind::Counter, "a 3\n")], LONG), 1);
        assert!(board.render(Format::Prometheus, &[]).ends_with("a 1\n"));
    }

    #[test]
    fn what_is_too_old_is_not_handed_out() {
        let board = Board::default();
        board.publish((0, 1), vec![chunk("a", Kind::Gauge, "a 1\n")], Duration::ZERO);
        std::thread::sleep(Duration::from_millis(2));
        assert_eq!(board.render(Format::OpenMetrics, &[]), "");
    }
}
