//! `pgwright partition …`: one file per action.

mod adopt;
mod advise;
mod check;
mod convert;
mod divided_by;
mod list;
mod restore;
mod run;
mod schedule;
mod sets;

pub(super) use advise::shell;

use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand};

use super::Context;
use crate::error::CommandResult;

/// Arguments.
#[derive(ClapArgs, Debug)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// How are the partitioned tables: sizes, bounds, gaps, DEFAULT, what is missing.
    List(list::Args),
    /// Which partitions does each statement read, why not fewer, and which text would?
    Check(check::Args),
    /// Which tables deserve partitions, by what, and what would it do? Tried on the planner twin.
    Advise(advise::Args),
    /// What is to be done for the sets of pgwright.toml?
    Plan(run::PlanArgs),
    /// Make partitions ahead, close gaps, empty DEFAULT, retire what is old; shown first, done with --execute.
    Run(run::RunArgs),
    /// Take over sets that pg_partman, pgslice or somebody's hand made: write them down as they are.
    Adopt(adopt::Args),
    /// Let the server make partitions ahead by itself, called by pg_cron, while pgwright does not run.
    Schedule(schedule::Args),
    /// Bring back a partition that was archived; without a name, list the archives.
    Restore(restore::Args),
    /// Make a partitioned table of an ordinary one while it is written to.
    Convert(Box<convert::Args>),
}

/// Runs the command. `config` is the configuration file, when one was named.
///
/// # Errors
/// Fails as the action does.
pub async fn run(context: &Context, args: Args, config: Option<PathBuf>) -> CommandResult {
    match args.action {
        Action::List(args) => list::run(context, args).await,
        Action::Check(args) => check::run(context, args).await,
        Action::Advise(args) => advise::run(context, args).await,
        Action::Plan(args) => run::plan(context, args).await,
        Action::Run(args) => run::run(context, args).await,
        Action::Adopt(args) => adopt::run(context, args, config).await,
        Action::Schedule(args) => schedule::run(context, args).await,
        Action::Restore(args) => restore::run(context, args).await,
        Action::Convert(args) => convert::run(context, *args).await,
    }
}
