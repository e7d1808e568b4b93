//! How do rows of a query become samples? Labels once per row, then each value under its metric's name.

use std::collections::{BTreeMap, HashSet};

use postgres::metrics::{MetricKind, MetricQuery, Scope};
use postgres::tokio_postgres::SimpleQueryRow;

use crate::board::Chunk;
use crate::exposition::{label, number, number_of_server, sample};

/// The samples of a query, and how many rows had labels that an earlier one had.
#[derive(Debug, Default)]
pub(crate) struct Rendered {
    pub chunks: Vec<Chunk>,
    pub duplicates: usize,
    /// Rows that were summed because there were too many.
    pub summed: usize,
}

/// Which series have a place of their own. Who has one keeps it, so that what is summed under `other` does not go
/// down and up with the order of the rows.
#[derive(Debug, Default)]
pub(crate) struct Places {
    taken: HashSet<u64>,
}

/// Turns rows into samples; those beyond `limit` are summed under the label value `other`.
pub(crate) fn render(
    query: &MetricQuery,
    datname: &str,
    rows: &[SimpleQueryRow],
    limit: usize,
    places: &mut Places,
) -> Rendered {
    let mut texts: Vec<String> = vec![String::new(); query.metrics.len()];
    let mut rest: BTreeMap<usize, f64> = BTreeMap::new();
    let mut rendered = Rendered::default();
    let (mut seen, mut block) = (HashSet::with_capacity(rows.len()), String::new());
    let hashes: Vec<u64> = rows.iter().map(|row| labels(query, datname, row, &mut block)).collect();
    if rows.len() > limit {
        // Those that are gone make room.
        let present: HashSet<u64> = hashes.iter().copied().collect();
        places.taken.retain(|hash| present.contains(hash));
    }
    for (row, hash) in rows.iter().zip(hashes) {
        if !seen.insert(hash) {
            rendered.duplicates += 1;
            continue;
        }
        let has_place = rows.len() <= limit || places.taken.contains(&hash) || places.taken.len() < limit;
        if !has_place {
            rendered.summed += 1;
            for (at, _) in query.metrics.iter().enumerate().filter(|(_, m)| adds_up(m.kind, m.name)) {
                let value = row.get(query.labels.len() + at).and_then(|v| v.parse::<f64>().ok());
                *rest.entry(at).or_default() += value.unwrap_or(0.0);
            }
            continue;
        }
        if rows.len() > limit {
            places.taken.insert(hash);
        }
        labels(query, datname, row, &mut block);
        for (at, metric) in query.metrics.iter().enumerate() {
            if let Some(value) = row.get(query.labels.len() + at).and_then(number_of_server) {
                sample(metric.name, &block, value, &mut texts[at]);
            }
        }
    }
    if !rest.is_empty() {
        block.clear();
        if query.scope == Scope::Database {
            label("datname", datname, &mut block);
        }
        query.labels.iter().for_each(|name| label(name, "other", &mut block));
        for (at, value) in rest {
            sample(query.metrics[at].name, &block, &number(value), &mut texts[at]);
        }
    }
    rendered.chunks = query
        .metrics
        .iter()
        .zip(texts)
        .map(|(metric, text)| Chunk::new(metric.name, metric.kind.into(), metric.help, text))
        .collect();
    rendered
}

/// Writes the labels of a row into `block`, and gives their hash.
fn labels(query: &MetricQuery, datname: &str, row: &SimpleQueryRow, block: &mut String) -> u64 {
    block.clear();
    if query.scope == Scope::Database {
        label("datname", datname, block);
    }
    for (at, name) in query.labels.iter().enumerate() {
        label(name, row.get(at).unwrap_or(""), block);
    }
    twox_hash::XxHash64::oneshot(0, block.as_bytes())
}

/// Whether a sum over several objects says something.
fn adds_up(kind: MetricKind, name: &str) -> bool {
    kind == MetricKind::Counter || name.ends_with("_bytes") || name.ends_with("_rows")
}
