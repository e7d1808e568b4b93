//! Does a calculation with one column keep an index from being used, although the value could be calculated instead?
//!
//! Fields: a Seq Scan that reads too much, or an index that is read in whole, with `(column + value)` and the like, or `(value - column)`, compared with a value
//! in its filter. What can be moved to the other side: addition, subtraction, multiplication and division by a value.

use model::{Severity, Snapshot};

use super::seq_scan_reads_too_much::reads_too_much;
use super::{Check, Diagnosis, Place, Remedy, Run, Thresholds, kept_from_use, subject};
use crate::expression::{Wrapping, wrapped_columns};
use crate::node::{Node, Plan};
use crate::render::count;

pub(super) const CHECK: Check = Check {
    id: "arithmetic-blocks-index",
    title: "arithmetic on a column keeps an index from being used",
    explains: &[
        ("seq-scan-reads-too-much", Place::Same),
        ("filter-after-index", Place::Same),
        ("row-misestimate", Place::Same),
    ],
    remedy: Remedy::Rewrite,
    run: Run::Database(run),
};

fn run(plan: &Plan, thresholds: &Thresholds, database: Option<&Snapshot>) -> Vec<Diagnosis> {
    compared(
        (plan, thresholds, database),
        wrapping(is_arithmetic),
        "An index on the column holds the column and not what is calculated of it. Calculate on the other side: \
         id = 78 - 1 instead of id + 1 = 78, at < now() - interval '1 day' instead of now() - at > interval '1 day'. \
         Where that gives another result, as with floating point, index the expression.",
    )
}

/// A finding for each scan that compares with a value what `find` tells of its filter: what is compared, and the column in
/// it. One is named, the filter shows the others.
pub(super) fn compared(
    (plan, thresholds, database): (&Plan, &Thresholds, Option<&Snapshot>),
    find: impl Fn(&Node, &str) -> Option<(String, String)>,
    advice: &str,
) -> Vec<Diagnosis> {
    let mut found = Vec::new();
    let scans = plan.nodes.iter().filter(|n| reads_too_much(plan, n, thresholds) || reads_whole_index(n, thresholds));
    for node in scans {
        let Some(filter) = &node.filter else { continue };
        let Some((what, column)) = find(node, filter) else { continue };
        let summary = format!("filter on {} compares {what}", subject(node));
        found.push(
            Diagnosis::new(node, Severity::Warning, summary, advice)
                .weighing(plan.own_weight(node))
                .with("filter", filter)
                .with("rows removed", count(node.rows_removed()))
                .with_all(kept_from_use(database, node, &column)),
        );
    }
    found
}

/// Whether an index is read from end to end and a filter keeps little of it.
fn reads_whole_index(node: &Node, thresholds: &Thresholds) -> bool {
    let (kept, removed) = (node.rows(), node.rows_removed());
    node.is_index_scan()
        && node.index_cond.is_none()
        && removed >= thresholds.seq_scan_min_rows
        && removed > thresholds.seq_scan_removed_share * (removed + kept)
}

/// The first of the wanted wrappings in a filter, as it is printed, and its column.
pub(super) fn wrapping(
    wanted: impl Fn(&Wrapping) -> bool,
) -> impl Fn(&Node, &str) -> Option<(String, String)> {
    move |_, filter| {
        let first = wrapped_columns(filter).into_iter().find(&wanted)?;
        Some((first.text(), first.column().to_owned()))
    }
}

/// Whether one column is all that is calculated with, by operations that can be moved to the other side.
pub(super) fn is_arithmetic(wrapping: &Wrapping) -> bool {
    match wrapping {
        Wrapping::Operator { operators, columns, text } => {
            let movable = |operator: &String| matches!(operator.as_str(), "+" | "-" | "*" | "/");
            // A column that is named twice, or the part of a document that is calculated with, cannot be moved around.
            columns.len() == 1 && operators.iter().all(movable) && text.matches(columns[0].as_str()).count() == 1
        }
        Wrapping::Cast { .. } | Wrapping::Call { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    #[test]
    fn a_column_that_is_calculated_with() {
        assert_found(&CHECK, MAJORS, "arithmetic_blocks_index", "Seq Scan");
    }

    #[test]
    fn other_wrappings_and_bare_columns() {
        for fixture in ["seq_scan_filter", "function_blocks_index", "cast_blocks_index", "operator_blocks_index"] {
            assert_silent(&CHECK, MAJORS, fixture);
        }
    }

    #[test]
    fn the_index_is_named_or_its_absence() {
        let plan = fixture("18/arithmetic_blocks_index");
        let evidence = |database: Option<&Snapshot>| {
            let found = CHECK.diagnose(&plan, &Thresholds::default(), database);
            let told = found[0].evidence.iter().find(|e| e.name == "index kept from use");
            told.map(|e| e.value.clone())
        };
        assert_eq!(evidence(None), None);
        let mut database = database("public", "runs");
        let column = serde_json::json!({
            "attnum": 1, "name": "id", "type_name": "bigint", "base_type": { "schema": "pg_catalog", "name": "int8" },
            "type_category": "N", "type_length": 8, "type_align": "d", "has_btree_opclass": true, "not_null": true,
            "generated": false, "default": null, "collation": null, "statistics_target": null, "statistics": null,
            "inherited_statistics": null,
        });
        database.relations[0].columns.push(serde_json::from_value(column).expect("a column"));
        assert_eq!(evidence(Some(&database)).as_deref(), Some("none: no index begins with the column"));
        database.indexes.push(index("public", "runs", "runs_other", &["code", "id"]));
        assert_eq!(evidence(Some(&database)).as_deref(), Some("none: no index begins with the column"));
        database.indexes.push(index("public", "runs", "runs.pkey", &["id", "code"]));
        assert_eq!(evidence(Some(&database)).as_deref(), Some("\"runs.pkey\""));
    }
}
