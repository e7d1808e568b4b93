//! How much of tables and indexes is free space, as far as statistics tell? The estimate is made elsewhere
//! ([`BloatEstimator`]) from a snapshot of the catalog; here it becomes samples.
//!
//! Statistics of every column are read for it, so it runs seldom, and not at once when pgwright begins.

use std::time::Duration;

use model::{QualifiedName, Snapshot};
use postgres::{Error, Session, snapshot};

use crate::board::Chunk;
use crate::exposition::{Kind, label, number, sample};

/// What a rewrite would give back of a table or an index.
#[derive(Clone, Debug, PartialEq)]
pub struct BloatEstimate {
    /// The table.
    pub table: QualifiedName,
    /// The index; `None` for the table itself.
    pub index: Option<String>,
    /// Its size in bytes.
    pub size_bytes: f64,
    /// What of it a rewrite would give back, in bytes; `None` where statistics do not tell.
    pub free_bytes: Option<f64>,
}

/// Estimates for every table and index of a snapshot.
pub type BloatEstimator = fn(&Snapshot) -> Vec<BloatEstimate>;

/// The collector's name.
pub(crate) const COLLECTOR: &str = "bloat";
/// How often it runs where nothing else is asked for.
pub(crate) const INTERVAL: Duration = Duration::from_secs(3600);
/// When it runs first: pgwright has enough to do when it begins.
pub(crate) const FIRST_AFTER: Duration = Duration::from_secs(60);
/// How long it waits for a lock on a table of which it asks the size.
const LOCK_TIMEOUT: Duration = Duration::from_secs(1);

/// What is told.
pub(crate) const METRICS: &[(&str, Kind, &str)] = &[
    (TABLES, Kind::Gauge, "Estimated bytes of the table that a rewrite would give back, without TOAST"),
    (INDEXES, Kind::Gauge, "Estimated bytes of the B-tree or hash index that a rewrite would give back"),
    (UNKNOWN, Kind::Gauge, "Bytes of tables and indexes for which statistics do not tell"),
];
const TABLES: &str = "postgres_table_bloat_bytes";
const INDEXES: &str = "postgres_index_bloat_bytes";
const UNKNOWN: &str = "postgres_bloat_not_estimated_bytes";

/// The largest of all tables or indexes as samples, and what the others add up to; how many those are.
fn chunk(
    name: &'static str,
    datname: &str,
    limit: usize,
    mut estimates: Vec<(&BloatEstimate, f64)>,
) -> (Chunk, usize) {
    estimates.sort_by(|a, b| {
        b.1.total_cmp(&a.1).then_with(|| (&a.0.table, &a.0.index).cmp(&(&b.0.table, &b.0.index)))
    });
    let mut text = String::new();
    let mut put = |schema: &str, table: &str, index: Option<&str>, value: f64| {
        let mut block = String::new();
        label("datname", datname, &mut block);
        label("schema", schema, &mut block);
        label("table", table, &mut block);
        if let Some(index) = index {
            label("index", index, &mut block);
        }
        sample(name, &block, &number(value), &mut text);
    };
    for (estimate, free) in estimates.iter().take(limit) {
        put(&estimate.table.schema, &estimate.table.name, estimate.index.as_deref(), *free);
    }
    let rest = estimates.get(limit..).unwrap_or_default();
    if !rest.is_empty() {
        let index = (name == INDEXES).then_some("other");
        put("other", "other", index, rest.iter().map(|(_, free)| free).sum());
    }
    (of(name, text), rest.len())
}

fn of(name: &str, text: String) -> Chunk {
    let (kind, help) = METRICS.iter().find(|m| m.0 == name).map_or((Kind::Gauge, ""), |m| (m.1, m.2));
    Chunk::new(name, kind, help, text)
}

/// Everything that is told of estimates, and how many relations were summed.
fn chunks(datname: &str, limit: usize, estimates: &[BloatEstimate]) -> (Vec<Chunk>, usize) {
    let known = |of_indexes: bool| -> Vec<(&BloatEstimate, f64)> {
        let those = estimates.iter().filter(|e| e.index.is_some() == of_indexes);
        those.filter_map(|e| Some((e, e.free_bytes?))).collect()
    };
    let (tables, tables_summed) = chunk(TABLES, datname, limit, known(false));
    let (indexes, indexes_summed) = chunk(INDEXES, datname, limit, known(true));
    // The sum of none is a negative zero.
    let unknown =
        estimates.iter().filter(|e| e.free_bytes.is_none()).map(|e| e.size_bytes).sum::<f64>() + 0.0;
    let (mut block, mut text) = (String::new(), String::new());
    label("datname", datname, &mut block);
    sample(UNKNOWN, &block, &number(unknown), &mut text);
    (vec![tables, indexes, of(UNKNOWN, text)], tables_summed + indexes_summed)
}

/// Reads the catalog and gives the estimates as samples, and how many relations were summed.
pub(crate) async fn collect(
    session: &Session,
    estimator: BloatEstimator,
    datname: &str,
    limit: usize,
) -> Result<(Vec<Chunk>, usize), Error> {
    let snapshot = snapshot::read_relations(session, LOCK_TIMEOUT).await?;
    Ok(chunks(datname, limit, &estimator(&snapshot)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_have_series_of_their_own_and_the_sum_stays_true() {
        let estimate = |table: &str, index: Option<&str>, free: Option<f64>| BloatEstimate {
            table: QualifiedName::new("public", table),
            index: index.map(Into::into),
            size_bytes: 1000.0,
            free_bytes: free,
        };
        let all = [
            estimate("a", None, Some(10.0)),
            estimate("b", None, Some(30.0)),
            estimate("c", None, Some(20.0)),
            estimate("a", Some("i\"j"), Some(5.0)),
            estimate("d", None, None),
        ];
        let (chunks, summed) = chunks("db", 1, &all);
        assert_eq!(summed, 2);
        assert_eq!(
            chunks[0].text,
            "postgres_table_bloat_bytes{datname=\"db\",schema=\"public\",table=\"b\"} 30\n\
             postgres_table_bloat_bytes{datname=\"db\",schema=\"other\",table=\"other\"} 30\n"
        );
        assert!(chunks[1].text.contains("index=\"i\\\"j\"} 5\n"), "{}", chunks[1].text);
        assert_eq!(chunks[2].text, "postgres_bloat_not_estimated_bytes{datname=\"db\"} 1000\n");
    }
}
