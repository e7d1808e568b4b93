//! Lines with a prefix. An entry is a line with a severity, lines that begin with a tab, and further parts (DETAIL, STATEMENT, …)
//! with a prefix of their own, which the server writes in one piece (`send_message_to_server_log()`).

use std::borrow::Cow;

use super::{Lines, lines};
use crate::entry::{Entry, Origin, Severity};
use crate::prefix::{Label, Part, Prefix};

/// Where each part of the open entry stands in the text.
struct Open<'a> {
    origin: Origin<'a>,
    severity: Severity,
    /// Message, DETAIL, HINT, CONTEXT, STATEMENT, others: from and to.
    parts: [(usize, usize); 6],
    /// The one that the next line continues.
    growing: usize,
}

pub(super) fn cut(prefix: &Prefix, text: &[u8]) -> Option<usize> {
    let mut end = text.len();
    while end > 0 {
        let begin = memchr::memrchr(b'\n', &text[..end - 1]).map_or(0, |at| at + 1);
        let line = &text[begin..end];
        let begins = line.first() != Some(&b'\t')
            && prefix.head(line.trim_ascii_end()).is_some_and(|h| matches!(h.label, Label::Entry(_)));
        if begins {
            return (begin > 0).then_some(begin);
        }
        end = begin;
    }
    None
}

pub(super) fn read(prefix: &Prefix, text: &[u8], take: &mut dyn FnMut(&Entry<'_>)) -> Lines {
    let mut open: Option<Open<'_>> = None;
    let mut unread = Lines::default();
    for (at, line) in lines(text) {
        let head = if line.first() == Some(&b'\t') { None } else { prefix.head(line) };
        let end = at + line.len();
        match (head, &mut open) {
            (None, None) => unread.push(line),
            (None, Some(open)) => open.parts[open.growing].1 = end,
            (Some(head), open) => match head.label {
                Label::Entry(severity) => {
                    let mut parts = [(0, 0); 6];
                    parts[0] = (at + head.text_at, end);
                    let next = Open { origin: head.origin, severity, parts, growing: 0 };
                    if let Some(done) = open.replace(next) {
                        give(text, &done, take);
                    }
                }
                Label::Part(part) => match open {
                    Some(open) if open.origin.backend() == head.origin.backend() => {
                        open.growing = match part {
                            Part::Detail => 1,
                            Part::Hint => 2,
                            Part::Context => 3,
                            Part::Statement => 4,
                            Part::Other => 5,
                        };
                        open.parts[open.growing] = (at + head.text_at, end);
                    }
                    _ => unread.push(line),
                },
            },
        }
    }
    if let Some(done) = open {
        give(text, &done, take);
    }
    unread
}

fn give(text: &[u8], open: &Open<'_>, take: &mut dyn FnMut(&Entry<'_>)) {
    let part = |n: usize| Cow::Borrowed(&text[open.parts[n].0..open.parts[n].1]);
    take(&Entry {
        origin: open.origin,
        severity: open.severity,
        message: part(0),
        detail: part(1),
        hint: part(2),
        context: part(3),
        statement: part(4),
    });
}
