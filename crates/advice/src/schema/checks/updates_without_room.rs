//! Do updates fail to be HOT because their page is full?
//!
//! An update that changes no indexed column is heap-only: no index gets an entry, and the old version goes away
//! without a VACUUM. But the new version has to fit into the page of the old one. From the statements it is known
//! which share of the updated rows changes no indexed column, and from the table's counters how many were HOT; what is
//! missing found no room. A lower fill factor leaves room in each page. Source: `src/backend/access/heap/README.HOT`,
//! manual, "Heap-Only Tuples".

use std::collections::{BTreeMap, BTreeSet};

use model::snapshot::{Relation, RelationKind};
use model::{LockLevel, Severity};

use super::{Check, relation_ref};
use crate::index_advisor::price::indexed_columns;
use crate::schema::facts::percent;
use crate::schema::{Facts, LintFinding, Remedy, bloat};
use crate::workload::Workload;

pub(super) const CHECK: Check = Check {
    id: "updates-without-room",
    title: "updates that find no room in their page",
    severity: Severity::Info,
    on: true,
    needs_schema_facts: false,
    run,
};

/// Fewer updates tell nothing.
const MIN_UPDATES: i64 = 1_000;
/// The share of the updates that must have missed their room.
const MIN_MISSED: f64 = 0.2;
/// So many new versions shall fit beside the rows of a page at least.
const VERSIONS: f64 = 2.0;
/// No page is left emptier than that, in percent.
const LEAST: f64 = 50.0;

fn run(facts: &Facts<'_>) -> Vec<LintFinding> {
    let updated = |r: &&Relation| r.kind == RelationKind::Table && hot_updates(r).is_some();
    let tables: Vec<&Relation> = facts.stored().filter(updated).collect();
    if tables.is_empty() {
        return Vec::new();
    }
    let workload = Workload::from_snapshot(facts.snapshot, &BTreeMap::new());
    let mut found = Vec::new();
    for relation in tables {
        let Some((updates, hot)) = hot_updates(relation) else { continue };
        // Statements name the partitioned table.
        let named = relation.parent.as_ref().filter(|_| relation.partition_bound.is_some());
        let Some(writes) = workload.writes.get(named.unwrap_or(&relation.name)) else { continue };
        let indexed = indexed(facts, relation);
        let (mut all, mut could) = (0.0, 0.0);
        for (assigned, rows) in &writes.updated {
            let Some(assigned) = assigned else { continue };
            all += rows;
            if assigned.is_disjoint(&indexed) {
                could += rows;
            }
        }
        if all <= 0.0 {
            continue;
        }
        let share = could / all;
        let missed = share * updates - hot;
        if missed < MIN_MISSED * updates {
            continue;
        }
        let now = bloat::fillfactor(relation);
        let Some(lower) = lower(relation, now, missed / updates) else { continue };
        let table = &relation.name;
        found.push(
            CHECK
                .finding(
                    relation_ref(table),
                    format!("{} of the updates of {table} found no room in their page", percent(missed / updates)),
                    "They change no indexed column and could be HOT, but the page was full, so every index got an entry and \
                     VACUUM has to clean up. A lower fill factor leaves room. It holds for pages that are filled from now on; \
                     a rewrite (VACUUM FULL, pg_repack) gives it to all at once, and the table grows by as much.",
                )
                .with("updates", updates)
                .with("HOT updates", hot)
                .with("share of updated rows that changes no indexed column", percent(share))
                .with("fill factor", now)
                .mended_by(Remedy::sql(
                    vec![format!("ALTER TABLE {table} SET (fillfactor = {lower})")],
                    LockLevel::ShareUpdateExclusive,
                    "SHARE UPDATE EXCLUSIVE for an instant: reads and writes go on.",
                )),
        );
    }
    found
}

/// Updates and HOT updates of a table that has many.
fn hot_updates(relation: &Relation) -> Option<(f64, f64)> {
    let activity = relation.activity.as_ref().filter(|a| a.n_tup_upd >= MIN_UPDATES)?;
    Some((activity.n_tup_upd as f64, activity.n_tup_hot_upd as f64))
}

/// Columns in which an update is not HOT.
fn indexed(facts: &Facts<'_>, relation: &Relation) -> BTreeSet<String> {
    let summarizing = |method: &str| method == "brin" && facts.snapshot.server.version_num >= 160_000;
    let indexes = facts.tables.indexes(&relation.name).map(|i| &i.definition);
    indexes
        .filter(|definition| !summarizing(&definition.access_method))
        .flat_map(|definition| indexed_columns(relation, definition))
        .collect()
}

/// A lower fill factor; `None` when no page would have room for more.
///
/// Old versions make room once nobody sees them, so what found no room is about the share of a page's rows that is
/// updated until then: as much room is needed beside the rows.
fn lower(relation: &Relation, now: f64, missed: f64) -> Option<u32> {
    let rows_per_page = relation.rows() / relation.pages.max(1) as f64 * 100.0 / now.max(1.0);
    let lower = (now / (1.0 + missed)).min(100.0 - 100.0 * VERSIONS / rows_per_page.max(1.0));
    let lower = (5.0 * (lower / 5.0).floor()).max(LEAST);
    (rows_per_page >= VERSIONS && lower < now).then_some(lower as u32)
}
