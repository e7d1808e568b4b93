//! What about the indexes and statistics that are there already? Duplicates that can go, statistics
//! that are missing.
//!
//! An index is dropped only when another valid one gives all that it gives. Never dropped: primary
//! keys, constraints, replica identities, parts of partitioned indexes, what `CLUSTER` goes by, what a foreign key
//! depends on, and unique indexes whose uniqueness nothing else enforces. That an index was never scanned is no reason: counters are reset,
//! and replicas count for themselves.

use std::collections::{BTreeMap, BTreeSet};

use model::snapshot::{Index, Relation, RelationKind};
use model::{
    Benefit, Change, Confidence, Finding, LockLevel, Millis, ObjectRef, Price, QualifiedName, Recommendation,
    Severity, Snapshot,
};

use super::Advice;
use super::statements::{identifier, to_make, to_undo};
use crate::index_semantics::{Redundancy, redundancy};
use crate::tables::Tables;
use crate::workload::Workload;

/// Below this size the visibility map decides nothing.
const MIN_VISIBILITY_PAGES: i64 = 1_000;

/// Whether dropping an index loses nothing but the index.
pub(crate) fn is_removable(snapshot: &Snapshot, index: &Index) -> bool {
    let owned = snapshot.relation(&index.definition.table).is_some_and(|r| r.extension.is_some());
    !(index.primary
        || index.exclusion
        || index.constraint.is_some()
        || index.replica_identity
        || index.clustered
        || index.referenced
        || index.parent.is_some()
        || owned)
}

/// Why statistics of a table do not describe it.
pub(crate) fn poor_statistics(relation: &Relation) -> Option<String> {
    if relation.pages == 0 {
        return None;
    }
    if relation.reltuples < 0.0 {
        return Some("it was never analyzed".into());
    }
    let columns_without = relation.columns.iter().filter(|c| {
        c.statistics.is_none() && c.inherited_statistics.is_none() && c.statistics_target != Some(0)
    });
    if relation.reltuples > 0.0 && columns_without.count() == relation.columns.len() {
        return (!statistics_are_hidden(relation)).then(|| "it has no column statistics".into());
    }
    let changed = relation.changed_since_analyze();
    // Twice autovacuum's default share: below, it will come by itself.
    (changed > 50.0 + 0.2 * relation.reltuples).then(|| {
        format!("{changed:.0} changes since it was analyzed, when it had {:.0} rows", relation.reltuples)
    })
}

/// Whether there are statistics that the role may not see: `pg_stats` hides those of a table with row
/// security from roles that its policies bind, whatever else they may read. An `ANALYZE` would not help.
pub(super) fn statistics_are_hidden(relation: &Relation) -> bool {
    let analyzed =
        relation.activity.as_ref().is_some_and(|a| a.last_analyze.is_some() || a.last_autoanalyze.is_some());
    relation.row_security
        && analyzed
        && relation.columns.iter().all(|c| c.statistics.is_none() && c.inherited_statistics.is_none())
}

/// Why statistics of a table are missing or of another time, partitions and indexes looked at as well.
fn missing_statistics(snapshot: &Snapshot, tables: &Tables<'_>, relation: &Relation) -> Option<String> {
    let without_inherited = || relation.columns.iter().all(|c| c.inherited_statistics.is_none());
    let children = tables.children(&relation.name);
    let has_rows = tables.extent(relation).rows > 0.0 && children.iter().any(|c| c.pages > 0);
    if relation.kind == RelationKind::PartitionedTable {
        if !has_rows || statistics_are_hidden(relation) {
            return None;
        }
        if without_inherited() {
            return Some("it was never analyzed as a whole, and autovacuum analyzes partitions only".into());
        }
        let (then, now) = (relation.reltuples, tables.extent(relation).rows);
        // Before 14 the rows of the whole were not written down.
        return (then > 0.0 && now > 1.2 * then + 50.0).then(|| {
            format!("it had {then:.0} rows when it was analyzed as a whole and has {now:.0}; autovacuum analyzes partitions only")
        });
    }
    if let Some(reason) = poor_statistics(relation) {
        return Some(reason);
    }
    let is_parent = children.iter().any(|c| c.partition_bound.is_none() && c.pages > 0);
    if is_parent && without_inherited() && !statistics_are_hidden(relation) {
        return Some("it has children, and it was never analyzed together with them".into());
    }
    // Counters of changes are lost with a crash; the file still tells.
    let (then, now) = (relation.relpages, relation.pages);
    if then > 0 && now as f64 > 1.5 * then as f64 + 100.0 {
        return Some(format!(
            "its file has grown from {then} to {now} pages since it was analyzed or vacuumed"
        ));
    }
    let analyzed = relation.columns.iter().any(|c| c.statistics.is_some());
    let blind = snapshot.indexes_of(&relation.name).find(|i| {
        let on_expression = |k: &model::IndexKey| matches!(k.target, model::KeyTarget::Expression(_));
        i.valid && i.definition.keys.iter().any(on_expression) && i.expression_statistics.is_empty()
    });
    blind
        .filter(|_| analyzed && relation.reltuples > 0.0 && !statistics_are_hidden(relation))
        .map(|index| format!("index {} is on an expression of which there are no statistics yet", index.name))
}

/// Columns that statements compare and of which there are no statistics though the table has some: they were added
/// since it was analyzed.
fn columns_without_statistics<'a>(relation: &'a Relation, workload: &Workload) -> Vec<&'a str> {
    let compared: BTreeSet<&str> = workload
        .statements
        .iter()
        .flat_map(|s| s.analysis.uses_of(&relation.name))
        .flat_map(|used| used.predicates.iter().filter_map(|p| p.key.column()))
        .collect();
    let known = |c: &model::snapshot::Column| c.statistics.is_some() || c.inherited_statistics.is_some();
    if !relation.columns.iter().any(known) {
        return Vec::new();
    }
    let without = relation.columns.iter().filter(|c| !known(c) && c.statistics_target != Some(0));
    without.map(|c| c.name.as_str()).filter(|name| compared.contains(name)).collect()
}

/// What can be said of statistics without looking for indexes.
pub fn statistics_upkeep(snapshot: &Snapshot, workload: &Workload) -> Advice {
    let mut advice = Advice::default();
    add_statistics(snapshot, workload, &mut advice);
    advice
}

/// Adds recommendations and findings on what exists.
pub(super) fn add(snapshot: &Snapshot, workload: &Workload, advice: &mut Advice) {
    add_statistics(snapshot, workload, advice);
    add_redundant(snapshot, workload, advice);
}

fn add_statistics(snapshot: &Snapshot, workload: &Workload, advice: &mut Advice) {
    let tables = Tables::new(snapshot);
    let analyzed: BTreeSet<QualifiedName> = advice
        .recommendations
        .iter()
        .flat_map(|r| &r.changes)
        .filter_map(|c| match c {
            Change::Analyze { table } | Change::Vacuum { table } => Some(table.clone()),
            _ => None,
        })
        .collect();
    let read: BTreeSet<&QualifiedName> =
        workload.statements.iter().flat_map(|s| s.analysis.tables()).collect();
    for relation in &snapshot.relations {
        if !read.contains(&relation.name) {
            continue;
        }
        let new_columns = || {
            let columns = columns_without_statistics(relation, workload);
            (!columns.is_empty()).then(|| {
                let names: Vec<String> = columns.into_iter().map(model::quote_identifier).collect();
                format!(
                    "there are none of {}, added since it was analyzed or hidden from the role",
                    names.join(", ")
                )
            })
        };
        let Some(reason) = missing_statistics(snapshot, &tables, relation).or_else(new_columns) else {
            continue;
        };
        let finding = Finding::new(
            "stale-statistics",
            ObjectRef::Relation { name: relation.name.clone() },
            Severity::Warning,
            format!("statistics of {} do not describe it: {reason}", relation.name),
            "The planner, and with it this advice, estimates from statistics. ANALYZE renews them; it reads a sample \
             and blocks neither reads nor writes.",
        );
        if !analyzed.contains(&relation.name) {
            advice.recommendations.push(analyze(snapshot, relation, &finding, &reason));
        }
        advice.findings.push(finding);
    }
    for relation in snapshot.relations.iter().filter(|r| read.contains(&r.name) && statistics_are_hidden(r)) {
        advice.findings.push(Finding::new(
            "hidden-statistics",
            ObjectRef::Relation { name: relation.name.clone() },
            Severity::Warning,
            format!("row security hides the statistics of {} from the role", relation.name),
            "Without them selectivities are guesses. ALTER ROLE … BYPASSRLS, or a snapshot taken by a superuser, \
             shows them.",
        ));
    }
    for relation in snapshot.relations.iter().filter(|r| read.contains(&r.name)) {
        let seen = relation.relallvisible as f64 / (relation.relpages as f64).max(1.0);
        if relation.relpages < MIN_VISIBILITY_PAGES || seen >= 0.5 {
            continue;
        }
        let finding = Finding::new(
            "visibility-map-behind",
            ObjectRef::Relation { name: relation.name.clone() },
            Severity::Warning,
            format!(
                "{} of {} pages of {} are marked all-visible",
                relation.relallvisible, relation.relpages, relation.name
            ),
            "An index-only scan visits the table for every page that is not marked, so the planner sees little use in \
             covering indexes, and neither does this advice. VACUUM marks the pages; advise again after it.",
        );
        let vacuumed = advice.recommendations.iter().flat_map(|r| &r.changes);
        let vacuumed =
            vacuumed.filter(|c| matches!(c, Change::Vacuum { .. })).any(|c| *c.table() == relation.name);
        if !vacuumed {
            advice.recommendations.push(vacuum(snapshot, relation, &finding));
        }
        advice.findings.push(finding);
    }
}

fn add_redundant(snapshot: &Snapshot, workload: &Workload, advice: &mut Advice) {
    let dropped: BTreeSet<QualifiedName> = advice
        .recommendations
        .iter()
        .flat_map(|r| &r.changes)
        .filter_map(|c| match c {
            Change::DropIndex { name, .. } => Some(name.clone()),
            _ => None,
        })
        .collect();
    for (index, by, how) in redundant(snapshot) {
        let exact = how == Redundancy::Duplicate;
        let finding = Finding::new(
            if exact { "duplicate-index" } else { "redundant-index" },
            ObjectRef::Index { name: index.name.clone() },
            Severity::Warning,
            format!(
                "index {} is {} {}",
                index.name,
                if exact { "a duplicate of" } else { "given by" },
                by.name
            ),
            format!(
                "Every query that {} serves can be served by {}. It costs {} and upkeep at every write.",
                index.name, by.name, index.bytes
            ),
        )
        .with("scans of the redundant index", index.idx_scan)
        .with("scans of the other index", by.idx_scan);
        if !dropped.contains(&index.name) {
            advice.recommendations.push(drop_index(snapshot, workload, index, by, &finding));
        }
        advice.findings.push(finding);
    }
}

/// Indexes that another index makes superfluous, each with that other.
pub(crate) fn redundant(snapshot: &Snapshot) -> Vec<(&Index, &Index, Redundancy)> {
    let mut by_table: BTreeMap<&QualifiedName, Vec<&Index>> = BTreeMap::new();
    for index in &snapshot.indexes {
        by_table.entry(&index.definition.table).or_default().push(index);
    }
    let mut found: Vec<(&Index, &Index, Redundancy)> = Vec::new();
    let mut gone: BTreeSet<&QualifiedName> = BTreeSet::new();
    for index in snapshot.indexes.iter().filter(|i| i.valid && is_removable(snapshot, i)) {
        let beside = by_table.get(&index.definition.table).into_iter().flatten();
        let by = beside
            .filter(|other| !gone.contains(&other.name))
            .filter_map(|other| redundancy(index, other).map(|how| (*other, how)))
            // Of two that give each other one stays: the constraint's, then the one used more, then by name.
            .filter(|(other, _)| {
                let mutual = redundancy(other, index).is_some() && is_removable(snapshot, other);
                !mutual || (other.idx_scan, &index.name) > (index.idx_scan, &other.name)
            })
            // The widest, which nothing else makes superfluous in its turn.
            .max_by_key(|(other, _)| {
                (other.definition.keys.len() + other.definition.include.len(), other.idx_scan)
            });
        if let Some((by, how)) = by {
            gone.insert(&index.name);
            found.push((index, by, how));
        }
    }
    found
}

fn analyze(snapshot: &Snapshot, relation: &Relation, finding: &Finding, reason: &str) -> Recommendation {
    let changes = vec![Change::Analyze { table: relation.name.clone() }];
    Recommendation {
        id: identifier(&changes),
        title: format!("analyze {}", relation.name),
        resolves: vec![finding.key.clone()],
        sql: to_make(snapshot, &changes),
        undo_sql: Vec::new(),
        benefit: Benefit::default(),
        price: Price { build_ms: Millis(200.0), ..Price::default() },
        lock: LockLevel::ShareUpdateExclusive,
        lock_duration: format!(
            "SHARE UPDATE EXCLUSIVE on {} while a sample is read, seconds at most: reads and writes go on.",
            relation.name
        ),
        reversible: false,
        confidence: Confidence::High,
        rationale: format!("The planner estimates from statistics, and {reason}."),
        verification: "last_analyze in pg_stat_user_tables is new; run the advice again on a new snapshot."
            .into(),
        statements: Vec::new(),
        rejected: Vec::new(),
        changes,
    }
}

fn vacuum(snapshot: &Snapshot, relation: &Relation, finding: &Finding) -> Recommendation {
    let changes = vec![Change::Vacuum { table: relation.name.clone() }];
    // About what a sequential read with the cost limit off takes.
    let build_ms = Millis(relation.pages.max(0) as f64 * 0.01);
    Recommendation {
        id: identifier(&changes),
        title: format!("vacuum {}", relation.name),
        resolves: vec![finding.key.clone()],
        sql: to_make(snapshot, &changes),
        undo_sql: Vec::new(),
        benefit: Benefit::default(),
        price: Price { build_ms, ..Price::default() },
        lock: LockLevel::ShareUpdateExclusive,
        lock_duration: format!(
            "SHARE UPDATE EXCLUSIVE on {} for about {build_ms}: reads and writes go on.",
            relation.name
        ),
        reversible: false,
        confidence: Confidence::High,
        rationale: format!(
            "Only {} of {} pages are marked all-visible, so index-only scans still visit the table.",
            relation.relallvisible, relation.relpages
        ),
        verification:
            "relallvisible in pg_class comes near relpages, unless an old transaction holds it back.".into(),
        statements: Vec::new(),
        rejected: Vec::new(),
        changes,
    }
}

fn drop_index(
    snapshot: &Snapshot,
    workload: &Workload,
    index: &Index,
    by: &Index,
    finding: &Finding,
) -> Recommendation {
    let changes = vec![Change::DropIndex {
        name: index.name.clone(),
        table: index.definition.table.clone(),
        definition: index.indexdef.clone(),
    }];
    let writes = workload.writes.get(&index.definition.table);
    let rows = writes
        .map_or(0.0, |w| w.inserted + w.updated.iter().map(|(_, n)| n * (1.0 - w.hot_share)).sum::<f64>());
    let saved_ms = rows * 0.008;
    Recommendation {
        id: identifier(&changes),
        title: format!("drop index {}, which {} gives", index.name, by.name),
        resolves: vec![finding.key.clone()],
        sql: to_make(snapshot, &changes),
        undo_sql: to_undo(snapshot, &changes),
        benefit: Benefit {
            saved_ms_per_hour: saved_ms / workload.hours,
            share_of_total: saved_ms / workload.total_ms.max(f64::MIN_POSITIVE),
            ..Benefit::default()
        },
        price: Price { freed: index.bytes, ..Price::default() },
        lock: LockLevel::ShareUpdateExclusive,
        lock_duration: format!(
            "SHARE UPDATE EXCLUSIVE on {} until transactions that could use the index have ended: reads and writes go on.",
            index.definition.table
        ),
        reversible: true,
        confidence: Confidence::High,
        rationale: format!(
            "{} holds the same leading keys in the same order, operator classes and collations. Replicas that scan {} \
             will scan {} instead.",
            by.name, index.name, by.name
        ),
        verification: format!(
            "Plans that used {} use {}, and no statement becomes slower.",
            index.name, by.name
        ),
        statements: Vec::new(),
        rejected: Vec::new(),
        changes,
    }
}
