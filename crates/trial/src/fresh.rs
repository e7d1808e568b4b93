//! What would ANALYZE find if it ran now? A sample of the table is analyzed, and its statistics are read out as a snapshot
//! holds them.
//!
//! Frequencies, histograms and widths of the sample are those of the table. Numbers of different values are not: they are
//! reckoned as `compute_scalar_stats()` in analyze.c does it, by the estimator Duj1 of Haas and Stokes (1998): values that
//! were met once stand for others.

use model::estimate::SampleFacts;
use model::quote_identifier;
use model::snapshot::ColumnStatistics;
use schema::pipeline;

use crate::collected::{OF_COLUMN, of_column};
use crate::error::Error;
use crate::server::{Loaded, Source, Trial, message};

impl Trial {
    /// Statistics of the columns of a sample, by name; the message is PostgreSQL's when it does not take the sample.
    ///
    /// # Errors
    /// When the local server fails.
    pub async fn analyze(
        &mut self,
        source: &Source<'_>,
    ) -> Result<Result<Vec<(String, ColumnStatistics)>, String>, Error> {
        let loaded = match self.load(source).await? {
            Ok(loaded) => loaded,
            Err(refused) => return Ok(Err(refused)),
        };
        let read = self.statistics_of(&loaded, source.columns).await;
        self.unload(&loaded).await?;
        match read {
            Ok(found) => Ok(Ok(found)),
            Err(error) => message(error, "analyzing a sample").map(Err),
        }
    }

    async fn statistics_of(
        &self,
        loaded: &Loaded,
        columns: &[String],
    ) -> Result<Vec<(String, ColumnStatistics)>, tokio_postgres::Error> {
        let table = &loaded.table;
        pipeline::one(&self.client, &format!("ANALYZE {table}")).await?;
        let sql = format!(
            "SELECT /* pgwright:trial */ {OF_COLUMN} FROM pg_catalog.pg_stats AS s
             WHERE s.schemaname = $1 AND s.tablename = $2 AND s.attname = $3"
        );
        let mut found = Vec::new();
        for name in columns {
            let Some(row) = self.client.query_opt(&sql, &[&table.schema, &table.name, name]).await? else {
                continue;
            };
            let mut statistics = of_column(&row)?;
            if !loaded.facts.is_whole {
                let column = quote_identifier(name);
                let sql = format!(
                    "SELECT /* pgwright:trial */ pg_catalog.count(*), pg_catalog.count(*) FILTER (WHERE n = 1),
                         pg_catalog.sum(n)::pg_catalog.int8
                     FROM (SELECT pg_catalog.count(*) AS n FROM {table} WHERE {column} IS NOT NULL GROUP BY {column}) AS s"
                );
                // A type without equality has no number of values.
                if let Ok(row) = self.client.query_one(&sql, &[]).await {
                    let (distinct, once): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
                    let rows: Option<i64> = row.try_get(2)?;
                    let share = 1.0 - f64::from(statistics.null_frac);
                    statistics.n_distinct = distinct_of_table(
                        distinct as f64,
                        once as f64,
                        rows.unwrap_or(0) as f64,
                        share,
                        &loaded.facts,
                    );
                }
            }
            found.push((name.clone(), statistics));
        }
        Ok(found)
    }
}

/// `n_distinct` as ANALYZE stores it.
fn distinct_of_table(distinct: f64, once: f64, rows: f64, share: f64, facts: &SampleFacts) -> f32 {
    if rows <= 0.0 || distinct <= 0.0 {
        return 0.0;
    }
    let all = (facts.of_rows * share).max(rows);
    // All values were met once: as many as there are rows.
    if once >= distinct {
        return -share as f32;
    }
    let found = rows * distinct / ((rows - once) + once * rows / all);
    let found = found.clamp(distinct, all);
    if found > 0.1 * facts.of_rows { -(found / facts.of_rows) as f32 } else { found.round() as f32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_values_stay_few_and_keys_stay_keys() {
        let facts = SampleFacts { rows: 1_000.0, of_rows: 100_000.0, bytes: 0, is_whole: false };
        let of = |distinct, once| distinct_of_table(distinct, once, 1_000.0, 1.0, &facts);
        assert!((of(1_000.0, 1_000.0) + 1.0).abs() < 1e-6);
        assert!((of(50.0, 0.0) - 50.0).abs() < 1e-6);
        // Some were met once, so there are more than were seen, and not as many as rows.
        assert!((700.0..1_500.0).contains(&of(600.0, 350.0)), "{}", of(600.0, 350.0));
        assert!((distinct_of_table(0.0, 0.0, 0.0, 0.0, &facts)).abs() < 1e-6);
    }
}
