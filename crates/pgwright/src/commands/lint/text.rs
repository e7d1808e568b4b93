//! How does a terminal show what lint found?

use std::fmt::Write as _;

use advice::schema::{LintFinding, Report};
use model::{ObjectRef, Severity};

use crate::printer::{count, plain};

/// A severity in a word.
pub fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "note",
    }
}

/// The findings, the most severe first, and what was suppressed.
pub fn report(report: &Report, verbose: bool) -> String {
    let mut out = String::new();
    for found in &report.findings {
        let brief = found.finding.severity == Severity::Info && !verbose;
        let _ = writeln!(
            out,
            "{:8}{}{}: {}",
            severity(found.finding.severity),
            place(&found.finding.object),
            found.finding.check,
            plain(&found.finding.summary)
        );
        if !brief {
            details(found, &mut out);
        }
    }
    if !report.findings.is_empty() {
        out.push('\n');
    }
    out.push_str(&summary(report, verbose));
    out
}

/// The place in a file, where there is one.
fn place(object: &ObjectRef) -> String {
    match object {
        ObjectRef::Source { .. } => format!("{}: ", plain(&object.to_string())),
        _ => String::new(),
    }
}

fn details(found: &LintFinding, out: &mut String) {
    let _ = writeln!(out, "          {}", plain(&found.finding.detail));
    let evidence: Vec<String> =
        found.finding.evidence.iter().map(|e| format!("{}: {}", e.name, e.value)).collect();
    if !evidence.is_empty() {
        let _ = writeln!(out, "          {}", plain(&evidence.join("; ")));
    }
    if let Some(remedy) = &found.remedy {
        for statement in &remedy.sql {
            // A comment is no statement.
            let end = if statement.starts_with("--") { "" } else { ";" };
            let _ = writeln!(out, "            {}{end}", plain(statement));
        }
        let _ = writeln!(out, "          {}", plain(&remedy.lock_duration));
    }
    let _ = writeln!(out, "          key: {}", plain(&found.finding.key));
}

fn summary(report: &Report, verbose: bool) -> String {
    let number = |wanted: Severity| report.findings.iter().filter(|f| f.finding.severity == wanted).count();
    let mut out = String::new();
    if report.findings.is_empty() {
        out.push_str("nothing was found");
    } else {
        let _ = write!(
            out,
            "{}, {}, {}",
            count(number(Severity::Error), "error"),
            count(number(Severity::Warning), "warning"),
            count(number(Severity::Info), "note")
        );
    }
    if !report.suppressed.is_empty() {
        let _ = write!(out, "; {} suppressed", report.suppressed.len());
    }
    out.push('\n');
    for suppression in &report.unused_suppressions {
        let _ = writeln!(out, "the suppression of \"{}\" covers nothing any more", plain(&suppression.key));
    }
    for skipped in &report.not_checked {
        let _ = writeln!(out, "{} was not checked: {}", skipped.check, plain(&skipped.reason));
    }
    if number(Severity::Info) > 0 && !verbose {
        out.push_str("--verbose says of notes as well why they matter and what mends them\n");
    }
    out
}
