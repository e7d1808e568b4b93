//! Did a statement become slower, or does it only look so? The figures of a statement over a while,
//! and the test of two of them.
//!
//! Source: B. L. Welch, "The generalization of 'Student's' problem when several different population
//! variances are involved", Biometrika 34 (1947): with means m, deviations s and calls n,
//! t = (m₂ − m₁) / √(s₁²/n₁ + s₂²/n₂), with the degrees of freedom of Welch and Satterthwaite. The
//! quantile of t is the series of Cornish and Fisher (Abramowitz and Stegun 26.7.5).

use model::Millis;
use serde::{Deserialize, Serialize};

/// What a statement did over a while, per call.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Figures {
    /// Its `queryid`.
    pub queryid: i64,
    /// Its text.
    pub query: String,
    /// How often it was called.
    pub calls: i64,
    /// The mean execution time.
    pub mean: Millis,
    /// The standard deviation, where it is known.
    pub stddev: Option<Millis>,
    /// Rows per call.
    pub rows: f64,
    /// Shared buffers touched per call, in the cache or not.
    pub buffers: f64,
    /// Of those, the ones that were not in the cache.
    pub read: f64,
    /// WAL records per call.
    pub wal_records: f64,
}

/// How many calls there must be on both sides.
pub(super) const LEAST_CALLS: i64 = 5;
/// How many milliseconds slower a statement must be at least: less is told by no user.
const LEAST_MS: f64 = 0.02;
/// The quantile of the normal distribution that stands for one chance in a thousand.
const NORMAL_999: f64 = 3.090_232;

/// Whether a statement takes longer than before by a factor, beyond what its scatter explains.
/// `load` is the factor by which everything takes longer.
pub(super) fn is_slower(before: &Figures, since: &Figures, factor: f64, load: f64) -> bool {
    if before.calls < LEAST_CALLS || since.calls < LEAST_CALLS {
        return false;
    }
    let (Some(s1), Some(s2)) = (before.stddev, since.stddev) else { return false };
    // Under more load the former time and its scatter would have been longer by that factor.
    let (m1, s1) = (before.mean.0 * load, s1.0 * load);
    let (m2, s2) = (since.mean.0, s2.0);
    if m2 < m1 * factor || m2 - m1 < LEAST_MS {
        return false;
    }
    let (n1, n2) = (before.calls as f64, since.calls as f64);
    let (v1, v2) = (s1 * s1 / n1, s2 * s2 / n2);
    let error = (v1 + v2).sqrt();
    if error <= 0.0 {
        return true;
    }
    let freedom = (v1 + v2).powi(2) / (v1 * v1 / (n1 - 1.0) + v2 * v2 / (n2 - 1.0));
    (m2 - m1) / error >= quantile(freedom)
}

/// The value that t exceeds by chance once in a thousand cases.
fn quantile(freedom: f64) -> f64 {
    let z = NORMAL_999;
    let v = freedom.max(1.0);
    z + (z.powi(3) + z) / (4.0 * v)
        + (5.0 * z.powi(5) + 16.0 * z.powi(3) + 3.0 * z) / (96.0 * v * v)
        + (3.0 * z.powi(7) + 19.0 * z.powi(5) + 17.0 * z.powi(3) - 15.0 * z) / (384.0 * v.powi(3))
}

/// The factor by which statements that have nothing to do with a change take longer than before: the
/// median over those, `None` when there are too few to say. Never below 1, so that nothing is called
/// slower that is not.
pub(super) fn load_factor(pairs: impl Iterator<Item = (f64, f64)>) -> Option<f64> {
    let mut ratios: Vec<f64> =
        pairs.filter(|(before, _)| *before > 0.0).map(|(before, since)| since / before).collect();
    if ratios.len() < 5 {
        return None;
    }
    ratios.sort_by(f64::total_cmp);
    Some(ratios[ratios.len() / 2].max(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(calls: i64, mean: f64, stddev: f64) -> Figures {
        Figures { calls, mean: Millis(mean), stddev: Some(Millis(stddev)), ..Figures::default() }
    }

    #[test]
    fn the_quantile_of_t_is_that_of_the_tables() {
        // Abramowitz and Stegun, table 26.10, A(t|v) for a one-sided chance of 0.001.
        for (freedom, t) in [(5.0, 5.893), (10.0, 4.144), (30.0, 3.385), (120.0, 3.160), (1e9, 3.090)] {
            let found = quantile(freedom);
            assert!((found / t - 1.0).abs() < 0.02, "{freedom}: {found} for {t}");
        }
    }

    #[test]
    fn slower_is_what_is_slower_by_the_factor_and_beyond_its_scatter() {
        let before = figures(1000, 1.0, 0.2);
        for (since, load, expected) in [
            (figures(100, 1.1, 0.1), 1.0, false),
            (figures(100, 1.5, 0.2), 1.0, true),
            // One long wait among a hundred calls.
            (figures(100, 1.5, 5.0), 1.0, false),
            (figures(6, 1.5, 0.9), 1.0, false),
            (figures(4, 9.0, 0.0), 1.0, false),
            // Everything takes longer.
            (figures(100, 1.5, 0.2), 1.4, false),
            (figures(100, 1.5, 0.2), 1.1, true),
        ] {
            assert_eq!(is_slower(&before, &since, 1.2, load), expected, "{since:?} {load}");
        }
        // Too little for anybody to notice.
        assert!(!is_slower(&figures(9000, 0.010, 0.001), &figures(9000, 0.018, 0.001), 1.2, 1.0));
        // Nothing is known of the scatter.
        assert!(!is_slower(&Figures { stddev: None, ..before.clone() }, &figures(100, 9.0, 0.1), 1.2, 1.0));
        // No scatter at all.
        assert!(is_slower(&figures(10, 1.0, 0.0), &figures(10, 2.0, 0.0), 1.2, 1.0));
    }

    #[test]
    fn the_load_is_what_most_statements_feel() {
        let ratios = |all: &[f64]| load_factor(all.iter().map(|r| (2.0, 2.0 * r)));
        assert_eq!(ratios(&[1.0, 1.1, 1.2, 9.0, 1.3]), Some(1.2));
        assert_eq!(ratios(&[0.5, 0.6, 0.4, 0.5, 0.5]), Some(1.0));
        assert_eq!(ratios(&[3.0, 3.0, 3.0, 3.0]), None);
    }
}
