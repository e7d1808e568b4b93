//! How far off are estimates without a remedy and with it? On a sample both are known: the planner's estimate and
//! the count.

use std::time::Instant;

use model::estimate::{
    Attempt, Collected, ColumnSet, Errors, Measured, NotMeasured, Probe, SampleFacts, Tried,
};
use model::{QualifiedName, StatisticsDefinition, quote_identifier};
use schema::pipeline;
use serde_json::Value as Json;

use crate::collected;
use crate::conditions::{Asked, Values};
use crate::error::Error;
use crate::server::{Loaded, Source, Trial, message};

/// With fewer rows nothing can be said.
const MIN_ROWS: f64 = 100.0;
/// Below so many rows of a partial sample a count is chance.
const NOISE_ROWS: f64 = 5.0;
/// An attempt that comes so near needs no larger one.
const GOOD_TYPICAL: f64 = 1.3;
const GOOD_WORST: f64 = 3.0;

/// Estimates and what making them took.
struct Estimates {
    errors: Errors,
    analyze_ms: f64,
    planning_ms: f64,
    n_distinct: Option<f64>,
    expressions: Vec<String>,
    collected: Option<Collected>,
}

/// What is asked of a set.
#[derive(Default)]
struct Questions {
    /// Conditions with the rows or groups that there really are.
    counted: Vec<(String, f64)>,
    occurring: Vec<Values>,
}

impl Trial {
    /// Tries attempts on sets of columns of one table, each in a transaction that is rolled back, and drops the
    /// sample at the end.
    ///
    /// # Errors
    /// When the local server fails; what PostgreSQL refuses is told beside the set.
    pub async fn measure(
        &mut self,
        source: &Source<'_>,
        sets: &[(ColumnSet, Vec<Attempt>)],
    ) -> Result<(Vec<Measured>, Vec<NotMeasured>), Error> {
        let (mut measured, mut not_measured) = (Vec::new(), Vec::new());
        let mut give_up = |set: &ColumnSet, reason: String| {
            not_measured.push(NotMeasured { set: set.clone(), reason });
        };
        if source.facts.rows < MIN_ROWS {
            for (set, _) in sets {
                give_up(set, format!("{:.0} rows are too few to tell", source.facts.rows));
            }
            return Ok((measured, not_measured));
        }
        match self.load(source).await? {
            Err(refused) => {
                for (set, _) in sets {
                    give_up(set, format!("a local server did not take the sample: {refused}"));
                }
            }
            Ok(loaded) => {
                for (set, attempts) in sets {
                    match self.measure_set(&loaded, set, attempts).await? {
                        Ok(done) => measured.push(done),
                        Err(reason) => give_up(set, reason),
                    }
                }
                self.unload(&loaded).await?;
            }
        }
        Ok((measured, not_measured))
    }

    async fn measure_set(
        &mut self,
        loaded: &Loaded,
        set: &ColumnSet,
        attempts: &[Attempt],
    ) -> Result<Result<Measured, String>, Error> {
        self.reopen().await?;
        let Questions { counted, occurring } = match self.count(loaded, set).await {
            Ok(questions) => questions,
            Err(error) => return message(error, "counting rows of a sample").map(Err),
        };
        if counted.is_empty() {
            return Ok(Err("no row of the sample has values in all of these columns".into()));
        }
        let before = match self.estimate(loaded, set, None, &counted).await {
            Ok(before) => before,
            Err(error) => return message(error, "estimating on a sample").map(Err),
        };
        let mut tried: Vec<Tried> = Vec::new();
        for attempt in attempts {
            if tried.iter().any(|t| is_larger(attempt, &t.attempt) && is_good(t)) {
                continue;
            }
            self.reopen().await?;
            let estimated = self.estimate(loaded, set, Some(attempt), &counted).await;
            tried.push(match estimated {
                Ok(estimated) => Tried {
                    attempt: attempt.clone(),
                    errors: Some(estimated.errors),
                    refused: None,
                    n_distinct: estimated.n_distinct,
                    expressions: estimated.expressions,
                    analyze_ms: estimated.analyze_ms,
                    planning_ms: estimated.planning_ms,
                    collected: estimated.collected,
                },
                Err(error) => Tried {
                    attempt: attempt.clone(),
                    errors: None,
                    refused: Some(message(error, "trying statistics on a sample")?),
                    n_distinct: None,
                    expressions: Vec::new(),
                    analyze_ms: 0.0,
                    planning_ms: 0.0,
                    collected: None,
                },
            });
        }
        Ok(Ok(Measured {
            set: set.clone(),
            sample: loaded.facts,
            before: before.errors,
            analyze_ms: before.analyze_ms,
            planning_ms: before.planning_ms,
            tried,
            occurring,
        }))
    }

    /// What is asked, and how many rows or groups there really are.
    async fn count(&self, loaded: &Loaded, set: &ColumnSet) -> Result<Questions, tokio_postgres::Error> {
        let table = &loaded.table;
        if set.is_grouped() {
            let keys = keys(set);
            let sql = format!(
                "SELECT /* pgwright:trial */ pg_catalog.count(*) FROM (SELECT DISTINCT {keys} FROM {table}) AS s"
            );
            let groups: i64 = self.client.query_one(&sql, &[]).await?.try_get(0)?;
            let counted = vec![(format!("GROUP BY {keys}"), groups as f64)];
            return Ok(Questions { counted, ..Questions::default() });
        }
        let asked = Asked::read(&self.client, table, set).await?;
        let conditions = asked.conditions();
        if conditions.is_empty() {
            return Ok(Questions::default());
        }
        let counts: Vec<String> =
            conditions.iter().map(|c| format!("pg_catalog.count(*) FILTER (WHERE {c})")).collect();
        let sql = format!("SELECT /* pgwright:trial */ {} FROM {table}", counts.join(", "));
        let row = self.client.query_one(&sql, &[]).await?;
        let counts =
            (0..conditions.len()).map(|n| row.try_get::<_, i64>(n)).collect::<Result<Vec<_>, _>>()?;
        let counted = conditions.into_iter().zip(counts).map(|(c, n)| (c, n as f64)).collect();
        Ok(Questions { counted, occurring: asked.occurring() })
    }

    /// In a transaction that is rolled back: makes what is tried, analyzes and asks for estimates.
    async fn estimate(
        &self,
        loaded: &Loaded,
        set: &ColumnSet,
        attempt: Option<&Attempt>,
        counted: &[(String, f64)],
    ) -> Result<Estimates, tokio_postgres::Error> {
        pipeline::one(&self.client, "BEGIN").await?;
        let estimated = self.estimate_within(loaded, set, attempt, counted).await;
        let end = pipeline::one(&self.client, "ROLLBACK").await;
        let estimated = estimated?;
        end?;
        Ok(estimated)
    }

    async fn estimate_within(
        &self,
        loaded: &Loaded,
        set: &ColumnSet,
        attempt: Option<&Attempt>,
        counted: &[(String, f64)],
    ) -> Result<Estimates, tokio_postgres::Error> {
        let table = &loaded.table;
        let mut n_distinct = None;
        if let Some(attempt) = attempt {
            n_distinct = self.make(loaded, attempt).await?;
        }
        // What has been seen before is forgotten, and the same rows are drawn whatever was drawn before. Columns that
        // nothing asks about are left out: sorting their values takes most of the time.
        let analyzed = loaded.columns_to_analyze(set);
        let began = Instant::now();
        pipeline::one(&self.client, &format!("ANALYZE {table} ({})", analyzed.join(", "))).await?;
        let analyze_ms = began.elapsed().as_secs_f64() * 1000.0;
        let (mut probes, mut planning_ms) = (Vec::new(), 0.0);
        for (condition, rows) in counted {
            let sql = match set.is_grouped() {
                true => format!("EXPLAIN (FORMAT JSON, SUMMARY) SELECT FROM {table} {condition}"),
                false => format!("EXPLAIN (FORMAT JSON, SUMMARY) SELECT FROM {table} WHERE {condition}"),
            };
            let answer = self.client.query_typed(&sql, &[]).await?;
            let plan: Option<Json> = answer.first().map(|row| row.try_get(0)).transpose()?;
            let number = |pointer: &str| plan.as_ref().and_then(|p| p.pointer(pointer)?.as_f64());
            planning_ms += number("/0/Planning Time").unwrap_or(0.0);
            probes.push(Probe {
                condition: condition.clone(),
                rows: *rows,
                estimate: number("/0/Plan/Plan Rows").unwrap_or(0.0),
            });
        }
        let expressions = self.expressions_made(attempt).await?;
        let collected = match attempt {
            Some(attempt) => collected::read(&self.client, self.major(), loaded, attempt).await?,
            None => None,
        };
        let floor = if loaded.facts.is_whole { 1.0 } else { NOISE_ROWS };
        let planning_ms = planning_ms / counted.len().max(1) as f64;
        let errors = Errors::of(probes, floor);
        Ok(Estimates { errors, analyze_ms, planning_ms, n_distinct, expressions, collected })
    }

    /// Makes what is tried; gives `n_distinct` for the whole table where that is tried.
    async fn make(&self, loaded: &Loaded, attempt: &Attempt) -> Result<Option<f64>, tokio_postgres::Error> {
        let table = &loaded.table;
        match attempt {
            Attempt::Extended { kinds, columns, expressions, target } => {
                let definition = StatisticsDefinition {
                    table: table.clone(),
                    name: name_of_tried(table),
                    kinds: kinds.clone(),
                    columns: columns.clone(),
                    expressions: expressions.clone(),
                };
                pipeline::one(&self.client, &definition.create_sql()).await?;
                if let Some(target) = target {
                    let sql = format!("ALTER STATISTICS {} SET STATISTICS {target}", definition.name);
                    pipeline::one(&self.client, &sql).await?;
                }
                Ok(None)
            }
            Attempt::Target { column, target } => {
                let column = quote_identifier(column);
                let sql = format!("ALTER TABLE {table} ALTER COLUMN {column} SET STATISTICS {target}");
                pipeline::one(&self.client, &sql).await?;
                Ok(None)
            }
            Attempt::Distinct { column } => {
                let column = quote_identifier(column);
                let sql = format!(
                    "SELECT /* pgwright:trial */ pg_catalog.count(*), pg_catalog.count(*) FILTER (WHERE n = 1) \
                     FROM (SELECT pg_catalog.count(*) AS n FROM {table} WHERE {column} IS NOT NULL \
                     GROUP BY {column}) AS s"
                );
                let row = self.client.query_one(&sql, &[]).await?;
                let (distinct, once): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
                let sample = stored_distinct(distinct as f64, loaded.facts.rows);
                let sql = format!("ALTER TABLE {table} ALTER COLUMN {column} SET (n_distinct = {sample})");
                pipeline::one(&self.client, &sql).await?;
                let all = distinct_of_all(distinct as f64, once as f64, &loaded.facts);
                Ok(Some(stored_distinct(all, loaded.facts.of_rows)))
            }
        }
    }

    /// The expressions of what is tried, in PostgreSQL's own words and with schemas.
    async fn expressions_made(
        &self,
        attempt: Option<&Attempt>,
    ) -> Result<Vec<String>, tokio_postgres::Error> {
        let Some(Attempt::Extended { expressions, .. }) = attempt else { return Ok(Vec::new()) };
        if expressions.is_empty() || self.major() < 14 {
            return Ok(Vec::new());
        }
        pipeline::one(&self.client, "SET LOCAL search_path = ''").await?;
        let sql = "SELECT /* pgwright:trial */ pg_catalog.pg_get_statisticsobjdef_expressions(s.oid)
             FROM pg_catalog.pg_statistic_ext AS s WHERE s.stxname = 'tried'";
        let row = self.client.query_opt(sql, &[]).await?;
        let found: Option<Vec<String>> = row.map(|r| r.try_get(0)).transpose()?.flatten();
        Ok(found.unwrap_or_default())
    }
}

pub(crate) fn name_of_tried(table: &QualifiedName) -> QualifiedName {
    QualifiedName::new(table.schema.clone(), "tried")
}

fn keys(set: &ColumnSet) -> String {
    let keys: Vec<String> = set
        .members
        .iter()
        .map(|m| if m.column.is_some() { m.sql.clone() } else { format!("({})", m.sql) })
        .collect();
    keys.join(", ")
}

/// How many different values the whole table has: as many as counted when the sample is all of it, else the
/// Guaranteed-Error Estimator of Charikar, Chaudhuri, Motwani and Narasayya, "Towards Estimation Error Guarantees for
/// Distinct Values" (PODS 2000): values that were met once stand for others that were not met.
fn distinct_of_all(distinct: f64, once: f64, facts: &SampleFacts) -> f64 {
    if facts.is_whole || facts.rows <= 0.0 {
        return distinct;
    }
    let scale = (facts.of_rows / facts.rows).max(1.0).sqrt();
    (scale * once + (distinct - once)).min(facts.of_rows)
}

/// As PostgreSQL stores it: a share of the rows when it will grow with them (`analyze.c`: from a tenth on).
fn stored_distinct(distinct: f64, rows: f64) -> f64 {
    if rows > 0.0 && distinct > 0.1 * rows { -(distinct / rows).min(1.0) } else { distinct.max(1.0).round() }
}

/// Whether an attempt is another with more room.
fn is_larger(attempt: &Attempt, than: &Attempt) -> bool {
    let room = |target: &Option<i32>| target.unwrap_or(0);
    match (attempt, than) {
        (
            Attempt::Extended { kinds, target, .. },
            Attempt::Extended { kinds: other, target: of_other, .. },
        ) => kinds == other && room(target) > room(of_other),
        (Attempt::Target { target, .. }, Attempt::Target { target: of_other, .. }) => target > of_other,
        _ => false,
    }
}

fn is_good(tried: &Tried) -> bool {
    tried.errors.as_ref().is_some_and(|e| e.typical <= GOOD_TYPICAL && e.worst <= GOOD_WORST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_were_met_once_stand_for_others() {
        let part = SampleFacts { rows: 100.0, of_rows: 10_000.0, bytes: 0, is_whole: false };
        assert!((distinct_of_all(60.0, 50.0, &part) - 510.0).abs() < 1e-9);
        let whole = SampleFacts { is_whole: true, ..part };
        assert!((distinct_of_all(60.0, 50.0, &whole) - 60.0).abs() < 1e-9);
        assert!((stored_distinct(50.0, 100.0) + 0.5).abs() < 1e-9);
        assert!((stored_distinct(5.0, 100.0) - 5.0).abs() < 1e-9);
    }
}
