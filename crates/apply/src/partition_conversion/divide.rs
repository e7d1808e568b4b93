//! By what is a table divided, and which partitions does it get by a list or by hashes? The values of a list are those
//! that the column has; what comes later goes to the default partition.
//!
//! Source: PostgreSQL manual, "CREATE TABLE" (`PARTITION BY LIST`, `HASH`: NULL is a value of a list like any other, and
//! hashes leave nothing to a default partition).

use std::collections::BTreeSet;

use model::partition_set::{Division, Interval, ListPart};
use model::{KeyKind, QualifiedName, quote_identifier};
use partitioning::{Grid, list_names};
use tokio_postgres::Client;

use super::decide::{Chosen, MOST_PARTITIONS, kind_of, misfit, named};
use super::failure;
use super::options::{ConversionRequest, DividedBy};
use super::plan::{ConversionPlan, Method, NewPartition};
use super::subject::{Column, Subject};
use crate::error::Error;

/// A list of more values is no list of kinds: each would be a partition that every plan may have to look at.
const MOST_VALUES: usize = 200;

/// What a request comes to for a table.
pub(super) async fn divided(
    client: &Client,
    request: &ConversionRequest,
    subject: &Subject,
    column: &Column,
) -> Result<Division, Error> {
    let (table, name) = (&subject.table, quote_identifier(&column.name));
    let (kind, interval) = match &request.by {
        DividedBy::Range(interval) => {
            let Some(kind) = kind_of(column.type_oid) else {
                return Err(failure::new(
                    format!("column {name} cannot divide {table} by ranges"),
                    format!("Its type is {}.", column.type_name),
                    "Choose a column of type timestamptz, timestamp, date, smallint, integer, bigint or uuid (version 7), or \
                     divide by list(…) or hash(…, n).",
                ));
            };
            (kind, interval.clone())
        }
        DividedBy::List | DividedBy::Hash(_) if !column.equality_is_builtin => {
            return Err(failure::new(
                format!("column {name} cannot divide {table} by its values"),
                format!(
                    "Its type is {}, whose equality is no operator of PostgreSQL itself.",
                    column.type_name
                ),
                "Choose a column of a built-in type.",
            ));
        }
        DividedBy::List => (KeyKind::List, Interval::Values(values(client, subject, column).await?)),
        DividedBy::Hash(parts) => {
            let most = u32::try_from(MOST_PARTITIONS).unwrap_or(u32::MAX);
            if !(2..=most).contains(parts) {
                return Err(failure::new(
                    format!("table {table} cannot be divided into {parts} partitions by hash"),
                    "",
                    format!("Choose a number from 2 to {most}."),
                ));
            }
            if !is_hashed(client, column).await? {
                return Err(failure::new(
                    format!("column {name} cannot divide {table} by hash"),
                    format!("Its type is {}, which PostgreSQL has no hash of.", column.type_name),
                    "",
                ));
            }
            (KeyKind::Hash, Interval::Remainders(*parts))
        }
    };
    Ok(Division { key: column.name.clone(), kind, interval })
}

/// The values of a column, each as a partition.
async fn values(client: &Client, subject: &Subject, column: &Column) -> Result<Vec<ListPart>, Error> {
    let table = &subject.table;
    let name = quote_identifier(&column.name);
    let sql = format!(
        "select /* pgwright:conversion_values */ v::pg_catalog.text as value \
         from (select distinct t.{name} as v from only {table} t) d order by v nulls last limit {}",
        MOST_VALUES + 1
    );
    let doing = || Error::query("read the values of the partition column");
    let rows = client.query(&sql, &[]).await.map_err(doing())?;
    let values: Vec<Option<String>> =
        rows.iter().map(|r| r.try_get("value")).collect::<Result<_, _>>().map_err(doing())?;
    if values.len() > MOST_VALUES {
        return Err(failure::new(
            format!("column {name} of {table} has too many values for a list"),
            format!("There are more than {MOST_VALUES}."),
            format!("Divide by hash({name}, 16), or by another column."),
        ));
    }
    if values.iter().all(Option::is_none) {
        return Err(failure::new(
            format!("column {name} of {table} has no values that could become partitions"),
            "A list is made of the values that are there.",
            "Load the rows first, or divide by hash(…, n) or by ranges.",
        ));
    }
    let names = list_names(&values);
    Ok(names.into_iter().zip(values).map(|(name, value)| ListPart { name, values: vec![value] }).collect())
}

/// Whether PostgreSQL can hash the values of a column.
async fn is_hashed(client: &Client, column: &Column) -> Result<bool, Error> {
    let doing = || Error::query("look whether the partition column can be hashed");
    let row = client
        .query_one(include_str!("../../queries/conversion_hashed.sql"), &[&column.type_oid])
        .await
        .map_err(doing())?;
    row.try_get("hashed").map_err(doing())
}

/// The partitions of a list or of hashes.
pub(super) fn layout(
    request: &ConversionRequest,
    subject: &Subject,
    grid: &Grid,
    notices: &mut Vec<String>,
) -> Result<(Chosen, Vec<NewPartition>), Error> {
    let table = &subject.table;
    if request.method == Some(Method::Attach) {
        return Err(failure::new(
            format!("table {table} cannot become one partition of a list or of hashes"),
            "Its rows belong to several of them.",
            "Leave --method out.",
        ));
    }
    if request.from.is_some() {
        return Err(failure::new(
            format!("table {table} has no first partition by a list or by hashes"),
            "",
            "Leave --from out.",
        ));
    }
    let misfits = |e: partitioning::Error| misfit(table, &e);
    let parts = grid.covering(0, 0, MOST_PARTITIONS).map_err(misfits)?;
    let key = quote_identifier(&request.column);
    let is_list = grid.division().kind == KeyKind::List;
    let why = if is_list {
        notices
            .push(format!("Rows whose {key} has a value that is not there yet go to the default partition."));
        format!("The rows have {} values of {key}, each of which gets a partition.", parts.len())
    } else {
        format!("The rows are spread over {} partitions by the hash of {key}.", parts.len())
    };
    notices.push(format!(
        "An UPDATE that changes {key} moves the row to another partition; who waited meanwhile for that row gets an error \
         (SQLSTATE 40001) and has to try again."
    ));
    let partitions = named(table, grid, &parts, is_list).map_err(misfits)?;
    Ok((Chosen { method: Method::Rewrite, why }, partitions))
}

/// Calls the partitions of a list by numbers when their values make two of its relations bear one name: the index
/// `t_b_idx` on the partition `t_a` and `t_idx` on `t_a_b`.
pub(super) fn without_clashes(
    plan: &mut ConversionPlan,
    wanted: &dyn Fn(&ConversionPlan) -> Vec<QualifiedName>,
    time_zone: &str,
) -> Result<(), Error> {
    let all = wanted(plan);
    let distinct: BTreeSet<&QualifiedName> = all.iter().collect();
    if distinct.len() == all.len() {
        return Ok(());
    }
    let Interval::Values(parts) = &mut plan.division.interval else { return Ok(()) };
    for (number, part) in (1..).zip(parts.iter_mut()) {
        part.name = number.to_string();
    }
    let misfits = |e: partitioning::Error| misfit(&plan.table, &e);
    let grid = Grid::new(&plan.division, time_zone, None).map_err(misfits)?;
    let parts = grid.covering(0, 0, MOST_PARTITIONS).map_err(misfits)?;
    plan.partitions = named(&plan.table, &grid, &parts, true).map_err(misfits)?;
    Ok(())
}
