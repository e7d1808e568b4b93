//! May the index of a partitioned table go, and is it gone? `DROP INDEX`, which takes the indexes of
//! all partitions along.
//!
//! Source: PostgreSQL manual, "DROP INDEX": there is no `CONCURRENTLY` for it. It locks the table and
//! every partition with ACCESS EXCLUSIVE for an instant (`RangeVarCallbackForDropRelation()` in
//! `src/backend/commands/tablecmds.c`). Renames that belong to it run in the same transaction.

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use model::{QualifiedName, quote_identifier};
use tokio_postgres::Client;

use super::{Condition, Inspection, Operation, Site, index_rules};
use crate::action::{Action, PartitionChange, Renaming, TreePart, TreeRoot};
use crate::catalog;
use crate::error::Error;
use crate::objection::Objection;
use crate::partitions::tree;

/// See the module.
pub(super) struct DropPartitionedIndex;

struct Drop<'a> {
    root: &'a TreeRoot,
    definition: &'a str,
    parts: &'a [TreePart],
    renames: &'a [Renaming],
}

fn drop_of(action: &Action) -> Option<Drop<'_>> {
    match action {
        Action::Partition(PartitionChange::DropPartitionedIndex { root, definition, parts, renames }) => {
            Some(Drop { root, definition, parts, renames })
        }
        _ => None,
    }
}

impl Operation for DropPartitionedIndex {
    fn id(&self) -> &'static str {
        "drop_partitioned_index"
    }

    fn action(&self) -> &'static str {
        "drop index"
    }

    fn undo_action(&self) -> &'static str {
        "make index again"
    }

    fn accepts(&self, action: &Action) -> bool {
        drop_of(action).is_some()
    }

    fn statement(&self, action: &Action) -> String {
        self.statements(action).join("; ")
    }

    fn statements(&self, action: &Action) -> Vec<String> {
        let Some(drop) = drop_of(action) else { return Vec::new() };
        let renames = drop
            .renames
            .iter()
            .map(|r| format!("ALTER INDEX {} RENAME TO {}", r.from, quote_identifier(&r.to)));
        std::iter::once(index_rules::drop_whole_sql(&drop.root.index)).chain(renames).collect()
    }

    fn undo_statement(&self, action: &Action) -> Option<String> {
        let drop = drop_of(action)?;
        let (parents, leaves): (Vec<&TreePart>, Vec<&TreePart>) =
            drop.parts.iter().partition(|p| p.is_partitioned);
        let attach = drop.parts.iter().rev().filter_map(|p| {
            Some(format!("ALTER INDEX {} ATTACH PARTITION {}", p.parent.as_ref()?, p.index.name))
        });
        let statements: Vec<String> = parents
            .iter()
            .map(|p| p.index.create_sql(false, true))
            .chain(leaves.iter().map(|p| p.index.create_sql(true, false)))
            .chain(attach)
            .collect();
        (!statements.is_empty()).then(|| statements.join("; "))
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
            match drop_of(action) {
                Some(drop) => preflight(site, &drop).await,
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
            match drop_of(action) {
                Some(drop) => inspect(client, drop.root, drop.definition).await,
                None => Ok(Condition::NotDone),
            }
        }
        .boxed()
    }
}

async fn preflight(site: &Site<'_>, drop: &Drop<'_>) -> Result<Inspection, Error> {
    let mut inspection = Inspection::default();
    let (index, table) = (&drop.root.index, &drop.root.table);
    let Some(state) = catalog::index_state(site.client, index).await? else {
        inspection.object_to(Objection::IndexMissing { index: index.clone() });
        return Ok(inspection);
    };
    if state.table.as_ref() != Some(table) || state.definition.as_deref() != Some(drop.definition) {
        let found = index_rules::found(&state);
        let expected = drop.definition.to_owned();
        inspection.object_to(Objection::IndexChanged { index: index.clone(), expected, found });
        return Ok(inspection);
    }
    if let Some(parent) = state.parent {
        inspection.object_to(Objection::AttachedIndex { index: index.clone(), parent });
    }
    let parts = tree::index_parts(site.client, index).await?;
    for part in &parts {
        if let Some(constraint) = part.constraint.clone() {
            let index = part.index.name.clone();
            inspection.object_to(Objection::ConstraintIndex { index, constraint });
        }
        if part.replica_identity {
            inspection.object_to(Objection::ReplicaIdentity { index: part.index.name.clone() });
        }
    }
    if let Some(facts) = catalog::table_facts(site.client, table).await?
        && !facts.is_owner
    {
        inspection.object_to(Objection::NotOwner {
            table: table.clone(),
            owner: facts.owner,
            role: site.facts.role.clone(),
        });
    }
    if let Some(notice) = lock_table_notice(site.client, table, parts.len()).await? {
        inspection.notices.push(notice);
    }
    Ok(inspection)
}

async fn inspect(client: &Client, root: &TreeRoot, definition: &str) -> Result<Condition, Error> {
    Ok(match catalog::index_state(client, &root.index).await? {
        None => Condition::Done { made: None },
        Some(state)
            if state.table.as_ref() == Some(&root.table)
                && state.definition.as_deref() == Some(definition) =>
        {
            Condition::NotDone
        }
        Some(state) => Condition::Foreign { found: index_rules::found(&state) },
    })
}

/// Each table and each index takes a place in the server's lock table.
async fn lock_table_notice(
    client: &Client,
    table: &QualifiedName,
    indexes: usize,
) -> Result<Option<String>, Error> {
    let doing = || Error::query("read the size of the lock table");
    let places: i64 = client
        .query_one(
            "select /* pgwright:apply_lock_table */ \
               pg_catalog.current_setting('max_locks_per_transaction')::bigint \
               * (pg_catalog.current_setting('max_connections')::bigint \
                  + pg_catalog.current_setting('max_prepared_transactions')::bigint) as places",
            &[],
        )
        .await
        .and_then(|row| row.try_get("places"))
        .map_err(doing())?;
    let needed = i64::try_from(indexes.saturating_mul(2)).unwrap_or(i64::MAX);
    Ok((needed > places / 2).then(|| {
        format!(
            "Dropping an index of {table} with {indexes} parts needs about {needed} locks at once; the server has room \
             for about {places} (max_locks_per_transaction)."
        )
    }))
}
