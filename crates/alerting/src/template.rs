//! What is told in one line: a text with values in it, in the notation of Prometheus.
//!
//! Source: Prometheus documentation, "Template reference": `{{ $labels.name }}`, `{{ $value }}`, and its functions
//! `humanize`, `humanize1024`, `humanizeDuration` and `humanizePercentage`.

use crate::labels::Labels;

/// A text with places for values.
#[derive(Clone, Debug)]
pub(crate) struct Template(Vec<Part>);

#[derive(Clone, Debug)]
enum Part {
    Text(String),
    Label(String),
    Value(Form),
}

#[derive(Clone, Copy, Debug)]
enum Form {
    Plain,
    Thousands,
    Binary,
    Duration,
    Percentage,
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// Which part is not known, in a sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            let (inside, after) = after.split_once("}}").ok_or("\"{{\" is not closed.")?;
            parts.push(Part::Text(before.to_owned()));
            parts.push(part(inside.trim())?);
            rest = after;
        }
        parts.push(Part::Text(rest.to_owned()));
        Ok(Self(parts))
    }

    /// The text for a series.
    pub fn render(&self, labels: &Labels, value: f64) -> String {
        let mut out = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Label(name) => out.push_str(labels.get(name)),
                Part::Value(form) => out.push_str(&form.of(value)),
            }
        }
        out
    }
}

fn part(inside: &str) -> Result<Part, String> {
    if let Some(name) = inside.strip_prefix("$labels.") {
        if name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            return Ok(Part::Label(name.to_owned()));
        }
    } else if let Some(form) = inside.strip_prefix("$value") {
        match form.trim_start().trim_start_matches('|').trim() {
            "" => return Ok(Part::Value(Form::Plain)),
            "humanize" => return Ok(Part::Value(Form::Thousands)),
            "humanize1024" => return Ok(Part::Value(Form::Binary)),
            "humanizeDuration" => return Ok(Part::Value(Form::Duration)),
            "humanizePercentage" => return Ok(Part::Value(Form::Percentage)),
            _ => {}
        }
    }
    Err(format!("\"{{{{ {inside} }}}}\" is not known here."))
}

impl Form {
    fn of(self, value: f64) -> String {
        if !value.is_finite() {
            return exporter::exposition::number(value);
        }
        match self {
            Self::Plain => exporter::exposition::number(value),
            Self::Thousands => scaled(value, 1000.0, &["", "k", "M", "G", "T", "P", "E"]),
            Self::Binary => scaled(value, 1024.0, &["", "ki", "Mi", "Gi", "Ti", "Pi", "Ei"]),
            Self::Percentage => format!("{}%", four_digits(value * 100.0)),
            Self::Duration => duration(value),
        }
    }
}

fn scaled(value: f64, base: f64, prefixes: &[&str]) -> String {
    let mut value = value;
    let mut prefix = 0;
    if base == 1000.0 && value != 0.0 && value.abs() < 1.0 {
        for small in ["m", "u", "n", "p"] {
            value *= 1000.0;
            if value.abs() >= 1.0 {
                return format!("{}{small}", four_digits(value));
            }
        }
    }
    while value.abs() >= base && prefix + 1 < prefixes.len() {
        value /= base;
        prefix += 1;
    }
    format!("{}{}", four_digits(value), prefixes[prefix])
}

/// With four significant digits, as C's `%.4g` of numbers that are neither huge nor tiny.
fn four_digits(value: f64) -> String {
    if value == 0.0 {
        return "0".into();
    }
    let before = (value.abs().log10().floor() as i32 + 1).max(1);
    let text = format!("{value:.*}", usize::try_from(4 - before).unwrap_or(0));
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

fn duration(seconds: f64) -> String {
    if seconds.abs() < 1.0 {
        return format!("{}s", scaled(seconds, 1000.0, &[""]));
    }
    let sign = if seconds < 0.0 { "-" } else { "" };
    let whole = seconds.abs() as u64;
    let (days, hours, minutes, rest) = (whole / 86400, whole / 3600 % 24, whole / 60 % 60, whole % 60);
    if days > 0 {
        format!("{sign}{days}d {hours}h {minutes}m {rest}s")
    } else if hours > 0 {
        format!("{sign}{hours}h {minutes}m {rest}s")
    } else if minutes > 0 {
        format!("{sign}{minutes}m {rest}s")
    } else {
        format!("{sign}{}s", four_digits(seconds.abs()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_told_as_prometheus_tells_them() {
        let told = |text: &str, value: f64| {
            let labels = [("datname", "shop")].into_iter().collect();
            Template::parse(text).unwrap().render(&labels, value)
        };
        assert_eq!(
            told("in {{ $labels.datname }} of {{$labels.nobody}}: {{ $value }}.", 3.0),
            "in shop of : 3."
        );
        for (form, value, expected) in [
            ("humanize", 1_234_567.0, "1.235M"),
            ("humanize", 0.0012, "1.2m"),
            ("humanize", 0.0, "0"),
            ("humanize", 999.96, "1000"),
            ("humanize1024", 10_737_418_240.0, "10Gi"),
            ("humanizePercentage", 0.8519, "85.19%"),
            ("humanizeDuration", 0.25, "250ms"),
            ("humanizeDuration", 1.5, "1.5s"),
            ("humanizeDuration", 4000.0, "1h 6m 40s"),
            ("humanizeDuration", 100_000.0, "1d 3h 46m 40s"),
            ("humanizeDuration", -90.0, "-1m 30s"),
            ("humanize", f64::NAN, "NaN"),
        ] {
            assert_eq!(told(&format!("{{{{ $value | {form} }}}}"), value), expected, "{form} {value}");
        }
    }

    #[test]
    fn what_is_not_known_is_said() {
        for text in ["{{ .Labels }}", "{{ $value | title }}", "{{ $labels.a b }}", "{{ $value"] {
            assert!(Template::parse(text).is_err(), "{text}");
        }
        for alert in monitoring::alerts::alerts() {
            assert!(Template::parse(alert.summary).is_ok(), "{}", alert.name);
        }
    }
}
