//! Do the columns of a table stand in an order that wastes space?
//!
//! A value begins at a multiple of its alignment (`pg_type.typalign`), and what is skipped is stored. The best order is
//! fixed lengths first, the widest alignment first, then what varies. The order changes only when a table is made
//! anew, so this is for the next time that it is.

use model::Severity;
use model::snapshot::{Column, RelationKind};
use model::{Bytes, quote_identifier};

use super::{Check, relation_ref};
use crate::schema::{Facts, LintFinding};

pub(super) const CHECK: Check = Check {
    id: "alignment-waste",
    title: "order of columns that wastes space",
    severity: Severity::Info,
    on: true,
    needs_schema_facts: false,
    run,
};

fn run(facts: &Facts<'_>) -> Vec<LintFinding> {
    let mut found = Vec::new();
    for relation in facts.designed().filter(|r| {
        matches!(r.kind, RelationKind::Table | RelationKind::PartitionedTable)
    }) {
        let rows = facts.rows(relation);
        let now: Vec<&Column> = relation.columns.iter().collect();
        let mut best = now.clone();
        // Stable, so that columns that do not matter stay where they are.
        best.sort_by_key(|c| (c.type_length < 0, std::cmp::Reverse(if c.type_length < 0 { 0 } else { align(c) })));
        let (bytes, fewest) = (row_bytes(&now), row_bytes(&best));
        let saved = bytes - fewest;
        let all = Bytes((saved.max(0.0) * rows) as u64);
        if saved / bytes < facts.thresholds.padding_share || all.0 < facts.thresholds.padding_min_bytes {
            continue;
        }
        let order: Vec<String> = best.iter().map(|c| quote_identifier(&c.name)).collect();
        found.push(
            CHECK
                .finding(
                    relation_ref(&relation.name),
                    format!("{saved:.0} of {bytes:.0} bytes of a row of {} are padding", relation.name),
                    format!(
                        "Another order of the columns saves {all} in {rows:.0} rows. The order can only be changed by making \
                         the table anew, which is worth it when it is made anew for another reason."
                    ),
                )
                .with("order", order.join(", ")),
        );
    }
    found
}

fn align(column: &Column) -> u32 {
    match column.type_align {
        'd' => 8,
        'i' => 4,
        's' => 2,
        _ => 1,
    }
}

/// Bytes of a typical row without NULLs: header, data, padding.
fn row_bytes(columns: &[&Column]) -> f64 {
    let mut end = 0.0_f64;
    for column in columns {
        let to = f64::from(align(column));
        let width = f64::from(column.average_width());
        // What varies is mostly short, and short values need no alignment.
        let short = column.type_length < 0 && width <= 126.0;
        end = if short { end } else { (end / to).ceil() * to };
        end += width;
    }
    24.0 + (end / 8.0).ceil() * 8.0
}
