//! How are figures written on a page? With their unit, and no more digits than tell something.

use chrono::{DateTime, TimeZone as _, Utc};
use maud::{Markup, html};
use model::{Bytes, Millis};

/// A whole number with thousands apart.
pub(crate) fn count(value: f64) -> String {
    if !value.is_finite() {
        return "–".into();
    }
    let digits = format!("{:.0}", value.abs());
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    if value <= -0.5 { format!("−{out}") } else { out }
}

/// A number of things per time, which may be a fraction.
pub(crate) fn rate(value: f64) -> String {
    match value.abs() {
        v if !v.is_finite() => "–".into(),
        v if v >= 100.0 => count(value),
        v if v >= 10.0 => format!("{value:.1}"),
        0.0 => "0".into(),
        v if v < 0.005 => "<0.01".into(),
        _ => format!("{value:.2}"),
    }
}

/// A duration that is given in seconds.
pub(crate) fn seconds(value: f64) -> String {
    match value {
        v if !v.is_finite() => "–".into(),
        v if v.abs() >= 172_800.0 => format!("{:.1} d", v / 86_400.0),
        v if v.abs() >= 7_200.0 => format!("{:.1} h", v / 3600.0),
        0.0 => "0".into(),
        v => Millis(v * 1000.0).to_string(),
    }
}

/// A size that is given in bytes.
pub(crate) fn bytes(value: f64) -> String {
    if value.is_finite() && value >= 0.0 { Bytes(value as u64).to_string() } else { "–".into() }
}

/// A share from 0 to 1.
pub(crate) fn percent(value: f64) -> String {
    let percent = 100.0 * value;
    match percent.abs() {
        v if !v.is_finite() => "–".into(),
        v if v >= 99.95 || v == 0.0 => format!("{percent:.0} %"),
        v if v >= 10.0 => format!("{percent:.1} %"),
        v if v < 0.01 => "<0.01 %".into(),
        _ => format!("{percent:.2} %"),
    }
}

/// A moment that is given in seconds since 1970.
pub(crate) fn moment(seconds: f64) -> Option<DateTime<Utc>> {
    Utc.timestamp_millis_opt((seconds * 1000.0) as i64).single()
}

/// A moment as it is written.
pub(crate) fn written(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// How long ago a moment was.
pub(crate) fn ago(at: DateTime<Utc>) -> String {
    let past = (Utc::now() - at).num_milliseconds() as f64 / 1000.0;
    match past {
        p if p < 0.0 => "now".into(),
        p if p < 120.0 => format!("{p:.0} s ago"),
        p if p < 7_200.0 => format!("{:.0} min ago", p / 60.0),
        p if p < 172_800.0 => format!("{:.0} h ago", p / 3600.0),
        p => format!("{:.0} d ago", p / 86_400.0),
    }
}

/// A share as a bar.
pub(crate) fn bar(share: f64) -> Markup {
    let width = if share.is_finite() { share.clamp(0.0, 1.0) * 100.0 } else { 0.0 };
    html! {
        svg.bar viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true" {
            rect.rest width="100" height="10" {}
            rect width=(format!("{width:.1}")) height="10" {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_read_as_a_person_would_write_them() {
        assert_eq!(count(1_234_567.4), "1\u{202f}234\u{202f}567");
        assert_eq!(
            (count(-999.6), count(0.2), count(f64::NAN)),
            ("−1\u{202f}000".into(), "0".into(), "–".into())
        );
        assert_eq!((rate(0.001), rate(3.456), rate(12.345)), ("<0.01".into(), "3.46".into(), "12.3".into()));
        assert_eq!(
            (seconds(0.0123), seconds(90.0), seconds(10_800.0)),
            ("12.3 ms".into(), "1.5 min".into(), "3.0 h".into())
        );
        assert_eq!(
            (percent(0.5), percent(1.0), percent(0.00001)),
            ("50.0 %".into(), "100 %".into(), "<0.01 %".into())
        );
        assert_eq!((bytes(1536.0), bytes(-1.0)), ("1.5 kB".into(), "–".into()));
        assert_eq!(moment(1.5).map(written).as_deref(), Some("1970-01-01 00:00:01 UTC"));
        assert!(ago(Utc::now() - chrono::TimeDelta::minutes(5)).starts_with("5 min"));
    }
}
