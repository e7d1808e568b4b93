//! Which candidates together? Greedy with bundles, then local search.
//!
//! The objective is the workload's time plus the price of the chosen indexes, in milliseconds. Greedy
//! alone misses indexes that help only together (both sides of a join), so besides single candidates
//! it may add the set that a statement uses when everything is on, which is DB2Advis' idea (Valentin et
//! al. 2000). Afterwards each chosen index is removed or exchanged as long as that lowers the
//! objective (the prune and swap of Extend, Schlosser et al. 2019).

use std::collections::{BTreeMap, BTreeSet};

use model::cost_model::{CandidateId, CostError, CostModel};

use super::Options;
use super::evaluation::Evaluator;
use super::price::CandidatePrice;
use crate::workload::Workload;

/// The state of a selection.
pub(super) struct Selection<'e, 'm, M> {
    pub evaluator: &'e mut Evaluator<'m, M>,
    pub workload: &'e Workload,
    pub prices: &'e BTreeMap<CandidateId, CandidatePrice>,
    pub options: &'e Options,
    /// Cost of each statement as things are.
    pub base: Vec<f64>,
    /// Cost of each statement with every candidate on: no set is better.
    pub ideal: Vec<f64>,
}

/// What a set of candidates comes to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outcome {
    /// The workload's time in milliseconds.
    pub read_ms: f64,
    /// Time and price.
    pub objective: f64,
}

impl<M: CostModel> Selection<'_, '_, M> {
    /// Time that a statement takes at a planner cost: the measured time scaled by the cost ratio.
    pub fn time_ms(&self, statement: usize, cost: f64) -> f64 {
        let base = self.base[statement].max(f64::MIN_POSITIVE);
        self.workload.statements[statement].total_ms * (cost / base)
    }

    /// Evaluates a set. Only statements for which a member of `changed` could matter are looked at;
    /// the others are the same before and after and cancel out.
    async fn partial_objective(
        &mut self,
        set: &BTreeSet<CandidateId>,
        statements: &BTreeSet<usize>,
    ) -> Result<Outcome, CostError> {
        let mut read_ms = 0.0;
        for s in statements {
            let cost = self.evaluator.cost(*s, set).await?.cost;
            read_ms += self.time_ms(*s, cost);
        }
        let price: f64 = set.iter().map(|id| self.prices[id].total_ms()).sum();
        Ok(Outcome { read_ms, objective: read_ms + price })
    }

    /// How much the objective falls when one set is exchanged for another.
    pub async fn gain(
        &mut self,
        from: &BTreeSet<CandidateId>,
        to: &BTreeSet<CandidateId>,
    ) -> Result<f64, CostError> {
        let changed: BTreeSet<CandidateId> = from.symmetric_difference(to).copied().collect();
        let statements = self.statements_of(&changed);
        let before = self.partial_objective(from, &statements).await?;
        let after = self.partial_objective(to, &statements).await?;
        Ok(before.objective - after.objective)
    }

    /// The gain of an exchange when it is above `floor`, else `None`. Statements are looked at one by one,
    /// and as soon as the best that the rest could bring is too little, the planner is spared.
    async fn gain_above(
        &mut self,
        from: &BTreeSet<CandidateId>,
        to: &BTreeSet<CandidateId>,
        floor: f64,
    ) -> Result<Option<f64>, CostError> {
        let changed: BTreeSet<CandidateId> = from.symmetric_difference(to).copied().collect();
        let mut hopes = Vec::new();
        let mut gain = self.price(from) - self.price(to);
        for s in self.statements_of(&changed) {
            let cost = self.evaluator.cost(s, from).await?.cost;
            let now = self.time_ms(s, cost);
            let hope = now - self.time_ms(s, self.ideal[s]);
            gain += hope;
            hopes.push((s, now, hope));
        }
        // Statements that take long now lose most by the exchange: they end hopeless ones soonest.
        let weight = |s: usize| self.workload.statements[s].total_ms;
        hopes.sort_by(|a, b| weight(b.0).total_cmp(&weight(a.0)).then(a.0.cmp(&b.0)));
        for (s, now, hope) in hopes {
            if gain <= floor {
                return Ok(None);
            }
            let cost = self.evaluator.cost(s, to).await?.cost;
            gain += now - self.time_ms(s, cost) - hope;
        }
        Ok((gain > floor).then_some(gain))
    }

    /// How much time of the workload two sets differ by, prices left out.
    pub async fn saved_ms(
        &mut self,
        from: &BTreeSet<CandidateId>,
        to: &BTreeSet<CandidateId>,
    ) -> Result<f64, CostError> {
        let changed: BTreeSet<CandidateId> = from.symmetric_difference(to).copied().collect();
        let statements = self.statements_of(&changed);
        let before = self.partial_objective(from, &statements).await?;
        let after = self.partial_objective(to, &statements).await?;
        Ok(before.read_ms - after.read_ms)
    }

    /// The least time that one index of a set must save beside the others.
    pub async fn floor_ms(&mut self, chosen: &BTreeSet<CandidateId>) -> Result<f64, CostError> {
        let mut rest = self.workload.total_ms;
        for s in 0..self.base.len() {
            let cost = self.evaluator.cost(s, chosen).await?.cost;
            rest -= self.workload.statements[s].total_ms - self.time_ms(s, cost);
        }
        let of_all = self.options.min_share * self.workload.total_ms;
        Ok(of_all.max(self.options.min_share_of_rest * rest.max(0.0)))
    }

    fn statements_of(&self, candidates: &BTreeSet<CandidateId>) -> BTreeSet<usize> {
        let relevant = self.evaluator.relevant.iter().enumerate();
        relevant.filter(|(_, ids)| !ids.is_disjoint(candidates)).map(|(s, _)| s).collect()
    }

    /// The most that any set which contains these could save beyond a given one, in milliseconds.
    pub async fn most_saved(
        &mut self,
        chosen: &BTreeSet<CandidateId>,
        changed: &BTreeSet<CandidateId>,
    ) -> Result<f64, CostError> {
        let mut sum = 0.0;
        for s in self.statements_of(changed) {
            let cost = self.evaluator.cost(s, chosen).await?.cost;
            sum += (self.time_ms(s, cost) - self.time_ms(s, self.ideal[s])).max(0.0);
        }
        Ok(sum)
    }

    fn price(&self, set: &BTreeSet<CandidateId>) -> f64 {
        set.iter().map(|id| self.prices[id].total_ms()).sum()
    }

    fn fits(&self, set: &BTreeSet<CandidateId>) -> bool {
        let bytes: u64 = set.iter().map(|id| self.prices[id].bytes).sum();
        self.options.max_bytes.is_none_or(|max| bytes <= max.0)
            && self.options.max_count.is_none_or(|max| set.len() <= max)
    }

    /// Chooses a set.
    pub async fn run(
        &mut self,
        ideals: &[BTreeSet<CandidateId>],
    ) -> Result<BTreeSet<CandidateId>, CostError> {
        let mut pool = self.pool(ideals);
        let mut additions: BTreeSet<BTreeSet<CandidateId>> =
            pool.iter().map(|id| BTreeSet::from([*id])).collect();
        additions.extend(ideals.iter().filter(|set| set.len() > 1).cloned());
        let (mut chosen, hopeless) = self.greedy(&additions).await?;
        // What no statement uses, alone or with everything on, is not tried in exchange either.
        let used: BTreeSet<CandidateId> = ideals.iter().flatten().copied().collect();
        pool.retain(|id| used.contains(id) || !hopeless.contains(id));
        additions.retain(|set| set.iter().all(|id| pool.contains(id)));
        // Each round ends lower than it began, so this ends; the bound is for the odd tie.
        for _ in 0..20 {
            let pruned = self.prune(&mut chosen).await?;
            let swapped = self.swap(&mut chosen, &pool).await?;
            let grown = self.grow(&mut chosen, &additions).await?;
            if !(pruned || swapped || grown) {
                break;
            }
        }
        Ok(chosen)
    }

    /// Candidates worth trying one by one: all, or with very many those that some statement's ideal
    /// plan uses and their relatives on the same leading column.
    fn pool(&self, ideals: &[BTreeSet<CandidateId>]) -> BTreeSet<CandidateId> {
        let all: BTreeSet<CandidateId> = self.evaluator.candidates.keys().copied().collect();
        if all.len() <= self.options.max_pool {
            return all;
        }
        let used: BTreeSet<CandidateId> = ideals.iter().flatten().copied().collect();
        let first = |id: &CandidateId| {
            let definition = &self.evaluator.candidates[id].definition;
            (definition.table.clone(), definition.keys.first().map(|k| k.target.clone()))
        };
        let leading: BTreeSet<_> = used.iter().map(first).collect();
        let relatives = all.iter().filter(|id| leading.contains(&first(id))).copied();
        let mut pool = used.clone();
        pool.extend(relatives.take(self.options.max_pool));
        pool
    }

    /// Adds what lowers the objective most, until nothing does. Gains are recomputed lazily: a gain
    /// mostly shrinks as the set grows, so an old one is a good guess of its rank. Also gives what gains
    /// nothing alone.
    async fn greedy(
        &mut self,
        additions: &BTreeSet<BTreeSet<CandidateId>>,
    ) -> Result<(BTreeSet<CandidateId>, BTreeSet<CandidateId>), CostError> {
        let mut chosen = BTreeSet::new();
        let mut hopeless = BTreeSet::new();
        let mut queue: Vec<(f64, usize, &BTreeSet<CandidateId>)> = Vec::new();
        for addition in additions {
            let score = self.score(&chosen, addition).await?;
            queue.push((score, 0, addition));
            if let (true, 1, Some(only)) = (score <= 0.0, addition.len(), addition.first()) {
                hopeless.insert(*only);
            }
        }
        let mut round = 0;
        loop {
            queue.retain(|(score, _, _)| *score > 0.0);
            queue.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.2.cmp(b.2)));
            let Some((_, computed, addition)) = queue.first().copied() else { break };
            if computed == round {
                let next: BTreeSet<CandidateId> = chosen.union(addition).copied().collect();
                queue.remove(0);
                if self.fits(&next) {
                    chosen = next;
                    round += 1;
                }
            } else {
                let score = self.score(&chosen, addition).await?;
                queue[0] = (score, round, addition);
            }
        }
        Ok((chosen, hopeless))
    }

    /// The gain of an addition; under a budget of bytes, the gain per byte.
    async fn score(
        &mut self,
        chosen: &BTreeSet<CandidateId>,
        addition: &BTreeSet<CandidateId>,
    ) -> Result<f64, CostError> {
        let next: BTreeSet<CandidateId> = chosen.union(addition).copied().collect();
        if next == *chosen || !self.fits(&next) {
            return Ok(0.0);
        }
        let most = self.most_saved(chosen, addition).await?;
        if most + self.price(chosen) - self.price(&next) <= 0.0 {
            return Ok(0.0);
        }
        let gain = self.gain(chosen, &next).await?;
        if self.options.max_bytes.is_none() {
            return Ok(gain);
        }
        let bytes: u64 = addition.difference(chosen).map(|id| self.prices[id].bytes).sum();
        Ok(gain / (bytes.max(8192) as f64))
    }

    /// A step must gain more than rounding: a millionth of the workload.
    fn threshold(&self) -> f64 {
        self.workload.total_ms * 1e-6
    }

    async fn prune(&mut self, chosen: &mut BTreeSet<CandidateId>) -> Result<bool, CostError> {
        let mut any = false;
        loop {
            let mut best: Option<(f64, CandidateId)> = None;
            for id in chosen.iter().copied().collect::<Vec<_>>() {
                let without: BTreeSet<CandidateId> = chosen.iter().filter(|c| **c != id).copied().collect();
                let gain = self.gain(chosen, &without).await?;
                // What costs nothing to remove goes: an index that is not missed is one too many.
                if gain >= 0.0 && best.is_none_or(|(g, _)| gain > g) {
                    best = Some((gain, id));
                }
            }
            let Some((_, id)) = best else { return Ok(any) };
            chosen.remove(&id);
            any = true;
        }
    }

    async fn swap(
        &mut self,
        chosen: &mut BTreeSet<CandidateId>,
        pool: &BTreeSet<CandidateId>,
    ) -> Result<bool, CostError> {
        let mut any = false;
        loop {
            let mut best: Option<(f64, BTreeSet<CandidateId>)> = None;
            for old in chosen.iter().copied().collect::<Vec<_>>() {
                let table = &self.evaluator.candidates[&old].definition.table.clone();
                for new in pool {
                    if chosen.contains(new) || self.evaluator.candidates[new].definition.table != *table {
                        continue;
                    }
                    let mut next = chosen.clone();
                    next.remove(&old);
                    next.insert(*new);
                    if !self.fits(&next) {
                        continue;
                    }
                    let floor = best.as_ref().map_or(self.threshold(), |(g, _)| *g);
                    if let Some(gain) = self.gain_above(chosen, &next, floor).await? {
                        best = Some((gain, next));
                    }
                }
            }
            let Some((_, next)) = best else { return Ok(any) };
            *chosen = next;
            any = true;
        }
    }

    async fn grow(
        &mut self,
        chosen: &mut BTreeSet<CandidateId>,
        additions: &BTreeSet<BTreeSet<CandidateId>>,
    ) -> Result<bool, CostError> {
        let mut best: Option<(f64, BTreeSet<CandidateId>)> = None;
        for addition in additions {
            let next: BTreeSet<CandidateId> = chosen.union(addition).copied().collect();
            if next == *chosen || !self.fits(&next) {
                continue;
            }
            let floor = best.as_ref().map_or(self.threshold(), |(g, _)| *g);
            if let Some(gain) = self.gain_above(chosen, &next, floor).await? {
                best = Some((gain, next));
            }
        }
        let Some((_, next)) = best else { return Ok(false) };
        *chosen = next;
        Ok(true)
    }
}
