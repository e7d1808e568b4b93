//! The tables of a snapshot by name, with their indexes and children, and as large as they are with everything below
//! them: a partitioned table has no pages of its own, and looking through a list for each of thousands of statements
//! takes longer than everything else.

use std::collections::BTreeMap;

use model::snapshot::{Column, ColumnStatistics, Index, Relation, RelationKind};
use model::{QualifiedName, Snapshot};

/// What planning a scan of a table looks at.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Extent {
    /// Pages, those of partitions added up.
    pub pages: i64,
    /// Rows, likewise.
    pub rows: f64,
}

/// A snapshot's tables.
#[derive(Debug)]
pub(crate) struct Tables<'a> {
    by_name: BTreeMap<&'a QualifiedName, &'a Relation>,
    indexes: BTreeMap<&'a QualifiedName, Vec<&'a Index>>,
    children: BTreeMap<&'a QualifiedName, Vec<&'a Relation>>,
    partitioned: BTreeMap<&'a QualifiedName, Extent>,
}

impl<'a> Tables<'a> {
    pub(crate) fn new(snapshot: &'a Snapshot) -> Self {
        let by_name: BTreeMap<_, _> = snapshot.relations.iter().map(|r| (&r.name, r)).collect();
        let mut indexes: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for index in &snapshot.indexes {
            indexes.entry(&index.definition.table).or_default().push(index);
        }
        let mut children: BTreeMap<_, Vec<_>> = BTreeMap::new();
        let mut partitioned: BTreeMap<&QualifiedName, Extent> = BTreeMap::new();
        for relation in &snapshot.relations {
            if let Some(parent) = &relation.parent {
                children.entry(parent).or_default().push(relation);
            }
            if relation.kind == RelationKind::PartitionedTable || relation.partition_bound.is_none() {
                continue;
            }
            // Partitions of partitions count for every table above them; a circle in a broken file ends.
            let mut above = relation.parent.as_ref();
            for _ in 0..32 {
                let Some((name, parent)) = above.and_then(|name| by_name.get_key_value(name)) else { break };
                let sum = partitioned.entry(name).or_default();
                sum.pages += relation.pages.max(relation.relpages).max(0);
                sum.rows += relation.rows();
                above = parent.parent.as_ref();
            }
        }
        Self { by_name, indexes, children, partitioned }
    }

    pub(crate) fn relation(&self, name: &QualifiedName) -> Option<&'a Relation> {
        self.by_name.get(name).copied()
    }

    pub(crate) fn indexes(&self, table: &QualifiedName) -> impl Iterator<Item = &'a Index> {
        self.indexes.get(table).into_iter().flatten().copied()
    }

    /// Tables that inherit from a table, without those below them.
    pub(crate) fn children(&self, table: &QualifiedName) -> &[&'a Relation] {
        self.children.get(table).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn extent(&self, relation: &Relation) -> Extent {
        match relation.kind {
            RelationKind::PartitionedTable => {
                self.partitioned.get(&relation.name).copied().unwrap_or_default()
            }
            _ => Extent { pages: relation.pages.max(relation.relpages), rows: relation.rows() },
        }
    }
}

/// The statistics of a column's values: of all rows below a partitioned table, of its own rows otherwise.
pub(crate) fn statistics<'c>(relation: &Relation, column: &'c Column) -> Option<&'c ColumnStatistics> {
    let (own, inherited) = (column.statistics.as_ref(), column.inherited_statistics.as_ref());
    if relation.kind == RelationKind::PartitionedTable { inherited.or(own) } else { own.or(inherited) }
}
