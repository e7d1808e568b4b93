//! What mends a finding, which lock does it take, and for how long?
//!
//! Source: PostgreSQL manual, "ALTER TABLE" (notes on each form), "Explicit Locking"; observed in `pg_locks` by the
//! tests.

use model::snapshot::Relation;
use model::{Benefit, Change, Confidence, LockLevel, Millis, Price, Recommendation, Snapshot};
use serde::Serialize;

use super::{Facts, LintFinding};
use crate::index_advisor::statements::{identifier, to_make, to_undo};

/// What mends a finding.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Remedy {
    /// The changes that `pgwright apply` can make; empty when it cannot.
    pub changes: Vec<Change>,
    /// The statements in order, without semicolons; lines that begin with `--` are for a person to read.
    pub sql: Vec<String>,
    /// The strongest lock on a table; `None` when no table is locked.
    pub lock: Option<LockLevel>,
    /// For how long it is held and whom it stops, in a sentence.
    pub lock_duration: String,
}

/// What reading and writing a page once takes, in milliseconds: about 250 MB a second, a disk of a common kind.
const MS_PER_PAGE: f64 = 0.03;
/// What sorting a row into an index takes, or looking its key up, in milliseconds.
const MS_PER_ROW: f64 = 0.001;

/// About how long a table takes to be rewritten with its indexes.
pub(crate) fn rewrite_ms(relation: &Relation) -> Millis {
    let pages = (relation.table_bytes.0 + relation.indexes_bytes.0) as f64 / 8192.0;
    // An entry of an index takes about 30 bytes, and is sorted like one of a new index.
    let entries = relation.rows().max(0.0) + relation.indexes_bytes.0 as f64 / 30.0;
    Millis(pages * 2.0 * MS_PER_PAGE + entries * MS_PER_ROW)
}

/// About how long a table takes to be read once.
pub(crate) fn scan_ms(relation: &Relation) -> Millis {
    Millis(relation.pages.max(0) as f64 * MS_PER_PAGE)
}

/// About how long an index takes to be built: reading, and a microsecond for each row to sort and to write.
pub(crate) fn build_ms(relation: &Relation) -> Millis {
    Millis(scan_ms(relation).0 + relation.rows().max(0.0) * MS_PER_ROW)
}

impl Remedy {
    /// Changes that `apply` makes without blocking anybody.
    pub(crate) fn changes(facts: &Facts<'_>, changes: Vec<Change>, lock_duration: impl Into<String>) -> Self {
        let sql = to_make(facts.snapshot, &changes);
        let lock = changes.iter().map(Change::lock_level).max();
        Self { changes, sql, lock, lock_duration: lock_duration.into() }
    }

    /// Statements for a person to run.
    pub(crate) fn sql(sql: Vec<String>, lock: LockLevel, lock_duration: impl Into<String>) -> Self {
        Self { changes: Vec::new(), sql, lock: Some(lock), lock_duration: lock_duration.into() }
    }

    /// Statements or lines of a file that lock no table.
    pub(crate) fn without_lock(sql: Vec<String>, note: impl Into<String>) -> Self {
        Self { changes: Vec::new(), sql, lock: None, lock_duration: note.into() }
    }

    /// A statement that changes the catalog only, under ACCESS EXCLUSIVE.
    pub(crate) fn instant(sql: Vec<String>) -> Self {
        Self::sql(
            sql,
            LockLevel::AccessExclusive,
            "ACCESS EXCLUSIVE for an instant, once running transactions on the table have ended; set lock_timeout, \
             because everybody queues behind a waiting statement.",
        )
    }

    /// A statement that rewrites the table.
    pub(crate) fn rewrite(sql: Vec<String>, relation: &Relation) -> Self {
        Self::sql(
            sql,
            LockLevel::AccessExclusive,
            format!(
                "ACCESS EXCLUSIVE while the table and its indexes are written anew ({} and {}), about {} at 250 MB and a million rows a \
                 second: reads and writes wait.",
                relation.table_bytes,
                relation.indexes_bytes,
                rewrite_ms(relation)
            ),
        )
    }
}

/// Dropping an index that nobody misses.
pub(crate) fn drop_index(facts: &Facts<'_>, index: &model::snapshot::Index) -> Remedy {
    let table = &index.definition.table;
    Remedy::changes(
        facts,
        vec![Change::DropIndex {
            name: index.name.clone(),
            table: table.clone(),
            definition: index.indexdef.clone(),
        }],
        format!(
            "SHARE UPDATE EXCLUSIVE on {table} until transactions that could use the index have ended: reads and \
             writes go on."
        ),
    )
}

/// What `apply` can do about findings, as it takes it: one recommendation for each finding that has changes.
pub fn recommendations(snapshot: &Snapshot, findings: &[LintFinding]) -> Vec<Recommendation> {
    let mut made: Vec<Recommendation> = Vec::new();
    for found in findings {
        let Some(remedy) = found.remedy.as_ref().filter(|r| !r.changes.is_empty()) else { continue };
        let (id, key) = (identifier(&remedy.changes), found.finding.key.clone());
        // Two findings may be mended by the same change.
        if let Some(same) = made.iter_mut().find(|r| r.id == id) {
            same.resolves.push(key);
            continue;
        }
        let freed = remedy.changes.iter().filter_map(|change| match change {
            Change::DropIndex { name, .. } => snapshot.index(name).map(|i| i.bytes),
            _ => None,
        });
        let undo_sql = to_undo(snapshot, &remedy.changes);
        made.push(Recommendation {
            id,
            title: found.finding.summary.clone(),
            resolves: vec![key],
            sql: remedy.sql.clone(),
            reversible: !undo_sql.is_empty(),
            undo_sql,
            benefit: Benefit::default(),
            price: Price { freed: freed.sum(), ..Price::default() },
            lock: remedy.lock.unwrap_or(LockLevel::AccessShare),
            lock_duration: remedy.lock_duration.clone(),
            confidence: Confidence::Medium,
            rationale: found.finding.detail.clone(),
            verification: "The finding is gone; run lint again.".into(),
            statements: Vec::new(),
            rejected: Vec::new(),
            changes: remedy.changes.clone(),
        });
    }
    made
}
