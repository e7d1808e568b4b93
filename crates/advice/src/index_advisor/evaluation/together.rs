//! How are many plans asked for at once?
//!
//! The planner's server works while answers to what it planned before are read here, and a cost model that has
//! several servers lets all of them plan. What is asked for does not depend on the order in which answers come, so the
//! advice does not either.

use std::collections::BTreeSet;

use model::cost_model::{CandidateId, Configuration, CostError, CostModel, Planned};

use super::Evaluator;
use crate::typical_values::Binding;
use crate::workload::WorkloadStatement;

/// How many plans are on their way at most: each is a document of some 10 kB.
const MOST_AT_ONCE: usize = 64;

/// How many plans are asked for at once: twice as many each time, so that whoever stops the search does not wait for
/// longer than it has taken so far, however long planning takes.
#[derive(Clone, Copy, Debug)]
pub(super) struct AtOnce(usize);

impl Default for AtOnce {
    fn default() -> Self {
        Self(1)
    }
}

impl AtOnce {
    pub fn next(&mut self) -> usize {
        let now = self.0;
        self.0 = (2 * now).min(MOST_AT_ONCE);
        now
    }
}

/// One execution of a statement under a set of candidates that are all relevant to it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Wanted {
    pub statement: usize,
    pub number: usize,
    pub on: BTreeSet<CandidateId>,
}

/// What the planner made of a statement's executions as things are.
#[derive(Clone, Debug, Default)]
pub(super) struct FirstPlans {
    /// Bindings with the text that it accepted, and the plan.
    pub planned: Vec<(Binding, Planned)>,
    /// Why it refused the first text that it did.
    pub refusal: Option<String>,
}

impl<M: CostModel> Evaluator<'_, M> {
    /// Plans executions of which it is not known what they cost.
    pub(super) async fn plan_all(&mut self, wanted: Vec<Wanted>) -> Result<(), CostError> {
        self.plan_unless(wanted, |_| false).await
    }

    /// The same, but when the search is stopped, what was not asked for yet stays unknown.
    pub(super) async fn plan_until_stopped(&mut self, wanted: Vec<Wanted>) -> Result<(), CostError> {
        self.plan_unless(wanted, |evaluator| evaluator.control.is_stopped()).await
    }

    async fn plan_unless(
        &mut self,
        wanted: Vec<Wanted>,
        stopped: impl Fn(&Self) -> bool,
    ) -> Result<(), CostError> {
        let mut unknown: Vec<Wanted> = wanted.into_iter().filter(|w| self.is_unknown(w)).collect();
        while !unknown.is_empty() && !stopped(self) {
            let rest = unknown.split_off(unknown.len().min(self.at_once.next()));
            let configurations: Vec<Configuration> = unknown
                .iter()
                .map(|w| Configuration { added: w.on.iter().copied().collect(), dropped: Vec::new() })
                .collect();
            let texts: Vec<String> =
                unknown.iter().map(|w| self.executions[w.statement][w.number].sql.clone()).collect();
            let requests: Vec<(&str, &Configuration)> =
                texts.iter().map(String::as_str).zip(&configurations).collect();
            let answers = self.model.plan_many(&requests).await?;
            for (w, answer) in unknown.into_iter().zip(answers) {
                self.take_in(w.statement, w.number, &w.on, answer)?;
            }
            unknown = rest;
        }
        Ok(())
    }

    /// Plans all executions of some statements under a set, as far as their costs are not known.
    pub async fn plan_statements(
        &mut self,
        statements: impl IntoIterator<Item = usize>,
        set: &BTreeSet<CandidateId>,
    ) -> Result<(), CostError> {
        self.plan_all(self.all_of(statements, set)).await
    }

    /// Plans all executions of some statements under a set each, so many at most, and until the search is stopped;
    /// gives how many.
    pub async fn plan_at_most(
        &mut self,
        most: usize,
        statements: &[(usize, &BTreeSet<CandidateId>)],
    ) -> Result<usize, CostError> {
        let mut unknown: Vec<Wanted> =
            statements.iter().flat_map(|(statement, set)| self.all_of([*statement], set)).collect();
        unknown.retain(|w| self.is_unknown(w));
        unknown.truncate(most);
        let planned = unknown.len();
        self.plan_until_stopped(unknown).await?;
        Ok(planned)
    }

    /// All executions of some statements under a set.
    fn all_of(
        &self,
        statements: impl IntoIterator<Item = usize>,
        set: &BTreeSet<CandidateId>,
    ) -> Vec<Wanted> {
        let mut wanted = Vec::new();
        for statement in statements {
            let on: BTreeSet<CandidateId> = set.intersection(&self.relevant[statement]).copied().collect();
            let numbers = 0..self.executions[statement].len();
            wanted.extend(numbers.map(|number| Wanted { statement, number, on: on.clone() }));
        }
        wanted
    }

    fn is_unknown(&self, wanted: &Wanted) -> bool {
        self.executions[wanted.statement][wanted.number].answer(&wanted.on).is_none()
    }

    /// Plans statements as things are: of each execution the first spelling that PostgreSQL accepts.
    pub(super) async fn first_plans(
        &mut self,
        statements: &[WorkloadStatement],
    ) -> Result<Vec<FirstPlans>, CostError> {
        let current = Configuration::current();
        let bindings = statements.iter().enumerate().flat_map(|(s, statement)| {
            statement.bindings.iter().filter(|b| !b.variants.is_empty()).map(move |binding| (s, binding))
        });
        let bindings: Vec<_> = bindings.collect();
        let mut found = vec![FirstPlans::default(); statements.len()];
        for bindings in bindings.chunks(MOST_AT_ONCE) {
            let requests: Vec<(&str, &Configuration)> =
                bindings.iter().map(|(_, b)| (b.variants[0].as_str(), &current)).collect();
            let answers = self.model.plan_many(&requests).await?;
            for ((s, binding), mut answer) in bindings.iter().zip(answers) {
                let mut variants = binding.variants.iter();
                while let Some(variant) = variants.next() {
                    match answer {
                        Ok(plan) => {
                            let accepted = Binding { variants: vec![variant.clone()], ..(*binding).clone() };
                            found[*s].planned.push((accepted, plan));
                            break;
                        }
                        // The refusal of the first says most.
                        Err(CostError::Statement { message, .. }) => {
                            found[*s].refusal.get_or_insert(message);
                        }
                        Err(failed) => return Err(failed),
                    }
                    let Some(next) = variants.as_slice().first() else { break };
                    answer = self.model.plan(next, &current).await;
                }
            }
        }
        Ok(found)
    }
}
