//! How do extended statistics get into the twin's `pg_statistic_ext_data`?
//!
//! Source: `src/include/statistics/statistics.h` and `src/backend/statistics/{mvdistinct,dependencies,mcv}.c`.
//! The types that hold them are bytes underneath and cannot be read from text, and the functions that
//! restore them come with a version after 18. Counts of combinations and dependencies are written as the bytes
//! that `statext_ndistinct_serialize` and `statext_dependencies_serialize` make. Lists of most common
//! combinations hold values as each type stores them: so ANALYZE makes the list over a table that holds each
//! combination twice, and the frequencies in it are replaced.

use std::collections::{BTreeMap, HashMap};

use model::QualifiedName;
use model::snapshot::{
    ColumnStatistics, ExtendedStatistics, ExtendedStatisticsData, Snapshot, array_elements,
};
use schema::{explain, pipeline};
use serde_json::Value;
use tokio_postgres::Client;
use tokio_postgres::types::{Oid, ToSql};

use crate::error::Error;
use crate::statistics::{Attribute, Row, Writer};

const SCHEMA: &str = "pgwright_sample";
const NDISTINCT_MAGIC: u32 = 0xA352_BFA4;
const DEPENDENCIES_MAGIC: u32 = 0xB454_9A2C;
/// `STATS_*_TYPE_BASIC`
const BASIC: u32 = 1;

/// A statistics object of the twin.
struct Object {
    oid: Oid,
    table: String,
    /// The columns and expressions, as SQL.
    members: Vec<String>,
    /// The source's column numbers and the twin's.
    numbers: HashMap<i16, i16>,
}

/// Writes what the snapshot knows; gives sentences about what could not be written.
pub(crate) async fn write(
    snapshot: &Snapshot,
    owner: &Client,
    admin: &Client,
    major: u32,
) -> Result<Vec<String>, Error> {
    let (known, empty): (Vec<&ExtendedStatistics>, Vec<&ExtendedStatistics>) =
        snapshot.extended_statistics.iter().partition(|s| !s.data.is_empty());
    let mut notes = Vec::new();
    if !empty.is_empty() {
        let names: Vec<String> = empty.iter().map(|s| s.name.to_string()).collect();
        notes.push(format!(
            "{} extended statistics have no contents in the snapshot, because they were never analyzed or may not be \
             read ({}): the planner twin estimates as if their columns were independent.",
            names.len(),
            names.join(", ")
        ));
    }
    if known.is_empty() {
        return Ok(notes);
    }
    let what = "preparing to write extended statistics";
    admin
        .batch_execute(
            "CREATE CAST (bytea AS pg_catalog.pg_ndistinct) WITHOUT FUNCTION;
             CREATE CAST (bytea AS pg_catalog.pg_dependencies) WITHOUT FUNCTION;
             CREATE CAST (bytea AS pg_catalog.pg_mcv_list) WITHOUT FUNCTION",
        )
        .await
        .map_err(Error::sql(what))?;
    let objects = objects(snapshot, &known, admin).await.map_err(Error::sql(what))?;
    pipeline::one(owner, &format!("CREATE SCHEMA {SCHEMA}")).await.map_err(Error::sql(what))?;
    let mut refused = Vec::new();
    for statistics in known {
        let Some(object) = objects.get(&statistics.name) else { continue };
        let all = match major {
            15.. => statistics.data.as_slice(),
            // One row for each object, before.
            _ => &statistics.data[..1],
        };
        for data in all {
            if let Err(message) = write_one(object, statistics, data, owner, admin, major).await? {
                refused.push(format!("{} ({message})", statistics.name));
            }
        }
    }
    admin.batch_execute(&format!("DROP SCHEMA {SCHEMA} CASCADE")).await.map_err(Error::sql(what))?;
    if !refused.is_empty() {
        notes.push(format!(
            "The planner twin did not take {} extended statistics: {}.",
            refused.len(),
            refused.join(", ")
        ));
    }
    Ok(notes)
}

async fn objects(
    snapshot: &Snapshot,
    known: &[&ExtendedStatistics],
    admin: &Client,
) -> Result<HashMap<QualifiedName, Object>, tokio_postgres::Error> {
    let rows = admin
        .query(
            "SELECT /* pgwright:twin_extended */ s.oid, n.nspname::pg_catalog.text AS schema,
                 s.stxname::pg_catalog.text AS name,
                 k.numbers, k.names
             FROM pg_catalog.pg_statistic_ext AS s
             JOIN pg_catalog.pg_namespace AS n ON n.oid = s.stxnamespace
             CROSS JOIN LATERAL (
                 SELECT coalesce(pg_catalog.array_agg(a.attnum ORDER BY u.n), '{}') AS numbers,
                     coalesce(pg_catalog.array_agg(a.attname::pg_catalog.text ORDER BY u.n), '{}') AS names
                 FROM pg_catalog.unnest(s.stxkeys::pg_catalog.int2[]) WITH ORDINALITY AS u (attnum, n)
                 JOIN pg_catalog.pg_attribute AS a ON a.attrelid = s.stxrelid AND a.attnum = u.attnum
             ) AS k",
            &[],
        )
        .await?;
    let known: HashMap<&QualifiedName, &ExtendedStatistics> = known.iter().map(|s| (&s.name, *s)).collect();
    let mut objects = HashMap::new();
    for row in rows {
        let name = QualifiedName::new(row.try_get::<_, String>("schema")?, row.try_get::<_, String>("name")?);
        let Some(statistics) = known.get(&name) else { continue };
        let Some(relation) = snapshot.relation(&statistics.table) else { continue };
        let names: Vec<String> = row.try_get("names")?;
        let numbers: Vec<i16> = row.try_get("numbers")?;
        let numbers = names
            .iter()
            .zip(numbers)
            .filter_map(|(name, number)| Some((relation.column(name)?.attnum, number)))
            .collect();
        let expressions = statistics.expressions.iter().map(|e| format!("({e})"));
        let members = names.iter().map(|n| model::quote_identifier(n)).chain(expressions).collect();
        let object =
            Object { oid: row.try_get("oid")?, table: statistics.table.to_string(), members, numbers };
        objects.insert(name, object);
    }
    Ok(objects)
}

/// Writes one row. PostgreSQL's message stands for what it did not want.
async fn write_one(
    object: &Object,
    statistics: &ExtendedStatistics,
    data: &ExtendedStatisticsData,
    owner: &Client,
    admin: &Client,
    major: u32,
) -> Result<Result<(), String>, Error> {
    let distinct = data.n_distinct.as_deref().and_then(|text| ndistinct_bytes(text, &object.numbers));
    let dependencies = data.dependencies.as_deref().and_then(|text| dependency_bytes(text, &object.numbers));
    let sampled = match sample(object, statistics, data, owner, admin).await {
        Ok(sampled) => sampled,
        Err(Refused::Message(message)) => return Ok(Err(message)),
        Err(Refused::Fatal(error)) => return Err(error),
    };
    let expressions = "(SELECT pg_catalog.array_agg(e ORDER BY e.staattnum)
         FROM pg_catalog.pg_statistic AS e WHERE e.starelid = $5)";
    let sql = match major {
        15.. => format!(
            "INSERT /* pgwright:twin_extended_data */ INTO pg_catalog.pg_statistic_ext_data
                 (stxoid, stxdinherit, stxdndistinct, stxddependencies, stxdmcv, stxdexpr)
             VALUES ($1, $6, $2::bytea::pg_catalog.pg_ndistinct, $3::bytea::pg_catalog.pg_dependencies,
                 $4::bytea::pg_catalog.pg_mcv_list, {expressions})"
        ),
        _ => format!(
            "UPDATE /* pgwright:twin_extended_data */ pg_catalog.pg_statistic_ext_data
             SET stxdndistinct = $2::bytea::pg_catalog.pg_ndistinct,
                 stxddependencies = $3::bytea::pg_catalog.pg_dependencies,
                 stxdmcv = $4::bytea::pg_catalog.pg_mcv_list{}
             WHERE stxoid = $1",
            if major == 14 { format!(", stxdexpr = {expressions}") } else { String::new() }
        ),
    };
    let (list, table) = (sampled.common_values, sampled.table);
    let mut parameters: Vec<&(dyn ToSql + Sync)> = vec![&object.oid, &distinct, &dependencies, &list];
    if major >= 14 {
        parameters.push(&table);
    }
    if major >= 15 {
        parameters.push(&data.inherited);
    }
    let written = admin.execute(&sql, &parameters).await;
    if let Err(error) = admin
        .execute(
            "DELETE /* pgwright:twin_extended_rows */ FROM pg_catalog.pg_statistic WHERE starelid = $1",
            &[&table],
        )
        .await
    {
        return Err(Error::sql("writing extended statistics")(error));
    }
    Ok(match written {
        Ok(_) => Ok(()),
        Err(error) if error.as_db_error().is_some() => Err(explain(&error).0),
        Err(error) => return Err(Error::sql("writing extended statistics")(error)),
    })
}

/// What was made with the help of a table that holds the most common combinations.
#[derive(Default)]
struct Sampled {
    /// `pg_mcv_list`
    common_values: Option<Vec<u8>>,
    /// The table; rows of `pg_statistic` that seem to be of its columns are those of the expressions.
    table: Oid,
}

enum Refused {
    Message(String),
    Fatal(Error),
}

impl From<tokio_postgres::Error> for Refused {
    fn from(error: tokio_postgres::Error) -> Self {
        match error.as_db_error() {
            Some(_) => Self::Message(explain(&error).0),
            None => Self::Fatal(Error::sql("writing extended statistics")(error)),
        }
    }
}

/// The owner makes the table and fills it: values are read by their types' functions, and expressions
/// are the author's own.
async fn sample(
    object: &Object,
    statistics: &ExtendedStatistics,
    data: &ExtendedStatisticsData,
    owner: &Client,
    admin: &Client,
) -> Result<Sampled, Refused> {
    let combinations = combinations(data, object.members.len());
    if combinations.is_empty() && data.expressions.is_empty() {
        return Ok(Sampled::default());
    }
    let table = format!("{SCHEMA}.t");
    let members: Vec<String> =
        object.members.iter().enumerate().map(|(n, member)| format!("{member} AS c{n}")).collect();
    pipeline::one(owner, &format!("DROP TABLE IF EXISTS {table}")).await?;
    let create = format!(
        "CREATE TABLE {table} AS SELECT {} FROM ONLY {} WITH NO DATA",
        members.join(", "),
        object.table
    );
    pipeline::one(owner, &create).await?;
    // The owner's session has no path, so types need their schemas.
    admin.batch_execute("SET /* pgwright:twin_sample */ search_path = ''").await?;
    let rows = admin
        .query(
            "SELECT /* pgwright:twin_sample */ a.attrelid, a.attnum, a.atttypid, a.attcollation,
                 pg_catalog.format_type(a.atttypid, a.atttypmod) AS type_name
             FROM pg_catalog.pg_attribute AS a
             WHERE a.attrelid = pg_catalog.to_regclass($1) AND a.attnum > 0 ORDER BY a.attnum",
            &[&table],
        )
        .await?;
    admin.batch_execute("RESET /* pgwright:twin_sample */ search_path").await?;
    let mut columns = Vec::new();
    for row in &rows {
        let attribute = Attribute {
            relation: row.try_get("attrelid")?,
            number: row.try_get("attnum")?,
            type_oid: row.try_get("atttypid")?,
            collation: row.try_get("attcollation")?,
        };
        columns.push((attribute, row.try_get::<_, String>("type_name")?));
    }
    let oid = columns.first().map_or(0, |(a, _)| a.relation);
    let mut common_values = None;
    if !combinations.is_empty() {
        let types: Vec<&str> = columns.iter().map(|(_, type_name)| type_name.as_str()).collect();
        common_values = Some(analyzed(&table, &types, &combinations, owner, admin).await?);
    }
    // ANALYZE wrote those of the table itself.
    let delete = "DELETE /* pgwright:twin_sample_rows */ FROM pg_catalog.pg_statistic WHERE starelid = $1";
    admin.execute(delete, &[&oid]).await?;
    let of_columns = columns.len() - statistics.expressions.len().min(columns.len());
    let of_expressions: Vec<(Attribute, &ColumnStatistics)> =
        columns[of_columns..].iter().map(|(attribute, _)| *attribute).zip(&data.expressions).collect();
    if !of_expressions.is_empty() {
        let types: Vec<Oid> = of_expressions.iter().map(|(a, _)| a.type_oid).collect();
        let rows: Vec<Row<'_>> = of_expressions
            .iter()
            .map(|(attribute, statistics)| Row { attribute: *attribute, inherited: false, statistics })
            .collect();
        let writer = Writer::new(admin, &types).await.map_err(Refused::Fatal)?;
        writer.write(&rows).await.map_err(Refused::Fatal)?;
    }
    Ok(Sampled { common_values, table: oid })
}

/// A most common combination, its frequency, and what that would be if the columns were independent.
struct Combination {
    values: Vec<Option<String>>,
    frequency: f64,
    base_frequency: f64,
}

fn combinations(data: &ExtendedStatisticsData, width: usize) -> Vec<Combination> {
    let values = data.most_common_vals.as_deref().map(array_elements).unwrap_or_default();
    let frequencies = data.most_common_freqs.as_deref().unwrap_or_default();
    let base = data.most_common_base_freqs.as_deref().unwrap_or_default();
    values
        .into_iter()
        .zip(frequencies)
        .zip(base)
        .filter_map(|((values, frequency), base_frequency)| {
            let values = array_elements(&values?);
            (values.len() == width).then_some(Combination {
                values,
                frequency: *frequency,
                base_frequency: *base_frequency,
            })
        })
        .collect()
}

/// Lets ANALYZE make the list of these combinations, and puts their frequencies into it.
async fn analyzed(
    table: &str,
    types: &[&str],
    combinations: &[Combination],
    owner: &Client,
    admin: &Client,
) -> Result<Vec<u8>, Refused> {
    let columns: Vec<Vec<Option<&str>>> = (0..types.len())
        .map(|n| combinations.iter().map(|c| c.values.get(n).and_then(Option::as_deref)).collect())
        .collect();
    let selected: Vec<String> = types.iter().enumerate().map(|(n, t)| format!("v.c{n}::{t}")).collect();
    let arrays: Vec<String> =
        (1..=types.len()).map(|n| format!("pg_catalog.unnest(${n}::pg_catalog.text[])")).collect();
    let names: Vec<String> = (0..types.len()).map(|n| format!("c{n}")).collect();
    let insert = format!(
        "INSERT INTO {table} SELECT {} FROM ROWS FROM ({}) AS v ({}) CROSS JOIN pg_catalog.generate_series(1, 2)",
        selected.join(", "),
        arrays.join(", "),
        names.join(", ")
    );
    let parameters: Vec<&(dyn ToSql + Sync)> = columns.iter().map(|c| c as &(dyn ToSql + Sync)).collect();
    owner.execute(&insert, &parameters).await?;
    for sql in [
        format!("CREATE STATISTICS {SCHEMA}.s (mcv) ON {} FROM {table}", names.join(", ")),
        format!("ALTER STATISTICS {SCHEMA}.s SET STATISTICS 10000"),
        format!("ANALYZE {table}"),
    ] {
        pipeline::one(owner, &sql).await?;
    }
    let list = "(SELECT d.stxdmcv FROM pg_catalog.pg_statistic_ext_data AS d
         JOIN pg_catalog.pg_statistic_ext AS s ON s.oid = d.stxoid
         WHERE s.stxrelid = pg_catalog.to_regclass($1) AND d.stxdmcv IS NOT NULL)";
    let mut bytes: Vec<u8> =
        admin.query_one(&format!("SELECT {list}::bytea"), &[&table]).await?.try_get(0)?;
    let items = admin
        .query(&format!("SELECT i.index, i.values FROM pg_catalog.pg_mcv_list_items({list}) AS i"), &[&table])
        .await?;
    let known: BTreeMap<&[Option<String>], &Combination> =
        combinations.iter().map(|c| (c.values.as_slice(), c)).collect();
    // Items stand at the end: whether each value is NULL, two frequencies, and the positions of the values.
    let size = types.len() * 3 + 16;
    let start = bytes.len().checked_sub(items.len() * size);
    for row in &items {
        let index: i32 = row.try_get(0)?;
        let values: Vec<Option<String>> = row.try_get(1)?;
        let found = known.get(values.as_slice());
        let at = usize::try_from(index).ok().zip(start).map(|(n, s)| s + n * size + types.len());
        let (Some(found), Some(target)) = (found, at.and_then(|at| bytes.get_mut(at..at + 16))) else {
            return Err(Refused::Message("its most common values read back differently".into()));
        };
        target[..8].copy_from_slice(&found.frequency.to_ne_bytes());
        target[8..].copy_from_slice(&found.base_frequency.to_ne_bytes());
    }
    Ok(bytes)
}

/// The attribute numbers of `1, 2`; those of expressions are negative and the same everywhere.
fn attributes(text: &str, numbers: &HashMap<i16, i16>) -> Option<Vec<i16>> {
    text.split(',')
        .map(|number| match number.trim().parse::<i16>().ok()? {
            expression if expression < 0 => Some(expression),
            column => numbers.get(&column).copied(),
        })
        .collect()
}

/// `{"1, 2": 500}`: how many combinations there are, by the source's attribute numbers.
pub(crate) fn ndistinct(text: &str, numbers: &HashMap<i16, i16>) -> Option<Vec<(Vec<i16>, f64)>> {
    let Value::Object(items) = serde_json::from_str(text).ok()? else { return None };
    items.iter().map(|(key, value)| Some((attributes(key, numbers)?, value.as_f64()?))).collect()
}

fn ndistinct_bytes(text: &str, numbers: &HashMap<i16, i16>) -> Option<Vec<u8>> {
    let items = ndistinct(text, numbers)?;
    let mut bytes = header(NDISTINCT_MAGIC, items.len());
    for (attributes, distinct) in items {
        bytes.extend(distinct.to_ne_bytes());
        bytes.extend(i32::try_from(attributes.len()).ok()?.to_ne_bytes());
        bytes.extend(attributes.iter().flat_map(|a| a.to_ne_bytes()));
    }
    Some(bytes)
}

/// `{"1 => 2": 0.9}`: the last attribute follows from those before it.
fn dependency_bytes(text: &str, numbers: &HashMap<i16, i16>) -> Option<Vec<u8>> {
    let Value::Object(items) = serde_json::from_str(text).ok()? else { return None };
    let mut bytes = header(DEPENDENCIES_MAGIC, items.len());
    for (key, degree) in &items {
        let attributes = attributes(&key.replace("=>", ","), numbers)?;
        bytes.extend(degree.as_f64()?.to_ne_bytes());
        bytes.extend(i16::try_from(attributes.len()).ok()?.to_ne_bytes());
        bytes.extend(attributes.iter().flat_map(|a| a.to_ne_bytes()));
    }
    Some(bytes)
}

fn header(magic: u32, items: usize) -> Vec<u8> {
    [magic, BASIC, u32::try_from(items).unwrap_or(u32::MAX)].into_iter().flat_map(u32::to_ne_bytes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_columns_are_the_twins() {
        let numbers = HashMap::from([(1, 1), (3, 2), (4, 3)]);
        let items = ndistinct(r#"{"1, 3": 500, "3, 4, -1": 7}"#, &numbers).unwrap();
        assert_eq!(items, [(vec![1, 2], 500.0), (vec![2, 3, -1], 7.0)]);
        assert_eq!(ndistinct(r#"{"1, 9": 500}"#, &numbers), None);
        assert_eq!(ndistinct("not JSON", &numbers), None);
        let bytes = dependency_bytes(r#"{"3 => 4": 0.5}"#, &numbers).unwrap();
        assert_eq!(bytes.len(), 12 + 8 + 2 + 4);
        assert_eq!(bytes[20..], [2_i16, 2, 3].map(i16::to_ne_bytes).concat());
    }
}
