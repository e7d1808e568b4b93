//! How much of large tables and indexes is free, by looking at their pages?

use advice::schema::Settings;
use advice::schema::bloat::{self, Measured};
use model::Snapshot;
use model::snapshot::RelationKind;
use postgres::statistics::space::{heap_space, index_space};

use super::Context;
use crate::error::CommandError;

/// A page of a default build.
const PAGE: f64 = 8192.0;

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
    let large = |pages: i64| pages.max(0) as f64 * PAGE >= settings.thresholds.bloat_min_bytes as f64;
    for relation in &snapshot.relations {
        bar.inc(1);
        if !matches!(relation.kind, RelationKind::Table | RelationKind::MaterializedView) {
            continue;
        }
        if large(relation.pages) {
            match heap_space(&session, extension, relation.oid).await {
                Ok(Some(row)) => measured.push(Measured {
                    name: relation.name.clone(),
                    bloat: bloat::from_heap_figures(
                        row.table_len as f64 / PAGE,
                        row.tuple_count as f64,
                        row.tuple_len as f64,
                        relation,
                    ),
                }),
                Ok(None) => {}
                Err(error) => notes.push(format!("{} was not measured: {error}", relation.name)),
            }
        }
        for index in snapshot.indexes_of(&relation.name) {
            if !large(index.pages) || index.definition.access_method != "btree" || !index.valid {
                continue;
            }
            match index_space(&session, extension, index.oid).await {
                Ok(Some(row)) => measured.push(Measured {
                    name: index.name.clone(),
                    bloat: bloat::from_index_figures(
                        row.index_size as f64 / PAGE,
                        row.leaf_pages as f64,
                        row.avg_leaf_density,
                        row.internal_pages as f64,
                        index,
                    ),
                }),
                Ok(None) => {}
                Err(error) => notes.push(format!("{} was not measured: {error}", index.name)),
            }
        }
    }
    bar.finish_and_clear();
    Ok(measured)
}
