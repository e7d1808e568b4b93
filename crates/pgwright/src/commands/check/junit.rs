//! How does a code host show the outcome of a check? As JUnit XML, a test case for each statement.
//!
//! Source: the schema that Jenkins, GitLab and others read: `testsuites/testsuite/testcase[/failure]`.

use std::fmt::Write as _;

use advice::regression::{Outcome, Verdict};

use super::text::lines;

/// The outcome as JUnit XML.
pub(super) fn render(against: &str, outcomes: &[Outcome]) -> String {
    let bad = |o: &&Outcome| matches!(o.verdict, Verdict::Worse | Verdict::Fails);
    let failures = outcomes.iter().filter(bad).count();
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(out, "<testsuites tests=\"{}\" failures=\"{failures}\">", outcomes.len());
    let _ = writeln!(
        out,
        "  <testsuite name=\"pgwright check against {}\" tests=\"{}\" failures=\"{failures}\" errors=\"0\" skipped=\"0\">",
        escaped(against),
        outcomes.len()
    );
    for outcome in outcomes {
        let _ = write!(out, "    <testcase classname=\"pgwright.check\" name=\"{}\"", escaped(&outcome.name));
        let text = escaped(&lines(outcome).join("\n"));
        if bad(&outcome) {
            let message = escaped(outcome.reasons.first().map_or("worse", String::as_str));
            let _ =
                writeln!(out, ">\n      <failure message=\"{message}\">{text}</failure>\n    </testcase>");
        } else if text.is_empty() {
            out.push_str("/>\n");
        } else {
            let _ = writeln!(out, ">\n      <system-out>{text}</system-out>\n    </testcase>");
        }
    }
    out.push_str("  </testsuite>\n</testsuites>\n");
    out
}

/// Text for XML 1.0, which knows no control characters at all, not even escaped.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(c),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => {
                let _ = write!(out, "\\u{{{:x}}}", c as u32);
            }
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_stay_text() {
        assert_eq!(escaped("a<b & \"c\"\u{1b}[2J"), "a&lt;b &amp; &quot;c&quot;\\u{1b}[2J");
    }
}
