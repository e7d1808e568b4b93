//! pgwright: takes a PostgreSQL database from slow to fast and keeps it there.
//!
//! This file parses the command line, runs one command and turns its result into an exit code.

mod commands;
mod demo;
mod error;
mod printer;
mod report;
mod settings;
mod workload;

use std::process::ExitCode;

use clap::Parser;

use error::{CommandError, Exit};

/// Takes a PostgreSQL database from slow to fast and keeps it there.
#[derive(Parser, Debug)]
#[command(
    name = "pgwright",
    version,
    max_term_width = 110,
    before_help = "Example:\n  pgwright doctor postgres://app@db.example.com/shop\n  pgwright advise postgres://app@db.example.com/shop\n  pgwright apply --execute postgres://app@db.example.com/shop",
    after_help = "Exit codes: 0 done, 1 findings at the asked level, 2 error, 3 a change was refused or rolled back, 4 statements were tested and nothing was proved."
)]
struct Cli {
    #[command(flatten)]
    global: settings::GlobalArgs,
    #[command(subcommand)]
    command: commands::Command,
}

fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_env("PGWRIGHT_LOG").unwrap_or_else(|_| "off".into()),
        )
        .with_writer(std::io::stderr)
        .init();
    let arguments = url_argument_to_option(std::env::args_os().collect());
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(e) => {
            let _ = e.print();
            return ExitCode::from(if e.use_stderr() { Exit::Error.code() } else { 0 });
        }
    };
    let result = cli
        .command
        .runtime()
        .enable_all()
        .build()
        .map_err(|e| CommandError::new("could not start the asynchronous runtime").detail(e.to_string()))
        .and_then(|runtime| runtime.block_on(commands::run(cli.command, &cli.global)));
    match result {
        Ok(exit) => ExitCode::from(exit.code()),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(error.exit.code())
        }
    }
}

/// Lets a bare `postgres://…` stand anywhere on the command line: it becomes `--url=…`.
fn url_argument_to_option(arguments: Vec<std::ffi::OsString>) -> Vec<std::ffi::OsString> {
    let is_url = |a: &std::ffi::OsString| {
        a.to_str().is_some_and(|s| s.starts_with("postgres://") || s.starts_with("postgresql://"))
    };
    let mut result: Vec<std::ffi::OsString> = Vec::with_capacity(arguments.len());
    let mut raw = false;
    for argument in arguments {
        raw |= argument == "--";
        let after_url_option = result.last().is_some_and(|p| {
            ["--url", "-d", "--against", "--before", "--store"].iter().any(|option| p == option)
        });
        if !raw && is_url(&argument) && !after_url_option {
            let mut option = std::ffi::OsString::from("--url=");
            option.push(&argument);
            result.push(option);
        } else {
            result.push(argument);
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn a_bare_url_becomes_an_option() {
        let convert = |args: &[&str]| -> Vec<String> {
            url_argument_to_option(args.iter().map(Into::into).collect())
                .into_iter()
                .map(|a| a.into_string().unwrap())
                .collect()
        };
        assert_eq!(
            convert(&["pgwright", "doctor", "postgres://h/d"]),
            ["pgwright", "doctor", "--url=postgres://h/d"]
        );
        assert_eq!(
            convert(&["pgwright", "--url", "postgres://h/d"]),
            ["pgwright", "--url", "postgres://h/d"]
        );
        assert_eq!(convert(&["pgwright", "--", "postgres://h"]), ["pgwright", "--", "postgres://h"]);
    }
}
