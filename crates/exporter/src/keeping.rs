//! How is the keeping of history going?

use chrono::{DateTime, Utc};
use history::Kept;

use crate::board::Chunk;
use crate::exposition::{Kind, label, number, sample};

/// pgwright's own metrics of what it keeps; only told when it keeps something.
pub(crate) const METRICS: &[(&str, Kind, &str)] = &[
    (
        "pgwright_history_ahead_seconds",
        Kind::Gauge,
        "How far the last interval in the store lies after this machine's clock: above 0, the clock was set back",
    ),
    ("pgwright_history_failures_total", Kind::Counter, "Attempts to write to the store that failed"),
    (
        "pgwright_history_intervals_joined_total",
        Kind::Counter,
        "Intervals joined to another for want of room",
    ),
    ("pgwright_history_intervals_total", Kind::Counter, "Intervals that the store has taken"),
    ("pgwright_history_intervals_waiting", Kind::Gauge, "Intervals that wait for the store"),
    (
        "pgwright_history_last_success_timestamp_seconds",
        Kind::Gauge,
        "The end of the last interval in the store",
    ),
    ("pgwright_history_partitions_total", Kind::Counter, "Partitions of the store by what became of them"),
    ("pgwright_history_readings_dropped_total", Kind::Counter, "Readings that nobody had time to take"),
    ("pgwright_history_rolled_up_total", Kind::Counter, "Buckets that were rolled up"),
    ("pgwright_history_rows_total", Kind::Counter, "Rows written to the store"),
    ("pgwright_history_up", Kind::Gauge, "Whether the store took the last interval"),
    ("pgwright_history_write_duration_seconds", Kind::Gauge, "How long the last interval took to be written"),
];

pub(crate) fn chunks(kept: &Kept) -> Vec<Chunk> {
    METRICS
        .iter()
        .map(|(name, kind, help)| {
            let mut text = String::new();
            let mut put = |value: f64| sample(name, "", &number(value), &mut text);
            match *name {
                "pgwright_history_ahead_seconds" => put(ahead_seconds(kept.until, Utc::now())),
                "pgwright_history_failures_total" => put(kept.failures as f64),
                "pgwright_history_intervals_joined_total" => put(kept.joined as f64),
                "pgwright_history_intervals_total" => put(kept.intervals as f64),
                "pgwright_history_intervals_waiting" => put(kept.waiting as f64),
                "pgwright_history_last_success_timestamp_seconds" => {
                    if let Some(until) = kept.until {
                        put(until.timestamp_millis() as f64 / 1000.0);
                    }
                }
                "pgwright_history_partitions_total" => {
                    for (what, count) in
                        [("made", kept.partitions_made), ("dropped", kept.partitions_dropped)]
                    {
                        let mut block = String::new();
                        label("what", what, &mut block);
                        sample(name, &block, &number(count as f64), &mut text);
                    }
                }
                "pgwright_history_readings_dropped_total" => put(kept.readings_dropped as f64),
                "pgwright_history_rolled_up_total" => put(kept.rolled_up as f64),
                "pgwright_history_rows_total" => put(kept.rows as f64),
                "pgwright_history_up" => put(f64::from(u8::from(kept.up))),
                _ => put(kept.seconds),
            }
            Chunk::new(*name, *kind, *help, text)
        })
        .collect()
}

/// How far what is kept lies in the future.
fn ahead_seconds(until: Option<DateTime<Utc>>, now: DateTime<Utc>) -> f64 {
    until.map_or(0.0, |until| (until - now).num_milliseconds().max(0) as f64 / 1000.0)
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn a_clock_that_was_set_back_is_told() {
        let now = Utc::now();
        let until = |seconds: i64| Some(now + TimeDelta::seconds(seconds));
        assert_eq!(ahead_seconds(until(864_000), now), 864_000.0);
        assert_eq!((ahead_seconds(until(-5), now), ahead_seconds(None, now)), (0.0, 0.0));
    }
}
