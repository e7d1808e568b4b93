//! Is there an index that is not valid?
//!
//! `CREATE INDEX CONCURRENTLY` or `REINDEX CONCURRENTLY` failed or was interrupted (`pg_index.indisvalid`). No query
//! uses the index, every write pays for it. One that is being built at this moment (`pg_stat_progress_create_index`) is
//! left alone; a role that may not see others' progress takes it for one that failed. A partitioned index is invalid
//! until every partition has its part.

use model::snapshot::{Index, RelationKind};
use model::{Change, LockLevel, Severity};

use super::{Check, index_ref};
use crate::schema::{Facts, LintFinding, Remedy, remedy};

pub(super) const CHECK: Check = Check {
    id: "invalid-index",
    title: "index that is not valid",
    severity: Severity::Warning,
    on: true,
    needs_schema_facts: false,
    run,
};

fn run(facts: &Facts<'_>) -> Vec<LintFinding> {
    facts.snapshot.indexes.iter().filter(|i| !i.valid && !i.building).map(|index| judge(facts, index)).collect()
}

fn judge(facts: &Facts<'_>, index: &Index) -> LintFinding {
    let table = facts.tables.relation(&index.definition.table);
    if table.is_some_and(|t| t.kind == RelationKind::PartitionedTable) {
        return CHECK.finding(
            index_ref(index),
            format!("partitioned index {} is not valid", index.name),
            "Some partition has no part of it yet. Build an index of the same definition on each such partition, \
             CONCURRENTLY, and attach it with ALTER INDEX … ATTACH PARTITION; it becomes valid with the last.",
        );
    }
    let left_over = ["_ccnew", "_ccold"].iter().any(|mark| {
        index.name.name.rsplit_once(mark).is_some_and(|(_, rest)| rest.chars().all(|c| c.is_ascii_digit()))
    });
    let finding = CHECK
        .finding(
            index_ref(index),
            format!("index {} is not valid", index.name),
            if left_over {
                "REINDEX CONCURRENTLY left it behind. Unless one runs at this moment, it can go: the index that it was to \
                 take the place of is still there."
            } else {
                "A concurrent build failed or was interrupted, unless it runs at this moment. No query uses the index \
                 and every write keeps it up. Drop it, and build it again if it is wanted."
            },
        )
        .with("size", index.bytes);
    if index.constraint.is_some() || index.primary {
        return finding.mended_by(Remedy::sql(
            vec![format!("REINDEX INDEX CONCURRENTLY {}", index.name)],
            LockLevel::ShareUpdateExclusive,
            "SHARE UPDATE EXCLUSIVE while the table is read twice: reads and writes go on.",
        ));
    }
    let mut changes = vec![Change::DropIndex {
        name: index.name.clone(),
        table: index.definition.table.clone(),
        definition: index.indexdef.clone(),
    }];
    if left_over {
        return finding.mended_by(remedy::drop_index(facts, index));
    }
    // Without operator-class parameters, which stand in the text only, the definition would be another index.
    let again = sql::ideas(&index.indexdef).is_ok_and(|ideas| {
        matches!(ideas.as_slice(), [sql::Idea::CreateIndex(new)] if new.keys.iter().all(|k| k.opclass_options.is_empty()))
    });
    if again {
        changes.push(Change::CreateIndex { index: index.definition.clone() });
    }
    finding.mended_by(Remedy::changes(
        facts,
        changes,
        "SHARE UPDATE EXCLUSIVE while the table is read twice: reads and writes go on.",
    ))
}
