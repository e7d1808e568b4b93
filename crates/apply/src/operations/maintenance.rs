//! May this table be analyzed or vacuumed? Neither has an opposite: statistics change nothing that a
//! schema dump shows, and the next automatic run would replace the former ones anyway.
//!
//! Source: PostgreSQL manual, "ANALYZE" and "VACUUM": without the privilege the server only warns and
//! skips the table, so preflight has to ask. A stopped ANALYZE leaves the former statistics, a stopped
//! VACUUM keeps what it has done so far; neither leaves anything to clean up.

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use model::Change;
use tokio_postgres::Client;

use super::{Condition, Inspection, Operation, Site};
use crate::action::Action;
use crate::catalog;
use crate::error::Error;
use crate::objection::Objection;

/// A command that changes what is known of a table rather than the table.
pub(super) struct Maintenance {
    id: &'static str,
    action: &'static str,
    command: &'static str,
    accepts: fn(&Change) -> bool,
    /// The kinds of relations that it takes, as in `pg_class.relkind`.
    kinds: &'static [char],
}

/// `ANALYZE`.
pub(super) const ANALYZE: Maintenance = Maintenance {
    id: "analyze",
    action: "analyze table",
    command: "ANALYZE",
    accepts: |change| matches!(change, Change::Analyze { .. }),
    kinds: &['r', 'p', 'm', 'f'],
};

/// `VACUUM`: dead tuples, the visibility map and the statistics in one go.
pub(super) const VACUUM: Maintenance = Maintenance {
    id: "vacuum",
    action: "vacuum table",
    command: "VACUUM (ANALYZE)",
    accepts: |change| matches!(change, Change::Vacuum { .. }),
    kinds: &['r', 'p', 'm'],
};

impl Operation for Maintenance {
    fn id(&self) -> &'static str {
        self.id
    }

    fn action(&self) -> &'static str {
        self.action
    }

    fn undo_action(&self) -> &'static str {
        "restore statistics of"
    }

    fn accepts(&self, action: &Action) -> bool {
        matches!(action, Action::Change(change) if (self.accepts)(change))
    }

    fn statement(&self, action: &Action) -> String {
        format!("{} {}", self.command, action.table())
    }

    fn undo_statement(&self, _action: &Action) -> Option<String> {
        None
    }

    fn changes_schema(&self) -> bool {
        false
    }

    fn preflight<'a>(
        &'a self,
        site: &'a Site<'a>,
        action: &'a Action,
    ) -> BoxFuture<'a, Result<Inspection, Error>> {
        async move {
            let table = action.table();
            let mut inspection = Inspection::default();
            let Some(facts) = catalog::table_facts(site.client, table).await? else {
                inspection.object_to(Objection::TableMissing { table: table.clone() });
                return Ok(inspection);
            };
            if !self.kinds.contains(&facts.relkind) {
                let kind = catalog::kind_name(facts.relkind);
                inspection.object_to(Objection::WrongKind { relation: table.clone(), kind });
            }
            // The owner, the owner of the database, or since 17 who holds MAINTAIN.
            if !(facts.is_owner || facts.is_database_owner || facts.may_maintain) {
                inspection.object_to(Objection::NotOwner {
                    table: table.clone(),
                    owner: facts.owner,
                    role: site.facts.role.clone(),
                });
            }
            Ok(inspection)
        }
        .boxed()
    }

    fn undo_preflight<'a>(
        &'a self,
        _site: &'a Site<'a>,
        action: &'a Action,
        _made: Option<(u32, &'a str)>,
    ) -> BoxFuture<'a, Result<Inspection, Error>> {
        let already = Some(format!("Statistics of {} need no undoing.", action.table()));
        async { Ok(Inspection { already, ..Inspection::default() }) }.boxed()
    }

    fn inspect<'a>(
        &'a self,
        _client: &'a Client,
        _action: &'a Action,
    ) -> BoxFuture<'a, Result<Condition, Error>> {
        async { Ok(Condition::NotDone) }.boxed()
    }
}
