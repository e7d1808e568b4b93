//! `pgwright partition list [TABLE]`: how are the partitioned tables?

use std::collections::BTreeMap;

use clap::Args as ClapArgs;
use model::partition_tree::{PartitionDetails, PartitionTable};
use model::{Bytes, QualifiedName};
use partitioning::Trees;
use partitioning::watching::{SetReport, Surroundings, report};
use postgres::Session;

use crate::commands::Context;
use crate::error::{CommandError, CommandResult, Exit};
use crate::printer::plain;

/// Arguments.
#[derive(ClapArgs, Debug)]
#[command(
    before_help = "Example:\n  pgwright partition list                all partitioned tables\n  pgwright partition list training_runs  one, with its partitions"
)]
pub struct Args {
    /// The partitioned table; all of them by default, in a line each.
    table: Option<String>,
}

/// The schema of the store.
pub(super) const OWN_SCHEMA: &str = "pgwright";

/// Runs the command.
///
/// # Errors
/// Fails when the server cannot be asked, or there is no such partitioned table.
pub async fn run(context: &Context, args: Args) -> CommandResult {
    let target = context.target()?;
    let session = context.connect(&target).await?;
    let version = session.version_num();
    let trees = Trees::new(postgres::catalog::partition_tables(&session, version).await?);
    let (now_micros, zone) = postgres::catalog::clock(&session, version).await?;
    let wanted: Vec<&PartitionTable> = match &args.table {
        Some(name) => vec![find(&session, &trees, name).await?],
        // pgwright looks after its own tables by itself.
        None => trees.parents().filter(|t| t.name.schema != OWN_SCHEMA).collect(),
    };
    let mut oids: Vec<u32> = wanted.iter().flat_map(|t| trees.below(t)).map(|t| t.oid).collect();
    oids.sort_unstable();
    oids.dedup();
    let details: BTreeMap<u32, PartitionDetails> =
        postgres::catalog::partition_details(&session, version, &oids)
            .await?
            .into_iter()
            .map(|d| (d.oid, d))
            .collect();
    let around = Surroundings { now_micros, zone: &zone, details: &details };
    let reports: Vec<SetReport> = wanted.iter().map(|table| report(&trees, table, &around)).collect();
    if context.printer.json {
        context.printer.json("partition_list", &serde_json::json!({ "tables": reports }))?;
        return Ok(Exit::Done);
    }
    match (&args.table, reports.as_slice()) {
        (Some(_), [report]) => context.printer.out(&one_text(context, report))?,
        (_, []) => context.printer.status("no table is partitioned"),
        _ => context.printer.out(&all_text(context, &reports))?,
    }
    Ok(Exit::Done)
}

/// The partitioned table that a person names.
pub(super) async fn find<'a>(
    session: &Session,
    trees: &'a Trees,
    text: &str,
) -> Result<&'a PartitionTable, CommandError> {
    let wrong = |reason: String| CommandError::new("could not understand the name of a table").detail(reason);
    // A name without a schema is looked for in all of them.
    let name = QualifiedName::parse(text, "").map_err(|e| wrong(format!("{e}.")))?;
    let found: Vec<&PartitionTable> = trees
        .parents()
        .filter(|t| t.name.name == name.name && (name.schema.is_empty() || t.name.schema == name.schema))
        .collect();
    match found.as_slice() {
        [table] => Ok(table),
        [] => {
            let database = session.target().database().to_owned();
            Err(CommandError::new(format!("no partitioned table is called \"{text}\""))
                .detail(format!("Looked for in database \"{database}\"."))
                .hint("\"pgwright partition list\" shows those that there are."))
        }
        several => {
            let names: Vec<String> = several.iter().map(|t| t.name.to_string()).collect();
            Err(CommandError::new(format!("\"{text}\" is the name of several tables"))
                .detail(format!("They are {}.", names.join(", ")))
                .hint("Write the schema as well."))
        }
    }
}

fn rows_text(rows: Option<f64>) -> String {
    rows.map_or_else(|| "-".to_owned(), |rows| format!("{rows:.0}"))
}

fn bytes_text(bytes: i64) -> String {
    Bytes(u64::try_from(bytes).unwrap_or(0)).to_string()
}

fn all_text(context: &Context, reports: &[SetReport]) -> String {
    let rows: Vec<Vec<String>> = reports
        .iter()
        .map(|r| {
            vec![
                r.table.to_string(),
                r.interval.clone().unwrap_or_else(|| "-".to_owned()),
                r.partitions.len().to_string(),
                rows_text(r.rows),
                bytes_text(r.table_bytes),
                bytes_text(r.index_bytes),
                r.ahead.map_or_else(|| "-".to_owned(), |n| n.to_string()),
                r.ends.clone().unwrap_or_else(|| "-".to_owned()),
            ]
        })
        .collect();
    let headers = ["table", "by", ">partitions", ">rows", ">tables", ">indexes", ">ahead", "ends"];
    let mut out = context.printer.table(&headers, &rows);
    let remarks: Vec<String> = reports
        .iter()
        .flat_map(|r| r.remarks.iter().map(move |remark| (r, remark)))
        .map(|(r, remark)| remark_text(&format!("{}: {}", r.table, remark.text), remark.is_serious))
        .collect();
    if !remarks.is_empty() {
        out.push('\n');
        out.push_str(&remarks.concat());
    }
    out
}

fn remark_text(text: &str, is_serious: bool) -> String {
    format!("{} {}\n", if is_serious { "!" } else { "-" }, plain(text))
}

fn one_text(context: &Context, report: &SetReport) -> String {
    let mut out = format!("{}  partitioned by {}", plain(&report.table.to_string()), plain(&report.key));
    if let Some(interval) = &report.interval {
        out.push_str(&format!(", each {}", plain(interval)));
    }
    if let Some(zone) = &report.time_zone {
        out.push_str(&format!(" in {}", plain(zone)));
    }
    out.push('\n');
    for remark in &report.remarks {
        out.push_str(&remark_text(&remark.text, remark.is_serious));
    }
    let rows: Vec<Vec<String>> = report
        .partitions
        .iter()
        .map(|p| {
            vec![
                p.name.to_string(),
                p.times
                    .clone()
                    .unwrap_or_else(|| p.bound.strip_prefix("FOR VALUES ").unwrap_or(&p.bound).to_owned()),
                rows_text(p.rows),
                bytes_text(p.table_bytes),
                bytes_text(p.index_bytes),
                p.age_days.map_or_else(|| "-".to_owned(), |days| format!("{days:.0} d")),
            ]
        })
        .collect();
    out.push('\n');
    out.push_str(
        &context.printer.table(&["partition", "bound", ">rows", ">table", ">indexes", ">age"], &rows),
    );
    out
}
