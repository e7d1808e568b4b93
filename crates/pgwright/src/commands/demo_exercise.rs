//! How long do the statements of the exercise take as they are written, with pgwright's indexes, and in the text that
//! `pgwright rewrite` recommends?
//!
//! Every figure is a median of five runs by turns on a warm cache, planning included, with nothing else at work. A text is
//! taken when it is proved to give the same rows and was measured to be faster.

use std::time::Duration;

use model::Millis;
use postgres::Target;
use serde::Serialize;

use super::demo::Stage;
use super::rewrite::{self, State, measure};
use crate::demo::{self, Scenario};
use crate::error::CommandError;
use crate::report::document::Section;

/// What takes longer is not waited for.
const TIMEOUT: Duration = Duration::from_secs(20);

/// A statement of the exercise, measured.
#[derive(Clone, Debug, Serialize)]
pub struct Exercise {
    /// Its name.
    pub name: String,
    /// Its text.
    pub sql: String,
    /// As it is written, with keys and nothing else; nothing where it was stopped.
    pub plain_ms: Option<f64>,
    /// As it is written, with pgwright's indexes.
    pub indexed_ms: Option<f64>,
    /// The text that is recommended.
    pub rewritten: Option<Rewritten>,
}

/// A text that gives the same rows for less.
#[derive(Clone, Debug, Serialize)]
pub struct Rewritten {
    /// By which rules.
    pub rules: Vec<&'static str>,
    /// The text.
    pub sql: String,
    /// With pgwright's indexes.
    pub ms: f64,
    /// What proves it.
    pub by: Vec<String>,
    /// What the application must change with it.
    pub application: Vec<String>,
}

impl Exercise {
    /// What it takes in the end.
    pub fn after_ms(&self) -> Option<f64> {
        self.rewritten.as_ref().map(|r| r.ms).or(self.indexed_ms)
    }
}

impl Stage<'_> {
    /// Measures the statements of the exercise.
    pub(super) async fn exercise(
        &self,
        target: &Target,
        scenario: Scenario,
    ) -> Result<Vec<Exercise>, CommandError> {
        let statements = demo::exercise(scenario);
        let snapshot = self.context.snapshot_of(target).await?;
        let texts: Vec<&str> = statements.iter().map(|s| s.sql.as_str()).collect();
        let shown = rewrite::measured(self.context, target, &snapshot, &texts, TIMEOUT).await?;
        let plain = self.target("demo_plain")?;
        let mut measured = Vec::new();
        for (statement, shown) in statements.iter().zip(shown) {
            let fastest = shown
                .rewrites
                .into_iter()
                .filter_map(|r| Some((r.measured.clone()?, r)))
                .min_by(|(a, _), (b, _)| a.after_ms.total_cmp(&b.after_ms));
            let plain_ms = measure::alone(self.context, &plain, &statement.sql, TIMEOUT).await?;
            let (indexed_ms, rewritten) = match fastest {
                Some((times, best)) => {
                    let by = if let State::Proved { by } = best.state { by } else { Vec::new() };
                    let rewritten = Rewritten {
                        rules: best.rewrite.rules,
                        sql: best.rewrite.sql,
                        ms: times.after_ms,
                        by,
                        application: best.rewrite.application,
                    };
                    ((!times.before_timed_out).then_some(times.before_ms), Some(rewritten))
                }
                None => (measure::alone(self.context, target, &statement.sql, TIMEOUT).await?, None),
            };
            measured.push(Exercise {
                name: statement.name.clone(),
                sql: statement.sql.clone(),
                plain_ms,
                indexed_ms,
                rewritten,
            });
        }
        Ok(measured)
    }
}

/// The headers of the table.
pub const HEADERS: &[&str] =
    &["statement", ">as written", ">with pgwright's indexes", ">rewritten as well", "by"];

/// The rows of the table.
pub fn rows(exercises: &[Exercise]) -> Vec<Vec<String>> {
    let ms = |value: Option<f64>| match value {
        Some(value) => Millis(value).to_string(),
        None => format!("over {}", Millis(TIMEOUT.as_secs_f64() * 1000.0)),
    };
    let row = |exercise: &Exercise| {
        let (rewritten, rules) = match &exercise.rewritten {
            Some(rewritten) => (Millis(rewritten.ms).to_string(), rewritten.rules.join(", ")),
            None => (String::new(), "no text is faster".into()),
        };
        vec![exercise.name.clone(), ms(exercise.plain_ms), ms(exercise.indexed_ms), rewritten, rules]
    };
    exercises.iter().map(row).collect()
}

/// The section of the report.
pub fn section(exercises: &[Exercise]) -> Section {
    let mut section = Section::new("The exercise's statements").table(HEADERS, rows(exercises)).paragraph(
        "What the exercise says not to write, and its first challenge, whose target is 100 ms: as they are written, on a \
         database with keys and nothing else, with the indexes that pgwright chose for the workload, and in the text that \
         is proved to give the same rows and was measured to be faster. Medians of five runs by turns, planning included, \
         with nothing else at work.",
    );
    for exercise in exercises {
        let Some(rewritten) = &exercise.rewritten else { continue };
        section = section.subheading(exercise.name.clone()).code("sql", rewritten.sql.clone());
        let mut facts = vec![format!("Proved by: {}.", rewritten.by.join(", "))];
        facts.extend(rewritten.application.iter().map(|change| format!("The application changes: {change}")));
        section = section.list(facts);
    }
    section
}
