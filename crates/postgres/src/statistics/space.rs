//! How is the space of a table or index used, by looking at its pages?
//!
//! Source: PostgreSQL manual, "pgstattuple". Both functions read every page. `pgstattuple_approx` would skip those that
//! the visibility map marks, but it then takes their number of rows from the density of the last VACUUM: a table whose
//! first pages are empty and whose last ones are full was judged 19 points too well. For superusers, and members of
//! `pg_stat_scan_tables`, which `pg_monitor` includes.

use tokio_postgres::Client;

use crate::catalog_query;
use crate::catalog_query::read_extension;
use crate::error::Error;

catalog_query! {
    /// What a table's pages hold.
    pub struct HeapSpaceRow {
        /// In bytes.
        table_len: i64,
        tuple_count: i64,
        /// Bytes of live rows.
        tuple_len: i64,
    }
    name "heap_space"
    extension "pgstattuple" { 1.5 => "heap_space.sql" }
    parameters [OID]
}

catalog_query! {
    /// What a B-tree's pages hold.
    pub struct IndexSpaceRow {
        /// In bytes.
        index_size: i64,
        internal_pages: i64,
        leaf_pages: i64,
        /// In percent; not a number when there is no leaf.
        avg_leaf_density: f64,
    }
    name "index_space"
    extension "pgstattuple" { 1.5 => "index_space.sql" }
    parameters [OID]
}

/// Looks at a table or materialized view. `None` when it has gone meanwhile.
///
/// # Errors
/// When the role may not, or the pages could not be read in time.
pub async fn heap_space(
    client: &Client,
    extension: &model::snapshot::Extension,
    oid: u32,
) -> Result<Option<HeapSpaceRow>, Error> {
    let rows = read_extension(client, &extension.version, &extension.schema, &[&oid]).await?;
    Ok(rows.into_iter().next())
}

/// Looks at a B-tree. `None` when it has gone meanwhile.
///
/// # Errors
/// As [`heap_space`].
pub async fn index_space(
    client: &Client,
    extension: &model::snapshot::Extension,
    oid: u32,
) -> Result<Option<IndexSpaceRow>, Error> {
    let rows = read_extension(client, &extension.version, &extension.schema, &[&oid]).await?;
    Ok(rows.into_iter().next())
}
