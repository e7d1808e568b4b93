//! What would ANALYZE find out about the expressions of a candidate?
//!
//! Whoever creates an index on `lower(email)` and analyzes the table has statistics of `lower(email)` from then on,
//! and the planner, which took every such condition for half a percent of the rows, takes it for one row. The twin
//! has no rows to analyze, so the expressions are computed for the values in the statistics of their column.
//!
//! Source: `examine_variable()` in `src/backend/utils/adt/selfuncs.c` (which indexes lend their statistics),
//! `compute_scalar_stats()` and `examine_attribute()` in `src/backend/commands/analyze.c`.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use model::snapshot::{ColumnStatistics, Relation};
use tokio_postgres::Client;
use tokio_postgres::types::Oid;

use crate::candidates::array_element;
use crate::error::Error;
use crate::size::{self, Evaluated, Seen, Shape};
use crate::statistics::{Attribute, Row, Writer};
use crate::the_twin::Table;

/// How many common values ANALYZE keeps (`default_statistics_target`).
const MAX_COMMON: usize = 100;
/// So many of the hundred bounds of a histogram tell how frequent a result is. Fewer may be chance: of a clock's hours
/// one is met six times and another once.
const SETTLED: f64 = 10.0;
/// So many times the mean is a value that ANALYZE calls common (`analyze_mcv_list()` before 11; since then it is not
/// far from that).
const FREQUENT: f64 = 1.25;
/// From this share of the rows on a number of distinct values is kept as a share, because it grows with the table.
const GROWS: f64 = 0.1;

/// The statistics of one expression: its place in the index, its type and its collation before them.
pub(crate) type OfExpression = (i16, Oid, Oid, ColumnStatistics);

/// A query and the values that it is asked of.
type Question = (String, Vec<Option<String>>);

/// What expressions and conditions were computed to be: many candidates have the same ones.
pub(crate) struct Computations<'o> {
    /// Who owns the twin's tables, and may run what stands in their indexes.
    pub(crate) owner: &'o Client,
    results: HashMap<Question, Option<Arc<Vec<Computed>>>>,
    passed: HashMap<Question, Option<Arc<BTreeSet<usize>>>>,
}

impl<'o> Computations<'o> {
    pub(crate) fn of(owner: &'o Client) -> Self {
        Self { owner, results: HashMap::new(), passed: HashMap::new() }
    }

    async fn results(&mut self, source: String, values: Vec<Option<String>>) -> Option<Arc<Vec<Computed>>> {
        match self.results.entry((source, values)) {
            Entry::Occupied(known) => known.get().clone(),
            Entry::Vacant(unknown) => {
                let (source, values) = unknown.key();
                let found = results(self.owner, source, values).await.map(Arc::new);
                unknown.insert(found).clone()
            }
        }
    }

    /// Which of some values, by their place, a query lets pass that takes them as `$1` and answers with their numbers from
    /// 1; nothing when it cannot be run.
    pub(crate) async fn passed(
        &mut self,
        sql: String,
        values: Vec<Option<String>>,
    ) -> Option<Arc<BTreeSet<usize>>> {
        match self.passed.entry((sql, values)) {
            Entry::Occupied(known) => known.get().clone(),
            Entry::Vacant(unknown) => {
                let (sql, values) = unknown.key();
                let rows = self.owner.query(sql, &[values]).await.ok();
                let places = rows.map(|rows| {
                    let place = |row: &tokio_postgres::Row| {
                        usize::try_from(row.try_get::<_, i64>(0).ok()?.checked_sub(1)?).ok()
                    };
                    Arc::new(rows.iter().filter_map(place).collect())
                });
                unknown.insert(places).clone()
            }
        }
    }
}

/// Computes the expressions of an index for the values in their columns' statistics. That tells the prediction of
/// its size how wide the results are and how many differ, and the planner how many rows have which. What cannot be
/// computed, or is made of several columns, is left as it was.
pub(crate) async fn evaluate(
    computations: &mut Computations<'_>,
    table: &Table,
    shape: &mut Shape,
) -> Vec<OfExpression> {
    let relation = &table.relation;
    let mut found = Vec::new();
    for (at, attribute) in shape.attributes.iter_mut().enumerate() {
        let (Some(expression), Some(column)) = (&attribute.expression, attribute.column(relation)) else {
            continue;
        };
        let Some(statistics) = attribute.statistics(relation) else { continue };
        let samples = with_null(statistics);
        if samples.is_empty() {
            continue;
        }
        let common = statistics.common_values().len();
        let source = format!(
            "SELECT {expression} AS e, t.pgwright_n AS n
             FROM (
                 SELECT v::{} AS {}, n AS pgwright_n
                 FROM pg_catalog.unnest($1::pg_catalog.text[]) WITH ORDINALITY AS s (v, n)
             ) AS t",
            column.type_name,
            model::quote_identifier(&column.name),
        );
        let values = samples.iter().map(|(value, _)| value.clone()).collect();
        let Some(results) = computations.results(source, values).await else { continue };
        let evaluated: Vec<Evaluated> = results
            .iter()
            .zip(&samples)
            .enumerate()
            .map(|(n, (result, (_, weight)))| Evaluated {
                value: result.value.clone(),
                bytes: f64::from(result.bytes),
                weight: *weight,
                common: n < common || samples[n].0.is_none(),
                rank: result.rank,
            })
            .collect();
        if let (Some(result), Ok(number)) =
            (results.first().filter(|r| !r.of_elements), i16::try_from(at + 1))
        {
            let statistics = describe(&evaluated, relation, statistics);
            found.push((number, result.type_oid, attribute.collation, statistics));
        }
        // A GIN index holds the parts of the results, not the results.
        if shape.access_method != "gin" {
            attribute.evaluated = evaluated;
        }
    }
    found
}

/// Values from the statistics, and NULL, with the share of all rows that each stands for. Nothing where no value is
/// known.
fn with_null(statistics: &ColumnStatistics) -> Vec<(Option<String>, f64)> {
    let nulls = f64::from(statistics.null_frac);
    let mut samples: Vec<(Option<String>, f64)> = size::samples(statistics)
        .into_iter()
        .map(|(value, weight)| (Some(value), weight * (1.0 - nulls)))
        .collect();
    if nulls > 0.0 && !samples.is_empty() {
        samples.push((None, nulls));
    }
    samples
}

/// What an expression makes of one value.
struct Computed {
    value: Option<String>,
    bytes: i32,
    /// Its place in the order of its type; nothing where the type has no order.
    rank: Option<i64>,
    type_oid: Oid,
    /// Whether ANALYZE describes the elements of its type rather than its values.
    of_elements: bool,
}

async fn results(owner: &Client, source: &str, values: &[Option<String>]) -> Option<Vec<Computed>> {
    for rank in ["pg_catalog.rank() OVER (ORDER BY e)", "NULL::pg_catalog.int8"] {
        let sql = format!(
            "SELECT /* pgwright:twin_expression */ e::pg_catalog.text, bytes,
                 {rank}, pg_catalog.pg_typeof(e)::pg_catalog.oid,
                 (SELECT y.typanalyze <> 0 FROM pg_catalog.pg_type AS y
                  WHERE y.oid = pg_catalog.pg_typeof(e)::pg_catalog.oid)
             FROM (
                 -- Measured before a sort shortens the headers of values.
                 SELECT e, n, coalesce(pg_catalog.pg_column_size(e), 0) AS bytes FROM ({source}) AS r OFFSET 0
             ) AS r
             ORDER BY r.n"
        );
        let Ok(rows) = owner.query(&sql, &[&values]).await else { continue };
        let computed = rows.iter().map(|row| {
            Some(Computed {
                value: row.try_get(0).ok()?,
                bytes: row.try_get(1).ok()?,
                rank: row.try_get(2).ok()?,
                type_oid: row.try_get(3).ok()?,
                of_elements: row.try_get::<_, Option<bool>>(4).ok()?.unwrap_or(true),
            })
        });
        return computed.collect();
    }
    None
}

/// How far counts that may be chance are to be believed.
#[derive(Clone, Copy, Debug)]
struct Trust {
    mean: f64,
    /// From 0, where counts differ as they do by chance, to 1.
    share: f64,
}

impl Trust {
    fn believed(self, count: f64) -> f64 {
        self.mean + self.share * (count - self.mean)
    }
}

/// Counts among so many values of which most may not have been seen: as far as they differ by more than chance has it
/// (Poisson), they are believed, and else taken for their mean (Efron and Morris: *Stein's Estimation Rule and Its
/// Competitors - An Empirical Bayes Approach*, JASA 1973).
fn trust(counts: impl Iterator<Item = f64>, distinct: f64) -> Trust {
    let (seen, sum, squares) = counts.fold((0.0, 0.0, 0.0), |(n, s, q), c| (n + 1.0, s + c, q + c * c));
    let all = f64::max(distinct, seen).max(1.0);
    let mean = sum / all;
    let variance = (squares / all - mean * mean).max(f64::MIN_POSITIVE);
    Trust { mean, share: (1.0 - mean / variance).clamp(0.0, 1.0) }
}

/// The statistics of the results: those that many rows have, the others as a histogram.
fn describe(evaluated: &[Evaluated], relation: &Relation, column: &ColumnStatistics) -> ColumnStatistics {
    let rows = relation.rows();
    let nulls: f64 = evaluated.iter().filter(|e| e.value.is_none()).map(|e| e.weight).sum();
    let results = size::results(evaluated, (1.0 - nulls) * rows, column.distinct(rows));
    // Of a column without a histogram every value is known, and so is every result.
    let complete = results.values.values().all(|seen| seen.common);
    let mean = (1.0 - nulls) / results.distinct.max(1.0);
    let is_settled = |seen: &Seen| complete || seen.common || seen.count >= SETTLED;
    let unsettled = || results.values.values().filter(|seen| !is_settled(seen)).map(|seen| seen.count);
    let settled = results.values.len() - unsettled().count();
    let trust = trust(unsettled(), results.distinct - settled as f64);
    let weight = |seen: &Seen| match is_settled(seen) {
        true => seen.weight,
        false => seen.weight * (trust.believed(seen.count) / seen.count),
    };
    let (mut common, rare): (Vec<_>, Vec<_>) =
        results.values.iter().partition(|(_, seen)| complete || weight(seen) > FREQUENT * mean);
    common.sort_by(|a, b| weight(b.1).total_cmp(&weight(a.1)));
    common.truncate(MAX_COMMON);
    let mut bounds: Vec<(i64, &str)> = rare
        .iter()
        .filter_map(|(value, seen)| Some(std::iter::repeat_n((seen.rank?, **value), seen.count as usize)))
        .flatten()
        .collect();
    bounds.sort_unstable();
    let literal = |values: Vec<String>| (!values.is_empty()).then(|| format!("{{{}}}", values.join(",")));
    let present = evaluated.iter().filter(|e| e.value.is_some());
    let (bytes, all) = present.fold((0.0, 0.0), |(b, w), e| (b + e.bytes * e.weight, w + e.weight));
    let share = results.distinct / rows.max(1.0);
    ColumnStatistics {
        null_frac: nulls as f32,
        avg_width: if all > 0.0 { (bytes / all).round() as i32 } else { 0 },
        n_distinct: if share > GROWS { -(share.min(1.0) as f32) } else { results.distinct as f32 },
        most_common_vals: literal(common.iter().map(|(value, _)| array_element(value)).collect()),
        most_common_freqs: (!common.is_empty())
            .then(|| common.iter().map(|(_, seen)| weight(seen) as f32).collect()),
        histogram_bounds: (bounds.len() > 1)
            .then(|| literal(bounds.iter().map(|(_, value)| array_element(value)).collect()))
            .flatten(),
        correlation: column.correlation.and_then(|c| Some(c * order_kept(evaluated)?)),
        most_common_elems: None,
        most_common_elem_freqs: None,
        elem_count_histogram: None,
        ranges: None,
    }
}

/// How far results are in the order of the values that they are computed from: the correlation of their places.
fn order_kept(evaluated: &[Evaluated]) -> Option<f32> {
    let ranks: Vec<f64> = evaluated
        .iter()
        .filter(|e| !e.common && e.value.is_some())
        .map(|e| Some(e.rank? as f64))
        .collect::<Option<_>>()?;
    let n = ranks.len() as f64;
    if n < 2.0 {
        return None;
    }
    let (middle, mean) = ((n - 1.0) / 2.0, ranks.iter().sum::<f64>() / n);
    let (mut both, mut places, mut results) = (0.0, 0.0, 0.0);
    for (place, rank) in ranks.iter().enumerate() {
        let (a, b) = (place as f64 - middle, rank - mean);
        both += a * b;
        places += a * a;
        results += b * b;
    }
    (results > 0.0).then(|| (both / (places * results).sqrt()) as f32)
}

/// Gives indexes the statistics of their expressions. Values that cannot be read are left out of them.
pub(crate) async fn write(admin: &Client, found: &[(Attribute, ColumnStatistics)]) -> Result<(), Error> {
    if found.is_empty() {
        return Ok(());
    }
    let mut types: Vec<Oid> = found.iter().map(|(attribute, _)| attribute.type_oid).collect();
    types.sort_unstable();
    types.dedup();
    let rows: Vec<Row<'_>> = found
        .iter()
        .map(|(attribute, statistics)| Row { attribute: *attribute, inherited: false, statistics })
        .collect();
    Writer::new(admin, &types).await?.write(&rows).await.map(drop)
}
