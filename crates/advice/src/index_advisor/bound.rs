//! How good can any set of the candidates be?
//!
//! Choosing indexes is an integer program: each execution takes one plan, each leaf of it one access, and
//! every index that is used has to be paid and to fit the budget (CoPhy; Dash, Polyzotis and Ailamaki
//! 2011). Lagrangian relaxation (Fisher 1981) drops the condition that what is used is paid, and charges
//! each use a fee instead. Then every execution chooses for itself and the indexes fill the budget by
//! themselves as a fractional knapsack, and the sum is below the cost of every set. Subgradient steps
//! raise the fees of indexes that are used more than they are chosen, and lower the others.
//!
//! What the relaxation leaves open is closed by branch and bound, as far as a fixed amount of work goes: an
//! index is taken for certain in one branch and left out in the other, and a branch ends whose bound is
//! above a set that is known.
//!
//! Where no execution may become slower by more than a limit (`mending.rs`), each chooses among the plans that keep
//! to it. Whatever set keeps to it has one of those, so the sum is below the cost of every such set still. In a branch
//! the planner may be known to take a plan that does not keep to it unless it finds a cheaper one, and then only cheaper
//! ones are left to choose from.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::cost_model::CandidateId;

use super::local_search::{Item, Limits, Problem, State};
use super::options::Control;
use super::plan_space::PlanSpace;

/// Subgradient steps at the root.
const ROOT_STEPS: usize = 400;
/// Subgradient steps in a branch, which begins with its parent's fees.
const BRANCH_STEPS: usize = 60;
/// Steps without progress before they are halved.
const PATIENCE: usize = 10;
/// The size of a plan space that counts as one.
const USUAL_SIZE: usize = 400;
/// Plan spaces that are looked at for the bound of what is recommended: about a tenth of a second.
pub(super) const WORK: usize = 200_000;
/// The same for a set that is not yet planned.
pub(super) const WORK_BEFORE: usize = 100_000;
/// A gap that is as good as none.
const CLOSED: f64 = 1e-4;

/// What is proven.
pub(super) struct Proven {
    /// In milliseconds; the objective of no set is below it.
    pub limit_ms: f64,
    /// The best set that was met on the way, with its objective as far as known plans tell.
    pub best: Option<(f64, BTreeSet<CandidateId>)>,
}

/// Proves a bound for a set that is known to reach an objective.
pub(super) fn prove(
    problem: &Problem,
    limits: Limits,
    reached_ms: f64,
    max_work: usize,
    control: &Control,
) -> Proven {
    let relaxation = Relaxation::new(problem, limits);
    let mut proven = Proven { limit_ms: f64::NEG_INFINITY, best: None };
    let mut known_ms = reached_ms;
    let mut work = 0;
    let root = relaxation.ascend(&Branch::root(&relaxation), ROOT_STEPS, known_ms, control);
    let of_step = problem.units.iter().map(|u| 1 + u.space.size() / USUAL_SIZE).sum::<usize>();
    work += root.steps * of_step;
    let mut open = vec![root];
    loop {
        // The branch with the lowest bound decides the bound of all.
        open.sort_by(|a, b| b.limit_ms.total_cmp(&a.limit_ms));
        let Some(branch) = open.pop() else {
            proven.limit_ms = known_ms;
            return proven;
        };
        proven.limit_ms = branch.limit_ms.min(known_ms);
        let closed = branch.limit_ms >= known_ms * (1.0 - CLOSED);
        if closed || work > max_work || control.is_stopped() {
            return proven;
        }
        let start = branch.rounded(problem);
        let mut state = State::of(problem, limits, &start);
        state.complete(open.is_empty() && branch.decided.iter().all(Option::is_none), control);
        if state.objective < known_ms && state.is_within_limits() {
            known_ms = state.objective;
            proven.best = Some((state.objective, state.set()));
        }
        let Some(item) = branch.undecided(problem) else { return proven };
        for child in relaxation.children(problem, &branch, item, known_ms, control) {
            work += child.steps * of_step;
            // A branch is part of its parent, so it is not below it.
            let limit_ms = child.limit_ms.max(branch.limit_ms);
            if limit_ms < known_ms * (1.0 - CLOSED) {
                open.push(Branch { limit_ms, ..child });
            }
        }
    }
}

/// Some indexes taken, some left out, the rest relaxed.
#[derive(Clone)]
struct Branch {
    decided: Vec<Option<bool>>,
    /// The plans that each execution has to choose from, where they are fewer than at the root.
    allowed: Vec<Option<Arc<PlanSpace>>>,
    limit_ms: f64,
    fees: Vec<f64>,
    /// The share to which each index was bought, averaged over the last steps.
    shares: Vec<f64>,
    steps: usize,
}

impl Branch {
    fn root(relaxation: &Relaxation<'_>) -> Self {
        let items = relaxation.indexes.len();
        Self {
            decided: vec![None; items],
            allowed: vec![None; relaxation.plans.len()],
            limit_ms: f64::NEG_INFINITY,
            fees: relaxation.first_fees(),
            shares: vec![0.0; items],
            steps: 0,
        }
    }

    fn fits(&self, items: &[Item], limits: Limits) -> bool {
        let taken = || self.decided.iter().zip(items).filter(|(d, _)| **d == Some(true)).map(|(_, i)| i);
        limits.bytes.is_none_or(|max| taken().map(|i| i.bytes).sum::<u64>() <= max)
            && limits.count.is_none_or(|max| taken().count() <= max)
    }

    /// What the relaxation takes by more than half.
    fn rounded(&self, problem: &Problem) -> BTreeSet<CandidateId> {
        let taken = self.decided.iter().zip(&self.shares).zip(&problem.items);
        taken.filter(|((d, share), _)| d.unwrap_or(**share > 0.5)).map(|(_, item)| item.id).collect()
    }

    /// The index about which the relaxation is least decided, large ones first; else one that makes a plan too slow
    /// with what the relaxation takes.
    fn undecided(&self, problem: &Problem) -> Option<usize> {
        let open = (0..problem.items.len()).filter(|i| self.decided[*i].is_none());
        let doubt = |i: usize| {
            let share = self.shares[i];
            share.min(1.0 - share) * (1.0 + (problem.items[i].bytes as f64).sqrt())
        };
        let most = open.max_by(|a, b| doubt(*a).total_cmp(&doubt(*b)).then(b.cmp(a)))?;
        if doubt(most) > 1e-3 {
            return Some(most);
        }
        let taken = |item: usize| {
            self.decided.get(item).is_some_and(|d| d.unwrap_or_else(|| self.shares[item] > 0.5))
        };
        problem.causes(taken).into_iter().find(|item| self.decided.get(*item) == Some(&None))
    }
}

/// The item of a fee that nothing pays, and the place of a fee that there is not.
const NOBODY: usize = usize::MAX;
/// The fee of an index that is left out.
const FORBIDDEN: f64 = 1e300;

/// The problem as far as the relaxation reads it, so that several threads can.
struct Relaxation<'p> {
    limits: Limits,
    indexes: &'p [Item],
    credits: &'p [(f64, Vec<usize>)],
    fixed_ms: f64,
    /// The plans of each execution, and its milliseconds per unit of cost.
    plans: Vec<(&'p PlanSpace, f64)>,
    /// Where the fees of each execution begin, and where the last ones end.
    offsets: Vec<usize>,
    /// Where within them that of each alias and bit is.
    places: Vec<Vec<usize>>,
    /// The item that each fee is of.
    items: Vec<usize>,
}

impl<'p> Relaxation<'p> {
    fn new(problem: &'p Problem, limits: Limits) -> Self {
        let (mut offsets, mut places, mut items) = (Vec::new(), Vec::new(), Vec::new());
        for unit in &problem.units {
            offsets.push(items.len());
            let width = unit.space.ids.len();
            let mut of_unit = vec![NOBODY; width * (unit.space.aliases + 1)];
            for (place, (alias, bit)) in unit.space.pairs().into_iter().enumerate() {
                of_unit[alias * width + bit] = place;
                items.push(unit.items[bit]);
            }
            places.push(of_unit);
        }
        offsets.push(items.len());
        let plans = problem.units.iter().map(|u| (u.plans(), u.scale.max(f64::MIN_POSITIVE))).collect();
        let Problem { items: indexes, credits, fixed_ms, .. } = problem;
        Self { limits, indexes, credits, fixed_ms: *fixed_ms, plans, offsets, places, items }
    }

    /// The price of each index, shared by those who may use it.
    fn first_fees(&self) -> Vec<f64> {
        let mut uses = vec![0_u32; self.indexes.len()];
        for item in self.items.iter().filter(|i| **i != NOBODY) {
            uses[*item] += 1;
        }
        let share =
            |i: &usize| self.indexes.get(*i).map_or(0.0, |item| item.price_ms / f64::from(uses[*i].max(1)));
        self.items.iter().map(share).collect()
    }

    /// The branches with an index taken, where it fits, and left out, each with its bound raised, both at once.
    fn children(
        &self,
        problem: &Problem,
        branch: &Branch,
        item: usize,
        known_ms: f64,
        control: &Control,
    ) -> Vec<Branch> {
        let child = |decided: bool| {
            let mut child = branch.clone();
            child.decided[item] = Some(decided);
            child
        };
        let (mut with, without) = (child(true), child(false));
        let ascend = |child: &Branch| self.ascend(child, BRANCH_STEPS, known_ms, control);
        if !with.fits(self.indexes, self.limits) {
            return vec![ascend(&without)];
        }
        allow(problem, &mut with, item);
        std::thread::scope(|scope| {
            let beside = std::thread::Builder::new().spawn_scoped(scope, || ascend(&without));
            let with = ascend(&with);
            let without =
                beside.ok().and_then(|thread| thread.join().ok()).unwrap_or_else(|| ascend(&without));
            vec![with, without]
        })
    }

    /// Raises the bound of a branch by subgradient steps.
    fn ascend(&self, from: &Branch, steps: usize, known_ms: f64, control: &Control) -> Branch {
        let mut fees = from.fees.clone();
        let mut best = Branch { limit_ms: f64::NEG_INFINITY, steps: 0, ..from.clone() };
        let (mut step, mut since) = (1.0, 0);
        let mut shares = vec![0.0; self.indexes.len()];
        let mut counted = 0.0;
        let mut likely = vec![0; self.plans.len()];
        for number in 0..steps {
            let (value, gradient, bought) = self.evaluate(&fees, from, &mut likely);
            best.steps += 1;
            // What the last steps agree on is near the solution of the linear program.
            if number >= steps / 2 {
                shares.iter_mut().zip(&bought).for_each(|(sum, share)| *sum += share);
                counted += 1.0;
            }
            if value > best.limit_ms {
                if value > best.limit_ms + 1e-4 * (known_ms - value).abs() {
                    since = 0;
                }
                best.limit_ms = value;
                best.fees.clone_from(&fees);
            } else {
                since += 1;
            }
            if since > PATIENCE {
                since = 0;
                step *= 0.5;
                fees.clone_from(&best.fees);
            }
            let norm: f64 = gradient.iter().map(|g| g * g).sum();
            let closed = best.limit_ms >= known_ms * (1.0 - CLOSED);
            if norm == 0.0 || closed || control.is_stopped() {
                if counted == 0.0 {
                    shares.clone_from(&bought);
                    counted = 1.0;
                }
                break;
            }
            // Polyak's step, towards what is known to be reachable.
            let length = step * (known_ms - value).max(1e-6 * known_ms.abs()) / norm;
            for (fee, g) in fees.iter_mut().zip(&gradient) {
                *fee = (*fee + length * g).max(0.0);
            }
        }
        best.shares = shares.into_iter().map(|s| s / f64::max(counted, 1.0)).collect();
        best
    }

    /// The relaxed objective; for each fee by how much its use exceeds its purchase; what is bought.
    /// `likely` are the plans that fees like these made the cheapest, and become those that these do.
    fn evaluate(
        &self,
        fees: &[f64],
        Branch { decided, allowed, .. }: &Branch,
        likely: &mut [usize],
    ) -> (f64, Vec<f64>, Vec<f64>) {
        let mut value = self.fixed_ms;
        let mut gradient = vec![0.0; fees.len()];
        let (mut scaled, mut paid) = (Vec::new(), Vec::new());
        for (number, ((plans, scale), allowed)) in self.plans.iter().zip(allowed).enumerate() {
            let own = self.offsets[number]..self.offsets[number + 1];
            scaled.clear();
            scaled.extend(own.clone().map(|at| match decided.get(self.items[at]) {
                Some(Some(true)) => 0.0,
                Some(Some(false)) => FORBIDDEN,
                _ => fees[at] / scale,
            }));
            let plans = allowed.as_deref().unwrap_or(plans);
            let places = &self.places[number];
            value += scale * plans.cheapest_with_fees(places, &scaled, &mut likely[number], &mut paid);
            for at in paid.iter().map(|at| own.start + at) {
                if decided.get(self.items[at]).is_some_and(Option::is_none) {
                    gradient[at] += 1.0;
                }
            }
        }
        let bought = self.buy(&mut value, fees, decided);
        for (g, item) in gradient.iter_mut().zip(&self.items) {
            if *item != NOBODY && decided[*item].is_none() {
                *g -= bought[*item];
            }
        }
        (value, gradient, bought)
    }

    /// Which share of each index is worth its price by the fees that it earns, within the bytes.
    fn buy(&self, value: &mut f64, fees: &[f64], decided: &[Option<bool>]) -> Vec<f64> {
        let items = self.indexes;
        let mut worth: Vec<f64> = items.iter().map(|i| -i.price_ms).collect();
        for (fee, item) in fees.iter().zip(&self.items) {
            if *item != NOBODY && decided[*item].is_none() {
                worth[*item] += fee;
            }
        }
        // What dropping an existing index frees is granted to each that makes it superfluous.
        for (ms, members) in self.credits {
            for member in members {
                worth[*member] += ms;
            }
        }
        let mut bought = vec![0.0; items.len()];
        let (mut bytes, mut count) = (0, 0);
        for (item, _) in decided.iter().enumerate().filter(|(_, d)| **d == Some(true)) {
            bought[item] = 1.0;
            *value -= worth[item];
            bytes += items[item].bytes;
            count += 1;
        }
        let mut order: Vec<usize> =
            (0..items.len()).filter(|i| worth[*i] > 0.0 && decided[*i].is_none()).collect();
        if let Some(max) = self.limits.count {
            order.sort_by(|a, b| worth[*b].total_cmp(&worth[*a]).then(a.cmp(b)));
            order.truncate(max.saturating_sub(count));
        }
        let mut left = match self.limits.bytes {
            Some(max) => {
                let densities: Vec<f64> =
                    items.iter().zip(&worth).map(|(item, worth)| worth / item.bytes.max(1) as f64).collect();
                order.retain(|i| items[*i].bytes <= max.saturating_sub(bytes));
                order.sort_unstable_by(|a, b| densities[*b].total_cmp(&densities[*a]).then(a.cmp(b)));
                max.saturating_sub(bytes) as f64
            }
            None => f64::INFINITY,
        };
        for item in order {
            let size = items[item].bytes.max(1) as f64;
            let share = (left / size).min(1.0);
            bought[item] = share;
            *value -= share * worth[item];
            left -= share * size;
            if left <= 0.0 {
                break;
            }
        }
        bought
    }
}

/// Leaves the plans that each execution has to choose from in a branch now that an index is taken.
fn allow(problem: &Problem, branch: &mut Branch, item: usize) {
    let is_taken = |item: usize| branch.decided.get(item).copied().flatten() == Some(true);
    for (unit, _) in &problem.items[item].units {
        let number = *unit as usize;
        let unit = &problem.units[number];
        branch.allowed[number] = unit.allowed(unit.mask(is_taken)).map(Arc::new);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::local_search::Facts;
    use super::super::plan_space::{Choice, Template};
    use super::*;

    fn set(ids: &[u32]) -> BTreeSet<CandidateId> {
        ids.iter().copied().map(CandidateId).collect()
    }

    /// Indexes, what reading with them costs, and what its visits cost beyond that.
    type Way<'w> = (&'w [u32], f64, f64);

    fn template(origin: usize, internal: f64, leaves: &[(&str, &[Way<'_>])]) -> Template {
        let choice =
            |(ids, cost, visits): &Way<'_>| Choice { indexes: set(ids), cost: *cost, visits: *visits };
        let leaves = leaves
            .iter()
            .map(|(alias, choices)| ((*alias).to_owned(), choices.iter().map(choice).collect::<Vec<_>>()));
        Template {
            origin,
            internal,
            doubt: 0.0,
            visits: 0.0,
            required: BTreeSet::new(),
            leaves: leaves.collect(),
        }
    }

    /// Two executions want index 1, which makes a third slower than the planner says unless it has index 2 or 3; 4 helps
    /// a fourth, and not everything fits.
    fn problem() -> Problem {
        let wants =
            |cost: f64| PlanSpace::new(&[template(0, 1.0, &[("a", &[(&[], cost, 0.0), (&[1], 10.0, 0.0)])])]);
        let harmed = PlanSpace::new(&[
            template(
                0,
                5.0,
                &[("a", &[(&[], 100.0, 0.0), (&[1], 40.0, 160.0), (&[2], 30.0, 20.0), (&[3], 25.0, 0.0)])],
            ),
            template(1, 60.0, &[("a", &[(&[4], 20.0, 0.0)])]),
        ]);
        let other = PlanSpace::new(&[template(0, 2.0, &[("b", &[(&[], 70.0, 0.0), (&[4], 15.0, 0.0)])])]);
        let spaces = vec![(1.0, wants(120.0)), (1.0, wants(90.0)), (1.0, harmed), (1.0, other)];
        let facts = |bytes, price_ms| Facts { bytes, price_ms, write_ms: 0.0, table: 0 };
        let facts = BTreeMap::from([
            (CandidateId(1), facts(40, 2.0)),
            (CandidateId(2), facts(30, 2.0)),
            (CandidateId(3), facts(80, 3.0)),
            (CandidateId(4), facts(50, 1.0)),
        ]);
        Problem::new(spaces, &facts, &[], 7.0)
    }

    #[test]
    fn the_bound_is_that_of_the_best_set_and_of_the_best_that_makes_nothing_slower() {
        let control = Control::default();
        for (problem, slower) in [(problem(), None), (problem().guarded(1.2, &[true; 4]), Some(1.2))] {
            for bytes in [0, 40, 60, 70, 90, 120, 150, 200] {
                let limits = Limits { bytes: Some(bytes), ..Limits::default() };
                let all = (0_u32..16)
                    .map(|mask| (1..=4).filter(|id| mask >> (id - 1) & 1 == 1).collect::<Vec<u32>>());
                let states = all.map(|ids| State::of(&problem, limits, &set(&ids)));
                let best =
                    states.filter(State::is_within_limits).map(|s| s.objective).fold(f64::INFINITY, f64::min);
                let proven = prove(&problem, limits, best, WORK, &control);
                assert!(
                    proven.limit_ms <= best * (1.0 + 1e-9),
                    "{slower:?} {bytes}: {} {best}",
                    proven.limit_ms
                );
                assert!(proven.limit_ms >= best * 0.999, "{slower:?} {bytes}: {} {best}", proven.limit_ms);
                // A set that is known to be worse is improved on, or the limit is the same.
                let proven = prove(&problem, limits, best * 1.5, WORK, &control);
                assert!(
                    proven.limit_ms <= best * (1.0 + 1e-9),
                    "{slower:?} {bytes}: {} {best}",
                    proven.limit_ms
                );
            }
        }
        // With room for index 1 alone, nobody has it who may not make the third slower.
        let limits = Limits { bytes: Some(45), ..Limits::default() };
        let only = |problem: &Problem| State::of(problem, limits, &set(&[1])).objective;
        let nothing = |problem: &Problem| State::of(problem, limits, &set(&[])).objective;
        assert!(only(&problem()) < nothing(&problem()));
        let guarded = problem().guarded(1.2, &[true; 4]);
        assert!(only(&guarded) > nothing(&guarded));
        // What may become slower by itself is left out of no bound.
        let best = State::of(&guarded, limits, &set(&[2])).objective;
        assert!((prove(&guarded, limits, best, WORK, &control).limit_ms - best).abs() < 1e-3 * best);
        let several = problem().guarded(1.2, &[false; 4]);
        assert!(prove(&several, limits, best, WORK, &control).limit_ms < 0.9 * best);
    }
}
