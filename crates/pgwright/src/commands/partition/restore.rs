//! `pgwright partition restore [PARTITION|MANIFEST]`: which archives are there, and how does one come back?

use std::collections::BTreeSet;

use apply::partition_archive::{Archive, Manifest, ObjectStorage, Store, plan_restore, restore};
use clap::Args as ClapArgs;
use model::{Bytes, QualifiedName};

use super::sets::at_home;
use crate::commands::Context;
use crate::commands::changes::{Narrator, Patience};
use crate::commands::undo::refused;
use crate::error::{CommandError, CommandResult, Exit};
use crate::printer::plain;

/// Arguments.
#[derive(ClapArgs, Debug)]
#[command(
    before_help = "Example:\n  pgwright partition restore                                   list the archives\n  pgwright partition restore metrics_2024_01                   show what would be done\n  pgwright partition restore metrics_2024_01 --execute         bring it back and attach it\n  pgwright partition restore /srv/archive/….json --no-attach   as a table of its own\n  pgwright partition restore --from s3://cold/shop                 list those of a bucket"
)]
pub struct Args {
    /// The partition, or the manifest of its archive (a .json file or object); without it, the archives are listed.
    what: Option<String>,
    /// The folder of the archives, or s3://bucket/prefix; those of the sets in pgwright.toml by default.
    #[arg(long, value_name = "PLACE")]
    from: Option<String>,
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
    let storage = context.settings.object_storage()?;
    let Some(what) = &args.what else { return show_all(context, &args, &storage).await };
    let archive = find(context, &args, &storage, what).await?;
    let target = context.target()?;
    if args.execute {
        let options = args.patience.options(context);
        let mut narrator = Narrator::new(&context.printer);
        let result =
            restore(&target, &archive, !args.no_attach, &options, &mut |event| narrator.tell(&event)).await;
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
    let plan = plan_restore(&session, &archive, !args.no_attach).await.map_err(refused)?;
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

fn stores(context: &Context, args: &Args, storage: &ObjectStorage) -> Result<Vec<Store>, CommandError> {
    let places: BTreeSet<&String> = match &args.from {
        Some(place) => BTreeSet::from([place]),
        None => context.settings.partition_sets.iter().filter_map(|s| s.archive.as_ref()).collect(),
    };
    if places.is_empty() {
        return Err(CommandError::new("no place of archives is known")
            .detail("No [[partition_set]] of pgwright.toml has \"archive\".")
            .hint("Name the folder or the bucket with --from, or the manifest itself."));
    }
    places.into_iter().map(|place| Store::open(place, storage).map_err(|e| refused(e.into()))).collect()
}

async fn archives(
    context: &Context,
    args: &Args,
    storage: &ObjectStorage,
) -> Result<Vec<(Archive, Manifest)>, CommandError> {
    let mut found = Vec::new();
    for store in stores(context, args, storage)? {
        found.extend(store.list().await.map_err(|e| refused(e.into()))?);
    }
    Ok(found)
}

/// The archive that is meant: that of a manifest, or the newest of a partition.
async fn find(
    context: &Context,
    args: &Args,
    storage: &ObjectStorage,
    what: &str,
) -> Result<Archive, CommandError> {
    if what.ends_with(".json") {
        let archive = Archive::open(&at_home(what)?, storage).map_err(|e| refused(e.into()))?;
        archive.read_manifest().await.map_err(|e| refused(e.into()))?;
        return Ok(archive);
    }
    let name = QualifiedName::parse(what, "").map_err(|reason| {
        CommandError::new("could not understand the name of a table").detail(format!("{reason}."))
    })?;
    let fits = |found: &QualifiedName| {
        found.name == name.name && (name.schema.is_empty() || found.schema == name.schema)
    };
    let mut found: Vec<(Archive, Manifest)> =
        archives(context, args, storage).await?.into_iter().filter(|(_, m)| fits(&m.partition)).collect();
    let tables: BTreeSet<String> = found.iter().map(|(_, m)| m.partition.to_string()).collect();
    if tables.len() > 1 {
        return Err(CommandError::new(format!("\"{what}\" is the name of several archived tables"))
            .detail(format!("They are {}.", tables.into_iter().collect::<Vec<_>>().join(", ")))
            .hint("Write the schema as well."));
    }
    let several = found.len();
    let Some((archive, manifest)) = found.pop() else {
        return Err(CommandError::new(format!("there is no archive of \"{what}\""))
            .hint("\"pgwright partition restore\" lists the archives."));
    };
    if several > 1 {
        context.printer.status(&format!(
            "note: of {several} archives of {} the newest is taken, of {}",
            manifest.partition, manifest.archived_at
        ));
    }
    Archive::open(&at_home(&archive.to_string())?, storage).map_err(|e| refused(e.into()))
}

async fn show_all(context: &Context, args: &Args, storage: &ObjectStorage) -> CommandResult {
    let found = archives(context, args, storage).await?;
    if context.printer.json {
        let archives: Vec<serde_json::Value> = found
            .iter()
            .map(|(archive, m)| serde_json::json!({ "manifest": archive.to_string(), "archive": m }))
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
        .map(|(archive, m)| {
            vec![
                m.partition.to_string(),
                m.table.to_string(),
                m.rows.to_string(),
                Bytes(m.csv_bytes).to_string(),
                Bytes(m.file_bytes).to_string(),
                m.archived_at.clone(),
                archive.to_string(),
            ]
        })
        .collect();
    let headers = ["partition", "of", ">rows", ">CSV", ">file", "archived", "manifest"];
    context.printer.out(&context.printer.table(&headers, &rows))?;
    Ok(Exit::Done)
}
