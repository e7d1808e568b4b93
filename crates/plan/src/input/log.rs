//! Which plans did auto_explain write into a log? stderr with any prefix, syslog, csvlog and jsonlog.
//!
//! Source: `explain_ExecutorEnd()` in auto_explain.c, which logs `duration: %.3f ms  plan:` and the plan on
//! the following lines, and elog.c: in stderr logs each of them begins with a tab, in syslog with the
//! line's own prefix and `#011`, in csvlog the message is a quoted field, in jsonlog a string.

use super::{Body, Found, MAX_BYTES, MAX_LOGGED};

/// Reads a log line by line.
#[derive(Default)]
pub(super) struct Reader {
    open: Option<Open>,
    found: Vec<Found>,
    /// Bytes of the texts that are kept.
    bytes: usize,
    left_out: u64,
}

struct Open {
    duration_ms: f64,
    line: usize,
    text: String,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// Every following line begins with a tab, or in syslog with a prefix and `#011`.
    Tabs,
    /// It ends with the quotation mark that closes the field.
    Csv,
}

impl Reader {
    /// Takes the next line, its line break included or not.
    pub(super) fn push(&mut self, number: usize, line: &str) {
        let line = line.trim_end_matches(['\n', '\r']);
        if let Some(open) = &mut self.open {
            match open.kind {
                Kind::Csv => {
                    let ended = push_csv(&mut open.text, line);
                    if ended {
                        self.close();
                    }
                    return;
                }
                Kind::Tabs => {
                    let rest = line
                        .strip_prefix('\t')
                        .map(str::to_owned)
                        .or_else(|| line.split_once("#011").map(|(_, rest)| rest.replace("#011", "\t")));
                    // An empty line of a statement's text is logged as a tab alone, and editors trim those.
                    if let Some(rest) = rest.or_else(|| line.is_empty().then(String::new)) {
                        if !open.text.is_empty() {
                            open.text.push('\n');
                        }
                        open.text.push_str(&rest);
                        return;
                    }
                    self.close();
                }
            }
        }
        let Some((at, duration_ms, after)) = marker(line) else { return };
        let before = &line[..at];
        if before.trim_start().starts_with('{') {
            self.push_json(number, line);
        } else if before.ends_with('"') {
            let mut text = String::new();
            let ended = push_csv(&mut text, &line[after..]);
            self.open = Some(Open { duration_ms, line: number, text, kind: Kind::Csv });
            if ended {
                self.close();
            }
        } else {
            self.open = Some(Open { duration_ms, line: number, text: String::new(), kind: Kind::Tabs });
        }
    }

    /// The plans, the longest first, and how many there were besides.
    pub(super) fn finish(mut self) -> (Vec<Found>, u64) {
        self.close();
        sort(&mut self.found);
        let beyond = self.found.len().saturating_sub(MAX_LOGGED);
        self.found.truncate(MAX_LOGGED);
        (self.found, self.left_out + beyond as u64)
    }

    fn push_json(&mut self, number: usize, line: &str) {
        let Ok(value) = serde_json::from_str::<serde_json::Value>(line) else { return };
        let Some(message) = value.get("message").and_then(|m| m.as_str()) else { return };
        let Some((0, duration_ms, after)) = marker(message) else { return };
        let text = message[after..].trim_start_matches('\n').to_owned();
        self.keep(Found { duration_ms: Some(duration_ms), line: number, body: Body::Text(text) });
    }

    fn close(&mut self) {
        let Some(open) = self.open.take() else { return };
        let text = open.text.trim_start_matches('\n').trim_end().to_owned();
        if !text.is_empty() {
            self.keep(Found { duration_ms: Some(open.duration_ms), line: open.line, body: Body::Text(text) });
        }
    }

    fn keep(&mut self, found: Found) {
        self.bytes += size(&found);
        self.found.push(found);
        if self.found.len() >= 2 * MAX_LOGGED || self.bytes > MAX_BYTES {
            sort(&mut self.found);
            let before = self.found.len();
            self.found.truncate(MAX_LOGGED.min(before.div_ceil(2)));
            self.left_out += (before - self.found.len()) as u64;
            self.bytes = self.found.iter().map(size).sum();
        }
    }
}

fn size(found: &Found) -> usize {
    match &found.body {
        Body::Text(text) => text.len(),
        Body::Json(_) => 0,
    }
}

pub(super) fn sort(found: &mut [Found]) {
    let duration = |f: &Found| f.duration_ms.unwrap_or(0.0);
    found.sort_by(|a, b| duration(b).total_cmp(&duration(a)).then(a.line.cmp(&b.line)));
}

/// Where `duration: 12.345 ms  plan:` stands in a line, the duration, and where the mark ends. It counts
/// at the beginning of a message only: after `LOG:  `, or after the quotation mark of a CSV field or a
/// JSON string.
pub(super) fn marker(line: &str) -> Option<(usize, f64, usize)> {
    for (at, word) in line.match_indices("duration: ") {
        let rest = &line[at + word.len()..];
        let Some(end) = rest.find(" ms  plan:") else { continue };
        let Ok(ms) = rest[..end].parse::<f64>() else { continue };
        let before = &line[..at];
        if ms.is_finite() && (before.is_empty() || before.ends_with(":  ") || before.ends_with('"')) {
            return Some((at, ms, at + word.len() + end + " ms  plan:".len()));
        }
    }
    None
}

/// Adds a line of a quoted CSV field, its doubled marks made single; says whether the field ended.
fn push_csv(text: &mut String, line: &str) -> bool {
    if !text.is_empty() {
        text.push('\n');
    }
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if chars.peek() == Some(&'"') => {
                chars.next();
                text.push('"');
            }
            '"' => return true,
            c => text.push(c),
        }
    }
    // An empty first line must not be forgotten: the next one begins a new line all the same.
    if text.is_empty() {
        text.push('\n');
    }
    false
}
