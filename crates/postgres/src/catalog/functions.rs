//! Which functions may do more than compute?
//!
//! Source: PostgreSQL manual, "Function Volatility Categories" (38.7): only a VOLATILE function is
//! allowed to write.

use tokio_postgres::Client;

use crate::catalog_query;
use crate::catalog_query::read;
use crate::error::Error;

catalog_query! {
    /// A function of one of the names that were asked for.
    pub struct FunctionFactsRow {
        name: String,
        schema: String,
        volatile: bool,
        language: String,
        provided: bool,
        source: String,
    }
    name "function_facts"
    server { 13 => "function_facts.sql", 14 => "function_facts.since_14.sql" }
    parameters [TEXT_ARRAY]
}

catalog_query! {
    /// An expression that a statement evaluates though its text does not show it: the query of a view that it
    /// reads, or the condition of a row-security policy.
    pub struct HiddenExpressionRow { relation: String, expression: String }
    name "hidden_expressions"
    server { 13 => "hidden_expressions.sql" }
    parameters [TEXT_ARRAY]
}

/// Every function of these names, with or without a schema.
///
/// # Errors
/// When the query fails.
pub async fn function_facts(
    client: &Client,
    version_num: i32,
    names: &[String],
) -> Result<Vec<FunctionFactsRow>, Error> {
    read(client, version_num, &[&names]).await
}

/// Queries of views and conditions of policies behind these relations, whose names are looked for in the
/// session's `search_path`.
///
/// # Errors
/// When the query fails.
pub async fn hidden_expressions(
    client: &Client,
    version_num: i32,
    relations: &[String],
) -> Result<Vec<HiddenExpressionRow>, Error> {
    read(client, version_num, &[&relations]).await
}

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
