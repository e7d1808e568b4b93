//! How much of large tables and indexes is free, by looking at their pages, or at what a rewrite makes of a sample?

use std::collections::BTreeSet;
use std::time::Duration;

use advice::schema::Settings;
use advice::schema::bloat::{self, Bloat, Measured};
use cluster::Binaries;
use model::estimate::SampleFacts;
use model::snapshot::{Index, Relation, RelationKind};
use model::{IndexDefinition, KeyTarget, Snapshot};
use postgres::Session;
use postgres::sample::{SampleLimits, SampleSource};
use postgres::statistics::space::{heap_space, index_space};
use trial::{Source, Trial, TrialOptions};

use super::Context;
use crate::error::CommandError;

/// A page of a default build.
const PAGE: f64 = 8192.0;
/// How many rows are copied at most of a table.
const SAMPLE_ROWS: u64 = 200_000;
/// How long the server may take for a sample, and a local server for an index.
const SAMPLE_TIMEOUT: Duration = Duration::from_secs(60);

/// What only a rewrite can tell of a table.
struct Wanted<'a> {
    relation: &'a Relation,
    /// Live rows.
    rows: f64,
    /// GIN, GiST and SP-GiST.
    indexes: Vec<&'a Index>,
    /// The TOAST table as well.
    toast: bool,
}

/// Measures what is large enough to be found bloated. What cannot be measured is noted, and estimated then.
pub async fn bloat(
    context: &Context,
    snapshot: &Snapshot,
    settings: &Settings,
    notes: &mut Vec<String>,
) -> Result<Vec<Measured>, CommandError> {
    let Some(extension) = snapshot.extensions.iter().find(|e| e.name == "pgstattuple") else {
        return Err(CommandError::new("bloat cannot be measured without the extension pgstattuple")
            .detail(format!("Database \"{}\" does not have it.", snapshot.server.database))
            .hint(
                "CREATE EXTENSION pgstattuple; or leave --exact out, and bloat is estimated from statistics.",
            ));
    };
    let target = context.target()?;
    let session = context.connect(&target).await?;
    let bar = context.printer.bar(snapshot.relations.len() as u64, "measuring bloat");
    let mut measured = Vec::new();
    let mut wanted = Vec::new();
    let large = |pages: i64| pages.max(0) as f64 * PAGE >= settings.thresholds.bloat_min_bytes as f64;
    let looked_at = |name: &model::QualifiedName, bloat| Measured {
        name: name.clone(),
        bloat,
        toast: None,
        how: "measured with pgstattuple".into(),
    };
    for relation in &snapshot.relations {
        bar.inc(1);
        if !matches!(relation.kind, RelationKind::Table | RelationKind::MaterializedView) {
            continue;
        }
        let mut rows = relation.rows();
        let toast = large(relation.toast_pages);
        if large(relation.pages) || toast {
            match heap_space(&session, extension, relation.oid).await {
                Ok(Some(row)) => {
                    rows = row.tuple_count as f64;
                    let bloat = bloat::from_heap_figures(
                        row.table_len as f64 / PAGE,
                        rows,
                        row.tuple_len as f64,
                        relation,
                    );
                    measured.push(looked_at(&relation.name, bloat));
                }
                Ok(None) => {}
                Err(error) => notes.push(format!("{} was not measured: {error}", relation.name)),
            }
        }
        let mut others = Vec::new();
        for index in snapshot.indexes_of(&relation.name).filter(|i| large(i.pages) && i.valid) {
            match index.definition.access_method.as_str() {
                "btree" => {}
                "gin" | "gist" | "spgist" => {
                    others.push(index);
                    continue;
                }
                _ => continue,
            }
            match index_space(&session, extension, index.oid).await {
                Ok(Some(row)) => {
                    let bloat = bloat::from_index_figures(
                        row.index_size as f64 / PAGE,
                        row.leaf_pages as f64,
                        row.avg_leaf_density,
                        row.internal_pages as f64,
                        index,
                        bloat::of_index(index, relation, &snapshot.extended_statistics),
                    );
                    measured.push(looked_at(&index.name, bloat));
                }
                Ok(None) => {}
                Err(error) => notes.push(format!("{} was not measured: {error}", index.name)),
            }
        }
        if toast || !others.is_empty() {
            wanted.push(Wanted { relation, rows, indexes: others, toast });
        }
    }
    bar.finish_and_clear();
    if !wanted.is_empty() {
        by_sample(context, snapshot, &session, &wanted, &mut measured, notes).await?;
    }
    Ok(measured)
}

/// Rewrites samples in a local server. Without one, or without rows, the rest can still be said.
async fn by_sample(
    context: &Context,
    snapshot: &Snapshot,
    session: &Session,
    wanted: &[Wanted<'_>],
    measured: &mut Vec<Measured>,
    notes: &mut Vec<String>,
) -> Result<(), CommandError> {
    let none = "TOAST and indexes of GIN, GiST and SP-GiST were not measured";
    if snapshot.schema_sql.is_empty() {
        notes.push(format!("{none}: without the schema a sample has no types"));
        return Ok(());
    }
    let found = Binaries::discover(&context.search());
    let options = TrialOptions { statement_timeout: SAMPLE_TIMEOUT, ..TrialOptions::default() };
    let started = match Trial::choose_binaries(snapshot, &found) {
        Ok(binaries) => Trial::start(snapshot, &binaries, options).await,
        Err(error) => Err(error),
    };
    let mut trial = match started {
        Ok(trial) => trial,
        Err(error) => {
            notes.push(format!("{none}: {error}"));
            return Ok(());
        }
    };
    let spinner = context.printer.spinner("rewriting samples in a local server");
    for table in wanted {
        if let Err(reason) = one(context, session, &mut trial, table, measured, notes).await? {
            let name = &table.relation.name;
            notes.push(format!("TOAST and indexes of other methods of {name} were not measured: {reason}"));
        }
    }
    spinner.finish_and_clear();
    trial.stop().await?;
    Ok(())
}

/// Rewrites the sample of one table, or tells why not.
async fn one(
    context: &Context,
    session: &Session,
    trial: &mut Trial,
    wanted: &Wanted<'_>,
    measured: &mut Vec<Measured>,
    notes: &mut Vec<String>,
) -> Result<Result<(), String>, CommandError> {
    let relation = wanted.relation;
    let columns = columns(wanted);
    // Values of TOAST are longer than statistics say, which see their pointers.
    let row_bytes = relation.table_bytes.0.checked_div(wanted.rows.max(1.0) as u64).unwrap_or(1).max(1);
    let source = SampleSource {
        table: &relation.name,
        columns: &columns,
        with_children: false,
        rows: wanted.rows,
        pages: u64::try_from(relation.pages.max(relation.relpages)).unwrap_or(0),
        row_bytes,
    };
    let limits = SampleLimits {
        rows: SAMPLE_ROWS,
        bytes: 256 << 20,
        statement_timeout: SAMPLE_TIMEOUT,
        lock_timeout: context.settings.lock_timeout,
        ..SampleLimits::default()
    };
    let sample = match postgres::sample::read(session, &source, &limits).await {
        Ok(sample) if sample.is_cut => {
            return Ok(Err(format!(
                "its rows are so wide that a sample would be larger than {}",
                model::Bytes(256 << 20)
            )));
        }
        Ok(sample) if sample.rows == 0 => return Ok(Err("it has no rows to draw a sample from".into())),
        Ok(sample) => sample,
        Err(error) => return Ok(Err(format!("no sample could be taken: {error}"))),
    };
    let facts = SampleFacts {
        rows: sample.rows as f64,
        of_rows: wanted.rows.max(sample.rows as f64),
        bytes: sample.bytes,
        is_whole: sample.is_whole,
    };
    let definitions: Vec<IndexDefinition> = wanted.indexes.iter().map(|i| definition(i)).collect();
    let how = match facts.is_whole {
        true => format!("rewritten in a local server of version {}", trial.major()),
        false => format!(
            "a sample of {:.0} rows rewritten in a local server of version {}",
            facts.rows,
            trial.major()
        ),
    };
    let source = Source { relation, columns: &columns, data: sample.data, facts, existing: Vec::new() };
    let rewritten = match trial.rewrite(&source, &definitions).await? {
        Ok(rewritten) => rewritten,
        Err(refused) => return Ok(Err(format!("a local server did not take the sample: {refused}"))),
    };
    for (index, pages) in wanted.indexes.iter().zip(rewritten.indexes) {
        match pages {
            Ok(fresh_pages) => {
                let pages = index.pages as f64;
                let bloat = Bloat { pages, fresh_pages: fresh_pages.min(pages) };
                measured.push(Measured { name: index.name.clone(), bloat, toast: None, how: how.clone() });
            }
            Err(reason) => notes.push(format!("{} was not measured: {reason}", index.name)),
        }
    }
    let table = measured.iter_mut().find(|m| m.name == relation.name);
    if let Some(table) = table.filter(|_| wanted.toast) {
        let pages = relation.toast_pages as f64;
        table.toast = Some(Bloat { pages, fresh_pages: rewritten.toast_pages.min(pages) });
        table.how = format!("{}; TOAST: {how}", table.how);
    }
    Ok(Ok(()))
}

/// All columns for TOAST, else those that the indexes mention.
fn columns(wanted: &Wanted<'_>) -> Vec<String> {
    let mut mentioned = BTreeSet::new();
    for index in &wanted.indexes {
        mentioned.extend(index.definition.include.iter().cloned());
        let expressions = index.definition.keys.iter().filter_map(|key| match &key.target {
            KeyTarget::Column(name) => {
                mentioned.insert(name.clone());
                None
            }
            KeyTarget::Expression(text) => Some(text),
        });
        for text in expressions.collect::<Vec<_>>().into_iter().chain(&index.definition.predicate) {
            mentioned.extend(sql::expression_ingredients(text).columns);
        }
    }
    let all = wanted.relation.columns.iter().map(|c| c.name.clone());
    all.filter(|name| wanted.toast || mentioned.contains(name)).collect()
}

/// The definition with the parameters of operator classes, which stand in its text only.
fn definition(index: &Index) -> IndexDefinition {
    let mut definition = index.definition.clone();
    if let Ok([sql::Idea::CreateIndex(written)]) = sql::ideas(&index.indexdef).as_deref() {
        for (key, as_written) in definition.keys.iter_mut().zip(&written.keys) {
            key.opclass_options.clone_from(&as_written.opclass_options);
        }
    }
    definition
}
