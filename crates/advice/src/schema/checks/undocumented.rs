//! Which tables have no comment?
//!
//! `COMMENT ON TABLE` is shown by psql and by most tools where the table is looked at. One finding for a schema. Off
//! unless it is enabled: many projects document elsewhere.

use std::collections::BTreeMap;

use model::snapshot::RelationKind;
use model::{ObjectRef, QualifiedName, Severity, quote_literal};

use super::Check;
use crate::schema::{Facts, LintFinding, Remedy};

pub(super) const CHECK: Check = Check {
    id: "undocumented",
    title: "tables without a comment",
    severity: Severity::Info,
    on: false,
    needs_schema_facts: true,
    run,
};

fn run(facts: &Facts<'_>) -> Vec<LintFinding> {
    let mut by_schema: BTreeMap<&str, (Vec<&QualifiedName>, usize)> = BTreeMap::new();
    let tables = facts.designed().filter(|r| matches!(r.kind, RelationKind::Table | RelationKind::PartitionedTable));
    for relation in tables {
        let (without, all) = by_schema.entry(&relation.name.schema).or_default();
        *all += 1;
        if !facts.snapshot.schema.commented.contains(&relation.name) {
            without.push(&relation.name);
        }
    }
    by_schema
        .into_iter()
        .filter(|(_, (without, _))| !without.is_empty())
        .map(|(schema, (without, all))| {
            let names: Vec<String> = without.iter().map(ToString::to_string).collect();
            let sql = without
                .iter()
                .map(|n| format!("COMMENT ON TABLE {n} IS {}", quote_literal("what one row stands for")));
            CHECK
                .finding(
                    ObjectRef::Schema { name: schema.to_owned() },
                    format!("{} of {all} tables of schema {schema} have no comment", without.len()),
                    "A comment says what one row stands for, where the next reader looks.",
                )
                .with("tables", names.join(", "))
                .mended_by(Remedy::sql(
                    sql.collect(),
                    model::LockLevel::ShareUpdateExclusive,
                    "SHARE UPDATE EXCLUSIVE for an instant: reads and writes go on.",
                ))
        })
        .collect()
}
