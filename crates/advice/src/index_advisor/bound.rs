//! How good can any set of the candidates be?
//!
//! Choosing indexes is an integer program: each execution takes one plan, each leaf of it one access, and
//! every index that is used has to be paid and to fit the budget (CoPhy; Dash, Polyzotis and Ailamaki
//! 2011). Lagrangian relaxation (Fisher 1981) drops the condition that what is used is paid, and charges
//! each use a fee instead. Then every execution chooses for itself and the indexes fill the budget by
//! themselves as a fractional knapsack, and the sum is below the cost of every set. Subgradient steps
//! raise the fees of indexes that are used more than they are chosen, and lower the others.

use super::local_search::{Limits, Problem};
use super::options::Control;
use super::plan_space::Mask;

/// A value in milliseconds that the objective of no set falls below.
pub(super) fn lower_bound(problem: &Problem, limits: Limits, reached_ms: f64, control: &Control) -> f64 {
    let mut relaxation = Relaxation::new(problem, limits);
    let (mut best, mut step, mut since) = (f64::NEG_INFINITY, 1.0, 0);
    let mut best_fees = relaxation.fees.clone();
    for _ in 0..ITERATIONS {
        let (value, gradient) = relaxation.evaluate();
        if value > best + 1e-9 * reached_ms.abs() {
            if value > best + 1e-4 * (reached_ms - best).abs().min(reached_ms.abs()) {
                since = 0;
            }
            best = value;
            best_fees.clone_from(&relaxation.fees);
        } else {
            since += 1;
        }
        if since > PATIENCE {
            since = 0;
            step *= 0.5;
            relaxation.fees.clone_from(&best_fees);
        }
        let norm: f64 = gradient.iter().map(|g| g * g).sum();
        if norm == 0.0 || step < 1e-3 || best >= reached_ms * (1.0 - 1e-6) || control.is_stopped() {
            break;
        }
        // Polyak's step, towards what is known to be reachable.
        let length = step * (reached_ms - value).max(0.0) / norm;
        for (fee, g) in relaxation.fees.iter_mut().zip(&gradient) {
            *fee = (*fee + length * g).max(0.0);
        }
    }
    best.min(reached_ms)
}

/// Subgradient steps at most.
const ITERATIONS: usize = 400;
/// Steps without progress before they are halved.
const PATIENCE: usize = 12;

/// The item of a fee that nothing pays.
const NOBODY: usize = usize::MAX;

struct Relaxation<'p> {
    problem: &'p Problem,
    limits: Limits,
    /// Where the fees of each execution begin; within, by alias and then bit.
    offsets: Vec<usize>,
    /// In milliseconds.
    fees: Vec<f64>,
    /// The item that each fee is of.
    items: Vec<usize>,
}

impl<'p> Relaxation<'p> {
    fn new(problem: &'p Problem, limits: Limits) -> Self {
        let (mut offsets, mut items) = (Vec::new(), Vec::new());
        for unit in &problem.units {
            offsets.push(items.len());
            let pairs = unit.space.pairs();
            for alias in 0..=unit.space.aliases {
                let of_bits = unit.items.iter().enumerate();
                items.extend(
                    of_bits.map(|(bit, item)| if pairs.contains(&(alias, bit)) { *item } else { NOBODY }),
                );
            }
        }
        let mut uses = vec![0_u32; problem.items.len()];
        for item in items.iter().filter(|i| **i != NOBODY) {
            uses[*item] += 1;
        }
        let fees = items
            .iter()
            .map(|i| problem.items.get(*i).map_or(0.0, |item| item.price_ms / f64::from(uses[*i].max(1))))
            .collect();
        Self { problem, limits, offsets, fees, items }
    }

    /// The relaxed objective, and for each fee by how much its use exceeds its purchase.
    fn evaluate(&self) -> (f64, Vec<f64>) {
        let mut value = self.problem.fixed_ms;
        let mut gradient = vec![0.0; self.fees.len()];
        for (unit, offset) in self.problem.units.iter().zip(&self.offsets) {
            let width = unit.space.ids.len();
            let scale = unit.scale.max(f64::MIN_POSITIVE);
            let fee = |alias: usize, bit: usize| self.fees[offset + alias * width + bit] / scale;
            let (cost, paid) = unit.space.cheapest_with_fees(fee);
            value += scale * cost;
            for (alias, needs) in paid {
                let mut rest: Mask = needs;
                while rest != 0 {
                    gradient[offset + alias * width + rest.trailing_zeros() as usize] += 1.0;
                    rest &= rest - 1;
                }
            }
        }
        let bought = self.buy(&mut value);
        for (g, item) in gradient.iter_mut().zip(&self.items) {
            if *item != NOBODY {
                *g -= bought[*item];
            }
        }
        (value, gradient)
    }

    /// Which share of each index is worth its price by the fees that it earns, within the bytes.
    fn buy(&self, value: &mut f64) -> Vec<f64> {
        let items = &self.problem.items;
        let mut worth: Vec<f64> = items.iter().map(|i| -i.price_ms).collect();
        for (fee, item) in self.fees.iter().zip(&self.items) {
            if *item != NOBODY {
                worth[*item] += fee;
            }
        }
        // What dropping an existing index frees is granted to each that makes it superfluous.
        for (ms, members) in &self.problem.credits {
            for member in members {
                worth[*member] += ms;
            }
        }
        let mut bought = vec![0.0; items.len()];
        let mut order: Vec<usize> = (0..items.len()).filter(|i| worth[*i] > 0.0).collect();
        let Some(bytes) = self.limits.bytes else {
            if let Some(count) = self.limits.count {
                order.sort_by(|a, b| worth[*b].total_cmp(&worth[*a]).then(a.cmp(b)));
                order.truncate(count);
            }
            for item in order {
                bought[item] = 1.0;
                *value -= worth[item];
            }
            return bought;
        };
        order.retain(|i| items[*i].bytes <= bytes);
        let density = |i: usize| worth[i] / items[i].bytes.max(1) as f64;
        order.sort_by(|a, b| density(*b).total_cmp(&density(*a)).then(a.cmp(b)));
        let mut left = bytes as f64;
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
