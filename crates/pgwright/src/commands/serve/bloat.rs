//! How much free space does `lint` find in tables and indexes, for the metrics?

use std::collections::HashMap;

use advice::schema::bloat;
use exporter::BloatEstimate;
use model::snapshot::{Index, RelationKind};
use model::{Bytes, QualifiedName, Snapshot};

/// The estimates for every table, materialized view and index of a snapshot.
pub fn estimates(snapshot: &Snapshot) -> Vec<BloatEstimate> {
    let mut found = Vec::new();
    let mut indexes: HashMap<&QualifiedName, Vec<&Index>> = HashMap::new();
    for index in &snapshot.indexes {
        indexes.entry(&index.definition.table).or_default().push(index);
    }
    for relation in snapshot.relations.iter().filter(|r| has_pages(r.kind)) {
        let one = |index: Option<String>, pages: i64, bloat: Option<bloat::Bloat>| BloatEstimate {
            table: relation.name.clone(),
            index,
            size_bytes: Bytes::from_pages(u64::try_from(pages).unwrap_or(0)).0 as f64,
            free_bytes: bloat.map(|b| b.wasted().0 as f64),
        };
        found.push(one(None, relation.pages, bloat::of_table(relation)));
        for index in indexes.remove(&relation.name).unwrap_or_default() {
            let estimate = bloat::of_index(index, relation, &snapshot.extended_statistics);
            found.push(one(Some(index.name.name.clone()), index.pages, estimate));
        }
    }
    found
}

fn has_pages(kind: RelationKind) -> bool {
    matches!(kind, RelationKind::Table | RelationKind::MaterializedView)
}
