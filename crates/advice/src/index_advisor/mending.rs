//! Does what was chosen make a statement slower, though the planner says otherwise?
//!
//! The search believes the planner, until it has found a set. That is looked through with what visits of tables cost in
//! truth (`evaluation/heap_visits.rs`). Where a statement would take longer than [`Options::max_slowdown`] allows, there are
//! more candidates from then on, made to keep it from that (`candidates/mending.rs`), and the search goes on among the
//! sets that keep every statement within the limit. The bound is one of these sets, too. Where the others would have to
//! give up more than [`MOST_LOST`] of what indexes save, the first set stands, and the statement is named as one that may become
//! slower.
//!
//! [`Options::max_slowdown`]: super::Options::max_slowdown

use std::collections::{BTreeMap, BTreeSet};

use model::cost_model::{CandidateId, CostError, CostModel};
use model::{Finding, IndexDefinition, ObjectRef, Severity};

use super::candidates;
use super::evaluation::StatementCost;
use super::selection::Selection;
use crate::workload::Workload;

/// What a statement counts in milliseconds for each millisecond by which it takes longer than it may: more than
/// can be gained elsewhere.
const HARM: f64 = 1e6;

/// The share of what the best set saves that may be given up for its sake: an index that a server needs is not withheld
/// because one statement of a thousand suffers by it.
const MOST_LOST: f64 = 0.1;

/// Statements that would become too slow.
#[derive(Clone, Debug, Default)]
pub(super) struct Mending {
    /// How many times as long as now each statement may take; `None` until one was found that would take longer, and again
    /// when to avoid it is too dear.
    most: Option<f64>,
    /// The set that saves most, once a statement was found that it makes too slow.
    unguarded: Option<BTreeSet<CandidateId>>,
    /// How many times as long statements would take with the indexes that save most, by their numbers.
    before: BTreeMap<usize, f64>,
    /// The same of those that are still too slow in the end.
    after: BTreeMap<usize, f64>,
    /// Time and price of the set that saves most, in milliseconds.
    unguarded_ms: f64,
    /// What the chosen set adds to it.
    lost_ms: f64,
    /// Candidates that were made on the way, each with the statements that it was made for.
    pub made: Vec<(IndexDefinition, BTreeSet<usize>)>,
}

impl<M: CostModel> Selection<'_, '_, M> {
    /// Looks for statements that a set makes too slow. When there are the first ones, no set that has such is good enough
    /// from then on; tells that it is so.
    pub async fn guard(&mut self, set: &BTreeSet<CandidateId>) -> Result<bool, CostError> {
        let Some(most) = self.options.max_slowdown.filter(|_| self.mending.unguarded.is_none()) else {
            return Ok(false);
        };
        if self.evaluator.control.is_stopped() {
            return Ok(false);
        }
        let statements = self.evaluator.statements_of(set);
        let slower = self.slower_statements(&statements, set, most).await?;
        if slower.is_empty() {
            return Ok(false);
        }
        self.mending.most = Some(most);
        self.mending.unguarded = Some(set.clone());
        self.mending.unguarded_ms = self.objective(set).await?;
        self.add_candidates(&slower.keys().copied().collect(), set).await?;
        self.mending.before = slower;
        Ok(true)
    }

    /// Tells whether the others give up too much with a set for no statement to become slower. If so, statements
    /// may become slower from then on, and the set that saves most is given back.
    pub async fn give_up(
        &mut self,
        guarded: &BTreeSet<CandidateId>,
    ) -> Result<Option<BTreeSet<CandidateId>>, CostError> {
        let (Some(_), Some(set)) = (self.mending.most, self.mending.unguarded.clone()) else {
            return Ok(None);
        };
        let unguarded_ms = self.others_ms(&set).await?;
        let saved_ms = self.others_ms(&BTreeSet::new()).await? - unguarded_ms;
        let lost_ms = self.others_ms(guarded).await? - unguarded_ms;
        if lost_ms <= MOST_LOST * saved_ms && self.harm_ms(guarded).await? <= 0.0 {
            return Ok(None);
        }
        self.mending.most = None;
        Ok(Some(set))
    }

    /// Time and price of a set without the statements that become slower, because what the planner says they save is not
    /// believed.
    async fn others_ms(&mut self, set: &BTreeSet<CandidateId>) -> Result<f64, CostError> {
        let mut sum = self.objective(set).await?;
        for s in self.mending.before.keys().copied().collect::<Vec<_>>() {
            let cost = self.evaluator.cost(s, set).await?.cost;
            sum -= self.time_ms(s, cost);
        }
        Ok(sum)
    }

    /// Makes candidates that keep statements from becoming slower, and plans with each beside a set.
    async fn add_candidates(
        &mut self,
        statements: &BTreeSet<usize>,
        set: &BTreeSet<CandidateId>,
    ) -> Result<(), CostError> {
        self.evaluator.tell("looking for statements that become slower", 0, statements.len());
        let snapshot = self.pricing.snapshot();
        let known = self.evaluator.candidates.values().map(|ready| &ready.definition);
        let made = candidates::mending(snapshot, self.workload, self.options, statements, known);
        let made: Vec<_> = made.into_iter().map(|c| (c.definition, c.statements)).collect();
        let before: BTreeSet<CandidateId> = self.evaluator.candidates.keys().copied().collect();
        self.evaluator.register(snapshot, &made, self.workload).await?;
        self.mending.made.extend(made);
        let new: Vec<CandidateId> =
            self.evaluator.candidates.keys().copied().filter(|id| !before.contains(id)).collect();
        for id in &new {
            let ready = &self.evaluator.candidates[id];
            self.prices.insert(*id, self.pricing.price(&ready.definition, ready.bytes));
        }
        for id in &new {
            let with = set.iter().copied().chain([*id]).collect();
            self.evaluator.plan_statements(statements.iter().copied(), &with).await?;
        }
        let numbers: Vec<usize> = statements.iter().copied().collect();
        self.evaluator.plan_with_everything(&numbers).await?;
        for s in statements {
            let everything = self.evaluator.relevant[*s].clone();
            let best = self.evaluator.estimate(*s, &everything);
            self.ideal[*s] = best.planner_cost;
            self.ideals[*s] = best.used;
        }
        Ok(())
    }

    /// The statements among some that a set makes slower than `most` times what they take now by the planner's own plans
    /// when visits of tables are counted, each with how many times as much it costs.
    async fn slower_statements(
        &mut self,
        statements: &BTreeSet<usize>,
        set: &BTreeSet<CandidateId>,
        most: f64,
    ) -> Result<BTreeMap<usize, f64>, CostError> {
        self.evaluator.plan_statements(statements.iter().copied(), set).await?;
        let mut slower = BTreeMap::new();
        for s in statements.iter().copied().filter(|s| self.base[*s] > 0.0) {
            let now = self.evaluator.estimate(s, &BTreeSet::new());
            let then = self.evaluator.cost(s, set).await?;
            let ratio = ratio(&then, &now);
            if is_above(ratio, most) {
                slower.insert(s, ratio);
            }
        }
        Ok(slower)
    }

    /// What it counts that a set makes statements too slow; nothing, as long as none was.
    pub async fn harm_ms(&mut self, set: &BTreeSet<CandidateId>) -> Result<f64, CostError> {
        let Some(most) = self.mending.most else { return Ok(0.0) };
        let statements = self.evaluator.statements_of(set);
        let slower = self.slower_statements(&statements, set, most).await?;
        Ok(slower.iter().map(|(s, ratio)| HARM * self.weights[*s] * (ratio - most)).sum())
    }

    /// Whether without one of its indexes a set would make a statement too slow.
    pub async fn is_guard(
        &mut self,
        id: &CandidateId,
        set: &BTreeSet<CandidateId>,
    ) -> Result<bool, CostError> {
        let Some(most) = self.mending.most else { return Ok(false) };
        let without = set.iter().copied().filter(|other| other != id).collect();
        let statements = self.evaluator.statements_of([id]);
        Ok(!self.slower_statements(&statements, &without, most).await?.is_empty())
    }

    /// Whether a set makes a statement too slow for which one of these candidates could matter, as far as known plans
    /// tell.
    pub fn may_be_slower(&mut self, changed: &[CandidateId], set: &BTreeSet<CandidateId>) -> bool {
        let Some(most) = self.mending.most else { return false };
        self.evaluator.statements_of(changed).into_iter().any(|s| {
            let now = self.evaluator.estimate(s, &BTreeSet::new());
            let then = self.evaluator.estimate(s, set);
            is_above(ratio(&then, &now), most)
        })
    }

    /// What is to be said of statements that would have become too slow, and of those that still do.
    pub async fn slower_findings(
        &mut self,
        chosen: &BTreeSet<CandidateId>,
    ) -> Result<Vec<Finding>, CostError> {
        if let Some(most) = self.options.max_slowdown.filter(|_| self.mending.unguarded.is_some()) {
            let statements = self.evaluator.statements_of(chosen);
            self.mending.after = self.slower_statements(&statements, chosen, most).await?;
            self.mending.lost_ms = self.objective(chosen).await? - self.mending.unguarded_ms;
        }
        Ok(self.mending.findings(self.workload))
    }
}

/// How many times as long as now it takes then, visits of tables counted.
fn ratio(then: &StatementCost, now: &StatementCost) -> f64 {
    (then.cost + then.visits) / (now.cost + now.visits).max(f64::MIN_POSITIVE)
}

/// Whether that is more than is allowed, and not by rounding.
fn is_above(ratio: f64, most: f64) -> bool {
    ratio > most * (1.0 + 1e-6)
}

impl Mending {
    /// How many times as long as now each statement may take, where that has to be looked at.
    pub fn most(&self) -> Option<f64> {
        self.most
    }

    fn findings(&self, workload: &Workload) -> Vec<Finding> {
        let share = 100.0 * self.lost_ms / workload.total_ms.max(f64::MIN_POSITIVE);
        let price = if share >= 0.05 {
            format!(", which costs {share:.1} % of the workload's time")
        } else {
            String::new()
        };
        let finding = |(s, ratio): (&usize, &f64)| {
            let statement = &workload.statements[*s];
            let words: Vec<&str> = statement.query.split_whitespace().take(8).collect();
            let cause = "With the indexes that save most, the planner visits a table at scattered places in a nested loop, \
                         or groups rows that come at random, and takes that for cheaper than it is.";
            let (severity, summary, outcome) = match self.after.get(s) {
                None => (
                    Severity::Info,
                    format!("statement {} is kept from becoming slower", statement.queryid),
                    format!(
                        "Other indexes were taken for its sake{price}; \"--max-slowdown off\" counts the whole \
                         workload alone."
                    ),
                ),
                Some(_) => (
                    Severity::Warning,
                    format!("statement {} may become slower", statement.queryid),
                    "No set avoids it with which the others save nearly as much. Watch it after the change: \
                     \"pgwright verify\" tells, and \"pgwright undo\" takes the change back."
                        .to_owned(),
                ),
            };
            let ratio = self.after.get(s).unwrap_or(ratio);
            Finding::new(
                "slower-statement",
                ObjectRef::Statement { queryid: statement.queryid },
                severity,
                format!("{summary}: {}", words.join(" ")),
                format!("{cause} {outcome}"),
            )
            .with("times as slow, by pages visited", format!("{ratio:.2}"))
            .with("mean execution time, ms", format!("{:.1}", statement.mean_ms))
        };
        let new = self.after.iter().filter(|(s, _)| !self.before.contains_key(s));
        self.before.iter().chain(new).map(finding).collect()
    }
}
