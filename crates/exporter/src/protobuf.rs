//! How do samples and the fine buckets of histograms get to a Prometheus that reads native histograms? As the messages
//! of its protocol-buffer format, each with its length before it.
//!
//! Source: Prometheus' "Exposition formats" and "Native Histograms", and `io/prometheus/client/metrics.proto`
//! (`io.prometheus.client.MetricFamily`), whose fields have these numbers.

use std::collections::HashMap;

use model::LatencyHistogram;
use prost::Message;

use crate::board::NativeHistogram;
use crate::exposition::Kind;
use crate::reading::{self, Line};

/// Below this a duration counts as none: Prometheus takes a histogram for a native one only when it says so much. Of
/// ours only zero is below it. It is what Prometheus' own libraries say.
const ZERO_THRESHOLD: f64 = 2.938_735_877_055_719e-39;

#[derive(Clone, PartialEq, Message)]
pub(crate) struct MetricFamily {
    #[prost(string, optional, tag = "1")]
    pub name: Option<String>,
    #[prost(string, optional, tag = "2")]
    pub help: Option<String>,
    #[prost(enumeration = "MetricType", optional, tag = "3")]
    pub kind: Option<i32>,
    #[prost(message, repeated, tag = "4")]
    pub metric: Vec<Metric>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub(crate) enum MetricType {
    Counter = 0,
    Gauge = 1,
    Untyped = 3,
    Histogram = 4,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct LabelPair {
    #[prost(string, optional, tag = "1")]
    pub name: Option<String>,
    #[prost(string, optional, tag = "2")]
    pub value: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Metric {
    #[prost(message, repeated, tag = "1")]
    pub label: Vec<LabelPair>,
    #[prost(message, optional, tag = "2")]
    pub gauge: Option<Number>,
    #[prost(message, optional, tag = "3")]
    pub counter: Option<Number>,
    #[prost(message, optional, tag = "5")]
    pub untyped: Option<Number>,
    #[prost(message, optional, tag = "7")]
    pub histogram: Option<Histogram>,
}

/// `Gauge`, `Counter` and `Untyped` have the same first field.
#[derive(Clone, Copy, PartialEq, Message)]
pub(crate) struct Number {
    #[prost(double, optional, tag = "1")]
    pub value: Option<f64>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Histogram {
    #[prost(uint64, optional, tag = "1")]
    pub sample_count: Option<u64>,
    #[prost(double, optional, tag = "2")]
    pub sample_sum: Option<f64>,
    #[prost(message, repeated, tag = "3")]
    pub bucket: Vec<Bucket>,
    #[prost(sint32, optional, tag = "5")]
    pub schema: Option<i32>,
    #[prost(double, optional, tag = "6")]
    pub zero_threshold: Option<f64>,
    #[prost(uint64, optional, tag = "7")]
    pub zero_count: Option<u64>,
    #[prost(message, repeated, tag = "12")]
    pub positive_span: Vec<BucketSpan>,
    #[prost(sint64, repeated, tag = "13")]
    pub positive_delta: Vec<i64>,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(crate) struct Bucket {
    #[prost(uint64, optional, tag = "1")]
    pub cumulative_count: Option<u64>,
    #[prost(double, optional, tag = "2")]
    pub upper_bound: Option<f64>,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(crate) struct BucketSpan {
    #[prost(sint32, optional, tag = "1")]
    pub offset: Option<i32>,
    #[prost(uint32, optional, tag = "2")]
    pub length: Option<u32>,
}

/// Appends a family of which there is this text, and these fine buckets beside it.
pub(crate) fn family(
    name: &str,
    kind: Kind,
    help: &str,
    text: &str,
    native: &[NativeHistogram],
    out: &mut Vec<u8>,
) {
    let lines = text.lines().filter_map(reading::line);
    let (kind, metric) = match kind {
        Kind::Histogram => (MetricType::Histogram, histograms(name, lines, native)),
        Kind::Counter => (MetricType::Counter, numbers(lines, |value, metric| metric.counter = Some(value))),
        Kind::Gauge => (MetricType::Gauge, numbers(lines, |value, metric| metric.gauge = Some(value))),
        Kind::Untyped => (MetricType::Untyped, numbers(lines, |value, metric| metric.untyped = Some(value))),
    };
    if metric.is_empty() {
        return;
    }
    let family = MetricFamily {
        name: Some(name.to_owned()),
        help: Some(help.to_owned()),
        kind: Some(kind as i32),
        metric,
    };
    out.extend_from_slice(&family.encode_length_delimited_to_vec());
}

fn numbers<'a>(lines: impl Iterator<Item = Line<'a>>, put: impl Fn(Number, &mut Metric)) -> Vec<Metric> {
    lines
        .map(|line| {
            let mut metric = Metric { label: pairs(line.labels), ..Metric::default() };
            put(Number { value: Some(line.value) }, &mut metric);
            metric
        })
        .collect()
}

fn pairs(labels: Vec<(String, String)>) -> Vec<LabelPair> {
    labels.into_iter().map(|(name, value)| LabelPair { name: Some(name), value: Some(value) }).collect()
}

/// The series of a histogram put together from its lines, in the order in which they come first.
fn histograms<'a>(
    name: &str,
    lines: impl Iterator<Item = Line<'a>>,
    native: &[NativeHistogram],
) -> Vec<Metric> {
    let mut places: HashMap<Vec<(String, String)>, usize> = HashMap::new();
    let mut found: Vec<Histogram> = Vec::new();
    for mut line in lines {
        let at = line.labels.iter().position(|(name, _)| name == "le");
        let end = at.map(|at| line.labels.remove(at).1);
        let new = found.len();
        let place = *places.entry(line.labels).or_insert(new);
        if place == new {
            found.push(Histogram::default());
        }
        let histogram = &mut found[place];
        match (line.name.strip_prefix(name), end) {
            (Some("_bucket"), Some(end)) => histogram.bucket.push(Bucket {
                cumulative_count: Some(line.value as u64),
                upper_bound: Some(if end == "+Inf" {
                    f64::INFINITY
                } else {
                    end.parse().unwrap_or(f64::NAN)
                }),
            }),
            (Some("_sum"), None) => histogram.sample_sum = Some(line.value),
            (Some("_count"), None) => histogram.sample_count = Some(line.value as u64),
            _ => {}
        }
    }
    for fine in native {
        let place = reading::labels(&fine.labels).and_then(|labels| places.get(&labels));
        if let Some(histogram) = place.and_then(|place| found.get_mut(*place)) {
            add_native(fine, histogram);
        }
    }
    let mut metrics: Vec<Metric> =
        found.into_iter().map(|h| Metric { histogram: Some(h), ..Metric::default() }).collect();
    for (labels, place) in places {
        metrics[place].label = pairs(labels);
    }
    metrics
}

/// Occupied buckets as runs of neighbours, each count as the difference from the one before.
fn add_native(fine: &NativeHistogram, histogram: &mut Histogram) {
    histogram.schema = Some(LatencyHistogram::SCHEMA);
    histogram.zero_threshold = Some(ZERO_THRESHOLD);
    histogram.zero_count = Some(fine.zeros);
    let (mut next, mut before) = (0, 0);
    for (number, count) in &fine.buckets {
        let (number, count) = (i32::from(*number), i64::try_from(*count).unwrap_or(i64::MAX));
        match histogram.positive_span.last_mut() {
            Some(span) if number == next => span.length = span.length.map(|length| length + 1),
            // The first begins at its own number, another after a gap.
            _ => histogram.positive_span.push(BucketSpan { offset: Some(number - next), length: Some(1) }),
        }
        histogram.positive_delta.push(count - before);
        (next, before) = (number + 1, count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> MetricFamily {
        MetricFamily::decode_length_delimited(bytes).unwrap()
    }

    #[test]
    fn samples_are_the_same_as_in_the_text() {
        let text = "a{table=\"x\\\"y\",schema=\"größe\"} 1.5\na 2\n";
        let mut out = Vec::new();
        family("a", Kind::Gauge, "What \"it\" is", text, &[], &mut out);
        let family = read(&out);
        assert_eq!((family.name(), family.help(), family.kind()), ("a", "What \"it\" is", MetricType::Gauge));
        let values: Vec<f64> = family.metric.iter().map(|m| m.gauge.unwrap().value()).collect();
        assert_eq!(values, [1.5, 2.0]);
        assert_eq!(family.metric[0].label[0].value(), "x\"y");
    }

    #[test]
    fn a_histogram_has_both_its_classic_and_its_native_buckets() {
        let text = "h_bucket{q=\"1\",le=\"0.5\"} 2\nh_bucket{q=\"1\",le=\"+Inf\"} 9\nh_sum{q=\"1\"} 4.5\n\
                    h_count{q=\"1\"} 9\nh_bucket{q=\"2\",le=\"+Inf\"} 0\nh_sum{q=\"2\"} 0\nh_count{q=\"2\"} 0\n";
        let native = [NativeHistogram {
            labels: "q=\"1\"".into(),
            buckets: vec![(-40, 1), (-39, 4), (3, 2), (4, 1)],
            zeros: 1,
        }];
        let mut out = Vec::new();
        family("h", Kind::Histogram, "", text, &native, &mut out);
        let family = read(&out);
        let first = family.metric[0].histogram.as_ref().unwrap();
        assert_eq!((first.sample_count(), first.sample_sum(), first.zero_count()), (9, 4.5, 1));
        let ends: Vec<f64> = first.bucket.iter().map(Bucket::upper_bound).collect();
        assert_eq!(ends, [0.5, f64::INFINITY]);
        let spans: Vec<(i32, u32)> = first.positive_span.iter().map(|s| (s.offset(), s.length())).collect();
        assert_eq!((spans, &first.positive_delta[..]), (vec![(-40, 2), (41, 2)], &[1, 3, -2, -1][..]));
        let second = family.metric[1].histogram.as_ref().unwrap();
        assert_eq!((second.schema, second.positive_span.len()), (None, 0));
    }
}
