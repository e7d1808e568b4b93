//! Which functions may do more than compute?
//!
//! Source: PostgreSQL manual, "Function Volatility Categories" (38.7): only a VOLATILE function is
//! allowed to write.

use tokio_postgres::Client;

use crate::catalog_query;
use crate::catalog_query::read;
use crate::error::Error;

catalog_query! {
    /// A name and whether any function of that name is volatile.
    pub struct FunctionVolatilityRow { name: String, volatile: bool }
    name "volatile_functions"
    server { 13 => "volatile_functions.sql" }
    parameters [TEXT_ARRAY]
}

/// Those of the names, with or without a schema, that a volatile function has, sorted.
///
/// # Errors
/// When the query fails.
pub async fn volatile_functions(client: &Client, names: &[String]) -> Result<Vec<String>, Error> {
    // Every variant serves every version, so none needs to be chosen by it.
    let rows: Vec<FunctionVolatilityRow> = read(client, i32::MAX, &[&names]).await?;
    Ok(rows.into_iter().filter(|row| row.volatile).map(|row| row.name).collect())
}
