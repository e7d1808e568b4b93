//! What does an index cost: bytes, upkeep at every write, HOT updates that it prevents, time to build?
//!
//! Everything is expressed in milliseconds of the observed workload, so that it can be set against the
//! time that queries save. Source for HOT: `src/backend/access/heap/README.HOT`: an update that changes
//! any indexed column (INCLUDE and predicate columns too) writes a new entry into *every* index of the
//! table.

use std::collections::{BTreeMap, BTreeSet};

use model::{IndexDefinition, KeyTarget, QualifiedName, Snapshot};

use super::Options;
use crate::workload::{TableWrites, Workload};

/// Milliseconds for one B-tree entry where no measured insert tells: descent, insertion and WAL.
const ENTRY_MS: f64 = 0.008;

/// The price of one candidate over the observed workload.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CandidatePrice {
    /// Size when built.
    pub bytes: u64,
    /// Upkeep in milliseconds.
    pub write_ms: f64,
    /// What its bytes are worth, and what being one index more is, in milliseconds.
    pub space_ms: f64,
    /// Updates that would no longer be HOT.
    pub hot_lost: f64,
    /// Time to build in milliseconds.
    pub build_ms: f64,
}

impl CandidatePrice {
    /// Everything that is set against the time saved.
    pub fn total_ms(&self) -> f64 {
        self.write_ms + self.space_ms
    }
}

/// Prices candidates of one snapshot.
pub(crate) struct Pricing<'a> {
    snapshot: &'a Snapshot,
    writes: &'a BTreeMap<QualifiedName, TableWrites>,
    /// Milliseconds that a byte must save.
    ms_per_byte: f64,
    /// Milliseconds that any index must save.
    ms_per_index: f64,
}

impl<'a> Pricing<'a> {
    pub fn new(snapshot: &'a Snapshot, workload: &'a Workload, options: &Options) -> Self {
        let tables: u64 = snapshot.relations.iter().map(|r| r.table_bytes.0).sum();
        let database = snapshot.server.database_bytes.0.max(tables).max(1);
        let ms_per_byte = options.database_size_worth * workload.total_ms / database as f64;
        let ms_per_index = options.index_worth * workload.total_ms;
        Self { snapshot, writes: &workload.writes, ms_per_byte, ms_per_index }
    }

    pub fn price(&self, index: &IndexDefinition, bytes: u64) -> CandidatePrice {
        let mut price = CandidatePrice {
            bytes,
            space_ms: self.ms_per_index + self.ms_per_byte * bytes as f64,
            ..CandidatePrice::default()
        };
        let Some(relation) = self.snapshot.relation(&index.table) else { return price };
        let existing = self.snapshot.indexes_of(&index.table).count() as f64;
        let share = indexed_share(self.snapshot, index);
        let rows = (relation.rows() * share).max(1.0);
        let entry_width = (bytes as f64 / rows).clamp(8.0, 2_000.0);
        // About a microsecond per row to sort and write, and a full read of the table.
        price.build_ms = rows * 0.0015 * method_factor(&index.access_method).max(1.0)
            + relation.pages.max(0) as f64 * 0.004;
        let Some(writes) = self.writes.get(&index.table) else { return price };
        // A measured insert spends its time on the row and on each index that is there.
        let base = writes.insert_ms.map_or(ENTRY_MS, |ms| (ms / (2.0 + existing)).clamp(0.002, 0.05));
        let entry_ms = base * method_factor(&index.access_method) * (0.8 + entry_width / 200.0);
        let columns = indexed_columns(self.snapshot, index);
        price.write_ms = writes.inserted * share * entry_ms;
        for (assigned, updates) in &writes.updated {
            let touches = match assigned {
                Some(assigned) => f64::from(u8::from(!assigned.is_disjoint(&columns))),
                // Which columns an unseen update assigns is a guess.
                None => 0.3,
            };
            let hot = updates * writes.hot_share;
            let cold = updates - hot;
            price.hot_lost += hot * touches;
            // A row outside of the predicate gets no entry here, and new ones everywhere else.
            price.write_ms += touches * hot * (entry_ms * share + base * existing);
            price.write_ms += cold * share * entry_ms;
        }
        price
    }
}

/// The price of one entry as a multiple of a B-tree's.
fn method_factor(access_method: &str) -> f64 {
    match access_method {
        // One row has many keys; fastupdate only delays them.
        "gin" => 8.0,
        "gist" | "spgist" => 3.0,
        // A summary per range of pages.
        "brin" => 0.05,
        _ => 1.0,
    }
}

/// The share of the table's rows that a partial index holds.
fn indexed_share(snapshot: &Snapshot, index: &IndexDefinition) -> f64 {
    let Some(predicate) = &index.predicate else { return 1.0 };
    let Some(relation) = snapshot.relation(&index.table) else { return 1.0 };
    predicate
        .split(" AND ")
        .map(|part| {
            let statistics = relation
                .columns
                .iter()
                .find(|c| part.contains(&model::quote_identifier(&c.name)))
                .and_then(|c| c.statistics.as_ref());
            let Some(statistics) = statistics else { return 0.5 };
            let null = f64::from(statistics.null_frac);
            let common = statistics.common_values();
            let of =
                |value: &str| common.iter().find(|(v, _)| v == value).map_or(0.05, |(_, f)| f64::from(*f));
            match part {
                p if p.ends_with("IS NOT NULL") => 1.0 - null,
                p if p.ends_with("IS NULL") => null,
                p if p.starts_with("NOT ") => of("f"),
                p => match p.split_once(" = ") {
                    Some((_, literal)) => of(literal.trim_matches('\'')),
                    None => of("t"),
                },
            }
        })
        .product::<f64>()
        .clamp(0.0, 1.0)
}

/// Every column whose change makes an update touch the index.
fn indexed_columns(snapshot: &Snapshot, index: &IndexDefinition) -> BTreeSet<String> {
    let mut columns: BTreeSet<String> = index.include.iter().cloned().collect();
    let mut texts: Vec<&str> = index.predicate.iter().map(String::as_str).collect();
    for key in &index.keys {
        match &key.target {
            KeyTarget::Column(name) => drop(columns.insert(name.clone())),
            KeyTarget::Expression(text) => texts.push(text),
        }
    }
    if let Some(relation) = snapshot.relation(&index.table) {
        for column in &relation.columns {
            let quoted = model::quote_identifier(&column.name);
            if texts.iter().any(|t| mentions(t, &quoted)) {
                columns.insert(column.name.clone());
            }
        }
    }
    columns
}

/// Whether a name stands in a text as a word of its own.
fn mentions(text: &str, name: &str) -> bool {
    text.match_indices(name).any(|(at, _)| {
        let word = |c: char| c.is_alphanumeric() || c == '_';
        !text[..at].ends_with(word) && !text[at + name.len()..].starts_with(word)
    })
}
