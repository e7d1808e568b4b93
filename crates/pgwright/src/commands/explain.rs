//! `pgwright explain SQL|queryid|FILE`: the plan as a tree or a page, what is wrong with it and what to do, and
//! what changed between two plans.

mod comparison;
mod effects;
mod generic;
mod measure;
mod planning;
pub(super) mod safety;
mod subject;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args as ClapArgs;
use model::{Finding, Snapshot};
use plan::Plan;
use plan::input::FoundPlans;
use plan::remedy::{Advised, Estimate};
use plan::render::{Page, Style};
use postgres::Target;
use serde::Serialize;

use super::statistics::Sampling;
use super::{Context, duration, write_text};
use crate::error::{CommandError, CommandResult, Exit};
use crate::printer::{one_line, plain};
use subject::Subject;

/// Arguments.
#[derive(ClapArgs, Debug)]
#[command(
    before_help = "Examples:\n  pgwright explain \"SELECT * FROM orders WHERE customer_id = 7\"\n  pgwright explain 8213446573904453290            a queryid of pg_stat_statements\n  pgwright explain slow.sql --analyze --html slow.html\n  pgwright explain plan.txt                       what EXPLAIN printed, as text or JSON\n  pgwright explain postgresql.log --number 1      the longest plan that auto_explain logged\n  pgwright explain --diff before.txt after.txt"
)]
pub struct Args {
    /// A statement, a queryid, a file with a statement, with what EXPLAIN printed or with a log of
    /// auto_explain, or - for standard input.
    #[arg(allow_negative_numbers = true, required_unless_present = "diff")]
    what: Option<String>,
    /// Run the statement and measure it. Only for statements that read.
    #[arg(long)]
    analyze: bool,
    /// How long an analyzed statement may run.
    #[arg(long, default_value = "60s", value_parser = duration)]
    timeout: Duration,
    /// Analyze although the statement calls functions whose effects are not known. The transaction is
    /// read-only and rolled back all the same.
    #[arg(long, requires = "analyze")]
    allow_unknown_functions: bool,
    /// Analyze a statement although it writes. Its transaction is rolled back; sequences that it advances
    /// and effects of functions outside of the database stay.
    #[arg(long, requires = "analyze")]
    allow_writes: bool,
    /// The plan of a prepared statement for any value of its parameters ($1, …) instead of one for typical values.
    /// With --analyze it is executed with values, and a plan for these values is measured beside it.
    #[arg(long)]
    generic: bool,
    /// A value for a parameter, once for each of $1, $2, … in their order, instead of typical ones; NULL is NULL.
    #[arg(long, value_name = "VALUE", allow_hyphen_values = true)]
    param: Vec<String>,
    /// Which of several statements or plans, from 1; the longest plan of a log is 1.
    #[arg(long, short = 'n', value_name = "N")]
    number: Option<usize>,
    /// Write the plan as an HTML page that loads nothing from elsewhere.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// What changed between two plans of one statement.
    #[arg(long, num_args = 2, value_names = ["BEFORE", "AFTER"], conflicts_with_all = ["what", "analyze", "generic", "param", "html", "number"])]
    diff: Vec<String>,
    /// What changed since a baseline stored the plan of this queryid.
    #[arg(long, value_name = "BASELINE", conflicts_with_all = ["diff", "analyze", "generic", "html"])]
    baseline: Option<String>,
    /// Take the catalog and the statistics from this file, and plan what is advised on its twin.
    #[arg(long, value_name = "FILE")]
    snapshot: Option<PathBuf>,
    #[command(flatten)]
    sampling: Sampling,
    /// Look at the plan alone: read no catalog, and try nothing on the planner twin.
    #[arg(long, conflicts_with = "snapshot")]
    quick: bool,
}

/// A plan and where it comes from.
struct Explained {
    /// The statement, values in place of parameters, when it is known.
    sql: Option<String>,
    /// `{"Plan": …}`.
    explain: serde_json::Value,
    /// The server that planned it.
    target: Option<Target>,
    notes: Vec<String>,
    /// What a generic plan was compared with.
    compared: Option<generic::Compared>,
    /// The statement with its parameters ($1, …), where `sql` has their values in their places.
    unbound: Option<String>,
    /// The schemas in which the server looked for names without one.
    search_path: Option<String>,
    /// Who held locks that it waited for while it was measured.
    waits: Vec<plan::LockWait>,
}

#[derive(Serialize)]
struct Output<'a> {
    sql: Option<&'a str>,
    analyzed: bool,
    explain: &'a serde_json::Value,
    findings: &'a [Finding],
    remedies: &'a [Advised],
    notes: &'a [String],
}

/// Runs the command.
///
/// # Errors
/// Fails when the text cannot be parsed, the server refuses it, or it must not be analyzed.
pub async fn run(context: &Context, args: Args) -> CommandResult {
    if let [before, after] = args.diff.as_slice() {
        return comparison::of_two(context, before, after).await;
    }
    let what = args.what.clone().unwrap_or_default();
    if let Some(baseline) = &args.baseline {
        return comparison::with_baseline(context, &args, &what, baseline).await;
    }
    let mut explained = match subject::read(&what)? {
        Subject::Plans(found) => {
            if found.plans.len() > 1 && args.number.is_none() {
                return list(context, &found);
            }
            of_found(&found, args.number)?
        }
        Subject::Sql(text) => planning::of_text(context, &args, &what, &text).await?,
        Subject::QueryId(queryid) => planning::of_queryid(context, &args, queryid).await?,
    };
    let mut plan = Plan::from_json(&explained.explain)?;
    // The server does not say it.
    plan.query_text = plan.query_text.take().or_else(|| explained.sql.clone());
    plan.waits = std::mem::take(&mut explained.waits);
    let database = database(context, &args, &mut explained).await?;
    if let Some(database) = &database {
        let open = plan::qualify(&mut plan, database, search_path(database, &explained).as_deref());
        explained.notes.extend(open.iter().map(|name| {
            format!(
                "there are several tables {name} and the plan does not tell which one it reads, so nothing is known of it: EXPLAIN \
                 (VERBOSE) tells"
            )
        }));
    }
    let mut thresholds = context.settings.checks.clone();
    // A plan for the values is known to be no better.
    if explained.compared.as_ref().is_some_and(|c| !c.better) {
        thresholds.disabled.push("generic-plan".into());
    }
    let mut findings = plan::checks::run_on(&plan, &thresholds, database.as_ref());
    if explained.compared.as_ref().is_some_and(|c| !c.better) {
        // An average is no error of the statistics.
        findings.retain(|f| f.check != "row-misestimate" || !plan::checks::rests_on_parameters(&plan, f));
    }
    let mut remedies = plan::remedy::remedies(&plan, &findings, database.as_ref());
    if let Some(compared) = explained.compared.as_ref().filter(|c| c.better) {
        for remedy in remedies.iter_mut().filter(|r| r.kind == plan::checks::Remedy::CustomPlan) {
            remedy.title.push_str(&format!("; {}", compared.told));
            let (cost_before, cost_after) = compared.costs;
            remedy.estimate =
                Some(Estimate { cost_before, cost_after, by: "server itself", rests_on_other_rows: true });
        }
    }
    if !args.quick {
        let unconfirmed =
            effects::estimate(context, &args, &plan, &mut explained, database, &mut remedies).await;
        findings.retain(|f| !unconfirmed.contains(&f.key));
        for remedy in &mut remedies {
            remedy.resolves.retain(|key| !unconfirmed.contains(key));
        }
        remedies.retain(|r| !r.resolves.is_empty());
    }
    show(context, &args, &plan, &explained, &findings, &remedies)?;
    Ok(Exit::Done)
}

/// The schemas in which names without one are looked for.
fn search_path(database: &Snapshot, explained: &Explained) -> Option<String> {
    explained.search_path.clone().or_else(|| database.setting("search_path").map(str::to_owned))
}

/// One of the plans of a file.
fn of_found(found: &FoundPlans, number: Option<usize>) -> Result<Explained, CommandError> {
    let at = number.unwrap_or(1);
    let chosen = at.checked_sub(1).and_then(|at| found.plans.get(at)).ok_or_else(|| {
        CommandError::new(format!("there is no plan number {at}"))
            .detail(format!("There are {} plans, numbered from 1.", found.plans.len()))
    })?;
    let explain = chosen.explain()?;
    let plan = Plan::from_json(&explain)?;
    let values = plan.extra.get("Query Parameters").and_then(serde_json::Value::as_str);
    let bound =
        plan.query_text.as_deref().zip(values).and_then(|(text, values)| generic::logged(text, values));
    let (sql, unbound) = match bound {
        Some(bound) => (Some(bound), plan.query_text.map(|text| generic::executed(&text).to_owned())),
        None => (plan.query_text, None),
    };
    Ok(Explained {
        unbound,
        sql,
        explain,
        target: None,
        notes: Vec::new(),
        compared: None,
        search_path: None,
        waits: Vec::new(),
    })
}

/// What is known of the database: from a file, or from the server that planned.
async fn database(
    context: &Context,
    args: &Args,
    explained: &mut Explained,
) -> Result<Option<Snapshot>, CommandError> {
    if let Some(path) = &args.snapshot {
        return Ok(Some(postgres::snapshot_file::load(path)?));
    }
    let Some(target) = explained.target.as_ref().filter(|_| !args.quick) else { return Ok(None) };
    let read = async {
        let session = context.connect(target).await?;
        Ok::<_, CommandError>(
            postgres::snapshot::read_without_schema(&session, context.settings.lock_timeout).await?,
        )
    };
    match read.await {
        Ok(snapshot) => Ok(Some(snapshot)),
        // The plan is worth showing without it.
        Err(error) => {
            explained.notes.push(format!("the catalog was not read: {}", error.message));
            Ok(None)
        }
    }
}

/// Several plans of one file, to choose from.
fn list(context: &Context, found: &FoundPlans) -> CommandResult {
    let mut rows = Vec::new();
    let mut data = Vec::new();
    for (number, candidate) in (1..).zip(&found.plans) {
        let plan = candidate.plan();
        let (cost, query, problem) = match &plan {
            Ok(plan) => {
                let root = plan.root().map(plan::Node::label).unwrap_or_default();
                (plan.root().map(|r| r.total_cost), plan.query_text.clone().unwrap_or(root), None)
            }
            Err(error) => (None, String::new(), Some(error.to_string())),
        };
        rows.push(vec![
            number.to_string(),
            candidate.duration_ms.map(|ms| model::Millis(ms).to_string()).unwrap_or_default(),
            cost.map(|c| format!("{c:.0}")).unwrap_or_default(),
            candidate.line.to_string(),
            problem.clone().map_or_else(|| one_line(&query, 90), |p| format!("({p})")),
        ]);
        data.push(serde_json::json!({ "number": number, "duration_ms": candidate.duration_ms, "cost": cost,
            "line": candidate.line, "query": query, "problem": problem }));
    }
    if context.printer.json {
        context
            .printer
            .json("explain-list", &serde_json::json!({ "plans": data, "left_out": found.left_out }))?;
        return Ok(Exit::Done);
    }
    context
        .printer
        .out(&context.printer.table(&[">number", ">duration", ">cost", ">line", "statement"], &rows))?;
    if found.left_out > 0 {
        context.printer.status(&format!("{} shorter plans of the log are left out", found.left_out));
    }
    context.printer.status("show one with --number");
    Ok(Exit::Done)
}

fn show(
    context: &Context,
    args: &Args,
    plan: &Plan,
    explained: &Explained,
    findings: &[Finding],
    remedies: &[Advised],
) -> Result<(), CommandError> {
    if let Some(path) = &args.html {
        let page = Page { sql: explained.sql.as_deref(), findings, remedies, notes: &explained.notes };
        write_text(path, &plan::render::page(plan, &page))?;
        context.printer.status(&format!("wrote {}", path.display()));
        if !context.printer.json {
            return Ok(());
        }
    }
    if context.printer.json {
        let output = Output {
            sql: explained.sql.as_deref(),
            analyzed: plan.timed(),
            explain: &explained.explain,
            findings,
            remedies,
            notes: &explained.notes,
        };
        return context.printer.json("explain", &output);
    }
    if let (Some(sql), None) = (&explained.sql, &explained.target) {
        context.printer.out(&format!("{}\n\n", one_line(sql, 400)))?;
    }
    let style = Style { width: context.printer.width.clamp(60, 160), color: context.printer.color };
    context.printer.out(&plan::render::tree_with(plan, findings, &style))?;
    context.printer.out(&told(findings, remedies))?;
    for note in &explained.notes {
        context.printer.status(&format!("note: {note}"));
    }
    Ok(())
}

/// Findings and remedies in lines.
fn told(findings: &[Finding], remedies: &[Advised]) -> String {
    let mut out = String::new();
    for finding in findings {
        out.push_str(&format!(
            "\n{}: {}\n  {}\n",
            finding.check,
            plain(&finding.summary),
            plain(&finding.detail)
        ));
    }
    if !remedies.is_empty() {
        out.push_str("\nwhat to do\n");
    }
    for (number, remedy) in (1..).zip(remedies) {
        out.push_str(&format!("  {number}. {}\n", plain(&remedy.title)));
        for sql in &remedy.sql {
            out.push_str(&format!("     {};\n", one_line(sql, 400)));
        }
        if let Some(estimate) = &remedy.estimate {
            out.push_str(&format!("     {estimate}\n"));
        }
        out.push_str(&format!("     for {}\n", plain(&remedy.causes())));
    }
    out
}
