//! What does one entry of a log say, whichever format it was written in?

use std::borrow::Cow;

use serde::Serialize;

/// How grave an entry is, in PostgreSQL's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Severity {
    /// DEBUG1 to DEBUG5.
    Debug,
    /// What the server reports about itself.
    Log,
    /// What a client asked to be told.
    Info,
    /// Notices to clients.
    Notice,
    /// Warnings.
    Warning,
    /// A statement failed.
    Error,
    /// A session ended.
    Fatal,
    /// All sessions ended.
    Panic,
}

impl Severity {
    /// PostgreSQL's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "DEBUG",
            Self::Log => "LOG",
            Self::Info => "INFO",
            Self::Notice => "NOTICE",
            Self::Warning => "WARNING",
            Self::Error => "ERROR",
            Self::Fatal => "FATAL",
            Self::Panic => "PANIC",
        }
    }

    /// Reads PostgreSQL's word.
    pub(crate) fn read(word: &[u8]) -> Option<Self> {
        Some(match word {
            b"LOG" => Self::Log,
            b"ERROR" => Self::Error,
            b"FATAL" => Self::Fatal,
            b"PANIC" => Self::Panic,
            b"WARNING" => Self::Warning,
            b"NOTICE" => Self::Notice,
            b"INFO" => Self::Info,
            b"DEBUG" | b"DEBUG1" | b"DEBUG2" | b"DEBUG3" | b"DEBUG4" | b"DEBUG5" => Self::Debug,
            _ => return None,
        })
    }
}

/// Who wrote an entry and when. What is not known is empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Origin<'a> {
    /// Milliseconds since 1970-01-01 00:00 on the clock of the log's own time zone.
    pub time_ms: Option<i64>,
    /// The time zone as the log names it.
    pub zone: &'a [u8],
    /// The process.
    pub pid: Option<u32>,
    /// The session (`%c`), for logs without a process id.
    pub session: &'a [u8],
    /// The role.
    pub user: &'a [u8],
    /// The database.
    pub database: &'a [u8],
    /// `application_name`.
    pub application: &'a [u8],
    /// The client's address, with or without its port.
    pub host: &'a [u8],
    /// SQLSTATE.
    pub sqlstate: &'a [u8],
}

impl Origin<'_> {
    /// What tells processes apart, if the log does: the process id, or a number made of the session's name.
    pub(crate) fn backend(&self) -> Option<u64> {
        let session = || (!self.session.is_empty()).then(|| twox_hash::XxHash64::oneshot(1, self.session));
        self.pid.map(u64::from).or_else(session)
    }
}

/// One entry. Texts are as they stand in the file but for the quoting of its format.
#[derive(Clone, Debug)]
pub struct Entry<'a> {
    /// Who and when.
    pub origin: Origin<'a>,
    /// How grave.
    pub severity: Severity,
    /// The message.
    pub message: Cow<'a, [u8]>,
    /// DETAIL.
    pub detail: Cow<'a, [u8]>,
    /// HINT.
    pub hint: Cow<'a, [u8]>,
    /// CONTEXT.
    pub context: Cow<'a, [u8]>,
    /// STATEMENT: the text that the entry belongs to.
    pub statement: Cow<'a, [u8]>,
}

/// Text for people: continuation lines without the tab that the server puts before them, cut to a number of bytes.
pub(crate) fn text(bytes: &[u8], most_bytes: usize) -> String {
    let cut = bytes.len() > most_bytes;
    let bytes = &bytes[..bytes.len().min(most_bytes)];
    let mut text = String::from_utf8_lossy(bytes).replace("\n\t", "\n");
    if cut {
        // A character that was cut in half is no information.
        while text.ends_with('\u{fffd}') {
            text.pop();
        }
        text.push_str(" …");
    }
    text.truncate(text.trim_end().len());
    text
}

/// Reads `2026-03-01 10:20:30[.123] ZONE`, the zone being optional: milliseconds, the zone and what remains.
pub(crate) fn read_time(text: &[u8]) -> Option<(i64, &[u8], &[u8])> {
    if text.len() < 19 {
        return None;
    }
    let number = |from: usize, to: usize| -> Option<i64> {
        text[from..to].iter().try_fold(0, |n, b| b.is_ascii_digit().then(|| n * 10 + i64::from(b - b'0')))
    };
    let separated = text[4] == b'-'
        && text[7] == b'-'
        && matches!(text[10], b' ' | b'T')
        && text[13] == b':'
        && text[16] == b':';
    if !separated {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 24 || minute > 59 || second > 60 {
        return None;
    }
    let mut rest = &text[19..];
    let mut ms = 0;
    if rest.len() >= 4 && rest[0] == b'.' && rest[1..4].iter().all(u8::is_ascii_digit) {
        ms = rest[1..4].iter().fold(0, |n, b| n * 10 + i64::from(b - b'0'));
        rest = &rest[4..];
        let more = rest.iter().take_while(|b| b.is_ascii_digit()).count();
        rest = &rest[more..];
    }
    let time = ((days(year, month, day) * 24 + hour) * 60 + minute) * 60_000 + second * 1000 + ms;
    let mut zone = &rest[..0];
    let at = usize::from(rest.first() == Some(&b' '));
    let length =
        rest[at..].iter().take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-')).count();
    // After a blank, what begins with a letter or a sign is the zone: `%m` and `%t` always write one.
    if length > 0 && !rest[at].is_ascii_digit() {
        zone = &rest[at..at + length];
        rest = &rest[at + length..];
    }
    Some((time, zone, rest))
}

/// Days since 1970-01-01 (H. Hinnant, "chrono-compatible low-level date algorithms").
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// Where a short text first stands in another. Preparing a search as `memmem` does costs more than such a search.
pub(crate) fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    let (first, rest) = what.split_first()?;
    let mut at = 0;
    while let Some(n) = memchr::memchr(*first, &text[at..]) {
        at += n + 1;
        if text[at..].starts_with(rest) {
            return Some(at - 1);
        }
    }
    None
}

/// `2026-03-01 10:20:30` of milliseconds since 1970.
pub(crate) fn write_time(time_ms: i64) -> String {
    let seconds = time_ms.div_euclid(1000);
    let (day, second) = (seconds.div_euclid(86_400) + 719_468, seconds.rem_euclid(86_400));
    let era = day.div_euclid(146_097);
    let of_era = day.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_and_without_parts() {
        let read = |t: &str| {
            read_time(t.as_bytes()).map(|(ms, zone, rest)| {
                (ms, String::from_utf8_lossy(zone).into_owned(), String::from_utf8_lossy(rest).into_owned())
            })
        };
        let of = |ms, zone: &str, rest: &str| Some((ms, zone.to_owned(), rest.to_owned()));
        assert_eq!(read("1970-01-01 00:00:01.250 UTC [7]"), of(1250, "UTC", " [7]"));
        assert_eq!(read("2000-03-01 00:00:00 +03:x"), of(951_868_800_000, "+03", ":x"));
        assert_eq!(read("2024-02-29T12:00:00.123456Z"), of(1_709_208_000_123, "Z", ""));
        assert_eq!(read("2024-02-29 12:00:00 [1]"), of(1_709_208_000_000, "", " [1]"));
        assert_eq!(read("2024-13-29 12:00:00 UTC"), None);
        assert_eq!(read("2024-02-29"), None);
    }

    #[test]
    fn times_are_written_as_they_were_read() {
        for day in (-100_000..100_000_i32).step_by(37) {
            let text = write_time(i64::from(day) * 86_400_000 + 3_723_000);
            if !text.starts_with('-') {
                assert_eq!(
                    read_time(text.as_bytes()).map(|t| t.0),
                    Some(i64::from(day) * 86_400_000 + 3_723_000),
                    "{text}"
                );
            }
        }
    }

    #[test]
    fn short_texts_are_found() {
        for (text, what, expected) in [
            ("abcab", "ab", Some(0)),
            ("aaab", "ab", Some(2)),
            ("abc", "d", None),
            ("ab", "abc", None),
            ("", "a", None),
        ] {
            assert_eq!(find(text.as_bytes(), what.as_bytes()), expected, "{text} {what}");
        }
    }

    #[test]
    fn text_is_cut_between_characters_and_has_no_tabs_of_the_log() {
        assert_eq!(text("select\n\t1\n".as_bytes(), 100), "select\n1");
        assert_eq!(text("aäöü".as_bytes(), 4), "aä …");
    }
}
