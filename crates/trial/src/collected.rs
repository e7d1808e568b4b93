//! What did ANALYZE of a sample collect? Read out as a snapshot holds it, so that whole statements can be planned with
//! it on a planner twin, which has the table's real size.
//!
//! Source: PostgreSQL manual, `pg_stats`, `pg_stats_ext` and `pg_stats_ext_exprs`. Frequencies and degrees of
//! dependency are shares, so they hold for the table as for its sample. Numbers of combinations do not: those that grow
//! with the rows are scaled as `analyze.c` decides it of a single column, from a tenth of the rows on.

use model::estimate::{Attempt, Collected};
use model::snapshot::{ColumnStatistics, ExtendedStatisticsData};
use serde_json::{Map, Value as Json};
use tokio_postgres::{Client, Row};

use crate::measure::name_of_tried;
use crate::server::Loaded;

/// Reads what is there of an attempt in the transaction in which it was made; `None` when it cannot be carried.
pub(crate) async fn read(
    client: &Client,
    major: u32,
    loaded: &Loaded,
    attempt: &Attempt,
) -> Result<Option<Collected>, tokio_postgres::Error> {
    match attempt {
        Attempt::Extended { .. } => {
            Ok(extended(client, major, loaded).await?.map(Box::new).map(Collected::Extended))
        }
        Attempt::Target { column, .. } => {
            let sql = format!(
                "SELECT /* pgwright:trial */ {OF_COLUMN} FROM pg_catalog.pg_stats AS s
                 WHERE s.schemaname = $1 AND s.tablename = $2 AND s.attname = $3"
            );
            let (schema, table) = (&loaded.table.schema, &loaded.table.name);
            let row = client.query_opt(&sql, &[schema, table, column]).await?;
            Ok(row.map(|r| of_column(&r)).transpose()?.map(Box::new).map(Collected::Column))
        }
        // The number itself is all of it.
        Attempt::Distinct { .. } => Ok(None),
    }
}

/// The columns that `pg_stats` and `pg_stats_ext_exprs` have alike.
pub(crate) const OF_COLUMN: &str = "s.null_frac, s.avg_width, s.n_distinct,
    s.most_common_vals::pg_catalog.text AS most_common_vals, s.most_common_freqs,
    s.histogram_bounds::pg_catalog.text AS histogram_bounds, s.correlation,
    s.most_common_elems::pg_catalog.text AS most_common_elems, s.most_common_elem_freqs, s.elem_count_histogram";

pub(crate) fn of_column(row: &Row) -> Result<ColumnStatistics, tokio_postgres::Error> {
    Ok(ColumnStatistics {
        null_frac: row.try_get::<_, Option<f32>>("null_frac")?.unwrap_or(0.0),
        avg_width: row.try_get::<_, Option<i32>>("avg_width")?.unwrap_or(0),
        n_distinct: row.try_get::<_, Option<f32>>("n_distinct")?.unwrap_or(0.0),
        most_common_vals: row.try_get("most_common_vals")?,
        most_common_freqs: row.try_get("most_common_freqs")?,
        histogram_bounds: row.try_get("histogram_bounds")?,
        correlation: row.try_get("correlation")?,
        most_common_elems: row.try_get("most_common_elems")?,
        most_common_elem_freqs: row.try_get("most_common_elem_freqs")?,
        elem_count_histogram: row.try_get("elem_count_histogram")?,
        ranges: None,
    })
}

async fn extended(
    client: &Client,
    major: u32,
    loaded: &Loaded,
) -> Result<Option<ExtendedStatisticsData>, tokio_postgres::Error> {
    // Lists of combinations hold their values in the order of the columns.
    if !loaded.numbers.is_sorted() {
        return Ok(None);
    }
    let name = name_of_tried(&loaded.table);
    let sql = "SELECT /* pgwright:trial */ s.n_distinct::pg_catalog.text AS n_distinct,
            s.dependencies::pg_catalog.text AS dependencies,
            s.most_common_vals::pg_catalog.text AS most_common_vals, s.most_common_freqs, s.most_common_base_freqs
        FROM pg_catalog.pg_stats_ext AS s
        WHERE s.statistics_schemaname = $1 AND s.statistics_name = $2";
    let row = client.query_opt(sql, &[&name.schema, &name.name]).await?;
    // Those of a single expression have no row of their own.
    let mut data =
        ExtendedStatisticsData { inherited: loaded.inherited, ..ExtendedStatisticsData::default() };
    if let Some(row) = &row {
        let n_distinct: Option<String> = row.try_get("n_distinct")?;
        let dependencies: Option<String> = row.try_get("dependencies")?;
        data.n_distinct = n_distinct.and_then(|text| numbered(&text, loaded, true));
        data.dependencies = dependencies.and_then(|text| numbered(&text, loaded, false));
        data.most_common_vals = row.try_get("most_common_vals")?;
        data.most_common_freqs = row.try_get("most_common_freqs")?;
        data.most_common_base_freqs = row.try_get("most_common_base_freqs")?;
    }
    if major >= 14 {
        // In the order of the expressions, which is that of their numbers.
        let sql = format!(
            "SELECT /* pgwright:trial */ {OF_COLUMN} FROM pg_catalog.pg_statistic_ext AS e
             CROSS JOIN LATERAL pg_catalog.unnest(pg_catalog.pg_get_statisticsobjdef_expressions(e.oid))
                 WITH ORDINALITY AS u (expression, number)
             JOIN pg_catalog.pg_stats_ext_exprs AS s ON s.expr = u.expression
                 AND s.statistics_schemaname = $1 AND s.statistics_name = $2
             JOIN pg_catalog.pg_namespace AS n ON n.oid = e.stxnamespace
             WHERE e.stxname = $2 AND n.nspname = $1
             ORDER BY u.number"
        );
        let rows = client.query(&sql, &[&name.schema, &name.name]).await?;
        data.expressions = rows.iter().map(of_column).collect::<Result<_, _>>()?;
    }
    let found = row.is_some() || !data.expressions.is_empty();
    Ok(found.then_some(data))
}

/// `{"1, 2": 500}` or `{"1 => 2": 0.9}` by the numbers of the table; those of expressions are the same everywhere.
fn numbered(text: &str, loaded: &Loaded, are_counts: bool) -> Option<String> {
    let Json::Object(items) = serde_json::from_str(text).ok()? else { return None };
    let mut found = Map::new();
    for (key, value) in items {
        let separator = if key.contains("=>") { " => " } else { ", " };
        let sides: Vec<&str> = key.split("=>").collect();
        let side = |text: &str| -> Option<String> {
            let numbers: Option<Vec<String>> = text.split(',').map(|n| number(n.trim(), loaded)).collect();
            Some(numbers?.join(", "))
        };
        let key = match sides.as_slice() {
            [from, to] => format!("{}{separator}{}", side(from)?, side(to)?),
            _ => side(&key)?,
        };
        let value = match (are_counts, value.as_f64()) {
            (true, Some(count)) => Json::from(of_all(count, loaded)),
            _ => value,
        };
        found.insert(key, value);
    }
    Some(Json::Object(found).to_string())
}

fn number(text: &str, loaded: &Loaded) -> Option<String> {
    let number: i16 = text.parse().ok()?;
    match usize::try_from(number) {
        Ok(position) => loaded.numbers.get(position.checked_sub(1)?).map(ToString::to_string),
        Err(_) => Some(number.to_string()),
    }
}

/// How many combinations the whole table has.
fn of_all(count: f64, loaded: &Loaded) -> u64 {
    let facts = &loaded.facts;
    let grows = !facts.is_whole && facts.rows > 0.0 && count > 0.1 * facts.rows;
    let all = if grows { count * (facts.of_rows / facts.rows).max(1.0) } else { count };
    all.round().max(1.0) as u64
}

#[cfg(test)]
mod tests {
    use model::QualifiedName;
    use model::estimate::SampleFacts;

    use super::*;

    #[test]
    fn numbers_are_those_of_the_table() {
        let facts = SampleFacts { rows: 100.0, of_rows: 1_000.0, bytes: 0, is_whole: false };
        let table = QualifiedName::new("s", "t");
        let loaded = Loaded { table, facts, numbers: vec![3, 7], inherited: false, existing: Vec::new() };
        assert_eq!(numbered(r#"{"1, 2": 5}"#, &loaded, true).unwrap(), r#"{"3, 7":5}"#);
        assert_eq!(numbered(r#"{"1, 2, -1": 50}"#, &loaded, true).unwrap(), r#"{"3, 7, -1":500}"#);
        assert_eq!(numbered(r#"{"1, 2 => -1": 0.5}"#, &loaded, false).unwrap(), r#"{"3, 7 => -1":0.5}"#);
        assert_eq!(numbered(r#"{"1, 9": 5}"#, &loaded, true), None);
        assert_eq!(numbered("no JSON", &loaded, true), None);
    }
}
