//! Which other text of a statement is cheaper? The rules of `sql` say what may be written instead, the cost model
//! says what it would cost, now and with the indexes that each text would want.
//!
//! The same snapshot and the same model give the same answer. A text whose plan is the same is left out; one that
//! is not cheaper is kept with that reason. Whether a text gives the same rows is said by its conditions.

use std::collections::BTreeMap;

use model::change::Change;
use model::cost_model::{Configuration, CostError, CostModel};
use model::snapshot::Statement;
use model::{Bytes, Snapshot};
use serde::Serialize;
use serde_json::Value as Json;
use sql::{Condition, Rewriter};

use crate::index_advisor::{Options, WeighBy, advise};
use crate::what_if::{Execution, NOTICEABLE, plan_executions};
use crate::workload::{Workload, WorkloadStatement};

/// One typical execution, as written and as rewritten.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RewrittenExecution {
    /// Its share of the calls.
    pub weight: f64,
    /// The statement with values in place of its parameters.
    pub before: String,
    /// The other text with the same values.
    pub after: String,
    /// Planner cost before.
    pub cost_before: f64,
    /// Planner cost after.
    pub cost_after: f64,
    /// The plan before, as `EXPLAIN (FORMAT JSON)` gives it.
    #[serde(skip_serializing_if = "Json::is_null")]
    pub plan_before: Json,
    /// The plan after.
    #[serde(skip_serializing_if = "Json::is_null")]
    pub plan_after: Json,
}

/// The best indexes for one text, and what it costs with them.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct WithIndexes {
    /// The indexes as SQL.
    pub indexes: Vec<String>,
    /// What they weigh.
    pub bytes: Bytes,
    /// Planner cost with them.
    pub cost: f64,
}

/// What the planner makes of a rewrite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Worth {
    /// Cheaper as things are.
    Cheaper,
    /// Cheaper than the statement with its best indexes, once it has its own.
    CheaperWithIndexes,
    /// Neither.
    NotCheaper,
}

/// Another text, weighed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WeighedRewrite {
    /// The rules in the order in which they were applied.
    pub rules: Vec<&'static str>,
    /// The new text.
    pub sql: String,
    /// What it rests on.
    pub conditions: Vec<Condition>,
    /// What the application must change besides the text.
    pub application: Vec<String>,
    /// Whether it is worth it.
    pub worth: Worth,
    /// Planner cost before, averaged over the typical executions.
    pub cost_before: f64,
    /// Planner cost after.
    pub cost_after: f64,
    /// The statement's best indexes, where they were looked for.
    pub before_with_indexes: Option<WithIndexes>,
    /// The new text's best indexes.
    pub after_with_indexes: Option<WithIndexes>,
    /// The typical executions.
    pub executions: Vec<RewrittenExecution>,
}

impl WeighedRewrite {
    /// Whether every condition is proved, or about what the application knows.
    pub fn is_proved(&self) -> bool {
        !self.conditions.iter().any(Condition::is_open)
    }

    /// The share of the cost that is left.
    pub fn ratio(&self) -> f64 {
        self.cost_after / self.cost_before.max(f64::MIN_POSITIVE)
    }

    /// The share of the cost that is left with the best indexes of either text.
    pub fn ratio_with_indexes(&self) -> Option<f64> {
        let (before, after) = (self.before_with_indexes.as_ref()?, self.after_with_indexes.as_ref()?);
        Some(after.cost / before.cost.max(f64::MIN_POSITIVE))
    }
}

/// Something that helps without another text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pointer {
    /// The rule that saw it.
    pub rule: &'static str,
    /// What helps, in a sentence.
    pub advice: String,
}

/// What became of one statement.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StatementRewrites {
    /// The `queryid`, 0 for a text that was never counted.
    pub queryid: i64,
    /// The text.
    pub query: String,
    /// Calls in the snapshot.
    pub calls: i64,
    /// Measured mean execution time in milliseconds.
    pub mean_ms: f64,
    /// Measured execution time of all calls in milliseconds.
    pub total_ms: f64,
    /// Other texts, the best first.
    pub rewrites: Vec<WeighedRewrite>,
    /// What helps besides.
    pub pointers: Vec<Pointer>,
    /// Why there is nothing, in a sentence fragment.
    pub passed_over: Option<String>,
}

impl StatementRewrites {
    /// Milliseconds that the best text which satisfies a condition would save, by the planner's costs as things are.
    pub fn saved_ms(&self, accept: impl Fn(&WeighedRewrite) -> bool) -> f64 {
        let best = self.rewrites.iter().filter(|r| accept(r)).map(WeighedRewrite::ratio).fold(1.0, f64::min);
        self.total_ms * (1.0 - best)
    }
}

/// How far the search goes.
#[derive(Clone, Copy, Debug)]
pub struct Depth {
    /// How many rules may follow one another.
    pub steps: usize,
    /// Of how many texts the best indexes are looked for.
    pub with_indexes: usize,
}

impl Default for Depth {
    fn default() -> Self {
        Self { steps: 3, with_indexes: 4 }
    }
}

/// The offset at which a page is planned: where paging begins to hurt.
const TYPICAL_OFFSET: u32 = 10_000;

/// Looks for cheaper texts of a statement of the workload.
///
/// # Errors
/// When the model itself fails; what cannot be rewritten or planned is said in the result.
pub async fn rewrite<M: CostModel>(
    snapshot: &Snapshot,
    rewriter: &Rewriter<'_>,
    model: &mut M,
    statement: &WorkloadStatement,
    depth: Depth,
) -> Result<StatementRewrites, CostError> {
    let mut result = StatementRewrites {
        queryid: statement.queryid,
        query: statement.query.clone(),
        calls: statement.calls,
        mean_ms: statement.mean_ms,
        total_ms: statement.total_ms,
        rewrites: Vec::new(),
        pointers: Vec::new(),
        passed_over: None,
    };
    let first = match rewriter.rewrites(&statement.query) {
        Ok(found) => found,
        Err(error) => {
            result.passed_over = Some(reason(&error));
            return Ok(result);
        }
    };
    for found in &first {
        if let (None, Some(advice)) = (&found.sql, &found.advice) {
            result.pointers.push(Pointer { rule: found.rule, advice: advice.clone() });
        }
    }
    result.pointers.extend(one_by_one(statement));
    if first.iter().all(|r| r.sql.is_none()) {
        return Ok(result);
    }
    let mut statement = statement.clone();
    let base = match plan_executions(model, &mut statement, &Configuration::current()).await? {
        Ok(executions) => executions,
        Err(refusal) => {
            result.passed_over = Some(format!("the planner refuses it: {refusal}"));
            return Ok(result);
        }
    };
    let mut search = Search { snapshot, rewriter, model, found: Vec::new() };
    search.steps(&statement, &base, depth.steps).await?;
    let mut found = search.found;
    found.sort_by(|a, b| a.cost_after.total_cmp(&b.cost_after).then(a.rules.len().cmp(&b.rules.len())));
    if depth.with_indexes > 0 && !found.is_empty() {
        let before = best_indexes(snapshot, model, &statement.query, &statement).await?;
        for rewrite in found.iter_mut().take(depth.with_indexes) {
            rewrite.after_with_indexes = best_indexes(snapshot, model, &rewrite.sql, &statement).await?;
            rewrite.before_with_indexes.clone_from(&before);
        }
    }
    for rewrite in &mut found {
        let with_indexes = rewrite.ratio_with_indexes().unwrap_or(1.0);
        rewrite.worth = match rewrite.ratio() {
            r if r < 1.0 - NOTICEABLE => Worth::Cheaper,
            _ if with_indexes < 0.9 => Worth::CheaperWithIndexes,
            _ => Worth::NotCheaper,
        };
    }
    found.sort_by(|a, b| reached(a).total_cmp(&reached(b)));
    result.rewrites = found;
    Ok(result)
}

/// A statement that looks up one row and is called again and again: one call with all keys saves the ways in between.
fn one_by_one(statement: &WorkloadStatement) -> Option<Pointer> {
    const MANY_CALLS: i64 = 1_000;
    let [relation] = statement.analysis.relations.as_slice() else { return None };
    let [predicate] = relation.predicates.as_slice() else { return None };
    let keyed = predicate.operator == sql::Operator::Equal
        && predicate.disjunct.is_none()
        && matches!(predicate.values.as_slice(), [value] if matches!(value.without_casts(), sql::Expression::Parameter(_)));
    let column = predicate.key.column()?;
    let few =
        statement.rows_per_call <= 10.0 && !statement.analysis.aggregated && !statement.analysis.limited;
    if !keyed || !few || statement.calls < MANY_CALLS {
        return None;
    }
    let column = model::quote_identifier(column);
    Some(Pointer {
        rule: "batch-lookups",
        advice: format!(
            "{} calls look up {:.1} rows each by {column}: where the application loops over keys, one call with {column} = \
             ANY ($1) and an array of them saves the ways in between",
            statement.calls, statement.rows_per_call
        ),
    })
}

/// The least that a text costs, with its indexes where they were looked for.
fn reached(rewrite: &WeighedRewrite) -> f64 {
    let with = rewrite.after_with_indexes.as_ref().map_or(f64::INFINITY, |w| w.cost);
    with.min(rewrite.cost_after)
}

/// What an error says, in a sentence fragment.
fn reason(error: &sql::RewriteError) -> String {
    match error {
        sql::RewriteError::Unsupported { reason } => reason.clone(),
        sql::RewriteError::Sql(error) => match error.detail() {
            Some(detail) => format!("{error}: {detail}"),
            None => error.to_string(),
        },
    }
}

struct Search<'s, 'a, M> {
    snapshot: &'s Snapshot,
    rewriter: &'s Rewriter<'a>,
    model: &'s mut M,
    found: Vec<WeighedRewrite>,
}

impl<M: CostModel> Search<'_, '_, M> {
    /// Applies rules one after the other, each time going on with the cheapest text that is proved.
    async fn steps(
        &mut self,
        statement: &WorkloadStatement,
        base: &[Execution],
        steps: usize,
    ) -> Result<(), CostError> {
        let mut at = Step {
            text: statement.query.clone(),
            executions: base.iter().map(|e| e.sql.clone()).collect(),
            rules: Vec::new(),
            conditions: Vec::new(),
            application: Vec::new(),
        };
        let mut reached: f64 = base.iter().map(|e| e.weight * e.planned.total_cost).sum();
        for _ in 0..steps {
            let mut next: Option<(f64, Step)> = None;
            for step in self.next_steps(&at) {
                let Some(weighed) = self.weigh(base, &step).await? else { continue };
                let proved = weighed.is_proved() && weighed.application.is_empty();
                if proved
                    && weighed.cost_after < 0.95 * reached
                    && next.as_ref().is_none_or(|(c, _)| weighed.cost_after < *c)
                {
                    next = Some((weighed.cost_after, step));
                }
                if !self.found.iter().any(|f| f.sql == weighed.sql) {
                    self.found.push(weighed);
                }
            }
            match next {
                Some((cost, step)) => {
                    reached = cost;
                    at = step;
                }
                None => break,
            }
        }
        Ok(())
    }

    /// What the rules make of a text, with the same done to its executions.
    fn next_steps(&self, at: &Step) -> Vec<Step> {
        let Ok(found) = self.rewriter.rewrites(&at.text) else { return Vec::new() };
        let mut ordinals: BTreeMap<&str, usize> = BTreeMap::new();
        let of_executions: Vec<_> =
            at.executions.iter().map(|sql| self.rewriter.rewrites(sql).unwrap_or_default()).collect();
        let mut steps = Vec::new();
        for rewrite in found {
            let Some(text) = rewrite.sql else { continue };
            let ordinal = ordinals.entry(rewrite.rule).or_default();
            // The same rule at the same place of the text with values.
            let executions: Option<Vec<String>> = of_executions
                .iter()
                .map(|all| {
                    let same =
                        all.iter().filter(|r| r.rule == rewrite.rule && r.sql.is_some()).nth(*ordinal)?;
                    same.sql.clone()
                })
                .collect();
            *ordinal += 1;
            let Some(executions) = executions else { continue };
            let mut step = Step { text, executions, ..at.clone() };
            step.rules.push(rewrite.rule);
            for condition in rewrite.conditions {
                if !step.conditions.contains(&condition) {
                    step.conditions.push(condition);
                }
            }
            step.application.extend(rewrite.application);
            steps.push(step);
        }
        steps
    }

    /// Plans a text; `None` when it cannot be planned or its plans are the same.
    async fn weigh(&mut self, base: &[Execution], step: &Step) -> Result<Option<WeighedRewrite>, CostError> {
        let mut executions = Vec::new();
        for (before, after) in base.iter().zip(&step.executions) {
            let mut written = before.sql.clone();
            let mut planned = before.planned.clone();
            // A page far back is what keyset pagination is for.
            if step.rules.contains(&"offset-to-keyset")
                && let Some(far) = self.rewriter.at_offset(&written, TYPICAL_OFFSET)
                && let Some(plan) = self.plan(&far).await?
            {
                written = far;
                planned = plan;
            }
            let mut texts = vec![after.clone()];
            if after.contains('$') {
                texts.extend(self.with_values(after));
            }
            let mut done = None;
            for text in texts {
                if let Some(plan) = self.plan(&text).await? {
                    done = Some((text, plan));
                    break;
                }
            }
            let Some((after, mut plan)) = done else { return Ok(None) };
            if step.rules.contains(&"distinct-to-skip-scan") {
                plan.total_cost *= walked(&planned.explain, &plan.explain);
            }
            executions.push(RewrittenExecution {
                weight: before.weight,
                before: written,
                after,
                cost_before: planned.total_cost,
                cost_after: plan.total_cost,
                plan_before: planned.explain,
                plan_after: plan.explain,
            });
        }
        if executions.iter().all(|e| shape(&e.plan_before) == shape(&e.plan_after)) {
            return Ok(None);
        }
        let sum = |cost: fn(&RewrittenExecution) -> f64| executions.iter().map(|e| e.weight * cost(e)).sum();
        Ok(Some(WeighedRewrite {
            rules: step.rules.clone(),
            sql: step.text.clone(),
            conditions: step.conditions.clone(),
            application: step.application.clone(),
            worth: Worth::NotCheaper,
            cost_before: sum(|e| e.cost_before),
            cost_after: sum(|e| e.cost_after),
            before_with_indexes: None,
            after_with_indexes: None,
            executions,
        }))
    }

    async fn plan(&mut self, sql: &str) -> Result<Option<model::cost_model::Planned>, CostError> {
        match self.model.plan(sql, &Configuration::current()).await {
            Ok(planned) => Ok(Some(planned)),
            Err(CostError::Statement { .. }) => Ok(None),
            Err(failed) => Err(failed),
        }
    }

    /// A text with typical values for the parameters that it has in addition.
    fn with_values(&self, text: &str) -> Vec<String> {
        let Some(statement) = alone(self.snapshot, text, 1, 1.0) else { return Vec::new() };
        let mut bindings = statement.bindings;
        bindings.sort_by(|a, b| b.weight.total_cmp(&a.weight));
        bindings.into_iter().flat_map(|b| b.variants).collect()
    }
}

#[derive(Clone)]
struct Step {
    text: String,
    executions: Vec<String>,
    rules: Vec<&'static str>,
    conditions: Vec<Condition>,
    application: Vec<String>,
}

/// A text as the only statement of a workload.
fn alone(snapshot: &Snapshot, text: &str, calls: i64, mean_ms: f64) -> Option<WorkloadStatement> {
    let only = with_statement(snapshot, text, calls, mean_ms);
    Workload::from_snapshot(&only, &BTreeMap::new()).statements.into_iter().next()
}

/// The snapshot with a text as its only statement.
fn with_statement(snapshot: &Snapshot, text: &str, calls: i64, mean_ms: f64) -> Snapshot {
    let mut only = snapshot.clone();
    only.statements = vec![Statement {
        query: text.to_owned(),
        toplevel: true,
        calls,
        mean_exec_time: model::Millis(mean_ms),
        total_exec_time: model::Millis(mean_ms * calls as f64),
        ..Statement::default()
    }];
    only
}

/// A statement that was typed or comes from a file, as the workload's statements are.
///
/// # Errors
/// Why it cannot be planned, in a sentence fragment.
pub fn typed_statement(snapshot: &Snapshot, text: &str) -> Result<WorkloadStatement, String> {
    let counted = snapshot.statements.iter().find(|s| s.query == text).cloned();
    let mut only = with_statement(snapshot, text, 1, 0.0);
    if let Some(counted) = counted {
        only.statements = vec![Statement { toplevel: true, calls: counted.calls.max(1), ..counted }];
    }
    let workload = Workload::from_snapshot(&only, &BTreeMap::new());
    match (workload.statements.into_iter().next(), workload.skipped.into_iter().next()) {
        (Some(statement), _) => Ok(statement),
        (None, Some(skipped)) => Err(skipped.reason),
        (None, None) => Err("it is empty".into()),
    }
}

/// The best indexes for a text alone.
async fn best_indexes<M: CostModel>(
    snapshot: &Snapshot,
    model: &mut M,
    text: &str,
    statement: &WorkloadStatement,
) -> Result<Option<WithIndexes>, CostError> {
    // Often enough that an index pays.
    const CALLS: i64 = 1_000;
    let only = with_statement(snapshot, text, CALLS, statement.mean_ms.max(1.0));
    let options = Options { weigh_by: WeighBy::PlannerCost, ..Options::default() };
    let advice = match advise(&only, model, &options).await {
        Ok(advice) => advice,
        Err(crate::AdviceError::Model(failed @ CostError::Model { .. })) => return Err(failed),
        Err(_) => return Ok(None),
    };
    let mut with = WithIndexes { cost: advice.workload_cost_after / CALLS as f64, ..WithIndexes::default() };
    for recommendation in &advice.recommendations {
        for change in &recommendation.changes {
            if let Change::CreateIndex { index } = change {
                with.indexes.push(index.create_sql(false));
            }
        }
        with.bytes = Bytes(with.bytes.0 + recommendation.price.bytes.0);
    }
    Ok((with.cost > 0.0).then_some(with))
}

/// How many times longer a walk from value to value is than the planner thinks. It takes every recursion to end after
/// ten rounds (`cost_recursive_union`), whatever the number of distinct values, which it knows well of the `DISTINCT`.
fn walked(distinct: &Json, walk: &Json) -> f64 {
    fn rows_of_recursion(plan: &Json) -> Option<f64> {
        if plan["Node Type"] == "Recursive Union" {
            return plan["Plan Rows"].as_f64();
        }
        plan["Plans"].as_array()?.iter().find_map(rows_of_recursion)
    }
    let values = distinct["Plan"]["Plan Rows"].as_f64();
    match (values, rows_of_recursion(&walk["Plan"])) {
        (Some(values), Some(thought)) if thought > 0.0 => (values / thought).max(1.0),
        _ => 1.0,
    }
}

/// What a plan does, estimates left out.
fn shape(explain: &Json) -> Json {
    match explain {
        Json::Object(fields) => Json::Object(
            fields
                .iter()
                .filter(|(name, _)| {
                    !matches!(
                        name.as_str(),
                        "Startup Cost" | "Total Cost" | "Plan Rows" | "Plan Width" | "Settings"
                    )
                })
                .map(|(name, value)| (name.clone(), shape(value)))
                .collect(),
        ),
        Json::Array(items) => Json::Array(items.iter().map(shape).collect()),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_is_as_long_as_there_are_values() {
        let distinct =
            |rows: i64| serde_json::json!({ "Plan": { "Node Type": "Unique", "Plan Rows": rows } });
        let walk = serde_json::json!({ "Plan": { "Node Type": "CTE Scan", "Plan Rows": 100, "Plans": [
            { "Node Type": "Recursive Union", "Plan Rows": 101, "Plans": [] } ] } });
        assert!((walked(&distinct(101_000), &walk) - 1000.0).abs() < 1e-9);
        assert!((walked(&distinct(5), &walk) - 1.0).abs() < 1e-9);
        assert!((walked(&distinct(500), &distinct(1)) - 1.0).abs() < 1e-9);
    }
}
