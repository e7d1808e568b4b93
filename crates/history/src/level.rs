//! How finely is it known what happened? In intervals as they were watched, and rolled up by minute, hour and day. A
//! window of time is put together from the coarsest buckets that fit into it, and finer ones where those are not complete.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

/// How long the buckets are in which figures are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it was watched.
    Raw,
    /// By minute.
    Minute,
    /// By hour.
    Hour,
    /// By day of UTC.
    Day,
}

impl Level {
    /// All, the finest first.
    pub const ALL: [Self; 4] = [Self::Raw, Self::Minute, Self::Hour, Self::Day];

    /// Its name, which tables end in.
    pub fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }

    /// The level of that name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.name() == name)
    }

    /// The length of a bucket in seconds; 1 for what has no fixed length.
    pub fn seconds(self) -> i64 {
        match self {
            Self::Raw => 1,
            Self::Minute => 60,
            Self::Hour => 3600,
            Self::Day => 86_400,
        }
    }

    /// The next finer level.
    pub fn finer(self) -> Option<Self> {
        match self {
            Self::Raw => None,
            Self::Minute => Some(Self::Raw),
            Self::Hour => Some(Self::Minute),
            Self::Day => Some(Self::Hour),
        }
    }

    /// When the bucket that holds an instant begins; for raw intervals the instant itself.
    pub fn floor(self, at: DateTime<Utc>) -> DateTime<Utc> {
        if self == Self::Raw {
            return at;
        }
        let begin = at.timestamp().div_euclid(self.seconds()) * self.seconds();
        DateTime::from_timestamp(begin, 0).unwrap_or(at)
    }

    /// When the first bucket begins that begins no earlier than an instant.
    pub fn ceil(self, at: DateTime<Utc>) -> DateTime<Utc> {
        match self.floor(at) {
            begin if begin == at => at,
            begin => begin + TimeDelta::seconds(self.seconds()),
        }
    }
}

/// From when to when: the first instant is in it, the last is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Its beginning.
    pub from: DateTime<Utc>,
    /// Its end.
    pub to: DateTime<Utc>,
}

impl Window {
    /// Its length in seconds.
    pub fn seconds(&self) -> f64 {
        (self.to - self.from).num_milliseconds() as f64 / 1000.0
    }

    /// The window of the same length before it.
    #[must_use]
    pub fn before(&self) -> Self {
        Self { from: self.from - (self.to - self.from), to: self.from }
    }

    /// The window that begins with a whole bucket, and ends with one as far as those are complete.
    #[must_use]
    pub fn widened(&self, level: Level, extents: &Extents) -> Self {
        let end = level.ceil(self.to);
        let complete = extents.get(&level).is_some_and(|extent| end <= extent.done_until);
        Self { from: level.floor(self.from), to: if complete { end } else { self.to } }
    }
}

/// How far a level is filled, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The beginning of what is kept.
    pub kept_from: DateTime<Utc>,
    /// The end of what is complete.
    pub done_until: DateTime<Utc>,
}

/// The extents of a source's levels.
pub type Extents = BTreeMap<Level, Extent>;

/// A part of a window, and in which buckets it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The level.
    pub level: Level,
    /// From when to when.
    pub window: Window,
}

/// The level for a window of which at most so many buckets are wanted, coarser where the finer one is kept no more.
pub fn level_for(window: &Window, buckets: f64, extents: &Extents) -> Level {
    let mut level = if window.seconds() <= 1800.0_f64.min(buckets * 30.0) {
        Level::Raw
    } else if window.seconds() <= buckets * 60.0 {
        Level::Minute
    } else if window.seconds() <= buckets * 3600.0 {
        Level::Hour
    } else {
        Level::Day
    };
    let coarser = |level: Level| Level::ALL.into_iter().find(|l| *l > level);
    let kept = |level: Level| extents.get(&level).map(|e| e.kept_from);
    while let Some(next) = coarser(level) {
        // Where a coarser level reaches back no further, it has nothing to add.
        let gone =
            kept(level).zip(kept(next)).is_some_and(|(here, there)| here > window.from && there < here);
        if !gone {
            break;
        }
        level = next;
    }
    level
}

/// A window put together from buckets of a level and finer ones at its ends.
pub fn pieces(window: &Window, level: Level, extents: &Extents) -> Vec<Piece> {
    let mut found = Vec::new();
    collect(*window, level, extents, &mut found);
    found
}

fn collect(window: Window, level: Level, extents: &Extents, found: &mut Vec<Piece>) {
    if window.from >= window.to {
        return;
    }
    let Some(finer) = level.finer() else {
        found.push(Piece { level, window });
        return;
    };
    let from = level.ceil(window.from);
    let done = extents.get(&level).map_or(from, |e| e.done_until);
    let to = level.floor(window.to).min(done);
    if from >= to {
        collect(window, finer, extents, found);
        return;
    }
    collect(Window { from: window.from, to: from }, finer, extents, found);
    found.push(Piece { level, window: Window { from, to } });
    collect(Window { from: to, to: window.to }, finer, extents, found);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        format!("2026-01-{text}Z").parse().unwrap()
    }

    fn extents() -> Extents {
        let extent = |kept: &str, done: &str| Extent { kept_from: at(kept), done_until: at(done) };
        [
            (Level::Raw, extent("28T00:00:00", "30T10:31:30")),
            (Level::Minute, extent("10T00:00:00", "30T10:31:00")),
            (Level::Hour, extent("01T00:00:00", "30T10:00:00")),
            (Level::Day, extent("01T00:00:00", "30T00:00:00")),
        ]
        .into()
    }

    #[test]
    fn a_window_is_covered_once_and_without_a_gap() {
        let window = Window { from: at("27T22:58:40"), to: at("30T10:31:30") };
        let pieces = pieces(&window, Level::Day, &extents());
        let levels: Vec<&str> = pieces.iter().map(|p| p.level.name()).collect();
        assert_eq!(levels, ["raw", "minute", "hour", "day", "hour", "minute", "raw"]);
        assert_eq!(pieces[0].window.from, window.from);
        assert_eq!(pieces.last().map(|p| p.window.to), Some(window.to));
        assert!(pieces.windows(2).all(|p| p[0].window.to == p[1].window.from));
        assert!(pieces.iter().all(|p| p.level.floor(p.window.from) == p.window.from));
    }

    #[test]
    fn what_is_kept_no_more_is_read_from_coarser_buckets() {
        let short = |day: &str| {
            let from = at(day);
            level_for(&Window { from, to: from + TimeDelta::minutes(20) }, 180.0, &extents())
        };
        assert_eq!(short("30T10:00:00"), Level::Raw);
        assert_eq!(short("20T10:00:00"), Level::Minute);
        assert_eq!(short("05T10:00:00"), Level::Hour);
        let long = Window { from: at("01T00:00:00"), to: at("30T00:00:00") };
        assert_eq!(level_for(&long, 180.0, &extents()), Level::Day);
    }

    #[test]
    fn buckets_begin_at_whole_units_before_1970_as_well() {
        let old: DateTime<Utc> = "1969-12-31T23:59:30Z".parse().unwrap();
        assert_eq!(Level::Minute.floor(old).to_rfc3339(), "1969-12-31T23:59:00+00:00");
        assert_eq!(Level::Hour.ceil(old).to_rfc3339(), "1970-01-01T00:00:00+00:00");
    }
}
