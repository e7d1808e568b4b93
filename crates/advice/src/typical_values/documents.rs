//! What is in the documents of a `jsonb` column? Read from the sample that its statistics are.
//!
//! The most common values and the histogram bounds of a `jsonb` column are whole documents, about a hundred of them,
//! spread evenly over the column's order: a sample that tells which keys documents have, at which paths, with how many
//! different values. `ANALYZE` leaves documents wider than a kilobyte out (`WIDTH_THRESHOLD` in analyze.c), and `json`
//! has no order and so no sample; then nothing is known.

use std::collections::BTreeMap;

use model::snapshot::ColumnStatistics;
use serde_json::Value as Json;

/// A sample of documents.
#[derive(Clone, Debug, Default)]
pub(super) struct Documents {
    documents: Vec<Json>,
}

/// What stands at one path of the documents that have it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct AtPath {
    /// The keys that lead there.
    pub path: Vec<String>,
    /// The share of the documents that have it.
    pub presence: f64,
    /// About how many different values stand there in `rows` documents.
    pub distinct: f64,
    /// Whether it is a string, a number or a truth value everywhere.
    pub scalar: bool,
    /// Whether every value reads as a number.
    pub numeric: bool,
    /// The share of the values that are true, where every value reads as a truth value.
    pub truth: Option<f64>,
    /// One of the values.
    pub example: Json,
}

/// How deep paths are followed, and how many are kept.
const MAX_DEPTH: usize = 5;
const MAX_PATHS: usize = 400;

impl Documents {
    pub(super) fn of(statistics: &ColumnStatistics) -> Self {
        let texts = statistics.common_values().into_iter().map(|(v, _)| v).chain(statistics.histogram());
        Self { documents: texts.filter_map(|t| serde_json::from_str(&t).ok()).collect() }
    }

    /// Everything that the documents hold under keys, shortest paths first.
    pub(super) fn paths(&self, rows: f64) -> Vec<AtPath> {
        let mut found: BTreeMap<Vec<String>, Vec<&Json>> = BTreeMap::new();
        for document in &self.documents {
            walk(document, &mut Vec::new(), &mut found);
        }
        let all = self.documents.len().max(1) as f64;
        let mut paths: Vec<AtPath> = found
            .into_iter()
            .map(|(path, values)| AtPath {
                path,
                presence: values.len() as f64 / all,
                distinct: distinct(&values, rows * values.len() as f64 / all),
                scalar: values.iter().all(|v| !v.is_object() && !v.is_array()),
                numeric: values.iter().all(|v| match v {
                    Json::Number(_) => true,
                    Json::String(text) => text.trim().parse::<f64>().is_ok(),
                    _ => false,
                }),
                truth: truth(&values),
                example: values[values.len() / 2].clone(),
            })
            .collect();
        paths.sort_by(|a, b| a.path.len().cmp(&b.path.len()).then_with(|| a.path.cmp(&b.path)));
        paths.truncate(MAX_PATHS);
        paths
    }

    /// Parts of documents for `@>`, from a common one to a rare one.
    pub(super) fn parts(&self) -> Vec<Json> {
        let mut counted: BTreeMap<String, (usize, Json)> = BTreeMap::new();
        for document in &self.documents {
            for part in scalar_parts(document, 0) {
                counted.entry(part.to_string()).or_insert((0, part)).0 += 1;
            }
        }
        let mut parts: Vec<(usize, Json)> = counted.into_values().collect();
        // The sort is stable, so equal ones stay in the order of their texts.
        parts.sort_by_key(|(times, _)| std::cmp::Reverse(*times));
        let mut chosen: Vec<Json> = Vec::new();
        for at in [parts.len() / 2, 0, parts.len().saturating_sub(1)] {
            if let Some((_, part)) = parts.get(at)
                && !chosen.contains(part)
            {
                chosen.push(part.clone());
            }
        }
        chosen
    }

    /// A path expression that some documents satisfy, for `@?`: a path to a scalar and its value.
    pub(super) fn path_query(&self) -> Option<(String, String)> {
        let part = self.documents.iter().find_map(|d| scalar_parts(d, 0).into_iter().next_back())?;
        let mut path = String::from("$");
        let mut at = &part;
        loop {
            match at {
                Json::Object(members) => {
                    let (key, inner) = members.iter().next()?;
                    path.push_str(&format!(".{}", Json::String(key.clone())));
                    at = inner;
                }
                Json::Array(items) => {
                    path.push_str("[*]");
                    at = items.first()?;
                }
                scalar => return Some((path, scalar.to_string())),
            }
        }
    }

    /// Keys of the documents' top level with the share of documents that have them, the rarest first.
    pub(super) fn keys(&self) -> Vec<(String, f64)> {
        let mut counted: BTreeMap<&String, usize> = BTreeMap::new();
        for key in self.documents.iter().filter_map(Json::as_object).flat_map(|o| o.keys()) {
            *counted.entry(key).or_default() += 1;
        }
        let all = self.documents.len().max(1) as f64;
        let mut keys: Vec<(String, f64)> =
            counted.into_iter().map(|(key, n)| (key.clone(), n as f64 / all)).collect();
        keys.sort_by(|a, b| a.1.total_cmp(&b.1));
        keys
    }
}

fn walk<'d>(value: &'d Json, path: &mut Vec<String>, found: &mut BTreeMap<Vec<String>, Vec<&'d Json>>) {
    let Json::Object(members) = value else { return };
    if path.len() >= MAX_DEPTH {
        return;
    }
    for (key, inner) in members {
        path.push(key.clone());
        found.entry(path.clone()).or_default().push(inner);
        walk(inner, path, found);
        path.pop();
    }
}

/// The share of values that are true, where PostgreSQL reads each as a truth value.
fn truth(values: &[&Json]) -> Option<f64> {
    let read = |value: &Json| match value {
        Json::Bool(value) => Some(*value),
        Json::Number(number) => number.as_i64().filter(|n| (0..=1).contains(n)).map(|n| n == 1),
        Json::String(text) => match text.trim().to_ascii_lowercase().as_str() {
            "t" | "true" | "y" | "yes" | "on" | "1" => Some(true),
            "f" | "false" | "n" | "no" | "off" | "0" => Some(false),
            _ => None,
        },
        _ => None,
    };
    // NULL is neither.
    let known: Vec<bool> =
        values.iter().filter(|v| !v.is_null()).map(|v| read(v)).collect::<Option<Vec<bool>>>()?;
    let true_ones = known.iter().filter(|value| **value).count();
    (!known.is_empty()).then(|| true_ones as f64 / values.len() as f64)
}

/// Each scalar of a document with nothing but the way to it.
fn scalar_parts(value: &Json, depth: usize) -> Vec<Json> {
    match value {
        Json::Object(members) if depth < MAX_DEPTH => members
            .iter()
            .flat_map(|(key, inner)| {
                let wrap = move |part: Json| serde_json::json!({ key.as_str(): part });
                scalar_parts(inner, depth + 1).into_iter().map(wrap)
            })
            .collect(),
        Json::Array(items) if depth < MAX_DEPTH => {
            let first = items.first().map(|item| scalar_parts(item, depth + 1)).unwrap_or_default();
            first.into_iter().map(|part| Json::Array(vec![part])).collect()
        }
        Json::Object(_) | Json::Array(_) | Json::Null => Vec::new(),
        scalar => vec![scalar.clone()],
    }
}

/// How many different values `rows` rows have, from how often two of a sample agree: of n draws from D values,
/// n(n-1)/2D pairs are equal.
fn distinct(sample: &[&Json], rows: f64) -> f64 {
    let mut counted: BTreeMap<String, f64> = BTreeMap::new();
    for value in sample {
        *counted.entry(value.to_string()).or_default() += 1.0;
    }
    let n = sample.len() as f64;
    let equal: f64 = counted.values().map(|c| c * (c - 1.0) / 2.0).sum();
    if equal < 0.5 {
        // No two agree: at least as many as that makes likely, and perhaps all differ. The geometric mean.
        return (n * n * rows.max(1.0)).sqrt().min(rows).max(1.0);
    }
    (n * (n - 1.0) / 2.0 / equal).clamp(counted.len() as f64, rows.max(counted.len() as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn documents(texts: &[&str]) -> Documents {
        Documents { documents: texts.iter().map(|t| serde_json::from_str(t).unwrap()).collect() }
    }

    #[test]
    fn paths_tell_what_stands_where() {
        let sample = documents(&[
            r#"{"kind": "a", "at": {"city": "x", "zip": 1}}"#,
            r#"{"kind": "a", "at": {"city": "y", "zip": 2}}"#,
            r#"{"kind": "b", "at": {"city": "z", "zip": 3}, "rare": true}"#,
        ]);
        let paths = sample.paths(1000.0);
        let at = |path: &str| paths.iter().find(|p| p.path.join(".") == path).unwrap();
        assert!(at("kind").distinct < 4.0 && at("at.zip").distinct > 50.0);
        assert!(at("at.zip").numeric && !at("at.city").numeric && !at("at").scalar);
        assert!((at("rare").presence - 1.0 / 3.0).abs() < 1e-9);
        assert_eq!((at("rare").truth, at("kind").truth, at("at.zip").truth), (Some(1.0), None, None));
        assert_eq!(sample.keys()[0].0, "rare");
        assert_eq!(sample.path_query(), Some((r#"$."kind""#.into(), r#""a""#.into())));
        let nested = documents(&[r#"{"specs": [{"value": 7}]}"#]);
        assert_eq!(nested.path_query(), Some((r#"$."specs"[*]."value""#.into(), "7".into())));
        assert_eq!(nested.parts(), [serde_json::json!({"specs": [{"value": 7}]})]);
    }
}
