//! Sizes, times and log positions as types of their own, so that a byte is never taken for a page.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A size in bytes. Displays with binary prefixes, as `pg_size_pretty()` does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bytes(pub u64);

impl Bytes {
    /// The size of a page in a default build of PostgreSQL (`block_size`).
    pub const PAGE: u64 = 8192;

    /// The size of a number of 8 kB pages.
    pub fn from_pages(pages: u64) -> Self {
        Self(pages.saturating_mul(Self::PAGE))
    }
}

impl std::iter::Sum for Bytes {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        Self(iter.map(|b| b.0).sum())
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut value = self.0 as f64;
        let mut unit = "bytes";
        for next in ["kB", "MB", "GB", "TB"] {
            if value < 1024.0 {
                break;
            }
            value /= 1024.0;
            unit = next;
        }
        let text = if unit == "bytes" || value >= 100.0 {
            format!("{value:.0} {unit}")
        } else {
            format!("{value:.1} {unit}")
        };
        f.pad(&text)
    }
}

/// A duration in milliseconds, the unit of PostgreSQL's own counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Millis(pub f64);

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0;
        let text = if ms.abs() >= 60_000.0 {
            format!("{:.1} min", ms / 60_000.0)
        } else if ms.abs() >= 1_000.0 {
            format!("{:.2} s", ms / 1_000.0)
        } else if ms.abs() >= 10.0 {
            format!("{ms:.1} ms")
        } else {
            format!("{ms:.2} ms")
        };
        f.pad(&text)
    }
}

/// A position in the write-ahead log. Displays as PostgreSQL writes it, `16/B374D848`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Lsn(pub u64);

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xffff_ffff)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_read_as_a_person_would_write_them() {
        assert_eq!(Bytes(512).to_string(), "512 bytes");
        assert_eq!(Bytes(1536).to_string(), "1.5 kB");
        assert_eq!(Bytes(150 * 1024 * 1024).to_string(), "150 MB");
        assert_eq!(Millis(0.034).to_string(), "0.03 ms");
        assert_eq!(Millis(1234.0).to_string(), "1.23 s");
        assert_eq!(Lsn(0x16_B374_D848).to_string(), "16/B374D848");
    }
}
