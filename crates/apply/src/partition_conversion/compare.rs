//! Do both tables hold the same? Compared in one snapshot, range by range, by the number of rows and the sum of their
//! hashes, without the rows whose identities are in the log: those are carried over later.
//!
//! Source: PostgreSQL manual, "Snapshot Synchronization Functions" (pg_export_snapshot); `hashfn.h`,
//! `hash_record_extended` since 14. A sum of hashes does not depend on the order of rows and counts duplicates.

use model::{KeyKind, QualifiedName, quote_identifier, quote_literal};
use partitioning::{Edge, typed_literal};
use tokio_postgres::Client;

use super::capture::Capture;
use super::event::ConversionEvent;
use super::failure;
use super::plan::ConversionPlan;
use super::site::{Site, open_session};
use crate::error::Error;

/// One range of one table.
#[derive(Clone, Debug, PartialEq, Eq)]
struct RangeSum {
    range: i32,
    rows: i64,
    sum: String,
}

/// Compares the two tables of a log.
pub(crate) async fn run(site: &Site<'_>, capture: &Capture<'_>) -> Result<(), Error> {
    let (one, other) =
        tokio::try_join!(open_session(site.target, site.options), open_session(site.target, site.options))?;
    let failed = |e: tokio_postgres::Error| site.failed(&e);
    let begin = "begin isolation level repeatable read read only";
    one.batch_execute(&format!("{begin}; set local work_mem = '64MB'")).await.map_err(failed)?;
    let row = one
        .query_one("select /* pgwright:convert_snapshot */ pg_catalog.pg_export_snapshot() as id", &[])
        .await
        .map_err(failed)?;
    let snapshot: String = row.try_get("id").map_err(failed)?;
    let import = format!(
        "{begin}; set transaction snapshot {}; set local work_mem = '64MB'",
        quote_literal(&snapshot)
    );
    other.batch_execute(&import).await.map_err(failed)?;
    let hash = hash(site, &one).await?;
    let source = format!("{}{}", capture.only(), capture.source());
    let target = capture.target().to_string();
    let (left, right) = tokio::try_join!(
        sums(site, &one, capture, &source, &hash),
        sums(site, &other, capture, &target, &hash)
    )?;
    if left == right {
        site.teller.tell(ConversionEvent::Verified { rows: left.iter().map(|r| r.rows).sum() });
        return Ok(());
    }
    let differs = |a: &[RangeSum], b: &[RangeSum]| {
        a.iter().filter(|r| !b.contains(r)).map(|r| r.range).collect::<std::collections::BTreeSet<_>>()
    };
    let mut ranges = differs(&left, &right);
    ranges.extend(differs(&right, &left));
    let edges = edges(&site.plan);
    let rows = |sums: &[RangeSum]| sums.iter().map(|r| r.rows).sum::<i64>();
    let from = ranges.first().and_then(|r| usize::try_from(*r).ok()).and_then(|r| r.checked_sub(1));
    let at = from.and_then(|i| edges.get(i)).map(|e| format!(", the first from {e}")).unwrap_or_default();
    Err(failure::new(
        format!("{} and {} do not hold the same rows", capture.source(), capture.target()),
        format!(
            "{} and {} rows were compared; {} of the ranges between bounds differ{at}.",
            rows(&left),
            rows(&right),
            ranges.len()
        ),
        "Nothing was exchanged. Take the conversion back with \"pgwright partition convert revert\" before the swap; after \
         it, finish it if the partitioned table is right.",
    ))
}

/// The bounds between partitions as typed constants, in order.
fn edges(plan: &ConversionPlan) -> Vec<String> {
    let mut keys: Vec<i64> = Vec::new();
    for bound in plan.partitions.iter().filter_map(|p| p.bound.range()).flat_map(|(a, b)| [a, b]) {
        if let Edge::At(key) = bound {
            keys.push(key);
        }
    }
    keys.sort_unstable();
    keys.dedup();
    keys.into_iter().map(|k| typed_literal(k, plan.division.kind)).collect()
}

/// The expression that gives the hash of a row `t`, exact to the bit where every type can be hashed.
async fn hash(site: &Site<'_>, client: &Client) -> Result<String, Error> {
    let columns: Vec<&super::subject::Column> =
        site.plan.subject.columns.iter().filter(|c| c.generated != "v").collect();
    let values: Vec<String> = columns.iter().map(|c| format!("t.{}", quote_identifier(&c.name))).collect();
    let text = format!("pg_catalog.hashtextextended(ROW({})::pg_catalog.text, 0)", values.join(", "));
    if site.plan.version_num < 140_000 {
        return Ok(text);
    }
    let nulls: Vec<String> = columns.iter().map(|c| format!("null::{}", c.type_name)).collect();
    let probe = format!(
        "savepoint probe; select /* pgwright:convert_hash */ pg_catalog.hash_record_extended(ROW({}), 0); release \
         savepoint probe",
        nulls.join(", ")
    );
    match client.batch_execute(&probe).await {
        Ok(()) => Ok(format!("pg_catalog.hash_record_extended(ROW({}), 0)", values.join(", "))),
        // A type such as json has no hash function.
        Err(error) if error.as_db_error().is_some() => {
            client.batch_execute("rollback to savepoint probe").await.map_err(|e| site.failed(&e))?;
            Ok(text)
        }
        Err(error) => Err(site.failed(&error)),
    }
}

async fn sums(
    site: &Site<'_>,
    client: &Client,
    capture: &Capture<'_>,
    table: &str,
    hash: &str,
) -> Result<Vec<RangeSum>, Error> {
    let plan = &site.plan;
    let edges = edges(plan);
    let range = if edges.is_empty() || plan.division.kind == KeyKind::UuidV7 {
        "0".to_owned()
    } else {
        format!("pg_catalog.width_bucket(t.{}, ARRAY[{}])", quote_identifier(&plan.column), edges.join(", "))
    };
    let sql = format!(
        "WITH /* pgwright:convert_compare */ {}
         SELECT {range} AS range, pg_catalog.count(*) AS rows, pg_catalog.sum({hash})::pg_catalog.text AS sum
         FROM {table} t WHERE NOT EXISTS (SELECT FROM touched k WHERE {}) GROUP BY 1 ORDER BY 1",
        capture.touched(),
        capture.matches("t", "k")
    );
    let failed = |e: tokio_postgres::Error| site.failed(&e);
    let rows = client.query(&sql, &[]).await.map_err(failed)?;
    let sum = |row: &tokio_postgres::Row| {
        Ok(RangeSum { range: row.try_get("range")?, rows: row.try_get("rows")?, sum: row.try_get("sum")? })
    };
    rows.iter().map(sum).collect::<Result<_, tokio_postgres::Error>>().map_err(failed)
}

/// Statistics of the partitioned table and its partitions, which the first plan after the swap needs.
pub(crate) async fn analyze(site: &Site<'_>, table: &QualifiedName) -> Result<(), Error> {
    let session = open_session(site.target, site.options).await?;
    let sql = format!("ANALYZE /* pgwright:convert_analyze */ {table}");
    session.batch_execute(&sql).await.map_err(|e| site.failed(&e))
}
