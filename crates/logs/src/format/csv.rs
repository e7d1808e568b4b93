//! csvlog: records of comma-separated fields; a quoted field holds line breaks, and quotation marks doubled.

use std::borrow::Cow;

use super::Lines;
use crate::entry::{Entry, Origin, Severity, read_time};

const TIME: usize = 0;
const USER: usize = 1;
const DATABASE: usize = 2;
const PID: usize = 3;
const HOST: usize = 4;
const SESSION: usize = 5;
const SEVERITY: usize = 11;
const SQLSTATE: usize = 12;
const MESSAGE: usize = 13;
const DETAIL: usize = 14;
const HINT: usize = 15;
const CONTEXT: usize = 18;
const STATEMENT: usize = 19;
const APPLICATION: usize = 22;
/// Fields that every version since 9.0 writes.
const FIELDS: usize = 23;

/// Whether a line reads like the beginning of a record.
pub(super) fn reads(line: &[u8]) -> bool {
    read_time(line).is_some_and(|(_, zone, rest)| !zone.is_empty() && rest.first() == Some(&b','))
        && memchr::memchr_iter(b',', line).count() >= SEVERITY
}

pub(super) fn cut(text: &[u8]) -> Option<usize> {
    let mut inside = false;
    let mut last = None;
    for at in memchr::memchr2_iter(b'"', b'\n', text) {
        if text[at] == b'"' {
            inside = !inside;
        } else if !inside {
            last = Some(at + 1);
        }
    }
    last
}

pub(super) fn read(text: &[u8], take: &mut dyn FnMut(&Entry<'_>)) -> Lines {
    let mut unread = Lines::default();
    let mut at = 0;
    while at < text.len() {
        let begin = at;
        let mut fields: [Cow<'_, [u8]>; FIELDS] = std::array::from_fn(|_| Cow::Borrowed(&[][..]));
        let mut count = 0;
        loop {
            let (field, next) = read_field(text, at);
            if count < FIELDS {
                fields[count] = field;
            }
            count += 1;
            at = next;
            match text.get(at) {
                Some(b',') => at += 1,
                Some(_) => {
                    at += 1;
                    break;
                }
                None => break,
            }
        }
        match entry(&fields, count) {
            Some(entry) => take(&entry),
            None => {
                let line = &text[begin..at.min(text.len())];
                unread.push(line);
                // A record that was cut at its beginning can leave the quotation marks turned around: go on at the
                // next line that reads like a record.
                let mut line_at = begin;
                while let Some(n) = memchr::memchr(b'\n', &text[line_at..]) {
                    line_at += n + 1;
                    if line_at >= at
                        || reads(text[line_at..].split(|b| *b == b'\n').next().unwrap_or_default())
                    {
                        break;
                    }
                }
                if line_at > begin && line_at < at {
                    at = line_at;
                }
            }
        }
    }
    unread
}

/// A field without its quotation marks, and where it ends.
fn read_field(text: &[u8], at: usize) -> (Cow<'_, [u8]>, usize) {
    if text.get(at) != Some(&b'"') {
        let end = memchr::memchr2(b',', b'\n', &text[at..]).map_or(text.len(), |n| at + n);
        let field = &text[at..end];
        return (Cow::Borrowed(field.strip_suffix(b"\r").unwrap_or(field)), end);
    }
    let begin = at + 1;
    let mut from = begin;
    let mut joined: Vec<u8> = Vec::new();
    loop {
        let Some(n) = memchr::memchr(b'"', &text[from..]) else {
            // The file ends within the field.
            joined.extend_from_slice(&text[from..]);
            return (Cow::Owned(joined), text.len());
        };
        let mark = from + n;
        if text.get(mark + 1) == Some(&b'"') {
            joined.extend_from_slice(&text[from..=mark]);
            from = mark + 2;
            continue;
        }
        // What stands between the mark and the next comma does not belong to any field.
        let end = memchr::memchr2(b',', b'\n', &text[mark..]).map_or(text.len(), |n| mark + n);
        if joined.is_empty() {
            return (Cow::Borrowed(&text[begin..mark]), end);
        }
        joined.extend_from_slice(&text[from..mark]);
        return (Cow::Owned(joined), end);
    }
}

fn entry<'a>(fields: &'a [Cow<'a, [u8]>; FIELDS], count: usize) -> Option<Entry<'a>> {
    if count < FIELDS {
        return None;
    }
    let severity = Severity::read(&fields[SEVERITY])?;
    let (time_ms, zone, _) = read_time(&fields[TIME])?;
    Some(Entry {
        origin: Origin {
            time_ms: Some(time_ms),
            zone,
            pid: std::str::from_utf8(&fields[PID]).ok().and_then(|p| p.parse().ok()),
            session: &fields[SESSION],
            user: &fields[USER],
            database: &fields[DATABASE],
            application: &fields[APPLICATION],
            host: &fields[HOST],
            sqlstate: &fields[SQLSTATE],
        },
        severity,
        message: Cow::Borrowed(&fields[MESSAGE]),
        detail: Cow::Borrowed(&fields[DETAIL]),
        hint: Cow::Borrowed(&fields[HINT]),
        context: Cow::Borrowed(&fields[CONTEXT]),
        statement: Cow::Borrowed(&fields[STATEMENT]),
    })
}
