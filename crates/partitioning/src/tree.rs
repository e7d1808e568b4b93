//! Which tables are partitions of which?

use std::collections::BTreeMap;

use model::partition_tree::{PartitionKey, PartitionTable};
use model::{KeyKind, QualifiedName};

use crate::bound::Bound;

/// All partitioned tables of a database with their partitions.
#[derive(Clone, Debug, Default)]
pub struct Trees {
    tables: Vec<PartitionTable>,
    by_oid: BTreeMap<u32, usize>,
    by_name: BTreeMap<QualifiedName, usize>,
    children: BTreeMap<u32, Vec<usize>>,
}

/// A partition with its bound, as far as it is understood.
#[derive(Clone, Copy, Debug)]
pub struct Child<'a> {
    /// The partition.
    pub table: &'a PartitionTable,
    /// Its bound in the server's words.
    pub text: &'a str,
}

impl Trees {
    /// Puts rows of the catalog together.
    pub fn new(tables: Vec<PartitionTable>) -> Self {
        let mut trees = Self::default();
        for (at, table) in tables.iter().enumerate() {
            trees.by_oid.insert(table.oid, at);
            trees.by_name.insert(table.name.clone(), at);
            if let Some(parent) = table.parent_oid {
                trees.children.entry(parent).or_default().push(at);
            }
        }
        trees.tables = tables;
        trees
    }

    /// Every table, by name.
    pub fn tables(&self) -> &[PartitionTable] {
        &self.tables
    }

    /// The partitioned tables of every level, by name.
    pub fn parents(&self) -> impl Iterator<Item = &PartitionTable> {
        self.tables.iter().filter(|t| t.key.is_some())
    }

    /// The table of a name.
    pub fn find(&self, name: &QualifiedName) -> Option<&PartitionTable> {
        self.by_name.get(name).and_then(|at| self.tables.get(*at))
    }

    /// The table that one is a partition of.
    pub fn parent_of(&self, table: &PartitionTable) -> Option<&PartitionTable> {
        table.parent_oid.and_then(|oid| self.by_oid.get(&oid)).and_then(|at| self.tables.get(*at))
    }

    /// The partitions of a table, by name; of those partitions none.
    pub fn children(&self, table: &PartitionTable) -> impl Iterator<Item = Child<'_>> {
        let positions = self.children.get(&table.oid).map_or(&[] as &[usize], Vec::as_slice);
        positions.iter().filter_map(|at| {
            let table = self.tables.get(*at)?;
            Some(Child { table, text: table.bound.as_deref().unwrap_or("") })
        })
    }

    /// The tables below one that hold rows, itself when it is not partitioned.
    pub fn leaves<'a>(&'a self, table: &'a PartitionTable) -> Vec<&'a PartitionTable> {
        if table.key.is_none() {
            return vec![table];
        }
        self.children(table).flat_map(|child| self.leaves(child.table)).collect()
    }

    /// Everything below a table, itself included.
    pub fn below<'a>(&'a self, table: &'a PartitionTable) -> Vec<&'a PartitionTable> {
        let mut all = vec![table];
        all.extend(self.children(table).flat_map(|child| self.below(child.table)));
        all
    }

    /// How many rows a partitioned table was last said to have as a whole, and how many its partitions are now said to
    /// have, when these differ by more than what makes autovacuum analyze a table. `None` before PostgreSQL 14, which
    /// keeps no count of the whole.
    pub fn outgrown(&self, parent: &PartitionTable) -> Option<(f64, f64)> {
        let whole = parent.rows?;
        let parts: f64 = self.leaves(parent).iter().filter_map(|t| t.rows).sum();
        ((parts - whole).abs() > 50.0 + whole / 10.0).then_some((whole, parts))
    }

    /// The DEFAULT partition of a table.
    pub fn default_of(&self, table: &PartitionTable) -> Option<&PartitionTable> {
        self.children(table).find(|c| c.text == "DEFAULT").map(|c| c.table)
    }
}

/// What a key holds; `None` for keys of several columns, expressions and types that are not divided here.
pub fn kind_of(key: &PartitionKey) -> Option<KeyKind> {
    match key.strategy {
        'h' => return Some(KeyKind::Hash),
        'l' => return key.single().map(|_| KeyKind::List),
        _ => {}
    }
    let (_, type_name) = key.single()?;
    match type_name {
        "timestamp with time zone" => Some(KeyKind::TimestampTz),
        "timestamp without time zone" => Some(KeyKind::Timestamp),
        "date" => Some(KeyKind::Date),
        "smallint" => Some(KeyKind::SmallInt),
        "integer" => Some(KeyKind::Integer),
        "bigint" => Some(KeyKind::BigInt),
        "uuid" => Some(KeyKind::UuidV7),
        _ => None,
    }
}

impl Child<'_> {
    /// Its bound for a kind of key.
    pub fn bound(&self, kind: KeyKind) -> Option<Bound> {
        Bound::parse(self.text, kind)
    }
}
