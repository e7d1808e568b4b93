//! What does the planner know of the values of a column?
//!
//! Source: PostgreSQL manual, `pg_stats` (53.27). Its `anyarray` columns are read in their text form,
//! of which the session has pinned everything that it depends on.

use model::snapshot::{ColumnStatistics, RangeStatistics};

use crate::catalog_query;

catalog_query! {
    /// A row of `pg_stats`, joined to its column; of an index it is one of the expressions.
    pub struct ColumnStatisticsRow {
        table_oid: u32,
        attnum: i16,
        inherited: bool,
        null_frac: f32,
        avg_width: i32,
        n_distinct: f32,
        most_common_vals: Option<String>,
        most_common_freqs: Option<Vec<f32>>,
        histogram_bounds: Option<String>,
        correlation: Option<f32>,
        most_common_elems: Option<String>,
        most_common_elem_freqs: Option<Vec<f32>>,
        elem_count_histogram: Option<Vec<f32>>,
        range_length_histogram: Option<String>,
        range_empty_frac: Option<f32>,
        range_bounds_histogram: Option<String>,
    }
    name "column_statistics"
    server { 13 => "column_statistics.sql", 17 => "column_statistics.since_17.sql" }
}

impl From<ColumnStatisticsRow> for ColumnStatistics {
    fn from(row: ColumnStatisticsRow) -> Self {
        let of_ranges = row.range_length_histogram.is_some() || row.range_bounds_histogram.is_some();
        Self {
            null_frac: row.null_frac,
            avg_width: row.avg_width,
            n_distinct: row.n_distinct,
            most_common_vals: row.most_common_vals,
            most_common_freqs: row.most_common_freqs,
            histogram_bounds: row.histogram_bounds,
            correlation: row.correlation,
            most_common_elems: row.most_common_elems,
            most_common_elem_freqs: row.most_common_elem_freqs,
            elem_count_histogram: row.elem_count_histogram,
            ranges: of_ranges.then_some(RangeStatistics {
                length_histogram: row.range_length_histogram,
                empty_frac: row.range_empty_frac,
                bounds_histogram: row.range_bounds_histogram,
            }),
        }
    }
}
