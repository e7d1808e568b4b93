//! `pgwright snapshot save FILE`: everything that advice needs, in one file.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand};
use model::Snapshot;
use postgres::Target;
use postgres::text_order::{self, TextRule};
use redaction::{Key, SortedTexts, TextOrder};

use super::Context;
use crate::error::{CommandError, CommandResult, Exit};

/// Arguments.
#[derive(ClapArgs, Debug)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// Read the database once and write the file.
    ///
    /// The file holds the schema, sizes, planner statistics (which contain sample values of columns),
    /// settings and statement counters, but no rows of tables.
    Save {
        /// Where to write; `shop.snapshot.zst` for instance.
        file: PathBuf,
        /// Put stand-ins in place of data: constants, most-common values and histogram bounds. Names of
        /// tables, columns and roles stay.
        #[arg(long)]
        redact: bool,
    },
    /// Say what a snapshot file holds.
    Show {
        /// The file.
        file: PathBuf,
    },
}

/// Runs the command.
///
/// # Errors
/// Fails when the server or the file cannot be read or written.
pub async fn run(context: &Context, args: Args) -> CommandResult {
    let (file, snapshot) = match args.action {
        Action::Save { file, redact } => {
            let target = context.target()?;
            let mut snapshot = context.snapshot_of(&target).await?;
            if redact {
                snapshot = redacted(context, &target, &snapshot).await?;
            }
            postgres::snapshot_file::save(&file, &snapshot)?;
            context.printer.status(if redact {
                "note: names of tables, columns, indexes and roles, and how often values occur, are in the file as \
                 they are"
            } else {
                "note: most-common values and histograms in the file are data of your columns; treat it as such, or \
                 write it with --redact"
            });
            (file, snapshot)
        }
        Action::Show { file } => {
            let snapshot = postgres::snapshot_file::load(&file)?;
            (file, snapshot)
        }
    };
    let summary = serde_json::json!({
        "file": file,
        "database": snapshot.server.database,
        "server_version": snapshot.server.version,
        "taken_at": snapshot.taken_at,
        "relations": snapshot.relations.len(),
        "indexes": snapshot.indexes.len(),
        "statements": snapshot.statements.len(),
        "database_bytes": snapshot.server.database_bytes,
        "notes": snapshot.notes,
    });
    if context.printer.json {
        context.printer.json("snapshot", &summary)?;
    } else {
        context.printer.out(&format!(
            "{}: database {} on PostgreSQL {}, {} UTC\n  {} relations, {} indexes, {} statements, {} on disk\n",
            file.display(),
            crate::printer::plain(&snapshot.server.database),
            crate::printer::plain(&snapshot.server.version),
            snapshot.taken_at.format("%Y-%m-%d %H:%M"),
            snapshot.relations.len(),
            snapshot.indexes.len(),
            snapshot.statements.len(),
            snapshot.server.database_bytes,
        ))?;
        for note in &snapshot.notes {
            context.printer.out(&format!("  note: {}\n", crate::printer::plain(note)))?;
        }
    }
    Ok(Exit::Done)
}

/// The snapshot with stand-ins. The key that they follow from is made here and kept nowhere.
async fn redacted(context: &Context, target: &Target, snapshot: &Snapshot) -> Result<Snapshot, CommandError> {
    let session = context.connect(target).await?;
    let spinner = context.printer.spinner("replacing what is data");
    let mut sorted = SortedTexts::new();
    for (order, texts) in redaction::texts(snapshot) {
        let rule = match &order {
            TextOrder::Database => TextRule::Database,
            TextOrder::Folded => TextRule::Folded,
            TextOrder::Collation(name) => TextRule::Collation(name),
            TextOrder::Bytes => continue,
        };
        let texts: Vec<String> = texts.into_iter().collect();
        let texts = text_order::sorted(&session, &texts, rule).await?;
        sorted.insert(order, texts);
    }
    let redacted = redaction::redact(snapshot, &Key::new(rand::random()), &sorted);
    spinner.finish_and_clear();
    Ok(redacted)
}
