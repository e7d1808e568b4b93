//! `pgwright partition restore [PARTITION|MANIFEST]`: which archives are there, and how does one come back?

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use apply::partition_archive::{Manifest, list, plan_restore, read_manifest, restore};
use clap::Args as ClapArgs;
use model::{Bytes, QualifiedName};

use crate::commands::Context;
use crate::commands::changes::{Narrator, Patience};
use crate::commands::undo::refused;
use crate::error::{CommandError, CommandResult, Exit};
use crate::printer::plain;

/// Arguments.
#[derive(ClapArgs, Debug)]
#[command(
    before_help = "Example:\n  pgwright partition restore                                   list the archives\n  pgwright partition restore metrics_2024_01                   show what would be done\n  pgwright partition restore metrics_2024_01 --execute         bring it back and attach it\n  pgwright partition restore /srv/archive/….json --no-attach   as a table of its own"
)]
pub struct Args {
    /// The partition, or the manifest of its archive (a .json file); without it, the archives are listed.
    what: Option<String>,
    /// The folder of the archives; those of the sets in pgwright.toml by default.
    #[arg(long, value_name = "FOLDER")]
    from: Option<PathBuf>,
    /// Make it a table of its own, as the manifest describes it.
    #[arg(long)]
    no_attach: bool,
    /// Do it instead of showing it.
    #[arg(long)]
    execute: bool,
    #[command(flatten)]
    patience: Patience,
}

/// Runs the command.
///
/// # Errors
/// Fails when there is no such archive, or it cannot be brought back.
pub async fn run(context: &Context, args: Args) -> CommandResult {
    let Some(what) = &args.what else { return show_all(context, &args) };
    let manifest = find(context, &args, what)?;
    let target = context.target()?;
    if args.execute {
        let options = args.patience.options(context);
        let mut narrator = Narrator::new(&context.printer);
        let result =
            restore(&target, &manifest, !args.no_attach, &options, &mut |event| narrator.tell(&event)).await;
        narrator.finish();
        let restored = result.map_err(refused)?;
        if context.printer.json {
            let value = serde_json::json!({ "executed": true, "restored": restored });
            context.printer.json("partition_restore", &value)?;
        }
        let place = match &restored.attached_to {
            Some(table) => format!("a partition of {table} again"),
            None => "a table of its own".to_owned(),
        };
        context.printer.status(&format!(
            "{} is {place}, {} rows, compared with its archive",
            restored.partition, restored.rows
        ));
        if let Some(table) = &restored.attached_to {
            retires(context, table);
        }
        return Ok(Exit::Done);
    }
    let session = context.connect(&target).await?;
    let plan = plan_restore(&session, &manifest, !args.no_attach).await.map_err(refused)?;
    if context.printer.json {
        context.printer.json("partition_restore", &serde_json::json!({ "executed": false, "plan": plan }))?;
    } else {
        let archive = &plan.archive;
        let mut out = format!(
            "{}  {} rows, archived {} from {}\n",
            plain(&archive.partition.to_string()),
            archive.rows,
            plain(&archive.archived_at),
            plain(&archive.table.to_string())
        );
        for statement in &plan.statements {
            out.push_str(&format!("  {};\n", plain(statement)));
        }
        context.printer.out(&out)?;
    }
    for notice in &plan.notices {
        context.printer.status(&format!("note: {notice}"));
    }
    context.printer.status("nothing was run; add --execute to do it");
    Ok(Exit::Done)
}

/// What `partition run` would do with it next.
fn retires(context: &Context, table: &QualifiedName) {
    let set = context.settings.partition_sets.iter().find(|s| s.table_name().is_ok_and(|n| n == *table));
    if let Some(retention) = set.and_then(|s| s.retention.as_ref()) {
        context.printer.status(&format!(
            "note: the set of {table} keeps {retention}; what is older, \"partition run\" retires again"
        ));
    }
}

fn folders(context: &Context, args: &Args) -> Result<Vec<PathBuf>, CommandError> {
    if let Some(folder) = &args.from {
        return Ok(vec![folder.clone()]);
    }
    let folders: BTreeSet<PathBuf> = context
        .settings
        .partition_sets
        .iter()
        .filter_map(|s| s.archive.as_ref().map(PathBuf::from))
        .collect();
    if folders.is_empty() {
        return Err(CommandError::new("no folder of archives is known")
            .detail("No [[partition_set]] of pgwright.toml has \"archive\".")
            .hint("Name the folder with --from, or the manifest itself."));
    }
    Ok(folders.into_iter().collect())
}

fn archives(context: &Context, args: &Args) -> Result<Vec<(PathBuf, Manifest)>, CommandError> {
    let mut found = Vec::new();
    for folder in folders(context, args)? {
        found.extend(list(&folder).map_err(|e| refused(e.into()))?);
    }
    Ok(found)
}

/// The manifest that is meant: a file, or the newest of a partition.
fn find(context: &Context, args: &Args, what: &str) -> Result<PathBuf, CommandError> {
    let path = Path::new(what);
    if path.extension().is_some_and(|e| e == "json") {
        read_manifest(path).map_err(|e| refused(e.into()))?;
        return std::path::absolute(path)
            .map_err(|e| CommandError::new(format!("could not find \"{what}\"")).detail(format!("{e}.")));
    }
    let name = QualifiedName::parse(what, "").map_err(|reason| {
        CommandError::new("could not understand the name of a table").detail(format!("{reason}."))
    })?;
    let fits = |found: &QualifiedName| {
        found.name == name.name && (name.schema.is_empty() || found.schema == name.schema)
    };
    let mut found: Vec<(PathBuf, Manifest)> =
        archives(context, args)?.into_iter().filter(|(_, m)| fits(&m.partition)).collect();
    let tables: BTreeSet<String> = found.iter().map(|(_, m)| m.partition.to_string()).collect();
    if tables.len() > 1 {
        return Err(CommandError::new(format!("\"{what}\" is the name of several archived tables"))
            .detail(format!("They are {}.", tables.into_iter().collect::<Vec<_>>().join(", ")))
            .hint("Write the schema as well."));
    }
    let several = found.len();
    let Some((path, manifest)) = found.pop() else {
        return Err(CommandError::new(format!("there is no archive of \"{what}\""))
            .hint("\"pgwright partition restore\" lists the archives."));
    };
    if several > 1 {
        context.printer.status(&format!(
            "note: of {several} archives of {} the newest is taken, of {}",
            manifest.partition, manifest.archived_at
        ));
    }
    std::path::absolute(&path).map_err(|e| {
        CommandError::new(format!("could not find \"{}\"", path.display())).detail(format!("{e}."))
    })
}

fn show_all(context: &Context, args: &Args) -> CommandResult {
    let found = archives(context, args)?;
    if context.printer.json {
        let archives: Vec<serde_json::Value> = found
            .iter()
            .map(|(path, manifest)| serde_json::json!({ "manifest": path, "archive": manifest }))
            .collect();
        context.printer.json("partition_archives", &serde_json::json!({ "archives": archives }))?;
        return Ok(Exit::Done);
    }
    if found.is_empty() {
        context.printer.status("there are no archives");
        return Ok(Exit::Done);
    }
    let rows: Vec<Vec<String>> = found
        .iter()
        .map(|(path, m)| {
            vec![
                m.partition.to_string(),
                m.table.to_string(),
                m.rows.to_string(),
                Bytes(m.csv_bytes).to_string(),
                Bytes(m.file_bytes).to_string(),
                m.archived_at.clone(),
                path.display().to_string(),
            ]
        })
        .collect();
    let headers = ["partition", "of", ">rows", ">CSV", ">file", "archived", "manifest"];
    context.printer.out(&context.printer.table(&headers, &rows))?;
    Ok(Exit::Done)
}
