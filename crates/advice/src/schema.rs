//! What is wrong with a schema, its indexes and its upkeep? Snapshot in, findings out, each with the statement that
//! mends it.
//!
//! One file per check in `checks`, one registry ([`CHECKS`]). [`lint`] runs them, drops what a suppression with a
//! reason covers, and says which suppressions covered nothing.

pub mod bloat;
mod checks;
mod facts;
mod remedy;
mod settings;

use model::{Finding, Severity, Snapshot};
use serde::Serialize;

pub use checks::{CHECKS, Check};
pub use facts::Facts;
pub use remedy::{Remedy, recommendations};
pub(crate) use remedy::{build_ms, rewrite_ms, scan_ms};
pub use settings::{Settings, Suppression, Thresholds};

/// A finding with what mends it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LintFinding {
    /// What was found.
    #[serde(flatten)]
    pub finding: Finding,
    /// What mends it; `None` when that is a question of design.
    pub remedy: Option<Remedy>,
}

impl LintFinding {
    pub(crate) fn mended_by(mut self, remedy: Remedy) -> Self {
        self.remedy = Some(remedy);
        self
    }

    pub(crate) fn with(mut self, name: &str, value: impl std::fmt::Display) -> Self {
        self.finding = self.finding.with(name, value);
        self
    }
}

/// A finding that a suppression covers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Suppressed {
    /// Its key.
    pub key: String,
    /// Why it is no fault.
    pub reason: String,
}

/// A check that could not be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NotChecked {
    /// Its id.
    pub check: String,
    /// Why, in a sentence.
    pub reason: String,
}

/// Everything that lint has to say.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Report {
    /// What was found, the most severe first, then by check and object.
    pub findings: Vec<LintFinding>,
    /// What was found and is known to be no fault.
    pub suppressed: Vec<Suppressed>,
    /// Suppressions that covered nothing: the fault is mended, or the key is mistyped.
    pub unused_suppressions: Vec<Suppression>,
    /// Checks that could not be made.
    pub not_checked: Vec<NotChecked>,
}

impl Report {
    /// The highest severity among the findings.
    pub fn worst(&self) -> Option<Severity> {
        self.findings.iter().map(|f| f.finding.severity).max()
    }
}

/// What a check is given beside the snapshot.
#[derive(Clone, Copy, Debug, Default)]
pub struct Beside<'a> {
    /// Snapshots of replicas, whose scans count for themselves.
    pub replicas: &'a [Snapshot],
    /// Bloat that was measured rather than estimated.
    pub measured: &'a [bloat::Measured],
}

/// Runs the checks that are asked for, or all that are enabled when `only` is empty.
pub fn lint(snapshot: &Snapshot, beside: Beside<'_>, settings: &Settings, only: &[String]) -> Report {
    let facts = Facts::new(snapshot, beside, &settings.thresholds);
    let mut report = Report::default();
    let mut used = vec![false; settings.suppress.len()];
    for check in CHECKS {
        let wanted =
            if only.is_empty() { settings.runs(check) } else { only.iter().any(|id| id == check.id) };
        if !wanted {
            continue;
        }
        if check.needs_schema_facts && !snapshot.schema.read {
            report.not_checked.push(NotChecked {
                check: check.id.into(),
                reason: "The snapshot was saved by an earlier version of pgwright and does not hold what it asks for."
                    .into(),
            });
            continue;
        }
        for mut found in (check.run)(&facts) {
            if let Some(severity) = settings.severity.get(check.id) {
                found.finding.severity = *severity;
            }
            let mut covered = None;
            for (suppression, used) in settings.suppress.iter().zip(&mut used) {
                if suppression.covers(&found.finding.key) {
                    *used = true;
                    covered.get_or_insert(suppression);
                }
            }
            match covered {
                Some(suppression) => report
                    .suppressed
                    .push(Suppressed { key: found.finding.key, reason: suppression.reason.clone() }),
                None => report.findings.push(found),
            }
        }
    }
    let run_all = only.is_empty();
    report.unused_suppressions = settings
        .suppress
        .iter()
        .zip(used)
        .filter(|(suppression, used)| !used && (run_all || suppression.is_of(only)))
        .map(|(suppression, _)| suppression.clone())
        .collect();
    report.findings.sort_by(|a, b| {
        (b.finding.severity, &a.finding.check, &a.finding.key).cmp(&(
            a.finding.severity,
            &b.finding.check,
            &b.finding.key,
        ))
    });
    report
}
