//! May the index of a partition become part of that of its parent, and is it? `ALTER INDEX … ATTACH
//! PARTITION`.
//!
//! Source: PostgreSQL manual, "ALTER INDEX"; `ATExecAttachPartitionIdx()` in
//! `src/backend/commands/tablecmds.c`. It is one transaction. It locks the index of the partition with
//! ACCESS EXCLUSIVE for an instant, so it waits for everybody who has used the partition and not ended
//! the transaction, and whoever comes then waits as well.

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use model::QualifiedName;
use tokio_postgres::Client;

use super::{Condition, Inspection, Operation, Site, index_rules};
use crate::action::{Action, PartitionChange};
use crate::catalog;
use crate::error::Error;
use crate::objection::Objection;
use crate::partitions::tree;

/// See the module.
pub(super) struct AttachIndex;

struct Attachment<'a> {
    root_table: &'a QualifiedName,
    parent: &'a QualifiedName,
    index: &'a QualifiedName,
    table: &'a QualifiedName,
    again: bool,
}

fn attachment_of(action: &Action) -> Option<Attachment<'_>> {
    match action {
        Action::Partition(PartitionChange::AttachIndex { root, parent, index, table, again, .. }) => {
            Some(Attachment { root_table: &root.table, parent, index, table, again: *again })
        }
        _ => None,
    }
}

impl Operation for AttachIndex {
    fn id(&self) -> &'static str {
        "attach_index"
    }

    fn action(&self) -> &'static str {
        "attach index"
    }

    fn undo_action(&self) -> &'static str {
        "detach index"
    }

    fn accepts(&self, action: &Action) -> bool {
        attachment_of(action).is_some()
    }

    fn statement(&self, action: &Action) -> String {
        match attachment_of(action) {
            Some(it) => format!("ALTER INDEX {} ATTACH PARTITION {}", it.parent, it.index),
            None => String::new(),
        }
    }

    fn undo_statement(&self, _action: &Action) -> Option<String> {
        // It goes with the whole.
        None
    }

    fn changes_schema(&self) -> bool {
        true
    }

    fn waits_for_transactions(&self) -> bool {
        false
    }

    fn takes_name(&self) -> bool {
        false
    }

    fn preflight<'a>(
        &'a self,
        site: &'a Site<'a>,
        action: &'a Action,
    ) -> BoxFuture<'a, Result<Inspection, Error>> {
        async move {
            match attachment_of(action) {
                Some(attachment) => preflight(site, &attachment).await,
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
            match attachment_of(action) {
                Some(attachment) => inspect(client, &attachment).await,
                None => Ok(Condition::NotDone),
            }
        }
        .boxed()
    }
}

async fn preflight(site: &Site<'_>, it: &Attachment<'_>) -> Result<Inspection, Error> {
    let mut inspection = Inspection::default();
    if !tree::is_partition_of(site.client, it.table, it.root_table).await? {
        inspection.already =
            Some(format!("Table {} is no partition of {} any more.", it.table, it.root_table));
        return Ok(inspection);
    }
    // An index that is not there yet is one that an earlier step builds.
    let Some(state) = catalog::index_state(site.client, it.index).await? else { return Ok(inspection) };
    match &state.parent {
        Some(parent) if parent != it.parent => {
            let (index, parent) = (it.index.clone(), parent.clone());
            inspection.object_to(Objection::AttachedIndex { index, parent });
        }
        Some(_) if !it.again => {
            inspection.already = Some(format!("Index {} was attached already.", it.index));
        }
        _ => {}
    }
    if state.table.as_ref() != Some(it.table) {
        let (index, found) = (it.index.clone(), index_rules::found(&state));
        inspection.object_to(Objection::IndexChanged {
            index,
            expected: format!("an index of {}", it.table),
            found,
        });
    }
    Ok(inspection)
}

async fn inspect(client: &Client, it: &Attachment<'_>) -> Result<Condition, Error> {
    let Some(state) = catalog::index_state(client, it.index).await? else { return Ok(Condition::NotDone) };
    match &state.parent {
        None => Ok(Condition::NotDone),
        Some(parent) if parent == it.parent => {
            let above = catalog::index_state(client, it.parent).await?;
            match it.again && above.is_none_or(|p| !p.valid) {
                true => Ok(Condition::NotDone),
                false => Ok(Condition::Done { made: None }),
            }
        }
        Some(parent) => Ok(Condition::Foreign { found: format!("an index that is attached to {parent}") }),
    }
}
