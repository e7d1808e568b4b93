//! Does a cast around a column keep an index from being used?
//!
//! Fields: a Seq Scan that reads too much, or an index that is read in whole, with `(column)::type` compared with a value in its filter. EXPLAIN prints a cast
//! to `text` for every `varchar`, and there it does no harm: those count where the catalogue says that the column is no text.

use model::Snapshot;

use super::arithmetic_blocks_index::compared;
use super::{Check, Diagnosis, Place, Remedy, Run, Thresholds};
use crate::expression::{Wrapping, columns_as_text, wrapped_columns};
use crate::facts::relation_of;
use crate::node::{Node, Plan};

pub(super) const CHECK: Check = Check {
    id: "cast-blocks-index",
    title: "cast around a column keeps an index from being used",
    explains: &[
        ("seq-scan-reads-too-much", Place::Same),
        ("filter-after-index", Place::Same),
        ("row-misestimate", Place::Same),
    ],
    remedy: Remedy::Rewrite, run: Run::Database(run),
};

/// A column of numbers, times or labels that is compared as a text.
fn as_text(database: Option<&Snapshot>, node: &Node, filter: &str) -> Option<(String, String)> {
    let relation = relation_of(database?, node)?;
    columns_as_text(filter).into_iter().find_map(|(column, to)| {
        let name = column.rsplit('.').next()?;
        let known = relation.column(name.trim_matches('"'))?;
        (known.type_category != 'S').then(|| (column.to_owned(), to.to_owned()))
    })
}

fn run(plan: &Plan, thresholds: &Thresholds, database: Option<&Snapshot>) -> Vec<Diagnosis> {
    compared(
        (plan, thresholds, database),
        |node, filter| {
            let first = wrapped_columns(filter).into_iter().find_map(|w| match w {
                Wrapping::Cast { column, to } => Some((column, to)),
                Wrapping::Call { .. } | Wrapping::Operator { .. } => None,
            });
            let (column, to) = first.or_else(|| as_text(database, node, filter))?;
            Some((format!("{column} cast to {to}"), column))
        },
        "An index on the column holds the column and not the cast value. Compare the bare column with a value of its \
         own type: pass an integer instead of a numeric or a text, a half-open range of timestamps instead of a date. \
         If the cast must stay and is immutable, index the expression.",
    )
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    #[test]
    fn a_wrapped_column() {
        assert_found(&CHECK, MAJORS, "cast_blocks_index", "Seq Scan");assert_found(&CHECK, MAJORS, "date_cast_blocks_index", "Seq Scan");
    }

    #[test]
    fn a_bare_column() {
        assert_silent(&CHECK, MAJORS, "seq_scan_filter");assert_silent(&CHECK, MAJORS, "function_blocks_index");
    }

    /// `WHERE order_id::text = '77'` as 15 prints it, of a column of this category of types.
    fn of_category(category: char, known: bool) -> Vec<usize> {
        let text = r#"[{"Plan": {"Node Type": "Seq Scan", "Relation Name": "orders", "Schema": "public", "Alias": "orders",
            "Startup Cost": 0.00, "Total Cost": 4041.00, "Plan Rows": 750, "Plan Width": 0, "Actual Startup Time": 0.016,
            "Actual Total Time": 249.699, "Actual Rows": 1, "Actual Loops": 1, "Rows Removed by Filter": 149999,
            "Filter": "((orders.order_id)::text = '77'::text)", "Shared Hit Blocks": 1416, "Shared Read Blocks": 0},
            "Planning Time": 0.1, "Execution Time": 250.0}]"#;
        let plan: Plan = text.parse().expect("a plan");
        let mut database = database("public", "orders");
        let column = serde_json::json!({
            "attnum": 1, "name": "order_id", "type_name": "integer", "base_type": { "schema": "pg_catalog", "name": "int4" },
            "type_category": category, "type_length": 4, "type_align": "i", "has_btree_opclass": true, "not_null": true,
            "generated": false, "default": null, "collation": null, "statistics_target": null, "statistics": null,
            "inherited_statistics": null,
        });
        database.relations[0].columns.push(serde_json::from_value(column).expect("a column"));
        let database = known.then_some(&database);
        CHECK.diagnose(&plan, &Thresholds::default(), database).into_iter().map(|d| d.node).collect()
    }

    #[test]
    fn a_number_that_is_compared_as_a_text() {
        assert_eq!(of_category('N', true), [0]);
        // So is every `varchar` printed, and without a catalogue nobody can tell.
        assert_eq!(of_category('S', true), Vec::<usize>::new());
        assert_eq!(of_category('N', false), Vec::<usize>::new());
    }
}
