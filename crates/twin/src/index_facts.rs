//! What is an index of the twin made of? As its catalog says, for the prediction of its size.
//!
//! Source: `pg_index`, `pg_attribute` (what is stored may have another type than the column) and `pg_opclass`.

use std::collections::HashMap;
use std::path::PathBuf;

use model::QualifiedName;
use tokio_postgres::types::Oid;
use tokio_postgres::{Client, Row};

use crate::error::Error;
use crate::files;
use crate::size::{Attribute, Shape};

/// An index of the twin, as its catalog describes it.
pub(crate) struct Facts {
    pub(crate) oid: Oid,
    pub(crate) name: String,
    /// The index that was asked for, of which this may be a partition's part.
    pub(crate) root: Oid,
    pub(crate) table: QualifiedName,
    /// Its file; `None` for the index of a partitioned table.
    pub(crate) path: Option<PathBuf>,
    pub(crate) partial: bool,
    pub(crate) shape: Shape,
}

const INDEXES: &str = "
WITH /* pgwright:twin_indexes */ RECURSIVE tree (root, oid) AS (
    SELECT r.oid, r.oid FROM pg_catalog.unnest($1::pg_catalog.oid[]) AS r (oid)
    UNION ALL
    SELECT t.root, h.inhrelid FROM tree AS t JOIN pg_catalog.pg_inherits AS h ON h.inhparent = t.oid
)
SELECT t.root, i.indexrelid AS oid, c.relname::pg_catalog.text AS name, tn.nspname::pg_catalog.text AS schema, tc.relname::pg_catalog.text AS table_name,
    CASE WHEN c.relkind = 'i' THEN pg_catalog.pg_relation_filepath(c.oid) END AS path,
    i.indpred IS NOT NULL AS partial,
    am.amname::pg_catalog.text AS access_method,
    i.indisunique AS is_unique,
    i.indnkeyatts::pg_catalog.int4 AS key_count,
    coalesce(c.reloptions, '{}') AS options,
    i.indkey::pg_catalog.int2[] AS attnums,
    i.indclass::pg_catalog.oid[] AS opclasses,
    i.indcollation::pg_catalog.oid[] AS collations,
    CASE WHEN i.indexprs IS NOT NULL THEN ARRAY(
        SELECT pg_catalog.pg_get_indexdef(i.indexrelid, k.n, true)
        FROM pg_catalog.generate_series(1, i.indnatts::pg_catalog.int4) AS k (n) ORDER BY k.n
    ) END AS expressions
FROM tree AS t
JOIN pg_catalog.pg_index AS i ON i.indexrelid = t.oid
JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid
JOIN pg_catalog.pg_am AS am ON am.oid = c.relam
JOIN pg_catalog.pg_class AS tc ON tc.oid = i.indrelid
JOIN pg_catalog.pg_namespace AS tn ON tn.oid = tc.relnamespace";

const ATTRIBUTES: &str = "
SELECT /* pgwright:twin_index_attributes */ a.attrelid, a.attlen,
    CASE a.attalign WHEN 'd' THEN 8 WHEN 'i' THEN 4 WHEN 's' THEN 2 ELSE 1 END AS align,
    t.typname::pg_catalog.text AS type_name
FROM pg_catalog.pg_attribute AS a
JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid
WHERE a.attrelid = ANY ($1)
ORDER BY a.attrelid, a.attnum";

const OPERATOR_CLASSES: &str = "
SELECT /* pgwright:twin_operator_classes */ o.oid, o.opcname::pg_catalog.text AS name
FROM pg_catalog.pg_opclass AS o";

/// What is stored of an attribute.
struct Stored {
    length: i16,
    align: i32,
    type_name: String,
}

/// Describes indexes and those of their partitions.
pub(crate) async fn facts(
    client: &Client,
    server: &cluster::Server,
    roots: &[Oid],
) -> Result<Vec<Facts>, Error> {
    if roots.is_empty() {
        return Ok(Vec::new());
    }
    read(client, server, roots).await.map_err(Error::sql("reading the twin's indexes"))
}

async fn read(
    client: &Client,
    server: &cluster::Server,
    roots: &[Oid],
) -> Result<Vec<Facts>, tokio_postgres::Error> {
    let indexes = client.query(INDEXES, &[&roots]).await?;
    let oids = indexes.iter().map(|row| row.try_get("oid")).collect::<Result<Vec<Oid>, _>>()?;
    let mut attributes: HashMap<Oid, Vec<Stored>> = HashMap::new();
    for row in client.query(ATTRIBUTES, &[&oids]).await? {
        attributes.entry(row.try_get(0)?).or_default().push(Stored {
            length: row.try_get(1)?,
            align: row.try_get(2)?,
            type_name: row.try_get(3)?,
        });
    }
    let mut classes: HashMap<Oid, String> = HashMap::new();
    for row in client.query(OPERATOR_CLASSES, &[]).await? {
        classes.insert(row.try_get(0)?, row.try_get(1)?);
    }
    let facts = indexes.iter().map(|row| {
        let stored = attributes.get(&row.try_get("oid")?).map_or(&[][..], Vec::as_slice);
        fact(row, stored, &classes, server)
    });
    facts.collect()
}

fn fact(
    row: &Row,
    stored: &[Stored],
    classes: &HashMap<Oid, String>,
    server: &cluster::Server,
) -> Result<Facts, tokio_postgres::Error> {
    let attnums: Vec<i16> = row.try_get("attnums")?;
    let opclasses: Vec<Oid> = row.try_get("opclasses")?;
    let collations: Vec<Oid> = row.try_get("collations")?;
    let expressions: Option<Vec<String>> = row.try_get("expressions")?;
    let attributes = attnums
        .iter()
        .zip(stored)
        .enumerate()
        .map(|(i, (attnum, stored))| Attribute {
            attnum: *attnum,
            length: stored.length,
            align: u32::try_from(stored.align).unwrap_or(1),
            type_name: stored.type_name.clone(),
            opclass: opclasses.get(i).and_then(|oid| classes.get(oid)).cloned().unwrap_or_default(),
            collation: collations.get(i).copied().unwrap_or(0),
            expression: expressions.as_ref().filter(|_| *attnum == 0).and_then(|e| e.get(i)).cloned(),
            evaluated: Vec::new(),
            conditional: None,
        })
        .collect();
    let path: Option<String> = row.try_get("path")?;
    let path = path.map(|p| server.data_dir().join(p));
    let access_method: String = row.try_get("access_method")?;
    let deduplicates = access_method == "btree"
        && path.as_deref().is_some_and(|p| files::allows_deduplication(p).unwrap_or(false));
    Ok(Facts {
        oid: row.try_get("oid")?,
        name: row.try_get("name")?,
        root: row.try_get("root")?,
        table: QualifiedName::new(
            row.try_get::<_, String>("schema")?,
            row.try_get::<_, String>("table_name")?,
        ),
        path,
        partial: row.try_get("partial")?,
        shape: Shape {
            access_method,
            unique: row.try_get("is_unique")?,
            key_count: usize::try_from(row.try_get::<_, i32>("key_count")?).unwrap_or(0),
            attributes,
            options: row.try_get("options")?,
            deduplicates,
        },
    })
}
