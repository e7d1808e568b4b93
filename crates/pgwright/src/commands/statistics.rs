//! `pgwright statistics`: which statistics are missing, stale or too small, which columns want statistics together,
//! and which index-only scans want a VACUUM? `advise` recommends the same; this command shows what it rests on.

mod gathering;
mod text;

use std::path::PathBuf;
use std::time::Duration;

use advice::statistics::StatisticsAdvice;
use advice::workload::Workload;
use clap::Args as ClapArgs;
use model::{QualifiedName, Snapshot, StatisticsDefinition};
use serde::Serialize;
use sql::Catalog as _;

use super::context::SnapshotSource;
use super::cost_model::Engine;
use super::kept_advice::{self, KeptAdvice};
use super::{Context, duration};
use crate::error::{CommandError, CommandResult, Exit};
pub use gathering::{Site, add_to_advice};
use gathering::{only_vacuums, vacuumed_tables};

/// Arguments.
#[derive(ClapArgs, Debug)]
#[command(
    before_help = "Examples:\n  pgwright statistics postgres://app@db.example.com/shop\n  pgwright statistics --try \"CREATE STATISTICS (dependencies) ON city, zip FROM places\"\n  pgwright statistics --no-sample --snapshot shop.snapshot.zst"
)]
pub struct Args {
    #[command(flatten)]
    source: SnapshotSource,
    #[command(flatten)]
    sampling: Sampling,
    /// What would these statistics of your own improve? A CREATE STATISTICS statement.
    #[arg(long = "try", value_name = "STATEMENT", conflicts_with = "no_sample")]
    attempt: Option<String>,
    /// Show sets of columns whose estimate is right as well.
    #[arg(long)]
    all: bool,
    /// Write the recommendations into this file, for "apply --advice".
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Exit with 1 when something is recommended.
    #[arg(long)]
    fail_on_recommendation: bool,
}

/// How rows may be copied to try statistics on.
#[derive(ClapArgs, Clone, Debug)]
pub struct Sampling {
    /// Copy no rows: say only what the catalog tells.
    #[arg(long)]
    pub no_sample: bool,
    /// How many rows of a table are copied at most, the columns in question only, into a local server that is
    /// removed afterwards.
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1_000..=10_000_000))]
    pub sample_rows: u64,
    /// How long the server may take for the sample of a table.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration)]
    pub sample_timeout: Duration,
}

impl Default for Sampling {
    /// As without options.
    fn default() -> Self {
        Self { no_sample: false, sample_rows: 100_000, sample_timeout: Duration::from_secs(10) }
    }
}

#[derive(Serialize)]
struct Output<'a> {
    notes: &'a [String],
    statistics: &'a StatisticsAdvice,
}

/// Runs the command.
///
/// # Errors
/// Fails when the snapshot cannot be read, no server programs are there, or the statement of `--try` cannot be
/// understood.
pub async fn run(context: &Context, args: Args) -> CommandResult {
    let understood = |text: &str| {
        sql::written_statistics(text).map_err(|e| CommandError {
            detail: e.detail(),
            hint: e.hint(),
            ..CommandError::new(e.to_string())
        })
    };
    let written = args.attempt.as_deref().map(understood).transpose()?;
    if written.is_some() && args.source.snapshot.is_some() {
        return Err(CommandError::new("statistics cannot be tried on a snapshot file")
            .detail(
                "A snapshot holds no rows, and how columns depend on each other stands nowhere in pg_stats.",
            )
            .hint("Leave --snapshot out, so that a sample can be taken from the server."));
    }
    let mut snapshot = context.snapshot(&args.source).await?;
    let wanted = written.map(|w| definition(&snapshot, w)).transpose()?;
    let target = match &args.source.snapshot {
        Some(_) => None,
        None => Some(context.target()?),
    };
    let mut notes = std::mem::take(&mut snapshot.notes);
    let workload = Workload::from_snapshot(&snapshot, &Default::default());
    let mut site = Site { context, snapshot: &snapshot, target: target.as_ref(), notes: &mut notes };
    let trials = site.trials(&workload, &args.sampling, wanted.as_ref()).await?;
    let mut found = advice::statistics::judge(&snapshot, trials);
    if wanted.is_none() {
        let upkeep = advice::statistics_upkeep(&snapshot, &workload);
        found.findings.extend(upkeep.findings);
        if !workload.statements.is_empty() && site.wants_twin(&found) {
            let mut model = context.start_model(Engine::Twin, &snapshot).await?;
            site.plan_changes(&mut model, &mut found).await?;
            site.index_only(&mut model, &mut found).await?;
        }
        // Of two VACUUMs of a table that with its effects stays.
        let vacuumed = vacuumed_tables(&found.recommendations);
        let others = upkeep.recommendations.into_iter().filter(|r| !only_vacuums(r, &vacuumed));
        found.recommendations.splice(0..0, others);
    }
    if let Some(path) = &args.out {
        let kept = KeptAdvice {
            target: target
                .as_ref()
                .map_or_else(|| snapshot.server.database.clone(), kept_advice::target_name),
            advised_at: snapshot.taken_at,
            recommendations: found.recommendations.clone(),
        };
        kept_advice::write(path, &kept)?;
    }
    if context.printer.json {
        context.printer.json("statistics", &Output { notes: &notes, statistics: &found })?;
    } else {
        let shown = text::Shown { all: args.all || wanted.is_some(), tried: wanted.as_ref() };
        context.printer.out(&text::answer(context, &snapshot, &found, &shown))?;
        for note in &notes {
            context.printer.status(&format!("note: {note}"));
        }
        if !found.recommendations.is_empty() && target.is_some() && wanted.is_none() {
            context.printer.status(
                "\"pgwright advise\" recommends these too and keeps them for \"pgwright apply\"; --out FILE writes them for \"apply --advice FILE\"",
            );
        }
    }
    Ok(if args.fail_on_recommendation && !found.recommendations.is_empty() {
        Exit::Findings
    } else {
        Exit::Done
    })
}

/// What a person wrote, with names resolved.
fn definition(
    snapshot: &Snapshot,
    written: sql::WrittenStatistics,
) -> Result<StatisticsDefinition, CommandError> {
    let catalog = sql::SnapshotCatalog::new(snapshot);
    let Some(table) = catalog.relation(written.table.schema.as_deref(), &written.table.name) else {
        return Err(CommandError::new(format!("table {} does not exist", written.table))
            .hint("Write the schema in front of its name if it is not in the search_path."));
    };
    let known: Vec<&str> = table.columns.iter().map(|c| c.name.as_str()).collect();
    let of_expressions =
        written.expressions.iter().flat_map(|e| sql::expression_ingredients(e).columns).collect::<Vec<_>>();
    let missing = written.columns.iter().chain(&of_expressions).find(|c| !known.contains(&c.as_str()));
    if let Some(column) = missing {
        return Err(CommandError::new(format!(
            "table {} has no column {}",
            table.name,
            model::quote_identifier(column)
        )));
    }
    let name = written.name.map_or_else(|| format!("{}_stat", table.name.name), |n| n.name);
    Ok(StatisticsDefinition {
        name: QualifiedName::new(table.name.schema.clone(), name),
        table: table.name,
        kinds: written.kinds,
        columns: written.columns,
        expressions: written.expressions,
    })
}
