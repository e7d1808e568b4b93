//! Which plans are worth knowing before anything is chosen?
//!
//! A statement is planned with everything on; then without the candidates that this plan used, and
//! without those on their tables that are as large or larger; and so on, until indexes no longer help it. Each
//! step is one planner call and shows the best of what is left, for all tables of the statement at once:
//! the steps are the efficient choices between size and gain. What a statement's own walk passes over
//! may still serve it well enough when another statement wants it, so a second walk goes through what the
//! plans of others use. This is the top-down walk of relaxation-based tuning (Bruno and Chaudhuri 2005),
//! of one statement at a time.

use std::collections::{BTreeMap, BTreeSet};

use model::QualifiedName;
use model::cost_model::{CandidateId, CostError, CostModel};

use super::{Evaluator, Follows};

/// How far to walk.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Effort {
    /// The most planner calls of one walk.
    pub steps: usize,
    /// The planner cost that a plan has to save to be worth the next step.
    pub min_gain: f64,
}

impl<M: CostModel> Evaluator<'_, M> {
    /// Plans each execution of a statement with everything on, and gives what that saves.
    pub async fn plan_with_everything(&mut self, statement: usize) -> Result<f64, CostError> {
        let everything = self.relevant[statement].clone();
        let mut saved = 0.0;
        for number in 0..self.executions[statement].len() {
            let weight = self.executions[statement][number].weight;
            let base = self.executions[statement][number].base();
            let ideal = self.plan(statement, number, &everything).await?.planner_cost;
            saved += weight * (base - ideal).max(0.0);
        }
        self.find_followers(statement);
        Ok(saved)
    }

    /// Executions with the same plan as things are and the same indexes with everything on differ in
    /// rows, not in kind: one of them is explored for all.
    fn find_followers(&mut self, statement: usize) {
        let executions = &self.executions[statement];
        let everything = &self.relevant[statement];
        let facts: Vec<_> = executions
            .iter()
            .map(|e| {
                let ideal = e.answer(everything);
                let first = e.known.first();
                let shape = |k: &super::Known| -> Vec<(String, Vec<String>, Vec<String>)> {
                    let slots = k.parts.slots.iter();
                    slots.map(|s| (s.alias.clone(), s.given.clone(), s.access.indexes.clone())).collect()
                };
                let ends = (e.base(), ideal.map_or(e.base(), |k| k.planner_cost));
                (first.map(shape), ideal.map(shape), ideal.map(|k| k.used.clone()), ends)
            })
            .collect();
        let mut order: Vec<usize> = (0..facts.len()).collect();
        order.sort_by(|a, b| executions[*b].weight.total_cmp(&executions[*a].weight).then(a.cmp(b)));
        let mut leaders: Vec<usize> = Vec::new();
        let mut follows = vec![None; facts.len()];
        for number in order {
            let (base, ideal) = facts[number].3;
            let alike = leaders.iter().copied().find(|l| {
                let other = &facts[*l];
                (&other.0, &other.1, &other.2) == (&facts[number].0, &facts[number].1, &facts[number].2)
            });
            match alike {
                Some(leader) => {
                    let (leader_base, leader_ideal) = facts[leader].3;
                    let span = leader_base - leader_ideal;
                    let slope = if span > 0.0 { (base - ideal) / span } else { 0.0 };
                    let (offset, tolerance) = (base - slope * leader_base, 0.03 * (base - ideal).abs());
                    follows[number] = Some(Follows { leader, slope, offset, tolerance });
                }
                None => leaders.push(number),
            }
        }
        for (execution, follows) in self.executions[statement].iter_mut().zip(follows) {
            execution.follows = follows;
        }
    }

    /// Walks down from all candidates, and from those of each table alone, where that was not done.
    pub async fn explore(&mut self, statement: usize, effort: Effort) -> Result<(), CostError> {
        let nothing = BTreeSet::new();
        let everything = self.relevant[statement].clone();
        for number in self.leaders(statement) {
            if std::mem::replace(&mut self.executions[statement][number].explored, true) {
                continue;
            }
            self.walk(statement, number, &nothing, everything.clone(), Step::Smaller, effort).await?;
            let mut of_table: BTreeMap<QualifiedName, BTreeSet<CandidateId>> = BTreeMap::new();
            for id in self.used(statement, number) {
                of_table.entry(self.candidates[&id].definition.table.clone()).or_default().insert(id);
            }
            if of_table.len() > 1 {
                let effort = Effort { steps: effort.steps.div_ceil(2), ..effort };
                for used in of_table.into_values() {
                    self.walk(statement, number, &nothing, used, Step::Smaller, effort).await?;
                }
            }
        }
        Ok(())
    }

    /// Walks down through the candidates that plans of other statements use.
    pub async fn explore_shared(
        &mut self,
        statement: usize,
        wanted: &BTreeMap<CandidateId, usize>,
        effort: Effort,
    ) -> Result<(), CostError> {
        let nothing = BTreeSet::new();
        for number in self.leaders(statement) {
            let own = self.used(statement, number);
            let relevant = self.relevant[statement].iter();
            // Wanted by others, if it is one's own, means wanted by two at least.
            let pool: BTreeSet<CandidateId> = relevant
                .filter(|id| wanted.get(id).copied().unwrap_or(0) > usize::from(own.contains(id)))
                .copied()
                .collect();
            self.walk(statement, number, &nothing, pool, Step::Next, effort).await?;
        }
        Ok(())
    }

    /// How many statements have a known plan that uses a candidate.
    pub fn wanted(&self) -> BTreeMap<CandidateId, usize> {
        let mut wanted = BTreeMap::new();
        for statement in 0..self.executions.len() {
            let numbers = 0..self.executions[statement].len();
            let used: BTreeSet<CandidateId> = numbers.flat_map(|n| self.used(statement, n)).collect();
            for id in used {
                *wanted.entry(id).or_default() += 1;
            }
        }
        wanted
    }

    fn leaders(&self, statement: usize) -> Vec<usize> {
        let executions = self.executions[statement].iter().enumerate();
        executions.filter(|(_, e)| e.follows.is_none()).map(|(number, _)| number).collect()
    }

    fn used(&self, statement: usize, number: usize) -> BTreeSet<CandidateId> {
        self.executions[statement][number].known.iter().flat_map(|k| &k.used).copied().collect()
    }

    /// Walks down from all candidates beside a set that stays on.
    pub async fn explore_beside(
        &mut self,
        statement: usize,
        held: &BTreeSet<CandidateId>,
        effort: Effort,
    ) -> Result<(), CostError> {
        let everything = self.relevant[statement].clone();
        let held: BTreeSet<CandidateId> = held.intersection(&everything).copied().collect();
        for number in self.leaders(statement) {
            self.walk(statement, number, &held, everything.clone(), Step::Smaller, effort).await?;
        }
        Ok(())
    }

    async fn walk(
        &mut self,
        statement: usize,
        number: usize,
        held: &BTreeSet<CandidateId>,
        pool: BTreeSet<CandidateId>,
        step: Step,
        effort: Effort,
    ) -> Result<(), CostError> {
        let mut on = pool;
        on.extend(held);
        let alone = self.plan(statement, number, held).await?.planner_cost;
        for _ in 0..effort.steps {
            if self.control.is_stopped() || on.len() == held.len() {
                return Ok(());
            }
            let known = self.plan(statement, number, &on).await?;
            let fresh: Vec<CandidateId> = known.used.difference(held).copied().collect();
            if fresh.is_empty() || alone - known.planner_cost < effort.min_gain {
                return Ok(());
            }
            for id in fresh {
                let used = &self.candidates[&id];
                on.retain(|other| {
                    let other_one = &self.candidates[other];
                    let passed = *other == id
                        || step == Step::Smaller
                            && other_one.definition.table == used.definition.table
                            && other_one.bytes >= used.bytes;
                    !passed || held.contains(other)
                });
            }
        }
        Ok(())
    }
}

/// What the next plan of a walk does without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// What was used.
    Next,
    /// What was used, and everything on the same table that is not smaller.
    Smaller,
}
