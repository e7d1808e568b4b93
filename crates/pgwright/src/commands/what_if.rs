//! `pgwright what-if "CREATE INDEX …" …`: what would become of every statement of the workload, and which
//! plans would another major version change?

mod ideas;
mod plans;
mod text;
mod upgrade;

use std::collections::BTreeSet;
use std::path::Path;

use advice::AdviceError;
use advice::what_if::{Before, Effect, StatementOutcome, Upkeep, Wanted, WhatIf};
use clap::Args as ClapArgs;
use indicatif::ProgressBar;
use model::cost_model::{Configuration, CostModel as _};
use model::snapshot::{Index, RelationKind};
use model::{Bytes, IndexDefinition, Snapshot};
use serde::Serialize;
use serde_json::Value as Json;

use super::context::SnapshotSource;
use super::cost_model::Engine;
use super::logged_values::LoggedValues;
use super::{Context, read_text};
use crate::error::{CommandError, CommandResult, Exit};
use ideas::{Change, What};
use plans::{PlanChange, alike};

/// Arguments.
#[derive(ClapArgs, Debug)]
#[command(
    before_help = "Examples:\n  pgwright what-if \"CREATE INDEX ON orders (customer_id)\"\n  pgwright what-if \"CREATE INDEX ON orders (customer_id, placed_at)\" \"DROP INDEX orders_customer_idx\"\n  pgwright what-if \"SET work_mem = '64MB'\" --snapshot shop.snapshot.zst\n  pgwright what-if --major 18"
)]
pub struct Args {
    #[command(flatten)]
    source: SnapshotSource,
    /// CREATE INDEX, DROP INDEX or SET of a planner setting, or a file with such statements. All of them
    /// are tried together.
    #[arg(required_unless_present = "major", value_name = "CHANGE")]
    changes: Vec<String>,
    /// Which plans change on this major version of PostgreSQL instead of the server's own?
    #[arg(long, value_name = "VERSION", conflicts_with_all = ["changes", "what_if"])]
    major: Option<u32>,
    /// Who plans.
    #[arg(long, value_enum, default_value = "twin", value_name = "ENGINE")]
    what_if: Engine,
    /// Only this statement, by its queryid; its plans are shown.
    #[arg(long, value_name = "QUERYID", allow_negative_numbers = true)]
    statement: Option<i64>,
    #[command(flatten)]
    logged: LoggedValues,
    /// Show the plans before and after of each statement that changes.
    #[arg(long)]
    plans: bool,
    /// How many statements of each kind are shown.
    #[arg(long, short = 'n', default_value_t = 20)]
    limit: usize,
}

/// How the answer is shown.
pub(super) struct Shown {
    plans: bool,
    limit: usize,
    width: usize,
}

/// A change with everything that was found out about it.
#[derive(Serialize)]
struct TriedChange {
    sql: String,
    #[serde(flatten)]
    effect: ChangeEffect,
    notes: Vec<String>,
}

#[derive(Serialize)]
#[serde(tag = "change", rename_all = "snake_case")]
enum ChangeEffect {
    CreateIndex {
        index: IndexDefinition,
        /// Predicted size.
        bytes: Bytes,
        upkeep: Upkeep,
        /// The statements whose plans use it.
        used_by: BTreeSet<i64>,
    },
    DropIndex {
        index: IndexDefinition,
        /// What is given back.
        freed: Bytes,
        /// What writes save.
        upkeep: Upkeep,
        /// The statements whose plans used it.
        used_by: BTreeSet<i64>,
    },
    Set {
        name: String,
        before: String,
        after: String,
    },
    Nothing,
}

#[derive(Serialize)]
struct Output<'a> {
    notes: &'a [String],
    changes: &'a [TriedChange],
    /// Whether costs before and after are in the same units, so that times can be expected.
    comparable: bool,
    saved_ms_per_hour: f64,
    share_of_total: f64,
    planner_calls: u64,
    #[serde(flatten)]
    what_if: Json,
}

/// Settings that change what a unit of cost is; a statement whose plan stays the same takes the same time.
const COST_UNITS: &[&str] = &[
    "cpu_index_tuple_cost",
    "cpu_operator_cost",
    "cpu_tuple_cost",
    "effective_cache_size",
    "parallel_setup_cost",
    "parallel_tuple_cost",
    "random_page_cost",
    "seq_page_cost",
];

/// Runs the command.
///
/// # Errors
/// Fails when a change cannot be understood or tried, or when the snapshot cannot be read.
pub async fn run(context: &Context, args: Args) -> CommandResult {
    // What cannot be tried is said before anything is read.
    let mut ideas = Vec::new();
    for text in &args.changes {
        ideas.extend(read_ideas(text)?);
    }
    let mut snapshot = context.snapshot_for(args.what_if, &args.source).await?;
    if snapshot.statements.is_empty() {
        for note in &snapshot.notes {
            context.printer.status(&format!("note: {note}"));
        }
        return Err(AdviceError::NoStatements.into());
    }
    if let Some(queryid) = args.statement {
        check_statement(&snapshot, queryid)?;
    }
    let (observed, note) = args.logged.read(context, &snapshot)?;
    snapshot.notes.extend(note);
    let wanted = Wanted { only: args.statement, observed: Some(&observed) };
    let shown = Shown {
        plans: args.plans || args.statement.is_some(),
        limit: args.limit,
        width: context.printer.width,
    };
    if let Some(major) = args.major {
        return upgrade::run(context, &snapshot, major, wanted, &shown).await;
    }
    ideas::check(&snapshot, &ideas)?;
    let mut model = context.start_model(args.what_if, &snapshot).await?;
    let changes = ideas::resolve(&snapshot, &mut model, ideas).await?;
    let calls_before = model.planner_calls();
    let bar = context.printer.bar(0, "planning as things are");
    let current = Configuration::current();
    let before = Before::plan(&snapshot, &mut model, &current, wanted, &mut move_bar(&bar)).await?;
    bar.finish_and_clear();
    changes.make_settings(&mut model).await?;
    let upkeeps: Vec<Option<Upkeep>> = changes
        .list
        .iter()
        .map(|change| match &change.what {
            What::Create { definition, bytes, .. } => Some(before.upkeep(&snapshot, definition, *bytes)),
            What::Drop { index } => Some(before.upkeep(&snapshot, &index.definition, index.bytes)),
            What::Set { .. } | What::Nothing => None,
        })
        .collect();
    let bar = context.printer.bar(0, "planning with the changes");
    let mut what_if = before.compare(&mut model, &changes.after, &mut move_bar(&bar)).await?;
    bar.finish_and_clear();
    let comparable = !changes.settings.iter().any(|(name, _)| COST_UNITS.contains(&name.as_str()));
    if !comparable {
        what_if.judge_by_plans(alike);
    }
    let tried: Vec<TriedChange> = changes
        .list
        .into_iter()
        .zip(upkeeps)
        .map(|(change, upkeep)| tried(change, upkeep.unwrap_or_default(), &snapshot, &what_if))
        .collect();
    let planner_calls = model.planner_calls() - calls_before;
    if context.printer.json {
        let output = Output {
            notes: &snapshot.notes,
            changes: &tried,
            comparable,
            saved_ms_per_hour: what_if.saved_ms() / what_if.hours,
            share_of_total: what_if.saved_ms() / what_if.total_ms.max(f64::MIN_POSITIVE),
            planner_calls,
            what_if: json(&what_if, shown.plans)?,
        };
        context.printer.json("what-if", &output)?;
    } else {
        let text = text::answer(&snapshot, &tried, &what_if, comparable, planner_calls, &shown);
        context.printer.out(&text)?;
        for note in &snapshot.notes {
            context.printer.status(&format!("note: {note}"));
        }
    }
    Ok(Exit::Done)
}

/// Shows how many of how many are done.
fn move_bar(bar: &ProgressBar) -> impl FnMut(usize, usize) {
    |done, total| {
        bar.set_length(total as u64);
        bar.set_position(done as u64);
    }
}

/// Reads the changes of one argument: statements, or a file that holds them.
fn read_ideas(argument: &str) -> Result<Vec<sql::Idea>, CommandError> {
    let path = Path::new(argument);
    let text = if path.is_file() { read_text(path)? } else { argument.to_owned() };
    sql::ideas(&text).map_err(|e| CommandError {
        exit: Exit::Error,
        message: e.to_string(),
        detail: e.detail(),
        hint: e.hint(),
    })
}

/// Whether the statement that was asked for is there.
fn check_statement(snapshot: &Snapshot, queryid: i64) -> Result<(), CommandError> {
    if snapshot.statements.iter().any(|s| s.queryid == queryid) {
        return Ok(());
    }
    Err(CommandError::new(format!("no statement has the queryid {queryid}"))
        .hint("\"pgwright profile\" lists the queryids. An entry may have been evicted or reset."))
}

/// What was found out about one change.
fn tried(change: Change, upkeep: Upkeep, snapshot: &Snapshot, what_if: &WhatIf) -> TriedChange {
    let effect = match change.what {
        What::Create { definition, bytes, .. } => {
            let used_by = users_of_new(&definition, snapshot, what_if);
            ChangeEffect::CreateIndex { index: *definition, bytes, upkeep, used_by }
        }
        What::Drop { index } => {
            let parts = with_parts(&index, snapshot);
            let used_by = users_of_old(&parts, snapshot, what_if);
            let freed = parts.iter().map(|part| part.bytes).sum();
            ChangeEffect::DropIndex { freed, upkeep, used_by, index: index.definition }
        }
        What::Set { name, before, after } => ChangeEffect::Set { name, before, after },
        What::Nothing => ChangeEffect::Nothing,
    };
    TriedChange { sql: change.sql, effect, notes: change.notes }
}

/// The statements on a new index's table whose plans use it. PostgreSQL names its parts on the partitions
/// of a table: a name that the snapshot does not have is one of them.
fn users_of_new(index: &IndexDefinition, snapshot: &Snapshot, what_if: &WhatIf) -> BTreeSet<i64> {
    let partitioned =
        snapshot.relation(&index.table).is_some_and(|r| r.kind == RelationKind::PartitionedTable);
    let known = |name: &str| snapshot.indexes.iter().any(|i| i.name.name == name);
    let uses = |s: &StatementOutcome| {
        let mut names = s.indexes_after().into_iter();
        names.any(|name| name == index.name || (partitioned && !known(name)))
    };
    let on_table = what_if.statements.iter().filter(|s| s.tables.contains(&index.table));
    on_table.filter(|s| uses(s)).map(|s| s.queryid).collect()
}

/// An index and, of a partitioned table, its parts on the partitions.
fn with_parts<'a>(index: &'a Index, snapshot: &'a Snapshot) -> Vec<&'a Index> {
    let mut parts = vec![index];
    let mut at = 0;
    while let Some(parent) = parts.get(at).copied() {
        parts.extend(snapshot.indexes.iter().filter(|i| i.parent.as_ref() == Some(&parent.name)));
        at += 1;
    }
    parts
}

/// The statements whose plans used an index or one of its parts.
fn users_of_old(parts: &[&Index], snapshot: &Snapshot, what_if: &WhatIf) -> BTreeSet<i64> {
    let names: BTreeSet<&str> = parts.iter().map(|part| part.name.name.as_str()).collect();
    // A statement names the partitioned table, or the partition itself.
    let on_table = |s: &StatementOutcome| {
        parts.iter().any(|part| {
            let mut table = Some(&part.definition.table);
            while let Some(name) = table {
                if s.tables.contains(name) {
                    return true;
                }
                table = snapshot.relation(name).and_then(|r| r.parent.as_ref());
            }
            false
        })
    };
    let using = what_if.statements.iter().filter(|s| !s.indexes_before().is_disjoint(&names));
    using.filter(|s| on_table(s)).map(|s| s.queryid).collect()
}

/// The answer as data; plans only when they were asked for, because there may be thousands.
pub(super) fn json(what_if: &WhatIf, plans: bool) -> Result<Json, CommandError> {
    let failed =
        |e: serde_json::Error| CommandError::new("could not write the result as JSON").detail(e.to_string());
    let mut what_if = what_if.clone();
    let changes: Vec<Vec<PlanChange>> = what_if
        .statements
        .iter()
        .map(|s| s.executions.iter().map(|e| PlanChange::between(&e.plan_before, &e.plan_after)).collect())
        .collect();
    if !plans {
        for execution in what_if.statements.iter_mut().flat_map(|s| &mut s.executions) {
            execution.plan_before = Json::Null;
            execution.plan_after = Json::Null;
        }
    }
    let mut value = serde_json::to_value(&what_if).map_err(failed)?;
    let statements = value.get_mut("statements").and_then(Json::as_array_mut);
    for (statement, changes) in statements.into_iter().flatten().zip(changes) {
        let executions = statement.get_mut("executions").and_then(Json::as_array_mut);
        for (execution, change) in executions.into_iter().flatten().zip(changes) {
            execution["plan_change"] = serde_json::to_value(change).map_err(failed)?;
        }
    }
    Ok(value)
}

/// The kinds of statements in the order in which they are shown.
const SHOWN_EFFECTS: [Effect; 4] = [Effect::Refused, Effect::Slower, Effect::Faster, Effect::Changed];
