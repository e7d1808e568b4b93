//! How does a table become one partition of a new one without a row being copied? Its keys are built once more with
//! the partition column, concurrently; the swap then only changes the catalog.
//!
//! Source: PostgreSQL manual, "ALTER TABLE" (ATTACH PARTITION skips its scan when a CHECK implies the bound; ADD
//! table_constraint_using_index), "CREATE INDEX" (CONCURRENTLY).

use model::{quote_identifier, quote_literal};

use super::plan::ConversionPlan;
use super::site::{Site, open_session};
use super::state::Step;
use super::subject::Index;
use crate::error::Error;

/// The keys that have to be built once more with the partition column.
pub(crate) fn wider(plan: &ConversionPlan) -> impl Iterator<Item = &Index> {
    plan.subject.indexes.iter().filter(|i| i.unique && !i.has_key(&plan.column))
}

/// The statement that builds such a key.
pub(crate) fn build_wider(plan: &ConversionPlan, index: &Index) -> String {
    format!(
        "CREATE UNIQUE INDEX CONCURRENTLY {} ON {} {}",
        quote_identifier(&plan.kept_index(index).name),
        plan.table,
        plan.placed_shape_of(index)
    )
}

/// Builds those keys. What an interrupted build has left is removed first.
pub(crate) async fn build(site: &Site<'_>) -> Result<Step, Error> {
    let plan = &site.plan;
    let session = open_session(site.target, site.options).await?;
    for index in wider(plan) {
        site.check_cancelled(Step::WiderKey)?;
        let name = plan.kept_index(index);
        let state = site
            .text(&format!(
                "select /* pgwright:conversion_wider */ i.indisvalid::text from pg_catalog.pg_index i \
                 where i.indexrelid = pg_catalog.to_regclass({})",
                quote_literal(&name.to_string())
            ))
            .await?;
        if state.as_deref() == Some("true") {
            continue;
        }
        if state.is_some() {
            let drop = format!("DROP INDEX CONCURRENTLY {name}");
            session.batch_execute(&drop).await.map_err(|e| site.failed(&e))?;
        }
        session.batch_execute(&build_wider(plan, index)).await.map_err(|e| site.failed(&e))?;
    }
    site.advance(&site.session, Vec::new(), Step::Swap).await?;
    Ok(Step::Swap)
}

/// Removes those keys from a table that was not swapped.
pub(crate) async fn drop_wider(site: &Site<'_>) -> Result<(), Error> {
    let session = open_session(site.target, site.options).await?;
    for index in wider(&site.plan) {
        let name = site.plan.kept_index(index);
        let drop = format!("DROP INDEX CONCURRENTLY IF EXISTS {name}");
        session.batch_execute(&drop).await.map_err(|e| site.failed(&e))?;
    }
    Ok(())
}
