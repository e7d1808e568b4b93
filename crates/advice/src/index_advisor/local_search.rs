//! Which set of candidates is the cheapest, as far as known plans tell?
//!
//! No planner is asked here: statements are [`PlanSpace`]s, and a set is costed in microseconds. So the
//! search can afford what greedy selection cannot: it adds, drops, and exchanges one for one and two for
//! one until nothing lowers the objective, from several starts. Everything is tried in a fixed order. Where
//! it ends, branch and bound (`bound.rs`) goes on.

mod turning;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::BuildHasherDefault;

use model::cost_model::CandidateId;

use super::options::Control;
use super::plan_space::{Mask, MaskHasher, PlanSpace};

/// How many sets each execution remembers the costs of.
const MAX_REMEMBERED: usize = 20_000;
/// A candidate as the search sees it.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub id: CandidateId,
    pub bytes: u64,
    /// Upkeep and what its bytes are worth, in milliseconds.
    pub price_ms: f64,
    /// The part of it that is upkeep.
    pub write_ms: f64,
    /// The number of its table.
    pub table: usize,
    /// Executions that it takes part in, with its bit there.
    pub units: Vec<(u32, u8)>,
}

/// One execution with those that follow it.
#[derive(Clone, Debug)]
pub(super) struct Unit {
    /// Milliseconds of the workload per unit of cost.
    pub scale: f64,
    pub space: PlanSpace,
    /// The item of each bit.
    pub items: Vec<usize>,
    /// What sets that were looked at cost, in milliseconds: a search comes back to the same ones again and again.
    known: RefCell<HashMap<Mask, f64, BuildHasherDefault<MaskHasher>>>,
    /// What it costs with everything, in milliseconds: no set is below it.
    least_ms: f64,
    guard: Option<Guard>,
}

/// How slow an execution may become, visits of tables that the planner does not charge included.
#[derive(Clone, Debug)]
pub(super) struct Guard {
    /// The cost that it may have.
    pub most: f64,
    /// The plans that keep to it, where every set has to have one of them.
    pub allowed: Option<PlanSpace>,
}

/// What each unit of cost counts by which an execution costs more than its guard allows: so much that whatever is gained
/// elsewhere does not outweigh it.
const PENALTY: f64 = 1e6;

impl Unit {
    /// What it costs under a set above what it may.
    fn excess(&self, guard: &Guard, mask: Mask) -> f64 {
        let cheapest = self.space.cheapest(mask);
        let excess = cheapest.cost + self.space.visits(&cheapest, mask) - guard.most;
        if excess > 1e-9 * guard.most { excess } else { 0.0 }
    }

    /// The plans from which a set that makes nothing too slow has one, given what is certainly in the set: the planner
    /// takes none that is dearer than what these indexes allow.
    pub fn allowed(&self, certain: Mask) -> Option<PlanSpace> {
        let guard = self.guard.as_ref()?;
        let allowed = guard.allowed.as_ref()?;
        let too_slow = certain != 0 && self.excess(guard, certain) > 0.0;
        too_slow.then(|| allowed.within(guard.most, self.space.cheapest(certain).planner_cost))
    }

    /// The plans that it may have.
    pub fn plans(&self) -> &PlanSpace {
        self.guard.as_ref().and_then(|guard| guard.allowed.as_ref()).unwrap_or(&self.space)
    }

    /// Chosen items as a mask.
    pub fn mask(&self, chosen: impl Fn(usize) -> bool) -> Mask {
        let bits = self.items.iter().enumerate().filter(|(_, item)| chosen(**item));
        bits.fold(0, |mask, (bit, _)| mask | 1 << bit)
    }

    fn of_mask(&self, mask: Mask) -> impl Iterator<Item = usize> + '_ {
        self.items.iter().enumerate().filter(move |(bit, _)| mask >> bit & 1 == 1).map(|(_, item)| *item)
    }

    /// The cost under a set, in milliseconds.
    fn cost_ms(&self, mask: Mask) -> f64 {
        if let Some(known) = self.known.borrow().get(&mask) {
            return *known;
        }
        let cheapest = self.space.cheapest(mask);
        let mut cost = cheapest.cost;
        if let Some(guard) = &self.guard {
            cost += PENALTY * self.excess(guard, mask);
        }
        let cost = self.scale * cost;
        let mut known = self.known.borrow_mut();
        if known.len() >= MAX_REMEMBERED {
            known.clear();
        }
        known.insert(mask, cost);
        cost
    }
}

/// What bounds a set.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Limits {
    pub bytes: Option<u64>,
    pub count: Option<usize>,
    pub write_ms: Option<f64>,
}

/// The workload as far as known plans tell.
#[derive(Clone, Debug)]
pub(super) struct Problem {
    pub items: Vec<Item>,
    pub units: Vec<Unit>,
    /// Milliseconds that depend on no candidate.
    pub fixed_ms: f64,
    /// Milliseconds that dropping an existing index frees, with the items any of which makes it superfluous.
    pub credits: Vec<(f64, Vec<usize>)>,
}

/// A candidate's facts that do not depend on plans.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    pub bytes: u64,
    pub price_ms: f64,
    pub write_ms: f64,
    pub table: usize,
}

impl Problem {
    /// From spaces with their scales; candidates that no space speaks of are left out, because no known
    /// plan uses them.
    pub fn new(
        spaces: Vec<(f64, PlanSpace)>,
        facts: &BTreeMap<CandidateId, Facts>,
        credits: &[(f64, BTreeSet<CandidateId>)],
        fixed_ms: f64,
    ) -> Self {
        let ids: BTreeSet<CandidateId> = spaces.iter().flat_map(|(_, s)| &s.ids).copied().collect();
        let mut items: Vec<Item> = ids
            .into_iter()
            .filter_map(|id| {
                let Facts { bytes, price_ms, write_ms, table } = *facts.get(&id)?;
                Some(Item { id, bytes, price_ms, write_ms, table, units: Vec::new() })
            })
            .collect();
        let position: BTreeMap<CandidateId, usize> =
            items.iter().enumerate().map(|(n, i)| (i.id, n)).collect();
        let mut units = Vec::with_capacity(spaces.len());
        for (scale, space) in spaces {
            let of_bits: Vec<usize> =
                space.ids.iter().map(|id| position.get(id).copied().unwrap_or(usize::MAX)).collect();
            for (bit, item) in of_bits.iter().enumerate() {
                if let Some(item) = items.get_mut(*item) {
                    item.units.push((units.len() as u32, bit as u8));
                }
            }
            let least_ms = scale * space.least_cost();
            units.push(Unit {
                scale,
                space,
                items: of_bits,
                known: RefCell::default(),
                least_ms,
                guard: None,
            });
        }
        let credits = credits
            .iter()
            .map(|(ms, ids)| (*ms, ids.iter().filter_map(|id| position.get(id).copied()).collect()))
            .collect();
        Self { items, units, fixed_ms, credits }
    }

    /// The same when no execution may cost more than so many times what it costs without any of the candidates, visits
    /// of tables counted. `alone` tells which are the only one of their statement: of several, one may become slower
    /// when the statement does not, so a bound must not leave its plans out.
    pub fn guarded(mut self, slower: f64, alone: &[bool]) -> Self {
        for (unit, alone) in self.units.iter_mut().zip(alone) {
            let now = unit.space.cheapest(0);
            let most = slower * (now.cost + unit.space.visits(&now, 0));
            let allowed = alone.then(|| unit.space.within(most, now.planner_cost));
            unit.guard = Some(Guard { most, allowed });
            unit.known.borrow_mut().clear();
        }
        self
    }

    /// What the plans use that are too slow with a set, by the numbers of the items.
    pub fn causes(&self, chosen: impl Fn(usize) -> bool) -> BTreeSet<usize> {
        let mut causes = BTreeSet::new();
        for unit in &self.units {
            let Some(guard) = unit.guard.as_ref().filter(|guard| guard.allowed.is_some()) else { continue };
            let mask = unit.mask(&chosen);
            if unit.excess(guard, mask) > 0.0 {
                let used = unit.space.mask(&unit.space.used(mask));
                causes.extend(unit.of_mask(used));
            }
        }
        causes
    }
}

/// A set in the making.
#[derive(Clone, Debug)]
pub(super) struct State<'p> {
    problem: &'p Problem,
    limits: Limits,
    chosen: BTreeSet<usize>,
    masks: Vec<Mask>,
    costs: Vec<f64>,
    bytes: u64,
    write_ms: f64,
    /// Time and price in milliseconds.
    pub objective: f64,
}

impl<'p> State<'p> {
    pub fn empty(problem: &'p Problem, limits: Limits) -> Self {
        let costs: Vec<f64> = problem.units.iter().map(|u| u.cost_ms(0)).collect();
        let objective = problem.fixed_ms + costs.iter().sum::<f64>();
        let masks = vec![0; costs.len()];
        Self { problem, limits, chosen: BTreeSet::new(), masks, costs, bytes: 0, write_ms: 0.0, objective }
    }

    pub fn of(problem: &'p Problem, limits: Limits, set: &BTreeSet<CandidateId>) -> Self {
        let mut state = Self::empty(problem, limits);
        for (number, item) in problem.items.iter().enumerate() {
            if set.contains(&item.id) {
                state.apply(&[number], &[]);
            }
        }
        state
    }

    pub fn set(&self) -> BTreeSet<CandidateId> {
        self.chosen.iter().map(|i| self.problem.items[*i].id).collect()
    }

    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    fn fits(&self, add: &[usize], remove: &[usize]) -> bool {
        let items = &self.problem.items;
        let sum = |list: &[usize]| list.iter().map(|i| items[*i].bytes).sum::<u64>();
        let bytes = self.bytes + sum(add) - sum(remove);
        let writes = |list: &[usize]| list.iter().map(|i| items[*i].write_ms).sum::<f64>();
        let write_ms = self.write_ms + writes(add) - writes(remove);
        self.limits.bytes.is_none_or(|max| bytes <= max)
            && self.limits.count.is_none_or(|max| self.chosen.len() + add.len() <= max + remove.len())
            && self.limits.write_ms.is_none_or(|max| write_ms <= max * (1.0 + 1e-9))
    }

    /// The changed executions with their new masks.
    fn changed(&self, add: &[usize], remove: &[usize]) -> Vec<(usize, Mask)> {
        let items = &self.problem.items;
        let mut changed: Vec<(usize, Mask)> = Vec::new();
        let mut set = |unit: u32, bit: u8, on: bool| {
            let unit = unit as usize;
            let at = match changed.iter().position(|(u, _)| *u == unit) {
                Some(at) => at,
                None => {
                    changed.push((unit, self.masks[unit]));
                    changed.len() - 1
                }
            };
            let bit: Mask = 1 << bit;
            if on { changed[at].1 |= bit } else { changed[at].1 &= !bit }
        };
        for (list, on) in [(remove, false), (add, true)] {
            for (unit, bit) in list.iter().flat_map(|i| &items[*i].units) {
                set(*unit, *bit, on);
            }
        }
        changed
    }

    fn credit(&self, add: &[usize], remove: &[usize]) -> f64 {
        let mut sum = 0.0;
        for (ms, items) in &self.problem.credits {
            let before = items.iter().any(|i| self.chosen.contains(i));
            let stays = |i: &usize| self.chosen.contains(i) && !remove.contains(i) || add.contains(i);
            let after = items.iter().any(stays);
            sum += ms * (f64::from(u8::from(after)) - f64::from(u8::from(before)));
        }
        sum
    }

    /// By how much an exchange lowers the objective.
    pub fn gain(&self, add: &[usize], remove: &[usize]) -> f64 {
        let items = &self.problem.items;
        let price = |list: &[usize]| list.iter().map(|i| items[*i].price_ms).sum::<f64>();
        let mut gain = price(remove) - price(add);
        if !self.problem.credits.is_empty() {
            gain += self.credit(add, remove);
        }
        for (unit, mask) in self.changed(add, remove) {
            if mask != self.masks[unit] {
                gain += self.costs[unit] - self.problem.units[unit].cost_ms(mask);
            }
        }
        gain
    }

    /// What one more index could gain at most, however many others there were: what its executions cost above the
    /// least that they can.
    fn most_gained(&self, item: usize) -> f64 {
        let units = self.problem.items[item].units.iter().map(|(unit, _)| *unit as usize);
        units.map(|unit| (self.costs[unit] - self.problem.units[unit].least_ms).max(0.0)).sum()
    }

    pub fn apply(&mut self, add: &[usize], remove: &[usize]) {
        self.objective -= self.gain(add, remove);
        for (unit, mask) in self.changed(add, remove) {
            self.masks[unit] = mask;
            self.costs[unit] = self.problem.units[unit].cost_ms(mask);
        }
        for item in remove {
            self.chosen.remove(item);
            self.bytes -= self.problem.items[*item].bytes;
            self.write_ms -= self.problem.items[*item].write_ms;
        }
        for item in add {
            self.chosen.insert(*item);
            self.bytes += self.problem.items[*item].bytes;
            self.write_ms += self.problem.items[*item].write_ms;
        }
    }

    /// A step must gain more than rounding: a millionth of what there is.
    fn threshold(&self) -> f64 {
        self.objective.abs() * 1e-6
    }

    /// Adds what gains most, per byte when bytes are short, until nothing does. `bundles` are sets that
    /// help only together.
    fn fill(&mut self, bundles: &[Vec<usize>], per_byte: bool) {
        self.fill_without(bundles, per_byte, None);
    }

    /// The same without one of the candidates.
    fn fill_without(&mut self, bundles: &[Vec<usize>], per_byte: bool, banned: Option<usize>) {
        let items = &self.problem.items;
        let score = |state: &Self, add: &[usize]| -> f64 {
            if add.is_empty() || banned.is_some_and(|item| add.contains(&item)) || !state.fits(add, &[]) {
                return f64::NEG_INFINITY;
            }
            let gain = state.gain(add, &[]);
            let bytes: u64 = add.iter().map(|i| items[*i].bytes).sum();
            if per_byte && gain > 0.0 { gain / bytes.max(8_192) as f64 } else { gain }
        };
        let singles = (0..items.len()).map(|i| vec![i]);
        let additions: Vec<Vec<usize>> = singles.chain(bundles.iter().cloned()).collect();
        let missing = |state: &Self, addition: &[usize]| -> Vec<usize> {
            addition.iter().filter(|i| !state.chosen.contains(i)).copied().collect()
        };
        // Gains mostly shrink as the set grows, so an old one is a good guess of the rank.
        let mut queue: Vec<(f64, usize, usize)> = Vec::new();
        for (number, addition) in additions.iter().enumerate() {
            queue.push((score(self, &missing(self, addition)), 0, number));
        }
        let mut round = 0;
        loop {
            queue.retain(|(score, _, _)| *score > 0.0);
            let best =
                queue.iter().enumerate().max_by(|(_, a), (_, b)| a.0.total_cmp(&b.0).then(b.2.cmp(&a.2)));
            let Some((at, (_, computed, number))) = best.map(|(at, entry)| (at, *entry)) else { return };
            let add = missing(self, &additions[number]);
            if computed == round {
                queue.swap_remove(at);
                if self.gain(&add, &[]) > self.threshold() {
                    self.apply(&add, &[]);
                    round += 1;
                }
            } else {
                queue[at] = (score(self, &add), round, number);
            }
        }
    }

    /// Takes out what is not missed.
    fn prune(&mut self) {
        loop {
            let gains = self.chosen.iter().map(|i| (self.gain(&[], &[*i]), *i));
            // What costs nothing to remove goes: an index that is not missed is one too many.
            let best =
                gains.filter(|(g, _)| *g >= 0.0).max_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1)));
            let Some((_, item)) = best else { return };
            self.apply(&[], &[item]);
        }
    }

    /// Exchanges one chosen index for another, or two for one. Without a budget only indexes of
    /// one table compete.
    fn exchange(&mut self, control: &Control) -> bool {
        let items = &self.problem.items;
        let tight =
            self.limits.bytes.is_some() || self.limits.count.is_some() || self.limits.write_ms.is_some();
        let mut any = false;
        loop {
            let mut better = false;
            let chosen: Vec<usize> = self.chosen.iter().copied().collect();
            for old in &chosen {
                // What its place is worth: without it, others gain what it does and more.
                let mut without = self.clone();
                without.apply(&[], &[*old]);
                let lost = without.objective - self.objective;
                let mut best: Option<(f64, usize)> = None;
                for new in 0..items.len() {
                    let competes = items[new].table == items[*old].table || tight;
                    if !competes || self.chosen.contains(&new) || control.is_stopped() {
                        continue;
                    }
                    let least = best.map_or(self.threshold(), |b| b.0);
                    let no_credit = self.problem.credits.is_empty();
                    if no_credit && without.most_gained(new) - items[new].price_ms - lost <= least {
                        continue;
                    }
                    if self.fits(&[new], &[*old]) {
                        let gain = without.gain(&[new], &[]) - lost;
                        if gain > least {
                            best = Some((gain, new));
                        }
                    }
                }
                if let Some((_, new)) = best {
                    self.apply(&[new], &[*old]);
                    (better, any) = (true, true);
                }
            }
            if better {
                continue;
            }
            // Two that one index of the same table can take the place of.
            let mut best: Option<(f64, usize, [usize; 2])> = None;
            for (at, a) in chosen.iter().enumerate() {
                for b in &chosen[at + 1..] {
                    if items[*a].table != items[*b].table || control.is_stopped() {
                        continue;
                    }
                    let out = [*a, *b];
                    let mut without = self.clone();
                    without.apply(&[], &out);
                    let lost = without.objective - self.objective;
                    for new in 0..items.len() {
                        if items[new].table != items[*a].table
                            || self.chosen.contains(&new)
                            || !self.fits(&[new], &out)
                        {
                            continue;
                        }
                        let gain = without.gain(&[new], &[]) - lost;
                        if gain > best.as_ref().map_or(self.threshold(), |b| b.0) {
                            best = Some((gain, new, out));
                        }
                    }
                }
            }
            let Some((_, new, out)) = best else { return any };
            self.apply(&[new], &out);
            any = true;
        }
    }

    /// Whether the set keeps to the limits.
    pub fn is_within_limits(&self) -> bool {
        self.fits(&[], &[])
    }

    /// Makes the best of a set that came from elsewhere: takes out what is too much and adds what
    /// fits; thoroughly, with all exchanges.
    pub fn complete(&mut self, thoroughly: bool, control: &Control) {
        self.shrink(None);
        if thoroughly {
            self.settle(&[], control);
        } else {
            self.fill(&[], false);
            self.prune();
        }
    }

    /// Takes out what is lost least by byte until the limits are kept.
    fn shrink(&mut self, held: Option<usize>) {
        while !self.is_within_limits() {
            let items = &self.problem.items;
            let loss = |i: usize| -self.gain(&[], &[i]) / items[i].bytes.max(8_192) as f64;
            let chosen = self.chosen.iter().copied().filter(|i| Some(*i) != held);
            let Some(least) = chosen.min_by(|a, b| loss(*a).total_cmp(&loss(*b)).then(a.cmp(b))) else {
                return;
            };
            self.apply(&[], &[least]);
        }
    }

    fn settle(&mut self, bundles: &[Vec<usize>], control: &Control) {
        // Each round ends lower than it began; the bound is for the odd tie.
        for _ in 0..20 {
            let before = self.objective;
            self.fill(bundles, false);
            self.prune();
            self.exchange(control);
            if self.objective > before - self.threshold() || control.is_stopped() {
                return;
            }
        }
    }
}

/// The best set that the search finds, starting also from sets that were good before. `closely` also turns each
/// candidate, which takes several times as long.
pub(super) fn search<'p>(
    problem: &'p Problem,
    limits: Limits,
    bundles: &[BTreeSet<CandidateId>],
    starts: &[BTreeSet<CandidateId>],
    closely: bool,
    control: &Control,
) -> State<'p> {
    let position: BTreeMap<CandidateId, usize> =
        problem.items.iter().enumerate().map(|(n, i)| (i.id, n)).collect();
    let bundles: BTreeSet<Vec<usize>> = bundles
        .iter()
        .map(|set| set.iter().filter_map(|id| position.get(id).copied()).collect::<Vec<_>>())
        .filter(|bundle| bundle.len() > 1)
        .collect();
    let bundles: Vec<Vec<usize>> = bundles.into_iter().collect();
    let mut best: Option<State<'p>> = None;
    let mut keep = |state: State<'p>| {
        if best.as_ref().is_none_or(|b| state.objective < b.objective - b.threshold()) {
            best = Some(state);
        }
    };
    let per_byte: &[bool] = if limits.bytes.is_some() { &[false, true] } else { &[false] };
    for per_byte in per_byte {
        let mut state = State::empty(problem, limits);
        state.fill(&bundles, *per_byte);
        state.settle(&bundles, control);
        keep(state);
    }
    for start in starts {
        let mut state = State::of(problem, limits, start);
        if !state.fits(&[], &[]) {
            continue;
        }
        state.settle(&bundles, control);
        keep(state);
    }
    let best = best.unwrap_or_else(|| State::empty(problem, limits));
    if closely { best.turn_each(&bundles, control) } else { best }
}

#[cfg(test)]
mod tests {
    use super::super::plan_space::{Choice, Template};
    use super::*;

    /// A table that can be read as it stands, by an index whose visits of it the planner does not charge, and by a
    /// dearer one that needs none; the last stand in a leaf, or inside of a plan of their own.
    fn problem(inside: bool) -> Problem {
        let set = |ids: &[u32]| ids.iter().copied().map(CandidateId).collect::<BTreeSet<_>>();
        let choice = |ids: &[u32], cost: f64, visits: f64| Choice { indexes: set(ids), cost, visits };
        let template = |origin, internal, required, visits, choices| Template {
            origin,
            internal,
            doubt: 0.0,
            visits,
            required,
            leaves: vec![("i".to_owned(), choices)],
        };
        let seq = choice(&[], 100.0, 0.0);
        let templates = if inside {
            let by = |origin, id: u32, cost: f64, visits: f64| {
                template(origin, cost, set(&[id]), visits, vec![choice(&[], 0.0, 0.0)])
            };
            vec![template(0, 0.0, set(&[]), 0.0, vec![seq]), by(1, 1, 20.0, 200.0), by(2, 2, 60.0, 0.0)]
        } else {
            let choices = vec![seq, choice(&[1], 20.0, 200.0), choice(&[2], 60.0, 0.0)];
            vec![template(0, 0.0, set(&[]), 0.0, choices)]
        };
        let facts = |bytes| Facts { bytes, price_ms: 1.0, write_ms: 0.0, table: 0 };
        let facts = BTreeMap::from([(CandidateId(1), facts(10)), (CandidateId(2), facts(40))]);
        Problem::new(vec![(1.0, PlanSpace::new(&templates))], &facts, &[], 0.0)
    }

    fn found(problem: &Problem, starts: &[BTreeSet<CandidateId>]) -> BTreeSet<CandidateId> {
        let limits = Limits { bytes: Some(100), ..Limits::default() };
        search(problem, limits, &[], starts, true, &Control::default()).set()
    }

    #[test]
    fn a_plan_that_is_slower_than_the_planner_says_is_avoided_where_that_is_asked_for() {
        for inside in [false, true] {
            let believed = found(&problem(inside), &[]);
            assert_eq!(believed, BTreeSet::from([CandidateId(1)]), "{inside}");
            let guarded = problem(inside).guarded(1.2, &[true]);
            assert_eq!(
                found(&guarded, std::slice::from_ref(&believed)),
                BTreeSet::from([CandidateId(2)]),
                "{inside}"
            );
            // What is not slower than today counts as the planner says.
            assert_eq!(found(&problem(inside).guarded(3.0, &[true]), &[]), believed, "{inside}");
        }
    }
}
