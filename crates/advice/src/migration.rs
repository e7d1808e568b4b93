//! What would a migration do to those who use the database meanwhile? SQL and a snapshot in, findings out: which
//! statements hold a strong lock, on which table of which size, about for how long, and what does the same safely.
//!
//! Sources: PostgreSQL manual, "Explicit Locking", "ALTER TABLE", "CREATE INDEX"; locks are observed in `pg_locks` by
//! the tests. One file per check in `checks`, one registry ([`CHECKS`]). Tables that the migration itself makes are
//! left alone: nobody uses them yet. DO blocks are looked into, and so are routines that the migration makes and calls; what
//! they put together while they run is told as unseen.

mod checks;
mod step;

use std::collections::BTreeSet;

use model::QualifiedName;
use model::Snapshot;
use serde::Serialize;
use sql::{Action, Block, Domain, DomainChange, Renamed, Script, ScriptStatement, TableChange};

use crate::schema::{Beside, Facts, LintFinding, Report, Settings, Suppressed};

pub use checks::{CHECKS, Check};
use step::{State, Step};

/// A file of SQL with its name.
#[derive(Clone, Debug)]
pub struct MigrationFile {
    /// As it is to be shown.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// What was seen of a file beside findings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Remarks {
    /// Statements that cannot be parsed: `file:line:column: message`, the line, and the place underlined.
    pub mistakes: Vec<String>,
    /// Things to know: commands of psql that were passed over, comments that let nothing be.
    pub notes: Vec<String>,
    /// How many statements were judged.
    pub statements: usize,
}

/// Judges migrations in the order in which they will run.
///
/// `single_transaction` says that each file runs within one transaction, as `psql --single-transaction` and many tools
/// do. Tables that an earlier file makes count as made.
pub fn lint(
    files: &[MigrationFile],
    snapshot: &Snapshot,
    settings: &Settings,
    only: &[String],
    single_transaction: bool,
) -> (Report, Remarks) {
    let facts = Facts::new(snapshot, Beside::default(), &settings.thresholds);
    let mut report = Report::default();
    let mut remarks = Remarks::default();
    let mut state = State::default();
    for file in files {
        let (forward, back) = directions(&file.text);
        if let Some((line, marker)) = back {
            remarks.notes.push(format!(
                "{}:{line}: what follows \"{marker}\" takes the migration back and is not judged",
                file.name
            ));
        }
        let script = Script::parse(forward);
        for passage in &script.skipped {
            remarks.notes.push(format!(
                "{}:{}: a command of psql is passed over: {}",
                file.name, passage.at.line, passage.text
            ));
        }
        for mistake in &script.mistakes {
            let place = &mistake.place;
            remarks.mistakes.push(format!(
                "{}:{}:{}: {}\n{}",
                file.name,
                place.line,
                place.column,
                mistake.message,
                place.underlined()
            ));
        }
        remarks.statements += script.statements.len();
        state.begin_file(single_transaction);
        let mut pass = Pass {
            facts: &facts,
            settings,
            only,
            file,
            script: &script,
            ignored: BTreeSet::new(),
            report: &mut report,
            remarks: &mut remarks,
        };
        for (number, statement) in script.statements.iter().enumerate() {
            pass.follow(number, statement, &mut state);
        }
        let ignored = pass.ignored;
        for (number, ignore) in script.ignores.iter().enumerate() {
            let place = format!("{}:{}", file.name, ignore.at.line);
            if CHECKS.iter().all(|c| c.id != ignore.check) {
                remarks.notes.push(format!("{place}: there is no check \"{}\" to ignore", ignore.check));
            } else if ignore.reason.is_empty() {
                remarks.notes.push(format!("{place}: nothing is ignored without a reason after the check"));
            } else if !ignored.contains(&number) {
                remarks.notes.push(format!("{place}: \"{}\" finds nothing here to ignore", ignore.check));
            }
        }
    }
    (report, remarks)
}

/// Lines at which files that hold both directions begin with the way back: of goose, sql-migrate, dbmate, Rambler and
/// MyBatis.
const WAYS_BACK: &[&str] =
    &["-- +goose down", "-- +migrate down", "-- migrate:down", "-- rambler down", "-- //@undo", "--//@undo"];

/// What runs when a migration is applied, and the line that ends it, with its number.
fn directions(text: &str) -> (&str, Option<(usize, &str)>) {
    let mut at = 0;
    for (number, line) in text.split_inclusive('\n').enumerate() {
        let words = line.trim().to_lowercase();
        if WAYS_BACK.iter().any(|marker| {
            words.strip_prefix(marker).is_some_and(|rest| !rest.starts_with(char::is_alphanumeric))
        }) {
            return (&text[..at], Some((number + 1, line.trim())));
        }
        at += line.len();
    }
    (text, None)
}

/// One reading of a file.
struct Pass<'a> {
    facts: &'a Facts<'a>,
    settings: &'a Settings,
    only: &'a [String],
    file: &'a MigrationFile,
    script: &'a Script,
    /// Comments that let something be.
    ignored: BTreeSet<usize>,
    report: &'a mut Report,
    remarks: &'a mut Remarks,
}

impl Pass<'_> {
    /// Judges a statement, and what runs within it: a DO block, or a routine that the migration has made and that the
    /// statement calls. `number` is that of the statement of the file.
    fn follow(&mut self, number: usize, statement: &ScriptStatement, state: &mut State) {
        self.judge(number, statement, state);
        if let Some(block) = statement.block() {
            self.within(number, &block, state);
        }
        if let Some((name, block)) = statement.routine() {
            // Nothing of it runs before it is called.
            state.routines.insert(name.name, block);
            return;
        }
        let called = statement.calls();
        if let Some(procedure) = statement.procedure().filter(|p| !state.routines.contains_key(&p.name)) {
            self.remarks.notes.push(format!(
                "{}:{}: what procedure {} does is not looked at",
                self.file.name,
                statement.at.line,
                model::quote_identifier(&procedure.name)
            ));
        }
        for name in called {
            // The first call tells all, and one that calls itself ends.
            if let Some(block) = state.routines.remove(&name.name) {
                self.within(number, &block, state);
            }
        }
    }

    /// Judges the statements of a body. They run in one transaction, whether or not their conditions hold.
    fn within(&mut self, number: usize, block: &Block, state: &mut State) {
        let outer = state.begin_block();
        for statement in &block.statements {
            self.follow(number, statement, state);
        }
        state.end_block(outer);
        for unseen in &block.unseen {
            self.remarks
                .notes
                .push(format!("{}:{}: not looked at: {}", self.file.name, unseen.at.line, unseen.what));
        }
    }

    fn judge(&mut self, number: usize, statement: &ScriptStatement, state: &mut State) {
        let actions = statement.actions();
        for action in &actions {
            let step = Step { facts: self.facts, state, file: &self.file.name, statement, action };
            for check in CHECKS {
                let wanted = match self.only {
                    [] => !self.settings.disable.iter().any(|id| id == check.id),
                    only => only.iter().any(|id| id == check.id),
                };
                if !wanted {
                    continue;
                }
                for found in (check.run)(&step) {
                    match self.script.ignore_for(number, check.id) {
                        Some(ignore) if !self.script.ignores[ignore].reason.is_empty() => {
                            self.ignored.insert(ignore);
                            self.report.suppressed.push(Suppressed {
                                key: found.finding.key,
                                reason: self.script.ignores[ignore].reason.clone(),
                            });
                        }
                        _ => keep(found, check.id, self.settings, self.report),
                    }
                }
            }
            state.after(self.facts, action);
        }
    }
}

/// Adds a finding unless the configuration suppresses it; two of one key are told apart by a number.
fn keep(mut found: LintFinding, check: &str, settings: &Settings, report: &mut Report) {
    if let Some(severity) = settings.severity.get(check) {
        found.finding.severity = *severity;
    }
    let same = report
        .findings
        .iter()
        .filter(|f| {
            f.finding.key.trim_end_matches(|c: char| c.is_ascii_digit()).trim_end_matches('#')
                == found.finding.key
        })
        .count();
    if same > 0 {
        found.finding.key = format!("{}#{}", found.finding.key, same + 1);
    }
    match settings.suppress.iter().find(|s| s.covers(&found.finding.key)) {
        Some(suppression) => {
            report.suppressed.push(Suppressed { key: found.finding.key, reason: suppression.reason.clone() })
        }
        None => report.findings.push(found),
    }
}

impl State {
    /// What is true after an action.
    fn after(&mut self, facts: &Facts<'_>, action: &Action) {
        let resolve = |name: &sql::WrittenName| step::resolve(facts, name);
        match action {
            Action::Begin => self.begin(),
            Action::End => self.end(),
            Action::Set { name, value, local } if name == "lock_timeout" => {
                let on = value.as_deref().is_some_and(|v| v.chars().any(|c| c.is_ascii_digit() && c != '0'));
                self.set_lock_timeout(on, *local);
            }
            Action::Set { name, value, local } if name == "timezone" => {
                self.set_time_zone(value.as_deref(), *local);
            }
            Action::Rename { table, what: Renamed::Column(old), to } => {
                let table = resolve(table);
                let of = |name: &str| (table.clone(), name.to_owned());
                let known =
                    facts.tables.relation(&table).and_then(|r| r.column(old)).map(|c| c.type_name.clone());
                if let Some(kind) = self.types.remove(&of(old)).or(known) {
                    self.types.insert(of(to), kind);
                }
            }
            Action::CreateDomain(domain) => self.domains.push(domain.clone()),
            Action::AlterDomain {
                domain,
                change: DomainChange::SetNotNull | DomainChange::AddConstraint { .. },
            } => {
                if let Some(known) = step::domain(facts, self, &domain.to_string()) {
                    let constrained = Domain { constrained: true, ..known.clone() };
                    self.domains.push(constrained);
                }
            }
            Action::CreateTable { table, .. } => {
                self.made.insert(resolve(table));
            }
            Action::CreateIndex(index) => {
                if let Some(name) = &index.name {
                    let schema = resolve(&index.table).schema;
                    self.made.insert(QualifiedName::new(schema, name.clone()));
                }
            }
            Action::AlterTable { table, change } => {
                let table = resolve(table);
                match change {
                    TableChange::AddConstraint(constraint) if constraint.not_valid => {
                        if let (Some(name), true) = (&constraint.name, self.in_transaction) {
                            self.unvalidated.insert((table.clone(), name.clone()));
                        }
                        if let Some(expression) = &constraint.expression {
                            self.checks.push((table, constraint.name.clone(), expression.clone(), false));
                        }
                    }
                    TableChange::AddConstraint(constraint) => {
                        if let Some(expression) = &constraint.expression {
                            self.checks.push((table, constraint.name.clone(), expression.clone(), true));
                        }
                    }
                    TableChange::SetNotNull { column } => {
                        let expression = format!("{} IS NOT NULL", model::quote_identifier(column));
                        self.checks.push((table, None, expression, true));
                    }
                    TableChange::AddColumn(column) => {
                        self.types.insert((table, column.name.clone()), column.type_name.clone());
                    }
                    TableChange::SetType { column, to, .. } => {
                        self.types.insert((table, column.clone()), to.clone());
                    }
                    TableChange::Validate { name } => {
                        for (of, check, _, valid) in &mut self.checks {
                            *valid |= *of == table && check.as_deref() == Some(name);
                        }
                        self.validated.insert((table, name.clone()));
                    }
                    _ => {}
                }
            }
            _ => {}
        }
    }
}
