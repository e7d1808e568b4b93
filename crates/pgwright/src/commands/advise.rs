//! `pgwright advise`: ranked recommendations, each tried on the planner twin or with HypoPG.

mod text;
mod watch;

use std::path::PathBuf;

use advice::{Advice, Control, Options, WeighBy};
use clap::Args as ClapArgs;
use model::{Bytes, Snapshot};

use super::Context;
use super::context::SnapshotSource;
use super::cost_model::{Engine, Model};
use super::kept_advice::{self, KeptAdvice};
use super::logged_values::{ByStatement, LoggedValues};
use super::statistics::{self, Sampling};
use super::track_record;
use crate::error::{CommandError, CommandResult, Exit};
use crate::printer::count;
pub(super) use text::{benefit_text, bound_text, price_text, recommendation_text};
use watch::Watch;

/// Arguments.
#[derive(ClapArgs, Debug)]
#[command(
    before_help = "Examples:\n  pgwright advise postgres://app@db.example.com/shop\n  pgwright advise --snapshot shop.snapshot.zst --max-bytes 500MB\n  pgwright advise --budget 100MB,500MB,2GB\n  pgwright advise --log /var/log/postgresql/postgresql-17-main.log"
)]
pub struct Args {
    #[command(flatten)]
    source: SnapshotSource,
    #[command(flatten)]
    limits: Limits,
    #[command(flatten)]
    sampling: Sampling,
    #[command(flatten)]
    logged: LoggedValues,
    /// Who plans.
    #[arg(long, value_enum, default_value = "twin", value_name = "ENGINE")]
    what_if: Engine,
    /// Write the recommendations into this file, for `apply --advice`.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Show plans before and after for each statement.
    #[arg(long)]
    plans: bool,
    /// Show every candidate that was considered and why it was not recommended.
    #[arg(long)]
    rejected: bool,
    /// Show every statement that was left out and why.
    #[arg(long)]
    skipped: bool,
    /// Exit with 1 when something is recommended.
    #[arg(long)]
    fail_on_recommendation: bool,
}

/// Limits of the advice.
#[derive(clap::Args, Clone, Debug)]
pub struct Limits {
    /// No more than this many bytes of new indexes: 500MB, 2GB.
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub max_bytes: Option<Bytes>,
    /// No more than this many new indexes.
    #[arg(long, value_name = "N")]
    pub max_indexes: Option<usize>,
    /// Upkeep of new indexes may make writes no more than this much dearer: 10%.
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    pub max_write_overhead: Option<f64>,
    /// No statement may be expected to take longer than this many times what it takes now, or "off": only the whole
    /// workload counts.
    #[arg(long, value_name = "TIMES", default_value = "1.2", value_parser = slowdown)]
    pub max_slowdown: MaxSlowdown,
    /// What quick writes are worth beside the time that they take now: indexes that double the work of all writes, in a
    /// workload of nothing else, have to save so many times what indexes can well save. 0 counts time alone.
    #[arg(long, value_name = "NUMBER", default_value_t = 1.0, value_parser = worth)]
    pub write_worth: f64,
    /// Show what the best set within each of these budgets saves, beside the recommended one. Without
    /// sizes: from a hundredth of the tables to all of them.
    #[arg(long, value_name = "SIZE,…", value_parser = size, value_delimiter = ',', num_args = 0..)]
    pub budget: Option<Vec<Bytes>>,
    /// What makes a statement weigh more than another.
    #[arg(long, value_enum, default_value = "time")]
    pub weigh_by: Weight,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_bytes: None,
            max_indexes: None,
            max_write_overhead: None,
            max_slowdown: MaxSlowdown(Options::default().max_slowdown),
            write_worth: Options::default().write_worth,
            budget: None,
            weigh_by: Weight::default(),
        }
    }
}

/// How many times as long as now a statement may be expected to take; `None` for any.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MaxSlowdown(pub Option<f64>);

/// What statements are weighed by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Weight {
    /// Their measured execution time.
    #[default]
    Time,
    /// Calls times planner cost, for workloads that were never measured.
    Cost,
}

impl Limits {
    /// The limits of a report, which shows a curve of budgets.
    pub fn with_curve() -> Self {
        Self { budget: Some(Vec::new()), ..Self::default() }
    }

    /// The options of the advisor.
    fn options(&self, snapshot: &Snapshot, control: Control) -> Options {
        let budgets = match &self.budget {
            None => Vec::new(),
            Some(sizes) if sizes.is_empty() => usual_budgets(snapshot),
            Some(sizes) => sizes.clone(),
        };
        Options {
            weigh_by: match self.weigh_by {
                Weight::Time => WeighBy::Time,
                Weight::Cost => WeighBy::PlannerCost,
            },
            max_bytes: self.max_bytes,
            max_count: self.max_indexes,
            max_write_overhead: self.max_write_overhead,
            max_slowdown: self.max_slowdown.0,
            write_worth: self.write_worth,
            budgets,
            control,
            ..Options::default()
        }
    }
}

/// Budgets from a hundredth of the tables' bytes to all of them, in steps that about double.
fn usual_budgets(snapshot: &Snapshot) -> Vec<Bytes> {
    let tables: u64 = snapshot.relations.iter().map(|r| r.table_bytes.0).sum();
    [1, 2, 5, 10, 20, 50, 100]
        .iter()
        .map(|percent| Bytes(tables / 100 * percent))
        .filter(|b| b.0 > 0)
        .collect()
}

/// Parses `1.2` or `off`.
fn slowdown(text: &str) -> Result<MaxSlowdown, String> {
    match text.parse::<f64>() {
        _ if text == "off" => Ok(MaxSlowdown(None)),
        Ok(times) if times.is_finite() && times >= 1.0 => Ok(MaxSlowdown(Some(times))),
        _ => Err(format!("\"{text}\" is not a number from 1 on, nor \"off\"")),
    }
}

/// Parses a number that is not negative.
fn worth(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() && number >= 0.0 => Ok(number),
        _ => Err(format!("\"{text}\" is not a number from 0 on")),
    }
}

/// Parses `500MB`, `2GB` or a number of bytes, in PostgreSQL's units of 1024.
fn size(text: &str) -> Result<Bytes, String> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number: u64 = number.parse().map_err(|_| format!("\"{text}\" is not a size such as 500MB"))?;
    let factor: u64 = match unit.trim() {
        "" | "B" => 1,
        "kB" | "KB" => 1 << 10,
        "MB" => 1 << 20,
        "GB" => 1 << 30,
        "TB" => 1 << 40,
        other => return Err(format!("\"{other}\" is not a unit; use kB, MB, GB or TB")),
    };
    number.checked_mul(factor).map(Bytes).ok_or_else(|| format!("\"{text}\" is out of range"))
}

/// Parses `10%` or `10` into a share.
fn percent(text: &str) -> Result<f64, String> {
    let number: f64 = text
        .trim()
        .trim_end_matches('%')
        .trim_end()
        .parse()
        .map_err(|_| format!("\"{text}\" is not a percentage such as 10%"))?;
    if number.is_finite() && number >= 0.0 {
        Ok(number / 100.0)
    } else {
        Err(format!("\"{text}\" is out of range"))
    }
}

/// Runs the command.
///
/// # Errors
/// Fails when the snapshot cannot be read or the cost model does not start.
pub async fn run(context: &Context, args: Args) -> CommandResult {
    let mut snapshot = context.snapshot_for(args.what_if, &args.source).await?;
    let target = match &args.source.snapshot {
        Some(_) => None,
        None => Some(context.target()?),
    };
    let target_name = target.as_ref().map(kept_advice::target_name);
    let how =
        How { engine: args.what_if, limits: &args.limits, sampling: &args.sampling, logged: &args.logged };
    let advised = advised(context, &snapshot, target.as_ref(), how).await;
    let advice = match advised {
        Ok((advice, notes)) => {
            snapshot.notes.extend(notes);
            advice
        }
        Err(error) => {
            // What could not be read may be the very reason.
            for note in &snapshot.notes {
                context.printer.status(&format!("note: {note}"));
            }
            return Err(error);
        }
    };
    let kept = KeptAdvice {
        target: target_name.clone().unwrap_or_else(|| snapshot.server.database.clone()),
        advised_at: snapshot.taken_at,
        recommendations: advice.recommendations.clone(),
    };
    if let Some(path) = &args.out {
        kept_advice::write(path, &kept)?;
    }
    if target_name.is_some() {
        kept_advice::keep(context, &kept)?;
    }
    let measured = track_record::read(context, target_name.is_some()).await;
    if context.printer.json {
        context.printer.json(
            "advise",
            &serde_json::json!({ "notes": snapshot.notes, "advice": advice, "measured": measured }),
        )?;
    } else {
        let shown = text::Shown { plans: args.plans, rejected: args.rejected, skipped: args.skipped };
        context.printer.out(&text::answer(context, &snapshot, &advice, &shown))?;
        context.printer.out(&track_record::text(&measured))?;
        for note in &snapshot.notes {
            context.printer.status(&format!("note: {note}"));
        }
    }
    if advice.stopped_early {
        context.printer.status(&format!(
            "stopped after {}: a better set may be there",
            count(usize::try_from(advice.planner_calls).unwrap_or(usize::MAX), "planner call")
        ));
    }
    if !advice.recommendations.is_empty() && target_name.is_some() {
        context.printer.status(
            "show the exact changes with \"pgwright apply\", make them with \"pgwright apply --execute\"",
        );
    }
    Ok(if args.fail_on_recommendation && !advice.recommendations.is_empty() {
        Exit::Findings
    } else {
        Exit::Done
    })
}

/// Builds the twin of a snapshot and asks the advisor.
///
/// # Errors
/// Fails when no server programs are there or the twin does not start.
pub async fn compute(
    context: &Context,
    snapshot: &Snapshot,
    limits: &Limits,
) -> Result<Advice, CommandError> {
    let mut model = context.start_search_model(Engine::Twin, snapshot).await?;
    compute_with(context, snapshot, &mut model, limits, ByStatement::new()).await
}

/// How advice is made.
#[derive(Clone, Copy)]
struct How<'a> {
    engine: Engine,
    limits: &'a Limits,
    sampling: &'a Sampling,
    logged: &'a LoggedValues,
}

/// What the command recommends without options on the server of a snapshot, and what could not be done.
///
/// # Errors
/// As the command.
pub async fn usual(
    context: &Context,
    snapshot: &Snapshot,
    target: &postgres::Target,
) -> Result<(Advice, Vec<String>), CommandError> {
    let (limits, sampling, logged) = (Limits::default(), Sampling::default(), LoggedValues::default());
    let how = How { engine: Engine::Twin, limits: &limits, sampling: &sampling, logged: &logged };
    advised(context, snapshot, Some(target), how).await
}

/// Advice on indexes and on statistics, and what could not be done.
async fn advised(
    context: &Context,
    snapshot: &Snapshot,
    target: Option<&postgres::Target>,
    how: How<'_>,
) -> Result<(Advice, Vec<String>), CommandError> {
    let (observed, note) = how.logged.read(context, snapshot)?;
    let mut model = context.start_search_model(how.engine, snapshot).await?;
    let mut advice = compute_with(context, snapshot, &mut model, how.limits, observed.clone()).await?;
    let mut notes: Vec<String> = note.into_iter().collect();
    if !advice.stopped_early {
        let mut site = statistics::Site { context, snapshot, target, notes: &mut notes };
        statistics::add_to_advice(&mut site, &mut model, how.sampling, &observed, &mut advice).await?;
    }
    Ok((advice, notes))
}

/// Asks the advisor. The first interrupt ends the search, which
/// then answers with the best that it has; the second ends the process.
///
/// # Errors
/// Fails when the cost model stops working.
async fn compute_with(
    context: &Context,
    snapshot: &Snapshot,
    model: &mut Model,
    limits: &Limits,
    observed_values: ByStatement,
) -> Result<Advice, CommandError> {
    let watch = Watch::begin(&context.printer);
    let options = Options { observed_values, ..limits.options(snapshot, watch.control()) };
    let advice = advice::advise(snapshot, model, &options).await;
    watch.end();
    Ok(advice?)
}

#[cfg(test)]
mod tests {
    use super::{MaxSlowdown, size, slowdown};

    #[test]
    fn a_slowdown_is_a_factor_or_off() {
        assert_eq!(slowdown("1.5"), Ok(MaxSlowdown(Some(1.5))));
        assert_eq!(slowdown("off"), Ok(MaxSlowdown(None)));
        for wrong in ["0.9", "NaN", "inf", "twice", ""] {
            assert!(slowdown(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes_have_units_of_1024() {
        assert_eq!(size("2GB").map(|b| b.0), Ok(2 << 30));
        assert_eq!(size("8192").map(|b| b.0), Ok(8192));
        assert!(size("many").is_err());
        assert!(size("5 furlongs").is_err());
    }
}
