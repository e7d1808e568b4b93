//! `pgwright rewrite [SQL|queryid|FILE]`: which other text gives the same rows for less, and how sure is that?
//! `--check` asks that of two texts that somebody else wrote.

mod check;
pub(super) mod measure;
mod text;

use std::path::Path;
use std::time::Duration;

use advice::rewriting::{Depth, StatementRewrites, WeighedRewrite, Worth, rewrite, typed_statement};
use advice::workload::Workload;
use clap::Args as ClapArgs;
use cluster::Binaries;
use model::Snapshot;
use postgres::Target;
use refuter::{Options as RefuterOptions, Refuter, Verdict, Witness, policies_of_one};
use serde::Serialize;
use sql::Rewriter;

use super::context::SnapshotSource;
use super::cost_model::Engine;
use super::{Context, duration, read_text};
use crate::error::{CommandError, CommandResult, Exit};
use measure::Measured;

/// Arguments.
#[derive(ClapArgs, Debug)]
#[command(
    before_help = "Examples:\n  pgwright rewrite                                     every statement that was counted, the most time saved first\n  pgwright rewrite 8213446573904453290                 a queryid of pg_stat_statements\n  pgwright rewrite \"SELECT * FROM orders WHERE date(placed_at) = '2026-01-15'\"\n  pgwright rewrite slow.sql --measure                  both texts are run and compared\n  pgwright rewrite --check before.sql after.sql        are two texts equivalent?\n  pgwright rewrite --check before.sql after.sql --schema schema.sql --set TimeZone=Europe/Berlin"
)]
pub struct Args {
    #[command(flatten)]
    source: SnapshotSource,
    /// A statement, a queryid, a file with a statement, or - for standard input. Without it, every statement
    /// of pg_stat_statements.
    #[arg(allow_negative_numbers = true)]
    what: Option<String>,
    /// Who plans.
    #[arg(long, value_enum, default_value = "twin", value_name = "ENGINE")]
    what_if: Engine,
    /// Run the statement and each rewrite by turns on the server, in a transaction that only reads, and compare
    /// their times and buffers.
    #[arg(long, conflicts_with = "snapshot")]
    measure: bool,
    /// How long one measured run may take.
    #[arg(long, default_value = "60s", value_parser = duration, requires = "measure")]
    timeout: Duration,
    /// Show rewrites that are not cheaper as well, and those that nothing proves.
    #[arg(long)]
    all: bool,
    /// How many statements are shown.
    #[arg(long, short = 'n', default_value_t = 10)]
    limit: usize,
    /// List the rules instead.
    #[arg(long, conflicts_with_all = ["what", "measure"])]
    list: bool,
    #[command(flatten)]
    check: check::CheckArgs,
}

/// How long one rewrite is tried on tiny databases.
const REFUTING: Duration = Duration::from_secs(30);

/// How sure it is that a rewrite gives the same rows.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub(super) enum State {
    /// The catalogue proves every condition.
    Proved {
        /// With what.
        by: Vec<String>,
    },
    /// Nothing proves it, and no tiny database was found on which it gives other rows.
    Tested {
        /// What nothing proves.
        reasons: Vec<String>,
        /// On how many databases both texts gave the same.
        databases: u32,
    },
    /// A tiny database shows that it gives other rows.
    Refuted {
        /// What nothing proves.
        reasons: Vec<String>,
        /// The database.
        witness: Box<Witness>,
    },
    /// Something that nothing proves can make a difference, and it could not be tried.
    Refused {
        /// What.
        reasons: Vec<String>,
    },
}

/// A rewrite with everything that was found out about it.
#[derive(Serialize)]
pub(super) struct ShownRewrite {
    #[serde(flatten)]
    pub rewrite: WeighedRewrite,
    #[serde(flatten)]
    pub state: State,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub measured: Option<Measured>,
    /// Whether it is recommended: proved to give the same rows, and measured to take less. The planner's costs alone
    /// recommend nothing.
    pub recommended: bool,
}

/// A statement with its rewrites.
#[derive(Serialize)]
pub(super) struct ShownStatement {
    pub queryid: i64,
    pub query: String,
    pub calls: i64,
    pub mean_ms: f64,
    pub total_ms: f64,
    pub saved_ms: f64,
    pub rewrites: Vec<ShownRewrite>,
    pub pointers: Vec<advice::rewriting::Pointer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub passed_over: Option<String>,
}

#[derive(Serialize)]
struct Output<'a> {
    notes: &'a [String],
    statements: &'a [ShownStatement],
    total_ms: f64,
}

#[derive(Serialize)]
struct ListedRule {
    id: &'static str,
    title: &'static str,
    sound_if: &'static str,
}

/// Runs the command.
///
/// # Errors
/// Fails when the statement cannot be understood or planned, or the snapshot cannot be read.
pub async fn run(context: &Context, args: Args) -> CommandResult {
    if args.list {
        return list(context);
    }
    if !args.check.check.is_empty() {
        return check::run(context, &args.source, args.check).await;
    }
    let asked = args.what.as_deref().map(input).transpose()?;
    if let Some(Asked::Text(text)) = &asked {
        check_text(text)?;
    }
    let snapshot = context.snapshot_for(args.what_if, &args.source).await?;
    let rewriter = Rewriter::new(&snapshot);
    let statements = match &asked {
        Some(Asked::Text(text)) => {
            vec![typed_statement(&snapshot, text).map_err(|reason| not_planned(&reason))?]
        }
        Some(Asked::QueryId(queryid)) => vec![counted(&snapshot, *queryid)?],
        None => Workload::from_snapshot(&snapshot, &Default::default())
            .statements
            .into_iter()
            .filter(|s| s.source == advice::workload::Source::Statement)
            .collect(),
    };
    if statements.is_empty() {
        for note in &snapshot.notes {
            context.printer.status(&format!("note: {note}"));
        }
        return Err(advice::AdviceError::NoStatements.into());
    }
    let mut model = context.start_model(args.what_if, &snapshot).await?;
    let total_ms: f64 = snapshot.statements.iter().map(|s| s.total_exec_time.0).sum();
    let bar = context.printer.bar(statements.len() as u64, "rewriting and planning");
    let mut found = Vec::new();
    for statement in &statements {
        // Looking for indexes takes time; what hardly counts is not worth it.
        let counts = asked.is_some() || statement.total_ms >= 0.01 * total_ms;
        let depth = Depth {
            with_indexes: if counts { Depth::default().with_indexes } else { 0 },
            ..Depth::default()
        };
        let result = rewrite(&snapshot, &rewriter, &mut model, statement, depth)
            .await
            .map_err(advice::AdviceError::from)?;
        found.push(result);
        bar.inc(1);
    }
    bar.finish_and_clear();
    let mut shown: Vec<ShownStatement> = found.into_iter().map(|s| judged(s, args.all)).collect();
    try_to_refute(context, &snapshot, &mut shown).await?;
    if args.measure {
        measure::all(context, &context.target()?, &mut shown, args.timeout).await?;
    }
    shown.sort_by(|a, b| b.saved_ms.total_cmp(&a.saved_ms).then(b.total_ms.total_cmp(&a.total_ms)));
    if context.printer.json {
        context.printer.json("rewrite", &Output { notes: &snapshot.notes, statements: &shown, total_ms })?;
    } else {
        let width = context.printer.width;
        context.printer.out(&text::answer(&shown, asked.is_some(), args.limit, width))?;
        for note in &snapshot.notes {
            context.printer.status(&format!("note: {note}"));
        }
    }
    Ok(Exit::Done)
}

/// The statements that take a noticeable part of the time and have a text that is proved and cheaper, for the report.
/// Nothing is tried on tiny databases and nothing is run.
pub(super) async fn proved(
    context: &Context,
    snapshot: &Snapshot,
) -> Result<Vec<ShownStatement>, CommandError> {
    let rewriter = Rewriter::new(snapshot);
    let mut model = context.start_model(Engine::Twin, snapshot).await?;
    let total_ms: f64 = snapshot.statements.iter().map(|s| s.total_exec_time.0).sum();
    let mut shown = Vec::new();
    for statement in Workload::from_snapshot(snapshot, &Default::default()).statements {
        if statement.source != advice::workload::Source::Statement || statement.total_ms < 0.01 * total_ms {
            continue;
        }
        let depth = Depth { with_indexes: 0, ..Depth::default() };
        let found = rewrite(snapshot, &rewriter, &mut model, &statement, depth)
            .await
            .map_err(advice::AdviceError::from)?;
        let mut judged = judged(found, false);
        judged.rewrites.retain(|r| matches!(r.state, State::Proved { .. }));
        judged.rewrites.truncate(1);
        if !judged.rewrites.is_empty() {
            shown.push(judged);
        }
    }
    shown.sort_by(|a, b| b.saved_ms.total_cmp(&a.saved_ms));
    Ok(shown)
}

/// The proved texts of statements that are faster on a server, measured there; as they are, without further indexes.
pub(super) async fn measured(
    context: &Context,
    target: &Target,
    snapshot: &Snapshot,
    texts: &[&str],
    timeout: Duration,
) -> Result<Vec<ShownStatement>, CommandError> {
    let rewriter = Rewriter::new(snapshot);
    let mut model = context.start_model(Engine::Twin, snapshot).await?;
    let mut shown = Vec::new();
    for text in texts {
        let statement = typed_statement(snapshot, text).map_err(|reason| not_planned(&reason))?;
        let depth = Depth { with_indexes: 0, ..Depth::default() };
        let found = rewrite(snapshot, &rewriter, &mut model, &statement, depth)
            .await
            .map_err(advice::AdviceError::from)?;
        shown.push(judged(found, false));
    }
    measure::all(context, target, &mut shown, timeout).await?;
    for statement in &mut shown {
        statement.rewrites.retain(|r| r.recommended);
    }
    Ok(shown)
}

/// Tries what nothing proves on tiny databases.
async fn try_to_refute(
    context: &Context,
    snapshot: &Snapshot,
    shown: &mut [ShownStatement],
) -> Result<(), CommandError> {
    let open = shown.iter().any(|s| s.rewrites.iter().any(|r| matches!(r.state, State::Refused { .. })));
    let found = Binaries::discover(&context.search());
    let Ok(binaries) = Refuter::choose_binaries(snapshot, &found) else { return Ok(()) };
    // Without the schema there is nothing to make tables of.
    if !open || snapshot.schema_sql.is_empty() {
        return Ok(());
    }
    let spinner = context.printer.spinner("trying tiny databases");
    let options = RefuterOptions { databases: 200, time_limit: REFUTING, ..RefuterOptions::default() };
    let mut refuter = Refuter::start(snapshot, &binaries, options).await?;
    for statement in shown {
        for rewrite in &mut statement.rewrites {
            let State::Refused { reasons } = &rewrite.state else { continue };
            let reasons = reasons.clone();
            // Tiny databases know no policies, so they try nothing of what policies may hide.
            if !policies_of_one(snapshot, &statement.query, &rewrite.rewrite.sql).is_empty() {
                continue;
            }
            // A text with parameters that the statement does not have cannot be compared.
            let verdict = refuter.compare(&statement.query, &rewrite.rewrite.sql).await;
            rewrite.state = match verdict {
                Ok(Verdict::Refuted(witness)) => State::Refuted { reasons, witness },
                Ok(Verdict::Tested { databases, .. }) => State::Tested { reasons, databases },
                Ok(Verdict::NotComparable { .. }) | Err(_) => State::Refused { reasons },
            };
        }
    }
    spinner.finish_and_clear();
    Ok(())
}

/// The state of every rewrite, and which are worth showing.
fn judged(found: StatementRewrites, all: bool) -> ShownStatement {
    let saved_ms = found.saved_ms(|r| r.is_proved() && r.application.is_empty());
    let rewrites = found
        .rewrites
        .into_iter()
        .map(|rewrite| {
            let state = state(&rewrite);
            ShownRewrite { state, recommended: false, measured: None, rewrite }
        })
        .filter(|r| all || r.rewrite.worth != Worth::NotCheaper)
        .collect();
    ShownStatement {
        queryid: found.queryid,
        query: found.query,
        calls: found.calls,
        mean_ms: found.mean_ms,
        total_ms: found.total_ms,
        saved_ms,
        rewrites,
        pointers: found.pointers,
        passed_over: found.passed_over,
    }
}

fn state(rewrite: &WeighedRewrite) -> State {
    let mut by = Vec::new();
    let mut reasons = Vec::new();
    for condition in &rewrite.conditions {
        match &condition.standing {
            sql::Standing::Proved { by: proofs } => {
                by.extend(proofs.iter().filter(|p| !by.contains(*p)).cloned().collect::<Vec<_>>());
            }
            sql::Standing::Open { why } => reasons.push(why.clone()),
            sql::Standing::OfParameters | sql::Standing::Rounding => {}
        }
    }
    if reasons.is_empty() { State::Proved { by } } else { State::Refused { reasons } }
}

/// What was asked for.
enum Asked {
    Text(String),
    QueryId(i64),
}

fn input(what: &str) -> Result<Asked, CommandError> {
    let text = if what == "-" {
        use std::io::Read as _;
        let mut text = String::new();
        std::io::stdin()
            .read_to_string(&mut text)
            .map_err(|e| CommandError::new("could not read standard input").detail(format!("{e}.")))?;
        text
    } else if let Ok(queryid) = what.trim().parse::<i64>() {
        return Ok(Asked::QueryId(queryid));
    } else if Path::new(what).is_file() {
        read_text(Path::new(what))?
    } else {
        what.to_owned()
    };
    if text.trim().trim_end_matches(';').trim_end().is_empty() {
        return Err(CommandError::new("there is no statement to rewrite"));
    }
    Ok(Asked::Text(sql::single_statement(&text)?.to_owned()))
}

/// What is no query is refused before anything is read.
fn check_text(text: &str) -> Result<(), CommandError> {
    let parsed = sql::ParsedStatement::parse(text).map_err(|e| match e {
        // Somebody typed it: nothing was cut off.
        sql::SqlError::Truncated { message } => sql::SqlError::Invalid { message },
        other => other,
    })?;
    match parsed.kind() {
        sql::StatementKind::Utility => Err(CommandError::new("a utility statement cannot be rewritten")
            .hint("Queries can be rewritten, and the queries and conditions of statements that write.")),
        _ => Ok(()),
    }
}

fn not_planned(reason: &str) -> CommandError {
    CommandError::new("the statement cannot be planned").detail(format!("It was passed over: {reason}."))
}

/// A statement of the snapshot by its number.
fn counted(snapshot: &Snapshot, queryid: i64) -> Result<advice::workload::WorkloadStatement, CommandError> {
    let Some(found) = snapshot.statements.iter().find(|s| s.queryid == queryid) else {
        return Err(CommandError::new(format!("no statement has the queryid {queryid}"))
            .hint("\"pgwright profile\" lists the queryids. An entry may have been evicted or reset."));
    };
    typed_statement(snapshot, &found.query).map_err(|reason| not_planned(&reason))
}

fn list(context: &Context) -> CommandResult {
    let rules: Vec<ListedRule> = sql::REWRITES
        .iter()
        .map(|rule| ListedRule { id: rule.id, title: rule.title, sound_if: rule.sound_if })
        .collect();
    if context.printer.json {
        #[derive(Serialize)]
        struct Rules {
            rules: Vec<ListedRule>,
        }
        context.printer.json("rewrite-rules", &Rules { rules })?;
        return Ok(Exit::Done);
    }
    let rows: Vec<Vec<String>> =
        rules.iter().map(|r| vec![r.id.to_owned(), r.title.to_owned(), r.sound_if.to_owned()]).collect();
    context.printer.out(&context.printer.table(&["rule", "what becomes what", "sound if"], &rows))?;
    Ok(Exit::Done)
}
