//! Which partitions are there from one key to another?

use model::partition_set::{Division, Interval, ListPart};
use model::{KeyKind, QualifiedName, quote_identifier};

use crate::bound::{Bound, Edge, Key, parse_key};
use crate::calendar::Calendar;
use crate::error::Error;
use crate::naming::{self, Fill, default_pattern};

/// The partitions of a division side by side.
#[derive(Clone, Debug)]
pub struct Grid {
    division: Division,
    pattern: String,
    cells: Cells,
}

#[derive(Clone, Debug)]
enum Cells {
    Calendar(Calendar),
    Numbers { step: i64, min: i64, max: i64 },
    Values(Vec<ListPart>),
    Remainders(u32),
}

/// A partition as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its number on the grid; partitions side by side have numbers in order.
    pub cell: i64,
    /// What it takes.
    pub bound: Bound,
}

impl Grid {
    /// Lays out a division. `naming` is the pattern of its names; without it, the pattern of its interval.
    ///
    /// # Errors
    /// When zone, key and interval, or the pattern do not fit.
    pub fn new(division: &Division, time_zone: &str, naming: Option<&str>) -> Result<Self, Error> {
        let kind = division.kind;
        let misfit = || Error::Interval { kind: kind_name(kind), interval: division.interval.to_string() };
        let cells = match &division.interval {
            Interval::Time { count, unit } if kind.is_time() => {
                if kind == KeyKind::Date && unit.is_within_a_day() {
                    return Err(misfit());
                }
                Cells::Calendar(Calendar::new(time_zone, kind.is_instant(), *count, *unit)?)
            }
            Interval::Numbers(step) if kind.is_number() => {
                let (min, max) = match kind {
                    KeyKind::SmallInt => (i64::from(i16::MIN), i64::from(i16::MAX)),
                    KeyKind::Integer => (i64::from(i32::MIN), i64::from(i32::MAX)),
                    _ => (i64::MIN, i64::MAX),
                };
                let step = i64::try_from(*step).ok().filter(|s| (1..=max).contains(s)).ok_or_else(misfit)?;
                Cells::Numbers { step, min, max }
            }
            Interval::Values(parts) if kind == KeyKind::List && !parts.is_empty() => {
                Cells::Values(parts.clone())
            }
            Interval::Remainders(n) if kind == KeyKind::Hash && *n > 0 => Cells::Remainders(*n),
            _ => return Err(misfit()),
        };
        let pattern = naming.unwrap_or_else(|| default_pattern(&division.interval)).to_owned();
        naming::check(&pattern, &division.interval)?;
        Ok(Self { division: division.clone(), pattern, cells })
    }

    /// The division that is laid out.
    pub fn division(&self) -> &Division {
        &self.division
    }

    /// Reads a finite key as the server prints it: a time with its offset, a number, a UUID.
    ///
    /// # Errors
    /// When it is none, or infinite.
    pub fn key(&self, text: &str) -> Result<Key, Error> {
        parse_key(text, self.division.kind)
            .filter(|k| self.division.kind.is_number() || (*k != i64::MIN && *k != i64::MAX))
            .ok_or_else(|| Error::Key { text: text.to_owned(), kind: kind_name(self.division.kind) })
    }

    /// The expression that gives a key in the form that [`Self::key`] reads, in a session whose `DateStyle` is ISO.
    pub fn key_text_sql(&self) -> String {
        format!("{}::pg_catalog.text", quote_identifier(&self.division.key))
    }

    /// The key of an instant in microseconds since 1970; `None` for keys that do not tell the time.
    ///
    /// # Errors
    /// When it is out of range.
    pub fn now(&self, instant_micros: i64) -> Result<Option<Key>, Error> {
        match &self.cells {
            Cells::Calendar(calendar) => calendar.key_of_instant(instant_micros).map(Some),
            _ => Ok(None),
        }
    }

    /// The key that lies an interval before another.
    ///
    /// # Errors
    /// When the interval is of another kind, or the result out of range.
    pub fn back(&self, key: Key, interval: &Interval) -> Result<Key, Error> {
        match (&self.cells, interval) {
            (Cells::Calendar(calendar), Interval::Time { count, unit }) => calendar.back(key, *count, *unit),
            (Cells::Numbers { .. }, Interval::Numbers(n)) => {
                i64::try_from(*n).ok().and_then(|n| key.checked_sub(n)).ok_or(Error::OutOfRange(key))
            }
            _ => Err(Error::Interval { kind: kind_name(self.division.kind), interval: interval.to_string() }),
        }
    }

    /// The partition that takes a key; `None` for lists and hashes.
    ///
    /// # Errors
    /// When the key is out of range.
    pub fn at(&self, key: Key) -> Result<Option<Part>, Error> {
        match &self.cells {
            Cells::Calendar(calendar) => self.part(calendar.cell_of(key)?).map(Some),
            Cells::Numbers { step, .. } => self.part(key.div_euclid(*step)).map(Some),
            Cells::Values(_) | Cells::Remainders(_) => Ok(None),
        }
    }

    /// The next partition, if the key's type goes so far.
    ///
    /// # Errors
    /// When it is out of range.
    pub fn after(&self, part: &Part) -> Result<Option<Part>, Error> {
        let mut cell = part.cell;
        loop {
            cell += 1;
            match &self.cells {
                Cells::Numbers { step, max, .. } => {
                    let begins = cell.checked_mul(*step).is_some_and(|lower| lower <= *max);
                    return if begins { self.part(cell).map(Some) } else { Ok(None) };
                }
                Cells::Calendar(_) => {
                    let next = self.part(cell)?;
                    // Wholly within the hour that a change of the clock skips, or the day that a zone did.
                    match next.bound.range() {
                        Some((lower, upper)) if lower == upper => {}
                        _ => return Ok(Some(next)),
                    }
                }
                Cells::Values(_) | Cells::Remainders(_) => return Ok(None),
            }
        }
    }

    /// The partitions that take the keys from `min` to `max`, both included, at most so many. For lists and hashes it
    /// is all there are.
    ///
    /// # Errors
    /// When there would be more, or a key is out of range.
    pub fn covering(&self, min: Key, max: Key, at_most: usize) -> Result<Vec<Part>, Error> {
        let count = match &self.cells {
            Cells::Values(parts) => parts.len(),
            Cells::Remainders(n) => usize::try_from(*n).unwrap_or(usize::MAX),
            Cells::Calendar(_) | Cells::Numbers { .. } => 0,
        };
        if count > at_most {
            return Err(Error::TooMany(at_most));
        }
        if count > 0 {
            return (0_i64..).take(count).map(|cell| self.part(cell)).collect();
        }
        let mut parts: Vec<Part> = Vec::new();
        let mut next = if min <= max { self.at(min)? } else { None };
        while let Some(part) = next {
            match part.bound.range() {
                Some((lower, _)) if lower <= Edge::At(max) => {}
                _ => break,
            }
            if parts.len() == at_most {
                return Err(Error::TooMany(at_most));
            }
            next = self.after(&part)?;
            parts.push(part);
        }
        Ok(parts)
    }

    /// The name of a partition, in the schema of its parent.
    ///
    /// # Errors
    /// When the pattern leaves no room for the table's name.
    pub fn name(&self, parent: &QualifiedName, part: &Part) -> Result<QualifiedName, Error> {
        let fill = match &self.cells {
            Cells::Calendar(calendar) => Fill::Clock(calendar.clock_of_cell(part.cell)?),
            Cells::Numbers { step, .. } => Fill::Number(part.cell.saturating_mul(*step)),
            Cells::Values(parts) => {
                let index = usize::try_from(part.cell).unwrap_or(usize::MAX);
                Fill::Word(parts.get(index).map_or("", |p| p.name.as_str()))
            }
            Cells::Remainders(_) => Fill::Number(part.cell),
        };
        let name = naming::render(&self.pattern, &parent.name, &fill)?;
        Ok(QualifiedName::new(parent.schema.clone(), name))
    }

    fn part(&self, cell: i64) -> Result<Part, Error> {
        let bound = match &self.cells {
            Cells::Calendar(calendar) => Bound::between(calendar.begin(cell)?, calendar.begin(cell + 1)?),
            Cells::Numbers { step, min, max } => {
                // What reaches beyond the numbers of the type reaches as far as they do.
                let lower = cell.checked_mul(*step).filter(|n| n >= min).map_or(Edge::Min, Edge::At);
                let upper = (cell + 1).checked_mul(*step).filter(|n| n <= max).map_or(Edge::Max, Edge::At);
                Bound::Range { lower, upper }
            }
            Cells::Values(parts) => {
                let index = usize::try_from(cell).unwrap_or(usize::MAX);
                Bound::Values(parts.get(index).map(|p| p.values.clone()).unwrap_or_default())
            }
            Cells::Remainders(modulus) => Bound::Remainder {
                modulus: *modulus,
                remainder: u32::try_from(cell).map_err(|_| Error::OutOfRange(cell))?,
            },
        };
        Ok(Part { cell, bound })
    }
}

/// The SQL name of what a key holds.
pub(crate) fn kind_name(kind: KeyKind) -> &'static str {
    match kind {
        KeyKind::TimestampTz => "timestamptz",
        KeyKind::Timestamp => "timestamp",
        KeyKind::Date => "date",
        KeyKind::SmallInt => "smallint",
        KeyKind::Integer => "integer",
        KeyKind::BigInt => "bigint",
        KeyKind::UuidV7 => "uuidv7",
        KeyKind::List => "list",
        KeyKind::Hash => "hash",
    }
}
