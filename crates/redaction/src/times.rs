//! What stands in for a point in time? One that lies a secret number of days before it, and a little aside.
//!
//! All times of a snapshot, its own included, move by the same number of whole days, so `now() - interval '7
//! days'` meets the same part of a histogram. Each value moves besides, by up to a fifth of the distance to its
//! neighbours: what happened cannot be told to the second by someone who finds out the number of days. Days stay
//! days and whole seconds whole seconds.

use std::collections::BTreeMap;

use chrono::{DateTime, Datelike as _, Duration, NaiveDate, Utc};
use rand::Rng as _;

use crate::key::Key;

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;

/// What else stands in a text beside the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Form<'a> {
    has_time: bool,
    /// `+00`, or nothing.
    zone: &'a str,
}

/// By how many days this key moves times.
pub(crate) fn shift_days(key: &Key) -> i64 {
    key.stream("days", b"").random_range(700..5000)
}

/// Moves one of the snapshot's own times.
pub(crate) fn moved(time: DateTime<Utc>, days: i64) -> DateTime<Utc> {
    time.checked_sub_signed(Duration::days(days)).unwrap_or(time)
}

/// Words that PostgreSQL reads as times and that mean no day of anybody.
fn is_word(text: &str) -> bool {
    ["infinity", "-infinity", "epoch", "now", "today", "tomorrow", "yesterday"].contains(&text)
}

/// Microseconds since 1970 in UTC.
fn read(text: &str) -> Option<(i64, Form<'_>)> {
    let (text, after_christ) = match text.strip_suffix(" BC") {
        Some(rest) => (rest, false),
        None => (text, true),
    };
    let (date, rest) = match text.find([' ', 'T']) {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, ""),
    };
    let mut parts = date.splitn(3, '-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    if year.len() < 4 || month.len() != 2 || day.len() != 2 {
        return None;
    }
    let year: i32 = year.parse().ok()?;
    let year = if after_christ { year } else { 1 - year };
    let date = NaiveDate::from_ymd_opt(year, month.parse().ok()?, day.parse().ok()?)?;
    let days = i64::from(date.num_days_from_ce()) - 719_163;
    let zone_at = rest.find(['+', '-', 'Z']).unwrap_or(rest.len());
    let (time, zone) = rest.split_at(zone_at);
    let time = if time.is_empty() { 0 } else { read_time(time.trim_end())? };
    let micros = days.checked_mul(DAY)?.checked_add(time)?.checked_sub(read_zone(zone)?)?;
    Some((micros, Form { has_time: !rest.is_empty(), zone: if zone.is_empty() { "" } else { "+00" } }))
}

/// `12:30:01.5` in microseconds.
fn read_time(text: &str) -> Option<i64> {
    let mut parts = text.splitn(3, ':');
    let hours: i64 = parts.next()?.parse().ok()?;
    let minutes: i64 = parts.next()?.parse().ok()?;
    let (seconds, fraction) = parts.next().map_or(("0", ""), |s| s.split_once('.').unwrap_or((s, "")));
    let seconds: i64 = seconds.parse().ok()?;
    let fraction: i64 = format!("{:0<6}", fraction.get(..fraction.len().min(6))?).parse().ok()?;
    Some(((hours.checked_mul(60)?.checked_add(minutes)?) * 60 + seconds).checked_mul(SECOND)? + fraction)
}

/// `+00`, `-05:30` or `Z` in microseconds.
fn read_zone(text: &str) -> Option<i64> {
    let (sign, rest) = match text.split_at_checked(1) {
        None | Some(("Z", "")) => return Some(0),
        Some(("+", rest)) => (1, rest),
        Some(("-", rest)) => (-1, rest),
        Some(_) => return None,
    };
    let (hours, minutes) = rest.split_once(':').unwrap_or((rest, "0"));
    Some(sign * (hours.parse::<i64>().ok()? * 60 + minutes.parse::<i64>().ok()?) * 60 * SECOND)
}

fn write(micros: i64, form: Form<'_>) -> Option<String> {
    let (days, time) = (micros.div_euclid(DAY), micros.rem_euclid(DAY));
    let date = NaiveDate::from_num_days_from_ce_opt(i32::try_from(days + 719_163).ok()?)?;
    let (year, era) = if date.year() > 0 { (date.year(), "") } else { (1 - date.year(), " BC") };
    let date = format!("{year:04}-{:02}-{:02}", date.month(), date.day());
    Some(match form.has_time {
        true => format!("{date} {}{}{era}", write_time(time), form.zone),
        false => format!("{date}{era}"),
    })
}

fn write_time(micros: i64) -> String {
    let seconds = micros / SECOND;
    let clock = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    match micros % SECOND {
        0 => clock,
        fraction => format!("{clock}.{}", format!("{fraction:06}").trim_end_matches('0')),
    }
}

/// Microseconds of an interval as `postgres` style writes it, months being 30 days.
fn read_interval(text: &str) -> Option<i64> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let mut micros = 0_i64;
    let mut at = 0;
    while at < words.len() {
        if words[at].contains(':') {
            let (sign, time) = match words[at].strip_prefix('-') {
                Some(rest) => (-1, rest),
                None => (1, words[at].strip_prefix('+').unwrap_or(words[at])),
            };
            micros = micros.checked_add(sign * read_time(time)?)?;
            at += 1;
            continue;
        }
        let number: i64 = words[at].parse().ok()?;
        let unit = match words.get(at + 1)?.trim_end_matches('s') {
            "year" => 360 * DAY,
            "mon" => 30 * DAY,
            "day" => DAY,
            _ => return None,
        };
        micros = micros.checked_add(number.checked_mul(unit)?)?;
        at += 2;
    }
    (!words.is_empty()).then_some(micros)
}

fn write_interval(micros: i64) -> String {
    let sign = if micros < 0 { "-" } else { "" };
    let (days, time) = (micros.abs() / DAY, micros.abs() % DAY);
    match (days, time) {
        (0, _) => format!("{sign}{}", write_time(time)),
        (_, 0) => format!("{sign}{days} days"),
        _ => format!("{sign}{days} days {sign}{}", write_time(time)),
    }
}

/// The three kinds of times.
#[derive(Clone, Debug, Default)]
pub(crate) struct Times {
    points: BTreeMap<i64, i64>,
    clocks: BTreeMap<i64, i64>,
    intervals: BTreeMap<i64, i64>,
    days: i64,
}

impl Times {
    pub(crate) fn add_point(&mut self, text: &str) {
        if let Some((micros, _)) = read(text) {
            self.points.insert(micros, micros);
        }
    }

    pub(crate) fn add_clock(&mut self, text: &str) {
        if let Some(micros) = read_time(text) {
            self.clocks.insert(micros, micros);
        }
    }

    pub(crate) fn add_interval(&mut self, text: &str) {
        if let Some(micros) = read_interval(text) {
            self.intervals.insert(micros, micros);
        }
    }

    /// Whether a text is a time, with four digits of a year at its beginning.
    pub(crate) fn is_point(text: &str) -> bool {
        read(text).is_some()
    }

    /// Gives every time its stand-in.
    pub(crate) fn settle(&mut self, key: &Key) {
        self.days = shift_days(key);
        move_aside(&mut self.points, key, "points");
        move_aside(&mut self.clocks, key, "clocks");
        move_aside(&mut self.intervals, key, "intervals");
    }

    pub(crate) fn replace_point(&self, text: &str) -> Option<String> {
        if is_word(text) {
            return Some(text.to_owned());
        }
        let (micros, form) = read(text)?;
        write(self.points.get(&micros)?.checked_sub(self.days * DAY)?, form)
    }

    pub(crate) fn replace_clock(&self, text: &str) -> Option<String> {
        Some(write_time((*self.clocks.get(&read_time(text)?)?).clamp(0, DAY)))
    }

    pub(crate) fn replace_interval(&self, text: &str) -> Option<String> {
        let micros = read_interval(text)?;
        Some(write_interval(*self.intervals.get(&micros)?))
    }
}

/// Moves each value between its neighbours, and within what it is a whole number of.
fn move_aside(values: &mut BTreeMap<i64, i64>, key: &Key, domain: &str) {
    let sorted: Vec<i64> = values.keys().copied().collect();
    for (at, value) in sorted.iter().enumerate() {
        let below = at.checked_sub(1).map_or(0, |n| value.saturating_sub(sorted[n]));
        let above = sorted.get(at + 1).map_or(0, |next| next.saturating_sub(*value));
        let unit = [DAY, SECOND, SECOND / 1000].into_iter().find(|unit| value % unit == 0).unwrap_or(1);
        let mut random = key.stream(domain, &value.to_be_bytes());
        let (down, up) = (below / 5 / unit, above / 5 / unit);
        // Where there is room, not where it was.
        let steps = match random.random_range(0..(down + up).max(1)) {
            _ if down + up == 0 => 0,
            step if step < down => -1 - step,
            step => step - down + 1,
        };
        if *value != 0 {
            values.insert(*value, value.saturating_add(steps * unit));
        }
    }
}

/// Moves the numbers of a histogram aside, which are in order.
pub(crate) fn lengths(values: &[f64], key: &Key) -> Vec<f64> {
    let mut random = key.stream("lengths", &[]);
    let gap = |at: usize, next: usize| values.get(next).map_or(0.0, |v| (v - values[at]).abs());
    (0..values.len())
        .map(|at| {
            let below = at.checked_sub(1).map_or(0.0, |before| gap(at, before));
            let range = -0.2 * below..=0.2 * gap(at, at + 1);
            values[at] + if range.is_empty() { 0.0 } else { random.random_range(range) }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(texts: &[&str]) -> Times {
        let mut times = Times::default();
        texts.iter().for_each(|t| times.add_point(t));
        times.settle(&Key::new([3; 32]));
        times
    }

    #[test]
    fn texts_are_read_and_written_alike() {
        for text in [
            "2026-11-20",
            "2026-11-20 12:30:01",
            "2026-11-20 12:30:01.25+00",
            "0044-03-15 BC",
            "12026-01-01 00:00:00+00",
        ] {
            let (micros, form) = read(text).unwrap();
            assert_eq!(write(micros, form).as_deref(), Some(text));
        }
        assert_eq!(read("2026-01-01 02:00:00+02").unwrap().0, read("2026-01-01").unwrap().0);
        for text in ["", "26-1-1", "2026-13-01", "hello", "2026-01-01 noon", "1-2-3"] {
            assert_eq!(read(text), None, "{text}");
        }
        for text in ["1 year 2 mons -3 days -04:05:06.5", "00:00:01", "5 days"] {
            assert!(read_interval(text).is_some(), "{text}");
        }
        assert_eq!(read_interval("soon"), None);
        assert_eq!(write_interval(read_interval("1 mon 2 days 03:00:00").unwrap()), "32 days 03:00:00");
    }

    #[test]
    fn times_keep_their_order_their_form_and_nearly_their_distance() {
        let texts = [
            "2026-01-01",
            "2026-01-02",
            "2026-01-02 00:00:01+00",
            "2026-06-01 12:00:00",
            "2026-06-02 12:00:00.123456",
            "2026-12-01",
        ];
        let times = settled(&texts);
        let replaced: Vec<String> = texts.iter().map(|t| times.replace_point(t).unwrap()).collect();
        let micros: Vec<i64> = replaced.iter().map(|t| read(t).unwrap().0).collect();
        assert!(micros.is_sorted() && micros.windows(2).all(|w| w[0] < w[1]), "{replaced:?}");
        for (text, stand_in) in texts.iter().zip(&replaced) {
            assert_eq!(text.len(), stand_in.len());
            assert!(!texts.contains(&stand_in.as_str()), "{stand_in}");
        }
        let whole = read(texts[5]).unwrap().0 - read(texts[0]).unwrap().0;
        let kept = (micros[5] - micros[0]) as f64 / whole as f64;
        assert!((0.8..1.2).contains(&kept), "{kept}");
        assert_eq!(times.replace_point("infinity").as_deref(), Some("infinity"));
        assert_eq!(times.replace_point("2025-01-01"), None);
    }
}
