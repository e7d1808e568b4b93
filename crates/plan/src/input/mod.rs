//! Where in a file or a paste is the plan? JSON, PostgreSQL's text format, what psql draws around either,
//! and what auto_explain wrote into a log.
//!
//! Source: explain.c (formats), auto_explain.c (`duration: … ms  plan:`), psql's print.c (header, rows, `+`),
//! elog.c (stderr, csvlog and jsonlog). A log is read line by line and keeps the longest plans only, so
//! its size does not matter; anything else is held in memory up to [`MAX_BYTES`].

mod json;
mod log;
mod names;
mod pasted;
mod properties;
mod psql;
mod text;

use std::io::BufRead;

use serde_json::Value;

use crate::error::PlanError;
use crate::node::Plan;

/// More than this is not read as one plan. A real plan over thousands of partitions has a tenth.
pub const MAX_BYTES: usize = 256 << 20;

/// How many plans of a log are kept, those with the longest durations.
pub const MAX_LOGGED: usize = 1_000;

/// A line of a text with its number, counted from 1.
#[derive(Clone, Debug)]
struct Line<'a> {
    number: usize,
    text: std::borrow::Cow<'a, str>,
}

/// A plan that was found in a text.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// How long the statement took, in milliseconds, where a log says it.
    pub duration_ms: Option<f64>,
    /// The line at which it begins, counted from 1.
    pub line: usize,
    body: Body,
}

#[derive(Clone, Debug, PartialEq)]
enum Body {
    Json(Value),
    /// Text format, or a log's message behind `plan:`.
    Text(String),
}

/// Everything that was found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FoundPlans {
    /// The plans; those of a log with the longest duration first.
    pub plans: Vec<Found>,
    /// Whether they come from a log.
    pub from_log: bool,
    /// Plans of a log beyond [`MAX_LOGGED`], all of them shorter than those that were kept.
    pub left_out: u64,
    /// The text, when there is no plan in it: it may be a statement.
    pub other: Option<String>,
}

impl Found {
    /// The plan as `EXPLAIN (FORMAT JSON)` prints it: `{"Plan": …}`.
    ///
    /// # Errors
    /// [`PlanError`] says what is wrong with which line.
    pub fn explain(&self) -> Result<Value, PlanError> {
        match &self.body {
            Body::Json(value) => Ok(value.clone()),
            Body::Text(message) => read_message(message, self.line),
        }
    }

    /// The parsed plan.
    ///
    /// # Errors
    /// As [`Found::explain`] and [`Plan::from_json`].
    pub fn plan(&self) -> Result<Plan, PlanError> {
        match &self.body {
            Body::Json(value) => Plan::from_json(value),
            Body::Text(_) => Plan::from_json(&self.explain()?),
        }
    }
}

/// Finds the plans in a file, a paste or a log.
///
/// # Errors
/// When the input cannot be read, is larger than [`MAX_BYTES`] without being a log, or is a plan that
/// is damaged, cut off or in a format that is not read (YAML, XML).
pub fn find(input: &mut impl BufRead) -> Result<FoundPlans, PlanError> {
    let mut reader = log::Reader::default();
    let mut kept = Vec::new();
    let mut too_large = false;
    let mut line = Vec::new();
    let mut number = 0;
    loop {
        line.clear();
        // A line without an end must not fill the memory either.
        let limit = u64::try_from(MAX_BYTES).unwrap_or(u64::MAX);
        let read = std::io::Read::take(&mut *input, limit).read_until(b'\n', &mut line)?;
        if read == 0 {
            break;
        }
        number += 1;
        if too_large || kept.len() + line.len() > MAX_BYTES {
            too_large = true;
            kept = Vec::new();
        } else {
            kept.extend_from_slice(&line);
        }
        reader.push(number, &String::from_utf8_lossy(&line));
    }
    let (plans, left_out) = reader.finish();
    if !plans.is_empty() {
        return Ok(FoundPlans { plans, from_log: true, left_out, other: None });
    }
    if too_large {
        return Err(PlanError::TooLarge { what: "bytes", limit: MAX_BYTES });
    }
    find_in(&String::from_utf8_lossy(&kept))
}

/// The same for a text that is in memory and no log.
///
/// # Errors
/// As [`find`].
pub fn find_in(original: &str) -> Result<FoundPlans, PlanError> {
    let original = original.trim_start_matches('\u{feff}');
    let cleaned = pasted::clean(original);
    let whole = original;
    let original = cleaned.as_ref();
    let lines = psql::undecorate(original);
    let decorated = lines.is_some();
    let lines = lines.unwrap_or_else(|| {
        let numbered = (1..).zip(original.lines());
        numbered.map(|(number, text)| Line { number, text: text.trim_end_matches('\r').into() }).collect()
    });
    let Some(first) = lines.iter().find(|l| !l.text.trim().is_empty()) else {
        return Ok(FoundPlans { other: Some(whole.to_owned()), ..FoundPlans::default() });
    };
    let start = first.text.trim();
    let found = |body, line| Found { duration_ms: None, line, body };
    if start.starts_with('[') || start.starts_with('{') {
        let values = if decorated {
            let text = lines.iter().map(|l| l.text.trim_end()).collect::<Vec<_>>().join("\n");
            json::values(&text)?
        } else {
            json::values(original)?
        };
        let plans = values.into_iter().map(|v| found(Body::Json(v), first.number)).collect();
        return Ok(FoundPlans { plans, ..FoundPlans::default() });
    }
    if start.starts_with("<explain") || start.starts_with("<?xml") {
        return Err(PlanError::Format { format: "XML" });
    }
    if (start == "- Plan:" || start == "Plan:" || start.starts_with("- Query Text:"))
        && lines.iter().any(|l| l.text.trim_start().trim_start_matches("- ").starts_with("Node Type:"))
    {
        return Err(PlanError::Format { format: "YAML" });
    }
    let messages = pasted::messages(&lines);
    if !messages.is_empty() {
        let from_log = messages.iter().any(|m| m.duration_ms.is_some());
        let found =
            |m: pasted::Message| Found { duration_ms: m.duration_ms, line: m.line, body: Body::Text(m.text) };
        let mut plans: Vec<Found> = messages.into_iter().map(found).collect();
        log::sort(&mut plans);
        return Ok(FoundPlans { plans, from_log, ..FoundPlans::default() });
    }
    let plans: Vec<Found> = text::split(&lines)
        .into_iter()
        .map(|plan| {
            let line = plan.first().map_or(1, |l| l.number);
            let text: Vec<&str> = plan.iter().map(|l| l.text.as_ref()).collect();
            found(Body::Text(text.join("\n")), line)
        })
        .collect();
    if plans.is_empty() {
        return Ok(FoundPlans { other: Some(whole.to_owned()), ..FoundPlans::default() });
    }
    Ok(FoundPlans { plans, ..FoundPlans::default() })
}

/// Reads a plan that begins at this line: JSON, or text with or without auto_explain's `Query Text`.
fn read_message(message: &str, line: usize) -> Result<Value, PlanError> {
    let start = message.trim_start();
    if start.starts_with('{') || start.starts_with('[') {
        return json::values(message)?
            .into_iter()
            .next()
            .ok_or(PlanError::CutOff { line, what: String::new() });
    }
    if start.starts_with("<explain") {
        return Err(PlanError::Format { format: "XML" });
    }
    if start.starts_with("Query Text: \"") && message.lines().any(|l| l.trim_start() == "Plan: ") {
        return Err(PlanError::Format { format: "YAML" });
    }
    text::read(message, line)
}
