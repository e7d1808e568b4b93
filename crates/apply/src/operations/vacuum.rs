//! May this table be vacuumed? Dead tuples, the visibility map and the statistics in one go.
//!
//! Source: PostgreSQL manual, "VACUUM". A stopped VACUUM keeps what it has done so far and leaves
//! nothing to clean up.

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use model::Change;
use tokio_postgres::Client;

use super::{Condition, Inspection, Operation, Site, analyze};
use crate::error::Error;

/// See the module.
pub(super) struct Vacuum;

impl Operation for Vacuum {
    fn id(&self) -> &'static str {
        "vacuum"
    }

    fn action(&self) -> &'static str {
        "vacuum table"
    }

    fn undo_action(&self) -> &'static str {
        "restore statistics of"
    }

    fn accepts(&self, change: &Change) -> bool {
        matches!(change, Change::Vacuum { .. })
    }

    fn statement(&self, change: &Change) -> String {
        format!("VACUUM (ANALYZE) {}", change.table())
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
        analyze::maintenance_preflight(site, change.table(), &['r', 'p', 'm']).boxed()
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
        async { Ok(Condition::NotDone) }.boxed()
    }
}
