//! What comes of it when one candidate is left out, or put in whatever has to go for it?
//!
//! Exchanges of few for few do not get there when one large index stands for several small ones. Half of the candidates
//! are turned in a thread beside the other half; which half one is in depends on nothing else, so what is found does
//! not either.

use std::collections::BTreeSet;

use super::super::options::Control;
use super::super::plan_space::Mask;
use super::{Limits, Problem, State};

/// How many sets may be costed, about, for candidates to be turned: a fraction of a second.
const MAX_TURN_WORK: usize = 500_000;
/// How often all candidates are turned.
const MAX_TURNS: usize = 6;
/// By which share a set may be worse for exchanges to be worth trying.
const NEAR: f64 = 0.01;

/// A set without the problem that it is of, because what a problem remembers of costs is one thread's.
#[derive(Clone, Debug)]
struct Detached {
    chosen: BTreeSet<usize>,
    masks: Vec<Mask>,
    costs: Vec<f64>,
    bytes: u64,
    write_ms: f64,
    objective: f64,
}

impl Detached {
    fn attach(self, problem: &Problem, limits: Limits) -> State<'_> {
        let Self { chosen, masks, costs, bytes, write_ms, objective } = self;
        State { problem, limits, chosen, masks, costs, bytes, write_ms, objective }
    }
}

impl State<'_> {
    /// What comes of it when one candidate is left out, or put in whatever has to go for it, and the rest is chosen
    /// around it. Exchanges of few for few do not get there when one large index stands for several small ones.
    fn turned(&self, item: usize, bundles: &[Vec<usize>]) -> Self {
        let mut state = self.clone();
        if state.chosen.contains(&item) {
            state.apply(&[], &[item]);
            state.fill_without(bundles, true, Some(item));
            state.fill_without(bundles, false, Some(item));
        } else {
            state.apply(&[item], &[]);
            state.shrink(Some(item));
            state.fill(bundles, false);
        }
        state.prune();
        state
    }

    /// Turns each candidate, as long as that leads to something better.
    pub(super) fn turn_each(mut self, bundles: &[Vec<usize>], control: &Control) -> Self {
        let tight = self.limits.bytes.is_some() || self.limits.count.is_some();
        let items = &self.problem.items;
        if !tight {
            return self;
        }
        // The largest first: they decide what else there is room for.
        let mut order: Vec<usize> = (0..items.len()).collect();
        order.sort_by(|a, b| items[*b].bytes.cmp(&items[*a].bytes).then(a.cmp(b)));
        // One half is turned beside the other.
        let half = |first: usize| order.iter().copied().skip(first).step_by(2).collect::<Vec<usize>>();
        let (first, second) = (half(0), half(1));
        let mut copy = self.problem.clone();
        let (limits, mut spare) = (self.limits, MAX_TURN_WORK);
        for _ in 0..MAX_TURNS {
            let each = spare / 2;
            let (start, copy, others) = (self.clone().detach(), &mut copy, &second);
            let (first, second) = std::thread::scope(|scope| {
                let beside = std::thread::Builder::new().spawn_scoped(scope, move || {
                    start.attach(copy, limits).turn(others, bundles, each, control)
                });
                let first = self.turn(&first, bundles, each, control);
                let beside = beside.ok().and_then(|thread| thread.join().ok());
                (first, beside.unwrap_or_else(|| self.turn(others, bundles, each, control)))
            });
            spare = spare.saturating_sub(first.1 + second.1);
            let mut better = first.0;
            if let Some(second) = second.0 {
                let known = better.as_ref().map_or(self.objective, |better| better.objective);
                if second.objective < known - self.threshold() {
                    better = Some(second);
                }
            }
            let Some(better) = better else { return self };
            self = better.attach(self.problem, limits);
            self.settle(bundles, control);
            if spare == 0 {
                return self;
            }
        }
        self
    }

    /// The best that comes of turning one of some candidates, if it is better than this, and what was costed for that.
    fn turn(
        &self,
        some: &[usize],
        bundles: &[Vec<usize>],
        max_work: usize,
        control: &Control,
    ) -> (Option<Detached>, usize) {
        let items = &self.problem.items;
        let (mut best, mut work) = (None::<Self>, 0);
        for item in some.iter().copied() {
            if control.is_stopped() || work > max_work {
                break;
            }
            work += 2 * (items.len() + bundles.len());
            let mut state = self.turned(item, bundles);
            if !state.is_within_limits() || state.objective > self.objective * (1.0 + NEAR) {
                continue;
            }
            work += state.chosen.len() * items.len();
            state.exchange(control);
            let known = best.as_ref().map_or(self.objective, |b| b.objective);
            if state.objective < known - self.threshold() {
                best = Some(state);
            }
        }
        (best.map(Self::detach), work)
    }

    fn detach(self) -> Detached {
        let Self { chosen, masks, costs, bytes, write_ms, objective, .. } = self;
        Detached { chosen, masks, costs, bytes, write_ms, objective }
    }
}
