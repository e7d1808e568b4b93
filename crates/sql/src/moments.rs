//! Which moment does a text say? Dates and times in ISO form, as people write bounds and the server prints them, in one
//! text each.

use chrono::{DateTime, FixedOffset, NaiveDate, NaiveDateTime, NaiveTime};

/// One text for all that say the same moment of a type (`date`, `timestamp …`); `None` for what is not in ISO form.
///
/// Without an offset, a text for `timestamp with time zone` says a moment of the session's time zone; `utc` says that it
/// is UTC.
pub(crate) fn canonical(text: &str, of_type: &str, utc: bool) -> Option<String> {
    let text = text.trim();
    if of_type == "date" {
        return NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().map(|day| day.to_string());
    }
    let (local, offset) = split_offset(text);
    let local = local_moment(local.trim_end())?;
    let printed = |moment: NaiveDateTime| moment.format("%Y-%m-%d %H:%M:%S%.6f").to_string();
    match (of_type.ends_with("with time zone"), offset) {
        // The offset of a text for a type without one is passed over.
        (false, _) => Some(printed(local)),
        (true, Some(seconds)) => {
            let offset = FixedOffset::east_opt(seconds)?;
            let moment: DateTime<FixedOffset> = local.and_local_timezone(offset).single()?;
            Some(format!("{}+00", printed(moment.naive_utc())))
        }
        (true, None) => Some(format!("{}{}", printed(local), if utc { "+00" } else { "" })),
    }
}

fn local_moment(text: &str) -> Option<NaiveDateTime> {
    let formats = ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M"];
    let day = || NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().map(|day| day.and_time(NaiveTime::MIN));
    formats.iter().find_map(|format| NaiveDateTime::parse_from_str(text, format).ok()).or_else(day)
}

/// A text and the seconds of its offset east: `…+02`, `…-03:30`, `…Z`.
fn split_offset(text: &str) -> (&str, Option<i32>) {
    if let Some(before) = text.strip_suffix(['Z', 'z']) {
        return (before, Some(0));
    }
    // The signs of a date come before its time.
    let time_at = text.find(':').unwrap_or(text.len());
    let Some(at) = text[time_at..].rfind(['+', '-']).map(|at| at + time_at) else { return (text, None) };
    let sign = if text[at..].starts_with('-') { -1 } else { 1 };
    let mut parts = text[at + 1..].split(':');
    let mut next = || parts.next().map_or(Some(0), |part| part.parse::<i32>().ok());
    match (next(), next(), next()) {
        (Some(hours), Some(minutes), Some(seconds)) => {
            (&text[..at], Some(sign * (hours * 3600 + minutes * 60 + seconds)))
        }
        _ => (text, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_moment_has_one_text() {
        let zoned = "timestamp with time zone";
        for (text, of_type, utc, expected) in [
            ("2024-01-31", "date", false, Some("2024-01-31")),
            ("31.1.2024", "date", false, None),
            ("2024-01-31", "timestamp without time zone", false, Some("2024-01-31 00:00:00.000000")),
            ("2024-01-31T08:30", "timestamp without time zone", false, Some("2024-01-31 08:30:00.000000")),
            (
                "2024-01-31 08:30:00.5",
                "timestamp without time zone",
                true,
                Some("2024-01-31 08:30:00.500000"),
            ),
            ("2024-01-31 08:30:00+02", zoned, false, Some("2024-01-31 06:30:00.000000+00")),
            ("2024-01-31 08:30:00-03:30", zoned, false, Some("2024-01-31 12:00:00.000000+00")),
            ("2024-01-31 08:30:00Z", zoned, false, Some("2024-01-31 08:30:00.000000+00")),
            ("2024-01-31", zoned, true, Some("2024-01-31 00:00:00.000000+00")),
            ("2024-01-31", zoned, false, Some("2024-01-31 00:00:00.000000")),
            ("infinity", zoned, false, None),
            ("2024-01-31 08:30:00+99:99", zoned, false, None),
            ("", zoned, false, None),
        ] {
            assert_eq!(canonical(text, of_type, utc).as_deref(), expected, "{text} {of_type}");
        }
    }
}
