//! May this index be built, and is it there? `CREATE INDEX CONCURRENTLY` and its opposite.
//!
//! Source: PostgreSQL manual, "CREATE INDEX" and "Partitioning"; for the checks `DefineIndex()` in
//! `src/backend/commands/indexcmds.c`.

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use model::{Change, IndexDefinition, KeyTarget, QualifiedName};
use tokio_postgres::Client;

use super::{Condition, Inspection, Operation, Rehearsed, Site, drop_index, index_rules, rehearse};
use crate::action::{Action, IndexShape};
use crate::catalog::{self, TableFacts, shape_of};
use crate::error::Error;
use crate::objection::Objection;

/// The longest name that PostgreSQL keeps (`NAMEDATALEN - 1`).
pub(super) const LONGEST_NAME: usize = 63;

/// See the module.
pub(super) struct CreateIndex;

impl Operation for CreateIndex {
    fn id(&self) -> &'static str {
        "create_index"
    }

    fn action(&self) -> &'static str {
        "create index"
    }

    fn undo_action(&self) -> &'static str {
        "drop index"
    }

    fn accepts(&self, action: &Action) -> bool {
        matches!(action, Action::Change(Change::CreateIndex { .. }))
    }

    fn statement(&self, action: &Action) -> String {
        match action {
            Action::Change(Change::CreateIndex { index }) => index.create_sql(true),
            _ => String::new(),
        }
    }

    fn undo_statement(&self, action: &Action) -> Option<String> {
        match action {
            Action::Change(Change::CreateIndex { index }) => {
                Some(index_rules::drop_sql(&index.qualified_name()))
            }
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
                Action::Change(Change::CreateIndex { index }) => preflight(site, index).await,
                _ => Ok(Inspection::default()),
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
            match (action, made) {
                (Action::Change(Change::CreateIndex { index }), Some((oid, definition))) => {
                    undo_preflight(site, index, oid, definition).await
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
                Action::Change(Change::CreateIndex { index }) => {
                    index_rules::inspect_wanted(
                        client,
                        &index.qualified_name(),
                        &index.table,
                        &IndexShape::of(index),
                    )
                    .await
                }
                _ => Ok(Condition::NotDone),
            }
        }
        .boxed()
    }
}

async fn preflight(site: &Site<'_>, wanted: &IndexDefinition) -> Result<Inspection, Error> {
    let mut inspection = Inspection::default();
    if wanted.name.len() > LONGEST_NAME {
        let (name, bytes) = (wanted.name.clone(), wanted.name.len());
        inspection.object_to(Objection::NameTooLong { name, bytes });
        return Ok(inspection);
    }
    let table = wanted.table.clone();
    let Some(facts) = catalog::table_facts(site.client, &table).await? else {
        inspection.object_to(Objection::TableMissing { table });
        return Ok(inspection);
    };
    match facts.relkind {
        // What is still to be done on a partitioned table comes as other actions; see below.
        'r' | 'm' | 'p' => {}
        other => inspection
            .object_to(Objection::WrongKind { relation: table.clone(), kind: catalog::kind_name(other) }),
    }
    object_to_privileges(site, &table, &facts, &mut inspection);
    let missing: Vec<String> = wanted
        .keys
        .iter()
        .filter_map(|key| match &key.target {
            KeyTarget::Column(name) => Some(name),
            KeyTarget::Expression(_) => None,
        })
        .chain(&wanted.include)
        .filter(|name| !facts.columns.contains(name))
        .cloned()
        .collect();
    if !missing.is_empty() {
        inspection.object_to(Objection::ColumnsMissing { table: table.clone(), columns: missing });
    }
    look_at_name(site, &wanted.qualified_name(), &table, &IndexShape::of(wanted), &mut inspection).await?;
    look_at_neighbors(site, wanted, &facts, &mut inspection).await?;
    if facts.relkind == 'p' && inspection.objections.is_empty() {
        inspection.object_to(Objection::Partitioned {
            table,
            reason: "It was not when the plan was made; CREATE INDEX CONCURRENTLY is not possible on a \
                partitioned table."
                .into(),
        });
    }
    Ok(inspection)
}

/// Whether the index is still the one that was made. Its OID is no proof, because `REINDEX
/// CONCURRENTLY` gives another; but it finds an index that was renamed.
async fn undo_preflight(
    site: &Site<'_>,
    index: &IndexDefinition,
    oid: u32,
    definition: &str,
) -> Result<Inspection, Error> {
    let name = index.qualified_name();
    if catalog::index_state(site.client, &name).await?.is_some() {
        return drop_index::preflight(site, &name, &index.table, definition).await;
    }
    let mut inspection = Inspection::default();
    match catalog::index_state_by_oid(site.client, oid).await? {
        Some(state) if state.is_index() && state.table.as_ref() == Some(&index.table) => {
            let found = index_rules::found(&state);
            inspection.object_to(Objection::IndexChanged {
                index: name,
                expected: definition.to_owned(),
                found,
            });
        }
        _ => inspection.already = Some(format!("Index {name} had already been dropped by somebody else.")),
    }
    Ok(inspection)
}

pub(super) fn object_to_privileges(
    site: &Site<'_>,
    table: &QualifiedName,
    facts: &TableFacts,
    inspection: &mut Inspection,
) {
    if !facts.is_owner {
        inspection.object_to(Objection::NotOwner {
            table: table.clone(),
            owner: facts.owner.clone(),
            role: site.facts.role.clone(),
        });
    }
    if !facts.may_create {
        let (schema, role) = (table.schema.clone(), site.facts.role.clone());
        inspection.object_to(Objection::NoCreate { schema, role });
    }
}

/// Whether the name is free, or held by the remains of an earlier try.
pub(super) async fn look_at_name(
    site: &Site<'_>,
    name: &QualifiedName,
    table: &QualifiedName,
    shape: &IndexShape,
    inspection: &mut Inspection,
) -> Result<(), Error> {
    let name = name.clone();
    let Some(state) = catalog::index_state(site.client, &name).await? else { return Ok(()) };
    if state.is_index() && !state.valid && state.resembles(table, shape) {
        match state.busy_pid {
            Some(pid) => inspection.object_to(Objection::Busy { index: name, pid }),
            None => inspection.notices.push(format!(
                "Index {name} exists and is invalid, left by a build that did not finish; it will be dropped \
                 and built again."
            )),
        }
    } else if state.is_index() && state.valid && state.resembles(table, shape) {
        inspection.object_to(Objection::EqualIndex { wanted: name.clone(), existing: name });
    } else {
        inspection.object_to(Objection::NameTaken { name, kind: catalog::kind_name(state.relkind) });
    }
    Ok(())
}

/// Whether another index of the table has the same shape, and what else lies around.
async fn look_at_neighbors(
    site: &Site<'_>,
    wanted: &IndexDefinition,
    facts: &TableFacts,
    inspection: &mut Inspection,
) -> Result<(), Error> {
    let existing = catalog::table_indexes(site.client, facts.oid).await?;
    for index in existing.iter().filter(|i| !i.valid && i.name.name != wanted.name) {
        inspection.notices.push(format!(
            "Index {0} is invalid{1}: it costs writes and serves no query. It can be removed with: {2};",
            index.name,
            if is_reindex_leftover(&index.name) { ", left by REINDEX CONCURRENTLY" } else { "" },
            index_rules::drop_sql(&index.name),
        ));
    }
    if !inspection.objections.is_empty() || !site.rehearse || !site.facts.may_create_temp {
        return Ok(());
    }
    match rehearse(site.client, wanted).await? {
        Rehearsed::Refused { sqlstate, message } => {
            inspection.object_to(Objection::Refused { name: wanted.qualified_name(), sqlstate, message })
        }
        Rehearsed::Possible { shape: Some(shape), .. } => {
            let equal = existing.iter().find(|i| {
                i.valid
                    && i.unique == wanted.unique
                    && shape_of(&i.definition, i.unique, &i.name.name, &wanted.table) == Some(&shape)
            });
            if let Some(equal) = equal {
                inspection.object_to(Objection::EqualIndex {
                    wanted: wanted.qualified_name(),
                    existing: equal.name.clone(),
                });
            }
        }
        Rehearsed::Possible { shape: None, .. } | Rehearsed::Postponed => {}
    }
    Ok(())
}

/// `REINDEX CONCURRENTLY` builds under `…_ccnew` and drops `…_ccold`, with a number when taken.
fn is_reindex_leftover(name: &QualifiedName) -> bool {
    let stem = name.name.trim_end_matches(|c: char| c.is_ascii_digit());
    stem.ends_with("_ccnew") || stem.ends_with("_ccold")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leftovers_of_reindex_are_known_by_their_names() {
        for (name, is) in [("a_ccnew", true), ("a_ccnew12", true), ("a_ccold", true), ("a_ccnewer", false)] {
            assert_eq!(is_reindex_leftover(&QualifiedName::new("s", name)), is, "{name}");
        }
    }
}
