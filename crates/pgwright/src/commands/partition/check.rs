//! `pgwright partition check [TABLE…]`: which partitions does each statement of the workload read, and why not fewer?

mod text;

use std::collections::BTreeSet;

use advice::partitions::{
    CheckOptions, PruningReport, SetOfPartitions, TriedInterval, check, divide, findings, judge_intervals,
    neighbours, partitioned_sets, touching, trees,
};
use clap::Args as ClapArgs;
use cluster::Binaries;
use model::partition_set::Division;
use model::{Finding, QualifiedName, Severity, Snapshot};
use partitioning::inference::infer;
use serde::Serialize;
use twin::Twin;

use crate::commands::Context;
use crate::commands::context::SnapshotSource;
use crate::commands::cost_model::{Engine, Model};
use crate::commands::doctor::FailOn;
use crate::commands::partition::advise;
use crate::error::{CommandError, CommandResult, Exit};

/// Arguments.
#[derive(ClapArgs, Debug)]
#[command(
    before_help = "Examples:\n  pgwright partition check                            every partitioned table\n  pgwright partition check events --fail-on warning   exit with 1 when a statement reads all of its partitions\n  pgwright partition check --snapshot shop.snapshot.zst"
)]
pub struct Args {
    #[command(flatten)]
    source: SnapshotSource,
    /// The partitioned tables; all of them by default.
    #[arg(value_name = "TABLE")]
    tables: Vec<String>,
    /// Exit with 1 when something of this severity or above is found.
    #[arg(long, value_enum, value_name = "SEVERITY")]
    fail_on: Option<FailOn>,
    /// Of how many statements the planning time is measured, the most time first.
    #[arg(long, default_value_t = 10, value_name = "N")]
    timed: usize,
    /// Do not try longer and shorter partitions.
    #[arg(long)]
    skip_intervals: bool,
    /// How many statements are shown.
    #[arg(long, short = 'n', default_value_t = 20, value_name = "N")]
    limit: usize,
}

#[derive(Serialize)]
struct Output<'a> {
    notes: &'a [String],
    #[serde(flatten)]
    report: &'a PruningReport,
    /// Sets with longer and shorter partitions.
    intervals: &'a [TriedInterval],
    findings: &'a [Finding],
}

/// Runs the command.
///
/// # Errors
/// Fails when there is no such partitioned table, nothing was counted, or the snapshot cannot be read.
pub async fn run(context: &Context, args: Args) -> CommandResult {
    let snapshot = context.snapshot_for(Engine::Twin, &args.source).await?;
    let tables = args
        .tables
        .iter()
        .map(|text| find(&snapshot, text))
        .collect::<Result<BTreeSet<QualifiedName>, CommandError>>()?;
    for note in &snapshot.notes {
        context.printer.status(&format!("note: {note}"));
    }
    if partitioned_sets(&snapshot).is_empty() {
        return nothing(context, &snapshot);
    }
    if snapshot.statements.is_empty() {
        return Err(advice::AdviceError::NoStatements.into());
    }
    let mut model = context.start_model(Engine::Twin, &snapshot).await?;
    let options = CheckOptions { tables, timed: args.timed };
    let bar = context.printer.bar(0, "planning");
    let mut moved = |done: usize, total: usize| {
        bar.set_length(total as u64);
        bar.set_position(done as u64);
    };
    let report =
        check(&snapshot, &mut model, &options, &mut moved).await.map_err(advice::AdviceError::from)?;
    bar.finish_and_clear();
    let mut findings = findings(&report);
    let mut intervals = Vec::new();
    if !args.skip_intervals {
        for set in report.sets.iter().take(MOST_SETS) {
            intervals.extend(try_intervals(context, &snapshot, set, &mut model).await?);
        }
        let partitions = |table: &QualifiedName| {
            report.sets.iter().find(|s| &s.table == table).map_or(0, |s| s.partitions.len())
        };
        findings.extend(judge_intervals(&intervals, partitions));
    }
    if context.printer.json {
        let output =
            Output { notes: &snapshot.notes, report: &report, intervals: &intervals, findings: &findings };
        context.printer.json("partition_check", &output)?;
    } else {
        context.printer.out(&text::answer(&context.printer, &report, &intervals, &findings, args.limit))?;
    }
    let worst = findings.iter().map(|f| f.severity).max();
    Ok(match (args.fail_on.map(Severity::from), worst) {
        (Some(level), Some(worst)) if worst >= level => Exit::Findings,
        _ => Exit::Done,
    })
}

/// Of how many sets other intervals are tried.
const MOST_SETS: usize = 3;

/// Tries longer and shorter partitions of a set on twins.
async fn try_intervals(
    context: &Context,
    snapshot: &Snapshot,
    set: &SetOfPartitions,
    model: &mut Model,
) -> Result<Vec<TriedInterval>, CommandError> {
    let trees = trees(snapshot);
    let zone = snapshot.setting("TimeZone").unwrap_or("UTC").to_owned();
    let now_micros = snapshot.taken_at.timestamp_micros();
    // What follows no rule has no neighbours.
    let inferred = trees.find(&set.table).and_then(|table| infer(&trees, table, &zone, now_micros).ok());
    let Some(inferred) = inferred else { return Ok(Vec::new()) };
    let rule = inferred.set;
    let only = touching(snapshot, &set.table);
    if only.statements.is_empty() {
        return Ok(Vec::new());
    }
    let available = Binaries::discover(&context.search());
    let (binaries, _) = Twin::choose_binaries(snapshot, &available)?;
    let (longer, shorter) = neighbours(&rule.division.interval, rule.division.kind);
    let mut tried = Vec::new();
    for (interval, longer) in [(longer, true), (shorter, false)] {
        let Some(interval) = interval else { continue };
        let division = Division { interval: interval.clone(), ..rule.division.clone() };
        let mut outcome = TriedInterval {
            table: set.table.clone(),
            current: rule.division.interval.clone(),
            interval,
            longer,
            trial: None,
            problem: None,
        };
        match divide(&only, &set.table, &division, &rule.time_zone, rule.premake) {
            Err(problem) => outcome.problem = Some(problem),
            Ok(divided) => {
                let shown = advise::text::division(&division, &rule.time_zone);
                let done =
                    advise::tried_on_twin(context, &only, &set.table, shown, &divided, model, &binaries);
                outcome.trial = Some(done.await?);
            }
        }
        tried.push(outcome);
    }
    Ok(tried)
}

fn nothing(context: &Context, snapshot: &Snapshot) -> CommandResult {
    if context.printer.json {
        let report =
            PruningReport { sets: Vec::new(), statements: Vec::new(), skipped: Vec::new(), total_ms: 0.0 };
        let output = Output { notes: &snapshot.notes, report: &report, intervals: &[], findings: &[] };
        context.printer.json("partition_check", &output)?;
    } else {
        context
            .printer
            .status("no table is partitioned; \"pgwright partition advise\" says which deserve it");
    }
    Ok(Exit::Done)
}

/// The partitioned table of the snapshot that a person names; a name without a schema is looked for in all of them.
fn find(snapshot: &Snapshot, text: &str) -> Result<QualifiedName, CommandError> {
    let name = QualifiedName::parse(text, "")
        .map_err(|e| CommandError::new("could not understand the name of a table").detail(format!("{e}.")))?;
    let found: Vec<QualifiedName> = partitioned_sets(snapshot)
        .into_iter()
        .map(|set| set.table)
        .filter(|t| t.name == name.name && (name.schema.is_empty() || t.schema == name.schema))
        .collect();
    match found.as_slice() {
        [table] => Ok(table.clone()),
        [] => Err(CommandError::new(format!("no partitioned table is called \"{text}\""))
            .detail(format!("Looked for in database \"{}\".", snapshot.server.database))
            .hint("\"pgwright partition list\" shows those that there are.")),
        several => {
            let names: Vec<String> = several.iter().map(ToString::to_string).collect();
            Err(CommandError::new(format!("\"{text}\" is the name of several tables"))
                .detail(format!("They are {}.", names.join(", ")))
                .hint("Write the schema as well."))
        }
    }
}
