//! `pgwright monitoring`: alerts and dashboards over what `pgwright serve` tells, as files for Prometheus and Grafana.

use std::path::{Path, PathBuf};

use clap::{Args as ClapArgs, Subcommand};
use monitoring::alerts::alerts;
use monitoring::files::{Stack, files};
use monitoring::rules;

use super::Context;
use crate::error::{CommandError, CommandResult, Exit};

/// Arguments.
#[derive(ClapArgs, Debug)]
#[command(
    before_help = "Examples:\n  pgwright monitoring alerts\n  pgwright monitoring rules > pgwright.yml\n  pgwright monitoring write monitoring --scrape db1:9187"
)]
pub struct Args {
    #[command(subcommand)]
    command: MonitoringCommand,
}

#[derive(Subcommand, Debug)]
enum MonitoringCommand {
    /// List the alerts: when each fires, what that means and what to do.
    Alerts,
    /// Print the alerts as a rule file of Prometheus.
    Rules(RulesArgs),
    /// Write a folder with which Prometheus and Grafana start: configuration, rules, dashboards.
    Write(WriteArgs),
}

#[derive(ClapArgs, Debug)]
struct RulesArgs {
    /// The page that alerts link to, each at #name.
    #[arg(long, value_name = "URL")]
    runbooks: Option<String>,
    /// Where people reach "pgwright serve": alerts link to its pages.
    #[arg(long, value_name = "URL")]
    external_url: Option<String>,
}

#[derive(ClapArgs, Debug)]
struct WriteArgs {
    /// The folder.
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
    /// Where "pgwright serve" listens, as Prometheus reaches it. Can be repeated.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:9187")]
    scrape: Vec<String>,
    /// Where Prometheus listens, as Grafana reaches it.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9090")]
    prometheus: String,
    /// The page that alerts link to, each at #name.
    #[arg(long, value_name = "URL")]
    runbooks: Option<String>,
    /// Where people reach "pgwright serve": alerts link to its pages.
    #[arg(long, value_name = "URL")]
    external_url: Option<String>,
    /// Overwrite files that were changed.
    #[arg(long)]
    force: bool,
}

/// Runs the command.
///
/// # Errors
/// Fails when a file cannot be written, or holds something else than would be written.
pub fn run(context: &Context, args: Args) -> CommandResult {
    match args.command {
        MonitoringCommand::Alerts => list(context),
        MonitoringCommand::Rules(args) => {
            let text = rules::rules(args.runbooks.as_deref(), args.external_url.as_deref())
                .map_err(|e| CommandError::new("could not write the rules").detail(format!("{e}.")))?;
            context.printer.out(&text)?;
            Ok(Exit::Done)
        }
        MonitoringCommand::Write(args) => write(context, args),
    }
}

fn list(context: &Context) -> CommandResult {
    if context.printer.json {
        context.printer.json("alerts", &alerts())?;
        return Ok(Exit::Done);
    }
    let mut text = String::new();
    let mut group = "";
    for alert in alerts() {
        if group != alert.group {
            group = alert.group;
            text.push_str(&format!("{}{group}\n", if text.is_empty() { "" } else { "\n" }));
        }
        let hold = if alert.hold == "0m" { String::new() } else { format!(", for {}", alert.hold) };
        text.push_str(&format!("  {} ({}{hold})\n", alert.name, alert.severity.as_str()));
        text.push_str(&format!(
            "    when  {}\n    why   {}\n    do    {}\n",
            alert.expression, alert.meaning, alert.action
        ));
    }
    context.printer.out(&text)?;
    Ok(Exit::Done)
}

fn write(context: &Context, args: WriteArgs) -> CommandResult {
    let stack = Stack {
        scraped: args.scrape,
        prometheus: args.prometheus,
        runbooks: args.runbooks,
        external_url: args.external_url,
    };
    let made =
        files(&stack).map_err(|e| CommandError::new("could not make the files").detail(format!("{e}.")))?;
    // Looked at before the first is written.
    let mut open = Vec::new();
    for (path, text) in made {
        let file = args.folder.join(path);
        match std::fs::read(&file) {
            Ok(there) if there == text.as_bytes() => {}
            Ok(_) if !args.force => {
                return Err(CommandError::new(format!("{} holds something else already", file.display()))
                    .detail("Nothing was written.")
                    .hint("Write into another folder and compare, or overwrite with --force."));
            }
            Ok(_) => open.push((file, text)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => open.push((file, text)),
            Err(error) => return Err(unusable(&file, "read", &error)),
        }
    }
    let count = open.len();
    for (file, text) in open {
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder).map_err(|e| unusable(folder, "make", &e))?;
        }
        std::fs::write(&file, text).map_err(|e| unusable(&file, "write", &e))?;
        context.printer.status(&format!("wrote {}", file.display()));
    }
    if count == 0 {
        context.printer.status("every file is there as it would be written");
    }
    Ok(Exit::Done)
}

fn unusable(path: &Path, what: &str, error: &std::io::Error) -> CommandError {
    CommandError::new(format!("could not {what} {}", path.display())).detail(format!("{error}."))
}
