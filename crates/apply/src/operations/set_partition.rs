//! How does a set gain a partition, and lose one?
//!
//! Source: PostgreSQL manual, "ALTER TABLE", ATTACH and DETACH PARTITION. `CREATE TABLE … PARTITION OF` would lock the
//! parent with ACCESS EXCLUSIVE. A table that is made apart and attached takes SHARE UPDATE EXCLUSIVE on it, which
//! stops nobody who reads or writes, and ACCESS EXCLUSIVE on DEFAULT. All of it is one transaction, so a death leaves
//! nothing behind; the locks are taken by its last statements. DETACH … CONCURRENTLY is two transactions by itself and,
//! when it dies between them, leaves the partition "pending", which FINALIZE ends.
//!
//! Rows that wait in DEFAULT are moved by that same transaction, so nobody ever sees them missing or twice: most of them
//! under row locks only, those that are busy or came meanwhile after parent and DEFAULT are locked
//! (`partition_sets::moving`), which ATTACH then reads once, unless DEFAULT is large (`partition_sets::unread_default`).
//! The parent has to be locked against readers: whoever has looked up its partitions, then waits for the lock on
//! DEFAULT and only then takes a snapshot, would otherwise miss the rows that have moved.

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use model::{QualifiedName, quote_identifier, quote_literal};
use partitioning::planning::NewPartition;
use tokio_postgres::Client;

use super::{Condition, Inspection, Operation, Site};
use crate::action::{Action, SetChange};
use crate::error::Error;
use crate::objection::Objection;
use crate::partition_sets::{UnreadDefault, moving, schedule};

/// See the module.
pub(super) struct SetPartition {
    id: &'static str,
    action: &'static str,
    undo_action: &'static str,
    accepts: fn(&SetChange) -> bool,
}

pub(super) const CREATE: SetPartition = SetPartition {
    id: "create_partition",
    action: "create partition",
    undo_action: "drop partition",
    accepts: |change| matches!(change, SetChange::CreatePartition { .. }),
};
pub(super) const DETACH: SetPartition = SetPartition {
    id: "detach_partition",
    action: "detach partition",
    undo_action: "attach partition",
    accepts: |change| matches!(change, SetChange::DetachPartition { .. }),
};
pub(super) const DROP: SetPartition = SetPartition {
    id: "drop_partition",
    action: "drop table",
    undo_action: "bring back table",
    accepts: |change| matches!(change, SetChange::DropPartition { .. }),
};
pub(super) const MOVE: SetPartition = SetPartition {
    id: "move_partition",
    action: "move partition",
    undo_action: "move back partition",
    accepts: |change| matches!(change, SetChange::MovePartition { .. }),
};

pub(super) const ARCHIVE: SetPartition = SetPartition {
    id: "archive_partition",
    action: "archive table",
    undo_action: "forget the archive of table",
    accepts: |change| matches!(change, SetChange::ArchivePartition { .. }),
};
pub(super) const RESTORE: SetPartition = SetPartition {
    id: "restore_partition",
    action: "restore partition",
    undo_action: "detach partition",
    accepts: |change| matches!(change, SetChange::RestorePartition { .. }),
};

pub(super) const SCHEDULE: SetPartition = SetPartition {
    id: "schedule_creation",
    action: "schedule procedure",
    undo_action: "drop procedure",
    accepts: |change| matches!(change, SetChange::ScheduleCreation { .. }),
};

/// The CHECK that spares ATTACH its scan of the moved rows, as long as the transaction lasts.
const BOUND: &str = "pgwright_bound";

impl Operation for SetPartition {
    fn id(&self) -> &'static str {
        self.id
    }

    fn action(&self) -> &'static str {
        self.action
    }

    fn undo_action(&self) -> &'static str {
        self.undo_action
    }

    fn accepts(&self, action: &Action) -> bool {
        matches!(action, Action::Set(change) if (self.accepts)(change))
    }

    fn statement(&self, action: &Action) -> String {
        let before = match action {
            Action::Set(change) => preparation(change).unwrap_or_default(),
            _ => Vec::new(),
        };
        before.into_iter().chain(self.statements(action)).collect::<Vec<_>>().join("; ")
    }

    fn statements(&self, action: &Action) -> Vec<String> {
        match action {
            Action::Set(change) => statements(change),
            _ => Vec::new(),
        }
    }

    fn undo_statement(&self, action: &Action) -> Option<String> {
        match action {
            // A partition that was made may hold rows by now, and an empty one is no burden.
            Action::Set(SetChange::DetachPartition { table, partition, bound, .. }) => {
                Some(format!("ALTER TABLE {table} ATTACH PARTITION {partition} {bound}"))
            }
            Action::Set(SetChange::ScheduleCreation { schedule, .. }) => {
                Some(schedule::undo_sql(schedule.is_some()))
            }
            // Its rows may have changed since, so the table stays.
            Action::Set(SetChange::RestorePartition { partition, attach: Some((table, _)), .. }) => {
                Some(format!("ALTER TABLE {table} DETACH PARTITION {partition}"))
            }
            _ => None,
        }
    }

    fn changes_schema(&self) -> bool {
        true
    }

    fn waits_for_transactions(&self) -> bool {
        self.id == DETACH.id
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
            let mut inspection = Inspection::default();
            let Action::Set(change) = action else { return Ok(inspection) };
            let found = state(site.client, change.partition()).await?;
            match (change, &found) {
                (SetChange::CreatePartition { .. }, _) => {}
                (_, None) => {
                    inspection.already = Some(format!("Table {} is not there any more.", change.partition()));
                }
                (SetChange::DropPartition { partition, .. }, Some(found)) if found.is_partition => {
                    inspection.object_to(Objection::WrongKind {
                        relation: partition.clone(),
                        kind: "partition".into(),
                    });
                }
                (_, Some(found)) if !found.is_owner => inspection.object_to(Objection::NotOwner {
                    table: change.partition().clone(),
                    owner: found.owner.clone(),
                    role: site.facts.role.clone(),
                }),
                (SetChange::DetachPartition { partition, .. }, Some(found)) if !found.is_partition => {
                    inspection.already = Some(format!("Table {partition} is no partition any more."));
                }
                _ => {}
            }
            Ok(inspection)
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
            let mut inspection = Inspection::default();
            let Action::Set(change) = action else { return Ok(inspection) };
            if let SetChange::ScheduleCreation { procedure, .. } = change {
                if !schedule::is_installed(site.client).await? {
                    inspection.already = Some(format!("Procedure {procedure} is not there any more."));
                }
            } else if let SetChange::DetachPartition { partition, .. } = change {
                match state(site.client, partition).await? {
                    None => inspection.object_to(Objection::TableMissing { table: partition.clone() }),
                    Some(found) if found.is_partition => {
                        inspection.already =
                            Some(format!("Table {} is a partition again.", change.partition()));
                    }
                    Some(_) => {}
                }
            } else if let SetChange::RestorePartition { partition, attach: Some(_), .. } = change {
                if state(site.client, partition).await?.is_none_or(|found| !found.is_partition) {
                    inspection.already = Some(format!("Table {partition} is no partition any more."));
                }
            } else {
                inspection.already = Some(match change {
                    SetChange::CreatePartition { .. } => {
                        format!("Partition {} stays: it may hold rows by now.", change.partition())
                    }
                    _ => format!("What was done to {} stays.", change.partition()),
                });
            }
            Ok(inspection)
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
                Action::Set(change) => inspect(client, change).await,
                _ => Ok(Condition::NotDone),
            }
        }
        .boxed()
    }
}

async fn inspect(client: &Client, change: &SetChange) -> Result<Condition, Error> {
    if let SetChange::ScheduleCreation { .. } = change {
        return Ok(match schedule::is_installed(client).await? {
            true => Condition::Done { made: None },
            false => Condition::NotDone,
        });
    }
    let found = state(client, change.partition()).await?;
    Ok(match (change, found) {
        (SetChange::DropPartition { .. }, None) => Condition::Done { made: None },
        (SetChange::RestorePartition { attach, .. }, Some(found))
            if attach.as_ref().map(|(table, _)| table) == found.parent.as_ref() =>
        {
            Condition::Done { made: None }
        }
        (_, None) => Condition::NotDone,
        (SetChange::CreatePartition { table, .. }, Some(found)) => match found.parent {
            Some(parent) if parent == *table => Condition::Done { made: None },
            _ => Condition::Foreign { found: "a table that is no partition of it".to_owned() },
        },
        (SetChange::DetachPartition { table, partition, .. }, Some(found)) if found.detach_pending => {
            Condition::HalfDone {
                mend: format!("ALTER TABLE {table} DETACH PARTITION {partition} FINALIZE"),
                found: format!("half-detached partition {partition}"),
            }
        }
        // The OID tells the table from another of its name, for the DROP that a death kept from being run.
        (SetChange::DetachPartition { bound, .. }, Some(found)) if !found.is_partition => {
            Condition::Done { made: Some((found.oid, bound.clone())) }
        }
        (SetChange::MovePartition { tablespace, .. }, Some(found)) if found.tablespace == *tablespace => {
            Condition::Done { made: None }
        }
        _ => Condition::NotDone,
    })
}

/// What the catalog says of a table.
struct State {
    oid: u32,
    is_partition: bool,
    parent: Option<QualifiedName>,
    detach_pending: bool,
    tablespace: String,
    is_owner: bool,
    owner: String,
}

/// Whether a table is still the one that was detached, and no partition again.
pub(crate) async fn is_still_detached(
    client: &Client,
    name: &QualifiedName,
    oid: u32,
) -> Result<bool, Error> {
    Ok(state(client, name).await?.is_some_and(|found| found.oid == oid && !found.is_partition))
}

async fn state(client: &Client, name: &QualifiedName) -> Result<Option<State>, Error> {
    let doing = || Error::query("look at a partition");
    let Some(row) = client
        .query_opt(include_str!("../../queries/partition_state.sql"), &[&name.schema, &name.name])
        .await
        .map_err(doing())?
    else {
        return Ok(None);
    };
    let read = || -> Result<State, tokio_postgres::Error> {
        let schema: Option<String> = row.try_get("parent_schema")?;
        let parent: Option<String> = row.try_get("parent_name")?;
        Ok(State {
            oid: row.try_get("oid")?,
            is_partition: row.try_get("is_partition")?,
            parent: schema.zip(parent).map(|(schema, name)| QualifiedName::new(schema, name)),
            detach_pending: row.try_get("detach_pending")?,
            tablespace: row.try_get("tablespace")?,
            is_owner: row.try_get("is_owner")?,
            owner: row.try_get("owner")?,
        })
    };
    read().map(Some).map_err(doing())
}

fn statements(change: &SetChange) -> Vec<String> {
    match change {
        SetChange::CreatePartition {
            table,
            partition,
            from_default,
            unread_default,
            storage,
            tablespace,
            owner,
        } => {
            let mut sql = creation(table, partition, storage, tablespace.as_deref(), owner.as_deref());
            sql.extend(attachment(table, partition, from_default.as_ref(), unread_default.as_ref()));
            sql
        }
        SetChange::DetachPartition { table, partition, concurrently, .. } => {
            let how = if *concurrently { " CONCURRENTLY" } else { "" };
            vec![format!("ALTER TABLE {table} DETACH PARTITION {partition}{how}")]
        }
        SetChange::DropPartition { partition, .. } => vec![format!("DROP TABLE {partition}")],
        // What is sent is a stream; see `partition_archive`.
        SetChange::ArchivePartition { partition, archive } => vec![format!(
            "COPY {partition} TO STDOUT WITH (FORMAT csv, HEADER true) > {}/{}.csv.zst",
            archive.folder, archive.stem
        )],
        SetChange::RestorePartition { statements, .. } => statements.clone(),
        SetChange::ScheduleCreation { schedule, .. } => schedule::shown(schedule.as_deref()),
        SetChange::MovePartition { partition, tablespace } => {
            vec![format!("ALTER TABLE {partition} SET TABLESPACE {}", quote_identifier(tablespace))]
        }
    }
}

fn creation(
    table: &QualifiedName,
    new: &NewPartition,
    storage: &[(String, String)],
    tablespace: Option<&str>,
    owner: Option<&str>,
) -> Vec<String> {
    let name = &new.name;
    let mut options = String::new();
    if !storage.is_empty() {
        let storage: Vec<String> = storage
            .iter()
            // A name with a dot is one of TOAST: toast.autovacuum_enabled.
            .map(|(key, value)| {
                let key: Vec<String> = key.split('.').map(quote_identifier).collect();
                format!("{} = {}", key.join("."), quote_literal(value))
            })
            .collect();
        options.push_str(&format!(" WITH ({})", storage.join(", ")));
    }
    if let Some(tablespace) = tablespace {
        options.push_str(&format!(" TABLESPACE {}", quote_identifier(tablespace)));
    }
    let like =
        format!("CREATE TABLE {name} (LIKE {table} INCLUDING ALL EXCLUDING IDENTITY EXCLUDING STATISTICS)");
    let mut sql = Vec::new();
    match &new.partition_by {
        // Nobody knows the table yet, so PARTITION OF locks nobody out.
        Some(by) => {
            sql.push(format!("{like} PARTITION BY {by}"));
            for (part, bound) in &new.parts {
                sql.push(format!("CREATE TABLE {part} PARTITION OF {name} {bound}{options}"));
            }
        }
        None => sql.push(format!("{like}{options}")),
    }
    if let Some(owner) = owner {
        let owner = quote_identifier(owner);
        sql.extend(new.parts.iter().map(|(part, _)| format!("ALTER TABLE {part} OWNER TO {owner}")));
        sql.push(format!("ALTER TABLE {name} OWNER TO {owner}"));
    }
    sql
}

/// Attaches it, with the rows that DEFAULT has of it.
fn attachment(
    table: &QualifiedName,
    new: &NewPartition,
    from_default: Option<&(QualifiedName, Vec<String>)>,
    unread: Option<&UnreadDefault>,
) -> Vec<String> {
    let name = &new.name;
    let attach = format!("ALTER TABLE {table} ATTACH PARTITION {name} {}", new.bound);
    let Some(check) = &new.check else { return vec![attach] };
    let mut sql = Vec::new();
    let mut after = Vec::new();
    if let Some((default, columns)) = from_default {
        let columns = columns.join(", ");
        sql.push(format!("ALTER TABLE {name} ADD CONSTRAINT {BOUND} CHECK ({check})"));
        sql.push(moving::of_idle(default, name, check, &columns));
        if unread.is_some() {
            sql.extend(UnreadDefault::settings());
        }
        sql.extend([moving::NOBODY_WAITS.to_owned(), moving::SHORT_LOCKS.to_owned()]);
        // A reader that knew the partitions of before and read the rows of after would miss those that were moved.
        sql.push(format!("LOCK TABLE ONLY {table} IN ACCESS EXCLUSIVE MODE"));
        sql.push(format!("LOCK TABLE ONLY {default} IN ACCESS EXCLUSIVE MODE"));
        sql.push(moving::of_all(default, name, check, &columns));
        after.push(format!("ALTER TABLE {name} DROP CONSTRAINT {BOUND}"));
    } else if let Some(unread) = unread {
        sql.extend(UnreadDefault::settings());
        // In the order in which ATTACH takes them.
        sql.push(format!("LOCK TABLE ONLY {table} IN SHARE UPDATE EXCLUSIVE MODE"));
        sql.push(format!("LOCK TABLE ONLY {} IN ACCESS EXCLUSIVE MODE", unread.name));
    }
    if let Some(unread) = unread {
        sql.extend(unread.proof(check));
        after.extend(unread.removal());
    }
    sql.push(attach);
    sql.extend(after);
    sql
}

/// What is done before the transaction that makes a partition; the last statement in a transaction of its own.
pub(crate) fn preparation(change: &SetChange) -> Option<Vec<String>> {
    let SetChange::CreatePartition { partition, unread_default: Some(unread), .. } = change else {
        return None;
    };
    let mut sql = unread.preparation(partition.check.as_ref()?);
    sql.push(unread.validation());
    Some(sql)
}
