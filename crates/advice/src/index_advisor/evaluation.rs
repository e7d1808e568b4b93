//! What does the workload cost under a set of candidates, with few planner calls?
//!
//! A statement is planned anew only when the answer cannot be known. Three observations make most
//! answers known. Only indexes on the statement's own tables can matter, and of those only the ones made
//! for it or with a leading column that it uses. A plan that was the best among many indexes is still the
//! best among fewer as long as those it uses are there, and more indexes never make a plan dearer. And a
//! plan taken apart tells what it costs with another scan in the place of one of its leaves
//! (`decompose.rs`): that gives estimates, from which the selection works; what it selects is planned.

mod decompose;
mod early_stop;
mod examples;
mod exploration;
mod heap_visits;
mod together;
mod unscanned;

use std::collections::{BTreeMap, BTreeSet};

use model::cost_model::{CandidateId, Combination, Configuration, CostError, CostModel, Planned};
use model::{IndexDefinition, IndexKey, KeyTarget, Snapshot};
use serde_json::Value as Json;
use sql::KeyExpression;

use self::decompose::{Access, Parts};
pub(super) use self::exploration::Effort;
use self::heap_visits::Heaps;
use self::unscanned::Scans;
use super::options::Control;
use super::plan_space::{Choice, PlanSpace, Template};
use crate::typical_values::weigh_by_rows;
use crate::workload::{SkippedStatement, Workload, WorkloadStatement};

/// A candidate that the cost model accepted.
#[derive(Clone, Debug)]
pub(super) struct Ready {
    pub definition: IndexDefinition,
    pub bytes: u64,
}

/// So many times fewer rows than calls gave, where today's plan does not expect that, is no estimate to rest on.
const BELIEVABLE: f64 = 20.0;

/// One execution of a statement that the planner accepts.
#[derive(Clone, Debug)]
struct Execution {
    sql: String,
    weight: f64,
    /// Whether the text asks for an order.
    ordered: bool,
    /// Names of existing indexes that the plan as things are uses.
    uses: BTreeSet<String>,
    known: Vec<Known>,
    /// Exchanges of a leaf that the planner did not make though they looked cheaper: the number of the
    /// known plan, the leaf, the indexes.
    refuted: BTreeSet<(usize, usize, BTreeSet<CandidateId>)>,
    /// What `known` tells of other sets; made when it is asked for.
    space: Option<PlanSpace>,
    /// Another execution of the same statement that behaves alike, and how its cost becomes this one's.
    follows: Option<Follows>,
    /// Whether its plans were walked through.
    explored: bool,
    /// Rows that calls gave, or fewer where today's plan expects fewer; 0 where nothing is known. A plan that expects far
    /// fewer contradicts them.
    rows: f64,
}

/// `offset + slope * cost of the leader`.
#[derive(Clone, Copy, Debug)]
struct Follows {
    leader: usize,
    slope: f64,
    offset: f64,
    /// How far a cost may be from what the leader's tells.
    tolerance: f64,
}

/// A plan that was made: with these candidates on, these were used, at this cost.
#[derive(Clone, Debug)]
struct Known {
    on: BTreeSet<CandidateId>,
    used: BTreeSet<CandidateId>,
    /// With doubt about early stops.
    cost: f64,
    /// As the planner says, by which it chooses: more indexes never make this higher.
    planner_cost: f64,
    /// What visits of tables cost beyond that.
    visits: f64,
    /// The plan taken apart.
    parts: Parts,
}

impl Known {
    /// The same at a higher cost, and nothing of it to be exchanged.
    fn with_more(mut self, cost: f64) -> Self {
        self.cost += cost;
        self.planner_cost += cost;
        self.parts = self.parts.closed(self.planner_cost);
        self
    }
}

impl Execution {
    /// What is known of a set without planning: exactly, when a plan with more indexes used only these;
    /// or because more indexes never cost more, which bounds it from both sides.
    fn answer(&self, on: &BTreeSet<CandidateId>) -> Option<&Known> {
        let (mut lower, mut upper): (f64, Option<&Known>) = (0.0, None);
        for known in &self.known {
            let more = on.is_subset(&known.on);
            if more && known.used.is_subset(on) {
                return Some(known);
            }
            if more {
                lower = lower.max(known.planner_cost);
            }
            if known.on.is_subset(on) && upper.is_none_or(|u| known.planner_cost < u.planner_cost) {
                upper = Some(known);
            }
        }
        let certain = |u: &&Known| {
            u.planner_cost - lower <= 1e-3 * u.planner_cost && u.cost <= u.planner_cost * (1.0 + 1e-6)
        };
        upper.filter(certain)
    }

    /// Planner cost as things are.
    fn base(&self) -> f64 {
        self.known.first().map_or(0.0, |k| k.planner_cost)
    }
}

/// The cost of one statement under one set of candidates.
#[derive(Clone, Debug, Default)]
pub(super) struct StatementCost {
    /// Average over its executions, with doubt about early stops.
    pub cost: f64,
    /// The same as the planner says; with every candidate on, no set can be below it.
    pub planner_cost: f64,
    /// What visits of tables cost in truth beyond that (`heap_visits.rs`).
    pub visits: f64,
    /// Candidates that at least one execution uses.
    pub used: BTreeSet<CandidateId>,
}

impl StatementCost {
    /// Adds one execution's plan.
    fn add(&mut self, weight: f64, known: &Known) {
        self.cost += weight * known.cost;
        self.planner_cost += weight * known.planner_cost;
        self.visits += weight * known.visits;
        self.used.extend(&known.used);
    }
}

/// Asks the cost model and remembers.
pub(super) struct Evaluator<'a, M> {
    model: &'a mut M,
    pub control: Control,
    /// Key columns of existing indexes and candidates, by name.
    keys: BTreeMap<String, Vec<IndexKey>>,
    /// Candidates by handle.
    pub candidates: BTreeMap<CandidateId, Ready>,
    by_name: BTreeMap<String, CandidateId>,
    heaps: Heaps,
    at_once: together::AtOnce,
    executions: Vec<Vec<Execution>>,
    /// Candidates that could matter, by statement.
    pub relevant: Vec<BTreeSet<CandidateId>>,
    /// Statements for which a candidate could matter.
    statements: BTreeMap<CandidateId, BTreeSet<usize>>,
    /// Those that matter also where they hold all columns: sets that follow each other have most in common.
    widened: BTreeSet<CandidateId>,
    /// The last plan of a statement that was made for people to read, with its set.
    examples: examples::Examples,
}

impl<'a, M: CostModel> Evaluator<'a, M> {
    /// Plans every statement as things are, fixes the weights of its executions, and drops statements
    /// that cannot be planned from the workload.
    pub async fn start(
        model: &'a mut M,
        control: Control,
        snapshot: &Snapshot,
        workload: &mut Workload,
    ) -> Result<Self, CostError> {
        let keys =
            snapshot.indexes.iter().map(|i| (i.name.name.clone(), i.definition.keys.clone())).collect();
        let (candidates, by_name) = (BTreeMap::new(), BTreeMap::new());
        let mut evaluator = Self {
            model,
            control,
            keys,
            candidates,
            by_name,
            heaps: Heaps::of(snapshot),
            at_once: together::AtOnce::default(),
            executions: Vec::new(),
            relevant: Vec::new(),
            statements: BTreeMap::new(),
            widened: BTreeSet::new(),
            examples: BTreeMap::new(),
        };
        let mut kept = Vec::new();
        let scans = Scans::of(snapshot);
        let mut statements = std::mem::take(&mut workload.statements);
        let (total, mut done) = (statements.len(), 0);
        while !statements.is_empty() {
            evaluator.tell("planning statements as things are", done, total);
            let rest = statements.split_off(statements.len().min(evaluator.at_once.next()));
            done += statements.len();
            if evaluator.control.is_stopped() {
                let reason = || "the search was stopped before it was planned".into();
                let skip = |s: WorkloadStatement| SkippedStatement { queryid: s.queryid, reason: reason() };
                workload.skipped.extend(statements.into_iter().map(skip));
                statements = rest;
                continue;
            }
            let plans = evaluator.first_plans(&statements).await?;
            for (mut statement, plans) in statements.into_iter().zip(plans) {
                match evaluator.executions_of(&mut statement, plans) {
                    Ok(executions) => {
                        let share = evaluator.share_of_measured(&scans, &statement, &executions).await;
                        if share < 1.0 {
                            workload.correct(&mut statement, share);
                        }
                        evaluator.executions.push(executions);
                        kept.push(statement);
                    }
                    Err(reason) => {
                        workload.skipped.push(SkippedStatement { queryid: statement.queryid, reason });
                    }
                }
            }
            statements = rest;
        }
        workload.statements = kept;
        evaluator.relevant = vec![BTreeSet::new(); workload.statements.len()];
        Ok(evaluator)
    }

    /// The executions of a statement, given what the planner made of it, or why it cannot be planned.
    fn executions_of(
        &mut self,
        statement: &mut WorkloadStatement,
        plans: together::FirstPlans,
    ) -> Result<Vec<Execution>, String> {
        let together::FirstPlans { planned, refusal } = plans;
        if planned.is_empty() {
            let reason = refusal.unwrap_or_else(|| "there are no values to plan it with".into());
            return Err(format!("the planner refuses it: {reason}"));
        }
        let mut bindings: Vec<_> = planned.iter().map(|(binding, _)| binding.clone()).collect();
        let estimates: Vec<f64> = if statement.rows_are_evidence {
            planned.iter().map(|(_, plan)| root_rows(&plan.explain)).collect()
        } else {
            // Without evidence the weights stand; equal factors leave them alone.
            vec![statement.rows_per_call; planned.len()]
        };
        weigh_by_rows(&mut bindings, &estimates, statement.rows_per_call);
        let lower = statement.query.to_ascii_lowercase();
        let ordered = ["order by", "distinct", "group by"].iter().any(|words| lower.contains(words));
        let executions = bindings
            .iter()
            .filter_map(|binding| {
                let sql = binding.variants.first()?;
                let (_, plan) = planned.iter().find(|(b, _)| b.variants.first() == Some(sql))?;
                let mut used = BTreeSet::new();
                decompose::index_names(&plan.explain, &mut used);
                Some(Execution {
                    sql: sql.clone(),
                    weight: binding.weight,
                    ordered,
                    uses: used,
                    known: vec![self.known(plan, BTreeSet::new(), ordered)],
                    refuted: BTreeSet::new(),
                    space: None,
                    follows: None,
                    explored: false,
                    rows: match statement.rows_are_evidence {
                        true => root_rows(&plan.explain).min(statement.rows_per_call),
                        false => 0.0,
                    },
                })
            })
            .collect();
        statement.bindings = bindings;
        Ok(executions)
    }

    /// The part of a statement's measured time that it takes as things are: less than all of it where indexes were
    /// built while it was counted.
    async fn share_of_measured(
        &mut self,
        scans: &Scans,
        statement: &WorkloadStatement,
        executions: &[Execution],
    ) -> f64 {
        let used = executions.iter().flat_map(|e| &e.uses).cloned().collect();
        let Some(before) = scans.before(&used, statement.calls) else { return 1.0 };
        let configuration = Configuration { added: Vec::new(), dropped: before.without.clone() };
        let (mut now, mut without) = (0.0, 0.0);
        for execution in executions {
            match self.model.plan(&execution.sql, &configuration).await {
                Ok(planned) => without += execution.weight * planned.total_cost,
                // An old HypoPG hides no index. What else fails here will fail again where it matters.
                Err(_) => return 1.0,
            }
            now += execution.weight * execution.base();
        }
        before.correction(now, without)
    }

    fn known(&self, planned: &Planned, on: BTreeSet<CandidateId>, ordered: bool) -> Known {
        let mut names = BTreeSet::new();
        decompose::index_names(&planned.explain, &mut names);
        let parts = decompose::decompose(&planned.explain, ordered, &self.heaps);
        Known {
            on,
            used: names.iter().filter_map(|name| self.by_name.get(name).copied()).collect(),
            cost: early_stop::robust_cost(planned, &self.keys),
            planner_cost: planned.total_cost,
            visits: parts.visits(),
            parts,
        }
    }

    /// Candidates as they have to be written for a session that searches no schema, where that is another text.
    pub async fn spelt_out(
        &mut self,
        ids: &[CandidateId],
    ) -> Result<Vec<Option<IndexDefinition>>, CostError> {
        self.model.spelt_out(ids).await
    }

    /// Tells the cost model what is known of columns together, before candidates are registered.
    pub fn learn_combinations(&mut self, known: &[Combination]) {
        self.model.learn_combinations(known);
    }

    /// Makes candidates known; gives those that PostgreSQL refused with its message.
    pub async fn register(
        &mut self,
        snapshot: &Snapshot,
        definitions: &[(IndexDefinition, BTreeSet<usize>)],
        workload: &Workload,
    ) -> Result<Vec<(usize, String)>, CostError> {
        self.heaps.learn(snapshot, definitions.iter().map(|(d, _)| (d.name.as_str(), d)));
        let list: Vec<IndexDefinition> = definitions.iter().map(|(d, _)| d.clone()).collect();
        self.tell("creating candidates", 0, list.len());
        let answers = self.model.register(&list).await?;
        let mut of_table: BTreeMap<&model::QualifiedName, BTreeSet<usize>> = BTreeMap::new();
        for (s, statement) in workload.statements.iter().enumerate() {
            for relation in &statement.analysis.relations {
                of_table.entry(&relation.name).or_default().insert(s);
            }
        }
        let mut refused = Vec::new();
        for (number, (answer, (definition, statements))) in answers.into_iter().zip(definitions).enumerate() {
            match answer {
                model::Registered::Ready { id, bytes } => {
                    let readers = of_table.get(&definition.table);
                    let others = readers
                        .into_iter()
                        .flatten()
                        .filter(|s| could_matter(&workload.statements[**s], definition));
                    for s in others.chain(statements) {
                        self.relevant[*s].insert(id);
                        self.statements.entry(id).or_default().insert(*s);
                    }
                    self.keys.insert(definition.name.clone(), definition.keys.clone());
                    self.by_name.insert(definition.name.clone(), id);
                    self.candidates.insert(id, Ready { definition: definition.clone(), bytes: bytes.0 });
                }
                model::Registered::Refused { reason } => refused.push((number, reason)),
            }
        }
        Ok(refused)
    }

    /// Makes these candidates matter to every statement of whose table they hold all columns: such an index may be read
    /// as a whole in place of the table, whatever its first key is.
    pub fn widen(&mut self, set: &BTreeSet<CandidateId>, workload: &Workload) {
        for id in set.iter().filter(|id| self.widened.insert(**id)) {
            let Some(Ready { definition: index, .. }) = self.candidates.get(id) else { continue };
            let keys = index.keys.iter().filter_map(|key| match &key.target {
                KeyTarget::Column(name) => Some(name),
                KeyTarget::Expression(_) => None,
            });
            let held: BTreeSet<&String> = keys.chain(&index.include).collect();
            for (s, statement) in workload.statements.iter().enumerate() {
                let mut reads = statement.analysis.relations.iter().filter(|r| r.name == index.table);
                if reads.any(|r| !r.whole_row && r.columns.iter().all(|column| held.contains(column))) {
                    self.relevant[s].insert(*id);
                    self.statements.entry(*id).or_default().insert(s);
                }
            }
        }
    }

    /// The statements for which one of these candidates could matter.
    pub fn statements_of<'c>(
        &self,
        candidates: impl IntoIterator<Item = &'c CandidateId>,
    ) -> BTreeSet<usize> {
        candidates.into_iter().filter_map(|id| self.statements.get(id)).flatten().copied().collect()
    }

    /// The cost of a statement under a set of candidates, by a planner call where it is not known.
    pub async fn cost(
        &mut self,
        statement: usize,
        on: &BTreeSet<CandidateId>,
    ) -> Result<StatementCost, CostError> {
        let on: BTreeSet<CandidateId> = on.intersection(&self.relevant[statement]).copied().collect();
        let mut total = StatementCost::default();
        for number in 0..self.executions[statement].len() {
            let weight = self.executions[statement][number].weight;
            total.add(weight, self.plan(statement, number, &on).await?);
        }
        Ok(total)
    }

    /// The cost of a statement under a set of candidates as far as it is known: exactly where a plan tells,
    /// else from the plans that were taken apart.
    pub fn estimate(&mut self, statement: usize, on: &BTreeSet<CandidateId>) -> StatementCost {
        let on: BTreeSet<CandidateId> = on.intersection(&self.relevant[statement]).copied().collect();
        let mut total = StatementCost::default();
        for number in 0..self.executions[statement].len() {
            let execution = &self.executions[statement][number];
            let weight = execution.weight;
            if let Some(known) = execution.answer(&on) {
                total.add(weight, known);
                continue;
            }
            let lower = execution.known.iter().filter(|k| on.is_subset(&k.on)).map(|k| k.planner_cost);
            let lower = lower.fold(0.0, f64::max);
            // A plan with fewer indexes can still be had.
            let fewer = execution.known.iter().enumerate().filter(|(_, k)| k.on.is_subset(&on));
            let upper = fewer.min_by(|a, b| a.1.planner_cost.total_cmp(&b.1.planner_cost)).map(|(at, _)| at);
            let follows = execution.follows;
            let space = self.space(statement, follows.map_or(number, |f| f.leader));
            let mask = space.mask(&on);
            let mut cheapest = space.cheapest(mask);
            let (used, visits) = (space.used(mask), space.visits(&cheapest, mask));
            if let Some(Follows { slope, offset, .. }) = follows {
                cheapest.planner_cost = offset + slope * cheapest.planner_cost;
                cheapest.cost = offset + slope * cheapest.cost;
            }
            let upper = upper.map(|at| &self.executions[statement][number].known[at]);
            if let Some(known) = upper.filter(|k| k.planner_cost <= cheapest.planner_cost) {
                total.add(weight, known);
                continue;
            }
            total.used.extend(used);
            total.visits += weight * visits;
            total.cost += weight * cheapest.cost.max(lower);
            total.planner_cost += weight * cheapest.planner_cost.max(lower);
        }
        total
    }

    /// The plan of one execution under a set of candidates that are all relevant to it.
    async fn plan(
        &mut self,
        statement: usize,
        number: usize,
        on: &BTreeSet<CandidateId>,
    ) -> Result<&Known, CostError> {
        if self.executions[statement][number].answer(on).is_none() {
            let execution = &self.executions[statement][number];
            let configuration = Configuration { added: on.iter().copied().collect(), dropped: Vec::new() };
            let sql = execution.sql.clone();
            let answer = self.model.plan(&sql, &configuration).await;
            self.take_in(statement, number, on, answer)?;
        }
        let execution = &self.executions[statement][number];
        // What was just planned is the last that is known, whatever its numbers are.
        Ok(execution.answer(on).unwrap_or_else(|| &execution.known[execution.known.len() - 1]))
    }

    /// Remembers what the planner made of one execution under a set of candidates.
    fn take_in(
        &mut self,
        statement: usize,
        number: usize,
        on: &BTreeSet<CandidateId>,
        answer: Result<Planned, CostError>,
    ) -> Result<(), CostError> {
        let execution = &self.executions[statement][number];
        let known = match answer {
            Ok(planned) => {
                let known = self.known(&planned, on.clone(), execution.ordered);
                let expected = root_rows(&planned.explain);
                // The statistics that an index on an expression brings, and a value that was guessed, do not fit together.
                if expected * BELIEVABLE >= execution.rows {
                    known
                } else {
                    let known = known.with_more(self.heaps.cost_of_rows(execution.rows - expected));
                    let base = execution.known.first().filter(|base| base.planner_cost < known.planner_cost);
                    base.map(|base| Known { on: on.clone(), ..base.clone() }).unwrap_or(known)
                }
            }
            // It was planned without the candidates, so this is about them: they are no help.
            Err(CostError::Statement { .. }) => {
                let base = execution.known.first().cloned();
                let parts = Parts::default();
                let none = Known {
                    on: BTreeSet::new(),
                    used: BTreeSet::new(),
                    cost: f64::MAX,
                    planner_cost: f64::MAX,
                    visits: 0.0,
                    parts,
                };
                Known { on: on.clone(), ..base.unwrap_or(none) }
            }
            Err(failed) => return Err(failed),
        };
        self.refute(statement, number, &known);
        self.part_from_leader(statement, number, &known);
        let execution = &mut self.executions[statement][number];
        execution.known.push(known);
        execution.space = None;
        Ok(())
    }

    /// Strikes out exchanges by which a set looked cheaper than the planner finds it.
    fn refute(&mut self, statement: usize, number: usize, known: &Known) {
        if self.executions[statement][number].space.is_none() {
            return;
        }
        // Each round strikes out at least one; the bound is for templates that differ by rounding.
        for _ in 0..8 {
            let space = self.space(statement, number);
            let mask = space.mask(&known.on);
            let exchanges = space.exchanges(mask);
            if exchanges.is_empty() || space.cheapest(mask).planner_cost > 0.995 * known.planner_cost {
                return;
            }
            let execution = &mut self.executions[statement][number];
            execution.refuted.extend(exchanges);
            execution.space = None;
        }
    }

    /// An execution that a plan shows to behave unlike its leader goes its own way.
    fn part_from_leader(&mut self, statement: usize, number: usize, known: &Known) {
        let Some(follows) = self.executions[statement][number].follows else { return };
        let leader = &self.executions[statement][follows.leader];
        let planned = leader.answer(&known.on).map(|k| k.planner_cost);
        let leaders_cost = planned.unwrap_or_else(|| {
            let space = self.space(statement, follows.leader);
            space.cheapest(space.mask(&known.on)).planner_cost
        });
        let expected = follows.offset + follows.slope * leaders_cost;
        if (expected - known.planner_cost).abs() > follows.tolerance {
            self.executions[statement][number].follows = None;
        }
    }

    /// What the plans of an execution tell of other sets.
    fn space(&mut self, statement: usize, number: usize) -> &PlanSpace {
        let (keys, by_name) = (&self.keys, &self.by_name);
        let Execution { known, refuted, space, .. } = &mut self.executions[statement][number];
        space.get_or_insert_with(|| PlanSpace::new(&templates(known, refuted, keys, by_name)))
    }

    /// The executions of a statement from which a model of it is made: each with its weight, and that of
    /// those that follow it.
    pub fn spaces(&mut self, statement: usize) -> Vec<(f64, PlanSpace)> {
        let mut weights: Vec<f64> = self.executions[statement].iter().map(|e| e.weight).collect();
        for (number, execution) in self.executions[statement].iter().enumerate() {
            if let Some(follows) = execution.follows {
                weights[follows.leader] += execution.weight * follows.slope;
                weights[number] = 0.0;
            }
        }
        let leaders = weights.into_iter().enumerate().filter(|(_, weight)| *weight > 0.0);
        leaders.map(|(number, weight)| (weight, self.space(statement, number).clone())).collect()
    }

    /// Whether a statement is always executed alike.
    pub fn has_one_execution(&self, statement: usize) -> bool {
        self.executions[statement].len() == 1
    }

    /// How often the planner was called so far.
    pub fn planner_calls(&self) -> u64 {
        self.model.planner_calls()
    }

    /// Tells whoever watches.
    pub fn tell(&self, phase: &'static str, done: usize, total: usize) {
        let planner_calls = self.model.planner_calls();
        self.control.tell(&super::Progress { phase, done, total, planner_calls });
    }
}

/// Plans with open leaves: each leaf may take any access that some plan had to the same table with the
/// same rows given, and where its order matters, in that order.
fn templates(
    known: &[Known],
    refuted: &BTreeSet<(usize, usize, BTreeSet<CandidateId>)>,
    keys: &BTreeMap<String, Vec<IndexKey>>,
    by_name: &BTreeMap<String, CandidateId>,
) -> Vec<Template> {
    let candidates = |names: &[String]| -> BTreeSet<CandidateId> {
        names.iter().filter_map(|name| by_name.get(name).copied()).collect()
    };
    // Of one scan that stops early the doubt is the scan's own: neither goes without the other.
    let stops_early = |k: &Known| k.cost > k.planner_cost && k.parts.slots.len() == 1;
    let mut accesses: BTreeMap<(&str, &[String], u64), Vec<&Access>> = BTreeMap::new();
    for slot in known.iter().filter(|k| !stops_early(k)).flat_map(|k| &k.parts.slots) {
        let seen = accesses.entry((&slot.alias, &slot.given, slot.rows)).or_default();
        let cheaper = |a: &&Access| a.indexes == slot.access.indexes && a.cost <= slot.access.cost;
        if !seen.iter().any(cheaper) {
            seen.push(&slot.access);
        }
    }
    let order = |access: &Access| match access.indexes.as_slice() {
        [name] => keys.get(name).map(Vec::as_slice),
        _ => None,
    };
    known
        .iter()
        .enumerate()
        .map(|(origin, known)| {
            let leaves = known.parts.slots.iter().enumerate().map(|(leaf, slot)| {
                let own = candidates(&slot.access.indexes);
                let choice = |indexes: BTreeSet<CandidateId>, access: &Access| Choice {
                    indexes,
                    cost: slot.times * access.cost,
                    visits: slot.visits(access),
                };
                let mut choices = vec![choice(own.clone(), &slot.access)];
                let others = match stops_early(known) {
                    true => None,
                    false => accesses.get(&(slot.alias.as_str(), slot.given.as_slice(), slot.rows)),
                };
                for access in others.into_iter().flatten() {
                    let indexes = candidates(&access.indexes);
                    let in_order = !slot.ordered
                        || matches!(
                            (order(access), order(&slot.access)),
                            (Some(other), Some(own)) if other.starts_with(own)
                        );
                    if indexes != own && in_order && !refuted.contains(&(origin, leaf, indexes.clone())) {
                        choices.push(choice(indexes, access));
                    }
                }
                (slot.alias.clone(), choices)
            });
            Template {
                origin,
                internal: known.parts.internal,
                doubt: known.cost - known.planner_cost,
                visits: known.parts.fixed_visits,
                required: known.parts.fixed.iter().filter_map(|name| by_name.get(name).copied()).collect(),
                leaves: leaves.collect(),
            }
        })
        .collect()
}

/// The rows that the root of a plan expects.
fn root_rows(explain: &Json) -> f64 {
    explain.pointer("/Plan/Plan Rows").and_then(Json::as_f64).unwrap_or(1.0)
}

/// Whether an index could take part in a plan of a statement: its table is there and its leading key
/// is compared, joined, sorted or grouped.
fn could_matter(statement: &WorkloadStatement, index: &IndexDefinition) -> bool {
    let Some(first) = index.keys.first() else { return false };
    let analysis = &statement.analysis;
    analysis.relations.iter().enumerate().filter(|(_, r)| r.name == index.table).any(|(number, relation)| {
        let is_first = |key: &KeyExpression| match (key, &first.target) {
            (KeyExpression::Column(a), KeyTarget::Column(b)) => a == b,
            (KeyExpression::Expression { sql: Some(a), .. }, KeyTarget::Expression(b)) => a == b,
            _ => false,
        };
        let joined = |column: &str| {
            analysis.joins.iter().any(|j| {
                [&j.left, &j.right].iter().any(|side| side.relation == number && side.column == column)
            })
        };
        relation.predicates.iter().any(|p| is_first(&p.key))
            || relation.sorts.iter().any(|s| s.items.iter().any(|i| is_first(&i.key)))
            || relation.extremes.iter().any(is_first)
            || matches!(&first.target, KeyTarget::Column(c) if joined(c))
    })
}
