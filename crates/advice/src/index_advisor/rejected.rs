//! Which candidates are not recommended, and why? So that a decision can be argued with.

use std::collections::{BTreeMap, BTreeSet};

use model::cost_model::{CandidateId, CostModel};
use model::{Bytes, IndexDefinition, Millis, QualifiedName, Rejected};

use super::Decision;
use super::selection::{Gain, Selection};
use crate::index_semantics;

/// A candidate that lost.
pub(super) struct Losing {
    pub table: QualifiedName,
    pub statements: BTreeSet<usize>,
    pub rejected: Rejected,
    /// What it would save beyond what is recommended, for the order.
    weight: f64,
}

/// Everything that was considered and is not recommended, with reasons.
pub(super) fn rejected<M: CostModel>(
    decision: &Decision<'_>,
    selection: &mut Selection<'_, '_, M>,
    names: &BTreeMap<CandidateId, IndexDefinition>,
) -> Vec<Losing> {
    let total_ms = decision.workload.total_ms.max(f64::MIN_POSITIVE);
    let nothing = BTreeSet::new();
    let rest_ms = selection.rest_ms(&decision.chosen);
    let mut losing = Vec::new();
    let losers: Vec<CandidateId> =
        selection.evaluator.candidates.keys().filter(|id| !decision.chosen.contains(id)).copied().collect();
    let mut chosen_on: BTreeMap<&QualifiedName, Vec<&IndexDefinition>> = BTreeMap::new();
    for definition in names.values() {
        chosen_on.entry(&definition.table).or_default().push(definition);
    }
    for id in losers {
        let ready = selection.evaluator.candidates[&id].clone();
        let price = decision.prices[&id];
        let alone = selection.saved_ms(&nothing, &BTreeSet::from([id]));
        // What could not reach the smallest share worth a line is not planned to know how far it falls short.
        let most = selection.most_saved(&decision.chosen, &BTreeSet::from([id]));
        let planned = most >= decision.options.min_share * selection.yardstick_ms;
        let gain = if planned {
            let with: BTreeSet<CandidateId> = decision.chosen.iter().copied().chain([id]).collect();
            selection.gain(&decision.chosen, &with)
        } else {
            Gain { saved_ms: most, ..Gain::default() }
        };
        let (more, floor) = (gain.saved_ms, selection.floor_at(rest_ms, gain.usual));
        let winners = chosen_on.get(&ready.definition.table).into_iter().flatten();
        let winner = winners.copied().find(|d| index_semantics::gives(d, &ready.definition));
        let reason = if let Some(winner) = winner {
            format!("covered by the recommended {}", winner.name)
        } else if alone <= 1e-6 * total_ms {
            "the planner does not use it".to_owned()
        } else if more <= 1e-6 * total_ms {
            format!(
                "saves {} of the workload alone, and nothing beyond the recommended indexes",
                percent(alone / total_ms)
            )
        } else if more < floor {
            format!(
                "saves {}{} of the workload beyond the recommended indexes, which is less than {} for {}",
                if planned { "" } else { "at most " },
                percent(more / total_ms),
                percent(floor / total_ms),
                Bytes(ready.bytes)
            )
        } else if more <= price.total_ms() {
            format!(
                "saves {} beyond the recommended indexes, less than its price: {} and {} of upkeep at writes",
                Millis(more),
                Bytes(ready.bytes),
                Millis(price.write_ms)
            )
        } else if gain.most < decision.options.min_speedup {
            format!(
                "saves {} of the workload beyond the recommended indexes, but no statement noticeably more than {}",
                percent(more / total_ms),
                percent(gain.most)
            )
        } else if decision.is_limited() {
            format!(
                "saves {} beyond the recommended indexes, but {} do not fit the budget",
                percent(more / total_ms),
                Bytes(ready.bytes)
            )
        } else {
            format!(
                "saves {} beyond the recommended indexes, but less than what it would take the place of",
                percent(more / total_ms)
            )
        };
        losing.push(Losing {
            table: ready.definition.table.clone(),
            statements: decision.made_for.get(&id).cloned().unwrap_or_default(),
            rejected: Rejected { candidate: ready.definition.create_sql(false), reason },
            weight: alone.max(more),
        });
    }
    for ruled_out in &decision.ruled_out {
        losing.push(Losing {
            table: ruled_out.definition.table.clone(),
            statements: ruled_out.statements.clone(),
            rejected: Rejected {
                candidate: ruled_out.definition.create_sql(false),
                reason: ruled_out.reason.clone(),
            },
            weight: 0.0,
        });
    }
    losing.sort_by(by_weight);
    losing
}

/// What would save most comes first.
pub(super) fn by_weight(a: &Losing, b: &Losing) -> std::cmp::Ordering {
    b.weight.total_cmp(&a.weight).then_with(|| a.rejected.candidate.cmp(&b.rejected.candidate))
}

fn percent(share: f64) -> String {
    let value = 100.0 * share;
    if value >= 10.0 { format!("{value:.0} %") } else { format!("{value:.2} %") }
}
