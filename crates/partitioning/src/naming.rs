//! What is a partition called?
//!
//! A pattern is text with marks: `{table}`, for times `{YYYY}` `{MM}` `{DD}` `{HH24}` `{MI}` `{SS}` `{Q}` `{IYYY}`
//! `{IW}` of the wall-clock time at which the partition begins, `{n}` for the first number or the remainder, `{value}`
//! for a part of a list. Two partitions of a set never get one name: a pattern that would give it is refused. A name
//! may have 63 bytes (`NAMEDATALEN`), so a long `{table}` is cut and ends with a hash of the whole.

use std::collections::BTreeSet;

use jiff::civil::{DateTime, ISOWeekDate};
use model::partition_set::{Interval, TimeUnit};
use sha2::{Digest as _, Sha256};

use crate::error::Error;

/// The longest name that PostgreSQL does not cut.
pub const MAX_NAME_BYTES: usize = 63;

/// What fills the marks of a pattern.
pub(crate) enum Fill<'a> {
    Clock(DateTime),
    Number(i64),
    Word(&'a str),
}

/// The pattern of an interval, for the names of the first level: `training_runs_2024_01`.
pub fn default_pattern(interval: &Interval) -> &'static str {
    match interval {
        Interval::Time { unit, .. } => match unit {
            TimeUnit::Minute => "{table}_{YYYY}_{MM}_{DD}_{HH24}{MI}",
            TimeUnit::Hour => "{table}_{YYYY}_{MM}_{DD}_{HH24}",
            TimeUnit::Day => "{table}_{YYYY}_{MM}_{DD}",
            TimeUnit::Week => "{table}_{IYYY}_w{IW}",
            TimeUnit::Month => "{table}_{YYYY}_{MM}",
            TimeUnit::Quarter => "{table}_{YYYY}_q{Q}",
            TimeUnit::Year => "{table}_{YYYY}",
        },
        Interval::Numbers(_) => "{table}_{n}",
        Interval::Values(_) => "{table}_{value}",
        Interval::Remainders(_) => "{table}_h{n}",
    }
}

/// Refuses a pattern under which two partitions would have one name.
pub(crate) fn check(pattern: &str, interval: &Interval) -> Result<(), Error> {
    let wrong = |problem: String| Error::Pattern { pattern: pattern.to_owned(), problem };
    let marks: Vec<&str> = pieces(pattern)
        .map_err(wrong)?
        .into_iter()
        .filter_map(|p| if let Piece::Mark(m) = p { Some(m) } else { None })
        .collect();
    let has = |all: &[&str]| all.iter().all(|m| marks.contains(m));
    let week = has(&["IYYY", "IW"]);
    let month = has(&["YYYY", "MM"]);
    let day = has(&["YYYY", "MM", "DD"]);
    let (distinguishes, needed) = match interval {
        Interval::Time { unit, .. } => match unit {
            TimeUnit::Minute => (day && has(&["HH24", "MI"]), "{YYYY}, {MM}, {DD}, {HH24} and {MI}"),
            TimeUnit::Hour => (day && has(&["HH24"]), "{YYYY}, {MM}, {DD} and {HH24}"),
            TimeUnit::Day => (day, "{YYYY}, {MM} and {DD}"),
            TimeUnit::Week => (week || day, "{IYYY} and {IW}, or {YYYY}, {MM} and {DD}"),
            TimeUnit::Month => (month, "{YYYY} and {MM}"),
            TimeUnit::Quarter => (has(&["YYYY", "Q"]) || month, "{YYYY} and {Q}, or {YYYY} and {MM}"),
            TimeUnit::Year => (has(&["YYYY"]), "{YYYY}"),
        },
        Interval::Numbers(_) | Interval::Remainders(_) => (has(&["n"]), "{n}"),
        Interval::Values(_) => (has(&["value"]), "{value}"),
    };
    let suits = |mark: &&str| match *mark {
        "table" => true,
        "n" => matches!(interval, Interval::Numbers(_) | Interval::Remainders(_)),
        "value" => matches!(interval, Interval::Values(_)),
        _ => matches!(interval, Interval::Time { .. }),
    };
    if let Some(mark) = marks.iter().find(|m| !suits(m)) {
        return Err(wrong(format!("has {{{mark}}}, which a partition by {interval} does not have")));
    }
    if !distinguishes {
        return Err(wrong(format!("gives several partitions one name; it needs {needed}")));
    }
    Ok(())
}

enum Piece<'a> {
    Text(&'a str),
    Mark(&'a str),
}

const MARKS: &[&str] = &["table", "YYYY", "MM", "DD", "HH24", "MI", "SS", "Q", "IYYY", "IW", "n", "value"];

fn pieces(pattern: &str) -> Result<Vec<Piece<'_>>, String> {
    let mut pieces = Vec::new();
    let mut rest = pattern;
    while let Some((text, after)) = rest.split_once('{') {
        pieces.push(Piece::Text(text));
        let Some((mark, after)) = after.split_once('}') else { return Err("has a { without a }".to_owned()) };
        if !MARKS.contains(&mark) {
            let known: Vec<String> = MARKS.iter().map(|m| format!("{{{m}}}")).collect();
            return Err(format!("has {{{mark}}}, which is none of {}", known.join(", ")));
        }
        pieces.push(Piece::Mark(mark));
        rest = after;
    }
    pieces.push(Piece::Text(rest));
    Ok(pieces)
}

/// What the partitions of a list are called after: its values, as far as they make names that tell them apart and that
/// nothing else of the set has; or else their numbers.
pub fn list_names(values: &[Option<String>]) -> Vec<String> {
    const LONGEST: usize = 20;
    // The partition that takes the rest, and a table while and after it is converted.
    const TAKEN: [&str; 4] = ["default", "history", "pgwright_new", "unpartitioned"];
    let word = |value: &Option<String>| -> String {
        let kept = value.as_deref().unwrap_or("null").to_lowercase();
        kept.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
    };
    let words: Vec<String> = values.iter().map(word).collect();
    let distinct: BTreeSet<&String> = words.iter().collect();
    let tells = |word: &String| {
        word.len() <= LONGEST
            && word.chars().any(|c| c.is_ascii_alphanumeric())
            && !TAKEN.contains(&word.as_str())
    };
    if distinct.len() == words.len() && words.iter().all(tells) {
        return words;
    }
    (1..=values.len()).map(|number| number.to_string()).collect()
}

/// The name by a pattern.
pub(crate) fn render(pattern: &str, table: &str, fill: &Fill<'_>) -> Result<String, Error> {
    let wrong = |problem: String| Error::Pattern { pattern: pattern.to_owned(), problem };
    let pieces = pieces(pattern).map_err(wrong)?;
    let render = |table: &str| -> String {
        pieces
            .iter()
            .map(|piece| match piece {
                Piece::Text(text) => (*text).to_owned(),
                Piece::Mark("table") => table.to_owned(),
                Piece::Mark(mark) => filled(mark, fill),
            })
            .collect()
    };
    let whole = render(table);
    if whole.len() <= MAX_NAME_BYTES {
        return Ok(whole);
    }
    let around = render("").len();
    match fitted(table, MAX_NAME_BYTES.saturating_sub(around)) {
        Some(short) => Ok(render(&short)),
        None => Err(wrong(format!("leaves no room for the table's name in {MAX_NAME_BYTES} bytes"))),
    }
}

/// A name in at most so many bytes: cut, with a hash of the whole at its end. `None` when there is no room for that.
pub fn fitted(name: &str, bytes: usize) -> Option<String> {
    if name.len() <= bytes {
        return Some(name.to_owned());
    }
    let digest = Sha256::digest(name.as_bytes());
    let hash: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    let room = bytes.checked_sub(hash.len() + 1).filter(|room| *room > 0)?;
    let cut = (0..=room).rev().find(|at| name.is_char_boundary(*at)).unwrap_or(0);
    Some(format!("{}_{hash}", name.get(..cut).unwrap_or_default()))
}

fn filled(mark: &str, fill: &Fill<'_>) -> String {
    match fill {
        Fill::Clock(clock) => {
            let week: ISOWeekDate = clock.date().iso_week_date();
            match mark {
                "YYYY" => format!("{:04}", clock.year()),
                "MM" => format!("{:02}", clock.month()),
                "DD" => format!("{:02}", clock.day()),
                "HH24" => format!("{:02}", clock.hour()),
                "MI" => format!("{:02}", clock.minute()),
                "SS" => format!("{:02}", clock.second()),
                "Q" => ((clock.month() - 1) / 3 + 1).to_string(),
                "IYYY" => format!("{:04}", week.year()),
                "IW" => format!("{:02}", week.week()),
                _ => String::new(),
            }
        }
        // A minus would need quotes in every statement.
        Fill::Number(n) if *n < 0 => format!("m{}", n.unsigned_abs()),
        Fill::Number(n) => n.to_string(),
        Fill::Word(word) => (*word).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::list_names;

    #[test]
    fn partitions_of_a_list_are_called_after_their_values() {
        for (values, names) in [
            ([Some("eu"), Some("US")], ["eu", "us"]),
            ([Some("a b"), Some("c")], ["a_b", "c"]),
            ([Some("a b"), Some("a-b")], ["1", "2"]),
            ([Some(""), Some("x")], ["1", "2"]),
            ([Some("übrige"), Some("x")], ["_brige", "x"]),
            ([Some("x"), None], ["x", "null"]),
            ([Some("null"), None], ["1", "2"]),
            ([Some("Default"), Some("x")], ["1", "2"]),
            ([Some("unpartitioned"), Some("x")], ["1", "2"]),
        ] {
            let owned = values.map(|v| v.map(str::to_owned));
            assert_eq!(list_names(&owned), names, "{values:?}");
        }
    }
}
