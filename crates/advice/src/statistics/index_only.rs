//! Which statements could be answered by an index alone, if only the visibility map said so?
//!
//! Source: PostgreSQL manual, "Index-Only Scans and Covering Indexes", "Updating the Visibility Map" and
//! `cost_index` in `costsize.c`: an index-only scan is charged for the share of pages that are not marked
//! all-visible, so that with few of them marked another plan wins. The same planner is asked with every page marked,
//! as VACUUM leaves it.

use std::collections::{BTreeMap, BTreeSet};

use model::snapshot::{Relation, RelationKind};
use model::{
    AutovacuumOption, Benefit, Change, Confidence, LockLevel, Millis, Number, Parameter, Price,
    QualifiedName, Recommendation, Snapshot, StatementEffect,
};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::index_advisor::statements::{identifier, to_make, to_undo};
use crate::what_if::{Effect, StatementOutcome, WhatIf};

/// Below so many pages the visibility map decides nothing.
const MIN_PAGES: i64 = 100;
/// With so many pages marked there is nothing to gain.
const MARKED: f64 = 0.95;
/// `autovacuum_vacuum_insert_scale_factor` for a table that is only inserted into; 0.2 lets a fifth of it be unmarked.
const INSERT_SCALE_FACTOR: f64 = 0.02;
/// Share of updates and deletes among all writes below which a table counts as only inserted into.
const INSERT_ONLY: f64 = 0.01;

/// A statement that an index answers alone once its table was vacuumed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IndexOnlyScan {
    /// The statement.
    pub queryid: i64,
    /// Its text.
    pub query: String,
    /// The table.
    pub table: QualifiedName,
    /// The index.
    pub index: String,
    /// What scans the table now, in EXPLAIN's words.
    pub now: String,
    /// Pages that are marked all-visible.
    pub all_visible_pages: i64,
    /// Pages of the table.
    pub pages: i64,
    /// Planner cost now.
    pub cost_before: f64,
    /// Planner cost with every page marked.
    pub cost_after: f64,
}

fn is_behind(relation: &Relation) -> bool {
    matches!(relation.kind, RelationKind::Table | RelationKind::MaterializedView)
        && relation.relpages >= MIN_PAGES
        && (relation.relallvisible as f64) < MARKED * relation.relpages as f64
}

/// The snapshot with every page marked all-visible; `None` when nearly all are.
pub fn all_visible(snapshot: &Snapshot) -> Option<Snapshot> {
    if !snapshot.relations.iter().any(is_behind) {
        return None;
    }
    let mut marked = snapshot.clone();
    for relation in marked.relations.iter_mut().filter(|r| is_behind(r)) {
        relation.relallvisible = relation.relpages;
    }
    Some(marked)
}

/// What plans before and after show, and a VACUUM for each table whose statements gain.
pub fn index_only_scans(snapshot: &Snapshot, what_if: &WhatIf) -> (Vec<IndexOnlyScan>, Vec<Recommendation>) {
    let mut scans = Vec::new();
    let mut gaining: BTreeMap<QualifiedName, Vec<&StatementOutcome>> = BTreeMap::new();
    for outcome in what_if.statements.iter().filter(|s| s.effect == Effect::Faster) {
        let Some(execution) = outcome.executions.first() else { continue };
        let mut seen = BTreeSet::new();
        for (relation, index) in index_only_nodes(&execution.plan_after) {
            let behind = snapshot.relations.iter().find(|r| r.name.name == relation && is_behind(r));
            let Some(behind) = behind.filter(|r| seen.insert(r.name.clone())) else { continue };
            gaining.entry(behind.name.clone()).or_default().push(outcome);
            scans.push(IndexOnlyScan {
                queryid: outcome.queryid,
                query: outcome.query.clone(),
                table: behind.name.clone(),
                index: index.to_owned(),
                now: scan_of(&execution.plan_before, relation).unwrap_or_else(|| "another scan".into()),
                all_visible_pages: behind.relallvisible,
                pages: behind.relpages,
                cost_before: outcome.cost_before,
                cost_after: outcome.cost_after,
            });
        }
    }
    let mut recommendations: Vec<Recommendation> = gaining
        .into_iter()
        .filter_map(|(table, outcomes)| {
            Some(vacuum(snapshot, snapshot.relation(&table)?, &outcomes, what_if))
        })
        .collect();
    recommendations.sort_by(|a, b| b.benefit.saved_ms_per_hour.total_cmp(&a.benefit.saved_ms_per_hour));
    (scans, recommendations)
}

/// Relation and index of every index-only scan of a plan.
fn index_only_nodes(plan: &Json) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    visit(plan, &mut |node| {
        if node.get("Node Type").and_then(Json::as_str) == Some("Index Only Scan")
            && let (Some(relation), Some(index)) = (
                node.get("Relation Name").and_then(Json::as_str),
                node.get("Index Name").and_then(Json::as_str),
            )
        {
            found.push((relation, index));
        }
    });
    found
}

fn scan_of(plan: &Json, relation: &str) -> Option<String> {
    let mut found = None;
    visit(plan, &mut |node| {
        if found.is_none() && node.get("Relation Name").and_then(Json::as_str) == Some(relation) {
            found = node.get("Node Type").and_then(Json::as_str).map(str::to_owned);
        }
    });
    found
}

fn visit<'p>(value: &'p Json, see: &mut dyn FnMut(&'p serde_json::Map<String, Json>)) {
    match value {
        Json::Object(map) => {
            see(map);
            map.values().for_each(|v| visit(v, see));
        }
        Json::Array(items) => items.iter().for_each(|v| visit(v, see)),
        _ => {}
    }
}

/// Whether rows come and never change, so that nothing but inserts makes pages invisible.
fn is_insert_only(relation: &Relation) -> bool {
    relation.activity.as_ref().is_some_and(|a| {
        let changed = (a.n_tup_upd + a.n_tup_del) as f64;
        a.n_tup_ins > 0 && changed < INSERT_ONLY * (changed + a.n_tup_ins as f64)
    })
}

fn vacuum(
    snapshot: &Snapshot,
    relation: &Relation,
    outcomes: &[&StatementOutcome],
    what_if: &WhatIf,
) -> Recommendation {
    let table = relation.name.clone();
    let mut changes = Vec::new();
    let option = AutovacuumOption::VacuumInsertScaleFactor;
    let former =
        relation.options.iter().filter_map(|o| o.split_once('=')).find(|(n, _)| *n == option.as_str());
    let former = former.and_then(|(_, value)| Number::parse(value));
    let frequent = former.as_ref().is_some_and(|f| f.as_str().parse::<f64>().is_ok_and(|f| f <= 0.05));
    let insert_only = is_insert_only(relation) && !frequent && relation.kind == RelationKind::Table;
    if insert_only && let Some(value) = Number::parse(&INSERT_SCALE_FACTOR.to_string()) {
        changes.push(Change::SetParameter {
            table: table.clone(),
            parameter: Parameter::Autovacuum { option },
            value,
            former,
        });
    }
    changes.push(Change::Vacuum { table: table.clone() });
    let saved_ms: f64 = outcomes.iter().map(|o| o.saved_ms()).sum();
    // About what a sequential read with the cost limit off takes.
    let build_ms = Millis(relation.pages.max(0) as f64 * 0.01);
    let cost =
        |of: fn(&StatementOutcome) -> f64| -> f64 { outcomes.iter().map(|o| o.calls as f64 * of(o)).sum() };
    let mut rationale = format!(
        "{} of {} pages are marked all-visible, so an index-only scan visits the table for the others and costs as much \
         as if it were none. With all of them marked the planner answers {} from an index alone.",
        relation.relallvisible,
        relation.relpages,
        match outcomes {
            [one] => format!("statement {}", one.queryid),
            many => format!("{} statements", many.len()),
        }
    );
    if insert_only {
        rationale.push_str(&format!(
            " Rows are inserted and hardly ever changed: autovacuum_vacuum_insert_scale_factor of {INSERT_SCALE_FACTOR} lets \
             autovacuum mark new pages when a fiftieth of the table is new instead of a fifth."
        ));
    }
    Recommendation {
        id: identifier(&changes),
        title: format!("vacuum {table} for index-only scans"),
        resolves: vec![format!("visibility-map-behind:table {table}"), format!("heap-fetches:table {table}")],
        sql: to_make(snapshot, &changes),
        undo_sql: to_undo(snapshot, &changes),
        benefit: Benefit {
            saved_ms_per_hour: saved_ms / what_if.hours,
            share_of_total: saved_ms / what_if.total_ms.max(f64::MIN_POSITIVE),
            cost_before: cost(|o| o.cost_before),
            cost_after: cost(|o| o.cost_after),
        },
        price: Price { build_ms, ..Price::default() },
        lock: LockLevel::ShareUpdateExclusive,
        lock_duration: format!("SHARE UPDATE EXCLUSIVE on {table} for about {build_ms}: reads and writes go on."),
        reversible: false,
        confidence: Confidence::Medium,
        rationale,
        verification:
            "relallvisible in pg_class comes near relpages, unless an old transaction holds it back, and EXPLAIN ANALYZE \
             shows few Heap Fetches."
                .into(),
        statements: outcomes.iter().map(|o| effect(o)).collect(),
        rejected: Vec::new(),
        changes,
    }
}

pub(super) fn effect(outcome: &StatementOutcome) -> StatementEffect {
    let execution = outcome.executions.first();
    StatementEffect {
        queryid: outcome.queryid,
        query: outcome.query.clone(),
        calls: outcome.calls,
        mean_ms: Millis(outcome.mean_ms),
        cost_before: outcome.cost_before,
        cost_after: outcome.cost_after,
        expected_ms: Millis(outcome.expected_ms),
        plan_before: execution.map_or(Json::Null, |e| e.plan_before.clone()),
        plan_after: execution.map_or(Json::Null, |e| e.plan_after.clone()),
        example: execution.map(|e| e.sql.clone()).unwrap_or_default(),
    }
}
