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

use super::together::Wanted;
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
    /// Plans each execution of some statements with everything on.
    pub async fn plan_with_everything(&mut self, statements: &[usize]) -> Result<(), CostError> {
        let mut wanted = Vec::new();
        for statement in statements.iter().copied() {
            let on = &self.relevant[statement];
            let numbers = 0..self.executions[statement].len();
            wanted.extend(numbers.map(|number| Wanted { statement, number, on: on.clone() }));
        }
        self.plan_until_stopped(wanted).await?;
        for statement in statements {
            self.find_followers(*statement);
        }
        Ok(())
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
    pub async fn explore(&mut self, statements: &[(usize, Effort)]) -> Result<(), CostError> {
        let mut fresh = Vec::new();
        for (statement, effort) in statements.iter().copied() {
            for number in self.leaders(statement) {
                if !std::mem::replace(&mut self.executions[statement][number].explored, true) {
                    fresh.push((statement, number, effort));
                }
            }
        }
        let nothing = BTreeSet::new();
        let walks = fresh.iter().map(|(statement, number, effort)| {
            let everything = self.relevant[*statement].clone();
            Walk::new(*statement, *number, &nothing, everything, Step::Smaller, *effort)
        });
        self.walk_all(walks.collect()).await?;
        // What one table's walk meets may answer the next one of the same statement, so these are one after another.
        let mut of_tables: Vec<Vec<Walk>> = Vec::new();
        for (statement, number, effort) in fresh {
            let mut of_table: BTreeMap<QualifiedName, BTreeSet<CandidateId>> = BTreeMap::new();
            for id in self.used(statement, number) {
                of_table.entry(self.candidates[&id].definition.table.clone()).or_default().insert(id);
            }
            if of_table.len() > 1 {
                let effort = Effort { steps: effort.steps.div_ceil(2), ..effort };
                for (turn, used) in of_table.into_values().enumerate() {
                    let walk = Walk::new(statement, number, &nothing, used, Step::Smaller, effort);
                    if turn == of_tables.len() {
                        of_tables.push(Vec::new());
                    }
                    of_tables[turn].push(walk);
                }
            }
        }
        for walks in of_tables {
            self.walk_all(walks).await?;
        }
        Ok(())
    }

    /// Walks down through the candidates that plans of other statements use.
    pub async fn explore_shared(
        &mut self,
        statements: &[(usize, Effort)],
        wanted: &BTreeMap<CandidateId, usize>,
    ) -> Result<(), CostError> {
        let nothing = BTreeSet::new();
        let mut walks = Vec::new();
        for (statement, effort) in statements.iter().copied() {
            for number in self.leaders(statement) {
                let own = self.used(statement, number);
                let relevant = self.relevant[statement].iter();
                // Wanted by others, if it is one's own, means wanted by two at least.
                let pool: BTreeSet<CandidateId> = relevant
                    .filter(|id| wanted.get(id).copied().unwrap_or(0) > usize::from(own.contains(id)))
                    .copied()
                    .collect();
                walks.push(Walk::new(statement, number, &nothing, pool, Step::Next, effort));
            }
        }
        self.walk_all(walks).await
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
        statements: &[(usize, Effort)],
        held: &BTreeSet<CandidateId>,
    ) -> Result<(), CostError> {
        let mut walks = Vec::new();
        for (statement, effort) in statements.iter().copied() {
            let everything = self.relevant[statement].clone();
            let held: BTreeSet<CandidateId> = held.intersection(&everything).copied().collect();
            for number in self.leaders(statement) {
                walks.push(Walk::new(statement, number, &held, everything.clone(), Step::Smaller, effort));
            }
        }
        self.walk_all(walks).await
    }

    /// Goes several walks at once, each of another execution: the next plan of each is asked for together.
    async fn walk_all(&mut self, mut walks: Vec<Walk>) -> Result<(), CostError> {
        while !walks.is_empty() && !self.control.is_stopped() {
            let mut wanted = Vec::new();
            walks.retain_mut(|walk| match self.next(walk) {
                Some(on) => {
                    wanted.push(Wanted { statement: walk.statement, number: walk.number, on });
                    true
                }
                None => false,
            });
            self.plan_until_stopped(wanted).await?;
        }
        Ok(())
    }

    /// Goes on with a walk as far as plans are known. Gives the set to be planned next, if it goes on.
    fn next(&self, walk: &mut Walk) -> Option<BTreeSet<CandidateId>> {
        let execution = &self.executions[walk.statement][walk.number];
        let alone = match execution.answer(&walk.held) {
            Some(known) => known.planner_cost,
            None => return walk.ask(walk.held.clone()),
        };
        while walk.steps > 0 && walk.on.len() > walk.held.len() {
            let Some(known) = execution.answer(&walk.on) else { return walk.ask(walk.on.clone()) };
            walk.steps -= 1;
            let fresh: Vec<CandidateId> = known.used.difference(&walk.held).copied().collect();
            if fresh.is_empty() || alone - known.planner_cost < walk.min_gain {
                return None;
            }
            for id in fresh {
                let used = &self.candidates[&id];
                let Walk { held, on, step, .. } = &mut *walk;
                on.retain(|other| {
                    let other_one = &self.candidates[other];
                    let passed = *other == id
                        || *step == Step::Smaller
                            && other_one.definition.table == used.definition.table
                            && other_one.bytes >= used.bytes;
                    !passed || held.contains(other)
                });
            }
        }
        None
    }
}

/// A walk on its way.
#[derive(Clone, Debug)]
struct Walk {
    statement: usize,
    number: usize,
    held: BTreeSet<CandidateId>,
    /// What the next plan may use.
    on: BTreeSet<CandidateId>,
    step: Step,
    /// How many plans may follow.
    steps: usize,
    min_gain: f64,
    /// The set that was asked for last.
    asked: Option<BTreeSet<CandidateId>>,
}

impl Walk {
    fn new(
        statement: usize,
        number: usize,
        held: &BTreeSet<CandidateId>,
        pool: BTreeSet<CandidateId>,
        step: Step,
        effort: Effort,
    ) -> Self {
        let Effort { steps, min_gain } = effort;
        let on = pool.union(held).copied().collect();
        Self { statement, number, held: held.clone(), on, step, steps, min_gain, asked: None }
    }

    /// Asks for a set, but not twice: what is planned and still not known will not be.
    fn ask(&mut self, set: BTreeSet<CandidateId>) -> Option<BTreeSet<CandidateId>> {
        if self.asked.as_ref() == Some(&set) {
            return None;
        }
        self.asked = Some(set.clone());
        Some(set)
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
