//! Do the planner's statistics describe what is in a table?
//!
//! Never analyzed, no column statistics, or more changes since the last ANALYZE than twice what autovacuum waits for.
//! Autovacuum never analyzes a partitioned table itself, only its partitions; the statistics over all of them come
//! from an ANALYZE that somebody runs.

use model::snapshot::RelationKind;
use model::{Change, Severity};

use super::{Check, relation_ref};
use crate::index_advisor::upkeep::poor_statistics;
use crate::schema::{Facts, LintFinding, Remedy};

pub(super) const CHECK: Check = Check {
    id: "stale-statistics",
    title: "statistics that do not describe the table",
    severity: Severity::Warning,
    on: true,
    needs_schema_facts: false,
    run,
};

fn run(facts: &Facts<'_>) -> Vec<LintFinding> {
    let mut found = Vec::new();
    for relation in &facts.snapshot.relations {
        let reason = match relation.kind {
            RelationKind::Table | RelationKind::MaterializedView => poor_statistics(relation),
            RelationKind::PartitionedTable => {
                let rows = facts.rows(relation);
                let without = relation.columns.iter().all(|c| c.inherited_statistics.is_none());
                (rows > 0.0 && without && !relation.row_security)
                    .then(|| "it is partitioned and was never analyzed as a whole".to_owned())
            }
            // A foreign table has statistics only when somebody asks for them.
            RelationKind::ForeignTable => None,
        };
        let Some(reason) = reason else { continue };
        found.push(
            CHECK
                .finding(
                    relation_ref(&relation.name),
                    format!("the statistics of {} are stale: {reason}", relation.name),
                    "The planner estimates from them; wrong estimates make wrong plans.",
                )
                .mended_by(Remedy::changes(
                    facts,
                    vec![Change::Analyze { table: relation.name.clone() }],
                    "SHARE UPDATE EXCLUSIVE while a sample is read, seconds at most: reads and writes go on.",
                )),
        );
    }
    found
}
