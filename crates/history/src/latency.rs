//! How long did the executions of a statement take, as far as they were seen? Two histograms: the long executions, all
//! of which were seen, and a sample of the short ones; `crates/sampling` says what follows from them. Histograms of
//! several buckets of time are merged by adding.

use model::LatencyHistogram;
use sampling::{Calls, Estimate, Observed, estimate};
use serde::Serialize;

/// Where a histogram comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// Looks at `pg_stat_activity`.
    #[default]
    Sampler,
    /// The server's log.
    Log,
}

/// Executions that were seen.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Latency {
    /// Where it comes from.
    pub origin: Origin,
    /// Executions as long as the interval of sampling and longer: all of them.
    pub tail: LatencyHistogram,
    /// Shorter ones: a sample.
    pub body: LatencyHistogram,
}

impl Latency {
    /// Whether nothing was seen.
    pub fn is_empty(&self) -> bool {
        self.tail.samples() == 0 && self.body.samples() == 0
    }

    /// Adds what another one saw.
    pub fn merge(&mut self, other: &Self) {
        self.tail.merge(&other.tail);
        self.body.merge(&other.body);
    }

    /// As it is kept: a byte for the origin, the tail, the body. Nothing when it is empty.
    pub fn to_bytes(&self) -> Option<Vec<u8>> {
        if self.is_empty() {
            return None;
        }
        let origin = match self.origin {
            Origin::Sampler => 1,
            Origin::Log => 2,
        };
        let mut bytes = vec![origin];
        self.tail.write_bytes(&mut bytes);
        self.body.write_bytes(&mut bytes);
        Some(bytes)
    }

    /// Reads what [`Self::to_bytes`] wrote; nothing when it was something else, as of a later version.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (origin, mut rest) = bytes.split_first()?;
        let origin = match origin {
            1 => Origin::Sampler,
            2 => Origin::Log,
            _ => return None,
        };
        let tail = LatencyHistogram::read_bytes(&mut rest)?;
        let body = LatencyHistogram::read_bytes(&mut rest)?;
        Some(Self { origin, tail, body })
    }

    /// What follows for a statement that was called so often and took so long in all.
    pub fn estimate(&self, calls: f64, exec_ms: f64) -> Estimate {
        let observed = Observed { tail: self.tail.clone(), body: self.body.clone(), ..Observed::default() };
        let counted = Calls {
            calls: calls.max(0.0).round() as u64,
            mean_ms: if calls > 0.0 { exec_ms / calls } else { 0.0 },
        };
        estimate(&observed, counted, 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_in_pieces_tells_the_same_as_the_whole() {
        let (mut whole, mut parts) = (Latency::default(), Vec::new());
        for minute in 0..10 {
            let mut part = Latency::default();
            for n in 0..100 {
                let ms = f64::from((n * 37 + minute * 11) % 90) + 1.0;
                part.body.record(ms);
                whole.body.record(ms);
            }
            part.tail.record(400.0 + f64::from(minute));
            whole.tail.record(400.0 + f64::from(minute));
            parts.push(part.to_bytes().unwrap());
        }
        let mut merged = Latency::default();
        parts.iter().for_each(|bytes| merged.merge(&Latency::from_bytes(bytes).unwrap()));
        assert_eq!(merged, whole);
        let estimate = merged.estimate(2010.0, 2010.0 * 45.0);
        assert_eq!((estimate.tail_samples, estimate.calls), (10, 2010));
        assert!(estimate.percentiles.p99.is_some());
    }

    #[test]
    fn nothing_is_kept_of_nothing_and_what_is_unknown_is_not_read() {
        assert_eq!(Latency::default().to_bytes(), None);
        assert_eq!(Latency::from_bytes(&[]), None);
        assert_eq!(Latency::from_bytes(&[9, 0, 0]), None);
    }
}
