//! May this table be analyzed? `ANALYZE` has no opposite: statistics change nothing that a schema
//! dump shows, and the next automatic run would replace the former ones anyway.
//!
//! Source: PostgreSQL manual, "ANALYZE": without the privilege the server only warns and skips the
//! table, so preflight has to ask.

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use model::{Change, QualifiedName};
use tokio_postgres::Client;

use super::{Condition, Inspection, Operation, Site};
use crate::catalog;
use crate::error::Error;
use crate::objection::Objection;

/// See the module.
pub(super) struct Analyze;

impl Operation for Analyze {
    fn id(&self) -> &'static str {
        "analyze"
    }

    fn action(&self) -> &'static str {
        "analyze table"
    }

    fn undo_action(&self) -> &'static str {
        "restore statistics of"
    }

    fn accepts(&self, change: &Change) -> bool {
        matches!(change, Change::Analyze { .. })
    }

    fn statement(&self, change: &Change) -> String {
        format!("ANALYZE {}", change.table())
    }

    fn undo_statement(&self, _change: &Change) -> Option<String> {
        None
    }

    fn changes_schema(&self) -> bool {
        false
    }

    fn preflight<'a>(
        &'a self,
        site: &'a Site<'a>,
        change: &'a Change,
    ) -> BoxFuture<'a, Result<Inspection, Error>> {
        maintenance_preflight(site, change.table(), &['r', 'p', 'm', 'f']).boxed()
    }

    fn undo_preflight<'a>(
        &'a self,
        _site: &'a Site<'a>,
        change: &'a Change,
        _made: Option<(u32, &'a str)>,
    ) -> BoxFuture<'a, Result<Inspection, Error>> {
        let already = Some(format!("Statistics of {} need no undoing.", change.table()));
        async { Ok(Inspection { already, ..Inspection::default() }) }.boxed()
    }

    fn inspect<'a>(
        &'a self,
        _client: &'a Client,
        _change: &'a Change,
    ) -> BoxFuture<'a, Result<Condition, Error>> {
        // It is one transaction: stopped, it leaves the former statistics.
        async { Ok(Condition::NotDone) }.boxed()
    }
}

/// Whether a role may analyze or vacuum a relation: the owner, the owner of the database, or since
/// 17 who holds MAINTAIN.
pub(super) async fn maintenance_preflight(
    site: &Site<'_>,
    table: &QualifiedName,
    kinds: &[char],
) -> Result<Inspection, Error> {
    let mut inspection = Inspection::default();
    let Some(facts) = catalog::table_facts(site.client, table).await? else {
        inspection.object_to(Objection::TableMissing { table: table.clone() });
        return Ok(inspection);
    };
    if !kinds.contains(&facts.relkind) {
        let kind = catalog::kind_name(facts.relkind);
        inspection.object_to(Objection::WrongKind { relation: table.clone(), kind });
    }
    if !(facts.is_owner || facts.is_database_owner || facts.may_maintain) {
        inspection.object_to(Objection::NotOwner {
            table: table.clone(),
            owner: facts.owner,
            role: site.facts.role.clone(),
        });
    }
    Ok(inspection)
}
