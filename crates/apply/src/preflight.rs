//! May a plan be carried out here and now? Asked before the first write, of all steps at once, so
//! that nobody is left with half a plan; and again of each step right before it runs.

use std::collections::BTreeSet;

use model::Change;
use postgres::Target;
use serde::Serialize;
use tokio_postgres::Client;

use crate::catalog::{self, SessionFacts};
use crate::error::{Error, Refusal, StepFailure};
use crate::objection::Objection;
use crate::operations::{Site, operation_of};
use crate::options::ExecuteOptions;
use crate::plan::ApplyPlan;
use crate::worker::{JOURNAL_LOCK_TIMEOUT, open_journal_session};

/// What preflight says of a plan.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Preflight {
    /// Reasons not to begin; empty when the plan can be carried out.
    pub refusals: Vec<Refusal>,
    /// What the user should know, in sentences.
    pub notices: Vec<String>,
}

/// Checks a plan against the server without writing anything.
///
/// # Errors
/// When the server cannot be asked. Reasons not to begin are no errors but part of the answer.
pub async fn preflight(target: &Target, plan: &ApplyPlan) -> Result<Preflight, Error> {
    let session = match open_journal_session(target).await {
        Ok(session) => session,
        Err(error) => return pooler_refusal(error),
    };
    let facts = catalog::session_facts(&session).await?;
    check(&session, &facts, plan, false, &ExecuteOptions { tries: 1, ..ExecuteOptions::default() }).await
}

/// A transaction pooler is a reason not to begin, like any other.
fn pooler_refusal(error: Error) -> Result<Preflight, Error> {
    match error {
        Error::Connect(postgres::Error::Pooler { .. }) => Ok(Preflight {
            refusals: vec![Refusal {
                recommendation_id: None,
                object: None,
                objection: Objection::TransactionPooler,
            }],
            notices: Vec::new(),
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
    };
    result.refusals.extend(plan.contradictions());
    if !result.refusals.is_empty() {
        return Ok(result);
    }
    let site = Site { client, facts, rehearse };
    let mut notices = BTreeSet::new();
    for (id, step) in plan.steps() {
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

/// Looks until nobody keeps us from looking: functions such as `pg_get_indexdef()` wait for a table
/// that is locked with ACCESS EXCLUSIVE. Who waits for a mere look stops nobody else.
///
/// # Errors
/// [`Error::Step`] with the holder of the lock when the tries are used up.
pub(crate) async fn patiently<T>(
    client: &Client,
    change: &Change,
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
                blockers: catalog::table_lockers(client, change.table()).await.unwrap_or_default(),
                cancelled: options.cancellation.is_cancelled(),
                ..StepFailure::of(change, "the table could not be looked at")
            })));
        }
        tokio::time::sleep(options.pause_after(attempt)).await;
        attempt += 1;
    }
}
