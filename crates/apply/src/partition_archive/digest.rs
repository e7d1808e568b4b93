//! What does a stream of CSV add up to? Bytes, records, a checksum of the whole, and a sum over the records that does not
//! depend on their order, since a table that is loaded again owes nobody the order of its rows.

use sha2::{Digest as _, Sha256};
use twox_hash::XxHash3_128;

/// What CSV adds up to so far.
pub(super) struct Tally {
    whole: Sha256,
    record: twox_hash::xxhash3_128::Hasher,
    is_quoted: bool,
    at_start: bool,
    skip_first: bool,
    sum: u128,
    rows: u64,
    bytes: u64,
}

/// What CSV added up to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Total {
    /// Uncompressed length.
    pub bytes: u64,
    /// Records, without the heading.
    pub rows: u64,
    /// SHA-256 of all bytes, in hexadecimal digits.
    pub sha256: String,
    /// The sum of the records' XXH3-128, modulo 2^128, in hexadecimal digits.
    pub row_sum: String,
}

impl Tally {
    /// Begins; the first record is the heading.
    pub fn new() -> Self {
        Self {
            whole: Sha256::new(),
            record: XxHash3_128::new(),
            is_quoted: false,
            at_start: true,
            skip_first: true,
            sum: 0,
            rows: 0,
            bytes: 0,
        }
    }

    /// Counts a piece, wherever it was cut.
    pub fn add(&mut self, piece: &[u8]) {
        self.whole.update(piece);
        self.bytes += piece.len() as u64;
        let mut from = 0;
        // A quote within quotes is written twice, so each one opens or closes.
        for (at, byte) in piece.iter().enumerate() {
            match byte {
                b'"' => self.is_quoted = !self.is_quoted,
                b'\n' if !self.is_quoted => {
                    self.record.write(piece.get(from..at).unwrap_or_default());
                    self.end_record();
                    from = at + 1;
                }
                _ => {}
            }
        }
        if let Some(rest) = piece.get(from..).filter(|rest| !rest.is_empty()) {
            self.record.write(rest);
            self.at_start = false;
        }
    }

    fn end_record(&mut self) {
        let record = std::mem::replace(&mut self.record, XxHash3_128::new());
        self.at_start = true;
        if self.skip_first {
            self.skip_first = false;
            return;
        }
        self.sum = self.sum.wrapping_add(record.finish_128());
        self.rows += 1;
    }

    /// What it was; `None` when it ended in the middle of a record.
    pub fn total(self) -> Option<Total> {
        if self.is_quoted || !self.at_start {
            return None;
        }
        let sha256 = self.whole.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Some(Total { bytes: self.bytes, rows: self.rows, sha256, row_sum: format!("{:032x}", self.sum) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn total(pieces: &[&str]) -> Option<Total> {
        let mut tally = Tally::new();
        for piece in pieces {
            tally.add(piece.as_bytes());
        }
        tally.total()
    }

    #[test]
    fn records_are_counted_wherever_the_stream_is_cut_and_whatever_is_quoted() {
        let text = "a,b\n1,\"x\ny\"\n2,\"\"\"\n\"\n\n";
        let whole = total(&[text]).unwrap();
        assert_eq!(whole.rows, 3);
        for at in 1..text.len() {
            let (left, right) = text.split_at(at);
            assert_eq!(total(&[left, right]).unwrap(), whole, "cut at {at}");
        }
        assert_eq!(total(&["a\n1"]), None, "a record without an end");
        assert_eq!(total(&["a\n\"1\n"]), None, "a quote without an end");
    }

    #[test]
    fn the_sum_knows_the_records_and_not_their_order() {
        let sum = |text: &str| total(&[text]).unwrap().row_sum;
        assert_eq!(sum("h\n1\n2\n2\n"), sum("other\n2\n1\n2\n"));
        assert_ne!(sum("h\n1\n2\n2\n"), sum("h\n1\n1\n2\n"));
        assert_ne!(sum("h\n1\n"), sum("h\n1\n1\n"));
        // NULL and the empty string.
        assert_ne!(sum("h\n1,\n"), sum("h\n1,\"\"\n"));
    }
}
