//! Which partitioned tables are there, what are their partitions, and how are those?
//!
//! Source: `pg_partitioned_table`, `pg_inherits` and `pg_class.relpartbound`, all in one pass: a database may have a
//! thousand sets of sixty partitions. Bounds are printed with the session's `TimeZone`, which is UTC here.

use model::QualifiedName;
use model::partition_tree::{PartitionDetails, PartitionKey, PartitionTable};
use serde::Deserialize;
use tokio_postgres::Client;

use crate::catalog_query;
use crate::catalog_query::read;
use crate::error::Error;

catalog_query! {
    /// A partitioned table or a partition.
    pub struct PartitionTableRow {
        oid: u32,
        schema: String,
        name: String,
        parent_oid: Option<u32>,
        relkind: String,
        strategy: Option<String>,
        key_columns: Option<Vec<Option<String>>>,
        key_types: Option<Vec<Option<String>>>,
        key_definition: Option<String>,
        bound: Option<String>,
        detach_pending: bool,
        owner: String,
        is_owner: bool,
        reltuples: Option<f64>,
        default_bytes: Option<i64>,
        tablespace: Option<String>,
        has_statistics: bool,
    }
    name "partition_tables"
    server { 13 => "partition_tables.sql", 14 => "partition_tables.since_14.sql" }
}

catalog_query! {
    /// What a partition occupies and when it was looked after.
    pub struct PartitionDetailsRow {
        oid: u32,
        table_bytes: i64,
        index_bytes: i64,
        analyzed_at_micros: Option<i64>,
        vacuumed_at_micros: Option<i64>,
        changed_rows: i64,
        autovacuum_off: bool,
        indexes: Vec<String>,
        invalid_indexes: Vec<String>,
    }
    name "partition_details"
    server { 13 => "partition_details.sql" }
    parameters [OID_ARRAY]
}

catalog_query! {
    /// What time it is, and where.
    pub struct ClockRow {
        now_micros: i64,
        zone: Option<String>,
    }
    name "clock"
    server { 13 => "clock.sql" }
}

/// The server's clock in microseconds since 1970, and the `TimeZone` that sessions get.
///
/// # Errors
/// When the server cannot be asked.
pub async fn clock(client: &Client, version_num: i32) -> Result<(i64, String), Error> {
    let rows: Vec<ClockRow> = read(client, version_num, &[]).await?;
    let row = rows.into_iter().next();
    Ok(row.map_or((0, None), |r| (r.now_micros, r.zone)))
        .map(|(now, zone)| (now, zone.unwrap_or_else(|| "UTC".into())))
}

/// Every partitioned table and every partition, by name.
///
/// # Errors
/// When the server cannot be asked.
pub async fn partition_tables(client: &Client, version_num: i32) -> Result<Vec<PartitionTable>, Error> {
    let rows: Vec<PartitionTableRow> = read(client, version_num, &[]).await?;
    Ok(rows.into_iter().map(table).collect())
}

/// What tables of a tree occupy and when they were looked after.
///
/// # Errors
/// When the server cannot be asked.
pub async fn partition_details(
    client: &Client,
    version_num: i32,
    oids: &[u32],
) -> Result<Vec<PartitionDetails>, Error> {
    let rows: Vec<PartitionDetailsRow> = read(client, version_num, &[&oids]).await?;
    Ok(rows
        .into_iter()
        .map(|row| PartitionDetails {
            oid: row.oid,
            table_bytes: row.table_bytes,
            index_bytes: row.index_bytes,
            analyzed_at_micros: row.analyzed_at_micros,
            vacuumed_at_micros: row.vacuumed_at_micros,
            changed_rows: row.changed_rows,
            autovacuum_off: row.autovacuum_off,
            indexes: row.indexes,
            invalid_indexes: row.invalid_indexes,
        })
        .collect())
}

fn table(row: PartitionTableRow) -> PartitionTable {
    let first = |text: &str| text.chars().next().unwrap_or(' ');
    let key = row.strategy.map(|strategy| PartitionKey {
        strategy: first(&strategy),
        columns: row.key_columns.unwrap_or_default(),
        types: row.key_types.unwrap_or_default(),
        definition: row.key_definition.unwrap_or_default(),
    });
    PartitionTable {
        oid: row.oid,
        name: QualifiedName::new(row.schema, row.name),
        parent_oid: row.parent_oid,
        relkind: first(&row.relkind),
        key,
        bound: row.bound,
        detach_pending: row.detach_pending,
        owner: row.owner,
        is_owner: row.is_owner,
        rows: row.reltuples,
        default_bytes: row.default_bytes,
        tablespace: row.tablespace,
        has_statistics: row.has_statistics,
    }
}

/// What pg_partman keeps of one set. Its versions 4 and 5 have other columns, and later ones add some, so a row is read by
/// the names that it has.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct PartmanSet {
    /// The schema of the extension.
    #[serde(default)]
    pub extension_schema: String,
    /// `schema.table`, as it was written.
    pub parent_table: String,
    /// The interval in PostgreSQL's words, or a number.
    pub partition_interval: String,
    /// How many partitions are made ahead.
    pub premake: i32,
    /// How long rows are kept.
    pub retention: Option<String>,
    /// Whether old partitions are detached and kept.
    pub retention_keep_table: bool,
    /// The schema that old partitions are moved to.
    pub retention_schema: Option<String>,
    /// For numbers that are times: `seconds`, `milliseconds`, `nanoseconds`, and since 5.2 `microseconds`.
    pub epoch: Option<String>,
    /// `on` or `off`: whether its maintenance looks after the set.
    pub automatic_maintenance: Option<String>,
    /// The table whose properties new partitions get beside the parent's.
    pub template_table: Option<String>,
}

/// The sets of pg_partman; none where it is not installed or its table may not be read.
///
/// # Errors
/// When the server cannot be asked.
pub async fn partman_sets(client: &Client) -> Result<Vec<PartmanSet>, Error> {
    let failed = |error: tokio_postgres::Error| Error::from_query("partman_sets", &error);
    let schema = client
        .query_opt(
            "select /* pgwright:partman_schema */ n.nspname::text from pg_catalog.pg_extension e \
             join pg_catalog.pg_namespace n on n.oid = e.extnamespace \
             where e.extname = 'pg_partman' \
               and pg_catalog.has_schema_privilege(n.oid, 'USAGE') \
               and pg_catalog.has_table_privilege( \
                 pg_catalog.to_regclass(pg_catalog.format('%I.part_config', n.nspname)), 'SELECT')",
            &[],
        )
        .await
        .map_err(failed)?;
    let Some(schema) = schema else { return Ok(Vec::new()) };
    let schema: String = schema.try_get(0).map_err(failed)?;
    let sql = format!(
        "select /* pgwright:partman_sets */ pg_catalog.to_jsonb(c) from {}.part_config c order by c.parent_table",
        model::quote_identifier(&schema)
    );
    let rows = client.query(&sql, &[]).await.map_err(failed)?;
    let mut sets = Vec::new();
    for row in rows {
        let json: serde_json::Value = row.try_get(0).map_err(failed)?;
        // A row of a form that no known version has says nothing.
        let set = serde_json::from_value::<PartmanSet>(json).ok();
        sets.extend(set.map(|set| PartmanSet { extension_schema: schema.clone(), ..set }));
    }
    Ok(sets)
}

catalog_query! {
    /// A comment of pgslice.
    pub struct PgsliceSetRow {
        schema: String,
        name: String,
        period: String,
    }
    name "pgslice_sets"
    server { 13 => "pgslice_sets.sql" }
}

/// What pgslice keeps of a set: the comment on its table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PgsliceSet {
    /// The table.
    pub table: QualifiedName,
    /// `day`, `month` or `year`.
    pub period: String,
}

/// The partitioned tables on which pgslice has left its comment: `column:created_at,period:month,cast:date,version:3`.
///
/// # Errors
/// When the server cannot be asked.
pub async fn pgslice_sets(client: &Client, version_num: i32) -> Result<Vec<PgsliceSet>, Error> {
    let rows: Vec<PgsliceSetRow> = read(client, version_num, &[]).await?;
    Ok(rows
        .into_iter()
        .map(|row| PgsliceSet { table: QualifiedName::new(row.schema, row.name), period: row.period })
        .collect())
}
