//! May this index be built, and is it there? `CREATE INDEX CONCURRENTLY` and its opposite.
//!
//! Source: PostgreSQL manual, "CREATE INDEX" and "Partitioning"; for the checks `DefineIndex()` in
//! `src/backend/commands/indexcmds.c`.

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use model::{Change, IndexDefinition, KeyTarget, QualifiedName};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::{Condition, Inspection, Operation, Site, drop_index, index_rules};
use crate::catalog::{self, TableFacts, shape_of};
use crate::error::Error;
use crate::objection::Objection;

/// The longest name that PostgreSQL keeps (`NAMEDATALEN - 1`).
const LONGEST_NAME: usize = 63;

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

    fn accepts(&self, change: &Change) -> bool {
        matches!(change, Change::CreateIndex { .. })
    }

    fn statement(&self, change: &Change) -> String {
        match change {
            Change::CreateIndex { index } => index.create_sql(true),
            _ => String::new(),
        }
    }

    fn undo_statement(&self, change: &Change) -> Option<String> {
        match change {
            Change::CreateIndex { index } => Some(index_rules::drop_sql(&index.qualified_name())),
            _ => None,
        }
    }

    fn changes_schema(&self) -> bool {
        true
    }

    fn preflight<'a>(
        &'a self,
        site: &'a Site<'a>,
        change: &'a Change,
    ) -> BoxFuture<'a, Result<Inspection, Error>> {
        async move {
            match change {
                Change::CreateIndex { index } => preflight(site, index).await,
                _ => Ok(Inspection::default()),
            }
        }
        .boxed()
    }

    fn undo_preflight<'a>(
        &'a self,
        site: &'a Site<'a>,
        change: &'a Change,
        made: Option<(u32, &'a str)>,
    ) -> BoxFuture<'a, Result<Inspection, Error>> {
        async move {
            match (change, made) {
                (Change::CreateIndex { index }, Some((oid, definition))) => {
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
        change: &'a Change,
    ) -> BoxFuture<'a, Result<Condition, Error>> {
        async move {
            match change {
                Change::CreateIndex { index } => index_rules::inspect_wanted(client, index).await,
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
        'r' | 'm' => {}
        'p' => inspection.object_to(Objection::Partitioned {
            reason: format!(
                "CREATE INDEX CONCURRENTLY is not possible on a partitioned table. Make it on each partition \
                 with CONCURRENTLY, then CREATE INDEX … ON ONLY {table} and ALTER INDEX … ATTACH PARTITION \
                 for each of them, which locks only for an instant."
            ),
            table: table.clone(),
        }),
        other => inspection
            .object_to(Objection::WrongKind { relation: table.clone(), kind: catalog::kind_name(other) }),
    }
    object_to_privileges(site, wanted, &facts, &mut inspection);
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
    look_at_name(site, wanted, &mut inspection).await?;
    look_at_neighbors(site, wanted, &facts, &mut inspection).await?;
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

fn object_to_privileges(
    site: &Site<'_>,
    wanted: &IndexDefinition,
    facts: &TableFacts,
    inspection: &mut Inspection,
) {
    if !facts.is_owner {
        inspection.object_to(Objection::NotOwner {
            table: wanted.table.clone(),
            owner: facts.owner.clone(),
            role: site.facts.role.clone(),
        });
    }
    if !facts.may_create {
        let (schema, role) = (wanted.table.schema.clone(), site.facts.role.clone());
        inspection.object_to(Objection::NoCreate { schema, role });
    }
}

/// Whether the name is free, or held by the remains of an earlier try.
async fn look_at_name(
    site: &Site<'_>,
    wanted: &IndexDefinition,
    inspection: &mut Inspection,
) -> Result<(), Error> {
    let name = wanted.qualified_name();
    let Some(state) = catalog::index_state(site.client, &name).await? else { return Ok(()) };
    if state.is_index() && !state.valid && state.resembles(wanted) {
        match state.busy_pid {
            Some(pid) => inspection.object_to(Objection::Busy { index: name, pid }),
            None => inspection.notices.push(format!(
                "Index {name} exists and is invalid, left by a build that did not finish; it will be dropped \
                 and built again."
            )),
        }
    } else if state.is_index() && state.valid && state.resembles(wanted) {
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
        Rehearsal::Refused { sqlstate, message } => {
            inspection.object_to(Objection::Refused { name: wanted.qualified_name(), sqlstate, message })
        }
        Rehearsal::Possible { shape: Some(shape) } => {
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
        Rehearsal::Possible { shape: None } | Rehearsal::Postponed => {}
    }
    Ok(())
}

/// `REINDEX CONCURRENTLY` builds under `…_ccnew` and drops `…_ccold`, with a number when taken.
fn is_reindex_leftover(name: &QualifiedName) -> bool {
    let stem = name.name.trim_end_matches(|c: char| c.is_ascii_digit());
    stem.ends_with("_ccnew") || stem.ends_with("_ccold")
}

enum Rehearsal {
    Possible { shape: Option<String> },
    Refused { sqlstate: String, message: String },
    Postponed,
}

/// Builds the index on an empty temporary copy of the table in a transaction that is rolled back:
/// the server itself says whether access method, operator classes, expressions and predicate are in
/// order, and prints the definition in its own words, to be compared with the existing ones.
async fn rehearse(client: &Client, wanted: &IndexDefinition) -> Result<Rehearsal, Error> {
    let copy = QualifiedName::new("pg_temp", "pgwright_rehearsal");
    let trial = IndexDefinition { table: copy.clone(), ..wanted.clone() };
    let control = |sql: &'static str| async move {
        client.batch_execute(sql).await.map_err(Error::query("try an index on an empty copy"))
    };
    // Who holds the table so strongly that it cannot be read is not waited for here.
    control("BEGIN /* pgwright:rehearsal_begin */; SET LOCAL lock_timeout = '300ms'").await?;
    let tried = async {
        let like = format!(
            "CREATE /* pgwright:rehearsal_table */ TEMPORARY TABLE pgwright_rehearsal (LIKE {})",
            wanted.table
        );
        client.execute(&like, &[]).await?;
        client.execute(&super::marked("rehearsal_index", &trial.create_sql(false)), &[]).await?;
        let row = client
            .query_one(
                "SELECT /* pgwright:rehearsal_shape */ pg_catalog.pg_get_indexdef(i.indexrelid) as definition \
                 FROM pg_catalog.pg_index i WHERE i.indrelid = 'pg_temp.pgwright_rehearsal'::pg_catalog.regclass",
                &[],
            )
            .await?;
        row.try_get::<_, String>("definition")
    }
    .await;
    control("ROLLBACK /* pgwright:rehearsal_end */").await?;
    match tried {
        Ok(definition) => Ok(Rehearsal::Possible {
            shape: shape_of(&definition, wanted.unique, &wanted.name, &copy).map(str::to_owned),
        }),
        Err(error) => match error.as_db_error() {
            // A lock on the table says nothing of the definition; the step itself waits and retries.
            Some(db)
                if [
                    SqlState::LOCK_NOT_AVAILABLE,
                    SqlState::QUERY_CANCELED,
                    SqlState::T_R_DEADLOCK_DETECTED,
                    SqlState::INSUFFICIENT_PRIVILEGE,
                ]
                .contains(db.code()) =>
            {
                Ok(Rehearsal::Postponed)
            }
            Some(db) => Ok(Rehearsal::Refused {
                sqlstate: db.code().code().to_owned(),
                message: db.message().to_owned(),
            }),
            None => Err(Error::query("try an index on an empty copy")(error)),
        },
    }
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
