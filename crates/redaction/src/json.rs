//! How does a JSON document keep its form while its keys, texts and numbers are replaced?
//!
//! Source: PostgreSQL manual, "JSON Types". The text is gone through once, so numbers keep all their digits.

use crate::kind::Kind;
use crate::values::Replace;

/// The document with stand-ins; `None` when it is not one, or one of its parts has no stand-in.
pub(crate) fn document(text: &str, replace: &mut dyn Replace) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '"' => {
                let length = string_length(rest)?;
                let value: String = serde_json::from_str(&rest[..length]).ok()?;
                let is_key = rest[length..].trim_start().starts_with(':');
                let kind = if is_key { Kind::Word } else { Kind::text() };
                out.push_str(&serde_json::to_string(&replace.scalar(&kind, &value)?).ok()?);
                length
            }
            '-' | '0'..='9' => {
                let length = rest.find(|c: char| !"+-.eE0123456789".contains(c)).unwrap_or(rest.len());
                out.push_str(&replace.scalar(&Kind::Number(None), &rest[..length])?);
                length
            }
            '{' | '}' | '[' | ']' | ',' | ':' => {
                out.push(first);
                1
            }
            c if c.is_ascii_whitespace() => {
                out.push(c);
                1
            }
            _ => {
                let word = ["true", "false", "null"].into_iter().find(|w| rest.starts_with(w))?;
                out.push_str(word);
                word.len()
            }
        };
        rest = &rest[length..];
    }
    Some(out)
}

/// Whether a text could be a JSON object or list, to be read as one.
pub(crate) fn looks_like_one(text: &str) -> bool {
    text.starts_with(['{', '[']) && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

fn string_length(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, letter) in text.char_indices().skip(1) {
        match letter {
            _ if std::mem::take(&mut escaped) => {}
            '\\' => escaped = true,
            '"' => return Some(at + 1),
            _ => {}
        }
    }
    None
}
