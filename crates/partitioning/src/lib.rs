//! Which partitions should a partitioned table have, what are they called, and from where to where do they reach?
//! Arithmetic only: no server, no clock; the caller says what time it is.
//!
//! A [`Grid`] lays the partitions of a [`model::PartitionSet`] side by side. `partition_conversion` asks it for the
//! partitions that hold the rows of an existing table:
//!
//! ```
//! use model::{Division, Interval, KeyKind, QualifiedName};
//! use partitioning::{Grid, Key};
//!
//! let division = Division { key: "created_at".into(), kind: KeyKind::TimestampTz, interval: "1 month".parse()? };
//! let grid = Grid::new(&division, "Europe/Zurich", None)?;
//! // The smallest and the largest key, read with the cast that `key_text_sql` writes.
//! let (min, max) = (grid.key("2024-01-31 23:30:00+00")?, grid.key("2024-03-05 12:00:00+00")?);
//! let parent = QualifiedName::new("public", "training_runs");
//! let parts = grid.covering(min, max, 100)?;
//! // 23:30 of January in UTC is February in Zurich, where February begins at 23:00 UTC.
//! assert_eq!(grid.name(&parent, &parts[0])?.name, "training_runs_2024_02");
//! assert_eq!(
//!     parts[0].bound.sql(KeyKind::TimestampTz),
//!     "FOR VALUES FROM ('2024-01-31 23:00:00+00') TO ('2024-02-29 23:00:00+00')"
//! );
//! assert_eq!(parts.len(), 2);
//! // What the partition's rows have in common, for a CHECK that spares ATTACH its scan.
//! assert!(parts[0].bound.check_sql(&division).is_some_and(|sql| sql.starts_with("created_at IS NOT NULL AND ")));
//! # let _: Key = min;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Bounds are kept as [`Key`]s: microseconds since 1970 for times, the number itself for numbers. They are computed
//! in the set's time zone and written as instants with their offset, so that no session's `TimeZone` changes them.

mod archive_location;
mod bound;
mod calendar;
mod error;
mod grid;
pub mod inference;
mod naming;
pub mod planning;
pub mod settings;
mod tree;
pub mod watching;

pub use archive_location::ArchiveLocation;
pub use bound::{Bound, Edge, Key, key_text, key_words, typed_literal};
pub use error::Error;
pub use grid::{Grid, Part};
pub use naming::{MAX_NAME_BYTES, default_pattern, fitted, list_names};
pub use tree::{Child, Trees, kind_of};
