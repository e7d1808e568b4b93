//! Which plan is the cheapest under a set of indexes, among all that a few known plans make up?
//!
//! A template is a plan whose leaves are open: each takes the cheapest access that the set allows. The
//! cost of a set is the cheapest template's, which is at most a little above the planner's own answer,
//! because the planner could make each of these plans and perhaps a better one.

use std::collections::BTreeSet;
use std::hash::Hasher;

use model::cost_model::CandidateId;

/// A set of up to 128 candidates, by their position in [`PlanSpace::ids`].
pub(super) type Mask = u128;

/// Masks are asked for a million times and come from nobody who would choose them to collide.
#[derive(Clone, Debug, Default)]
pub(super) struct MaskHasher(u64);

impl Hasher for MaskHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u128(u128::from(*byte)));
    }

    fn write_u128(&mut self, mask: u128) {
        let folded = self.0 ^ (mask as u64) ^ ((mask >> 64) as u64).rotate_left(32);
        let mixed = (folded ^ folded >> 29).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ mixed >> 32;
    }
}

/// The most candidates that one execution tells apart; those beyond take no part in estimates.
const MAX_CANDIDATES: usize = Mask::BITS as usize;

/// One way to read a table, as often as the plan does.
#[derive(Clone, Debug)]
pub(super) struct Choice {
    pub indexes: BTreeSet<CandidateId>,
    pub cost: f64,
    /// What its visits of the table cost beyond that.
    pub visits: f64,
}

/// A plan with open leaves.
#[derive(Clone, Debug)]
pub(super) struct Template {
    /// The number of the known plan that it comes from.
    pub origin: usize,
    /// The cost of all but the leaves.
    pub internal: f64,
    /// Doubt about an early stop, not part of the planner's cost.
    pub doubt: f64,
    /// What visits of tables cost beyond the planner's cost where nothing can be exchanged.
    pub visits: f64,
    /// Candidates that stand where nothing can be exchanged.
    pub required: BTreeSet<CandidateId>,
    /// Each leaf's alias with the ways to read its table; the first is the plan's own.
    pub leaves: Vec<(String, Vec<Choice>)>,
}

#[derive(Clone, Debug)]
struct Compiled {
    origin: usize,
    internal: f64,
    doubt: f64,
    visits: f64,
    required: Mask,
    leaves: Vec<Leaf>,
    /// What the planner says with everything: no set makes it cheaper.
    least: f64,
}

#[derive(Clone, Debug)]
struct Leaf {
    /// The number of its alias.
    alias: usize,
    /// The cheapest first.
    accesses: Vec<Access>,
}

#[derive(Clone, Copy, Debug)]
struct Access {
    needs: Mask,
    cost: f64,
    visits: f64,
    /// Whether it is the one of the known plan.
    own: bool,
}

/// The answer for a set.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Cheapest {
    /// By which the planner chooses.
    pub planner_cost: f64,
    /// With doubt about early stops.
    pub cost: f64,
    /// The number of the template.
    pub template: usize,
}

/// All plans that the known ones of one execution make up.
#[derive(Clone, Debug)]
pub(super) struct PlanSpace {
    /// The candidates that take part.
    pub ids: Vec<CandidateId>,
    /// How many aliases the templates have.
    pub aliases: usize,
    /// Those that can become cheapest first.
    templates: Vec<Compiled>,
}

impl PlanSpace {
    pub fn new(templates: &[Template]) -> Self {
        let mut ids: Vec<CandidateId> = templates
            .iter()
            .flat_map(|t| {
                t.required
                    .iter()
                    .chain(t.leaves.iter().flat_map(|(_, choices)| choices).flat_map(|c| &c.indexes))
            })
            .copied()
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect();
        ids.truncate(MAX_CANDIDATES);
        let mask = |set: &BTreeSet<CandidateId>| -> Option<Mask> {
            set.iter().try_fold(0, |mask, id| Some(mask | 1 << ids.binary_search(id).ok()?))
        };
        let aliases: Vec<&String> = templates
            .iter()
            .flat_map(|t| &t.leaves)
            .map(|(a, _)| a)
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect();
        let mut compiled: Vec<Compiled> = templates
            .iter()
            .filter_map(|template| {
                let leaves = template
                    .leaves
                    .iter()
                    .map(|(alias, choices)| {
                        let alias = aliases.binary_search(&alias).unwrap_or(0);
                        let mut accesses: Vec<Access> = choices
                            .iter()
                            .enumerate()
                            .filter_map(|(choice, c)| {
                                let Choice { cost, visits, .. } = *c;
                                Some(Access { needs: mask(&c.indexes)?, cost, visits, own: choice == 0 })
                            })
                            .collect();
                        accesses.sort_by(|a, b| a.cost.total_cmp(&b.cost).then(b.own.cmp(&a.own)));
                        // What costs more than an access that needs nothing is never taken.
                        if let Some(free) = accesses.iter().position(|a| a.needs == 0) {
                            accesses.truncate(free + 1);
                        }
                        Leaf { alias, accesses }
                    })
                    .collect();
                let required = mask(&template.required)?;
                let Template { origin, internal, doubt, visits, .. } = *template;
                Some(Compiled { origin, internal, doubt, visits, required, leaves, least: f64::INFINITY })
            })
            .collect();
        Self::sort(&mut compiled);
        let mut space = Self { aliases: aliases.len(), ids, templates: compiled };
        space.drop_hopeless();
        space
    }

    /// Puts those first that can become cheapest.
    fn sort(templates: &mut [Compiled]) {
        for template in &mut *templates {
            template.least = template.planner_cost(Mask::MAX, f64::INFINITY).unwrap_or(f64::INFINITY);
        }
        templates.sort_by(|a, b| a.least.total_cmp(&b.least));
    }

    /// A template that costs more with everything than another with nothing is never the cheapest.
    fn drop_hopeless(&mut self) {
        let with_nothing = self.cheapest(0).planner_cost;
        self.templates.retain(|t| {
            t.required == 0 && t.planner_cost(0, f64::INFINITY).is_some() || t.least < with_nothing
        });
    }

    /// The set as a mask.
    pub fn mask(&self, on: &BTreeSet<CandidateId>) -> Mask {
        let bits = self.ids.iter().enumerate().filter(|(_, id)| on.contains(id));
        bits.fold(0, |mask, (bit, _)| mask | 1 << bit)
    }

    /// The cheapest plan under a set.
    pub fn cheapest(&self, on: Mask) -> Cheapest {
        let mut best = Cheapest { planner_cost: f64::INFINITY, cost: f64::INFINITY, template: 0 };
        for (number, template) in self.templates.iter().enumerate() {
            if template.least >= best.planner_cost {
                break;
            }
            if let Some(cost) = template.planner_cost(on, best.planner_cost) {
                best = Cheapest { planner_cost: cost, cost: cost + template.doubt, template: number };
            }
        }
        best
    }

    /// What no set costs less than.
    pub fn least_cost(&self) -> f64 {
        self.templates.first().map_or(f64::INFINITY, |t| t.least)
    }

    /// How much there is to look at, in ways to read a table.
    pub fn size(&self) -> usize {
        self.templates
            .iter()
            .map(|t| 1 + t.leaves.iter().map(|leaf| leaf.accesses.len()).sum::<usize>())
            .sum()
    }

    /// What visits of tables cost beyond what the planner says, in the cheapest plan under a set.
    pub fn visits(&self, cheapest: &Cheapest, on: Mask) -> f64 {
        let Some(template) = self.templates.get(cheapest.template) else { return 0.0 };
        let of_leaves = template.leaves.iter().filter_map(|leaf| Some(leaf.best(on)?.visits));
        template.visits + of_leaves.sum::<f64>()
    }

    /// The plans that cost no more than `most_planned` by the planner, and no more than `most` with what their visits of
    /// tables cost. Some that cost more may be left, because each way to read a table is judged beside the cheapest
    /// of the others.
    pub fn within(&self, most: f64, most_planned: f64) -> Self {
        let total = |cost: f64, visits: f64, planned: bool| if planned { cost } else { cost + visits };
        let mut templates = self.templates.clone();
        templates.retain_mut(|template| {
            [(most_planned, true), (most, false)].into_iter().all(|(most, planned)| {
                let of = |a: &Access| total(a.cost, a.visits, planned);
                let doubt = if planned { 0.0 } else { template.doubt };
                let inside = total(template.internal + doubt, template.visits, planned);
                let least = |leaf: &Leaf| leaf.accesses.iter().map(of).fold(f64::INFINITY, f64::min);
                let sum: f64 = inside + template.leaves.iter().map(least).sum::<f64>();
                // Room for rounding, so that no plan is lost that is allowed.
                let spare = most * (1.0 + 1e-9) - sum;
                for leaf in &mut template.leaves {
                    let least = least(leaf);
                    leaf.accesses.retain(|a| of(a) - least <= spare);
                }
                spare >= 0.0
            })
        });
        Self::sort(&mut templates);
        Self { templates, ..self.clone() }
    }

    /// The candidates that the cheapest plan under a set uses.
    pub fn used(&self, on: Mask) -> BTreeSet<CandidateId> {
        let Some(template) = self.templates.get(self.cheapest(on).template) else { return BTreeSet::new() };
        let taken = template.leaves.iter().filter_map(|leaf| leaf.best(on));
        let used = taken.fold(template.required, |mask, access| mask | access.needs) & on;
        self.set(used)
    }

    fn set(&self, mask: Mask) -> BTreeSet<CandidateId> {
        self.ids.iter().enumerate().filter(|(bit, _)| mask >> bit & 1 == 1).map(|(_, id)| *id).collect()
    }

    /// Where the cheapest plan under a set departs from the plan that it comes from: the number of that
    /// plan, the leaf and the indexes that took its place.
    pub fn exchanges(&self, on: Mask) -> Vec<(usize, usize, BTreeSet<CandidateId>)> {
        let Some(template) = self.templates.get(self.cheapest(on).template) else { return Vec::new() };
        let leaves = template.leaves.iter().enumerate();
        leaves
            .filter_map(|(number, leaf)| Some((number, leaf.best(on)?)))
            .filter(|(_, access)| !access.own)
            .map(|(number, access)| (template.origin, number, self.set(access.needs)))
            .collect()
    }

    /// The cheapest plan when each index has a fee that every table which is read by it pays. `places` tells where
    /// in `fees` that of each pair is (see [`PlanSpace::pairs`]): those of each alias in turn, by bit; indexes that cannot be
    /// exchanged stand after the last alias. Gives the cost, and puts the places of the fees that are paid into `paid`.
    /// `likely` is the number of the template that was the cheapest with fees like these: from its cost on, most others
    /// need no look. It becomes that of the cheapest.
    pub fn cheapest_with_fees(
        &self,
        places: &[usize],
        fees: &[f64],
        likely: &mut usize,
        paid: &mut Vec<usize>,
    ) -> f64 {
        let width = self.ids.len();
        let sum = |alias: usize, needs: Mask| -> f64 {
            let (mut sum, mut rest) = (0.0, needs);
            while rest != 0 {
                sum += fees[places[alias * width + rest.trailing_zeros() as usize]];
                rest &= rest - 1;
            }
            sum
        };
        let cheapest = |leaf: &Leaf| -> (f64, Mask) {
            let mut best = (f64::INFINITY, 0);
            for access in &leaf.accesses {
                // They stand in the order of their costs, and fees only add.
                if access.cost >= best.0 {
                    break;
                }
                let cost = access.cost + sum(leaf.alias, access.needs);
                if cost < best.0 {
                    best = (cost, access.needs);
                }
            }
            best
        };
        let total = |template: &Compiled, below: f64| -> f64 {
            let mut total = template.internal + template.doubt + sum(self.aliases, template.required);
            for leaf in &template.leaves {
                if total >= below {
                    break;
                }
                total += cheapest(leaf).0;
            }
            total
        };
        let expected = self.templates.get(*likely).map(|template| total(template, f64::INFINITY));
        let mut best: (f64, Option<usize>) = (expected.unwrap_or(f64::INFINITY), expected.map(|_| *likely));
        for (number, template) in self.templates.iter().enumerate() {
            if template.least >= best.0 {
                break;
            }
            let total = total(template, best.0);
            if total < best.0 {
                best = (total, Some(number));
            }
        }
        paid.clear();
        if let Some(number) = best.1 {
            *likely = number;
            let template = &self.templates[number];
            let of_leaves = template.leaves.iter().map(|leaf| (leaf.alias, cheapest(leaf).1));
            for (alias, needs) in of_leaves.chain([(self.aliases, template.required)]) {
                let mut rest = needs;
                while rest != 0 {
                    paid.push(places[alias * width + rest.trailing_zeros() as usize]);
                    rest &= rest - 1;
                }
            }
        }
        best.0
    }
}

impl PlanSpace {
    /// Which candidate can take part in reading which alias, as pairs of alias and bit.
    pub fn pairs(&self) -> BTreeSet<(usize, usize)> {
        let of_leaves = self.templates.iter().flat_map(|t| &t.leaves);
        let of_leaves = of_leaves.flat_map(|leaf| leaf.accesses.iter().map(|a| (leaf.alias, a.needs)));
        let required = self.templates.iter().map(|t| (self.aliases, t.required));
        let bits = 0..self.ids.len();
        of_leaves
            .chain(required)
            .flat_map(|(alias, mask)| {
                bits.clone().filter(move |b| mask >> b & 1 == 1).map(move |b| (alias, b))
            })
            .collect()
    }
}

impl Leaf {
    fn best(&self, on: Mask) -> Option<&Access> {
        self.accesses.iter().find(|a| a.needs & !on == 0)
    }
}

impl Compiled {
    /// What the planner says of it under a set, where the set has what it needs and that is below a limit.
    fn planner_cost(&self, on: Mask, below: f64) -> Option<f64> {
        if self.required & !on != 0 {
            return None;
        }
        let mut sum = self.internal;
        for leaf in &self.leaves {
            if sum >= below {
                return None;
            }
            sum += leaf.best(on)?.cost;
        }
        (sum < below).then_some(sum)
    }
}
