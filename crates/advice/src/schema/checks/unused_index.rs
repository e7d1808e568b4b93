//! Was an index never scanned?
//!
//! `idx_scan` = 0 since the counters were reset, on this server and on the replicas whose snapshots were given, over
//! `unused_min_days` at least. Never named: what implements a constraint or enforces uniqueness, a replica identity,
//! what `CLUSTER` goes by, and the only index that supports a foreign key, whose checks are not always seen in the
//! counters. A partitioned index is judged by all of its parts. A standby alone tells nothing: the primary and other
//! standbys count for themselves.

use std::collections::BTreeSet;

use model::Severity;
use model::snapshot::{Index, RelationKind};

use super::{Check, index_ref};
use crate::index_advisor::upkeep::is_removable;
use crate::index_semantics::covers_foreign_key;
use crate::schema::{Facts, LintFinding, remedy};

pub(super) const CHECK: Check = Check {
    id: "unused-index",
    title: "index that was never scanned",
    severity: Severity::Warning,
    on: true,
    needs_schema_facts: false,
    run,
};

fn run(facts: &Facts<'_>) -> Vec<LintFinding> {
    let snapshot = facts.snapshot;
    if snapshot.server.in_recovery && facts.beside.replicas.is_empty() {
        return Vec::new();
    }
    // Counters survive a clean restart, so the time of a reset counts; without one, what is known for sure is the
    // time since the start.
    let since = snapshot.server.stats_reset.or(snapshot.server.started_at);
    let Some(since) = since else { return Vec::new() };
    let days = (snapshot.taken_at - since).num_minutes() as f64 / 1440.0;
    if days < facts.thresholds.unused_min_days {
        return Vec::new();
    }
    facts
        .designed_indexes()
        .filter(|(_, index)| index.valid && !index.definition.unique && is_removable(snapshot, index))
        .filter(|(_, index)| {
            let parts = parts(facts, index);
            let scans: i64 = parts.iter().map(|part| scans(facts, part)).sum();
            let bytes: u64 = parts.iter().map(|part| part.bytes.0).sum();
            scans == 0 && bytes >= facts.thresholds.unused_min_bytes && !is_needed(facts, index)
        })
        .map(|(_, index)| {
            let replicas = match facts.beside.replicas.len() {
                0 => "Replicas count for themselves: give their snapshots with --replica-snapshot, or look there before \
                      dropping it."
                    .to_owned(),
                n => format!("The same on {n} replica{}.", if n == 1 { "" } else { "s" }),
            };
            let expression = index.definition.keys.iter().any(|k| matches!(k.target, model::KeyTarget::Expression(_)));
            let expression = if expression {
                " The planner uses the statistics of its expression whether or not it is scanned."
            } else {
                ""
            };
            let bytes = parts(facts, index).iter().map(|p| p.bytes).sum::<model::Bytes>();
            CHECK
                .finding(
                    index_ref(index),
                    format!("index {} was not scanned in {days:.0} days", index.name),
                    format!(
                        "It costs {bytes} and upkeep at every write. Reports of a month or a year may need it. \
                         {replicas}{expression}"
                    ),
                )
                .with("counters since", since.format("%Y-%m-%d %H:%M UTC"))
                .with("size", bytes)
                .mended_by(remedy::drop_index(facts, index))
        })
        .collect()
}

/// An index with the parts that partitions have of it.
fn parts<'a>(facts: &Facts<'a>, index: &'a Index) -> Vec<&'a Index> {
    let mut found = vec![index];
    let partitioned = facts
        .tables
        .relation(&index.definition.table)
        .is_some_and(|r| r.kind == RelationKind::PartitionedTable);
    if !partitioned {
        return found;
    }
    let mut names = BTreeSet::from([&index.name]);
    // Level by level; a circle in a broken file ends.
    loop {
        let below: Vec<&Index> = facts
            .snapshot
            .indexes
            .iter()
            .filter(|i| i.parent.as_ref().is_some_and(|p| names.contains(p)) && !names.contains(&i.name))
            .collect();
        if below.is_empty() {
            return found;
        }
        names.extend(below.iter().map(|i| &i.name));
        found.extend(below);
    }
}

fn scans(facts: &Facts<'_>, index: &Index) -> i64 {
    let replicas = facts.beside.replicas.iter().filter_map(|r| r.index(&index.name)).map(|i| i.idx_scan);
    index.idx_scan + replicas.sum::<i64>() + i64::from(index.last_idx_scan.is_some())
}

/// Whether it is the only index that supports a foreign key, of its table or of one that its table is a partition of.
fn is_needed(facts: &Facts<'_>, index: &Index) -> bool {
    let table = &index.definition.table;
    let mut tables = vec![table];
    // A circle in a broken file ends.
    while let Some(above) = tables
        .last()
        .and_then(|t| facts.tables.relation(t))
        .filter(|r| r.partition_bound.is_some())
        .and_then(|r| r.parent.as_ref())
        .filter(|above| !tables.contains(above))
    {
        tables.push(above);
    }
    let relation = facts.tables.relation(table);
    facts.foreign_keys().filter(|(key, _)| tables.contains(&&key.table)).any(|(key, _)| {
        covers_foreign_key(index, &key.columns, relation)
            && !facts
                .tables
                .indexes(table)
                .any(|other| other.name != index.name && covers_foreign_key(other, &key.columns, relation))
    })
}
