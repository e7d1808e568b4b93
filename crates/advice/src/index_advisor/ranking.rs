//! In which order, and what only together?
//!
//! The chosen stand by the time that each saves once those before it are there. One that saves little until
//! others are there too (an index on either side of a join) is one recommendation with those.

use std::collections::{BTreeMap, BTreeSet};

use model::cost_model::{CandidateId, CostModel};

use super::selection::Selection;

/// The share of what an index saves beside all others that it must save by itself to stand alone.
const STANDS_ALONE: f64 = 0.25;

/// A step of the ranking: candidates that are recommended together.
pub(super) struct Step {
    pub members: BTreeSet<CandidateId>,
}

pub(super) fn rank<M: CostModel>(
    selection: &mut Selection<'_, '_, M>,
    chosen: &BTreeSet<CandidateId>,
) -> Vec<Step> {
    let mut built: BTreeSet<CandidateId> = BTreeSet::new();
    let mut left = chosen.clone();
    // What each saves beside all others, and now.
    let (mut last, mut now) = (BTreeMap::new(), BTreeMap::new());
    for id in chosen {
        let others: BTreeSet<CandidateId> = chosen.iter().filter(|c| *c != id).copied().collect();
        last.insert(*id, selection.saved_ms(&others, chosen));
        now.insert(*id, selection.saved_ms(&built, &BTreeSet::from([*id])));
    }
    let mut steps = Vec::new();
    while let Some(best) = left.iter().copied().max_by(|a, b| now[a].total_cmp(&now[b]).then(b.cmp(a))) {
        let stands = |id: &CandidateId| now[id] > 0.0 && now[id] >= STANDS_ALONE * last[id];
        let needing: BTreeSet<CandidateId> = left.iter().filter(|id| !stands(id)).copied().collect();
        let most = needing.iter().copied().max_by(|a, b| last[a].total_cmp(&last[b]).then(b.cmp(a)));
        let alone = stands(&best).then(|| (now[&best], BTreeSet::from([best])));
        // Those that help only together come when their turn has come together.
        let together = match (&alone, most) {
            (Some((saved_ms, _)), Some(most)) if last[&most] <= *saved_ms => None,
            (_, most) => most.map(|most| {
                let members = connected(selection, most, &needing);
                let next: BTreeSet<CandidateId> = built.union(&members).copied().collect();
                (selection.saved_ms(&built, &next), members)
            }),
        };
        let (_, members) = match (alone, together) {
            (Some(alone), Some(together)) => {
                if together.0 > alone.0 {
                    together
                } else {
                    alone
                }
            }
            (one, other) => one.or(other).unwrap_or((now[&best], BTreeSet::from([best]))),
        };
        let next: BTreeSet<CandidateId> = built.union(&members).copied().collect();
        left.retain(|id| !members.contains(id));
        built = next;
        let touched = selection.evaluator.statements_of(&members);
        for id in &left {
            if !selection.evaluator.statements_of([id]).is_disjoint(&touched) {
                let with: BTreeSet<CandidateId> = built.iter().copied().chain([*id]).collect();
                now.insert(*id, selection.saved_ms(&built, &with));
            }
        }
        steps.push(Step { members });
    }
    steps
}

/// An index and those that could matter for the same statements, and so on.
fn connected<M: CostModel>(
    selection: &Selection<'_, '_, M>,
    first: CandidateId,
    among: &BTreeSet<CandidateId>,
) -> BTreeSet<CandidateId> {
    let mut members = BTreeSet::from([first]);
    let mut statements = selection.evaluator.statements_of([&first]);
    loop {
        let more: Vec<CandidateId> = among
            .iter()
            .filter(|id| !members.contains(id))
            .filter(|id| !selection.evaluator.statements_of([*id]).is_disjoint(&statements))
            .copied()
            .collect();
        if more.is_empty() {
            return members;
        }
        statements.extend(selection.evaluator.statements_of(&more));
        members.extend(more);
    }
}
