//! What would files of SQL do to those who use the database meanwhile?

use advice::migration::{CHECKS, MigrationFile, Remarks, lint};
use advice::schema::Report;
use model::Snapshot;
use serde::Serialize;

use super::{Args, Context, exit, known_checks, sarif, text};
use crate::error::{CommandError, CommandResult, Exit};
use crate::printer::{count, plain};

#[derive(Serialize)]
struct Output<'a> {
    /// The database whose sizes were looked at; null when none was.
    database: Option<&'a str>,
    statements: usize,
    mistakes: &'a [String],
    #[serde(flatten)]
    report: &'a Report,
    notes: &'a [String],
}

/// Judges the files.
///
/// # Errors
/// Fails when a file or the snapshot cannot be read, or a check is not known. A statement that cannot be parsed is
/// shown, and makes the exit code 2.
pub async fn run(context: &Context, args: &Args) -> CommandResult {
    let ids: Vec<&str> = CHECKS.iter().map(|c| c.id).collect();
    let checks = known_checks(&args.checks, &ids)?;
    let files = args
        .migration
        .iter()
        .map(|path| {
            Ok(MigrationFile { name: path.display().to_string(), text: super::super::read_text(path)? })
        })
        .collect::<Result<Vec<MigrationFile>, CommandError>>()?;
    let snapshot =
        if args.offline { None } else { Some(super::read(context, args, &mut Vec::new()).await?.0) };
    let nothing = Snapshot::nothing();
    let settings = &context.settings.lint;
    let (report, remarks) =
        lint(&files, snapshot.as_ref().unwrap_or(&nothing), settings, &checks, args.single_transaction);
    if let Some(path) = &args.sarif {
        let rules: Vec<sarif::Rule<'_>> =
            CHECKS.iter().map(|c| sarif::Rule { id: c.id, title: c.title, severity: c.severity }).collect();
        super::super::write_text(path, &sarif::of_report(&report, &rules, settings, None)?)?;
    }
    if context.printer.json {
        let output = Output {
            database: snapshot.as_ref().map(|s| s.server.database.as_str()),
            statements: remarks.statements,
            mistakes: &remarks.mistakes,
            report: &report,
            notes: &remarks.notes,
        };
        context.printer.json("lint-migration", &output)?;
    } else {
        context.printer.out(&text::report(&report, args.verbose))?;
        for note in &remarks.notes {
            context.printer.status(&format!("note: {note}"));
        }
    }
    match parse_error(&remarks) {
        Some(error) => Err(error),
        None if report.findings.is_empty() => Ok(Exit::Done),
        None => Ok(exit(args.fail_on, report.worst())),
    }
}

/// What cannot be parsed was not judged, so nobody may take silence for safety.
fn parse_error(remarks: &Remarks) -> Option<CommandError> {
    let (first, others) = remarks.mistakes.split_first()?;
    let mut shown = plain(first);
    for other in others.iter().take(9) {
        shown.push('\n');
        shown.push_str(&plain(other));
    }
    Some(
        CommandError::new(format!("{} could not be parsed", count(remarks.mistakes.len(), "statement")))
            .detail(format!("PostgreSQL's grammar says:\n{shown}"))
            .hint("The other statements were judged. Files are read as psql reads them."),
    )
}
