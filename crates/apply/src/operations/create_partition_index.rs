//! May the index be built on this partition, and is it there? `CREATE INDEX CONCURRENTLY` on one table
//! of a partition tree.
//!
//! Source: PostgreSQL manual, "CREATE INDEX", section "Building Indexes Concurrently", and
//! "Partitioning".

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio_postgres::Client;

use super::{Condition, Inspection, Operation, Site, create_index, index_rules};
use crate::action::{Action, PartitionChange, TreeIndex, TreeRoot};
use crate::catalog;
use crate::error::Error;
use crate::objection::Objection;
use crate::partitions::tree;

/// See the module.
pub(super) struct CreatePartitionIndex;

fn index_of(action: &Action) -> Option<(&TreeRoot, &TreeIndex)> {
    match action {
        Action::Partition(PartitionChange::CreatePartitionIndex { root, index }) => Some((root, index)),
        _ => None,
    }
}

impl Operation for CreatePartitionIndex {
    fn id(&self) -> &'static str {
        "create_partition_index"
    }

    fn action(&self) -> &'static str {
        "create index"
    }

    fn undo_action(&self) -> &'static str {
        "drop index"
    }

    fn accepts(&self, action: &Action) -> bool {
        index_of(action).is_some()
    }

    fn statement(&self, action: &Action) -> String {
        index_of(action).map(|(_, index)| index.create_sql(true, false)).unwrap_or_default()
    }

    fn undo_statement(&self, _action: &Action) -> Option<String> {
        // It goes with the whole.
        None
    }

    fn changes_schema(&self) -> bool {
        true
    }

    fn preflight<'a>(
        &'a self,
        site: &'a Site<'a>,
        action: &'a Action,
    ) -> BoxFuture<'a, Result<Inspection, Error>> {
        async move {
            match index_of(action) {
                Some((root, index)) => preflight(site, root, index).await,
                None => Ok(Inspection::default()),
            }
        }
        .boxed()
    }

    fn undo_preflight<'a>(
        &'a self,
        _site: &'a Site<'a>,
        _action: &'a Action,
        _made: Option<(u32, &'a str)>,
    ) -> BoxFuture<'a, Result<Inspection, Error>> {
        async { Ok(Inspection::default()) }.boxed()
    }

    fn inspect<'a>(
        &'a self,
        client: &'a Client,
        action: &'a Action,
    ) -> BoxFuture<'a, Result<Condition, Error>> {
        async move {
            match index_of(action) {
                Some((_, index)) => {
                    index_rules::inspect_wanted(client, &index.name, &index.table, &index.shape).await
                }
                None => Ok(Condition::NotDone),
            }
        }
        .boxed()
    }
}

async fn preflight(site: &Site<'_>, root: &TreeRoot, index: &TreeIndex) -> Result<Inspection, Error> {
    let mut inspection = Inspection::default();
    let table = &index.table;
    let facts = catalog::table_facts(site.client, table).await?;
    let (Some(facts), true) = (facts, tree::is_partition_of(site.client, table, &root.table).await?) else {
        inspection.already = Some(format!("Table {table} is no partition of {} any more.", root.table));
        return Ok(inspection);
    };
    if facts.relkind != 'r' {
        let kind = catalog::kind_name(facts.relkind);
        inspection.object_to(Objection::WrongKind { relation: table.clone(), kind });
    }
    create_index::object_to_privileges(site, table, &facts, &mut inspection);
    create_index::look_at_name(site, &index.name, table, &index.shape, &mut inspection).await?;
    Ok(inspection)
}
