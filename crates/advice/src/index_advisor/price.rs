//! What does an index cost: bytes, upkeep at every write, HOT updates that it prevents, time to build?
//!
//! Everything is expressed in milliseconds of the observed workload, so that it can be set against the
//! time that queries save. What one entry costs a server that has nothing else to do is in `price/entry.rs`;
//! how much longer it takes here is told by the inserts of the workload: their measured time over what they
//! would take there. Source for HOT: `src/backend/access/heap/README.HOT`: an update that changes
//! any indexed column (INCLUDE and predicate columns too) writes a new entry into *every* index of the
//! table; since 16 BRIN is excepted (`amsummarizing`).

mod entry;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use model::snapshot::Relation;
use model::{IndexDefinition, KeyTarget, QualifiedName, Snapshot};

use self::entry::{EntryCost, ServerMemory};
use super::Options;
use crate::tables::{Tables, statistics};
use crate::workload::{TableWrites, Workload};

/// Beginning and ending one `INSERT`, in microseconds of execution.
const STATEMENT_US: f64 = 2.5;
/// Putting a row into the table.
const ROW_US: f64 = 1.2;
/// How much dearer an entry is when its statement writes one row, and other work lies between it and the
/// next: less is left in the processor's caches.
const ALONE: f64 = 1.4;
/// The same for an update, which has looked for its row first.
const UPDATED: f64 = 1.5;
/// What one index more on a table adds to planning a statement on it, in microseconds: measured 1.5 to 2.3 with ten
/// and twenty indexes on a table, PostgreSQL 15.
const PLANNED_US: f64 = 2.0;
/// Bounds of the ratio between measured and expected time of an insert. Much more than the upper one is
/// waiting for locks, triggers or the check of a foreign key, which an index does not prolong.
const SLOWNESS: (f64, f64) = (0.5, 20.0);

/// The price of one candidate over the observed workload.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CandidatePrice {
    /// Size when built.
    pub bytes: u64,
    /// Upkeep in milliseconds.
    pub write_ms: f64,
    /// What its bytes, being one index more and slower writes are worth, in milliseconds.
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
    tables: Tables<'a>,
    writes: BTreeMap<&'a QualifiedName, Written<'a>>,
    /// How often each table is planned with.
    calls: BTreeMap<&'a QualifiedName, f64>,
    memory: ServerMemory,
    /// Seconds over which writes were counted.
    seconds: f64,
    /// Milliseconds that a byte must save.
    ms_per_byte: f64,
    /// Milliseconds that any index must save.
    ms_per_index: f64,
    /// Milliseconds that an index must save for each microsecond of work that it adds to the writes.
    ms_per_write_us: f64,
}

/// What is known of the writes to one table.
struct Written<'a> {
    writes: &'a TableWrites,
    /// What the new version of a row costs in the indexes that exist, in microseconds.
    existing_us: f64,
    /// What it costs there beyond the caches.
    existing_pages_us: f64,
    /// How much dearer entries of inserts are than those of a statement of many rows.
    alone: f64,
    /// Statements that update over rows that they update: a statement that changes thousands of rows is one that somebody
    /// waits for, and its time counts; nobody will send a thousand times as many.
    single: f64,
    /// The work of its inserts, and of updates a statement each, on a server that has nothing else to do, in
    /// microseconds.
    quick_us: f64,
    /// Time here over time on a server that has nothing else to do.
    slowness: f64,
}

impl<'a> Pricing<'a> {
    /// `yardstick_ms` is what bytes, and being one index more, have to save a share of.
    pub fn new(snapshot: &'a Snapshot, workload: &'a Workload, options: &Options, yardstick_ms: f64) -> Self {
        let tables: u64 = snapshot.relations.iter().map(|r| r.table_bytes.0).sum();
        let database = snapshot.server.database_bytes.0.max(tables).max(1);
        let ms_per_byte = options.database_size_worth * yardstick_ms / database as f64;
        let ms_per_index = options.index_worth * yardstick_ms;
        let memory = ServerMemory::of(snapshot);
        let seconds = workload.hours * 3_600.0;
        let tables = Tables::new(snapshot);
        let mut writes: BTreeMap<_, _> = workload
            .writes
            .iter()
            .map(|(table, of)| (table, Written::new(snapshot, &tables, table, of, (&memory, seconds))))
            .collect();
        fill_in_slowness(&mut writes);
        let ms_per_write_us = options.write_worth * yardstick_ms * worth_of_writes(&writes, workload);
        let mut calls: BTreeMap<&QualifiedName, f64> = BTreeMap::new();
        for statement in &workload.statements {
            for relation in statement.analysis.tables() {
                *calls.entry(relation).or_default() += statement.calls.max(0) as f64;
            }
        }
        Self { snapshot, tables, writes, calls, memory, seconds, ms_per_byte, ms_per_index, ms_per_write_us }
    }

    /// What is priced.
    pub fn snapshot(&self) -> &'a Snapshot {
        self.snapshot
    }

    pub fn price(&self, index: &IndexDefinition, bytes: u64) -> CandidatePrice {
        let mut price = CandidatePrice {
            bytes,
            space_ms: self.ms_per_index
                + self.ms_per_byte * bytes as f64
                + self.calls.get(&index.table).copied().unwrap_or(0.0) * PLANNED_US / 1e3,
            ..CandidatePrice::default()
        };
        let Some(relation) = self.tables.relation(&index.table) else { return price };
        let extent = self.tables.extent(relation);
        let share = indexed_share(relation, index);
        let rows = (extent.rows * share).max(1.0);
        // About a microsecond per row to sort and write, and a full read of the table.
        price.build_ms =
            rows * 0.0015 * build_factor(&index.access_method) + extent.pages.max(0) as f64 * 0.004;
        let Some(table) = self.writes.get(&index.table) else { return price };
        let cost = EntryCost::of(self.snapshot, &self.tables, index, share, bytes);
        let columns = indexed_columns(relation, index);
        let keeps_hot = index.access_method == "brin" && self.snapshot.server.version_num >= 160_000;

        let inserted = table.writes.inserted;
        let pages_us = |entries: f64| cost.pages_us(&self.memory, entries / self.seconds.max(1.0));
        let (mut versions_us, mut rows_updated, mut entries) = (0.0, 0.0, inserted * share);
        for (assigned, updates) in &table.writes.updated {
            let touches = match assigned {
                _ if keeps_hot => 0.0,
                Some(assigned) => f64::from(u8::from(!assigned.is_disjoint(&columns))),
                // Which columns an unseen update assigns is a guess.
                None => 0.3,
            };
            let hot = updates * table.writes.hot_share;
            let lost = hot * touches;
            let versions = updates - hot + lost;
            price.hot_lost += lost;
            // A row outside of the predicate gets no entry here, and new ones everywhere else.
            versions_us += versions * share * cost.entry_us * UPDATED;
            versions_us += lost * (table.existing_us * UPDATED + table.existing_pages_us);
            rows_updated += versions;
            entries += versions * share;
        }
        let pages_us = pages_us(entries);
        let of_rows = |rows: f64, us: f64| rows * (cost.row_us + share * pages_us) + us;
        let inserted_us = of_rows(inserted, inserted * share * cost.entry_us * table.alone);
        let updated_us = of_rows(rows_updated, versions_us);
        price.write_ms = (inserted_us + updated_us) * table.slowness / 1e3;
        price.space_ms += self.ms_per_write_us * (inserted_us + table.single * updated_us);
        price
    }
}

impl<'a> Written<'a> {
    fn new(
        snapshot: &Snapshot,
        tables: &Tables<'_>,
        table: &QualifiedName,
        writes: &'a TableWrites,
        (memory, seconds): (&ServerMemory, f64),
    ) -> Self {
        let (mut existing_us, mut existing_pages_us) = (0.0, 0.0);
        for index in tables.indexes(table) {
            let share = tables.relation(table).map_or(1.0, |r| indexed_share(r, &index.definition));
            let cost = EntryCost::of(snapshot, tables, &index.definition, share, index.bytes.0);
            existing_us += cost.row_us + share * cost.entry_us;
            existing_pages_us += share * cost.pages_us(memory, share * writes.inserted / seconds.max(1.0));
        }
        let rows_per_statement = match writes.insert_statements {
            statements if statements > 0.0 => (writes.inserted / statements).max(1.0),
            _ => 1.0,
        };
        let alone = 1.0 + (ALONE - 1.0) / rows_per_statement;
        let expected_us =
            STATEMENT_US / rows_per_statement + ROW_US + existing_us * alone + existing_pages_us;
        let measured = writes.insert_ms.map(|ms| (ms * 1e3 / expected_us).clamp(SLOWNESS.0, SLOWNESS.1));
        let updated = writes.rows_updated();
        let versions = updated * (1.0 - writes.hot_share);
        let single = (writes.update_statements / updated.max(1.0)).min(1.0);
        let inserted_us = writes.inserted * expected_us;
        let updated_us =
            updated * (STATEMENT_US + ROW_US) + versions * (existing_us * UPDATED + existing_pages_us);
        let quick_us = inserted_us + single * updated_us;
        let slowness = measured.unwrap_or(f64::NAN);
        Self { writes, existing_us, existing_pages_us, single, quick_us, alone, slowness }
    }
}

/// What a microsecond of more work at writes is worth, as a share of the worth of doubling that work.
///
/// How fast rows can come in is a good of its own: when a thousand times as many come on one day, it decides whether
/// the server keeps up. So far the time alone was counted that writes took, which is little as long as they are few. The
/// more of what clients ask for is writing, the more it is worth; where hardly anything is written, it is worth nothing. A
/// statement that updates many rows counts as one.
fn worth_of_writes(tables: &BTreeMap<&QualifiedName, Written<'_>>, workload: &Workload) -> f64 {
    let written = |t: &Written<'_>| t.writes.inserted + t.single * t.writes.rows_updated();
    let rows: f64 = tables.values().map(written).sum();
    let own_us: f64 = tables.values().map(|t| t.quick_us).sum();
    let reads: f64 = workload.statements.iter().map(|s| s.calls.max(0) as f64).sum();
    if own_us > 0.0 { rows / (rows + reads).max(1.0) / own_us } else { 0.0 }
}

/// A table whose inserts were not measured is as slow as the others, by the rows that went into them.
fn fill_in_slowness(tables: &mut BTreeMap<&QualifiedName, Written<'_>>) {
    let measured = || tables.values().filter(|t| t.slowness.is_finite());
    let rows: f64 = measured().map(|t| t.writes.inserted).sum();
    let sum: f64 = measured().map(|t| t.writes.inserted * t.slowness).sum();
    let usual = if rows > 0.0 { sum / rows } else { 1.0 };
    for table in tables.values_mut().filter(|t| !t.slowness.is_finite()) {
        table.slowness = usual;
    }
}

/// The time to build an index as a multiple of a B-tree's.
fn build_factor(access_method: &str) -> f64 {
    match access_method {
        // One row has many keys.
        "gin" => 8.0,
        "gist" | "spgist" => 3.0,
        _ => 1.0,
    }
}

/// The share of the table's rows that a partial index holds.
fn indexed_share(relation: &Relation, index: &IndexDefinition) -> f64 {
    let Some(predicate) = &index.predicate else { return 1.0 };
    predicate
        .split(" AND ")
        .map(|part| {
            let statistics = relation
                .columns
                .iter()
                .find(|c| mentions(part, &model::quote_identifier(&c.name)))
                .and_then(|c| statistics(relation, c));
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
pub(crate) fn indexed_columns(relation: &Relation, index: &IndexDefinition) -> BTreeSet<String> {
    let mut columns: BTreeSet<String> = index.include.iter().cloned().collect();
    let mut texts: Vec<&str> = index.predicate.iter().map(String::as_str).collect();
    for key in &index.keys {
        match &key.target {
            KeyTarget::Column(name) => drop(columns.insert(name.clone())),
            KeyTarget::Expression(text) => texts.push(text),
        }
    }
    for column in &relation.columns {
        let quoted = model::quote_identifier(&column.name);
        if texts.iter().any(|t| mentions(t, &quoted)) {
            columns.insert(column.name.clone());
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
