//! `pgwright partition advise [TABLE…]`: which tables deserve partitions, by what, and what would it do? Every way is
//! tried on a planner twin in which the table is divided; nothing is changed.

pub(super) mod text;

use std::collections::BTreeSet;

use advice::partitions::{
    AdviseOptions, Candidate, Divided, LostReference, Trial, Verdict, candidates, divide, judge, touching,
    trial,
};
use apply::partition_conversion::{Fate, obstacles};
use clap::Args as ClapArgs;
use cluster::Binaries;
use model::cost_model::CostModel;
use model::partition_set::{Interval, PartitionSet, Retention, RetentionAction, Template, TimeUnit};
use model::{Bytes, Division, QualifiedName, Snapshot, quote_identifier};
use partitioning::settings::SetSettings;
use serde::Serialize;
use twin::Twin;

use super::divided_by::written;
use crate::commands::Context;
use crate::commands::context::SnapshotSource;
use crate::error::{CommandError, CommandResult, Exit};

/// Arguments.
#[derive(ClapArgs, Debug)]
#[command(
    before_help = "Examples:\n  pgwright partition advise                           every table of 100 MB or more\n  pgwright partition advise training_runs             this one, whatever its size\n  pgwright partition advise --snapshot shop.snapshot.zst"
)]
pub struct Args {
    #[command(flatten)]
    source: SnapshotSource,
    /// The tables; all that are large enough by default.
    #[arg(value_name = "TABLE")]
    tables: Vec<String>,
    /// The size in megabytes, indexes included, from which on a table is tried without being named.
    #[arg(long, default_value_t = 100, value_name = "MB")]
    min_size: u64,
    /// The IANA time zone in which days and months begin.
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    time_zone: String,
}

/// How many tables are tried.
const MOST_TABLES: usize = 5;
/// How many partitions are made ahead in what is tried, and in what is recommended.
const PREMAKE: u32 = 4;

/// One way that was tried, or why it could not be.
#[derive(Serialize)]
pub(super) struct Tried {
    pub division: Division,
    pub why: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trial: Option<Trial>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// A table with everything that was found out.
#[derive(Serialize)]
pub(super) struct Advised {
    #[serde(flatten)]
    pub candidate: Candidate,
    pub tried: Vec<Tried>,
    pub verdict: Verdict,
    /// What the conversion would refuse as things are, each with the way out. Of a snapshot nobody knows.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub in_the_way: Vec<String>,
    /// What would do it, as a shell reads it.
    pub commands: Vec<String>,
    /// The lines of `pgwright.toml` that keep it.
    pub settings: Option<String>,
}

#[derive(Serialize)]
struct Output<'a> {
    notes: &'a [String],
    tables: &'a [Advised],
}

/// Runs the command.
///
/// # Errors
/// Fails when there is no such table, nothing was counted, or the snapshot cannot be read.
pub async fn run(context: &Context, args: Args) -> CommandResult {
    let snapshot = context.snapshot(&args.source).await?;
    let tables = args
        .tables
        .iter()
        .map(|text| find(&snapshot, text))
        .collect::<Result<BTreeSet<QualifiedName>, CommandError>>()?;
    if snapshot.statements.is_empty() {
        return Err(advice::AdviceError::NoStatements.into());
    }
    let options = AdviseOptions {
        tables,
        min_bytes: Bytes(args.min_size.saturating_mul(1 << 20)),
        time_zone: args.time_zone,
    };
    let mut found = candidates(&snapshot, &options);
    let beyond = found.split_off(found.len().min(MOST_TABLES));
    let mut notes = snapshot.notes.clone();
    if !beyond.is_empty() {
        let names: Vec<String> = beyond.iter().map(|c| c.facts.table.to_string()).collect();
        notes.push(format!("Not tried, because the largest come first: {}; name them.", names.join(", ")));
    }
    let binaries = match found.iter().any(|c| !c.proposals.is_empty()) {
        true => {
            let available = Binaries::discover(&context.search());
            let (binaries, warning) = Twin::choose_binaries(&snapshot, &available)?;
            if let Some(warning) = warning {
                context.printer.status(&format!("warning: {warning}"));
            }
            Some(binaries)
        }
        false => None,
    };
    let mut advised = Vec::new();
    for candidate in found {
        let tried = match &binaries {
            Some(binaries) => try_all(context, &snapshot, &candidate, &options, binaries).await?,
            None => Vec::new(),
        };
        let mut answer = conclude(&snapshot, candidate, tried, &options.time_zone)?;
        if args.source.snapshot.is_none() {
            answer.in_the_way = in_the_way(context, &answer).await?;
        }
        advised.push(answer);
    }
    for note in &notes {
        context.printer.status(&format!("note: {note}"));
    }
    if context.printer.json {
        context.printer.json("partition_advise", &Output { notes: &notes, tables: &advised })?;
    } else if advised.is_empty() {
        context.printer.status(&format!(
            "no table that is not partitioned occupies {} or more; --min-size sets another size",
            options.min_bytes
        ));
    } else {
        context.printer.out(&text::answer(&context.printer, &advised))?;
    }
    Ok(Exit::Done)
}

/// Tries every way of one table on twins.
async fn try_all(
    context: &Context,
    snapshot: &Snapshot,
    candidate: &Candidate,
    options: &AdviseOptions,
    binaries: &Binaries,
) -> Result<Vec<Tried>, CommandError> {
    if candidate.proposals.is_empty() {
        return Ok(Vec::new());
    }
    let table = &candidate.facts.table;
    let only = touching(snapshot, table);
    let mut as_it_is = context.build_twin(&only, binaries).await?;
    let mut tried = Vec::new();
    for proposal in &candidate.proposals {
        let division = proposal.division.clone();
        let mut outcome =
            Tried { division: division.clone(), why: proposal.why.clone(), trial: None, problem: None };
        match divide(&only, table, &division, &options.time_zone, PREMAKE) {
            Err(problem) => outcome.problem = Some(problem),
            Ok(divided) => {
                let shown = text::division(&division, &options.time_zone);
                outcome.trial = Some(
                    tried_on_twin(context, &only, table, shown, &divided, &mut as_it_is, binaries).await?,
                );
            }
        }
        tried.push(outcome);
    }
    as_it_is.stop().await?;
    Ok(tried)
}

/// Builds the twin of a divided snapshot and plans the workload on both.
pub(super) async fn tried_on_twin<M: CostModel>(
    context: &Context,
    snapshot: &Snapshot,
    table: &QualifiedName,
    division: String,
    divided: &Divided,
    as_it_is: &mut M,
    binaries: &Binaries,
) -> Result<Trial, CommandError> {
    let mut as_divided = context.build_twin(&divided.snapshot, binaries).await?;
    let spinner = context.printer.spinner(&format!("planning with {division}"));
    let tried = trial(snapshot, table, division, divided, as_it_is, &mut as_divided)
        .await
        .map_err(advice::AdviceError::from);
    spinner.finish_and_clear();
    as_divided.stop().await?;
    Ok(tried?)
}

fn conclude(
    snapshot: &Snapshot,
    candidate: Candidate,
    tried: Vec<Tried>,
    time_zone: &str,
) -> Result<Advised, CommandError> {
    // The numbers of the trials, those that could not be made left out.
    let numbers: Vec<usize> =
        tried.iter().enumerate().filter(|(_, t)| t.trial.is_some()).map(|(at, _)| at).collect();
    let trials: Vec<Trial> = tried.iter().filter_map(|t| t.trial.clone()).collect();
    let mut verdict = match (&candidate.why_none, trials.is_empty()) {
        (Some(why), _) => Verdict::untried(vec![why.clone()]),
        (None, true) => Verdict::untried(tried.iter().filter_map(|t| t.problem.clone()).collect()),
        (None, false) => judge(&candidate.facts, &trials),
    };
    verdict.best = verdict.best.and_then(|at| numbers.get(at).copied());
    let (mut commands, mut settings) = (Vec::new(), None);
    if let Some(best) = verdict.best.filter(|_| verdict.worth).and_then(|at| tried.get(at)) {
        let set = set(snapshot, &candidate, &best.division, time_zone);
        commands = how(&set, best.trial.as_ref());
        settings = Some(lines(&set)?);
    }
    Ok(Advised { candidate, tried, verdict, in_the_way: Vec::new(), commands, settings })
}

/// What the conversion that is advised would refuse, besides what the commands deal with.
async fn in_the_way(context: &Context, answer: &Advised) -> Result<Vec<String>, CommandError> {
    let best = answer.verdict.best.filter(|_| answer.verdict.worth).and_then(|at| answer.tried.get(at));
    let Some((best, trial)) = best.and_then(|b| Some((b, b.trial.as_ref()?))) else {
        return Ok(Vec::new());
    };
    let (target, table) = (context.target()?, &answer.candidate.facts.table);
    match obstacles(&target, table, &best.division.key, weakens(trial)).await {
        Ok(all) => Ok(all
            .iter()
            .filter(|o| {
                let dealt_with = |l: &LostReference| o.name == format!("{} of {}", l.constraint, l.table);
                !(o.kind == "referencing foreign key" && trial.lost_references.iter().any(dealt_with))
            })
            .filter_map(|o| match &o.fate {
                Fate::Refused { reason, alternative } => {
                    Some(format!("{} {}. {reason} {alternative}", o.kind, o.name))
                }
                _ => None,
            })
            .collect()),
        Err(error) if error.is_refusal() => {
            let words = [Some(error.to_string()), error.detail(), error.hint()];
            Ok(vec![words.into_iter().flatten().filter(|w| !w.is_empty()).collect::<Vec<_>>().join(". ")])
        }
        Err(error) => Err(error.into()),
    }
}

/// Whether a unique key besides the primary one gets the partition column.
fn weakens(trial: &Trial) -> bool {
    trial.widened.iter().any(|w| !w.primary)
}

/// The set as it would be written down.
fn set(snapshot: &Snapshot, candidate: &Candidate, division: &Division, time_zone: &str) -> PartitionSet {
    let deletes = candidate.facts.deletes_by_age.as_ref().filter(|d| d.column == division.key);
    let keep = deletes.and_then(|_| kept(snapshot, &candidate.facts.table, division));
    PartitionSet {
        parent: candidate.facts.table.clone(),
        division: division.clone(),
        sub: None,
        time_zone: time_zone.to_owned(),
        premake: PREMAKE,
        retention: Retention {
            then: if keep.is_some() { RetentionAction::Detach } else { RetentionAction::Keep },
            keep,
            archive: None,
        },
        naming: None,
        template: Template::default(),
    }
}

/// For how long rows are kept today, in whole units of the calendar, by the oldest that is there.
fn kept(snapshot: &Snapshot, table: &QualifiedName, division: &Division) -> Option<Interval> {
    let Interval::Time { unit, .. } = division.interval else { return None };
    let column = snapshot.relation(table)?.column(&division.key)?;
    let oldest = column.statistics.as_ref()?.histogram().into_iter().next()?;
    let oldest: chrono::NaiveDate = oldest.get(..10)?.parse().ok()?;
    let days = (snapshot.taken_at.date_naive() - oldest).num_days();
    let (length, unit) = match unit {
        TimeUnit::Minute | TimeUnit::Hour | TimeUnit::Day => (1, TimeUnit::Day),
        TimeUnit::Week => (7, TimeUnit::Week),
        TimeUnit::Month | TimeUnit::Quarter => (30, TimeUnit::Month),
        TimeUnit::Year => (365, TimeUnit::Year),
    };
    let count = u32::try_from(days.div_euclid(length) + 1).ok().filter(|n| *n > 0)?;
    Some(Interval::Time { count, unit })
}

/// The commands that do it.
fn how(set: &PartitionSet, trial: Option<&Trial>) -> Vec<String> {
    let interval = match &set.division.interval {
        Interval::Values(_) | Interval::Remainders(_) => String::new(),
        interval => format!(" --interval {}", shell(&interval.to_string())),
    };
    let convert = format!(
        "pgwright partition convert {} --by {}{interval}{}{}",
        shell(&set.parent.to_string()),
        shell(&written(&set.division)),
        if set.division.kind.is_time() {
            format!(" --time-zone {}", shell(&set.time_zone))
        } else {
            String::new()
        },
        if trial.is_some_and(weakens) { " --weaken-unique" } else { "" },
    );
    // What the conversion refuses otherwise.
    let mut commands: Vec<String> = trial
        .into_iter()
        .flat_map(|t| &t.lost_references)
        .map(|lost| {
            let drop =
                format!("ALTER TABLE {} DROP CONSTRAINT {}", lost.table, quote_identifier(&lost.constraint));
            format!("psql -c {}", shell(&drop))
        })
        .collect();
    commands.extend([
        format!("{convert}            # shows the plan"),
        format!("{convert} --execute"),
        format!("pgwright partition convert finish {} --execute", shell(&set.parent.to_string())),
        "pgwright partition run --execute            # from then on, each day".to_owned(),
    ]);
    commands
}

/// A word as a shell reads it.
pub(in crate::commands) fn shell(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '/' | '-');
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

fn lines(set: &PartitionSet) -> Result<String, CommandError> {
    #[derive(Serialize)]
    struct Lines {
        partition_set: Vec<SetSettings>,
    }
    toml::to_string(&Lines { partition_set: vec![SetSettings::of(set)] })
        .map_err(|e| CommandError::new("could not write the set as TOML").detail(e.to_string()))
}

/// The table of the snapshot that a person names; a name without a schema is looked for in all of them.
fn find(snapshot: &Snapshot, text: &str) -> Result<QualifiedName, CommandError> {
    let name = QualifiedName::parse(text, "")
        .map_err(|e| CommandError::new("could not understand the name of a table").detail(format!("{e}.")))?;
    let found: Vec<&QualifiedName> = snapshot
        .relations
        .iter()
        .map(|r| &r.name)
        .filter(|t| t.name == name.name && (name.schema.is_empty() || t.schema == name.schema))
        .collect();
    match found.as_slice() {
        [table] => Ok((*table).clone()),
        [] => Err(CommandError::new(format!("no table is called \"{text}\""))
            .detail(format!("Looked for in database \"{}\".", snapshot.server.database))
            .hint("Names with capitals or other signs stand in double quotes.")),
        several => {
            let names: Vec<String> = several.iter().map(ToString::to_string).collect();
            Err(CommandError::new(format!("\"{text}\" is the name of several tables"))
                .detail(format!("They are {}.", names.join(", ")))
                .hint("Write the schema as well."))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::shell;

    #[test]
    fn words_reach_the_program_as_they_are() {
        assert_eq!(shell("public.t"), "public.t");
        assert_eq!(shell("1 month"), "'1 month'");
        assert_eq!(shell("public.\"it's\""), "'public.\"it'\\''s\"'");
    }
}
