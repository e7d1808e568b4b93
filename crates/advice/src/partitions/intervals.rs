//! Are a set's partitions too many or too few? Its neighbours, longer and shorter ones, are tried on twins; this judges.

use model::partition_set::{Interval, TimeUnit};
use model::{Finding, KeyKind, ObjectRef, QualifiedName, Severity};
use serde::Serialize;

use super::trial::Trial;

/// A set with longer or shorter partitions.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TriedInterval {
    /// The set.
    pub table: QualifiedName,
    /// How far its partitions reach.
    pub current: Interval,
    /// How far those that were tried reach.
    pub interval: Interval,
    /// Whether they are longer.
    pub longer: bool,
    /// What it would do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trial: Option<Trial>,
    /// Why it could not be tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// What a longer interval has to save of the time of a set's statements, planning counted.
const WORTH_MERGING: f64 = 0.05;
/// What a shorter one has to save.
const WORTH_SPLITTING: f64 = 0.1;

/// Partitions are not made smaller than this: 8 MB are read in no time.
const SMALLEST_PAGES: i64 = 1000;

/// The next longer and the next shorter interval that people use.
pub fn neighbours(interval: &Interval, kind: KeyKind) -> (Option<Interval>, Option<Interval>) {
    const STEP: u64 = 5;
    match interval {
        Interval::Time { count, unit } => {
            let hours = |count: u32, unit: TimeUnit| f64::from(count) * length_hours(unit);
            let own = hours(*count, *unit);
            let units = || TimeUnit::usual().filter(|u| kind != KeyKind::Date || !u.is_within_a_day());
            let one = |unit: TimeUnit| Interval::Time { count: 1, unit };
            let longer = units().find(|u| hours(1, *u) > 1.5 * own).map(one);
            let shorter = units().rfind(|u| hours(1, *u) < own / 1.5).map(one);
            (longer, shorter)
        }
        Interval::Numbers(n) => (
            n.checked_mul(STEP).map(Interval::Numbers),
            Some(n / STEP).filter(|n| *n > 0).map(Interval::Numbers),
        ),
        Interval::Values(_) | Interval::Remainders(_) => (None, None),
    }
}

fn length_hours(unit: TimeUnit) -> f64 {
    match unit {
        TimeUnit::Minute => 1.0 / 60.0,
        TimeUnit::Hour => 1.0,
        TimeUnit::Day => 24.0,
        TimeUnit::Week => 168.0,
        TimeUnit::Month => 730.5,
        TimeUnit::Quarter => 2191.5,
        TimeUnit::Year => 8766.0,
    }
}

/// What is advised against, with its figures.
pub fn judge_intervals(
    tried: &[TriedInterval],
    partitions: impl Fn(&QualifiedName) -> usize,
) -> Vec<Finding> {
    tried
        .iter()
        .filter_map(|tried| {
            let trial = tried.trial.as_ref()?;
            let refused = trial.worse.iter().any(|w| w.refusal.is_some());
            let (worth, check, word) = match tried.longer {
                true => (WORTH_MERGING, "too-many-partitions", "too many"),
                false => (WORTH_SPLITTING, "too-few-partitions", "too few"),
            };
            let too_small = !tried.longer && trial.largest_pages < SMALLEST_PAGES;
            if refused || too_small || trial.net_share() < worth {
                return None;
            }
            let now = partitions(&tried.table);
            let finding = Finding::new(
                check,
                ObjectRef::Relation { name: tried.table.clone() },
                Severity::Warning,
                format!("{now} partitions of {} are {word} for what is asked of them", tried.current),
                format!(
                    "With partitions of {} its statements would take {:.1} % less time, planning counted.",
                    tried.interval,
                    100.0 * trial.net_share()
                ),
            )
            .with("partitions", now)
            .with("partitions when tried", trial.partitions)
            .with("saved by the planner's costs, ms", format!("{:.1}", trial.saved_ms))
            .with("planning more, ms", format!("{:.1}", trial.planning_ms));
            Some(match (trial.planning_before, trial.planning_after) {
                (Some(before), Some(after)) => finding
                    .with("planning", before.again)
                    .with("planning when tried", after.again)
                    .with("first planning of a session", before.first)
                    .with("first planning of a session when tried", after.first),
                _ => finding,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(of: (Option<Interval>, Option<Interval>)) -> (String, String) {
        let text = |i: Option<Interval>| i.map_or_else(String::new, |i| i.to_string());
        (text(of.0), text(of.1))
    }

    #[test]
    fn neighbours_are_what_people_use() {
        for (interval, kind, longer, shorter) in [
            ("1 month", KeyKind::TimestampTz, "1 quarter", "1 week"),
            ("1 hour", KeyKind::TimestampTz, "1 day", ""),
            ("1 day", KeyKind::Date, "1 week", ""),
            ("1 year", KeyKind::Timestamp, "", "1 quarter"),
            ("10 days", KeyKind::TimestampTz, "1 month", "1 day"),
            ("1000", KeyKind::BigInt, "5000", "200"),
            ("1", KeyKind::BigInt, "5", ""),
        ] {
            let found = text(neighbours(&interval.parse().unwrap(), kind));
            assert_eq!(found, (longer.to_owned(), shorter.to_owned()), "{interval}");
        }
    }

    #[test]
    fn what_saves_little_is_left_as_it_is() {
        let trial = |saved_ms: f64, planning_ms: f64| Trial {
            partitions: 9,
            largest_rows: 1.0,
            statements: 1,
            pruning: 1,
            planning_ms,
            ..Trial::that_saves(saved_ms)
        };
        let tried = |longer: bool, saved_ms: f64, planning_ms: f64| TriedInterval {
            table: QualifiedName::new("public", "t"),
            current: "1 day".parse().unwrap(),
            interval: "1 week".parse().unwrap(),
            longer,
            trial: Some(trial(saved_ms, planning_ms)),
            problem: None,
        };
        let checks = |tried: TriedInterval| {
            judge_intervals(&[tried], |_| 700).into_iter().map(|f| f.check).collect::<Vec<_>>()
        };
        // Planning that is saved counts as running that is saved does.
        assert_eq!(checks(tried(true, 0.0, -60.0)), ["too-many-partitions"]);
        assert_eq!(checks(tried(false, 200.0, 50.0)), ["too-few-partitions"]);
        assert!(checks(tried(true, 40.0, 0.0)).is_empty());
        assert!(checks(tried(false, 200.0, 150.0)).is_empty());
        let mut small = tried(false, 200.0, 50.0);
        small.trial.as_mut().unwrap().largest_pages = 10;
        assert!(checks(small).is_empty());
    }
}
