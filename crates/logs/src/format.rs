//! How are entries told apart in the three formats that the server writes?
//!
//! Source: "Error Reporting and Logging" of the manual: `log_destination` stderr, csvlog and jsonlog.

mod csv;
mod json;
mod stderr;

use serde::Serialize;

use crate::entry::Entry;
use crate::prefix::Prefix;

/// A format, with what is needed to read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Format {
    /// Lines with a prefix.
    Stderr(Prefix),
    /// Records of 23 (12 and before), 24 (13) or 26 fields.
    Csv,
    /// An object per line (since 15).
    Json,
}

/// A format's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FormatName {
    /// `log_destination = stderr`.
    Stderr,
    /// `log_destination = csvlog`.
    Csvlog,
    /// `log_destination = jsonlog`.
    Jsonlog,
}

/// What became of the lines of a block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lines {
    /// Lines that belong to no entry.
    pub unread: u64,
    /// The first of them, cut.
    pub first_unread: Option<String>,
}

impl Lines {
    fn push(&mut self, line: &[u8]) {
        if line.trim_ascii().is_empty() {
            return;
        }
        self.unread += 1;
        if self.first_unread.is_none() {
            self.first_unread = Some(crate::entry::text(line, 200));
        }
    }

    pub(crate) fn merge(&mut self, later: Self) {
        self.unread += later.unread;
        self.first_unread = self.first_unread.take().or(later.first_unread);
    }
}

impl Format {
    /// Finds out the format from the beginning of a file.
    pub fn detect(beginning: &[u8]) -> Option<Self> {
        let start = beginning.trim_ascii_start();
        let first = start.split(|b| *b == b'\n').next().unwrap_or_default();
        if json::reads(first) {
            return Some(Self::Json);
        }
        if csv::reads(first) {
            return Some(Self::Csv);
        }
        // A file that was cut may begin within a record.
        let mut lines = beginning.split(|b| *b == b'\n').skip(1).take(200);
        if let Some(format) = lines.find_map(|line| {
            if json::reads(line) { Some(Self::Json) } else { csv::reads(line).then_some(Self::Csv) }
        }) {
            return Some(format);
        }
        Prefix::detect(beginning).map(Self::Stderr)
    }

    /// Its name.
    pub fn name(&self) -> FormatName {
        match self {
            Self::Stderr(_) => FormatName::Stderr,
            Self::Csv => FormatName::Csvlog,
            Self::Json => FormatName::Jsonlog,
        }
    }

    /// Where the last entry of a text begins: everything before is complete. Nothing when none begins but at 0.
    pub(crate) fn cut(&self, text: &[u8]) -> Option<usize> {
        match self {
            Self::Stderr(prefix) => stderr::cut(prefix, text),
            Self::Csv => csv::cut(text),
            Self::Json => memchr::memrchr(b'\n', text).map(|at| at + 1),
        }
    }

    /// Hands every entry of a text to `take`.
    pub(crate) fn read(&self, text: &[u8], take: &mut dyn FnMut(&Entry<'_>)) -> Lines {
        match self {
            Self::Stderr(prefix) => stderr::read(prefix, text, take),
            Self::Csv => csv::read(text, take),
            Self::Json => json::read(text, take),
        }
    }
}

/// Lines without their breaks; where each begins.
fn lines(text: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let mut at = 0;
    std::iter::from_fn(move || {
        if at >= text.len() {
            return None;
        }
        let begin = at;
        let end = memchr::memchr(b'\n', &text[begin..]).map_or(text.len(), |n| begin + n);
        at = end + 1;
        let line = &text[begin..end];
        Some((begin, line.strip_suffix(b"\r").unwrap_or(line)))
    })
}
