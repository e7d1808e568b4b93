//! What does the exercise say not to write, and what does it ask to be made fast?
//!
//! Source: the performance-tuning exercise, step 5.1 and challenge 1, letter by letter.

use super::Scenario;

const REGISTRY: &str = include_str!("registry_exercise.sql");

/// A statement of the exercise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExerciseStatement {
    /// Its name in reports.
    pub name: String,
    /// Its text, without a semicolon.
    pub sql: String,
}

/// The exercise's statements over a scenario; only the registry has one.
pub fn exercise(scenario: Scenario) -> Vec<ExerciseStatement> {
    if scenario != Scenario::Registry {
        return Vec::new();
    }
    let texts = REGISTRY.split("\n-- ").skip(1);
    let statements = texts.filter_map(|text| {
        let (heading, sql) = text.split_once('\n')?;
        let (name, _) = heading.split_once(": ")?;
        let sql = sql.trim().strip_suffix(';')?;
        Some(ExerciseStatement { name: name.to_owned(), sql: sql.to_owned() })
    });
    statements.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_statement_of_the_file_is_one() {
        let statements = exercise(Scenario::Registry);
        let names: Vec<&str> = statements.iter().map(|s| s.name.as_str()).collect();
        assert_eq!(names.len(), REGISTRY.lines().filter(|l| l.starts_with("SELECT")).count());
        assert_eq!(names[0], "exercise-or");
        assert_eq!(names.last(), Some(&"challenge-1"));
        for statement in &statements {
            let parsed = sql::ParsedStatement::parse(&statement.sql);
            assert!(parsed.is_ok(), "{}: {:?}", statement.name, parsed.err());
        }
        assert_eq!(exercise(Scenario::Meters), Vec::new());
    }
}
