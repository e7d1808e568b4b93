//! Which percentiles follow from what was seen and how often a statement was called?

use model::{LatencyHistogram, Millis, Percentile};
use serde::Serialize;

use crate::sampler::Observed;

/// A mean of the seen executions that is lower than this part of the counted one makes percentiles doubtful.
const DOUBTFUL_BELOW: f64 = 0.7;

/// What the server counted of a statement in the meantime.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Calls {
    /// Executions that ended.
    pub calls: u64,
    /// Their mean time in the server, without the commit.
    pub mean_ms: f64,
}

/// Where a percentile lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// Among the long executions, all of which were seen.
    Tail,
    /// Among the short ones, of which a sample was seen.
    Body,
}

/// A percentile and where it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Quantile {
    /// The value with its interval of 95 %.
    #[serde(flatten)]
    pub percentile: Percentile,
    /// Where it lies.
    pub place: Place,
}

/// The percentiles of a statement; those that cannot be said are left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Percentiles {
    /// The median.
    pub p50: Option<Quantile>,
    /// Exceeded by one in twenty.
    pub p95: Option<Quantile>,
    /// Exceeded by one in a hundred.
    pub p99: Option<Quantile>,
}

/// How often a statement was active and waited for something.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Waited {
    /// What for, as `Lock: transactionid`; `CPU` when for nothing.
    pub event: String,
    /// In which part of the samples in which it was active, 0 to 1.
    pub share: f64,
}

/// What is known of a statement.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// Executions that ended, as the server counted them.
    pub calls: u64,
    /// Percentiles of their duration, the commit included.
    #[serde(flatten)]
    pub percentiles: Percentiles,
    /// The longest execution that was seen.
    pub longest_ms: Option<Millis>,
    /// Executions of the interval and longer: all of them.
    pub tail_samples: u64,
    /// Shorter ones that were seen.
    pub body_samples: u64,
    /// The mean of all that follows from what was seen.
    pub mean_ms: Option<Millis>,
    /// Whether the seen short executions are shorter than those that the server counted: percentiles among them are
    /// too low.
    pub doubtful: bool,
    /// Samples in which it was active, over all looks: how many sessions ran it on average.
    pub active_sessions: f64,
    /// What it waited for, most first.
    pub waits: Vec<Waited>,
}

/// Puts together what was seen of a statement in so many looks and what was counted.
pub fn estimate(observed: &Observed, counted: Calls, looks: u64) -> Estimate {
    let (tail, body) = (&observed.tail, &observed.body);
    // What began before the count or ended after it makes the two differ by a few.
    let calls = counted.calls.max(tail.samples() + body.samples());
    let short = calls - tail.samples();
    let body_mean = body.mean().map_or(0.0, |m| m.0);
    let known = tail.samples() > 0 || body.samples() > 0;
    let mean_ms =
        (known && calls > 0).then(|| Millis((tail.sum().0 + body_mean * short as f64) / calls as f64));
    let doubtful = mean_ms.is_some_and(|m| m.0 < DOUBTFUL_BELOW * counted.mean_ms);
    let active = observed.active;
    let mut waits: Vec<Waited> = observed
        .waits
        .iter()
        .map(|(event, n)| Waited { event: event.clone(), share: *n as f64 / active.max(1) as f64 })
        .collect();
    waits.sort_by(|a, b| b.share.total_cmp(&a.share).then_with(|| a.event.cmp(&b.event)));
    let at = |share: f64| quantile(tail, body, calls, share);
    Estimate {
        calls,
        percentiles: Percentiles { p50: at(0.5), p95: at(0.95), p99: at(0.99) },
        longest_ms: [tail.max(), body.max()].into_iter().flatten().max_by(|a, b| a.0.total_cmp(&b.0)),
        tail_samples: tail.samples(),
        body_samples: body.samples(),
        mean_ms,
        doubtful,
        active_sessions: if looks == 0 { 0.0 } else { active as f64 / looks as f64 },
        waits,
    }
}

fn quantile(tail: &LatencyHistogram, body: &LatencyHistogram, calls: u64, share: f64) -> Option<Quantile> {
    if calls == 0 {
        return None;
    }
    let rank = (share * calls as f64).ceil().clamp(1.0, calls as f64);
    let short = (calls - tail.samples()) as f64;
    if rank > short {
        // All of them were seen: what is uncertain is how long those took whose end was not, and the bucket.
        let value = tail.quantile((rank - short) / tail.samples() as f64)?;
        let percentile = Percentile { value, lower: value, upper: value };
        return Some(Quantile { percentile, place: Place::Tail });
    }
    // With a few more or less in the tail, the rank in the body is another one; that is within the interval.
    let percentile = body.percentile((rank - 0.5) / short)?;
    Some(Quantile { percentile, place: Place::Body })
}
