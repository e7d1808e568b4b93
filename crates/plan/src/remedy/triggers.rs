//! What should be done about triggers that take the time?
//!
//! Source: `RI_FKey_check()`, `RI_FKey_noaction_del()` and `RI_FKey_cascade_del()` in ri_triggers.c: one query for each row,
//! on the referencing table for a row that is deleted and on the referenced one for a row that is inserted. A cascade
//! deletes rows, whose own triggers fire inside of the query and are timed with it.

use std::collections::BTreeSet;

use model::snapshot::{Constraint, ConstraintKind};
use model::{QualifiedName, Snapshot, quote_identifier};

use super::Advised;
use crate::checks::Remedy;
use crate::facts;
use crate::node::{Plan, Trigger};
use crate::render::count;

/// A trigger of less than this share of what all take is not looked at.
const SHARE: f64 = 0.2;

/// What to do about each that takes much.
pub(super) fn advised(plan: &Plan, database: Option<&Snapshot>) -> Vec<Advised> {
    let time = |t: &Trigger| t.time_ms.unwrap_or(0.0);
    let total: f64 = plan.triggers.iter().map(time).sum();
    let mut heavy: Vec<&Trigger> =
        plan.triggers.iter().filter(|t| time(t) >= SHARE * total && t.calls > 0.0).collect();
    heavy.sort_by(|a, b| time(b).total_cmp(&time(a)));
    heavy.into_iter().map(|trigger| one(trigger, database)).collect()
}

fn say(kind: Remedy, title: String, sql: Vec<String>) -> Advised {
    Advised { kind, title, sql, setting: None, resolves: Vec::new(), estimate: None }
}

fn one(trigger: &Trigger, database: Option<&Snapshot>) -> Advised {
    let Some(name) = trigger.constraint.as_deref() else { return written_by_hand(trigger) };
    let on = trigger.relation.as_deref();
    let constraint = database.and_then(|database| {
        let mut named = database.constraints.iter().filter(|c| {
            c.name == name
                && c.kind == ConstraintKind::ForeignKey
                && on.is_none_or(|on| {
                    c.table.name == on || c.references.as_ref().is_some_and(|r| r.table.name == on)
                })
        });
        let first = named.next()?;
        named.next().is_none().then_some((database, first))
    });
    let Some((database, constraint)) = constraint else {
        return say(
            Remedy::ForeignKeyIndex,
            format!(
                "an index on the referencing columns of {}, if it has none: with the catalogue at hand (a server, or \
                 --snapshot) they are named",
                quote_identifier(name)
            ),
            Vec::new(),
        );
    };
    let missing = missing_indexes(database, constraint);
    if !missing.is_empty() {
        return say(
            Remedy::ForeignKeyIndex,
            "an index on the referencing columns of the foreign key".into(),
            missing,
        );
    }
    let calls = count(trigger.calls);
    let references = constraint.references.as_ref().map(|r| r.table.to_string()).unwrap_or_default();
    let title = if on == Some(constraint.table.name.as_str()) {
        format!(
            "{calls} new rows are looked up in {references} one by one, each by its key: fill a table in bulk before its foreign \
             key is added NOT VALID and validated at once, or leave rows out that did not change"
        )
    } else {
        format!(
            "{calls} rows are looked up in {} one by one, by an index: what is deleted there by a cascade is deleted faster by a \
             statement of its own before, which joins with the rows to be deleted",
            constraint.table
        )
    };
    say(Remedy::Trigger, title, Vec::new())
}

/// Indexes that the look-ups of a foreign key miss, and those of what its cascade deletes.
fn missing_indexes(database: &Snapshot, constraint: &Constraint) -> Vec<String> {
    let Some(first) = constraint.references.as_ref() else { return Vec::new() };
    let mut sql = Vec::new();
    let mut seen: BTreeSet<QualifiedName> = BTreeSet::new();
    let mut open = vec![(first.table.clone(), Some(&constraint.name))];
    while let Some((table, only)) = open.pop() {
        if !seen.insert(table.clone()) {
            continue;
        }
        let Some(relation) = database.relation(&table) else { continue };
        for (missing, referencing) in facts::unindexed_references(database, relation) {
            if only.is_none_or(|name| *name == missing.name) {
                sql.push(facts::create_index(missing, &referencing.name));
            }
        }
        let cascades = database.constraints.iter().filter(|c| {
            c.kind == ConstraintKind::ForeignKey
                && c.references.as_ref().is_some_and(|r| r.table == table)
                && c.definition.contains("ON DELETE CASCADE")
                && only.is_none_or(|name| *name == c.name)
        });
        open.extend(cascades.map(|c| (c.table.clone(), None)));
    }
    sql
}

/// A trigger that calls a function of the user.
fn written_by_hand(trigger: &Trigger) -> Advised {
    let on = trigger.relation.as_deref().map(|r| format!(" on {}", quote_identifier(r))).unwrap_or_default();
    let how_often = if trigger.calls > 1.0 {
        "; a WHEN condition (OLD.* IS DISTINCT FROM NEW.*) keeps it from rows that do not concern it, and a trigger FOR EACH \
         STATEMENT with transition tables does for all rows at once what it does for each"
    } else {
        ""
    };
    say(
        Remedy::Trigger,
        format!(
            "a look into trigger {}{on}, called {} times: with auto_explain its statements are logged with their plans, which \
             can be explained here{how_often}",
            quote_identifier(&trigger.name),
            count(trigger.calls)
        ),
        vec![
            "LOAD 'auto_explain'".into(),
            "SET auto_explain.log_min_duration = 0".into(),
            "SET auto_explain.log_analyze = on".into(),
            "SET auto_explain.log_nested_statements = on".into(),
        ],
    )
}
