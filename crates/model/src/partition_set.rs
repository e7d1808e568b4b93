//! What is a partition set? A partitioned table with a rule for its partitions: which column divides it, how far a
//! partition reaches, how many are made ahead, and what becomes of the old ones.
//!
//! Plain data. The arithmetic (which partitions, called what, from where to where) is in `crates/partitioning`, which
//! `apply` and `advice` share. Source: PostgreSQL manual, "Table Partitioning".

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::name::QualifiedName;

/// A partitioned table with a rule for its partitions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionSet {
    /// The partitioned table.
    pub parent: QualifiedName,
    /// How it is divided.
    pub division: Division,
    /// How its partitions are divided again, if they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub: Option<SubDivision>,
    /// The IANA time zone in which days and months begin, for instance `Europe/Zurich`. For keys without a zone it
    /// says which day is today.
    pub time_zone: String,
    /// How many partitions are kept ahead of the one that takes the rows of now.
    pub premake: u32,
    /// What becomes of old partitions.
    #[serde(default)]
    pub retention: Retention,
    /// How partitions are called, for instance `{table}_{YYYY}_{MM}`; without it, the pattern of the interval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub naming: Option<String>,
    /// What new partitions have besides what the parent gives them.
    #[serde(default)]
    pub template: Template,
}

/// By which column a table is divided, and into what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Division {
    /// The unquoted name of the key's only column.
    pub key: String,
    /// What the column holds.
    pub kind: KeyKind,
    /// How far a partition reaches.
    pub interval: Interval,
}

/// How each partition of a set is divided again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubDivision {
    /// By what.
    pub division: Division,
    /// What is appended to the name of the partition above, for instance `_h{n}`; without it, the pattern of the
    /// interval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub naming: Option<String>,
}

/// What a partition key holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyKind {
    /// `timestamp with time zone`: bounds are instants.
    TimestampTz,
    /// `timestamp without time zone`: bounds are what a clock on the wall shows.
    Timestamp,
    /// `date`.
    Date,
    /// `smallint`.
    SmallInt,
    /// `integer`.
    Integer,
    /// `bigint`.
    BigInt,
    /// `uuid` of version 7 (RFC 9562), whose first 48 bits are milliseconds since 1970.
    UuidV7,
    /// Values of a list: `text` and what is written like it.
    List,
    /// Anything, by its hash.
    Hash,
}

impl KeyKind {
    /// Whether the key tells the time.
    pub fn is_time(self) -> bool {
        matches!(self, Self::TimestampTz | Self::Timestamp | Self::Date | Self::UuidV7)
    }

    /// Whether its bounds are instants, which days and months of a zone have to be turned into.
    pub fn is_instant(self) -> bool {
        matches!(self, Self::TimestampTz | Self::UuidV7)
    }

    /// Whether the key is a whole number.
    pub fn is_number(self) -> bool {
        matches!(self, Self::SmallInt | Self::Integer | Self::BigInt)
    }
}

/// A length of time on the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)] // The names say it.
pub enum TimeUnit {
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Quarter,
    Year,
}

impl TimeUnit {
    /// Every unit, the shortest first.
    pub const ALL: [Self; 7] =
        [Self::Minute, Self::Hour, Self::Day, Self::Week, Self::Month, Self::Quarter, Self::Year];

    /// Those of which one is worth a partition, the shortest first.
    pub fn usual() -> impl DoubleEndedIterator<Item = Self> {
        Self::ALL.into_iter().filter(|unit| *unit != Self::Minute)
    }

    /// Whether a day is several of them.
    pub fn is_within_a_day(self) -> bool {
        matches!(self, Self::Minute | Self::Hour)
    }

    /// Its English name in the singular.
    pub fn name(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Quarter => "quarter",
            Self::Year => "year",
        }
    }
}

/// How far a partition reaches.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Interval {
    /// So many hours, days, months … on the calendar of the set's time zone.
    Time {
        /// How many, at least 1.
        count: u32,
        /// Of what.
        unit: TimeUnit,
    },
    /// So many numbers, at least 1.
    Numbers(u64),
    /// The values of a list, for each partition those that it takes. `None` is NULL.
    Values(Vec<ListPart>),
    /// As many partitions by hash.
    Remainders(u32),
}

/// One partition of a list.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ListPart {
    /// What stands for `{value}` in its name.
    pub name: String,
    /// What it takes; `None` is NULL.
    pub values: Vec<Option<String>>,
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Time { count: 1, unit } => write!(f, "1 {}", unit.name()),
            Self::Time { count, unit } => write!(f, "{count} {}s", unit.name()),
            Self::Numbers(n) => write!(f, "{n}"),
            Self::Values(parts) => {
                let names: Vec<&str> = parts.iter().map(|p| p.name.as_str()).collect();
                write!(f, "list of {}", names.join(", "))
            }
            Self::Remainders(n) => write!(f, "hash of {n}"),
        }
    }
}

impl FromStr for Interval {
    type Err = String;

    /// What a person types: `month`, `3 months`, `monthly`, `1000000`.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "\"{text}\" is no interval; write for instance \"1 month\", \"6 hours\", \"week\" or \"1000000\""
            )
        };
        let lower = text.trim().to_lowercase();
        let (count, word) = match lower.split_once(' ') {
            Some((count, word)) => (count.parse::<u32>().map_err(|_| wrong())?, word.trim()),
            None => match lower.replace('_', "").parse::<u64>() {
                Ok(0) => return Err(wrong()),
                Ok(n) => return Ok(Self::Numbers(n)),
                Err(_) => (1, lower.as_str()),
            },
        };
        let (count, word) = match word {
            // As pg_partman calls them.
            "half-hour" => (count.saturating_mul(30), "minute"),
            "quarter-hour" => (count.saturating_mul(15), "minute"),
            word => (count, word),
        };
        let singular = match word {
            "daily" => "day",
            word => word.strip_suffix("ly").or_else(|| word.strip_suffix('s')).unwrap_or(word),
        };
        let unit = TimeUnit::ALL.into_iter().find(|u| u.name() == singular).ok_or_else(wrong)?;
        if count == 0 {
            return Err(wrong());
        }
        Ok(Self::Time { count, unit })
    }
}

/// What becomes of old partitions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retention {
    /// How long rows are kept, in time or in numbers behind the largest; without it, for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep: Option<Interval>,
    /// What is done with a partition all of whose rows are older.
    #[serde(default)]
    pub then: RetentionAction,
    /// The folder that archives are written to, or `s3://bucket/prefix`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archive: Option<String>,
}

/// What is done with an old partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RetentionAction {
    /// It stays; the plan says that it is old.
    #[default]
    Keep,
    /// It becomes a table of its own.
    Detach,
    /// It is detached, written to a file that is read back and compared, and dropped.
    Archive,
    /// It is detached and dropped.
    Drop,
}

/// What new partitions have besides what the parent gives them, its indexes among it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Template {
    /// Storage parameters, autovacuum's among them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub storage: Vec<(String, String)>,
    /// The tablespace of new partitions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tablespace: Option<String>,
    /// Where partitions go when all of their rows are older than an age; the youngest age first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tablespace_by_age: Vec<(Interval, String)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_read_as_people_write_them() {
        let month = Interval::Time { count: 1, unit: TimeUnit::Month };
        for text in ["month", "1 month", "monthly", " 1 MONTH "] {
            assert_eq!(text.parse(), Ok(month.clone()), "{text}");
        }
        for text in ["15 minutes", "quarter-hour", "1 quarter-hour"] {
            assert_eq!(text.parse(), Ok(Interval::Time { count: 15, unit: TimeUnit::Minute }), "{text}");
        }
        assert_eq!("5 hours".parse(), Ok(Interval::Time { count: 5, unit: TimeUnit::Hour }));
        assert_eq!("daily".parse(), Ok(Interval::Time { count: 1, unit: TimeUnit::Day }));
        assert_eq!("1_000_000".parse(), Ok(Interval::Numbers(1_000_000)));
        for text in ["", "0", "0 days", "-1", "fortnight", "1 second", "month 1", "99999999999 days"] {
            assert!(text.parse::<Interval>().is_err(), "{text}");
        }
    }

    #[test]
    fn intervals_are_written_so_that_they_are_read_again() {
        for unit in TimeUnit::ALL {
            for count in [1, 2, 7] {
                let interval = Interval::Time { count, unit };
                assert_eq!(interval.to_string().parse(), Ok(interval));
            }
        }
    }
}
