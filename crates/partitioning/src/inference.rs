//! By which rule were the partitions of a table made? Looked for in their bounds and names, so that a set that another
//! tool or a person made goes on as it is.

use std::collections::BTreeMap;

use model::partition_set::{
    Division, Interval, ListPart, PartitionSet, Retention, SubDivision, Template, TimeUnit,
};
use model::partition_tree::PartitionTable;
use model::{KeyKind, QualifiedName};

use crate::bound::{Bound, Edge, Key};
use crate::calendar::MICROS_PER_DAY;
use crate::grid::Grid;
use crate::naming::default_pattern;
use crate::tree::{Trees, kind_of};

/// A rule that was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Inferred {
    /// The set.
    pub set: PartitionSet,
    /// What was guessed or does not follow the rule, in sentences.
    pub notes: Vec<String>,
}

/// Patterns that tools and people give: pgwright's and the manual's, pg_partman 4 and 5, pgslice, and by hand.
const PATTERNS: &[&str] = &[
    "{table}_{YYYY}_{MM}_{DD}_{HH24}",
    "{table}_{YYYY}_{MM}_{DD}",
    "{table}_{YYYY}_{MM}",
    "{table}_{YYYY}_q{Q}",
    "{table}_{YYYY}",
    "{table}_{IYYY}_w{IW}",
    "{table}_y{YYYY}m{MM}d{DD}",
    "{table}_y{YYYY}m{MM}",
    "{table}_y{YYYY}q{Q}",
    "{table}_y{YYYY}w{IW}",
    "{table}_y{YYYY}",
    "{table}_{YYYY}_{MM}_{DD}_{HH24}{MI}",
    "{table}_{YYYY}{MM}{DD}_{HH24}{MI}",
    "{table}_{YYYY}{MM}{DD}{HH24}{MI}",
    "{table}_p{YYYY}_{MM}_{DD}_{HH24}{MI}",
    "{table}_p{YYYY}_{MM}_{DD}",
    "{table}_p{YYYY}_{MM}",
    "{table}_p{YYYY}q{Q}",
    "{table}_p{YYYY}",
    "{table}_p{IYYY}w{IW}",
    "{table}_p{YYYY}{MM}{DD}_{HH24}{MI}{SS}",
    "{table}_p{YYYY}{MM}{DD}",
    "{table}_{YYYY}{MM}{DD}{HH24}",
    "{table}_{YYYY}{MM}{DD}",
    "{table}_{YYYY}{MM}",
    "{table}_{YYYY}q{Q}",
    "{table}{YYYY}{MM}{DD}",
    "{table}{YYYY}{MM}",
    "{table}_{n}",
    "{table}_p{n}",
    "{table}{n}",
    "{table}_h{n}",
];

/// How many partitions are kept ahead where nothing says it.
pub const DEFAULT_PREMAKE: u32 = 4;

/// Finds the rule of a table's partitions. `server_zone` is the server's `TimeZone`, `now_micros` its clock.
///
/// # Errors
/// Why none was found, in a sentence.
pub fn infer(
    trees: &Trees,
    parent: &PartitionTable,
    server_zone: &str,
    now_micros: i64,
) -> Result<Inferred, String> {
    let key = parent.key.as_ref().ok_or_else(|| format!("Table {} is not partitioned.", parent.name))?;
    let kind = kind_of(key).ok_or_else(|| {
        format!(
            "The key {} is of several columns, an expression, or of a type that pgwright does not divide.",
            key.definition
        )
    })?;
    let column = key.single().map_or_else(String::new, |(column, _)| column.to_owned());
    let mut notes = Vec::new();
    let mut children: Vec<(QualifiedName, Bound)> = Vec::new();
    for child in trees.children(parent) {
        match child.bound(kind) {
            Some(Bound::Default) => {}
            Some(bound) => children.push((child.table.name.clone(), bound)),
            None => {
                notes.push(format!("The bound of {} is not understood: {}.", child.table.name, child.text))
            }
        }
    }
    let table = &parent.name;
    let found = rule(table, &column, kind, &children, server_zone, &mut notes)?;
    let sub = sub_division(trees, parent, &column, &found.zone, &mut notes)?;
    let division = Division { key: column, kind, interval: found.interval };
    let naming = naming(&division, &found.zone, table, &children, &mut notes);
    for stranger in &found.strangers {
        notes.push(format!(
            "Partition {stranger} does not lie on the grid of {}; it stays as it is.",
            division.interval
        ));
    }
    let premake = premake(&division, &found.zone, &children, now_micros);
    Ok(Inferred {
        set: PartitionSet {
            parent: table.clone(),
            division,
            sub,
            time_zone: found.zone,
            premake,
            retention: Retention::default(),
            naming,
            template: Template::default(),
        },
        notes,
    })
}

/// The rule of one level of partitions.
fn rule(
    table: &QualifiedName,
    column: &str,
    kind: KeyKind,
    children: &[(QualifiedName, Bound)],
    server_zone: &str,
    notes: &mut Vec<String>,
) -> Result<Found, String> {
    let fixed = |interval: Interval| Found { interval, zone: "UTC".to_owned(), strangers: Vec::new() };
    Ok(match kind {
        KeyKind::List => fixed(Interval::Values(list_parts(table, children))),
        KeyKind::Hash => {
            let modulus = children.iter().filter_map(|(_, b)| match b {
                Bound::Remainder { modulus, .. } => Some(*modulus),
                _ => None,
            });
            fixed(Interval::Remainders(modulus.max().unwrap_or(1)))
        }
        _ if kind.is_number() => numbers(children).ok_or_else(|| none(table))?,
        _ => times(column, kind, children, server_zone, notes).ok_or_else(|| none(table))?,
    })
}

/// How partitions are divided again: as the last of those that are. One that could not be gone on with is an error,
/// since new partitions would then be of another kind than those that there are.
fn sub_division(
    trees: &Trees,
    parent: &PartitionTable,
    column: &str,
    zone: &str,
    notes: &mut Vec<String>,
) -> Result<Option<SubDivision>, String> {
    let Some(kind) = parent.key.as_ref().and_then(kind_of) else { return Ok(None) };
    let mut divided: Vec<(Bound, &PartitionTable)> = trees
        .children(parent)
        .filter(|child| child.table.key.is_some())
        .filter_map(|child| Some((child.bound(kind)?, child.table)))
        .collect();
    divided.sort_by(|a, b| a.0.cmp(&b.0));
    let Some((_, last)) = divided.last() else { return Ok(None) };
    let Some(key) = &last.key else { return Ok(None) };
    let cannot = || {
        format!(
            "The partitions of {} are divided again by {}, which pgwright does not do.",
            parent.name, key.definition
        )
    };
    let below = kind_of(key).ok_or_else(cannot)?;
    let by = key.single().map_or_else(String::new, |(by, _)| by.to_owned());
    let is_range = !matches!(below, KeyKind::List | KeyKind::Hash);
    if by.is_empty()
        || is_range && by != column
        || trees.children(last).any(|child| child.table.key.is_some())
    {
        return Err(cannot());
    }
    let parts: Vec<(QualifiedName, Bound)> = trees
        .children(last)
        .filter_map(|child| Some((child.table.name.clone(), child.bound(below)?)))
        .filter(|(_, bound)| *bound != Bound::Default)
        .collect();
    let found = rule(&last.name, &by, below, &parts, zone, notes)?;
    let division = Division { key: by, kind: below, interval: found.interval };
    // Days of a month are called after the whole, parts of a list after the partition that they divide.
    let above = if is_range { &parent.name } else { &last.name };
    let naming = naming(&division, zone, above, &parts, notes);
    let whole = trees.children(parent).filter(|child| child.text != "DEFAULT").count();
    if divided.len() < whole {
        notes.push(format!(
            "Some partitions are not divided again; new ones will be, by {}, as {} is.",
            key.definition, last.name
        ));
    }
    if trees.default_of(last).is_some() {
        notes.push(format!(
            "{} has a default partition below it; new partitions will have none, make it where it is needed.",
            last.name
        ));
    }
    let naming = naming.and_then(|pattern| pattern.strip_prefix("{table}").map(str::to_owned));
    Ok(Some(SubDivision { division, naming }))
}

fn none(table: &QualifiedName) -> String {
    format!("The partitions of {table} follow no rule that could be found.")
}

struct Found {
    interval: Interval,
    zone: String,
    strangers: Vec<QualifiedName>,
}

fn list_parts(parent: &QualifiedName, children: &[(QualifiedName, Bound)]) -> Vec<ListPart> {
    children
        .iter()
        .filter_map(|(name, bound)| match bound {
            Bound::Values(values) => {
                let prefix = format!("{}_", parent.name);
                let word = name.name.strip_prefix(&prefix).unwrap_or(&name.name).to_owned();
                Some(ListPart { name: word, values: values.clone() })
            }
            _ => None,
        })
        .collect()
}

/// The ranges with two finite ends.
fn finite(children: &[(QualifiedName, Bound)]) -> Vec<(&QualifiedName, Key, Key)> {
    children
        .iter()
        .filter_map(|(name, bound)| match bound.range() {
            Some((Edge::At(lower), Edge::At(upper))) if lower != i64::MIN && upper != i64::MAX => {
                Some((name, lower, upper))
            }
            _ => None,
        })
        .collect()
}

fn most_common(values: impl Iterator<Item = Key>) -> Option<Key> {
    let mut counts: BTreeMap<Key, usize> = BTreeMap::new();
    for value in values {
        *counts.entry(value).or_default() += 1;
    }
    counts
        .into_iter()
        .max_by_key(|(value, count)| (*count, std::cmp::Reverse(*value)))
        .map(|(value, _)| value)
}

fn numbers(children: &[(QualifiedName, Bound)]) -> Option<Found> {
    let ranges = finite(children);
    let step = most_common(ranges.iter().map(|(_, lower, upper)| upper.saturating_sub(*lower)))?;
    let strangers = ranges
        .iter()
        .filter(|(_, lower, upper)| upper - lower != step || lower.rem_euclid(step) != 0)
        .map(|(name, ..)| (*name).clone())
        .collect();
    Some(Found { interval: Interval::Numbers(u64::try_from(step).ok()?), zone: "UTC".to_owned(), strangers })
}

fn times(
    column: &str,
    kind: KeyKind,
    children: &[(QualifiedName, Bound)],
    server_zone: &str,
    notes: &mut Vec<String>,
) -> Option<Found> {
    let ranges = finite(children);
    let length = most_common(ranges.iter().map(|(_, lower, upper)| upper.saturating_sub(*lower)))?;
    let mut intervals: Vec<Interval> = [
        (1, TimeUnit::Month),
        (1, TimeUnit::Day),
        (1, TimeUnit::Week),
        (1, TimeUnit::Year),
        (1, TimeUnit::Quarter),
        (1, TimeUnit::Hour),
        (6, TimeUnit::Month),
    ]
    .map(|(count, unit)| Interval::Time { count, unit })
    .to_vec();
    let micros_per_hour = MICROS_PER_DAY / 24;
    let micros_per_minute = micros_per_hour / 60;
    if length < micros_per_hour && length % micros_per_minute == 0 {
        let count = u32::try_from(length / micros_per_minute).unwrap_or(1).max(1);
        intervals.push(Interval::Time { count, unit: TimeUnit::Minute });
    }
    for (micros, unit) in [(MICROS_PER_DAY, TimeUnit::Day), (micros_per_hour, TimeUnit::Hour)] {
        if let Ok(count) = u32::try_from(length / micros)
            && count > 1
            && length % micros == 0
        {
            intervals.push(Interval::Time { count, unit });
        }
    }
    let on_grid = |interval: &Interval, zone: &str| -> Option<Vec<QualifiedName>> {
        let division = Division { key: column.to_owned(), kind, interval: interval.clone() };
        let grid = Grid::new(&division, zone, None).ok()?;
        let strange = |lower: Key, upper: Key| {
            grid.at(lower).ok().flatten().is_none_or(|part| part.bound != Bound::between(lower, upper))
        };
        Some(ranges.iter().filter(|(_, l, u)| strange(*l, *u)).map(|(name, ..)| (*name).clone()).collect())
    };
    let best = |zones: &[&str]| -> Option<Found> {
        let mut best: Option<Found> = None;
        for zone in zones {
            for interval in &intervals {
                let Some(strangers) = on_grid(interval, zone) else { continue };
                if strangers.len() < ranges.len()
                    && best.as_ref().is_none_or(|b| strangers.len() < b.strangers.len())
                {
                    best = Some(Found { interval: interval.clone(), zone: (*zone).to_owned(), strangers });
                }
            }
        }
        best
    };
    let found = best(&["UTC", server_zone]);
    if let Some(found) = &found
        && (!kind.is_instant() || found.strangers.len() * 2 < ranges.len())
    {
        return best(&["UTC", server_zone]);
    }
    if !kind.is_instant() {
        return found;
    }
    let all: Vec<String> = jiff::tz::db().available().map(|name| name.as_str().to_owned()).collect();
    let elsewhere = best(&all.iter().map(String::as_str).collect::<Vec<_>>());
    if let Some(zone) = elsewhere.as_ref().map(|f| f.zone.clone()) {
        notes.push(format!(
            "The bounds begin days neither in UTC nor in {server_zone}; {zone} fits, as may others with the same offsets."
        ));
    }
    elsewhere.or(found)
}

/// The pattern that gives most partitions their names.
fn naming(
    division: &Division,
    zone: &str,
    parent: &QualifiedName,
    children: &[(QualifiedName, Bound)],
    notes: &mut Vec<String>,
) -> Option<String> {
    let default = default_pattern(&division.interval);
    let mut best: (usize, &str) = (0, default);
    for pattern in std::iter::once(&default).chain(PATTERNS) {
        let Ok(grid) = Grid::new(division, zone, Some(pattern)) else { continue };
        let count = children
            .iter()
            .filter(|(name, bound)| {
                let part = match bound.range() {
                    Some((Edge::At(lower), _)) => grid.at(lower).ok().flatten(),
                    _ => match (bound, &division.interval) {
                        (Bound::Remainder { remainder, .. }, _) => {
                            Some(crate::grid::Part { cell: i64::from(*remainder), bound: (*bound).clone() })
                        }
                        (Bound::Values(values), Interval::Values(parts)) => parts
                            .iter()
                            .position(|p| p.values == *values)
                            .and_then(|at| i64::try_from(at).ok())
                            .map(|cell| crate::grid::Part { cell, bound: (*bound).clone() }),
                        _ => None,
                    },
                };
                part.is_some_and(|part| grid.name(parent, &part).is_ok_and(|n| n.name == name.name))
            })
            .count();
        if count > best.0 {
            best = (count, pattern);
        }
    }
    if best.0 == 0 && !children.is_empty() {
        notes.push(format!(
            "The names of the partitions follow no known pattern; new ones will be called {default}."
        ));
    }
    (best.1 != default).then(|| best.1.to_owned())
}

/// As many as there are ahead now, at least one.
fn premake(division: &Division, zone: &str, children: &[(QualifiedName, Bound)], now_micros: i64) -> u32 {
    let now = Grid::new(division, zone, None).ok().and_then(|grid| grid.now(now_micros).ok().flatten());
    let Some(now) = now else { return DEFAULT_PREMAKE };
    let ahead = finite(children).iter().filter(|(_, lower, _)| *lower > now).count();
    // A partition of 2099 that somebody made is no habit.
    match u32::try_from(ahead) {
        Ok(n @ 1..=100) => n,
        _ => DEFAULT_PREMAKE,
    }
}

/// An interval as pg_partman and PostgreSQL write it: `1 mon`, `3 mons`, `7 days`, `01:00:00`, `1000`, `monthly`.
///
/// # Errors
/// When it is of another form.
pub fn interval_of_server(text: &str) -> Result<Interval, String> {
    if let Some((hours, "00:00")) = text.trim().split_once(':')
        && let Ok(count @ 1..) = hours.parse::<u32>()
    {
        return Ok(Interval::Time { count, unit: TimeUnit::Hour });
    }
    if let Some(count) = text.trim().strip_prefix("00:").and_then(|t| t.strip_suffix(":00"))
        && let Ok(count @ 1..) = count.parse::<u32>()
    {
        return Ok(Interval::Time { count, unit: TimeUnit::Minute });
    }
    let interval = words(text).parse()?;
    Ok(match interval {
        Interval::Time { count, unit: TimeUnit::Day } if count % 7 == 0 => {
            Interval::Time { count: count / 7, unit: TimeUnit::Week }
        }
        Interval::Time { count: 3, unit: TimeUnit::Month } => {
            Interval::Time { count: 1, unit: TimeUnit::Quarter }
        }
        other => other,
    })
}

/// `mon` and `mons` spelled out.
fn words(text: &str) -> String {
    let spelled = text.split_whitespace().map(|word| match word {
        "mon" | "mons" => "months",
        word => word,
    });
    spelled.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_of_the_server_are_read() {
        let read = |text: &str| interval_of_server(text).map(|i| i.to_string());
        for (text, want) in [
            ("1 mon", "1 month"),
            ("2 mons", "2 months"),
            ("3 mons", "1 quarter"),
            ("1 month", "1 month"),
            ("7 days", "1 week"),
            ("1 day", "1 day"),
            ("01:00:00", "1 hour"),
            ("00:15:00", "15 minutes"),
            ("half-hour", "30 minutes"),
            ("12:00:00", "12 hours"),
            ("1 year", "1 year"),
            ("100000", "100000"),
        ] {
            assert_eq!(read(text), Ok(want.to_owned()), "{text}");
        }
        assert!(read("00:15:30").is_err());
    }
}
