//! What belongs to a partitioned table and to its index right now? Read anew whenever it matters,
//! because partitions come and go.
//!
//! Source: PostgreSQL manual, `pg_inherits`, `pg_index`; `CompareIndexInfo()` in
//! `src/backend/catalog/index.c` for what makes an index fit to be attached.

use std::collections::{BTreeMap, BTreeSet};

use model::QualifiedName;
use tokio_postgres::{Client, Row};

use crate::action::{IndexShape, TreeIndex, TreePart, TreeRoot};
use crate::catalog::shape_of;
use crate::error::Error;

/// A partitioned table with its partitions.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tree {
    /// The table itself first, parents before their partitions.
    pub nodes: Vec<Node>,
}

/// One table of the tree.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub oid: u32,
    pub parent: Option<u32>,
    pub relkind: char,
    pub table: QualifiedName,
    pub owner: String,
    pub is_owner: bool,
    pub may_create: bool,
    pub indexes: Vec<NodeIndex>,
}

/// One index of a table of the tree.
#[derive(Clone, Debug)]
pub(crate) struct NodeIndex {
    pub oid: u32,
    pub name: QualifiedName,
    pub valid: bool,
    /// The index that it is attached to.
    pub parent: Option<u32>,
    pub definition: String,
    /// What PostgreSQL compares before it attaches an index.
    pub likeness: String,
    /// What it does not compare, but a reader of the index notices.
    pub sort_order: String,
    /// The definition from `USING` on.
    pub text: Option<String>,
    /// Whether the definition tells all there is.
    pub is_plain: bool,
}

impl Node {
    /// Whether it has partitions of its own.
    pub fn is_partitioned(&self) -> bool {
        self.relkind == 'p'
    }

    /// Whether it is a foreign table, which has no indexes.
    pub fn is_foreign(&self) -> bool {
        self.relkind == 'f'
    }

    /// Its index that is attached to another.
    pub fn attached_to(&self, parent: Option<u32>) -> Option<&NodeIndex> {
        parent.and_then(|oid| self.indexes.iter().find(|i| i.parent == Some(oid)))
    }

    /// Its index of a name.
    pub fn index(&self, name: &QualifiedName) -> Option<&NodeIndex> {
        self.indexes.iter().find(|i| &i.name == name)
    }
}

impl Tree {
    /// The partitioned table, `None` when there is none of that name.
    pub fn root(&self) -> Option<&Node> {
        self.nodes.first()
    }

    /// The partitions right below a table.
    pub fn children(&self, oid: u32) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(move |n| n.parent == Some(oid))
    }
}

/// Reads a partitioned table, its partitions and their indexes; no nodes when it is not partitioned.
pub(crate) async fn read(client: &Client, table: &QualifiedName) -> Result<Tree, Error> {
    let doing = || Error::query("read the partitions of a table");
    let rows = client
        .query(include_str!("../../queries/partition_tree.sql"), &[&table.schema, &table.name])
        .await
        .map_err(doing())?;
    let mut nodes: Vec<Node> =
        rows.iter().map(node).collect::<Result<_, tokio_postgres::Error>>().map_err(doing())?;
    let oids: Vec<u32> = nodes.iter().map(|n| n.oid).collect();
    let mut indexes = indexes_of(client, &oids).await?;
    for node in &mut nodes {
        node.indexes = indexes.remove(&node.oid).unwrap_or_default();
        for index in &mut node.indexes {
            let unique = index.definition.starts_with("CREATE UNIQUE ");
            index.text =
                shape_of(&index.definition, unique, &index.name.name, &node.table).map(str::to_owned);
        }
    }
    Ok(Tree { nodes })
}

fn node(row: &Row) -> Result<Node, tokio_postgres::Error> {
    Ok(Node {
        oid: row.try_get("oid")?,
        parent: row.try_get("parent_oid")?,
        relkind: row.try_get::<_, String>("relkind")?.chars().next().unwrap_or(' '),
        table: name_of(row, "schema", "name")?,
        owner: row.try_get("owner")?,
        is_owner: row.try_get("is_owner")?,
        may_create: row.try_get("may_create")?,
        indexes: Vec::new(),
    })
}

fn name_of(row: &Row, schema: &str, name: &str) -> Result<QualifiedName, tokio_postgres::Error> {
    Ok(QualifiedName::new(row.try_get::<_, String>(schema)?, row.try_get::<_, String>(name)?))
}

/// Reads the indexes of tables, by table.
pub(crate) async fn indexes_of(
    client: &Client,
    tables: &[u32],
) -> Result<BTreeMap<u32, Vec<NodeIndex>>, Error> {
    let doing = || Error::query("read the indexes of partitions");
    let rows = client
        .query(include_str!("../../queries/partition_indexes.sql"), &[&tables])
        .await
        .map_err(doing())?;
    let mut by_table: BTreeMap<u32, Vec<NodeIndex>> = BTreeMap::new();
    let index = |row: &Row| -> Result<(u32, NodeIndex), tokio_postgres::Error> {
        Ok((
            row.try_get("table_oid")?,
            NodeIndex {
                oid: row.try_get("oid")?,
                name: name_of(row, "schema", "name")?,
                valid: row.try_get("valid")?,
                parent: row.try_get("parent_oid")?,
                definition: row.try_get("definition")?,
                likeness: row.try_get("likeness")?,
                sort_order: row.try_get("sort_order")?,
                text: None,
                is_plain: row.try_get("is_plain")?,
            },
        ))
    };
    for row in &rows {
        let (table, index) = index(row).map_err(doing())?;
        by_table.entry(table).or_default().push(index);
    }
    Ok(by_table)
}

/// Of these names, those that a relation has.
pub(crate) async fn names_taken(
    client: &Client,
    names: &[QualifiedName],
) -> Result<BTreeSet<QualifiedName>, Error> {
    let doing = || Error::query("look which names are taken");
    let schemas: Vec<&str> = names.iter().map(|n| n.schema.as_str()).collect();
    let relations: Vec<&str> = names.iter().map(|n| n.name.as_str()).collect();
    let rows = client
        .query(include_str!("../../queries/names_taken.sql"), &[&schemas, &relations])
        .await
        .map_err(doing())?;
    rows.iter()
        .map(|row| name_of(row, "schema", "name"))
        .collect::<Result<_, tokio_postgres::Error>>()
        .map_err(doing())
}

/// Whether a table is below another in a partition tree.
pub(crate) async fn is_partition_of(
    client: &Client,
    table: &QualifiedName,
    root: &QualifiedName,
) -> Result<bool, Error> {
    let doing = || Error::query("look whether a table is a partition");
    client
        .query_one(
            include_str!("../../queries/is_partition_of.sql"),
            &[&table.schema, &table.name, &root.schema, &root.name],
        )
        .await
        .and_then(|row| row.try_get("is_partition"))
        .map_err(doing())
}

/// An index of a partitioned index, as it is now.
#[derive(Clone, Debug)]
pub(crate) struct IndexPart {
    pub index: TreeIndex,
    /// The index that it is attached to, within what was asked for.
    pub parent: Option<QualifiedName>,
    pub is_partitioned: bool,
    pub definition: String,
    pub replica_identity: bool,
    pub constraint: Option<String>,
}

/// The columns, quoted, of the keys of a tree's partitioned tables, each once. An expression has no column; what it
/// stands for no unique index can hold.
pub(crate) async fn key_columns(client: &Client, tree: &Tree) -> Result<Vec<String>, Error> {
    let doing = || Error::query("read the keys of a partitioned table");
    let partitioned: Vec<u32> = tree.nodes.iter().filter(|n| n.is_partitioned()).map(|n| n.oid).collect();
    let rows = client
        .query(include_str!("../../queries/partition_key_columns.sql"), &[&partitioned])
        .await
        .map_err(doing())?;
    let mut columns: Vec<String> = Vec::new();
    for row in rows {
        let column: Option<String> = row.try_get("column_name").map_err(doing())?;
        let column = column.map_or_else(|| "an expression".to_owned(), |c| model::quote_identifier(&c));
        if !columns.contains(&column) {
            columns.push(column);
        }
    }
    Ok(columns)
}

/// Reads an index and all that are attached to it, parents first; nothing when there is none.
pub(crate) async fn index_parts(client: &Client, index: &QualifiedName) -> Result<Vec<IndexPart>, Error> {
    let doing = || Error::query("read the parts of a partitioned index");
    let rows = client
        .query(include_str!("../../queries/partition_index_tree.sql"), &[&index.schema, &index.name])
        .await
        .map_err(doing())?;
    rows.iter().map(index_part).collect::<Result<_, tokio_postgres::Error>>().map_err(doing())
}

fn index_part(row: &Row) -> Result<IndexPart, tokio_postgres::Error> {
    let name = name_of(row, "schema", "name")?;
    let table = name_of(row, "table_schema", "table_name")?;
    let definition: String = row.try_get("definition")?;
    let unique: bool = row.try_get("is_unique")?;
    let columns: Vec<Option<String>> = row.try_get("columns")?;
    let parent_schema: Option<String> = row.try_get("parent_schema")?;
    let parent_name: Option<String> = row.try_get("parent_name")?;
    let shape = IndexShape {
        unique,
        access_method: row.try_get("access_method")?,
        key_count: usize::try_from(row.try_get::<_, i32>("key_count")?).unwrap_or(0),
        columns,
        partial: row.try_get("is_partial")?,
        // PostgreSQL prints its own names, so the head is always found; the whole text would only
        // fail to be parsed.
        text: shape_of(&definition, unique, &name.name, &table).unwrap_or(&definition).to_owned(),
    };
    Ok(IndexPart {
        index: TreeIndex { name, table, shape },
        parent: parent_schema.zip(parent_name).map(|(s, n)| QualifiedName::new(s, n)),
        is_partitioned: row.try_get::<_, String>("relkind")? == "I",
        definition,
        replica_identity: row.try_get("replica_identity")?,
        constraint: row.try_get("constraint_name")?,
    })
}

impl IndexPart {
    /// The root of the tree that it heads.
    pub fn root(&self) -> TreeRoot {
        TreeRoot { index: self.index.name.clone(), table: self.index.table.clone() }
    }

    /// What is needed to make it again.
    pub fn to_part(&self) -> TreePart {
        TreePart {
            index: self.index.clone(),
            parent: self.parent.clone(),
            is_partitioned: self.is_partitioned,
        }
    }
}
