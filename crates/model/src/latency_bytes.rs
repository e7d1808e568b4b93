//! How is a latency histogram written in few bytes? Whole numbers of variable length, seven bits a byte, the low ones
//! first (LEB128); occupied buckets by the distance from the one before.

use super::LatencyHistogram;

/// More buckets than there are numbers for them; what claims so many is no histogram.
const MOST_BUCKETS: u64 = 1 << 16;

impl LatencyHistogram {
    /// Appends the histogram; an empty one is a single byte. Shortest and longest are kept to a nanosecond.
    pub fn write_bytes(&self, out: &mut Vec<u8>) {
        write(self.samples, out);
        if self.samples == 0 {
            return;
        }
        for number in [self.count, self.sum_ns, nanos(self.min_ms), nanos(self.max_ms), self.zeros] {
            write(number, out);
        }
        write(self.buckets.len() as u64, out);
        let mut before = i64::from(i16::MIN);
        for (bucket, weight) in &self.buckets {
            write((i64::from(*bucket) - before).unsigned_abs(), out);
            write(*weight, out);
            before = i64::from(*bucket);
        }
    }

    /// Reads a histogram from the front of `bytes` and takes it away; nothing when there is none.
    pub fn read_bytes(bytes: &mut &[u8]) -> Option<Self> {
        let samples = read(bytes)?;
        if samples == 0 {
            return Some(Self::default());
        }
        let (count, sum_ns) = (read(bytes)?, read(bytes)?);
        let (min_ms, max_ms) = (read(bytes)? as f64 / 1e6, read(bytes)? as f64 / 1e6);
        let (zeros, length) = (read(bytes)?, read(bytes)?);
        if length > MOST_BUCKETS {
            return None;
        }
        // A bucket takes two bytes or more, so a wrong length cannot ask for more than there is.
        let mut buckets = Vec::with_capacity((length as usize).min(bytes.len() / 2));
        let mut at = i64::from(i16::MIN);
        for _ in 0..length {
            at = at.checked_add(i64::try_from(read(bytes)?).ok()?)?;
            buckets.push((i16::try_from(at).ok()?, read(bytes)?));
        }
        Some(Self { buckets, zeros, samples, count, sum_ns, min_ms, max_ms })
    }
}

fn nanos(ms: f64) -> u64 {
    (ms * 1e6).round() as u64
}

fn write(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn read(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(histogram: &LatencyHistogram) -> Vec<u8> {
        let mut bytes = Vec::new();
        histogram.write_bytes(&mut bytes);
        bytes
    }

    #[test]
    fn what_is_read_is_what_was_written_and_can_be_merged() {
        let mut histogram = LatencyHistogram::default();
        assert_eq!(written(&histogram), [0]);
        for value in [0.0, 0.000_3, 0.25, 0.25, 17.5, 17.6, 1e9] {
            histogram.record_weighted(value, 300);
        }
        let mut bytes = written(&histogram);
        let length = bytes.len();
        assert!(length < 60, "{length}");
        bytes.extend([7, 8]);
        let mut rest = bytes.as_slice();
        let mut read = LatencyHistogram::read_bytes(&mut rest).unwrap();
        assert_eq!(rest, [7, 8]);
        assert_eq!(read, histogram);
        read.merge(&histogram);
        assert_eq!(read.count(), 2 * histogram.count());
    }

    #[test]
    fn what_is_cut_off_or_nonsense_is_no_histogram() {
        let mut histogram = LatencyHistogram::default();
        (1..100).for_each(|n| histogram.record(f64::from(n * n)));
        let bytes = written(&histogram);
        for end in 0..bytes.len() {
            assert_eq!(LatencyHistogram::read_bytes(&mut &bytes[..end]), None);
        }
        assert_eq!(LatencyHistogram::read_bytes(&mut [0xff; 40].as_slice()), None);
        assert_eq!(LatencyHistogram::read_bytes(&mut [1, 1, 1, 1, 1, 1, 0xff, 0xff, 0x7f].as_slice()), None);
    }
}
