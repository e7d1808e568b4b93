//! Does what was chosen make a statement slower, though the planner says otherwise?
//!
//! The search believes the planner, and so does the bound. What it found is looked through once more with what visits
//! of tables cost in truth (`evaluation/heap_visits.rs`). Where a statement would become slower than it is, the search
//! goes on from what it found with a penalty on that. It may cost the workload a little of what it gains, [`MOST_LOST`],
//! and not more: a statement that stays slower is named.

use std::collections::{BTreeMap, BTreeSet};

use model::cost_model::{CandidateId, CostError, CostModel};
use model::{Finding, ObjectRef, Severity};

use super::Bound;
use super::local_search;
use super::selection::Selection;
use crate::workload::Workload;

/// From this ratio on something is done. What visits cost is known roughly: a statement of TPC-H that is expected to take
/// 1.4 times as long took 0.93 times as long, and one that is expected to take 1.7 times took 1.6 to 1.8 times as long.
const SLOWER: f64 = 1.5;
/// What is done has to bring a statement below this ratio.
const GOOD_ENOUGH: f64 = 1.2;
/// The share of the workload's time and price that mending may add.
const MOST_LOST: f64 = 0.02;
/// What a unit of cost counts by which a statement becomes slower. More, or a second search with what the planner then
/// answers, led to no better set on TPC-H, at a hundred planner calls.
const PENALTY: f64 = 4.0;

/// What mending did.
#[derive(Clone, Debug, Default)]
pub(super) struct Mended {
    /// By how much statements would have become slower, as ratios; by their numbers.
    before: BTreeMap<usize, f64>,
    /// The same of those that still become slower.
    after: BTreeMap<usize, f64>,
    /// Time and price that it added, in milliseconds.
    lost_ms: f64,
}

impl<M: CostModel> Selection<'_, '_, M> {
    /// Changes the set until no statement becomes slower by it, as far as that can be had.
    pub async fn mend_slower(&mut self, chosen: &mut BTreeSet<CandidateId>) -> Result<Mended, CostError> {
        let before = self.slower_statements(chosen, &BTreeMap::new()).await?;
        if before.is_empty() || self.evaluator.control.is_stopped() {
            return Ok(Mended::nothing(before));
        }
        let reached_ms = self.objective(chosen).await?;
        self.evaluator.tell("looking for statements that become slower", 0, 1);
        let facts = self.facts();
        let bundles: Vec<BTreeSet<CandidateId>> =
            self.ideals.iter().filter(|set| set.len() > 1).cloned().collect();
        let control = self.evaluator.control.clone();
        let problem = self.problem(&facts).guarded(GOOD_ENOUGH, PENALTY);
        let starts = std::slice::from_ref(&*chosen);
        let mut found = local_search::search(&problem, self.limits, &bundles, starts, true, &control).set();
        self.drop_marginal(&mut found).await?;
        self.drop_unused(&mut found).await?;
        if found == *chosen {
            return Ok(Mended::nothing(before));
        }
        let after = self.slower_statements(&found, &before).await?;
        let lost_ms = self.objective(&found).await? - reached_ms;
        if lost_ms > reached_ms * MOST_LOST || self.harm_ms(&after) >= self.harm_ms(&before) {
            return Ok(Mended::nothing(before));
        }
        *chosen = found;
        Ok(Mended { before, after, lost_ms })
    }

    /// The statements that a set makes slower by the planner's own plans when visits of tables are counted, each with
    /// how many times as much it costs. More is asked for `known` ones.
    async fn slower_statements(
        &mut self,
        set: &BTreeSet<CandidateId>,
        known: &BTreeMap<usize, f64>,
    ) -> Result<BTreeMap<usize, f64>, CostError> {
        self.evaluator.widen(set, self.workload);
        let mut slower = BTreeMap::new();
        for s in self.evaluator.statements_of(set.iter()) {
            let now = self.evaluator.estimate(s, &BTreeSet::new());
            let then = self.evaluator.cost(s, set).await?;
            let ratio = (then.cost + then.visits) / (now.cost + now.visits).max(f64::MIN_POSITIVE);
            let most = if known.contains_key(&s) { GOOD_ENOUGH } else { SLOWER };
            if self.base[s] > 0.0 && ratio > most {
                slower.insert(s, ratio);
            }
        }
        Ok(slower)
    }

    fn harm_ms(&self, slower: &BTreeMap<usize, f64>) -> f64 {
        slower.iter().map(|(s, ratio)| self.weights[*s] * (ratio - 1.0)).sum()
    }
}

impl Mended {
    /// What is slower stays so.
    fn nothing(slower: BTreeMap<usize, f64>) -> Self {
        Self { after: slower.clone(), before: slower, lost_ms: 0.0 }
    }

    /// The bound of what was chosen in the end: mending adds to what is reached and moves no limit.
    pub fn bound(&self, bound: Bound) -> Bound {
        let reached_ms = bound.reached_ms + self.lost_ms;
        let gap = (reached_ms - bound.limit_ms) / bound.limit_ms.max(f64::MIN_POSITIVE);
        Bound { reached_ms, gap: gap.max(0.0), ..bound }
    }

    /// What was done about statements that would have become slower, and which still may.
    pub fn findings(&self, workload: &Workload) -> Vec<Finding> {
        let share = 100.0 * self.lost_ms / workload.total_ms.max(f64::MIN_POSITIVE);
        let finding = |(s, ratio): (&usize, &f64)| {
            let statement = &workload.statements[*s];
            let words: Vec<&str> = statement.query.split_whitespace().take(8).collect();
            let cause = "With the indexes that save most, the planner visits a table at scattered places in a nested loop, \
                         or groups rows that come at random, and takes that for cheaper than it is.";
            let (severity, summary, outcome) = match self.after.get(s) {
                None => (
                    Severity::Info,
                    format!("statement {} is kept from becoming slower", statement.queryid),
                    format!("Other indexes were taken for its sake, which costs {share:.1} % of the workload's time."),
                ),
                Some(_) => (
                    Severity::Warning,
                    format!("statement {} may become slower", statement.queryid),
                    "No choice that costs the workload little avoids it. Watch it after the change: \"pgwright verify\" \
                     tells, and \"pgwright undo\" takes the change back."
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
