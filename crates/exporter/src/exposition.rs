//! How are samples written so that Prometheus reads them? As OpenMetrics text, or as its own older text format; the third
//! format, which is no text, is in `protobuf.rs`.
//!
//! Source: "OpenMetrics 1.0", and Prometheus' "Exposition formats". Both write samples the same way; they differ in the
//! names that `# TYPE` lines carry and in how the text ends.

use std::fmt::Write as _;

use postgres::metrics::MetricKind;

/// A format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `application/openmetrics-text`, version 1.0.0.
    OpenMetrics,
    /// `text/plain`, version 0.0.4.
    Prometheus,
    /// Protocol buffers, the only one that has words for native histograms.
    Protobuf,
}

impl Format {
    /// The format that a client asks for by its `Accept` header: of those that it names and pgwright knows the one that it
    /// wants most, and of several the first.
    pub fn accepted(header: Option<&str>) -> Self {
        let mut best = (0.0, Self::Prometheus);
        for wanted in header.unwrap_or_default().split(',') {
            let mut parts = wanted.split(';').map(str::trim);
            let kind = parts.next().unwrap_or_default();
            let parameters: Vec<(&str, &str)> = parts.filter_map(|p| p.split_once('=')).collect();
            let parameter = |name: &str| {
                parameters
                    .iter()
                    .find(|(n, _)| n.eq_ignore_ascii_case(name))
                    .map(|(_, v)| v.trim_matches('"'))
            };
            let format = match kind {
                "application/vnd.google.protobuf"
                    if parameter("proto") == Some("io.prometheus.client.MetricFamily")
                        && parameter("encoding").is_none_or(|encoding| encoding == "delimited") =>
                {
                    Self::Protobuf
                }
                "application/openmetrics-text" => Self::OpenMetrics,
                "text/plain" => Self::Prometheus,
                _ => continue,
            };
            let wish = parameter("q").and_then(|q| q.parse::<f64>().ok()).unwrap_or(1.0);
            if wish > best.0 {
                best = (wish, format);
            }
        }
        best.1
    }

    /// The `Content-Type`.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::Protobuf => {
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
            }
        }
    }
}

/// What a family of samples is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, until it is reset.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Buckets, a sum and a count.
    Histogram,
    /// Not said.
    Untyped,
}

impl Kind {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::Untyped => "untyped",
        }
    }
}

impl From<MetricKind> for Kind {
    fn from(kind: MetricKind) -> Self {
        match kind {
            MetricKind::Counter => Self::Counter,
            MetricKind::Gauge => Self::Gauge,
        }
    }
}

/// Writes the head of a family.
pub fn head(format: Format, name: &str, kind: Kind, help: &str, out: &mut String) {
    let (name, word) = match (format, kind) {
        (Format::OpenMetrics, Kind::Counter) => match name.strip_suffix("_total") {
            Some(base) => (base, "counter"),
            // OpenMetrics wants the samples of a counter to end so.
            None => (name, "unknown"),
        },
        (Format::OpenMetrics, Kind::Untyped) => (name, "unknown"),
        _ => (name, kind.as_str()),
    };
    let _ = write!(out, "# HELP {name} ");
    escape(help, format == Format::OpenMetrics, out);
    let _ = writeln!(out, "\n# TYPE {name} {word}");
}

/// Ends the text.
pub fn end(format: Format, out: &mut String) {
    if format == Format::OpenMetrics {
        out.push_str("# EOF\n");
    }
}

/// Appends a label to a block of labels without its braces.
pub fn label(name: &str, value: &str, block: &mut String) {
    if !block.is_empty() {
        block.push(',');
    }
    block.push_str(name);
    block.push_str("=\"");
    escape(value, true, block);
    block.push('"');
}

/// Writes one sample; `value` is already text.
pub fn sample(name: &str, labels: &str, value: &str, out: &mut String) {
    out.push_str(name);
    if !labels.is_empty() {
        out.push('{');
        out.push_str(labels);
        out.push('}');
    }
    out.push(' ');
    out.push_str(value);
    out.push('\n');
}

/// A number as text.
pub fn number(value: f64) -> String {
    if value.is_nan() {
        "NaN".into()
    } else if value.is_infinite() {
        if value > 0.0 { "+Inf".into() } else { "-Inf".into() }
    } else {
        format!("{value}")
    }
}

/// A number that PostgreSQL wrote, as an exposition writes it; `None` when it is none.
pub fn number_of_server(text: &str) -> Option<&str> {
    let plain = text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'+' | b'e' | b'E'));
    match text {
        "" => None,
        _ if plain => Some(text),
        "Infinity" => Some("+Inf"),
        "-Infinity" => Some("-Inf"),
        "NaN" => Some("NaN"),
        _ => None,
    }
}

fn escape(text: &str, quotes: bool, out: &mut String) {
    if !text.bytes().any(|b| matches!(b, b'\\' | b'\n' | b'"')) {
        out.push_str(text);
        return;
    }
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '"' if quotes => out.push_str("\\\""),
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_name_stays_within_its_quotes() {
        let mut block = String::new();
        label("table", "a\"b\\c\nd", &mut block);
        label("schema", "größe", &mut block);
        assert_eq!(block, r#"table="a\"b\\c\nd",schema="größe""#);
        let mut out = String::new();
        sample("x", &block, "1", &mut out);
        sample("y", "", "2.5", &mut out);
        assert_eq!(out, "x{table=\"a\\\"b\\\\c\\nd\",schema=\"größe\"} 1\ny 2.5\n");
    }

    #[test]
    fn counters_are_headed_as_each_format_wants() {
        let heads = |name: &str| {
            [Format::OpenMetrics, Format::Prometheus].map(|format| {
                let mut out = String::new();
                head(format, name, Kind::Counter, "What \"it\" is", &mut out);
                out
            })
        };
        assert_eq!(
            heads("calls_total"),
            [
                "# HELP calls What \\\"it\\\" is\n# TYPE calls counter\n",
                "# HELP calls_total What \"it\" is\n# TYPE calls_total counter\n"
            ]
        );
        assert!(heads("calls")[0].ends_with("# TYPE calls unknown\n"));
        assert_eq!(
            Format::accepted(Some("application/openmetrics-text;version=1.0.0,*/*")),
            Format::OpenMetrics
        );
    }

    #[test]
    fn a_client_gets_the_format_that_it_wants_most() {
        let protobuf =
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";
        // As Prometheus asks with and without native histograms.
        let native = format!(
            "{protobuf},application/openmetrics-text;version=1.0.0;q=0.8,application/openmetrics-text;version=0.0.1;q=0.75,\
             text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
        );
        for (header, expected) in [
            (Some(native.as_str()), Format::Protobuf),
            (
                Some("application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"),
                Format::OpenMetrics,
            ),
            (Some(&format!("{protobuf};q=0.2, text/plain")), Format::Prometheus),
            (Some("application/vnd.google.protobuf;proto=another.Message"), Format::Prometheus),
            (
                Some("application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=text"),
                Format::Prometheus,
            ),
            (Some("*/*"), Format::Prometheus),
            (None, Format::Prometheus),
        ] {
            assert_eq!(Format::accepted(header), expected, "{header:?}");
        }
    }

    #[test]
    fn what_is_no_number_is_none() {
        for (text, expected) in [
            ("12", Some("12")),
            ("-1.5e-07", Some("-1.5e-07")),
            ("Infinity", Some("+Inf")),
            ("NaN", Some("NaN")),
        ] {
            assert_eq!(number_of_server(text), expected);
        }
        assert!(number_of_server("t\nup 1").is_none() && number_of_server("").is_none());
    }
}
