//! Is a materialized view refreshed while its readers wait?
//!
//! `REFRESH MATERIALIZED VIEW` holds ACCESS EXCLUSIVE on the view while its query runs. `CONCURRENTLY` lets readers go on,
//! takes longer, and needs a unique index on columns over all rows.

use model::{LockLevel, Severity};
use sql::Action;

use super::Check;
use crate::migration::step::{Held, Step, instead};
use crate::schema::LintFinding;

pub(super) const CHECK: Check = Check {
    id: "refresh-blocking",
    title: "materialized view that is refreshed while readers wait",
    severity: Severity::Warning,
    run,
};

fn run(step: &Step<'_>) -> Vec<LintFinding> {
    let Action::Refresh { view, concurrently: false } = step.action else { return Vec::new() };
    let view = step.name(view);
    if step.is_new(&view) {
        return Vec::new();
    }
    let found = step.finding(
        &CHECK,
        &view,
        (LockLevel::AccessExclusive, Held::Rewrite),
        format!("REFRESH of {view} stops its readers until its query has run"),
        "The time of its query comes on top. CONCURRENTLY lets readers go on.",
    );
    let has_key = step.facts.tables.indexes(&view).any(|i| {
        let plain = i.definition.keys.iter().all(|k| matches!(k.target, model::KeyTarget::Column(_)));
        i.definition.unique && i.valid && i.definition.predicate.is_none() && plain
    });
    let mut sql = Vec::new();
    if step.relation(&view).is_some() && !has_key {
        sql.push(format!("CREATE UNIQUE INDEX CONCURRENTLY ON {view} (…)"));
    }
    sql.push(format!("REFRESH MATERIALIZED VIEW CONCURRENTLY {view}"));
    vec![found.mended_by(instead(
        sql,
        LockLevel::Exclusive,
        "EXCLUSIVE on the view while its query runs: readers go on, a second refresh waits.",
    ))]
}
