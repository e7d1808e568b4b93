//! Which sets does a command look at? Those of `pgwright.toml`, or one that the command line describes.

use clap::Args as ClapArgs;
use model::QualifiedName;
use model::partition_set::RetentionAction;
use partitioning::Trees;
use partitioning::inference::infer;
use partitioning::settings::SetSettings;
use postgres::Session;

use super::list::find;
use crate::commands::Context;
use crate::error::CommandError;

/// A set on the command line.
#[derive(ClapArgs, Clone, Debug)]
pub struct Wanted {
    /// The partitioned tables; all sets of pgwright.toml by default. One that is not there is looked after by the rule
    /// that its partitions follow.
    tables: Vec<String>,
    /// Describe the set here instead of in pgwright.toml: how far a partition reaches.
    #[arg(long, value_name = "INTERVAL")]
    interval: Option<String>,
    /// How many partitions are kept ahead.
    #[arg(long, value_name = "N")]
    premake: Option<u32>,
    /// How long rows are kept: "12 months", 1000000.
    #[arg(long, value_name = "INTERVAL")]
    retention: Option<String>,
    /// What is done with older partitions.
    #[arg(long, value_name = "ACTION", value_parser = action)]
    then: Option<RetentionAction>,
    /// For --then archive: the folder that partitions are written to, or s3://bucket/prefix.
    #[arg(long, value_name = "PLACE")]
    archive: Option<String>,
    /// The zone in which days begin, for instance Europe/Zurich.
    #[arg(long, value_name = "ZONE")]
    time_zone: Option<String>,
    /// How partitions are called, for instance {table}_y{YYYY}m{MM}.
    #[arg(long, value_name = "PATTERN")]
    naming: Option<String>,
}

fn action(text: &str) -> Result<RetentionAction, String> {
    match text {
        "keep" => Ok(RetentionAction::Keep),
        "detach" => Ok(RetentionAction::Detach),
        "archive" => Ok(RetentionAction::Archive),
        "drop" => Ok(RetentionAction::Drop),
        _ => Err("it is keep, detach, archive or drop".to_owned()),
    }
}

/// The sets that are meant, each with what was guessed.
pub(super) async fn chosen(
    context: &Context,
    session: &Session,
    wanted: &Wanted,
) -> Result<Vec<SetSettings>, CommandError> {
    let configured = &context.settings.partition_sets;
    if wanted.tables.is_empty() {
        if configured.is_empty() {
            return Err(CommandError::new("no partition set is described")
                .detail("There is no [[partition_set]] in pgwright.toml, and no table was named.")
                .hint("Name a table, or write its set down with \"pgwright partition adopt\"."));
        }
        return configured.iter().cloned().map(set_at_home).collect();
    }
    let version = session.version_num();
    let trees = Trees::new(postgres::catalog::partition_tables(session, version).await?);
    let (now_micros, zone) = postgres::catalog::clock(session, version).await?;
    let mut sets = Vec::new();
    for text in &wanted.tables {
        let parent = find(session, &trees, text).await?;
        let of_file = configured
            .iter()
            .find(|s| QualifiedName::parse(&s.table, "public").is_ok_and(|n| n == parent.name));
        let mut set = match (of_file, &wanted.interval) {
            (Some(set), _) => set.clone(),
            (None, Some(_)) => SetSettings { table: parent.name.to_string(), ..SetSettings::default() },
            (None, None) => {
                let inferred = infer(&trees, parent, &zone, now_micros).map_err(|reason| {
                    CommandError::new(format!("could not tell how {} is divided", parent.name))
                        .detail(reason)
                        .hint("Describe the set with --interval, or as a [[partition_set]] in pgwright.toml.")
                })?;
                for note in &inferred.notes {
                    context.printer.status(&format!("note: {note}"));
                }
                SetSettings::of(&inferred.set)
            }
        };
        set.interval = wanted.interval.clone().or(set.interval);
        set.premake = wanted.premake.or(set.premake);
        set.retention = wanted.retention.clone().or(set.retention);
        set.then = wanted.then.or(set.then);
        set.archive = wanted.archive.clone().or(set.archive);
        set.time_zone = wanted.time_zone.clone().or(set.time_zone);
        set.naming = wanted.naming.clone().or(set.naming);
        sets.push(set_at_home(set)?);
    }
    Ok(sets)
}

/// A set whose archive is named from the root of the file system on, for the journal outlives the folder in which a
/// command was run.
fn set_at_home(mut set: SetSettings) -> Result<SetSettings, CommandError> {
    set.archive = set.archive.as_deref().map(at_home).transpose()?;
    Ok(set)
}

/// A path from the root of the file system on; a bucket is named so already.
pub(super) fn at_home(place: &str) -> Result<String, CommandError> {
    if place.contains("://") {
        return Ok(place.to_owned());
    }
    let absolute = std::path::absolute(place)
        .map_err(|e| CommandError::new(format!("could not find \"{place}\"")).detail(format!("{e}.")))?;
    Ok(absolute.to_string_lossy().into_owned())
}
