//! What does a person ask who looks at one table, at all indexes, or at who waits for whom?
//!
//! Source: PostgreSQL manual, "System Catalogs" (52), `pg_stats`, `pg_locks`, `pg_blocking_pids()` (9.27).

use tokio_postgres::Client;

use crate::catalog_query;
use crate::catalog_query::read;
use crate::error::Error;
use crate::password_mask;

catalog_query! {
    /// A process that waits for a lock or that others wait for, in any database. Process 0 stands for prepared
    /// transactions, of which nothing else is known.
    pub struct LockWaitRow {
        pid: i32,
        blockers: Vec<i32>,
        datname: Option<String>,
        user: Option<String>,
        application_name: Option<String>,
        client_addr: Option<String>,
        state: Option<String>,
        xact_seconds: Option<f64>,
        query_seconds: Option<f64>,
        state_seconds: Option<f64>,
        query: Option<String>,
        locktype: Option<String>,
        mode: Option<String>,
        relation: Option<String>,
    }
    name "lock_waits"
    server { 13 => "lock_waits.sql" }
}

catalog_query! {
    /// What an index is, without what its size or definition would cost to ask.
    pub struct IndexFactsRow {
        schema: String,
        table_name: String,
        name: String,
        access_method: String,
        unique: bool,
        primary: bool,
        valid: bool,
        partial: bool,
        constraint: Option<String>,
    }
    name "index_facts"
    server { 13 => "index_facts.sql" }
}

catalog_query! {
    /// A table, view, or the like.
    pub struct TableFactsRow {
        relkind: String,
        comment: Option<String>,
        options: Vec<String>,
        partition_key: Option<String>,
        partition_bound: Option<String>,
        parent_schema: Option<String>,
        parent_name: Option<String>,
    }
    name "table_facts"
    server { 13 => "table_facts.sql" }
    parameters [TEXT, TEXT]
}

catalog_query! {
    /// A column of a table, with what ANALYZE knows of it.
    pub struct TableColumnRow {
        name: String,
        type_name: String,
        not_null: bool,
        default: Option<String>,
        comment: Option<String>,
        n_distinct: Option<f64>,
        null_frac: Option<f64>,
        avg_width: Option<i32>,
        correlation: Option<f64>,
    }
    name "table_columns"
    server { 13 => "table_columns.sql" }
    parameters [TEXT, TEXT]
}

catalog_query! {
    /// An index of a table.
    pub struct TableIndexRow {
        name: String,
        definition: String,
        unique: bool,
        primary: bool,
        valid: bool,
        constraint: Option<String>,
        idx_scan: i64,
        estimated_bytes: i64,
    }
    name "table_indexes"
    server { 13 => "table_indexes.sql" }
    parameters [TEXT, TEXT]
}

catalog_query! {
    /// A constraint of a table, or a foreign key of another that refers to it.
    pub struct TableConstraintRow {
        name: String,
        kind: String,
        definition: String,
        validated: bool,
        refers_here: bool,
        other_schema: Option<String>,
        other_name: Option<String>,
    }
    name "table_constraints"
    server { 13 => "table_constraints.sql" }
    parameters [TEXT, TEXT]
}

catalog_query! {
    /// A table, view or the like, as a list has it.
    pub struct CatalogueRow {
        schema: String,
        name: String,
        relkind: String,
        owner: String,
        column_count: i16,
        reltuples: f64,
        is_partition: bool,
        comment: Option<String>,
    }
    name "catalogue"
    server { 13 => "catalogue.sql" }
}

/// Everything about one table that a person looks at.
#[derive(Clone, Debug, PartialEq)]
pub struct TableInspection {
    /// The table itself.
    pub table: TableFactsRow,
    /// Its columns in their order.
    pub columns: Vec<TableColumnRow>,
    /// Its indexes, the primary key's first.
    pub indexes: Vec<TableIndexRow>,
    /// Its constraints, and the foreign keys that refer to it.
    pub constraints: Vec<TableConstraintRow>,
}

/// Who waits for whom, the passwords in statements masked.
///
/// # Errors
/// When the query fails.
pub async fn lock_waits(client: &Client, version_num: i32) -> Result<Vec<LockWaitRow>, Error> {
    let mut rows: Vec<LockWaitRow> = read(client, version_num, &[]).await?;
    for row in &mut rows {
        row.query = row.query.as_deref().map(password_mask::mask);
    }
    Ok(rows)
}

/// What every index is.
///
/// # Errors
/// When the query fails.
pub async fn index_facts(client: &Client, version_num: i32) -> Result<Vec<IndexFactsRow>, Error> {
    read(client, version_num, &[]).await
}

/// Every table and view.
///
/// # Errors
/// When the query fails.
pub async fn catalogue(client: &Client, version_num: i32) -> Result<Vec<CatalogueRow>, Error> {
    read(client, version_num, &[]).await
}

/// Everything about one table; `None` when there is none of that name.
///
/// # Errors
/// When a query fails.
pub async fn inspect_table(
    client: &Client,
    version_num: i32,
    schema: &str,
    name: &str,
) -> Result<Option<TableInspection>, Error> {
    let Some(table) = read(client, version_num, &[&schema, &name]).await?.pop() else { return Ok(None) };
    Ok(Some(TableInspection {
        table,
        columns: read(client, version_num, &[&schema, &name]).await?,
        indexes: read(client, version_num, &[&schema, &name]).await?,
        constraints: read(client, version_num, &[&schema, &name]).await?,
    }))
}
