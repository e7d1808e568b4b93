//! When does an hour, a day or a month begin in a time zone?
//!
//! Partitions lie on a grid of wall-clock times, numbered from one fixed point: days from 1970-01-01, weeks from a
//! Monday, months from January of year 0, hours and minutes from midnight of 1970-01-01. So five hours or three days go on over
//! midnight and the turn of a month, and the same set always has the same grid. Each line of the grid is one instant:
//!
//! - a wall-clock time that a change of the clock skips is the instant of the change, so a partition that would lie
//!   wholly in the skipped time is empty, and there is none;
//! - one that comes twice is the first of the two, so the partition before the repeated hour ends where it begins, and
//!   the one with the repeated hour is longer.
//!
//! Source: IANA time zone database through the crate `jiff`, which reads the rules beyond the last stored change too.

use jiff::civil::{Date, DateTime};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{Timestamp, Unit};
use model::partition_set::TimeUnit;

use crate::error::Error;

/// Hours, days, months … laid side by side.
#[derive(Clone, Debug)]
pub(crate) struct Calendar {
    zone: TimeZone,
    /// Whether keys are instants, not what a clock shows.
    is_instant: bool,
    count: i64,
    unit: TimeUnit,
}

pub(crate) const MICROS_PER_DAY: i64 = 86_400_000_000;
const MICROS_PER_HOUR: i64 = 3_600_000_000;
const MICROS_PER_MINUTE: i64 = 60_000_000;
/// 1969-12-29, the Monday before 1970-01-01, is day -3.
const DAYS_BEFORE_MONDAY: i64 = 3;
const YEARS: std::ops::RangeInclusive<i64> = 1..=9998;

impl Calendar {
    pub fn new(zone: &str, is_instant: bool, count: u32, unit: TimeUnit) -> Result<Self, Error> {
        let zone = TimeZone::get(zone).map_err(|_| Error::TimeZone(zone.to_owned()))?;
        Ok(Self { zone, is_instant, count: i64::from(count.max(1)), unit })
    }

    /// The number of the cell that holds a key.
    pub fn cell_of(&self, micros: i64) -> Result<i64, Error> {
        let mut cell = self.cell_of_clock(self.clock(micros)?);
        // When the clock goes back over a line of the grid, it shows the earlier cell once more.
        while self.begin(cell)? > micros {
            cell -= 1;
        }
        while self.begin(cell + 1)? <= micros {
            cell += 1;
        }
        Ok(cell)
    }

    /// Where a cell begins, in microseconds since 1970.
    pub fn begin(&self, cell: i64) -> Result<i64, Error> {
        let clock = self.clock_of_cell(cell)?;
        if self.is_instant { instant(&self.zone, clock) } else { micros_of_clock(clock) }
    }

    /// What the clock shows at a key.
    pub fn clock(&self, micros: i64) -> Result<DateTime, Error> {
        let timestamp = Timestamp::from_microsecond(micros).map_err(|_| Error::OutOfRange(micros))?;
        let clock = if self.is_instant {
            self.zone.to_datetime(timestamp)
        } else {
            TimeZone::UTC.to_datetime(timestamp)
        };
        if YEARS.contains(&i64::from(clock.year())) { Ok(clock) } else { Err(Error::OutOfRange(micros)) }
    }

    /// The key of an instant: itself, or what the clock of the zone shows then.
    pub fn key_of_instant(&self, micros: i64) -> Result<i64, Error> {
        if self.is_instant {
            return Ok(micros);
        }
        let timestamp = Timestamp::from_microsecond(micros).map_err(|_| Error::OutOfRange(micros))?;
        micros_of_clock(self.zone.to_datetime(timestamp))
    }

    fn cell_of_clock(&self, clock: DateTime) -> i64 {
        let days = days_of(clock.date());
        let months = i64::from(clock.year()) * 12 + i64::from(clock.month()) - 1;
        let units = match self.unit {
            TimeUnit::Minute => days * 1440 + i64::from(clock.hour()) * 60 + i64::from(clock.minute()),
            TimeUnit::Hour => days * 24 + i64::from(clock.hour()),
            TimeUnit::Day => days,
            TimeUnit::Week => (days + DAYS_BEFORE_MONDAY).div_euclid(7),
            TimeUnit::Month => months,
            TimeUnit::Quarter => months.div_euclid(3),
            TimeUnit::Year => i64::from(clock.year()),
        };
        units.div_euclid(self.count)
    }

    /// The wall-clock time at which a cell begins; it gives the partition its name.
    pub fn clock_of_cell(&self, cell: i64) -> Result<DateTime, Error> {
        let wrong = || Error::OutOfRange(cell);
        let units = cell.checked_mul(self.count).ok_or_else(wrong)?;
        let of_days = |days: i64| -> Result<DateTime, Error> {
            let micros = days.checked_mul(MICROS_PER_DAY).ok_or_else(wrong)?;
            clock_of_micros(micros).ok_or_else(wrong)
        };
        let of_months = |months: i64| -> Result<DateTime, Error> {
            let year = i16::try_from(months.div_euclid(12)).map_err(|_| wrong())?;
            let month = i8::try_from(months.rem_euclid(12) + 1).map_err(|_| wrong())?;
            Date::new(year, month, 1).map(|d| d.at(0, 0, 0, 0)).map_err(|_| wrong())
        };
        let clock = match self.unit {
            TimeUnit::Minute => {
                units.checked_mul(MICROS_PER_MINUTE).and_then(clock_of_micros).ok_or_else(wrong)?
            }
            TimeUnit::Hour => {
                units.checked_mul(MICROS_PER_HOUR).and_then(clock_of_micros).ok_or_else(wrong)?
            }
            TimeUnit::Day => of_days(units)?,
            TimeUnit::Week => of_days(units.checked_mul(7).ok_or_else(wrong)? - DAYS_BEFORE_MONDAY)?,
            TimeUnit::Month => of_months(units)?,
            TimeUnit::Quarter => of_months(units.checked_mul(3).ok_or_else(wrong)?)?,
            TimeUnit::Year => of_months(units.checked_mul(12).ok_or_else(wrong)?)?,
        };
        // A grid of more than a year may begin in year 0.
        if (0..=9999).contains(&clock.year()) { Ok(clock) } else { Err(wrong()) }
    }

    /// The key so many units before another, on the calendar: a month before March 31st is the end of February.
    pub fn back(&self, micros: i64, count: u32, unit: TimeUnit) -> Result<i64, Error> {
        let none = jiff::Span::new();
        let n = i64::from(count);
        let span = match unit {
            TimeUnit::Minute | TimeUnit::Hour => {
                let one = if unit == TimeUnit::Hour { MICROS_PER_HOUR } else { MICROS_PER_MINUTE };
                let all = n.checked_mul(one).ok_or(Error::OutOfRange(micros))?;
                return micros.checked_sub(all).ok_or(Error::OutOfRange(micros));
            }
            TimeUnit::Day => none.try_days(n),
            TimeUnit::Week => none.try_weeks(n),
            TimeUnit::Month => none.try_months(n),
            TimeUnit::Quarter => none.try_months(n * 3),
            TimeUnit::Year => none.try_years(n),
        };
        let clock = span
            .and_then(|span| self.clock_unchecked(micros)?.checked_sub(span))
            .map_err(|_| Error::OutOfRange(micros))?;
        if self.is_instant { instant(&self.zone, clock) } else { micros_of_clock(clock) }
    }

    fn clock_unchecked(&self, micros: i64) -> Result<DateTime, jiff::Error> {
        let timestamp = Timestamp::from_microsecond(micros)?;
        Ok(if self.is_instant {
            self.zone.to_datetime(timestamp)
        } else {
            TimeZone::UTC.to_datetime(timestamp)
        })
    }
}

fn days_of(date: Date) -> i64 {
    i64::from(date.since((Unit::Day, jiff::civil::date(1970, 1, 1))).map_or(0, |span| span.get_days()))
}

fn clock_of_micros(micros: i64) -> Option<DateTime> {
    Timestamp::from_microsecond(micros).ok().map(|t| TimeZone::UTC.to_datetime(t))
}

pub(crate) fn micros_of_clock(clock: DateTime) -> Result<i64, Error> {
    TimeZone::UTC
        .to_timestamp(clock)
        .map(|t| t.as_microsecond())
        .map_err(|_| Error::OutOfRange(i64::from(clock.year())))
}

/// The instant of a wall-clock time; see the module for times that are skipped or come twice.
fn instant(zone: &TimeZone, clock: DateTime) -> Result<i64, Error> {
    let wrong = |_| Error::OutOfRange(i64::from(clock.year()));
    let ambiguous = zone.to_ambiguous_timestamp(clock);
    let AmbiguousOffset::Gap { after, .. } = ambiguous.offset() else {
        return ambiguous.earlier().map(|t| t.as_microsecond()).map_err(wrong);
    };
    // By the offset after the change, the skipped time is before the change.
    let before = after.to_timestamp(clock).map_err(wrong)?;
    let change = zone.following(before).next().map_or(before, |transition| transition.timestamp());
    Ok(change.as_microsecond())
}
