//! Is there a table without a primary key?
//!
//! Rows cannot be told apart, logical replication cannot update or delete them, and a row that was inserted twice
//! stays. A unique index on NOT NULL columns can become the key without a scan. Partitions are judged as their table.

use model::snapshot::{Index, Relation, RelationKind};
use model::{KeyTarget, LockLevel, Severity, quote_identifier};

use super::{Check, relation_ref};
use crate::schema::{Facts, LintFinding, Remedy, remedy};

pub(super) const CHECK: Check = Check {
    id: "no-primary-key",
    title: "table without a primary key",
    severity: Severity::Warning,
    on: true,
    needs_schema_facts: false,
    run,
};

fn run(facts: &Facts<'_>) -> Vec<LintFinding> {
    facts
        .designed()
        .filter(|r| matches!(r.kind, RelationKind::Table | RelationKind::PartitionedTable))
        .filter(|r| facts.primary_key(&r.name).is_none())
        .map(|relation| {
            let finding = CHECK.finding(
                relation_ref(&relation.name),
                format!("table {} has no primary key", relation.name),
                "Its rows cannot be told apart: not by an application, nor by logical replication, which needs a replica \
                 identity for UPDATE and DELETE.",
            );
            match facts.tables.indexes(&relation.name).find(|i| can_be_key(relation, i)) {
                Some(index) => finding
                    .severity(Severity::Info)
                    .with("unique index on columns that are NOT NULL", &index.name)
                    .mended_by(adopt(relation, index)),
                None if relation.kind == RelationKind::Table => finding.mended_by(add(relation)),
                None => finding,
            }
        })
        .collect()
}

/// `ADD PRIMARY KEY USING INDEX` takes a valid unique B-tree on plain columns in their default order.
fn can_be_key(relation: &Relation, index: &Index) -> bool {
    let definition = &index.definition;
    relation.kind == RelationKind::Table
        && definition.unique
        && index.valid
        && index.constraint.is_none()
        && definition.predicate.is_none()
        && definition.access_method == "btree"
        && definition.keys.iter().all(|key| match &key.target {
            KeyTarget::Column(name) => {
                relation.column(name).is_some_and(|c| c.not_null)
                    && !key.nulls_first()
                    && key.opclass.is_none()
                    && key.collation.is_none()
                    && key.order == model::SortOrder::Asc
            }
            KeyTarget::Expression(_) => false,
        })
}

fn adopt(relation: &Relation, index: &Index) -> Remedy {
    Remedy::instant(vec![format!(
        "ALTER TABLE {} ADD PRIMARY KEY USING INDEX {}",
        relation.name,
        quote_identifier(&index.name.name)
    )])
}

fn add(relation: &Relation) -> Remedy {
    let name = (1..)
        .map(|n| if n == 1 { "id".to_owned() } else { format!("id{n}") })
        .find(|name| relation.column(name).is_none())
        .unwrap_or_default();
    Remedy::sql(
        vec![format!(
            "ALTER TABLE {} ADD COLUMN {} bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
            relation.name,
            quote_identifier(&name)
        )],
        LockLevel::AccessExclusive,
        format!(
            "ACCESS EXCLUSIVE while the table is written anew ({}), about {} at 250 MB and a million rows a second: reads and writes wait. \
             If columns identify a row already, build a unique index on them CONCURRENTLY and adopt it with ADD PRIMARY \
             KEY USING INDEX.",
            relation.table_bytes,
            remedy::rewrite_ms(relation)
        ),
    )
}
