//! From chosen candidates to recommendations that can be read, argued with and applied.

use std::collections::{BTreeMap, BTreeSet};

use model::cost_model::{CandidateId, CostError, CostModel};
use model::{
    Benefit, Bytes, Change, Confidence, IndexDefinition, LockLevel, Millis, Price, QualifiedName,
    Recommendation, StatementEffect,
};
use serde_json::Value as Json;

use super::naming::Names;
use super::ranking::{Step, rank};
use super::rejected::{Losing, by_weight, rejected};
use super::selection::Selection;
use super::statements;
use super::{Advice, Decision};
use crate::index_semantics;
use crate::workload::WorkloadStatement;

/// How many losing candidates a recommendation shows.
const SHOWN_REJECTED: usize = 12;
/// From so many calls on a mean execution time says what the next call takes.
const SETTLED_CALLS: i64 = 20;
/// For how many statements a recommendation carries plans.
const SHOWN_PLANS: usize = 4;
/// How many executions are planned once more for what each recommendation does beside those before it.
const MOST_CHECKED: usize = 2_000;
/// For how many recommendations plans are asked for at once.
const STEPS_AT_ONCE: usize = 16;

pub(super) async fn write<M: CostModel>(
    decision: &Decision<'_>,
    selection: &mut Selection<'_, '_, M>,
) -> Result<Advice, CostError> {
    let steps = rank(selection, &decision.chosen);
    let names = final_names(decision, selection, &steps).await?;
    let mut advice = Advice::default();
    let nothing = BTreeSet::new();
    let base = estimates(selection, &nothing);
    advice.workload_cost_before = weighted(decision, &base);
    let everything_rejected = rejected(decision, selection, &names);

    let mut rejected_on: BTreeMap<&QualifiedName, Vec<&Losing>> = BTreeMap::new();
    for losing in &everything_rejected {
        rejected_on.entry(&losing.table).or_default().push(losing);
    }
    // What is chosen with the first step, with the first two, and so on.
    let mut sets: Vec<BTreeSet<CandidateId>> = vec![nothing];
    for step in &steps {
        sets.push(sets.iter().last().into_iter().flatten().chain(&step.members).copied().collect());
    }
    let mut before = base.clone();
    let mut unchecked = MOST_CHECKED;
    for (done, step) in steps.iter().enumerate() {
        selection.evaluator.tell("writing recommendations", done, steps.len());
        if done % STEPS_AT_ONCE == 0 {
            let some = done..steps.len().min(done + STEPS_AT_ONCE);
            plan_ahead(selection, decision, &base, &sets[some.start..=some.end], &mut unchecked).await?;
        }
        let (before_set, after_set) = (&sets[done], &sets[done + 1]);
        let mut after = before.clone();
        for s in selection.evaluator.statements_of(&step.members) {
            after[s] = selection.evaluator.estimate(s, after_set).cost;
        }
        if *after_set == decision.chosen {
            after = costs(selection, after_set).await?;
        }
        let saved_ms = selection.saved_ms(before_set, after_set);
        let view = View { decision, names: &names, base: &base, before: &before, after: &after };
        let mut recommendation = view.recommendation(selection, step, saved_ms);
        let hopeful = view.add_effects(selection, &mut recommendation, before_set, after_set).await?;
        view.settle(selection, &mut recommendation, step);
        if !hopeful.is_empty() {
            recommendation.rationale.push_str(&format!(
                " In {} the planner then hopes to meet the wanted rows soon and to stop early: where they lie at the \
                 other end of the index it reads all of it, which \"pgwright verify\" would notice.",
                hopeful.iter().map(|id| format!("statement {id}")).collect::<Vec<_>>().join(", ")
            ));
        }
        let tables: BTreeSet<&QualifiedName> = recommendation.changes.iter().map(Change::table).collect();
        let helped: BTreeSet<i64> = recommendation.statements.iter().map(|e| e.queryid).collect();
        let mut own: Vec<&Losing> = tables
            .iter()
            .filter_map(|table| rejected_on.get(table))
            .flatten()
            .filter(|l| {
                l.statements.iter().any(|s| helped.contains(&decision.workload.statements[*s].queryid))
            })
            .copied()
            .collect();
        own.sort_by(|a, b| by_weight(a, b));
        own.truncate(SHOWN_REJECTED);
        recommendation.rejected = own.into_iter().map(|l| l.rejected.clone()).collect();
        advice.recommendations.push(recommendation);
        before = after;
    }
    advice.workload_cost_after = weighted(decision, &before);
    advice.rejected = everything_rejected.into_iter().map(|l| l.rejected).collect();
    Ok(advice)
}

/// Plans what the next recommendations tell of, all at once: most is known only from plans that were taken apart, and
/// what is told should be what the planner says. `sets` are what is chosen before the first of them and after each.
async fn plan_ahead<M: CostModel>(
    selection: &mut Selection<'_, '_, M>,
    decision: &Decision<'_>,
    base: &[f64],
    sets: &[BTreeSet<CandidateId>],
    unchecked: &mut usize,
) -> Result<(), CostError> {
    let (mut shown, mut touched) = (Vec::new(), Vec::new());
    for (before_set, after_set) in sets.iter().zip(sets.iter().skip(1)) {
        let statements = selection.evaluator.statements_of(after_set.difference(before_set));
        for s in most_changed(selection, decision, base, &statements, (before_set, after_set)) {
            shown.extend([(s, before_set), (s, after_set)]);
        }
        touched.extend(statements.into_iter().map(|s| (s, after_set)));
    }
    selection.evaluator.plan_examples(&shown).await?;
    *unchecked -= selection.evaluator.plan_at_most(*unchecked, &touched).await?;
    Ok(())
}

/// What a statement's time changes by, given its costs as things are, before and after.
fn saved_of(statement: &WorkloadStatement, base: f64, before: f64, after: f64) -> f64 {
    statement.total_ms * (before - after) / base.max(f64::MIN_POSITIVE)
}

/// The statements whose plans are shown, as far as known plans tell: those that a step changes most.
fn most_changed<M: CostModel>(
    selection: &mut Selection<'_, '_, M>,
    decision: &Decision<'_>,
    base: &[f64],
    touched: &BTreeSet<usize>,
    (before_set, after_set): (&BTreeSet<CandidateId>, &BTreeSet<CandidateId>),
) -> Vec<usize> {
    let mut changes: Vec<(f64, usize)> = touched
        .iter()
        .map(|s| {
            let before = selection.evaluator.estimate(*s, before_set).cost;
            let after = selection.evaluator.estimate(*s, after_set).cost;
            (saved_of(&decision.workload.statements[*s], base[*s], before, after).abs(), *s)
        })
        .filter(|(change, _)| *change > 0.0)
        .collect();
    changes.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    changes.into_iter().take(SHOWN_PLANS).map(|(_, s)| s).collect()
}

async fn costs<M: CostModel>(
    selection: &mut Selection<'_, '_, M>,
    set: &BTreeSet<CandidateId>,
) -> Result<Vec<f64>, CostError> {
    selection.evaluator.plan_statements(0..selection.base.len(), set).await?;
    let mut costs = Vec::with_capacity(selection.base.len());
    for s in 0..selection.base.len() {
        costs.push(selection.evaluator.cost(s, set).await?.cost);
    }
    Ok(costs)
}

/// As far as known plans tell.
fn estimates<M: CostModel>(selection: &mut Selection<'_, '_, M>, set: &BTreeSet<CandidateId>) -> Vec<f64> {
    (0..selection.base.len()).map(|s| selection.evaluator.estimate(s, set).cost).collect()
}

fn weighted(decision: &Decision<'_>, costs: &[f64]) -> f64 {
    decision.workload.statements.iter().zip(costs).map(|(s, c)| s.calls as f64 * c).sum()
}

/// Candidates carry numbers in their names because many look alike; what is recommended gets the name
/// that PostgreSQL would give it.
async fn final_names<M: CostModel>(
    decision: &Decision<'_>,
    selection: &mut Selection<'_, '_, M>,
    steps: &[Step],
) -> Result<BTreeMap<CandidateId, IndexDefinition>, CostError> {
    let members: Vec<CandidateId> = steps.iter().flat_map(|s| &s.members).copied().collect();
    let spelt_out = selection.evaluator.spelt_out(&members).await?;
    let mut names = Names::new(decision.snapshot);
    let named = members.into_iter().zip(spelt_out).map(|(id, spelt_out)| {
        let own = &selection.evaluator.candidates[&id].definition;
        let name = names.choose(own);
        (id, IndexDefinition { name, ..spelt_out.unwrap_or_else(|| own.clone()) })
    });
    Ok(named.collect())
}

struct View<'v> {
    decision: &'v Decision<'v>,
    names: &'v BTreeMap<CandidateId, IndexDefinition>,
    base: &'v [f64],
    before: &'v [f64],
    after: &'v [f64],
}

impl View<'_> {
    fn recommendation<M: CostModel>(
        &self,
        selection: &Selection<'_, '_, M>,
        step: &Step,
        saved_ms: f64,
    ) -> Recommendation {
        let hours = self.decision.workload.hours;
        let total_ms = self.decision.workload.total_ms.max(f64::MIN_POSITIVE);
        let mut changes = Vec::new();
        let mut price = Price::default();
        let mut write_ms = 0.0;
        for id in &step.members {
            let definition = self.names[id].clone();
            let of_one = &self.decision.prices[id];
            price.bytes = Bytes(price.bytes.0 + of_one.bytes);
            price.hot_updates_lost_per_hour += of_one.hot_lost / hours;
            price.build_ms = Millis(price.build_ms.0 + of_one.build_ms);
            write_ms += of_one.write_ms;
            changes.push(Change::CreateIndex { index: definition });
        }
        // Milliseconds become planner units at the rate that the measured statements show.
        let units: f64 =
            self.decision.workload.statements.iter().zip(self.base).map(|(s, c)| s.calls as f64 * c).sum();
        let planned_ms: f64 = self.decision.workload.statements.iter().map(|s| s.total_ms).sum();
        price.write_cost_per_hour = write_ms / hours * (units / planned_ms.max(f64::MIN_POSITIVE));
        let expression = step.members.iter().any(|id| {
            let keys = &selection.evaluator.candidates[id].definition.keys;
            keys.iter().any(|k| matches!(k.target, model::KeyTarget::Expression(_)))
        });
        let tables: BTreeSet<QualifiedName> = changes.iter().map(|c| c.table().clone()).collect();
        for table in &tables {
            // An expression has statistics only after an ANALYZE with the index in place.
            if expression || self.statistics_are_poor(table) {
                changes.push(Change::Analyze { table: table.clone() });
            }
        }
        Recommendation {
            id: String::new(),
            title: String::new(),
            resolves: Vec::new(),
            changes,
            sql: Vec::new(),
            undo_sql: Vec::new(),
            benefit: Benefit {
                saved_ms_per_hour: saved_ms / hours,
                share_of_total: saved_ms / total_ms,
                cost_before: weighted(self.decision, self.before),
                cost_after: weighted(self.decision, self.after),
            },
            price,
            lock: LockLevel::ShareUpdateExclusive,
            lock_duration: String::new(),
            reversible: true,
            confidence: Confidence::Medium,
            rationale: String::new(),
            verification: String::new(),
            statements: Vec::new(),
            rejected: Vec::new(),
        }
    }

    /// What it does to each statement, the largest effect first, with plans for the first few. Gives the statements
    /// that look dearer only by the doubt about early stops (`early_stop.rs`): the planner, and most likely the
    /// server, finds them no dearer than before.
    async fn add_effects<M: CostModel>(
        &self,
        selection: &mut Selection<'_, '_, M>,
        recommendation: &mut Recommendation,
        before_set: &BTreeSet<CandidateId>,
        after_set: &BTreeSet<CandidateId>,
    ) -> Result<Vec<i64>, CostError> {
        let (mut effects, mut hopeful): (Vec<(f64, usize)>, Vec<i64>) = (Vec::new(), Vec::new());
        for (s, statement) in self.decision.workload.statements.iter().enumerate() {
            let (before, after) = (self.before[s], self.after[s]);
            let relative = (before - after).abs() / before.max(f64::MIN_POSITIVE);
            if relative > 0.01 && before < after {
                let planned = |selection: &mut Selection<'_, '_, M>, set| {
                    selection.evaluator.estimate(s, set).planner_cost
                };
                let (before, after) = (planned(selection, before_set), planned(selection, after_set));
                if after <= before * 1.001 {
                    hopeful.push(statement.queryid);
                    continue;
                }
            }
            if relative > 0.01 {
                effects.push((saved_of(statement, self.base[s], before, after), s));
            }
        }
        effects.sort_by(|a, b| b.0.abs().total_cmp(&a.0.abs()).then(a.1.cmp(&b.1)));
        let renames: BTreeMap<String, String> = self
            .names
            .iter()
            .map(|(id, d)| (selection.evaluator.candidates[id].definition.name.clone(), d.name.clone()))
            .collect();
        for (n, (_, s)) in effects.into_iter().enumerate() {
            let statement = &self.decision.workload.statements[s];
            let base = self.base[s].max(f64::MIN_POSITIVE);
            let mut effect = StatementEffect {
                queryid: statement.queryid,
                query: statement.query.clone(),
                calls: statement.calls,
                mean_ms: Millis(statement.mean_ms),
                cost_before: self.before[s],
                cost_after: self.after[s],
                expected_ms: Millis(statement.mean_ms * self.after[s] / base),
                plan_before: Json::Null,
                plan_after: Json::Null,
                example: statement
                    .bindings
                    .first()
                    .and_then(|b| b.variants.first())
                    .cloned()
                    .unwrap_or_default(),
            };
            if n < SHOWN_PLANS {
                let before = selection.evaluator.example(s, before_set).await?;
                let after = selection.evaluator.example(s, after_set).await?;
                if let (Some((example, mut before)), Some((_, mut after))) = (before, after) {
                    rename_indexes(&mut before, &renames);
                    rename_indexes(&mut after, &renames);
                    effect.example = example;
                    effect.plan_before = before;
                    effect.plan_after = after;
                }
            }
            recommendation.statements.push(effect);
        }
        Ok(hopeful)
    }

    /// Fills in what follows from the changes and the effects.
    fn settle<M: CostModel>(
        &self,
        selection: &Selection<'_, '_, M>,
        recommendation: &mut Recommendation,
        step: &Step,
    ) {
        let snapshot = self.decision.snapshot;
        let index_only: Vec<QualifiedName> = step
            .members
            .iter()
            .filter(|id| !selection.evaluator.candidates[id].definition.include.is_empty())
            .map(|id| selection.evaluator.candidates[id].definition.table.clone())
            .filter(|table| {
                snapshot
                    .relation(table)
                    .is_some_and(|r| r.relpages > 0 && (r.relallvisible as f64) < 0.8 * r.relpages as f64)
            })
            .collect();
        for table in index_only.into_iter().collect::<BTreeSet<_>>() {
            // An index-only scan visits every page that is not marked all-visible.
            recommendation.changes.push(Change::Vacuum { table });
        }
        recommendation.changes.extend(self.replaced(selection, step));
        let changes = &recommendation.changes;
        let indexes: Vec<&IndexDefinition> = changes
            .iter()
            .filter_map(|c| match c {
                Change::CreateIndex { index } => Some(index),
                _ => None,
            })
            .collect();
        recommendation.id = statements::identifier(changes);
        recommendation.title = match indexes.as_slice() {
            [one] => format!("create index {} on {}", one.name, one.table),
            many => format!(
                "create {} indexes that help together: {}",
                many.len(),
                many.iter().map(|i| i.name.as_str()).collect::<Vec<_>>().join(", ")
            ),
        };
        recommendation.sql = statements::to_make(snapshot, changes);
        recommendation.undo_sql = statements::to_undo(snapshot, changes);
        for change in changes {
            if let Change::DropIndex { definition, .. } = change {
                let bytes =
                    snapshot.indexes.iter().find(|i| i.indexdef == *definition).map_or(0, |i| i.bytes.0);
                recommendation.price.freed = Bytes(recommendation.price.freed.0 + bytes);
            }
        }
        recommendation.lock = changes.iter().map(Change::lock_level).max().unwrap_or(LockLevel::AccessShare);
        recommendation.lock_duration = format!(
            "SHARE UPDATE EXCLUSIVE on {} while the index is built, about {}, and until older transactions have ended: \
             reads and writes go on; VACUUM, ANALYZE and other schema changes of the table wait.",
            indexes
                .iter()
                .map(|i| i.table.to_string())
                .collect::<BTreeSet<_>>()
                .into_iter()
                .collect::<Vec<_>>()
                .join(", "),
            recommendation.price.build_ms
        );
        if indexes.iter().any(|i| statements::is_partitioned(snapshot, &i.table)) {
            recommendation.lock_duration.push_str(
                " The index of the partitioned table itself takes SHARE on it for an instant, each partition is built \
                 by itself, and attaching its index takes ACCESS EXCLUSIVE on that index for an instant.",
            );
        }
        recommendation.confidence = self.confidence(recommendation);
        recommendation.rationale = self.rationale(recommendation, &indexes);
        let worst = recommendation.statements.first();
        recommendation.verification = match worst {
            Some(effect) => format!(
                "Run EXPLAIN on the example of statement {}: {} appears in the plan. After the next {} calls its mean \
                 execution time should be near {}, from {}.",
                effect.queryid,
                indexes.iter().map(|i| i.name.as_str()).collect::<Vec<_>>().join(" or "),
                effect.calls.clamp(20, 1_000),
                effect.expected_ms,
                effect.before_ms()
            ),
            None => "The indexes' idx_scan in pg_stat_user_indexes grows.".into(),
        };
    }

    /// Existing indexes that the new ones make superfluous: widening instead of adding.
    fn replaced<M: CostModel>(&self, selection: &Selection<'_, '_, M>, step: &Step) -> Vec<Change> {
        let snapshot = self.decision.snapshot;
        let mut drops = Vec::new();
        for index in &snapshot.indexes {
            let given = step.members.iter().any(|id| {
                index_semantics::replaces(&selection.evaluator.candidates[id].definition, &index.definition)
            });
            if given && super::upkeep::is_removable(snapshot, index) {
                drops.push(Change::DropIndex {
                    name: index.name.clone(),
                    table: index.definition.table.clone(),
                    definition: index.indexdef.clone(),
                });
            }
        }
        drops
    }

    fn statistics_are_poor(&self, table: &QualifiedName) -> bool {
        self.decision
            .snapshot
            .relation(table)
            .is_some_and(|relation| super::upkeep::poor_statistics(relation).is_some())
    }

    fn confidence(&self, recommendation: &Recommendation) -> Confidence {
        let unknown = |table: &QualifiedName| {
            let relation = self.decision.snapshot.relation(table);
            self.statistics_are_poor(table) || relation.is_some_and(super::upkeep::statistics_are_hidden)
        };
        if recommendation.changes.iter().any(|c| unknown(c.table())) {
            return Confidence::Low;
        }
        let helped: Vec<&WorkloadStatement> = self.mostly_helped(recommendation);
        if helped.iter().any(|s| !s.assumed.constants.is_empty() && s.observed.is_empty()) {
            return Confidence::Low;
        }
        let known = |s: &WorkloadStatement| {
            !s.observed.is_empty()
                || !s.query.contains('$')
                || (s.rows_are_evidence && !pattern_is_unknown(s))
        };
        // A mean of few executions, or of executions that have little in common, is not what the next will take.
        let settled = |s: &WorkloadStatement| s.calls >= SETTLED_CALLS && s.stddev_ms <= s.mean_ms;
        if !helped.is_empty() && helped.iter().all(|s| known(s) && settled(s)) {
            Confidence::High
        } else {
            Confidence::Medium
        }
    }

    /// The statements that most of the gain comes from: the first, and those with a fifth of its effect.
    fn mostly_helped(&self, recommendation: &Recommendation) -> Vec<&WorkloadStatement> {
        let gain = |e: &StatementEffect| (e.before_ms().0 - e.expected_ms.0) * e.calls as f64;
        let most = recommendation.statements.first().map_or(0.0, gain);
        recommendation
            .statements
            .iter()
            .filter(|effect| gain(effect) > 0.0 && gain(effect) >= 0.2 * most)
            .filter_map(|effect| {
                self.decision
                    .workload
                    .statements
                    .iter()
                    .find(|s| s.queryid == effect.queryid && s.query == effect.query)
            })
            .collect()
    }

    fn rationale(&self, recommendation: &Recommendation, indexes: &[&IndexDefinition]) -> String {
        let mut text = String::new();
        for index in indexes {
            let keys: Vec<String> = index
                .keys
                .iter()
                .map(|k| match &k.target {
                    model::KeyTarget::Column(c) => c.clone(),
                    model::KeyTarget::Expression(e) => e.clone(),
                })
                .collect();
            text.push_str(&format!("The index on {} ({}) ", index.table, keys.join(", ")));
            if let Some(predicate) = &index.predicate {
                text.push_str(&format!("holds only rows where {predicate}, which the statements imply; it "));
            }
            if !index.include.is_empty() {
                text.push_str(&format!(
                    "carries {} so that the table need not be visited; it ",
                    index.include.join(", ")
                ));
            }
            text.push_str(&format!("weighs about {}. ", recommendation.price.bytes));
        }
        text.push_str(&format!(
            "It saves {:.1} % of all execution time that was observed",
            100.0 * recommendation.benefit.share_of_total
        ));
        if let Some(effect) = recommendation.statements.first() {
            text.push_str(&format!(
                ", most of it in statement {}: planner cost {:.0} to {:.0}, so {} becomes about {}",
                effect.queryid,
                effect.cost_before,
                effect.cost_after,
                effect.before_ms(),
                effect.expected_ms
            ));
            if effect.is_faster_before() {
                let now = effect.mean_ms;
                text.push_str(&format!(" (it takes {now} now; what is recommended before does the rest)"));
            }
        }
        text.push('.');
        for statement in self.mostly_helped(recommendation).into_iter().filter(|s| s.observed.is_empty()) {
            let assumed: Vec<String> =
                statement.assumed.constants.iter().map(|(n, c)| format!("${n} is {}", c.sql())).collect();
            if !assumed.is_empty() {
                text.push_str(&format!(
                    " It is assumed that in statement {} {}: pg_stat_statements does not show it, and with another value \
                     the index is of no use.",
                    statement.queryid,
                    assumed.join(", ")
                ));
            }
            if pattern_is_unknown(statement) && indexes.iter().all(|i| i.access_method == "btree") {
                text.push_str(&format!(
                    " Nobody knows what pattern statement {} compares with: the index serves one that begins with the \
                     text (LIKE 'a%') and none that does not (LIKE '%a').",
                    statement.queryid
                ));
            }
        }
        if recommendation.price.hot_updates_lost_per_hour >= 1.0 {
            text.push_str(&format!(
                " About {:.0} updates per hour change a column of it and would no longer be HOT.",
                recommendation.price.hot_updates_lost_per_hour
            ));
        }
        text
    }
}

/// Whether it compares with a pattern that nobody has seen: an index serves `LIKE 'a%'` and not `LIKE '%a'`,
/// and rows per call do not tell one from the other.
fn pattern_is_unknown(statement: &WorkloadStatement) -> bool {
    let mut predicates = statement.analysis.relations.iter().flat_map(|r| &r.predicates);
    predicates.any(|p| {
        let pattern = match &p.operator {
            sql::Operator::Like { .. } => true,
            sql::Operator::Other(name) => matches!(name.as_str(), "~" | "~*"),
            _ => false,
        };
        pattern && p.values.iter().any(|v| !v.parameters().is_empty())
    })
}

/// Puts final index names into a plan.
fn rename_indexes(value: &mut Json, renames: &BTreeMap<String, String>) {
    match value {
        Json::Object(map) => {
            for (key, inner) in map.iter_mut() {
                if key == "Index Name"
                    && let Some(name) = inner.as_str().and_then(|n| renames.get(n))
                {
                    *inner = Json::String(name.clone());
                } else {
                    rename_indexes(inner, renames);
                }
            }
        }
        Json::Array(items) => items.iter_mut().for_each(|v| rename_indexes(v, renames)),
        _ => {}
    }
}
