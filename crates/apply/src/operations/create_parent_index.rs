//! May a partitioned table have an index of its own, without those of its partitions? `CREATE INDEX …
//! ON ONLY`, the first step of giving the index to all of them.
//!
//! Source: PostgreSQL manual, "CREATE INDEX": the index is invalid until an index of each partition
//! has been attached, serves no query and costs nothing; partitions that are made or attached from
//! then on get one. The statement locks the table with SHARE but not its partitions.

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use model::quote_identifier;
use tokio_postgres::Client;

use super::{Condition, Inspection, Operation, Site, create_index, index_rules};
use crate::action::{Action, PartitionChange, TreeIndex};
use crate::catalog;
use crate::error::Error;
use crate::objection::Objection;

/// See the module.
pub(super) struct CreateParentIndex;

fn index_of(action: &Action) -> Option<&TreeIndex> {
    match action {
        Action::Partition(PartitionChange::CreateParentIndex { index, .. }) => Some(index),
        _ => None,
    }
}

impl Operation for CreateParentIndex {
    fn id(&self) -> &'static str {
        "create_parent_index"
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
        index_of(action).map(|index| index.create_sql(false, true)).unwrap_or_default()
    }

    fn undo_statement(&self, action: &Action) -> Option<String> {
        // The index of a lower table goes with that of the uppermost.
        let index = index_of(action)?;
        let whole = action.root().is_some_and(|root| root.index == index.name);
        whole.then(|| index_rules::drop_whole_sql(&index.name))
    }

    fn changes_schema(&self) -> bool {
        true
    }

    fn waits_for_transactions(&self) -> bool {
        false
    }

    fn preflight<'a>(
        &'a self,
        site: &'a Site<'a>,
        action: &'a Action,
    ) -> BoxFuture<'a, Result<Inspection, Error>> {
        async move {
            match index_of(action) {
                Some(index) => preflight(site, index).await,
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
                Some(index) => inspect(client, index).await,
                None => Ok(Condition::NotDone),
            }
        }
        .boxed()
    }
}

/// What `CREATE INDEX` on a partitioned table needs of the table, whether `ON ONLY` it or not.
pub(super) async fn preflight(site: &Site<'_>, index: &TreeIndex) -> Result<Inspection, Error> {
    let mut inspection = Inspection::default();
    let (name, table) = (&index.name, &index.table);
    if name.name.len() > create_index::LONGEST_NAME {
        let (name, bytes) = (name.name.clone(), name.name.len());
        inspection.object_to(Objection::NameTooLong { name, bytes });
        return Ok(inspection);
    }
    let Some(facts) = catalog::table_facts(site.client, table).await? else {
        inspection.object_to(Objection::TableMissing { table: table.clone() });
        return Ok(inspection);
    };
    if facts.relkind != 'p' {
        let kind = catalog::kind_name(facts.relkind);
        inspection.object_to(Objection::WrongKind { relation: table.clone(), kind });
    }
    create_index::object_to_privileges(site, table, &facts, &mut inspection);
    let known: Vec<String> = facts.columns.iter().map(|c| quote_identifier(c)).collect();
    let missing: Vec<String> = index
        .shape
        .plain_columns()
        .filter(|column| !known.iter().any(|k| k == column))
        .map(str::to_owned)
        .collect();
    if !missing.is_empty() {
        inspection.object_to(Objection::ColumnsMissing { table: table.clone(), columns: missing });
    }
    if let Some(state) = catalog::index_state(site.client, name).await? {
        if state.resembles(table, &index.shape) && state.relkind == 'I' {
            inspection.already = Some(format!("Index {name} was there already."));
        } else {
            let kind = catalog::kind_name(state.relkind);
            inspection.object_to(Objection::NameTaken { name: name.clone(), kind });
        }
    }
    Ok(inspection)
}

/// It is one transaction, and an index that is invalid is as far as this statement goes.
pub(super) async fn inspect(client: &Client, index: &TreeIndex) -> Result<Condition, Error> {
    Ok(match catalog::index_state(client, &index.name).await? {
        None => Condition::NotDone,
        Some(state) if state.relkind == 'I' && state.resembles(&index.table, &index.shape) => {
            Condition::Done { made: state.definition.map(|d| (state.oid, d)) }
        }
        Some(state) => Condition::Foreign { found: index_rules::found(&state) },
    })
}
