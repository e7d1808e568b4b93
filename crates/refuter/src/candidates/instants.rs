//! Which moments could make a difference? Those near a constant, as it is read in several zones and across changes of
//! the clocks.
//!
//! Source: PostgreSQL manual, "Date/Time Types" and "AT TIME ZONE".

use model::quote_literal;

use super::{Constants, List, ZONES};

/// Constants of the statements that are no moments and decide which ones count.
pub(super) struct Beside<'c> {
    intervals: Vec<&'c str>,
    zones: Vec<&'c str>,
}

impl<'c> Beside<'c> {
    pub(super) fn of(constants: &'c Constants) -> Self {
        let of = |wanted: fn(&str) -> bool| {
            constants.keys().map(String::as_str).filter(|text| wanted(text)).take(3).collect()
        };
        Self { intervals: of(is_interval), zones: of(is_zone) }
    }
}

/// A name as `Europe/Berlin`; what the server does not know is dropped there.
fn is_zone(text: &str) -> bool {
    text.contains('/') && text.chars().all(|c| c.is_ascii_alphabetic() || matches!(c, '/' | '_'))
}

fn is_interval(text: &str) -> bool {
    const UNITS: &[&str] = &["sec", "min", "hour", "day", "week", "mon", "year"];
    text.contains(|c: char| c.is_ascii_digit()) && UNITS.iter().any(|unit| text.to_lowercase().contains(unit))
}

pub(super) fn near(list: &mut List, text: &str, beside: &Beside<'_>, tells_time: bool) {
    let quoted = quote_literal(text);
    if let Ok(number) = text.parse::<i64>() {
        // `extract(year from …) = 2024`, `current_date - 7`.
        if (1900..=2100).contains(&number) {
            list.text(&format!("{number}-06-15 12:00:00+00"), 1.5);
            list.text(&format!("{number}-01-01 00:00:00+00"), 1.0);
            list.text(&format!("{number}-12-31 23:30:00+00"), 1.0);
        }
        if tells_time && (1..=400).contains(&number) {
            list.clock(format!("now() - {number} * interval '1 day' + interval '1 hour'"), 0.7);
            list.clock(format!("now() - {number} * interval '1 day' - interval '1 hour'"), 0.7);
        }
        return;
    }
    if text.contains(|c: char| c.is_ascii_digit()) && text.contains(['-', '/', ':', '.']) {
        list.text(text, 2.0);
        for (offset, weight) in [
            ("- interval '1 microsecond'", 1.0),
            ("+ interval '1 microsecond'", 0.4),
            ("+ interval '1 day'", 0.9),
            ("- interval '1 day'", 0.7),
            ("+ interval '12 hours'", 0.9),
            ("+ interval '1 day' - interval '1 microsecond'", 0.7),
            ("+ interval '3 hours'", 0.5),
            ("- interval '3 hours'", 0.5),
            ("+ interval '1 month'", 0.3),
            ("- interval '1 month'", 0.3),
            ("- interval '30 days'", 0.9),
            ("+ interval '1 year'", 0.3),
            ("- interval '1 year'", 0.3),
        ] {
            list.sql(format!("{quoted}::pg_catalog.timestamptz {offset}"), weight);
        }
        // A day in a zone does not begin at midnight UTC, and does not always have 24 hours.
        for zone in &ZONES[1..] {
            list.sql(format!("{quoted}::pg_catalog.timestamp AT TIME ZONE '{zone}'"), 0.3);
            list.sql(
                format!(
                    "(({quoted}::pg_catalog.timestamp + interval '1 day') AT TIME ZONE '{zone}') - interval '1 microsecond'"
                ),
                0.3,
            );
        }
        // In a zone that the statement names an hour may come twice, or not at all.
        for zone in &beside.zones {
            let zone = quote_literal(zone);
            for (offset, weight) in [("", 1.0), ("- interval '1 hour'", 1.0), ("+ interval '1 hour'", 0.5)] {
                list.sql(format!("({quoted}::pg_catalog.timestamp AT TIME ZONE {zone}) {offset}"), weight);
            }
        }
        for interval in &beside.intervals {
            let interval = quote_literal(interval);
            for (sign, offset) in
                [("-", ""), ("+", ""), ("-", "+ interval '1 day'"), ("+", "- interval '1 day'")]
            {
                list.sql(
                    format!("{quoted}::pg_catalog.timestamptz {sign} interval {interval} {offset}"),
                    0.6,
                );
            }
            // As far from the wall-clock time in a zone; on days that are longer or shorter, half an hour decides.
            for zone in &ZONES[1..] {
                for (sign, offset) in [
                    ("-", "- interval '30 minutes'"),
                    ("-", "+ interval '30 minutes'"),
                    ("+", "- interval '30 minutes'"),
                    ("+", ""),
                ] {
                    list.sql(
                        format!(
                            "({quoted}::pg_catalog.timestamp AT TIME ZONE '{zone}') {sign} interval {interval} {offset}"
                        ),
                        0.4,
                    );
                }
            }
        }
    }
    if tells_time && text.contains(|c: char| c.is_ascii_digit()) {
        for (sign, offset) in [("-", "- interval '1 hour'"), ("-", "+ interval '1 hour'"), ("+", "")] {
            list.clock(format!("now() {sign} interval {quoted} {offset}"), 1.0);
        }
    }
}

const INSTANTS: &[(&str, f64)] = &[
    ("2024-01-15 00:00:00+00", 1.2),
    ("2024-01-15 12:00:00+00", 1.0),
    ("2024-01-16 03:30:00+00", 0.8),
    ("2024-01-14 23:59:59.999999+00", 0.5),
    ("2024-01-31 22:30:00+00", 0.5),
    ("2024-02-29 00:00:00+00", 0.3),
    ("2023-01-01 12:00:00+00", 0.3),
    ("2024-12-31 23:30:00+00", 0.4),
    // Clocks are put forward and back in New York and in Berlin.
    ("2024-03-10 07:00:00+00", 0.3),
    ("2024-03-10 06:30:00+00", 0.3),
    ("2024-11-03 05:30:00+00", 0.3),
    ("2024-11-03 06:30:00+00", 0.3),
    ("2024-03-31 01:00:00+00", 0.2),
    ("infinity", 0.12),
    ("-infinity", 0.12),
];

/// Of those, the ones around which a day has not 24 hours in New York.
const CLOCK_CHANGES: &[&str] = &["2024-03-10 06:30:00+00", "2024-11-03 05:30:00+00"];

/// Moments that any column may hold.
pub(super) fn usual(list: &mut List, constants: &Constants, tells_time: bool) {
    list.texts(INSTANTS);
    // Two instants that are an interval apart, across a change of the clocks.
    for interval in constants.keys().filter(|text| is_interval(text)).take(3) {
        let interval = quote_literal(interval);
        for instant in CLOCK_CHANGES {
            list.sql(format!("'{instant}'::pg_catalog.timestamptz + interval {interval}"), 1.0);
            list.sql(format!("'{instant}'::pg_catalog.timestamptz - interval {interval}"), 0.3);
            list.text(instant, 1.2);
        }
    }
    if tells_time {
        for sql in
            ["now()", "now() - interval '1 hour'", "now() - interval '1 day'", "date_trunc('day', now())"]
        {
            list.clock(sql.into(), 1.0);
        }
    }
}
