//! Which statements make a change, and which undo it? For people to read; `apply` makes its own from what the
//! server's catalog says by then.
//!
//! `CREATE INDEX CONCURRENTLY` and `DROP INDEX CONCURRENTLY` do not work on a partitioned table. Its index is
//! made `ON ONLY` it, invalid and empty, each partition gets its own without blocking writes, and is attached;
//! with the last one the whole becomes valid (PostgreSQL manual, "Partition Maintenance").

use model::snapshot::{Relation, RelationKind};
use model::{Change, IndexDefinition, QualifiedName, Snapshot, quote_identifier};
use sha2::{Digest, Sha256};

use super::naming::Names;

/// For how many partitions the statements are written out.
const SHOWN_PARTITIONS: usize = 100;

/// The first 8 hex digits of the SHA-256 of the changes: the same changes have the same id tomorrow.
pub(crate) fn identifier(changes: &[Change]) -> String {
    let text: Vec<String> = changes.iter().map(summary).collect();
    let digest = Sha256::digest(text.join(";\n").as_bytes());
    digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}

fn summary(change: &Change) -> String {
    match change {
        Change::CreateIndex { index } => index.create_sql(true),
        Change::DropIndex { name, .. } => format!("DROP INDEX CONCURRENTLY {name}"),
        Change::Analyze { table } => format!("ANALYZE {table}"),
        Change::Vacuum { table } => format!("VACUUM (ANALYZE) {table}"),
        Change::CreateStatistics { statistics } => statistics.create_sql(),
        Change::SetParameter { table, parameter, value, .. } => parameter.set_sql(table, Some(value)),
    }
}

/// The statements that make changes.
pub(crate) fn to_make(snapshot: &Snapshot, changes: &[Change]) -> Vec<String> {
    let mut names = None;
    let mut out = Vec::new();
    for change in changes {
        match change {
            Change::CreateIndex { index } if is_partitioned(snapshot, &index.table) => {
                let names = names.get_or_insert_with(|| Names::new(snapshot));
                names.take(&index.qualified_name());
                create_on_partitions(snapshot, index, names, &mut out);
            }
            Change::DropIndex { name, table, .. } if is_partitioned(snapshot, table) => {
                out.push(format!("DROP INDEX {name}"));
            }
            change => out.push(summary(change)),
        }
    }
    out
}

/// The statements that undo changes, in their order; what leaves nothing to undo has none.
pub(crate) fn to_undo(snapshot: &Snapshot, changes: &[Change]) -> Vec<String> {
    let undo = |change: &Change| match change {
        Change::CreateIndex { index } if is_partitioned(snapshot, &index.table) => {
            Some(format!("DROP INDEX {}", index.qualified_name()))
        }
        Change::CreateIndex { index } => Some(format!("DROP INDEX CONCURRENTLY {}", index.qualified_name())),
        // Without CONCURRENTLY, the definition of a partitioned index makes it on every partition.
        Change::DropIndex { definition, table, .. } if is_partitioned(snapshot, table) => {
            Some(definition.replacen(" ON ONLY ", " ON ", 1))
        }
        Change::DropIndex { definition, .. } => Some(definition.replacen("INDEX", "INDEX CONCURRENTLY", 1)),
        Change::Analyze { .. } | Change::Vacuum { .. } => None,
        Change::CreateStatistics { statistics } => Some(statistics.drop_sql()),
        Change::SetParameter { table, parameter, former, .. } => {
            Some(parameter.set_sql(table, former.as_ref()))
        }
    };
    changes.iter().rev().filter_map(undo).collect()
}

/// Whether a table is partitioned, so that its indexes are those of its partitions.
pub(super) fn is_partitioned(snapshot: &Snapshot, table: &QualifiedName) -> bool {
    snapshot.relation(table).is_some_and(|r| r.kind == RelationKind::PartitionedTable)
}

fn create_on_partitions(
    snapshot: &Snapshot,
    index: &IndexDefinition,
    names: &mut Names,
    out: &mut Vec<String>,
) {
    out.push(on_only(index));
    // Partitions with the index that theirs is attached to, the next one last.
    let mut open: Vec<(&Relation, QualifiedName)> = Vec::new();
    let partitions = |of: &QualifiedName, parent: &QualifiedName| -> Vec<(&Relation, QualifiedName)> {
        let of_it = snapshot.relations.iter().rev();
        let of_it = of_it.filter(|r| r.parent.as_ref() == Some(of) && r.partition_bound.is_some());
        of_it.map(|r| (r, parent.clone())).collect()
    };
    open.extend(partitions(&index.table, &index.qualified_name()));
    let (mut shown, mut left_out) = (0, 0);
    while let Some((partition, parent)) = open.pop() {
        if partition.kind == RelationKind::ForeignTable {
            continue;
        }
        let mut own = IndexDefinition { table: partition.name.clone(), ..index.clone() };
        if shown >= SHOWN_PARTITIONS {
            left_out += 1;
            open.extend(partitions(&partition.name, &parent));
            continue;
        }
        shown += 1;
        own.name = names.choose(&own);
        if partition.kind == RelationKind::PartitionedTable {
            out.push(on_only(&own));
            out.push(attach(&parent, &own));
            open.extend(partitions(&partition.name, &own.qualified_name()));
        } else {
            out.push(own.create_sql(true));
            out.push(attach(&parent, &own));
        }
    }
    if left_out > 0 {
        out.push(format!("-- and the same for {left_out} more partitions"));
    }
}

fn attach(parent: &QualifiedName, part: &IndexDefinition) -> String {
    format!("ALTER INDEX {parent} ATTACH PARTITION {}", part.qualified_name())
}

fn on_only(index: &IndexDefinition) -> String {
    let sql = index.create_sql(false);
    let front = format!("CREATE INDEX {} ON ", quote_identifier(&index.name));
    match sql.strip_prefix(&front) {
        Some(rest) => format!("{front}ONLY {rest}"),
        None => sql,
    }
}
