//! `pgwright partition adopt [TABLE…]`: takes over sets that pg_partman, pgslice or somebody's hand made, without
//! touching them: finds their rule and writes it down.

use std::io::Write as _;
use std::path::PathBuf;

use clap::Args as ClapArgs;
use model::partition_set::RetentionAction;
use model::partition_tree::PartitionTable;
use model::{QualifiedName, quote_identifier, quote_literal};
use partitioning::Trees;
use partitioning::inference::{Inferred, infer, interval_of_server};
use partitioning::settings::SetSettings;
use postgres::catalog::{PartmanSet, PgsliceSet};
use serde::Serialize;

use super::list::find;
use crate::commands::Context;
use crate::error::{CommandError, CommandResult, Exit};

/// Arguments.
#[derive(ClapArgs, Debug)]
#[command(
    before_help = "Example:\n  pgwright partition adopt                           print the sets of all partitioned tables\n  pgwright partition adopt training_runs --write    append that one to pgwright.toml"
)]
pub struct Args {
    /// The partitioned tables; all that are not partitions themselves and not in pgwright.toml by default.
    tables: Vec<String>,
    /// Append the sets to the configuration file.
    #[arg(long)]
    write: bool,
}

/// The part of `pgwright.toml` that is written.
#[derive(Serialize)]
struct Lines {
    partition_set: Vec<SetSettings>,
}

/// Runs the command.
///
/// # Errors
/// Fails when a named table follows no rule, or the file cannot be written.
pub async fn run(context: &Context, args: Args, config: Option<PathBuf>) -> CommandResult {
    let target = context.target()?;
    let session = context.connect(&target).await?;
    let version = session.version_num();
    let trees = Trees::new(postgres::catalog::partition_tables(&session, version).await?);
    let (now_micros, zone) = postgres::catalog::clock(&session, version).await?;
    let partman = postgres::catalog::partman_sets(&session).await?;
    let pgslice = postgres::catalog::pgslice_sets(&session, session.version_num()).await?;
    let known = |table: &PartitionTable| {
        let sets = &context.settings.partition_sets;
        sets.iter().any(|s| QualifiedName::parse(&s.table, "public").is_ok_and(|n| n == table.name))
    };
    let mut tables: Vec<&PartitionTable> = Vec::new();
    for text in &args.tables {
        tables.push(find(&session, &trees, text).await?);
    }
    if args.tables.is_empty() {
        let others = |t: &&PartitionTable| t.name.schema != super::list::OWN_SCHEMA;
        tables = trees.parents().filter(others).filter(|t| t.parent_oid.is_none() && !known(t)).collect();
    }
    let (mut sets, mut notes) = (Vec::new(), Vec::new());
    for table in tables {
        let slice = pgslice.iter().find(|p| p.table == table.name);
        match infer(&trees, table, &zone, now_micros) {
            Ok(inferred) => {
                let mut told: Vec<String> = inferred.notes.clone();
                let set = match slice {
                    Some(slice) => of_pgslice(slice, SetSettings::of(&inferred.set), &mut told),
                    None => with_partman(&inferred, &partman, &mut told),
                };
                sets.push(set);
                notes.extend(told.into_iter().map(|note| format!("{}: {note}", table.name)));
            }
            // It has no partitions yet, but pgslice has said what they are to be.
            Err(_) if slice.is_some() => {
                let mut told = Vec::new();
                let set = SetSettings { table: table.name.to_string(), ..SetSettings::default() };
                sets.extend(slice.map(|slice| of_pgslice(slice, set, &mut told)));
                notes.extend(told.into_iter().map(|note| format!("{}: {note}", table.name)));
            }
            Err(reason) if args.tables.is_empty() => notes.push(format!("{}: {reason}", table.name)),
            Err(reason) => {
                return Err(CommandError::new(format!("could not tell how {} is divided", table.name))
                    .detail(reason)
                    .hint("Describe it as a [[partition_set]]; see docs/reference/configuration.md."));
            }
        }
    }
    for note in &notes {
        context.printer.status(&format!("note: {note}"));
    }
    if context.printer.json {
        context.printer.json("partition_adopt", &serde_json::json!({ "sets": sets, "notes": notes }))?;
    }
    if sets.is_empty() {
        context.printer.status("there is nothing to adopt");
        return Ok(Exit::Done);
    }
    let text = toml::to_string(&Lines { partition_set: sets })
        .map_err(|e| CommandError::new("could not write the sets as TOML").detail(e.to_string()))?;
    if !args.write {
        if !context.printer.json {
            context.printer.out(&text)?;
        }
        return Ok(Exit::Done);
    }
    let path = config.unwrap_or_else(|| PathBuf::from("pgwright.toml"));
    let failed = |e: std::io::Error| {
        CommandError::new(format!("could not write \"{}\"", path.display())).detail(format!("{e}."))
    };
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(&path).map_err(failed)?;
    file.write_all(format!("\n{text}").as_bytes()).map_err(failed)?;
    context.printer.status(&format!(
        "appended to {}; \"pgwright partition plan\" shows what would be done",
        path.display()
    ));
    Ok(Exit::Done)
}

/// What pgslice has said of a set counts for more than what its partitions look like. It makes partitions when it is told
/// to, as far ahead as it is told.
fn of_pgslice(slice: &PgsliceSet, mut set: SetSettings, notes: &mut Vec<String>) -> SetSettings {
    let interval = format!("1 {}", slice.period);
    if set.interval.as_ref() != Some(&interval) {
        if let Some(found) = &set.interval {
            notes.push(format!("Its partitions look like {found}, the comment of pgslice says {interval}."));
        }
        set.naming = Some(
            match slice.period.as_str() {
                "day" => "{table}_{YYYY}{MM}{DD}",
                "month" => "{table}_{YYYY}{MM}",
                _ => "{table}_{YYYY}",
            }
            .to_owned(),
        );
        set.interval = Some(interval);
    }
    notes
        .push("pgslice made it; take its \"add_partitions\" out of cron before pgwright does it.".to_owned());
    set
}

/// What pg_partman says of a set counts for more than what its partitions look like.
fn with_partman(inferred: &Inferred, partman: &[PartmanSet], notes: &mut Vec<String>) -> SetSettings {
    let mut set = SetSettings::of(&inferred.set);
    let parent = &inferred.set.parent;
    let plain = format!("{}.{}", parent.schema, parent.name);
    let Some(found) = partman.iter().find(|p| p.parent_table == plain) else { return set };
    let epoch = found.epoch.as_deref().filter(|epoch| *epoch != "none");
    match interval_of_server(&found.partition_interval) {
        // Its interval is one of time, the keys are numbers.
        _ if epoch.is_some() => notes.push(format!(
            "pg_partman takes its keys for {} since 1970 and divides them by {}; pgwright divides numbers by numbers, \
             as it found them.",
            epoch.unwrap_or_default(),
            found.partition_interval
        )),
        // For a list it is the numbers of a partition, which are named here.
        _ if set.interval.is_none() => notes.push(
            "pg_partman makes a partition for each number of the list; pgwright makes those that its set names."
                .to_owned(),
        ),
        Ok(interval) => set.interval = Some(interval.to_string()),
        Err(reason) => notes.push(reason),
    }
    set.premake = u32::try_from(found.premake).ok().or(set.premake);
    if let Some(retention) = &found.retention {
        match interval_of_server(retention) {
            Ok(_) if epoch.is_some() => {
                notes.push(format!("Its retention of {retention} is not taken over."));
            }
            Ok(interval) => {
                set.retention = Some(interval.to_string());
                set.then = Some(match found.retention_keep_table || found.retention_schema.is_some() {
                    true => RetentionAction::Detach,
                    false => RetentionAction::Drop,
                });
            }
            Err(reason) => notes.push(reason),
        }
    }
    if let Some(schema) = &found.retention_schema {
        notes.push(format!(
            "pg_partman moves old partitions into schema {schema}; pgwright detaches them and leaves them where they are."
        ));
    }
    if let Some(template) = &found.template_table {
        notes.push(format!(
            "What pg_partman's template {template} has beyond the table itself is not taken over; put indexes on the \
             table, and storage parameters and tablespace into its set."
        ));
    }
    if found.automatic_maintenance.as_deref() == Some("off") {
        notes.push("pg_partman's maintenance of it is off.".to_owned());
        return set;
    }
    notes.push(format!(
        "pg_partman looks after it as well; take its maintenance away before pgwright does it: DELETE FROM {}.part_config \
         WHERE parent_table = {}.",
        quote_identifier(&found.extension_schema),
        quote_literal(&found.parent_table)
    ));
    set
}
