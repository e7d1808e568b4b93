//! How is a candidate created on tables that pretend to be full?
//!
//! `CREATE INDEX` would read the pretended pages and would reset the table's `reltuples` and
//! `relpages`. So the table's file is made empty, the index is created, and both are put back. A
//! session that never saw the file does it, because a session remembers the segments it has open.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use model::change::IndexDefinition;
use model::cost_model::{CandidateId, CostError, Registered};
use model::{Bytes, QualifiedName};
use serde_json::Value;
use tokio_postgres::types::Oid;
use tokio_postgres::{Client, Row};

use crate::error::{Error, explain};
use crate::files;
use crate::session::{As, DATABASE, connect};
use crate::size::{self, Attribute, Evaluated, Heap, Shape, Size};
use crate::the_twin::{Candidate, Table, Twin};

/// An index of the twin, as its catalog describes it.
pub(crate) struct Facts {
    pub(crate) oid: Oid,
    /// The index that was asked for, of which this may be a partition's part.
    pub(crate) root: Oid,
    pub(crate) table: QualifiedName,
    /// Its file; `None` for the index of a partitioned table.
    pub(crate) path: Option<PathBuf>,
    pub(crate) partial: bool,
    pub(crate) shape: Shape,
}

const FACTS: &str = "
WITH /* pgwright:twin_indexes */ RECURSIVE tree (root, oid) AS (
    SELECT r.oid, r.oid FROM pg_catalog.unnest($1::pg_catalog.oid[]) AS r (oid)
    UNION ALL
    SELECT t.root, h.inhrelid FROM tree AS t JOIN pg_catalog.pg_inherits AS h ON h.inhparent = t.oid
)
SELECT t.root, i.indexrelid AS oid, tn.nspname::pg_catalog.text AS schema, tc.relname::pg_catalog.text AS table_name,
    CASE WHEN c.relkind = 'i' THEN pg_catalog.pg_relation_filepath(c.oid) END AS path,
    i.indpred IS NOT NULL AS partial,
    am.amname::pg_catalog.text AS access_method,
    i.indisunique AS is_unique,
    i.indnkeyatts::pg_catalog.int4 AS key_count,
    coalesce(c.reloptions, '{}') AS options,
    i.indkey::pg_catalog.int2[] AS attnums,
    ARRAY(
        SELECT a.attlen FROM pg_catalog.pg_attribute AS a WHERE a.attrelid = i.indexrelid ORDER BY a.attnum
    ) AS lengths,
    ARRAY(
        SELECT CASE a.attalign WHEN 'd' THEN 8 WHEN 'i' THEN 4 WHEN 's' THEN 2 ELSE 1 END
        FROM pg_catalog.pg_attribute AS a WHERE a.attrelid = i.indexrelid ORDER BY a.attnum
    ) AS aligns,
    ARRAY(
        SELECT ty.typname::pg_catalog.text
        FROM pg_catalog.pg_attribute AS a JOIN pg_catalog.pg_type AS ty ON ty.oid = a.atttypid
        WHERE a.attrelid = i.indexrelid ORDER BY a.attnum
    ) AS types,
    ARRAY(
        SELECT o.opcname::pg_catalog.text
        FROM pg_catalog.unnest(i.indclass::pg_catalog.oid[]) WITH ORDINALITY AS k (opclass, n)
        JOIN pg_catalog.pg_opclass AS o ON o.oid = k.opclass ORDER BY k.n
    ) AS opclasses,
    ARRAY(
        SELECT pg_catalog.pg_get_indexdef(i.indexrelid, a.attnum, true)
        FROM pg_catalog.pg_attribute AS a WHERE a.attrelid = i.indexrelid ORDER BY a.attnum
    ) AS expressions
FROM tree AS t
JOIN pg_catalog.pg_index AS i ON i.indexrelid = t.oid
JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid
JOIN pg_catalog.pg_am AS am ON am.oid = c.relam
JOIN pg_catalog.pg_class AS tc ON tc.oid = i.indrelid
JOIN pg_catalog.pg_namespace AS tn ON tn.oid = tc.relnamespace";

/// Describes indexes and those of their partitions.
pub(crate) async fn facts(
    client: &Client,
    server: &cluster::Server,
    roots: &[Oid],
) -> Result<Vec<Facts>, Error> {
    let what = "reading the twin's indexes";
    let rows = client.query(FACTS, &[&roots]).await.map_err(Error::sql(what))?;
    rows.iter().map(|row| fact(row, server)).collect::<Result<_, _>>().map_err(Error::sql(what))
}

fn fact(row: &Row, server: &cluster::Server) -> Result<Facts, tokio_postgres::Error> {
    let attnums: Vec<i16> = row.try_get("attnums")?;
    let lengths: Vec<i16> = row.try_get("lengths")?;
    let aligns: Vec<i32> = row.try_get("aligns")?;
    let types: Vec<String> = row.try_get("types")?;
    let opclasses: Vec<String> = row.try_get("opclasses")?;
    let expressions: Vec<String> = row.try_get("expressions")?;
    let attributes = attnums
        .iter()
        .zip(lengths)
        .zip(aligns)
        .zip(types)
        .zip(expressions)
        .enumerate()
        .map(|(i, ((((attnum, length), align), type_name), expression))| Attribute {
            attnum: *attnum,
            length,
            align: u32::try_from(align).unwrap_or(1),
            type_name,
            opclass: opclasses.get(i).cloned().unwrap_or_default(),
            expression: (*attnum == 0).then_some(expression),
            evaluated: Vec::new(),
        })
        .collect();
    let path: Option<String> = row.try_get("path")?;
    let path = path.map(|p| server.data_dir().join(p));
    let access_method: String = row.try_get("access_method")?;
    let deduplicates = access_method == "btree"
        && path.as_deref().is_some_and(|p| files::allows_deduplication(p).unwrap_or(false));
    Ok(Facts {
        oid: row.try_get("oid")?,
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

/// Sets what the planner reads of relations' sizes in `pg_class`.
pub(crate) async fn set_sizes(client: &Client, sizes: &[(Oid, i32, f32, i32)]) -> Result<(), Error> {
    let oids: Vec<Oid> = sizes.iter().map(|s| s.0).collect();
    let relpages: Vec<i32> = sizes.iter().map(|s| s.1).collect();
    let reltuples: Vec<f32> = sizes.iter().map(|s| s.2).collect();
    let relallvisible: Vec<i32> = sizes.iter().map(|s| s.3).collect();
    client
        .execute(
            "UPDATE /* pgwright:twin_sizes */ pg_catalog.pg_class AS c
             SET relpages = v.relpages, reltuples = v.reltuples, relallvisible = v.relallvisible
             FROM ROWS FROM (
                 pg_catalog.unnest($1::pg_catalog.oid[]), pg_catalog.unnest($2::pg_catalog.int4[]),
                 pg_catalog.unnest($3::pg_catalog.float4[]), pg_catalog.unnest($4::pg_catalog.int4[])
             ) AS v (oid, relpages, reltuples, relallvisible)
             WHERE c.oid = v.oid",
            &[&oids, &relpages, &reltuples, &relallvisible],
        )
        .await
        .map_err(Error::sql("setting sizes"))?;
    Ok(())
}

/// Creates candidates, switched off.
pub(crate) async fn register(
    twin: &mut Twin,
    definitions: &[IndexDefinition],
) -> Result<Vec<Registered>, CostError> {
    let rows = rows_of_partial_indexes(twin, definitions).await?;
    let admin = connect(&twin.server, DATABASE, As::Superuser).await?;
    let owner = connect(&twin.server, DATABASE, As::Owner).await?;
    let tables = with_partitions(twin, definitions);
    for table in &tables {
        if let Some(path) = twin.tables.get(table).and_then(|t| t.path.as_deref()) {
            files::empty(path).map_err(|source| Error::File { pages: 0, source })?;
        }
    }
    let created = create(twin, &admin, &owner, definitions).await;
    // Whatever happened, the tables get their sizes back.
    restore_tables(twin, &admin, &tables).await?;
    let created = created?;

    let roots: Vec<Oid> = created.iter().filter_map(|c| c.as_ref().ok().copied()).collect();
    let mut by_root: BTreeMap<Oid, Vec<Facts>> = BTreeMap::new();
    for fact in facts(&admin, &twin.server, &roots).await? {
        by_root.entry(fact.root).or_default().push(fact);
    }
    let mut sizes = Vec::new();
    let mut answers = Vec::new();
    for ((definition, outcome), rows) in definitions.iter().zip(created).zip(&rows) {
        let root = match outcome {
            Ok(root) => root,
            Err(Refusal::Known(id)) => {
                let bytes = twin.candidates.get(id.0 as usize).map(|c| c.bytes).unwrap_or_default();
                answers.push(Registered::Ready { id, bytes });
                continue;
            }
            Err(Refusal::Message(reason)) => {
                answers.push(Registered::Refused { reason });
                continue;
            }
        };
        let mut parts = by_root.remove(&root).unwrap_or_default();
        let mut pages = 0;
        for part in &mut parts {
            let (Some(path), Some(table)) = (&part.path, twin.tables.get(&part.table)) else { continue };
            evaluate_expressions(&owner, table, &mut part.shape).await;
            let all = table.relation.rows();
            let rows = if part.partial { rows.get(&part.table).copied().unwrap_or(all) } else { all };
            let size = size::predict(&part.shape, heap(table, rows));
            grow(path, &part.shape, size)?;
            pages += size.pages;
            sizes.push((part.oid, i32::try_from(size.pages).unwrap_or(i32::MAX), rows as f32, 0));
        }
        let id = CandidateId(u32::try_from(twin.candidates.len()).unwrap_or(u32::MAX));
        let bytes = Bytes::from_pages(pages);
        twin.candidates.push(Candidate {
            definition: definition.clone(),
            oids: parts.iter().map(|p| p.oid).collect(),
            bytes,
        });
        answers.push(Registered::Ready { id, bytes });
    }
    set_sizes(&admin, &sizes).await?;
    let oids: Vec<Oid> = twin.candidates.iter().flat_map(|c| c.oids.iter().copied()).collect();
    // All of them: a candidate that was on while another one came is off again with the rest.
    admin
        .execute(
            "UPDATE /* pgwright:twin_off */ pg_catalog.pg_index SET indisvalid = false WHERE indexrelid = ANY ($1)",
            &[&oids],
        )
        .await
        .map_err(Error::sql("switching candidates off"))?;
    twin.current.added.clear();
    Ok(answers)
}

/// Why a definition made no new candidate.
enum Refusal {
    /// It was registered before.
    Known(CandidateId),
    /// PostgreSQL does not want it.
    Message(String),
}

/// Computes an expression for the values in its column's statistics: that tells how wide its results
/// are and how many differ. What cannot be computed is left to the column's own numbers.
async fn evaluate_expressions(owner: &Client, table: &Table, shape: &mut Shape) {
    for attribute in &mut shape.attributes {
        let (Some(expression), Some(column)) = (&attribute.expression, attribute.column(&table.relation))
        else {
            continue;
        };
        let Some(statistics) = attribute.statistics(&table.relation) else { continue };
        let samples = size::samples(statistics);
        if samples.is_empty() || shape.access_method == "gin" {
            continue;
        }
        let values: Vec<&str> = samples.iter().map(|(v, _)| v.as_str()).collect();
        let sql = format!(
            "SELECT /* pgwright:twin_expression */ e::pg_catalog.text, pg_catalog.pg_column_size(e)
             FROM (
                 SELECT {expression} AS e, t.pgwright_n AS n
                 FROM (
                     SELECT v::{} AS {}, n AS pgwright_n
                     FROM pg_catalog.unnest($1::pg_catalog.text[]) WITH ORDINALITY AS s (v, n)
                 ) AS t
             ) AS r
             ORDER BY r.n",
            column.type_name,
            model::quote_identifier(&column.name),
        );
        let Ok(rows) = owner.query(&sql, &[&values]).await else { continue };
        attribute.evaluated = rows
            .iter()
            .zip(&samples)
            .filter_map(|(row, (_, weight))| {
                let bytes: Option<i32> = row.try_get(1).ok()?;
                Some(Evaluated {
                    value: row.try_get(0).ok()?,
                    bytes: f64::from(bytes.unwrap_or_default()),
                    weight: *weight,
                })
            })
            .collect();
    }
}

/// How large a table is for an index on it.
pub(crate) fn heap(table: &Table, rows: f64) -> Heap<'_> {
    Heap { relation: &table.relation, rows, pages: table.pages as f64 }
}

/// Gives a new index its pages and, a B-tree, its height.
pub(crate) fn grow(path: &std::path::Path, shape: &Shape, size: Size) -> Result<(), Error> {
    let failed = |source| Error::File { pages: size.pages, source };
    if shape.access_method == "btree" && u64::from(size.height) + 2 <= size.pages {
        files::plant_btree(path, size.height).map_err(failed)?;
    }
    // The metapages that the build wrote stay, however small the prediction.
    let made = std::fs::metadata(path).map_err(failed)?.len().div_ceil(Bytes::PAGE);
    files::extend(path, size.pages.max(made)).map_err(failed)
}

/// Asks the planner how many rows each partial index will hold, by table.
async fn rows_of_partial_indexes(
    twin: &mut Twin,
    definitions: &[IndexDefinition],
) -> Result<Vec<BTreeMap<QualifiedName, f64>>, CostError> {
    let mut all = Vec::new();
    for definition in definitions {
        let mut rows = BTreeMap::new();
        if let Some(predicate) = &definition.predicate {
            for table in with_partitions(twin, std::slice::from_ref(definition)) {
                let sql = format!("SELECT 1 FROM ONLY {table} WHERE {predicate}");
                match twin.explain(&sql).await {
                    Ok(planned) => {
                        if let Some(found) = estimated_rows(&planned.explain) {
                            rows.insert(table, found);
                        }
                    }
                    // CREATE INDEX will say what is wrong with it.
                    Err(CostError::Statement { .. }) => {}
                    Err(failed) => return Err(failed),
                }
            }
        }
        all.push(rows);
    }
    Ok(all)
}

/// The rows of the plan; of a parallel plan, those above the Gather node.
fn estimated_rows(explain: &Value) -> Option<f64> {
    explain.pointer("/Plan/Plan Rows").and_then(Value::as_f64)
}

/// The tables that the definitions are on, and their partitions.
fn with_partitions(twin: &Twin, definitions: &[IndexDefinition]) -> BTreeSet<QualifiedName> {
    let mut found: BTreeSet<QualifiedName> = BTreeSet::new();
    let mut next: Vec<QualifiedName> = definitions.iter().map(|d| d.table.clone()).collect();
    while let Some(name) = next.pop() {
        if !found.contains(&name) {
            let children = twin.tables.values().filter(|t| {
                t.relation.parent.as_ref() == Some(&name) && t.relation.partition_bound.is_some()
            });
            next.extend(children.map(|t| t.relation.name.clone()));
            found.insert(name);
        }
    }
    found
}

async fn restore_tables(twin: &Twin, admin: &Client, tables: &BTreeSet<QualifiedName>) -> Result<(), Error> {
    let mut sizes = Vec::new();
    for table in tables.iter().filter_map(|t| twin.tables.get(t)) {
        if let Some(path) = &table.path {
            files::extend(path, table.pages).map_err(|source| Error::File { pages: table.pages, source })?;
        }
        sizes.push((table.oid, table.relpages, table.reltuples, table.relallvisible));
    }
    set_sizes(admin, &sizes).await
}

/// Runs `CREATE INDEX` for each definition and gives back the new indexes' OIDs.
async fn create(
    twin: &mut Twin,
    admin: &Client,
    owner: &Client,
    definitions: &[IndexDefinition],
) -> Result<Vec<Result<Oid, Refusal>>, Error> {
    // Expressions are resolved as in the source's own sessions, and may not run for ever.
    let path = twin.settings.iter().find(|(n, _)| n == "search_path").map_or("", |(_, v)| v.as_str());
    let timeout = twin.options.statement_timeout.as_millis().to_string();
    for (name, value) in [("search_path", path), ("statement_timeout", timeout.as_str())] {
        owner
            .execute(
                "SELECT /* pgwright:twin_setting */ pg_catalog.set_config($1, $2, false)",
                &[&name, &value],
            )
            .await
            .map_err(Error::sql("preparing to create candidates"))?;
    }
    let find = admin
        .prepare("SELECT /* pgwright:twin_find */ pg_catalog.to_regclass($1)::pg_catalog.oid")
        .await
        .map_err(Error::sql("preparing to create candidates"))?;
    let mut outcomes = Vec::new();
    for (position, definition) in definitions.iter().enumerate() {
        if let Some(known) = twin.candidates.iter().position(|c| c.definition == *definition) {
            outcomes.push(Err(Refusal::Known(CandidateId(u32::try_from(known).unwrap_or(u32::MAX)))));
            continue;
        }
        if let Some(earlier) = definitions[..position].iter().position(|d| d == definition) {
            // The same number as the earlier one of this very call will get.
            let before = outcomes[..earlier].iter().filter(|o: &&Result<Oid, Refusal>| o.is_ok()).count();
            outcomes.push(match &outcomes[earlier] {
                Ok(_) => Err(Refusal::Known(CandidateId(
                    u32::try_from(twin.candidates.len() + before).unwrap_or(u32::MAX),
                ))),
                Err(Refusal::Known(id)) => Err(Refusal::Known(*id)),
                Err(Refusal::Message(m)) => Err(Refusal::Message(m.clone())),
            });
            continue;
        }
        // Unique whatever the caller called them, and across calls whatever was refused; plans show the caller's
        // names.
        let made = outcomes.iter().filter(|o| o.is_ok()).count();
        let name = format!("pgwright_candidate_{}", twin.candidates.len() + made);
        let hidden = IndexDefinition { name, ..definition.clone() };
        match owner.query_typed(&hidden.create_sql(false), &[]).await {
            Ok(_) => {
                let taken = twin.existing.contains_key(&definition.qualified_name())
                    || twin.tables.contains_key(&definition.qualified_name());
                if !taken {
                    twin.shown_names.insert(hidden.name.clone(), definition.name.clone());
                }
                let row = admin
                    .query_one(&find, &[&hidden.qualified_name().to_string()])
                    .await
                    .map_err(Error::sql("finding a candidate"))?;
                outcomes.push(
                    match row.try_get::<_, Option<Oid>>(0).map_err(Error::sql("finding a candidate"))? {
                        Some(oid) => Ok(oid),
                        None => Err(Refusal::Message("the index was created but is not there".into())),
                    },
                );
            }
            Err(e) if e.as_db_error().is_some() => outcomes.push(Err(Refusal::Message(explain(&e).0))),
            Err(e) => return Err(Error::sql("creating a candidate")(e)),
        }
    }
    Ok(outcomes)
}
