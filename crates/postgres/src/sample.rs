//! Some rows of a table, a few of its columns, within bounds of rows, bytes and time, as the role may read them.
//!
//! Source: PostgreSQL manual, "SELECT" (`TABLESAMPLE`), "Row Security Policies" (`row_security`) and "COPY".
//! One READ ONLY transaction that is rolled back. Where row security would hide rows the server refuses, because a
//! sample without them would not be one of the table.
//!
//! A small table is taken whole, a middling one is read whole and rows are drawn (BERNOULLI), of a large one pages
//! are drawn (SYSTEM), more than are needed, and of them rows: rows of one page are often alike.

use std::time::Duration;

use futures_util::TryStreamExt as _;
use model::{QualifiedName, quote_identifier, quote_literal};

use crate::error::Error;
use crate::session::Session;

const QUERY: &str = "sample";

/// How much may be taken.
#[derive(Clone, Debug)]
pub struct SampleLimits {
    /// Rows at most.
    pub rows: u64,
    /// Bytes of text at most.
    pub bytes: usize,
    /// Pages that are read at most.
    pub pages: u64,
    /// How long the server may take.
    pub statement_timeout: Duration,
    /// How long it may wait for a lock.
    pub lock_timeout: Duration,
}

impl Default for SampleLimits {
    fn default() -> Self {
        Self {
            rows: 100_000,
            bytes: 64 << 20,
            pages: 20_000,
            statement_timeout: Duration::from_secs(10),
            lock_timeout: Duration::from_secs(2),
        }
    }
}

/// Of what a sample is taken.
#[derive(Clone, Debug)]
pub struct SampleSource<'a> {
    /// The table.
    pub table: &'a QualifiedName,
    /// Unquoted columns, at least one.
    pub columns: &'a [String],
    /// Whether rows of partitions and children belong to it.
    pub with_children: bool,
    /// Rows, as far as is known.
    pub rows: f64,
    /// Pages, as far as is known.
    pub pages: u64,
    /// Bytes of these columns in a row, as far as is known.
    pub row_bytes: u64,
}

/// Rows in the text format of COPY.
#[derive(Clone, Debug)]
pub struct Sample {
    /// The rows.
    pub data: Vec<bytes::Bytes>,
    /// How many.
    pub rows: u64,
    /// How many bytes.
    pub bytes: u64,
    /// Whether they are all that the table has.
    pub is_whole: bool,
    /// Whether the bound of bytes cut it short, so that it says nothing about the rest of the table.
    pub is_cut: bool,
}

/// Takes a sample.
///
/// # Errors
/// [`Error::Timeout`] when the server takes too long, though pages were drawn in a second try; [`Error::Query`] when
/// the role may not read the table or row security would hide rows of it.
pub async fn read(
    session: &Session,
    source: &SampleSource<'_>,
    limits: &SampleLimits,
) -> Result<Sample, Error> {
    match attempt(session, source, limits).await {
        Err(Error::Timeout { sqlstate, .. }) if sqlstate == "57014" && limits.pages > 1_000 => {
            let fewer = SampleLimits { pages: 1_000, ..limits.clone() };
            attempt(session, source, &fewer).await
        }
        other => other,
    }
}

async fn attempt(
    session: &Session,
    source: &SampleSource<'_>,
    limits: &SampleLimits,
) -> Result<Sample, Error> {
    batch(session, "BEGIN /* pgwright:sample */ READ ONLY").await?;
    let taken = async {
        let milliseconds = |t: Duration| format!("{}ms", t.as_millis().max(1));
        let settings = [
            ("statement_timeout", milliseconds(limits.statement_timeout)),
            ("lock_timeout", milliseconds(limits.lock_timeout)),
            // Rows that a policy hides make the server refuse rather than leave them out.
            ("row_security", "off".to_owned()),
        ];
        let settings: Vec<String> = settings
            .iter()
            .map(|(name, value)| format!("pg_catalog.set_config('{name}', {}, true)", quote_literal(value)))
            .collect();
        batch(session, &format!("SELECT /* pgwright:sample */ {}", settings.join(", "))).await?;
        copy(session, &sample_sql(source, limits), limits).await
    }
    .await;
    let end = batch(session, "ROLLBACK /* pgwright:sample */").await;
    let mut sample = taken?;
    end?;
    sample.is_whole &= draw(source, limits) == Draw::Whole && sample.rows < limits.rows;
    Ok(sample)
}

async fn batch(session: &Session, sql: &str) -> Result<(), Error> {
    session.batch_execute(sql).await.map_err(|error| Error::from_query(QUERY, &error))
}

async fn copy(session: &Session, sql: &str, limits: &SampleLimits) -> Result<Sample, Error> {
    let failed = |error: tokio_postgres::Error| Error::from_query(QUERY, &error);
    let stream = session.copy_out(sql).await.map_err(failed)?;
    let mut stream = std::pin::pin!(stream);
    let mut sample = Sample { data: Vec::new(), rows: 0, bytes: 0, is_whole: true, is_cut: false };
    while let Some(chunk) = stream.try_next().await.map_err(failed)? {
        // The server is told to stop; what is still under way is passed over.
        if sample.bytes as usize + chunk.len() > limits.bytes {
            (sample.is_whole, sample.is_cut) = (false, true);
            session.cancel_token().cancel().await?;
            while let Ok(Some(_)) = stream.try_next().await {}
            break;
        }
        sample.bytes += chunk.len() as u64;
        // COPY sends whole rows, one in a message.
        sample.rows += chunk.iter().filter(|byte| **byte == b'\n').count() as u64;
        sample.data.push(chunk);
    }
    Ok(sample)
}

/// Which rows are taken.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Draw {
    Whole,
    /// Rows, by a share in percent.
    Rows(f64),
    /// Pages, by a share in percent, and of their rows one of so many.
    Pages(f64, u64),
}

fn draw(source: &SampleSource<'_>, limits: &SampleLimits) -> Draw {
    let wanted = wanted_rows(source, limits) as f64;
    let rows = source.rows.max(1.0);
    let pages = source.pages.max(1) as f64;
    if pages <= limits.pages as f64 {
        // A table may have grown since it was counted.
        return if rows * 1.2 <= wanted {
            Draw::Whole
        } else {
            Draw::Rows((100.0 * wanted / rows).min(100.0))
        };
    }
    let share = limits.pages as f64 / pages;
    let one_of = (rows * share / wanted).floor().max(1.0);
    Draw::Pages(100.0 * share, one_of as u64)
}

fn wanted_rows(source: &SampleSource<'_>, limits: &SampleLimits) -> u64 {
    // Twice as wide as expected would still fit.
    let fitting = limits.bytes as u64 / 2 / source.row_bytes.max(1);
    limits.rows.min(fitting.max(100))
}

fn sample_sql(source: &SampleSource<'_>, limits: &SampleLimits) -> String {
    let columns: Vec<String> = source.columns.iter().map(|c| quote_identifier(c)).collect();
    let only = if source.with_children { "" } else { "ONLY " };
    let clause = match draw(source, limits) {
        Draw::Whole => String::new(),
        // The same seed draws the same rows of a table that has not changed.
        Draw::Rows(percent) => format!(" TABLESAMPLE pg_catalog.bernoulli ({percent:.6}) REPEATABLE (1)"),
        Draw::Pages(percent, 1) => format!(" TABLESAMPLE pg_catalog.system ({percent:.6}) REPEATABLE (1)"),
        Draw::Pages(percent, one_of) => format!(
            " TABLESAMPLE pg_catalog.system ({percent:.6}) REPEATABLE (1) \
             WHERE pg_catalog.hashtext(ctid::pg_catalog.text) % {one_of} = 0"
        ),
    };
    format!(
        "COPY /* pgwright:sample */ (SELECT {} FROM {only}{}{clause} LIMIT {}) TO STDOUT",
        columns.join(", "),
        source.table,
        wanted_rows(source, limits)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sql(rows: f64, pages: u64, row_bytes: u64) -> String {
        let table = QualifiedName::new("s", "a\"b.c");
        let columns = ["x".to_owned(), "select".to_owned()];
        let source =
            SampleSource { table: &table, columns: &columns, with_children: false, rows, pages, row_bytes };
        let sql = sample_sql(&source, &SampleLimits::default());
        sql.replace("COPY /* pgwright:sample */ (SELECT x, \"select\" FROM ONLY s.\"a\"\"b.c\"", "…")
    }

    #[test]
    fn the_larger_a_table_the_smaller_the_share_that_is_read() {
        assert_eq!(sql(1000.0, 10, 8), "… LIMIT 100000) TO STDOUT");
        assert_eq!(
            sql(1_000_000.0, 10_000, 8),
            "… TABLESAMPLE pg_catalog.bernoulli (10.000000) REPEATABLE (1) LIMIT 100000) TO STDOUT"
        );
        assert_eq!(
            sql(100_000_000.0, 1_000_000, 8),
            "… TABLESAMPLE pg_catalog.system (2.000000) REPEATABLE (1) WHERE \
             pg_catalog.hashtext(ctid::pg_catalog.text) % 20 = 0 LIMIT 100000) TO STDOUT"
        );
        // Rows that are wide are few.
        assert_eq!(
            sql(1000.0, 10, 1 << 20),
            "… TABLESAMPLE pg_catalog.bernoulli (10.000000) REPEATABLE (1) LIMIT 100) TO STDOUT"
        );
    }
}
