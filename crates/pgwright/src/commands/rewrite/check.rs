//! `pgwright rewrite --check BEFORE.sql AFTER.sql`: is a rewrite that somebody wrote right? A tiny database on
//! which the answers differ says no; hundreds on which they do not say that nothing was found.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args as ClapArgs;
use cluster::Binaries;
use model::Snapshot;
use model::snapshot::Setting;
use postgres::{BagChecksum, ChecksumOptions, Target};
use refuter::{Answer, Options, Refuter, Side, Verdict, Witness, ddl_snapshot, policies_of_one};
use serde::Serialize;
use sql::{Place, Proof, Rewriter};

use crate::commands::context::SnapshotSource;
use crate::commands::explain::safety;
use crate::commands::{Context, duration, read_text};
use crate::error::{CommandError, CommandResult, Exit};
use crate::printer::{count, plain};

/// Arguments of the comparison.
#[derive(ClapArgs, Debug)]
pub struct CheckArgs {
    /// Compare the statements in these two files: 0 proved to be equivalent, 1 refuted, 4 tested only.
    #[arg(long, num_args = 2, value_names = ["BEFORE.sql", "AFTER.sql"], conflicts_with_all = ["what", "measure", "all", "list"])]
    pub check: Vec<PathBuf>,
    /// Take the schema from this file with CREATE statements instead of a server.
    #[arg(long, value_name = "FILE.sql", conflicts_with = "snapshot", requires = "check")]
    schema: Option<PathBuf>,
    /// How many tiny databases are tried.
    #[arg(long, value_name = "NUMBER", default_value_t = 1000, requires = "check")]
    databases: u32,
    /// Which tiny databases these are; the same number makes the same ones.
    #[arg(long, value_name = "NUMBER", default_value_t = 1, requires = "check")]
    seed: u64,
    /// A setting that the application always has, for instance TimeZone=Europe/Berlin; of those that matter the
    /// others are varied.
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = setting, requires = "check")]
    settings: Vec<(String, String)>,
    /// Run both statements on the server as well, in one transaction that only reads, and compare checksums of
    /// their answers.
    #[arg(long, conflicts_with_all = ["snapshot", "schema"], requires = "check")]
    verify_on_data: bool,
    /// How long each statement may take on the server.
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration, requires = "verify_on_data")]
    verify_timeout: Duration,
    /// A value for a parameter of the statements when they run on the server, for instance 1=42; repeatable.
    #[arg(long = "param", value_name = "NUMBER=VALUE", value_parser = parameter, requires = "verify_on_data")]
    parameters: Vec<(u32, String)>,
}

fn parameter(text: &str) -> Result<(u32, String), String> {
    let read = |(number, value): (&str, &str)| {
        let number = number.trim().trim_start_matches('$').parse().ok()?;
        Some((number, value.to_owned()))
    };
    text.split_once('=').and_then(read).ok_or_else(|| format!("\"{text}\" is not NUMBER=VALUE"))
}

fn setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => {
            Ok((name.trim().to_owned(), value.trim().to_owned()))
        }
        _ => Err(format!("\"{text}\" is not NAME=VALUE")),
    }
}

/// A statement and the file it stands in.
struct Given {
    file: String,
    text: String,
    /// The statement alone, without semicolon and what surrounds it.
    statement: String,
}

#[derive(Serialize)]
struct Output<'a> {
    before: &'a str,
    after: &'a str,
    #[serde(flatten)]
    verdict: &'a Verdict,
    #[serde(skip_serializing_if = "Option::is_none")]
    on_data: Option<OnData>,
    notes: &'a [String],
}

/// What the statements answered on the server.
#[derive(Serialize)]
struct OnData {
    same: bool,
    before: BagChecksum,
    after: BagChecksum,
}

/// Runs the comparison.
///
/// # Errors
/// Fails when a file does not hold one statement, PostgreSQL refuses it on the schema, or the question has no
/// answer.
pub async fn run(context: &Context, source: &SnapshotSource, args: CheckArgs) -> CommandResult {
    let [before, after] = args.check.as_slice() else {
        return Err(CommandError::new("--check takes two files"));
    };
    let (before, after) = (given(before)?, given(after)?);
    let (snapshot, binaries) = schema(context, source, &args).await?;
    let options = Options {
        databases: args.databases,
        seed: args.seed,
        pinned: args.settings.iter().cloned().collect(),
        time_limit: Duration::from_secs(60),
        ..Options::default()
    };
    // A server's or a file's snapshot says all that a proof needs; of a schema in a file a server has to tell.
    if args.schema.is_none()
        && let Some(proof) = proof(&snapshot, &before, &after, &args.settings)
    {
        return proved(context, &before, &after, &proof);
    }
    let spinner = context.printer.spinner("trying tiny databases");
    let mut guarded = policies_of_one(&snapshot, &before.statement, &after.statement);
    let compared = async {
        let mut refuter = Refuter::start(&snapshot, &binaries, options).await?;
        if args.schema.is_some()
            && let Some(read) = read_back(context, &refuter, &snapshot).await
        {
            guarded = policies_of_one(&read, &before.statement, &after.statement);
            if let Some(proof) = proof(&read, &before, &after, &args.settings) {
                return Ok((Err(proof), refuter.notes().to_vec()));
            }
        }
        let verdict = refuter.compare(&before.statement, &after.statement).await;
        Ok::<_, refuter::Error>((Ok(verdict), refuter.notes().to_vec()))
    }
    .await;
    spinner.finish_and_clear();
    let (verdict, mut notes) = compared?;
    if !guarded.is_empty() {
        let guarded: Vec<String> = guarded.iter().map(ToString::to_string).collect();
        notes.push(format!(
            "Row security policies were not tried: they may hide rows of {} from one of the statements only.",
            guarded.join(", ")
        ));
    }
    for note in &notes {
        context.printer.status(&format!("note: {note}"));
    }
    let verdict = match verdict {
        Ok(verdict) => verdict,
        Err(proof) => return proved(context, &before, &after, &proof),
    };
    let verdict = verdict.map_err(|error| refused(error, &before, &after))?;
    if let Verdict::NotComparable { reason } = &verdict {
        return Err(CommandError::new("the statements cannot be compared").detail(reason.clone()));
    }
    let on_data = match (args.verify_on_data, &verdict) {
        (true, Verdict::Tested { .. }) => Some(verify(context, &before, &after, &args).await?),
        _ => None,
    };
    if context.printer.json {
        let output = Output {
            before: &before.statement,
            after: &after.statement,
            verdict: &verdict,
            on_data,
            notes: &notes,
        };
        context.printer.json("rewrite-check", &output)?;
        return Ok(exit(&verdict, output.on_data.as_ref()));
    }
    let text = match &verdict {
        Verdict::Refuted(witness) => refutation(witness, &before.file, &after.file),
        Verdict::Tested { databases, with_rows, seed } => format!(
            "tested: on {} the answers are the same, on {with_rows} of them with rows (seed {seed})\n\
             No difference was found, which is no proof.\n",
            count(*databases as usize, "tiny database")
        ),
        Verdict::NotComparable { reason } => format!("{}\n", plain(reason)),
    };
    context.printer.out(&text)?;
    if let Some(on_data) = &on_data {
        context.printer.out(&data_text(on_data))?;
    }
    Ok(exit(&verdict, on_data.as_ref()))
}

/// What a proof says as data.
#[derive(Serialize)]
struct ProvedOutput<'a> {
    before: &'a str,
    after: &'a str,
    verdict: &'static str,
    proof: &'a Proof,
}

/// Looks for a proof; what cannot be read is not proved.
fn proof(snapshot: &Snapshot, before: &Given, after: &Given, settings: &[(String, String)]) -> Option<Proof> {
    let mut pinned = snapshot.clone();
    for (name, value) in settings {
        let known = pinned.settings.keys().find(|known| known.eq_ignore_ascii_case(name)).cloned();
        let setting = Setting {
            setting: value.clone(),
            unit: None,
            vartype: "string".into(),
            source: "session".into(),
            context: "user".into(),
            category: String::new(),
        };
        pinned.settings.insert(known.unwrap_or_else(|| name.clone()), setting);
    }
    Rewriter::new(&pinned).prove(&before.statement, &after.statement).ok().flatten()
}

/// What the refuter's server made of a schema in a file; without it there is no proof.
async fn read_back(context: &Context, refuter: &Refuter, ddl: &Snapshot) -> Option<Snapshot> {
    let target = Target::parse(Some(&refuter.url()), &postgres::Environment::default()).ok()?;
    let session = target.connect(&context.reading()).await.ok()?;
    let read = postgres::snapshot::read_without_schema(&session, context.settings.lock_timeout).await.ok()?;
    let mut read = Snapshot { schema_sql: sql::dumped_definitions(&ddl.schema_sql), ..read };
    // That of a server made for this says nothing of the application's.
    read.settings.remove("TimeZone");
    Some(read)
}

/// Says that a pair is proved, and by what.
fn proved(context: &Context, before: &Given, after: &Given, proof: &Proof) -> CommandResult {
    if context.printer.json {
        let output =
            ProvedOutput { before: &before.statement, after: &after.statement, verdict: "proved", proof };
        context.printer.json("rewrite-check", &output)?;
        return Ok(Exit::Done);
    }
    let mut text = "proved: the statements are equivalent on every database of this schema\n".to_owned();
    if !proof.by.is_empty() {
        text.push_str(&format!("It rests on {}.\n", plain(&proof.by.join(", "))));
    }
    context.printer.out(&text)?;
    Ok(Exit::Done)
}

fn exit(verdict: &Verdict, on_data: Option<&OnData>) -> Exit {
    match verdict {
        Verdict::Refuted(_) => Exit::Findings,
        _ if on_data.is_some_and(|d| !d.same) => Exit::Findings,
        _ => Exit::Tested,
    }
}

/// Reads a file with one statement.
fn given(path: &Path) -> Result<Given, CommandError> {
    let text = read_text(path)?;
    let file = path.display().to_string();
    let statement = sql::single_statement(&text).map_err(|error| {
        let mut error = CommandError::from(error);
        error.message = format!("{file}: {}", error.message);
        error
    })?;
    Ok(Given { file, statement: statement.to_owned(), text })
}

/// The schema that was asked for, and the server programs for it.
async fn schema(
    context: &Context,
    source: &SnapshotSource,
    args: &CheckArgs,
) -> Result<(Snapshot, Binaries), CommandError> {
    let Some(path) = &args.schema else {
        let snapshot = context.snapshot(source).await?;
        let binaries = Refuter::choose_binaries(&snapshot, &Binaries::discover(&context.search()))?;
        return Ok((snapshot, binaries));
    };
    let ddl = read_text(path)?;
    let binaries = Binaries::newest(&context.search())?;
    Ok((ddl_snapshot(&ddl, &binaries), binaries))
}

/// An error of a statement, with its file and the place underlined.
fn refused(error: refuter::Error, before: &Given, after: &Given) -> CommandError {
    let (side, position) = match &error {
        refuter::Error::Statement { side, position, .. } => (*side, *position),
        refuter::Error::Text { side, .. } => (*side, None),
        _ => return error.into(),
    };
    let given = match side {
        Side::Before => before,
        Side::After => after,
    };
    let message = match &error {
        refuter::Error::Statement { message, .. } => message.clone(),
        other => other.to_string(),
    };
    let mut told = CommandError::from(error);
    told.message = format!("{}: {message}", given.file);
    if let Some(position) = position {
        // The server saw the statement alone; the file may begin with something else.
        let ahead = given.text.find(&given.statement).map_or(0, |at| given.text[..at].chars().count());
        let place = Place::at_position(&given.text, position + ahead);
        told.message = format!("{} in line {}", told.message, place.line);
        told.detail = Some(place.underlined());
    }
    told
}

/// Compares the answers on the server's own data.
async fn verify(
    context: &Context,
    before: &Given,
    after: &Given,
    args: &CheckArgs,
) -> Result<OnData, CommandError> {
    let target = context.target()?;
    let session = target.connect(&context.planning()).await?;
    let values: BTreeMap<u32, sql::Value> =
        args.parameters.iter().map(|(number, text)| (*number, sql::Value::Untyped(text.clone()))).collect();
    let mut texts = Vec::new();
    for given in [before, after] {
        if let Some(reason) = safety::objection(&session, &given.statement).await? {
            return Err(CommandError::new(format!(
                "{}: the statement must not be run on the server",
                given.file
            ))
            .detail(format!("The reason: {reason}."))
            .refused());
        }
        let parsed = sql::ParsedStatement::parse(&given.statement)?;
        if let Some(missing) = parsed.parameters().into_iter().find(|n| !values.contains_key(n)) {
            return Err(CommandError::new(format!("{}: parameter ${missing} has no value", given.file))
                .hint(format!("Give it one: --param {missing}=VALUE."))
                .refused());
        }
        texts.push(parsed.bind(&values, None));
    }
    let options = ChecksumOptions {
        statement_timeout: args.verify_timeout,
        lock_timeout: context.settings.lock_timeout,
    };
    let spinner = context.printer.spinner("running both statements on the server");
    let checksums = postgres::bag_checksums(&session, &texts[0], &texts[1], &options).await;
    spinner.finish_and_clear();
    let (before, after) = checksums?;
    Ok(OnData { same: before == after, before, after })
}

fn data_text(on_data: &OnData) -> String {
    let rows = |checksum: &BagChecksum| count(usize::try_from(checksum.rows).unwrap_or(0), "row");
    if on_data.same {
        return format!("on the server's own data: the same {}\n", rows(&on_data.before));
    }
    format!(
        "on the server's own data: different answers, {} before and {} after\n",
        rows(&on_data.before),
        rows(&on_data.after)
    )
}

/// The witness as statements that can be run, with both answers.
fn refutation(witness: &Witness, before: &str, after: &str) -> String {
    let mut out = format!("refuted: the statements are not equivalent\n{}\n", plain(&witness.explanation));
    if witness.databases == 0 {
        return out;
    }
    out.push_str(&format!(
        "\nThis database shows it ({} tried, seed {}):\n\n",
        count(witness.databases as usize, "database"),
        witness.seed
    ));
    for (name, value) in &witness.settings {
        out.push_str(&format!("    SET {} = {};\n", plain(name), plain(&model::quote_literal(value))));
    }
    for insert in &witness.inserts {
        out.push_str(&format!("    {}\n", plain(insert)));
    }
    if witness.inserts.is_empty() {
        out.push_str("    -- all tables are empty\n");
    }
    for (number, value) in &witness.parameters {
        out.push_str(&format!("    -- ${number} is {}\n", plain(value)));
    }
    out.push_str(&answer(before, &witness.before));
    out.push_str(&answer(after, &witness.after));
    out
}

fn answer(file: &str, answer: &Answer) -> String {
    let mut out = format!("\n{}: ", plain(file));
    if let Some(error) = &answer.error {
        out.push_str(&format!("fails, {}\n", plain(error)));
        return out;
    }
    out.push_str(&format!("{}\n", count(answer.rows.len(), "row")));
    if answer.rows.is_empty() {
        return out;
    }
    let cell = |value: &Option<String>| match value {
        Some(text) if text.is_empty() || text.trim() != text => format!("'{}'", plain(text)),
        Some(text) => plain(text).replace('\n', "\\n"),
        None => "NULL".into(),
    };
    let mut lines: Vec<Vec<String>> = vec![answer.columns.iter().map(|name| plain(name)).collect()];
    lines.extend(answer.rows.iter().map(|row| row.iter().map(cell).collect()));
    let widths: Vec<usize> = (0..answer.columns.len())
        .map(|column| {
            lines.iter().filter_map(|l| l.get(column)).map(|c| c.chars().count()).max().unwrap_or(0)
        })
        .collect();
    for line in lines {
        let cells = line
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell}{}", " ".repeat(width.saturating_sub(cell.chars().count()))));
        let text = cells.collect::<Vec<_>>().join("  ");
        out.push_str(&format!("    {}\n", text.trim_end()));
    }
    out
}
