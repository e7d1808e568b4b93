//! Which partitioned tables does a snapshot have, by which columns, and what are their partitions?

use std::collections::BTreeSet;

use model::partition_tree::{PartitionKey, PartitionTable};
use model::snapshot::{Relation, RelationKind};
use model::{QualifiedName, Snapshot};
use partitioning::Trees;
use serde::Serialize;

/// A partitioned table that is no partition itself.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SetOfPartitions {
    /// The table.
    pub table: QualifiedName,
    /// `pg_get_partkeydef()`, for instance `RANGE (created_at)`.
    pub key: String,
    /// The unquoted columns of its key, and of the keys of partitions that are partitioned again.
    pub key_columns: BTreeSet<String>,
    /// The partitions that hold rows.
    pub partitions: BTreeSet<QualifiedName>,
    /// Their names without schemas, which is all that plans tell.
    #[serde(skip)]
    pub(super) names: BTreeSet<String>,
    /// Estimated rows of all of them.
    pub rows: f64,
    /// Pages of all of them.
    pub pages: i64,
}

/// The partitioned tables of a snapshot, by name.
pub fn partitioned_sets(snapshot: &Snapshot) -> Vec<SetOfPartitions> {
    let trees = trees(snapshot);
    let roots = snapshot
        .relations
        .iter()
        .filter(|r| r.kind == RelationKind::PartitionedTable && r.partition_bound.is_none());
    roots
        .filter_map(|root| {
            let table = trees.find(&root.name)?;
            let below = trees.below(table);
            let keys = below.iter().filter_map(|t| t.key.as_ref());
            let leaves = trees.leaves(table);
            let relations = || leaves.iter().filter_map(|l| snapshot.relation(&l.name));
            Some(SetOfPartitions {
                table: root.name.clone(),
                key: root.partition_key.clone().unwrap_or_default(),
                key_columns: keys.flat_map(|k| k.columns.iter().flatten().cloned()).collect(),
                rows: relations().map(Relation::rows).fold(0.0, |sum, rows| sum + rows),
                pages: relations().map(|r| r.pages).sum(),
                names: leaves.iter().map(|l| l.name.name.clone()).collect(),
                partitions: leaves.iter().map(|l| l.name.clone()).collect(),
            })
        })
        .collect()
}

/// The partitioned tables of a snapshot and their partitions, as the catalog tells them.
pub fn trees(snapshot: &Snapshot) -> Trees {
    let by_name: std::collections::BTreeMap<&QualifiedName, &Relation> =
        snapshot.relations.iter().map(|r| (&r.name, r)).collect();
    let tables = snapshot
        .relations
        .iter()
        .filter(|r| r.kind == RelationKind::PartitionedTable || r.partition_bound.is_some())
        .map(|relation| PartitionTable {
            oid: relation.oid,
            name: relation.name.clone(),
            parent_oid: relation
                .partition_bound
                .as_ref()
                .and(relation.parent.as_ref())
                .and_then(|parent| by_name.get(parent))
                .map(|parent| parent.oid),
            relkind: match relation.kind {
                RelationKind::PartitionedTable => 'p',
                RelationKind::ForeignTable => 'f',
                _ => 'r',
            },
            key: relation.partition_key.as_deref().map(|definition| key(relation, definition)),
            bound: relation.partition_bound.clone(),
            detach_pending: false,
            owner: String::new(),
            is_owner: false,
            rows: (relation.reltuples >= 0.0).then(|| relation.rows()),
            default_bytes: None,
            tablespace: None,
            has_statistics: relation.columns.iter().any(|c| c.inherited_statistics.is_some()),
        })
        .collect();
    Trees::new(tables)
}

/// Reads `RANGE (created_at, lower(name))`: of an expression there is no column.
fn key(relation: &Relation, definition: &str) -> PartitionKey {
    let (strategy, list) = definition.split_once('(').unwrap_or((definition, ""));
    let list = list.strip_suffix(')').unwrap_or(list);
    let columns: Vec<Option<String>> = elements(list).into_iter().map(|e| column(relation, &e)).collect();
    let types = columns.iter().map(|c| relation.column(c.as_deref()?).map(|c| c.type_name.clone())).collect();
    PartitionKey {
        strategy: match strategy.trim() {
            "LIST" => 'l',
            "HASH" => 'h',
            _ => 'r',
        },
        columns,
        types,
        definition: definition.to_owned(),
    }
}

/// Splits at commas outside of quotes and brackets.
fn elements(list: &str) -> Vec<String> {
    let (mut found, mut part) = (Vec::new(), String::new());
    let (mut depth, mut quote) = (0_usize, None);
    for c in list.chars() {
        match (quote, c) {
            (Some(q), _) if c == q => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '(') => depth += 1,
            (None, ')') => depth = depth.saturating_sub(1),
            (None, ',') if depth == 0 => {
                found.push(std::mem::take(&mut part));
                continue;
            }
            _ => {}
        }
        part.push(c);
    }
    found.push(part);
    found
}

/// The column that an element of a key names, an operator class or a collation behind it left out.
fn column(relation: &Relation, element: &str) -> Option<String> {
    let element = element.trim();
    let mut columns = relation.columns.iter();
    columns
        .find(|c| {
            let quoted = model::quote_identifier(&c.name);
            element.strip_prefix(quoted.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
        })
        .map(|c| c.name.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn keys_are_read_as_the_server_prints_them() {
        let mut table = fixture::table("t", 10.0, &["at timestamptz", "id int"]);
        table.columns[1].name = "a\"b, c".into();
        let of = |definition: &str| key(&table, definition);
        assert_eq!(of("RANGE (at)").columns, [Some("at".to_owned())]);
        assert_eq!(of("RANGE (at)").types, [Some("timestamp with time zone".to_owned())]);
        let both = of("HASH (\"a\"\"b, c\", at)");
        assert_eq!((both.strategy, both.columns), ('h', vec![Some("a\"b, c".into()), Some("at".into())]));
        assert_eq!(of("LIST (date_trunc('month, of'::text, at))").columns, [None]);
        assert_eq!(of("RANGE (at timestamptz_ops)").columns, [Some("at".to_owned())]);
    }

    #[test]
    fn partitions_of_partitions_belong_to_the_set_above() {
        let mut snapshot = fixture::snapshot();
        let mut add = |name: &str, oid: u32, parent: Option<&str>, key: Option<&str>| {
            let mut table = fixture::table(name, 100.0, &["at timestamptz", "id int"]);
            table.oid = oid;
            table.parent = parent.map(fixture::name);
            table.partition_bound = parent.map(|_| "DEFAULT".to_owned());
            table.partition_key = key.map(str::to_owned);
            if key.is_some() {
                table.kind = RelationKind::PartitionedTable;
            }
            snapshot.relations.push(table);
        };
        add("e", 10, None, Some("RANGE (at)"));
        add("e_1", 11, Some("e"), Some("HASH (id)"));
        add("e_1_a", 12, Some("e_1"), None);
        add("e_2", 13, Some("e"), None);
        add("plain", 14, None, None);
        let sets = partitioned_sets(&snapshot);
        let [set] = sets.as_slice() else { panic!("{sets:?}") };
        assert_eq!(set.table.name, "e");
        assert_eq!(set.partitions.iter().map(|p| p.name.as_str()).collect::<Vec<_>>(), ["e_1_a", "e_2"]);
        assert_eq!(set.key_columns.iter().map(String::as_str).collect::<Vec<_>>(), ["at", "id"]);
        assert!((set.rows - 200.0).abs() < 1e-6);
    }
}
