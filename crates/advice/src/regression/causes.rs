//! Why did a plan become worse? What differs in the surroundings and shows in the plan, the likeliest first.

use plan::diff::{ChangeKind, PlanDiff};
use serde::Serialize;

use super::{Measurement, Surroundings, TableState, bare, grew};

/// What kind of cause it is; the order is that of likelihood, given that it is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)] // The texts say it.
pub enum CauseKind {
    StatementChanged,
    IndexGone,
    SettingChanged,
    VersionChanged,
    PruningLost,
    NeverAnalyzed,
    StatisticsStale,
    StatisticsChanged,
    NotVacuumed,
    Bloat,
    MoreRows,
}

/// A cause and what undoes it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cause {
    /// Its kind.
    pub kind: CauseKind,
    /// What is the matter, in a sentence without a full stop.
    pub text: String,
    /// What undoes it, as SQL or in words.
    pub undo: String,
}

pub(super) fn find(
    found: &PlanDiff,
    (before, after): (&Measurement, &Measurement),
    (old, new): (&Surroundings, &Surroundings),
) -> Vec<Cause> {
    let mut causes = Vec::new();
    if spaces_out(&before.text) != spaces_out(&after.text) {
        causes.push(Cause {
            kind: CauseKind::StatementChanged,
            text: "the statement itself was written in another way".into(),
            undo: format!("the statement as it was: {}", spaces_out(&before.text)),
        });
    }
    let tables = tables_of(before, after, old, new);
    indexes(found, &tables, old, new, &mut causes);
    settings(found, old, new, &mut causes);
    causes.extend(version(old.version_num, new.version_num));
    for change in found.of_kind(ChangeKind::Partitions) {
        causes.push(Cause {
            kind: CauseKind::PruningLost,
            text: format!("other partitions are read: {}", change.text),
            undo: "a condition on the bare partition key, and enable_partition_pruning = on".into(),
        });
    }
    for table in &tables {
        let (Some(a), Some(b)) = (old.tables.get(*table), new.tables.get(*table)) else { continue };
        of_table(found, after, table, (a, b), &mut causes);
    }
    causes.sort_by_key(|c| c.kind);
    causes
}

/// The keys of the tables that either plan reads.
fn tables_of<'s>(
    before: &Measurement,
    after: &Measurement,
    old: &'s Surroundings,
    new: &'s Surroundings,
) -> Vec<&'s str> {
    let mut names: Vec<(Option<&str>, &str)> = Vec::new();
    for node in before.plan.nodes.iter().chain(&after.plan.nodes) {
        if let Some(name) = node.relation.as_deref() {
            names.push((node.schema.as_deref(), name));
        }
    }
    let known = old.tables.keys().chain(new.tables.keys());
    let mut found: Vec<&str> = known
        .map(String::as_str)
        .filter(|key| {
            names.iter().any(|(schema, name)| {
                let name = model::quote_identifier(name);
                match schema {
                    Some(schema) => *key == format!("{}.{name}", model::quote_identifier(schema)),
                    None => key.ends_with(&format!(".{name}")),
                }
            })
        })
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

fn indexes(
    found: &PlanDiff,
    tables: &[&str],
    old: &Surroundings,
    new: &Surroundings,
    causes: &mut Vec<Cause>,
) {
    let used: Vec<&str> = found.indexes_lost().collect();
    for (name, index) in &old.indexes {
        let now = new.indexes.get(name);
        let gone = now.is_none_or(|i| !same_columns(&i.definition, &index.definition))
            && !new
                .indexes
                .values()
                .any(|i| i.table == index.table && same_columns(&i.definition, &index.definition));
        let was_used = used.iter().any(|plain| bare(name, &old.indexes, plain));
        if gone && (was_used || tables.contains(&index.table.as_str())) {
            let how = if was_used { ", which the plan used," } else { "" };
            let what = match now {
                Some(now) => format!("has another definition: {}", now.definition),
                None => "is gone or no longer valid".to_owned(),
            };
            causes.push(Cause {
                kind: CauseKind::IndexGone,
                text: format!("index {name}{how} {what}"),
                undo: index.definition.clone(),
            });
        }
    }
}

/// Whether two definitions differ in the index's name only.
fn same_columns(a: &str, b: &str) -> bool {
    let after_on = |d: &str| d.split_once(" ON ").map(|(_, rest)| rest.to_owned());
    after_on(a) == after_on(b)
}

fn settings(found: &PlanDiff, old: &Surroundings, new: &Surroundings, causes: &mut Vec<Cause>) {
    for (name, before) in &old.settings {
        let Some(after) = new.settings.get(name).filter(|after| *after != before) else { continue };
        causes.push(Cause {
            kind: CauseKind::SettingChanged,
            text: format!("setting {name} is {after} instead of {before}"),
            undo: format!("SET {name} = {}, where it was changed", model::quote_literal(before)),
        });
    }
    // A role or a database may set what the catalog of the session that looked does not show.
    for change in found.of_kind(ChangeKind::Setting) {
        let name = change.text.strip_prefix("setting ").and_then(|t| t.split(':').next()).unwrap_or_default();
        if !causes.iter().any(|c| c.text.starts_with(&format!("setting {name} "))) {
            causes.push(Cause {
                kind: CauseKind::SettingChanged,
                text: change.text.clone(),
                undo: format!("the former value of {name}"),
            });
        }
    }
}

/// Another version of the server plans, and counts, in another way.
fn version(before: i32, after: i32) -> Option<Cause> {
    if before == after || before == 0 || after == 0 {
        return None;
    }
    let name = |number: i32| format!("{}.{}", number / 10_000, number % 10_000);
    let undo = match before / 10_000 == after / 10_000 {
        true => format!("PostgreSQL {}", name(before)),
        false => format!(
            "PostgreSQL {}; what-if --major {} shows the plans of a major version before an upgrade",
            name(before),
            after / 10_000
        ),
    };
    Some(Cause {
        kind: CauseKind::VersionChanged,
        text: format!("the server is PostgreSQL {} instead of {}", name(after), name(before)),
        undo,
    })
}

/// Whether rows of a table came out of a node that expected three times fewer or more.
fn is_misestimated(measurement: &Measurement, table: &str) -> bool {
    measurement.plan.nodes.iter().any(|node| {
        let of_table = node
            .relation
            .as_deref()
            .is_some_and(|name| table.ends_with(&format!(".{}", model::quote_identifier(name))));
        let (actual, planned) = (node.rows().max(1.0), node.planned_rows().max(1.0));
        of_table && node.executed() && (actual / planned).max(planned / actual) >= 3.0
    })
}

fn of_table(
    found: &PlanDiff,
    after: &Measurement,
    table: &str,
    (a, b): (&TableState, &TableState),
    causes: &mut Vec<Cause>,
) {
    let mut say = |kind, text: String, undo: String| causes.push(Cause { kind, text, undo });
    let analyze = || format!("ANALYZE {table}");
    if a.reltuples >= 0.0 && b.reltuples < 0.0 {
        say(CauseKind::NeverAnalyzed, format!("{table} was never analyzed"), analyze());
        return;
    }
    // What the planner takes the rows to be, unless dead ones are among them.
    let rows = |t: &TableState| if t.dead_rows > 0.2 * t.live_rows { t.live_rows } else { t.rows };
    let (old_rows, new_rows) = (rows(a), rows(b));
    let changed = b.changed_rows / b.reltuples.max(1.0);
    let was_changed = a.changed_rows / a.reltuples.max(1.0);
    let newly = changed > 1.5 * was_changed || is_misestimated(after, table);
    if changed > 0.1 && newly && b.changed_rows > 100.0 {
        let text = format!(
            "{:.0} rows of {table} changed since it was analyzed, {:.0} % of it",
            b.changed_rows,
            changed * 100.0
        );
        say(CauseKind::StatisticsStale, text, analyze());
    } else if a.statistics != b.statistics {
        let estimates = found.of_kind(ChangeKind::Estimate).count() > 0;
        if estimates || !found.same_shape {
            let text = format!("the statistics of {table} are others than before");
            say(
                CauseKind::StatisticsChanged,
                text,
                format!("{}, perhaps with a higher statistics target", analyze()),
            );
        }
    }
    let fetches = found.of_kind(ChangeKind::HeapFetches).count() > 0;
    let visible = |t: &TableState| t.visible_pages / t.pages.max(1.0);
    if fetches || visible(b) + 0.1 < visible(a) {
        let text = format!(
            "{:.0} % of the pages of {table} are known to be visible to all instead of {:.0} %",
            visible(b) * 100.0,
            visible(a) * 100.0
        );
        say(CauseKind::NotVacuumed, text, format!("VACUUM {table}"));
    }
    let density = |t: &TableState, rows: f64| rows / t.pages.max(1.0);
    if b.pages > 10.0 && density(b, new_rows) * 1.3 < density(a, old_rows) {
        let text = format!(
            "{table} takes {:.0} pages for {new_rows:.0} rows, before {:.0} for {old_rows:.0}; {:.0} dead rows",
            b.pages, a.pages, b.dead_rows
        );
        say(
            CauseKind::Bloat,
            text,
            format!("VACUUM {table}, or a rebuild (VACUUM FULL, pg_repack) if the space stays"),
        );
    }
    if grew(old_rows, new_rows, 0.2, 10.0) {
        let text = format!("{table} has {new_rows:.0} rows instead of {old_rows:.0}");
        say(
            CauseKind::MoreRows,
            text,
            "nothing: there is more to read; a new baseline, if that is meant".into(),
        );
    }
}

/// A statement without its spacing.
fn spaces_out(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
