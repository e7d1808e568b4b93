//! Plans for people to read. What the planner answers is remembered as of any other plan.

use std::collections::{BTreeMap, BTreeSet};

use model::cost_model::{CandidateId, Configuration, CostError, CostModel};
use serde_json::Value as Json;

use super::Evaluator;

/// The texts whose plans are wanted under which sets, with what the planner made of them.
pub(super) type Examples = BTreeMap<(usize, BTreeSet<CandidateId>), Option<(String, Json)>>;

impl<M: CostModel> Evaluator<'_, M> {
    /// The plan of the most usual execution of a statement; `None` when the planner refuses it.
    pub async fn example(
        &mut self,
        statement: usize,
        on: &BTreeSet<CandidateId>,
    ) -> Result<Option<(String, Json)>, CostError> {
        let key = self.key_of_example(statement, on);
        if !self.examples.contains_key(&key) {
            self.plan_more_examples(&[(statement, on)]).await?;
        }
        Ok(self.examples.get(&key).cloned().flatten())
    }

    /// Plans the most usual executions of some statements under a set each, all at once, and forgets those before.
    pub async fn plan_examples(
        &mut self,
        statements: &[(usize, &BTreeSet<CandidateId>)],
    ) -> Result<(), CostError> {
        let wanted: BTreeSet<_> = statements.iter().map(|(s, on)| self.key_of_example(*s, on)).collect();
        self.examples.retain(|key, _| wanted.contains(key));
        self.plan_more_examples(statements).await
    }

    fn key_of_example(&self, statement: usize, on: &BTreeSet<CandidateId>) -> (usize, BTreeSet<CandidateId>) {
        (statement, on.intersection(&self.relevant[statement]).copied().collect())
    }

    async fn plan_more_examples(
        &mut self,
        statements: &[(usize, &BTreeSet<CandidateId>)],
    ) -> Result<(), CostError> {
        let keys: BTreeSet<_> = statements.iter().map(|(s, on)| self.key_of_example(*s, on)).collect();
        let mut wanted = Vec::new();
        for (statement, on) in keys {
            if self.examples.contains_key(&(statement, on.clone())) {
                continue;
            }
            let executions = self.executions[statement].iter().enumerate();
            let heaviest = executions.max_by(|a, b| a.1.weight.total_cmp(&b.1.weight));
            match heaviest {
                Some((number, execution)) => wanted.push((statement, number, execution.sql.clone(), on)),
                None => {
                    self.examples.insert((statement, on), None);
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
            self.examples.insert((statement, on), planned);
        }
        Ok(())
    }
}
