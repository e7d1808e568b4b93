//! May this index go, and is it gone? `DROP INDEX CONCURRENTLY` and its opposite.
//!
//! Source: PostgreSQL manual, "DROP INDEX" and "ALTER TABLE … REPLICA IDENTITY".

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use model::{Change, QualifiedName};
use tokio_postgres::Client;

use super::{Condition, Inspection, Operation, Site, index_rules};
use crate::action::Action;
use crate::catalog;
use crate::error::Error;
use crate::objection::Objection;

/// See the module.
pub(super) struct DropIndex;

impl Operation for DropIndex {
    fn id(&self) -> &'static str {
        "drop_index"
    }

    fn action(&self) -> &'static str {
        "drop index"
    }

    fn undo_action(&self) -> &'static str {
        "make index again"
    }

    fn accepts(&self, action: &Action) -> bool {
        matches!(action, Action::Change(Change::DropIndex { .. }))
    }

    fn statement(&self, action: &Action) -> String {
        index_rules::drop_sql(&action.object())
    }

    fn undo_statement(&self, action: &Action) -> Option<String> {
        match action {
            Action::Change(Change::DropIndex { definition, .. }) => index_rules::recreate_sql(definition),
            _ => None,
        }
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
            match action {
                Action::Change(Change::DropIndex { name, table, definition }) => {
                    preflight(site, name, table, definition).await
                }
                _ => Ok(Inspection::default()),
            }
        }
        .boxed()
    }

    fn undo_preflight<'a>(
        &'a self,
        site: &'a Site<'a>,
        action: &'a Action,
        _made: Option<(u32, &'a str)>,
    ) -> BoxFuture<'a, Result<Inspection, Error>> {
        async move {
            match action {
                Action::Change(Change::DropIndex { name, table, definition }) => {
                    undo_preflight(site, name, table, definition).await
                }
                _ => Ok(Inspection::default()),
            }
        }
        .boxed()
    }

    fn inspect<'a>(
        &'a self,
        client: &'a Client,
        action: &'a Action,
    ) -> BoxFuture<'a, Result<Condition, Error>> {
        async move {
            match action {
                Action::Change(Change::DropIndex { name, table, definition }) => {
                    index_rules::inspect_unwanted(client, name, table, definition).await
                }
                _ => Ok(Condition::NotDone),
            }
        }
        .boxed()
    }
}

pub(super) async fn preflight(
    site: &Site<'_>,
    name: &QualifiedName,
    table: &QualifiedName,
    definition: &str,
) -> Result<Inspection, Error> {
    let mut inspection = Inspection::default();
    let index = name.clone();
    let Some(state) = catalog::index_state(site.client, name).await? else {
        inspection.object_to(Objection::IndexMissing { index });
        return Ok(inspection);
    };
    // The stored definition is what undo will run, so it must be the server's own words for this
    // very index.
    if !state.is_index()
        || state.table.as_ref() != Some(table)
        || state.definition.as_deref() != Some(definition)
    {
        let found = index_rules::found(&state);
        inspection.object_to(Objection::IndexChanged { index, expected: definition.to_owned(), found });
        return Ok(inspection);
    }
    if state.relkind == 'I' {
        inspection.object_to(Objection::Partitioned {
            table: table.clone(),
            reason:
                "Its index was changed since the plan was made; DROP INDEX CONCURRENTLY is not possible for \
                the index of a partitioned table."
                    .into(),
        });
    }
    if let Some(constraint) = state.constraint {
        inspection.object_to(Objection::ConstraintIndex { index: index.clone(), constraint });
    }
    if let Some(parent) = state.parent {
        inspection.object_to(Objection::AttachedIndex { index: index.clone(), parent });
    }
    if state.replica_identity {
        inspection.object_to(Objection::ReplicaIdentity { index: index.clone() });
    }
    if let Some(pid) = state.busy_pid {
        inspection.object_to(Objection::Busy { index, pid });
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
    Ok(inspection)
}

/// Whether the index can be made again.
async fn undo_preflight(
    site: &Site<'_>,
    name: &QualifiedName,
    table: &QualifiedName,
    definition: &str,
) -> Result<Inspection, Error> {
    let mut inspection = Inspection::default();
    let Some(facts) = catalog::table_facts(site.client, table).await? else {
        inspection.object_to(Objection::TableMissing { table: table.clone() });
        return Ok(inspection);
    };
    if !facts.is_owner {
        inspection.object_to(Objection::NotOwner {
            table: table.clone(),
            owner: facts.owner,
            role: site.facts.role.clone(),
        });
    }
    if let Some(state) = catalog::index_state(site.client, name).await? {
        if state.valid && state.definition.as_deref() == Some(definition) {
            inspection.already = Some(format!("Index {name} had already been made again by somebody else."));
        } else {
            let kind = catalog::kind_name(state.relkind);
            inspection.object_to(Objection::NameTaken { name: name.clone(), kind });
        }
    }
    Ok(inspection)
}
