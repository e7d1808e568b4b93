//! `pgwright partition convert TABLE`: makes a partitioned table of an ordinary one while it is written to; shows the
//! plan, and does it with `--execute`. `status`, `finish` and `revert` deal with what was begun.

use std::time::Duration;

use apply::Cancellation;
use apply::partition_conversion::{
    self as conversion, Conversion, ConversionEvent, ConversionOptions, ConversionPlan, ConversionRequest,
    Fate, Method, Step,
};
use clap::{Args as ClapArgs, Subcommand, ValueEnum};
use indicatif::ProgressBar;
use model::partition_set::Interval;
use model::{Bytes, Millis, QualifiedName};
use partitioning::Bound;

use super::advise::shell;
use super::divided_by::By;
use crate::commands::{Context, changes, undo};
use crate::error::{CommandError, CommandResult, Exit};
use crate::printer::{Printer, plain};

/// Arguments.
#[derive(ClapArgs, Debug)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    before_help = "Example:\n  pgwright partition convert events --by created_at --interval month            show the plan\n  pgwright partition convert events --by created_at --interval month --execute  do it\n  pgwright partition convert orders --by 'list(status)'                         a partition of each value\n  pgwright partition convert visits --by 'hash(visitor, 16)'                    16 partitions\n  pgwright partition convert finish events --execute                            drop the old table"
)]
pub struct Args {
    #[command(subcommand)]
    action: Option<Action>,
    /// The table, with its schema unless that is public.
    #[arg(required = true)]
    table: Option<String>,
    /// The partition column: of ranges timestamptz, timestamp, date, an integer or uuid (version 7); "list(COLUMN)" for a
    /// partition of each value, "hash(COLUMN, N)" for N partitions.
    #[arg(long, value_name = "COLUMN", required = true)]
    by: Option<By>,
    /// How far a partition of ranges reaches: hour, day, week, month, quarter, year, "6 hours", "15 minutes", or a
    /// number.
    #[arg(long)]
    interval: Option<Interval>,
    /// The IANA time zone in which days and months begin.
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    time_zone: String,
    /// The way; the one that suits by default, with the reason.
    #[arg(long, value_enum)]
    method: Option<Way>,
    /// How many partitions are made ahead of now.
    #[arg(long, default_value_t = 4, value_name = "N")]
    premake: u32,
    /// Where the first partition begins; rows before it go to the default partition.
    #[arg(long, value_name = "VALUE")]
    from: Option<String>,
    /// Add the partition column to unique keys besides the primary one.
    #[arg(long)]
    weaken_unique: bool,
    /// How many sessions copy rows and build indexes.
    #[arg(long, default_value_t = 2, value_name = "N")]
    workers: usize,
    /// Pages of the table that one transaction copies.
    #[arg(long, default_value_t = 1024, value_name = "N", value_parser = clap::value_parser!(i64).range(1..))]
    batch_blocks: i64,
    /// Pause while a replica is further behind, in megabytes.
    #[arg(long, default_value_t = 256, value_name = "MB")]
    max_lag: u32,
    /// Pause while a small commit takes longer.
    #[arg(long, default_value = "50ms", value_name = "DURATION", value_parser = crate::commands::duration)]
    max_latency: Duration,
    #[command(flatten)]
    patience: Patience,
    /// Do it instead of showing it.
    #[arg(long)]
    execute: bool,
}

/// Options of everything that needs a lock.
#[derive(ClapArgs, Clone, Debug)]
struct Patience {
    /// The longest that writers may be kept waiting, wait for the lock and work under it together.
    #[arg(long, default_value = "100ms", value_name = "DURATION", value_parser = crate::commands::duration)]
    max_lock: Duration,
    /// How often a lock is tried for before it is left to a later run.
    #[arg(long, default_value_t = 60, value_name = "N")]
    tries: u32,
    /// `maintenance_work_mem` for index builds, for instance 512MB.
    #[arg(long, value_name = "SIZE")]
    maintenance_work_mem: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Way {
    /// The table becomes one partition; nothing is copied.
    Attach,
    /// The rows are copied into partitions.
    Rewrite,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// How far are conversions, and which can be taken back?
    Status,
    /// Make a conversion final: drop the old table.
    Finish(EndArgs),
    /// Take a conversion back, with what was written since.
    Revert(EndArgs),
}

#[derive(ClapArgs, Debug)]
struct EndArgs {
    /// The table.
    table: String,
    #[command(flatten)]
    patience: Patience,
    /// Do it instead of showing it.
    #[arg(long)]
    execute: bool,
}

/// Runs the command.
///
/// # Errors
/// Fails when the table cannot be converted (exit code 3), or the server cannot be reached.
pub async fn run(context: &Context, args: Args) -> CommandResult {
    match &args.action {
        Some(Action::Status) => status(context).await,
        Some(Action::Finish(end)) => finish(context, end).await,
        Some(Action::Revert(end)) => revert(context, end).await,
        None => convert(context, &args).await,
    }
}

fn table(text: &str) -> Result<QualifiedName, CommandError> {
    QualifiedName::parse(text, "public")
        .map_err(|reason| CommandError::new(format!("{reason} is no table name")))
}

impl Patience {
    fn options(&self, context: &Context) -> ConversionOptions {
        let cancellation = Cancellation::default();
        changes::stop_when_told(
            context,
            &cancellation,
            "stopping after what is being done; run the same command again to go on",
        );
        ConversionOptions {
            max_lock: self.max_lock,
            tries: self.tries,
            maintenance_work_mem: self.maintenance_work_mem.clone(),
            cancellation,
            ..ConversionOptions::default()
        }
    }
}

async fn convert(context: &Context, args: &Args) -> CommandResult {
    let target = context.target()?;
    let missing = || CommandError::new("a table and --by are needed");
    let (column, by) = args.by.as_ref().ok_or_else(missing)?.with(args.interval.as_ref())?;
    let request = ConversionRequest {
        table: table(args.table.as_deref().ok_or_else(missing)?)?,
        column,
        by,
        time_zone: args.time_zone.clone(),
        method: args.method.map(|way| match way {
            Way::Attach => Method::Attach,
            Way::Rewrite => Method::Rewrite,
        }),
        premake: args.premake,
        from: args.from.clone(),
        weaken_unique: args.weaken_unique,
    };
    let plan = conversion::plan_conversion(&target, &request).await.map_err(undo::refused)?;
    let refused = plan.refusals().count();
    if !args.execute {
        if context.printer.json {
            context.printer.json(
                "partition-convert",
                &serde_json::json!({ "executed": false, "plan": plan_json(&plan) }),
            )?;
        } else {
            context.printer.out(&plan_text(&plan))?;
        }
        context.printer.status(if refused == 0 {
            "nothing was run; add --execute to convert"
        } else {
            "nothing was run; what is refused has to be dealt with first"
        });
        return Ok(if refused == 0 { Exit::Done } else { Exit::Refused });
    }
    if !context.printer.json && refused == 0 {
        context.printer.out(&plan_text(&plan))?;
    }
    let options = ConversionOptions {
        workers: args.workers,
        batch_blocks: args.batch_blocks,
        max_replication_lag_bytes: i64::from(args.max_lag) << 20,
        max_commit_latency: args.max_latency,
        ..args.patience.options(context)
    };
    let mut narrator = Narrator::new(&context.printer);
    let done = conversion::convert(&target, &request, &options, &mut |event| narrator.tell(&event)).await;
    narrator.bar.finish_and_clear();
    let done = done.map_err(undo::refused)?;
    if context.printer.json {
        context.printer.json(
            "partition-convert",
            &serde_json::json!({ "executed": true, "conversion_id": done.conversion_id, "resumed": done.resumed,
                "longest_wait": narrator.longest, "plan": plan_json(&done.plan) }),
        )?;
    } else {
        let partitions = done.plan.partitions.len() + usize::from(done.plan.method == Method::Attach);
        context
            .printer
            .out(&plain(&format!("{} is partitioned, {partitions} partitions\n", done.plan.table)))?;
    }
    let shown = plain(&shell(&done.plan.table.to_string()));
    if done.plan.method == Method::Rewrite {
        context.printer.status(&format!("the old table is {}", plain(&done.plan.kept.to_string())));
    }
    context
        .printer
        .status(&format!("\"pgwright partition convert finish {shown} --execute\" makes it final"));
    context
        .printer
        .status(&format!("\"pgwright partition convert revert {shown} --execute\" takes it back until then"));
    Ok(Exit::Done)
}

async fn status(context: &Context) -> CommandResult {
    let target = context.target()?;
    let all = conversion::conversions(&target).await?;
    if context.printer.json {
        context.printer.json("partition-convert-status", &serde_json::json!({ "conversions": all }))?;
        return Ok(Exit::Done);
    }
    if all.is_empty() {
        context.printer.status("no table has been converted");
        return Ok(Exit::Done);
    }
    let rows: Vec<Vec<String>> = all.iter().map(status_row).collect();
    context.printer.out(
        &context.printer.table(&[">id", "table", "method", "state", "rows", "left", ">backlog"], &rows),
    )?;
    Ok(Exit::Done)
}

fn status_row(conversion: &Conversion) -> Vec<String> {
    let state = match conversion.step {
        Step::Swapped => "converted, can be taken back".to_owned(),
        Step::Finished => "finished".to_owned(),
        Step::Reverted => "taken back".to_owned(),
        step => {
            let words = step.as_str().replace('_', " ");
            if conversion.running { words } else { format!("{words}, interrupted") }
        }
    };
    let rows = match conversion.rows_per_second {
        Some(rate) => format!("{} ({rate:.0}/s)", conversion.rows_copied),
        None => String::new(),
    };
    let left = conversion.seconds_left.map(|s| Millis(s * 1000.0).to_string()).unwrap_or_default();
    vec![
        conversion.conversion_id.to_string(),
        conversion.table.to_string(),
        conversion.method.as_str().to_owned(),
        state,
        rows,
        left,
        conversion.backlog.map(|b| b.to_string()).unwrap_or_default(),
    ]
}

async fn finish(context: &Context, args: &EndArgs) -> CommandResult {
    let target = context.target()?;
    let table = table(&args.table)?;
    if !args.execute {
        let open = open(&target, &table).await?;
        if let Some(kept) = &open.kept
            && open.method == Method::Rewrite
        {
            context.printer.out(&format!("DROP TABLE {};\n", plain(&kept.to_string())))?;
        }
        context
            .printer
            .status("nothing was run; add --execute to make it final, after which it cannot be taken back");
        return Ok(Exit::Done);
    }
    let options = args.patience.options(context);
    let mut narrator = Narrator::new(&context.printer);
    let done =
        conversion::finish_conversion(&target, &table, &options, &mut |event| narrator.tell(&event)).await;
    narrator.bar.finish_and_clear();
    end(context, "finished", &done.map_err(undo::refused)?)
}

async fn revert(context: &Context, args: &EndArgs) -> CommandResult {
    let target = context.target()?;
    let table = table(&args.table)?;
    if !args.execute {
        let open = open(&target, &table).await?;
        let text = match (&open.kept, open.method) {
            (None, _) => "what the conversion has made is removed; the table is as it was".to_owned(),
            (Some(kept), Method::Rewrite) => {
                let backlog = open.backlog.unwrap_or(0);
                format!("{backlog} changes are carried back to {kept}, which becomes {table} again")
            }
            (Some(kept), Method::Attach) => {
                format!(
                    "{kept} becomes {table} again, with the rows that were written to other partitions since"
                )
            }
        };
        context.printer.out(&format!("{}\n", plain(&text)))?;
        context.printer.status("nothing was run; add --execute to take the conversion back");
        return Ok(Exit::Done);
    }
    let options = args.patience.options(context);
    let mut narrator = Narrator::new(&context.printer);
    let done =
        conversion::revert_conversion(&target, &table, &options, &mut |event| narrator.tell(&event)).await;
    narrator.bar.finish_and_clear();
    end(context, "taken back", &done.map_err(undo::refused)?)
}

fn end(context: &Context, how: &str, done: &conversion::Converted) -> CommandResult {
    if context.printer.json {
        context.printer.json(
            "partition-convert",
            &serde_json::json!({ "executed": true, "conversion_id": done.conversion_id, "step": done.step }),
        )?;
    } else {
        context
            .printer
            .out(&format!("{how}: the conversion of {}\n", plain(&done.plan.table.to_string())))?;
    }
    Ok(Exit::Done)
}

async fn open(target: &postgres::Target, table: &QualifiedName) -> Result<Conversion, CommandError> {
    let all = conversion::conversions(target).await?;
    all.into_iter().find(|c| &c.table == table && c.ended_at.is_none()).ok_or_else(|| {
        CommandError::new(plain(&format!("no conversion of {table} is open")))
            .hint("\"pgwright partition convert status\" lists the conversions.")
            .refused()
    })
}

fn plan_json(plan: &ConversionPlan) -> serde_json::Value {
    serde_json::json!({
        "table": plan.table, "column": plan.column, "method": plan.method, "why": plan.why, "kept": plan.kept,
        "partitions": plan.partitions.iter().map(|p| serde_json::json!({
            "name": p.name, "bound": p.bound.sql(plan.division.kind) })).collect::<Vec<_>>(),
        "attachments": plan.attachments, "steps": plan.steps, "notices": plan.notices,
        "rows_estimate": plan.rows_estimate, "bytes": plan.bytes,
    })
}

/// How many statements of a step are shown.
const SHOWN: usize = 3;

fn plan_text(plan: &ConversionPlan) -> String {
    let mut out = format!(
        "{}: about {} rows, {}\nmethod: {}. {}\n",
        plan.table,
        plan.rows_estimate,
        Bytes(u64::try_from(plan.bytes).unwrap_or(0)),
        plan.method.as_str(),
        plan.why
    );
    let ordinary = || plan.partitions.iter().filter(|p| p.bound != Bound::Default);
    if let (Some(first), Some(last)) = (ordinary().next(), ordinary().next_back()) {
        out.push_str(&format!(
            "partitions: {}, from {} to {}{}\n",
            plan.partitions.len(),
            first.name.name,
            last.name.name,
            if ordinary().count() < plan.partitions.len() { ", and a default one" } else { "" }
        ));
    }
    out.push('\n');
    for (number, step) in plan.steps.iter().enumerate() {
        let time = step.expected.map(|t| format!(", about {t}")).unwrap_or_default();
        out.push_str(&format!("{}. {} ({}{time})\n", number + 1, step.title, step.lock));
        for sql in step.sql.iter().take(SHOWN) {
            out.push_str(&format!("     {sql};\n"));
        }
        if step.sql.len() > SHOWN {
            out.push_str(&format!("     … and {} more\n", step.sql.len() - SHOWN));
        }
    }
    let count = |kind: fn(&Fate) -> bool| plan.attachments.iter().filter(|a| kind(&a.fate)).count();
    let carried = count(|f| matches!(f, Fate::Carried));
    out.push_str(&format!("\ncarried over as they are: {carried}\n"));
    for attachment in &plan.attachments {
        match &attachment.fate {
            Fate::Carried => {}
            Fate::Changed { difference } => {
                out.push_str(&format!("changed: {} {}. {difference}\n", attachment.kind, attachment.name));
            }
            Fate::Refused { reason, alternative } => out.push_str(&format!(
                "refused: {} {}. {reason} Instead: {alternative}\n",
                attachment.kind, attachment.name
            )),
        }
    }
    for notice in &plan.notices {
        out.push_str(&format!("note: {notice}\n"));
    }
    out.lines().map(|line| format!("{}\n", plain(line))).collect()
}

/// Shows what happens: a bar while rows are copied, lines for what matters.
struct Narrator {
    printer: Printer,
    bar: ProgressBar,
    /// The longest time that others may have been kept waiting.
    longest: Option<Millis>,
}

impl Narrator {
    fn new(printer: &Printer) -> Self {
        Self { printer: printer.clone(), bar: printer.bar(1000, ""), longest: None }
    }

    fn line(&self, text: &str) {
        self.bar.suspend(|| self.printer.status(text));
    }

    fn tell(&mut self, event: &ConversionEvent) {
        use ConversionEvent as E;
        let permille = |done: usize, of: usize| (done * 1000 / of.max(1)) as u64;
        match event {
            E::Resumed { step, .. } => {
                self.line(&format!("going on with step \"{}\"", step.as_str().replace('_', " ")));
            }
            E::Began { step } => {
                self.bar.set_position(0);
                self.bar.set_message(step.as_str().replace('_', " "));
            }
            E::Done { step, elapsed } => {
                self.line(&format!("done in {elapsed}: {}", step.as_str().replace('_', " ")));
            }
            E::Copied { batches_done, batches, rows_per_second, seconds_left, .. } => {
                self.bar.set_position(permille(*batches_done, *batches));
                let left = Millis(seconds_left * 1000.0);
                self.bar.set_message(format!("copy: {rows_per_second:.0} rows/s, {left} left"));
            }
            E::Built { done, of } => {
                self.bar.set_position(permille(*done, *of));
                self.bar.set_message(format!("index {done} of {of}"));
            }
            E::Drained { entries } => self.bar.set_message(format!("carried over {entries} changes")),
            E::Paused { reason } => self.line(&format!("pausing: {reason}")),
            E::Verified { rows } => self.line(&format!("both tables hold the same {rows} rows")),
            E::Waiting { pids } => {
                let pids: Vec<String> = pids.iter().map(ToString::to_string).collect();
                self.line(&format!("waiting for transactions with older snapshots: pid {}", pids.join(", ")));
            }
            E::Retrying { attempt, of, sqlstate, pause, blockers } => {
                let who: Vec<String> = blockers.iter().map(|b| plain(&b.to_string())).collect();
                let who =
                    if who.is_empty() { String::new() } else { format!("; in the way: {}", who.join(", ")) };
                self.line(&format!(
                    "try {attempt} of {of} gave way (SQLSTATE {sqlstate}), again in {pause}{who}"
                ));
            }
            E::Held { step, time } => {
                if self.longest.is_none_or(|l| l.0 < time.0) {
                    self.longest = Some(*time);
                }
                self.line(&format!("{}: others waited {time} at most", step.as_str().replace('_', " ")));
            }
            E::Notice { text } => self.line(&format!("note: {}", plain(text))),
        }
    }
}
