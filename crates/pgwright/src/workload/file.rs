//! What does a workload file say? Statements with weights, and where their parameters come from.
//!
//! Source: docs/reference/workload-file.md, the description of the format for its users. Reading is
//! strict: a key that nobody reads, a parameter that nobody defined or uses, is a typing error that
//! would otherwise measure something else than what was meant.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;

use chrono::TimeDelta;
use serde::Deserialize;
use toml::Spanned;

use super::draw::Weights;
use super::parameter::{Literal, Parameter, Source};
use super::template::Template;

/// The version of the format that this program reads.
const FORMAT: i64 = 1;

/// A workload: what clients send, and how often.
#[derive(Clone, Debug)]
pub struct WorkloadFile {
    /// The file's name, for messages.
    pub name: String,
    /// What it stands for.
    pub description: String,
    /// The statements in the order of the file.
    pub statements: Vec<Statement>,
    /// The parameters by name.
    pub parameters: BTreeMap<String, Parameter>,
    /// How ingestion is measured, when the file says so.
    pub ingest: Option<Ingest>,
}

/// A statement of a workload.
#[derive(Clone, Debug)]
pub struct Statement {
    /// Its name in reports.
    pub name: String,
    /// Its share is its weight divided by the sum of all weights.
    pub weight: f64,
    /// Its text, cut at its parameters.
    pub template: Template,
}

/// How the throughput of ingestion is measured.
#[derive(Clone, Debug)]
pub struct Ingest {
    /// The parameter that identifies a row.
    pub key: String,
    /// The column whose value the server gives an inserted row and that is its key; otherwise the key's
    /// parameter is part of the row.
    pub returning: Option<String>,
    /// Rows inserted by each transaction.
    pub rows: usize,
    /// Rows of the transaction before that each transaction changes, at most.
    pub updates: usize,
    /// The statement up to and including `VALUES`.
    pub insert: String,
    /// One row in parentheses.
    pub row: Template,
    /// Changes one row by its key.
    pub update: Template,
    /// Removes one row by its key.
    pub cleanup: Template,
}

/// Why a workload file cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("workload file \"{file}\"{}: {message}", line.map(|line| format!(", line {line}")).unwrap_or_default())]
pub struct FileError {
    /// The file.
    pub file: String,
    /// The line, counted from 1, where it is known.
    pub line: Option<usize>,
    /// What is wrong.
    pub message: String,
    /// What else is known, in a sentence.
    pub detail: Option<String>,
    /// What to do, in a sentence.
    pub hint: Option<String>,
}

impl FileError {
    /// What else is known, in a sentence.
    pub fn detail(&self) -> Option<String> {
        self.detail.clone()
    }

    /// What to do, in a sentence.
    pub fn hint(&self) -> Option<String> {
        self.hint.clone()
    }

    fn with_detail(mut self, detail: String) -> Self {
        self.detail = Some(detail);
        self
    }

    fn with_hint(mut self, hint: String) -> Self {
        self.hint = Some(hint);
        self
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    format: Spanned<i64>,
    #[serde(default)]
    description: String,
    #[serde(default, rename = "statement")]
    statements: Vec<RawStatement>,
    #[serde(default, rename = "parameter")]
    parameters: BTreeMap<String, Spanned<RawParameter>>,
    ingest: Option<RawIngest>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawStatement {
    name: Spanned<String>,
    weight: Spanned<f64>,
    sql: Spanned<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawIngest {
    key: Spanned<String>,
    returning: Option<Spanned<String>>,
    #[serde(default = "fifty")]
    rows: usize,
    #[serde(default = "twenty_five")]
    updates: usize,
    insert: Spanned<String>,
    row: Spanned<String>,
    update: Spanned<String>,
    cleanup: Spanned<String>,
}

fn fifty() -> usize {
    50
}

fn twenty_five() -> usize {
    25
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawParameter {
    values: Option<Vec<toml::Value>>,
    weights: Option<Vec<f64>>,
    query: Option<String>,
    weight_column: Option<String>,
    int: Option<RawInt>,
    float: Option<RawFloat>,
    zipf: Option<RawZipf>,
    uuid: Option<RawUuid>,
    timestamp: Option<RawTimestamp>,
    text: Option<RawText>,
    #[serde(rename = "type")]
    sql_type: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawInt {
    min: i64,
    max: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFloat {
    min: f64,
    max: f64,
    #[serde(default = "four")]
    decimals: usize,
}

fn four() -> usize {
    4
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawZipf {
    n: usize,
    #[serde(default = "one")]
    exponent: f64,
}

fn one() -> f64 {
    1.0
}

#[derive(Deserialize)]
enum RawUuid {
    #[serde(rename = "fresh")]
    Fresh,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTimestamp {
    from: String,
    to: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawText {
    length: usize,
}

/// Knows the text, to tell lines, and the file's name.
struct Reader<'a> {
    file: &'a str,
    text: &'a str,
}

impl WorkloadFile {
    /// Reads a file.
    ///
    /// # Errors
    /// [`FileError`] when it cannot be read or is no workload.
    pub fn read(path: &Path) -> Result<Self, FileError> {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| FileError {
            file: name.clone(),
            line: None,
            message: "could not be read".into(),
            detail: Some(format!("The operating system said: {error}.")),
            hint: None,
        })?;
        Self::parse(&name, &text)
    }

    /// Understands the text of a workload file; `name` is for messages.
    ///
    /// # Errors
    /// [`FileError`] with the line, the statement or parameter, and what to do.
    pub fn parse(name: &str, text: &str) -> Result<Self, FileError> {
        let reader = Reader { file: name, text };
        let raw: RawFile = toml::from_str(text).map_err(|error| reader.syntax(&error))?;
        if *raw.format.get_ref() != FORMAT {
            return Err(reader
                .error(Some(raw.format.span()), format!("format {} is not known", raw.format.get_ref()))
                .with_hint(format!("This version of pgwright reads format = {FORMAT}.")));
        }
        let parameters = raw
            .parameters
            .into_iter()
            .map(|(parameter, raw)| Ok((parameter.clone(), reader.parameter(&parameter, raw)?)))
            .collect::<Result<BTreeMap<_, _>, FileError>>()?;
        let mut used = BTreeSet::new();
        let statements = reader.statements(raw.statements, &parameters, &mut used)?;
        let ingest = match raw.ingest {
            Some(raw) => Some(reader.ingest(raw, &parameters, &mut used)?),
            None => None,
        };
        if let Some(unused) = parameters.keys().find(|name| !used.contains(*name)) {
            return Err(reader
                .error(
                    reader.find(&format!("[parameter.{unused}]")),
                    format!("parameter \"{unused}\" is not used"),
                )
                .with_hint(format!("Write :{unused} in a statement, or remove [parameter.{unused}].")));
        }
        Ok(Self { name: name.to_owned(), description: raw.description, statements, parameters, ingest })
    }
}

impl Reader<'_> {
    fn error(&self, at: Option<Range<usize>>, message: String) -> FileError {
        let line = at.map(|span| 1 + self.text[..span.start.min(self.text.len())].matches('\n').count());
        FileError { file: self.file.to_owned(), line, message, detail: None, hint: None }
    }

    fn syntax(&self, error: &toml::de::Error) -> FileError {
        // TOML's message may have several lines; the first says what is wrong.
        let mut lines = error.message().lines();
        let message = lines.next().unwrap_or("not valid TOML").to_owned();
        let found = self.error(error.span(), message);
        match lines.next() {
            Some(more) => found.with_detail(format!("{more}.")),
            None => found,
        }
    }

    /// Where a text stands, the first time.
    fn find(&self, needle: &str) -> Option<Range<usize>> {
        self.find_in(needle, 0..self.text.len())
    }

    fn find_in(&self, needle: &str, span: Range<usize>) -> Option<Range<usize>> {
        let start = span.start;
        let text = self.text.get(span)?;
        text.find(needle).map(|at| start + at..start + at + needle.len())
    }

    fn statements(
        &self,
        raw: Vec<RawStatement>,
        parameters: &BTreeMap<String, Parameter>,
        used: &mut BTreeSet<String>,
    ) -> Result<Vec<Statement>, FileError> {
        if raw.is_empty() {
            return Err(self
                .error(None, "there is no statement".into())
                .with_hint("Add a [[statement]] with name, weight and sql.".into()));
        }
        let mut names = BTreeSet::new();
        let mut statements = Vec::new();
        for RawStatement { name, weight, sql } in raw {
            let at = name.span();
            let name = name.into_inner();
            if name.trim().is_empty() {
                return Err(self.error(Some(at), "a statement has an empty name".into()));
            }
            if !names.insert(name.clone()) {
                return Err(self.error(Some(at), format!("statement \"{name}\" is defined twice")));
            }
            if !(weight.get_ref().is_finite() && *weight.get_ref() > 0.0) {
                return Err(self
                    .error(Some(weight.span()), format!("weight of statement \"{name}\" is not above zero"))
                    .with_hint("Remove a statement that should not run.".into()));
            }
            let template = self.template(&format!("statement \"{name}\""), &sql, parameters, used)?;
            statements.push(Statement { name, weight: weight.into_inner(), template });
        }
        Ok(statements)
    }

    fn template(
        &self,
        of: &str,
        sql: &Spanned<String>,
        parameters: &BTreeMap<String, Parameter>,
        used: &mut BTreeSet<String>,
    ) -> Result<Template, FileError> {
        if sql.get_ref().trim().is_empty() {
            return Err(self.error(Some(sql.span()), format!("{of} has no SQL")));
        }
        let template = Template::parse(sql.get_ref());
        for reference in template.references() {
            let at = || self.find_in(&reference.to_string(), sql.span()).or(Some(sql.span()));
            let Some(parameter) = parameters.get(&reference.name) else {
                let problem =
                    self.error(at(), format!("{of} uses unknown parameter \":{}\"", reference.name));
                return Err(match nearest(&reference.name, parameters.keys()) {
                    Some(near) => problem.with_hint(format!("Did you mean :{near}?")),
                    None => problem.with_hint(format!(
                        "Define it with [parameter.{}]; a colon that is no parameter needs a space after it.",
                        reference.name
                    )),
                });
            };
            if reference.column.is_some() && !matches!(parameter.source, Source::Query { .. }) {
                return Err(self
                    .error(at(), format!("{of} takes a column of parameter \":{}\"", reference.name))
                    .with_hint("Only a parameter with a query has columns.".into()));
            }
            used.insert(reference.name.clone());
        }
        Ok(template)
    }

    fn ingest(
        &self,
        raw: RawIngest,
        parameters: &BTreeMap<String, Parameter>,
        used: &mut BTreeSet<String>,
    ) -> Result<Ingest, FileError> {
        let key = raw.key.get_ref().clone();
        let defined = parameters.get(&key);
        let returning = match &raw.returning {
            None if !defined.is_some_and(|parameter| matches!(parameter.source, Source::Uuid)) => {
                return Err(self
                    .error(
                        Some(raw.key.span()),
                        format!("key \"{key}\" of [ingest] is not a parameter with fresh values"),
                    )
                    .with_hint(
                        "Name a parameter with uuid = \"fresh\", or add returning = \"column\" when the server gives \
                         the key."
                            .into(),
                    ));
            }
            None => None,
            Some(_) if defined.is_some() => {
                return Err(self
                    .error(
                        Some(raw.key.span()),
                        format!(
                            "key \"{key}\" of [ingest] is returned by the server and a parameter as well"
                        ),
                    )
                    .with_hint(format!("Remove [parameter.{key}].")));
            }
            Some(column) => {
                let plain = |c: char| c.is_ascii_alphanumeric() || "_\"".contains(c);
                if column.get_ref().is_empty() || !column.get_ref().chars().all(plain) {
                    return Err(self.error(
                        Some(column.span()),
                        format!("returning \"{}\" of [ingest] is no column name", column.get_ref()),
                    ));
                }
                Some(column.get_ref().clone())
            }
        };
        if raw.rows == 0 || raw.rows > 10_000 || raw.updates > raw.rows {
            return Err(self
                .error(
                    Some(raw.key.span()),
                    format!("[ingest] has {} rows and {} updates", raw.rows, raw.updates),
                )
                .with_hint("rows is between 1 and 10000, updates at most as many.".into()));
        }
        let row = self.template("row of [ingest]", &raw.row, parameters, used)?;
        // The key that the server gives is known to what comes after the row.
        let mut known = parameters.clone();
        if returning.is_some() {
            known.insert(key.clone(), Parameter { source: Source::Uuid, sql_type: None });
        }
        let update = self.template("update of [ingest]", &raw.update, &known, used)?;
        let cleanup = self.template("cleanup of [ingest]", &raw.cleanup, &known, used)?;
        let parts = [(&row, &raw.row), (&update, &raw.update), (&cleanup, &raw.cleanup)];
        for (template, sql) in parts.iter().skip(usize::from(returning.is_some())) {
            if !template.references().any(|reference| reference.name == key) {
                return Err(self
                    .error(Some(sql.span()), format!("a part of [ingest] does not use its key \":{key}\"")));
            }
        }
        let insert = self.template("insert of [ingest]", &raw.insert, parameters, used)?;
        if insert.references().next().is_some() {
            return Err(self
                .error(Some(raw.insert.span()), "insert of [ingest] uses a parameter".into())
                .with_hint("Parameters belong into row.".into()));
        }
        let (rows, updates) = (raw.rows, raw.updates);
        Ok(Ingest { key, returning, rows, updates, insert: raw.insert.into_inner(), row, update, cleanup })
    }

    fn parameter(&self, name: &str, raw: Spanned<RawParameter>) -> Result<Parameter, FileError> {
        let at = self.find(&format!("[parameter.{name}]")).or_else(|| Some(raw.span()));
        let fail = |what: String| self.error(at.clone(), format!("parameter \"{name}\" {what}"));
        let raw = raw.into_inner();
        if let Some(sql_type) = &raw.sql_type {
            // The type is put into the text as it stands, so it has to look like one.
            let plain = |c: char| c.is_ascii_alphanumeric() || "_ .,()[]".contains(c);
            if sql_type.trim().is_empty() || !sql_type.chars().all(plain) {
                return Err(fail(format!("has type \"{sql_type}\", which is no type name")));
            }
        }
        let mut sources: Vec<Source> = Vec::new();
        if let Some(values) = raw.values {
            let count = values.len();
            let weights = raw.weights.clone().unwrap_or_else(|| vec![1.0; count]);
            if weights.len() != count {
                return Err(fail(format!("has {count} values and {} weights", weights.len())));
            }
            let weights = Weights::new(weights);
            if weights.total() <= 0.0 {
                return Err(fail("has no value that could be drawn".into()));
            }
            let literals =
                values.into_iter().map(|value| literal(value).map_err(&fail)).collect::<Result<_, _>>()?;
            sources.push(Source::Values(literals, weights));
        } else if raw.weights.is_some() {
            return Err(fail("has weights without values".into())
                .with_hint("Rows of a query are weighted by one of its columns: weight_column.".into()));
        }
        if let Some(sql) = raw.query {
            sources.push(Source::Query { sql, weight_column: raw.weight_column });
        } else if raw.weight_column.is_some() {
            return Err(fail("has a weight_column without a query".into()));
        }
        if let Some(RawInt { min, max }) = raw.int {
            if min > max {
                return Err(fail(format!("has min {min} above max {max}")));
            }
            sources.push(Source::Int { min, max });
        }
        if let Some(RawFloat { min, max, decimals }) = raw.float {
            if !(min <= max && min.is_finite() && max.is_finite()) {
                return Err(fail(format!("has min {min} above max {max}")));
            }
            sources.push(Source::Float { min, max, decimals: decimals.min(15) });
        }
        if let Some(RawZipf { n, exponent }) = raw.zipf {
            // A running sum is kept for each rank.
            if n == 0 || n > 10_000_000 || !exponent.is_finite() {
                return Err(fail("has a zipf that is out of range".into())
                    .with_hint("n is between 1 and 10000000, the exponent is a number.".into()));
            }
            sources.push(Source::Zipf(Weights::zipf(n, exponent)));
        }
        if let Some(RawUuid::Fresh) = raw.uuid {
            sources.push(Source::Uuid);
        }
        if let Some(RawTimestamp { from, to }) = raw.timestamp {
            let offset = |text: &str| {
                parse_offset(text).ok_or_else(|| {
                    fail(format!("has time \"{text}\", which is not understood"))
                        .with_hint("Write \"now\", \"-7 days\", \"-90 minutes\" or \"+1 hour\".".into())
                })
            };
            let (from, to) = (offset(&from)?, offset(&to)?);
            if from > to {
                return Err(fail("has a time range that ends before it begins".into()));
            }
            sources.push(Source::Timestamp { from, to });
        }
        if let Some(RawText { length }) = raw.text {
            if length == 0 || length > 1_000_000 {
                return Err(fail("has a text length outside of 1 to 1000000".into()));
            }
            sources.push(Source::Text { length });
        }
        let choices = "values, query, int, float, zipf, uuid, timestamp and text";
        match (sources.pop(), sources.is_empty()) {
            (Some(source), true) => Ok(Parameter { source, sql_type: raw.sql_type }),
            (None, _) => Err(fail("has no source".into()).with_hint(format!("Give one of {choices}."))),
            (Some(_), false) => {
                Err(fail("has more than one source".into()).with_hint(format!("Give only one of {choices}.")))
            }
        }
    }
}

fn literal(value: toml::Value) -> Result<Literal, String> {
    match value {
        toml::Value::String(text) => Ok(Literal::Text(text)),
        toml::Value::Integer(number) => Ok(Literal::Number(number.to_string())),
        toml::Value::Float(number) if number.is_finite() => Ok(Literal::Number(number.to_string())),
        toml::Value::Boolean(value) => Ok(Literal::Boolean(value)),
        other => Err(format!("has a value of TOML type {}, which is no SQL constant", other.type_str())),
    }
}

/// Understands `now`, `-7 days`, `+90 minutes`.
fn parse_offset(text: &str) -> Option<TimeDelta> {
    let text = text.trim();
    if text == "now" {
        return Some(TimeDelta::zero());
    }
    let (number, unit) = text.split_once(' ')?;
    let number: i64 = number.parse().ok()?;
    let seconds = match unit.trim().trim_end_matches('s') {
        "second" => 1,
        "minute" => 60,
        "hour" => 3_600,
        "day" => 86_400,
        "week" => 604_800,
        _ => return None,
    };
    let delta = TimeDelta::try_seconds(number.checked_mul(seconds)?)?;
    // Within a hundred years every offset fits an instant.
    (delta.abs() < TimeDelta::days(36_525)).then_some(delta)
}

/// The known name that is most like an unknown one, if any is like it.
fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a String>) -> Option<&'a str> {
    known
        .map(|candidate| (edit_distance(name, candidate), candidate))
        .min()
        .filter(|(distance, _)| distance * 2 <= name.chars().count())
        .map(|(_, candidate)| candidate.as_str())
}

/// How many letters must be changed, added, left out or swapped with their neighbor (Damerau, "A
/// Technique for Computer Detection and Correction of Spelling Errors", 1964).
fn edit_distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut costs = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            costs[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let changed = costs[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                let swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
                let swapped = if swapped { costs[i - 2][j - 2] + 1 } else { usize::MAX };
                changed.min(swapped).min(costs[i - 1][j] + 1).min(costs[i][j - 1] + 1)
            };
        }
    }
    costs[a.len()][b.len()]
}

#[cfg(test)]
mod tests;
