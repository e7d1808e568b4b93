//! Which candidates together? Explore, search, plan what was found, and again.
//!
//! The objective is the workload's time plus the price of the chosen indexes, in milliseconds. A walk
//! through each statement's plans (`evaluation/exploration.rs`) tells which candidates matter and what they
//! save; the search (`local_search.rs`) finds the best set as far as these plans tell, without a planner
//! call. Then the planner is asked about that set, and about what else would help beside it: what it
//! answers makes the next search better, until it finds nothing new.

use std::collections::{BTreeMap, BTreeSet};

use model::Bytes;
use model::change::IndexDefinition;
use model::cost_model::{CandidateId, CostError, CostModel};

use super::evaluation::{Effort, Evaluator};
use super::local_search::{self, Facts, Limits, Problem, State};
use super::mending::Mending;
use super::price::{CandidatePrice, Pricing};
use super::{Bound, CurvePoint, Options, bound};
use crate::index_semantics;
use crate::workload::Workload;

/// Searches at most.
const ROUNDS: usize = 8;

/// How often the search is gone on with at most from a set that the bound's search met.
const RETURNS: usize = 3;

/// How many statements are explored beside each other.
const STATEMENTS_AT_ONCE: usize = 64;

/// A set this near to its bound is not looked at more closely.
const NEAR_ENOUGH: f64 = 1.002;

/// The share of the time that no index can take away, which an index has to save when another chosen one
/// gives all that it gives.
const NARROW_TWIN: f64 = 0.005;

/// The state of a selection.
pub(super) struct Selection<'e, 'm, M> {
    pub evaluator: &'e mut Evaluator<'m, M>,
    pub workload: &'e Workload,
    pub pricing: &'e Pricing<'e>,
    pub prices: BTreeMap<CandidateId, CandidatePrice>,
    /// Milliseconds that dropping an existing index frees, with the candidates that make it superfluous.
    pub credits: Vec<(f64, BTreeSet<CandidateId>)>,
    pub options: &'e Options,
    pub limits: Limits,
    /// What each statement weighs, in milliseconds.
    pub weights: Vec<f64>,
    /// Cost of each statement as things are.
    pub base: Vec<f64>,
    /// Cost of each statement with every candidate on: no set is better.
    pub ideal: Vec<f64>,
    /// The candidates that each statement uses with every candidate on.
    pub ideals: Vec<BTreeSet<CandidateId>>,
    /// What the smallest shares are shares of, in milliseconds.
    pub yardstick_ms: f64,
    /// Statements that would become too slow, and what is done about it (`mending.rs`).
    pub mending: Mending,
}

/// What an index does for statements beside others.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Gain {
    /// Time saved in milliseconds, less what others lose.
    pub saved_ms: f64,
    /// The largest share of its cost that any statement saves.
    pub most: f64,
    /// The share of its cost that a statement saves, weighed by the time saved.
    pub usual: f64,
}

/// What a search found.
#[derive(Clone, Debug, Default)]
struct Found {
    objective: f64,
    chosen: BTreeSet<CandidateId>,
    /// The last limit that was proven, and how many planner calls had been made until then.
    proven: Option<(u64, f64)>,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Selected {
    pub chosen: BTreeSet<CandidateId>,
    pub bound: Option<Bound>,
    pub curve: Vec<CurvePoint>,
}

impl<M: CostModel> Selection<'_, '_, M> {
    /// Time that a statement takes at a planner cost: its weight scaled by the cost ratio.
    pub fn time_ms(&self, statement: usize, cost: f64) -> f64 {
        self.weights[statement] * self.relative(statement, cost)
    }

    fn relative(&self, statement: usize, cost: f64) -> f64 {
        // What costs nothing ("WHERE false") takes its time elsewhere, and no index changes that.
        let base = self.base[statement];
        if base > 0.0 { cost / base } else { 1.0 }
    }

    fn total_ms(&self) -> f64 {
        self.workload.total_ms.max(f64::MIN_POSITIVE)
    }

    /// How much time of the workload two sets differ by, prices left out, as far as known plans tell.
    pub fn saved_ms(&mut self, from: &BTreeSet<CandidateId>, to: &BTreeSet<CandidateId>) -> f64 {
        let changed: BTreeSet<CandidateId> = from.symmetric_difference(to).copied().collect();
        let mut saved = 0.0;
        for s in self.evaluator.statements_of(&changed) {
            let before = self.evaluator.estimate(s, from).cost;
            let after = self.evaluator.estimate(s, to).cost;
            saved += self.time_ms(s, before) - self.time_ms(s, after);
        }
        saved
    }

    /// The time that remains with a set. What no index can take away from a statement does not count: it is
    /// there with and without, and beside a report that reads everything nothing else would be worth a thought.
    pub fn rest_ms(&mut self, chosen: &BTreeSet<CandidateId>) -> f64 {
        let mut rest = 0.0;
        for s in 0..self.base.len() {
            let cost = self.evaluator.estimate(s, chosen).cost;
            let helpless = self.relative(s, self.ideal[s]).clamp(0.0, 1.0);
            rest += (1.0 - helpless) * self.time_ms(s, cost);
        }
        rest
    }

    /// The least time that one index must save beside the others, when so much time remains with all of them and
    /// it saves this share of what the statements that it helps cost.
    pub fn floor_at(&self, rest_ms: f64, usual: f64) -> f64 {
        let of_all = self.options.min_share * self.yardstick_ms;
        let left = (1.0 - usual).clamp(0.0, 1.0);
        of_all.max(self.options.min_share_of_rest * rest_ms * left * left)
    }

    /// What an exchange of sets does for statements, as far as known plans tell.
    pub fn gain(&mut self, from: &BTreeSet<CandidateId>, to: &BTreeSet<CandidateId>) -> Gain {
        let changed: BTreeSet<CandidateId> = from.symmetric_difference(to).copied().collect();
        let (mut gain, mut saved, mut weighed) = (Gain::default(), 0.0, 0.0);
        for s in self.evaluator.statements_of(&changed) {
            let before = self.evaluator.estimate(s, from).cost;
            let after = self.evaluator.estimate(s, to).cost;
            let ms = self.time_ms(s, before) - self.time_ms(s, after);
            let share = 1.0 - after / before.max(f64::MIN_POSITIVE);
            gain.saved_ms += ms;
            gain.most = gain.most.max(share);
            if ms > 0.0 {
                saved += ms;
                weighed += ms * share;
            }
        }
        if saved > 0.0 {
            gain.usual = weighed / saved;
        }
        gain
    }

    /// The most that any set which contains these could save beyond a given one, in milliseconds.
    pub fn most_saved(&mut self, chosen: &BTreeSet<CandidateId>, changed: &BTreeSet<CandidateId>) -> f64 {
        let mut sum = 0.0;
        for s in self.evaluator.statements_of(changed) {
            let cost = self.evaluator.estimate(s, chosen).cost;
            sum += (self.time_ms(s, cost) - self.time_ms(s, self.ideal[s])).max(0.0);
        }
        sum
    }

    fn price(&self, set: &BTreeSet<CandidateId>) -> f64 {
        let prices: f64 = set.iter().map(|id| self.prices[id].total_ms()).sum();
        let credits = self.credits.iter().filter(|(_, by)| !by.is_disjoint(set));
        prices - credits.map(|(ms, _)| ms).sum::<f64>()
    }

    /// The time that no index can take away. Beside a statement that takes a thousand times as long as all
    /// others together, what matters once it is mended is measured against this.
    fn least_ms(&self) -> f64 {
        (0..self.base.len()).map(|s| self.time_ms(s, self.ideal[s])).sum::<f64>().max(1e-3 * self.total_ms())
    }

    /// How far a statement is worth walking: what could matter is explored more deeply.
    fn effort(&self, statement: usize, least_ms: f64) -> Option<Effort> {
        let could_save = self.weights[statement] - self.time_ms(statement, self.ideal[statement]);
        let share = could_save / least_ms;
        if share <= 1e-6 || self.base[statement] <= self.ideal[statement] * 1.001 {
            return None;
        }
        let steps = if share > 0.005 {
            16
        } else if share > 0.0005 {
            6
        } else {
            2
        };
        let gain_ms = (0.03 * could_save).min(0.001 * least_ms);
        Some(Effort { steps, min_gain: gain_ms * self.base[statement] / self.weights[statement] })
    }

    /// Chooses a set.
    pub async fn run(&mut self) -> Result<Selected, CostError> {
        let least_ms = self.least_ms();
        self.explore_all(least_ms).await?;
        let mut found = self.search(None, least_ms).await?;
        if let Some(set) = self.give_up(&found.chosen).await? {
            found = self.search(Some(set), least_ms).await?;
        }
        let mut limit_ms = None;
        for returns in 0..=RETURNS {
            let proven = self.prove(&found);
            limit_ms = proven.as_ref().map(|p| p.limit_ms);
            // Who looks for the bound may meet a better set.
            let met = proven.and_then(|p| p.best).filter(|(ms, _)| ms * NEAR_ENOUGH < found.objective);
            // The last bound is that of everything that was planned.
            let met = met.filter(|_| returns < RETURNS);
            let Some((_, set)) = met else { break };
            let other = self.search(Some(set), least_ms).await?;
            if other.objective < found.objective {
                found = other;
            }
        }
        let Found { objective, chosen, .. } = found;
        let mut selected = Selected { chosen, ..Selected::default() };
        if let Some(limit) = limit_ms {
            let limit = limit.min(objective);
            let gap = (objective - limit) / limit.max(f64::MIN_POSITIVE);
            selected.bound = Some(Bound { reached_ms: objective, limit_ms: limit, gap });
        }
        let facts = self.facts();
        if !self.options.budgets.is_empty() {
            // A point of the curve tells what its bytes can bring, whatever bytes are worth.
            let free = facts.into_iter().map(|(id, facts)| (id, Facts { price_ms: facts.write_ms, ..facts }));
            let problem = self.problem(&free.collect());
            let bundles = self.bundles();
            selected.curve = self.curve(&problem, &bundles);
        }
        Ok(selected)
    }

    /// How good any set can be, beside one that was found; nothing when there are no candidates.
    fn prove(&mut self, found: &Found) -> Option<bound::Proven> {
        let problem = self.problem(&self.facts());
        if problem.items.is_empty() {
            return None;
        }
        match found.proven {
            // Nothing was learnt since, and it is near enough.
            Some((calls, limit_ms))
                if calls == self.evaluator.planner_calls() && found.objective <= limit_ms * NEAR_ENOUGH =>
            {
                Some(bound::Proven { limit_ms, best: None })
            }
            _ => {
                let control = self.evaluator.control.clone();
                Some(bound::prove(&problem, self.limits, found.objective, bound::WORK, &control))
            }
        }
    }

    /// Sets that help only together.
    fn bundles(&self) -> Vec<BTreeSet<CandidateId>> {
        self.ideals.iter().filter(|set| set.len() > 1).cloned().collect()
    }

    /// Searches and plans what was found by turns until nothing new is found.
    async fn search(
        &mut self,
        start: Option<BTreeSet<CandidateId>>,
        least_ms: f64,
    ) -> Result<Found, CostError> {
        let mut facts = self.facts();
        let control = self.evaluator.control.clone();
        let mut starts: Vec<BTreeSet<CandidateId>> = start.into_iter().collect();
        let mut best: Option<(f64, BTreeSet<CandidateId>)> = None;
        let mut tried: BTreeSet<BTreeSet<CandidateId>> = BTreeSet::new();
        // The last bound, and how many planner calls had been made for it.
        let mut proven_ms: Option<(u64, f64)> = None;
        let (mut round, mut rounds) = (0, ROUNDS);
        while round < rounds {
            self.evaluator.tell("searching", round, rounds);
            let problem = self.problem(&facts);
            starts.extend(best.iter().map(|(_, set)| set.clone()));
            // Before plans beside a set are known, it is too early to look closely.
            let closely = round > 0 || !starts.is_empty();
            let bundles = self.bundles();
            let found = local_search::search(&problem, self.limits, &bundles, &starts, closely, &control);
            let proven = bound::prove(&problem, self.limits, found.objective, bound::WORK_BEFORE, &control);
            let found = proven.best.map_or_else(|| found.set(), |(_, set)| set);
            starts.clear();
            round += 1;
            proven_ms = Some((self.evaluator.planner_calls(), proven.limit_ms));
            let calls = self.evaluator.planner_calls();
            self.evaluator.widen(&found, self.workload);
            let guarded = self.guard(&found).await?;
            if guarded {
                // From here on it is another problem, with other candidates.
                (best, facts) = (None, self.facts());
                tried.clear();
                rounds = round + ROUNDS;
            }
            let objective = self.objective(&found).await? + self.harm_ms(&found).await?;
            if best.as_ref().is_none_or(|(b, _)| objective < *b) {
                best = Some((objective, found.clone()));
            }
            let stale = !tried.insert(found.clone()) && self.evaluator.planner_calls() == calls && !guarded;
            if stale || control.is_stopped() {
                break;
            }
            self.explore_all(least_ms).await?;
            self.explore_beside(&found).await?;
            if self.evaluator.planner_calls() == calls && !guarded {
                break;
            }
        }
        let (objective, chosen) = best.unwrap_or_default();
        Ok(Found { objective, chosen, proven: proven_ms })
    }

    /// Explores the plans of each statement, as far as that was not done before.
    async fn explore_all(&mut self, least_ms: f64) -> Result<(), CostError> {
        let efforts: Vec<(usize, Effort)> =
            (0..self.base.len()).filter_map(|s| Some((s, self.effort(s, least_ms)?))).collect();
        for (at, some) in efforts.chunks(STATEMENTS_AT_ONCE).enumerate() {
            self.evaluator.tell("exploring plans", at * STATEMENTS_AT_ONCE, efforts.len());
            self.evaluator.explore(some).await?;
        }
        let wanted = self.evaluator.wanted();
        for (at, some) in efforts.chunks(STATEMENTS_AT_ONCE).enumerate() {
            let done = at * STATEMENTS_AT_ONCE;
            self.evaluator.tell("exploring what statements can share", done, efforts.len());
            self.evaluator.explore_shared(some, &wanted).await?;
        }
        Ok(())
    }

    /// Looks, for each statement, for what would help it beside a set.
    async fn explore_beside(&mut self, held: &BTreeSet<CandidateId>) -> Result<(), CostError> {
        let least_ms = self.least_ms();
        let mut efforts = Vec::new();
        for s in 0..self.base.len() {
            let now = self.evaluator.estimate(s, held).planner_cost;
            // Only what could be worth an index is looked for.
            let could_save = self.time_ms(s, now) - self.time_ms(s, self.ideal[s]);
            if let Some(effort) = self.effort(s, least_ms).filter(|_| could_save > 5e-4 * least_ms) {
                efforts.push((s, Effort { steps: effort.steps.div_ceil(3), ..effort }));
            }
        }
        for (at, some) in efforts.chunks(STATEMENTS_AT_ONCE).enumerate() {
            let done = at * STATEMENTS_AT_ONCE;
            self.evaluator.tell("looking for what else would help", done, efforts.len());
            self.evaluator.explore_beside(some, held).await?;
        }
        Ok(())
    }

    /// Time and price of a set, by the planner.
    pub async fn objective(&mut self, set: &BTreeSet<CandidateId>) -> Result<f64, CostError> {
        self.evaluator.plan_statements(0..self.base.len(), set).await?;
        let mut sum = self.price(set);
        for s in 0..self.base.len() {
            let cost = self.evaluator.cost(s, set).await?.cost;
            sum += self.time_ms(s, cost);
        }
        Ok(sum)
    }

    pub fn facts(&self) -> BTreeMap<CandidateId, Facts> {
        let mut tables = BTreeMap::new();
        self.evaluator
            .candidates
            .iter()
            .map(|(id, ready)| {
                let next = tables.len();
                let table = *tables.entry(&ready.definition.table).or_insert(next);
                let price = &self.prices[id];
                let facts =
                    Facts { bytes: price.bytes, price_ms: price.total_ms(), write_ms: price.write_ms, table };
                (*id, facts)
            })
            .collect()
    }

    /// The workload as far as known plans tell.
    pub fn problem(&mut self, facts: &BTreeMap<CandidateId, Facts>) -> Problem {
        let (mut spaces, mut alone, mut fixed_ms) = (Vec::new(), Vec::new(), 0.0);
        for s in 0..self.base.len() {
            if self.base[s] <= 0.0 {
                fixed_ms += self.weights[s];
                continue;
            }
            let scale = self.weights[s] / self.base[s];
            let nothing = BTreeSet::new();
            let whole = self.evaluator.estimate(s, &nothing).cost * scale;
            let mut in_spaces = 0.0;
            let is_alone = self.evaluator.has_one_execution(s);
            for (weight, space) in self.evaluator.spaces(s) {
                if space.ids.is_empty() {
                    continue;
                }
                in_spaces += scale * weight * space.cheapest(0).cost;
                spaces.push((scale * weight, space));
                alone.push(is_alone);
            }
            // What followers have beyond their leader, and statements that no candidate helps.
            fixed_ms += whole - in_spaces;
        }
        let problem = Problem::new(spaces, facts, &self.credits, fixed_ms);
        match self.mending.most() {
            Some(most) => problem.guarded(most, &alone),
            None => problem,
        }
    }

    fn curve(&mut self, problem: &Problem, bundles: &[BTreeSet<CandidateId>]) -> Vec<CurvePoint> {
        let control = self.evaluator.control.clone();
        let mut curve: Vec<CurvePoint> = Vec::new();
        let budgets: BTreeSet<Bytes> = self.options.budgets.iter().copied().collect();
        let mut starts: Vec<BTreeSet<CandidateId>> = Vec::new();
        for max_bytes in budgets {
            let limits = Limits { bytes: Some(max_bytes.0), ..self.limits };
            let state: State<'_> = local_search::search(problem, limits, bundles, &starts, false, &control);
            let set = state.set();
            let bytes = Bytes(state.bytes());
            let saved_ms = self.saved_ms(&BTreeSet::new(), &set);
            let workload_cost = (0..self.base.len())
                .map(|s| self.workload.statements[s].calls as f64 * self.evaluator.estimate(s, &set).cost)
                .sum();
            curve.push(CurvePoint {
                max_bytes,
                bytes,
                indexes: set.len(),
                share_saved: saved_ms / self.total_ms(),
                workload_cost,
            });
            starts = vec![set];
        }
        curve
    }

    /// Takes back indexes that save less than the smallest share worth a line or that make no statement
    /// noticeably faster, the least useful first, because without it another may be missed more.
    pub async fn drop_marginal(&mut self, chosen: &mut BTreeSet<CandidateId>) -> Result<(), CostError> {
        let least_ms = self.least_ms();
        let mut rest_ms = self.rest_ms(chosen);
        // What each does, and whether another one gives it.
        let mut gains: BTreeMap<CandidateId, (Gain, bool)> = BTreeMap::new();
        loop {
            let mut least: Option<(f64, CandidateId)> = None;
            for id in chosen.iter().copied().collect::<Vec<_>>() {
                let (gain, given) = match gains.get(&id) {
                    Some(known) => *known,
                    None => {
                        let definition = |id: &CandidateId| &self.evaluator.candidates[id].definition;
                        let given = chosen
                            .iter()
                            .any(|o| *o != id && index_semantics::gives(definition(o), definition(&id)));
                        let without: BTreeSet<CandidateId> =
                            chosen.iter().filter(|c| **c != id).copied().collect();
                        if given {
                            // Known plans may not have met the wide one in its place.
                            for s in self.evaluator.statements_of([&id]) {
                                self.evaluator.cost(s, &without).await?;
                            }
                        }
                        let known = (self.gain(&without, chosen), given);
                        gains.insert(id, known);
                        known
                    }
                };
                let too_little = gain.saved_ms < self.floor_at(rest_ms, gain.usual)
                    || gain.most < self.least_speedup(&id)
                    // A narrow index beside a wide one with the same keys is worth having only for much less to read.
                    || given && gain.saved_ms < NARROW_TWIN * least_ms;
                if too_little
                    && least.is_none_or(|(l, _)| gain.saved_ms < l)
                    && !self.is_guard(&id, chosen).await?
                {
                    least = Some((gain.saved_ms, id));
                }
            }
            let Some((ms, id)) = least else {
                if self.drop_needless_columns(chosen, rest_ms) {
                    // What is left of an index may be what another one gives.
                    rest_ms = self.rest_ms(chosen);
                    gains.clear();
                    continue;
                }
                return Ok(());
            };
            chosen.remove(&id);
            rest_ms += ms;
            // What the others save is known anew only where they share a statement with it.
            let touched = self.evaluator.statements_of([&id]);
            gains.retain(|other, _| self.evaluator.statements_of([other]).is_disjoint(&touched));
        }
    }

    /// The share of its cost that an index has to save at least one statement. One that holds all of its table takes as
    /// much memory again as the table, and reading the one in place of the other has to save three times as much.
    fn least_speedup(&self, id: &CandidateId) -> f64 {
        let ready = &self.evaluator.candidates[id];
        let table = self.pricing.snapshot().relation(&ready.definition.table);
        let bytes = table.map_or(0, |t| t.table_bytes.0).max(1);
        let share = (ready.bytes as f64 / bytes as f64).min(1.0);
        self.options.min_speedup * (1.0 + 2.0 * share)
    }

    /// Takes back what no plan uses under the whole set: what known plans promised, another index does as well.
    pub async fn drop_unused(&mut self, chosen: &mut BTreeSet<CandidateId>) -> Result<(), CostError> {
        loop {
            let mut used = BTreeSet::new();
            for s in self.evaluator.statements_of(chosen.iter()) {
                used.extend(self.evaluator.cost(s, chosen).await?.used);
            }
            let before = chosen.len();
            chosen.retain(|id| used.contains(id));
            if chosen.len() == before {
                return Ok(());
            }
        }
    }

    /// The last columns of a key, where bytes have a price, and columns that an index carries only so that the table need not be visited, have to
    /// be worth it as another index would: without them it is smaller, serves more statements to come, and keeps more
    /// updates HOT. Tells whether there were such.
    fn drop_needless_columns(&mut self, chosen: &mut BTreeSet<CandidateId>, rest_ms: f64) -> bool {
        let mut any = false;
        for id in chosen.iter().copied().collect::<Vec<_>>() {
            let wide = self.evaluator.candidates[&id].definition.clone();
            let columns = |definition: &IndexDefinition| definition.keys.len() + definition.include.len();
            let narrower = self.evaluator.candidates.iter().filter(|(_, other)| {
                let other = &other.definition;
                other.table == wide.table
                    && other.access_method == wide.access_method
                    // Within a budget a column of the key costs nothing, and what it saves counts.
                    && match self.limits.bytes {
                        None => wide.keys.starts_with(&other.keys),
                        Some(_) => wide.keys == other.keys,
                    }
                    && other.predicate == wide.predicate
                    && columns(other) < columns(&wide)
                    && other.include.iter().all(|column| wide.include.contains(column))
            });
            // The fewest columns first.
            let mut narrower: Vec<(usize, CandidateId)> =
                narrower.map(|(id, other)| (columns(&other.definition), *id)).collect();
            narrower.sort_unstable();
            for (_, narrow) in narrower {
                if chosen.contains(&narrow) {
                    continue;
                }
                let mut with_narrow = chosen.clone();
                with_narrow.remove(&id);
                with_narrow.insert(narrow);
                let gain = self.gain(&with_narrow, chosen);
                let too_little = gain.saved_ms < self.floor_at(rest_ms, gain.usual)
                    || gain.most < self.options.min_speedup;
                if too_little && !self.may_be_slower(&[id, narrow], &with_narrow) {
                    *chosen = with_narrow;
                    any = true;
                    break;
                }
            }
        }
        any
    }
}
