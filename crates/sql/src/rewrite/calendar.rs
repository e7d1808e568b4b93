//! Dates as literals: which are written so that every `DateStyle` reads them alike, and which day comes after.
//!
//! Also which time zones have days that are no stretch of time: those whose clocks were once set back across
//! midnight, found by going through every transition of tzdata 2025b.

/// `2024-01-31` as year, month and day, when it is one.
pub(crate) fn date(text: &str) -> Option<(i64, i64, i64)> {
    let parts: Vec<&str> = text.split('-').collect();
    let [year, month, day] = parts.as_slice() else { return None };
    let digits = |s: &str, n: usize| s.len() == n && s.bytes().all(|b| b.is_ascii_digit());
    if !digits(year, 4) || !digits(month, 2) || !digits(day, 2) {
        return None;
    }
    let (year, month, day) = (year.parse().ok()?, month.parse().ok()?, day.parse().ok()?);
    let valid = (1..=12).contains(&month) && day >= 1 && day <= days(year, month) && year >= 1;
    valid.then_some((year, month, day))
}

fn days(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Whether a date is a Monday, with which weeks begin. Source: Sakamoto's method (comp.lang.c, 1993).
pub(crate) fn is_monday(text: &str) -> bool {
    const MONTHS: [i64; 12] = [0, 3, 2, 5, 0, 3, 5, 1, 4, 6, 2, 4];
    date(text).is_some_and(|(year, month, day)| {
        let year = if month < 3 { year - 1 } else { year };
        let shift = usize::try_from(month - 1).ok().and_then(|at| MONTHS.get(at)).copied().unwrap_or(0);
        (year + year / 4 - year / 100 + year / 400 + shift + day) % 7 == 1
    })
}

/// The date so many months and days later; `None` beyond the year 9999.
pub(crate) fn later(text: &str, months: i64, more_days: i64) -> Option<String> {
    let (mut year, mut month, mut day) = date(text)?;
    if !(0..=1_200).contains(&months) || !(-3_660..=3_660).contains(&more_days) {
        return None;
    }
    if more_days < 0 {
        let first = if months == 0 { text.to_owned() } else { later(text, months, 0)? };
        return (more_days..0).try_fold(first, |day, _| before(&day));
    }
    month += months;
    year += (month - 1) / 12;
    month = (month - 1) % 12 + 1;
    day = day.min(days(year, month));
    for _ in 0..more_days {
        day += 1;
        if day > days(year, month) {
            day = 1;
            month += 1;
        }
        if month > 12 {
            month = 1;
            year += 1;
        }
    }
    (year <= 9999).then(|| format!("{year:04}-{month:02}-{day:02}"))
}

/// A date or a midnight as the date, and a time of day in hours, minutes and seconds.
pub(crate) fn moment(text: &str) -> Option<(&str, (u32, u32, u32))> {
    let (day, time) = text.split_once([' ', 'T']).unwrap_or((text, "00:00:00"));
    date(day)?;
    let parts: Vec<&str> = time.split(':').collect();
    let number = |s: &str| (s.len() == 2).then(|| s.parse::<u32>().ok()).flatten();
    let (hour, minute, second) = match parts.as_slice() {
        [h, m] => (number(h)?, number(m)?, 0),
        [h, m, s] => (number(h)?, number(m)?, number(s)?),
        _ => return None,
    };
    (hour < 24 && minute < 60 && second < 60).then_some((day, (hour, minute, second)))
}

/// The date and the time of day so many minutes later or earlier.
fn shifted(day: &str, minutes: i64) -> Option<(String, i64)> {
    let (days, rest) = (minutes.div_euclid(1440), minutes.rem_euclid(1440));
    let day = match days {
        -1 => before(day)?,
        0 => day.to_owned(),
        _ => later(day, 0, days)?,
    };
    Some((day, rest))
}

/// The date before.
fn before(text: &str) -> Option<String> {
    let (year, month, day) = date(text)?;
    let (year, month, day) = match (month, day) {
        (1, 1) => (year - 1, 12, 31),
        (month, 1) => (year, month - 1, days(year, month - 1)),
        (month, day) => (year, month, day - 1),
    };
    (year >= 1).then(|| format!("{year:04}-{month:02}-{day:02}"))
}

/// A moment that is written with its distance from UTC, as `2024-01-31 12:00:00+00`; every setting reads it alike.
pub(crate) fn instant(text: &str) -> Option<String> {
    let (local, minutes) = match text.strip_suffix('Z') {
        Some(local) => (local, 0),
        None => {
            let at = text.rfind(['+', '-']).filter(|at| *at > 10)?;
            let (local, offset) = text.split_at(at);
            let (sign, offset) = offset.split_at(1);
            let number = |s: &str| (s.len() == 2).then(|| s.parse::<i64>().ok()).flatten();
            let minutes = match offset.split_once(':') {
                Some((hours, minutes)) => number(hours)? * 60 + number(minutes).filter(|m| *m < 60)?,
                None => number(offset)? * 60,
            };
            (local, if sign == "-" { -minutes } else { minutes })
        }
    };
    // What PostgreSQL takes for a distance; with a time of day, so that no part of a date is taken for one.
    if minutes.abs() > 15 * 60 || !local.contains(':') {
        return None;
    }
    let (day, (hour, minute, second)) = moment(local)?;
    let (day, rest) = shifted(day, i64::from(hour * 60 + minute) - minutes)?;
    Some(format!("{day} {:02}:{:02}:{second:02}+00", rest / 60, rest % 60))
}

/// Such a moment so many minutes later or earlier.
pub(crate) fn moved(text: &str, minutes: i64) -> Option<String> {
    let instant = instant(text)?;
    let (day, (hour, minute, second)) = moment(instant.strip_suffix("+00")?)?;
    let total = i64::from(hour * 60 + minute) + minutes;
    let day = match total.div_euclid(1440) {
        0 => day.to_owned(),
        days => later(day, 0, days)?,
    };
    let rest = total.rem_euclid(1440);
    Some(format!("{day} {:02}:{:02}:{second:02}+00", rest / 60, rest % 60))
}

/// Zones in which some day is no stretch of time.
const SET_BACK_ACROSS_MIDNIGHT: &[&str] = &[
    "America/Adak",
    "America/Anchorage",
    "America/Atka",
    "America/Goose_Bay",
    "America/Juneau",
    "America/Metlakatla",
    "America/Moncton",
    "America/Nome",
    "America/Phoenix",
    "America/Sitka",
    "America/St_Johns",
    "America/Yakutat",
    "Antarctica/Casey",
    "Canada/Newfoundland",
    "Pacific/Guam",
    "Pacific/Saipan",
    "US/Alaska",
    "US/Aleutian",
    "US/Arizona",
];

/// Whether every day of a time zone is one stretch of time.
pub(crate) fn days_are_whole(zone: &str) -> bool {
    let named =
        zone.contains('/') && !zone.contains(',') && zone.starts_with(|c: char| c.is_ascii_uppercase());
    is_fixed(zone) || (named && SET_BACK_ACROSS_MIDNIGHT.binary_search(&zone).is_err())
}

/// Whether a time zone never changes its clocks.
pub(crate) fn is_fixed(zone: &str) -> bool {
    matches!(
        zone,
        "UTC" | "GMT" | "Etc/UTC" | "Zulu" | "Universal" | "UCT" | "Etc/UCT" | "Etc/Zulu" | "Etc/Universal"
    ) || zone.starts_with("Etc/GMT")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_months_later() {
        for (text, months, days, expected) in [
            ("2024-02-28", 0, 1, Some("2024-02-29")),
            ("2023-12-31", 0, 1, Some("2024-01-01")),
            ("2024-01-31", 1, 0, Some("2024-02-29")),
            ("2024-11-01", 3, 0, Some("2025-02-01")),
            ("9999-12-31", 0, 1, None),
            ("2024-2-01", 0, 1, None),
            ("2023-02-29", 0, 1, None),
        ] {
            assert_eq!(later(text, months, days).as_deref(), expected, "{text}");
        }
        assert_eq!(moment("2024-05-05 10:00:00"), Some(("2024-05-05", (10, 0, 0))));
        assert_eq!(moment("2024-05-05 10:00:00+02"), None);
    }

    #[test]
    fn moments_with_a_distance_from_utc() {
        for (text, expected) in [
            ("2024-03-05 00:00+09", Some("2024-03-04 15:00:00+00")),
            ("2024-02-28 23:30:15-01:30", Some("2024-02-29 01:00:15+00")),
            ("2024-01-01 00:00:00+00:30", Some("2023-12-31 23:30:00+00")),
            ("2024-01-01T00:00:00Z", Some("2024-01-01 00:00:00+00")),
            ("2024-01-01 00:00:00", None),
            ("2024-01-01-05", None),
            ("2024-01-01 00:00:00.5+00", None),
            ("2024-01-01 00:00+16", None),
            ("2024-01-01 00:00 Europe/Berlin", None),
        ] {
            assert_eq!(instant(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn zones() {
        assert!(SET_BACK_ACROSS_MIDNIGHT.is_sorted());
        for (zone, whole) in [
            ("UTC", true),
            ("Europe/Berlin", true),
            ("Etc/GMT-5", true),
            ("America/St_Johns", false),
            ("<+03>-03", false),
            ("EST5EDT,M3.2.0/0,M11.1.0/0", false),
            ("unknown", false),
        ] {
            assert_eq!(days_are_whole(zone), whole, "{zone}");
        }
    }
}
