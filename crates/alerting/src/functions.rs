//! By how much did a counter rise, and below which value lie how many observations of a histogram?
//!
//! Source: Prometheus documentation, "Functions": `rate`, `increase` and `histogram_quantile`.

use crate::history::Sample;

/// By how much a counter rose within a window, as if it had been read at the window's very beginning and end; `None`
/// with fewer than two samples. What is lost when a counter begins anew is not made up for.
///
/// A window whose first or last sample lies further from its edge than samples usually lie from each other is taken to
/// begin or end half such a distance beyond it; and a counter is not extrapolated to below zero.
pub(crate) fn extrapolated_increase(samples: &[Sample], begin_ms: i64, end_ms: i64) -> Option<f64> {
    let (first, last) = match samples {
        [first, .., last] => (first, last),
        _ => return None,
    };
    let resets: f64 =
        samples.windows(2).filter(|pair| pair[1].value < pair[0].value).map(|pair| pair[0].value).sum();
    let increase = last.value - first.value + resets;
    let seconds = |ms: i64| ms as f64 / 1000.0;
    let covered = seconds(last.at_ms - first.at_ms);
    let apart = covered / (samples.len() - 1) as f64;
    let to_edge = |gap: f64| if gap < apart * 1.1 { gap } else { apart / 2.0 };
    let mut before = seconds(first.at_ms - begin_ms);
    if increase > 0.0 && first.value >= 0.0 {
        before = before.min(covered * (first.value / increase));
    }
    let extended = covered + to_edge(before) + to_edge(seconds(end_ms - last.at_ms));
    Some(increase * (extended / covered))
}

/// The value below which a share of the observations lies, by cumulated counts of buckets with their upper ends; between
/// the ends of a bucket observations are taken to be spread evenly. NaN when that cannot be said.
pub(crate) fn histogram_quantile(quantile: f64, mut buckets: Vec<(f64, f64)>) -> f64 {
    buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
    // The same end written in two ways is one bucket.
    buckets.dedup_by(|next, kept| {
        let same = next.0.to_bits() == kept.0.to_bits();
        if same {
            kept.1 += next.1;
        }
        same
    });
    match buckets.last() {
        Some((end, _)) if end.is_infinite() && buckets.len() >= 2 => {}
        _ => return f64::NAN,
    }
    // Buckets that were read at different times may go down where they cannot.
    let mut highest = f64::NEG_INFINITY;
    for (_, count) in &mut buckets {
        highest = highest.max(*count);
        *count = highest;
    }
    let observations = buckets.last().map_or(0.0, |b| b.1);
    if observations == 0.0 || quantile.is_nan() || observations.is_nan() {
        return f64::NAN;
    }
    if quantile < 0.0 {
        return f64::NEG_INFINITY;
    }
    if quantile > 1.0 {
        return f64::INFINITY;
    }
    let rank = quantile * observations;
    let at = buckets[..buckets.len() - 1].partition_point(|(_, count)| *count < rank);
    if at == buckets.len() - 1 {
        return buckets[at - 1].0;
    }
    let (end, count) = buckets[at];
    if at == 0 && end <= 0.0 {
        return end;
    }
    let (begin, below) = if at == 0 { (0.0, 0.0) } else { buckets[at - 1] };
    begin + (end - begin) * ((rank - below) / (count - below))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(values: &[f64]) -> Vec<Sample> {
        (0..).zip(values).map(|(n, value)| Sample { at_ms: n * 60_000, value: *value }).collect()
    }

    #[test]
    fn an_increase_reaches_to_the_edges_of_its_window_and_over_a_reset() {
        let minute = 60_000;
        let increase = |values: &[f64], begin, end| extrapolated_increase(&samples(values), begin, end);
        assert_eq!(increase(&[100.0, 160.0, 220.0], -30_000, 150_000), Some(180.0));
        assert_eq!(increase(&[100.0, 160.0, 10.0, 70.0], 0, 3 * minute), Some(60.0 + 10.0 + 60.0));
        // A counter that began with 10 was 0 ten seconds before.
        assert_eq!(increase(&[10.0, 70.0], -50_000, minute), Some(70.0));
        // Far from the edges half a distance is added.
        assert_eq!(increase(&[600.0, 660.0], -5 * minute, 6 * minute), Some(120.0));
        assert_eq!(increase(&[5.0], 0, minute), None);
    }

    #[test]
    fn a_quantile_lies_within_its_bucket() {
        let inf = f64::INFINITY;
        let of = |quantile, buckets: &[(f64, f64)]| histogram_quantile(quantile, buckets.to_vec());
        assert_eq!(of(0.5, &[(1.0, 50.0), (2.0, 100.0), (inf, 100.0)]), 1.0);
        assert_eq!(of(0.75, &[(inf, 100.0), (2.0, 100.0), (1.0, 50.0)]), 1.5);
        assert_eq!(of(0.99, &[(1.0, 0.0), (2.0, 10.0), (inf, 100.0)]), 2.0);
        assert_eq!(of(0.25, &[(1.0, 100.0), (inf, 100.0)]), 0.25);
        for nothing in [&[(1.0, 5.0)][..], &[(1.0, 0.0), (inf, 0.0)], &[(inf, 3.0)], &[]] {
            assert!(of(0.5, nothing).is_nan(), "{nothing:?}");
        }
    }
}
