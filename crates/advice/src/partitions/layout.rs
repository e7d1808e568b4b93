//! How would a snapshot look if a table were divided otherwise? The same schema, the same rows by their statistics, in
//! other partitions: what a twin is built from before anything is changed.
//!
//! Which rows a partition takes is read off the key's most common values and histogram. Of the other columns, those
//! that lie in the order of the key (by their correlation with the order of rows) are cut as the key is; the rest is
//! taken to be spread evenly.

mod schema_text;
mod shares;

use std::collections::BTreeSet;

use model::partition_set::Division;
use model::snapshot::{Column, Constraint, ConstraintKind, Index, Relation, RelationKind};
use model::{
    Bytes, IndexDefinition, IndexKey, KeyKind, KeyTarget, QualifiedName, Snapshot, quote_identifier,
};
use partitioning::{Grid, MAX_NAME_BYTES, fitted};
use serde::Serialize;

use self::shares::{KeyValues, Part};
use super::sets::trees;
use crate::tables::statistics;

/// A snapshot in which a table is divided.
#[derive(Clone, Debug)]
pub struct Divided {
    /// The snapshot.
    pub snapshot: Snapshot,
    /// The partitions with the share of the rows that each takes.
    pub partitions: Vec<(QualifiedName, f64)>,
    /// Unique keys that had to take the partition key in.
    pub widened: Vec<WidenedKey>,
    /// Foreign keys of other tables that cannot reference the table any more.
    pub lost_references: Vec<LostReference>,
}

/// A unique key that the partition key was added to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WidenedKey {
    /// The index or constraint.
    pub name: String,
    /// Whether it is the primary key.
    pub primary: bool,
    /// The unquoted columns as they are.
    pub columns: Vec<String>,
    /// The column that it needs.
    pub with: String,
    /// Whether it is one column of numbers or UUIDs, whose values something counts up or draws.
    pub surrogate: bool,
}

/// A foreign key that would lose what it references.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LostReference {
    /// The referencing table.
    pub table: QualifiedName,
    /// The constraint.
    pub constraint: String,
    /// The unquoted columns that it references.
    pub columns: Vec<String>,
}

/// A division could make more partitions than this by mistake.
const MOST_PARTITIONS: usize = 3000;

/// Divides a table of a snapshot, or divides it anew.
///
/// # Errors
/// Why it cannot be divided like this, in a sentence.
pub fn divide(
    snapshot: &Snapshot,
    table: &QualifiedName,
    division: &Division,
    time_zone: &str,
    premake: u32,
) -> Result<Divided, String> {
    let relation = snapshot.relation(table).ok_or_else(|| format!("{table} is not in the snapshot."))?;
    check(snapshot, relation)?;
    let column = relation
        .column(&division.key)
        .ok_or_else(|| format!("{table} has no column {}.", quote_identifier(&division.key)))?;
    let whole = whole_table(snapshot, relation);
    let known = whole.column(&column.name).and_then(|c| statistics(relation, c).or(c.statistics.as_ref()));
    let known = known.ok_or_else(|| {
        format!("{table} was never analyzed: nothing is known of {}.", quote_identifier(&column.name))
    })?;
    let grid = Grid::new(division, time_zone, None).map_err(|e| format!("{e}."))?;
    let values = KeyValues::new(known, &grid);
    let parts = values.parts(&grid, premake, MOST_PARTITIONS)?;
    let names = names(snapshot, table, &grid, &parts)?;
    let removed: BTreeSet<QualifiedName> = below(snapshot, table);
    let mut divider =
        Divider { snapshot: snapshot.clone(), whole: &whole, division, widened: Vec::new(), oid: 0 };
    divider.oid = snapshot
        .relations
        .iter()
        .map(|r| r.oid)
        .chain(snapshot.indexes.iter().map(|i| i.oid))
        .max()
        .unwrap_or(0);
    let old_indexes: Vec<Index> = snapshot.indexes_of(table).map(|i| whole_index(snapshot, i)).collect();
    let removed_indexes: BTreeSet<QualifiedName> = snapshot
        .indexes
        .iter()
        .filter(|i| removed.contains(&i.definition.table))
        .map(|i| i.name.clone())
        .collect();
    divider.snapshot.relations.retain(|r| r.name != *table && !removed.contains(&r.name));
    divider
        .snapshot
        .indexes
        .retain(|i| i.definition.table != *table && !removed.contains(&i.definition.table));
    divider.snapshot.constraints.retain(|c| !removed.contains(&c.table));
    divider.snapshot.extended_statistics.retain(|s| !removed.contains(&s.table));
    divider.parent(&values);
    for (name, part) in names.iter().zip(&parts) {
        divider.partition(name, part, &values);
    }
    let mut statements = Vec::new();
    for index in &old_indexes {
        statements.push((index.name.clone(), divider.index(index, &names, &parts)));
    }
    divider.snapshot.relations.sort_by(|a, b| a.name.cmp(&b.name));
    divider.snapshot.indexes.sort_by(|a, b| a.name.cmp(&b.name));
    let lost_references = divider.lose_references(table);
    let edit = schema_text::Edit {
        table,
        removed: &removed,
        removed_indexes: &removed_indexes,
        partition_by: format!("{} ({})", strategy(division.kind), quote_identifier(&division.key)),
        partitions: names.iter().zip(&parts).map(|(n, p)| (n.clone(), p.bound.sql(division.kind))).collect(),
        indexes: statements,
        lost: lost_references.iter().map(|l| (l.table.clone(), l.constraint.clone())).collect(),
    };
    divider.snapshot.schema_sql = edit.apply(&snapshot.schema_sql)?;
    Ok(Divided {
        widened: divider.widened,
        partitions: names.into_iter().zip(parts.iter().map(|p| p.share)).collect(),
        snapshot: divider.snapshot,
        lost_references,
    })
}

fn strategy(kind: KeyKind) -> &'static str {
    match kind {
        KeyKind::List => "LIST",
        KeyKind::Hash => "HASH",
        _ => "RANGE",
    }
}

/// What cannot become a partitioned table.
fn check(snapshot: &Snapshot, relation: &Relation) -> Result<(), String> {
    let table = &relation.name;
    if !matches!(relation.kind, RelationKind::Table | RelationKind::PartitionedTable) {
        return Err(format!("{table} is no table of this server."));
    }
    if relation.partition_bound.is_some() {
        return Err(format!("{table} is itself a partition."));
    }
    let inherits = relation.kind == RelationKind::Table
        && (relation.parent.is_some() || snapshot.relations.iter().any(|r| r.parent.as_ref() == Some(table)));
    if inherits {
        return Err(format!("{table} inherits or is inherited from, which partitioned tables cannot."));
    }
    if let Some(index) = snapshot.indexes_of(table).find(|i| i.exclusion) {
        return Err(format!("{table} has the exclusion constraint {}.", quote_identifier(&index.name.name)));
    }
    Ok(())
}

/// Everything below a partitioned table.
fn below(snapshot: &Snapshot, table: &QualifiedName) -> BTreeSet<QualifiedName> {
    let trees = trees(snapshot);
    let Some(root) = trees.find(table) else { return BTreeSet::new() };
    trees.below(root).into_iter().map(|t| t.name.clone()).filter(|name| name != table).collect()
}

/// The table with the pages and rows of all of its partitions.
fn whole_table(snapshot: &Snapshot, relation: &Relation) -> Relation {
    let mut whole = relation.clone();
    for column in &mut whole.columns {
        column.statistics = statistics(relation, column).cloned();
    }
    if relation.kind != RelationKind::PartitionedTable {
        whole.reltuples = relation.rows();
        whole.relpages = relation.pages;
        return whole;
    }
    let names = below(snapshot, &relation.name);
    let leaves: Vec<&Relation> = names
        .iter()
        .filter_map(|n| snapshot.relation(n))
        .filter(|r| r.kind != RelationKind::PartitionedTable)
        .collect();
    whole.reltuples = leaves.iter().map(|r| r.rows()).fold(0.0, |sum, rows| sum + rows);
    whole.pages = leaves.iter().map(|r| r.pages).sum();
    whole.relpages = whole.pages;
    whole.relallvisible = leaves.iter().map(|r| r.relallvisible).sum();
    whole.table_bytes = leaves.iter().map(|r| r.table_bytes).sum();
    // Nobody analyzed the whole: the largest partition has to stand for it, but for the key.
    if whole.columns.iter().all(|c| c.statistics.is_none())
        && let Some(largest) = leaves.iter().max_by_key(|r| r.pages)
    {
        for column in &mut whole.columns {
            column.statistics = largest.column(&column.name).and_then(|c| c.statistics.clone());
        }
    }
    whole
}

/// The index with the pages and rows of all of its partitions.
fn whole_index(snapshot: &Snapshot, index: &Index) -> Index {
    let mut whole = index.clone();
    let mut above = vec![&index.name];
    while let Some(name) = above.pop() {
        for part in snapshot.indexes.iter().filter(|i| i.parent.as_ref() == Some(name)) {
            whole.pages += part.pages;
            whole.relpages += part.relpages;
            whole.reltuples = whole.reltuples.max(0.0) + part.reltuples.max(0.0);
            whole.bytes = Bytes(whole.bytes.0 + part.bytes.0);
            above.push(&part.name);
        }
    }
    whole
}

/// Names of the partitions that nothing else has.
fn names(
    snapshot: &Snapshot,
    table: &QualifiedName,
    grid: &Grid,
    parts: &[Part],
) -> Result<Vec<QualifiedName>, String> {
    let below = below(snapshot, table);
    let taken: BTreeSet<&QualifiedName> = snapshot
        .relations
        .iter()
        .map(|r| &r.name)
        .chain(snapshot.indexes.iter().map(|i| &i.name))
        .filter(|name| !below.contains(name))
        .collect();
    let mut names = Vec::new();
    for part in parts {
        let mut name = match &part.cell {
            Some(cell) => grid.name(table, cell).map_err(|e| format!("{e}."))?,
            None => QualifiedName::new(table.schema.clone(), child_name(&table.name, "default")),
        };
        while taken.contains(&name) {
            name.name = child_name(&name.name, "tried");
        }
        names.push(name);
    }
    Ok(names)
}

fn child_name(of: &str, suffix: &str) -> String {
    let whole = format!("{of}_{suffix}");
    fitted(&whole, MAX_NAME_BYTES).unwrap_or(whole)
}

struct Divider<'a> {
    snapshot: Snapshot,
    whole: &'a Relation,
    division: &'a Division,
    widened: Vec<WidenedKey>,
    oid: u32,
}

impl Divider<'_> {
    fn next_oid(&mut self) -> u32 {
        self.oid = self.oid.wrapping_add(1);
        self.oid
    }

    fn parent(&mut self, values: &KeyValues<'_>) {
        let mut parent = self.whole.clone();
        parent.kind = RelationKind::PartitionedTable;
        parent.partition_key =
            Some(format!("{} ({})", strategy(self.division.kind), quote_identifier(&self.division.key)));
        parent.options = Vec::new();
        (parent.pages, parent.relpages, parent.relallvisible) = (0, -1, 0);
        (parent.table_bytes, parent.indexes_bytes) = (Bytes(0), Bytes(0));
        for column in &mut parent.columns {
            column.inherited_statistics = column.statistics.take();
            column.not_null |= values.is_key(&column.name) && self.division.kind != KeyKind::List;
        }
        self.snapshot.relations.push(parent);
    }

    fn partition(&mut self, name: &QualifiedName, part: &Part, values: &KeyValues<'_>) {
        let mut child = self.whole.clone();
        child.oid = self.next_oid();
        child.name = name.clone();
        child.kind = RelationKind::Table;
        child.parent = Some(self.whole.name.clone());
        child.partition_key = None;
        child.partition_bound = Some(part.bound.sql(self.division.kind));
        child.reltuples = (self.whole.reltuples * part.share).round();
        child.pages = pages(self.whole.pages, part.share);
        child.relpages = child.pages;
        child.relallvisible = pages(self.whole.relallvisible, part.share);
        child.table_bytes = Bytes((self.whole.table_bytes.0 as f64 * part.share) as u64);
        let key = self.whole.column(&self.division.key).cloned();
        for column in &mut child.columns {
            column.inherited_statistics = None;
            let Some(whole) = column.statistics.take() else { continue };
            if part.share <= 0.0 {
                continue;
            }
            column.statistics = Some(match &key {
                Some(key) if column.name == key.name => values.within(&whole, part, self.whole.reltuples),
                Some(key) if lies_in_order(column, &whole, key) => {
                    shares::slice(&whole, part, self.whole.reltuples)
                }
                _ => shares::thinned(&whole, part.share, self.whole.reltuples),
            });
        }
        self.snapshot.relations.push(child);
    }

    /// Whether a key is one column of numbers or UUIDs.
    fn is_surrogate(&self, definition: &IndexDefinition) -> bool {
        let [key] = definition.keys.as_slice() else { return false };
        let KeyTarget::Column(name) = &key.target else { return false };
        self.whole
            .column(name)
            .is_some_and(|c| matches!(c.base_type.name.as_str(), "int2" | "int4" | "int8" | "uuid"))
    }

    /// The index on the table and on its partitions, and the SQL that makes them.
    fn index(&mut self, index: &Index, names: &[QualifiedName], parts: &[Part]) -> String {
        let mut definition = index.definition.clone();
        let key = &self.division.key;
        let has_key = definition.keys.iter().any(|k| k.target == KeyTarget::Column(key.clone()));
        if definition.unique && !has_key {
            self.widened.push(WidenedKey {
                name: definition.name.clone(),
                primary: index.primary,
                columns: columns(&definition),
                with: key.clone(),
                surrogate: self.is_surrogate(&definition),
            });
            definition.keys.push(IndexKey::column(key.clone()));
        }
        let mut sql = String::new();
        for (name, part) in names.iter().zip(parts) {
            let child_definition = IndexDefinition {
                table: name.clone(),
                name: child_name(&name.name, &definition.name),
                ..definition.clone()
            };
            sql.push_str(&create_sql(index, &child_definition));
            let child = Index {
                oid: self.next_oid(),
                name: child_definition.qualified_name(),
                indexdef: child_definition.create_sql(false),
                constraint: index.constraint.as_ref().map(|_| child_definition.name.clone()),
                definition: child_definition,
                parent: Some(index.name.clone()),
                relpages: pages(index.relpages, part.share).max(1),
                reltuples: (index.reltuples.max(0.0) * part.share).round(),
                pages: pages(index.pages, part.share).max(1),
                bytes: Bytes((index.bytes.0 as f64 * part.share) as u64),
                ..index.clone()
            };
            self.snapshot.indexes.push(child);
        }
        sql.push_str(&create_sql(index, &definition));
        let parent = Index {
            indexdef: definition.create_sql(false),
            definition,
            relpages: 0,
            pages: 0,
            bytes: Bytes(0),
            ..index.clone()
        };
        for constraint in &mut self.snapshot.constraints {
            let is_it = constraint.table == parent.definition.table
                && Some(&constraint.name) == parent.constraint.as_ref();
            if is_it {
                constraint.columns = columns(&parent.definition);
            }
        }
        self.snapshot.indexes.push(parent);
        sql
    }

    /// Foreign keys need a unique key of just their columns.
    fn lose_references(&mut self, table: &QualifiedName) -> Vec<LostReference> {
        let keys: Vec<BTreeSet<String>> = self
            .snapshot
            .indexes_of(table)
            .filter(|i| i.definition.unique)
            .map(|i| columns(&i.definition).into_iter().collect())
            .collect();
        let is_lost = |c: &Constraint| {
            c.kind == ConstraintKind::ForeignKey
                && c.references.as_ref().is_some_and(|r| {
                    &r.table == table && !keys.contains(&r.columns.iter().cloned().collect())
                })
        };
        let lost = self.snapshot.constraints.iter().filter(|c| is_lost(c)).map(|c| LostReference {
            table: c.table.clone(),
            constraint: c.name.clone(),
            columns: c.references.as_ref().map(|r| r.columns.clone()).unwrap_or_default(),
        });
        let lost: Vec<LostReference> = lost.collect();
        self.snapshot.constraints.retain(|c| !is_lost(c));
        lost
    }
}

/// The unquoted columns of an index's key.
fn columns(definition: &IndexDefinition) -> Vec<String> {
    let column = |key: &IndexKey| match &key.target {
        KeyTarget::Column(name) => name.clone(),
        KeyTarget::Expression(text) => format!("({text})"),
    };
    definition.keys.iter().map(column).collect()
}

fn create_sql(index: &Index, definition: &IndexDefinition) -> String {
    if index.constraint.is_none() {
        return format!("{};\n", definition.create_sql(false));
    }
    let quoted = |names: &[String]| names.iter().map(|n| quote_identifier(n)).collect::<Vec<_>>().join(", ");
    let include = if definition.include.is_empty() {
        String::new()
    } else {
        format!(" INCLUDE ({})", quoted(&definition.include))
    };
    format!(
        "ALTER TABLE {} ADD CONSTRAINT {} {} ({}){include};\n",
        definition.table,
        quote_identifier(&definition.name),
        match (index.primary, index.nulls_not_distinct) {
            (true, _) => "PRIMARY KEY",
            (false, true) => "UNIQUE NULLS NOT DISTINCT",
            (false, false) => "UNIQUE",
        },
        quoted(&columns(definition)),
    )
}

/// The pages of a share: all of them together are a little more than the whole.
fn pages(of: i64, share: f64) -> i64 {
    (of.max(0) as f64 * share).ceil() as i64
}

/// Whether a column's values lie as the key's do: both in the order of the rows.
fn lies_in_order(column: &Column, statistics: &model::snapshot::ColumnStatistics, key: &Column) -> bool {
    const ORDERED: f32 = 0.9;
    let of_key = key.statistics.as_ref().and_then(|s| s.correlation).unwrap_or(0.0);
    let own = statistics.correlation.unwrap_or(0.0);
    column.name != key.name
        && own.abs() >= ORDERED
        && of_key.abs() >= ORDERED
        && own.signum() == of_key.signum()
}
