//! Plans for people to read. What the planner answers is remembered as of any other plan.

use std::collections::BTreeSet;

use model::cost_model::{CandidateId, Configuration, CostError, CostModel};
use serde_json::Value as Json;

use super::Evaluator;

/// A text with its plan under a set.
pub(super) struct Example {
    on: BTreeSet<CandidateId>,
    planned: Option<(String, Json)>,
}

impl<M: CostModel> Evaluator<'_, M> {
    /// The plan of the most usual execution of a statement; `None` when the planner refuses it.
    pub async fn example(
        &mut self,
        statement: usize,
        on: &BTreeSet<CandidateId>,
    ) -> Result<Option<(String, Json)>, CostError> {
        self.plan_examples(&[statement], on).await?;
        Ok(self.examples.get(&statement).and_then(|example| example.planned.clone()))
    }

    /// Plans the most usual executions of some statements at once. What was planned last of each is kept: the plan after one
    /// change is that before the next.
    pub async fn plan_examples(
        &mut self,
        statements: &[usize],
        on: &BTreeSet<CandidateId>,
    ) -> Result<(), CostError> {
        let mut wanted = Vec::new();
        for statement in statements.iter().copied() {
            let on: BTreeSet<CandidateId> = on.intersection(&self.relevant[statement]).copied().collect();
            if self.examples.get(&statement).is_some_and(|e| e.on == on) {
                continue;
            }
            let executions = self.executions[statement].iter().enumerate();
            let heaviest = executions.max_by(|a, b| a.1.weight.total_cmp(&b.1.weight));
            match heaviest {
                Some((number, execution)) => wanted.push((statement, number, execution.sql.clone(), on)),
                None => {
                    self.examples.insert(statement, Example { on, planned: None });
                }
            }
        }
        let configurations: Vec<Configuration> = wanted
            .iter()
            .map(|(.., on)| Configuration { added: on.iter().copied().collect(), dropped: Vec::new() })
            .collect();
        let requests: Vec<(&str, &Configuration)> =
            wanted.iter().map(|(_, _, sql, _)| sql.as_str()).zip(&configurations).collect();
        let answers = self.model.plan_many(&requests).await?;
        for ((statement, number, sql, on), answer) in wanted.into_iter().zip(answers) {
            let planned = answer.as_ref().ok().map(|planned| (sql, planned.explain.clone()));
            if self.executions[statement][number].answer(&on).is_none() {
                self.take_in(statement, number, &on, answer)?;
            } else if let Err(failed @ CostError::Model { .. }) = answer {
                return Err(failed);
            }
            self.examples.insert(statement, Example { on, planned });
        }
        Ok(())
    }
}
