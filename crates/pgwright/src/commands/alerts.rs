//! `pgwright alerts`: which conditions does `pgwright serve` judge, how do they stand, what is silenced, who is told?
//!
//! `crates/alerting/README.md` tells how it is laid out.

use std::path::PathBuf;
use std::time::Duration;

use alerting::client::{Credentials, Server};
use alerting::rules::{Definition, rules};
use alerting::{NewSilence, Phase, Silence, Standing, StandingAlert};
use chrono::{SecondsFormat, Utc};
use clap::{Args as ClapArgs, Subcommand, ValueEnum};
use monitoring::alerts::Severity;

use super::Context;
use crate::error::{CommandError, CommandResult, Exit};

/// Arguments.
#[derive(ClapArgs, Debug)]
#[command(
    args_conflicts_with_subcommands = true,
    before_help = "Examples:\n  pgwright alerts\n  pgwright alerts --state http://127.0.0.1:9187\n  pgwright alerts silence 'alertname=\"PostgresLongTransaction\"' --for 2h --comment \"month's end\""
)]
pub struct Args {
    /// Ask a running "pgwright serve" how its alerts stand; http://127.0.0.1:9187 by default.
    #[arg(long, value_name = "URL", num_args = 0..=1, default_missing_value = SERVER)]
    state: Option<String>,
    #[command(flatten)]
    who: Who,
    /// With --state: exit with 1 when an alert of this severity or a worse one fires and is not silenced.
    #[arg(long, value_name = "SEVERITY", requires = "state")]
    fail_on: Option<Level>,
    #[command(subcommand)]
    command: Option<AlertsCommand>,
}

const SERVER: &str = "http://127.0.0.1:9187";

#[derive(Subcommand, Debug)]
enum AlertsCommand {
    /// Keep alerts quiet on a running "pgwright serve" for a while.
    Silence(SilenceArgs),
    /// End a silence.
    Unsilence(UnsilenceArgs),
    /// Send every receiver of pgwright.toml a message, to see whether it arrives.
    Test,
}

#[derive(ClapArgs, Debug)]
struct At {
    /// The running "pgwright serve".
    #[arg(long, value_name = "URL", default_value = SERVER)]
    at: String,
    #[command(flatten)]
    who: Who,
}

#[derive(ClapArgs, Debug)]
struct Who {
    /// A file with the token that it asks for.
    #[arg(long, value_name = "FILE", conflicts_with = "user")]
    token_file: Option<PathBuf>,
    /// The user, where it asks for one. Only an operator may silence.
    #[arg(long, value_name = "NAME", requires = "password_file")]
    user: Option<String>,
    /// A file with the password of that user.
    #[arg(long, value_name = "FILE", requires = "user")]
    password_file: Option<PathBuf>,
}

impl Who {
    fn credentials(&self) -> Credentials<'_> {
        match (&self.token_file, &self.user, &self.password_file) {
            (Some(file), _, _) => Credentials::Token(file),
            (None, Some(user), Some(file)) => Credentials::User(user, file),
            _ => Credentials::None,
        }
    }
}

#[derive(ClapArgs, Debug)]
struct SilenceArgs {
    /// Which alerts, by their labels, as in PromQL: alertname="PostgresDown", datname=~"shop.*".
    #[arg(value_name = "MATCHERS")]
    matchers: String,
    /// For how long, as 30m, 2h or 7d.
    #[arg(long = "for", value_name = "DURATION", value_parser = alerting::settings::parse_duration)]
    hold: Duration,
    /// Why.
    #[arg(long, value_name = "TEXT")]
    comment: String,
    #[command(flatten)]
    at: At,
}

#[derive(ClapArgs, Debug)]
struct UnsilenceArgs {
    /// The silence, as "pgwright alerts --state" shows it.
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    at: At,
}

#[derive(ValueEnum, Clone, Copy, Debug)]
enum Level {
    Info,
    Warning,
    Critical,
}

impl Level {
    fn severity(self) -> Severity {
        match self {
            Self::Info => Severity::Info,
            Self::Warning => Severity::Warning,
            Self::Critical => Severity::Critical,
        }
    }
}

/// Runs the command.
///
/// # Errors
/// Fails when a condition of pgwright.toml cannot be used, or a server cannot be asked.
pub async fn run(context: &Context, args: Args) -> CommandResult {
    match args.command {
        None => match &args.state {
            None => list(context),
            Some(url) => {
                let standing = Server::new(url, args.who.credentials())?.standing().await?;
                show(context, &standing, args.fail_on)
            }
        },
        Some(AlertsCommand::Silence(args)) => {
            let until = Utc::now() + args.hold;
            let new = NewSilence {
                matchers: args.matchers,
                until: Some(until.to_rfc3339_opts(SecondsFormat::Secs, true)),
                comment: args.comment,
            };
            let silence = server(&args.at)?.silence(&new).await?;
            told(context, "silenced", &silence)
        }
        Some(AlertsCommand::Unsilence(args)) => {
            let silence = server(&args.at)?.unsilence(&args.id).await?;
            told(context, "no longer silenced", &silence)
        }
        Some(AlertsCommand::Test) => test(context).await,
    }
}

fn server(at: &At) -> Result<Server, CommandError> {
    Ok(Server::new(&at.at, at.who.credentials())?)
}

fn list(context: &Context) -> CommandResult {
    // What queries of the user's own will give is not known here; "serve" looks at it.
    let made = rules(&context.settings.alerts, |_| true)?;
    let definitions: Vec<&Definition> = made.iter().map(|r| &r.definition).collect();
    if context.printer.json {
        context.printer.json("alert_conditions", &definitions)?;
        return Ok(Exit::Done);
    }
    let rows: Vec<Vec<String>> = definitions
        .iter()
        .map(|d| {
            vec![d.name.clone(), d.severity.as_str().into(), seconds(d.hold_seconds), d.expression.clone()]
        })
        .collect();
    context.printer.out(&context.printer.table(&["alert", "severity", ">for", "condition"], &rows))?;
    context.printer.status("\"pgwright monitoring alerts\" tells what each means and what to do");
    Ok(Exit::Done)
}

fn seconds(seconds: f64) -> String {
    match seconds {
        0.0 => "-".into(),
        s if s % 3600.0 == 0.0 => format!("{}h", s / 3600.0),
        s if s % 60.0 == 0.0 => format!("{}m", s / 60.0),
        s => format!("{s}s"),
    }
}

fn show(context: &Context, standing: &Standing, fail_on: Option<Level>) -> CommandResult {
    let bad = |alert: &StandingAlert, level: Level| {
        let quiet = alert.silenced_by.is_some() || alert.inhibited_by.is_some();
        alert.state == Phase::Firing && !quiet && alert.severity >= level.severity()
    };
    let failed = fail_on.is_some_and(|level| standing.alerts.iter().any(|a| bad(a, level)));
    let exit = if failed { Exit::Findings } else { Exit::Done };
    if context.printer.json {
        context.printer.json("alert_state", standing)?;
        return Ok(exit);
    }
    let mut text = String::new();
    let evaluated = standing.evaluated.as_deref().unwrap_or("not yet");
    text.push_str(&format!("{} conditions, last evaluated {evaluated}\n", standing.conditions));
    if standing.alerts.is_empty() {
        text.push_str("\nnothing is pending or firing\n");
    }
    for alert in &standing.alerts {
        let quiet = match (&alert.silenced_by, &alert.inhibited_by) {
            (Some(id), _) => format!(", silenced by {id}"),
            (None, Some(other)) => format!(", kept quiet by {other}"),
            (None, None) => String::new(),
        };
        let kept = if alert.kept { ", as it was before the server went away" } else { "" };
        text.push_str(&format!(
            "\n{} {} ({}), since {}{quiet}{kept}\n  {}\n",
            alert.state.as_str(),
            alert.alert,
            alert.severity.as_str(),
            alert.since,
            alert.summary
        ));
        if alert.state != Phase::Resolved {
            text.push_str(&format!("  why   {}\n  do    {}\n", alert.meaning, alert.action));
            let finding = alert.lint_check.as_ref().map(|c| format!("pgwright lint, check {c}"));
            for (what, told) in [("find ", finding), ("page ", alert.runbook_url.clone())] {
                if let Some(told) = told {
                    text.push_str(&format!("  {what} {told}\n"));
                }
            }
        }
    }
    if !standing.silences.is_empty() {
        let rows: Vec<Vec<String>> = standing
            .silences
            .iter()
            .map(|s| {
                let until = s.until.clone().unwrap_or_else(|| "for ever".into());
                vec![s.id.clone(), s.matchers.clone(), until, s.comment.clone()]
            })
            .collect();
        text.push_str(&format!("\n{}", context.printer.table(&["silence", "alerts", "until", "why"], &rows)));
    }
    if !standing.receivers.is_empty() {
        let rows: Vec<Vec<String>> = standing
            .receivers
            .iter()
            .map(|r| {
                let last = r.last_sent.clone().unwrap_or_else(|| "-".into());
                let failure = r.failure.clone().unwrap_or_default();
                vec![r.name.clone(), r.kind.clone(), r.sent.to_string(), r.failed.to_string(), last, failure]
            })
            .collect();
        let headers = ["receiver", "kind", ">sent", ">failed", "last", "failure"];
        text.push_str(&format!("\n{}", context.printer.table(&headers, &rows)));
    }
    context.printer.out(&crate::printer::plain(&text))?;
    for note in &standing.notes {
        context.printer.status(&format!("note: {note}"));
    }
    Ok(exit)
}

fn told(context: &Context, what: &str, silence: &Silence) -> CommandResult {
    if context.printer.json {
        context.printer.json("silence", silence)?;
        return Ok(Exit::Done);
    }
    let until = silence.until.as_deref().unwrap_or("further notice");
    let line = format!("{}: {what} {{{}}} until {until}\n", silence.id, silence.matchers);
    context.printer.out(&crate::printer::plain(&line))?;
    Ok(Exit::Done)
}

async fn test(context: &Context) -> CommandResult {
    let outcomes = alerting::test_receivers(&context.settings.alerts).await?;
    if outcomes.is_empty() {
        return Err(CommandError::new("there is no receiver")
            .hint("Add [[alerts.notify]] to pgwright.toml; see docs/reference/configuration.md."));
    }
    let failed = outcomes.iter().any(|o| o.failure.is_some());
    let exit = if failed { Exit::Findings } else { Exit::Done };
    if context.printer.json {
        context.printer.json("alert_test", &outcomes)?;
        return Ok(exit);
    }
    let rows: Vec<Vec<String>> = outcomes
        .iter()
        .map(|o| {
            let outcome = o.failure.as_ref().map_or_else(|| "arrived".into(), |f| format!("failed: {f}"));
            vec![o.name.clone(), o.kind.clone(), outcome]
        })
        .collect();
    context.printer.out(&context.printer.table(&["receiver", "kind", "message"], &rows))?;
    Ok(exit)
}
