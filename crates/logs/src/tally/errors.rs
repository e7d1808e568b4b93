//! What failed, by class: the severity, the SQLSTATE where the log has it, and the message without its names and numbers.

use std::collections::HashMap;

use crate::entry::{Entry, Severity, text};

/// Classes that are told apart.
const MAX_CLASSES: usize = 2_000;

/// Longest text that is kept.
const MAX_BYTES: usize = 2_000;

/// One class.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ErrorTally {
    pub count: u64,
    pub first_ms: Option<i64>,
    pub last_ms: Option<i64>,
    /// The first of its kind.
    pub message: String,
    pub detail: String,
    pub hint: String,
    pub context: String,
    pub statement: String,
    pub database: String,
}

/// All classes.
#[derive(Default)]
pub(crate) struct Errors {
    pub classes: HashMap<(Severity, Vec<u8>, Vec<u8>), ErrorTally>,
    /// Those of further classes.
    pub beyond: u64,
    scratch: Vec<u8>,
}

impl Errors {
    pub(crate) fn add(&mut self, entry: &Entry<'_>) {
        let mut class = std::mem::take(&mut self.scratch);
        normalize(&entry.message, &mut class);
        let key = (entry.severity, entry.origin.sqlstate.to_vec(), std::mem::take(&mut class));
        let time = entry.origin.time_ms;
        let is_full = self.classes.len() >= MAX_CLASSES;
        match self.classes.get_mut(&key) {
            Some(known) => {
                known.count += 1;
                known.first_ms = [known.first_ms, time].into_iter().flatten().min();
                known.last_ms = [known.last_ms, time].into_iter().flatten().max();
                self.scratch = key.2;
            }
            None if is_full => {
                self.beyond += 1;
                self.scratch = key.2;
            }
            None => {
                let tally = ErrorTally {
                    count: 1,
                    first_ms: time,
                    last_ms: time,
                    message: text(&entry.message, MAX_BYTES),
                    detail: text(&entry.detail, MAX_BYTES),
                    hint: text(&entry.hint, MAX_BYTES),
                    context: text(&entry.context, MAX_BYTES),
                    statement: text(&entry.statement, MAX_BYTES),
                    database: text(entry.origin.database, 64),
                };
                self.classes.insert(key, tally);
            }
        }
    }

    pub(crate) fn merge(&mut self, later: Self) {
        self.beyond += later.beyond;
        for (key, other) in later.classes {
            let is_full = self.classes.len() >= MAX_CLASSES;
            match self.classes.get_mut(&key) {
                Some(known) => {
                    known.count += other.count;
                    known.first_ms = [known.first_ms, other.first_ms].into_iter().flatten().min();
                    known.last_ms = [known.last_ms, other.last_ms].into_iter().flatten().max();
                }
                None if is_full => self.beyond += other.count,
                None => {
                    self.classes.insert(key, other);
                }
            }
        }
    }
}

/// Names in quotation marks as `"…"`, values in apostrophes as `'…'`, numbers as `N`; the first line only.
fn normalize(message: &[u8], out: &mut Vec<u8>) {
    out.clear();
    let line = message.split(|b| *b == b'\n').next().unwrap_or_default();
    let line = &line[..line.len().min(MAX_BYTES)];
    let mut at = 0;
    while at < line.len() {
        let byte = line[at];
        let opens = at == 0 || !line[at - 1].is_ascii_alphanumeric();
        match byte {
            b'"' | b'\'' if opens => match memchr::memchr(byte, &line[at + 1..]) {
                Some(n) => {
                    out.push(byte);
                    out.extend_from_slice("…".as_bytes());
                    out.push(byte);
                    at += n + 2;
                }
                None => {
                    out.push(byte);
                    at += 1;
                }
            },
            b'0'..=b'9' if opens => {
                at += line[at..].iter().take_while(|b| b.is_ascii_digit() || **b == b'.').count();
                out.push(b'N');
            }
            _ => {
                out.push(byte);
                at += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_do_not_make_classes() {
        let of = |message: &str| {
            let mut out = Vec::new();
            normalize(message.as_bytes(), &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(
            of("relation \"a b\" does not exist at character 15"),
            "relation \"…\" does not exist at character N"
        );
        assert_eq!(of("could not open file \"x\nsecond line"), "could not open file \"x");
        assert_eq!(of("can't do utf8"), "can't do utf8");
    }
}
