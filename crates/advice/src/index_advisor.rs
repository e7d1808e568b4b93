//! Which indexes should exist? The index advisor; `index_advisor/README.md` tells the algorithm and the
//! papers it comes from.

mod bound;
mod candidates;
pub(crate) mod combinations;
mod evaluation;
pub(crate) mod local_search;
mod mending;
pub(crate) mod naming;
mod options;
mod plan_space;
pub(crate) mod price;
mod ranking;
mod recommend;
mod rejected;
mod selection;
pub(crate) mod statements;
pub(crate) mod upkeep;

use std::collections::{BTreeMap, BTreeSet};

use model::cost_model::{CandidateId, Combination, CostError, CostModel};
use model::{Bytes, Finding, IndexDefinition, ObjectRef, Recommendation, Rejected, Severity, Snapshot};
use serde::{Deserialize, Serialize};

use self::candidates::RuledOut;
use self::evaluation::Evaluator;
use self::local_search::Limits;
use self::mending::Mending;
pub use self::options::{Control, Options, Progress, WeighBy};
use self::price::{CandidatePrice, Pricing};
use self::selection::Selection;
pub use self::upkeep::statistics_upkeep;
use crate::index_semantics;
pub use crate::workload::SkippedStatement;
use crate::workload::{Source, Workload};

/// The answer.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Advice {
    /// What to do, the most time saved first.
    pub recommendations: Vec<Recommendation>,
    /// What was considered and is not recommended.
    pub rejected: Vec<Rejected>,
    /// What was seen: statements that no index helps, missing statistics, duplicate indexes.
    pub findings: Vec<Finding>,
    /// Statements that were left out, with the reason.
    pub skipped: Vec<SkippedStatement>,
    /// Calls times planner cost of all planned statements, as things are.
    pub workload_cost_before: f64,
    /// The same with all recommended indexes.
    pub workload_cost_after: f64,
    /// How often the planner was called.
    pub planner_calls: u64,
    /// How many candidates were planned with.
    pub candidates: usize,
    /// How far from the optimum the set may be; `None` when nothing was chosen from.
    #[serde(default)]
    pub bound: Option<Bound>,
    /// What smaller and larger budgets would bring, the smallest first.
    #[serde(default)]
    pub curve: Vec<CurvePoint>,
    /// Whether the search was stopped before its end; the set is the best until then.
    #[serde(default)]
    pub stopped_early: bool,
}

/// How good the chosen set is, against a proven limit of what any set of the candidates could reach.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bound {
    /// Time of the workload with the set and the price of the set, in milliseconds.
    pub reached_ms: f64,
    /// What no set of the candidates can fall below, by Lagrangian relaxation over the plans that were
    /// costed.
    pub limit_ms: f64,
    /// `reached / limit - 1`, as a share.
    pub gap: f64,
}

/// One budget and what the best set within it is expected to bring.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// The budget.
    pub max_bytes: Bytes,
    /// What the best set weighs.
    pub bytes: Bytes,
    /// How many indexes it has.
    pub indexes: usize,
    /// The share of the workload's time that it saves.
    pub share_saved: f64,
    /// Calls times planner cost of the workload with it.
    pub workload_cost: f64,
}

/// What the statements of a snapshot tell of columns together, for whoever predicts sizes without asking for advice.
pub fn known_combinations(snapshot: &Snapshot) -> Vec<Combination> {
    combinations::known(snapshot, &Workload::from_snapshot(snapshot, &BTreeMap::new()))
}

/// Why there is no advice.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum AdviceError {
    /// The cost model stopped working.
    #[error("cost model failed")]
    Model(#[from] CostError),
    /// There is nothing to advise on.
    #[error("snapshot holds no statements")]
    NoStatements,
}

impl AdviceError {
    /// What happened, in sentences.
    pub fn detail(&self) -> Option<String> {
        match self {
            Self::Model(error) => Some(format!("The cost model says: {error}.")),
            Self::NoStatements => Some(
                "Index advice rests on the statements that pg_stat_statements counted, and there are none."
                    .into(),
            ),
        }
    }

    /// What can be done.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Model(_) => None,
            Self::NoStatements => {
                Some("Run the workload with pg_stat_statements loaded; \"pgwright doctor\" shows how.".into())
            }
        }
    }
}

/// How many statements are planned with every candidate before progress is told.
const PLANNED_AT_ONCE: usize = 64;

/// The part of a budget of bytes that is kept free, because sizes are predicted: sets of a dozen indexes weighed up to 1.4 %
/// more than that.
const BUDGET_RESERVE: f64 = 0.015;

/// The least part of a workload's time that counts as what indexes can save: one that they hardly help is no reason
/// to recommend what saves next to nothing.
const MIN_WITHIN_REACH: f64 = 0.1;

/// The least part of what indexes can save that the smallest shares are taken of.
const MIN_YARDSTICK: f64 = 0.05;

/// Everything known at the end of a run, from which recommendations are written.
struct Decision<'a> {
    snapshot: &'a Snapshot,
    workload: &'a Workload,
    options: &'a Options,
    chosen: BTreeSet<CandidateId>,
    prices: BTreeMap<CandidateId, CandidatePrice>,
    /// Each statement's cost with every candidate on.
    ideal: Vec<f64>,
    /// Numbers of the statements a candidate was made for.
    made_for: BTreeMap<CandidateId, BTreeSet<usize>>,
    ruled_out: Vec<RuledOut>,
    passed_over: BTreeMap<model::QualifiedName, String>,
}

impl Decision<'_> {
    /// Whether something else than prices bounds the set.
    fn is_limited(&self) -> bool {
        let Options { max_bytes, max_count, max_write_overhead, .. } = self.options;
        max_bytes.is_some() || max_count.is_some() || max_write_overhead.is_some()
    }
}

/// Advises on indexes.
///
/// # Errors
/// [`AdviceError`] when the cost model fails or the snapshot holds no statements. Statements that
/// cannot be planned are skipped and listed.
pub async fn advise<M: CostModel>(
    snapshot: &Snapshot,
    model: &mut M,
    options: &Options,
) -> Result<Advice, AdviceError> {
    if snapshot.statements.is_empty() {
        return Err(AdviceError::NoStatements);
    }
    let calls_before = model.planner_calls();
    let mut workload = Workload::from_snapshot(snapshot, &options.observed_values);
    let control = options.control.clone();
    let mut evaluator = Evaluator::start(model, control, snapshot, &mut workload).await?;
    let generated = candidates::generate(snapshot, &workload, options);
    evaluator.learn_combinations(&combinations::known(snapshot, &workload));
    let mut ruled_out = generated.ruled_out;

    let definitions: Vec<_> =
        generated.list.iter().map(|c| (c.definition.clone(), c.statements.clone())).collect();
    for (number, reason) in evaluator.register(snapshot, &definitions, &workload).await? {
        let (definition, statements) = definitions[number].clone();
        let reason = format!("PostgreSQL refuses it: {reason}");
        ruled_out.push(RuledOut { definition, statements, reason });
    }
    let nothing = BTreeSet::new();
    let (mut base, mut ideal, mut ideals) = (Vec::new(), Vec::new(), Vec::new());
    let numbers: Vec<usize> = (0..workload.statements.len()).collect();
    for some in numbers.chunks(PLANNED_AT_ONCE) {
        let done = some.first().copied().unwrap_or_default();
        evaluator.tell("planning statements with every candidate", done, numbers.len());
        for s in some {
            base.push(evaluator.estimate(*s, &nothing).cost);
        }
        if !evaluator.control.is_stopped() {
            evaluator.plan_with_everything(some).await?;
        }
        for s in some {
            let everything = evaluator.relevant[*s].clone();
            let best = evaluator.estimate(*s, &everything);
            ideal.push(best.planner_cost);
            ideals.push(best.used);
        }
    }
    let weights = weights(&workload, &base, options.weigh_by);
    let could_save: Vec<f64> = weights
        .iter()
        .zip(base.iter().zip(&ideal))
        .map(|(weight, (base, ideal))| if *base > 0.0 { weight * (1.0 - ideal / base).max(0.0) } else { 0.0 })
        .collect();
    let options = &options.for_workload(&could_save);
    let yardstick_ms = yardstick_ms(&weights, &could_save, workload.total_ms);

    let pricing = Pricing::new(snapshot, &workload, options, yardstick_ms);
    let prices: BTreeMap<CandidateId, CandidatePrice> = evaluator
        .candidates
        .iter()
        .map(|(id, ready)| (*id, pricing.price(&ready.definition, ready.bytes)))
        .collect();
    let limits = Limits {
        bytes: options.max_bytes.map(|b| (b.0 as f64 * (1.0 - BUDGET_RESERVE)) as u64),
        count: options.max_count,
        write_ms: options.max_write_overhead.map(|share| share * workload.write_ms),
    };
    let credits = credits(snapshot, &evaluator, &pricing);
    let mut selection = Selection {
        evaluator: &mut evaluator,
        workload: &workload,
        pricing: &pricing,
        prices,
        credits,
        options,
        limits,
        weights,
        base,
        ideal,
        ideals,
        yardstick_ms,
        mending: Mending::default(),
    };
    let selected = selection.run().await?;
    let mut chosen = selected.chosen;
    selection.drop_marginal(&mut chosen).await?;
    selection.drop_unused(&mut chosen).await?;
    let slower = selection.slower_findings(&chosen).await?;
    let candidate_count = selection.evaluator.candidates.len();
    let made_for = made_for(&selection, &definitions);

    let decision = Decision {
        snapshot,
        workload: &workload,
        options,
        chosen,
        prices: selection.prices.clone(),
        ideal: selection.ideal.clone(),
        made_for,
        ruled_out,
        passed_over: generated.passed_over,
    };
    let mut advice = recommend::write(&decision, &mut selection).await?;
    let hints = candidates::hints(snapshot, &workload);
    advice.findings.extend(no_index_helps(&decision, &mut selection, &hints).await?);
    advice.findings.extend(hints.findings);
    advice.findings.extend(slower);
    upkeep::add(snapshot, &workload, &mut advice);
    advice.skipped = workload.skipped.clone();
    advice.candidates = candidate_count;
    advice.planner_calls = evaluator.planner_calls() - calls_before;
    advice.bound = selected.bound;
    advice.curve = selected.curve;
    advice.stopped_early = options.control.is_stopped();
    Ok(advice)
}

/// The statements that each candidate was made for.
fn made_for<M: CostModel>(
    selection: &Selection<'_, '_, M>,
    definitions: &[(IndexDefinition, BTreeSet<usize>)],
) -> BTreeMap<CandidateId, BTreeSet<usize>> {
    let all = definitions.iter().chain(&selection.mending.made);
    let by_name: BTreeMap<&str, &BTreeSet<usize>> =
        all.map(|(definition, statements)| (definition.name.as_str(), statements)).collect();
    let candidates = selection.evaluator.candidates.iter();
    let of = |ready: &evaluation::Ready| Some((*by_name.get(ready.definition.name.as_str())?).clone());
    candidates.filter_map(|(id, ready)| Some((*id, of(ready)?))).collect()
}

/// The time that the smallest shares are shares of.
///
/// Before anything is mended, that is what indexes can save. Once the worst is mended, what was small beside it is
/// most of what is left to wait for, and a DBA who measures again sees only that: the time that then remains of
/// statements that indexes help. Between the two stands their geometric mean. What no index can take away does not
/// count: beside a report that reads everything, nothing else would be worth a thought.
fn yardstick_ms(weights: &[f64], could_save: &[f64], total_ms: f64) -> f64 {
    let within_reach: f64 = could_save.iter().sum::<f64>().max(MIN_WITHIN_REACH * total_ms);
    let remaining = |(weight, saved): (&f64, &f64)| {
        let share = saved / weight.max(f64::MIN_POSITIVE);
        share * (weight - saved).max(0.0)
    };
    let remains: f64 = weights.iter().zip(could_save).map(remaining).sum();
    (within_reach * remains).sqrt().clamp(MIN_YARDSTICK * within_reach, within_reach)
}

/// What each statement weighs, in milliseconds; by cost they add up to the same time.
fn weights(workload: &Workload, base: &[f64], weigh_by: WeighBy) -> Vec<f64> {
    let times = workload.statements.iter().map(|s| s.total_ms);
    match weigh_by {
        WeighBy::Time => times.collect(),
        WeighBy::PlannerCost => {
            let costs: Vec<f64> =
                workload.statements.iter().zip(base).map(|(s, cost)| s.calls as f64 * cost).collect();
            let ms_per_cost = times.sum::<f64>() / costs.iter().sum::<f64>().max(f64::MIN_POSITIVE);
            costs.iter().map(|c| c * ms_per_cost).collect()
        }
    }
}

/// Existing indexes that a candidate makes superfluous: what dropping them frees is the candidates' credit, so
/// that widening an index is weighed against adding one.
fn credits<M: CostModel>(
    snapshot: &Snapshot,
    evaluator: &Evaluator<'_, M>,
    pricing: &Pricing<'_>,
) -> Vec<(f64, BTreeSet<CandidateId>)> {
    let removable = snapshot.indexes.iter().filter(|i| i.valid && upkeep::is_removable(snapshot, i));
    let mut of_table: BTreeMap<&model::QualifiedName, Vec<(CandidateId, &IndexDefinition)>> = BTreeMap::new();
    for (id, ready) in &evaluator.candidates {
        of_table.entry(&ready.definition.table).or_default().push((*id, &ready.definition));
    }
    removable
        .filter_map(|index| {
            let by: BTreeSet<CandidateId> = of_table
                .get(&index.definition.table)?
                .iter()
                .filter(|(_, candidate)| index_semantics::replaces(candidate, &index.definition))
                .map(|(id, _)| *id)
                .collect();
            let price = pricing.price(&index.definition, index.bytes.0).total_ms();
            (!by.is_empty()).then_some((price, by))
        })
        .collect()
}

/// Statements that stay slow whatever index is built, with the reason.
async fn no_index_helps<M: CostModel>(
    decision: &Decision<'_>,
    selection: &mut Selection<'_, '_, M>,
    hints: &candidates::Hints,
) -> Result<Vec<Finding>, CostError> {
    let mut findings = Vec::new();
    for (s, statement) in decision.workload.statements.iter().enumerate() {
        let share = statement.total_ms / decision.workload.total_ms.max(f64::MIN_POSITIVE);
        let base = selection.base[s];
        let now = selection.evaluator.cost(s, &decision.chosen).await?.cost;
        let expected_ms = statement.mean_ms * now / base.max(f64::MIN_POSITIVE);
        let stays_slow = expected_ms >= 50.0 && now > 0.5 * base;
        if !stays_slow || share < 0.01 || statement.source != Source::Statement {
            continue;
        }
        let tried = decision.made_for.values().filter(|made| made.contains(&s)).count();
        // A hint says already what keeps an index from it.
        if tried == 0 && hints.statements.contains(&statement.queryid) {
            continue;
        }
        let conditions = statement.analysis.relations.iter().map(|r| r.predicates.len()).sum::<usize>();
        let passed_over: Vec<String> = statement
            .analysis
            .relations
            .iter()
            .filter_map(|r| Some(format!("{}: {}", r.name, decision.passed_over.get(&r.name)?)))
            .collect();
        let best = decision.ideal[s];
        let (title, reason) = if tried == 0 && conditions == 0 {
            (
                "no index makes statement {} fast",
                "It has no condition that an index could answer: it reads whole tables.".to_owned(),
            )
        } else if tried == 0 && !passed_over.is_empty() {
            (
                "no index was tried for statement {}",
                format!(
                    "Its tables get no index from pgwright, though one may help: {}.",
                    passed_over.join("; ")
                ),
            )
        } else if tried == 0 {
            (
                "no index was tried for statement {}",
                "None of its conditions is of a kind that pgwright makes indexes for; one on the expression that it \
                 compares may still help."
                    .to_owned(),
            )
        } else if best > 0.8 * base {
            let reason = format!(
                "{tried} candidate indexes were planned, and with all of them together the planner saves {:.0} %: \
                 it needs most of the rows that it reads, so finding them faster does not help.",
                100.0 * (1.0 - best / base.max(f64::MIN_POSITIVE))
            );
            ("no index makes statement {} fast", reason)
        } else {
            let reason = format!(
                "With all {tried} candidates it would cost {:.0} % of today's cost, but what they weigh and cost at \
                 every write is more than that saves.",
                100.0 * best / base.max(f64::MIN_POSITIVE)
            );
            ("no index is worth its price for statement {}", reason)
        };
        let title = title.replace("{}", &statement.queryid.to_string());
        let detail = format!(
            "{reason} What can help is another text (\"pgwright rewrite {}\" looks for one), or to ask for less: a narrower \
             condition, a LIMIT with an order that an index has, or a summary table that is kept up to date.",
            statement.queryid
        );
        let first_line: String = statement.query.split_whitespace().take(8).collect::<Vec<_>>().join(" ");
        findings.push(
            Finding::new(
                "no-index-helps",
                ObjectRef::Statement { queryid: statement.queryid },
                Severity::Warning,
                format!("{title}: {first_line}"),
                detail,
            )
            .with("mean execution time, ms", format!("{:.1}", statement.mean_ms))
            .with("share of all execution time, %", format!("{:.1}", 100.0 * share))
            .with("planner cost", format!("{base:.0}"))
            .with("planner cost with every candidate", format!("{best:.0}"))
            .with("candidates", tried),
        );
    }
    Ok(findings)
}
