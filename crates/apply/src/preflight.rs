//! May a plan be carried out here and now? Asked before the first write, of all steps at once, so
//! that nobody is left with half a plan; and again of each step right before it runs.

use std::collections::BTreeSet;

use model::Bytes;
use postgres::Target;
use serde::Serialize;
use tokio_postgres::Client;

use crate::action::{Action, PartitionChange};
use crate::catalog::{self, SessionFacts};
use crate::error::{Error, Refusal, StepFailure};
use crate::objection::Objection;
use crate::operations::{Site, operation_of};
use crate::options::ExecuteOptions;
use crate::plan::{ApplyPlan, expand};
use crate::worker::{JOURNAL_LOCK_TIMEOUT, open_journal_session};

/// What preflight says of a plan.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Preflight {
    /// Reasons not to begin; empty when the plan can be carried out.
    pub refusals: Vec<Refusal>,
    /// What the user should know, in sentences.
    pub notices: Vec<String>,
    /// The plan with the statements that this database takes: those of each partition of a
    /// partitioned table, without what an interrupted run has done already.
    #[serde(skip)]
    pub plan: ApplyPlan,
}

/// Checks a plan against the server without writing anything.
///
/// # Errors
/// When the server cannot be asked. Reasons not to begin are no errors but part of the answer.
pub async fn preflight(target: &Target, plan: &ApplyPlan) -> Result<Preflight, Error> {
    let session = match open_journal_session(target).await {
        Ok(session) => session,
        Err(error) => return pooler_refusal(error, plan),
    };
    let facts = catalog::session_facts(&session).await?;
    check(&session, &facts, plan, false, &ExecuteOptions { tries: 1, ..ExecuteOptions::default() }).await
}

/// A transaction pooler is a reason not to begin, like any other.
fn pooler_refusal(error: Error, plan: &ApplyPlan) -> Result<Preflight, Error> {
    match error {
        Error::Connect(postgres::Error::Pooler { .. }) => Ok(Preflight {
            refusals: vec![Refusal {
                recommendation_id: None,
                object: None,
                objection: Objection::TransactionPooler,
            }],
            notices: Vec::new(),
            plan: plan.clone(),
        }),
        other => Err(other),
    }
}

/// Reasons that concern the server and the role rather than a step.
pub(crate) fn server_objections(facts: &SessionFacts) -> Vec<Objection> {
    if facts.in_recovery {
        return vec![Objection::Standby];
    }
    if facts.read_only {
        return vec![Objection::ReadOnly];
    }
    let role = facts.role.clone();
    if !facts.schema_exists && !facts.may_create_schema {
        let reason = "Schema pgwright does not exist and the role may not create schemas in this database.";
        return vec![Objection::NoJournal { role, reason: reason.into() }];
    }
    if facts.schema_exists && !facts.may_use_schema {
        let owner = facts.schema_owner.as_deref().unwrap_or("another role");
        let reason = format!("Schema pgwright belongs to {owner} and the role may not use it.");
        return vec![Objection::NoJournal { role, reason }];
    }
    Vec::new()
}

/// Checks a plan. `rehearse` allows to try definitions on empty temporary copies, in transactions
/// that are rolled back.
pub(crate) async fn check(
    client: &Client,
    facts: &SessionFacts,
    plan: &ApplyPlan,
    rehearse: bool,
    options: &ExecuteOptions,
) -> Result<Preflight, Error> {
    let whole = |objection| Refusal { recommendation_id: None, object: None, objection };
    let mut result = Preflight {
        refusals: server_objections(facts).into_iter().map(whole).collect(),
        notices: Vec::new(),
        plan: plan.clone(),
    };
    result.refusals.extend(plan.contradictions());
    if !result.refusals.is_empty() {
        return Ok(result);
    }
    let site = Site { client, facts, rehearse };
    let mut notices = BTreeSet::new();
    result.notices.extend(space_notice(client, plan).await);
    let expanded = expand(&site, plan, options).await?;
    result.refusals.extend(expanded.refusals);
    result.notices.extend(expanded.notices);
    result.plan = expanded.plan;
    result.refusals.extend(result.plan.contradictions());
    if !result.refusals.is_empty() {
        return Ok(result);
    }
    // The parts of a tree have just been read with it, in a fixed number of queries however many there
    // are; each is looked at once more right before it runs.
    let is_part = |action: &Action| {
        use PartitionChange as P;
        matches!(action, Action::Partition(P::CreatePartitionIndex { .. } | P::AttachIndex { .. }))
    };
    for (id, step) in result.plan.steps().filter(|(_, step)| !is_part(&step.change)) {
        let operation = operation_of(&step.change);
        let look = async || operation.preflight(&site, &step.change).await;
        let inspection = patiently(client, &step.change, options, look).await?;
        result.refusals.extend(inspection.objections.into_iter().map(|objection| Refusal {
            recommendation_id: Some(id.to_owned()),
            object: Some(step.change.object()),
            objection,
        }));
        for notice in inspection.notices {
            if notices.insert(notice.clone()) {
                result.notices.push(notice);
            }
        }
    }
    Ok(result)
}

/// Whether the new indexes fit on the disk, when the server runs on this machine. A remote server
/// does not tell; and a path of a container may name another disk here, so this is never a reason
/// not to begin: a full disk is noticed by the build itself and cleaned up after.
async fn space_notice(client: &Client, plan: &ApplyPlan) -> Option<String> {
    let needed: u64 = plan.recommendations.iter().map(|r| r.promise.price.bytes.0).sum();
    if needed == 0 {
        return None;
    }
    let row = client.query_opt(include_str!("../queries/index_directory.sql"), &[]).await.ok()??;
    let local: bool = row.try_get("local").ok()?;
    let directory: String = row.try_get::<_, Option<String>>("directory").ok()??;
    if !local {
        return None;
    }
    let disk = rustix::fs::statvfs(directory.as_str()).ok()?;
    space_sentence(needed, disk.f_bavail.saturating_mul(disk.f_frsize), &directory)
}

/// A build writes sorted runs to disk beside the index, so that it needs about twice its size.
fn space_sentence(needed: u64, free: u64, directory: &str) -> Option<String> {
    (free < needed.saturating_mul(2)).then(|| {
        format!(
            "The new indexes need about {}, and as much again while they are built; the disk of {directory} has \
             {} free.",
            Bytes(needed),
            Bytes(free)
        )
    })
}

/// Looks until nobody keeps us from looking: functions such as `pg_get_indexdef()` wait for a table
/// that is locked with ACCESS EXCLUSIVE. Who waits for a mere look stops nobody else.
///
/// # Errors
/// [`Error::Step`] with the holder of the lock when the tries are used up.
pub(crate) async fn patiently<T>(
    client: &Client,
    action: &Action,
    options: &ExecuteOptions,
    mut look: impl AsyncFnMut() -> Result<T, Error>,
) -> Result<T, Error> {
    let mut attempt = 1;
    loop {
        let error = match look().await {
            Err(error @ Error::Query { .. }) if error.sqlstate().as_deref() == Some("55P03") => error,
            other => return other,
        };
        if attempt >= options.tries || options.cancellation.is_cancelled() {
            let timeout_ms = u64::try_from(JOURNAL_LOCK_TIMEOUT.as_millis()).unwrap_or(u64::MAX);
            return Err(Error::Step(Box::new(StepFailure {
                sqlstate: error.sqlstate(),
                attempts: attempt,
                timeout_ms,
                blockers: catalog::table_lockers(client, action.table()).await.unwrap_or_default(),
                cancelled: options.cancellation.is_cancelled(),
                ..StepFailure::of(action, "the table could not be looked at")
            })));
        }
        tokio::time::sleep(options.pause_after(attempt)).await;
        attempt += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_too_small_below_twice_the_size() {
        let gigabyte = 1 << 30;
        assert_eq!(space_sentence(gigabyte, 2 * gigabyte, "/data"), None);
        assert_eq!(
            space_sentence(gigabyte, gigabyte, "/data").as_deref(),
            Some(
                "The new indexes need about 1.0 GB, and as much again while they are built; the disk of /data has \
                 1.0 GB free."
            )
        );
    }
}
