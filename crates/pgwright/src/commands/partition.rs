//! `pgwright partition …`: one file per action.

mod convert;

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
    /// Make a partitioned table of an ordinary one while it is written to.
    Convert(Box<convert::Args>),
}

/// Runs the command.
///
/// # Errors
/// Fails as the action does.
pub async fn run(context: &Context, args: Args) -> CommandResult {
    match args.action {
        Action::Convert(args) => convert::run(context, *args).await,
    }
}
