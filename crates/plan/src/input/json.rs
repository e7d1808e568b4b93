//! How is JSON read that is larger or deeper than a parser likes? Measured before it is parsed.
//!
//! `serde_json` stops at 128 levels, which is a plan of 60 nodes one below the other; a join of 70 tables
//! has more. Such a text is read here without recursion. What has more levels or values than any plan is
//! refused before memory is spent on it.

use serde_json::{Map, Value};

use crate::error::PlanError;
use crate::parse::MAX_DEPTH;

/// Levels of JSON that a plan of [`MAX_DEPTH`] nodes has: an object and an array each.
const MAX_LEVELS: usize = 2 * MAX_DEPTH + 100;

/// Values in a text: a node has about thirty.
const MAX_VALUES: usize = 6_000_000;

/// As deep as `serde_json` goes.
const PARSER_LEVELS: usize = 120;

/// All JSON values that stand one after the other in a text.
pub(super) fn values(text: &str) -> Result<Vec<Value>, PlanError> {
    if measure(text)? <= PARSER_LEVELS {
        let all: Result<Vec<Value>, _> = serde_json::Deserializer::from_str(text).into_iter().collect();
        return Ok(all?);
    }
    Deep { text, at: 0 }.values()
}

/// How many levels the text has.
fn measure(text: &str) -> Result<usize, PlanError> {
    let (mut level, mut deepest, mut values) = (0_usize, 0, 0);
    let (mut inside, mut escaped) = (false, false);
    for byte in text.bytes() {
        if inside {
            inside = byte != b'"' || escaped;
            escaped = byte == b'\\' && !escaped;
            continue;
        }
        match byte {
            b'"' => inside = true,
            b'[' | b'{' => {
                level += 1;
                deepest = deepest.max(level);
            }
            b']' | b'}' => level = level.saturating_sub(1),
            b',' => values += 1,
            _ => {}
        }
    }
    if deepest > MAX_LEVELS {
        return Err(PlanError::TooLarge { what: "levels", limit: MAX_DEPTH });
    }
    if values > MAX_VALUES {
        return Err(PlanError::TooLarge { what: "values", limit: MAX_VALUES });
    }
    Ok(deepest)
}

/// A reader without recursion; strings and numbers are the library's.
struct Deep<'a> {
    text: &'a str,
    at: usize,
}

enum Open {
    Array(Vec<Value>),
    Object(Map<String, Value>, Option<String>),
}

impl Deep<'_> {
    fn values(mut self) -> Result<Vec<Value>, PlanError> {
        let mut done = Vec::new();
        let mut open: Vec<Open> = Vec::new();
        loop {
            self.skip_space();
            let Some(byte) = self.text.as_bytes().get(self.at).copied() else { break };
            let value = match byte {
                b'[' => {
                    self.at += 1;
                    open.push(Open::Array(Vec::new()));
                    continue;
                }
                b'{' => {
                    self.at += 1;
                    open.push(Open::Object(Map::new(), None));
                    continue;
                }
                b']' | b'}' => {
                    self.at += 1;
                    match (open.pop(), byte) {
                        (Some(Open::Array(items)), b']') => Value::Array(items),
                        (Some(Open::Object(map, None)), b'}') => Value::Object(map),
                        _ => return Err(self.unexpected(1)),
                    }
                }
                b',' | b':' if !open.is_empty() => {
                    // Commas and colons are separators: what they separate tells the rest.
                    self.at += 1;
                    continue;
                }
                b'"' => self.string()?,
                _ => self.scalar()?,
            };
            match open.last_mut() {
                None => done.push(value),
                Some(Open::Array(items)) => items.push(value),
                Some(Open::Object(map, key)) => match (key.take(), value) {
                    (Some(name), value) => drop(map.insert(name, value)),
                    (None, Value::String(name)) => *key = Some(name),
                    (None, _) => return Err(self.unexpected(0)),
                },
            }
        }
        if open.is_empty() { Ok(done) } else { Err(self.unexpected(0)) }
    }

    fn skip_space(&mut self) {
        let rest = &self.text.as_bytes()[self.at..];
        self.at += rest.iter().take_while(|b| b.is_ascii_whitespace()).count();
    }

    fn string(&mut self) -> Result<Value, PlanError> {
        let rest = &self.text.as_bytes()[self.at..];
        let mut escaped = false;
        let end = rest.iter().skip(1).position(|b| {
            let closes = *b == b'"' && !escaped;
            escaped = *b == b'\\' && !escaped;
            closes
        });
        let Some(end) = end else { return Err(self.unexpected(0)) };
        self.take(end + 2)
    }

    fn scalar(&mut self) -> Result<Value, PlanError> {
        let rest = &self.text.as_bytes()[self.at..];
        let end = rest.iter().position(|b| b.is_ascii_whitespace() || b",]}:[{\"".contains(b));
        self.take(end.unwrap_or(rest.len()).max(1))
    }

    /// The value in the next bytes.
    fn take(&mut self, length: usize) -> Result<Value, PlanError> {
        let Some(text) = self.text.get(self.at..self.at + length) else { return Err(self.unexpected(0)) };
        let value = serde_json::from_str(text).map_err(|_| self.unexpected(0))?;
        self.at += length;
        Ok(value)
    }

    fn unexpected(&self, back: usize) -> PlanError {
        let at = self.at.saturating_sub(back);
        let before = self.text.as_bytes().get(..at).unwrap_or_default();
        let line = 1 + before.iter().filter(|b| **b == b'\n').count();
        if at >= self.text.trim_end().len() {
            return PlanError::CutOff {
                line,
                what: "The JSON text ends before its last bracket is closed.".into(),
            };
        }
        PlanError::DeepJson { line }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_without_recursion_are_those_of_the_library() {
        for text in [
            r#"[{"a": 1, "b": [true, null, -1.5e3, "x\"y\\", "é\u00e9"]}, []]"#,
            r#"{} [1] "x""#,
            "  ",
            r#"{"a":{"b":{"c":[]}}}"#,
        ] {
            let library: Result<Vec<Value>, _> =
                serde_json::Deserializer::from_str(text).into_iter().collect();
            assert_eq!(Deep { text, at: 0 }.values().unwrap(), library.unwrap(), "{text}");
        }
        for text in ["[", "{\"a\"", "[1}", "{1: 2}", "[tru]", "\"x", "]", "[1 \"]"] {
            assert!(Deep { text, at: 0 }.values().is_err(), "{text}");
        }
    }

    #[test]
    fn depth_and_number_are_bounded() {
        let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert_eq!(values(&deep(2_000)).unwrap().len(), 1);
        assert!(matches!(values(&deep(100_000)), Err(PlanError::TooLarge { what: "levels", .. })));
        let wide = format!("[{}1]", "1,".repeat(MAX_VALUES + 1));
        assert!(matches!(values(&wide), Err(PlanError::TooLarge { what: "values", .. })));
    }
}
