//! Does a B-tree hold whole arrays or documents?
//!
//! A B-tree compares arrays and `jsonb` documents as a whole: it answers `=` and order, and none of `@>`, `<@`, `&&`
//! or `?`, which is what they are searched by; GIN does. A unique index is left alone: only a B-tree enforces it. So is one
//! beside a GIN index of the same column: whoever made both wants equality or order as well.

use model::snapshot::{Index, Relation};
use model::{Change, IndexDefinition, IndexKey, KeyTarget, Severity};

use super::{Check, index_ref};
use crate::index_advisor::upkeep::is_removable;
use crate::schema::{Facts, LintFinding, Remedy};

pub(super) const CHECK: Check = Check {
    id: "btree-on-array",
    title: "B-tree on an array or a document",
    severity: Severity::Warning,
    on: true,
    needs_schema_facts: false,
    run,
};

fn run(facts: &Facts<'_>) -> Vec<LintFinding> {
    facts.designed_indexes().filter_map(|(relation, index)| judge(facts, relation, index)).collect()
}

fn judge(facts: &Facts<'_>, relation: &Relation, index: &Index) -> Option<LintFinding> {
    let definition = &index.definition;
    if definition.access_method != "btree" || definition.unique || !is_removable(facts.snapshot, index) {
        return None;
    }
    let whole = definition.keys.iter().find_map(|key| match &key.target {
        KeyTarget::Column(name) => {
            let column = relation.column(name)?;
            (column.type_category == 'A' || column.base_type.name == "jsonb").then_some(column)
        }
        KeyTarget::Expression(_) => None,
    })?;
    let searched = facts.tables.indexes(&relation.name).any(|other| {
        let own = other.definition.keys.iter().any(|k| k.target == KeyTarget::Column(whole.name.clone()));
        other.valid && other.definition.access_method == "gin" && own
    });
    if searched {
        return None;
    }
    let finding = CHECK
        .finding(
            index_ref(index),
            format!("B-tree index {} holds whole values of {} {}", index.name, whole.type_name, whole.name),
            "It answers equality and order of whole values only. Containment and overlap (@>, <@, &&, ?) are answered \
             by GIN.",
        )
        .with("scans", index.idx_scan)
        .with("size", index.bytes);
    if definition.keys.len() > 1 || index.idx_scan > 0 {
        return Some(finding);
    }
    let gin = IndexDefinition {
        access_method: "gin".into(),
        name: facts.free_name(&definition.table.schema, &format!("{}_gin", definition.name.chars().take(50).collect::<String>())),
        keys: vec![IndexKey::column(&whole.name)],
        include: Vec::new(),
        with: Vec::new(),
        ..definition.clone()
    };
    let drop = Change::DropIndex {
        name: index.name.clone(),
        table: definition.table.clone(),
        definition: index.indexdef.clone(),
    };
    Some(finding.mended_by(Remedy::changes(
        facts,
        vec![Change::CreateIndex { index: gin }, drop],
        "SHARE UPDATE EXCLUSIVE while the table is read twice: reads and writes go on.",
    )))
}
