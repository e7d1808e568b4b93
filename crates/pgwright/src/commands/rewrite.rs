//! `pgwright rewrite`: do two texts of a statement give the same answer?

mod check;

use clap::Args as ClapArgs;

use super::Context;
use super::context::SnapshotSource;
use crate::error::CommandResult;

/// Arguments.
#[derive(ClapArgs, Debug)]
#[command(
    before_help = "Examples:\n  pgwright rewrite --check before.sql after.sql\n  pgwright rewrite --check before.sql after.sql --schema schema.sql --set TimeZone=Europe/Berlin"
)]
pub struct Args {
    #[command(flatten)]
    source: SnapshotSource,
    #[command(flatten)]
    check: check::CheckArgs,
}

/// Runs the command.
///
/// # Errors
/// Fails when a statement cannot be understood or compared, or the schema cannot be read.
pub async fn run(context: &Context, args: Args) -> CommandResult {
    check::run(context, &args.source, args.check).await
}
