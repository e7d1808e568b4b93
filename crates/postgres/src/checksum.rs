//! Do two statements give the same rows on the server's own data? Both are run in one snapshot, and of each
//! answer only the number of rows and a sum of hashes leaves the server, whatever its size.
//!
//! Source: PostgreSQL manual, "Transaction Isolation" (REPEATABLE READ sees one snapshot) and `hashfn.h`
//! (`hashtextextended`, 64 bits). A sum does not depend on the order of rows and counts duplicates. Equal
//! checksums show that the answers are equal on these data, by all but a chance of one in 2^64; they say nothing
//! about other data.
//!
//! Rows are hashed by their texts, values that are equal in SQL with equal texts: `1.0` and `1.00`, `-0` and
//! `0`. Floating-point numbers are taken to ten digits, because their sums depend on the order of addition.

use std::time::Duration;

use model::{quote_identifier, quote_literal};
use tokio_postgres::types::Type;

use crate::catalog_query::column;
use crate::error::Error;
use crate::session::Session;

const QUERY: &str = "bag_checksum";

/// How long comparing may take.
#[derive(Clone, Debug)]
pub struct ChecksumOptions {
    /// For each of the two statements.
    pub statement_timeout: Duration,
    /// For each lock.
    pub lock_timeout: Duration,
}

impl Default for ChecksumOptions {
    fn default() -> Self {
        Self { statement_timeout: Duration::from_secs(60), lock_timeout: Duration::from_secs(2) }
    }
}

/// The rows of an answer, in any order, as two numbers.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct BagChecksum {
    /// How many rows.
    pub rows: i64,
    /// The sum of their hashes, in decimal digits.
    pub sum: String,
}

/// The checksums of two statements without parameters, in one REPEATABLE READ READ ONLY transaction.
///
/// The caller has made sure that both only read (`sql::statement_safety`); a statement that writes fails here.
/// The session should have been opened with
/// [`SessionOptions::for_user_statements`](crate::SessionOptions::for_user_statements).
///
/// # Errors
/// [`Error::Timeout`] when one of them takes too long; [`Error::Query`] when the server refuses one.
pub async fn bag_checksums(
    session: &Session,
    before: &str,
    after: &str,
    options: &ChecksumOptions,
) -> Result<(BagChecksum, BagChecksum), Error> {
    batch(session, "BEGIN /* pgwright:bag_checksum */ ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    let both = async {
        let setting = |name: &str, time: Duration| {
            format!(
                "pg_catalog.set_config('{name}', {}, true)",
                quote_literal(&format!("{}ms", time.as_millis().max(1)))
            )
        };
        let settings = [
            setting("statement_timeout", options.statement_timeout),
            setting("lock_timeout", options.lock_timeout),
            // Two texts of one number shall be the same text.
            "pg_catalog.set_config('extra_float_digits', '1', true)".into(),
        ];
        batch(session, &format!("SELECT /* pgwright:bag_checksum */ {}", settings.join(", "))).await?;
        let before = bag_checksum(session, before).await?;
        Ok((before, bag_checksum(session, after).await?))
    }
    .await;
    let end = batch(session, "ROLLBACK /* pgwright:bag_checksum */").await;
    let both = both?;
    end?;
    Ok(both)
}

async fn batch(session: &Session, sql: &str) -> Result<(), Error> {
    session.batch_execute(sql).await.map_err(|error| Error::from_query(QUERY, &error))
}

async fn bag_checksum(session: &Session, statement: &str) -> Result<BagChecksum, Error> {
    let failed = |error: tokio_postgres::Error| Error::from_query(QUERY, &error);
    let statement = statement.trim().trim_end_matches(';');
    let described =
        session.prepare(&format!("{statement}\n/* pgwright:bag_checksum */")).await.map_err(failed)?;
    let names: Vec<String> =
        (1..=described.columns().len()).map(|n| quote_identifier(&format!("pgwright_{n}"))).collect();
    let values = names.iter().zip(described.columns()).map(|(name, column)| normal(name, column.type_()));
    let values = values.collect::<Vec<_>>().join(", ");
    let names = if names.is_empty() { String::new() } else { format!("({})", names.join(", ")) };
    // Line breaks, because the statement may end in a comment.
    let sql = format!(
        "SELECT /* pgwright:bag_checksum */ pg_catalog.count(*),
             COALESCE(pg_catalog.sum(pg_catalog.hashtextextended(ROW({values})::pg_catalog.text, 0)
                 ::pg_catalog.numeric), 0)::pg_catalog.text
         FROM (\n{statement}\n) AS answer {names}"
    );
    let rows = session.query_typed(&sql, &[]).await.map_err(failed)?;
    let row = rows.first().ok_or_else(|| Error::Decode {
        query: QUERY.into(),
        column: "count".into(),
        reason: "the server returned no row".into(),
    })?;
    Ok(BagChecksum { rows: column(row, 0, QUERY, "count")?, sum: column(row, 1, QUERY, "sum")? })
}

/// A column with one text for equal values.
fn normal(name: &str, column_type: &Type) -> String {
    match *column_type {
        Type::NUMERIC => format!("pg_catalog.trim_scale({name})"),
        // Adding zero makes 0 of -0.
        Type::FLOAT4 | Type::FLOAT8 => format!(
            "CASE WHEN {name}::pg_catalog.text IN ('NaN', 'Infinity', '-Infinity') THEN {name}::pg_catalog.text \
             ELSE pg_catalog.to_char({name}::pg_catalog.float8 + 0, '9.999999999EEEE') END"
        ),
        _ => name.to_owned(),
    }
}
