//! Which values did statements have? `pg_stat_statements` shows none; the server's logs do.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use advice::typical_values::ObservedValues;
use logs::{Filter, Input, Options, Prefix, StatementExample};
use model::Snapshot;
use model::snapshot::Statement;
use sql::ExecutedValues;

use super::Context;
use crate::error::CommandError;

/// Values by `queryid`.
pub type ByStatement = BTreeMap<i64, Vec<ObservedValues>>;

/// Logs to take values from.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct LoggedValues {
    /// Take the values of statements from these logs of the server (stderr, csvlog or jsonlog; plain, gzip or zstd) rather
    /// than from the statistics of columns. Can be given several times.
    #[arg(long = "log", value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The server's setting log_line_prefix; found out when not given.
    #[arg(long, value_name = "SETTING", requires = "files")]
    log_line_prefix: Option<String>,
}

impl LoggedValues {
    /// The values by `queryid`, and a sentence on how many statements have some; nothing when no log is given.
    ///
    /// # Errors
    /// Fails when a log cannot be read or is none.
    pub fn read(
        &self,
        context: &Context,
        snapshot: &Snapshot,
    ) -> Result<(ByStatement, Option<String>), CommandError> {
        if self.files.is_empty() {
            return Ok((BTreeMap::new(), None));
        }
        let options = Options {
            prefix: self.log_line_prefix.as_deref().map(Prefix::read).transpose()?,
            filter: Filter::default(),
            sampled: None,
            jobs: super::logs::usual_jobs(),
            top: 0,
            examples: true,
            durations: false,
        };
        let bytes = self.files.iter().filter_map(|path| Some(std::fs::metadata(path).ok()?.len())).sum();
        let inputs = self.files.iter().cloned().map(Input::File).collect();
        let found = super::logs::read(context, inputs, bytes, &options)?;
        let values = of_statements(snapshot, &found.examples);
        let with_parameters = snapshot.statements.iter().filter(|s| s.query.contains('$')).count();
        let note = match values.len() {
            0 => "The logs hold none of the statements that pg_stat_statements counted: their values are those of the \
                  columns' statistics. log_min_duration_statement says which statements the server logs."
                .to_owned(),
            known => format!("The logs show values of {known} of {with_parameters} statements with parameters."),
        };
        Ok((values, Some(note)))
    }
}

/// Statements by what a logged text is recognised by.
fn by_fingerprint<'s, S>(
    statements: impl Iterator<Item = &'s S>,
    text: impl Fn(&S) -> &str,
) -> HashMap<String, Vec<&'s S>> {
    let mut known: HashMap<String, Vec<&S>> = HashMap::new();
    for statement in statements {
        if let Ok(fingerprint) = sql::fingerprint(text(statement)) {
            known.entry(fingerprint).or_default().push(statement);
        }
    }
    known
}

/// Finds the statements of the examples and what stood in place of their parameters.
fn of_statements(snapshot: &Snapshot, examples: &[Vec<StatementExample>]) -> ByStatement {
    let with_parameters = snapshot.statements.iter().filter(|s| s.query.contains('$'));
    let known = by_fingerprint(with_parameters, |statement: &Statement| &statement.query);
    let mut found: BTreeMap<i64, BTreeMap<ExecutedValues, u64>> = BTreeMap::new();
    for of_one in examples {
        let Some(first) = of_one.first() else { continue };
        // All of them are the same but for their values.
        let Some(statements) = sql::fingerprint(&first.text).ok().and_then(|f| known.get(&f)) else {
            continue;
        };
        let here = |e: &&StatementExample| e.database.is_empty() || e.database == snapshot.server.database;
        for example in of_one.iter().filter(here) {
            let bound = sql::logged_parameters(&example.parameters);
            for statement in statements {
                let values = sql::executed_values(&statement.query, &example.text, &bound);
                if let Some(values) = values.filter(|v| !v.is_empty()) {
                    *found.entry(statement.queryid).or_default().entry(values).or_default() += example.times;
                }
            }
        }
    }
    let observed = |values: BTreeMap<ExecutedValues, u64>| {
        values.into_iter().map(|(values, times)| ObservedValues { values, times }).collect()
    };
    found.into_iter().map(|(queryid, values)| (queryid, observed(values))).collect()
}
