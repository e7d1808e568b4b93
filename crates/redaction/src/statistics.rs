//! Which values are in the statistics of a column, of an expression, of several columns together?
//!
//! Source: PostgreSQL manual, `pg_stats`, `pg_stats_ext`. Frequencies, counts and correlations stay.

use model::snapshot::{ColumnStatistics, ExtendedStatisticsData, array_elements};

use crate::bits;
use crate::json;
use crate::kind::Kind;
use crate::numbers;
use crate::times::Times;
use crate::values::{self, Replace};

/// The statistics of one column with stand-ins. `subject` is whose they are, for what is dropped.
pub(crate) fn of_column(
    statistics: &ColumnStatistics,
    kind: &Kind,
    subject: &str,
    replace: &mut dyn Replace,
) -> ColumnStatistics {
    let mut new = statistics.clone();
    let mut lost = false;
    let mut list = |text: &Option<String>, kind: &Kind, replace: &mut dyn Replace| {
        let text = text.as_deref()?;
        let stand_in = match kind {
            // As they stand, an escape for an escape.
            Kind::Kept => Some(text.to_owned()),
            kind => values::array(kind, text, replace),
        };
        lost |= stand_in.is_none();
        stand_in
    };
    new.most_common_vals = list(&statistics.most_common_vals, kind, replace);
    new.histogram_bounds = list(&statistics.histogram_bounds, kind, replace);
    new.most_common_elems = list(&statistics.most_common_elems, &kind.elements(), replace);
    if let Some(ranges) = &mut new.ranges {
        let of_ranges = match kind {
            Kind::Multirange(inner) => Kind::Range(inner.clone()),
            other => other.clone(),
        };
        ranges.bounds_histogram = list(&ranges.bounds_histogram, &of_ranges, replace);
        ranges.length_histogram = ranges.length_histogram.as_deref().and_then(|text| {
            let lengths: Option<Vec<f64>> =
                array_elements(text).into_iter().map(|e| e?.parse().ok()).collect();
            let texts: Vec<String> = replace.lengths(&lengths?).iter().map(f64::to_string).collect();
            Some(format!("{{{}}}", texts.join(",")))
        });
    }
    // Frequencies belong to values.
    if new.most_common_vals.is_none() {
        new.most_common_freqs = None;
    }
    if new.most_common_elems.is_none() {
        new.most_common_elem_freqs = None;
    }
    if lost {
        replace.dropped(format!("the values in the statistics of {subject}"));
    }
    new
}

/// What the values of an expression are, of which the snapshot tells no type.
pub(crate) fn kind_of_values(statistics: &ColumnStatistics) -> Kind {
    let lists = [&statistics.most_common_vals, &statistics.histogram_bounds];
    let found: Vec<String> =
        lists.into_iter().flatten().flat_map(|text| array_elements(text)).flatten().collect();
    kind_of_all(&found)
}

/// The kind that all of these texts can be read as.
pub(crate) fn kind_of_all(texts: &[String]) -> Kind {
    if texts.is_empty() {
        return Kind::text();
    }
    let all = |is: &dyn Fn(&str) -> bool| texts.iter().all(|t| is(t));
    match () {
        () if all(&|t| t == "t" || t == "f") => Kind::Kept,
        () if all(&|t| numbers::parse(t).is_some()) => Kind::Number(None),
        () if all(&Times::is_point) => Kind::Time,
        () if all(&|t| bits::read_uuid(t).is_some()) => Kind::Uuid,
        () if all(&|t| t.contains(['.', ':']) && bits::read_address(t).is_some()) => Kind::Address,
        () if all(&json::looks_like_one) => Kind::Json,
        () => Kind::text(),
    }
}

/// Statistics of several columns. `kinds` are those of the columns, which stand before expressions.
pub(crate) fn of_several(
    data: &ExtendedStatisticsData,
    kinds: &[Kind],
    subject: &str,
    replace: &mut dyn Replace,
) -> ExtendedStatisticsData {
    let mut new = data.clone();
    let rows: Vec<Vec<Option<String>>> = data
        .most_common_vals
        .as_deref()
        .map(array_elements)
        .unwrap_or_default()
        .into_iter()
        .map(|row| row.as_deref().map(array_elements).unwrap_or_default())
        .collect();
    let width = rows.iter().map(Vec::len).max().unwrap_or(0);
    let kinds: Vec<Kind> = (0..width)
        .map(|at| match kinds.get(at) {
            Some(kind) => kind.clone(),
            None => {
                let values: Vec<String> = rows.iter().filter_map(|r| r.get(at)?.clone()).collect();
                kind_of_all(&values)
            }
        })
        .collect();
    let mut replaced = Vec::new();
    for row in &rows {
        let parts: Option<Vec<String>> = row
            .iter()
            .zip(&kinds)
            .map(|(value, kind)| match value {
                None => Some("NULL".to_owned()),
                Some(value) => values::value(kind, value, replace).map(|v| values::quoted(&v)),
            })
            .collect();
        replaced.push(parts.map(|parts| format!("{{{}}}", parts.join(","))));
    }
    if data.most_common_vals.is_some() {
        let whole: Option<Vec<String>> = replaced.into_iter().collect();
        if whole.is_none() {
            replace.dropped(format!("the values in the extended statistics {subject}"));
            new.most_common_freqs = None;
            new.most_common_base_freqs = None;
        }
        new.most_common_vals = whole.map(|rows| format!("{{{}}}", rows.join(",")));
    }
    new.expressions = data
        .expressions
        .iter()
        .map(|statistics| of_column(statistics, &kind_of_values(statistics), subject, replace))
        .collect();
    new
}
