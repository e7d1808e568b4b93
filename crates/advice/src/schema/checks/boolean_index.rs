//! Is there an index on nothing but a truth value?
//!
//! Either value is found in a large part of the table, so the planner reads the table instead; only a rare value is
//! worth an index, and then a partial one, which holds nothing else. Statistics say how rare. An index with a
//! predicate of its own, or with further columns, is left alone.

use model::snapshot::{ColumnStatistics, Index, Relation};
use model::{Change, IndexDefinition, KeyTarget, Severity, quote_identifier};

use super::{Check, index_ref};
use crate::index_advisor::upkeep::is_removable;
use crate::schema::facts::percent;
use crate::schema::{Facts, LintFinding, Remedy, remedy};

pub(super) const CHECK: Check = Check {
    id: "boolean-index",
    title: "index on a truth value alone",
    severity: Severity::Info,
    on: true,
    needs_schema_facts: false,
    run,
};

fn run(facts: &Facts<'_>) -> Vec<LintFinding> {
    facts.designed_indexes().filter_map(|(relation, index)| judge(facts, relation, index)).collect()
}

fn judge(facts: &Facts<'_>, relation: &Relation, index: &Index) -> Option<LintFinding> {
    let definition = &index.definition;
    let [key] = definition.keys.as_slice() else { return None };
    let KeyTarget::Column(name) = &key.target else { return None };
    let column = relation.column(name)?;
    let plain = definition.predicate.is_none() && definition.include.is_empty() && !definition.unique;
    if !plain || column.base_type.name != "bool" || !index.valid || !is_removable(facts.snapshot, index) {
        return None;
    }
    let statistics = crate::tables::statistics(relation, column);
    let rare = statistics.and_then(|s| rare_value(s, facts.thresholds.boolean_rare_share));
    let finding = CHECK.finding(
        index_ref(index),
        format!("index {} holds a truth value only", index.name),
        match rare {
            Some((value, share)) => format!(
                "Only {} of the rows are {value}; a partial index on those does the same at that share of the size \
                 and of the writes.",
                percent(share)
            ),
            None => "Both values are frequent, so finding one of them by the index reads most of the table. Put the \
                     column into the predicate of indexes that are looked up together with it."
                .into(),
        },
    );
    let finding = finding.with("scans", index.idx_scan).with("size", index.bytes);
    Some(match rare {
        Some((value, _)) => {
            let quoted = quote_identifier(name);
            let partial = IndexDefinition {
                name: facts.free_name(&definition.table.schema, &format!("{}_{}", definition.name.chars().take(50).collect::<String>(), value)),
                predicate: Some(if value { quoted } else { format!("NOT {quoted}") }),
                ..definition.clone()
            };
            let drop = Change::DropIndex {
                name: index.name.clone(),
                table: definition.table.clone(),
                definition: index.indexdef.clone(),
            };
            finding.mended_by(Remedy::changes(
                facts,
                vec![Change::CreateIndex { index: partial }, drop],
                "SHARE UPDATE EXCLUSIVE while the table is read twice: reads and writes go on.",
            ))
        }
        None if index.idx_scan == 0 => finding.mended_by(remedy::drop_index(facts, index)),
        None => finding,
    })
}

/// The value that few rows have, with their share.
fn rare_value(statistics: &ColumnStatistics, below: f64) -> Option<(bool, f64)> {
    let common = statistics.common_values();
    let share = |value: &str| common.iter().find(|(v, _)| v == value).map(|(_, f)| f64::from(*f));
    // A value that does not occur among the common ones is nearly never there.
    let (yes, no) = (share("t"), share("f"));
    let (yes, no) = match (yes, no) {
        (None, None) => return None,
        (yes, no) => (yes.unwrap_or(0.0), no.unwrap_or(0.0)),
    };
    if yes < below && yes <= no {
        Some((true, yes))
    } else if no < below {
        Some((false, no))
    } else {
        None
    }
}
