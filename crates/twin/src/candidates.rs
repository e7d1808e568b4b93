//! How is a candidate created on tables that pretend to be full?
//!
//! `CREATE INDEX` would read the pretended pages and would reset the table's `reltuples` and
//! `relpages`. So the table's file is made empty, the index is created, and both are put back. A
//! session that never saw the file does it, because a session remembers the segments it has open.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use model::change::IndexDefinition;
use model::cost_model::{CandidateId, CostError, Registered};
use model::snapshot::{Column, ColumnStatistics, Relation};
use model::{Bytes, QualifiedName};
use schema::{explain, pipeline};
use serde_json::Value;
use tokio_postgres::Client;
use tokio_postgres::types::Oid;

use crate::error::Error;
use crate::expressions::{self, Computations};
use crate::files;
use crate::index_facts::{Facts, facts};
use crate::session::{As, DATABASE, connect};
use crate::size::{self, Heap, Shape, Size};
use crate::statistics::Attribute;
use crate::the_twin::{Candidate, Table, Twin};

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
    let known: HashMap<&IndexDefinition, CandidateId> =
        twin.candidates.iter().map(|c| &c.definition).zip((0..).map(CandidateId)).collect();
    // Each definition once, in the order in which they came.
    let mut seen: HashMap<&IndexDefinition, usize> = HashMap::new();
    let mut new: Vec<&IndexDefinition> = Vec::new();
    for definition in definitions {
        if !known.contains_key(definition) && !seen.contains_key(definition) {
            seen.insert(definition, new.len());
            new.push(definition);
        }
    }
    let known: Vec<Option<CandidateId>> = definitions.iter().map(|d| known.get(d).copied()).collect();
    let outcomes = add(twin, &new).await?;
    let answer = |(definition, known): (&IndexDefinition, Option<CandidateId>)| {
        let outcome = match (known, seen.get(definition)) {
            (Some(id), _) => Ok(id),
            (None, Some(at)) => outcomes[*at].clone(),
            (None, None) => Err("it was not tried".to_owned()),
        };
        match outcome {
            Ok(id) => {
                let bytes = twin.candidates.get(id.0 as usize).map(|c| c.bytes).unwrap_or_default();
                Registered::Ready { id, bytes }
            }
            Err(reason) => Registered::Refused { reason },
        }
    };
    Ok(definitions.iter().zip(known).map(answer).collect())
}

/// Creates candidates that are not there yet. PostgreSQL's message stands for each that it did not want.
async fn add(
    twin: &mut Twin,
    definitions: &[&IndexDefinition],
) -> Result<Vec<Result<CandidateId, String>>, CostError> {
    if definitions.is_empty() {
        return Ok(Vec::new());
    }
    let rows = rows_of_partial_indexes(twin, definitions).await?;
    let admin = connect(&twin.server, DATABASE, As::Superuser).await?;
    let owner = connect(&twin.server, DATABASE, As::Owner).await?;
    let tables: BTreeSet<QualifiedName> =
        definitions.iter().flat_map(|d| twin.with_partitions(&d.table)).collect();
    for table in &tables {
        if let Some(path) = twin.tables.get(table).and_then(|t| t.path.as_deref()) {
            files::empty(path).map_err(|source| Error::File { pages: 0, source })?;
        }
    }
    let created = create(twin, &admin, &owner, definitions).await;
    // Whatever happened, the tables get their sizes back.
    restore_tables(twin, &admin, &tables).await?;
    let created = created?;

    let roots: Vec<Oid> = created.iter().filter_map(|c| c.as_ref().ok().map(|(oid, _)| *oid)).collect();
    let mut by_root: HashMap<Oid, Vec<Facts>> = HashMap::new();
    for fact in facts(&admin, &twin.server, &roots).await? {
        by_root.entry(fact.root).or_default().push(fact);
    }
    let (mut sizes, mut switched_off, mut statistics) = (Vec::new(), Vec::new(), Vec::new());
    let mut computations = Computations::of(&owner);
    // What was created, each part with the rows that it will hold.
    let mut created_parts = Vec::new();
    for (definition, outcome) in definitions.iter().zip(created) {
        let (root, name) = match outcome {
            Ok(created) => created,
            Err(reason) => {
                created_parts.push(Err(reason));
                continue;
            }
        };
        let mut parts = Vec::new();
        for mut part in by_root.remove(&root).unwrap_or_default() {
            let Some(table) = twin.tables.get(&part.table).filter(|_| part.path.is_some()) else {
                parts.push((part, 0.0));
                continue;
            };
            if let (true, Some(predicate)) = (part.partial, &definition.predicate) {
                condition(&mut computations, table, &mut part.shape, predicate).await;
            }
            let all = table.relation.rows();
            let found = expressions::evaluate(&mut computations, table, &mut part.shape).await;
            // The planner takes nothing but uniqueness from a partial index.
            if !part.partial {
                let of = |(number, type_oid, collation, statistics)| {
                    (Attribute { relation: part.oid, number, type_oid, collation }, statistics)
                };
                statistics.extend(found.into_iter().map(of));
            }
            let predicate = definition.predicate.as_deref().unwrap_or_default();
            let rows = match rows.get(&(&definition.table, predicate)) {
                // What is not in the plan was pruned: nothing of the partition meets the predicate.
                Some(estimated) if part.partial => {
                    estimated.get(&part.table).copied().unwrap_or(0.0).min(all)
                }
                _ => all,
            };
            parts.push((part, rows));
        }
        created_parts.push(Ok((root, name, parts)));
    }
    let all_parts: Vec<&(Facts, f64)> =
        created_parts.iter().flatten().flat_map(|(_, _, parts)| parts).collect();
    let mut grown = grow_all(&twin.tables, twin.major(), &all_parts)?.into_iter();
    let mut outcomes = Vec::new();
    for (definition, created) in definitions.iter().zip(created_parts) {
        let (root, name, parts) = match created {
            Ok(created) => created,
            Err(reason) => {
                outcomes.push(Err(reason));
                continue;
            }
        };
        let mut pages = 0;
        for ((part, rows), size) in parts.iter().zip(&mut grown) {
            let Some(size) = size else { continue };
            pages += size.pages;
            sizes.push((part.oid, i32::try_from(size.pages).unwrap_or(i32::MAX), *rows as f32, 0));
        }
        let parts: Vec<Facts> = parts.into_iter().map(|(part, _)| part).collect();
        let id = CandidateId(u32::try_from(twin.candidates.len()).unwrap_or(u32::MAX));
        let qualified = definition.qualified_name();
        let taken = twin.switches.has(&qualified) || twin.tables.contains_key(&qualified);
        let shown = if taken { name } else { definition.name.clone() };
        for part in &parts {
            // PostgreSQL names the indexes of partitions; they are parts of this candidate.
            twin.shown_names.insert(part.name.clone(), shown.clone());
        }
        let of_table = |part: &Facts| {
            let table = twin.tables.get(&part.table).filter(|_| part.path.is_some());
            (part.oid, table.map(|t| t.oid))
        };
        let parts: Vec<(Oid, Option<Oid>)> = parts.iter().map(of_table).collect();
        switched_off.extend(parts.iter().map(|(oid, _)| *oid));
        twin.switches.add(&parts);
        twin.candidates.push(Candidate {
            oid: root,
            definition: (*definition).clone(),
            bytes: Bytes::from_pages(pages),
        });
        outcomes.push(Ok(id));
    }
    set_sizes(&admin, &sizes).await?;
    expressions::write(&admin, &statistics).await?;
    admin
        .execute(
            "UPDATE /* pgwright:twin_off */ pg_catalog.pg_index SET indisvalid = false WHERE indexrelid = ANY ($1)",
            &[&switched_off],
        )
        .await
        .map_err(Error::sql("switching candidates off"))?;
    Ok(outcomes)
}

/// Finds out what the rows of a partial index have in its columns. A predicate on one column alone is
/// computed for the values in its statistics; of others it is known that what they compare is not NULL.
async fn condition(computations: &mut Computations<'_>, table: &Table, shape: &mut Shape, predicate: &str) {
    let relation = &table.relation;
    let named: Vec<&Column> =
        relation.columns.iter().filter(|c| size::mentions(predicate, &c.name)).collect();
    for attribute in &mut shape.attributes {
        let Some(column) = named.iter().find(|c| c.attnum == attribute.attnum) else { continue };
        let Some(statistics) = attribute.statistics(relation) else { continue };
        let filtered = match named.as_slice() {
            [_] => passing(computations, relation, column, statistics, predicate).await,
            _ => None,
        };
        let may_be_null = predicate
            .to_ascii_uppercase()
            .contains(&format!("{} IS NULL", model::quote_identifier(&column.name).to_ascii_uppercase()));
        attribute.conditional = match filtered {
            Some(filtered) => Some(filtered),
            None if !may_be_null => {
                let present = (1.0 - statistics.null_frac).max(f32::EPSILON);
                let freqs = statistics.most_common_freqs.as_deref();
                Some(ColumnStatistics {
                    null_frac: 0.0,
                    most_common_freqs: freqs.map(|f| f.iter().map(|f| f / present).collect()),
                    ..statistics.clone()
                })
            }
            None => None,
        };
    }
}

/// The statistics of a column among the rows that meet a predicate on it alone.
async fn passing(
    computations: &mut Computations<'_>,
    relation: &Relation,
    column: &Column,
    statistics: &ColumnStatistics,
    predicate: &str,
) -> Option<ColumnStatistics> {
    let common = statistics.common_values();
    let bounds = statistics.histogram();
    let values: Vec<Option<String>> =
        common.iter().map(|(v, _)| v.clone()).chain(bounds.iter().cloned()).map(Some).chain([None]).collect();
    let nulls_place = values.len() - 1;
    let sql = format!(
        "SELECT /* pgwright:twin_predicate */ t.pgwright_n
         FROM (
             SELECT v::{} AS {}, n AS pgwright_n
             FROM pg_catalog.unnest($1::pg_catalog.text[]) WITH ORDINALITY AS s (v, n)
         ) AS t
         WHERE {predicate}",
        column.type_name,
        model::quote_identifier(&column.name),
    );
    let passed = computations.passed(sql, values).await?;
    let nulls = if passed.contains(&nulls_place) { statistics.null_frac } else { 0.0 };
    let freqs: Vec<f32> =
        common.iter().enumerate().filter(|(n, _)| passed.contains(n)).map(|(_, (_, f))| *f).collect();
    let kept: Vec<&String> = bounds
        .iter()
        .enumerate()
        .filter(|(n, _)| passed.contains(&(common.len() + n)))
        .map(|(_, bound)| bound)
        .collect();
    let rest = 1.0 - statistics.null_frac - common.iter().map(|(_, f)| f).sum::<f32>();
    let share = kept.len() as f32 / bounds.len().max(1) as f32;
    let total = nulls + freqs.iter().sum::<f32>() + rest.max(0.0) * share;
    if total <= 0.0 {
        return None;
    }
    let others = (statistics.distinct(relation.rows()) as f32 - common.len() as f32).max(0.0);
    let n_distinct = (freqs.len() as f32 + others * share).max(1.0);
    let quoted: Vec<String> = kept.iter().map(|b| array_element(b)).collect();
    let common = common.iter().enumerate().filter(|(n, _)| passed.contains(n));
    let common: Vec<String> = common.map(|(_, (value, _))| array_element(value)).collect();
    Some(ColumnStatistics {
        null_frac: nulls / total,
        n_distinct,
        most_common_vals: (!freqs.is_empty()).then(|| format!("{{{}}}", common.join(","))),
        most_common_freqs: (!freqs.is_empty()).then(|| freqs.iter().map(|f| f / total).collect()),
        histogram_bounds: (!quoted.is_empty()).then(|| format!("{{{}}}", quoted.join(","))),
        ..statistics.clone()
    })
}

/// A value in the text of an array.
pub(crate) fn array_element(value: &str) -> String {
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}

/// How large a table is for an index on it.
pub(crate) fn heap(table: &Table, rows: f64, major: u32) -> Heap<'_> {
    Heap {
        relation: &table.relation,
        rows,
        pages: table.pages as f64,
        major,
        combinations: &table.combinations,
    }
}

/// Gives new indexes their predicted sizes, half of them in a thread beside the other half. What has no file has none.
fn grow_all(
    tables: &BTreeMap<QualifiedName, Table>,
    major: u32,
    parts: &[&(Facts, f64)],
) -> Result<Vec<Option<Size>>, Error> {
    let each = |parts: &[&(Facts, f64)]| -> Result<Vec<Option<Size>>, Error> {
        let of = |(part, rows): &(Facts, f64)| {
            let (Some(path), Some(table)) = (&part.path, tables.get(&part.table)) else { return Ok(None) };
            let size = size::predict(&part.shape, heap(table, *rows, major));
            grow(path, &part.shape, size)?;
            Ok(Some(size))
        };
        parts.iter().copied().map(of).collect()
    };
    let (some, others) = parts.split_at(parts.len() / 2);
    let (some, others) = std::thread::scope(|scope| {
        let beside = std::thread::Builder::new().spawn_scoped(scope, || each(others));
        let some = each(some);
        (some, beside.ok().and_then(|thread| thread.join().ok()).unwrap_or_else(|| each(others)))
    });
    let mut all = some?;
    all.extend(others?);
    Ok(all)
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

/// Rows by table, for each partitioned or plain table and predicate.
type RowsOfPredicates<'a> = HashMap<(&'a QualifiedName, &'a str), BTreeMap<QualifiedName, f64>>;

/// Asks the planner how many rows each partial index will hold. These plans are the twin's own: they are not
/// counted as calls of the planner, because a caller that registers an index has not asked for a plan.
async fn rows_of_partial_indexes<'a>(
    twin: &mut Twin,
    definitions: &[&'a IndexDefinition],
) -> Result<RowsOfPredicates<'a>, CostError> {
    let wanted: BTreeSet<(&QualifiedName, &str)> = definitions
        .iter()
        .filter_map(|d| Some((&d.table, d.predicate.as_deref()?)))
        .filter(|(table, _)| twin.tables.contains_key(*table))
        .collect();
    if wanted.is_empty() {
        return Ok(HashMap::new());
    }
    twin.reopen_planner().await?;
    // Below a Gather node rows are those of one worker.
    let serial = "SET /* pgwright:twin_rows */ max_parallel_workers_per_gather = 0".to_owned();
    let explains = wanted.iter().map(|(table, predicate)| {
        // Of an inherited table the index holds the rows of the table alone.
        let only = if twin.is_partitioned(table) { "" } else { "ONLY " };
        format!("EXPLAIN (FORMAT JSON, VERBOSE) SELECT 1 FROM {only}{table} WHERE {predicate}")
    });
    let requests: Vec<String> = std::iter::once(serial).chain(explains).collect();
    let answers = pipeline::all(requests.iter().map(|sql| twin.planner.query_typed(sql, &[]))).await;
    let parallel = twin.settings.iter().find(|(name, _)| name == "max_parallel_workers_per_gather");
    let back = match parallel {
        Some((name, value)) => {
            format!("SET /* pgwright:twin_rows */ {name} = {}", model::quote_literal(value))
        }
        None => "RESET /* pgwright:twin_rows */ max_parallel_workers_per_gather".to_owned(),
    };
    pipeline::one(&twin.planner, &back).await.map_err(Error::sql("estimating partial indexes"))?;
    let mut all = HashMap::new();
    for (wanted, answer) in wanted.into_iter().zip(answers.into_iter().skip(1)) {
        // CREATE INDEX will say what is wrong with it.
        let Some(plan) = answer.ok().and_then(|rows| rows.first()?.try_get::<_, Value>(0).ok()) else {
            continue;
        };
        let mut rows = BTreeMap::new();
        if let Some(root) = plan.pointer("/0/Plan") {
            scanned_rows(root, &mut rows);
        }
        all.insert(wanted, rows);
    }
    Ok(all)
}

/// The rows of every scan in a plan, by table.
fn scanned_rows(node: &Value, rows: &mut BTreeMap<QualifiedName, f64>) {
    let text = |key: &str| node.get(key).and_then(Value::as_str);
    if let (Some(schema), Some(table), Some(found)) =
        (text("Schema"), text("Relation Name"), node.get("Plan Rows").and_then(Value::as_f64))
    {
        rows.insert(QualifiedName::new(schema, table), found);
    }
    for child in node.get("Plans").and_then(Value::as_array).into_iter().flatten() {
        scanned_rows(child, rows);
    }
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

/// How many candidates are created in one transaction.
const BATCH: usize = 50;

/// Runs `CREATE INDEX` for each definition and gives back the new indexes' OIDs and names.
async fn create(
    twin: &mut Twin,
    admin: &Client,
    owner: &Client,
    definitions: &[&IndexDefinition],
) -> Result<Vec<Result<(Oid, String), String>>, Error> {
    // Expressions are resolved as in the source's own sessions, and may not run for ever.
    let what = "preparing to create candidates";
    let path = twin.settings.iter().find(|(n, _)| n == "search_path").map_or("", |(_, v)| v.as_str());
    let timeout = twin.options.statement_timeout.as_millis().to_string();
    let set = "SELECT /* pgwright:twin_setting */ pg_catalog.set_config('search_path', $1, false),
        pg_catalog.set_config('statement_timeout', $2, false)";
    owner.query(set, &[&path, &timeout]).await.map_err(Error::sql(what))?;
    // Unique whatever the caller called them; plans show the caller's names.
    let hidden: Vec<IndexDefinition> = (twin.tried..)
        .zip(definitions)
        .map(|(n, d)| IndexDefinition { name: format!("pgwright_candidate_{n}"), ..(*d).clone() })
        .collect();
    twin.tried += hidden.len();
    let statements: Vec<String> = hidden.iter().map(|d| d.create_sql(false)).collect();
    let mut outcomes: Vec<Result<(), tokio_postgres::Error>> = Vec::new();
    for batch in statements.chunks(BATCH) {
        if pipeline::together(owner, batch.iter().map(String::as_str)).await.is_ok() {
            outcomes.extend(batch.iter().map(|_| Ok(())));
        } else {
            outcomes.extend(pipeline::all(batch.iter().map(|sql| pipeline::one(owner, sql))).await);
        }
    }
    let names: Vec<String> = hidden.iter().map(|d| d.qualified_name().to_string()).collect();
    let rows = admin
        .query(
            "SELECT /* pgwright:twin_find */ pg_catalog.to_regclass(n.name)::pg_catalog.oid
             FROM pg_catalog.unnest($1::pg_catalog.text[]) WITH ORDINALITY AS n (name, position)
             ORDER BY n.position",
            &[&names],
        )
        .await
        .map_err(Error::sql("finding candidates"))?;
    let mut created = Vec::new();
    for ((outcome, row), definition) in outcomes.into_iter().zip(rows).zip(hidden) {
        let oid: Option<Oid> = row.try_get(0).map_err(Error::sql("finding candidates"))?;
        created.push(match (outcome, oid) {
            (Ok(()), Some(oid)) => Ok((oid, definition.name)),
            (Ok(()), None) => Err("the index was created but is not there".into()),
            (Err(e), _) if e.as_db_error().is_some() => Err(explain(&e).0),
            (Err(e), _) => return Err(Error::sql("creating a candidate")(e)),
        });
    }
    Ok(created)
}
