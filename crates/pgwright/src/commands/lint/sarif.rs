//! How do code hosts take findings? As SARIF 2.1.0, each at a line of a file of the repository.
//!
//! Source: OASIS, "Static Analysis Results Interchange Format (SARIF) Version 2.1.0", and what GitHub's code scanning
//! asks for beyond it: a location for each result, rules with a description, a fingerprint that stays.

use std::fmt::Write as _;
use std::path::Path;

use advice::schema::{LintFinding, Report, Settings};
use model::{ObjectRef, QualifiedName, Severity};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::level;
use crate::error::CommandError;

/// A file that holds the schema as SQL, as `pg_dump --schema-only` or migrations write it.
pub struct SchemaFile {
    path: String,
    lines: Vec<String>,
}

/// Where a result is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    file: String,
    line: usize,
    column: usize,
}

impl SchemaFile {
    /// Reads it.
    ///
    /// # Errors
    /// Fails when it cannot be read.
    pub fn read(path: &Path) -> Result<Self, CommandError> {
        let text = super::super::read_text(path)?;
        Ok(Self {
            path: path.to_string_lossy().replace('\\', "/"),
            lines: text.lines().map(|line| line.to_lowercase()).collect(),
        })
    }

    /// The line, from 1, at which an object is made; 1 when it is not found.
    fn line_of(&self, object: &ObjectRef) -> usize {
        let made = |what: &str, name: &QualifiedName| {
            self.lines.iter().position(|line| line.contains(what) && mentions(line, &name.name))
        };
        let table = |name: &QualifiedName| made("create ", name);
        let within = |relation: &QualifiedName, name: &str| {
            let from = table(relation)?;
            let below = self.lines[from..].iter().position(|line| mentions(line, name));
            Some(below.map_or(from, |n| from + n))
        };
        let found = match object {
            ObjectRef::Relation { name } | ObjectRef::Sequence { name } => table(name),
            ObjectRef::Index { name } => made("index", name).or_else(|| made("constraint", name)),
            ObjectRef::Column { relation, column } => within(relation, column),
            ObjectRef::Constraint { relation, name } => {
                let named = QualifiedName::new("", name.clone());
                made("constraint", &named).or_else(|| within(relation, name))
            }
            ObjectRef::Function { name, .. } => made("function", name).or_else(|| made("procedure", name)),
            ObjectRef::Policy { name, .. } => made("policy", &QualifiedName::new("", name.clone())),
            _ => None,
        };
        found.map_or(1, |n| n + 1)
    }
}

/// Whether a line of SQL names an object, quoted or not; both are in lower case here.
fn mentions(line: &str, name: &str) -> bool {
    let name = name.to_lowercase();
    line.match_indices(&name).any(|(at, _)| {
        let is_part = |c: char| c.is_alphanumeric() || c == '_';
        let before = line[..at].chars().next_back();
        let after = line[at + name.len()..].chars().next();
        !before.is_some_and(is_part) && !after.is_some_and(is_part)
    })
}

/// A check as SARIF describes it.
#[derive(Clone, Copy, Debug)]
pub struct Rule<'a> {
    /// Its id.
    pub id: &'a str,
    /// What it finds.
    pub title: &'a str,
    /// Its usual severity.
    pub severity: Severity,
}

/// A log of what lint found, suppressed findings among it.
///
/// # Errors
/// Fails when it cannot be written as JSON.
pub fn of_report(
    report: &Report,
    checks: &[Rule<'_>],
    settings: &Settings,
    schema: Option<&SchemaFile>,
) -> Result<String, CommandError> {
    let place = |object: &ObjectRef| match (schema, object) {
        (_, ObjectRef::Source { file, line, column }) => {
            Place { file: file.clone(), line: *line, column: *column }
        }
        (Some(schema), object) => {
            Place { file: schema.path.clone(), line: schema.line_of(object), column: 1 }
        }
        // A result without a file is refused; what lint is set up by is the nearest.
        (None, _) => Place { file: "pgwright.toml".into(), line: 1, column: 1 },
    };
    let rules: Vec<Value> = checks
        .iter()
        .map(|check| {
            let severity = settings.severity.get(check.id).copied().unwrap_or(check.severity);
            rule(check.id, check.title, severity, &format!("docs/reference/lint/{}.md", check.id))
        })
        .collect();
    let ids: Vec<&str> = checks.iter().map(|c| c.id).collect();
    let mut results: Vec<Value> =
        report.findings.iter().map(|f| result(f, &ids, &place(&f.finding.object))).collect();
    results.extend(report.suppressed.iter().map(|s| {
        let check = s.key.split_once(':').map_or("", |(check, _)| check);
        json!({
            "ruleId": check,
            "ruleIndex": ids.iter().position(|id| *id == check),
            "level": "none",
            "message": { "text": s.key },
            "locations": [location(&place(&ObjectRef::Server))],
            "partialFingerprints": { "pgwrightKey/v1": fingerprint(&s.key) },
            "suppressions": [{ "kind": "external", "justification": s.reason }],
        })
    }));
    log(rules, results)
}

/// A rule of the tool.
fn rule(id: &str, title: &str, severity: Severity, page: &str) -> Value {
    let level = match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "note",
    };
    json!({
        "id": id,
        "name": id,
        "shortDescription": { "text": title },
        "fullDescription": { "text": title },
        "help": { "text": format!("{title}. What it means and what mends it: {page} in pgwright's documentation.") },
        "defaultConfiguration": { "level": level },
        "properties": { "tags": ["database", "postgresql"] },
    })
}

fn result(found: &LintFinding, ids: &[&str], place: &Place) -> Value {
    let finding = &found.finding;
    let mut text = format!("{}. {}", finding.summary, finding.detail);
    if let Some(remedy) = &found.remedy {
        let _ = write!(text, "\n\n{};\n\n{}", remedy.sql.join(";\n"), remedy.lock_duration);
    }
    json!({
        "ruleId": finding.check,
        "ruleIndex": ids.iter().position(|id| *id == finding.check),
        "level": level(found),
        "message": { "text": text },
        "locations": [location(place)],
        "partialFingerprints": { "pgwrightKey/v1": fingerprint(&finding.key) },
    })
}

fn location(place: &Place) -> Value {
    json!({
        "physicalLocation": {
            "artifactLocation": { "uri": uri(&place.file) },
            "region": { "startLine": place.line, "startColumn": place.column },
        }
    })
}

/// A relative path as a URI reference.
fn uri(path: &str) -> String {
    let path = path.strip_prefix("./").unwrap_or(path);
    path.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

/// What a host knows a finding by from run to run.
fn fingerprint(key: &str) -> String {
    Sha256::digest(key.as_bytes()).iter().take(16).fold(String::new(), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

/// The log with one run.
///
/// # Errors
/// Fails when it cannot be written as JSON.
fn log(rules: Vec<Value>, results: Vec<Value>) -> Result<String, CommandError> {
    let log = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "pgwright",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            }},
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    });
    serde_json::to_string_pretty(&log)
        .map(|text| text + "\n")
        .map_err(|e| CommandError::new("could not write the findings as SARIF").detail(e.to_string()))
}
