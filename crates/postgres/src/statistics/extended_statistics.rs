//! What does the planner know of several columns together?
//!
//! Source: PostgreSQL manual, `pg_stats_ext` and `pg_stats_ext_exprs`. Like `pg_stats` they show what the role
//! may read.

use std::collections::BTreeMap;

use model::QualifiedName;
use model::snapshot::{ColumnStatistics, ExtendedStatistics, ExtendedStatisticsData};

use crate::catalog_query;

catalog_query! {
    /// A row of `pg_stats_ext`.
    pub struct ExtendedStatisticsDataRow {
        schema: String,
        name: String,
        inherited: bool,
        expressions: Vec<String>,
        n_distinct: Option<String>,
        dependencies: Option<String>,
        most_common_vals: Option<String>,
        most_common_freqs: Option<Vec<f64>>,
        most_common_base_freqs: Option<Vec<f64>>,
    }
    name "extended_statistics_data"
    server {
        13 => "extended_statistics_data.sql",
        14 => "extended_statistics_data.since_14.sql",
        15 => "extended_statistics_data.since_15.sql",
    }
}

catalog_query! {
    /// A row of `pg_stats_ext_exprs`.
    pub struct ExtendedStatisticsExpressionRow {
        schema: String,
        name: String,
        inherited: bool,
        expression: Option<String>,
        null_frac: Option<f32>,
        avg_width: Option<i32>,
        n_distinct: Option<f32>,
        most_common_vals: Option<String>,
        most_common_freqs: Option<Vec<f32>>,
        histogram_bounds: Option<String>,
        correlation: Option<f32>,
        most_common_elems: Option<String>,
        most_common_elem_freqs: Option<Vec<f32>>,
        elem_count_histogram: Option<Vec<f32>>,
    }
    name "extended_statistics_expressions"
    server {
        13 => "extended_statistics_expressions.sql",
        14 => "extended_statistics_expressions.since_14.sql",
        15 => "extended_statistics_expressions.since_15.sql",
    }
}

/// Gives statistics objects their contents.
pub(crate) fn fill(
    objects: &mut [ExtendedStatistics],
    rows: Vec<ExtendedStatisticsDataRow>,
    of_expressions: Vec<ExtendedStatisticsExpressionRow>,
) {
    // By object, whether children are covered, and expression.
    let mut expressions: BTreeMap<(QualifiedName, bool, String), ColumnStatistics> = BTreeMap::new();
    for row in of_expressions {
        let (Some(expression), Some(null_frac), Some(avg_width), Some(n_distinct)) =
            (row.expression, row.null_frac, row.avg_width, row.n_distinct)
        else {
            continue;
        };
        let key = (QualifiedName::new(row.schema, row.name), row.inherited, expression);
        let statistics = ColumnStatistics {
            null_frac,
            avg_width,
            n_distinct,
            most_common_vals: row.most_common_vals,
            most_common_freqs: row.most_common_freqs,
            histogram_bounds: row.histogram_bounds,
            correlation: row.correlation,
            most_common_elems: row.most_common_elems,
            most_common_elem_freqs: row.most_common_elem_freqs,
            elem_count_histogram: row.elem_count_histogram,
            ranges: None,
        };
        expressions.insert(key, statistics);
    }
    for row in rows {
        let name = QualifiedName::new(row.schema, row.name);
        let Some(object) = objects.iter_mut().find(|o| o.name == name) else { continue };
        let of_row = |e: &String| expressions.get(&(name.clone(), row.inherited, e.clone())).cloned();
        // All of them or none: their order is their number.
        let of_row: Option<Vec<ColumnStatistics>> = row.expressions.iter().map(of_row).collect();
        object.expressions = row.expressions;
        object.data.push(ExtendedStatisticsData {
            inherited: row.inherited,
            n_distinct: row.n_distinct,
            dependencies: row.dependencies,
            most_common_vals: row.most_common_vals,
            most_common_freqs: row.most_common_freqs,
            most_common_base_freqs: row.most_common_base_freqs,
            expressions: of_row.unwrap_or_default(),
        });
    }
}
