//! What does the user want to know beside? Queries in the format of `postgres_exporter`, which many already have.
//!
//! Source: postgres_exporter, "Adding new metrics via a config file" (`queries.yaml`): the name of an entry and of a
//! column, joined, is the metric's; `usage` says what a column is.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use chrono::DateTime;
use postgres::tokio_postgres::SimpleQueryRow;
use serde::Deserialize;

use crate::board::Chunk;
use crate::error::Error;
use crate::exposition::{Kind, label, number, number_of_server, sample};

/// A query of the user's own.
#[derive(Clone, Debug, PartialEq)]
pub struct CustomQuery {
    /// Its name, with which the names of its metrics begin.
    pub name: String,
    /// SQL that only reads.
    pub sql: String,
    /// How often it runs; as often as cheap collectors where it is not said.
    pub interval: Option<Duration>,
    /// The versions that it is for, as `>=13.0.0 <17.0.0`; empty for all.
    versions: Vec<Range>,
    columns: BTreeMap<String, Column>,
}

/// Conditions that all hold.
type Range = Vec<(Comparison, [u32; 3])>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Less,
    LessOrEqual,
    Equal,
    NotEqual,
    GreaterOrEqual,
    Greater,
}

#[derive(Clone, Debug, PartialEq)]
struct Column {
    usage: Usage,
    help: String,
    mapping: BTreeMap<String, f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Usage {
    Label,
    Counter,
    Gauge,
    Mapped,
    Duration,
    Discard,
}

#[derive(Deserialize)]
struct Entry {
    query: String,
    #[serde(default)]
    metrics: Vec<BTreeMap<String, Declared>>,
    #[serde(default)]
    cache_seconds: u64,
    #[serde(default)]
    runonserver: String,
}

#[derive(Deserialize)]
struct Declared {
    usage: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    metric_mapping: BTreeMap<String, f64>,
}

/// Understands a file of queries.
///
/// # Errors
/// [`Error::Queries`] with what is wrong, and where.
pub fn parse(file: &str, text: &str) -> Result<Vec<CustomQuery>, Error> {
    let wrong = |reason: String| Error::Queries { file: file.to_owned(), reason };
    let entries: BTreeMap<String, Entry> =
        serde_norway::from_str(text).map_err(|e| wrong(format!("{e}.")))?;
    let mut queries = Vec::new();
    for (name, entry) in entries {
        if !is_metric_name(&name) {
            return Err(wrong(format!("\"{name}\" cannot begin the name of a metric.")));
        }
        let mut columns = BTreeMap::new();
        for (column, declared) in entry.metrics.into_iter().flatten() {
            let usage = match declared.usage.to_ascii_uppercase().as_str() {
                "LABEL" => Usage::Label,
                "COUNTER" => Usage::Counter,
                "GAUGE" => Usage::Gauge,
                "MAPPEDMETRIC" => Usage::Mapped,
                "DURATION" => Usage::Duration,
                "DISCARD" => Usage::Discard,
                other => {
                    return Err(wrong(format!(
                        "Column \"{column}\" of \"{name}\" has usage {other}; known are LABEL, COUNTER, GAUGE, \
                         MAPPEDMETRIC, DURATION and DISCARD."
                    )));
                }
            };
            if !is_metric_name(&column) {
                return Err(wrong(format!(
                    "Column \"{column}\" of \"{name}\" cannot be the name of a label or metric."
                )));
            }
            let column_of = Column { usage, help: declared.description, mapping: declared.metric_mapping };
            columns.insert(column, column_of);
        }
        let versions = versions(&entry.runonserver).ok_or_else(|| {
            wrong(format!("\"{}\" of \"{name}\" is no range of versions.", entry.runonserver))
        })?;
        queries.push(CustomQuery {
            name,
            sql: entry.query,
            interval: (entry.cache_seconds > 0).then(|| Duration::from_secs(entry.cache_seconds)),
            versions,
            columns,
        });
    }
    Ok(queries)
}

fn is_metric_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// `>=10.0.0 <13.0.0 || 15.1.0`; `None` when it cannot be understood.
fn versions(text: &str) -> Option<Vec<Range>> {
    if text.trim().is_empty() {
        return Some(Vec::new());
    }
    text.split("||")
        .map(|range| {
            range
                .split_whitespace()
                .map(|condition| {
                    let digits = condition.find(|c: char| c.is_ascii_digit())?;
                    let comparison = match &condition[..digits] {
                        "<" => Comparison::Less,
                        "<=" => Comparison::LessOrEqual,
                        "" | "=" | "==" => Comparison::Equal,
                        "!" | "!=" => Comparison::NotEqual,
                        ">=" => Comparison::GreaterOrEqual,
                        ">" => Comparison::Greater,
                        _ => return None,
                    };
                    let mut parts = condition[digits..].split('.').map(|p| p.parse().ok());
                    let mut part = || parts.next().unwrap_or(Some(0));
                    Some((comparison, [part()?, part()?, part()?]))
                })
                .collect()
        })
        .collect()
}

impl CustomQuery {
    /// Whether it is for a server of this version.
    pub fn is_for(&self, version_num: i32) -> bool {
        let number = u32::try_from(version_num).unwrap_or(0);
        let found = [number / 10_000, number % 10_000, 0];
        let holds = |(comparison, wanted): &(Comparison, [u32; 3])| match comparison {
            Comparison::Less => found < *wanted,
            Comparison::LessOrEqual => found <= *wanted,
            Comparison::Equal => found == *wanted,
            Comparison::NotEqual => found != *wanted,
            Comparison::GreaterOrEqual => found >= *wanted,
            Comparison::Greater => found > *wanted,
        };
        self.versions.is_empty() || self.versions.iter().any(|range| range.iter().all(holds))
    }

    /// The text that runs it with the `search_path` that the role has.
    pub(crate) fn statement(&self) -> String {
        // One message is one transaction, at whose end this is undone.
        format!("SET LOCAL search_path TO DEFAULT; {}", self.sql)
    }

    /// Turns its rows into samples, and says how many had labels that an earlier one had.
    pub(crate) fn render(&self, rows: &[SimpleQueryRow]) -> (Vec<Chunk>, usize) {
        let Some(first) = rows.first() else { return (Vec::new(), 0) };
        let names: Vec<&str> = first.columns().iter().map(|c| c.name()).collect();
        let mut chunks: Vec<(usize, &Column, Chunk)> = Vec::new();
        let undeclared = Column { usage: Usage::Gauge, help: String::new(), mapping: BTreeMap::new() };
        for (at, name) in names.iter().enumerate() {
            let declared = self.columns.get(*name);
            let column = declared.unwrap_or(&undeclared);
            let (kind, unit) = match column.usage {
                Usage::Label | Usage::Discard => continue,
                Usage::Counter => (Kind::Counter, ""),
                Usage::Duration => (Kind::Gauge, "_milliseconds"),
                Usage::Gauge | Usage::Mapped if declared.is_some() => (Kind::Gauge, ""),
                _ if is_metric_name(name) => (Kind::Untyped, ""),
                _ => continue,
            };
            let name = format!("{}_{name}{unit}", self.name);
            let help =
                if column.help.is_empty() { format!("Column of {}", self.name) } else { column.help.clone() };
            chunks.push((at, column, Chunk::new(name, kind, help, String::new())));
        }
        let (mut seen, mut duplicates) = (HashSet::new(), 0);
        for row in rows {
            let mut block = String::new();
            for (at, name) in names.iter().enumerate() {
                if self.columns.get(*name).is_some_and(|c| c.usage == Usage::Label) {
                    label(name, row.get(at).unwrap_or(""), &mut block);
                }
            }
            if !seen.insert(block.clone()) {
                duplicates += 1;
                continue;
            }
            for (at, column, chunk) in &mut chunks {
                if let Some(value) = row.get(*at).and_then(|text| column.value(text)) {
                    sample(&chunk.name, &block, &value, &mut chunk.text);
                }
            }
        }
        (chunks.into_iter().map(|c| c.2).collect(), duplicates)
    }
}

impl Column {
    fn value(&self, text: &str) -> Option<String> {
        match self.usage {
            Usage::Mapped => self.mapping.get(text).map(|value| number(*value)),
            Usage::Duration => milliseconds(text).map(number),
            _ => match text {
                "t" => Some("1".into()),
                "f" => Some("0".into()),
                _ => number_of_server(text).map(str::to_owned).or_else(|| {
                    // Times become seconds since 1970.
                    let at = DateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f%#z").ok()?;
                    Some(number(at.timestamp_micros() as f64 / 1e6))
                }),
            },
        }
    }
}

/// `1.5s`, `200ms`, `1m30s`, as Go writes durations.
fn milliseconds(text: &str) -> Option<f64> {
    let (mut sum, mut rest) = (0.0, text.trim());
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let value: f64 = rest[..digits].parse().ok()?;
        let unit = &rest[digits..];
        let end = unit.find(|c: char| c.is_ascii_digit()).unwrap_or(unit.len());
        sum += value
            * match &unit[..end] {
                "ns" => 1e-6,
                "us" | "µs" => 1e-3,
                "ms" => 1.0,
                "s" => 1e3,
                "m" => 60e3,
                "h" => 3600e3,
                _ => return None,
            };
        rest = &unit[end..];
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
pg_slow_queries:
  query: |
    SELECT count(*) AS count FROM pg_stat_statements WHERE mean_exec_time > 100
  runonserver: ">=13.0.0 <19.0.0"
  cache_seconds: 30
  metrics:
    - count:
        usage: "GAUGE"
        description: "Number of queries with avg execution time > 100ms"
pg_state:
  query: "SELECT 'a' AS name, 'up' AS state"
  master: true
  metrics:
    - name:
        usage: "LABEL"
    - state:
        usage: "MAPPEDMETRIC"
        metric_mapping: { up: 1, down: 0 }
"#;

    #[test]
    fn the_format_of_postgres_exporter_is_understood() {
        let queries = parse("queries.yaml", FILE).unwrap();
        assert_eq!(
            queries.iter().map(|q| q.name.as_str()).collect::<Vec<_>>(),
            ["pg_slow_queries", "pg_state"]
        );
        assert_eq!(queries[0].interval, Some(Duration::from_secs(30)));
        assert!(queries[0].is_for(150_012) && !queries[0].is_for(120_000) && !queries[0].is_for(190_000));
        assert!(queries[1].is_for(130_000));
        assert_eq!(queries[1].columns["state"].value("up").as_deref(), Some("1"));
    }

    #[test]
    fn what_cannot_be_understood_is_said() {
        for (text, expected) in [
            ("a: [", "line"),
            ("\"b c\": { query: select 1 }", "cannot begin the name"),
            ("a: { query: select 1, metrics: [ { x: { usage: SUMMARY } } ] }", "usage SUMMARY"),
            ("a: { query: select 1, metrics: [ { \"x y\": { usage: GAUGE } } ] }", "\"x y\""),
            ("a: { query: select 1, runonserver: soon }", "no range of versions"),
            ("a: { metrics: [] }", "query"),
        ] {
            let error = parse("q.yaml", text).unwrap_err();
            assert!(error.detail().unwrap().contains(expected), "{text}: {error:?}");
        }
    }

    #[test]
    fn values_become_numbers() {
        let gauge = Column { usage: Usage::Gauge, help: String::new(), mapping: BTreeMap::new() };
        let value = |text: &str| gauge.value(text);
        assert_eq!(value("t").as_deref(), Some("1"));
        assert_eq!(value("2020-01-01 00:00:00.5+00").as_deref(), Some("1577836800.5"));
        assert_eq!(value("2020-01-01 02:00:00+02").as_deref(), Some("1577836800"));
        assert_eq!(value("x\ny 1"), None);
        assert_eq!(milliseconds("1m30.5s"), Some(90_500.0));
        assert_eq!(milliseconds("soon"), None);
    }
}
