//! What would be run? Recommendations turned into statements, to be shown before anything happens.
//! Pure: the same recommendations give the same plan.

use std::collections::BTreeSet;

use model::{Change, KeyTarget, LockLevel, QualifiedName, Recommendation};
use serde::Serialize;

use crate::error::Refusal;
use crate::journal::Promise;
use crate::objection::Objection;
use crate::operations::operation_of;

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
}

/// One statement.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PlannedStep {
    /// The change.
    pub change: Change,
    /// The statement that makes it.
    pub sql: String,
    /// The statement that undoes it; `None` when there is nothing to undo.
    pub undo_sql: Option<String>,
    /// The strongest lock that is held for more than an instant.
    pub lock: LockLevel,
}

impl PlannedStep {
    fn new(change: Change) -> Self {
        let operation = operation_of(&change);
        Self {
            sql: operation.statement(&change),
            undo_sql: operation.undo_statement(&change),
            lock: change.lock_level(),
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
            .filter(|(_, step)| matches!(step.change, Change::CreateIndex { .. } | Change::DropIndex { .. }))
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
            let mut steps: Vec<PlannedStep> =
                recommendation.changes.iter().cloned().map(PlannedStep::new).collect();
            for table in tables_to_analyze(&recommendation.changes) {
                steps.push(PlannedStep::new(Change::Analyze { table }));
            }
            PlannedRecommendation {
                recommendation_id: recommendation.id.clone(),
                title: recommendation.title.clone(),
                lock_duration: recommendation.lock_duration.clone(),
                promise: Promise::of(recommendation),
                steps,
            }
        })
        .collect();
    ApplyPlan { recommendations }
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
            Change::DropIndex { .. } => {}
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
