//! May a partitioned table get an index that its partitions have already? `CREATE INDEX` on the
//! partitioned table, which finds an equal index on each partition and attaches it.
//!
//! Source: PostgreSQL manual, "CREATE INDEX"; `DefineIndex()` in `src/backend/commands/indexcmds.c`. It
//! is the only way to a valid index where some partitions are foreign tables, because those cannot be
//! attached and are counted. It locks all partitions with SHARE; a partition that has no such index by
//! then would get one under that lock, so the statement is given no more time than a lock is.

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio_postgres::Client;

use super::{Condition, Inspection, Operation, Site, create_parent_index, index_rules};
use crate::action::{Action, PartitionChange, TreeIndex};
use crate::error::Error;

/// See the module.
pub(super) struct CreateOverPartitions;

fn index_of(action: &Action) -> Option<&TreeIndex> {
    match action {
        Action::Partition(PartitionChange::CreateOverPartitions { index, .. }) => Some(index),
        _ => None,
    }
}

impl Operation for CreateOverPartitions {
    fn id(&self) -> &'static str {
        "create_over_partitions"
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
        index_of(action).map(|index| index.create_sql(false, false)).unwrap_or_default()
    }

    fn undo_statement(&self, action: &Action) -> Option<String> {
        index_of(action).map(|index| index_rules::drop_whole_sql(&index.name))
    }

    fn changes_schema(&self) -> bool {
        true
    }

    fn waits_for_transactions(&self) -> bool {
        false
    }

    fn is_bounded(&self) -> bool {
        true
    }

    fn preflight<'a>(
        &'a self,
        site: &'a Site<'a>,
        action: &'a Action,
    ) -> BoxFuture<'a, Result<Inspection, Error>> {
        async move {
            match index_of(action) {
                Some(index) => create_parent_index::preflight(site, index).await,
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
                Some(index) => create_parent_index::inspect(client, index).await,
                None => Ok(Condition::NotDone),
            }
        }
        .boxed()
    }
}
