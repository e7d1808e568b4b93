//! What would be run? Recommendations turned into statements, to be shown before anything happens.
//!
//! [`plan`] is pure: the same recommendations give the same plan. [`expand`] asks the database
//! besides, because a change to a partitioned table takes statements for each of its partitions, and
//! because what an interrupted run has done already need not be done again.

use std::collections::BTreeSet;

use model::{Change, KeyTarget, LockLevel, QualifiedName, Recommendation};
use serde::Serialize;

use crate::action::Action;
use crate::error::{Error, Refusal};
use crate::journal::{self, JournalEntry, Promise, Status};
use crate::objection::Objection;
use crate::operations::{Condition, Site, operation_of};
use crate::options::ExecuteOptions;
use crate::partitions::expansion;
use crate::preflight::patiently;

/// Everything that a run would do, in order.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ApplyPlan {
    /// The recommendations in order.
    pub recommendations: Vec<PlannedRecommendation>,
}

/// One recommendation and its statements.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PlannedRecommendation {
    /// The recommendation's id.
    pub recommendation_id: String,
    /// Its title.
    pub title: String,
    /// For how long the lock is held and whom it stops, in a sentence.
    pub lock_duration: String,
    /// What it promises.
    pub promise: Promise,
    /// Its statements in order.
    pub steps: Vec<PlannedStep>,
    /// The entry of the journal that an interrupted run has left and that this one goes on with.
    pub resumes: Option<i64>,
    /// The changes that the statements make, where the statements depend on the database.
    #[serde(skip)]
    pub(crate) changes: Vec<Change>,
}

impl PlannedRecommendation {
    /// Steps that no recommendation promises anything of.
    pub(crate) fn of_steps(recommendation_id: String, title: String, steps: Vec<PlannedStep>) -> Self {
        Self {
            recommendation_id,
            title,
            lock_duration: String::new(),
            promise: Promise::default(),
            steps,
            resumes: None,
            changes: Vec::new(),
        }
    }
}

/// One statement.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PlannedStep {
    /// What it changes.
    pub change: Action,
    /// The statement that makes it.
    pub sql: String,
    /// The statement that undoes it; `None` when there is nothing to undo.
    pub undo_sql: Option<String>,
    /// The strongest lock; it is held for more than an instant unless `lock_detail` says so.
    pub lock: LockLevel,
    /// On what the lock is taken and who waits, where it is not the usual lock on the table.
    pub lock_detail: Option<String>,
}

impl PlannedStep {
    pub(crate) fn new(change: Action) -> Self {
        let operation = operation_of(&change);
        Self {
            sql: operation.statement(&change),
            undo_sql: operation.undo_statement(&change),
            lock: change.lock_level(),
            lock_detail: change.lock_detail(),
            change,
        }
    }
}

impl ApplyPlan {
    /// Every step with the id of its recommendation.
    pub fn steps(&self) -> impl Iterator<Item = (&str, &PlannedStep)> {
        self.recommendations
            .iter()
            .flat_map(|r| r.steps.iter().map(move |s| (r.recommendation_id.as_str(), s)))
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.steps().next().is_none()
    }

    /// Reasons that can be seen without a server.
    pub(crate) fn contradictions(&self) -> Vec<Refusal> {
        let mut names: BTreeSet<QualifiedName> = BTreeSet::new();
        self.steps()
            .filter(|(_, step)| operation_of(&step.change).takes_name())
            .filter(|(_, step)| !names.insert(step.change.object()))
            .map(|(id, step)| Refusal {
                recommendation_id: Some(id.to_owned()),
                object: Some(step.change.object()),
                objection: Objection::NameTwice { name: step.change.object() },
            })
            .collect()
    }
}

/// Turns recommendations into a plan, in their order.
///
/// An index on an expression has statistics of its own, which only `ANALYZE` collects and without
/// which the planner guesses; so a recommendation that makes one and does not analyze its table
/// gets that step at its end.
pub fn plan(recommendations: &[Recommendation]) -> ApplyPlan {
    let recommendations = recommendations
        .iter()
        .map(|recommendation| {
            let mut changes = recommendation.changes.clone();
            let analyzed = tables_to_analyze(&changes);
            changes.extend(analyzed.into_iter().map(|table| Change::Analyze { table }));
            let steps = changes.iter().cloned().map(|c| PlannedStep::new(c.into())).collect();
            PlannedRecommendation {
                recommendation_id: recommendation.id.clone(),
                title: recommendation.title.clone(),
                lock_duration: recommendation.lock_duration.clone(),
                promise: Promise::of(recommendation),
                steps,
                resumes: None,
                changes,
            }
        })
        .collect();
    ApplyPlan { recommendations }
}

/// A plan for one database, and what was found while it was made.
#[derive(Debug)]
pub(crate) struct Expanded {
    pub plan: ApplyPlan,
    pub refusals: Vec<Refusal>,
    pub notices: Vec<String>,
}

/// Makes a plan one for the database that it is to be run on.
pub(crate) async fn expand(
    site: &Site<'_>,
    plan: &ApplyPlan,
    options: &ExecuteOptions,
) -> Result<Expanded, Error> {
    let journal = journal::read(site.client, None).await?;
    let mut expanded = Expanded { plan: ApplyPlan::default(), refusals: Vec::new(), notices: Vec::new() };
    for planned in &plan.recommendations {
        let of_this = |e: &&JournalEntry| e.recommendation_id == planned.recommendation_id;
        let unfinished = journal.iter().rev().find(of_this).filter(|e| e.is_unfinished());
        let mut steps = Vec::new();
        for change in &planned.changes {
            let action = Action::Change(change.clone());
            let look = async || expansion::of_change(site, change, &journal).await;
            match patiently(site.client, &action, options, look).await? {
                // What is left of it, as the catalog says.
                Some(found) => {
                    expanded.notices.extend(found.notices);
                    expanded.refusals.extend(found.objections.into_iter().map(|objection| Refusal {
                        recommendation_id: Some(planned.recommendation_id.clone()),
                        object: Some(action.object()),
                        objection,
                    }));
                    steps.extend(found.actions.into_iter().map(PlannedStep::new));
                }
                None if is_done(site, unfinished, &action, options).await? => {}
                None => steps.push(PlannedStep::new(action)),
            }
        }
        if let Some(entry) = unfinished {
            expanded.notices.push(format!(
                "Entry {} of the journal was interrupted; what it has done stays, and the rest is done now.",
                entry.entry_id
            ));
        }
        let resumes = unfinished.map(|e| e.entry_id);
        expanded.plan.recommendations.push(PlannedRecommendation { steps, resumes, ..planned.clone() });
    }
    Ok(expanded)
}

/// Whether an interrupted run has made a change, and it is still made.
async fn is_done(
    site: &Site<'_>,
    unfinished: Option<&JournalEntry>,
    action: &Action,
    options: &ExecuteOptions,
) -> Result<bool, Error> {
    let Some(entry) = unfinished else { return Ok(false) };
    let object = action.object();
    let made = entry.forward_steps().filter(|s| s.status == Status::Done).any(|step| {
        step.action()
            .is_ok_and(|made| made == *action || made.root().is_some_and(|root| root.index == object))
    });
    if !made {
        return Ok(false);
    }
    let operation = operation_of(action);
    if !operation.changes_schema() {
        return Ok(true);
    }
    let look = async || operation.inspect(site.client, action).await;
    Ok(matches!(patiently(site.client, action, options, look).await?, Condition::Done { .. }))
}

fn tables_to_analyze(changes: &[Change]) -> BTreeSet<QualifiedName> {
    let mut tables = BTreeSet::new();
    for change in changes {
        match change {
            Change::CreateIndex { index } => {
                if index.keys.iter().any(|k| matches!(k.target, KeyTarget::Expression(_))) {
                    tables.insert(index.table.clone());
                }
            }
            Change::Analyze { table } | Change::Vacuum { table } => {
                tables.remove(table);
            }
            // What ANALYZE has been told is felt once it has run.
            Change::CreateStatistics { statistics } => {
                tables.insert(statistics.table.clone());
            }
            Change::SetParameter { table, parameter, .. } if parameter.needs_analyze() => {
                tables.insert(table.clone());
            }
            Change::DropIndex { .. } | Change::SetParameter { .. } => {}
        }
    }
    tables
}

#[cfg(test)]
mod tests {
    use model::{Benefit, Confidence, IndexDefinition, IndexKey, Price};

    use super::*;

    fn recommendation(changes: Vec<Change>) -> Recommendation {
        Recommendation {
            id: "r1".into(),
            title: "index t".into(),
            resolves: Vec::new(),
            changes,
            sql: Vec::new(),
            undo_sql: Vec::new(),
            benefit: Benefit::default(),
            price: Price::default(),
            lock: LockLevel::ShareUpdateExclusive,
            lock_duration: String::new(),
            reversible: true,
            confidence: Confidence::High,
            rationale: String::new(),
            verification: String::new(),
            statements: Vec::new(),
            rejected: Vec::new(),
        }
    }

    fn table() -> QualifiedName {
        QualifiedName::new("public", "t")
    }

    fn on_expression() -> Change {
        let key = IndexKey { target: KeyTarget::Expression("lower(a)".into()), ..IndexKey::column("") };
        Change::CreateIndex { index: IndexDefinition::btree(table(), "i", vec![key]) }
    }

    fn statements(changes: Vec<Change>) -> Vec<String> {
        plan(&[recommendation(changes)]).steps().map(|(_, s)| s.sql.clone()).collect()
    }

    #[test]
    fn an_index_on_an_expression_is_followed_by_analyze_once() {
        let create = "CREATE INDEX CONCURRENTLY i ON public.t USING btree ((lower(a)))";
        assert_eq!(statements(vec![on_expression()]), [create, "ANALYZE public.t"]);
        let own = Change::Vacuum { table: table() };
        assert_eq!(statements(vec![on_expression(), own]), [create, "VACUUM (ANALYZE) public.t"]);
        let plain = IndexDefinition::btree(table(), "i", vec![IndexKey::column("a")]);
        assert_eq!(statements(vec![Change::CreateIndex { index: plain }]).len(), 1);
    }

    #[test]
    fn a_name_used_twice_is_seen_without_a_server() {
        let twice = plan(&[recommendation(vec![on_expression()]), recommendation(vec![on_expression()])]);
        let refusals = twice.contradictions();
        assert_eq!(refusals.len(), 1);
        assert_eq!(refusals[0].objection, Objection::NameTwice { name: QualifiedName::new("public", "i") });
    }
}
