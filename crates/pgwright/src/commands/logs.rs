//! `pgwright logs analyze FILE…`: what do the server's logs say?

mod document;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args as ClapArgs, Subcommand};
use logs::{Filter, Input, LogError, Options, Prefix, Sampled, analyze};

use super::{Context, duration, write_text};
use crate::error::{CommandError, CommandResult, Exit};
use crate::report::{Format, render, render_text};

/// Threads that are used unless more are asked for: no disk is faster than eight, and each takes memory.
const MAX_USUAL_JOBS: usize = 8;

/// Arguments.
#[derive(ClapArgs, Debug)]
pub struct Args {
    #[command(subcommand)]
    command: LogsCommand,
}

#[derive(Subcommand, Debug)]
enum LogsCommand {
    /// Which statements took how long, what failed, and what did the server report about itself?
    Analyze(AnalyzeArgs),
}

/// Arguments of `logs analyze`.
#[derive(ClapArgs, Debug)]
#[command(
    before_help = "Examples:\n  pgwright logs analyze /var/log/postgresql/postgresql-17-main.log\n  pgwright logs analyze /var/log/postgresql/*.gz --from \"2026-03-01 08:00\" --to \"2026-03-01 12:00\" --out morning.html\n  pgwright logs analyze postgresql.log --sampled-below 10ms --sample-rate 0.01\n  ssh db cat /var/lib/postgresql/data/log/postgresql.csv | pgwright logs analyze -"
)]
struct AnalyzeArgs {
    /// Logs (stderr, csvlog or jsonlog; plain, gzip or zstd), older ones first, or - for standard input.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The server's setting log_line_prefix; found out when not given.
    #[arg(long, value_name = "SETTING")]
    log_line_prefix: Option<String>,
    /// Only entries since this time, on the log's own clock: "2026-03-01 08:00".
    #[arg(long, value_name = "TIME", value_parser = time)]
    from: Option<i64>,
    /// Only entries before this time.
    #[arg(long, value_name = "TIME", value_parser = time)]
    to: Option<i64>,
    /// Only entries of this database. Can be given several times.
    #[arg(long, value_name = "NAME")]
    database: Vec<String>,
    /// Only entries of this role. Can be given several times.
    #[arg(long, value_name = "NAME")]
    user: Vec<String>,
    /// Only entries with this application_name. Can be given several times.
    #[arg(long, value_name = "NAME")]
    application: Vec<String>,
    /// Statements shorter than this were sampled (log_min_duration_statement, with log_min_duration_sample below it).
    #[arg(long, value_name = "DURATION", value_parser = duration, requires = "sample_rate")]
    sampled_below: Option<Duration>,
    /// Which part of them was logged (log_statement_sample_rate): each stands for 1/RATE.
    #[arg(long, value_name = "RATE", value_parser = rate, requires = "sampled_below")]
    sample_rate: Option<f64>,
    /// How many statements, executions and tables are shown.
    #[arg(long, short = 'n', value_name = "N", default_value_t = 20)]
    limit: usize,
    /// How many threads count; one per processor, but no more than 8, by default.
    #[arg(long, short = 'j', value_name = "N")]
    jobs: Option<usize>,
    /// Write a page or data instead of text; the ending decides: .html, .md or .json.
    #[arg(long, short = 'o', value_name = "FILE")]
    out: Option<PathBuf>,
    /// The format, where the ending does not say it.
    #[arg(long, value_enum)]
    format: Option<Format>,
}

/// How many threads count when nobody says.
pub(super) fn usual_jobs() -> usize {
    processors().min(MAX_USUAL_JOBS)
}

/// Reads logs of so many bytes and shows how far it has come.
///
/// # Errors
/// Fails when a log cannot be read or is none.
pub(super) fn read(
    context: &Context,
    inputs: Vec<Input>,
    bytes: u64,
    options: &Options,
) -> Result<logs::Report, LogError> {
    // Compressed logs hold more than their size says; the bar then waits at its end.
    let bar = context.printer.bar(bytes, "reading logs");
    let found = analyze(inputs, options, &mut |counted| bar.inc(counted));
    bar.finish_and_clear();
    found
}

/// Runs the command.
///
/// # Errors
/// Fails when a log cannot be read or is none.
pub fn run(context: &Context, args: Args) -> CommandResult {
    let LogsCommand::Analyze(args) = args.command;
    let prefix = args.log_line_prefix.as_deref().map(Prefix::read).transpose()?;
    if let (Some(from), Some(to)) = (args.from, args.to)
        && from >= to
    {
        return Err(CommandError::new("--from is not before --to").detail(format!(
            "They are {} and {}.",
            logs::clock(from),
            logs::clock(to)
        )));
    }
    let options = Options {
        prefix,
        filter: Filter {
            from_ms: args.from,
            to_ms: args.to,
            databases: args.database,
            users: args.user,
            applications: args.application,
        },
        sampled: args
            .sampled_below
            .zip(args.sample_rate)
            .map(|(below, rate)| Sampled { below_ms: below.as_secs_f64() * 1000.0, rate }),
        jobs: args.jobs.unwrap_or_else(usual_jobs).clamp(1, 256),
        top: args.limit,
        examples: false,
        durations: false,
    };
    let mut bytes = 0;
    let mut inputs = Vec::new();
    for path in args.files {
        if path == Path::new("-") {
            inputs.push(Input::Stream(Box::new(std::io::stdin()), "standard input".into()));
            continue;
        }
        bytes += std::fs::metadata(&path).map_or(0, |m| m.len());
        inputs.push(Input::File(path));
    }
    let found = read(context, inputs, bytes, &options)?;
    let format = args
        .format
        .or_else(|| context.printer.json.then_some(Format::Json))
        .or_else(|| args.out.as_deref().and_then(Format::of_path));
    let report = document::of(&found, &context.settings.checks, chrono::Utc::now(), format.is_some())?;
    let text = match format {
        Some(format) => render(&report, format)?,
        None => render_text(&report, &context.printer),
    };
    match &args.out {
        Some(path) => {
            write_text(path, &text)?;
            context.printer.status(&format!("wrote {}", path.display()));
        }
        None => context.printer.out(&text)?,
    }
    Ok(Exit::Done)
}

impl From<LogError> for CommandError {
    fn from(error: LogError) -> Self {
        let message = error.to_string();
        match error {
            LogError::Read { path, source } => {
                CommandError::new(format!("could not read \"{}\"", path.display())).detail(format!("{source}."))
            }
            LogError::NoEntry { .. } => CommandError::new(message).hint(
                "Logs of the destinations stderr, csvlog and jsonlog are understood, in English (lc_messages); logs of a \
                 connection pooler or of syslog are not.",
            ),
            LogError::OtherLanguage { .. } => CommandError::new(message)
                .detail("The server translates them as lc_messages says, and only English ones are understood.")
                .hint("Set lc_messages = 'C' on the server, which new log entries then are in; nothing else changes."),
            LogError::Prefix { escape, .. } => {
                CommandError::new("could not understand --log-line-prefix")
                    .detail(format!("\"{escape}\" is no escape of log_line_prefix."))
                    .hint("SHOW log_line_prefix prints the server's setting; a percent sign is written as %%.")
            }
        }
    }
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Reads `2026-03-01`, `2026-03-01 08:00` or with seconds: milliseconds since 1970 on the log's clock.
fn time(text: &str) -> Result<i64, String> {
    let text = text.trim();
    let whole = match text.len() {
        10 => format!("{text} 00:00:00"),
        16 => format!("{text}:00"),
        _ => text.to_owned(),
    };
    chrono::NaiveDateTime::parse_from_str(&whole.replace('T', " "), "%Y-%m-%d %H:%M:%S%.f")
        .map(|t| t.and_utc().timestamp_millis())
        .map_err(|_| format!("\"{text}\" is not a time such as \"2026-03-01 08:00\""))
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate <= 1.0 => Ok(rate),
        _ => Err(format!("\"{text}\" is not a rate of more than 0 and at most 1")),
    }
}

#[cfg(test)]
mod tests {
    use super::{rate, time};

    #[test]
    fn times_may_leave_their_end_out() {
        assert_eq!(time("1970-01-02"), Ok(86_400_000));
        assert_eq!(time("1970-01-01 00:01"), Ok(60_000));
        assert_eq!(time("1970-01-01T00:00:01.5"), Ok(1_500));
        assert!(time("yesterday").is_err());
        assert!(rate("0").is_err() && rate("1.5").is_err() && rate("NaN").is_err() && rate("0.01").is_ok());
    }
}
