//! How is the bound of a partition written, and how is it read?
//!
//! Source: PostgreSQL manual, "CREATE TABLE", `partition_bound_spec`; `pg_get_expr(relpartbound, oid)` gives it in a
//! form that depends on the session's `DateStyle` and `TimeZone`, which pgwright's sessions set to ISO; times are
//! written here with their offset and read with any.

use std::fmt::Write as _;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use model::partition_set::Division;
use model::{KeyKind, quote_identifier, quote_literal};
use serde::{Deserialize, Serialize};

use crate::calendar::{MICROS_PER_DAY, micros_of_clock};

/// A point of a range key: microseconds since 1970 for times (for those without a zone, of what the clock shows),
/// the number itself for numbers. `i64::MIN` and `i64::MAX` are `-infinity` and `infinity` of times.
pub type Key = i64;

/// One end of a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Edge {
    /// `MINVALUE`
    Min,
    /// A key.
    At(Key),
    /// `MAXVALUE`
    Max,
}

/// What a partition takes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// Keys from one inclusive to another exclusive.
    Range {
        /// The first key.
        lower: Edge,
        /// The first key that is not in it.
        upper: Edge,
    },
    /// Values of a list; `None` is NULL.
    Values(Vec<Option<String>>),
    /// One remainder of hashes.
    Remainder {
        /// By what hashes are divided.
        modulus: u32,
        /// What remains.
        remainder: u32,
    },
    /// What no other partition takes.
    Default,
}

impl Bound {
    /// A range between two keys.
    pub fn between(lower: Key, upper: Key) -> Self {
        Self::Range { lower: Edge::At(lower), upper: Edge::At(upper) }
    }

    /// The ends of a range.
    pub fn range(&self) -> Option<(Edge, Edge)> {
        match self {
            Self::Range { lower, upper } => Some((*lower, *upper)),
            _ => None,
        }
    }

    /// `FOR VALUES …` or `DEFAULT`.
    pub fn sql(&self, kind: KeyKind) -> String {
        match self {
            Self::Range { lower, upper } => {
                format!("FOR VALUES FROM ({}) TO ({})", edge_sql(*lower, kind), edge_sql(*upper, kind))
            }
            Self::Values(values) => {
                let values: Vec<String> =
                    values.iter().map(|v| v.as_deref().map_or("NULL".to_owned(), quote_literal)).collect();
                format!("FOR VALUES IN ({})", values.join(", "))
            }
            Self::Remainder { modulus, remainder } => {
                format!("FOR VALUES WITH (modulus {modulus}, remainder {remainder})")
            }
            Self::Default => "DEFAULT".to_owned(),
        }
    }

    /// A condition that the partition's rows fulfil and that implies its bound, for a CHECK that spares `ATTACH
    /// PARTITION` its scan. `None` for hashes and DEFAULT.
    pub fn check_sql(&self, division: &Division) -> Option<String> {
        let key = quote_identifier(&division.key);
        match self {
            Self::Range { lower, upper } => {
                let mut sql = format!("{key} IS NOT NULL");
                for (operator, edge) in [(">=", lower), ("<", upper)] {
                    if let Edge::At(at) = edge {
                        let _ = write!(sql, " AND {key} {operator} {}", typed_literal(*at, division.kind));
                    }
                }
                Some(sql)
            }
            Self::Values(values) => {
                let some: Vec<String> = values.iter().flatten().map(|v| quote_literal(v)).collect();
                let is_in = (!some.is_empty()).then(|| format!("{key} IN ({})", some.join(", ")));
                let has_null = values.iter().any(Option::is_none);
                match (is_in, has_null) {
                    (Some(is_in), false) => Some(format!("{key} IS NOT NULL AND {is_in}")),
                    (Some(is_in), true) => Some(format!("{key} IS NULL OR {is_in}")),
                    (None, true) => Some(format!("{key} IS NULL")),
                    (None, false) => None,
                }
            }
            Self::Remainder { .. } | Self::Default => None,
        }
    }

    /// Whether two ranges share a key.
    pub fn overlaps(&self, other: &Self) -> bool {
        match (self.range(), other.range()) {
            (Some((a, b)), Some((c, d))) => a < d && c < b,
            _ => false,
        }
    }

    /// Reads what the server prints; `None` when it is not understood, as with keys of several columns.
    pub fn parse(text: &str, kind: KeyKind) -> Option<Self> {
        let text = text.trim();
        if text == "DEFAULT" {
            return Some(Self::Default);
        }
        let inner = text.strip_prefix("FOR VALUES ")?;
        if let Some(range) = inner.strip_prefix("FROM (") {
            let (lower, upper) = range.strip_suffix(')')?.split_once(") TO (")?;
            return Some(Self::Range { lower: parse_edge(lower, kind)?, upper: parse_edge(upper, kind)? });
        }
        if let Some(list) = inner.strip_prefix("IN (") {
            return parse_values(list.strip_suffix(')')?).map(Self::Values);
        }
        let (modulus, remainder) =
            inner.strip_prefix("WITH (modulus ")?.strip_suffix(')')?.split_once(", remainder ")?;
        Some(Self::Remainder { modulus: modulus.parse().ok()?, remainder: remainder.parse().ok()? })
    }
}

/// A point as SQL writes it in a bound.
pub(crate) fn edge_sql(edge: Edge, kind: KeyKind) -> String {
    match edge {
        Edge::Min => "MINVALUE".to_owned(),
        Edge::Max => "MAXVALUE".to_owned(),
        Edge::At(key) => quote_literal(&key_text(key, kind)),
    }
}

/// A key as a constant of its type.
pub fn typed_literal(key: Key, kind: KeyKind) -> String {
    let type_name = match kind {
        KeyKind::TimestampTz => "pg_catalog.timestamptz",
        KeyKind::Timestamp => "pg_catalog.timestamp",
        KeyKind::Date => "pg_catalog.date",
        KeyKind::SmallInt => "pg_catalog.int2",
        KeyKind::Integer => "pg_catalog.int4",
        KeyKind::BigInt => "pg_catalog.int8",
        KeyKind::UuidV7 => "pg_catalog.uuid",
        KeyKind::List | KeyKind::Hash => "pg_catalog.text",
    };
    format!("{}::{type_name}", quote_literal(&key_text(key, kind)))
}

/// A key as text, in the form that does not depend on the session.
pub fn key_text(key: Key, kind: KeyKind) -> String {
    match kind {
        KeyKind::TimestampTz | KeyKind::Timestamp | KeyKind::Date if key == i64::MIN => {
            "-infinity".to_owned()
        }
        KeyKind::TimestampTz | KeyKind::Timestamp | KeyKind::Date if key == i64::MAX => "infinity".to_owned(),
        KeyKind::TimestampTz => format!("{}+00", clock_text(key)),
        KeyKind::Timestamp => clock_text(key),
        KeyKind::Date => clock_text(key).chars().take(10).collect(),
        KeyKind::UuidV7 => uuid_text(key),
        KeyKind::SmallInt | KeyKind::Integer | KeyKind::BigInt | KeyKind::List | KeyKind::Hash => {
            key.to_string()
        }
    }
}

/// A key in words: of a UUID the time that it stands for.
pub fn key_words(key: Key, kind: KeyKind) -> String {
    match kind {
        KeyKind::UuidV7 => key_text(key, KeyKind::TimestampTz),
        _ => key_text(key, kind),
    }
}

fn clock_text(micros: Key) -> String {
    let Ok(timestamp) = Timestamp::from_microsecond(micros) else { return micros.to_string() };
    let clock = TimeZone::UTC.to_datetime(timestamp);
    let (date, time) = (clock.date(), clock.time());
    let mut text = format!(
        "{:04}-{:02}-{:02} {:02}:{:02}:{:02}",
        date.year(),
        date.month(),
        date.day(),
        time.hour(),
        time.minute(),
        time.second()
    );
    let fraction = time.subsec_nanosecond() / 1000;
    if fraction != 0 {
        let _ = write!(text, ".{fraction:06}");
    }
    text
}

/// The smallest UUID whose first 48 bits are a time in milliseconds.
fn uuid_text(micros: Key) -> String {
    let millis = micros.div_euclid(1000).clamp(0, (1 << 48) - 1);
    format!("{:08x}-{:04x}-0000-0000-000000000000", millis >> 16, millis & 0xffff)
}

fn parse_edge(text: &str, kind: KeyKind) -> Option<Edge> {
    match text {
        "MINVALUE" => Some(Edge::Min),
        "MAXVALUE" => Some(Edge::Max),
        _ => {
            let bare = text.strip_prefix('\'').and_then(|t| t.strip_suffix('\'')).unwrap_or(text);
            parse_key(bare, kind).map(Edge::At)
        }
    }
}

/// A key as the server prints it; `-infinity` and `infinity` are the ends of [`Key`].
pub(crate) fn parse_key(text: &str, kind: KeyKind) -> Option<Key> {
    match kind {
        KeyKind::SmallInt | KeyKind::Integer | KeyKind::BigInt => text.parse().ok(),
        KeyKind::UuidV7 => {
            let digits: String = text.chars().filter(|c| *c != '-').take(12).collect();
            if text.len() != 36 {
                return None;
            }
            i64::from_str_radix(&digits, 16).ok()?.checked_mul(1000)
        }
        KeyKind::TimestampTz | KeyKind::Timestamp | KeyKind::Date => match text {
            "-infinity" => Some(i64::MIN),
            "infinity" => Some(i64::MAX),
            _ => parse_time(text, kind),
        },
        KeyKind::List | KeyKind::Hash => None,
    }
}

fn parse_time(text: &str, kind: KeyKind) -> Option<Key> {
    let (date, rest) = text.split_at_checked(text.find(' ').unwrap_or(text.len()))?;
    let date: Date = date.parse().ok()?;
    let rest = rest.trim_start();
    if rest.is_empty() {
        return micros_of_clock(date.at(0, 0, 0, 0)).ok();
    }
    // The offset begins behind the time: +02, -03:30, +05:53:28.
    let (time, offset) = rest.split_at_checked(rest.find(['+', '-']).unwrap_or(rest.len()))?;
    let clock: DateTime = date.to_datetime(time.parse().ok()?);
    let micros = micros_of_clock(clock).ok()?;
    match (kind, offset.is_empty()) {
        (KeyKind::TimestampTz, false) => micros.checked_sub(offset_micros(offset)?),
        (KeyKind::TimestampTz, true) => None,
        (KeyKind::Date, _) => Some(micros.div_euclid(MICROS_PER_DAY) * MICROS_PER_DAY),
        _ => Some(micros),
    }
}

fn offset_micros(text: &str) -> Option<i64> {
    let sign = if text.starts_with('-') { -1 } else { 1 };
    let mut seconds = 0;
    for (part, weight) in text.get(1..)?.split(':').zip([3600, 60, 1]) {
        seconds += part.parse::<i64>().ok()? * weight;
    }
    Some(sign * seconds * 1_000_000)
}

/// `'a', 'it''s', NULL`, or bare numbers and words as the server prints them.
fn parse_values(text: &str) -> Option<Vec<Option<String>>> {
    let mut values = Vec::new();
    let mut chars = text.chars().peekable();
    loop {
        while chars.peek().is_some_and(|c| *c == ' ') {
            chars.next();
        }
        // E'…' is how a backslash is printed.
        let escaped = chars.peek() == Some(&'E') && {
            let mut ahead = chars.clone();
            ahead.next();
            ahead.peek() == Some(&'\'')
        };
        if escaped {
            chars.next();
        }
        if chars.peek() == Some(&'\'') {
            chars.next();
            let mut value = String::new();
            loop {
                match chars.next()? {
                    '\'' if chars.peek() == Some(&'\'') => {
                        chars.next();
                        value.push('\'');
                    }
                    '\'' => break,
                    '\\' if escaped => value.push(chars.next()?),
                    c => value.push(c),
                }
            }
            values.push(Some(value));
        } else {
            let mut word = String::new();
            while let Some(c) = chars.next_if(|c| *c != ',') {
                word.push(c);
            }
            match word.trim() {
                "" => return None,
                "NULL" => values.push(None),
                word => values.push(Some(word.to_owned())),
            }
        }
        match chars.next() {
            None => return Some(values),
            Some(',') => {}
            Some(_) => return None,
        }
    }
}
