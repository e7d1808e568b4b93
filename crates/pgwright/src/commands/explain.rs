//! `pgwright explain SQL|queryid|FILE`: the plan as a tree, and what is wrong with it.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use advice::workload::Workload;
use clap::Args as ClapArgs;
use model::Finding;
use plan::Plan;
use plan::render::Style;
use postgres::explain::ExplainOptions;
use postgres::{SearchPath, Session, SessionOptions, Target};
use serde::Serialize;

use super::{Context, duration, read_text};
use crate::error::{CommandError, CommandResult, Exit};
use crate::printer::plain;

/// Arguments.
#[derive(ClapArgs, Debug)]
#[command(
    before_help = "Examples:\n  pgwright explain \"SELECT * FROM orders WHERE customer_id = 7\"\n  pgwright explain 8213446573904453290            a queryid of pg_stat_statements\n  pgwright explain slow.sql --analyze\n  pgwright explain plan.json                      the output of EXPLAIN (FORMAT JSON)"
)]
pub struct Args {
    /// A statement, a queryid, a file with a statement or with EXPLAIN's JSON, or - for standard input.
    #[arg(allow_negative_numbers = true)]
    what: String,
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
    /// Plan without values for parameters ($1, …) instead of typical ones.
    #[arg(long, conflicts_with = "analyze")]
    generic: bool,
}

/// What is explained.
enum Input {
    Plan(serde_json::Value),
    Sql(String),
    QueryId(i64),
}

#[derive(Serialize)]
struct Output<'a> {
    sql: Option<&'a str>,
    analyzed: bool,
    explain: &'a serde_json::Value,
    findings: &'a [Finding],
    notes: &'a [String],
}

/// Runs the command.
///
/// # Errors
/// Fails when the text cannot be parsed, the server refuses it, or it must not be analyzed.
pub async fn run(context: &Context, args: Args) -> CommandResult {
    let mut notes = Vec::new();
    let (text, explain) = match input(&args.what)? {
        Input::Plan(value) => (None, value),
        Input::Sql(text) => {
            let target = context.target()?;
            let explain =
                explain_text(context, &target, &text, None, &args, &mut notes).await.map_err(|e| {
                    // One word is no statement; it may be the name of a file that is not there.
                    if e.hint.is_none()
                        && args.what.trim().contains(['.', '/'])
                        && !args.what.trim().contains(' ')
                    {
                        e.hint(format!("There is no file \"{}\" either.", args.what.trim()))
                    } else {
                        e
                    }
                })?;
            (Some(explain.0), explain.1)
        }
        Input::QueryId(queryid) => {
            let target = context.target()?;
            let (text, search_path) = statement_text(context, &target, queryid).await?;
            let explain = explain_text(context, &target, &text, Some(search_path), &args, &mut notes).await?;
            (Some(explain.0), explain.1)
        }
    };
    let plan = Plan::from_json(&explain)?;
    let findings = plan::checks::run(&plan, &plan::checks::Thresholds::default());
    if context.printer.json {
        let output = Output {
            sql: text.as_deref(),
            analyzed: plan.timed(),
            explain: &explain,
            findings: &findings,
            notes: &notes,
        };
        context.printer.json("explain", &output)?;
        return Ok(Exit::Done);
    }
    let style = Style { width: context.printer.width.clamp(60, 160), color: context.printer.color };
    context.printer.out(&plan::render::tree_with(&plan, &findings, &style))?;
    if !findings.is_empty() {
        context.printer.out("\n")?;
        for finding in &findings {
            context.printer.out(&format!(
                "{}: {}\n  {}\n",
                finding.check,
                plain(&finding.summary),
                plain(&finding.detail)
            ))?;
        }
    }
    for note in &notes {
        context.printer.status(&format!("note: {note}"));
    }
    Ok(Exit::Done)
}

fn input(what: &str) -> Result<Input, CommandError> {
    let text = if what == "-" {
        let mut text = String::new();
        std::io::stdin()
            .read_to_string(&mut text)
            .map_err(|e| CommandError::new("could not read standard input").detail(format!("{e}.")))?;
        text
    } else if let Ok(queryid) = what.trim().parse::<i64>() {
        return Ok(Input::QueryId(queryid));
    } else if Path::new(what).is_file() {
        read_text(&PathBuf::from(what))?
    } else {
        what.to_owned()
    };
    let trimmed = text.trim_start();
    if trimmed.starts_with('[') || trimmed.starts_with('{') {
        let value = serde_json::from_str(&text).map_err(|e| {
            CommandError::new("could not understand the plan as JSON")
                .detail(format!("{e}."))
                .hint("Make it with EXPLAIN (FORMAT JSON) and without psql's headers: psql -qAtX.")
        })?;
        return Ok(Input::Plan(value));
    }
    if text.trim().is_empty() {
        return Err(CommandError::new("there is no statement to explain"));
    }
    Ok(Input::Sql(text))
}

/// The text of a statement, and the `search_path` under which it was written.
async fn statement_text(
    context: &Context,
    target: &Target,
    queryid: i64,
) -> Result<(String, String), CommandError> {
    let session = context.connect(target).await?;
    let (statements, _) = postgres::statements::read(&session).await?;
    let search_path = postgres::statements::search_path(&session, "\"$user\", public").await?;
    let found = statements.into_iter().find(|s| s.queryid == queryid).map(|s| (s.query, search_path));
    found.ok_or_else(|| {
        CommandError::new(format!("no statement has the queryid {queryid}"))
            .detail(format!("pg_stat_statements has no such entry for database \"{}\".", target.database()))
            .hint("\"pgwright profile\" lists the queryids. An entry may have been evicted or reset.")
    })
}

/// Explains a text; gives what was planned, values in place of parameters, and the plan. A text that the
/// server counted comes with its `search_path`; one that somebody typed has that of the role.
async fn explain_text(
    context: &Context,
    target: &Target,
    text: &str,
    search_path: Option<String>,
    args: &Args,
    notes: &mut Vec<String>,
) -> Result<(String, serde_json::Value), CommandError> {
    let parsed = sql::ParsedStatement::parse(text).map_err(|e| match e {
        // Somebody typed it: nothing was cut off at track_activity_query_size.
        sql::SqlError::Truncated { message } if search_path.is_none() => sql::SqlError::Invalid { message },
        other => other,
    })?;
    if parsed.kind() == sql::StatementKind::Utility {
        return Err(CommandError::new("a utility statement has no plan")
            .hint("SELECT, INSERT, UPDATE, DELETE, MERGE, VALUES and TABLE can be explained."));
    }
    let options = SessionOptions {
        read_only: !args.allow_writes,
        lock_timeout: Some(context.settings.lock_timeout),
        statement_timeout: Some(args.timeout),
        search_path: search_path.map_or(SearchPath::RoleDefault, SearchPath::Set),
        ..SessionOptions::for_user_statements()
    };
    let session = target.connect(&options).await?;
    if parsed.parameters().is_empty() {
        if args.analyze {
            check_safety(&session, text, args).await?;
        }
        if args.allow_writes {
            notes.push(
                "run in a transaction that was rolled back; sequences that it advanced stay advanced".into(),
            );
        }
        let explain = postgres::explain::explain(&session, text, &explain_options(args)).await?;
        return Ok((text.to_owned(), explain));
    }
    let generic = ExplainOptions { statement_timeout: args.timeout, ..ExplainOptions::generic() };
    if args.generic {
        return Ok((text.to_owned(), postgres::explain::explain(&session, text, &generic).await?));
    }
    let candidates = match bound(context, target, text).await? {
        Ok(candidates) => candidates,
        // Without values there is still the plan that no value has influenced.
        Err(reason) if !args.analyze => {
            notes.push(format!("planned without values for its parameters, because {reason}"));
            return Ok((text.to_owned(), postgres::explain::explain(&session, text, &generic).await?));
        }
        Err(reason) => {
            return Err(CommandError::new("no values could be found for the parameters of the statement")
                .detail(format!("The advisor passes over it: {reason}."))
                .hint("Write values in place of $1, …, or leave --analyze out."));
        }
    };
    let mut last = None;
    for candidate in candidates {
        if args.analyze {
            check_safety(&session, &candidate, args).await?;
        }
        match postgres::explain::explain(&session, &candidate, &explain_options(args)).await {
            Ok(explain) => {
                notes.push(format!(
                    "planned with typical values from the statistics: {}",
                    one_line(&candidate)
                ));
                return Ok((candidate, explain));
            }
            Err(e) => last = Some(e),
        }
    }
    match last {
        Some(e) => Err(e.into()),
        None => Err(CommandError::new("no values could be found for the parameters of the statement")
            .hint("Write values in place of $1, …, or add --generic.")),
    }
}

fn one_line(text: &str) -> String {
    crate::printer::one_line(text, 400)
}

fn explain_options(args: &Args) -> ExplainOptions {
    let base = if args.analyze { ExplainOptions::analyze() } else { ExplainOptions::default() };
    ExplainOptions { statement_timeout: args.timeout, may_write: args.allow_writes, ..base }
}

/// The statement with typical values, the most usual first, or why there are none.
async fn bound(
    context: &Context,
    target: &Target,
    text: &str,
) -> Result<Result<Vec<String>, String>, CommandError> {
    let mut snapshot = context.snapshot_of(target).await?;
    let mut statement = snapshot.statements.iter().find(|s| s.query == text).cloned().unwrap_or_else(|| {
        model::snapshot::Statement { query: text.to_owned(), calls: 1, ..Default::default() }
    });
    statement.toplevel = true;
    statement.calls = statement.calls.max(1);
    snapshot.statements = vec![statement];
    let workload = Workload::from_snapshot(&snapshot, &Default::default());
    if let Some(skipped) = workload.skipped.first() {
        return Ok(Err(skipped.reason.clone()));
    }
    let mut bindings: Vec<_> = workload.statements.into_iter().flat_map(|s| s.bindings).collect();
    bindings.sort_by(|a, b| b.weight.total_cmp(&a.weight));
    Ok(Ok(bindings.into_iter().flat_map(|b| b.variants).collect()))
}

/// Refuses to analyze what does more than read.
async fn check_safety(session: &Session, text: &str, args: &Args) -> Result<(), CommandError> {
    if args.allow_writes {
        return Ok(());
    }
    let safety = sql::statement_safety(text)?;
    if !safety.reads_only {
        return Err(CommandError::new("the statement must not be analyzed")
            .detail(format!("EXPLAIN ANALYZE runs a statement, and {}.", safety.reasons.join(", ")))
            .hint(
                "Leave --analyze out to see its plan without running it, or add --allow-writes to run it in a \
                 transaction that is rolled back; sequences that it advances do not go back.",
            )
            .refused());
    }
    if args.allow_unknown_functions || safety.unknown_functions.is_empty() {
        return Ok(());
    }
    let volatile = postgres::catalog::volatile_functions(session, &safety.unknown_functions).await?;
    if volatile.is_empty() {
        return Ok(());
    }
    Err(CommandError::new("the statement must not be analyzed")
        .detail(format!("It calls functions that may do more than read: {}.", volatile.join(", ")))
        .hint("Leave --analyze out, or add --allow-unknown-functions if you know them to be harmless.")
        .refused())
}
