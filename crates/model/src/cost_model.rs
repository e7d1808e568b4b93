//! What would a statement cost if …? The question that `advice` asks and that the planner twin
//! (or HypoPG, or a real server) answers. The trait stands here so that the one who asks and the
//! one who answers need not know each other.

use serde::{Deserialize, Serialize};

use crate::change::IndexDefinition;
use crate::name::QualifiedName;
use crate::units::{Bytes, Millis};

/// A candidate index known to a cost model, by its number in the order of registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CandidateId(pub u32);

/// What the cost model makes of a candidate.
#[derive(Clone, Debug, PartialEq)]
pub enum Registered {
    /// It can be planned with; switched off until a configuration names it.
    Ready {
        /// Its handle.
        id: CandidateId,
        /// Its predicted size when really built.
        bytes: Bytes,
    },
    /// PostgreSQL refused it, with its own message.
    Refused {
        /// The message.
        reason: String,
    },
}

/// A set of indexes under which to plan: the existing ones less `dropped`, plus `added`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Configuration {
    /// Candidates that are switched on, sorted.
    pub added: Vec<CandidateId>,
    /// Existing indexes that are switched off, sorted.
    pub dropped: Vec<QualifiedName>,
}

impl Configuration {
    /// The database as it is.
    pub fn current() -> Self {
        Self::default()
    }

    /// This configuration and one candidate more.
    #[must_use]
    pub fn with(&self, id: CandidateId) -> Self {
        let mut next = self.clone();
        if let Err(at) = next.added.binary_search(&id) {
            next.added.insert(at, id);
        }
        next
    }

    /// This configuration without one candidate.
    #[must_use]
    pub fn without(&self, id: CandidateId) -> Self {
        let mut next = self.clone();
        next.added.retain(|a| *a != id);
        next
    }
}

/// A planned statement.
#[derive(Clone, Debug, PartialEq)]
pub struct Planned {
    /// The total cost of the root node, in planner units.
    pub total_cost: f64,
    /// The object under `[0]` of `EXPLAIN (FORMAT JSON)`: `{"Plan": …}`.
    pub explain: serde_json::Value,
}

/// How long planning a statement takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PlanningTimes {
    /// The first time in a session, which has to read the catalog; the median of several sessions.
    pub first: Millis,
    /// Again in the same session; the median of several times.
    pub again: Millis,
}

/// How many different values several columns of a table have together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Combination {
    /// The table.
    pub table: QualifiedName,
    /// The unquoted columns, sorted.
    pub columns: Vec<String>,
    /// How many combinations of their values occur at most.
    pub distinct: f64,
}

/// Why a statement could not be planned or a model could not answer.
#[derive(Clone, Debug, PartialEq)]
pub enum CostError {
    /// PostgreSQL refused this statement; other statements can still be planned.
    Statement {
        /// Its message.
        message: String,
        /// Its SQLSTATE, when there is one.
        sqlstate: Option<String>,
    },
    /// The model itself does not work any more.
    Model {
        /// Why.
        message: String,
    },
}

impl std::fmt::Display for CostError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Statement { message, .. } => write!(f, "statement could not be planned: {message}"),
            Self::Model { message } => write!(f, "cost model failed: {message}"),
        }
    }
}

impl std::error::Error for CostError {}

/// Something that plans statements under hypothetical sets of indexes.
#[allow(async_fn_in_trait)] // Used by generic code in one task; nobody needs the futures to be Send.
pub trait CostModel {
    /// Makes candidates known. The answers stand in the order of the definitions. Cheap in bulk and
    /// dear one by one, so a caller registers all that it can foresee at once.
    ///
    /// # Errors
    /// Fails only when the model itself does.
    async fn register(&mut self, candidates: &[IndexDefinition]) -> Result<Vec<Registered>, CostError>;

    /// Candidates as they have to be written for a session that searches no schema for what their expressions name:
    /// functions, types and operators with their schemas. Nothing stands for one that can stay as it is, and for all
    /// where a model does not know.
    ///
    /// # Errors
    /// Fails only when the model itself does.
    async fn spelt_out(
        &mut self,
        candidates: &[CandidateId],
    ) -> Result<Vec<Option<IndexDefinition>>, CostError> {
        Ok(candidates.iter().map(|_| None).collect())
    }

    /// Tells what is known of columns together, on which sizes of candidates that are registered later depend. A
    /// model that predicts no sizes has no use for it.
    fn learn_combinations(&mut self, _known: &[Combination]) {}

    /// Plans one statement, values in place of parameters, under a configuration.
    ///
    /// # Errors
    /// [`CostError::Statement`] when PostgreSQL refuses the statement.
    async fn plan(&mut self, sql: &str, configuration: &Configuration) -> Result<Planned, CostError>;

    /// Plans many statements, in whatever order is quickest; the answers stand in the order of the requests.
    /// A model that can plan several at once does so, and one that switches indexes goes from one
    /// configuration to the next only once.
    ///
    /// # Errors
    /// Fails only when the model itself does, or a configuration names what is not there.
    async fn plan_many(
        &mut self,
        requests: &[(&str, &Configuration)],
    ) -> Result<Vec<Result<Planned, CostError>>, CostError> {
        let mut plans = Vec::with_capacity(requests.len());
        for (sql, configuration) in requests {
            plans.push(match self.plan(sql, configuration).await {
                Err(failed @ CostError::Model { .. }) => return Err(failed),
                planned => planned,
            });
        }
        Ok(plans)
    }

    /// Plans a prepared statement by the plan that serves every value of its parameters, which are NULL here. What
    /// starting a plan leaves out is left out by NULLs too.
    ///
    /// # Errors
    /// [`CostError::Statement`] when PostgreSQL refuses the statement, or the model plans no prepared ones.
    async fn plan_generic(&mut self, _sql: &str) -> Result<Planned, CostError> {
        Err(CostError::Statement {
            message: "this engine plans no prepared statements".into(),
            sqlstate: None,
        })
    }

    /// Measures how long planning a statement takes, values in place of parameters, as the median of several times.
    ///
    /// # Errors
    /// [`CostError::Statement`] when PostgreSQL refuses the statement, or the model measures nothing.
    async fn time_planning(&mut self, _sql: &str) -> Result<PlanningTimes, CostError> {
        Err(CostError::Statement { message: "this engine measures no planning".into(), sqlstate: None })
    }

    /// How many times the planner has been called.
    fn planner_calls(&self) -> u64;
}
