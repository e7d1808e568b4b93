//! May ANALYZE be told to look at these columns together, and has it been told? `CREATE STATISTICS` and its
//! opposite.
//!
//! Source: PostgreSQL manual, "CREATE STATISTICS", and `CreateStatistics()` in
//! `src/backend/commands/statscmds.c`: SHARE UPDATE EXCLUSIVE on the table for an instant. The object is empty until
//! the table is analyzed, so a plan always has that step behind it.

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use model::{Change, QualifiedName, StatisticsDefinition};
use tokio_postgres::Client;

use super::create_index::{LONGEST_NAME, object_to_privileges};
use super::{Condition, Inspection, Operation, Site};
use crate::action::Action;
use crate::catalog::{self, StatisticsState};
use crate::error::Error;
use crate::objection::Objection;

/// See the module.
pub(super) struct CreateStatistics;

impl Operation for CreateStatistics {
    fn id(&self) -> &'static str {
        "create_statistics"
    }

    fn action(&self) -> &'static str {
        "create statistics"
    }

    fn undo_action(&self) -> &'static str {
        "drop statistics"
    }

    fn accepts(&self, action: &Action) -> bool {
        wanted(action).is_some()
    }

    fn statement(&self, action: &Action) -> String {
        wanted(action).map(StatisticsDefinition::create_sql).unwrap_or_default()
    }

    fn undo_statement(&self, action: &Action) -> Option<String> {
        wanted(action).map(StatisticsDefinition::drop_sql)
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
            match wanted(action) {
                Some(statistics) => preflight(site, statistics).await,
                None => Ok(Inspection::default()),
            }
        }
        .boxed()
    }

    fn undo_preflight<'a>(
        &'a self,
        site: &'a Site<'a>,
        action: &'a Action,
        made: Option<(u32, &'a str)>,
    ) -> BoxFuture<'a, Result<Inspection, Error>> {
        async move {
            match (wanted(action), made) {
                (Some(statistics), Some((oid, definition))) => {
                    undo_preflight(site, &statistics.name, oid, definition).await
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
            let Some(statistics) = wanted(action) else { return Ok(Condition::NotDone) };
            Ok(match catalog::statistics_state(client, &statistics.name, None).await? {
                None => Condition::NotDone,
                Some(state) if state.resembles(statistics) => {
                    Condition::Done { made: Some((state.oid, state.definition)) }
                }
                Some(state) => Condition::Foreign { found: state.definition },
            })
        }
        .boxed()
    }
}

fn wanted(action: &Action) -> Option<&StatisticsDefinition> {
    match action {
        Action::Change(Change::CreateStatistics { statistics }) => Some(statistics),
        _ => None,
    }
}

async fn preflight(site: &Site<'_>, wanted: &StatisticsDefinition) -> Result<Inspection, Error> {
    let mut inspection = Inspection::default();
    if wanted.name.name.len() > LONGEST_NAME {
        let (name, bytes) = (wanted.name.name.clone(), wanted.name.name.len());
        inspection.object_to(Objection::NameTooLong { name, bytes });
        return Ok(inspection);
    }
    let table = wanted.table.clone();
    let Some(facts) = catalog::table_facts(site.client, &table).await? else {
        inspection.object_to(Objection::TableMissing { table });
        return Ok(inspection);
    };
    if !matches!(facts.relkind, 'r' | 'm' | 'p' | 'f') {
        let kind = catalog::kind_name(facts.relkind);
        inspection.object_to(Objection::WrongKind { relation: table.clone(), kind });
    }
    object_to_privileges(site, &table, &facts, &mut inspection);
    let missing: Vec<String> =
        wanted.columns.iter().filter(|name| !facts.columns.contains(name)).cloned().collect();
    if !missing.is_empty() {
        inspection.object_to(Objection::ColumnsMissing { table, columns: missing });
    }
    if let Some(state) = catalog::statistics_state(site.client, &wanted.name, None).await? {
        inspection.object_to(Objection::StatisticsTaken {
            name: wanted.name.clone(),
            found: state.definition.clone(),
            equal: state.resembles(wanted),
        });
    }
    Ok(inspection)
}

/// Whether the object is still the one that was made.
async fn undo_preflight(
    site: &Site<'_>,
    name: &QualifiedName,
    oid: u32,
    definition: &str,
) -> Result<Inspection, Error> {
    let mut inspection = Inspection::default();
    let state: Option<StatisticsState> = catalog::statistics_state(site.client, name, Some(oid)).await?;
    match state {
        None => {
            inspection.already =
                Some(format!("Statistics {name} had already been dropped by somebody else."));
        }
        Some(state) if state.definition != definition => {
            inspection.object_to(Objection::StatisticsChanged {
                name: name.clone(),
                expected: definition.to_owned(),
                found: state.definition,
            });
        }
        Some(state) if !state.is_owner => inspection.object_to(Objection::NotOwner {
            table: state.table,
            owner: state.owner,
            role: site.facts.role.clone(),
        }),
        Some(_) => {}
    }
    Ok(inspection)
}
