//! How does a snapshot become a running twin? Schema, statistics, sizes, settings, in this order:
//! indexes are created while the tables are empty, and nothing is planned before the files have
//! their lengths.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use cluster::{Binaries, Server};
use model::QualifiedName;
use model::change::KeyTarget;
use model::snapshot::{ExtendedStatistics, Index, Relation, RelationKind, Snapshot};
use tokio_postgres::Client;
use tokio_postgres::types::Oid;

use crate::candidates::{grow, heap, set_sizes};
use crate::clock;
use crate::error::Error;
use crate::index_facts::facts;
use crate::session::{As, DATABASE, OWNER, connect};
use crate::size::{self, Combinations, Size};
use crate::statistics::{Attribute, Row, Writer};
use crate::switching::Switches;
use crate::the_twin::{Table, Twin, TwinOptions};
use crate::{extended, switching};

pub(crate) async fn build(
    snapshot: &Snapshot,
    binaries: &Binaries,
    options: TwinOptions,
) -> Result<Twin, Error> {
    if let Some(found) = snapshot.setting("block_size").filter(|s| *s != "8192") {
        return Err(Error::BlockSize { found: found.to_owned() });
    }
    let mut notes = Vec::new();
    let server = start(binaries, &options).await?;
    if !schema::create_database(&server, DATABASE, OWNER, snapshot).await? {
        notes.push(format!(
            "This machine does not have the locale \"{}\" of the server: the planner twin sorts texts in a similar \
             order, so estimates for ranges of texts may differ.",
            snapshot.server.collate
        ));
    }

    let admin = connect(&server, DATABASE, As::Superuser).await?;
    let time = options.clock.time(snapshot.taken_at);
    if let Some(time) = time {
        admin.batch_execute(&clock::create_sql(time)).await.map_err(Error::sql("setting the clock"))?;
    }
    let owner = connect(&server, DATABASE, As::Owner).await?;
    let stops_clock = time.is_some();
    let view = move |sql: &str| if stops_clock { clock::stop(sql) } else { sql.to_owned() };
    let restored = schema::restore(
        &snapshot.schema_sql,
        &owner,
        &admin,
        &view,
        schema::ForeignKeys::NotValid,
        binaries.major,
    )
    .await?;
    notes.extend(restored.notes);
    let (relations, columns) = read_catalog(&admin).await?;
    let mut tables = BTreeMap::new();
    let mut indexes_of: HashMap<&QualifiedName, Vec<&Index>> = HashMap::new();
    for index in &snapshot.indexes {
        indexes_of.entry(&index.definition.table).or_default().push(index);
    }
    let mut extended_of: HashMap<&QualifiedName, Vec<&ExtendedStatistics>> = HashMap::new();
    for statistics in &snapshot.extended_statistics {
        extended_of.entry(&statistics.table).or_default().push(statistics);
    }
    for relation in &snapshot.relations {
        let Some((oid, path)) = relations.get(&relation.name) else {
            notes.push(format!(
                "{} is not on the planner twin: statements on it cannot be planned.",
                relation.name
            ));
            continue;
        };
        let never_analyzed = relation.reltuples < 0.0
            || (snapshot.server.major() < 14 && relation.reltuples == 0.0 && relation.relpages == 0);
        let reltuples = match never_analyzed {
            // Before 14, zero pages meant what -1 rows mean since.
            true if binaries.major >= 14 => -1.0,
            true => 0.0,
            false => relation.reltuples as f32,
        };
        let to_int = |n: i64| i32::try_from(n).unwrap_or(i32::MAX);
        let mut relation = relation.clone();
        // Dropped columns of the source are not in the dump, so what follows them has another number here.
        let mut numbers = HashMap::new();
        for column in &mut relation.columns {
            let found = columns.get(oid).and_then(|c| c.get(&column.name));
            let number = found.map_or(0, |a| a.number);
            numbers.insert(column.attnum, number);
            column.attnum = number;
        }
        let table = Table {
            oid: *oid,
            path: path
                .as_ref()
                .filter(|_| relation.kind != RelationKind::ForeignTable)
                .map(|p| server.data_dir().join(p)),
            pages: u64::try_from(relation.pages).unwrap_or(0),
            relpages: to_int(relation.relpages),
            reltuples,
            relallvisible: to_int(relation.relallvisible),
            combinations: combinations(
                indexes_of.get(&relation.name).map_or(&[][..], Vec::as_slice),
                extended_of.get(&relation.name).map_or(&[][..], Vec::as_slice),
                &numbers,
                &relation,
            ),
            relation,
        };
        tables.insert(table.relation.name.clone(), table);
    }
    let mut partitions: HashMap<QualifiedName, Vec<QualifiedName>> = HashMap::new();
    for relation in tables.values().map(|t| &t.relation).filter(|r| r.partition_bound.is_some()) {
        if let Some(parent) = &relation.parent {
            partitions.entry(parent.clone()).or_default().push(relation.name.clone());
        }
    }
    write_statistics(snapshot, &admin, &relations, &columns, &mut notes).await?;
    notes.extend(extended::write(snapshot, &owner, &admin, binaries.major).await?);
    drop(owner);
    let switches = size_everything(snapshot, &server, &admin, &tables, &partitions, &relations).await?;
    switching::prepare(&admin).await?;
    tell_what_is_missing(snapshot, &mut notes);

    let settings = schema::settings::of_source(snapshot);
    let (planner, unknown) = Twin::connect_planner(&server, &settings, &options).await?;
    if !unknown.is_empty() && snapshot.server.major() == binaries.major {
        notes.push(format!("The planner twin does not have the settings {}.", unknown.join(", ")));
    }
    Ok(Twin {
        server,
        admin,
        planner,
        helpers: Vec::new(),
        options,
        settings,
        stops_clock: time.is_some(),
        tables,
        partitions,
        switches,
        candidates: Vec::new(),
        tried: 0,
        shown_names: HashMap::new(),
        calls: 0,
        scans: HashMap::new(),
        companion: None,
        missing_extensions: restored.missing_extensions,
        notes,
    })
}

/// More than a twin of ten thousand tables takes.
const ROOM: u64 = 1 << 30;

async fn start(binaries: &Binaries, options: &TwinOptions) -> Result<Server, Error> {
    let place = schema::Place {
        parent_dir: options.parent_dir.clone(),
        template_dir: options.template_dir.clone(),
        room: ROOM,
    };
    let own = &[
        ("max_connections", "20"),
        // With "minimal", a new index would be read into shared buffers, where the height that is then written
        // to its file would not be seen.
        ("wal_level", "replica"),
        ("bgwriter_lru_maxpages", "0"),
    ];
    Ok(schema::start_server(binaries, place, own).await?)
}

/// What unique indexes and extended statistics tell of several columns together. `numbers` are the source's
/// column numbers with the twin's.
fn combinations(
    indexes: &[&Index],
    extended: &[&ExtendedStatistics],
    numbers: &HashMap<i16, i16>,
    relation: &Relation,
) -> Vec<Combinations> {
    let counted = extended
        .iter()
        .filter_map(|statistics| statistics.data.first()?.n_distinct.as_deref())
        .filter_map(|text| extended::ndistinct(text, numbers))
        .flatten()
        .map(|(columns, distinct)| Combinations { columns: columns.into_iter().collect(), distinct });

    let number = |column: &str| {
        let column = relation.column(column).filter(|c| c.attnum != 0)?;
        // A unique index holds as many NULLs as there are.
        let nulls = column.statistics.as_ref().map_or(0.0, |s| s.null_frac);
        (nulls < 0.01).then_some(column.attnum)
    };
    let columns = |index: &Index| -> Option<BTreeSet<i16>> {
        let keys = &index.definition.keys;
        keys.iter()
            .map(|key| match &key.target {
                KeyTarget::Column(name) => number(name),
                KeyTarget::Expression(_) => None,
            })
            .collect()
    };
    indexes
        .iter()
        .filter(|index| index.definition.unique && index.definition.predicate.is_none())
        .filter_map(|index| Some(Combinations { columns: columns(index)?, distinct: f64::INFINITY }))
        .chain(counted)
        .collect()
}

/// Relations by name, with their files.
type Relations = HashMap<QualifiedName, (Oid, Option<String>)>;
/// Columns of relations, and of indexes with an expression, by name.
type Columns = HashMap<Oid, HashMap<String, Attribute>>;

async fn read_catalog(admin: &Client) -> Result<(Relations, Columns), Error> {
    let what = "reading the twin's catalog";
    let rows = admin
        .query(
            "SELECT /* pgwright:twin_relations */ c.oid, n.nspname::pg_catalog.text AS schema,
                 c.relname::pg_catalog.text AS name,
                 CASE WHEN c.relkind IN ('r', 'm', 'i') THEN pg_catalog.pg_relation_filepath(c.oid) END AS path
             FROM pg_catalog.pg_class AS c
             JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
             WHERE c.relkind IN ('r', 'p', 'm', 'f', 'i', 'I')
                 AND n.nspname <> ALL (ARRAY['pg_catalog', 'information_schema', 'pg_toast'])",
            &[],
        )
        .await
        .map_err(Error::sql(what))?;
    let mut relations = Relations::new();
    for row in rows {
        let mut read = || -> Result<(), tokio_postgres::Error> {
            let name =
                QualifiedName::new(row.try_get::<_, String>("schema")?, row.try_get::<_, String>("name")?);
            relations.insert(name, (row.try_get("oid")?, row.try_get("path")?));
            Ok(())
        };
        read().map_err(Error::sql(what))?;
    }
    let rows = admin
        .query(
            "SELECT /* pgwright:twin_attributes */ a.attrelid, a.attnum, a.attname::pg_catalog.text AS name,
                 a.atttypid, a.attcollation
             FROM pg_catalog.pg_attribute AS a
             JOIN pg_catalog.pg_class AS c ON c.oid = a.attrelid
             JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
             LEFT JOIN pg_catalog.pg_index AS i ON i.indexrelid = c.oid
             WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'm', 'f', 'i', 'I')
                 AND (i.indexrelid IS NULL OR i.indexprs IS NOT NULL)
                 AND n.nspname <> ALL (ARRAY['pg_catalog', 'information_schema', 'pg_toast'])",
            &[],
        )
        .await
        .map_err(Error::sql(what))?;
    let mut columns = Columns::new();
    for row in rows {
        let mut read = || -> Result<(), tokio_postgres::Error> {
            let attribute = Attribute {
                relation: row.try_get("attrelid")?,
                number: row.try_get("attnum")?,
                type_oid: row.try_get("atttypid")?,
                collation: row.try_get("attcollation")?,
            };
            columns.entry(attribute.relation).or_default().insert(row.try_get("name")?, attribute);
            Ok(())
        };
        read().map_err(Error::sql(what))?;
    }
    Ok((relations, columns))
}

async fn write_statistics(
    snapshot: &Snapshot,
    admin: &Client,
    relations: &Relations,
    columns: &Columns,
    notes: &mut Vec<String>,
) -> Result<(), Error> {
    let mut types: Vec<Oid> = columns.values().flat_map(|c| c.values().map(|a| a.type_oid)).collect();
    types.sort_unstable();
    types.dedup();
    let of = |name: &QualifiedName| relations.get(name).and_then(|(oid, _)| columns.get(oid));
    let mut rows = Vec::new();
    // Whose statistics they are, for a message.
    let mut subjects = Vec::new();
    for relation in &snapshot.relations {
        let Some(found) = of(&relation.name) else { continue };
        for column in &relation.columns {
            let Some(attribute) = found.get(&column.name) else { continue };
            for (inherited, statistics) in [(false, &column.statistics), (true, &column.inherited_statistics)]
            {
                let Some(statistics) = statistics else { continue };
                rows.push(Row { attribute: *attribute, inherited, statistics });
                subjects.push((&relation.name, Some(&column.name)));
            }
        }
    }
    for index in &snapshot.indexes {
        for (number, statistics) in &index.expression_statistics {
            let Some(attribute) =
                of(&index.name).and_then(|found| found.values().find(|a| a.number == *number))
            else {
                continue;
            };
            rows.push(Row { attribute: *attribute, inherited: false, statistics });
            subjects.push((&index.name, None));
        }
    }
    for (at, message) in Writer::new(admin, &types).await?.write(&rows).await? {
        let subject = match subjects[at] {
            (relation, Some(column)) => format!("{relation}.{}", model::quote_identifier(column)),
            (index, None) => format!("index {index}"),
        };
        notes.push(format!(
            "The planner twin did not take the values in the statistics of {subject}: {message}."
        ));
    }
    Ok(())
}

/// Gives every relation its pages and rows, and finds the indexes.
async fn size_everything(
    snapshot: &Snapshot,
    server: &Server,
    admin: &Client,
    tables: &BTreeMap<QualifiedName, Table>,
    partitions: &HashMap<QualifiedName, Vec<QualifiedName>>,
    relations: &Relations,
) -> Result<Switches, Error> {
    let mut sizes: Vec<(Oid, i32, f32, i32)> = Vec::new();
    for table in tables.values() {
        sizes.push((table.oid, table.relpages, table.reltuples, table.relallvisible));
        if let Some(path) = &table.path {
            crate::files::extend(path, table.pages)
                .map_err(|source| Error::File { pages: table.pages, source })?;
        }
    }
    let (mut existing, mut missing) = (BTreeMap::new(), BTreeSet::new());
    let mut roots: HashMap<Oid, &Index> = HashMap::new();
    for index in &snapshot.indexes {
        match relations.get(&index.name) {
            Some((oid, _)) => {
                roots.insert(*oid, index);
                existing.insert(index.name.clone(), Vec::new());
            }
            None => {
                missing.insert(index.name.clone());
            }
        }
    }
    let oids: Vec<Oid> = roots.keys().copied().collect();
    let (mut invalid, mut table_of) = (Vec::new(), HashMap::new());
    for fact in facts(admin, server, &oids).await? {
        let Some(root) = roots.get(&fact.root) else { continue };
        existing.entry(root.name.clone()).or_default().push(fact.oid);
        if let (Some(table), Some(_)) = (tables.get(&fact.table), &fact.path) {
            table_of.insert(fact.oid, table.oid);
        }
        if fact.oid != fact.root {
            continue;
        }
        if !root.valid {
            invalid.push(fact.oid);
        }
        let pages = u64::try_from(root.pages).unwrap_or(0);
        let (Some(path), Some(table)) = (&fact.path, tables.get(&fact.table)) else { continue };
        let rows = if root.reltuples >= 0.0 { root.reltuples } else { table.relation.rows() };
        let height = match fact.shape.access_method.as_str() {
            "btree" => size::btree_height(&fact.shape, heap(table, rows, server.binaries().major), pages),
            _ => 0,
        };
        grow(path, &fact.shape, Size { pages, height })?;
        sizes.push((fact.oid, i32::try_from(root.relpages).unwrap_or(i32::MAX), root.reltuples as f32, 0));
    }
    for oids in existing.values_mut() {
        // An index that could not be used at the source must not come to life when "on" again.
        oids.retain(|o| !invalid.contains(o));
    }
    set_sizes(admin, &sizes).await?;
    admin
        .execute(
            "UPDATE /* pgwright:twin_invalid */ pg_catalog.pg_index SET indisvalid = false
             WHERE indexrelid = ANY ($1)",
            &[&invalid],
        )
        .await
        .map_err(Error::sql("marking invalid indexes"))?;
    admin
        .execute(
            "UPDATE /* pgwright:twin_populated */ pg_catalog.pg_class SET relispopulated = true
             WHERE relkind = 'm' AND NOT relispopulated",
            &[],
        )
        .await
        .map_err(Error::sql("marking materialized views"))?;
    let mut by_name: HashMap<String, Vec<Oid>> = HashMap::new();
    for table in tables.values() {
        by_name.entry(table.relation.name.name.clone()).or_default().push(table.oid);
    }
    Ok(Switches::new(existing, missing, table_of, by_name, partition_trees(tables, partitions)))
}

/// The partitions, at all levels, of each partitioned table that is not a partition.
fn partition_trees(
    tables: &BTreeMap<QualifiedName, Table>,
    partitions: &HashMap<QualifiedName, Vec<QualifiedName>>,
) -> Vec<BTreeSet<Oid>> {
    let roots = tables.values().filter(|t| t.relation.partition_bound.is_none());
    roots
        .filter(|root| partitions.contains_key(&root.relation.name))
        .map(|root| {
            let mut tree = BTreeSet::from([root.oid]);
            let mut next = vec![&root.relation.name];
            while let Some(parent) = next.pop() {
                let children = partitions.get(parent).into_iter().flatten();
                tree.extend(children.clone().filter_map(|child| tables.get(child)).map(|t| t.oid));
                next.extend(children);
            }
            tree
        })
        .collect()
}

fn tell_what_is_missing(snapshot: &Snapshot, notes: &mut Vec<String>) {
    let secured: Vec<String> =
        snapshot.relations.iter().filter(|r| r.row_security).map(|r| r.name.to_string()).collect();
    if !secured.is_empty() {
        notes.push(format!(
            "Row security policies of {} are left out: the planner twin plans as a role that sees all rows.",
            secured.join(", ")
        ));
    }
}
