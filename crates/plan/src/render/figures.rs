//! How are rows, pages, times and shares written?

use model::{Bytes, Millis};

/// A whole number with commas between thousands.
pub(crate) fn count(number: f64) -> String {
    let digits = format!("{:.0}", number.max(0.0));
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// How many times one is the other: `12.3×`, `4,711×`.
pub(crate) fn factor(ratio: f64) -> String {
    if ratio < 100.0 { format!("{ratio:.1}×") } else { format!("{}×", count(ratio)) }
}

/// Kilobytes as a size.
pub(crate) fn kilobytes(kb: u64) -> String {
    Bytes(kb.saturating_mul(1024)).to_string()
}

/// Milliseconds as a time.
pub(crate) fn milliseconds(ms: f64) -> String {
    Millis(ms).to_string()
}

/// A share of 0 to 1 as a percentage.
pub(crate) fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_read_as_a_person_would_write_them() {
        assert_eq!(count(0.4), "0");
        assert_eq!(count(999.0), "999");
        assert_eq!(count(1_234_567.0), "1,234,567");
        assert_eq!(factor(12.34), "12.3×");
        assert_eq!(factor(4711.0), "4,711×");
        assert_eq!(kilobytes(4200), "4.1 MB");
        assert_eq!(percent(0.618), "62 %");
    }
}
