//! `pgwright lint`: what is wrong with a schema, its indexes and its upkeep, or with a migration?

mod measure;
mod migration;
mod sarif;
mod text;

use std::path::PathBuf;

use advice::schema::{Beside, CHECKS, Check, LintFinding, Report, Settings, lint, recommendations};
use clap::Args as ClapArgs;
use model::{Severity, Snapshot};
use serde::Serialize;

use super::Context;
use super::context::SnapshotSource;
use super::doctor::FailOn;
use super::kept_advice::{self, KeptAdvice};
use crate::error::{CommandError, CommandResult, Exit};
use crate::printer::count;

/// Arguments.
#[derive(ClapArgs, Debug)]
#[command(
    before_help = "Examples:\n  pgwright lint\n  pgwright lint unindexed-foreign-key duplicate-index\n  pgwright lint --fail-on warning --sarif lint.sarif --schema-file db/schema.sql\n  pgwright lint --migration migrations/42.sql --snapshot shop.snapshot.zst --fail-on warning"
)]
pub struct Args {
    /// Make these checks only; all that are enabled by default.
    #[arg(value_name = "CHECK")]
    checks: Vec<String>,
    #[command(flatten)]
    source: SnapshotSource,
    /// A snapshot of a replica, whose index scans count for themselves. Can be given several times.
    #[arg(long, value_name = "FILE")]
    replica_snapshot: Vec<PathBuf>,
    /// Measure bloat with the extension pgstattuple instead of estimating it: reads large tables and indexes.
    #[arg(long, conflicts_with = "snapshot")]
    exact: bool,
    /// Exit with 1 when something of this severity or above is found.
    #[arg(long, value_enum, value_name = "SEVERITY")]
    fail_on: Option<FailOn>,
    /// Say of findings of severity info as well why they matter and what mends them.
    #[arg(long, short = 'v')]
    verbose: bool,
    /// Write the findings as SARIF 2.1.0, which code hosts show beside the source.
    #[arg(long, value_name = "FILE")]
    sarif: Option<PathBuf>,
    /// The file of the repository that holds the schema as SQL; SARIF points to its lines.
    #[arg(long, value_name = "FILE", requires = "sarif")]
    schema_file: Option<PathBuf>,
    /// Write what "apply" can do about the findings to a file, for "apply --advice FILE".
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Judge these files of SQL, in this order, instead of the schema: what they lock, for how long, and the safe way.
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with_all = ["replica_snapshot", "exact", "out", "schema_file"])]
    migration: Vec<PathBuf>,
    /// With --migration: each file runs within one transaction.
    #[arg(long, requires = "migration")]
    single_transaction: bool,
    /// With --migration: ask no database, and take every table for a large one.
    #[arg(long, requires = "migration", conflicts_with = "snapshot")]
    offline: bool,
    /// List the checks and end.
    #[arg(long)]
    list: bool,
}

#[derive(Serialize)]
struct Output<'a> {
    database: &'a str,
    taken_at: chrono::DateTime<chrono::Utc>,
    #[serde(flatten)]
    report: &'a Report,
    notes: &'a [String],
}

/// Runs the command.
///
/// # Errors
/// Fails when a check is not known, the settings are mistaken, or the server or a file cannot be read.
pub async fn run(context: &Context, args: Args) -> CommandResult {
    let settings = &context.settings.lint;
    check_settings(settings)?;
    if args.list {
        return list(context, settings);
    }
    if !args.migration.is_empty() {
        return migration::run(context, &args).await;
    }
    let checks = known_checks(&args.checks, &ids())?;
    let mut notes = Vec::new();
    let (snapshot, target) = read(context, &args, &mut notes).await?;
    let replicas = args
        .replica_snapshot
        .iter()
        .map(|path| replica(path, &snapshot))
        .collect::<Result<Vec<Snapshot>, CommandError>>()?;
    let measured =
        if args.exact { measure::bloat(context, &snapshot, settings, &mut notes).await? } else { Vec::new() };
    let beside = Beside { replicas: &replicas, measured: &measured };
    let report = lint(&snapshot, beside, settings, &checks);
    if let Some(path) = &args.sarif {
        let schema = args.schema_file.as_ref().map(|p| sarif::SchemaFile::read(p)).transpose()?;
        let rules: Vec<sarif::Rule<'_>> =
            CHECKS.iter().map(|c| sarif::Rule { id: c.id, title: c.title, severity: c.severity }).collect();
        super::write_text(path, &sarif::of_report(&report, &rules, settings, schema.as_ref())?)?;
    }
    if let Some(path) = &args.out {
        let advice = KeptAdvice {
            target: target.unwrap_or_else(|| snapshot.server.database.clone()),
            advised_at: snapshot.taken_at,
            recommendations: recommendations(&snapshot, &report.findings),
        };
        kept_advice::write(path, &advice)?;
        context.printer.status(&format!(
            "{} written; \"pgwright apply --advice {}\" shows what would be run",
            count(advice.recommendations.len(), "recommendation"),
            path.display()
        ));
    }
    if context.printer.json {
        let output = Output {
            database: &snapshot.server.database,
            taken_at: snapshot.taken_at,
            report: &report,
            notes: &notes,
        };
        context.printer.json("lint", &output)?;
    } else {
        context.printer.out(&text::report(&report, args.verbose))?;
        for note in &notes {
            context.printer.status(&format!("note: {note}"));
        }
    }
    Ok(exit(args.fail_on, report.worst()))
}

fn exit(level: Option<FailOn>, worst: Option<Severity>) -> Exit {
    match (level.map(Severity::from), worst) {
        (Some(level), Some(worst)) if worst >= level => Exit::Findings,
        _ => Exit::Done,
    }
}

fn check_settings(settings: &Settings) -> Result<(), CommandError> {
    match settings.mistake() {
        None => Ok(()),
        Some(mistake) => Err(CommandError::new("could not understand section [lint] of the configuration")
            .detail(mistake)
            .hint("\"pgwright lint --list\" lists the checks; see docs/reference/configuration.md.")),
    }
}

fn ids() -> Vec<&'static str> {
    CHECKS.iter().map(|c| c.id).collect()
}

fn known_checks(named: &[String], ids: &[&str]) -> Result<Vec<String>, CommandError> {
    match named.iter().find(|id| !ids.contains(&id.as_str())) {
        None => Ok(named.to_vec()),
        Some(unknown) => {
            let near = ids.iter().copied().filter(|id| id.contains(unknown.as_str())).collect::<Vec<_>>();
            let hint = match near.as_slice() {
                [] => "\"pgwright lint --list\" lists the checks.".to_owned(),
                near => format!(
                    "Perhaps {} was meant; \"pgwright lint --list\" lists the checks.",
                    near.join(" or ")
                ),
            };
            Err(CommandError::new(format!("there is no check \"{unknown}\"")).hint(hint))
        }
    }
}

/// The snapshot, and the name of the server that it is of.
async fn read(
    context: &Context,
    args: &Args,
    notes: &mut Vec<String>,
) -> Result<(Snapshot, Option<String>), CommandError> {
    if args.source.snapshot.is_some() {
        let snapshot = context.snapshot(&args.source).await?;
        notes.extend(snapshot.notes.iter().cloned());
        return Ok((snapshot, None));
    }
    let target = context.target()?;
    let session = context.connect(&target).await?;
    let spinner = context.printer.spinner("reading the catalog and the statistics");
    // The schema as DDL is asked for views only: without a fitting pg_dump, joins through views are not looked at.
    let with_schema = match context.pg_dump() {
        Ok(pg_dump) => {
            let options = postgres::SnapshotOptions::new(pg_dump);
            Some(postgres::snapshot::read(&session, &target, &options).await)
        }
        Err(_) => None,
    };
    let snapshot = match with_schema {
        Some(Ok(snapshot)) => snapshot,
        Some(Err(
            postgres::Error::PgDumpMissing { .. }
            | postgres::Error::PgDumpTooOld { .. }
            | postgres::Error::PgDumpFailed { .. },
        ))
        | None => {
            let mut snapshot =
                postgres::snapshot::read_without_schema(&session, context.settings.lock_timeout).await?;
            snapshot.notes.retain(|note| note != postgres::snapshot::NOT_DUMPED);
            notes.push("views are not looked through, because pg_dump could not dump the schema".into());
            snapshot
        }
        Some(Err(error)) => return Err(error.into()),
    };
    spinner.finish_and_clear();
    notes.extend(snapshot.notes.iter().cloned());
    Ok((snapshot, Some(kept_advice::target_name(&target))))
}

/// The snapshot of a replica, which has to be of the same database.
fn replica(path: &std::path::Path, primary: &Snapshot) -> Result<Snapshot, CommandError> {
    let snapshot = postgres::snapshot_file::load(path)?;
    let same = snapshot.server.database == primary.server.database
        && primary.relations.iter().any(|r| snapshot.relation(&r.name).is_some_and(|o| o.oid == r.oid));
    // A physical replica has the very same objects.
    if same || primary.relations.is_empty() {
        return Ok(snapshot);
    }
    Err(CommandError::new(format!("\"{}\" is not of a replica of this database", path.display()))
        .detail(format!(
            "It is of database \"{}\", and shares no table with \"{}\".",
            snapshot.server.database, primary.server.database
        ))
        .hint("Save it on the replica with \"pgwright snapshot save\"."))
}

#[derive(Serialize)]
struct Listed<'a> {
    id: &'a str,
    title: &'a str,
    severity: Severity,
    runs: bool,
    /// Whether it judges migrations and not schemas.
    migration: bool,
}

fn list(context: &Context, settings: &Settings) -> CommandResult {
    let severity = |id: &str, usual: Severity| settings.severity.get(id).copied().unwrap_or(usual);
    let schema = CHECKS.iter().map(|check: &Check| Listed {
        id: check.id,
        title: check.title,
        severity: severity(check.id, check.severity),
        runs: settings.runs(check),
        migration: false,
    });
    let migration = advice::migration::CHECKS.iter().map(|check| Listed {
        id: check.id,
        title: check.title,
        severity: severity(check.id, check.severity),
        runs: !settings.disable.iter().any(|id| id == check.id),
        migration: true,
    });
    let listed: Vec<Listed<'_>> = schema.chain(migration).collect();
    if context.printer.json {
        context.printer.json("lint-checks", &serde_json::json!({ "checks": listed }))?;
        return Ok(Exit::Done);
    }
    let rows: Vec<Vec<String>> = listed
        .iter()
        .map(|c| {
            let runs = match (c.runs, c.migration) {
                (false, _) => "off",
                (true, true) => "migration",
                (true, false) => "",
            };
            vec![c.id.to_owned(), text::severity(c.severity).to_owned(), runs.to_owned(), c.title.to_owned()]
        })
        .collect();
    context.printer.out(&context.printer.table(&["check", "severity", "", "finds"], &rows))?;
    Ok(Exit::Done)
}

/// The level of a rule for SARIF, and the word in a terminal.
fn level(finding: &LintFinding) -> &'static str {
    match finding.finding.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "note",
    }
}
